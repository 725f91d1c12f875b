"""Why a gate chose the expert that it chose, and what would change its mind."""

from typing import Any, NamedTuple

import numpy as np

from ._mixture import (
    check_mixture,
    gate_input,
    import_pandas,
    last_step,
    row_labels,
    warn_if_unheard,
)


class GateLogits(NamedTuple):
    """The logits of a gate: linear in its features and, maybe, in products or splines of them.

    Attributes
    ----------
    coef : ndarray of shape (n_experts, n_features)
        Of the logits, divided by the temperature.
    intercept : ndarray of shape (n_experts,)
    means : ndarray of shape (n_features,)
        The values that contributions are relative to.
    missing_coef : ndarray of shape (n_experts, n_features)
        What is added where a feature is missing.
    term_coef : ndarray of shape (n_experts, n_terms)
    terms : Products, Splines or None
    """

    coef: np.ndarray
    intercept: np.ndarray
    means: np.ndarray
    missing_coef: np.ndarray
    term_coef: np.ndarray
    terms: Any

    def at(self, deviation, missing):
        """Logits (n, K) of rows given as deviations from the means."""
        at_means = self.intercept + self.coef @ self.means
        indicated = missing @ np.nan_to_num(self.missing_coef).T
        logits = deviation @ self.coef.T + indicated + at_means
        if self.terms is not None:
            logits += self.terms.columns(deviation + self.means) @ self.term_coef.T
        return logits

    def baseline(self):
        """Logits (K,) of a row with the mean value of every feature."""
        nowhere = np.zeros((1, len(self.means)))
        return self.at(nowhere, nowhere)[0]

    def shares(self, expert, deviation, missing):
        """What each feature adds to the logit of one expert per row, (n, m).

        That is its Shapley value: the part of its own spline, and half of each product.
        """
        share = self.coef[expert] * deviation
        share += np.nan_to_num(self.missing_coef)[expert] * missing
        if self.terms is not None:
            coef = self.term_coef[expert]
            share += self.terms.shares(coef, deviation + self.means)
            share -= self.terms.shares(coef, np.broadcast_to(self.means, deviation.shape))
        return share

    def slopes(self, expert, deviation):
        """Gradient (n, m) of the logit of one expert per row, at the row."""
        slopes = self.coef[expert]
        if self.terms is not None:
            slopes = slopes + self.terms.slopes(self.term_coef[expert], deviation + self.means)
        return slopes


def explain_routing(model, X, *, to=None, X_reference=None):
    """Contribution of each feature to the choice of expert, and the nearest border.

    For a gate with linear log-odds: `SoftmaxGate`, and `GaussianGate` with a tied covariance; and
    for a `SoftmaxGate` with products or splines. In a Pipeline, its features are those that the
    other steps make. The log-odds between the most probable expert and the runner-up are a
    baseline (the log-odds of a row with the mean value of every feature) plus one contribution
    per feature.

    The nearest border is the nearest point at which another expert is as probable as the
    chosen one, in closed form (with products or splines: to first order), with each feature
    measured in its standard deviations. It is a statement about the gate, not about the world:
    it changes all features at once, by fractions that may not be possible together.

    Parameters
    ----------
    model : MixtureOfExpertsClassifier or MixtureOfExpertsRegressor
        Fitted.
    X : {array-like, sparse matrix, frame} of shape (n_samples, n_features)
        Rows to explain.
    to : str or int, default=None
        Name or index of an expert: the border to this one in place of the nearest.
    X_reference : {array-like, sparse matrix, frame} of shape (n_reference, n_features), \
            default=None
        Rows that the standard deviations are taken from. None takes X, and then the distance
        of a row depends on the others. A feature that does not vary there is not changed.

    Returns
    -------
    explanation : pandas.DataFrame
        One row per row of X. The columns have two levels:

        - ``routing``: ``expert``, ``runner_up``, ``log_odds`` and ``baseline``; and
          ``shared_weight``, the part of the prediction that is not the gate's to give away but
          the shared expert's (there is a warning if it leaves less than a tenth);
        - ``contribution``: one column per feature of the gate; with the baseline they sum to
          the log-odds;
        - ``border``: ``expert`` on the other side, ``distance`` in standard deviations (0 if the
          row is on that side already, infinite if there is no border), and ``reached``, whether
          that expert is really the most probable one there. It may not be: with `to`, a third
          one may be more probable; with products or splines the border is not where the plane
          that touches the logits at the row has it.
        - ``change``: what to add to each feature, in its units, to arrive at the border.

    Raises
    ------
    TypeError
        If the gate is not linear.
    ValueError
        If there is a single expert, or no row to take standard deviations from.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sklearn.linear_model import Ridge
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.inspection import explain_routing
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame(rng.normal(size=(400, 2)), columns=["season", "size"])
    >>> y = np.where(X["season"] > 0, X["size"], -X["size"])
    >>> moe = MixtureOfExpertsRegressor(Ridge(), n_experts=2, n_init=3, random_state=0).fit(X, y)
    >>> explanation = explain_routing(moe, X)
    >>> (explanation["contribution"].abs().mean().idxmax())
    'season'
    """
    pd = import_pandas("explain_routing")
    check_mixture(model)
    gate = logits_of(last_step(model.gate_))
    if len(gate.coef) == 1:
        raise ValueError("a mixture of a single expert routes every row to it")
    Z, names = gate_input(model, X)
    reference = Z if X_reference is None else gate_input(model, X_reference)[0]
    if len(reference) < 2:
        raise ValueError(
            "standard deviations need two rows or more: give X_reference, the training rows say"
        )
    shared_weight = warn_if_unheard(model, X, "explain_routing")
    experts = np.array(list(model.named_experts_), dtype=object)
    target = None if to is None else expert_index(to, list(experts))
    routing, contribution = log_odds(gate, Z)
    chosen, runner_up, total, baseline = routing
    border, distance, change, reached = nearest_border(gate, Z, chosen, spread(reference), target)
    parts = {
        "routing": {
            "expert": experts[chosen],
            "runner_up": experts[runner_up],
            "log_odds": total,
            "baseline": baseline,
            "shared_weight": np.full(len(Z), shared_weight),
        },
        "contribution": dict(zip(names, contribution.T, strict=True)),
        "border": {"expert": experts[border], "distance": distance, "reached": reached},
        "change": dict(zip(names, change.T, strict=True)),
    }
    columns = {(part, name): values for part, of in parts.items() for name, values in of.items()}
    return pd.DataFrame(columns, index=row_labels(X))


