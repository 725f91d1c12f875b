"""The arithmetic against straightforward formulas, over precision, layout and ways of running.

Compiled, as the Python function that is compiled, and the plain NumPy version of the same name.
"""

import subprocess
import sys

import numpy as np
import pytest

from skmoe import _arithmetic
from skmoe._arithmetic import compiled, reference

LAYOUTS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "strided": lambda a: _strided(a),
    "readonly": lambda a: _readonly(a.copy()),
    "readonly_F": lambda a: _readonly(np.array(a, order="F")),
    "readonly_strided": lambda a: _readonly(_strided(a)),
}


def _strided(array):
    """Equal array whose every other entry, in each dimension, belongs to something else."""
    host = np.full([2 * size for size in array.shape], 77, dtype=array.dtype)
    view = host[tuple(slice(None, None, 2) for _ in array.shape)]
    view[...] = array
    return view


def _readonly(array):
    array.setflags(write=False)
    return array


@pytest.fixture(params=["compiled", "python", "plain"])
def run(request):
    """Call a function by name: compiled, what is compiled, or in plain NumPy."""

    def call(name, *args):
        function = getattr(reference if request.param == "plain" else compiled, name)
        if request.param == "python":
            function = getattr(function, "py_func", function)
        return function(*args)

    return call


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return np.dtype(request.param)


@pytest.fixture(params=LAYOUTS)
def layout(request):
    return LAYOUTS[request.param]


