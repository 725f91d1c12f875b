"""A softmax gate with the features that it is to be fitted on, prepared once for many fits."""

from __future__ import annotations

import copy

import numpy as np

from ._base import check_targets
from ._design import Scaling, complete, missing_features
from ._quasi_newton import MixtureObjective, PackedObjective
from ._solver import make_design, minimize


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
        Of the features and the indicators of missing values.
    indicated : ndarray, intp
        Features that have an indicator.
    """

    def __init__(self, gate, X, weights, n_experts):
        self._gate = gate
        self.indicated = missing_features(X)
        self.scaling = Scaling.of(X, weights)
        self._means = self.scaling.mean
        if len(self.indicated):
            X = complete(X, self._means, self.indicated)
            indicators = Scaling.of(X[:, len(self._means) :], weights)
            self.scaling = Scaling(
                np.concatenate([self._means, indicators.mean]),
                np.concatenate([self.scaling.inverse, indicators.inverse]),
            )
        self.design = make_design(X, self.scaling, n_experts)

    def solve(self, targets, weights, *, start=None, memory=None, accuracy=0.0):
        """Minimise over ``W / temperature``, in which the penalty is alpha * temperature^2.

        Parameters
        ----------
        targets : ndarray of shape (n_samples, n_experts), float64
        weights : ndarray of shape (n_samples,), float64
        start : ndarray of shape (n_experts, n_columns), default=None
        memory : object, default=None
            Of the solution that `start` comes from.
        accuracy : float, default=0.0
            0 solves to the gate's `tol`. Otherwise see `_quasi_newton.minimize`.

        Returns
        -------
        solution : Solution
        """
        if not np.isfinite(targets.sum()):
            check_targets(targets, len(targets))  # says which row
        return self._minimize(
            PackedObjective, targets, weights, start=start, memory=memory, accuracy=accuracy
        )

    def climb(self, log_density, weights, last, accuracy):
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

        Returns
        -------
        solution : Solution
        """
        memory = last.memory.without_pairs() if last.memory is not None else None
        return self._minimize(
            MixtureObjective,
            log_density,
            weights,
            start=last.coef,
            memory=memory,
            accuracy=accuracy,
        )

    def _minimize(self, kind, given, weights, **options):
        gate = self._gate
        return minimize(
            kind,
            self.design,
            given,
            weights,
            gate.alpha * gate.temperature**2,
            tol=gate.tol,
            max_iter=gate.max_iter,
            **options,
        )

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
        n_features = len(self._means)
        coef, intercept = self.scaling.original(solution.coef * gate.temperature)
        gate.coef_ = np.ascontiguousarray(coef[:, :n_features])
        gate.missing_coef_ = np.ascontiguousarray(coef[:, n_features:])
        gate.intercept_ = intercept
        gate.missing_features_ = self.indicated
        gate.feature_means_ = self._means
        gate.n_experts_ = self.design.n_experts
        gate.n_iter_ = solution.n_iter
