"""What is trained on the held-out outputs of the final experts: gate, dispersions, shared expert.

Experts cost much, and what is trained here little: so the choices that are left (the penalty of
the gate, the weight of the shared expert) are made here, on rows that the experts have not seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator

from .._data.weights import last_step
from .._experts.pool import HeldOutExperts
from .._prediction.dispatch import mix_outputs
from .._shared_expert.consensus import Opinions, fit_consensus
from .._shared_expert.training import (
    SharedTraining,
    train_generalist,
    weigh,
)
from ..gates._solver.penalty import PENALTIES
from .em import EMState, run_em, train_gate
from .setup import Setup

MAX_ITER = 30
"""At most so many EM iterations of gate and dispersion after the experts are final."""

TRIAL_ITERATIONS = 3
"""Changes of the dispersion, at most, while candidates of the gate's penalty are compared."""

TRIAL_TOLERANCE = 3.0
"""Tolerance meanwhile, in units of the final one."""


@dataclass(frozen=True)
class _FinalExperts:
    """Experts whose training is over, as EM sees them."""

    held_out: HeldOutExperts

    def fit_held_out(self, weights, previous, iteration):
        """Return the same predictions whatever the weights."""
        return self.held_out


def train_final_gate(setup: Setup, state: EMState, overlap: float) -> tuple[Setup, EMState]:
    """Choose the gate's penalty, if it is left to choose; train gate and dispersion to the end.

    Parameters
    ----------
    setup : Setup
    state : EMState
        Of which the experts are kept.
    overlap : float

    Returns
    -------
    setup : Setup
        With the gate of the penalty chosen.
    state : EMState
    """
    setup, state = _with_best_penalty(setup, state, overlap)
    return setup, _trained_gate(setup, state, overlap, MAX_ITER, setup.settings.tol)


def _with_best_penalty(setup, state, overlap):
    """Choose the gate's penalty by the held-out log-likelihood; go on from what that takes.

    The search goes from the penalty at hand to stronger or to weaker ones, the likelier direction
    first, as long as that helps, each time from the best state so far, which is near to where
    the next penalty leads.
    """
    if not setup.gate.chooses_penalty:
        return setup, state
    trial = {"max_iter": TRIAL_ITERATIONS, "tol": TRIAL_TOLERANCE * setup.settings.tol}
    state = _trained_gate(setup, state, overlap, **trial)
    start = PENALTIES.index(setup.gate.penalty)
    directions = [PENALTIES[:start][::-1], PENALTIES[start + 1 :]]
    if setup.gate.seems_too_strong(state.gate, setup.problem.judged_weight):
        directions.reverse()
    for candidates in directions:
        improved = False
        for penalty in candidates:
            candidate = setup._replace(gate=setup.gate.with_penalty(penalty))
            reached = _trained_gate(candidate, state, overlap, **trial)
            # A weaker one gains a little by the mere iterations that its trial adds.
            margin = trial["tol"] if penalty < setup.gate.penalty else 0.0
            if reached.log_likelihood <= state.log_likelihood + margin:
                break
            setup, state, improved = candidate, reached, True
        if improved:
            break
    return setup, state


def _trained_gate(setup, state, overlap, max_iter, tol):
    """Train gate and dispersion on the final experts' held-out outputs."""
    if setup.capacity is None:
        trained = train_gate(setup, state, max_iter, tol)
        if trained is not None:
            return trained
    final = setup._replace(experts=_FinalExperts(state.experts), exploration=None)
    return run_em(final, state, overlap, max_iter, tol).best


def train_shared(
    setup: Setup, final: EMState, shared: Any, rng: np.random.RandomState
) -> SharedTraining:
    """Train the shared expert, if there is to be one, and weigh it against the mixture.

    Parameters
    ----------
    setup : Setup
    final : EMState
    shared : {"generalist", "consensus"}, FrozenEstimator or None
        Its kind, or a generalist that is not to be fitted again.
    rng : numpy.random.RandomState

    Returns
    -------
    training : SharedTraining
    """
    problem, outputs = setup.problem, final.experts.outputs
    gate_proba = np.exp(problem.folds.held_out(final.gate.log_proba))
    mixed = mix_outputs(outputs, gate_proba, problem.likelihood, final.dispersion)
    if shared is None:
        return SharedTraining(None, mixed, final.row_log_likelihood)
    if shared != "consensus":
        template = setup.experts.templates[0] if shared == "generalist" else shared
        generalist = train_generalist(template, setup.experts, rng)
        said = generalist.held_out.outputs[:, 0]
        training = weigh(None, said, mixed, final.row_log_likelihood, problem)
        return training._replace(generalist=generalist)
    seed, gate = int(rng.randint(np.iinfo(np.int32).max)), setup.gate
    frozen = all(isinstance(last_step(each), FrozenEstimator) for each in setup.experts.templates)
    opinions = Opinions(outputs, mixed, frozen)
    consensus, held_out, weight = fit_consensus(opinions, gate.template, gate.Z, problem, seed)
    return weigh(consensus, held_out, mixed, final.row_log_likelihood, problem, weight)
