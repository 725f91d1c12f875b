"""What a user may expect of experts, warm starts, sparse routing and the methods."""

import re
import sys

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.cross_decomposition import PLSRegression
from sklearn.ensemble import (
    RandomForestRegressor,
    StackingClassifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import (
    PredefinedSplit,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from small_mixtures import (
    LABELS,
    N_ROWS,
    START,
    WEIGHT,
    X,
    Y,
    assert_same,
    classifier,
    mixtures,
    outputs,
    regressor,
    tree,
)

from skmoe import SoftmaxGate

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


# experts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "expert",
    [KNeighborsRegressor(3), GaussianProcessRegressor(alpha=0.1), PLSRegression(1)],
    ids=["k-NN", "Gaussian process", "PLS"],
)
def test_regressors_without_sample_weight(expert):
    model = regressor(expert).fit(X, Y)
    assert model.predict(X).shape == (N_ROWS,)
    assert model.score(X, Y) > 0
    mixed = regressor([("other", expert), ("linear", Ridge())]).fit(X, Y)
    assert mixed.predict_experts(X).shape == (N_ROWS, 2)


def test_classifiers_without_sample_weight():
    model = classifier(KNeighborsClassifier(3)).fit(X, LABELS)
    assert model.score(X, LABELS) > 0.5


def test_frozen_experts_are_never_refitted():
    inner = RandomForestRegressor(3, random_state=0).fit(X, Y)
    trees = inner.estimators_
    frozen = FrozenEstimator(inner)
    for e_step in ["crossfit", "insample"]:
        model = regressor([("old", frozen), ("new", Ridge())], e_step=e_step).fit(X[:40], Y[:40])
        assert model.experts_[0] is frozen
        assert model.named_experts_.old.estimator is inner
        assert inner.estimators_ is trees
        np.testing.assert_array_equal(model.predict_experts(X)[:, 0], inner.predict(X))


def test_frozen_classifier_keeps_its_classes():
    two = LABELS != "odd"
    inner = LogisticRegression().fit(X[two], LABELS[two])
    frozen = FrozenEstimator(inner)
    model = classifier([("old", frozen), ("new", GaussianNB())]).fit(X, LABELS)
    assert model.experts_[0] is frozen
    assert list(inner.classes_) == ["even", "none"]
    proba = model.predict_experts(X)[:, 0]
    np.testing.assert_array_equal(proba[:, :2], inner.predict_proba(X))
    assert (proba[:, 2] == 0).all()
    assert (model.predict_proba(X) > 0).all()


def test_pipeline_that_ends_in_a_frozen_classifier():
    scaler = StandardScaler().fit(X)
    inner = LogisticRegression().fit(scaler.transform(X), LABELS)
    template = make_pipeline(FrozenEstimator(scaler), FrozenEstimator(inner))
    # The expert is responsible for rows of a single class only, and is not replaced for that.
    start = np.where(LABELS == "odd", 1.0, 0.0)[:, None] * [1, -1] + [0, 1]
    model = classifier(
        [("old", template), ("new", GaussianNB())], init=start, overlap=0.0, max_iter=1
    ).fit(X, LABELS)
    assert model.experts_[0][-1].estimator is inner
    expected = inner.predict_proba(scaler.transform(X))
    np.testing.assert_array_equal(model.predict_experts(X)[:, 0], expected)


def test_frozen_experts_inside_a_pipeline():
    scaled = StandardScaler().fit_transform(X)
    frozen = FrozenEstimator(Ridge().fit(scaled, Y))
    model = make_pipeline(StandardScaler(), regressor([("old", frozen), ("new", tree())]))
    assert clone(model).fit(X, Y)[-1].experts_[0] is frozen


def test_frozen_mixture():
    inner = regressor().fit(X, Y)
    frozen = clone(FrozenEstimator(inner)).fit(X, -Y)
    np.testing.assert_array_equal(frozen.predict(X), inner.predict(X))


def test_stacking_as_an_expert():
    """Which shows its predict_proba only once it is fitted."""
    stack = StackingClassifier([("bayes", GaussianNB()), ("linear", LogisticRegression())], cv=2)
    experts = [("stack", stack), ("linear", LogisticRegression())]
    model = classifier(experts).fit(X, LABELS == "odd")
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1)


