"""Scores of predictive distributions and of intervals, also as scorers for model selection.

>>> from sklearn.model_selection import cross_val_score
>>> from skmoe import MixtureOfExpertsRegressor
>>> from skmoe.datasets import make_piecewise_regression
>>> from skmoe.metrics import crps, make_density_scorer
>>> X, y = make_piecewise_regression(300, return_X_y=True, random_state=0)
>>> moe = MixtureOfExpertsRegressor(n_experts=3, random_state=0)
>>> scores = cross_val_score(moe, X, y, scoring=make_density_scorer(crps), cv=2)
>>> bool((scores < 0).all())  # higher is better, as always in scikit-learn
True
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils import check_array, check_consistent_length

__all__ = ["coverage", "crps", "interval_score", "make_density_scorer"]


def crps(y_true: Any, distribution: Any, *, sample_weight: Any = None) -> float:
    """Mean continuous ranked probability score, in units of y; lower is better.

    It rewards a distribution for being both right and sharp. For a point prediction it is the
    mean absolute error, to which it can be compared.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,) or (n_samples, n_outputs)
    distribution : PredictiveDistribution
        Or anything else with a method ``crps(y)``.
    sample_weight : array-like of shape (n_samples,), default=None

    Returns
    -------
    score : float
        Over all rows and outputs.

    References
    ----------
    Gneiting, T. and Raftery, A. E. (2007). Strictly proper scoring rules, prediction, and
    estimation. Journal of the American Statistical Association, 102(477), 359-378.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import PredictiveDistribution
    >>> from skmoe.metrics import crps
    >>> one = np.ones((2, 1))
    >>> round(crps([0.0, 1.0], PredictiveDistribution(one, 0 * one, one)), 4)
    0.4181
    """
    if not hasattr(distribution, "crps"):
        raise TypeError(
            f"distribution must have a method crps, as what predict_distribution returns does; "
            f"got {type(distribution).__name__}"
        )
    return _mean(distribution.crps(_target(y_true)), sample_weight)


def interval_score(
    y_true: Any, predicted: Any, *, level: float = 0.9, sample_weight: Any = None
) -> float:
    """Mean interval score (Winkler, 1972), in units of y; lower is better.

    The width of the interval, and for a target outside of it ``2 / (1 - level)`` times its
    distance from the interval.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,) or (n_samples, n_outputs)
    predicted : array-like of shape (n_samples[, n_outputs], 2), or PredictiveDistribution
        Lower and upper ends; of a distribution, its central interval.
    level : float, default=0.9
        Probability that the interval is meant to have.
    sample_weight : array-like of shape (n_samples,), default=None

    Returns
    -------
    score : float
        Over all rows and outputs.

    References
    ----------
    Winkler, R. L. (1972). A decision-theoretic approach to interval estimation. Journal of the
    American Statistical Association, 67(337), 187-191.

    Examples
    --------
    >>> from skmoe.metrics import interval_score
    >>> round(interval_score([0.0, 3.0], [[-1.0, 1.0], [-1.0, 1.0]], level=0.9), 6)
    22.0
    """
    y_true = _target(y_true)
    lower, upper = _ends(predicted, y_true, level)
    outside = np.maximum(lower - y_true, 0.0) + np.maximum(y_true - upper, 0.0)
    return _mean(upper - lower + 2.0 / (1.0 - level) * outside, sample_weight)


def coverage(
    y_true: Any, predicted: Any, *, level: float = 0.9, sample_weight: Any = None
) -> float:
    """Fraction of targets within their intervals; it should be near `level`.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,) or (n_samples, n_outputs)
    predicted : array-like of shape (n_samples[, n_outputs], 2), or PredictiveDistribution
        Lower and upper ends; of a distribution, its central interval.
    level : float, default=0.9
        Of the central interval of a distribution.
    sample_weight : array-like of shape (n_samples,), default=None

    Returns
    -------
    fraction : float
        Over all rows and outputs.

    Examples
    --------
    >>> from skmoe.metrics import coverage
    >>> coverage([0.0, 3.0], [[-1.0, 1.0], [-1.0, 1.0]])
    0.5
    """
    y_true = _target(y_true)
    lower, upper = _ends(predicted, y_true, level)
    return _mean((lower <= y_true) & (y_true <= upper), sample_weight)


def make_density_scorer(
    metric: Callable, *, greater_is_better: bool = False, **kwargs: Any
) -> Callable:
    """A scorer for `GridSearchCV` and its like, of a metric that takes a distribution.

    `make_scorer` of scikit-learn asks regressors for nothing but ``predict``.

    Parameters
    ----------
    metric : callable
        ``metric(y_true, distribution, **kwargs)``, such as `crps`, `interval_score` or
        `coverage`.
    greater_is_better : bool, default=False
        If False, the scorer changes the sign.
    **kwargs : dict
        Of the metric, for example ``level``.

    Returns
    -------
    scorer : callable
        ``scorer(estimator, X, y, sample_weight=None)``. The estimator, or the last step of a
        Pipeline, has a method ``predict_distribution``.

    Examples
    --------
    >>> from skmoe.metrics import interval_score, make_density_scorer
    >>> make_density_scorer(interval_score, level=0.8)
    make_density_scorer(interval_score, level=0.8)
    """
    if not callable(metric):
        raise TypeError(f"metric must be callable, such as skmoe.metrics.crps; got {metric!r}")
    return _DensityScorer(metric, 1.0 if greater_is_better else -1.0, kwargs)


@dataclass(frozen=True)
class _DensityScorer:
    """See `make_density_scorer`."""

    metric: Callable
    sign: float
    kwargs: dict[str, Any] = field(default_factory=dict)

    def __call__(self, estimator, X, y, sample_weight=None):
        if isinstance(estimator, Pipeline) and len(estimator) > 1:
            X, estimator = estimator[:-1].transform(X), estimator[-1]
        if not hasattr(estimator, "predict_distribution"):
            raise TypeError(
                f"{type(estimator).__name__} has no predict_distribution, which this scorer needs"
            )
        weight = {} if sample_weight is None else {"sample_weight": sample_weight}
        return self.sign * self.metric(
            y, estimator.predict_distribution(X), **self.kwargs, **weight
        )

    def __repr__(self):
        better = {"greater_is_better": True} if self.sign > 0 else {}
        options = [f"{name}={value!r}" for name, value in (better | self.kwargs).items()]
        name = getattr(self.metric, "__name__", repr(self.metric))
        return f"make_density_scorer({', '.join([name, *options])})"


def _target(y):
    return check_array(y, ensure_2d=False, dtype=np.float64, input_name="y_true")


def _ends(predicted, y_true, level):
    """Lower and upper ends, each of the shape of the target."""
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level!r}")
    if hasattr(predicted, "interval"):
        predicted = predicted.interval(level)
    predicted = np.asarray(predicted, dtype=np.float64)
    if predicted.shape != (*y_true.shape, 2):
        raise ValueError(
            f"predicted has the shape {predicted.shape}; lower and upper ends for targets of the "
            f"shape {y_true.shape} have the shape {(*y_true.shape, 2)}"
        )
    return predicted[..., 0], predicted[..., 1]


def _mean(values, sample_weight):
    if sample_weight is not None:
        check_consistent_length(values, sample_weight)
    by_row = np.asarray(values, dtype=np.float64).reshape(len(values), -1).mean(axis=1)
    return float(np.average(by_row, weights=sample_weight))
