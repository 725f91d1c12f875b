"""The search for a start, an overlap, a gate and a number of experts, by held-out likelihood.

Each trial is a short run of EM: what a start or an overlap is worth shows early, and experts are
expensive. For the same reason they are searched one after the other and not in all their
combinations: first the starts, then the neighbours of the overlap, then the terms of the
gate, then the number of experts, each for as long as the likelihood rises. The best trial goes on.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from sklearn.base import is_classifier

from .._arithmetic.statistics import paired
from .._experts.kinds import is_linear
from ..gates._solver.penalty import PENALTIES
from .candidates import candidate_overlaps, first_number, first_overlap
from .em import EMResult, initial_state, run_em
from .merging import with_fewer_experts
from .progress import LAST_STAGES
from .result import unfinished
from .setup import Setup
from .starts import Start, starting_responsibilities, starts_of

CREDIBLE = 3.0
"""Standard errors by which the likelihood has to rise with the number of experts.

Likelihoods are not quite what new rows would give, the less so the more experts: on a straight
line with noise, where more experts can do no good, they gained up to 2.9 standard errors.
"""

HOPELESS = 2.0
"""Standard errors behind the best overlap, at the same iteration, that end a trial.

Starts and terms of the gate that turn out best may begin slowly: they have all of their short run.
"""

SHORT_RUN = 5
"""Iterations of a trial."""

SCOUTED_RUN = 1
"""Iterations of a trial that starts from what scouts have found: little is left to settle.

