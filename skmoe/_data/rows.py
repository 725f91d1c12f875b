"""X, y and weights checked, before anything is fitted; with a quick check for one row."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn import get_config
from sklearn.utils import _safe_indexing, check_array, check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    _num_samples,
    validate_data,
)


def is_valid_array(estimator, X, dtypes):
    """Whether X is an array in which scikit-learn's checks of new rows would find nothing.

    Parameters
    ----------
    estimator : fitted estimator
        With ``n_features_in_``. One that knows names of columns has to compare them.
    X : object
    dtypes : str
        Characters of the data types that need no conversion.

    Returns
    -------
    valid : bool
        False where there may be something to find or to convert: missing values, too.
    """
    if type(X) is not np.ndarray or X.ndim != 2 or X.dtype.char not in dtypes:
        return False
    if X.shape[1] != estimator.n_features_in_ or hasattr(estimator, "feature_names_in_"):
        return False
    return get_config()["assume_finite"] or bool(np.isfinite(X).all())


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
    groups : ndarray of shape (n,), or None
        Labels of rows that belong together, for whoever splits them.
    """

    X: Any
    y: np.ndarray
    sample_weight: np.ndarray
    kept: np.ndarray
    n_given: int
    groups: np.ndarray | None = None


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


def keep_weighted_rows(X, y, sample_weight, groups=None):
    """Drop rows of weight 0, which are absent by definition.

    Parameters
    ----------
    X : array, sparse matrix or frame of shape (n_given, n_features)
    y : ndarray of shape (n_given,) or (n_given, m)
    sample_weight : array-like of shape (n_given,) or None
    groups : array-like of shape (n_given,) or None

    Returns
    -------
    data : TrainingData

    Raises
    ------
    ValueError
        If lengths differ, or weights are negative, not finite or all 0.
    """
    check_consistent_length(X, y, groups)
    if groups is not None:
        groups = column_or_1d(groups, dtype=None)
    n_given = _num_samples(X)
    if sample_weight is None:
        return TrainingData(X, y, np.ones(n_given), np.arange(n_given), n_given, groups)
    weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    kept = np.flatnonzero(weight > 0)
    if len(kept) == 0:
        raise ValueError("sample_weight is 0 for all rows; at least one must be positive")
    if len(kept) < n_given:
        X, y, weight = _safe_indexing(X, kept), y[kept], weight[kept]
        groups = None if groups is None else groups[kept]
    return TrainingData(X, y, weight, kept, n_given, groups)
