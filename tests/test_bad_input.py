"""Mistakes: each is named together with its remedy, before any expert is fitted if possible.

A model that was fitted before is as good after a failed fit as it was.
"""

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.cluster import KMeans
from sklearn.ensemble import RandomForestRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import KFold, ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor, SoftmaxGate

N_ROWS, N_FEATURES = 30, 3
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.RandomState(0)
X = RNG.normal(size=(N_ROWS, N_FEATURES))
Y = X[:, 0] + 0.1 * RNG.normal(size=N_ROWS)
LABELS = np.where(X[:, 0] > 0, "yes", "no")
FITTED = []


class CountingRegressor(RegressorMixin, BaseEstimator):
    """Predicts the mean, and notes that it was fitted."""

    def fit(self, X, y, sample_weight=None):
        FITTED.append("regressor")
        self.mean_ = np.average(y, axis=0, weights=sample_weight)
        return self

    def predict(self, X):
        return np.zeros((X.shape[0], *self.mean_.shape)) + self.mean_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        return tags


class CountingClassifier(ClassifierMixin, BaseEstimator):
    """Predicts the frequencies, and notes that it was fitted."""

    def fit(self, X, y, sample_weight=None):
        FITTED.append("classifier")
        self.classes_, codes = np.unique(y, return_inverse=True)
        self.frequencies_ = np.bincount(codes, weights=sample_weight)
        self.frequencies_ /= self.frequencies_.sum()
        return self

    def predict_proba(self, X):
        return np.tile(self.frequencies_, (X.shape[0], 1))

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


class Raising(CountingRegressor):
    """Raises in the fit of the given number, counted over all of its clones in this process."""

    def __init__(self, error, at=1):
        self.error = error
        self.at = at

    def fit(self, X, y, sample_weight=None):
        super().fit(X, y, sample_weight)
        if len(FITTED) >= self.at:
            raise self.error
        return self


class RaisingLater(CountingRegressor):
    """Can be fitted, but not predict."""

    def predict(self, X):
        raise KeyError("no such column")


class PredictsNaN(CountingRegressor):
    def predict(self, X):
        return np.full(X.shape[0], np.nan)


class WithoutPredictProba(ClassifierMixin, BaseEstimator):
    def fit(self, X, y, sample_weight=None):
        return self

    def predict(self, X):
        return X[:, 0]


class NoEstimator:
    """Has a gate's methods, but no parameters: it cannot be cloned."""

    def fit(self, X, R, sample_weight=None):
        return self

    def predict_proba(self, X):
        return X


@pytest.fixture(autouse=True)
def no_fits():
    FITTED.clear()


def regressor(experts=None, **parameters):
    parameters = {"n_experts": 2, "max_iter": 2, "tol": 0.1, "random_state": 0} | parameters
    experts = CountingRegressor() if experts is None else experts
    return MixtureOfExpertsRegressor(experts, **parameters)


def classifier(experts=None, **parameters):
    parameters = {"n_experts": 2, "max_iter": 2, "tol": 0.1, "random_state": 0} | parameters
    experts = CountingClassifier() if experts is None else experts
    return MixtureOfExpertsClassifier(experts, **parameters)


def refuse(model, *words, kind=ValueError, X=X, y=None, **fit_parameters):
    """Assert that fit raises before any expert is fitted, with all of these words."""
    if y is None:
        y = Y if isinstance(model, MixtureOfExpertsRegressor) else LABELS
    with pytest.raises(kind) as caught:
        model.fit(X, y, **fit_parameters)
    assert_says(caught.value, *words)
    assert not FITTED
    assert not [name for name in vars(model) if name.endswith("_")]
    return caught.value


def assert_says(error, *words):
    for word in words:
        assert word in str(error), f"{word!r} is not in: {error}"


def member(name="a"):
    return (name, CountingRegressor())


# experts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("experts", "words"),
    [
        ([member(), member()], ["unique", "'a'"]),
        ([member("a__b")], ["__", "'a__b'"]),
        ([member("overlap")], ["overlap", "conflict"]),
        ([], ["experts", "empty", "at least one"]),
        ([("a", "drop"), ("b", "drop")], ["experts", "'drop'", "at least one"]),
        ([CountingRegressor()], ["experts", "(name, estimator)", "CountingRegressor"]),
        ([("a", CountingRegressor(), 1.0)], ["experts", "(name, estimator)", "1.0"]),
        ([(3, CountingRegressor())], ["experts", "(name, estimator)", "3"]),
        ([("a", CountingClassifier())], ["'a'", "CountingClassifier", "takes regressors"]),
        ([("a", KMeans())], ["'a'", "KMeans", "takes regressors"]),
        ([("a", StandardScaler())], ["'a'", "StandardScaler", "takes regressors"]),
        ([("a", FrozenEstimator(Ridge()))], ["'a'", "not fitted", "before freezing"]),
        (
            [("a", make_pipeline(StandardScaler(), FrozenEstimator(Ridge())))],
            ["'a'", "not fitted", "before freezing"],
        ),
    ],
)
def test_malformed_experts(experts, words):
    refuse(regressor(experts), *words)


