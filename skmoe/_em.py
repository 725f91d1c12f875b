"""Expectation-maximisation as a loop over explicit state.

The loop knows neither concrete experts, gates nor likelihoods. It is handed three objects:

- ``experts.judge(weights, previous, iteration)`` -> record with ``outputs``, ``starved``
- ``gate.judge(responsibilities, sample_weight, previous)`` -> record with ``log_proba``
- ``likelihood`` with ``log_density`` and ``update_dispersion``

"Judge" means: fit, then say what the fitted thing predicts for rows that it did not see.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ._kernels import e_step

PATIENCE = 3
"""Iterations without improvement after which EM stops."""


class EMState(NamedTuple):
    """One iterate: everything that its log-likelihood was computed from.

    Attributes
    ----------
    experts, gate : records returned by ``judge``
    dispersion : ndarray of shape (n_experts, ...)
    responsibilities : ndarray of shape (n_samples, n_experts)
        Of the E-step that follows, that is, the posterior under this iterate.
    log_density : ndarray of shape (n_samples, n_experts)
    log_likelihood : float
        Weighted mean per row.
    """

    experts: Any
    gate: Any
    dispersion: np.ndarray
    responsibilities: np.ndarray
    log_density: np.ndarray
    log_likelihood: float


class Iteration(NamedTuple):
    """What is remembered of each iteration."""

    log_likelihood: float
    expert_share: np.ndarray
    seconds: float
    starved: np.ndarray


class EMResult(NamedTuple):
    """A finished run.

    Attributes
    ----------
    best : EMState
        The iterate with the largest log-likelihood.
    history : list of Iteration
    converged : bool
        Whether the log-likelihood had ceased to improve before `max_iter` was reached.
    improving : bool
        Whether the last iteration was the best so far and the run did not converge.
    """

    best: EMState
    history: list[Iteration]
    converged: bool
    improving: bool


def expert_weights(responsibilities, sample_weight, share):
    """Row weights for the M-step of the experts.

    ``w_i [(1 - share) r_ik + share / K]``, scaled so that a row for which one expert is wholly
    responsible counts ``w_i`` there. Hence share 0 is the classical mixture, and with share 1
    each expert sees the data exactly as it would see it alone.

    Parameters
    ----------
    responsibilities : ndarray of shape (n_samples, n_experts)
    sample_weight : ndarray of shape (n_samples,)
    share : float in [0, 1]

    Returns
    -------
    weights : ndarray of shape (n_samples, n_experts)
    """
    everyone = share / responsibilities.shape[1]
    if share == 1.0:  # to the last bit, so that experts can tell that nothing changed
        return np.repeat(sample_weight[:, np.newaxis], responsibilities.shape[1], axis=1)
    shared = ((1.0 - share) * responsibilities + everyone) / (1.0 - share + everyone)
    return sample_weight[:, np.newaxis] * shared


def run_em(
    y: np.ndarray,
    sample_weight: np.ndarray,
    responsibilities: np.ndarray,
    dispersion: np.ndarray,
    *,
    experts: Any,
    gate: Any,
    likelihood: Any,
    share: float,
    max_iter: int,
    tol: float,
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
    sample_weight : ndarray of shape (n_samples,)
    responsibilities : ndarray of shape (n_samples, n_experts)
        Where to start: the first M-step uses these.
    dispersion : ndarray of shape (n_experts, ...)
        Where to start.
    experts, gate, likelihood : objects
        See the module's docstring.
    share : float
        See `expert_weights`.
    max_iter : int
    tol : float
        In units of the mean log-likelihood per row.
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
    state: EMState | None = None
    best: EMState | None = None
    history: list[Iteration] = []
    target, stalled = -np.inf, 0
    while len(history) < max_iter and stalled < PATIENCE:
        started = time.perf_counter()
        weights = expert_weights(responsibilities, sample_weight, share)
        # The gate comes first: what it cannot take, it says before any expert is fitted.
        judged_gate = gate.judge(responsibilities, sample_weight, state and state.gate)
        judged = experts.judge(weights, state and state.experts, len(history) + 1)
        dispersion = likelihood.update_dispersion(
            y, judged.outputs, sample_weight[:, np.newaxis] * responsibilities, dispersion
        )
        log_density = likelihood.log_density(y, judged.outputs, dispersion)
        responsibilities, row_log_likelihood = e_step(judged_gate.log_proba, log_density)
        log_likelihood = float(np.average(row_log_likelihood, weights=sample_weight))
        state = EMState(
            judged, judged_gate, dispersion, responsibilities, log_density, log_likelihood
        )
        if best is None or log_likelihood > best.log_likelihood:
            best = state
        stalled = 0 if log_likelihood > target + tol else stalled + 1
        target = max(target, log_likelihood)
        shares = np.average(responsibilities, axis=0, weights=sample_weight)
        seconds = time.perf_counter() - started
        history.append(Iteration(log_likelihood, shares, seconds, judged.starved))
        if report is not None:
            report(len(history), history[-1])
    converged = stalled >= PATIENCE
    return EMResult(best, history, converged, not converged and state is best)
