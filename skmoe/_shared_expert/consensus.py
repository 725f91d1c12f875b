"""The consensus: what all experts say together, corrected where they err together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.ensemble import ExtraTreesRegressor

from .._compat import Record
from .._data.columns import NumericView, numbers_of
from .._data.problem import Problem
from .blends import (
    best_blend,
    one_column,
    unless_alike,
)

N_TREES = 50
"""Trees of the correction."""

MIN_LEAF_ROWS = 5
"""Rows in a leaf of the correction: it is after errors that neighbours have in common."""

MOST_COLUMNS = 24
"""Columns at most that the correction compares for a split; all do not help it, but take long."""

MOST_SPARSE_COLUMNS = 100
"""Sparse columns beyond this (words, say) are not seen: few trees would ask for any of them."""

STRENGTHS = np.linspace(0.0, 1.0, 21)
"""Candidates of the part of the correction that is applied."""


@dataclass(frozen=True, eq=False)
class Consensus(Record):
    """A blend of the experts' opinions, and a forest that corrects it.

    Stacked generalisation (Wolpert, 1992), and a local correction: the blend weighs experts
    alike for all x. A forest is trained on what it leaves over, and sees features and opinions;
    it finds the regions where all experts err to the same side, which no weighting could mend.

    Attributes
    ----------
    blend : MeanBlend or ClassBlend
    correction : fitted ExtraTreesRegressor, or None where it does not help
    strength : float in [0, 1]
        Part of the correction that is applied.
    columns : ndarray of intp
        The features that the correction sees; none if there are many and sparse.
    view : NumericView, default=None
        What turns the gate's columns into features; None where they are numbers already.

    References
    ----------
    Wolpert, D. H. (1992). Stacked generalization. Neural Networks, 5(2), 241-259.
    """

    blend: Any
    correction: Any
    strength: float
    columns: np.ndarray
    view: NumericView | None = None

    def predict(self, opinions, Z):
        """Predict.

        Parameters
        ----------
        opinions : ndarray of shape (n_samples, n_opinions, ...)
            Outputs of the experts.
        Z : array, sparse matrix or frame of shape (n_samples, n_gate_features)

        Returns
        -------
        output : ndarray of shape (n_samples, ...)
            Means, or class probabilities.
        """
        blended = self.blend.predict(opinions)
        if self.correction is None or len(blended) == 0:
            return blended
        features = numbers_of(self.view, Z)
        correction = _forest_mean(self.correction, _evidence(opinions, features, self.columns))
        return self.blend.corrected(blended, self.strength * correction)


def fit_consensus(
    opinions: np.ndarray, gate: Any, Z: Any, problem: Problem, seed: int
) -> tuple[Consensus, np.ndarray]:
    """Fit a consensus on held-out opinions, and say what it predicts for rows it has not seen.

    The opinions must not be cross-fitted over again as if they were features. An opinion on row
    i comes from a model that has seen row j of another fold; so what is left over of row i has
    learned from the noise of row j, with the opposite sign, and a correction that is trained on
    row i and judged on row j looks harmful where it helps. Rows of one fold, however, got their
    opinions from models that have seen none of them. Hence a row is judged by what is left over
    of rows of its own fold that are with it in the leaves of those trees that did not draw it.
    These are fewer rows than the correction has in its leaves, so that the judgement, free of that
    bias, is of a noisier correction: it errs on the safe side. (It errs a little to the other
    side, too: rows of a fold have in common how their mean differs from that of the rows behind
    the opinions. As measured with 80 rows in a fold, that flatters a correction by a fiftieth of
    the noise variance.) Out-of-bag opinions come from trees that have seen rows of the fold: with
    ``e_step="oob"`` the judgement is biased against the correction. As measured with two forests,
    the loss is 4 % larger than with cross-fitted opinions. A row that is a fold by itself gets no
    correction.

    Parameters
    ----------
    opinions : ndarray of shape (n_samples, n_opinions, ...)
        Held out.
    gate : unfitted gate
        Its own preprocessing makes what the consensus sees of Z.
    Z : array, sparse matrix or frame of shape (n_samples, n_gate_features)
    problem : Problem
        With the folds that the opinions were made with. Of rows that none of them tests nothing is
        learned.
    seed : int

    Returns
    -------
    consensus : Consensus
        Fitted on all rows that there are opinions on.
    held_out : ndarray of shape (n_samples, ...)
        The mean opinion on a row that no fold tests.
    """
    view, features = NumericView.fit(gate, Z, problem.y)
    rows, folds = problem.folds.judged_only()
    if len(rows) < len(opinions):
        held_out = opinions.mean(axis=1)
        features, opinions = features[rows], opinions[rows]
    else:
        held_out = np.empty((len(opinions), *opinions.shape[2:]))
    target, weight = problem.target[rows], problem.sample_weight[rows]
    blend, blended = best_blend(opinions, target, weight, folds, problem.likelihood)
    columns = columns_to_see(features)
    evidence = _evidence(opinions, features, columns)
    left_over = blend.left_over(target, blended)
    forest = ExtraTreesRegressor(
        N_TREES,
        min_samples_leaf=MIN_LEAF_ROWS,
        max_features=min(1.0, MOST_COLUMNS / evidence.shape[1]),
        bootstrap=True,
        random_state=seed,
        n_jobs=problem.n_jobs,
    )
    forest.fit(evidence, one_column(left_over), unless_alike(weight))
    forest.set_params(n_jobs=None)  # threads would add up its trees in any order
    correction = _held_out_correction(forest, evidence, left_over, weight, folds)
    candidates = [blend.corrected(blended, strength * correction) for strength in STRENGTHS]
    losses = [
        np.average(problem.likelihood.loss(target, each), weights=weight) for each in candidates
    ]
    best = int(np.argmin(losses))
    held_out[rows] = candidates[best]
    blend = blend.fit(opinions, target, weight)
    correction = forest if best > 0 else None
    return Consensus(blend, correction, float(STRENGTHS[best]), columns, view), held_out


def _held_out_correction(forest, evidence, left_over, sample_weight, folds):
    """What a forest would correct of each row had it seen only the other rows of its fold.

    The trees are those of the forest, less the ones that drew the row; what counts in their leaves
    are the rows of the same fold, the row itself left out. Why: see `fit_consensus`.

    Parameters
    ----------
    forest : ExtraTreesRegressor
        Fitted on bootstrap samples.
    evidence : ndarray of shape (n_samples, n_columns)
    left_over : ndarray of shape (n_samples, n_outputs)
    sample_weight : ndarray of shape (n_samples,)
    folds : Folds
        Of which each row is tested by one.

    Returns
    -------
    correction : ndarray of shape (n_samples, n_outputs)
        0 for a row that has nobody to learn from.
    """
    n_samples = len(left_over)
    # Weights beside weighted values, so that what is summed up is counted, too.
    values = sample_weight[:, np.newaxis] * np.column_stack([left_over, np.ones(n_samples)])
    sums = np.zeros(values.shape)
    evidence = evidence.astype(np.float32)  # as trees have it
    for tree, drawn in zip(forest.estimators_, forest.estimators_samples_, strict=True):
        left_out = np.ones(n_samples, dtype=bool)
        left_out[drawn] = False
        group = tree.apply(evidence, check_input=False) * len(folds) + folds.judge
        own = group[left_out]
        for column, total in zip(values.T, sums.T, strict=True):
            total[left_out] += np.bincount(group, column)[own] - column[left_out]
    weight = sums[:, -1:]
    return np.divide(sums[:, :-1], weight, out=np.zeros(left_over.shape), where=weight > 0)


def _forest_mean(forest, evidence):
    """What the forest predicts (n, n_outputs), to the last bit, without checks in each tree.

    For a single row these take ten times as long as the trees themselves.
    """
    evidence = np.ascontiguousarray(evidence, dtype=np.float32)
    total = np.zeros((len(evidence), forest.n_outputs_))
    for tree in forest.estimators_:
        total += tree.tree_.predict(evidence).reshape(total.shape)
    return total / len(forest.estimators_)


def columns_to_see(features):
    """Positions of the features that a forest can use."""
    if issparse(features) and features.shape[1] > MOST_SPARSE_COLUMNS:
        return np.empty(0, dtype=np.intp)
    return np.arange(features.shape[1])


def seen_by_trees(features, columns):
    """These features as an array (n_samples, n_columns)."""
    features = features[:, columns]
    return features.toarray() if issparse(features) else features


def _evidence(opinions, features, columns):
    """What the correction sees: opinions and features, side by side."""
    return np.hstack([opinions.reshape(len(opinions), -1), seen_by_trees(features, columns)])
