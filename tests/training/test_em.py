"""The mathematics of EM: what must hold whatever the data."""

import warnings

import numpy as np
import pytest
from scipy.special import log_softmax, logsumexp
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.datasets import load_diabetes, load_wine
from sklearn.ensemble import RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from small_mixtures import problem_of

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor, SoftmaxGate
from skmoe._data.folds import Folds
from skmoe._experts.pool import ExpertPool, HeldOutExperts
from skmoe._likelihoods import Categorical, Gaussian
from skmoe._training.capacity import Capacity
from skmoe._training.em import PATIENCE, expert_weights, initial_state, run_em
from skmoe._training.gate import HeldOutGate, gate_trainer
from skmoe._training.setup import Setup
from skmoe.datasets import make_piecewise_regression

EXACT_GATE = SoftmaxGate(alpha=1e-2, tol=1e-10, max_iter=1000)


@pytest.fixture(scope="module")
def two_lines():
    """Two crossing lines whose regime depends on the sign of the first feature."""
    rng = np.random.RandomState(0)
    X = rng.normal(size=(300, 2))
    left = X[:, 0] < 0
    y = np.where(left, 1 + 2 * X[:, 1], -1 - 3 * X[:, 1]) + 0.1 * rng.normal(size=300)
    start = np.where(left[:, None], [0.6, 0.4], [0.4, 0.6])
    return X, y, start


def classical(expert, start, **params):
    """The classical algorithm: in-sample, nothing shared, exact M-steps."""
    kind = (
        MixtureOfExpertsClassifier
        if isinstance(expert, LogisticRegression)
        else MixtureOfExpertsRegressor
    )
    settings = {"overlap": 0.0, "e_step": "insample", "tol": 0.0, "gate": EXACT_GATE} | params
    return kind(expert, n_experts=start.shape[1], init=start, **settings)


def penalised(model, X):
    """Log-likelihood of the model less the penalty of its gate, per row."""
    standardised = model.gate_.coef_ * X.std(axis=0)
    return model.log_likelihood_ - 0.5 * EXACT_GATE.alpha * np.sum(standardised**2)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_penalised_log_likelihood_never_falls(two_lines):
    X, y, start = two_lines
    model = classical(LinearRegression(), start, max_iter=1, warm_start=True)
    objective = [penalised(model.fit(X, y), X) for _ in range(25)]
    assert np.diff(objective).min() >= -1e-12
    assert objective[-1] > objective[0] + 0.5  # and there is something to gain


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_relabelled_start_relabels_the_experts(two_lines):
    X, y, start = two_lines
    model = classical(LinearRegression(), start).fit(X, y)
    swapped = classical(LinearRegression(), start[:, ::-1]).fit(X, y)
    np.testing.assert_allclose(swapped.scale_, model.scale_[::-1], rtol=1e-8)
    np.testing.assert_allclose(swapped.gate_proba(X), model.gate_proba(X)[:, ::-1], atol=1e-8)
    np.testing.assert_allclose(swapped.predict(X), model.predict(X), rtol=1e-7)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_rows_permuted_and_columns_scaled(two_lines):
    X, y, start = two_lines
    model = classical(LinearRegression(), start).fit(X, y)
    order = np.random.RandomState(1).permutation(len(X))
    permuted = classical(LinearRegression(), start[order]).fit(X[order], y[order])
    np.testing.assert_allclose(permuted.predict(X), model.predict(X), rtol=1e-7)
    units = np.array([1e3, 1e-2])
    scaled = classical(LinearRegression(), start).fit(X * units + 5, y)
    np.testing.assert_allclose(scaled.predict(X * units + 5), model.predict(X), rtol=1e-6)


@pytest.mark.parametrize("e_step", ["crossfit", "insample"])
def test_one_expert_is_the_plain_expert(e_step):
    X, y = load_diabetes(return_X_y=True)
    tree = DecisionTreeRegressor(max_depth=4, random_state=0)
    model = MixtureOfExpertsRegressor([("tree", tree)], e_step=e_step).fit(X, y)
    np.testing.assert_array_equal(model.predict(X), tree.fit(X, y).predict(X))

    X, y = load_wine(return_X_y=True)
    tree = DecisionTreeClassifier(max_depth=2, random_state=0)
    model = MixtureOfExpertsClassifier([("tree", tree)], e_step=e_step).fit(X, y)
    floor = model.floor_[0]
    expected = (1 - floor) * tree.fit(X, y).predict_proba(X) + floor / 3
    np.testing.assert_allclose(model.predict_proba(X), expected, rtol=1e-12)


