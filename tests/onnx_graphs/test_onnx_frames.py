"""Frames, and mixtures inside other models, which skl2onnx converts with our converters."""

import numpy as np
import pytest
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor, StackingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from small_mixtures import classifier, regressor

from skmoe import SoftmaxGate, to_onnx
from skmoe.onnx import ConversionError, register_converters, verify

pd = pytest.importorskip("pandas", reason="pandas is not installed")
runtime = pytest.importorskip("onnxruntime", reason="the extra 'onnx' is not installed")
skl2onnx = pytest.importorskip("skl2onnx", reason="the extra 'onnx' is not installed")

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

TYPES = {
    "tensor(double)": np.float64,
    "tensor(float)": np.float32,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
    "tensor(string)": object,
}


def frame(n_rows, seed):
    rng = np.random.RandomState(seed)
    gaps = rng.uniform(size=n_rows) < 0.1
    return pd.DataFrame(
        {
            "age": rng.normal(40, 10, size=n_rows),
            "rooms": rng.randint(1, 6, size=n_rows),
            "town": rng.choice(["north", "south", "west"], size=n_rows),
            "income": np.where(gaps, np.nan, rng.normal(size=n_rows)),
        }
    )


ROWS, NEW = frame(120, 0), frame(500, 1)
Y = np.where(ROWS.town == "north", ROWS.age / 10, -2.0 * ROWS.rooms)
HIGH = Y > np.median(Y)
NUMBERS = ["age", "rooms"]


def encoded(estimator):
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["town"]),
        (numbers, make_column_selector(dtype_include="number")),
    )
    return make_pipeline(columns, estimator)


def run(graph, rows):
    session = runtime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    inputs = {
        given.name: rows[given.name].to_numpy().astype(TYPES[given.type]).reshape(-1, 1)
        for given in session.get_inputs()
    }
    return session.run(None, inputs)


def assert_close(found, expected):
    expected = np.asarray(expected).reshape(found.shape)
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())


def test_experts_that_encode_strings():
    experts = [("ridge", encoded(Ridge())), ("boosting", encoded(HistGradientBoostingRegressor()))]
    model = regressor(experts, gate_features=NUMBERS).fit(ROWS, Y)
    assert_close(run(to_onnx(model, ROWS), NEW)[0], model.predict(NEW))


def test_a_gate_that_encodes_strings():
    model = regressor([("a", encoded(Ridge())), ("b", encoded(Ridge(100.0)))])
    model.set_params(gate=encoded(SoftmaxGate())).fit(ROWS, Y)
    graph = to_onnx(model, ROWS)
    assert_close(run(graph, NEW)[0], model.predict(NEW))
    assert verify(graph) <= 1e-6


def test_a_default_gate_sees_categories():
    rows, new = ROWS.copy(), NEW.copy()
    for frame in (rows, new):
        frame.loc[::9, "town"] = None
        frame["floor"] = pd.Categorical(frame["rooms"] % 3, categories=[0, 1, 2])
        frame.loc[::7, "floor"] = None
    new.loc[::5, "town"] = "elsewhere"
    numbers = make_column_transformer((SimpleImputer(), NUMBERS))
    experts = [(name, make_pipeline(numbers, Ridge(a))) for name, a in (("a", 1.0), ("b", 99.0))]
    for shared_expert in (None, "consensus"):
        model = regressor(experts, shared_expert=shared_expert, overlap=1.0).fit(rows, Y)
        assert model.gate_columns_.encodings is not None
        graph = to_onnx(model, rows, extra_outputs=("gate_proba",))
        said = run(graph, new.assign(town=new.town.fillna("")))
        assert_close(said[0], model.predict(new))
        assert_close(said[1], model.gate_proba(new))


def test_a_pipeline_before_the_mixture():
    model = encoded(regressor(n_experts=3)).fit(ROWS, Y)
    assert_close(run(to_onnx(model, ROWS), NEW)[0], model.predict(NEW))


def test_a_frame_of_numbers_needs_no_encoding():
    model = classifier(LogisticRegression()).fit(ROWS[NUMBERS], Y > 0)
    for sample in (ROWS[NUMBERS], None):
        _, proba = run(to_onnx(model, sample), NEW)
        assert_close(proba, model.predict_proba(NEW[NUMBERS]))


def test_a_polars_frame():
    polars = pytest.importorskip("polars", reason="polars is not installed")
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    rows = polars.from_pandas(ROWS[NUMBERS])
    model = regressor(Ridge()).fit(rows, Y)
    graph = to_onnx(model, rows)
    assert_close(run(graph, NEW)[0], model.predict(polars.from_pandas(NEW[NUMBERS])))


def test_a_type_that_onnx_does_not_have():
    model = encoded(regressor()).fit(ROWS, Y)
    dates = ROWS.assign(age=pd.Timestamp("2026-01-01"))
    with pytest.raises(ConversionError, match="the column 'age' is of type datetime"):
        to_onnx(model, dates)


def by_skl2onnx(model, rows, **options):
    register_converters()
    return skl2onnx.to_onnx(model, rows[:1], options=options or None)


def test_skl2onnx_converts_a_pipeline_with_a_mixture():
    rows = ROWS[NUMBERS].to_numpy()
    model = make_pipeline(StandardScaler(), regressor(n_experts=3)).fit(rows, Y)
    session = runtime.InferenceSession(
        by_skl2onnx(model, rows).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    assert_close(session.run(None, {"X": rows})[0], model.predict(rows))


@pytest.mark.parametrize("labels", [HIGH, np.where(HIGH, "up", "down")])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_skl2onnx_converts_classifiers(labels, dtype):
    rows = ROWS[NUMBERS].to_numpy().astype(dtype)
    model = make_pipeline(StandardScaler(), classifier()).fit(rows, labels)
    register_converters()
    graph = skl2onnx.to_onnx(model, rows[:1], options={id(model[-1]): {"zipmap": False}})
    session = runtime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    label, proba = session.run(None, {"X": rows})
    np.testing.assert_array_equal(label, model.predict(rows))
    np.testing.assert_allclose(proba, model.predict_proba(rows), atol=1e-5)
    if dtype == np.float32:  # of which alone ONNX makes dictionaries
        maps = runtime.InferenceSession(
            by_skl2onnx(model, rows).SerializeToString(), providers=["CPUExecutionProvider"]
        ).run(None, {"X": rows})[1]
        assert set(maps[0]) == set(model.classes_)


def test_skl2onnx_converts_what_contains_a_mixture():
    rows = ROWS[NUMBERS].to_numpy()
    members = [("mixture", regressor(n_experts=2)), ("boosting", HistGradientBoostingRegressor())]
    for model in (
        StackingRegressor(members, cv=2),
        GridSearchCV(regressor(n_experts=2), {"overlap": [0.0, 0.5]}, cv=2),
    ):
        model.fit(rows, Y)
        session = runtime.InferenceSession(
            by_skl2onnx(model, rows).SerializeToString(), providers=["CPUExecutionProvider"]
        )
        assert_close(session.run(None, {"X": rows})[0], model.predict(rows))


def test_a_mixture_within_a_mixture():
    rows = ROWS[NUMBERS].to_numpy()
    model = regressor([("mixture", regressor(n_experts=2)), ("ridge", Ridge())]).fit(rows, Y)
    session = runtime.InferenceSession(
        to_onnx(model, rows).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    assert_close(session.run(None, {"X": rows})[0], model.predict(rows))
