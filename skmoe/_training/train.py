"""From validated data to a trained mixture: the best run of EM, and the last step."""

from __future__ import annotations

import warnings
from dataclasses import replace
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from .._data.folds import Folds, check_splits
from .._data.problem import Problem
from .._data.rows import TrainingData
from .._experts.kinds import is_linear
from .._experts.out_of_bag import offers_out_of_bag
from .._experts.pool import ExpertPool
from .._experts.prepared import prepared_features
from .._experts.seeds import seeded
from .._experts.workers import Workers
from .._likelihoods import Categorical, CategoricalOutputs, Likelihood
from .._shared_expert.training import fitted_on_all_rows, single_expert_dispersion
from ..exceptions import WorkersLostError
from .candidates import candidate_overlaps
from .density import train_density
from .exploration import dead_experts
from .final_gate import train_final_gate, train_shared
from .gate import gate_trainer
from .interruption import BestSoFar, error_with_partial
from .lift import measure_lift
from .losses import measure_losses
from .progress import LAST_STAGES, Progress
from .result import TrainedMixture, as_arrays, output_range
from .scouts import flexible, scout, scouts_go_first
from .search import best_run, fitted_once, only_the_gate_learns
from .settings import TrainingSettings
from .setup import Setup
from .shortcuts import with_shortcuts, without_shortcuts
from .starts import Start

GATE_ACCURACY = 0.1
"""Accuracy of the gate's M-step, as a fraction of the tolerance of EM."""

TREES_FOR_OUT_OF_BAG = 30
"""With ``e_step="auto"``, forests of fewer are cross-fitted: a third of them predicts a row."""


class Plan(NamedTuple):
    """What an estimator asks of training.

    Attributes
    ----------
    names, templates : tuples of length K
        Experts, not yet fitted.
    same_template : bool
        Whether they are clones of one estimator, and so need random states of their own.
    gate : unfitted gate
    Z : array-like, sparse matrix or frame of shape (n, n_gate_features)
        Features of the gate.
    terms : tuple of str
        Degrees of the gate to choose from; (None,) if that is not to be decided here.
    numbers : tuple of int
        How many experts there may be, in rising order up to K.
    shared : {"generalist", "consensus"}, FrozenEstimator or None
        Kind of the shared expert, or a generalist that is not to be fitted again.
    density : {"auto", "mixture"}
        See `train_density`.
    start : ndarray of shape (n, K) or None
        Responsibilities of an earlier model to go on from; overrides ``settings.init``.
    settings : TrainingSettings
    random_state : int, RandomState instance or None
    """

    names: tuple[str, ...]
    templates: tuple[Any, ...]
    same_template: bool
    gate: Any
    Z: Any
    terms: tuple[str | None, ...]
    numbers: tuple[int, ...]
    shared: Any
    density: str
    start: np.ndarray | None
    settings: TrainingSettings
    random_state: Any


def train(
    data: TrainingData,
    target: np.ndarray,
    likelihood: Likelihood,
    plan: Plan,
    progress: Progress,
) -> TrainedMixture:
    """Train a mixture of experts.

    Parameters
    ----------
    data : TrainingData
    target : ndarray
        ``data.y`` as the likelihood takes it: class codes, or real numbers.
    likelihood : Likelihood
    plan : Plan
    progress : Progress

    Returns
    -------
    trained : TrainedMixture
    """
    rng = check_random_state(plan.random_state)
    setup = _setup(data, target, likelihood, plan, rng)
    setup = setup.heard_by(progress)
    try:
        with setup.experts.workers:
            found = _found(setup, plan, rng)
            _warn(found)
            return _finished(found, plan, rng)
    except (KeyboardInterrupt, WorkersLostError) as stop:
        simple = plan._replace(shared=None, density="mixture")
        raise error_with_partial(
            stop, setup.best, lambda found: _finished(_alone(found), simple, rng)
        ) from stop


def _alone(found):
    """The same, to be finished in this process, when nobody listens any more."""
    setup = found.setup.heard_by(Progress(0))
    pool = replace(setup.experts, workers=Workers(1))
    return found._replace(setup=setup._replace(experts=pool))


