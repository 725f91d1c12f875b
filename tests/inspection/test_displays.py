"""The displays show what the model says, on the axes that they are given."""

import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import polars as pl
import pytest
import small_mixtures as small
from matplotlib import pyplot as plt
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe.inspection import (
    EMPathDisplay,
    GateRegionsDisplay,
    ReliabilityDisplay,
    RoutingHeatmapDisplay,
    UtilizationDisplay,
)
from skmoe.inspection._gate_regions import with_typical_values
from skmoe.inspection._plotting import PALETTE, colour, marker
from skmoe.inspection._reliability import NOMINAL, confidence_curve, quantile_curve

X, Y, LABELS = small.X, small.Y, small.LABELS


def fit(model, *data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(*data)


@pytest.fixture(scope="module")
def regressor():
    return fit(small.regressor(Ridge(), n_experts=3, max_iter=5, tol=1e-9, overlap=0.0), X, Y)


@pytest.fixture(scope="module")
def classifier():
    experts = [("logistic", LogisticRegression()), ("other", LogisticRegression(C=0.01))]
    return fit(small.classifier(experts), X, LABELS)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


DISPLAYS = {
    "path": lambda model, **options: EMPathDisplay.from_estimator(model, **options),
    "utilization": lambda model, **options: UtilizationDisplay.from_estimator(model, X, **options),
    "regions": lambda model, **options: GateRegionsDisplay.from_estimator(
        model, X, (0, 1), resolution=20, **options
    ),
    "heatmap": lambda model, **options: RoutingHeatmapDisplay.from_estimator(model, X, **options),
    "reliability": lambda model, **options: ReliabilityDisplay.from_estimator(
        model, X, LABELS if hasattr(model, "classes_") else Y, **options
    ),
}
every_display = pytest.mark.parametrize("make", DISPLAYS.values(), ids=DISPLAYS)


@every_display
@pytest.mark.parametrize("kind", ["regressor", "classifier"])
def test_axes(make, kind, request):
    model = request.getfixturevalue(kind)
    display = make(model)
    assert display.figure_ is display.ax_.figure
    assert display.ax_.get_xlabel()
    figure, ax = plt.subplots()
    assert make(model, ax=ax).ax_ is ax
    assert display.plot(ax=ax).ax_ is ax  # again, elsewhere
    display.figure_.canvas.draw()


@every_display
def test_what_cannot_be_shown(make):
    with pytest.raises(NotFittedError):
        make(small.regressor())
    with pytest.raises(TypeError, match="Pipeline"):
        make(fit(make_pipeline(StandardScaler(), small.regressor(Ridge())), X, Y))


@every_display
def test_without_matplotlib(make, regressor, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"skmoe\[plot\]"):
        make(regressor)


def test_course_of_em(regressor):
    display = EMPathDisplay.from_estimator(regressor)
    path = regressor.history_["log_likelihood"]
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), path)
    assert display.kept_.get_xdata()[0] == path.argmax() + 1
    assert display.final_.get_ydata()[0] == regressor.log_likelihood_
    assert "held-out" in display.ax_.get_ylabel()
    shares = EMPathDisplay.from_estimator(regressor, kind="expert_mass")
    assert len(shares.lines_) == 3
    height = shares.lines_[0].get_paths()[0].vertices[:, 1].max()
    assert height == pytest.approx(regressor.history_["expert_mass"][:, 0].max())
    with pytest.raises(ValueError, match="kind"):
        EMPathDisplay.from_estimator(regressor, kind="loss")


def test_course_of_em_in_sample_and_starved():
    model = fit(small.regressor(Ridge(), e_step="insample"), X, Y)
    display = EMPathDisplay.from_estimator(model)
    assert "training" in display.ax_.get_ylabel() and display.starved_ is None
    starved = np.zeros((3, 2), dtype=bool)
    starved[1:, 0] = True
    display = EMPathDisplay(
        log_likelihood=np.array([-2.0, -1.0, -0.5]),
        expert_mass=np.full((3, 2), 0.5),
        starved=starved,
        final=-0.4,
        expert_names=("a", "b"),
        reseeded=np.array([[False, False], [False, True], [False, False]]),
    ).plot()
    np.testing.assert_array_equal(display.reseeded_.get_offsets(), [[2, -1.0]])
    np.testing.assert_array_equal(display.starved_.get_offsets()[:, 0], [2, 3])


