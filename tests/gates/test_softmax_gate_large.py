"""The softmax gate where its curvature is estimated on few rows and its kernels are compiled."""

import sys
import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from skmoe._data.folds import Folds
from skmoe._training.gate import gate_trainer
from skmoe.gates import SoftmaxGate
from skmoe.gates._solver.curvature import MIN_ROWS, row_limit, sample_rows
from skmoe.gates._solver.designs import SparseDesign
from skmoe.gates._solver.packed import PackedDesign
from skmoe.gates._solver.reduced import ReducedDesign

N_SAMPLES = 12_000


def make_problem(n_features=6, n_experts=4, sharpness=1.0):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_SAMPLES, n_features)) @ rng.normal(size=(n_features, n_features))
    logits = sharpness * X @ rng.normal(size=(n_features, n_experts))
    logits += rng.gumbel(size=logits.shape)
    proba = np.exp(2 * (logits - logits.max(axis=1, keepdims=True)))
    return X, proba / proba.sum(axis=1, keepdims=True)


def hard(R):
    return np.eye(R.shape[1])[R.argmax(axis=1)]


def relative_gradient(gate, X, R, weights):
    """Gradient norm in standardised features relative to that at zero, by plain NumPy."""
    weights = weights / weights.sum()
    mean = weights @ X
    Z = X - mean
    spread = np.sqrt(weights @ Z**2)
    spread[spread <= 1e-12 * np.abs(mean)] = np.inf
    Z = np.column_stack([Z / spread, np.ones(len(X))])
    coef = np.column_stack([gate.coef_, gate.intercept_ + gate.coef_ @ mean])
    coef[:, :-1] *= np.where(np.isinf(spread), 0, spread)

    def norm(coef):
        logits = Z @ coef.T
        proba = np.exp(logits - logits.max(axis=1, keepdims=True))
        proba /= proba.sum(axis=1, keepdims=True)
        gradient = ((proba - R) * weights[:, None]).T @ Z
        gradient[:, :-1] += gate.alpha * coef[:, :-1]
        return np.linalg.norm(gradient)

    return norm(coef) / norm(np.zeros_like(coef))


def problems():
    rng = np.random.default_rng(1)
    X, R = make_problem()
    ones = np.ones(N_SAMPLES)
    yield "plain", X, R, ones
    yield "two experts", *make_problem(n_experts=2), ones
    yield "hard targets", X, hard(R), ones
    yield "sharp", *make_problem(sharpness=30.0), ones
    yield "separable", X, hard(X @ rng.normal(size=(6, 4))), ones
    yield "collinear", np.column_stack([X, X[:, 0] - X[:, 1]]), R, ones
    nearly = X[:, 0] + 1e-5 * rng.normal(size=N_SAMPLES)
    yield "nearly collinear", np.column_stack([X, nearly]), R, ones
    yield "large means and scales", 1e4 + X * [1e-3, 1, 1e3, 10, 1e-2, 1e2], R, ones
    yield "heavy tails", np.sign(X) * np.abs(X) ** 3, R, ones
    yield "dead expert", X, np.insert(R, 1, 0.0, axis=1), ones
    yield "few heavy rows", X, R, np.exp(3 * rng.normal(size=N_SAMPLES))
    yield "sorted", X[np.argsort(X[:, 0])], R[np.argsort(X[:, 0])], ones
    rare = np.zeros((N_SAMPLES, 3))
    rare[[5, 700, 9000], [0, 1, 1]] = 1.0
    yield "rare and constant columns", np.column_stack([X, rare]), R, ones


@pytest.mark.parametrize("alpha", [0.0, 1e-3])
@pytest.mark.parametrize(
    ("X", "R", "weights"), [pytest.param(*rest, id=name) for name, *rest in problems()]
)
def test_difficult_problems(X, R, weights, alpha):
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        gate = SoftmaxGate(alpha, tol=1e-7).fit(X, R, weights)
    assert np.isfinite(gate.coef_).all() and np.isfinite(gate.predict_log_proba(X)).all()
    assert relative_gradient(gate, X, R, weights) <= 1.01e-7 + 1e-8 * (X.mean() > 1e3)


def test_same_optimum_as_scikit_learn():
    X, R = make_problem()
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    gate = SoftmaxGate(1e-2, tol=1e-10).fit(X, R)
    rows, labels = np.repeat(X, 4, axis=0), np.tile(np.arange(4), N_SAMPLES)
    peer = LogisticRegression(C=1 / (1e-2 * N_SAMPLES), tol=1e-9, max_iter=10_000)
    peer.fit(rows, labels, R.ravel())
    np.testing.assert_allclose(gate.coef_, peer.coef_, atol=1e-6)

    def objective(model):
        logits = X @ model.coef_.T + model.intercept_
        log_proba = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        return -np.mean(np.sum(R * log_proba, axis=1)) + 0.5e-2 * np.sum(model.coef_**2)

    assert objective(gate) == pytest.approx(objective(peer), abs=1e-10)


def test_designs_agree():
    X, R = make_problem()
    X, R = X[:300], R[:300]
    wide = np.column_stack([X, np.random.default_rng(2).normal(size=(300, 600))])
    gates = {}
    for kind, data in [(ReducedDesign, wide), (ReducedDesign, sparse.csr_matrix(wide)),
                       (PackedDesign, X), (SparseDesign, sparse.csr_matrix(X))]:  # fmt: skip
        gate = SoftmaxGate(1e-2, tol=1e-10)
        assert type(gate.prepare(data, np.ones(300)).solver_design(1, 4)) is kind
        gates[kind, sparse.issparse(data)] = gate.fit(data, R)
    for kinds in [((ReducedDesign, False), (ReducedDesign, True)),
                  ((PackedDesign, False), (SparseDesign, True))]:  # fmt: skip
        first, second = (gates[kind] for kind in kinds)
        np.testing.assert_allclose(first.coef_, second.coef_, atol=1e-8)


