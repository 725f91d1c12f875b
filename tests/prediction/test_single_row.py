"""One row that one expert answers: nothing is checked twice, and nothing else changes."""

import numpy as np
import pytest
from sklearn import config_context, get_config
from sklearn.linear_model import LogisticRegression, Ridge

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.gates import SoftmaxGate

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(150, 3))
Y = np.where(X[:, 0] > 0, 3 * X[:, 1], -X[:, 2]) + 0.1 * RNG.normal(size=len(X))
SETTINGS = {"n_experts": 3, "top_k": 1, "max_iter": 2, "overlap": 0.1, "random_state": 0}


class SeesTheSwitch(LogisticRegression):
    """Notes whether scikit-learn's checks are on while it is asked."""

    seen: list = []  # noqa: RUF012 - clones are to share it

    def predict_proba(self, X):
        self.seen.append((type(X), X.flags.writeable, get_config()["assume_finite"]))
        return super().predict_proba(X)


class ReversedGate(SoftmaxGate):
    """Chooses the least probable expert."""

    def predict(self, X):
        return self.predict_proba(X).argmin(axis=1)


def classifier(expert=None, X=X, **parameters):
    model = MixtureOfExpertsClassifier(expert, **(SETTINGS | parameters))
    return model.fit(X, np.digitize(Y, [-1, 1]))


def regressor(expert=None, X=X, **parameters):
    return MixtureOfExpertsRegressor(expert, **(SETTINGS | parameters)).fit(X, Y)


def with_missing(X):
    return np.where(RNG.uniform(size=X.shape) < 0.1, np.nan, X)


@pytest.mark.parametrize("terms", ["linear", "products", "splines"])
@pytest.mark.parametrize("temperature", [1.0, 0.5])
@pytest.mark.parametrize("gate_features", [None, [2, 0]])
def test_the_answer_is_that_of_the_expert_that_the_gate_predicts(
    terms, temperature, gate_features
):
    gate = SoftmaxGate(terms=terms, temperature=temperature)
    model = classifier(gate=gate, gate_features=gate_features)
    seen = X if gate_features is None else X[:, gate_features]
    for row, own in zip(X[:40], seen[:40], strict=True):
        k = int(model.gate_.predict(own[np.newaxis])[0])
        floor = model._dispersion[k]
        told = model.experts_[k].predict_proba(row[np.newaxis])
        expected = (1.0 - floor) * told + floor / 3
        np.testing.assert_array_equal(model.predict_proba(row[np.newaxis]), expected)


@pytest.mark.parametrize("expert", [Ridge(), None])
def test_numbers_are_those_of_the_expert(expert):
    model = regressor(expert)
    for row in X[:40, np.newaxis]:
        k = model.apply(row)[0]
        np.testing.assert_array_equal(model.predict(row), model.experts_[k].predict(row))


def test_a_gate_that_has_learned_of_missing_values_gets_its_indicators():
    from sklearn.ensemble import HistGradientBoostingClassifier

    incomplete = with_missing(X)
    model = classifier(HistGradientBoostingClassifier(max_iter=3), X=incomplete)
    assert len(model.gate_.missing_features_)
    for rows in (X, incomplete):
        alone = np.concatenate([model.predict_proba(row) for row in rows[:40, np.newaxis]])
        np.testing.assert_allclose(alone, model.predict_proba(rows)[:40], rtol=1e-12)


def test_a_subclass_of_a_gate_predicts_in_its_own_way():
    model = classifier(gate=ReversedGate())
    row = X[:1]
    k = model.gate_.predict_proba(row).argmin()
    told = model.experts_[k].predict_proba(row)
    floor = model._dispersion[k]
    np.testing.assert_array_equal(model.predict_proba(row), (1.0 - floor) * told + floor / 3)


def test_only_linear_models_of_scikit_learn_are_told_that_rows_are_finite(monkeypatch):
    SeesTheSwitch.seen.clear()
    model = classifier(SeesTheSwitch())
    SeesTheSwitch.seen.clear()
    model.predict_proba(X[:1])
    assert SeesTheSwitch.seen == [(np.ndarray, False, False)]
    model = classifier(LogisticRegression())
    told = []
    monkeypatch.setattr(
        LogisticRegression,
        "predict_proba",
        lambda self, X: told.append(get_config()["assume_finite"]) or np.full((len(X), 3), 1 / 3),
    )
    model.predict_proba(X[:1])
    model.predict_proba(X[:2])
    assert told[0] and not any(told[1:])


def test_the_switch_is_left_as_it_was(monkeypatch):
    model = classifier()
    model.predict_proba(X[:1])
    assert not get_config()["assume_finite"]
    with config_context(assume_finite=True):
        model.predict_proba(X[:1])
        assert get_config()["assume_finite"]

    def fail(self, X):
        raise RuntimeError("out of order")

    monkeypatch.setattr(LogisticRegression, "predict_proba", fail)
    with pytest.raises(RuntimeError, match="out of order"):
        model.predict_proba(X[:1])
    assert not get_config()["assume_finite"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite_is_refused_as_in_a_batch(value):
    model = classifier()
    row = X[:1].copy()
    row[0, 1] = value
    said = []
    for rows in (row, np.vstack([row, X[1:2]])):
        with pytest.raises(ValueError, match="infinity|NaN") as caught:
            model.predict(rows)
        said.append(str(caught.value))
    if np.isinf(value):  # NaN is for the expert, or a batch's first expert, to refuse
        assert said[0] == said[1]


def test_other_forms_of_a_row_are_checked():
    model = classifier()
    with pytest.raises(ValueError, match="2 features.*3 features"):
        model.predict(X[:1, :2])
    with pytest.raises(ValueError, match="1D array"):
        model.predict(X[0])
    expected = model.predict_proba(X[:1])
    np.testing.assert_array_equal(model.predict_proba(X[:1].tolist()), expected)
    np.testing.assert_array_equal(model.predict_proba(np.asfortranarray(X)[:1]), expected)
