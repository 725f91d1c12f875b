"""What a mixture says of rows, as a density takes it, and the mixture of densities that it is."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._prediction.kernels import KERNELS


class Opinions(NamedTuple):
    """What the parts of a mixture say of n rows with one output.

    Attributes
    ----------
    features : ndarray of shape (n, d), float64
        What trees see of the gate's features; NaN where one is missing.
    prediction : ndarray of shape (n,)
        The final prediction.
    experts : ndarray of shape (n, K)
        What each expert predicts.
    gate : ndarray of shape (n, K)
        Gate probabilities.
    shared : ndarray of shape (n,) or None
        What the shared expert predicts, if there is one.
    """

    features: np.ndarray
    prediction: np.ndarray
    experts: np.ndarray
    gate: np.ndarray
    shared: np.ndarray | None

    def take(self, rows) -> Opinions:
        """The same of some rows."""
        parts: Any = (None if part is None else part[rows] for part in self)
        return Opinions(*parts)

    def evidence(self) -> np.ndarray:
        """What tells of the error to expect, one row each, float32 as trees have it.

        Features, opinions, and how far the opinions are apart.
        """
        centre = np.einsum("nk,nk->n", self.gate, self.experts)
        deviation = self.experts - centre[:, np.newaxis]
        columns = [
            self.features,
            self.experts,
            self.prediction,
            self.experts.std(axis=1),
            np.sqrt(np.einsum("nk,nk->n", self.gate, np.square(deviation))),
        ]
        if self.shared is not None:
            columns.append(self.shared)
        largest = np.finfo(np.float32).max
        return np.clip(np.column_stack(columns), -largest, largest).astype(np.float32)


class Components(NamedTuple):
    """A mixture of densities for each row.

    Attributes
    ----------
    weights : ndarray of shape (n, C)
        Rows sum to 1.
    means, scales : ndarrays of shape (n, C[, n_outputs])
    """

    weights: np.ndarray
    means: np.ndarray
    scales: np.ndarray


def mixture_components(experts, gate, scale, shared_output, shared: Any) -> Components:
    """The density that EM has learned: experts with constant scales, and the shared expert.

    Parameters
    ----------
    experts : ndarray of shape (n, K[, n_outputs])
    gate : ndarray of shape (n, K)
    scale : ndarray of shape (K[, n_outputs])
    shared_output : ndarray of shape (n[, n_outputs]) or None
    shared : SharedExpert or None

    Returns
    -------
    components : Components
    """
    scales = np.broadcast_to(scale, experts.shape)
    if shared is None or shared.density_weight == 0.0:
        return Components(gate, experts, scales)
    own = np.full((len(gate), 1), shared.density_weight)
    shared_scale = np.broadcast_to(
        shared.dispersion.reshape(1, *scale.shape[1:]), shared_output.shape
    )
    return Components(
        np.hstack([(1.0 - shared.density_weight) * gate, own]),
        np.concatenate([experts, shared_output[:, np.newaxis]], axis=1),
        np.concatenate([scales, shared_scale[:, np.newaxis]], axis=1),
    )


def as_gaussians(mixture: Components, kind: str) -> Components:
    """Components of a kind of density as Gaussians of the same variance."""
    if kind == "gaussian":
        return mixture
    return mixture._replace(scales=np.sqrt(KERNELS[kind].variance) * mixture.scales)
