"""Scouts: cheap, stiff experts that find the regimes for experts which could fit everything.

A tree, a forest or a boosted model explains much of what it is given whatever that is, so that
experts of these kinds hardly part: each has learned a little of every regime before the gate has
told them apart. Linear experts cannot, and cost next to nothing. So a mixture of those is trained
first, as far as EM goes, and leaves behind the terms of the gate, a number of experts, and
responsibilities to start from; what remains to be found with the real experts is the overlap.

This stays honest: scouts are trained on the same folds, and what is handed on are the
responsibilities of each fold *for that fold*, as from one iteration of EM to the next. (Leaves and
clusters are the same in all folds, and leaves have seen all targets: a start from few and large
regions tells next to nothing of a row. The responsibilities of scouts are sharper than that.)
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier
from sklearn.ensemble import (
    BaseEnsemble,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline
from sklearn.tree import BaseDecisionTree

from .._data.weights import last_step
from .._experts.kinds import is_linear
from .._experts.least_squares import allows
from .._experts.pool import ExpertPool
from .._likelihoods import CategoricalOutputs
from .candidates import candidate_overlaps
from .search import best_run
from .setup import Setup
from .shortcuts import in_coarse_folds, in_folds
from .starts import Start, standardised_numbers

FLEXIBLE = (
    BaseDecisionTree,
    BaseEnsemble,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
"""Kinds of experts that scouts go ahead of unasked: those for which it was measured."""


class Scouted(NamedTuple):
    """What scouts have found.

    Attributes
    ----------
    start : Start
        Their responsibilities, fold by fold.
    terms : tuple of str or None
        The terms of the gate.
    numbers : tuple of int
        The number of experts.
    """

    start: Start
    terms: tuple[str | None, ...]
    numbers: tuple[int, ...]


def flexible(setup: Setup) -> bool:
    """Whether the experts of a setup are of the kinds that can fit everything."""
    return all(isinstance(last_step(each), FLEXIBLE) for each in setup.experts.templates)


def scouts_go_first(setup: Setup, same_template: bool, numbers: tuple[int, ...]) -> bool:
    """Whether scouts look for a start: where it is asked for, or helps and is left to decide."""
    settings, templates = setup.settings, setup.experts.templates
    if not setup.fresh or not isinstance(settings.init, str) or _several_classes(setup):
        return False
    matters = len(templates) > 1 and candidate_overlaps(settings.overlap, templates) != (1.0,)
    slow = (isinstance(templates[0], Pipeline) or len(numbers) > 1) and _slowly_linear(setup)
    unasked = same_template and settings.init == "auto" and settings.e_step != "insample"
    unasked = unasked and (flexible(setup) or slow)
    return matters and (settings.init == "linear" or unasked)


def _several_classes(setup):
    """Whether there are several outputs of classes, which no scout takes."""
    return isinstance(setup.problem.likelihood, CategoricalOutputs)


def _slowly_linear(setup):
    """Whether experts are linear, but of no kind that is fitted as quickly as scouts.

    The kind alone decides: a frame is to give the model that an array gives.
    """
    template = setup.experts.templates[0]
    return is_linear(template) and not allows(template)


def scout(
    setup: Setup,
    terms: tuple[str | None, ...],
    numbers: tuple[int, ...],
    rng: np.random.RandomState,
) -> Scouted | None:
    """Train scouts, with overlap 0, in place of the experts of a setup.

    Parameters
    ----------
    setup : Setup
    terms : tuple of str or None
    numbers : tuple of int
        What there is to choose from; see `best_run`.
    rng : numpy.random.RandomState

    Returns
    -------
    scouted : Scouted or None
        None if the rows have no numbers that a linear model could learn from.
    """
    X = standardised_numbers(setup.problem.data)
    if X is None:
        return None
    found = best_run(in_coarse_folds(_with_scouts(setup, X)), None, terms, numbers, rng)
    chosen = None if terms == (None,) else found.setup.gate.template.terms
    responsibilities = in_folds(setup.problem.folds, found.run.best.responsibilities)
    start = Start("linear", 0, responsibilities)
    return Scouted(start, (chosen,), (len(found.setup.experts.names),))


def _with_scouts(setup, X):
    """The setup with stiff experts, which see numbers only, and with nothing to explore."""
    pool, settings = setup.experts, setup.settings
    classes = is_classifier(pool.templates[0])
    kind: Any = LogisticRegression() if classes else Ridge()
    problem = setup.problem._replace(data=setup.problem.data._replace(X=X))
    templates = (kind,) * len(pool.names)
    scouts = ExpertPool(
        problem, pool.names, templates, pool.seeds, workers=pool.workers, stepwise=True
    )
    settings = dataclasses.replace(
        settings,
        init="auto",
        overlap=0.0,
        capacity_factor=None,
        expert_dropout=0.0,
        annealing=1.0,
    )
    return Setup.of(scouts, setup.gate, settings, True, setup.progress.aside())
