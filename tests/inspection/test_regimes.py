"""Tables of regimes, and the equations of linear experts in the units of the features."""

import numpy as np
import pandas as pd
import pytest
import small_mixtures as small
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction import FeatureHasher
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
)

from skmoe import MixtureOfExpertsRegressor
from skmoe.gates import SoftmaxGate
from skmoe.inspection import equation, explain_routing, regime_table, routing_sentences
from skmoe.inspection import segment_profile as profile_of
from skmoe.inspection._equations import equations_of
from skmoe.tables import make_mixture


@pytest.fixture(scope="module")
def day_and_night():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "hour": rng.integers(0, 24, 600),
            "warmth": rng.normal(15, 5, 600),
            "town": rng.choice(["York", "Hull"], 600),
        }
    )
    day = (X["hour"] >= 8) & (X["hour"] < 18)
    signal = np.where(day, 100 + 10 * X["warmth"], 20 + X["warmth"] + 5 * (X["town"] == "York"))
    y = signal + rng.normal(size=600)
    encoded = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), ["warmth"]), (OneHotEncoder(), ["town"])
    )
    moe = MixtureOfExpertsRegressor(
        make_pipeline(encoded, Ridge(1e-3)),
        n_experts=2,
        gate=SoftmaxGate("auto", terms="splines"),
        overlap=0.0,
        shared_expert=None,
        random_state=0,
    )
    return moe.fit(X, y), X, y, day


def test_known_regimes_are_read_off(day_and_night):
    moe, X, y, day = day_and_night
    table = regime_table(moe, X, y)
    shares = sorted(regime.share for regime in table.regimes)
    np.testing.assert_allclose(shares, sorted([day.mean(), 1 - day.mean()]), atol=0.03)
    by_slope = sorted(table.regimes, key=lambda regime: regime.equations[0].coef[0])
    for regime, slope, town in zip(by_slope, [1, 10], [5, 0], strict=True):
        (found,) = regime.equations
        assert found.terms == ("warmth", "town=Hull", "town=York")
        assert abs(found.coef[0] - slope) < 4 * found.coef_error[0]
        assert abs(found.coef[2] - found.coef[1] - town) < 0.5
        assert regime.description.startswith("hour ") and "town" not in regime.description
    hours = X["hour"][day].quantile([0.1, 0.9, 0.5], interpolation="lower").to_numpy()
    assert by_slope[1].description == "hour {} to {} (median {})".format(*hours)


def test_it_reads_as_text_frame_and_html(day_and_night):
    moe, X, y, _ = day_and_night
    table = regime_table(moe, X, y)
    frame = table.to_frame()
    assert list(frame.index) == list(moe.named_experts_)
    assert frame["share"].sum() == pytest.approx(1)
    for name in moe.named_experts_:
        assert frame.loc[name, "equation"] == equation(moe, name)
        assert equation(moe, name) in str(table) and equation(moe, name) in table._repr_html_()
    assert table.coefficients().loc[("expert_0", "y", "warmth"), "error"] > 0


@pytest.mark.parametrize(
    "steps",
    [
        [],
        [StandardScaler()],
        [MinMaxScaler(), StandardScaler(with_mean=False)],
        [RobustScaler(), MaxAbsScaler()],
        [make_column_transformer((StandardScaler(), [2, 0]), remainder="passthrough")],
        [make_column_transformer(("drop", [1]), (MinMaxScaler(), slice(0, 1)))],
    ],
    ids=str,
)
def test_equations_predict_what_the_expert_predicts(steps):
    expert = make_pipeline(*steps, LinearRegression())
    model = small.regressor([("only", expert)]).fit(small.X, small.Y)
    (found,) = equations_of(model, model.named_experts_["only"])
    columns = pd.DataFrame(small.X, columns=["x0", "x1", "x2"])
    said = found.intercept + columns[list(found.terms)] @ found.coef
    np.testing.assert_allclose(said, model.named_experts_["only"].predict(small.X))


def test_standard_errors_are_those_of_least_squares():
    """In units of the features they are what no scaler at all would give."""
    noise = 0.1
    for steps in ([], [StandardScaler()]):
        expert = make_pipeline(*steps, LinearRegression())
        model = small.regressor([("only", expert)]).fit(small.X, small.Y)
        (found,) = equations_of(model, model.named_experts_["only"], small.X, noise)
        design = np.column_stack([np.ones(len(small.X)), small.X])
        expected = noise * np.sqrt(np.diag(np.linalg.inv(design.T @ design)))
        np.testing.assert_allclose([found.intercept_error, *found.coef_error], expected)


