"""Forests that are grown in parts, and judged by what these say of rows that were left out."""

import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)

from skmoe import MixtureOfExpertsClassifier
from skmoe._experts.fitting import FitTask
from skmoe._experts.labels import EncodedLabels
from skmoe._experts.out_of_bag import (
    OutOfBag,
    all_parts,
    fit_out_of_bag,
    parts_of,
    predict_out_of_bag,
    whole_forest,
)
from skmoe._likelihoods import Categorical, Gaussian


class Descendant(RandomForestRegressor):
    """Might do anything in its fit."""


def classification_job(template, labels, seen=True, n=1000):
    """Noise; the expert owns rows whose label is among those seen, with different weights."""
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(n, 3)), rng.choice(labels, n)
    weight = rng.uniform(0.5, 1, size=n) * (True if seen is True else np.isin(y, seen))
    codes = np.searchsorted(labels, y)
    likelihood = Categorical(np.array(labels), learn_floor=True)
    return FitTask(0, "", template, 0, X, y, codes, weight, np.ones(n), likelihood)


def in_parts(job):
    """What the parts of a forest say, and those that are fitted without being asked."""
    jobs = [job._replace(template=part) for part in parts_of(job.template, len(job.y))]
    fitted = [fit_out_of_bag(part) for part in jobs]
    return [predict_out_of_bag(part) for part in jobs], whole_forest(job.template, fitted)


@pytest.fixture
def refuses_strings(monkeypatch):
    """Forests that refuse labels that are strings, as some do in some releases."""
    fit = RandomForestClassifier.fit

    def refuse(self, X, y, sample_weight=None):
        if np.asarray(y).dtype.kind not in "iuf":
            raise ValueError("classes are not in class_weight")
        return fit(self, X, y, sample_weight)

    monkeypatch.setattr(RandomForestClassifier, "fit", refuse)


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
        (BaggingRegressor(n_estimators=None, random_state=0), 1000),  # as some others have it
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


def test_votes_count_for_each_class():
    likelihood = Categorical(np.arange(3), learn_floor=True)
    y = np.array([0, 1, 1, 2])
    job = FitTask(0, "", None, 0, None, y, y, np.ones(4), np.ones(4), likelihood)
    said = [
        OutOfBag(None, np.tile([1.0, 0.0, 0.0], (4, 1)), np.array([3, 0, 1, 0])),
        OutOfBag(None, np.tile([0.0, 0.5, 0.5], (4, 1)), np.array([1, 2, 1, 0])),
    ]
    expected = [[0.75, 0.125, 0.125], [0, 0.5, 0.5], [0.5, 0.25, 0.25], [0.25, 0.5, 0.25]]
    np.testing.assert_allclose(all_parts(job, said)[1], expected)  # the last: the frequencies


@pytest.mark.parametrize("n_trees", [30, 60])  # as a whole and in parts
def test_a_forest_behind_labels_is_heard_as_one_without(refuses_strings, n_trees):
    forest = RandomForestClassifier(n_trees, class_weight="balanced", random_state=0)
    job = classification_job(forest, ["0", "1", "2"])
    said, fitted = in_parts(job)
    model, output = all_parts(job, said)
    codes = Categorical(np.arange(3), learn_floor=True)
    other_said, expected = in_parts(job._replace(y=job.y_encoded, likelihood=codes))
    np.testing.assert_array_equal(output, all_parts(job, other_said)[1])
    for each in (model, fitted):
        assert isinstance(each, EncodedLabels)
        assert list(each.classes_) == ["0", "1", "2"]
        np.testing.assert_array_equal(each.predict_proba(job.X), expected.predict_proba(job.X))
        for inside in (each.estimator, each.estimator_):
            assert inside.get_params() == expected.get_params()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("n", [600, 1000])
def test_labels_that_look_like_numbers_are_judged_out_of_bag(n):
    """On noise; scikit-learn 1.9 refuses them with class weights, and letters never."""
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(n, 3)), rng.choice(list("012"), n)
    model = MixtureOfExpertsClassifier(
        RandomForestClassifier(class_weight="balanced"),
        n_experts=2,
        max_iter=2,
        overlap=0.1,
        init="kmeans",
        shared_expert=None,
        random_state=0,
    )
    found = clone(model).fit(X, y)
    assert found.log_likelihood_ < -np.log(3)  # nobody can do better on rows not seen
    letters = clone(model).fit(X, np.char.translate(y, str.maketrans("012", "abc")))
    assert found.log_likelihood_ == letters.log_likelihood_
    np.testing.assert_array_equal(found.predict_proba(X), letters.predict_proba(X))


def test_parts_that_see_a_single_class():
    job = classification_job(RandomForestClassifier(60, random_state=0), ["a", "b", "c"], ["b"])
    said, fitted = in_parts(job)
    assert len(said) == 2
    model, output = all_parts(job, said)
    assert isinstance(model, DummyClassifier) and isinstance(fitted, DummyClassifier)
    np.testing.assert_array_equal(output, np.tile([0.0, 1.0, 0.0], (1000, 1)))


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("n_trees", [30, 60])
@pytest.mark.parametrize("kind", [RandomForestClassifier, BaggingClassifier])
def test_a_score_is_kept_only_if_it_was_asked_for(kind, n_trees, asked):
    """The last fit makes no predictions, and has the same members."""
    template = kind(n_estimators=n_trees, oob_score=asked, random_state=0)
    job = classification_job(template, ["a", "b", "c"])
    said, fitted = in_parts(job)
    model, _ = all_parts(job, said)
    assert vars(model).keys() == vars(fitted).keys()
    assert hasattr(fitted, "oob_score_") == asked
    assert model.oob_score == fitted.oob_score == asked
    np.testing.assert_array_equal(model.predict_proba(job.X), fitted.predict_proba(job.X))
