"""A few rows of any input that estimators take, as plain values for the manifest and back."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from scipy import sparse

NUMERIC_KINDS = "biuf"


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
        If they hold anything but numbers, booleans, strings, categories and missing values.
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
    record: dict[str, Any] = {"dtype": str(series.dtype), "values": plain_list(series)}
    if record["dtype"] == "category":
        record["categories"] = plain_list(series.cat.categories)
        record["ordered"] = bool(series.cat.ordered)
    return record


def pandas_series(pandas: Any, column: dict[str, Any]) -> Any:
    """Column of a pandas frame."""
    dtype: Any = column["dtype"]
    if dtype == "category":
        dtype = pandas.CategoricalDtype(unplain_list(column["categories"]), column["ordered"])
    return pandas.Series(unplain_list(column["values"]), dtype=dtype)


def polars_column(series: Any) -> dict[str, Any]:
    """Type and values of a column."""
    return {"dtype": str(series.dtype).partition("(")[0], "values": plain_list(series)}


def polars_series(polars: Any, column: dict[str, Any]) -> Any:
    """Column of a polars frame."""
    dtype = getattr(polars, column["dtype"])
    return polars.Series(column["name"], unplain_list(column["values"]), dtype=dtype)


def numbers_to_record(array: Any) -> dict[str, Any]:
    """Type, shape and values of an array."""
    array = np.asarray(array)
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
    array = np.empty(len(values), dtype=dtype)
    for position, value in enumerate(values):
        array[position] = value
    return array.reshape(record["shape"])


def plain_list(values: Any) -> list[Any]:
    """Values of an array or column as JSON has them."""
    items = values.to_list() if hasattr(values, "to_list") else values.tolist()
    return [plain(value) for value in items]


def plain(value: Any) -> Any:
    """Number, string, boolean or missing value as JSON has it."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if np.isfinite(value) else {"float": repr(value)}
    if value is None or isinstance(value, bool | int | str):
        return value
    if type(value).__name__ == "NAType":
        return None
    raise ValueError(
        f"golden rows cannot hold {value!r} of type {type(value).__name__}; only numbers, "
        "booleans, strings and missing values"
    )


def unplain_list(values: Any) -> list[Any]:
    """Inverse of `plain_list`, up to the kind of missing value."""
    return [float(value["float"]) if isinstance(value, dict) else value for value in values]
