"""Fitted mixtures of every kind, and what it takes for two of them to be the same."""

import functools
import io
import types

import numpy as np
import pandas as pd
import polars as pl
from scipy import sparse
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import KFold
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import BallTree, KDTree, KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils import Bunch

import skmoe
from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor, SoftmaxGate
from skmoe.gates import ClassifierGate, CosineGate, GaussianGate, HierarchicalGate
from skmoe.io._lazy import LazyExpert

N_ROWS = 60
RNG = np.random.RandomState(0)
X = RNG.normal(size=(N_ROWS, 3))
Y = np.where(X[:, 0] > 0, 3 * X[:, 1], -X[:, 2]) + 0.1 * RNG.normal(size=N_ROWS)
LABELS = np.where(X[:, 0] > 0, "yes", np.where(X[:, 1] > 0, "no", "perhaps"))
MISSING = np.where(RNG.uniform(size=X.shape) < 0.1, np.nan, X)
SPARSE = sparse.csr_matrix(np.where(X > 0, X, 0.0))


def regressor(experts=None, **parameters):
    quick = {
        "n_experts": 2,
        "cv": 2,
        "shared_expert": None,
        "max_iter": 4,
        "tol": 10.0,
        "random_state": 0,
        "density": "mixture",
    }
    return MixtureOfExpertsRegressor(experts, **(quick | parameters))


def classifier(experts=None, **parameters):
    quick = {
        "n_experts": 2,
        "cv": 2,
        "shared_expert": None,
        "max_iter": 4,
        "tol": 10.0,
        "random_state": 0,
    }
    return MixtureOfExpertsClassifier(experts, **(quick | parameters))


def table(library):
    numbers = [float(value) for value in X[:, 0]]
    towns = ["Rome" if i % 3 else "Oslo" for i in range(N_ROWS)]
    return library.DataFrame({"number": numbers, "town": towns, "count": list(range(N_ROWS))})


def categories():
    frame = table(pd)
    return frame.assign(town=frame["town"].astype("category"), flag=frame["count"] % 2 == 0)


def by_name(last):
    towns = OneHotEncoder(sparse_output=False)
    columns = [("number", SimpleImputer(), ["number", "count"]), ("town", towns, ["town"])]
    return make_pipeline(ColumnTransformer(columns), last)


def frozen():
    half = N_ROWS // 2
    return FrozenEstimator(RandomForestRegressor(3, random_state=0).fit(X[:half], Y[:half]))


def halves(X, y, n_experts, random_state):
    """Starting responsibilities: a function that can be pickled by its name."""
    return np.where(np.arange(len(X))[:, np.newaxis] % 2, [0.9, 0.1], [0.1, 0.9])


class Ours(RegressorMixin, BaseEstimator):
    """An expert of the user's own, with attributes that are neither arrays nor numbers."""

    def fit(self, X, y, sample_weight=None):
        self.mean_ = float(np.average(y, weights=sample_weight))
        self.where_ = {"rows": (len(y), None), "type": type(y), "bytes": b"\0\xff"}
        return self

    def predict(self, X):
        return np.full(X.shape[0], self.mean_)


UNPICKLED = []


class Telltale(RegressorMixin, BaseEstimator):
    """An expert that notes when it is unpickled."""

    def fit(self, X, y, sample_weight=None):
        self.mean_ = np.average(y, weights=sample_weight)
        return self

    def predict(self, X):
        return np.full(X.shape[0], self.mean_)

    def __setstate__(self, state):
        UNPICKLED.append(1)
        self.__dict__.update(state)


ONE_FROZEN = frozen()
NUMBERED = np.array([3, 10, 7])[np.unique(LABELS, return_inverse=True)[1]]
MIXED = np.array([True, "x", None], dtype=object)

