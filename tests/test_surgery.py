"""Operations on single experts: what changes, what must not, and what a failure leaves behind."""

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor, SoftmaxGate
from skmoe.gates._base import RestrictableGate
from skmoe.gates._renormalised import RenormalisedGate, without_expert

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.RandomState(0)
SLOPES = [4.0, -4.0, 0.0]


def rows(n, regimes=3):
    """The regime is where the first feature lies; each is a line in the second."""
    X = RNG.uniform(-1, 1, size=(n, 3))
    X[:, 0] *= 3
    if regimes == 2:
        X = X[X[:, 0] < 1]
    regime = np.digitize(X[:, 0], [-1, 1])
    y = np.take(SLOPES, regime) * X[:, 1] + 3 * (regime == 2) + 0.1 * RNG.normal(size=len(X))
    return X, y


X_OLD, Y_OLD = rows(600, regimes=2)
X, Y = rows(600)
X_TEST, Y_TEST = rows(600)
LABELS_OLD, LABELS = (np.where(y > 0, "up", "down") for y in (Y_OLD, Y))
FIGURES = [
    "log_likelihood_",
    "history_",
    "n_iter_",
    "converged_",
    "n_held_out_",
    "lift_",
    "utilization_",
    "surgery_",
]


def small(kind, experts, X=X_OLD, y=None, **parameters):
    if y is None:
        y = Y_OLD if kind is MixtureOfExpertsRegressor else LABELS_OLD
    parameters = {"max_iter": 8, "cv": 2, "random_state": 0, "overlap": 0.0} | parameters
    return kind(experts, **parameters).fit(X, y)


@pytest.fixture(scope="module")
def lines():
    experts = [("a", LinearRegression()), ("b", LinearRegression())]
    return small(MixtureOfExpertsRegressor, experts, max_iter=30)


@pytest.fixture(scope="module")
def trees():
    tree = DecisionTreeClassifier(max_depth=3)
    return small(MixtureOfExpertsClassifier, tree, n_experts=3)


def target(model):
    return LABELS if hasattr(model, "classes_") else Y


def answers(model, X=X_TEST):
    return model.predict_proba(X) if hasattr(model, "classes_") else model.predict(X)


@pytest.fixture(autouse=True)
def the_old_models_stay_as_they_were(request):
    """Of every test here: whatever it does, the model that it started from does not change."""
    models = [
        request.getfixturevalue(name)
        for name in ("lines", "trees")
        if name in request.fixturenames
    ]
    before = [(pickle.dumps(model), dict(vars(model)), answers(model)) for model in models]
    yield
    for model, (pickled, attributes, said) in zip(models, before, strict=True):
        assert vars(model).keys() == attributes.keys()
        assert all(vars(model)[name] is value for name, value in attributes.items())
        assert pickle.dumps(model) == pickled
        np.testing.assert_array_equal(answers(model), said)


def assert_consistent(model, names, measured=True):
    """Every fitted attribute speaks of these experts."""
    n_experts = len(names)
    assert list(model.named_experts_) == [name for name, _ in model.experts] == names
    assert model.experts_ == list(model.named_experts_.values())
    assert model.n_experts_ == model.gate_.n_experts_ == len(model.experts_) == n_experts
    proba = model.gate_proba(X_TEST)
    assert proba.shape == (len(X_TEST), n_experts)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    for name in ("scale_", "floor_", "prediction_range_"):
        assert len(getattr(model, name, names)) == n_experts
    for figure in FIGURES:
        assert hasattr(model, figure) == measured
    if measured:
        assert model.history_["expert_mass"].shape[1] == n_experts
        assert model.utilization_.names == tuple(names)
        assert len(model.lift_.constant_weights) == n_experts
    mixed = answers(model)
    assert np.isfinite(mixed).all()
    assert np.isfinite(model.log_density(X_TEST, target_of_test(model))).all()
    np.testing.assert_array_equal(answers(pickle.loads(pickle.dumps(model))), mixed)
    again = clone(model)  # the parameters are those of such a mixture, too
    assert list(again.fit(X, target(model)).named_experts_) == names


def target_of_test(model):
    return np.where(Y_TEST > 0, "up", "down") if hasattr(model, "classes_") else Y_TEST


