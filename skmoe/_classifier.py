"""Mixture of experts for classification."""

from __future__ import annotations

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.utils import column_or_1d

from ._base import BaseMixtureOfExperts
from ._likelihoods import Categorical
from ._validation import check_class_target, check_frozen_classes


class MixtureOfExpertsClassifier(ClassifierMixin, BaseMixtureOfExperts):
    def __init__(
        self,
        experts=None,
        *,
        n_experts=4,
        gate=None,
        gate_features=None,
        share=0.1,
        e_step="crossfit",
        cv=3,
        init="kmeans",
        n_init=1,
        max_iter=30,
        tol=1e-4,
        top_k=None,
        n_jobs=None,
        random_state=None,
        verbose=0,
        warm_start=False,
    ):
        self.experts = experts
        self.n_experts = n_experts
        self.gate = gate
        self.gate_features = gate_features
        self.share = share
        self.e_step = e_step
        self.cv = cv
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.top_k = top_k
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose
        self.warm_start = warm_start

    def predict_proba(self, X):
        """Class probabilities of the mixture.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes)
            Columns in the order of ``classes_``. Never 0, since each expert has a floor.
        """
        return self._mixed(X)

    def predict_log_proba(self, X):
        """Logarithm of `predict_proba`.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)

        Returns
        -------
        log_proba : ndarray of shape (n_samples, n_classes)
        """
        return np.log(self.predict_proba(X))

    def predict(self, X):
        """Most probable class.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Labels as they were in ``fit``.
        """
        return self.classes_[np.argmax(self.predict_proba(X), axis=1)]

    def _default_expert(self):
        return LogisticRegression()

    def _check_target(self, y):
        return check_class_target(self, y)

    def _prepare(self, data, names, templates):
        classes, codes = np.unique(data.y, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(
                f"{type(self).__name__} needs at least 2 classes in the rows of positive weight, "
                f"got 1 class: {classes[0]!r}"
            )
        check_frozen_classes(names, templates, classes)
        return codes, Categorical(classes, learn_floor=self.e_step != "insample")

    def _encode(self, y):
        y = column_or_1d(y, warn=True)
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(f"y holds labels that fit has not seen: {list(unknown)}")
        return np.searchsorted(self.classes_, y)

    @property
    def _dispersion(self):
        return self.floor_

    def _set_fitted(self, checked, trained, names, columns, likelihood, Z):
        super()._set_fitted(checked, trained, names, columns, likelihood, Z)
        self.classes_ = likelihood.classes
        self.floor_ = trained.dispersion
