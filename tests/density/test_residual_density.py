"""A density learned from held-out rows: what it promises, and where it must help."""

import pickle

import numpy as np
import pytest

from skmoe import PredictiveDistribution
from skmoe._density.errors import ErrorBins
from skmoe._density.neighbours import LeafTable, Neighbours
from skmoe._density.opinions import Components, Opinions, as_gaussians, mixture_components
from skmoe._density.residual import HeldOutRows, fit_residual_density
from skmoe._shared_expert.expert import SharedExpert


def held_out(n_samples, noise, seed=0, weight=None):
    """Rows of two experts whose prediction is right on average; `noise(rng, x)` are its errors."""
    rng = np.random.RandomState(seed)
    x = rng.uniform(-1, 1, size=(n_samples, 2))
    truth = 3 * x[:, 0]
    target = truth + noise(rng, x)
    experts = truth[:, np.newaxis] + rng.normal(scale=0.05, size=(n_samples, 2))
    gate = np.full((n_samples, 2), 0.5)
    opinions = Opinions(x, experts.mean(axis=1), experts, gate, None)
    scale = np.full(2, max(np.std(target - truth), 1e-3))
    return HeldOutRows(
        opinions,
        mixture_components(experts, gate, scale, None, None),
        target,
        np.ones(n_samples) if weight is None else weight,
        np.arange(n_samples) % 5,
        np.arange(2),
    )


def uneven(rng, x):
    """Errors whose size depends on the row."""
    return rng.standard_normal(len(x)) * np.where(x[:, 1] > 0, 1.0, 0.1)


def skewed(rng, x):
    return rng.exponential(size=len(x)) - 1.0


def even(rng, x):
    return rng.standard_normal(len(x))


def surprise(components, target):
    return -PredictiveDistribution(*components).logpdf(target).mean()


@pytest.mark.parametrize(("noise", "gain"), [(uneven, 0.4), (skewed, 0.15)])
def test_new_rows_are_less_of_a_surprise(noise, gain):
    rows, new = held_out(800, noise), held_out(2000, noise, seed=1)
    density, judged = fit_residual_density(rows, 1e-3, seed=0)
    components = density.components(new.opinions, new.mixture)
    before = surprise(new.mixture, new.target)
    assert surprise(components, new.target) < before - gain
    # what held-out rows promise comes true
    assert surprise(judged, rows.target) == pytest.approx(
        surprise(components, new.target), abs=0.12
    )


@pytest.mark.parametrize("n_samples", [50, 60, 120])
def test_few_rows_with_nothing_to_learn(n_samples):
    """As measured, bins that had seen the rows cost 13 nats a row."""
    loss = []
    for seed in range(5):
        rows, new = held_out(n_samples, even, seed), held_out(1000, even, seed + 100)
        density, _ = fit_residual_density(rows, 1e-3, seed=0)
        components = density.components(new.opinions, new.mixture)
        loss.append(surprise(components, new.target) - surprise(new.mixture, new.target))
    assert np.mean(loss) < 0.04
    assert max(loss) < 0.08


@pytest.mark.parametrize("noise", [uneven, skewed])
def test_the_mean_is_the_prediction(noise):
    rows, new = held_out(300, noise), held_out(500, noise, seed=1)
    density, judged = fit_residual_density(rows, 1e-3, seed=0)
    made = PredictiveDistribution(*density.components(new.opinions, new.mixture))
    np.testing.assert_allclose(made.mean(), new.opinions.prediction, rtol=0, atol=1e-9)
    mean = PredictiveDistribution(*judged).mean()
    np.testing.assert_allclose(mean, rows.opinions.prediction, rtol=0, atol=1e-9)


def test_rows_are_independent_of_each_other():
    rows, new = held_out(300, uneven), held_out(40, uneven, seed=1)
    density, _ = fit_residual_density(rows, 1e-3, seed=0)
    whole = density.components(new.opinions, new.mixture)
    some = np.array([3, 17])
    mixture = Components(*(part[some] for part in new.mixture))
    alone = density.components(new.opinions.take(some), mixture)
    for part, all_of_it in zip(alone, whole, strict=True):
        np.testing.assert_allclose(part, all_of_it[some], rtol=1e-12, atol=1e-15)
    nobody = Components(*(part[:0] for part in new.mixture))
    empty = density.components(new.opinions.take(slice(0)), nobody)
    assert empty.weights.shape == (0, whole.weights.shape[1])


def test_scale_of_the_weights_does_not_matter():
    weight = np.random.RandomState(0).uniform(0.5, 2.0, size=200)
    one, _ = fit_residual_density(held_out(200, uneven, weight=weight), 1e-3, seed=0)
    other, _ = fit_residual_density(held_out(200, uneven, weight=4 * weight), 1e-3, seed=0)
    np.testing.assert_allclose(one.parts, other.parts)
    np.testing.assert_allclose(one.shape.bins.centres, other.shape.bins.centres)


def test_units_do_not_matter():
    rows = held_out(200, skewed)
    factor = 1024.0  # exact in binary
    opinions = rows.opinions._replace(
        prediction=factor * rows.opinions.prediction, experts=factor * rows.opinions.experts
    )
    mixture = Components(
        rows.mixture.weights, factor * rows.mixture.means, factor * rows.mixture.scales
    )
    scaled = rows._replace(opinions=opinions, mixture=mixture, target=factor * rows.target)
    _, one = fit_residual_density(rows, 1e-3, seed=0)
    _, other = fit_residual_density(scaled, factor * 1e-3, seed=0)
    np.testing.assert_allclose(
        surprise(other, scaled.target), surprise(one, rows.target) + np.log(factor), rtol=1e-6
    )


