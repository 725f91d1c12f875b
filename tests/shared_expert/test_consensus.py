"""The consensus: its blend is the constrained optimum, and its correction is judged fairly."""

import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import minimize
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.tree import DecisionTreeRegressor
from small_mixtures import problem_of

from skmoe import MixtureOfExpertsRegressor, SoftmaxGate
from skmoe._data.folds import Folds
from skmoe._likelihoods import MIN_FLOOR, Categorical, regression_likelihood
from skmoe._shared_expert.blends import (
    SMALLEST_PART,
    ClassBlend,
    LinearBlend,
    MeanBlend,
    best_blend,
    one_column,
)
from skmoe._shared_expert.consensus import (
    MOST_COLUMNS,
    MOST_SPARSE_COLUMNS,
    N_TREES,
    Opinions,
    Rows,
    _credible_strength,
    _evidence,
    _held_out_correction,
    _weighed,
    columns_to_see,
    fit_consensus,
    leaf_rows,
)
from skmoe._shared_expert.floor import FLOORS, common_dispersion
from skmoe._shared_expert.forest import FlatForest, forest_mean


def folds(n, n_splits=5, seed=0):
    return tuple(KFold(n_splits, shuffle=True, random_state=seed).split(np.empty((n, 1))))


def class_likelihood(n_classes=3):
    return Categorical(np.arange(n_classes), learn_floor=True)


def constrained_least_squares(opinions, target, weight, scale):
    """What scipy's general optimiser finds on the simplex, and its loss."""

    def loss(weights):
        blended = np.einsum("k,ik...->i...", weights, opinions)
        errors = (target - blended).reshape(len(target), -1) / scale
        return weight @ np.square(errors).sum(axis=1)

    n = opinions.shape[1]
    size = loss(np.full(n, 1 / n))
    best = minimize(
        lambda weights: loss(weights) / size,
        np.full(n, 1 / n),
        method="SLSQP",
        bounds=[(0, 1)] * n,
        constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1},
        options={"ftol": 1e-14, "maxiter": 500},
    )
    assert best.success
    return best.x, loss


@pytest.mark.parametrize("n_outputs", [None, 1, 3])
@pytest.mark.parametrize("n_opinions", [1, 2, 6])
def test_mean_blend_is_constrained_least_squares(n_outputs, n_opinions):
    rng = np.random.RandomState(n_opinions)
    n, shape = 200, () if n_outputs is None else (n_outputs,)
    target = 100 + rng.normal(size=(n, *shape))
    noise = rng.normal(size=(n, n_opinions, *shape)) * rng.uniform(0.3, 2, (n_opinions, *shape))
    bias = rng.normal(size=(n_opinions, *shape))
    opinions = target[:, np.newaxis] + noise + bias
    weight = rng.uniform(0.1, 3, size=n)
    scale = rng.uniform(0.1, 5, size=n_outputs or 1)
    fitted = MeanBlend(scale).fit(opinions, target, weight)
    expected, loss = constrained_least_squares(opinions, target, weight, scale)
    assert fitted.weights.min() >= 0 and fitted.weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(fitted.weights, expected, atol=1e-4)
    assert loss(fitted.weights) <= loss(expected) * (1 + 1e-9)


@pytest.mark.parametrize("size", [1e-12, 1.0, 1e12])
def test_mean_blend_does_not_depend_on_units(size):
    rng = np.random.RandomState(0)
    target = rng.normal(size=100)
    opinions = target[:, np.newaxis] + rng.normal(size=(100, 4)) * [0.5, 1.0, 1.0, 2.0]
    expected = MeanBlend(np.ones(1)).fit(opinions, target, np.ones(100)).weights
    assert np.sum(expected > 0.05) > 1
    fitted = MeanBlend(np.array([size])).fit(size * opinions, size * target, np.ones(100))
    np.testing.assert_allclose(fitted.weights, expected, rtol=1e-8)


def test_mean_blend_of_perfect_and_of_few_opinions():
    target = np.arange(3.0)
    perfect = MeanBlend(np.ones(1)).fit(np.tile(target[:, None], 2), target, np.ones(3))
    np.testing.assert_allclose(perfect.predict(np.tile(target[:, None], 2)), target)
    opinions = np.column_stack([target + 1, target - 1, target + 5, target - 7])  # more than rows
    few = MeanBlend(np.ones(1)).fit(opinions, target, np.ones(3))
    np.testing.assert_allclose(few.predict(opinions), target, atol=1e-12)
    assert few.weights.min() >= 0 and few.weights.sum() == pytest.approx(1)


