"""What a fitted gate says of rows that are validated already."""

import numpy as np

from skmoe._kernels import softmax

from ._softmax import SoftmaxGate


def gate_probabilities(gate, Z):
    """Probability of each expert, as ``gate.predict_proba(Z)``.

    For a single row, validating it again would cost several times as much as the answer.
    So a `SoftmaxGate` is evaluated from its coefficients where there is nothing to find: for
    a float64 array whose logits turn out finite, that is, without missing values.

    Parameters
    ----------
    gate : fitted gate
    Z : array, sparse matrix or frame of shape (n_samples, n_gate_features)
        Validated, with as many columns as in ``fit``.

    Returns
    -------
    proba : ndarray of shape (n_samples, n_experts)
    """
    plain = type(Z) is np.ndarray and Z.dtype == np.float64
    if not plain or type(gate) is not SoftmaxGate or len(gate.missing_features_):
        return gate.predict_proba(Z)
    with np.errstate(invalid="ignore", over="ignore"):
        logits = Z @ gate.coef_.T
        logits += gate.intercept_
        logits /= gate.temperature
        regular = np.isfinite(logits.sum())
    return softmax(logits) if regular else gate.predict_proba(Z)
