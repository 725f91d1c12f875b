"""Sparse routing: which experts answer for a row, and how evenly they are used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ._arithmetic import top_k as _top_k


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
    """

    indices: np.ndarray
    weights: np.ndarray
    mass: np.ndarray

    @property
    def experts_per_row(self) -> np.ndarray:
        """Experts that are evaluated for each row, shape (n_samples,)."""
        return np.count_nonzero(self.weights, axis=1)


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

    A gate with a method ``top_k`` is not asked for the probabilities of the others.

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
    if top_k is None or not hasattr(gate, "top_k"):
        return route(gate.predict_proba(Z), top_k)
    indices, kept = gate.top_k(Z, top_k)
    return _renormalised(indices, kept, n_experts)


def _renormalised(indices, kept, n_experts):
    if indices.shape[1] == n_experts:  # nothing is dropped, so not even rounding may change it
        return Route(indices, kept, np.ones(len(kept)))
    mass = kept[:, 0] if indices.shape[1] == 1 else kept.sum(axis=1)
    return Route(indices, kept / mass[:, np.newaxis], mass)


@dataclass(frozen=True, eq=False)
class Utilization:
    """How a set of rows is spread over the experts; each row counts once.

    Attributes
    ----------
    names : tuple of str, length K
    rows : ndarray of shape (K,), dtype int
        Rows in whose route each expert takes part.
    mass : ndarray of shape (K,)
        Mean gate probability of each expert; sums to 1.
    mean_weight : ndarray of shape (K,)
        Mean weight of each expert over the rows in whose route it takes part; 0 if none.
    top : ndarray of shape (K,)
        Fraction of rows of which each expert is the most probable; sums to 1.
    """

    names: tuple[str, ...]
    rows: np.ndarray
    mass: np.ndarray
    mean_weight: np.ndarray
    top: np.ndarray

    @classmethod
    def from_proba(cls, gate_proba, names, top_k=None):
        """Measure gate probabilities of shape (n_samples, n_experts), n_samples > 0."""
        if len(gate_proba) == 0:
            raise ValueError("utilization of no rows is not defined; give at least one row")
        routed = route(gate_proba, top_k)
        n_experts = len(names)
        chosen = routed.indices.ravel()
        rows = np.bincount(chosen, minlength=n_experts)
        weight = np.bincount(chosen, weights=routed.weights.ravel(), minlength=n_experts)
        top = np.bincount(routed.indices[:, 0], minlength=n_experts) / len(gate_proba)
        mean_weight = weight / np.maximum(rows, 1)
        return cls(tuple(names), rows, gate_proba.mean(axis=0), mean_weight, top)

    @property
    def balance_loss(self) -> float:
        """``K * sum_k top_k mass_k`` (Fedus et al. 2022, eq. 4): 1 if balanced, at most K."""
        return float(len(self.names) * np.dot(self.top, self.mass))

    @property
    def coefficient_of_variation(self) -> float:
        """Standard deviation of the mass over its mean: 0 if balanced."""
        return float(np.std(self.mass) / np.mean(self.mass))

    @property
    def max_min_ratio(self) -> float:
        """Largest over smallest mass; infinite if an expert has none."""
        smallest = self.mass.min()
        return float(self.mass.max() / smallest) if smallest > 0 else float("inf")

    def to_frame(self):
        """One row per expert, as a pandas frame.

        Returns
        -------
        frame : pandas.DataFrame

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError(
                "Utilization.to_frame needs pandas: pip install 'skmoe[pandas]'"
            ) from error
        columns = {
            "rows": self.rows,
            "mass": self.mass,
            "mean_weight": self.mean_weight,
            "top": self.top,
        }
        return pd.DataFrame(columns, index=pd.Index(self.names, name="expert"))

    def __repr__(self) -> str:
        width = max(len("expert"), *map(len, self.names))
        lines = [f"{'expert':<{width}}     rows    mass  mean weight     top"]
        for values in zip(
            self.names, self.rows, self.mass, self.mean_weight, self.top, strict=True
        ):
            lines.append("{:<{width}} {:8d} {:7.3f} {:12.3f} {:7.3f}".format(*values, width=width))
        lines.append(
            f"balance loss {self.balance_loss:.3f}, coefficient of variation "
            f"{self.coefficient_of_variation:.3f}, max/min ratio {self.max_min_ratio:.3g}"
        )
        return "\n".join(lines)
