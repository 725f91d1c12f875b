"""Kinds of columns: what a user would say, whatever holds the table."""

import copy
import pickle
from datetime import date
from decimal import Decimal

import numpy as np
import pytest

from skmoe.tables import ColumnKinds, as_numbers, as_text, column_kinds

pd = pytest.importorskip("pandas")

N = 200
RNG = np.random.default_rng(0)
NAMES = np.array(["Ada", "Bob", "Cleo", "Dan", "Eve", "Finn", "Gus", "Hal", "Ida", "Jo"])


def one_of(values, n=N):
    return [values[i % len(values)] for i in range(n)]


COLUMNS = {
    "area": (RNG.normal(size=N), "numeric"),
    "price": ([f"{value:.2f}" for value in RNG.uniform(1, 9, N)], "numeric"),
    "people": (RNG.integers(0, 5000, N), "numeric"),
    "month": (RNG.integers(1, 13, N), "code"),
    "month_with_gaps": (np.where(RNG.random(N) < 0.1, np.nan, RNG.integers(1, 13, N)), "code"),
    "zip": (np.repeat(RNG.integers(10_000, 99_999, N // 4), 4), "code"),
    "member": (RNG.random(N) < 0.3, "code"),
    "colour": (one_of(["red", "green", None, "blue"]), "categorical"),
    "employer": ([f"{a} & {b} Ltd" for a, b in RNG.choice(NAMES, (N, 2))], "dirty"),
    "remark": ([" ".join(RNG.choice(NAMES, 6)) for _ in range(N)], "text"),
    "born": ([f"{i % 28 + 1:02d}/{i % 12 + 1:02d}/19{i % 90 + 10}" for i in range(N)], "datetime"),
    "seen": ([f"2024-{i % 12 + 1:02d}-03T{i % 24:02d}:00:00" for i in range(N)], "datetime"),
    "row": (np.arange(N) + 1000, "identifier"),
    "customer_id": (RNG.permutation(10**6)[:N], "identifier"),
    "hash": ([f"{i * 7919 % 10007:x}-a{i}" for i in range(N)], "identifier"),
    "source": (["survey"] * N, "constant"),
    "empty": ([None] * N, "constant"),
    "ticked": (one_of(["yes", None]), "categorical"),
}
EXPECTED = {name: kind for name, (_, kind) in COLUMNS.items()}


def frame():
    return pd.DataFrame({name: values for name, (values, _) in COLUMNS.items()})


@pytest.mark.parametrize("name", COLUMNS)
def test_kind_in_a_pandas_frame(name):
    assert column_kinds(frame())[name] == EXPECTED[name]


@pytest.mark.parametrize("name", COLUMNS)
def test_kind_in_a_polars_frame(name):
    polars = pytest.importorskip("polars")
    values = {key: list(values) for key, (values, _) in COLUMNS.items()}
    assert column_kinds(polars.DataFrame(values, strict=False))[name] == EXPECTED[name]


def test_kind_in_an_array_of_objects():
    kinds = column_kinds(frame().to_numpy(dtype=object))
    unnamed = {**EXPECTED, "zip": "numeric", "customer_id": "numeric"}  # known by their names
    assert kinds == dict(enumerate(unnamed.values()))


def test_frames_know_types_of_their_own():
    X = pd.DataFrame(
        {
            "when": pd.date_range("2024-01-01", periods=N, tz="Europe/Berlin"),
            "day": [date(2024, 1, i % 28 + 1) for i in range(N)],
            "level": pd.Categorical(one_of([3, 1, 2])),
            "count": pd.array(one_of([1, None, 7000, 123]), dtype="Int64"),
            "flag": pd.array(one_of([True, None, False]), dtype="boolean"),
        }
    )
    assert column_kinds(X) == {
        "when": "datetime",
        "day": "datetime",
        "level": "categorical",
        "count": "numeric",
        "flag": "code",
    }


def test_odd_values_do_no_harm():
    X = pd.DataFrame(
        {
            "mixed": one_of([1, "a", None, 2.5]),
            "lists": one_of([[1], [2, 3]]),
            "decimals": one_of([Decimal("1.5"), Decimal("2.25"), None]),
            "infinite": one_of([np.inf, 1.5, -np.inf]),
            "bytes": one_of([b"a", b"b"]),
        }
    )
    assert column_kinds(X) == {
        "mixed": "categorical",
        "lists": "categorical",
        "decimals": "numeric",
        "infinite": "numeric",
        "bytes": "categorical",
    }


def test_what_the_user_says_comes_first():
    kinds = column_kinds(frame(), kinds={"people": "code", "row": "numeric"})
    assert kinds["people"] == "code" and kinds["row"] == "numeric"
    assert kinds["month"] == "code" and kinds.reasons["people"] == "given"


@pytest.mark.parametrize(
    ("kinds", "message"),
    [({"age": "numeric"}, r"columns that X lacks: \['age'\]"), ({"area": "number"}, "'number'")],
)
def test_a_wrong_override_is_named(kinds, message):
    with pytest.raises(ValueError, match=message):
        column_kinds(frame(), kinds=kinds)


def test_kinds_can_be_edited_copied_and_read():
    kinds = column_kinds(frame())
    kinds["zip"] = "categorical"
    for other in (copy.deepcopy(kinds), pickle.loads(pickle.dumps(kinds))):
        assert other == kinds and other.reasons == kinds.reasons
    assert kinds.columns("categorical") == ["zip", "colour", "ticked"]
    line = next(line for line in repr(kinds).splitlines() if line.startswith("row"))
    assert "identifier" in line and "left out" in line
    with pytest.raises(ValueError, match="is none of numeric"):
        kinds["zip"] = "postcode"


def test_reasons_are_for_all_columns():
    kinds = column_kinds(frame())
    assert isinstance(kinds, ColumnKinds) and set(kinds.reasons) == set(kinds)


def test_a_code_has_the_same_text_with_gaps_and_without():
    whole, gaps = pd.DataFrame({"m": [1, 2]}), pd.DataFrame({"m": [1.0, 2.0, np.nan]})
    assert as_text(whole)[:, 0].tolist() == as_text(gaps)[:2, 0].tolist()
    assert as_text(pd.Series([pd.NA, "x"], dtype="string")).tolist() == ["", "x"]


def test_numbers_of_any_column():
    X = pd.DataFrame({"a": pd.array([1, None], "Int64"), "b": ["2", "x"], "c": [np.inf, 1.0]})
    expected = [[1, 2, np.nan], [np.nan, np.nan, 1]]
    np.testing.assert_array_equal(as_numbers(X), expected)
    np.testing.assert_array_equal(as_numbers([1, None]), [1, np.nan])
