"""Pictures of predictive distributions show what the distributions say."""

import matplotlib
import numpy as np
import pytest
from scipy.integrate import trapezoid
from sklearn.linear_model import LinearRegression, Ridge

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.inspection import DensityCalibrationDisplay, DensityDisplay

matplotlib.use("Agg")


def rows(n_samples, seed=0):
    rng = np.random.RandomState(seed)
    X = rng.uniform(-1, 1, size=(n_samples, 2))
    return X, 2 * X[:, 0] + rng.standard_normal(n_samples) * np.where(X[:, 1] > 0, 1.0, 0.2)


@pytest.fixture(scope="module")
def model():
    return MixtureOfExpertsRegressor(Ridge(), n_experts=2, random_state=0).fit(*rows(200))


@pytest.fixture(autouse=True)
def close():
    yield
    from matplotlib import pyplot

    pyplot.close("all")


def test_a_fan_has_the_quantiles_of_its_rows(model):
    X, y = rows(50, 1)
    display = DensityDisplay.from_estimator(model, X, y, feature=0, row=3)
    assert display.grid[[0, -1]] == pytest.approx([X[:, 0].min(), X[:, 0].max()])
    at = np.column_stack([display.grid, np.full(100, X[3, 1])])
    levels = [0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975]
    np.testing.assert_allclose(display.values, model.predict_quantiles(at, levels))
    assert len(display.bands_) == 3
    widest, _, narrowest = (band.get_paths()[0].get_extents().height for band in display.bands_)
    assert widest > narrowest
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), display.values[:, 3])
    np.testing.assert_array_equal(display.points[1], y)


def test_densities_of_rows(model):
    X, y = rows(3, 1)
    display = DensityDisplay.from_estimator(model, X, y)
    assert len(display.lines_) == 3
    for row, (target, density) in enumerate(display.values):
        expected = model.predict_distribution(X[row : row + 1]).pdf(target[np.newaxis])[0]
        np.testing.assert_allclose(density, expected)
        assert trapezoid(density, target) == pytest.approx(0.99, abs=0.01)
    assert display.names == ["row 0", "row 1", "row 2"]


def test_frames_keep_their_names(model):
    pandas = pytest.importorskip("pandas")
    X, y = rows(100)
    frame = pandas.DataFrame(X, columns=["left", "right"], index=np.arange(100, 200))
    named = MixtureOfExpertsRegressor(Ridge(), n_experts=2, random_state=0).fit(frame, y)
    fan = DensityDisplay.from_estimator(named, frame, feature="right")
    assert fan.ax_.get_xlabel() == "right"
    assert DensityDisplay.from_estimator(named, frame[:2]).names == ["row 100", "row 101"]


def test_calibration(model):
    X, y = rows(400, 1)
    display = DensityCalibrationDisplay.from_estimator(model, X, y)
    np.testing.assert_allclose(display.pit, model.predict_distribution(X).cdf(y))
    level, observed = display.line_.get_data()
    interval = model.predict_interval(X, level)
    within = (interval[:, 0] <= y[:, np.newaxis]) & (y[:, np.newaxis] <= interval[:, 1])
    np.testing.assert_allclose(observed, within.mean(axis=0))
    histogram = DensityCalibrationDisplay.from_estimator(model, X, y, kind="pit", n_bins=5)
    heights = [bar.get_height() for bar in histogram.bars_]
    np.testing.assert_allclose(heights, 5 * np.histogram(display.pit, 5, (0, 1))[0] / 400)


def test_a_weight_of_two_is_the_row_twice(model):
    X, y = rows(40, 1)
    twice = np.r_[np.arange(40), np.arange(20)]
    weight = np.r_[np.full(20, 2), np.ones(20)]
    made = DensityCalibrationDisplay.from_estimator
    for kind in ("coverage", "pit"):
        one = made(model, X, y, sample_weight=weight, kind=kind)
        other = made(model, X[twice], y[twice], kind=kind)
        if kind == "pit":
            heights = [[bar.get_height() for bar in each.bars_] for each in (one, other)]
            np.testing.assert_allclose(*heights)
        else:
            np.testing.assert_allclose(one.line_.get_ydata(), other.line_.get_ydata())


def test_own_axes(model):
    from matplotlib import pyplot

    X, y = rows(30)
    axes = pyplot.subplots(1, 2)[1]
    assert DensityDisplay.from_estimator(model, X, feature=1, ax=axes[0]).ax_ is axes[0]
    display = DensityCalibrationDisplay.from_estimator(model, X, y, ax=axes[1])
    assert display.ax_ is axes[1]
    assert display.plot().ax_ is not axes[1]


def test_bad_arguments(model):
    X, y = rows(30)
    with pytest.raises(ValueError, match="30 rows"):
        DensityDisplay.from_estimator(model, X)
    with pytest.raises(ValueError, match="no rows"):
        DensityDisplay.from_estimator(model, X[:0])
    for feature in (2, "left", -1):
        with pytest.raises(ValueError, match="no column"):
            DensityDisplay.from_estimator(model, X, feature=feature)
    with pytest.raises(ValueError, match="shape"):
        DensityDisplay.from_estimator(model, X, y[:3], feature=0)
    with pytest.raises(ValueError, match="kind"):
        DensityCalibrationDisplay.from_estimator(model, X, y, kind="both")
    with pytest.raises(ValueError, match="n_bins"):
        DensityCalibrationDisplay.from_estimator(model, X, y, n_bins=0)
    with pytest.raises(ValueError, match="target"):
        DensityCalibrationDisplay.from_estimator(model, X, y[:3])
    both = MixtureOfExpertsRegressor(LinearRegression(), n_experts=2, random_state=0)
    both.fit(X, np.column_stack([y, y]))
    with pytest.raises(ValueError, match="2 outputs"):
        DensityDisplay.from_estimator(both, X, feature=0)
    with pytest.raises(TypeError, match="predict_distribution"):
        DensityCalibrationDisplay.from_estimator(MixtureOfExpertsClassifier(), X, y)
