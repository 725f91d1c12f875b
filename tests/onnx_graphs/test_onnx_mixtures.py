"""Mixtures as graphs: gates, routing, floors, shared experts, outputs."""

import numpy as np
import pytest
from sklearn.base import is_classifier
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from small_mixtures import LABELS, X, Y, classifier, regressor

from skmoe import (
    ClassifierGate,
    CosineGate,
    GaussianGate,
    HierarchicalGate,
    SoftmaxGate,
    to_onnx,
)
from skmoe.fitted import SharedExpert
from skmoe.onnx import verify

runtime = pytest.importorskip("onnxruntime", reason="the extra 'onnx' is not installed")
pytest.importorskip("skl2onnx", reason="the extra 'onnx' is not installed")

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

NEW = np.random.RandomState(1).normal(size=(2000, X.shape[1]))
GAPS = np.where(np.random.RandomState(2).uniform(size=X.shape) < 0.2, np.nan, X)
NEW_GAPS = np.where(np.random.RandomState(3).uniform(size=NEW.shape) < 0.3, np.nan, NEW)


def run(graph, inputs):
    session = runtime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, inputs), strict=True))


def assert_says_the_same(model, rows=NEW, **options):
    """A graph for rows of float64, and one for float32, say what the model says."""
    for dtype, tolerance in ((np.float64, 1e-6), (np.float32, 1e-6)):
        given = rows.astype(dtype)
        graph = to_onnx(model, given[:20], extra_outputs=("gate_proba",), **options)
        said = run(graph, {"X": given})
        same = given.astype(np.float64)
        np.testing.assert_allclose(said["gate_proba"], model.gate_proba(same), atol=tolerance)
        if is_classifier(model):
            proba = model.predict_proba(same)
            np.testing.assert_allclose(said["probabilities"], proba, atol=tolerance)
            certain = np.ptp(np.sort(proba, axis=1)[:, -2:], axis=1) > 1e-5
            np.testing.assert_array_equal(said["label"][certain], model.predict(same)[certain])
        else:
            expected = model.predict(same).reshape(len(same), -1)
            scale = np.abs(expected).max()
            np.testing.assert_allclose(said["variable"], expected, atol=tolerance * scale)
    return graph


GATES = {
    "softmax": SoftmaxGate(),
    "cold": SoftmaxGate(temperature=0.3),
    "curved": SoftmaxGate(terms="products"),
    "steps": SoftmaxGate(terms="splines"),
    "gaussian": GaussianGate(temperature=2.0),
    "ellipses": GaussianGate("diag"),
    "cosine": CosineGate(),
    "tree": HierarchicalGate(),
    "tree of gaussians": HierarchicalGate(GaussianGate(), groups=[[0, 1], [2, 3]]),
    "classifier": ClassifierGate(DecisionTreeClassifier(max_depth=2)),
    "bare classifier": RandomForestClassifier(5, random_state=0),
    "scaled": make_pipeline(StandardScaler(), SoftmaxGate()),
    "scaled classifier": make_pipeline(StandardScaler(), LogisticRegression()),
}


@pytest.mark.parametrize("name", GATES)
def test_gates(name):
    assert_says_the_same(regressor(n_experts=4, gate=GATES[name]).fit(X, Y))


@pytest.mark.parametrize("name", ["softmax", "curved", "ellipses", "cosine", "classifier"])
def test_gates_with_missing_values(name):
    model = regressor(DecisionTreeRegressor(max_depth=3), n_experts=3, gate=GATES[name])
    assert_says_the_same(model.fit(GAPS, Y), NEW_GAPS)


def test_a_gate_that_lost_an_expert():
    model = regressor(n_experts=4, gate=GaussianGate()).fit(X, Y)
    assert_says_the_same(model.drop_expert("expert_1"))
    assert_says_the_same(regressor(n_experts=4).fit(X, Y).drop_expert("expert_1"))


def test_a_gate_that_sees_some_columns():
    assert_says_the_same(regressor(n_experts=3, gate_features=[2, 0]).fit(X, Y))


