"""LightGBM, CatBoost and XGBoost; none is imported here: a fitted model brings its library."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ._graph import Graph
from ._libraries import import_library, import_onnx
from ._trees import LEAF, LESS, Tree, class_probabilities, sum_of_trees, with_chain


def lightgbm(graph: Graph, estimator: Any, X: str) -> str:
    """`LGBMRegressor` or `LGBMClassifier`.

    The converter of onnxmltools rounds thresholds to float32, so that a row in a hundred thousand
    goes another way.
    """
    dumped = estimator.booster_.dump_model()
    objective = dumped["objective"].split()
    if dumped.get("average_output") or any(dumped.get("pandas_categorical") or []):
        raise ValueError("boosting_type='rf' and columns of type category cannot be converted")
    n_outputs = dumped["num_tree_per_iteration"]
    parts = []
    for position, tree in enumerate(dumped["tree_info"]):
        part = _lightgbm_tree(tree["tree_structure"])
        shift = np.eye(n_outputs)[[position % n_outputs]]
        parts.append(part._replace(outputs=part.outputs * shift))
    raw = sum_of_trees(graph, X, parts, np.zeros(n_outputs))
    if objective[0] in ("regression", "regression_l1", "huber", "fair", "quantile", "mape"):
        if "sqrt" not in objective:
            return raw
    elif objective[0] in ("poisson", "gamma", "tweedie"):
        return graph.add("Exp", raw)
    elif objective[0] == "multiclass":
        return class_probabilities(graph, raw, n_outputs)
    elif objective[0] == "binary":
        slope = float(objective[1].partition(":")[2])
        return class_probabilities(graph, graph.add("Mul", raw, graph.constant(slope)), 1)
    raise ValueError(f"there is no converter for the objective {dumped['objective']!r}")


def _lightgbm_tree(root: dict) -> Tree:
    """One tree of LightGBM's dump."""
    nodes: list[dict] = []
    pending = [root]
    while pending:
        node = pending.pop()
        node["number"] = len(nodes)
        nodes.append(node)
        if "split_feature" in node:
            pending += [node["right_child"], node["left_child"]]
    branches = [node if "split_feature" in node else {} for node in nodes]
    if any(node and node["missing_type"] == "Zero" for node in branches):
        raise ValueError("zero_as_missing=True cannot be converted")

    def of_branches(value: Callable, otherwise: Any) -> np.ndarray:
        return np.array([value(node) if node else otherwise for node in branches])

    categorical = of_branches(lambda node: node["decision_type"] == "==", False)
    tree = Tree(
        of_branches(lambda node: LESS, LEAF),
        of_branches(lambda node: node["split_feature"], 0),
        of_branches(lambda node: 0.0 if node["decision_type"] == "==" else node["threshold"], 0.0),
        of_branches(lambda node: node["left_child"]["number"], 0),
        of_branches(lambda node: node["right_child"]["number"], 0),
        of_branches(_missing_goes_left, False),
        np.array([[node.get("leaf_value", 0.0)] for node in nodes]),
    )
    for split in np.flatnonzero(categorical):
        values = np.array([float(value) for value in branches[split]["threshold"].split("||")])
        left, right = int(tree.true[split]), int(tree.false[split])
        tree = with_chain(tree, int(split), values, left, right)
    return tree


def _missing_goes_left(node: dict) -> bool:
    if node["missing_type"] == "NaN":
        return bool(node["default_left"])
    return node["decision_type"] == "<=" and node["threshold"] >= 0  # missing is 0


def catboost(graph: Graph, estimator: Any, X: str) -> str:
    """`CatBoostRegressor` or `CatBoostClassifier`, as CatBoost itself exports them: float32."""
    onnx = import_onnx()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        try:
            estimator.save_model(str(path), format="onnx")
        except Exception as error:  # of CatBoost's own
            raise ValueError(f"CatBoost does not export it: {error}") from error
        model = onnx.load(path)
    # The classifier's probabilities are those before they become a list of dictionaries.
    nodes = [node for node in model.graph.node if node.op_type != "ZipMap"]
    del model.graph.node[:], model.graph.output[:]
    model.graph.node.extend(nodes)
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(nodes[-1].output[-1]))
    given = model.graph.input[0].name
    output = graph.inline(model, {given: graph.cast(X, np.float32)})[0]
    output = graph.add("Reshape", output, graph.constant(np.array([0, _width(estimator)])))
    return graph.cast(output, np.float64)


def _width(estimator: Any) -> int:
    return len(getattr(estimator, "classes_", ())) or 1


def register_xgboost(estimator: Any) -> None:
    """Teach skl2onnx to convert XGBoost, with the converter of onnxmltools."""
    skl2onnx = import_library("skl2onnx")
    try:
        from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost
    except ImportError as error:
        raise ValueError("to convert XGBoost, install onnxmltools") from error
    from skl2onnx.common import shape_calculator

    if hasattr(estimator, "predict_proba"):
        shapes = shape_calculator.calculate_linear_classifier_output_shapes
        options = {"nocl": [True, False], "zipmap": [True, False, "columns"]}
    else:
        shapes, options = shape_calculator.calculate_linear_regressor_output_shapes, None
    kind = type(estimator)
    skl2onnx.update_registered_converter(
        kind, kind.__name__, shapes, convert_xgboost, options=options, overwrite=True
    )


BY_NAME: dict[tuple[str, str], Callable[[Graph, Any, str], str]] = {
    ("catboost", "CatBoostClassifier"): catboost,
    ("catboost", "CatBoostRegressor"): catboost,
    ("lightgbm", "LGBMClassifier"): lightgbm,
    ("lightgbm", "LGBMRegressor"): lightgbm,
}
"""Converters by library and class."""
