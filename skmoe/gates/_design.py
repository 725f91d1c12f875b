"""The features as the softmax gate sees them: complete, standardised, with an intercept."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from sklearn.utils.sparsefuncs import mean_variance_axis

from skmoe._arithmetic import e_step, log_softmax

CHUNK = 1 << 15
"""Numbers in an intermediate array, which should stay in the cache."""

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
class Scaling:
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
    step = max(CHUNK // max(X.shape[1], 1), 1)
    for first in range(0, len(X), step):
        own = weights[first : first + step]
        centred = X[first : first + step] - mean
        shift += own @ centred
        second += own @ np.square(centred, out=centred)
    # The mean of what is left over is the rounding error of the first mean.
    shift /= total
    return mean + shift, np.maximum(second / total - np.square(shift), 0.0)


class DenseDesign:
    """Standardised columns and a column of ones, held in memory.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_columns), float64
        Without missing values.
    scaling : Scaling
    n_experts : int
        Of the problems that will be solved with it.
    """

    def __init__(self, X, scaling, n_experts):
        self.n_experts = n_experts
        n_samples, n_columns = X.shape
        self.matrix = np.empty((n_samples, n_columns + 1))
        np.subtract(X, scaling.mean, out=self.matrix[:, :-1])
        self.matrix[:, :-1] *= scaling.inverse
        self.matrix[:, -1] = 1.0

    @property
    def n_columns(self):
        """Number of columns, the ones included."""
        return self.matrix.shape[1]

    def logits(self, coef):
        """Matrix product ``Z coef'``, (n_samples, n_experts)."""
        return self.matrix @ coef.T

    def log_softmax(self, coef):
        """Log-probabilities (n_samples, n_experts) for coefficients (n_experts, n_columns)."""
        return log_softmax(self.logits(coef))

    def gradient(self, residual):
        """Matrix product ``residual' Z``, (n_experts, n_columns)."""
        return residual.T @ self.matrix

    def inner_products(self):
        """Inner products of the rows without the ones, (n_samples, n_samples)."""
        return self.matrix[:, :-1] @ self.matrix[:, :-1].T


class SparseDesign:
    """Standardised columns and a column of ones that are never formed.

    Parameters
    ----------
    X : CSR matrix of shape (n_samples, n_columns), float64
        Without missing values.
    scaling : Scaling
    n_experts : int
        Of the problems that will be solved with it.
    """

    def __init__(self, X, scaling, n_experts):
        self.n_experts = n_experts
        self.n_samples = X.shape[0]
        self.X = X
        self.scaling = scaling

    @property
    def n_columns(self):
        """Number of columns, the ones included."""
        return self.X.shape[1] + 1

    def logits(self, coef):
        """Matrix product ``Z coef'``, (n_samples, n_experts)."""
        scaled, intercept = self.scaling.original(coef)
        return self.X @ scaled.T + intercept

    def log_softmax(self, coef):
        """Log-probabilities (n_samples, n_experts) for coefficients (n_experts, n_columns)."""
        return log_softmax(self.logits(coef))

    def gradient(self, residual):
        """Matrix product ``residual' Z``, (n_experts, n_columns)."""
        total = residual.sum(axis=0)[:, None]
        product = ((self.X.T @ residual).T - total * self.scaling.mean) * self.scaling.inverse
        return np.hstack([product, total])

    def pack_log_density(self, log_density):
        """Log-densities as `mixture_loss_and_gradient` takes them."""
        return log_density

    def pack_weights(self, weights):
        """Weights as the other methods take them."""
        return weights

    def target_moments(self, targets, weights):
        """Products of targets and columns; see `skmoe._plain.target_moments`."""
        return self.gradient(targets * weights[:, np.newaxis])

    def log_partition(self, weights, coef):
        """Value and gradient; see `skmoe._plain.log_partition`."""
        logits = np.pad(self.logits(coef), ((0, 0), (0, 1)))
        log_proba = log_softmax(logits)
        value = -float(weights @ log_proba[:, -1])  # the logit there is 0
        return value, self.gradient(np.exp(log_proba[:, :-1]) * weights[:, np.newaxis])

    def mixture_loss_and_gradient(self, log_density, weights, coef):
        """Value and gradient; see `skmoe._plain.mixture_loss_and_gradient`."""
        log_gate = log_softmax(np.pad(self.logits(coef), ((0, 0), (0, 1))))
        responsibilities, log_likelihood = e_step(log_gate, log_density)
        residual = (np.exp(log_gate) - responsibilities) * weights[:, np.newaxis]
        return -float(weights @ log_likelihood), self.gradient(residual[:, :-1])

    def rows(self, indices):
        """Rows of the design as a dense array (len(indices), n_columns)."""
        chosen = (self.X[indices].toarray() - self.scaling.mean) * self.scaling.inverse
        return np.column_stack([chosen, np.ones(len(indices))])

    def inner_products(self):
        """Inner products of the rows without the ones, (n_samples, n_samples)."""
        scaled = self.X @ sparse.diags(self.scaling.inverse)
        shift = self.scaling.mean * self.scaling.inverse
        along_shift = scaled @ shift
        raw = (scaled @ scaled.T).toarray()
        return raw - along_shift - along_shift[:, np.newaxis] + shift @ shift
