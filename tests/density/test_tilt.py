"""Weights tilted to a mean."""

import numpy as np

from skmoe._density.tilt import tilted


def test_the_mean_is_reached():
    rng = np.random.RandomState(0)
    weights, distance = rng.dirichlet(np.ones(12) * 0.3, 500), rng.standard_normal((500, 12))
    distance -= 0.5 * np.einsum("nc,nc->n", weights, distance)[:, np.newaxis]
    distance[:, 0], distance[:, 1] = -0.1, 0.1
    weights = 0.9 * weights
    weights[:, :2] += 0.05
    made = tilted(weights, distance)
    assert np.abs((made * distance).sum(axis=1)).max() < 1e-13
    np.testing.assert_allclose(made.sum(axis=1), 1)
    # exponential tilting: log ratios are linear in the distance
    ratio = np.log(made / weights)[0]
    slope = np.polyfit(distance[0], ratio, 1)
    np.testing.assert_allclose(np.polyval(slope, distance[0]), ratio, atol=1e-8)


def test_weights_that_fit_stay():
    weights, distance = np.array([[0.25, 0.5, 0.25]]), np.array([[-1.0, 0.0, 1.0]])
    np.testing.assert_allclose(tilted(weights, distance), weights)
    np.testing.assert_allclose(tilted(weights, np.zeros((1, 3))), weights)


def test_a_component_far_away():
    weights = np.array([[1e-9, 0.5, 0.5 - 1e-9]])
    distance = np.array([[1e8, -1.0, 1.1]])
    made = tilted(weights, distance)
    assert abs((made * distance).sum()) < 1e-9


def test_out_of_reach_is_as_close_as_can_be():
    made = tilted(np.array([[0.3, 0.0, 0.7]]), np.array([[1.0, -1.0, 2.0]]))
    np.testing.assert_allclose(made, [[1.0, 0.0, 0.0]], atol=1e-12)


def test_no_rows():
    assert tilted(np.empty((0, 3)), np.empty((0, 3))).shape == (0, 3)
