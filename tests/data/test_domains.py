"""Domains: each expert starts from the rows of one, and the gate learns to tell them apart."""

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from small_mixtures import answers_of

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._data.domains import Domains

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.RandomState(0)
N = 240
PLACES = np.array(["north", "south", "west"])
WHERE = np.arange(N) % 3
X = RNG.normal(size=(N, 3)) + np.array([[-6, 0, 0], [0, 0, 0], [6, 0, 0]])[WHERE]
SLOPE = np.array([4.0, -4.0, 1.0])[WHERE]
Y = SLOPE * X[:, 1] + 0.1 * RNG.normal(size=N)
LABELS = np.where(Y > 0, "up", "down")
DOMAINS = PLACES[WHERE]


def regressor(experts=None, **parameters):
    quick = {"cv": 2, "max_iter": 3, "overlap": 0.0, "random_state": 0}
    return MixtureOfExpertsRegressor(experts, **(quick | parameters))


def classifier(experts=None, **parameters):
    quick = {"cv": 2, "max_iter": 3, "overlap": 0.0, "random_state": 0}
    return MixtureOfExpertsClassifier(experts, **(quick | parameters))


MAKERS = [(regressor, Y), (classifier, LABELS)]


@pytest.mark.parametrize(("make", "y"), MAKERS)
def test_each_domain_has_an_expert_of_its_name_that_leads_its_rows(make, y):
    model = make().fit(X, y, domains=DOMAINS)
    assert list(model.named_experts_) == ["north", "south", "west"]
    assert model.n_experts_ == 3
    assert np.mean(model.apply(X) == WHERE) > 0.9  # nobody tells predict where rows are from
    plain = make(n_experts=3).fit(X, y, domains=None)
    assert list(plain.named_experts_) == ["expert_0", "expert_1", "expert_2"]


def test_each_expert_knows_its_own_domain():
    model = regressor(Ridge(1e-6)).fit(X, Y, domains=DOMAINS)
    slopes = [expert.coef_[1] for expert in model.experts_]
    np.testing.assert_allclose(slopes, [4.0, -4.0, 1.0], atol=0.1)


@pytest.mark.parametrize(("make", "y"), MAKERS)
def test_domains_are_a_start_like_any_other(make, y):
    """Responsibilities that are 1 for the rows of a domain say the same."""
    model = make().fit(X, y, domains=DOMAINS)
    given = make(n_experts=3, init=np.eye(3)[WHERE]).fit(X, y)
    np.testing.assert_array_equal(answers_of(model, X), answers_of(given, X))
    np.testing.assert_array_equal(model.gate_proba(X), given.gate_proba(X))


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (WHERE, ("0", "1", "2")),
        (WHERE * 10, ("0", "10", "20")),  # in the order of numbers
        (pd.Series(DOMAINS), tuple(PLACES)),
        (pd.Categorical(DOMAINS), tuple(PLACES)),
        (list(DOMAINS), tuple(PLACES)),
        (WHERE > 0, ("False", "True")),
        (np.array(["2020", "2021", "2022"], dtype="M8[Y]")[WHERE], ("2020", "2021", "2022")),
    ],
)
def test_labels_of_any_kind(labels, names):
    domains = Domains.of(labels)
    assert domains.names == names
    np.testing.assert_array_equal(domains.codes, np.minimum(WHERE, len(names) - 1))


@pytest.mark.parametrize(("make", "y"), MAKERS)
def test_rows_of_weight_0_are_absent_with_their_domain(make, y):
    weight = (WHERE < 2).astype(float)
    model = make().fit(X, y, sample_weight=weight, domains=DOMAINS)
    there = WHERE < 2
    part = make().fit(X[there], y[there], domains=DOMAINS[there])
    assert list(model.named_experts_) == ["north", "south"]
    np.testing.assert_array_equal(answers_of(model, X), answers_of(part, X))


def test_a_list_of_experts_is_matched_by_name():
    lines = [("west", Ridge(1e-6)), ("north", Ridge(1e-6)), ("south", Ridge(1e-6))]
    model = regressor(lines).fit(X, Y, domains=DOMAINS)
    assert list(model.named_experts_) == ["west", "north", "south"]
    assert abs(model.named_experts_["west"].coef_[1] - 1.0) < 0.1
    assert abs(model.named_experts_["north"].coef_[1] - 4.0) < 0.1


