"""Converters that skl2onnx knows, for models that contain a mixture or histogram boosting."""

from __future__ import annotations

from typing import Any

from sklearn.base import is_classifier
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from .._base import BaseMixtureOfExperts
from .._classifier import MixtureOfExpertsClassifier
from .._regressor import MixtureOfExpertsRegressor
from ._estimators import estimator_output
from ._features import STRING, Column, Features, element_type
from ._graph import Graph
from ._libraries import import_library
from ._mixture import check_one_output, class_labels, mixture_outputs, n_columns
from ._trees import histogram_scores

CLASSIFIER_OPTIONS = {
    "zipmap": [True, False, "columns"],
    "nocl": [True, False],
    "output_class_labels": [False, True],
}

HISTOGRAM_CLASSIFIER_OPTIONS = CLASSIFIER_OPTIONS | {"raw_scores": [True, False]}
"""Calibration asks for the logits."""


def register_converters() -> None:
    """Teach skl2onnx to convert mixtures, wherever they are in a model.

    Afterwards ``skl2onnx.to_onnx`` converts a Pipeline or a search with a mixture inside. It also
    learns histogram gradient boosting anew: its own converter, of release 1.20, fails with
    scikit-learn 1.9. What it makes is not replayed and has no golden rows; `to_onnx` does both.

    Raises
    ------
    ImportError
        If a library of the extra ``onnx`` is not installed.

    Examples
    --------
    >>> import skmoe.onnx
    >>> try:
    ...     skmoe.onnx.register_converters()
    ... except ImportError:
    ...     pass  # without the extra
    """
    skl2onnx = import_library("skl2onnx")
    options = {
        MixtureOfExpertsClassifier: CLASSIFIER_OPTIONS,
        MixtureOfExpertsRegressor: None,
        HistGradientBoostingClassifier: HISTOGRAM_CLASSIFIER_OPTIONS,
        HistGradientBoostingRegressor: None,
    }
    for estimator, own in options.items():
        name = f"Skmoe{estimator.__name__}"
        skl2onnx.update_registered_converter(
            estimator, name, calculate_shapes, convert, options=own, overwrite=True
        )


def calculate_shapes(operator: Any) -> None:
    """Types and shapes of the outputs, as skl2onnx asks for them."""
    from skl2onnx.common import data_types

    estimator = operator.raw_operator
    check_one_output(estimator)
    numbers = type(data_types.guess_tensor_type(operator.inputs[0].type))
    if is_classifier(estimator):
        text = estimator.classes_.dtype.kind not in "iubf"
        label = data_types.StringTensorType if text else data_types.Int64TensorType
        operator.outputs[0].type = label([None])
        operator.outputs[1].type = numbers([None, len(estimator.classes_)])
    else:
        operator.outputs[0].type = numbers(
            [None, n_columns(estimator) if hasattr(estimator, "scale_") else 1]
        )


def convert(scope: Any, operator: Any, container: Any) -> None:
    """Write an estimator into a graph of skl2onnx.

    Parameters
    ----------
    scope, operator, container
        Of skl2onnx: names, the estimator with its inputs and outputs, and the graph.
    """
    from onnx.compose import add_prefix
    from onnx.helper import make_node
    from skl2onnx.common.data_types import guess_proto_type

    graph = Graph(container.target_opset)
    features = given_features(graph, operator.inputs)
    raw = container.get_options(operator.raw_operator, {}, fail=False).get("raw_scores", False)
    tensors = written_outputs(graph, operator.raw_operator, features, raw)
    for position, (tensor, output) in enumerate(zip(tensors, operator.outputs, strict=True)):
        element = guess_proto_type(output.type)
        if position == len(tensors) - 1:  # labels are before the numbers
            tensor = graph.add("Cast", tensor, to=element)
        graph.declare_output(f"output_{position}", tensor, element, None)
    model = add_prefix(graph.model("part"), scope.get_unique_variable_name("skmoe") + "_")
    for inside, outside in zip(model.graph.input, operator.inputs, strict=True):
        container.nodes.append(make_node("Identity", [outside.full_name], [inside.name]))
    container.nodes.extend(model.graph.node)
    for inside, outside in zip(model.graph.output, operator.outputs, strict=True):
        container.nodes.append(make_node("Identity", [inside.name], [outside.full_name]))
    container.initializers.extend(model.graph.initializer)
    container.node_domain_version_pair_sets.update(
        (opset.domain, opset.version) for opset in model.opset_import
    )


def given_features(graph: Graph, variables: list[Any]) -> Features:
    """Inputs of the part: one matrix, or a column each."""
    kinds = {"FloatTensorType": "float32", "DoubleTensorType": "float64"}
    kinds |= {"StringTensorType": STRING, "BooleanTensorType": "bool"}
    columns = []
    for position, variable in enumerate(variables):
        kind = kinds.get(type(variable.type).__name__, "int64")
        name = graph.declare_input(f"input_{position}", element_type(kind), [None, None])
        columns.append(Column(variable.raw_name, name, kind))
    if len(columns) > 1:
        return Features("", len(columns), tuple(columns))
    shape = variables[0].type.shape
    width = shape[1] if len(shape) > 1 and shape[1] is not None else -1
    return Features(columns[0].tensor, width, kind=columns[0].kind)


def written_outputs(graph: Graph, estimator: Any, features: Features, raw: bool) -> list[str]:
    """Labels and probabilities, or logits, of a classifier; predictions of a regressor."""
    if isinstance(estimator, BaseMixtureOfExperts):
        output = mixture_outputs(graph, estimator, features).prediction
    elif raw:
        output = histogram_scores(graph, estimator, features.matrix(graph))
        if len(estimator.classes_) == 2:  # of both, as skl2onnx has it
            output = graph.add("Concat", graph.add("Neg", output), output, axis=1)
    else:
        output = estimator_output(graph, estimator, features)
    if is_classifier(estimator):
        return [class_labels(graph, estimator, output)[0], output]
    return [output]
