"""A small problem, quick mixtures for it, and everything that they say, for several tests."""

import numpy as np
from sklearn.ensemble import (
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.tree import DecisionTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._data.folds import Folds
from skmoe._data.problem import Problem
from skmoe._data.rows import TrainingData
from skmoe.gates import SoftmaxGate

N_ROWS, N_FEATURES = 80, 3
RNG = np.random.RandomState(0)
X = RNG.normal(size=(N_ROWS, N_FEATURES))
Y = np.where(X[:, 0] > 0, 3 * X[:, 1], -X[:, 2]) + 0.1 * RNG.normal(size=N_ROWS)
LABELS = np.where(X[:, 0] * X[:, 1] > 0, "odd", np.where(X[:, 2] > 0.5, "even", "none"))
WEIGHT = RNG.randint(3, size=N_ROWS).astype(float)
START = np.where(X[:, :1] > 0, [0.8, 0.2], [0.2, 0.8])


def problem_of(X, target, likelihood, folds=None, weight=None):
    """What training learns from, where experts take the target as the likelihood does."""
    n = len(target)
    weight = np.ones(n) if weight is None else weight
    folds = Folds.in_sample(n) if folds is None else folds
    return Problem(TrainingData(X, target, weight, np.arange(n), n), target, folds, likelihood)


QUICK = dict(
    n_experts=2,
    gate=SoftmaxGate("auto"),
    overlap=0.1,
    shared_expert=None,
    cv=2,
    max_iter=2,
    tol=0.1,
    random_state=0,
)


def regressor(experts=None, **parameters):
    return MixtureOfExpertsRegressor(experts, **(QUICK | parameters))


def classifier(experts=None, **parameters):
    return MixtureOfExpertsClassifier(experts, **(QUICK | parameters))


def tree(**parameters):
    return DecisionTreeRegressor(max_depth=2, **parameters)


def mixtures():
    """A regressor and a classifier with unlike experts."""
    return [
        (
            regressor([("forest", RandomForestRegressor(4)), ("linear", Ridge())]),
            Y,
        ),
        (
            classifier([("forest", RandomForestClassifier(4)), ("linear", LogisticRegression())]),
            LABELS,
        ),
    ]


def outputs(model, X, y):
    """Everything that a fitted model says of some rows."""
    methods = ["predict", "gate_proba", "apply", "predict_experts"]
    methods += ["predict_proba", "predict_log_proba"] if hasattr(model, "predict_proba") else []
    said = {method: getattr(model, method)(X) for method in methods}
    said |= {method: getattr(model, method)(X, y) for method in POSTERIOR}
    said |= model.route(X, top_k=1)._asdict()
    return said


POSTERIOR = ["responsibilities", "log_density"]


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def answers_of(model, X):
    """What the whole predicts: class probabilities or means."""
    return model.predict_proba(X) if hasattr(model, "classes_") else model.predict(X)