@pytest.mark.parametrize("e_step", ["crossfit", "insample"])
def test_known_regimes_are_recovered(e_step):
    problem = make_piecewise_regression(
        1500, 3, n_regimes=3, noise=0.1, boundary="parallel", random_state=3
    )
    model = MixtureOfExpertsRegressor(
        LinearRegression(),
        n_experts=3,
        overlap=0,
        e_step=e_step,
        n_init=3,
        max_iter=60,
        random_state=0,
    ).fit(problem.X, problem.y)
    matched = [
        int(np.argmin([np.abs(expert.coef_ - coef).max() for expert in model.experts_]))
        for coef in problem.coef
    ]
    assert sorted(matched) == [0, 1, 2]
    for regime, expert in enumerate(matched):
        np.testing.assert_allclose(model.experts_[expert].coef_, problem.coef[regime], atol=0.05)
    assert np.mean(model.apply(problem.X) == np.take(matched, problem.regime)) > 0.9


class Forgetful(RegressorMixin, BaseEstimator):
    """Predicts the mean, and refuses to say anything of rows that it was fitted on."""

    def fit(self, X, y, sample_weight=None):
        self.mean_ = np.average(y, weights=sample_weight)
        self.seen_ = {row.tobytes() for row in X}
        return self

    def predict(self, X):
        assert not any(row.tobytes() in self.seen_ for row in X), "asked about its own rows"
        return np.full(len(X), self.mean_)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_experts_are_never_asked_about_their_own_rows(two_lines):
    X, y, _ = two_lines
    MixtureOfExpertsRegressor(Forgetful(), n_experts=2, random_state=0).fit(X, y)
    with pytest.raises(AssertionError, match="own rows"):  # so the test can fail
        try:
            MixtureOfExpertsRegressor(Forgetful(), n_experts=2, e_step="insample").fit(X, y)
        except RuntimeError as error:
            raise error.__cause__ from None


class Recording:
    """A gate trainer that remembers the gates of all iterations."""

    def __init__(self, trainer):
        self.trainer = trainer
        self.template = trainer.template
        self.records = []

    def fit_held_out(self, responsibilities, sample_weight, previous=None):
        fitted = self.trainer.fit_held_out(responsibilities, sample_weight, previous)
        self.records.append(fitted)
        return fitted


def test_a_fold_learns_nothing_from_the_rows_that_it_leaves_out():
    """Whatever the targets of a fold are, what its own gate says of them does not change."""
    rng = np.random.RandomState(0)
    X = rng.normal(size=(90, 3))
    y = (X[:, 0] > 0).astype(int)
    experts = [
        FrozenEstimator(LogisticRegression(C=c).fit(rng.normal(size=(50, 3)), np.arange(50) % 2))
        for c in (0.1, 10.0)
    ]
    fold = np.arange(90) % 3
    splits = tuple((np.flatnonzero(fold != f), np.flatnonzero(fold == f)) for f in range(3))
    folds = Folds.of(splits, 90)

    def last_gate_log_proba(y):
        likelihood = Categorical(np.array([0, 1]), learn_floor=False)
        gate = Recording(gate_trainer(SoftmaxGate(tol=1e-9), X, folds))
        problem = problem_of(X, y, likelihood, folds)
        pool = ExpertPool(problem, names=("a", "b"), templates=tuple(experts), seeds=(0, 1))
        start = np.where(X[:, :1] > 0.5, [0.7, 0.3], [0.3, 0.7])
        state = initial_state(start, likelihood.initial_dispersion(2), n_folds=3)
        setup = Setup(problem, pool, gate, settings=None, fresh=True)
        run_em(setup, state, overlap=0.0, max_iter=6, tol=-np.inf)
        return gate.records[-1].log_proba

    before = last_gate_log_proba(y)
    after = last_gate_log_proba(np.where(fold == 1, 1 - y, y))
    assert np.abs(before[0] - after[0]).max() > 1e-3  # other folds do learn from fold 1
    np.testing.assert_array_equal(before[1], after[1])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_best_iterate_is_kept():
    X, y = load_diabetes(return_X_y=True)
    model = MixtureOfExpertsRegressor(
        RandomForestRegressor(10),
        n_experts=3,
        init="kmeans",
        shared_expert=None,
        random_state=1,
        max_iter=8,
        tol=0,
    ).fit(X, y)
    trace = model.history_["log_likelihood"]
    assert trace.argmax() < len(trace) - 1  # forests do not rise steadily
    assert model.log_likelihood_ >= trace.max()