def test_mixture_of_mixtures():
    inner = regressor(tree(), max_iter=1)
    model = regressor([("inner", inner), ("linear", Ridge())]).fit(X, Y)
    assert model.experts_[0].n_experts_ == 2
    model.set_params(inner__n_experts=3, inner__experts__max_depth=1).fit(X, Y)
    assert model.experts_[0].n_experts_ == 3


def test_e_step_with_rows_that_lie_in_one_fold():
    """An expert whose rows are all in one fold is judged there without having seen any."""
    group = (X[:, 0] > 0).astype(int)
    start = np.eye(2)[group]
    for expert in [Ridge(), KNeighborsRegressor(3)]:
        model = regressor(expert, cv=PredefinedSplit(group), init=start, overlap=0.0, max_iter=1)
        assert np.isfinite(model.fit(X, Y).log_likelihood_)


# warm start ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["regressor", "classifier"])
def test_warm_start_goes_on_where_it_stopped(kind):
    make, y = (regressor, Y) if kind == "regressor" else (classifier, LABELS)
    gate = SoftmaxGate(tol=1e-10)
    expert = LinearRegression() if kind == "regressor" else LogisticRegression(tol=1e-10)
    parameters = {"e_step": "insample", "init": START, "tol": 0.0, "gate": gate}
    whole = make(expert, max_iter=8, **parameters).fit(X, y)
    halves = make(expert, max_iter=4, warm_start=True, **parameters).fit(X, y)
    first = halves.history_["log_likelihood"]
    halves.fit(X, y)
    together = np.r_[first, halves.history_["log_likelihood"]]
    np.testing.assert_allclose(together, whole.history_["log_likelihood"], rtol=1e-8)
    np.testing.assert_allclose(halves.gate_proba(X), whole.gate_proba(X), atol=1e-6)
    np.testing.assert_allclose(halves.predict_experts(X), whole.predict_experts(X), atol=1e-6)
    halves.set_params(warm_start=False).fit(X, y)
    np.testing.assert_allclose(halves.history_["log_likelihood"], first)


# top_k --------------------------------------------------------------------------------------


@pytest.mark.parametrize("top_k", [1, 2, 3])
def test_rows_alone_are_predicted_as_in_a_batch(top_k):
    for make, expert, y in [
        (regressor, tree(), Y),
        (classifier, DecisionTreeClassifier(max_depth=2), LABELS),
    ]:
        model = make(expert, n_experts=3, top_k=top_k).fit(X, y)
        method = model.predict_proba if make is classifier else model.predict
        whole = method(X)
        np.testing.assert_allclose(np.concatenate([method(X[[i]]) for i in range(20)]), whole[:20])
        np.testing.assert_allclose(method(X[::-2]), whole[::-2])
        assert method(X[:0]).shape == (0, *whole.shape[1:])


def test_top_k_of_all_experts_is_no_limit():
    everything = regressor(tree(), n_experts=3).fit(X, Y)
    limited = regressor(tree(), n_experts=3, top_k=3).fit(X, Y)
    np.testing.assert_allclose(limited.predict(X), everything.predict(X))


def test_top_k_mixes_what_route_says():
    model = regressor(tree(), n_experts=3, top_k=2).fit(X, Y)
    indices, weights, mass, _ = model.route(X)
    each = np.take_along_axis(model.predict_experts(X), indices, axis=1)
    np.testing.assert_allclose(model.predict(X), (weights * each).sum(axis=1))
    gate = np.take_along_axis(model.gate_proba(X), indices, axis=1)
    np.testing.assert_allclose(weights, gate / mass[:, None])


class Remembers(RegressorMixin, BaseEstimator):
    """Notes how many rows it is asked for."""

    def fit(self, X, y):
        self.asked_ = []
        return self

    def predict(self, X):
        self.asked_.append(len(X))
        return X[:, 0]


def test_experts_predict_only_the_rows_that_are_routed_to_them():
    model = regressor(Remembers(), n_experts=3, top_k=1).fit(X, Y)
    for expert in model.experts_:
        expert.asked_.clear()
    model.predict(X)
    asked = [sum(expert.asked_) for expert in model.experts_]
    assert asked == list(model.utilization(X).rows_asked)
    assert sum(asked) == N_ROWS


