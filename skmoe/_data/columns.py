"""What the gate sees: choosing columns, and which of them are numbers."""

from __future__ import annotations

import numpy as np
from sklearn.utils import _safe_indexing
from sklearn.utils._indexing import _get_column_indices

from .protection import protected
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
    """The part of X that the gate sees; nothing that a gate does to it changes X."""
    return protected(X if columns is None else _safe_indexing(X, columns, axis=1))


def is_numeric(dtype):
    """Whether a column of this pandas or polars type holds numbers or booleans."""
    if hasattr(dtype, "is_numeric"):  # polars
        return dtype.is_numeric() or str(dtype) in ("Boolean", "Null")
    return getattr(dtype, "kind", "O") in "biuf"