def assert_untouched(model, old, names):
    for name in names:
        assert model.named_experts_[name] is old.named_experts_[name]


# add ----------------------------------------------------------------------------------------


def test_added_expert_takes_over_what_the_others_do_not_know(lines):
    model = lines.add_expert("c", LinearRegression(), X, Y)
    assert_consistent(model, ["a", "b", "c"])
    assert_untouched(model, lines, ["a", "b"])
    assert lines.score(X_TEST, Y_TEST) < 0.5
    assert model.score(X_TEST, Y_TEST) > 0.9
    beyond = X_TEST[:, 0] > 1.3
    assert np.mean(model.apply(X_TEST)[beyond] == 2) > 0.95
    assert abs(model.experts_[2].coef_[1]) < 0.3
    assert model.log_likelihood_ > lines.log_density(X, Y).mean()


def test_clones_get_company(trees):
    model = trees.add_expert("forest", RandomForestClassifier(5), X, LABELS)
    assert_consistent(model, ["expert_0", "expert_1", "expert_2", "forest"])
    assert_untouched(model, trees, ["expert_0", "expert_1", "expert_2"])
    seeds = [template.random_state for _, template in model.experts[:3]]
    assert len(set(seeds)) == 3  # so that they stay different in a later fit


def test_an_expert_may_bring_a_new_class(trees):
    labels = np.where(X[:, 0] > 1, "new", LABELS)
    model = trees.add_expert("c", DecisionTreeClassifier(max_depth=3), X, labels)
    assert list(model.classes_) == ["down", "new", "up"]
    proba = model.predict_proba(X_TEST)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    expected = np.where(X_TEST[:, 0] > 1, "new", target_of_test(model))
    assert np.mean(model.predict(X_TEST) == expected) > 0.9
    few = X[:, 0] < 0  # and rows need not hold all of the classes
    again = model.add_expert("d", LogisticRegression(), X[few], labels[few])
    assert list(again.classes_) == ["down", "new", "up"]


def test_prefitted_expert_joins_as_it_is(lines):
    own = LinearRegression().fit(X[X[:, 0] > 1], Y[X[:, 0] > 1])
    model = lines.add_expert("c", FrozenEstimator(own), X, Y)
    assert model.experts_[2].estimator is own
    assert model.score(X_TEST, Y_TEST) > 0.9


def test_weights_count(lines):
    weight = np.where(X[:, 0] > 0, 1.0, 0.0)
    model = lines.add_expert("c", LinearRegression(), X, Y, sample_weight=weight)
    part = lines.add_expert("c", LinearRegression(), X[weight > 0], Y[weight > 0])
    np.testing.assert_array_equal(answers(model), answers(part))


# refit --------------------------------------------------------------------------------------


def test_refitted_expert_learns_what_is_new(lines):
    moved = np.where(X[:, 0] < -1, -Y, Y)  # the regime of one of the experts has changed
    seen = X[:, 0] < 1
    stale = int(np.argmax([expert.coef_[1] for expert in lines.experts_]))
    name, other = ("a", "b") if stale == 0 else ("b", "a")
    model = lines.refit_expert(name, X[seen], moved[seen])
    assert_consistent(model, ["a", "b"])
    assert_untouched(model, lines, [other])
    assert model.experts_[stale] is not lines.experts_[stale]
    test = X_TEST[:, 0] < 1
    moved_test = np.where(X_TEST[:, 0] < -1, -Y_TEST, Y_TEST)[test]
    assert lines.score(X_TEST[test], moved_test) < 0.3
    assert model.score(X_TEST[test], moved_test) > 0.95


def test_the_only_expert_may_be_refitted():
    one = small(MixtureOfExpertsRegressor, [("a", Ridge())])
    model = one.refit_expert("a", X, Y)
    np.testing.assert_allclose(model.predict(X_TEST), Ridge().fit(X, Y).predict(X_TEST))


# drop ---------------------------------------------------------------------------------------


def renormalised(model, position, X=X_TEST):
    proba = np.delete(model.gate_proba(X), position, axis=1)
    return proba / proba.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("position", [0, 1])
