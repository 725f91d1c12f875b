"""What experts say together as a graph: see `Consensus`."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import softmax
from sklearn.base import is_classifier

from .._likelihoods import MIN_FLOOR
from .._shared_expert.blends import (
    SMALLEST_OPINION,
    SMALLEST_PART,
    ClassBlend,
    LinearBlend,
    LinearClassBlend,
    MeanBlend,
    RealBlend,
)
from .._shared_expert.consensus import Consensus
from .._shared_expert.opinion_gate import SMALLEST_PROBABILITY, OpinionGate
from ._columns import numeric_view
from ._errors import ConversionError
from ._estimators import estimator_output
from ._features import Features
from ._graph import Graph


def consensus(
    graph: Graph, mixture: Any, shared: Consensus, opinions: str, features: Features
) -> str:
    """What all experts say together, corrected; see `Consensus`.

    Parameters
    ----------
    graph : Graph
    mixture : fitted mixture
    shared : Consensus
    opinions : str
        Tensor (n_samples, n_experts, n_columns).
    features : Features
        Those of the gate.

    Returns
    -------
    output : str
        Tensor (n_samples, n_columns).
    """
    own = ""
    if len(shared.columns):
        seen = numeric_view(graph, shared.view, features)
        own = seen.select(graph, list(shared.columns)).matrix(graph)
    said = uncorrected(graph, mixture, shared, opinions, own)
    if shared.correction is None:
        return said
    evidence = graph.add("Flatten", opinions, axis=1)
    if own:
        evidence = graph.add("Concat", evidence, own, axis=1)
    correction = estimator_output(graph, shared.correction, Features(evidence, -1))
    correction = graph.add("Mul", correction, graph.constant(shared.strength))
    if isinstance(shared.blend, RealBlend):
        return graph.add("Add", said, correction)
    return corrected_classes(graph, said, correction, len(mixture.classes_))


def uncorrected(graph: Graph, mixture: Any, shared: Consensus, opinions: str, own: str) -> str:
    """What is said before the correction: constant weights, the blend, the two gates."""
    components = opinions
    if is_classifier(mixture):
        floor = np.asarray(shared.dispersion)[:, np.newaxis]
        kept = graph.add("Mul", opinions, graph.constant(1.0 - floor))
        components = graph.add("Add", kept, graph.constant(floor / len(mixture.classes_)))
    gate_proba = opinion_gate(graph, shared.gate, opinion_evidence(graph, mixture, opinions, own))
    said = {
        "constant": squeezed_product(graph, shared.constant, components),
        "blend": blend(graph, mixture, shared.blend, opinions),
        "opinions": sum_over_experts(graph, components, gate_proba),
    }
    if shared.feature_gate is not None and own:
        gate_proba = opinion_gate(graph, shared.feature_gate, own)
        said["features"] = sum_over_experts(graph, components, gate_proba)
    elif shared.feature_gate is not None:  # which sees nothing: its weights are constant
        weights = softmax(shared.feature_gate.coef[-1])
        said["features"] = squeezed_product(graph, weights, components)
    whole = ""
    for name, part in shared.parts.items():
        scaled = graph.add("Mul", said[name], graph.constant(part))
        whole = graph.add("Add", whole, scaled) if whole else scaled
    return whole


def opinion_evidence(graph: Graph, mixture: Any, opinions: str, own: str) -> str:
    """Features, and how the experts answer; see `opinion_statistics`."""
    over_experts, over_classes = graph.constant(np.array([1])), graph.constant(np.array([2]))
    mean = graph.add("ReduceMean", opinions, axes=[1], keepdims=1)
    if is_classifier(mixture):
        distance = graph.add("Abs", graph.add("Sub", opinions, mean))
        parts = [
            graph.add("ReduceMax", opinions, axes=[2], keepdims=0),
            entropy(graph, opinions),
            entropy(graph, mean),
            graph.add("ReduceSum", distance, over_classes, keepdims=0),
        ]
    else:
        deviation = graph.add("Sub", opinions, mean)
        square = graph.add("Mul", deviation, deviation)
        variance = graph.add("ReduceMean", square, axes=[1], keepdims=0)
        parts = [
            graph.add("Squeeze", mean, over_experts),
            graph.add("Flatten", deviation, axis=1),
            graph.add("Sqrt", variance),
        ]
    return graph.add("Concat", *([own] if own else []), *parts, axis=1)


def entropy(graph: Graph, proba: str) -> str:
    """Entropy over the last of three axes."""
    logs = graph.add("Log", graph.add("Max", proba, graph.constant(SMALLEST_PROBABILITY)))
    product = graph.add("Mul", proba, logs)
    total = graph.add("ReduceSum", product, graph.constant(np.array([2])), keepdims=0)
    return graph.add("Neg", total)


def opinion_gate(graph: Graph, gate: OpinionGate, evidence: str) -> str:
    """Weights (n_samples, n_experts) of a gate on opinions."""
    missing = graph.add("IsNaN", evidence)
    mean = graph.constant(gate.mean[np.newaxis])
    centred = graph.add("Sub", graph.add("Where", missing, mean, evidence), mean)
    standardised = graph.add("Mul", centred, graph.constant(gate.inverse[np.newaxis]))
    logits = graph.add("MatMul", standardised, graph.constant(gate.coef[:-1]))
    logits = graph.add("Add", logits, graph.constant(gate.coef[-1:]))
    return graph.add("Softmax", logits, axis=1)


def squeezed_product(graph: Graph, weights: np.ndarray, opinions: str) -> str:
    """Sum over the experts with constant weights."""
    product = graph.add("MatMul", graph.constant(weights[np.newaxis]), opinions)
    return graph.add("Squeeze", product, graph.constant(np.array([1])))


def blend(graph: Graph, mixture: Any, fitted: Any, opinions: str) -> str:
    """A blend of all opinions with constant weights."""
    if isinstance(fitted, MeanBlend):
        return squeezed_product(graph, fitted.weights, opinions)
    if isinstance(fitted, LinearBlend):
        seen = graph.add("Flatten", opinions, axis=1)
        said = graph.add("MatMul", seen, graph.constant(fitted.coef.T))
        return graph.add("Add", said, graph.constant(fitted.intercept[np.newaxis]))
    if isinstance(fitted, LinearClassBlend):
        said = opinions
    elif isinstance(fitted, ClassBlend):
        logs = graph.add("Log", graph.add("Max", opinions, graph.constant(SMALLEST_OPINION)))
        total = graph.add("ReduceSum", logs, graph.constant(np.array([2])), keepdims=1)
        mean = graph.add("Div", total, graph.constant(float(len(mixture.classes_))))
        said = graph.add("Sub", logs, mean)
    else:
        raise ConversionError(f"there is no converter for a blend of the class {type(fitted)}")
    if len(mixture.classes_) == 2:  # one says what the other does
        said = graph.add("Gather", said, graph.constant(np.array([1])), axis=2)
    seen = Features(graph.add("Flatten", said, axis=1), -1)
    proba = estimator_output(graph, fitted.model, seen)
    proba = of_all_classes(graph, mixture, fitted.model, proba)
    return with_floor(graph, proba, MIN_FLOOR, len(mixture.classes_))


def corrected_classes(graph: Graph, blended: str, correction: str, n_classes: int) -> str:
    """Corrected class probabilities; no class loses all that it had."""
    if n_classes == 2:
        correction = graph.add("MatMul", correction, graph.constant(np.array([[-1.0, 1.0]])))
    least = graph.add("Mul", blended, graph.constant(SMALLEST_PART))
    proba = graph.add("Max", graph.add("Add", blended, correction), least)
    total = graph.add("ReduceSum", proba, graph.constant(np.array([1])), keepdims=1)
    return graph.add("Div", proba, total)


def of_all_classes(graph: Graph, mixture: Any, model: Any, proba: str) -> str:
    """Probabilities with one column per class of the mixture, 0 for those a model missed."""
    classes = mixture.classes_
    if len(model.classes_) == len(classes):
        return proba
    place = np.eye(len(classes))[np.searchsorted(classes, model.classes_)]
    return graph.add("MatMul", proba, graph.constant(place))


def with_floor(graph: Graph, proba: str, floor: float, n_classes: int) -> str:
    """``(1 - e) q + e / C``."""
    kept = graph.add("Mul", proba, graph.constant(1.0 - floor))
    return graph.add("Add", kept, graph.constant(floor / n_classes))


def sum_over_experts(graph: Graph, opinions: str, weights: str) -> str:
    """``sum_k w_ik o_ikc``."""
    row = graph.add("Unsqueeze", weights, graph.constant(np.array([1])))
    return graph.add("Squeeze", graph.add("MatMul", row, opinions), graph.constant(np.array([1])))
