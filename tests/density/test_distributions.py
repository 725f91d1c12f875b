"""How sure is it? The public methods of fitted mixtures."""

import pickle

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.ensemble import RandomForestRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, KFold, PredefinedSplit, TimeSeriesSplit
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.datasets import make_piecewise_regression
from skmoe.metrics import coverage, crps, make_density_scorer


def uneven(n_samples, seed=0):
    """A line with skewed noise, the larger the farther to the right."""
    rng = np.random.RandomState(seed)
    X = rng.uniform(-1, 1, size=(n_samples, 2))
    noise = rng.exponential(size=n_samples) - 1.0
    return X, 3 * X[:, 0] + noise * np.exp(1.5 * X[:, 1])


def mixtures(**params):
    pool = [("line", Ridge()), ("near", KNeighborsRegressor(10))]
    return {
        "pool": MixtureOfExpertsRegressor(pool, random_state=0, **params),
        "clones": MixtureOfExpertsRegressor(Ridge(), n_experts=2, random_state=0, **params),
        "frozen": MixtureOfExpertsRegressor(
            [("a", FrozenEstimator(Ridge().fit(*uneven(50, 7)))), ("b", LinearRegression())],
            random_state=0,
            **params,
        ),
        "laplace": MixtureOfExpertsRegressor(
            Ridge(), n_experts=2, likelihood="laplace", random_state=0, **params
        ),
    }


@pytest.fixture(scope="module")
def rows():
    return uneven(500)


@pytest.fixture(scope="module")
def new_rows():
    return uneven(1500, seed=1)


@pytest.fixture(scope="module", params=["pool", "clones", "frozen", "laplace"])
def pair(request, rows):
    """The same mixture with both densities."""
    return tuple(
        mixtures(density=density)[request.param].fit(*rows) for density in ("auto", "mixture")
    )


def test_the_density_only_adds(pair, new_rows):
    auto, mixture = pair
    X, y = new_rows
    np.testing.assert_array_equal(auto.predict(X), mixture.predict(X))
    np.testing.assert_array_equal(auto.gate_proba(X), mixture.gate_proba(X))
    assert auto.lift_.over_constant == mixture.lift_.over_constant
    assert auto.log_density(X, y).mean() > mixture.log_density(X, y).mean() + 0.05


def test_scales_follow_the_row(rows, new_rows):
    model, mixture = (mixtures(density=kind)["pool"].fit(*rows) for kind in ("auto", "mixture"))
    gain = model.log_density(*new_rows).mean() - mixture.log_density(*new_rows).mean()
    assert gain > 0.15
    assert model.log_likelihood_ - mixture.log_likelihood_ == pytest.approx(gain, abs=0.12)
    std = model.predict(new_rows[0], return_std=True)[1]
    noisy = new_rows[0][:, 1] > 0
    assert np.median(std[noisy]) > 3 * np.median(std[~noisy])


