"""Ridge and ordinary least squares for all experts at once.

Experts that are least squares on the same X differ in their weights alone. One pass over the
data yields the weighted second moments of all of them, from which small systems of equations
give the coefficients: what scikit-learn computes, without validating, weighting and centring X
anew for each expert and each iteration.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from sklearn.linear_model import LinearRegression, Ridge

from .._arithmetic import weighted_moments

WORST_CONDITION = 1e6
"""Systems that are worse conditioned, with columns of equal length, are left to scikit-learn,
which does not square the condition of X."""

WORST_RAW_CONDITION = 1e10
"""The same with columns as they are: scikit-learn takes a column that is a million times
shorter than another for zero."""

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
        Only float64 arrays are supported.
    y : ndarray

    Returns
    -------
    supported : bool
    """
    if not isinstance(X, np.ndarray) or X.dtype != np.float64:
        return False
    if y.ndim != 1 or y.dtype != np.float64 or not 0 < X.shape[1] <= len(X):
        return False
    return allows(template)


def allows(template):
    """Whether an expert is of a kind, and has parameters, that this module does the same for."""
    allowed = SUPPORTED.get(type(template))
    if allowed is None or not np.isscalar(getattr(template, "alpha", 0.0)):
        return False
    parameters = template.get_params(deep=False)
    return all(values is None or parameters[name] in values for name, values in allowed.items())


def held_out_predictions(experts, templates, problem, weights):
    """Fit experts on the training part of each split and predict the test part.

    Parameters
    ----------
    experts : list of int
        Those that are supported.
    templates : sequence of K estimators
    problem : Problem
        Its X is a float64 array.
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
    for (train, test), weight in zip(folds.splits if experts else (), weights, strict=False):
        if len(experts) < weight.shape[1]:
            weight = weight[:, experts]
        if folds.is_in_sample:
            coef, intercept = fit_all(chosen, X, y, weight)
            np.add(X @ coef.T, intercept, out=outputs)
        else:  # weight 0 is cheaper than a copy of the other rows of X
            own = np.zeros_like(weight)
            own[train] = weight[train]
            coef, intercept = fit_all(chosen, X, y, own)
            outputs[test] = X[test] @ coef.T + intercept
    usable = np.isfinite(np.ones(len(y)) @ outputs)  # sums, at the speed of BLAS
    return {k: outputs[:, column] for column, k in enumerate(experts) if usable[column]}


def fit_all(templates, X, y, weights):
    """Fit least squares with each column of weights.

    Parameters
    ----------
    templates : sequence of K supported estimators
    X : ndarray of shape (n_samples, n_features), float64
    y : ndarray of shape (n_samples,)
    weights : ndarray of shape (n_samples, K)

    Returns
    -------
    coef : ndarray of shape (K, n_features)
        NaN for an expert without any weight or whose equations are ill-conditioned.
    intercept : ndarray of shape (K,)
    """
    centre = np.append(np.ones(len(y)) @ X / len(y), y.mean())
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
    coef = np.full((len(templates), len(centre) - 1), np.nan)
    intercept = np.full(len(templates), np.nan)
    for k, template in enumerate(templates):
        mean, offset = np.zeros_like(centre), 0.0
        total = moments[k, -1, -1]
        if not total > 0.0:
            continue
        second = moments[k, :-1, :-1]
        if template.fit_intercept:
            mean = moments[k, -1, :-1] / total
            second = second - total * np.outer(mean, mean)
            mean = mean + centre
        else:  # moments about zero, not about the centre
            sums = moments[k, -1, :-1]
            cross = np.outer(sums, centre)
            second = second + cross + cross.T + total * np.outer(centre, centre)
        solution = _solve(second[:-1, :-1], second[:-1, -1], getattr(template, "alpha", 0.0))
        if solution is not None:
            coef[k] = solution
            offset = mean[-1] - mean[:-1] @ solution
            intercept[k] = offset
    return coef, intercept


def _solve(second, cross, alpha):
    """Solve the normal equations; None if they are ill-conditioned."""
    second = second.copy()
    second.flat[:: len(second) + 1] += alpha
    scale = np.sqrt(second.diagonal())
    if not (scale > 0).all():
        return None
    scaled = second / np.outer(scale, scale)
    if not np.linalg.cond(scaled) <= WORST_CONDITION:
        return None
    if not np.linalg.cond(second) <= WORST_RAW_CONDITION:
        return None
    return cho_solve(cho_factor(scaled), cross / scale) / scale
