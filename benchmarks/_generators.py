"""Piecewise problems with known regimes, and the oracle that knows them.

Each problem is drawn anew for each seed, with the generators' own defaults: three linear regimes
in five features. Without overlap the regime is a function of x. With overlap it is drawn, and only
the oracle knows it, so that no method that sees x alone can do as well: how much of the excess is
due to that, the method "knows the mixture" tells.
"""

from functools import partial
from typing import NamedTuple

import numpy as np
from _data import MAX_TEST_ROWS, Split
from _methods import EXPERTS, best_single, copies, pool_mixture, stacking
from sklearn.base import BaseEstimator, clone

from skmoe.datasets import make_piecewise_classification, make_piecewise_regression

MAKERS = {
    "regression": make_piecewise_regression,
    "classification": make_piecewise_classification,
}
PROBLEMS = {
    f"{task} {boundary}" + (f" overlap {overlap}" if overlap else ""): (task, boundary, overlap)
    for task in MAKERS
    for boundary in ("linear", "parallel", "radial")
    for overlap in (0.0, 0.2)
}
"""Name -> task, boundary and overlap."""


class Problem(NamedTuple):
    """A problem's training and test part, and its methods, the oracles among them."""

    split: Split
    methods: dict


class KnownRegimes(BaseEstimator):
    """An expert for each regime, fitted on its rows; the regime of a test row is known, too.

    It can predict the test rows only for which it has the regimes.
    """

    def __init__(self, expert, regime, regime_test):
        self.expert = expert
        self.regime = regime
        self.regime_test = regime_test

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.experts_ = {
            k: clone(self.expert).fit(X[self.regime == k], y[self.regime == k])
            for k in np.unique(self.regime)
        }
        return self

    def predict(self, X):
        prediction = np.empty(len(X))
        for k, expert in self.experts_.items():
            prediction[self.regime_test == k] = expert.predict(X[self.regime_test == k])
        return prediction

    def predict_proba(self, X):
        proba = np.zeros((len(X), len(self.classes_)))
        for k, expert in self.experts_.items():
            rows = np.flatnonzero(self.regime_test == k)
            columns = np.searchsorted(self.classes_, expert.classes_)
            proba[np.ix_(rows, columns)] = expert.predict_proba(X[rows])
        return proba


class KnownMixture(BaseEstimator):
    """The distribution that the data were drawn from, given x alone: nothing is estimated."""

    def __init__(self, expected):
        self.expected = expected

    def fit(self, X, y):
        return self

    def predict(self, X):
        return self.expected

    predict_proba = predict


def problem_tasks():
    """Name -> task."""
    return {name: task for name, (task, _, _) in PROBLEMS.items()}


def load_problem(name, rows, seed):
    """Draw `rows` training rows and 5,000 test rows of a problem."""
    task, boundary, overlap = PROBLEMS[name]
    data = MAKERS[task](
        rows + MAX_TEST_ROWS, boundary=boundary, overlap=overlap, random_state=seed
    )
    weighted = (
        data.gate_proba * data.expert_means
        if task == "regression"
        else data.gate_proba[:, :, None] * data.expert_proba
    )
    oracle = KnownRegimes(EXPERTS["linear"][task], data.regime[:rows], data.regime[rows:])
    known = KnownMixture(weighted.sum(axis=1)[rows:])
    methods = GENERATORS | {
        "oracle": lambda task, seed: oracle,
        "knows the mixture": lambda task, seed: known,
    }
    return Problem(Split(data.X[:rows], data.X[rows:], data.y[:rows], data.y[rows:]), methods)


GENERATORS = {
    "oracle": None,
    "knows the mixture": None,
    "stacking": stacking,
    "best single": best_single,
    "skmoe": pool_mixture,
    "skmoe, linear copies": partial(copies, kind="linear"),
}
"""Name -> method; `load_problem` makes the oracles, which know more of its rows than x."""
