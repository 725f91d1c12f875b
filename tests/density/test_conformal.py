"""Levels and sets from held-out scores."""

import numpy as np
import pytest

from skmoe._density.conformal import (
    check_coverage,
    label_scores,
    likely_labels,
    score_threshold,
)


def test_threshold_has_the_rank_of_split_conformal():
    scores = np.arange(1.0, 10.0)  # nine
    assert score_threshold(scores, 0.5) == 5
    assert score_threshold(scores, 0.9) == 9
    assert score_threshold(scores, 0.91) == np.inf
    assert score_threshold(scores, 0.01) == 1


def test_coverage_of_exchangeable_scores():
    """The probability that a new score keeps to the threshold is at least the coverage."""
    rng = np.random.RandomState(0)
    kept = []
    for _ in range(4000):
        scores = rng.uniform(size=20)
        kept.append(scores[-1] <= score_threshold(np.sort(scores[:-1]), 0.8))
    assert abs(np.mean(kept) - 0.8) < 4 * np.sqrt(0.16 / 4000)


def test_a_set_is_never_empty():
    proba = np.array([[0.4, 0.35, 0.25], [0.9, 0.05, 0.05]])
    np.testing.assert_array_equal(likely_labels(proba, 0.05), [[1, 0, 0], [1, 0, 0]])
    np.testing.assert_array_equal(likely_labels(proba, 0.7), [[1, 1, 0], [1, 0, 0]])
    assert likely_labels(proba, np.inf).all()
    assert likely_labels(proba[:0], 0.5).shape == (0, 3)
    np.testing.assert_allclose(label_scores(proba, [1, 0]), [0.1, 0.65])


@pytest.mark.parametrize("bad", [0.0, 1.0, -0.1, np.nan, "0.9", None])
def test_bad_coverage(bad):
    with pytest.raises(ValueError, match="coverage"):
        check_coverage(bad)


def test_several_levels():
    np.testing.assert_array_equal(check_coverage([0.5, 0.9], several=True), [0.5, 0.9])
    with pytest.raises(ValueError, match="a number"):
        check_coverage([0.5, 0.9])
