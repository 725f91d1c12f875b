"""What every gate promises, whatever its form."""

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import small_mixtures as small
from sklearn.base import clone, is_classifier
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils import get_tags

import skmoe
from skmoe.gates import ClassifierGate, CosineGate, GaussianGate, HierarchicalGate, SoftmaxGate

GATES = {
    "softmax": SoftmaxGate(tol=1e-9),
    "quadratic": SoftmaxGate(terms="products", tol=1e-9),
    "splines": SoftmaxGate(terms="splines", tol=1e-9),
    "tied": GaussianGate(),
    "diag": GaussianGate("diag", temperature=1.5),
    "tree": HierarchicalGate(SoftmaxGate(tol=1e-9)),
    "nested": HierarchicalGate(GaussianGate(), groups=[[0, 2], 1]),
    "cosine": CosineGate(2, tol=1e-8, max_iter=2000),
    "flat cosine": CosineGate(2, temperature=0.5, tol=1e-6, max_iter=2000),
    "classifier": ClassifierGate(LogisticRegression(tol=1e-10, max_iter=10_000)),
}
every_gate = pytest.mark.parametrize("gate", GATES.values(), ids=GATES)
takes_missing_values = pytest.mark.parametrize(
    "gate", [GATES[name] for name in GATES if name != "classifier"]
)


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    X = rng.normal(2.0, 3.0, (150, 4))
    logits = (X - 2.0) @ rng.normal(size=(4, 3)) / 2.0 + rng.gumbel(size=(150, 3))
    proba = np.exp(2.0 * logits)
    return X, proba / proba.sum(axis=1, keepdims=True)


@pytest.fixture
def fitted(gate, problem):
    return clone(gate).fit(*problem)


@every_gate
def test_probabilities(fitted, problem):
    X, R = problem
    proba = fitted.predict_proba(X)
    assert proba.shape == R.shape and proba.dtype == np.float64 and fitted.n_experts_ == 3
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    np.testing.assert_allclose(np.exp(fitted.predict_log_proba(X)), proba, atol=1e-12)
    np.testing.assert_array_equal(fitted.predict(X), proba.argmax(axis=1))
    constant = R.mean(axis=0)
    assert np.sum(R * fitted.predict_log_proba(X)) > np.sum(R * np.log(constant)) + 20


@every_gate
def test_weights_are_repetitions(gate, problem):
    X, R = problem
    counts = np.random.default_rng(1).integers(0, 3, len(X))
    weighted = clone(gate).fit(X, R, counts)
    repeated = clone(gate).fit(np.repeat(X, counts, 0), np.repeat(R, counts, 0))
    np.testing.assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), atol=2e-4)
    spoiled = X.copy()
    spoiled[counts == 0] = 1e6  # absent rows may hold anything
    absent = clone(gate).fit(spoiled, R, counts)
    np.testing.assert_allclose(absent.predict_proba(X), weighted.predict_proba(X), atol=1e-9)
    if not isinstance(gate, ClassifierGate):  # C of a logistic regression depends on the scale
        scaled = clone(gate).fit(X, R, 0.01 * counts)
        np.testing.assert_allclose(scaled.predict_proba(X), weighted.predict_proba(X), atol=2e-4)


@every_gate
def test_rows_do_not_depend_on_each_other(fitted, problem):
    X, _ = problem
    whole = fitted.predict_log_proba(X)
    np.testing.assert_allclose(fitted.predict_log_proba(X[7:8]), whole[7:8], atol=1e-12)
    assert fitted.predict_proba(X[:0]).shape == (0, 3)
    assert fitted.predict(X[:0]).shape == (0,)


@every_gate
def test_units_of_the_features_do_not_matter(gate, problem):
    X, R = problem
    if isinstance(gate, ClassifierGate):
        pytest.skip("the classifier decides")
    scale, shift = np.array([1e-3, 1.0, 1e3, -1.0]), np.array([5.0, -2.0, 1e4, 0.0])
    proba = clone(gate).fit(X, R).predict_proba(X)
    other = clone(gate).fit(scale * X + shift, R).predict_proba(scale * X + shift)
    np.testing.assert_allclose(other, proba, atol=2e-4)


@every_gate
@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_frames(gate, problem, frame):
    X, R = problem
    names = ["a", "b", "c", "d"]
    table = frame(dict(zip(names, X.T, strict=True)))
    fitted = clone(gate).fit(table, R)
    np.testing.assert_array_equal(fitted.feature_names_in_, names)
    expected = clone(gate).fit(X, R).predict_proba(X)
    np.testing.assert_allclose(fitted.predict_proba(table), expected, atol=1e-12)
    with pytest.raises(ValueError, match="feature names"):
        fitted.predict_proba(frame(dict(zip("abce", X.T, strict=True))))


@takes_missing_values
def test_missing_values(gate, problem):
    X, R = problem
    holes = X.copy()
    holes[np.random.default_rng(2).uniform(size=X.shape) < 0.2] = np.nan
    assert get_tags(gate).input_tags.allow_nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = clone(gate).fit(holes, R)
    log_proba = fitted.predict_log_proba(holes)
    assert np.isfinite(log_proba).all()
    assert np.sum(R * log_proba) > np.sum(R * np.log(R.mean(axis=0))) + 10
    assert np.isfinite(fitted.predict_log_proba(np.full((1, 4), np.nan))).all()


