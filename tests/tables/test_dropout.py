"""Copies of rows with a kind missing: of the right rows, in the right fold, and of use."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, clone, is_classifier, is_regressor
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge

from skmoe import MixtureOfExpertsRegressor
from skmoe.tables import KindDropout

pd = pytest.importorskip("pandas")

N = 400
RNG = np.random.default_rng(0)
X = pd.DataFrame({"a": RNG.normal(size=N), "b": RNG.normal(size=N), "row": np.arange(N)})
X["b"] = X["a"] + X["b"] / 10
Y = X["a"].to_numpy() + RNG.normal(size=N) / 10
KINDS = {"a": "numeric", "b": "code", "row": "identifier"}


class Recorder(RegressorMixin, BaseEstimator):
    """Remembers the rows that it is fitted on."""

    def fit(self, X, y):
        self.X_, self.y_ = X, np.asarray(y)
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X):
        return np.zeros(len(X))


def rows_seen(rate):
    return KindDropout(Recorder(), KINDS, rate=rate, random_state=0).fit(X, Y).estimator_


def test_copies_are_of_rows_with_one_kind_missing():
    seen = rows_seen(0.5)
    pd.testing.assert_frame_equal(seen.X_.iloc[:N], X, check_dtype=False)
    copies, targets = seen.X_.iloc[N:], seen.y_[N:]
    missing = copies[["a", "b"]].isna()
    assert (missing.sum(axis=1) == 1).all() and 0.35 < missing["a"].mean() < 0.65
    originals = X.iloc[copies["row"].astype(int)].reset_index(drop=True)
    for name in ("a", "b"):
        kept = ~missing[name].to_numpy()
        np.testing.assert_array_equal(copies[name].to_numpy()[kept], originals[name][kept])
    np.testing.assert_array_equal(targets, Y[copies["row"].astype(int)])
    assert copies["row"].is_unique and abs(len(copies) - N / 2) < 4 * np.sqrt(N / 4)


def test_no_copies_without_a_rate_or_with_one_kind():
    assert len(rows_seen(0.0).X_) == N and len(rows_seen(1.0).X_) == 2 * N
    alone = KindDropout(Recorder(), {"a": "numeric"}).fit(X[["a"]], Y)
    assert len(alone.estimator_.X_) == N


@pytest.mark.parametrize("container", ["array", "objects", "polars"])
def test_other_containers(container):
    kinds, rows = KINDS, X
    if container == "polars":
        rows = pytest.importorskip("polars").from_dict({name: X[name].to_numpy() for name in X})
    else:
        kinds = dict(enumerate(KINDS.values()))
        rows = X.to_numpy(dtype=float if container == "array" else object)
    seen = KindDropout(Recorder(), kinds, random_state=0).fit(rows, Y).estimator_.X_
    frame = pd.DataFrame(np.asarray(seen)).astype(float)
    assert type(seen) is type(rows)
    assert (frame.iloc[N:, :2].isna().sum(axis=1) == 1).all() and not frame[2].isna().any()


def test_an_expert_never_sees_a_copy_of_a_row_that_judges_it():
    """And the mixture knows of no other rows than those it was given."""

    class Strict(Recorder):
        def predict(self, X):
            known = set(self.X_["row"].astype(int))
            mixed = [bool(row in known) for row in np.asarray(X["row"]).astype(int)]
            assert all(mixed) or not any(mixed)
            calls.append((len(known), len(X), any(mixed)))
            return np.zeros(len(X))

    calls = []
    expert = KindDropout(Strict(), KINDS, rate=1.0)
    moe = MixtureOfExpertsRegressor(
        [("one", expert), ("two", clone(expert))],
        gate_features=["a"],
        overlap=1.0,
        shared_expert=None,
        e_step="crossfit",
        cv=4,
        random_state=0,
    ).fit(X, Y)
    held_out = [rows for n_known, rows, known in calls if not known]
    assert sum(held_out) == 2 * N  # two experts: each row of each once, and no copy
    assert np.isfinite(moe.log_likelihood_)


def test_what_it_costs_and_what_it_brings():
    """With a copy of each column's twin missing, a model that has only looked at one is lost."""
    model = HistGradientBoostingRegressor(random_state=0)
    plain = model.fit(X, Y)
    trained = KindDropout(clone(model), KINDS, random_state=0).fit(X, Y)
    blind = X.assign(a=np.nan)
    assert trained.score(blind, Y) > 0.9 > plain.score(blind, Y)


def test_it_is_what_it_wraps():
    assert is_regressor(KindDropout(Ridge())) and is_classifier(KindDropout(DummyClassifier()))
    assert not hasattr(KindDropout(Ridge()), "predict_proba")
    labels = np.where(Y > 0, "up", "down")
    model = KindDropout(DummyClassifier(), KINDS).fit(X, labels)
    assert model.classes_.tolist() == ["down", "up"] and model.predict_proba(X).shape == (N, 2)


def test_bad_parameters_are_named():
    with pytest.raises(ValueError, match="'rate' parameter"):
        KindDropout(Ridge(), rate=2).fit(X, Y)
