"""Conditional computation: what is computed, by whom, and that nothing else changes."""

import time
import weakref

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._data.rows import check_features
from skmoe._prediction import dispatch as _dispatch
from skmoe._prediction.dispatch import ALL_ROWS, dense_blocks, sparse_blocks
from skmoe._prediction.routing import Route, route

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

K = 5


class ReadsGate(BaseEstimator):
    """A gate whose probabilities are the first columns of X, so that a test can set them."""

    def fit(self, X, R, sample_weight=None):
        self.n_experts_ = np.shape(R)[1]
        return self

    def predict_proba(self, X):
        if sparse.issparse(X):
            X = X.toarray()
        return np.asarray(X, dtype=np.float64)[:, : self.n_experts_]

    def predict_log_proba(self, X):
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))


RNG = np.random.RandomState(0)
PROBA = RNG.dirichlet(np.full(K, 0.3), size=200)
X = np.hstack([PROBA, RNG.normal(size=(200, 3))])
Y = X[:, 5] * np.where(PROBA.argmax(axis=1) % 2, 1, -1)
LABELS = np.digitize(Y, [-0.5, 0.5])

SMALL = {
    "n_experts": K,
    "gate": ReadsGate(),
    "init": "random",
    "max_iter": 1,
    "cv": 2,
    "overlap": 0.1,
    "shared_expert": None,
}


def regressor(expert=None, X=X, **parameters):
    expert = DecisionTreeRegressor(max_depth=4) if expert is None else expert
    return MixtureOfExpertsRegressor(expert, random_state=0, **SMALL, **parameters).fit(X, Y)


def classifier(X=X, **parameters):
    expert = DecisionTreeClassifier(max_depth=4)
    return MixtureOfExpertsClassifier(expert, random_state=0, **SMALL, **parameters).fit(X, LABELS)


def answers(model, X):
    return model.predict_proba(X) if hasattr(model, "classes_") else model.predict(X)


@pytest.fixture(scope="module", params=["regressor", "classifier"])
def model(request):
    return {"regressor": regressor, "classifier": classifier}[request.param]()


def with_top_k(model, top_k):
    """The fitted model, asking so many experts."""
    return model.set_params(top_k=top_k)


def densely_mixed(model, X):
    """The definition: the sum over the experts, first to last."""
    mixed = 0.0
    for k, expert in enumerate(model.experts_):
        if hasattr(model, "classes_"):
            q = np.zeros((len(X), len(model.classes_)))
            q[:, np.searchsorted(model.classes_, expert.classes_)] = expert.predict_proba(X)
            q = (1 - model.floor_[k]) * q + model.floor_[k] / len(model.classes_)
            mixed += model.gate_proba(X)[:, [k]] * q
        else:
            mixed += model.gate_proba(X)[:, k] * expert.predict(X)
    return mixed


def test_all_experts_are_the_dense_mixture_to_the_bit(model):
    expected = densely_mixed(model, X)
    np.testing.assert_array_equal(answers(with_top_k(model, None), X), expected)
    np.testing.assert_array_equal(answers(with_top_k(model, K), X), expected)


@pytest.mark.parametrize("top_k", [1, 2, 4])
def test_top_k_is_the_renormalised_mixture(model, top_k):
    kept = np.argsort(-PROBA, axis=1, kind="stable")[:, :top_k]
    proba = np.zeros_like(PROBA)
    np.put_along_axis(proba, kept, np.take_along_axis(PROBA, kept, axis=1), axis=1)
    proba /= proba.sum(axis=1, keepdims=True)
    each = model.predict_experts(X)
    if each.ndim == 3:
        floor = model.floor_[:, np.newaxis]
        each = (1 - floor) * each + floor / len(model.classes_)
    expected = np.einsum("nk,nk...->n...", proba, each)
    np.testing.assert_allclose(answers(with_top_k(model, top_k), X), expected, rtol=1e-12)


def test_ties_go_to_the_experts_that_come_first(model):
    tied = X.copy()
    tied[:, :K] = [0.1, 0.3, 0.3, 0.0, 0.3]
    np.testing.assert_array_equal(model.route(tied, top_k=2).indices, [[1, 2]] * len(X))
    np.testing.assert_array_equal(model.apply(tied), 1)
    one = answers(with_top_k(model, 1), tied)
    each = model.predict_experts(tied)[:, 1]
    if each.ndim == 2:
        each = (1 - model.floor_[1]) * each + model.floor_[1] / len(model.classes_)
    np.testing.assert_array_equal(one, each)


