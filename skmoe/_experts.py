"""Fitting arbitrary estimators as experts, and judging them on rows they did not see."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import sklearn
from sklearn.base import clone, is_classifier
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.utils import _safe_indexing
from sklearn.utils.fixes import parse_version
from sklearn.utils.parallel import Parallel, delayed

from ._least_squares import held_out_predictions, supports
from ._weights import (
    NEGLIGIBLE_WEIGHT,
    effective_rows,
    fit_weighted,
    last_step,
    resampled_counts,
    weight_keyword,
)

WEIGHTS_ARE_DRAWN = parse_version(sklearn.__version__) >= parse_version("1.9")
"""Whether forests draw their bootstrap samples with the weights; before, they multiplied."""

MIN_EFFECTIVE_ROWS = 5
"""An expert with fewer effective rows than this is kept as it was instead of refitted."""


class JudgedExperts(NamedTuple):
    """What the experts say of rows that they were not fitted on.

    Attributes
    ----------
    outputs : ndarray of shape (n_samples, n_experts, ...)
        Held-out predictions or class probabilities.
    weights : ndarray of shape (n_views, n_samples, n_experts)
        Row weights that the experts were fitted with.
    models : tuple
        Per expert the fitted model whose training rows are all rows, or None where only
        fold models were needed, and for a frozen expert.
    starved : ndarray of shape (n_experts,), dtype bool
        Experts that were kept as they were because too few rows were left for them.
    """

    outputs: np.ndarray
    weights: np.ndarray
    models: tuple
    starved: np.ndarray


@dataclass(frozen=True)
class ExpertPool:
    """The experts of one training run, the data they learn from, and how they are judged.

    Parameters
    ----------
    names : tuple of str
    templates : tuple of estimators
        Unfitted, or `FrozenEstimator`. Cloned before each fit.
    seeds : tuple of int
        For the resampling of rows for experts that take no weights.
    X : array-like, sparse matrix or frame of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        As the experts take it (labels, not codes).
    y_encoded : ndarray
        As the likelihood takes it.
    likelihood : object
        Offers ``expert_output(model, X)`` and ``uninformed_output(y, weight)``.
    splits : tuple of (train, test) arrays of row indices
        One per view that judges. The test parts are a partition of the rows. One split whose
        two parts are both all rows makes the judgement an in-sample one.
    judging_view : ndarray of shape (n_samples,), dtype intp
        The split that tests each row.
    out_of_bag : bool
        Whether experts that offer out-of-bag predictions are judged by those.
    sample_weight : ndarray of shape (n_samples,)
        Positive; part of the weights that the experts are fitted with.
    n_jobs : int or None
    """

    names: tuple[str, ...]
    templates: tuple[Any, ...]
    seeds: tuple[int, ...]
    X: Any
    y: np.ndarray
    y_encoded: np.ndarray
    likelihood: Any
    splits: tuple[tuple[np.ndarray, np.ndarray], ...]
    judging_view: np.ndarray
    out_of_bag: bool
    sample_weight: np.ndarray
    n_jobs: int | None

    def judge(self, weights, previous=None, iteration=1):
        """Fit the experts with new weights and predict rows that they did not see.

        Experts whose weights are as before are not fitted again, nor are frozen ones.

        Parameters
        ----------
        weights : ndarray of shape (n_views, n_samples, n_experts)
        previous : JudgedExperts or None
        iteration : int
            Named in the error if an expert cannot be fitted.

        Returns
        -------
        judged : JudgedExperts
        """
        weights, starved = self._feed(weights, previous)
        stale = [k for k in range(len(self.templates)) if self._is_stale(k, weights, previous)]
        alike = [k for k in stale if supports(self.templates[k], self.X, self.y)]
        at_once = held_out_predictions(alike, self.templates, self.X, self.y, weights, self.splits)
        alone = [k for k in stale if k not in at_once]
        tasks = [task for k in alone for task in self._tasks(k, weights[..., k], iteration)]
        results = Parallel(n_jobs=self.n_jobs)(
            delayed(function)(*args) for function, args in tasks
        )

        if previous is None:
            outputs = np.empty((*weights.shape[1:], *self.likelihood.output_shape))
            models = [None] * len(self.templates)
        else:
            outputs, models = previous.outputs.copy(), list(previous.models)
        for (_, args), (model, rows, output) in zip(tasks, results, strict=True):
            expert = args[0].expert
            outputs[rows, expert] = output
            models[expert] = model
        for expert, output in at_once.items():
            outputs[:, expert], models[expert] = output, None
        return JudgedExperts(outputs, weights, tuple(models), starved)

    def refit(self, judged):
        """Models fitted on all rows, each row with its held-out weight of a judgement.

        Parameters
        ----------
        judged : JudgedExperts

        Returns
        -------
        models : list of fitted estimators
        """
        everything = np.arange(len(self.y))
        weights = self._held_out(judged.weights)
        models = [
            template if isinstance(template, FrozenEstimator) else model
            for template, model in zip(self.templates, judged.models, strict=True)
        ]
        missing = [k for k, model in enumerate(models) if model is None]
        fitted = Parallel(n_jobs=self.n_jobs)(
            delayed(_fit)(self._job(k, weights[:, k], "the last step"), everything)
            for k in missing
        )
        for k, model in zip(missing, fitted, strict=True):
            models[k] = model
        return models

    def _feed(self, weights, previous):
        """Give experts with too few rows their previous weights (at first: all rows).

        What counts is how the rows are shared out, not how the user weighs them: a few heavy
        rows do not starve an expert that has all rows to itself.
        """
        portions = weights / self.sample_weight[:, np.newaxis]
        rows = np.min(
            [
                effective_rows(portion if len(train) == len(self.y) else portion[train])
                for portion, (train, _) in zip(portions, self.splits, strict=True)
            ],
            axis=0,
        )
        starved = rows < min(MIN_EFFECTIVE_ROWS, *(len(train) for train, _ in self.splits))
        starved &= [not isinstance(template, FrozenEstimator) for template in self.templates]
        if starved.any():
            everything = self.sample_weight[:, np.newaxis]
            weights = np.where(
                starved, everything if previous is None else previous.weights, weights
            )
        return weights, starved

    def _held_out(self, weights):
        """Of the weights (n_views, n_samples, ...), those of the view that judges each row."""
        return weights[self.judging_view, np.arange(len(self.y))]

    def _is_stale(self, k, weights, previous):
        if previous is None:
            return True
        if isinstance(self.templates[k], FrozenEstimator):
            return False
        now, then = weights[..., k], previous.weights[..., k]
        # Weights that differ mostly do so from the start.
        few = np.s_[:, :100]
        return not (np.array_equal(now[few], then[few]) and np.array_equal(now, then))

    def _job(self, k, weight, stage):
        return _Job(
            k,
            f"{self.names[k]!r} (expert {k + 1} of {len(self.names)}) in {stage}",
            self.templates[k],
            self.seeds[k],
            self.X,
            self.y,
            self.y_encoded,
            weight,
            self.likelihood,
        )

    def _tasks(self, k, weights, iteration):
        """Functions and arguments that judge expert k with weights (n_views, n_samples)."""
        stage = f"EM iteration {iteration}"
        job = self._job(k, self._held_out(weights), stage)
        if isinstance(self.templates[k], FrozenEstimator):
            return [(_judge_frozen, (job,))]
        if self.out_of_bag and offers_out_of_bag(self.templates[k]):
            return [(_judge_out_of_bag, (job,))]
        return [
            (_judge_split, (self._job(k, weights[view], stage), train, test))
            for view, (train, test) in enumerate(self.splits)
        ]


class _Job(NamedTuple):
    """One expert with its data and weights, as it is sent to a worker."""

    expert: int
    description: str
    template: Any
    seed: int
    X: Any
    y: np.ndarray
    y_encoded: np.ndarray
    weight: np.ndarray
    likelihood: Any


def offers_out_of_bag(estimator):
    """Whether an estimator draws bootstrap samples and can predict the rows left out."""
    parameters = estimator.get_params(deep=False)
    return bool("oob_score" in parameters and parameters.get("bootstrap")) and (
        weight_keyword(estimator) is not None
    )


def seeded(estimator, random_state, override):
    """Clone an estimator and fix its random states, nested ones included.

    Parameters
    ----------
    estimator : estimator
    random_state : numpy.random.RandomState
    override : bool
        Whether random states that the user set are replaced, as `BaggingClassifier` does
        for its clones; otherwise only those left at None are filled.

    Returns
    -------
    estimator : estimator
        A frozen estimator, and whatever is frozen inside, is left as it is.
    """
    if isinstance(estimator, FrozenEstimator):
        return estimator
    estimator = clone(estimator)
    parameters = estimator.get_params(deep=True)
    frozen = [name for name, value in parameters.items() if isinstance(value, FrozenEstimator)]
    for name in sorted(parameters):
        if name.rsplit("__", 1)[-1] != "random_state":
            continue
        if any(name.startswith(f"{prefix}__") for prefix in frozen):
            continue
        if override or parameters[name] is None:
            estimator.set_params(**{name: random_state.randint(np.iinfo(np.int32).max)})
    return estimator


def expert_output(model, X, likelihood, description):
    """Predictions of one fitted expert, checked to be numbers.

    Raises
    ------
    ValueError, TypeError, RuntimeError
        If the expert raised, or if a prediction is not finite.
    """
    try:
        output = likelihood.expert_output(model, X)
    except Exception as error:
        raise _named(error, description, model, "could not predict") from error
    if not np.isfinite(output).all():
        raise ValueError(
            f"expert {description} ({type(model).__name__}) predicted values that are not finite "
            "(NaN or infinity); scale its features, or regularise it more strongly"
        )
    return output


def _judge_split(job, train, test):
    """Fit on the training part and predict the test part."""
    if len(train) == len(job.weight):  # in-sample
        model = _fit(job, train)
        return model, test, _predict(job, model, test)
    with warnings.catch_warnings():
        # Hundreds of fold models would repeat what the final fit says once.
        warnings.simplefilter("ignore", category=ConvergenceWarning)
        model = _fit(job, train)
    # A fold model has then done its work: it is not worth sending back from a worker.
    return None, test, _predict(job, model, test)


def _judge_frozen(job):
    """Predict all rows; the model stays where it is, since a worker would return a copy."""
    everything = np.arange(len(job.weight))
    return None, everything, _predict(job, job.template, everything)


def _judge_out_of_bag(job):
    """Fit on all rows; predict each by the members whose bootstrap sample left it out.

    Since scikit-learn 1.9 the weights are the probabilities of the bootstrap draws, of which
    there are as many as rows, however few of them carry weight, so that hardly a row of any
    weight would ever be left out. The number of draws is there the effective number of rows.
    """
    rows = _weighty_rows(job.weight, np.arange(len(job.weight)))
    template = clone(job.template).set_params(oob_score=True)
    if WEIGHTS_ARE_DRAWN and template.max_samples in (None, 1.0):
        draws = max(1, round(effective_rows(job.weight[rows])))
        template.set_params(max_samples=min(draws, len(rows)))
    job = job._replace(template=template)
    with warnings.catch_warnings():
        # Rows without a vote are looked after below.
        warnings.filterwarnings("ignore", message="Some inputs do not have OOB scores")
        warnings.filterwarnings("ignore", category=RuntimeWarning, message="invalid value")
        model = _fit(job, rows)
    everything = np.arange(len(job.weight))
    output = _predict(job, model, everything)  # honest for the rows that were not used
    if hasattr(model, "estimators_samples_"):  # not so for the expert of a single class
        output[rows] = _out_of_bag_output(job, model, rows)
    return model, everything, output


def _out_of_bag_output(job, model, rows):
    """Out-of-bag predictions of a fitted ensemble for its training rows.

    A row that every member has drawn has no such prediction. It gets what is known without
    the expert, the weighted mean of the target, rather than a NaN or a dishonest answer.
    """
    raw = model.oob_decision_function_ if is_classifier(model) else model.oob_prediction_
    output = job.likelihood.align(model, raw)
    votes = np.zeros(len(rows), dtype=np.intp)
    for samples in model.estimators_samples_:
        left_out = np.ones(len(rows), dtype=bool)
        left_out[samples] = False
        votes += left_out
    output[votes == 0] = job.likelihood.uninformed_output(job.y_encoded[rows], job.weight[rows])
    return output


def _weighty_rows(weight, rows):
    """The given rows without those of negligible weight; all of them if none has weight."""
    own = weight[rows]
    return rows[own >= NEGLIGIBLE_WEIGHT * own.max(initial=0.0)]


def _fit(job, rows):
    """Fit a clone of the expert on some rows with their weights.

    Where an expert has no weight on any of them (its rows are all in one fold), they count
    alike: it has to say something about the rows of that fold.

    Raises
    ------
    ValueError, TypeError, RuntimeError
        If the expert raised; says which expert and when, and chains the cause.
    """
    rows = _weighty_rows(job.weight, rows)
    model = clone(job.template)
    weight = job.weight[rows]
    if np.all(weight == weight[0]) and weight[0] in (0, 1):
        weight = None  # what the weights say is said by the rows
    elif weight_keyword(model) is None:
        rng = np.random.RandomState(job.seed)
        rows, weight = np.repeat(rows, resampled_counts(weight, rng)), None
    y = job.y[rows]
    frozen = isinstance(last_step(model), FrozenEstimator)
    if is_classifier(model) and np.all(y == y[0]) and not frozen:
        # Many classifiers refuse a single class, which a good partition often produces.
        model = DummyClassifier(strategy="most_frequent")
        weight = None
    try:
        return fit_weighted(model, _safe_indexing(job.X, rows), y, weight)
    except Exception as error:
        failure = f"could not be fitted on {len(rows)} rows"
        raise _named(error, job.description, model, failure) from error


def _named(error, description, model, failure):
    """An error that says which expert raised it; the error itself is to be chained."""
    kind = next((t for t in (ValueError, TypeError) if isinstance(error, t)), RuntimeError)
    return kind(f"expert {description} ({type(model).__name__}) {failure}: {error}")


def _predict(job, model, rows):
    X = job.X if len(rows) == len(job.weight) else _safe_indexing(job.X, rows)
    return expert_output(model, X, job.likelihood, job.description)
