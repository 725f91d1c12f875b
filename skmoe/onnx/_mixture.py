"""A mixture as a graph: gate, routing, experts, shared expert."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier

from .._shared_expert.consensus import Consensus
from ._columns import seen_columns
from ._consensus import consensus, of_all_classes, sum_over_experts, with_floor
from ._errors import ConversionError
from ._estimators import bare, estimator_output
from ._features import Features
from ._gates import gate_log_proba
from ._graph import Graph


class MixtureOutputs(NamedTuple):
    """Tensors of a mixture, float64.

    Attributes
    ----------
    prediction : str
        Class probabilities (n_samples, n_classes), or means (n_samples, n_outputs).
    gate_proba : str
        (n_samples, n_experts).
    experts : tuple of str
        What each expert says, (n_samples, n_classes or n_outputs).
    opinions : str
        The same, (n_samples, n_experts, n_classes or n_outputs).
    shared : str
        What the shared expert says, (n_samples, n_classes or n_outputs); "" if nobody asks.
    """

    prediction: str
    gate_proba: str
    experts: tuple[str, ...]
    opinions: str
    shared: str


def mixture_outputs(
    graph: Graph, mixture: Any, features: Features, with_density: bool = False
) -> MixtureOutputs:
    """Write a fitted mixture.

    All experts are evaluated for all rows, whatever `top_k` is; those that a row is not routed to
    have weight 0.

    Parameters
    ----------
    graph : Graph
    mixture : MixtureOfExpertsClassifier or MixtureOfExpertsRegressor
    features : Features
    with_density : bool, default=False
        Whether to write a shared expert that has a part in the density alone.

    Returns
    -------
    outputs : MixtureOutputs

    Raises
    ------
    ConversionError
        If parts of it cannot be converted: names all of them.
    """
    check_one_output(mixture)
    parts = _Parts(graph)
    gate = parts.write("the gate", mixture.gate_, lambda: log_gate(graph, mixture, features))
    outputs = []
    for name, expert in mixture.named_experts_.items():
        outputs.append(
            parts.write(
                f"expert {name!r}", expert, lambda e=expert: aligned(graph, mixture, e, features)
            )
        )
    answers = shared_expert_answers(mixture)
    dense = with_density and mixture.shared_density_weight_ > 0.0
    shared = mixture.shared_expert_ if answers or dense else None
    if shared is not None and not isinstance(shared, Consensus):
        generalist = parts.write(
            "the generalist", shared, lambda: aligned(graph, mixture, shared, features)
        )
    parts.check()
    gate_proba = graph.add("Exp", gate)
    weights = routed(graph, gate_proba, mixture.top_k, mixture.n_experts_)
    opinions = stacked(graph, outputs, n_columns(mixture))
    mixed = weighted(graph, mixture, opinions, weights)
    if shared is None:
        return MixtureOutputs(mixed, gate_proba, tuple(outputs), opinions, "")
    if isinstance(shared, Consensus):
        seen = seen_columns(graph, mixture.gate_columns_, features)
        said = consensus(graph, mixture, shared, opinions, seen)
    else:
        said = generalist
    if is_classifier(mixture):
        said = with_floor(graph, said, float(mixture.shared_dispersion_[0]), len(mixture.classes_))
    if answers:
        weight = mixture.shared_weight_
        own = graph.add("Mul", mixed, graph.constant(1.0 - weight))
        mixed = graph.add("Add", own, graph.add("Mul", said, graph.constant(weight)))
    return MixtureOutputs(mixed, gate_proba, tuple(outputs), opinions, said)


def log_gate(graph: Graph, mixture: Any, features: Features) -> str:
    """Log-probabilities of the experts, from all features."""
    seen = seen_columns(graph, mixture.gate_columns_, features)
    return gate_log_proba(graph, mixture.gate_, seen)


class _Parts:
    """Writes the parts of a mixture, and remembers those that cannot be."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.failures: dict[str, Exception] = {}

    def write(self, name: str, estimator: Any, converter: Any) -> str:
        """Tensor of a part, "" if it cannot be converted."""
        try:
            return converter()
        except ConversionError as error:
            self.failures[f"{name} ({type(bare(estimator)).__name__})"] = error
            return ""

    def check(self) -> None:
        """Raise if there is a part that cannot be converted."""
        if self.failures:
            lines = "\n".join(f"- {name}: {error}" for name, error in self.failures.items())
            raise ConversionError(
                f"these parts of the mixture have no form in ONNX:\n{lines}\nReplace them, or "
                "register a converter with skl2onnx.update_registered_converter"
            ) from next(iter(self.failures.values()))


