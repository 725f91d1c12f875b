"""X, y and weights checked, before anything is fitted; with a quick check for one row."""

from __future__ import annotations

import copy
import math
import warnings
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import issparse
from scipy.sparse import vstack as sparse_rows
from sklearn import get_config
from sklearn.utils import _safe_indexing, check_array, check_consistent_length, column_or_1d
from sklearn.utils.validation import (
    _check_sample_weight,
    _num_samples,
    validate_data,
)

LARGEST = 1e150
"""Squares of larger numbers, summed over rows, overflow."""

SMALLEST_SPREAD = 1e-145
"""Squares of smaller differences, divided by the squared floor of a scale, underflow."""


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
    if not is_known_array(estimator, X, dtypes):
        return False
    return is_finite(X) or get_config()["assume_finite"]


def is_known_array(estimator, X, dtypes):
    """Whether X is an array of the type and the width that `is_valid_array` wants."""
    if type(X) is not np.ndarray or X.ndim != 2 or X.dtype.char not in dtypes:
        return False
    return X.shape[1] == estimator.n_features_in_ and not hasattr(estimator, "feature_names_in_")


def is_finite(X):
    """Whether all numbers of an array are finite.

    The sum of their squares nearly always says so, and it costs a single row a quarter of what a
    look at each number does.
    """
    if X.flags.forc:
        flat = X.ravel("K")
        if math.isfinite(np.vdot(flat, flat)):  # which, unlike dot, does not warn of overflow
            return True
    return bool(np.isfinite(X).all())


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
    return hasattr(X, "columns") and hasattr(X, "dtypes")


def as_known_frame(X):
    """A table that scikit-learn cannot take columns of (pyarrow's, say) as a frame of pandas.

    Parameters
    ----------
    X : object
        Whatever has a method ``to_pandas`` or ``__dataframe__`` and is no frame is converted.

    Returns
    -------
    X : object

    Raises
    ------
    ImportError
        If pandas is not there.
    """
    convertible = hasattr(X, "to_pandas") or hasattr(X, "__dataframe__")
    if is_frame(X) or not convertible:
        return X
    try:
        from pandas.api.interchange import from_dataframe
    except ImportError as error:
        raise ImportError(
            f"X of type {type(X).__name__} is read by way of pandas: pip install 'skmoe[pandas]', "
            "or give an array"
        ) from error
    return X.to_pandas() if hasattr(X, "to_pandas") else from_dataframe(X)


def in_memory(X, fitting):
    """A frame or array of dask computed, for prediction; fitting refuses it.

    Parameters
    ----------
    X : object
        Whatever is no collection of dask is returned as it is.
    fitting : bool

    Raises
    ------
    TypeError
        Where it is to be fitted to: says what to do instead.
    """
    if not hasattr(X, "__dask_graph__"):
        return X
    kind = f"{type(X).__module__.partition('.')[0]} {type(X).__name__}"
    if fitting:
        raise TypeError(
            f"X is a {kind}, of which fit would need all rows in memory: give it X.compute(), or "
            "a sample of that; to learn from one partition after the other there is partial_fit. "
            "(Experts are fitted on a cluster all the same in joblib.parallel_config('dask').)"
        )
    rows = "map_partitions" if hasattr(X, "map_partitions") else "map_blocks"
    warnings.warn(
        f"X is a {kind}, which is computed here and now, in one piece; to predict where its parts "
        f"are, use X.{rows}(model.predict, ...)",
        UserWarning,
        stacklevel=4,
    )
    return X.compute()


