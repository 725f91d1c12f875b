"""Held-out predictions of ensembles of bootstrap samples, by the members that left a row out."""

from __future__ import annotations

import copy
import warnings
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
import sklearn
from sklearn.base import clone, is_classifier
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.utils.fixes import parse_version

from .._arithmetic.statistics import effective_rows
from .._data.weights import (
    weight_keyword,
)
from .fitting import (
    fit_expert,
    predict_rows,
    weighty_rows,
)
from .labels import EncodedLabels

FORESTS = (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)

TREES_AT_A_TIME = 25
"""A forest of twice as many trees or more is grown in parts, each a task for a worker.

Each part is sent its weights and sends back its predictions. Smaller parts would be more of them,
and more would be sent.
"""

ROWS_FOR_PARTS = 1000
"""With fewer rows a forest stays whole: its trees take less time than it takes to begin a part."""

WEIGHTS_ARE_DRAWN = parse_version(sklearn.__version__) >= parse_version("1.9")
"""Whether forests draw their bootstrap samples with the weights; before, they multiplied."""


def offers_out_of_bag(estimator):
    """Whether an estimator draws bootstrap samples and can predict the rows left out."""
    parameters = estimator.get_params(deep=False)
    return bool("oob_score" in parameters and parameters.get("bootstrap")) and (
        weight_keyword(estimator) is not None
    )


class OutOfBag(NamedTuple):
    """What an ensemble, or a part of a forest, says of rows.

    Attributes
    ----------
    model : fitted estimator, or None
    output : ndarray of shape (n_samples, ...)
        The mean over the members that may judge a row; 0 where there are none.
    votes : ndarray of shape (n_samples,), dtype int
        How many these are.
    """

    model: Any
    output: np.ndarray
    votes: np.ndarray


