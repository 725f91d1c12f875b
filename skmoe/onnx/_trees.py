"""Trees of scikit-learn as one ONNX node, in double precision.

scikit-learn's converters write trees with float32 thresholds and add up float32 leaves. Here both
are float64, so that a row goes the same way as in scikit-learn, whatever it is, and the sum is
rounded once.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.dummy import DummyClassifier, DummyRegressor

from ._graph import Graph

LESS, EQUAL, LEAF = "BRANCH_LEQ", "BRANCH_EQ", "LEAF"


class Tree(NamedTuple):
    """One tree, node by node.

    Attributes
    ----------
    mode : ndarray of str, shape (n_nodes,)
        A branch compares a feature with a value: at most that, or equal to it.
    feature, value : ndarrays of shape (n_nodes,)
    true, false : ndarrays of int, shape (n_nodes,)
        Where a row goes. Several nodes may lead to the same one.
    missing_true : ndarray of bool, shape (n_nodes,)
        Whether a missing value goes where the true ones go.
    outputs : ndarray of shape (n_nodes, n_outputs)
        What a leaf adds.
    """

    mode: np.ndarray
    feature: np.ndarray
    value: np.ndarray
    true: np.ndarray
    false: np.ndarray
    missing_true: np.ndarray
    outputs: np.ndarray


def sum_of_trees(graph: Graph, X: str, trees: list[Tree], base: Any) -> str:
    """Write the sum of trees.

    Parameters
    ----------
    graph : Graph
    X : str
        Tensor (n_samples, n_features) of float64.
    trees : list of Tree
    base : array-like of shape (n_outputs,)
        Added to the sum.

    Returns
    -------
    sum : str
        Tensor (n_samples, n_outputs) of float64.
    """
    base = np.asarray(base, dtype=np.float64)
    sizes = [len(tree.mode) for tree in trees]
    number = np.repeat(np.arange(len(trees)), sizes)
    node = np.concatenate([np.arange(size) for size in sizes])
    joined = Tree(*(np.concatenate(parts) for parts in zip(*trees, strict=True)))
    leaves, targets = np.nonzero(joined.outputs * (joined.mode == LEAF)[:, np.newaxis])
    # Every leaf has to have a weight, though it be 0.
    silent = np.setdiff1d(np.flatnonzero(joined.mode == LEAF), leaves)
    leaves = np.concatenate([leaves, silent])
    targets = np.concatenate([targets, np.zeros(len(silent), dtype=targets.dtype)])
    output = graph.add(
        "TreeEnsembleRegressor",
        X,
        domain="ai.onnx.ml",
        n_targets=len(base),
        base_values_as_tensor=base,
        nodes_treeids=number.tolist(),
        nodes_nodeids=node.tolist(),
        nodes_modes=joined.mode.tolist(),
        nodes_featureids=joined.feature.tolist(),
        nodes_values_as_tensor=joined.value.astype(np.float64),
        nodes_truenodeids=joined.true.tolist(),
        nodes_falsenodeids=joined.false.tolist(),
        nodes_missing_value_tracks_true=joined.missing_true.astype(int).tolist(),
        target_treeids=number[leaves].tolist(),
        target_nodeids=node[leaves].tolist(),
        target_ids=targets.tolist(),
        target_weights_as_tensor=joined.outputs[leaves, targets].astype(np.float64),
    )
    return graph.cast(output, np.float64)


def as_float32(graph: Graph, X: str) -> str:
    """Features as scikit-learn's trees see them: rounded to float32."""
    return graph.cast(graph.cast(X, np.float32), np.float64)


def tree_of(fitted: Any, factor: float = 1.0) -> Tree:
    """A fitted tree of scikit-learn.

    Parameters
    ----------
    fitted : sklearn.tree._tree.Tree
    factor : float
        Multiplies what the leaves say.

    Returns
    -------
    tree : Tree
    """
    leaf = fitted.children_left < 0
    values = fitted.value
    outputs = values[:, :, 0] if values.shape[2] == 1 else values[:, 0, :]
    return Tree(
        np.where(leaf, LEAF, LESS),
        np.where(leaf, 0, fitted.feature),
        np.where(leaf, 0.0, fitted.threshold),
        np.where(leaf, 0, fitted.children_left),
        np.where(leaf, 0, fitted.children_right),
        fitted.missing_go_to_left.astype(bool) & ~leaf,
        factor * outputs,
    )


def forest(graph: Graph, estimator: Any, X: str) -> str:
    """A tree, or the mean of several: predictions, or class probabilities."""
    trees = getattr(estimator, "estimators_", None) or [estimator]
    parts = [tree_of(tree.tree_, 1.0 / len(trees)) for tree in trees]
    return sum_of_trees(graph, as_float32(graph, X), parts, np.zeros(parts[0].outputs.shape[1]))


def gradient_boosting(graph: Graph, estimator: Any, X: str) -> str:
    """`GradientBoostingRegressor` or `GradientBoostingClassifier`."""
    if not isinstance(estimator.init_, DummyClassifier | DummyRegressor | str):
        raise ValueError(f"init={estimator.init!r} is a model; only a constant can be converted")
    stages = estimator.estimators_  # (n_stages, n_outputs)
    parts, n_outputs = [], stages.shape[1]
    origin = np.zeros((1, estimator.n_features_in_))
    classifier = hasattr(estimator, "classes_")
    base = np.reshape(
        estimator.decision_function(origin) if classifier else estimator.predict(origin), -1
    ).astype(np.float64)
    for stage in stages:
        for output, tree in enumerate(stage):
            base[output] -= estimator.learning_rate * tree.predict(origin)[0]
            part = tree_of(tree.tree_, estimator.learning_rate)
            parts.append(part._replace(outputs=part.outputs * np.eye(n_outputs)[[output]]))
    raw = sum_of_trees(graph, as_float32(graph, X), parts, base)
    if not classifier:
        return raw
    if estimator.loss == "exponential":
        raw = graph.add("Mul", raw, graph.constant(2.0))
    return class_probabilities(graph, raw, n_outputs)


