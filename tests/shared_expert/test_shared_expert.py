"""The shared expert: how it is weighed, what it adds to predictions, and when there is one."""

import copy
import dataclasses
import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.special import logsumexp
from scipy.stats import norm
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from small_mixtures import problem_of

import skmoe
from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor, SoftmaxGate
from skmoe._data.folds import Folds
from skmoe._experts.pool import ExpertPool
from skmoe._likelihoods import Categorical, Gaussian, regression_likelihood
from skmoe._shared_expert.consensus import Consensus
from skmoe._shared_expert.expert import SharedExpert, mixed_log_density
from skmoe._shared_expert.training import (
    SharedTraining,
    _credible_weight,
    fitted_on_all_rows,
    shared_kind,
    single_expert_dispersion,
    train_generalist,
    weigh,
)
from skmoe.gates._solver.penalty import PENALTIES

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

N = 120
RNG = np.random.RandomState(1)
X = RNG.normal(size=(N, 3))
# So little of regimes in so much noise that no mixture can do without a shared expert.
Y = X[:, 1] + 0.5 * np.sign(X[:, 0]) * X[:, 2] + RNG.normal(size=N)
MAYBE = np.where(X[:, 1] + RNG.normal(size=N) > 0, "no", "perhaps")
LABELS = np.where(X[:, 0] + 2 * RNG.normal(size=N) > 0, "yes", MAYBE)
OUTPUTS = np.column_stack([Y, X[:, 0] + 0.3 * Y**2])
C, R = MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
REGRESSORS = [("tree", DecisionTreeRegressor(max_depth=3)), ("line", Ridge())]
CLASSIFIERS = [("tree", DecisionTreeClassifier(max_depth=3)), ("bayes", GaussianNB())]
QUICK = dict(n_experts=2, overlap=0.1, init="kmeans", cv=3, max_iter=2, tol=0.1, random_state=2)


def quick(kind, experts=None, **parameters):
    """With the density of EM, in which the shared expert has a weight."""
    density = {"density": "mixture"} if kind is R else {}
    return kind(experts, **(QUICK | density | parameters))


UNFITTED = {
    "generalist, regressor": (quick(R, DecisionTreeRegressor(max_depth=3)), Y),
    "generalist, classifier": (quick(C, DecisionTreeClassifier(max_depth=3)), LABELS),
    "consensus, regressor": (quick(R, REGRESSORS), Y),
    "consensus, classifier": (quick(C, CLASSIFIERS), LABELS),
    "generalist, laplace": (quick(R, Ridge(), likelihood="laplace"), Y),
    "generalist, outputs": (quick(R, Ridge(), random_state=1), OUTPUTS),
    "consensus, outputs": (quick(R, REGRESSORS), OUTPUTS),
}
FITTED = {}
EVERY_KIND = pytest.mark.parametrize("name", UNFITTED)
BOTH_KINDS = pytest.mark.parametrize("name", ["generalist, regressor", "consensus, classifier"])


def fitted(name):
    """A fitted mixture with a shared expert, and its target; not to be changed."""
    model, y = UNFITTED[name]
    if name not in FITTED:
        FITTED[name] = clone(model).fit(X, y)
    assert 0 < FITTED[name].shared_weight_ <= 1
    return FITTED[name], y


def answer(model, rows, **options):
    method = model.predict_proba if hasattr(model, "predict_proba") else model.predict
    return method(rows, **options)


def reweighted(model, weight, density_weight=None):
    """A copy whose shared expert has another weight."""
    model = copy.copy(model)
    density_weight = weight if density_weight is None else density_weight
    model._set_shared(
        dataclasses.replace(model._shared, weight=weight, density_weight=density_weight)
    )
    return model


# How it is weighed


def losses_with(slope, spread, n=400):
    """Row losses of candidates 0 to 1 that rise by `slope` on average, with noise that cancels."""
    signs = np.where(np.arange(n) % 2, 1.0, -1.0)
    return lambda weight: weight * (slope + spread * signs)


