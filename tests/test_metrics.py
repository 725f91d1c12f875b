"""Scores of distributions: identities, weights, and use in model selection."""

import pickle

import numpy as np
import pytest

from skmoe import PredictiveDistribution
from skmoe.metrics import coverage, crps, interval_score, make_density_scorer


def normal(n_samples, scale=1.0):
    one = np.ones((n_samples, 1))
    return PredictiveDistribution(one, 0 * one, scale * one)


def test_crps_of_a_certain_distribution_is_the_absolute_error():
    y = np.array([-2.0, 0.5, 3.0])
    assert crps(y, normal(3, 1e-12)) == pytest.approx(np.abs(y).mean())


@pytest.mark.parametrize("score", [crps, interval_score])
def test_scores_are_proper(score):
    """Nobody does better than with the distribution that the targets are drawn from."""
    y = np.random.RandomState(0).standard_normal(20_000)
    values = [score(y, normal(len(y), scale)) for scale in (0.7, 1.0, 1.4)]
    assert values[1] < min(values[0], values[2])


def test_coverage_of_a_right_distribution():
    y = np.random.RandomState(0).standard_normal(20_000)
    assert coverage(y, normal(len(y)), level=0.8) == pytest.approx(0.8, abs=0.015)
    interval = normal(len(y)).interval(0.8)
    assert coverage(y, interval) == coverage(y, normal(len(y)), level=0.8)
    assert interval_score(y, interval, level=0.8) == interval_score(y, normal(len(y)), level=0.8)


def test_interval_score_by_hand():
    interval = [[0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]
    assert interval_score([0.5, 2.0, -1.0], interval, level=0.5) == pytest.approx((1 + 5 + 5) / 3)


@pytest.mark.parametrize("score", [crps, interval_score, coverage])
def test_a_weight_of_two_is_the_row_twice(score):
    y = np.array([0.1, 4.0, -0.3])
    twice = score([0.1, 4.0, 4.0, -0.3], normal(4))
    assert score(y, normal(3), sample_weight=[1, 2, 1]) == pytest.approx(twice)


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"shape \(2, 3\)"):
        coverage([0.0, 1.0], np.zeros((2, 3)))
    with pytest.raises(ValueError, match="level"):
        interval_score([0.0], [[0, 1]], level=1.0)
    with pytest.raises(TypeError, match="ndarray"):
        crps([0.0], np.zeros(1))
    with pytest.raises(TypeError, match="callable"):
        make_density_scorer("crps")


def test_scorers_are_picklable_and_signed():
    class Fixed:
        def predict_distribution(self, X):
            return normal(len(X))

    X, y = np.zeros((4, 1)), np.arange(4.0)
    scorer = pickle.loads(pickle.dumps(make_density_scorer(crps)))
    assert scorer(Fixed(), X, y) == -crps(y, normal(4))
    assert scorer(Fixed(), X, y, sample_weight=[1, 0, 0, 0]) == -crps(y[:1], normal(1))
    positive = make_density_scorer(coverage, greater_is_better=True, level=0.5)
    assert positive(Fixed(), X, y) == coverage(y, normal(4), level=0.5)
    assert repr(positive) == "make_density_scorer(coverage, greater_is_better=True, level=0.5)"
    with pytest.raises(TypeError, match="predict_distribution"):
        scorer(object(), X, y)
