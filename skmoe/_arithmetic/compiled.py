"""All compiled code of the package; `reference` has the same functions in plain NumPy.

Every kernel is compiled by numba at its first call and cached on disk; importing this module
compiles nothing, but numba itself takes a few tenths of a second to import, which is why
`skmoe._arithmetic` imports this module only for work that is worth it. The kernels stay in one
file because numba does not notice when a function that a cached kernel calls changes in another.

All kernels compute in double precision, release the global interpreter lock, and leave their
arguments untouched. Those that take one array row per sample accept float32 and float64 of any
memory order, strided or read-only; they copy `LANES` samples at a time into a small array with
one row per expert, so that the inner loops run across samples and the compiler vectorises them.
What training reads in every pass over the data is kept in that form (see `pack`).
"""

import hashlib
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numba.core.caching import FunctionCache

LANES = 128
"""Samples per tile."""

BLOCK = 8
"""Samples that are copied at a time to a tile: a line of the cache. The rows of a tile are
a power of two apart, so that columns written one by one would drive each other from the cache."""

MINUS_INFINITY = -np.inf

LOG2_E = 1.4426950408889634

LN2_HIGH = 6.93147180369123816490e-01

LN2_LOW = 1.90821492927058770002e-10

SMALLEST_EXPONENT = -708.0

ROUND_TO_INTEGER = 6755399441055744.0
"""1.5 * 2**52: adding it leaves the rounded integer in the low bits of the sum."""

ROUND_TO_INTEGER_BITS = 0x4338000000000000

SQRT_2 = 1.4142135623730951


SOURCE_HASH = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()

DAMAGED = (EOFError, OSError, pickle.PickleError, ValueError, AttributeError, ImportError)
"""What reading an emptied, truncated or foreign file of the cache raises, or a full disk."""

_warned = False


class _Cache(FunctionCache):
    """The on-disk cache of a kernel: never a reason to fail, and never that of another source.

    Numba keys an entry by the bytecode of the kernel alone, so that of two processes with two
    versions of this file one might leave what it compiled to the other, with helpers inlined that
    have changed since. Here the key has the hash of the whole file, too.
    """

    def _index_key(self, sig, codegen):
        return (*super()._index_key(sig, codegen), SOURCE_HASH)

    def load_overload(self, sig, target_context):
        try:
            return super().load_overload(sig, target_context)
        except DAMAGED as error:
            self._give_up(error)
            return None

    def save_overload(self, sig, data):
        try:
            super().save_overload(sig, data)
        except DAMAGED as error:
            self._give_up(error)

    def _give_up(self, error):
        global _warned
        self.disable()
        if not _warned:
            _warned = True
            warnings.warn(
                f"the cache of skmoe's compiled code cannot be used ({type(error).__name__}: "
                f"{error}), so it is compiled anew in each process; delete the folder "
                f"{self.cache_path}, and see that its disk is not full",
                RuntimeWarning,
                stacklevel=2,
            )


def _compile(function):
    """Compile lazily with an on-disk cache, or without one where no cache can be written."""
    # Loops vectorise only if a division by zero need not raise. "contract" allows fused
    # multiply-add, which rounds once instead of twice; it is the only liberty taken.
    options: dict[str, Any] = {
        "nogil": True,
        "error_model": "numpy",
        "fastmath": {"contract"},
    }
    kernel = njit(**options)(function)
    try:
        cache = _Cache(function)
    except RuntimeError:
        # Numba finds no writable directory for its cache: compiling anew in every process is
        # slower but works.
        return kernel
    if hasattr(kernel, "_cache"):  # not so with NUMBA_DISABLE_JIT
        kernel._cache = cache
    return kernel


@_compile
def exponential(x):
    """Exponential function of a number at most 709, to the last bit or the one before it.

    Below -708 it is 0. Unlike `math.exp` it has neither branches nor calls, so that loops
    over it vectorise: ``exp(x) = 2**n exp(x - n log 2)`` with a Taylor polynomial, the
    subtraction in two parts (Cody and Waite, 1980).

    References
    ----------
    Cody, W. J. and Waite, W. (1980). Software Manual for the Elementary Functions.
    Prentice-Hall.
    """
    clipped = max(x, SMALLEST_EXPONENT)
    shifted = clipped * LOG2_E + ROUND_TO_INTEGER
    n = shifted - ROUND_TO_INTEGER
    r = clipped - n * LN2_HIGH
    r = r - n * LN2_LOW
    p = 1.0 / 6227020800.0
    p = p * r + 1.0 / 479001600.0
    p = p * r + 1.0 / 39916800.0
    p = p * r + 1.0 / 3628800.0
    p = p * r + 1.0 / 362880.0
    p = p * r + 1.0 / 40320.0
    p = p * r + 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    power = np.int64((np.float64(shifted).view(np.int64) + 1023) << 52)
    return p * power.view(np.float64) if x >= SMALLEST_EXPONENT else 0.0