def test_credible_weight_is_the_largest_within_one_standard_error():
    ones = np.ones(400)
    # Differences from weight 0 have mean w slope and standard error w spread / sqrt(n - 1).
    error = 1.0 / np.sqrt(399)
    assert _credible_weight(losses_with(0.99 * error, 1.0), ones) == 1.0
    assert _credible_weight(losses_with(1.01 * error, 1.0), ones) == 0.0
    assert _credible_weight(losses_with(-1.0, 1.0), ones) == 1.0
    assert _credible_weight(lambda weight: np.zeros(400), ones) == 1.0  # all are alike


def test_credible_weight_between():
    """The best is 0.4, and only what is as good as it and a little more is credible."""
    signs = np.where(np.arange(400) % 2, 1.0, -1.0)

    def loss(weight):  # mean (w - 0.4)^2, standard error |w - 0.4| * 0.2 * 20 / sqrt(399)
        return (weight - 0.4) ** 2 + (weight - 0.4) * 4.0 * signs

    assert _credible_weight(loss, np.ones(400)) == pytest.approx(0.6)
    # Rows that weigh more are fewer to learn from: the error is larger, and so is the weight.
    heavy = np.where(np.arange(400) < 40, 100.0, 1.0)
    assert _credible_weight(loss, heavy) == pytest.approx(0.95)


@pytest.mark.parametrize("name", ["gaussian", "laplace"])
def test_single_expert_dispersion_of_regressors(name):
    weight = RNG.uniform(0.5, 2, size=N)
    likelihood = regression_likelihood(name, Y, weight)
    outputs = np.column_stack([Y + 0.3 * RNG.normal(size=N), np.zeros(N), Y])
    errors = np.abs(outputs - Y[:, np.newaxis])
    power = 2 if name == "gaussian" else 1
    expected = np.average(errors**power, axis=0, weights=weight) ** (1 / power)
    expected[2] = likelihood.min_scale[0]
    found = single_expert_dispersion(problem_of(X, Y, likelihood, weight=weight), outputs)
    np.testing.assert_allclose(found[:, 0], expected)


def test_single_expert_dispersion_of_classifiers_maximises_the_likelihood():
    likelihood = Categorical(np.arange(2), learn_floor=True)
    target = RNG.randint(2, size=500)
    said = np.where(RNG.uniform(size=500) < 0.8, target, 1 - target)  # certain, wrong in a fifth
    outputs = np.eye(2)[said][:, np.newaxis]
    floor = single_expert_dispersion(problem_of(said, target, likelihood), outputs)[0]
    wrong = np.mean(said != target)
    assert floor / 2 == pytest.approx(wrong, rel=0.02)


def test_mixed_log_density():
    mixture, shared = np.log([[0.2, 0.6, 1e-300]]), np.log([[0.4, 0.1, 1e-200]])
    assert mixed_log_density(mixture, shared, 0.0) is mixture
    assert mixed_log_density(mixture, shared, 1.0) is shared
    between = mixed_log_density(mixture, shared, 0.25)
    np.testing.assert_allclose(between[0, :2], np.log([0.25, 0.475]))
    assert between[0, 2] == pytest.approx(np.log(0.25) + np.log(1e-200))
    empty = np.array([-np.inf])
    assert mixed_log_density(mixture[0, :1], empty, 0.5)[0] == pytest.approx(np.log(0.1))


# What it adds


def floored(proba, floor):
    return (1 - floor) * proba + floor / proba.shape[-1]


