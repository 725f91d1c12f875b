"""The features as the fast solver sees them: standardised, with an intercept, in tiles."""

import math

import numpy as np

from skmoe._arithmetic import implementation, reference
from skmoe._arithmetic.threads import run_in_parts

LINE = 64
"""Bytes of a line of the cache."""

SAMPLE_SEED = 0
"""Of the rows that stand for all in the estimate of the curvature."""


class PackedDesign:
    """Standardised columns and a column of ones, in tiles; see `skmoe._arithmetic.reference.pack`.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_columns), float64
        Without missing values.
    scaling : Scaling
    n_experts : int
        Of the problems that will be solved with it.
    """

    def __init__(self, X, scaling, n_experts):
        self.n_samples = len(X)
        self.n_experts = n_experts
        self.n_columns = X.shape[1] + 1
        self.arithmetic = implementation(self.n_samples, n_experts)
        # In plain NumPy each operation costs more than what it does to a tile.
        self._n_lanes = max(self.n_samples, 1) if self.arithmetic is reference else reference.LANES
        self.tiles = self._pack(X, scaling.mean, scaling.inverse, self.n_columns)

    def _pack(self, matrix, shift, scale, n_columns):
        tiles = _aligned((-(-self.n_samples // self._n_lanes), n_columns, self._n_lanes))
        self.arithmetic.pack(matrix, shift, scale, tiles)
        return tiles

    def pack_log_density(self, log_density):
        """Log-densities (n_samples, n_experts) in tiles."""
        zero, one = np.zeros(self.n_experts), np.ones(self.n_experts)
        return self._pack(log_density, zero, one, self.n_experts)

    def pack_weights(self, weights):
        """Weights (n_samples,) in tiles (n_tiles, n_lanes)."""
        packed = np.zeros(len(self.tiles) * self._n_lanes)
        packed[: self.n_samples] = weights
        return packed.reshape(len(self.tiles), self._n_lanes)

    def target_moments(self, targets, weights):
        """Products of targets and columns; see `skmoe._arithmetic.reference.target_moments`."""

        def part(start, stop):
            rows = slice(start * self._n_lanes, stop * self._n_lanes)
            return self.arithmetic.target_moments(
                self.tiles[start:stop], targets[rows], weights[start:stop]
            )

        return sum(self._run(part))

    def log_partition(self, weights, coef):
        """Value and gradient; see `skmoe._arithmetic.reference.log_partition`."""

        def part(start, stop):
            tiles = slice(start, stop)
            return self.arithmetic.log_partition(self.tiles[tiles], weights[tiles], coef)

        values, gradients = zip(*self._run(part), strict=True)
        return sum(values), sum(gradients)

    def mixture_loss_and_gradient(self, log_density, weights, coef):
        """Value and gradient; see `skmoe._arithmetic.reference.mixture_loss_and_gradient`."""

        def part(start, stop):
            tiles = slice(start, stop)
            return self.arithmetic.mixture_loss_and_gradient(
                self.tiles[tiles], log_density[tiles], weights[tiles], coef
            )

        losses, gradients = zip(*self._run(part), strict=True)
        return sum(losses), sum(gradients)

    def log_softmax(self, coef):
        """Log-probabilities (n_samples, n_experts) for coefficients (n_experts, n_columns)."""
        if self.n_experts == 1:
            return np.zeros((self.n_samples, 1))
        differences = coef[:-1] - coef[-1]
        log_proba = np.empty((self.n_samples, self.n_experts))

        def part(start, stop):
            rows = slice(start * self._n_lanes, stop * self._n_lanes)
            self.arithmetic.packed_log_softmax(
                self.tiles[start:stop], differences, log_proba[rows]
            )

        self._run(part)
        return log_proba

    def _run(self, function):
        """Apply a function to ranges of tiles: to all at once unless it is compiled."""
        n_tiles, n_columns, n_lanes = self.tiles.shape
        if self.arithmetic is reference:
            return [function(0, n_tiles)]
        nanoseconds = n_tiles * n_lanes * self.n_experts * (0.1 * n_columns + 1.5)
        return run_in_parts(function, n_tiles, nanoseconds)

    def rows(self, indices):
        """Rows of the design as an array (len(indices), n_columns)."""
        tile, lane = np.divmod(indices, self._n_lanes)
        return self.tiles[tile, :, lane]


def _aligned(shape):
    """An array that starts with a line of the cache, so that vectors do not straddle two."""
    size = math.prod(shape)
    numbers = np.empty(size + LINE // 8 - 1)
    first = -numbers.ctypes.data % LINE // 8
    return numbers[first : first + size].reshape(shape)


def sample_rows(weights, n_rows):
    """Draw rows that stand for all of them, and their weights.

    The draw is systematic with random offsets: the k-th row is where the cumulative weight
    reaches a random point in the k-th of `n_rows` equal parts. So rows of weight 0 are never
    drawn, heavy ones more than once, and all drawn rows weigh the same.

    Parameters
    ----------
    weights : ndarray of shape (n_samples,)
        Non-negative, sum to 1.
    n_rows : int

    Returns
    -------
    rows : ndarray of shape (n_drawn,), intp
        All rows with a positive weight if there are no more than `n_rows`.
    row_weights : ndarray of shape (n_drawn,)
        Sum to 1.
    """
    if np.count_nonzero(weights) <= n_rows:
        present = np.flatnonzero(weights)
        return present, weights[present]
    offsets = np.random.default_rng(SAMPLE_SEED).uniform(size=n_rows)
    cumulative = np.cumsum(weights)
    points = (np.arange(n_rows) + offsets) * (cumulative[-1] / n_rows)
    # Rounding may put the last point beyond the last row.
    last = len(weights) - 1 - np.argmax(weights[::-1] > 0)
    rows = np.minimum(np.searchsorted(cumulative, points, side="right"), last)
    return rows, np.full(n_rows, 1.0 / n_rows)
