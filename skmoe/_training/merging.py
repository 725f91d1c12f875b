"""Merging experts that one of them could stand in for, where their number is to be chosen.

The search compares few numbers of experts, after few iterations: what it takes is often more than
there are regimes, of which some are then shared out among several experts that say the same. That
shows in held-out rows: if one expert answers for another's rows, too, they are hardly less likely.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

from .._arithmetic.statistics import paired
from .._prediction.dispatch import mix_outputs
from .em import EMResult, EMState, initial_state
from .setup import Setup

TOLERATED = 1.0
"""Standard errors of the log-likelihood, or the loss, that fewer experts may be worse by."""

SLIGHT_NATS, SLIGHT_LOSS = 0.01, 0.03
"""What fewer experts may be worse by in any case: nats per row, and a share of the loss.

Where there is little noise, standard errors are so small that a dozen experts would be kept for
borders that are sharper by a hair. A few rows at borders make most of a squared error, of which
three per cent are half as much of its root.
"""

ITERATIONS = 5
"""Of EM, before a mixture of fewer experts is judged."""


def with_fewer_experts(
    setup: Setup, run: EMResult, run_on: Callable[[Setup, EMState, int], EMResult]
) -> tuple[Setup, EMResult]:
    """Merge experts for as long as held-out rows do not mind.

    Parameters
    ----------
    setup : Setup
        Whose experts are all of one kind.
    run : EMResult
        To start from.
    run_on : callable
        Runs EM from a state, for a number of iterations at most.

    Returns
    -------
    setup : Setup
        With the number of experts that are left.
    run : EMResult
        Of a few iterations; that which was given if none were merged.
    """
    judged, at_most = _Judgement.of(setup, run.best), len(setup.experts.names)
    while len(setup.experts.names) > 1:
        owners = stand_ins(setup, run.best, at_most)
        fewer = setup.with_experts(int(owners.max()) + 1)
        merged = run_on(fewer, _merged_state(fewer, run.best, owners), ITERATIONS)
        n_merged = len(owners) - len(fewer.experts.names)
        if judged.tolerates(fewer, merged.best):
            setup, run = fewer, merged
        elif n_merged > 1:  # too many at once
            at_most = n_merged // 2
        else:
            break
    return setup, run


class _Judgement(NamedTuple):
    """What held-out rows (n,) say of a mixture: log-likelihood, and loss of its prediction."""

    row_log_likelihood: np.ndarray
    row_loss: np.ndarray
    weight: np.ndarray

    @classmethod
    def of(cls, setup, state):
        problem, experts = setup.problem, state.experts
        gate_proba = np.exp(problem.folds.held_out(state.gate.log_proba))
        mixed = mix_outputs(experts.outputs, gate_proba, problem.likelihood, state.dispersion)
        row_loss = problem.likelihood.loss(problem.target, mixed)
        return cls(state.row_log_likelihood, row_loss, problem.judged_weight)

    def tolerates(self, setup, state):
        """Whether another state is not credibly worse in either."""
        other = self.of(setup, state)
        slight_loss = SLIGHT_LOSS * np.average(self.row_loss, weights=self.weight)
        worse = (
            (self.row_log_likelihood - other.row_log_likelihood, SLIGHT_NATS),
            (other.row_loss - self.row_loss, slight_loss),
        )
        return all(
            loss <= max(TOLERATED * error, slight)
            for (loss, error), slight in ((paired(each, self.weight), by) for each, by in worse)
        )


def stand_ins(setup: Setup, state: EMState, at_most: int) -> np.ndarray:
    """Which of the experts that are left answers for each.

    One after the other, the expert that is missed least is left out, and another has its rows, for
    as long as held-out rows are not less likely than tolerated; but at least one, since the others
    have not been fitted to its rows yet.

    Parameters
    ----------
    setup : Setup
    state : EMState
    at_most : int
        So many are left out.

    Returns
    -------
    owners : ndarray of shape (n_experts,), intp
        Numbered from 0.
    """
    problem = setup.problem
    log_gate = problem.folds.held_out(state.gate.log_proba)
    before = logsumexp(log_gate + state.log_density, axis=1)
    gate, density = np.exp(log_gate), np.exp(state.log_density - before[:, np.newaxis])
    owners, left = np.arange(gate.shape[1]), list(range(gate.shape[1]))
    while len(left) > max(1, len(owners) - at_most):
        loss, error, leaver, heir = min(
            (*paired(losses, problem.judged_weight), leaver, heir)
            for leaver in left
            for heir, losses in _losses_without(leaver, left, gate, density)
        )
        if loss > TOLERATED * error and len(left) < len(owners):
            break
        gate[:, heir] += gate[:, leaver]
        owners[owners == leaver] = heir
        left.remove(leaver)
    return np.searchsorted(left, owners)


def _losses_without(leaver, left, gate, density):
    """Each expert that might have the rows of another, and what rows (n,) lose if it does."""
    others = [expert for expert in left if expert != leaver]
    remaining = np.sum(gate[:, others] * density[:, others], axis=1)
    for heir in others:
        mixed = remaining + gate[:, leaver] * density[:, heir]
        yield heir, -np.log(np.maximum(mixed, np.finfo(np.float64).tiny))


def _merged_state(setup, state, owners):
    """The state in which the experts that are left have the responsibilities of the others."""
    n_left, before = len(setup.experts.names), np.asarray(state.responsibilities)
    responsibilities = np.zeros((*before.shape[:-1], n_left), dtype=before.dtype)
    for expert, owner in enumerate(owners):
        responsibilities[..., owner] += before[..., expert]
    dispersion = setup.problem.likelihood.initial_dispersion(n_left)
    return initial_state(responsibilities, dispersion, len(setup.problem.folds))
