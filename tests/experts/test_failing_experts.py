"""Experts with seeds, labels and shares of rows of their own, and what counts as a pool.

Each alone would do; a mixture of them has to do, too.
"""

import re
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.ensemble import StackingClassifier, StackingRegressor, VotingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from small_mixtures import LABELS, START, X, Y, classifier, problem_of, regressor

from skmoe import MixtureOfExpertsClassifier, load
from skmoe import dump as dump_bundle
from skmoe._data.folds import Folds
from skmoe._experts.kinds import of_different_kinds
from skmoe._experts.labels import EncodedLabels
from skmoe._experts.pool import ExpertPool
from skmoe._experts.seeds import seeded

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

CODES = np.unique(LABELS, return_inverse=True)[1]

# Random states ------------------------------------------------------------------------------


class Seeded(RegressorMixin, BaseEstimator):
    def __init__(self, seed=None):
        self.seed = seed

    def fit(self, X, y, sample_weight=None):
        self.mean_ = np.random.RandomState(self.seed).normal()
        return self

    def predict(self, X):
        return np.full(len(X), self.mean_)


class RandomSeeded(Seeded):
    def __init__(self, random_seed=7):
        self.random_seed = random_seed

    @property
    def seed(self):
        return self.random_seed


class Shy(RandomSeeded):
    """Like CatBoost: tells only of parameters that were set, and has two names for one."""

    def __init__(self, random_seed=None, random_state=None):
        self.random_seed = random_seed
        self.random_state = random_state

    @property
    def seed(self):
        assert self.random_seed is None or self.random_state is None, "only one may be set"
        chosen = self.random_state if self.random_seed is None else self.random_seed
        return 0 if chosen is None else chosen

    def get_params(self, deep=True):
        return {name: value for name, value in vars(self).items() if value is not None}

    def set_params(self, **parameters):
        vars(self).update(parameters)
        return self


@pytest.mark.parametrize(
    "expert",
    [
        Seeded(),
        Seeded(3),
        RandomSeeded(),
        Shy(),
        Shy(random_seed=1),
        make_pipeline(StandardScaler(), Seeded()),
        make_pipeline(StandardScaler(), Shy()),
    ],
    ids=repr,
)
def test_clones_always_get_their_own_seed(expert):
    fits = [regressor(expert, n_experts=3, overlap=1.0).fit(X, Y) for _ in range(2)]
    said = fits[0].predict_experts(X[:1])[0]
    assert len(np.unique(said)) == 3
    np.testing.assert_array_equal(fits[1].predict_experts(X[:1])[0], said)


def test_seeds_of_a_list_stay_as_they_were_set():
    rng = np.random.RandomState(0)
    assert seeded(Seeded(3), rng, override=False).seed == 3
    assert seeded(RandomSeeded(), rng, override=False).random_seed == 7
    assert seeded(Seeded(), rng, override=False).seed is not None
    assert seeded(Shy(), rng, override=False).get_params() == {}


# Experts that fail on their rows ------------------------------------------------------------


