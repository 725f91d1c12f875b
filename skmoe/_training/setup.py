"""What EM trains: the experts and the gate of a problem, and what bears on their M-steps."""

from __future__ import annotations

from typing import Any, NamedTuple

from .._data.problem import Problem
from .._experts.pool import ExpertPool
from .capacity import Capacity
from .exploration import Exploration, balance_and_exploration
from .interruption import BestSoFar
from .progress import Progress
from .settings import TrainingSettings


class Setup(NamedTuple):
    """What is trained, and how.

    Attributes
    ----------
    problem : Problem
    experts : ExpertPool
    gate : gate trainer
    settings : TrainingSettings
    fresh : bool
        Whether training starts anew, and does not go on from a fitted model.
    capacity : Capacity or None
    exploration : Exploration or None
        None once the experts are final.
    progress : Progress
    best : BestSoFar or None
        What is left if training is interrupted; None if these experts are not what was asked for.
    """

    problem: Problem
    experts: Any
    gate: Any
    settings: TrainingSettings
    fresh: bool
    capacity: Capacity | None = None
    exploration: Exploration | None = None
    progress: Progress = Progress(0)
    best: BestSoFar | None = None

    @classmethod
    def of(
        cls,
        pool: ExpertPool,
        gate: Any,
        settings: TrainingSettings,
        fresh: bool,
        progress: Progress,
    ) -> Setup:
        """The setup, with the capacity and the exploration that the settings ask for."""
        capacity, exploration = balance_and_exploration(settings, gate.jitter, pool, fresh)
        return cls(pool.problem, pool, gate, settings, fresh, capacity, exploration, progress)

    def heard_by(self, progress: Progress) -> Setup:
        """The same with somebody who hears of it."""
        experts = self.experts.told_by(progress.fits)
        return self._replace(experts=experts, progress=progress)

    def with_experts(self, n_experts: int) -> Setup:
        """The same with the first `n_experts` experts."""
        if n_experts == len(self.experts.names):
            return self
        experts = self.experts.first(n_experts)
        few = Setup.of(experts, self.gate, self.settings, self.fresh, self.progress)
        return few._replace(best=self.best)
