"""A softmax gate that learns from one chunk of rows after the other."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .._arithmetic import log_softmax
from .._compat import Record
from ._features import Scaling
from ._softmax import SoftmaxGate

SMALLEST_CURVATURE = 1e-6
"""Added to the curvature, in units of standardised features: what never varied is left alone."""


class Asked(NamedTuple):
    """What a gate says of a chunk.

    Attributes
    ----------
    columns : ndarray of shape (n, n_columns)
        What enters the logits.
    log_proba : ndarray of shape (n, n_experts)
    """

    columns: np.ndarray
    log_proba: np.ndarray

    @classmethod
    def of(cls, gate: SoftmaxGate, Z: np.ndarray) -> Asked:
        """That of a fitted gate about features (n, n_features)."""
        columns, coef, intercept = gate._linear(Z)
        return cls(columns, log_softmax(columns @ coef.T + intercept))


@dataclass(frozen=True, eq=False)
class GateMemory(Record):
    """What remains of the chunks that a gate has seen.

    Attributes
    ----------
    scaling : Scaling
        Of what enters the logits, measured on the first chunk.
    curvature : ndarray of shape (n_experts, n_columns + 1, n_columns + 1)
        An upper bound of the negative log-likelihood's, a block for each expert, averaged.
    """

    scaling: Scaling
    curvature: np.ndarray

    @classmethod
    def of(cls, asked: Asked, weight: np.ndarray) -> GateMemory:
        """That of a fitted gate after its first chunk."""
        scaling = Scaling.of(asked.columns, weight)
        design = _design(asked.columns, scaling)
        return cls(scaling, _curvature(design, np.exp(asked.log_proba), weight))

    def stepped(
        self,
        gate: SoftmaxGate,
        asked: Asked,
        targets: np.ndarray,
        weight: np.ndarray,
        step: float,
    ) -> tuple[SoftmaxGate, GateMemory]:
        """The gate, and this memory, after one more chunk.

        A step of stochastic approximation with a bound of Newton's matrix (Titterington, 1984):
        twice the block that belongs to one expert is an upper bound of the whole matrix, because
        the columns of that sum to 0 over the experts.

        Parameters
        ----------
        gate : SoftmaxGate
        asked : Asked
            What the gate says of the chunk.
        targets : ndarray of shape (n, n_experts)
            Responsibilities.
        weight : ndarray of shape (n,)
        step : float in (0, 1]
            What this chunk counts; the rest is memory.

        Returns
        -------
        gate : SoftmaxGate
            A new one.
        memory : GateMemory

        References
        ----------
        Titterington, D. M. (1984). Recursive parameter estimation using incomplete data. Journal
        of the Royal Statistical Society B, 46(2), 257-267.
        """
        design, proba = _design(asked.columns, self.scaling), np.exp(asked.log_proba)
        own = _curvature(design, proba, weight)
        curvature = (1.0 - step) * self.curvature + step * own
        coef = self.scaling.standardised(*gate._coefficients())
        penalty = np.full(coef.shape[1], gate.alpha_ * gate.temperature**2)
        penalty[-1] = 0.0
        gradient = ((targets - proba) * weight[:, np.newaxis]).T @ design / weight.sum()
        gradient -= penalty * coef
        matrices = curvature + np.diag(penalty + SMALLEST_CURVATURE)
        coef = coef + step * np.linalg.solve(matrices, gradient[..., np.newaxis])[..., 0]
        return _with_coef(gate, self.scaling, coef), GateMemory(self.scaling, curvature)


def _design(columns, scaling):
    """Standardised columns, and one of ones."""
    return np.column_stack([(columns - scaling.mean) * scaling.inverse, np.ones(len(columns))])


def _curvature(design, proba, weight):
    """Twice the blocks of the curvature that belong to one expert each."""
    share = weight / weight.sum()
    roots = np.sqrt(2.0 * share * (proba * (1.0 - proba)).T)
    weighty = (design * root[:, np.newaxis] for root in roots)
    return np.stack([own.T @ own for own in weighty])  # of which BLAS computes one half


def _with_coef(gate, scaling, standardised):
    """A copy of a gate with other coefficients, given for standardised columns."""
    coef, intercept = scaling.original(standardised - standardised.mean(axis=0))
    changed = copy.copy(gate)
    n_features, n_missing = gate.coef_.shape[1], gate.missing_coef_.shape[1]
    parts = np.split(gate.temperature * coef, [n_features, n_features + n_missing], axis=1)
    for name, part in zip(("coef_", "missing_coef_", "term_coef_"), parts, strict=True):
        setattr(changed, name, np.ascontiguousarray(part))
    changed.intercept_ = gate.temperature * intercept
    return changed