@pytest.mark.parametrize("top_k", [1, 2, 3])
def test_few_experts(top_k):
    model = classifier(n_experts=4, top_k=top_k).fit(X, LABELS)
    assert_says_the_same(model)
    assert_says_the_same(regressor(n_experts=4, top_k=top_k).fit(X, Y))


@pytest.mark.parametrize(
    "labels", [LABELS, LABELS == "odd", 5 * (LABELS == "odd"), np.char.str_len(LABELS) * 1.0]
)
def test_kinds_of_labels(labels):
    assert_says_the_same(classifier(DecisionTreeClassifier(max_depth=3)).fit(X, labels))


def test_an_expert_that_misses_a_class():
    known = LABELS != "even"
    expert = LogisticRegression().fit(X[known], LABELS[known])
    model = classifier([("partial", FrozenEstimator(expert)), ("all", LogisticRegression())])
    assert_says_the_same(model.fit(X, LABELS))


def test_several_outputs():
    model = regressor(DecisionTreeRegressor(max_depth=3)).fit(X, np.column_stack([Y, X]))
    graph = assert_says_the_same(model)
    assert graph.graph.output[0].type.tensor_type.shape.dim[1].dim_value == 4


def test_generalists():
    rng = np.random.RandomState(0)
    rows = rng.normal(size=(300, X.shape[1]))
    model = regressor(DecisionTreeRegressor(max_depth=3), shared_expert="generalist")
    model.fit(rows, rows[:, 0] + rng.normal(size=300))
    assert model.shared_weight_ > 0
    assert_says_the_same(model)
    assert_says_the_same(model.set_params(top_k=1))
    model = classifier(DecisionTreeClassifier(max_depth=3), shared_expert="generalist")
    model.fit(rows, rows[:, 0] + rng.normal(size=300) > 0)
    assert model.shared_weight_ > 0
    assert_says_the_same(model)


POOL = [
    ("forest", RandomForestRegressor(5, random_state=0)),
    ("boosting", HistGradientBoostingRegressor(max_iter=10)),
    ("ridge", make_pipeline(StandardScaler(), Ridge())),
]
CLASS_POOL = [
    ("forest", RandomForestClassifier(5, random_state=0)),
    ("boosting", HistGradientBoostingClassifier(max_iter=10)),
    ("logistic", make_pipeline(StandardScaler(), LogisticRegression())),
]


def bent(rows):
    """A target with an error that all experts of a pool make alike."""
    return np.abs(rows[:, 0]) * 3 + rows[:, 1] + (rows[:, 2] > 0.3)


def consensus_of(model, target):
    rows = np.random.RandomState(0).normal(size=(300, X.shape[1]))
    noise = np.random.RandomState(1).normal(size=300)
    model.set_params(shared_expert="consensus", overlap=1.0).fit(rows, target(bent(rows) + noise))
    assert model.shared_weight_ > 0
    return model


@pytest.mark.parametrize(
    "target",
    [None, lambda y: y > 3, lambda y: np.array(["a", "b", "c"])[np.digitize(y, [2, 4])]],
    ids=["regression", "two classes", "three classes"],
)
def test_consensus(target):
    if target is None:
        model = consensus_of(regressor(POOL), lambda y: y)
    else:
        model = consensus_of(classifier(CLASS_POOL), target)
    assert_says_the_same(model)
    assert_says_the_same(model.set_params(top_k=1))  # it then has no say


