"""The tree with linear models in its leaves parts rows where their equations differ."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._training.model_tree import PENALTY, ModelDesign, grow, leaves_of
from skmoe._training.starts import starts_of


def design_of(X, y, weight=None):
    regressors = StandardScaler().fit_transform(X)
    weight = np.ones(len(X)) if weight is None else weight
    return ModelDesign(np.column_stack([regressors, np.ones(len(X)), y]), 1, weight)


def ridge_error(design, rows):
    """Penalised squared error of a ridge regression on some rows, as scikit-learn fits it."""
    X, y, weight = design.columns[rows, :-2], design.columns[rows, -1], design.weight[rows]
    ridge = Ridge(PENALTY).fit(X, y, sample_weight=weight)
    return weight @ (y - ridge.predict(X)) ** 2 + PENALTY * np.sum(ridge.coef_**2)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_best_split_is_that_of_brute_force(weighted):
    rng = np.random.default_rng(3)
    X = rng.integers(0, 6, size=(80, 3)).astype(float)  # of few values: all thresholds are tried
    y = np.where(X[:, 1] > 2, X[:, 0], -X[:, 0]) + rng.normal(size=80)
    design = design_of(X, y, rng.uniform(0.5, 2, 80) if weighted else None)
    ((parted, split),) = grow(X, design, 2, smallest=10.0)
    gains = {}
    for feature in range(3):
        for threshold in range(5):
            above = X[:, feature] > threshold
            masses = [design.weight[side].sum() for side in (above, ~above)]
            if min(masses) >= 10.0:
                errors = [ridge_error(design, side) for side in (above, ~above)]
                gains[feature, threshold] = ridge_error(design, slice(None)) - sum(errors)
    assert parted == 0
    assert (split.feature, split.threshold) == max(gains, key=gains.get)
    assert_allclose(split.gain, max(gains.values()), rtol=1e-6)


def test_equations_are_told_apart_where_means_are_not():
    x = np.linspace(-1, 1, 400)
    X = np.column_stack([x, np.random.default_rng(0).normal(size=400)])
    splits = grow(X, design_of(X, np.abs(x)), 2, smallest=20.0)
    assert adjusted_rand_score(x > 0, leaves_of(splits, X)) > 0.7  # thresholds are quantiles


def test_fewer_leaves_are_unions_of_more():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    y = np.abs(X[:, 0]) + X[:, 1] * (X[:, 2] > 0) + np.abs(X[:, 1])
    design = design_of(X, y)
    many = grow(X, design, 6, smallest=15.0)
    assert grow(X, design, 3, smallest=15.0) == many[:2]
    leaves, few = leaves_of(many, X), leaves_of(many[:2], X)
    assert np.bincount(leaves).min() >= 15
    for leaf in range(6):
        assert len(set(few[leaves == leaf])) == 1


def test_nothing_to_part():
    X = np.random.default_rng(0).normal(size=(50, 2))
    design = design_of(X, X[:, 0])
    assert grow(X, design, 4, smallest=26.0) == []
    assert grow(np.ones((50, 2)), design, 4, smallest=5.0) == []
    assert_array_equal(leaves_of([], X), np.zeros(50))


def test_linear_experts_start_from_it():
    rng = np.random.RandomState(0)
    kinds = [start.init for start in starts_of("auto", 1, rng, linear=True)]
    assert kinds == ["model_leaves", "leaves", "kmeans"]
    kinds = [start.init for start in starts_of("auto", 2, rng)]
    assert kinds == ["leaves", "kmeans", "kmeans"]


@pytest.mark.parametrize("classes", [False, True])
def test_as_a_start_by_name(classes):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 2))
    y = X[:, 1] * np.sign(X[:, 0])
    estimator = MixtureOfExpertsRegressor(Ridge(), n_experts=2)
    if classes:
        estimator, y = MixtureOfExpertsClassifier(LogisticRegression(), n_experts=2), y > 0
    moe = estimator.set_params(init="model_leaves", overlap=0.0, max_iter=2, random_state=0)
    assert adjusted_rand_score(X[:, 0] > 0, moe.fit(X, y).apply(X)) > 0.8


def test_where_there_are_no_numbers_it_is_a_decision_tree():
    from scipy import sparse

    rng = np.random.default_rng(0)
    X = sparse.random(200, 4, density=0.5, random_state=0, format="csr")
    y = np.asarray(X[:, [0]].todense()).ravel() + 0.01 * rng.normal(size=200)
    settings = {"n_experts": 3, "overlap": 0.0, "max_iter": 2, "random_state": 0}
    first, second = (
        MixtureOfExpertsRegressor(Ridge(), init=init, **settings).fit(X, y).predict(X)
        for init in ("leaves", "model_leaves")
    )
    assert_array_equal(first, second)
