"""Where experts are fitted: the same everywhere, not too many threads, and workers that die."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from joblib import cpu_count, effective_n_jobs, parallel_config
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.datasets import make_friedman1
from sklearn.ensemble import (
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor
from threadpoolctl import threadpool_info, threadpool_limits

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor, SoftmaxGate
from skmoe._experts.fitting import in_fixed_order
from skmoe._experts.workers import Workers
from skmoe.exceptions import FitInterruptedError, WorkersLostError

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore:A worker stopped while some jobs were given:UserWarning",
)

X, Y = make_friedman1(240, noise=0.5, random_state=0)
LABELS = np.where(Y > np.median(Y), "high", "low")
MANY, OF_MANY = make_friedman1(1000, noise=0.5, random_state=0)  # enough for parts of a forest


def pool(n_jobs=None):
    """Different experts, with forests that use all processors, and a consensus."""
    experts = [
        ("forest", RandomForestRegressor(12, random_state=0, n_jobs=-1)),
        ("boosted", HistGradientBoostingRegressor(max_iter=8)),
        ("ridge", Ridge()),
        ("neighbours", KNeighborsRegressor()),
    ]
    return MixtureOfExpertsRegressor(experts, n_jobs=n_jobs, random_state=0)


def forests(n_jobs=None):
    """Forests that are judged out of bag, and grown in two parts."""
    forest = RandomForestClassifier(50, max_depth=4)
    return MixtureOfExpertsClassifier(
        forest, n_experts=2, overlap=0.1, init="kmeans", max_iter=2, n_jobs=n_jobs, random_state=0
    )


# the same everywhere ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def serial():
    with threadpool_limits(1):
        return {"pool": pool().fit(X, Y), "forests": forests().fit(MANY, OF_MANY > 14.0)}


def assert_same_bits(mixture, serial):
    """Two fitted mixtures are equal to the last bit; so is what they have learned."""
    np.testing.assert_array_equal(mixture.gate_.coef_, serial.gate_.coef_)
    np.testing.assert_array_equal(mixture._dispersion, serial._dispersion)
    np.testing.assert_array_equal(mixture.gate_proba(X), serial.gate_proba(X))
    assert mixture.log_likelihood_ == serial.log_likelihood_
    assert mixture.shared_weight_ == serial.shared_weight_
    with parallel_config(backend="sequential"):  # in which forests sum in one order, too
        for one, other in zip(mixture.experts_, serial.experts_, strict=True):
            np.testing.assert_array_equal(one.predict(X), other.predict(X))
        answers = [each.predict(X) for each in (mixture, serial)]
        np.testing.assert_array_equal(*answers)


@pytest.mark.parametrize("backend", ["threading", "loky"])
@pytest.mark.parametrize("kind", ["pool", "forests"])
def test_backends_yield_the_same_bits(kind, backend, serial):
    mixture, rows = (pool, (X, Y)) if kind == "pool" else (forests, (MANY, OF_MANY > 14.0))
    with threadpool_limits(1), parallel_config(backend=backend, n_jobs=2):
        fitted = mixture().fit(*rows)
    assert_same_bits(fitted, serial[kind])


def test_the_last_bit_of_opinions_does_not_matter():
    """One bit, as BLAS with other threads has it, was 5e-3 of the target's spread in the end."""

    class LastBit(RegressorMixin, BaseEstimator):
        def __init__(self, bit):
            self.bit = bit

        def fit(self, X, y):
            self.is_fitted_ = True
            return self

        def predict(self, X):
            said = 10 * np.sin(np.pi * X[:, 0] * X[:, 1]) + 10 * X[:, 3]
            return np.where(X[:, 4] > 0.5, np.nextafter(said, self.bit * np.inf), said)

    def fitted(bit):
        experts = [("bits", LastBit(bit)), ("ridge", Ridge()), ("near", KNeighborsRegressor())]
        return MixtureOfExpertsRegressor(experts, shared_expert="consensus", random_state=0).fit(
            X, Y
        )

    one, other = fitted(1.0), fitted(-1.0)
    assert one._shared.model.correction is not None
    assert one.shared_weight_ > 0
    np.testing.assert_allclose(one.predict(X), other.predict(X), rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("model", "n_jobs"),
    [
        (RandomForestRegressor(n_jobs=-1), 1),
        (make_pipeline(StandardScaler(), RandomForestRegressor(n_jobs=-1)), 1),
        (KNeighborsRegressor(n_jobs=-1), cpu_count()),
    ],
)
def test_forests_sum_their_trees_in_order(model, n_jobs):
    with in_fixed_order(model):
        assert effective_n_jobs(-1) == n_jobs


# not too many threads -----------------------------------------------------------------------


def openmp_threads():
    HistGradientBoostingRegressor(max_iter=1).fit(X[:20], Y[:20])  # loads the library
    return max(each["num_threads"] for each in threadpool_info() if each["user_api"] == "openmp")


