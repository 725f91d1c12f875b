"""SoftmaxGate's balance and z-loss, the penalty that it chooses itself, and old pickles of it."""

import pickle

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import approx_fprime
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression
from test_softmax_gate import make_problem, standardise

from skmoe import MixtureOfExpertsRegressor, SoftmaxGate
from skmoe.gates._features import Scaling
from skmoe.gates._solver import penalty as _penalty
from skmoe.gates._solver.balance import BalancedObjective
from skmoe.gates._solver.designs import DenseDesign, SparseDesign
from skmoe.gates._solver.packed import PackedDesign
from skmoe.gates._solver.penalty import PENALTIES, PROVISIONAL
from skmoe.gates._solver.problem import SoftmaxProblem

LOSSES = [(0.0, 0.0), (0.7, 0.0), (0.0, 0.3), (0.5, 0.2)]


def oracle(coef, Z, R, weights, alpha, balance, z_loss, temperature=1.0):
    """The objective as it is documented; `coef` (K, d + 1) sums to zero, its last column is b."""
    weights = weights / weights.sum()
    logits = (Z @ coef[:, :-1].T + coef[:, -1]) / temperature
    proba = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    cross_entropy = -weights @ np.sum(R * np.log(proba), axis=1)
    load = weights @ proba
    log_partition = np.log(np.exp(logits).sum(axis=1))
    return (
        cross_entropy
        + alpha / 2 * np.sum(coef[:, :-1] ** 2)
        + balance * len(load) * np.sum(load**2)
        + z_loss * weights @ log_partition**2
    )


@pytest.fixture(scope="module")
def problem():
    X, R = make_problem(120, 3, n_experts=4)
    return X, R, np.random.default_rng(1).uniform(0.1, 2.0, len(X))


@pytest.mark.parametrize("kind", [DenseDesign, SparseDesign])
@pytest.mark.parametrize(("balance", "z_loss"), LOSSES)
def test_value_and_gradient(problem, kind, balance, z_loss):
    X, R, weights = problem
    Z, *_ = standardise(X, weights)
    matrix = sparse.csr_matrix(X) if kind is SparseDesign else X
    design = kind(matrix, Scaling.of(matrix, weights))
    objective = BalancedObjective(design, R, weights, 0.1, balance, z_loss)
    flat = np.random.default_rng(2).normal(size=16)
    centred = flat.reshape(4, 4) - flat.reshape(4, 4).mean(axis=0)
    expected = oracle(centred, Z, R, weights, 0.1, balance, z_loss)
    value, gradient = objective(flat)
    assert value == pytest.approx(expected, rel=1e-10)
    numerical = approx_fprime(flat, lambda point: objective(point)[0], 1e-7)
    np.testing.assert_allclose(gradient, numerical, atol=2e-6)
    # What moves all experts alike changes nothing, and the gradient never points there.
    shifted = objective(flat + np.tile([1.0, -2.0, 3.0, 4.0], 4))[0]
    assert shifted == pytest.approx(value, rel=1e-10)
    np.testing.assert_allclose(gradient.reshape(4, 4).sum(axis=0), 0, atol=1e-12)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
@pytest.mark.parametrize(("balance", "z_loss"), LOSSES[1:])
def test_the_gate_is_at_a_minimum(problem, balance, z_loss, temperature):
    X, R, weights = problem
    gate = SoftmaxGate(0.1, temperature=temperature, balance=balance, z_loss=z_loss, tol=1e-8)
    gate.fit(X, R, weights)
    np.testing.assert_allclose(gate.coef_.sum(axis=0), 0, atol=1e-12)
    Z, mean, spread = standardise(X, weights)
    coef = np.column_stack([gate.coef_ * spread, gate.intercept_ + gate.coef_ @ mean])

    def value(flat):
        centred = flat.reshape(4, 4) - flat.reshape(4, 4).mean(axis=0)
        return oracle(centred, Z, R, weights, 0.1, balance, z_loss, temperature)

    np.testing.assert_allclose(approx_fprime(coef.ravel(), value, 1e-6), 0, atol=1e-5)
    for step in 0.01 * np.random.default_rng(0).normal(size=(20, 16)):
        assert value(coef.ravel()) < value(coef.ravel() + step)


def test_the_losses_of_nothing_are_the_plain_gate(problem):
    X, R, weights = problem
    plain = SoftmaxGate(0.01, tol=1e-9).fit(X, R, weights)
    nearly = SoftmaxGate(0.01, balance=1e-12, z_loss=1e-12, tol=1e-9).fit(X, R, weights)
    np.testing.assert_allclose(nearly.coef_, plain.coef_, atol=1e-6)
    # Without them nothing but the fast solver runs.
    for gate, kind in [(plain, PackedDesign), (nearly, DenseDesign)]:
        features, settings = gate.prepare(X, weights), gate.solver_settings()
        assert type(SoftmaxProblem.of(features, settings, 4).design) is kind


