"""The methods that the accuracy benchmark compares, as their users would call them.

A method is a function ``(task, seed) -> unfitted estimator``. Those of one family see the same
experts. Peers outside scikit-learn are left out, with a note, where they are not installed.
"""

from functools import partial

from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor

N_COPIES = 4
SCORING = {"regression": "neg_mean_squared_error", "classification": "neg_log_loss"}


def pool(task, seed):
    """Five different experts."""
    if task == "regression":
        return [
            ("forest", RandomForestRegressor(random_state=seed)),
            ("boosting", HistGradientBoostingRegressor(random_state=seed)),
            ("linear", Ridge()),
            ("neighbours", KNeighborsRegressor(10)),
            ("svm", SVR(C=10)),
        ]
    return [
        ("forest", RandomForestClassifier(random_state=seed)),
        ("boosting", HistGradientBoostingClassifier(random_state=seed)),
        ("linear", LogisticRegression(max_iter=1000)),
        ("neighbours", KNeighborsClassifier(10)),
        ("network", MLPClassifier((50,), early_stopping=True, random_state=seed)),
    ]


class _BestSingle(BaseEstimator):
    """The expert with the best inner cross-validation."""

    def __init__(self, task, experts):
        self.task = task
        self.experts = experts

    def fit(self, X, y):
        scores = [
            cross_val_score(expert, X, y, cv=5, scoring=SCORING[self.task]).mean()
            for _, expert in self.experts
        ]
        best = max(range(len(scores)), key=scores.__getitem__)
        self.model_ = clone(self.experts[best][1]).fit(X, y)
        return self

    def predict(self, X):
        return self.model_.predict(X)


class BestSingleRegressor(RegressorMixin, _BestSingle):
    """See `_BestSingle`."""


class BestSingleClassifier(ClassifierMixin, _BestSingle):
    """See `_BestSingle`."""

    def predict_proba(self, X):
        return self.model_.predict_proba(X)

    @property
    def classes_(self):
        return self.model_.classes_


def best_single(task, seed):
    kind = BestSingleRegressor if task == "regression" else BestSingleClassifier
    return kind(task, pool(task, seed))


def average(task, seed):
    if task == "regression":
        return VotingRegressor(pool(task, seed))
    return VotingClassifier(pool(task, seed), voting="soft")


def stacking(task, seed):
    kind = StackingRegressor if task == "regression" else StackingClassifier
    return kind(pool(task, seed))


def mixture(task, seed, experts, **params):
    kind = MixtureOfExpertsRegressor if task == "regression" else MixtureOfExpertsClassifier
    return kind(experts, random_state=seed, **params)


def pool_mixture(task, seed, **params):
    return mixture(task, seed, pool(task, seed), **params)


EXPERTS = {
    "linear": {"regression": Ridge(), "classification": LogisticRegression(max_iter=1000)},
    "tree": {
        "regression": DecisionTreeRegressor(min_samples_leaf=10),
        "classification": DecisionTreeClassifier(min_samples_leaf=10),
    },
    "forest": {
        "regression": RandomForestRegressor(40),
        "classification": RandomForestClassifier(40),
    },
    "boosting": {
        "regression": HistGradientBoostingRegressor(),
        "classification": HistGradientBoostingClassifier(),
    },
}


def single(task, seed, kind):
    """One model; a forest with as many trees as all copies have together."""
    expert = clone(EXPERTS[kind][task])
    if kind == "forest":
        expert.set_params(n_estimators=N_COPIES * expert.n_estimators)
    return expert if kind == "linear" else expert.set_params(random_state=seed)


def bagging(task, seed, kind):
    bag = BaggingRegressor if task == "regression" else BaggingClassifier
    return bag(EXPERTS[kind][task], n_estimators=N_COPIES, random_state=seed)


def copies(task, seed, kind, **params):
    return mixture(task, seed, EXPERTS[kind][task], n_experts=N_COPIES, **params)


def linear_tree(task, seed):
    from lineartree import LinearTreeClassifier, LinearTreeRegressor

    kind = LinearTreeRegressor if task == "regression" else LinearTreeClassifier
    return kind(EXPERTS["linear"][task])


FAMILIES = {
    "pool": {
        "best single": best_single,
        "average": average,
        "stacking": stacking,
        "skmoe": pool_mixture,
        "skmoe share=1": partial(pool_mixture, share=1.0),
    },
    **{
        f"{kind} copies": {
            f"one {kind}": partial(single, kind=kind),
            "bagging": partial(bagging, kind=kind),
            "skmoe": partial(copies, kind=kind),
            "skmoe share=0.1": partial(copies, kind=kind, share=0.1),
        }
        for kind in EXPERTS
    },
}
FAMILIES["linear copies"]["linear-tree"] = linear_tree
"""Family -> method name -> method. The first-named mixture of a family has default settings."""