def check_features(estimator, X, reset):
    """Validate X; frames stay frames, so that experts can select columns by name.

    Tables of other libraries become frames of pandas; see `as_known_frame` and `in_memory`.

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
    X = as_known_frame(in_memory(X, fitting=reset))
    if is_frame(X):
        return validate_data(estimator, X, reset=reset, skip_check_array=True)
    X = validate_data(
        estimator,
        X,
        reset=reset,
        accept_sparse=["csr", "csc"],
        dtype=None,
        ensure_all_finite="allow-nan",
        ensure_min_samples=1 if reset else 0,
    )
    return with_short_indices(X) if issparse(X) else X


def stacked(first, second):
    """The rows of two tables, which have been checked, one after the other.

    Parameters
    ----------
    first, second : arrays, sparse matrices or frames of the same library

    Returns
    -------
    X : array, CSR matrix or frame

    Raises
    ------
    TypeError
        If only one of them is a frame, or they are frames of different libraries.
    """
    if type(first) is not type(second) and (is_frame(first) or is_frame(second)):
        raise TypeError(
            f"X is a {type(second).__name__} and these rows are a {type(first).__name__}; "
            "give both in the same form"
        )
    if is_frame(first):
        if hasattr(first, "vstack"):  # of polars
            return first.vstack(second.select(first.columns))
        import pandas as pd

        return pd.concat([first, second], ignore_index=True)
    if issparse(first) or issparse(second):
        return sparse_rows([first, second], format="csr")
    return np.concatenate([first, second])


def with_short_indices(X):
    """A sparse matrix with 32-bit indices, which trees and k-means insist on, if they suffice.

    Parameters
    ----------
    X : CSR or CSC matrix
        Left as it is.

    Returns
    -------
    X : CSR or CSC matrix
        Its values are shared.
    """
    if X.indices.dtype == np.int32 or max(X.nnz, *X.shape) > np.iinfo(np.int32).max:
        return X
    short = copy.copy(X)
    short.indices, short.indptr = X.indices.astype(np.int32), X.indptr.astype(np.int32)
    return short


def check_real_target(estimator, y):
    """Validate a regression target.

    Returns
    -------
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs), dtype float64
        Or float32 if it was given so, as the experts may like to have it.
    """
    plain = type(y) is np.ndarray and y.ndim == 1 and y.dtype.char in "df"
    if plain and len(y) and is_finite(y):
        return y  # in which scikit-learn's checks would find nothing
    y = target_given(estimator, y, dtype=(np.float64, np.float32))
    return column_or_1d(y, warn=True) if y.ndim == 1 or y.shape[1] == 1 else y


def check_magnitude(values, name):
    """Refuse numbers whose squares double precision cannot hold.

    Parameters
    ----------
    values : array, sparse matrix or frame
        Columns of a frame that are no numbers are passed over.
    name : str
        For the error.

    Raises
    ------
    ValueError
        Says what is to be rescaled.
    """
    if issparse(values):
        values = values.data
    elif hasattr(values, "select_dtypes"):
        values = values.select_dtypes("number").to_numpy()
    if not isinstance(values, np.ndarray) or values.dtype != np.float64 or not values.size:
        return  # other types hold no such numbers
    with np.errstate(invalid="ignore"):
        largest = np.fmax.reduce(np.abs(values), axis=None, where=~np.isinf(values), initial=0.0)
    if LARGEST < largest < np.inf:  # whether infinity is welcome is for others to say
        raise ValueError(
            f"{name} has values as large as {largest:.3g}, whose squares are no longer numbers; "
            f"divide them by a constant, such as {largest:.0e}, before fit and predict"
        )


def check_spread(y):
    """Refuse a target that varies so little that the squares of its differences are 0.

    Raises
    ------
    ValueError
        Says what is to be rescaled.
    """
    spread = np.ptp(y.reshape(len(y), -1), axis=0)
    smallest = spread[spread > 0].min(initial=np.inf)
    if smallest < SMALLEST_SPREAD:
        raise ValueError(
            f"y varies by no more than {smallest:.3g}, whose square is no longer a number; "
            "multiply y by a constant, or wrap the mixture in TransformedTargetRegressor"
        )


def target_given(estimator, y, dtype):
    """A target as an array, or an error that there is none."""
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
