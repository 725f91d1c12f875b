"""Starting responsibilities."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import _safe_indexing, check_array

from .gates._base import is_numeric

START_CERTAINTY = 0.9
"""How far a hard start trusts its own labels; the rest is shared by all experts."""


def starting_responsibilities(init, gate, Z, data, n_experts, random_state):
    """Responsibilities to start EM from.

    Parameters
    ----------
    init : {"kmeans", "random"} or callable
        A callable gets ``(X, y, n_experts, random_state)`` and returns responsibilities.
    gate : estimator
        The unfitted gate. If it is a Pipeline, k-means sees what its last step will see.
    Z : array-like, sparse matrix or frame of shape (n, n_gate_features)
        Features of the gate.
    data : TrainingData
        The n validated rows.
    n_experts : int
    random_state : numpy.random.RandomState

    Returns
    -------
    responsibilities : ndarray of shape (n, K)
        Non-negative, rows sum to 1.

    Raises
    ------
    ValueError
        If what a callable returns has another shape, or a row that is no distribution.
    """
    n_samples = len(data.sample_weight)
    if callable(init):
        start = init(data.X, data.y, n_experts, random_state)
        return checked_responsibilities(start, n_samples, n_experts)
    if init == "random":
        draws = random_state.uniform(size=(n_samples, n_experts))
        return draws / draws.sum(axis=1, keepdims=True)
    features = _numeric_features(gate, Z, data.y)
    labels = _kmeans_labels(features, n_experts, data.sample_weight, random_state)
    start = np.full((n_samples, n_experts), (1.0 - START_CERTAINTY) / n_experts)
    start[np.arange(n_samples), labels] += START_CERTAINTY
    return start


def checked_responsibilities(responsibilities, n_samples, n_experts):
    """Validate given starting responsibilities and scale their rows to sum 1.

    Parameters
    ----------
    responsibilities : array-like
    n_samples, n_experts : int

    Returns
    -------
    responsibilities : ndarray of shape (n_samples, n_experts)

    Raises
    ------
    ValueError
    """
    try:
        array = np.asarray(responsibilities, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"init: starting responsibilities must be numbers: {error}") from error
    if array.shape != (n_samples, n_experts):
        raise ValueError(
            "init: starting responsibilities must have shape (n_samples, n_experts) = "
            f"({n_samples}, {n_experts}), got {array.shape}"
        )
    if not np.isfinite(array).all() or (array < 0).any():
        raise ValueError("init: starting responsibilities must be finite and not negative")
    total = array.sum(axis=1, keepdims=True)
    if (total <= 0).any():
        raise ValueError(
            f"init: row {int(np.argmin(total))} gives no expert any responsibility; "
            "each row must have a positive sum"
        )
    return array / total


def _kmeans_labels(features, n_experts, sample_weight, random_state):
    """Cluster the standardised gate features."""
    # An entirely missing column carries no information: it becomes 0, not an error.
    features = SimpleImputer(keep_empty_features=True).fit_transform(features)
    # Centring moves no distance, and without it sparse stays sparse.
    scaler = StandardScaler(with_mean=False).fit(features, sample_weight=sample_weight)
    features = scaler.transform(features)
    kmeans = KMeans(n_experts, n_init=1, random_state=random_state)
    with warnings.catch_warnings():
        # Fewer distinct points than experts: the surplus experts start from their share.
        warnings.filterwarnings("ignore", category=ConvergenceWarning)
        return kmeans.fit(features, sample_weight=sample_weight).labels_


def _numeric_features(gate, Z, y):
    """What k-means can work with: the gate's own preprocessing, or the numeric columns."""
    model = getattr(gate, "estimator", gate)  # a classifier may be wrapped
    if isinstance(model, Pipeline) and len(model) > 1:
        return clone(model[:-1]).fit_transform(Z, y)
    if hasattr(Z, "columns"):
        Z = _numeric_columns(Z)
    return check_array(
        Z,
        accept_sparse="csr",
        dtype=np.float64,
        ensure_all_finite="allow-nan",
        input_name="X",
    )


def _numeric_columns(Z):
    numeric = [column for column, dtype in enumerate(Z.dtypes) if is_numeric(dtype)]
    if not numeric:
        raise ValueError(
            f"init='kmeans' needs a numeric gate feature, got the columns {list(Z.columns)}; "
            "choose columns with gate_features, encode them in a Pipeline that ends in a gate, "
            "or set init='random'"
        )
    return _safe_indexing(Z, numeric, axis=1)
