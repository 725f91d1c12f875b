"""The Hessian of the penalised cross-entropy, estimated on few rows, and its inverse.

Coordinates are the coefficients ``C`` (n_experts - 1, n_columns) of all experts but the last
minus those of the last. The Hessian of the cross-entropy is there

    sum_i w_i (diag(p_i) - p_i p_i') (x) z_i z_i'

with ``p_i`` the probabilities of all experts but the last; it does not depend on the targets, so
that it remains good when an EM iteration changes them. The squared norm of the coefficients that
sum to zero over the experts is ``sum_kl C_k' coupling_kl C_l`` with ``coupling = I - 11'/K``,
whose inverse is ``I + 11'``.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve
from scipy.linalg.lapack import dpotrf

from skmoe._arithmetic.reference import softmax

from .packed import sample_rows

ROWS_PER_PARAMETER = 8

MIN_ROWS = 4000

CHUNK = 1 << 16
"""Numbers in an intermediate array, which should stay in the cache."""

MIN_CHUNK_ROWS = 256

MOST_CORRELATED_COLUMNS = 1000
"""Most columns of which a matrix of second moments is formed."""

RARELY_SAMPLED = 0.5
"""A column whose sampled second moment is below this fraction of its own is mistrusted."""

JITTER = 1e-12
"""First relative increase of the diagonal; multiplied by 100 until the matrix factorises."""


def coupling_matrix(n_experts, centred):
    """Matrix of the penalty between experts; see the module's docstring.

    Parameters
    ----------
    n_experts : int
    centred : bool
        False penalises the differences from the last expert themselves.
    """
    coupling = np.eye(n_experts - 1)
    return coupling - 1.0 / n_experts if centred else coupling


@dataclass(frozen=True)
class ConstantCurvature:
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
    def of(cls, design, weights, penalty):
        """Estimate the second moments of the columns on few rows and invert."""
        if design.n_columns > MOST_CORRELATED_COLUMNS:
            # Standardised columns have a second moment of 1.
            return cls(1.0 / (1.0 / design.n_experts + penalty))
        n_rows = max(MIN_ROWS, ROWS_PER_PARAMETER * design.n_columns)
        Z, row_weights, exact = _drawn(design, weights, n_rows)
        moments = (Z * row_weights[:, np.newaxis]).T @ Z
        moments.flat[:: len(moments) + 1] += _missed_moments(moments.diagonal(), exact)
        moments /= design.n_experts
        moments.flat[:: len(moments) + 1] += penalty
        identity = np.eye(len(moments))
        return cls(cho_solve((_cholesky(moments), True), identity, check_finite=False))

    exact = False

    def solve(self, gradient):
        """Multiply (n_experts - 1, n_columns) by the inverse."""
        summed = gradient + gradient.sum(axis=0)
        return summed * self.inverse if self.inverse.ndim == 1 else summed @ self.inverse


@dataclass(frozen=True)
class SampledCurvature:
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
    def of(cls, design, weights, penalty, coupling, coef, n_rows):
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

    def solve(self, gradient):
        """Multiply (n_experts - 1, n_columns) by the inverse."""
        solution = cho_solve((self.factor, True), gradient.ravel(), check_finite=False)
        return solution.reshape(gradient.shape)


def row_limit(design):
    """Rows that a good estimate of the curvature takes."""
    return max(MIN_ROWS, ROWS_PER_PARAMETER * design.n_columns * (design.n_experts - 1))


def _drawn(design, weights, n_rows):
    """Rows of the design, their weights, and whether they are all there are."""
    rows, row_weights = sample_rows(weights, n_rows)
    return design.rows(rows), row_weights, len(rows) < n_rows or n_rows >= design.n_samples


def cross_entropy_hessian(Z, row_weights, coef):
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
    step = max(CHUNK // size, MIN_CHUNK_ROWS)
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
    diagonal = np.maximum(diagonal, np.finfo(np.float64).tiny / JITTER)
    jitter = JITTER
    while np.isfinite(jitter):
        attempt = matrix.copy()
        attempt.flat[:: len(matrix) + 1] = diagonal * (1.0 + jitter)
        factor, failed = dpotrf(attempt.T, lower=1, overwrite_a=1, clean=0)
        if not failed and np.isfinite(factor.diagonal()).all():
            return factor
        jitter *= 100.0
    raise FloatingPointError("the Hessian of the gate is not finite")
