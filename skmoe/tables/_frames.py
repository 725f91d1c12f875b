"""Columns of pandas and polars frames and of arrays, read and blanked in one way."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import _safe_indexing


def column_names(X: Any) -> list:
    """Names of the columns of a frame, positions of those of an array."""
    return list(X.columns) if hasattr(X, "columns") else list(range(np.shape(X)[1]))


def column(X: Any, name: Any) -> np.ndarray:
    """One column as it is, shape (n_samples,); what is missing may be None, NaN, NA or NaT."""
    return np.asarray(X[name] if hasattr(X, "columns") else np.asarray(X)[:, name])


def columns_of(X: Any) -> list[np.ndarray]:
    """All columns, each of shape (n_samples,); a single column given alone is one."""
    if np.ndim(X) == 1:
        return [np.asarray(X)]
    return [column(X, name) for name in column_names(X)]


def is_missing(values: np.ndarray) -> np.ndarray:
    """Which values (n_samples,) are missing, dtype bool."""
    if values.dtype.kind in "fc":
        return np.isnan(values)
    if values.dtype.kind in "mM":
        return np.isnat(values)
    if values.dtype.kind in "OT":
        return np.fromiter((_is_missing(value) for value in values), dtype=bool, count=len(values))
    return np.zeros(len(values), dtype=bool)


def _is_missing(value):
    if value is None:
        return True
    try:
        return bool(value != value)
    except (TypeError, ValueError):  # NA of pandas; an array within a cell is not missing
        return not np.ndim(value)


def as_text(X: Any) -> np.ndarray:
    """Values of columns as strings; what is missing becomes the empty string.

    Whole numbers lose their decimal point, so that a column of codes in which a value is
    missing, and which a frame therefore keeps as floats, has the same categories.

    Parameters
    ----------
    X : {array-like, frame} of shape (n_samples, n_columns) or (n_samples,)

    Returns
    -------
    text : ndarray of the same shape, dtype object
        Holds ``str`` only.

    Examples
    --------
    >>> from skmoe.tables import as_text
    >>> as_text([[1.0, "a"], [None, "b"]]).tolist()
    [['1', 'a'], ['', 'b']]
    """
    X = X if hasattr(X, "columns") else np.asarray(X, dtype=_object_unless_typed(X))
    made = [_text(values) for values in columns_of(X)]
    return made[0] if np.ndim(X) == 1 else np.column_stack(made)


def _text(values):
    text = np.empty(len(values), dtype=object)
    text[:] = [_word(value) for value in values.tolist()]
    text[is_missing(values)] = ""
    return text


def _word(value):
    is_whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if is_whole else str(value)


def as_numbers(X: Any) -> np.ndarray:
    """Values of columns as numbers; what is no finite number becomes NaN.

    Parameters
    ----------
    X : {array-like, frame} of shape (n_samples, n_columns) or (n_samples,)

    Returns
    -------
    numbers : ndarray of the same shape, dtype float64

    Examples
    --------
    >>> from skmoe.tables import as_numbers
    >>> as_numbers([["1.5", True], [None, "many"]])
    array([[1.5, 1. ],
           [nan, nan]])
    """
    X = X if hasattr(X, "columns") else np.asarray(X, dtype=_object_unless_typed(X))
    made = [_numbers(values) for values in columns_of(X)]
    numbers = made[0] if np.ndim(X) == 1 else np.column_stack(made)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _numbers(values):
    try:
        return values.astype(np.float64)
    except (TypeError, ValueError):
        return np.array([_number(value) for value in values], dtype=np.float64)


def _number(value):
    try:
        return float(value)
    except (TypeError, ValueError):
        return np.nan


def _object_unless_typed(X):
    """Nested lists keep their values as they are: NumPy would turn numbers into strings."""
    return None if hasattr(X, "dtype") else object


def blanked(X: Any, columns: list) -> Any:
    """A copy in which these columns are missing in every row.

    Parameters
    ----------
    X : array or frame of shape (n_samples, n_features)
        Frames of pandas and polars keep the types of their columns where these can be missing.
    columns : list

    Returns
    -------
    X : of the same kind
    """
    if not hasattr(X, "columns"):
        X = np.array(X, dtype=None if np.asarray(X).dtype.kind in "fO" else float)
        X[:, columns] = np.nan if X.dtype.kind == "f" else None
        return X
    if hasattr(X, "iloc"):
        everywhere = np.ones(len(X), dtype=bool)
        return X.assign(**{name: X[name].mask(everywhere) for name in columns})
    nothing = X.clear(len(X))
    return X.with_columns([nothing[name] for name in columns])


def stacked(first: Any, second: Any) -> Any:
    """The rows of two tables of one kind, one after the other."""
    if not hasattr(first, "columns"):
        return np.concatenate([first, second])
    if hasattr(first, "iloc"):
        import pandas as pd

        return pd.concat([first, second], ignore_index=True)
    return first.vstack(second)


def rows_of(X: Any, rows: np.ndarray) -> Any:
    """Some rows of a table, by position."""
    return _safe_indexing(X, rows)
