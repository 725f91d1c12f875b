"""The features as the softmax gate sees them: complete, standardised, with an intercept."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from scipy import sparse

from skmoe._arithmetic import e_step, log_softmax

from .._features import Scaling


class Design(ABC):
    """The columns, and one of ones; the same for any number of experts."""

    n_columns: int
    """Number of columns, the ones included."""

    @abstractmethod
    def log_softmax(self, coef: np.ndarray) -> np.ndarray:
        """Log-probabilities (n_samples, n_experts) for coefficients (n_experts, n_columns)."""


class SolverDesign(Design):
    """A design that makes passes over the rows for the fast solver.

    Coefficients `coef` (n_experts - 1, n_columns) are there differences from the last expert;
    see the functions of the same names in `skmoe._arithmetic.reference`.
    """

    n_samples: int

    @abstractmethod
    def pack_log_density(self, log_density: np.ndarray) -> np.ndarray:
        """Log-densities (n_samples, n_experts) as `mixture_loss_and_gradient` takes them."""

    @abstractmethod
    def pack_weights(self, weights: np.ndarray) -> np.ndarray:
        """Weights (n_samples,) as the other methods take them."""

    @abstractmethod
    def target_moments(self, targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Products of targets and columns, (n_experts, n_columns)."""

    @abstractmethod
    def log_partition(self, weights: np.ndarray, coef: np.ndarray) -> tuple[float, np.ndarray]:
        """Value and gradient of the part of the cross-entropy that targets are not in."""

    @abstractmethod
    def mixture_loss_and_gradient(
        self, log_density: np.ndarray, weights: np.ndarray, coef: np.ndarray
    ) -> tuple[float, np.ndarray]:
        """Value and gradient of minus the log-likelihood of a mixture."""

    @abstractmethod
    def rows(self, indices: np.ndarray) -> np.ndarray:
        """Rows as an array (len(indices), n_columns)."""


class ProductDesign(Design):
    """A design that multiplies."""

    @abstractmethod
    def logits(self, coef: np.ndarray) -> np.ndarray:
        """Matrix product ``Z coef'``, (n_samples, n_experts)."""

    @abstractmethod
    def gradient(self, residual: np.ndarray) -> np.ndarray:
        """Matrix product ``residual' Z``, (n_experts, n_columns)."""

    @abstractmethod
    def inner_products(self) -> np.ndarray:
        """Inner products of the rows without the ones, (n_samples, n_samples)."""

    def log_softmax(self, coef: np.ndarray) -> np.ndarray:
        """Log-probabilities (n_samples, n_experts) for coefficients (n_experts, n_columns)."""
        return log_softmax(self.logits(coef))


class DenseDesign(ProductDesign):
    """Standardised columns and a column of ones, held in memory.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_columns), float64
        Without missing values.
    scaling : Scaling
    """

    def __init__(self, X: np.ndarray, scaling: Scaling):
        n_samples, n_columns = X.shape
        self.n_columns = n_columns + 1
        self.matrix = np.empty((n_samples, n_columns + 1))
        np.subtract(X, scaling.mean, out=self.matrix[:, :-1])
        self.matrix[:, :-1] *= scaling.inverse
        self.matrix[:, -1] = 1.0

    def logits(self, coef: np.ndarray) -> np.ndarray:
        """Matrix product ``Z coef'``, (n_samples, n_experts)."""
        return self.matrix @ coef.T

    def gradient(self, residual: np.ndarray) -> np.ndarray:
        """Matrix product ``residual' Z``, (n_experts, n_columns)."""
        return residual.T @ self.matrix

    def inner_products(self) -> np.ndarray:
        """Inner products of the rows without the ones, (n_samples, n_samples)."""
        return self.matrix[:, :-1] @ self.matrix[:, :-1].T


class SparseDesign(ProductDesign, SolverDesign):
    """Standardised columns and a column of ones that are never formed.

    Parameters
    ----------
    X : CSR matrix of shape (n_samples, n_columns), float64
        Without missing values.
    scaling : Scaling
    """

    def __init__(self, X: sparse.csr_matrix, scaling: Scaling):
        self.n_samples = X.shape[0]
        self.n_columns = X.shape[1] + 1
        self.X = X
        self.scaling = scaling

    def logits(self, coef: np.ndarray) -> np.ndarray:
        """Matrix product ``Z coef'``, (n_samples, n_experts)."""
        scaled, intercept = self.scaling.original(coef)
        return self.X @ scaled.T + intercept

    def gradient(self, residual: np.ndarray) -> np.ndarray:
        """Matrix product ``residual' Z``, (n_experts, n_columns)."""
        total = residual.sum(axis=0)[:, None]
        product = ((self.X.T @ residual).T - total * self.scaling.mean) * self.scaling.inverse
        return np.hstack([product, total])

    def pack_log_density(self, log_density: np.ndarray) -> np.ndarray:
        """Log-densities as `mixture_loss_and_gradient` takes them."""
        return log_density

    def pack_weights(self, weights: np.ndarray) -> np.ndarray:
        """Weights as the other methods take them."""
        return weights

    def target_moments(self, targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Products of targets and columns; see `skmoe._arithmetic.reference.target_moments`."""
        return self.gradient(targets * weights[:, np.newaxis])

    def log_partition(self, weights: np.ndarray, coef: np.ndarray) -> tuple[float, np.ndarray]:
        """Value and gradient; see `skmoe._arithmetic.reference.log_partition`."""
        logits = np.pad(self.logits(coef), ((0, 0), (0, 1)))
        log_proba = log_softmax(logits)
        value = -float(weights @ log_proba[:, -1])  # the logit there is 0
        return value, self.gradient(np.exp(log_proba[:, :-1]) * weights[:, np.newaxis])

    def mixture_loss_and_gradient(
        self, log_density: np.ndarray, weights: np.ndarray, coef: np.ndarray
    ) -> tuple[float, np.ndarray]:
        """Value and gradient; see `skmoe._arithmetic.reference.mixture_loss_and_gradient`."""
        log_gate = log_softmax(np.pad(self.logits(coef), ((0, 0), (0, 1))))
        responsibilities, log_likelihood = e_step(log_gate, log_density)
        residual = (np.exp(log_gate) - responsibilities) * weights[:, np.newaxis]
        return -float(weights @ log_likelihood), self.gradient(residual[:, :-1])

    def rows(self, indices: np.ndarray) -> np.ndarray:
        """Rows of the design as a dense array (len(indices), n_columns)."""
        chosen = (self.X[indices].toarray() - self.scaling.mean) * self.scaling.inverse
        return np.column_stack([chosen, np.ones(len(indices))])

    def inner_products(self) -> np.ndarray:
        """Inner products of the rows without the ones, (n_samples, n_samples)."""
        scaled = self.X @ sparse.diags(self.scaling.inverse)
        shift = self.scaling.mean * self.scaling.inverse
        along_shift = scaled @ shift
        raw = (scaled @ scaled.T).toarray()
        return raw - along_shift - along_shift[:, np.newaxis] + shift @ shift
