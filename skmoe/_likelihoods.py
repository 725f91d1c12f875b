"""How an expert's output becomes a density of the target.

A likelihood is a small stateless object. What it learns, one *dispersion* per expert (the
floor of a classifier, the noise scale of a regressor), is passed in and returned.

Shapes used throughout: n rows, K experts, C classes, m outputs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ._compat import Record

MIN_FLOOR = 1e-6
"""Smallest floor of a classifier: no class ever has probability 0."""

INITIAL_FLOOR = 0.05
"""Where the learning of the floor starts; EM moves it from there in closed form."""

MIN_RELATIVE_SCALE = 1e-3
"""Smallest noise scale, relative to the standard deviation of the target."""

GRAIN = 2.0**-24
"""Steps of rounded predictions, in units of the target's spread: those of single precision."""


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


@dataclass(frozen=True)
class Categorical(Record, Likelihood):
    """Class probabilities with a floor: ``p_k(y|x) = (1 - e_k) q_k(y|x) + e_k / C``.

    Parameters
    ----------
    classes : ndarray of shape (C,)
    learn_floor : bool
        Whether EM learns the floors ``e_k``. On rows that an expert has seen a floor has
        nothing to learn from (a forest is never wrong there), so that the in-sample E-step
        keeps it at ``MIN_FLOOR``, which also is the classical model.
    """

    metric = "log-loss"

    classes: np.ndarray
    learn_floor: bool

    @property
    def output_shape(self):
        """Shape of an expert's output for one row: (C,)."""
        return self.classes.shape

    def expert_output(self, model, X):
        """Class probabilities ``q`` of shape (n, C) of one fitted expert."""
        return self.align(model, model.predict_proba(X))

    def align(self, model, proba):
        """Probabilities of the classes of `model` with one column per class of the mixture.

        The model's ``classes_`` are a subset: the columns of those it missed are 0.
        """
        known = np.asarray(model.classes_)
        if proba.shape[1:] != known.shape:
            raise ValueError(
                f"it gave probabilities of the shape {proba.shape} for {len(known)} classes"
            )
        if _are_equal(known, self.classes):
            return np.array(proba, dtype=np.float64)
        columns = np.searchsorted(self.classes, known)
        if not np.array_equal(self.classes.take(columns, mode="clip"), known):
            raise ValueError(f"its classes_ are {list(known)}, which y does not hold")
        aligned = np.zeros((proba.shape[0], len(self.classes)))
        aligned[:, columns] = proba
        return aligned

    def uninformed_output(self, y, weight):
        """Prediction of somebody who knows only the weighted target: shape (C,)."""
        return np.bincount(y, weights=weight, minlength=len(self.classes)) / weight.sum()

    def rounded(self, proba):
        """Probabilities in single precision: none becomes 0."""
        return proba.astype(np.float32).astype(np.float64)

    def initial_dispersion(self, n_experts):
        """Floors of shape (K,) to start from."""
        return np.full(n_experts, INITIAL_FLOOR if self.learn_floor else MIN_FLOOR)

    def log_density(self, y, outputs, dispersion):
        """Log-densities of shape (n, K) of the class codes `y` (n,) for outputs (n, K, C)."""
        return np.log(self.component(_at_class(outputs, y), dispersion))

    def update_dispersion(self, y, outputs, weight, dispersion):
        """M-step of the floors.

        A row of expert k comes from ``q_k`` or, with probability ``e_k``, from the uniform:
        a mixture of two known parts, whose EM update is the mean posterior of the uniform.

        Parameters
        ----------
        y : ndarray of shape (n,), class codes
        outputs : ndarray of shape (n, K, C)
        weight : ndarray of shape (n, K)
            Responsibilities times sample weights.
        dispersion : ndarray of shape (K,)

        Returns
        -------
        dispersion : ndarray of shape (K,)
        """
        if not self.learn_floor:
            return dispersion
        uniform = dispersion / len(self.classes)
        posterior = uniform / self.component(_at_class(outputs, y), dispersion)
        return np.maximum(_weighted_mean(posterior, weight, dispersion), MIN_FLOOR)

    def loss(self, y, probabilities):
        """Log-loss (n,) of predicted probabilities (n, C), none of which may be 0."""
        return -np.log(probabilities[np.arange(len(y)), y])

    def loss_in_units(self, mean):
        """Log-loss has no units."""
        return float(mean)

    def reported_losses(self, y, probabilities):
        """Log-loss (n, 1) of predicted probabilities (n, C)."""
        return self.loss(y, probabilities)[:, np.newaxis]

    def mixing_loss(self, y, probabilities):
        """Log-loss (n,) of probabilities (n, C), and its derivative (n, C)."""
        rows = np.arange(len(y))
        own = probabilities[rows, y]
        slope = np.zeros_like(probabilities)
        slope[rows, y] = -1.0 / own
        return -np.log(own), slope

    def nat(self, mean_loss):
        """1: the mixing loss is a negative log-likelihood."""
        return 1.0

    def component(self, outputs, dispersion):
        """What an expert adds to the mixture: its probabilities mixed with the uniform."""
        return (1.0 - dispersion) * outputs + dispersion / len(self.classes)


