"""scikit-learn's own checks of estimators, and proof that each expected failure has its reason."""

import numpy as np
import pytest
from scipy.sparse import issparse
from scipy.special import softmax
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import PredefinedSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils.estimator_checks import parametrize_with_checks

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor, SoftmaxGate

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:The least populated class:UserWarning"),
]

WEIGHTED = [f"check_sample_weight_equivalence_on_{kind}_data" for kind in ["dense", "sparse"]]

# Rows that are repeated are drawn otherwise than rows that have a weight.  Where nothing is drawn
# the check passes: here with `ByPosition`, and in `test_weights_are_repetitions`.
KMEANS = dict.fromkeys(WEIGHTED, "k-means++ draws its first centres from the rows")
BOOTSTRAP = dict.fromkeys(WEIGHTED, "forests draw bootstrap samples")


class ByPosition:
    """Start without any chance: each expert begins where a feature of its own is large."""

    def __call__(self, X, y, n_experts, random_state):
        X = np.nan_to_num(np.asarray(X.toarray() if issparse(X) else X, dtype=float))
        columns = X[:, np.arange(n_experts) % X.shape[1]]
        return softmax(3 * columns / (1 + np.abs(columns)), axis=1)

    def __repr__(self):  # part of the names of the tests, which must not hold an address
        return "by_position"


C, R = MixtureOfExpertsClassifier, MixtureOfExpertsRegressor


def quick(kind, experts=None, fails=(), **parameters):
    """A small mixture, and the checks that it fails."""
    small = dict(n_experts=2, overlap=0.1, cv=2, max_iter=2, tol=0.1, init=ByPosition())
    small["shared_expert"] = None
    return kind(experts, **(small | parameters)), dict(fails)


RIDGE = Ridge(tol=1e-12)  # on sparse data it is iterative
LOGISTIC = LogisticRegression(tol=1e-10, max_iter=10_000)
SMALL_TREES = {"n_estimators": 3, "max_depth": 2}

QUICK = [
    quick(C, n_experts=4, max_iter=1, init="kmeans", fails=KMEANS),
    quick(R, n_experts=4, max_iter=1, init="kmeans", fails=KMEANS),
    quick(C, e_step="insample"),
    quick(R, e_step="insample"),
    quick(C, [("tree", DecisionTreeClassifier(max_depth=2)), ("linear", LOGISTIC)]),
    quick(R, [("tree", DecisionTreeRegressor(max_depth=2)), ("linear", RIDGE)]),
    quick(R, make_pipeline(Normalizer(), RIDGE)),
    quick(R, [("inner", quick(R, RIDGE, e_step="insample", max_iter=1)[0]), ("linear", RIDGE)]),
    quick(C, RandomForestClassifier(**SMALL_TREES), e_step="oob", max_iter=1, fails=BOOTSTRAP),
    quick(R, RandomForestRegressor(**SMALL_TREES), e_step="oob", max_iter=1, fails=BOOTSTRAP),
    quick(C, top_k=1),
    quick(R, RIDGE, overlap="auto", max_iter=1, likelihood="laplace"),
    quick(R, RIDGE, gate=LogisticRegression()),
    quick(C, top_k=1, shared_expert="generalist"),
    quick(R, RIDGE, shared_expert="generalist"),
    quick(
        C,
        [("tree", DecisionTreeClassifier(max_depth=2)), ("linear", LOGISTIC)],
        shared_expert="consensus",
        fails=BOOTSTRAP,
    ),
    quick(
        R,
        [("tree", DecisionTreeRegressor(max_depth=2)), ("linear", RIDGE)],
        shared_expert="consensus",
        fails=BOOTSTRAP,
    ),
]

DEFAULTS = [(C(), KMEANS), (R(), KMEANS)]
SEVERAL_OUTPUTS = quick(C, DecisionTreeClassifier(max_depth=2))  # the tags say that it takes them


def parametrize(configurations):
    """All checks of all configurations; those that are expected to fail must do so."""
    fails = {id(estimator): failures for estimator, failures in configurations}
    return parametrize_with_checks(
        [estimator for estimator, _ in configurations],
        expected_failed_checks=lambda estimator: fails[id(estimator)],
    )


@parametrize(QUICK)
def test_estimator(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize([*DEFAULTS, SEVERAL_OUTPUTS])
def test_defaults(estimator, check):
    check(estimator)


RNG = np.random.RandomState(0)
X = RNG.normal(size=(120, 3))
Y = np.where(X[:, 0] > 0, 3 * X[:, 1], -X[:, 2]) + 0.2 * RNG.normal(size=120)
LABELS = np.digitize(Y, [-1, 1])
FOLD = np.arange(120) % 3
WEIGHT = RNG.randint(4, size=120)
START = softmax(2 * X, axis=1)
EXACT_LOGISTIC = LogisticRegression(solver="newton-cholesky", tol=1e-10)


MODELS = [
    R(LinearRegression(), overlap=0.1),
    R(Ridge(), overlap=0.1, likelihood="laplace"),
    R(DecisionTreeRegressor(max_depth=2), overlap=1.0),
    R(
        [("a", Ridge()), ("b", LinearRegression()), ("c", DecisionTreeRegressor(max_depth=1))],
        overlap=0.1,
    ),
    R(Ridge(), overlap=0.1, gate=EXACT_LOGISTIC),
    C(EXACT_LOGISTIC, overlap=0.1),
    C(EXACT_LOGISTIC, overlap=0.0, top_k=1),
    C(EXACT_LOGISTIC, overlap="auto"),
]
for model in MODELS:
    # whose standard error knows repeated rows from heavy ones
    model.set_params(shared_expert=None)
    if isinstance(model, R):
        model.set_params(density="mixture")  # the other's trees count rows in their leaves


def fitted(model, e_step, rows, weight=None):
    """The model fitted on some rows, each of which brings its own start and fold."""
    model = clone(model).set_params(
        n_experts=3,
        e_step=e_step,
        max_iter=10,
        random_state=0,
        init=START[rows],
        cv=list(PredefinedSplit(FOLD[rows]).split()),
    )
    if model.gate is None:
        model.set_params(gate=SoftmaxGate(tol=1e-10))
    y = LABELS if isinstance(model, C) else Y
    return model.fit(X[rows], y[rows], sample_weight=weight)


def assert_alike(first, second):
    np.testing.assert_allclose(first.gate_proba(X), second.gate_proba(X), rtol=1e-6, atol=1e-6)
    experts = first.predict_experts(X), second.predict_experts(X)
    np.testing.assert_allclose(*experts, rtol=1e-6, atol=1e-6)
    assert first.log_likelihood_ == pytest.approx(second.log_likelihood_, rel=1e-6)
    assert first.lift_.over_constant == pytest.approx(second.lift_.over_constant, rel=1e-4)
    assert first.overlap_ == second.overlap_


@pytest.mark.parametrize("e_step", ["insample", "crossfit"])
@pytest.mark.parametrize("model", MODELS)
def test_weights_are_repetitions(model, e_step):
    """Integer weights are repeated rows, and weight 0 is an absent row.

    Not quite so where an expert starves, since rows then count whatever their weight; nor for
    experts that break ties, as trees do.
    """
    every = np.arange(len(X))
    weighted = fitted(model, e_step, every, WEIGHT)
    assert not weighted.history_["starved"].any()
    assert_alike(weighted, fitted(model, e_step, np.repeat(every, WEIGHT)))
    present = WEIGHT > 0
    assert_alike(weighted, fitted(model, e_step, every[present], WEIGHT[present]))
