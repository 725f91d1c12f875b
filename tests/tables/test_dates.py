"""Dates against Python's own calendar."""

from datetime import datetime, timedelta

import numpy as np
import pytest

from skmoe.tables import CalendarFeatures

DATES = [datetime(1899, 2, 27, 5) + timedelta(days=371 * i, hours=5 * i) for i in range(150)]
PARTS = ["year", "month", "day", "weekday", "hour"]


def column(values):
    return np.array(values, dtype=object)[:, np.newaxis]


def test_parts_are_those_of_the_calendar():
    calendar = CalendarFeatures(cycles=False).fit(column(DATES))
    assert list(calendar.get_feature_names_out(["d"])) == [f"d_{p}" for p in [*PARTS, "trend"]]
    found = calendar.transform(column(DATES))
    expected = [[d.year, d.month, d.day, d.weekday(), d.hour] for d in DATES]
    np.testing.assert_allclose(found[:, :5], expected)
    days = [(d - DATES[0]).total_seconds() / 86400 for d in DATES]
    np.testing.assert_allclose(found[:, 5] * 365.2425, days, atol=1e-8)


def test_cycles_close():
    calendar = CalendarFeatures().fit(column(DATES))
    names = list(calendar.get_feature_names_out())

    def place(date, *parts):
        found = calendar.transform(column([date]))[0]
        return found[[names.index(f"x0_{circle}_{part}") for part in parts
                      for circle in ("sin", "cos")]]  # fmt: skip

    found = calendar.transform(column(DATES))
    for part in ("year", "week", "day"):
        sin, cos = names.index(f"x0_sin_{part}"), names.index(f"x0_cos_{part}")
        np.testing.assert_allclose(found[:, sin] ** 2 + found[:, cos] ** 2, 1)
    midnight, before = datetime(2023, 1, 1), datetime(2022, 12, 31, 23, 59, 59)
    near = np.abs(place(midnight, "year", "day") - place(before, "year", "day"))
    assert near.max() < 2 * np.pi * 1.25 / 365.2425  # a day, and the quarter that a year has more


FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%Y/%m/%d",
           "%d/%m/%Y %H:%M", "%d %b %Y", "%d-%b-%Y"]  # fmt: skip


@pytest.mark.parametrize("form", FORMATS)
def test_formats_are_found(form):
    """All values together say which of day and month comes first."""
    written = [date.strftime(form) for date in DATES]
    found = CalendarFeatures(cycles=False).fit_transform(column(written))
    expected = [[d.year, d.month, d.day, d.weekday()] for d in DATES]
    np.testing.assert_array_equal(found[:, :4], expected)


def test_the_format_is_that_of_training():
    calendar = CalendarFeatures(cycles=False).fit(column(["31/12/2020", "01/02/2020"]))
    year, month, day = calendar.transform(column(["03/04/2021"]))[0, :3]
    assert (year, month, day) == (2021, 4, 3)


def test_what_is_missing_or_unreadable_is_nan():
    calendar = CalendarFeatures().fit(column(["2020-01-01", None, "2021-01-01"]))
    found = calendar.transform(column(["2020-06-01", None, "soon", np.nan]))
    assert np.isnan(found).all(axis=1).tolist() == [False, True, True, True]
    assert np.isfinite(found[0]).all()


def test_time_zones_are_brought_to_utc():
    pd = pytest.importorskip("pandas")
    berlin = pd.DataFrame({"t": pd.to_datetime(["2024-07-01 00:30"]).tz_localize("Europe/Berlin")})
    strings = column(["2024-07-01T00:30:00+02:00"])
    for X in (berlin, strings):
        hour = CalendarFeatures(cycles=False).fit(X).transform(X)[0, 4]
        assert hour == 22.5


def test_a_column_without_dates_is_named():
    pd = pytest.importorskip("pandas")
    with pytest.raises(ValueError, match="column 'when' is not a date"):
        CalendarFeatures().fit(pd.DataFrame({"when": ["2020-01-01", "yesterday"]}))


def test_a_column_that_is_all_missing_says_nothing():
    calendar = CalendarFeatures().fit(column([None, None]))
    found = calendar.transform(column([None, "2020-01-01"]))
    assert found.shape == (2, 12) and not found.any()
