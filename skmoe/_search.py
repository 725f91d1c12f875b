"""The search for a start, a share and a number of experts, by held-out likelihood.

Each trial is a short run of EM: what a start, a share or a number is worth shows early, and
experts are expensive. For the same reason the three are searched one after the other and not in
all their combinations: first the starts, then the neighbours of the share, then those of the
number of experts, each for as long as the likelihood rises. The best trial goes on to the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ._em import EMResult, initial_state, run_em
from ._init import Start, starting_responsibilities, starts_of
from ._lift import paired
from ._problem import Problem
from ._shared import of_different_kinds

SHARES = (0.0, 0.1, 0.3, 1.0)
"""Candidates of ``share="auto"``, from the classical mixture to stacking."""

FIRST_SHARE = 0.1
"""The one that starts are compared with."""

NUMBERS = (2, 4, 8, 16)
"""Candidates of ``n_experts="auto"``."""

FIRST_NUMBER = 4
"""The number of experts that starts and shares are compared with."""

ROWS_PER_EXPERT = 25
"""Fewer rows than this for each are no ground for another number of experts."""

CREDIBLE = 3.0
"""Standard errors by which the likelihood has to rise with the number of experts.

Likelihoods are not quite what new rows would give, the less so the more experts: on a straight
line with noise, where more experts can do no good, they gained up to 2.9 standard errors.
"""

SHORT_RUN = 5
"""Iterations of a trial."""


def numbers_to_try(init, top_k, n_samples):
    """Numbers of experts to choose from for ``n_experts="auto"``.

    Parameters
    ----------
    init : str, array-like or callable
        Responsibilities that are given say for how many experts.
    top_k : int or None
        There are to be at least so many.
    n_samples : int

    Returns
    -------
    numbers : tuple of int
        Rising; never empty.
    """
    if not isinstance(init, str) and not callable(init):
        return (np.shape(init)[-1] if np.ndim(init) == 2 else FIRST_NUMBER,)
    numbers = [number for number in NUMBERS if top_k is None or number >= top_k]
    if not numbers:
        return (int(top_k),)
    credible = [number for number in numbers if number * ROWS_PER_EXPERT <= n_samples]
    return tuple(credible or numbers[:1])


class _Trial(NamedTuple):
    """A run of EM, and what it was run with."""

    problem: Problem
    start: Start
    share: float
    described: str
    run: EMResult


@dataclass(frozen=True)
class _Search:
    """What trials have in common.

    Parameters
    ----------
    problem : Problem
        With all experts that there may be.
    max_iter : int
        Iterations of a trial.
    """

    problem: Problem
    max_iter: int

    def trial(self, start, share, n_experts):
        """Run EM from a start, with a share, with the first `n_experts` experts."""
        problem = self.problem.with_experts(n_experts)
        gate, data = problem.gate, problem.data
        responsibilities = starting_responsibilities(start, gate.template, gate.Z, data, n_experts)
        dispersion = problem.likelihood.initial_dispersion(n_experts)
        state = initial_state(responsibilities, dispersion, len(gate.views))
        described = f"{n_experts} experts, start {start.name}, share {share:g}"
        run = _run(problem, state, share, self.max_iter, described)
        return _Trial(problem, start, share, described, run)


def best_run(problem, start, numbers, rng):
    """Search, and run EM to the end with what was found.

    Parameters
    ----------
    problem : Problem
        With the largest number of experts.
    start : ndarray of shape (n, K) or None
        Responsibilities of an earlier model to go on from; overrides ``init``.
    numbers : tuple of int
        Numbers of experts to choose from, in order.
    rng : numpy.random.RandomState

    Returns
    -------
    problem : Problem
        With the number of experts that was chosen.
    share : float
    run : EMResult
    """
    settings = problem.settings
    shares = _candidate_shares(settings.share, problem.experts.templates)
    share = FIRST_SHARE if FIRST_SHARE in shares else shares[0]
    number = FIRST_NUMBER if FIRST_NUMBER in numbers else numbers[0]
    starts = _starts(settings, start, shares, rng)
    alone = len(starts) == len(shares) == len(numbers) == 1
    search = _Search(problem, settings.max_iter if alone else _short(problem))

    trials = [search.trial(each, share, number) for each in starts]
    best = max(trials, key=_log_likelihood)
    start = best.start
    best = _climbed(
        best, shares, share, lambda other: search.trial(start, other, number), _is_more_likely
    )
    share = best.share
    best = _climbed(
        best, numbers, number, lambda other: search.trial(start, share, other), _deserves_experts
    )
    return best.problem, share, _finished(best, search.max_iter)


def _candidate_shares(share, templates):
    """Shares to try; experts of different kinds need no share of the rows to be different."""
    if share != "auto":
        return (float(share),)
    if len(templates) == 1:  # all shares are the same model
        return SHARES[:1]
    return SHARES[-1:] if of_different_kinds(templates) else SHARES


def _starts(settings, given, shares, rng):
    """Starts to compare."""
    if given is not None:
        return [Start(lambda *_: given, 0)]
    init = settings.init
    if isinstance(init, str) and init == "auto" and shares == (1.0,):
        init = "kmeans"  # experts see all rows whatever the start, and the gate forgets it
    return starts_of(init, settings.n_init, rng)


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


def _climbed(best, candidates, first, attempt, is_better):
    """Go from the first candidate to its neighbours, up or else down, while that helps."""
    position = candidates.index(first)
    for way in (candidates[position + 1 :], candidates[:position][::-1]):
        before = best
        for candidate in way:
            trial = attempt(candidate)
            if not is_better(trial, best):
                break
            best = trial
        if best is not before:
            break
    return best


def _finished(trial, n_iter):
    """The trial's run, and what is left to do of it."""
    run, max_iter = trial.run, trial.problem.settings.max_iter
    if n_iter < max_iter and not run.converged:
        described = f"going on with {trial.described}"
        return _run(trial.problem, run.best, trial.share, max_iter, described, run.history)
    return run


def _run(problem, state, share, max_iter, described, earlier=()):
    data, settings = problem.data, problem.settings

    def report(number, iteration):
        shares = " ".join(f"{value:.2f}" for value in iteration.expert_share)
        print(
            f"[skmoe] {described}, iteration {number}/{max_iter}: log-likelihood "
            f"{iteration.log_likelihood:.5f}, experts' shares {shares}, {iteration.seconds:.2f} s"
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
        share=share,
        max_iter=max_iter,
        tol=settings.tol,
        capacity=problem.capacity,
        exploration=problem.exploration,
        earlier=earlier,
        report=report if settings.verbose else None,
    )
