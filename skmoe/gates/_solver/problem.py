"""The problem of a softmax gate: its settings, and the features in the form that suits them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from .._base import check_targets
from .balance import BalancedObjective, solve_balanced
from .designs import Design
from .objectives import CrossEntropy, MixtureLikelihood
from .penalty import PROVISIONAL, choose_penalty
from .prepared import Columns, PreparedFeatures
from .quasi_newton import Stopping
from .solve import Solution, solve


@dataclass(frozen=True)
class GateSettings:
    """The parameters of `SoftmaxGate` that training heeds; see there."""

    alpha: float | str = 1e-3
    terms: str = "linear"
    temperature: float = 1.0
    balance: float = 0.0
    z_loss: float = 0.0
    max_iter: int = 1000
    tol: float = 1e-6

    @property
    def is_balanced(self) -> bool:
        """Whether there are losses of which the fast solver knows nothing."""
        return bool(self.balance or self.z_loss)

    @property
    def penalty(self) -> float:
        """Of the coefficients ``W / temperature`` that are solved for."""
        alpha = PROVISIONAL if isinstance(self.alpha, str) else self.alpha
        return alpha * self.temperature**2


@dataclass(frozen=True, eq=False)
class SoftmaxProblem:
    """What is solved, but for targets and weights.

    Attributes
    ----------
    settings : GateSettings
        With ``alpha="auto"`` the penalty is 1e-3 until `with_chosen_alpha`.
    columns : Columns
    design : Design
        Of these columns.
    """

    settings: GateSettings
    columns: Columns
    design: Design

    @classmethod
    def of(
        cls, features: PreparedFeatures, settings: GateSettings, n_experts: int
    ) -> SoftmaxProblem:
        """The problem of a gate that chooses among so many experts."""
        terms = settings.terms
        if settings.is_balanced:
            design: Design = features.product_design(terms)
        else:
            design = features.solver_design(terms, n_experts)
        return cls(settings, features.columns(terms), design)

    def with_alpha(self, alpha: float) -> SoftmaxProblem:
        """The same with another penalty."""
        return replace(self, settings=replace(self.settings, alpha=alpha))

    def with_chosen_alpha(self, targets: np.ndarray, weights: np.ndarray) -> SoftmaxProblem:
        """The same with a penalty that is a number: chosen now if it is "auto"."""
        if self.settings.alpha != "auto":
            return self
        return self.with_alpha(choose_penalty(self, targets, weights))

    def solve(
        self,
        targets: np.ndarray,
        weights: np.ndarray,
        start: Solution | None = None,
        accuracy: float = 0.0,
    ) -> Solution:
        """Fit to targets.

        Parameters
        ----------
        targets : ndarray of shape (n_samples, n_experts), float64
        weights : ndarray of shape (n_samples,), float64
        start : Solution, default=None
            See `skmoe.gates._solver.solve.solve`.
        accuracy : float, default=0.0
            0 solves to the gate's `tol`. Otherwise see `Stopping`.

        Returns
        -------
        solution : Solution
        """
        if not np.isfinite(targets.sum()):
            check_targets(targets, len(targets))  # says which row
        settings, stopping = self.settings, self._stopping(accuracy)
        if settings.is_balanced:
            objective = BalancedObjective(
                self.design,  # type: ignore[arg-type]  # see `of`
                targets,
                weights,
                settings.penalty,
                settings.balance,
                settings.z_loss,
            )
            return solve_balanced(objective, stopping, start)
        return solve(
            CrossEntropy, self.design, targets, weights, settings.penalty, stopping, start
        )

    def maximize_likelihood(
        self, log_density: np.ndarray, weights: np.ndarray, last: Solution, accuracy: float
    ) -> Solution:
        """Maximise the penalised log-likelihood of a mixture whose experts stay as they are.

        Not if the settings are balanced.

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
        # What is known of the curvature is that of another function, or of another penalty.
        start = last._replace(memory=None, end=None)
        penalty, stopping = self.settings.penalty, self._stopping(accuracy)
        solution = solve(
            MixtureLikelihood, self.design, log_density, weights, penalty, stopping, start
        )
        return solution._replace(end=None)  # of another objective

    def _stopping(self, accuracy: float) -> Stopping:
        return Stopping(self.settings.tol, accuracy, self.settings.max_iter)

    def log_proba(self, solution: Solution) -> np.ndarray:
        """Log-probabilities (n_samples, n_experts) of all rows."""
        return self.design.log_softmax(solution.coef)

    def fitted_attributes(self, solution: Solution) -> dict[str, Any]:
        """The fitted attributes of a `SoftmaxGate` by their names."""
        columns = self.columns
        n_features, n_missing = len(columns.means), len(columns.indicated)
        coef, intercept = columns.scaling.original(solution.coef * self.settings.temperature)
        linear, missing, further = np.split(coef, [n_features, n_features + n_missing], axis=1)
        return {
            "coef_": np.ascontiguousarray(linear),
            "missing_coef_": np.ascontiguousarray(missing),
            "term_coef_": np.ascontiguousarray(further),
            "terms_": columns.terms,
            "intercept_": intercept,
            "missing_features_": columns.indicated,
            "feature_means_": columns.means,
            "n_experts_": len(coef),
            "alpha_": float(self.settings.alpha),
            "n_iter_": solution.n_iter,
        }


def warn_unless_converged(solution: Solution, settings: GateSettings, stacklevel: int) -> None:
    """Say so if a solution ended before `tol` was reached, and what helps."""
    if solution.converged:
        return
    if solution.n_iter >= settings.max_iter:
        what = f"did not converge in max_iter={settings.max_iter} iterations"
        remedy = "Increase max_iter, alpha or tol"
    else:
        what = f"cannot be improved further in double precision (after {solution.n_iter} steps)"
        remedy = "Increase alpha or tol, or bring features with extreme values to a usual range"
    warnings.warn(
        f"The gate {what}: the gradient is {solution.relative_gradient:.1e} of its norm at zero, "
        f"tol is {settings.tol:.1e}. {remedy}.",
        ConvergenceWarning,
        stacklevel=stacklevel + 1,
    )