def class_opinions(n=300, n_classes=3, n_opinions=2, sharp=3.0, seed=0):
    """Noisy opinions of classes; also certain ones."""
    rng = np.random.RandomState(seed)
    target = rng.randint(n_classes, size=n)
    logits = sharp * rng.normal(size=(n, n_opinions, n_classes))
    logits += 1.5 * np.eye(n_classes)[target][:, np.newaxis]
    opinions = np.exp(logits - logits.max(axis=2, keepdims=True))
    opinions /= opinions.sum(axis=2, keepdims=True)
    opinions[: n // 10] = np.round(opinions[: n // 10])
    opinions[opinions.sum(axis=2) == 0] = 1 / n_classes
    return opinions / opinions.sum(axis=2, keepdims=True), target


def assert_probabilities(proba, shape):
    assert proba.shape == shape
    assert proba.min() > 0
    np.testing.assert_allclose(proba.sum(axis=1), 1)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_class_blend_gives_probabilities(n_classes):
    opinions, target = class_opinions(n_classes=n_classes)
    likelihood = class_likelihood(n_classes)
    blend = ClassBlend(likelihood, 1.0).fit(opinions[:200], target[:200], np.ones(200))
    proba = blend.predict(opinions[200:])
    assert_probabilities(proba, (100, n_classes))
    assert blend.predict(opinions[:0]).shape == (0, n_classes)
    # It knows more than either expert, and is not as sure as they are.
    alone = [
        likelihood.loss(target[200:], np.maximum(opinions[200:, k], 1e-6)).mean() for k in (0, 1)
    ]
    assert likelihood.loss(target[200:], proba).mean() < 0.8 * min(alone)


@pytest.mark.parametrize("present", [[0, 2], [1]])
def test_class_blend_without_a_class(present):
    opinions, target = class_opinions()
    rows = np.isin(target, present)
    blend = ClassBlend(class_likelihood(), 0.1).fit(
        opinions[rows], target[rows], np.ones(rows.sum())
    )
    proba = blend.predict(opinions)
    assert_probabilities(proba, (300, 3))
    absent = [c for c in range(3) if c not in present]
    assert proba[:, absent].max() < 1e-5


def test_a_class_that_only_one_fold_has():
    opinions, target = class_opinions()
    splits = folds(300)
    target = np.where(target == 2, 1, target)
    target[splits[0][1][:3]] = 2
    Z = opinions[:, 0]
    problem = problem_of(Z, target, class_likelihood(), Folds.of(splits, 300))
    mixed = opinions.mean(axis=1) * (1 - 1e-6) + 1e-6 / 3
    given = Opinions(opinions, mixed, independent=False)
    consensus, held_out, _ = fit_consensus(given, SoftmaxGate(), Z, problem, seed=0)
    assert_probabilities(held_out, (300, 3))
    assert_probabilities(consensus.predict(opinions, Z), (300, 3))


def test_corrected_probabilities_are_valid():
    rng = np.random.RandomState(0)
    blended = rng.dirichlet([0.1, 0.5, 1.0], size=500) * (1 - 3e-6) + 1e-6
    blend = ClassBlend(class_likelihood(), 1.0)
    np.testing.assert_allclose(blend.corrected(blended, 0 * blended), blended)
    correction = rng.uniform(-2, 2, size=blended.shape)
    corrected = blend.corrected(blended, correction)
    assert_probabilities(corrected, blended.shape)
    # No class loses more than all but a tenth, before the others' gains are normalised away.
    gained = np.maximum(blended + correction, SMALLEST_PART * blended).sum(axis=1, keepdims=True)
    assert np.all(corrected * gained >= SMALLEST_PART * blended * (1 - 1e-12))
    right = np.eye(3)[rng.randint(3, size=500)]
    np.testing.assert_allclose(
        blend.corrected(blended, right - blended).argmax(1), right.argmax(1)
    )


def test_of_two_classes_one_is_corrected():
    """What one gains the other loses: as if both were learned."""
    opinions, target = class_opinions(n_classes=2)
    blend = ClassBlend(class_likelihood(2), 0.1).fit(opinions, target, np.ones(300))
    blended = blend.predict(opinions)
    left_over = blend.left_over(target, blended)
    assert left_over.shape == (300, 1)
    both = 0.5 * np.hstack([-left_over, left_over])
    corrected = blend.corrected(blended, 0.5 * left_over)
    np.testing.assert_allclose(corrected, blend.corrected(blended, both))
    assert np.all(corrected[np.arange(300), target] > blended[np.arange(300), target])
    assert blend.left_over(target, np.full((300, 3), 1 / 3)).shape == (300, 3)


def forest_opinions(X, y, seed):
    splits = folds(len(y))
    forests = [RandomForestRegressor(10, random_state=s, min_samples_leaf=3) for s in (seed, 99)]
    return np.column_stack([cross_val_predict(forest, X, y, cv=splits) for forest in forests])


def fit_on(X, y, opinions, seed=0, weight=None, splits=None, independent=False):
    weight = np.ones(len(y)) if weight is None else weight
    likelihood = regression_likelihood("gaussian", y, weight)
    splits = folds(len(y)) if splits is None else splits
    problem = problem_of(X, y, likelihood, Folds.of(splits, len(y)), weight)
    given = Opinions(opinions, opinions.mean(axis=1), independent)
    return fit_consensus(given, SoftmaxGate(), X, problem, seed)


def test_pure_noise_is_hardly_corrected():
    """Opinions that chase nothing leave nothing over, and nothing leaks from a row to itself."""
    judged, fresh = [], []
    for seed in range(4):
        rng = np.random.RandomState(seed)
        X, y = rng.normal(size=(300, 3)), rng.normal(size=300)
        opinions = cross_val_predict(Ridge(300.0), X, y, cv=folds(300))[:, np.newaxis]
        consensus, held_out, _ = fit_on(X, y, opinions, seed)
        judged.append(np.mean((y - held_out) ** 2) / np.mean((y - opinions[:, 0]) ** 2))
        X, y = rng.normal(size=(3000, 3)), rng.normal(size=3000)
        error = y - consensus.predict(np.zeros((3000, 1)), X)
        fresh.append(np.mean(error**2) / np.mean(y**2))
    assert np.mean(judged) > 0.98
    assert np.mean(fresh) < 1.02


def shared_error(n, seed, size=1.0):
    """Two forests that see one feature of two: both err where the other matters."""
    rng = np.random.RandomState(seed)
    X = rng.uniform(-1, 1, size=(n, 2))
    y = np.sin(3 * X[:, 0]) + size * (X[:, 1] > 0.5) + 0.5 * rng.normal(size=n)
    return X, y


def judged_by_loops(forest, evidence, left_over, weight, splits):
    """Row by row, and tree by tree."""
    leaves, drawn = forest.apply(evidence), forest.estimators_samples_
    correction = np.zeros(left_over.shape)
    for _, fold in splits:
        for i in fold:
            total = mass = 0.0
            for tree in range(leaves.shape[1]):
                if i in drawn[tree]:
                    continue
                for j in fold:
                    if j != i and leaves[j, tree] == leaves[i, tree]:
                        total, mass = total + weight[j] * left_over[j], mass + weight[j]
            correction[i] = total / mass if mass else 0.0
    return correction


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_held_out_correction_is_the_mean_of_fold_mates(n_outputs):
    rng = np.random.RandomState(0)
    evidence, left_over = rng.normal(size=(60, 2)), rng.normal(size=(60, n_outputs))
    weight, splits = rng.uniform(0.1, 3, size=60), folds(60, 3)
    forest = ExtraTreesRegressor(9, min_samples_leaf=5, bootstrap=True, random_state=0)
    forest.fit(evidence, one_column(left_over), weight)
    judged = _held_out_correction(forest, evidence, left_over, weight, Folds.of(splits, 60))
    expected = judged_by_loops(forest, evidence, left_over, weight, splits)
    np.testing.assert_allclose(judged, expected, atol=1e-12)
    assert np.count_nonzero(judged) > 0.9 * judged.size


def biases(seed, n=400):
    """Mean product of left-over and correction by two judgements, less that of fresh rows."""
    (X, y), (X_new, y_new) = shared_error(n, seed, 0.5), shared_error(3000, seed + 100, 0.5)
    X, X_new = (  # with columns that are nothing but noise
        np.hstack([own, np.random.RandomState(seed).uniform(-1, 1, size=(len(own), 3))])
        for own in (X, X_new)
    )
    splits = folds(n)
    opinion = np.empty(n)
    models = [
        RandomForestRegressor(15, random_state=seed).fit(X[train], y[train]) for train, _ in splits
    ]
    for model, (_, fold) in zip(models, splits, strict=True):
        opinion[fold] = model.predict(X[fold])
    evidence, left_over = np.column_stack([opinion, X]), y - opinion
    forest = ExtraTreesRegressor(
        30, min_samples_leaf=5, bootstrap=True, oob_score=True, random_state=seed
    ).fit(evidence, left_over)
    own = Folds.of(splits, n)
    column = left_over[:, np.newaxis]
    judged = _held_out_correction(forest, evidence, column, np.ones(n), own)[:, 0]
    fresh = []
    for model in models:
        new = model.predict(X_new)
        correction = forest.predict(np.column_stack([new, X_new]))
        fresh.append(np.mean((y_new - new) * correction))
    return [
        np.mean(left_over * each) - np.mean(fresh) for each in (judged, forest.oob_prediction_)
    ]


@pytest.mark.filterwarnings("ignore:Some inputs do not have OOB scores")
def test_the_judgement_of_the_correction_is_nearly_unbiased():
    """Not so that of the forest's own out-of-bag rows, which know too much of one another."""
    judged, naive = np.mean([biases(seed) for seed in range(10)], axis=0)
    noise = 0.25  # variance
    assert abs(judged) < 0.03 * noise
    assert naive < -0.02 * noise


def test_that_judgement_is_the_one_that_is_used():
    """The held-out prediction is the whole's, corrected as the fold mates would have it."""
    X, y = shared_error(200, 0, size=4.0)
    likelihood = regression_likelihood("gaussian", y, np.ones(200))
    opinions = likelihood.rounded(forest_opinions(X[:, :1], y, 0))
    consensus, held_out, weight = fit_on(X, y, opinions, seed=5)
    assert 0 < weight < 1 and sum(consensus.parts.values()) == pytest.approx(1)
    evidence = _evidence(opinions, X, np.arange(2))
    own = Folds.of(folds(200), 200)
    known = Rows(y, np.ones(200), own, likelihood)
    _, bases = _weighed(opinions, evidence, known)
    said = sum(part * each for part, each in zip(consensus.parts.values(), bases, strict=True))
    whole = (1 - weight) * likelihood.rounded(opinions.mean(axis=1)) + weight * said
    left_over = (y - likelihood.rounded(whole))[:, np.newaxis]
    forest = consensus.correction
    assert forest.n_estimators == N_TREES and forest.min_samples_leaf == leaf_rows(200)
    correction = _held_out_correction(forest, evidence, left_over, np.ones(200), own)
    assert consensus.strength > 0
    np.testing.assert_allclose(held_out, said + consensus.strength * correction[:, 0])
    whole = consensus.uncorrected(opinions, evidence)
    whole += consensus.strength * forest.predict(evidence)
    np.testing.assert_allclose(consensus.predict(opinions, X), whole)


def test_leaves_grow_with_the_rows():
    assert [leaf_rows(n) for n in (50, 2999, 3000, 10**6)] == [2, 2, 3, 5]


def test_of_many_columns_a_part_is_compared():
    rng = np.random.RandomState(0)
    X = np.hstack([shared_error(300, 0, 4.0)[0], rng.normal(size=(300, 2 * MOST_COLUMNS))])
    y = shared_error(300, 0, 4.0)[1]
    consensus, _, _ = fit_on(X, y, forest_opinions(X[:, :1], y, 0))
    assert {tree.max_features_ for tree in consensus.correction.estimators_} == {MOST_COLUMNS}


def test_a_common_error_is_corrected():
    X, y = shared_error(400, 0, size=4.0)
    opinions = forest_opinions(X[:, :1], y, 0)
    consensus, held_out, weight = fit_on(X, y, opinions)
    whole = (1 - weight) * opinions.mean(axis=1) + weight * held_out
    assert consensus.strength * weight >= 0.5
    assert np.mean((y - whole) ** 2) < 0.5 * np.var(y - np.sin(3 * X[:, 0]))


def test_rows_that_no_expert_has_seen_are_all_mates():
    """More rows judge a correction, and the judgement is that of one fold of all rows."""
    X, y = shared_error(300, 0, size=4.0)
    opinions = np.column_stack([np.sin(3 * X[:, 0]), np.sin(3 * X[:, 0]) + 0.1])
    own, alike = (fit_on(X, y, opinions, independent=each)[1] for each in (False, True))
    assert np.mean((y - alike) ** 2) < np.mean((y - own) ** 2)


def test_a_correction_has_the_burden_of_proof():
    weights = np.ones(100)
    rng = np.random.RandomState(0)
    before = rng.uniform(1, 2, size=100)
    noise = rng.normal(size=100)
    assert _credible_strength([before, before - 0.01 + noise], weights) == 0
    assert _credible_strength([before, before - 0.5, before - 0.2], weights) == 1
    assert _credible_strength([before, before + 0.5], weights) == 0


def test_tiny_folds_raise_no_warning():
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(12, 2)), rng.normal(size=12)
    splits = tuple((np.delete(np.arange(12), i), np.array([i])) for i in range(3))
    splits += ((np.arange(3), np.arange(3, 12)),)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, held_out, _ = fit_on(X, y, rng.normal(size=(12, 2)), splits=splits)
    assert np.isfinite(held_out).all()