def test_quadratic_discriminants_of_iris():
    rows, labels = load_iris(return_X_y=True)
    model = MixtureOfExpertsClassifier(QuadraticDiscriminantAnalysis(), max_iter=6, random_state=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(rows, labels)
    # Which of them fail, and whether one does in the end, depends on the order of sums.
    said = [str(each.message) for each in caught if each.category is ConvergenceWarning]
    assert all(re.search("could not be fitted .*'expert_|EM stopped", text) for text in said)
    assert model.score(rows, labels) > 0.95


class Failing(Ridge):
    """Fails where too little weight is left to it; counts its fits."""

    fits: list = []

    def __init__(self, least=0.0):
        self.least = least
        super().__init__()

    def fit(self, X, y, sample_weight=None):
        total = len(y) if sample_weight is None else sample_weight.sum()
        self.fits.append(total)
        if total < self.least:
            raise ZeroDivisionError("too little weight")
        return super().fit(X, y, sample_weight)


def pool_of(template):
    halves = np.arange(40), np.arange(40, 80)
    folds = Folds.of((halves, halves[::-1]), 80)
    problem = problem_of(X, Y, regressor(Ridge()).fit(X, Y)._likelihood, folds)
    return ExpertPool(problem, names=("a", "b"), templates=(template, Ridge()), seeds=(0, 0))


def shared_weights(part):
    return np.tile([part, 1 - part], (2, 80, 1))


def test_in_the_first_iteration_an_expert_gets_more_rows():
    pool = pool_of(Failing(least=15))
    enough = pool.fit_held_out(shared_weights(0.5))
    assert not enough.failures
    np.testing.assert_array_equal(enough.weights, shared_weights(0.5)[0])
    held_out = pool.fit_held_out(shared_weights(0.2))
    assert "'a' (expert 1 of 2)" in held_out.failures[0] and len(held_out.failures) == 1
    np.testing.assert_allclose(held_out.weights[..., 0], 0.7 * 0.2 + 0.3)  # 17.6 in a fold
    np.testing.assert_allclose(held_out.weights[..., 1], 0.8)
    all_of_them = pool_of(Failing(least=40)).fit_held_out(shared_weights(0.2))
    np.testing.assert_array_equal(all_of_them.weights[..., 0], 1.0)


def test_later_an_expert_is_kept_as_it_was():
    pool = pool_of(Failing(least=15))
    before = pool.fit_held_out(shared_weights(0.5))
    after = pool.fit_held_out(shared_weights(0.2), before, 2)
    assert "EM iteration 2" in after.failures[0]
    np.testing.assert_array_equal(after.outputs[:, 0], before.outputs[:, 0])
    np.testing.assert_array_equal(after.weights[..., 0], before.weights[..., 0])
    assert (after.outputs[:, 1] != before.outputs[:, 1]).any()
    assert not pool.fit_held_out(shared_weights(0.6), after, 3).failures


def test_an_expert_that_always_fails_says_so_at_once():
    for overlap, fits in ((1.0, 1), (0.0, None)):
        Failing.fits.clear()
        experts = [("bad", Failing(least=np.inf)), ("good", Ridge())]
        with pytest.raises(RuntimeError, match="'bad'.*iteration 1 .*too little") as caught:
            regressor(experts, overlap=overlap).fit(X, Y)
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
        assert len(Failing.fits) <= (fits or 5)  # two folds, twice, and the first of all rows


def test_the_last_step_gives_more_rows_too():
    pool = pool_of(Failing())
    judged = pool.fit_held_out(shared_weights(0.2))
    Failing.fits.clear()
    pool = pool_of(Failing(least=30))
    assert pool.refit(judged)[0].n_features_in_ == 3
    np.testing.assert_allclose(Failing.fits, [16.0, 80 * (0.7 * 0.2 + 0.3)])
    with pytest.raises(RuntimeError, match="'a'.*the last step.*too little weight"):
        pool_of(Failing(least=81)).refit(judged)


@pytest.mark.parametrize("n_neighbors", [31, 50])
def test_more_neighbours_than_a_resample_has_rows(n_neighbors):
    for model, y in [
        (regressor(KNeighborsRegressor(n_neighbors), n_experts=3, overlap=0.0, cv=5), Y),
        (classifier(KNeighborsClassifier(n_neighbors), n_experts=3, overlap=0.0, cv=5), LABELS),
    ]:
        model.set_params(max_iter=5, shared_expert="generalist").fit(X, y)
        assert model.predict(X).shape == (80,)


def test_a_trial_of_the_search_that_fails_has_lost():
    def init(X, y, n_experts, random_state):
        return np.where(X[:, :1] > 0, [0.99, 0.01], [0.01, 0.99])

    class FailsWithAllRows(Ridge):
        def fit(self, X, y, sample_weight=None):
            if sample_weight is None:
                raise ValueError("all rows alike")
            return super().fit(X, y, sample_weight)

    noisy = X[:, 0] + 3 * np.random.RandomState(0).normal(size=80)
    model = regressor(FailsWithAllRows(), overlap="auto", init=init, max_iter=6).fit(X, noisy)
    assert model.overlap_ < 1.0


# Labels -------------------------------------------------------------------------------------


class CodesOnly(ClassifierMixin, BaseEstimator):
    """Like XGBClassifier: takes the classes 0, 1, ... of its rows, and no others."""

    def fit(self, X, y, sample_weight=None):
        classes = np.unique(y)
        if list(classes) != list(range(len(classes))):
            raise ValueError(f"Invalid classes inferred from unique values of `y`: {classes}")
        self.model_ = DecisionTreeClassifier(max_depth=3, random_state=0)
        self.model_.fit(X, y, sample_weight)
        self.classes_ = self.model_.classes_
        return self

    def predict_proba(self, X):
        return self.model_.predict_proba(X)

    def predict(self, X):
        return self.model_.predict(X)


class CodesWithoutWeights(CodesOnly):
    def fit(self, X, y):
        return super().fit(X, y)


@pytest.mark.parametrize("expert", [CodesOnly(), CodesWithoutWeights()], ids=repr)
@pytest.mark.parametrize("y", [LABELS, CODES, CODES + 5, CODES == 1], ids=["s", "0", "5", "b"])
@pytest.mark.parametrize("parameters", [{}, {"overlap": 0.0, "n_experts": 3, "cv": 3}], ids=str)
def test_experts_that_take_codes_only(expert, y, parameters):
    for experts in (expert, make_pipeline(StandardScaler(), expert)):
        model = classifier(experts, shared_expert="generalist", **parameters).fit(X, y)
        assert model.score(X, y) > 0.7
        assert set(model.predict(X)) <= set(y)


def test_codes_of_the_classes_that_an_expert_has():
    """The rows of each expert lack a class of three."""
    start = np.where(CODES[:, None] == 1, [1.0, 0.0], [0.0, 1.0])
    start[CODES == 0] = [0.5, 0.5]
    model = classifier(CodesOnly(), init=start, overlap=0.0, max_iter=1).fit(X, CODES)
    assert sorted(list(each.classes_) for each in model.experts_) == [[0, 1], [0, 2]]
    assert [type(each).__name__ for each in model.experts_].count("EncodedLabels") == 1


def test_encoded_labels_in_surgery_and_bundles(tmp_path):
    model = classifier(CodesWithoutWeights()).fit(X, LABELS)
    assert isinstance(model.experts_[0], EncodedLabels)
    np.testing.assert_array_equal(
        model.experts_[0].predict(X), model.classes_[model.predict_experts(X)[:, 0].argmax(axis=1)]
    )
    again = model.refit_expert("expert_0", X, LABELS).add_expert("new", CodesOnly(), X, LABELS)
    assert again.predict(X).shape == (80,)
    assert not isinstance(again.experts[0][1], EncodedLabels)
    dump_bundle(model, tmp_path / "model.moe")
    loaded = load(tmp_path / "model.moe", trusted=True)
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))


