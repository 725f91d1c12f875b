"""Real numbers with noise around what an expert predicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .._compat import Record
from .base import Likelihood, weighted_mean

MIN_RELATIVE_SCALE = 1e-3
"""Smallest noise scale, relative to the standard deviation of the target."""

GRAIN = 2.0**-24
"""Steps of rounded predictions, in units of the target's spread: those of single precision."""


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
        variance = weighted_mean(squared, weight[:, :, np.newaxis], np.square(dispersion))
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
        scale = weighted_mean(residuals, weight[:, :, np.newaxis], dispersion)
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


def _sum_outputs(values):
    """Sum over the last of three axes; NumPy is slow at sums over an axis of length 1."""
    return values[:, :, 0] if values.shape[2] == 1 else values.sum(axis=2)
