"""Loss of the whole and of its parts, as users know it."""

import numpy as np
import pytest
from scipy import stats
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import log_loss, mean_absolute_error, root_mean_squared_error
from sklearn.tree import DecisionTreeRegressor

from skmoe import MixtureOfExpertsClassifier as C
from skmoe import MixtureOfExpertsRegressor as R
from skmoe._data.folds import Folds
from skmoe._data.problem import Problem
from skmoe._data.rows import TrainingData
from skmoe._likelihoods import Categorical, Gaussian, Laplace
from skmoe._shared_expert.expert import SharedExpert
from skmoe._shared_expert.training import SharedTraining
from skmoe._training.losses import measure_losses


@pytest.fixture
def rng():
    return np.random.RandomState(0)


def problem_of(target, likelihood, weight):
    n = len(target)
    data = TrainingData(np.zeros((n, 1)), target, weight, np.arange(n), n)
    return Problem(data, target, Folds.of([(np.arange(n), np.arange(n))], n), likelihood, None)


def measured(target, likelihood, mixed, component, outputs, weight, share=0.25):
    shared = SharedTraining(
        SharedExpert(None, share, share, np.zeros(1)),
        mixed,
        np.zeros(len(target)),
        component=component,
    )
    dispersion = np.zeros(outputs.shape[1])
    problem = problem_of(target, likelihood, weight)
    return measure_losses(problem, shared, outputs, dispersion, ("a", "b"))


@pytest.mark.parametrize(
    ("likelihood", "metric"),
    [(Gaussian, root_mean_squared_error), (Laplace, mean_absolute_error)],
)
@pytest.mark.parametrize("shape", [(500,), (500, 2)])
def test_losses_of_means_are_those_of_sklearn(rng, likelihood, metric, shape):
    target, mixed, component = rng.normal(size=(3, *shape))
    outputs = np.stack([target + 2.0, target + 0.5 * rng.normal(size=shape)], axis=1)
    weight = rng.uniform(0.5, 2.0, size=500)
    likelihood = likelihood(np.full(len(shape), 1e-3))
    losses = measured(target, likelihood, mixed, component, outputs, weight)
    whole = 0.75 * mixed + 0.25 * component
    said = {"whole": whole, "mixture": mixed, "shared": component, "best expert": outputs[:, 1]}
    assert losses.loss == pytest.approx(
        {name: metric(target, each, sample_weight=weight) for name, each in said.items()}
    )
    assert losses.best_expert == "b"
    assert losses.gain["shared"] == pytest.approx(losses.loss["shared"] - losses.loss["whole"])
    assert losses.say == {"mixture": 0.75, "generalist": 0.25}


def test_losses_of_classes_are_those_of_sklearn(rng):
    target = rng.randint(3, size=300)
    mixed, component, *outputs = rng.dirichlet(np.ones(3), size=(4, 300))
    weight = np.ones(300)
    likelihood = Categorical(np.arange(3), learn_floor=True)
    losses = measured(target, likelihood, mixed, component, np.stack(outputs, axis=1), weight)
    assert losses.metric == "log-loss"
    assert losses.loss["mixture"] == pytest.approx(log_loss(target, mixed))
    gains = -np.log(mixed[np.arange(300), target]) + np.log(
        (0.75 * mixed + 0.25 * component)[np.arange(300), target]
    )
    assert losses.gain["mixture"] == pytest.approx(gains.mean())
    assert losses.gain_se["mixture"] == pytest.approx(stats.sem(gains))


def test_standard_errors_of_roots_are_those_of_repeated_samples(rng):
    found, told, gains, told_gains = [], [], [], []
    for _ in range(300):
        target, noise = rng.normal(size=(2, 400))
        mixed, component = target + noise, target + 0.8 * noise + 0.3 * rng.normal(size=400)
        outputs = np.stack([mixed, mixed], axis=1)
        losses = measured(
            target, Gaussian(np.array([1e-3])), mixed, component, outputs, np.ones(400)
        )
        found.append(losses.loss["whole"])
        told.append(losses.loss_se["whole"])
        gains.append(losses.gain["mixture"])
        told_gains.append(losses.gain_se["mixture"])
    assert np.mean(told) == pytest.approx(np.std(found), rel=0.15)
    assert np.mean(told_gains) == pytest.approx(np.std(gains), rel=0.15)


def test_the_record_says_what_the_model_does(rng):
    X = rng.uniform(-1, 1, size=(500, 2))
    y = np.where(X[:, 0] > 0, 3.0, -3.0) * X[:, 1] + 0.1 * rng.normal(size=500)
    experts = [
        (name, FrozenEstimator(DecisionTreeRegressor(max_depth=5).fit(X[own], y[own])))
        for name, own in {"left": X[:, 0] < 0, "right": X[:, 0] > 0}.items()
    ]
    model = R(experts, random_state=0).fit(X, y)
    losses = model.lift_.losses
    assert sum(losses.say.values()) == pytest.approx(1.0)
    assert 1.0 - losses.say["mixture"] == pytest.approx(model.shared_weight_)
    for name, part in model.shared_expert_.parts.items():
        assert losses.say[name] == pytest.approx(part * model.shared_weight_)
    assert losses.gain["best expert"] > 5 * losses.gain_se["best expert"] > 0
    assert losses.best_expert in ("left", "right")
    lines = repr(model.lift_).splitlines()
    assert lines[0] == "gain in log-likelihood per row" and lines[4].startswith("RMSE of")
    assert any(line.startswith("says: mixture ") for line in lines)
    renamed = model.rename_experts({"left": "west", "right": "east"})
    assert renamed.lift_.losses.best_expert in ("west", "east")


def test_without_a_shared_expert_the_mixture_is_the_whole(rng):
    X = rng.normal(size=(200, 2))
    y = (X[:, 0] + 0.5 * rng.normal(size=200) > 0).astype(int)
    losses = C(LogisticRegression(), n_experts=2, shared_expert=None).fit(X, y).lift_.losses
    assert losses.loss["whole"] == losses.loss["mixture"]
    assert losses.gain["mixture"] == losses.gain_se["mixture"] == 0.0
    assert "shared" not in losses.loss and losses.say == {"mixture": 1.0}


def test_a_perfect_prediction_has_no_error(rng):
    X = rng.normal(size=(100, 1))
    losses = R(LinearRegression(), n_experts=1).fit(X, np.zeros(100)).lift_.losses
    assert losses.loss["whole"] == losses.loss_se["whole"] == 0.0
