"""Squares and products of features, for gates whose borders are curved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._compat import Record

MOST_FEATURES = 20
"""With more features there are squares only: products would be more than 200."""

REACH = 5.0
"""Standard deviations beyond which a feature's products rise no further, lest outliers rule."""


@dataclass(frozen=True)
class Products(Record):
    """Squares of standardised features, and products of two.

    Attributes
    ----------
    mean : ndarray of shape (n_features,)
    inverse : ndarray of shape (n_features,)
        Inverse standard deviations; 0 for a constant feature.
    pairs : ndarray of shape (n_products, 2), intp
        Indices of the two factors; a square has the same twice.
    """

    mean: np.ndarray
    inverse: np.ndarray
    pairs: np.ndarray

    @classmethod
    def of(cls, mean, inverse):
        """Those of features of which the moments are known; constant ones have none."""
        varying = np.flatnonzero(inverse > 0)
        first, second = np.triu_indices(len(varying))
        if len(varying) > MOST_FEATURES:
            first = second = np.arange(len(varying))
        pairs = np.column_stack([varying[first], varying[second]]).astype(np.intp)
        return cls(mean, inverse, pairs)

    def standardised(self, X):
        """Standardised features, within reach."""
        return np.clip((X - self.mean) * self.inverse, -REACH, REACH)

    def rates(self, X):
        """Derivatives of the standardised features by the features, 0 out of reach."""
        return self.inverse * (np.abs((X - self.mean) * self.inverse) < REACH)

    def columns(self, X):
        """Products (n_samples, n_products) of features without missing values."""
        Z = self.standardised(X)
        return Z[:, self.pairs[:, 0]] * Z[:, self.pairs[:, 1]]


def n_terms(n_features):
    """Features, squares and products together."""
    if n_features > MOST_FEATURES:
        return 2 * n_features
    return n_features * (n_features + 3) // 2
