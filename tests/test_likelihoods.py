"""Likelihoods: densities against scipy, M-steps against numerical maximisation."""

import numpy as np
import pytest
from scipy import optimize, stats
from sklearn.dummy import DummyClassifier
from sklearn.metrics import mean_absolute_error, root_mean_squared_error

from skmoe._likelihoods import (
    MIN_FLOOR,
    REGRESSION_LIKELIHOODS,
    Categorical,
    regression_likelihood,
)
from skmoe._prediction.kernels import KERNELS
from skmoe._training.lift import measure_lift
from skmoe.inspection._mixture import NOISE


@pytest.fixture
def rng():
    return np.random.RandomState(0)


@pytest.mark.parametrize(
    ("name", "density"), [("gaussian", stats.norm), ("laplace", stats.laplace)]
)
@pytest.mark.parametrize("shape", [(40,), (40, 2)])
def test_location_scale(name, density, shape, rng):
    y = rng.normal(size=shape)
    outputs = rng.normal(size=(40, 3, *shape[1:]))
    weight = rng.uniform(size=(40, 3))
    likelihood = regression_likelihood(name, y, np.ones(40))
    start = likelihood.initial_dispersion(3)
    np.testing.assert_allclose(start, np.tile(y.reshape(40, -1).std(axis=0), (3, 1)))

    scale = likelihood.update_dispersion(y, outputs, weight, start)
    by_hand = density.logpdf(
        y.reshape(40, 1, -1), outputs.reshape(40, 3, -1), scale[np.newaxis]
    ).sum(axis=2)
    np.testing.assert_allclose(likelihood.log_density(y, outputs, scale), by_hand)

    def objective(scale):
        return np.sum(weight * likelihood.log_density(y, outputs, scale))

    for factor in (0.99, 1.01):
        assert objective(scale * factor) < objective(scale)


def test_scale_has_a_floor_and_a_fallback():
    y = np.array([1.0, 2.0, 3.0])
    likelihood = regression_likelihood("gaussian", y, np.ones(3))
    outputs = np.column_stack([y, y + 1])
    weight = np.array([[1.0, 0.0]] * 3)  # the second expert is responsible for nothing
    scale = likelihood.update_dispersion(y, outputs, weight, np.array([[0.5], [0.7]]))
    np.testing.assert_allclose(scale, [[1e-3 * y.std()], [0.7]])


@pytest.mark.parametrize(
    ("name", "error"),
    [("gaussian", root_mean_squared_error), ("laplace", mean_absolute_error)],
)
def test_loss_in_units_of_the_target(name, error, rng):
    y, weight = 1000.0 * rng.normal(size=50), rng.uniform(size=50)
    prediction = y + rng.normal(size=50)
    likelihood = regression_likelihood(name, y, weight)
    mean = np.average(likelihood.loss(y, prediction), weights=weight)
    expected = error(y, prediction, sample_weight=weight)
    np.testing.assert_allclose(likelihood.loss_in_units(mean), expected)
    two = regression_likelihood(name, np.column_stack([y, 7 * y]), weight)
    mean = two.loss(np.column_stack([y, 7 * y]), np.column_stack([prediction, 7 * prediction]))
    in_deviations = expected / np.sqrt(np.cov(y, aweights=weight, ddof=0))
    relative = two.loss_in_units(np.average(mean, weights=weight))
    np.testing.assert_allclose(relative, in_deviations)


def test_every_likelihood_has_its_density_and_its_noise():
    assert set(KERNELS) == set(NOISE) == set(REGRESSION_LIKELIHOODS)
    probabilities = np.linspace(0.05, 0.95, 7)
    for name, noise in NOISE.items():
        np.testing.assert_allclose(KERNELS[name].ppf(probabilities), noise.ppf(probabilities))