@pytest.mark.parametrize("quantity", ["mass", "top"])
def test_bars_of_utilization(regressor, quantity):
    display = UtilizationDisplay.from_estimator(regressor, X[:30], quantity=quantity)
    expected = [regressor.utilization_, regressor.utilization(X[:30])]
    for bars, utilization in zip(display.bars_, expected, strict=True):
        widths = [bar.get_width() for bar in bars]
        np.testing.assert_allclose(widths, getattr(utilization, quantity))
    assert len(UtilizationDisplay.from_estimator(regressor).bars_) == 1
    with pytest.raises(ValueError, match="quantity"):
        UtilizationDisplay.from_estimator(regressor, quantity="rows")


def test_heat_map_is_sorted(regressor):
    display = RoutingHeatmapDisplay.from_estimator(regressor, X)
    proba = regressor.gate_proba(X)
    shown = np.asarray(display.image_.get_array())
    np.testing.assert_array_equal(np.sort(display.order_), np.arange(len(X)))
    np.testing.assert_array_equal(shown, proba[display.order_])
    top = shown.argmax(axis=1)
    assert (np.diff(top) >= 0).all()
    for expert in np.unique(top):
        assert (np.diff(shown[top == expert].max(axis=1)) <= 0).all()
    ends = [line.get_ydata()[0] for line in display.separators_]
    np.testing.assert_array_equal(ends, np.flatnonzero(np.diff(top)) + 1)


def test_regions_with_other_features_at_their_median(regressor):
    display = GateRegionsDisplay.from_estimator(regressor, X, (2, 0), resolution=11)
    point = np.median(X, axis=0)
    point[2], point[0] = display.first[3], display.second[7]
    np.testing.assert_allclose(display.gate_proba[7, 3], regressor.gate_proba(point[None])[0])
    assert display.others and display.first[0] < X[:, 2].min() < X[:, 2].max() < display.first[-1]
    np.testing.assert_array_equal(display.top, regressor.apply(X))
    leaders = np.unique(display.gate_proba.argmax(axis=2))
    assert len(display.labels_) == len(leaders)
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("x2", "x0")


@pytest.mark.parametrize("features", [None, (0, 0), ("a", "b"), "ab", (0, 1, 2)])
def test_features_of_regions(regressor, features):
    with pytest.raises(ValueError, match="feature"):
        GateRegionsDisplay.from_estimator(regressor, X, features)


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_regions_of_frames_by_name(frame):
    table = frame(
        {"age": X[:, 0], "town": np.where(X[:, 1] > 0.3, "York", "Bath"), "size": X[:, 2]}
    )
    model = small.regressor(
        make_pipeline(Numbers(), Ridge()), gate_features=["size", "age"], overlap=0.0
    )
    fit(model, table, Y)
    display = GateRegionsDisplay.from_estimator(model, table, ("age", "size"), resolution=12)
    by_default = GateRegionsDisplay.from_estimator(model, table, resolution=12)
    assert by_default.feature_names == ("size", "age") and not by_default.others
    np.testing.assert_allclose(by_default.gate_proba, display.gate_proba.transpose(1, 0, 2))


class Numbers(StandardScaler):
    """Keeps the columns that are numbers."""

    def fit(self, X, y=None, sample_weight=None):
        return self

    def transform(self, X, copy=None):
        return np.column_stack([np.asarray(X["age"]), np.asarray(X["size"])])


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_typical_values(frame):
    table = frame(
        {
            "number": [1.0, 2.0, 9.0, None],
            "whole": [1, 2, 3, 3],
            "town": ["York", "Bath", "Bath", "York"],
            "flag": [True, True, False, True],
            "other": [0.0, 1.0, 2.0, 3.0],
        }
    )
    if frame is pd.DataFrame:
        table["town"] = table["town"].astype("category")
        table.index = [7, 7, 8, 9]
    rows = with_typical_values(table, {4: np.array([0.5, 0.6])})
    assert type(rows) is frame and list(rows.columns) == list(table.columns)
    assert list(rows["number"]) == [2.0, 2.0] and list(rows["whole"]) == [2.5, 2.5]
    assert list(rows["town"]) == ["York", "York"] and list(rows["flag"]) == [True, True]
    assert list(rows["other"]) == [0.5, 0.6]
    assert rows["town"].dtype == table["town"].dtype
    array = with_typical_values(np.array([[0.0, np.nan], [1.0, np.nan]]), {0: np.array([5.0])})
    np.testing.assert_array_equal(array, [[5.0, np.nan]])