@pytest.mark.parametrize("experts", [CountingRegressor, [("a", CountingRegressor)]])
def test_class_instead_of_an_instance(experts):
    refuse(
        regressor(experts),
        "CountingRegressor",
        "instance",
        "did you mean CountingRegressor()?",
        kind=TypeError,
    )


@pytest.mark.parametrize("experts", [[("a", 3)], [("a", "linear")], [("a", None)]])
def test_member_that_is_no_estimator(experts):
    refuse(regressor(experts), "'a'", "instance", repr(experts[0][1]), kind=TypeError)


@pytest.mark.parametrize("experts", [3, "linear", (("a", Ridge()),)])
def test_experts_of_the_wrong_type(experts):
    refuse(regressor(experts), "'experts'", "list", repr(experts))


def test_regressor_in_a_classifier():
    experts = [("good", CountingClassifier()), ("bad", CountingRegressor())]
    refuse(classifier(experts), "'bad'", "CountingRegressor", "takes classifiers")


def test_classifier_without_predict_proba():
    experts = [("good", CountingClassifier()), ("bad", WithoutPredictProba())]
    refuse(classifier(experts), "'bad'", "predict_proba", "CalibratedClassifierCV")


def test_frozen_classifier_with_a_class_that_y_lacks():
    frozen = FrozenEstimator(LogisticRegression().fit(X, np.where(X[:, 0] > 0, "yes", "never")))
    for template in [frozen, make_pipeline(StandardScaler(), frozen)]:
        experts = [("old", template), ("new", CountingClassifier())]
        refuse(classifier(experts), "'old'", "never", "drop the expert")


@pytest.mark.parametrize("n_experts", [0, 1.5, "many"])
def test_n_experts_of_the_wrong_kind(n_experts):
    refuse(regressor(n_experts=n_experts), "'n_experts'", repr(n_experts), "[1, inf)")


def test_more_experts_than_rows():
    refuse(regressor(n_experts=31), "n_experts=31", "n_samples=30", "fewer experts")


def test_more_experts_than_rows_of_positive_weight():
    weight = np.zeros(N_ROWS)
    weight[:5] = 1
    words = "n_experts=6", "n_samples=5", "positive weight"
    refuse(regressor(n_experts=6), *words, sample_weight=weight)


# data ---------------------------------------------------------------------------------------


def replaced(array, value):
    array = array.copy()
    array[3] = value
    return array


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_target_that_is_not_finite(value):
    refuse(regressor(), "y", "NaN" if np.isnan(value) else "infinity", y=replaced(Y, value))
    refuse(classifier(), "y", "NaN" if np.isnan(value) else "infinity", y=replaced(Y, value))


def test_no_target():
    for model in [regressor(), classifier()]:
        with pytest.raises(ValueError, match="requires y to be passed"):
            model.fit(X, None)
    assert not FITTED


def test_continuous_target_of_a_classifier():
    refuse(classifier(), "continuous", "classifier", y=Y)


def test_one_class():
    words = "at least 2 classes", "yes"
    refuse(classifier(), *words, y=np.full(N_ROWS, "yes"))
    refuse(classifier(), *words, sample_weight=(LABELS == "yes").astype(float))


def test_infinity_in_X():
    infinite = replaced(X, np.inf)
    refuse(regressor(), "X", "infinity", X=infinite)
    refuse(regressor(), "X", "infinity", X=pd.DataFrame(infinite, columns=list("abc")))


def test_lengths_that_differ():
    refuse(regressor(), "inconsistent numbers of samples", "[30, 29]", y=Y[:-1])
    refuse(regressor(), "sample_weight", "(29,)", sample_weight=np.ones(29))


def test_text_that_gate_features_choose():
    frame = pd.DataFrame(X, columns=list("abc")).assign(name=[f"n{i}" for i in range(N_ROWS)])
    words = "['name']", "gate_features=", "Pipeline", "SoftmaxGate()"
    refuse(regressor(gate_features=["a", "name"]), *words, X=frame)


