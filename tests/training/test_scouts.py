"""Scouts: stiff experts that find where flexible ones should start."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.metrics import root_mean_squared_error
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

import skmoe._training.train as training
from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

TREE = DecisionTreeRegressor(min_samples_leaf=5)


def two_formulas(n_samples, seed=0):
    """Opposite slopes on the two sides of a plane."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, 4))
    regime = X[:, 1] + X[:, 2] > 0
    y = np.where(regime, 5, -5) * X[:, 0] + np.where(regime, 8, -8) + rng.normal(size=n_samples)
    return X, y, regime


@pytest.fixture
def scouted(monkeypatch):
    """What scouts have found in the fits of a test, with the setups that they served."""
    found = []
    scout = training.scout

    def recorded(setup, *arguments):
        found.append((setup, scout(setup, *arguments)))
        return found[-1][1]

    monkeypatch.setattr(training, "scout", recorded)
    return found


def test_trees_find_regimes_from_what_scouts_found(scouted):
    X, y, regime = two_formulas(600)
    model = MixtureOfExpertsRegressor(TREE, n_experts=2, random_state=0).fit(X[:400], y[:400])
    top = model.gate_proba(X[400:])[:, 0] > 0.5
    right = np.mean(top == regime[400:])
    assert max(right, 1 - right) > 0.95
    forest = RandomForestRegressor(100, random_state=0).fit(X[:400], y[:400])
    loss, rival = (
        root_mean_squared_error(y[400:], each.predict(X[400:])) for each in (model, forest)
    )
    assert loss < 0.9 * rival
    assert len(scouted) == 1


def test_each_fold_starts_from_its_own_responsibilities(scouted):
    X, y, _ = two_formulas(200)
    MixtureOfExpertsRegressor(TREE, n_experts=2, cv=3, random_state=0).fit(X, y)
    ((_, (start, *_)),) = scouted
    assert start.known.shape == (3, 200, 2)
    assert_allclose(start.known.sum(axis=-1), 1)
    assert np.abs(start.known[0] - start.known[1]).max() > 1e-6


def test_scouts_decide_on_terms_and_number(scouted):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 3))
    sign = np.where(X[:, 0] ** 2 + X[:, 1] ** 2 > 1.4, 1, -1)
    y = 6 * sign * X[:, 2] + 0.3 * rng.normal(size=500)
    model = MixtureOfExpertsRegressor(TREE, n_experts="auto", random_state=0).fit(X, y)
    ((_, (_, terms, numbers)),) = scouted
    assert terms == (model.gate_.terms,) != ("linear",)
    assert numbers == (len(model.experts_),)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"experts": TREE}, True),
        ({"experts": make_pipeline(StandardScaler(), TREE)}, True),
        ({"experts": TREE, "overlap": 0.0}, True),
        ({"experts": TREE, "overlap": 1.0}, False),
        ({"experts": TREE, "n_experts": 1}, False),
        ({"experts": TREE, "init": "leaves"}, False),
        ({"experts": TREE, "init": lambda X, y, k, rng: np.ones((len(X), k))}, False),
        ({"experts": TREE, "e_step": "insample"}, False),
        ({"experts": TREE, "e_step": "insample", "init": "linear"}, True),
        ({"experts": Ridge()}, False),
        ({"experts": Ridge(), "init": "linear"}, True),
        ({"experts": KNeighborsRegressor()}, False),
        ({"experts": KNeighborsRegressor(), "init": "linear"}, True),
        ({"experts": [("tree", TREE), ("line", Ridge())]}, False),
    ],
)
def test_when_scouts_go_first(settings, expected, scouted):
    X, y, _ = two_formulas(80)
    settings = {"n_experts": 2, "cv": 2, "max_iter": 3, "shared_expert": None} | settings
    model = MixtureOfExpertsRegressor(random_state=0, **settings).fit(X, y)
    assert len(scouted) == expected
    model.set_params(warm_start=True).fit(X, y)
    assert len(scouted) == expected


def test_rows_without_numbers_for_a_line_start_as_others_do(scouted):
    X, y, _ = two_formulas(120)
    X = sparse.csr_matrix(X)
    settings = {"n_experts": 2, "cv": 2, "max_iter": 3, "random_state": 0}
    asked, unasked = (
        MixtureOfExpertsRegressor(TREE, init=init, **settings).fit(X, y)
        for init in ("linear", "auto")
    )
    assert [found for _, found in scouted] == [None, None]
    assert_array_equal(asked.predict(X), unasked.predict(X))


def test_missing_numbers_and_words_among_the_features(scouted):
    pd = pytest.importorskip("pandas")
    X, y, regime = two_formulas(300)
    frame = pd.DataFrame(X, columns=list("abcd"))
    frame["side"] = np.where(regime, "left", "right")
    frame.loc[::7, "a"] = np.nan
    numbers = make_pipeline(_Columns(), TREE)
    model = MixtureOfExpertsRegressor(numbers, n_experts=2, cv=3, random_state=0).fit(frame, y)
    ((_, found),) = scouted
    assert found.start.known.shape == (3, 300, 2)
    assert np.isfinite(model.predict(frame)).all()


class _Columns(StandardScaler):
    """The first columns of a frame."""

    def fit(self, X, y=None):
        return super().fit(X[list("abcd")])

    def transform(self, X):
        return super().transform(X[list("abcd")])


def test_classes_multiple_outputs_and_untested_rows():
    X, y, regime = two_formulas(240)
    contrary = np.where(X[:, 0] * np.where(regime, 1, -1) > 0, "yes", "no")
    tree = DecisionTreeClassifier(min_samples_leaf=10)
    settings = {"n_experts": 2, "random_state": 0, "cv": 3}
    model = MixtureOfExpertsClassifier(tree, **settings).fit(X, contrary)
    assert model.score(X, contrary) > 0.8
    both = MixtureOfExpertsRegressor(TREE, **settings).fit(X, np.c_[y, -y])
    assert both.predict(X).shape == (240, 2)
    rows = np.arange(240)
    splits = [(rows[:80], rows[80:160]), (rows[:160], rows[160:])]
    settings["cv"] = splits
    model = MixtureOfExpertsClassifier(tree, **settings).fit(X, contrary)
    assert model.n_held_out_ == 160


def test_rows_of_weight_0_are_absent_for_scouts(scouted):
    X, y, _ = two_formulas(150)
    weight = np.tile([1.0, 0.0, 1.0], 50)
    settings = {"n_experts": 2, "init": "linear", "e_step": "insample", "max_iter": 4}
    for rows, given in ((np.arange(150), weight), (np.flatnonzero(weight), None)):
        MixtureOfExpertsRegressor(TREE, random_state=0, **settings).fit(X[rows], y[rows], given)
    first, second = (found.start.known for _, found in scouted)
    assert_array_equal(first, second)