def test_the_mean_is_the_prediction(pair, new_rows):
    auto, _ = pair
    X, _ = new_rows
    mean, std = auto.predict(X, return_std=True)
    distribution = auto.predict_distribution(X)
    np.testing.assert_array_equal(mean, auto.predict(X))
    np.testing.assert_allclose(distribution.mean(), mean, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(distribution.std(), std)


def test_methods_agree(pair, new_rows):
    X, y = new_rows[0][:40], new_rows[1][:40]
    for model in pair:
        distribution = model.predict_distribution(X)
        np.testing.assert_array_equal(model.log_density(X, y), distribution.joint_logpdf(y))
        np.testing.assert_allclose(model.log_density(X, y), distribution.logpdf(y))
        np.testing.assert_array_equal(
            model.predict_interval(X, coverage=[0.5, 0.9]), distribution.interval([0.5, 0.9])
        )
        assert model.predict_interval(X).shape == (40, 2)
        np.testing.assert_array_equal(
            model.predict_quantiles(X), distribution.ppf([0.05, 0.5, 0.95])
        )
        np.testing.assert_array_equal(model.predict_quantiles(X, 0.5), distribution.median())
        np.testing.assert_array_equal(model.sample_y(X, 3), distribution.rvs(3, 0))
        np.testing.assert_array_equal(model.sample_y(X, 3, 5), distribution.rvs(3, 5))


def test_what_is_reported_is_what_predicts(pair, new_rows):
    """The held-out log-likelihood is that of new rows, within their noise, and not the other's."""
    for model in pair:
        values = model.log_density(*new_rows)
        error = values.std() * np.sqrt(1 / 500 + 1 / 1500)
        assert abs(values.mean() - model.log_likelihood_) < 3 * error


def test_intervals_cover(pair, new_rows):
    X, y = new_rows
    auto, _ = pair
    assert -0.03 < coverage(y, auto.predict_interval(X)) - 0.9 < 0.07  # rather too wide
    for model in pair:
        interval = model.predict_interval(X, coverage=0.8, conformal=True)
        assert abs(coverage(y, interval) - 0.8) < 0.06


def test_conformal_levels_correct_a_wrong_density(rows, new_rows):
    """Laplace tails promise too much of a target without any."""
    X, _ = rows
    rng = np.random.RandomState(0)
    y = 3 * X[:, 0] + rng.uniform(-1, 1, size=len(X))
    y_new = 3 * new_rows[0][:, 0] + rng.uniform(-1, 1, size=len(new_rows[0]))
    model = MixtureOfExpertsRegressor(
        Ridge(), n_experts=1, density="mixture", likelihood="laplace", random_state=0
    ).fit(X, y)
    plain, corrected = (
        coverage(y_new, model.predict_interval(new_rows[0], 0.5, conformal=conformal))
        for conformal in (False, True)
    )
    assert abs(corrected - 0.5) < 0.04 < abs(plain - 0.5)


def test_too_few_rows_to_vouch():
    X, y = uneven(30)
    model = MixtureOfExpertsRegressor(Ridge(), n_experts=1, random_state=0).fit(X, y)
    assert np.isinf(model.predict_interval(X, 0.99, conformal=True)).all()
    assert np.isfinite(model.predict_interval(X, 0.9, conformal=True)).all()


def test_rows_are_independent_of_each_other(pair, new_rows):
    X, _ = new_rows
    for model in pair:
        whole = model.predict_quantiles(X[:50])
        for few in (slice(7, 8), slice(3, 9)):
            np.testing.assert_allclose(model.predict_quantiles(X[few]), whole[few], rtol=1e-9)
        assert model.predict_quantiles(X[:0]).shape == (0, 3)


def test_pickles_bit_for_bit(pair, new_rows):
    for model in pair:
        again = pickle.loads(pickle.dumps(model))
        np.testing.assert_array_equal(
            again.predict_quantiles(new_rows[0][:50]), model.predict_quantiles(new_rows[0][:50])
        )


def test_results_do_not_depend_on_jobs(rows, new_rows):
    quantiles = [
        mixtures(n_jobs=n_jobs)["pool"].fit(*rows).predict_quantiles(new_rows[0][:50])
        for n_jobs in (1, 2)
    ]
    np.testing.assert_array_equal(*quantiles)


def has_learned(model):
    return model._density is not None


def test_where_the_density_is_that_of_em(rows):
    X, y = rows
    assert has_learned(mixtures()["clones"].fit(X, y))
    assert not has_learned(mixtures(e_step="insample", overlap=0)["clones"].fit(X, y))
    assert not has_learned(mixtures()["clones"].fit(X[:49], y[:49]))
    assert has_learned(mixtures()["clones"].fit(X[:50], y[:50]))
    both = MixtureOfExpertsRegressor(LinearRegression(), n_experts=2, random_state=0)
    assert not has_learned(both.fit(X, np.column_stack([y, -y])))


def test_several_outputs(rows, new_rows):
    X, y = rows
    X_new = new_rows[0][:30]
    Y = np.column_stack([y, X[:, 0] - y])
    model = MixtureOfExpertsRegressor(LinearRegression(), n_experts=2, random_state=0).fit(X, Y)
    distribution = model.predict_distribution(X_new)
    assert distribution.shape == (30, 2)
    mean, std = model.predict(X_new, return_std=True)
    assert std.shape == mean.shape == (30, 2)
    assert model.predict_interval(X_new).shape == (30, 2, 2)
    assert model.predict_interval(X_new, [0.5, 0.9], conformal=True).shape == (30, 2, 2, 2)
    assert model.sample_y(X_new, 4).shape == (30, 2, 4)
    # joint: that of the components, in which outputs are independent
    log_gate = np.log(model.gate_proba(X))
    log_density = model._likelihood.log_density(Y, model.predict_experts(X), model.scale_)
    if model._shared is None:
        expected = np.logaddexp.reduce(log_gate + log_density, axis=1)
        np.testing.assert_allclose(model.log_density(X, Y), expected)


def test_surgery_takes_the_density_of_em(rows):
    X, y = rows
    model = MixtureOfExpertsRegressor(
        [("a", Ridge()), ("b", KNeighborsRegressor()), ("c", LinearRegression())], random_state=0
    ).fit(X, y)
    assert has_learned(model)
    dropped = model.drop_expert("c")
    assert not has_learned(dropped)
    assert dropped.predict_interval(X).shape == (500, 2)
    with pytest.raises(ValueError, match="dropped"):
        dropped.predict_interval(X, conformal=True)
    for changed in (model.drop_expert("c", X, y), model.refit_expert("a", X, y)):
        assert not has_learned(changed)
        changed.predict_interval(X, conformal=True)
    assert has_learned(model.freeze("a"))
    assert has_learned(model)
    assert has_learned(dropped.set_params(density="auto").fit(X, y))


def test_all_experts_are_asked_whatever_top_k_is(rows, new_rows):
    X, _ = new_rows
    model = mixtures(top_k=1)["clones"].fit(*rows)
    of_all = clone(model).set_params(top_k=None, shared_expert=None).fit(*rows)
    np.testing.assert_allclose(
        model.predict_distribution(X).mean(), of_all.predict(X), rtol=0, atol=1e-9
    )


def test_rows_that_no_fold_tests(rows):
    X, y = rows
    model = mixtures(cv=TimeSeriesSplit(4))["pool"].fit(X, y)
    assert has_learned(model)
    assert len(model._held_out_scores) == model.n_held_out_ < len(y)


def test_one_fold_has_all_rows_that_are_tested(rows):
    """It is cut, between groups: else near-copies would promise what new groups do not keep."""
    X, y = rows
    tested = np.arange(500) < 200
    model = mixtures(cv=PredefinedSplit(np.where(tested, 0, -1)))["clones"].fit(X, y)
    assert has_learned(model)
    assert model.n_held_out_ == 200
    rng = np.random.RandomState(0)
    unit = np.repeat(np.arange(80), 5)
    X, y = rng.normal(size=(80, 3))[unit] + 1e-3 * rng.normal(size=(400, 3)), rng.normal(size=80)
    y = y[unit] + 1e-2 * rng.normal(size=400)
    halves = [(np.flatnonzero(unit >= 40), np.flatnonzero(unit < 40))]
    honest, blind = (
        mixtures(cv=halves)["clones"].fit(X, y, groups=groups).log_likelihood_
        for groups in (unit, None)
    )
    assert honest < -1.2  # of new groups nothing is known but a normal distribution: -1.4
    assert blind > honest + 0.5


def test_each_row_its_own_fold():
    X, y = uneven(60)
    model = mixtures(cv=KFold(60))["clones"].fit(X, y)
    assert np.isfinite(model.log_likelihood_)


def test_features_that_a_forest_cannot_take(rows):
    pandas = pytest.importorskip("pandas")
    X, y = rows
    sparse = MixtureOfExpertsRegressor(Ridge(), n_experts=2, random_state=0).fit(csr_array(X), y)
    assert sparse.predict_interval(csr_array(X)).shape == (500, 2)
    frame = pandas.DataFrame(X, columns=["a", "b"])
    frame["kind"] = np.where(X[:, 1] > 0, "noisy", "quiet")
    model = MixtureOfExpertsRegressor(
        make_pipeline(Chosen(["a", "b"]), Ridge()),
        n_experts=2,
        gate_features=["a"],
        random_state=0,
    ).fit(frame, y)
    assert model.predict_interval(frame).shape == (500, 2)


class Chosen(StandardScaler):
    """Scales some columns of a frame and drops the others."""

    def __init__(self, columns):
        super().__init__()
        self.columns = columns

    def fit(self, X, y=None, sample_weight=None):
        return super().fit(X[self.columns], y, sample_weight)

    def transform(self, X, copy=None):
        return super().transform(X[self.columns], copy)


def test_a_constant_target():
    X, _ = uneven(80)
    model = MixtureOfExpertsRegressor(Ridge(), n_experts=2, random_state=0).fit(X, np.ones(80))
    interval = model.predict_interval(X)
    assert np.isfinite(interval).all()
    np.testing.assert_allclose(interval, 1.0, atol=0.05)


def test_weights_count_and_absent_rows_do_not():
    X, y = uneven(200)
    model = mixtures()["clones"]
    weight = np.r_[np.ones(150), np.zeros(50)]
    np.testing.assert_array_equal(
        clone(model).fit(X, y, weight).predict_quantiles(X),
        clone(model).fit(X[:150], y[:150]).predict_quantiles(X),
    )


def test_out_of_bag_forests(new_rows):
    X, y = uneven(300)
    model = MixtureOfExpertsRegressor(
        RandomForestRegressor(30, random_state=0), n_experts=2, random_state=0, e_step="oob"
    ).fit(X, y)
    assert has_learned(model)
    assert abs(coverage(new_rows[1], model.predict_interval(new_rows[0])) - 0.9) < 0.06


def test_scorers_choose(rows):
    X, y = make_piecewise_regression(200, return_X_y=True, random_state=0)
    search = GridSearchCV(
        MixtureOfExpertsRegressor(Ridge(), random_state=0),
        {"n_experts": [1, 3]},
        scoring=make_density_scorer(crps),
        cv=2,
    ).fit(X, y)
    assert search.best_params_ == {"n_experts": 3}
    piped = make_pipeline(StandardScaler(), MixtureOfExpertsRegressor(random_state=0)).fit(X, y)
    assert make_density_scorer(crps)(piped, X, y) < 0
    mean, std = piped.predict(X, return_std=True)
    assert mean.shape == std.shape


def test_bad_arguments(rows):
    X, y = rows
    with pytest.raises(ValueError, match="density"):
        MixtureOfExpertsRegressor(density="kernel").fit(X, y)
    model = mixtures(e_step="insample", overlap=0)["clones"].fit(X, y)
    with pytest.raises(ValueError, match="insample"):
        model.predict_interval(X, conformal=True)
    for bad in (0, 1.0, [0.5, 2], "all"):
        with pytest.raises(ValueError, match="coverage"):
            model.predict_interval(X, bad)
    with pytest.raises(ValueError, match="rows"):
        model.log_density(X, y[:3])


def test_a_model_of_before():
    """Models fitted before there were densities have the one of EM."""
    X, y = uneven(80)
    model = mixtures()["clones"].fit(X, y)
    expected = mixtures(density="mixture")["clones"].fit(X, y).predict_quantiles(X)
    del model._density, model._held_out_scores
    np.testing.assert_array_equal(model.predict_quantiles(X), expected)
    with pytest.raises(ValueError, match="held-out"):
        model.predict_interval(X, conformal=True)


def classes(n_samples, seed):
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((n_samples, 2))
    logits = 1.5 * X @ rng.standard_normal((2, 3))
    return X, (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)


def class_rows(n_samples, start=0):
    """Rows of one problem with three classes."""
    X, y = classes(4000, 0)
    return X[start : start + n_samples], np.array(["a", "b", "c"])[y[start : start + n_samples]]


@pytest.mark.parametrize("expert", [LogisticRegression(), DecisionTreeClassifier(max_depth=4)])
def test_sets_hold_the_class(expert):
    model = MixtureOfExpertsClassifier(expert, n_experts=2, random_state=0)
    model.fit(*class_rows(600))
    X, y = class_rows(3000, 1000)
    sizes = []
    for level in (0.5, 0.8, 0.95):
        chosen = model.predict_set(X, level)
        assert chosen.shape == (3000, 3)
        assert chosen.dtype == bool
        assert chosen.any(axis=1).all()
        assert np.all(chosen[np.arange(3000), model.predict_proba(X).argmax(axis=1)])
        held = chosen[np.arange(3000), np.searchsorted(model.classes_, y)].mean()
        error = 3 * np.sqrt(level * (1 - level) * (1 / 600 + 1 / 3000))  # of both sets of rows
        assert held > level - error
        if level > 0.7:  # the likeliest class alone is right more often than in half of the rows
            assert held < level + error
        sizes.append(chosen.sum(axis=1).mean())
    assert sizes == sorted(sizes)


def test_sets_need_held_out_rows():
    X, y = class_rows(100)
    model = MixtureOfExpertsClassifier(n_experts=2, e_step="insample", random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="insample"):
        model.predict_set(X)
    with pytest.raises(ValueError, match="coverage"):
        MixtureOfExpertsClassifier(n_experts=2, random_state=0).fit(X, y).predict_set(X, [0.5])