def test_nothing_but_text_reaches_the_gate():
    frame = pd.DataFrame({"name": [f"n{i}" for i in range(N_ROWS)]})
    words = "['name']", "gate_features=", "Pipeline", "SoftmaxGate()"
    refuse(regressor(), *words, X=frame)
    refuse(regressor(init="random"), *words, X=frame)


@pytest.mark.parametrize("init", ["random", "kmeans"])
@pytest.mark.parametrize(
    "gate",
    [LogisticRegression(), make_pipeline(StandardScaler(), SoftmaxGate())],
    ids=["classifier", "Pipeline"],
)
def test_a_gate_that_cannot_take_strings(gate, init):
    frame = pd.DataFrame(X, columns=list("abc")).assign(town="A", size="B")
    words = "['town', 'size']", "gate_features=", "Pipeline", "SoftmaxGate()", "could not convert"
    refuse(regressor(gate=gate, init=init), *words, X=frame)


# sample weights -----------------------------------------------------------------------------


def test_weights_that_are_all_zero():
    refuse(regressor(), "weight", sample_weight=np.zeros(N_ROWS))


def test_negative_weights():
    refuse(regressor(), "sample_weight", "egative", sample_weight=-np.ones(N_ROWS))


def test_weights_that_are_not_finite():
    refuse(regressor(), "sample_weight", "NaN", sample_weight=np.full(N_ROWS, np.nan))


# gate ---------------------------------------------------------------------------------------


def test_gate_without_predict_proba():
    refuse(regressor(gate=SVC()), "'gate'", "predict_proba", "SVC")
    refuse(regressor(gate=Ridge()), "'gate'", "predict_proba", "Ridge")


class UnweightedGate(BaseEstimator):
    def fit(self, X, R):
        return self

    def predict_proba(self, X):
        return np.full((len(X), 2), 0.5)


def test_gate_without_sample_weight():
    for gate in [UnweightedGate(), make_pipeline(StandardScaler(), UnweightedGate())]:
        words = "gate", "UnweightedGate", "sample_weight", "SoftmaxGate()"
        refuse(regressor(gate=gate), *words)


def test_gate_class_instead_of_an_instance():
    words = "gate", "instance", "did you mean LogisticRegression()?"
    refuse(regressor(gate=LogisticRegression), *words, kind=TypeError)


def test_gate_that_is_no_estimator():
    refuse(regressor(gate=NoEstimator()), "gate", "instance", "NoEstimator", kind=TypeError)


@pytest.mark.parametrize(
    ("gate_features", "words"),
    [
        ([], ["gate_features=[]", "no column", "None"]),
        (np.zeros(3, dtype=bool), ["gate_features", "no column", "None"]),
        (lambda X: [], ["gate_features=[]", "no column", "None"]),
        ([0, 7], ["gate_features=[0, 7]", "3 columns"]),
        ("a", ["gate_features='a'", "dataframe"]),
        (np.ones(4, dtype=bool), ["gate_features"]),
        (1.5, ["gate_features=1.5"]),
    ],
)
def test_gate_features(gate_features, words):
    refuse(regressor(gate_features=gate_features), *words)


def test_gate_features_with_unknown_names():
    frame = pd.DataFrame(X, columns=list("abc"))
    words = "gate_features=['a', 'z']", "z", "['a', 'b', 'c']"
    refuse(regressor(gate_features=["a", "z"]), *words, X=frame)


# training -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("overlap", 1.5),
        ("overlap", -0.1),
        ("overlap", "all"),
        ("e_step", "honest"),
        ("likelihood", "cauchy"),
        ("init", "nearest"),
        ("n_init", 0),
        ("max_iter", 0),
        ("tol", -1.0),
        ("top_k", 0),
        ("warm_start", "no"),
        ("random_state", "seed"),
        ("cv", "three"),
    ],
)
def test_value_out_of_range(parameter, value):
    refuse(regressor(**{parameter: value}), repr(parameter), repr(value), "must be")


def test_top_k_above_the_experts():
    refuse(regressor(top_k=3), "top_k=3", "n_experts=2", "None")
    listed = [member("a"), member("b"), ("c", "drop")]
    refuse(regressor(listed, top_k=3), "top_k=3", "n_experts=2", "None")


def test_out_of_bag_without_forests():
    for template in [CountingRegressor(), RandomForestRegressor(bootstrap=False)]:
        words = "e_step='oob'", type(template).__name__, "bootstrap=True", "e_step='crossfit'"
        refuse(regressor(template, e_step="oob"), *words)


