"""Logistic regressions of all experts and folds at once, a few steps in each M-step.

They need not converge in an M-step: each goes on from the coefficients of the one before, and
every step raises the expected log-likelihood, which is all that EM asks for (generalised EM;
Dempster, Laird and Rubin, 1977). What is judged in the end are fits of scikit-learn.
"""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from .._arithmetic.threads import one_blas_thread
from .._likelihoods import Categorical, Likelihood

STEPS = 2
"""Steps of an M-step."""

FIRST_STEPS = 4
"""Steps of the first one, which starts from nothing."""

MOST_COEFFICIENTS = 600
"""An expert of more is left to scikit-learn: a step takes a matrix of features for each class."""

SLIGHT = 1e-3
"""Responsibility for a row below which it is left out of an expert's Hessian.

Most rows are those of other experts. A step is checked in any case.
"""

NUMBERS_AT_A_TIME = 1_000_000
"""Of rows, classes and experts whose probabilities are in memory at a time."""

SUPPORTED: dict[str, tuple] = {
    "penalty": ("l2", "deprecated"),
    "l1_ratio": (0, None),
    "dual": (False,),
    "fit_intercept": (True,),
    "class_weight": (None,),
    "solver": ("lbfgs", "newton-cg", "newton-cholesky"),
    "multi_class": ("auto", "deprecated", "multinomial"),
}
"""Values of parameters for which this module does the same; whichever there are."""


def supports(template: Any, X: Any, likelihood: Likelihood) -> bool:
    """Whether an expert is a logistic regression that `held_out_probabilities` can train."""
    if type(template) is not LogisticRegression or not isinstance(X, np.ndarray):
        return False
    if not isinstance(likelihood, Categorical):
        return False
    (n_classes,) = likelihood.output_shape
    if X.dtype.kind != "f" or not 0 < n_classes * (X.shape[1] + 1) <= MOST_COEFFICIENTS:
        return False
    parameters = template.get_params(deep=False)
    if not isinstance(parameters["C"], Real) or not 1e-6 <= float(parameters["C"]) <= 1e6:
        return False
    return all(
        parameters[name] in values for name, values in SUPPORTED.items() if name in parameters
    )


def held_out_probabilities(experts, templates, problem, weights, coef=None):
    """Improve experts on the training part of each split, and predict the test part.

    Parameters
    ----------
    experts : list of int
        Those that are supported.
    templates : sequence of K estimators
    problem : Problem
        X is an array of finite floats, and the target consists of class codes.
    weights : ndarray of shape (n_folds, n_samples, K)
    coef : ndarray of shape (n_features + 1, C, n_folds * len(experts)), default=None
        Where to start.

    Returns
    -------
    probabilities : dict of int to ndarray of shape (n_samples, C)
        Of no expert if X is not finite.
    coef : ndarray
        Where to go on from in the next M-step.
    """
    if not experts or not np.isfinite(problem.X.sum()):
        return {}, None
    folds, (n_classes,) = problem.folds, problem.likelihood.output_shape
    X = np.column_stack([problem.X, np.ones(len(problem.X))])
    own = np.zeros((len(X), len(folds), len(experts)))
    for fold, (train, _) in enumerate(folds.splits):
        own[train, fold] = weights[fold][np.ix_(train, experts)]
    penalty = np.array([1.0 / templates[expert].C for expert in experts] * len(folds))
    n_steps = STEPS
    if coef is None:
        n_steps = FIRST_STEPS
        coef = np.zeros((X.shape[1], n_classes, len(folds) * len(experts)))
    of_fits = own.reshape(len(X), -1)
    slight = SLIGHT * problem.sample_weight
    coef = improved(coef, X, problem.target, of_fits, penalty, n_steps, slight)
    outputs = np.empty((len(X), len(experts), n_classes))
    by_fold = coef.reshape(*coef.shape[:2], len(folds), len(experts))
    for fold, (_, test) in enumerate(folds.splits):
        log_proba = log_probabilities(by_fold[:, :, fold], X[test])
        outputs[test] = np.exp(log_proba).transpose(0, 2, 1)
    return {expert: outputs[:, column] for column, expert in enumerate(experts)}, coef


