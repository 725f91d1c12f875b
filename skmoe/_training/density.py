"""What is learned for predictive distributions: from held-out predictions, when all is trained."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._data.columns import NumericView
from .._data.problem import Problem
from .._density.conformal import central_scores, label_scores
from .._density.opinions import Components, Opinions, as_gaussians, mixture_components
from .._density.residual import (
    FEWEST_ROWS,
    MOST_ROWS,
    HeldOutRows,
    ResidualDensity,
    fit_residual_density,
)
from .._likelihoods import Categorical, CategoricalOutputs
from .._prediction.distribution import PredictiveDistribution
from .._shared_expert.consensus import columns_to_see, seen_by_trees
from .._shared_expert.training import SharedTraining
from .em import EMState
from .setup import Setup

FOLDS_OF_ONE = 5
"""Parts that the held-out rows are cut into where one fold has all of them."""


class DensityTraining(NamedTuple):
    """What came of it.

    Attributes
    ----------
    density : ResidualDensity or None
        None where the density is the one that EM has learned.
    scores : ndarray of shape (n[, n_outputs]) or None
        How badly held-out targets fit, sorted; None where no predictions are held out, and for
        several outputs of classes.
    log_likelihood : float
        Mean over the rows of the density that predicts, held out unless nothing is.
    """

    density: ResidualDensity | None
    scores: np.ndarray | None
    log_likelihood: float


def train_density(
    setup: Setup, final: EMState, shared: SharedTraining, kind: str, rng: np.random.RandomState
) -> DensityTraining:
    """Learn how far off predictions are.

    Parameters
    ----------
    setup : Setup
    final : EMState
    shared : SharedTraining
    kind : {"auto", "mixture"}
        "mixture" leaves it at the density that EM has learned; so does "auto" where there are
        several outputs or too few held-out rows. Of classes it makes no difference.
    rng : numpy.random.RandomState

    Returns
    -------
    training : DensityTraining
    """
    problem = setup.problem
    likelihood: Any = problem.likelihood
    log_likelihood = float(np.average(shared.row_log_likelihood, weights=problem.judged_weight))
    if problem.folds.is_in_sample or isinstance(likelihood, CategoricalOutputs):
        return DensityTraining(None, None, log_likelihood)
    rows = np.flatnonzero(problem.folds.judged)
    if len(rows) > MOST_ROWS:
        rows = np.sort(rng.choice(rows, MOST_ROWS, replace=False))
    gate = np.exp(problem.folds.held_out(final.gate.log_proba))
    prediction = shared.prediction
    if isinstance(likelihood, Categorical):
        scores = label_scores(prediction[rows], problem.target[rows])
        return DensityTraining(None, scores, log_likelihood)
    noise = likelihood.noise
    outputs = final.experts.outputs
    scale = final.dispersion.reshape(-1, *likelihood.output_shape)
    mixture = mixture_components(outputs, gate, scale, shared.held_out, shared.expert)
    if kind == "mixture" or likelihood.output_shape or len(rows) < FEWEST_ROWS:
        held_out = Components(*(part[rows] for part in mixture))
        distribution = PredictiveDistribution(*held_out, noise)
        scores = central_scores(distribution, problem.target[rows])
        return DensityTraining(None, scores, log_likelihood)
    view, numbers = NumericView.fit(setup.gate.template, setup.gate.Z, problem.y)
    columns = columns_to_see(numbers)
    opinions = Opinions(
        seen_by_trees(numbers, columns),
        prediction,
        outputs,
        gate,
        None if shared.expert is None else shared.held_out,
    )
    weight = problem.judged_weight
    judge = _folds_of_errors(problem, rng)
    known = HeldOutRows(
        opinions, as_gaussians(mixture, noise), problem.target, weight, judge, columns, view
    ).take(rows)
    seed = int(rng.randint(np.iinfo(np.int32).max))
    smallest = float(likelihood.min_scale[0])
    density, held_out = fit_residual_density(known, smallest, seed, problem.n_jobs)
    distribution = PredictiveDistribution(*held_out)
    row_log_likelihood = distribution.logpdf(known.target)
    return DensityTraining(
        density,
        central_scores(distribution, known.target),
        float(np.average(row_log_likelihood, weights=known.weight)),
    )


def _folds_of_errors(problem: Problem, rng: np.random.RandomState) -> np.ndarray:
    """Fold (n,) of each row among those that errors are learned from.

    That which judged the row. Where there is but one, it is cut, between groups if there are.
    """
    judge = problem.folds.judge
    if len(problem.folds) > 1:
        return judge
    groups = problem.data.groups
    unit = np.arange(len(judge)) if groups is None else np.unique(groups, return_inverse=True)[1]
    return rng.permutation(unit.max() + 1)[unit] % FOLDS_OF_ONE
