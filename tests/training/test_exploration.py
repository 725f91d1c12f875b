"""What EM may learn from instead of posteriors: dropout, annealing, jitter, re-seeding."""

import pickle
import warnings

import numpy as np
import pytest
from joblib import parallel_config
from scipy.special import log_softmax, logsumexp, softmax
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skmoe
from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor, SoftmaxGate
from skmoe._data.folds import Folds
from skmoe._training.capacity import Capacity
from skmoe._training.em import EMState, Iteration
from skmoe._training.exploration import (
    EXPLORING_ITERATIONS,
    Exploration,
    balance_and_exploration,
    dead_experts,
    dropout_mask,
)
from skmoe._training.gate import HeldOutGate
from skmoe.datasets import make_piecewise_regression

OPTIONS = {
    "capacity": {"capacity_factor": 1.1},
    "dropout": {"expert_dropout": 0.3},
    "annealing": {"annealing": 0.4},
    "jitter": {"gate": SoftmaxGate(jitter=0.5)},
}


def draw_problem():
    """Four sectors, of which the first two are merged so that balance is not for free."""
    data = make_piecewise_regression(400, 3, n_regimes=4, noise=0.2, random_state=1)
    return data.X, np.where(data.regime == 1, data.X @ data.coef[0], data.y)


@pytest.fixture(scope="module")
def problem():
    return draw_problem()


def mixture(**parameters):
    settings = {"n_experts": 4, "overlap": 0.0, "max_iter": 30, "random_state": 0, "cv": 3}
    return MixtureOfExpertsRegressor(LinearRegression(), **(settings | parameters))


def fitted(X, y, **parameters):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return mixture(**parameters).fit(X, y)


# Dropout


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.99])
def test_dropout_never_masks_all_experts(probability):
    mask = dropout_mask((20_000, 3), probability, np.random.RandomState(0))
    assert set(np.unique(mask)) == {-np.inf, 0.0}
    masked = mask < 0
    assert not masked.all(axis=1).any()
    # Each expert is spared alike, and masked as often as asked for unless all would be.
    expected = probability - probability**3 / 3
    np.testing.assert_allclose(masked.mean(axis=0), expected, atol=5 * np.sqrt(0.25 / 20_000))


def exploration(n_samples=60, n_experts=3, n_folds=2, **parameters):
    fold = np.arange(n_samples) % n_folds
    splits = [(np.flatnonzero(fold != f), np.flatnonzero(fold == f)) for f in range(n_folds)]
    reseedable = parameters.pop("reseedable", np.ones(n_experts, dtype=bool))
    folds, weight = Folds.of(splits, n_samples), np.ones(n_samples)
    return Exploration(folds, weight, (1, 2, 3), reseedable, **parameters)


def state(n_samples=60, n_experts=3, n_folds=2, seed=0, bias=0.0):
    rng = np.random.default_rng(seed)
    log_gate = log_softmax(rng.normal(size=(n_folds, n_samples, n_experts)) + bias, axis=2)
    log_density = rng.normal(size=(n_samples, n_experts))
    responsibilities = softmax(log_gate + log_density, axis=2)
    gate = HeldOutGate(log_gate, ())
    return EMState(None, gate, np.ones(3), responsibilities, log_density, None, 0.0)


def history(length, n_experts=3, reseeded=()):
    flags = np.isin(np.arange(n_experts), reseeded)
    return [Iteration(0.0, np.ones(n_experts), 0.0, np.zeros(3, bool), flags)] * length


def test_nothing_is_altered_unless_asked_for():
    given = state()
    targets, reseeded = exploration().targets(given, history(3), overlap=0.0)
    assert targets is given.responsibilities and not reseeded.any()