def test_unlike_experts_still_have_their_own_rows():
    unlike = [("north", Ridge(1e-6)), ("south", DecisionTreeRegressor()), ("west", Ridge(1e-6))]
    model = regressor(unlike[:2] + [("west", make_pipeline(StandardScaler(), Ridge()))])
    model.set_params(overlap="auto").fit(X, Y, domains=DOMAINS)
    assert model.overlap_ == 0.1


@pytest.mark.parametrize(("make", "y"), MAKERS)
def test_domains_are_routed(make, y):
    """By default, through pipelines and searches; each fold has its rows' domains."""
    mixture = make()
    pipeline = make_pipeline(StandardScaler(), mixture)
    search = GridSearchCV(pipeline, {f"{pipeline.steps[-1][0]}__overlap": [0.0, 0.3]}, cv=2)
    with config_context(enable_metadata_routing=True):
        for estimator in (mixture, pipeline, search):
            found = cross_validate(
                estimator,
                X,
                y,
                cv=2,
                params={"domains": DOMAINS},
                error_score="raise",
                return_estimator=True,
            )
            assert np.isfinite(found["test_score"]).all()
        search.fit(X, y, domains=DOMAINS)
        best = search.best_estimator_[-1]
        assert list(best.named_experts_) == list(PLACES)
        unwilling = make().set_fit_request(domains=False)
        with pytest.raises(TypeError, match="domains"):
            make_pipeline(StandardScaler(), unwilling).fit(X, y, domains=DOMAINS)


@pytest.mark.parametrize(("make", "y"), MAKERS)
@pytest.mark.parametrize(
    ("parameters", "domains", "message"),
    [
        ({}, DOMAINS[:-1], "labels for"),
        ({}, np.where(WHERE == 0, None, DOMAINS), "domains: 80 labels are missing.*row 0"),
        ({}, np.where(WHERE == 1, np.nan, WHERE), "domains: 80 labels are missing.*row 1"),
        ({}, np.where(np.arange(N) < 3, "rare", DOMAINS), "at least 10 rows.*'rare': 3"),
        ({}, np.arange(N), "at least 10 rows.*240 domains"),
        ({"init": "kmeans"}, DOMAINS, "domains and init are both starts"),
        ({"init": np.eye(3)[WHERE]}, DOMAINS, "domains and init are both starts"),
        ({}, np.char.add("a__", DOMAINS), "names of experts.*__"),
        ({}, np.where(WHERE == 1, "gate", DOMAINS), "names of experts.*gate"),
        ({"top_k": 4}, DOMAINS, "top_k=4"),
    ],
)
def test_what_cannot_be_is_said(make, y, parameters, domains, message):
    with pytest.raises(ValueError, match=message):
        make(**parameters).fit(X, y, domains=domains)


@pytest.mark.parametrize(
    "names", [["north", "south"], ["north", "south", "east"], [*PLACES.tolist(), "east"]]
)
def test_a_list_that_does_not_fit_the_domains(names):
    model = regressor([(name, Ridge()) for name in names])
    with pytest.raises(
        ValueError, match=rf"3 domains, \['north'.*{len(names)} experts, \['north'"
    ):
        model.fit(X, Y, domains=DOMAINS)


@pytest.mark.parametrize(("make", "y"), MAKERS)
def test_going_on_keeps_names_and_takes_no_domains(make, y):
    model = make(warm_start=True).fit(X, y, domains=DOMAINS)
    model.fit(X, y)
    assert list(model.named_experts_) == list(PLACES)
    with pytest.raises(ValueError, match="goes on from a fitted mixture"):
        model.fit(X, y, domains=DOMAINS)
    expert = DecisionTreeRegressor() if make is regressor else DecisionTreeClassifier()
    grown = make().fit(X, y, domains=DOMAINS).add_expert("sea", expert, X, y)
    assert list(grown.named_experts_) == [*PLACES, "sea"]
    assert list(clone(grown).fit(X, y).named_experts_) == [*PLACES, "sea"]


def test_labels_of_the_target_may_be_confined_to_a_domain():
    """Expert north never sees "up"."""
    y = np.where(WHERE == 0, "down", LABELS)
    model = classifier(LogisticRegression()).fit(X, y, domains=DOMAINS)
    assert model.predict_proba(X).shape == (N, 2)
    assert np.mean(model.predict(X)[WHERE == 0] == "down") > 0.95
