"""A gate made of any classifier that predicts probabilities."""

import numpy as np
from sklearn.base import MetaEstimatorMixin, _fit_context, clone
from sklearn.utils import _safe_indexing, get_tags
from sklearn.utils._param_validation import HasMethods
from sklearn.utils.validation import _num_samples, check_is_fitted, validate_data

from skmoe._data.weights import (
    fit_weighted,
    relative_weights,
    resampled_counts,
    weight_keyword,
)

from ._base import BaseGate, check_row_weights, check_targets

NEGLIGIBLE_RESPONSIBILITY = 1e-8
"""An expert with less responsibility for a row does not see that row's copy."""

PROBABILITY_FLOOR = 1e-10
"""Share of the uniform distribution that is mixed into the classifier's probabilities."""


class ClassifierGate(MetaEstimatorMixin, BaseGate):
    """Gate that asks a classifier which expert is responsible for a row.

    The classifier is fitted on the rows of X repeated once per expert: the copy for expert k
    has label k and weight ``sample_weight_i * R_ik``, so that a log-loss over the copies is
    the cross-entropy with the soft targets. A classifier that takes no weights gets a resample of
    these copies instead, in which each occurs as often as its weight says, on average.

    Parameters
    ----------
    estimator : classifier with predict_proba
        Takes ``sample_weight`` in `fit`, if it can; a Pipeline takes it at its last step. It is
        cloned.

    Attributes
    ----------
    estimator_ : classifier or None
        The fitted classifier; None if a single expert had all responsibility, in which case
        there is nothing to learn.
    n_experts_ : int
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        Only if X was a frame with string column names.

    Notes
    -----
    Responsibilities below 1e-8 are dropped. Every probability has a floor of 1e-10 (the
    classifier's probabilities are mixed with that much of the uniform distribution), also for
    an expert that had no responsibility at all, so that logarithms are finite.

    The resample for a classifier without weights (nearest neighbours, say) has about as many rows
    as the weights add up to (more if all are below 1), and of each expert its own part of them to
    within one row. It is drawn systematically, down the copies of one expert after the other,
    with a fixed offset: the same targets give the same gate. Targets that are 0 or 1 are thereby
    taken as they are; of rows that several experts share, each has some copies in the resample,
    so that probabilities are noisier than with weights.

    Metadata routing is off while the classifier is fitted: the weights are responsibilities,
    not metadata of the user.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from skmoe.gates import ClassifierGate
    >>> X = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    >>> R = np.array([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.1, 0.9]])
    >>> gate = ClassifierGate(DecisionTreeClassifier(max_depth=1)).fit(X, R)
    >>> gate.predict_proba([[0.5]]).round(2)
    array([[0.15, 0.85]])
    """

    _parameter_constraints: dict = {"estimator": [HasMethods(["fit", "predict_proba"])]}

    def __init__(self, estimator):
        self.estimator = estimator

    @property
    def needs_numbers(self) -> bool:
        """No: a classifier may want categories as they are."""
        return False

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, R, sample_weight=None):
        """Fit the classifier to responsibilities.

        Parameters
        ----------
        X : {array-like, sparse matrix, frame} of shape (n_samples, n_features)
            Handed to the classifier in the form that it has.
        R : array-like of shape (n_samples, n_experts)
            Non-negative, rows sum to 1.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative row weights.

        Returns
        -------
        self : ClassifierGate
            The fitted gate.

        Raises
        ------
        ValueError
            If R or the weights are not valid.
        """
        validate_data(self, X, skip_check_array=True)
        targets = check_targets(R, _num_samples(X))
        row_weights = check_row_weights(sample_weight, X)
        weights = row_weights[:, None] * targets
        weights[targets < NEGLIGIBLE_RESPONSIBILITY] = 0.0
        rows, labels = np.nonzero(weights)
        copies = weights[rows, labels]
        if weight_keyword(self.estimator) is None:
            order = np.argsort(labels, kind="stable")  # to keep the total of each expert
            relative = relative_weights(copies[order], row_weights[rows[order]])
            drawn = np.repeat(order, resampled_counts(relative, np.random.RandomState(0)))
            rows, labels, copies = rows[drawn], labels[drawn], None
        self.n_experts_ = targets.shape[1]
        self._present = np.unique(labels)
        self.estimator_ = None
        if len(self._present) > 1:
            self.estimator_ = fit_weighted(
                clone(self.estimator), _safe_indexing(X, rows), labels, copies
            )
        return self

    @property
    def present_(self):
        """Indices of the experts that had responsibility; the columns of `estimator_`."""
        return self._present

    def predict_proba(self, X):
        """Probability of each expert.

        Parameters
        ----------
        X : {array-like, sparse matrix, frame} of shape (n_samples, n_features)

        Returns
        -------
        proba : ndarray of shape (n_samples, n_experts), float64
            Rows sum to 1; no entry is below the floor.
        """
        check_is_fitted(self, "n_experts_")
        validate_data(self, X, reset=False, skip_check_array=True)
        proba = np.zeros((_num_samples(X), self.n_experts_))
        if self.estimator_ is None:
            proba[:, self._present] = 1.0
        elif len(proba):
            proba[:, self.estimator_.classes_] = self.estimator_.predict_proba(X)
        return (1.0 - PROBABILITY_FLOOR) * proba + PROBABILITY_FLOOR / self.n_experts_

    def predict_log_proba(self, X):
        """Logarithm of the probability of each expert.

        Parameters
        ----------
        X : {array-like, sparse matrix, frame} of shape (n_samples, n_features)

        Returns
        -------
        log_proba : ndarray of shape (n_samples, n_experts), float64
            Finite.
        """
        return np.log(self.predict_proba(X))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        wrapped = get_tags(self.estimator).input_tags
        tags.input_tags.sparse = wrapped.sparse
        tags.input_tags.allow_nan = wrapped.allow_nan
        return tags
