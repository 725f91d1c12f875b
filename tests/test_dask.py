"""Fitting on a cluster of dask, and predicting where the rows are."""

import os
import warnings
from contextlib import contextmanager

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.datasets import make_friedman1
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.tree import DecisionTreeRegressor
from small_mixtures import LABELS, X, Y, classifier, regressor, tree
from threadpoolctl import threadpool_limits

from skmoe import MixtureOfExpertsRegressor, SoftmaxGate
from skmoe.exceptions import WorkersLostError

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


# frames and arrays of dask ------------------------------------------------------------------


class Collection:
    """As much of a dask array as counts here."""

    def __dask_graph__(self):
        return {}

    def map_blocks(self, function):
        return function(X)

    def compute(self):
        return X


def test_fit_says_what_to_do_with_a_collection():
    with pytest.raises(TypeError, match=r"X is a .* Collection.*compute\(\).*partial_fit"):
        regressor().fit(Collection(), Y)


def test_predict_says_that_it_computes_a_collection():
    model = regressor().fit(X, Y)
    with pytest.warns(UserWarning, match=r"computed here and now.*X.map_blocks\(model.predict"):
        said = model.predict(Collection())
    np.testing.assert_array_equal(said, model.predict(X))


# a cluster ----------------------------------------------------------------------------------


@contextmanager
def cluster():
    """The client of two workers, each a process of one thread."""
    distributed = pytest.importorskip("distributed", reason="pip install 'skmoe[dask]'")
    settings = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of dask's own
        with (
            distributed.LocalCluster(**settings) as workers,
            distributed.Client(workers) as client,
        ):
            workers.scheduler.allowed_failures = 0  # by default each call is tried four times
            yield client


@pytest.fixture(scope="module")
def client():
    with cluster() as client:
        yield client


@pytest.fixture
def own_client():
    """One that no other test has used."""
    with cluster() as client:
        yield client


on_a_cluster = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]


def slow(test):
    for mark in on_a_cluster:
        test = mark(test)
    return test


@slow
def test_a_cluster_yields_the_same_bits(client):
    X, y = make_friedman1(240, noise=0.5, random_state=0)
    experts = [
        ("forest", RandomForestRegressor(12, random_state=0)),
        ("boosted", HistGradientBoostingRegressor(max_iter=8)),
        ("ridge", Ridge()),
    ]
    mixture = MixtureOfExpertsRegressor(experts, random_state=0)
    with threadpool_limits(1):
        serial = mixture.fit(X, y).predict(X)
        for _ in range(2):
            with parallel_config("dask"):
                mixture.fit(X, y)
            # Outside: a forest that is asked in that configuration sums its trees in any order.
            np.testing.assert_array_equal(mixture.predict(X), serial)


def count_bytes():
    """Have this process count what it sends; to be run in the workers, too."""
    from distributed.comm import tcp

    write = tcp.TCP.write

    async def counting(self, *message, **settings):
        sent = await write(self, *message, **settings)
        counting.n_bytes += sent or 0
        return sent

    counting.n_bytes, counting.write = 0, write
    tcp.TCP.write = counting


def n_bytes():
    """Bytes that this process has sent since then; it counts no more."""
    from distributed.comm import tcp

    counting = tcp.TCP.write
    tcp.TCP.write = counting.write
    return counting.n_bytes


@slow
def test_bytes_of_an_iteration(client):
    """X travels once for a fit; an iteration sends weights and predictions."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2_500, 20))
    y = np.abs(X[:, 0]) + rng.normal(size=2_500)
    sent = {}
    for n_iter in (2, 2, 5):  # the first fit also sends what workers import
        mixture = MixtureOfExpertsRegressor(
            DecisionTreeRegressor(max_depth=5),
            gate=SoftmaxGate(),
            overlap=0.1,
            init="kmeans",
            shared_expert=None,
            max_iter=n_iter,
            tol=0.0,
            random_state=0,
        )
        count_bytes()
        client.run(count_bytes)
        with parallel_config("dask"):
            mixture.fit(X, y)
        sent[mixture.n_iter_] = n_bytes() + sum(client.run(n_bytes).values())
    assert (sent[5] - sent[2]) / 3 < 4 * X.nbytes


class Mortal(Ridge):
    """A ridge regression that kills the worker that fits it, as often as there are files."""

    def __init__(self, path, home, alpha=1.0):
        super().__init__(alpha=alpha)
        self.path = path
        self.home = home

    def fit(self, X, y, sample_weight=None):
        if os.getpid() != self.home:
            for name in os.listdir(self.path):
                try:
                    os.unlink(os.path.join(self.path, name))
                except FileNotFoundError:
                    continue
                os._exit(1)
        return super().fit(X, y, sample_weight)


def mortal(path, n_deaths):
    for death in range(n_deaths):
        path.joinpath(str(death)).touch()
    return MixtureOfExpertsRegressor(
        Mortal(str(path), os.getpid()),
        n_experts=2,
        overlap=0.1,
        init="kmeans",
        shared_expert=None,
        max_iter=2,
        random_state=0,
    )


@slow
def test_a_cluster_survives_the_death_of_a_worker(own_client, tmp_path):
    undying = mortal(tmp_path, 0).fit(X, Y)
    with parallel_config("dask"):
        fitted = mortal(tmp_path, 1).fit(X, Y)
    assert not list(tmp_path.iterdir())
    np.testing.assert_allclose(fitted.predict(X), undying.predict(X), rtol=1e-12)


@slow
def test_a_cluster_whose_workers_keep_dying(own_client, tmp_path):
    with pytest.raises(WorkersLostError, match="KilledWorker"), parallel_config("dask"):
        mortal(tmp_path, 40).fit(X, Y)


@slow
def test_prediction_where_the_rows_are(client):
    array = pytest.importorskip("dask.array")
    model = regressor(tree()).fit(X, Y)
    parts = array.from_array(X, chunks=(len(X) // 3, X.shape[1]))
    said = parts.map_blocks(model.predict, dtype=float, drop_axis=1).compute()
    np.testing.assert_array_equal(said, model.predict(X))
    proba = classifier().fit(X, LABELS)
    chunks = (parts.chunks[0], (len(proba.classes_),))
    said = parts.map_blocks(proba.predict_proba, dtype=float, chunks=chunks).compute()
    np.testing.assert_array_equal(said, proba.predict_proba(X))


@slow
def test_prediction_of_frames_where_the_rows_are(client):
    frame = pytest.importorskip("dask.dataframe")
    pandas = pytest.importorskip("pandas")
    rows = pandas.DataFrame(X).rename(columns=str)
    model = regressor(tree()).fit(rows, Y)
    parts = frame.from_pandas(rows, npartitions=3)
    said = parts.map_partitions(model.predict, meta=np.empty(0)).compute()
    np.testing.assert_array_equal(said, model.predict(rows))
    with pytest.raises(TypeError, match=r"compute\(\)"):
        regressor().fit(parts, Y)
    with pytest.warns(UserWarning, match="map_partitions"):
        np.testing.assert_array_equal(model.predict(parts), model.predict(rows))