def test_dropped_expert_leaves_its_share_to_the_others(trees, position):
    model = trees.drop_expert(f"expert_{position}")
    names = [f"expert_{k}" for k in range(3) if k != position]
    assert_consistent(model, names, measured=False)
    assert_untouched(model, trees, names)
    np.testing.assert_allclose(model.gate_proba(X_TEST), renormalised(trees, position), rtol=1e-9)
    each = np.delete(trees.predict_experts(X_TEST), position, axis=1)
    floor = np.delete(trees.floor_, position)[:, np.newaxis]
    expected = np.einsum(
        "nk,nkc->nc", renormalised(trees, position), (1 - floor) * each + floor / 2
    )
    np.testing.assert_allclose(model.predict_proba(X_TEST), expected, rtol=1e-9)
    assert isinstance(model.gate_, SoftmaxGate)
    last = model.drop_expert(names[0])
    assert_consistent(last, names[1:], measured=False)
    np.testing.assert_allclose(last.gate_proba(X_TEST), 1)


def test_dropped_with_data_the_gate_is_trained(lines):
    three = lines.add_expert("c", LinearRegression(), X, Y)
    model = three.drop_expert("a", X, Y)
    assert_consistent(model, ["b", "c"])
    assert_untouched(model, three, ["b", "c"])
    assert three.set_params(overlap="auto").drop_expert("a", X, Y).overlap_ == three.overlap_
    without_data = three.drop_expert("a")
    assert model.log_density(X, Y).mean() >= without_data.log_density(X, Y).mean()


def missing(X):
    return np.where(np.arange(X.size).reshape(X.shape) % 7 == 0, np.nan, X)


@pytest.mark.parametrize(
    "gate",
    [
        SoftmaxGate(temperature=0.5),
        LogisticRegression(),
        RandomForestClassifier(5, random_state=0),
    ],
)
def test_any_gate_is_renormalised(gate):
    responsibilities = RNG.dirichlet(np.ones(4), size=len(X))
    responsibilities[:, 0] = 1e-12
    responsibilities /= responsibilities.sum(axis=1, keepdims=True)
    takes_missing = isinstance(gate, SoftmaxGate)
    data = missing(X) if takes_missing else X
    tree = DecisionTreeRegressor(max_depth=2)
    model = MixtureOfExpertsRegressor(
        tree, n_experts=4, gate=gate, init="random", max_iter=1, random_state=0
    ).fit(data, Y)
    fewer = model.drop_expert("expert_2")
    np.testing.assert_allclose(
        fewer.gate_proba(data), renormalised(model, 2, data), rtol=1e-9, atol=1e-300
    )
    fewest = fewer.drop_expert("expert_0")
    np.testing.assert_allclose(
        fewest.gate_proba(data), renormalised(fewer, 0, data), rtol=1e-9, atol=1e-300
    )
    assert type(fewest.gate_) is (SoftmaxGate if takes_missing else RenormalisedGate)
    log_proba = fewest.gate_.predict_log_proba(data)
    np.testing.assert_allclose(np.exp(log_proba), fewest.gate_proba(data), rtol=1e-9)
    if takes_missing:
        np.testing.assert_allclose(fewest.gate_.coef_.sum(axis=0), 0, atol=1e-12)


class Certain(BaseEstimator):
    """A gate that is sure of its first expert."""

    n_experts_ = 3

    def predict_log_proba(self, X):
        return np.tile([0.0, -np.inf, -np.inf], (len(X), 1))


def test_rows_that_were_only_for_the_expert_that_went():
    np.testing.assert_allclose(without_expert(Certain(), 0).predict_proba(X[:2]), 0.5)
    np.testing.assert_allclose(without_expert(Certain(), 1).predict_proba(X[:2]), [[1, 0]] * 2)


class OwnWay(Certain, RestrictableGate):
    def fit(self, X, R, sample_weight=None):
        raise NotImplementedError

    def without(self, expert):
        return f"without {expert}"


def test_a_gate_may_do_it_its_own_way():
    assert without_expert(OwnWay(), 1) == "without 1"


# freeze -------------------------------------------------------------------------------------