@dataclass(frozen=True)
class _LocationScale(Record, Likelihood):
    """Noise around the expert's prediction, independent over the outputs.

    `noise` is its name, by which the kernels of predictive distributions are found.

    Parameters
    ----------
    min_scale : ndarray of shape (m,)
        Smallest scale per output, in units of y. Without it an expert could collapse onto
        a few rows that it fits exactly: the likelihood is unbounded there.
    """

    noise: ClassVar[str]

    min_scale: np.ndarray

    @property
    def output_shape(self):
        """Shape of an expert's output for one row: () or (m,)."""
        return () if len(self.min_scale) == 1 else self.min_scale.shape

    def expert_output(self, model, X):
        """Predictions of shape (n,) or (n, m) of one fitted expert."""
        return self.align(model, model.predict(X))

    def align(self, model, prediction):
        """A model's predictions as a new float64 array; some make columns of one output."""
        prediction = np.array(prediction, dtype=np.float64)
        shape = (len(prediction), *self.output_shape)
        if prediction.size != np.prod(shape):
            raise ValueError(
                f"it predicted an array of the shape {prediction.shape}; {shape} was expected"
            )
        return prediction.reshape(shape)

    def uninformed_output(self, y, weight):
        """Prediction of somebody who knows only the weighted target: () or (m,)."""
        return np.average(y, axis=0, weights=weight)

    @property
    def _spread(self):
        """Standard deviation of the target, () or (m,)."""
        return (self.min_scale / MIN_RELATIVE_SCALE).reshape(self.output_shape)

    def rounded(self, outputs):
        """Predictions in steps of a power of two, at most `GRAIN` of the spread of the target."""
        steps = GRAIN * np.exp2(np.floor(np.log2(self._spread)))
        return np.rint(outputs / steps) * steps

    def initial_dispersion(self, n_experts):
        """Scales of shape (K, m) to start from: the spread of the target itself."""
        return np.tile(self.min_scale / MIN_RELATIVE_SCALE, (n_experts, 1))

    def mixing_loss(self, y, prediction):
        """Half the squared error (n,) in units of the target's variance, and its derivative."""
        scale = self._spread
        residual = (prediction - y) / scale
        loss = 0.5 * np.square(residual).reshape(len(y), -1).sum(axis=1)
        return loss, residual / scale

    def nat(self, mean_loss):
        """Half a squared error is as many nats as there are variances of the error in it."""
        return max(2.0 * mean_loss / len(self.min_scale), MIN_RELATIVE_SCALE**2)

    def component(self, outputs, dispersion):
        """What an expert adds to the mixture's mean: its prediction."""
        return outputs

    def _in_units(self, relative):
        """Errors relative to the smallest scale, of one output in units of y.

        Those of several outputs are in standard deviations of each.
        """
        one = len(self.min_scale) == 1
        return float(relative * (self.min_scale[0] if one else MIN_RELATIVE_SCALE))

    def _errors(self, y, prediction):
        """Absolute errors of shape (n, m), in units of y."""
        return np.abs(y - prediction).reshape(len(y), -1)

    def _relative_errors(self, y, prediction):
        """The same in units of the smallest scale."""
        return self._errors(y, prediction) / self.min_scale

    def _residuals(self, y, outputs):
        """Residuals of shape (n, K, m)."""
        residuals = outputs - y[:, np.newaxis]
        return residuals.reshape(residuals.shape[0], residuals.shape[1], -1)