def test_warning_only_if_still_improving(two_lines):
    X, y, _ = two_lines
    with pytest.warns(ConvergenceWarning, match="max_iter=2 while the log-likelihood still rose"):
        MixtureOfExpertsRegressor(n_experts=2, max_iter=2, random_state=0).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = MixtureOfExpertsRegressor(n_experts=2, max_iter=200, random_state=0).fit(X, y)
    assert model.converged_
    assert model.n_iter_ < 200


@pytest.mark.filterwarnings("ignore:EM stopped")
def test_starved_expert_is_reported(two_lines):
    X, y, start = two_lines
    start = np.column_stack([start, np.zeros(len(start))])
    with pytest.warns(ConvergenceWarning, match=r"too few rows.*'expert_2'"):
        model = classical(LinearRegression(), start, max_iter=1).fit(X, y)
    np.testing.assert_array_equal(model.history_["starved"], [[False, False, True]])
    assert np.isfinite(model.predict(X)).all()


class Line(RegressorMixin, BaseEstimator):
    """A known linear function."""

    def __init__(self, coef):
        self.coef = coef

    def fit(self, X, y):
        return self

    def predict(self, X):
        return self.coef[0] + X @ self.coef[1:]

    def __sklearn_is_fitted__(self):
        return True


class CountsFits(Ridge):
    """Counts the fits of all its clones."""

    fits = 0

    def fit(self, X, y, sample_weight=None):
        CountsFits.fits += 1
        return super().fit(X, y, sample_weight)


def test_experts_that_share_all_rows_are_fitted_once(two_lines):
    X, y, _ = two_lines
    CountsFits.fits = 0
    experts = [("a", CountsFits()), ("b", CountsFits(alpha=100.0))]
    settings = {"overlap": 1.0, "cv": 4, "random_state": 0}
    model = MixtureOfExpertsRegressor(experts, n_init=2, **settings).fit(X, y)
    assert CountsFits.fits == 2 * (4 + 1)  # also with two starts, of which there is no need
    assert model.converged_ and model.n_iter_ == len(model.history_["seconds"]) == 1
    CountsFits.fits = 0
    model = MixtureOfExpertsRegressor(experts, expert_dropout=0.1, **settings).fit(X, y)
    assert model.n_iter_ > 1
    assert CountsFits.fits == 2 * (4 + 1)

    def start(X, y, n_experts, random_state):
        return random_state.dirichlet(np.ones(n_experts), size=len(X))

    # A candidate that goes on after its short run does not fit them again either.
    CountsFits.fits = 0
    MixtureOfExpertsRegressor(experts, init=start, n_init=2, tol=0.0, **settings).fit(X, y)
    assert CountsFits.fits == 2 * (2 * 4 + 1)


@pytest.mark.parametrize("gate", [None, LogisticRegression()])
def test_without_a_start_the_gate_gets_as_far(two_lines, gate):
    """Where only the gate learns, EM from the regimes is not better than no EM at all."""
    X, y, start = two_lines
    line = np.r_[1.0, 0.0, 2.0], np.r_[-1.0, 0.0, -3.0]
    experts = [(name, FrozenEstimator(Line(coef))) for name, coef in zip("ab", line, strict=True)]
    settings = {"gate": gate, "overlap": 1.0, "shared_expert": None, "random_state": 0}
    direct = MixtureOfExpertsRegressor(experts, **settings).fit(X, y)
    told = MixtureOfExpertsRegressor(experts, init=start, **settings).fit(X, y)
    assert direct.n_iter_ == 1 < told.n_iter_
    rise = told.log_likelihood_ - direct.history_["log_likelihood"][0]
    assert rise > 1.0
    assert direct.log_likelihood_ > told.log_likelihood_ - 0.02 * rise


