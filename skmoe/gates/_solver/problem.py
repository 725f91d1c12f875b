"""A softmax gate with the features that it is to be fitted on, prepared once for many fits."""

from __future__ import annotations

import copy
import warnings

import numpy as np
from scipy.sparse import issparse
from sklearn.exceptions import ConvergenceWarning

from .._base import check_targets
from .._features import Scaling, complete, missing_features
from .._terms import Products
from .balance import minimize_regularised
from .designs import DenseDesign, SparseDesign
from .objectives import MixtureObjective, PackedObjective
from .penalty import PROVISIONAL, choose_penalty
from .solve import make_design, minimize


class PreparedSoftmaxGate:
    """Standardised features in the form that suits the solver.

    Parameters
    ----------
    gate : SoftmaxGate
        Whose parameters apply. It has validated X.
    X : ndarray or CSR matrix of shape (n_samples, n_features), float64
    weights : ndarray of shape (n_samples,)
        For means and standard deviations.
    n_experts : int

    Attributes
    ----------
    design : object
        See `make_design`.
    scaling : Scaling
        Of the features, the indicators of missing values and the products.
    indicated : ndarray, intp
        Features that have an indicator.
    products : Products or None
    """

    def __init__(self, gate, X, weights, n_experts):
        self._gate = gate
        self.indicated = missing_features(X)
        self.scaling = Scaling.of(X, weights)
        self._means = self.scaling.mean
        if len(self.indicated):
            X = complete(X, self._means, self.indicated)
            self.scaling = self.scaling.with_columns(X[:, len(self._means) :], weights)
        self.products = None
        if gate.degree == 2:
            self.products = Products.of(self._means, self.scaling.inverse[: len(self._means)])
            columns = self.products.columns(X[:, : len(self._means)])
            X = np.hstack([X, columns])
            self.scaling = self.scaling.with_columns(columns, weights)
        if gate.balance or gate.z_loss:  # of which the fast solver knows nothing
            design = SparseDesign if issparse(X) else DenseDesign
            self.design = design(X, self.scaling, n_experts)
        else:
            self.design = make_design(X, self.scaling, n_experts)

    def chosen_alpha(self, targets, weights):
        """The gate's penalty, chosen now if it is "auto"."""
        if self._gate.alpha == "auto":
            return choose_penalty(self, targets, weights)
        return self._gate.alpha

    def solve(
        self,
        targets,
        weights,
        *,
        start=None,
        memory=None,
        known=None,
        accuracy=0.0,
        alpha=None,
    ):
        """Minimise over ``W / temperature``, in which the penalty is alpha * temperature^2.

        Parameters
        ----------
        targets : ndarray of shape (n_samples, n_experts), float64
        weights : ndarray of shape (n_samples,), float64
        start : ndarray of shape (n_experts, n_columns), default=None
        memory : object, default=None
            Of the solution that `start` comes from.
        known : Point, default=None
            The end of that solution, if it is one with the same weights; saves a pass.
        accuracy : float, default=0.0
            0 solves to the gate's `tol`. Otherwise see `_quasi_newton.minimize`.
        alpha : float, default=None
            The penalty. None means the gate's, and 1e-3 where that is "auto".

        Returns
        -------
        solution : Solution
        """
        if not np.isfinite(targets.sum()):
            check_targets(targets, len(targets))  # says which row
        options = {"start": start, "memory": memory, "known": known, "accuracy": accuracy}
        return self._minimize(PackedObjective, targets, weights, alpha, options)

    def finish(self, targets, weights, start, *, alpha=None):
        """The gate fitted to its `tol`.

        Parameters
        ----------
        targets, weights, start, alpha
            See `solve`.

        Returns
        -------
        gate : SoftmaxGate
        """
        if alpha is None:
            alpha = self.chosen_alpha(targets, weights)
        solution = self.solve(targets, weights, start=start, alpha=alpha)
        self.warn_unless_converged(solution, stacklevel=4)
        gate = self.gate(solution)
        gate.alpha = alpha
        return gate

    def warn_unless_converged(self, solution, stacklevel):
        """Say so if `max_iter` ended a solution before `tol` was reached."""
        if not solution.converged:
            warnings.warn(
                f"The gate did not converge in {solution.n_iter} iterations: the gradient is "
                f"{solution.relative_gradient:.1e} of its norm at zero, tol is "
                f"{self._gate.tol:.1e}. Increase max_iter, alpha or tol.",
                ConvergenceWarning,
                stacklevel=stacklevel + 1,
            )

    @property
    def maximizes_likelihood(self):
        """Whether this gate has a solver for `maximize_likelihood`."""
        return not (self._gate.balance or self._gate.z_loss)

    def maximize_likelihood(self, log_density, weights, last, *, accuracy, alpha=None):
        """Maximise the penalised log-likelihood of a mixture whose experts stay as they are.

        Parameters
        ----------
        log_density : ndarray of shape (n_samples, n_experts), float64
            Finite.
        weights : ndarray of shape (n_samples,), float64
        last : Solution
            Where to start.
        accuracy : float
            Ends as soon as another step promises no more than this, per unit of weight.
        alpha : float, default=None
            See `solve`.

        Returns
        -------
        solution : Solution
        """
        memory = last.memory.without_pairs() if last.memory is not None else None
        options = {"start": last.coef, "memory": memory, "accuracy": accuracy}
        solution = self._minimize(MixtureObjective, log_density, weights, alpha, options)
        return solution._replace(end=None)  # of another objective

    def _minimize(self, kind, given, weights, alpha, options):
        gate = self._gate
        if alpha is None:
            alpha = PROVISIONAL if gate.alpha == "auto" else gate.alpha
        penalty = alpha * gate.temperature**2
        options = options | {"tol": gate.tol, "max_iter": gate.max_iter}
        if gate.balance or gate.z_loss:
            losses = {"balance": gate.balance, "z_loss": gate.z_loss}
            del options["memory"], options["known"]  # of the other solver
            solution = minimize_regularised(
                self.design, given, weights, penalty, **losses, **options
            )
        else:
            solution = minimize(kind, self.design, given, weights, penalty, **options)
        return solution._replace(alpha=float(alpha))

    def log_proba(self, solution):
        """Log-probabilities (n_samples, n_experts) of all rows."""
        return self.design.log_softmax(solution.coef)

    def gate(self, solution):
        """A fitted gate with the coefficients of a solution."""
        gate = copy.copy(self._gate)
        self.write(solution, gate)
        return gate

    def write(self, solution, gate):
        """Set the fitted attributes of a gate that has validated the features."""
        n_features, n_missing = len(self._means), len(self.indicated)
        coef, intercept = self.scaling.original(solution.coef * gate.temperature)
        linear, missing, products = np.split(coef, [n_features, n_features + n_missing], axis=1)
        gate.coef_ = np.ascontiguousarray(linear)
        gate.missing_coef_ = np.ascontiguousarray(missing)
        gate.product_coef_ = np.ascontiguousarray(products)
        gate.products_ = self.products
        gate.intercept_ = intercept
        gate.missing_features_ = self.indicated
        gate.feature_means_ = self._means
        gate.n_experts_ = self.design.n_experts
        gate.alpha_ = solution.alpha
        gate.n_iter_ = solution.n_iter