def test_weights_count_as_rows():
    """A blend takes weight 3 for three rows, and is judged so."""
    opinions, target = class_opinions(60)
    weight = np.random.RandomState(1).randint(1, 4, size=60)
    repeated = np.repeat(np.arange(60), weight)
    blend = ClassBlend(class_likelihood(), 1.0)
    once = blend.fit(opinions, target, weight.astype(float)).predict(opinions)
    often = blend.fit(opinions[repeated], target[repeated], np.ones(len(repeated)))
    np.testing.assert_allclose(once, often.predict(opinions), atol=2e-3)


def test_what_the_correction_sees():
    opinions, features = np.zeros((3, 2, 2)), np.array([[1, np.nan], [2, 0], [3, 1]])
    columns = columns_to_see(features)
    evidence = _evidence(opinions, features, columns)
    np.testing.assert_array_equal(evidence, np.hstack([np.zeros((3, 4)), features]))
    few, many = sparse.csr_matrix(np.eye(3)), sparse.csr_matrix((3, MOST_SPARSE_COLUMNS + 1))
    np.testing.assert_array_equal(_evidence(opinions, few, columns_to_see(few))[:, 4:], np.eye(3))
    assert len(columns_to_see(many)) == 0
    assert _evidence(opinions, many, columns_to_see(many)).shape == (3, 4)


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_the_forest_says_the_same_without_checks(n_outputs):
    rng = np.random.RandomState(0)
    evidence = rng.normal(size=(200, 4))
    evidence[::5, 1] = np.nan
    target = rng.normal(size=(200, n_outputs))
    forest = ExtraTreesRegressor(7, random_state=0).fit(evidence, one_column(target))
    expected = forest.predict(evidence).reshape(200, -1)
    np.testing.assert_array_equal(forest_mean(forest, evidence), expected)
    flat = FlatForest.of(forest)
    for row in (1, 2, 3, 4):  # without missing values
        np.testing.assert_array_equal(flat.mean(evidence[row : row + 1]), expected[row : row + 1])


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_blend_says_what_its_regression_says(n_classes):
    rng = np.random.RandomState(0)
    opinions = rng.dirichlet(np.ones(n_classes), size=(100, 3))
    target = rng.randint(n_classes, size=100)
    blend = ClassBlend(class_likelihood(n_classes), 0.3).fit(opinions, target, np.ones(100))
    expected = blend.model.predict_proba(blend.seen(opinions))
    said = blend.predict(opinions)
    np.testing.assert_allclose(said, blend.likelihood.component(expected, MIN_FLOOR), rtol=1e-13)


