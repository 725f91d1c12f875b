"""Folds: who judges a row, rows that belong together, and rows that nobody judges."""

import warnings

import numpy as np
import pytest
from sklearn import config_context
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    PredefinedSplit,
    TimeSeriesSplit,
    cross_validate,
)
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor
from small_mixtures import LABELS, X, Y, classifier, problem_of, regressor

from skmoe import MixtureOfExpertsRegressor
from skmoe._data.folds import Folds, check_splits
from skmoe._data.rows import keep_weighted_rows
from skmoe._experts.least_squares import held_out_predictions
from skmoe._likelihoods import Gaussian

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

N = len(Y)
GROUPS = np.arange(N) // 4
MAKERS = [(regressor, Y), (classifier, LABELS)]
FIRST_HALF_UNTESTED = np.r_[np.full(N // 2, -1), np.arange(N // 2) % 2]


def test_each_row_is_taken_from_the_fold_that_judges_it():
    folds = Folds.of([([0, 1], [2, 3]), ([2, 3], [1])], 4)
    np.testing.assert_array_equal(folds.judge, [-1, 1, 0, 0])
    np.testing.assert_array_equal(folds.judged, [False, True, True, True])
    values = np.array([[10, 11, 12, 13], [20, 21, 22, 23]])
    np.testing.assert_array_equal(folds.held_out(values)[1:], [21, 12, 13])
    np.testing.assert_array_equal(folds.weights(0, np.arange(1.0, 5.0)), [1, 2, 0, 0])
    np.testing.assert_array_equal(folds.judged_weights(np.full(4, 2.0)), [0, 2, 2, 2])
    # Rows without weight are better than none to learn from.
    np.testing.assert_array_equal(folds.weights(0, np.array([0.0, 0, 1, 1])), [1, 1, 0, 0])
    rows, left = folds.judged_only()
    np.testing.assert_array_equal(rows, [1, 2, 3])
    np.testing.assert_array_equal(left.judge, [1, 0, 0])
    np.testing.assert_array_equal(left.train(0), [0])
    np.testing.assert_array_equal(left.splits[1][0], [1, 2])
    assert not folds.is_in_sample and Folds.in_sample(4).is_in_sample
    assert not Folds.of([([0, 1], [2])], 3).is_in_sample


def test_least_squares_are_fitted_on_the_training_part_alone():
    """Which need not be all rows that are not tested."""
    folds = Folds.of(tuple(TimeSeriesSplit(3).split(X)), N)
    problem = problem_of(X, Y, Gaussian(np.array([1e-3])), folds)
    found = held_out_predictions([0], [LinearRegression()], problem, np.ones((3, N, 1)))[0]
    for train, test in folds.splits:
        expected = LinearRegression().fit(X[train], Y[train]).predict(X[test])
        np.testing.assert_allclose(found[test], expected)


# Rows that nobody judges


@pytest.mark.parametrize(("make", "y"), MAKERS)
@pytest.mark.parametrize(
    ("cv", "n_held_out"),
    [
        (TimeSeriesSplit(3), 60),
        (PredefinedSplit(FIRST_HALF_UNTESTED), 40),
        (PredefinedSplit(np.where(np.arange(N) < 50, -1, 0)), 30),
        ([(np.arange(30), np.arange(40, 80))], 40),
        (KFold(2), 80),
    ],
    ids=["time series", "predefined", "hold-out", "list", "all"],
)
@pytest.mark.parametrize("shared_expert", [None, "generalist"])
def test_splits_need_not_test_every_row(make, y, cv, n_held_out, shared_expert):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", message="EM stopped|too few rows")
        model = make(cv=cv, shared_expert=shared_expert).fit(X, y)
    assert model.n_held_out_ == n_held_out
    assert np.isfinite([model.log_likelihood_, model.score(X, y)]).all()
    assert np.isfinite(model.log_density(X, y)).all()


def test_in_sample_nothing_is_held_out():
    assert regressor(e_step="insample").fit(X, Y).n_held_out_ == 0


@pytest.mark.parametrize(("make", "y"), MAKERS)
def test_a_pool_whose_splits_leave_rows_untested(make, y):
    kinds = (
        [Ridge(), KNeighborsRegressor()]
        if make is regressor
        else [LogisticRegression(), KNeighborsClassifier()]
    )
    pool = list(zip("ab", kinds, strict=True))
    for cv in (TimeSeriesSplit(4), PredefinedSplit(np.where(np.arange(N) < 20, -1, 0))):
        model = make(pool, cv=cv, overlap=1.0, shared_expert="consensus").fit(X, y)
        assert np.isfinite([model.log_likelihood_, model.score(X, y)]).all()


def test_targets_of_untested_rows_teach_nothing_but_experts():
    """With frozen experts, all that is learned comes from held-out predictions."""
    rng = np.random.RandomState(0)
    fitted = [Ridge().fit(rng.normal(size=(9, 3)), rng.normal(size=9)) for _ in range(2)]
    frozen = list(zip("ab", map(FrozenEstimator, fitted), strict=True))
    start = np.where(X[:, :1] > 0, [0.8, 0.2], [0.2, 0.8])
    settings = dict(cv=PredefinedSplit(FIRST_HALF_UNTESTED), init=start, max_iter=4)
    half = np.arange(N) < N // 2
    untested, tested = Y.copy(), Y.copy()
    untested[half], tested[~half] = Y[half][::-1], Y[~half][::-1]
    first, same, other = (regressor(frozen, **settings).fit(X, y) for y in (Y, untested, tested))
    for figure in ("scale_", "log_likelihood_"):
        np.testing.assert_allclose(getattr(same, figure), getattr(first, figure), rtol=1e-9)
        assert not np.allclose(getattr(other, figure), getattr(first, figure), rtol=1e-3)
    np.testing.assert_allclose(same.gate_proba(X), first.gate_proba(X), rtol=1e-6)
    assert np.abs(other.gate_proba(X) - first.gate_proba(X)).max() > 1e-3
    # Experts that may be fitted do learn from them.
    first, other = (regressor(**settings).fit(X, y) for y in (Y, untested))
    assert np.abs(first.experts_[0].coef_ - other.experts_[0].coef_).max() > 0.1


def test_splits_that_cannot_be_used():
    data = keep_weighted_rows(X, Y, None)
    every = np.arange(N)
    for cv, words in [
        ([(every[10:], every[:10]), (every[10:], every[:10])], "more than once"),
        ([(every, every[:0])], "tests no row"),
        ([(every, every)], "trains on"),
    ]:
        with pytest.raises(ValueError, match=words):
            check_splits(cv, data, False, 0)
    weighted = keep_weighted_rows(X, Y, np.where(every < 20, 0.0, 1.0))
    with pytest.raises(ValueError, match="beyond the 60 rows of positive weight"):
        check_splits(PredefinedSplit(FIRST_HALF_UNTESTED), weighted, False, 0)


# Groups


def copies(n_groups, seed, size=8):
    """Groups of near-copies: who knows one row of a group knows the others."""
    rng = np.random.RandomState(seed)
    centre = rng.normal(size=(n_groups, 3))
    target = np.sin(2 * centre[:, 0]) + rng.normal(size=n_groups)
    X = np.repeat(centre, size, axis=0) + 1e-3 * rng.normal(size=(n_groups * size, 3))
    y = np.repeat(target, size) + 1e-2 * rng.normal(size=n_groups * size)
    return X, y, np.repeat(np.arange(n_groups), size)


@pytest.mark.parametrize("cv", [GroupKFold(5), 5])
def test_groups_make_the_reported_likelihood_that_of_new_groups(cv):
    X, y, groups = copies(120, 0)
    model = MixtureOfExpertsRegressor(
        DecisionTreeRegressor(min_samples_leaf=3), n_experts=2, overlap=0.3, cv=cv, random_state=0
    )
    new_X, new_y, _ = copies(400, 1)
    honest = model.fit(X, y, groups=groups)
    delivered = honest.log_density(new_X, new_y).mean()
    assert abs(honest.log_likelihood_ - delivered) < 0.2
    if cv == 5:  # what happens without them
        blind = model.fit(X, y)
        assert blind.log_likelihood_ > blind.log_density(new_X, new_y).mean() + 1.5


@pytest.mark.parametrize(("make", "y"), MAKERS)
def test_a_number_of_folds_keeps_groups_together(make, y):
    data = keep_weighted_rows(X, y, np.arange(N) % 5, GROUPS)  # some rows are absent
    folds = check_splits(4, data, make is classifier, 0)
    for group in np.unique(data.groups):
        assert len(set(folds.judge[data.groups == group])) == 1
    assert len(folds) == 4 and folds.judged.all()


@pytest.mark.parametrize(("make", "y"), MAKERS)
def test_groups_are_routed(make, y):
    """By default, as to the splitters of scikit-learn; through searches and pipelines."""
    mixture = make(cv=GroupKFold(2))
    with pytest.raises(ValueError, match="'groups'"):
        mixture.fit(X, y)
    mixture.fit(X, y, groups=GROUPS)
    pipeline = make_pipeline(StandardScaler(), mixture)
    search = GridSearchCV(pipeline, {"mixtureofexperts__top_k": [1, None]}, cv=GroupKFold(2))
    search.param_grid = {f"{pipeline.steps[-1][0]}__top_k": [1, None]}
    with config_context(enable_metadata_routing=True):
        for estimator in (mixture, pipeline, search):
            found = cross_validate(
                estimator, X, y, cv=GroupKFold(2), params={"groups": GROUPS}, error_score="raise"
            )
            assert np.isfinite(found["test_score"]).all()
        search.fit(X, y, groups=GROUPS)
        unwilling = make(cv=GroupKFold(2)).set_fit_request(groups=False)
        with pytest.raises(ValueError, match="'groups'"):
            cross_validate(
                unwilling,
                X,
                y,
                cv=GroupKFold(2),
                params={"groups": GROUPS},
                error_score="raise",
            )
    found = cross_validate(mixture, X, y, cv=2, params={"groups": GROUPS}, error_score="raise")
    assert np.isfinite(found["test_score"]).all()
    pipeline.fit(X, y, **{f"{pipeline.steps[-1][0]}__groups": GROUPS})


def test_groups_in_surgery():
    mixture = regressor(n_experts=3, cv=GroupKFold(2)).fit(X, Y, groups=GROUPS)
    data = {"X": X, "y": Y, "groups": GROUPS}
    for change in (
        lambda **data: mixture.add_expert("new", Ridge(), **data),
        lambda **data: mixture.refit_expert("expert_0", **data),
        lambda **data: mixture.drop_expert("expert_0", **data),
        lambda **data: mixture.prune(min_mass=mixture.utilization(X).mass.min() + 1e-9, **data),
    ):
        assert change(**data).n_held_out_ == N
        with pytest.raises(ValueError, match="'groups'"):
            change(X=X, y=Y)


def test_groups_have_to_be_as_many_as_rows():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        regressor().fit(X, Y, groups=GROUPS[:-1])
