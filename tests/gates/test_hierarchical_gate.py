"""HierarchicalGate: its trees, and M-steps that are exact per node."""

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import approx_fprime
from sklearn.utils import get_tags

from skmoe.gates import CosineGate, GaussianGate, HierarchicalGate, SoftmaxGate


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    logits = X @ rng.normal(size=(3, 5)) + rng.gumbel(size=(200, 5))
    return X, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("groups", "n_experts", "tree"),
    [
        (2, 4, ((0, 1), (2, 3))),
        (2, 3, ((0, 1), 2)),
        (2, 5, ((0, 1), ((2, 3), 4))),
        (3, 7, ((0, 1), (2, 3, 4), (5, 6))),
        (3, 3, (0, 1, 2)),
        ([[0, 1], [[2, 3], 4]], 5, ((0, 1), ((2, 3), 4))),
        ([[2], [[0, 1]]], 3, (2, (0, 1))),
        (2, 1, (0,)),
    ],
)
def test_trees(groups, n_experts, tree, problem):
    X, _ = problem
    R = np.random.default_rng(1).dirichlet(np.ones(n_experts), len(X))
    gate = HierarchicalGate(groups=groups).fit(X, R)
    assert gate.tree_ == tree
    assert sum(len(branches) - 1 for branches in gate.branches_) == n_experts - 1
    assert len(gate.gates_) == len(gate.branches_)
    assert gate.predict_proba(X).shape == R.shape


@pytest.mark.parametrize("groups", [[[0, 1], [2, 3]], [[0, 1], [2, 3, 4, 5]], [[0, 1], 1], []])
def test_groups_that_do_not_hold_each_expert_once(groups, problem):
    with pytest.raises(ValueError, match="groups"):
        HierarchicalGate(groups=groups).fit(*problem)


def test_groups_of_something_else(problem):
    with pytest.raises(ValueError, match="nested lists"):
        HierarchicalGate(groups=[["a", "b"], [0, 1]]).fit(*problem)


def test_a_single_level_is_the_gate_itself(problem):
    X, R = problem
    weights = np.random.default_rng(2).integers(0, 3, len(X))
    flat = HierarchicalGate(SoftmaxGate(0.1, tol=1e-10), groups=5).fit(X, R, weights)
    expected = SoftmaxGate(0.1, tol=1e-10).fit(X, R, weights)
    np.testing.assert_allclose(flat.predict_log_proba(X), expected.predict_log_proba(X), atol=1e-8)


def test_the_product_along_the_path(problem):
    X, R = problem
    gate = HierarchicalGate(groups=[[0, 1], [2, [3, 4]]]).fit(X, R)
    assert gate.branches_ == [((0, 1), (2, 3, 4)), ((0,), (1,)), ((2,), (3, 4)), ((3,), (4,))]
    root, left, right, last = [node.predict_proba(X) for node in gate.gates_]
    expected = np.column_stack(
        [
            root[:, 0] * left[:, 0],
            root[:, 0] * left[:, 1],
            root[:, 1] * right[:, 0],
            root[:, 1] * right[:, 1] * last[:, 0],
            root[:, 1] * right[:, 1] * last[:, 1],
        ]
    )
    np.testing.assert_allclose(gate.predict_proba(X), expected)


@pytest.mark.parametrize("groups", [2, [[0, 3], [1, 2, 4]]])
def test_nodes_together_minimise_the_cross_entropy(problem, groups):
    """The gradient of the loss of the whole tree vanishes: training by node lost nothing."""
    X, R = problem
    weights = np.random.default_rng(3).uniform(size=len(X))
    gate = HierarchicalGate(SoftmaxGate(alpha=0, tol=1e-10), groups=groups).fit(X, R, weights)
    fitted = [(node.coef_.copy(), node.intercept_.copy()) for node in gate.gates_]

    def loss(change):
        used = 0
        for node, (coef, intercept) in zip(gate.gates_, fitted, strict=True):
            part = change[used : used + coef.size + intercept.size]
            node.coef_ = coef + part[: coef.size].reshape(coef.shape)
            node.intercept_ = intercept + part[coef.size :]
            used += len(part)
        return -np.average(np.sum(R * gate.predict_log_proba(X), axis=1), weights=weights)

    size = sum(coef.size + intercept.size for coef, intercept in fitted)
    at_optimum = approx_fprime(np.zeros(size), loss, 1e-6)
    np.testing.assert_allclose(at_optimum, 0, atol=1e-5)
    elsewhere = approx_fprime(np.full(size, 0.1) * np.arange(size), loss, 1e-6)
    assert np.abs(elsewhere).max() > 1e-2


def test_a_node_without_responsibility(problem):
    X, R = problem
    empty = R.copy()
    empty[:, :2] = 0.0
    empty /= empty.sum(axis=1, keepdims=True)
    gate = HierarchicalGate(groups=[[0, 1], [2, 3, 4]]).fit(X, empty)
    assert gate.gates_[1] is None
    proba = gate.predict_proba(X)
    np.testing.assert_array_equal(proba[:, 0], proba[:, 1])
    assert proba[:, :2].max() < 1e-3


def test_warm_start_goes_on_and_leaves_the_earlier_nodes_alone(problem):
    X, R = problem
    gate = HierarchicalGate(SoftmaxGate(tol=1e-8), warm_start=True).fit(X, R)
    cold, earlier = gate.n_iter_, gate.gates_
    before = [node.coef_.copy() for node in earlier]
    assert gate.fit(X, R).n_iter_ < cold
    sharper = R**1.1 / (R**1.1).sum(axis=1, keepdims=True)
    expected = HierarchicalGate(SoftmaxGate(tol=1e-8)).fit(X, sharper).predict_proba(X)
    np.testing.assert_allclose(gate.fit(X, sharper).predict_proba(X), expected, atol=1e-6)
    for node, coef in zip(earlier, before, strict=True):
        np.testing.assert_array_equal(node.coef_, coef)
    other_tree = gate.set_params(groups=[[0, 4], [1, 2, 3]]).fit(X, R)
    expected = HierarchicalGate(SoftmaxGate(tol=1e-8), groups=[[0, 4], [1, 2, 3]]).fit(X, R)
    np.testing.assert_allclose(other_tree.predict_proba(X), expected.predict_proba(X), atol=1e-6)


def test_sparse_features_and_other_gates_at_the_nodes(problem):
    X, R = problem
    dense = HierarchicalGate().fit(X, R).predict_proba(X)
    thin = HierarchicalGate().fit(sparse.csr_matrix(X), R).predict_proba(sparse.csr_matrix(X))
    np.testing.assert_allclose(thin, dense, atol=1e-4)
    assert get_tags(HierarchicalGate()).input_tags.sparse
    assert not get_tags(HierarchicalGate(GaussianGate())).input_tags.sparse
    for node in (GaussianGate("diag"), CosineGate()):
        gate = HierarchicalGate(node, warm_start=True).fit(X, R).fit(X, R)
        assert {type(fitted) for fitted in gate.gates_} == {type(node)}
