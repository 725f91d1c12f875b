"""The features as the fast solver sees them: standardised, with an intercept, in tiles."""

from __future__ import annotations

import math
from types import ModuleType

import numpy as np

from skmoe._arithmetic import reference
from skmoe._arithmetic.threads import run_in_parts

from .._features import Scaling
from .designs import SolverDesign

LINE = 64
"""Bytes of a line of the cache."""


class PackedDesign(SolverDesign):
    """Standardised columns and a column of ones, in tiles; see `skmoe._arithmetic.reference.pack`.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_columns), float64
        Without missing values.
    scaling : Scaling
    arithmetic : module, default=reference
        `skmoe._arithmetic.reference` or `skmoe._arithmetic.compiled`.
    """

    def __init__(self, X: np.ndarray, scaling: Scaling, arithmetic: ModuleType = reference):
        self.n_samples = len(X)
        self.n_columns = X.shape[1] + 1
        self.arithmetic = arithmetic
        # In plain NumPy each operation costs more than what it does to a tile.
        self._n_lanes = max(self.n_samples, 1) if self.arithmetic is reference else reference.LANES
        self.tiles = self._pack(X, scaling.mean, scaling.inverse, self.n_columns)

    def _pack(self, matrix, shift, scale, n_columns):
        tiles = _aligned((-(-self.n_samples // self._n_lanes), n_columns, self._n_lanes))
        self.arithmetic.pack(matrix, shift, scale, tiles)
        return tiles

    def pack_log_density(self, log_density: np.ndarray) -> np.ndarray:
        """Log-densities (n_samples, n_experts) in tiles."""
        n_experts = log_density.shape[1]
        return self._pack(log_density, np.zeros(n_experts), np.ones(n_experts), n_experts)

    def pack_weights(self, weights: np.ndarray) -> np.ndarray:
        """Weights (n_samples,) in tiles (n_tiles, n_lanes)."""
        packed = np.zeros(len(self.tiles) * self._n_lanes)
        packed[: self.n_samples] = weights
        return packed.reshape(len(self.tiles), self._n_lanes)

    def target_moments(self, targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Products of targets and columns; see `skmoe._arithmetic.reference.target_moments`."""

        def part(start, stop):
            rows = slice(start * self._n_lanes, stop * self._n_lanes)
            return self.arithmetic.target_moments(
                self.tiles[start:stop], targets[rows], weights[start:stop]
            )

        return sum(self._run(part, targets.shape[1]))

    def log_partition(self, weights: np.ndarray, coef: np.ndarray) -> tuple[float, np.ndarray]:
        """Value and gradient; see `skmoe._arithmetic.reference.log_partition`."""

        def part(start, stop):
            tiles = slice(start, stop)
            return self.arithmetic.log_partition(self.tiles[tiles], weights[tiles], coef)

        values, gradients = zip(*self._run(part, len(coef) + 1), strict=True)
        return sum(values), sum(gradients)

    def mixture_loss_and_gradient(
        self, log_density: np.ndarray, weights: np.ndarray, coef: np.ndarray
    ) -> tuple[float, np.ndarray]:
        """Value and gradient; see `skmoe._arithmetic.reference.mixture_loss_and_gradient`."""

        def part(start, stop):
            tiles = slice(start, stop)
            return self.arithmetic.mixture_loss_and_gradient(
                self.tiles[tiles], log_density[tiles], weights[tiles], coef
            )

        losses, gradients = zip(*self._run(part, len(coef) + 1), strict=True)
        return sum(losses), sum(gradients)

    def log_softmax(self, coef: np.ndarray) -> np.ndarray:
        """Log-probabilities (n_samples, n_experts) for coefficients (n_experts, n_columns)."""
        n_experts = len(coef)
        if n_experts == 1:
            return np.zeros((self.n_samples, 1))
        differences = coef[:-1] - coef[-1]
        log_proba = np.empty((self.n_samples, n_experts))

        def part(start, stop):
            rows = slice(start * self._n_lanes, stop * self._n_lanes)
            self.arithmetic.packed_log_softmax(
                self.tiles[start:stop], differences, log_proba[rows]
            )

        self._run(part, n_experts)
        return log_proba

    def _run(self, function, n_experts):
        """Apply a function to ranges of tiles: to all at once unless it is compiled."""
        n_tiles, n_columns, n_lanes = self.tiles.shape
        if self.arithmetic is reference:
            return [function(0, n_tiles)]
        nanoseconds = n_tiles * n_lanes * n_experts * (0.1 * n_columns + 1.5)
        return run_in_parts(function, n_tiles, nanoseconds)

    def rows(self, indices: np.ndarray) -> np.ndarray:
        """Rows of the design as an array (len(indices), n_columns)."""
        tile, lane = np.divmod(indices, self._n_lanes)
        return self.tiles[tile, :, lane]


def _aligned(shape):
    """An array that starts with a line of the cache, so that vectors do not straddle two."""
    size = math.prod(shape)
    numbers = np.empty(size + LINE // 8 - 1)
    first = -numbers.ctypes.data % LINE // 8
    return numbers[first : first + size].reshape(shape)
