"""Frames, sparse matrices, missing values, weights and targets of all kinds."""

from contextlib import nullcontext

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import (
    GridSearchCV,
    cross_validate,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from small_mixtures import (
    LABELS,
    N_ROWS,
    RNG,
    START,
    WEIGHT,
    X,
    Y,
    assert_same,
    classifier,
    outputs,
    regressor,
    tree,
)

from skmoe import SoftmaxGate

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


# frames -------------------------------------------------------------------------------------


def table(library):
    """Numbers with missing values, and strings with missing values."""
    numbers = X.copy()
    numbers[::7, 1] = np.nan
    towns = np.where(np.arange(N_ROWS) % 3 == 0, "Rome", "Oslo").astype(object)
    towns[::11] = None
    columns = {"first": numbers[:, 0], "second": numbers[:, 1], "town": list(towns)}
    if library is pd:
        return pd.DataFrame(columns, index=np.arange(N_ROWS) * 2 + 100)
    return pl.DataFrame(columns).with_columns(pl.col("second").fill_nan(None))


def columns_by_name(last):
    """A Pipeline that encodes the columns of `table` by their names."""
    towns = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    transformer = ColumnTransformer(
        [("numbers", SimpleImputer(), ["first", "second"]), ("towns", towns, ["town"])]
    )
    return make_pipeline(transformer, last)


FRAMES = pytest.mark.parametrize("library", [pd, pl], ids=["pandas", "polars"])


@FRAMES
@pytest.mark.parametrize("gate_features", [["first", "second"], "second", slice(0, 2), [-2]])
def test_experts_that_select_columns_by_name(library, gate_features):
    if gate_features == "second":
        gate_features = ["second"] if library is pl else slice("second", "second")
    frame = table(library)
    models = [
        (regressor(columns_by_name(Ridge()), gate_features=gate_features), Y),
        (classifier(columns_by_name(GaussianNB()), gate_features=gate_features), Y > 0),
    ]
    for model, y in models:
        model.fit(frame, y)
        assert list(model.feature_names_in_) == ["first", "second", "town"]
        assert model.n_features_in_ == 3
        assert model.score(frame, y) > 0.2
        head = model.predict_experts(frame[:5])
        np.testing.assert_allclose(head, model.predict_experts(frame)[:5])


@FRAMES
def test_gate_that_is_a_pipeline(library):
    frame = table(library)
    model = regressor(columns_by_name(Ridge()), gate=columns_by_name(SoftmaxGate()))
    model.fit(frame, Y)
    assert model.gate_[-1].coef_.shape == (2, 5)
    model.set_params(gate=columns_by_name(LogisticRegression())).fit(frame, Y)
    assert model.gate_proba(frame).shape == (N_ROWS, 2)
    assert model.score(frame, Y) > 0.2


def test_pandas_and_polars_agree():
    gate_features = ["first", "second"]
    model = regressor(columns_by_name(Ridge()), gate_features=gate_features)
    first = clone(model).fit(table(pd), pd.Series(Y))
    second = clone(model).fit(table(pl), pl.Series(Y))
    assert_same(outputs(first, table(pd), Y), outputs(second, table(pl), Y))


def test_frame_and_array_agree():
    frame = pd.DataFrame(X, columns=list("abc"))
    named = regressor().fit(frame, Y)
    expected = regressor().fit(X, Y)
    np.testing.assert_allclose(named.predict(frame), expected.predict(X))
    np.testing.assert_allclose(named.log_density(frame, Y), expected.log_density(X, Y))
    assert list(named.experts_[0].feature_names_in_) == list("abc")


def test_nullable_columns():
    frame = pd.DataFrame(
        {
            "whole": pd.array([1, None, 3, 4] * 20, dtype="Int64"),
            "real": pd.array(X[:, 0], dtype="Float64"),
            "truth": pd.array([True, False] * 40, dtype="boolean"),
        }
    )
    model = regressor(HistGradientBoostingRegressor(max_iter=3, min_samples_leaf=5)).fit(frame, Y)
    assert np.isfinite(model.predict(frame)).all()
    model.set_params(gate_features=["whole"]).fit(frame, Y)
    assert np.isfinite(model.predict(frame)).all()


@pytest.mark.parametrize("dtype", ["object", "string", "category"])
def test_pandas_labels(dtype):
    y = pd.Series(LABELS, index=np.arange(N_ROWS) + 7, dtype=dtype)
    model = classifier().fit(X, y)
    assert list(model.classes_) == ["even", "none", "odd"]
    expected = classifier().fit(X, LABELS)
    np.testing.assert_array_equal(model.predict_proba(X), expected.predict_proba(X))
    np.testing.assert_array_equal(model.log_density(X, y), expected.log_density(X, LABELS))
    assert model.score(X, y) == expected.score(X, LABELS)


def test_feature_names_are_remembered_and_compared():
    frame = pd.DataFrame(X, columns=list("abc"))
    model = regressor().fit(frame, Y)
    np.testing.assert_array_equal(model.feature_names_in_, ["a", "b", "c"])
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame[["b", "a", "c"]])
    with pytest.raises(ValueError, match="feature names should match"):
        model.gate_proba(frame.rename(columns={"a": "z"}))
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.predict(X)
    model.fit(X, Y)
    assert not hasattr(model, "feature_names_in_")


