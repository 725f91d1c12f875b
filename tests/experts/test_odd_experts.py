"""Experts that write into their rows, draw others, or predict what is no prediction.

Each alone would do; a mixture of them has to do, too.
"""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, TransformerMixin
from sklearn.datasets import load_diabetes
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from small_mixtures import LABELS, START, X, Y, classifier, outputs, regressor

from skmoe import SoftmaxGate
from skmoe._data.weights import weight_keyword

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

CODES = np.unique(LABELS, return_inverse=True)[1]

# Experts that transform in place ------------------------------------------------------------


class InPlace(TransformerMixin, BaseEstimator):
    """Doubles the array that it is given, without asking whether it may."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        if hasattr(X, "iloc"):
            for name in X.columns:
                X[name] = 2 * X[name]
        elif hasattr(X, "data") and hasattr(X, "indptr"):
            X.data *= 2
        else:
            X *= 2
        return X


class Copying(InPlace):
    def transform(self, X):
        return super().transform(X.copy())


KINDS = {
    "array": lambda X: X.copy(),
    "Fortran": np.asfortranarray,
    "frame": lambda X: pd.DataFrame(X, columns=list("abc")),
    "sparse": csr_matrix,
}


def assert_close(first, second):
    """Everything that two mixtures say, labels included, but for rounding."""
    for name, values in first.items():
        if np.asarray(values).dtype.kind in "US":
            np.testing.assert_array_equal(values, second[name])
        else:
            np.testing.assert_allclose(values, second[name], 1e-7, 1e-7, err_msg=name)


def said_by(model, kind, y):
    """All that a mixture says of the rows that it was fitted on, which must stay as they are."""
    given = KINDS[kind](X)
    before = given.copy()
    model.fit(given, y)
    said = outputs(model, given, y)
    if hasattr(given, "toarray"):
        given, before = given.toarray(), before.toarray()
    np.testing.assert_array_equal(given, before)
    return said


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("inplace", "copying"),
    [
        (InPlace(), Copying()),
        (MaxAbsScaler(copy=False), MaxAbsScaler()),
        (StandardScaler(with_mean=False, copy=False), StandardScaler(with_mean=False)),
    ],
)
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"e_step": "insample", "overlap": 0.0},
        {"shared_expert": "generalist"},
    ],
    ids=str,
)
def test_experts_that_transform_in_place(kind, inplace, copying, parameters):
    models = [
        regressor(make_pipeline(transformer, Ridge()), **parameters)
        for transformer in (inplace, copying)
    ]
    first, second = [said_by(model, kind, Y) for model in models]
    assert_close(first, second)


def test_classifiers_and_pools_that_transform_in_place():
    said = []
    for transformer in (InPlace(), Copying()):
        members = [
            ("a", make_pipeline(transformer, LogisticRegression())),
            ("b", make_pipeline(transformer, GaussianNB())),
            ("c", GaussianNB()),
        ]
        model = classifier(members, shared_expert="consensus", overlap=1.0)
        said.append(said_by(model, "array", LABELS))
    assert_close(*said)


def test_frozen_experts_that_transform_in_place():
    inner = make_pipeline(InPlace(), Ridge()).fit(X.copy(), Y)
    experts = [("old", FrozenEstimator(inner)), ("new", Ridge())]
    rows = X.copy()
    model = regressor(experts).fit(rows, Y)
    wider = model.add_expert("newer", make_pipeline(InPlace(), Ridge()), rows, Y)
    np.testing.assert_allclose(wider.predict_experts(rows)[:, 0], inner.predict(X.copy()))
    np.testing.assert_array_equal(rows, X)


@pytest.mark.parametrize("kind", ["array", "frame"])
def test_gates_that_transform_in_place(kind):
    gates = [make_pipeline(StandardScaler(copy=copy), SoftmaxGate()) for copy in (False, True)]
    said = [said_by(regressor(Ridge(), gate=gate), kind, Y) for gate in gates]
    assert_close(*said)


def test_arrays_are_not_copied_for_experts_that_leave_them_alone():
    class Looking(Ridge):
        seen = []

        def predict(self, X):
            self.seen.append(np.shares_memory(X, rows))
            return super().predict(X)

    rows = X.copy()
    model = regressor(Looking(), max_iter=1).fit(rows, Y)
    Looking.seen.clear()
    model.predict_experts(rows)
    assert Looking.seen == [True, True]


# Weights ------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [1e-6, 0.1, 10.0, 1e6])
@pytest.mark.parametrize("weight", [np.ones(200), np.tile([1.0, 2.0, 5.0, 1.0], 50)])
def test_the_scale_of_weights_never_matters_to_experts_without(factor, weight):
    rows, target = load_diabetes(return_X_y=True)
    rows, target, new = rows[:200], target[:200], rows[200:]
    said = [
        regressor(KNeighborsRegressor(10), shared_expert="generalist")
        .fit(rows, target, sample_weight=each)
        .predict(new)
        for each in (weight, factor * weight)
    ]
    np.testing.assert_allclose(said[1], said[0], rtol=1e-7)


@pytest.mark.parametrize("weight", [0.1, 10.0])
def test_constant_weights_change_nothing(weight):
    neighbours = [("a", KNeighborsRegressor(5)), ("b", KNeighborsRegressor(3))]
    for model, y in [
        # The learned density counts rows: of it constant weights are so many rows more.
        (regressor(KNeighborsRegressor(5), density="mixture"), Y),
        (regressor(neighbours, density="mixture"), Y),
        (classifier(KNeighborsClassifier(5)), LABELS),
        (classifier(KNeighborsClassifier(5), gate=KNeighborsClassifier(5)), LABELS),
    ]:
        plain = outputs(model.fit(X, y), X, y)
        weighted = outputs(model.fit(X, y, sample_weight=np.full(len(X), weight)), X, y)
        assert_close(weighted, plain)


def test_proportions_of_weights_matter():
    """The predicted mean of nearest neighbours goes to the rows that weigh more."""
    target = np.repeat([0.0, 1.0], 40)
    model = regressor(KNeighborsRegressor(40), init=START, shared_expert=None)
    same = np.zeros((80, 3))
    same[:, 0] = np.arange(80) % 2
    means = [
        model.fit(same, target, sample_weight=np.where(target > 0, w, 1.0)).predict(same).mean()
        for w in (1.0, 9.0)
    ]
    assert means[1] > means[0] + 0.2


# Pipelines that draw other rows -------------------------------------------------------------


class Halving(BaseEstimator):
    """Keeps every other row, as a sampler of imbalanced-learn would."""

    def fit_resample(self, X, y):
        return X[::2], y[::2]


class SamplingPipeline(Pipeline):
    """Stands in for the Pipeline of imbalanced-learn: samplers act in fit alone."""

    def _validate_steps(self):
        pass

    def fit(self, X, y, **parameters):
        assert not parameters
        X, y = self.steps[0][1].fit_resample(X, y)
        self.steps[-1][1].fit(X, y)
        return self

    def predict_proba(self, X):
        return self.steps[-1][1].predict_proba(X)

    def predict(self, X):
        return self.steps[-1][1].predict(X)

    @property
    def classes_(self):
        return self.steps[-1][1].classes_

    def __sklearn_is_fitted__(self):
        return True


def test_pipelines_that_draw_rows_take_no_weights():
    pipeline = SamplingPipeline([("halving", Halving()), ("tree", DecisionTreeClassifier())])
    assert weight_keyword(pipeline) is None
    assert weight_keyword(make_pipeline(StandardScaler(), pipeline)) is None
    weight = np.linspace(1, 3, len(X))
    for model in (
        classifier(pipeline),
        classifier([("a", pipeline), ("b", GaussianNB())], shared_expert="consensus"),
    ):
        assert model.fit(X, LABELS, sample_weight=weight).score(X, LABELS) > 0.6


def test_imbalanced_learn():
    sampling = pytest.importorskip("imblearn.under_sampling")
    pipeline = pytest.importorskip("imblearn.pipeline")
    sampler = sampling.RandomUnderSampler(random_state=0)
    expert = pipeline.make_pipeline(sampler, DecisionTreeClassifier(max_depth=2))
    assert weight_keyword(expert) is None
    assert classifier(expert).fit(X, LABELS).score(X, LABELS) > 0.5


# What experts predict -----------------------------------------------------------------------


class Saying(ClassifierMixin, BaseEstimator):
    """Changes the probabilities of a good classifier, from a given fit on."""

    def __init__(self, change=None):
        self.change = change

    def fit(self, X, y, sample_weight=None):
        self.model_ = GaussianNB().fit(X, y, sample_weight)
        self.classes_ = self.model_.classes_
        return self

    def predict_proba(self, X):
        return self.change(self.model_.predict_proba(X))

    def predict(self, X):
        return self.model_.predict(X)


def with_nan(proba):
    proba[0, 0] = np.nan
    return proba


BAD_PROBABILITIES = {
    "sum": (lambda p: 3 * p, "sum to 3 in row"),
    "negative": (lambda p: p + [0.5, 0.5, -1.0], "negative"),
    "NaN": (with_nan, "not finite"),
    "rows": (lambda p: p[:-1], "rows where it was asked about"),
    "columns": (lambda p: p[:, :-1], "for 3 classes"),
    "one column": (lambda p: p[:, :1], "for 3 classes"),
}


@pytest.mark.parametrize("case", BAD_PROBABILITIES)
@pytest.mark.parametrize("e_step", ["crossfit", "insample"])
def test_probabilities_that_are_none_are_named(case, e_step):
    change, words = BAD_PROBABILITIES[case]
    bad = classifier([("good", GaussianNB()), ("bad", Saying(change))], e_step=e_step)
    with pytest.raises(ValueError, match=f"'bad'.* EM iteration 1 .*Saying.*{words}"):
        bad.fit(X, LABELS)


@pytest.mark.parametrize("case", BAD_PROBABILITIES)
@pytest.mark.parametrize("shared_expert", [None, "generalist"])
def test_bad_probabilities_after_fit_are_named(case, shared_expert):
    change, words = BAD_PROBABILITIES[case]
    model = classifier(Saying(lambda p: p), shared_expert=shared_expert).fit(X, LABELS)
    asked = model.experts_[1]
    asked.change = change
    for method in (model.predict_proba, model.predict, model.predict_experts):
        with pytest.raises(ValueError, match=f"'expert_1' .*{words}"):
            method(X)
    with pytest.raises(ValueError, match=f"'expert_1' .*{words}"):
        model.log_density(X, LABELS)


def test_rounding_is_forgiven_and_normalised():
    single = classifier(Saying(lambda p: (p * (1 + 2e-4)).astype(np.float32))).fit(X, LABELS)
    np.testing.assert_allclose(single.predict_experts(X).sum(axis=2), 1.0, atol=1e-12)
    np.testing.assert_allclose(single.predict_proba(X).sum(axis=1), 1.0, atol=1e-12)


class Answering(RegressorMixin, BaseEstimator):
    """Changes the predictions of a good regressor."""

    def __init__(self, change=None):
        self.change = change

    def fit(self, X, y, sample_weight=None):
        self.model_ = LinearRegression().fit(X, y, sample_weight)

    def predict(self, X):
        return self.change(self.model_.predict(X))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda y: y[:-1], "rows where it was asked about"),
        (lambda y: np.concatenate([y, y]), "rows where it was asked about"),
        (lambda y: np.c_[y, y], "shape"),
        (lambda y: y[0], "could not predict"),
        (lambda y: y / 0, "not finite"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
def test_predictions_of_the_wrong_shape_are_named(change, words):
    with pytest.raises((ValueError, TypeError), match=f"'bad'.*iteration 1.*Answering.*{words}"):
        regressor([("good", Ridge()), ("bad", Answering(change))]).fit(X, Y)
    model = regressor(Answering(lambda y: y)).fit(X, Y)  # its fit returns None
    model.experts_[1].change = change
    with pytest.raises((ValueError, TypeError), match=f"'expert_1' .*{words}"):
        model.predict(X)


def test_out_of_memory_stays_what_it_is():
    class Hungry(Ridge):
        def fit(self, X, y, sample_weight=None):
            raise MemoryError("2 TB")

    with pytest.raises(MemoryError, match="'expert_0'.*iteration 1.*2 TB"):
        regressor(Hungry()).fit(X, Y)


class Seeing(Ridge):
    """Notes the type of its target."""

    seen: set = set()

    def fit(self, X, y, sample_weight=None):
        self.seen.add(y.dtype)
        return super().fit(X, y, sample_weight)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_targets_keep_single_precision_for_experts(dtype):
    Seeing.seen.clear()
    model = regressor(Seeing(), shared_expert="generalist").fit(X, Y.astype(dtype))
    assert Seeing.seen == {np.dtype(dtype)}
    assert model.predict(X).dtype == np.float64
    assert model.log_density(X, Y.astype(dtype)).dtype == np.float64
    with_ridge = [regressor(Ridge()).fit(X, y).predict(X) for y in (Y, Y.astype(np.float32))]
    np.testing.assert_allclose(with_ridge[0], with_ridge[1], rtol=1e-4, atol=1e-4)
