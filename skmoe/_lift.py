"""Did the mixture earn its keep? Its held-out comparison with simpler predictors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CONSTANT_WEIGHT_ITERATIONS = 100
"""EM steps for the constant weights; each costs one pass over an (n, K) array."""


@dataclass(frozen=True, eq=False)
class Lift:
    """Gain in mean log-likelihood per row over simpler predictors, on the same rows.

    The rows are held out, unless the mixture was fitted with ``e_step="insample"``.

    Attributes
    ----------
    best_expert : str
        The expert *of the mixture* with the largest held-out log-likelihood of its own. If the
        experts specialised (``share < 1``) it knows its own rows best, so that one model of all
        rows may well beat it: compare with that by cross-validation.
    over_best_expert, over_best_expert_se : float
        Gain over that expert, and the standard error of the paired differences.
    over_constant, over_constant_se : float
        Gain over the same experts mixed with weights that do not depend on x.
    constant_weights : ndarray of shape (n_experts,)
        Those weights; they maximise the held-out log-likelihood.
    """

    best_expert: str
    over_best_expert: float
    over_best_expert_se: float
    over_constant: float
    over_constant_se: float
    constant_weights: np.ndarray

    def __repr__(self) -> str:
        return (
            f"Lift(over {self.best_expert!r}: {self.over_best_expert:+.4f} "
            f"± {self.over_best_expert_se:.4f}, over constant weights: "
            f"{self.over_constant:+.4f} ± {self.over_constant_se:.4f} log-likelihood per row)"
        )


def measure_lift(row_log_likelihood, log_density, lone_log_density, sample_weight, names):
    """Compare the mixture with its best single expert and with constant weights.

    The best expert is chosen on the rows that it is compared on, which flatters it: the
    comparison errs against the mixture.

    Parameters
    ----------
    row_log_likelihood : ndarray of shape (n_samples,)
        Of the mixture, held out.
    log_density : ndarray of shape (n_samples, n_experts)
        Of each expert, held out, with its dispersion within the mixture.
    lone_log_density : ndarray of shape (n_samples, n_experts)
        The same with the dispersion that suits the expert if it answers for all rows.
    sample_weight : ndarray of shape (n_samples,)
    names : sequence of str

    Returns
    -------
    lift : Lift
    """
    best = int(np.argmax(np.average(lone_log_density, axis=0, weights=sample_weight)))
    constant_weights, constant = _constant_mixture(log_density, sample_weight)
    over_best, over_best_se = _paired(
        row_log_likelihood - lone_log_density[:, best], sample_weight
    )
    over_constant, over_constant_se = _paired(row_log_likelihood - constant, sample_weight)
    return Lift(
        names[best],
        over_best,
        over_best_se,
        over_constant,
        over_constant_se,
        constant_weights,
    )


def _constant_mixture(log_density, sample_weight):
    """Best constant weights by EM, and the row log-likelihoods under them."""
    largest = log_density.max(axis=1, keepdims=True)
    density = np.exp(log_density - largest)
    weights = np.full(density.shape[1], 1.0 / density.shape[1])
    for _ in range(CONSTANT_WEIGHT_ITERATIONS):
        posterior = density * weights
        posterior /= posterior.sum(axis=1, keepdims=True)
        weights = np.average(posterior, axis=0, weights=sample_weight)
    return weights, np.log(density @ weights) + largest[:, 0]


def _paired(difference, weight):
    """Weighted mean of paired differences and its standard error."""
    mean = np.average(difference, weights=weight)
    variance = np.average(np.square(difference - mean), weights=weight)
    rows = np.square(weight.sum()) / np.square(weight).sum()
    return float(mean), float(np.sqrt(variance / max(rows - 1.0, 1.0)))
