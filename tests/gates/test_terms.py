"""Softmax gates with products and splines of the features."""

import pickle
import warnings

import numpy as np
import pytest
import small_mixtures as small
from scipy import sparse
from sklearn.linear_model import Ridge

from skmoe.gates import SoftmaxGate
from skmoe.gates._terms import (
    MOST_FEATURES,
    MOST_KNOTS,
    REACH,
    Products,
    Splines,
    knots_of,
    most_terms,
)
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
def test_it_is_a_gate_linear_one_on_more_features(problem, temperature):
    X, R, weight = problem
    X = X.copy()
    X[0, 0] = 60.0  # out of reach
    gate = SoftmaxGate(0.01, terms="products", temperature=temperature, tol=1e-10).fit(
        X, R, weight
    )
    mean = np.average(X, axis=0, weights=weight)
    deviation = np.sqrt(np.average((X - mean) ** 2, axis=0, weights=weight))
    plain = SoftmaxGate(0.01, temperature=temperature, tol=1e-10)
    plain.fit(expanded(X, mean, deviation), R, weight)
    np.testing.assert_allclose(
        gate.predict_proba(X), plain.predict_proba(expanded(X, mean, deviation)), atol=1e-8
    )
    coef = np.hstack([gate.coef_, gate.term_coef_])
    np.testing.assert_allclose(coef, plain.coef_, atol=1e-6)
    assert gate.coef_.shape == (3, 3) and gate.term_coef_.shape == (3, 6)
    indices, proba = gate.top_k(X, 2)
    order = np.argsort(-gate.predict_proba(X), axis=1)[:, :2]
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_allclose(proba, np.take_along_axis(gate.predict_proba(X), order, axis=1))


def test_it_finds_what_a_straight_border_cannot(problem):
    X, R, weight = problem
    loss = {
        terms: -np.sum(R * SoftmaxGate(terms=terms).fit(X, R, weight).predict_log_proba(X))
        / len(X)
        for terms in ("linear", "products")
    }
    entropy = -np.sum(R * np.log(R)) / len(X)
    assert loss["products"] - entropy < 0.01 < 0.1 < loss["linear"] - entropy


def test_missing_values_are_at_the_mean_in_products_too(problem):
    X, R, _ = problem
    holes = X.copy()
    holes[::4, 1] = np.nan
    gate = SoftmaxGate(terms="products").fit(holes, R)
    assert gate.missing_coef_.shape == (3, 1)
    filled = np.where(np.isnan(holes), gate.feature_means_, holes)
    logits = filled @ gate.coef_.T + np.isnan(holes[:, [1]]) @ gate.missing_coef_.T
    logits += gate.terms_.columns(filled) @ gate.term_coef_.T + gate.intercept_
    proba = np.exp(logits - logits.max(axis=1, keepdims=True))
    proba /= proba.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(gate.predict_proba(holes), proba, atol=1e-10)


def test_constant_features_have_no_products():
    products = Products.of(np.zeros(3), np.array([1.0, 0.0, 0.5]))
    assert products.pairs.tolist() == [[0, 0], [0, 2], [2, 2]]


def test_a_gate_without_any_product(problem):
    _, R, _ = problem
    gate = SoftmaxGate(terms="products").fit(np.ones((300, 2)), R)
    assert gate.term_coef_.shape == (3, 0)
    np.testing.assert_allclose(gate.predict_proba(np.ones((1, 2)))[0], R.mean(axis=0), atol=1e-6)


def test_many_features_have_squares_only():
    for n_features in (1, 5, MOST_FEATURES, MOST_FEATURES + 1):
        pairs = Products.of(np.zeros(n_features), np.ones(n_features)).pairs
        X = np.random.default_rng(0).normal(size=(50, n_features))
        hats = Splines.of(X, np.ones(50)).features
        assert n_features + max(len(pairs), len(hats)) <= most_terms(n_features)
    assert len(hats) == n_features  # one each
    X[:, 1:] = X[:, 1:] > 0  # which have no knots
    assert Splines.of(X, np.ones(50)).features.tolist() == [0] * MOST_KNOTS
    assert (pairs[:, 0] == pairs[:, 1]).all()


