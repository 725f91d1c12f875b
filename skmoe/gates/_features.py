"""Features of a gate made complete and measured: missing values, means, standard deviations."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from sklearn.utils.sparsefuncs import mean_variance_axis

from .._arithmetic.reference import CACHED_NUMBERS
from .._compat import Record

ROUNDING_OF_A_CONSTANT = 16 * np.finfo(np.float64).eps
"""Columns whose spread relative to their mean is below this are constant to rounding."""


def missing_features(X):
    """Find the columns with a missing value.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)

    Returns
    -------
    features : ndarray, intp
        Ascending.
    """
    if sparse.issparse(X):
        return np.unique(X.indices[np.isnan(X.data)]).astype(np.intp)
    # The sum is NaN where an entry is, and costs no mask as large as X.
    with np.errstate(invalid="ignore", over="ignore"):
        suspects = np.flatnonzero(np.isnan(X.sum(axis=0)))
    return suspects[np.isnan(X[:, suspects]).any(axis=0)].astype(np.intp)


def complete(X, fill, indicated):
    """Fill missing values in and append an indicator column for each chosen feature.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features), float64
    fill : ndarray of shape (n_features,)
        What replaces a missing value of each feature.
    indicated : ndarray of shape (n_indicators,), intp
        Features that get a column which is 1 where they are missing and 0 elsewhere.

    Returns
    -------
    completed : ndarray or CSR matrix of shape (n_samples, n_features + n_indicators)
        X itself if there is nothing to do.
    """
    if sparse.issparse(X):
        return _complete_sparse(X, fill, indicated)
    # The minimum is NaN where an entry is, and costs no mask as large as X.
    if not len(indicated) and not math.isnan(X.min(initial=0.0)):
        return X
    missing = np.isnan(X)
    return np.hstack([np.where(missing, fill, X), missing[:, indicated].astype(np.float64)])


def _complete_sparse(X, fill, indicated):
    missing = np.isnan(X.data)
    if not len(indicated) and not missing.any():
        return X
    indicators = sparse.csr_matrix((missing.astype(np.float64), X.indices, X.indptr), X.shape)
    data = np.where(missing, fill[X.indices], X.data)
    filled = sparse.csr_matrix((data, X.indices, X.indptr), X.shape)
    return sparse.hstack([filled, indicators[:, indicated]], format="csr")


@dataclass(frozen=True)
class Scaling(Record):
    """Weighted mean and inverse standard deviation of each column.

    Attributes
    ----------
    mean : ndarray of shape (n_columns,)
    inverse : ndarray of shape (n_columns,)
        0 for a constant column, which thereby becomes a column of zeros with coefficient 0.
    """

    mean: np.ndarray
    inverse: np.ndarray

    @classmethod
    def of(cls, X, weights):
        """Measure the columns of X over the entries that are not missing.

        Parameters
        ----------
        X : ndarray or CSR matrix of shape (n_samples, n_columns), float64
        weights : ndarray of shape (n_samples,)
            Positive.

        Returns
        -------
        scaling : Scaling
        """
        if sparse.issparse(X):
            mean, variance = mean_variance_axis(X, axis=0, weights=weights)
            # NaN is a column without values; below zero is rounding.
            mean, variance = np.nan_to_num(mean), np.nan_to_num(variance).clip(min=0.0)
        else:
            mean, variance = _dense_moments(X, weights)
        deviation = np.sqrt(variance)
        varies = deviation > ROUNDING_OF_A_CONSTANT * np.abs(mean)
        return cls(mean, np.divide(1.0, deviation, out=np.zeros_like(mean), where=varies))

    def with_columns(self, X, weights):
        """The scaling of the same columns and of further ones, those of X."""
        further = Scaling.of(X, weights)
        return Scaling(
            np.concatenate([self.mean, further.mean]),
            np.concatenate([self.inverse, further.inverse]),
        )

    def standardised(self, coef, intercept):
        """Express coefficients for X as coefficients for its standardised columns.

        Parameters
        ----------
        coef : ndarray of shape (n_experts, n_columns)
        intercept : ndarray of shape (n_experts,)

        Returns
        -------
        coef : ndarray of shape (n_experts, n_columns + 1)
            The intercepts are the last column.
        """
        scaled = np.divide(coef, self.inverse, out=np.zeros_like(coef), where=self.inverse > 0)
        return np.column_stack([scaled, intercept + coef @ self.mean])

    def original(self, coef):
        """Inverse of `standardised`: coefficients and intercept in the units of X."""
        scaled = coef[:, :-1] * self.inverse
        return scaled, coef[:, -1] - scaled @ self.mean


def _dense_moments(X, weights):
    """Weighted mean and variance of the columns of X, ignoring NaN."""
    with np.errstate(invalid="ignore", over="ignore"):
        complete_columns = not np.isnan(X.sum(axis=0)).any()
    if complete_columns:
        return _complete_moments(X, weights)
    observed = ~np.isnan(X)
    total = np.maximum(weights @ observed, np.finfo(np.float64).tiny)
    mean = weights @ np.where(observed, X, 0.0) / total
    centred = np.where(observed, X - mean, 0.0)
    # The mean of what is left over is the rounding error of the first mean.
    shift = weights @ centred / total
    centred -= shift
    centred[~observed] = 0.0
    return mean + shift, weights @ np.square(centred, out=centred) / total


def _complete_moments(X, weights):
    """The same without missing values, in chunks that stay in the cache."""
    total = weights.sum()
    mean = weights @ X / total
    shift, second = np.zeros_like(mean), np.zeros_like(mean)
    step = max(CACHED_NUMBERS // max(2 * X.shape[1], 1), 1)  # the rows, and their deviations
    for first in range(0, len(X), step):
        own = weights[first : first + step]
        centred = X[first : first + step] - mean
        shift += own @ centred
        second += own @ np.square(centred, out=centred)
    # The mean of what is left over is the rounding error of the first mean.
    shift /= total
    return mean + shift, np.maximum(second / total - np.square(shift), 0.0)
