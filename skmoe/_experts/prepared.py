"""Features prepared once for experts that would prepare them again in every fit.

EM fits the same kind of expert hundreds of times on the same rows, with other weights. What such
an expert makes of X whatever the weights may as well be made once. It is for EM alone: the final
experts are fitted on X as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor


def prepared_features(templates: tuple[Any, ...], X: Any) -> tuple[Any, ...]:
    """For each expert, the X that it is fitted on in EM; alike experts share one.

    Parameters
    ----------
    templates : tuple of K estimators
    X : array, sparse matrix or frame of shape (n_samples, n_features)

    Returns
    -------
    features : tuple of K
        Of the same shape and units as X. X itself for experts that nothing is known to help.
    """
    made: dict[int, Any] = {}
    features = []
    for template in templates:
        prepare = PREPARATIONS.get(type(template))
        bins = None if prepare is None else _bins(template)
        if prepare is None or bins is None or not _is_plain(X):
            features.append(X)
            continue
        if bins not in made:
            made[bins] = prepare(X, bins)
        features.append(made[bins])
    return tuple(features)


def few_values(X: np.ndarray, n_values: int) -> np.ndarray:
    """X with at most so many distinct values in a column.

    Each value is replaced by the middle one of its quantile bin. Where a column has more distinct
    values than bins, boosting on histograms looks for weighted percentiles in every weighted fit,
    which took most of its time (scikit-learn 1.9). Where it has not, it takes them as they are.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Missing values stay.
    n_values : int

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        Of the same type.
    """
    X = X.copy()
    for column in X.T:
        known = np.flatnonzero(~np.isnan(column))
        values = column[known]
        if len(np.unique(values)) <= n_values:
            continue
        ordered = np.sort(values)
        edges = np.unique(ordered[np.arange(1, n_values) * len(ordered) // n_values])
        bins = np.searchsorted(edges, values, side="right")
        sizes = np.bincount(bins, minlength=len(edges) + 1)
        middles = np.minimum(np.cumsum(sizes) - (sizes + 1) // 2, len(ordered) - 1)
        column[known] = ordered[middles][bins]
    return X


def _bins(template):
    """Distinct values that a boosted model takes as they are; None if some are categories."""
    if template.categorical_features not in (None, "from_dtype"):
        return None
    return template.max_bins


def _is_plain(X):
    return isinstance(X, np.ndarray) and X.dtype.kind == "f"


PREPARATIONS: dict[type, Callable[[np.ndarray, int], np.ndarray]] = {
    HistGradientBoostingClassifier: few_values,
    HistGradientBoostingRegressor: few_values,
}
"""Kinds of experts, and what prepares X for them."""