@EVERY_KIND
@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0, None])
def test_prediction_is_the_weighted_mean(name, weight):
    """From public pieces; of the consensus its own answer to what all experts say."""
    model, _ = fitted(name)
    model = model if weight is None else reweighted(model, weight)
    w, rows = model.shared_weight_, X[:30] + 0.1
    outputs, gate = model.predict_experts(rows), model.gate_proba(rows)
    shared = model.shared_expert_
    if isinstance(model, C):
        component = floored(outputs, model.floor_[:, np.newaxis])
        own = shared.predict_proba(rows) if "generalist" in name else shared.predict(outputs, rows)
        own = floored(own, model._shared.dispersion[0])
    else:
        component = outputs
        own = shared.predict(rows) if "generalist" in name else shared.predict(outputs, rows)
    expected = (1 - w) * np.einsum("nk,nk...->n...", gate, component) + w * own
    np.testing.assert_allclose(answer(model, rows), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", [n for n in UNFITTED if "classifier" in n])
def test_class_density_is_what_predict_proba_says(name):
    model, _ = fitted(name)
    assert model._shared.density_weight == model.shared_weight_
    rows = X[:20]
    proba = model.predict_proba(rows)
    for k, label in enumerate(model.classes_):
        density = model.log_density(rows, np.full(20, label))
        np.testing.assert_allclose(density, np.log(proba[:, k]))
    np.testing.assert_allclose(proba.sum(axis=1), 1)


@pytest.mark.parametrize("name", ["generalist, regressor", "consensus, regressor"])
@pytest.mark.parametrize("weight", [0.0, 0.4, 1.0])
def test_density_integrates_to_one(name, weight):
    """And is that of the pieces; its weight need not be that of the prediction."""
    model = reweighted(fitted(name)[0], 0.7, weight)
    grid, row = np.linspace(-30, 30, 6001), X[:1]
    density = np.exp(model.log_density(np.repeat(row, len(grid), axis=0), grid))
    step = grid[1] - grid[0]
    assert density.sum() * step == pytest.approx(1, abs=1e-6)
    parts = norm.logpdf(grid[:, np.newaxis], model.predict_experts(row), model.scale_)
    mixture = np.exp(logsumexp(parts, b=model.gate_proba(row), axis=1))
    shared = model.shared_expert_
    own = shared.predict(*([model.predict_experts(row)] if "consensus" in name else []), row)
    alone = norm.pdf(grid, own, model._shared.dispersion[0, 0])
    np.testing.assert_allclose(density, (1 - weight) * mixture + weight * alone, atol=1e-12)


def test_a_shared_expert_of_weight_0_in_the_prediction_is_not_asked():
    """It then does not forbid what would need all experts not to be asked."""
    model, _ = fitted("consensus, regressor")
    model = reweighted(model, 0.0, 0.5)
    np.testing.assert_allclose(model.predict(X, max_error=0.0), model.predict(X), rtol=1e-12)


@pytest.mark.parametrize("name", ["consensus, regressor", "consensus, classifier"])
def test_consensus_and_few_experts(name):
    """With top_k it is left out; max_error cannot be promised."""
    model, _ = fitted(name)
    few = clone(model).set_params(shared_expert="consensus", top_k=1).fit(X, UNFITTED[name][1])
    assert isinstance(few.shared_expert_, Consensus)
    best, rows = few.apply(X), np.arange(N)
    expected = few.predict_experts(X)[rows, best]
    if isinstance(few, C):
        expected = floored(expected, few.floor_[best][:, np.newaxis])
    np.testing.assert_allclose(answer(few, X), expected)
    with pytest.raises(ValueError, match="max_error=0.1 .*consensus.*shared_expert=None"):
        answer(model, X, max_error=0.1)


@pytest.mark.parametrize("name", [n for n in UNFITTED if "generalist" in n])
def test_max_error_holds_with_a_generalist(name):
    model, _ = fitted(name)
    model = reweighted(model, 0.3)
    dense = answer(model, X)
    inside = np.ones(N, dtype=bool)
    if isinstance(model, R):
        ranges = model.prediction_range_
        outputs = model.predict_experts(X)
        within = (ranges[..., 0] <= outputs) & (outputs <= ranges[..., 1])
        inside = within.reshape(N, -1).all(axis=1)
    assert inside.sum() > N / 3
    for max_error in (0.0, 0.01, 0.3):
        error = np.abs(answer(model, X, max_error=max_error) - dense).reshape(N, -1)
        error = error.sum(axis=1) / 2 if isinstance(model, C) else error.max(axis=1)
        assert error[inside].max() <= 0.7 * max_error + 1e-12


@EVERY_KIND
def test_one_row_is_as_in_a_batch(name):
    model, _ = fitted(name)
    batch = answer(model, X[:5])
    for row in range(5):
        np.testing.assert_allclose(answer(model, X[[row]])[0], batch[row], rtol=1e-12)
    assert answer(model, X[:0]).shape == (0, *batch.shape[1:])


# The guard


def test_a_mixture_that_cannot_help_does_no_harm():
    """Noise, and one linear regime: without the generalist there is harm, with it next to none."""
    with_it, without = [], []
    for seed in range(4):
        rng = np.random.RandomState(seed)
        slopes = np.array([1.0, -2.0, 0.5]) * (seed % 2)
        Z, fresh = rng.normal(size=(300, 3)), rng.normal(size=(3000, 3))
        y, truth = Z @ slopes + rng.normal(size=300), fresh @ slopes + rng.normal(size=3000)
        model = R(LinearRegression(), n_experts=3, cv=3, max_iter=10, random_state=0).fit(Z, y)
        # With overlap 1 every linear expert is the generalist, and any weight is right.
        assert model.shared_weight_ >= 0.5 or model.overlap_ == 1.0

        def error(predictor, fresh=fresh, truth=truth):
            return np.mean(np.square(truth - predictor.predict(fresh)))

        alone = error(LinearRegression().fit(Z, y))
        with_it.append(error(model) / alone - 1)
        without.append(error(reweighted(model, 0.0)) / alone - 1)
    assert max(with_it) < 0.01
    assert np.mean(with_it) < 0.2 * np.mean(without)


def test_labels_that_are_noise_leave_it_to_the_generalist():
    rng = np.random.RandomState(1)
    Z, y = rng.normal(size=(300, 3)), rng.randint(2, size=300)
    model = C(LogisticRegression(), n_experts=3, cv=3, max_iter=10, random_state=0).fit(Z, y)
    assert model.shared_weight_ >= 0.9


def test_regimes_leave_nothing_to_the_generalist():
    rng = np.random.RandomState(0)
    Z = rng.uniform(-1, 1, size=(400, 2))
    y = np.where(Z[:, 0] > 0, 3 * Z[:, 1], -3 * Z[:, 1]) + 0.1 * rng.normal(size=400)
    model = R(LinearRegression(), n_experts=2, overlap=0.0, random_state=0).fit(Z, y)
    assert model.shared_weight_ == 0.0
    assert model.lift_.over_shared > 10 * model.lift_.over_shared_se > 0
    alone = clone(model).set_params(shared_expert=None).fit(Z, y)
    np.testing.assert_allclose(model.predict(Z), alone.predict(Z), rtol=1e-10)
    assert alone.shared_expert_ is None and alone.lift_.over_shared is None


def test_lift_tells_of_the_shared_expert():
    model, _ = fitted("generalist, regressor")
    assert "over the shared expert " in repr(model.lift_)
    assert "the shared expert" not in repr(
        clone(model).set_params(shared_expert=None).fit(X, Y).lift_
    )
    whole = model.log_likelihood_ - model.lift_.over_shared
    # What is left is the generalist's own held-out log-likelihood: near that of its scale.
    scale = model._shared.dispersion[0, 0]
    assert whole == pytest.approx(-0.5 * np.log(2 * np.pi * np.e * scale**2), rel=1e-6)


# When there is one

AUTO = dict(
    templates=(Ridge(),) * 2, same_template=True, e_step="crossfit", top_k=None, n_samples=50
)
KINDS = dict(templates=(Ridge(), DecisionTreeRegressor()), same_template=False)


@pytest.mark.parametrize(
    ("expected", "case"),
    [
        ("generalist", {}),
        ("generalist", {"e_step": "oob"}),
        (None, {"top_k": 1}),
        (None, {"e_step": "insample"}),
        (None, {"n_samples": 49}),
        (None, {"templates": (Ridge(),)}),
        ("consensus", {"templates": (FrozenEstimator(Ridge()),) * 2}),
        ("consensus", KINDS),
        ("consensus", KINDS | {"templates": (make_pipeline(Ridge()), LinearRegression())}),
        (None, KINDS | {"top_k": 1}),
        ("consensus", KINDS | {"templates": (Ridge(), FrozenEstimator(LinearRegression()))}),
        ("consensus", KINDS | {"templates": (Ridge(), Ridge(2.0))}),
        ("consensus", KINDS | {"templates": (Ridge(), make_pipeline(Ridge()))}),
        (None, KINDS | {"templates": (Ridge(), Ridge())}),
    ],
)
def test_auto(expected, case):
    assert shared_kind("auto", **(AUTO | case)) == expected


def test_explicit_settings_are_obeyed():
    few = AUTO | {"n_samples": 3, "top_k": 1}
    assert shared_kind("consensus", **few) == "consensus"
    assert shared_kind("generalist", **few) == "generalist"
    assert shared_kind(None, **AUTO) is None


@pytest.mark.parametrize("setting", ["consensus", "generalist"])
def test_an_in_sample_fit_cannot_weigh_it(setting):
    message = f"shared_expert='{setting}'.*e_step='insample'.*crossfit.*shared_expert=None"
    with pytest.raises(ValueError, match=message):
        quick(R, shared_expert=setting, e_step="insample").fit(X, Y)


def test_experts_of_a_list_have_no_generalist():
    message = "shared_expert='generalist'.*list.*shared_expert='consensus'"
    with pytest.raises(ValueError, match=message):
        quick(R, REGRESSORS, shared_expert="generalist").fit(X, Y)


def test_other_settings_are_refused():
    with pytest.raises(ValueError, match="'shared_expert' parameter.*'referee'"):
        quick(R, shared_expert="referee").fit(X, Y)


def test_it_is_a_parameter_like_others():
    model = quick(R, Ridge(), shared_expert=None)
    assert clone(model).get_params()["shared_expert"] is None
    grid = {"shared_expert": [None, "generalist", "consensus"]}
    search = GridSearchCV(model, grid, cv=2, error_score="raise").fit(X, Y)
    assert search.best_params_["shared_expert"] in grid["shared_expert"]
    assert len(set(search.cv_results_["mean_test_score"])) > 1


# Data and reproducibility


@BOTH_KINDS
def test_reproducible_whatever_n_jobs(name):
    model, y = UNFITTED[name]
    once, again = fitted(name)[0], clone(model).set_params(n_jobs=2).fit(X, y)
    np.testing.assert_array_equal(answer(once, X), answer(again, X))
    assert once.shared_weight_ == again.shared_weight_
    assert once.log_likelihood_ == again.log_likelihood_


@BOTH_KINDS
def test_weight_0_is_absence(name):
    model, y = UNFITTED[name]
    weight = np.r_[np.ones(100), np.zeros(20)]
    there = clone(model).fit(X, y, sample_weight=weight)
    absent = clone(model).fit(X[:100], y[:100])
    assert there.shared_weight_ == absent.shared_weight_
    np.testing.assert_array_equal(answer(there, X), answer(absent, X))


def test_frames_with_strings_and_missing_values():
    frame = pd.DataFrame(
        {"a": X[:, 0], "town": np.where(X[:, 1] > 0, "Rome", "Oslo"), "b": X[:, 2]}
    )
    frame.loc[::7, "a"] = np.nan

    def encoded(last):
        columns = (SimpleImputer(), ["a", "b"]), (OneHotEncoder(), ["town"])
        return make_pipeline(make_column_transformer(*columns), last)

    pool = [("tree", encoded(DecisionTreeRegressor(max_depth=3))), ("line", encoded(Ridge()))]
    for experts, kind in ((pool, "consensus"), (encoded(Ridge()), "generalist")):
        model = quick(R, experts, shared_expert=kind, gate_features=["a", "b"]).fit(frame, Y)
        assert model.shared_expert_ is not None
        together = model.predict(frame)
        np.testing.assert_allclose(model.predict(frame.iloc[3:4]), together[3:4], rtol=1e-12)
    # The correction sees what the gate's own steps make of the columns.
    gate = make_pipeline(make_column_transformer((SimpleImputer(), ["a"])), SoftmaxGate())
    model = quick(R, pool, shared_expert="consensus", gate=gate).fit(frame, Y)
    np.testing.assert_array_equal(model.shared_expert_.columns, [0])
    assert np.isfinite(model.predict(frame)).all()


@pytest.mark.parametrize("experts", [Ridge(), REGRESSORS])
def test_sparse_features(experts):
    rows = sparse.csr_matrix(np.where(X > 0, X, 0))
    model = quick(R, experts).fit(rows, Y)
    assert model.shared_expert_ is not None
    if isinstance(experts, list):
        assert len(model.shared_expert_.columns) == X.shape[1]
    np.testing.assert_allclose(model.predict(rows[:1]), model.predict(rows)[:1], rtol=1e-10)


def test_missing_values_reach_the_correction():
    rows = np.where(RNG.uniform(size=X.shape) < 0.1, np.nan, X)
    pool = [
        ("trees", HistGradientBoostingRegressor(max_iter=5)),
        ("line", make_pipeline(SimpleImputer(), Ridge())),
    ]
    model = quick(R, pool).fit(rows, Y)
    np.testing.assert_array_equal(model.shared_expert_.columns, [0, 1, 2])
    assert np.isfinite(model.predict(rows)).all()


# Afterwards


@EVERY_KIND
def test_pickles(name):
    model, y = fitted(name)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(answer(again, X), answer(model, X))
    np.testing.assert_array_equal(again.log_density(X, y), model.log_density(X, y))


@pytest.mark.parametrize("payload", ["joblib", "skops"])
@pytest.mark.parametrize("name", [name for name in UNFITTED if "outputs" not in name])
def test_bundles(name, payload, tmp_path):
    model, y = fitted(name)
    options = {}
    if payload == "skops":
        pytest.importorskip("skops")
    skmoe.dump(model, tmp_path / "model.skmoe", payload=payload, golden_rows=X)
    if payload == "skops":
        from skmoe.io import UntrustedPayloadError

        try:
            skmoe.load(tmp_path / "model.skmoe")
        except UntrustedPayloadError as error:
            options["trusted"] = list(error.types)
            assert not [kind for kind in error.types if kind.startswith("skmoe")]
    for lazy in (False, True):
        again = skmoe.load(tmp_path / "model.skmoe", lazy=lazy, **options)
        assert type(again.shared_expert_) is type(model.shared_expert_)
        np.testing.assert_array_equal(answer(again, X), answer(model, X))
        np.testing.assert_array_equal(again.log_density(X, y), model.log_density(X, y))


def test_models_of_before_there_was_one_still_predict():
    model = clone(UNFITTED["generalist, regressor"][0]).set_params(shared_expert=None).fit(X, Y)
    expected = model.predict(X), model.log_density(X, Y)
    for name in ("_shared", "shared_expert_", "shared_weight_", "shared_expert"):
        delattr(model, name)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(X), expected[0])
    np.testing.assert_array_equal(again.log_density(X, Y), expected[1])
    assert len(again.drop_expert("expert_0").experts_) == 1