@pytest.fixture
def problem(dtype, layout):
    """Logits, soft targets, weights and log-densities; each in the precision and layout asked."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 5, (7, 4))
    logits[1] += 1e4
    logits[2] = [0, 0, -800, 300]
    targets = rng.dirichlet(np.ones(4), 7)
    targets[3] = [0, 1, 0, 0]
    arrays = [logits, targets, rng.uniform(0, 2, 7), rng.normal(size=(7, 4))]
    return [layout(array.astype(dtype)) for array in arrays]


def oracle_log_softmax(logits):
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def as_double(arrays):
    return [np.asarray(array, dtype=np.float64) for array in arrays]


def assert_close(result, expected):
    """Kernels compute in double precision, whatever the precision of their arguments."""
    np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-12)


def test_softmax(run, problem):
    result = run("softmax", problem[0])
    assert result.dtype == np.float64
    assert_close(result, np.exp(oracle_log_softmax(as_double(problem)[0])))


def test_log_softmax(run, problem):
    result = run("log_softmax", problem[0])
    assert result.dtype == np.float64
    assert_close(result, oracle_log_softmax(as_double(problem)[0]))


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_with_impossible_experts(run, name):
    result = run(name, np.array([[-np.inf, 0.0, 0.0]]))
    expected = [[0, 0.5, 0.5]] if name == "softmax" else [[-np.inf, -np.log(2), -np.log(2)]]
    assert_close(result, expected)


def test_e_step(run, problem, layout):
    log_gate = layout(oracle_log_softmax(problem[0]).astype(problem[0].dtype))
    responsibilities, log_likelihood = run("e_step", log_gate, problem[3])
    joint = np.asarray(log_gate, dtype=np.float64) + as_double(problem)[3]
    expected = np.logaddexp.reduce(joint, axis=1)
    assert responsibilities.dtype == log_likelihood.dtype == np.float64
    assert_close(log_likelihood, expected)
    assert_close(responsibilities, np.exp(joint - expected[:, None]))
    assert_close(responsibilities.sum(axis=1), 1)


def test_e_step_with_impossible_rows_and_experts(run):
    infinity = np.inf
    log_gate = np.log([[0.5, 0.25, 0.25]] * 4)
    log_gate[1, 0] = -infinity
    log_density = np.array(
        [[0.0, -infinity, 0.0], [0.0, 0.0, 0.0], [-infinity] * 3, [-1e300, -infinity, -infinity]]
    )
    responsibilities, log_likelihood = run("e_step", log_gate, log_density)
    expected = [[2 / 3, 0, 1 / 3], [0, 0.5, 0.5], [1 / 3, 1 / 3, 1 / 3], [1, 0, 0]]
    assert_close(responsibilities, expected)
    assert_close(log_likelihood[:2], np.log([0.75, 0.5]))
    assert log_likelihood[2] == -infinity
    assert log_likelihood[3] == pytest.approx(-1e300)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_e_step_does_not_hide_invalid_densities(run, bad):
    log_density = np.array([[0.0, bad], [0.0, 0.0]])
    responsibilities, log_likelihood = run("e_step", np.log(np.full((2, 2), 0.5)), log_density)
    assert np.isnan(responsibilities[0]).all() and np.isnan(log_likelihood[0])
    assert_close(responsibilities[1], 0.5)


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_top_k(run, dtype, layout, k):
    rng = np.random.default_rng(3)
    # Few distinct values, so that ties are common.
    proba = layout(rng.integers(0, 4, (50, 5)).astype(dtype))
    indices, values = run("top_k", proba, k)
    expected = np.argsort(-np.asarray(proba), axis=1, kind="stable")[:, :k]
    assert indices.dtype == np.intp and values.dtype == dtype
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_array_equal(values, np.take_along_axis(np.asarray(proba), expected, axis=1))


@pytest.mark.parametrize("n_samples", [2, 20_000])  # plain and compiled
@pytest.mark.parametrize(("k", "error"), [(0, ValueError), (4, ValueError), (1.0, TypeError)])
def test_top_k_refuses_impossible_numbers(n_samples, k, error):
    remedy = f"top_k={k} .* int between 1 and n_experts=3"
    with pytest.raises(error, match=remedy):
        _arithmetic.top_k(np.ones((n_samples, 3)), k)
    with pytest.raises(error, match=remedy):
        _arithmetic.linear_top_k(np.ones((n_samples, 1)), np.ones((3, 1)), np.zeros(3), k)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_linear_top_k(run, layout, k):
    rng = np.random.default_rng(7)
    X, coef, intercept = rng.normal(size=(150, 3)), rng.normal(size=(5, 3)), rng.normal(size=5)
    coef[3], intercept[3] = coef[1], intercept[1]  # ties
    indices, proba = run("linear_top_k", layout(X), coef, intercept, k)
    expected = np.exp(oracle_log_softmax(X @ coef.T + intercept))
    order = np.argsort(-expected.round(12), axis=1, kind="stable")[:, :k]
    assert indices.dtype == np.intp and proba.dtype == np.float64
    assert_close(proba, np.take_along_axis(expected, order, axis=1))
    np.testing.assert_array_equal(indices, order)


# Packed rows: a full tile and part of another


@pytest.fixture
def packed(dtype, layout):
    """Features, targets and weights, coefficients, and their packed forms in plain NumPy."""
    rng = np.random.default_rng(4)
    X = rng.normal(3, 2, (150, 5))
    targets = rng.dirichlet(np.ones(4), 150)
    weights = rng.uniform(0, 2, 150)
    return [layout(array.astype(dtype)) for array in (X, targets, weights[:, None])]


def standardised(X):
    return np.column_stack([(X - 1.0) * [1, 2, 3, 4, 5], np.ones(len(X))])


def tiles_of(run, matrix, shift, scale, n_columns):
    tiles = np.full((2, n_columns, 128), 77.0)
    run("pack", matrix, shift, scale, tiles)
    return tiles


def test_pack(run, packed):
    X, targets, _ = packed
    rows = tiles_of(run, X, np.ones(5), np.arange(1.0, 6.0), 6).transpose(0, 2, 1).reshape(-1, 6)
    assert_close(rows[:150], standardised(np.asarray(X, dtype=np.float64)))
    np.testing.assert_array_equal(rows[150:], 0)
    rows = tiles_of(run, targets, np.zeros(3), np.ones(3), 3).transpose(0, 2, 1)
    np.testing.assert_array_equal(rows.reshape(-1, 3)[:150], targets[:, :3])


@pytest.fixture
def tiles(run, packed):
    """Packed features and weights, some coefficients, and features and logits as they are."""
    tiles = tiles_of(run, packed[0], np.ones(5), np.arange(1.0, 6.0), 6)
    weights = tiles_of(run, packed[2], np.zeros(1), np.ones(1), 1)[:, 0].copy()
    coef = np.random.default_rng(5).normal(size=(3, 6))
    coef[0] *= 100  # some probabilities underflow
    Z = standardised(np.asarray(packed[0], dtype=np.float64))
    return tiles, weights, coef, Z, np.column_stack([Z @ coef.T, np.zeros(150)])


def assert_close_sums(result, expected):
    np.testing.assert_allclose(result, expected, rtol=1e-11, atol=1e-10)


def test_packed_log_softmax(run, tiles):
    tiles, _, coef, _, logits = tiles
    log_proba = np.empty((150, 4))
    run("packed_log_softmax", tiles, coef, log_proba)
    assert_close_sums(log_proba, oracle_log_softmax(logits))


def test_cross_entropy_in_parts(run, tiles, packed):
    """The partition function less the moments of the targets."""
    tiles, packed_weights, coef, Z, logits = tiles
    _, targets, weights = as_double(packed)
    targets = targets / targets.sum(axis=1, keepdims=True)  # in single precision not exactly 1
    value, gradient = run("log_partition", tiles, packed_weights, coef)
    moments = run("target_moments", tiles, targets, packed_weights)
    log_proba = oracle_log_softmax(logits)
    residual = (np.exp(log_proba) - targets) * weights
    expected = -np.sum(weights * targets * log_proba)
    assert_close_sums(value - np.sum(moments[:3] * coef), expected)
    assert_close_sums(gradient - moments[:3], residual[:, :3].T @ Z)
    assert_close_sums(moments.sum(axis=0), weights[:, 0] @ Z)


def test_target_moments(run, tiles, packed):
    tiles, packed_weights, _, Z, _ = tiles
    _, targets, weights = as_double(packed)
    moments = run("target_moments", tiles, packed[1], packed_weights)
    assert_close_sums(moments, (targets * weights).T @ Z)


def test_mixture_loss_and_gradient(run, tiles, packed):
    tiles, packed_weights, coef, Z, logits = tiles
    weights = as_double(packed)[2]
    log_density = np.random.default_rng(6).normal(0, 3, (150, 4))
    log_density[3] -= 1e3  # whose exponentials underflow
    packed_densities = tiles_of(run, log_density, np.zeros(4), np.ones(4), 4)
    loss, gradient = run(
        "mixture_loss_and_gradient", tiles, packed_densities, packed_weights, coef
    )
    log_proba = oracle_log_softmax(logits)
    log_likelihood = np.logaddexp.reduce(log_proba + log_density, axis=1)
    responsibilities = np.exp(log_proba + log_density - log_likelihood[:, None])
    residual = (np.exp(log_proba) - responsibilities) * weights
    assert_close_sums(loss, -weights[:, 0] @ log_likelihood)
    assert_close_sums(gradient, residual[:, :3].T @ Z)


@pytest.mark.parametrize("jitted", [False, True])
def test_exponential_and_logarithm(jitted):
    x = np.r_[0.0, np.linspace(-708, 709, 4001), -1e-300, 1e-20, -709.0, -1e308, -np.inf]
    functions = [compiled.exponential, compiled.logarithm]
    if not jitted:
        functions = [getattr(function, "py_func", function) for function in functions]
    exponential, logarithm = functions
    result = np.array([exponential(value) for value in x])
    np.testing.assert_allclose(result, np.where(x < -708, 0, np.exp(x)), rtol=4.5e-16)
    x = np.r_[1.0, np.geomspace(1e-300, 1e300, 4001), 1 + np.linspace(-1e-9, 1e-9, 99)]
    result = np.array([logarithm(value) for value in x])
    np.testing.assert_allclose(result, np.log(x), rtol=4.5e-16)


def test_kernels_are_chosen_by_size():
    assert _arithmetic.implementation(1000, 4) is reference
    assert _arithmetic.implementation(100_000, 4) is compiled
    logits = np.random.default_rng(6).normal(size=(30_000, 2))
    assert_close(_arithmetic.softmax(logits), reference.softmax(logits))
    assert_close(_arithmetic.log_softmax(logits), reference.log_softmax(logits))


def test_small_problems_do_not_import_numba():
    code = (
        "import sys, numpy as np, skmoe; from skmoe.gates import SoftmaxGate; "
        "X = np.random.default_rng(0).normal(size=(500, 3)); "
        "SoftmaxGate().fit(X, np.eye(2)[(X[:, 0] > 0).astype(int)]).predict_proba(X); "
        "assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_rows(run):
    empty = np.empty((0, 3))
    run("pack", empty, np.zeros(2), np.ones(2), np.empty((0, 3, 128)))
    assert run("softmax", empty).shape == (0, 3)
    assert run("log_softmax", empty).shape == (0, 3)
    assert [part.shape for part in run("e_step", empty, empty)] == [(0, 3), (0,)]
    assert [part.shape for part in run("top_k", empty, 2)] == [(0, 2), (0, 2)]
    chosen = run("linear_top_k", empty, np.ones((4, 3)), np.ones(4), 2)
    assert [part.shape for part in chosen] == [(0, 2), (0, 2)]
    nodes = [np.zeros(1, dtype=kind) for kind in ("i", "i", "d", "?")]
    leaf, nowhere = np.array([-1], dtype="i"), np.zeros(1, dtype="i")
    assert run("tree_leaves", empty.astype("f"), *nodes, leaf, nowhere).shape == (0, 1)


def test_import_compiles_nothing():
    code = (
        "from skmoe._arithmetic import compiled as k; "
        "assert not any(getattr(f, 'signatures', ()) for f in vars(k).values())"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_cache_directory_is_no_obstacle(monkeypatch):
    def njit(cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    def no_directory(function):
        raise RuntimeError("cannot cache function: no locator available")

    def kernel(x):
        return x

    monkeypatch.setattr(compiled, "njit", njit)
    monkeypatch.setattr(compiled, "_Cache", no_directory)
    assert compiled._compile(kernel) is kernel


# Least squares


@pytest.mark.parametrize("n_samples", [5, 150])
def test_weighted_moments(run, layout, n_samples):
    rng = np.random.default_rng(9)
    X, y, weights = (rng.normal(2, 1, (n_samples, size)) for size in (3, 1, 2))
    weights = np.abs(weights)
    centre = np.array([1.0, 2.0, 3.0, 4.0])
    Z = np.column_stack([X - centre[:3], y - centre[3], np.ones(n_samples)])
    expected = np.einsum("ik,ij,il->kjl", weights, Z, Z)
    result = run("weighted_moments", layout(X), layout(y[:, 0]), centre, layout(weights))
    np.testing.assert_allclose(result, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("n_features", [3, 60])
def test_weighted_moments_of_large_problems(n_features):
    """In parts, and with more columns than suit a tile."""
    rng = np.random.default_rng(10)
    X, y, weights = (rng.normal(2, 1, (20_001, size)) for size in (n_features, 1, 2))
    weights = np.abs(weights)
    arguments = X, y[:, 0], np.ones(n_features + 1), weights
    result, expected = (where.weighted_moments(*arguments) for where in (_arithmetic, reference))
    np.testing.assert_allclose(result, expected, rtol=1e-10, atol=1e-10)


def test_tree_leaves(run, layout):
    """A complete tree of two levels, and one that is a leaf."""
    feature = np.array([0, 1, 1, 0, 0, 0, 0, 0], dtype=np.int32)
    threshold = np.array([0.5, -1.0, 1.0, 0, 0, 0, 0, 0])
    missing_left = np.array([True, False, True, False, False, False, False, False])
    left = np.array([1, 3, 5, -1, -2, -3, -4, -5], dtype=np.int32)
    right = np.array([2, 4, 6, 0, 0, 0, 0, 0], dtype=np.int32)
    roots = np.array([0, 7], dtype=np.int32)
    rows = [[0.5, -1], [0.5, -0.9], [0.6, 1], [0.6, 2], [np.nan, -2], [np.nan, np.nan]]
    X = layout(np.array([*rows, [1.0, np.nan]], dtype=np.float32))
    leaves = run("tree_leaves", X, roots, feature, threshold, missing_left, left, right)
    np.testing.assert_array_equal(leaves[:, 0], [0, 1, 2, 3, 0, 1, 2])
    np.testing.assert_array_equal(leaves[:, 1], 4)
