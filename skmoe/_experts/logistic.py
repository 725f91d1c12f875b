"""Logistic regressions of all experts and classes at once, a few steps in each M-step.

They need not converge in an M-step: each goes on from the coefficients of the one before, and
every step raises the expected log-likelihood, which is all that EM asks for (generalised EM).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import softmax

from .pool import ExpertPool, HeldOutExperts

STEPS = 8
"""Steps of an M-step."""

PENALTY = 1.0
"""Half of it times the squares of the coefficients is subtracted; as with C=1 in scikit-learn."""


class LogisticPool(ExpertPool):
    """Experts that are logistic regressions of numbers, and are never final.

    Its problem has X of shape (n_samples, n_features), finite numbers, and a target of class
    codes. As ``models`` of the records stand the coefficients of each fold.
    """

    def fit_held_out(
        self, weights: np.ndarray, previous: HeldOutExperts | None = None, iteration: int = 1
    ) -> HeldOutExperts:
        """Improve the experts with new weights; see `ExpertPool.fit_held_out`."""
        problem, folds = self.problem, self.problem.folds
        weights, starved = self._feed(weights, previous)
        (n_classes,) = problem.likelihood.output_shape
        X = np.column_stack([problem.X, np.ones(len(problem.X))])
        targets = np.eye(n_classes)[problem.target]
        outputs = np.empty((*weights.shape[1:], n_classes))
        models: list[Any] = []
        for fold, (train, test) in enumerate(folds.splits):
            shape = (X.shape[1], weights.shape[-1], n_classes)
            coef = np.zeros(shape) if previous is None else previous.models[fold]
            coef = improved(coef, X[train], targets[train], weights[fold, train])
            models.append(coef)
            outputs[test] = probabilities(coef, X[test])
        if not folds.judged.all():  # of these nobody can say anything
            outputs[~folds.judged] = problem.likelihood.uninformed_output(
                problem.target, problem.sample_weight
            )
        return HeldOutExperts(outputs, weights, tuple(models), starved)


def improved(
    coef: np.ndarray, X: np.ndarray, targets: np.ndarray, weights: np.ndarray, n_steps: int = STEPS
) -> np.ndarray:
    """Coefficients after some steps towards the largest penalised log-likelihood.

    The Hessian is bounded by one that does not depend on the coefficients, nor on the class
    (Böhning, 1992): one inverse for each expert serves all steps, and none goes too far.

    Parameters
    ----------
    coef : ndarray of shape (d, K, C)
        Where to start.
    X : ndarray of shape (n, d)
        The last column is 1; its coefficients, the intercepts, are not penalised.
    targets : ndarray of shape (n, C)
        1 for the class of a row.
    weights : ndarray of shape (n, K)
    n_steps : int, default=STEPS

    Returns
    -------
    coef : ndarray of shape (d, K, C)

    References
    ----------
    Böhning, D. (1992). Multinomial logistic regression algorithm. Annals of the Institute of
    Statistical Mathematics, 44(1), 197-200.
    """
    penalty = np.append(np.full(X.shape[1] - 1, PENALTY), 1e-6 * PENALTY)
    moments = np.stack([(X * weight[:, np.newaxis]).T @ X for weight in weights.T])
    inverse = np.linalg.inv(0.5 * moments + np.diag(penalty))
    for _ in range(n_steps):
        residuals = targets[:, np.newaxis] - probabilities(coef, X)
        residuals *= weights[..., np.newaxis]
        gradient = (X.T @ residuals.reshape(len(X), -1)).reshape(coef.shape)
        gradient -= penalty[:, np.newaxis, np.newaxis] * coef
        coef = coef + (inverse @ gradient.transpose(1, 0, 2)).transpose(1, 0, 2)
    return coef


def probabilities(coef: np.ndarray, X: np.ndarray) -> np.ndarray:
    """Of the classes by each expert, shape (n, K, C)."""
    logits = (X @ coef.reshape(len(coef), -1)).reshape(len(X), *coef.shape[1:])
    return softmax(logits, axis=-1)