@_compile
def logarithm(x):
    """Natural logarithm of a positive, normal, finite number, as in fdlibm's ``e_log.c``."""
    bits = np.float64(x).view(np.int64)
    mantissa = np.int64((bits & 0xFFFFFFFFFFFFF) | 0x3FF0000000000000).view(np.float64)
    above = mantissa > SQRT_2
    exponent = (bits >> 52) - (1022 if above else 1023)
    f = (0.5 * mantissa if above else mantissa) - 1.0
    n = np.int64(exponent + ROUND_TO_INTEGER_BITS).view(np.float64) - ROUND_TO_INTEGER
    s = f / (2.0 + f)
    z = s * s
    p = 1.479819860511658591e-01
    p = p * z + 1.531383769920937332e-01
    p = p * z + 1.818357216161805012e-01
    p = p * z + 2.222219843214978396e-01
    p = p * z + 2.857142874366239149e-01
    p = p * z + 3.999999999940941908e-01
    p = p * z + 6.666666666666735130e-01
    half = 0.5 * f * f
    return n * LN2_HIGH - ((half - (s * (half + p * z) + n * LN2_LOW)) - f)


@_compile
def _load(matrix, first, n_rows, tile):
    """Copy rows of a matrix to the columns of a tile; lanes beyond them become 0."""
    n_columns = tile.shape[0]
    whole = n_rows - n_rows % BLOCK
    for start in range(0, whole, BLOCK):
        for k in range(n_columns):
            for i in range(start, start + BLOCK):
                tile[k, i] = matrix[first + i, k]
    for k in range(n_columns):
        for i in range(whole, n_rows):
            tile[k, i] = matrix[first + i, k]
        for i in range(n_rows, LANES):
            tile[k, i] = 0.0


@_compile
def _store(tile, matrix, first, n_rows):
    """Copy columns of a tile to rows of a matrix."""
    for i in range(n_rows):
        for k in range(tile.shape[0]):
            matrix[first + i, k] = tile[k, i]


@_compile
def _peaks(tile, peak):
    """Write the largest entry of each column, or 0 where that is not finite, to `peak`."""
    for i in range(LANES):
        peak[i] = MINUS_INFINITY
    for k in range(tile.shape[0]):
        row = tile[k]
        for i in range(LANES):
            peak[i] = max(peak[i], row[i])
    for i in range(LANES):
        peak[i] = peak[i] if abs(peak[i]) < np.inf else 0.0


@_compile
def _exponentials(tile, peak, total):
    """Replace a tile by ``exp(tile - peak)`` and write the sums of its columns to `total`."""
    for i in range(LANES):
        total[i] = 0.0
    for k in range(tile.shape[0]):
        row = tile[k]
        for i in range(LANES):
            row[i] = exponential(row[i] - peak[i])
            total[i] += row[i]


@_compile
def _scale(tile, factor):
    """Multiply every column of a tile by its factor."""
    for k in range(tile.shape[0]):
        row = tile[k]
        for i in range(LANES):
            row[i] *= factor[i]


@_compile
def softmax(logits):
    """Softmax of every row; see `reference.softmax`."""
    n_samples, n_experts = logits.shape
    proba = np.empty((n_samples, n_experts))
    tile, peak, total = np.empty((n_experts, LANES)), np.empty(LANES), np.empty(LANES)
    for first in range(0, n_samples, LANES):
        n_rows = min(LANES, n_samples - first)
        _load(logits, first, n_rows, tile)
        _peaks(tile, peak)
        _exponentials(tile, peak, total)
        for i in range(LANES):
            total[i] = 1.0 / total[i]
        _scale(tile, total)
        _store(tile, proba, first, n_rows)
    return proba


