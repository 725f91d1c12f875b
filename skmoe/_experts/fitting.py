"""Fitting one expert on weighted rows, and asking it."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.utils import _safe_indexing

from .._data.weights import (
    NEGLIGIBLE_WEIGHT,
    fit_weighted,
    last_step,
    resampled_counts,
    weight_keyword,
)


class FitTask(NamedTuple):
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


def predict_fold(job, train, test):
    """Fit on the training part and predict the test part."""
    if len(train) == len(job.weight):  # in-sample
        model = fit_expert(job, train)
        return model, test, predict_rows(job, model, test)
    with warnings.catch_warnings():
        # Hundreds of fold models would repeat what the final fit says once.
        warnings.simplefilter("ignore", category=ConvergenceWarning)
        model = fit_expert(job, train)
    # A fold model has then done its work: it is not worth sending back from a worker.
    return None, test, predict_rows(job, model, test)


def predict_frozen(job):
    """Predict all rows; the model stays where it is, since a worker would return a copy."""
    everything = np.arange(len(job.weight))
    return None, everything, predict_rows(job, job.template, everything)


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


def predict_rows(job, model, rows):
    X = job.X if len(rows) == len(job.weight) else _safe_indexing(job.X, rows)
    return expert_output(model, X, job.likelihood, job.description)
