"""Converting a fitted mixture, and holding the graph against it."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from .. import io
from .._version import __version__
from ._errors import ConversionError, ReplayError
from ._estimators import bare, transformed
from ._features import Features, as_inputs, declare_features, element_type
from ._graph import Graph
from ._libraries import import_library
from ._mixture import MixtureOutputs, class_labels, mixture_outputs, n_columns
from ._register import register_converters
from ._replay import MOST_ROWS, agree, answers, as_float64, describe, difference

EXTRA_OUTPUTS = ("gate_proba",)
"""What a graph can say besides the prediction; standard deviation and quantiles belong here."""


def to_onnx(
    model: Any,
    X_sample: Any = None,
    *,
    extra_outputs: tuple[str, ...] = (),
    tolerance: float = 1e-5,
) -> Any:
    """Convert a fitted mixture to an ONNX graph that says the same.

    Gate, experts and shared expert become one graph, which any runtime of ONNX evaluates without
    Python. Before it is returned, ONNX Runtime answers with it for the sample and is held against
    the mixture.

    Parameters
    ----------
    model : fitted mixture, or Pipeline that ends in one
    X_sample : array or frame of shape (n_samples, n_features), default=None
        Rows like those that are to be served, which decide on the inputs: an array is one input
        ``X`` of its type, a frame one input of shape (n, 1) for each column, as with
        skl2onnx. None makes rows up, of float32.
    extra_outputs : tuple of {"gate_proba"}, default=()
        Outputs after those of the prediction. ``"gate_proba"``: the gate's probabilities
        (n_samples, n_experts).
    tolerance : float, default=1e-5
        Largest difference from the mixture, relative to its largest value.

    Returns
    -------
    graph : onnx.ModelProto
        Outputs of a classifier: ``label`` (n,) and ``probabilities`` (n, n_classes). Of a
        regressor: ``variable`` (n, n_outputs). Numbers are float64 if an input is, else float32.
        ``metadata_props`` hold the version, classes, features, and five golden rows that
        `skmoe.onnx.verify` replays.

    Raises
    ------
    ImportError
        If a library of the extra ``onnx`` is not installed.
    ConversionError
        If an expert, the gate or the shared expert cannot be converted; names all of them.
    ReplayError
        If the graph and the mixture differ by more than the tolerance.

    See Also
    --------
    skmoe.dump : Saves everything, for Python.

    Notes
    -----
    Computed in float64 inside, whatever the inputs are: trees of scikit-learn (also of histogram
    gradient boosting) with a converter of our own, other estimators by skl2onnx where it can,
    and in float32 where it cannot (``SVC``, LightGBM, XGBoost, CatBoost). A forest rounds
    features to float32, as in scikit-learn. All experts are evaluated for all rows; with `top_k`
    the others have weight 0.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor, to_onnx
    >>> X = np.linspace(-1, 1, 200).reshape(-1, 1)
    >>> moe = MixtureOfExpertsRegressor(n_experts=2, random_state=0).fit(X, np.abs(X[:, 0]))
    >>> try:
    ...     graph = to_onnx(moe, X.astype(np.float32))
    ...     print([output.name for output in graph.graph.output])
    ... except ImportError:  # without the extra
    ...     print(["variable"])
    ['variable']
    """
    import_library("onnxruntime")
    register_converters()
    mixture = mixture_of(model)
    check_is_fitted(model)
    unknown = [name for name in extra_outputs if name not in EXTRA_OUTPUTS]
    if unknown:
        raise ValueError(f"extra_outputs: there is no {unknown}; choose from {EXTRA_OUTPUTS}")
    rows = made_up_rows(model) if X_sample is None else X_sample
    graph = Graph()
    features = declare_features(graph, rows, model.n_features_in_)
    outputs = model_outputs(graph, model, features)
    declare_outputs(graph, mixture, outputs, features.floating, extra_outputs)
    written = graph.model(type(mixture).__name__)
    written.producer_name, written.producer_version = "skmoe", __version__
    try:
        agree(written, model, rows, features, tolerance)
    except ReplayError as error:
        guilty = differing_parts(graph, model, outputs, rows, features, tolerance)
        raise ReplayError(f"{error}. By themselves differ: {', '.join(guilty)}") from None
    describe(written, model, rows, features, tolerance)
    return written


def differing_parts(
    graph: Graph,
    model: Any,
    outputs: MixtureOutputs,
    rows: Any,
    features: Features,
    tolerance: float,
) -> list[str]:
    """The parts of a mixture that its graph gets wrong, by name."""
    mixture, rows = mixture_of(model), rows[:MOST_ROWS]
    inputs, own = as_inputs(features, rows), as_float64(rows)
    if isinstance(model, Pipeline):
        own = model[:-1].transform(own)
    opinions = mixture.predict_experts(own)
    expected = {"the gate": (outputs.gate_proba, mixture.gate_proba(own))}
    for k, name in enumerate(mixture.named_experts_):
        expected[f"expert {name!r}"] = (
            outputs.experts[k],
            opinions[:, k].reshape(len(opinions), -1),
        )
    for position, (tensor, _) in enumerate(expected.values()):
        graph.declare_output(f"part_{position}", tensor, element_type("float64"), None)
    found = answers(graph.model("parts"), inputs, [f"part_{i}" for i in range(len(expected))])
    return [
        name
        for (name, (_, truth)), part in zip(expected.items(), found, strict=True)
        if difference(truth, part) > tolerance
    ] or ["none of gate and experts, so it is the shared expert"]


def mixture_of(model: Any) -> Any:
    """The mixture itself, or that at the end of a Pipeline.

    Raises
    ------
    TypeError
        If there is none.
    """
    last = bare(model[-1] if isinstance(model, Pipeline) else model)
    if not hasattr(last, "gate_proba"):
        raise TypeError(
            f"to_onnx converts a mixture of experts, or a Pipeline that ends in one; got "
            f"{type(model).__name__}. For other models use skl2onnx.to_onnx, after "
            "skmoe.onnx.register_converters() if there is a mixture inside"
        )
    return last


def made_up_rows(model: Any) -> Any:
    """Rows for a mixture that came without a sample."""
    if isinstance(model, Pipeline):
        raise ValueError("X_sample: give a few rows like those that the Pipeline was fitted on")
    rows = io.invented_rows(model)
    return rows if hasattr(rows, "columns") else rows.astype(np.float32)


def model_outputs(graph: Graph, model: Any, features: Features) -> MixtureOutputs:
    """Write a mixture, and the steps of a Pipeline before it."""
    if isinstance(model, Pipeline):
        if len(model.steps) > 1:
            try:
                features = transformed(graph, model[:-1], features)
            except ConversionError as error:
                raise ConversionError(f"the steps before the mixture: {error}") from error
        model = model[-1]
    return mixture_outputs(graph, bare(model), features)


def declare_outputs(
    graph: Graph,
    mixture: Any,
    outputs: MixtureOutputs,
    floating: str,
    extra_outputs: tuple[str, ...],
) -> None:
    """Write the outputs of the whole."""

    def numbers(name: str, tensor: str, width: int) -> None:
        graph.declare_output(
            name, graph.cast(tensor, floating), element_type(floating), [None, width]
        )

    width = n_columns(mixture)
    if is_classifier(mixture):
        labels, kind = class_labels(graph, mixture, outputs.prediction)
        graph.declare_output("label", labels, element_type(kind), [None])
        numbers("probabilities", outputs.prediction, width)
    else:
        numbers("variable", outputs.prediction, width)
    for name in extra_outputs:
        numbers(name, getattr(outputs, name), mixture.n_experts_)
