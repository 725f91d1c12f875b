"""The densities that predictive distributions are mixtures of, in standard form."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from scipy.special import ndtr, ndtri

SAME_SCALE = 1e-5
"""Scales that differ by a smaller part are read as one where their difference is divided by."""


class Kernel(ABC):
    """A symmetric density with mean 0 and scale 1.

    Attributes
    ----------
    variance : float
    """

    variance: float

    @abstractmethod
    def logpdf(self, x: np.ndarray) -> np.ndarray:
        """Logarithm of the density."""

    @abstractmethod
    def cdf(self, x: np.ndarray) -> np.ndarray:
        """Probability of at most x."""

    @abstractmethod
    def ppf(self, q: np.ndarray) -> np.ndarray:
        """Quantiles."""

    @abstractmethod
    def draw(self, rng: np.random.RandomState, shape: tuple[int, ...]) -> np.ndarray:
        """Draw an array."""

    @abstractmethod
    def mean_distance(self, difference: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Mean of ``|difference + scale * Z|``."""

    @abstractmethod
    def mean_distance_between(
        self, difference: np.ndarray, scale: np.ndarray, other: np.ndarray
    ) -> np.ndarray:
        """Mean of ``|difference + scale * Z - other * Z'|`` for independent Z and Z'."""


class GaussianKernel(Kernel):
    """The standard normal density."""

    variance = 1.0

    def logpdf(self, x):
        """See `Kernel`."""
        return -0.5 * np.square(x) - 0.5 * np.log(2 * np.pi)

    def cdf(self, x):
        """See `Kernel`."""
        return ndtr(x)

    def ppf(self, q):
        """See `Kernel`."""
        return ndtri(q)

    def draw(self, rng, shape):
        """See `Kernel`."""
        return rng.standard_normal(shape)

    def mean_distance(self, difference, scale):
        """See `Kernel`."""
        standard = difference / scale
        density = np.exp(-0.5 * np.square(standard)) / np.sqrt(2 * np.pi)
        return difference * (2 * ndtr(standard) - 1) + 2 * scale * density

    def mean_distance_between(self, difference, scale, other):
        """See `Kernel`."""
        return self.mean_distance(difference, np.hypot(scale, other))


class LaplaceKernel(Kernel):
    """The Laplace density ``exp(-|x|) / 2``."""

    variance = 2.0

    def logpdf(self, x):
        """See `Kernel`."""
        return -np.abs(x) - np.log(2)

    def cdf(self, x):
        """See `Kernel`."""
        tail = 0.5 * np.exp(-np.abs(x))
        return np.where(x < 0, tail, 1.0 - tail)

    def ppf(self, q):
        """See `Kernel`."""
        with np.errstate(divide="ignore"):
            return np.where(q < 0.5, np.log(2 * q), -np.log(2 * (1 - q)))

    def draw(self, rng, shape):
        """See `Kernel`."""
        return rng.laplace(size=shape)

    def mean_distance(self, difference, scale):
        """See `Kernel`."""
        size = np.abs(difference)
        return size + scale * np.exp(-size / scale)

    def mean_distance_between(self, difference, scale, other):
        """See `Kernel`.

        The characteristic function of ``a Z - b Z'``, ``1 / ((1 + a^2 t^2) (1 + b^2 t^2))``, is
        ``a^2 / (a^2 - b^2)`` times that of ``a Z`` less ``b^2 / (a^2 - b^2)`` times that of
        ``b Z``; so are the mean distances. Where a = b, that is a limit.
        """
        size = np.abs(difference)
        alike = np.abs(scale - other) <= SAME_SCALE * scale
        gap = np.where(alike, 1.0, np.square(scale) - np.square(other))
        apart = size + (scale**3 * np.exp(-size / scale) - other**3 * np.exp(-size / other)) / gap
        common = 0.5 * (scale + other)
        together = size + np.exp(-size / common) * (3 * common + size) / 2
        return np.where(alike, together, apart)


KERNELS: dict[str, Kernel] = {"gaussian": GaussianKernel(), "laplace": LaplaceKernel()}
"""By the name of the likelihood."""