def new_target(model):
    return LABELS if isinstance(model, C) else Y


@pytest.mark.parametrize("setting", ["auto", "explicit"])
@pytest.mark.parametrize("operation", ["add", "refit", "drop"])
@pytest.mark.parametrize("name", ["generalist, regressor", "consensus, classifier"])
def test_surgery_with_data(name, operation, setting):
    """A generalist stays and is weighed anew; a consensus is trained anew on the experts."""
    model, y = fitted(name)
    kind = name.split(",")[0]
    if setting == "explicit":
        model = clone(model).set_params(shared_expert=kind).fit(X, y)
    first = list(model.named_experts_)[0]
    before = answer(model, X)
    if operation == "add":
        new = KNeighborsRegressor() if isinstance(model, R) else LogisticRegression()
        changed = model.add_expert("new", new, X, y)
    elif operation == "refit":
        changed = model.refit_expert(first, X, y)
    else:
        changed = model.drop_expert(first, X, y)
    np.testing.assert_array_equal(answer(model, X), before)
    if changed.shared_expert_ is not None:
        assert (changed.shared_expert_ is model.shared_expert_) == (kind == "generalist")
        assert changed.shared_weight_ + changed._shared.density_weight > 0
    assert changed.lift_.over_shared is not None  # it was weighed in any case
    assert np.isfinite(changed.log_density(X, y)).all()
    again = pickle.loads(pickle.dumps(changed))
    np.testing.assert_array_equal(answer(again, X), answer(changed, X))


