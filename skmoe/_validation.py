"""Checks that come before any expert is fitted."""

from __future__ import annotations

import numbers
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier, is_regressor
from sklearn.ensemble import StackingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import KFold, StratifiedKFold, check_cv
from sklearn.utils import _safe_indexing, check_array, check_consistent_length, column_or_1d
from sklearn.utils._indexing import _get_column_indices
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    _num_samples,
    check_is_fitted,
    validate_data,
)

from ._quick_check import is_valid_array
from ._weights import last_step


class TrainingData(NamedTuple):
    """Validated rows of positive weight.

    Attributes
    ----------
    X : array, sparse matrix or frame of shape (n, n_features)
    y : ndarray of shape (n,) or (n, m)
    sample_weight : ndarray of shape (n,)
    kept : ndarray of shape (n,), dtype intp
        Their positions among the rows that were given.
    n_given : int
        Number of rows that were given.
    """

    X: Any
    y: np.ndarray
    sample_weight: np.ndarray
    kept: np.ndarray
    n_given: int


def is_frame(X):
    """Whether X is a data frame (pandas, polars, ...) that experts should see as it is."""
    return hasattr(X, "columns") or hasattr(X, "__dataframe__")


def check_features(estimator, X, reset):
    """Validate X; frames stay frames, so that experts can select columns by name.

    Missing values and strings pass: whether they are welcome is for the experts to say.

    Parameters
    ----------
    estimator : estimator
        Its ``n_features_in_`` and ``feature_names_in_`` are set or compared.
    X : array-like, sparse matrix or frame of shape (n_samples, n_features)
    reset : bool

    Returns
    -------
    X : ndarray, sparse matrix or frame of shape (n_samples, n_features)
    """
    if not reset and is_valid_array(estimator, X, "df"):
        return X
    if is_frame(X):
        return validate_data(estimator, X, reset=reset, skip_check_array=True)
    return validate_data(
        estimator,
        X,
        reset=reset,
        accept_sparse=["csr", "csc"],
        dtype=None,
        ensure_all_finite="allow-nan",
        ensure_min_samples=1 if reset else 0,
    )


def check_class_target(estimator, y):
    """Validate class labels.

    Returns
    -------
    y : ndarray of shape (n_samples,)

    Raises
    ------
    ValueError
        If y is missing, or does not hold class labels.
    """
    y = column_or_1d(_present(estimator, y, dtype=None), warn=True)
    check_classification_targets(y)
    return y


def check_real_target(estimator, y):
    """Validate a regression target.

    Returns
    -------
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs), dtype float64
    """
    y = _present(estimator, y, dtype=np.float64)
    return column_or_1d(y, warn=True) if y.ndim == 1 or y.shape[1] == 1 else y


def _present(estimator, y, dtype):
    if y is None:
        raise ValueError(
            f"This {type(estimator).__name__} estimator requires y to be passed, "
            "but the target y is None."
        )
    return check_array(y, ensure_2d=False, dtype=dtype, input_name="y", estimator=estimator)


def keep_weighted_rows(X, y, sample_weight):
    """Drop rows of weight 0, which are absent by definition.

    Parameters
    ----------
    X : array, sparse matrix or frame of shape (n_given, n_features)
    y : ndarray of shape (n_given,) or (n_given, m)
    sample_weight : array-like of shape (n_given,) or None

    Returns
    -------
    data : TrainingData

    Raises
    ------
    ValueError
        If lengths differ, or weights are negative, not finite or all 0.
    """
    check_consistent_length(X, y)
    n_given = _num_samples(X)
    if sample_weight is None:
        return TrainingData(X, y, np.ones(n_given), np.arange(n_given), n_given)
    weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    kept = np.flatnonzero(weight > 0)
    if len(kept) == 0:
        raise ValueError("sample_weight is 0 for all rows; at least one must be positive")
    if len(kept) < n_given:
        X, y, weight = _safe_indexing(X, kept), y[kept], weight[kept]
    return TrainingData(X, y, weight, kept, n_given)


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


def check_splits(cv, data, classifier, random_state):
    """Splits of the kept rows into (train, test) parts, the test parts a partition.

    Parameters
    ----------
    cv : int, splitter, iterable of (train, test) row indices, or None
        An int means shuffled folds (stratified for classes), since data are often sorted
        by just what a gate should find. The indices of an iterable refer to the rows given.
        None means 5, as everywhere in scikit-learn.
    data : TrainingData
    classifier : bool
    random_state : int

    Returns
    -------
    splits : tuple of (train, test) index arrays

    Raises
    ------
    ValueError
        If a row is tested never or more than once, if it is tested by a model that was fitted
        with it, or if `cv` cannot split these rows.
    """
    try:
        splits = tuple(_split(5 if cv is None else cv, data, classifier, random_state))
    except (ValueError, IndexError) as error:
        raise ValueError(f"cv={cv!r} cannot split the {len(data.kept)} rows: {error}") from error
    splits = tuple((train, test) for train, test in splits if len(test))  # others judge nobody
    if any(len(np.intersect1d(train, test)) for train, test in splits):
        raise ValueError(
            f"cv={cv!r} tests rows that it trains on; each row must be judged by experts that did "
            "not see it (for the classical algorithm set e_step='insample')"
        )
    if any(len(train) == 0 for train, _ in splits):
        raise ValueError(f"cv={cv!r} leaves no row of positive weight to train on in a split")
    tested = np.sort(np.concatenate([test for _, test in splits]))
    if not np.array_equal(tested, np.arange(len(data.kept))):
        raise ValueError(
            f"cv={cv!r} must test each row exactly once (a partition, such as KFold), "
            "since each row is judged by the experts that did not see it"
            + (
                "; a splitter sees only the rows of positive weight, so give list(cv.split(X, y)) "
                "if it counts on all of them"
                if hasattr(cv, "split") and len(data.kept) < data.n_given
                else ""
            )
        )
    return splits


def _split(cv, data, classifier, random_state):
    if isinstance(cv, numbers.Integral):
        folds = StratifiedKFold if classifier else KFold
        return folds(cv, shuffle=True, random_state=random_state).split(data.X, data.y)
    if hasattr(cv, "split"):
        return check_cv(cv, data.y, classifier=classifier).split(data.X, data.y)
    position = np.full(data.n_given, -1)
    position[data.kept] = np.arange(len(data.kept))
    return (
        tuple(position[part][position[part] >= 0] for part in split)
        for split in check_cv(cv).split()
    )


def gate_columns(X, gate_features):
    """Positions of the columns that the gate sees.

    Parameters
    ----------
    X : array, sparse matrix or frame of shape (n_samples, n_features)
    gate_features : None, str, int, list, slice, boolean mask or callable
        As in `ColumnTransformer`; None means all.

    Returns
    -------
    columns : ndarray of int or None
    """
    if callable(gate_features):
        gate_features = gate_features(X)
    if gate_features is None:
        return None
    try:
        columns = np.asarray(_get_column_indices(X, gate_features), dtype=np.intp)
    except (ValueError, IndexError, KeyError) as error:
        given = list(X.columns) if is_frame(X) else f"{X.shape[1]} columns"
        raise ValueError(f"gate_features={gate_features!r}: {error}; X has {given}") from error
    if len(columns) == 0:
        raise ValueError(
            f"gate_features={gate_features!r} selects no column; "
            "give None to let the gate see all of them"
        )
    return columns


def select_columns(X, columns):
    """The part of X that the gate sees."""
    return X if columns is None else _safe_indexing(X, columns, axis=1)
