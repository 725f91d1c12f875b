"""From validated data to a trained mixture: candidate runs, the best one, the last step."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from ._capacity import Capacity
from ._em import initial_state, run_em
from ._experts import ExpertPool, offers_out_of_bag, seeded
from ._exploration import Exploration, balance_and_exploration, dead_experts
from ._init import checked_responsibilities, starting_responsibilities
from ._last_step import lone_log_density, settle_gate, train_shared
from ._lift import Lift, measure_lift
from ._shared import SharedExpert, of_different_kinds
from ._validation import TrainingData, check_splits
from .gates._judge import GateJudge
from .gates._penalty import PENALTIES, PROVISIONAL

SHARES = (0.0, 0.1, 0.3, 1.0)
"""Candidates of ``share="auto"``, from the classical mixture to stacking."""

GATE_ACCURACY = 0.1
"""Accuracy of the gate's M-step, as a fraction of the tolerance of EM."""

SHORT_RUN = 5
"""Iterations that each candidate gets where there are several starts or shares."""


@dataclass(frozen=True)
class TrainingSettings:
    """The parameters of the estimators that govern training; see there."""

    share: float | str
    e_step: str
    cv: Any
    init: Any
    n_init: int
    max_iter: int
    tol: float
    capacity_factor: float | None
    expert_dropout: float
    annealing: float
    n_jobs: int | None
    verbose: int


class TrainedMixture(NamedTuple):
    """What training yields; the estimators copy it to their fitted attributes."""

    experts: list
    gate: Any
    dispersion: np.ndarray
    output_range: np.ndarray
    share: float
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
    judge_gate = GateJudge(
        seeded(gate, rng, False),
        Z,
        views=tuple(train for train, _ in splits),
        accuracy=GATE_ACCURACY * settings.tol,
    )
    if getattr(judge_gate.template, "alpha", None) == "auto":
        judge_gate = judge_gate.with_penalty(PROVISIONAL)
    _check_out_of_bag(templates, settings)
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
        out_of_bag=settings.e_step == "oob",
        sample_weight=data.sample_weight,
        n_jobs=settings.n_jobs,
    )
    capacity, exploration = balance_and_exploration(
        settings, judge_gate, pool, fresh=start is None
    )
    problem = _Problem(data, target, pool, judge_gate, likelihood, settings, capacity, exploration)
    shares = _candidate_shares(settings.share, templates)
    if not same_template and start is None and _only_the_gate_learns(problem, shares):
        problem, run = _fitted_once(problem)
        share = shares[0]
    else:
        share, run = _best_run(problem, shares, start, rng)
    _warn(run, share, problem)
    final = run.best
    if settings.e_step != "insample":
        problem, final = settle_gate(problem, final, share)
    responsibilities = final.responsibilities[judging_view, np.arange(len(target))]
    trained_shared = train_shared(problem, final, shared, rng)
    row_log_likelihood = trained_shared.row_log_likelihood
    return TrainedMixture(
        experts=pool.refit(final.experts),
        gate=problem.gate.refit(final.gate, responsibilities, data.sample_weight),
        dispersion=final.dispersion,
        output_range=_range(final.experts.outputs),
        share=share,
        shared=trained_shared.expert,
        log_likelihood=float(np.average(row_log_likelihood, weights=data.sample_weight)),
        history=_as_arrays(run.history),
        converged=run.converged,
        lift=measure_lift(
            row_log_likelihood,
            final.log_density,
            lone_log_density(problem, final),
            data.sample_weight,
            names,
            trained_shared.log_density,
        ),
    )


class _Problem(NamedTuple):
    """What all candidate runs have in common."""

    data: TrainingData
    target: np.ndarray
    experts: ExpertPool
    gate: GateJudge
    likelihood: Any
    settings: TrainingSettings
    capacity: Capacity | None
    exploration: Exploration


def _splits(data, settings, classifier, rng):
    seed = rng.randint(np.iinfo(np.int32).max)
    if settings.e_step == "insample":
        everything = np.arange(len(data.sample_weight))
        return ((everything, everything),)
    return check_splits(settings.cv, data, classifier, seed)


def _check_out_of_bag(templates, settings):
    if settings.e_step == "oob" and not any(map(offers_out_of_bag, templates)):
        kinds = sorted({type(template).__name__ for template in templates})
        raise ValueError(
            "e_step='oob' needs an expert with out-of-bag predictions (a random forest or bagging "
            f"with bootstrap=True), and none of {kinds} has them; use e_step='crossfit'"
        )