def test_what_serves_single_rows_is_not_stored():
    rng = np.random.RandomState(0)
    X = rng.normal(size=(300, 3))
    y = np.where(X[:, 0] > 0, np.sin(4 * X[:, 1]), np.abs(X[:, 2])) + 0.05 * rng.normal(size=300)
    experts = [("ridge", Ridge()), ("tree", DecisionTreeRegressor(max_depth=3))]
    model = MixtureOfExpertsRegressor(experts, shared_expert="consensus", random_state=0).fit(X, y)
    assert model.shared_expert_.correction is not None  # or else there is nothing to serve
    before = pickle.dumps(model)
    np.testing.assert_allclose(model.predict(X[:1]), model.predict(X[:2])[:1], rtol=1e-12)
    assert pickle.dumps(model) == before
    fresh = pickle.loads(before)
    with ThreadPoolExecutor(8) as threads:  # all of which find that it is to be made
        said = list(threads.map(fresh.predict, [X[i : i + 1] for i in range(40)]))
    np.testing.assert_array_equal(np.concatenate(said)[:1], model.predict(X[:1]))
    np.testing.assert_allclose(np.concatenate(said), model.predict(X[:40]), rtol=1e-12)


# The parts


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_a_linear_blend_is_ridge_regression(n_outputs):
    rng = np.random.RandomState(0)
    shape = (200,) if n_outputs == 1 else (200, n_outputs)
    target = rng.normal(size=shape)
    exaggerated = np.stack([3 * target + 1 + 0.1 * rng.normal(size=shape), target**2], axis=1)
    scale = np.full(n_outputs, 1e-3)
    blend = LinearBlend(scale).fit(exaggerated, target, np.ones(200))
    seen = exaggerated.reshape(200, -1)
    expected = RidgeCV(np.logspace(-3, 2, 6) * seen.var()).fit(seen, target).predict(seen)
    np.testing.assert_allclose(blend.predict(exaggerated), expected, atol=1e-8)
    assert np.mean(np.square(blend.predict(exaggerated) - target)) < 0.01
    assert blend.predict(exaggerated[:0]).shape == (0, *shape[1:])


