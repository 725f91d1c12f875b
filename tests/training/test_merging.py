"""Experts that say the same are merged where their number is to be chosen."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import adjusted_rand_score
from sklearn.tree import DecisionTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._training import em, merging
from skmoe.datasets import make_piecewise_regression
from skmoe.gates import HierarchicalGate, SoftmaxGate


def regimes(kind, seed, n_rows):
    """Three regimes, of which the borders are oblique, steps, or cut an interval out."""
    if kind == "oblique":
        data = make_piecewise_regression(n_rows, n_regimes=3, random_state=seed)
        return data.X, data.y, data.regime
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, size=(n_rows, 5))
    high = np.abs(X[:, 0]) < 0.5 if kind == "interval" else X[:, 0] > 0
    regime = np.where(high, 1, np.where(X[:, 1] > 0.2, 2, 0))
    slopes = rng.normal(scale=3, size=(3, 5))
    y = np.sum(X * slopes[regime], axis=1) + 3 * regime + 0.1 * rng.normal(size=n_rows)
    return X, y, regime


@pytest.mark.parametrize(
    "kind", ["oblique", pytest.param("axis", marks=pytest.mark.slow), "interval"]
)
def test_as_many_experts_as_regimes(kind):
    X, y, regime = regimes(kind, 0, 4000)
    moe = MixtureOfExpertsRegressor(
        LinearRegression(), overlap=0.0, shared_expert=None, random_state=0
    ).fit(X[:2000], y[:2000])
    assert moe.n_experts_ == 3  # which is none of the numbers that are compared
    assert adjusted_rand_score(regime[2000:], moe.apply(X[2000:])) > 0.95


def test_few_experts_for_one_line():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3))
    moe = MixtureOfExpertsRegressor(LinearRegression(), random_state=0)
    assert moe.fit(X, X.sum(axis=1) + rng.normal(size=400)).n_experts_ <= 2


def test_of_a_merge_that_is_refused_half_is_tried(monkeypatch):
    left = []

    def refuses(self, setup, state):
        left.append(len(setup.experts.names))
        return False

    monkeypatch.setattr(merging._Judgement, "tolerates", refuses)
    X, y, _ = regimes("oblique", 0, 500)
    moe = MixtureOfExpertsRegressor(Ridge(), gate=SoftmaxGate(), max_iter=4, random_state=0)
    merged = moe.fit(X, y).n_experts_ - np.array(left)
    assert merged[0] > 3 and merged[-1] == 1
    assert (merged[1:] == merged[:-1] // 2).all()


@pytest.mark.parametrize("n_experts", [5, None, "auto"])
def test_a_number_that_is_given_stays(n_experts):
    X, y, _ = regimes("oblique", 0, 500)
    moe = MixtureOfExpertsRegressor(Ridge(), n_experts=n_experts, random_state=0).fit(X, y)
    assert (moe.n_experts_ == 5) == (n_experts == 5)


@pytest.mark.parametrize("kind", [MixtureOfExpertsRegressor, MixtureOfExpertsClassifier])
def test_responsibilities_that_are_too_many_to_keep_are_merged_alike(kind, monkeypatch):
    X, y, _ = regimes("oblique", 0, 500)
    target = y if kind is MixtureOfExpertsRegressor else y > np.median(y)
    kept = kind(random_state=0).fit(X, target)
    monkeypatch.setattr(em, "LARGE", 0)
    worked_out = kind(random_state=0).fit(X, target)
    assert worked_out.n_experts_ == kept.n_experts_
    assert worked_out.score(X, target) == pytest.approx(kept.score(X, target), abs=0.01)


def test_only_of_linear_experts_the_number_is_chosen_unasked():
    X, y, _ = regimes("oblique", 0, 300)
    trees = MixtureOfExpertsRegressor(DecisionTreeRegressor(max_depth=2), max_iter=2, cv=2)
    assert trees.set_params(random_state=0).fit(X, y).n_experts_ == 4
    given = MixtureOfExpertsRegressor(Ridge(), max_iter=2, cv=2, overlap=1.0, random_state=0)
    assert given.fit(X, y).n_experts_ == 4  # all of them the same, however many


def test_a_gate_may_be_for_so_many():
    X, y, _ = regimes("oblique", 0, 300)
    gate = HierarchicalGate(groups=[[0, 1], [2, 3]])
    moe = MixtureOfExpertsRegressor(Ridge(), gate=gate, max_iter=2, cv=2, random_state=0)
    assert moe.fit(X, y).n_experts_ == 4


def test_classes():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1000, 3))
    side = X[:, 0] > 0
    y = np.where(side, X[:, 1], -X[:, 2]) + 0.2 * rng.normal(size=1000) > 0
    moe = MixtureOfExpertsClassifier(LogisticRegression(), random_state=0).fit(X, y)
    assert moe.n_experts_ == 2
    assert adjusted_rand_score(side, moe.apply(X)) > 0.9
