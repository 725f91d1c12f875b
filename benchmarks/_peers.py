"""Methods of other packages, called as their own documentation does.

They are optional (``requirements-peers.txt``) and imported where they are used. Those that
combine fitted models need rows that these models did not see; a third of the training rows is
set apart for it.
"""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.model_selection import train_test_split

HELD_OUT = 1 / 3


class _HeldOut(BaseEstimator):
    """Fits the experts on two thirds of the rows and a combination of them on the others."""

    def __init__(self, experts, seed):
        self.experts = experts
        self.seed = seed

    def _split(self, X, y, stratify):
        return train_test_split(
            X, y, test_size=HELD_OUT, stratify=stratify, random_state=self.seed
        )

    def _fit_experts(self, X, y):
        self.fitted_ = {name: clone(expert).fit(X, y) for name, expert in self.experts}


class DynamicSelection(ClassifierMixin, _HeldOut):
    """A selector of DESlib, with its defaults but one.

    By default the selected experts vote and probabilities are shares of votes, with a log-loss two
    to four times as large as that of their mean probabilities, which are taken here.
    """

    def __init__(self, experts, seed, selector):
        super().__init__(experts, seed)
        self.selector = selector

    def fit(self, X, y):
        from deslib import des

        X, X_held_out, y, y_held_out = self._split(X, y, stratify=y)
        self._fit_experts(X, y)
        kind = getattr(des, self.selector)
        experts = list(self.fitted_.values())
        self.model_ = kind(experts, voting="soft", random_state=self.seed, n_jobs=1)
        self.model_.fit(X_held_out, y_held_out)
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return self.model_.predict(X)

    def predict_proba(self, X):
        return self.model_.predict_proba(X)


def dynamic_selection(task, seed, pool, selector):
    return DynamicSelection(pool(task, seed), seed, selector)


class NeighbourhoodRegressor(RegressorMixin, _HeldOut):
    """deskit's DEWS-U, the first of those that it recommends for regression."""

    def fit(self, X, y):
        from deskit.des.dewsu import DEWSU

        X, X_held_out, y, y_held_out = self._split(X, y, stratify=None)
        self._fit_experts(X, y)
        self.router_ = DEWSU(task="regression", metric="mae", mode="min", k=20)
        self.router_.fit(X_held_out, y_held_out, self._predictions(X_held_out))
        return self

    def _predictions(self, X):
        return {name: expert.predict(X) for name, expert in self.fitted_.items()}

    def predict(self, X):
        return self.router_.predict(X, self._predictions(X))


class NeighbourhoodClassifier(ClassifierMixin, _HeldOut):
    """deskit's KNORA-U of its quick start, with the score that it takes for probabilities."""

    def fit(self, X, y):
        from deskit.des.knorau import KNORAU

        X, X_held_out, y, y_held_out = self._split(X, y, stratify=y)
        self._fit_experts(X, y)
        self.classes_ = np.unique(y)
        self.router_ = KNORAU(task="classification", metric="log_loss", mode="min", k=20)
        self.router_.fit(X_held_out, y_held_out, self._predictions(X_held_out))
        return self

    def _predictions(self, X):
        return {name: expert.predict_proba(X) for name, expert in self.fitted_.items()}

    def predict_proba(self, X):
        return self.router_.predict(X, self._predictions(X))

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def neighbourhood_weights(task, seed, pool):
    kind = NeighbourhoodRegressor if task == "regression" else NeighbourhoodClassifier
    return kind(pool(task, seed), seed)


def track_rail(task, seed):
    """tra-algorithm with experts of its own and the settings that its README recommends."""
    from tra_algorithm import EnhancedTRA

    fusion = (
        {"combination_mode": "routing", "router_use_oof": True}
        if task == "regression"
        else {"combination_mode": "stacking"}
    )
    return EnhancedTRA(
        task_type=task,
        n_tracks=4,
        small_data_auto_mode=False,
        feature_selection=False,
        random_state=seed,
        n_jobs=1,
        max_workers=1,
        **fusion,
    )


def linear_tree(task, seed, experts):
    from lineartree import LinearTreeClassifier, LinearTreeRegressor

    kind = LinearTreeRegressor if task == "regression" else LinearTreeClassifier
    return kind(experts[task])


class ConditionalMixture(RegressorMixin, BaseEstimator):
    """cgmm's mixture of linear experts, with the density under the name that scikit-learn uses."""

    def __init__(self, n_experts, seed):
        self.n_experts = n_experts
        self.seed = seed

    def fit(self, X, y):
        from cgmm import MixtureOfExpertsRegressor

        self.model_ = MixtureOfExpertsRegressor(self.n_experts, random_state=self.seed)
        self.model_.fit(X, y)
        return self

    def predict(self, X):
        return np.ravel(self.model_.predict(X))

    def log_density(self, X, y):
        return self.model_.log_prob(X, y)


def cgmm_mixture(task, seed, n_experts):
    return ConditionalMixture(n_experts, seed)
