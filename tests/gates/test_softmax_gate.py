"""The softmax gate: its optimum, its invariances and its warm start."""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from skmoe.gates import SoftmaxGate
from skmoe.gates._features import Scaling
from skmoe.gates._solver.curvature import cross_entropy_hessian
from skmoe.gates._solver.designs import SparseDesign
from skmoe.gates._solver.objectives import CrossEntropy
from skmoe.gates._solver.packed import PackedDesign
from skmoe.gates._solver.quasi_newton import Stopping, find_minimum

REFERENCE = Path(__file__).parents[2].parent / "shared" / "reference"


def make_problem(n_samples=200, n_features=4, n_experts=3, seed=0, sharpness=1.0):
    """Features and soft targets that follow a softmax of them with noise."""
    rng = np.random.default_rng(seed)
    X = rng.normal(2.0, 3.0, (n_samples, n_features))
    coef = rng.normal(size=(n_features, n_experts)) * sharpness / 3.0
    logits = (X - 2.0) @ coef + rng.gumbel(size=(n_samples, n_experts))
    proba = np.exp(2.0 * (logits - logits.max(axis=1, keepdims=True)))
    return X, proba / proba.sum(axis=1, keepdims=True)


def hard(R):
    return np.eye(R.shape[1])[R.argmax(axis=1)]


def standardise(X, weights):
    """Oracle of the features: weighted z-scores and an indicator of missing values."""
    X = np.asarray(X, dtype=np.float64)
    missing = np.isnan(X)
    columns = np.hstack([X, missing[:, missing.any(axis=0)]])
    observed = np.where(np.isnan(columns), 0.0, weights[:, None])
    mean = np.nansum(columns * observed, axis=0) / observed.sum(axis=0)
    spread = np.sqrt(np.nansum(observed * (columns - mean) ** 2, axis=0) / observed.sum(axis=0))
    spread[spread < 1e-12 * np.abs(mean)] = 1.0
    spread[spread == 0] = 1.0
    return np.nan_to_num((columns - mean) / spread), mean, spread


def relative_gradient(gate, X, R, weights=None):
    """Gradient norm at the gate's coefficients relative to that at zero, by plain NumPy."""
    R = np.asarray(R)
    weights = np.ones(len(R)) if weights is None else np.asarray(weights, dtype=np.float64)
    Z, mean, spread = standardise(X, weights)
    coef = np.hstack([gate.coef_, gate.missing_coef_])
    intercept = gate.intercept_ + coef @ mean
    coef = coef * spread

    def norm(coef, intercept):
        logits = (Z @ coef.T + intercept) / gate.temperature
        proba = np.exp(logits - logits.max(axis=1, keepdims=True))
        proba /= proba.sum(axis=1, keepdims=True)
        residual = (proba - R) * (weights / weights.sum())[:, None] / gate.temperature
        along_coef = residual.T @ Z + gate.alpha * coef
        return np.sqrt((along_coef**2).sum() + (residual.sum(axis=0) ** 2).sum())

    return norm(coef, intercept) / norm(np.zeros_like(coef), np.zeros_like(intercept))


def assert_same_gate(first, second, X, tolerance=1e-7):
    np.testing.assert_allclose(
        first.predict_proba(X), second.predict_proba(X), rtol=0, atol=tolerance
    )


# Optimum