def test_dropout_renormalises_over_those_that_are_left():
    given = state()
    targets, _ = exploration(expert_dropout=0.4).targets(given, history(3), overlap=0.0)
    np.testing.assert_allclose(targets.sum(axis=2), 1.0)
    masked = targets == 0
    np.testing.assert_array_equal(masked[0], masked[1])
    assert 0.2 < masked.mean() < 0.5
    expected = np.where(masked, 0.0, given.responsibilities)
    np.testing.assert_allclose(targets, expected / expected.sum(axis=2, keepdims=True))
    again, _ = exploration(expert_dropout=0.4).targets(given, history(3), overlap=0.0)
    other, _ = exploration(expert_dropout=0.4).targets(given, history(4), overlap=0.0)
    np.testing.assert_array_equal(targets, again)
    assert not np.array_equal(targets == 0, other == 0)


def test_jitter_is_noise_on_the_logits():
    given = state(2000)
    targets, _ = exploration(2000, jitter=0.7).targets(given, history(3), overlap=0.0)
    noise = np.log(targets) - np.log(given.responsibilities)
    between = noise[..., 0] - noise[..., 1]
    assert between.std() == pytest.approx(0.7 * np.sqrt(2), rel=0.05)
    np.testing.assert_allclose(between[0], between[1], atol=1e-9)  # the same in all folds


# Annealing


def test_annealing_rises_to_one():
    anneals = exploration(annealing=0.25)
    powers = [anneals.inverse_temperature(iteration) for iteration in range(1, 60)]
    assert powers[0] == powers[1] == 0.25  # the first iteration learns from a start
    assert np.all(np.diff(powers) >= 0) and powers[-1] == 1.0
    rising = np.array(powers[1 : EXPLORING_ITERATIONS + 2])
    np.testing.assert_allclose(rising[1:] / rising[:-1], 4 ** (1 / EXPLORING_ITERATIONS))
    assert powers[EXPLORING_ITERATIONS + 1] == 1.0 > powers[EXPLORING_ITERATIONS]
    assert not exploration().explores(2)


def test_annealed_posteriors_are_powers():
    given = state()
    targets, _ = exploration(annealing=0.25).targets(given, history(1), overlap=0.0)
    expected = given.responsibilities**0.25
    np.testing.assert_allclose(targets, expected / expected.sum(axis=2, keepdims=True))
    targets, _ = exploration(annealing=0.25).targets(given, history(40), overlap=0.0)
    np.testing.assert_array_equal(targets, given.responsibilities)


def test_annealed_posteriors_respect_the_capacity():
    given = state(bias=np.array([3.0, 0.0, 0.0]))
    anneals = exploration(annealing=0.5)
    capped = exploration(
        annealing=0.5, capacity=Capacity(anneals.folds, anneals.sample_weight, 1.2)
    )
    for fold, (rows, _) in enumerate(anneals.folds.splits):
        loads = [
            each.targets(given, history(1), overlap=0.0)[0][fold, rows].mean(axis=0)
            for each in (anneals, capped)
        ]
        assert loads[0].max() > 0.5
        assert loads[1].max() <= 0.4 * (1 + 1e-4)


@pytest.mark.parametrize(
    ("max_iter", "fresh", "exploring"),
    [(1, True, 0), (2, True, 0)]
    + [(3, True, 1), (12, True, 10), (500, True, EXPLORING_ITERATIONS), (500, False, 0)],
)
def test_the_last_iteration_explores_nothing(max_iter, fresh, exploring):
    class Anything:
        def __init__(self, **attributes):
            vars(self).update(attributes)

    settings = Anything(capacity_factor=None, expert_dropout=0, annealing=0.5, max_iter=max_iter)
    problem = Anything(folds=Folds.in_sample(5), judged_weight=np.ones(5))
    pool = Anything(templates=[Ridge()], seeds=(1,), problem=problem)
    _, found = balance_and_exploration(settings, 0.0, pool, fresh)
    iterations = [iteration for iteration in range(2, max_iter + 1) if found.explores(iteration)]
    assert len(iterations) == exploring
    assert not found.explores(max_iter)


