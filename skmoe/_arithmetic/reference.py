"""The arithmetic of gates and EM in plain NumPy.

Small problems are solved with it, because numba would take longer to import than they take;
and the tests hold the compiled functions of the same names (`skmoe._arithmetic.compiled`) to it.
"""

import numpy as np

LANES = 128
"""Samples per tile; see `pack`."""

CACHED_NUMBERS = 1 << 16
"""Numbers in an intermediate array, which should stay in the cache."""

NEGLIGIBLE = 1e-12
"""A row of less weight, beside the largest, is left out of moments: it is lost in rounding."""


def softmax(logits):
    """Softmax of every row.

    Parameters
    ----------
    logits : ndarray of shape (n_samples, n_experts), float32 or float64
        Finite, or -inf where the probability is zero; at least one entry of a row is finite.

    Returns
    -------
    proba : ndarray of shape (n_samples, n_experts), float64
        Rows sum to 1.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe._arithmetic.reference import softmax
    >>> softmax(np.array([[0.0, 0.0], [1000.0, 0.0]]))
    array([[0.5, 0.5],
           [1. , 0. ]])
    """
    proba = np.array(logits, dtype=np.float64)
    proba -= proba.max(axis=1, keepdims=True)
    np.exp(proba, out=proba)
    proba /= proba.sum(axis=1, keepdims=True)
    return proba


def log_softmax(logits):
    """Logarithm of the softmax of every row, exact where the softmax itself underflows.

    Parameters
    ----------
    logits : ndarray of shape (n_samples, n_experts), float32 or float64
        Finite, or -inf where the probability is zero; at least one entry of a row is finite.

    Returns
    -------
    log_proba : ndarray of shape (n_samples, n_experts), float64

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe._arithmetic.reference import log_softmax
    >>> log_softmax(np.array([[1000.0, 0.0]]))
    array([[    0., -1000.]])
    """
    log_proba = np.array(logits, dtype=np.float64)
    # The peak is subtracted first: peak + log(total) would round the latter away.
    log_proba -= row_max(log_proba)[:, np.newaxis]
    log_proba -= np.log(row_sum(np.exp(log_proba)))[:, np.newaxis]
    return log_proba


def row_max(array):
    """Largest number of every row, NaN included; rows are short, so columns are compared.

    For 1,500 rows of 4 numbers that takes a twentieth of the time of ``max(axis=1)``.
    """
    return np.ascontiguousarray(array.T).max(axis=0)


def row_sum(array):
    """Sum of every row, by BLAS."""
    return array @ np.ones(array.shape[1])


def e_step(log_gate, log_density):
    """Responsibilities and log-likelihood of every row: the E-step of a mixture of experts.

    ``responsibilities_ik`` is proportional to ``exp(log_gate_ik + log_density_ik)``
    (Jordan and Jacobs, 1994).

    Parameters
    ----------
    log_gate : ndarray of shape (n_samples, n_experts), float32 or float64
        Log-probability that the gate gives to each expert.
    log_density : ndarray of shape (n_samples, n_experts), float32 or float64
        Log-density of the row's target under each expert.

    Returns
    -------
    responsibilities : ndarray of shape (n_samples, n_experts), float64
        Rows sum to 1. A row that is impossible under every expert gets 1 / n_experts each.
    log_likelihood : ndarray of shape (n_samples,), float64
        ``log sum_k exp(log_gate + log_density)``; -inf for an impossible row.

    Notes
    -----
    -inf is allowed anywhere. A row with NaN or with a density of +inf gives NaN throughout.

    References
    ----------
    Jordan, M. I. and Jacobs, R. A. (1994). Hierarchical mixtures of experts and the EM
    algorithm. Neural Computation 6(2), 181-214.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe._arithmetic.reference import e_step
    >>> log_gate = np.log([[0.5, 0.5], [0.5, 0.5]])
    >>> log_density = np.array([[0.0, -np.inf], [-np.inf, -np.inf]])
    >>> responsibilities, log_likelihood = e_step(log_gate, log_density)
    >>> responsibilities
    array([[1. , 0. ],
           [0.5, 0.5]])
    >>> log_likelihood
    array([-0.69314718,        -inf])
    """
    with np.errstate(invalid="ignore"):
        joint = np.add(log_gate, log_density, dtype=np.float64)
        peak = row_max(joint)[:, np.newaxis]
        invalid = ~(peak[:, 0] < np.inf)  # NaN is not either
    impossible = peak[:, 0] == -np.inf
    joint[impossible | invalid] = peak[impossible | invalid] = 0.0
    joint -= peak
    np.exp(joint, out=joint)
    total = row_sum(joint)[:, np.newaxis]
    joint /= total
    log_likelihood = (peak + np.log(total))[:, 0]
    log_likelihood[impossible] = -np.inf
    joint[invalid] = np.nan
    log_likelihood[invalid] = np.nan
    return joint, log_likelihood


