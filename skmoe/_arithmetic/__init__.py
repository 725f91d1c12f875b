"""The arithmetic of gates and EM: compiled where that pays, plain NumPy where it does not.

Importing numba and loading a cached kernel takes a few tenths of a second, in which plain NumPy
trains the gate of several thousand rows. The choice depends on the size of the problem alone, so
that a fit does not depend on what the process did before. Both have the same functions.
"""

import importlib
from numbers import Integral

import numpy as np

from . import reference
from .threads import run_in_parts

MOST_PRODUCTS = 600
"""Most products of two columns that a tile of rows has in the cache; with more, BLAS is better."""

ROWS_AT_A_TIME = 65_536
"""Rows of single precision that are made double at a time."""

COMPILED_FROM = 40_000
"""Least number of samples times experts for which kernels are compiled."""


def implementation(n_samples, n_experts):
    """Module that holds the arithmetic for a problem of this size.

    Parameters
    ----------
    n_samples, n_experts : int

    Returns
    -------
    module : module
        `skmoe._arithmetic.compiled` or `skmoe._arithmetic.reference`.
    """
    if n_samples * n_experts < COMPILED_FROM:
        return reference
    return importlib.import_module("skmoe._arithmetic.compiled")


def softmax(logits):
    """See `skmoe._arithmetic.reference.softmax`."""
    return implementation(*logits.shape).softmax(logits)


def log_softmax(logits):
    """See `skmoe._arithmetic.reference.log_softmax`."""
    return implementation(*logits.shape).log_softmax(logits)


def e_step(log_gate, log_density):
    """See `skmoe._arithmetic.reference.e_step`."""
    return implementation(*log_gate.shape).e_step(log_gate, log_density)


def check_top_k(top_k, n_experts):
    """Refuse a number of experts per row that there cannot be.

    Parameters
    ----------
    top_k : object
    n_experts : int

    Raises
    ------
    TypeError, ValueError
        If it is no int, or not between 1 and `n_experts`.
    """
    if type(top_k) is int and 1 <= top_k <= n_experts:  # quicker to ask than what is an Integral
        return
    remedy = f"give an int between 1 and n_experts={n_experts}, or None for all experts"
    if not isinstance(top_k, Integral):
        raise TypeError(f"top_k={top_k!r} is no int; {remedy}")
    if not 1 <= int(top_k) <= n_experts:
        raise ValueError(f"top_k={top_k} is not possible; {remedy}")


def top_k(proba, k):
    """See `skmoe._arithmetic.reference.top_k`; checks k."""
    check_top_k(k, proba.shape[1])
    return implementation(*proba.shape).top_k(proba, k)


def linear_top_k(X, coef, intercept, k):
    """See `skmoe._arithmetic.reference.linear_top_k`; checks k."""
    check_top_k(k, len(coef))
    return implementation(len(X), len(coef)).linear_top_k(X, coef, intercept, k)


def weighted_moments(X, y, centre, weights):
    """See `skmoe._arithmetic.reference.weighted_moments`; X may be in single precision."""
    n_samples, n_experts = weights.shape
    if X.dtype != np.float64:  # some rows at a time, since all of them in double would be two X
        moments = 0.0
        for first in range(0, n_samples, ROWS_AT_A_TIME):
            rows = slice(first, first + ROWS_AT_A_TIME)
            own = X[rows].astype(np.float64)
            moments = moments + weighted_moments(own, y[rows], centre, weights[rows])
        return moments
    n_products = (X.shape[1] + 2) * (X.shape[1] + 3) // 2
    arithmetic = implementation(n_samples, n_experts)
    if arithmetic is reference or n_products > MOST_PRODUCTS:
        return reference.weighted_moments(X, y, centre, weights)

    def part(start, stop):
        rows = slice(start, stop)
        return arithmetic.weighted_moments(X[rows], y[rows], centre, weights[rows])

    nanoseconds = n_samples * n_products * (0.1 + 0.05 * n_experts)
    return sum(run_in_parts(part, n_samples, nanoseconds))