# methods and attributes ---------------------------------------------------------------------


@pytest.mark.parametrize("top_k", [None, 1])
def test_methods_and_attributes(top_k):
    for model, y in mixtures():
        model.set_params(top_k=top_k).fit(X, y)
        proba = model.gate_proba(X)
        assert proba.shape == (N_ROWS, 2)
        np.testing.assert_allclose(proba.sum(axis=1), 1)
        np.testing.assert_array_equal(model.apply(X), proba.argmax(axis=1))
        assert model.apply(X).dtype == np.intp

        route = model.route(X, top_k=2)
        assert route._fields == ("indices", "weights", "mass", "shared_weight")
        np.testing.assert_array_equal(route.indices, np.argsort(-proba, axis=1, kind="stable"))
        np.testing.assert_allclose(route.weights.sum(axis=1), 1)
        np.testing.assert_allclose(route.mass, 1)
        assert model.route(X).indices.shape == (N_ROWS, top_k or 2)

        posterior = model.responsibilities(X, y)
        np.testing.assert_allclose(posterior.sum(axis=1), 1)
        assert model.log_density(X, y).shape == (N_ROWS,)

        used = model.utilization(X)
        assert used.names == ("forest", "linear")
        np.testing.assert_allclose(used.mass, proba.mean(axis=0))
        np.testing.assert_array_equal(used.rows_asked, model.utilization_.rows_asked)
        assert used.rows_asked.sum() == N_ROWS * (top_k or 2)
        assert "forest" in repr(used)
        assert "balance loss" in repr(used)
        frame = used.to_frame()
        assert list(frame.index) == ["forest", "linear"]
        assert {"rows_asked", "rows_led", "mass", "mean_weight"} <= set(frame.columns)
        assert used.balance_loss >= 0
        assert used.coefficient_of_variation >= 0
        assert used.max_min_ratio >= 1

        assert list(model.named_experts_) == ["forest", "linear"]
        assert model.named_experts_.forest is model.experts_[0]
        assert model.n_experts_ == 2
        assert model.n_iter_ == len(model.history_["log_likelihood"]) == 2
        assert set(model.history_) >= {"log_likelihood", "expert_mass", "seconds"}
        assert model.history_["expert_mass"].shape == (2, 2)
        np.testing.assert_allclose(model.history_["expert_mass"].sum(axis=1), 1)
        assert model.converged_ in (True, False)
        assert model.overlap_ == model.overlap
        assert model.log_likelihood_ >= model.history_["log_likelihood"].max()

        lift = model.lift_
        assert lift.best_expert in model.named_experts_
        assert lift.over_best_expert_se > 0
        assert lift.over_constant_se > 0
        np.testing.assert_allclose(lift.constant_weights.sum(), 1)
        assert lift.best_expert in repr(lift)


def test_experts_outputs():
    for model, y in mixtures():
        model.fit(X, y)
        each = model.predict_experts(X)
        for k, expert in enumerate(model.experts_):
            alone = expert.predict_proba(X) if y is LABELS else expert.predict(X)
            np.testing.assert_allclose(each[:, k], alone)


def test_share_auto_is_one_of_the_candidates():
    model = regressor(tree(), overlap="auto").fit(X, Y)
    assert model.overlap_ in (0.0, 0.1, 0.3, 1.0)
    assert isinstance(model.overlap_, float)


@pytest.mark.parametrize("e_step", ["crossfit", "insample"])
def test_single_expert_is_that_expert(e_step):
    model = regressor(Ridge(), n_experts=1, e_step=e_step).fit(X, Y)
    np.testing.assert_allclose(model.predict(X), Ridge().fit(X, Y).predict(X))
    np.testing.assert_array_equal(model.gate_proba(X), 1)
    model = classifier(n_experts=1, e_step=e_step).fit(X, LABELS)
    alone = LogisticRegression().fit(X, LABELS).predict_proba(X)
    np.testing.assert_allclose(model.predict_experts(X)[:, 0], alone)
    floor = model.floor_[0]
    np.testing.assert_allclose(model.predict_proba(X), (1 - floor) * alone + floor / 3)


