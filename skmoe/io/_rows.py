"""A few rows of any input that estimators take, as plain values for the manifest and back."""

from __future__ import annotations

import datetime
import importlib
from typing import Any

import numpy as np
from scipy import sparse

NUMERIC_KINDS = "biuf"

TIMES = ("datetime64", "timedelta64")
"""How the names of pandas' types of times and durations begin."""

MOMENTS: dict[str, Any] = {
    "datetime": datetime.datetime,
    "date": datetime.date,
    "time": datetime.time,
}
"""Values of columns of objects that are written as text; each datetime is a date, too."""


def kind_of(rows: Any) -> str:
    """Return "pandas", "polars", "sparse" or "array"."""
    if sparse.issparse(rows):
        return "sparse"
    library = type(rows).__module__.split(".")[0]
    if library in ("pandas", "polars") and hasattr(rows, "columns"):
        return library
    return "array"


def first_rows(rows: Any, n_rows: int) -> Any:
    """At most `n_rows` rows, in the form in which they were given.

    Raises
    ------
    ValueError
        If there are none, or they are not two-dimensional.
    """
    kind = kind_of(rows)
    if kind == "array":
        rows = np.asarray(rows)
    elif kind == "sparse":
        rows = rows.tocsr()
    if len(rows.shape) != 2 or rows.shape[0] == 0:
        raise ValueError(
            f"golden_rows must hold at least one row of shape (n_features,); got an input of "
            f"shape {rows.shape}"
        )
    return rows.head(n_rows) if kind in ("pandas", "polars") else rows[:n_rows]


def rows_to_record(rows: Any) -> dict[str, Any]:
    """Plain values that describe rows completely.

    Raises
    ------
    ValueError
        If they hold anything but numbers, booleans, strings, categories, dates and times, and
        missing values.
    """
    kind = kind_of(rows)
    if kind == "array":
        return {"kind": kind, **numbers_to_record(rows)}
    if kind == "sparse":
        return {
            "kind": kind,
            "shape": list(rows.shape),
            "data": numbers_to_record(rows.data),
            "indices": rows.indices.tolist(),
            "indptr": rows.indptr.tolist(),
        }
    if kind == "pandas":
        columns = [pandas_column(rows.iloc[:, i]) for i in range(rows.shape[1])]
    else:
        columns = [polars_column(series) for series in rows.get_columns()]
    for column, name in zip(columns, rows.columns, strict=True):
        column["name"] = plain(name)
    return {"kind": kind, "columns": columns}


def rows_from_record(record: dict[str, Any]) -> Any:
    """Rows that `rows_to_record` has described.

    Raises
    ------
    ImportError
        If the library of the frame is not installed.
    """
    kind = record["kind"]
    if kind == "array":
        return numbers_from_record(record)
    if kind == "sparse":
        parts = numbers_from_record(record["data"]), record["indices"], record["indptr"]
        return sparse.csr_matrix(parts, shape=record["shape"])
    if kind not in ("pandas", "polars"):
        raise ValueError(f"golden rows of an unknown kind {kind!r}")
    library = importlib.import_module(kind)
    if kind == "polars":
        return library.DataFrame([polars_series(library, column) for column in record["columns"]])
    series = [pandas_series(library, column) for column in record["columns"]]
    frame = library.concat(series, axis=1)
    frame.columns = [column["name"] for column in record["columns"]]
    return frame


def pandas_column(series: Any) -> dict[str, Any]:
    """Type and values of a column."""
    record: dict[str, Any] = {"dtype": str(series.dtype)}
    if record["dtype"].startswith(TIMES):
        return record | {"values": series.astype("int64").tolist()}
    record["values"] = plain_list(series)
    if record["dtype"] == "category":
        record["categories"] = plain_list(series.cat.categories)
        record["ordered"] = bool(series.cat.ordered)
    return record


def pandas_series(pandas: Any, column: dict[str, Any]) -> Any:
    """Column of a pandas frame."""
    dtype: Any = column["dtype"]
    if dtype == "category":
        dtype = pandas.CategoricalDtype(unplain_list(column["categories"]), column["ordered"])
    elif dtype.startswith(TIMES):
        return pandas.Series(column["values"], dtype="int64").astype(dtype)
    return pandas.Series(unplain_list(column["values"]), dtype=dtype)


def polars_column(series: Any) -> dict[str, Any]:
    """Type and values of a column."""
    dtype, values = series.dtype, series
    record = {"dtype": str(dtype).partition("(")[0]}
    if dtype.is_temporal():  # numbers of units since an epoch
        values = series.to_physical()
        for name in ("time_unit", "time_zone"):
            if hasattr(dtype, name):
                record[name] = getattr(dtype, name)
    elif record["dtype"] == "Enum":
        record["categories"] = dtype.categories.to_list()
    return record | {"values": plain_list(values)}


def polars_series(polars: Any, column: dict[str, Any]) -> Any:
    """Column of a polars frame."""
    arguments = {k: column[k] for k in ("time_unit", "time_zone", "categories") if k in column}
    dtype = getattr(polars, column["dtype"])
    dtype = dtype(**arguments) if arguments else dtype
    values = unplain_list(column["values"])
    if dtype.is_temporal():
        return polars.Series(column["name"], values, dtype=polars.Int64).cast(dtype)
    return polars.Series(column["name"], values, dtype=dtype)


def numbers_to_record(array: Any) -> dict[str, Any]:
    """Type, shape and values of an array."""
    array = np.asarray(array)
    if array.dtype.kind in "mM":  # whole numbers of units
        values = array.ravel().view(np.int64).tolist()
        return {"dtype": array.dtype.str, "shape": list(array.shape), "values": values}
    if array.dtype.kind not in NUMERIC_KINDS + "OU":
        raise ValueError(f"golden rows cannot hold values of type {array.dtype}")
    return {
        "dtype": "object" if array.dtype.hasobject else array.dtype.str,
        "shape": list(array.shape),
        "values": plain_list(array.ravel()),
    }


def numbers_from_record(record: dict[str, Any]) -> np.ndarray:
    """Array that `numbers_to_record` has described."""
    values = unplain_list(record["values"])
    dtype = np.dtype(record["dtype"])
    if dtype.kind in "mM":
        return np.array(values, dtype=np.int64).view(dtype).reshape(record["shape"])
    array = np.empty(len(values), dtype=dtype)
    for position, value in enumerate(values):
        array[position] = value
    return array.reshape(record["shape"])


def plain_list(values: Any) -> list[Any]:
    """Values of an array or column as JSON has them."""
    items = values.to_list() if hasattr(values, "to_list") else values.tolist()
    return [plain(value) for value in items]


def plain(value: Any) -> Any:
    """Number, string, boolean, date, time or missing value as JSON has it."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if np.isfinite(value) else {"float": repr(value)}
    if value is None or isinstance(value, bool | int | str):
        return value
    if type(value).__name__ == "NAType":
        return None
    for name, kind in MOMENTS.items():
        if isinstance(value, kind) and value == value:  # NaT is a datetime that is not itself
            return {name: value.isoformat()}
    raise ValueError(
        f"golden rows cannot hold {value!r} of type {type(value).__name__}; only numbers, "
        "booleans, strings, dates, times and missing values"
    )


def unplain_list(values: Any) -> list[Any]:
    """Inverse of `plain_list`, up to the kind of missing value."""
    return [unplain(value) if isinstance(value, dict) else value for value in values]


def unplain(record: dict[str, str]) -> Any:
    """Value that `plain` has described by its kind and its text."""
    ((name, text),) = record.items()
    return float(text) if name == "float" else MOMENTS[name].fromisoformat(text)
