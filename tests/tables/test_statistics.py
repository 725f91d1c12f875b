"""What a gate may see of a row."""

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from skmoe.tables import NumberFeatures, RowStatistics

pd = pytest.importorskip("pandas")

KINDS = {"size": "numeric", "rooms": "code", "town": "categorical", "name": "dirty",
         "note": "text", "sold": "datetime"}  # fmt: skip
X = pd.DataFrame(
    {
        "size": np.arange(1000.0),
        "rooms": np.arange(1000) % 4,
        "town": ["York"] * 900 + ["Hull"] * 100,
        "name": ["a", "bb", "ccc", "dddd"] * 250,
        "note": ["some words"] * 1000,
        "sold": ["2023-01-01"] * 999 + ["2024-01-01"],
    }
)


def statistics_of(**row):
    """Name -> value for a row like the first but for what is given."""
    fitted = RowStatistics(KINDS).fit(X)
    new = X.iloc[[0]].astype(object).assign(**row)
    return dict(zip(fitted.get_feature_names_out(), fitted.transform(new)[0], strict=True))


@pytest.mark.parametrize("column", KINDS)
def test_what_is_missing_is_said_by_kind(column):
    found = statistics_of(**{column: None})
    missing = {name for name, value in found.items() if name.startswith("missing") and value}
    assert missing == {f"missing_{KINDS[column]}"}


def test_rarity_is_minus_the_mean_log_frequency():
    plain, rare, new = statistics_of(), statistics_of(town="Hull"), statistics_of(town="Ely")
    frequencies = np.array([250, 900, 250]) / 1001
    assert plain["rarity"] == pytest.approx(-np.log(frequencies).mean())
    assert rare["rarity"] - plain["rarity"] == pytest.approx(np.log(9) / 3)
    assert new["rarity"] - plain["rarity"] == pytest.approx(np.log(900) / 3)
    assert (plain["unseen"], rare["unseen"]) == (0, 0) and new["unseen"] == pytest.approx(1 / 3)


def test_length_range_and_recency():
    assert statistics_of()["length"] == pytest.approx(np.log([2, 11]).mean())
    assert [statistics_of(size=s)["out_of_range"] for s in (-1, 500, 2000, None)] == [1, 0, 1, 0]
    assert statistics_of(sold="2025-01-01")["recency"] == pytest.approx(366 / 365.2425)
    assert np.isnan(statistics_of(sold=None)["recency"])


def test_a_table_of_numbers_has_few():
    fitted = RowStatistics().fit(np.arange(50.0)[:, np.newaxis] / 7)
    assert list(fitted.get_feature_names_out()) == ["missing_numeric", "out_of_range"]


def test_a_column_of_constants_alone_gives_nothing():
    X = np.ones((20, 1))
    assert RowStatistics().fit(X).transform(X).shape == (20, 0)


@parametrize_with_checks([RowStatistics(), NumberFeatures()])
def test_scikit_learn_checks(estimator, check):
    check(estimator)