def routing_sentences(explanation, *, n_features=3):
    """What `explain_routing` says of each row, as a sentence.

    The levels of a category (``colour=red``, ``colour=blue``) are one feature here: of two
    levels, one says what the other says.

    Parameters
    ----------
    explanation : pandas.DataFrame
        What `explain_routing` returned.
    n_features : int, default=3
        Features named at most, those with the largest contributions.

    Returns
    -------
    sentences : pandas.Series of str
        With the index of the explanation.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.inspection import explain_routing, routing_sentences
    >>> X = np.random.default_rng(0).normal(size=(400, 2))
    >>> y = np.where(X[:, 0] > 0, X[:, 1], -X[:, 1])
    >>> moe = MixtureOfExpertsRegressor(
    ...     Ridge(), n_experts=2, n_init=3, random_state=0
    ... ).fit(X, y)
    >>> sentence = routing_sentences(explain_routing(moe, X[:2]))[0]
    >>> sentence.startswith("expert_") and "rather than expert_" in sentence
    True
    """
    pd = import_pandas("routing_sentences")
    contributions = _of_whole_categories(explanation["contribution"])
    border = explanation["border"]
    sentences = []
    for row, values in enumerate(contributions.to_numpy(dtype=float)):
        largest = np.argsort(-np.abs(values), kind="stable")[:n_features]
        named = [
            f"{contributions.columns[i]} {'for' if values[i] > 0 else 'against'} it "
            f"({values[i]:+.2g})"
            for i in largest
            if values[i]
        ]
        of, distance = explanation["routing"].iloc[row], border["distance"].iloc[row]
        text = f"{of['expert']} rather than {of['runner_up']} (log-odds {of['log_odds']:.2g}): "
        text += "; ".join([f"at average values {of['baseline']:+.2g}", *named])
        if np.isfinite(distance):
            text += f"; {border['expert'].iloc[row]} begins {distance:.2g} deviations away"
        sentences.append(text + ".")
    return pd.Series(sentences, index=explanation.index, name="why")


def _of_whole_categories(contributions):
    """Contributions in which those of all levels of a category, ``name=level``, are one."""
    categories = [str(name).partition("=")[0] for name in contributions.columns]
    return contributions.T.groupby(categories, sort=False).sum().T


def logits_of(gate):
    """The coefficients of a gate, from its public attributes.

    Parameters
    ----------
    gate : fitted gate

    Returns
    -------
    logits : GateLogits

    Raises
    ------
    TypeError
        If the gate has no coefficients of logits.
    """
    needed = ("coef_", "intercept_", "temperature", "feature_means_")
    if not all(hasattr(gate, name) for name in needed):
        raise TypeError(
            f"only a gate with linear log-odds can be explained, such as SoftmaxGate or "
            f"GaussianGate(covariance='tied'); this one is {gate!r}"
        )
    missing_coef = np.full(gate.coef_.shape, np.nan)  # not linear where a feature is missing
    if hasattr(gate, "missing_coef_"):
        missing_coef = np.zeros(gate.coef_.shape)
        missing_coef[:, gate.missing_features_] = gate.missing_coef_
    return GateLogits(
        gate.coef_ / gate.temperature,
        gate.intercept_ / gate.temperature,
        gate.feature_means_,
        missing_coef / gate.temperature,
        getattr(gate, "term_coef_", gate.coef_[:, :0]) / gate.temperature,
        getattr(gate, "terms_", None),
    )