@pytest.mark.parametrize("frame", [False, True])
def test_no_rows(frame):
    nothing = pd.DataFrame(X[:0], columns=list("abc")) if frame else X[:0]
    train = pd.DataFrame(X, columns=list("abc")) if frame else X
    model = regressor().fit(train, Y)
    assert model.predict(nothing).shape == (0,)
    assert model.gate_proba(nothing).shape == (0, 2)
    assert model.apply(nothing).shape == (0,)
    assert model.predict_experts(nothing).shape == (0, 2)
    assert regressor().fit(train, np.c_[Y, Y]).predict(nothing).shape == (0, 2)
    model = classifier().fit(train, LABELS)
    assert model.predict(nothing).shape == (0,)
    assert model.predict_proba(nothing).shape == (0, 3)
    assert model.predict_experts(nothing).shape == (0, 2, 3)


def test_verbose_prints_a_line_per_iteration(capsys):
    regressor(init="kmeans", verbose=2).fit(X, Y)
    lines = [line for line in capsys.readouterr().out.splitlines() if "iteration " in line]
    assert len(lines) == 2
    assert all("2 experts, start kmeans, overlap 0.1" in line for line in lines)
    assert all("log-likelihood" in line for line in lines)


def test_progress_says_what_is_searched_and_what_came_of_it(capsys, monkeypatch):
    searched = {"init": "auto", "overlap": "auto", "gate": None}
    model = regressor(verbose=1, random_state=0, **searched).fit(X, Y)
    lines = capsys.readouterr().out.splitlines()
    assert "stage 1 of 6: start, at most 3" in lines[0]
    stages = [re.search(r"stage (\d) of 6: ([^,]+)", line) for line in lines]
    assert [(int(stage[1]), stage[2]) for stage in stages if stage] == [
        (1, "start"),
        (2, "overlap"),
        (3, "terms"),
        (4, "EM to the end"),
        (5, "gate and shared expert"),
        (6, "experts on all rows"),
    ]
    assert not any("iteration " in line for line in lines)
    tried = [line for line in lines if re.search(r"s    2 experts, start", line)]
    kinds = {re.search("start ([a-z_]+)", line)[1] for line in tried}
    assert kinds == {"model_leaves", "leaves", "kmeans"}
    best = max(float(line.rsplit(": ")[-1]) for line in tried)
    assert any(line.endswith(f": {best:.4f}") and "EM to the end" in line for line in lines)
    assert f"log-likelihood {model.log_likelihood_:.4f}" in lines[-1] and "done" in lines[-1]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    model.fit(X, Y)
    said = capsys.readouterr().out
    assert said.count("\n") < len(lines) <= said.count("\r")
    model.set_params(verbose=0).fit(X, Y)
    assert capsys.readouterr().out == ""


def test_warnings_point_at_the_call_of_fit():
    with pytest.warns(sklearn.exceptions.ConvergenceWarning, match="max_iter=2") as caught:
        regressor(LinearRegression(), e_step="insample", tol=0.0).fit(X, Y)
    assert [warning.filename for warning in caught] == [__file__]


def test_own_classifier_needs_only_the_mixin():
    class Own(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            self.classes_ = np.unique(y)
            return self

        def predict_proba(self, X):
            return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))

        def predict(self, X):
            return self.classes_[self.predict_proba(X).argmax(axis=1)]

    assert classifier(Own()).fit(X, LABELS).predict_proba(X).shape == (N_ROWS, 3)


def test_cv_forms():
    group = np.arange(N_ROWS) % 2
    splits = list(PredefinedSplit(group).split())
    given = [PredefinedSplit(group), splits, iter(splits)]
    models = [regressor(cv=cv).fit(X, Y) for cv in given]
    for model in models[1:]:
        assert_same(outputs(model, X, Y), outputs(models[0], X, Y))
    assert np.isfinite(regressor(cv=None).fit(X, Y).log_likelihood_)
    weighted = regressor(cv=splits).fit(X, Y, sample_weight=WEIGHT)
    assert np.isfinite(weighted.log_likelihood_)
