"""Weights for estimators that take none, out-of-bag judgements, random states."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.ensemble import BaggingRegressor, RandomForestClassifier, RandomForestRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor
from small_mixtures import problem_of

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._arithmetic.statistics import effective_rows
from skmoe._data.folds import Folds
from skmoe._data.weights import MIN_RESAMPLE, resampled_counts, weight_keyword
from skmoe._experts.out_of_bag import offers_out_of_bag
from skmoe._experts.pool import ExpertPool
from skmoe._experts.seeds import seeded
from skmoe._likelihoods import Categorical, regression_likelihood


@pytest.mark.parametrize("seed", range(3))
def test_resampled_counts(seed):
    rng = np.random.RandomState(seed)
    weight = rng.uniform(0, 3, size=200)
    counts = resampled_counts(weight, rng)
    assert np.all((counts == np.floor(weight)) | (counts == np.ceil(weight)))
    assert abs(counts.sum() - weight.sum()) <= 1
    draws = [resampled_counts(weight, rng) for _ in range(2000)]
    np.testing.assert_allclose(np.mean(draws, axis=0), weight, atol=0.06)


@pytest.mark.parametrize("weight", [np.tile([0, 1, 2, 5], 20), np.ones(7), np.full(40, 2)])
def test_integer_weights_are_exact_repetition(weight):
    weight = weight.astype(float)
    for seed in range(5):
        counts = resampled_counts(weight, np.random.RandomState(seed))
        np.testing.assert_array_equal(counts, weight)


def test_resamples_are_neither_tiny_nor_huge():
    rng = np.random.RandomState(0)
    normalised = rng.dirichlet(np.ones(100))
    assert resampled_counts(normalised, rng).sum() >= MIN_RESAMPLE
    np.testing.assert_array_equal(resampled_counts(np.full(100, 0.01), rng), 1)
    assert resampled_counts(np.full(10, 1e9), rng).sum() == 100


def test_effective_rows():
    weight = np.array([[1.0, 2.0, 0.0, 1.0], [1.0, 2.0, 0.0, 0.0], [1.0, 2.0, 0.0, 0.0]])
    np.testing.assert_allclose(effective_rows(weight), [3, 3, 0, 1])


def test_weight_keyword():
    assert weight_keyword(Ridge()) == "sample_weight"
    nested = make_pipeline(StandardScaler(), make_pipeline(StandardScaler(), Ridge()))
    assert weight_keyword(nested) == "pipeline__ridge__sample_weight"
    assert weight_keyword(make_pipeline(StandardScaler(), "passthrough")) is None


def test_seeded():
    rng = np.random.RandomState(0)
    forest = RandomForestRegressor()
    assert isinstance(seeded(forest, rng, override=False).random_state, int)
    assert forest.random_state is None
    kept = seeded(RandomForestRegressor(random_state=7), rng, override=False)
    assert kept.random_state == 7
    assert seeded(RandomForestRegressor(random_state=7), rng, override=True).random_state != 7
    frozen = FrozenEstimator(DecisionTreeRegressor().fit([[0]], [0]))
    assert seeded(frozen, rng, override=True) is frozen
    inside = seeded(make_pipeline(StandardScaler(), frozen), rng, override=True)
    assert inside[-1] is frozen
    assert frozen.estimator.random_state is None


@pytest.mark.parametrize(
    ("estimator", "offers"),
    [
        (RandomForestRegressor(), True),
        (RandomForestRegressor(bootstrap=False), False),
        (BaggingRegressor(Ridge()), True),
        (Ridge(), False),
    ],
)
def test_offers_out_of_bag(estimator, offers):
    assert offers_out_of_bag(estimator) is offers


def out_of_bag_pool(forest, X, y, likelihood):
    n = len(y)
    rest = np.arange(1, n), np.array([0])
    problem = problem_of(X, y, likelihood, Folds.of((rest, rest[::-1]), n))
    return ExpertPool(problem, ("forest",), (forest,), seeds=(0,), out_of_bag=True)


@pytest.mark.parametrize("n", [120, 1000])  # as a whole and in parts
def test_out_of_bag_predictions_are_those_of_the_forest(n):
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(n, 3)), rng.normal(size=n)
    forest = RandomForestRegressor(60, random_state=0)
    pool = out_of_bag_pool(forest, X, y, regression_likelihood("gaussian", y, np.ones(n)))
    fitted = pool.fit_held_out(np.ones((2, n, 1)))
    forest.set_params(oob_score=True).fit(X, y)
    np.testing.assert_allclose(fitted.outputs[:, 0], forest.oob_prediction_)
    np.testing.assert_array_equal(fitted.models[0].predict(X), forest.predict(X))

    labels = (y > 0).astype(int)
    forest = RandomForestClassifier(60, random_state=0)
    pool = out_of_bag_pool(forest, X, labels, Categorical(np.array([0, 1]), learn_floor=True))
    fitted = pool.fit_held_out(np.ones((2, n, 1)))
    expected = forest.set_params(oob_score=True).fit(X, labels).oob_decision_function_
    np.testing.assert_allclose(fitted.outputs[:, 0], expected)


@pytest.mark.parametrize("owned", [30, 120])
def test_rows_without_a_vote_get_the_mean(owned):
    """With two trees a good part of the rows is in both bootstrap samples."""
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(120, 3)), rng.normal(10, 1, size=120)
    pool = out_of_bag_pool(
        RandomForestRegressor(2, random_state=0),
        X,
        y,
        regression_likelihood("gaussian", y, np.ones(120)),
    )
    weights = np.zeros((2, 120, 1))
    weights[:, :owned] = 1.0
    fitted = pool.fit_held_out(weights)
    output, model = fitted.outputs[:, 0], fitted.models[0]
    mean = y[:owned].mean()
    voteless = np.isclose(output[:owned], mean)
    assert 0 < voteless.sum() < owned
    assert np.all(np.abs(output - 10) < 5)  # neither NaN nor the 0 of a missing vote
    np.testing.assert_allclose(output[owned:], model.predict(X)[owned:])


def test_owned_rows_are_left_out_often_enough():
    """A quarter of the rows own all weight, and a third of the votes on them are out of bag."""
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(400, 3)), rng.normal(size=400)
    pool = out_of_bag_pool(
        RandomForestRegressor(100, random_state=0),
        X,
        y,
        regression_likelihood("gaussian", y, np.ones(400)),
    )
    weights = np.full((2, 400, 1), 1e-3)
    weights[:, :100] = 1.0
    forest = pool.fit_held_out(weights).models[0]
    left_out = np.mean(
        [
            np.isin(np.arange(100), drawn, invert=True).mean()
            for drawn in forest.estimators_samples_
        ]
    )
    assert 0.3 < left_out < 0.45


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_forests_are_judged_out_of_bag_and_others_cross_fitted():
    rng = np.random.RandomState(0)
    X = rng.normal(size=(150, 3))
    y = X[:, 0] + 0.5 * rng.normal(size=150)
    experts = [("forest", RandomForestRegressor(30)), ("linear", LinearRegression())]
    model = MixtureOfExpertsRegressor(experts, e_step="oob", overlap=1.0, random_state=0).fit(X, y)
    new = rng.normal(size=(2000, 3))
    delivered = model.log_density(new, new[:, 0] + 0.5 * rng.normal(size=2000)).mean()
    assert abs(model.log_likelihood_ - delivered) < 0.15
    with_labels = MixtureOfExpertsClassifier(
        RandomForestClassifier(20), n_experts=2, e_step="oob", random_state=0
    ).fit(X, np.where(y > 0, "up", "down"))
    assert np.isfinite(with_labels.log_likelihood_)


class CountedForest(RandomForestRegressor):
    """Counts the rows of its fits; a fold has fewer than all."""

    rows = []

    def fit(self, X, y, sample_weight=None):
        self.rows.append(len(X))
        return super().fit(X, y, sample_weight)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("n_estimators", "bootstrap", "cv", "out_of_bag"),
    [
        (30, True, 3, True),
        (30, True, None, True),
        (29, True, 3, False),
        (30, False, 3, False),
        (30, True, KFold(3), False),
    ],
)
def test_auto_judges_forests_out_of_bag(n_estimators, bootstrap, cv, out_of_bag):
    """Unless they are small, or folds were given: these may keep groups together."""
    rng = np.random.RandomState(0)
    X = rng.normal(size=(90, 2))
    forest = CountedForest(n_estimators, bootstrap=bootstrap, max_depth=2)
    CountedForest.rows.clear()
    MixtureOfExpertsRegressor(
        forest, n_experts=2, overlap=0.3, init="random", max_iter=1, cv=cv, random_state=0
    ).fit(X, X[:, 0])
    assert (set(CountedForest.rows) == {90}) == out_of_bag


def test_auto_cross_fits_where_one_expert_is_no_forest():
    rng = np.random.RandomState(0)
    X = rng.normal(size=(90, 2))
    CountedForest.rows.clear()
    experts = [("forest", CountedForest(30, max_depth=2)), ("linear", LinearRegression())]
    MixtureOfExpertsRegressor(experts, cv=3, random_state=0).fit(X, X[:, 0])
    assert 60 in CountedForest.rows


def test_auto_cross_fits_for_a_consensus():
    """It judges by rows that no opinion on their fold has seen; trees have seen them."""
    rng = np.random.RandomState(0)
    X = rng.normal(size=(90, 2))
    experts = [
        ("forest", CountedForest(30, max_depth=2)),
        ("bagging", BaggingRegressor(n_estimators=30)),
    ]
    for shared_expert, rows in ((None, {90}), ("auto", {60, 90})):
        CountedForest.rows.clear()
        MixtureOfExpertsRegressor(experts, shared_expert=shared_expert, cv=3).fit(X, X[:, 0])
        assert set(CountedForest.rows) == rows


class OwnForest(RegressorMixin, BaseEstimator):
    """Without a parameter for the number of trees."""

    def __init__(self, bootstrap=True, oob_score=False, random_state=None):
        self.bootstrap = bootstrap
        self.oob_score = oob_score
        self.random_state = random_state

    def fit(self, X, y, sample_weight=None):
        self.tree_ = DecisionTreeRegressor(max_depth=2).fit(X, y, sample_weight)
        return self

    def predict(self, X):
        return self.tree_.predict(X)


class GrowingForest(OwnForest):
    """Which finds the number of its trees itself."""

    def __init__(self, n_estimators=None, bootstrap=True, oob_score=False, random_state=None):
        super().__init__(bootstrap, oob_score, random_state)
        self.n_estimators = n_estimators


@pytest.mark.parametrize("forest", [OwnForest(), GrowingForest()])
def test_auto_asks_a_forest_of_unknown_size_nothing(forest):
    X = np.random.RandomState(0).normal(size=(90, 2))
    model = MixtureOfExpertsRegressor(forest, n_experts=2, random_state=0).fit(X, X[:, 0])
    assert model.predict(X).shape == (90,)
