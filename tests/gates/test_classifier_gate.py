"""ClassifierGate: any classifier as a gate."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone, is_classifier
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import get_tags

from skmoe import MixtureOfExpertsRegressor
from skmoe.gates import ClassifierGate, SoftmaxGate


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 3))
    logits = 2 * X + rng.gumbel(size=(120, 3))
    proba = np.exp(logits)
    return X, proba / proba.sum(axis=1, keepdims=True)


def logistic(**parameters):
    return LogisticRegression(tol=1e-10, max_iter=10_000, **parameters)


class Recorder(ClassifierMixin, BaseEstimator):
    """Remember what `fit` is given; always predict the frequencies of the labels."""

    def fit(self, X, y, sample_weight=None):
        self.seen_ = X, y, sample_weight
        self.classes_ = np.unique(y)
        self.frequencies_ = np.bincount(y, sample_weight)[self.classes_] / sum(sample_weight)
        return self

    def predict_proba(self, X):
        self.predicted_ = X
        return np.tile(self.frequencies_, (len(X), 1))


def test_rows_are_repeated_with_the_weight_of_each_expert():
    X = np.array([[0.0], [1.0], [2.0]])
    R = np.array([[0.25, 0.75, 0.0], [1 - 1e-9, 1e-9, 0.0], [0.5, 0.5, 0.0]])
    gate = ClassifierGate(Recorder()).fit(X, R, [2.0, 1.0, 0.0])
    seen, labels, weights = gate.estimator_.seen_
    np.testing.assert_array_equal(seen, [[0], [0], [1]])
    np.testing.assert_array_equal(labels, [0, 1, 0])
    np.testing.assert_allclose(weights, [0.5, 1.5, 1.0])


@pytest.mark.parametrize("seed", [None, 1])
def test_logistic_regression_is_a_softmax_gate(problem, seed):
    X, R = problem
    Z = StandardScaler().fit_transform(X)
    weights = None if seed is None else np.random.default_rng(seed).integers(0, 3, len(X))
    total = len(X) if weights is None else weights.sum()
    gate = ClassifierGate(logistic(C=1 / (0.01 * total))).fit(Z, R, weights)
    if weights is None:
        expected = SoftmaxGate(0.01, tol=1e-10).fit(Z, R)
        np.testing.assert_allclose(gate.predict_proba(Z), expected.predict_proba(Z), atol=1e-5)
    else:
        repeated = ClassifierGate(gate.estimator)
        repeated.fit(np.repeat(Z, weights, 0), np.repeat(R, weights, 0))
        np.testing.assert_allclose(gate.predict_proba(Z), repeated.predict_proba(Z), atol=1e-5)
    np.testing.assert_allclose(np.exp(gate.predict_log_proba(Z)), gate.predict_proba(Z))
    np.testing.assert_array_equal(gate.predict(Z), gate.predict_proba(Z).argmax(axis=1))


@pytest.mark.parametrize("routing", [False, True])
def test_pipelines_take_the_weight_at_their_last_step(problem, routing):
    X, R = problem
    pipeline = make_pipeline(StandardScaler(), make_pipeline(StandardScaler(), logistic()))
    Z = StandardScaler().fit_transform(np.repeat(X, 3, axis=0))
    expected = logistic().fit(Z, np.tile([0, 1, 2], len(X)), R.ravel()).predict_proba(Z[::3])
    with config_context(enable_metadata_routing=routing):
        gate = ClassifierGate(pipeline).fit(X, R)
        np.testing.assert_allclose(gate.predict_proba(X), expected, atol=1e-5)


def test_experts_without_responsibility_have_a_finite_logarithm(problem):
    X, R = problem
    with_dead = np.insert(R, 1, 0.0, axis=1)
    gate = ClassifierGate(DecisionTreeClassifier(random_state=0)).fit(X, with_dead)
    proba = gate.predict_proba(X)
    assert proba.shape == (len(X), 4) and gate.n_experts_ == 4
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    np.testing.assert_allclose(proba[:, 1], 1e-10 / 4)
    assert np.isfinite(gate.predict_log_proba(X)).all()
    alive = ClassifierGate(DecisionTreeClassifier(random_state=0)).fit(X, R)
    np.testing.assert_allclose(proba[:, [0, 2, 3]], alive.predict_proba(X), atol=1e-9)


@pytest.mark.parametrize("n_experts", [1, 3])
def test_one_expert_takes_all(problem, n_experts):
    X, _ = problem
    gate = ClassifierGate(LogisticRegression()).fit(X, np.eye(n_experts)[[-1] * len(X)])
    assert gate.estimator_ is None
    np.testing.assert_array_equal(gate.predict(X), n_experts - 1)
    np.testing.assert_allclose(gate.predict_proba(X), np.eye(n_experts)[[-1] * len(X)], atol=1e-9)
    with pytest.raises(ValueError, match="features"):
        gate.predict(X[:, :1])


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_frames_reach_the_classifier(problem, frame):
    X, R = problem
    table = frame({"a": X[:, 0], "town": np.where(X[:, 1] > 0, "Bath", "York")})
    recorder = ClassifierGate(Recorder()).fit(table, R)
    recorder.predict_proba(table)
    assert isinstance(recorder.estimator_.seen_[0], frame)
    assert recorder.estimator_.predicted_ is table
    np.testing.assert_array_equal(recorder.feature_names_in_, ["a", "town"])
    encoder = make_column_transformer(
        (OneHotEncoder(sparse_output=False), ["town"]), remainder="passthrough"
    )
    gate = ClassifierGate(make_pipeline(encoder, logistic())).fit(table, R)
    encoded = np.c_[X[:, 1] > 0, X[:, 1] <= 0, X[:, 0]].astype(float)
    expected = ClassifierGate(logistic()).fit(encoded, R).predict_proba(encoded)
    np.testing.assert_allclose(gate.predict_proba(table), expected, atol=1e-5)


def test_sparse_and_missing_values(problem):
    X, R = problem
    dense = ClassifierGate(logistic()).fit(X, R)
    thin = ClassifierGate(logistic()).fit(sparse.csr_matrix(X), R)
    proba = thin.predict_proba(sparse.csr_matrix(X))
    np.testing.assert_allclose(proba, dense.predict_proba(X), atol=1e-5)
    missing = X.copy()
    missing[::5, 0] = np.nan
    tree = ClassifierGate(DecisionTreeClassifier(max_depth=2)).fit(missing, R)
    assert np.isfinite(tree.predict_log_proba(missing)).all()


def test_no_rows_and_subsets(problem):
    X, R = problem
    gate = ClassifierGate(RandomForestClassifier(10, random_state=0)).fit(X, R)
    assert gate.predict_proba(X[:0]).shape == (0, 3)
    np.testing.assert_allclose(gate.predict_proba(X[7:8]), gate.predict_proba(X)[7:8])


class Unweighted(ClassifierMixin, BaseEstimator):
    """Remember what `fit` is given, which are no weights."""

    def fit(self, X, y):
        self.seen_ = X, y
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))


def resample(R, weights=None):
    """How often each pair of row and expert is in the resample."""
    rows = np.arange(len(R))[:, np.newaxis]
    seen, labels = ClassifierGate(Unweighted()).fit(rows, R, weights).estimator_.seen_
    counts = np.zeros(R.shape)
    np.add.at(counts, (seen[:, 0], labels), 1)
    return counts


def test_without_weights_hard_targets_are_labels():
    R = np.eye(3)[[0, 2, 1, 1, 0]]
    np.testing.assert_array_equal(resample(R), R)
    weights = np.array([2.0, 0.0, 1.0, 3.0, 1.0])
    # Only proportions of weights count, and rows are drawn by them: the weightless never.
    counts = resample(R, weights)
    assert not counts[1].any() and np.all(counts[:, :] * (R == 0) == 0)


def test_without_weights_soft_targets_are_resampled(problem):
    _, R = problem
    R = np.repeat(R, 10, axis=0)
    counts = resample(R)
    scale = counts.sum() / len(R)
    assert 1.0 <= scale < 1.1
    np.testing.assert_allclose(counts.sum(axis=0), scale * R.sum(axis=0), atol=1.5)
    assert np.all(np.abs(counts - scale * R) < 1)  # rounded down or up
    # Rows that are alike are not all sent to the same expert.
    drawn = resample(np.full((1000, 2), [0.7, 0.3]))
    for half in (drawn[:500], drawn[500:]):
        assert half[:, 0].sum() / half.sum() == pytest.approx(0.7, abs=0.01)
    np.testing.assert_array_equal(resample(R), counts)


@pytest.mark.parametrize("steps", [[], [StandardScaler()]])
def test_neighbours_as_a_gate(problem, steps):
    X = problem[0][:, :1]
    R = np.repeat(np.where(X > 0, [[0.9, 0.1]], [[0.2, 0.8]]), 5, axis=0)
    gate = ClassifierGate(make_pipeline(*steps, KNeighborsClassifier(50)))
    proba = gate.fit(np.repeat(X, 5, axis=0), R).predict_proba(X)[:, 0]
    far = np.abs(X[:, 0]) > 1
    np.testing.assert_allclose(proba[far], np.where(X[far, 0] > 0, 0.9, 0.2), atol=0.15)


@pytest.mark.filterwarnings("ignore:EM stopped")
def test_neighbours_as_the_gate_of_a_mixture(problem):
    X, _ = problem
    y = np.abs(X[:, 0])
    gate = KNeighborsClassifier(10)
    settings = {"n_experts": 2, "overlap": 0.0, "max_iter": 4, "tol": 0.1, "random_state": 0}
    model = MixtureOfExpertsRegressor(LinearRegression(), gate=gate, **settings).fit(X, y)
    assert isinstance(model.gate_, ClassifierGate)
    assert np.isfinite(model.log_likelihood_)
    again = clone(model).fit(X, y)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


@pytest.mark.parametrize("estimator", [SVC(), StandardScaler(), None])
def test_estimators_without_probabilities(problem, estimator):
    with pytest.raises(ValueError, match="predict_proba"):
        ClassifierGate(estimator).fit(*problem)


def test_invalid_targets_and_weights(problem):
    X, R = problem
    with pytest.raises(ValueError, match="sum to 1"):
        ClassifierGate(LogisticRegression()).fit(X, 2 * R)
    with pytest.raises(ValueError, match="non-negative"):
        ClassifierGate(LogisticRegression()).fit(X, R, -np.ones(len(X)))
    with pytest.raises(NotFittedError):
        ClassifierGate(LogisticRegression()).predict(X)


def test_estimator_manners(problem):
    X, R = problem
    classifier = LogisticRegression()
    gate = ClassifierGate(classifier).set_params(estimator__C=0.5).fit(X, R)
    assert classifier.C == 0.5 and not hasattr(classifier, "coef_")
    assert not is_classifier(gate)
    assert get_tags(gate).input_tags.sparse and not get_tags(gate).input_tags.allow_nan
    assert clone(gate).estimator is not classifier
    assert gate.n_features_in_ == 3
    revived = pickle.loads(pickle.dumps(gate))
    np.testing.assert_array_equal(revived.predict_proba(X), gate.predict_proba(X))
