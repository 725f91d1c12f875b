"""The features that the gate of each fold is fitted on, made once for a whole training."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing

from .._data.columns import naming_remedies
from .._data.folds import Folds
from ..gates._base import SolvedGate
from ..gates._pipeline import fit_transformers, transformed, transformers_of
from ..gates._solver.prepared import PreparedFeatures


class FoldFeatures:
    """The owner of the gate's features in each fold; they are made when they are first asked for.

    They are the same in all folds unless the gate is a Pipeline: then its transformers are
    fitted once per fold, on the fold's training rows. (Those that learn from targets stay with
    the gate; see `transformers_of`.)

    Parameters
    ----------
    template : unfitted gate
    Z : array-like, sparse matrix or frame of shape (n_samples, n_gate_features)
    folds : Folds
    """

    def __init__(self, template: Any, Z: Any, folds: Folds):
        self.templates = transformers_of(template)
        self._Z, self._folds = Z, folds
        self._rows: dict[Hashable, tuple[tuple[Pipeline, ...], Any]] = {}
        self._prepared: dict[Hashable, PreparedFeatures] = {}

    def rows(self, fold: int | None) -> tuple[tuple[Pipeline, ...], Any]:
        """Fitted transformers, and all rows as they make them; of no fold: fitted on all rows."""
        key = self._key(fold)
        if key not in self._rows:
            Z = self._Z if key is None else _safe_indexing(self._Z, self._folds.train(key))
            with naming_remedies(Z):
                transformers = fit_transformers(self.templates, Z)
            self._rows[key] = transformers, transformed(transformers, self._Z)
        return self._rows[key]

    def prepared(
        self, fold: int | None, gate: SolvedGate, sample_weight: np.ndarray
    ) -> PreparedFeatures:
        """The rows of a fold as the solver takes them.

        Their standardisation is that of all rows, whatever the fold: it knows nothing of targets.
        """
        key = self._key(fold)
        if key not in self._prepared:
            self._prepared[key] = gate.prepare(self.rows(fold)[1], sample_weight)
        return self._prepared[key]

    def _key(self, fold: int | None) -> int | None:
        if not self.templates or fold is None:
            return None
        return None if len(self._folds.train(fold)) == len(self._folds.judge) else fold