@pytest.mark.parametrize(
    "cv",
    [
        ShuffleSplit(3, test_size=0.5, random_state=0),
        [(np.arange(20), np.arange(20, 30)), (np.arange(20), np.arange(25, 30))],
    ],
)
def test_cv_that_tests_rows_twice(cv):
    refuse(regressor(cv=cv), "cv=", "more than once", "KFold")


def test_cv_that_tests_no_row():
    refuse(regressor(cv=[(np.arange(30), [])]), "cv=", "tests no row")


def test_a_list_of_splits_is_not_printed():
    cv = [(np.arange(20), np.arange(20, 30))] * 2
    with pytest.raises(
        ValueError, match="cv=list of 2 splits tests some rows more than"
    ) as caught:
        regressor(cv=cv).fit(X, Y)
    assert "array" not in str(caught.value)


def test_cv_that_tests_rows_it_trains_on():
    every = np.arange(30)
    for cv in [[(every, every)], [(every, every[:15]), (every, every[15:])]]:
        refuse(regressor(cv=cv), "cv=", "trains on", "e_step='insample'")


def test_more_folds_than_rows():
    refuse(regressor(cv=31), "cv=31", "30")
    refuse(regressor(cv=KFold(31)), "cv=KFold(n_splits=31", "30")
    labels = np.array(["yes"] * 15 + ["no"] * 15)
    refuse(classifier(cv=16), "cv=16", "each class", y=labels)


@pytest.mark.parametrize("cv", [0, 1, -3])
def test_fewer_than_two_folds(cv):
    refuse(regressor(cv=cv), "'cv'", "[2, inf)", f"Got {cv}")


@pytest.mark.parametrize(
    ("init", "words"),
    [
        (np.ones((30, 3)), ["init", "(30, 2)", "(30, 3)"]),
        (np.ones((29, 2)), ["init", "(30, 2)", "(29, 2)"]),
        (np.ones(30), ["init", "(30, 2)", "(30,)"]),
        (replaced(np.ones((30, 2)), [-1, 2]), ["init", "negative"]),
        (replaced(np.ones((30, 2)), [np.nan, 1]), ["init", "finite"]),
        (replaced(np.ones((30, 2)), [0, 0]), ["init", "row 3", "positive sum"]),
        (lambda X, y, n_experts, random_state: np.ones((3, 2)), ["init", "(30, 2)", "(3, 2)"]),
        ([["a", "b"]] * 30, ["init", "a"]),
    ],
)
def test_starting_responsibilities(init, words):
    refuse(regressor(init=init), *words)


def test_warm_start_with_another_number_of_experts():
    model = regressor(warm_start=True).fit(X, Y)
    FITTED.clear()
    model.set_params(n_experts=3)
    with pytest.raises(ValueError, match="from 2 fitted experts, but there are 3 now.*=False"):
        model.fit(X, Y)
    assert not FITTED


# experts that fail --------------------------------------------------------------------------


@pytest.mark.parametrize("n_jobs", [None, 2])
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("not today"), ValueError),
        (TypeError("not today"), TypeError),
        (ZeroDivisionError("not today"), RuntimeError),
    ],
)
def test_expert_that_raises_in_fit(error, kind, n_jobs):
    experts = [("good", CountingRegressor()), ("bad", Raising(error))]
    with pytest.raises(kind) as caught:
        regressor(experts, n_jobs=n_jobs).fit(X, Y)
    assert_says(caught.value, "'bad'", "expert 2 of 2", "iteration 1", "Raising", "not today")
    assert "not today" in str(caught.value.__cause__)
    assert type(error).__name__ in repr(caught.value.__cause__)


def test_failure_in_the_last_step_is_named():
    three = {"cv": 3, "shared_expert": None}
    model = regressor(Raising(ValueError("not today"), at=7), overlap=1.0, **three)
    with pytest.raises(ValueError, match="'expert_0' .* in the last step .*not today"):
        model.fit(X, Y)


def test_expert_that_raises_in_predict():
    experts = [("good", CountingRegressor()), ("bad", RaisingLater())]
    with pytest.raises(RuntimeError, match="'bad' .*iteration 1.*no such column") as caught:
        regressor(experts).fit(X, Y)
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_expert_that_predicts_nan(n_jobs):
    experts = [("good", CountingRegressor()), ("bad", PredictsNaN())]
    with pytest.raises(ValueError, match="'bad' .*PredictsNaN.*NaN.*scale its features"):
        regressor(experts, n_jobs=n_jobs).fit(X, Y)