@pytest.mark.parametrize("e_step", ["insample", "crossfit"])
def test_heavy_rows_do_not_starve_an_expert(two_lines, e_step):
    X, y, _ = two_lines
    weight = np.ones(len(X))
    weight[:3] = 1000.0
    model = MixtureOfExpertsRegressor(Ridge(), n_experts=1, e_step=e_step, random_state=0)
    model.fit(X, y, sample_weight=weight)
    assert not model.history_["starved"].any()
    plain = Ridge().fit(X, y, sample_weight=weight)
    np.testing.assert_allclose(model.experts_[0].coef_, plain.coef_)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_starved_expert_keeps_the_sample_weight(two_lines):
    X, y, start = two_lines
    weight = np.random.RandomState(0).uniform(0.1, 10, size=len(X))
    nothing = np.zeros((len(X), 1))
    model = classical(LinearRegression(), np.hstack([start, nothing]), max_iter=1)
    model.fit(X, y, sample_weight=weight)
    plain = LinearRegression().fit(X, y, sample_weight=weight)
    np.testing.assert_allclose(model.experts_[2].coef_, plain.coef_)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_experts_without_weights_get_rows_enough():
    """Ten neighbours need ten rows, also in a fold and for an unpopular expert."""
    problem = make_piecewise_regression(200, n_regimes=3, random_state=0)
    for seed in range(5):
        MixtureOfExpertsRegressor(
            KNeighborsRegressor(10), n_experts=8, overlap=0.1, max_iter=8, random_state=seed
        ).fit(problem.X, problem.y)


@pytest.mark.parametrize("overlap", [0.0, 0.1, 0.7, 1.0])
def test_expert_weights(overlap):
    rng = np.random.RandomState(0)
    responsibilities = rng.dirichlet(np.ones(3), size=(2, 5))
    sample_weight = rng.uniform(1, 2, size=5)
    weights = expert_weights(responsibilities, sample_weight, overlap)
    formula = sample_weight[:, None] * ((1 - overlap) * responsibilities + overlap / 3)
    np.testing.assert_allclose(weights / weights[0, 0, 0], formula / formula[0, 0, 0])
    wholly = expert_weights(np.eye(3)[None], np.full(3, 2.0), overlap)
    np.testing.assert_allclose(wholly[0].diagonal(), 2.0)
    if overlap == 1:
        np.testing.assert_array_equal(weights, np.broadcast_to(sample_weight[:, None], (2, 5, 3)))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_only_the_most_likely_candidate_goes_on(two_lines, monkeypatch):
    X, y, _ = two_lines
    monkeypatch.setattr("skmoe._training.search.HOPELESS", np.inf)  # no trial is given up
    CountsFits.fits = 0
    settings = {"n_experts": 2, "cv": 2, "tol": 0.0, "random_state": 0, "shared_expert": None}
    settings["gate"] = SoftmaxGate(alpha=0.1)  # or else its terms are searched for, too
    model = MixtureOfExpertsRegressor(
        CountsFits(), overlap=0.1, n_init=3, init="random", max_iter=12, **settings
    ).fit(X, y)
    short, splits, experts = 5, 2, 2
    going_on = model.n_iter_ - short
    assert 0 < going_on <= 7  # later iterations may change no weight, and fit nothing
    assert CountsFits.fits == ((3 * short + going_on) * splits + 1) * experts
    # The long run goes on where the short one stood.
    trace = model.history_["log_likelihood"]
    assert trace[short:].max() > trace[:short].max()


def test_auto_share_takes_the_most_likely(two_lines):
    X, y, _ = two_lines
    settings = {"n_experts": 2, "random_state": 0, "max_iter": 5}  # a short run
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        auto = MixtureOfExpertsRegressor(LinearRegression(), overlap="auto", **settings).fit(X, y)
        each = {
            overlap: max(
                MixtureOfExpertsRegressor(LinearRegression(), overlap=overlap, **settings)
                .fit(X, y)
                .history_["log_likelihood"]
            )
            for overlap in (0.0, 0.1, 0.3, 1.0)
        }
    assert auto.overlap_ == max(each, key=each.get)


# One step looked at closely


