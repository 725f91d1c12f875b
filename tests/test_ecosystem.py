"""Living with the rest of scikit-learn and with a program's other processes."""

import pickle
import subprocess
import sys

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    ExtraTreesRegressor,
    RandomForestRegressor,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import (
    GridSearchCV,
    cross_val_score,
)
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor
from small_mixtures import (
    LABELS,
    N_FEATURES,
    N_ROWS,
    WEIGHT,
    X,
    Y,
    assert_same,
    classifier,
    mixtures,
    outputs,
    regressor,
    tree,
)

from skmoe import SoftmaxGate

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


# meta-estimators ----------------------------------------------------------------------------


def test_inside_a_pipeline():
    model = make_pipeline(StandardScaler(), regressor()).fit(X, Y)
    scaled = StandardScaler().fit_transform(X)
    np.testing.assert_array_equal(model.predict(X), regressor().fit(scaled, Y).predict(scaled))
    assert model[-1].n_features_in_ == N_FEATURES
    assert model.set_params(mixtureofexpertsregressor__experts=tree()).fit(X, Y).score(X, Y) > 0


@pytest.mark.parametrize(
    ("parameter", "values"),
    [
        ("n_experts", [1, 3]),
        ("overlap", [0.0, 1.0, "auto"]),
        ("experts__max_depth", [1, 2]),
        ("gate__alpha", [0.1, 10.0]),
        ("gate", [None, LogisticRegression()]),
        ("experts", [Ridge(), [("tree", tree()), ("linear", Ridge())]]),
    ],
)
def test_grid_search(parameter, values):
    model = regressor(tree(), gate=SoftmaxGate(), max_iter=1)
    search = GridSearchCV(model, {parameter: values}, cv=2, error_score="raise").fit(X, Y)
    assert search.best_params_[parameter] in values
    assert len(set(search.cv_results_["mean_test_score"])) > 1
    best = search.best_estimator_
    if parameter == "n_experts":
        assert len(best.experts_) == search.best_params_["n_experts"]
    if parameter == "experts__max_depth":
        assert {e.get_depth() for e in best.experts_} == {search.best_params_[parameter]}


@pytest.mark.parametrize(
    ("parameter", "values"),
    [
        ("forest__max_depth", [1, 2]),
        ("forest", [ExtraTreesRegressor(3), tree(), "drop"]),
        ("gate", [SoftmaxGate(alpha=1.0), None]),
    ],
)
def test_grid_search_over_named_experts(parameter, values):
    experts = [("forest", RandomForestRegressor(3)), ("linear", Ridge())]
    model = regressor(experts, max_iter=1)
    search = GridSearchCV(model, {parameter: values}, cv=2, error_score="raise").fit(X, Y)
    assert len(set(search.cv_results_["mean_test_score"])) > 1
    assert model.experts is experts
    assert type(experts[0][1]) is RandomForestRegressor
    assert experts[0][1].max_depth is None


def test_members_are_replaced_and_dropped_by_name():
    model = regressor([("tree", tree()), ("linear", Ridge())])
    model.set_params(tree__max_depth=1, linear=LinearRegression()).fit(X, Y)
    assert [type(e) for e in model.experts_] == [DecisionTreeRegressor, LinearRegression]
    assert model.named_experts_.tree.get_depth() == 1
    assert model.get_params()["tree__max_depth"] == 1
    model.set_params(tree="drop").fit(X, Y)
    assert list(model.named_experts_) == ["linear"]
    assert model.n_experts_ == 1
    assert model.gate_proba(X).shape == (N_ROWS, 1)
    np.testing.assert_array_equal(model.predict(X), LinearRegression().fit(X, Y).predict(X))
    with pytest.raises(ValueError, match="forest"):
        model.set_params(forest__max_depth=3)


def test_cross_val_score():
    model = regressor(LinearRegression(), init="random", max_iter=8)
    assert cross_val_score(model, X, Y, cv=3).shape == (3,)
    model = classifier()
    scores = cross_val_score(model, X, LABELS, cv=2, scoring="neg_log_loss")
    assert (scores > -np.log(3) - 1).all()


def test_calibrated_classifier():
    model = CalibratedClassifierCV(classifier(), cv=2).fit(X, LABELS)
    assert model.predict_proba(X).shape == (N_ROWS, 3)
    frozen = FrozenEstimator(classifier().fit(X, LABELS))
    assert CalibratedClassifierCV(frozen).fit(X, LABELS).score(X, LABELS) > 0


