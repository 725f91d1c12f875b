"""What training yields, at its end or at an iteration on the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .._density.residual import ResidualDensity
from .._shared_expert.expert import SharedExpert
from .em import EMState, Iteration
from .lift import Lift
from .setup import Setup


class TrainedMixture(NamedTuple):
    """What training yields; the estimators copy it to their fitted attributes.

    `row_loss` is the held-out loss (n,) of the whole, NaN for rows that no fold tests.
    """

    experts: list
    gate: Any
    dispersion: np.ndarray
    output_range: np.ndarray
    overlap: float
    shared: SharedExpert | None
    log_likelihood: float
    history: dict[str, np.ndarray]
    converged: bool
    n_held_out: int
    lift: Lift | None
    density: ResidualDensity | None
    held_out_scores: np.ndarray | None
    row_loss: np.ndarray


def unfinished(
    setup: Setup, state: EMState, overlap: float, iteration: Iteration
) -> TrainedMixture:
    """The mixture as if training had ended with an iteration; its experts are fitted now.

    It has no shared expert and no lift, which only the last step knows.
    """
    problem, judged = setup.problem, setup.problem.folds.judged
    held_out = problem.folds.held_out(state.responsibilities)
    return TrainedMixture(
        experts=setup.experts.told_by(None).refit(state.experts),
        gate=setup.gate.refit(state.gate, held_out, problem.judged_weight),
        dispersion=state.dispersion,
        output_range=output_range(state.experts.outputs[judged]),
        overlap=overlap,
        shared=None,
        log_likelihood=state.log_likelihood,
        history=as_arrays([iteration]),
        converged=False,
        n_held_out=0 if problem.folds.is_in_sample else int(judged.sum()),
        lift=None,
        density=None,
        held_out_scores=None,
        row_loss=np.full(len(problem.target), np.nan),
    )


def output_range(outputs: np.ndarray) -> np.ndarray:
    """Smallest and largest held-out output of each expert, shape (K, ..., 2)."""
    return np.stack([outputs.min(axis=0), outputs.max(axis=0)], axis=-1)


def as_arrays(history: Sequence[Iteration]) -> dict[str, np.ndarray]:
    """One array per figure, its first axis the iterations."""
    return {
        "log_likelihood": np.array([iteration.log_likelihood for iteration in history]),
        "expert_mass": np.array([iteration.expert_mass for iteration in history]),
        "seconds": np.array([iteration.seconds for iteration in history]),
        "starved": np.array([iteration.starved for iteration in history]),
        "reseeded": np.array([iteration.reseeded for iteration in history]),
    }
