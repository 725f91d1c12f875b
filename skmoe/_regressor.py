"""Mixture of experts for regression."""

from __future__ import annotations

from sklearn.base import RegressorMixin
from sklearn.linear_model import Ridge
from sklearn.utils._param_validation import StrOptions

from ._base import BaseMixtureOfExperts
from ._likelihoods import REGRESSION_LIKELIHOODS, regression_likelihood
from ._validation import check_real_target


class MixtureOfExpertsRegressor(RegressorMixin, BaseMixtureOfExperts):
    _parameter_constraints: dict = {
        **BaseMixtureOfExperts._parameter_constraints,
        "likelihood": [StrOptions(set(REGRESSION_LIKELIHOODS))],
    }

    def __init__(
        self,
        experts=None,
        *,
        n_experts=4,
        gate=None,
        gate_features=None,
        likelihood="gaussian",
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
        self.likelihood = likelihood
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

    def predict(self, X):
        """Mean of the mixture: the experts' predictions, weighted by the gate.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        """
        return self._mixed(X)

    def _default_expert(self):
        return Ridge()

    def _check_target(self, y):
        return check_real_target(self, y)

    def _prepare(self, data, names, templates):
        return data.y, regression_likelihood(self.likelihood, data.y, data.sample_weight)

    def _encode(self, y):
        return check_real_target(self, y)

    @property
    def _dispersion(self):
        return self.scale_.reshape(self.n_experts_, -1)

    def _set_fitted(self, checked, trained, names, columns, likelihood, Z):
        super()._set_fitted(checked, trained, names, columns, likelihood, Z)
        scale = trained.dispersion
        self.scale_ = scale[:, 0] if scale.shape[1] == 1 else scale

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        experts = self._expert_tags()
        tags.target_tags.multi_output = bool(experts) and all(
            expert.target_tags.multi_output for expert in experts
        )
        return tags
