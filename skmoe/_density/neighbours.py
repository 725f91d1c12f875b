"""Which held-out rows are alike in their errors: those that share the leaves of a forest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.ensemble import ExtraTreesRegressor

from .._compat import Record

N_TREES = 100
"""As measured with pools, half of them lose 0.004 nats a row and save 2 % of the fit."""

FEWEST_LEAF_ROWS = 5
"""Rows in a leaf at least; with 3, as measured, pools gain 0.004 nats for much more memory."""

MOST_LEAVES = 1000
"""Leaves of a tree at most, about: beyond, they hold more rows, so that memory is bounded."""

MOST_COLUMNS = 24
"""Columns at most that are compared for a split, as in the correction of a consensus."""

N_LEVELS = 9
"""Quantiles of the errors that the forest tells apart."""


@dataclass(frozen=True, eq=False)
class Neighbours(Record):
    """Extremely randomised trees whose leaves hold rows with alike errors.

    Attributes
    ----------
    forest : fitted ExtraTreesRegressor
    first : ndarray of shape (n_trees + 1,)
        Number of nodes in the trees before each one: leaves are counted through.
    """

    forest: Any
    first: np.ndarray

    @classmethod
    def fit(cls, evidence, error, weight, seed, n_jobs=None) -> Neighbours:
        """Grow trees that tell apart where errors lie, and how large they are.

        Parameters
        ----------
        evidence : ndarray of shape (n, n_columns), float32
        error : ndarray of shape (n,)
        weight : ndarray of shape (n,) or None
        seed : int
        n_jobs : int or None

        Returns
        -------
        neighbours : Neighbours
        """
        levels = np.quantile(error, (np.arange(N_LEVELS) + 0.5) / N_LEVELS)
        size = np.abs(error)
        targets = np.column_stack([error[:, np.newaxis] <= levels, size / (size.std() or 1.0)])
        forest = ExtraTreesRegressor(
            N_TREES,
            min_samples_leaf=max(FEWEST_LEAF_ROWS, len(error) // MOST_LEAVES),
            max_features=min(1.0, MOST_COLUMNS / evidence.shape[1]),
            bootstrap=True,
            random_state=seed,
            n_jobs=n_jobs,
        )
        forest.fit(evidence, targets, weight)
        forest.set_params(n_jobs=None)
        nodes = [tree.tree_.node_count for tree in forest.estimators_]
        return cls(forest, np.concatenate([[0], np.cumsum(nodes)]))

    def leaves(self, evidence, counted=None) -> csr_matrix:
        """Indicators (n, n_nodes) of the leaves that rows fall into.

        Parameters
        ----------
        evidence : ndarray of shape (n, n_columns), float32
        counted : boolean ndarray of shape (n, n_trees), default=None
            Where False, the leaf of that tree is left out.
        """
        trees = self.forest.estimators_
        nodes = np.column_stack([tree.tree_.apply(evidence) for tree in trees]) + self.first[:-1]
        n_samples, n_trees = nodes.shape
        values = np.ones(nodes.size, dtype=np.float32)
        if counted is not None:
            values = counted.ravel().astype(np.float32)
        starts = np.arange(0, nodes.size + 1, n_trees)
        return csr_matrix((values, nodes.ravel(), starts), shape=(n_samples, self.first[-1]))

    def left_out(self, n_samples) -> np.ndarray:
        """Whether a tree did not draw a training row, boolean (n, n_trees)."""
        left_out = np.ones((n_samples, len(self.forest.estimators_)), dtype=bool)
        for tree, drawn in enumerate(self.forest.estimators_samples_):
            left_out[drawn, tree] = False
        return left_out


@dataclass(frozen=True, eq=False)
class LeafTable(Record):
    """What the leaves hold.

    Attributes
    ----------
    means : ndarray of shape (n_nodes, m), float64
        Targets may be larger than single precision can tell.
        Means of some values of the rows in each leaf; 0 where there are none.
    filled : ndarray of shape (n_nodes,), float32
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
        leaves : sparse matrix of shape (n, n_nodes)
        otherwise : float or ndarray of shape (m,)
        """
        sums = np.asarray(leaves @ self.means, dtype=np.float64)
        count = np.asarray(leaves @ self.filled, dtype=np.float64)[:, np.newaxis]
        return np.where(count > 0, sums / np.where(count > 0, count, 1.0), otherwise)