def test_class_weights_are_keyed_by_the_labels_of_the_user():
    weights = {"odd": 1.0, "even": 20.0, "none": 1.0}
    plain, weighted = [
        classifier(LogisticRegression(class_weight=each), overlap=1.0).fit(X, LABELS)
        for each in (None, weights)
    ]
    even = list(plain.classes_).index("even")
    assert weighted.experts_[0].classes_.dtype.kind == "U"
    means = [model.predict_experts(X)[..., even].mean() for model in (plain, weighted)]
    assert means[1] > means[0] + 0.2


# Meta-estimators ----------------------------------------------------------------------------


def stacking():
    members = [("nb", GaussianNB()), ("tree", DecisionTreeClassifier(max_depth=2))]
    return StackingClassifier(members, cv=2)


META = {
    "stacking": stacking,
    "search": lambda: GridSearchCV(stacking(), {"tree__max_depth": [1, 2]}, cv=2),
    "pipeline": lambda: make_pipeline(StandardScaler(), stacking()),
    "search of a pipeline": lambda: GridSearchCV(
        make_pipeline(StandardScaler(), stacking()),
        {"stackingclassifier__tree__max_depth": [1]},
        cv=2,
    ),
    "stacking of a stacking": lambda: StackingClassifier(
        [("nb", GaussianNB())], final_estimator=stacking(), cv=2
    ),
    "voting": lambda: VotingClassifier([("nb", GaussianNB())], voting="soft"),
}


@pytest.mark.filterwarnings("ignore:The least populated class:UserWarning")
@pytest.mark.parametrize("name", META)
def test_meta_estimators(name):
    for each in (META[name](), [("meta", META[name]())]):
        model = classifier(each, n_experts=1, max_iter=1).fit(X, LABELS)
        np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1.0)


def test_regressors_of_stacking():
    stack = StackingRegressor([("ridge", Ridge()), ("knn", KNeighborsRegressor(2))], cv=2)
    assert regressor(stack, max_iter=1).fit(X, Y).score(X, Y) > 0.3


@pytest.mark.parametrize(
    "expert",
    [
        SVC(),
        GridSearchCV(SVC(), {"C": [1.0]}),
        make_pipeline(StandardScaler(), GridSearchCV(SVC(), {"C": [1.0]})),
        StackingClassifier([("nb", GaussianNB())], final_estimator=SVC()),
        VotingClassifier([("nb", GaussianNB())]),
    ],
    ids=lambda expert: type(expert).__name__,
)
def test_meta_estimators_without_probabilities(expert):
    with pytest.raises(ValueError, match="no predict_proba"):
        classifier(expert).fit(X, LABELS)


# Kinds --------------------------------------------------------------------------------------


def on_columns(columns, expert):
    return make_pipeline(make_column_transformer((StandardScaler(), columns)), expert)


