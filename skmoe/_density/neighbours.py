"""Which held-out rows are alike in their errors: those that share the leaves of a forest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.ensemble import ExtraTreesRegressor

from .._arithmetic import implementation
from .._compat import Record

N_TREES = 100
"""As measured with pools, half of them lose 0.004 nats a row and save 2 % of the fit."""

LEFT_OUT = 0.4
"""Part of the folds that a tree does not see, about what a bootstrap would leave out."""

FEWEST_LEAF_ROWS = 3
"""Rows in a leaf at least, of those that the tree has seen; of all rows, it holds about five."""

MOST_LEAVES = 1000
"""Leaves of a tree at most, about: beyond, they hold more rows, so that memory is bounded."""

MOST_COLUMNS = 24
"""Columns at most that are compared for a split, as in the correction of a consensus."""

N_LEVELS = 9
"""Quantiles of the errors that the forest tells apart."""


class LeavesOfRows(NamedTuple):
    """The leaves of the rows that a forest was fitted to.

    Attributes
    ----------
    all : sparse matrix of shape (n, n_leaves)
    left_out : sparse matrix of shape (n, n_leaves)
        Only of the trees that did not see the fold of the row.
    """

    all: csr_matrix
    left_out: csr_matrix


@dataclass(frozen=True, eq=False)
class Neighbours(Record):
    """Extremely randomised trees whose leaves hold rows with alike errors.

    Nodes and leaves of all trees are counted through. They are kept as plain arrays, since the
    leaves are all that is asked of them: trees of scikit-learn take seven times the memory.

    Attributes
    ----------
    roots : ndarray of shape (n_trees,), int32
        Their first nodes.
    feature : ndarray of shape (n_nodes,), int32
    threshold : ndarray of shape (n_nodes,)
        Rows with at most that in the feature go to the left.
    missing_left : boolean ndarray of shape (n_nodes,)
        Whether rows go to the left in which the feature is missing.
    left, right : ndarrays of shape (n_nodes,), int32
        The nodes below. Of a leaf, `left` is ``-1 - number of the leaf``.
    """

    roots: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    missing_left: np.ndarray
    left: np.ndarray
    right: np.ndarray

    @classmethod
    def fit(cls, evidence, error, weight, judge, seed, n_jobs=None):
        """Grow trees that tell apart where errors lie, and how large they are.

        Each tree leaves out whole folds: where rows of a group are in one fold, a tree that has
        seen some of them knows the others too well. A row is judged by trees without its fold.

        Parameters
        ----------
        evidence : ndarray of shape (n, n_columns), float32
        error : ndarray of shape (n,)
        weight : ndarray of shape (n,) or None
        judge : ndarray of shape (n,)
            Fold of each row, 0, 1, ...; at least two.
        seed : int
        n_jobs : int or None

        Returns
        -------
        neighbours : Neighbours
        leaves : LeavesOfRows
            Of the rows.
        """
        # Like the evidence in single precision: trees make much of the last bit, in which errors
        # depend on the memory order of X, say.
        size = np.abs(error).std() or 1.0
        standard = (error / size).astype(np.float32)
        levels = np.quantile(standard, (np.arange(N_LEVELS) + 0.5) / N_LEVELS)
        targets = np.column_stack([standard[:, np.newaxis] <= levels, np.abs(standard)])
        n_folds = judge.max() + 1
        trees, left_out = [], []
        for fold in range(n_folds):  # left out with those that follow it
            out = (judge - fold) % n_folds < max(1, round(LEFT_OUT * n_folds))
            forest = ExtraTreesRegressor(
                N_TREES * (fold + 1) // n_folds - N_TREES * fold // n_folds,
                min_samples_leaf=max(FEWEST_LEAF_ROWS, int((~out).sum()) // MOST_LEAVES),
                max_features=min(1.0, MOST_COLUMNS / evidence.shape[1]),
                random_state=seed + fold,
                n_jobs=n_jobs,
            )
            forest.fit(evidence[~out], targets[~out], None if weight is None else weight[~out])
            trees += [tree.tree_ for tree in forest.estimators_]
            left_out += [out] * len(forest.estimators_)
        neighbours = cls._of(trees)
        nodes = np.column_stack([tree.apply(evidence) for tree in trees]) + neighbours.roots
        leaves = -1 - neighbours.left[nodes]
        return neighbours, LeavesOfRows(
            neighbours._indicators(leaves),
            neighbours._indicators(leaves, np.column_stack(left_out)),
        )

    @classmethod
    def _of(cls, trees):
        """From trees of scikit-learn."""
        joined = {
            name: np.concatenate([getattr(tree, name) for tree in trees])
            for name in (
                "feature",
                "threshold",
                "missing_go_to_left",
                "children_left",
                "children_right",
            )
        }
        counts = [tree.node_count for tree in trees]
        roots = np.cumsum([0, *counts[:-1]], dtype=np.int32)
        first, is_leaf = np.repeat(roots, counts), joined["children_left"] < 0
        return cls(
            roots=roots,
            feature=joined["feature"].astype(np.int32),
            threshold=joined["threshold"],
            missing_left=joined["missing_go_to_left"].astype(bool),
            left=np.where(
                is_leaf, -np.cumsum(is_leaf, dtype=np.int64), joined["children_left"] + first
            ).astype(np.int32),
            right=(joined["children_right"] + first).astype(np.int32),
        )

    def leaves(self, evidence) -> csr_matrix:
        """Indicators (n, n_leaves) of the leaves that rows fall into.

        Parameters
        ----------
        evidence : ndarray of shape (n, n_columns), float32
        """
        arithmetic = implementation(len(evidence), len(self.roots))
        nodes = (self.feature, self.threshold, self.missing_left, self.left, self.right)
        return self._indicators(arithmetic.tree_leaves(evidence, self.roots, *nodes))

    def _indicators(self, leaves, counted=None):
        """Sparse matrix of leaves (n, n_trees), of all or of those that are counted."""
        n_samples, n_trees = leaves.shape
        values = np.ones(leaves.size, dtype=np.float32)
        if counted is not None:
            values = counted.ravel().astype(np.float32)
        starts = np.arange(0, leaves.size + 1, n_trees)
        n_leaves = len(self.left) - np.count_nonzero(self.left > 0)
        return csr_matrix((values, leaves.ravel(), starts), shape=(n_samples, n_leaves))


@dataclass(frozen=True, eq=False)
class LeafTable(Record):
    """What the leaves hold.

    Attributes
    ----------
    means : ndarray of shape (n_leaves, m), float64
        Means of some values of the rows in each leaf; 0 where there are none. Targets may be
        larger than single precision can tell.
    filled : ndarray of shape (n_leaves,), float32
        1 where there are rows, else 0.
    """

    means: np.ndarray
    filled: np.ndarray

    @classmethod
    def of(cls, leaves, values, weight) -> LeafTable:
        """Fill the leaves with the weighted means of the values (n, m) of their rows."""
        sums = leaves.T @ (weight[:, np.newaxis] * np.column_stack([values, np.ones(len(values))]))
        total = sums[:, -1:]
        means = np.divide(sums[:, :-1], total, out=np.zeros_like(sums[:, :-1]), where=total > 0)
        return cls(means, (total[:, 0] > 0).astype(np.float32))

    def mean(self, leaves, otherwise) -> np.ndarray:
        """Means (n, m) over the leaves of each row; a row without a filled one gets `otherwise`.

        Parameters
        ----------
        leaves : sparse matrix of shape (n, n_leaves)
        otherwise : float or ndarray of shape (m,)
        """
        sums = np.asarray(leaves @ self.means, dtype=np.float64)
        count = np.asarray(leaves @ self.filled, dtype=np.float64)[:, np.newaxis]
        return np.where(count > 0, sums / np.where(count > 0, count, 1.0), otherwise)
