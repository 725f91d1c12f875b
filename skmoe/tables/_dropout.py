"""Experts that are trained for the day when a kind of column is missing."""

from __future__ import annotations

from numbers import Real

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, _fit_context, clone
from sklearn.utils import check_random_state, get_tags
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from ._frames import blanked, rows_of, stacked
from ._kinds import KINDS, column_kinds


def _estimator_has(name):
    def has(self):
        return hasattr(getattr(self, "estimator_", self.estimator), name)

    return has


class KindDropout(MetaEstimatorMixin, BaseEstimator):
    """An estimator that is also fitted to copies of rows in which a kind of column is missing.

    For some rows, chosen at random, there is a copy in which all columns of one kind are missing;
    which kind is random, too. What the estimator predicts is not changed.

    In a mixture, each expert is wrapped by itself. The copies are then made of the rows that an
    expert is fitted on, so that in cross-fitting a copy never leaves the fold of its original, and
    only originals are judged: all held-out figures of the mixture are of rows as they are.

    Parameters
    ----------
    estimator : estimator
        One that takes the raw table, such as those of `feature_experts`.
    kinds : dict of {column: str}, default=None
        What is not to be guessed of `column_kinds`.
    rate : float in [0, 1], default=0.5
        Probability that a row gets a copy. 0 makes none.
    random_state : int, RandomState instance or None, default=None

    Attributes
    ----------
    estimator_ : fitted estimator
    kinds_ : ColumnKinds
    classes_ : ndarray of shape (n_classes,)
        Only if the estimator is a classifier.

    See Also
    --------
    make_mixture : With ``goal="robust"`` it wraps all experts.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sklearn.ensemble import RandomForestRegressor
    >>> from skmoe.tables import KindDropout
    >>> rng = np.random.default_rng(0)
    >>> size = rng.uniform(20, 90, 400)
    >>> X = pd.DataFrame({"size": size, "rooms": np.round(size / 30).astype(int)})
    >>> kinds = {"size": "numeric", "rooms": "code"}
    >>> model = KindDropout(RandomForestRegressor(10), kinds, random_state=0).fit(
    ...     X, size
    ... )
    >>> print(f"{model.score(X.assign(size=np.nan), size):.1f}")
    0.9
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict"])],
        "kinds": [dict, None],
        "rate": [Interval(Real, 0, 1, closed="both")],
        "random_state": ["random_state"],
    }

    def __init__(self, estimator, kinds=None, *, rate=0.5, random_state=None):
        self.estimator = estimator
        self.kinds = kinds
        self.rate = rate
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y):
        """Fit the estimator to the rows and to the copies.

        Parameters
        ----------
        X : {frame, array-like} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)

        Returns
        -------
        self : KindDropout
        """
        kinds = column_kinds(X, self.kinds)
        random = check_random_state(self.random_state)
        for kind, rows in kind_copies(kinds, len(y), self.rate, random):
            copies = blanked(rows_of(X, rows), kinds.columns(kind))
            X, y = stacked(X, copies), np.concatenate([y, np.asarray(y)[rows]])
        self.estimator_ = clone(self.estimator).fit(X, y)
        self.kinds_ = kinds
        return self

    def predict(self, X):
        """Predictions of the fitted estimator.

        Parameters
        ----------
        X : {frame, array-like} of shape (n_samples, n_features)

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        """
        check_is_fitted(self)
        return self.estimator_.predict(X)

    @available_if(_estimator_has("predict_proba"))
    def predict_proba(self, X):
        """Class probabilities of the fitted estimator.

        Parameters
        ----------
        X : {frame, array-like} of shape (n_samples, n_features)

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes)
        """
        check_is_fitted(self)
        return self.estimator_.predict_proba(X)

    @available_if(_estimator_has("score"))
    def score(self, X, y):
        """Score of the fitted estimator.

        Parameters
        ----------
        X : {frame, array-like} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)

        Returns
        -------
        score : float
        """
        check_is_fitted(self)
        return self.estimator_.score(X, y)

    @property
    def classes_(self):
        """Classes of the fitted estimator."""
        return self.estimator_.classes_

    @property
    def n_features_in_(self):
        """Number of columns seen in fit."""
        return self.estimator_.n_features_in_

    def __sklearn_tags__(self):
        tags, own = super().__sklearn_tags__(), get_tags(self.estimator)
        tags.estimator_type = own.estimator_type
        tags.classifier_tags = own.classifier_tags
        tags.regressor_tags = own.regressor_tags
        tags.target_tags = own.target_tags
        tags.input_tags.allow_nan = own.input_tags.allow_nan
        tags.input_tags.string = own.input_tags.string
        tags.input_tags.categorical = own.input_tags.categorical
        return tags


def kind_copies(kinds, n_samples, rate, random):
    """Which rows get a copy, by the kind that is missing in it.

    Parameters
    ----------
    kinds : ColumnKinds
    n_samples : int
    rate : float
    random : numpy.random.RandomState

    Returns
    -------
    copies : list of (str, ndarray of int)
        Empty if there are not two kinds or more: a row without anything teaches nothing.
    """
    present = [kind for kind in KINDS if kinds.columns(kind)]
    if len(present) < 2 or rate == 0:
        return []
    has_copy = random.uniform(size=n_samples) < rate
    choice = random.randint(len(present), size=n_samples)
    rows = [np.flatnonzero(has_copy & (choice == k)) for k in range(len(present))]
    return [(kind, own) for kind, own in zip(present, rows, strict=True) if len(own)]