def test_warm_start_and_conditioning(problem):
    X, R, weight = problem
    gate = SoftmaxGate(terms="products", warm_start=True).fit(X, R, weight)
    proba = gate.predict_proba(X)
    rest = gate.without(1).predict_proba(X)
    np.testing.assert_allclose(rest, proba[:, [0, 2]] / proba[:, [0, 2]].sum(axis=1)[:, None])
    assert gate.fit(X, R, weight).n_iter_ == 0
    gate.set_params(terms="linear").fit(X, R, weight)
    assert gate.terms_ is None and gate.term_coef_.shape == (3, 0)
    gate.set_params(terms="products")  # what is fitted stays linear until the next fit
    assert gate.predict_proba(X[:1]).shape == (1, 3)


def test_sparse_features_are_refused(problem):
    X, R, _ = problem
    with pytest.raises(ValueError, match="terms='products'.*sparse.*terms='linear'"):
        SoftmaxGate(terms="products").fit(sparse.csr_matrix(X), R)
    gate = SoftmaxGate(terms="products").fit(X, R)
    with pytest.raises(ValueError, match="terms='products'"):
        gate.predict_proba(sparse.csr_matrix(X))


@pytest.mark.parametrize("terms", [2, "spline", None])
def test_bad_terms(problem, terms):
    with pytest.raises(ValueError, match="'terms' parameter"):
        SoftmaxGate(terms=terms).fit(*problem)


@pytest.mark.parametrize("terms", ["linear", "products"])
def test_a_gate_from_when_terms_were_degrees(problem, terms):
    X, R, _ = problem
    gate = SoftmaxGate(terms=terms).fit(X, R)
    former = {"terms": "degree", "term_coef_": "product_coef_", "terms_": "products_"}
    state = {former.get(name, name): value for name, value in gate.__getstate__().items()}
    revived = SoftmaxGate.__new__(SoftmaxGate)
    revived.__setstate__(state | {"degree": {"linear": 1, "products": 2}[terms]})
    np.testing.assert_array_equal(revived.predict_proba(X), gate.predict_proba(X))
    assert revived.terms == terms and not hasattr(revived, "degree")


def test_a_gate_from_before_there_were_degrees(problem):
    X, R, _ = problem
    gate = SoftmaxGate(0.25).fit(X, R)
    state = {
        name: value
        for name, value in gate.__getstate__().items()
        if name not in ("terms", "term_coef_", "terms_")
    }
    revived = SoftmaxGate.__new__(SoftmaxGate)
    revived.__setstate__(state)
    np.testing.assert_array_equal(revived.predict_proba(X), gate.predict_proba(X))
    again = pickle.loads(pickle.dumps(revived))
    assert again.terms == "linear" and again.without(0).predict_proba(X).shape == (300, 2)


# splines ----------------------------------------------------------------------------------------


def interval(n_rows=400):
    """An expert for an interval of a feature, in units of no particular size."""
    x = np.random.default_rng(0).uniform(-1, 1, n_rows)
    inside = (np.abs(x) < 0.5).astype(float)
    X = np.column_stack([1e6 + 1e3 * x, np.sin(1e4 * x)])
    return X, np.column_stack([inside, 1 - inside])


def test_splines_cut_an_interval_out_of_an_axis():
    X, R = interval()
    accuracy = {
        terms: np.mean(SoftmaxGate(terms=terms).fit(X, R).predict(X) == R.argmax(axis=1))
        for terms in ("linear", "splines")
    }
    assert accuracy["splines"] > 0.95 and accuracy["linear"] < 0.8


def test_splines_are_a_linear_gate_on_interpolated_columns(problem):
    """numpy.interp of unit vectors is the independent way to the same hats."""
    X, R, weight = problem
    gate = SoftmaxGate(0.01, terms="splines", tol=1e-10).fit(X, R, weight)
    columns = [X]
    for feature in range(X.shape[1]):
        knots = knots_of(X[:, feature], weight, MOST_KNOTS)
        assert len(knots) == MOST_KNOTS + 2
        hats = np.eye(len(knots))[1:-1]
        columns += [np.interp(X[:, feature], knots, hat)[:, np.newaxis] for hat in hats]
    wide = np.hstack(columns)
    plain = SoftmaxGate(0.01, tol=1e-10).fit(wide, R, weight)
    np.testing.assert_allclose(gate.predict_proba(X), plain.predict_proba(wide), atol=1e-8)
    np.testing.assert_allclose(np.hstack([gate.coef_, gate.term_coef_]), plain.coef_, atol=1e-6)
    indices, proba = gate.top_k(X, 2)
    np.testing.assert_allclose(proba, -np.sort(-gate.predict_proba(X))[:, :2])
    assert indices.shape == (300, 2)


