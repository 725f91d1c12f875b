"""Dates: one format a column, found when it is first seen; what the calendar says of them."""

from __future__ import annotations

from datetime import datetime, timezone

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from ._frames import columns_of, is_missing
from ._numbers import check_table

ISO = "ISO 8601"
"""Stands for what ``datetime.fromisoformat`` reads, which is not one format."""

DAYS = ("%Y/%m/%d", "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%d %b %Y",
        "%b %d, %Y", "%d-%b-%Y", "%d-%b-%y", "%m/%d/%y", "%d.%m.%y")  # fmt: skip
TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p")
FORMATS = (ISO, *(day + time for day in DAYS for time in TIMES))
"""In the order in which they are tried: of ``03/04/2020`` the month comes first, unless some value
of the column can only be read the other way."""

YEAR = 365.2425
"""Days."""


def date_format(values: np.ndarray) -> str | None:
    """The first known format that reads all values; None if there is no such format.

    Parameters
    ----------
    values : ndarray of shape (n_samples,)
        Without missing ones. Those of a date type are in "ISO 8601".
    """
    if values.dtype.kind == "M":
        return ISO
    if not all(isinstance(value, str) or _is_date(value) for value in values.tolist()):
        return None
    different = list(dict.fromkeys(values.tolist()))
    # The first value rules most formats out, so that few are tried on all of them.
    fitting = (f for f in FORMATS if different and _read(different[0], f) is not None)
    return next((f for f in fitting if all(_read(v, f) is not None for v in different)), None)


def _is_date(value):
    return hasattr(value, "isoformat")


def _read(value, form):
    """A naive datetime, in UTC if the value has a time zone; None if it is not in that format."""
    text = value.isoformat() if _is_date(value) else str(value).strip()
    try:
        if form == ISO:
            # Python 3.10 reads only what `isoformat` writes; a bare number is no date.
            if len(text) < 8 or not (text[4] in "-/" and text[:4].isdigit()):
                return None
            read = datetime.fromisoformat(text.replace("Z", "+00:00"))
        else:
            read = datetime.strptime(text, form)
    except (ValueError, OverflowError):
        return None
    return read.astimezone(timezone.utc).replace(tzinfo=None) if read.tzinfo else read


def as_dates(values: np.ndarray, form: str) -> np.ndarray:
    """Dates of shape (n_samples,), dtype datetime64[s]; NaT where a value is not in the format."""
    if values.dtype.kind == "M":
        return values.astype("datetime64[s]")
    known = {value: _read(value, form) for value in set(values[~is_missing(values)].tolist())}
    found = [known.get(value) for value in values.tolist()]
    return np.array(found, dtype="datetime64[s]")


class CalendarFeatures(TransformerMixin, BaseEstimator):
    """Dates as numbers: parts of the calendar, its cycles, and the trend.

    Each column becomes twelve: year, month, day, weekday (Monday is 0) and hour; sine and cosine
    of the place in the year, in the week and in the day; and the trend, the years since the first
    date in training. A missing date, or what cannot be read, is NaN throughout; a column without
    any date in training is 0 throughout, as in `NumberFeatures`.

    Parameters
    ----------
    cycles : bool, default=True
        Whether to add the six sines and cosines: for linear models, neighbours and networks.
        Trees do without.

    Attributes
    ----------
    formats_ : tuple of str
        Of each column: a format of ``datetime.strptime`` or "ISO 8601".
    first_ : ndarray of shape (n_features,), dtype datetime64[s]
        First date of each column in training.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only if X was a frame with string column names.

    Examples
    --------
    >>> from skmoe.tables import CalendarFeatures
    >>> calendar = CalendarFeatures(cycles=False)
    >>> calendar.fit_transform([["24/12/2025"], ["01/01/2026"]]).round(2)
    array([[2.025e+03, 1.200e+01, 2.400e+01, 2.000e+00, 0.000e+00, 0.000e+00],
           [2.026e+03, 1.000e+00, 1.000e+00, 3.000e+00, 0.000e+00, 2.000e-02]])
    """

    def __init__(self, cycles=True):
        self.cycles = cycles

    def fit(self, X, y=None):
        """Find the format of each column, and its first date.

        Parameters
        ----------
        X : {array-like, frame} of shape (n_samples, n_features)
            Dates, or strings that are dates.
        y : None

        Returns
        -------
        self : CalendarFeatures

        Raises
        ------
        ValueError
            If a column holds no dates, or not in one known format.
        """
        X = check_table(self, X, reset=True)
        names = getattr(self, "feature_names_in_", range(self.n_features_in_))
        formats, first = [], []
        for name, values in zip(names, columns_of(X), strict=True):
            present = values[~is_missing(values)]
            form = date_format(present) if len(present) else ISO
            if form is None:
                raise ValueError(
                    f"column {name!r} is not a date in one format that is known; convert it "
                    f"to dates first (pandas.to_datetime) or give it another kind"
                )
            formats.append(form)
            dates = as_dates(present, form)
            first.append(dates.min() if len(dates) else np.datetime64("NaT", "s"))
        self.formats_ = tuple(formats)
        self.first_ = np.array(first, dtype="datetime64[s]")
        return self

    def transform(self, X):
        """Numbers of the dates.

        Parameters
        ----------
        X : {array-like, frame} of shape (n_samples, n_features)

        Returns
        -------
        features : ndarray of shape (n_samples, n_features_out)
        """
        check_is_fitted(self)
        X = check_table(self, X, reset=False)
        parts = [
            _calendar(as_dates(values, form), first, self.cycles)
            for values, form, first in zip(columns_of(X), self.formats_, self.first_, strict=True)
        ]
        for part, first in zip(parts, self.first_, strict=True):
            if np.isnat(first):
                part.update({name: np.zeros(len(values)) for name, values in part.items()})
        return np.column_stack([feature for part in parts for feature in part.values()])

    def get_feature_names_out(self, input_features=None):
        """Names such as ``date_month``.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the columns; None takes those seen in fit, or ``x0``, ``x1``, ...

        Returns
        -------
        names : ndarray of str
        """
        check_is_fitted(self)
        if input_features is None:
            plain = [f"x{i}" for i in range(self.n_features_in_)]
            input_features = getattr(self, "feature_names_in_", plain)
        now = np.array([], dtype="datetime64[s]")
        parts = list(_calendar(now, np.datetime64("NaT", "s"), self.cycles))
        return np.array([f"{name}_{part}" for name in input_features for part in parts], object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False  # of numbers
        return tags


def _calendar(dates, first, cycles):
    """Name -> values (n_samples,) of all features of one column of dates."""
    missing = np.isnat(dates)
    day = dates.astype("datetime64[D]")
    month, year = dates.astype("datetime64[M]"), dates.astype("datetime64[Y]")
    hours = (dates - day).astype(float) / 3600
    days = day.astype(float)
    parts = {
        "year": year.astype(float) + 1970,
        "month": (month - year.astype(month.dtype)).astype(float) + 1,
        "day": (day - month.astype(day.dtype)).astype(float) + 1,
        "weekday": (days + 3) % 7,
        "hour": hours,
    }
    if cycles:
        since_january = (day - year.astype(day.dtype)).astype(float)
        for name, place in (
            ("year", since_january / YEAR),
            ("week", parts["weekday"] / 7),
            ("day", hours / 24),
        ):
            parts[f"sin_{name}"] = np.sin(2 * np.pi * place)
            parts[f"cos_{name}"] = np.cos(2 * np.pi * place)
    parts["trend"] = (dates - first).astype(float) / 86400 / YEAR
    return {name: np.where(missing, np.nan, values) for name, values in parts.items()}
