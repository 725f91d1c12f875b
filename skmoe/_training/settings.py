"""The parameters of the estimators that govern training."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

FINEST_TOLERANCE = 1e-4
"""Gain in log-likelihood per row that is worth an iteration, however many rows there are."""

TELLING = 0.03
"""Part of the standard error of a held-out log-likelihood that is.

That is of one whose rows differ by one nat, as they do, more or less, in all problems that were
looked at. What an iteration gains beyond is not to be seen in new rows.
"""


@dataclass(frozen=True)
class TrainingSettings:
    """The parameters of the estimators that govern training; see there."""

    overlap: float | str
    e_step: str
    cv: Any
    init: Any
    n_init: int
    max_iter: int
    tol: float | str
    capacity_factor: float | None
    expert_dropout: float
    annealing: float
    n_jobs: int | None
    verbose: int

    def tolerance(self, n_rows: int) -> float:
        """Gain in log-likelihood per row below which an iteration of EM was not worth it.

        In-sample likelihoods only rise, and chance does not blur them.
        """
        if self.tol != "auto":
            return float(self.tol)
        if self.e_step == "insample":
            return FINEST_TOLERANCE
        return max(FINEST_TOLERANCE, TELLING / n_rows**0.5)

    @property
    def final_tolerance(self) -> float:
        """The same where only gate and dispersions are left to learn, which costs little."""
        return FINEST_TOLERANCE if self.tol == "auto" else float(self.tol)

    @classmethod
    def of(cls, mixture: Any) -> TrainingSettings:
        """Those of an estimator."""
        return cls(**{field.name: getattr(mixture, field.name) for field in fields(cls)})