def deviations(gate, Z):
    """Features minus their means, 0 where missing; and whether they are missing."""
    missing = np.isnan(Z)
    if missing.any() and np.isnan(gate.missing_coef).any():
        raise ValueError(
            "the log-odds of this gate are not linear for rows with missing values; "
            "leave these rows out"
        )
    return np.where(missing, 0.0, Z - gate.means), missing


def log_odds(gate, Z):
    """Expert, runner-up, log-odds and baseline of each row; and contributions (n, m)."""
    deviation, missing = deviations(gate, Z)
    logits = gate.at(deviation, missing)
    order = np.argsort(-logits, axis=1, kind="stable")
    chosen, runner_up = order[:, 0], order[:, 1]
    rows = np.arange(len(Z))
    at_means = gate.baseline()
    contribution = gate.shares(chosen, deviation, missing)
    contribution -= gate.shares(runner_up, deviation, missing)
    total = logits[rows, chosen] - logits[rows, runner_up]
    return (chosen, runner_up, total, at_means[chosen] - at_means[runner_up]), contribution


def nearest_border(gate, Z, chosen, scale, target=None):
    """Nearest point at which another expert draws level with the chosen one.

    With linear logits the rows of an expert form a polyhedron, so the nearest point on its surface
    is the foot of the perpendicular on the nearest of the planes ``logit_chosen = logit_other``;
    with products or splines it is that of the planes that touch the logits at the row.

    Parameters
    ----------
    gate : GateLogits
    Z : ndarray of shape (n_samples, n_features)
    chosen : ndarray of shape (n_samples,)
    scale : ndarray of shape (n_features,)
        Units in which distance is measured; 0 for a feature that stays as it is.
    target : int or None
        The only other expert that counts.

    Returns
    -------
    border : ndarray of shape (n_samples,)
        The other expert.
    distance : ndarray of shape (n_samples,)
    change : ndarray of shape (n_samples, n_features)
    reached : ndarray of bool of shape (n_samples,)
        Whether no third expert is more probable there.
    """
    deviation, missing = deviations(gate, Z)
    logits = gate.at(deviation, missing)
    units = np.where(missing, 0.0, scale)  # a value that is not there cannot be changed
    rows = np.arange(len(Z))
    distances = np.full(logits.shape, np.inf)
    own_slopes = gate.slopes(chosen, deviation)
    for other in range(logits.shape[1]) if target is None else [target]:
        slopes = own_slopes - gate.slopes(np.full(len(Z), other), deviation)
        steepness = np.linalg.norm(slopes * units, axis=1)
        gap = logits[rows, chosen] - logits[:, other]
        np.divide(gap, steepness, out=distances[:, other], where=steepness > 0)
        # Only when asked for by name does a row's own expert count, as no way at all.
        distances[chosen == other, other] = np.inf if target is None else 0.0
    border = distances.argmin(axis=1) if target is None else np.full(len(Z), target)
    distance = distances[rows, border]
    direction = (gate.slopes(border, deviation) - own_slopes) * units
    length = np.linalg.norm(direction, axis=1)
    step = np.divide(distance, length, out=np.zeros(len(Z)), where=length > 0)
    change = np.where(np.isfinite(distance)[:, None], step[:, None] * direction * units, np.nan)
    there = gate.at(deviation + np.nan_to_num(change), missing)
    reached = there[rows, border] >= there.max(axis=1) - 1e-9 * (1 + np.abs(there).max(axis=1))
    return border, distance, change, reached & np.isfinite(distance)


def spread(Z):
    """Standard deviations over the values that are there; 0 for a feature without any."""
    observed = ~np.isnan(Z)
    count = np.maximum(observed.sum(axis=0), 1)
    mean = np.where(observed, Z, 0.0).sum(axis=0) / count
    return np.sqrt(np.where(observed, np.square(Z - mean), 0.0).sum(axis=0) / count)


def expert_index(expert, names):
    """Index of an expert given by name or index."""
    if isinstance(expert, str):
        if expert not in names:
            raise ValueError(f"to={expert!r} is none of the experts {names}")
        return names.index(expert)
    if not isinstance(expert, int | np.integer) or not 0 <= expert < len(names):
        raise ValueError(f"to={expert!r} must be a name, or an int between 0 and {len(names) - 1}")
    return int(expert)
