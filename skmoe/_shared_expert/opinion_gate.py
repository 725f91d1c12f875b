"""Weights of the experts that depend on features and on what the experts say.

The gate of a mixture must not ask the experts: it decides whom to ask. What is trained here has
heard all of them. It is trained on the loss of the mixed prediction and not on the likelihood,
which also wants the density of each expert to be right where it speaks.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from .._arithmetic import softmax
from .._compat import Record
from .._data.folds import Folds
from .._likelihoods import Likelihood

PENALTIES = (3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003)
"""Candidates of the penalty, the strongest first: each fit starts from the one before."""

PATIENCE = 2
"""Penalties in a row that do not help, after which weaker ones are not tried."""

MOST_ROWS = 20_000
"""Rows that a gate learns from, at most: more do not change so few coefficients."""

PRIOR_ROWS = 8.0
"""Rows that speak for equal weights when predictions are blended."""

SMALLEST_PROBABILITY = 1e-6
"""Probabilities below this are read as this where their logarithm is taken."""


@dataclass(frozen=True, eq=False)
class OpinionGate(Record):
    """A softmax of standardised evidence that mixes experts.

    Attributes
    ----------
    mean, inverse : ndarrays of shape (n_columns,)
        Of the evidence; a missing value is read as the mean.
    coef : ndarray of shape (n_columns + 1, n_experts)
        For the standardised evidence; the last row is the intercept.
    """

    mean: np.ndarray
    inverse: np.ndarray
    coef: np.ndarray

    def proba(self, evidence: np.ndarray) -> np.ndarray:
        """Weights (n_samples, n_experts) of the experts."""
        return softmax(_standardised(evidence, self.mean, self.inverse) @ self.coef)

    def predict(self, evidence: np.ndarray, components: np.ndarray) -> np.ndarray:
        """The mixed prediction (n_samples, ...)."""
        return mixed(self.proba(evidence), components)


def mixed(proba: np.ndarray, components: np.ndarray) -> np.ndarray:
    """Mean of components (n, K, ...) with weights (n, K)."""
    return np.einsum("ik,ik...->i...", proba, components)


def opinion_statistics(opinions: np.ndarray, classifier: bool) -> list[np.ndarray]:
    """What a gate can learn from how the experts answer, arrays of shape (n_samples, n_columns).

    Of real opinions the mean, each one's deviation from it, and their spread. Of probabilities
    how sure each expert is (the largest, and the entropy), how far it is from the mean of all, and
    the entropy of that mean.

    Parameters
    ----------
    opinions : ndarray of shape (n_samples, n_experts, ...)
    classifier : bool
    """
    mean = opinions.mean(axis=1, keepdims=True)
    if not classifier:
        flat = (len(opinions), -1)
        deviation = (opinions - mean).reshape(flat)
        return [mean.reshape(flat), deviation, opinions.std(axis=1).reshape(flat)]
    distance = np.abs(opinions - mean).sum(axis=2)
    return [opinions.max(axis=2), _entropy(opinions), _entropy(mean), distance]


def fit_opinion_gate(
    evidence: np.ndarray,
    components: np.ndarray,
    target: np.ndarray,
    sample_weight: np.ndarray,
    folds: Folds,
    likelihood: Likelihood,
) -> tuple[OpinionGate, np.ndarray]:
    """Fit a gate, and say what it predicts for rows that it has not seen.

    The penalty is that of the smallest held-out loss. What is chosen amiss does little harm: the
    gate is one of several that are weighed against each other.

    Parameters
    ----------
    evidence : ndarray of shape (n_samples, n_columns)
    components : ndarray of shape (n_samples, n_experts, ...)
        Held-out predictions of the experts, floors included.
    target : ndarray
        As the likelihood takes it.
    sample_weight : ndarray of shape (n_samples,)
    folds : Folds
    likelihood : Likelihood

    Returns
    -------
    gate : OpinionGate
        Fitted on all rows.
    held_out : ndarray of shape (n_samples, ...)
    """

    def path(rows):
        own = evidence[rows], components[rows], target[rows], sample_weight[rows]
        return _path(*own, likelihood)

    # The first fold of a time series has nobody before it, and no gate.
    paths = [path(train) if len(train) else itertools.repeat(None) for train, _ in folds.splits]
    smallest, chosen, best = np.inf, 0, components.mean(axis=1)
    for number, gates in enumerate(itertools.islice(zip(*paths, strict=False), len(PENALTIES))):
        held_out = np.empty_like(best)
        for gate, (_, test) in zip(gates, folds.splits, strict=True):
            own = components[test]
            held_out[test] = (
                own.mean(axis=1) if gate is None else gate.predict(evidence[test], own)
            )
        loss = np.average(likelihood.loss(target, held_out), weights=sample_weight)
        if loss < smallest:
            smallest, chosen, best = loss, number, held_out
        elif number - chosen == PATIENCE:  # the next are the weakest, which take the longest
            break
    return next(itertools.islice(path(slice(None)), chosen, None)), best


def _path(evidence, components, target, weight, likelihood):
    """Gates for one penalty after the other, each from the one before, as they are asked for."""
    if len(target) > MOST_ROWS:  # the first ones of a random order that is always the same
        rows = np.random.RandomState(0).permutation(len(target))[:MOST_ROWS]
        evidence, components, target, weight = (
            part[rows] for part in (evidence, components, target, weight)
        )
    mean, inverse = _moments(evidence, weight)
    design = _standardised(evidence, mean, inverse)
    weight = _in_nats(weight, components, target, likelihood)
    objective = MixingLoss(design, components, target, weight, likelihood)
    coef = np.zeros((design.shape[1], components.shape[1]))
    for penalty in PENALTIES:
        coef = objective.minimised(coef, penalty)
        yield OpinionGate(mean, inverse, coef)


def blending_weights(
    predictions: list[np.ndarray],
    target: np.ndarray,
    sample_weight: np.ndarray,
    likelihood: Likelihood,
) -> np.ndarray:
    """Weights of predictions that were made for held-out rows; they sum to 1.

    `PRIOR_ROWS` rows speak for equal weights, so that few rows do not choose among predictions
    that are about as good.

    Parameters
    ----------
    predictions : list of ndarrays of shape (n_samples, ...)
    target : ndarray
    sample_weight : ndarray of shape (n_samples,)
    likelihood : Likelihood

    Returns
    -------
    weights : ndarray of shape (len(predictions),)

    References
    ----------
    van der Laan, M. J., Polley, E. C. and Hubbard, A. E. (2007). Super learner. Statistical
    Applications in Genetics and Molecular Biology, 6(1).
    """
    n_rows = np.square(sample_weight.sum()) / np.square(sample_weight).sum()
    ones = np.ones((len(target), 1))
    components = np.stack(predictions, axis=1)
    weight = _in_nats(sample_weight, components, target, likelihood)
    prior = PRIOR_ROWS / n_rows / weight.sum()
    objective = MixingLoss(ones, components, target, weight, likelihood, prior)
    return softmax(objective.minimised(np.zeros((1, len(predictions))), 0.0))[0]


def _in_nats(sample_weight, components, target, likelihood):
    """Weights (n,) of rows that make of mixing losses a mean in nats, for the best component.

    In units of the target's spread, penalties and the rows before would have the more to say the
    better the predictions are, and the smallest losses would be nothing to the solver.
    """
    weight = sample_weight / sample_weight.sum()
    losses = [
        weight @ likelihood.mixing_loss(target, each)[0] for each in components.swapaxes(0, 1)
    ]
    return weight / likelihood.nat(float(min(losses)))


@dataclass(frozen=True, eq=False)
class MixingLoss:
    """Loss of components that are mixed by a softmax of linear scores.

    Attributes
    ----------
    design : ndarray of shape (n_samples, n_columns)
        The last column is the intercept, which is not penalised.
    components : ndarray of shape (n_samples, n_experts, ...)
    target : ndarray
    weight : ndarray of shape (n_samples,)
    likelihood : Likelihood
    prior : float, default=0.0
        Weight of the cross-entropy between equal weights and those of each row.
    """

    design: np.ndarray
    components: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    likelihood: Likelihood
    prior: float = 0.0

    def minimised(self, start: np.ndarray, penalty: float) -> np.ndarray:
        """Coefficients (n_columns, n_experts) of the smallest penalised loss."""

        def value_and_gradient(flat):
            value, gradient = self.at(flat.reshape(start.shape), penalty)
            return value, gradient.ravel()

        found = minimize(
            value_and_gradient,
            start.ravel(),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 200, "ftol": 1e-7, "gtol": 1e-5},
        )
        return found.x.reshape(start.shape)

    def at(self, coef: np.ndarray, penalty: float) -> tuple[float, np.ndarray]:
        """Value and gradient at some coefficients."""
        log_proba = log_softmax(self.design @ coef, axis=1)
        proba = np.exp(log_proba)
        whole = mixed(proba, self.components)
        loss, slope = self.likelihood.mixing_loss(self.target, whole)
        n_samples, n_experts = proba.shape
        flat = self.components.reshape(n_samples, n_experts, -1)
        along = np.einsum("ij,ikj->ik", slope.reshape(n_samples, -1), flat)
        pull = proba * (along - np.einsum("ik,ik->i", proba, along)[:, np.newaxis])
        value = self.weight @ loss
        if self.prior:
            value -= self.prior * (self.weight @ log_proba.mean(axis=1))
            pull = pull + self.prior * (proba - 1.0 / proba.shape[1])
        gradient = self.design.T @ (self.weight[:, np.newaxis] * pull)
        value += 0.5 * penalty * np.square(coef[:-1]).sum()
        gradient[:-1] += penalty * coef[:-1]
        return float(value), gradient


def _moments(evidence, weight):
    """Means and inverse standard deviations of columns with gaps; 0 for a constant column."""
    known = np.isfinite(evidence)
    total = np.maximum(weight @ known, np.finfo(float).tiny)
    mean = weight @ np.where(known, evidence, 0.0) / total
    centred = np.where(known, evidence - mean, 0.0)
    deviation = np.sqrt(weight @ np.square(centred) / total)
    varies = deviation > 1e-9 * np.maximum(np.abs(mean), 1e-9)
    return mean, np.divide(1.0, deviation, out=np.zeros_like(mean), where=varies)


def _standardised(evidence, mean, inverse):
    """Standardised columns, 0 where a value is missing, and a column of ones."""
    centred = np.where(np.isfinite(evidence), evidence - mean, 0.0)
    design = np.ones((len(evidence), len(mean) + 1))
    np.multiply(centred, inverse, out=design[:, :-1])
    return design


def _entropy(proba):
    """Entropy (n, K) of probabilities (n, K, C)."""
    return -np.sum(proba * np.log(np.maximum(proba, SMALLEST_PROBABILITY)), axis=2)
