"""The display of regimes shows what gate and linear experts say."""

from inspect import signature

import numpy as np
import pandas as pd
import polars as pl
import pytest
from matplotlib import pyplot as plt
from sklearn.compose import make_column_transformer
from sklearn.inspection import partial_dependence
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.inspection import RegimeDisplay, regime_table

RNG = np.random.default_rng(0)
N_ROWS = 400
X = RNG.uniform(-1, 1, size=(N_ROWS, 3))
HIGH = X[:, 0] > 0
Y = np.where(HIGH, 5 + 3 * X[:, 1], -5 - X[:, 1] + X[:, 2]) + 0.1 * RNG.normal(size=N_ROWS)
TOWNS = RNG.choice(["Bath", "Hull", "York"], N_ROWS)


@pytest.fixture(scope="module")
def moe():
    return MixtureOfExpertsRegressor(
        LinearRegression(), n_experts=2, overlap=0.0, shared_expert=None, random_state=0
    ).fit(X, Y)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_where_regimes_lie(moe):
    display = RegimeDisplay.from_estimator(moe, X, 0)
    high = np.argmax([expert.intercept_ for expert in moe.experts_])
    np.testing.assert_allclose(display.share.sum(axis=1), 1)
    assert display.share[0, high] < 0.1
    assert display.share[-1, high] > 0.9
    # Values at which the high regime has rows, and the low one has not.
    assert not display.inside[display.values < -0.1, high].any()
    assert not display.inside[display.values > 0.1, 1 - high].any()


@pytest.mark.skipif(
    "custom_values" not in signature(partial_dependence).parameters,
    reason="this scikit-learn takes no values to compare at (1.7 and newer do)",
)
def test_partial_dependence_of_the_whole_is_that_of_scikit_learn(moe):
    display = RegimeDisplay.from_estimator(moe, X, 1)
    values = display.values[[5, 30, 50]]
    expected = partial_dependence(moe, X, [1], custom_values={1: values}, kind="average")
    np.testing.assert_allclose(display.overall[[5, 30, 50]], expected["average"][0])


def test_effects_are_the_lines_of_the_experts(moe):
    display = RegimeDisplay.from_estimator(moe, X, 1)
    slopes = np.diff(display.effect, axis=0) / np.diff(display.values)[:, np.newaxis]
    expected = [expert.coef_[1] for expert in moe.experts_]
    np.testing.assert_allclose(slopes, np.broadcast_to(expected, slopes.shape))


def test_coefficients_are_those_of_the_table_by_standard_deviations(moe):
    display = RegimeDisplay.from_estimator(moe, X, 1)
    table = regime_table(moe, X, Y).coefficients().drop("intercept", level="term")
    for shown, name in ((display.coef, "coef"), (display.coef_error, "error")):
        expected = table[name].to_numpy().reshape(2, 3) * X.std(axis=0)
        np.testing.assert_allclose(shown, expected)


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_categories(frame):
    rows = pd.DataFrame({"size": X[:, 1], "town": pd.Categorical(TOWNS)})
    y = np.where(TOWNS == "York", 9 + 3 * X[:, 1], -X[:, 1]) + 0.1 * RNG.normal(size=N_ROWS)
    encoder = make_column_transformer((StandardScaler(), ["size"]), (OneHotEncoder(), ["town"]))
    model = MixtureOfExpertsRegressor(
        make_pipeline(encoder, LinearRegression()),
        n_experts=2,
        overlap=0.0,
        shared_expert=None,
        random_state=0,
    )
    given = rows if frame is pd.DataFrame else pl.from_pandas(rows)
    display = RegimeDisplay.from_estimator(model.fit(given, y), given, "town")
    assert display.values.tolist() == ["Bath", "Hull", "York"]
    york = display.share[2].argmax()
    assert display.share[:2, york].max() < 0.1
    assert display.inside[:, york].tolist() == [False, False, True]
    labels = [text.get_text() for text in display.axes_[0].get_xticklabels()]
    assert labels == ["Bath", "Hull", "York"]


@pytest.mark.parametrize("n_classes", [2, 3])
def test_classes(n_classes):
    labels = np.digitize(Y, [-5, 4][: n_classes - 1])
    model = MixtureOfExpertsClassifier(
        LogisticRegression(), n_experts=2, overlap=0.0, random_state=0
    ).fit(X, labels)
    display = RegimeDisplay.from_estimator(model, X, 0, outcome=-1)
    first = X.copy()
    first[:, 0] = display.values[0]
    assert np.isclose(display.overall[0], model.predict_proba(first)[:, -1].mean())
    assert display.axes_[1].get_ylabel() == f"probability of {n_classes - 1}"


def test_axes(moe):
    figure, axes = plt.subplots(1, 3)
    display = RegimeDisplay.from_estimator(moe, X, -1, axes=axes)
    assert display.figure_ is figure
    assert display.feature_name == "x2"
    with pytest.raises(ValueError, match="three Axes"):
        display.plot(axes=axes[:2])
    figure.canvas.draw()


@pytest.mark.parametrize(("feature", "message"), [("size", "not among"), (3, "below 3")])
def test_features_that_are_not_there(moe, feature, message):
    with pytest.raises(ValueError, match=message):
        RegimeDisplay.from_estimator(moe, X, feature)


def test_experts_that_are_not_linear():
    model = MixtureOfExpertsRegressor(DecisionTreeRegressor(max_depth=2), n_experts=2, cv=2)
    with pytest.raises(TypeError, match="linear"):
        RegimeDisplay.from_estimator(model.fit(X, Y), X, 0)
