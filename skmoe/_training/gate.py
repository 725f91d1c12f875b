"""Fitting a gate in each fold, with the interface that EM expects.

A gate that can memorise (a forest, say) would freeze the routing just as experts that grade their
own training rows do: so it is fitted once per fold, without the fold's rows.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing

from .._data.columns import naming_remedies
from .._data.folds import Folds
from .._data.protection import protected
from .._data.weights import fit_weighted, last_step, weight_keyword
from ..gates._base import BaseGate, SolvedGate
from ..gates._classifier import ClassifierGate
from ..gates._pipeline import assembled, learns_from_targets, with_last_step
from ..gates._softmax import SoftmaxGate
from ..gates._solver.penalty import PROVISIONAL
from ..gates._solver.problem import SoftmaxProblem
from ..gates._solver.solve import Solution
from .gate_features import FoldFeatures


class SolvedLogProba(Sequence[np.ndarray]):
    """Log-probabilities (n_samples, n_experts) of each fold's gate, worked out when asked for.

    They take one pass over the features, and to keep them for all folds and iterates would take
    several times the memory of these.
    """

    def __init__(self, problems: Sequence[SoftmaxProblem], solutions: Sequence[Solution]):
        self._problems, self._solutions = problems, solutions

    def __len__(self) -> int:
        return len(self._problems)

    def __getitem__(self, fold):
        return self._problems[fold].log_proba(self._solutions[fold])

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.stack(list(self)).astype(dtype or np.float64, copy=False)


class HeldOutGate(NamedTuple):
    """What the gate of each fold says of all rows.

    Attributes
    ----------
    log_proba : sequence of n_folds ndarrays of shape (n_samples, n_experts)
    fitted : tuple
        For the trainer that made it, one per fold: fitted gates, or solutions of the solver.
    """

    log_proba: np.ndarray | Sequence[np.ndarray]
    fitted: tuple[Any, ...] = ()


@dataclass(frozen=True, eq=False)
class GateTrainer(ABC):
    """A gate, its features, and the folds that it is fitted in; see `gate_trainer`.

    Attributes
    ----------
    template : unfitted gate
    Z : array-like, sparse matrix or frame of shape (n_samples, n_gate_features)
    folds : Folds
    accuracy : float
        In units of the log-likelihood per row.
    features : FoldFeatures
        Of Z.
    penalty : float or None
        That of the template, if it is one of those to choose from.
    """

    template: Any
    Z: Any
    folds: Folds
    accuracy: float
    features: FoldFeatures
    penalty: float | None = None

    @abstractmethod
    def fit_held_out(
        self,
        responsibilities: np.ndarray,
        sample_weight: np.ndarray,
        previous: HeldOutGate | None = None,
    ) -> HeldOutGate:
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

    def maximize_likelihood(
        self,
        log_density: np.ndarray,
        sample_weight: np.ndarray,
        previous: HeldOutGate,
        accuracy: float,
    ) -> HeldOutGate | None:
        """Maximise the log-likelihood in each fold, given the densities of the experts.

        This is where `fit_held_out`, alternating with E-steps, would end, in far fewer passes
        over the data (ECME; Liu and Rubin, 1994).

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

        References
        ----------
        Liu, C. and Rubin, D. B. (1994). The ECME algorithm: a simple extension of EM and ECM
        with faster monotone convergence. Biometrika 81(4), 633-648.
        """
        return None

    @abstractmethod
    def refit(
        self, held_out: HeldOutGate, responsibilities: np.ndarray, sample_weight: np.ndarray
    ) -> Any:
        """The gate for prediction: fitted on all rows.

        Parameters
        ----------
        held_out : HeldOutGate
            Where there is one fold, its gate is taken as it is.
        responsibilities : ndarray of shape (n_samples, n_experts)
            Held out.
        sample_weight : ndarray of shape (n_samples,)

        Returns
        -------
        gate : fitted gate
        """

    @property
    def jitter(self) -> float:
        """Standard deviation of the noise that the gate asks for while EM explores."""
        last = last_step(self.template)
        return last.jitter if isinstance(last, BaseGate) else 0.0

    @property
    def chooses_penalty(self) -> bool:
        """Whether the gate's penalty is left to be chosen on held-out rows."""
        return self.penalty is not None

    def seems_too_strong(self, held_out: HeldOutGate, sample_weight: np.ndarray) -> bool:
        """Whether to look for a weaker penalty first.

        Parameters
        ----------
        held_out : HeldOutGate
            Fitted with the penalty at hand.
        sample_weight : ndarray of shape (n_samples,)
            A weight of 2 counts as two rows.
        """
        raise NotImplementedError(f"{self.template!r} has no penalty that is left to be chosen")

    def with_penalty(self, penalty: float) -> GateTrainer:
        """The same with another penalty, on the same prepared features."""
        raise NotImplementedError(f"{self.template!r} has no penalty that is left to be chosen")

    def with_folds(self, folds: Folds) -> GateTrainer:
        """The same in other folds; features are shared unless each fold has its own."""
        features = self.features
        if features.templates:
            features = FoldFeatures(self.template, self.Z, folds)
        return replace(self, folds=folds, features=features)

    def with_terms(self, terms: str) -> GateTrainer:
        """The same with a softmax gate with these terms, on the same features."""
        raise NotImplementedError(f"{self.template!r} has no terms")