@pytest.mark.parametrize(
    ("first", "second", "different"),
    [
        (Ridge(), Ridge(), False),
        (Ridge(), Ridge(alpha=2.0), True),
        (Ridge(), LinearRegression(), True),
        (Ridge(random_state=0), Ridge(random_state=1), False),
        (RandomSeeded(1), RandomSeeded(2), False),
        (on_columns([0, 1], Ridge()), on_columns([0, 1], Ridge()), False),
        (on_columns([0, 1], Ridge()), on_columns([2], Ridge()), True),
        (on_columns(np.array([0]), Ridge()), on_columns(np.array([1]), Ridge()), True),
        (make_pipeline(StandardScaler(), Ridge()), Ridge(), True),
        (make_pipeline(StandardScaler(), Ridge()), make_pipeline(MaxAbsScaler(), Ridge()), True),
        (make_pipeline(Ridge(random_state=0)), make_pipeline(Ridge(random_state=1)), False),
        (LogisticRegression(class_weight={0: 1}), LogisticRegression(class_weight={0: 2}), True),
        (FrozenEstimator(Ridge()), FrozenEstimator(Ridge(alpha=2.0)), False),
    ],
)
def test_kinds(first, second, different):
    assert of_different_kinds((first, second)) is different
    assert of_different_kinds((LinearRegression(), KNeighborsRegressor(), first)) is (
        type(first) is not LinearRegression
    )
    assert not of_different_kinds((first, second, second))


def test_different_preprocessing_makes_a_pool():
    members = [("a", on_columns([0, 1], Ridge())), ("b", on_columns([2], Ridge()))]
    model = regressor(members, overlap="auto", shared_expert="auto", cv=3).fit(X, Y)
    assert model.overlap_ == 1.0 and model.n_iter_ == 1
    assert model.lift_.over_shared is not None
    clones = [(name, Ridge(random_state=k)) for k, name in enumerate("ab")]
    assert regressor(clones, overlap="auto", shared_expert="auto").fit(X, Y).shared_weight_ == 0


# What a later fit takes ---------------------------------------------------------------------


def test_starting_responsibilities_follow_the_experts():
    model = regressor(Ridge(), init=START).fit(X, Y)
    fewer = model.drop_expert("expert_0")
    np.testing.assert_array_equal(fewer.init, 1.0)
    more = model.add_expert("new", Ridge(), X, Y)
    np.testing.assert_allclose(more.init[:, :2], 2 / 3 * START)
    np.testing.assert_allclose(more.init.sum(axis=1), 1.0)
    for changed in (fewer, more, more.drop_expert("expert_1", X, Y)):
        assert changed.fit(X, Y).n_experts_ == len(changed.experts)
    assert model.init is START and model.freeze("expert_0").init is not None
    certain = np.eye(2)[np.arange(80) % 2]
    dropped = regressor(Ridge(), init=certain).fit(X, Y).drop_expert("expert_0")
    np.testing.assert_array_equal(dropped.init, 1.0)


def test_a_generator_of_splits_that_is_used_up():
    halves = [(np.arange(40), np.arange(40, 80)), (np.arange(40, 80), np.arange(40))]
    model = regressor(Ridge(), cv=iter(halves)).fit(X, Y)
    with pytest.raises(ValueError, match="cv=.*generator.*only once.*list"):
        model.fit(X, Y)


def test_defaults_do_not_warn_of_failures():
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        regressor(Ridge(), max_iter=30, tol=10.0).fit(X, Y)


# Magnitudes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-140, 1e-100, 1e100, 1e140])
@pytest.mark.parametrize("likelihood", ["gaussian", "laplace"])
def test_targets_of_any_ordinary_magnitude(scale, likelihood):
    plain, scaled = [
        regressor(LinearRegression(), likelihood=likelihood, tol=0.001, max_iter=5).fit(X, y)
        for y in (Y, scale * Y)
    ]
    np.testing.assert_allclose(scaled.predict(X), scale * plain.predict(X), rtol=1e-5)


@pytest.mark.parametrize(("scale", "remedy"), [(1e-300, "multiply y"), (1e200, "divide")])
def test_targets_beyond_double_precision_are_refused(scale, remedy):
    for y in (scale * Y, np.c_[Y, scale * Y]):
        with pytest.raises(ValueError, match=f"y .*{remedy}"):
            regressor(LinearRegression()).fit(X, y)
    constant = regressor(LinearRegression()).fit(X, np.full(80, 1e-300))
    np.testing.assert_allclose(constant.predict(X), 1e-300)


def test_features_beyond_double_precision_are_refused():
    large = X.copy()
    large[:, 1] *= 1e300
    for rows in (large, pd.DataFrame(large, columns=list("abc")), csr_matrix(large)):
        for model, y in ((regressor(LinearRegression()), Y), (classifier(GaussianNB()), LABELS)):
            with pytest.raises(ValueError, match="X has values as large as .*divide"):
                model.fit(rows, y)
    ordinary = X * [1e100, 1e-100, 1.0]
    assert regressor(LinearRegression(), gate_features=[2]).fit(ordinary, Y).score(ordinary, Y) > 0