def test_units_of_outputs_do_not_matter_to_a_linear_blend():
    rng = np.random.RandomState(0)
    target = rng.normal(size=(100, 2))
    opinions = target[:, np.newaxis] + rng.normal(size=(100, 3, 2))
    units = np.array([1.0, 1000.0])
    plain = LinearBlend(np.ones(2)).fit(opinions, target, np.ones(100)).predict(opinions)
    scaled = LinearBlend(units).fit(opinions * units, target * units, np.ones(100))
    np.testing.assert_allclose(scaled.predict(opinions * units), plain * units)


def test_the_blend_is_the_one_that_predicts_best():
    rng = np.random.RandomState(0)
    target = rng.normal(size=300)
    likelihood = regression_likelihood("gaussian", target, np.ones(300))
    rows = (target, np.ones(300), Folds.of(folds(300), 300), likelihood)
    biased = np.column_stack([2 * target + 1, 2 * target - 1]) + 0.1 * rng.normal(size=(300, 2))
    assert isinstance(best_blend(biased, *rows)[0], LinearBlend)
    # Twenty rows, and ten opinions of which the mean is right: a regression learns its noise.
    fair = np.tile(target[:20, np.newaxis], 10) + 0.2 * rng.normal(size=(20, 10))
    target = target[:20] + rng.normal(size=20)
    few = (target, np.ones(20), Folds.of(folds(20), 20), likelihood)
    assert isinstance(best_blend(fair, *few)[0], MeanBlend)


