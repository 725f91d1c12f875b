"""What is trained on the held-out outputs of the final experts: gate, dispersions, shared expert.

Experts cost much, and what is trained here little: so the choices that are left (the penalty of
the gate, the weight of the shared expert) are made here, on rows that the experts have not seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._experts.pool import HeldOutExperts
from .._prediction.dispatch import mix_outputs
from .._shared_expert.training import (
    SharedTraining,
    single_expert_dispersion,
    train_consensus,
    train_generalist,
    weigh,
)
from ..gates._solver.penalty import PENALTIES
from .em import run_em, train_gate

MAX_ITER = 30
"""At most so many EM iterations of gate and dispersion after the experts are final."""

TRIAL_ITERATIONS = 3
"""Changes of the dispersion, at most, while candidates of the gate's penalty are compared."""

TRIAL_TOLERANCE = 3.0
"""Tolerance meanwhile, in units of the final one."""


@dataclass(frozen=True)
class _FinalExperts:
    """Experts whose training is over, as EM sees them."""

    judged: HeldOutExperts

    def fit_held_out(self, weights, previous, iteration):
        """Return the same judgement whatever the weights."""
        return self.judged


def train_final_gate(problem, state, overlap):
    """Choose the gate's penalty, if it is left to choose; train gate and dispersion to the end.

    Parameters
    ----------
    problem : Problem
    state : EMState
        Of which the experts are kept.
    overlap : float

    Returns
    -------
    problem : Problem
        With the gate of the penalty chosen.
    state : EMState
    """
    problem, state = _with_best_penalty(problem, state, overlap)
    return problem, _trained_gate(problem, state, overlap, MAX_ITER, problem.settings.tol)


def _with_best_penalty(problem, state, overlap):
    """Choose the gate's penalty by the held-out log-likelihood; go on from what that takes.

    The search goes from the penalty at hand to stronger or to weaker ones, the likelier direction
    first, as long as that helps, each time from the best state so far, which is near to where
    the next penalty leads.
    """
    if not problem.gate.chooses_penalty:
        return problem, state
    trial = {"max_iter": TRIAL_ITERATIONS, "tol": TRIAL_TOLERANCE * problem.settings.tol}
    state = _trained_gate(problem, state, overlap, **trial)
    start = PENALTIES.index(problem.gate.penalty)
    directions = [PENALTIES[:start][::-1], PENALTIES[start + 1 :]]
    if problem.gate.seems_too_strong(state.gate, problem.data.sample_weight):
        directions.reverse()
    for candidates in directions:
        improved = False
        for penalty in candidates:
            candidate = problem._replace(gate=problem.gate.with_penalty(penalty))
            reached = _trained_gate(candidate, state, overlap, **trial)
            # A weaker one gains a little by the mere iterations that its trial adds.
            margin = trial["tol"] if penalty < problem.gate.penalty else 0.0
            if reached.log_likelihood <= state.log_likelihood + margin:
                break
            problem, state, improved = candidate, reached, True
        if improved:
            break
    return problem, state


def _trained_gate(problem, state, overlap, max_iter, tol):
    """Train gate and dispersion on the final experts' held-out outputs."""
    common = {
        "gate": problem.gate,
        "likelihood": problem.likelihood,
        "max_iter": max_iter,
        "tol": tol,
    }
    data = problem.target, problem.data.sample_weight, problem.experts.judging_view
    trained = None
    if problem.capacity is None:
        trained = train_gate(*data, state, **common)
    if trained is not None:
        return trained
    final_experts = _FinalExperts(state.experts)
    return run_em(
        *data, state, experts=final_experts, overlap=overlap, capacity=problem.capacity, **common
    ).best


def train_shared(problem, final, shared, rng):
    """Train the shared expert, if there is to be one, and weigh it against the mixture.

    Parameters
    ----------
    problem : Problem
    final : EMState
    shared : {"generalist", "consensus"}, FrozenEstimator or None
        Its kind, or a generalist that is not to be fitted again.
    rng : numpy.random.RandomState

    Returns
    -------
    training : SharedTraining
    """
    if shared is None:
        return SharedTraining(None, None, final.row_log_likelihood)
    pool, outputs = problem.experts, final.experts.outputs
    if shared == "consensus":
        gate = problem.gate
        model, held_out = train_consensus(pool, outputs, gate.template, gate.Z, rng)
    else:
        template = pool.templates[0] if shared == "generalist" else shared
        model, held_out = train_generalist(template, pool, rng)
    mixed = _held_out_prediction(problem, final)
    return weigh(model, held_out, mixed, final.row_log_likelihood, pool)


def _held_out_prediction(problem, final):
    """What the mixture, without a shared expert, says of rows that it has not seen."""
    view = (problem.experts.judging_view, np.arange(len(problem.target)))
    gate_proba = np.exp(final.gate.log_proba[view])
    return mix_outputs(final.experts.outputs, gate_proba, problem.likelihood, final.dispersion)


def single_expert_log_density(problem, final):
    """Held-out log-densities (n, K) of each expert if it had to answer for all rows alone.

    Its dispersion is then another: within the mixture it only speaks for the rows it knows.
    """
    outputs, target, likelihood = final.experts.outputs, problem.target, problem.likelihood
    dispersion = single_expert_dispersion(likelihood, target, outputs, problem.data.sample_weight)
    return likelihood.log_density(target, outputs, dispersion)
