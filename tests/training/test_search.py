"""The search for a start, an overlap and a number of experts."""

from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.tree import DecisionTreeRegressor
from small_mixtures import X as SMALL_X
from small_mixtures import Y as SMALL_Y

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._data.rows import keep_weighted_rows
from skmoe._training.candidates import TERMS, numbers_to_try, terms_to_try
from skmoe._training.search import _best_along, _is_more_likely
from skmoe._training.starts import Start, starting_responsibilities, starts_of
from skmoe.datasets import make_piecewise_regression
from skmoe.gates import SoftmaxGate

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


# leaves ---------------------------------------------------------------------------------------


def leaves(X, y, n_experts, weight=None):
    """Starting responsibilities; y are class codes or real numbers."""
    data = keep_weighted_rows(X, y, weight)
    start = Start("leaves", 0)
    return starting_responsibilities(start, SoftmaxGate(), data.X, data, data.y, n_experts)


def test_leaves_part_the_rows_where_the_target_differs():
    X = np.random.RandomState(0).uniform(size=(400, 5))
    regime = np.searchsorted([0.2, 0.5, 0.8], X[:, 3])
    for y in (10.0 * regime, np.c_[regime, -regime].astype(float), regime):
        start = leaves(X, y, 4)
        np.testing.assert_allclose(start.sum(axis=1), 1)
        np.testing.assert_array_equal(start.max(axis=1), start.max())
        labels = start.argmax(axis=1)
        assert len(set(zip(regime, labels, strict=True))) == 4


def test_scale_of_an_output_does_not_matter():
    X, _ = SMALL_X, SMALL_Y
    y = np.c_[SMALL_Y, X[:, 0] ** 2]
    np.testing.assert_array_equal(leaves(X, y, 3), leaves(X, y * [1.0, 1e6], 3))


@pytest.mark.parametrize("several", [False, True])
def test_leaves_count_weights_as_repetitions(several):
    y = np.c_[SMALL_Y, np.exp(SMALL_X[:, 0])] if several else SMALL_Y
    weight = np.random.RandomState(0).randint(1, 4, size=len(SMALL_X))
    repeated = leaves(np.repeat(SMALL_X, weight, axis=0), np.repeat(y, weight, axis=0), 4)
    weighted = leaves(SMALL_X, y, 4, weight)
    np.testing.assert_allclose(np.repeat(weighted, weight, axis=0), repeated)


def test_leaves_of_time_stamps_and_of_huge_numbers():
    """Trees compute in single precision."""
    seconds = np.random.RandomState(0).uniform(0, 60, size=(400, 1))
    y = np.floor(seconds[:, 0] / 15)
    for X in (seconds, 1.7e9 + seconds, 1e39 * seconds):
        labels = leaves(X, y, 4).argmax(axis=1)
        assert len(set(zip(y, labels, strict=True))) == 4


def test_codes_of_classes_that_are_numbers_have_no_order():
    rng = np.random.RandomState(0)
    X = rng.normal(size=(300, 3))
    codes = rng.permutation(4)[np.digitize(X[:, 0], [-0.7, 0.0, 0.7])]
    proba = [
        MixtureOfExpertsClassifier(n_experts=2, init="leaves", max_iter=3, random_state=0)
        .fit(X, labels)
        .predict_proba(X)
        for labels in (codes, codes.astype(float), np.array(list("abcd"))[codes])
    ]
    np.testing.assert_array_equal(proba[0], proba[1])
    np.testing.assert_array_equal(proba[0], proba[2])


def test_no_leaf_is_smaller_than_a_quarter_of_an_equal_share():
    y = np.where(np.arange(len(SMALL_X)) == 3, 1e3, SMALL_Y)  # an outlier worth a leaf of its own
    rows = np.bincount(leaves(SMALL_X, y, 4).argmax(axis=1))
    assert rows.min() >= len(SMALL_X) / 16


def test_leaves_of_many_rows_are_found_on_some(monkeypatch):
    X = np.random.RandomState(0).uniform(size=(2000, 2))
    y = np.floor(4 * X[:, 1])
    sizes = []
    fit = DecisionTreeRegressor.fit

    def counted(self, X, *arguments):
        sizes.append(len(X))
        return fit(self, X, *arguments)

    monkeypatch.setattr(DecisionTreeRegressor, "fit", counted)
    monkeypatch.setattr("skmoe._training.starts.ROWS_OF_A_TREE", 500)
    labels = leaves(X, y, 4).argmax(axis=1)
    assert sizes == [500]
    assert np.mean([np.bincount(labels[y == k]).max() for k in range(4)]) > 0.98 * 500


def test_one_leaf_where_nothing_differs():
    start = leaves(SMALL_X, np.zeros(len(SMALL_X)), 3)
    assert set(start.argmax(axis=1)) == {0}
    assert set(leaves(SMALL_X, SMALL_Y, 1).ravel()) == {1.0}