def test_floor_converges_to_the_maximum_likelihood(rng):
    classes = np.array(["a", "b", "c"])
    outputs = rng.dirichlet([0.2, 0.2, 0.2], size=(500, 1))
    # Overconfident: a third of the rows pay no heed to what the expert says.
    y = np.where(rng.uniform(size=500) < 1 / 3, rng.randint(3, size=500), outputs[:, 0].argmax(1))
    weight = rng.uniform(size=(500, 1))
    likelihood = Categorical(classes, learn_floor=True)
    floor = likelihood.initial_dispersion(1)
    for _ in range(500):
        floor = likelihood.update_dispersion(y, outputs, weight, floor)

    def loss(floor):
        return -np.sum(weight * likelihood.log_density(y, outputs, np.array([floor])))

    best = optimize.minimize_scalar(loss, bounds=(1e-6, 1 - 1e-6), method="bounded")
    np.testing.assert_allclose(floor, best.x, atol=1e-4)
    assert 0.1 < best.x < 0.5
    assert np.isfinite(loss(MIN_FLOOR))


def test_floor_of_a_good_expert_shrinks_to_its_minimum():
    y = np.array([0, 1] * 20)
    outputs = np.eye(2)[y][:, np.newaxis]
    likelihood = Categorical(np.array([0, 1]), learn_floor=True)
    floor = likelihood.initial_dispersion(1)
    for _ in range(50):
        floor = likelihood.update_dispersion(y, outputs, np.ones((40, 1)), floor)
    assert floor == MIN_FLOOR
    fixed = Categorical(np.array([0, 1]), learn_floor=False)
    assert fixed.update_dispersion(y, outputs, np.ones((40, 1)), floor) is floor


def test_columns_of_an_expert_that_missed_a_class():
    model = DummyClassifier(strategy="prior").fit([[0]] * 4, ["c", "a", "c", "c"])
    likelihood = Categorical(np.array(["a", "b", "c"]), learn_floor=True)
    np.testing.assert_allclose(likelihood.expert_output(model, [[0]]), [[0.25, 0.0, 0.75]])


def test_lift_against_direct_computation(rng):
    log_density = rng.normal(size=(200, 3))
    single = log_density - rng.uniform(size=(200, 3))
    mixture = log_density.max(axis=1)
    weight = rng.uniform(0.5, 1.5, size=200)
    lift = measure_lift(mixture, log_density, single, weight, ("a", "b", "c"))

    def loss(logits):
        proba = np.exp(logits) / np.exp(logits).sum()
        return -np.average(np.log(np.exp(log_density) @ proba), weights=weight)

    best = optimize.minimize(loss, np.zeros(3), tol=1e-12)
    np.testing.assert_allclose(
        lift.over_constant, np.average(mixture, weights=weight) + best.fun, atol=1e-6
    )
    means = np.average(single, axis=0, weights=weight)
    assert lift.best_expert == "abc"[means.argmax()]
    np.testing.assert_allclose(
        lift.over_best_expert, np.average(mixture, weights=weight) - means.max()
    )


def test_standard_error_of_the_lift(rng):
    gain = rng.normal(size=400)
    lift = measure_lift(gain, np.zeros((400, 1)), np.zeros((400, 1)), np.ones(400), ("a",))
    np.testing.assert_allclose(lift.over_best_expert_se, stats.sem(gain))
    np.testing.assert_allclose(lift.over_constant_se, stats.sem(gain))
    assert "over 'a'" in repr(lift)


@pytest.mark.parametrize("size", [1.0, 1e-100, 1e100])
@pytest.mark.parametrize("shape", [(40,), (40, 2)])
def test_rounded_predictions(size, shape, rng):
    """Steps are small beside the spread of the target, whatever its size and its mean."""
    y = size * (1e4 + rng.normal(size=shape))
    likelihood = regression_likelihood("gaussian", y, np.ones(40))
    rounded = likelihood.rounded(y)
    assert np.abs(rounded - y).max() < 1e-7 * y.std(axis=0).max()
    np.testing.assert_array_equal(likelihood.rounded(rounded), rounded)
    np.testing.assert_array_equal(likelihood.rounded(np.nextafter(rounded, np.inf)), rounded)


def test_rounded_probabilities_are_never_0():
    likelihood = Categorical(np.arange(2), learn_floor=True)
    proba = np.array([[MIN_FLOOR / 2, 1 - MIN_FLOOR / 2], [1 / 3, 2 / 3]])
    rounded = likelihood.rounded(proba)
    assert (rounded > 0).all()
    np.testing.assert_allclose(rounded, proba, rtol=1e-7)
    np.testing.assert_array_equal(likelihood.rounded(np.nextafter(rounded, 1.0)), rounded)
