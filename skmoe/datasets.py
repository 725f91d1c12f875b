"""Piecewise problems whose regimes are known.

Each generator draws rows from a mixture of experts that it hands back with the data, so that an
estimate can be compared with the truth: which regime a row belongs to, what the gate that chose it
looks like, and what the regime says about the target.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from scipy.special import softmax
from scipy.stats import chi2, norm
from sklearn.utils import Bunch, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

__all__ = ["make_piecewise_classification", "make_piecewise_regression"]


_SHARED_CONSTRAINTS: dict[str, list[Any]] = {
    "n_samples": [Interval(Integral, 1, None, closed="left")],
    "n_features": [Interval(Integral, 1, None, closed="left")],
    "n_regimes": [Interval(Integral, 1, None, closed="left")],
    "boundary": [StrOptions({"linear", "parallel", "radial"})],
    "overlap": [Interval(Real, 0, None, closed="left")],
    "return_X_y": ["boolean"],
    "random_state": ["random_state"],
}


@validate_params(
    {**_SHARED_CONSTRAINTS, "noise": [Interval(Real, 0, None, closed="left"), "array-like"]},
    prefer_skip_nested_validation=True,
)
def make_piecewise_regression(
    n_samples=1000,
    n_features=5,
    n_regimes=3,
    *,
    noise=0.1,
    boundary="linear",
    overlap=0.0,
    return_X_y=False,
    random_state=None,
):
    """Draw a regression problem that is linear in each of several regimes.

    The features are independent standard normal. A gate assigns each row to a regime k, and the
    target is ``coef[k] @ x + intercept[k]`` plus normal noise. The regimes have equal probability.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of rows.
    n_features : int, default=5
        Number of features.
    n_regimes : int, default=3
        Number of regimes, K.
    noise : float or array-like of shape (n_regimes,), default=0.1
        Standard deviation of the noise, the same in every regime or one value for each. The
        variance of the noise-free target within a regime is about 1.
    boundary : {"linear", "parallel", "radial"}, default="linear"
        Shape of the regimes:

        - ``"linear"``: K equal sectors around the origin of a random plane. A softmax gate that is
          linear in X represents them. More than two regimes need two features or more.
        - ``"parallel"``: K bands across a random direction. A softmax gate that is linear in X
          represents them, too.
        - ``"radial"``: K shells around the origin. No gate that is linear in X can tell them
          apart.
    overlap : float, default=0.0
        Temperature of the gate. At 0 the boundaries are sharp and the regime is a function of x;
        above 0 the regime is drawn from the softmax of the gate's scores divided by `overlap`.
    return_X_y : bool, default=False
        Return ``(X, y)`` instead of a Bunch.
    random_state : int, RandomState instance or None, default=None
        Seed of all draws; pass an int for reproducible output.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        The data and the mixture that it was drawn from:

        X : ndarray of shape (n_samples, n_features)
            Features.
        y : ndarray of shape (n_samples,)
            Target.
        regime : ndarray of shape (n_samples,)
            Regime of each row, an integer from 0 to K - 1.
        mean : ndarray of shape (n_samples,)
            Target without its noise: what an oracle predicts that knows the regime of each row.
        gate_proba : ndarray of shape (n_samples, K)
            Probability of each regime given the features; rows of 0 and 1 if `overlap` is 0.
            ``(gate_proba * expert_means).sum(axis=1)`` is what an oracle predicts that knows the
            mixture but not the regimes.
        expert_means : ndarray of shape (n_samples, K)
            Mean of the target in each regime.
        coef : ndarray of shape (K, n_features)
            Coefficients of each regime.
        intercept : ndarray of shape (K,)
            Intercept of each regime.
        scale : ndarray of shape (K,)
            Standard deviation of the noise in each regime.
        gate_coef : ndarray of shape (K, n_features) or (K, 1)
            Coefficients of the gate's scores: of X, or of the squared norm of each row for radial
            boundaries.
        gate_intercept : ndarray of shape (K,)
            Intercepts of the gate's scores. With no overlap a row's regime is the largest score.
    (X, y) : tuple of ndarray
        If `return_X_y` is True.

    See Also
    --------
    make_piecewise_classification : The same with a class label as target.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.datasets import make_piecewise_regression
    >>> data = make_piecewise_regression(n_samples=600, noise=0.5, random_state=0)
    >>> data.X.shape, data.y.shape
    ((600, 5), (600,))

    The gate and the regimes reproduce the target up to its noise:

    >>> scores = data.X @ data.gate_coef.T + data.gate_intercept
    >>> np.array_equal(scores.argmax(axis=1), data.regime)
    True
    >>> print(f"{np.std(data.y - data.mean):.1f}")
    0.5
    """
    rng = check_random_state(random_state)
    scale = _scale_per_regime(noise, n_regimes)
    X, gate = _draw_regimes(rng, n_samples, n_features, n_regimes, boundary, overlap)
    coef = rng.standard_normal((n_regimes, n_features)) / np.sqrt(n_features)
    intercept = rng.standard_normal(n_regimes)
    expert_means = X @ coef.T + intercept
    mean = expert_means[np.arange(n_samples), gate["regime"]]
    y = mean + scale[gate["regime"]] * rng.standard_normal(n_samples)
    if return_X_y:
        return X, y
    return Bunch(
        X=X,
        y=y,
        mean=mean,
        expert_means=expert_means,
        coef=coef,
        intercept=intercept,
        scale=scale,
        **gate,
    )


@validate_params(
    {
        **_SHARED_CONSTRAINTS,
        "n_classes": [Interval(Integral, 2, None, closed="left")],
        "class_sep": [Interval(Real, 0, None, closed="left")],
    },
    prefer_skip_nested_validation=True,
)
def make_piecewise_classification(
    n_samples=1000,
    n_features=5,
    n_regimes=3,
    *,
    n_classes=2,
    class_sep=5.0,
    boundary="linear",
    overlap=0.0,
    return_X_y=False,
    random_state=None,
):
    """Draw a classification problem that is a softmax regression in each of several regimes.

    The features are independent standard normal. A gate assigns each row to a regime k, and the
    class is drawn from the softmax of ``coef[k] @ x + intercept[k]``. The regimes have equal
    probability; the classes in general have not.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of rows.
    n_features : int, default=5
        Number of features.
    n_regimes : int, default=3
        Number of regimes, K.
    n_classes : int, default=2
        Number of classes, C.
    class_sep : float, default=5.0
        Factor on the scores of the classes. At 0 the classes are drawn at random; the larger it
        is, the closer they come to a function of the features and the regime.
    boundary : {"linear", "parallel", "radial"}, default="linear"
        Shape of the regimes:

        - ``"linear"``: K equal sectors around the origin of a random plane. A softmax gate that is
          linear in X represents them. More than two regimes need two features or more.
        - ``"parallel"``: K bands across a random direction. A softmax gate that is linear in X
          represents them, too.
        - ``"radial"``: K shells around the origin. No gate that is linear in X can tell them
          apart.
    overlap : float, default=0.0
        Temperature of the gate. At 0 the boundaries are sharp and the regime is a function of x;
        above 0 the regime is drawn from the softmax of the gate's scores divided by `overlap`.
    return_X_y : bool, default=False
        Return ``(X, y)`` instead of a Bunch.
    random_state : int, RandomState instance or None, default=None
        Seed of all draws; pass an int for reproducible output.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        The data and the mixture that it was drawn from:

        X : ndarray of shape (n_samples, n_features)
            Features.
        y : ndarray of shape (n_samples,)
            Class of each row, an integer from 0 to C - 1.
        regime : ndarray of shape (n_samples,)
            Regime of each row, an integer from 0 to K - 1.
        proba : ndarray of shape (n_samples, C)
            Probability of each class in the row's regime: what an oracle predicts that knows the
            regime of each row.
        gate_proba : ndarray of shape (n_samples, K)
            Probability of each regime given the features; rows of 0 and 1 if `overlap` is 0.
            ``(gate_proba[:, :, None] * expert_proba).sum(axis=1)`` is what an oracle predicts that
            knows the mixture but not the regimes.
        expert_proba : ndarray of shape (n_samples, K, C)
            Probability of each class in each regime.
        coef : ndarray of shape (K, C, n_features)
            Coefficients of each regime.
        intercept : ndarray of shape (K, C)
            Intercepts of each regime.
        gate_coef : ndarray of shape (K, n_features) or (K, 1)
            Coefficients of the gate's scores: of X, or of the squared norm of each row for radial
            boundaries.
        gate_intercept : ndarray of shape (K,)
            Intercepts of the gate's scores. With no overlap a row's regime is the largest score.
    (X, y) : tuple of ndarray
        If `return_X_y` is True.

    See Also
    --------
    make_piecewise_regression : The same with a real number as target.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.datasets import make_piecewise_classification
    >>> data = make_piecewise_classification(
    ...     n_samples=600, n_classes=3, random_state=0
    ... )
    >>> data.X.shape, data.proba.shape, data.expert_proba.shape
    ((600, 5), (600, 3), (600, 3, 3))

    An oracle that knows the regimes is not always right, because the classes are drawn:

    >>> oracle = data.proba.argmax(axis=1)
    >>> bool(0.8 < np.mean(oracle == data.y) < 1.0)
    True
    """
    rng = check_random_state(random_state)
    X, gate = _draw_regimes(rng, n_samples, n_features, n_regimes, boundary, overlap)
    coef = rng.standard_normal((n_regimes, n_classes, n_features)) / np.sqrt(n_features)
    intercept = 0.5 * rng.standard_normal((n_regimes, n_classes))
    coef *= class_sep
    intercept *= class_sep
    expert_proba = softmax(np.einsum("nd,kcd->nkc", X, coef) + intercept, axis=2)
    proba = expert_proba[np.arange(n_samples), gate["regime"]]
    y = _draw_rows(rng, proba)
    if return_X_y:
        return X, y
    return Bunch(
        X=X,
        y=y,
        proba=proba,
        expert_proba=expert_proba,
        coef=coef,
        intercept=intercept,
        **gate,
    )


def _scale_per_regime(noise, n_regimes):
    """One standard deviation per regime, (K,)."""
    scale = np.asarray(noise, dtype=float)
    if scale.ndim and scale.shape != (n_regimes,):
        raise ValueError(
            f"noise must be a number or have one value per regime, shape ({n_regimes},); "
            f"got shape {scale.shape}."
        )
    if not (np.isfinite(scale).all() and (scale >= 0).all()):
        raise ValueError(f"noise must be finite and not negative; got {noise!r}.")
    return np.broadcast_to(scale, (n_regimes,)).copy()


def _draw_regimes(rng, n_samples, n_features, n_regimes, boundary, overlap):
    """Features (n, d), and all that concerns the gate: its parameters and the regimes."""
    coef, intercept = _gate(rng, n_features, n_regimes, boundary)
    X = rng.standard_normal((n_samples, n_features))
    z = (X**2).sum(axis=1, keepdims=True) if boundary == "radial" else X
    scores = z @ coef.T + intercept
    if overlap > 0:
        gate_proba = softmax(scores / overlap, axis=1)
        regime = _draw_rows(rng, gate_proba)
    else:
        regime = scores.argmax(axis=1)
        gate_proba = np.eye(n_regimes)[regime]
    gate = {
        "regime": regime,
        "gate_proba": gate_proba,
        "gate_coef": coef,
        "gate_intercept": intercept,
    }
    return X, gate


def _gate(rng, n_features, n_regimes, boundary):
    """Coefficients (K, d) and intercepts (K,) of scores whose largest is each regime in turn."""
    if boundary == "linear":
        if n_features == 1 and n_regimes > 2:
            raise ValueError(
                f"n_features must be at least 2 for n_regimes={n_regimes} and boundary='linear'; "
                "got 1. With one feature use boundary='parallel'."
            )
        # directions at equal angles in a random plane; one feature has two directions anyway
        plane, _ = np.linalg.qr(rng.standard_normal((n_features, min(n_features, 2))))
        angle = 2 * np.pi * np.arange(n_regimes) / n_regimes
        directions = np.column_stack([np.cos(angle), np.sin(angle)])[:, : plane.shape[1]]
        return directions @ plane.T, np.zeros(n_regimes)

    # Score k is k v - (t_1 + ... + t_k), with v the distance along a direction or the squared
    # norm: score k passes score k - 1 where v = t_k, the k-th of K quantiles of v.
    quantiles = np.arange(1, n_regimes) / n_regimes
    if boundary == "parallel":
        direction = rng.standard_normal(n_features)
        direction /= np.linalg.norm(direction)
        thresholds = norm.ppf(quantiles)
    else:
        direction = np.ones(1)
        thresholds = chi2.ppf(quantiles, df=n_features)
    coef = np.arange(n_regimes)[:, None] * direction
    return coef, -np.concatenate([[0.0], np.cumsum(thresholds)])


def _draw_rows(rng, proba):
    """One index per row, drawn with the row's probabilities (n, K)."""
    cumulative = np.cumsum(proba, axis=1)
    cumulative /= cumulative[:, -1:]
    return (rng.uniform(size=(len(proba), 1)) >= cumulative).sum(axis=1)
