"""What the solver minimises: the penalised cross-entropy, and the likelihood of a mixture."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .curvature import ConstantCurvature, Curvature, SampledCurvature, coupling_matrix
from .designs import SolverDesign
from .lbfgs import MOST_PAIRS, inner

LARGEST_HESSIAN = 1500
"""Most coefficients of which a Hessian is formed."""

SMALL_HESSIAN = 200
"""Most coefficients of which one is formed for each maximum of a mixture's likelihood.

With 300 it took longer than the steps that it saved, with 1,500 ten times as long.
"""


class Point(NamedTuple):
    """The objective at some coefficients (n_experts - 1, n_columns).

    `partition` is the part of value and gradient that depends on neither targets nor penalty.
    """

    coef: np.ndarray
    value: float
    gradient: np.ndarray
    partition: tuple | None = None


class CrossEntropy:
    """The penalised cross-entropy with targets.

    Parameters
    ----------
    design : SolverDesign
    targets : ndarray of shape (n_samples, n_experts), float64
    weights : ndarray of shape (n_samples,), float64
        Sum to 1.
    penalty : ndarray of shape (n_columns,), float64
        On the coefficients that sum to zero over the experts.
    """

    def __init__(
        self,
        design: SolverDesign,
        targets: np.ndarray,
        weights: np.ndarray,
        penalty: np.ndarray,
    ):
        self.design = design
        self.weights = weights
        self.penalty = penalty
        self.n_experts = targets.shape[1]
        self.coupling = coupling_matrix(self.n_experts)
        self._weights = design.pack_weights(weights)
        self._given = self._hold(targets)

    def _hold(self, targets: np.ndarray) -> np.ndarray:
        """What `at` is to know: a few sums over the rows."""
        return self.design.target_moments(targets, self._weights)

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the coefficients."""
        return self.n_experts - 1, self.design.n_columns

    @property
    def has_hessian(self) -> bool:
        """Whether there are few enough coefficients to form one."""
        return math.prod(self.shape) <= LARGEST_HESSIAN

    @property
    def starts_from_hessian(self) -> bool:
        """Whether one is formed where the solver starts."""
        return self.has_hessian

    @property
    def least_steps(self) -> int:
        """Steps after which what another one promises is to be believed."""
        return 1

    def at(self, coef: np.ndarray) -> Point:
        """Evaluate; one pass over the data, or none at zero."""
        if coef.any():
            return self._point(coef, self.design.log_partition(self._weights, coef))
        # The targets of a row sum to 1.
        mean_moments = self._given.sum(axis=0) / self.n_experts
        return self._point(coef, (np.log(self.n_experts), mean_moments))

    def again(self, known: Point) -> Point:
        """Evaluate where another problem with the same weights was evaluated; no pass."""
        return self._point(known.coef, known.partition)

    def _point(self, coef, partition):
        moments = self._given[:-1]
        value, gradient = partition[0] - inner(moments, coef), partition[1] - moments
        return self._penalised(coef, value, gradient, partition)

    def _penalised(self, coef, value, gradient, partition=None):
        change = (self.coupling @ coef) * self.penalty
        return Point(coef, value + 0.5 * inner(change, coef), gradient + change, partition)

    def norm(self, gradient: np.ndarray) -> float:
        """Norm of the gradient with respect to the coefficients of all experts."""
        # The gradient of the last expert is minus the sum of the others.
        last = np.ones(len(gradient)) @ gradient
        return math.sqrt(inner(gradient, gradient) + inner(last, last))

    def initial_curvature(self, coef: np.ndarray, n_rows: int) -> Curvature:
        """Hessian where the solver starts; at zero it has a closed form."""
        if self.starts_from_hessian and coef.any():
            return self.curvature(coef, n_rows)
        return ConstantCurvature.of(self.design, self.weights, self.penalty, self.n_experts)

    def curvature(self, coef: np.ndarray, n_rows: int) -> Curvature:
        """Hessian at some coefficients on some of the rows."""
        return SampledCurvature.of(
            self.design, self.weights, self.penalty, self.coupling, coef, n_rows
        )

    def passes_per_curvature(self, n_rows: int) -> float:
        """Cost of a Hessian in passes over the data, by counting operations.

        Where it takes all rows, their number cancels out: rows given twice and rows of weight 2
        then take the same steps. (The factorisation is cheap next to the products.)
        """
        n_logits, n_columns = self.shape
        size = n_logits * n_columns
        fraction = min(n_rows / self.design.n_samples, 1.0)
        return (
            fraction
            * size
            * (size + 2.0 * n_columns + 40.0)
            / (n_logits * (4.0 * n_columns + 40.0))
        )


class MixtureLikelihood(CrossEntropy):
    """Minus the log-likelihood of a mixture whose experts stay as they are, penalised.

    Its gradient is that of the cross-entropy with the responsibilities. Its Hessian is smaller
    than that of the cross-entropy, by the information that is missing about which expert
    answers: so the latter makes for steps that are short but safe, those of EM, and L-BFGS
    makes them longer (Jamshidian and Jennrich, 1997).

    Parameters
    ----------
    design, weights, penalty
        See `CrossEntropy`.
    targets : ndarray of shape (n_samples, n_experts)
        Finite log-densities of each row's target under each expert.
    """

    @property
    def has_hessian(self) -> bool:
        """Whether one is formed in the course: it would take passes of its own."""
        return False

    @property
    def starts_from_hessian(self) -> bool:
        """Whether that of the cross-entropy is formed at first: if it takes few operations."""
        return math.prod(self.shape) <= SMALL_HESSIAN

    @property
    def least_steps(self) -> int:
        """Steps after which what another one promises is to be believed.

        Without a Hessian L-BFGS takes flat directions for steep until its memory is full.
        """
        return 1 if self.starts_from_hessian else MOST_PAIRS

    def _hold(self, log_density: np.ndarray) -> np.ndarray:
        return self.design.pack_log_density(log_density)

    def at(self, coef: np.ndarray) -> Point:
        """Evaluate; one pass over the data."""
        loss = self.design.mixture_loss_and_gradient(self._given, self._weights, coef)
        return self._penalised(coef, *loss)
