"""Forests that are grown in parts, and judged by what these say of rows that were left out."""

import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.ensemble import (
    BaggingRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)

from skmoe._experts.fitting import FitTask
from skmoe._experts.out_of_bag import OutOfBag, all_parts, parts_of, whole_forest
from skmoe._likelihoods import Gaussian


class Descendant(RandomForestRegressor):
    """Might do anything in its fit."""


@pytest.mark.parametrize(
    "forest",
    [
        RandomForestRegressor(60, random_state=3),
        RandomForestClassifier(85, class_weight="balanced", random_state=3),
        ExtraTreesRegressor(50, bootstrap=True, max_samples=0.5, random_state=3),
        ExtraTreesClassifier(50, bootstrap=True, random_state=3),
    ],
)
def test_parts_of_a_forest_grow_its_trees(forest):
    """Bit for bit, with the same samples: whoever grows them, it is the same forest."""
    rng = np.random.RandomState(0)
    X, weight = rng.normal(size=(200, 4)), rng.uniform(size=200)
    y = rng.choice(["a", "b", "c"], size=200) if is_classifier(forest) else rng.normal(size=200)
    parts = parts_of(forest, 1000)
    assert len(parts) == forest.n_estimators // 25
    grown = whole_forest(forest, [part.fit(X, y, weight) for part in parts])
    whole = clone(forest).fit(X, y, weight)
    ask = "predict_proba" if is_classifier(forest) else "predict"
    np.testing.assert_array_equal(getattr(grown, ask)(X), getattr(whole, ask)(X))
    np.testing.assert_array_equal(grown.estimators_samples_, whole.estimators_samples_)
    np.testing.assert_array_equal(grown.feature_importances_, whole.feature_importances_)
    assert grown.get_params() == whole.get_params()
    assert vars(grown).keys() == vars(whole).keys()


@pytest.mark.parametrize(
    ("template", "n_rows"),
    [
        (RandomForestRegressor(random_state=0), 999),
        (RandomForestRegressor(49, random_state=0), 1000),
        (RandomForestRegressor(random_state=np.random.RandomState(0)), 1000),
        (RandomForestRegressor(warm_start=True, random_state=0), 1000),
        (RandomForestRegressor(oob_score=True, random_state=0), 1000),
        (Descendant(random_state=0), 1000),
        (BaggingRegressor(n_estimators=100, random_state=0), 1000),
    ],
)
def test_these_stay_whole(template, n_rows):
    assert parts_of(template, n_rows) == [template]


def test_parts_are_heard_by_their_votes():
    y = np.array([1.0, 2.0, 6.0])
    job = FitTask(
        0, "", None, 0, None, y, y, np.ones(3), np.ones(3), Gaussian(min_scale=np.ones(1))
    )
    first = OutOfBag(None, np.array([4.0, 0.0, 0.0]), np.array([3, 0, 0]))
    second = OutOfBag(None, np.array([8.0, 5.0, 0.0]), np.array([1, 2, 0]))
    model, output = all_parts(job, [first, second])
    assert model is None
    np.testing.assert_allclose(output, [5.0, 5.0, 3.0])  # the last has no votes: the mean
