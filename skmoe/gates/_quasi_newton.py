"""Softmax regression on soft targets by L-BFGS with an estimate of the Hessian in its middle.

L-BFGS needs an initial matrix, and is as good as that is. At the start the Hessian is known in
closed form. It is estimated anew, on a random part of the rows, when the gradient shrinks so
slowly that the estimate costs less than the passes that it promises to save; L-BFGS corrects the
error of sampling within a few passes. Where there are too many coefficients to factorise a
Hessian, it stays as it was at the start.

References
----------
Böhning, D. (1992). Multinomial logistic regression algorithm. Annals of the Institute of
Statistical Mathematics 44(1), 197-200.

Byrd, R. H., Chin, G. M., Neveitt, W. and Nocedal, J. (2011). On the use of stochastic Hessian
information in optimization methods for machine learning. SIAM Journal on Optimization 21(3),
977-995.

Hager, W. W. and Zhang, H. (2005). A new conjugate gradient method with guaranteed descent and
an efficient line search. SIAM Journal on Optimization 16(1), 170-192.

Jamshidian, M. and Jennrich, R. I. (1997). Acceleration of the EM algorithm by using quasi-Newton
methods. Journal of the Royal Statistical Society B 59(3), 569-587.

Nocedal, J. and Wright, S. J. (2006). Numerical Optimization, chapter 7. Springer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from skmoe._arithmetic import e_step

from ._curvature import ConstantCurvature, SampledCurvature, coupling_matrix, row_limit

MEMORY = 10
MAX_SHORTENINGS = 40
SUFFICIENT_DECREASE = 1e-4
SUFFICIENT_FLATTENING = 0.8
ROUNDING = 1e-12

LARGEST_HESSIAN = 1500
"""Most coefficients of which a Hessian is formed."""

EXPECTED_RATE = 0.3
"""Shrinkage of the gradient in a pass that a fresh estimate of the Hessian promises."""

LASTING_PROGRESS = 1e-3
"""Shrinkage of the gradient that is still to come where more problems follow, at the least."""

PASSES_OF_NEWTON = 2.0
"""Passes that the Hessian on all rows promises to leave."""

SLOWEST_RATE = 0.98
"""Slower shrinkage of the gradient is taken for this."""

POOR_RATE = 0.9
"""Shrinkage after which a fresh estimate of the Hessian counts as too poor: draw more rows."""


class Point(NamedTuple):
    """The objective at some coefficients (n_experts - 1, n_columns)."""

    coef: np.ndarray
    value: float
    gradient: np.ndarray


class PackedObjective:
    """The penalised cross-entropy of a packed design.

    Parameters
    ----------
    design : PackedDesign
    targets : ndarray of shape (n_samples, n_experts), float64
    weights : ndarray of shape (n_samples,), float64
        Sum to 1.
    penalty : ndarray of shape (n_columns,), float64
    centred : bool
        Whether the penalty is on the coefficients that sum to zero over the experts, or else on
        the differences from the last expert.
    """

    def __init__(self, design, targets, weights, penalty, centred=True):
        self.design = design
        self.weights = weights
        self.penalty = penalty
        self.centred = centred
        self.coupling = coupling_matrix(design.n_experts, centred)
        self._weights = design.pack_weights(weights)
        self._given = self._hold(targets)

    def _hold(self, targets):
        """What `at` is to know."""
        return self.design.pack_targets(targets)

    @property
    def shape(self):
        """Shape of the coefficients."""
        return self.design.n_experts - 1, self.design.n_columns

    @property
    def has_hessian(self):
        """Whether there are few enough coefficients to form one."""
        return not self.centred or np.prod(self.shape) <= LARGEST_HESSIAN

    def at(self, coef):
        """Evaluate; one pass over the data."""
        loss, gradient = self.design.loss_and_gradient(self._given, self._weights, coef)
        penalised = (self.coupling @ coef) * self.penalty
        return Point(coef, loss + 0.5 * _inner(penalised, coef), gradient + penalised)

    def norm(self, gradient):
        """Norm of the gradient with respect to the coefficients of all experts."""
        own = np.sum(np.square(gradient))
        # The gradient of the last expert is minus the sum of the others.
        return np.sqrt(own + np.sum(np.square(gradient.sum(axis=0))) * self.centred)

    def initial_curvature(self, coef, n_rows):
        """Hessian where the solver starts; at zero it has a closed form."""
        if self.centred and not (self.has_hessian and coef.any()):
            return ConstantCurvature.of(self.design, self.weights, self.penalty)
        return self.curvature(coef, n_rows)

    def curvature(self, coef, n_rows):
        """Hessian at some coefficients on some of the rows."""
        return SampledCurvature.of(
            self.design, self.weights, self.penalty, self.coupling, coef, n_rows
        )

    def passes_per_curvature(self, n_rows):
        """Cost of a Hessian in passes over the data, by counting operations.

        Where it takes all rows, their number cancels out: rows given twice and rows of weight 2
        then take the same steps. (The factorisation is cheap next to the products.)
        """
        n_logits, n_columns = self.shape
        size = n_logits * n_columns
        fraction = min(n_rows / self.design.n_samples, 1.0)
        return (
            fraction
            * size
            * (size + 2.0 * n_columns + 40.0)
            / (n_logits * (4.0 * n_columns + 40.0))
        )


class MixtureObjective(PackedObjective):
    """Minus the log-likelihood of a mixture whose experts stay as they are, penalised.

    Its gradient is that of the cross-entropy with the responsibilities. Its Hessian is smaller
    than that of the cross-entropy, by the information that is missing about which expert
    answers: so the latter makes for steps that are short but safe, those of EM, and L-BFGS
    makes them longer (Jamshidian and Jennrich, 1997).

    Parameters
    ----------
    design, weights, penalty
        See `PackedObjective`.
    targets : ndarray of shape (n_samples, n_experts)
        Finite log-densities of each row's target under each expert.
    """

    has_hessian = False

    def _hold(self, log_density):
        return log_density

    def at(self, coef):
        """Evaluate; an E-step and a pass over the data."""
        log_gate = self.design.log_softmax(np.vstack([coef, np.zeros(coef.shape[1])]))
        responsibilities, log_likelihood = e_step(log_gate, self._given)
        targets = self.design.pack_targets(responsibilities)
        _, gradient = self.design.loss_and_gradient(targets, self._weights, coef)
        penalised = (self.coupling @ coef) * self.penalty
        value = 0.5 * _inner(penalised, coef) - float(self.weights @ log_likelihood)
        return Point(coef, value, gradient + penalised)


@dataclass
class Metric:
    """The inverse Hessian as L-BFGS sees it.

    Attributes
    ----------
    curvature : ConstantCurvature or SampledCurvature
    n_rows : int
        Rows for the next estimate.
    pairs : list of tuples
        Steps taken since the estimate, changes of the gradient, and the inverses of their inner
        products.
    age : int
        Number of steps taken since the estimate.
    """

    curvature: Any
    n_rows: int
    pairs: list = field(default_factory=list)
    age: int = 0

    @property
    def fresh(self):
        """Whether no step has been taken since the estimate."""
        return self.age == 0

    def without_pairs(self):
        """The same estimate for another function with a similar Hessian."""
        return Metric(self.curvature, self.n_rows)

    def direction(self, gradient):
        """Minus the inverse Hessian times the gradient, by the two-loop recursion."""
        residual = gradient
        factors = []
        for step, change, inverse in reversed(self.pairs):
            factors.append(inverse * _inner(step, residual))
            residual = residual - factors[-1] * change
        direction = self.curvature.solve(residual)
        for (step, change, inverse), factor in zip(self.pairs, reversed(factors), strict=True):
            direction = direction + (factor - inverse * _inner(change, direction)) * step
        return -direction

    def remember(self, step, change):
        """Add a step and the change of the gradient along it."""
        self.age += 1
        product = _inner(step, change)
        if product > np.finfo(np.float64).eps * np.linalg.norm(step) * np.linalg.norm(change):
            self.pairs = [*self.pairs[1 - MEMORY :], (step, change, 1.0 / product)]


class Minimum(NamedTuple):
    """Where the minimiser ended.

    Attributes
    ----------
    coef : ndarray of shape (n_experts - 1, n_columns)
    n_iter : int
    relative_gradient : float
        Norm of the gradient relative to its norm at zero; NaN if that is not known.
    converged : bool
    metric : Metric
        To start the next problem with.
    """

    coef: np.ndarray
    n_iter: int
    relative_gradient: float
    converged: bool
    metric: Metric


def minimize(objective, start=None, *, tol=1e-6, accuracy=0.0, max_iter=100, metric=None):
    """Bring the objective to its optimum, or close to it in few steps.

    Parameters
    ----------
    objective : PackedObjective
    start : ndarray of shape (n_experts - 1, n_columns), default=None
    tol : float
        Norm of the gradient, relative to its norm at zero, at which to stop. A start that is
        worse than zero is ignored.
    accuracy : float
        If positive and there is a start, take at least one step and stop as soon as another
        promises to lower the objective by no more than this, whatever `tol` says.
    max_iter : int
    metric : Metric, default=None
        Of an earlier problem with the same design and weights that ended at `start`.

    Returns
    -------
    minimum : Minimum
    """
    point, reference = _starting_point(objective, start, accuracy)
    # A gradient that is only rounding cannot be made smaller.
    threshold = max(tol * reference if accuracy == 0.0 else 0.0, np.finfo(np.float64).eps)
    n_rows = row_limit(objective.design)
    if metric is None or point.coef is not start:
        metric = Metric(None, n_rows)
    norm, n_iter, converged = objective.norm(point.gradient), 0, False
    since = 0, norm  # steps and gradient at the last estimate of the Hessian
    while True:
        converged = norm <= threshold
        if converged or n_iter >= max_iter:
            break
        if metric.curvature is None:
            metric.curvature = objective.initial_curvature(point.coef, n_rows)
        direction = metric.direction(point.gradient)
        promise = -0.5 * _inner(point.gradient, direction)
        converged = n_iter > 0 and promise <= accuracy
        if converged:
            break
        successor = _line_search(objective, point, direction) if promise > 0 else None
        if successor is None:
            if metric.fresh and (metric.curvature.exact or not objective.has_hessian):
                break  # nothing better is to be had in this precision
            _refresh(objective, metric, point, rate=1.0)
            since = n_iter, norm
            continue
        metric.remember(successor.coef - point.coef, successor.gradient - point.gradient)
        rate = objective.norm(successor.gradient) / norm
        point, norm, n_iter = successor, rate * norm, n_iter + 1
        to_go = threshold / norm
        if accuracy > 0.0:
            to_go = min(np.sqrt(accuracy / promise) / rate, LASTING_PROGRESS)
        rate = (norm / since[1]) ** (1.0 / (n_iter - since[0]))
        if to_go < 1.0 and _worth_refreshing(objective, metric, rate, to_go, max_iter - n_iter):
            _refresh(objective, metric, point, rate)
            since = n_iter, norm
    return Minimum(
        point.coef,
        n_iter,
        float(norm / reference) if reference > 0 else 0.0,
        bool(converged),
        metric,
    )


def _starting_point(objective, start, accuracy):
    """Where to start, and the norm of the gradient at zero (NaN if nobody asks)."""
    if start is not None and accuracy > 0.0:
        return objective.at(start), np.nan
    zero = objective.at(np.zeros(objective.shape))
    reference = objective.norm(zero.gradient)
    if start is None:
        return zero, reference
    proposed = objective.at(start)
    return (proposed if proposed.value < zero.value else zero), reference


def _line_search(objective, point, direction):
    """First acceptable of a sequence of ever shorter steps; None if none is.

    Close to the optimum the decrease of the objective drowns in rounding while its slope is
    still exact, so a step also counts if the objective is unchanged to rounding and the slope
    has flattened (the approximate Wolfe condition of Hager and Zhang, 2005).
    """
    slope = _inner(point.gradient, direction)
    rounding = ROUNDING * abs(point.value)
    step = 1.0
    for _ in range(MAX_SHORTENINGS):
        trial = objective.at(point.coef + step * direction)
        change = trial.value - point.value
        if change <= SUFFICIENT_DECREASE * step * slope:
            return trial
        trial_slope = _inner(trial.gradient, direction)
        if change <= rounding and abs(trial_slope) <= SUFFICIENT_FLATTENING * abs(slope):
            return trial
        # Where the line through the two slopes is zero, within reason.
        step *= min(max(slope / (slope - trial_slope), 0.1), 0.5) if trial_slope > 0 else 0.5
    return None


def _worth_refreshing(objective, metric, rate, to_go, steps_left):
    """Whether a fresh estimate of the Hessian would save more passes than it costs.

    Or is the only way to arrive in the steps that are left.
    """
    if not objective.has_hessian:
        return False
    takes_all = metric.n_rows >= objective.design.n_samples
    passes = np.log(to_go) / np.log(min(rate, SLOWEST_RATE))
    expected = PASSES_OF_NEWTON if takes_all else np.log(to_go) / np.log(EXPECTED_RATE)
    cost = objective.passes_per_curvature(metric.n_rows)
    return passes > min(expected + cost, steps_left)


def _refresh(objective, metric, point, rate):
    """Estimate the Hessian at a point, on more rows if a fresh estimate has just disappointed."""
    was_sampled = isinstance(metric.curvature, SampledCurvature)
    if was_sampled and not metric.curvature.exact and metric.age <= 1 and rate > POOR_RATE:
        metric.n_rows *= 4
    if objective.has_hessian:
        metric.curvature = objective.curvature(point.coef, metric.n_rows)
    metric.pairs = []
    metric.age = 0


def _inner(first, second):
    return float(np.vdot(first, second))