@_compile
def log_softmax(logits):
    """Logarithm of the softmax of every row; see `reference.log_softmax`."""
    n_samples, n_experts = logits.shape
    log_proba = np.empty((n_samples, n_experts))
    tile, peak, total = np.empty((n_experts, LANES)), np.empty(LANES), np.empty(LANES)
    for first in range(0, n_samples, LANES):
        n_rows = min(LANES, n_samples - first)
        _load(logits, first, n_rows, tile)
        _log_softmax_tile(tile, peak, total)
        _store(tile, log_proba, first, n_rows)
    return log_proba


@_compile
def _log_softmax_tile(tile, peak, total):
    _peaks(tile, peak)
    for i in range(LANES):
        total[i] = 0.0
    for k in range(tile.shape[0]):
        row = tile[k]
        for i in range(LANES):
            total[i] += exponential(row[i] - peak[i])
    for i in range(LANES):
        total[i] = logarithm(total[i])
    for k in range(tile.shape[0]):
        row = tile[k]
        for i in range(LANES):
            # The peak is subtracted first: peak + log(total) would round the latter away.
            row[i] = (row[i] - peak[i]) - total[i]


@_compile
def e_step(log_gate, log_density):
    """Responsibilities and log-likelihood of every row; see `reference.e_step`."""
    n_samples, n_experts = log_gate.shape
    responsibilities = np.empty((n_samples, n_experts))
    log_likelihood = np.empty(n_samples)
    tile, densities = np.empty((n_experts, LANES)), np.empty((n_experts, LANES))
    peak, total, irregular = np.empty(LANES), np.empty(LANES), np.empty(LANES)
    for first in range(0, n_samples, LANES):
        n_rows = min(LANES, n_samples - first)
        _load(log_gate, first, n_rows, tile)
        _load(log_density, first, n_rows, densities)
        for i in range(LANES):
            irregular[i] = 0.0
        for k in range(n_experts):
            row, density = tile[k], densities[k]
            for i in range(LANES):
                joint = row[i] + density[i]
                row[i] = joint if joint < np.inf else 0.0
                irregular[i] += 0.0 if joint < np.inf else 1.0  # NaN included
        _peaks(tile, peak)
        _exponentials(tile, peak, total)
        for i in range(LANES):
            irregular[i] += 0.0 if total[i] > 0.0 else 1.0
            total[i] = total[i] if total[i] > 0.0 else 1.0
            peak[i] += logarithm(total[i])
            total[i] = 1.0 / total[i]
        _scale(tile, total)
        _store(tile, responsibilities, first, n_rows)
        log_likelihood[first : first + n_rows] = peak[:n_rows]
        if irregular.max() > 0.0:
            _mark_irregular(log_gate, log_density, first, n_rows, responsibilities, log_likelihood)
    return responsibilities, log_likelihood


@_compile
def _mark_irregular(log_gate, log_density, first, n_rows, responsibilities, log_likelihood):
    """Overwrite the results of rows that are invalid or impossible."""
    n_experts = log_gate.shape[1]
    for i in range(first, first + n_rows):
        valid, possible = True, False
        for k in range(n_experts):
            joint = np.float64(log_gate[i, k]) + np.float64(log_density[i, k])
            if not joint < np.inf:  # NaN included
                valid = False
            if joint > MINUS_INFINITY:
                possible = True
        if not valid:
            responsibilities[i, :] = np.nan
            log_likelihood[i] = np.nan
        elif not possible:
            responsibilities[i, :] = 1.0 / n_experts
            log_likelihood[i] = MINUS_INFINITY


@_compile
def top_k(proba, k):
    """Find the k largest entries of every row; see `reference.top_k`."""
    n_samples, n_experts = proba.shape
    indices = np.empty((n_samples, k), dtype=np.intp)
    values = np.empty((n_samples, k), dtype=proba.dtype)
    tile = np.empty((n_experts, LANES))
    best, choice = np.empty(LANES), np.empty(LANES, dtype=np.int64)
    for first in range(0, n_samples, LANES):
        n_rows = min(LANES, n_samples - first)
        _load(proba, first, n_rows, tile)
        for slot in range(k):
            _argmax(tile, best, choice)
            for i in range(n_rows):
                indices[first + i, slot] = choice[i]
                values[first + i, slot] = best[i]
                tile[choice[i], i] = np.nan  # not to be chosen again
    return indices, values