def test_frozen_experts_stay_through_a_fit(lines):
    model = lines.freeze("a")
    assert_consistent(model, ["a", "b"])
    np.testing.assert_array_equal(answers(model), answers(lines))
    assert model.log_likelihood_ == lines.log_likelihood_
    fitted = clone(model).fit(X, Y)
    assert fitted.experts_[0].estimator is lines.experts_[0]
    assert fitted.experts_[1] is not lines.experts_[1]
    with pytest.raises(ValueError, match="'a' is frozen"):
        model.refit_expert("a", X, Y)
    both = model.freeze(["a", "b"])
    assert both.experts_[0] is model.experts_[0]
    assert both.experts_[1].estimator is lines.experts_[1]


# prune --------------------------------------------------------------------------------------


@pytest.mark.parametrize("top_k", [None, 1])
def test_prune_removes_those_that_serve_no_row(lines, top_k):
    three = lines.add_expert("c", LinearRegression(), X, Y)
    elsewhere = X[:, 0] < 0.5  # nobody comes from the third regime any more
    three.set_params(top_k=top_k)
    model = three.prune(X[elsewhere], Y[elsewhere], min_mass=0.05)
    assert model.pruned_experts_ == ("c",)
    assert_consistent(model, ["a", "b"])
    assert_untouched(model, lines, ["a", "b"])
    again = model.prune(X[elsewhere], Y[elsewhere], min_mass=0.05)
    assert again.pruned_experts_ == ()
    np.testing.assert_array_equal(answers(again), answers(model))
    assert not hasattr(model.add_expert("d", Ridge(), X, Y), "pruned_experts_")
    with pytest.raises(ValueError, match="min_mass=0.9 would remove all experts.*'a'"):
        three.prune(X, Y, min_mass=0.9)


def test_prune_counts_rows_by_their_weight(lines):
    three = lines.add_expert("c", LinearRegression(), X, Y)
    elsewhere = X[:, 0] < 0.5
    model = three.prune(X, Y, min_mass=0.05, sample_weight=elsewhere.astype(float))
    assert model.pruned_experts_ == ("c",)  # whose rows are absent
    part = three.prune(X[elsewhere], Y[elsewhere], min_mass=0.05)
    np.testing.assert_array_equal(answers(model), answers(part))
    assert three.prune(X, Y, min_mass=0.05).pruned_experts_ == ()


def test_prune_looks_at_what_top_k_leaves(trees):
    second = clone(trees).set_params(init=np.tile([0.5, 0.3, 0.2], (len(X_OLD), 1)))
    second.set_params(gate=SoftmaxGate(alpha=1e6), overlap=1.0, max_iter=1).fit(X_OLD, LABELS_OLD)
    assert second.prune(X, LABELS).pruned_experts_ == ()
    second.set_params(top_k=1)
    assert len(second.prune(X, LABELS).pruned_experts_) == 2  # always the same expert answers


# warm start ---------------------------------------------------------------------------------


def test_warm_start_with_a_longer_list_adds_experts(lines):
    experts = [*lines.experts, ("c", LinearRegression())]
    warm = pickle.loads(pickle.dumps(lines)).set_params(experts=experts, warm_start=True)
    first, second = warm.experts_
    warm.fit(X, Y)
    assert warm.experts_[0] is first
    assert warm.experts_[1] is second
    assert_consistent(warm, ["a", "b", "c"])
    added = lines.add_expert("c", LinearRegression(), X, Y)
    np.testing.assert_array_equal(answers(warm), answers(added))
    warm.set_params(experts=experts[:1])
    with pytest.raises(ValueError, match="from 3 fitted experts, but there are 1 now"):
        warm.fit(X, Y)
    warm.set_params(experts=[(f"n{k}", Ridge()) for k in range(4)])
    with pytest.raises(
        ValueError, match=r"from 3 fitted experts, but there are 4.*\['a', 'b', 'c'\]"
    ):
        warm.fit(X, Y)
    assert_consistent(warm.set_params(experts=experts), ["a", "b", "c"])


def test_the_place_of_a_new_expert_is_free(lines):
    experts = [("c", LinearRegression()), *lines.experts]
    warm = pickle.loads(pickle.dumps(lines)).set_params(experts=experts, warm_start=True)
    own = dict(warm.named_experts_)
    warm.fit(X, Y)
    assert_consistent(warm, ["c", "a", "b"])
    assert_untouched(warm, type("Old", (), {"named_experts_": own}), ["a", "b"])
    assert warm.score(X_TEST, Y_TEST) > 0.9


