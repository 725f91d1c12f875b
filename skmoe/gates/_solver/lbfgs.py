"""The inverse Hessian as L-BFGS sees it: an estimate, corrected along the last steps.

References
----------
Byrd, R. H., Nocedal, J. and Schnabel, R. B. (1994). Representations of quasi-Newton matrices
and their use in limited memory methods. Mathematical Programming 63, 129-156.

Nocedal, J. and Wright, S. J. (2006). Numerical Optimization, chapter 7. Springer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg.lapack import dtrtrs

if TYPE_CHECKING:
    from .curvature import Curvature

MOST_PAIRS = 10
"""Most steps that are remembered."""


def inner(first: np.ndarray, second: np.ndarray) -> float:
    """Inner product of arrays of the same shape."""
    return float(np.vdot(first, second))


@dataclass(frozen=True, eq=False)
class Memory:
    """The inverse Hessian as L-BFGS sees it.

    Attributes
    ----------
    curvature : Curvature
        The estimate of the Hessian.
    n_rows : int
        Rows for the next estimate.
    steps, changes : ndarrays of shape (n_pairs, n_coefficients), or None
        The last steps taken since the estimate, and how the gradient changed.
    age : int
        Number of steps taken since the estimate.
    """

    curvature: Curvature
    n_rows: int
    steps: np.ndarray | None = None
    changes: np.ndarray | None = None
    age: int = 0

    @property
    def fresh(self) -> bool:
        """Whether no step has been taken since the estimate."""
        return self.age == 0

    def direction(self, gradient: np.ndarray) -> np.ndarray:
        """Minus the inverse Hessian times the gradient.

        The two loops of L-BFGS over the pairs are the solution of two triangular systems (Byrd,
        Nocedal and Schnabel, 1994), which takes a few calls however many pairs there are.
        """
        if self.steps is None or self.changes is None:
            return -self.curvature.solve(gradient)
        flat = gradient.ravel()
        products = self.steps @ self.changes.T  # of which the upper triangle counts
        first, _ = dtrtrs(products.T, self.steps @ flat, lower=1, trans=1)
        residual = (flat - first @ self.changes).reshape(gradient.shape)
        solved = self.curvature.solve(residual)
        rest = products.diagonal() * first - self.changes @ solved.ravel()
        second, _ = dtrtrs(products.T, rest, lower=1)
        return -solved - (second @ self.steps).reshape(gradient.shape)

    def after(self, step: np.ndarray, change: np.ndarray) -> Memory:
        """The memory after a further step, along which the gradient changed so."""
        scale = math.sqrt(inner(step, step) * inner(change, change))
        if inner(step, change) <= np.finfo(np.float64).eps * scale:
            return replace(self, age=self.age + 1)
        steps, changes = _appended(self.steps, step), _appended(self.changes, change)
        return replace(self, steps=steps, changes=changes, age=self.age + 1)


def _appended(rows: np.ndarray | None, row: np.ndarray) -> np.ndarray:
    """The last rows and one more."""
    row = row.reshape(1, -1)
    return row if rows is None else np.concatenate([rows[1 - MOST_PAIRS :], row])
