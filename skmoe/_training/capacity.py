"""Capacity: no expert may be responsible for more than its part of the rows.

Of all responsibilities ``r`` that respect the capacities, those that lose least likelihood are
closest to the posteriors ``p``: they minimise ``sum_i w_i KL(r_i || p_i)``. With a multiplier
``b_k >= 0`` per capacity they are ``r_ik ~ p_ik exp(-b_k)``, a bias per expert, and the
multipliers minimise the convex dual

    sum_i w_i log sum_k p_ik exp(-b_k) + capacity * sum_k b_k,      b >= 0,     sum_i w_i = 1

whose gradient is the capacity less the load. Only experts at their capacity have a bias.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from .._arithmetic import softmax
from .._data.folds import Folds

PRECISION = 1e-4
"""An expert may exceed its capacity by so much of it, which is a matter of rounding."""


def capacity_bias(log_joint, weights, capacity):
    """Smallest bias per expert with which no expert exceeds the capacity.

    Parameters
    ----------
    log_joint : ndarray of shape (n, K)
        Logarithms of posteriors, up to a constant in each row. At least one entry of a row is
        finite.
    weights : ndarray of shape (n,)
        Non-negative; only their ratios matter.
    capacity : float
        Largest part of the rows, at least 1 / K.

    Returns
    -------
    bias : ndarray of shape (K,)
        Not positive, to be added to `log_joint`.
    """
    n_experts = log_joint.shape[1]
    peak = log_joint.max(axis=1, keepdims=True)
    present = (weights > 0) & np.isfinite(peak[:, 0])  # the impossible rows belong to all alike
    log_joint = log_joint[present] - peak[present]
    weights = weights[present] / weights[present].sum() if present.any() else weights[:0]

    def dual(multipliers):
        shifted = log_joint - multipliers
        peak = shifted.max(axis=1, keepdims=True)
        shifted = np.exp(shifted - peak)
        total = shifted.sum(axis=1)
        value = weights @ (np.log(total) + peak[:, 0]) + capacity * multipliers.sum()
        return value, capacity - (weights / total) @ shifted

    if not len(weights) or np.all(weights @ softmax(log_joint) <= capacity):
        return np.zeros(n_experts)
    found = minimize(
        dual,
        np.zeros(n_experts),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, None)] * n_experts,
        options={"maxiter": 1000, "maxfun": 5000, "gtol": PRECISION * capacity / 2, "ftol": 0.0},
    )
    # Where all are at their capacity, a constant changes nothing; none of the bias is needless.
    return found.x.min() - found.x


@dataclass(frozen=True)
class Capacity:
    """The capacity of the experts in each fold.

    Parameters
    ----------
    folds : Folds
    sample_weight : ndarray of shape (n,)
        0 for a row that the load does not count.
    factor : float
        An expert may be responsible for this multiple of an equal share; at least 1.
    """

    folds: Folds
    sample_weight: np.ndarray
    factor: float

    def biases(self, log_gate: np.ndarray, log_density: np.ndarray) -> np.ndarray:
        """Bias of each expert in each fold.

        That of a fold is found on the rows that it trains on, since it must not know anything of
        the others. On those the capacity holds but roughly.

        Parameters
        ----------
        log_gate : ndarray of shape (F, n, K)
        log_density : ndarray of shape (n, K)

        Returns
        -------
        biases : ndarray of shape (F, K)
        """
        capacity, weight = self.factor / log_gate.shape[-1], self.sample_weight
        return np.stack(
            [
                capacity_bias(own[rows] + log_density[rows], weight[rows], capacity)
                for own, (rows, _) in zip(log_gate, self.folds.splits, strict=True)
            ]
        )
