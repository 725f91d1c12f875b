"""The gates as parts of a graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from ..gates import ClassifierGate, CosineGate, GaussianGate, HierarchicalGate, SoftmaxGate
from ..gates._classifier import PROBABILITY_FLOOR
from ..gates._renormalised import RenormalisedGate
from ..gates._terms import REACH
from ._distances import sum_of_squares
from ._errors import ConversionError
from ._estimators import bare, estimator_output, repeated, transformed
from ._features import Features
from ._graph import Graph


def gate_log_proba(graph: Graph, gate: Any, features: Features) -> str:
    """Write a fitted gate.

    Parameters
    ----------
    graph : Graph
    gate : fitted gate
    features : Features
        That the gate sees.

    Returns
    -------
    log_proba : str
        Tensor (n_samples, n_experts) of float64.

    Raises
    ------
    ConversionError
        If there is no way to convert it.
    """
    gate = bare(gate)
    if isinstance(gate, Pipeline):
        if len(gate.steps) > 1:
            features = transformed(graph, gate[:-1], features)
        return gate_log_proba(graph, gate[-1], features)
    if type(gate) not in GATES:
        raise ConversionError(
            f"there is no converter for a gate of the class {type(gate).__name__}; use one of "
            f"{', '.join(sorted(kind.__name__ for kind in GATES))}, or a classifier"
        )
    return GATES[type(gate)](graph, gate, features)


def softmax(graph: Graph, gate: SoftmaxGate, features: Features) -> str:
    """`SoftmaxGate`: linear in the features, their products, and what is missing."""
    X, missing = completed(graph, gate, features)
    columns, coef = [X], [gate.coef_]
    if len(gate.missing_features_):
        columns.append(indicators(graph, missing, gate))
        coef.append(gate.missing_coef_)
    if gate.products_ is not None:
        columns.append(products(graph, gate.products_, X))
        coef.append(gate.product_coef_)
    X = graph.add("Concat", *columns, axis=1) if len(columns) > 1 else X
    logits = affine(
        graph, X, np.hstack(coef) / gate.temperature, gate.intercept_ / gate.temperature
    )
    return graph.add("LogSoftmax", logits, axis=1)


def completed(graph: Graph, gate: Any, features: Features) -> tuple[str, str]:
    """Features whose missing values are at their mean, and which these are."""
    X = features.matrix(graph)
    missing = graph.add("IsNaN", X)
    return graph.add("Where", missing, graph.constant(gate.feature_means_), X), missing


def indicators(graph: Graph, missing: str, gate: Any) -> str:
    """Columns that are 1 where a feature is missing that also was so in training."""
    chosen = graph.add("Gather", missing, graph.constant(gate.missing_features_), axis=1)
    return graph.cast(chosen, np.float64)


def products(graph: Graph, terms: Any, X: str) -> str:
    """Squares and products of standardised features within reach."""
    centred = graph.add("Sub", X, graph.constant(terms.mean))
    Z = graph.add("Mul", centred, graph.constant(terms.inverse))
    Z = graph.add("Clip", Z, graph.constant(-REACH), graph.constant(REACH))
    first, second = (
        graph.add("Gather", Z, graph.constant(terms.pairs[:, side]), axis=1) for side in (0, 1)
    )
    return graph.add("Mul", first, second)


def affine(graph: Graph, X: str, coef: np.ndarray, intercept: np.ndarray) -> str:
    """``X @ coef.T + intercept``."""
    return graph.add(
        "Gemm", X, graph.constant(np.ascontiguousarray(coef.T)), graph.constant(intercept)
    )


def gaussian(graph: Graph, gate: GaussianGate, features: Features) -> str:
    """`GaussianGate`: linear with one covariance for all; else quadratic, feature by feature."""
    X = features.matrix(graph)
    if gate.covariance == "tied":
        logits = affine(graph, X, gate.coef_, gate.intercept_)
    else:
        logits = _diagonal(graph, gate, X)
    logits = graph.add("Div", logits, graph.constant(float(gate.temperature)))
    return graph.add("LogSoftmax", logits, axis=1)


def _diagonal(graph: Graph, gate: GaussianGate, X: str) -> str:
    """``log prior_k - 1/2 sum_j [(x_j - m_kj)^2 / v_kj + log v_kj]`` over what is not missing."""
    varies = gate.covariance_[0] > 0
    means = np.where(varies, gate.means_ - gate.feature_means_, 0.0)
    variance = np.where(varies, gate.covariance_, 1.0)
    inverse = np.where(varies, 1.0 / variance, 0.0)
    missing = graph.add("IsNaN", X)
    centred = graph.add("Sub", X, graph.constant(gate.feature_means_))
    Z = graph.add("Where", missing, graph.constant(0.0), centred)
    observed = graph.cast(graph.add("Not", missing), np.float64)
    columns = graph.add("Concat", graph.add("Mul", Z, Z), Z, observed, axis=1)
    constants = -0.5 * (np.square(means) * inverse + np.log(variance))
    coef = np.hstack([-0.5 * inverse, means * inverse, constants])
    return affine(graph, columns, coef, np.log(gate.prior_))


def hierarchical(graph: Graph, gate: HierarchicalGate, features: Features) -> str:
    """`HierarchicalGate`: an expert's log-probability is the sum of those on its way."""
    parts, paths = [], []
    for node, branches in zip(gate.gates_, gate.branches_, strict=True):
        path = np.zeros((len(branches), gate.n_experts_))
        for branch, experts in enumerate(branches):
            path[branch, list(experts)] = 1.0
        if node is None:  # nobody came here
            row = np.full((1, len(branches)), -np.log(len(branches)))
            parts.append(repeated(graph, row, features.first))
        else:
            parts.append(gate_log_proba(graph, node, features))
        paths.append(path)
    if not parts:  # one expert
        return repeated(graph, np.zeros((1, gate.n_experts_)), features.first)
    decisions = graph.add("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]
    return graph.add("MatMul", decisions, graph.constant(np.vstack(paths)))


def cosine(graph: Graph, gate: CosineGate, features: Features) -> str:
    """`CosineGate`: the cosine of the projected row and each embedding."""
    X, missing = completed(graph, gate, features)
    weights = gate.projection_
    if len(gate.missing_features_):
        X = graph.add("Concat", X, indicators(graph, missing, gate), axis=1)
        weights = np.hstack([weights, gate.missing_projection_])
    projected = affine(graph, X, weights, gate.projection_intercept_)
    squares = sum_of_squares(graph, projected)
    # The constant component of every projection: see `CosineGate`.
    length = graph.add("Sqrt", graph.add("Add", squares, graph.constant(1.0)))
    cosines = graph.add("MatMul", projected, graph.constant(gate.embeddings_.T))
    scale = graph.add("Mul", length, graph.constant(float(gate.temperature_)))
    return graph.add("LogSoftmax", graph.add("Div", cosines, scale), axis=1)


def classifier(graph: Graph, gate: ClassifierGate, features: Features) -> str:
    """`ClassifierGate`: what its classifier says, with a floor."""
    seen = np.eye(gate.n_experts_)[gate.present_]
    floor = PROBABILITY_FLOOR / gate.n_experts_
    if gate.estimator_ is None:
        row = (1.0 - PROBABILITY_FLOOR) * seen + floor
        return repeated(graph, np.log(row), features.first)
    proba = estimator_output(graph, gate.estimator_, features)
    spread = graph.add("MatMul", proba, graph.constant((1.0 - PROBABILITY_FLOOR) * seen))
    return graph.add("Log", graph.add("Add", spread, graph.constant(floor)))


def renormalised(graph: Graph, gate: RenormalisedGate, features: Features) -> str:
    """A gate of which some experts have gone."""
    log_proba = gate_log_proba(graph, gate.gate, features)
    kept = graph.add("Gather", log_proba, graph.constant(np.asarray(gate.experts)), axis=1)
    return graph.add("LogSoftmax", kept, axis=1)


GATES: dict[type, Callable[[Graph, Any, Features], str]] = {
    ClassifierGate: classifier,
    CosineGate: cosine,
    GaussianGate: gaussian,
    HierarchicalGate: hierarchical,
    RenormalisedGate: renormalised,
    SoftmaxGate: softmax,
}