def _finished(found, plan, rng):
    """The last step: what is trained on held-out predictions, and the final experts."""
    progress = found.setup.progress
    progress.enter(LAST_STAGES[1])
    setup, final, run = found.setup, found.run.best, found.run
    if plan.settings.e_step != "insample":
        setup, final = train_final_gate(setup, final, found.overlap)
    problem, pool = setup.problem, setup.experts
    weight, held_out = problem.judged_weight, problem.folds.held_out(final.responsibilities)
    shared = train_shared(setup, final, plan.shared, rng)
    density = train_density(setup, final, shared, plan.density, rng)
    progress.enter(LAST_STAGES[2])
    experts, shared_expert = fitted_on_all_rows(pool, final.experts, shared)
    progress.say(_summary(found, shared, density.log_likelihood))
    return TrainedMixture(
        experts=experts,
        gate=setup.gate.refit(final.gate, held_out, weight),
        dispersion=final.dispersion,
        output_range=output_range(final.experts.outputs[problem.folds.judged]),
        overlap=found.overlap,
        shared=shared_expert,
        log_likelihood=density.log_likelihood,
        history=as_arrays(run.history),
        converged=run.converged,
        n_held_out=0 if problem.folds.is_in_sample else int(problem.folds.judged.sum()),
        lift=_lift(setup, final, shared),
        density=density.density,
        held_out_scores=density.scores,
        row_loss=_row_loss(problem, shared.prediction),
    )


def _summary(found, shared, log_likelihood):
    """What came of it, in a line."""
    weight = 0.0 if shared.expert is None else shared.expert.weight
    return (
        f"done: {len(found.setup.experts.names)} experts, overlap {found.overlap:g}, "
        f"{len(found.run.history)} iterations, shared expert {weight:.0%}: log-likelihood "
        f"{log_likelihood:.4f} per held-out row"
    )


def _lift(setup, final, shared):
    """What the whole is worth beside its parts."""
    problem, names, outputs = setup.problem, setup.experts.names, final.experts.outputs
    dispersion = single_expert_dispersion(problem, outputs)
    lift = measure_lift(
        shared.row_log_likelihood,
        final.log_density,
        problem.likelihood.log_density(problem.target, outputs, dispersion),
        problem.judged_weight,
        names,
        shared.log_density,
    )
    losses = measure_losses(problem, shared, outputs, dispersion, names)
    return replace(lift, losses=losses)


def _row_loss(problem, prediction):
    """Loss (n,) of the held-out predictions of the whole; NaN for rows that have none."""
    loss = problem.likelihood.loss(problem.target, prediction)
    return np.where(problem.folds.judged, loss, np.nan)


def _found(setup, plan, rng):
    """What experts, gate and overlap are found by EM, or by one fit where that is all there is."""
    if not plan.same_template and only_the_gate_learns(setup):
        return fitted_once(setup)
    many = len(plan.numbers) > 1 and all(map(is_linear, plan.templates))
    quick = with_shortcuts(setup, plan.same_template and flexible(setup), many)
    return without_shortcuts(_searched(quick, plan, rng), setup)


def _searched(setup, plan, rng):
    """What the search has found, with scouts ahead of it or without."""
    start, terms, numbers = None, plan.terms, plan.numbers
    if plan.start is not None:
        start = Start("given", 0, plan.start)
    overlaps = candidate_overlaps(plan.settings.overlap, plan.templates)
    if len(plan.templates) == 1 or overlaps == (1.0,):  # nothing for the gate to tell apart
        terms = terms[:1]
    if scouts_go_first(setup, plan.same_template, numbers):
        setup.progress.enter("scouts", ", a mixture of linear experts that looks for a start")
        start, terms, numbers = scout(setup, terms, numbers, rng) or (None, terms, numbers)
    return best_run(setup, start, terms, numbers, rng)


