"""Fitting a gate in each fold, with the interface that EM expects."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.utils import _safe_indexing

from .._data.folds import Folds
from .._data.weights import fit_weighted, weight_keyword
from ..gates._classifier import ClassifierGate
from ..gates._softmax import SoftmaxGate
from ..gates._solver.penalty import PROVISIONAL


class HeldOutGate(NamedTuple):
    """The gates of all folds and what they say of all rows.

    Attributes
    ----------
    log_proba : ndarray of shape (n_folds, n_samples, n_experts)
    models : tuple of fitted gates, one per fold
    solutions : tuple
        What the solver of a gate that was prepared goes on from, one per fold; else empty.
    """

    log_proba: np.ndarray
    models: tuple
    solutions: tuple = ()


@dataclass(frozen=True)
class GateTrainer:
    """A gate, its features, and the folds that it is fitted in.

    A gate that can memorise (a forest, say) would freeze the routing just as experts that
    grade their own training rows do: so it is fitted once per fold, without the rows it tests.

    A gate with a method ``prepare``, which the softmax gate has, gets all rows once and is then
    fitted with weight 0 for those that a fold tests. (Only the standardisation of the features is
    then common to the folds; it knows nothing of targets.) Each fit goes on from that of the last
    iteration and takes at least one step, and more as long as another promises to raise the
    expected log-likelihood per row by more than `accuracy`: any rise keeps the guarantee of EM
    (Dempster et al., 1977, section 1: generalised EM), and what lies below the tolerance of EM is
    not worth a pass over the data. With `accuracy` 0 the gate's own `tol` decides.

    A penalty that is left to be chosen (``alpha="auto"``) is chosen by whoever trains the mixture,
    with `with_penalty`: its held-out log-likelihood says more than that of the gate alone.

    Parameters
    ----------
    template : unfitted gate
    Z : array-like, sparse matrix or frame of shape (n_samples, n_gate_features)
    folds : Folds
    accuracy : float, default=0.0
        In units of the log-likelihood per row.
    penalty : float, default=None
        That of the template, if it is one of those to choose from.

    References
    ----------
    Dempster, A. P., Laird, N. M. and Rubin, D. B. (1977). Maximum likelihood from incomplete
    data via the EM algorithm. Journal of the Royal Statistical Society B 39(1), 1-38.

    Liu, C. and Rubin, D. B. (1994). The ECME algorithm: a simple extension of EM and ECM with
    faster monotone convergence. Biometrika 81(4), 633-648.

    MacKay, D. J. C. (1992). Bayesian interpolation. Neural Computation 4(3), 415-447.
    """

    template: Any
    Z: Any
    folds: Folds
    accuracy: float = 0.0
    penalty: float | None = None
    _prepared: dict = field(default_factory=dict, repr=False, compare=False)

    def fit_held_out(self, responsibilities, sample_weight, previous=None):
        """M-step of each fold's gate.

        Parameters
        ----------
        responsibilities : ndarray of shape (n_folds, n_samples, n_experts)
        sample_weight : ndarray of shape (n_samples,)
        previous : HeldOutGate or None
            Gates that can start warm go on from there.

        Returns
        -------
        held_out : HeldOutGate
        """
        if hasattr(self.template, "prepare"):
            return self._fit_prepared(responsibilities, sample_weight, previous)
        log_proba = np.empty_like(responsibilities)
        models = []
        for fold, weights in enumerate(self.folds.each_weights(sample_weight)):
            gate, rows = clone(self.template), np.flatnonzero(weights)
            Z = self.Z if len(rows) == len(sample_weight) else _safe_indexing(self.Z, rows)
            fit_weighted(gate, Z, responsibilities[fold, rows], weights[rows])
            log_proba[fold] = gate.predict_log_proba(self.Z)
            models.append(gate)
        return HeldOutGate(log_proba, tuple(models))

    def _fit_prepared(self, responsibilities, sample_weight, previous):
        n_experts = responsibilities.shape[-1]
        if n_experts not in self._prepared:
            prepared = self.template.prepare(self.Z, sample_weight, n_experts)
            self._prepared[n_experts] = prepared
        prepared = self._prepared[n_experts]
        solutions = []
        for fold, weights in enumerate(self.folds.each_weights(sample_weight)):
            last = None if previous is None else previous.solutions[fold]
            solution = prepared.solve(
                responsibilities[fold],
                weights,
                start=None if last is None else last.coef,
                memory=None if last is None else last.memory,
                known=None if last is None else last.end,
                accuracy=self.accuracy,
                alpha=self.penalty,
            )
            solutions.append(solution)
        return _held_out(prepared, solutions)

    def maximize_likelihood(self, log_density, sample_weight, previous, accuracy):
        """Maximise the log-likelihood in each fold, given the densities of the experts.

        This is where `fit_held_out`, alternating with E-steps, would end, in far fewer passes over
        the data (ECME; Liu and Rubin, 1994).

        Parameters
        ----------
        log_density : ndarray of shape (n_samples, n_experts)
        sample_weight : ndarray of shape (n_samples,)
        previous : HeldOutGate
        accuracy : float
            In units of the log-likelihood per row.

        Returns
        -------
        held_out : HeldOutGate or None
            None if this gate can be fitted to responsibilities only.
        """
        prepared = self._prepared.get(log_density.shape[1])
        if prepared is None or not np.isfinite(log_density.sum()):
            return None
        if not prepared.maximizes_likelihood:
            return None
        solutions = [
            prepared.maximize_likelihood(
                log_density, weights, last, accuracy=accuracy, alpha=self.penalty
            )
            for weights, last in zip(
                self.folds.each_weights(sample_weight), previous.solutions, strict=True
            )
        ]
        return _held_out(prepared, solutions)

    @property
    def chooses_penalty(self):
        """Whether the gate's penalty is left to be chosen on held-out rows."""
        return self.penalty is not None

    def seems_too_strong(self, held_out, sample_weight):
        """Whether the evidence speaks for a weaker penalty; only a guess, but it costs nothing.

        With a Gaussian prior, whose precision is ``n alpha``, the evidence is largest where
        ``n alpha ||W||^2`` is the number of coefficients that the data determine, and so below
        that of all coefficients (MacKay, 1992).

        Parameters
        ----------
        held_out : HeldOutGate
            Fitted with the penalty at hand.
        sample_weight : ndarray of shape (n_samples,)
            A weight of 2 counts as two rows.
        """
        solution = held_out.solutions[0]
        slopes = solution.coef[:, :-1]
        n_free = slopes.size - slopes.shape[1]  # they sum to zero over the experts
        n_rows = self.folds.weights(0, sample_weight).sum()
        return n_rows * solution.alpha * np.sum(np.square(slopes)) > n_free

    def with_penalty(self, penalty):
        """The same with another penalty, on the same prepared features."""
        template = clone(self.template).set_params(alpha=penalty)
        return replace(self, template=template, penalty=penalty)

    def with_degree(self, degree):
        """The same with a softmax gate of this degree."""
        if self.template.degree == degree:
            return self
        template = clone(self.template).set_params(degree=degree)
        return replace(self, template=template, _prepared={})

    def refit(self, held_out, responsibilities, sample_weight):
        """The gate for prediction: fitted on all rows.

        Parameters
        ----------
        held_out : HeldOutGate
        responsibilities : ndarray of shape (n_samples, n_experts)
            Held out.
        sample_weight : ndarray of shape (n_samples,)

        Returns
        -------
        gate : fitted gate
        """
        if self.folds.is_in_sample:  # that gate has seen all rows already
            return held_out.models[0]
        prepared = self._prepared.get(responsibilities.shape[1])
        if prepared is not None:
            # Close, and the same whatever the order of the folds.
            start = np.mean([solution.coef for solution in held_out.solutions], axis=0)
            return prepared.finish(responsibilities, sample_weight, start, alpha=self.penalty)
        rows, Z = np.flatnonzero(sample_weight), self.Z
        if len(rows) < len(sample_weight):
            Z = _safe_indexing(Z, rows)
        gate = clone(self.template)
        return fit_weighted(gate, Z, responsibilities[rows], sample_weight[rows])


