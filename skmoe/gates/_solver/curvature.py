"""The Hessian of the penalised cross-entropy, estimated on few rows, and its inverse.

Coordinates are the coefficients ``C`` (n_experts - 1, n_columns) of all experts but the last
minus those of the last. The Hessian of the cross-entropy is there

    sum_i w_i (diag(p_i) - p_i p_i') (x) z_i z_i'

with ``p_i`` the probabilities of all experts but the last; it does not depend on the targets, so
that it remains good when an EM iteration changes them. The squared norm of the coefficients that
sum to zero over the experts is ``sum_kl C_k' coupling_kl C_l`` with ``coupling = I - 11'/K``,
whose inverse is ``I + 11'``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve
from scipy.linalg.lapack import dpotrf

from skmoe._arithmetic.reference import CACHED_NUMBERS, softmax

from .designs import SolverDesign

SAMPLE_SEED = 0
"""Of the rows that stand for all in the estimate of the curvature."""

ROWS_PER_PARAMETER = 8

MIN_ROWS = 4000

MIN_CHUNK_ROWS = 256
"""Fewest rows that are multiplied at a time."""

MOST_CORRELATED_COLUMNS = 1000
"""Most columns of which a matrix of second moments is formed."""

RARELY_SAMPLED = 0.5
"""A column whose sampled second moment is below this fraction of its own is mistrusted."""

FIRST_INCREASE = 1e-12
"""First relative increase of the diagonal; multiplied by 100 until the matrix factorises."""


def coupling_matrix(n_experts: int) -> np.ndarray:
    """Matrix of the penalty between experts; see the module's docstring."""
    return np.eye(n_experts - 1) - 1.0 / n_experts


class Curvature(ABC):
    """An estimate of the Hessian."""

    exact: bool
    """Whether it is the Hessian itself where it was made."""

    @abstractmethod
    def solve(self, gradient: np.ndarray) -> np.ndarray:
        """Multiply (n_experts - 1, n_columns) by the inverse."""


@dataclass(frozen=True, eq=False)
class ConstantCurvature(Curvature):
    """Inverse of the Hessian at zero: ``coupling (x) (Z'WZ / K + penalty)``, in closed form.

    It differs by a factor from the fixed bound of Böhning (1992), which is safe at any point,
    and needs a matrix of the columns alone; not even that where they are very many, which then
    count as uncorrelated.

    Attributes
    ----------
    inverse : ndarray of shape (n_columns, n_columns), or (n_columns,) if it is diagonal
    """

    inverse: np.ndarray

    @classmethod
    def of(
        cls, design: SolverDesign, weights: np.ndarray, penalty: np.ndarray, n_experts: int
    ) -> ConstantCurvature:
        """Estimate the second moments of the columns on few rows and invert."""
        if design.n_columns > MOST_CORRELATED_COLUMNS:
            # Standardised columns have a second moment of 1.
            return cls(1.0 / (1.0 / n_experts + penalty))
        n_rows = max(MIN_ROWS, ROWS_PER_PARAMETER * design.n_columns)
        Z, row_weights, exact = _drawn(design, weights, n_rows)
        moments = (Z * row_weights[:, np.newaxis]).T @ Z
        moments.flat[:: len(moments) + 1] += _missed_moments(moments.diagonal(), exact)
        moments /= n_experts
        moments.flat[:: len(moments) + 1] += penalty
        identity = np.eye(len(moments))
        return cls(cho_solve((_cholesky(moments), True), identity, check_finite=False))

    exact = False

    def solve(self, gradient: np.ndarray) -> np.ndarray:
        """Multiply (n_experts - 1, n_columns) by the inverse."""
        summed = gradient + gradient.sum(axis=0)
        return summed * self.inverse if self.inverse.ndim == 1 else summed @ self.inverse


@dataclass(frozen=True, eq=False)
class SampledCurvature(Curvature):
    """Cholesky factor of the Hessian on few rows, or on all of them if they are few.

    Attributes
    ----------
    factor : ndarray of shape (size, size)
        Lower triangle; ``size = (n_experts - 1) * n_columns``.
    exact : bool
        Whether no row was left out.
    """

    factor: np.ndarray
    exact: bool

    @classmethod
    def of(
        cls,
        design: SolverDesign,
        weights: np.ndarray,
        penalty: np.ndarray,
        coupling: np.ndarray,
        coef: np.ndarray,
        n_rows: int,
    ) -> SampledCurvature:
        """Hessian at some coefficients on at most `n_rows` rows."""
        Z, row_weights, exact = _drawn(design, weights, n_rows)
        hessian = cross_entropy_hessian(Z, row_weights, coef)
        moments = row_weights @ np.square(Z)
        missed = _missed_moments(moments, exact)
        n_logits, n_columns = coef.shape
        columns = np.arange(n_columns)
        blocks = penalty[:, np.newaxis, np.newaxis] * coupling
        blocks += missed[:, np.newaxis, np.newaxis] * np.eye(n_logits) / (4.0 * n_logits)
        hessian[:, columns, :, columns] += blocks
        size = n_logits * n_columns
        return cls(_cholesky(hessian.reshape(size, size)), exact)

    def solve(self, gradient: np.ndarray) -> np.ndarray:
        """Multiply (n_experts - 1, n_columns) by the inverse."""
        solution = cho_solve((self.factor, True), gradient.ravel(), check_finite=False)
        return solution.reshape(gradient.shape)


