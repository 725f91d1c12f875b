"""From validated data to a trained mixture: the best run of EM, and the last step."""

from __future__ import annotations

import warnings
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from .._data.folds import check_splits
from .._data.rows import TrainingData
from .._experts.out_of_bag import offers_out_of_bag
from .._experts.pool import ExpertPool
from .._experts.seeds import seeded
from .._shared_expert.expert import SharedExpert
from ..gates._solver.penalty import PROVISIONAL
from .exploration import dead_experts
from .final_gate import single_expert_log_density, train_final_gate, train_shared
from .gate import GateTrainer
from .lift import Lift, measure_lift
from .problem import Problem, TrainingSettings
from .search import best_run, fitted_once, only_the_gate_learns

GATE_ACCURACY = 0.1
"""Accuracy of the gate's M-step, as a fraction of the tolerance of EM."""

TREES_TO_JUDGE_BY = 30
"""With ``e_step="auto"``, forests of fewer are cross-fitted: a third of them judges a row."""


class TrainedMixture(NamedTuple):
    """What training yields; the estimators copy it to their fitted attributes."""

    experts: list
    gate: Any
    dispersion: np.ndarray
    output_range: np.ndarray
    overlap: float
    shared: SharedExpert | None
    log_likelihood: float
    history: dict[str, np.ndarray]
    converged: bool
    lift: Lift


def train(
    data: TrainingData,
    target: np.ndarray,
    Z: Any,
    *,
    names: tuple[str, ...],
    templates: tuple[Any, ...],
    degrees: tuple[int | None, ...],
    numbers: tuple[int, ...],
    same_template: bool,
    gate: Any,
    likelihood: Any,
    settings: TrainingSettings,
    start: np.ndarray | None,
    shared: Any,
    classifier: bool,
    random_state: Any,
) -> TrainedMixture:
    """Train a mixture of experts.

    Parameters
    ----------
    data : TrainingData
    target : ndarray
        ``data.y`` as the likelihood takes it: class codes, or real numbers.
    Z : array-like, sparse matrix or frame of shape (n, n_gate_features)
        Features of the gate.
    names, templates : tuples of length K
        Experts, not yet fitted.
    degrees : tuple of int
        Degrees of the gate to choose from; (None,) if that is not to be decided here.
    numbers : tuple of int
        How many of these there may be, in rising order up to K.
    same_template : bool
        Whether they are clones of one estimator, and so need random states of their own.
    gate : unfitted gate
    likelihood : Categorical, Gaussian or Laplace
    settings : TrainingSettings
    start : ndarray of shape (n, K) or None
        Responsibilities of an earlier model to go on from; overrides ``settings.init``.
    shared : {"generalist", "consensus"}, FrozenEstimator or None
        Kind of the shared expert, or a generalist that is not to be fitted again.
    classifier : bool
    random_state : int, RandomState instance or None

    Returns
    -------
    trained : TrainedMixture
    """
    rng = check_random_state(random_state)
    seeds = tuple(int(seed) for seed in rng.randint(np.iinfo(np.int32).max, size=len(names)))
    templates = tuple(seeded(template, rng, same_template) for template in templates)
    splits = _splits(data, settings, classifier, rng)
    judge_gate = GateTrainer(
        seeded(gate, rng, False),
        Z,
        views=tuple(train for train, _ in splits),
        accuracy=GATE_ACCURACY * settings.tol,
    )
    if getattr(judge_gate.template, "alpha", None) == "auto":
        judge_gate = judge_gate.with_penalty(PROVISIONAL)
    judging_view = np.empty(len(target), dtype=np.intp)
    for view, (_, test) in enumerate(splits):
        judging_view[test] = view
    pool = ExpertPool(
        names=names,
        templates=templates,
        seeds=seeds,
        X=data.X,
        y=data.y,
        y_encoded=target,
        likelihood=likelihood,
        splits=splits,
        judging_view=judging_view,
        out_of_bag=_out_of_bag(templates, settings, shared),
        sample_weight=data.sample_weight,
        n_jobs=settings.n_jobs,
    )
    problem = Problem.of(data, target, pool, judge_gate, likelihood, settings, fresh=start is None)
    if not same_template and only_the_gate_learns(problem):
        problem, overlap, run = fitted_once(problem)
    else:
        problem, overlap, run = best_run(problem, start, degrees=degrees, numbers=numbers, rng=rng)
    pool = problem.experts
    _warn(run, overlap, problem)
    final = run.best
    if settings.e_step != "insample":
        problem, final = train_final_gate(problem, final, overlap)
    responsibilities = final.responsibilities[judging_view, np.arange(len(target))]
    trained_shared = train_shared(problem, final, shared, rng)
    row_log_likelihood = trained_shared.row_log_likelihood
    return TrainedMixture(
        experts=pool.refit(final.experts),
        gate=problem.gate.refit(final.gate, responsibilities, data.sample_weight),
        dispersion=final.dispersion,
        output_range=_range(final.experts.outputs),
        overlap=overlap,
        shared=trained_shared.expert,
        log_likelihood=float(np.average(row_log_likelihood, weights=data.sample_weight)),
        history=_as_arrays(run.history),
        converged=run.converged,
        lift=measure_lift(
            row_log_likelihood,
            final.log_density,
            single_expert_log_density(problem, final),
            data.sample_weight,
            pool.names,
            trained_shared.log_density,
        ),
    )