def _setup(data, target, likelihood, plan, rng):
    """What is trained, with all that is random about it drawn."""
    names, settings = plan.names, plan.settings
    seeds = tuple(int(seed) for seed in rng.randint(np.iinfo(np.int32).max, size=len(names)))
    templates = tuple(seeded(template, rng, plan.same_template) for template in plan.templates)
    folds = _folds(data, settings, isinstance(likelihood, Categorical), rng)
    gate = gate_trainer(seeded(plan.gate, rng, False), plan.Z, folds, GATE_ACCURACY * settings.tol)
    problem = Problem(data, target, folds, likelihood, settings.n_jobs)
    out_of_bag = _out_of_bag(templates, settings, problem, plan.shared)
    # In-sample, the models of the last iteration are the final ones, which need X as it is.
    features = None if folds.is_in_sample else prepared_features(templates, data.X)
    workers = Workers(settings.n_jobs, _shared_by_all_fits(problem, features))
    pool = ExpertPool(problem, names, templates, seeds, out_of_bag, features, workers)
    setup = Setup.of(pool, gate, settings, plan.start is None, Progress(0))
    return setup._replace(best=BestSoFar())


def _shared_by_all_fits(problem, features):
    """What is the same whichever expert is fitted in whichever iteration."""
    rows = [part for split in problem.folds.splits for part in split]
    each = (problem.X, *(features or ()), problem.y, problem.target, problem.sample_weight, *rows)
    return tuple({id(one): one for one in each}.values())


def _folds(data, settings, classifier, rng):
    seed = rng.randint(np.iinfo(np.int32).max)
    if settings.e_step == "insample":
        return Folds.in_sample(len(data.sample_weight))
    return check_splits(settings.cv, data, classifier, seed)


def _out_of_bag(templates, settings, problem, shared):
    """Whether experts that offer out-of-bag predictions are judged by those."""
    e_step, groups = settings.e_step, problem.data.groups
    if isinstance(problem.likelihood, CategoricalOutputs):
        return False  # forests have none where an output has more than two classes
    if e_step == "auto":
        # Folds or groups that were given keep together what bootstrap samples would part, and a
        # consensus judges its correction by rows that no opinion on their fold has seen.
        free = groups is None and (settings.cv is None or isinstance(settings.cv, Integral))
        return free and shared != "consensus" and all(map(_has_enough_trees, templates))
    if e_step == "oob" and not any(map(offers_out_of_bag, templates)):
        kinds = sorted({type(template).__name__ for template in templates})
        raise ValueError(
            "e_step='oob' needs an expert with out-of-bag predictions (a random forest or bagging "
            f"with bootstrap=True), and none of {kinds} has them; use e_step='crossfit'"
        )
    return e_step == "oob"


def _has_enough_trees(template):
    n_estimators = getattr(template, "n_estimators", None) or 0
    return offers_out_of_bag(template) and n_estimators >= TREES_FOR_OUT_OF_BAG


def _warn(found):
    (setup, overlap, run), names = found, found.setup.experts.names
    # With overlap 1 nothing but the gate was left to learn, and that the last step goes on with.
    if run.improving and overlap < 1.0:
        _warn_user(
            f"EM stopped at max_iter={setup.settings.max_iter} while the log-likelihood still "
            "rose; raise max_iter, or tol if that precision is not needed"
        )
    starved = run.best.experts.starved
    if starved.any():
        _warn_user(
            f"too few rows were left for the experts {_chosen(names, starved)}, which were kept "
            "as they were in the iteration before (in the first: fitted on all rows); use fewer "
            "experts, or a larger overlap"
        )
    failures = run.best.experts.failures
    if failures:
        _warn_user(
            f"{len(failures)} of {len(names)} experts could not be fitted on the rows that they "
            "are responsible for, or could not answer for others, and were kept as they were in "
            "the iteration before (in the first: fitted on more rows); use fewer experts, a "
            "larger overlap, or encoders that take unknown categories. The first of them said: "
            f"{failures[0]}"
        )
    reseeded = np.any([iteration.reseeded for iteration in run.history], axis=0)
    problem = setup.problem
    dead = dead_experts(run.best.responsibilities, problem.folds, problem.judged_weight)
    lost = reseeded & dead & ~starved
    if lost.any():
        _warn_user(
            f"the experts {_chosen(names, lost)} are responsible for next to no rows, also after "
            "they were re-seeded on the rows that were explained worst; use fewer experts"
        )


def _warn_user(message):
    """Warn, as from the call of ``fit``."""
    warnings.warn(message, ConvergenceWarning, stacklevel=7)


def _chosen(names, mask):
    return [name for name, is_chosen in zip(names, mask, strict=True) if is_chosen]
