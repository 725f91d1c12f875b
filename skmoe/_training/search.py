"""The search for a start, an overlap, a gate and a number of experts, by held-out likelihood.

Each trial is a short run of EM: what a start or an overlap is worth shows early, and experts are
expensive. For the same reason they are searched one after the other and not in all their
combinations: first the starts, then the neighbours of the overlap, then the degree of the gate,
then the number of experts, each for as long as the likelihood rises. The best trial goes on.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._arithmetic.statistics import paired
from ..gates._solver.penalty import PENALTIES
from .candidates import (
    FIRST_NUMBER,
    FIRST_OVERLAP,
    candidate_overlaps,
)
from .em import EMResult, initial_state, run_em
from .problem import Problem
from .starts import Start, starting_responsibilities, starts_of

CREDIBLE = 3.0
"""Standard errors by which the likelihood has to rise with the number of experts.

Likelihoods are not quite what new rows would give, the less so the more experts: on a straight
line with noise, where more experts can do no good, they gained up to 2.9 standard errors.
"""

SHORT_RUN = 5
"""Iterations of a trial."""


def only_the_gate_learns(problem):
    """Whether the last step does all that EM would do once the experts are fitted.

    It does not judge in-sample; what explores or minds a capacity does so in the course of EM,
    and a start that was given is one to go on from.

    Parameters
    ----------
    problem : Problem

    Returns
    -------
    only : bool
    """
    settings = problem.settings
    return (
        candidate_overlaps(settings.overlap, problem.experts.templates) == (1.0,)
        and settings.e_step != "insample"
        and isinstance(settings.init, str)
        and problem.fresh
        and problem.capacity is None
        and not problem.exploration.explores(1)
    )


def fitted_once(problem):
    """A run of one iteration, and the problem with the gate's strongest penalty.

    Where all experts see all rows, their first fit is their last, and EM would do nothing but
    train the gate, which the last step does in fewer passes. Experts that differ need no start
    to be told apart: so this one is equal responsibilities, from which the last step relieves the
    gate of its penalty by degrees.

    Parameters
    ----------
    problem : Problem

    Returns
    -------
    problem : Problem
    overlap : float
    run : EMResult
    """
    if problem.gate.chooses_penalty:
        problem = problem._replace(gate=problem.gate.with_penalty(PENALTIES[0]))
    n_rows, n_experts = len(problem.target), len(problem.experts.names)
    state = _state(problem, np.full((n_rows, n_experts), 1.0 / n_experts))
    run = _run(problem, state, 1.0, 1, "overlap 1")
    return problem, 1.0, run._replace(converged=True, improving=False)


class _Choice(NamedTuple):
    """What is searched for."""

    start: Start
    overlap: float
    degree: int | None
    n_experts: int

    def __str__(self):
        degree = "" if self.degree is None else f", gate of degree {self.degree}"
        return (
            f"{self.n_experts} experts, start {self.start.name}, overlap {self.overlap:g}{degree}"
        )


class _Trial(NamedTuple):
    """A run of EM, and what it was run with."""

    problem: Problem
    choice: _Choice
    run: EMResult


def best_run(problem, start, *, degrees, numbers, rng):
    """Search, and run EM to the end with what was found.

    Parameters
    ----------
    problem : Problem
        With the largest number of experts.
    start : ndarray of shape (n, K) or None
        Responsibilities of an earlier model to go on from; overrides ``init``.
    degrees : tuple of int
        Degrees of the gate to choose from; (None,) if the gate is given.
    numbers : tuple of int
        Numbers of experts to choose from, in order.
    rng : numpy.random.RandomState

    Returns
    -------
    problem : Problem
        With the gate and the number of experts that were chosen.
    overlap : float
    run : EMResult
    """
    settings = problem.settings
    overlaps = candidate_overlaps(settings.overlap, problem.experts.templates)
    overlap = FIRST_OVERLAP if FIRST_OVERLAP in overlaps else overlaps[0]
    degrees = degrees if len(overlaps) > 1 else degrees[:1]
    number = FIRST_NUMBER if FIRST_NUMBER in numbers else numbers[0]
    starts = _starts(problem, start, overlaps, rng)
    alone = len(starts) == len(overlaps) == len(degrees) == len(numbers) == 1
    max_iter = settings.max_iter if alone else _short(problem)

    def attempt(choice):
        return _trial(problem, choice, max_iter)

    choices = [_Choice(each, overlap, degrees[0], number) for each in starts]
    best = attempt(choices[0])
    for choice in choices[1:]:
        trial = _tried(attempt, choice)
        if trial is not None and _is_more_likely(trial, best):
            best = trial
    best = _climbed(best, "overlap", overlaps, attempt, _is_more_likely)
    best = _climbed(best, "degree", degrees, attempt, _is_more_likely)
    best = _climbed(best, "n_experts", numbers, attempt, _deserves_experts)
    return best.problem, best.choice.overlap, _finished(best, max_iter)


def _trial(problem, choice, max_iter):
    """Run EM as chosen, from the start."""
    if choice.degree is not None:
        problem = problem._replace(gate=problem.gate.with_degree(choice.degree))
    n_experts = choice.n_experts
    problem = problem.with_experts(n_experts)
    gate, data = problem.gate, problem.data
    start = starting_responsibilities(
        choice.start, gate.template, gate.Z, data, problem.target, n_experts
    )
    run = _run(problem, _state(problem, start), choice.overlap, max_iter, str(choice))
    return _Trial(problem, choice, run)


def _state(problem, responsibilities):
    dispersion = problem.likelihood.initial_dispersion(responsibilities.shape[1])
    return initial_state(responsibilities, dispersion, len(problem.gate.views))


def _starts(problem, given, overlaps, rng):
    """Starts to compare."""
    if given is not None:
        return [Start(lambda *_: given, 0)]
    init, n_init = problem.settings.init, problem.settings.n_init
    matters = overlaps != (1.0,) and len(problem.experts.names) > 1
    if isinstance(init, str) and init == "auto" and not matters:
        init = "kmeans"  # all experts see all rows, and the gate soon forgets where it started
    return starts_of(init, n_init, rng)


def _short(problem):
    """Iterations of a trial: likelihoods can be compared when exploration is over."""
    exploring = problem.exploration.n_exploring if problem.exploration.explores(2) else 0
    return min(SHORT_RUN + exploring, problem.settings.max_iter)


def _log_likelihood(trial):
    return trial.run.best.log_likelihood


def _is_more_likely(trial, best):
    return _log_likelihood(trial) > _log_likelihood(best)


def _deserves_experts(trial, best):
    """Whether a trial's number of experts is better: more experts have the burden of proof."""
    gains = trial.run.best.row_log_likelihood - best.run.best.row_log_likelihood
    gain, error = paired(gains, trial.problem.data.sample_weight)
    more = len(trial.problem.experts.names) > len(best.problem.experts.names)
    return gain > (CREDIBLE * error if more else 0.0)


