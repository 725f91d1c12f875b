"""Handing weights to arbitrary scikit-learn estimators."""

from __future__ import annotations

import numpy as np
from sklearn import config_context
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

NEGLIGIBLE_WEIGHT = 1e-8
"""Rows lighter than this fraction of the heaviest row count as absent."""

MIN_RESAMPLE = 30
"""Fewest rows of a weighted resample, where there are as many."""

MAX_REPETITION = 10
"""A weighted resample holds at most this many times the rows it is drawn from."""


def weight_keyword(estimator):
    """Name of the ``fit`` keyword that takes the row weights of an estimator.

    Parameters
    ----------
    estimator : estimator
        A Pipeline takes the weights at its last step, unless a step before draws other rows
        (the samplers of imbalanced-learn), to which the weights would not belong.

    Returns
    -------
    keyword : str or None
        For example ``"sample_weight"`` or ``"ridge__sample_weight"``; None if the
        estimator takes no weights.
    """
    if isinstance(estimator, Pipeline):
        if any(hasattr(step, "fit_resample") for _, step in estimator.steps):
            return None
        name, last = estimator.steps[-1]
        keyword = weight_keyword(last)
        return None if keyword is None else f"{name}__{keyword}"
    if not hasattr(estimator, "fit"):  # a Pipeline that ends in "passthrough"
        return None
    return "sample_weight" if has_fit_parameter(estimator, "sample_weight") else None


def last_step(estimator):
    """The estimator itself, or the last step of a Pipeline, which is what predicts."""
    return last_step(estimator.steps[-1][1]) if isinstance(estimator, Pipeline) else estimator


def fit_weighted(estimator, X, y, weight):
    """Fit an estimator in place with row weights.

    The weights are the mixture's own (responsibilities), not metadata that a user routes.
    Metadata routing is therefore off while the estimator is fitted: with it on, each step of
    a Pipeline would have to declare what it wants of a quantity that its author never saw.

    Parameters
    ----------
    estimator : estimator
        Takes weights, as `weight_keyword` tells, unless `weight` is None.
    X : array-like, sparse matrix or frame of shape (n_samples, n_features)
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
    weight : ndarray of shape (n_samples,) or None

    Returns
    -------
    estimator : estimator
        The same object, fitted.
    """
    weights = {} if weight is None else {weight_keyword(estimator): weight}
    with config_context(enable_metadata_routing=False):
        estimator.fit(X, y, **weights)  # not all of them return themselves
    return estimator


def relative_weights(weight, sample_weight):
    """Weights on the scale of rows, for `resampled_counts`: their sum is a number of rows.

    A row of which an expert has a portion r and that the user weighs w has the weight r w. How
    many rows an expert learns from is for the portions to say: weights of 10 for all rows are
    no ground for ten copies of each, which to nearest neighbours are another model. So the w are
    divided by their mean over the rows of the expert, and only proportions are left of them.

    Parameters
    ----------
    weight : ndarray of shape (n_samples,)
        With which an expert is to be fitted.
    sample_weight : ndarray of shape (n_samples,)
        Positive; a factor of `weight`.

    Returns
    -------
    weight : ndarray of shape (n_samples,)
    """
    return weight * ((weight / sample_weight).sum() / weight.sum())


def resampled_counts(weight, rng):
    """How often to repeat each row so that the expected count is its weight.

    Systematic resampling: one uniform offset serves all rows, so that each count is its
    weight rounded down or up. Integer weights are thus exact repetition, weights of 0 and 1
    exact selection, and the noise is the least that whole rows allow. Weights are scaled up
    where no row weighs 1 (weights that were normalised to sum 1), or where the resample would
    be shorter than both ``MIN_RESAMPLE`` and the data (k-nearest neighbours need k rows), and
    down where it would be more than ``MAX_REPETITION`` times as long as the data.

    Parameters
    ----------
    weight : ndarray of shape (n_samples,)
        Non-negative, at least one positive.
    rng : numpy.random.RandomState

    Returns
    -------
    counts : ndarray of shape (n_samples,), dtype intp

    References
    ----------
    Kitagawa, G. (1996). Monte Carlo filter and smoother for non-Gaussian nonlinear state
    space models. Journal of Computational and Graphical Statistics, 5(1), 1-25.
    """
    least = min(MIN_RESAMPLE, weight.size)
    scale = max(1.0, 1.0 / weight.max(), least / weight.sum())
    scale *= min(1.0, MAX_REPETITION * weight.size / (scale * weight.sum()))
    reached = np.floor(np.cumsum(scale * weight) + rng.uniform())
    return np.diff(reached, prepend=0.0).astype(np.intp)