# what became of the rows -------------------------------------------------------------------


BEYOND = X[:, 0] > 1  # which neither "lines" nor "trees" were trained on
X_KEPT, Y_KEPT = rows(300, regimes=2)  # of the old regimes, and new to both


def old_rows(model):
    labels = np.where(Y_KEPT > 0, "up", "down")
    return X_KEPT, labels if hasattr(model, "classes_") else Y_KEPT


def loss(model, X, y):
    """In the units of the report, of the mixture of all experts."""
    if hasattr(model, "classes_"):
        chosen = np.searchsorted(model.classes_, y)
        return -np.log(model.predict_proba(X)[np.arange(len(y)), chosen]).mean()
    return np.sqrt(np.mean((model.predict(X) - y) ** 2))


def line(report, title):
    position = report.titles().index(title)
    return {name: getattr(report, name)[position] for name in ("rows", "before", "after", "z")}


@pytest.fixture(params=["lines", "trees"])
def mixture(request):
    return request.getfixturevalue(request.param)


def expert_for(model, **parameters):
    kind = DecisionTreeClassifier if hasattr(model, "classes_") else LinearRegression
    return kind(**parameters)


def test_the_report_has_what_the_mixture_before_says(mixture):
    y = target(mixture)
    report = mixture.add_expert("c", expert_for(mixture), X, y).surgery_
    whole = line(report, "new rows")
    assert whole["rows"] == len(X)
    np.testing.assert_allclose(whole["before"], loss(mixture, X, y))
    assert report.held_out and report.groups[0] == "new rows" and not report.of_expert[0]
    leader = mixture.apply(X)
    for k, name in enumerate(mixture.named_experts_):
        own = leader == k
        if own.any():
            led = line(report, f"led by {name!r}")
            assert led["rows"] == own.sum()
            np.testing.assert_allclose(led["before"], loss(mixture, X[own], y[own]))
    assert report.rows[report.of_expert].sum() == len(X)
    assert "no old rows were given" in repr(report) and report.loss in repr(report)


def test_the_report_is_of_rows_held_out(lines):
    """A tree that memorises is perfect on its own rows, and the report is of others."""
    report = lines.add_expert("c", DecisionTreeRegressor(), X[BEYOND], Y[BEYOND]).surgery_
    model = lines.add_expert("c", DecisionTreeRegressor(), X[BEYOND], Y[BEYOND])
    beyond = X_TEST[:, 0] > 1
    delivered = loss(model, X_TEST[beyond], Y_TEST[beyond])
    seen = loss(model, X[BEYOND], Y[BEYOND])
    told = line(report, "new rows")["after"]
    assert seen < 0.5 * delivered
    assert abs(told - delivered) < 0.25 * delivered


def test_z_is_that_of_paired_differences(lines):
    model = lines.drop_expert("a", X, Y)  # nothing is fitted: what is left is what it says
    report, squared = model.surgery_, [(m.predict(X) - Y) ** 2 for m in (lines, model)]
    difference = squared[1] - squared[0]
    own = lines.apply(X) == 0
    expected = [
        d.mean() / (d.std(ddof=1) / np.sqrt(len(d))) for d in (difference, difference[own])
    ]
    found = [line(report, title)["z"] for title in ("new rows", "led by 'a'")]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(line(report, "new rows")["after"], loss(model, X, Y))


def test_old_rows_that_are_missing_are_missed(lines):
    """Rows of a new regime alone teach the gate to ask the new expert for everything."""
    with pytest.warns(UserWarning, match=r"next to none of these rows.*\['b'\].*old_rows="):
        model = lines.add_expert("c", LinearRegression(), X[BEYOND], Y[BEYOND])
    assert model.surgery_.missed == ("b",)
    old = X_TEST[:, 0] < 1
    before = loss(lines, X_TEST[old], Y_TEST[old])
    assert loss(model, X_TEST[old], Y_TEST[old]) > 3 * before
    both = lines.add_expert(
        "c", LinearRegression(), X[BEYOND], Y[BEYOND], old_rows=old_rows(lines)
    )
    assert loss(both, X_TEST[old], Y_TEST[old]) < 1.5 * before
    assert loss(both, X_TEST[~old], Y_TEST[~old]) < 0.1 * loss(lines, X_TEST[~old], Y_TEST[~old])
    assert both.surgery_.missed == ()


