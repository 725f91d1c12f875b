"""A mixture from a raw table in three lines, and the code that one could have written."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

import skmoe.tables
from skmoe.tables import KindDropout, make_mixture, to_code

pd = pytest.importorskip("pandas")

N = 120
RNG = np.random.default_rng(0)
X = pd.DataFrame(
    {
        "size": np.where(RNG.random(N) < 0.1, np.nan, RNG.uniform(20, 90, N)),
        "town": RNG.choice(["York", "Hull", "Ely"], N),
        "sold": [f"{i % 28 + 1:02d}/{i % 12 + 1:02d}/2023" for i in range(N)],
    }
)
RENT = X["size"].fillna(50) * X["town"].map({"York": 9, "Hull": 5, "Ely": 7}) / 100
TARGETS = {
    "regression": RENT + RNG.normal(size=N) / 20,
    "classification": pd.Series(np.where(RENT > RENT.median(), "dear", "cheap")),
}
NEW = pd.DataFrame({"size": [np.nan, 40.0], "town": ["Leeds", None], "sold": [None, "01/02/2024"]})


def said(model, rows):
    return model.predict_proba(rows) if hasattr(model, "predict_proba") else model.predict(rows)


@pytest.mark.parametrize(
    ("y", "task"),
    [
        (np.arange(30) / 7, "regression"),
        (np.arange(30.0), "regression"),
        (np.arange(30) % 20, "classification"),
        (np.arange(30) % 2 == 0, "classification"),
        (np.repeat(["a", "b"], 15), "classification"),
        (pd.Series(pd.Categorical([3, 1] * 15)), "classification"),
    ],
)
def test_the_task_is_told_by_the_target(y, task):
    x = np.arange(30.0)[:, np.newaxis] ** 2
    expected = "Regressor" if task == "regression" else "Classifier"
    assert type(make_mixture(x, y, "fast")).__name__.endswith(expected)
    other = {"regression": "classification", "classification": "regression"}[task]
    given = make_mixture(x, y, "fast", task=other)
    assert not type(given).__name__.endswith(expected)


@pytest.fixture(scope="module", params=["fast", "readable"])
def goal(request):
    return request.param


@pytest.fixture(scope="module", params=list(TARGETS))
def fitted(request, goal):
    y = TARGETS[request.param]
    return make_mixture(X, y, goal, random_state=0).fit(X, y), y


def test_it_answers_for_the_raw_table(fitted):
    model, y = fitted
    assert np.isfinite(said(model, NEW)).all()
    assert model.score(X, y) > 0.8


def test_its_code_makes_the_same_estimator(fitted):
    model, y = fitted
    code = to_code(model)
    scope = {}
    exec(code, scope)
    assert to_code(scope["model"]) == code
    assert max(map(len, code.splitlines())) < 100
    np.testing.assert_array_equal(said(scope["model"].fit(X, y), X), said(model, X))


def test_it_survives_a_bundle(fitted, tmp_path):
    model, _ = fitted
    skmoe.dump(model, tmp_path / "m.skmoe", golden_rows=X)
    np.testing.assert_array_equal(said(skmoe.load(tmp_path / "m.skmoe"), NEW), said(model, NEW))


def test_stored_objects_have_public_names():
    """So that files can be read when the code has moved."""
    for name in skmoe.tables.__all__:
        value = getattr(skmoe.tables, name)
        if isinstance(value, type) or value is skmoe.tables.as_text:
            assert value.__module__ == "skmoe.tables", name


def test_it_is_ordinary():
    y = TARGETS["regression"]
    moe = make_mixture(X, y, "fast", random_state=0)
    search = GridSearchCV(
        Pipeline([("same", FunctionTransformer()), ("moe", moe)]),
        {"moe__linear__model__alpha": [1.0, 1e6]},
        cv=2,
    ).fit(X, y)
    assert search.best_params_["moe__linear__model__alpha"] in (1.0, 1e6)
    assert not hasattr(clone(moe), "experts_") and not hasattr(moe, "experts_")
    moe.set_params(linear="drop")
    assert "linear" not in moe.fit(X, y).named_experts_


@pytest.mark.slow
@pytest.mark.parametrize("task", TARGETS)
@pytest.mark.parametrize("goal", ["accuracy", "robust"])
def test_larger_goals(task, goal):
    y = TARGETS[task]
    model = make_mixture(X, y, goal, random_state=0).fit(X, y)
    assert np.isfinite(said(model, NEW)).all() and model.score(X, y) > 0.8
    again = clone(model).fit(X, y)
    np.testing.assert_array_equal(said(again, NEW), said(model, NEW))


def test_strings_alone_are_routed_too():
    words = pd.DataFrame({"name": [f"{a} {b}" for a in "abcdefghij" for b in "klmnopqr"]})
    y = np.arange(80) % 8 + np.arange(80) / 20
    model = make_mixture(words, y, "fast", random_state=0).fit(words, y)
    assert model.score(words, y) > 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"goal": "best"}, "goal must be one of"),
        ({"task": "ranking"}, "task must be None or one of"),
        ({"y": np.full(N, np.nan)}, "y holds missing"),
        ({"kinds": {"area": "numeric"}}, "area"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_mixture(X, **{"y": TARGETS["regression"], **arguments})


def test_code_of_odd_values():
    odd = KindDropout(Ridge(alpha=np.float64(2)), {"a": "code"}, rate=np.float32(0.5))
    scope = {}
    exec(to_code(odd), scope)
    assert scope["model"].get_params(deep=False).keys() == odd.get_params(deep=False).keys()
    assert scope["model"].kinds == {"a": "code"} and scope["model"].estimator.alpha == 2.0
    array = FunctionTransformer(np.log, kw_args={"where": np.array([True, False])})
    exec(to_code(array), scope)
    assert scope["model"].func is np.log
    np.testing.assert_array_equal(scope["model"].kw_args["where"], [True, False])
    assert "float('nan')" in to_code(Ridge(alpha=np.nan))


@pytest.mark.parametrize("value", [lambda x: x, object()])
def test_what_is_no_code_is_refused(value):
    with pytest.raises(ValueError, match="cannot be written as code"):
        to_code(FunctionTransformer(value))