def row_limit(n_coefficients: int) -> int:
    """Rows that a good estimate of the curvature takes."""
    return max(MIN_ROWS, ROWS_PER_PARAMETER * n_coefficients)


def _drawn(design: SolverDesign, weights: np.ndarray, n_rows: int):
    """Rows of the design, their weights, and whether they are all there are."""
    rows, row_weights = sample_rows(weights, n_rows)
    return design.rows(rows), row_weights, len(rows) < n_rows or n_rows >= design.n_samples


def sample_rows(weights: np.ndarray, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw rows that stand for all of them, and their weights.

    The draw is systematic with random offsets: the k-th row is where the cumulative weight
    reaches a random point in the k-th of `n_rows` equal parts. So rows of weight 0 are never
    drawn, heavy ones more than once, and all drawn rows weigh the same.

    Parameters
    ----------
    weights : ndarray of shape (n_samples,)
        Non-negative, sum to 1.
    n_rows : int

    Returns
    -------
    rows : ndarray of shape (n_drawn,), intp
        All rows with a positive weight if there are no more than `n_rows`.
    row_weights : ndarray of shape (n_drawn,)
        Sum to 1.
    """
    if np.count_nonzero(weights) <= n_rows:
        present = np.flatnonzero(weights)
        return present, weights[present]
    offsets = np.random.default_rng(SAMPLE_SEED).uniform(size=n_rows)
    cumulative = np.cumsum(weights)
    points = (np.arange(n_rows) + offsets) * (cumulative[-1] / n_rows)
    # Rounding may put the last point beyond the last row.
    last = len(weights) - 1 - np.argmax(weights[::-1] > 0)
    rows = np.minimum(np.searchsorted(cumulative, points, side="right"), last)
    return rows, np.full(n_rows, 1.0 / n_rows)


def cross_entropy_hessian(Z: np.ndarray, row_weights: np.ndarray, coef: np.ndarray) -> np.ndarray:
    """Hessian of the weighted cross-entropy, without penalty.

    Parameters
    ----------
    Z : ndarray of shape (n_rows, n_columns)
    row_weights : ndarray of shape (n_rows,)
    coef : ndarray of shape (n_logits, n_columns)

    Returns
    -------
    hessian : ndarray of shape (n_logits, n_columns, n_logits, n_columns)
    """
    n_logits, n_columns = coef.shape
    size = n_logits * n_columns
    hessian = np.zeros((size, size))
    within = np.zeros((n_logits, n_columns, n_columns))
    step = max(CACHED_NUMBERS // size, MIN_CHUNK_ROWS)
    for first in range(0, len(Z), step):
        part, weight = Z[first : first + step], row_weights[first : first + step]
        proba, others = _probabilities(part @ coef.T)
        rooted = np.sqrt(weight)[:, np.newaxis] * proba
        spread = (rooted[:, :, np.newaxis] * part[:, np.newaxis]).reshape(len(part), size)
        hessian -= spread.T @ spread
        variances = weight[:, np.newaxis] * proba * others
        for k in range(n_logits):
            within[k] += (part * variances[:, k, np.newaxis]).T @ part
    hessian = hessian.reshape(n_logits, n_columns, n_logits, n_columns)
    for k in range(n_logits):
        hessian[k, :, k] = within[k]
    return hessian


def _probabilities(logits):
    """Probabilities of all experts but the last, whose logit is 0, and their complements.

    Both are accurate where they are tiny: ``1 - p`` would not be.
    """
    proba = np.zeros((len(logits), logits.shape[1] + 1))
    proba[:, :-1] = logits
    proba = softmax(proba)
    below, above = np.cumsum(proba, axis=1), np.cumsum(proba[:, ::-1], axis=1)[:, ::-1]
    others = above[:, 1:].copy()
    others[:, 1:] += below[:, :-2]
    return proba[:, :-1], others


def _missed_moments(moments, exact):
    """What to add to the second moments of columns that the drawn rows hardly show.

    Standardised columns have a second moment of 1. One that is nonzero in few rows may have
    none in those drawn, and seem to have no curvature. A constant column is zero; its gradient
    is zero too, so that any curvature does.
    """
    mistrusted = moments <= (0.0 if exact else RARELY_SAMPLED)
    return np.where(mistrusted, 1.0 - moments, 0.0)


def _cholesky(matrix):
    """Lower Cholesky factor of a symmetric positive semi-definite matrix, which is overwritten.

    Directions whose curvature is lost in rounding (collinear columns) get a little.
    """
    diagonal = matrix.diagonal().copy()
    # Where all probabilities have underflowed there is no curvature at all.
    diagonal = np.maximum(diagonal, np.finfo(np.float64).tiny / FIRST_INCREASE)
    increase = FIRST_INCREASE
    while np.isfinite(increase):
        attempt = matrix.copy()
        attempt.flat[:: len(matrix) + 1] = diagonal * (1.0 + increase)
        factor, failed = dpotrf(attempt.T, lower=1, overwrite_a=1, clean=0)
        if not failed and np.isfinite(factor.diagonal()).all():
            return factor
        increase *= 100.0
    raise FloatingPointError("the Hessian of the gate is not finite")