def _tried(attempt, choice):
    """The trial for a choice; None if it failed: then it has lost against the best so far."""
    try:
        return attempt(choice)
    except (ValueError, TypeError, RuntimeError):
        return None


def _climbed(best, what, candidates, attempt, is_better):
    """Go from the candidate at hand to its neighbours, up or else down, while that helps.

    Parameters
    ----------
    best : _Trial
    what : str
        Field of the choice that the candidates are for.
    candidates : tuple
        In order.
    attempt : callable
        Returns the trial for a choice.
    is_better : callable
        Compares a trial with the best so far.

    Returns
    -------
    best : _Trial
    """
    position = candidates.index(getattr(best.choice, what))
    for way in (candidates[position + 1 :], candidates[:position][::-1]):
        before = best
        for candidate in way:
            trial = _tried(attempt, best.choice._replace(**{what: candidate}))
            if trial is None or not is_better(trial, best):
                break
            best = trial
        if best is not before:
            break
    return best


def _finished(trial, n_iter):
    """The trial's run, and what is left to do of it."""
    problem, choice, run = trial
    max_iter = problem.settings.max_iter
    if n_iter < max_iter and not run.converged:
        return _run(
            problem, run.best, choice.overlap, max_iter, f"going on with {choice}", run.history
        )
    return run


def _run(problem, state, overlap, max_iter, described, earlier=()):
    data, settings = problem.data, problem.settings

    def report(number, iteration):
        mass = " ".join(f"{value:.2f}" for value in iteration.expert_mass)
        print(
            f"[skmoe] {described}, iteration {number}/{max_iter}: log-likelihood "
            f"{iteration.log_likelihood:.5f}, experts' mass {mass}, {iteration.seconds:.2f} s"
            + "".join(
                f", re-seeded {problem.experts.names[k]}"
                for k in np.flatnonzero(iteration.reseeded)
            ),
            flush=True,
        )

    return run_em(
        problem.target,
        data.sample_weight,
        problem.experts.judging_view,
        state,
        experts=problem.experts,
        gate=problem.gate,
        likelihood=problem.likelihood,
        overlap=overlap,
        max_iter=max_iter,
        tol=settings.tol,
        capacity=problem.capacity,
        exploration=problem.exploration,
        earlier=earlier,
        report=report if settings.verbose else None,
    )