def top_k(proba, k):
    """Find the k largest entries of every row.

    Parameters
    ----------
    proba : ndarray of shape (n_samples, n_experts), float32 or float64
        Without NaN.
    k : int
        Between 1 and n_experts.

    Returns
    -------
    indices : ndarray of shape (n_samples, k), intp
        Ordered by decreasing probability; of equal ones the lower index comes first.
    values : ndarray of shape (n_samples, k), dtype of `proba`
        ``proba`` at these indices.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe._arithmetic.reference import top_k
    >>> indices, values = top_k(np.array([[0.25, 0.5, 0.25]]), 2)
    >>> indices, values
    (array([[1, 0]]), array([[0.5 , 0.25]]))
    """
    if k == 1:  # for a single row a sort costs more than all the rest
        return proba.argmax(axis=1, keepdims=True), proba.max(axis=1, keepdims=True)
    # Sorting the negated values is stable and so leaves the lower index first.
    indices = np.argsort(-proba, axis=1, kind="stable")[:, :k]
    return indices, np.take_along_axis(proba, indices, axis=1)


def linear_top_k(X, coef, intercept, k):
    """Find the k most probable experts of every row of features, the softmax being linear.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_columns), float64
        Finite.
    coef : ndarray of shape (n_experts, n_columns), float64
        C-contiguous.
    intercept : ndarray of shape (n_experts,), float64
    k : int
        Between 1 and n_experts.

    Returns
    -------
    indices : ndarray of shape (n_samples, k), intp
        Ordered by decreasing probability; of equal ones the lower index comes first.
    proba : ndarray of shape (n_samples, k), float64
        Their probabilities.
    """
    logits = X @ coef.T + intercept
    if k > 1:
        return top_k(softmax(logits), k)
    indices, peaks = top_k(logits, 1)
    return indices, 1.0 / np.exp(logits - peaks).sum(axis=1, keepdims=True)


def pack(matrix, shift, scale, tiles):
    """Write columns of a matrix, standardised, to tiles of rows: `LANES` if they are compiled.

    A tile holds one row per column of the matrix, so that loops run across samples, and is
    small enough to stay in the cache between the products of a pass over the data.

    Parameters
    ----------
    matrix : ndarray of shape (n_samples, at least n_columns), float32 or float64
    shift, scale : ndarrays of shape (n_columns,)
        Entry j of each row becomes ``(entry - shift[j]) * scale[j]``; columns beyond are left out.
    tiles : ndarray of shape (n_tiles, n_columns or n_columns + 1, n_lanes), float64
        Where to write; the caller allocates it because NumPy, unlike numba, asks for the large
        pages that make passes over large arrays quicker. A further column becomes one of ones.
        The lanes of the last tile that have no sample become 0.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe._arithmetic.reference import pack
    >>> tiles = np.empty((1, 3, 128))
    >>> pack(np.array([[1.0, 2.0], [3.0, 4.0]]), np.ones(2), np.ones(2), tiles)
    >>> tiles[0, :, :3]
    array([[0., 2., 0.],
           [1., 3., 0.],
           [1., 1., 0.]])
    """
    n_samples, n_columns = len(matrix), len(shift)
    n_tiles, n_rows, n_lanes = tiles.shape
    rows = np.zeros((n_tiles * n_lanes, n_rows))
    rows[:n_samples, :n_columns] = (matrix[:, :n_columns] - shift) * scale
    rows[:n_samples, n_columns:] = 1.0
    tiles[:] = rows.reshape(n_tiles, n_lanes, n_rows).transpose(0, 2, 1)


