"""Holding a graph against the mixture that it was made of, and against what that once said."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from sklearn.base import is_classifier

from .._version import __version__
from ._errors import ReplayError
from ._features import Features, as_inputs
from ._libraries import import_library

N_GOLDEN = 5
"""Rows that the graph carries, with what was said of them."""

MOST_ROWS = 1000
"""Rows of the sample at most that a graph is held against."""


def agree(graph: Any, model: Any, rows: Any, features: Features, tolerance: float) -> float:
    """Hold a graph against the mixture.

    Parameters
    ----------
    graph : onnx.ModelProto
    model : fitted mixture or Pipeline
    rows : array or frame
    features : Features
    tolerance : float

    Returns
    -------
    difference : float
        The largest, relative to the largest value.

    Raises
    ------
    ReplayError
        If it is larger than the tolerance.
    """
    rows = rows[:MOST_ROWS]
    found = answer(graph, as_inputs(features, rows))
    return within(difference(said(model, rows), found), tolerance, "the mixture says now")


def said(model: Any, rows: Any) -> np.ndarray:
    """What the mixture says of rows: class probabilities, or means (n_samples, n_outputs)."""
    rows = as_float64(rows)
    prediction = model.predict_proba(rows) if is_classifier(model) else model.predict(rows)
    return np.asarray(prediction, dtype=np.float64).reshape(len(prediction), -1)


def as_float64(rows: Any) -> Any:
    """The same numbers, with which estimators do not compute in float32."""
    return rows.astype(np.float64) if getattr(rows, "dtype", None) == np.float32 else rows


def answer(graph: Any, inputs: dict[str, np.ndarray]) -> np.ndarray:
    """What ONNX Runtime says with a graph: class probabilities, or means."""
    names = [output.name for output in graph.graph.output]
    return answers(graph, inputs, ["probabilities" if "probabilities" in names else "variable"])[0]


def answers(graph: Any, inputs: dict[str, np.ndarray], names: list[str]) -> list[np.ndarray]:
    """Some outputs of a graph, by ONNX Runtime on one thread."""
    runtime = import_library("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4  # what goes wrong is raised
    session = runtime.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(names, inputs)


def difference(expected: np.ndarray, found: np.ndarray) -> float:
    """Largest difference, relative to the largest expected value; infinite if shapes differ."""
    if expected.shape != found.shape:
        return float("inf")
    scale = np.max(np.abs(expected), initial=0.0)
    apart = np.abs(expected - found)
    return float(np.max(np.nan_to_num(apart, nan=np.inf), initial=0.0) / (scale or 1.0))


def within(apart: float, tolerance: float, whom: str) -> float:
    """Return a difference that may be; raise `ReplayError` for one that may not."""
    if not apart <= tolerance:
        raise ReplayError(
            f"with ONNX Runtime the graph says something else than {whom}: the answers differ by "
            f"{apart:.1e} of the largest, tolerance={tolerance:.0e} is allowed. An expert that is "
            "computed in float32 and divides features at thresholds may do that in a few rows; a "
            "larger difference is a fault of a converter"
        )
    return apart


def describe(graph: Any, model: Any, rows: Any, features: Features, tolerance: float) -> None:
    """Write into the metadata of a graph what it is, and golden rows."""
    golden = rows[:N_GOLDEN]
    names = getattr(model, "feature_names_in_", None)
    classes = getattr(model, "classes_", None)
    properties = {
        "version": __version__,
        "class": type(model).__name__,
        "n_features": model.n_features_in_,
        "feature_names": None if names is None else list(names),
        "classes": None if classes is None else classes.tolist(),
        "tolerance": tolerance,
        "golden_rows": {
            "inputs": {n: to_record(v) for n, v in as_inputs(features, golden).items()},
            "output": to_record(said(model, golden)),
        },
    }
    for name, value in properties.items():
        graph.metadata_props.add(key=f"skmoe.{name}", value=json.dumps(value))


def verify(graph: Any) -> float:
    """Replay the golden rows of a graph on ONNX Runtime.

    Parameters
    ----------
    graph : onnx.ModelProto, bytes, or path of a file
        Made by `to_onnx`.

    Returns
    -------
    difference : float
        The largest, relative to the largest value that the mixture said.

    Raises
    ------
    ValueError
        If the graph has no golden rows.
    ReplayError
        If the difference is larger than the tolerance that the graph was made with.
    """
    if not hasattr(graph, "metadata_props"):
        onnx = import_library("onnx")
        graph = onnx.load_from_string(graph) if isinstance(graph, bytes) else onnx.load(graph)
    properties = {
        entry.key.removeprefix("skmoe."): json.loads(entry.value)
        for entry in graph.metadata_props
        if entry.key.startswith("skmoe.")
    }
    if "golden_rows" not in properties:
        raise ValueError("this graph has no golden rows; was it made by skmoe.to_onnx?")
    golden = properties["golden_rows"]
    inputs = {name: from_record(record) for name, record in golden["inputs"].items()}
    apart = difference(from_record(golden["output"]), answer(graph, inputs))
    return within(apart, properties["tolerance"], "the mixture once said")


def to_record(array: np.ndarray) -> dict[str, Any]:
    """An array as JSON has it; missing numbers are null."""
    values = [None if value != value else value for value in array.ravel().tolist()]
    dtype = "object" if array.dtype.hasobject else array.dtype.str
    return {"dtype": dtype, "shape": list(array.shape), "values": values}


def from_record(record: dict[str, Any]) -> np.ndarray:
    """Inverse of `to_record`."""
    return np.array(record["values"], dtype=record["dtype"]).reshape(record["shape"])