def class_probabilities(graph: Graph, raw: str, n_outputs: int) -> str:
    """Probabilities from logits; one logit is that of the second of two classes."""
    if n_outputs > 1:
        return graph.add("Softmax", raw, axis=1)
    second = graph.add("Sigmoid", raw)
    return graph.add("Concat", graph.add("Sub", graph.constant(1.0), second), second, axis=1)


def histogram_boosting(graph: Graph, estimator: Any, X: str) -> str:
    """`HistGradientBoostingRegressor` or `HistGradientBoostingClassifier`."""
    raw = histogram_scores(graph, estimator, X)
    if hasattr(estimator, "classes_"):
        return class_probabilities(graph, raw, len(estimator._predictors[0]))
    return graph.add("Exp", raw) if estimator.loss in ("poisson", "gamma") else raw


def histogram_scores(graph: Graph, estimator: Any, X: str) -> str:
    """What the trees of histogram boosting add up to: logits, in classification."""
    stages = estimator._predictors
    features, categories = _own_features(estimator)
    known, row_of_feature = estimator._bin_mapper.make_known_categories_bitsets()
    n_outputs = len(stages[0])
    parts = []
    for stage in stages:
        for output, predictor in enumerate(stage):
            part = _histogram_tree(predictor, categories, known, row_of_feature)
            part = part._replace(feature=features[part.feature])
            parts.append(part._replace(outputs=part.outputs * np.eye(n_outputs)[[output]]))
    base = np.broadcast_to(np.reshape(estimator._baseline_prediction, -1), n_outputs)
    return sum_of_trees(graph, X, parts, base)


def _own_features(estimator: Any) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Which feature of X each of the estimator's own is, and the values of the categories.

    It puts categorical features first, and numbers their categories.
    """
    if estimator.is_categorical_ is None:
        return np.arange(estimator.n_features_in_), {}
    categorical = np.flatnonzero(estimator.is_categorical_)
    features = np.concatenate([categorical, np.flatnonzero(~estimator.is_categorical_)])
    values = estimator._preprocessor.named_transformers_["encoder"].categories_
    for position, own in zip(categorical, values, strict=True):
        if np.asarray(own).dtype.kind not in "fiub":
            raise ValueError(
                f"its categorical feature {position} holds strings; encode them as numbers before"
            )
    return features, {i: np.asarray(own, dtype=np.float64) for i, own in enumerate(values)}


def _histogram_tree(predictor: Any, categories: dict, known: Any, row_of_feature: Any) -> Tree:
    """One tree of histogram boosting.

    A split on a set of categories becomes a chain of comparisons. It ends where a missing value
    goes, as does a category that is unknown; so the chain names the known ones that go elsewhere.
    """
    nodes = predictor.nodes
    leaf = nodes["is_leaf"].astype(bool)
    left, right = nodes["left"].astype(int), nodes["right"].astype(int)
    mode = np.where(leaf, LEAF, LESS)
    value = np.where(leaf, 0.0, nodes["num_threshold"])
    # ONNX has no comparison with infinity: whatever is no missing value is below this.
    value = np.minimum(value, np.finfo(np.float64).max)
    tree = Tree(
        mode,
        np.where(leaf, 0, nodes["feature_idx"]).astype(int),
        value,
        np.where(leaf, 0, left),
        np.where(leaf, 0, right),
        nodes["missing_go_to_left"].astype(bool) & ~leaf,
        np.where(leaf, nodes["value"], 0.0)[:, np.newaxis],
    )
    for split in np.flatnonzero(nodes["is_categorical"].astype(bool) & ~leaf):
        feature = int(nodes["feature_idx"][split])
        codes = np.arange(len(categories[feature]))
        goes_left = _bits(predictor.raw_left_cat_bitsets[nodes["bitset_idx"][split]], codes)
        seen = _bits(known[row_of_feature[feature]], codes)
        otherwise = bool(nodes["missing_go_to_left"][split])
        named = codes[seen & (goes_left != otherwise)]
        default, other = (left, right) if otherwise else (right, left)
        tree = with_chain(
            tree, int(split), categories[feature][named], int(other[split]), int(default[split])
        )
    return tree


def with_chain(tree: Tree, split: int, values: np.ndarray, other: int, default: int) -> Tree:
    """Replace a split by comparisons with some values, one after the other."""
    if len(values) == 0:  # all go one way
        values = np.array([np.finfo(np.float64).max])
        other = default
    n_nodes, further = len(tree.mode), len(values) - 1
    links = np.append(split, np.arange(n_nodes, n_nodes + further))
    zeros = np.zeros(further, dtype=int)
    tree = Tree(
        np.append(tree.mode, np.full(further, EQUAL)),
        np.append(tree.feature, zeros),
        np.append(tree.value, zeros.astype(float)),
        np.append(tree.true, zeros),
        np.append(tree.false, zeros),
        np.append(tree.missing_true, zeros.astype(bool)),
        np.vstack([tree.outputs, np.zeros((further, tree.outputs.shape[1]))]),
    )
    tree.mode[links] = EQUAL
    tree.feature[links] = tree.feature[split]
    tree.value[links] = values
    tree.true[links] = other
    tree.false[links] = np.append(links[1:], default)
    tree.missing_true[links] = False
    return tree


def _bits(bitset: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Whether each code is in a set of 256 bits."""
    return (np.asarray(bitset)[codes // 32] >> (codes % 32).astype(np.uint32)) & 1 == 1
