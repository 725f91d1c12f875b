"""Reports and displays take data in every form that the models take, and say what they cannot."""

import numpy as np
import pandas as pd
import pytest
import small_mixtures as small
from matplotlib import pyplot as plt
from scipy import sparse
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from skmoe import SoftmaxGate
from skmoe.inspection import (
    EMPathDisplay,
    GateRegionsDisplay,
    ReliabilityDisplay,
    RoutingHeatmapDisplay,
    UtilizationDisplay,
    expert_report,
    explain_routing,
    routing_drift,
    segment_profile,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y, LABELS = small.X, small.Y, small.LABELS
TOWN = np.where(X[:, 0] > 0, "York", "Bath")


@pytest.fixture(scope="module")
def regressor():
    return small.regressor(Ridge()).fit(X, Y)


@pytest.fixture(scope="module")
def classifier():
    return small.classifier(LogisticRegression()).fit(X, LABELS)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def reliability(model, X, y):
    return np.concatenate(ReliabilityDisplay.from_estimator(model, X, y).observed)


@pytest.mark.parametrize("kind", ["regressor", "classifier"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning")
def test_a_target_of_one_column_is_a_target(kind, request):
    model = request.getfixturevalue(kind)
    y = Y if kind == "regressor" else LABELS
    expected, curves = expert_report(model, X, y), reliability(model, X, y)
    for other in (
        y[:, None],
        pd.DataFrame({"y": y}),
        pd.Series(y, index=range(80, 0, -1)),
        list(y),
    ):
        pd.testing.assert_frame_equal(expert_report(model, X, other), expected)
        np.testing.assert_array_equal(reliability(model, X, other), curves)


@pytest.mark.parametrize("ask", [expert_report, reliability])
def test_targets_that_do_not_fit(ask, regressor, classifier):
    with pytest.raises(ValueError, match="inconsistent numbers"):
        ask(regressor, X, Y[:10])
    with pytest.raises(ValueError, match="1d"):
        ask(regressor, X, np.column_stack([Y, Y]))
    with pytest.raises(ValueError, match="not seen"):
        ask(classifier, X, np.full(len(X), "unheard"))
    both = small.regressor(Ridge()).fit(X, np.column_stack([Y, Y]))
    with pytest.raises(ValueError, match=r"\(2,\), as in fit"):
        ask(both, X, Y)


@pytest.mark.parametrize("kind", ["regressor", "laplace", "outputs", "classifier"])
def test_a_weight_of_two_is_the_row_twice(kind, request):
    if kind in ("regressor", "classifier"):
        model = request.getfixturevalue(kind)
        y = Y if kind == "regressor" else LABELS
    elif kind == "laplace":
        model, y = small.regressor(Ridge(), likelihood="laplace").fit(X, Y), Y
    else:
        y = np.column_stack([Y, Y**2])
        model = small.regressor(Ridge()).fit(X, y)
    repeats = small.WEIGHT.astype(int)
    weighted = expert_report(model, X, y, sample_weight=small.WEIGHT)
    repeated = expert_report(model, X.repeat(repeats, axis=0), y.repeat(repeats, axis=0))
    pd.testing.assert_frame_equal(weighted, repeated, check_dtype=False)
    pd.testing.assert_frame_equal(
        segment_profile(model, X, sample_weight=small.WEIGHT),
        segment_profile(model, X.repeat(repeats, axis=0)),
    )
    by_weight = ReliabilityDisplay.from_estimator(model, X, y, sample_weight=small.WEIGHT)
    by_row = ReliabilityDisplay.from_estimator(
        model, X.repeat(repeats, axis=0), y.repeat(repeats, axis=0)
    )
    for first, second in zip(by_weight.observed, by_row.observed, strict=True):
        np.testing.assert_allclose(first, second)


@pytest.mark.parametrize("wrong", [[1.0, 2.0], -np.ones(80), np.zeros(80), np.full(80, np.nan)])
def test_wrong_weights(wrong, regressor):
    with pytest.raises(ValueError, match="sample_weight"):
        expert_report(regressor, X, Y, sample_weight=wrong)


@pytest.mark.parametrize("gate_features", [None, [0, 2]])
@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.coo_matrix, sparse.csr_array])
def test_sparse(form, gate_features):
    dense = np.where(np.abs(X) < 0.3, 0, X)
    model = small.regressor(Ridge(), gate_features=gate_features).fit(dense, Y)
    rows = form(dense)
    new = X[:9] + 0.5
    frames = [
        (explain_routing(model, rows), explain_routing(model, dense)),
        (segment_profile(model, rows), segment_profile(model, dense)),
        (expert_report(model, rows, Y), expert_report(model, dense, Y)),
        (routing_drift(model, rows, new).to_frame(), routing_drift(model, dense, new).to_frame()),
    ]
    for of_sparse, of_dense in frames:
        pd.testing.assert_frame_equal(of_sparse, of_dense)
    RoutingHeatmapDisplay.from_estimator(model, rows)
    with pytest.raises(TypeError, match="toarray"):
        GateRegionsDisplay.from_estimator(model, rows, (0, 1))


def test_arrays_of_objects():
    mixed = np.column_stack([X.astype(object), TOWN])
    encoder = make_column_transformer((OneHotEncoder(), [3]), ("passthrough", [0, 1, 2]))
    model = small.regressor(make_pipeline(encoder, Ridge()), gate_features=[0, 1]).fit(mixed, Y)
    profile = segment_profile(model, mixed)
    assert list(profile.columns) == ["x0", "x1", "x2", "x3=Bath", "x3=York"]
    own = model.apply(mixed) == 0
    expected = (X[own, 2].mean() - X[~own, 2].mean()) / X[:, 2].std()
    assert profile["x2"].iloc[0] == pytest.approx(expected)
    display = GateRegionsDisplay.from_estimator(model, mixed, resolution=5)
    corner = np.array([display.first[0], display.second[0], 0.0, "York"], dtype=object)
    np.testing.assert_allclose(display.gate_proba[0, 0], model.gate_proba(corner[None])[0])


@pytest.mark.parametrize("named", [True, False])
def test_a_gate_in_a_pipeline_is_explained_by_the_features_that_it_sees(named):
    table = pd.DataFrame(X, columns=list("abc")).assign(town=TOWN)
    encoder = make_column_transformer((OneHotEncoder(), ["town"]), ("passthrough", ["a"]))
    steps = [encoder] if named else [encoder, FunctionTransformer(lambda Z: 2 * Z)]
    first = make_column_transformer(("passthrough", ["a", "b"]))
    model = small.regressor(
        make_pipeline(first, Ridge()),
        gate=make_pipeline(*steps, SoftmaxGate()),
        gate_features=["town", "a"],
    ).fit(table, Y)
    explanation = explain_routing(model, table)
    names = ["onehotencoder__town_Bath", "onehotencoder__town_York", "passthrough__a"]
    assert list(explanation["contribution"]) == (names if named else ["z0", "z1", "z2"])
    total = explanation["contribution"].sum(axis=1) + explanation["routing"]["baseline"]
    log_proba = np.sort(model.gate_.predict_log_proba(table[["town", "a"]]), axis=1)
    np.testing.assert_allclose(total, log_proba[:, 1] - log_proba[:, 0], atol=1e-9)


def test_missing_values_in_columns_of_numbers():
    table = pd.DataFrame({"a": X[:, 0], "n": pd.array(np.arange(80) * 7 % 30, dtype="Int64")})
    table["thing"] = np.arange(80) * 7.0 % 30
    table.loc[[3, 5], ["n", "thing"]] = pd.NA
    first = make_column_transformer(("passthrough", ["a"]))
    model = small.regressor(make_pipeline(first, Ridge()), gate_features=["a"]).fit(table, Y)
    profile = segment_profile(model, table.astype({"thing": object}))
    np.testing.assert_allclose(profile["n"], profile["thing"])
    assert profile["n"].notna().all()
    display = GateRegionsDisplay.from_estimator(model, table, ("a", "n"), resolution=5)
    assert display.second[0] < 0 and display.second[-1] > 29


def test_axes_of_regions(regressor):
    first = GateRegionsDisplay.from_estimator(regressor, X, (0, 2), resolution=9)
    second = GateRegionsDisplay.from_estimator(regressor, X, (0, -1), resolution=9)
    np.testing.assert_array_equal(first.gate_proba, second.gate_proba)
    for wrong in [(0, 3), (0, -4), (2, -1)]:
        with pytest.raises(ValueError, match="pair of names, or of positions below 3"):
            GateRegionsDisplay.from_estimator(regressor, X, wrong)
    table = pd.DataFrame(X, columns=list("abc")).assign(town=TOWN)
    numbers = make_column_transformer(("passthrough", ["a", "b", "c"]))
    model = small.regressor(make_pipeline(numbers, Ridge()), gate_features=["a", "b"])
    with pytest.raises(ValueError, match="'town' is not numeric"):
        GateRegionsDisplay.from_estimator(model.fit(table, Y), table, ("a", "town"))


def test_a_single_expert():
    model = small.regressor(Ridge(), n_experts=1).fit(X, Y)
    report = expert_report(model, X, Y)
    assert report["rows"].tolist() == [80] and report["error_elsewhere"].isna().all()
    assert report["error"].iloc[0] == report["error_mixture"].iloc[0]
    assert segment_profile(model, X).isna().all(axis=None)
    display = GateRegionsDisplay.from_estimator(model, X, (0, 1), resolution=5)
    assert display.borders_ == [] and len(display.labels_) == 1


def test_more_bins_than_rows(classifier):
    display = ReliabilityDisplay.from_estimator(classifier, X[:25], LABELS[:25], n_bins=100)
    for promised, rows in zip(display.promised, display.rows, strict=True):
        assert len(promised) == (rows if rows >= 10 else 0)


@pytest.mark.parametrize("ask", [expert_report, reliability])
def test_no_rows(ask, regressor):
    with pytest.raises(ValueError, match="no rows"):
        ask(regressor, X[:0], Y[:0])


def test_after_an_expert_was_dropped_without_data(regressor):
    model = regressor.drop_expert("expert_0")
    assert expert_report(model, X, Y)["rows"].tolist() == [80]
    assert routing_drift(model, X, X[:20]).p_value == 1.0
    with pytest.raises(ValueError, match="no utilization_: .* dropped"):
        routing_drift(model, None, X)
    with pytest.raises(ValueError, match="no utilization_"):
        UtilizationDisplay.from_estimator(model, X)
    with pytest.raises(ValueError, match="no history_"):
        EMPathDisplay.from_estimator(model)
