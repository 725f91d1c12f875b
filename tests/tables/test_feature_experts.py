"""Experts for raw tables: what they see, and that nothing in a column stops them."""

import numpy as np
import pytest
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.preprocessing import FunctionTransformer

from skmoe.tables import column_kinds, feature_experts

pd = pytest.importorskip("pandas")

N = 90
RNG = np.random.default_rng(0)
WORDS = np.array(["oak", "iron", "table", "chair", "round", "small", "old", "new", "red"])


def table(n=N):
    return pd.DataFrame(
        {
            "size": np.where(RNG.random(n) < 0.1, np.nan, RNG.normal(size=n)),
            "floor": RNG.integers(0, 6, n),
            "town": np.where(RNG.random(n) < 0.1, None, RNG.choice(["York", "Hull", "Ely"], n)),
            "maker": [f"{a} & {b}" for a, b in RNG.choice(WORDS[:5], (n, 2))],
            "remark": [" ".join(RNG.choice(WORDS, 7)) for _ in range(n)],
            "sold": [f"2023-{i % 12 + 1:02d}-{i % 28 + 1:02d}" for i in range(n)],
            "row": np.arange(n),
        }
    )


X = table()
Y = X["floor"] + X["size"].fillna(0) + (X["town"] == "York")
TARGETS = {"regression": Y.to_numpy(), "classification": np.where(Y > Y.median(), "high", "low")}


def experts(task, **options):
    return feature_experts(X, task, **options)


NAMES = {task: [name for name, _ in experts(task)] for task in TARGETS}
EACH = [(task, name) for task in TARGETS for name in NAMES[task]]


def test_the_table_has_all_kinds():
    assert set(column_kinds(X).values()) == {
        "numeric", "code", "categorical", "dirty", "text", "datetime", "identifier",
    }  # fmt: skip


def seeded(expert):
    given = expert.get_params()
    seeds = [name for name in given if name.endswith("random_state") and given[name] is None]
    return expert.set_params(**dict.fromkeys(seeds, 0))


def said(expert, rows):
    return expert.predict_proba(rows) if is_classifier(expert) else expert.predict(rows)


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize(("task", "name"), EACH)
def test_an_expert_takes_the_raw_table(task, name):
    """With gaps, with categories it has not seen, and with a column that is missing throughout."""
    expert = dict(experts(task))[name]
    assert (is_regressor if task == "regression" else is_classifier)(expert)
    expert.fit(X, TARGETS[task])
    new = table(7).assign(town="Leeds", maker=None, size=np.nan, sold=None)
    assert np.isfinite(said(expert, new)).all() and len(said(expert, new)) == 7


@pytest.mark.parametrize("name", NAMES["regression"])
def test_a_fold_may_lack_all_of_a_column(name):
    blank = X.assign(size=np.nan, town=None, maker=None, remark=None, sold=None)
    expert = dict(experts("regression"))[name].fit(blank, Y)
    assert np.isfinite(expert.predict(X)).all()


@pytest.mark.parametrize("name", NAMES["regression"])
def test_the_unit_of_the_target_does_not_matter(name):
    expert = seeded(dict(experts("regression"))[name])
    said = expert.fit(X, Y).predict(X)
    in_pence = expert.fit(X, 1000 * Y + 5).predict(X)
    difference = (in_pence - 5) / 1000 - said  # not 0: forests break ties by rounding
    assert np.sqrt(np.mean(difference**2)) < 0.05 * Y.std()


def test_many_rows_get_no_support_vector_machine():
    many = RNG.normal(size=(10_001, 2))
    few = dict(feature_experts(many[:10_000], "regression"))["svm"]
    assert "SVR" in repr(few) and "SVR" not in repr(dict(feature_experts(many, "regression")))


@pytest.mark.parametrize("name", ["forest", "boosting", "linear", "only_numeric", "svm"])
def test_few_numbers_with_gaps_beside_many_categories(name):
    """One-hot columns are mostly zeros, and trees take no gaps in sparse columns."""
    towns = {f"town {i}": RNG.choice(list("abcdefghij"), N) for i in range(6)}
    wide = pd.DataFrame({"size": X["size"], **towns})
    expert = dict(feature_experts(wide, "regression"))[name].fit(wide, Y)
    assert np.isfinite(said(expert, wide)).all()


SEEN = {
    "only_numeric": ["size", "floor"],
    "only_categories": ["floor", "town", "maker"],
    "only_strings": ["maker", "remark"],
    "only_dates": ["sold"],
}


@pytest.mark.parametrize("name", SEEN)
def test_an_expert_of_a_kind_sees_nothing_else(name):
    expert = dict(experts("regression"))[name].fit(X, Y)
    shuffled = X.sample(frac=1, random_state=1).reset_index(drop=True)
    other = shuffled.assign(**X[SEEN[name]])
    np.testing.assert_array_equal(expert.predict(other), expert.predict(X))
    own = X.assign(**shuffled[SEEN[name]])
    assert (expert.predict(own) != expert.predict(X)).any()


@pytest.mark.parametrize("name", ["boosting", "forest", "linear", "svm"])
def test_an_expert_of_the_whole_table_sees_all_kinds(name):
    expert = clone(dict(experts("regression"))[name]).set_params(columns__n_jobs=None)
    columns = {c for _, _, cs in expert["columns"].transformers for c in np.atleast_1d(cs)}
    assert columns == set(X) - {"row"}


def test_a_table_of_one_kind_has_no_experts_of_kinds():
    names = [name for name, _ in feature_experts(RNG.normal(size=(50, 3)), "regression")]
    assert not [name for name in names if name.startswith("only_")] and "linear" in names


def test_options_choose_experts():
    plain, cheap = experts("regression", views=False), experts("regression", cheap=True)
    assert NAMES["regression"][: len(plain)] == [name for name, _ in plain]
    assert set(NAMES["regression"][len(plain) :]) == {
        "boosting_of_targets", "extra_trees_of_targets",
    }  # fmt: skip
    assert len(cheap) == 6


def test_whole_numbers_as_a_regression_target_are_no_classes():
    """Mean targets of categories would otherwise be one for each number."""
    counts = (10 * Y).round().to_numpy()
    expert = dict(experts("regression"))["only_categories"].fit(X, counts)
    assert expert[:-1].transform(X).shape == (N, 3)


def test_polars_and_pandas_frames_are_alike():
    polars = pytest.importorskip("polars")
    values = {name: [None if v != v else v for v in X[name].tolist()] for name in X}
    other = polars.from_dict(values)
    for name in ("linear", "boosting", "only_dates"):
        one = seeded(dict(experts("regression"))[name])
        two = seeded(dict(feature_experts(other, "regression"))[name])
        a, b = one.fit(X, Y).predict(X), two.fit(other, Y).predict(other)
        np.testing.assert_allclose(a, b)


def test_an_encoder_of_strings_can_be_given():
    encoder = FunctionTransformer(lambda column: np.zeros((len(column), 1)))
    given = dict(experts("regression", string_encoder=encoder))["boosting"]
    kept = {name: t for name, t, _ in given["columns"].transformers}
    assert kept["strings_maker"].func is encoder.func


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("regress",), "task must be one of"),
        (("regression", {"town": "place"}), "'place'"),
        (("regression", dict.fromkeys(X, "identifier")), "no column to learn from"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        feature_experts(X, *arguments)