@pytest.mark.parametrize("correlated", [1, 1000])
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix])
def test_same_optimum_without_a_hessian(kind, correlated, monkeypatch):
    """Where there are too many coefficients for one; with and without their correlations."""
    X, R = make_problem()
    X, R = X[:300], R[:300]
    wide = np.column_stack([X, np.random.default_rng(2).normal(size=(300, 600))])
    expected = [SoftmaxGate(1e-2, tol=1e-10).fit(data, R).coef_ for data in (X, wide)]
    monkeypatch.setattr("skmoe.gates._solver.prepared.LARGEST_HESSIAN", 0)
    monkeypatch.setattr("skmoe.gates._solver.objectives.LARGEST_HESSIAN", 0)
    monkeypatch.setattr("skmoe.gates._solver.curvature.MOST_CORRELATED_COLUMNS", correlated)
    for data, coef in zip((X, wide), expected, strict=True):
        gate = SoftmaxGate(1e-2, tol=1e-10).fit(kind(data), R)
        np.testing.assert_allclose(gate.coef_, coef, atol=1e-8)


def test_drawn_rows():
    weights = np.random.default_rng(3).exponential(size=N_SAMPLES)
    weights[::2] = 0.0
    weights /= weights.sum()
    rows, row_weights = sample_rows(weights, MIN_ROWS)
    assert len(rows) == MIN_ROWS and row_weights.sum() == pytest.approx(1)
    assert (weights[rows] > 0).all()
    x = np.sin(np.arange(N_SAMPLES))
    assert row_weights @ x[rows] == pytest.approx(weights @ x, abs=0.02)
    rows, row_weights = sample_rows(weights, N_SAMPLES)
    np.testing.assert_array_equal(rows, np.flatnonzero(weights))
    np.testing.assert_array_equal(row_weights, weights[rows])


# Inside EM


@pytest.mark.parametrize("n_samples", [300, N_SAMPLES])
def test_one_step_raises_the_expected_log_likelihood(n_samples):
    X, R = make_problem()
    X, R = X[:n_samples], R[:n_samples]
    everything = np.arange(n_samples)
    views = everything, np.flatnonzero(everything % 3)
    folds = Folds.of([(rows, np.setdiff1d(everything, rows)) for rows in views], n_samples)
    judge = gate_trainer(SoftmaxGate(), X, folds, accuracy=1e9)
    weights = np.random.default_rng(4).uniform(size=n_samples)
    judged = None
    for power in (0.7, 1.0, 1.5, 1.5, 1.5, 1.5):
        sharper = R**power / (R**power).sum(axis=1, keepdims=True)
        before = judged
        judged = judge.fit_held_out(np.stack([sharper, sharper]), weights, before)
        for view, rows in enumerate(views):
            if before is not None:
                assert judged.fitted[view].n_iter == 1
                now, then = (
                    np.sum(weights[rows, None] * sharper[rows] * record.log_proba[view][rows])
                    for record in (judged, before)
                )
                penalties = [
                    np.sum(record.fitted[view].coef[:, :-1] ** 2) for record in (judged, before)
                ]
                gain = (now - then) / weights[rows].sum()
                assert gain - 0.5e-3 * (penalties[0] - penalties[1]) >= 0
    # Steps on the same problem end at its optimum.
    for _ in range(20):
        judged = judge.fit_held_out(np.stack([sharper, sharper]), weights, judged)
    exact = SoftmaxGate(tol=1e-9).fit(X, sharper, weights)
    np.testing.assert_allclose(np.exp(judged.log_proba[0]), exact.predict_proba(X), atol=1e-5)


def test_accuracy_zero_solves_to_the_tolerance_of_the_gate():
    X, R = make_problem()
    rows = np.arange(N_SAMPLES) < 9000
    folds = Folds.of([(np.flatnonzero(rows), np.flatnonzero(~rows))], N_SAMPLES)
    judge = gate_trainer(SoftmaxGate(tol=1e-9), X, folds)
    judged = judge.fit_held_out(hard(R)[None], np.ones(N_SAMPLES))
    judged = judge.fit_held_out(R[None], np.ones(N_SAMPLES), judged)
    # The standardisation is that of all rows, which changes the penalty a little.
    alone = SoftmaxGate(tol=1e-9).fit(X[rows], R[rows])
    np.testing.assert_allclose(np.exp(judged.log_proba[0]), alone.predict_proba(X), atol=1e-3)
    whole = gate_trainer(SoftmaxGate(tol=1e-9), X, Folds.in_sample(N_SAMPLES))
    judged = whole.fit_held_out(R[None], np.ones(N_SAMPLES))
    expected = SoftmaxGate(tol=1e-9).fit(X, R).predict_log_proba(X)
    np.testing.assert_allclose(judged.log_proba[0], expected, atol=1e-7)


def test_responsibilities_that_are_not_numbers_are_named():
    X, R = make_problem()
    R[7, 2] = np.nan
    with pytest.raises(ValueError, match="finite; row 7"):
        gate_trainer(SoftmaxGate(), X, Folds.in_sample(N_SAMPLES)).fit_held_out(
            R[None], np.ones(N_SAMPLES)
        )


def test_large_problems_are_compiled():
    X, R = make_problem()
    design = SoftmaxGate().prepare(X, np.ones(N_SAMPLES)).solver_design(1, 4)
    assert design.arithmetic is sys.modules["skmoe._arithmetic.compiled"]
    assert row_limit(3 * design.n_columns) < N_SAMPLES
