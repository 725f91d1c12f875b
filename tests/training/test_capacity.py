"""Capacity: what it holds, what it costs, and that prediction knows nothing of it."""

import warnings

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.exceptions import ConvergenceWarning
from test_exploration import draw_problem, fitted, mixture

from skmoe import SoftmaxGate
from skmoe._data.folds import Folds
from skmoe._training.capacity import Capacity, capacity_bias


@pytest.fixture(scope="module")
def problem():
    return draw_problem()


def random_posteriors(n_samples=200, n_experts=4, scale=3.0, seed=0):
    rng = np.random.default_rng(seed)
    log_joint = scale * rng.normal(size=(n_samples, n_experts)) + 2 * np.arange(n_experts)
    return log_joint, rng.uniform(0.2, 2.0, n_samples)


def load(log_joint, weights):
    return weights / weights.sum() @ softmax(log_joint, axis=1)


@pytest.mark.parametrize("factor", [1.0, 1.01, 1.5, 3.0])
@pytest.mark.parametrize("scale", [0.1, 3.0, 300.0])
def test_capacity_holds_and_no_bias_is_needless(factor, scale):
    log_joint, weights = random_posteriors(scale=scale)
    cap = factor / 4
    bias = capacity_bias(log_joint, weights, cap)
    used = load(log_joint + bias, weights)
    assert bias.max() == 0
    assert used.max() <= cap * (1 + 1e-4)
    # Only experts at their capacity are held back (complementary slackness).
    np.testing.assert_allclose(used[bias < 0], cap, rtol=1e-4)
    if factor == 3.0:
        assert load(log_joint, weights).max() <= cap or (bias < 0).any()


def test_capacity_loses_least_likelihood():
    """No other responsibilities within the capacity are as close to the posteriors."""
    log_joint, weights = random_posteriors(12, 3, scale=1.0)
    weights = weights / weights.sum()
    posterior = softmax(log_joint, axis=1)
    cap = 1.2 / 3

    def divergence(flat):
        log_r = log_softmax(flat.reshape(12, 3), axis=1)
        return weights @ np.sum(np.exp(log_r) * (log_r - np.log(posterior)), axis=1)

    found = minimize(
        divergence,
        np.zeros(36),
        method="SLSQP",
        constraints={
            "type": "ineq",
            "fun": lambda flat: cap - weights @ softmax(flat.reshape(12, 3), axis=1),
        },
        options={"maxiter": 1000, "ftol": 1e-12},
    )
    ours = log_joint + capacity_bias(log_joint, weights, cap)
    assert divergence(ours.ravel()) == pytest.approx(found.fun, abs=1e-5)
    expected = softmax(found.x.reshape(12, 3), axis=1)
    np.testing.assert_allclose(softmax(ours, axis=1), expected, atol=2e-3)


def test_enough_capacity_changes_nothing(problem):
    log_joint, weights = random_posteriors()
    np.testing.assert_array_equal(capacity_bias(log_joint, weights, 1.0), np.zeros(4))
    X, y = problem
    plain, roomy = fitted(X, y), fitted(X, y, capacity_factor=4.0)
    np.testing.assert_array_equal(plain.predict(X), roomy.predict(X))
    trace = plain.history_["log_likelihood"]
    np.testing.assert_array_equal(trace, roomy.history_["log_likelihood"])


def test_impossible_rows_have_no_bias():
    log_joint, weights = random_posteriors()
    impossible = np.vstack([log_joint, np.full((2, 4), -np.inf)])
    bias = capacity_bias(impossible, np.append(weights, [1.0, 1.0]), 0.3)
    np.testing.assert_array_equal(bias, capacity_bias(log_joint, weights, 0.3))
    np.testing.assert_array_equal(capacity_bias(impossible[-2:], np.ones(2), 0.3), np.zeros(4))


def test_capacity_of_a_fold_knows_nothing_of_the_rows_it_tests():
    log_joint, weights = random_posteriors()
    fold = np.arange(len(weights)) % 2
    splits = [(np.flatnonzero(fold != f), np.flatnonzero(fold == f)) for f in range(2)]
    capacity = Capacity(Folds.of(splits, len(weights)), weights, 1.1)
    log_gate = np.stack([log_joint, log_joint])
    other = np.where(fold[:, np.newaxis] == 0, -(np.arange(4.0) ** 2), 0.0)
    before = capacity.biases(log_gate, np.zeros_like(log_joint))
    after = capacity.biases(log_gate, other)
    np.testing.assert_array_equal(before[0], after[0])
    assert not np.allclose(before[1], after[1])


@pytest.mark.parametrize("e_step", ["insample", "crossfit"])
def test_capacity_in_a_mixture(problem, e_step):
    X, y = problem
    crowded = (X[:, 0] > 0) | (np.arange(len(y)) % 3 == 0)  # some experts would have more rows
    X, y = X[crowded], y[crowded]
    weight = np.random.default_rng(0).uniform(0.5, 2.0, len(y))
    shares, mass = {}, {}
    for factor in (None, 1.0):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            gate = SoftmaxGate("auto")  # bounds with more terms are found less exactly
            model = mixture(e_step=e_step, capacity_factor=factor, gate=gate).fit(X, y, weight)
        shares[factor] = model.history_["expert_mass"]
        mass[factor] = model.utilization_.gate_mass.max()
    assert shares[None][-1].max() > 1.2 / 4
    # The bias of a fold is found on other rows than those that it tests.
    tolerance = 1e-4 if e_step == "insample" else 0.05
    assert shares[1.0].max() <= (1 + tolerance) / 4
    # The gate has learned it, but is not held to it.
    assert 1 / 4 < mass[1.0] < mass[None]


def test_prediction_knows_no_capacity(problem):
    X, y = problem
    model = fitted(X, y, capacity_factor=1.0)
    crowd = X[model.apply(X) == 0][:1].repeat(50, axis=0)
    np.testing.assert_allclose(model.predict(crowd), model.predict(crowd[:1])[0])
    assert np.all(model.apply(crowd) == 0)
    posterior = model.gate_.predict_log_proba(X) + model._likelihood.log_density(
        y, model.predict_experts(X), model._dispersion
    )
    np.testing.assert_allclose(model.responsibilities(X, y), softmax(posterior, axis=1))
