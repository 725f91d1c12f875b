"""One column of any type as numbers: categories by level, dates as time and season."""

from __future__ import annotations

import datetime
from collections import Counter
from dataclasses import dataclass
from numbers import Number
from typing import Any

import numpy as np
from sklearn.utils._missing import is_pandas_na

from .._compat import Record

MOST_LEVELS = 40
"""Categories of more levels say who a row is, not what kind of row it is."""

ROWS_PER_LEVEL = 2
"""With fewer rows for each level, on average, a column holds names or text."""

DAYS_OF_CYCLE = {"year": 365.2425, "week": 7.0, "day": 1.0}
"""The seasons that a date is seen in; the last one only of dates with a time of day."""

MICROSECONDS_OF_A_DAY = 86_400_000_000


def is_numeric(dtype):
    """Whether a column of this pandas or polars type holds numbers or booleans."""
    if hasattr(dtype, "is_numeric"):  # polars
        return dtype.is_numeric() or str(dtype) in ("Boolean", "Null")
    return getattr(dtype, "kind", "O") in "biuf"


@dataclass(frozen=True)
class Numbers(Record):
    """Numbers and booleans, as they are; NaN where one is missing."""

    def names(self, name: str) -> list[str]:
        """Names of the columns that are made of one of this name."""
        return [name]

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Values (n,) as columns (n, 1)."""
        return _or_refuse(as_numbers(values), values, "numbers")[:, np.newaxis]

    def __str__(self) -> str:
        return "numbers"


@dataclass(frozen=True)
class Levels(Record):
    """A category: one column per level, and one for missing values if there were some in training.

    A level that is new, and a value missing where none was before, is in none of the columns.

    Attributes
    ----------
    levels : tuple
    missing : bool
        Whether missing values are a level.
    """

    levels: tuple[Any, ...]
    missing: bool

    def names(self, name: str) -> list[str]:
        """Names of the columns that are made of one of this name."""
        return [f"{name}={level}" for level in self.levels] + [f"{name} missing"] * self.missing

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Values (n,) as columns (n, n_levels)."""
        codes = {level: code for code, level in enumerate(self.levels)}
        n_columns = len(codes) + self.missing
        absent = n_columns - 1 if self.missing else -1
        items = values.tolist()
        found = [absent if _is_missing(item) else codes.get(item, -1) for item in items]
        columns = np.zeros((len(items), n_columns))
        code = np.array(found, dtype=np.intp)
        known = np.flatnonzero(code >= 0)
        columns[known, code[known]] = 1.0
        return columns

    def __str__(self) -> str:
        return f"one of {len(self.levels)} levels" + " or missing" * self.missing


@dataclass(frozen=True)
class Moments(Record):
    """Dates: time in years, and sine and cosine of the place in each cycle; NaN if missing.

    Attributes
    ----------
    cycles : tuple of str
        Of `DAYS_OF_CYCLE`.
    """

    cycles: tuple[str, ...]

    def names(self, name: str) -> list[str]:
        """Names of the columns that are made of one of this name."""
        waves = [f"{wave} of {cycle}" for cycle in self.cycles for wave in ("sine", "cosine")]
        return [f"{name} {part}" for part in ("years", *waves)]

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Values (n,) as columns (n, 1 + 2 n_cycles)."""
        days = _days(_or_refuse(as_moments(values), values, "dates"))
        columns = [days / DAYS_OF_CYCLE["year"]]
        for cycle in self.cycles:
            phase = 2.0 * np.pi * days / DAYS_OF_CYCLE[cycle]
            columns += [np.sin(phase), np.cos(phase)]
        return np.column_stack(columns)

    def __str__(self) -> str:
        return "dates, as time and season"


def encoding_of(column) -> Numbers | Levels | Moments | None:
    """How a column is encoded; None if it is better left alone: text, names, objects.

    Parameters
    ----------
    column : ndarray, or Series of pandas or polars, of shape (n,)

    Returns
    -------
    encoding : Numbers, Levels, Moments or None
    """
    values = values_of(column)
    if str(getattr(column, "dtype", "")) != "category":  # whose levels may be numbers
        if as_numbers(values) is not None:
            return Numbers()
        moments = as_moments(values)
        if moments is not None:
            days = _days(moments)
            whole = np.all((days == np.floor(days)) | np.isnan(days))
            return Moments(tuple(DAYS_OF_CYCLE)[: 2 if whole else 3])
    known = [value for value in values.tolist() if not _is_missing(value)]
    try:
        levels = Counter(known)
    except TypeError:  # lists, arrays, ...
        return None
    if len(levels) > MOST_LEVELS or ROWS_PER_LEVEL * len(levels) > len(known):
        return None
    return Levels(tuple(sorted(levels, key=str)), len(known) < len(values))


def values_of(column) -> np.ndarray:
    """The values of a column as an array; dates without their time zone, in UTC."""
    if getattr(getattr(column, "dtype", None), "kind", "") == "M":
        return column.to_numpy("datetime64[us]") if hasattr(column, "iloc") else column
    return np.asarray(column)


def as_numbers(values: np.ndarray) -> np.ndarray | None:
    """Values as float64, NaN where one is missing; None if there are others than numbers."""
    if values.dtype.kind in "biuf":
        return values.astype(np.float64)
    if values.dtype.kind == "m":
        return np.where(np.isnat(values), np.nan, values / np.timedelta64(1, "D"))
    if values.dtype.kind != "O":
        return None
    known = [np.nan if _is_missing(value) else value for value in values.tolist()]
    if not all(isinstance(value, Number) and not isinstance(value, complex) for value in known):
        return None
    return np.array(known, dtype=np.float64)


def as_moments(values: np.ndarray) -> np.ndarray | None:
    """Values as dates in microseconds, NaT where one is missing; None if there are others."""
    if values.dtype.kind == "M":
        return values.astype("datetime64[us]")
    if values.dtype.kind != "O":
        return None
    made = []
    for value in values.tolist():
        moment = getattr(value, "start_time", value)  # of a period
        if not _is_missing(value) and not isinstance(moment, datetime.date):
            return None
        if isinstance(moment, datetime.datetime) and moment.tzinfo is not None:
            moment = moment.astimezone(datetime.timezone.utc).replace(tzinfo=None)
        made.append("NaT" if _is_missing(value) else moment)
    return np.array(made, dtype="datetime64[us]")


def _days(moments):
    """Days since 1970, NaN where missing."""
    days = moments.astype(np.int64) / MICROSECONDS_OF_A_DAY
    return np.where(np.isnat(moments), np.nan, days)


def _or_refuse(encoded, values, what):
    if encoded is None:
        raise ValueError(f"it held {what} in fit, and now holds values such as {values[0]!r}")
    return encoded


def _is_missing(value):
    if value is None or is_pandas_na(value) or type(value).__name__ == "NaTType":
        return True
    return isinstance(value, float) and value != value
