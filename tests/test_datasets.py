"""The generators say the truth about the data that they draw."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LinearRegression

from skmoe.datasets import make_piecewise_classification, make_piecewise_regression

GENERATORS = [make_piecewise_regression, make_piecewise_classification]
BOUNDARIES = ["linear", "parallel", "radial"]


def gate_scores(data, boundary):
    z = (data.X**2).sum(axis=1, keepdims=True) if boundary == "radial" else data.X
    return z @ data.gate_coef.T + data.gate_intercept


@pytest.mark.parametrize("make", GENERATORS)
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_regime_is_the_largest_score_of_the_gate(make, boundary):
    data = make(n_regimes=4, boundary=boundary, random_state=0)
    assert_array_equal(data.regime, gate_scores(data, boundary).argmax(axis=1))
    assert_array_equal(data.gate_proba, np.eye(4)[data.regime])


@pytest.mark.parametrize("make", GENERATORS)
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize(("n_features", "n_regimes"), [(1, 1), (1, 2), (2, 5), (7, 3)])
def test_regimes_have_equal_probability(make, boundary, n_features, n_regimes):
    n = 20_000
    data = make(n, n_features, n_regimes, boundary=boundary, random_state=1)
    share = np.bincount(data.regime, minlength=n_regimes) / n
    standard_error = np.sqrt((1 - 1 / n_regimes) / n_regimes / n)
    assert_allclose(share, 1 / n_regimes, atol=4.5 * standard_error)


@pytest.mark.parametrize("make", GENERATORS)
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_overlapping_regimes_are_drawn_from_the_gate(make, boundary):
    n, overlap = 20_000, 0.7
    data = make(n, n_regimes=3, boundary=boundary, overlap=overlap, random_state=2)
    scores = gate_scores(data, boundary) / overlap
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    assert_allclose(data.gate_proba, odds / odds.sum(axis=1, keepdims=True))
    assert np.mean(data.regime != data.gate_proba.argmax(axis=1)) > 0.01
    # residuals of the indicator are uncorrelated with any function of the probabilities
    drawn = np.eye(3)[data.regime]
    z = (drawn - data.gate_proba).sum(axis=0) / np.sqrt(
        (data.gate_proba * (1 - data.gate_proba)).sum(axis=0)
    )
    assert np.abs(z).max() < 4
    slope = np.cov(data.gate_proba[:, 0], drawn[:, 0])[0, 1] / data.gate_proba[:, 0].var()
    assert slope == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("noise", [0.3, [0.1, 0.5, 2.0]])
def test_noise_has_the_scale_that_was_asked_for_in_every_regime(boundary, noise):
    data = make_piecewise_regression(
        30_000, noise=noise, boundary=boundary, overlap=0.2, random_state=3
    )
    assert_array_equal(data.scale, np.broadcast_to(noise, 3))
    for k in range(3):
        rows = data.regime == k
        residual = (data.y - data.mean)[rows]
        n = rows.sum()
        assert residual.std() == pytest.approx(data.scale[k], rel=4 / np.sqrt(2 * n))
        assert abs(residual.mean()) < 4 * data.scale[k] / np.sqrt(n)


def test_regression_without_noise_is_linear_in_each_regime():
    data = make_piecewise_regression(500, 4, 3, noise=0, random_state=4)
    assert_array_equal(data.y, data.mean)
    assert_allclose(data.expert_means, data.X @ data.coef.T + data.intercept)
    for k in range(3):
        rows = data.regime == k
        line = LinearRegression().fit(data.X[rows], data.y[rows])
        assert_allclose(line.coef_, data.coef[k])
        assert_allclose(line.intercept_, data.intercept[k])


def test_classes_are_drawn_from_the_regimes_probabilities():
    n = 30_000
    data = make_piecewise_classification(n, 4, 3, n_classes=3, overlap=0.1, random_state=5)
    assert_allclose(data.expert_proba.sum(axis=2), 1)
    assert_array_equal(data.proba, data.expert_proba[np.arange(n), data.regime])
    log_odds = np.log(data.expert_proba[:, 1, 2] / data.expert_proba[:, 1, 0])
    expected = data.X @ (data.coef[1, 2] - data.coef[1, 0])
    assert_allclose(log_odds, expected + data.intercept[1, 2] - data.intercept[1, 0], atol=1e-8)
    drawn = np.eye(3)[data.y]
    for k in range(3):
        rows = data.regime == k
        variance = (data.proba * (1 - data.proba))[rows].sum(axis=0)
        z = (drawn - data.proba)[rows].sum(axis=0) / np.sqrt(variance)
        assert np.abs(z).max() < 4


def test_class_sep_goes_from_chance_to_certainty():
    chance = make_piecewise_classification(class_sep=0, n_classes=4, random_state=0)
    assert_allclose(chance.proba, 0.25)
    certain = make_piecewise_classification(class_sep=1e6, random_state=0)
    assert np.mean(certain.proba.argmax(axis=1) == certain.y) > 0.999


@pytest.mark.parametrize("make", GENERATORS)
def test_the_seed_decides_everything(make):
    first, second, other = (make(n_samples=50, random_state=seed) for seed in (0, 0, 1))
    assert set(first) == set(second)
    for name in first:
        assert_array_equal(first[name], second[name])
    assert not np.array_equal(first.X, other.X)
    X, y = make(n_samples=50, random_state=0, return_X_y=True)
    assert_array_equal(X, first.X)
    assert_array_equal(y, first.y)


def test_shapes_are_as_documented():
    regression = make_piecewise_regression(20, 4, 3, random_state=0)
    shapes = {name: value.shape for name, value in regression.items()}
    assert shapes == {
        "X": (20, 4),
        "y": (20,),
        "mean": (20,),
        "expert_means": (20, 3),
        "coef": (3, 4),
        "intercept": (3,),
        "scale": (3,),
        "regime": (20,),
        "gate_proba": (20, 3),
        "gate_coef": (3, 4),
        "gate_intercept": (3,),
    }
    classification = make_piecewise_classification(
        20, 4, 3, n_classes=5, boundary="radial", random_state=0
    )
    shapes = {name: value.shape for name, value in classification.items()}
    assert shapes == {
        "X": (20, 4),
        "y": (20,),
        "proba": (20, 5),
        "expert_proba": (20, 3, 5),
        "coef": (3, 5, 4),
        "intercept": (3, 5),
        "regime": (20,),
        "gate_proba": (20, 3),
        "gate_coef": (3, 1),
        "gate_intercept": (3,),
    }


@pytest.mark.parametrize("make", GENERATORS)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_samples", 0),
        ("n_features", 0),
        ("n_regimes", 0),
        ("n_regimes", 2.5),
        ("boundary", "curved"),
        ("overlap", -0.1),
        ("random_state", "seed"),
    ],
)
def test_errors_name_the_parameter(make, name, value):
    with pytest.raises(ValueError, match=f"'{name}' parameter"):
        make(**{name: value})


@pytest.mark.parametrize("noise", [-0.1, [0.1, 0.2], [0.1, -0.2, 0.3], [0.1, np.nan, 0.3]])
def test_errors_name_noise(noise):
    with pytest.raises(ValueError, match="noise"):
        make_piecewise_regression(n_regimes=3, noise=noise)


@pytest.mark.parametrize(("name", "value"), [("n_classes", 1), ("class_sep", -1.0)])
def test_errors_name_the_parameters_of_classification(name, value):
    with pytest.raises(ValueError, match=f"'{name}' parameter"):
        make_piecewise_classification(**{name: value})


@pytest.mark.parametrize("make", GENERATORS)
def test_one_feature_has_no_sectors(make):
    with pytest.raises(ValueError, match=r"n_features .* boundary='parallel'"):
        make(n_features=1, n_regimes=3, boundary="linear")