# What can be fitted: name -> (unfitted mixture, X, y).  One that is too slow to be here is no use.
MODELS = {
    "ridge": (regressor(), X, Y),
    "logistic": (classifier(), X, LABELS),
    "generalist": (regressor(shared_expert="generalist"), X, X[:, 0] + X[:, 1]),
    "consensus": (
        regressor(
            [("linear", LinearRegression()), ("tree", DecisionTreeRegressor(max_depth=2))],
            shared_expert="consensus",
        ),
        X,
        Y,
    ),
    "consensus of classes": (
        classifier(
            [("linear", LogisticRegression()), ("bayes", GaussianNB())], shared_expert="consensus"
        ),
        X,
        LABELS,
    ),
    "labels are numbers": (classifier(), X, NUMBERED),
    "labels are booleans": (classifier(), X, Y > 0),
    "labels are objects": (classifier(), X, LABELS.astype(object)),
    "one expert": (regressor(n_experts=1), X, Y),
    "several outputs": (regressor(LinearRegression()), X, np.column_stack([Y, -Y])),
    "laplace": (regressor(likelihood="laplace", overlap=0.0), X, Y),
    "in-sample": (classifier(GaussianNB(), e_step="insample"), X, LABELS),
    "out-of-bag": (regressor(RandomForestRegressor(5), e_step="oob"), X, Y),
    "trees": (regressor(DecisionTreeRegressor(max_depth=3), top_k=1), X, Y),
    "tree classifiers": (classifier(DecisionTreeClassifier(max_depth=3)), X, LABELS),
    "forests": (classifier(RandomForestClassifier(5), top_k=1), X, LABELS),
    "boosting": (regressor(GradientBoostingRegressor(n_estimators=5)), X, Y),
    "histograms": (regressor(HistGradientBoostingRegressor(max_iter=5)), MISSING, Y),
    "histograms, classes": (
        classifier(HistGradientBoostingClassifier(max_iter=3)),
        MISSING,
        LABELS,
    ),
    "neighbours": (regressor(KNeighborsRegressor(3)), X, Y),
    "neighbour classes": (classifier(KNeighborsClassifier(3)), X, LABELS),
    "support vectors": (regressor(SVR()), X, Y),
    "calibrated": (classifier(CalibratedClassifierCV(SVC(), cv=2)), X, LABELS),
    "network": (regressor(MLPRegressor(hidden_layer_sizes=(4,), max_iter=20)), X, Y),
    "gaussian process": (regressor(GaussianProcessRegressor()), X, Y),
    "own class": (regressor(Ours()), X, Y),
    "different experts": (
        regressor(
            [("a b/c", Ridge()), ("..", DecisionTreeRegressor(max_depth=2)), ("ü", Ridge())]
        ),
        X,
        Y,
    ),
    "pipeline": (regressor(make_pipeline(StandardScaler(), Ridge())), X, Y),
    "pandas": (regressor(by_name(Ridge()), gate_features=["number"]), table(pd), Y),
    "polars": (classifier(by_name(GaussianNB()), gate_features=["number"]), table(pl), LABELS),
    "categories": (regressor(by_name(Ridge()), gate_features=[0, 2]), categories(), Y),
    "sparse": (regressor(), SPARSE, Y),
    "sparse classes": (classifier(gate_features=[0, 2]), SPARSE, LABELS),
    "single precision": (regressor(), X.astype(np.float32), Y),
    "frozen": (regressor([("frozen", ONE_FROZEN), ("ridge", Ridge())]), X, Y),
    "frozen twice": (regressor([("one", ONE_FROZEN), ("two", ONE_FROZEN)]), X, Y),
    "nested": (regressor(regressor(Ridge(), n_experts=2)), X, Y),
    "gate parameters": (regressor(gate=SoftmaxGate(alpha=0.1, temperature=2.0)), X, Y),
    "gaussian gate": (regressor(gate=GaussianGate()), X, Y),
    "cosine gate": (classifier(GaussianNB(), gate=CosineGate()), X, LABELS),
    "gate of gates": (
        regressor(n_experts=3, gate=HierarchicalGate(GaussianGate(), groups=[[0, 2], 1])),
        X,
        Y,
    ),
    "gate is a tree": (regressor(gate=DecisionTreeClassifier(max_depth=2)), X, Y),
    "gate is wrapped": (regressor(gate=ClassifierGate(GaussianNB())), X, Y),
    "gate is a pipeline": (
        regressor(gate=make_pipeline(SimpleImputer(), LogisticRegression())),
        MISSING[:, :3],
        Y,
    ),
    "parameters of all kinds": (
        regressor(
            DecisionTreeRegressor(max_depth=2),
            cv=KFold(3),
            init=halves,
            gate_features=slice(0, 2),
            random_state=np.random.RandomState(3),
        ),
        X,
        Y,
    ),
    "arrays as parameters": (
        regressor(
            init=np.asfortranarray(halves(X, Y, 2, 0)),
            gate_features=np.array([True, False, True]),
            random_state=np.int64(7),
        ),
        X,
        Y,
    ),
}
# These cannot take missing values, so that the gate alone would see them.
MODELS["gate is a pipeline"] = (
    regressor(
        HistGradientBoostingRegressor(max_iter=3),
        gate=make_pipeline(SimpleImputer(), LogisticRegression()),
    ),
    MISSING,
    Y,
)


