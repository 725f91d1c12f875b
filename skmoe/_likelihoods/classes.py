"""Classes: one target of them, or several side by side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._compat import Record
from .base import Likelihood, weighted_mean

MIN_FLOOR = 1e-6
"""Smallest floor of a classifier: no class ever has probability 0."""

INITIAL_FLOOR = 0.05
"""Where the learning of the floor starts; EM moves it from there in closed form."""


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
        return self.with_all_classes(np.asarray(model.classes_), proba)

    def with_all_classes(self, known, proba):
        """Probabilities of the classes `known` with one column per class of the mixture."""
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
        return np.maximum(weighted_mean(posterior, weight, dispersion), MIN_FLOOR)

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
class CategoricalOutputs(Record, Likelihood):
    """Several targets of classes: the product of their categorical densities.

    The probabilities of all targets are side by side, ``S = C_1 + ... + C_m`` columns. Given the
    expert the targets are independent; in the mixture they are not, since one gate serves all.

    Parameters
    ----------
    outputs : tuple of Categorical
        One per target.
    """

    metric = "log-loss"

    outputs: tuple[Categorical, ...]

    @property
    def classes(self):
        """Classes of each target: a list of arrays."""
        return [output.classes for output in self.outputs]

    @property
    def output_shape(self):
        """Shape of an expert's output for one row: (S,)."""
        return (sum(len(output.classes) for output in self.outputs),)

    def split(self, proba):
        """Probabilities (..., S) as a list of (..., C_j)."""
        ends = np.cumsum([len(output.classes) for output in self.outputs])
        return np.split(proba, ends[:-1], axis=-1)

    def expert_output(self, model, X):
        """Class probabilities of shape (n, S) of one fitted expert."""
        return self.align(model, model.predict_proba(X))

    def align(self, model, proba):
        """Probabilities (n, S) from a list of arrays, as forests and neighbours give it.

        An array (n, m), as neural networks give it for several labels, holds the probability of
        the second of the classes 0 and 1 of each target.
        """
        n_outputs = len(self.outputs)
        if isinstance(proba, list):
            known = model.classes_
        else:
            if np.ndim(proba) != 2 or np.shape(proba)[1] != n_outputs:
                raise ValueError(
                    f"it gave probabilities of the shape {np.shape(proba)}; a list of "
                    f"{n_outputs} arrays was expected, one for each output, or a column for each"
                )
            known = [np.array([0, 1])] * n_outputs
            proba = [np.column_stack([1.0 - column, column]) for column in np.transpose(proba)]
        if len(proba) != n_outputs or len(known) != n_outputs:
            raise ValueError(f"it gave probabilities of {len(proba)} outputs; y has {n_outputs}")
        parts = zip(self.outputs, known, proba, strict=True)
        return np.hstack([output.with_all_classes(np.asarray(own), p) for output, own, p in parts])

    def uninformed_output(self, y, weight):
        """Prediction of somebody who knows only the weighted targets: shape (S,)."""
        parts = zip(self.outputs, y.T, strict=True)
        return np.hstack([output.uninformed_output(codes, weight) for output, codes in parts])

    def rounded(self, proba):
        """Probabilities in single precision: none becomes 0."""
        return self.outputs[0].rounded(proba)

    def initial_dispersion(self, n_experts):
        """Floors of shape (K, m) to start from."""
        return np.column_stack([output.initial_dispersion(n_experts) for output in self.outputs])

    def log_density(self, y, outputs, dispersion):
        """Log-densities (n, K) of the class codes `y` (n, m) for outputs (n, K, S)."""
        parts = self._parts(y, outputs, dispersion)
        return sum(output.log_density(*own) for output, *own in parts)

    def update_dispersion(self, y, outputs, weight, dispersion):
        """M-step of the floors (K, m), each learned from its own target."""
        parts = self._parts(y, outputs, dispersion)
        floors = [
            output.update_dispersion(codes, proba, weight, floor)
            for output, codes, proba, floor in parts
        ]
        return np.column_stack(floors)

    def loss(self, y, probabilities):
        """Log-loss (n,) of predicted probabilities (n, S), summed over the targets."""
        return self.reported_losses(y, probabilities).sum(axis=1)

    def loss_in_units(self, mean):
        """Log-loss of a target."""
        return float(mean) / len(self.outputs)

    def reported_losses(self, y, probabilities):
        """Log-loss (n, m) of predicted probabilities (n, S)."""
        parts = zip(self.outputs, y.T, self.split(probabilities), strict=True)
        return np.column_stack([output.loss(codes, proba) for output, codes, proba in parts])

    def mixing_loss(self, y, probabilities):
        """Log-loss (n,) of probabilities (n, S), and its derivative (n, S)."""
        parts = zip(self.outputs, y.T, self.split(probabilities), strict=True)
        losses, slopes = zip(*(o.mixing_loss(codes, p) for o, codes, p in parts), strict=True)
        return np.sum(losses, axis=0), np.hstack(slopes)

    def nat(self, mean_loss):
        """1: the mixing loss is a negative log-likelihood."""
        return 1.0

    def component(self, outputs, dispersion):
        """What an expert adds: its probabilities (n, S), each target with its floor of (m,)."""
        parts = zip(self.outputs, self.split(outputs), dispersion, strict=True)
        return np.hstack([output.component(proba, floor) for output, proba, floor in parts])

    def _parts(self, y, outputs, dispersion):
        """Each target's density, its class codes (n,), outputs (n, K, C_j) and floors (K,)."""
        return zip(self.outputs, y.T, self.split(outputs), dispersion.T, strict=True)


def _are_equal(known, classes):
    """Whether labels are the same; by their bytes, as a single row feels the rest."""
    if known.dtype != classes.dtype or known.shape != classes.shape:
        return False
    return known.tobytes() == classes.tobytes() or bool((known == classes).all())


def _at_class(outputs, y):
    """Probabilities (n, K) that the experts give to the observed classes."""
    return np.take_along_axis(outputs, y[:, np.newaxis, np.newaxis], axis=2)[:, :, 0]
