"""Fitting one expert on weighted rows, and asking it."""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
from joblib import parallel_config
from sklearn.base import clone, is_classifier
from sklearn.dummy import DummyClassifier
from sklearn.ensemble._forest import BaseForest
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from .._data.protection import is_protected, own_copy, protected, taken
from .._data.weights import (
    NEGLIGIBLE_WEIGHT,
    fit_weighted,
    last_step,
    relative_weights,
    resampled_counts,
    weight_keyword,
)
from .checks import check_output
from .labels import EncodedLabels, are_codes

MORE_OVERLAPS = (0.3, 1.0)
"""How much more an expert sees of the rows of the others if it cannot be fitted without."""


class FitTask(NamedTuple):
    """One expert with its data and weights; see `travelling` for how it is sent to a worker."""

    expert: int
    description: str
    template: Any
    seed: int
    X: Any
    y: np.ndarray
    y_encoded: np.ndarray
    weight: np.ndarray
    sample_weight: np.ndarray
    likelihood: Any


def travelling(function, job, *rows):
    """A call of ``function(job, *rows)`` in which each part of the job is an argument.

    So what many jobs have in common is sent to workers once; see `Workers`. The weights, which
    only this job has, go with the call, in a tuple (what dask sends ahead is lost with a worker),
    and only those of the first rows given, which a model is fitted on.

    Returns
    -------
    function : callable
    arguments : tuple
    """
    weight = job.weight[rows[0]] if rows else job.weight
    return _arrived, (function, (weight,), len(rows), *rows, *job._replace(weight=None))


def _arrived(function, own, n_rows, *parts):
    (weight,), rows, job = own, parts[:n_rows], FitTask(*parts[n_rows:])
    if rows:
        weight = np.zeros(len(job.y))
        weight[rows[0]] = own[0]
    return function(job._replace(weight=weight), *rows)


def expert_output(model, X, likelihood, description):
    """Predictions of one fitted expert, checked to be what they should be.

    Parameters
    ----------
    model : fitted estimator
    X : array, sparse matrix or frame of shape (n_samples, n_features)
        As for `answer`.
    likelihood : Likelihood
    description : str
        Of the expert, for errors.

    Returns
    -------
    output : ndarray of shape (n_samples, ...)

    Raises
    ------
    ValueError, TypeError, RuntimeError
        If the expert raised, or if a prediction has the wrong shape, is not finite, or is no
        probability.
    """
    output = answer(likelihood.expert_output, model, X, description)
    n_samples = len(X) if type(X) is np.ndarray else _num_samples(X)
    return check_output(output, n_samples, likelihood, description, model)


def answer(question, model, X, description):
    """What ``question(model, X)`` says of rows.

    Parameters
    ----------
    question : callable
    model : fitted estimator
    X : array, sparse matrix or frame of shape (n_samples, n_features)
        If it is `protected` and the expert raises, it is asked again with rows of its own, since
        it may have wanted to write into them.
    description : str
        Of the expert, for errors.

    Returns
    -------
    answer : object

    Raises
    ------
    ValueError, TypeError, RuntimeError
        If the expert raised; says which one, and chains the cause.
    """
    try:
        try:
            return question(model, X)
        except Exception:
            if not is_protected(X):
                raise
            return question(model, own_copy(X))
    except Exception as error:
        raise _named(error, description, model, "could not predict") from error


class Failure(NamedTuple):
    """What an expert said that could not be fitted, or not be asked."""

    message: str


def attempt(function, *args):
    """Result of a function, or its failure."""
    try:
        return function(*args)
    except (ValueError, TypeError, RuntimeError) as error:
        return Failure(str(error))


def predict_fold(job, train, test):
    """Fit on the training part and predict the test part: a model, if it is of use, and that."""
    if len(train) == len(job.weight):  # in-sample
        model = fit_expert(job, train)
        return model, predict_rows(job, model, test)
    with warnings.catch_warnings():
        # Hundreds of fold models would repeat what the final fit says once.
        warnings.simplefilter("ignore", category=ConvergenceWarning)
        model = fit_expert(job, train)
    # A fold model has then done its work: it is not worth sending back from a worker.
    return None, predict_rows(job, model, test)


