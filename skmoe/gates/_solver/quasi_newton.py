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

import math
from typing import NamedTuple

import numpy as np

from .curvature import SampledCurvature, row_limit
from .lbfgs import Memory, inner
from .objectives import CrossEntropy, Point

MAX_SHORTENINGS = 40

SUFFICIENT_DECREASE = 1e-4

SUFFICIENT_FLATTENING = 0.8

ROUNDING = 1e-12
"""Relative changes of the objective, and gradients of standardised columns, below this are
rounding."""

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


class Stopping(NamedTuple):
    """When the minimiser ends.

    Attributes
    ----------
    tol : float
        Norm of the gradient, relative to its norm at zero, at which to stop.
    accuracy : float
        If positive and there is a start, take the steps that the objective asks for at least, and
        stop as soon as another promises to lower it by no more than this, whatever `tol` says.
    max_iter : int
        Most steps.
    """

    tol: float = 1e-6
    accuracy: float = 0.0
    max_iter: int = 1000


class Minimum(NamedTuple):
    """Where the minimiser ended.

    Attributes
    ----------
    coef : ndarray of shape (n_experts - 1, n_columns)
    n_iter : int
    relative_gradient : float
        Norm of the gradient relative to its norm at zero; NaN if that is not known.
    converged : bool
    memory : Memory or None
        To start the next problem with; None if no step was looked for.
    end : Point or None
        The objective at `coef`.
    """

    coef: np.ndarray
    n_iter: int
    relative_gradient: float
    converged: bool
    memory: Memory | None
    end: Point | None


def find_minimum(
    objective: CrossEntropy,
    stopping: Stopping,
    start: np.ndarray | None = None,
    memory: Memory | None = None,
    known: Point | None = None,
) -> Minimum:
    """Bring the objective to its optimum, or close to it in few steps.

    Parameters
    ----------
    objective : CrossEntropy or MixtureLikelihood
    stopping : Stopping
    start : ndarray of shape (n_experts - 1, n_columns), default=None
        Ignored where it is worse than zero, unless `accuracy` is asked for.
    memory : Memory, default=None
        Of an earlier problem with the same design and weights that ended at `start`.
    known : Point, default=None
        That end, if the problems differ in targets and penalty only; saves a pass.

    Returns
    -------
    minimum : Minimum
    """
    tol, accuracy, max_iter = stopping
    if known is not None:
        start = known.coef  # the same to rounding
    point, reference = _starting_point(objective, start, known, accuracy)
    # A gradient that is only rounding cannot be made smaller.
    threshold = max(tol * reference if accuracy == 0.0 else 0.0, np.finfo(np.float64).eps)
    if point.coef is not start:
        memory = None
    norm, n_iter, converged = objective.norm(point.gradient), 0, False
    since = 0, norm  # steps and gradient at the last estimate of the Hessian
    while True:
        converged = norm <= threshold
        if converged or n_iter >= max_iter:
            break
        if memory is None:
            n_rows = row_limit(point.coef.size)
            memory = Memory(objective.initial_curvature(point.coef, n_rows), n_rows)
        direction = memory.direction(point.gradient)
        promise = -0.5 * inner(point.gradient, direction)
        converged = n_iter >= objective.least_steps and promise <= accuracy
        if converged:
            break
        successor = _line_search(objective, point, direction) if promise > 0 else None
        if successor is None:
            if memory.fresh and (memory.curvature.exact or not objective.has_hessian):
                # Nothing better is to be had in this precision.
                converged = norm <= ROUNDING
                break
            memory = _refreshed(objective, memory, point, rate=1.0)
            since = n_iter, norm
            continue
        memory = memory.after(successor.coef - point.coef, successor.gradient - point.gradient)
        rate = objective.norm(successor.gradient) / norm
        point, norm, n_iter = successor, rate * norm, n_iter + 1
        if norm == 0.0:
            continue
        to_go = threshold / norm
        if accuracy > 0.0:
            to_go = min(math.sqrt(accuracy / promise) / rate, LASTING_PROGRESS)
        rate = (norm / since[1]) ** (1.0 / (n_iter - since[0]))
        if to_go < 1.0 and _worth_refreshing(objective, memory, rate, to_go, max_iter - n_iter):
            memory = _refreshed(objective, memory, point, rate)
            since = n_iter, norm
    relative = float(norm / reference) if reference > 0 else 0.0
    return Minimum(point.coef, n_iter, relative, bool(converged), memory, point)


def _starting_point(objective, start, known, accuracy):
    """Where to start, and the norm of the gradient at zero (NaN if nobody asks)."""
    if start is not None:
        proposed = objective.at(start) if known is None else objective.again(known)
        if accuracy > 0.0:
            return proposed, np.nan
    zero = objective.at(np.zeros(objective.shape))
    reference = objective.norm(zero.gradient)
    if start is None or proposed.value >= zero.value:
        return zero, reference
    return proposed, reference


def _line_search(objective, point, direction):
    """First acceptable of a sequence of ever shorter steps; None if none is.

    Close to the optimum the decrease of the objective drowns in rounding while its slope is
    still exact, so a step also counts if the objective is unchanged to rounding and the slope
    has flattened (the approximate Wolfe condition of Hager and Zhang, 2005).
    """
    slope = inner(point.gradient, direction)
    # The value is a difference, which is exact to the rounding of its parts only.
    parts = [point.value] if point.partition is None else [point.value, point.partition[0]]
    rounding = ROUNDING * max(map(abs, parts))
    step = 1.0
    for _ in range(MAX_SHORTENINGS):
        trial = objective.at(point.coef + step * direction)
        change = trial.value - point.value
        if change <= SUFFICIENT_DECREASE * step * slope:
            return trial
        trial_slope = inner(trial.gradient, direction)
        if change <= rounding and abs(trial_slope) <= SUFFICIENT_FLATTENING * abs(slope):
            return trial
        # Where the line through the two slopes is zero, within reason.
        step *= min(max(slope / (slope - trial_slope), 0.1), 0.5) if trial_slope > 0 else 0.5
    return None


def _worth_refreshing(objective, memory, rate, to_go, steps_left):
    """Whether a fresh estimate of the Hessian would save more passes than it costs.

    Or is the only way to arrive in the steps that are left.
    """
    if not objective.has_hessian:
        return False
    takes_all = memory.n_rows >= objective.design.n_samples
    passes = math.log(to_go) / math.log(min(rate, SLOWEST_RATE))
    expected = PASSES_OF_NEWTON if takes_all else math.log(to_go) / math.log(EXPECTED_RATE)
    cost = objective.passes_per_curvature(memory.n_rows)
    return passes > min(expected + cost, steps_left)


def _refreshed(objective, memory, point, rate):
    """Estimate the Hessian at a point, on more rows if a fresh estimate has just disappointed."""
    curvature, n_rows = memory.curvature, memory.n_rows
    was_sampled = isinstance(curvature, SampledCurvature)
    if was_sampled and not curvature.exact and memory.age <= 1 and rate > POOR_RATE:
        n_rows *= 4
    if objective.has_hessian:
        curvature = objective.curvature(point.coef, n_rows)
    return Memory(curvature, n_rows)