def _only_the_gate_learns(problem, shares):
    """Whether the last step does all that EM would do once the experts are fitted.

    It does not judge in-sample; what explores or minds a capacity does so in the course of EM,
    and a start that was given is one to go on from.
    """
    settings = problem.settings
    return (
        shares == (1.0,)
        and settings.e_step != "insample"
        and isinstance(settings.init, str)
        and problem.capacity is None
        and not problem.exploration.explores(1)
    )


def _fitted_once(problem):
    """A run of one iteration, and the problem with the gate's strongest penalty.

    Where all experts see all rows, their first fit is their last, and EM would do nothing but
    train the gate, which the last step does in fewer passes. Experts that differ need no start
    to be told apart: so this one is equal responsibilities, from which the last step relieves the
    gate of its penalty by degrees.
    """
    if problem.gate.chooses_penalty:
        problem = problem._replace(gate=problem.gate.with_penalty(PENALTIES[0]))
    n_rows, n_experts = len(problem.target), len(problem.experts.names)
    state = _initial_state(problem, np.full((n_rows, n_experts), 1.0 / n_experts))
    run = _run(problem, state, 1.0, 1, "share 1")
    return problem, run._replace(converged=True, improving=False)


def _best_run(problem, shares, start, rng):
    """Run EM from each start with each candidate share; the largest log-likelihood wins.

    Several candidates get a short run each, and only the most likely one goes on: what a start
    or a share is worth shows early, and experts are expensive.
    """
    settings = problem.settings
    starts = _starts(problem, start, rng)
    candidates = [(share, state) for state in starts for share in shares]
    alone = len(candidates) == 1
    short = SHORT_RUN
    if problem.exploration.explores(2):  # likelihoods can be compared when that is over
        short += problem.exploration.n_exploring
    first = settings.max_iter if alone else min(short, settings.max_iter)
    runs = []
    for number, (share, state) in enumerate(candidates, 1):
        prefix = f"candidate {number}/{len(candidates)}, share {share:g}"
        runs.append(_run(problem, state, share, first, prefix))
    winner = max(range(len(runs)), key=lambda number: runs[number].best.log_likelihood)
    share, run = candidates[winner][0], runs[winner]
    if first < settings.max_iter and not run.converged:
        prefix = f"going on with share {share:g}"
        run = _run(problem, run.best, share, settings.max_iter, prefix, earlier=run.history)
    return share, run


def _candidate_shares(share, templates):
    """Shares to try; experts of different kinds need no share of the rows to be different."""
    if share != "auto":
        return (float(share),)
    if len(templates) == 1:  # all shares are the same model
        return SHARES[:1]
    return SHARES[-1:] if of_different_kinds(templates) else SHARES


def _starts(problem, start, rng):
    """States to start EM from: given by a warm start or by the user, or made by `init`."""
    data, settings, gate = problem.data, problem.settings, problem.gate
    n_experts = len(problem.experts.names)
    init = settings.init
    if start is not None:
        starts = [start]
    elif isinstance(init, str) or callable(init):
        starts = [
            starting_responsibilities(init, gate.template, gate.Z, data, n_experts, rng)
            for _ in range(settings.n_init)
        ]
    else:  # its rows are those that were given, rows of weight 0 included
        starts = [checked_responsibilities(init, data.n_given, n_experts)[data.kept]]
    return [_initial_state(problem, each) for each in starts]


def _initial_state(problem, responsibilities):
    dispersion = problem.likelihood.initial_dispersion(responsibilities.shape[1])
    return initial_state(responsibilities, dispersion, len(problem.gate.views))


def _run(problem, start, share, max_iter, prefix, earlier=()):
    data, settings = problem.data, problem.settings

    def report(number, iteration):
        shares = " ".join(f"{value:.2f}" for value in iteration.expert_share)
        print(
            f"[skmoe] {prefix}, iteration {number}/{max_iter}: log-likelihood "
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
        start,
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


def _range(outputs):
    """Smallest and largest held-out output of each expert, shape (K, ..., 2)."""
    return np.stack([outputs.min(axis=0), outputs.max(axis=0)], axis=-1)


def _warn(run, share, problem):
    names, settings = problem.experts.names, problem.settings
    # With share 1 nothing but the gate was left to learn, and that the last step goes on with.
    if run.improving and share < 1.0:
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
            "experts, or a larger share",
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
        "expert_share": np.array([iteration.expert_share for iteration in history]),
        "seconds": np.array([iteration.seconds for iteration in history]),
        "starved": np.array([iteration.starved for iteration in history]),
        "reseeded": np.array([iteration.reseeded for iteration in history]),
    }
