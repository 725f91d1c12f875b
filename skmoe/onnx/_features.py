"""The features of a graph: one matrix, or one tensor a column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ._errors import ConversionError
from ._graph import Graph

STRING = "string"


class Column(NamedTuple):
    """A column of a frame, a tensor of shape (n_samples, 1)."""

    name: str
    tensor: str
    kind: str  # "float32", "float64", "int64", "bool" or "string"


class Features(NamedTuple):
    """What an estimator is given.

    Attributes
    ----------
    tensor : str
        Of shape (n_samples, n_features), numeric; "" if `columns` are given.
    n_features : int
    columns : tuple of Column
        Empty if there is one tensor.
    kind : str
        Type of the one tensor.
    """

    tensor: str
    n_features: int
    columns: tuple[Column, ...] = ()
    kind: str = "float64"

    @property
    def floating(self) -> str:
        """Type of the numbers that the graph returns."""
        kinds = {column.kind for column in self.columns} or {self.kind}
        return "float64" if "float64" in kinds else "float32"

    @property
    def numeric(self) -> bool:
        """Whether all are numbers."""
        return all(column.kind != STRING for column in self.columns)

    def matrix(self, graph: Graph) -> str:
        """All of them as one tensor of float64.

        Raises
        ------
        ConversionError
            If some are strings.
        """
        if not self.columns:
            return graph.cast(self.tensor, np.float64)
        text = [column.name for column in self.columns if column.kind == STRING]
        if text:
            raise ConversionError(
                f"it takes the columns {text} as strings, for which ONNX has no matrix; encode "
                "them in a Pipeline that starts with a ColumnTransformer"
            )
        columns = [graph.cast(column.tensor, np.float64) for column in self.columns]
        return graph.add("Concat", *columns, axis=1) if len(columns) > 1 else columns[0]

    @property
    def first(self) -> str:
        """Some tensor with as many rows."""
        return self.columns[0].tensor if self.columns else self.tensor

    def select(self, graph: Graph, positions: Sequence[int] | None) -> Features:
        """Some of them, by position; None means all."""
        if positions is None:
            return self
        if self.columns:
            return Features("", len(positions), tuple(self.columns[i] for i in positions))
        chosen = graph.constant(np.asarray(positions, dtype=np.int64))
        return Features(graph.add("Gather", self.tensor, chosen, axis=1), len(positions))


def declare_features(graph: Graph, X: Any, n_features: int) -> Features:
    """Write the inputs of a graph that takes rows like those of X.

    Parameters
    ----------
    graph : Graph
    X : array, frame or None
        An array is one input, named X; a frame has one input for each column. None stands for an
        array of float32.
    n_features : int

    Returns
    -------
    features : Features

    Raises
    ------
    ConversionError
        If the values are of a type that ONNX does not have.
    """
    if hasattr(X, "columns"):
        names = [str(name) for name in X.columns]
        columns = []
        for position, name in enumerate(names):
            kind = column_kind(name, X.dtypes[name] if hasattr(X, "iloc") else X.dtypes[position])
            graph.declare_input(name, element_type(kind), [None, 1])
            columns.append(Column(name, name, kind))
        return Features("", n_features, tuple(columns))
    kind = "float32" if X is None else array_kind(X)
    graph.declare_input("X", element_type(kind), [None, n_features])
    return Features("X", n_features, kind=kind)


def array_kind(X: Any) -> str:
    """Type of the single input for an array."""
    dtype: Any = getattr(X, "dtype", None)
    if hasattr(X, "tocsr"):
        raise ConversionError("sparse rows have no form in ONNX; give a few rows as an array")
    if dtype is None or dtype.kind not in "fiub":
        raise ConversionError(
            f"rows of type {dtype} have no form in ONNX; give an array of numbers, or a frame"
        )
    return "float32" if dtype == np.float32 else "float64" if dtype.kind == "f" else "int64"


def column_kind(name: str, dtype: Any) -> str:
    """Type of the input for a column of pandas or polars."""
    categories: Any = getattr(dtype, "categories", ())
    if hasattr(categories, "dtype") and getattr(categories.dtype, "kind", "O") in "iufb":
        return "float64"  # as one of them may be missing
    text = str(dtype).lower()
    if text.startswith(("float", "double")):
        return "float32" if text in ("float32", "float16") else "float64"
    if text.startswith(("int", "uint")):
        return "int64"
    if text.startswith("bool"):
        return "bool"
    if text.startswith(("object", "str", "categor", "enum")):
        return STRING
    raise ConversionError(f"the column {name!r} is of type {dtype}, which ONNX does not have")


def element_type(kind: str) -> int:
    """ONNX's number of a type."""
    from onnx import TensorProto

    names = {"float32": "FLOAT", "float64": "DOUBLE"}
    return getattr(TensorProto, names.get(kind, kind.upper()))


def as_inputs(features: Features, X: Any) -> dict[str, np.ndarray]:
    """Rows as onnxruntime takes them.

    Parameters
    ----------
    features : Features
        As they were declared.
    X : array or frame

    Returns
    -------
    inputs : dict of str to ndarray
    """
    if not features.columns:
        return {features.tensor: np.ascontiguousarray(X)}
    inputs = {}
    for column in features.columns:
        values = np.asarray(X[column.name])
        if column.kind == STRING:
            values = np.array([v if isinstance(v, str) else "" for v in values], dtype=object)
        inputs[column.name] = values.astype(
            object if column.kind == STRING else np.dtype(column.kind)
        ).reshape(-1, 1)
    return inputs