def test_starts():
    rng = np.random.RandomState(0)
    assert [start.name for start in starts_of("auto", 1, rng)] == ["leaves", "kmeans"]
    assert [start.name for start in starts_of("auto", 2, rng)] == ["leaves", "kmeans", "kmeans"]
    assert [start.name for start in starts_of("leaves", 3, rng)] == ["leaves"]
    seeds = [start.seed for start in starts_of("random", 3, rng)]
    assert len(set(seeds)) == 3
    assert len(starts_of(np.ones((5, 2)), 3, rng)) == 1


def test_auto_start_is_the_more_likely_of_two():
    settings = {"n_experts": 3, "overlap": 0.1, "max_iter": 5, "random_state": 0}
    models = [
        MixtureOfExpertsRegressor(Ridge(), init=init, **settings).fit(SMALL_X, SMALL_Y)
        for init in ("auto", "leaves", "kmeans")
    ]
    auto, *each = (model.history_["log_likelihood"].max() for model in models)
    assert auto >= each[0]  # the same tree; clusters come from another seed


# numbers of experts -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def steps():
    """A straight line in each of eight intervals; two experts would not do."""
    rng = np.random.RandomState(0)
    X = rng.uniform(0, 8, size=(800, 1))
    slope = rng.uniform(-5, 5, size=8)
    level = rng.uniform(-20, 20, size=8)
    k = X[:, 0].astype(int)
    return X, level[k] + slope[k] * (X[:, 0] - k) + 0.1 * rng.normal(size=800)


def test_number_of_experts_by_held_out_likelihood(steps):
    X, y = steps
    model = MixtureOfExpertsRegressor(LinearRegression(), n_experts="auto", random_state=0)
    model.fit(X, y)
    assert model.n_experts_ in (8, 16)
    assert len(model.experts_) == len(model.named_experts_) == model.n_experts_
    assert model.gate_proba(X).shape == (800, model.n_experts_)
    four = MixtureOfExpertsRegressor(LinearRegression(), n_experts=4, random_state=0).fit(X, y)
    assert model.log_likelihood_ > four.log_likelihood_ + 0.1


@pytest.mark.parametrize("seed", range(3))
def test_few_experts_for_a_straight_line(seed):
    rng = np.random.RandomState(seed)
    X = rng.normal(size=(400, 3))
    y = X.sum(axis=1) + rng.normal(size=400)
    model = MixtureOfExpertsRegressor(LinearRegression(), n_experts="auto", random_state=0)
    assert model.fit(X, y).n_experts_ <= 4


def test_numbers_to_try():
    assert numbers_to_try("auto", None, "auto", 1000) == (2, 4, 8, 16)
    assert numbers_to_try("auto", None, "auto", 200) == (2, 4, 8)
    assert numbers_to_try("auto", None, "auto", 30) == (2,)  # of few rows, nothing can be said
    assert numbers_to_try("auto", 3, "auto", 1000) == (4, 8, 16)
    assert numbers_to_try("auto", 30, "auto", 1000) == (30,)
    assert numbers_to_try(np.ones((1000, 3)), None, "auto", 1000) == (3,)


def test_given_responsibilities_say_for_how_many(steps):
    X, y = steps
    start = np.random.RandomState(0).dirichlet(np.ones(3), size=len(X))
    model = MixtureOfExpertsRegressor(n_experts="auto", init=start, max_iter=3, random_state=0)
    assert model.fit(X, y).n_experts_ == 3


def test_more_experts_than_any_candidate(steps):
    X, y = steps
    start = np.random.RandomState(0).dirichlet(np.ones(20), size=len(X))
    for settings in ({"top_k": 20}, {"init": start}):
        model = MixtureOfExpertsRegressor(n_experts="auto", max_iter=2, random_state=0, **settings)
        assert model.fit(X, y).n_experts_ == 20


def test_in_sample_likelihoods_do_not_choose_the_number(steps):
    model = MixtureOfExpertsRegressor(n_experts="auto", e_step="insample", random_state=0)
    assert model.fit(*steps).n_experts_ == 4


def test_going_on_keeps_the_number(steps):
    X, y = steps
    model = MixtureOfExpertsRegressor(
        n_experts="auto", max_iter=3, warm_start=True, random_state=0
    ).fit(X, y)
    before = model.n_experts_
    assert model.fit(X[:60], y[:60]).n_experts_ == before


def test_number_for_listed_experts_is_theirs(steps):
    X, y = steps
    experts = [("line", Ridge()), ("tree", DecisionTreeRegressor())]
    model = MixtureOfExpertsRegressor(experts, n_experts="auto", random_state=0).fit(X, y)
    assert model.n_experts_ == 2