@pytest.mark.parametrize(
    "gate_features",
    [[0, 2], slice(0, 3, 2), [True, False, True], np.array([0, 2]), lambda X: [0, 2], [0, -1]],
)
def test_gate_features_by_position(gate_features):
    model = regressor(gate_features=gate_features).fit(X, Y)
    assert model.gate_.n_features_in_ == 2
    changed = X.copy()
    changed[:, 1] += 1
    np.testing.assert_array_equal(model.gate_proba(changed), model.gate_proba(X))


def test_gate_features_as_one_name_or_position():
    assert regressor(gate_features=1).fit(X, Y).gate_.n_features_in_ == 1
    frame = pd.DataFrame(X, columns=list("abc"))
    assert list(regressor(gate_features="b").fit(frame, Y).gate_.feature_names_in_) == ["b"]


# other kinds of data ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csr_matrix", "csc_array", "coo_matrix"])
@pytest.mark.parametrize("gate_features", [None, [0, 2]])
def test_sparse(kind, gate_features):
    thin = np.where(np.abs(X) > 0.5, X, 0)
    model = regressor(gate_features=gate_features, init=START, max_iter=3)
    expected = clone(model).fit(thin, Y)
    model.fit(getattr(sparse, kind)(thin), Y)
    np.testing.assert_allclose(model.gate_proba(thin), expected.gate_proba(thin), atol=1e-3)
    given = getattr(sparse, kind)(thin)
    np.testing.assert_allclose(model.predict(given), model.predict(thin), rtol=1e-10)
    assert sklearn.utils.get_tags(model).input_tags.sparse


@pytest.mark.parametrize("init", ["leaves", "kmeans"])
@pytest.mark.parametrize("kind", ["csr_array", "csc_array"])
def test_sparse_with_long_indices(kind, init):
    thin = getattr(sparse, kind)(np.where(np.abs(X) > 0.5, X, 0))
    long = thin.copy()
    long.indices, long.indptr = thin.indices.astype(np.int64), thin.indptr.astype(np.int64)
    experts = [("forest", RandomForestRegressor(3)), ("linear", Ridge())]
    for model in [regressor(init=init), regressor(experts, init=init)]:
        expected = clone(model).fit(thin, Y).predict(thin)
        np.testing.assert_array_equal(clone(model).fit(long, Y).predict(long), expected)
    assert long.indices.dtype == np.int64  # the caller's matrix is left as it is


@pytest.mark.parametrize("dense", [[], ["b"]], ids=["all sparse", "some sparse"])
def test_pandas_frames_with_sparse_columns(dense):
    thin = np.where(np.abs(X) > 0.5, X, 0)
    frame = pd.DataFrame(thin, columns=list("abc")).astype(pd.SparseDtype(float, 0.0))
    frame = frame.astype(dict.fromkeys(dense, float))
    model = regressor(overlap="auto", init="auto").fit(frame, Y)  # also chooses a degree
    assert np.isfinite(model.log_density(frame, Y)).all()
    np.testing.assert_allclose(model.predict(frame[:3]), model.predict(frame)[:3])
    model = regressor(init=START).fit(frame, Y)
    expected = regressor(init=START).fit(thin, Y)
    np.testing.assert_allclose(model.predict(frame), expected.predict(thin), atol=1e-3)
    with pytest.raises(ValueError, match="degree=1") if not dense else nullcontext():
        regressor(gate=SoftmaxGate(degree=2)).fit(frame, Y)


