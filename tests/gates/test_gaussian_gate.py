"""GaussianGate: its closed form, its density of x, and what it makes of missing values."""

import numpy as np
import pytest
from scipy.integrate import trapezoid
from scipy.stats import multivariate_normal
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.naive_bayes import GaussianNB

from skmoe.gates import GaussianGate


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 300)
    mixing = np.array([[1.0, 0.5, 0.0], [0.0, 2.0, 0.3], [0.0, 0.0, 0.1]])
    X = 2 * rng.normal(size=(3, 3))[labels] + rng.normal(size=(300, 3)) @ mixing
    R = rng.dirichlet(np.ones(3), 300) * 0.5 + 0.5 * np.eye(3)[labels]
    return X, R, rng.uniform(0.1, 2.0, 300)


def log_joint(gate, X):
    """Oracle: ``log prior_k N(x; mean_k, covariance_k)`` from the published attributes."""
    covariances = gate.covariance_
    if gate.covariance == "tied":
        covariances = [covariances] * gate.n_experts_
    else:
        covariances = [np.diag(variance) for variance in covariances]
    normals = map(multivariate_normal, gate.means_, covariances)
    density = np.column_stack([normal.logpdf(X) for normal in normals])
    return density + np.log(gate.prior_)


@pytest.mark.parametrize("covariance", ["tied", "diag"])
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_density_and_posterior_are_those_of_the_attributes(problem, covariance, temperature):
    X, R, weights = problem
    gate = GaussianGate(covariance, temperature=temperature).fit(X, R, weights)
    joint = log_joint(gate, X)
    np.testing.assert_allclose(gate.score_samples(X), np.logaddexp.reduce(joint, axis=1))
    proba = np.exp(joint / temperature)
    proba /= proba.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(gate.predict_proba(X), proba, atol=1e-12)


@pytest.mark.parametrize("covariance", ["tied", "diag"])
def test_no_other_parameters_are_more_likely(problem, covariance):
    """Priors, means and covariances maximise the expected joint log-likelihood."""
    X, R, weights = problem
    gate = GaussianGate(covariance, regularization=0).fit(X, R, weights)

    def objective():
        return np.average(np.sum(R * log_joint(gate, X), axis=1), weights=weights)

    best, rng = objective(), np.random.default_rng(1)
    for name in ("prior_", "means_", "covariance_"):
        fitted = getattr(gate, name)
        for _ in range(10):
            change = rng.normal(size=fitted.shape) * fitted.std()
            change = change + change.T if fitted.ndim == 2 and covariance == "tied" else change
            if name == "covariance_" and covariance == "diag":
                change *= fitted
            values = []
            for step in (-1e-4, 1e-4):
                other = fitted + step * change
                setattr(gate, name, other / other.sum() if name == "prior_" else other)
                values.append(objective())
            setattr(gate, name, fitted)
            assert max(values) < best
            assert abs(values[1] - values[0]) < 1e-3 * (2 * best - sum(values)) ** 0.5


def test_hard_targets_against_scikit_learn(problem):
    X, R, _ = problem
    labels = R.argmax(axis=1)
    hard = np.eye(3)[labels]
    tied = GaussianGate(regularization=0).fit(X, hard)
    discriminant = LinearDiscriminantAnalysis(solver="lsqr").fit(X, labels)
    np.testing.assert_allclose(tied.predict_proba(X), discriminant.predict_proba(X), atol=1e-9)
    np.testing.assert_allclose(tied.means_, discriminant.means_)
    diagonal = GaussianGate("diag", regularization=0).fit(X, hard)
    naive = GaussianNB(var_smoothing=0).fit(X, labels)
    np.testing.assert_allclose(diagonal.predict_proba(X), naive.predict_proba(X), atol=1e-9)
    np.testing.assert_allclose(diagonal.covariance_, naive.var_)


def test_a_tied_gate_is_linear(problem):
    X, R, weights = problem
    gate = GaussianGate(temperature=2.0).fit(X, R, weights)
    logits = (X @ gate.coef_.T + gate.intercept_) / gate.temperature
    proba = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(gate.predict_proba(X), proba, atol=1e-12)
    np.testing.assert_allclose(gate.coef_.sum(axis=0), 0, atol=1e-12)
    assert not hasattr(gate.set_params(covariance="diag").fit(X, R), "coef_")


def test_limits_of_the_targets(problem):
    X, _, _ = problem
    gate = GaussianGate("diag").fit(X, np.full((len(X), 4), 0.25))
    np.testing.assert_allclose(gate.predict_proba(X), 0.25)
    np.testing.assert_allclose(gate.means_, np.tile(X.mean(axis=0), (4, 1)))
    single = np.eye(2)[[0] * (len(X) - 1) + [1]]  # an expert with a single row
    small = GaussianGate("diag").fit(X, single)
    np.testing.assert_allclose(small.covariance_[1], 1e-3 * X.var(axis=0), rtol=1e-3)


