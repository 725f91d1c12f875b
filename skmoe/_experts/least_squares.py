"""Ridge and ordinary least squares for all experts at once.

Experts that are least squares on the same X differ in their weights alone. One pass over the
data yields the weighted second moments of all of them, from which small systems of equations
give the coefficients: what scikit-learn computes, without validating, weighting and centring X
anew for each expert and each iteration.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg.lapack import dpocon, dpotrf, dpotrs
from sklearn.linear_model import LinearRegression, Ridge

from .._arithmetic import weighted_moments

WORST_CONDITION = 1e6
"""Systems that are worse conditioned, with columns of equal length, are left to scikit-learn,
which does not square the condition of X."""

WORST_RAW_CONDITION = 1e10
"""The same with columns as they are: scikit-learn takes a column that is a million times
shorter than another for zero."""

FROM_CHOLESKY = 20
"""Systems this large are solved by a Cholesky factor, unless that leaves the condition in doubt.

The eigenvectors of many small matrices at once cost less than a loop.
"""

SLACK = 10.0
"""Times the estimated condition, and more, has to be allowed for the Cholesky factor to do."""

NUMBERS_AT_A_TIME = 200_000
"""Weights with which experts of several folds are fitted in one pass over the data."""

SUPPORTED: dict[type, dict[str, tuple | None]] = {
    LinearRegression: {"fit_intercept": None, "positive": (False,)},
    Ridge: {"fit_intercept": None, "positive": (False,), "solver": ("auto", "cholesky")},
}
"""Kinds of experts, and the values of parameters for which this module does the same."""


def supports(template, X, y):
    """Whether `fit_all` can stand in for the ``fit`` of an expert.

    Parameters
    ----------
    template : estimator
    X : object
        Only arrays of floats are supported, in double or single precision.
    y : ndarray

    Returns
    -------
    supported : bool
    """
    if not isinstance(X, np.ndarray) or X.dtype not in (np.float64, np.float32):
        return False
    if y.ndim != 1 or y.dtype != np.float64 or not 0 < X.shape[1] <= len(X):
        return False
    return allows(template)


def allows(template):
    """Whether an expert is of a kind, and has parameters, that this module does the same for."""
    allowed = SUPPORTED.get(type(template))
    if allowed is None or not np.isscalar(getattr(template, "alpha", 0.0)):
        return False
    return all(
        values is None or getattr(template, name) in values for name, values in allowed.items()
    )


def held_out_predictions(experts, templates, problem, weights):
    """Fit experts on the training part of each split and predict the test part.

    Parameters
    ----------
    experts : list of int
        Those that are supported.
    templates : sequence of K estimators
    problem : Problem
        Its X is an array of floats.
    weights : ndarray of shape (n_folds, n_samples, K)

    Returns
    -------
    predictions : dict of int to ndarray of shape (n_samples,)
        Without the experts that have to be fitted alone after all, because there is a split
        in which they have no weight or ill-conditioned equations.
    """
    X, y, folds = problem.X, problem.y, problem.folds
    chosen = [templates[expert] for expert in experts]
    outputs = np.zeros((len(y), len(experts)))
    at_once = max(NUMBERS_AT_A_TIME // max(outputs.size, 1), 1)
    for first in range(0, len(folds) if experts else 0, at_once):
        some = range(first, min(first + at_once, len(folds)))
        own = _training_weights(folds, some, weights, experts)
        coef, intercept = fit_all(chosen * len(some), X, y, own)
        for number, fold in enumerate(some):
            test, of = (
                folds.splits[fold][1],
                slice(number * len(chosen), (number + 1) * len(chosen)),
            )
            outputs[test] = X[test] @ coef[of].T + intercept[of]
    usable = np.isfinite(np.ones(len(y)) @ outputs)  # sums, at the speed of BLAS
    return {k: outputs[:, column] for column, k in enumerate(experts) if usable[column]}


def _training_weights(folds, some, weights, experts):
    """Weights (n, len(some) * len(experts)) of the rows that some of the folds train on.

    Weight 0 is cheaper than a copy of the other rows of X.
    """
    if folds.is_in_sample:
        return weights[0][:, experts] if len(experts) < weights.shape[-1] else weights[0]
    own = np.zeros((weights.shape[1], len(some), len(experts)))
    for number, fold in enumerate(some):
        train = folds.train(fold)
        own[train, number] = weights[fold, train][:, experts]
    return own.reshape(len(own), -1)


def fit_all(templates, X, y, weights):
    """Fit least squares with each column of weights.

    Parameters
    ----------
    templates : sequence of K supported estimators
    X : ndarray of shape (n_samples, n_features), float64 or float32
    y : ndarray of shape (n_samples,)
    weights : ndarray of shape (n_samples, K)

    Returns
    -------
    coef : ndarray of shape (K, n_features)
        NaN for an expert without any weight or whose equations are ill-conditioned.
    intercept : ndarray of shape (K,)
    """
    centre = np.append(np.ones(len(y), X.dtype) @ X / len(y), y.mean())
    return solve_all(templates, weighted_moments(X, y, centre, weights), centre)


def solve_all(templates, moments, centre):
    """Least squares from weighted second moments.

    Parameters
    ----------
    templates : sequence of K supported estimators
    moments : ndarray of shape (K, n_features + 2, n_features + 2)
        Of features, target and 1, less the centre.
    centre : ndarray of shape (n_features + 1,)

    Returns
    -------
    coef, intercept : ndarrays
        As of `fit_all`.
    """
    second, sums, total = moments[:, :-1, :-1], moments[:, -1, :-1], moments[:, -1, -1]
    weighty = total > 0.0
    total = np.where(weighty, total, 1.0)[:, np.newaxis]
    has_intercept = np.array([template.fit_intercept for template in templates])[:, np.newaxis]
    # From moments about `centre` to those about the weighted mean, or without an intercept zero.
    mean = sums / total
    cross = _outer(sums, centre)
    about_zero = cross + cross.swapaxes(1, 2) + total[..., np.newaxis] * np.outer(centre, centre)
    about_mean = -total[..., np.newaxis] * _outer(mean, mean)
    second = second + np.where(has_intercept[..., np.newaxis], about_mean, about_zero)
    alpha = np.array([getattr(template, "alpha", 0.0) for template in templates])
    coef = _solved(second[:, :-1, :-1], second[:, :-1, -1], alpha)
    coef[~weighty] = np.nan
    mean = np.where(has_intercept, mean + centre, 0.0)
    return coef, mean[:, -1] - np.einsum("kd,kd->k", mean[:, :-1], coef)


def _outer(first, second):
    """Outer products, of vectors or of rows with a vector."""
    return first[..., :, np.newaxis] * second[..., np.newaxis, :]


def _solved(second, cross, alpha):
    """Solutions (K, d) of the normal equations; NaN for those that are ill-conditioned."""
    size = second.shape[-1]
    second = second + alpha[:, np.newaxis, np.newaxis] * np.eye(size)
    squares = np.diagonal(second, axis1=1, axis2=2)
    sound = (squares > 0.0).all(axis=1) & np.isfinite(second).all(axis=(1, 2))
    scale = np.sqrt(np.where(sound[:, np.newaxis], squares, 1.0))
    scaled = np.where(
        sound[:, np.newaxis, np.newaxis], second / _outer(scale, scale), np.eye(size)
    )
    ratio = scale.max(axis=1) / scale.min(axis=1)
    solution, left = np.full(cross.shape, np.nan), sound
    if size >= FROM_CHOLESKY:
        for k in np.flatnonzero(sound):
            worst = min(WORST_CONDITION, WORST_RAW_CONDITION / ratio[k] ** 2)
            solution[k] = _by_cholesky(scaled[k], cross[k] / scale[k], worst)
        left = sound & np.isnan(solution[:, 0])
    left = np.flatnonzero(left)
    solution[left] = _by_eigenvectors(
        scaled[left], (cross / scale)[left], ratio[left], second[left]
    )
    return solution / scale


def _by_cholesky(matrix, cross, worst):
    """The solution (d,) if the matrix, of ones in its diagonal, is clearly well-conditioned."""
    factor, failed = dpotrf(matrix, lower=1)
    # The norm of the inverse is an estimate, too low by a factor of 3 at times (Higham, 1988).
    if failed or SLACK > worst * dpocon(factor, np.abs(matrix).sum(axis=0).max(), uplo="L")[0]:
        return np.nan
    return dpotrs(factor, cross, lower=1)[0]


def _by_eigenvectors(matrices, cross, ratio, raw):
    """Solutions (K, d); NaN where the matrices, or the raw ones, are ill-conditioned."""
    values, vectors = np.linalg.eigh(matrices)
    sound = values[:, -1] <= WORST_CONDITION * values[:, 0]
    for k in np.flatnonzero(sound):
        # This bounds the condition of the equations as they are, which costs more to know.
        if ratio[k] > np.sqrt(WORST_RAW_CONDITION * values[k, 0] / values[k, -1]):
            sound[k] = np.linalg.cond(raw[k]) <= WORST_RAW_CONDITION
    values = np.where(sound[:, np.newaxis], values, np.nan)
    rotated = np.einsum("kdj,kd->kj", vectors, cross) / values
    return np.einsum("kdj,kj->kd", vectors, rotated)
