"""How large the error of a row is likely to be, and how it is distributed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .._compat import Record
from .neighbours import LeafTable

POWERS = np.linspace(0.0, 1.3, 14)
"""Candidates of how much the scale follows the size of the errors of rows alike."""

SMALLEST_PART = 1e-3
"""Smallest expected size of an error, as a part of the mean one."""

FEWEST_BINS, MOST_BINS, ROWS_IN_BIN = 6, 20, 12
"""Of the standardised errors."""

TAIL = 0.4
"""Mass of the outermost bins but one, as a part of the others'; the outermost have half of it."""

SMALLEST_GAP = 0.3
"""Smallest width of a bin's component, as a part of the distance between neighbours."""

SMALLEST_WIDTH = 0.01
"""The same, as a part of the error's scale."""

WIDENINGS = (1.0, 1.5, 2.5, 4.0)
"""Candidates of the factor on the widths of the components."""

MARGINAL_PARTS = (0.0, 0.1, 0.3, 0.6, 1.0)
"""Candidates of the part of the shape that is the same for all rows."""


def each_fold(judge) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs (rows of the other folds, rows of the fold)."""
    for fold in np.unique(judge):
        yield np.flatnonzero(judge != fold), np.flatnonzero(judge == fold)


@dataclass(frozen=True, eq=False)
class ErrorScale(Record):
    """Standard deviation of each row's error.

    ``typical * exp(power * (log o - centre))``, where o is the mean size of the errors of rows
    alike; at least `smallest`.

    Attributes
    ----------
    typical, power, centre, smallest : float
    table : LeafTable
        Mean sizes of errors.
    """

    typical: float
    power: float
    centre: float
    smallest: float
    table: LeafTable

    def of(self, leaves) -> np.ndarray:
        """Scales (n,) of rows by their leaves."""
        return self._at(self.table.mean(leaves, np.exp(self.centre))[:, 0])

    def _at(self, size):
        relative = np.log(np.maximum(size, SMALLEST_PART * np.exp(self.centre))) - self.centre
        return np.maximum(self.typical * np.exp(self.power * relative), self.smallest)


def fit_scale(leaves, error, weight, judge, smallest):
    """Learn the scale of the errors by the likelihood of a Gaussian.

    Each row is judged by rows of other folds, and trees that did not draw it.

    Parameters
    ----------
    leaves : LeavesOfRows
    error, weight : ndarrays of shape (n,)
    judge : ndarray of shape (n,)
        Fold of each row.
    smallest : float

    Returns
    -------
    scale : ErrorScale
    held_out : ndarray of shape (n,)
        Scales of the rows.
    """
    size = np.abs(error)[:, np.newaxis]
    mean = max(float(np.average(size[:, 0], weights=weight)), SMALLEST_PART * smallest)
    expected = np.empty(len(error))
    for others, own in each_fold(judge):
        table = LeafTable.of(leaves.all[others], size[others], weight[others])
        expected[own] = table.mean(leaves.left_out[own], mean)[:, 0]
    logs = np.log(np.maximum(expected, SMALLEST_PART * mean))
    centre = float(np.average(logs, weights=weight))
    surprise, typical = [], []
    for power in POWERS:
        relative = error / np.exp(power * (logs - centre))
        spread = np.sqrt(np.average(np.square(relative), weights=weight))
        typical.append(max(float(spread), smallest))
        surprise.append(np.log(typical[-1]))  # the mean of the powers of e is 0 by `centre`
    best = int(np.argmin(surprise))
    table = LeafTable.of(leaves.all, size, weight)
    scale = ErrorScale(typical[best], float(POWERS[best]), centre, smallest, table)
    return scale, scale._at(expected)


@dataclass(frozen=True, eq=False)
class ErrorBins(Record):
    """Bins of standardised errors, each of which becomes a component.

    Attributes
    ----------
    edges : ndarray of shape (B - 1,)
    centres, widths, mass : ndarrays of shape (B,)
    """

    edges: np.ndarray
    centres: np.ndarray
    widths: np.ndarray
    mass: np.ndarray

    @classmethod
    def of(cls, values, weight, n_bins) -> ErrorBins:
        """Bins of about equal mass, but for finer tails."""
        sizes = np.ones(n_bins)
        sizes[[1, -2]], sizes[[0, -1]] = TAIL, TAIL / 2
        order = np.argsort(values)
        below = np.cumsum(weight[order]) - 0.5 * weight[order]
        upto = np.cumsum(sizes)[:-1] / sizes.sum() * weight.sum()
        edges = np.interp(upto, below, values[order])
        bins = np.searchsorted(edges, values)
        total = np.bincount(bins, weight, n_bins)
        safe = np.where(total > 0, total, 1.0)
        centres = np.bincount(bins, weight * values, n_bins) / safe
        deviation = np.square(values - centres[bins])
        spread = np.sqrt(np.bincount(bins, weight * deviation, n_bins) / safe)
        filled = np.flatnonzero(total > 0)  # ties leave some empty
        centres = np.interp(np.arange(n_bins), filled, centres[filled])
        widths = np.maximum(spread, SMALLEST_GAP * np.gradient(centres))
        return cls(edges, centres, widths, total / total.sum())

    def indicators(self, values) -> np.ndarray:
        """Which bin each value (n,) is in, (n, B)."""
        return np.eye(len(self.mass))[np.searchsorted(self.edges, values)]


class ShapeOfRows(NamedTuple):
    """Components of standardised errors for each of n rows, or the same ones (1, B) for all.

    Attributes
    ----------
    weights, centres, widths : ndarrays of shape (n or 1, B)
    """

    weights: np.ndarray
    centres: np.ndarray
    widths: np.ndarray


@dataclass(frozen=True, eq=False)
class ErrorShape(Record):
    """Distribution of each row's standardised error: a histogram of those of rows alike.

    Attributes
    ----------
    bins : ErrorBins
    widening : float
        Factor on the widths of the components.
    marginal_part : float
        Part of the histogram that is that of all rows.
    table : LeafTable
        Histograms.
    """

    bins: ErrorBins
    widening: float
    marginal_part: float
    table: LeafTable

    def of(self, leaves) -> ShapeOfRows:
        """Components of rows by their leaves."""
        histogram = self.table.mean(leaves, self.bins.mass)
        weights = (1 - self.marginal_part) * histogram + self.marginal_part * self.bins.mass
        widths = _widened(self.bins.widths, self.widening)
        return ShapeOfRows(weights, self.bins.centres[np.newaxis], widths[np.newaxis])


def fit_shape(leaves, standard, weight, judge):
    """Learn the shape of the errors by the likelihood of held-out rows.

    Bins and histograms by which a row is judged come from rows of other folds, and trees that did
    not draw it: bins that have seen the row would be as narrow as can be.

    Parameters
    ----------
    leaves : LeavesOfRows
    standard, weight : ndarrays of shape (n,)
        Errors in units of their scale.
    judge : ndarray of shape (n,)
        Fold of each row.

    Returns
    -------
    shape : ErrorShape
    held_out : ShapeOfRows
        Of the rows, by the other folds.
    """
    n_samples = len(standard)
    n_bins = int(np.clip(n_samples // ROWS_IN_BIN, FEWEST_BINS, MOST_BINS))
    histogram, marginal, centres, widths = (np.empty((n_samples, n_bins)) for _ in range(4))
    for others, own in each_fold(judge):
        bins = ErrorBins.of(standard[others], weight[others], n_bins)
        indicators = bins.indicators(standard[others])
        table = LeafTable.of(leaves.all[others], indicators, weight[others])
        histogram[own] = table.mean(leaves.left_out[own], bins.mass)
        marginal[own], centres[own], widths[own] = bins.mass, bins.centres, bins.widths
    largest, chosen = -np.inf, (1.0, 1.0)
    for widening in WIDENINGS:
        width = _widened(widths, widening)
        log_density = -0.5 * np.square((standard[:, np.newaxis] - centres) / width) - np.log(width)
        top = log_density.max(axis=1)
        density = np.exp(log_density - top[:, np.newaxis])
        of_alike = np.einsum("nb,nb->n", histogram, density)
        of_all = np.einsum("nb,nb->n", marginal, density)
        for part in MARGINAL_PARTS:
            with np.errstate(divide="ignore"):
                logs = np.log((1 - part) * of_alike + part * of_all) + top
            value = np.average(logs, weights=weight)
            if value > largest:
                largest, chosen = value, (widening, part)
    widening, part = chosen
    held_out = ShapeOfRows(
        (1 - part) * histogram + part * marginal, centres, _widened(widths, widening)
    )
    bins = ErrorBins.of(standard, weight, n_bins)
    table = LeafTable.of(leaves.all, bins.indicators(standard), weight)
    return ErrorShape(bins, widening, part, table), held_out


def _widened(widths, widening):
    return np.maximum(widening * widths, SMALLEST_WIDTH)