Two chose much the same overlaps for a third more time.
"""

LEAST_GAIN = 1e-3
"""Nats per row that an iteration after scouts must gain: linear experts creep on for long."""

CREEPING = 10.0
"""Tolerance until linear experts are merged, in units of the one that was asked for."""


def only_the_gate_learns(setup: Setup) -> bool:
    """Whether the last step does all that EM would do once the experts are fitted.

    It does not judge in-sample; what explores or minds a capacity does so in the course of EM,
    and a start that was given is one to go on from.
    """
    settings = setup.settings
    return (
        candidate_overlaps(settings.overlap, setup.experts.templates) == (1.0,)
        and settings.e_step != "insample"
        and isinstance(settings.init, str)
        and setup.fresh
        and setup.capacity is None
        and not (setup.exploration and setup.exploration.explores(1))
    )


class Found(NamedTuple):
    """What the search has found.

    Attributes
    ----------
    setup : Setup
        With the gate and the number of experts that were chosen.
    overlap : float
    run : EMResult
    """

    setup: Setup
    overlap: float
    run: EMResult


def fitted_once(setup: Setup) -> Found:
    """A run of one iteration, with the gate's strongest penalty.

    Where all experts see all rows, their first fit is their last, and EM would do nothing but
    train the gate, which the last step does in fewer passes. Experts that differ need no start
    to be told apart: so this one is equal responsibilities, from which the last step relieves the
    gate of its penalty by degrees.
    """
    if setup.gate.chooses_penalty:
        setup = setup._replace(gate=setup.gate.with_penalty(PENALTIES[0]))
    setup.progress.plan()
    setup.progress.enter(LAST_STAGES[0], ", one iteration since all experts see all rows")
    n_rows, n_experts = len(setup.problem.target), len(setup.experts.names)
    state = _state(setup, np.full((n_rows, n_experts), 1.0 / n_experts))
    run = _run(setup, state, 1.0, 1, "overlap 1")
    return Found(setup, 1.0, run._replace(converged=True, improving=False))


class _Choice(NamedTuple):
    """What is searched for."""

    start: Start
    overlap: float
    terms: str | None
    n_experts: int

    def __str__(self):
        terms = "" if self.terms is None else f", gate of {self.terms} terms"
        return (
            f"{self.n_experts} experts, start {self.start.name}, overlap {self.overlap:g}{terms}"
        )


class _Trial(NamedTuple):
    """A run of EM, and what it was run with.

    `trace` has the row log-likelihoods (n,) of its iterations.
    """

    setup: Setup
    choice: _Choice
    run: EMResult
    trace: list[np.ndarray]


def best_run(
    setup: Setup,
    start: Start | None,
    terms: tuple[str | None, ...],
    numbers: tuple[int, ...],
    rng: np.random.RandomState,
) -> Found:
    """Search, and run EM to the end with what was found.

    Parameters
    ----------
    setup : Setup
        With the largest number of experts.
    start : Start or None
        What an earlier model, or scouts, have found; overrides ``init``.
    terms : tuple of str
        Terms of the gate to choose from; (None,) if the gate is given.
    numbers : tuple of int
        Numbers of experts to choose from, in order.
    rng : numpy.random.RandomState

    Returns
    -------
    found : Found
    """
    settings = setup.settings
    overlaps = candidate_overlaps(settings.overlap, setup.experts.templates)
    scouted = start is not None and start.scouted
    linear = all(map(is_linear, setup.experts.templates))
    overlap = overlaps[0] if scouted else first_overlap(overlaps, linear and len(numbers) > 1)
    number = first_number(numbers, linear)
    starts = _starts(setup, start, overlaps, linear, len(numbers) > 1, rng)
    nothing_to_choose = len(starts) == len(overlaps) == len(terms) == len(numbers) == 1
    max_iter = settings.max_iter if nothing_to_choose else _short(setup)
    if scouted:
        max_iter = min(SCOUTED_RUN, max_iter)

    known: dict[tuple, np.ndarray] = {}  # starts, of which some take as long as an iteration

    def attempt(choice, rival=None):
        trial = _trial(setup, choice, max_iter, known, rival)
        setup.progress.say(f"  {choice}: {_log_likelihood(trial):.4f}", passing=True)
        return trial

    searched = {"start": starts, "overlap": overlaps, "terms": terms, "n_experts": numbers}
    stages = [what for what, some in searched.items() if len(some) > 1]
    progress = setup.progress
    progress.plan(stages)

    def stage(what):
        if what in stages and what != stages[0]:
            progress.enter(what, f", at most {len(searched[what])} to compare")

    choices = [_Choice(each, overlap, terms[0], number) for each in starts]
    if stages:
        what = stages[0]
        progress.enter(what, f", at most {len(searched[what])} to compare by log-likelihood")
    else:
        progress.enter(LAST_STAGES[0], f", {choices[0]}")
    best = _best_of(choices[1:], attempt(choices[0]), attempt)
    stage("overlap")
    best = _best_along("overlap", overlaps, best, attempt, _is_more_likely, race=True)
    stage("terms")
    best = _best_of([best.choice._replace(terms=each) for each in terms[1:]], best, attempt)
    stage("n_experts")
    best = _best_along("n_experts", numbers, best, attempt, _deserves_experts)
    if stages:
        progress.enter(LAST_STAGES[0], f", {best.choice}: {_log_likelihood(best):.4f}")
    if linear and len(numbers) > 1:
        return _finished_with_fewer(best, max_iter)
    finish = _finished_by_evidence if scouted else _finished
    return Found(best.setup, best.choice.overlap, finish(best, max_iter))


def _trial(setup, choice, max_iter, known, rival=None):
    """Run EM as chosen, from the start, which may be known, unless it falls behind a rival."""
    if choice.terms is not None:
        setup = setup._replace(gate=setup.gate.with_terms(choice.terms))
    n_experts = choice.n_experts
    setup = setup.with_experts(n_experts)
    gate, problem = setup.gate, setup.problem
    which = id(choice.start), n_experts
    if which not in known:
        known[which] = starting_responsibilities(
            choice.start, gate.template, gate.Z, problem.data, problem.target, n_experts
        )
    trace: list[np.ndarray] = []

    def falls_behind(state):
        trace.append(state.row_log_likelihood)
        return rival is not None and _is_behind(trace, rival.trace, problem.judged_weight)

    run = _run(
        setup,
        _state(setup, known[which]),
        choice.overlap,
        max_iter,
        str(choice),
        ends=falls_behind,
    )
    return _Trial(setup, choice, run, trace)


def _is_behind(trace, leader, weight):
    """Whether a run is so far behind another one at the same iteration that it is given up."""
    if len(trace) > len(leader):
        return False
    gain, error = paired(trace[-1] - leader[len(trace) - 1], weight)
    return gain < -HOPELESS * error


def _state(setup, responsibilities):
    problem = setup.problem
    dispersion = problem.likelihood.initial_dispersion(responsibilities.shape[-1])
    return initial_state(responsibilities, dispersion, len(problem.folds))


def _starts(setup, given, overlaps, linear, many, rng):
    """Starts to compare: one for linear experts that may be too many at first."""
    if given is not None:
        return [given]
    init, n_init = setup.settings.init, setup.settings.n_init
    matters = overlaps != (1.0,) and len(setup.experts.names) > 1
    if isinstance(init, str) and init in ("auto", "linear") and not matters:
        init = "kmeans"  # all experts see all rows, and the gate soon forgets where it started
    lines = linear and (many or not is_classifier(setup.experts.templates[0]))
    starts = starts_of(init, n_init, rng, lines)
    return starts[:1] if linear and many and init == "auto" else starts


def _short(setup):
    """Iterations of a trial: likelihoods can be compared when exploration is over."""
    exploring = setup.exploration.n_exploring if setup.exploration.explores(2) else 0
    return min(SHORT_RUN + exploring, setup.settings.max_iter)


def _log_likelihood(trial):
    return trial.run.best.log_likelihood


def _is_more_likely(trial, best):
    return _log_likelihood(trial) > _log_likelihood(best)


def _deserves_experts(trial, best):
    """Whether a trial's number of experts is better: more experts have the burden of proof."""
    gains = trial.run.best.row_log_likelihood - best.run.best.row_log_likelihood
    gain, error = paired(gains, trial.setup.problem.judged_weight)
    more = trial.choice.n_experts > best.choice.n_experts
    return gain > (CREDIBLE if more else -CREDIBLE) * error