def test_pickles_bit_for_bit():
    rows, new = held_out(100, uneven), held_out(20, uneven, seed=1)
    density, _ = fit_residual_density(rows, 1e-3, seed=0)
    again = pickle.loads(pickle.dumps(density))
    for one, other in zip(
        density.components(new.opinions, new.mixture),
        again.components(new.opinions, new.mixture),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


def test_experts_that_are_always_right():
    """Errors of 0 everywhere, and a fold of its own for each row."""
    rows = held_out(60, lambda rng, x: np.zeros(len(x)))
    opinions = rows.opinions._replace(prediction=rows.target)
    rows = rows._replace(opinions=opinions, judge=np.arange(60))
    density, judged = fit_residual_density(rows, 1e-3, seed=0)
    assert np.isfinite(surprise(judged, rows.target))
    assert np.all(judged.scales >= 1e-3)


def test_missing_and_huge_features():
    rows = held_out(80, uneven)
    rows.opinions.features[::7, 0] = np.nan
    rows.opinions.features[1, 1] = 1e300
    density, _ = fit_residual_density(rows, 1e-3, seed=0)
    assert np.isfinite(surprise(density.components(rows.opinions, rows.mixture), rows.target))


def test_trees_leave_out_the_fold_of_the_row_that_they_judge():
    """Near-copies in one fold, of which a tree that knew some could tell the others."""
    rng = np.random.RandomState(0)
    unit = np.repeat(np.arange(60), 8)
    x = rng.normal(size=(60, 3))[unit]
    error = rng.normal(size=60)[unit]
    for n_folds in (2, 5, 10):
        judge = unit % n_folds
        evidence = (x + 1e-3 * rng.normal(size=x.shape)).astype(np.float32)
        neighbours, leaves = Neighbours.fit(evidence, error, None, judge, seed=0)
        assert (abs(neighbours.leaves(evidence) - leaves.all)).nnz == 0
        n_judges = np.asarray(leaves.left_out.sum(axis=1)).ravel()
        assert n_judges.min() >= 100 * max(1, round(0.4 * n_folds)) // n_folds
        told = np.zeros(480)
        for fold in range(n_folds):
            others, own = judge != fold, judge == fold
            table = LeafTable.of(leaves.all[others], error[others, None], np.ones(others.sum()))
            told[own] = table.mean(leaves.left_out[own], 0.0)[:, 0]
        # of units that are independent of each other there is nothing to be told
        each = told.reshape(60, 8).mean(axis=1), error[::8]
        assert abs(np.corrcoef(*each)[0, 1]) < 3 / np.sqrt(60)


def test_the_last_bit_of_an_error_does_not_matter():
    """It depends on the memory order of X, say; trees would make much of it."""
    rows, new = held_out(300, uneven), held_out(100, uneven, seed=1)
    shift = 1e-14 * np.random.RandomState(0).standard_normal(300)
    moved = rows._replace(target=rows.target + shift)
    one, other = (
        fit_residual_density(each, 1e-3, seed=0)[0].components(new.opinions, new.mixture)
        for each in (rows, moved)
    )
    for part, same in zip(one, other, strict=True):
        np.testing.assert_allclose(part, same, rtol=1e-8, atol=1e-10)


def test_missing_values_go_where_the_trees_send_them():
    rng = np.random.RandomState(0)
    evidence = rng.normal(size=(400, 4)).astype(np.float32)
    evidence[rng.uniform(size=evidence.shape) < 0.3] = np.nan
    error = np.nan_to_num(evidence[:, 0], nan=2.0)
    neighbours, leaves = Neighbours.fit(evidence, error, None, np.arange(400) % 5, seed=0)
    for part in (slice(None), slice(9)):  # compiled, and in plain NumPy
        assert (abs(neighbours.leaves(evidence[part]) - leaves.all[part])).nnz == 0


def test_bins():
    rng = np.random.RandomState(0)
    values = np.append(rng.standard_normal(600), [0.25] * 200)  # ties
    bins = ErrorBins.of(values, np.ones(800), 20)
    assert np.all(np.diff(bins.centres) > 0)
    assert bins.mass.sum() == pytest.approx(1)
    np.testing.assert_allclose(bins.indicators(values).mean(axis=0), bins.mass)
    twice = ErrorBins.of(np.repeat(values, 2), np.ones(1600), 20)
    weighted = ErrorBins.of(values, np.full(800, 2.0), 20)
    np.testing.assert_allclose(weighted.centres, twice.centres, atol=0.05)


def test_mixture_has_the_shared_expert_as_a_component():
    experts, gate = np.array([[1.0, 2.0]]), np.array([[0.25, 0.75]])
    shared = SharedExpert(None, 0.9, 0.4, np.array([[3.0]]))
    components = mixture_components(experts, gate, np.array([0.1, 0.2]), np.array([5.0]), shared)
    np.testing.assert_allclose(components.weights, [[0.15, 0.45, 0.4]])
    np.testing.assert_array_equal(components.means, [[1.0, 2.0, 5.0]])
    np.testing.assert_array_equal(components.scales, [[0.1, 0.2, 3.0]])


def test_laplace_components_keep_their_variance():
    mixture = Components(np.array([[0.3, 0.7]]), np.array([[0.0, 1.0]]), np.array([[1.0, 2.0]]))
    laplace = PredictiveDistribution(*mixture, "laplace")
    gaussian = PredictiveDistribution(*as_gaussians(mixture, "laplace"))
    np.testing.assert_allclose(laplace.var(), gaussian.var())
