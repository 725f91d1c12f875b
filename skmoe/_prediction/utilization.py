"""How evenly rows are spread over the experts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._compat import Record
from .routing import route


@dataclass(frozen=True, eq=False)
class Utilization(Record):
    """How a set of rows is spread over the experts; each row counts once.

    Attributes
    ----------
    names : tuple of str, length K
    rows_asked : ndarray of shape (K,), dtype int
        Rows that each expert is asked about: those in whose route it takes part.
    rows_led : ndarray of shape (K,), dtype int
        Rows of which each expert is the most probable.
    mass : ndarray of shape (K,)
        Mean gate probability of each expert; sums to 1.
    mean_weight : ndarray of shape (K,)
        Mean weight of each expert over the rows in whose route it takes part; 0 if none.
    """

    names: tuple[str, ...]
    rows_asked: np.ndarray
    rows_led: np.ndarray
    mass: np.ndarray
    mean_weight: np.ndarray

    @classmethod
    def from_proba(cls, gate_proba, names, top_k=None):
        """Measure gate probabilities of shape (n_samples, n_experts), n_samples > 0."""
        if len(gate_proba) == 0:
            raise ValueError("utilization of no rows is not defined; give at least one row")
        routed = route(gate_proba, top_k)
        n_experts = len(names)
        chosen = routed.indices.ravel()
        asked = np.bincount(chosen, minlength=n_experts)
        weight = np.bincount(chosen, weights=routed.weights.ravel(), minlength=n_experts)
        led = np.bincount(routed.indices[:, 0], minlength=n_experts)
        mean_weight = weight / np.maximum(asked, 1)
        return cls(tuple(names), asked, led, gate_proba.mean(axis=0), mean_weight)

    @property
    def top(self) -> np.ndarray:
        """Fraction of rows of which each expert is the most probable, shape (K,); sums to 1."""
        return self.rows_led / self.rows_led.sum()

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
            "rows_asked": self.rows_asked,
            "rows_led": self.rows_led,
            "mass": self.mass,
            "mean_weight": self.mean_weight,
        }
        return pd.DataFrame(columns, index=pd.Index(self.names, name="expert"))

    def __repr__(self) -> str:
        width = max(len("expert"), *map(len, self.names))
        lines = [f"{'expert':<{width}}  rows asked  rows led    mass  mean weight"]
        for values in zip(
            self.names, self.rows_asked, self.rows_led, self.mass, self.mean_weight, strict=True
        ):
            lines.append("{:<{width}} {:11d} {:9d} {:7.3f} {:12.3f}".format(*values, width=width))
        lines.append(
            f"balance loss {self.balance_loss:.3f}, coefficient of variation "
            f"{self.coefficient_of_variation:.3f}, max/min ratio {self.max_min_ratio:.3g}"
        )
        return "\n".join(lines)