@pytest.mark.parametrize("top_k", [None, 1, 2, K])
def test_a_row_alone_is_the_row_in_a_batch(model, top_k):
    whole = answers(with_top_k(model, top_k), X)
    alone = np.concatenate([answers(model, X[[i]]) for i in range(len(X))])
    np.testing.assert_array_equal(alone, whole)
    order = RNG.permutation(len(X))
    np.testing.assert_array_equal(answers(model, X[order]), whole[order])
    np.testing.assert_array_equal(answers(model, X[::-3]), whole[::-3])


@pytest.mark.parametrize("top_k", [None, 1, 2])
@pytest.mark.parametrize("n_jobs", [2, 3])
def test_number_of_jobs_changes_nothing(model, top_k, n_jobs, monkeypatch):
    serial = answers(with_top_k(model, top_k), X)
    calls = []

    class Watched(_dispatch.Parallel):
        def __call__(self, tasks):
            calls.append(self.n_jobs)
            return super().__call__(tasks)

    monkeypatch.setattr(_dispatch, "PARALLEL_OVERHEAD", 0.0)
    monkeypatch.setattr(_dispatch, "Parallel", Watched)
    try:
        np.testing.assert_array_equal(answers(model.set_params(n_jobs=n_jobs), X), serial)
    finally:
        model.set_params(n_jobs=None)
    assert calls == [n_jobs]


def test_large_batches_are_parallel_from_the_start(monkeypatch):
    monkeypatch.setattr(_dispatch, "LARGE_BATCH", 0)
    model = regressor(top_k=2).set_params(n_jobs=2)
    np.testing.assert_array_equal(model.predict(X), model.set_params(n_jobs=1).predict(X))


class Slow(RegressorMixin, BaseEstimator):
    """Sleeps, which releases the lock as compiled code does."""

    def __init__(self, seconds=0.0):
        self.seconds = seconds

    def fit(self, X, y):
        return self

    def predict(self, X):
        time.sleep(self.seconds)
        return X[:, 0]


