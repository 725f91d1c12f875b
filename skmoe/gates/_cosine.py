"""The cosine gate: the angle between a projection of the row and an embedding of each expert."""

import warnings
from numbers import Integral, Real

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.base import _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from ._base import BaseGate, check_numeric_columns, check_training_rows
from ._features import Scaling, complete, missing_features

SHORTEST = 1e-12
"""Keeps the length of an embedding above 0, and stands in for the weight of an empty expert."""

FIRST_TEMPERATURE = 0.3
"""Where learning the temperature starts; the value of Chi et al. (2022)."""

TEMPERATURE_BOUNDS = (1e-3, 1e3)
"""Between these a learned temperature stays."""


class CosineGate(BaseGate):
    """Cosine similarity between a learned projection of the row and learned expert embeddings.

    The probability of expert k is ``softmax(cos(u, e_k) / temperature)_k`` with ``u`` the
    projection ``P z + c`` of the standardised features ``z``. P, c and the embeddings ``e_k`` are
    learned by minimising

        ``sum_i w_i H(R_i, p(z_i)) / sum_i w_i + alpha / 2 / temperature^2``

    with H the cross-entropy. Since cosines lie between -1 and 1, no row can push the odds of two
    experts beyond ``exp(2 / temperature)``, however far out it lies: far from the data the gate
    stays as unsure as it is allowed to be, where that of `SoftmaxGate` saturates.

    Parameters
    ----------
    n_components : int or None, default=None
        Dimension of the projection. None means the number of experts; more than one above the
        number of features brings nothing, so that is the most that are used.
    temperature : float or "auto", default="auto"
        Divides the cosines. "auto": learned with the rest.
    alpha : float, default=1e-3
        Strength of the penalty on the inverse of a learned temperature, that is, on how sure the
        gate may be. Lengths need no penalty, since cosines do not depend on them.
    max_iter : int, default=200
        Most iterations of L-BFGS.
    tol : float, default=1e-4
        Training ends when no component of the gradient is larger.
    warm_start : bool, default=False
        Whether `fit` starts from the previous fit, if its shape suits.

    Attributes
    ----------
    projection_ : ndarray of shape (n_components, n_features), float64
        P in the units of X (the standardisation is folded back).
    projection_intercept_ : ndarray of shape (n_components,), float64
        c in the units of X.
    missing_features_ : ndarray of shape (n_missing,), intp
        Indices of the features that had a missing value in training.
    missing_projection_ : ndarray of shape (n_components, n_missing), float64
        What is added to the projection where such a feature is missing.
    embeddings_ : ndarray of shape (n_experts, n_components), float64
        Of length 1.
    temperature_ : float
    feature_means_ : ndarray of shape (n_features,), float64
        Weighted means, which stand in for missing values.
    loss_ : float
        The objective at the end of training.
    n_experts_ : int
    n_iter_ : int
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        Only if X was a frame with string column names.

    See Also
    --------
    SoftmaxGate : Convex and faster; the limit of this gate for small P and temperature.

    Notes
    -----
    An angle jumps where a projection passes through zero. As one more component, every projection
    has a constant 1 that no embedding points at, so that the cosine is
    ``u'e_k / (|e_k| sqrt(|u|^2 + 1))``: smooth, and 0 at ``u = 0``, where all experts are
    equally probable. A projection that is long everywhere makes it the plain cosine.

    Missing values are treated as by `SoftmaxGate`: the mean, and an indicator.

    The objective is not convex. L-BFGS starts from the mean of each expert's rows as its
    embedding, projected on the leading directions of these means, without any randomness, and
    ends in a local optimum. In neural networks the cosine keeps token representations from
    collapsing onto the embeddings; features of a table are given and cannot collapse, so that
    reason to use it does not carry over. Measured with linear experts (``benchmarks/gates.py``),
    it was no more accurate than `SoftmaxGate` on three real data sets, and its M-step took more
    than ten times as long.

    References
    ----------
    Chi, Z. et al. (2022). On the representation collapse of sparse mixture of experts. Advances
    in Neural Information Processing Systems 35.

    Li, B. et al. (2023). Sparse mixture-of-experts are domain generalizable learners.
    International Conference on Learning Representations.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.gates import CosineGate
    >>> angle = np.linspace(0.2, 2 * np.pi, 60)
    >>> X = np.column_stack([np.cos(angle), np.sin(angle)])
    >>> R = np.eye(3)[(3 * angle / (2 * np.pi + 0.1)).astype(int)]  # three sectors
    >>> gate = CosineGate().fit(X, R)
    >>> bool(np.mean(gate.predict(X) == R.argmax(axis=1)) > 0.95)
    True
    >>> gate.embeddings_.shape
    (3, 3)
    """

    _parameter_constraints: dict = {
        "n_components": [None, Interval(Integral, 1, None, closed="left")],
        "temperature": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "warm_start": ["boolean"],
    }

    def __init__(
        self,
        n_components=None,
        *,
        temperature="auto",
        alpha=1e-3,
        max_iter=200,
        tol=1e-4,
        warm_start=False,
    ):
        self.n_components = n_components
        self.temperature = temperature
        self.alpha = alpha
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, R, sample_weight=None):
        """Fit the gate to responsibilities.

        Parameters
        ----------
        X : {array-like, frame} of shape (n_samples, n_features)
            Numeric; NaN marks missing values.
        R : array-like of shape (n_samples, n_experts)
            Non-negative, rows sum to 1.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative. A weight of 2 is the row twice, of 0 the row absent; the scale of
            the weights does not matter.

        Returns
        -------
        self : CosineGate
            The fitted gate.

        Raises
        ------
        ValueError
            If R or the weights are not valid, if a frame has columns that are not numeric, or
            if X is sparse.
        """
        X = self._validate_features(X, reset=True)
        X, targets, weights = check_training_rows(X, R, sample_weight)
        weights = weights / weights.sum()

        indicated = missing_features(X)
        means = Scaling.of(X, weights).mean
        X = complete(X, means, indicated)
        scaling = Scaling.of(X, weights)
        Z = np.column_stack([(X - scaling.mean) * scaling.inverse, np.ones(len(X))])
        objective = CosineObjective(Z, targets, weights, self.alpha, self.temperature)
        start = self._previous(targets.shape[1], scaling, indicated)
        start = starting_point(objective, self.n_components, start)
        projection, intercept = scaling.original(self._solve(objective, start))
        self.projection_ = np.ascontiguousarray(projection[:, : len(means)])
        self.missing_projection_ = np.ascontiguousarray(projection[:, len(means) :])
        self.projection_intercept_ = intercept
        self.missing_features_ = indicated
        self.feature_means_ = means
        self.n_experts_ = targets.shape[1]
        return self

    def _solve(self, objective, start):
        """Set what does not depend on the units of X; returns the standardised projection."""
        n_components = start[0].shape[0]
        bounds = [(None, None)] * (start[0].size + start[1].size)
        solution = minimize(
            lambda flat: objective(flat, n_components),
            np.concatenate([part.ravel() for part in start]),
            jac=True,
            method="L-BFGS-B",
            bounds=[*bounds, tuple(np.log(TEMPERATURE_BOUNDS))],
            options={"maxiter": self.max_iter, "gtol": self.tol, "ftol": 1e-14},
        )
        if solution.nit >= self.max_iter:
            warnings.warn(
                f"The gate did not converge in {solution.nit} iterations: the largest component "
                f"of the gradient is {np.abs(solution.jac).max():.1e}, tol is {self.tol:.1e}. "
                "Increase max_iter or tol.",
                ConvergenceWarning,
                stacklevel=4,
            )
        projection, embeddings, log_temperature = objective.parts(solution.x, n_components)
        self.embeddings_ = embeddings / _lengths(embeddings)
        self.temperature_ = objective.temperature_of(log_temperature)
        self.loss_ = float(solution.fun)
        self.n_iter_ = int(solution.nit)
        return projection

    def _previous(self, n_experts, scaling, indicated):
        """Projection, embeddings and temperature of the last fit, or None."""
        if not self.warm_start or not hasattr(self, "embeddings_"):
            return None
        projection = np.hstack([self.projection_, self.missing_projection_])
        n_columns, wanted = len(scaling.mean), self.n_components or n_experts
        fits = (
            projection.shape == (min(wanted, n_columns + 1), n_columns)
            and len(self.embeddings_) == n_experts
            and np.array_equal(self.missing_features_, indicated)
        )
        if not fits:
            return None
        standardised = scaling.standardised(projection, self.projection_intercept_)
        return standardised, self.embeddings_, np.log(self.temperature_)

    def predict_log_proba(self, X):
        """Logarithm of the probability of each expert.

        Parameters
        ----------
        X : {array-like, frame} of shape (n_samples, n_features)

        Returns
        -------
        log_proba : ndarray of shape (n_samples, n_experts), float64
        """
        check_is_fitted(self)
        X = complete(
            self._validate_features(X, reset=False), self.feature_means_, self.missing_features_
        )
        weights = np.hstack([self.projection_, self.missing_projection_])
        projected = X @ weights.T + self.projection_intercept_
        cosines = (projected / _lengths(projected, 1.0)) @ self.embeddings_.T
        return log_softmax(cosines / self.temperature_, axis=1)

    def _validate_features(self, X, reset):
        check_numeric_columns(X)
        return validate_data(
            self,
            X,
            reset=reset,
            dtype=np.float64,
            order="C",  # so that sums over the columns of a frame have the same last bit
            ensure_all_finite="allow-nan",
            ensure_min_samples=1 if reset else 0,
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


class CosineObjective:
    """The cross-entropy and its gradient with respect to a flat vector of parameters.

    Parameters
    ----------
    Z : ndarray of shape (n_samples, n_columns)
        Standardised features and a column of ones.
    targets : ndarray of shape (n_samples, n_experts)
    weights : ndarray of shape (n_samples,)
        Sum to 1.
    alpha : float
    temperature : float or "auto"
    """

    def __init__(self, Z, targets, weights, alpha, temperature):
        self.Z = Z
        self.targets = targets
        self.weights = weights
        self.alpha = alpha
        self.temperature = temperature

    def temperature_of(self, log_temperature):
        """The temperature, learned or given."""
        if self.temperature == "auto":
            return float(np.exp(log_temperature))
        return float(self.temperature)

    def parts(self, flat, n_components):
        """Projection (m, n_columns), embeddings (K, m) and logarithm of the temperature."""
        size = n_components * self.Z.shape[1]
        projection = flat[:size].reshape(n_components, -1)
        return projection, flat[size:-1].reshape(-1, n_components), flat[-1]

    def __call__(self, flat, n_components):
        """Value and gradient."""
        projection, embeddings, log_temperature = self.parts(flat, n_components)
        temperature = self.temperature_of(log_temperature)
        projected = self.Z @ projection.T
        row_lengths, expert_lengths = _lengths(projected, 1.0), _lengths(embeddings)
        rows, experts = projected / row_lengths, embeddings / expert_lengths
        cosines = rows @ experts.T
        log_proba = log_softmax(cosines / temperature, axis=1)
        loss = -np.sum(self.weights[:, None] * self.targets * log_proba)
        residual = self.weights[:, None] * (np.exp(log_proba) - self.targets) / temperature

        along_rows, along_experts = residual @ experts, residual.T @ rows
        # Only what is perpendicular to a vector changes its direction.
        along_rows -= np.sum(along_rows * rows, axis=1, keepdims=True) * rows
        along_experts -= np.sum(along_experts * experts, axis=1, keepdims=True) * experts
        gradient = [
            ((along_rows / row_lengths).T @ self.Z).ravel(),
            (along_experts / expert_lengths).ravel(),
            [0.0],
        ]
        if self.temperature == "auto":
            penalty = 0.5 * self.alpha / temperature**2
            loss += penalty
            gradient[-1] = [-np.sum(residual * cosines) - 2 * penalty]
        return loss, np.concatenate(gradient)


def starting_point(objective, n_components, previous=None):
    """Projection, embeddings and logarithm of the temperature to start from.

    Parameters
    ----------
    objective : CosineObjective
    n_components : int or None
    previous : tuple or None
        Returned if it is better.

    Returns
    -------
    start : tuple of ndarray
    """
    n_experts, n_columns = objective.targets.shape[1], objective.Z.shape[1]
    n_components = min(n_components or n_experts, n_columns)
    joint = objective.targets * objective.weights[:, None]
    mass = joint.sum(axis=0)
    # The overall mean, which is that of an expert without rows, is (0, ..., 0, 1).
    overall = np.eye(n_columns)[-1]
    means = (joint.T @ objective.Z + SHORTEST * overall) / (mass + SHORTEST)[:, None]
    projection = np.linalg.svd(means)[2][:n_components]
    start = projection, means @ projection.T, np.array(np.log(FIRST_TEMPERATURE))
    if previous is None:
        return start
    previous = *previous[:2], np.asarray(previous[2])
    return min(previous, start, key=lambda parts: _value(objective, parts))


def _value(objective, parts):
    flat = np.concatenate([part.ravel() for part in parts])
    return objective(flat, parts[0].shape[0])[0]


def _lengths(vectors, further=SHORTEST):
    """Lengths of the rows as a column, the square of a further component included."""
    return np.sqrt(np.sum(np.square(vectors), axis=1, keepdims=True) + further)
