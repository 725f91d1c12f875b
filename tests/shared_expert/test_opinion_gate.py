"""Weights that depend on features and opinions: their loss, and what they are good for."""

import numpy as np
import pytest
from scipy.optimize import nnls

from skmoe._data.folds import Folds
from skmoe._likelihoods import Categorical, regression_likelihood
from skmoe._shared_expert.opinion_gate import (
    MixingLoss,
    blending_weights,
    fit_opinion_gate,
    opinion_statistics,
)

RNG = np.random.RandomState(0)


def regression(n=200, n_outputs=None):
    """Two experts, of which the first feature says which is right."""
    X = RNG.normal(size=(n, 3))
    shape = (n,) if n_outputs is None else (n, n_outputs)
    y = RNG.normal(size=shape)
    good = (X[:, 0] > 0).reshape((n,) + (1,) * (len(shape) - 1))
    components = np.stack([np.where(good, y, y + 3), np.where(good, y - 3, y)], axis=1)
    return X, components, y, regression_likelihood("gaussian", y, np.ones(n))


def classes(n=200):
    X = RNG.normal(size=(n, 3))
    y = RNG.randint(3, size=n)
    right = 0.9 * np.eye(3)[y] + 0.1 / 3
    good = (X[:, 0] > 0)[:, np.newaxis]
    components = np.stack([np.where(good, right, 1 / 3), np.where(good, 1 / 3, right)], axis=1)
    return X, components, y, Categorical(np.arange(3), learn_floor=True)


def folds(n, n_folds=5):
    fold = np.arange(n) % n_folds
    pairs = [(np.flatnonzero(fold != f), np.flatnonzero(fold == f)) for f in range(n_folds)]
    return Folds.of(pairs, n)


@pytest.mark.parametrize("problem", [regression, lambda: regression(n_outputs=2), classes])
def test_gradient_of_the_loss(problem):
    X, components, y, likelihood = problem()
    design = np.column_stack([X, np.ones(len(y))])
    weight = RNG.uniform(size=len(y))
    objective = MixingLoss(design, components, y, weight / weight.sum(), likelihood, prior=0.3)
    coef = RNG.normal(size=(4, 2))
    _, gradient = objective.at(coef, 0.1)
    for index in np.ndindex(coef.shape):
        change = np.zeros_like(coef)
        change[index] = 1e-6
        ends = (objective.at(coef + sign * change, 0.1)[0] for sign in (1, -1))
        assert gradient[index] == pytest.approx((next(ends) - next(ends)) / 2e-6, abs=1e-6)


@pytest.mark.parametrize("problem", [regression, lambda: regression(n_outputs=2), classes])
def test_the_gate_finds_who_is_right_where(problem):
    X, components, y, likelihood = problem()
    gate, held_out = fit_opinion_gate(X, components, y, np.ones(len(y)), folds(len(y)), likelihood)
    evenly = likelihood.loss(y, components.mean(axis=1)).mean()
    assert likelihood.loss(y, held_out).mean() < 0.5 * evenly
    assert np.mean(gate.proba(X).argmax(axis=1) == (X[:, 0] < 0)) > 0.95
    np.testing.assert_allclose(
        gate.predict(X[:1], components[:1]), gate.predict(X, components)[:1]
    )


def test_held_out_predictions_do_not_know_their_targets():
    X, components, y, likelihood = regression()
    own = folds(len(y))
    before = fit_opinion_gate(X, components, y, np.ones(len(y)), own, likelihood)[1]
    other = y.copy()
    other[own.judge == 0] += 100
    after = fit_opinion_gate(X, components, other, np.ones(len(y)), own, likelihood)[1]
    # The penalty is chosen on all rows; the rows of fold 0 are else as they were.
    assert np.abs(before - after)[own.judge == 0].max() < np.abs(after - other).max() / 10


def test_missing_and_constant_evidence():
    X, components, y, likelihood = regression()
    X[::5, 1], X[:, 2] = np.nan, 7.0
    gate, held_out = fit_opinion_gate(X, components, y, np.ones(len(y)), folds(len(y)), likelihood)
    assert np.isfinite(held_out).all() and gate.inverse[2] == 0


def test_without_evidence_weights_are_those_of_constrained_least_squares():
    y = RNG.normal(size=400)
    components = y[:, np.newaxis] + RNG.normal(size=(400, 3)) * [0.3, 0.6, 1.0]
    likelihood = regression_likelihood("gaussian", y, np.ones(400))
    nothing = np.empty((400, 0))
    gate, _ = fit_opinion_gate(nothing, components, y, np.ones(400), folds(400), likelihood)
    rows = np.vstack([components - y[:, np.newaxis], 1e4 * np.ones(3)])
    expected, _ = nnls(rows, np.append(np.zeros(400), 1e4))
    np.testing.assert_allclose(gate.proba(nothing[:1])[0], expected / expected.sum(), atol=0.01)


def test_blending_weights():
    y = RNG.normal(size=400)
    likelihood = regression_likelihood("gaussian", y, np.ones(400))
    good, bad = y + 0.1 * RNG.normal(size=400), RNG.normal(size=400)
    weights = blending_weights([good, bad], y, np.ones(400), likelihood)
    assert weights.sum() == pytest.approx(1) and weights[0] > 0.95
    alike = blending_weights([good, good], y, np.ones(400), likelihood)
    np.testing.assert_allclose(alike, 0.5, atol=1e-3)
    # Few rows are no ground to choose: the prior speaks.
    few = blending_weights([good[:3], good[:3] + 0.01], y[:3], np.ones(3), likelihood)
    np.testing.assert_allclose(few, 0.5, atol=0.05)


def test_weights_count_as_rows():
    y = RNG.normal(size=60)
    likelihood = regression_likelihood("gaussian", y, np.ones(60))
    predictions = [y + RNG.normal(size=60), y + 2 * RNG.normal(size=60)]
    weight = np.ones(60)
    weight[:20] = 0
    once = blending_weights(predictions, y, weight, likelihood)
    without = [each[20:] for each in predictions]
    np.testing.assert_allclose(
        once, blending_weights(without, y[20:], np.ones(40), likelihood), atol=1e-4
    )


@pytest.mark.parametrize(("classifier", "n_columns"), [(False, 4), (True, 7)])
def test_statistics_of_opinions(classifier, n_columns):
    opinions = RNG.dirichlet(np.ones(3), size=(10, 2)) if classifier else RNG.normal(size=(10, 2))
    statistics = np.hstack(opinion_statistics(opinions, classifier))
    assert statistics.shape == (10, n_columns) and np.isfinite(statistics).all()
    if classifier:
        np.testing.assert_allclose(statistics[:, :2], opinions.max(axis=2))
    else:
        np.testing.assert_allclose(statistics[:, 0], opinions.mean(axis=1))


@pytest.mark.parametrize("spread", [1.0, 1000.0])
def test_the_rows_before_do_not_count_for_more_where_the_target_varies_much(spread):
    rng = np.random.RandomState(0)
    y = spread * rng.normal(size=200)
    better, worse = (y + size * rng.normal(size=200) for size in (0.3, 1.0))
    likelihood = regression_likelihood("gaussian", y, np.ones(200))
    weights = blending_weights([better, worse], y, np.ones(200), likelihood)
    assert weights[0] > 0.85  # nine tenths would be best