def test_balance_evens_the_load():
    X, R = make_problem(300, 3, n_experts=3)
    R = R * [8.0, 2.0, 1.0]
    R /= R.sum(axis=1, keepdims=True)
    spread = [
        np.std(SoftmaxGate(balance=balance).fit(X, R).predict_proba(X).mean(axis=0))
        for balance in (0.0, 0.1, 1.0, 10.0, 1000.0)
    ]
    assert np.all(np.diff(spread) < 0)
    assert spread[-1] < 1e-3 < spread[0]
    loss = 3 * np.sum(np.square(SoftmaxGate(balance=1000.0).fit(X, R).predict_proba(X).mean(0)))
    assert loss == pytest.approx(1.0, abs=1e-5)  # where it is least


def test_z_loss_is_convex_and_lowers_the_log_partition(problem):
    X, R, weights = problem
    Z, *_ = standardise(X, weights)
    rng = np.random.default_rng(0)
    zeros = np.zeros_like(R)

    def z_loss(coef):  # targets of zero leave no cross-entropy
        coef = coef - coef.mean(axis=0)
        return oracle(coef, Z, zeros, weights, 0.0, 0.0, 1.0)

    for _ in range(200):
        ends = rng.normal(scale=3, size=(2, 4, 4))
        assert z_loss(ends.mean(axis=0)) <= (z_loss(ends[0]) + z_loss(ends[1])) / 2
    partitions = []
    for strength in (0.0, 0.1, 1.0, 1000.0):
        log_proba = SoftmaxGate(z_loss=strength).fit(X, R, weights).predict_log_proba(X)
        # Of logits that sum to zero, the log-partition is minus the mean log-probability.
        partitions.append(-log_proba.mean())
    assert np.all(np.diff(partitions) < 0)
    assert partitions[-1] == pytest.approx(np.log(4), abs=1e-4)


def test_sparse_missing_and_weights_with_losses(problem):
    X, R, weights = problem
    gate = SoftmaxGate(balance=0.5, z_loss=0.1, tol=1e-8)
    expected = gate.fit(X, R, weights).predict_proba(X)
    sparse_gate = clone(gate).fit(sparse.csr_matrix(X), R, weights)
    np.testing.assert_allclose(sparse_gate.predict_proba(X), expected, atol=1e-5)
    counts = np.random.default_rng(0).integers(0, 3, len(X))
    weighted = clone(gate).fit(X, R, counts).predict_proba(X)
    repeated = clone(gate).fit(np.repeat(X, counts, 0), np.repeat(R, counts, 0)).predict_proba(X)
    np.testing.assert_allclose(weighted, repeated, atol=1e-5)
    holes = X.copy()
    holes[::7, 1] = np.nan
    assert np.isfinite(clone(gate).fit(holes, R).predict_log_proba(holes)).all()
    again = clone(gate).set_params(warm_start=True).fit(X, R, weights)
    assert again.fit(X, R, weights).n_iter_ <= 2


def test_too_few_steps_are_warned_of(problem):
    X, R, _ = problem
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        SoftmaxGate(0.0, balance=1.0, max_iter=1, tol=1e-12).fit(X, R)


@pytest.mark.parametrize("parameter", ["balance", "z_loss", "jitter", "alpha"])
@pytest.mark.parametrize("value", [-0.1, "much"])
def test_invalid_parameters(problem, parameter, value):
    with pytest.raises(ValueError, match=parameter):
        SoftmaxGate(**{parameter: value}).fit(*problem[:2])


@pytest.mark.parametrize("e_step", ["insample", "crossfit"])
@pytest.mark.parametrize("parameter", ["balance", "z_loss", "jitter", "alpha"])
def test_invalid_parameters_in_a_mixture(problem, parameter, e_step):
    X = problem[0]
    gate = SoftmaxGate(**{parameter: -1.0})
    with pytest.raises(ValueError, match=f"'{parameter}' parameter of SoftmaxGate"):
        MixtureOfExpertsRegressor(gate=gate, e_step=e_step).fit(X, X[:, 0])


def test_jitter_is_no_part_of_fit_or_prediction(problem):
    X, R, weights = problem
    plain, noisy = (SoftmaxGate(jitter=jitter).fit(X, R, weights) for jitter in (0.0, 10.0))
    np.testing.assert_array_equal(plain.predict_log_proba(X), noisy.predict_log_proba(X))