@pytest.mark.parametrize("likelihood", ["gaussian", "laplace"])
def test_a_calibrated_regression_expert_is_on_the_diagonal(likelihood):
    rng = np.random.default_rng(0)
    draw = rng.normal if likelihood == "gaussian" else rng.laplace
    residual, ones = draw(scale=2.0, size=4000), np.ones(4000)
    error = 4 * np.sqrt(NOMINAL * (1 - NOMINAL) / 4000)
    model = SimpleNamespace(likelihood=likelihood, scale_=np.array([2.0, 1.0]))
    promised, observed = quantile_curve(model, residual, ones, 0)
    assert (np.abs(observed - promised) < error).all()
    too_sure = quantile_curve(model, residual, ones, 1)[1]
    assert too_sure[0] > 0.05 + error[0] and too_sure[-1] < 0.95 - error[-1]
    biased = quantile_curve(model, residual + 1.0, ones, 0)[1]
    assert (biased < NOMINAL).all()
    with pytest.raises(ValueError, match="likelihood"):
        quantile_curve(SimpleNamespace(likelihood="other"), residual, ones, 0)


def test_a_calibrated_classification_expert_is_on_the_diagonal():
    rng = np.random.default_rng(0)
    proba = rng.dirichlet(np.ones(3), 5000)
    classes = np.array(["a", "b", "c"])
    y = classes[(proba.cumsum(axis=1) > rng.uniform(size=(5000, 1))).argmax(axis=1)]

    def curve(proba):
        right = classes[proba.argmax(axis=1)] == y
        return confidence_curve(proba.max(axis=1), right, np.ones(5000), 5)

    confidence, accuracy = curve(proba)
    assert len(confidence) == 5 and (np.diff(confidence) > 0).all()
    assert np.abs(accuracy - confidence).max() < 4 * 0.5 / np.sqrt(1000)
    sharper = proba**3 / (proba**3).sum(axis=1, keepdims=True)
    confidence, accuracy = curve(sharper)
    assert (accuracy < confidence).all()


def test_rows_of_equal_confidence_share_a_bin():
    rng = np.random.default_rng(0)
    confidence = np.repeat([0.9, 0.6, 1.0], [30, 50, 20])
    right = rng.random(100) < confidence
    promised, observed = confidence_curve(confidence, right, np.ones(100), 10)
    np.testing.assert_allclose(promised, [0.6, 0.9, 1.0])
    np.testing.assert_allclose(observed, [right[confidence == c].mean() for c in (0.6, 0.9, 1.0)])


def test_experts_with_few_rows_have_no_curve(regressor):
    display = ReliabilityDisplay.from_estimator(regressor, X[:12], Y[:12])
    assert display.rows.sum() == 12
    for line, rows in zip(display.lines_, display.rows, strict=True):
        assert (len(line.get_xdata()) == 0) == (rows < 10)
        assert ("too few" in line.get_label()) == (rows < 10)


def test_several_outputs():
    both = np.column_stack([Y, -2 * Y])
    model = fit(small.regressor(Ridge()), X, both)
    display = ReliabilityDisplay.from_estimator(model, X, both)
    assert all(0 <= curve.min() and curve.max() <= 1 for curve in display.observed if len(curve))


def test_experts_can_be_told_apart():
    assert len(set(PALETTE)) == len(PALETTE) == 8
    styles = {(colour(expert), marker(expert)) for expert in range(40)}
    assert len(styles) == 40
