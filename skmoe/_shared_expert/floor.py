"""The floor of classifiers that all speak for every row."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._arithmetic.statistics import paired
from .._likelihoods import Categorical, Likelihood

FLOORS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
"""Candidates, the smallest first."""

ITERATIONS = 100
"""EM steps for constant weights; each costs one pass over an (n, K) array."""


def common_dispersion(
    outputs: np.ndarray, target: np.ndarray, sample_weight: np.ndarray, likelihood: Likelihood
) -> np.ndarray:
    """Dispersions (n_experts, ...) for experts that are all asked about all rows.

    An expert that answered alone would need a large floor for the rows it knows nothing of; among
    others, which are not wrong in the same places, it needs next to none. The floor is the
    smallest whose loss, with the best constant weights, is within one standard error of the best
    candidate's: few rows cannot tell that a large one is needed. It is that of all experts. Means
    have no use for it.

    Parameters
    ----------
    outputs : ndarray of shape (n_samples, n_experts, ...)
        Held out.
    target : ndarray
        As the likelihood takes it.
    sample_weight : ndarray of shape (n_samples,)
    likelihood : Likelihood

    Returns
    -------
    dispersion : ndarray of shape (n_experts, ...)
    """
    n_experts = outputs.shape[1]
    if not isinstance(likelihood, Categorical):
        return likelihood.initial_dispersion(n_experts)
    own = np.take_along_axis(outputs, target[:, np.newaxis, np.newaxis], axis=2)[:, :, 0]
    losses = [
        _loss_with_constant_weights(likelihood.component(own, floor), sample_weight)
        for floor in FLOORS
    ]
    return np.full(n_experts, FLOORS[_first_credible(losses, sample_weight)])


def _loss_with_constant_weights(density: Any, sample_weight):
    """Log-loss (n,) of densities (n, K) that are mixed with the best constant weights."""
    weights = np.full(density.shape[1], 1.0 / density.shape[1])
    for _ in range(ITERATIONS):
        weights = weights * ((sample_weight / (density @ weights)) @ density)
        weights /= weights.sum()
    return -np.log(density @ weights)


def _first_credible(losses, sample_weight):
    """Position of the first loss that is within one standard error of the smallest."""
    best = int(np.argmin([np.average(each, weights=sample_weight) for each in losses]))
    for position, each in enumerate(losses[:best]):
        mean, error = paired(each - losses[best], sample_weight)
        if mean <= error:
            return position
    return best