def test_beyond_the_outermost_knots_only_the_feature_is_left(problem):
    X, R, weight = problem
    gate = SoftmaxGate(0.01, terms="splines").fit(X, R, weight)
    far = np.array([[1e3, -1e3, 1e3]])
    np.testing.assert_array_equal(gate.terms_.columns(far), 0.0)
    logits = far @ gate.coef_.T + gate.intercept_
    logits -= logits.max()
    np.testing.assert_allclose(gate.predict_proba(far), np.exp(logits) / np.exp(logits).sum())


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 1.0, 0.0, 1.0], [0, 1]),
        ([3.0, 1.0, 2.0, 2.0, np.nan], [1, 2, 3]),
        ([5.0, 5.0, 5.0], [5]),
        ([np.nan, np.nan], []),
        ([0.0, 1e-12, 0.5, 1.0], [0, 0.5, 1]),
        (np.arange(101.0), [0, 25, 50, 75, 100]),
    ],
)
def test_knots(values, expected):
    values = np.array(values)
    np.testing.assert_allclose(knots_of(values, np.ones(len(values)), 3), expected)


def test_knots_of_weighted_rows_are_those_of_repeated_ones():
    rng = np.random.default_rng(0)
    values, weights = rng.normal(size=60), rng.integers(0, 4, 60)
    np.testing.assert_array_equal(
        knots_of(values, 0.1 * weights, 5),
        knots_of(np.repeat(values, weights), np.ones(weights.sum()), 5),
    )


def test_splines_of_missing_binary_and_constant_features(problem):
    X, R, weight = problem
    X = np.column_stack([X[:, 0], X[:, 1] > -2, np.ones(300), np.full(300, np.nan)])
    X[::5, 0] = np.nan
    gate = SoftmaxGate(terms="splines").fit(X, R, weight)
    assert set(gate.terms_.features) == {0} and gate.missing_features_.tolist() == [0, 3]
    assert np.isfinite(gate.predict_proba(X)).all()
    # A missing value stands at the mean, with a coefficient of its own.
    shown, hidden = X[:1].copy(), X[:1].copy()
    shown[0, 0], hidden[0, 0] = gate.feature_means_[0], np.nan
    ratio = gate.predict_log_proba(hidden) - gate.predict_log_proba(shown)
    added = gate.missing_coef_[:, 0]
    np.testing.assert_allclose(ratio - ratio.mean(), [added - added.mean()], atol=1e-8)


def test_splines_refuse_sparse_features(problem):
    with pytest.raises(ValueError, match="terms='splines'.*sparse.*terms='linear'"):
        SoftmaxGate(terms="splines").fit(sparse.csr_matrix(problem[0]), problem[1])


# explanations -----------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["products", "splines"])
def mixture(request):
    gate = SoftmaxGate(1e-3, terms=request.param)
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
    gate = SoftmaxGate(1e-4, terms="products").fit(X, np.column_stack([proba, 1 - proba]))
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


@pytest.mark.parametrize("terms", ["linear", "products", "splines"])
def test_names_of_columns_are_checked_once(terms, monkeypatch):
    """And not of what was made of a frame, which has none."""
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(200, 3)), columns=list("abc"))
    R = np.eye(2)[(X["a"] * X["b"] > 0).astype(int)]
    gate = SoftmaxGate(terms=terms).fit(X, R)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = gate.predict_proba(X)
        monkeypatch.setattr("skmoe.gates._softmax.NUMBERS_OF_TERMS", 70)  # a few rows at a time
        np.testing.assert_allclose(gate.predict_proba(X), whole, atol=1e-12)
        assert gate.predict_proba(X[:0]).shape == (0, 2)
