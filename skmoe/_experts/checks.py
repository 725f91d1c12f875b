"""What may be an expert."""

from __future__ import annotations

import numpy as np
from sklearn.base import is_classifier, is_regressor
from sklearn.ensemble import StackingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import (
    check_is_fitted,
)

from .._data.weights import last_step


def check_experts(estimator, experts, n_experts, default):
    """The names and unfitted estimators that `experts` and `n_experts` stand for.

    Parameters
    ----------
    estimator : estimator
        The mixture: a classifier takes classifiers with ``predict_proba``.
    experts : estimator, list of (str, estimator), or None
    n_experts : int
        Used unless `experts` is a list.
    default : estimator
        Stands in for None.

    Returns
    -------
    names : tuple of str
    templates : tuple of estimators
        The user's own objects: to be cloned.

    Raises
    ------
    TypeError
        If a member is no estimator.
    ValueError
        If the list is empty, malformed, or holds duplicate names or the wrong kind of estimator.
    """
    if not isinstance(experts, list):
        template = default if experts is None else experts
        members = [(f"expert_{k}", template) for k in range(n_experts)]
    else:
        members = _check_members(estimator, experts)
    for name, template in members:
        _check_expert(estimator, name, template)
    names, templates = zip(*members, strict=True)
    return names, templates


def _check_members(estimator, experts):
    for member in experts:
        if not (isinstance(member, tuple) and len(member) == 2 and isinstance(member[0], str)):
            raise ValueError(f"experts must be a list of (name, estimator) tuples, got {member!r}")
    estimator._validate_names([name for name, _ in experts])
    members = [(name, template) for name, template in experts if template != "drop"]
    if not members:
        raise ValueError(
            "experts is empty or all of its members are 'drop'; give at least one "
            "(name, estimator) tuple"
        )
    return members


def _check_expert(estimator, name, template):
    kind = type(estimator).__name__
    if isinstance(template, type) or not hasattr(template, "fit"):
        raise TypeError(
            f"expert {name!r} must be an estimator instance, got {template!r}"
            + (f"; did you mean {template.__name__}()?" if isinstance(template, type) else "")
        )
    title = f"expert {name!r} ({type(template).__name__})"
    if is_regressor(estimator):
        if not is_regressor(template):
            raise ValueError(f"{title} is no regressor; {kind} takes regressors")
    elif not is_classifier(template):
        raise ValueError(f"{title} is no classifier; {kind} takes classifiers")
    elif not _offers_probabilities(template):
        raise ValueError(
            f"{title} has no predict_proba; wrap it in "
            "sklearn.calibration.CalibratedClassifierCV, or choose another classifier"
        )
    frozen = last_step(template)
    if isinstance(frozen, FrozenEstimator):
        try:
            check_is_fitted(frozen)
        except NotFittedError as error:
            raise ValueError(
                f"{title} is frozen but not fitted; fit it before freezing"
            ) from error


def _offers_probabilities(template):
    # Stacking shows its predict_proba only when fitted, once it has its final estimator.
    return hasattr(template, "predict_proba") or isinstance(
        last_step(template), StackingClassifier
    )


def check_frozen_classes(names, templates, classes):
    """Refuse frozen classifiers that know classes which the target lacks.

    Raises
    ------
    ValueError
    """
    for name, template in zip(names, templates, strict=True):
        if isinstance(last_step(template), FrozenEstimator):
            unknown = np.setdiff1d(template.classes_, classes)
            if len(unknown):
                raise ValueError(
                    f"frozen expert {name!r} was fitted with classes that y lacks: "
                    f"{list(unknown)}; add rows of those classes or drop the expert"
                )
