"""More columns than rows: the same problem in as many columns as there are rows."""

from __future__ import annotations

from types import ModuleType

import numpy as np
from scipy.linalg import eigh

from .._features import Scaling
from .designs import Design, ProductDesign
from .packed import PackedDesign

SMALLEST_EIGENVALUE = 1e-13
"""Eigenvalues below this fraction of the largest one are rounding."""


class ReducedDesign(Design):
    """A design rotated to the space that its rows span.

    The optimum has no component outside that space: it would not change a single logit, only
    the penalty (and without penalty it is zero for the solution of least norm). The rotation
    leaves norms as they are, so that penalty and gradient keep their meaning.

    Parameters
    ----------
    design : ProductDesign
    arithmetic : module
        See `PackedDesign`.

    Attributes
    ----------
    packed : PackedDesign
        The rotated columns and a column of ones.
    """

    def __init__(self, design: ProductDesign, arithmetic: ModuleType):
        self.n_columns = design.n_columns
        self._design = design
        values, vectors = eigh(design.inner_products())
        kept = values > SMALLEST_EIGENVALUE * max(values[-1], np.finfo(np.float64).tiny)
        lengths = np.sqrt(values[kept])
        columns = vectors[:, kept] * lengths
        unit = Scaling(np.zeros(len(lengths)), np.ones(len(lengths)))
        self.packed = PackedDesign(columns, unit, arithmetic)
        self._rotation = vectors[:, kept] / lengths

    def expand(self, coef: np.ndarray) -> np.ndarray:
        """Coefficients (n_experts, n_columns) from those of the rotated columns."""
        expanded = self._design.gradient(self._rotation @ coef[:, :-1].T)
        # The design's last column, of ones, is not part of the rotation.
        expanded[:, -1] = coef[:, -1]
        return expanded

    def reduce(self, coef: np.ndarray) -> np.ndarray:
        """Inverse of `expand`."""
        without_intercept = np.column_stack([coef[:, :-1], np.zeros(len(coef))])
        rotated = self._rotation.T @ self._design.logits(without_intercept)
        return np.column_stack([rotated.T, coef[:, -1]])

    def log_softmax(self, coef: np.ndarray) -> np.ndarray:
        """Log-probabilities (n_samples, n_experts) for coefficients (n_experts, n_columns)."""
        return self._design.log_softmax(coef)