def test_surgery_without_a_shared_expert_gets_none():
    model, _ = fitted("generalist, regressor")
    alone = clone(model).set_params(shared_expert=None).fit(X, Y)
    assert alone.add_expert("new", Ridge(), X, Y).lift_.over_shared is None
    frozen = pickle.loads(pickle.dumps(model)).set_params(shared_expert=None)
    assert frozen.add_expert("new", Ridge(), X, Y).shared_expert_ is None


def test_drop_without_data():
    model, _ = fitted("generalist, regressor")
    dropped = model.drop_expert("expert_0")
    assert dropped.shared_expert_ is model.shared_expert_
    assert dropped.shared_weight_ == model.shared_weight_
    model, _ = fitted("consensus, classifier")
    dropped = model.drop_expert("tree")
    assert dropped.shared_expert_ is None and dropped.shared_weight_ == 0.0
    assert model.shared_expert_ is not None
    expected = floored(dropped.predict_experts(X)[:, 0], dropped.floor_[0])
    np.testing.assert_allclose(dropped.predict_proba(X), expected)


@BOTH_KINDS
def test_freezing_changes_nothing(name):
    model, y = fitted(name)
    frozen = model.freeze(list(model.named_experts_))
    np.testing.assert_array_equal(answer(frozen, X), answer(model, X))
    np.testing.assert_array_equal(frozen.log_density(X, y), model.log_density(X, y))
    assert isinstance(clone(frozen).fit(X, y).shared_expert_, Consensus)


