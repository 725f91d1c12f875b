"""How many experts a row needs so that the mixture of these is near that of all.

Notation: g are the gate's probabilities of one row, S the experts kept (the most probable ones),
d the probability of those dropped, f an expert's output. Dense and truncated mixture are

    P = sum_k g_k f_k        Q = sum_{k in S} g_k f_k / (1 - d)

and with R the mean output of the dropped experts, ``R = sum_{k not in S} g_k f_k / d``,

    P = (1 - d) Q + d R,     so that     P - Q = d (R - Q).

All bounds below bound R - Q.
"""

from __future__ import annotations

from numbers import Real

import numpy as np

from .._arithmetic import top_k as _top_k
from .routing import Route


def bounded_route(gate_proba, max_error, bound):
    """Give each row the fewest experts whose truncation error is provably at most `max_error`.

    Parameters
    ----------
    gate_proba : ndarray of shape (n_samples, n_experts)
    max_error : float
        At least 0.
    bound : callable
        ``bound(indices, proba)`` takes experts and probabilities, both of shape
        (n_samples, n_experts) and by decreasing probability; entry j of its last axis bounds the
        error if experts 0 to j are kept. The last entry counts as 0, as nothing is dropped.

    Returns
    -------
    route : Route
        As wide as the row that needs most experts; the others are padded with weight 0.

    Raises
    ------
    ValueError
        If `max_error` is not a number of at least 0.
    """
    if not isinstance(max_error, Real) or not float(max_error) >= 0:
        raise ValueError(f"max_error must be a number of at least 0, got {max_error!r}")
    n_samples, n_experts = gate_proba.shape
    indices, proba = _top_k(gate_proba, n_experts)
    enough = bound(indices, proba) <= max_error
    enough[:, -1] = True
    needed = enough.argmax(axis=1) + 1
    width = needed.max(initial=1)
    kept = np.where(np.arange(width) < needed[:, np.newaxis], proba[:, :width], 0.0)
    # Where nothing is dropped, nothing is renormalised: not even by rounding.
    mass = np.where(needed < n_experts, kept.sum(axis=1), 1.0)
    return Route(indices[:, :width], kept / mass[:, np.newaxis], mass)


def probability_bound(indices, proba):
    """Bound on the total variation between the dense and the truncated mixture.

    Outputs are class probabilities. With ``P - Q = d (R - Q)`` (see the module),

        TV(P, Q) = 1/2 sum_c |P_c - Q_c| = d TV(R, Q) <= d,

    since no two distributions are farther apart than 1. The constant 1 cannot be improved: it is
    attained where the experts kept and the experts dropped are certain of different classes. A
    class is an event, hence ``max_c |P_c - Q_c| <= TV(P, Q) <= d``, too, and so is the
    probability of any set of classes. (Without renormalising, the kept part would fall short of
    the dense mixture by d in total.)

    Parameters
    ----------
    indices, proba : ndarrays of shape (n_samples, n_experts)
        See `bounded_route`.

    Returns
    -------
    bound : ndarray of shape (n_samples, n_experts)
        The dropped probability, summed from the smallest up so that it is exact to rounding.
    """
    return _after(proba)


def range_bound(prediction_range):
    """Bound on the difference of means if each expert's predictions keep to their range.

    If expert k predicts between ``lower_k`` and ``upper_k``, the mean of the dropped experts is at
    most ``R_up = sum_{k not in S} g_k upper_k / d`` and the truncated mixture at least
    ``Q_low = sum_{k in S} g_k lower_k / (1 - d)``; with ``P - Q = d (R - Q)`` (see the module)

        d (R_low - Q_up) <= P - Q <= d (R_up - Q_low).

    The larger of the two absolute values is the bound; of several outputs the largest counts.
    It is attained when all experts are at the ends of their ranges.

    Parameters
    ----------
    prediction_range : ndarray of shape (n_experts, n_outputs, 2)
        Smallest and largest prediction of each expert.

    Returns
    -------
    bound : callable
        For `bounded_route`.
    """
    middle = prediction_range.mean(axis=(0, 2))[:, np.newaxis]  # against cancellation
    ranges = np.moveaxis(prediction_range - middle, 1, 0)

    def bound(indices, proba):
        dropped = _after(proba)
        ratio = dropped / proba.cumsum(axis=1)
        worst = np.zeros_like(proba)
        for one in ranges:  # outputs
            lower, upper = (proba * one[:, end][indices] for end in (0, 1))
            above = _after(upper) - ratio * lower.cumsum(axis=1)
            below = ratio * upper.cumsum(axis=1) - _after(lower)
            np.maximum(worst, np.maximum(above, below), out=worst)
        return worst

    return bound


def _after(values):
    """Sums over the entries after each one, added from the last up."""
    sums = np.zeros_like(values)
    sums[:, :-1] = values[:, :0:-1].cumsum(axis=1)[:, ::-1]
    return sums
