"""What the gate sees of raw frames: numbers as they are, categories by level, dates by season."""

import datetime
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import sklearn
import small_mixtures as small
from sklearn.base import clone
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.fixes import parse_version

import skmoe
from skmoe import SoftmaxGate
from skmoe._data.columns import GateColumns
from skmoe._data.encoding import MOST_LEVELS, Levels, Moments, Numbers, encoding_of
from skmoe.gates import GaussianGate, HierarchicalGate
from skmoe.inspection import (
    GateRegionsDisplay,
    expert_report,
    explain_routing,
    routing_drift,
    segment_profile,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

N = small.N_ROWS
DAYS = np.datetime64("2024-01-01") + np.arange(N) * np.timedelta64(5, "D")
NUMBERS_OUT = ["first", "second", "town=Oslo", "town=Rome", "town missing"]
SEASONS_OUT = [
    f"day {part}"
    for part in ["years", "sine of year", "cosine of year", "sine of week", "cosine of week"]
]


def raw(library=pd):
    """Numbers, a town, a date and a name that no two rows share."""
    numbers = small.X.copy()
    numbers[::7, 1] = np.nan
    town = np.where(small.X[:, 2] > 0, "Rome", "Oslo").astype(object)
    town[::11] = None
    frame = pd.DataFrame(
        {
            "first": numbers[:, 0],
            "second": numbers[:, 1],
            "town": town,
            "day": DAYS,
            "name": [f"row {i}" for i in range(N)],
        }
    )
    return frame if library is pd else pl.from_pandas(frame)


def encoded(last):
    """A Pipeline that takes a raw frame."""
    towns = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = make_column_transformer(
        (SimpleImputer(), ["first", "second"]), (towns, ["town"]), remainder="drop"
    )
    return make_pipeline(columns, StandardScaler(), last)


def pool():
    return [
        ("linear", encoded(Ridge())),
        ("forest", encoded(RandomForestRegressor(5, random_state=0))),
    ]


# which columns, and how ---------------------------------------------------------------------


@pytest.mark.parametrize("library", [pd, pl])
def test_a_raw_frame(library):
    frame = raw(library)
    columns = GateColumns.of(frame, None, encode=True)
    assert columns.get_feature_names_out().tolist() == NUMBERS_OUT + SEASONS_OUT
    assert columns.seen.tolist() == [0, 1, 2, 3]
    assert repr(columns) == (
        "GateColumns(first: numbers; second: numbers; town: one of 2 levels or missing; "
        "day: dates, as time and season; name: left to the experts)"
    )
    Z = columns.transform(frame)
    assert Z.dtype == np.float64
    np.testing.assert_array_equal(Z[:, :2], raw()[["first", "second"]])
    town = raw()["town"]
    flags = np.column_stack([town == "Oslo", town == "Rome", town.isna()])
    np.testing.assert_array_equal(Z[:, 2:5], flags)
    day = (DAYS - np.datetime64("1970-01-01")) / np.timedelta64(1, "D")
    np.testing.assert_allclose(Z[:, 5], day / 365.2425)
    np.testing.assert_allclose(Z[:, 6], np.sin(2 * np.pi * day / 365.2425))
    np.testing.assert_allclose(Z[:, 9], np.cos(2 * np.pi * day / 7), atol=1e-9)
    np.testing.assert_array_equal(columns.transform(frame[:3]), Z[:3])


def test_levels_that_are_new_or_were_never_missing():
    levels = Levels(("a", "b"), missing=False)
    given = np.array(["b", "new", None, np.nan, "a"], dtype=object)
    np.testing.assert_array_equal(levels.encode(given), [[0, 1], [0, 0], [0, 0], [0, 0], [1, 0]])
    known = Levels(("a",), missing=True)
    np.testing.assert_array_equal(known.encode(given), [[0, 0], [0, 0], [0, 1], [0, 1], [1, 0]])


def series(values, **options):
    return pd.Series(values * 20, **options)


@pytest.mark.parametrize(
    "column, expected",
    [
        (series([1, None], dtype="Int64"), Numbers()),
        (series([True, None], dtype="boolean"), Numbers()),
        (series([1, None, 2.5], dtype=object), Numbers()),
        (series([None, None], dtype=object), Numbers()),
        (series([True, False], dtype=object), Numbers()),
        (series([pd.Timedelta("1h"), pd.NaT]), Numbers()),
        (series([0.0, 1.0], dtype=pd.SparseDtype(float, 0.0)), Numbers()),
        (series(["b", "a"]), Levels(("a", "b"), False)),
        (series(["b", "a", None], dtype="string"), Levels(("a", "b"), True)),
        (series(["b", "a", None], dtype="category"), Levels(("a", "b"), True)),
        (series([3, 1], dtype="category"), Levels((1, 3), False)),
        (series(["1", 1], dtype=object), Levels(("1", 1), False)),
        (series([pd.Timestamp("2024-05-01"), pd.NaT]), Moments(("year", "week"))),
        (series([pd.Timestamp("2024-05-01 12:30")]), Moments(("year", "week", "day"))),
        (series([pd.Timestamp("2024-05-01", tz="CET")]), Moments(("year", "week", "day"))),
        (series([datetime.date(2024, 5, 1), None], dtype=object), Moments(("year", "week"))),
        (series([pd.Period("2024-05", "M")]), Moments(("year", "week"))),
        (series([[1], [2]], dtype=object), None),
        (pd.Series([f"v{i}" for i in range(40)]), None),
        (pd.Series([f"v{i % (MOST_LEVELS + 1)}" for i in range(400)]), None),
        (pl.Series(["b", "a", None] * 20, dtype=pl.Categorical), Levels(("a", "b"), True)),
        (pl.Series([datetime.datetime(2024, 5, 1, 6)] * 9), Moments(("year", "week", "day"))),
        (pl.Series([[1], [2]] * 9), None),
    ],
    ids=lambda given: str(getattr(given, "dtype", given)),
)
def test_kinds_of_columns(column, expected):
    assert encoding_of(column) == expected


def test_time_zones_and_arrow_tell_the_same_time():
    here = pd.Series(pd.date_range("2024-03-01", periods=50, freq="7h"))
    there = here.dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")
    arrow = here.astype(pd.ArrowDtype(pa.timestamp("us")))
    encode = Moments(("year", "day")).encode
    expected = GateColumns.of(here.to_frame("t"), None, encode=True).transform(here.to_frame("t"))
    for other in [there, there.astype(object), arrow, pl.Series(here.to_list())]:
        frame = pl.DataFrame({"t": other}) if isinstance(other, pl.Series) else other.to_frame("t")
        columns = GateColumns.of(frame, None, encode=True)
        np.testing.assert_allclose(columns.transform(frame), expected, atol=1e-9)
    assert encode(np.array(["NaT"], dtype="datetime64[us]")).shape == (1, 5)


@pytest.mark.parametrize("library", [pd, pl])
def test_numbers_are_handed_on(library):
    frame = library.DataFrame({"a": [1.0, 2.0], "b": [True, False], "c": ["x", "y"]})
    chosen = ["a", "b"]
    columns = GateColumns.of(frame, chosen, encode=True)
    assert type(columns.transform(frame)) is type(frame)
    assert columns.names == ("a", "b") and columns.encodings is None


def test_an_array_of_numbers_is_not_touched():
    columns = GateColumns.of(small.X, None, encode=True)
    assert np.shares_memory(columns.transform(small.X), small.X)
    assert columns.get_feature_names_out().tolist() == ["x0", "x1", "x2"]


@pytest.mark.parametrize("dtype", [object, str])
def test_arrays_of_strings_and_objects(dtype):
    town = np.where(np.arange(N) % 3 == 0, "Rome", "Oslo")
    mixed = np.column_stack([small.X[:, 0].astype(dtype), town.astype(dtype)])
    columns = GateColumns.of(mixed, None, encode=True)
    assert columns.get_feature_names_out().tolist() == ["x0", "x1=Oslo", "x1=Rome"]
    np.testing.assert_allclose(columns.transform(mixed)[:, 0], small.X[:, 0])
    numbers = GateColumns.of(small.X.astype(dtype), None, encode=True)
    np.testing.assert_allclose(numbers.transform(small.X.astype(dtype)), small.X)
    np.testing.assert_allclose(numbers.transform(small.X), small.X)


def test_a_column_that_changes_its_kind_is_named():
    model = small.regressor(encoded(Ridge())).fit(raw(), small.Y)
    for name, kind in {"first": "numbers", "day": "dates"}.items():
        changed = raw()
        changed[name] = "none of these"
        with pytest.raises(ValueError, match=f"'{name}'.*held {kind} in fit"):
            model.gate_proba(changed)


# whole mixtures -----------------------------------------------------------------------------


@pytest.mark.parametrize("library", [pd, pl])
@pytest.mark.parametrize("experts", [pool(), encoded(Ridge())], ids=["pool", "clones"])
def test_a_mixture_of_pipelines(experts, library):
    frame = raw(library)
    model = small.regressor(experts, shared_expert="auto", init="auto").fit(frame, small.Y)
    assert model.gate_columns_.get_feature_names_out().tolist() == NUMBERS_OUT + SEASONS_OUT
    assert model.gate_.coef_.shape == (2, 10)
    said = model.predict(frame)
    np.testing.assert_allclose(model.predict(frame[:1]), said[:1])
    assert model.score(frame, small.Y) > 0.3


def test_pandas_and_polars_and_arrow_agree():
    model = small.regressor(encoded(Ridge()), init="auto")
    expected = clone(model).fit(raw(), small.Y).predict(raw())
    for table in [raw(pl), pa.Table.from_pandas(raw())]:
        np.testing.assert_allclose(clone(model).fit(table, small.Y).predict(table), expected)


def test_a_table_of_arrow_with_the_default_experts():
    table = pa.table({name: small.X[:, k] for k, name in enumerate("abc")})
    model = small.regressor().fit(table, small.Y)
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(model.predict(table), model.predict(table.to_pandas()))
    assert segment_profile(model, table).shape == (2, 3)


@pytest.mark.parametrize("gate", [SoftmaxGate(alpha=0.1), GaussianGate(), HierarchicalGate()])
def test_other_gates_of_ours_see_the_same(gate):
    frame = raw().drop(columns="day")
    model = small.regressor(encoded(Ridge()), gate=gate).fit(frame, small.Y)
    assert model.gate_.n_features_in_ == 5
    assert np.isfinite(model.predict(frame)).all()


def test_a_classifier_gets_categories_as_they_are():
    frame = raw().drop(columns=["name", "day"]).astype({"town": "category"})
    gate = HistGradientBoostingClassifier(max_iter=3, categorical_features="from_dtype")
    model = small.regressor(encoded(Ridge()), gate=gate, init="auto").fit(frame, small.Y)
    assert model.gate_.feature_names_in_.tolist() == ["first", "second", "town"]
    assert model.gate_columns_.encodings is None


def test_gate_features_choose_what_is_encoded():
    model = small.regressor(encoded(Ridge()), gate_features=["town", "first"]).fit(raw(), small.Y)
    names = ["town=Oslo", "town=Rome", "town missing", "first"]
    assert model.gate_columns_.get_feature_names_out().tolist() == names
    selector = make_column_selector(dtype_include="number")
    model.set_params(gate_features=selector).fit(raw(), small.Y)
    assert model.gate_columns_.names == ("first", "second")


def test_reports_of_a_raw_frame():
    frame = raw()
    model = small.regressor(encoded(Ridge()), gate=GaussianGate(covariance="tied"))
    drift = routing_drift(model.fit(frame, small.Y), frame[:40], frame[40:])
    assert np.isfinite(drift.log_density_change)
    model.set_params(gate=None).fit(frame, small.Y)
    explained = explain_routing(model, frame)
    assert explained["contribution"].columns.tolist() == NUMBERS_OUT + SEASONS_OUT
    total = explained["contribution"].sum(axis=1) + explained[("routing", "baseline")]
    np.testing.assert_allclose(total, explained[("routing", "log_odds")])
    proba = np.sort(model.gate_proba(frame), axis=1)
    np.testing.assert_allclose(total, np.log(proba[:, 1] / proba[:, 0]))
    profile = segment_profile(model, frame)
    assert {"first", "town=Rome", "day"} <= set(profile.columns)
    assert expert_report(model, frame, small.Y)["rows"].sum() == N
    display = GateRegionsDisplay.from_estimator(model, frame, ("first", "second"), resolution=5)
    assert display.others


def test_copies_and_bundles_see_the_same(tmp_path):
    frame = raw().drop(columns="day")
    model = small.regressor(pool(), shared_expert="consensus").fit(frame, small.Y)
    expected = model.predict(frame)
    copied = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copied.predict(frame), expected)
    assert repr(copied.gate_columns_) == repr(model.gate_columns_)
    skmoe.dump(model, tmp_path / "model.skmoe", golden_rows=frame)
    loaded = skmoe.load(tmp_path / "model.skmoe", trusted=True)
    np.testing.assert_array_equal(loaded.predict(frame), expected)
    np.testing.assert_array_equal(clone(model).fit(frame, small.Y).predict(frame), expected)


