"""Stepwise expectation-maximisation: a mixture that learns from one chunk after the other.

Cappé and Moulines (2009): what the M-step needs are means over rows, and each chunk moves them a
step towards its own. Responsibilities of a chunk are those of the mixture as it was, which has not
seen it: so the log-likelihood of a chunk before it is learned from is an honest one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .._arithmetic import e_step
from .._compat import Record
from .._data.weights import last_step
from .._experts.least_squares import allows
from .._experts.streaming import (
    first_memory,
    learn_from,
    learn_together,
    ready_for_chunks,
    with_last_step,
)
from .._likelihoods import Categorical, Gaussian
from ..gates._online import Asked, GateMemory
from .em import expert_weights

FORGETTING = 0.8
"""A chunk with the part q of all rows until now moves the means by this power of q.

With 1 each row would count alike, those of the first chunks with the responsibilities of a mixture
that knew little; any power above 1/2 converges (Cappé and Moulines, 2009).
"""


@dataclass(frozen=True, eq=False)
class Stream(Record):
    """What a mixture remembers of the chunks that it has learned from.

    Attributes
    ----------
    n_rows : ndarray of shape (n_chunks,)
        Rows of each chunk, those of weight 0 left out.
    log_likelihood : ndarray of shape (n_chunks,)
        Mean log-likelihood of each chunk before it was learned from; of the first, held out.
    weight : float
        Sum of the weights of all rows.
    experts : tuple of length n_experts
        Sufficient statistics of each expert; None for experts that learn by themselves.
    gate : GateMemory
    mass : ndarray of shape (n_experts,)
        Mean responsibility of each expert.

    References
    ----------
    Cappé, O. and Moulines, E. (2009). On-line expectation-maximization algorithm for latent data
    models. Journal of the Royal Statistical Society B, 71(3), 593-613.
    """

    n_rows: np.ndarray
    log_likelihood: np.ndarray
    weight: float
    experts: tuple[Any, ...]
    gate: GateMemory
    mass: np.ndarray


@dataclass(frozen=True)
class Chunk:
    """Rows to learn from.

    Attributes
    ----------
    seen : list of arrays or frames, one for each expert
        X as the last step of each expert gets it: with Pipelines, a transformed copy for each.
    outputs : ndarray of shape (n, n_experts, ...)
        What the experts say, before they learn from it.
    Z : ndarray of shape (n, n_gate_features)
    y, target : ndarrays of shape (n,)
    weight : ndarray of shape (n,)
    """

    seen: list[Any]
    outputs: np.ndarray
    Z: Any
    y: np.ndarray
    target: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True)
class Learned:
    """The parts of a mixture that learn.

    Attributes
    ----------
    experts : list of fitted estimators
    gate : SoftmaxGate
    dispersion : ndarray of shape (n_experts, ...)
    """

    experts: list[Any]
    gate: Any
    dispersion: np.ndarray


def begin(learned: Learned, templates: Any, chunk: Chunk, mixture: Any) -> tuple[Learned, Stream]:
    """The memory of a mixture that was fitted to its first chunk.

    Parameters
    ----------
    learned : Learned
    templates : tuple of estimators
    chunk : Chunk
    mixture : fitted estimator
        Of which likelihood, overlap and log-likelihood are read.

    Returns
    -------
    learned : Learned
        With experts that know all classes.
    stream : Stream
    """
    likelihood, total = mixture._likelihood, chunk.weight.sum()
    log_density = likelihood.log_density(chunk.target, chunk.outputs, learned.dispersion)
    asked = Asked.of(learned.gate, chunk.Z)
    responsibilities, _ = e_step(asked.log_proba, log_density)
    weights = expert_weights(responsibilities, chunk.weight, mixture.overlap_)
    classes = _classes(likelihood)
    experts, memories = [], []
    for k, (expert, template) in enumerate(zip(learned.experts, templates, strict=True)):
        ready, weight = ready_for_chunks(expert, template, classes), weights[:, k]
        memory = first_memory(ready, chunk.seen[k], chunk.y, weight, total)
        if ready is not expert:
            _learn(ready, k, chunk, weight, classes, seed=0)
        experts.append(ready)
        memories.append(memory)
    stream = Stream(
        np.array([len(chunk.weight)]),
        np.array([mixture.log_likelihood_]),
        float(total),
        tuple(memories),
        GateMemory.of(asked, chunk.weight),
        chunk.weight @ responsibilities / total,
    )
    return replace(learned, experts=experts), stream


def advance(
    learned: Learned, stream: Stream, chunk: Chunk, mixture: Any
) -> tuple[Learned, Stream]:
    """Score a chunk, and learn from it.

    Parameters
    ----------
    learned, stream
        Until now.
    chunk : Chunk
    mixture : fitted estimator
        Of which likelihood and overlap are read.

    Returns
    -------
    learned : Learned
    stream : Stream
    """
    likelihood, total = mixture._likelihood, chunk.weight.sum()
    seen = stream.weight + total
    step = float((total / seen) ** FORGETTING)
    log_density = likelihood.log_density(chunk.target, chunk.outputs, learned.dispersion)
    asked = Asked.of(learned.gate, chunk.Z)
    responsibilities, row_scores = e_step(asked.log_proba, log_density)
    weights = expert_weights(responsibilities, chunk.weight, mixture.overlap_)
    experts, memories = _experts_after(
        learned.experts, stream, chunk, weights, _classes(likelihood), step
    )
    gate, gate_memory = stream.gate.stepped(
        learned.gate, asked, responsibilities, chunk.weight, step
    )
    own_mass = chunk.weight @ responsibilities / total
    mass = (1.0 - step) * stream.mass + step * own_mass
    own = likelihood.update_dispersion(
        chunk.target,
        chunk.outputs,
        chunk.weight[:, np.newaxis] * responsibilities,
        learned.dispersion,
    )
    power = 2.0 if isinstance(likelihood, Gaussian) else 1.0
    part = (step * own_mass / mass).reshape(-1, *[1] * (own.ndim - 1))
    dispersion = ((1.0 - part) * learned.dispersion**power + part * own**power) ** (1.0 / power)
    score = np.average(row_scores, weights=chunk.weight)
    return Learned(experts, gate, dispersion), Stream(
        np.append(stream.n_rows, len(chunk.weight)),
        np.append(stream.log_likelihood, score),
        float(seen),
        tuple(memories),
        gate_memory,
        mass,
    )


def _experts_after(experts, stream, chunk, weights, classes, step):
    """Experts and their memories after a chunk; linear ones that get X itself learn together.

    One in a Pipeline learns alone: its transformer may hand out X itself now and have changed
    the first chunk, whose means its memory is centred on.
    """
    experts, memories = list(experts), list(stream.experts)
    together: dict[int, list[int]] = {}
    for k, memory in enumerate(memories):
        if memory is None:
            _learn(experts[k], k, chunk, weights[:, k], classes, seed=len(stream.n_rows))
        else:
            together.setdefault(-1 if allows(experts[k]) else k, []).append(k)
    total = chunk.weight.sum()
    for some in together.values():
        solved = learn_together(
            [last_step(experts[k]) for k in some],
            [memories[k] for k in some],
            (chunk.seen[some[0]], chunk.y),
            weights[:, some],
            total,
            step,
        )
        for k, learner, memory in zip(some, *solved, strict=True):
            experts[k], memories[k] = with_last_step(experts[k], learner), memory
    return experts, memories


def _learn(expert, k, chunk, weight, classes, seed):
    learner, X = last_step(expert), chunk.seen[k]
    learn_from(learner, X, chunk.y, weight, chunk.weight, classes, seed)


def _classes(likelihood):
    return likelihood.classes if isinstance(likelihood, Categorical) else None
