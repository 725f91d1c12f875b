"""Fitting a gate in each view of the data, with the interface that EM expects."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.utils import _safe_indexing

from .._weights import fit_weighted, weight_keyword
from ._classifier import ClassifierGate
from ._softmax import SoftmaxGate


class JudgedGate(NamedTuple):
    """The gates of all views and what they say of all rows.

    Attributes
    ----------
    log_proba : ndarray of shape (n_views, n_samples, n_experts)
    models : tuple of fitted gates, one per view
    """

    log_proba: np.ndarray
    models: tuple


@dataclass(frozen=True)
class GateJudge:
    """A gate, its features, and the views of the data that it is fitted in.

    A gate that can memorise (a forest, say) would freeze the routing just as experts that
    grade their own training rows do: so it is fitted once per view, without the view's fold.

    Parameters
    ----------
    template : unfitted gate
    Z : array-like, sparse matrix or frame of shape (n_samples, n_gate_features)
    views : tuple of arrays of row indices
        The rows that each view fits on.
    """

    template: Any
    Z: Any
    views: tuple[np.ndarray, ...]

    def judge(self, responsibilities, sample_weight, previous=None):
        """M-step of each view's gate.

        Parameters
        ----------
        responsibilities : ndarray of shape (n_views, n_samples, n_experts)
        sample_weight : ndarray of shape (n_samples,)
        previous : JudgedGate or None
            Gates that can start warm go on from there.

        Returns
        -------
        judged : JudgedGate
        """
        log_proba = np.empty_like(responsibilities)
        models = []
        for view, rows in enumerate(self.views):
            gate = self._start(None if previous is None else previous.models[view])
            Z = self.Z if len(rows) == len(sample_weight) else _safe_indexing(self.Z, rows)
            fit_weighted(gate, Z, responsibilities[view, rows], sample_weight[rows])
            log_proba[view] = gate.predict_log_proba(self.Z)
            models.append(gate)
        return JudgedGate(log_proba, tuple(models))

    def refit(self, judged, responsibilities, sample_weight):
        """The gate for prediction: fitted on all rows.

        Parameters
        ----------
        judged : JudgedGate
        responsibilities : ndarray of shape (n_samples, n_experts)
            Held out.
        sample_weight : ndarray of shape (n_samples,)

        Returns
        -------
        gate : fitted gate
        """
        if len(self.views) == 1:  # in-sample: that gate has seen all rows already
            return judged.models[0]
        return fit_weighted(clone(self.template), self.Z, responsibilities, sample_weight)

    def _start(self, previous):
        if previous is not None and isinstance(previous, SoftmaxGate):
            # Fitting replaces attributes and changes no array in place, so that the earlier
            # iterate, which may prove the best, survives in the original object.
            return copy.copy(previous)
        gate = clone(self.template)
        return gate.set_params(warm_start=True) if isinstance(gate, SoftmaxGate) else gate


def as_gate(gate):
    """An unfitted copy of a gate; a classifier is wrapped so that it takes soft targets.

    Parameters
    ----------
    gate : gate, classifier with ``predict_proba``, or None for ``SoftmaxGate()``

    Returns
    -------
    gate : gate

    Raises
    ------
    TypeError
        If it is no estimator.
    ValueError
        If it takes no weights.
    """
    if gate is None:
        return SoftmaxGate()
    if isinstance(gate, type) or not hasattr(gate, "get_params"):
        raise TypeError(
            f"gate must be an estimator instance, got {gate!r}"
            + (f"; did you mean {gate.__name__}()?" if isinstance(gate, type) else "")
        )
    if weight_keyword(gate) is None:
        raise ValueError(
            f"gate={gate!r} takes no sample_weight, so it cannot be fitted to responsibilities; "
            "use a classifier whose fit has sample_weight, such as LogisticRegression or "
            "HistGradientBoostingClassifier, or leave the gate at its default, SoftmaxGate()"
        )
    return ClassifierGate(clone(gate)) if is_classifier(gate) else clone(gate)