def test_a_model_of_before_there_was_encoding():
    for X in [small.X, pd.DataFrame(small.X, columns=list("abc"))]:
        model = small.regressor(gate_features=[2, 0]).fit(X, small.Y)
        state = dict(model.__getstate__())
        columns = state.pop("gate_columns_")
        old = object.__new__(type(model))
        old.__setstate__(state | {"_gate_columns": columns.positions})
        assert old.gate_columns_.names == columns.names
        np.testing.assert_array_equal(old.predict(X), model.predict(X))


def test_surgery_on_a_raw_frame():
    frame = raw()
    model = small.regressor(encoded(Ridge())).fit(frame, small.Y)
    more = model.add_expert("third", encoded(Ridge(10.0)), frame, small.Y)
    assert more.gate_columns_.get_feature_names_out().tolist() == NUMBERS_OUT + SEASONS_OUT
    less = more.drop_expert("third")
    assert less.gate_proba(frame).shape == (N, 2)


# the consensus ------------------------------------------------------------------------------


def test_what_a_gate_makes_reaches_the_consensus():
    """All experts err where the town is Rome, which only an encoding can say."""
    rng = np.random.RandomState(0)
    town = rng.permutation(np.repeat(["Rome", "Oslo"], 100))
    frame = pd.DataFrame({"x": rng.normal(size=200), "z": rng.normal(size=200), "town": town})
    y = frame["x"].to_numpy() + 3.0 * (town == "Rome") + 0.1 * rng.normal(size=200)
    numbers = make_column_transformer(("passthrough", ["x", "z"]))
    experts = [
        ("linear", make_pipeline(numbers, Ridge())),
        ("forest", make_pipeline(numbers, RandomForestRegressor(10, random_state=0))),
    ]
    one_hot = make_column_transformer((OneHotEncoder(), ["town"]), remainder="passthrough")
    for gate in [
        make_pipeline(one_hot, SoftmaxGate()),
        make_pipeline(one_hot, LogisticRegression()),
        HistGradientBoostingClassifier(max_iter=3, categorical_features="from_dtype"),
        None,
    ]:
        X = frame.astype({"town": "category"})
        model = small.regressor(experts, gate=gate, shared_expert="consensus", cv=5).fit(X, y)
        assert model.shared_expert_.correction is not None, gate
        assert model.score(X, y) > 0.9
        np.testing.assert_allclose(model.predict(X[:3]), model.predict(X)[:3])


