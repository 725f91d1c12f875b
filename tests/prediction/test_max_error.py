"""Bounded error: what is promised holds on random models, and no more experts than needed."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.tree import DecisionTreeClassifier

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._prediction.max_error import bounded_route, probability_bound, range_bound

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

ROUNDING = 1e-14
RNG = np.random.RandomState(0)


def mixed(weights, outputs):
    """Mixtures (n, ...) of outputs (n, K, ...) with weights (n, K)."""
    return np.einsum("nk,nk...->n...", weights, outputs)


def scattered(routed, n_experts):
    """The weights of a route as an array (n, K)."""
    weights = np.zeros((len(routed.indices), n_experts))
    np.put_along_axis(weights, routed.indices, routed.weights, axis=1)
    return weights


def total_variation(first, second):
    return 0.5 * np.abs(first - second).sum(axis=1)


def random_gates(n_samples, n_experts):
    """From nearly certain rows to nearly uniform ones."""
    sharpness = RNG.uniform(0, 8, size=(n_samples, 1))
    logits = sharpness * RNG.normal(size=(n_samples, n_experts))
    proba = np.exp(logits - logits.max(axis=1, keepdims=True))
    return proba / proba.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("n_experts", [1, 2, 5, 16])
@pytest.mark.parametrize("max_error", [0.0, 0.001, 0.01, 0.1, 0.5])
def test_total_variation_is_bounded(n_experts, max_error):
    gate = random_gates(5000, n_experts)
    experts = RNG.dirichlet(np.full(3, 0.1), size=(5000, n_experts))  # nearly certain ones
    routed = bounded_route(gate, max_error, probability_bound)
    dense, truncated = mixed(gate, experts), mixed(scattered(routed, n_experts), experts)
    assert total_variation(dense, truncated).max() <= max_error + ROUNDING
    assert np.abs(dense - truncated).max() <= max_error + ROUNDING
    assert (1 - routed.mass).max() <= max_error + ROUNDING


@pytest.mark.parametrize("max_error", [0.001, 0.1, 0.5])
def test_fewer_experts_would_break_the_bound(max_error):
    """The constant is tight: where experts are certain of different classes, k - 1 is too few."""
    n_experts = 6
    gate = random_gates(5000, n_experts)
    experts = np.broadcast_to(np.eye(n_experts), (5000, n_experts, n_experts))
    needed = bounded_route(gate, max_error, probability_bound).experts_per_row
    dense = mixed(gate, experts)
    ordered = np.argsort(-gate, axis=1, kind="stable")
    for row in np.flatnonzero(needed > 1)[:500]:
        kept = np.zeros(n_experts)
        kept[ordered[row, : needed[row] - 1]] = gate[row, ordered[row, : needed[row] - 1]]
        truncated = kept / kept.sum()
        dropped = 1 - kept.sum()
        error = total_variation(dense[[row]], truncated[None])[0]
        assert error == pytest.approx(dropped)  # attained
        assert error > max_error


def random_ranges(n_experts, n_outputs):
    ends = RNG.normal(size=(n_experts, n_outputs, 2)) * RNG.lognormal(size=(n_experts, 1, 1))
    return np.sort(1000 * RNG.normal() + ends, axis=2)


@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("n_experts", [1, 2, 5, 16])
@pytest.mark.parametrize("max_error", [0.0, 0.01, 0.3, 2.0])
def test_means_are_bounded_within_the_ranges(n_experts, n_outputs, max_error):
    gate = random_gates(3000, n_experts)
    ranges = random_ranges(n_experts, n_outputs)
    routed = bounded_route(gate, max_error, range_bound(ranges))
    weights = scattered(routed, n_experts)
    low, high = ranges[..., 0], ranges[..., 1]
    for where in (
        RNG.uniform(size=(3000, n_experts, n_outputs)),
        RNG.randint(2, size=(3000, 1, 1)),
    ):
        outputs = low + where * (high - low)
        error = np.abs(mixed(gate, outputs) - mixed(weights, outputs)).max()
        assert error <= max_error + 1e-11  # the outputs are of the order of 1000
    # The worst that ranges allow: the experts kept at one end, the dropped at the other.
    for kept_end, dropped_end in [(low, high), (high, low)]:
        outputs = np.where((weights > 0)[..., None], kept_end, dropped_end)
        error = np.abs(mixed(gate, outputs) - mixed(weights, outputs)).max()
        assert error <= max_error + 1e-11


def test_the_range_bound_is_attained():
    gate = random_gates(300, 5)
    ranges = random_ranges(5, 1)
    indices = np.argsort(-gate, axis=1, kind="stable")
    proba = np.take_along_axis(gate, indices, axis=1)
    bound = range_bound(ranges)(indices, proba)
    low, high = ranges[:, 0, 0][indices], ranges[:, 0, 1][indices]
    for kept in range(1, 5):
        error = np.zeros(300)
        for kept_end, dropped_end in [(low, high), (high, low)]:
            outputs = np.where(np.arange(5) < kept, kept_end, dropped_end)
            truncated = np.average(outputs[:, :kept], axis=1, weights=proba[:, :kept])
            error = np.maximum(error, np.abs((proba * outputs).sum(axis=1) - truncated))
        np.testing.assert_allclose(bound[:, kept - 1], error, atol=1e-10)
    np.testing.assert_array_equal(bound[:, -1], 0)


def test_experts_that_cannot_differ_are_not_asked():
    """The range bound knows more than the dropped probability."""
    ranges = np.array([[[1.0, 1.0]], [[1.0, 1.0]], [[0.0, 5.0]]])
    routed = bounded_route(
        np.array([[0.4, 0.59, 0.01], [0.1, 0.3, 0.6]]), 0.1, range_bound(ranges)
    )
    np.testing.assert_array_equal(routed.experts_per_row, [1, 3])


X = RNG.normal(size=(400, 4))
Y = np.where(X[:, 0] > 0, 3 * X[:, 1], -X[:, 2]) + 0.1 * RNG.normal(size=400)
LABELS = np.digitize(Y, [-1, 1])
NEW = RNG.normal(size=(2000, 4))


@pytest.fixture(scope="module")
def forests():
    forest = RandomForestClassifier(10, min_samples_leaf=5)
    return MixtureOfExpertsClassifier(
        forest, n_experts=6, max_iter=3, overlap=0.1, shared_expert=None, random_state=0
    ).fit(X, LABELS)


@pytest.mark.parametrize("max_error", [0.0, 0.01, 0.2])
def test_probabilities(forests, max_error):
    dense = forests.predict_proba(NEW)
    truncated = forests.predict_proba(NEW, max_error=max_error)
    assert total_variation(dense, truncated).max() <= max_error + ROUNDING
    per_row = forests.route(NEW, max_error=max_error).experts_per_row
    assert 1 <= per_row.min() <= per_row.mean() <= 6
    if max_error == 0:
        np.testing.assert_array_equal(truncated, dense)
    else:
        assert per_row.mean() < 6  # or else nothing was truncated
    labels = forests.classes_[truncated.argmax(axis=1)]
    np.testing.assert_array_equal(forests.predict(NEW, max_error=max_error), labels)


def test_fewer_experts_for_more_error(forests):
    errors = [0.0, 0.001, 0.01, 0.1, 0.5, 1.0]
    per_row = [forests.route(NEW, max_error=e).experts_per_row for e in errors]
    assert (np.diff(per_row, axis=0) <= 0).all()
    assert per_row[0].min() == 6
    assert per_row[-1].max() == 1


def test_logarithms_and_scores_of_few_experts(forests):
    proba = forests.predict_proba(NEW, max_error=1.0)
    np.testing.assert_array_equal(forests.predict_log_proba(NEW, max_error=1.0), np.log(proba))
    labels = forests.predict(NEW, max_error=1.0)
    assert forests.score(NEW, labels, max_error=1.0) == 1.0
    assert forests.score(NEW, labels) < 1.0
    model = MixtureOfExpertsRegressor(LinearRegression(), max_iter=3, random_state=0).fit(X, Y)
    said = model.predict(NEW, max_error=0.5)
    assert model.score(NEW, said, max_error=0.5) == 1.0
    assert model.score(NEW, said) < 1.0


def test_max_error_overrides_top_k(forests):
    expected = forests.predict_proba(NEW, max_error=0.01)
    try:
        forests.set_params(top_k=1)
        np.testing.assert_array_equal(forests.predict_proba(NEW, max_error=0.01), expected)
        assert forests.route(NEW).indices.shape == (2000, 1)
    finally:
        forests.set_params(top_k=None)


@pytest.mark.parametrize("max_error", [0.0, 0.05, 1.0])
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_means(max_error, n_outputs):
    forest = RandomForestRegressor(10, min_samples_leaf=5)
    y = Y if n_outputs == 1 else np.column_stack([Y, 2 * X[:, 3]])
    model = MixtureOfExpertsRegressor(
        forest, n_experts=4, max_iter=3, overlap=0.1, random_state=0
    ).fit(X, y)
    dense, truncated = model.predict(NEW), model.predict(NEW, max_error=max_error)
    each = model.predict_experts(NEW).reshape(len(NEW), 4, -1)
    ranges = model.prediction_range_.reshape(4, -1, 2)
    inside = ((each >= ranges[..., 0]) & (each <= ranges[..., 1])).all(axis=(1, 2))
    assert inside.mean() > 0.5
    error = np.abs(dense - truncated).reshape(len(NEW), -1).max(axis=1)
    assert error[inside].max() <= max_error + ROUNDING
    if max_error == 0:
        np.testing.assert_array_equal(truncated, dense)
    else:
        assert model.route(NEW, max_error=max_error).experts_per_row.mean() < 4


def test_ranges_are_those_of_held_out_predictions():
    model = MixtureOfExpertsRegressor(LinearRegression(), n_experts=2, random_state=0)
    assert model.fit(X, Y).prediction_range_.shape == (2, 2)
    insample = model.set_params(e_step="insample").fit(X, Y)
    each = insample.predict_experts(X)
    expected = np.column_stack([each.min(axis=0), each.max(axis=0)])
    np.testing.assert_allclose(insample.prediction_range_, expected)
    assert model.fit(X, np.column_stack([Y, Y])).prediction_range_.shape == (2, 2, 2)


def test_the_guarantee_of_means_is_conditional():
    """An expert that extrapolates breaks the bound, as the docstring says."""
    line = MixtureOfExpertsRegressor(LinearRegression(), n_experts=2, overlap=0, random_state=0)
    line.fit(X, Y)
    far = 50 * NEW
    error = np.abs(line.predict(far) - line.predict(far, max_error=0.5))
    each = line.predict_experts(far)
    inside = ((each >= line.prediction_range_[:, 0]) & (each <= line.prediction_range_[:, 1])).all(
        1
    )
    assert error[inside].max(initial=0) <= 0.5
    assert error.max() > 0.5


@pytest.mark.parametrize("max_error", [-0.1, np.nan, "small", [0.1]])
def test_errors_that_are_none(forests, max_error):
    with pytest.raises(ValueError, match="max_error must be a number of at least 0"):
        forests.predict_proba(X, max_error=max_error)


def test_one_limit_at_a_time(forests):
    with pytest.raises(ValueError, match="top_k=2 or max_error=0.1, not both"):
        forests.route(X, top_k=2, max_error=0.1)


def test_no_rows(forests):
    assert forests.predict_proba(X[:0], max_error=0.1).shape == (0, 3)
    assert forests.route(X[:0], max_error=0.1).indices.shape == (0, 1)


class ReadsGate(BaseEstimator):
    """A gate whose probabilities are the first columns of X."""

    def fit(self, X, R, sample_weight=None):
        self.n_experts_ = np.shape(R)[1]
        return self

    def predict_proba(self, X):
        return np.asarray(X, dtype=np.float64)[:, : self.n_experts_]

    def predict_log_proba(self, X):
        return np.log(self.predict_proba(X))


def test_rows_need_the_same_experts_alone_and_in_a_batch():
    proba = random_gates(100, 5)
    rows = np.hstack([proba, RNG.normal(size=(100, 2))])
    model = MixtureOfExpertsClassifier(
        DecisionTreeClassifier(max_depth=3),
        n_experts=5,
        gate=ReadsGate(),
        init="random",
        max_iter=1,
        overlap=0.1,
        random_state=0,
    ).fit(rows, np.arange(100) % 2)
    whole = model.predict_proba(rows, max_error=0.05)
    alone = [model.predict_proba(rows[[i]], max_error=0.05) for i in range(100)]
    np.testing.assert_array_equal(np.concatenate(alone), whole)


@pytest.mark.slow
def test_never_violated_in_a_million_rows(forests):
    for _ in range(10):
        rows = 3 * RNG.normal(size=(100_000, 4))
        error = total_variation(
            forests.predict_proba(rows), forests.predict_proba(rows, max_error=0.01)
        )
        assert error.max() <= 0.01 + ROUNDING