def _held_out(prepared, solutions):
    first = prepared.log_proba(solutions[0])
    log_proba = first[np.newaxis]
    if len(solutions) > 1:  # one at a time: stacking would hold all of them twice
        log_proba = np.empty((len(solutions), *first.shape))
        log_proba[0] = first
        for fold in range(1, len(solutions)):
            log_proba[fold] = prepared.log_proba(solutions[fold])
    return HeldOutGate(log_proba, tuple(map(prepared.gate, solutions)), tuple(solutions))


def gate_trainer(template: Any, Z: Any, folds: Folds, accuracy: float = 0.0) -> GateTrainer:
    """The trainer of a gate, with a provisional penalty where it is left to be chosen.

    Parameters
    ----------
    template : unfitted gate
    Z : array-like, sparse matrix or frame of shape (n_samples, n_gate_features)
    folds : Folds
    accuracy : float, default=0.0
        In units of the log-likelihood per row.

    Returns
    -------
    trainer : GateTrainer
    """
    trainer = GateTrainer(template, Z, folds, accuracy)
    if getattr(template, "alpha", None) == "auto":
        return trainer.with_penalty(PROVISIONAL)
    return trainer


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
        return SoftmaxGate(alpha="auto")
    if isinstance(gate, type) or not hasattr(gate, "get_params"):
        raise TypeError(
            f"gate must be an estimator instance, got {gate!r}"
            + (f"; did you mean {gate.__name__}()?" if isinstance(gate, type) else "")
        )
    if is_classifier(gate):
        return ClassifierGate(clone(gate))
    if weight_keyword(gate) is None:
        raise ValueError(
            f"gate={gate!r} takes no sample_weight, so it cannot be fitted to responsibilities; "
            "give its fit that argument, use a classifier with predict_proba, or leave the gate "
            "at its default, SoftmaxGate()"
        )
    return clone(gate)