@BOTH_KINDS
def test_warm_start(name):
    model, y = UNFITTED[name]
    model = clone(model).set_params(warm_start=True, random_state=1).fit(X, y)
    first = model.shared_expert_
    model.fit(X, y)
    assert model.shared_expert_ is not None and model.shared_expert_ is not first
    assert model.set_params(shared_expert=None).fit(X, y).shared_expert_ is None
    assert model.shared_weight_ == 0.0


# The penalty of the gate


def piecewise(n, seed):
    rng = np.random.RandomState(seed)
    Z = rng.uniform(-1, 1, size=(n, 3))
    return Z, np.where(Z[:, 0] > 0, 3 * Z[:, 1], -3 * Z[:, 1]) + 0.1 * rng.normal(size=n)


def test_the_default_gate_has_the_penalty_of_the_largest_likelihood():
    Z, y = piecewise(300, 0)
    settings = QUICK | dict(overlap=0.0, max_iter=10, tol=1e-4, shared_expert=None)
    settings |= dict(density="mixture")  # whose likelihood it is
    chosen = R(LinearRegression(), **settings).fit(Z, y)
    assert chosen.gate_.alpha in PENALTIES and chosen.gate_.alpha < 1e-3  # a sharp border
    fixed = R(LinearRegression(), gate=SoftmaxGate(alpha=1e-3), **settings).fit(Z, y)
    assert chosen.log_likelihood_ >= fixed.log_likelihood_
    assert chosen.get_params()["gate"] is None


