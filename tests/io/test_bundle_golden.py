"""A few rows and what the model said of them: what is kept, and what it takes to get it."""

import copy
import datetime
import io
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from bundle_models import NAMES, Y, answers, assert_same, fitted, regressor, saved
from bundle_models import X as ROWS
from sklearn.linear_model import Ridge

import skmoe
from skmoe.io import BundleWarning, GoldenRowsError
from skmoe.io._golden import golden_record, replay
from skmoe.io._json import from_json, to_json
from skmoe.io._rows import first_rows, rows_from_record, rows_to_record

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize("name", NAMES)
def test_golden_rows_are_what_was_given(name):
    model, X = fitted(name)
    golden = skmoe.read_manifest(io.BytesIO(saved(model, golden_rows=X))).golden
    assert golden["source"] == "given"
    rows = first_rows(X, 5)
    again = rows_from_record(golden["rows"])
    if hasattr(rows, "dtypes"):
        assert list(again.dtypes) == list(rows.dtypes)
    ours, theirs = answers(model, rows), answers(model, again)
    np.testing.assert_array_equal(ours["experts"], theirs["experts"])
    expected = ours.get("proba", ours["predict"])
    assert golden["predictions"]["values"] == expected.ravel().tolist()


class Counting(Ridge):
    """An expert that counts how often it is asked."""

    asked = 0

    def predict(self, X):
        Counting.asked += 1
        return super().predict(X)


@pytest.mark.parametrize("name", ["forests", "labels are numbers", "trees", "frozen twice"])
def test_the_answers_of_all_experts_to_all_golden_rows_are_kept(name):
    """Also those of experts that the mixture has asked about some of the rows, or none."""
    model, X = fitted(name)
    golden = skmoe.read_manifest(io.BytesIO(saved(model, golden_rows=X))).golden
    for record, expert in zip(golden["experts"], model.experts_, strict=True):
        answer = getattr(expert, "predict_proba", expert.predict)(X[:5])
        assert record["values"] == answer.ravel().tolist()


def test_experts_are_asked_once_about_the_golden_rows(monkeypatch):
    model = regressor(Counting(), shared_expert=None).fit(ROWS, Y)
    monkeypatch.setattr(Counting, "asked", 0)
    content = saved(model, golden_rows=ROWS)
    assert Counting.asked == 2
    skmoe.load(io.BytesIO(content))
    assert Counting.asked == 4


class Picky(Ridge):
    def predict(self, X):
        raise ValueError("not these")


def test_golden_rows_that_an_expert_does_not_take():
    model = copy.deepcopy(fitted("ridge")[0])
    model.experts_[1].__class__ = Picky
    with pytest.raises(ValueError, match=r"'expert_1' \(Picky\) could not predict: not these"):
        saved(model, golden_rows=ROWS)


def test_golden_rows_are_made_up_where_none_are_given():
    for name in ("ridge", "forests", "histograms", "sparse"):
        model, _ = fitted(name)
        content = saved(model)
        assert skmoe.read_manifest(io.BytesIO(content)).golden["source"] == "made up"
        skmoe.load(io.BytesIO(content))


def test_what_takes_no_made_up_rows_says_so():
    model, X = fitted("pandas")
    with pytest.warns(BundleWarning, match="pass some real rows as golden_rows="):
        content = saved(model)
    assert skmoe.read_manifest(io.BytesIO(content)).golden == {}
    assert_same(model, skmoe.load(io.BytesIO(content)), X)
    assert skmoe.read_manifest(io.BytesIO(saved(model, golden_rows=False))).golden == {}


@pytest.mark.parametrize("rows", [np.empty((0, 3)), ROWS[0], [["a", object()]]])
def test_golden_rows_that_are_none(rows):
    with pytest.raises(ValueError, match="golden"):
        saved(fitted("ridge")[0], golden_rows=rows)


def test_golden_rows_hold_the_distribution():
    """A density that has changed since is noticed, though the predictions are the same."""
    model = regressor(Ridge(), density="auto").fit(ROWS, Y)
    content = saved(model, golden_rows=ROWS)
    golden = skmoe.read_manifest(io.BytesIO(content)).golden
    expected = model.predict_quantiles(ROWS[:5])
    assert golden["quantiles"]["values"] == expected.ravel().tolist()
    again = skmoe.load(io.BytesIO(content))
    np.testing.assert_array_equal(again.predict_quantiles(ROWS), model.predict_quantiles(ROWS))
    np.testing.assert_array_equal(
        again.predict_interval(ROWS, 0.8, conformal=True),
        model.predict_interval(ROWS, 0.8, conformal=True),
    )
    record = golden_record(model, ROWS)
    wider = copy.copy(model)
    wider._density = None
    with pytest.raises(GoldenRowsError, match="something else"):
        replay(wider, record, whole=True)


class OfTheLayout(Ridge):
    """An expert whose sums depend on how the rows lie in memory, a little."""

    def predict(self, X):
        return super().predict(X) * (1 + 1e-14 * X.to_numpy().flags.c_contiguous)


@pytest.mark.parametrize("order", ["C", "F"])
def test_rows_of_a_frame_are_asked_about_as_they_will_be_read(order):
    """The same process and versions: nothing may differ, and no warning be given."""
    frame = pd.DataFrame(np.array(ROWS, order=order), columns=list("abc"), copy=False)
    assert frame.to_numpy().flags.c_contiguous == (order == "C")
    model = regressor(OfTheLayout()).fit(frame, Y)
    content = saved(model, golden_rows=frame)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        skmoe.load(io.BytesIO(content))


MOMENTS = [datetime.datetime(2024, 2, 29, 12, 30, 0, 123000), None, datetime.datetime(1890, 1, 1)]
TIMES = {
    "array": np.array([["2024-02-29T12", "NaT"]], dtype="M8[h]"),
    "durations": np.array([[1, 2]], dtype="m8[s]"),
    "objects": np.array([[MOMENTS[0], datetime.date(2024, 2, 29)]], dtype=object),
    "pandas": pd.DataFrame(
        {
            "naive": pd.Series(MOMENTS, dtype="datetime64[ns]"),
            "zone": pd.Series(MOMENTS, dtype="datetime64[ns]").dt.tz_localize("Europe/Rome"),
            "seconds": pd.Series(MOMENTS, dtype="datetime64[s]"),
            "length": pd.to_timedelta([1, None, 3], unit="h"),
            "objects": pd.Series([MOMENTS[0], datetime.time(3, 4), None], dtype=object),
        }
    ),
    "polars": pl.DataFrame(
        {
            "naive": pl.Series(MOMENTS, dtype=pl.Datetime("us")),
            "zone": pl.Series(MOMENTS, dtype=pl.Datetime("ms", "Europe/Rome")),
            "date": pl.Series([m and m.date() for m in MOMENTS], dtype=pl.Date),
            "time": [datetime.time(3, 4, 5, 6), None, datetime.time(0)],
            "length": pl.Series([datetime.timedelta(1), None, None], dtype=pl.Duration("ns")),
            "enum": pl.Series(["a", None, "b"], dtype=pl.Enum(["b", "a"])),
            "category": pl.Series(["a", None, "b"], dtype=pl.Categorical),
        }
    ),
}


@pytest.mark.parametrize("kind", TIMES)
def test_times_come_back(kind):
    rows = TIMES[kind]
    again = rows_from_record(from_json(to_json(rows_to_record(rows))))
    if isinstance(rows, np.ndarray):
        assert again.dtype == rows.dtype
        np.testing.assert_array_equal(again, rows)
    else:
        assert list(again.dtypes) == list(rows.dtypes) and again.equals(rows)
