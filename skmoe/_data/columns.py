"""What the gate sees: choosing columns, and which of them are numbers."""

from __future__ import annotations

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import _safe_indexing, check_array
from sklearn.utils._indexing import _get_column_indices

from .rows import (
    is_frame,
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


def is_numeric(dtype):
    """Whether a column of this pandas or polars type holds numbers or booleans."""
    if hasattr(dtype, "is_numeric"):  # polars
        return dtype.is_numeric() or str(dtype) in ("Boolean", "Null")
    return getattr(dtype, "kind", "O") in "biuf"


def numeric_columns(Z):
    """Positions of the columns that a forest can take as they are: none if they are sparse."""
    if issparse(Z):
        return np.empty(0, dtype=np.intp)
    dtypes = list(Z.dtypes) if hasattr(Z, "dtypes") else [np.asarray(Z).dtype] * np.shape(Z)[1]
    return np.flatnonzero([is_numeric(dtype) for dtype in dtypes])


def numeric_features(Z, columns):
    """These columns as numbers (n_samples, n_columns), float64; NaN where one is missing."""
    if len(columns) == 0:
        return np.empty((Z.shape[0], 0))
    features = _safe_indexing(Z, columns, axis=1)
    options = {"ensure_all_finite": "allow-nan", "ensure_min_samples": 0}
    return check_array(features, dtype=np.float64, **options)
