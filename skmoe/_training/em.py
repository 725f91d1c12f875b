"""Expectation-maximisation as a loop over explicit state.

The loop knows neither concrete experts, gates nor likelihoods. It is handed three objects:

- ``experts.fit_held_out(weights, previous, iteration)`` -> record with ``outputs``, ``starved``
- ``gate.fit_held_out(responsibilities, sample_weight, previous)`` -> record with ``log_proba``
- ``likelihood`` with ``log_density`` and ``update_dispersion``

"Judge" means: fit, then say what the fitted thing predicts for rows that it did not see.

For the log-likelihood to stay honest over many iterations, it is not enough that each row is
predicted by models fitted without it: the *responsibilities* that those models were fitted with
must not have learned from the row either, or else the routing of all other rows comes to encode
its target, and the reported figure rises while that on new rows falls. Hence there is a *view* of
the data per fold. View f has its own gate, fitted without fold f, and its own responsibilities
for all rows, computed with that gate. Row i is judged in the view that leaves out its fold; what
that view says of it, its held-out responsibility, is also what the final gate and experts learn
from. One path is left open: the densities of the *other* rows come from fold models (one set for
all views) that have seen the row, so that log-likelihoods remain slightly optimistic when many
iterations meet few rows.

Shapes: n rows, K experts, V views.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .._arithmetic import e_step

PATIENCE = 3
"""Iterations without improvement after which EM stops."""


class EMState(NamedTuple):
    """One iterate: everything that its log-likelihood was computed from.

    Attributes
    ----------
    experts, gate : records returned by ``fit_held_out``, or None before the first iteration
    dispersion : ndarray of shape (n_experts, ...)
    responsibilities : ndarray of shape (V, n, K)
        Of the E-step that follows, that is, the posterior under this iterate in each view (with
        a capacity: the closest to it that respects that).
    log_density : ndarray of shape (n, K)
        Of each expert, held out.
    row_log_likelihood : ndarray of shape (n,)
        Of the mixture, held out: each row in the view that leaves it out.
    log_likelihood : float
        Weighted mean of these.
    """

    experts: Any
    gate: Any
    dispersion: np.ndarray
    responsibilities: np.ndarray
    log_density: np.ndarray | None
    row_log_likelihood: np.ndarray | None
    log_likelihood: float


class Iteration(NamedTuple):
    """What is remembered of each iteration."""

    log_likelihood: float
    expert_mass: np.ndarray
    seconds: float
    starved: np.ndarray
    reseeded: np.ndarray


class EMResult(NamedTuple):
    """A finished run.

    Attributes
    ----------
    best : EMState
        The iterate with the largest log-likelihood.
    history : list of Iteration
        With those that the run went on from.
    converged : bool
        Whether the log-likelihood had ceased to improve before `max_iter` was reached.
    improving : bool
        Whether the last iteration was the best so far and the run did not converge.
    """

    best: EMState
    history: list[Iteration]
    converged: bool
    improving: bool


def expert_weights(responsibilities, sample_weight, overlap):
    """Row weights for the M-step of the experts.

    ``w_i [(1 - overlap) r_ik + overlap / K] / [(1 - overlap) + overlap / K]``, so that a row for
    which one expert is wholly responsible counts ``w_i`` there. Hence overlap 0 is the classical
    mixture, and with overlap 1 each expert sees the data exactly as it would see it alone.

    Parameters
    ----------
    responsibilities : ndarray of shape (V, n, K)
    sample_weight : ndarray of shape (n,)
    overlap : float in [0, 1]

    Returns
    -------
    weights : ndarray of shape (V, n, K)
    """
    everyone = overlap / responsibilities.shape[-1]
    own = (1.0 - overlap) / (1.0 - overlap + everyone)
    # With overlap 1 this is the sample weight to the last bit: experts see that nothing changed.
    return sample_weight[:, np.newaxis] * (own * responsibilities + (1.0 - own))


def initial_state(responsibilities, dispersion, n_views):
    """A state of which nothing is known but responsibilities and dispersion.

    Parameters
    ----------
    responsibilities : ndarray of shape (n, K)
    dispersion : ndarray of shape (K, ...)
    n_views : int

    Returns
    -------
    state : EMState
    """
    views = np.tile(responsibilities, (n_views, 1, 1))
    return EMState(None, None, dispersion, views, None, None, -np.inf)


def run_em(
    y: np.ndarray,
    sample_weight: np.ndarray,
    judging_view: np.ndarray,
    start: EMState,
    *,
    experts: Any,
    gate: Any,
    likelihood: Any,
    overlap: float,
    max_iter: int,
    tol: float,
    capacity: Any = None,
    exploration: Any = None,
    earlier: Sequence[Iteration] = (),
    report: Callable[[int, Iteration], None] | None = None,
) -> EMResult:
    """Alternate M-steps and E-steps; keep the iterate with the largest log-likelihood.

    Held-out log-likelihoods need not rise monotonically (Jordan and Jacobs' guarantee holds
    for exact in-sample M-steps), so that a run ends after `PATIENCE` iterations without an
    improvement by more than `tol`, and not at the first.

    Parameters
    ----------
    y : ndarray
        Target as the likelihood takes it.
    sample_weight : ndarray of shape (n,)
    judging_view : ndarray of shape (n,), dtype intp
        The view that leaves out each row.
    start : EMState
        Where to start, as `initial_state` makes it, or an earlier run's best to go on from.
    experts, gate, likelihood : objects
        See the module's docstring.
    overlap : float
        See `expert_weights`.
    max_iter : int
        Iterations in all, the earlier ones included.
    tol : float
        In units of the mean log-likelihood per row.
    capacity : Capacity, optional
        Limits what an expert may be responsible for.
    exploration : Exploration, optional
        Alters what M-steps learn from. While it does, and when it has re-seeded an expert, an
        iteration without improvement is no reason to stop. When it ends, EM goes on from the
        best iterate.
    earlier : sequence of Iteration, default=()
        History of the run that `start` comes from.
    report : callable, optional
        Called after each iteration with its number (from 1) and its record.

    Returns
    -------
    result : EMResult

    References
    ----------
    Jordan, M. I. and Jacobs, R. A. (1994). Hierarchical mixtures of experts and the EM
    algorithm. Neural Computation, 6(2), 181-214.
    """
    state = best = start
    history = list(earlier)
    stalled = 0
    held_out = _held_out(state.responsibilities, judging_view)
    while len(history) < max_iter and stalled < PATIENCE:
        started = time.perf_counter()
        learned, reseeded = _learned(exploration, state, history, overlap)
        # The gate comes first: what it cannot take, it says before any expert is fitted.
        judged_gate = gate.fit_held_out(learned, sample_weight, state.gate)
        weights = expert_weights(learned, sample_weight, overlap)
        judged = experts.fit_held_out(weights, state.experts, len(history) + 1)
        dispersion = likelihood.update_dispersion(
            y,
            judged.outputs,
            sample_weight[:, np.newaxis] * _held_out(learned, judging_view),
            state.dispersion,
        )
        log_density = likelihood.log_density(y, judged.outputs, dispersion)
        state = _evaluated(
            judged, judged_gate, dispersion, log_density, sample_weight, judging_view, capacity
        )
        held_out = _held_out(state.responsibilities, judging_view)
        gain = state.log_likelihood - best.log_likelihood
        exploring = _explores(exploration, history)
        stalled = 0 if gain > tol or exploring or reseeded.any() else stalled + 1
        if gain > 0:
            best = state
        mass = sample_weight @ held_out / sample_weight.sum()
        seconds = time.perf_counter() - started
        history.append(Iteration(state.log_likelihood, mass, seconds, judged.starved, reseeded))
        if report is not None:
            report(len(history), history[-1])
        if exploring and not _explores(exploration, history):
            state = best  # which need not be where exploration has ended
    converged = stalled >= PATIENCE
    return EMResult(best, history, converged, not converged and state is best)


def _learned(exploration, state, history, overlap):
    """Responsibilities (V, n, K) that the next M-step learns from, and experts re-seeded (K,)."""
    if exploration is None:
        return state.responsibilities, np.zeros(state.responsibilities.shape[-1], dtype=bool)
    return exploration.learned(state, history, overlap)


def train_gate(
    y: np.ndarray,
    sample_weight: np.ndarray,
    judging_view: np.ndarray,
    start: EMState,
    *,
    gate: Any,
    likelihood: Any,
    max_iter: int,
    tol: float,
) -> EMState | None:
    """Train gate and dispersion to convergence while the experts stay as they are.

    Where `run_em` alternates, this maximises over the gate at once (ECME): a gate that can do
    so takes several times fewer passes over the data.

    Parameters
    ----------
    y, sample_weight, judging_view
        See `run_em`.
    start : EMState
        Of which the experts are kept.
    gate, likelihood : objects
        See the module's docstring; ``gate.maximize_likelihood(log_density, sample_weight,
        previous, accuracy)`` is used instead of ``fit_held_out``.
    max_iter : int
        At most so many changes of the dispersion.
    tol : float
        In units of the mean log-likelihood per row.

    Returns
    -------
    best : EMState or None
        The iterate with the largest log-likelihood. None if the gate cannot climb.
    """
    state = best = start
    for _ in range(max_iter):
        judged = gate.maximize_likelihood(state.log_density, sample_weight, state.gate, tol)
        if judged is None:
            return None
        responsibilities, _ = _e_steps(judged.log_proba, state.log_density, None)
        weight = sample_weight[:, np.newaxis] * _held_out(responsibilities, judging_view)
        outputs = state.experts.outputs
        dispersion = likelihood.update_dispersion(y, outputs, weight, state.dispersion)
        log_density = likelihood.log_density(y, outputs, dispersion)
        state = _evaluated(
            state.experts, judged, dispersion, log_density, sample_weight, judging_view, None
        )
        gain = state.log_likelihood - best.log_likelihood
        if gain > 0:
            best = state
        if gain <= tol:
            break
    return best


def _evaluated(experts, gate, dispersion, log_density, sample_weight, judging_view, capacity):
    """A state with its responsibilities and log-likelihoods."""
    responsibilities, log_likelihoods = _e_steps(gate.log_proba, log_density, capacity)
    row_log_likelihood = _held_out(log_likelihoods, judging_view)
    return EMState(
        experts,
        gate,
        dispersion,
        responsibilities,
        log_density,
        row_log_likelihood,
        float(np.average(row_log_likelihood, weights=sample_weight)),
    )


def _explores(exploration, history):
    """Whether the next iteration explores."""
    return exploration is not None and exploration.explores(len(history) + 1)


def _e_steps(log_gate, log_density, capacity):
    """Responsibilities (V, n, K) and row log-likelihoods (V, n) in each view."""
    if len(log_gate) == 1 and capacity is None:  # no copy
        responsibilities, log_likelihood = e_step(log_gate[0], log_density)
        return responsibilities[np.newaxis], log_likelihood[np.newaxis]
    responsibilities, log_likelihoods = np.empty(log_gate.shape), np.empty(log_gate.shape[:-1])
    for view, own in enumerate(log_gate):
        responsibilities[view], log_likelihoods[view] = e_step(own, log_density)
    if capacity is not None:  # the mixture as it is knows none
        for view, bias in enumerate(capacity.biases(log_gate, log_density)):
            responsibilities[view] = e_step(log_gate[view] + bias, log_density)[0]
    return responsibilities, log_likelihoods


def _held_out(values, judging_view):
    """Of values (V, n, ...) each row's in the view that judges it; no copy of a single view."""
    if len(values) == 1:
        return values[0]
    return values[judging_view, np.arange(len(judging_view))]