@pytest.mark.parametrize("tol", [1e-4, 1e-6, 1e-9])
@pytest.mark.parametrize("alpha", [0.0, 1e-3, 0.3])
@pytest.mark.parametrize("n_experts", [2, 3, 8])
def test_gradient_is_as_small_as_asked(tol, alpha, n_experts):
    X, R = make_problem(n_experts=n_experts)
    weights = np.random.default_rng(1).uniform(size=len(X))
    gate = SoftmaxGate(alpha, tol=tol).fit(X, R, weights)
    assert relative_gradient(gate, X, R, weights) <= 1.01 * tol
    np.testing.assert_allclose(gate.coef_.sum(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(gate.intercept_.sum(), 0, atol=1e-12)


@pytest.mark.parametrize("temperature", [0.1, 0.7, 3.0])
def test_temperature(temperature):
    X, R = make_problem()
    gate = SoftmaxGate(1e-2, temperature=temperature, tol=1e-9).fit(X, R)
    assert relative_gradient(gate, X, R) <= 1.01e-9
    logits = (X @ gate.coef_.T + gate.intercept_) / temperature
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(gate.predict_proba(X), expected, rtol=1e-10)


@pytest.mark.parametrize("kind", [PackedDesign, SparseDesign])
def test_finite_differences(kind):
    X, R = make_problem(n_samples=12, n_experts=4)
    rng = np.random.default_rng(2)
    weights = rng.dirichlet(np.ones(12))
    columns = sparse.csr_matrix(X) if kind is SparseDesign else X
    design = kind(columns, Scaling.of(columns, weights))
    penalty = np.array([0.1, 0.2, 0.3, 0.4, 0.0])
    objective = CrossEntropy(design, R, weights, penalty)
    coef, direction = rng.normal(size=(2, 3, 5))
    gradient = objective.at(coef).gradient
    for index in np.ndindex(*coef.shape):
        change = np.zeros_like(coef)
        change[index] = 1e-5
        difference = (objective.at(coef + change).value - objective.at(coef - change).value) / 2e-5
        assert gradient[index] == pytest.approx(difference, abs=1e-9)
    change = 1e-5 * direction
    above, below = objective.at(coef + change).gradient, objective.at(coef - change).gradient
    hessian = cross_entropy_hessian(design.rows(np.arange(12)), weights, coef)
    product = np.tensordot(hessian, direction) + objective.coupling @ direction * penalty
    np.testing.assert_allclose(product, (above - below) / 2e-5, atol=1e-8)
    curvature = objective.curvature(coef, 12)
    assert curvature.exact
    np.testing.assert_allclose(curvature.solve(product), direction, rtol=1e-6)


@pytest.mark.parametrize("n_experts", [2, 3])
def test_logistic_regression_on_hard_targets(n_experts):
    X, R = make_problem(n_experts=n_experts)
    labels, alpha = R.argmax(axis=1), 0.01
    # With two classes sklearn penalises the difference of the two experts' coefficients, whose
    # square is twice the sum of squares of the two.
    strength = alpha * len(X) if n_experts > 2 else alpha * len(X) / 2
    scaler = StandardScaler().fit(X)
    logistic = LogisticRegression(C=1 / strength, tol=1e-10, max_iter=10_000)
    logistic.fit(scaler.transform(X), labels)
    gate = SoftmaxGate(alpha, tol=1e-9).fit(X, hard(R))
    expected = logistic.predict_proba(scaler.transform(X))
    np.testing.assert_allclose(gate.predict_proba(X), expected, atol=1e-6)
    if n_experts > 2:
        np.testing.assert_allclose(gate.coef_ * scaler.scale_, logistic.coef_, atol=1e-6)
    np.testing.assert_array_equal(gate.predict(X), logistic.predict(scaler.transform(X)))


def reference_cases(decays=None):
    if not REFERENCE.is_dir():
        reason = "the reference results from R are not beside the repository"
        return [pytest.param(None, None, marks=pytest.mark.skip(reason=reason))]
    cases = []
    for path in sorted(REFERENCE.glob("gate_*.json")):
        for fit in json.loads(path.read_text())["fits"]:
            if decays is None or fit["decay"] in decays:
                cases.append(pytest.param(path, fit, id=f"{path.stem}-decay{fit['decay']}"))
    return cases


def read_reference(path):
    case = json.loads(path.read_text())
    table = pd.read_csv(path.with_suffix(".csv"))
    weight = case["weight_column"]
    weights = np.ones(len(table)) if weight is None else table[weight].to_numpy()
    return table[case["features"]].to_numpy(), table[case["targets"]].to_numpy(), weights


def reference_coef(fit):
    """Coefficients of a fit by R, intercepts last, as (n_experts, n_features + 1)."""
    rows = np.array([list(coef.values()) for coef in fit["coef"].values()])
    return np.roll(rows, -1, axis=1)


@pytest.mark.parametrize(("path", "fit"), reference_cases())
def test_solver_against_multinom(path, fit):
    """The solver with the penalty of R: reference class, raw columns, intercepts included."""
    X, R, weights = read_reference(path)
    unscaled = Scaling(np.zeros(X.shape[1]), np.ones(X.shape[1]))
    penalty = np.full(X.shape[1] + 1, 2 * fit["decay"] / weights.sum())
    # The reference class of R is the first, that of the solver the last.
    targets = np.roll(R, -1, axis=1)
    objective = CrossEntropy(PackedDesign(X, unscaled), targets, weights / weights.sum(), penalty)
    objective.coupling = np.eye(R.shape[1] - 1)  # R penalises differences from that class
    solution = find_minimum(objective, Stopping(tol=1e-10))
    assert solution.converged
    np.testing.assert_allclose(solution.coef, reference_coef(fit)[1:], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("path", "fit"), reference_cases(decays=[0]))
def test_gate_against_multinom(path, fit):
    """The gate itself, without penalty.

    With decay, R penalises the intercepts too and differences from the first expert, so that
    its optimum is not the gate's; `test_solver_against_multinom` covers it.
    """
    X, R, weights = read_reference(path)
    gate = SoftmaxGate(alpha=0, tol=1e-10).fit(X, R, weights)
    coef = np.column_stack([gate.coef_, gate.intercept_])
    np.testing.assert_allclose(coef - coef[0], reference_coef(fit), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(gate.predict_proba(X[:5]), fit["fitted_first_5_rows"], atol=1e-7)


# Difficult problems


def difficult_problems():
    rng = np.random.default_rng(5)
    X, R = make_problem()
    yield "separable", X, hard(make_problem(sharpness=1e3)[1])
    yield "collinear", np.c_[X, X[:, 0] + X[:, 1], X[:, 0]], R
    yield "nearly collinear", np.c_[X, X[:, 0] + 1e-5 * rng.normal(size=len(X))], R
    yield "large means and scales", 1e4 + X * [1e-3, 1.0, 1e3, 1e2], R
    yield "constant columns", np.c_[X, np.full(len(X), 0.1), np.zeros(len(X))], R
    yield "wide", rng.normal(size=(40, 120)), R[:40]
    yield "wide, hard targets", rng.normal(size=(40, 120)), hard(R)[:40]
    yield "heavy tails", np.exp(3 * X), R
    yield "dead expert", X, np.insert(R, 1, 0.0, axis=1)
    yield "one expert takes all", X, np.eye(3)[np.ones(len(X), dtype=int)]
    yield "uniform targets", X, np.full_like(R, 1 / 3)
    yield "many experts", *make_problem(n_samples=400, n_experts=64)
    yield "one row", X[:1], R[:1]
    yield "rare indicator", np.c_[X, np.eye(len(X))[:, :5]], hard(R)
    missing = X.copy()
    missing[rng.uniform(size=X.shape) < 0.2] = np.nan
    missing[:, 3] = X[:, 3]
    yield "missing values", missing, R


@pytest.mark.parametrize("alpha", [0.0, 1e-3])
@pytest.mark.parametrize(
    ("X", "R"), [pytest.param(X, R, id=name) for name, X, R in difficult_problems()]
)
def test_difficult_problems(X, R, alpha):
    tol = 1e-9
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        gate = SoftmaxGate(alpha, tol=tol).fit(X, R)
    for name in ("coef_", "intercept_", "missing_coef_"):
        assert np.isfinite(getattr(gate, name)).all()
    assert np.isfinite(gate.predict_log_proba(X)).all()
    if np.ptp(R) > 1e-12:  # the gradient at zero is rounding if the targets are uniform
        # With means of 1e7 scales, coefficients in the units of X carry that much rounding.
        assert relative_gradient(gate, X, R) <= 1.01 * tol + 1e-8 * (np.nanmean(X) > 1e3)


def test_single_expert():
    X, _ = make_problem()
    gate = SoftmaxGate().fit(X, np.ones((len(X), 1)))
    assert gate.n_experts_ == 1 and gate.n_iter_ == 0
    np.testing.assert_array_equal(gate.coef_, np.zeros((1, 4)))
    np.testing.assert_array_equal(gate.predict_proba(X), np.ones((len(X), 1)))
    np.testing.assert_array_equal(gate.predict(X), np.zeros(len(X)))


def test_constant_columns_have_coefficient_zero():
    X, R = make_problem()
    gate = SoftmaxGate(alpha=0, tol=1e-10).fit(np.c_[X, np.full(len(X), 0.1)], R)
    np.testing.assert_array_equal(gate.coef_[:, -1], 0)
    without = SoftmaxGate(alpha=0, tol=1e-10).fit(X, R)
    np.testing.assert_allclose(gate.coef_[:, :-1], without.coef_, rtol=1e-6)


def test_convergence_warning():
    X, R = make_problem()
    with pytest.warns(ConvergenceWarning, match="did not converge in max_iter=1 iterations"):
        gate = SoftmaxGate(max_iter=1).fit(X, R)
    assert gate.n_iter_ == 1


# Invariances


@pytest.fixture(scope="module")
def problem():
    return make_problem()


@pytest.fixture(scope="module")
def fitted(problem):
    return SoftmaxGate(tol=1e-10).fit(*problem)


def test_integer_weights_repeat_rows(problem):
    X, R = problem
    counts = np.random.default_rng(6).integers(0, 4, len(X))
    weighted = SoftmaxGate(tol=1e-10).fit(X, R, counts)
    repeated = SoftmaxGate(tol=1e-10).fit(np.repeat(X, counts, 0), np.repeat(R, counts, 0))
    assert_same_gate(weighted, repeated, X)
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, atol=1e-8)


def test_weight_zero_is_absence(problem):
    X, R = problem
    weights = np.random.default_rng(7).uniform(0.5, 2, len(X))
    extended = np.vstack([X, [[1e9, np.nan, -1e9, 3.0]]])
    absent = SoftmaxGate(tol=1e-10).fit(extended, np.vstack([R, R[:1]]), np.r_[weights, 0.0])
    gate = SoftmaxGate(tol=1e-10).fit(X, R, weights)
    np.testing.assert_array_equal(absent.coef_, gate.coef_)
    np.testing.assert_array_equal(absent.intercept_, gate.intercept_)
    assert len(absent.missing_features_) == 0


def test_scale_of_weights_is_irrelevant(problem, fitted):
    X, R = problem
    for scale in (1e-12, 1e12):
        gate = SoftmaxGate(tol=1e-10).fit(X, R, np.full(len(X), scale))
        np.testing.assert_allclose(gate.coef_, fitted.coef_, atol=1e-9)


def test_order_of_rows_is_irrelevant(problem, fitted):
    X, R = problem
    order = np.random.default_rng(8).permutation(len(X))
    gate = SoftmaxGate(tol=1e-10).fit(X[order], R[order])
    np.testing.assert_allclose(gate.coef_, fitted.coef_, atol=1e-9)


def test_experts_are_exchangeable(problem, fitted):
    X, R = problem
    gate = SoftmaxGate(tol=1e-10).fit(X, R[:, [2, 0, 1]])
    np.testing.assert_allclose(gate.coef_, fitted.coef_[[2, 0, 1]], atol=1e-9)
    np.testing.assert_allclose(gate.intercept_, fitted.intercept_[[2, 0, 1]], atol=1e-9)


def test_units_are_irrelevant(problem, fitted):
    X, R = problem
    scales, shifts = np.array([1e-3, 1e3, -2.0, 1.0]), np.array([5.0, -1e3, 0.0, 1e2])
    gate = SoftmaxGate(tol=1e-10).fit(X * scales + shifts, R)
    np.testing.assert_allclose(gate.coef_ * scales, fitted.coef_, atol=1e-8)
    np.testing.assert_allclose(
        gate.predict_proba(X * scales + shifts), fitted.predict_proba(X), atol=1e-8
    )


def test_subsets_predict_as_the_whole(problem, fitted):
    X, _ = problem
    whole = fitted.predict_proba(X)
    for rows in (slice(0, 0), slice(3, 4), slice(5, 50)):
        np.testing.assert_allclose(fitted.predict_proba(X[rows]), whole[rows], atol=1e-12)
    assert fitted.predict(X[:0]).shape == (0,)


def test_ties_go_to_the_lower_index(problem):
    X, _ = problem
    gate = SoftmaxGate().fit(X, np.full((len(X), 3), 1 / 3))
    np.testing.assert_array_equal(gate.predict(X), 0)


@pytest.mark.parametrize("data", [np.asarray, sparse.csr_matrix])
def test_top_k(problem, data):
    X, R = problem
    missing = X.copy()
    missing[::7, 2] = np.nan
    gate = SoftmaxGate(temperature=0.5).fit(missing, R)
    indices, proba = gate.top_k(data(missing), 2)
    expected = gate.predict_proba(missing)
    np.testing.assert_array_equal(indices, np.argsort(-expected, axis=1)[:, :2])
    np.testing.assert_allclose(proba, np.take_along_axis(expected, indices, axis=1), atol=1e-12)


# Warm start


def test_warm_start_ends_at_the_same_optimum_sooner(problem):
    X, R = problem
    gate = SoftmaxGate(warm_start=True, tol=1e-8).fit(X, R)
    cold_iterations = gate.n_iter_
    assert gate.fit(X, R).n_iter_ == 0
    sharper = R**1.02 / (R**1.02).sum(axis=1, keepdims=True)
    gate.fit(X, sharper)
    assert 0 < gate.n_iter_ < cold_iterations
    assert_same_gate(gate, SoftmaxGate(tol=1e-8).fit(X, sharper), X)


def test_warm_start_ignores_what_does_not_fit(problem):
    X, R = problem
    gate = SoftmaxGate(warm_start=True, tol=1e-8).fit(X, R)
    missing = X.copy()
    missing[3, 1] = np.nan
    for data in ((X[:, :2], R), (X, R[:, [0, 1, 2, 2]] * [1, 1, 0.5, 0.5]), (missing, R)):
        gate.fit(*data)
        assert_same_gate(gate, SoftmaxGate(tol=1e-8).fit(*data), data[0])


def test_warm_start_from_a_bad_place(problem):
    X, R = problem
    gate = SoftmaxGate(alpha=0, warm_start=True).fit(X, hard(make_problem(sharpness=1e3)[1]))
    gate.fit(X, R[:, ::-1])
    assert relative_gradient(gate, X, R[:, ::-1]) <= 1.01e-6


def test_a_warm_start_knows_the_temperature():
    """From where a fit has ended, there is nothing left to do."""
    rng = np.random.default_rng(0)
    X, R = rng.normal(size=(300, 3)), rng.dirichlet(np.ones(3), 300)
    gate = SoftmaxGate(temperature=0.25, warm_start=True, tol=1e-6).fit(X, R)
    coef, first = gate.coef_.copy(), gate.n_iter_
    gate.fit(X, R)
    assert first > 2 > gate.n_iter_
    np.testing.assert_allclose(gate.coef_, coef, atol=1e-5)
