"""Small statistics of weighted rows."""

from __future__ import annotations

import numpy as np


def paired(difference, weight):
    """Weighted mean (float) of paired differences (n,) and its standard error."""
    mean = np.average(difference, weights=weight)
    variance = np.average(np.square(difference - mean), weights=weight)
    rows = np.square(weight.sum()) / np.square(weight).sum()
    return float(mean), float(np.sqrt(variance / max(rows - 1.0, 1.0)))


def effective_rows(weight):
    """Kish's effective number of rows, ``(sum w)^2 / sum w^2``, of each column of weights.

    Parameters
    ----------
    weight : ndarray of shape (n_samples,) or (n_samples, n_experts)

    Returns
    -------
    rows : float or ndarray of shape (n_experts,)
        0 where all weights are 0.

    References
    ----------
    Kish, L. (1965). Survey Sampling. Wiley.
    """
    # NumPy's sums over the first of two axes take several times as long.
    squared = np.einsum("i...,i...->...", weight, weight)
    return np.square(np.ones(len(weight)) @ weight) / np.where(squared > 0, squared, 1.0)
