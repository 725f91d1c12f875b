"""How sure a regression mixture is, as outputs of its graph: standard deviation and quantiles."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._prediction.kernels import KERNELS
from ._errors import ConversionError
from ._graph import Graph

HALVINGS = 40
"""Steps of bisection: the interval that is left is 1e-12 of the first."""

ERFC = (
    -1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806,
    0.27886807, -1.13520398, 1.48851587, -0.82215223, 0.17087277,
)  # fmt: skip
"""Chebyshev fit of ``log(erfc(x) / t) + x^2`` in powers of ``t = 1 / (1 + x / 2)`` for x >= 0.

The error is 1.2e-7 of erfc, also far out (Press et al., Numerical Recipes, 1992, 6.2). ONNX
Runtime has an Erf of its own for float32 only, whose tails are noise."""


class Density(NamedTuple):
    """A mixture of densities for each row, as tensors.

    Attributes
    ----------
    weights : str
        (n_samples, n_components, 1).
    means : str
        (n_samples, n_components, n_outputs).
    scales : ndarray of shape (n_components, n_outputs)
    kind : str
        Name of the kernel.
    """

    weights: str
    means: str
    scales: np.ndarray
    kind: str


def density(graph: Graph, mixture: Any, gate_proba: str, opinions: str, shared: str) -> Density:
    """The density that EM has learned: experts with constant scales, and the shared expert.

    Parameters
    ----------
    graph : Graph
    mixture : MixtureOfExpertsRegressor
    gate_proba : str
        Of all experts, (n_samples, n_experts).
    opinions : str
        (n_samples, n_experts, n_outputs).
    shared : str
        What the shared expert says, (n_samples, n_outputs); "" if there is none.
    """
    weight = mixture.shared_density_weight_
    scales = np.reshape(mixture.scale_, (mixture.n_experts_, -1))
    axis = graph.constant(np.array([1]))
    weights, means = gate_proba, opinions
    if weight > 0.0:
        # Weights of all but the last component, which is the shared expert: K times K + 1.
        own = (1.0 - weight) * np.eye(mixture.n_experts_, mixture.n_experts_ + 1)
        last = weight * np.eye(mixture.n_experts_ + 1)[-1:]
        weights = graph.add("MatMul", gate_proba, graph.constant(own))
        weights = graph.add("Add", weights, graph.constant(last))
        means = graph.add("Concat", opinions, graph.add("Unsqueeze", shared, axis), axis=1)
        scales = np.vstack([scales, np.reshape(mixture.shared_dispersion_, (1, -1))])
    weights = graph.add("Unsqueeze", weights, graph.constant(np.array([2])))
    return Density(weights, means, scales, mixture.likelihood)


def standard_deviation(graph: Graph, of: Density) -> str:
    """Tensor (n_samples, n_outputs)."""
    over = graph.constant(np.array([1]))
    mean = graph.add("ReduceSum", graph.add("Mul", of.weights, of.means), over, keepdims=1)
    deviation = graph.add("Sub", of.means, mean)
    variance = KERNELS[of.kind].variance * np.square(of.scales)
    square = graph.add("Add", graph.add("Mul", deviation, deviation), graph.constant(variance))
    weighted = graph.add("Mul", of.weights, square)
    return graph.add("Sqrt", graph.add("ReduceSum", weighted, over, keepdims=0))


def quantiles_of(graph: Graph, of: Density, levels: tuple[float, ...]) -> str:
    """Tensor (n_samples, n_outputs, n_levels): by bisection between the components' quantiles."""
    last = graph.constant(np.array([3]))
    wide = of._replace(
        weights=graph.add("Unsqueeze", of.weights, last),
        means=graph.add("Unsqueeze", of.means, last),
        scales=of.scales[:, :, np.newaxis],
    )
    each = wide.scales * KERNELS[of.kind].ppf(np.array(levels))
    ends = graph.add("Add", wide.means, graph.constant(each))
    low, high = (graph.add(f"Reduce{end}", ends, axes=[1], keepdims=0) for end in ("Min", "Max"))
    body = halving(graph, wide, levels)
    steps = graph.constant(np.array(HALVINGS))
    _, high = graph.add("Loop", steps, "", low, high, n_outputs=2, body=body)
    return high


def halving(graph: Graph, of: Density, levels: tuple[float, ...]) -> Any:
    """One step of the bisection, the body of a loop: which half holds the quantiles."""
    body = Graph(within=graph, prefix="halving_")
    low, high = "halving_low", "halving_high"
    middle = body.add("Mul", body.add("Add", low, high), graph.constant(0.5))
    at = body.add("Unsqueeze", middle, graph.constant(np.array([1])))
    standard = body.add("Div", body.add("Sub", at, of.means), graph.constant(of.scales))
    probability = body.add("Mul", of.weights, cdf(body, standard, of.kind))
    probability = body.add("ReduceSum", probability, graph.constant(np.array([1])), keepdims=0)
    beyond = body.add("Less", probability, graph.constant(np.array(levels)))
    upper = body.add("Where", beyond, middle, low)
    return body.loop_body({low: upper, high: body.add("Where", beyond, high, middle)})


def cdf(graph: Graph, standard: str, kind: str) -> str:
    """Distribution function of a kernel."""
    size = graph.add("Abs", standard)
    half = graph.constant(0.5)
    if kind == "laplace":
        tail = graph.add("Mul", graph.add("Exp", graph.add("Neg", size)), half)
    elif kind == "gaussian":
        scaled = graph.add("Mul", size, graph.constant(0.5**0.5))
        tail = graph.add("Mul", erfc(graph, scaled), half)
    else:
        raise ConversionError(f"quantiles of {kind} noise have no form in ONNX")
    above = graph.add("Sub", graph.constant(1.0), tail)
    return graph.add("Where", graph.add("Less", standard, graph.constant(0.0)), tail, above)


def erfc(graph: Graph, size: str) -> str:
    """Complementary error function of positive numbers, float64; see `ERFC`."""
    one = graph.constant(1.0)
    t = graph.add("Div", one, graph.add("Add", one, graph.add("Mul", size, graph.constant(0.5))))
    total = graph.constant(ERFC[-1])
    for coefficient in ERFC[-2::-1]:
        total = graph.add("Add", graph.add("Mul", total, t), graph.constant(coefficient))
    exponent = graph.add("Sub", total, graph.add("Mul", size, size))
    return graph.add("Mul", t, graph.add("Exp", exponent))