def predict_frozen(job):
    """Predict all rows; the model stays where it is, since a worker would return a copy."""
    return None, predict_rows(job, job.template, np.arange(len(job.weight)))


def weighty_rows(weight, rows):
    """The given rows without those of negligible weight; all of them if none has weight."""
    own = weight[rows]
    return rows[own >= NEGLIGIBLE_WEIGHT * own.max(initial=0.0)]


def fit_expert(job, rows):
    """Fit a clone of the expert on some rows with their weights.

    Where an expert has no weight on any of them (its rows are all in one fold), they count
    alike: it has to say something about the rows of that fold.

    Raises
    ------
    ValueError, TypeError, RuntimeError
        If the expert raised; says which expert and when, and chains the cause.
    """
    rows = weighty_rows(job.weight, rows)
    model = clone(job.template)
    weight = job.weight[rows]
    if np.all(weight == weight[0]) and weight[0] in (0, 1):
        weight = None  # what the weights say is said by the rows
    elif weight_keyword(model) is None:
        relative = relative_weights(weight, job.sample_weight[rows])
        drawn = resampled_counts(relative, np.random.RandomState(job.seed))
        rows, weight = np.repeat(rows, drawn), None
    y = job.y[rows]
    frozen = isinstance(last_step(model), FrozenEstimator)
    if is_classifier(model) and np.all(y == y[0]) and not frozen:
        # Many classifiers refuse a single class, which a good partition often produces.
        model = DummyClassifier(strategy="most_frequent")
        weight = None
    try:
        return _fit(model, taken(job.X, rows), y, weight)
    except Exception as error:
        failure = f"could not be fitted on {len(rows)} rows"
        raise _named(error, job.description, model, failure) from error


def _fit(model, X, y, weight):
    """Fit a model; a classifier that refuses the labels of these rows gets codes instead."""
    try:
        return fit_weighted(model, X, y, weight)
    except Exception:
        frozen = isinstance(last_step(model), FrozenEstimator)
        if not is_classifier(model) or frozen or y.ndim > 1 or are_codes(y):
            raise
        try:
            return EncodedLabels(model).fit(X, y, weight)
        except Exception:
            pass  # it was not the labels: what it said of them is what counts
        raise


def widened(weight, sample_weight, overlap):
    """Weights of an expert that is to see more of every row, whoever is responsible."""
    return (1.0 - overlap) * weight + overlap * sample_weight


def fit_finally(job):
    """Fit on all rows, on more of them if it has to be, and see that the expert can be asked.

    Its fold models could be fitted and asked. That this one cannot is a matter of few rows, such
    as a class with too few, or of a resample with fewer rows than nearest neighbours need.
    """
    rows = np.arange(len(job.weight))
    for overlap in MORE_OVERLAPS:
        try:
            return _fit_and_ask(job, rows)
        except Exception:
            weight = widened(job.weight, job.sample_weight, overlap)
            if np.array_equal(weight, job.weight):  # it has all rows
                raise
            job = job._replace(weight=weight)
    return _fit_and_ask(job, rows)


def _fit_and_ask(job, rows):
    model = fit_expert(job, rows)
    if weight_keyword(job.template) is None:  # fitted on a resample
        predict_rows(job, model, rows[:1])
    return model


def _named(error, description, model, failure):
    """An error that says which expert raised it; the error itself is to be chained."""
    kinds = (ValueError, TypeError, MemoryError)
    kind = next((t for t in kinds if isinstance(error, t)), RuntimeError)
    return kind(f"expert {description} ({type(model).__name__}) {failure}: {error}")


def predict_rows(job, model, rows):
    everything = len(rows) == len(job.weight)
    X = protected(job.X) if everything else _safe_indexing(job.X, rows)
    with in_fixed_order(model):
        return expert_output(model, X, job.likelihood, job.description)


def in_fixed_order(model):
    """Context in which a forest sums its trees in the same order each time.

    Its threads add up trees as they come. The last bits of such a sum are enough for whoever
    compares numbers that should be equal, as trees do that are fitted to them: the mixture would
    be another each time.
    """
    parts = model.get_params(deep=True).values() if hasattr(model, "get_params") else ()
    if any(isinstance(part, BaseForest) for part in (model, *parts)):
        return parallel_config(backend="sequential", n_jobs=1)
    return nullcontext()
