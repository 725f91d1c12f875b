"""What a likelihood has to offer, whatever its targets are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np


class Likelihood(ABC):
    """What a new likelihood has to offer.

    `metric` is the name of the loss that is reported: "RMSE" (the root of the mean of
    `reported_losses`), or else their mean.
    """

    metric: ClassVar[str]

    @property
    @abstractmethod
    def output_shape(self) -> tuple[int, ...]:
        """Shape of an expert's output for one row."""

    @abstractmethod
    def expert_output(self, model: Any, X: Any) -> np.ndarray:
        """What one fitted expert says of rows, (n, ...)."""

    @abstractmethod
    def align(self, model: Any, output: np.ndarray) -> np.ndarray:
        """A model's own output (n, ...) in the form that all experts share."""

    @abstractmethod
    def uninformed_output(self, y: np.ndarray, weight: np.ndarray) -> Any:
        """Prediction of somebody who knows only the weighted target."""

    @abstractmethod
    def initial_dispersion(self, n_experts: int) -> np.ndarray:
        """Dispersions (K, ...) to start from."""

    @abstractmethod
    def log_density(
        self, y: np.ndarray, outputs: np.ndarray, dispersion: np.ndarray
    ) -> np.ndarray:
        """Log-densities (n, K) of targets (n, ...) for outputs (n, K, ...)."""

    @abstractmethod
    def update_dispersion(
        self, y: np.ndarray, outputs: np.ndarray, weight: np.ndarray, dispersion: np.ndarray
    ) -> np.ndarray:
        """M-step: dispersions (K, ...) for row weights (n, K)."""

    @abstractmethod
    def loss(self, y: np.ndarray, prediction: np.ndarray) -> np.ndarray:
        """Loss (n,) of mixed predictions (n, ...)."""

    @abstractmethod
    def loss_in_units(self, mean: float) -> float:
        """A mean of `loss` over rows as a user knows it: in units of y, or of its spread."""

    @abstractmethod
    def reported_losses(self, y: np.ndarray, prediction: np.ndarray) -> np.ndarray:
        """Losses (n, m) of mixed predictions (n, ...), in units of y."""

    @abstractmethod
    def mixing_loss(self, y: np.ndarray, prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A smooth loss (n,) whose size is about 1, and its derivative (n, ...)."""

    @abstractmethod
    def nat(self, mean_loss: float) -> float:
        """By how much mixing losses differ for a nat, where their mean is `mean_loss`."""

    @abstractmethod
    def component(self, outputs: np.ndarray, dispersion: Any) -> np.ndarray:
        """What an expert adds to the mixed prediction."""

    @abstractmethod
    def rounded(self, outputs: np.ndarray) -> np.ndarray:
        """Outputs (n, ...) without their last bits, which depend on who has computed them.

        BLAS sums in another order where it has another number of threads. To trees that are
        fitted to such sums, equal or not equal makes a difference.
        """


def weighted_mean(values, weight, otherwise):
    """Mean over rows of (n, K, ...) values; `otherwise` for experts without weight."""
    total = np.einsum("i...->...", weight)  # NumPy's sums over the first axis are slow
    mean = np.einsum("i...,i...->...", weight, values) / np.where(total > 0, total, 1.0)
    return np.where(total > 0, mean, otherwise)