@_compile
def linear_top_k(X, coef, intercept, k):
    """Most probable experts of rows of features; see `reference.linear_top_k`."""
    n_samples, n_experts = X.shape[0], coef.shape[0]
    indices = np.empty((n_samples, k), dtype=np.intp)
    proba = np.empty((n_samples, k))
    features, tile = np.empty((X.shape[1], LANES)), np.empty((n_experts, LANES))
    peak, total = np.empty(LANES), np.empty(LANES)
    best, choice = np.empty(LANES), np.empty(LANES, dtype=np.int64)
    for first in range(0, n_samples, LANES):
        n_rows = min(LANES, n_samples - first)
        _load(X, first, n_rows, features)
        np.dot(coef, features, tile)
        for j in range(n_experts):
            row = tile[j]
            for i in range(LANES):
                row[i] += intercept[j]
        _peaks(tile, peak)
        _exponentials(tile, peak, total)
        for slot in range(k):
            _argmax(tile, best, choice)
            for i in range(n_rows):
                indices[first + i, slot] = choice[i]
                proba[first + i, slot] = best[i] / total[i]
                tile[choice[i], i] = np.nan  # not to be chosen again
    return indices, proba


@_compile
def _argmax(tile, best, choice):
    """Largest entry of each column that is not NaN, and the first row where it is."""
    for i in range(LANES):
        best[i] = MINUS_INFINITY
        choice[i] = -1
    for k in range(tile.shape[0]):
        row = tile[k]
        for i in range(LANES):
            value = row[i]
            better = (value > best[i]) | ((choice[i] < 0) & (value == value))
            best[i] = value if better else best[i]
            choice[i] = k if better else choice[i]


@_compile
def pack(matrix, shift, scale, tiles):
    """Write the columns of a matrix, standardised, to tiles; see `reference.pack`."""
    n_samples, n_columns = len(matrix), len(shift)
    for t in range(len(tiles)):
        first = t * LANES
        n_rows = min(LANES, n_samples - first)
        _load(matrix, first, n_rows, tiles[t, :n_columns])
        for j in range(n_columns):
            row = tiles[t, j]
            for i in range(LANES):
                row[i] = (row[i] - shift[j]) * scale[j]
        tiles[t, n_columns:] = 1.0
        if n_rows < LANES:
            tiles[t, :, n_rows:] = 0.0


@_compile
def target_moments(tiles, targets, weights):
    """Products of weighted targets and columns; see `reference.target_moments`."""
    n_samples, n_experts = targets.shape
    moments = np.zeros((n_experts, tiles.shape[1]))
    of_tile = np.empty_like(moments)
    own = np.empty((n_experts, LANES))
    for t in range(tiles.shape[0]):
        first = t * LANES
        _load(targets, first, min(LANES, n_samples - first), own)
        _scale(own, weights[t])
        np.dot(own, tiles[t].T, of_tile)
        _add(of_tile, moments)
    return moments


@_compile
def _add(part, whole):
    for k in range(part.shape[0]):
        for j in range(part.shape[1]):
            whole[k, j] += part[k, j]


@_compile
def log_partition(tiles, weights, coef):
    """Log-partition function and its gradient in one pass; see `reference.log_partition`."""
    n_logits = coef.shape[0]
    gradient, of_tile = np.zeros_like(coef), np.empty_like(coef)
    gate, peak, total = np.zeros((n_logits + 1, LANES)), np.empty(LANES), np.empty(LANES)
    logits = gate[:n_logits]
    value = 0.0
    for t in range(tiles.shape[0]):
        np.dot(coef, tiles[t], logits)
        gate[n_logits, :] = 0.0
        _peaks(gate, peak)
        _exponentials(gate, peak, total)
        for i in range(LANES):
            peak[i] = (peak[i] + logarithm(total[i])) * weights[t, i]
            total[i] = weights[t, i] / total[i]
        for i in range(LANES):
            value += peak[i]
        _scale(logits, total)
        np.dot(logits, tiles[t].T, of_tile)
        _add(of_tile, gradient)
    return value, gradient


