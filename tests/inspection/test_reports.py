"""Reports: explanations of the gate, what experts do, and drift."""

import sys
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import small_mixtures as small
from scipy.stats import kstest, norm
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe import GaussianGate, HierarchicalGate, MixtureOfExpertsRegressor, SoftmaxGate
from skmoe.datasets import make_piecewise_regression
from skmoe.inspection import expert_report, explain_routing, routing_drift, segment_profile

DATA = make_piecewise_regression(1500, n_features=4, n_regimes=4, overlap=0.3, random_state=0)
X, Y = DATA.X[:500] * [1.0, 10.0, 0.1, 1.0] + [0.0, 5.0, 0.0, -1.0], DATA.y[:500]
NEW, NEW_Y = DATA.X[500:] * [1.0, 10.0, 0.1, 1.0] + [0.0, 5.0, 0.0, -1.0], DATA.y[500:]
NAMES = ["age", "income", "ratio", "size"]


def fit(model, *data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(*data)


def mixture(gate=None, **parameters):
    quick = {
        "n_experts": 4,
        "overlap": 0.0,
        "cv": 2,
        "max_iter": 4,
        "tol": 0.01,
        "random_state": 0,
    }
    return MixtureOfExpertsRegressor(Ridge(), gate=gate, **(quick | parameters))


@pytest.fixture(scope="module")
def softmax():
    return fit(
        mixture(SoftmaxGate(temperature=0.5), shared_expert=None),
        pd.DataFrame(X, columns=NAMES),
        Y,
    )


@pytest.fixture(scope="module")
def gaussian():
    return fit(mixture(GaussianGate(temperature=2.0)), pd.DataFrame(X, columns=NAMES), Y)


def frame(values, **options):
    return pd.DataFrame(values, columns=NAMES, **options)


class FilledRidge(Ridge):
    def fit(self, X, y, sample_weight=None):
        return super().fit(np.nan_to_num(X), y, sample_weight)

    def predict(self, X):
        return super().predict(np.nan_to_num(X))


# Explanations


@pytest.mark.parametrize("gate", ["softmax", "gaussian"])
def test_contributions_add_up_to_the_log_odds(gate, request):
    model = request.getfixturevalue(gate)
    rows = frame(NEW, index=np.arange(len(NEW)) + 3)
    explanation = explain_routing(model, rows)
    np.testing.assert_array_equal(explanation.index, rows.index)
    assert list(explanation["contribution"].columns) == NAMES
    log_proba = np.sort(model.gate_.predict_log_proba(rows), axis=1)
    log_odds = log_proba[:, -1] - log_proba[:, -2]
    routing = explanation["routing"]
    np.testing.assert_allclose(routing["log_odds"], log_odds, atol=1e-9)
    total = explanation["contribution"].sum(axis=1) + routing["baseline"]
    np.testing.assert_allclose(total, log_odds, atol=1e-9)
    names = np.array(list(model.named_experts_))
    np.testing.assert_array_equal(routing["expert"], names[model.apply(rows)])
    at_means = explain_routing(model, frame(model.gate_.feature_means_[None]), X_reference=rows)
    np.testing.assert_allclose(at_means["contribution"], 0, atol=1e-12)


@pytest.mark.parametrize("gate", ["softmax", "gaussian"])
def test_the_border_is_a_border_and_none_is_nearer(gate, request):
    model = request.getfixturevalue(gate)
    rows = frame(NEW[:60])
    explanation = explain_routing(model, rows, X_reference=frame(X))
    change = explanation["change"].to_numpy()
    names = list(model.named_experts_)
    border = [names.index(name) for name in explanation["border"]["expert"]]
    there = model.gate_.predict_log_proba(rows + change)
    chosen = model.apply(rows)
    each = np.arange(60)
    np.testing.assert_allclose(there[each, chosen], there[each, border], atol=1e-8)
    assert explanation["border"]["reached"].all()
    spread = X.std(axis=0)
    distance = explanation["border"]["distance"].to_numpy()
    np.testing.assert_allclose(np.linalg.norm(change / spread, axis=1), distance)
    beyond = model.apply(rows + 1.001 * change)
    np.testing.assert_array_equal(beyond, border)
    rng = np.random.default_rng(0)
    for _ in range(50):
        direction = rng.normal(size=change.shape)
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        near = rows + 0.999 * distance[:, None] * direction * spread
        np.testing.assert_array_equal(model.apply(near), chosen)


def test_the_border_to_a_given_expert(softmax):
    rows, names = frame(NEW[:100]), list(softmax.named_experts_)
    nearest = explain_routing(softmax, rows)
    for index, name in enumerate(names):
        explanation = explain_routing(softmax, rows, to=name)
        pd.testing.assert_frame_equal(explanation, explain_routing(softmax, rows, to=index))
        border = explanation["border"]
        own = (softmax.apply(rows) == index) & True
        assert (border["distance"][own] == 0).all() and border["reached"][own].all()
        assert not explanation["change"][own].to_numpy().any()
        least = nearest["border"]["distance"]
        assert (border["distance"][~own] >= least[~own] - 1e-12).all()
        there = softmax.apply(rows + 1.0001 * explanation["change"])
        np.testing.assert_array_equal(there[border["reached"]], index)
    with pytest.raises(ValueError, match="expert_9"):
        explain_routing(softmax, rows, to="expert_9")
    with pytest.raises(ValueError, match="between 0 and 3"):
        explain_routing(softmax, rows, to=4)


def test_units_do_not_matter():
    model = mixture().set_params(experts=LinearRegression())
    first = explain_routing(fit(model, X, Y), NEW)
    scale = np.array([10.0, 1.0, 0.1, -1.0])
    second = explain_routing(fit(model, X * scale, Y), NEW * scale)
    assert list(first["contribution"].columns) == ["x0", "x1", "x2", "x3"]
    np.testing.assert_allclose(first["contribution"], second["contribution"], rtol=1e-3, atol=1e-3)
    distances = [explanation["border"]["distance"] for explanation in (first, second)]
    np.testing.assert_allclose(*distances, rtol=1e-3, atol=1e-4)


def test_missing_values():
    holes = np.where(np.random.default_rng(1).uniform(size=X.shape) < 0.1, np.nan, X)
    filled = np.nan_to_num(holes)

    model = fit(mixture().set_params(experts=FilledRidge()), holes, Y)
    explanation = explain_routing(model, holes)
    log_proba = np.sort(model.gate_.predict_log_proba(holes), axis=1)
    total = explanation["contribution"].sum(axis=1) + explanation["routing"]["baseline"]
    np.testing.assert_allclose(total, log_proba[:, -1] - log_proba[:, -2], atol=1e-8)
    assert not explanation["change"].to_numpy()[np.isnan(holes)].any()
    gaussian = fit(mixture(GaussianGate()), filled, Y)
    with pytest.raises(ValueError, match="missing values"):
        explain_routing(gaussian, holes)


def test_what_cannot_be_explained(softmax):
    with pytest.raises(TypeError, match="linear log-odds"):
        explain_routing(fit(mixture(HierarchicalGate()), X, Y), X)
    with pytest.raises(TypeError, match="linear log-odds"):
        explain_routing(fit(mixture(GaussianGate("diag")), X, Y), X)
    with pytest.raises(ValueError, match="single expert"):
        explain_routing(fit(mixture(n_experts=1), X, Y), X)
    with pytest.raises(ValueError, match="X_reference"):
        explain_routing(softmax, frame(X[:1]))
    explain_routing(softmax, frame(X[:1]), X_reference=frame(X))


def test_gate_features_and_held_features():
    model = fit(mixture(gate_features=["size", "age"]), frame(X), Y)
    explanation = explain_routing(model, frame(NEW))
    assert list(explanation["contribution"].columns) == ["size", "age"]
    held = frame(X).assign(age=1.0)
    explanation = explain_routing(model, frame(NEW), X_reference=held)
    np.testing.assert_array_equal(explanation["change"]["age"], 0)
    np.testing.assert_allclose(
        np.abs(explanation["change"]["size"]) / X[:, 3].std(), explanation["border"]["distance"]
    )


# Experts


def test_report_of_regression(softmax):
    report = expert_report(softmax, frame(NEW), NEW_Y)
    top, outputs = softmax.apply(frame(NEW)), softmax.predict_experts(frame(NEW))
    assert list(report.index) == list(softmax.named_experts_)
    assert report["rows"].sum() == len(NEW) and report["mass"].sum() == pytest.approx(1)
    for k, (_, row) in enumerate(report.iterrows()):
        own, residual = top == k, NEW_Y - outputs[:, k]
        assert row["rows"] == own.sum()
        assert row["error"] == pytest.approx(np.sqrt(np.mean(residual[own] ** 2)))
        assert row["error_elsewhere"] == pytest.approx(np.sqrt(np.mean(residual[~own] ** 2)))
        mixed = NEW_Y - softmax.predict(frame(NEW))
        assert row["error_mixture"] == pytest.approx(np.sqrt(np.mean(mixed[own] ** 2)))
        typical = np.sort(np.abs(residual[own]))[(own.sum() - 1) // 2]
        assert row["calibration"] == pytest.approx(typical / softmax.scale_[k] / norm.ppf(0.75))
    profile = segment_profile(softmax, frame(NEW))
    first = report["segment"].iloc[0].split(", ")
    largest = profile.iloc[0].abs().idxmax()
    assert first[0] == f"{largest} {profile.iloc[0][largest]:+.1f}" and len(first) == 3


def test_a_printed_report_shows_all_of_its_columns(softmax):
    report = expert_report(softmax, frame(NEW), NEW_Y)
    for printed in (str(report), str(report.round(1)), str(report[["rows", "error", "segment"]])):
        assert "error" in printed and report["segment"].iloc[0] in printed
        assert "..." not in printed


def test_report_of_classification():
    experts = [("logistic", LogisticRegression()), ("other", LogisticRegression(C=0.01))]
    model = fit(small.classifier(experts), small.X, small.LABELS)
    report = expert_report(model, small.X, small.LABELS)
    top = model.apply(small.X)
    for k, name in enumerate(["logistic", "other"]):
        own = top == k
        floor = model.floor_[k]
        proba = (1 - floor) * model.predict_experts(small.X)[:, k] + floor / 3
        loss = log_loss(small.LABELS[own], proba[own], labels=model.classes_)
        assert report.loc[name, "error"] == pytest.approx(loss)
        right = model.classes_[proba.argmax(axis=1)] == small.LABELS
        sure = proba.max(axis=1)[own].mean() - right[own].mean()
        assert report.loc[name, "calibration"] == pytest.approx(sure)
    with pytest.raises(ValueError, match="not seen"):
        expert_report(model, small.X, np.full(len(small.X), "unheard"))


@pytest.mark.parametrize("likelihood", ["gaussian", "laplace"])
def test_calibration_of_calibrated_experts(likelihood):
    """A few rows that the gate sends to the wrong expert have errors of many scales."""
    rng = np.random.RandomState(0)
    features = rng.normal(size=(1500, 2))
    noise = {"gaussian": rng.normal, "laplace": rng.laplace}[likelihood](size=1500)
    target = np.where(features[:, 0] > 0, 20.0, -20.0) * features[:, 1] + noise
    model = small.regressor(LinearRegression(), overlap=0.0, likelihood=likelihood, max_iter=10)
    model.fit(features[:1000], target[:1000])
    report = expert_report(model, features[1000:], target[1000:])
    np.testing.assert_allclose(report["calibration"], 1.0, atol=0.15)
    assert (report["error"] > 1.3 * model.scale_).any()  # so that a mean would say otherwise


def test_calibration_counts_weighted_rows():
    model = fit(mixture(likelihood="laplace"), X, Y)
    weight = np.tile([1.0, 2.0, 0.0], len(NEW))[: len(NEW)]
    repeated = np.repeat(np.arange(len(NEW)), weight.astype(int))
    once = expert_report(model, NEW[repeated], NEW_Y[repeated])["calibration"]
    weighted = expert_report(model, NEW, NEW_Y, sample_weight=weight)["calibration"]
    np.testing.assert_allclose(weighted, once)


def test_report_of_several_outputs_and_experts_without_rows(softmax):
    model = fit(mixture(), X, np.column_stack([Y, 3 * Y]))
    assert np.isfinite(
        expert_report(model, NEW, np.column_stack([NEW_Y, 3 * NEW_Y]))["error"]
    ).all()
    alone = frame(NEW)[softmax.apply(frame(NEW)) == 2]
    report = expert_report(softmax, alone, NEW_Y[softmax.apply(frame(NEW)) == 2])
    assert report["rows"].tolist() == [0, 0, len(alone), 0]
    assert report["error"].isna().tolist() == [True, True, False, True]
    assert (report["segment"] == "").all()


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_profile_of_columns_that_are_not_numbers(make):
    town = np.where(X[:, 0] > 0, "York", "Bath")
    table = make({"age": X[:, 0], "town": town, "row": [str(row) for row in range(len(X))]})

    class OnAge(Ridge):
        def fit(self, X, y, sample_weight=None):
            return super().fit(np.asarray(X["age"])[:, None], y, sample_weight)

        def predict(self, X):
            return super().predict(np.asarray(X["age"])[:, None])

    model = mixture(gate_features=["age"], n_experts=2).set_params(experts=OnAge())
    profile = segment_profile(fit(model, table, Y), table)
    assert list(profile.columns) == ["age", "town=Bath", "town=York"]  # "row" has 500 values
    np.testing.assert_allclose(profile["town=Bath"], -profile["town=York"])
    own = model.apply(table) == 0
    share = (town[own] == "York").mean() - (town[~own] == "York").mean()
    expected = share / (town == "York").std()
    assert profile["town=York"].iloc[0] == pytest.approx(expected)


# Drift


def test_no_drift_gives_uniform_p_values(softmax):
    rng = np.random.default_rng(0)
    values = []
    for _ in range(300):
        order = rng.permutation(len(NEW))
        old, new = frame(NEW[order[:400]]), frame(NEW[order[400:]])
        values.append(routing_drift(softmax, old, new).p_value)
    assert kstest(values, "uniform").pvalue > 1e-3
    assert 0.02 < np.mean(np.array(values) < 0.05) < 0.09


def test_drift_is_found_and_named(softmax):
    moved = NEW[softmax.apply(frame(NEW)) != 1]
    drift = routing_drift(softmax, frame(X), frame(moved))
    assert drift.p_value < 1e-10 and drift.degrees_of_freedom == 3
    assert np.argmin(drift.z) == 1 and drift.z[1] < -8
    table = drift.to_frame()
    np.testing.assert_allclose(table["change"], drift.mass_new - drift.mass_reference)
    assert table["p_value"].idxmin() == "expert_1" and "expert_1" in repr(drift)
    assert drift.novel_share is None and "log_density_change" not in table


def test_two_experts_have_one_degree_of_freedom():
    model = fit(mixture(n_experts=2), X, Y)
    drift = routing_drift(model, X, NEW[:200])
    old, new = model.gate_proba(X)[:, 0], model.gate_proba(NEW[:200])[:, 0]
    z = (new.mean() - old.mean()) / np.sqrt(new.var(ddof=1) / 200 + old.var(ddof=1) / len(X))
    np.testing.assert_allclose(drift.z, [z, -z])
    assert drift.statistic == pytest.approx(z**2) and drift.degrees_of_freedom == 1
    assert drift.p_value == pytest.approx(drift.p_value_of_expert[0])


def test_training_as_reference(softmax):
    drift = routing_drift(softmax, None, frame(NEW[:100]))
    np.testing.assert_array_equal(drift.mass_reference, softmax.utilization_.mass)
    known = softmax.gate_proba(frame(NEW[:100]))
    error = known.std(axis=0, ddof=1) / 10
    np.testing.assert_allclose(drift.z, (known.mean(axis=0) - drift.mass_reference) / error)
    with pytest.raises(ValueError, match="two or more"):
        routing_drift(softmax, None, frame(NEW[:1]))


def test_density_of_the_features(gaussian):
    calm = routing_drift(gaussian, frame(X), frame(NEW))
    assert calm.density_p_value > 1e-3 and abs(calm.log_density_change) < 0.3
    assert 0 < calm.novel_share < 0.04
    wide = gaussian.gate_.feature_means_ + 2 * (NEW - gaussian.gate_.feature_means_)
    drift = routing_drift(gaussian, frame(X), frame(wide))
    assert drift.density_p_value < 1e-6 and drift.log_density_change < -2
    assert (drift.log_density_change_of_expert < -1).all()
    assert "log_density_change" in drift.to_frame() and "novel" in repr(drift)
    alone = routing_drift(gaussian, None, frame(wide))
    assert alone.density_p_value < 1e-6 and alone.novel_share == drift.novel_share
    assert routing_drift(gaussian, None, frame(NEW)).density_p_value > 1e-3


@pytest.mark.parametrize("reference", [None, frame(X)], ids=["training", "given"])
def test_change_of_density_of_each_expert(gaussian, reference):
    gate = gaussian.gate_
    drift = routing_drift(gaussian, reference, frame(NEW))
    old, new = gate.score_samples(frame(X)), gate.score_samples(frame(NEW))
    old_top, new_top = gaussian.apply(frame(X)), gaussian.apply(frame(NEW))
    assert drift.log_density_change == pytest.approx(new.mean() - old.mean())
    for k in range(4):
        known, seen = old[old_top == k], new[new_top == k]
        change = seen.mean() - known.mean()
        assert drift.log_density_change_of_expert[k] == pytest.approx(change)
        variance = seen.var(ddof=1) / len(seen)
        if reference is not None:
            variance += known.var(ddof=1) / len(known)
        assert drift.log_density_z_of_expert[k] == pytest.approx(change / np.sqrt(variance))
    table = drift.to_frame()
    np.testing.assert_array_equal(table["log_density_z"], drift.log_density_z_of_expert)


def test_density_without_drift_gives_standard_normal_z(gaussian):
    rng, values = np.random.default_rng(0), []
    for _ in range(200):
        order = rng.permutation(len(NEW))
        old, new = frame(NEW[order[:500]]), frame(NEW[order[500:]])
        values.append(routing_drift(gaussian, old, new).log_density_z_of_expert)
    values = np.array(values)
    assert (np.abs(values.mean(axis=0)) < 0.3).all()
    assert (0.85 < values.std(axis=0)).all() and (values.std(axis=0) < 1.15).all()


def test_missing_values_are_no_drift_of_the_density():
    rng = np.random.default_rng(1)
    model = fit(mixture(GaussianGate()).set_params(experts=FilledRidge()), X * 1e6, Y)
    holes = np.where(rng.uniform(size=NEW.shape) < 0.2, np.nan, NEW * 1e6)
    assert abs(routing_drift(model, X * 1e6, holes).log_density_change) < 0.5
    assert (
        model.gate_.score_samples(holes).mean() > model.gate_.score_samples(NEW * 1e6).mean() + 5
    )


def test_density_of_a_gate_in_a_pipeline_and_of_experts_without_rows():
    gate = make_pipeline(StandardScaler(), GaussianGate())
    model = fit(mixture(gate, gate_features=["size", "age"]), frame(X), Y)
    alone = fit(mixture(GaussianGate(), gate_features=["size", "age"]), frame(X), Y)
    drift, same = (routing_drift(each, frame(X), frame(NEW)) for each in (model, alone))
    np.testing.assert_allclose(
        drift.log_density_change_of_expert, same.log_density_change_of_expert, atol=1e-6
    )
    few = frame(NEW)[alone.apply(frame(NEW)) == 2]
    drift = routing_drift(alone, frame(X), few)
    empty = np.arange(4) != 2
    np.testing.assert_array_equal(np.isnan(drift.log_density_change_of_expert), empty)
    np.testing.assert_array_equal(np.isnan(drift.log_density_z_of_expert), empty)
    assert "nan" in repr(drift)


def test_without_any_variance_or_mass():
    hard = fit(mixture(n_experts=1), X, Y)
    drift = routing_drift(hard, X, NEW)
    assert drift.p_value == 1.0 and drift.degrees_of_freedom == 0 and drift.z[0] == 0


@pytest.mark.parametrize("report", [expert_report, explain_routing, segment_profile])
def test_without_pandas(report, softmax, monkeypatch):
    rows = frame(X)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"skmoe\[pandas\]"):
        report(softmax, rows, Y) if report is expert_report else report(softmax, rows)
