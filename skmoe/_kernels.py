"""All compiled code of the package.

Every kernel is compiled by numba at its first call and cached on disk; importing this module
compiles nothing. The kernels stay in one file because numba does not notice when a function
that a cached kernel calls changes in another file.

All kernels accept float32 and float64 arrays of any memory order, strided or read-only, compute
in double precision, release the global interpreter lock, and leave their arguments untouched.
"""

import numpy as np
from numba import njit


def _compile(function):
    """Compile lazily with an on-disk cache, or without one where no cache can be written."""
    try:
        return njit(cache=True, nogil=True)(function)
    except RuntimeError:
        # numba refuses to decorate at all when it finds no writable directory for its cache;
        # compiling anew in every process is slower but works.
        return njit(nogil=True)(function)


@_compile
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
    >>> from skmoe._kernels import softmax
    >>> softmax(np.array([[0.0, 0.0], [1000.0, 0.0]]))
    array([[0.5, 0.5],
           [1. , 0. ]])
    """
    n_samples, n_experts = logits.shape
    proba = np.empty((n_samples, n_experts))
    for i in range(n_samples):
        peak = -np.inf
        for k in range(n_experts):
            peak = max(peak, np.float64(logits[i, k]))
        total = 0.0
        for k in range(n_experts):
            proba[i, k] = np.exp(np.float64(logits[i, k]) - peak)
            total += proba[i, k]
        for k in range(n_experts):
            proba[i, k] /= total
    return proba


@_compile
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
    >>> from skmoe._kernels import log_softmax
    >>> log_softmax(np.array([[1000.0, 0.0]]))
    array([[    0., -1000.]])
    """
    n_samples, n_experts = logits.shape
    log_proba = np.empty((n_samples, n_experts))
    for i in range(n_samples):
        peak = -np.inf
        for k in range(n_experts):
            peak = max(peak, np.float64(logits[i, k]))
        total = 0.0
        for k in range(n_experts):
            total += np.exp(np.float64(logits[i, k]) - peak)
        log_total = np.log(total)
        for k in range(n_experts):
            # The peak is subtracted first: peak + log_total would round log_total away.
            log_proba[i, k] = (np.float64(logits[i, k]) - peak) - log_total
    return log_proba


@_compile
def softmax_cross_entropy(logits, targets, weights):
    """Weighted cross-entropy of soft targets with the softmax of logits, and its gradient.

    The loss is ``sum_i weights_i * -sum_k targets_ik log softmax(logits_i)_k``.

    Parameters
    ----------
    logits : ndarray of shape (n_samples, n_experts), float32 or float64
        Finite.
    targets : ndarray of shape (n_samples, n_experts), float32 or float64
        Rows sum to 1.
    weights : ndarray of shape (n_samples,), float32 or float64

    Returns
    -------
    loss : float
    residual : ndarray of shape (n_samples, n_experts), float64
        Gradient with respect to the logits: ``(proba - targets) * weights``.
    proba : ndarray of shape (n_samples, n_experts), float64
        Softmax of the logits; :func:`hessian_product` wants it.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe._kernels import softmax_cross_entropy
    >>> loss, residual, proba = softmax_cross_entropy(
    ...     np.zeros((1, 2)), np.array([[1.0, 0.0]]), np.ones(1)
    ... )
    >>> print(f"{loss:.6f}", residual)
    0.693147 [[-0.5  0.5]]
    """
    n_samples, n_experts = logits.shape
    residual = np.empty((n_samples, n_experts))
    proba = np.empty((n_samples, n_experts))
    loss = 0.0
    for i in range(n_samples):
        peak = -np.inf
        for k in range(n_experts):
            peak = max(peak, np.float64(logits[i, k]))
        total = 0.0
        row_loss = 0.0
        for k in range(n_experts):
            below_peak = np.float64(logits[i, k]) - peak
            proba[i, k] = np.exp(below_peak)
            total += proba[i, k]
            row_loss -= targets[i, k] * below_peak
        row_loss += np.log(total)
        weight = np.float64(weights[i])
        for k in range(n_experts):
            proba[i, k] /= total
            residual[i, k] = (proba[i, k] - targets[i, k]) * weight
        loss += weight * row_loss
    return loss, residual, proba