def _tried(attempt, choice, rival):
    """The trial for a choice; None if it failed: then it has lost against the best so far."""
    try:
        return attempt(choice, rival)
    except (ValueError, TypeError, RuntimeError):
        return None


def _best_of(choices, best, attempt):
    """The most likely of the trials of some choices and the best so far."""
    for choice in choices:
        trial = _tried(attempt, choice, None)
        if trial is not None and _is_more_likely(trial, best):
            best = trial
    return best


def _best_along(what, candidates, best, attempt, is_better, race=False):
    """Go from the candidate at hand to its neighbours, up or else down, while that helps.

    Parameters
    ----------
    what : str
        Field of the choice that the candidates are for.
    candidates : tuple
        In order.
    best : _Trial
    attempt : callable
        Returns the trial for a choice.
    is_better : callable
        Compares a trial with the best so far.
    race : bool, default=False
        Whether to give up a trial that falls behind the best so far.

    Returns
    -------
    best : _Trial
    """
    position = candidates.index(getattr(best.choice, what))
    for way in (candidates[position + 1 :], candidates[:position][::-1]):
        before = best
        for candidate in way:
            rival = best if race else None
            trial = _tried(attempt, best.choice._replace(**{what: candidate}), rival)
            if trial is None or not is_better(trial, best):
                break
            best = trial
        if best is not before:
            break
    return best


def _finished(trial, n_iter):
    """The trial's run, and what is left to do of it."""
    setup, choice, run, _ = trial
    max_iter = setup.settings.max_iter
    if n_iter < max_iter and not run.converged:
        return _run(
            setup, run.best, choice.overlap, max_iter, f"going on with {choice}", run.history
        )
    return run


def _finished_with_fewer(trial, n_iter):
    """What is found when the trial has gone on, and experts have been merged."""
    overlap, max_iter = trial.choice.overlap, trial.setup.settings.max_iter

    def run_on(setup, state, at_most):
        described = f"{len(setup.experts.names)} experts"
        return _run(setup, state, overlap, min(at_most, max_iter), described)

    finish = _finished_by_evidence if trial.choice.start.scouted else _finished
    run = finish(trial._replace(setup=_creeping(trial.setup)), n_iter)
    setup, fewer = with_fewer_experts(trial.setup, run, run_on)
    if fewer is not run:
        fewer = run_on(setup, fewer.best, max_iter)
    setup.progress.say(f"{len(setup.experts.names)} experts are left")
    return Found(setup, overlap, fewer)


def _creeping(setup):
    """The setup with a tolerance for linear experts, which gain a little for very long."""
    settings = setup.settings
    return setup._replace(settings=replace(settings, tol=CREEPING * settings.tol))


def _finished_by_evidence(trial, n_iter):
    """The trial's run, and more of it while an iteration gains enough, and a standard error.

    Where scouts have parted the rows, real experts move few of them: what goes on for longer
    follows the noise of one fit and the next.
    """
    setup, choice, run, _ = trial
    max_iter, weight = setup.settings.max_iter, setup.problem.judged_weight
    described = f"going on with {choice}"
    while len(run.history) < max_iter and not run.converged:
        further = _run(
            setup, run.best, choice.overlap, len(run.history) + 1, described, run.history
        )
        gain, error = paired(further.best.row_log_likelihood - run.best.row_log_likelihood, weight)
        run = further
        if gain <= max(error, LEAST_GAIN):
            return run._replace(converged=True, improving=False)
    return run


def _run(setup, state, overlap, max_iter, described, earlier=(), ends=None):
    names, settings = setup.experts.names, setup.settings

    def watch(run, state):
        if setup.best is not None:
            setup.best.offer(Found(setup, overlap, run))
        number, iteration = len(run.history), run.history[-1]
        setup.progress.iteration_ends(lambda: unfinished(setup, run.best, overlap, iteration))
        if settings.verbose > 1:
            report(number, iteration)
        return ends is not None and ends(state)

    def report(number, iteration):
        mass = " ".join(f"{value:.2f}" for value in iteration.expert_mass)
        setup.progress.say(
            f"{described}, iteration {number}/{max_iter}: log-likelihood "
            f"{iteration.log_likelihood:.5f}, experts' mass {mass}, {iteration.seconds:.2f} s"
            + "".join(f", re-seeded {names[k]}" for k in np.flatnonzero(iteration.reseeded))
        )

    return run_em(setup, state, overlap, max_iter, settings.tol, earlier, watch)