@_compile
def mixture_loss_and_gradient(tiles, log_density, weights, coef):
    """Of a mixture, in one pass; see `reference.mixture_loss_and_gradient`."""
    n_logits = coef.shape[0]
    gradient, of_tile = np.zeros_like(coef), np.empty_like(coef)
    gate, joint = np.zeros((n_logits + 1, LANES)), np.empty((n_logits + 1, LANES))
    logits = gate[:n_logits]
    peak, total = np.empty(LANES), np.empty(LANES)
    joint_peak, joint_total = np.empty(LANES), np.empty(LANES)
    loss = 0.0
    for t in range(tiles.shape[0]):
        np.dot(coef, tiles[t], logits)
        gate[n_logits, :] = 0.0
        for k in range(n_logits + 1):
            row, sums, density = gate[k], joint[k], log_density[t, k]
            for i in range(LANES):
                sums[i] = row[i] + density[i]
        _peaks(gate, peak)
        _peaks(joint, joint_peak)
        _exponentials(gate, peak, total)
        _exponentials(joint, joint_peak, joint_total)
        for i in range(LANES):
            peak[i] += logarithm(total[i]) - joint_peak[i] - logarithm(joint_total[i])
            peak[i] *= weights[t, i]
            total[i] = weights[t, i] / total[i]
            joint_total[i] = weights[t, i] / joint_total[i]
        for i in range(LANES):
            loss += peak[i]
        for k in range(n_logits):
            row, responsibility = gate[k], joint[k]
            for i in range(LANES):
                row[i] = row[i] * total[i] - responsibility[i] * joint_total[i]
        np.dot(logits, tiles[t].T, of_tile)
        _add(of_tile, gradient)
    return loss, gradient


@_compile
def packed_log_softmax(tiles, coef, log_proba):
    """Log-softmax of the logits of packed rows; see `reference.packed_log_softmax`."""
    n_logits = coef.shape[0]
    logits = np.zeros((n_logits + 1, LANES))
    peak, total = np.empty(LANES), np.empty(LANES)
    for t in range(tiles.shape[0]):
        np.dot(coef, tiles[t], logits[:n_logits])
        logits[n_logits, :] = 0.0
        _log_softmax_tile(logits, peak, total)
        first = t * LANES
        _store(logits, log_proba, first, min(LANES, len(log_proba) - first))


@_compile
def weighted_moments(X, y, centre, weights):
    """Second moments with each column of weights; see `reference.weighted_moments`."""
    n_samples, n_experts = weights.shape
    size = X.shape[1] + 2
    n_products = size * (size + 1) // 2
    sums, of_tile = np.zeros((n_experts, n_products)), np.empty((n_experts, n_products))
    tile, own = np.ones((size, LANES)), np.empty((n_experts, LANES))
    products = np.empty((n_products, LANES))
    for first in range(0, n_samples, LANES):
        n_rows = min(LANES, n_samples - first)
        _load(weights, first, n_rows, own)  # 0 beyond the last row, so that the rest may be old
        for i in range(n_rows):
            for j in range(size - 2):
                tile[j, i] = X[first + i, j] - centre[j]
            tile[size - 2, i] = y[first + i] - centre[size - 2]
        place = 0
        for j in range(size):
            for other in range(j + 1):
                row, one, another = products[place], tile[j], tile[other]
                for i in range(LANES):
                    row[i] = one[i] * another[i]
                place += 1
        np.dot(own, products.T, of_tile)
        for k in range(n_experts):
            for place in range(n_products):
                sums[k, place] += of_tile[k, place]
    moments = np.empty((n_experts, size, size))
    for k in range(n_experts):
        place = 0
        for j in range(size):
            for other in range(j + 1):
                moments[k, j, other] = moments[k, other, j] = sums[k, place]
                place += 1
    return moments


@_compile
def tree_leaves(X, roots, feature, threshold, missing_left, left, right):
    """Leaves of decision trees that rows fall into; see `reference.tree_leaves`.

    Tree by tree, so that the nodes of one stay in the cache.
    """
    leaves = np.empty((X.shape[0], roots.shape[0]), dtype=np.int32)
    for tree in range(roots.shape[0]):
        for i in range(X.shape[0]):
            node = roots[tree]
            while left[node] >= 0:
                value = X[i, feature[node]]
                goes_left = value <= threshold[node] or (value != value and missing_left[node])
                node = left[node] if goes_left else right[node]
            leaves[i, tree] = -1 - left[node]
    return leaves