def test_clone():
    for model, y in mixtures():
        fitted = clone(model).fit(X, y)
        copy = clone(fitted)
        assert not hasattr(copy, "experts_")
        assert repr(copy) == repr(model)
        assert copy.experts[0][1] is not fitted.experts[0][1]
        assert_same(outputs(copy.fit(X, y), X, y), outputs(fitted, X, y))


def test_parameters_are_never_written_to():
    experts = [("forest", RandomForestRegressor(3)), ("linear", Ridge())]
    gate = SoftmaxGate()
    model = regressor(experts, gate=gate, gate_features=[0])
    before = repr(model.get_params())
    model.fit(X, Y)
    assert repr(model.get_params()) == before
    assert model.experts is experts
    assert model.gate is gate
    for part in [experts[0][1], experts[1][1], gate]:
        assert not [name for name in vars(part) if name.endswith("_")]


# persistence --------------------------------------------------------------------------------

READ_BACK = """
import pickle, sys, joblib
directory = sys.argv[1]
with open(directory + "/pickled", "rb") as file:
    pickled = pickle.load(file)
X, methods = joblib.load(directory + "/rows")
said = [
    [getattr(model, method)(X) for model in models]
    for models in (pickled, joblib.load(directory + "/models"), joblib.load(directory + "/packed"))
    for method in methods
]
joblib.dump(said, directory + "/said")
"""


def test_a_fresh_process_predicts_the_same_to_the_last_bit(tmp_path):
    models = [clone(model).fit(X, y) for model, y in mixtures()]
    models.append(classifier(gate=LogisticRegression(), top_k=1).fit(X, LABELS))
    methods = ["predict", "gate_proba", "predict_experts", "apply"]
    (tmp_path / "pickled").write_bytes(pickle.dumps(models))
    joblib.dump(models, tmp_path / "models")
    joblib.dump(models, tmp_path / "packed", compress=3)
    joblib.dump((X, methods), tmp_path / "rows")
    subprocess.run([sys.executable, "-c", READ_BACK, str(tmp_path)], check=True)
    expected = [[getattr(model, method)(X) for model in models] for method in methods]
    for said, true in zip(joblib.load(tmp_path / "said"), expected * 3, strict=True):
        for mine, others in zip(said, true, strict=True):
            np.testing.assert_array_equal(mine, others)


def test_memory_mapped_data_and_models(tmp_path):
    joblib.dump((X, Y, WEIGHT), tmp_path / "data")
    read_only = joblib.load(tmp_path / "data", mmap_mode="r")
    model = regressor().fit(*read_only)
    joblib.dump(model, tmp_path / "model")
    mapped = joblib.load(tmp_path / "model", mmap_mode="r")
    assert_same(outputs(mapped, X, Y), outputs(regressor().fit(X, Y, WEIGHT), X, Y))


# determinism --------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bits():
    for model, y in mixtures():
        assert_same(outputs(clone(model).fit(X, y), X, y), outputs(clone(model).fit(X, y), X, y))
        state = np.random.RandomState(3)
        first = clone(model).set_params(random_state=state).fit(X, y)
        second = clone(model).set_params(random_state=np.random.RandomState(3)).fit(X, y)
        assert_same(outputs(first, X, y), outputs(second, X, y))
        other = clone(model).set_params(random_state=4).fit(X, y)
        assert (other.gate_proba(X) != first.gate_proba(X)).any()


def test_global_random_state_is_left_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    regressor(KNeighborsRegressor()).fit(X, Y)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_clones_of_one_estimator_differ():
    model = regressor(RandomForestRegressor(3, random_state=0), overlap=1.0).fit(X, Y)
    first, second = model.experts_
    assert first.random_state != second.random_state
    listed = [("a", RandomForestRegressor(3, random_state=0)), ("b", Ridge())]
    assert regressor(listed).fit(X, Y).experts_[0].random_state == 0


def test_number_of_jobs_changes_nothing():
    frozen = FrozenEstimator(Ridge().fit(X, Y))
    experts = [
        ("forest", RandomForestRegressor(3)),
        ("neighbours", KNeighborsRegressor(3)),
        ("frozen", frozen),
    ]
    for parameters in [{}, {"e_step": "oob"}]:
        one = regressor(experts, **parameters).fit(X, Y, WEIGHT)
        two = regressor(experts, n_jobs=2, **parameters).fit(X, Y, WEIGHT)
        assert_same(outputs(one, X, Y), outputs(two, X, Y))
        assert two.experts_[2] is frozen
        for name in ["log_likelihood", "expert_mass", "starved"]:
            np.testing.assert_array_equal(one.history_[name], two.history_[name])
    one, two = (classifier(n_jobs=n_jobs).fit(X, LABELS) for n_jobs in [None, 2])
    assert_same(outputs(one, X, LABELS), outputs(two, X, LABELS))
