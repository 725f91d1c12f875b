"""CosineGate: its gradient, its optimum and its limits."""

import warnings

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from sklearn.exceptions import ConvergenceWarning

from skmoe.gates import CosineGate, SoftmaxGate
from skmoe.gates._cosine import CosineObjective


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    X = rng.normal(2.0, 3.0, (200, 4))
    logits = (X - 2.0) @ rng.normal(size=(4, 3)) / 2.0 + rng.gumbel(size=(200, 3))
    proba = np.exp(2.0 * logits)
    return X, proba / proba.sum(axis=1, keepdims=True)


def cross_entropy(gate, X, R):
    return -np.mean(np.sum(R * gate.predict_log_proba(X), axis=1))


@pytest.mark.parametrize("temperature", [0.3, "auto"])
@pytest.mark.parametrize("n_components", [1, 3])
def test_finite_differences(temperature, n_components):
    rng = np.random.default_rng(1)
    Z, R = rng.normal(size=(15, 5)), rng.dirichlet(np.ones(4), 15)
    objective = CosineObjective(Z, R, rng.dirichlet(np.ones(15)), 0.1, temperature)
    for _ in range(5):
        flat = rng.normal(size=n_components * (5 + 4) + 1)
        gradient = objective(flat, n_components)[1]
        difference = approx_fprime(flat, lambda x: objective(x, n_components)[0], 1e-7)
        np.testing.assert_allclose(gradient, difference, atol=1e-6)
        assert (gradient[-1] == 0) == (temperature != "auto")


def test_probabilities_are_those_of_the_attributes(problem):
    X, R = problem
    gate = CosineGate().fit(X, R)
    projected = X @ gate.projection_.T + gate.projection_intercept_
    whole = np.column_stack([projected, np.ones(len(X))])
    experts = np.column_stack([gate.embeddings_, np.zeros(3)])
    whole /= np.linalg.norm(whole, axis=1, keepdims=True)
    logits = whole @ experts.T / gate.temperature_
    proba = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(gate.predict_proba(X), proba, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(gate.embeddings_, axis=1), 1)
    expected = cross_entropy(gate, X, R) + 0.5 * gate.alpha / gate.temperature_**2
    assert gate.loss_ == pytest.approx(expected)


def test_softmax_is_a_limit(problem):
    """Small projections and temperatures: cosines become linear in the features."""
    X, R = problem
    softmax = SoftmaxGate().fit(X, R)
    gate, small = CosineGate().fit(X, R), 1e-5
    gate.embeddings_, gate.temperature_ = np.eye(3), small
    gate.projection_, gate.projection_intercept_ = (
        small * softmax.coef_,
        small * softmax.intercept_,
    )
    np.testing.assert_allclose(gate.predict_proba(X), softmax.predict_proba(X), atol=1e-6)


def test_with_linear_targets_it_comes_close_to_softmax(problem):
    X, R = problem
    gate, softmax = CosineGate().fit(X, R), SoftmaxGate().fit(X, R)
    assert cross_entropy(gate, X, R) < cross_entropy(softmax, X, R) + 0.01


def test_sectors_that_no_single_softmax_can_bound():
    """Far out, the odds stay within their bound, and those of a softmax gate do not."""
    rng = np.random.default_rng(2)
    X = rng.normal(size=(600, 2))
    R = np.eye(4)[(np.arctan2(X[:, 1], X[:, 0]) // (np.pi / 2)).astype(int) + 2]
    gate = CosineGate(temperature=0.5).fit(X, R)
    assert np.mean(gate.predict(X) == R.argmax(axis=1)) > 0.97
    log_odds = np.ptp(gate.predict_log_proba(1e6 * X), axis=1)
    assert log_odds.max() <= 2 / 0.5 + 1e-9
    assert np.ptp(SoftmaxGate().fit(X, R).predict_log_proba(1e6 * X), axis=1).max() > 100


def test_penalty_and_temperature(problem):
    X, R = problem
    temperatures = [CosineGate(2, alpha=alpha).fit(X, R).temperature_ for alpha in (1e-3, 0.1, 10)]
    assert np.diff(temperatures).min() > 0
    assert CosineGate(temperature=0.7).fit(X, R).temperature_ == 0.7
    uniform = CosineGate(alpha=1e6).fit(X, R).predict_proba(X)
    np.testing.assert_allclose(uniform, 1 / 3, atol=0.01)


def test_warm_start(problem):
    X, R = problem
    gate = CosineGate(2, tol=1e-5, warm_start=True).fit(X, R)
    cold, loss = gate.n_iter_, gate.loss_
    assert gate.fit(X, R).n_iter_ < cold / 4
    assert gate.loss_ <= loss + 1e-9
    holes = X.copy()
    holes[3, 1] = np.nan
    for data in ((X[:, :2], R), (X, R[:, [0, 1, 2, 2]] * [1, 1, 0.5, 0.5]), (holes, R)):
        expected = CosineGate(2, tol=1e-5).fit(*data).predict_proba(data[0])
        np.testing.assert_allclose(gate.fit(*data).predict_proba(data[0]), expected, atol=1e-12)


def test_missing_values_are_means_with_an_indicator(problem):
    X, R = problem
    holes = X.copy()
    holes[::4, 1] = np.nan
    filled = np.column_stack([X, np.isnan(holes[:, 1])])
    filled[::4, 1] = np.nanmean(holes[:, 1])
    gate, expected = CosineGate(2, tol=1e-7).fit(holes, R), CosineGate(2, tol=1e-7).fit(filled, R)
    np.testing.assert_array_equal(gate.missing_features_, [1])
    # The standard deviation is over the filled column in both.
    np.testing.assert_allclose(
        gate.predict_proba(holes), expected.predict_proba(filled), atol=1e-6
    )
    later = X.copy()
    later[5, 0] = np.nan  # was never missing in training: its mean
    at_mean = X.copy()
    at_mean[5, 0] = gate.feature_means_[0]
    np.testing.assert_allclose(gate.predict_proba(later), gate.predict_proba(at_mean))


def test_it_says_when_it_has_not_converged(problem):
    with pytest.warns(ConvergenceWarning, match="2 iterations"):
        CosineGate(max_iter=2, tol=1e-8).fit(*problem)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        CosineGate().fit(*problem)