def test_few_rows_do_not_tell_of_a_large_floor():
    """One row of thirty that all experts are sure of and wrong about might be luck."""
    rng = np.random.RandomState(0)
    likelihood = class_likelihood(2)

    def floor_for(n, wrong):
        target = rng.randint(2, size=n)
        said = np.eye(2)[np.where(np.arange(n) < wrong, 1 - target, target)]
        said = 0.98 * np.stack([said, said], axis=1) + 0.01
        return common_dispersion(said, target, np.ones(n), likelihood)

    np.testing.assert_array_equal(floor_for(30, wrong=1), np.full(2, FLOORS[0]))
    assert floor_for(3000, wrong=300)[0] >= 0.1
    assert floor_for(3000, wrong=0)[0] == FLOORS[0]


def test_floor_is_none_that_an_expert_alone_would_need():
    """Each expert knows one half of the rows, and on the other is sure of what is wrong."""
    target = np.tile([0, 1], 500)
    right, knows = np.eye(2)[target] * 0.98 + 0.01, np.arange(1000) < 500
    said = np.stack([np.where((knows == own)[:, None], right, 0.5) for own in (True, False)], 1)
    assert common_dispersion(said, target, np.ones(1000), class_likelihood(2))[0] == FLOORS[0]


def test_features_have_a_gate_of_their_own():
    """Which of two experts knows a row is told by features; what they say is far from that."""
    rng = np.random.RandomState(0)
    X = rng.normal(size=(400, 1))
    y = 5 * rng.normal(size=400)
    knows = np.column_stack([X[:, 0] > 0, X[:, 0] < 0])
    opinions = np.where(knows, y[:, np.newaxis], 5 * rng.normal(size=(400, 2)))
    consensus, _, _ = fit_on(X, y, opinions, independent=True)
    assert set(consensus.parts) == {"constant", "blend", "opinions", "features"}
    proba = consensus.feature_gate.proba(np.array([[2.0], [-2.0]]))
    np.testing.assert_array_less([0.95, 0.95], proba[[0, 1], [0, 1]])
    assert consensus.parts["features"] + consensus.parts["opinions"] > 0.8