class RefittingTrainer(GateTrainer):
    """Refits any gate in each fold."""

    def fit_held_out(self, responsibilities, sample_weight, previous=None):
        """M-step of each fold's gate; see `GateTrainer.fit_held_out`."""
        template = last_step(self.template) if self.features.templates else self.template
        log_proba, gates = np.empty(responsibilities.shape), []
        for fold in range(len(self.folds)):
            weights = self.folds.weights(fold, sample_weight)
            rows = np.flatnonzero(weights)
            Z = self.features.rows(fold)[1]
            own = Z if len(rows) == len(sample_weight) else _safe_indexing(Z, rows)
            targets = responsibilities[fold, rows].astype(np.float64, copy=False)
            gate = _fitted(template, own, targets, weights[rows])
            log_proba[fold] = gate.predict_log_proba(protected(Z))
            gates.append(gate)
        return HeldOutGate(log_proba, tuple(gates))

    def refit(self, held_out, responsibilities, sample_weight):
        """The gate for prediction; see `GateTrainer.refit`."""
        if not self.folds.is_in_sample:
            rows = np.flatnonzero(sample_weight)
            Z = self.Z if len(rows) == len(sample_weight) else _safe_indexing(self.Z, rows)
            return _fitted(self.template, Z, responsibilities[rows], sample_weight[rows])
        if not self.features.templates:
            return held_out.fitted[0]
        return assembled(self.template, self.features.rows(0)[0], held_out.fitted[0])


def _fitted(template, Z, responsibilities, sample_weight):
    """A clone, fitted; whether its own solver converged is no matter of the mixture's user."""
    with warnings.catch_warnings(), naming_remedies(Z):
        warnings.simplefilter("ignore", ConvergenceWarning)
        return fit_weighted(clone(template), protected(Z), responsibilities, sample_weight)


class SolvingTrainer(GateTrainer):
    """Drives the solver of a `SolvedGate`, which gets all rows, with weight 0 for a fold's own.

    Each fit goes on from that of the last iteration and takes at least one step, and more as long
    as another promises to raise the expected log-likelihood per row by more than `accuracy`: any
    rise keeps the guarantee of EM (Dempster et al., 1977, section 1: generalised EM), and what
    lies below the tolerance of EM is not worth a pass over the data. With `accuracy` 0 the gate's
    own `tol` decides.

    A penalty that is left to be chosen (``alpha="auto"``) is chosen by whoever trains the mixture,
    with `with_penalty`: its held-out log-likelihood says more than that of the gate alone.

    References
    ----------
    Dempster, A. P., Laird, N. M. and Rubin, D. B. (1977). Maximum likelihood from incomplete
    data via the EM algorithm. Journal of the Royal Statistical Society B 39(1), 1-38.

    MacKay, D. J. C. (1992). Bayesian interpolation. Neural Computation 4(3), 415-447.
    """

    @property
    def _gate(self) -> SolvedGate:
        return last_step(self.template)

    def _problem(self, fold, n_experts, sample_weight) -> SoftmaxProblem:
        features = self.features.prepared(fold, self._gate, sample_weight)
        return SoftmaxProblem.of(features, self._gate.solver_settings(), n_experts)

    def _problems(self, n_experts, sample_weight) -> list[SoftmaxProblem]:
        return [self._problem(fold, n_experts, sample_weight) for fold in range(len(self.folds))]

    def fit_held_out(self, responsibilities, sample_weight, previous=None):
        """M-step of each fold's gate; see `GateTrainer.fit_held_out`."""
        problems = self._problems(responsibilities.shape[-1], sample_weight)
        starts = [None] * len(problems) if previous is None else previous.fitted
        solutions = [
            problem.solve(targets.astype(np.float64, copy=False), weights, start, self.accuracy)
            for problem, targets, weights, start in zip(
                problems,
                responsibilities,
                self.folds.each_weights(sample_weight),
                starts,
                strict=True,
            )
        ]
        return _held_out(problems, solutions)

    def maximize_likelihood(self, log_density, sample_weight, previous, accuracy):
        """Maximise the log-likelihood; see `GateTrainer.maximize_likelihood`."""
        if self._gate.solver_settings().is_balanced or not np.isfinite(log_density.sum()):
            return None
        problems = self._problems(log_density.shape[1], sample_weight)
        solutions = [
            problem.maximize_likelihood(log_density, weights, last, accuracy)
            for problem, weights, last in zip(
                problems, self.folds.each_weights(sample_weight), previous.fitted, strict=True
            )
        ]
        return _held_out(problems, solutions)

    def refit(self, held_out, responsibilities, sample_weight):
        """The gate for prediction; see `GateTrainer.refit`."""
        fold = 0 if self.folds.is_in_sample else None
        problem = self._problem(fold, responsibilities.shape[1], sample_weight)
        if fold == 0:
            solution = held_out.fitted[0]
        else:
            start = None
            if not self.features.templates:  # else each fold has columns of its own
                # Close, and the same whatever the order of the folds.
                start = Solution(np.mean([each.coef for each in held_out.fitted], axis=0))
            solution = problem.solve(responsibilities, sample_weight, start)
        features = self.features.prepared(fold, self._gate, sample_weight)
        gate = self._gate.fitted_from(features, problem, solution)
        return assembled(self.template, self.features.rows(fold)[0], gate)

    def seems_too_strong(self, held_out, sample_weight):
        """Whether the evidence speaks for a weaker penalty; only a guess, but it costs nothing.

        With a Gaussian prior, whose precision is ``n alpha``, the evidence is largest where
        ``n alpha ||W||^2`` is the number of coefficients that the data determine, and so below
        that of all coefficients (MacKay, 1992). See `GateTrainer.seems_too_strong`.
        """
        slopes = held_out.fitted[0].coef[:, :-1]
        n_free = slopes.size - slopes.shape[1]  # they sum to zero over the experts
        n_rows = sample_weight[self.folds.train(0)].sum()
        return n_rows * self._gate.alpha * np.sum(np.square(slopes)) > n_free

    def with_penalty(self, penalty):
        """The same with another penalty, on the same prepared features."""
        template = with_last_step(self.template, alpha=penalty)
        return replace(self, template=template, penalty=penalty)

    def with_terms(self, terms):
        """The same with a softmax gate with these terms, on the same features."""
        return replace(self, template=with_last_step(self.template, terms=terms))


