"""A start for linear experts: the leaves of a tree that has a linear model in each leaf.

A decision tree parts rows where the *mean* of the target differs. Linear experts see to much of
that by themselves: what they need is rows parted where their *equations* differ. So this tree
lowers the squared errors of ridge regressions in its leaves (in the spirit of Quinlan, 1992). All
that a candidate needs to be judged are the second moments of the rows on either side of it, which
are sums over bins of a feature: a few large leaves cost no more than an iteration of EM.

References
----------
Quinlan, J. R. (1992). Learning with continuous classes. Proceedings of the 5th Australian Joint
Conference on Artificial Intelligence, 343-348.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

N_THRESHOLDS = 10
"""Thresholds that are tried of each feature of a leaf, at quantiles of its rows."""

PENALTY = 1.0
"""Of the ridge regression of a leaf; regressors are standardised."""


class Split(NamedTuple):
    """A leaf in two.

    Attributes
    ----------
    gain : float
        By how much squared errors are lower.
    feature : int
    threshold : float
        Rows above it go to a new leaf.
    """

    gain: float
    feature: int
    threshold: float


def grow(
    features: np.ndarray, design: ModelDesign, n_leaves: int, smallest: float
) -> list[tuple[int, Split]]:
    """Part leaves, the one first in which that gains most, until there are `n_leaves`.

    Parameters
    ----------
    features : ndarray of shape (n, n_features)
        What thresholds are put on; finite.
    design : ModelDesign
        Of the n rows.
    n_leaves : int
        At most so many.
    smallest : float
        Least weight of the rows of a leaf.

    Returns
    -------
    splits : list of (int, Split)
        The leaf that was parted, and how; the k-th split makes leaf k + 1.
    """
    everything = np.arange(len(features))
    leaves, made = np.zeros(len(features), dtype=np.intp), []
    candidates = [_best_split(features, design, everything, smallest)]
    while len(candidates) < n_leaves:
        parted = int(np.argmax([split.gain for split in candidates]))
        split = candidates[parted]
        if not split.gain > 0.0:
            break
        made.append((parted, split))
        rows = everything[leaves == parted]
        above = features[rows, split.feature] > split.threshold
        leaves[rows[above]] = len(candidates)
        candidates[parted] = _best_split(features, design, rows[~above], smallest)
        candidates.append(_best_split(features, design, rows[above], smallest))
    return made


def leaves_of(splits: list[tuple[int, Split]], features: np.ndarray) -> np.ndarray:
    """The leaf of each row of features (n, n_features)."""
    leaves = np.zeros(len(features), dtype=np.intp)
    for number, (parted, split) in enumerate(splits, 1):
        above = features[:, split.feature] > split.threshold
        leaves[(leaves == parted) & above] = number
    return leaves


class ModelDesign(NamedTuple):
    """What the models of leaves are fitted to.

    Attributes
    ----------
    columns : ndarray of shape (n, n_regressors + n_targets)
        Standardised regressors, a column of ones, which is the last of them, and targets.
    n_targets : int
        Their squared errors add up.
    weight : ndarray of shape (n,)
    """

    columns: np.ndarray
    n_targets: int
    weight: np.ndarray

    def moments(self, rows: np.ndarray) -> np.ndarray:
        """Weighted second moments (p, p) of some rows."""
        columns = self.columns[rows]
        return (columns * self.weight[rows, np.newaxis]).T @ columns

    def errors(self, moments: np.ndarray) -> np.ndarray:
        """Penalised squared errors (B,) of the regressions that moments (B, p, p) lead to."""
        p = moments.shape[-1] - self.n_targets
        penalty = np.append(np.full(p - 1, PENALTY), 1e-9)  # none of the constant
        cross = moments[:, :p, p:]
        slopes = np.linalg.solve(moments[:, :p, :p] + np.diag(penalty), cross)
        total = np.trace(moments[:, p:, p:], axis1=1, axis2=2)
        return total - np.sum(cross * slopes, axis=(1, 2))

    def mass(self, moments: np.ndarray) -> np.ndarray:
        """Weight (B,) of the rows that moments are of."""
        constant = moments.shape[-1] - self.n_targets - 1
        return moments[:, constant, constant]


def _best_split(features, design, rows, smallest):
    """The split of some rows that lowers squared errors most; of gain 0 if there is none."""
    best, whole = Split(0.0, 0, 0.0), design.moments(rows)[np.newaxis]
    if design.mass(whole)[0] < 2 * smallest:
        return best
    before = design.errors(whole)[0]
    for feature, values in enumerate(features[rows].T):
        thresholds = _parting(_thresholds(values), values, design.weight[rows], smallest)
        if len(thresholds):
            bins = np.searchsorted(thresholds, values)
            below = _moments_below(design, rows, bins, whole, len(thresholds))
            gains = before - design.errors(below) - design.errors(whole - below)
            place = int(np.argmax(gains))
            if gains[place] > best.gain:
                best = Split(float(gains[place]), feature, float(thresholds[place]))
    return best


def _parting(thresholds, values, weight, smallest):
    """Those of the thresholds that have at least the weight `smallest` on either side."""
    bins = np.searchsorted(thresholds, values)
    below = np.cumsum(np.bincount(bins, weight, minlength=len(thresholds) + 1))
    lighter = np.minimum(below, below[-1] - below)[:-1]
    return thresholds[lighter >= smallest]


def _thresholds(values):
    """Values, rising, above which rows may be parted from the others."""
    distinct = np.unique(values)
    if len(distinct) > N_THRESHOLDS + 1:
        levels = np.arange(1, N_THRESHOLDS + 1) / (N_THRESHOLDS + 1)
        distinct = np.unique(np.append(np.quantile(values, levels, method="lower"), distinct[-1]))
    return distinct[:-1]


def _moments_below(design, rows, bins, whole, n_thresholds):
    """Moments (n_thresholds, p, p) of the rows in the first bins, up to each threshold.

    Those of the largest bin are what the others leave: most values of a category are 0.
    """
    sizes = np.bincount(bins, minlength=n_thresholds + 1)
    largest = int(np.argmax(sizes))
    moments = np.zeros((n_thresholds + 1, *whole.shape[1:]))
    for each in np.flatnonzero(sizes):
        if each != largest:
            moments[each] = design.moments(rows[bins == each])
    moments[largest] = whole[0] - moments.sum(axis=0)
    return np.cumsum(moments, axis=0)[:-1]
