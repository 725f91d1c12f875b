"""What all runs of a training have in common."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from .._data.rows import TrainingData
from .._experts.pool import ExpertPool
from .capacity import Capacity
from .exploration import Exploration, balance_and_exploration
from .gate import GateTrainer


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """The parameters of the estimators that govern training; see there."""

    overlap: float | str
    e_step: str
    cv: Any
    init: Any
    n_init: int
    max_iter: int
    tol: float
    capacity_factor: float | None
    expert_dropout: float
    annealing: float
    n_jobs: int | None
    verbose: int


class Problem(NamedTuple):
    """What is trained, on what, and how.

    Attributes
    ----------
    data : TrainingData
    target : ndarray
        As the likelihood takes it.
    experts : ExpertPool
    gate : GateTrainer
    likelihood : Categorical, Gaussian or Laplace
    settings : TrainingSettings
    capacity : Capacity or None
    exploration : Exploration
    fresh : bool
        Whether training starts anew, and does not go on from a fitted model.
    """

    data: TrainingData
    target: np.ndarray
    experts: ExpertPool
    gate: GateTrainer
    likelihood: Any
    settings: TrainingSettings
    capacity: Capacity | None
    exploration: Exploration
    fresh: bool

    @classmethod
    def of(cls, data, target, experts, gate, likelihood, settings, fresh):
        """The problem, with the capacity and the exploration that the settings ask for."""
        capacity, exploration = balance_and_exploration(settings, gate, experts, fresh=fresh)
        return cls(data, target, experts, gate, likelihood, settings, capacity, exploration, fresh)

    def with_experts(self, n_experts):
        """The same with the first `n_experts` experts."""
        pool = self.experts
        if n_experts == len(pool.names):
            return self
        fewer = dataclasses.replace(
            pool,
            names=pool.names[:n_experts],
            templates=pool.templates[:n_experts],
            seeds=pool.seeds[:n_experts],
        )
        return Problem.of(
            self.data,
            self.target,
            fewer,
            self.gate,
            self.likelihood,
            self.settings,
            self.fresh,
        )
