"""The methods that the accuracy benchmark compares, as their users would call them.

A method is a function ``(task, seed) -> unfitted estimator``. Those of one family see the same
experts.
"""

from functools import partial

from _combiners import greedy_selection, passthrough
from _peers import (
    cgmm_mixture,
    dynamic_selection,
    linear_tree,
    neighbourhood_weights,
    track_rail,
)
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
"""Experts of the default mixture; what it is compared with has as many models, or trees."""

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
        (  # a validation part that has a row of every class also inside inner folds
            "network",
            MLPClassifier((50,), early_stopping=True, validation_fraction=0.15, random_state=seed),
        ),
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


def mixture(task, seed, experts):
    kind = MixtureOfExpertsRegressor if task == "regression" else MixtureOfExpertsClassifier
    return kind(experts, random_state=seed)


def pool_mixture(task, seed):
    return mixture(task, seed, pool(task, seed))


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


def single(task, seed, kind, size=1):
    """One model, with `size` times the trees of an expert."""
    expert = clone(EXPERTS[kind][task])
    if kind == "linear":
        return expert
    for parameter in ("n_estimators", "max_iter"):
        if hasattr(expert, parameter):
            expert.set_params(**{parameter: size * getattr(expert, parameter)})
    return expert.set_params(random_state=seed)


def bagging(task, seed, kind):
    bag = BaggingRegressor if task == "regression" else BaggingClassifier
    return bag(EXPERTS[kind][task], n_estimators=N_COPIES, random_state=seed)


def copies(task, seed, kind):
    return mixture(task, seed, EXPERTS[kind][task])


FAMILIES = {
    "pool": {
        "skmoe": pool_mixture,
        "stacking": stacking,
        "stacking, trees with passthrough": partial(passthrough, pool=pool),
        "greedy selection": partial(greedy_selection, pool=pool),
        "best single": best_single,
        "average": average,
        "DESlib KNORA-E": partial(dynamic_selection, pool=pool, selector="KNORAE"),
        "DESlib META-DES": partial(dynamic_selection, pool=pool, selector="METADES"),
        "deskit": partial(neighbourhood_weights, pool=pool),
        "tra-algorithm": track_rail,
    },
    "linear copies": {
        "skmoe": partial(copies, kind="linear"),
        "one linear": partial(single, kind="linear"),
        "bagging": partial(bagging, kind="linear"),
        "linear-tree": partial(linear_tree, experts=EXPERTS["linear"]),
        "cgmm": partial(cgmm_mixture, n_experts=N_COPIES),
    },
    "tree copies": {
        "skmoe": partial(copies, kind="tree"),
        "one tree": partial(single, kind="tree"),
        "bagging": partial(bagging, kind="tree"),
    },
    "forest copies": {
        "skmoe": partial(copies, kind="forest"),
        "one forest": partial(single, kind="forest", size=N_COPIES),
        "bagging": partial(bagging, kind="forest"),
    },
    "boosting copies": {
        "skmoe": partial(copies, kind="boosting"),
        "one boosting": partial(single, kind="boosting"),
        "one boosting x4": partial(single, kind="boosting", size=N_COPIES),
        "bagging": partial(bagging, kind="boosting"),
    },
}
"""Family -> name of the method -> method."""

ONLY = {
    "DESlib KNORA-E": "classification",
    "DESlib META-DES": "classification",
    "cgmm": "regression",
}
"""Methods for one task."""

PACKAGES = {
    "DESlib KNORA-E": "deslib",
    "DESlib META-DES": "deslib",
    "deskit": "deskit",
    "tra-algorithm": "tra_algorithm",
    "linear-tree": "lineartree",
    "cgmm": "cgmm",
}
"""Modules that methods need beside scikit-learn and skmoe."""
