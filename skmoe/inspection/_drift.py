"""Whether new rows are routed as those in training were."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest, chi2, mannwhitneyu, norm

from ._mixture import check_mixture, figure_of_training, gate_view, import_pandas, last_step


@dataclass(frozen=True, eq=False)
class RoutingDrift:
    """Change of the experts' mass between reference rows and new rows.

    Attributes
    ----------
    names : tuple of str, length K
    mass_reference, mass_new : ndarray of shape (K,)
        Mean gate probability of each expert, whatever part a shared expert has in the prediction
        (``gate_mass`` of a `Utilization`).
    z : ndarray of shape (K,)
        Change of mass over its standard error.
    p_value_of_expert : ndarray of shape (K,)
        Two-sided, of that expert alone; not corrected for there being K of them.
    statistic : float
        Wald statistic of all changes together.
    degrees_of_freedom : int
    p_value : float
        Probability of a statistic as large without any drift.
    log_density_change : float or None
        Mean log-density of the features of the new rows minus that of the reference rows; a
        missing value counts as an average one. None unless the gate has a density of the
        features, as `GaussianGate` has.
    log_density_change_of_expert : ndarray of shape (K,) or None
        The same among the rows of which each expert is the most probable; NaN without any.
    log_density_z_of_expert : ndarray of shape (K,) or None
        That change over its standard error; NaN with fewer than two rows.
    novel_share : float or None
        Share of new rows that the gate's `novelty` flags.
    density_p_value : float or None
        Of the hypothesis that new rows are as likely as the others: with reference rows a
        Mann-Whitney test of the log-densities, two-sided; without, a binomial test that no more
        rows are flagged than the gate's `contamination`.
    """

    names: tuple[str, ...]
    mass_reference: np.ndarray
    mass_new: np.ndarray
    z: np.ndarray
    p_value_of_expert: np.ndarray
    statistic: float
    degrees_of_freedom: int
    p_value: float
    log_density_change: float | None = None
    log_density_change_of_expert: np.ndarray | None = None
    log_density_z_of_expert: np.ndarray | None = None
    novel_share: float | None = None
    density_p_value: float | None = None

    def to_frame(self):
        """One row per expert, as a pandas frame.

        Returns
        -------
        frame : pandas.DataFrame
        """
        pd = import_pandas("RoutingDrift.to_frame")
        columns = {
            "mass_reference": self.mass_reference,
            "mass_new": self.mass_new,
            "change": self.mass_new - self.mass_reference,
            "z": self.z,
            "p_value": self.p_value_of_expert,
        }
        if self.log_density_change_of_expert is not None:
            columns["log_density_change"] = self.log_density_change_of_expert
            columns["log_density_z"] = self.log_density_z_of_expert
        return pd.DataFrame(columns, index=pd.Index(self.names, name="expert"))

    def __repr__(self) -> str:
        width = max(len("expert"), *map(len, self.names))
        lines = [f"{'expert':<{width}}  reference     new  change       z"]
        for name, old, new, z in zip(
            self.names, self.mass_reference, self.mass_new, self.z, strict=True
        ):
            lines.append(f"{name:<{width}} {old:10.3f} {new:7.3f} {new - old:+7.3f} {z:+7.1f}")
        lines.append(
            f"all experts: statistic {self.statistic:.1f} with {self.degrees_of_freedom} degrees "
            f"of freedom, p-value {self.p_value:.2g}"
        )
        changes, z = self.log_density_change_of_expert, self.log_density_z_of_expert
        if changes is not None and z is not None:
            lines[0] += "  log-density       z"
            for expert in range(len(self.names)):
                lines[1 + expert] += f" {changes[expert]:+12.2f} {z[expert]:+7.1f}"
            lines.append(
                f"log-density of the features: change {self.log_density_change:+.2f}, "
                f"p-value {self.density_p_value:.2g}; novel rows {self.novel_share:.1%}"
            )
        return "\n".join(lines)


def routing_drift(model, X_reference, X_new):
    """Compare how new rows are routed with how reference rows are.

    Parameters
    ----------
    model : MixtureOfExpertsClassifier or MixtureOfExpertsRegressor
        Fitted.
    X_reference : {array-like, sparse matrix, frame} of shape (n_reference, n_features) or None
        Rows as they were, best a sample that was held out of training. None compares with what
        the model keeps of its training rows, ``utilization_`` and the gate's ``novelty_mean_``,
        taken as known without error: right where there are many more training rows than new
        ones, too eager to see drift otherwise.
    X_new : {array-like, sparse matrix, frame} of shape (n_new, n_features)

    Returns
    -------
    drift : RoutingDrift
        Prints as a table.

    Notes
    -----
    The tests take rows for independent and rest on the normal approximation, for which each
    expert needs some tens of rows. Drift within the region of one expert moves no mass; only a
    gate with a density of the features (`GaussianGate`) can see it. With much data, differences
    that are too small to matter become significant: look at the changes first. Where a shared
    expert has nearly all the say (``shared_weight_``), a drift of the routing hardly moves the
    predictions; it is still a change of the features.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.datasets import make_piecewise_regression
    >>> from skmoe.inspection import routing_drift
    >>> X, y = make_piecewise_regression(900, return_X_y=True, random_state=0)
    >>> moe = MixtureOfExpertsRegressor(Ridge(), n_experts=3, random_state=0).fit(
    ...     X[:300], y[:300]
    ... )
    >>> routing_drift(moe, X[300:600], X[600:]).p_value > 0.01
    True
    >>> routing_drift(moe, X[300:600], X[600:] + 1.0).p_value < 1e-6
    True
    """
    check_mixture(model)
    new = model.gate_proba(X_new)
    if len(new) < 2:
        raise ValueError(f"X_new has {len(new)} rows; a test needs two or more")
    if X_reference is None:
        reference, old_mass = None, figure_of_training(model, "utilization_").gate_mass
    else:
        reference = model.gate_proba(X_reference)
        old_mass = reference.mean(axis=0)
        if len(reference) < 2:
            raise ValueError(f"X_reference has {len(reference)} rows; a test needs two or more")
    change = new.mean(axis=0) - old_mass
    covariance = covariance_of_mean(new)
    if reference is not None:
        covariance = covariance + covariance_of_mean(reference)
    z = standardised(change, np.sqrt(np.diag(covariance)))
    statistic, degrees = wald(change, covariance)
    return RoutingDrift(
        names=tuple(model.named_experts_),
        mass_reference=old_mass,
        mass_new=new.mean(axis=0),
        z=z,
        p_value_of_expert=2 * norm.sf(np.abs(z)),
        statistic=statistic,
        degrees_of_freedom=degrees,
        p_value=float(chi2.sf(statistic, degrees)) if degrees else 1.0,
        **density_drift(model, X_reference, X_new),
    )


def covariance_of_mean(proba):
    """Covariance matrix of the mean of independent rows."""
    return np.atleast_2d(np.cov(proba, rowvar=False)) / len(proba)


def standardised(change, standard_error):
    """Change over standard error; 0 where neither is above rounding, infinite without error."""
    change = np.where(np.abs(change) < 1e-12, 0.0, change)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((change == 0) & (standard_error == 0), 0.0, change / standard_error)


def wald(change, covariance):
    """Squared length of the change in units of its covariance, and the rank of that."""
    values, vectors = np.linalg.eigh(covariance)
    kept = values > 1e-10 * max(values.max(initial=0.0), np.finfo(float).tiny)
    along = vectors[:, kept].T @ change
    return float(np.sum(np.square(along) / values[kept])), int(kept.sum())


def density_drift(model, X_reference, X_new):
    """What a gate with a density of the features says; empty for another gate."""
    gate = last_step(model.gate_)
    if not hasattr(gate, "novelty_mean_"):
        return {}
    new = gate.novelty(gate_view(model, X_new))
    means, variance = means_by_expert(model, new, model.apply(X_new))
    if X_reference is None:
        old, old_variance = gate.novelty_mean_, np.zeros(model.n_experts_)
        old_mean = np.nansum(model.utilization_.top * old)
        p_value = binomtest(int((new > 0).sum()), len(new), gate.contamination, "greater").pvalue
    else:
        reference = gate.novelty(gate_view(model, X_reference))
        old, old_variance = means_by_expert(model, reference, model.apply(X_reference))
        old_mean = reference.mean()
        p_value = mannwhitneyu(new, reference).pvalue
    # Novelty is a constant minus the log-density, so that the signs turn.
    change = old - means
    return {
        "log_density_change": float(old_mean - new.mean()),
        "log_density_change_of_expert": change,
        "log_density_z_of_expert": standardised(change, np.sqrt(variance + old_variance)),
        "novel_share": float(np.mean(new > 0)),
        "density_p_value": float(p_value),
    }


def means_by_expert(model, values, top):
    """Mean of the rows of each top expert, and the variance of that mean; NaN of too few."""
    means, variances = np.full((2, model.n_experts_), np.nan)
    for expert in range(model.n_experts_):
        own = values[top == expert]
        if len(own) > 0:
            means[expert] = own.mean()
        if len(own) > 1:
            variances[expert] = own.var(ddof=1) / len(own)
    return means, variances
