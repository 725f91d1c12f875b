"""Class labels for experts that take only codes."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone

from .._data.weights import fit_weighted


class EncodedLabels(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """A classifier that takes the classes 0, 1, ... only, behind the labels of the user.

    An expert becomes one if it refuses the labels of its rows, as `XGBClassifier` does with
    strings, and with numbers where the rows of the expert lack a class.

    Parameters
    ----------
    estimator : classifier

    Attributes
    ----------
    estimator_ : classifier
        Fitted to codes.
    classes_ : ndarray of shape (n_classes,)
        Labels that the codes stand for.
    """

    def __init__(self, estimator):
        self.estimator = estimator

    def fit(self, X, y, sample_weight=None):
        """Fit a clone of the classifier to codes.

        Parameters
        ----------
        X : array-like, sparse matrix or frame of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        self : EncodedLabels
        """
        self.classes_, codes = np.unique(y, return_inverse=True)
        self.estimator_ = fit_weighted(clone(self.estimator), X, codes, sample_weight)
        return self

    def predict_proba(self, X):
        """Class probabilities of shape (n_samples, n_classes)."""
        return self.estimator_.predict_proba(X)

    def predict(self, X):
        """Labels of shape (n_samples,)."""
        return self.classes_[np.argmax(self.predict_proba(X), axis=1)]

    def __sklearn_is_fitted__(self):
        return hasattr(self, "estimator_")


def are_codes(y) -> bool:
    """Whether labels are 0, 1, ... already, with none left out."""
    labels = np.unique(y)
    return labels.dtype.kind in "iuf" and np.array_equal(labels, np.arange(len(labels)))
