"""What logits may hold beside the features: products for curved borders, splines for steps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .._compat import Record

MOST_FEATURES = 20
"""With more features (for splines: of more than two values) each has one further term only."""

REACH = 5.0
"""Standard deviations beyond which a feature's products rise no further, lest outliers rule."""

MOST_KNOTS = 5
"""Interior knots of a feature's spline, at quantiles."""

CLOSE = 1e-9
"""Part of a feature's range within which two knots are one."""


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

    def columns(self, X):
        """Products (n_samples, n_products) of features without missing values."""
        Z = self.standardised(X)
        return Z[:, self.pairs[:, 0]] * Z[:, self.pairs[:, 1]]

    def shares(self, coef, X):
        """What each feature adds to a logit (n_samples, n_features) of coefficients per row.

        Half of a product is due to either factor, which is its Shapley value.
        """
        share = np.zeros(X.shape)
        halves = coef * self.columns(X) / 2
        for factor in self.pairs.T:
            np.add.at(share.T, factor, halves.T)
        return share

    def slopes(self, coef, X):
        """Gradient (n_samples, n_features) of such a logit."""
        slopes, Z = np.zeros(X.shape), self.standardised(X)
        rates = self.inverse * (np.abs((X - self.mean) * self.inverse) < REACH)
        for factor, other in (self.pairs.T, self.pairs.T[::-1]):
            np.add.at(slopes.T, factor, (coef * Z[:, other] * rates[:, factor]).T)
        return slopes


@dataclass(frozen=True)
class Splines(Record):
    """A linear spline of every feature, in the basis of hats (B-splines of degree 1).

    A hat is 1 at its knot, falls to 0 in a straight line at the knots beside it, and is 0 beyond.
    The sum of hats with coefficients is a line from knot to knot, which starts and ends at 0; the
    feature's own coefficient gives it the slope that goes on beyond the outermost knots.

    Attributes
    ----------
    features : ndarray of shape (n_hats,), intp
        Ascending.
    left, knots, right : ndarray of shape (n_hats,)
        Where each hat begins, is 1, and ends.
    """

    features: np.ndarray
    left: np.ndarray
    knots: np.ndarray
    right: np.ndarray

    @classmethod
    def of(cls, X, weights):
        """Hats of features (n_samples, n_features); NaN where values are missing.

        The knots are the distinct values of a feature of few, else its least, its largest, and
        quantiles. A feature of two values has none: it is linear as it is.
        """
        n_many = sum(len(knots_of(column, weights, 1)) > 2 for column in X.T)
        n_knots = MOST_KNOTS if n_many <= MOST_FEATURES else 1
        knots = [knots_of(column, weights, n_knots) for column in X.T]
        features = np.repeat(np.arange(len(knots)), [max(len(each) - 2, 0) for each in knots])
        left, middle, right = (
            np.concatenate([each[part] for each in knots] or [np.empty(0)])
            for part in (slice(None, -2), slice(1, -1), slice(2, None))
        )
        return cls(features.astype(np.intp), left, middle, right)

    def columns(self, X):
        """Hats (n_samples, n_hats) of features without missing values."""
        if len(X) == 1:  # served one by one, a row need not be broadcast against the knots
            return self._hats(X[0])[np.newaxis]
        return self._hats(X)

    def _hats(self, X):
        x = X.take(self.features, axis=-1)  # quicker than indexing
        rise, fall = self._widths
        rising, falling = x - self.left, self.right - x
        rising /= rise
        falling /= fall
        np.minimum(rising, falling, out=rising)
        return np.maximum(rising, 0.0, out=rising)

    @cached_property
    def _widths(self):
        return self.knots - self.left, self.right - self.knots

    def shares(self, coef, X):
        """What each feature adds to a logit (n_samples, n_features) of coefficients per row."""
        share = np.zeros(X.shape)
        np.add.at(share.T, self.features, (coef * self.columns(X)).T)
        return share

    def slopes(self, coef, X):
        """Gradient (n_samples, n_features) of such a logit; at a knot the mean of both sides."""
        slopes, x = np.zeros(X.shape), X[:, self.features]
        rising = _within(self.left, x, self.knots) / (self.knots - self.left)
        falling = _within(self.knots, x, self.right) / (self.right - self.knots)
        np.add.at(slopes.T, self.features, (coef * (rising - falling)).T)
        return slopes


def _within(start, x, end):
    """1 between start and end, 1/2 at either."""
    return (((start <= x) & (x < end)) + ((start < x) & (x <= end)).astype(float)) / 2


def knots_of(values, weights, n_interior):
    """Knots of a feature in rising order: the outermost values, and quantiles between them.

    Parameters
    ----------
    values : ndarray of shape (n_samples,)
        NaN where missing.
    weights : ndarray of shape (n_samples,)
    n_interior : int

    Returns
    -------
    knots : ndarray of shape (n_knots,)
        All distinct values if these are not more; empty if there is none.
    """
    there = ~np.isnan(values) & (weights > 0)
    distinct, codes = np.unique(values[there], return_inverse=True)
    if len(distinct) > n_interior + 2:
        below = np.cumsum(np.bincount(codes, weights[there]))
        levels = np.arange(1, n_interior + 1) / (n_interior + 1)
        # The mean of the values just below and above: in -x the quantiles are the same.
        first, second = (
            distinct[np.searchsorted(below, (levels + way) * below[-1])] for way in (-CLOSE, CLOSE)
        )
        distinct = np.unique(np.hstack([distinct[0], (first + second) / 2, distinct[-1]]))
    if len(distinct) < 3:
        return distinct
    inner = distinct[1:-1]
    apart = np.diff(distinct)[:-1] > CLOSE * (distinct[-1] - distinct[0])
    return np.hstack([distinct[0], inner[apart], distinct[-1]])


def further_terms(
    terms: str, X: np.ndarray, scaling: Any, weights: np.ndarray
) -> Products | Splines | None:
    """What a gate adds to the logits of features (n_samples, n_features), NaN where missing."""
    if terms == "products":
        return Products.of(scaling.mean, scaling.inverse)
    if terms == "splines":
        varying = np.where(scaling.inverse > 0, X, np.nan)  # what is constant but for rounding
        return Splines.of(varying, weights)
    return None


def most_terms(n_features):
    """Features and further terms together, of the kind that has more."""
    if n_features > MOST_FEATURES:
        return n_features + max(n_features, MOST_FEATURES * MOST_KNOTS)
    return n_features + max(n_features * (n_features + 1) // 2, n_features * MOST_KNOTS)
