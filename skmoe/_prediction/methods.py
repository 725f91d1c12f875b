"""What a fitted mixture says of rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.utils import Bunch, check_consistent_length
from sklearn.utils.validation import check_is_fitted

from .._arithmetic import e_step
from .._data.columns import GateColumns
from .._data.protection import protected
from .._data.rows import check_features
from .._experts.fitting import expert_output
from .._shared_expert.expert import mixed_log_density
from .dispatch import dense_blocks, each_expert, mix, mix_outputs, sparse_blocks
from .max_error import bounded_route
from .routing import Route, most_probable, route_by
from .single_row import is_plain_row, output_for_plain_row
from .utilization import Utilization


class MixturePrediction:
    """Routing, densities and the mixed prediction of a fitted mixture."""

    gate_: Any
    experts_: list
    named_experts_: Bunch
    n_experts_: int
    n_jobs: int | None
    top_k: int | None
    _dispersion: Any
    _encode: Callable
    gate_columns_: GateColumns
    _likelihood: Any
    _shared: Any = None  # of models fitted before there was one
    _truncation_bound: Callable

    def gate_proba(self, X: Any) -> np.ndarray:
        """Gate probabilities of all experts.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)

        Returns
        -------
        proba : ndarray of shape (n_samples, n_experts)
            Rows sum to 1.
        """
        return self._gate_proba(self._check_X(X))

    def apply(self, X: Any) -> np.ndarray:
        """Index of the most probable expert of each row; ties go to the first.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)

        Returns
        -------
        expert : ndarray of shape (n_samples,), dtype intp
        """
        return self._route(self._check_X(X), 1).indices[:, 0]

    def route(self, X: Any, top_k: int | None = None, max_error: float | None = None) -> Route:
        """The experts that answer for each row, and with which weights.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
        top_k : int, default=None
            Experts per row; None takes the parameter of the same name.
        max_error : float, default=None
            Take as many experts per row as that error needs, instead of `top_k`; see the
            prediction methods, which have the same parameter.

        Returns
        -------
        route : named tuple
            ``indices`` (n_samples, k), experts by decreasing probability; ``weights``
            (n_samples, k), renormalised; ``mass`` (n_samples,), the probability kept;
            ``experts_per_row`` (n_samples,), how many are evaluated. With `max_error`, k is the
            largest of these, and rows that need fewer experts are padded with weight 0.
            ``shared_weight`` is the part of each prediction that is not theirs but the shared
            expert's.
        """
        chosen = self._route(self._check_X(X), top_k, max_error)
        width = chosen.indices.shape[1] if max_error is None else 0
        return chosen._replace(shared_weight=self._heard_weight(width))

    def utilization(self, X: Any) -> Utilization:
        """How rows are spread over the experts.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)

        Returns
        -------
        utilization : Utilization
            Rows, probability mass and mean weight per expert, with the shared part taken off;
            measures of balance. Prints as a table; ``to_frame()`` gives a pandas frame.
        """
        return self._utilization(self.gate_proba(X))

    def predict_experts(self, X: Any) -> np.ndarray:
        """Predictions of each expert alone.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)

        Returns
        -------
        outputs : ndarray of shape (n_samples, n_experts[, n_classes or n_outputs])
            Class probabilities of classifiers (without floor), predictions of regressors. Of
            several outputs of classes the probabilities are side by side.
        """
        return self._outputs(self._check_X(X))

    def responsibilities(self, X: Any, y: Any) -> np.ndarray:
        """Posterior probability that each expert produced the target of each row.

        The experts have seen the rows that they were trained on: on these, an expert that
        memorises claims what it was given. Judge with new rows.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)

        Returns
        -------
        responsibilities : ndarray of shape (n_samples, n_experts)
            Rows sum to 1.
        """
        X = self._check_X(X)
        return self._e_step(X, self._outputs(X), self._encode(y))[0]

    def log_density(self, X: Any, y: Any) -> np.ndarray:
        """Log-density ``log p(y | x)`` of each row under the mixture of all experts.

        The shared expert, if there is one, is a component of it whatever the gate says.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)

        Returns
        -------
        log_density : ndarray of shape (n_samples,)
        """
        X = self._check_X(X)
        outputs, target = self._outputs(X), self._encode(y)
        _, log_density = self._e_step(X, outputs, target)
        if self._shared is None or self._shared.density_weight == 0.0:
            return log_density
        output = self._shared_output(X, outputs)
        single = self._likelihood.log_density(
            target, output[:, np.newaxis], self._shared.dispersion
        )
        return mixed_log_density(log_density, single[:, 0], self._shared.density_weight)

    def _check_X(self, X):
        if not hasattr(self, "gate_"):  # to ask that is ten times quicker
            check_is_fitted(self)
        return check_features(self, X, reset=False)

    # From here on X has been checked.

    def _utilization(self, gate_proba):
        shared_weight = self._heard_weight(self.top_k or self.n_experts_)
        return Utilization.from_proba(
            gate_proba, tuple(self.named_experts_), self.top_k, shared_weight
        )

    def _heard_weight(self, n_asked):
        """Weight of the shared expert where `n_asked` experts are asked about each row."""
        shared = self._shared
        if shared is None or (shared.needs_all_experts and n_asked < self.n_experts_):
            return 0.0
        return float(shared.weight)

    def _gate_proba(self, X):
        return self.gate_.predict_proba(self.gate_columns_.transform(X))

    def _route(self, X, top_k=None, max_error=None) -> Route:
        if max_error is None:
            Z = self.gate_columns_.transform(X)
            top_k = self.top_k if top_k is None else top_k
            return route_by(self.gate_, Z, self.n_experts_, top_k)
        if top_k is not None:
            raise ValueError(f"give top_k={top_k} or max_error={max_error}, not both")
        return bounded_route(self._gate_proba(X), max_error, self._truncation_bound())

    def _outputs(self, X):
        """What each expert says of each row."""
        return each_expert(X, self.named_experts_, self._likelihood, self.n_jobs)

    def _e_step(self, X, outputs, target):
        """Responsibilities and log-densities."""
        check_consistent_length(outputs, target)
        log_density = self._likelihood.log_density(target, outputs, self._dispersion)
        log_gate = self.gate_.predict_log_proba(self.gate_columns_.transform(X))
        return e_step(log_gate, log_density)

    def _mixed(self, X, max_error=None):
        """Mix the outputs of the routed experts: class probabilities or means."""
        plain = is_plain_row(self, X)
        if not plain:
            X = self._check_X(X)
        shared = self._shared
        if shared is not None and shared.weight == 0.0:  # it only has a part in the density
            shared = None
        of_all = max_error is None and self.top_k in (None, self.n_experts_)
        if shared is not None and shared.needs_all_experts:
            if max_error is not None:
                raise ValueError(
                    f"max_error={max_error} is to save experts, but the consensus of this model "
                    "has to ask all of them; fit it with shared_expert=None"
                )
            if of_all:
                outputs, mixed = self._all_experts(X)
                return shared.blended(mixed, self._shared_component(X, outputs))
            shared = None  # where only few experts are asked, these answer without it
        if max_error is None and self.top_k == 1 and (plain or _is_single_row(X)):
            mixed = self._told_by_one(X, plain)
        else:
            mixed = self._told_by_blocks(X, of_all, max_error)
        if shared is None or len(mixed) == 0:
            return mixed
        return shared.blended(mixed, self._shared_component(X, None))

    def _told_by_blocks(self, X, of_all, max_error):
        if of_all:
            proba = self._gate_proba(X)
            n_samples, blocks = len(proba), dense_blocks(proba)
        else:
            route = self._route(X, max_error=max_error)
            n_samples, blocks = len(route.mass), sparse_blocks(route, self.n_experts_)
        experts, dispersion = self.named_experts_, self._dispersion
        return mix(X, n_samples, blocks, experts, self._likelihood, dispersion, self.n_jobs)

    def _told_by_one(self, X, plain):
        """Prediction for one row by its one expert, which says all of it: there is no weight."""
        X, columns = protected(X), self.gate_columns_
        of_numbers = plain and columns.encodings is None
        expert = most_probable(self.gate_, columns.transform(X), of_numbers)
        description = repr([*self.named_experts_][expert])
        ask = output_for_plain_row if plain else expert_output
        output = ask(self.experts_[expert], X, self._likelihood, description)
        return self._likelihood.component(output, self._dispersion[expert])

    def _all_experts(self, X):
        """Outputs of all experts, and the mixture of them."""
        outputs = self._outputs(X)
        proba = self._gate_proba(X)
        return outputs, mix_outputs(outputs, proba, self._likelihood, self._dispersion)

    def _shared_output(self, X, outputs):
        Z = self.gate_columns_.transform(X)
        return self._shared.output(X, Z, outputs, self._likelihood)

    def _shared_component(self, X, outputs):
        output = self._shared_output(X, outputs)
        return self._likelihood.component(output, self._shared.dispersion[0])


def _is_single_row(X):
    return type(X) is np.ndarray and len(X) == 1
