"""Penalised softmax regression on soft targets: one problem, solved.

The objective over the coefficients ``W`` (n_experts, n_columns) of a design ``Z`` is

    f(W) = sum_i w_i H(R_i, softmax(W z_i)) + 1/2 sum_kj penalty_j W_kj^2,    sum_i w_i = 1

with H the cross-entropy. It is convex, but constant along directions that move all experts
alike; the solution is the one that sums to zero over the experts.

One method solves it, `quasi_newton`. Where there are more columns than rows, and few rows, it
does so after a rotation of the columns to as many as there are rows, which changes nothing else
(`reduced`) and makes the Hessian small enough to factorise.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .designs import Design
from .lbfgs import Memory
from .objectives import CrossEntropy, Point
from .quasi_newton import Stopping, find_minimum
from .reduced import ReducedDesign


class Solution(NamedTuple):
    """What the solver found, and where it may go on from. Nothing in it ever changes.

    Attributes
    ----------
    coef : ndarray of shape (n_experts, n_columns)
        Sums to zero over the experts.
    n_iter : int
        Steps taken.
    converged : bool
    relative_gradient : float
        Norm of the gradient relative to its norm at zero coefficients.
    memory : Memory or None
        What the solver knows of the curvature; it makes the next problem with the same design
        and weights cheaper, if that starts where this ended.
    end : Point or None
        The objective at the solution, for a problem that has other targets or another penalty.
    """

    coef: np.ndarray
    n_iter: int = 0
    converged: bool = True
    relative_gradient: float = 0.0
    memory: Memory | None = None
    end: Point | None = None


def solve(
    kind: type[CrossEntropy],
    design: Design,
    given: np.ndarray,
    weights: np.ndarray,
    penalty: float,
    stopping: Stopping,
    start: Solution | None = None,
) -> Solution:
    """Minimise the penalised cross-entropy, or minus the log-likelihood of a mixture.

    Parameters
    ----------
    kind : {CrossEntropy, MixtureLikelihood}
    design : PackedDesign, SparseDesign or ReducedDesign
    given : ndarray of shape (n_samples, n_experts), float64
        Targets whose rows sum to 1, or log-densities.
    weights : ndarray of shape (n_samples,), float64
        Non-negative; only their ratios matter.
    penalty : float
        Of all columns but that of ones.
    stopping : Stopping
    start : Solution, default=None
        Of a problem with the same design; its coefficients are ignored where they are worse than
        zero. Its memory and its end are those of the same weights, or None.

    Returns
    -------
    solution : Solution
    """
    if given.shape[1] == 1:
        return Solution(np.zeros((1, design.n_columns)))
    if isinstance(design, ReducedDesign):
        if start is not None:
            start = start._replace(coef=design.reduce(start.coef))
        reduced = solve(kind, design.packed, given, weights, penalty, stopping, start)
        return reduced._replace(coef=design.expand(reduced.coef))
    penalties = np.full(design.n_columns, float(penalty))
    penalties[-1] = 0.0
    objective = kind(design, given, weights / weights.sum(), penalties)  # type: ignore[arg-type]
    if start is None:
        minimum = find_minimum(objective, stopping)
    else:
        differences = start.coef[:-1] - start.coef[-1]
        minimum = find_minimum(objective, stopping, differences, start.memory, start.end)
    return Solution(
        centred(minimum.coef),
        minimum.n_iter,
        minimum.converged,
        minimum.relative_gradient,
        minimum.memory,
        minimum.end,
    )


def centred(differences: np.ndarray) -> np.ndarray:
    """Coefficients that sum to zero from their differences to the last expert.

    Parameters
    ----------
    differences : ndarray of shape (n_experts - 1, n_columns)

    Returns
    -------
    coef : ndarray of shape (n_experts, n_columns)
    """
    coef = np.vstack([differences, np.zeros(differences.shape[1])])
    return coef - coef.mean(axis=0)
