"""Features prepared once for every fit with them: checked, completed, in the form that suits."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import issparse

from skmoe._arithmetic import implementation

from .._features import Scaling, complete, missing_features
from .._terms import Products
from .designs import DenseDesign, Design, ProductDesign, SparseDesign
from .objectives import LARGEST_HESSIAN
from .packed import PackedDesign
from .reduced import ReducedDesign


@dataclass(frozen=True, eq=False)
class Columns:
    """What the columns are that the logits are linear in: features, indicators, products.

    Attributes
    ----------
    scaling : Scaling
        Of all columns.
    means : ndarray of shape (n_features,)
        What stands in for missing values.
    indicated : ndarray, intp
        Features that have an indicator.
    products : Products or None
    """

    scaling: Scaling
    means: np.ndarray
    indicated: np.ndarray
    products: Products | None

    @classmethod
    def of(cls, X: Any, weights: np.ndarray, degree: int) -> tuple[Columns, Any]:
        """Columns of features, and the features as these columns (n_samples, n_columns).

        `weights` (n_samples,) are for means and standard deviations.
        """
        indicated = missing_features(X)
        scaling = Scaling.of(X, weights)
        means, n_features = scaling.mean, X.shape[1]
        if len(indicated):
            X = complete(X, means, indicated)
            scaling = scaling.with_columns(X[:, n_features:], weights)
        products = None
        if degree == 2:
            products = Products.of(means, scaling.inverse[:n_features])
            further = products.columns(X[:, :n_features])
            X = np.hstack([X, further])
            scaling = scaling.with_columns(further, weights)
        return cls(scaling, means, indicated, products), X


class PreparedFeatures:
    """The owner of all forms of some features; each is made when it is first asked for.

    A form depends on the degree of the gate and on what the size of the problem makes of it, so
    that problems with other numbers of experts, targets, weights or penalties mostly share it.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features), float64
        Validated; NaN where values are missing.
    weights : ndarray of shape (n_samples,)
        For means and standard deviations.
    names : dict, default=None
        What validation has noted of the features: ``n_features_in_`` and the like.
    """

    def __init__(self, X: Any, weights: np.ndarray, names: dict[str, Any] | None = None):
        self.names = names or {}
        self._X, self._weights = X, weights
        self._made: dict[Hashable, Any] = {}

    def columns(self, degree: int) -> Columns:
        """The columns of a gate of some degree."""
        return self._columns(degree)[0]

    def product_design(self, degree: int) -> ProductDesign:
        """The design for objectives that know of nothing but products."""
        kind = SparseDesign if issparse(self._X) else DenseDesign
        columns, matrix = self._columns(degree)
        return self._once((kind, degree), lambda: kind(matrix, columns.scaling))

    def solver_design(self, degree: int, n_experts: int) -> Design:
        """The design for the fast solver.

        Returns
        -------
        design : PackedDesign, ReducedDesign or SparseDesign
        """
        columns, matrix = self._columns(degree)
        n_samples, n_columns = matrix.shape
        n_logits = n_experts - 1
        reduces = n_logits * n_samples <= LARGEST_HESSIAN < n_logits * (n_columns + 1)
        if issparse(self._X) and not reduces:
            return self.product_design(degree)
        arithmetic = implementation(n_samples, n_experts)
        if reduces:
            return self._once(
                (ReducedDesign, degree, arithmetic),
                lambda: ReducedDesign(self.product_design(degree), arithmetic),
            )
        return self._once(
            (PackedDesign, degree, arithmetic),
            lambda: PackedDesign(matrix, columns.scaling, arithmetic),
        )

    def _columns(self, degree: int) -> tuple[Columns, Any]:
        return self._once(degree, lambda: Columns.of(self._X, self._weights, degree))

    def _once(self, key: Hashable, make: Callable[[], Any]) -> Any:
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]