def _splits(data, settings, classifier, rng):
    seed = rng.randint(np.iinfo(np.int32).max)
    if settings.e_step == "insample":
        everything = np.arange(len(data.sample_weight))
        return ((everything, everything),)
    return check_splits(settings.cv, data, classifier, seed)


def _out_of_bag(templates, settings, shared):
    """Whether experts that offer out-of-bag predictions are judged by those."""
    e_step = settings.e_step
    if e_step == "auto":
        # Folds that were given may keep together what bootstrap samples would part, and a
        # consensus judges its correction by rows that no opinion on their fold has seen.
        free = settings.cv is None or isinstance(settings.cv, Integral)
        return free and shared != "consensus" and all(map(_has_trees_to_judge_by, templates))
    if e_step == "oob" and not any(map(offers_out_of_bag, templates)):
        kinds = sorted({type(template).__name__ for template in templates})
        raise ValueError(
            "e_step='oob' needs an expert with out-of-bag predictions (a random forest or bagging "
            f"with bootstrap=True), and none of {kinds} has them; use e_step='crossfit'"
        )
    return e_step == "oob"


def _has_trees_to_judge_by(template):
    n_estimators = getattr(template, "n_estimators", 0)
    return offers_out_of_bag(template) and n_estimators >= TREES_TO_JUDGE_BY


def _range(outputs):
    """Smallest and largest held-out output of each expert, shape (K, ..., 2)."""
    return np.stack([outputs.min(axis=0), outputs.max(axis=0)], axis=-1)


def _warn(run, overlap, problem):
    names, settings = problem.experts.names, problem.settings
    # With overlap 1 nothing but the gate was left to learn, and that the last step goes on with.
    if run.improving and overlap < 1.0:
        warnings.warn(
            f"EM stopped at max_iter={settings.max_iter} while the log-likelihood still rose; "
            "raise max_iter, or tol if that precision is not needed",
            ConvergenceWarning,
            stacklevel=6,
        )
    starved = run.best.experts.starved
    if starved.any():
        warnings.warn(
            f"too few rows were left for the experts {_chosen(names, starved)}, which were kept "
            "as they were in the iteration before (in the first: fitted on all rows); use fewer "
            "experts, or a larger overlap",
            ConvergenceWarning,
            stacklevel=6,
        )
    failures = run.best.experts.failures
    if failures:
        warnings.warn(
            f"{len(failures)} of {len(names)} experts could not be fitted on the rows that they "
            "are responsible for, and were kept as they were in the iteration before (in the "
            "first: fitted on more rows); use fewer experts, or a larger overlap. The first of "
            f"them said: {failures[0]}",
            ConvergenceWarning,
            stacklevel=6,
        )
    reseeded = np.any([iteration.reseeded for iteration in run.history], axis=0)
    weight = problem.data.sample_weight
    dead = dead_experts(run.best.responsibilities, problem.gate.views, weight)
    lost = reseeded & dead & ~starved
    if lost.any():
        warnings.warn(
            f"the experts {_chosen(names, lost)} are responsible for next to no rows, also after "
            "they were re-seeded on the rows that were explained worst; use fewer experts",
            ConvergenceWarning,
            stacklevel=6,
        )


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
