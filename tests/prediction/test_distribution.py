"""Predictive distributions: against scipy.stats, numerical integrals, and each other."""

import pickle

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

from skmoe import PredictiveDistribution
from skmoe._prediction.kernels import KERNELS

FAMILIES = {"gaussian": stats.norm, "laplace": stats.laplace}


def made(kind="gaussian", n_samples=5, n_components=4, n_outputs=None, seed=0):
    rng = np.random.RandomState(seed)
    shape = (n_samples, n_components, *([] if n_outputs is None else [n_outputs]))
    weights = rng.dirichlet(np.ones(n_components), n_samples)
    weights[0] = np.eye(n_components)[1]  # weights of 0
    scales = rng.gamma(1.0, size=shape) + 0.05
    scales[1, 1] = scales[1, 0]
    scales[2, 1] = scales[2, 0] * (1 + 1e-6)  # where a difference of scales is divided by
    return PredictiveDistribution(weights, 3 * rng.standard_normal(shape), scales, kind)


def parts(distribution, row):
    family = FAMILIES[distribution.kind]
    return distribution.weights[row], family(distribution.means[row], distribution.scales[row])


@pytest.mark.parametrize("kind", FAMILIES)
def test_density_and_cdf_are_those_of_scipy(kind):
    distribution = made(kind)
    y = np.linspace(-3, 3, len(distribution))
    for row in range(len(distribution)):
        weights, each = parts(distribution, row)
        assert distribution.pdf(y)[row] == pytest.approx(weights @ each.pdf(y[row]), rel=1e-12)
        assert distribution.cdf(y)[row] == pytest.approx(weights @ each.cdf(y[row]), rel=1e-12)
        assert distribution.sf(y)[row] == pytest.approx(weights @ each.sf(y[row]), rel=1e-12)
        mean = weights @ each.mean()
        assert distribution.mean()[row] == pytest.approx(mean)
        variance = weights @ (each.var() + each.mean() ** 2) - mean**2
        assert distribution.var()[row] == pytest.approx(variance)
    np.testing.assert_allclose(np.exp(distribution.joint_logpdf(y)), distribution.pdf(y))


@pytest.mark.parametrize("kind", FAMILIES)
def test_crps_is_the_integral(kind):
    distribution = made(kind)
    y = np.linspace(-3, 3, len(distribution))
    for row in range(len(distribution)):
        weights, each = parts(distribution, row)

        def squared(x, row=row, weights=weights, each=each):
            return (weights @ each.cdf(x) - (x >= y[row])) ** 2

        breaks = np.unique([-80.0, *distribution.means[row], y[row], 80.0])
        pieces = zip(breaks, breaks[1:], strict=False)
        integral = sum(quad(squared, a, b, limit=200)[0] for a, b in pieces)
        assert distribution.crps(y)[row] == pytest.approx(integral, abs=1e-9)


@pytest.mark.parametrize("kind", FAMILIES)
def test_quantiles_invert_the_cdf(kind):
    distribution = made(kind, n_samples=40)
    q = np.array([1e-12, 1e-5, 0.05, 0.3, 0.5, 0.7, 0.95, 1 - 1e-9])
    x = distribution.ppf(q)
    assert np.abs(distribution.cdf(x) - q).max() < 1e-10
    np.testing.assert_allclose(distribution.sf(x)[:, -1], 1 - q[-1], rtol=1e-6)
    np.testing.assert_array_equal(distribution.ppf(0.3), x[:, 3])
    np.testing.assert_array_equal(distribution.median(), x[:, 4])
    np.testing.assert_array_equal(distribution.ppf([0.0, 1.0])[3], [-np.inf, np.inf])


def test_quantiles_between_components_far_apart():
    """Newton's steps would run away where the density is next to nothing."""
    distribution = PredictiveDistribution(
        np.array([[0.5, 0.5], [0.3, 0.7]]), np.array([[-1e3, 1e3], [0, 1]]), np.full((2, 2), 1e-3)
    )
    q = [0.2, 0.299999, 0.4999, 0.6, 0.99]
    assert np.abs(distribution.cdf(distribution.ppf(q)) - q).max() < 1e-10


@pytest.mark.parametrize("kind", FAMILIES)
def test_draws_have_the_moments(kind):
    distribution = made(kind)
    drawn = distribution.rvs(100_000, random_state=0)
    error = distribution.std() / np.sqrt(drawn.shape[1])
    assert np.all(np.abs(drawn.mean(axis=1) - distribution.mean()) < 5 * error)
    below = (drawn <= distribution.ppf(0.3)[:, np.newaxis]).mean(axis=1)
    assert np.all(np.abs(below - 0.3) < 5 * np.sqrt(0.21 / drawn.shape[1]))


def test_interval_is_central():
    distribution = made()
    lower, upper = np.moveaxis(distribution.interval([0.5, 0.9]), 1, 0)
    np.testing.assert_allclose(distribution.cdf(lower), [[0.25, 0.05]] * 5, atol=1e-10)
    np.testing.assert_allclose(distribution.cdf(upper), [[0.75, 0.95]] * 5, atol=1e-10)
    np.testing.assert_array_equal(distribution.interval(0.9), distribution.interval([0.9])[..., 0])