def improved(
    coef: np.ndarray,
    X: np.ndarray,
    codes: np.ndarray,
    weights: np.ndarray,
    penalty: np.ndarray,
    n_steps: int,
    slight: np.ndarray,
) -> np.ndarray:
    """Coefficients after some steps towards the largest penalised log-likelihood.

    A step is one of Newton's with the blocks of the Hessian that belong to a class, widened by
    C / (C - 1): of two classes that is Newton's own, of more about what their opposition leaves of
    it. After a step that went too far, the next one is with a bound of the Hessian (Böhning,
    1992), which always gains.

    Parameters
    ----------
    coef : ndarray of shape (d, C, M)
        Where to start; of M regressions.
    X : ndarray of shape (n, d)
        The last column is 1; its coefficients, the intercepts, are not penalised.
    codes : ndarray of shape (n,)
        Of the classes.
    weights : ndarray of shape (n, M)
    penalty : ndarray of shape (M,)
        Half of it times the squares of the coefficients is subtracted; of two classes, times the
        square of the difference of their coefficients, as in scikit-learn.
    n_steps : int
    slight : ndarray of shape (n,)
        Weights up to which a row is left out of a Hessian, but not of a bound.

    Returns
    -------
    coef : ndarray of shape (d, C, M)

    References
    ----------
    Böhning, D. (1992). Multinomial logistic regression algorithm. Annals of the Institute of
    Statistical Mathematics, 44(1), 197-200.
    """
    strength = np.where(np.arange(len(coef)) < len(coef) - 1, 1.0, 1e-6)[:, np.newaxis] * penalty
    if coef.shape[1] == 2:
        strength = 2.0 * strength
    too_far = np.zeros(len(penalty), dtype=bool)
    with one_blas_thread():  # more wait for each other, product by small product
        value = _value(coef, X, codes, weights, strength)
        for _ in range(n_steps):
            reached = coef + _change(coef, X, codes, weights, strength, slight, too_far)
            then = _value(reached, X, codes, weights, strength)
            too_far = then < value
            coef, value = np.where(too_far, coef, reached), np.maximum(then, value)
    return coef


def _chunks(coef, X, codes, weights):
    """Some rows at a time: which, X, positions and codes, log-probabilities, weights."""
    size = max(NUMBERS_AT_A_TIME // (coef.shape[1] * coef.shape[2]), 1)
    for first in range(0, len(X), size):
        rows = slice(first, first + size)
        chosen = np.arange(len(X[rows])), codes[rows]
        yield rows, X[rows], chosen, log_probabilities(coef, X[rows]), weights[rows]


def _value(coef, X, codes, weights, strength):
    """Penalised log-likelihood (M,)."""
    value = -0.5 * np.einsum("dm,dcm,dcm->m", strength, coef, coef)
    for _, _, chosen, log_proba, weight in _chunks(coef, X, codes, weights):
        value += np.einsum("nm,nm->m", weight, log_proba[chosen])
    return value


def _change(coef, X, codes, weights, strength, slight, bounded):
    """The step to take, with the bound of the Hessian for those that are `bounded` (M,)."""
    d, n_classes, n_fits = coef.shape
    gradient = -strength[:, np.newaxis] * coef
    # Of two classes, what is curved for one is curved for the other.
    n_blocks = 1 if n_classes == 2 else n_classes
    widening = n_classes / max(n_classes - 1, 1)
    curvature = np.zeros((n_blocks * n_fits, d, d))
    for rows, own, chosen, log_proba, weight in _chunks(coef, X, codes, weights):
        proba = np.exp(log_proba)
        residual = -proba * weight[:, np.newaxis]
        residual[chosen] += weight
        gradient += (own.T @ residual.reshape(len(own), -1)).reshape(coef.shape)
        proba = proba[:, :n_blocks]
        heavy = (weight > slight[rows, np.newaxis])[:, np.newaxis]
        curved = np.where(bounded, 0.5, widening * proba * (1.0 - proba) * heavy)
        curved = (curved * weight[:, np.newaxis]).reshape(len(own), -1).T
        for block, column in zip(curvature, curved, strict=True):
            bends = np.flatnonzero(column)
            scaled = own[bends] * np.sqrt(column[bends])[:, np.newaxis]
            block += scaled.T @ scaled
    curvature = curvature.reshape(n_blocks, n_fits, d, d)
    curvature[..., np.arange(d), np.arange(d)] += strength.T
    by_class = gradient.transpose(1, 2, 0)[..., np.newaxis]
    return np.linalg.solve(curvature, by_class)[..., 0].transpose(2, 0, 1)


def log_probabilities(coef: np.ndarray, X: np.ndarray) -> np.ndarray:
    """Of the classes by each regression, shape (n, C, M)."""
    logits = (X @ coef.reshape(len(coef), -1)).reshape(len(X), *coef.shape[1:])
    logits -= logits.max(axis=1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return logits