def test_old_rows_are_trained_on_beside_the_others(mixture):
    X_old, y_old = old_rows(mixture)
    X_new, y_new = X[BEYOND], target(mixture)[BEYOND]
    weight = RNG.uniform(0.5, 1.5, size=len(y_new))
    weight[:5] = 0.0
    expert = expert_for(mixture)
    model = mixture.add_expert(
        "c", expert, X_new, y_new, sample_weight=weight, old_rows=(X_old, y_old)
    )
    joined = mixture.add_expert(
        "c",
        expert,
        np.concatenate([X_old, X_new]),
        np.concatenate([y_old, y_new]),
        sample_weight=np.concatenate([np.ones(len(y_old)), weight]),
    )
    np.testing.assert_array_equal(answers(model), answers(joined))
    report = model.surgery_
    assert line(report, "old rows")["rows"] == len(y_old)
    assert line(report, "new rows")["rows"] == len(y_new) - 5
    np.testing.assert_allclose(line(report, "old rows")["before"], loss(mixture, X_old, y_old))
    assert report.rows[report.of_expert].sum() == len(y_old)
    assert "no old rows" not in repr(report)


@pytest.mark.parametrize("operation", ["refit", "drop"])
def test_other_operations_take_old_rows(mixture, operation):
    first = next(iter(mixture.named_experts_))
    y = target(mixture)
    model = getattr(mixture, f"{operation}_expert")(first, X, y, old_rows=old_rows(mixture))
    assert line(model.surgery_, "old rows")["rows"] == len(X_KEPT)


def test_old_rows_that_got_worse_are_warned_of(lines):
    three = lines.add_expert("c", LinearRegression(), X, Y)
    with pytest.warns(UserWarning, match="rows got worse.*led by 'a'.*standard errors"):
        three.drop_expert("a", X, Y)
    few = (X_KEPT[:60], Y_KEPT[:60])
    with pytest.warns(UserWarning, match="rows got worse.*old rows: "):
        lines.add_expert("c", LinearRegression(), X[BEYOND], Y[BEYOND], old_rows=few)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        lines.add_expert("c", LinearRegression(), X, Y)  # where all gain there is no word


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame, csr_array])
def test_old_rows_of_any_form(frame):
    def table(X):
        return (
            csr_array(X)
            if frame is csr_array
            else frame(X, [*"pqr"] if frame is pl.DataFrame else None)
        )

    tables = [table(part) for part in (X_OLD, X, X_KEPT)]
    if frame is pd.DataFrame:
        tables = [part.set_axis(list("pqr"), axis=1) for part in tables]
    model = small(MixtureOfExpertsRegressor, [("a", Ridge()), ("b", Ridge())], tables[0], Y_OLD)
    grown = model.add_expert("c", Ridge(), tables[1], Y, old_rows=(tables[2], Y_KEPT))
    assert line(grown.surgery_, "old rows")["rows"] == len(X_KEPT)


def test_a_class_that_was_unknown_cost_infinitely_much(trees):
    labels = np.where(BEYOND, "new", LABELS)
    model = trees.add_expert("c", DecisionTreeClassifier(max_depth=3), X, labels)
    whole = line(model.surgery_, "new rows")
    assert whole["before"] == np.inf and np.isfinite(whole["after"]) and np.isnan(whole["z"])


@pytest.mark.parametrize("likelihood", ["gaussian", "laplace"])
def test_units_of_the_report(likelihood):
    outputs = np.c_[Y_OLD, 100 * Y_OLD]
    for y, scale in ((Y_OLD, 1.0), (outputs, outputs.std(axis=0))):
        model = small(
            MixtureOfExpertsRegressor, [("a", Ridge()), ("b", Ridge())], y=y, likelihood=likelihood
        )
        report = model.refit_expert("a", X_OLD, y).surgery_
        error = (model.predict(X_OLD) - y) / scale
        rmse, mae = np.sqrt(np.mean(error**2)), np.abs(error).mean()
        expected = rmse if likelihood == "gaussian" else mae
        np.testing.assert_allclose(report.before[0], expected)
        assert report.loss == ("RMSE" if likelihood == "gaussian" else "MAE")


