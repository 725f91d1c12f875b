"""A few rows and what the model said of them: what is kept, and what it takes to get it."""

import copy
import io

import numpy as np
import pytest
from bundle_models import NAMES, Y, answers, assert_same, fitted, regressor, saved
from bundle_models import X as ROWS
from sklearn.linear_model import Ridge

import skmoe
from skmoe.io import BundleWarning, GoldenRowsError
from skmoe.io._golden import golden_record, replay
from skmoe.io._rows import first_rows, rows_from_record

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
    model = regressor(Ridge()).fit(ROWS, Y)
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