def test_em_does_not_stop_while_it_explores(problem):
    X, y = problem
    model = fitted(X, y, annealing=0.05, max_iter=100, tol=10.0)
    assert model.n_iter_ >= EXPLORING_ITERATIONS
    assert fitted(X, y, max_iter=100, tol=10.0).n_iter_ == 4
    # Several candidates are compared only when that is over.
    several = fitted(X, y, annealing=0.5, n_init=2, max_iter=100, tol=10.0)
    assert several.n_iter_ >= EXPLORING_ITERATIONS


def test_what_led_nowhere_is_left(problem):
    """So hot a start melts all experts into one; EM goes on from what came before it."""
    X, y = problem
    plain = fitted(X, y, max_iter=60)
    trace = (melted := fitted(X, y, annealing=0.01, max_iter=60)).history_["log_likelihood"]
    ended = EXPLORING_ITERATIONS + 1
    assert trace[5:ended].max() < trace[0] - 0.1
    assert trace[ended] > trace[0]
    assert melted.log_likelihood_ > plain.history_["log_likelihood"][0]


# Re-seeding


def with_a_dead_expert():
    given = state(n_samples=90, bias=np.array([0.0, -30.0, 0.0]))
    return given, exploration(n_samples=90)


def test_a_dead_expert_gets_the_worst_rows():
    given, explores = with_a_dead_expert()
    np.testing.assert_array_equal(
        dead_experts(given.responsibilities, explores.folds, np.ones(90)), [False, True, False]
    )
    targets, reseeded = explores.targets(given, history(2), overlap=0.1)
    np.testing.assert_array_equal(reseeded, [False, True, False])
    np.testing.assert_allclose(targets.sum(axis=2), 1.0)
    for fold, (rows, _) in enumerate(explores.folds.splits):
        likelihood = logsumexp(given.gate.log_proba[fold] + given.log_density, axis=1)
        given_to = targets[fold, :, 1] > 0.5
        assert given_to[rows].sum() == pytest.approx(len(rows) / 3, abs=1)
        assert likelihood[given_to].max() < likelihood[~given_to].min()
        np.testing.assert_array_equal(
            targets[fold, ~given_to], given.responsibilities[fold, ~given_to]
        )
    assert given.responsibilities[:, :, 1].max() < 0.01  # the iterate itself is left as it is


def test_to_be_dead_is_a_matter_of_weight():
    """A row of weight 2 counts as two rows."""
    given = np.random.default_rng(0).dirichlet(np.ones(3), size=(1, 60))
    weight = np.random.default_rng(1).integers(0, 4, 60)
    mass = weight @ given[0, :, 2]
    for rows, is_dead in [(0.0, True), (2.0, True), (4.0, False), (8.0, False)]:
        responsibilities = given * [1.0, 1.0, rows / mass]
        by_weight = dead_experts(responsibilities, Folds.in_sample(60), weight)
        repeated = np.repeat(responsibilities, weight, axis=1)
        n_rows = weight.sum()
        by_rows = dead_experts(repeated, Folds.in_sample(n_rows), np.ones(n_rows))
        np.testing.assert_array_equal(by_weight, [False, False, is_dead])
        np.testing.assert_array_equal(by_rows, by_weight)


def test_the_weight_of_rows_counts_for_how_many_are_given():
    given, _ = with_a_dead_expert()
    weight = np.random.default_rng(0).uniform(0.1, 5.0, 90)
    folds = Folds(
        ((np.arange(90), np.arange(45)), (np.arange(90), np.arange(45, 90))), np.arange(90) // 45
    )
    explores = Exploration(folds, weight, (0,), np.ones(3, dtype=bool))
    targets, _ = explores.targets(given, history(2), overlap=0.0)
    part = weight[targets[0, :, 1] > 0.5].sum() / weight.sum()
    assert 1 / 3 <= part <= 1 / 3 + weight.max() / weight.sum()


@pytest.mark.parametrize(
    ("overlap", "before", "reseedable"),
    [(1.0, (), True), (0.0, (1,), True), (0.0, (), False)],
    ids=["all experts see all rows", "once only", "frozen"],
)
def test_who_is_not_reseeded(overlap, before, reseedable):
    given, _ = with_a_dead_expert()
    explores = exploration(n_samples=90, reseedable=np.array([True, reseedable, True]))
    targets, reseeded = explores.targets(given, history(2, reseeded=before), overlap)
    assert targets is given.responsibilities and not reseeded.any()


