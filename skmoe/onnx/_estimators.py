"""Any estimator as a part of a graph: by a converter of our own, or by skl2onnx."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection._search import BaseSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder
from sklearn.svm import SVC, SVR, NuSVC, NuSVR
from sklearn.tree import (
    DecisionTreeClassifier,
    DecisionTreeRegressor,
    ExtraTreeClassifier,
    ExtraTreeRegressor,
)

from ._boosting import BY_NAME, register_xgboost
from ._distances import naive_bayes, neighbours, support_vector_scores, support_vectors
from ._errors import ConversionError
from ._features import STRING, Features
from ._graph import Graph
from ._libraries import import_library
from ._trees import forest, gradient_boosting, histogram_boosting

PRECISIONS = ("DoubleTensorType", "FloatTensorType")
"""In which an estimator is converted, the first that works: not all of ONNX has float64."""


def constant_prediction(graph: Graph, estimator: Any, X: str) -> str:
    """An estimator that does not look at X."""
    origin = np.zeros((1, 1))
    answer = estimator.predict_proba if is_classifier(estimator) else estimator.predict
    if getattr(estimator, "strategy", "") == "stratified":
        raise ValueError("strategy='stratified' draws at random")
    row = np.asarray(answer(origin), dtype=np.float64).reshape(1, -1)
    return repeated(graph, row, X)


def repeated(graph: Graph, row: np.ndarray, X: str) -> str:
    """A row (1, n_outputs) as often as X has rows."""
    n_samples = graph.add("Shape", X, start=0, end=1)
    shape = graph.add("Concat", n_samples, graph.constant(np.array([1])), axis=0)
    return graph.add("Expand", graph.constant(row), shape)


OWN: dict[type, Callable[[Graph, Any, str], str]] = {
    DecisionTreeClassifier: forest,
    DecisionTreeRegressor: forest,
    DummyClassifier: constant_prediction,
    DummyRegressor: constant_prediction,
    ExtraTreeClassifier: forest,
    ExtraTreeRegressor: forest,
    ExtraTreesClassifier: forest,
    ExtraTreesRegressor: forest,
    GaussianNB: naive_bayes,
    GradientBoostingClassifier: gradient_boosting,
    GradientBoostingRegressor: gradient_boosting,
    HistGradientBoostingClassifier: histogram_boosting,
    HistGradientBoostingRegressor: histogram_boosting,
    KNeighborsClassifier: neighbours,
    KNeighborsRegressor: neighbours,
    NuSVR: support_vectors,
    RandomForestClassifier: forest,
    RandomForestRegressor: forest,
    SVR: support_vectors,
}
"""Estimators that are converted here, each to a tensor (n_samples, n_outputs) of float64."""


def estimator_output(graph: Graph, estimator: Any, features: Features) -> str:
    """Write a fitted estimator.

    Parameters
    ----------
    graph : Graph
    estimator : fitted estimator
    features : Features

    Returns
    -------
    output : str
        Tensor (n_samples, n_outputs) of float64: predictions of a regressor, class probabilities
        of a classifier in its own order of classes.

    Raises
    ------
    ConversionError
        If there is no way to convert it.
    """
    estimator = bare(estimator)
    if isinstance(estimator, Pipeline):
        if len(estimator.steps) > 1:
            features = transformed(graph, estimator[:-1], features)
        return estimator_output(graph, estimator[-1], features)
    if is_calibrated_svc(estimator):
        return calibrated(graph, estimator, features)
    kind = type(estimator)
    library = kind.__module__.split(".")[0]
    converter = OWN.get(kind) or BY_NAME.get((library, kind.__name__))
    try:
        if converter is not None:
            return converter(graph, estimator, features.matrix(graph))
        if library == "xgboost":
            register_xgboost(estimator)
    except ConversionError:
        raise
    except ValueError as error:
        raise ConversionError(str(error)) from error
    return by_skl2onnx(graph, estimator, features)


def is_calibrated_svc(estimator: Any) -> bool:
    """Whether this is a `CalibratedClassifierCV` of `SVC` or `NuSVC`, not by temperature."""
    return isinstance(estimator, CalibratedClassifierCV) and all(
        each.method in ("sigmoid", "isotonic")
        and isinstance(last_step(each.estimator), SVC | NuSVC)
        for each in estimator.calibrated_classifiers_
    )


def last_step(estimator: Any) -> Any:
    """What predicts, also at the end of a Pipeline."""
    estimator = bare(estimator)
    return last_step(estimator[-1]) if isinstance(estimator, Pipeline) else estimator


def calibrated(graph: Graph, estimator: CalibratedClassifierCV, features: Features) -> str:
    """Calibrated support vector machines in float64; ONNX Runtime has them in float32 only."""
    total = ""
    for each in estimator.calibrated_classifiers_:
        model, seen = bare(each.estimator), features
        if isinstance(model, Pipeline):
            seen = transformed(graph, model[:-1], features) if len(model) > 1 else features
            model = bare(model[-1])
        try:
            scores = support_vector_scores(graph, model, seen.matrix(graph))
        except ValueError as error:
            raise ConversionError(str(error)) from error
        calibrate = isotonic if each.method == "isotonic" else sigmoid
        proba = calibrate(graph, scores, each.calibrators)
        proba = normalised(graph, proba, len(estimator.classes_))
        total = graph.add("Add", total, proba) if total else proba
    number = len(estimator.calibrated_classifiers_)
    return total if number == 1 else graph.add("Div", total, graph.constant(float(number)))


def sigmoid(graph: Graph, scores: str, calibrators: list[Any]) -> str:
    """Calibrated scores, each column by a sigmoid of its own."""
    slopes = np.array([calibrator.a_ for calibrator in calibrators])
    offsets = np.array([calibrator.b_ for calibrator in calibrators])
    scaled = graph.add("Mul", scores, graph.constant(-slopes))
    return graph.add("Sigmoid", graph.add("Sub", scaled, graph.constant(offsets)))


def isotonic(graph: Graph, scores: str, calibrators: list[Any]) -> str:
    """Calibrated scores, each column by a line from threshold to threshold, level beyond."""
    columns = []
    for position, calibrator in enumerate(calibrators):
        x, y = (
            np.asarray(v, np.float64) for v in (calibrator.X_thresholds_, calibrator.y_thresholds_)
        )
        own = graph.add("Gather", scores, graph.constant(np.array([position])), axis=1)
        risen = graph.add(
            "Max", graph.add("Sub", own, graph.constant(x[:-1])), graph.constant(0.0)
        )
        risen = graph.add("Min", risen, graph.constant(np.diff(x)))
        slopes = graph.constant((np.diff(y) / np.diff(x))[:, np.newaxis])
        columns.append(graph.add("Add", graph.add("MatMul", risen, slopes), graph.constant(y[0])))
    return graph.add("Concat", *columns, axis=1)


def normalised(graph: Graph, proba: str, n_classes: int) -> str:
    """Probabilities that sum to 1: of the second of two classes, or each against the rest."""
    if n_classes == 2:
        first = graph.add("Sub", graph.constant(1.0), proba)
        return graph.add("Concat", first, proba, axis=1)
    total = graph.add("ReduceSum", proba, graph.constant(np.array([1])), keepdims=1)
    nothing = graph.cast(graph.add("Equal", total, graph.constant(0.0)), np.float64)  # or else 0
    proba = graph.add("Add", proba, graph.add("Div", nothing, graph.constant(float(n_classes))))
    return graph.add("Div", proba, graph.add("Add", total, nothing))


def bare(estimator: Any) -> Any:
    """What predicts: the estimator that is frozen, or that a search has found."""
    if isinstance(estimator, FrozenEstimator):
        return bare(estimator.estimator)
    return bare(estimator.best_estimator_) if isinstance(estimator, BaseSearchCV) else estimator


def transformed(graph: Graph, transformer: Any, features: Features) -> Features:
    """Write a fitted transformer; returns the features that it makes."""
    output = by_skl2onnx(graph, transformer, features)
    return Features(output, -1)


def by_skl2onnx(graph: Graph, estimator: Any, features: Features) -> str:
    """Write an estimator or transformer by skl2onnx, in float64 where that works.

    Raises
    ------
    ConversionError
        With what skl2onnx said.
    """
    failure: Exception | None = None
    for precision in PRECISIONS:
        inputs = _inputs(graph, estimator, features, precision)
        types = [(name, kind) for name, (_, kind) in inputs.items()]
        try:
            model = skl2onnx_model(estimator, types, graph.opsets)
        except Exception as error:  # converters raise whatever they like
            failure = failure or error
            continue
        outputs = graph.inline(model, {name: tensor for name, (tensor, _) in inputs.items()})
        return graph.cast(outputs[-1 if is_classifier(estimator) else 0], np.float64)
    raise ConversionError(
        f"skl2onnx does not convert {type(estimator).__name__}: {_first_line(failure)}"
    ) from failure


def skl2onnx_model(estimator: Any, types: list, opsets: dict[str, int]) -> Any:
    """Convert by skl2onnx, and see whether ONNX Runtime takes the result."""
    skl2onnx, runtime = import_library("skl2onnx"), import_library("onnxruntime")
    options = {id(estimator): {"zipmap": False}} if is_classifier(estimator) else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = skl2onnx.to_onnx(
            estimator,
            initial_types=types,
            target_opset={name: opsets[name] for name in ("", "ai.onnx.ml")},
            options=options,
        )
    runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return model


def _inputs(graph: Graph, estimator: Any, features: Features, precision: str) -> dict:
    """Tensors, and their types for skl2onnx, by the names of the inputs."""
    from skl2onnx.common import data_types

    numbers = np.float64 if precision.startswith("Double") else np.float32
    kind = getattr(data_types, precision)
    if not (features.columns and (takes_columns(estimator) or not features.numeric)):
        width = None if features.n_features < 0 else features.n_features
        matrix = graph.cast(features.matrix(graph), numbers)
        return {"X": (matrix, kind([None, width]))}
    inputs = {}
    for column in features.columns:
        if column.kind == STRING:
            inputs[column.name] = column.tensor, data_types.StringTensorType([None, 1])
        else:
            inputs[column.name] = graph.cast(column.tensor, numbers), kind([None, 1])
    return inputs


def takes_columns(estimator: Any) -> bool:
    """Whether an estimator tells the columns of a frame apart."""
    if isinstance(estimator, Pipeline):
        return takes_columns(estimator.steps[0][1])
    return isinstance(estimator, ColumnTransformer | OneHotEncoder | OrdinalEncoder)


def _first_line(error: Exception | None) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"
