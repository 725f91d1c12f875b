"""Starting responsibilities."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import issparse
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import LabelBinarizer, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from .._data.columns import NumericView, giving_arrays
from .._data.rows import TrainingData
from .model_tree import ModelDesign, grow, leaves_of

START_CERTAINTY = 0.9
"""How far a hard start trusts its own labels; the rest is shared by all experts."""

SMALLEST_LEAF = 0.25
"""Least weight of the rows of a leaf that an expert starts from, of an equal share."""

ROWS_OF_A_TREE = 20_000
"""So many rows, drawn at random, say where a few large leaves lie."""


class Start(NamedTuple):
    """Where EM starts from.

    Attributes
    ----------
    init : {"leaves", "model_leaves", "kmeans", "random"}, array of shape (n_given, n_experts) or \
            callable
    seed : int
        Of what is random about it.
    known : ndarray of shape (n, K) or (n_folds, n, K), or None
        Responsibilities that have been found already, for the rows that are learned from.
        `init` is then no more than their name.
    """

    init: Any
    seed: int
    known: np.ndarray | None = None

    @property
    def scouted(self) -> bool:
        """Whether scouts have found it."""
        return self.known is not None and self.name == "linear"

    @property
    def name(self):
        """What progress reports call it."""
        return self.init if isinstance(self.init, str) else "given"


def starts_of(init, n_init, random_state, linear=False):
    """The starts to compare.

    Parameters
    ----------
    init : {"auto", "leaves", "model_leaves", "kmeans", "linear", "random"}, array-like or callable
        "auto" is "leaves" and "kmeans", and so is "linear" where scouts are of no use.
    n_init : int
        Number of starts of one kind; leaves, and responsibilities that are given, are one.
    random_state : numpy.random.RandomState
    linear : bool, default=False
        Whether "auto" is "model_leaves" first: for linear experts. (Not for few of classes: of
        labels that are noise it found more than there is to find.)

    Returns
    -------
    starts : list of Start
    """
    drawn = callable(init) or (isinstance(init, str) and not init.endswith("leaves"))
    seeds = random_state.randint(np.iinfo(np.int32).max, size=n_init if drawn else 1)
    if isinstance(init, str) and init in ("auto", "linear"):
        trees = ("model_leaves", "leaves") if linear else ("leaves",)
        leaves = [Start(name, int(seeds[0])) for name in trees]
        return leaves + [Start("kmeans", int(seed)) for seed in seeds]
    return [Start(init, int(seed)) for seed in seeds]


def starting_responsibilities(start, gate, Z, data, target, n_experts):
    """Responsibilities to start EM from.

    Parameters
    ----------
    start : Start
        A callable gets ``(X, y, n_experts, random_state)`` and returns responsibilities.
    gate : estimator
        The unfitted gate. If it is a Pipeline, clusters and leaves are found in what its last
        step will see.
    Z : array-like, sparse matrix or frame of shape (n, n_gate_features)
        Features of the gate.
    data : TrainingData
        The n validated rows.
    target : ndarray
        Class codes, or real numbers.
    n_experts : int

    Returns
    -------
    responsibilities : ndarray of shape (n, K)
        Non-negative, rows sum to 1. Of shape (n_folds, n, K) if that is known of a start.

    Raises
    ------
    ValueError
        If what was given, or a callable returns, has another shape, or a row that is no
        distribution.
    """
    if start.known is not None:
        return start.known
    n_samples, random_state = len(data.sample_weight), np.random.RandomState(start.seed)
    if not isinstance(start.init, str):
        if not callable(start.init):  # its rows are those that were given, weight 0 included
            return checked_responsibilities(start.init, data.n_given, n_experts)[data.kept]
        given = start.init(data.X, data.y, n_experts, random_state)
        return checked_responsibilities(given, n_samples, n_experts)
    if start.init == "random":
        draws = random_state.uniform(size=(n_samples, n_experts))
        return draws / draws.sum(axis=1, keepdims=True)
    # An entirely missing column carries no information: it becomes 0, not an error.
    imputer = giving_arrays(SimpleImputer(keep_empty_features=True))
    features = imputer.fit_transform(NumericView.fit(gate, Z, data.y)[1])
    learned_from = (features, target, n_experts, data.sample_weight, random_state)
    if start.init == "model_leaves":
        labels = _model_leaves(data, *learned_from)
    else:
        labels = {"leaves": _leaves, "kmeans": _clusters}[start.init](*learned_from)
    responsibilities = np.full((n_samples, n_experts), (1.0 - START_CERTAINTY) / n_experts)
    responsibilities[np.arange(n_samples), labels] += START_CERTAINTY
    return responsibilities


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


def _leaves(features, target, n_experts, sample_weight, random_state):
    """The leaves of a decision tree with at most one for each expert.

    It parts the rows where the target differs most, which is where experts will differ, too. It
    has seen the rows that it parts: but where experts are judged on rows that they have not seen,
    next to nothing is left of what one row told a tree of a few large leaves.
    """
    if n_experts == 1:
        return np.zeros(len(target), dtype=np.intp)
    kind: Any = DecisionTreeClassifier
    if np.issubdtype(target.dtype, np.floating):  # else they are codes of classes
        kind, target = DecisionTreeRegressor, target.reshape(len(target), -1)
        target = giving_arrays(StandardScaler()).fit_transform(target, sample_weight=sample_weight)
    # Trees round to single precision, to which a time stamp may be a constant.
    scaler = giving_arrays(StandardScaler(with_mean=not issparse(features)))
    features = scaler.fit_transform(features, sample_weight=sample_weight)
    smallest = SMALLEST_LEAF / n_experts
    tree = kind(
        max_leaf_nodes=n_experts, min_weight_fraction_leaf=smallest, random_state=random_state
    )
    rows = np.arange(len(target))
    if len(rows) > ROWS_OF_A_TREE:
        rows = random_state.choice(rows, ROWS_OF_A_TREE, replace=False)
    tree.fit(features[rows], target[rows], sample_weight[rows])
    return np.unique(tree.apply(features), return_inverse=True)[1]


def standardised_numbers(data: TrainingData) -> np.ndarray | None:
    """What of X is a number, or can be told in numbers, for linear models.

    Parameters
    ----------
    data : TrainingData

    Returns
    -------
    numbers : ndarray of shape (n, n_numbers) or None
        None if there are none, or more than rows, or sparse ones.
    """
    try:
        X = NumericView.fit(None, data.X, data.y)[1]
    except ValueError:
        return None
    if issparse(X) or not 0 < X.shape[1] < len(X):
        return None
    prepare = make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler())
    return np.ascontiguousarray(giving_arrays(prepare).fit_transform(X))


def _model_leaves(data, features, target, n_experts, sample_weight, random_state):
    """The leaves of a tree with linear models in them; those of a decision tree if there are none.

    Classes are as many targets: squares are close enough to likelihoods to say where they differ.
    """
    numbers = None if issparse(features) else standardised_numbers(data)
    if numbers is None or n_experts == 1:
        return _leaves(features, target, n_experts, sample_weight, random_state)
    if np.issubdtype(target.dtype, np.floating):
        targets = giving_arrays(StandardScaler()).fit_transform(target.reshape(len(target), -1))
    else:
        outputs = target.reshape(len(target), -1).T
        indicators = [LabelBinarizer().fit_transform(codes) for codes in outputs]
        targets = np.hstack(indicators).astype(np.float64)
    rows = np.arange(len(target))
    if len(rows) > ROWS_OF_A_TREE:
        rows = random_state.choice(rows, ROWS_OF_A_TREE, replace=False)
    columns = np.column_stack([numbers, np.ones(len(target)), targets])
    design = ModelDesign(columns[rows], targets.shape[1], sample_weight[rows])
    smallest = SMALLEST_LEAF / n_experts * sample_weight[rows].sum()
    return leaves_of(grow(features[rows], design, n_experts, smallest), features)


def _clusters(features, target, n_experts, sample_weight, random_state):
    """Clusters of the standardised gate features."""
    # Centring moves no distance, and without it sparse stays sparse.
    scaler = giving_arrays(StandardScaler(with_mean=False)).fit(
        features, sample_weight=sample_weight
    )
    features = scaler.transform(features)
    kmeans = KMeans(n_experts, n_init=1, random_state=random_state)
    with warnings.catch_warnings():
        # Fewer distinct points than experts: the surplus experts start from their share.
        warnings.filterwarnings("ignore", category=ConvergenceWarning)
        return kmeans.fit(features, sample_weight=sample_weight).labels_