def test_odds_of_logistic_experts():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 2))
    p = 1 / (1 + np.exp(-(0.5 + 2 * X[:, 0])))
    labels = np.where(rng.uniform(size=2000) < p, "yes", "no")
    model = small.classifier([("only", LogisticRegression(C=1e6))]).fit(X, labels)
    coefficients = regime_table(model, X, labels).coefficients().xs("log-odds of yes", level=1)
    truth = pd.Series({"intercept": 0.5, "x0": 2.0, "x1": 0.0})
    z = (coefficients.droplevel(0)["coef"] - truth) / coefficients.droplevel(0)["error"]
    assert (z.abs() < 4).all() and (coefficients["error"] < 0.2).all()
    np.testing.assert_allclose(coefficients["odds"], np.exp(coefficients["coef"]))


def test_of_a_column_that_does_not_vary_nothing_is_known():
    X = np.column_stack([small.X, np.zeros(len(small.X))])  # a category that does not occur
    model = small.regressor([("only", Ridge())]).fit(X, small.Y)
    errors = regime_table(model, X, small.Y).coefficients()["error"].to_numpy()
    assert np.isnan(errors).tolist() == [False] * (len(errors) - 1) + [True]


def test_three_classes_have_an_equation_each():
    model = small.classifier([("only", LogisticRegression())]).fit(small.X, small.LABELS)
    assert equation(model, "only").count("logit of") == 3
    table = regime_table(model, small.X, small.LABELS)
    assert (
        len(table.regimes[0].equations) == 3 and table.regimes[0].description == "like the others"
    )
    assert table.coefficients()["error"].isna().all()


def test_what_has_no_equation_says_so():
    model = small.regressor([("tree", small.tree())]).fit(small.X, small.Y)
    with pytest.raises(TypeError, match="linear expert.*DecisionTree"):
        equation(model, "tree")
    with pytest.raises(ValueError, match="'night' is none of the experts"):
        equation(model, "night")


def test_a_regime_without_an_equation_is_in_the_table():
    pool = [("linear", Ridge()), ("tree", make_pipeline(StandardScaler(), small.tree()))]
    table = regime_table(small.regressor(pool).fit(small.X, small.Y), small.X, small.Y)
    assert [len(regime.equations) for regime in table.regimes] == [1, 0]
    assert table.to_frame().loc["tree", "equation"] == "DecisionTreeRegressor, no equation"
    assert "DecisionTreeRegressor, no equation" in str(table)
    assert table.coefficients().index.unique("regime").tolist() == ["linear"]


def test_columns_without_names_have_no_equation():
    hashed = make_pipeline(FeatureHasher(4, input_type="string"), Ridge())
    rows = make_pipeline(
        FunctionTransformer(lambda Z: [[f"{z:.0f}" for z in r] for r in Z]), hashed
    )
    model = small.regressor([("line", Ridge()), ("hashed", rows)]).fit(small.X, small.Y)
    table = regime_table(model, small.X, small.Y)
    assert [len(regime.equations) for regime in table.regimes] == [1, 0]
    with pytest.raises(TypeError, match="has no names"):
        equation(model, "hashed")


def test_the_preset_to_read_has_equations_of_named_columns():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"size": rng.uniform(20, 90, 200), "town": rng.choice(["A", "B"], 200)})
    y = np.where(X["town"] == "A", 10.0, 15.0) * X["size"]
    model = make_mixture(X, y, goal="readable", random_state=0).fit(X, y)
    assert "town_A" in equation(model, "only_categories")
    sentence = routing_sentences(explain_routing(model, X), n_features=5)[0]
    assert sentence.count("town") == 1 and sentence.count("size") == 1


def test_products_of_scaled_features_are_called_that():
    curved = make_pipeline(StandardScaler(), PolynomialFeatures(2, include_bias=False), Ridge())
    model = small.regressor([("only", curved)]).fit(small.X, small.Y)
    assert "x0 x1 (of scaled features)" in equation(model, "only")


def test_profile_in_original_units(day_and_night):
    moe, X, _, _ = day_and_night
    own = moe.apply(X) == 0
    profile = profile_of(moe, X, units="original")
    expected = X["warmth"][own].mean() - X["warmth"][~own].mean()
    assert profile.loc["expert_0", "warmth"] == pytest.approx(expected)
    with pytest.raises(ValueError, match="units='metres'"):
        profile_of(moe, X, units="metres")


def test_sentences(day_and_night):
    moe, X, _, _ = day_and_night
    explanation = explain_routing(moe, X)
    sentences = routing_sentences(explanation, n_features=1)
    assert sentences.index.equals(X.index)
    for sentence, (_, row) in zip(sentences[:20], explanation.iterrows(), strict=False):
        assert sentence.startswith(f"{row['routing', 'expert']} rather than ")
        largest = row["contribution"].astype(float).abs().idxmax()
        assert f"{largest} for it" in sentence or f"{largest} against it" in sentence


def test_one_row_without_its_second_dimension():
    model = small.regressor([("one", Ridge()), ("two", Ridge(10.0))]).fit(small.X, small.Y)
    with pytest.raises(ValueError, match=r"shape \(\d+,\); of a single row give X\[:1\]"):
        explain_routing(model, small.X[0])
