"""What the benchmarks of prediction share: one problem, one pool of experts, and who uses it.

Time is that of the processor, which for one thread is what a clock would show on a machine
without other work.
"""

import warnings
from functools import cache
from time import process_time

import numpy as np
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor

N_FEATURES = 20
ROWS_PER_EXPERT = 2000
LONG = 1.0
"""Calls that take longer than this many seconds are timed once."""


class Clock:
    """Seconds spent inside the experts' own `predict_proba`."""

    seconds = 0.0


class TimedForest(RandomForestClassifier):
    """Random forest, timed."""

    def predict_proba(self, X):
        started = process_time()
        proba = super().predict_proba(X)
        Clock.seconds += process_time() - started
        return proba


EXPERTS = {
    "linear": LogisticRegression(),
    "forest": TimedForest(50, random_state=0),
    "boosting": HistGradientBoostingClassifier(max_iter=50, random_state=0),
}

POOL_OF_CLASSIFIERS = [
    ("forest", RandomForestClassifier(50, random_state=0)),
    ("boosting", HistGradientBoostingClassifier(max_iter=50, random_state=0)),
    ("linear", make_pipeline(StandardScaler(), LogisticRegression())),
    ("neighbours", make_pipeline(StandardScaler(), KNeighborsClassifier())),
    ("Bayes", GaussianNB()),
]
POOL_OF_REGRESSORS = [
    ("forest", RandomForestRegressor(50, random_state=0)),
    ("boosting", HistGradientBoostingRegressor(max_iter=50, random_state=0)),
    ("linear", make_pipeline(StandardScaler(), Ridge())),
    ("neighbours", make_pipeline(StandardScaler(), KNeighborsRegressor())),
    ("SVM", make_pipeline(StandardScaler(), SVR())),
]


def problem(n_regimes, n_samples, seed):
    """Balanced regimes between linear borders, a linear rule of its own in each."""
    rules = np.random.default_rng(0)
    borders = rules.normal(size=(N_FEATURES, n_regimes))
    borders /= np.linalg.norm(borders, axis=0)
    slopes = rules.normal(size=(n_regimes, N_FEATURES))
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, N_FEATURES))
    regime = (X @ borders).argmax(axis=1)
    logit = 2 * np.einsum("nd,nd->n", X, slopes[regime])
    return X, (rng.uniform(size=n_samples) < 1 / (1 + np.exp(-logit))).astype(int), regime


@cache
def pool(kind, n_experts):
    """Fitted experts, one per regime, frozen."""
    X, y, regime = problem(n_experts, ROWS_PER_EXPERT * n_experts, 1)
    return [
        (f"e{k}", FrozenEstimator(clone(EXPERTS[kind]).fit(X[regime == k], y[regime == k])))
        for k in range(n_experts)
    ]


@cache
def mixture(kind, n_experts):
    """A mixture of the pool: only the gate is learned."""
    X, y, regime = problem(n_experts, 200 * n_experts, 2)
    start = 0.9 * np.eye(n_experts)[regime] + 0.1 / n_experts
    model = MixtureOfExpertsClassifier(
        pool(kind, n_experts), init=start, max_iter=3, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y)


@cache
def five(classes):
    """A fitted pool of five kinds of experts, with the consensus that is its default."""
    X, y, regime = problem(16, 600, 2)
    parts = POOL_OF_CLASSIFIERS if classes else POOL_OF_REGRESSORS
    kind = MixtureOfExpertsClassifier if classes else MixtureOfExpertsRegressor
    target = y if classes else np.where(y == 1, X[:, 0], X[:, 1]) + regime / 16
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return kind(parts, cv=3, random_state=0).fit(X, target)


@cache
def ensembles(kind, n_experts):
    """The ensembles of scikit-learn, of the same pool."""
    X, y, _ = problem(n_experts, 200 * n_experts, 2)
    members = pool(kind, n_experts)
    return {
        "stacking": StackingClassifier(members, cv="prefit").fit(X, y),
        "voting": VotingClassifier(members, voting="soft").fit(X, y),
    }


@cache
def dynamic_selections(kind, n_experts):
    """DESlib's methods of the same pool."""
    X, y, _ = problem(n_experts, 200 * n_experts, 2)
    return dynamic_selections_of([expert.estimator for _, expert in pool(kind, n_experts)], X, y)


def dynamic_selections_of(experts, X, y):
    """DESlib's methods by name; none where it is not installed or does not run.

    Its last release, 0.3.7, uses methods that scikit-learn has removed after 1.6.
    """
    try:
        from deslib.des import KNORAE, METADES
    except ImportError:
        return {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return {
                "KNORA-E": KNORAE(experts, random_state=0).fit(X, y),
                "META-DES": METADES(experts, random_state=0).fit(X, y),
            }
    except AttributeError as error:
        print(f"DESlib does not run here: {error}")
        return {}


def compile_kernels():
    """Compile, or load, what large batches use before anything is timed."""
    X = np.tile(np.eye(20), (2000, 1))
    model = MixtureOfExpertsClassifier(DummyClassifier(), n_experts=2, max_iter=1)
    model.fit(X[:20], np.arange(20) % 2)
    for top_k in (None, 1):
        model.set_params(top_k=top_k).predict_proba(X)


def seconds(call, repeats, at_least=0.05):
    """Best time of a call; short calls are timed in groups, long ones once."""
    started = process_time()
    call()
    first = process_time() - started
    if first > LONG:  # once more: kernels may have been compiled for this layout of the data
        repeats = 1
    number = min(200, max(1, int(at_least / max(first, 1e-7))))
    runs = []
    for _ in range(repeats):
        started = process_time()
        for _ in range(number):
            call()
        runs.append((process_time() - started) / number)
    return min(runs)


def table(*heads):
    """Start a Markdown table."""
    row(*heads)
    row(*["---"] * len(heads))


def row(*cells):
    """Print a line of a Markdown table."""
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)