# The penalty


@pytest.mark.parametrize(("n_samples", "sharpness"), [(40, 0.05), (60, 1.0), (2000, 3.0)])
def test_auto_takes_the_least_held_out_cross_entropy(n_samples, sharpness):
    X, R = make_problem(n_samples, 6, n_experts=3, sharpness=sharpness)
    weights = np.random.default_rng(0).uniform(0.5, 2.0, n_samples)
    weights[::10] = 0.0
    gate = SoftmaxGate("auto").fit(X, R, weights)

    kept = weights > 0
    Z, R, weights = standardise(X, weights)[0][kept], R[kept], weights[kept]
    fold = np.random.RandomState(0).permutation(len(Z)) % 5
    losses = []
    for alpha in PENALTIES:
        loss = 0.0
        for own in range(5):
            held_out = fold == own
            fitted = SoftmaxGate(alpha).fit(Z[~held_out], R[~held_out], weights[~held_out])
            log_proba = fitted.predict_log_proba(Z[held_out])
            loss -= weights[held_out] @ np.sum(R[held_out] * log_proba, axis=1)
        losses.append(loss / weights.sum())
    # The oracle standardises within folds, which makes near ties uncertain.
    assert losses[PENALTIES.index(gate.alpha_)] < min(losses) + 1e-3
    assert max(losses) > min(losses) + 1e-2
    plain = SoftmaxGate(gate.alpha_).fit(X[kept], R, weights)
    np.testing.assert_allclose(gate.predict_proba(X), plain.predict_proba(X), atol=1e-5)


def test_noise_is_penalised_more_than_signal():
    noise, signal = (make_problem(60, 8, sharpness=sharpness) for sharpness in (0.0, 3.0))
    assert SoftmaxGate("auto").fit(*noise).alpha_ > SoftmaxGate("auto").fit(*signal).alpha_
    assert SoftmaxGate(0.5).fit(*noise).alpha_ == 0.5
    assert SoftmaxGate("auto").fit(noise[0][:3], noise[1][:3]).alpha_ == PROVISIONAL
    assert SoftmaxGate("auto").fit(noise[0], np.ones((60, 1))).alpha_ == PROVISIONAL


def count_choices(monkeypatch):
    calls = []
    choose = _penalty.choose_penalty

    def counted(*args):
        calls.append(choose(*args))
        return calls[-1]

    monkeypatch.setattr("skmoe.gates._solver.problem.choose_penalty", counted)
    return calls


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_mixture_chooses_by_its_own_likelihood(monkeypatch):
    calls = count_choices(monkeypatch)
    X, _ = make_problem(300, 3)
    y = np.where(X[:, 0] > X[:, 0].mean(), X[:, 1], -X[:, 1])
    settings = dict(n_experts=2, overlap=0.0, random_state=0, cv=3, shared_expert=None)
    auto, *fixed = (
        MixtureOfExpertsRegressor(LinearRegression(), gate=SoftmaxGate(alpha), **settings)
        for alpha in ("auto", 1.0, 1e-3)
    )
    auto.fit(X, y)
    assert not calls  # the gate alone was not asked
    assert auto.gate_.alpha in PENALTIES
    assert auto.gate_.alpha < 1e-3  # the regimes have a sharp border
    for model in fixed:
        assert auto.log_likelihood_ > model.fit(X, y).log_likelihood_
    assert clone(auto).set_params(e_step="insample").fit(X, y).gate_.alpha == 1e-3


# Persistence


def test_parameters_survive(problem):
    X, R, _ = problem
    gate = SoftmaxGate("auto", balance=0.1, z_loss=0.2, jitter=0.3)
    assert clone(gate).get_params() == gate.get_params()
    revived = pickle.loads(pickle.dumps(gate.fit(X, R)))
    assert revived.get_params() == gate.get_params()
    assert revived.alpha_ == gate.alpha_
    np.testing.assert_array_equal(revived.predict_proba(X), gate.predict_proba(X))


def test_a_gate_from_before_these_parameters(problem):
    X, R, _ = problem
    state = SoftmaxGate(0.25).fit(X, R).__getstate__()
    for name in ("balance", "z_loss", "jitter", "alpha_"):
        del state[name]
    revived = SoftmaxGate.__new__(SoftmaxGate)
    revived.__setstate__(state)
    assert revived.get_params() == SoftmaxGate(0.25).get_params()
    assert revived.alpha_ == 0.25
    assert "SoftmaxGate" in repr(clone(revived))