def test_rows_are_independent_of_each_other():
    distribution = made(n_samples=30)
    y = np.linspace(-2, 2, 30)
    for rows in (slice(3, 9), [4, 2], np.arange(30) % 3 == 0):
        some = distribution[rows]
        np.testing.assert_array_equal(some.ppf([0.1, 0.8]), distribution.ppf([0.1, 0.8])[rows])
        np.testing.assert_array_equal(some.crps(y[rows]), distribution.crps(y)[rows])
    np.testing.assert_array_equal(distribution[-1].mean(), distribution.mean()[-1:])
    with pytest.raises(IndexError):
        distribution[30]


@pytest.mark.parametrize("kind", FAMILIES)
def test_outputs_are_marginals(kind):
    several = made(kind, n_outputs=2)
    y = np.random.RandomState(0).standard_normal(several.shape)
    for output in range(2):
        one = PredictiveDistribution(
            several.weights, several.means[:, :, output], several.scales[:, :, output], kind
        )
        np.testing.assert_allclose(several.mean()[:, output], one.mean())
        np.testing.assert_allclose(several.std()[:, output], one.std())
        np.testing.assert_array_equal(several.interval(0.8)[:, output], one.interval(0.8))
        np.testing.assert_array_equal(several.crps(y)[:, output], one.crps(y[:, output]))
    expected = 0
    for row in [3]:
        weights, each = parts(several, row)
        expected = np.log(weights @ np.prod(each.pdf(y[row]), axis=1))
        assert several.joint_logpdf(y)[row] == pytest.approx(expected)


def test_outputs_are_drawn_together():
    weights = np.array([[0.5, 0.5]])
    means = np.array([[[-10.0, -10.0], [10.0, 10.0]]])
    drawn = PredictiveDistribution(weights, means, np.ones((1, 2, 2))).rvs(200, random_state=0)
    assert drawn.shape == (1, 2, 200)
    assert np.all(np.sign(drawn[0, 0]) == np.sign(drawn[0, 1]))


def test_points_of_a_grid():
    distribution, grid = made(), np.linspace(-2, 2, 7)
    values = distribution.pdf(grid[np.newaxis])
    assert values.shape == (5, 7)
    np.testing.assert_array_equal(values[:, 3], distribution.pdf(grid[3]))


def test_large_batches_in_parts(monkeypatch):
    distribution = made(n_samples=50)
    whole = distribution.ppf([0.2, 0.9]), distribution.crps(0.0), distribution.cdf(0.3)
    monkeypatch.setattr("skmoe._prediction.distribution.MOST_PAIRS", 37)
    in_parts = distribution.ppf([0.2, 0.9]), distribution.crps(0.0), distribution.cdf(0.3)
    for one, other in zip(whole, in_parts, strict=True):
        np.testing.assert_array_equal(one, other)


def test_no_rows():
    nobody = made()[:0]
    assert nobody.interval([0.5, 0.9]).shape == (0, 2, 2)
    assert nobody.rvs(3).shape == (0, 3)
    assert nobody.crps(0.0).shape == nobody.mean().shape == nobody.cdf(0.0).shape == (0,)


def test_pickles():
    distribution = made("laplace")
    again = pickle.loads(pickle.dumps(distribution))
    np.testing.assert_array_equal(again.crps(0.0), distribution.crps(0.0))


def test_bad_arguments():
    distribution = made()
    with pytest.raises(ValueError, match="between 0 and 1"):
        distribution.ppf(1.2)
    with pytest.raises(ValueError, match="between 0 and 1"):
        distribution.interval([0.5, np.nan])
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        distribution.cdf(np.zeros(3))
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        distribution.crps(np.zeros(3))


def test_frozen():
    with pytest.raises(AttributeError):
        made().weights = None


@pytest.mark.parametrize("kind", KERNELS)
def test_kernels_are_complete(kind):
    x = np.linspace(-4, 4, 9)
    kernel, family = KERNELS[kind], FAMILIES[kind]
    np.testing.assert_allclose(kernel.ppf(kernel.cdf(x)), x)
    np.testing.assert_allclose(kernel.logpdf(x), family.logpdf(x))
    assert kernel.variance == family.var()


def test_skpro_has_the_same_figures():
    pytest.importorskip("skpro", reason="skpro is not installed")
    distribution = made(n_outputs=2)
    wrapped = distribution.to_skpro()
    np.testing.assert_allclose(wrapped.mean(), distribution.mean())
    np.testing.assert_allclose(wrapped.var(), distribution.var())
    np.testing.assert_allclose(wrapped.ppf(0.3), distribution.ppf(0.3))
    y = wrapped.mean() + 0.5
    np.testing.assert_allclose(wrapped.cdf(y), distribution.cdf(y.to_numpy()))
    np.testing.assert_allclose(wrapped.log_pdf(y), distribution.logpdf(y.to_numpy()))
    np.testing.assert_allclose(wrapped.iloc[[1, 3]].mean(), distribution.mean()[[1, 3]])
    assert wrapped.sample(3).shape == (15, 2)


def test_skpro_is_asked_for_by_name(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "skpro.distributions.base", None)
    from skmoe._prediction import skpro

    skpro._skpro_class.cache_clear()
    with pytest.raises(ImportError, match="pip install skpro"):
        made().to_skpro()
