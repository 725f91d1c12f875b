"""Expectation-maximisation as a loop over explicit state.

The loop knows neither concrete experts, gates nor likelihoods. It is handed a setup that holds

- ``experts.fit_held_out(weights, previous, iteration)`` -> record with ``outputs``, ``starved``
- ``gate.fit_held_out(responsibilities, sample_weight, previous)`` -> record with ``log_proba``
- ``problem.likelihood`` with ``log_density`` and ``update_dispersion``

``fit_held_out`` means: fit in each fold, then say what is predicted for rows that were left out.

For the log-likelihood to stay honest over many iterations, it is not enough that each row is
predicted by models fitted without it: the *responsibilities* that those models were fitted with
must not have learned from the row either, or else the routing of all other rows comes to encode
its target, and the reported figure rises while that on new rows falls. Hence each fold has its
own gate, fitted without the rows that the fold tests, and its own responsibilities for *all* rows,
computed with that gate. Row i is judged in the fold that tests it; what that fold says of it, its
held-out responsibility, is also what the final gate and experts learn from. One path is left open:
the densities of the *other* rows come from fold models (one set for all folds) that have seen the
row, so that log-likelihoods remain slightly optimistic when many iterations meet few rows.

Of a row that no fold tests nothing is said that could be held against its target. Its density is
taken to be the same under all experts, so that its responsibilities are what each fold's gate says
of it: experts learn from the row, and nothing else does.

Shapes: n rows, K experts, F folds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .._arithmetic import e_step

PATIENCE = 3
"""Iterations without improvement after which EM stops."""

LARGE = 4_000_000
"""Responsibilities of more rows, experts and folds are single numbers, of one iterate at a time.

