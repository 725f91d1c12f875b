"""Which experts are of one kind."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge

from .._data.weights import last_step
from .seeds import SEED_NAMES

LINEAR = (LinearRegression, LogisticRegression, Ridge)
"""Kinds of experts that are cheap and stiff, for which it was measured what that is worth."""


def is_linear(template):
    """Whether an expert is linear in what it sees, which a Pipeline may prepare.

    Parameters
    ----------
    template : estimator

    Returns
    -------
    linear : bool
    """
    return isinstance(last_step(template), LINEAR)


def of_different_kinds(templates):
    """Whether no two estimators are alike: a pool, and not clones that are to specialise.

    Parameters
    ----------
    templates : sequence of estimators

    Returns
    -------
    different : bool
    """
    return not any(alike(first, second) for first, second in combinations(templates, 2))


def alike(first, second):
    """Whether two parameters, or two estimators, are the same but for random states.

    Frozen estimators are alike whatever is in them, since nothing is left for them to learn.

    Parameters
    ----------
    first, second : object

    Returns
    -------
    alike : bool
    """
    if first is second:
        return True
    if type(first) is not type(second):
        return False
    if isinstance(first, FrozenEstimator):
        return True
    if hasattr(first, "get_params") and not isinstance(first, type):
        return _alike_values(_parameters(first), _parameters(second))
    if isinstance(first, dict):
        return _alike_values(first, second)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(alike, first, second))
    if isinstance(first, np.ndarray):
        return first.dtype == second.dtype and np.array_equal(first, second)
    try:
        # NaN, as a marker of missing values, is not equal to itself.
        return bool(first == second) or (first != first and second != second)
    except (TypeError, ValueError):  # frames and the like have no single answer
        return False


def _parameters(estimator):
    parameters = estimator.get_params(deep=False)
    return {name: value for name, value in parameters.items() if name not in SEED_NAMES}


def _alike_values(first, second):
    return first.keys() == second.keys() and all(alike(first[key], second[key]) for key in first)