def test_number_of_experts_of_a_classifier(steps):
    X, y = steps
    model = MixtureOfExpertsClassifier(n_experts="auto", top_k=3, random_state=0).fit(X, y > 0)
    assert 3 < model.n_experts_ <= 16
    assert list(model.classes_) == [False, True]


@pytest.mark.parametrize("n_experts", [0, "automatic", 2.5])
def test_bad_number(n_experts):
    with pytest.raises(ValueError, match="'n_experts' parameter"):
        MixtureOfExpertsRegressor(n_experts=n_experts).fit(SMALL_X, SMALL_Y)


# neighbours --------------------------------------------------------------------------------------


class Best(NamedTuple):
    log_likelihood: float


class Run(NamedTuple):
    best: Best


class Choice(NamedTuple):
    overlap: int


class Trial(NamedTuple):
    choice: Choice
    run: Run


@pytest.mark.parametrize(
    ("values", "best", "n_attempts"),
    [
        ([0, 1, 2, 3], 3, 2),  # up to the end
        ([2, 1, 0, 3], 2, 2),  # not further up: down, and never across a valley
        ([0, 1, 0, 0], 1, 2),
        ([0, 1, 5, 4], 5, 2),
        ([9, 1, 5, 4], 5, 2),  # what is above is better: nothing below is tried
    ],
)
def test_climb(values, best, n_attempts):
    tried = []

    def attempt(choice, rival):
        tried.append(choice)
        return Trial(choice, Run(Best(values[choice.overlap])))

    first = Trial(Choice(1), Run(Best(values[1])))
    found = _best_along("overlap", (0, 1, 2, 3), first, attempt, _is_more_likely)
    assert found.run.best.log_likelihood == best
    assert values[found.choice.overlap] == best
    assert len(tried) == n_attempts


# terms ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def disc():
    return make_piecewise_regression(
        600, n_features=2, n_regimes=2, boundary="radial", return_X_y=True, random_state=0
    )


def test_curved_borders_get_a_gate_with_products(disc):
    X, y = disc
    model = MixtureOfExpertsRegressor(n_experts=4, random_state=0).fit(X, y)
    assert model.gate_.terms == "products"
    straight = MixtureOfExpertsRegressor(n_experts=4, gate=SoftmaxGate("auto"), random_state=0)
    straight.fit(X, y)
    assert model.log_likelihood_ > straight.log_likelihood_ + 0.2


def test_borders_that_are_steps_get_a_gate_with_splines():
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(600, 2))
    y = np.where(np.abs(X[:, 0] - 0.5) % 0.25 < 0.125, X[:, 1], -X[:, 1])
    model = MixtureOfExpertsRegressor(random_state=0).fit(X, y + 0.05 * rng.normal(size=600))
    assert model.gate_.terms == "splines"


def test_straight_borders_do_not():
    X, y = make_piecewise_regression(600, n_regimes=2, return_X_y=True, random_state=0)
    assert MixtureOfExpertsRegressor(random_state=0).fit(X, y).gate_.terms == "linear"


@pytest.mark.parametrize(
    "parameters",
    [
        {"gate": SoftmaxGate("auto")},
        {"overlap": 1.0},
        {"e_step": "insample"},
        {"n_experts": 1},
        {"experts": DecisionTreeRegressor(max_depth=2), "overlap": 0.1},
    ],
)
def test_terms_are_not_tried_where_something_is_given(disc, parameters):
    model = MixtureOfExpertsRegressor(random_state=0, **parameters).fit(*disc)
    assert model.gate_.terms == "linear"


def test_terms_of_linear_experts_are_tried_whatever_the_overlap(disc):
    model = MixtureOfExpertsRegressor(n_experts=2, overlap=0.0, random_state=0)
    assert model.fit(*disc).gate_.terms != "linear"


def test_a_fit_that_goes_on_keeps_the_terms(disc):
    X, y = disc
    model = MixtureOfExpertsRegressor(warm_start=True, random_state=0).fit(X, y)
    assert model.gate_.terms == "products"
    assert model.fit(X, y).gate_.terms == "products"
    assert model.refit_expert("expert_0", X, y).gate_.terms == "products"


def test_features_that_are_all_constant():
    X, y = np.ones((100, 2)), SMALL_Y[:100]
    model = MixtureOfExpertsRegressor(Ridge(), random_state=0).fit(X[: len(y)], y)
    np.testing.assert_allclose(model.predict(X[:1]), y.mean(), atol=1e-6)


def test_terms_are_not_tried_for_sparse_or_many_numbers():
    settings = SimpleNamespace(overlap="auto", e_step="auto")
    assert terms_to_try(settings, np.ones((100, 5))) == TERMS
    assert terms_to_try(settings, sparse.csr_matrix(np.ones((100, 5)))) == ("linear",)
    assert terms_to_try(settings, np.ones((400_000, 4))) == TERMS
    assert terms_to_try(settings, np.ones((420_000, 4))) == ("linear",)