def test_missing_values_that_an_expert_does_not_take():
    with pytest.raises(ValueError, match="'expert_0'.*Ridge.*NaN"):
        regressor(Ridge()).fit(replaced(X, np.nan), Y)


# prediction ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted():
    return regressor(DecisionTreeRegressor(max_depth=1)).fit(X, Y)


@pytest.mark.parametrize(
    "method", ["predict", "gate_proba", "apply", "route", "utilization", "predict_experts"]
)
def test_prediction_with_bad_rows(fitted, method):
    with pytest.raises(ValueError, match="2 features.*3 features"):
        getattr(fitted, method)(X[:, :2])
    with pytest.raises(ValueError, match="infinity"):
        getattr(fitted, method)(replaced(X, np.inf))
    with pytest.raises(ValueError, match="1D|1-D|2D"):
        getattr(fitted, method)(X[0])
    with pytest.raises(ValueError, match="not fitted"):
        getattr(clone(fitted), method)(X)


@pytest.mark.parametrize("method", ["responsibilities", "log_density"])
def test_posterior_with_bad_targets(fitted, method):
    with pytest.raises(ValueError, match="NaN"):
        getattr(fitted, method)(X, replaced(Y, np.nan))
    with pytest.raises(ValueError, match="inconsistent numbers of samples|30 rows and y has 29"):
        getattr(fitted, method)(X, Y[:-1])
    with pytest.raises(ValueError, match=re.escape("(30, 2)")):
        getattr(fitted, method)(X, np.c_[Y, Y])
    with pytest.raises(ValueError, match="not fitted"):
        getattr(clone(fitted), method)(X, Y)


def test_utilization_of_no_rows(fitted):
    with pytest.raises(ValueError, match="utilization of no rows"):
        fitted.utilization(X[:0])


def test_posterior_of_an_unknown_class():
    model = classifier(DecisionTreeClassifier(max_depth=1)).fit(X, LABELS)
    with pytest.raises(ValueError, match="not seen.*maybe"):
        model.log_density(X, np.where(X[:, 0] > 0, "yes", "maybe"))


@pytest.mark.parametrize("top_k", [0, 3, -1])
def test_route_to_too_many_experts(fitted, top_k):
    with pytest.raises(ValueError, match=f"top_k={top_k} .* between 1 and n_experts=2"):
        fitted.route(X, top_k=top_k)


# Gates with a `top_k` of their own, and without.
@pytest.mark.parametrize("gate", [None, DecisionTreeClassifier()])
@pytest.mark.parametrize(
    ("top_k", "error"), [(0, ValueError), (3, ValueError), ("all", TypeError), (1.0, TypeError)]
)
def test_top_k_that_was_set_after_the_fit(gate, top_k, error):
    model = regressor(gate=gate).fit(X, Y).set_params(top_k=top_k)
    with pytest.raises(error, match=f"top_k={top_k!r} .*n_experts=2, or None"):
        model.predict(X)


# a failed fit changes nothing ---------------------------------------------------------------


BAD_FITS = {
    "infinite X": lambda model: model.fit(replaced(X[:, :2], np.inf), Y),
    "NaN in y": lambda model: model.fit(X[:, :2], replaced(Y, np.nan)),
    "weights": lambda model: model.fit(X[:, :2], Y, sample_weight=-np.ones(N_ROWS)),
    "overlap": lambda model: model.set_params(overlap=1.5).fit(X[:, :2], Y),
    "experts": lambda model: model.set_params(experts=[]).fit(X[:, :2], Y),
    "expert": lambda model: model.set_params(
        experts=[("good", LinearRegression()), ("bad", Raising(ValueError("not today"), at=4))]
    ).fit(X[:, :2], Y),
    "frame": lambda model: model.fit(pd.DataFrame({"town": ["A", "B"] * 15}), Y),
}


@pytest.mark.parametrize("mistake", BAD_FITS)
def test_failed_fit_leaves_the_fitted_model_as_it_was(mistake):
    frame = pd.DataFrame(X, columns=list("abc"))
    model = regressor(LinearRegression()).fit(frame, Y)
    before = {name: value for name, value in vars(model).items() if name not in model.get_params()}
    expected = model.predict(frame)
    with pytest.raises(ValueError):
        BAD_FITS[mistake](model)
    after = {name: value for name, value in vars(model).items() if name not in model.get_params()}
    assert after.keys() == before.keys()
    assert all(after[name] is before[name] for name in before)
    np.testing.assert_array_equal(model.predict(frame), expected)