def check_one_output(mixture: Any) -> None:
    """Refuse several outputs of classes.

    Raises
    ------
    ConversionError
    """
    if isinstance(getattr(mixture, "classes_", None), list):
        raise ConversionError(
            f"the mixture has {len(mixture.classes_)} outputs of classes, of which no graph is "
            "written; fit a mixture for each"
        )


def n_columns(mixture: Any) -> int:
    """Numbers that an expert says of a row."""
    if is_classifier(mixture):
        return len(mixture.classes_)
    return np.size(mixture.scale_) // mixture.n_experts_


def shared_expert_answers(mixture: Any) -> bool:
    """Whether the shared expert has a part in predictions.

    As in `predict`: a consensus has to hear all experts, so where only few are asked, these answer
    without it.
    """
    few = mixture.top_k not in (None, mixture.n_experts_)
    unheard = few and isinstance(mixture.shared_expert_, Consensus)
    return mixture.shared_weight_ > 0.0 and not unheard


def aligned(graph: Graph, mixture: Any, expert: Any, features: Features) -> str:
    """An expert's output, its classes in the order of the mixture's."""
    output = estimator_output(graph, expert, features)
    return of_all_classes(graph, mixture, expert, output) if is_classifier(mixture) else output


def routed(graph: Graph, gate_proba: str, top_k: int | None, n_experts: int) -> str:
    """Weights of the experts: with `top_k`, of the most probable ones, renormalised."""
    if top_k is None or top_k == n_experts:
        return gate_proba
    values, indices = graph.add(
        "TopK", gate_proba, graph.constant(np.array([top_k])), axis=1, n_outputs=2
    )
    total = graph.add("ReduceSum", values, graph.constant(np.array([1])), keepdims=1)
    nothing = graph.add("Mul", gate_proba, graph.constant(0.0))
    return graph.add("ScatterElements", nothing, indices, graph.add("Div", values, total), axis=1)


def stacked(graph: Graph, outputs: list[str], n_columns: int) -> str:
    """Outputs of experts, (n_samples, n_experts, n_columns)."""
    side_by_side = graph.add("Concat", *outputs, axis=1)
    # 0 keeps the number of rows, also where there are none.
    shape = graph.constant(np.array([0, len(outputs), n_columns]))
    return graph.add("Reshape", side_by_side, shape)


def weighted(graph: Graph, mixture: Any, opinions: str, weights: str) -> str:
    """Weighted sum of what the experts say, (n_samples, n_columns).

    ``sum_k w_k [(1 - e_k) q_k + e_k / C]``: the floors are taken out of the brackets.
    """
    if not is_classifier(mixture):
        return sum_over_experts(graph, opinions, weights)
    floor = mixture.floor_
    kept = graph.add("Mul", weights, graph.constant(1.0 - floor))
    given = graph.constant((floor / len(mixture.classes_))[:, np.newaxis])
    mixed = sum_over_experts(graph, opinions, kept)
    return graph.add("Add", mixed, graph.add("MatMul", weights, given))


def class_labels(graph: Graph, mixture: Any, proba: str) -> tuple[str, str]:
    """Most probable class of each row, and the type of labels."""
    best = graph.add("ArgMax", proba, axis=1, keepdims=0)
    classes = mixture.classes_
    if classes.dtype.kind in "iubf":
        kind = "float64" if classes.dtype.kind == "f" else "int64"
    else:
        kind, classes = "string", classes.astype(str)
    return graph.add("Gather", graph.constant(classes), best), kind
