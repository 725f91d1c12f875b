"""Blends: experts weighed alike for all rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import nnls
from scipy.special import expit
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression, RidgeCV

from .._arithmetic import softmax
from .._compat import Record
from .._likelihoods import MIN_FLOOR, Categorical

SMALLEST_OPINION = 1e-3
"""Probabilities below this are read as this, lest one expert that is certain outvote the rest."""

SMALLEST_PART = 0.1
"""Part of a class's blended probability that the correction leaves it at least."""

INVERSE_PENALTIES = (0.03, 0.3)
"""Candidates of the penalty (scikit-learn's ``C``) of pooled log-probabilities.

Weaker ones are left out: 1 was chosen where rows are few, and did harm to new ones.
"""


RIDGE_PENALTIES = np.logspace(-3, 2, 6)
"""Candidates of the penalty of a linear blend, in variances of the opinions."""


@dataclass(frozen=True, eq=False)
class RealBlend(Record, ABC):
    """Base of the blends of real opinions.

    Attributes
    ----------
    scale : ndarray of shape (n_outputs,)
        In which errors of several outputs are compared.
    """

    scale: np.ndarray

    @abstractmethod
    def fit(self, opinions, target, sample_weight):
        """A copy, fitted to opinions (n, n_opinions, ...)."""

    @abstractmethod
    def predict(self, opinions):
        """Blend opinions (n, n_opinions, ...) to predictions (n, ...)."""

    def left_over(self, target, blended):
        """What the correction has to learn, (n, n_columns)."""
        return (target - blended).reshape(len(target), -1)

    def corrected(self, blended, correction):
        """The blend with a correction (n, n_columns)."""
        return blended + correction.reshape(blended.shape)


@dataclass(frozen=True, eq=False)
class MeanBlend(RealBlend):
    """Mean of real opinions with constant weights, none negative, that sum to 1 (Breiman, 1996).

    Attributes
    ----------
    weights : ndarray of shape (n_opinions,), or None before `fit`

    References
    ----------
    Breiman, L. (1996). Stacked regressions. Machine Learning, 24(1), 49-64.
    """

    weights: Any = None

    def fit(self, opinions, target, sample_weight):
        """A copy with the weights of least squares.

        Weights a that sum to 1 make the blend's error E a, the mean of the opinions' errors E.
        Non-negative least squares with the rows E a = 0 and ``c sum(a) = c`` has a solution in
        the direction of the constrained one: of all multiples s v of a direction v, the best
        has the loss ``c^2 q / (q + c^2)``, which rises with ``q = |E v|^2``, whatever c is.
        """
        n_opinions = opinions.shape[1]
        errors = opinions - target[:, np.newaxis]
        errors = errors.reshape(len(target), n_opinions, -1) / self.scale
        errors = errors * np.sqrt(sample_weight)[:, np.newaxis, np.newaxis]
        small: Any = np.linalg.qr(np.moveaxis(errors, 1, 2).reshape(-1, n_opinions), mode="r")
        size = np.linalg.norm(small) or 1.0
        rows = np.vstack([small / size, np.ones(n_opinions)])
        weights, _ = nnls(rows, np.append(np.zeros(len(small)), 1.0))
        return replace(self, weights=weights / weights.sum())

    def predict(self, opinions):
        """Blend opinions (n, n_opinions, ...) to predictions (n, ...)."""
        return np.einsum("k,ik...->i...", self.weights, opinions)


@dataclass(frozen=True, eq=False)
class LinearBlend(RealBlend):
    """Ridge regression on the opinions, as in `StackingRegressor`.

    Weights may be negative and need not sum to 1, and there is an intercept: experts that all err
    to the same side, or exaggerate, are set right.

    Attributes
    ----------
    coef : ndarray of shape (n_outputs, n_opinions * n_outputs), or None before `fit`
    intercept : ndarray of shape (n_outputs,), or None before `fit`
    """

    coef: Any = None
    intercept: Any = None

    def fit(self, opinions, target, sample_weight):
        """A copy with the regression fitted; the penalty is chosen by leaving out single rows."""
        seen = (opinions.reshape(*opinions.shape[:2], -1) / self.scale).reshape(len(target), -1)
        wanted = target.reshape(len(target), -1) / self.scale
        size = max(float(seen.var()), np.finfo(float).tiny)
        model = RidgeCV(RIDGE_PENALTIES * size).fit(seen, wanted, unless_alike(sample_weight))
        n_opinions = opinions.shape[1]
        units = self.scale[:, np.newaxis] / np.tile(self.scale, n_opinions)
        coef = model.coef_.reshape(len(self.scale), -1) * units
        return replace(self, coef=coef, intercept=np.ravel(model.intercept_) * self.scale)

    def predict(self, opinions):
        """Blend opinions (n, n_opinions, ...) to predictions (n, ...)."""
        seen = opinions.reshape(len(opinions), self.coef.shape[1])
        said = seen @ self.coef.T + self.intercept
        return said.reshape(len(opinions), *opinions.shape[2:])