def parts_of(template, n_rows):
    """Smaller forests that together grow the trees of a forest.

    An ensemble that cannot be cut, or that is not worth it, is returned as the only part.

    Whether and where a forest is cut does not depend on the number of workers, so that sums over
    its trees are the same to the last bit whoever grows them. A forest draws a seed for each tree,
    the first one first, so that later parts begin where earlier ones have stopped.
    """
    if type(template) not in FORESTS or not isinstance(template.random_state, Integral):
        return [template]
    if template.warm_start or template.oob_score:  # whose own score is asked for
        return [template]
    n_trees = template.n_estimators
    if n_trees < 2 * TREES_AT_A_TIME or n_rows < ROWS_FOR_PARTS:
        return [template]
    parts, state = [], np.random.RandomState(int(template.random_state))
    for trees in np.array_split(np.arange(n_trees), n_trees // TREES_AT_A_TIME):
        parts.append(clone(template).set_params(n_estimators=len(trees), random_state=state))
        state = copy.deepcopy(state)
        state.randint(np.iinfo(np.int32).max, size=len(trees))
    return parts


def whole_forest(template, models):
    """The forest whose parts have been fitted."""
    first = models[0]
    if len(models) == 1 or isinstance(first, DummyClassifier):  # which stands for a single class
        return first
    forest = copy.copy(_ensemble(first))
    forest.estimators_ = [tree for model in models for tree in _ensemble(model).estimators_]
    forest.set_params(n_estimators=len(forest.estimators_), random_state=template.random_state)
    if not isinstance(first, EncodedLabels):
        return forest
    labelled = copy.copy(first).set_params(estimator=clone(forest))
    labelled.estimator_ = forest
    return labelled


def _ensemble(model):
    """The ensemble itself, which may stand behind the labels of the user."""
    return model.estimator_ if isinstance(model, EncodedLabels) else model


def all_parts(job, said):
    """The model, if it is there, and the predictions of a whole ensemble.

    A row that every member has drawn has no such prediction. It gets what is known without the
    expert, the weighted mean of the target, rather than a NaN or a dishonest answer.

    Parameters
    ----------
    job : FitTask
        That of the whole.
    said : list of OutOfBag
        By its parts.
    """
    _, output, votes = said[0]
    if len(said) > 1:
        votes = np.sum([part.votes for part in said], axis=0)
        shape = -1, *[1] * (output.ndim - 1)
        total = sum(part.votes.reshape(shape) * part.output for part in said)
        output = total / np.maximum(votes, 1).reshape(shape)
    if not votes.all():
        rows = weighty_rows(job.weight, np.arange(len(job.weight)))
        output[votes == 0] = job.likelihood.uninformed_output(
            job.y_encoded[rows], job.weight[rows]
        )
    models = [part.model for part in said]
    return None if models[0] is None else whole_forest(job.template, models), output


def predict_out_of_bag(job):
    """Fit on all rows; predict each by the members whose bootstrap sample left it out."""
    rows = weighty_rows(job.weight, np.arange(len(job.weight)))
    model = _fitted(job, rows, oob_score=job.template.oob_score or True)
    n_rows = len(job.weight)
    if isinstance(model, DummyClassifier):  # the expert of a single class
        output = predict_rows(job, model, np.arange(n_rows))
        return OutOfBag(model, output, np.ones(n_rows, dtype=np.int32))
    ensemble = _ensemble(model)
    classes = is_classifier(ensemble)
    raw = ensemble.oob_decision_function_ if classes else ensemble.oob_prediction_
    output = np.zeros((n_rows, *job.likelihood.output_shape))
    votes = np.full(n_rows, len(ensemble.estimators_), dtype=np.int32)
    votes[rows], output[rows] = _votes(ensemble, len(rows)), job.likelihood.align(model, raw)
    output[votes == 0] = 0.0
    unused = np.setdiff1d(np.arange(n_rows), rows)
    if len(unused):
        output[unused] = predict_rows(job, model, unused)
    if not job.template.oob_score:
        _forget_out_of_bag(model)
    return OutOfBag(model, output, votes)


def only_predict_out_of_bag(job):
    """The predictions without the model, which is many times larger: it stays with the worker."""
    return predict_out_of_bag(job)._replace(model=None)


def fit_out_of_bag(job):
    """The same model, without the time that the predictions take."""
    rows = weighty_rows(job.weight, np.arange(len(job.weight)))
    return _fitted(job, rows, oob_score=job.template.oob_score)


def _fitted(job, rows, oob_score):
    """The ensemble fitted on some rows.

    Since scikit-learn 1.9 the weights are the probabilities of the bootstrap draws, of which
    there are as many as rows, however few of them carry weight, so that hardly a row of any
    weight would ever be left out. The number of draws is there the effective number of rows.
    """
    template = clone(job.template).set_params(oob_score=oob_score)
    if WEIGHTS_ARE_DRAWN and template.max_samples in (None, 1.0):
        draws = max(1, round(effective_rows(job.weight[rows])))
        template.set_params(max_samples=min(draws, len(rows)))
    with warnings.catch_warnings():
        # Rows without a vote are looked after by `all_parts`.
        warnings.filterwarnings("ignore", message="Some inputs do not have OOB scores")
        warnings.filterwarnings("ignore", category=RuntimeWarning, message="invalid value")
        return fit_expert(job._replace(template=template), rows)


def _forget_out_of_bag(model):
    """Leave a model as if its out-of-bag predictions had not been made."""
    ensemble = _ensemble(model)
    for name in ("oob_score_", "oob_prediction_", "oob_decision_function_"):
        vars(ensemble).pop(name, None)
    ensemble.set_params(oob_score=False)
    if ensemble is not model:
        model.estimator.set_params(oob_score=False)


def _votes(model, n_rows):
    """How many members have left out each of their training rows."""
    votes = np.zeros(n_rows, dtype=np.int32)
    for samples in model.estimators_samples_:
        left_out = np.ones(n_rows, dtype=bool)
        left_out[samples] = False
        votes += left_out
    return votes