def test_temperature_limits(problem):
    X, R, _ = problem
    gate = GaussianGate().fit(X, R)
    hot, cold = GaussianGate(temperature=1e9).fit(X, R), GaussianGate(temperature=1e-9).fit(X, R)
    np.testing.assert_allclose(hot.predict_proba(X), 1 / 3, atol=1e-6)
    np.testing.assert_allclose(cold.predict_proba(X), np.eye(3)[gate.predict(X)], atol=1e-6)


@pytest.mark.parametrize("covariance", ["tied", "diag"])
def test_missing_values_are_integrated_out(problem, covariance):
    X, R, weights = problem
    gate = GaussianGate(covariance).fit(X, R, weights)
    partial = X[:5].copy()
    partial[:, 1] = np.nan
    grid = np.linspace(-40, 40, 4001)
    for row, of_row in zip(partial, gate.score_samples(partial), strict=True):
        whole = np.tile(row, (len(grid), 1))
        whole[:, 1] = grid
        density = np.exp(gate.score_samples(whole))
        assert of_row == pytest.approx(np.log(trapezoid(density, grid)), abs=1e-6)
        posterior = np.exp(log_joint(gate, whole)).sum(axis=0)
        np.testing.assert_allclose(
            gate.predict_proba(row[None])[0], posterior / posterior.sum(), atol=1e-6
        )


@pytest.mark.parametrize("covariance", ["tied", "diag"])
def test_values_missing_at_random_leave_the_fit_alone(covariance):
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 20_000)
    X = np.array([[0.0, 0.0], [2.0, 1.0]])[labels] + rng.normal(size=(20_000, 2))
    X[:, 1] += 0.5 * X[:, 0]
    R = np.eye(2)[labels]
    whole = GaussianGate(covariance).fit(X, R)
    holes = np.where(rng.uniform(size=X.shape) < 0.3, np.nan, X)
    partial = GaussianGate(covariance).fit(holes, R)
    np.testing.assert_allclose(partial.means_, whole.means_, atol=0.05)
    np.testing.assert_allclose(partial.covariance_, whole.covariance_, atol=0.06)


def test_novelty_flags_the_share_that_was_asked_for(problem):
    X, R, weights = problem
    for contamination in (0.0, 0.01, 0.2):
        gate = GaussianGate(contamination=contamination).fit(X, R, weights)
        flagged = np.average(gate.novelty(X) > 0, weights=weights)
        assert contamination - 0.01 < flagged <= contamination
        np.testing.assert_allclose(
            gate.novelty(X), gate.novelty_threshold_ - gate.score_samples(X), atol=1e-9
        )


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_mean_novelty_of_the_rows_of_each_expert(problem, temperature):
    X, R, weights = problem
    R = np.column_stack([R, np.zeros(len(R))])  # an expert without rows
    gate = GaussianGate(temperature=temperature).fit(X, R, weights)
    top, novelty = gate.predict(X), gate.novelty(X)
    expected = [np.average(novelty[top == k], weights=weights[top == k]) for k in range(3)]
    np.testing.assert_allclose(gate.novelty_mean_, [*expected, np.nan])


def test_novelty_finds_what_the_probabilities_do_not(problem):
    X, R, _ = problem
    gate = GaussianGate().fit(X, R)
    far = X.mean(axis=0) + 20 * X.std(axis=0) * np.array([[1, 1, 1], [-1, 1, -1]])
    assert gate.predict_proba(far).max(axis=1).min() > 0.99  # sure of itself, and wrong to be
    assert (gate.novelty(far) > 0).all()
    assert np.diff(gate.novelty(X.mean(axis=0) + np.outer([20, 30, 40], X.std(axis=0)))).min() > 0


def test_rows_are_not_new_for_being_incomplete(problem):
    X, R, _ = problem
    for scale in (1e-6, 1e6):  # densities, but not novelty, depend on units
        gate = GaussianGate().fit(scale * X, R)
        holes = np.where(np.random.default_rng(0).uniform(size=X.shape) < 0.3, np.nan, scale * X)
        assert np.mean(gate.novelty(holes) > 0) < 0.03
        assert gate.novelty(np.full((1, 3), np.nan))[0] < 0
        stranger = np.array([[np.nan, scale * 100, np.nan]])
        assert gate.novelty(stranger)[0] > 0


def test_constant_features_are_left_out(problem):
    X, R, _ = problem
    gate, with_constant = GaussianGate(), GaussianGate()
    expected = gate.fit(X, R).score_samples(X)
    columns = np.column_stack([X, np.full(len(X), 7.0)])
    np.testing.assert_allclose(with_constant.fit(columns, R).score_samples(columns), expected)
    np.testing.assert_array_equal(with_constant.means_[:, 3], 7.0)
    np.testing.assert_array_equal(with_constant.coef_[:, 3], 0.0)
