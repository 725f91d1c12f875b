"""Rows such as a mixture has served before, beside those of an operation on its experts.

The mixture keeps no rows itself: they are data, which a model that is handed on should not hold.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import _check_sample_weight

from .._data.rows import check_features, stacked


def with_old_rows(fitted: Any, rows: tuple, old_rows: Any) -> tuple[tuple, int]:
    """Both kinds of rows, the old ones first.

    Parameters
    ----------
    fitted : fitted mixture
    rows : tuple (X, y, sample_weight, groups)
    old_rows : pair (X_old, y_old)
        Of weight 1, with targets that the mixture knows.

    Returns
    -------
    both : tuple (X, y, sample_weight, groups)
    n_old : int
        Number of old rows.

    Raises
    ------
    ValueError
        If they cannot be joined.
    """
    X, y, sample_weight, groups = rows
    if not isinstance(old_rows, tuple | list) or len(old_rows) != 2:
        raise ValueError(f"old_rows must be a pair (X_old, y_old), got {type(old_rows).__name__}")
    if groups is not None:
        raise ValueError("old_rows have no groups; give all rows as X and y, with their groups")
    X, y = check_features(fitted, X, reset=False), fitted._check_target(y)
    check_consistent_length(X, y)
    try:
        X_old = check_features(fitted, old_rows[0], reset=False)
        y_old = fitted._check_target(old_rows[1])
        check_consistent_length(X_old, y_old)
        fitted._encode(y_old)  # refuses what it does not know
        both = stacked(X_old, X)
    except (ValueError, TypeError) as error:
        raise ValueError(f"old_rows: {error}") from error
    if sample_weight is not None:
        weight = _check_sample_weight(sample_weight, X)
        sample_weight = np.concatenate([np.ones(len(y_old)), weight])
    return (both, np.concatenate([y_old, y]), sample_weight, None), len(y_old)