def test_noise_gets_a_strong_penalty():
    rng = np.random.RandomState(0)
    Z, y = rng.normal(size=(150, 10)), rng.normal(size=150)
    auto = quick(R, REGRESSORS, gate=SoftmaxGate(alpha="auto"), shared_expert=None)
    model = auto.fit(Z, y)
    assert model.gate_.alpha > 1e-3
    assert auto.gate.alpha == "auto"  # parameters are left as they are


@pytest.mark.parametrize("parameters", [dict(capacity_factor=1.2), dict(e_step="insample")])
def test_penalty_where_the_gate_cannot_be_settled_at_once(parameters):
    Z, y = piecewise(150, 0)
    model = quick(R, LinearRegression(), overlap=0.0, **parameters).fit(Z, y)
    assert model.gate_.alpha in PENALTIES
    assert np.isfinite(model.log_likelihood_)


def test_the_weight_in_the_density_is_chosen_by_the_density():
    """A mixture of two modes: a poor mean between them, and a density that says much more."""
    n = 400
    y = np.where(np.arange(n) % 2, 1.0, -1.0) + 0.01 * np.random.RandomState(0).normal(size=n)
    problem = problem_of(y, y, Gaussian(np.array([1e-3])))
    two_modes = np.log(0.5 * (norm.pdf(y, 1, 0.01) + norm.pdf(y, -1, 0.01)))
    own = 0.5 * y  # of the generalist, whose mean is better
    expert = weigh(None, own, np.zeros(n), two_modes, problem).expert
    assert expert.weight == 1.0 and expert.density_weight < 0.2
    # And the other way round: a good mean of a mixture that is much too sure of itself.
    expert = weigh(None, own, y, np.full(n, -50.0), problem).expert
    assert expert.weight == 0.0 and expert.density_weight == 1.0