def test_workers_are_started_only_where_they_pay(monkeypatch):
    started = []

    class Watched(_dispatch.Parallel):
        def __call__(self, tasks):
            started.append(True)
            return super().__call__(tasks)

    monkeypatch.setattr(_dispatch, "Parallel", Watched)
    model = regressor(Slow()).set_params(n_jobs=4)
    model.predict(X)
    assert not started
    for expert in model.experts_:
        expert.seconds = 0.2
    model.predict(X)
    assert started
    started.clear()
    model.set_params(n_jobs=1).predict(X)
    assert not started
    for expert in model.experts_:
        expert.seconds = 0.0
    many = np.tile(X, (_dispatch.LARGE_BATCH // len(X), 1))
    model.predict(many)
    assert not started
    model.set_params(n_jobs=4).predict(many)
    assert started


def test_no_rows(model):
    shape = (0, *answers(model, X).shape[1:])
    for top_k in (None, 1, 2):
        assert answers(with_top_k(model, top_k), X[:0]).shape == shape
    assert dense_blocks(PROBA[:0]) == sparse_blocks(route(PROBA[:0], 2), K) == []


class Witness(RegressorMixin, BaseEstimator):
    """Remembers what it was asked, and whether what others were asked is still in memory."""

    asked: list = []

    def fit(self, X, y):
        return self

    def predict(self, X):
        alive = sum(reference() is not None for _, reference, *_ in Witness.asked)
        array = X.data if sparse.issparse(X) else X
        # What protects rows from experts is a view: whose memory it is counts.
        owner = array if getattr(array, "base", None) is None else array.base
        Witness.asked.append((self, weakref.ref(owner), X.shape, X.dtype, alive))
        return np.zeros(X.shape[0])


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("top_k", [1, 2])
def test_each_expert_is_called_once_on_its_own_rows(kind, dtype, top_k):
    """Experts without rows are not called, and one block of copies is in memory at a time."""
    proba = PROBA.copy()
    proba[:, 3] = 0
    data = kind(np.hstack([proba, X[:, K:]]).astype(dtype))
    model = with_top_k(regressor(Witness()), top_k)
    Witness.asked.clear()
    model.predict(data)
    assert [model.experts_.index(expert) for expert, *_ in Witness.asked] == [0, 1, 2, 4]
    rows = np.bincount(model.route(data).indices.ravel(), minlength=K)
    for expert, _, shape, seen, alive in Witness.asked:
        assert shape == (rows[model.experts_.index(expert)], X.shape[1])
        assert seen == dtype
        assert alive == 0


def test_blocks_are_contiguous():
    class Layout(Witness):
        def predict(self, X):
            seen.append(X.flags.c_contiguous)
            return np.zeros(len(X))

    seen = []
    model = with_top_k(regressor(Layout()), 1)
    seen.clear()
    model.predict(X)
    assert seen == [True] * K


@pytest.mark.parametrize("frame_library", ["pandas", "polars"])
def test_frames_keep_the_types_of_their_columns(frame_library):
    library = pytest.importorskip(frame_library)
    columns = {f"x{j}": X[:, j] for j in range(X.shape[1])}
    columns["count"] = np.arange(len(X))
    columns["word"] = np.where(LABELS > 0, "high", "low")
    frame = library.DataFrame(columns)
    if frame_library == "pandas":
        frame["word"] = frame["word"].astype("category")
    seen = []

    class Columns(Witness):
        def predict(self, X):
            seen.append((type(X), list(X.dtypes)))
            return np.zeros(len(X))

    model = regressor(Columns(), X=frame, gate_features=slice(0, K))
    for top_k in (1, None):
        seen.clear()
        with_top_k(model, top_k).predict(frame)
        assert seen == [(type(frame), list(frame.dtypes))] * K


class Counted(ReadsGate):
    """Counts how often it is asked."""

    asked = 0

    def predict_proba(self, X):
        type(self).asked += 1
        return super().predict_proba(X)


@pytest.mark.parametrize("how", [{"top_k": None}, {"top_k": 1}, {"top_k": 2}, {"max_error": 0.1}])
def test_the_gate_is_asked_once(how):
    settings = SMALL | {"gate": Counted()}
    tree = DecisionTreeRegressor(max_depth=4)
    model = MixtureOfExpertsRegressor(tree, random_state=0, **settings).fit(X, Y)
    model.set_params(top_k=how.get("top_k"))
    Counted.asked = 0
    model.predict(X, max_error=how.get("max_error"))
    assert Counted.asked == 1


def test_all_rows_are_not_copied():
    model = regressor(Witness())
    certain = X.copy()
    certain[:, :K] = [0, 0, 1, 0, 0]
    for top_k in (1, None):
        Witness.asked.clear()
        with_top_k(model, top_k).predict(certain)
        ((_, reference, *_),) = Witness.asked
        assert reference() is certain


@pytest.mark.parametrize("top_k", [None, 1, 2])
def test_kinds_of_data_agree(top_k):
    expected = answers(with_top_k(regressor(), top_k), X)
    names = [f"x{j}" for j in range(X.shape[1])]
    frame = pd.DataFrame(X, columns=names)
    framed = regressor(X=frame, top_k=top_k)
    np.testing.assert_array_equal(framed.predict(frame), expected)
    order = RNG.permutation(len(X))  # the index of a frame plays no part
    np.testing.assert_array_equal(framed.predict(frame.iloc[order]), expected[order])
    for kind in (sparse.csr_matrix, sparse.csc_matrix):
        model = with_top_k(regressor(), top_k)
        np.testing.assert_array_equal(model.predict(kind(X)), expected)


def test_blocks_hold_each_pair_once():
    """Against the definition, for more experts than fit into a byte."""
    for n_experts, width in [(5, 2), (300, 3), (255, 1), (256, 1), (257, 1)]:
        proba = RNG.dirichlet(np.full(n_experts, 0.1), size=400)
        routed = route(proba, width)
        blocks = sparse_blocks(routed, n_experts)
        weights = np.zeros_like(proba)
        for block in blocks:
            assert (np.diff(block.rows) > 0).all()
            weights[block.rows, block.expert] += block.weights
        expected = np.zeros_like(proba)
        np.put_along_axis(expected, routed.indices, routed.weights, axis=1)
        np.testing.assert_array_equal(weights, expected)
        experts = [block.expert for block in blocks]
        assert experts == sorted(set(routed.indices.ravel().tolist()))


def test_weight_zero_is_not_called():
    padded = Route(np.array([[0, 1], [1, 0]]), np.array([[1.0, 0.0], [0.5, 0.5]]), np.ones(2))
    first, second = sparse_blocks(padded, 3)
    assert first.rows == ALL_ROWS
    np.testing.assert_array_equal(first.weights, [1.0, 0.5])
    np.testing.assert_array_equal(second.rows, [1])


# serving ------------------------------------------------------------------------------------


def serving_model(X=X, **parameters):
    """A mixture whose gate is the default one."""
    settings = {
        "n_experts": K,
        "max_iter": 2,
        "top_k": 1,
        "overlap": 0.1,
        "random_state": 0,
    } | parameters
    return MixtureOfExpertsClassifier(**settings).fit(X, LABELS)


def with_missing(X):
    return np.where(RNG.uniform(size=X.shape) < 0.05, np.nan, X)


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("gate_features", [None, [5, 6]])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("assume_finite", [False, True])
def test_the_gate_of_arrays_is_that_of_lists(missing, gate_features, dtype, assume_finite):
    """Whose checks are not cut short."""
    tree = DecisionTreeClassifier(max_depth=3)
    data = with_missing(X) if missing else X
    model = serving_model(data, experts=tree, gate_features=gate_features)
    for rows in (X.astype(dtype), with_missing(X).astype(dtype), X[:1].astype(dtype)):
        seen = rows if gate_features is None else rows[:, gate_features]
        expected = model.gate_.predict_proba(seen.tolist())
        with config_context(assume_finite=assume_finite):
            np.testing.assert_allclose(model.gate_proba(rows), expected, rtol=1e-12)
            indices, proba = model.gate_.top_k(seen, 2)
        np.testing.assert_array_equal(indices, np.argsort(-expected, axis=1, kind="stable")[:, :2])
        np.testing.assert_allclose(proba, np.take_along_axis(expected, indices, axis=1))


@pytest.mark.parametrize("top_k", [None, 1, 2])
def test_a_row_alone_is_the_row_in_a_batch_to_rounding_with_the_default_gate(top_k):
    """The product of matrices may round differently; a compiled pass serves the large batch."""
    model = serving_model(experts=DecisionTreeClassifier(max_depth=3), top_k=top_k)
    many = np.tile(X, (50, 1))  # enough rows for compiled functions
    whole = model.predict_proba(many)
    alone = np.concatenate([model.predict_proba(X[[i]]) for i in range(len(X))])
    np.testing.assert_allclose(alone, whole[: len(X)], rtol=1e-12)
    np.testing.assert_allclose(whole, np.tile(whole[: len(X)], (50, 1)), rtol=1e-12)


def test_checks_of_a_plain_array_are_those_of_any_other():
    model = serving_model()
    for bad in (np.where(X > 2, np.inf, X), np.where(X > 2, -np.inf, X)):
        for rows in (bad, bad.tolist(), bad.astype(np.float32)):
            with pytest.raises(ValueError, match="infinity"):
                model.predict(rows)
    both = X.copy()
    both[0, :2] = [np.inf, -np.inf]  # whose sum is not infinite
    with pytest.raises(ValueError, match="infinity"):
        model.predict(both)
    with pytest.raises(ValueError, match="NaN"):  # by the expert
        model.predict(with_missing(X))
    with pytest.raises(ValueError, match="7 features.*8 features"):
        model.predict(X[:, :7])
    huge = np.full((2, X.shape[1]), 1e308)  # finite, though the sum is not
    assert check_features(model, huge, reset=False) is huge
    framed = serving_model(pd.DataFrame(X, columns=list("abcdefgh")))
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        framed.gate_proba(X)


def test_infinite_values_do_not_pass_the_gate():
    gate = serving_model().gate_
    for rows in (np.where(X > 2, np.inf, X), np.where(X > 2, -np.inf, X).astype(np.float32)):
        for ask in (gate.predict_proba, gate.predict_log_proba, lambda rows: gate.top_k(rows, 1)):
            with pytest.raises(ValueError, match="infinity"):
                ask(rows)


def test_assume_finite_is_honoured():
    model = serving_model()
    infinite = np.full((1, X.shape[1]), np.inf)
    with pytest.raises(ValueError, match="infinity"):
        check_features(model, infinite, reset=False)
    with config_context(assume_finite=True):
        assert check_features(model, infinite, reset=False) is infinite
        expected = model.predict(X)
    np.testing.assert_array_equal(model.predict(X), expected)


def test_a_single_row_calls_no_expert_of_weight_zero():
    """The routes of other rows may be longer, or its own padded."""
    only = Route(np.array([[2, 0]]), np.array([[1.0, 0.0]]), np.array([1.0]))
    assert [block.expert for block in sparse_blocks(only, K)] == [2]
    both = Route(np.array([[2, 0]]), np.array([[0.7, 0.3]]), np.array([1.0]))
    assert [block.expert for block in sparse_blocks(both, K)] == [0, 2]


@pytest.mark.parametrize("method", ["score", "responsibilities", "log_density"])
def test_features_are_checked_once_a_call(monkeypatch, method):
    X = np.random.default_rng(0).normal(size=(60, 2))
    y = np.abs(X[:, 0])
    model = MixtureOfExpertsRegressor(
        n_experts=2, overlap=0.1, shared_expert="generalist", max_iter=2, random_state=0
    ).fit(X, y)
    checked = []
    monkeypatch.setattr(
        "skmoe._prediction.methods.check_features",
        lambda *args, **options: checked.append(1) or check_features(*args, **options),
    )
    getattr(model, method)(X, y)
    assert len(checked) == 1