def test_reports_come_and_go(lines):
    assert lines.surgery_ is None
    model = lines.add_expert("c", LinearRegression(), X, Y)
    copied = pickle.loads(pickle.dumps(model.surgery_))
    assert repr(copied) == repr(model.surgery_)
    assert model.freeze("a").surgery_ is model.surgery_
    assert clone(model).fit(X, Y).surgery_ is None
    insample = small(
        MixtureOfExpertsRegressor, [("a", Ridge()), ("b", Ridge())], e_step="insample"
    )
    report = insample.add_expert("c", Ridge(), X, Y).surgery_
    assert not report.held_out and "in-sample" in repr(report)


# rename -------------------------------------------------------------------------------------


def test_renamed_experts_are_called_so_everywhere(mixture):
    first, second, *others = mixture.named_experts_
    model = mixture.rename_experts({first: "night", second: first})  # a swap is no clash
    assert_consistent(model, ["night", first, *others])
    np.testing.assert_array_equal(answers(model), answers(mixture))
    assert model.log_likelihood_ == mixture.log_likelihood_
    assert model.experts_[0] is mixture.experts_[0]
    changed = {first: "night", second: first}
    best = mixture.lift_.best_expert
    assert model.lift_.best_expert == changed.get(best, best)
    grown = mixture.add_expert("c", expert_for(mixture), X, target(mixture))
    renamed = grown.rename_experts({first: "night", "c": "day"}).surgery_
    told = {"night" if name == first else name for name in grown.surgery_.groups}
    assert set(renamed.groups) == told
    assert list(
        clone(model).fit(X_OLD, LABELS_OLD if hasattr(model, "classes_") else Y_OLD).named_experts_
    ) == ["night", first, *others]
    assert list(model.drop_expert("night").named_experts_) == [first, *others]


def test_names_are_given_by_names(lines):
    with pytest.raises(TypeError, match="dict of new names by old ones"):
        lines.rename_experts(["night", "day"])


def test_renaming_keeps_a_start_that_was_given():
    start = np.where(X_OLD[:, :1] > -1, [0.9, 0.1], [0.1, 0.9])
    model = small(MixtureOfExpertsRegressor, LinearRegression(), n_experts=2, init=start)
    renamed = model.rename_experts({"expert_0": "east", "expert_1": "west"})
    np.testing.assert_array_equal(renamed.init, start)
    again = renamed.rename_experts({"east": "expert_0", "west": "expert_1"})
    np.testing.assert_array_equal(answers(again), answers(model))


# failures and details -----------------------------------------------------------------------


