"""Sparse routing: which experts answer for a row."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._arithmetic import top_k as _top_k
from ..gates._base import TopKGate
from ..gates._softmax import SoftmaxGate


class Route(NamedTuple):
    """The experts chosen for each row.

    Attributes
    ----------
    indices : ndarray of shape (n_samples, k), dtype intp
        Experts by decreasing gate probability; ties go to the expert that comes first.
    weights : ndarray of shape (n_samples, k)
        Their gate probabilities, renormalised to sum 1.
    mass : ndarray of shape (n_samples,)
        Gate probability that the chosen experts had before; 1 if all are chosen.
    shared_weight : float
        Part of each row's prediction that is the shared expert's; `weights` are shares of the
        rest. 0 if there is none.
    """

    indices: np.ndarray
    weights: np.ndarray
    mass: np.ndarray
    shared_weight: float = 0.0

    @property
    def experts_per_row(self) -> np.ndarray:
        """Experts that are evaluated for each row, shape (n_samples,)."""
        return np.count_nonzero(self.weights, axis=1)

    def __repr__(self) -> str:
        rest = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._fields)
        if not self.shared_weight:
            return f"Route({rest})"
        said = f"{self.shared_weight:.0%} of each prediction is the shared expert's"
        return f"Route({rest}; {said})"


def route(gate_proba, top_k):
    """Choose the `top_k` most probable experts of each row.

    Parameters
    ----------
    gate_proba : ndarray of shape (n_samples, n_experts)
    top_k : int or None
        None chooses all.

    Returns
    -------
    route : Route

    Raises
    ------
    TypeError, ValueError
        If `top_k` is no int, or not between 1 and the number of experts.
    """
    n_experts = gate_proba.shape[1]
    indices, kept = _top_k(gate_proba, n_experts if top_k is None else top_k)
    return _renormalised(indices, kept, n_experts)


def route_by(gate, Z, n_experts, top_k):
    """Choose the `top_k` most probable experts of each row.

    A `TopKGate` is not asked for the probabilities of the others.

    Parameters
    ----------
    gate : fitted gate
    Z : array-like, sparse matrix or frame of shape (n_samples, n_gate_features)
    n_experts : int
    top_k : int or None
        None chooses all.

    Returns
    -------
    route : Route
    """
    if top_k is None or not isinstance(gate, TopKGate):
        return route(gate.predict_proba(Z), top_k)
    indices, kept = gate.top_k(Z, top_k)
    return _renormalised(indices, kept, n_experts)


def most_probable(gate, Z, of_numbers):
    """The most probable expert of the only row; of equal ones the first.

    Parameters
    ----------
    gate : fitted gate
    Z : array of shape (1, n_gate_features)
    of_numbers : bool
        Whether Z is known to be finite float64 of the gate's width, so that a gate of our own
        need not check it again.

    Returns
    -------
    expert : int
    """
    if of_numbers and type(gate) is SoftmaxGate:  # a subclass may predict in its own way
        return gate._most_probable(Z)
    if isinstance(gate, TopKGate):
        return int(gate.predict(Z)[0])
    return int(gate.predict_proba(Z).argmax())


def _renormalised(indices, kept, n_experts):
    if indices.shape[1] == n_experts:  # nothing is dropped, so not even rounding may change it
        return Route(indices, kept, np.ones(len(kept)))
    mass = kept[:, 0] if indices.shape[1] == 1 else kept.sum(axis=1)
    return Route(indices, kept / mass[:, np.newaxis], mass)