def test_missing_values():
    missing = X.copy()
    missing[RNG.uniform(size=X.shape) < 0.1] = np.nan
    model = regressor(HistGradientBoostingRegressor(max_iter=5, min_samples_leaf=5))
    assert sklearn.utils.get_tags(model).input_tags.allow_nan
    assert not sklearn.utils.get_tags(regressor()).input_tags.allow_nan
    assert model.fit(missing, Y).score(missing, Y) > 0
    model = classifier(HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=5))
    assert model.fit(missing, LABELS).score(missing, LABELS) > 0.4
    assert (model.predict_proba(missing) > 0).all()


def test_columns_that_are_wholly_missing():
    missing = X.copy()
    missing[:, 2] = np.nan
    model = regressor(tree())
    assert np.isfinite(model.fit(missing, Y).predict(X)).all()


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint8])
def test_types_of_numbers(dtype, order):
    rounded = np.asarray(np.abs(X) * 3).astype(dtype, order=order)
    model = regressor().fit(rounded, Y)
    assert model.predict(rounded).dtype == np.float64
    assert model.fit(rounded, Y.astype(np.float32)).predict(rounded).dtype == np.float64


# sample weights and metadata routing --------------------------------------------------------


@pytest.fixture(params=[False, True], ids=["without routing", "with routing"])
def routing(request):
    with sklearn.config_context(enable_metadata_routing=request.param):
        yield request.param


@pytest.mark.parametrize(
    "expert",
    [
        Ridge(),
        make_pipeline(StandardScaler(), Ridge()),
        make_pipeline(StandardScaler(), make_pipeline(StandardScaler(), Ridge())),
        KNeighborsRegressor(3),
        regressor(tree(), max_iter=1),
        GridSearchCV(Ridge(), {"alpha": [0.1, 1.0]}, cv=2),
    ],
    ids=["plain", "pipeline", "pipeline in a pipeline", "k-NN", "mixture", "grid search"],
)
def test_sample_weight(expert, routing):
    model = regressor(expert).fit(X, Y, sample_weight=WEIGHT)
    with sklearn.config_context(enable_metadata_routing=False):
        expected = regressor(expert).fit(X, Y, sample_weight=WEIGHT)
    assert_same(outputs(model, X, Y), outputs(expected, X, Y))
    unweighted = regressor(expert).fit(X, Y)
    assert np.abs(unweighted.predict(X) - model.predict(X)).max() > 1e-3


def test_gates_take_weights(routing):
    for gate in [
        make_pipeline(StandardScaler(), SoftmaxGate()),
        make_pipeline(StandardScaler(), LogisticRegression()),
        DecisionTreeClassifier(max_depth=2),
    ]:
        model = regressor(gate=gate).fit(X, Y, sample_weight=WEIGHT)
        assert np.isfinite(model.predict(X)).all()


def test_inside_cross_validate(routing):
    model = regressor(make_pipeline(StandardScaler(), Ridge()))
    splits = [(np.arange(50), np.arange(50, 80))]
    if routing:
        model.set_fit_request(sample_weight=True).set_score_request(sample_weight=False)
    weights = {"sample_weight": WEIGHT}
    found = cross_validate(model, X, Y, cv=splits, params=weights, return_estimator=True)
    expected = clone(model).fit(X[:50], Y[:50], sample_weight=WEIGHT[:50])
    np.testing.assert_array_equal(found["estimator"][0].predict(X), expected.predict(X))
    assert found["test_score"][0] == expected.score(X[50:], Y[50:])


def test_weight_zero_is_an_absent_row_and_its_values_do_not_matter():
    wild = X.copy()
    wild[WEIGHT == 0] = 1e6
    kept = WEIGHT > 0
    model = regressor(tree()).fit(wild, np.where(kept, Y, -1e6), sample_weight=WEIGHT)
    expected = regressor(tree()).fit(X[kept], Y[kept], sample_weight=WEIGHT[kept])
    assert_same(outputs(model, X, Y), outputs(expected, X, Y))