def test_the_choice_of_rows_knows_nothing_of_the_fold():
    given, explores = with_a_dead_expert()
    targets, _ = explores.targets(given, history(2), overlap=0.0)
    left_out = np.setdiff1d(np.arange(90), explores.folds.train(0))
    log_density = given.log_density.copy()
    log_density[left_out] -= np.linspace(100, 0, len(left_out))[:, np.newaxis]
    other, _ = explores.targets(given._replace(log_density=log_density), history(2), overlap=0.0)
    rows = explores.folds.train(0)
    np.testing.assert_array_equal(targets[0, rows], other[0, rows])
    assert not np.array_equal(targets[1, left_out], other[1, left_out])


def test_one_expert_at_a_time():
    given = state(n_samples=90, bias=np.array([0.0, -30.0, -30.0]))
    explores = exploration(n_samples=90)
    _, first = explores.targets(given, history(2), overlap=0.0)
    _, second = explores.targets(given, history(2, reseeded=(1,)), overlap=0.0)
    np.testing.assert_array_equal([first, second], [[False, True, False], [False, False, True]])


@pytest.mark.parametrize("e_step", ["insample", "crossfit"])
def test_reseeding_rescues_a_mixture(e_step):
    """A start that gives everything to one of two experts, where two lines cross."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(300, 1))
    y = np.abs(X[:, 0]) + 0.02 * rng.normal(size=300)
    start = np.repeat([[1.0, 1e-6]], 300, axis=0)
    model = fitted(X, y, n_experts=2, init=start, e_step=e_step, max_iter=100)
    assert model.history_["reseeded"].shape == (model.n_iter_, 2)
    np.testing.assert_array_equal(model.history_["reseeded"].sum(axis=0), [0, 1])
    assert model.log_likelihood_ > 1.5 > model.history_["log_likelihood"][0] + 1.0


class Constant(RegressorMixin, BaseEstimator):
    """Never of any use."""

    def fit(self, X, y, sample_weight=None):
        self.fitted_ = True
        return self

    def predict(self, X):
        return np.full(len(X), 1e3)


def test_a_useless_expert_is_warned_of(problem, capsys):
    X, y = problem
    experts = [("useful", LinearRegression()), ("useless", Constant()), ("plain", Ridge())]
    settings = {"overlap": 0.1, "max_iter": 200, "random_state": 0, "verbose": 2}
    with pytest.warns(ConvergenceWarning, match=r"\['useless'\].*next to no rows"):
        model = MixtureOfExpertsRegressor(experts, **settings).fit(X, y)
    assert model.history_["reseeded"].sum() == 1
    assert "re-seeded useless" in capsys.readouterr().out
    assert model.gate_proba(X)[:, 1].max() < 1e-2
    frozen = [*experts[::2], ("useless", FrozenEstimator(Constant().fit(X, y)))]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = MixtureOfExpertsRegressor(frozen, **settings).fit(X, y)
    assert not model.history_["reseeded"].any()


# All of them in a mixture


@pytest.mark.parametrize("option", OPTIONS.values(), ids=OPTIONS)
def test_reproducible_whatever_the_number_of_jobs(problem, option):
    X, y = problem
    expert = make_pipeline(StandardScaler(), Ridge())  # one of those that are fitted one by one

    def fit(**parameters):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            # (after scouts a run of so few iterations may end with its first, which knows none)
            model = mixture(max_iter=6, cv=2, init="leaves", **(option | parameters))
            return model.set_params(experts=expert).fit(X, y)

    first = fit()
    with parallel_config(backend="threading"):
        second = fit(n_jobs=2)
    np.testing.assert_array_equal(first.predict(X), second.predict(X))
    for name in ("log_likelihood", "expert_mass", "reseeded"):
        np.testing.assert_array_equal(first.history_[name], second.history_[name])
    plain = fit(**{"capacity_factor": None, "expert_dropout": 0.0, "annealing": 1.0, "gate": None})
    assert not np.array_equal(first.predict(X), plain.predict(X))
    if "expert_dropout" in option or "gate" in option:
        assert not np.array_equal(first.predict(X), fit(random_state=1).predict(X))


def test_jitter_of_a_gate_in_a_pipeline(problem):
    X, y = problem
    noisy, plain = (
        fitted(X, y, gate=make_pipeline(StandardScaler(), SoftmaxGate(jitter=jitter)), max_iter=3)
        for jitter in (1.0, 0.0)
    )
    assert not np.array_equal(noisy.predict(X), plain.predict(X))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_log_likelihood_rises_without_any_of_them(problem):
    X, y = problem
    gate = SoftmaxGate(alpha=0.0)
    plain = mixture(e_step="insample", gate=gate, max_iter=60).fit(X, y)
    assert np.diff(plain.history_["log_likelihood"]).min() > -1e-9
    assert not plain.history_["reseeded"].any()
    noisy = mixture(e_step="insample", gate=gate, expert_dropout=0.5, max_iter=60).fit(X, y)
    trace = noisy.history_["log_likelihood"]
    assert np.diff(trace).min() < -1e-3
    assert len(trace) > EXPLORING_ITERATIONS + 3
    assert np.diff(trace[EXPLORING_ITERATIONS + 1 :]).min() > -1e-9  # then EM settles
    # What is reported is the mixture as it is: all experts, no mask.
    reported = noisy.log_density(X, y).mean()
    assert noisy.log_likelihood_ == pytest.approx(reported, rel=1e-7)


@pytest.mark.parametrize(
    ("parameter", "values"),
    [
        ("capacity_factor", [0.9, "much"]),
        ("expert_dropout", [-0.1, 1.0, None]),
        ("annealing", [0.0, 1.1, None]),
    ],
)
def test_invalid_parameters(problem, parameter, values):
    for value in values:
        with pytest.raises(ValueError, match=parameter):
            mixture(**{parameter: value}).fit(*problem)


def test_parameters_survive(problem, tmp_path):
    X, y = problem
    options = {"capacity_factor": 1.2, "expert_dropout": 0.1, "annealing": 0.5, "max_iter": 4}
    model = fitted(X, y, gate=SoftmaxGate("auto", balance=0.1, z_loss=0.01, jitter=0.1), **options)
    skmoe.dump(model, tmp_path / "model.skmoe")
    for revived in (skmoe.load(tmp_path / "model.skmoe"), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(revived.predict(X), model.predict(X))
        assert revived.gate_.alpha_ == model.gate_.alpha_
        np.testing.assert_array_equal(revived.history_["reseeded"], model.history_["reseeded"])
        for name, value in options.items():
            assert revived.get_params()[name] == value
        assert revived.get_params()["gate__balance"] == 0.1
    assert clone(model).get_params()["annealing"] == 0.5
    changed = clone(model).set_params(gate__jitter=0.0, capacity_factor=None)
    assert changed.gate.jitter == 0.0


def test_a_mixture_from_before_these_parameters(problem):
    X, y = problem
    model = fitted(X, y, max_iter=3)
    values = model.__getstate__()
    for name in ("capacity_factor", "expert_dropout", "annealing"):
        del values[name]
    revived = MixtureOfExpertsRegressor.__new__(MixtureOfExpertsRegressor)
    revived.__setstate__(values)
    np.testing.assert_array_equal(revived.predict(X), model.predict(X))
    assert clone(revived).get_params()["annealing"] == 1.0


def test_classifier_too(problem):
    X, y = problem
    options = {"capacity_factor": 1.0, "expert_dropout": 0.1, "annealing": 0.5}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = MixtureOfExpertsClassifier(
            LogisticRegression(), n_experts=3, random_state=0, max_iter=8, **options
        ).fit(X, np.digitize(y, [-1, 1]))
    assert model.predict_proba(X).shape == (400, 3)
    assert model.history_["expert_mass"].max() < 1.1 / 3