@pytest.mark.parametrize("blend", ["ClassBlend", "LinearClassBlend"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_every_blend_with_a_correction(blend, n_classes, monkeypatch):
    """Whichever held-out rows would have chosen."""
    from skmoe._shared_expert import blends, consensus

    kind = getattr(blends, blend)

    def only(opinions, target, sample_weight, splits, likelihood):
        fitted = kind(likelihood, 0.3).fit(opinions, target, sample_weight)
        return kind(likelihood, 0.3), fitted.predict(opinions)

    monkeypatch.setattr(consensus, "best_blend", only)
    monkeypatch.setattr(consensus, "STRENGTHS", np.array([0.0, 0.5]))
    monkeypatch.setattr(consensus, "_credible_strength", lambda losses, weights: 1)
    model = classifier(CLASS_POOL)
    consensus_of(model, lambda y: np.digitize(y, [2, 4][: n_classes - 1]))
    monkeypatch.undo()
    assert type(model.shared_expert_.blend) is kind
    assert model.shared_expert_.correction is not None
    assert_says_the_same(model)


def test_one_row_and_none():
    model = classifier(n_experts=3).fit(X, LABELS)
    graph = to_onnx(model, NEW)
    assert run(graph, {"X": NEW[:1]})["label"].shape == (1,)
    assert run(graph, {"X": NEW[:0]})["probabilities"].shape == (0, 3)


def test_numbers_are_those_of_the_input():
    model = regressor().fit(X, Y)
    for rows in (NEW, NEW.astype(np.float32), None):
        graph = to_onnx(model, rows)
        dtype = np.float32 if rows is None else rows.dtype
        assert run(graph, {"X": NEW.astype(dtype)})["variable"].dtype == dtype


def test_integers():
    rows = np.random.RandomState(0).randint(-3, 4, size=(80, 3))
    assert_says_the_same(regressor().fit(rows, Y), rows)
    graph = to_onnx(regressor().fit(rows, Y), rows)
    assert run(graph, {"X": rows})["variable"].shape == (80, 1)


def test_a_stored_graph_is_verified(tmp_path):
    graph = to_onnx(classifier(n_experts=3).fit(X, LABELS), NEW)
    path = tmp_path / "model.onnx"
    path.write_bytes(graph.SerializeToString())
    assert max(verify(graph), verify(path), verify(path.read_bytes())) <= 1e-6


def test_metadata_says_what_it_is():
    graph = to_onnx(classifier(n_experts=3).fit(X, LABELS), NEW)
    metadata = {entry.key: entry.value for entry in graph.metadata_props}
    assert metadata["skmoe.classes"] == '["even", "none", "odd"]'
    assert metadata["skmoe.n_features"] == "3"
    assert metadata["skmoe.class"] == '"MixtureOfExpertsClassifier"'


def test_linear_experts_are_exact():
    model = regressor(LinearRegression(), n_experts=3).fit(X, Y)
    found = run(to_onnx(model, NEW), {"X": NEW})["variable"][:, 0]
    np.testing.assert_allclose(found, model.predict(NEW), rtol=1e-12, atol=1e-12)


LEVELS = (0.001, 0.05, 0.5, 0.9, 0.999)


@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("likelihood", ["gaussian", "laplace"])
@pytest.mark.parametrize("shared", [None, "generalist", "consensus"])
def test_standard_deviation_and_quantiles(likelihood, shared, n_outputs):
    y = Y if n_outputs == 1 else np.column_stack([Y, 10 * X[:, 0] - Y])
    experts = [("ridge", Ridge()), ("tree", DecisionTreeRegressor(max_depth=3)), ("all", Ridge(9))]
    model = regressor(
        experts,
        likelihood=likelihood,
        shared_expert="consensus" if shared == "consensus" else None,
        density="mixture",
        top_k=2,
    ).fit(X, y)
    if shared is not None:  # as if held-out rows had given it a part in the density alone
        said_by = model.shared_expert_ if shared == "consensus" else LinearRegression().fit(X, y)
        model._set_shared(SharedExpert(said_by, 0.0, 0.3, np.full((1, n_outputs), 0.5)))
    extra = dict(extra_outputs=("standard_deviation",), quantiles=LEVELS)
    said = run(to_onnx(model, X, **extra), {"X": NEW})
    _, deviation = model.predict(NEW, return_std=True)
    expected = model.predict_quantiles(NEW, LEVELS)
    assert said["quantiles"].shape == expected.shape
    scale = np.abs(expected).max()
    np.testing.assert_allclose(said["quantiles"], expected, atol=1e-6 * scale)
    found = said["standard_deviation"]
    np.testing.assert_allclose(found, deviation.reshape(len(NEW), -1), rtol=1e-6)
    # The probability of at most the quantile is its level, far out as well.
    probability = model.predict_distribution(NEW).cdf(said["quantiles"])
    level = np.broadcast_to(LEVELS, probability.shape)
    np.testing.assert_allclose(probability, level, rtol=1e-5)
