"""What all gates share: the prediction methods and the checks of their input."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import _check_sample_weight, _num_samples

from skmoe._compat import RevivedWithDefaults

from .._data.columns import REMEDIES, not_numbers
from .._data.rows import is_frame

if TYPE_CHECKING:
    from ._solver.prepared import PreparedFeatures
    from ._solver.problem import GateSettings, SoftmaxProblem
    from ._solver.solve import Solution

ROW_SUM_TOLERANCE = 1e-6
"""How far a row of targets may sum from 1."""


class BaseGate(RevivedWithDefaults, BaseEstimator, ABC):
    """A gate: an estimator that is fitted on responsibilities and predicts them.

    It is not tagged as a classifier, because its targets are soft and have no classes. What a gate
    can do beyond that it declares by a further base: `SolvedGate`, `TopKGate`, `RestrictableGate`.
    A gate of a user's own needs none of them.
    """

    jitter = 0.0
    """Standard deviation of the noise that a mixture puts on the logits while it explores."""

    @property
    def needs_numbers(self) -> bool:
        """Whether it takes numbers only, so that a mixture encodes other columns for it."""
        return True

    @abstractmethod
    def fit(self, X, R, sample_weight=None):
        """Fit the gate to responsibilities.

        Parameters
        ----------
        X : array-like, sparse matrix or frame of shape (n_samples, n_features)
        R : array-like of shape (n_samples, n_experts)
            Non-negative, rows sum to 1.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative row weights; a weight of 2 is the row twice, of 0 the row absent.

        Returns
        -------
        self : object
        """

    @abstractmethod
    def predict_log_proba(self, X):
        """Logarithm of the probability of each expert, float64, (n_samples, n_experts)."""

    def predict_proba(self, X):
        """Probability of each expert.

        Parameters
        ----------
        X : array-like, sparse matrix or frame of shape (n_samples, n_features)

        Returns
        -------
        proba : ndarray of shape (n_samples, n_experts), float64
            Rows sum to 1.
        """
        return np.exp(self.predict_log_proba(X))

    def predict(self, X):
        """Index of the most probable expert; the lower index where several are.

        Parameters
        ----------
        X : array-like, sparse matrix or frame of shape (n_samples, n_features)

        Returns
        -------
        expert : ndarray of shape (n_samples,), intp
        """
        return self.predict_log_proba(X).argmax(axis=1)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.one_d_labels = False
        tags.target_tags.two_d_labels = True
        return tags


class SolvedGate(BaseGate):
    """A gate that is found by the softmax solver, which a mixture then drives itself.

    So features are prepared once for all fits with them, and each fit goes on from the last.
    """

    @abstractmethod
    def prepare(self, X: Any, sample_weight: np.ndarray) -> PreparedFeatures:
        """Check features, for many fits with them."""

    @abstractmethod
    def solver_settings(self) -> GateSettings:
        """The parameters that the solver heeds."""

    @abstractmethod
    def fitted_from(
        self, features: PreparedFeatures, problem: SoftmaxProblem, solution: Solution
    ) -> SolvedGate:
        """A fitted gate with these parameters, from what the solver found."""


class TopKGate(BaseGate):
    """A gate that finds the most probable experts without the probabilities of the others."""

    @abstractmethod
    def top_k(self, X: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Indices and probabilities (n_samples, k) of the most probable experts of each row."""


class RestrictableGate(BaseGate):
    """A gate that remains one of its kind when an expert goes."""

    @abstractmethod
    def without(self, expert: int) -> BaseGate:
        """The fitted gate, given that it is not one of the experts; a new object."""


def takes_numbers_only(gate):
    """Whether other columns have to be encoded before this gate sees them.

    Parameters
    ----------
    gate : gate, classifier or Pipeline

    Returns
    -------
    only : bool
        False for a gate that is not one of this package: it may have ways of its own.
    """
    return isinstance(gate, BaseGate) and gate.needs_numbers


def check_targets(R, n_samples):
    """Check responsibilities and return them as float64 with rows that sum to 1 exactly.

    Parameters
    ----------
    R : array-like of shape (n_samples, n_experts)
    n_samples : int

    Returns
    -------
    targets : ndarray of shape (n_samples, n_experts), float64

    Raises
    ------
    ValueError
        If R is not 2-D, has another number of rows than X, or if its entries are not finite,
        not non-negative, or do not sum to 1 in every row.
    """
    if R is None:
        raise ValueError("A gate needs targets R of shape (n_samples, n_experts); got None.")
    targets = np.asarray(R, dtype=np.float64)
    if targets.ndim != 2 or targets.shape[1] == 0:
        raise ValueError(
            f"R must be 2-D, of shape (n_samples, n_experts); got shape {targets.shape}."
        )
    if len(targets) != n_samples:
        raise ValueError(f"R has {len(targets)} rows, but X has {n_samples}.")
    if not np.isfinite(targets).all():
        row = np.flatnonzero(~np.isfinite(targets).all(axis=1))[0]
        raise ValueError(f"R must be finite; row {row} is {targets[row]}.")
    if targets.min(initial=0.0) < 0:
        row = np.flatnonzero((targets < 0).any(axis=1))[0]
        raise ValueError(f"R must be non-negative; row {row} is {targets[row]}.")
    sums = targets.sum(axis=1)
    off = np.abs(sums - 1.0)
    if off.max(initial=0.0) > ROW_SUM_TOLERANCE:
        row = off.argmax()
        raise ValueError(
            f"Rows of R must sum to 1 (within {ROW_SUM_TOLERANCE}); row {row} sums to {sums[row]}."
        )
    return targets / sums[:, None]


def check_training_rows(X, R, sample_weight):
    """Check targets and weights, and leave out the rows without weight.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        Validated.
    R, sample_weight
        See `check_targets` and `check_row_weights`.

    Returns
    -------
    X : ndarray or CSR matrix of shape (n_rows, n_features)
    targets : ndarray of shape (n_rows, n_experts), float64
    weights : ndarray of shape (n_rows,), float64
        Positive.
    """
    targets = check_targets(R, X.shape[0])
    weights = check_row_weights(sample_weight, X)
    if weights.all():
        return X, targets, weights
    present = weights > 0
    return X[present], targets[present], weights[present]


def check_row_weights(sample_weight, X):
    """Check row weights and return them as float64.

    Parameters
    ----------
    sample_weight : None, number or array-like of shape (n_samples,)
    X : array-like, sparse matrix or frame of shape (n_samples, n_features)

    Returns
    -------
    weights : ndarray of shape (n_samples,), float64

    Raises
    ------
    ValueError
        If a weight is not finite or negative, or if all are zero.
    """
    if sample_weight is None:
        return np.ones(_num_samples(X))
    weights = _check_sample_weight(sample_weight, X, dtype=np.float64)
    if weights.min() < 0:
        raise ValueError("sample_weight must be non-negative.")
    if weights.max() == 0:
        raise ValueError("sample_weight is zero for every row.")
    return weights


def check_numeric_columns(X):
    """Raise an error that names the columns of a frame which are not numbers.

    Parameters
    ----------
    X : object
        Anything but a pandas or polars frame passes.

    Raises
    ------
    ValueError
        If a column is neither numeric nor boolean.
    """
    offending = not_numbers(X) if is_frame(X) else []
    if offending:
        raise ValueError(
            f"the gate needs numeric features, but these columns are not: {offending}; {REMEDIES}"
        )
