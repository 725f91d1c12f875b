"""A fitted shared expert, and how it is mixed with the mixture."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from .._compat import Record
from .._data.protection import protected
from .._experts.fitting import expert_output
from .consensus import Consensus


@dataclasses.dataclass(frozen=True, eq=False)
class SharedExpert(Record):
    """A fitted shared expert.

    The prediction of the whole is ``(1 - weight) * mixture + weight * shared``, and its density
    the same with `density_weight`. In classification the two weights are one. In regression they
    need not be: where the gate cannot tell which of two regimes a row belongs to, a density with
    two modes says more than one mode between them, whose mean is yet the better prediction.

    Attributes
    ----------
    model : fitted estimator or Consensus
        A generalist predicts from X, a consensus from the outputs of all experts.
    weight, density_weight : float in [0, 1]
    dispersion : ndarray of shape (1, ...)
    """

    model: Any
    weight: float
    density_weight: float
    dispersion: np.ndarray

    @property
    def needs_all_experts(self):
        """Whether it has to be told what every expert says of every row."""
        return isinstance(self.model, Consensus)

    def output(self, X, Z, outputs, likelihood):
        """What it predicts.

        Parameters
        ----------
        X, Z : arrays, sparse matrices or frames with n_samples rows
            All features, and those of the gate.
        outputs : ndarray of shape (n_samples, n_experts, ...)
            Of all experts; a generalist does not look at it.
        likelihood : Categorical, Gaussian or Laplace

        Returns
        -------
        output : ndarray of shape (n_samples, ...)
        """
        if self.needs_all_experts:
            return self.model.predict(outputs, Z)
        return expert_output(self.model, protected(X), likelihood, "the generalist")

    def blended(self, mixed, component):
        """Prediction of the whole from those of the mixture and of the shared expert."""
        return (1.0 - self.weight) * mixed + self.weight * component


def mixed_log_density(mixture, shared, weight):
    """Log-density of the whole from those of the mixture and of the shared expert."""
    if weight in (0.0, 1.0):
        return shared if weight else mixture
    return np.logaddexp(np.log1p(-weight) + mixture, np.log(weight) + shared)
