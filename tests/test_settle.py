"""Gate and dispersion trained to convergence beside settled experts: ECME against EM."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from skmoe import SoftmaxGate
from skmoe._em import initial_state, run_em, settle
from skmoe._experts import JudgedExperts
from skmoe._likelihoods import Gaussian
from skmoe.gates._design import Scaling, SparseDesign
from skmoe.gates._judge import GateJudge, as_gate
from skmoe.gates._packed import PackedDesign
from skmoe.gates._quasi_newton import MixtureObjective

LIKELIHOOD = Gaussian(np.array([1e-3]))


class Settled:
    """Experts whose predictions do not depend on the weights."""

    def __init__(self, outputs):
        self.outputs = outputs

    def judge(self, weights, previous, iteration):
        return JudgedExperts(self.outputs, weights, (), np.zeros(2, dtype=bool))


def problem(n_samples):
    """Two known lines, of which the first feature chooses one, softly."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_samples, 3))
    outputs = np.column_stack([X[:, 1], 1 - X[:, 2]])
    chosen = (X[:, 0] + 0.5 * rng.logistic(size=n_samples) > 0).astype(int)
    y = outputs[np.arange(n_samples), chosen] + rng.normal(0, [0.3, 0.6], (n_samples, 2))[:, 0]
    return X, outputs, y, rng.uniform(0.5, 2, n_samples)


def first_iterate(X, outputs, y, weight, gate, n_views):
    """The gate's judge, the views and the state after one iteration of EM."""
    fold = np.arange(len(y)) % n_views
    rows = [np.flatnonzero((fold != f) | (n_views == 1)) for f in range(n_views)]
    judge = GateJudge(gate, X, tuple(rows), accuracy=1e-9)
    start = initial_state(np.full((len(y), 2), 0.5), LIKELIHOOD.initial_dispersion(2), n_views)
    options = {"experts": Settled(outputs), "gate": judge, "likelihood": LIKELIHOOD, "share": 0.0}
    first = run_em(y, weight, fold, start, max_iter=1, tol=0.0, **options).best
    return fold, first, options


@pytest.mark.parametrize("n_samples", [400, 25_000])  # in plain NumPy and compiled
def test_same_optimum_as_em(n_samples):
    X, outputs, y, weight = problem(n_samples)
    fold, first, options = first_iterate(X, outputs, y, weight, SoftmaxGate(1e-7), 1)
    slow = run_em(y, weight, fold, first, max_iter=500, tol=1e-12, **options).best
    options = {"gate": options["gate"], "likelihood": LIKELIHOOD}
    fast = settle(y, weight, fold, first, max_iter=100, tol=1e-11, **options)
    assert fast.log_likelihood > first.log_likelihood + 0.1
    assert fast.log_likelihood > slow.log_likelihood - 1e-10
    np.testing.assert_allclose(fast.dispersion, slow.dispersion, rtol=1e-5)
    np.testing.assert_allclose(fast.gate.log_proba, slow.gate.log_proba, atol=1e-3)
    judged = fast.gate.models[0].predict_log_proba(X)
    np.testing.assert_allclose(fast.gate.log_proba[0], judged, atol=1e-9)


def test_a_view_learns_nothing_from_its_fold():
    X, outputs, y, weight = problem(300)
    _, first, options = first_iterate(X, outputs, y, weight, SoftmaxGate(1e-2), 3)
    other = first.log_density.copy()
    other[::3] = other[::3, ::-1]  # the fold that the first view leaves out
    before, after = (
        options["gate"].climb(density, weight, first.gate, 1e-9).log_proba
        for density in (first.log_density, other)
    )
    np.testing.assert_array_equal(before[0], after[0])
    assert np.abs(before[1] - after[1]).max() > 0.1


def test_other_gates_cannot_climb():
    X, outputs, y, weight = problem(100)
    gate = as_gate(LogisticRegression())
    fold, first, options = first_iterate(X, outputs, y, weight, gate, 1)
    del options["experts"], options["share"]
    assert settle(y, weight, fold, first, max_iter=5, tol=1e-4, **options) is None


@pytest.mark.parametrize("kind", [PackedDesign, SparseDesign])
def test_finite_differences(kind):
    rng = np.random.default_rng(2)
    X, log_density = rng.normal(size=(12, 4)), rng.normal(size=(12, 4))
    weights = rng.dirichlet(np.ones(12))
    columns = sparse.csr_matrix(X) if kind is SparseDesign else X
    design = kind(columns, Scaling.of(columns, weights), 4)
    penalty = np.array([0.1, 0.2, 0.3, 0.4, 0.0])
    objective = MixtureObjective(design, log_density, weights, penalty)
    coef = rng.normal(size=(3, 5))
    gradient = objective.at(coef).gradient
    for index in np.ndindex(*coef.shape):
        change = np.zeros_like(coef)
        change[index] = 1e-5
        difference = (objective.at(coef + change).value - objective.at(coef - change).value) / 2e-5
        assert gradient[index] == pytest.approx(difference, abs=1e-9)
