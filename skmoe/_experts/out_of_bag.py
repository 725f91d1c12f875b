"""Held-out predictions of ensembles of bootstrap samples, by the members that left a row out."""

from __future__ import annotations

import warnings

import numpy as np
import sklearn
from sklearn.base import clone, is_classifier
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

WEIGHTS_ARE_DRAWN = parse_version(sklearn.__version__) >= parse_version("1.9")
"""Whether forests draw their bootstrap samples with the weights; before, they multiplied."""


def offers_out_of_bag(estimator):
    """Whether an estimator draws bootstrap samples and can predict the rows left out."""
    parameters = estimator.get_params(deep=False)
    return bool("oob_score" in parameters and parameters.get("bootstrap")) and (
        weight_keyword(estimator) is not None
    )


def predict_out_of_bag(job):
    """Fit on all rows; predict each by the members whose bootstrap sample left it out: both.

    Since scikit-learn 1.9 the weights are the probabilities of the bootstrap draws, of which
    there are as many as rows, however few of them carry weight, so that hardly a row of any
    weight would ever be left out. The number of draws is there the effective number of rows.
    """
    rows = weighty_rows(job.weight, np.arange(len(job.weight)))
    template = clone(job.template).set_params(oob_score=True)
    if WEIGHTS_ARE_DRAWN and template.max_samples in (None, 1.0):
        draws = max(1, round(effective_rows(job.weight[rows])))
        template.set_params(max_samples=min(draws, len(rows)))
    job = job._replace(template=template)
    with warnings.catch_warnings():
        # Rows without a vote are looked after below.
        warnings.filterwarnings("ignore", message="Some inputs do not have OOB scores")
        warnings.filterwarnings("ignore", category=RuntimeWarning, message="invalid value")
        model = fit_expert(job, rows)
    everything = np.arange(len(job.weight))
    output = predict_rows(job, model, everything)  # honest for the rows that were not used
    if hasattr(model, "estimators_samples_"):  # not so for the expert of a single class
        output[rows] = _out_of_bag_output(job, model, rows)
    return model, output


def only_predict_out_of_bag(job):
    """The predictions without the model, which is many times larger: it stays with the worker."""
    return None, predict_out_of_bag(job)[1]


def fit_out_of_bag(job):
    """The model without the predictions."""
    return predict_out_of_bag(job)[0]


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
