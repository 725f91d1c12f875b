"""Gate and dispersion trained to convergence beside final experts: ECME against EM."""

import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from small_mixtures import problem_of

from skmoe import CosineGate, SoftmaxGate
from skmoe._data.folds import Folds
from skmoe._experts.pool import HeldOutExperts
from skmoe._likelihoods import Gaussian
from skmoe._training.em import initial_state, run_em, train_gate
from skmoe._training.gate import as_gate, gate_trainer
from skmoe._training.setup import Setup
from skmoe.gates._features import Scaling
from skmoe.gates._solver.designs import SparseDesign
from skmoe.gates._solver.objectives import CrossEntropy, MixtureLikelihood
from skmoe.gates._solver.packed import PackedDesign
from skmoe.gates._solver.penalty import PROVISIONAL
from skmoe.gates._solver.quasi_newton import Stopping
from skmoe.gates._solver.solve import Solution, solve

LIKELIHOOD = Gaussian(np.array([1e-3]))


class FinalExperts:
    """Experts whose predictions do not depend on the weights."""

    def __init__(self, outputs):
        self.outputs = outputs

    def fit_held_out(self, weights, previous, iteration):
        return HeldOutExperts(
            self.outputs, weights[0], np.zeros(2, dtype=bool), (), np.zeros(2, dtype=bool)
        )