# settings of scikit-learn -------------------------------------------------------------------


def assert_same(first, second, X, y):
    """Equal but for rounding, which the trees of a consensus amplify; else gate and experts."""
    same = {"rtol": 1e-9, "atol": 1e-9}
    if isinstance(X, pd.DataFrame):
        pairs = [(m.gate_proba(X), m.predict_experts(X)) for m in (first, second)]
        for one, other in zip(*pairs, strict=True):
            np.testing.assert_allclose(one, other, **same)
    else:
        np.testing.assert_allclose(*(m.log_density(X, y) for m in (first, second)), **same)


@pytest.mark.parametrize("output", ["pandas", "polars"])
def test_the_global_output_is_not_ours(output):
    cases = [
        (small.regressor(init="auto"), small.X, small.Y),
        (small.classifier(init="auto"), small.X, small.LABELS),
        (small.regressor(pool(), shared_expert="consensus"), raw(), small.Y),
        (small.regressor(init="auto", gate=GaussianGate()), small.X, small.Y),
        (
            small.regressor(init="auto", gate=make_pipeline(StandardScaler(), SoftmaxGate())),
            small.X,
            small.Y,
        ),
    ]
    if parse_version(sklearn.__version__) < parse_version("1.7"):
        # Frames between the steps of a Pipeline round otherwise, which moves responsibilities by
        # 1e-15; a forest that gets them as weights grows other trees. Linear experts do not.
        linear = [("stiff", encoded(Ridge(10.0))), ("supple", encoded(Ridge(0.1)))]
        cases[2] = (small.regressor(linear, shared_expert="consensus"), raw(), small.Y)
    for model, X, y in cases:
        expected = clone(model).fit(X, y)
        with sklearn.config_context(transform_output=output):
            fitted = clone(model).fit(X, y)
            # The steps of a Pipeline do follow, and frames have another layout than arrays.
            assert_same(expected, fitted, X, y)
        assert_same(expected, fitted, X, y)
