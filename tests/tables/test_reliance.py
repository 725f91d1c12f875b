"""Which kind a prediction rests on, and tables that lack columns."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skmoe import MixtureOfExpertsRegressor, SoftmaxGate
from skmoe.tables import blank_columns, feature_experts, kind_reliance, kind_report

pd = pytest.importorskip("pandas")

N = 200
RNG = np.random.default_rng(0)
X = pd.DataFrame({"a": RNG.normal(size=N), "b": RNG.integers(0, 3, N)})
KINDS = {"a": "numeric", "b": "code"}


def filled(frame):
    return frame.fillna(0.0)


def on_frames(model):
    return make_pipeline(FunctionTransformer(filled), model)


def test_reliance_of_a_linear_model_is_its_terms():
    model = on_frames(Ridge(alpha=1e-9)).fit(X, 2 * X["a"] - 3 * X["b"])
    reliance = kind_reliance(model, X, KINDS)
    np.testing.assert_allclose(reliance["numeric"], np.abs(2 * X["a"]), atol=1e-6)
    np.testing.assert_allclose(reliance["code"], np.abs(3 * X["b"]), atol=1e-6)


def test_reliance_of_a_classifier_is_total_variation():
    model = on_frames(LogisticRegression()).fit(X, X["b"])
    without = X.assign(b=np.nan)
    change = np.abs(model.predict_proba(X) - model.predict_proba(without)).sum(axis=1) / 2
    np.testing.assert_allclose(kind_reliance(model, X, KINDS)["code"], change)


def test_the_report_adds_up():
    y = 2 * X["a"] - X["b"]
    model = on_frames(Ridge(alpha=1e-9)).fit(X, y + RNG.normal(size=N) / 10)
    report = kind_report(model, X, y, KINDS)
    assert list(report.index) == ["numeric", "code"]
    rmse = np.sqrt(np.mean((2 * X["a"]) ** 2))
    assert report.loc["numeric", "loss"] == pytest.approx(rmse, rel=0.05)
    leads = np.mean(np.abs(2 * X["a"]) > X["b"])
    assert report.loc["numeric", "leads"] == pytest.approx(leads, abs=0.03)
    whole = report["loss"] / report["ratio"]
    assert whole.nunique() == 1 or np.ptp(whole) < 1e-12


def test_the_report_says_where_the_gate_goes():
    """Experts of one column each; the gate follows `a`, and where that is missing the mean."""
    y = np.where(X["a"] > 0, X["a"], X["b"] * 1.0)
    experts = [(f"only_{c}", on_frames(make_pipeline(FunctionTransformer(only, kw_args={"c": c}),
                                                     Ridge()))) for c in X]  # fmt: skip
    gate = on_frames(SoftmaxGate())
    moe = MixtureOfExpertsRegressor(experts, gate=gate, gate_features=["a"], random_state=0)
    report = kind_report(moe.fit(X, y), X, y, KINDS)
    gate_without = moe.gate_proba(X.assign(a=np.nan)) - moe.gate_proba(X)
    assert report.loc["numeric", "gate"] == pytest.approx(np.abs(gate_without[:, 0]).mean())
    gains = ["only_a", "only_b"][gate_without.mean(axis=0).argmax()]
    assert report.loc["numeric", "gains"] == gains
    assert report.loc["code", "gate"] == 0


def only(frame, c):
    return frame[[c]]


def test_a_table_without_a_kind_is_answered():
    model = dict(feature_experts(X, "regression", KINDS, cheap=True))["linear"].fit(X, X["a"])
    short = X[["b"]].assign(extra=1)
    with pytest.raises(ValueError, match="'a'|columns are missing"):
        model.predict(short)
    full = blank_columns(short, model)
    assert list(full) == ["a", "b"] and full["a"].isna().all()
    np.testing.assert_array_equal(model.predict(full), model.predict(X.assign(a=np.nan)))
    pd.testing.assert_frame_equal(blank_columns(X, model), X)


def test_a_polars_frame_is_answered():
    polars = pytest.importorskip("polars")
    rows = polars.DataFrame({"a": X["a"].to_numpy(), "b": X["b"].to_numpy()})
    model = dict(feature_experts(rows, "regression", KINDS, cheap=True))["linear"]
    model.fit(rows, X["a"])
    full = blank_columns(rows.select("b"), model)
    assert full.columns == ["a", "b"] and full["a"].null_count() == N
    assert np.isfinite(model.predict(full)).all()


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        (X.to_numpy(), TypeError, "X must be a frame"),
        (pd.DataFrame({"c": [1]}), ValueError, "none of the columns"),
    ],
)
def test_what_cannot_be_completed_is_refused(rows, error, message):
    model = on_frames(Ridge()).fit(X, X["a"])
    with pytest.raises(error, match=message):
        blank_columns(rows, model)
    nameless = Ridge().fit(X.to_numpy(), X["a"])
    with pytest.raises(ValueError, match="no names of columns"):
        blank_columns(X, nameless)