def _held_out(problems, solutions):
    return HeldOutGate(SolvedLogProba(problems, solutions), tuple(solutions))


def gate_trainer(template: Any, Z: Any, folds: Folds, accuracy: float = 0.0) -> GateTrainer:
    """The trainer that suits a gate.

    Parameters
    ----------
    template : unfitted gate
        What `as_gate` returns.
    Z : array-like, sparse matrix or frame of shape (n_samples, n_gate_features)
    folds : Folds
    accuracy : float, default=0.0
        In units of the log-likelihood per row; gates with a solver heed it.

    Returns
    -------
    trainer : GateTrainer
        With a penalty that is left to be chosen, a provisional one.
    """
    features, last = FoldFeatures(template, Z, folds), last_step(template)
    whole = last is not template and not features.templates
    if not isinstance(last, SolvedGate) or whole:
        return RefittingTrainer(template, Z, folds, accuracy, features)
    trainer = SolvingTrainer(template, Z, folds, accuracy, features)
    return trainer.with_penalty(PROVISIONAL) if last.solver_settings().alpha == "auto" else trainer


def as_gate(gate):
    """An unfitted copy of a gate; a classifier is wrapped so that it takes soft targets.

    Of a Pipeline that ends in a classifier, only that is wrapped, so that the transformers see
    each row once, unless one of them learns from labels.

    Parameters
    ----------
    gate : gate, classifier with ``predict_proba``, or None for the default

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
        return SoftmaxGate(alpha="auto", terms="auto")
    if isinstance(gate, type) or not hasattr(gate, "get_params"):
        raise TypeError(
            f"gate must be an estimator instance, got {gate!r}"
            + (f"; did you mean {gate.__name__}()?" if isinstance(gate, type) else "")
        )
    if is_classifier(gate):
        return _as_classifier_gate(clone(gate))
    if weight_keyword(gate) is None:
        raise ValueError(
            f"gate={gate!r} takes no sample_weight, so it cannot be fitted to responsibilities; "
            "give its fit that argument, use a classifier with predict_proba, or leave the gate "
            "at its default, SoftmaxGate()"
        )
    return clone(gate)


def _as_classifier_gate(classifier):
    if not isinstance(classifier, Pipeline) or learns_from_targets(classifier[:-1]):
        return ClassifierGate(classifier)
    name, last = classifier.steps[-1]
    classifier.steps = [*classifier.steps[:-1], (name, _as_classifier_gate(last))]
    return classifier
