"""Conditional computation: each expert is called once, on the rows that are routed to it.

The gate has spoken already. The rows of each expert are brought together into one block, its
output is weighted, and the mixture is summed in the order of the experts whatever order they
were called in, so that results depend neither on the number of jobs nor on the other rows.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from joblib import effective_n_jobs
from scipy.sparse import issparse
from sklearn.utils import _safe_indexing
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import _num_samples

from .._data.protection import protected
from .._experts.fitting import expert_output

PARALLEL_OVERHEAD = 0.05
"""Seconds that joblib takes to start and to stop threads; the work saved has to be worth it."""

LARGE_BATCH = 100_000
"""Rows, each counted once per expert, from which on workers are started without a trial."""

ALL_ROWS = slice(None)


class Block(NamedTuple):
    """What one expert has to do.

    Attributes
    ----------
    expert : int
    rows : ndarray of shape (n_block,), dtype intp, ascending; or the slice of all rows
    weights : ndarray of shape (n_block,)
        With which the expert's output enters the mixture; positive.
    """

    expert: int
    rows: Any
    weights: np.ndarray


def dense_blocks(gate_proba):
    """Blocks of a mixture of all experts.

    Parameters
    ----------
    gate_proba : ndarray of shape (n_samples, n_experts)

    Returns
    -------
    blocks : list of Block
        By expert. Rows for which an expert's probability has underflowed to 0 are left out.
    """
    blocks = []
    for expert, weights in enumerate(np.ascontiguousarray(gate_proba.T)):
        rows = np.flatnonzero(weights)
        if len(rows):
            blocks.append(_block(expert, rows, weights[rows], len(weights)))
    return blocks


def sparse_blocks(route, n_experts):
    """Blocks of a mixture in which each row has its own few experts.

    Grouping is one stable sort of small integers, which NumPy does by counting.

    Parameters
    ----------
    route : Route
        An expert of weight 0 is not called for that row.
    n_experts : int

    Returns
    -------
    blocks : list of Block
        By expert; an expert without rows has none.
    """
    n_samples, width = route.indices.shape
    if n_samples == 1:  # served one by one, rows need no grouping
        asked = sorted(zip(route.indices[0].tolist(), route.weights[0].tolist(), strict=True))
        return [Block(expert, ALL_ROWS, np.array([w])) for expert, w in asked if w > 0]
    experts = route.indices.ravel().astype(np.min_scalar_type(n_experts))
    weights = route.weights.ravel()
    # From here on a pair is a position in these arrays: row i with its j-th expert.
    if weights.all():
        pairs = np.argsort(experts, kind="stable")
    else:
        pairs = np.flatnonzero(weights)
        pairs = pairs[np.argsort(experts[pairs], kind="stable")]
    rows = pairs if width == 1 else pairs // width
    weights = weights[pairs]
    counts = np.bincount(experts[pairs], minlength=n_experts)
    ends = counts.cumsum()
    blocks = []
    for expert in np.flatnonzero(counts).tolist():
        own = slice(ends[expert] - counts[expert], ends[expert])
        blocks.append(_block(expert, rows[own], weights[own], n_samples))
    return blocks


def _block(expert, rows, weights, n_samples):
    return Block(expert, ALL_ROWS if len(rows) == n_samples else rows, weights)


def mix(X, n_samples, blocks, named_experts, likelihood, dispersion, n_jobs=None):
    """Weighted sum of what the experts say of their rows.

    Parameters
    ----------
    X : array, sparse matrix or frame of shape (n_samples, n_features)
    n_samples : int
    blocks : list of Block
        By expert.
    named_experts : dict of str to fitted estimator
    likelihood : object
        Offers ``expert_output``, ``component`` and ``output_shape``.
    dispersion : ndarray of shape (n_experts, ...)
    n_jobs : int or None

    Returns
    -------
    mixed : ndarray of shape (n_samples, ...), float64
        Class probabilities, or means.
    """
    outputs = expert_outputs(X, blocks, named_experts, likelihood, n_jobs)
    components = (
        likelihood.component(output, dispersion[block.expert])
        for block, output in zip(blocks, outputs, strict=True)
    )
    if n_samples == 1:  # served one by one, rows need no places
        return sum(b.weights[0] * c for b, c in zip(blocks, components, strict=True))
    mixed = np.zeros((n_samples, *likelihood.output_shape))
    for block, component in zip(blocks, components, strict=True):
        weights = block.weights.reshape(-1, *[1] * (component.ndim - 1))
        mixed[block.rows] += weights * component
    return mixed


def mix_outputs(outputs, gate_proba, likelihood, dispersion):
    """Weighted sum of what all experts said of all rows.

    Parameters
    ----------
    outputs : ndarray of shape (n_samples, n_experts, ...)
    gate_proba : ndarray of shape (n_samples, n_experts)
    likelihood, dispersion
        As for `mix`.

    Returns
    -------
    mixed : ndarray of shape (n_samples, ...), float64
    """
    mixed = np.zeros((len(outputs), *outputs.shape[2:]))
    for k, weights in enumerate(gate_proba.T):
        component = likelihood.component(outputs[:, k], dispersion[k])
        mixed += weights.reshape(-1, *[1] * (mixed.ndim - 1)) * component
    return mixed


def each_expert(X, named_experts, likelihood, n_jobs=None):
    """Outputs of all experts for all rows, not mixed.

    Parameters
    ----------
    X, named_experts, likelihood, n_jobs
        As for `mix`.

    Returns
    -------
    outputs : ndarray of shape (n_samples, n_experts, ...), float64
    """
    n_samples = _num_samples(X)
    shape = (n_samples, len(named_experts), *likelihood.output_shape)
    if n_samples == 0:  # estimators refuse that
        return np.empty(shape)
    blocks = [Block(k, ALL_ROWS, np.ones(n_samples)) for k in range(len(named_experts))]
    outputs = np.empty(shape)
    for k, output in enumerate(expert_outputs(X, blocks, named_experts, likelihood, n_jobs)):
        outputs[:, k] = output
    return outputs


def expert_outputs(
    X: Any, blocks: Sequence[Block], named_experts: Any, likelihood: Any, n_jobs: int | None
) -> Iterator[np.ndarray]:
    """Call each expert on its block.

    In a large batch they are called in parallel. In others they are called one after the other
    until it turns out that so much work is left that it pays to start workers, if it does, since
    that takes longer than most experts take for a few rows. Workers are threads, since forests,
    boosting and linear algebra release Python's lock; ``joblib.parallel_config(backend="loky")``
    around the call makes them processes, for experts that are written in Python.

    Parameters
    ----------
    X, blocks, named_experts, likelihood, n_jobs
        As for `mix`.

    Yields
    ------
    output : ndarray of shape (n_block, ...)
        In the order of the blocks. A copy of the rows is held only while its expert, or with
        several jobs its worker, needs it.
    """
    members = list(named_experts.items())
    if issparse(X):
        X = X.tocsr()  # rows are quick to take from that only

    def arguments(block):
        name, expert = members[block.expert]
        return expert, _take(X, block.rows), likelihood, repr(name)

    workers = 1 if len(blocks) < 2 else effective_n_jobs(n_jobs)
    if workers == 1:
        for block in blocks:
            yield expert_output(*arguments(block))
        return
    started = time.perf_counter()
    for position, block in enumerate(blocks):
        seconds = time.perf_counter() - started
        if _pays(seconds, blocks[:position], blocks[position:], workers):
            rest = (delayed(expert_output)(*arguments(block)) for block in blocks[position:])
            yield from Parallel(n_jobs=n_jobs, prefer="threads")(rest)
            return
        yield expert_output(*arguments(block))


def _pays(seconds, done, left, workers):
    """Whether workers would save more than they cost, judging by the experts called so far."""
    if len(left) < 2:
        return False
    rows_left = sum(len(block.weights) for block in left)
    if not done or seconds < PARALLEL_OVERHEAD:
        return rows_left >= LARGE_BATCH
    serial = seconds / sum(len(block.weights) for block in done) * rows_left
    return serial * (1 - 1 / min(workers, len(left))) > 2 * PARALLEL_OVERHEAD


def _take(X, rows):
    if rows is ALL_ROWS:
        return protected(X)  # other rows are copies
    if type(X) is np.ndarray:
        return X.take(rows, axis=0)  # twice as fast as indexing
    return _safe_indexing(X, rows)
