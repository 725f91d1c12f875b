"""How evenly rows are spread over the experts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .._compat import Record
from .routing import route

SHARED_PART = "(shared part)"
"""What tables call the shared expert beside the names of the others."""


@dataclass(frozen=True, eq=False)
class Utilization(Record):
    """How a set of rows is spread over the experts; each row counts once.

    Where a shared expert has a part in the prediction, that part is taken off the masses and
    weights of the others, so that they say how much of the prediction is whose.

    Attributes
    ----------
    names : tuple of str, length K
    rows_asked : ndarray of shape (K,), dtype int
        Rows that each expert is asked about: those in whose route it takes part.
    rows_led : ndarray of shape (K,), dtype int
        Rows of which each expert is the most probable.
    mass : ndarray of shape (K,)
        Mean gate probability of each expert, times ``1 - shared_weight``; with the shared part
        it sums to 1.
    mean_weight : ndarray of shape (K,)
        Mean weight of each expert, times ``1 - shared_weight``, over the rows in whose route it
        takes part; 0 if none.
    gate_mass : ndarray of shape (K,)
        Mean gate probability of each expert, whatever the gate has to say; sums to 1.
    shared_weight : float
        Part of the prediction of each row that is the shared expert's; 0 if there is none.
    """

    names: tuple[str, ...]
    rows_asked: np.ndarray
    rows_led: np.ndarray
    mass: np.ndarray
    mean_weight: np.ndarray
    gate_mass: np.ndarray
    shared_weight: float = 0.0

    @classmethod
    def from_proba(cls, gate_proba, names, top_k=None, shared_weight=0.0):
        """Measure gate probabilities of shape (n_samples, n_experts), n_samples > 0."""
        if len(gate_proba) == 0:
            raise ValueError("utilization of no rows is not defined; give at least one row")
        n_experts, mass = len(names), gate_proba.mean(axis=0)
        if top_k is None:  # all are asked, in whatever order
            asked, mean_weight = np.full(n_experts, len(gate_proba)), mass
            led = np.bincount(gate_proba.argmax(axis=1), minlength=n_experts)
        else:
            routed = route(gate_proba, top_k)
            chosen = routed.indices.ravel()
            asked = np.bincount(chosen, minlength=n_experts)
            weight = np.bincount(chosen, weights=routed.weights.ravel(), minlength=n_experts)
            mean_weight = weight / np.maximum(asked, 1)
            led = np.bincount(routed.indices[:, 0], minlength=n_experts)
        alone = cls(tuple(names), asked, led, mass, mean_weight, mass)
        return alone.beside_shared(shared_weight) if shared_weight else alone

    def beside_shared(self, shared_weight):
        """The same beside a shared expert, if there was none before."""
        rest = 1.0 - shared_weight
        return replace(
            self,
            mass=rest * self.mass,
            mean_weight=rest * self.mean_weight,
            shared_weight=shared_weight,
        )

    def renamed(self, names):
        """The same with other names of experts."""
        return replace(self, names=tuple(names.get(name, name) for name in self.names))

    @property
    def top(self) -> np.ndarray:
        """Fraction of rows of which each expert is the most probable, shape (K,); sums to 1."""
        return self.rows_led / self.rows_led.sum()

    @property
    def balance_loss(self) -> float:
        """``K * sum_k top_k gate_mass_k`` (Fedus et al. 2022, eq. 4): 1 if balanced, at most K."""
        return float(len(self.names) * np.dot(self.top, self.gate_mass))

    @property
    def coefficient_of_variation(self) -> float:
        """Standard deviation of the gate's mass over its mean: 0 if balanced."""
        return float(np.std(self.gate_mass) / np.mean(self.gate_mass))

    @property
    def max_min_ratio(self) -> float:
        """Largest over smallest mass of the gate; infinite if an expert has none."""
        smallest = self.gate_mass.min()
        return float(self.gate_mass.max() / smallest) if smallest > 0 else float("inf")

    def _lines(self):
        """Name and figures of each expert, and of the shared part."""
        figures = [self.rows_asked, self.rows_led, self.mass, self.mean_weight]
        lines = list(zip(self.names, *(values.tolist() for values in figures), strict=True))
        if self.shared_weight:
            n_rows = int(self.rows_led.sum())
            lines.append((SHARED_PART, n_rows, 0, self.shared_weight, self.shared_weight))
        return lines

    def to_frame(self):
        """One row per expert, and one for the shared part if there is one, as a pandas frame.

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
        names, *columns = zip(*self._lines(), strict=True)
        titles = ("rows_asked", "rows_led", "mass", "mean_weight")
        return pd.DataFrame(
            dict(zip(titles, columns, strict=True)), index=pd.Index(names, name="expert")
        )

    def __repr__(self) -> str:
        figures = self._lines()
        width = max(len("expert"), *(len(name) for name, *_ in figures))
        lines = [f"{'expert':<{width}}  rows asked  rows led    mass  mean weight"]
        for values in figures:
            lines.append("{:<{width}} {:11d} {:9d} {:7.3f} {:12.3f}".format(*values, width=width))
        lines.append(
            f"balance loss {self.balance_loss:.3f}, coefficient of variation "
            f"{self.coefficient_of_variation:.3f}, max/min ratio {self.max_min_ratio:.3g}"
        )
        return "\n".join(lines)