They can be as many as twice the numbers of X. What other iterates have, can be worked out again.
"""


class Posteriors(Sequence[np.ndarray]):
    """Responsibilities (n, K) in each fold, worked out when asked for.

    Parameters
    ----------
    log_gate : sequence of F ndarrays of shape (n, K)
    log_density : ndarray of shape (n, K)
    """

    def __init__(self, log_gate: Sequence[np.ndarray], log_density: np.ndarray):
        self._log_gate, self._log_density = log_gate, log_density

    def __len__(self) -> int:
        return len(self._log_gate)

    def __getitem__(self, fold):
        return e_step(self._log_gate[fold], self._log_density)[0]

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        shape = (len(self), *self._log_density.shape)
        everything = np.empty(shape, dtype or precision(shape))
        for fold in range(len(self)):
            everything[fold] = self[fold]
        return everything


class EMState(NamedTuple):
    """One iterate: everything that its log-likelihood was computed from.

    Attributes
    ----------
    experts, gate : records returned by ``fit_held_out``, or None before the first iteration
    dispersion : ndarray of shape (n_experts, ...)
    responsibilities : ndarray of shape (F, n, K)
        Of the E-step that follows, that is, the posterior under this iterate in each fold (with
        a capacity: the closest to it that respects that). May be `Posteriors`.
    log_density : ndarray of shape (n, K)
        Of each expert, held out.
    row_log_likelihood : ndarray of shape (n,)
        Of the mixture, held out: each row in the fold that tests it; 0 if there is none.
    log_likelihood : float
        Weighted mean of these over the rows that are tested.
    """

    experts: Any
    gate: Any
    dispersion: np.ndarray
    responsibilities: np.ndarray | Posteriors
    log_density: np.ndarray
    row_log_likelihood: np.ndarray
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


def expert_weights(
    responsibilities: np.ndarray, sample_weight: np.ndarray, overlap: float
) -> np.ndarray:
    """Row weights for the M-step of the experts.

    ``w_i [(1 - overlap) r_ik + overlap / K] / [(1 - overlap) + overlap / K]``, so that a row for
    which one expert is wholly responsible counts ``w_i`` there. Hence overlap 0 is the classical
    mixture, and with overlap 1 each expert sees the data exactly as it would see it alone.

    Parameters
    ----------
    responsibilities : ndarray of shape (F, n, K)
    sample_weight : ndarray of shape (n,)
    overlap : float in [0, 1]

    Returns
    -------
    weights : ndarray of shape (F, n, K)
    """
    everyone = overlap / responsibilities.shape[-1]
    own = (1.0 - overlap) / (1.0 - overlap + everyone)
    weights = own * responsibilities
    weights += 1.0 - own
    # With overlap 1 this is the sample weight to the last bit: experts see that nothing changed.
    weights *= sample_weight[:, np.newaxis]
    return weights


def precision(shape: tuple[int, ...]) -> type:
    """Type of responsibilities of a shape."""
    return np.float32 if np.prod(shape, dtype=float) > LARGE else np.float64


def initial_state(responsibilities: np.ndarray, dispersion: np.ndarray, n_folds: int) -> EMState:
    """A state of which nothing is known but responsibilities and dispersion: the rest is empty.

    Parameters
    ----------
    responsibilities : ndarray of shape (n, K), or (F, n, K) if each fold has its own
    dispersion : ndarray of shape (K, ...)
    n_folds : int

    Returns
    -------
    state : EMState
    """
    shape = (n_folds, *responsibilities.shape[-2:])
    responsibilities = responsibilities.astype(precision(shape))
    # The same numbers for each fold, without a copy; nobody writes into responsibilities.
    strides = np.broadcast_to(responsibilities, shape).strides
    in_each_fold = np.lib.stride_tricks.as_strided(responsibilities, shape, strides)
    return EMState(None, None, dispersion, in_each_fold, np.empty(0), np.empty(0), -np.inf)


def run_em(
    setup: Any,
    start: EMState,
    overlap: float,
    max_iter: int,
    tol: float,
    earlier: Sequence[Iteration] = (),
    watch: Callable[[EMResult, EMState], bool] | None = None,
) -> EMResult:
    """Alternate M-steps and E-steps; keep the iterate with the largest log-likelihood.

    Held-out log-likelihoods need not rise monotonically (Jordan and Jacobs' guarantee holds
    for exact in-sample M-steps), so that a run ends after `PATIENCE` iterations without an
    improvement by more than `tol`, and not at the first.

    Parameters
    ----------
    setup : record with ``problem``, ``experts``, ``gate``, ``capacity`` and ``exploration``
        For the first three see the module's docstring. A capacity limits what an expert may be
        responsible for. An exploration alters what M-steps learn from: while it does, and when
        it has re-seeded an expert, an iteration without improvement is no reason to stop; when it
        ends, EM goes on from the best iterate. Both may be None.
    start : EMState
        Where to start, as `initial_state` makes it, or an earlier run's best to go on from.
    overlap : float
        See `expert_weights`.
    max_iter : int
        Iterations in all, the earlier ones included.
    tol : float
        In units of the mean log-likelihood per row.
    earlier : sequence of Iteration, default=()
        History of the run that `start` comes from.
    watch : callable, optional
        Called after each iteration with the run so far and the state that it is in. The run ends
        where it returns True.

    Returns
    -------
    result : EMResult

    References
    ----------
    Jordan, M. I. and Jacobs, R. A. (1994). Hierarchical mixtures of experts and the EM
    algorithm. Neural Computation, 6(2), 181-214.
    """
    problem, folds, exploration = setup.problem, setup.problem.folds, setup.exploration
    sample_weight, judged_weight = problem.sample_weight, problem.judged_weight
    state = best = start
    del start  # which need not be kept for longer than the first iteration
    history = list(earlier)
    stalled = 0
    while len(history) < max_iter and stalled < PATIENCE:
        started = time.perf_counter()
        targets, reseeded = _targets(exploration, state, history, overlap)
        # The gate comes first: what it cannot take, it says before any expert is fitted.
        gate = setup.gate.fit_held_out(targets, judged_weight, state.gate)
        weights, held_out = (
            expert_weights(targets, sample_weight, overlap),
            folds.held_out(targets),
        )
        state, is_best = _compact(state, setup), best is state
        best = state if is_best else best
        del targets  # as large as weights
        experts = setup.experts.fit_held_out(weights, state.experts, len(history) + 1)
        del weights
        state = _evaluated(setup, experts, gate, held_out, state.dispersion)
        gain = state.log_likelihood - best.log_likelihood
        exploring = _explores(exploration, history)
        stalled = 0 if gain > tol or exploring or reseeded.any() else stalled + 1
        if gain > 0:
            best = state
        mass = judged_weight @ folds.held_out(state.responsibilities) / judged_weight.sum()
        seconds = time.perf_counter() - started
        history.append(Iteration(state.log_likelihood, mass, seconds, experts.starved, reseeded))
        if watch is not None and watch(EMResult(best, history, False, state is best), state):
            break
        if exploring and not _explores(exploration, history):
            state = best  # which need not be where exploration has ended
    converged = stalled >= PATIENCE
    improving = not converged and state is best
    return EMResult(_compact(best, setup), history, converged, improving)


def _targets(exploration, state, history, overlap):
    """Responsibilities (F, n, K) that the next M-step learns from, and experts re-seeded (K,)."""
    state = state._replace(responsibilities=np.asarray(state.responsibilities))
    if exploration is None:
        return state.responsibilities, np.zeros(state.responsibilities.shape[-1], dtype=bool)
    return exploration.targets(state, history, overlap)


def _compact(state, setup):
    """An iterate whose responsibilities are worked out again if need be, where they are many."""
    known = state.responsibilities
    if state.gate is None or setup.capacity is not None or isinstance(known, Posteriors):
        return state
    if precision(known.shape) == np.float64:
        return state
    return state._replace(responsibilities=Posteriors(state.gate.log_proba, state.log_density))


def train_gate(setup: Any, start: EMState, max_iter: int, tol: float) -> EMState | None:
    """Train gate and dispersion to convergence while the experts stay as they are.

    Where `run_em` alternates, this maximises over the gate at once (ECME): a gate that can do
    so takes several times fewer passes over the data.

    Parameters
    ----------
    setup : record
        See `run_em`; without a capacity. Instead of ``gate.fit_held_out`` it is
        ``gate.maximize_likelihood(log_density, sample_weight, previous, accuracy)`` that is used.
    start : EMState
        Of which the experts are kept.
    max_iter : int
        At most so many changes of the dispersion.
    tol : float
        In units of the mean log-likelihood per row.

    Returns
    -------
    best : EMState or None
        The iterate with the largest log-likelihood. None if the gate can only be fitted to
        responsibilities.
    """
    weight = setup.problem.judged_weight
    state = best = start
    for _ in range(max_iter):
        gate = setup.gate.maximize_likelihood(state.log_density, weight, state.gate, tol)
        if gate is None:
            return None
        posteriors = Posteriors(gate.log_proba, state.log_density)
        held_out = setup.problem.folds.held_out(posteriors)
        state = _evaluated(setup, state.experts, gate, held_out, state.dispersion)
        gain = state.log_likelihood - best.log_likelihood
        if gain > 0:
            best = state
        if gain <= tol:
            break
    return best


def _evaluated(setup, experts, gate, held_out, dispersion):
    """The state of fitted experts and gate: the M-step of the dispersion, and the E-step.

    Dispersions learn from what experts and gate have learned from, `held_out` (n, K).
    """
    folds, target, likelihood = setup.problem.folds, setup.problem.target, setup.problem.likelihood
    judged_weight = setup.problem.judged_weight
    responsible = judged_weight[:, np.newaxis] * held_out
    dispersion = likelihood.update_dispersion(target, experts.outputs, responsible, dispersion)
    log_density = likelihood.log_density(target, experts.outputs, dispersion)
    if not folds.judged.all():
        log_density[~folds.judged] = 0.0  # see the module's docstring
    responsibilities, log_likelihoods = _e_steps(gate.log_proba, log_density, setup.capacity)
    row_log_likelihood = folds.held_out(log_likelihoods)
    return EMState(
        experts,
        gate,
        dispersion,
        responsibilities,
        log_density,
        row_log_likelihood,
        float(np.average(row_log_likelihood, weights=judged_weight)),
    )


def _explores(exploration, history):
    """Whether the next iteration explores."""
    return exploration is not None and exploration.explores(len(history) + 1)


def _e_steps(log_gate, log_density, capacity):
    """Responsibilities (F, n, K) and row log-likelihoods (F, n) in each fold."""
    if len(log_gate) == 1 and capacity is None:  # no copy
        responsibilities, log_likelihood = e_step(log_gate[0], log_density)
        return responsibilities[np.newaxis], log_likelihood[np.newaxis]
    shape = (len(log_gate), *log_density.shape)
    responsibilities, log_likelihoods = np.empty(shape, precision(shape)), np.empty(shape[:-1])
    for fold, own in enumerate(log_gate):
        responsibilities[fold], log_likelihoods[fold] = e_step(own, log_density)
    if capacity is not None:  # the mixture as it is knows none
        log_gate = np.stack(list(log_gate))
        for fold, bias in enumerate(capacity.biases(log_gate, log_density)):
            responsibilities[fold] = e_step(log_gate[fold] + bias, log_density)[0]
    return responsibilities, log_likelihoods
