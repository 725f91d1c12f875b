"""What EM does more cheaply than what is judged in the end.

The search and the iterations fit experts hundreds of times, and the mixture is judged by the last
of these fits. Before that,

- experts that can fit everything, linear ones whose number is to be chosen, and scouts are judged
  in a few coarse folds, each of which is several of the folds that were asked for in one: a fold's
  own responsibilities then come from models that knew neither its rows nor those of its
  companions;
- logistic regressions take a few steps in each M-step and go on from there in the next.

One more iteration follows, with the folds that were asked for and with fits that are finished.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from .._data.folds import Folds
from .._experts import logistic
from .._experts.out_of_bag import offers_out_of_bag
from .._likelihoods import Categorical
from .em import EMState, run_em
from .search import Found
from .setup import Setup

COARSE_FOLDS = 3
"""Of EM, in place of those that were asked for."""

ROWS_FOR_COARSE_FOLDS = 500
"""With fewer, experts miss what the coarse folds keep from them, and are quickly fitted anyway."""

FEWEST_ITERATIONS = 3
"""With a smaller ``max_iter`` there is nothing to save."""


def with_shortcuts(setup: Setup, flexible: bool, many: bool) -> Setup:
    """The setup with which to search; the same one where there is no shortcut.

    Parameters
    ----------
    setup : Setup
    flexible : bool
        Whether the experts can fit everything.
    many : bool
        Whether they are linear, and their number is to be chosen: a search of many fits.
    """
    pool, settings, folds = setup.experts, setup.settings, setup.problem.folds
    if not setup.fresh or folds.is_in_sample or settings.max_iter < FEWEST_ITERATIONS:
        return setup
    X, likelihood = setup.problem.X, setup.problem.likelihood
    stepwise = any(logistic.supports(each, X, likelihood) for each in pool.templates)
    out_of_bag = pool.out_of_bag and all(map(offers_out_of_bag, pool.templates))
    coarse = in_coarse_folds(setup) if (flexible or many) and not out_of_bag else setup
    if not stepwise and coarse is setup:
        return setup
    pool = dataclasses.replace(coarse.experts, stepwise=stepwise)
    settings = dataclasses.replace(settings, max_iter=settings.max_iter - 1)
    return _with(coarse, pool, coarse.gate, settings)


def in_coarse_folds(setup: Setup) -> Setup:
    """The same, judged in coarse folds; the setup itself where these would not do.

    Experts of fewer folds say much the same if there are rows enough.
    """
    problem, folds = setup.problem, setup.problem.folds
    enough = len(folds) > COARSE_FOLDS and len(folds.judge) >= ROWS_FOR_COARSE_FOLDS
    if not enough or not folds.judged.all():
        return setup
    coarse, of = folds.merged(COARSE_FOLDS)
    codes = problem.target if isinstance(problem.likelihood, Categorical) else None
    if not all(_knows_enough(coarse.train(of[k]), folds.train(k), codes) for k in range(len(of))):
        return setup
    pool = dataclasses.replace(setup.experts, problem=problem._replace(folds=coarse))
    return _with(setup, pool, setup.gate.with_folds(coarse), setup.settings)


def _knows_enough(train, of_fold, codes):
    """Whether a coarse fold trains on half the rows of a fold of its own, and on all classes."""
    if 2 * len(train) < len(of_fold):
        return False
    return codes is None or bool(np.isin(codes[of_fold], codes[train]).all())


def in_folds(folds: Folds, responsibilities: Any) -> np.ndarray:
    """Responsibilities (F, n, K) in each of these folds, found in these or in coarse ones."""
    responsibilities = np.asarray(responsibilities)
    if len(responsibilities) == len(folds):
        return responsibilities
    return responsibilities[folds.merged(COARSE_FOLDS)[1]]


def _with(setup, pool, gate, settings):
    """A setup that learns the same with other experts, another gate and other settings."""
    other = Setup.of(pool, gate, settings, setup.fresh, setup.progress)
    return other._replace(best=setup.best)


def without_shortcuts(found: Found, asked: Setup) -> Found:
    """What was found, after one iteration without shortcuts.

    Parameters
    ----------
    found : Found
    asked : Setup
        What `with_shortcuts` has started from.
    """
    if not _has_shortcuts(found.setup, asked):
        return found
    gate = dataclasses.replace(asked.gate, template=found.setup.gate.template)
    setup = asked._replace(gate=gate).with_experts(len(found.setup.experts.names))
    state = _spread(found.run.best, asked.problem.folds, bool(gate.features.templates))
    history = found.run.history
    run = run_em(setup, state, found.overlap, len(history) + 1, 0.0, history)
    run = run._replace(converged=found.run.converged, improving=found.run.improving)
    return Found(setup, found.overlap, run)


def _has_shortcuts(setup, asked):
    return setup.experts.stepwise or setup.problem.folds is not asked.problem.folds


def _spread(state: EMState, folds: Folds, own_columns: bool) -> EMState:
    """A state in coarse folds as one in the folds that these are made of; nothing beats it.

    Gates go on from those of the coarse folds, unless each fold has columns of its own.
    """
    state = state._replace(log_likelihood=-np.inf)
    if len(state.responsibilities) == len(folds):
        return state
    of = folds.merged(COARSE_FOLDS)[1]
    fitted = tuple(state.gate.fitted[fold] for fold in of)
    log_proba = tuple(state.gate.log_proba[fold] for fold in of)
    gate = state.gate._replace(log_proba=log_proba, fitted=fitted)
    return state._replace(
        gate=None if own_columns else gate,
        responsibilities=in_folds(folds, state.responsibilities),
    )
