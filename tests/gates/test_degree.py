"""Softmax gates of degree 2: squares and products of the features."""

import pickle

import numpy as np
import pytest
import small_mixtures as small
from scipy import sparse
from sklearn.linear_model import Ridge

from skmoe.gates import SoftmaxGate
from skmoe.gates._terms import MOST_FEATURES, REACH, Products, n_terms
from skmoe.inspection import explain_routing

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    X = rng.normal([1.0, -2.0, 100.0], [1.0, 3.0, 0.1], size=(300, 3))
    Z = (X - [1.0, -2.0, 100.0]) / [1.0, 3.0, 0.1]
    logits = np.column_stack([Z[:, 0] * Z[:, 1], Z[:, 2] ** 2, Z[:, 0]])
    proba = np.exp(logits)
    return X, proba / proba.sum(axis=1, keepdims=True), rng.uniform(0.5, 2.0, 300)


def expanded(X, mean, deviation):
    """Features and products, written as loops."""
    Z = np.clip((X - mean) / deviation, -REACH, REACH)
    pairs = [(i, j) for i in range(X.shape[1]) for j in range(i, X.shape[1])]
    return np.column_stack([X, *(Z[:, i] * Z[:, j] for i, j in pairs)])


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_it_is_a_gate_of_degree_1_on_more_features(problem, temperature):
    X, R, weight = problem
    X = X.copy()
    X[0, 0] = 60.0  # out of reach
    gate = SoftmaxGate(0.01, degree=2, temperature=temperature, tol=1e-10).fit(X, R, weight)
    mean = np.average(X, axis=0, weights=weight)
    deviation = np.sqrt(np.average((X - mean) ** 2, axis=0, weights=weight))
    plain = SoftmaxGate(0.01, temperature=temperature, tol=1e-10)
    plain.fit(expanded(X, mean, deviation), R, weight)
    np.testing.assert_allclose(
        gate.predict_proba(X), plain.predict_proba(expanded(X, mean, deviation)), atol=1e-8
    )
    coef = np.hstack([gate.coef_, gate.product_coef_])
    np.testing.assert_allclose(coef, plain.coef_, atol=1e-6)
    assert gate.coef_.shape == (3, 3) and gate.product_coef_.shape == (3, 6)
    indices, proba = gate.top_k(X, 2)
    order = np.argsort(-gate.predict_proba(X), axis=1)[:, :2]
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_allclose(proba, np.take_along_axis(gate.predict_proba(X), order, axis=1))


def test_it_finds_what_a_straight_border_cannot(problem):
    X, R, weight = problem
    loss = {
        degree: -np.sum(R * SoftmaxGate(degree=degree).fit(X, R, weight).predict_log_proba(X))
        / len(X)
        for degree in (1, 2)
    }
    entropy = -np.sum(R * np.log(R)) / len(X)
    assert loss[2] - entropy < 0.01 < 0.1 < loss[1] - entropy


def test_missing_values_are_at_the_mean_in_products_too(problem):
    X, R, _ = problem
    holes = X.copy()
    holes[::4, 1] = np.nan
    gate = SoftmaxGate(degree=2).fit(holes, R)
    assert gate.missing_coef_.shape == (3, 1)
    filled = np.where(np.isnan(holes), gate.feature_means_, holes)
    logits = filled @ gate.coef_.T + np.isnan(holes[:, [1]]) @ gate.missing_coef_.T
    logits += gate.products_.columns(filled) @ gate.product_coef_.T + gate.intercept_
    proba = np.exp(logits - logits.max(axis=1, keepdims=True))
    proba /= proba.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(gate.predict_proba(holes), proba, atol=1e-10)


def test_constant_features_have_no_products():
    products = Products.of(np.zeros(3), np.array([1.0, 0.0, 0.5]))
    assert products.pairs.tolist() == [[0, 0], [0, 2], [2, 2]]


def test_a_gate_without_any_product(problem):
    _, R, _ = problem
    gate = SoftmaxGate(degree=2).fit(np.ones((300, 2)), R)
    assert gate.product_coef_.shape == (3, 0)
    np.testing.assert_allclose(gate.predict_proba(np.ones((1, 2)))[0], R.mean(axis=0), atol=1e-6)


def test_many_features_have_squares_only():
    for n_features in (1, 5, MOST_FEATURES, MOST_FEATURES + 1):
        pairs = Products.of(np.zeros(n_features), np.ones(n_features)).pairs
        assert n_features + len(pairs) == n_terms(n_features)
    assert (pairs[:, 0] == pairs[:, 1]).all()


