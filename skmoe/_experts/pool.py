"""Fitting arbitrary estimators as experts, and what they say of rows that they did not see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from sklearn.frozen import FrozenEstimator

from .._arithmetic.statistics import effective_rows
from .._data.problem import Problem
from . import logistic
from .fitting import (
    MORE_OVERLAPS,
    Failure,
    FitTask,
    attempt,
    fit_finally,
    predict_fold,
    predict_frozen,
    travelling,
    widened,
)
from .least_squares import held_out_predictions, supports
from .out_of_bag import (
    all_parts,
    fit_out_of_bag,
    offers_out_of_bag,
    only_predict_out_of_bag,
    parts_of,
    predict_out_of_bag,
    whole_forest,
)
from .workers import Workers

MIN_EFFECTIVE_ROWS = 5
"""An expert with fewer effective rows than this is kept as it was instead of refitted."""

ALL_ROWS = slice(None)


class HeldOutExperts(NamedTuple):
    """What the experts say of rows that they were not fitted on.

    Attributes
    ----------
    outputs : ndarray of shape (n_samples, n_experts, ...)
        Held-out predictions or class probabilities.
    weights : ndarray of shape (n_samples, n_experts)
        Row weights that the experts were fitted with, for each row in the fold that judges it.
    everything : ndarray of shape (n_experts,), dtype bool
        Experts that were fitted to all rows as they are.
    models : tuple
        Per expert the fitted model whose training rows are all rows, or None where only
        fold models were needed, where it would have to come from another process, and for a
        frozen expert.
    starved : ndarray of shape (n_experts,), dtype bool
        Experts that were kept as they were because too few rows were left for them.
    failures : tuple of str
        What was said by experts that could not be fitted with the weights that were asked for
        and were kept as they were, too (in the first iteration: fitted on more rows).
    steps : tuple
        The experts that take a few steps at a time, and what they go on from.
    """

    outputs: np.ndarray
    weights: np.ndarray
    everything: np.ndarray
    models: tuple
    starved: np.ndarray
    failures: tuple[str, ...] = ()
    steps: tuple[Any, Any] = ((), None)


@dataclass(frozen=True)
class ExpertPool:
    """The experts of one training run, and what they learn from.

    Parameters
    ----------
    problem : Problem
    names : tuple of str
    templates : tuple of estimators
        Unfitted, or `FrozenEstimator`. Cloned before each fit.
    seeds : tuple of int
        For the resampling of rows for experts that take no weights.
    out_of_bag : bool
        Whether experts that offer out-of-bag predictions are judged by those.
    features : tuple or None
        For each expert the X that it is fitted on, and judged by, until it is final; None if that
        is the problem's for all of them. See `prepared_features`.
    workers : Workers
    tell : callable or None
        Called with the number of fits that are done, and how many there are at once.
    stepwise : bool
        Whether experts that can do so take a few steps in each M-step: see `logistic`.
    """

    problem: Problem
    names: tuple[str, ...]
    templates: tuple[Any, ...]
    seeds: tuple[int, ...]
    out_of_bag: bool = False
    features: tuple[Any, ...] | None = None
    workers: Workers = field(default_factory=Workers)
    tell: Callable[[int, int], None] | None = None
    stepwise: bool = False

    def told_by(self, tell: Callable[[int, int], None] | None) -> ExpertPool:
        """The same pool, which tells somebody else of its fits."""
        return replace(self, tell=tell)

    def first(self, n_experts: int) -> ExpertPool:
        """The first `n_experts` of them."""
        few = slice(n_experts)
        return replace(
            self,
            names=self.names[few],
            templates=self.templates[few],
            seeds=self.seeds[few],
            features=self.features and self.features[few],
        )

    def fit_held_out(
        self, weights: np.ndarray, previous: HeldOutExperts | None = None, iteration: int = 1
    ) -> HeldOutExperts:
        """Fit the experts with new weights and predict rows that they did not see.

        Experts that see all rows as they are, as before, are not fitted again, nor are those that
        have too few rows now, nor frozen ones.

        Parameters
        ----------
        weights : ndarray of shape (n_folds, n_samples, n_experts)
        previous : HeldOutExperts or None
        iteration : int
            Named in the error if an expert cannot be fitted.

        Returns
        -------
        held_out : HeldOutExperts
        """
        problem = self.problem
        weights, starved = self._feed(weights, previous)
        everything = self._see_everything(weights)
        kept = self._kept(previous, everything, starved)
        stale = [k for k in range(len(self.templates)) if not kept[k]]
        alike = [k for k in stale if supports(self.templates[k], problem.X, problem.y)]
        at_once = held_out_predictions(alike, self.templates, problem, weights)
        steps = self._steps(stale, weights, previous)
        at_once |= steps[0]
        alone = [k for k in stale if k not in at_once]
        said, failures = self._fit_and_ask(alone, weights, previous, iteration)
        if failures and previous is None:
            weights, more = self._with_more_rows(failures, weights, iteration)
            said |= more
            everything = self._see_everything(weights)
        elif failures:
            kept[list(failures)] = True

        own_weights = problem.folds.held_out(weights)
        if previous is None:
            outputs = np.empty((*weights.shape[1:], *problem.likelihood.output_shape))
            models = [None] * len(self.templates)
        else:
            outputs, models = previous.outputs.copy(), list(previous.models)
            own_weights = np.where(kept, previous.weights, own_weights)
            everything = np.where(kept, previous.everything, everything)
        for expert, results in said.items():
            for rows, (model, output) in results:
                outputs[rows, expert] = output
                models[expert] = model
        for expert, output in at_once.items():
            outputs[:, expert], models[expert] = output, None
        judged = problem.folds.judged
        if not judged.all():  # of these nobody can say anything
            outputs[~judged] = problem.likelihood.uninformed_output(
                problem.target, problem.sample_weight
            )
        said_why = tuple(failures.values())
        return HeldOutExperts(
            outputs, own_weights, everything, tuple(models), starved, said_why, steps[1]
        )

    def _steps(self, stale, weights, previous):
        """What experts say that take a few steps at a time, and what they go on from."""
        if not self.stepwise:
            return {}, ((), None)
        X, likelihood = self.problem.X, self.problem.likelihood
        experts = [k for k in stale if logistic.supports(self.templates[k], X, likelihood)]
        before, coef = ((), None) if previous is None else previous.steps
        start = coef if before == experts else None
        said, coef = logistic.held_out_probabilities(
            experts, self.templates, self.problem, weights, start
        )
        return said, (experts, coef)

    def _fit_and_ask(self, experts, weights, previous, iteration):
        """What experts say of held-out rows, and what those said that raised, by expert.

        The error of an expert that has no other rows to be fitted on is raised at once.
        """
        asked, calls = [], []
        for k in experts:
            last = isinstance(self.templates[k], FrozenEstimator) or (
                previous is None and self._see_everything(weights)[k]
            )
            for rows, (function, arguments) in self._calls(k, weights[..., k], iteration):
                asked.append((k, rows))
                call = (function, arguments) if last else (attempt, (function, *arguments))
                calls.append(call)
        said: dict[int, list] = {k: [] for k in experts}
        failures: dict[int, str] = {}
        for (k, rows), result in zip(asked, self.workers.run(calls, self.tell), strict=True):
            if isinstance(result, Failure):
                failures.setdefault(k, result.message)
                said.pop(k, None)
            elif k in said:
                said[k].append((rows, result))
        for k in filter(self._judged_out_of_bag, said):
            job = self._job(k, self.problem.folds.held_out(weights[..., k]), "", None)
            said[k] = [(ALL_ROWS, all_parts(job, [result for _, result in said[k]]))]
        return said, failures

    def _with_more_rows(self, failures, weights, iteration):
        """Weights with which experts that raised can be fitted, and what they say then.

        They see more of every row, in the end as much as if they were alone: an expert that
        raises then always does.
        """
        said: dict[int, list] = {}
        weights, failed = weights.copy(), list(failures)
        for overlap in MORE_OVERLAPS:
            weights[..., failed] = widened(
                weights[..., failed], self.problem.sample_weight[:, np.newaxis], overlap
            )
            more, again = self._fit_and_ask(failed, weights, None, iteration)
            said |= more
            failed = list(again)
        return weights, said

    def refit(self, held_out: HeldOutExperts) -> list[Any]:
        """Models fitted on all rows, each row with its held-out weight.

        Parameters
        ----------
        held_out : HeldOutExperts

        Returns
        -------
        models : list of fitted estimators
        """
        return refit_together([(self, held_out)])[0]

    def _ready(self, held_out):
        """The models that are final as they are; None for the others."""
        return [
            template if isinstance(template, FrozenEstimator) else model
            for template, model in zip(self.templates, held_out.models, strict=True)
        ]

    def _final_calls(self, k, weight):
        function = fit_out_of_bag if self._judged_out_of_bag(k) else fit_finally
        job = self._job(k, weight, "the last step", self.problem.X)
        return [travelling(function, part) for part in self._parts(k, job)]

    def _feed(self, weights, previous):
        """Find experts with too few rows, which stay as they were (at first: see all rows).

        What counts is how the rows are shared out, not how the user weighs them: a few heavy
        rows do not starve an expert that has all rows to itself.
        """
        folds, sample_weight = self.problem.folds, self.problem.sample_weight
        rows = np.min(
            [
                effective_rows(own[train] / sample_weight[train, np.newaxis])
                for own, (train, _) in zip(weights, folds.splits, strict=True)
            ],
            axis=0,
        )
        starved = rows < min(MIN_EFFECTIVE_ROWS, *(len(train) for train, _ in folds.splits))
        starved &= [not isinstance(template, FrozenEstimator) for template in self.templates]
        if starved.any() and previous is None:
            weights = np.where(starved, sample_weight[:, np.newaxis], weights)
        return weights, starved

    def _see_everything(self, weights):
        """Whether experts see all rows as they are, shape (K,)."""
        sample_weight = self.problem.sample_weight.astype(weights.dtype, copy=False)
        few = (weights[:, :100] == sample_weight[:100, np.newaxis]).all(axis=(0, 1))
        for k in np.flatnonzero(few):  # weights that differ mostly do so from the start
            few[k] = (weights[..., k] == sample_weight).all()
        return few

    def _kept(self, previous, everything, starved):
        """Experts that stay as they are, shape (K,)."""
        if previous is None:
            return np.zeros(len(self.templates), dtype=bool)
        frozen = [isinstance(template, FrozenEstimator) for template in self.templates]
        return frozen | starved | (everything & previous.everything)

    def _job(self, k, weight, stage, X):
        problem = self.problem
        return FitTask(
            k,
            f"{self.names[k]!r} (expert {k + 1} of {len(self.names)}) in {stage}",
            self.templates[k],
            self.seeds[k],
            X,
            problem.y,
            problem.target,
            weight,
            problem.sample_weight,
            problem.likelihood,
        )

    def _judged_out_of_bag(self, k):
        return self.out_of_bag and offers_out_of_bag(self.templates[k])

    def _parts(self, k, job):
        """A job, or those of its parts if it is a forest that is judged out of bag."""
        if not self._judged_out_of_bag(k):
            return [job]
        parts = parts_of(job.template, len(job.weight))
        return [job._replace(template=part) for part in parts]

    def _calls(self, k, weights, iteration):
        """Calls that fit expert k with weights (n_folds, n_samples), and the rows they ask it."""
        stage, folds = f"EM iteration {iteration}", self.problem.folds
        X = self.problem.X if self.features is None else self.features[k]
        job = self._job(k, folds.held_out(weights), stage, X)
        if isinstance(self.templates[k], FrozenEstimator):
            return [(ALL_ROWS, travelling(predict_frozen, job))]
        if self._judged_out_of_bag(k):
            away = self.workers.have_own_memory
            function = only_predict_out_of_bag if away else predict_out_of_bag
            return [(ALL_ROWS, travelling(function, part)) for part in self._parts(k, job)]
        return [
            (test, travelling(predict_fold, self._job(k, weights[fold], stage, X), train, test))
            for fold, (train, test) in enumerate(folds.splits)
        ]


def refit_together(fitted: Sequence[tuple[ExpertPool, HeldOutExperts]]) -> list[list[Any]]:
    """Models of several pools fitted on all rows, all at a time.

    Parameters
    ----------
    fitted : sequence of pairs of ExpertPool and HeldOutExperts
        Of one training, with the same workers.

    Returns
    -------
    models : list of list of fitted estimators
        Of each pool those of its experts.
    """
    models = [pool._ready(held_out) for pool, held_out in fitted]
    missing = [
        (own, k, pool, pool._final_calls(k, held_out.weights[:, k]))
        for own, (pool, held_out) in zip(models, fitted, strict=True)
        for k, model in enumerate(own)
        if model is None
    ]
    first = fitted[0][0]
    calls = [call for *_, some in missing for call in some]
    results = iter(first.workers.run(calls, first.tell))
    for own, k, pool, some in missing:
        own[k] = whole_forest(pool.templates[k], [next(results) for _ in some])
    return models