def tiled(matrix, n_lanes=LANES):
    """A matrix as it is in tiles; see `pack`.

    Parameters
    ----------
    matrix : ndarray of shape (n_samples, n_columns), float32 or float64
    n_lanes : int, default=LANES

    Returns
    -------
    tiles : ndarray of shape (n_tiles, n_columns, n_lanes), float64
    """
    n_columns = matrix.shape[1]
    tiles = np.empty((-(-len(matrix) // n_lanes), n_columns, n_lanes))
    pack(matrix, np.zeros(n_columns), np.ones(n_columns), tiles)
    return tiles


def target_moments(tiles, targets, weights):
    """Products of weighted targets and columns: ``sum_i weights_i targets_ik z_i``.

    Together with `log_partition` they are all that the cross-entropy needs.

    Parameters
    ----------
    tiles, weights
        See `log_partition`.
    targets : ndarray of shape (n_samples, n_experts), float64

    Returns
    -------
    moments : ndarray of shape (n_experts, n_columns), float64

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe._arithmetic.reference import target_moments, tiled
    >>> tiles, weights = tiled(np.array([[2.0, 1.0]])), tiled(np.ones((1, 1)))[:, 0]
    >>> target_moments(tiles, np.array([[0.75, 0.25]]), weights)
    array([[1.5 , 0.75],
           [0.5 , 0.25]])
    """
    own = tiled(targets, tiles.shape[2]) * weights[:, np.newaxis]
    return np.matmul(own, tiles.transpose(0, 2, 1)).sum(axis=0)


def log_partition(tiles, weights, coef):
    """Weighted sum of the log-partition functions of a softmax, and its gradient.

    That is ``sum_i weights_i log sum_k exp(coef_k z_i)``, where the logit of the last expert is
    fixed at 0 and has no row in `coef`. The cross-entropy of soft targets is this less the inner
    product of `coef` with `target_moments`: a pass over the data need not read the targets.

    Parameters
    ----------
    tiles : ndarray of shape (n_tiles, n_columns, n_lanes), float64
        Packed rows of the design, with the column of ones.
    weights : ndarray of shape (n_tiles, n_lanes), float64
        0 in lanes without a sample.
    coef : ndarray of shape (n_experts - 1, n_columns), float64

    Returns
    -------
    value : float
    gradient : ndarray of shape (n_experts - 1, n_columns), float64
        ``sum_i weights_i softmax(coef z_i)_k z_i``.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe._arithmetic.reference import log_partition, tiled
    >>> tiles, weights = tiled(np.array([[2.0, 1.0]])), tiled(np.ones((1, 1)))[:, 0]
    >>> value, gradient = log_partition(tiles, weights, np.zeros((1, 2)))
    >>> print(f"{value:.6f}", gradient)
    0.693147 [[1.  0.5]]
    """
    logits = np.matmul(coef, tiles)
    peak = np.maximum(logits.max(axis=1), 0.0)
    logits -= peak[:, np.newaxis]
    np.exp(logits, out=logits)
    total = logits.sum(axis=1)
    total += np.exp(-peak)
    logits *= (weights / total)[:, np.newaxis]
    gradient = np.matmul(logits, tiles.transpose(0, 2, 1)).sum(axis=0)
    return float(np.vdot(weights, peak + np.log(total))), gradient


def mixture_loss_and_gradient(tiles, log_density, weights, coef):
    """Minus the log-likelihood of a mixture with given densities, and its gradient.

    The loss is ``sum_i weights_i * -log sum_k softmax(coef z_i)_k exp(log_density_ik)``, where
    the logit of the last expert is fixed at 0 and has no row in `coef`. Its gradient is that of
    the cross-entropy with the responsibilities.

    Parameters
    ----------
    tiles, weights, coef
        See `log_partition`.
    log_density : ndarray of shape (n_tiles, n_experts, n_lanes), float64
        Packed log-densities of each row's target under each expert; finite.

    Returns
    -------
    loss : float
    gradient : ndarray of shape (n_experts - 1, n_columns), float64

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe._arithmetic.reference import mixture_loss_and_gradient, tiled
    >>> tiles = tiled(np.array([[2.0, 1.0]]))
    >>> log_density = tiled(np.log([[0.75, 0.25]]))
    >>> weights = tiled(np.ones((1, 1)))[:, 0]
    >>> loss, gradient = mixture_loss_and_gradient(
    ...     tiles, log_density, weights, np.zeros((1, 2))
    ... )
    >>> print(f"{loss:.6f}", gradient)
    0.693147 [[-0.5  -0.25]]
    """
    logits = np.zeros(log_density.shape)
    np.matmul(coef, tiles, out=logits[:, :-1])
    lanes = logits.transpose(0, 2, 1).reshape(-1, logits.shape[1])
    log_gate = log_softmax(lanes)
    densities = log_density.transpose(0, 2, 1).reshape(lanes.shape)
    responsibilities, log_likelihood = e_step(log_gate, densities)
    residual = (np.exp(log_gate) - responsibilities) * weights.reshape(-1, 1)
    residual = residual[:, :-1].reshape(len(tiles), -1, len(coef)).transpose(0, 2, 1)
    gradient = np.matmul(residual, tiles.transpose(0, 2, 1)).sum(axis=0)
    return -float(weights.ravel() @ log_likelihood), gradient


def packed_log_softmax(tiles, coef, log_proba):
    """Logarithm of the softmax of the logits of packed rows.

    Parameters
    ----------
    tiles : ndarray of shape (n_tiles, n_columns, LANES), float64
    coef : ndarray of shape (n_experts - 1, n_columns), float64
        The logit of the last expert is 0.
    log_proba : ndarray of shape (n_samples, n_experts), float64
        Where to write the result; lanes beyond `n_samples` hold no samples.
    """
    rows = np.matmul(coef, tiles).transpose(0, 2, 1).reshape(-1, len(coef))[: len(log_proba)]
    log_proba[:] = log_softmax(np.pad(rows, ((0, 0), (0, 1))))


def weighted_moments(X, y, centre, weights):
    """Weighted second moments of the columns of X, y and 1, for each column of weights.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), float64
    y : ndarray of shape (n_samples,)
    centre : ndarray of shape (n_features + 1,), float64
        What is subtracted from the columns of X and from y.
    weights : ndarray of shape (n_samples, n_experts), float64
        Non-negative.

    Returns
    -------
    moments : ndarray of shape (n_experts, n_features + 2, n_features + 2), float64

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe._arithmetic.reference import weighted_moments
    >>> weighted_moments(
    ...     np.array([[2.0]]), np.array([3.0]), np.zeros(2), np.array([[10.0]])
    ... )
    array([[[40., 60., 20.],
            [60., 90., 30.],
            [20., 30., 10.]]])
    """
    n_samples, n_experts = weights.shape
    size = X.shape[1] + 2
    moments, least = np.zeros((n_experts, size, size)), NEGLIGIBLE * weights.max(axis=0)
    step = max(CACHED_NUMBERS // size, 1024)
    for first in range(0, n_samples, step):
        rows = slice(first, min(first + step, n_samples))
        part = np.column_stack([X[rows], y[rows], np.ones(rows.stop - first)])
        part[:, :-1] -= centre
        for k, weight in enumerate(weights[rows].T):
            theirs = np.flatnonzero(weight > least[k])
            own = part[theirs] * np.sqrt(weight[theirs, np.newaxis])
            moments[k] += own.T @ own  # a product of which BLAS computes one half
    return moments


def tree_leaves(X, roots, feature, threshold, missing_left, left, right):
    """Leaves of decision trees that rows fall into.

    Nodes of all trees are counted through. A row goes to the left where its feature is at most
    the threshold, or where it is missing and `missing_left` says so.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), float32
    roots : ndarray of shape (n_trees,), int32
        First node of each tree.
    feature : ndarray of shape (n_nodes,), int32
    threshold : ndarray of shape (n_nodes,), float64
    missing_left : boolean ndarray of shape (n_nodes,)
    left, right : ndarrays of shape (n_nodes,), int32
        Nodes below. Of a leaf, `left` is ``-1 - number of the leaf``.

    Returns
    -------
    leaves : ndarray of shape (n_samples, n_trees), int32

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe._arithmetic.reference import tree_leaves
    >>> stump = {
    ...     "roots": np.array([0]),
    ...     "feature": np.array([0, -1, -1]),
    ...     "threshold": np.array([0.5, 0.0, 0.0]),
    ...     "missing_left": np.array([True, False, False]),
    ...     "left": np.array([1, -1, -2]),
    ...     "right": np.array([2, 0, 0]),
    ... }
    >>> tree_leaves(
    ...     np.array([[0.0], [1.0], [np.nan]], dtype=np.float32), **stump
    ... ).ravel()
    array([0, 1, 0])
    """
    nodes = np.tile(roots, len(X))
    rows = np.repeat(np.arange(len(X)), len(roots))
    inside = np.flatnonzero(left[nodes] >= 0)
    while len(inside):
        at = nodes[inside]
        values = X[rows[inside], feature[at]]
        goes_left = (values <= threshold[at]) | (np.isnan(values) & missing_left[at])
        nodes[inside] = np.where(goes_left, left[at], right[at])
        inside = inside[left[nodes[inside]] >= 0]
    return (-1 - left[nodes]).reshape(len(X), len(roots))
