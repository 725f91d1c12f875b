"""Weights of components altered as little as it takes for the mean to be the one wanted."""

from __future__ import annotations

import numpy as np

MOST_STEPS = 200
"""Of Newton's method, kept between bounds that close in; it takes about six."""

TOLERANCE = 1e-14
"""Accuracy of the mean, in units of the standard deviation between components."""

WIDEST = 1e18
"""Bound on the tilt times the largest distance: at it, all weight is on the nearest components."""


def tilted(weights, distance):
    """Tilt the weights of each row so that the mean of the distances is 0.

    Of all weights with that mean these have the least relative entropy to those given:
    ``w_c exp(t d_c)`` up to a factor, with t the only root of a rising function (exponential
    tilting). Moving the components instead loses where they are sharp.

    Parameters
    ----------
    weights : ndarray of shape (n, C)
        Rows sum to 1.
    distance : ndarray of shape (n, C)
        Of the components' means from the mean wanted.

    Returns
    -------
    weights : ndarray of shape (n, C)
        Rows sum to 1. Where no weights can reach that mean, since all components of positive
        weight lie on one side, they are as close to it as can be.
    """
    size = np.abs(np.where(weights > 0, distance, 0.0)).max(axis=1, initial=0.0, keepdims=True)
    relative = distance / np.where(size > 0, size, 1.0)
    with np.errstate(divide="ignore"):
        log_weights = np.log(weights)
    tilt = np.zeros(len(weights))
    low, high = np.full(len(weights), -WIDEST), np.full(len(weights), WIDEST)
    made = np.array(weights, dtype=np.float64)
    left = np.arange(len(weights))
    for _ in range(MOST_STEPS):
        made[left] = own = _normalised(log_weights[left] + tilt[left, np.newaxis] * relative[left])
        mean = np.einsum("nc,nc->n", own, relative[left])
        square = np.einsum("nc,nc->n", own, np.square(relative[left]))
        high[left] = np.where(mean >= 0, tilt[left], high[left])
        low[left] = np.where(mean <= 0, tilt[left], low[left])
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            step = tilt[left] - mean / (square - np.square(mean))
        middle = 0.5 * (low[left] + high[left])
        inside = (step > low[left]) & (step < high[left])
        stuck = (middle <= low[left]) | (middle >= high[left])
        done = stuck | (np.abs(mean) <= TOLERANCE * np.sqrt(square))
        tilt[left] = np.where(inside, step, middle)
        left = left[~done]
        if len(left) == 0:
            break
    return made


def _normalised(logits):
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)