# targets ------------------------------------------------------------------------------------


@pytest.mark.parametrize("likelihood", ["gaussian", "laplace"])
@pytest.mark.parametrize("e_step", ["crossfit", "insample", "oob"])
def test_several_outputs(likelihood, e_step):
    targets = np.c_[Y, 10 * X[:, 0], Y - X[:, 1]]
    expert = RandomForestRegressor(5) if e_step == "oob" else Ridge()
    model = regressor(expert, likelihood=likelihood, e_step=e_step).fit(X, targets)
    assert model.predict(X).shape == (N_ROWS, 3)
    assert model.scale_.shape == (2, 3)
    assert model.predict_experts(X).shape == (N_ROWS, 2, 3)
    residuals = np.abs(targets[:, None] - model.predict_experts(X)) / model.scale_
    if likelihood == "gaussian":
        log_density = -0.5 * residuals**2 - np.log(model.scale_ * np.sqrt(2 * np.pi))
    else:
        log_density = -residuals - np.log(2 * model.scale_)
    joint = model.gate_proba(X) * np.exp(log_density.sum(axis=2))
    np.testing.assert_allclose(model.log_density(X, targets), np.log(joint.sum(axis=1)))
    expected = joint / joint.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.responsibilities(X, targets), expected, atol=1e-12)
    assert sklearn.utils.get_tags(model).target_tags.multi_output


def test_one_output():
    model = regressor().fit(X, Y)
    assert model.predict(X).shape == (N_ROWS,)
    assert model.scale_.shape == (2,)
    with pytest.warns(sklearn.exceptions.DataConversionWarning):
        column = regressor().fit(X, Y[:, None])
    np.testing.assert_array_equal(column.predict(X), model.predict(X))


def test_constant_target():
    model = regressor().fit(X, np.full(N_ROWS, 5.0))
    np.testing.assert_allclose(model.predict(X), 5.0)
    assert (model.scale_ > 0).all()


@pytest.mark.parametrize(
    "labels",
    [
        LABELS,
        LABELS == "odd",
        (LABELS == "odd").astype(int) * 7 - 3,
        np.where(LABELS == "odd", 0.0, 1.0),
        LABELS.astype(object),
    ],
    ids=["strings", "truth values", "integers", "floats", "objects"],
)
def test_labels(labels):
    model = classifier().fit(X, labels)
    np.testing.assert_array_equal(model.classes_, np.unique(labels))
    assert model.classes_.dtype == labels.dtype
    assert model.predict(X).dtype == labels.dtype
    proba = model.predict_proba(X)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    np.testing.assert_array_equal(model.predict(X), model.classes_[proba.argmax(axis=1)])
    np.testing.assert_array_equal(model.predict_log_proba(X), np.log(proba))
    assert model.floor_.shape == (2,)
    codes = np.searchsorted(model.classes_, labels)
    expected = np.log(np.take_along_axis(proba, codes[:, None], axis=1)[:, 0])
    np.testing.assert_allclose(model.log_density(X, labels), expected)
    assert model.score(X, labels) == np.mean(model.predict(X) == labels)


@pytest.mark.filterwarnings("ignore:The least populated class")
def test_expert_that_misses_a_class():
    labels = LABELS.copy()
    labels[0] = "rare"  # in one fold only, so that models of the others have not seen it
    for e_step in ["crossfit", "insample"]:
        model = classifier(GaussianNB(), e_step=e_step, overlap=0.0).fit(X, labels)
        assert model.predict_proba(X).shape == (N_ROWS, 4)
        assert (model.predict_proba(X) > 0).all()


def test_expert_of_a_single_class():
    two = np.where(X[:, 0] > 0, "up", "down")
    start = np.eye(2)[(X[:, 0] > 0).astype(int)]
    model = classifier(init=start, overlap=0.0, max_iter=1, cv=3).fit(X, two)
    assert model.score(X, two) > 0.9
    assert [list(expert.classes_) for expert in model.experts_] == [["down"], ["up"]]