def wanted_threads(path):
    """What somebody gets who asks for all processors."""
    path.joinpath(str(os.getpid())).touch()
    return effective_n_jobs(-1), openmp_threads()


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_workers_share_the_processors(backend, tmp_path):
    with parallel_config(backend=backend, n_jobs=2), Workers() as workers:
        seen = workers.run([(wanted_threads, (tmp_path,))] * 4)
    assert set(seen) == {(max(1, cpu_count() // 2),) * 2}
    assert (str(os.getpid()) in os.listdir(tmp_path)) == (backend == "threading")


def test_one_job_leaves_experts_their_threads(tmp_path):
    assert Workers(1).run([(wanted_threads, (tmp_path,))])[0][0] == cpu_count()


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_workers_survive_other_use_of_joblib(backend):
    """A forest that is fitted with the same configuration ends its workers, but not these."""
    with parallel_config(backend=backend, n_jobs=2), Workers() as workers:
        before = workers.run([(abs, (-1,)), (abs, (-2,))])
        RandomForestRegressor(4).fit(X, Y)
        assert workers.run([(abs, (-1,)), (abs, (-2,))]) == before == [1, 2]


# workers that die ---------------------------------------------------------------------------


HOME = os.getpid()


class Mortal(Ridge):
    """A ridge regression whose fits from number `first` to `last` kill the process.

    Only that of a worker: not the one that it was made in.
    """

    def __init__(self, path, first=1, last=np.inf, home=HOME, alpha=1.0):
        super().__init__(alpha=alpha)
        self.path = path
        self.first = first
        self.last = last
        self.home = home

    def fit(self, X, y, sample_weight=None):
        number = next(k for k in range(1, 10_000) if self._is_next(k))
        if os.getpid() != self.home and self.first <= number <= self.last:
            os._exit(1)
        return super().fit(X, y, sample_weight)

    def _is_next(self, number):
        try:
            Path(self.path, str(number)).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


def mixture_of(expert, **parameters):
    settings = dict(
        n_experts=2,
        gate=SoftmaxGate(alpha=1e-2),
        overlap=0.1,
        init="kmeans",
        max_iter=4,
        tol=0.0,
        random_state=0,
    )
    return MixtureOfExpertsRegressor(expert, **settings | parameters)


def test_a_call_is_repeated_after_a_worker_has_died(tmp_path):
    fitted = mixture_of(Mortal(str(tmp_path), 3, 3), n_jobs=2).fit(X, Y)
    tmp_path.joinpath("other").mkdir()
    expected = mixture_of(Mortal(str(tmp_path / "other"))).fit(X, Y)
    np.testing.assert_allclose(fitted.predict(X), expected.predict(X), rtol=1e-12)


def test_workers_that_die_again_leave_the_best_iterate(tmp_path):
    mixture = mixture_of(Mortal(str(tmp_path), first=25), n_jobs=2)  # ten fits an iteration
    with pytest.raises(WorkersLostError, match=r"n_jobs.*partial_") as caught:
        mixture.fit(X, Y)
    assert not hasattr(mixture, "experts_")
    partial = caught.value.partial_
    assert partial is caught.value.partial_
    assert partial.n_iter_ == 2
    tmp_path.joinpath("other").mkdir()
    simple = dict(max_iter=2, shared_expert=None, density="mixture")
    two = mixture_of(Mortal(str(tmp_path / "other")), **simple).fit(X, Y)
    assert partial.shared_expert_ is None
    assert partial.log_likelihood_ == pytest.approx(two.log_likelihood_, rel=1e-9)
    np.testing.assert_allclose(partial.predict(X), two.predict(X), rtol=1e-9)
    assert partial.predict_interval(X).shape == (len(X), 2)


# Ctrl-C ---------------------------------------------------------------------------------------


class Interrupted(DecisionTreeRegressor):
    """A tree during whose n-th fit somebody presses Ctrl-C."""

    fits = 0

    def __init__(self, at=0, max_depth=3, random_state=None):
        super().__init__(max_depth=max_depth, random_state=random_state)
        self.at = at

    def fit(self, X, y, sample_weight=None):
        type(self).fits += 1
        if type(self).fits == self.at:
            raise KeyboardInterrupt
        return super().fit(X, y, sample_weight)


@pytest.mark.parametrize("at", [15, 45, 48])
def test_interrupted_fit_leaves_the_best_iterate(at, monkeypatch):
    """In the second iteration; while the shared expert is fitted; while the final experts are."""
    monkeypatch.setattr(Interrupted, "fits", 0)
    mixture = mixture_of(Interrupted(at))
    with pytest.raises(KeyboardInterrupt) as caught:
        mixture.fit(X, Y)
    assert isinstance(caught.value, FitInterruptedError)
    partial = caught.value.partial_
    best = partial.history_["log_likelihood"].max()
    assert partial.n_iter_ == (1 if at == 15 else 4)
    assert partial.log_likelihood_ >= best - 1e-9
    assert partial.score(X, Y) > 0.3
    assert not hasattr(mixture, "experts_")


def test_nothing_is_left_of_the_first_iteration(monkeypatch):
    monkeypatch.setattr(Interrupted, "fits", 0)
    with pytest.raises(FitInterruptedError) as caught:
        mixture_of(Interrupted(5)).fit(X, Y)
    assert caught.value.partial_ is None


def test_interrupted_search_of_a_classifier():
    calls = []

    class Counted(LogisticRegression):
        def fit(self, X, y, sample_weight=None):
            calls.append(1)
            if len(calls) == 60:
                raise KeyboardInterrupt
            return super().fit(X, y, sample_weight)

    with pytest.raises(FitInterruptedError) as caught:
        MixtureOfExpertsClassifier(Counted(), n_experts=2, random_state=0).fit(X, LABELS)
    partial = caught.value.partial_
    assert list(partial.classes_) == ["high", "low"]
    assert partial.score(X, LABELS) > 0.7


def test_exceptions_travel_without_what_was_learned():
    error = WorkersLostError("gone")
    error._finish_with(lambda: X)
    copy = pickle.loads(pickle.dumps(error))
    assert copy.args == ("gone",)
    assert copy.partial_ is None
    assert error.partial_ is X
