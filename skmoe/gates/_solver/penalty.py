"""The penalty of a softmax gate, chosen by cross-validating the gate alone.

Experts cost much and the gate little, so the choice is made on responsibilities as they are: by
the cross-entropy of those of held-out rows with what the gate predicts for them. Folds are fixed;
the same rows get the same penalty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .problem import SoftmaxProblem

PENALTIES = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
"""Candidates, strongest first: each starts from the solution of the one before."""

PROVISIONAL = 1e-3
"""Penalty where none has been chosen yet."""

N_FOLDS = 5

ACCURACY = 1e-5
"""To which the gates of a comparison are trained, in units of the cross-entropy per row."""


def choose_penalty(problem: SoftmaxProblem, targets: np.ndarray, weights: np.ndarray) -> float:
    """Find the candidate of the least held-out cross-entropy; the stronger one in a tie.

    Parameters
    ----------
    problem : SoftmaxProblem
    targets : ndarray of shape (n_samples, n_experts)
    weights : ndarray of shape (n_samples,)
        Rows of weight 0 take no part.

    Returns
    -------
    penalty : float
        `PROVISIONAL` if there are too few rows to compare.
    """
    present = np.flatnonzero(weights)
    if len(present) < N_FOLDS or targets.shape[1] == 1:
        return PROVISIONAL
    fold = np.full(len(weights), -1)
    fold[present] = np.random.RandomState(0).permutation(len(present)) % N_FOLDS
    losses = np.zeros(len(PENALTIES))
    for own in range(N_FOLDS):
        held_out, start = fold == own, None
        training = np.where(held_out, 0.0, weights)
        for candidate, penalty in enumerate(PENALTIES):
            solution = problem.with_alpha(penalty).solve(targets, training, start, ACCURACY)
            start = solution._replace(memory=None)  # which is of another penalty
            log_proba = problem.log_proba(solution)[held_out]
            losses[candidate] -= weights[held_out] @ np.sum(targets[held_out] * log_proba, axis=1)
    return PENALTIES[int(np.argmin(losses))]
