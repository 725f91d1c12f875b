"""What kind of column each one is: a small detector, and what the user says comes first."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._dates import date_format
from ._frames import as_text, column, column_names, is_missing

KINDS = ("numeric", "code", "categorical", "dirty", "text", "datetime")
"""Kinds that models can learn from."""

LEFT_OUT = ("constant", "identifier")
"""Kinds of columns that no encoder sees."""

MOST_CODES = 30
"""Whole numbers of more different values are quantities."""

MOST_CATEGORIES = 50
"""Strings of more different values are dirty categories, or text."""

ROWS_PER_CATEGORY = 5
"""Strings with fewer rows for each value are dirty categories, or text."""

WORDS_OF_TEXT = 3
"""Mean number of words from which strings that hardly repeat are text."""

REPEATS_OF_TEXT = 0.5
"""Different values, as a fraction of the rows, from which strings hardly repeat."""

CODE_NAMES = ("id", "code", "zip", "postcode", "plz")
"""Last words of the names of columns whose whole numbers are codes, however many."""


class ColumnKinds(dict):
    """Kind of each column, by its name; prints as a table with the reasons.

    A dict that can be edited: ``kinds["zip"] = "code"``.

    Parameters
    ----------
    kinds : dict of {column: str}
    reasons : dict of {column: str}, default=None

    Attributes
    ----------
    reasons : dict of {column: str}
        Why; of a column whose kind was set, "given".
    """

    def __init__(self, kinds, reasons=None):
        super().__init__()
        self.reasons: dict = {}
        for name, kind in kinds.items():
            self[name] = kind
        self.reasons.update(reasons or {})

    def __setitem__(self, name, kind):
        if kind not in KINDS + LEFT_OUT:
            raise ValueError(
                f"kind {kind!r} of column {name!r} is none of {', '.join(KINDS + LEFT_OUT)}"
            )
        super().__setitem__(name, kind)
        self.reasons[name] = "given"

    def columns(self, *kinds):
        """Names of the columns of these kinds, in the order of the table.

        Parameters
        ----------
        *kinds : str

        Returns
        -------
        names : list
        """
        return [name for name, kind in self.items() if kind in kinds]

    def __repr__(self):
        width = max([len("column"), *(len(str(name)) for name in self)])
        lines = [f"{'column':<{width}}  {'kind':<11}  why"]
        for name, kind in self.items():
            left_out = " (left out)" if kind in LEFT_OUT else ""
            lines.append(f"{name!s:<{width}}  {kind:<11}  {self.reasons[name]}{left_out}")
        return "\n".join(lines)

    def __reduce__(self):
        return type(self), (dict(self), self.reasons)


def column_kinds(X: Any, kinds: dict | None = None) -> ColumnKinds:
    """Look at a table and say what kind of column each one is.

    ============  ==========================================================================
    numeric       quantities, also as strings ("1.5")
    code          whole numbers that may stand for categories (month, class), and booleans:
                  encoders treat them as both
    categorical   strings of few different values
    dirty         strings of many values that repeat: names with variants, codes of diagnoses
    text          strings of several words that hardly repeat
    datetime      dates, also as strings in one format
    constant      one value in all rows; left out
    identifier    another value in each row that says nothing, such as a row number; left out
    ============  ==========================================================================

    Parameters
    ----------
    X : {frame, array-like} of shape (n_samples, n_features)
        Frames of pandas or polars; of an array the columns are 0, 1, ...
    kinds : dict of {column: str}, default=None
        Kinds of some columns, or of all, that are not to be guessed.

    Returns
    -------
    kinds : ColumnKinds
        A dict that can be edited and prints as a table.

    Raises
    ------
    ValueError
        If `kinds` names a column that X lacks, or a kind that does not exist.

    Notes
    -----
    The detector looks at values, never at the target, and takes a column for what is the least
    harm: encoders of codes keep the number as well, those of dirty categories keep the words.

    Examples
    --------
    >>> import pandas as pd
    >>> from skmoe.tables import column_kinds
    >>> X = pd.DataFrame({
    ...     "born": ["1/31/1990", "12/1/1985", "6/2/2001"] * 10,
    ...     "town": ["York", "Leeds", "York"] * 10,
    ...     "height": [1.80, 1.65, None] * 10,
    ... })
    >>> column_kinds(X, kinds={"town": "dirty"})
    column  kind         why
    born    datetime     dates in the format %m/%d/%Y
    town    dirty        given
    height  numeric      numbers
    """
    X = X if hasattr(X, "columns") or hasattr(X, "dtype") else np.asarray(X, dtype=object)
    names = column_names(X)
    unknown = [name for name in kinds or {} if name not in names]
    if unknown:
        raise ValueError(f"kinds names columns that X lacks: {unknown}; X has {names}")
    found, reasons = {}, {}
    for name in names:
        if kinds and name in kinds:
            found[name], reasons[name] = kinds[name], "given"
        else:
            found[name], reasons[name] = _kind(name, column(X, name), _is_category(X, name))
    return ColumnKinds(found, reasons)


def _is_category(X, name):
    """Whether a frame says itself that a column has categories."""
    dtype = str(X[name].dtype) if hasattr(X, "columns") else ""
    return dtype.lower().startswith(("category", "categorical", "enum"))


def _kind(name, values, is_category):
    missing = is_missing(values)
    present = values[~missing]
    if len(present) == 0:
        return "constant", "all values are missing"
    if values.dtype.kind == "M":
        return "datetime", "dates"
    if values.dtype.kind == "b":
        return _unless_constant(present, missing, "code", "booleans")
    if is_category:
        return _strings(as_text(present), missing, only_categories=True)
    form = date_format(present)
    if form is not None:
        return "datetime", f"dates in the format {form}"
    numbers = _as_numbers(present)
    if numbers is not None:
        return _numbers(name, numbers, missing)
    return _strings(as_text(present), missing, only_categories=False)


def _as_numbers(present):
    """The values as floats, if all of them are numbers."""
    try:
        return present.astype(np.float64)
    except (TypeError, ValueError):
        return None


def _numbers(name, numbers, missing):
    different = np.unique(numbers)
    n_rows, n_different = len(numbers), len(different)
    whole = bool(np.all(np.mod(different[np.isfinite(different)], 1) == 0))
    named_code = str(name).lower().replace("-", "_").split("_")[-1] in CODE_NAMES
    if n_different == 1:
        return _unless_constant(numbers, missing, "code", "one number or missing")
    if whole and n_different == n_rows and n_rows > MOST_CODES:
        if named_code or np.ptp(different) == n_rows - 1:
            return "identifier", "another whole number in each row"
    if whole and n_different <= MOST_CODES and np.ptp(different) < 2 * n_different:
        return "code", f"{n_different} whole numbers"
    if whole and named_code and n_different < n_rows / 2:
        return "code", f"{n_different} whole numbers, and its name"
    return "numeric", "numbers"


def _strings(text, missing, only_categories):
    n_rows, n_different = len(text), len(set(text.tolist()))
    if n_different == 1:
        return _unless_constant(text, missing, "categorical", "one value or missing")
    words = np.mean([len(value.split()) for value in text])
    seen = f"{n_different} values in {n_rows} rows"
    few = max(2, min(MOST_CATEGORIES, n_rows / ROWS_PER_CATEGORY))
    if n_different <= few:
        return "categorical", f"{n_different} values"
    if only_categories:
        return "dirty", f"{seen}, declared as categories"
    if words >= WORDS_OF_TEXT and n_different >= REPEATS_OF_TEXT * n_rows:
        return "text", f"{seen}, of {words:.0f} words"
    if n_different == n_rows and n_rows > MOST_CODES and words < 1.5:
        return "identifier", "another word in each row"
    return "dirty", seen


def _unless_constant(present, missing, kind, reason):
    if not missing.any() and len(set(present.tolist())) == 1:
        return "constant", "one value"
    return kind, reason
