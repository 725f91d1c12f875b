"""The hierarchical gate: softmax decisions down a tree whose leaves are the experts."""

import copy
from numbers import Integral

import numpy as np
from sklearn.base import MetaEstimatorMixin, _fit_context, clone
from sklearn.utils import _safe_indexing, get_tags
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.validation import _num_samples, check_is_fitted, validate_data

from ._base import BaseGate, check_row_weights, check_targets, takes_numbers_only
from ._softmax import SoftmaxGate


class HierarchicalGate(MetaEstimatorMixin, BaseGate):
    """Gate that first chooses a group of experts, then within the group, down to one expert.

    Every node of a tree has a gate over its branches; the probability of an expert is the product
    of the probabilities along its path. The cross-entropy with soft targets is a sum over
    nodes, so the M-step trains each node by itself, exactly: on the share of each row's
    responsibility that went down each branch, weighted by how much of it reached the node.

    Parameters
    ----------
    gate : gate or None, default=None
        Trained at every node, as a clone. None means ``SoftmaxGate()``.
    groups : int or nested list, default=2
        An int of at least 2: at each level the experts, in their order, are divided into that
        many groups as equal as possible. A nested list names them: ``[[0, 1], [2, 3, 4]]`` has
        two groups, ``[[[0, 1], 2], [3, 4]]`` a third level. Each expert occurs once.
    warm_start : bool, default=False
        Whether each node starts from its previous fit, if the tree is the same and its gate has
        a parameter of that name.

    Attributes
    ----------
    tree_ : tuple
        The groups, as nested tuples of indices of experts.
    branches_ : list of tuple of tuple
        For each node, depth first, the experts under each of its branches.
    gates_ : list of fitted gates or None
        For each node; None for a node that no responsibility has reached, whose branches are
        equally probable.
    n_experts_ : int
    n_iter_ : int
        Largest number of iterations over the nodes.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        Only if X was a frame with string column names.

    See Also
    --------
    SoftmaxGate : A single level; as expressive for linear borders.

    Notes
    -----
    Forms of X, missing values and penalty are those of the node's gate. Its penalty counts
    against the mean over the rows that reach the node, so deep nodes, which see few rows, are
    not penalised more than the root.

    A tree of softmax gates has as many parameters as one softmax gate over the same experts, but
    draws other borders: with two groups at each level, every border is a piece of one straight
    line that divides its group. What it gains is a reading, coarse regimes before fine ones, if
    the experts of a group belong together; EM finds such groups only as far as the start suggests
    them, since experts never change places. Measured with four linear experts
    (``benchmarks/gates.py``), it was as accurate as `SoftmaxGate` on three real data sets or a
    little more, and its M-step took twice as long.

    References
    ----------
    Jordan, M. I. and Jacobs, R. A. (1994). Hierarchical mixtures of experts and the EM
    algorithm. Neural Computation 6(2), 181-214.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.gates import HierarchicalGate
    >>> X = np.array([[-3.0], [-1.0], [1.0], [3.0]])
    >>> gate = HierarchicalGate().fit(X, np.eye(4))
    >>> gate.tree_
    ((0, 1), (2, 3))
    >>> gate.predict([[-2.5], [-1.2], [0.8], [5.0]])
    array([0, 1, 2, 3])
    """

    _parameter_constraints: dict = {
        "gate": [None, HasMethods(["fit", "predict_log_proba"])],
        "groups": [Interval(Integral, 2, None, closed="left"), list, tuple],
        "warm_start": ["boolean"],
    }

    def __init__(self, gate=None, *, groups=2, warm_start=False):
        self.gate = gate
        self.groups = groups
        self.warm_start = warm_start

    @property
    def needs_numbers(self) -> bool:
        """Whether the gates of the nodes take numbers only."""
        return self.gate is None or takes_numbers_only(self.gate)

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, R, sample_weight=None):
        """Fit the gate of every node to its part of the responsibilities.

        Parameters
        ----------
        X : {array-like, sparse matrix, frame} of shape (n_samples, n_features)
            In a form that the node's gate takes.
        R : array-like of shape (n_samples, n_experts)
            Non-negative, rows sum to 1.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative. A weight of 2 is the row twice, of 0 the row absent.

        Returns
        -------
        self : HierarchicalGate
            The fitted gate.

        Raises
        ------
        ValueError
            If the groups do not hold each expert once, or if R or the weights are not valid.
        """
        validate_data(self, X, skip_check_array=True)
        targets = check_targets(R, _num_samples(X))
        weights = check_row_weights(sample_weight, X)
        tree = as_tree(self.groups, targets.shape[1])
        branches = list(nodes(tree))
        same_tree = self.warm_start and getattr(self, "branches_", None) == branches
        previous = getattr(self, "gates_") if same_tree else [None] * len(branches)  # noqa: B009
        self.gates_ = [
            self._fit_node(X, targets, weights, node, start)
            for node, start in zip(branches, previous, strict=True)
        ]
        self.tree_ = tree
        self.branches_ = branches
        self.n_experts_ = targets.shape[1]
        fitted = [gate for gate in self.gates_ if gate is not None]
        self.n_iter_ = max((getattr(gate, "n_iter_", 1) for gate in fitted), default=0)
        return self

    def _fit_node(self, X, targets, weights, branches, start):
        """Gate of one node: targets are the conditional probabilities of its branches."""
        mass = np.column_stack([targets[:, experts].sum(axis=1) for experts in branches])
        reaching = mass.sum(axis=1)
        rows = np.flatnonzero(weights * reaching)
        if len(rows) == 0:
            return None
        gate = clone(SoftmaxGate() if self.gate is None else self.gate)
        if start is not None and "warm_start" in gate.get_params(deep=False):
            # Fitting replaces attributes and changes no array in place: the old gate stays whole.
            gate = copy.copy(start).set_params(warm_start=True)
        part = X if len(rows) == len(weights) else _safe_indexing(X, rows)
        conditional = mass[rows] / reaching[rows, None]
        return gate.fit(part, conditional, sample_weight=weights[rows] * reaching[rows])

    def predict_log_proba(self, X):
        """Logarithm of the probability of each expert.

        Parameters
        ----------
        X : {array-like, sparse matrix, frame} of shape (n_samples, n_features)

        Returns
        -------
        log_proba : ndarray of shape (n_samples, n_experts), float64
        """
        check_is_fitted(self)
        validate_data(self, X, reset=False, skip_check_array=True)
        log_proba = np.zeros((_num_samples(X), self.n_experts_))
        for gate, branches in zip(self.gates_, self.branches_, strict=True):
            if gate is None:
                decision = np.full((len(log_proba), len(branches)), -np.log(len(branches)))
            else:
                decision = gate.predict_log_proba(X)
            for branch, experts in enumerate(branches):
                log_proba[:, experts] += decision[:, [branch]]
        return log_proba

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        node = get_tags(SoftmaxGate() if self.gate is None else self.gate).input_tags
        tags.input_tags.sparse = node.sparse
        tags.input_tags.allow_nan = node.allow_nan
        return tags


