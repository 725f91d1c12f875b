"""Penalised softmax regression on soft targets: which method solves which problem.

The objective over the coefficients ``W`` (n_experts, n_columns) of a design ``Z`` is

    f(W) = sum_i w_i H(R_i, softmax(W z_i)) + 1/2 sum_kj penalty_j W_kj^2,    sum_i w_i = 1

with H the cross-entropy. It is convex, but constant along directions that move all experts
alike; the solution is the one that sums to zero over the experts.

One method solves it, `_quasi_newton`. Where there are more columns than rows, and few rows, it
does so after a rotation of the columns to as many as there are rows, which changes nothing else
(`_reduced`) and makes the Hessian small enough to factorise.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from . import quasi_newton as _quasi_newton
from .designs import DenseDesign, SparseDesign
from .objectives import LARGEST_HESSIAN
from .packed import PackedDesign
from .reduced import ReducedDesign


class Solution(NamedTuple):
    """What the solver found.

    Attributes
    ----------
    coef : ndarray of shape (n_experts, n_columns)
        Sums to zero over the experts.
    n_iter : int
        Steps taken.
    converged : bool
    relative_gradient : float
        Norm of the gradient relative to its norm at zero coefficients.
    memory : object
        What the solver knows of the curvature; it makes the next problem with the same design
        and weights cheaper, if that starts where this ended.
    end : Point or None
        The objective at the solution, for a problem that has other targets or another penalty.
    alpha : float or None
        The gate's penalty, for the record.
    """

    coef: np.ndarray
    n_iter: int
    converged: bool
    relative_gradient: float
    memory: Any = None
    end: Any = None
    alpha: float | None = None


def make_design(X, scaling, n_experts):
    """Choose the form of the features in which the problem is solved.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_columns), float64
        Without missing values.
    scaling : Scaling
    n_experts : int

    Returns
    -------
    design : PackedDesign, ReducedDesign or SparseDesign
    """
    n_samples, n_columns = X.shape
    n_logits = n_experts - 1
    if n_logits * n_samples <= LARGEST_HESSIAN < n_logits * (n_columns + 1):
        kind = SparseDesign if sparse.issparse(X) else DenseDesign
        return ReducedDesign(kind(X, scaling, n_experts), n_experts)
    return (SparseDesign if sparse.issparse(X) else PackedDesign)(X, scaling, n_experts)


def minimize(
    kind, design, given, weights, penalty, *, start=None, memory=None, known=None, **stopping
):
    """Minimise the penalised cross-entropy, or minus the log-likelihood of a mixture.

    Parameters
    ----------
    kind : {PackedObjective, MixtureObjective}
    design : object
        What `make_design` returns.
    given : ndarray of shape (n_samples, n_experts), float64
        Targets whose rows sum to 1, or log-densities.
    weights : ndarray of shape (n_samples,), float64
        Non-negative; only their ratios matter.
    penalty : float
        Of all columns but that of ones.
    start : ndarray of shape (n_experts, n_columns), default=None
        Ignored where it is worse than zero.
    memory : object, default=None
        Of the solution that `start` comes from.
    known : Point, default=None
        The end of that, if the problems differ in targets and penalty only.
    **stopping
        `tol`, `accuracy` and `max_iter`; see `_quasi_newton.minimize`.

    Returns
    -------
    solution : Solution
    """
    if design.n_experts == 1:
        return Solution(np.zeros((1, design.n_columns)), 0, True, 0.0)
    weights = weights / weights.sum()
    penalty = np.full(design.n_columns, float(penalty))
    penalty[-1] = 0.0
    if isinstance(design, ReducedDesign):
        reduced = minimize(
            kind,
            design.packed,
            given,
            weights,
            penalty[0],
            start=None if start is None else design.reduce(start),
            memory=memory,
            known=known,
            **stopping,
        )
        return reduced._replace(coef=design.expand(reduced.coef))
    objective = kind(design, given, weights, penalty)
    start = None if start is None else start[:-1] - start[-1]
    minimum = _quasi_newton.minimize(objective, start, metric=memory, known=known, **stopping)
    return Solution(
        centred(minimum.coef),
        minimum.n_iter,
        minimum.converged,
        minimum.relative_gradient,
        minimum.metric,
        minimum.end,
    )


def centred(differences):
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