@dataclass(frozen=True, eq=False)
class ClassBlend(Record):
    """Logistic regression on the logarithms of the experts' probabilities.

    A product of powers of the opinions, so that experts that know different things add up what
    they know, and one that is too sure of itself is tempered.

    Attributes
    ----------
    likelihood : Categorical
    inverse_penalty : float
    model : fitted classifier, or None before `fit`
    """

    likelihood: Any
    inverse_penalty: float
    model: Any = None

    def fit(self, opinions, target, sample_weight):
        """A copy with the regression fitted to class codes."""
        model = LogisticRegression(C=self.inverse_penalty, max_iter=1000)
        if np.all(target == target[0]):  # the other classes are in one fold
            model = DummyClassifier()
        classes = self.likelihood.classes
        model.fit(self.seen(opinions), classes[target], unless_alike(sample_weight))
        return replace(self, model=model)

    def seen(self, opinions):
        """Features of the regression, (n, n_features)."""
        logs = np.log(np.maximum(opinions, SMALLEST_OPINION))
        return _without_redundancy(logs - logs.mean(axis=2, keepdims=True))

    def predict(self, opinions):
        """Class probabilities (n, C) for opinions (n, n_opinions, C)."""
        if len(opinions) == 0:
            return np.empty((0, opinions.shape[2]))
        proba = self.likelihood.align(self.model, _probabilities(self.model, self.seen(opinions)))
        return self.likelihood.component(proba, MIN_FLOOR)

    def left_over(self, target, blended):
        """What the correction has to learn: the gradient of the log-loss by the logits."""
        return _without_redundancy((np.eye(blended.shape[1])[target] - blended)[:, np.newaxis])

    def corrected(self, blended, correction):
        """Corrected probabilities; no class loses all that it had."""
        if correction.shape[1] == 1:  # what one class of two gains the other loses
            correction = np.hstack([-correction, correction])
        proba = np.maximum(blended + correction, SMALLEST_PART * blended)
        return proba / proba.sum(axis=1, keepdims=True)


@dataclass(frozen=True, eq=False)
class LinearClassBlend(ClassBlend):
    """Logistic regression on the probabilities themselves, as in `StackingClassifier`."""

    def seen(self, opinions):
        """Features of the regression, (n, n_features)."""
        return _without_redundancy(opinions)


def _probabilities(model, features):
    """What a model's `predict_proba` says; a regression's without checks of our own features."""
    if not isinstance(model, LogisticRegression):
        return model.predict_proba(features)
    logits = features @ model.coef_.T + model.intercept_
    if logits.shape[1] > 1:
        return softmax(logits)
    second = expit(logits)
    return np.hstack([1.0 - second, second])


def _without_redundancy(opinions):
    """Opinions (n, n_opinions, C) as columns; of two classes, one says what the other does."""
    if opinions.shape[2] == 2:
        opinions = opinions[:, :, 1:]
    return opinions.reshape(len(opinions), -1)


def best_blend(opinions, target, sample_weight, folds, likelihood):
    """The blend that suits best, and what it predicts for held-out rows."""
    candidates: list[Any]
    if isinstance(likelihood, Categorical):
        candidates = [ClassBlend(likelihood, penalty) for penalty in INVERSE_PENALTIES]
        candidates.append(LinearClassBlend(likelihood, 1.0))
    else:
        candidates = [MeanBlend(likelihood.min_scale), LinearBlend(likelihood.min_scale)]
    smallest, best = np.inf, (candidates[0], np.empty(0))
    for blend in candidates:
        held_out = np.empty((len(target), *likelihood.output_shape))
        for train, test in folds.splits:
            if not len(train):  # opinions on the rows before are not known
                held_out[test] = likelihood.component(opinions[test].mean(axis=1), MIN_FLOOR)
                continue
            fitted = blend.fit(opinions[train], target[train], sample_weight[train])
            held_out[test] = fitted.predict(opinions[test])
        loss = np.average(likelihood.loss(target, held_out), weights=sample_weight)
        if loss < smallest:
            smallest, best = loss, (blend, held_out)
    return best


def unless_alike(weight):
    """Weights, or None if they are all the same: estimators are then faster."""
    return None if np.all(weight == weight[0]) else weight


def one_column(values):
    """Targets as forests want them: a single output is a vector."""
    return values[:, 0] if values.shape[1] == 1 else values
