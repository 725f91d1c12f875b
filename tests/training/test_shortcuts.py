"""What EM does more cheaply before the last iteration, and that this is as asked for."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import is_classifier
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GroupKFold, KFold, PredefinedSplit, TimeSeriesSplit
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeRegressor

import skmoe._training.em as em
import skmoe._training.train as training
from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._data.folds import Folds
from skmoe._experts.pool import ExpertPool
from skmoe._training import scouts
from skmoe._training.search import _is_behind
from skmoe._training.shortcuts import COARSE_FOLDS
from skmoe.gates import SoftmaxGate

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

TREE = DecisionTreeRegressor(min_samples_leaf=10)


@pytest.fixture
def finished(monkeypatch):
    """Pairs of what was found and what became of it."""
    pairs = []
    finish = training.without_shortcuts

    def recorded(found, asked):
        pairs.append((found, finish(found, asked)))
        return pairs[-1][1]

    monkeypatch.setattr(training, "without_shortcuts", recorded)
    return pairs


def rows(n):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 3))
    return X, np.where(X[:, 0] > 0, X[:, 1], -X[:, 1]) + 0.3 * rng.normal(size=n)


@pytest.mark.parametrize("n_folds", [4, 5, 10])
def test_merged_folds(n_folds):
    folds = Folds.of(list(KFold(n_folds, shuffle=True, random_state=0).split(np.zeros(97))), 97)
    merged, of = folds.merged(3)
    assert len(merged) == 3 and merged.judged.all()
    assert_array_equal(np.unique(of), [0, 1, 2])
    for fold, coarse in enumerate(of):
        test = folds.splits[fold][1]
        assert_array_equal(merged.judge[test], coarse)
        assert not np.isin(test, merged.train(coarse)).any()
        # What a coarse fold knows, each of its folds may know, too.
        assert np.isin(merged.train(coarse), folds.train(fold)).all()


def test_merged_folds_of_a_time_series_know_nothing_of_later_rows():
    folds = Folds.of(list(TimeSeriesSplit(6).split(np.zeros(70))), 70)
    merged, _ = folds.merged(3)
    for train, test in merged.splits:
        assert train.max() < test.min()


def test_flexible_experts_are_judged_in_the_folds_that_were_asked_for(finished):
    X, y = rows(600)
    model = MixtureOfExpertsRegressor(TREE, n_experts=2, random_state=0).fit(X, y)
    ((found, final),) = finished
    assert len(found.run.best.responsibilities) == COARSE_FOLDS
    assert len(final.run.best.responsibilities) == 5
    assert len(final.run.history) == len(found.run.history) + 1 == model.n_iter_
    assert model.n_held_out_ == 600


def test_the_number_of_linear_experts_is_searched_in_coarse_folds(finished):
    X, y = rows(600)
    MixtureOfExpertsRegressor(Ridge(), gate=SoftmaxGate(), max_iter=4, random_state=0).fit(X, y)
    ((found, final),) = finished
    assert len(found.run.best.responsibilities) == COARSE_FOLDS
    assert len(final.run.best.responsibilities) == 5
    assert final.setup.experts.names == found.setup.experts.names


@pytest.mark.parametrize(
    ("experts", "n", "cv"),
    [
        (TREE, 200, None),  # few rows
        (TREE, 600, 3),
        (TREE, 600, TimeSeriesSplit(5)),  # rows that nobody judges
        (Ridge(), 600, None),
        ([("tree", TREE), ("line", Ridge())], 600, None),
    ],
)
def test_where_there_is_no_shortcut(experts, n, cv, finished):
    X, y = rows(n)
    model = MixtureOfExpertsRegressor(experts, n_experts=2, cv=cv, overlap=0.0, random_state=0)
    model.fit(X, y)
    ((found, final),) = finished
    assert final is found


def ring(n):
    """Six folds, each of which trains on the next one alone: merged, they train on nothing."""
    parts = np.array_split(np.random.default_rng(0).permutation(n), 6)
    return [(parts[(fold + 1) % 6], parts[fold]) for fold in range(6)]


@pytest.mark.parametrize(
    "model",
    [
        MixtureOfExpertsRegressor(TREE, n_experts=2),
        MixtureOfExpertsRegressor(Ridge(), n_experts=2, init="linear"),
        MixtureOfExpertsClassifier(LogisticRegression()),
    ],
)
def test_coarse_folds_train_on_rows_enough(model, finished):
    X, y = rows(600)
    y = y > 0 if is_classifier(model) else y
    model.set_params(cv=ring(600), max_iter=4, overlap=0.0, random_state=0).fit(X, y)
    ((found, _),) = finished
    assert len(found.run.best.responsibilities) == 6


def test_coarse_folds_train_on_all_classes(finished):
    X, y = rows(600)
    codes = np.digitize(y, np.quantile(y, [0.4, 0.8]))
    # The last class is in the first two folds alone, which are merged into one.
    fold = np.where(codes == 2, np.arange(600) % 2, 2 + np.arange(600) % 4)
    model = MixtureOfExpertsClassifier(
        LogisticRegression(), cv=PredefinedSplit(fold), max_iter=4, overlap=0.0, random_state=0
    )
    model.fit(X, codes)
    ((found, _),) = finished
    assert len(found.run.best.responsibilities) == 6


def test_scouts_of_forests_are_judged_in_coarse_folds(monkeypatch):
    seen = []
    search = scouts.best_run

    def spy(setup, *arguments):
        seen.append(len(setup.problem.folds))
        return search(setup, *arguments)

    monkeypatch.setattr(scouts, "best_run", spy)
    X, y = rows(600)
    forest = RandomForestRegressor(30, max_depth=3)
    MixtureOfExpertsRegressor(forest, n_experts=2, max_iter=3, random_state=0).fit(X, y)
    assert seen == [COARSE_FOLDS]


def test_groups_stay_together(finished):
    X, y = rows(600)
    groups = np.arange(600) // 20
    model = MixtureOfExpertsRegressor(TREE, n_experts=2, cv=GroupKFold(5), random_state=0)
    model.fit(X, y, groups=groups)
    ((found, _),) = finished
    folds = found.setup.problem.folds
    assert len(folds) == COARSE_FOLDS
    for group in range(30):
        assert len(np.unique(folds.judge[groups == group])) == 1


def test_no_more_iterations_than_allowed(finished):
    X, y = rows(600)
    labels = y > 0
    for model, target in (
        (MixtureOfExpertsRegressor(TREE, n_experts=2), y),
        (MixtureOfExpertsClassifier(LogisticRegression(), n_experts=2), labels),
    ):
        for max_iter in (1, 2, 3, 4):
            model.set_params(max_iter=max_iter, random_state=0).fit(X, target)
            assert model.n_iter_ <= max_iter


def test_behind():
    weight = np.ones(400)
    leader = [np.zeros(400), np.ones(400)]
    noise = np.random.default_rng(0).normal(size=400)
    noise -= noise.mean()
    error = noise.std() / np.sqrt(399)
    assert _is_behind([noise - 2.1 * error], leader, weight)
    assert not _is_behind([noise - 1.9 * error], leader, weight)
    assert not _is_behind([noise, noise + 1 - 1.9 * error], leader, weight)
    assert not _is_behind([noise, noise, noise - 9], leader, weight)  # the leader has stopped


@pytest.mark.parametrize("gate", [None, GaussianNB()])
@pytest.mark.parametrize("settings", [{}, {"annealing": 0.5, "max_iter": 30}, {"overlap": 0.3}])
def test_many_responsibilities_are_kept_in_single_precision(settings, gate, finished, monkeypatch):
    X, y = rows(400)
    model = MixtureOfExpertsRegressor(Ridge(), n_experts=2, gate=gate, random_state=0, **settings)
    double = model.fit(X, y).predict(X), model.log_likelihood_
    monkeypatch.setattr(em, "LARGE", 0)
    weights = []
    ask = ExpertPool.fit_held_out
    monkeypatch.setattr(
        ExpertPool,
        "fit_held_out",
        lambda self, given, *others: weights.append(given) or ask(self, given, *others),
    )
    single = model.fit(X, y).predict(X), model.log_likelihood_
    assert {own.dtype for own in weights} >= {np.dtype(np.float32)}
    found = [final.run.best.responsibilities for _, final in finished]
    assert isinstance(found[0], np.ndarray) and isinstance(found[1], em.Posteriors)
    assert_allclose(np.asarray(found[1]), found[0], atol=1e-4)
    assert_allclose(single[0], double[0], atol=1e-3)
    assert single[1] == pytest.approx(double[1], abs=1e-4)