@_compile
def hessian_product(proba, direction, weights):
    """Hessian of the weighted softmax cross-entropy, in the logits, times a direction.

    Row i is ``weights_i (diag(p_i) - p_i p_i') direction_i`` with ``p_i`` the probabilities.

    Parameters
    ----------
    proba : ndarray of shape (n_samples, n_experts), float32 or float64
        Softmax of the logits at which the Hessian is taken.
    direction : ndarray of shape (n_samples, n_experts), float32 or float64
        Change of the logits.
    weights : ndarray of shape (n_samples,), float32 or float64

    Returns
    -------
    product : ndarray of shape (n_samples, n_experts), float64

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe._kernels import hessian_product
    >>> hessian_product(np.array([[0.5, 0.5]]), np.array([[1.0, 0.0]]), np.ones(1))
    array([[ 0.25, -0.25]])
    """
    n_samples, n_experts = proba.shape
    product = np.empty((n_samples, n_experts))
    for i in range(n_samples):
        mean = 0.0
        for k in range(n_experts):
            mean += np.float64(proba[i, k]) * np.float64(direction[i, k])
        weight = np.float64(weights[i])
        for k in range(n_experts):
            product[i, k] = weight * proba[i, k] * (direction[i, k] - mean)
    return product


@_compile
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
    >>> from skmoe._kernels import e_step
    >>> log_gate = np.log([[0.5, 0.5], [0.5, 0.5]])
    >>> log_density = np.array([[0.0, -np.inf], [-np.inf, -np.inf]])
    >>> responsibilities, log_likelihood = e_step(log_gate, log_density)
    >>> responsibilities
    array([[1. , 0. ],
           [0.5, 0.5]])
    >>> log_likelihood
    array([-0.69314718,        -inf])
    """
    n_samples, n_experts = log_gate.shape
    responsibilities = np.empty((n_samples, n_experts))
    log_likelihood = np.empty(n_samples)
    for i in range(n_samples):
        peak = -np.inf
        regular = True
        for k in range(n_experts):
            joint = np.float64(log_gate[i, k]) + np.float64(log_density[i, k])
            responsibilities[i, k] = joint
            if not joint < np.inf:
                regular = False
            peak = max(peak, joint)
        if not regular:
            responsibilities[i, :] = np.nan
            log_likelihood[i] = np.nan
        elif peak == -np.inf:
            responsibilities[i, :] = 1.0 / n_experts
            log_likelihood[i] = -np.inf
        else:
            total = 0.0
            for k in range(n_experts):
                responsibilities[i, k] = np.exp(responsibilities[i, k] - peak)
                total += responsibilities[i, k]
            for k in range(n_experts):
                responsibilities[i, k] /= total
            log_likelihood[i] = peak + np.log(total)
    return responsibilities, log_likelihood


@_compile
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

    Raises
    ------
    ValueError
        If k is outside 1..n_experts.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe._kernels import top_k
    >>> indices, values = top_k(np.array([[0.25, 0.5, 0.25]]), 2)
    >>> indices, values
    (array([[1, 0]]), array([[0.5 , 0.25]]))
    """
    n_samples, n_experts = proba.shape
    if k < 1 or k > n_experts:
        raise ValueError("k must lie between 1 and the number of experts.")
    indices = np.empty((n_samples, k), dtype=np.intp)
    values = np.empty((n_samples, k), dtype=proba.dtype)
    for i in range(n_samples):
        for expert in range(n_experts):
            value = proba[i, expert]
            slot = min(expert, k)
            # Insertion from the back; a strict comparison keeps the lower index first.
            while slot > 0 and value > values[i, slot - 1]:
                if slot < k:
                    values[i, slot] = values[i, slot - 1]
                    indices[i, slot] = indices[i, slot - 1]
                slot -= 1
            if slot < k:
                values[i, slot] = value
                indices[i, slot] = expert
    return indices, values
