"""Judging a gate on rows that it did not see, with the interface that EM expects."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.utils import _safe_indexing

from .._weights import fit_weighted
from ._classifier import ClassifierGate
from ._softmax import SoftmaxGate


class JudgedGate(NamedTuple):
    """Held-out gate log-probabilities and the gates that gave them.

    Attributes
    ----------
    log_proba : ndarray of shape (n_samples, n_experts)
    models : tuple of fitted gates, one per split
    """

    log_proba: np.ndarray
    models: tuple


@dataclass(frozen=True)
class GateJudge:
    """A gate, its features, and the splits by which it is judged.

    A gate that can memorise (a forest, say) would freeze the routing just as experts that
    grade their own training rows do: so it is cross-fitted on the same splits as they are.

    Parameters
    ----------
    template : unfitted gate
    Z : array-like, sparse matrix or frame of shape (n_samples, n_gate_features)
    splits : tuple of (train, test) arrays of row indices
        One split whose two parts are both all rows judges in-sample.
    """

    template: Any
    Z: Any
    splits: tuple[tuple[np.ndarray, np.ndarray], ...]

    def judge(self, responsibilities, sample_weight, previous=None):
        """M-step of the gate on each split's training part; predict its test part.

        Parameters
        ----------
        responsibilities : ndarray of shape (n_samples, n_experts)
        sample_weight : ndarray of shape (n_samples,)
        previous : JudgedGate or None
            Gates that can start warm go on from there.

        Returns
        -------
        judged : JudgedGate
        """
        log_proba = np.empty_like(responsibilities)
        models = []
        for split, (train, test) in enumerate(self.splits):
            gate = self._start(None if previous is None else previous.models[split])
            models.append(self._fit(gate, train, responsibilities, sample_weight))
            log_proba[test] = models[-1].predict_log_proba(self._rows(test))
        return JudgedGate(log_proba, tuple(models))

    def refit(self, judged, responsibilities, sample_weight):
        """The gate fitted on all rows, as it is used for prediction."""
        if len(self.splits) == 1:  # judged in-sample: it already is
            return judged.models[0]
        everything = np.arange(len(sample_weight))
        return self._fit(clone(self.template), everything, responsibilities, sample_weight)

    def _start(self, previous):
        if previous is not None and isinstance(previous, SoftmaxGate):
            # Fitting replaces attributes and changes no array in place, so that the earlier
            # iterate, which may prove the best, survives in the original object.
            return copy.copy(previous)
        gate = clone(self.template)
        return gate.set_params(warm_start=True) if isinstance(gate, SoftmaxGate) else gate

    def _fit(self, gate, rows, responsibilities, sample_weight):
        return fit_weighted(gate, self._rows(rows), responsibilities[rows], sample_weight[rows])

    def _rows(self, rows):
        return self.Z if len(rows) == self.n_samples else _safe_indexing(self.Z, rows)

    @property
    def n_samples(self):
        return sum(len(test) for _, test in self.splits)


def as_gate(gate):
    """An unfitted copy of a gate; a classifier is wrapped so that it takes soft targets.

    Parameters
    ----------
    gate : gate, classifier with ``predict_proba``, or None for ``SoftmaxGate()``

    Returns
    -------
    gate : gate
    """
    if gate is None:
        return SoftmaxGate()
    return ClassifierGate(clone(gate)) if is_classifier(gate) else clone(gate)
