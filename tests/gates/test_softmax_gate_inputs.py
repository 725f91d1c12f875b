"""The softmax gate: the forms of input it takes, what it rejects, and its manners."""

import pickle
import tracemalloc

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.utils import get_tags

from skmoe.gates import SoftmaxGate
from skmoe.gates._solver.designs import SparseDesign


@pytest.fixture(scope="module")
def problem():
    """Features and soft targets that follow a softmax of them with noise."""
    rng = np.random.default_rng(0)
    X = rng.normal(2.0, 3.0, (200, 4))
    proba = np.exp((X - 2.0) @ rng.normal(size=(4, 3)) / 2.0 + rng.normal(size=(200, 3)))
    return X, proba / proba.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def fitted(problem):
    return SoftmaxGate(tol=1e-10).fit(*problem)


# Forms of input


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("order", ["C", "F", "strided"])
def test_memory_layouts(problem, dtype, order):
    X, R = (10 * problem[0]).astype(dtype), problem[1]
    expected = SoftmaxGate(tol=1e-10).fit(X.astype(np.float64), R).predict_proba(X)
    if order == "strided":
        X, R = np.repeat(np.repeat(X, 2, 0), 2, 1)[::2, ::2], np.repeat(R, 2, 0)[::2]
    else:
        X, R = np.array(X, order=order), np.array(R, order=order)
    X.setflags(write=False)
    R.setflags(write=False)
    gate = SoftmaxGate(tol=1e-10).fit(X, R)
    assert gate.coef_.dtype == gate.predict_proba(X).dtype == np.float64
    np.testing.assert_allclose(gate.predict_proba(X), expected, atol=1e-8)


@pytest.mark.parametrize("container", [sparse.csr_matrix, sparse.csc_array, sparse.coo_array])
@pytest.mark.parametrize("with_missing", [False, True])
def test_sparse_is_dense(container, with_missing, monkeypatch):
    rng = np.random.default_rng(9)
    X = np.where(rng.uniform(size=(150, 6)) < 0.4, rng.normal(1, 2, (150, 6)), 0.0)
    X[:, 5] = 0.0
    if with_missing:
        X[rng.uniform(size=X.shape) < 0.1] = np.nan
    R = rng.dirichlet(np.ones(3), 150)
    weights = rng.uniform(0, 1, 150).round(1)
    dense = SoftmaxGate(tol=1e-10).fit(X, R, weights)
    thin = SoftmaxGate(tol=1e-10).fit(container(X), R, weights)
    for name in ("coef_", "intercept_", "missing_features_", "missing_coef_", "feature_means_"):
        np.testing.assert_allclose(getattr(thin, name), getattr(dense, name), atol=1e-8)
    np.testing.assert_allclose(thin.predict_proba(container(X)), dense.predict_proba(X), atol=1e-8)
    features = SoftmaxGate().prepare(sparse.csr_matrix(X), weights)
    assert isinstance(features.solver_design("linear", 3), SparseDesign)


def test_wide_sparse_stays_sparse():
    rng = np.random.default_rng(10)
    X = sparse.random(300, 20_000, density=1e-3, format="csr", random_state=0)
    R = rng.dirichlet(np.ones(3), 300)
    tracemalloc.start()
    gate = SoftmaxGate(0.1).fit(X, R)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < X.shape[0] * X.shape[1] * 8 / 2
    assert gate.coef_.shape == (3, 20_000)
    assert np.isfinite(gate.predict_log_proba(X)).all()


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_frames(problem, fitted, frame):
    X, R = problem
    names = ["a", "b", "c", "d"]
    table = frame({name: X[:, j] for j, name in enumerate(names)})
    gate = SoftmaxGate(tol=1e-10).fit(table, R)
    np.testing.assert_array_equal(gate.feature_names_in_, names)
    np.testing.assert_allclose(gate.predict_proba(table), fitted.predict_proba(X), atol=1e-10)
    with pytest.raises(ValueError, match="feature names"):
        gate.predict(table[["b", "a", "c", "d"]])


def test_numeric_columns_of_frames():
    columns = {"whole": [1, 2, 4], "flag": [True, False, True]}
    R = np.eye(3)
    expected = SoftmaxGate().fit(np.array([[1, 1], [2, 0], [4, 1]]), R).coef_
    frames = [pd.DataFrame(columns), pl.DataFrame(columns)]
    frames.append(pd.DataFrame(columns).astype({"whole": "Int64", "flag": "boolean"}))
    for frame in frames:
        np.testing.assert_allclose(SoftmaxGate().fit(frame, R).coef_, expected)


def test_missing_values_of_frames():
    R = np.eye(3)
    X = np.array([[1.0], [np.nan], [4.0]])
    proba = SoftmaxGate().fit(X, R).predict_proba(X)
    nullable = pd.DataFrame({"whole": pd.array([1, None, 4], dtype="Int64")})
    for frame in (nullable, pl.DataFrame({"whole": [1, None, 4]})):
        gate = SoftmaxGate().fit(frame, R)
        np.testing.assert_allclose(gate.predict_proba(frame), proba)


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_columns_that_are_not_numbers_are_named(frame):
    table = frame({"size": [1.0, 2.0], "colour": ["red", "blue"], "town": ["Bath", "York"]})
    message = r"not: \['colour', 'town'\].*gate_features=.*Pipeline"
    with pytest.raises(ValueError, match=message):
        SoftmaxGate().fit(table, np.eye(2))
    dates = pd.DataFrame({"day": pd.to_datetime(["2020-01-01", "2020-01-02"])})
    with pytest.raises(ValueError, match="'day'"):
        SoftmaxGate().fit(dates, np.eye(2))
    with pytest.raises(ValueError, match="'kind'"):
        SoftmaxGate().fit(pd.DataFrame({"kind": pd.Categorical(["a", "b"])}), np.eye(2))


