"""Did the mixture earn its keep? Its held-out comparison with simpler predictors."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .._arithmetic.statistics import paired
from .._compat import Record
from .losses import HeldOutLosses

CONSTANT_WEIGHT_ITERATIONS = 100
"""EM steps for the constant weights; each costs one pass over an (n, K) array."""


@dataclass(frozen=True, eq=False)
class Lift(Record):
    """Gain in mean log-likelihood per row over simpler predictors, on the same rows.

    The gain is that of the whole, shared expert included: where that is all of the density, so are
    the gains over the best expert and over constant weights its own, and `over_shared` is 0. The
    rows are held out, unless the mixture was fitted with ``e_step="insample"``.

    Attributes
    ----------
    best_expert : str
        The expert *of the mixture* with the largest held-out log-likelihood of its own. If the
        experts specialised (``overlap < 1``) it knows its own rows best, so that one model of all
        rows may well beat it: with that a generalist compares, see `over_shared`.
    over_best_expert, over_best_expert_se : float
        Gain over that expert, and the standard error of the paired differences.
    over_constant, over_constant_se : float
        Gain over the same experts mixed with weights that do not depend on x.
    constant_weights : ndarray of shape (n_experts,)
        Those weights; they maximise the held-out log-likelihood.
    over_shared, over_shared_se : float or None
        Gain over the shared expert alone: a generalist is one model of all rows, a consensus
        what stacking makes of the experts. None if none was trained. The weight of the shared
        expert was chosen on these rows: below three standard errors it is nothing to go by (as
        measured, between two and three in half of the problems that had no regimes).
    losses : HeldOutLosses or None
        The same in the loss of predictions (RMSE or log-loss), and what was chosen by it. None in
        models of earlier releases.
    """

    best_expert: str
    over_best_expert: float
    over_best_expert_se: float
    over_constant: float
    over_constant_se: float
    constant_weights: np.ndarray
    over_shared: float | None = None
    over_shared_se: float | None = None
    losses: HeldOutLosses | None = None

    def renamed(self, names: dict[str, str]) -> Lift:
        """The same with other names of experts."""
        losses = None if self.losses is None else self.losses.renamed(names)
        best = names.get(self.best_expert, self.best_expert)
        return replace(self, best_expert=best, losses=losses)

    def __repr__(self) -> str:
        figures: dict[str, tuple[float, float | None]] = {
            f"over {self.best_expert!r}": (self.over_best_expert, self.over_best_expert_se),
            "over constant weights": (self.over_constant, self.over_constant_se),
        }
        if self.over_shared is not None:
            figures["over the shared expert"] = (self.over_shared, self.over_shared_se)
        width = max(map(len, figures)) + 2
        lines = ["gain in log-likelihood per row"]
        lines += [f"{what:{width}}{gain:+.4f} ± {se:.4f}" for what, (gain, se) in figures.items()]
        if self.losses is not None:
            lines.append(repr(self.losses))
        return "\n".join(lines)


def measure_lift(
    row_log_likelihood, log_density, single_expert_log_density, sample_weight, names, shared=None
):
    """Compare the mixture with its best single expert and with constant weights.

    The best expert is chosen on the rows that it is compared on, which flatters it: the
    comparison errs against the mixture.

    Parameters
    ----------
    row_log_likelihood : ndarray of shape (n_samples,)
        Of the mixture, held out.
    log_density : ndarray of shape (n_samples, n_experts)
        Of each expert, held out, with its dispersion within the mixture.
    single_expert_log_density : ndarray of shape (n_samples, n_experts)
        The same with the dispersion that suits the expert if it answers for all rows.
    sample_weight : ndarray of shape (n_samples,)
    names : sequence of str
    shared : ndarray of shape (n_samples,), default=None
        Held-out log-densities of a shared expert.

    Returns
    -------
    lift : Lift
    """
    best = int(np.argmax(np.average(single_expert_log_density, axis=0, weights=sample_weight)))
    constant_weights, constant = _constant_mixture(log_density, sample_weight)
    over_best, over_best_se = paired(
        row_log_likelihood - single_expert_log_density[:, best], sample_weight
    )
    over_constant, over_constant_se = paired(row_log_likelihood - constant, sample_weight)
    return Lift(
        names[best],
        over_best,
        over_best_se,
        over_constant,
        over_constant_se,
        constant_weights,
        *(paired(row_log_likelihood - shared, sample_weight) if shared is not None else ()),
    )


def _constant_mixture(log_density, sample_weight):
    """Best constant weights by EM, and the row log-likelihoods under them."""
    largest = log_density.max(axis=1, keepdims=True)
    density = np.exp(log_density - largest)
    weights = np.full(density.shape[1], 1.0 / density.shape[1])
    for _ in range(CONSTANT_WEIGHT_ITERATIONS):
        # The posterior of expert k is density_k weights_k / total: its mean needs no array of it.
        weights = weights * ((sample_weight / (density @ weights)) @ density)
        weights /= weights.sum()
    return weights, np.log(density @ weights) + largest[:, 0]