# What operations on fitted mixtures give: name -> (name of the mixture, operation on it).
OPERATIONS = {
    "expert added": ("ridge", lambda m, X, y: m.add_expert("new", DecisionTreeRegressor(), X, y)),
    "expert dropped": ("different experts", lambda m, X, y: m.drop_expert("..")),
    "expert dropped, wrapped gate": (
        "gate of three is wrapped",
        lambda m, X, y: m.drop_expert("expert_1"),
    ),
    "expert frozen": ("logistic", lambda m, X, y: m.freeze("expert_0")),
    "pruned": ("different experts", lambda m, X, y: m.prune(X, y, min_mass=0.3)),
}
MODELS["gate of three is wrapped"] = (
    regressor(n_experts=3, gate=ClassifierGate(GaussianNB())),
    X,
    Y,
)
NAMES = [*MODELS, *OPERATIONS]


@functools.cache
def fitted(name):
    """Fitted mixture and its training rows; one object for all tests, which must not change it."""
    if name in OPERATIONS:
        before, operation = OPERATIONS[name]
        return operation(fitted(before)[0], *MODELS[before][1:]), MODELS[before][1]
    model, X, y = MODELS[name]
    return model.fit(X, y), X


def differences(first, second, path="model", seen=None):
    """Paths at which two objects differ, attribute by attribute, whatever they are made of."""
    seen = {} if seen is None else seen
    if isinstance(first, LazyExpert):
        first = first.__lazy_expert__()
    if isinstance(second, LazyExpert):
        second = second.__lazy_expert__()
    if first is second or (id(first), id(second)) in seen:
        return []
    seen[id(first), id(second)] = first, second  # kept, lest an id be used again
    if type(first) is not type(second):
        return [f"{path}: {type(first)} and {type(second)}"]
    if isinstance(first, np.ndarray):
        if first.dtype != second.dtype or first.shape != second.shape:
            return [f"{path}: {first.dtype}{first.shape} and {second.dtype}{second.shape}"]
        if first.dtype.hasobject:
            return differences(first.tolist(), second.tolist(), path, seen)
        if first.dtype.names:  # the gaps between fields hold anything
            return differences(
                {n: first[n] for n in first.dtype.names},
                {n: second[n] for n in second.dtype.names},
                path,
                seen,
            )
        return [] if first.tobytes() == second.tobytes() else [f"{path}: values"]
    if isinstance(first, float | np.generic):
        return [] if repr(first) == repr(second) else [f"{path}: {first!r} and {second!r}"]
    if isinstance(first, list | tuple):
        if len(first) != len(second):
            return [f"{path}: lengths"]
        pairs = enumerate(zip(first, second, strict=True))
        return [d for i, (a, b) in pairs for d in differences(a, b, f"{path}[{i}]", seen)]
    if isinstance(first, dict | types.MappingProxyType):
        if list(first) != list(second):
            return [f"{path}: keys {list(first)} and {list(second)}"]
        return [d for k in first for d in differences(first[k], second[k], f"{path}.{k}", seen)]
    plain = str, bytes, int, bool, type, type(None), set, frozenset, slice, np.dtype
    if isinstance(first, (*plain, types.FunctionType, types.BuiltinFunctionType)):
        return [] if first == second else [f"{path}: {first!r} and {second!r}"]
    return differences(parts(first), parts(second), path, seen)


def saved(model, **options):
    """Bytes of a bundle."""
    buffer = io.BytesIO()
    skmoe.dump(model, buffer, **options)
    return buffer.getvalue()


COUNTERS = slice(7, 11)


def parts(value):
    """What a pickle of an object would hold."""
    if isinstance(value, Bunch):
        return dict(value)
    reduced = [list(p) if hasattr(p, "__next__") else p for p in value.__reduce_ex__(4)]
    if isinstance(value, KDTree | BallTree):  # they count how often they were asked
        state = list(reduced[2])
        del state[COUNTERS]
        reduced[2] = state
    return reduced


def answers(model, X):
    """Everything that a fitted mixture says of some rows."""
    said = {"predict": model.predict(X), "gate": model.gate_proba(X)}
    said["experts"] = model.predict_experts(X)
    if hasattr(model, "predict_proba"):
        said["proba"] = model.predict_proba(X)
    return said


def assert_same(first, second, X):
    assert differences(first, second) == []
    ours, theirs = answers(first, X), answers(second, X)
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