class FinalExperts:
    """Experts that predict the same whatever they are fitted with."""

    def __init__(self, outputs):
        self.outputs = outputs

    def fit_held_out(self, weights, previous, iteration):
        return HeldOutExperts(
            self.outputs, weights[0], np.zeros(2, dtype=bool), (), np.zeros(2, dtype=bool)
        )


class FinalGate:
    """A gate that says the same whatever it is fitted to."""

    def __init__(self, log_proba):
        self.log_proba = log_proba

    def fit_held_out(self, responsibilities, sample_weight, previous):
        return HeldOutGate(self.log_proba, ())


def small_setup(n=60, n_folds=2, **options):
    """Two folds, whose gates say quite different things."""
    rng = np.random.default_rng(0)
    y, weight = rng.normal(size=n), rng.uniform(0.5, 2, n)
    outputs = y[:, np.newaxis] + rng.normal(size=(n, 2)) * [0.3, 1.0]
    log_proba = log_softmax(2 * rng.normal(size=(n_folds, n, 2)), axis=2)
    fold = np.arange(n) % n_folds
    folds = Folds.of([(np.flatnonzero(fold != f), np.flatnonzero(fold == f)) for f in range(2)], n)
    problem = problem_of(y, y, Gaussian(np.array([1e-3])), folds, weight)
    parts = FinalExperts(outputs), FinalGate(log_proba)
    return Setup(problem, *parts, settings=None, fresh=True, **options)


def first_state(setup):
    """Of one iteration from responsibilities that differ from fold to fold."""
    n = len(setup.problem.y)
    start = np.random.default_rng(1).dirichlet(np.ones(2), (len(setup.problem.folds), n))
    state = initial_state(start[0], np.ones((2, 1)), len(start))._replace(responsibilities=start)
    return start, run_em(setup, state, overlap=0.0, max_iter=1, tol=0.0).best


def test_dispersions_learn_from_held_out_responsibilities():
    setup = small_setup()
    start, state = first_state(setup)
    problem = setup.problem
    held_out = start[problem.folds.judge, np.arange(len(problem.y))]
    weight = problem.sample_weight[:, np.newaxis] * held_out
    errors = np.square(state.experts.outputs - problem.y[:, np.newaxis])
    expected = np.sqrt(np.sum(weight * errors, axis=0) / weight.sum(axis=0))
    np.testing.assert_allclose(state.dispersion[:, 0], expected)


def test_the_reported_log_likelihood_knows_no_capacity():
    setup = small_setup()
    folds, weight = setup.problem.folds, setup.problem.sample_weight
    capped = setup._replace(capacity=Capacity(folds, weight, 1.0))
    (_, plain), (_, state) = first_state(setup), first_state(capped)
    assert np.abs(state.responsibilities - plain.responsibilities).max() > 0.05
    joint = folds.held_out(state.gate.log_proba) + state.log_density
    np.testing.assert_allclose(state.row_log_likelihood, logsumexp(joint, axis=1))
    assert state.log_likelihood == pytest.approx(
        np.average(logsumexp(joint, axis=1), weights=weight)
    )


class RisingGate(FinalGate):
    """Its likelihood rises by about a hundredth an iteration, for a while."""

    fits = 0

    def fit_held_out(self, responsibilities, sample_weight, previous):
        self.fits += 1
        better = np.array([0.01 * self.fits, 0.0])
        return HeldOutGate(log_softmax(self.log_proba + better, axis=2), ())


@pytest.mark.parametrize(("tol", "n_iter"), [(0.0, 12), (1e-4, 12), (0.1, 1 + PATIENCE)])
def test_patience_ends_when_gains_are_within_the_tolerance(tol, n_iter):
    setup = small_setup()
    setup = setup._replace(gate=RisingGate(np.zeros_like(setup.gate.log_proba)))
    n = len(setup.problem.y)
    state = initial_state(np.full((n, 2), 0.5), np.ones((2, 1)), 2)
    result = run_em(setup, state, overlap=0.0, max_iter=12, tol=tol)
    trace = [iteration.log_likelihood for iteration in result.history]
    assert (np.diff(trace) > 1e-4).all() and (np.diff(trace)[1:] < 0.1).all()
    assert len(trace) == n_iter
    assert result.converged == (n_iter < 12)
