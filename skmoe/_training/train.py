"""From validated data to a trained mixture: the best run of EM, and the last step."""

from __future__ import annotations

import warnings
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from .._data.folds import Folds, check_splits
from .._data.problem import Problem
from .._data.rows import TrainingData
from .._density.residual import ResidualDensity
from .._experts.out_of_bag import offers_out_of_bag
from .._experts.pool import ExpertPool
from .._experts.prepared import prepared_features
from .._experts.seeds import seeded
from .._likelihoods import Categorical, Likelihood
from .._prediction.dispatch import mix_outputs
from .._shared_expert.expert import SharedExpert
from .candidates import candidate_overlaps
from .density import train_density
from .exploration import dead_experts
from .final_gate import single_expert_log_density, train_final_gate, train_shared
from .gate import gate_trainer
from .lift import Lift, measure_lift
from .progress import Progress
from .scouts import scout, scouts_go_first
from .search import best_run, fitted_once, only_the_gate_learns
from .settings import TrainingSettings
from .setup import Setup
from .starts import Start

GATE_ACCURACY = 0.1
"""Accuracy of the gate's M-step, as a fraction of the tolerance of EM."""

TREES_FOR_OUT_OF_BAG = 30
"""With ``e_step="auto"``, forests of fewer are cross-fitted: a third of them predicts a row."""


class TrainedMixture(NamedTuple):
    """What training yields; the estimators copy it to their fitted attributes.

    `row_loss` is the held-out loss (n,) of the whole, NaN for rows that no fold tests.
    """

    experts: list
    gate: Any
    dispersion: np.ndarray
    output_range: np.ndarray
    overlap: float
    shared: SharedExpert | None
    log_likelihood: float
    history: dict[str, np.ndarray]
    converged: bool
    n_held_out: int
    lift: Lift
    density: ResidualDensity | None
    held_out_scores: np.ndarray | None
    row_loss: np.ndarray


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
    data: TrainingData, target: np.ndarray, likelihood: Likelihood, plan: Plan
) -> TrainedMixture:
    """Train a mixture of experts.

    Parameters
    ----------
    data : TrainingData
    target : ndarray
        ``data.y`` as the likelihood takes it: class codes, or real numbers.
    likelihood : Likelihood
    plan : Plan

    Returns
    -------
    trained : TrainedMixture
    """
    rng = check_random_state(plan.random_state)
    setup = _setup(data, target, likelihood, plan, rng)
    if not plan.same_template and only_the_gate_learns(setup):
        found = fitted_once(setup)
    else:
        found = _found(setup, plan, rng)
    _warn(found)
    setup, final, run = found.setup, found.run.best, found.run
    if plan.settings.e_step != "insample":
        setup, final = train_final_gate(setup, final, found.overlap)
    problem, pool, say = setup.problem, setup.experts, setup.progress.say
    say("gate trained on what the experts say of held-out rows; next the shared expert")
    weight, held_out = problem.judged_weight, problem.folds.held_out(final.responsibilities)
    shared = train_shared(setup, final, plan.shared, rng)
    density = train_density(setup, final, shared, plan.density, rng)
    say(f"fitting {len(pool.names)} experts to all of their rows", passing=True)
    experts = pool.refit(final.experts)
    say(_summary(found, shared, density.log_likelihood))
    return TrainedMixture(
        experts=experts,
        gate=setup.gate.refit(final.gate, held_out, weight),
        dispersion=final.dispersion,
        output_range=_range(final.experts.outputs[problem.folds.judged]),
        overlap=found.overlap,
        shared=shared.expert,
        log_likelihood=density.log_likelihood,
        history=_as_arrays(run.history),
        converged=run.converged,
        n_held_out=0 if problem.folds.is_in_sample else int(problem.folds.judged.sum()),
        lift=measure_lift(
            shared.row_log_likelihood,
            final.log_density,
            single_expert_log_density(problem, final),
            weight,
            pool.names,
            shared.log_density,
        ),
        density=density.density,
        held_out_scores=density.scores,
        row_loss=_row_loss(problem, final, shared),
    )


def _summary(found, shared, log_likelihood):
    """What came of it, in a line."""
    weight = 0.0 if shared.expert is None else shared.expert.weight
    return (
        f"done: {len(found.setup.experts.names)} experts, overlap {found.overlap:g}, "
        f"{len(found.run.history)} iterations, shared expert {weight:.0%}: log-likelihood "
        f"{log_likelihood:.4f} per held-out row"
    )


def _row_loss(problem, final, shared):
    """Loss (n,) of the held-out predictions of the whole; NaN for rows that have none."""
    loss = shared.row_loss
    if loss is None:
        gate_proba = np.exp(problem.folds.held_out(final.gate.log_proba))
        outputs, likelihood = final.experts.outputs, problem.likelihood
        mixed = mix_outputs(outputs, gate_proba, likelihood, final.dispersion)
        loss = likelihood.loss(problem.target, mixed)
    return np.where(problem.folds.judged, loss, np.nan)


def _found(setup, plan, rng):
    """What the search has found, with scouts ahead of it or without."""
    start, terms, numbers = None, plan.terms, plan.numbers
    if plan.start is not None:
        start = Start("given", 0, plan.start)
    overlaps = candidate_overlaps(plan.settings.overlap, plan.templates)
    if len(plan.templates) == 1 or overlaps == (1.0,):  # nothing for the gate to tell apart
        terms = terms[:1]
    if scouts_go_first(setup, plan.same_template, numbers):
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
    out_of_bag = _out_of_bag(templates, settings, data.groups, plan.shared)
    # In-sample, the models of the last iteration are the final ones, which need X as it is.
    features = None if folds.is_in_sample else prepared_features(templates, data.X)
    pool = ExpertPool(problem, names, templates, seeds, out_of_bag, features)
    return Setup.of(pool, gate, settings, plan.start is None, Progress(settings.verbose))


def _folds(data, settings, classifier, rng):
    seed = rng.randint(np.iinfo(np.int32).max)
    if settings.e_step == "insample":
        return Folds.in_sample(len(data.sample_weight))
    return check_splits(settings.cv, data, classifier, seed)


def _out_of_bag(templates, settings, groups, shared):
    """Whether experts that offer out-of-bag predictions are judged by those."""
    e_step = settings.e_step
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
    n_estimators = getattr(template, "n_estimators", 0)
    return offers_out_of_bag(template) and n_estimators >= TREES_FOR_OUT_OF_BAG


def _range(outputs):
    """Smallest and largest held-out output of each expert, shape (K, ..., 2)."""
    return np.stack([outputs.min(axis=0), outputs.max(axis=0)], axis=-1)


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
            "are responsible for, and were kept as they were in the iteration before (in the "
            "first: fitted on more rows); use fewer experts, or a larger overlap. The first of "
            f"them said: {failures[0]}"
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


def _as_arrays(history):
    """One array per figure, its first axis the iterations."""
    return {
        "log_likelihood": np.array([iteration.log_likelihood for iteration in history]),
        "expert_mass": np.array([iteration.expert_mass for iteration in history]),
        "seconds": np.array([iteration.seconds for iteration in history]),
        "starved": np.array([iteration.starved for iteration in history]),
        "reseeded": np.array([iteration.reseeded for iteration in history]),
    }
