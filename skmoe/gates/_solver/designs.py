"""The features as the softmax gate sees them: complete, standardised, with an intercept."""

import numpy as np
from scipy import sparse

from skmoe._arithmetic import e_step, log_softmax


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
        """Products of targets and columns; see `skmoe._arithmetic.reference.target_moments`."""
        return self.gradient(targets * weights[:, np.newaxis])

    def log_partition(self, weights, coef):
        """Value and gradient; see `skmoe._arithmetic.reference.log_partition`."""
        logits = np.pad(self.logits(coef), ((0, 0), (0, 1)))
        log_proba = log_softmax(logits)
        value = -float(weights @ log_proba[:, -1])  # the logit there is 0
        return value, self.gradient(np.exp(log_proba[:, :-1]) * weights[:, np.newaxis])

    def mixture_loss_and_gradient(self, log_density, weights, coef):
        """Value and gradient; see `skmoe._arithmetic.reference.mixture_loss_and_gradient`."""
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
