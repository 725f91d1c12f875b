"""Random states of experts."""

from __future__ import annotations

from inspect import signature
from numbers import Integral

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

SEED_NAMES = ("random_state", "random_seed", "seed")
"""What estimators call their random state, the usual name first."""


def seeded(estimator, random_state, override):
    """Clone an estimator and fix its random states, nested ones included.

    Parameters
    ----------
    estimator : estimator
    random_state : numpy.random.RandomState
    override : bool
        Whether random states that the user set are replaced, as `BaggingClassifier` does
        for its clones; otherwise only those left at None are filled.

    Returns
    -------
    estimator : estimator
        A frozen estimator, and whatever is frozen inside, is left as it is.
    """
    if isinstance(estimator, FrozenEstimator):
        return estimator
    estimator = clone(estimator)
    parameters = estimator.get_params(deep=True)
    members = {"": estimator} | {
        f"{name}__": value
        for name, value in parameters.items()
        if hasattr(value, "get_params") and not isinstance(value, type)
    }
    frozen = tuple(at for at, member in members.items() if isinstance(member, FrozenEstimator))
    names = [
        at + name
        for at, member in members.items()
        if not (frozen and at.startswith(frozen))
        for name in _seed_parameters(member, override)
    ]
    for name in sorted(names):
        estimator.set_params(**{name: random_state.randint(np.iinfo(np.int32).max)})
    return estimator


def _seed_parameters(estimator, override):
    """The names, none or one, of the parameter of an estimator that is to be given a seed.

    An estimator that has several names for it (LightGBM, CatBoost) complains if two are set: the
    one that the user chose stays in use. CatBoost tells of parameters only that were set.
    """
    parameters = estimator.get_params(deep=False)
    shown = [name for name in SEED_NAMES if _is_seed(parameters.get(name, "absent"))]
    chosen = [name for name in shown if parameters[name] is not None]
    if not override:
        return [] if chosen else shown[:1]
    if not shown:
        accepted = signature(type(estimator).__init__).parameters
        shown = [name for name in SEED_NAMES if name in accepted and name not in parameters]
    return (chosen or shown)[:1]


def _is_seed(value):
    return value is None or isinstance(value, Integral | np.random.RandomState)
