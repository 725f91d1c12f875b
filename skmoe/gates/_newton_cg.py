"""Softmax regression on soft targets by Newton's method without a Hessian.

The solver works with ``W = basis U`` where ``basis`` (n_experts, n_experts - 1) has orthonormal
columns that span the coefficients which sum to zero over the experts.

Newton directions come from conjugate gradients, preconditioned by a Kronecker product: the
Hessian is ``sum_i w_i (diag(p_i) - p_i p_i') (x) z_i z_i'``, and replacing each factor by its
average gives ``C (x) G``, which two small eigendecompositions invert, penalty included. It is
exact where the probabilities are the same for all rows, as they are at the start, and in
between it resembles the fixed bound of Böhning (1992), who puts ``(I - 11'/K) / 2`` for C.

References
----------
Böhning, D. (1992). Multinomial logistic regression algorithm. Annals of the Institute of
Statistical Mathematics 44(1), 197-200.

Hager, W. W. and Zhang, H. (2005). A new conjugate gradient method with guaranteed descent and
an efficient line search. SIAM Journal on Optimization 16(1), 170-192.

Nocedal, J. and Wright, S. J. (2006). Numerical Optimization, chapter 7. Springer.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh, helmert

from skmoe._plain import hessian_product, softmax_cross_entropy

WIDEST_EIGENDECOMPOSITION = 1000
"""Designs with more columns are preconditioned as if their columns were uncorrelated."""

SMALLEST_CURVATURE = 1e-10
"""Curvatures below this fraction of the largest one are raised to it in the preconditioner."""

MAX_CONJUGATE_GRADIENTS = 1000
MAX_HALVINGS = 40
SUFFICIENT_DECREASE = 1e-4
SUFFICIENT_FLATTENING = 0.8
ROUNDING = 1e-12


@dataclass(frozen=True)
class Point:
    """The objective at some coefficients.

    Attributes
    ----------
    coef : ndarray of shape (n_experts - 1, n_columns)
        In the coordinates of the basis.
    logits, residual, proba : ndarray of shape (n_samples, n_experts)
    value : float
    """

    coef: np.ndarray
    logits: np.ndarray
    value: float
    residual: np.ndarray
    proba: np.ndarray


class Objective:
    """The penalised cross-entropy in the coordinates of a basis.

    Parameters
    ----------
    design : DenseDesign or SparseDesign
    targets : ndarray of shape (n_samples, n_experts), float64
    weights : ndarray of shape (n_samples,), float64
        Sum to 1.
    penalty : ndarray of shape (n_columns,), float64
    basis : ndarray of shape (n_experts, n_experts - 1), float64
    """

    def __init__(self, design, targets, weights, penalty, basis):
        self.design = design
        self.targets = targets
        self.weights = weights
        self.penalty = penalty
        self.basis = basis
        self._moments = None

    def logits(self, coef):
        """Logits at the given coefficients."""
        return self.design.logits(self.basis @ coef)

    def at(self, coef, logits):
        """Evaluate at coefficients whose logits are known already."""
        loss, residual, proba = softmax_cross_entropy(logits, self.targets, self.weights)
        value = loss + 0.5 * np.sum(self.penalty * np.square(coef))
        return Point(coef, logits, value, residual, proba)

    def gradient(self, point):
        """Gradient at a point, (n_experts - 1, n_columns)."""
        return self.basis.T @ self.design.gradient(point.residual) + self.penalty * point.coef

    def slope(self, point, direction, direction_logits):
        """Differentiate at a point along a direction."""
        along_penalty = np.sum(self.penalty * point.coef * direction)
        return _inner(point.residual, direction_logits) + along_penalty

    def hessian_product(self, point, direction):
        """Hessian at a point times a direction, (n_experts - 1, n_columns)."""
        change = hessian_product(point.proba, self.logits(direction), self.weights)
        return self.basis.T @ self.design.gradient(change) + self.penalty * direction

    def preconditioner(self, point):
        """Return the function that multiplies by the inverse of the Kronecker approximation."""
        columns, column_vectors, penalty = self._columns()
        weighted = point.proba * self.weights[:, None]
        between = np.diag(weighted.sum(axis=0)) - weighted.T @ point.proba
        experts, expert_vectors = eigh(self.basis.T @ between @ self.basis)
        curvature = np.maximum(experts, 0.0)[:, None] * columns + penalty
        curvature = np.maximum(curvature, SMALLEST_CURVATURE * curvature.max())

        def apply(residual):
            if column_vectors is None:
                return expert_vectors @ ((expert_vectors.T @ residual) / curvature)
            rotated = expert_vectors.T @ residual @ column_vectors
            return expert_vectors @ (rotated / curvature) @ column_vectors.T

        return apply

    def _columns(self):
        """Second moments of the design: eigenvalues, eigenvectors and the penalty of these."""
        if self._moments is None:
            if self.design.n_columns > WIDEST_EIGENDECOMPOSITION:
                # Standardised columns have second moment 1.
                self._moments = np.ones(self.design.n_columns), None, self.penalty
            else:
                values, vectors = eigh(self.design.second_moments(self.weights))
                penalty = np.square(vectors).T @ self.penalty
                self._moments = np.maximum(values, 0.0), vectors, penalty
        return self._moments


def _inner(first, second):
    """Sum of the products; BLAS would start threads for what is a small loop."""
    return np.einsum("ij,ij->", first, second)


def _norm(array):
    return np.sqrt(_inner(array, array))


def centred_basis(n_experts):
    """Orthonormal basis of the vectors that sum to zero, (n_experts, n_experts - 1)."""
    return np.ascontiguousarray(helmert(n_experts).T)


def minimize(
    design, targets, weights, penalty, start=None, *, tol=1e-6, accuracy=0.0, max_iter=100
):
    """Bring the objective to its optimum, or close to it in few steps.

    Parameters
    ----------
    design : DenseDesign or SparseDesign
    targets : ndarray of shape (n_samples, n_experts), float64
        Rows sum to 1.
    weights : ndarray of shape (n_samples,), float64
        Sum to 1.
    penalty : ndarray of shape (n_columns,), float64
    start : ndarray of shape (n_experts, n_columns), default=None
        Ignored where it is worse than zero.
    tol : float
        Norm of the gradient, relative to its norm at zero, at which to stop.
    accuracy : float
        If positive and there is a start, take at least one step and stop as soon as the last
        one promised to lower the objective by no more than this, whatever `tol` says.
    max_iter : int
        Most Newton steps.

    Returns
    -------
    coef : ndarray of shape (n_experts, n_columns)
    n_iter : int
    converged : bool
    relative_gradient : float
    """
    objective = Objective(design, targets, weights, penalty, centred_basis(targets.shape[1]))
    point, reference = _starting_point(objective, start)
    # A gradient that is only rounding cannot be made smaller.
    threshold = max(tol * reference, np.finfo(np.float64).eps)
    gradient = objective.gradient(point)
    norm = _norm(gradient)
    n_iter, promise = 0, np.inf
    close_enough = 0.0 if start is None else accuracy
    while norm > threshold and promise > close_enough and n_iter < max_iter:
        direction = _newton_direction(
            objective, point, gradient, min(0.5, np.sqrt(norm / reference))
        )
        successor = _line_search(objective, point, gradient, direction)
        if successor is None:
            break
        promise = -0.5 * _inner(gradient, direction)
        point = successor
        gradient = objective.gradient(point)
        norm = _norm(gradient)
        n_iter += 1
    relative = float(norm / reference) if reference > 0 else 0.0
    converged = bool(norm <= threshold or promise <= close_enough)
    return objective.basis @ point.coef, n_iter, converged, relative


def _starting_point(objective, start):
    """Better of zero and the proposed start, and the norm of the gradient at zero."""
    shape = objective.basis.shape[1], objective.design.n_columns
    zero = objective.at(np.zeros(shape), np.zeros(objective.targets.shape))
    reference = _norm(objective.gradient(zero))
    if start is None:
        return zero, reference
    coef = objective.basis.T @ start
    proposed = objective.at(coef, objective.logits(coef))
    return (proposed if proposed.value < zero.value else zero), reference


def _newton_direction(objective, point, gradient, accuracy):
    """Solve ``H direction = -gradient`` by preconditioned conjugate gradients.

    The residual is brought to `accuracy` times the norm of the gradient; an accuracy that
    shrinks with the gradient makes the outer iteration converge superlinearly.
    """
    precondition = objective.preconditioner(point)
    target = accuracy * _norm(gradient)
    direction = np.zeros_like(gradient)
    residual = -gradient
    preconditioned = precondition(residual)
    search = preconditioned
    energy = _inner(residual, preconditioned)
    for _ in range(MAX_CONJUGATE_GRADIENTS):
        product = objective.hessian_product(point, search)
        curvature = _inner(search, product)
        if curvature <= 0:  # rounding: the Hessian vanishes along the search direction
            break
        length = energy / curvature
        direction = direction + length * search
        residual = residual - length * product
        if _norm(residual) <= target:
            break
        preconditioned = precondition(residual)
        energy, previous = _inner(residual, preconditioned), energy
        search = preconditioned + (energy / previous) * search
    return direction if direction.any() else precondition(-gradient)


def _line_search(objective, point, gradient, direction):
    """First of the steps 1, 1/2, 1/4, ... that is acceptable; None if none is.

    Close to the optimum the decrease of the objective drowns in rounding while its slope is
    still exact, so a step also counts if the objective is unchanged to rounding and the slope
    has flattened (the approximate Wolfe condition of Hager and Zhang, 2005).
    """
    slope = _inner(gradient, direction)
    direction_logits = objective.logits(direction)
    rounding = ROUNDING * abs(point.value)
    step = 1.0
    for _ in range(MAX_HALVINGS):
        trial = objective.at(point.coef + step * direction, point.logits + step * direction_logits)
        change = trial.value - point.value
        if change <= SUFFICIENT_DECREASE * step * slope:
            return trial
        if change <= rounding:
            trial_slope = objective.slope(trial, direction, direction_logits)
            if abs(trial_slope) <= SUFFICIENT_FLATTENING * abs(slope):
                return trial
        step *= 0.5
    return None
