"""Predictive distributions: one mixture of a few simple densities for each row."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.special import logsumexp
from sklearn.utils import check_random_state

from .kernels import KERNELS
from .skpro import as_skpro

MOST_PAIRS = 4_000_000
"""Numbers held at a time where each component meets each other one, or many points."""

QUANTILE_TOLERANCE = 1e-13
"""Accuracy of the probability at a quantile; what is asked of it is 1e-10."""

MOST_STEPS = 200
"""Of the search for a quantile; halving alone takes about 60."""


@dataclass(frozen=True, eq=False)
class PredictiveDistribution:
    """What a mixture of experts knows of the target of each row: a mixture of densities.

    The distribution of row i is ``sum_c weights[i, c] D(means[i, c], scales[i, c])``, where D is
    a Gaussian or a Laplace density. The methods are called as those of ``scipy.stats``; all are
    closed forms but the quantiles, which are those of the exact cdf to 1e-10. The distribution of
    several outputs is described by its marginals, one for each output.

    Parameters
    ----------
    weights : ndarray of shape (n_samples, n_components)
        Rows sum to 1.
    means, scales : ndarrays of shape (n_samples, n_components[, n_outputs])
    kind : {"gaussian", "laplace"}, default="gaussian"
        The scale is the standard deviation, or the mean absolute deviation.

    Notes
    -----
    Methods with an argument take a number, one value for each row (and output), or several: an
    array with one more axis, the last. ``dist.cdf(grid[np.newaxis])`` evaluates all rows at the
    points of a grid. ``dist[rows]`` are some of the rows.

    References
    ----------
    Grimit, E. P., Gneiting, T., Berrocal, V. J. and Johnson, N. A. (2006). The continuous ranked
    probability score for circular variables and its application to mesoscale forecast ensemble
    verification. Quarterly Journal of the Royal Meteorological Society, 132, 2925-2942.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import PredictiveDistribution
    >>> dist = PredictiveDistribution(
    ...     weights=np.array([[0.5, 0.5], [0.2, 0.8]]),
    ...     means=np.array([[-1.0, 1.0], [0.0, 0.0]]),
    ...     scales=np.array([[0.5, 0.5], [1.0, 1.0]]),
    ... )
    >>> dist.mean()
    array([0., 0.])
    >>> dist.std().round(3)
    array([1.118, 1.   ])
    >>> dist.interval(0.9).round(2)
    array([[-1.64,  1.64],
           [-1.64,  1.64]])
    >>> dist[1:].cdf(0.0)
    array([0.5])
    """

    weights: np.ndarray
    means: np.ndarray
    scales: np.ndarray
    kind: str = "gaussian"

    def __len__(self) -> int:
        return len(self.weights)

    def __repr__(self) -> str:
        n_outputs = int(np.prod(self.shape[1:], dtype=int))
        outputs = f"{n_outputs} output{'s' if n_outputs > 1 else ''}"
        components = f"{self.weights.shape[1]} {self.kind} components"
        return f"PredictiveDistribution({len(self)} rows, {outputs}, {components})"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the target: (n_samples,) or (n_samples, n_outputs)."""
        return (self.means.shape[0], *self.means.shape[2:])

    def __getitem__(self, rows: Any) -> PredictiveDistribution:
        """The distributions of some rows: a slice, indices, a mask, or one index."""
        if isinstance(rows, int | np.integer):
            index = range(len(self))[rows]  # raises where there is no such row
            rows = slice(index, index + 1)
        return PredictiveDistribution(
            self.weights[rows], self.means[rows], self.scales[rows], self.kind
        )

    def mean(self) -> np.ndarray:
        """Means, of the shape of the target."""
        return np.einsum("nc,nc...->n...", self.weights, self.means)

    def var(self) -> np.ndarray:
        """Variances: the mean of the components' and the variance of their means."""
        deviation = self.means - self.mean()[:, np.newaxis]
        variance = KERNELS[self.kind].variance * np.square(self.scales)
        return np.einsum("nc,nc...->n...", self.weights, variance + np.square(deviation))

    def std(self) -> np.ndarray:
        """Standard deviations."""
        return np.sqrt(self.var())

    def median(self) -> np.ndarray:
        """Medians."""
        return self.ppf(0.5)

    def logpdf(self, x: Any) -> np.ndarray:
        """Logarithm of the density at x.

        Parameters
        ----------
        x : float or array-like
            See the notes of the class.

        Returns
        -------
        logpdf : ndarray of shape (n_samples[, n_outputs][, n_points])
            Of several outputs, that of each by itself.
        """
        return self._each(x, _logpdf)

    def pdf(self, x: Any) -> np.ndarray:
        """Density at x; see `logpdf`."""
        return np.exp(self.logpdf(x))

    def joint_logpdf(self, y: Any) -> np.ndarray:
        """Logarithm of the joint density of all outputs.

        Within a component the outputs are independent; together they are not.

        Parameters
        ----------
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)

        Returns
        -------
        logpdf : ndarray of shape (n_samples,)
        """
        y = self._one_each(y)
        standard = (y[:, np.newaxis] - self.means) / self.scales
        log_density = KERNELS[self.kind].logpdf(standard) - np.log(self.scales)
        log_density = log_density.reshape(*self.weights.shape, -1).sum(axis=2)
        return _log_mean(self.weights, log_density)

    def cdf(self, x: Any) -> np.ndarray:
        """Probability of at most x; see `logpdf`."""
        return self._each(x, _cdf)

    def sf(self, x: Any) -> np.ndarray:
        """Probability of more than x, exact in the upper tail; see `logpdf`."""
        return self._each(x, _sf)

    def ppf(self, q: Any) -> np.ndarray:
        """Quantiles.

        Parameters
        ----------
        q : float or array-like of shape (n_quantiles,)
            Probabilities, the same for all rows.

        Returns
        -------
        x : ndarray of shape (n_samples[, n_outputs][, n_quantiles])
            The last axis is there if `q` is an array.

        Raises
        ------
        ValueError
            If a probability is not between 0 and 1.
        """
        levels = np.asarray(q, dtype=np.float64)
        if levels.ndim > 1 or not np.all((levels >= 0) & (levels <= 1)):
            raise ValueError(f"q must be a probability between 0 and 1, or a list of them: {q!r}")
        weights, means, scales = self._flat()
        found = np.empty((len(means), levels.size))
        for rows in _parts(len(means), weights.shape[1] * max(levels.size, 1)):
            found[rows] = _quantiles(
                KERNELS[self.kind], weights[rows], means[rows], scales[rows], levels.ravel()
            )
        return found.reshape(*self.shape, *levels.shape)

    def interval(self, confidence: Any) -> np.ndarray:
        """Central intervals: as much probability below as above.

        Parameters
        ----------
        confidence : float or array-like of shape (n_levels,)

        Returns
        -------
        interval : ndarray of shape (n_samples[, n_outputs], 2[, n_levels])
            Lower and upper ends.
        """
        level = np.asarray(confidence, dtype=np.float64)
        if level.ndim > 1 or not np.all((level >= 0) & (level <= 1)):
            raise ValueError(f"confidence must be between 0 and 1, got {confidence!r}")
        tails = np.stack([(1 - level) / 2, (1 + level) / 2])
        return self.ppf(tails.ravel()).reshape(*self.shape, *tails.shape)

    def rvs(self, size: int = 1, random_state: Any = None) -> np.ndarray:
        """Draw from the distribution of each row; outputs are drawn jointly.

        Parameters
        ----------
        size : int, default=1
        random_state : int, RandomState instance or None, default=None

        Returns
        -------
        y : ndarray of shape (n_samples[, n_outputs], size)
        """
        rng = check_random_state(random_state)
        upto = np.cumsum(self.weights, axis=1)
        chance = rng.uniform(size=(len(self), size)) * upto[:, -1:]
        chosen = (chance[:, :, np.newaxis] >= upto[:, np.newaxis]).sum(axis=2)
        chosen = np.minimum(chosen, self.weights.shape[1] - 1)
        rows = np.arange(len(self))[:, np.newaxis]
        means, scales = self.means[rows, chosen], self.scales[rows, chosen]
        drawn = means + scales * KERNELS[self.kind].draw(rng, means.shape)
        return np.moveaxis(drawn, 1, -1)

    def crps(self, y: Any) -> np.ndarray:
        """Continuous ranked probability score: ``E|Y - y| - E|Y - Y'| / 2``, in units of y.

        The integral of the squared difference of cdf and the step at y (Grimit et al., 2006). It
        is the absolute error of a distribution that is certain.

        Parameters
        ----------
        y : float or array-like, of the shape of the target

        Returns
        -------
        crps : ndarray of the shape of the target
        """
        weights, means, scales = self._flat()
        y = self._one_each(y).ravel()
        kernel, score = KERNELS[self.kind], np.empty(len(y))
        for rows in _parts(len(y), weights.shape[1]):
            own = weights[rows], means[rows], scales[rows]
            score[rows] = _crps(kernel, *own, y[rows])
        return score.reshape(self.shape)

    def to_skpro(self) -> Any:
        """The same as a distribution of skpro.

        Returns
        -------
        distribution : skpro.distributions.base.BaseDistribution
            A frame of n_samples rows and a column for each output.

        Raises
        ------
        ImportError
            If skpro is not installed.
        """
        return as_skpro(self)

    def _flat(self):
        """Weights, means and scales (n_rows, n_components), a row for each output of a sample."""
        if self.means.ndim == 2:
            return self.weights, self.means, self.scales
        n_outputs, n_components = self.means.shape[2], self.means.shape[1]
        means, scales = (
            np.moveaxis(each, 2, 1).reshape(-1, n_components) for each in (self.means, self.scales)
        )
        return np.repeat(self.weights, n_outputs, axis=0), means, scales

    def _one_each(self, y):
        """One value for each row and output."""
        y = np.asarray(y, dtype=np.float64)
        if y.shape not in ((), self.shape):
            raise ValueError(f"y has the shape {y.shape}; give a number or the shape {self.shape}")
        return np.broadcast_to(y, self.shape)

    def _each(self, x, function):
        """Apply ``function(kernel, weights, means, scales, points)`` to rows and their points."""
        x = np.asarray(x, dtype=np.float64)
        one = x.ndim <= len(self.shape)
        points = x[..., np.newaxis] if one else x
        try:
            points = np.broadcast_to(points, (*self.shape, points.shape[-1]))
        except ValueError as error:
            raise ValueError(
                f"x has the shape {x.shape}; give a number, the shape {self.shape}, or that and "
                "one more axis for several points in each row"
            ) from error
        points = points.reshape(-1, points.shape[-1])
        weights, means, scales = self._flat()
        values = np.empty(points.shape)
        for rows in _parts(len(points), weights.shape[1] * max(points.shape[1], 1)):
            own = weights[rows], means[rows], scales[rows]
            values[rows] = function(KERNELS[self.kind], *own, points[rows])
        return values.reshape(self.shape if one else (*self.shape, points.shape[1]))


