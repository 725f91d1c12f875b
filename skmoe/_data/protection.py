"""Handing rows to estimators that may change them.

``StandardScaler(copy=False)`` writes into the array that it is given: the rows would be changed
for the experts that are asked next, and for the caller. An array that is marked as read-only
costs nothing, and scikit-learn's transformers copy it where they would write; a frame cannot be
marked and is copied. As measured with a ridge and 20 columns, the cheapest expert there is, a
copy of an array takes 1.8 times the time of the prediction of 100,000 rows (1.0 to 1.1 times for
1,000), and the mark none.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import _safe_indexing


def protected(X: Any) -> Any:
    """The same rows, in a form through which an estimator cannot change them.

    Parameters
    ----------
    X : ndarray, sparse matrix or frame of shape (n_samples, n_features)

    Returns
    -------
    X : object of the same kind
        An array or a sparse matrix shares its memory with the one given and is read-only (an
        array that is so already is returned as it is); a frame is a copy.
    """
    if isinstance(X, np.ndarray):
        if not X.flags.writeable:
            return X
        view = X.view()
        view.flags.writeable = False
        return view
    if issparse(X):
        return _sparse(X, protected)
    if hasattr(X, "copy"):
        return X.copy()
    return X.clone() if hasattr(X, "clone") else X  # polars shares columns that nobody can change


def taken(X: Any, rows: Any) -> Any:
    """Rows that an estimator may change; pandas hands out its own memory if it is all of them."""
    part = _safe_indexing(X, rows)
    return protected(part) if hasattr(X, "iloc") and len(part) == len(X) else part


def is_protected(X: Any) -> bool:
    """Whether X is read-only, so that an estimator that writes into it has to raise."""
    if issparse(X):
        X = getattr(X, "data", None)
    return isinstance(X, np.ndarray) and not X.flags.writeable


def own_copy(X: Any) -> Any:
    """A writable copy of an array or a sparse matrix."""
    return _sparse(X, np.array) if issparse(X) else np.array(X)


def _sparse(X, of_array):
    """A compressed sparse matrix made of its three arrays, each passed through a function."""
    if X.format not in ("csr", "csc"):
        return X.copy()
    parts = [of_array(part) for part in (X.data, X.indices, X.indptr)]
    made = type(X)(tuple(parts), shape=X.shape, copy=False)
    made.has_sorted_indices = X.has_sorted_indices
    made.has_canonical_format = X.has_canonical_format
    return made