@takes_missing_values
def test_names_of_columns_that_are_not_numbers(gate, problem):
    X, R = problem
    table = pd.DataFrame(X, columns=["a", "b", "c", "d"]).assign(town="York")
    with pytest.raises(ValueError, match="town"):
        clone(gate).fit(table, R)


@every_gate
def test_difficult_targets(gate, problem):
    X, R = problem
    dead = np.insert(R[:, :2] / R[:, :2].sum(axis=1, keepdims=True), 1, 0.0, axis=1)
    alone = np.eye(3)[np.full(len(X), 2)]
    with warnings.catch_warnings():
        # Separable or absent targets have their optimum at infinity.
        warnings.simplefilter("ignore", ConvergenceWarning)
        without = clone(gate).fit(X, dead)
        assert without.predict_proba(X)[:, 1].mean() < 0.05
        assert np.isfinite(without.predict_log_proba(X)).all()
        assert clone(gate).fit(X, alone).predict_proba(X)[:, 2].min() > 0.95
        if not hasattr(gate, "groups") or gate.groups == 2:
            one = clone(gate).fit(X, np.ones((len(X), 1)))
            np.testing.assert_allclose(one.predict_proba(X), 1)
        constant = np.column_stack([X, np.full(len(X), 0.1), np.zeros(len(X))])
        extended = clone(gate).fit(constant, R)
    if not isinstance(gate, ClassifierGate):
        expected = clone(gate).fit(X, R).predict_proba(X)
        np.testing.assert_allclose(extended.predict_proba(constant), expected, atol=2e-4)


@every_gate
def test_bad_input(gate, problem):
    X, R = problem
    with pytest.raises(ValueError, match="sum to 1"):
        clone(gate).fit(X, 2 * R)
    with pytest.raises(ValueError, match="100 rows"):
        clone(gate).fit(X, R[:100])
    with pytest.raises(ValueError, match="non-negative"):
        clone(gate).fit(X, R, -np.ones(len(X)))
    with pytest.raises(ValueError, match="zero"):
        clone(gate).fit(X, R, np.zeros(len(X)))
    with pytest.raises(NotFittedError):
        clone(gate).predict(X)
    with pytest.raises(ValueError, match="4 features"):
        clone(gate).fit(X, R).predict(X[:, :3])


@every_gate
def test_estimator_manners(gate, problem):
    X, R = problem
    before = X.copy(), R.copy()
    fresh = clone(gate)
    state = vars(fresh).copy()
    assert fresh.fit(X, R) is fresh
    assert {name: vars(fresh)[name] for name in state} == state
    for array, copy in zip((X, R), before, strict=True):
        np.testing.assert_array_equal(array, copy)
    assert not is_classifier(fresh) and fresh.n_features_in_ == 4
    revived = pickle.loads(pickle.dumps(fresh))
    np.testing.assert_array_equal(revived.predict_proba(X), fresh.predict_proba(X))
    again = fresh.fit(X[:, :2], R)  # another fit leaves nothing of the first behind
    expected = clone(gate).fit(X[:, :2], R)
    np.testing.assert_array_equal(again.predict_proba(X[:, :2]), expected.predict_proba(X[:, :2]))
    assert vars(again).keys() == vars(expected).keys()


@pytest.mark.parametrize(
    ("gate", "parameters"),
    [
        (GaussianGate("full"), "covariance"),
        (GaussianGate(regularization=-1), "regularization"),
        (GaussianGate(contamination=1), "contamination"),
        (HierarchicalGate(groups=1), "groups"),
        (HierarchicalGate("softmax"), "gate"),
        (CosineGate(0), "n_components"),
        (CosineGate(temperature=0), "temperature"),
    ],
)
def test_invalid_parameters(gate, parameters, problem):
    with pytest.raises(ValueError, match=parameters):
        gate.fit(*problem)


@every_gate
def test_as_gate_of_both_mixtures(gate):
    if getattr(gate, "groups", 2) != 2:
        gate = clone(gate).set_params(groups=[[0, 1]])
    for mixture, y in (
        (small.regressor(small.tree()), small.Y),
        (small.classifier(), small.LABELS),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            mixture.set_params(gate=gate).fit(small.X, y, small.WEIGHT)
        proba = mixture.gate_proba(small.X)
        assert type(mixture.gate_) is type(gate) and mixture.gate is gate
        np.testing.assert_allclose(proba.sum(axis=1), 1)
        revived = pickle.loads(pickle.dumps(mixture))
        small.assert_same(small.outputs(revived, small.X, y), small.outputs(mixture, small.X, y))


def test_parameters_of_a_gate_within_a_mixture():
    mixture = small.regressor(DecisionTreeRegressor(), gate=HierarchicalGate(SoftmaxGate()))
    mixture.set_params(gate__gate__alpha=0.5, gate__groups=3)
    assert mixture.gate.gate.alpha == 0.5 and clone(mixture).gate.groups == 3


def test_exports():
    for name in set(skmoe.gates.__all__) - {"BaseGate"}:
        assert getattr(skmoe, name) is getattr(skmoe.gates, name) and name in skmoe.__all__