def test_warm_start_and_conditioning(problem):
    X, R, weight = problem
    gate = SoftmaxGate(degree=2, warm_start=True).fit(X, R, weight)
    proba = gate.predict_proba(X)
    rest = gate.without(1).predict_proba(X)
    np.testing.assert_allclose(rest, proba[:, [0, 2]] / proba[:, [0, 2]].sum(axis=1)[:, None])
    assert gate.fit(X, R, weight).n_iter_ == 0
    gate.set_params(degree=1).fit(X, R, weight)
    assert gate.products_ is None and gate.product_coef_.shape == (3, 0)
    gate.set_params(degree=2)  # what is fitted stays linear until the next fit
    assert gate.predict_proba(X[:1]).shape == (1, 3)


def test_sparse_features_are_refused(problem):
    X, R, _ = problem
    with pytest.raises(ValueError, match="degree=2.*sparse.*degree=1"):
        SoftmaxGate(degree=2).fit(sparse.csr_matrix(X), R)
    gate = SoftmaxGate(degree=2).fit(X, R)
    with pytest.raises(ValueError, match="degree=2"):
        gate.predict_proba(sparse.csr_matrix(X))


@pytest.mark.parametrize("degree", [0, 3, "auto", 1.5])
def test_bad_degree(problem, degree):
    with pytest.raises(ValueError, match="'degree' parameter"):
        SoftmaxGate(degree=degree).fit(*problem)


def test_a_gate_from_before_there_were_degrees(problem):
    X, R, _ = problem
    gate = SoftmaxGate(0.25).fit(X, R)
    state = {
        name: value
        for name, value in gate.__getstate__().items()
        if name not in ("degree", "product_coef_", "products_")
    }
    revived = SoftmaxGate.__new__(SoftmaxGate)
    revived.__setstate__(state)
    np.testing.assert_array_equal(revived.predict_proba(X), gate.predict_proba(X))
    again = pickle.loads(pickle.dumps(revived))
    assert again.degree == 1 and again.without(0).predict_proba(X).shape == (300, 2)


# explanations -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mixture():
    gate = SoftmaxGate(1e-3, degree=2)
    return small.regressor(Ridge(), n_experts=3, gate=gate, init="kmeans").fit(small.X, small.Y)


def test_contributions_add_up(mixture):
    explanation = explain_routing(mixture, small.X)
    log_proba = np.sort(mixture.gate_.predict_log_proba(small.X), axis=1)
    log_odds = log_proba[:, -1] - log_proba[:, -2]
    np.testing.assert_allclose(explanation["routing", "log_odds"].astype(float), log_odds)
    total = explanation["contribution"].sum(axis=1) + explanation["routing", "baseline"]
    np.testing.assert_allclose(total.astype(float), log_odds)


def test_a_product_is_shared_by_its_factors():
    """As Shapley values are, with the mean as the baseline."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 2))
    proba = 1 / (1 + np.exp(-3 * X[:, 0] * X[:, 1]))
    gate = SoftmaxGate(1e-4, degree=2).fit(X, np.column_stack([proba, 1 - proba]))
    model = small.regressor(Ridge(), n_experts=2, overlap=1.0, init=np.full((400, 2), 0.5))
    model.fit(X, X[:, 0])
    model.gate_ = gate
    contribution = explain_routing(model, X)["contribution"].to_numpy()
    for row, x in zip(contribution, X, strict=True):
        values = {
            (i, j): gate.predict_log_proba([np.where([i, j], x, gate.feature_means_)])[0]
            for i in (0, 1)
            for j in (0, 1)
        }
        chosen = int(np.argmax(values[1, 1]))
        odds = {key: value[chosen] - value[1 - chosen] for key, value in values.items()}
        shapley = (odds[1, 0] - odds[0, 0] + odds[1, 1] - odds[0, 1]) / 2
        np.testing.assert_allclose(row[0], shapley, atol=1e-8)


def test_the_border_is_the_nearest_to_first_order(mixture):
    gate, step = mixture.gate_, 1e-6
    explanation = explain_routing(mixture, small.X)
    names = list(mixture.named_experts_)
    change = explanation["change"].to_numpy(dtype=float)
    spread = small.X.std(axis=0)
    for x, delta, row in zip(small.X[:20], change, explanation.itertuples(), strict=False):
        log_proba = gate.predict_log_proba([x])[0]
        chosen = log_proba.argmax()
        other = names.index(explanation.loc[row.Index, ("border", "expert")])

        def log_odds(point, chosen=chosen, other=other):
            logs = gate.predict_log_proba([point])[0]
            return logs[chosen] - logs[other]

        slope = [
            (log_odds(x + step * e) - log_odds(x - step * e)) / (2 * step) for e in np.eye(len(x))
        ]
        np.testing.assert_allclose(log_odds(x) + delta @ slope, 0.0, atol=1e-4)
        # Along the gradient, in units of standard deviations.
        direction = np.array(slope) * spread
        cosine = -(delta / spread) @ direction
        cosine /= np.linalg.norm(delta / spread) * np.linalg.norm(direction)
        np.testing.assert_allclose(cosine, 1.0, atol=1e-4)