# Missing values


def test_missing_values_are_means_with_an_indicator(problem):
    X, R = problem
    rng = np.random.default_rng(11)
    missing = X.copy()
    missing[rng.uniform(size=len(X)) < 0.3, 2] = np.nan
    gate = SoftmaxGate(tol=1e-10).fit(missing, R)
    np.testing.assert_array_equal(gate.missing_features_, [2])
    assert gate.missing_coef_.shape == (3, 1)
    np.testing.assert_allclose(gate.feature_means_, np.nanmean(missing, axis=0))
    # The same, spelled with a column that the user appends.
    absent = np.isnan(missing[:, 2])
    filled = np.where(np.isnan(missing), gate.feature_means_, missing)
    logits = filled @ gate.coef_.T + absent[:, None] * gate.missing_coef_[:, 0] + gate.intercept_
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(gate.predict_proba(missing), expected, atol=1e-12)


def test_missing_only_at_prediction_is_the_mean(problem, fitted):
    X, _ = problem
    row = X[:1].copy()
    row[0, 1] = np.nan
    at_mean = row.copy()
    at_mean[0, 1] = X[:, 1].mean()
    np.testing.assert_allclose(fitted.predict_proba(row), fitted.predict_proba(at_mean))


def test_column_without_any_value(problem, fitted):
    X, R = problem
    gate = SoftmaxGate(tol=1e-10).fit(np.c_[X, np.full(len(X), np.nan)], R)
    np.testing.assert_array_equal(gate.coef_[:, 4], 0)
    np.testing.assert_allclose(gate.predict_proba(np.c_[X, X[:, 0]]), fitted.predict_proba(X))


# Errors and the estimator's manners


@pytest.mark.parametrize(
    ("R", "message"),
    [
        (None, "needs targets R"),
        ([0, 1], "2-D"),
        ([[0.5, 0.5]], "R has 1 rows, but X has 2"),
        ([[0.5, 0.5], [np.nan, 1]], "finite; row 1"),
        ([[0.5, 0.5], [1.5, -0.5]], "non-negative; row 1"),
        ([[0.5, 0.5], [0.5, 0.500002]], "sum to 1.*row 1"),
    ],
)
def test_invalid_targets(R, message):
    with pytest.raises(ValueError, match=message):
        SoftmaxGate().fit([[0.0], [1.0]], R)


def test_targets_are_normalised_within_tolerance():
    gate = SoftmaxGate().fit([[0.0], [1.0]], [[0.5, 0.5], [0.3, 0.7000009]])
    assert gate.n_experts_ == 2


@pytest.mark.parametrize(
    ("weights", "message"),
    [([1, -1], "non-negative"), ([0, 0], "zero"), ([1, np.nan], "NaN"), ([1], r"shape|sizes")],
)
def test_invalid_weights(weights, message):
    with pytest.raises(ValueError, match=message):
        SoftmaxGate().fit([[0.0], [1.0]], np.eye(2), weights)


@pytest.mark.parametrize(
    "parameters",
    [{"alpha": -1}, {"temperature": 0}, {"max_iter": 0}, {"tol": 0}, {"warm_start": "yes"}],
)
def test_invalid_parameters(parameters):
    with pytest.raises(ValueError, match=next(iter(parameters))):
        SoftmaxGate(**parameters).fit([[0.0], [1.0]], np.eye(2))


def test_wrong_features_at_prediction(fitted):
    with pytest.raises(ValueError, match="4 features"):
        fitted.predict_proba(np.ones((2, 3)))
    with pytest.raises(ValueError, match="infinity"):
        fitted.predict_proba(np.full((2, 4), np.inf))
    with pytest.raises(NotFittedError):
        SoftmaxGate().predict(np.ones((2, 4)))


def test_estimator_manners(problem, fitted):
    X, R = problem
    before = X.copy(), R.copy()
    gate = SoftmaxGate(0.5, temperature=2.0).set_params(tol=1e-3)
    assert gate.fit(X, R) is gate
    np.testing.assert_array_equal(X, before[0])
    np.testing.assert_array_equal(R, before[1])
    copy = clone(gate)
    assert copy.get_params() == gate.get_params() and not hasattr(copy, "coef_")
    assert repr(gate) == "SoftmaxGate(alpha=0.5, temperature=2.0, tol=0.001)"
    assert gate.n_features_in_ == 4 and not hasattr(gate, "feature_names_in_")
    assert not is_classifier(gate)
    assert get_tags(gate).input_tags.allow_nan and get_tags(gate).input_tags.sparse
    revived = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(revived.predict_proba(X), fitted.predict_proba(X))