class Raising(RegressorMixin, BaseEstimator):
    def fit(self, X, y):
        raise ValueError("not today")

    def predict(self, X):
        return X[:, 0]


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (lambda m: m.add_expert("a", Ridge(), X, Y), "there is an expert 'a' already"),
        (lambda m: m.add_expert("c", Raising(), X, Y), "'c'.*not today"),
        (lambda m: m.add_expert("c", LogisticRegression(), X, Y), "'c'.*is no regressor"),
        (lambda m: m.add_expert("c__", Ridge(), X, Y), "c__"),
        (lambda m: m.add_expert("c", Ridge(), X[:, :2], Y), "2 features.*3 features"),
        (lambda m: m.add_expert("c", Ridge(), X, np.c_[Y, Y]), "shape"),
        (lambda m: m.add_expert("c", Ridge(), X, Y[:-1]), "inconsistent numbers of samples"),
        (lambda m: m.add_expert("c", Ridge(), X[:0], Y[:0]), "0 sample"),
        (lambda m: m.refit_expert("z", X, Y), r"no expert 'z'.*\['a', 'b'\]"),
        (lambda m: m.drop_expert("z"), r"no expert 'z'.*\['a', 'b'\]"),
        (lambda m: m.drop_expert("a", X), "both X and y"),
        (lambda m: m.drop_expert("a").drop_expert("b"), "'b' is the only expert"),
        (lambda m: m.freeze(["a", "z"]), "no expert 'z'"),
        (lambda m: m.rename_experts({"z": "y"}), r"no expert 'z'.*\['a', 'b'\]"),
        (lambda m: m.rename_experts({"a": "b"}), r"two experts would be called \['b'\]"),
        (lambda m: m.rename_experts({"a": "c", "b": "c"}), r"two experts would be called \['c'\]"),
        (lambda m: m.rename_experts({"a": "a__b"}), "a__b"),
        (lambda m: m.rename_experts({"a": "gate"}), "gate"),
        (lambda m: m.rename_experts({"a": 3}), "names of experts must be strings"),
        (lambda m: clone(m).rename_experts({"a": "c"}), "not fitted"),
        (lambda m: m.add_expert("c", Ridge(), X, Y, old_rows=X), "pair .X_old, y_old."),
        (lambda m: m.add_expert("c", Ridge(), X, Y, old_rows=(X[:, :2], Y)), "old_rows: .*2 feat"),
        (lambda m: m.add_expert("c", Ridge(), X, Y, old_rows=(X, Y[:3])), "old_rows: .*inconsist"),
        (
            lambda m: m.add_expert("c", Ridge(), X, Y, groups=Y > 0, old_rows=(X, Y)),
            "old_rows have no groups",
        ),
        (lambda m: m.drop_expert("a", old_rows=(X, Y)), "old_rows are trained on beside X and y"),
        (lambda m: m.prune(X, Y, min_mass="small"), "min_mass must be a number between 0 and 1"),
        (lambda m: m.prune(X, Y, min_mass=1.5), "min_mass must be a number between 0 and 1"),
        (lambda m: m.prune(X[:0], Y[:0]), "(?i)weight"),
        (lambda m: m.prune(X, Y[:-1]), "inconsistent numbers of samples"),
        (lambda m: clone(m).add_expert("c", Ridge(), X, Y), "not fitted"),
        (lambda m: clone(m).drop_expert("a"), "not fitted"),
    ],
)
def test_a_failure_loses_nothing(lines, operation, message):
    with pytest.raises(ValueError, match=message):
        operation(lines)


def test_top_k_must_not_exceed_what_is_left(lines):
    model = pickle.loads(pickle.dumps(lines)).set_params(top_k=2)
    with pytest.raises(ValueError, match="top_k=2 .* between 1 and n_experts=1"):
        model.drop_expert("a")


def test_ranges_only_widen(lines):
    near = np.abs(X[:, 1]) < 0.1
    model = lines.add_expert("c", LinearRegression(), X[near], Y[near])
    assert (model.prediction_range_[:2, 0] <= lines.prediction_range_[:, 0]).all()
    assert (model.prediction_range_[:2, 1] >= lines.prediction_range_[:, 1]).all()


def test_parameters_that_were_changed_after_the_fit_do_not_matter(trees):
    changed = pickle.loads(pickle.dumps(trees)).set_params(n_experts=7)
    assert_consistent(changed.drop_expert("expert_1"), ["expert_0", "expert_2"], measured=False)


def test_frames_keep_their_names():
    frame = pd.DataFrame(X, columns=list("pqr"))
    old = small(MixtureOfExpertsRegressor, [("a", Ridge()), ("b", Ridge())], frame, Y)
    model = old.add_expert("c", Ridge(), frame, Y)
    assert list(model.feature_names_in_) == list("pqr")
    with pytest.raises(ValueError, match="feature names"):
        old.add_expert("c", Ridge(), frame.rename(columns={"p": "z"}), Y)


@pytest.mark.parametrize("e_step", ["oob", "insample"])
def test_other_e_steps(e_step):
    forest = RandomForestRegressor(5, max_depth=3)
    old = small(MixtureOfExpertsRegressor, [("a", forest), ("b", forest)], e_step=e_step)
    model = old.add_expert("c", LinearRegression(), X, Y)
    model = model.add_expert("d", forest, X, Y)
    assert_consistent(model, ["a", "b", "c", "d"])
    model = model.drop_expert("a", X, Y)
    assert_untouched(model, old, ["b"])
    assert_consistent(model, ["b", "c", "d"])
    assert model.e_step == e_step
