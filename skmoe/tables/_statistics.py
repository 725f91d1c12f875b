"""What can be said of a row without saying what is in it."""

from __future__ import annotations

from collections import Counter

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from ._dates import YEAR, as_dates, date_format
from ._frames import as_numbers, as_text, column, is_missing
from ._kinds import KINDS, column_kinds
from ._numbers import check_table

TAIL = 0.005
"""Quantile below which, and above whose counterpart, a number is out of range."""


class RowStatistics(TransformerMixin, BaseEstimator):
    """Missingness, rarity, length, range and recency of each row of a table.

    For gates that may not see the values themselves, for drift, and for explanations. It is
    not advertised for accuracy: routing on these statistics alone did not help where it was tried.

    Parameters
    ----------
    kinds : dict of {column: str}, default=None
        What is not to be guessed of `column_kinds`.

    Attributes
    ----------
    kinds_ : ColumnKinds
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only if X was a frame with string column names.

    Notes
    -----
    The statistics, those of kinds that the table has:

    - ``missing_<kind>``: share of the columns of that kind which are missing;
    - ``rarity``: mean of minus the logarithm of the frequency in training of the values of codes,
      categories and dirty strings; a value that was not there counts as one in n + 1;
    - ``unseen``: share of these values that were not there, where there are some;
    - ``length``: mean of the logarithm of one plus the number of letters of strings;
    - ``out_of_range``: share of the numbers beyond the middle 99 % of training;
    - ``recency``: mean years since the last date in training; NaN without a date.

    Examples
    --------
    >>> import pandas as pd
    >>> from skmoe.tables import RowStatistics
    >>> X = pd.DataFrame(
    ...     {"size": [1.5, 2.5, None] * 20, "town": ["York", "Hull", "York"] * 20}
    ... )
    >>> statistics = RowStatistics().fit(X)
    >>> new = pd.DataFrame({"size": [2.0, 99.0], "town": ["Leeds", None]})
    >>> rows = statistics.transform(new)
    >>> pd.DataFrame(rows, columns=statistics.get_feature_names_out()).round(1)
       missing_numeric  missing_categorical  rarity  unseen  out_of_range
    0              0.0                  0.0     4.1     1.0           0.0
    1              0.0                  1.0     0.0     0.0           1.0
    """

    def __init__(self, kinds=None):
        self.kinds = kinds

    def fit(self, X, y=None):
        """Learn frequencies, ranges and the last dates.

        Parameters
        ----------
        X : {frame, array-like} of shape (n_samples, n_features)
        y : None

        Returns
        -------
        self : RowStatistics
        """
        X = check_table(self, X, reset=True)
        kinds = column_kinds(X, self.kinds)
        frequencies, ranges, dates = {}, {}, {}
        for name in kinds.columns("code", "categorical", "dirty"):
            frequencies[name] = Counter(value for value in as_text(column(X, name)) if value)
        for name in kinds.columns("numeric"):
            numbers = as_numbers(column(X, name))
            known = numbers[~np.isnan(numbers)]
            low_high = np.quantile(known, [TAIL, 1 - TAIL]) if len(known) else (np.nan, np.nan)
            ranges[name] = tuple(low_high)
        for name in kinds.columns("datetime"):
            dates[name] = _last_date(name, column(X, name))
        self.kinds_ = kinds
        self._frequencies, self._ranges, self._dates = frequencies, ranges, dates
        return self

    def transform(self, X):
        """The statistics of each row.

        Parameters
        ----------
        X : {frame, array-like} of shape (n_samples, n_features)

        Returns
        -------
        statistics : ndarray of shape (n_samples, n_statistics)
            In the order of `get_feature_names_out`.
        """
        check_is_fitted(self)
        X = check_table(self, X, reset=False)
        made = [
            np.mean([is_missing(column(X, name)) for name in self.kinds_.columns(kind)], axis=0)
            for kind in self._present_kinds()
        ]
        if self._frequencies:
            made += self._rarity(X)
        strings = self.kinds_.columns("dirty", "text")
        if strings:
            lengths = [[len(v) for v in as_text(column(X, name))] for name in strings]
            made.append(np.log1p(lengths).mean(axis=0))
        if self._ranges:
            made.append(np.mean([self._is_outside(X, name) for name in self._ranges], axis=0))
        if self._dates:
            made.append(self._recency(X))
        return np.column_stack(made) if made else np.empty((len(X), 0))

    def get_feature_names_out(self, input_features=None):
        """Names of the statistics.

        Parameters
        ----------
        input_features : None
            Ignored: a statistic is not of one column.

        Returns
        -------
        names : ndarray of str
        """
        check_is_fitted(self)
        names = [f"missing_{kind}" for kind in self._present_kinds()]
        names += ["rarity", "unseen"] if self._frequencies else []
        names += ["length"] if self.kinds_.columns("dirty", "text") else []
        names += ["out_of_range"] if self._ranges else []
        names += ["recency"] if self._dates else []
        return np.array(names, dtype=object)

    def _present_kinds(self):
        return [kind for kind in KINDS if self.kinds_.columns(kind)]

    def _rarity(self, X):
        rarity, unseen = [], []
        for name, counts in self._frequencies.items():
            values, total = as_text(column(X, name)), counts.total() + 1
            seen = np.array([counts.get(value, 0) for value in values])
            present = values != ""
            rarity.append(np.where(present, -np.log(np.maximum(seen, 1) / total), 0.0))
            unseen.append(present & (seen == 0))
        return [np.mean(rarity, axis=0), np.mean(unseen, axis=0)]

    def _is_outside(self, X, name):
        low, high = self._ranges[name]
        numbers = as_numbers(column(X, name))
        return (numbers < low) | (numbers > high)

    def _recency(self, X):
        years = []
        for name, (form, last) in self._dates.items():
            since = (as_dates(column(X, name), form) - last).astype("timedelta64[s]")
            years.append(np.where(np.isnat(since), np.nan, since.astype(float) / 86400 / YEAR))
        known = np.sum(~np.isnan(years), axis=0)
        return np.where(known > 0, np.nansum(years, axis=0) / np.maximum(known, 1), np.nan)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags


def _last_date(name, values):
    present = values[~is_missing(values)]
    form = date_format(present)
    if form is None:
        raise ValueError(
            f"column {name!r} is not a date in one format that is known; give it another kind"
        )
    return form, as_dates(present, form).max()
