"""What a gate sees of the columns of a frame, encoded in the graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._data.encoding import Levels, Numbers
from ._errors import ConversionError
from ._estimators import transformed
from ._features import STRING, Column, Features
from ._graph import Graph


def seen_columns(graph: Graph, columns: Any, features: Features) -> Features:
    """Write what `GateColumns` make of rows.

    Parameters
    ----------
    graph : Graph
    columns : GateColumns
    features : Features
        All that the mixture is given.

    Returns
    -------
    seen : Features

    Raises
    ------
    ConversionError
        If a column is encoded in a way that ONNX cannot.
    """
    chosen = features.select(graph, columns.positions)
    if columns.encodings is None:
        return chosen
    blocks = []
    for position, (name, encoding) in enumerate(
        zip(columns.names, columns.encodings, strict=True)
    ):
        if isinstance(encoding, Numbers):
            blocks.append(chosen.select(graph, [position]).matrix(graph))
        elif isinstance(encoding, Levels) and chosen.columns:
            blocks.append(one_hot(graph, encoding, chosen.columns[position]))
        elif encoding is not None:
            raise ConversionError(f"the column {name!r} ({encoding}) cannot be encoded in ONNX")
    tensor = graph.add("Concat", *blocks, axis=1) if len(blocks) > 1 else blocks[0]
    return Features(tensor, -1)


def one_hot(graph: Graph, encoding: Levels, column: Column) -> str:
    """One column per level, and one for missing values if these are a level."""
    n_levels = len(encoding.levels)
    if column.kind == STRING:
        keys = [*encoding.levels, ""] if encoding.missing else list(encoding.levels)
        code = graph.add(
            "LabelEncoder",
            column.tensor,
            domain="ai.onnx.ml",
            keys_strings=keys,
            values_int64s=list(range(len(keys))),
            default_int64=-1,
        )
        found = graph.add("Equal", code, graph.constant(np.arange(len(keys))))
        return graph.cast(found, np.float64)
    values = graph.cast(column.tensor, np.float64)
    levels = graph.constant(np.array(encoding.levels, dtype=np.float64).reshape(1, n_levels))
    found = graph.cast(graph.add("Equal", values, levels), np.float64)
    if not encoding.missing:
        return found
    missing = graph.cast(graph.add("IsNaN", values), np.float64)
    return graph.add("Concat", found, missing, axis=1)


def numeric_view(graph: Graph, view: Any, seen: Features) -> Features:
    """Write the numbers that a consensus learns from; the gate's own if there is no view.

    Parameters
    ----------
    graph : Graph
    view : NumericView or None
    seen : Features
        What the gate sees.

    Returns
    -------
    features : Features
    """
    if view is None:
        return seen
    if view.steps is not None:
        seen = transformed(graph, view.steps, seen)
    return seen_columns(graph, view.columns, seen)
