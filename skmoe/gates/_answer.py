"""What a fitted gate says of rows that are validated already."""

import math

import numpy as np

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
        Of either memory order.
    """
    plain = type(Z) is np.ndarray and Z.dtype == np.float64
    if not plain or type(gate) is not SoftmaxGate or len(gate.missing_features_):
        return gate.predict_proba(Z)
    # Experts first: NumPy then works along the rows, in which its exponential is vectorised.
    proba = gate.coef_ @ Z.T
    proba += gate.intercept_[:, np.newaxis]
    if gate.temperature != 1.0:
        proba /= gate.temperature
    proba -= proba.max(axis=0)
    np.exp(proba, out=proba)
    total = proba.sum(axis=0)
    proba /= total
    return proba.T if math.isfinite(total.sum()) else gate.predict_proba(Z)
