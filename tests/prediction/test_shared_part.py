"""Who speaks: where a shared expert has the say, everything that tells of the gate says so."""

import io
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import small_mixtures as small
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.utils import estimator_html_repr

import skmoe
from skmoe.__main__ import main
from skmoe.fitted import Utilization
from skmoe.inspection import (
    GateRegionsDisplay,
    RoutingHeatmapDisplay,
    UtilizationDisplay,
    expert_report,
    explain_routing,
    routing_drift,
    segment_profile,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X = small.X
NOISE = np.random.RandomState(1).normal(size=len(X))
COINS = np.where(NOISE > 0, "heads", "tails")


@pytest.fixture(scope="module", params=["consensus", "generalist", "classifier"])
def mixture(request):
    """A mixture in which the shared expert speaks, and its target."""
    if request.param == "consensus":
        both_err = [("line", Ridge()), ("flat", Ridge(1e6))]
        y = X[:, 0] ** 2
        return small.regressor(both_err, shared_expert="consensus").fit(X, y), y
    if request.param == "generalist":
        return small.regressor(Ridge(), shared_expert="generalist").fit(X, NOISE), NOISE
    model = small.classifier(LogisticRegression(), shared_expert="generalist")
    return model.fit(X, COINS), COINS


def test_masses_sum_to_1_with_the_shared_part(mixture):
    model, _ = mixture
    weight = model.shared_weight_
    assert weight > 0
    for used in (model.utilization_, model.utilization(X)):
        assert used.shared_weight == weight
        np.testing.assert_allclose(used.mass.sum() + used.shared_weight, 1)
        np.testing.assert_allclose(used.gate_mass, model.gate_proba(X).mean(axis=0))
        np.testing.assert_allclose(used.mass, (1 - weight) * used.gate_mass)
        np.testing.assert_allclose(used.mean_weight, used.mass)  # all are asked about all rows
        assert f"(shared part) {len(X):11d}         0" in repr(used)
        frame = used.to_frame()
        assert list(frame.index) == [*model.named_experts_, "(shared part)"]
        np.testing.assert_allclose(frame["mass"].sum(), 1)
        assert 1 <= used.balance_loss <= 2  # of the gate, whatever it has to say


def test_a_route_knows_what_is_left_of_it(mixture):
    model, _ = mixture
    route = model.route(X)
    assert route.shared_weight == model.shared_weight_
    assert f"{route.shared_weight:.0%} of each prediction is the shared" in repr(route)
    np.testing.assert_allclose(route.weights.sum(axis=1), 1)


def test_a_consensus_is_not_heard_with_few_experts(mixture):
    model, _ = mixture
    few = pickle.loads(pickle.dumps(model)).set_params(top_k=1)
    consensus = type(model.shared_expert_).__name__ == "Consensus"
    heard = 0.0 if consensus else model.shared_weight_
    assert few.utilization(X).shared_weight == few.route(X).shared_weight == heard
    np.testing.assert_allclose(few.utilization(X).mass.sum(), 1 - heard)
    assert ("(shared part)" in repr(few.utilization(X))) == (heard > 0)


def test_without_a_shared_expert_nothing_is_said_of_one():
    model = small.regressor(Ridge()).fit(X, small.Y)
    assert model.utilization_.shared_weight == 0.0
    np.testing.assert_array_equal(model.utilization_.mass, model.utilization_.gate_mass)
    assert "shared" not in repr(model.utilization_) and "is the shared" not in repr(model.route(X))
    assert list(expert_report(model, X, small.Y).index) == list(model.named_experts_)
    assert "(shared part)" not in repr(manifest_of(model))


def test_reports_have_a_line_for_the_shared_part(mixture):
    model, y = mixture
    report = expert_report(model, X, y)
    assert list(report.index) == [*model.named_experts_, "(shared part)"]
    np.testing.assert_allclose(report["mass"].sum(), 1)
    assert report["rows"].sum() == len(X)
    said = report.loc["(shared part)"]
    assert said["mass"] == model.shared_weight_
    if not hasattr(model, "classes_"):
        np.testing.assert_allclose(
            said["error_mixture"], np.sqrt(np.mean((model.predict(X) - y) ** 2))
        )


def test_bars_have_one_for_the_shared_part(mixture):
    model, _ = mixture
    display = UtilizationDisplay.from_estimator(model, X[:30])
    for bars in display.bars_:
        widths = [bar.get_width() for bar in bars]
        assert len(widths) == 3 and widths[-1] == model.shared_weight_
        np.testing.assert_allclose(sum(widths), 1)
    assert display.ax_.get_yticklabels()[-1].get_text() == "(shared part)"
    line = display.balanced_.get_xdata()[0]
    np.testing.assert_allclose(line, (1 - model.shared_weight_) / 2)
    by_rows = UtilizationDisplay.from_estimator(model, quantity="top")
    assert len(by_rows.bars_[0]) == 2


def test_the_diagram_leaves_room_for_it(mixture):
    model, _ = mixture
    drawn = estimator_html_repr(model)
    for mass in model.utilization_.mass:
        assert f"{mass:.0%} of the weight" in drawn
    assert f"shared expert: {model.shared_weight_:.0%} of the prediction" in drawn


def test_the_diagram_has_no_part_for_a_consensus_that_is_not_heard():
    both_err = [("line", Ridge()), ("flat", Ridge(1e6))]
    model = small.regressor(both_err, shared_expert="consensus", top_k=1)
    model.fit(X, X[:, 0] ** 2)
    assert model.shared_weight_ > 0
    assert "shared expert: 0% of the prediction" in estimator_html_repr(model)
    np.testing.assert_allclose(model.utilization_.mass.sum(), 1)


def manifest_of(model):
    file = io.BytesIO()
    skmoe.dump(model, file)
    file.seek(0)
    return skmoe.read_manifest(file)


def test_bundles_say_so(mixture, tmp_path, capsys):
    model, _ = mixture
    manifest = manifest_of(model)
    assert manifest.training["shared_weight"] == model.shared_weight_
    assert manifest.training["utilization"]["shared_weight"] == model.shared_weight_
    line = f"(shared part) {model.shared_weight_:.0%}"
    assert line in repr(manifest)
    skmoe.dump(model, tmp_path / "model.skmoe")
    assert main(["inspect", str(tmp_path / "model.skmoe")]) == 0
    assert line in capsys.readouterr().out
    again = skmoe.load(tmp_path / "model.skmoe", trusted=True)
    assert repr(again.utilization_) == repr(model.utilization_)


EXPLANATIONS = [
    explain_routing,
    segment_profile,
    lambda model, X: RoutingHeatmapDisplay.from_estimator(model, X),
    lambda model, X: GateRegionsDisplay.from_estimator(model, X, (0, 1), resolution=5),
]


def with_say(model, weight):
    """The same mixture with another weight of the shared expert."""
    changed = pickle.loads(pickle.dumps(model))
    object.__setattr__(changed._shared, "weight", weight)
    changed.shared_weight_ = weight
    return changed


@pytest.mark.parametrize("explain", EXPLANATIONS)
def test_explanations_of_a_gate_without_a_say_warn(mixture, explain):
    with pytest.warns(UserWarning, match="a gate that has 5% of the say"):
        explain(with_say(mixture[0], 0.95), X)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        explain(with_say(mixture[0], 0.9), X)  # a tenth is enough


def test_an_explanation_says_what_it_is_about(mixture):
    model = with_say(mixture[0], 0.5)
    explanation = explain_routing(model, pd.DataFrame(X))
    assert (explanation["routing", "shared_weight"] == 0.5).all()


def test_drift_is_that_of_the_gate(mixture):
    drift = routing_drift(mixture[0], None, X)
    np.testing.assert_allclose(drift.mass_reference.sum(), 1)
    np.testing.assert_allclose(drift.mass_reference, drift.mass_new)


def test_what_was_stored_before_is_read(mixture):
    """When a utilization knew of no shared part, its masses were those of the gate."""
    model, _ = mixture
    used = model.utilization_
    fields = ("names", "rows_asked", "rows_led")
    state = {name: getattr(used, name) for name in fields}
    state |= {"mass": used.gate_mass, "mean_weight": used.gate_mass}
    old = Utilization.__new__(Utilization)
    old.__setstate__(state)
    np.testing.assert_array_equal(old.mass, old.gate_mass)
    assert old.shared_weight == 0.0
    stored = {**vars(model), "utilization_": old}
    del stored["surgery_"]
    again = type(model).__new__(type(model))
    again.__setstate__(stored)
    assert again.utilization_.shared_weight == model.shared_weight_
    np.testing.assert_allclose(again.utilization_.mass, used.mass)
    np.testing.assert_allclose(again.utilization_.mean_weight, used.mean_weight)