def test_a_generalist_is_fitted_with_the_weights_of_the_rows():
    weight = np.random.RandomState(0).uniform(0.1, 10, N)
    folds = Folds.of(tuple(KFold(3).split(X)), N)
    problem = problem_of(X, Y, Gaussian(np.array([1e-3])), folds, weight)
    pool = ExpertPool(problem, ("a",), (Ridge(),), seeds=(0,))
    generalist = train_generalist(Ridge(), pool, np.random.RandomState(0))
    (model,), held_out = generalist.pool.refit(generalist.held_out), generalist.held_out.outputs
    np.testing.assert_allclose(model.coef_, Ridge().fit(X, Y, weight).coef_)
    for train, test in folds.splits:
        fold_model = Ridge().fit(X[train], Y[train], weight[train])
        np.testing.assert_allclose(held_out[test, 0], fold_model.predict(X[test]))
    fitted = MixtureOfExpertsRegressor(
        Ridge(), n_experts=2, overlap=0.1, shared_expert="generalist", max_iter=2, random_state=0
    ).fit(X, Y, sample_weight=weight)
    np.testing.assert_allclose(fitted.shared_expert_.coef_, model.coef_)


class CountedTree(DecisionTreeRegressor):
    """Counts the fits on all rows."""

    n_fits = 0

    def fit(self, X, y, sample_weight=None):
        CountedTree.n_fits += len(X) == N
        return super().fit(X, y, sample_weight)


def test_a_generalist_without_weight_is_not_fitted_on_all_rows():
    """It goes with the final fits of the experts, if it is to go at all."""
    problem = problem_of(X, Y, Gaussian(np.array([1e-3])), Folds.of(tuple(KFold(3).split(X)), N))
    pool = ExpertPool(problem, ("a", "b"), (CountedTree(),) * 2, seeds=(0, 1))
    experts = pool.fit_held_out(np.ones((3, N, 2)))
    generalist = train_generalist(CountedTree(), pool, np.random.RandomState(0))
    training = SharedTraining(None, Y, np.zeros(N), generalist=generalist)
    CountedTree.n_fits = 0
    assert fitted_on_all_rows(pool, experts, training)[1] is None
    assert CountedTree.n_fits == 2
    weighty = training._replace(expert=SharedExpert(None, 0.5, 0.5, np.ones((1, 1))))
    models, shared = fitted_on_all_rows(pool, experts, weighty)
    assert CountedTree.n_fits == 2 + 3
    assert len(models) == 2
    assert isinstance(shared.model, CountedTree) and shared.weight == 0.5
