"""The parameters of the estimators that govern training."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
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

    @classmethod
    def of(cls, mixture: Any) -> TrainingSettings:
        """Those of an estimator."""
        return cls(**{field.name: getattr(mixture, field.name) for field in fields(cls)})
