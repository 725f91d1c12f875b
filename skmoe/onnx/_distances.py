"""Estimators that compare a row with points: support vectors, neighbours, means of classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._graph import Graph


def squared_distances(graph: Graph, X: str, points: np.ndarray, factor: float) -> str:
    """Squared distances to some points, times a factor, (n_samples, n_points).

    ``|x - v|^2 = |x|^2 - 2 x'v + |v|^2``, around the centre of the points, lest squares cancel.
    All of it is one product of matrices, since of many points each further pass is felt.
    """
    centre = points.mean(axis=0)
    points = points - centre
    rows = graph.add("Sub", X, graph.constant(centre))
    seen = graph.add("Concat", sum_of_squares(graph, rows), rows, axis=1)
    coef = np.vstack([np.ones(len(points)), -2.0 * points.T])
    squares = np.square(points).sum(axis=1)
    return graph.add("Gemm", seen, graph.constant(factor * coef), graph.constant(factor * squares))


def sum_of_squares(graph: Graph, X: str, axis: int = 1, keepdims: int = 1) -> str:
    """Over one axis."""
    squares = graph.add("Mul", X, X)
    return graph.add("ReduceSum", squares, graph.constant(np.array([axis])), keepdims=keepdims)


def support_vectors(graph: Graph, estimator: Any, X: str) -> str:
    """`SVR` and `NuSVR`, for which ONNX Runtime has no float64 of its own."""
    kernel = kernel_values(graph, estimator, X)
    dual = graph.constant(np.asarray(estimator.dual_coef_, dtype=np.float64).T)
    return graph.add("Gemm", kernel, dual, graph.constant(estimator.intercept_))


def support_vector_scores(graph: Graph, estimator: Any, X: str) -> str:
    """`decision_function` of `SVC` and `NuSVC`: (n_samples, 1) of two classes, else one a class.

    libsvm compares each two classes by the support vectors of both.
    """
    kernel = kernel_values(graph, estimator, X)
    dual = np.asarray(estimator.dual_coef_, dtype=np.float64)
    intercept = graph.constant(np.asarray(estimator.intercept_, dtype=np.float64))
    n_classes = len(estimator.classes_)
    if n_classes == 2:
        return graph.add("Gemm", kernel, graph.constant(dual.T), intercept)
    if estimator.decision_function_shape != "ovr":
        raise ValueError("decision_function_shape='ovo' has no form in ONNX; take 'ovr'")
    of_class = np.repeat(np.arange(n_classes), estimator.n_support_)
    pairs = [(i, j) for i in range(n_classes) for j in range(i + 1, n_classes)]
    each = [np.where(of_class == i, dual[j - 1], 0) + np.where(of_class == j, dual[i], 0)
            for i, j in pairs]  # fmt: skip
    scores = graph.add("Gemm", kernel, graph.constant(np.stack(each, axis=1)), intercept)
    # Each pair gives a vote to one of its classes; how far its score is from 0 breaks ties.
    first, second = (np.eye(n_classes)[[pair[side] for pair in pairs]] for side in (0, 1))
    against = graph.cast(graph.add("Less", scores, graph.constant(0.0)), np.float64)
    changes, most = graph.constant(second - first), graph.constant(first.sum(axis=0))
    votes = graph.add("Gemm", against, changes, most)
    confidence = graph.add("MatMul", scores, graph.constant(first - second))
    size = graph.add("Add", graph.add("Abs", confidence), graph.constant(1.0))
    fraction = graph.add("Div", confidence, graph.add("Mul", size, graph.constant(3.0)))
    return graph.add("Add", votes, fraction)


def naive_bayes(graph: Graph, estimator: Any, X: str) -> str:
    """`GaussianNB`: class probabilities, from squared distances in units of each variance.

    skl2onnx writes it with the logarithm and the sum of each class, in twice as many nodes.
    """
    means, variance = estimator.theta_, estimator.var_
    centre = means.mean(axis=0)
    rows = graph.add("Sub", X, graph.constant(centre))
    seen = graph.add("Concat", graph.add("Mul", rows, rows), rows, axis=1)
    coef = graph.constant(np.vstack([-0.5 / variance.T, ((means - centre) / variance).T]))
    rest = np.log(estimator.class_prior_) - 0.5 * np.log(2 * np.pi * variance).sum(axis=1)
    rest -= 0.5 * (np.square(means - centre) / variance).sum(axis=1)
    return graph.add("Softmax", graph.add("Gemm", seen, coef, graph.constant(rest)), axis=1)


def kernel_values(graph: Graph, estimator: Any, X: str) -> str:
    """Kernel of each row and each support vector."""
    if callable(estimator.kernel) or estimator.kernel == "precomputed":
        raise ValueError(f"kernel={estimator.kernel!r} has no form in ONNX")
    vectors = np.asarray(estimator.support_vectors_, dtype=np.float64)
    gamma = float(estimator._gamma)
    if estimator.kernel == "rbf":
        return graph.add("Exp", squared_distances(graph, X, vectors, -gamma))
    products = graph.add("MatMul", X, graph.constant(vectors.T))
    if estimator.kernel == "linear":
        return products
    scaled = graph.add("Mul", products, graph.constant(gamma))
    scaled = graph.add("Add", scaled, graph.constant(float(estimator.coef0)))
    if estimator.kernel == "poly":
        return graph.add("Pow", scaled, graph.constant(float(estimator.degree)))
    return graph.add("Tanh", scaled)


def neighbours(graph: Graph, estimator: Any, X: str) -> str:
    """`KNeighborsRegressor` and `KNeighborsClassifier` with the Euclidean metric.

    skl2onnx goes through the rows one by one, and knows no ``weights="distance"``.
    """
    points = np.asarray(estimator._fit_X, dtype=np.float64)
    if estimator.effective_metric_ != "euclidean" or estimator.effective_metric_params_:
        raise ValueError(f"metric={estimator.metric!r}: only the Euclidean one can be converted")
    if estimator.weights not in ("uniform", "distance"):
        raise ValueError("weights: a function has no form in ONNX")
    targets = np.asarray(estimator._y)
    if hasattr(estimator, "classes_"):
        targets = np.eye(len(estimator.classes_))[targets]
    targets = targets.reshape(len(targets), -1).astype(np.float64)
    number = graph.constant(np.array([estimator.n_neighbors]))
    distances = squared_distances(graph, X, points, 1.0)
    _, nearest = graph.add("TopK", distances, number, axis=1, largest=0, n_outputs=2)
    said = graph.add("Gather", graph.constant(targets), nearest, axis=0)  # (n, k, n_outputs)
    if estimator.weights == "distance":
        weights = _inverse_distances(graph, X, points, nearest)
        said = graph.add("Mul", said, weights)
        total = graph.add("ReduceSum", weights, graph.constant(np.array([1])), keepdims=0)
    else:
        total = graph.constant(float(estimator.n_neighbors))
    whole = graph.add("ReduceSum", said, graph.constant(np.array([1])), keepdims=0)
    return graph.add("Div", whole, total)


def _inverse_distances(graph: Graph, X: str, points: np.ndarray, nearest: str) -> str:
    """Weights (n, k, 1): inverse distances; to a row at distance 0, those alone count."""
    theirs = graph.add("Gather", graph.constant(points), nearest, axis=0)
    own = graph.add("Unsqueeze", X, graph.constant(np.array([1])))
    squares = sum_of_squares(graph, graph.add("Sub", theirs, own), axis=2)
    inverse = graph.add("Div", graph.constant(1.0), graph.add("Sqrt", squares))
    same = graph.cast(graph.add("Equal", squares, graph.constant(0.0)), np.float64)
    found = graph.add("ReduceSum", same, graph.constant(np.array([1])), keepdims=1)
    found = graph.cast(found, np.bool_)
    return graph.add("Where", found, same, inverse)
