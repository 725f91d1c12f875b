"""A fitted gate that chooses among fewer experts than it was trained for."""

import numpy as np

from .._arithmetic import log_softmax
from .._data.weights import last_step
from ._base import RestrictableGate


def without_expert(gate, expert):
    """Take an expert's choice away from a fitted gate; the others share its probability.

    ``p(k | x, not expert) = p(k | x) / (1 - p(expert | x))``: no data are needed.

    Parameters
    ----------
    gate : fitted gate
        A `RestrictableGate` such as `SoftmaxGate` remains one of its kind; others are wrapped.
    expert : int

    Returns
    -------
    gate : fitted gate
        A new object.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.gates import GaussianGate
    >>> from skmoe.gates._renormalised import without_expert
    >>> X = np.array([[-1.0], [0.0], [1.0]])
    >>> gate = GaussianGate().fit(X, np.eye(3) * 0.7 + 0.1)
    >>> proba = without_expert(gate, 1).predict_proba(X)
    >>> expected = gate.predict_proba(X)[:, [0, 2]]
    >>> np.allclose(proba, expected / expected.sum(axis=1, keepdims=True))
    True
    """
    if isinstance(gate, RestrictableGate):
        return gate.without(expert)
    return RenormalisedGate(gate, np.delete(np.arange(last_step(gate).n_experts_), expert))


class RenormalisedGate(RestrictableGate):
    """A fitted gate restricted to some of its experts.

    Like a `FrozenEstimator` it is fitted from the start, and `fit` leaves it as it is.

    Parameters
    ----------
    gate : fitted gate
    experts : ndarray of int
        Those that remain, in ascending order.
    """

    def __init__(self, gate, experts):
        self.gate = gate
        self.experts = experts

    @property
    def n_experts_(self):
        """Number of experts that remain."""
        return len(self.experts)

    def without(self, expert):
        """A fitted gate with one expert less, by its position among those that remain.

        Parameters
        ----------
        expert : int

        Returns
        -------
        gate : RenormalisedGate
        """
        return RenormalisedGate(self.gate, np.delete(self.experts, expert))

    def fit(self, X, R, sample_weight=None):
        """Do nothing.

        Parameters
        ----------
        X, R, sample_weight
            Ignored.

        Returns
        -------
        self : RenormalisedGate
        """
        return self

    def predict_log_proba(self, X):
        """Logarithm of the probability of each expert that remains.

        Parameters
        ----------
        X : array-like, sparse matrix or frame of shape (n_samples, n_features)

        Returns
        -------
        log_proba : ndarray of shape (n_samples, n_experts)
            Equal for all experts in a row that only those who went were for.
        """
        log_proba = np.asarray(self.gate.predict_log_proba(X))[:, self.experts]
        log_proba[np.isneginf(log_proba).all(axis=1)] = 0.0
        return log_softmax(log_proba)

    def __sklearn_is_fitted__(self):
        return True