@dataclass(frozen=True)
class Gaussian(_LocationScale):
    """Gaussian noise; the scale is its standard deviation."""

    noise = "gaussian"
    metric = "RMSE"

    def loss(self, y, prediction):
        """Squared error (n,) of predicted means (n,) or (n, m), summed over the outputs."""
        return np.square(self._relative_errors(y, prediction)).sum(axis=1)

    def loss_in_units(self, mean):
        """Root mean squared error of an output."""
        return self._in_units(np.sqrt(mean / len(self.min_scale)))

    def reported_losses(self, y, prediction):
        """Squared errors (n, m)."""
        return np.square(self._errors(y, prediction))

    def log_density(self, y, outputs, dispersion):
        """Log-densities (n, K) of `y` (n,) or (n, m) for outputs (n, K) or (n, K, m)."""
        relative = self._residuals(y, outputs)
        relative /= dispersion
        log_density = _sum_outputs(np.square(relative, out=relative))
        log_density *= -0.5
        log_density -= 0.5 * np.log(2 * np.pi) * relative.shape[2] + np.log(dispersion).sum(axis=1)
        return log_density

    def update_dispersion(self, y, outputs, weight, dispersion):
        """M-step: root of the weighted mean of squared residuals, shape (K, m)."""
        squared = self._residuals(y, outputs)
        np.square(squared, out=squared)
        variance = _weighted_mean(squared, weight[:, :, np.newaxis], np.square(dispersion))
        return np.maximum(np.sqrt(variance), self.min_scale)


@dataclass(frozen=True)
class Laplace(_LocationScale):
    """Laplace noise, which forgives outliers; the scale is the mean absolute residual."""

    noise = "laplace"
    metric = "MAE"

    def loss(self, y, prediction):
        """Absolute error (n,) of predictions (n,) or (n, m), summed over the outputs."""
        return self._relative_errors(y, prediction).sum(axis=1)

    def loss_in_units(self, mean):
        """Mean absolute error of an output."""
        return self._in_units(mean / len(self.min_scale))

    def reported_losses(self, y, prediction):
        """Absolute errors (n, m)."""
        return self._errors(y, prediction)

    def log_density(self, y, outputs, dispersion):
        """Log-densities (n, K) of `y` (n,) or (n, m) for outputs (n, K) or (n, K, m)."""
        relative = np.abs(self._residuals(y, outputs)) / dispersion
        return -_sum_outputs(relative) - np.log(2 * dispersion).sum(axis=1)

    def update_dispersion(self, y, outputs, weight, dispersion):
        """M-step: weighted mean of absolute residuals, shape (K, m)."""
        residuals = np.abs(self._residuals(y, outputs))
        scale = _weighted_mean(residuals, weight[:, :, np.newaxis], dispersion)
        return np.maximum(scale, self.min_scale)


REGRESSION_LIKELIHOODS = {kind.noise: kind for kind in (Gaussian, Laplace)}


def regression_likelihood(name, y, weight):
    """Build a regression likelihood whose smallest scale fits the spread of `y`.

    Parameters
    ----------
    name : {"gaussian", "laplace"}
    y : ndarray of shape (n,) or (n, m)
    weight : ndarray of shape (n,)

    Returns
    -------
    likelihood : Gaussian or Laplace
    """
    columns = y.reshape(len(y), -1)
    mean = np.average(columns, axis=0, weights=weight)
    spread = np.sqrt(np.average(np.square(columns - mean), axis=0, weights=weight))
    # A constant target has no spread of its own beyond rounding: any positive scale will do.
    size = np.abs(mean)
    spread = np.where(spread > 1e-12 * size, spread, np.where(size > 0, size, 1.0))
    return REGRESSION_LIKELIHOODS[name](min_scale=MIN_RELATIVE_SCALE * spread)


def _are_equal(known, classes):
    """Whether labels are the same; by their bytes, as a single row feels the rest."""
    if known.dtype != classes.dtype or known.shape != classes.shape:
        return False
    return known.tobytes() == classes.tobytes() or bool((known == classes).all())


def _at_class(outputs, y):
    """Probabilities (n, K) that the experts give to the observed classes."""
    return np.take_along_axis(outputs, y[:, np.newaxis, np.newaxis], axis=2)[:, :, 0]


def _weighted_mean(values, weight, otherwise):
    """Mean over rows of (n, K, ...) values; `otherwise` for experts without weight."""
    total = np.einsum("i...->...", weight)  # NumPy's sums over the first axis are slow
    mean = np.einsum("i...,i...->...", weight, values) / np.where(total > 0, total, 1.0)
    return np.where(total > 0, mean, otherwise)


def _sum_outputs(values):
    """Sum over the last of three axes; NumPy is slow at sums over an axis of length 1."""
    return values[:, :, 0] if values.shape[2] == 1 else values.sum(axis=2)