def as_tree(groups, n_experts):
    """The groups as nested tuples of indices of experts.

    Parameters
    ----------
    groups : int or nested list
    n_experts : int

    Returns
    -------
    tree : tuple

    Raises
    ------
    ValueError
        If a nested list does not hold each expert once.
    """
    if isinstance(groups, Integral):
        return divide(tuple(range(n_experts)), groups)
    tree = _as_tuples(groups)
    tree = (tree,) if isinstance(tree, int) else tree
    found = sorted(leaves(tree))
    if found != list(range(n_experts)):
        raise ValueError(
            f"groups={groups!r} must hold each of the experts 0 to {n_experts - 1} once; it holds "
            f"{found}"
        )
    return tree


def divide(experts, n_groups):
    """Nested groups of consecutive experts, at most `n_groups` at each level."""
    if len(experts) <= n_groups:
        return experts
    bounds = np.linspace(0, len(experts), n_groups + 1).round().astype(int)
    parts = [experts[a:b] for a, b in zip(bounds[:-1], bounds[1:], strict=True)]
    return tuple(part[0] if len(part) == 1 else divide(part, n_groups) for part in parts)


def _as_tuples(groups):
    """Nested tuples; a group of one is its member."""
    if isinstance(groups, Integral):
        return int(groups)
    if not isinstance(groups, list | tuple) or not groups:
        raise ValueError(f"groups must be nested lists of indices of experts; got {groups!r}")
    parts = tuple(_as_tuples(group) for group in groups)
    return parts[0] if len(parts) == 1 else parts


def leaves(tree):
    """Experts under a node, from left to right."""
    return (tree,) if isinstance(tree, int) else tuple(k for part in tree for k in leaves(part))


def nodes(tree):
    """Experts under each branch of each node with a choice to make, depth first."""
    if isinstance(tree, int):
        return
    if len(tree) > 1:
        yield tuple(leaves(part) for part in tree)
    for part in tree:
        yield from nodes(part)