def _parts(n_rows, width):
    """Slices of rows that keep arrays of (rows, width) in bounds."""
    step = max(1, MOST_PAIRS // max(width, 1))
    return [slice(start, start + step) for start in range(0, n_rows, step)]


def _standard(means, scales, points):
    """Standardised points, shape (n_rows, n_points, n_components)."""
    return (points[:, :, np.newaxis] - means[:, np.newaxis]) / scales[:, np.newaxis]


def _log_mean(weights, log_values):
    with np.errstate(divide="ignore"):  # of weight 0
        return logsumexp(np.log(weights) + log_values, axis=-1)


def _logpdf(kernel, weights, means, scales, points):
    log_density = kernel.logpdf(_standard(means, scales, points)) - np.log(scales)[:, np.newaxis]
    return _log_mean(weights[:, np.newaxis], log_density)


def _cdf(kernel, weights, means, scales, points):
    return np.einsum("nc,npc->np", weights, kernel.cdf(_standard(means, scales, points)))


def _sf(kernel, weights, means, scales, points):
    return np.einsum("nc,npc->np", weights, kernel.cdf(-_standard(means, scales, points)))


def _crps(kernel, weights, means, scales, y):
    """See `PredictiveDistribution.crps`; the pairs of components one component at a time."""
    to_y = kernel.mean_distance(y[:, np.newaxis] - means, scales)
    score = np.einsum("nc,nc->n", weights, to_y)
    for component in range(weights.shape[1]):
        others = slice(component, None)
        own = slice(component, component + 1)
        distance = kernel.mean_distance_between(
            means[:, own] - means[:, others], scales[:, own], scales[:, others]
        )
        pairs = weights[:, component : component + 1] * weights[:, others] * distance
        score -= pairs[:, 1:].sum(axis=1) + 0.5 * pairs[:, 0]
    return score


def _quantiles(kernel, weights, means, scales, levels):
    """Quantiles (n_rows, n_levels) by Newton's method on the cdf, kept between two bounds.

    A quantile of a mixture is between the smallest and the largest one of its components. Where a
    step would leave the bounds, which close in on it with every step, they are halved. Above one
    half the complement is solved for, so that the upper tail is as exact as the lower one.
    """
    n_rows, n_levels = len(means), len(levels)
    rows = np.repeat(np.arange(n_rows), n_levels)
    upper = np.tile(levels > 0.5, n_rows)
    sign = np.where(upper, -1.0, 1.0)  # the upper half is the lower half of -Y
    tail = np.tile(np.where(levels > 0.5, 1.0 - levels, levels), n_rows)
    with np.errstate(invalid="ignore"):
        ends = sign[:, np.newaxis] * means[rows] + scales[rows] * kernel.ppf(tail)[:, np.newaxis]
    counted = weights[rows] > 0
    low = np.where(counted, ends, np.inf).min(axis=1)
    high = np.where(counted, ends, -np.inf).max(axis=1)
    x = np.clip(_as_if_simple(kernel, weights, means, scales, rows, sign, tail), low, high)
    left = np.flatnonzero((tail > 0) & (high > low))
    mixture = partial(_cdf_and_pdf, kernel, weights, means, scales)
    for _ in range(MOST_STEPS):
        if len(left) == 0:
            break
        at, own = x[left], rows[left]
        probability, density = mixture(own, sign[left], at)
        excess = probability - tail[left]
        low[left] = np.where(excess <= 0, at, low[left])
        high[left] = np.where(excess >= 0, at, high[left])
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            step = at - excess / density
        inside = (step > low[left]) & (step < high[left])
        middle = 0.5 * (low[left] + high[left])
        exact = np.abs(excess) <= QUANTILE_TOLERANCE * np.minimum(1.0, 2 * tail[left])
        x[left] = np.where(exact, at, np.where(inside, step, middle))
        stuck = (middle <= low[left]) | (middle >= high[left])
        left = left[~(exact | stuck)]
    return (sign * x).reshape(n_rows, n_levels)


def _as_if_simple(kernel, weights, means, scales, rows, sign, tail):
    """Quantiles of one component with the mean and the variance of the mixture: a first guess."""
    mean = np.einsum("nc,nc->n", weights, means)
    variance = np.square(means - mean[:, np.newaxis]) / kernel.variance + np.square(scales)
    scale = np.sqrt(np.einsum("nc,nc->n", weights, variance))
    return sign * mean[rows] + scale[rows] * kernel.ppf(tail)


def _cdf_and_pdf(kernel, weights, means, scales, rows, sign, x):
    """Cdf and density of the mixtures of some rows at one point each; mirrored for sign -1."""
    own = scales[rows]
    standard = (x[:, np.newaxis] - sign[:, np.newaxis] * means[rows]) / own
    probability = np.einsum("nc,nc->n", weights[rows], kernel.cdf(standard))
    density = np.einsum("nc,nc->n", weights[rows], np.exp(kernel.logpdf(standard)) / own)
    return probability, density