def problem(n_samples):
    """Two known lines, of which the first feature chooses one, softly."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_samples, 3))
    outputs = np.column_stack([X[:, 1], 1 - X[:, 2]])
    chosen = (X[:, 0] + 0.5 * rng.logistic(size=n_samples) > 0).astype(int)
    y = outputs[np.arange(n_samples), chosen] + rng.normal(0, [0.3, 0.6], (n_samples, 2))[:, 0]
    return X, outputs, y, rng.uniform(0.5, 2, n_samples)


def first_iterate(X, outputs, y, weight, gate, n_folds):
    """What is trained, and the state after one iteration of EM."""
    fold = np.arange(len(y)) % n_folds
    splits = [
        (np.flatnonzero((fold != f) | (n_folds == 1)), np.flatnonzero(fold == f))
        for f in range(n_folds)
    ]
    folds = Folds.of(splits, len(y))
    problem = problem_of(X, y, LIKELIHOOD, folds, weight)
    trainer = gate_trainer(gate, X, folds, accuracy=1e-9)
    setup = Setup(problem, FinalExperts(outputs), trainer, settings=None, fresh=True)
    start = initial_state(np.full((len(y), 2), 0.5), LIKELIHOOD.initial_dispersion(2), n_folds)
    return setup, run_em(setup, start, overlap=0.0, max_iter=1, tol=0.0).best


@pytest.mark.parametrize("n_samples", [400, 25_000])  # in plain NumPy and compiled
def test_same_optimum_as_em(n_samples):
    X, outputs, y, weight = problem(n_samples)
    setup, first = first_iterate(X, outputs, y, weight, SoftmaxGate(1e-7), 1)
    slow = run_em(setup, first, overlap=0.0, max_iter=500, tol=1e-12).best
    fast = train_gate(setup, first, max_iter=100, tol=1e-11)
    assert fast.log_likelihood > first.log_likelihood + 0.1
    assert fast.log_likelihood > slow.log_likelihood - 1e-10
    np.testing.assert_allclose(fast.dispersion, slow.dispersion, rtol=1e-5)
    np.testing.assert_allclose(fast.gate.log_proba, slow.gate.log_proba, atol=1e-3)
    model = setup.gate.refit(fast.gate, fast.responsibilities[0], weight)
    np.testing.assert_allclose(fast.gate.log_proba[0], model.predict_log_proba(X), atol=1e-9)


def test_a_fold_learns_nothing_from_the_rows_that_it_tests():
    X, outputs, y, weight = problem(300)
    setup, first = first_iterate(X, outputs, y, weight, SoftmaxGate(1e-2), 3)
    other = first.log_density.copy()
    other[::3] = other[::3, ::-1]  # the rows that the first fold leaves out
    before, after = (
        setup.gate.maximize_likelihood(density, weight, first.gate, 1e-9).log_proba
        for density in (first.log_density, other)
    )
    np.testing.assert_array_equal(before[0], after[0])
    assert np.abs(before[1] - after[1]).max() > 0.1


def test_other_gates_can_only_be_fitted_to_responsibilities():
    X, outputs, y, weight = problem(100)
    gate = as_gate(LogisticRegression())
    setup, first = first_iterate(X, outputs, y, weight, gate, 1)
    assert train_gate(setup, first, max_iter=5, tol=1e-4) is None


@pytest.mark.parametrize("kind", [PackedDesign, SparseDesign])
@pytest.mark.parametrize("accuracy", [0.0, 1e-9])
def test_the_end_of_one_problem_is_the_start_of_the_next(monkeypatch, kind, accuracy):
    """Targets and penalty have changed since, but no pass is needed to evaluate there."""
    rng = np.random.default_rng(3)
    X, R = rng.normal(size=(200, 4)), rng.dirichlet(np.ones(3), (2, 200))
    weights = rng.dirichlet(np.ones(200))
    columns = sparse.csr_matrix(X) if kind is SparseDesign else X
    design = kind(columns, Scaling.of(columns, weights))
    first = solve(CrossEntropy, design, R[0], weights, 1e-2, Stopping(1e-9))
    passes, log_partition = [], kind.log_partition
    monkeypatch.setattr(
        kind, "log_partition", lambda *args: passes.append(1) or log_partition(*args)
    )
    ends = []
    for known in (None, first.end):
        passes.clear()
        start, stopping = Solution(first.coef, end=known), Stopping(1e-9, accuracy)
        end = solve(CrossEntropy, design, R[1], weights, 1e-3, stopping, start)
        ends.append((end, len(passes)))
    (without, n_without), (with_known, n_with) = ends
    assert n_with == n_without - 1
    np.testing.assert_allclose(with_known.coef, without.coef, atol=1e-12)
    assert np.abs(with_known.coef - first.coef).max() > 0.01


@pytest.mark.parametrize("scale", [0.3, 1.0])
def test_a_weaker_penalty_is_followed_to_its_optimum(scale):
    """From the optimum of a stronger one, where the likelihood is flat, steps promise little."""
    rng, n, accuracy = np.random.default_rng(0), 500, 1e-4
    X, weights = rng.normal(size=(n, 3)), np.full(n, 1 / n)
    log_density = np.column_stack([scale * X[:, 0], np.zeros(n)])
    design = PackedDesign(X, Scaling.of(X, weights))
    problem = MixtureLikelihood, design, log_density, weights

    def loss(solution):
        objective = MixtureLikelihood(design, log_density, weights, np.array([1e-5] * 3 + [0.0]))
        return objective.at(solution.coef[:-1] - solution.coef[-1]).value

    start = Solution(np.array([[0.3, 0.0, 0.0, 0.0], [-0.3, 0.0, 0.0, 0.0]]))
    before = solve(*problem, 1e-3, Stopping(1e-12), start)
    reached = solve(*problem, 1e-5, Stopping(1e-9, accuracy), Solution(before.coef))
    optimum = solve(*problem, 1e-5, Stopping(1e-12), Solution(before.coef))
    assert loss(before) - loss(optimum) > 10 * accuracy
    assert loss(reached) - loss(optimum) < accuracy


@pytest.mark.parametrize("kind", [PackedDesign, SparseDesign])
def test_finite_differences(kind):
    rng = np.random.default_rng(2)
    X, log_density = rng.normal(size=(12, 4)), rng.normal(size=(12, 4))
    weights = rng.dirichlet(np.ones(12))
    columns = sparse.csr_matrix(X) if kind is SparseDesign else X
    design = kind(columns, Scaling.of(columns, weights))
    penalty = np.array([0.1, 0.2, 0.3, 0.4, 0.0])
    objective = MixtureLikelihood(design, log_density, weights, penalty)
    coef = rng.normal(size=(3, 5))
    gradient = objective.at(coef).gradient
    for index in np.ndindex(*coef.shape):
        change = np.zeros_like(coef)
        change[index] = 1e-5
        difference = (objective.at(coef + change).value - objective.at(coef - change).value) / 2e-5
        assert gradient[index] == pytest.approx(difference, abs=1e-9)


@pytest.mark.parametrize("alpha", [1e-2, PROVISIONAL])
def test_the_final_gate_is_that_of_a_fit_on_all_rows(alpha):
    X, outputs, y, weight = problem(300)
    trainer = first_iterate(X, outputs, y, weight, SoftmaxGate(alpha), 3)[0].gate
    R = np.random.default_rng(4).dirichlet(np.ones(2), 300)
    fitted = trainer.fit_held_out(np.stack([R] * 3), weight)
    gate, alone = trainer.refit(fitted, R, weight), SoftmaxGate(alpha).fit(X, R, weight)
    assert gate.alpha_ == alone.alpha_
    np.testing.assert_allclose(gate.coef_, alone.coef_, atol=1e-6)
    np.testing.assert_allclose(gate.intercept_, alone.intercept_, atol=1e-6)


def test_within_a_mixture_the_gate_does_not_warn_of_its_own_solver():
    X, outputs, y, weight = problem(300)
    gate = SoftmaxGate(1e-6, tol=1e-12, max_iter=1)
    trainer = first_iterate(X, outputs, y, weight, gate, 3)[0].gate
    R = np.eye(2)[(X[:, 0] > 0).astype(int)]
    fitted = trainer.fit_held_out(np.stack([R] * 3), weight)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer.refit(fitted, R, weight)
    with pytest.warns(ConvergenceWarning, match="max_iter=1 iterations.*Increase max_iter"):
        gate.fit(X, R, weight)
    other = CosineGate(max_iter=1, tol=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first_iterate(X, outputs, y, weight, other, 3)
    with pytest.warns(ConvergenceWarning):
        other.fit(X, R, weight)


def test_evidence_speaks_for_a_weaker_penalty_where_many_rows_say_much():
    rng = np.random.default_rng(5)
    X = rng.normal(size=(5000, 3))
    noise, clear = np.full((5000, 2), 0.5), np.eye(2)[(X[:, 0] > 0).astype(int)]
    for R, expected in ((noise, False), (clear, True)):
        trainer = gate_trainer(SoftmaxGate(1e-2), X, Folds.in_sample(5000))
        fitted = trainer.fit_held_out(R[np.newaxis], np.ones(5000))
        assert trainer.seems_too_strong(fitted, np.ones(5000)) == expected
