"""The Gaussian gate: where the rows of each expert lie, turned round by Bayes' theorem."""

from numbers import Real

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.special import log_softmax, logsumexp
from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from ._base import BaseGate, check_numeric_columns, check_training_rows
from ._features import Scaling

SMALLEST_PRIOR = 1e-10
"""Prior of an expert without any responsibility, so that logarithms are finite."""


class GaussianGate(BaseGate):
    """Generative gate: a normal distribution of the features for each expert.

    ``p(x) = sum_k prior_k N(x; mean_k, covariance_k)`` describes the features, and Bayes'
    theorem turns it into ``p(k | x)``, the gate. Every M-step has a closed form: priors, means
    and covariances are those of the rows weighted by responsibility. With a shared covariance
    the gate is linear in x, as `SoftmaxGate` is; with a diagonal covariance of its own for each
    expert it is quadratic and can draw a border around a region.

    Since it is a density of x, too, it can tell which rows are unlike any in training.

    Parameters
    ----------
    covariance : {"tied", "diag"}, default="tied"
        "tied": one full covariance for all experts. "diag": a diagonal one for each.
    regularization : float, default=1e-3
        Added to the variances, in units of each feature's overall variance. It keeps an expert
        with few rows from shrinking to a point.
    temperature : float, default=1.0
        Divides the logits ``log prior_k N(x; mean_k, covariance_k)``. It acts after the closed
        form, which does not compensate for it: above 1, the gate is softer than Bayes' theorem.
    contamination : float, default=0.01
        Share of the training rows that `novelty` flags. It does not change the gate.

    Attributes
    ----------
    prior_ : ndarray of shape (n_experts,), float64
    means_ : ndarray of shape (n_experts, n_features), float64
    covariance_ : ndarray, float64
        Shape (n_features, n_features) if tied, else variances of shape (n_experts, n_features).
    coef_ : ndarray of shape (n_experts, n_features), float64
        Only if tied: the logits are ``(coef_ @ x + intercept_) / temperature`` up to a term
        that all experts share. Sums to zero over the experts, as does ``intercept_``.
    intercept_ : ndarray of shape (n_experts,), float64
    feature_means_ : ndarray of shape (n_features,), float64
        Weighted means over all rows.
    novelty_threshold_ : float
        Quantile of the training rows' log-density below which a row is new.
    novelty_mean_ : ndarray of shape (n_experts,), float64
        Mean novelty of the training rows of which each expert is the most probable; NaN
        without any. What `skmoe.inspection.routing_drift` compares new rows with.
    n_experts_ : int
    n_iter_ : int
        Always 1: the form is closed, so there is nothing to start warm either.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        Only if X was a frame with string column names.

    See Also
    --------
    SoftmaxGate : Spends its parameters on the borders alone, not on the shape of the clouds.

    Notes
    -----
    The M-step maximises ``sum_i w_i sum_k R_ik log(prior_k N(x_i; mean_k, covariance_k))``: the
    likelihood of x and expert together. `SoftmaxGate` maximises that of the expert given x,
    which is what the mixture is judged by. Where the clouds are far from normal, the Gaussian
    gate therefore fits worse, and the likelihood of ``p(y | x)`` need not rise in every iteration
    of EM. Measured with linear experts (``benchmarks/gates.py``), it lost to `SoftmaxGate` on
    three of three real data sets, by 3 to 20 % of the loss: use it for the density.

    A feature that never varies carries no information and is left out. A value that is missing
    (NaN) is integrated out at prediction: the density is that of the values that are there.
    In training, means and variances are those of the values that are there, and each
    covariance is that of the rows in which both features are there; it is brought back to
    positive definite where that is not. Prediction with a tied covariance factorises one matrix
    for each pattern of missing values.

    References
    ----------
    Xu, L., Jordan, M. I. and Hinton, G. E. (1995). An alternative model for mixtures of experts.
    Advances in Neural Information Processing Systems 7, 633-640.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.gates import GaussianGate
    >>> X = np.array([[-3.0], [-2.0], [-1.0], [1.0], [2.0], [3.0]])
    >>> R = np.repeat([[1.0, 0.0], [0.0, 1.0]], 3, axis=0)
    >>> gate = GaussianGate().fit(X, R)
    >>> gate.means_.round(2)
    array([[-2.],
           [ 2.]])
    >>> gate.predict_proba([[0.0], [0.5]]).round(2)
    array([[0.5 , 0.5 ],
           [0.05, 0.95]])
    >>> gate.novelty([[2.0], [30.0]]) > 0
    array([False,  True])
    """

    _parameter_constraints: dict = {
        "covariance": [StrOptions({"tied", "diag"})],
        "regularization": [Interval(Real, 0, None, closed="left")],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "contamination": [Interval(Real, 0, 1, closed="left")],
    }

    def __init__(
        self, covariance="tied", *, regularization=1e-3, temperature=1.0, contamination=0.01
    ):
        self.covariance = covariance
        self.regularization = regularization
        self.temperature = temperature
        self.contamination = contamination

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, R, sample_weight=None):
        """Fit the gate to responsibilities, in closed form.

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
        self : GaussianGate
            The fitted gate.

        Raises
        ------
        ValueError
            If R or the weights are not valid, if a frame has columns that are not numeric, or
            if X is sparse.
        """
        X = self._validate_features(X, reset=True)
        X, targets, weights = check_training_rows(X, R, sample_weight)

        self._scaling = Scaling.of(X, weights)
        self.feature_means_ = self._scaling.mean
        self.n_experts_ = targets.shape[1]
        self.n_iter_ = 1
        joint = targets * (weights / weights.sum())[:, None]
        prior = joint.sum(axis=0) + SMALLEST_PRIOR
        self.prior_ = prior / prior.sum()
        self._fit_clouds(self._standardise(X), joint)
        self._set_original_units()
        self._describe_novelty(X, weights)
        return self

    def _describe_novelty(self, X, weights):
        """Publish what is normal: a threshold, and the mean novelty of each expert's rows."""
        log_joint = self._log_joint(X)
        density, top = self._comparable_log_density(X, log_joint), log_joint.argmax(axis=1)
        self.novelty_threshold_ = _quantile(density, weights, self.contamination)
        novelty = weights * (self.novelty_threshold_ - density)
        total = np.bincount(top, novelty, minlength=self.n_experts_)
        mass = np.bincount(top, weights, minlength=self.n_experts_)
        empty = np.full(self.n_experts_, np.nan)
        self.novelty_mean_ = np.divide(total, mass, out=empty, where=mass > 0)

    def _fit_clouds(self, Z, joint):
        """Means and covariances of the standardised features, from the weights (n, K)."""
        observed = (~np.isnan(Z)).astype(np.float64)
        filled = np.nan_to_num(Z)
        # An expert without rows lies, out of the way of nobody, where all rows lie: at zero.
        mass = joint.T @ observed + SMALLEST_PRIOR
        self._means = joint.T @ filled / mass
        if self.covariance == "diag":
            variance = joint.T @ np.square(filled)
            variance += SMALLEST_PRIOR - mass * np.square(self._means)
            self._covariance = np.maximum(variance / mass, 0.0) + self.regularization
            return
        products = np.zeros((Z.shape[1], Z.shape[1]))
        for weights, mean in zip(joint.T, self._means, strict=True):
            deviation = (filled - mean) * observed
            products += (deviation * weights[:, None]).T @ deviation
        weights = joint.sum(axis=1)
        together = (observed * weights[:, None]).T @ observed
        covariance = products / np.maximum(together, SMALLEST_PRIOR)
        if not observed.all():
            values, vectors = np.linalg.eigh(covariance)
            covariance = (vectors * np.maximum(values, 0.0)) @ vectors.T
        covariance[np.diag_indices_from(covariance)] += self.regularization
        self._covariance = covariance

    def _set_original_units(self):
        """Publish means, covariances and coefficients in the units of X."""
        # A constant feature is left out of the computations; its inverse scale is 0.
        inverse = self._scaling.inverse
        scale = np.divide(1.0, inverse, out=np.zeros_like(inverse), where=inverse > 0)
        varies = inverse > 0
        self.means_ = np.tile(self._scaling.mean, (self.n_experts_, 1))
        self.means_[:, varies] += self._means * scale[varies]
        if self.covariance == "diag":
            self.covariance_ = np.zeros_like(self.means_)
            self.covariance_[:, varies] = self._covariance * scale[varies] ** 2
            for name in ("coef_", "intercept_"):  # of an earlier fit with a tied covariance
                if hasattr(self, name):
                    delattr(self, name)
            return
        self.covariance_ = np.zeros((len(scale), len(scale)))
        kept = np.ix_(varies, varies)
        self.covariance_[kept] = self._covariance * np.outer(scale[varies], scale[varies])
        direction = np.linalg.solve(self._covariance, self._means.T).T
        constant = np.log(self.prior_) - 0.5 * np.sum(direction * self._means, axis=1)
        coef = np.zeros_like(self.means_)
        coef[:, varies] = (direction - direction.mean(axis=0)) * inverse[varies]
        self.coef_ = coef
        self.intercept_ = constant - constant.mean() - coef @ self._scaling.mean

    def _standardise(self, X):
        """Columns that vary, with mean 0 and variance 1; NaN stays."""
        varies = self._scaling.inverse > 0
        return (X[:, varies] - self._scaling.mean[varies]) * self._scaling.inverse[varies]

    def _log_joint(self, X):
        """``log prior_k N(x; mean_k, covariance_k)`` (n, K) in the units of X."""
        Z = self._standardise(X)
        normal = (
            self._diagonal_log_density if self.covariance == "diag" else self._tied_log_density
        )
        volume = np.log(self._scaling.inverse[self._scaling.inverse > 0])
        jacobian = (~np.isnan(Z)) @ volume
        return normal(Z) + jacobian[:, None] + np.log(self.prior_)

    def _diagonal_log_density(self, Z):
        observed = (~np.isnan(Z)).astype(np.float64)
        log_density = np.empty((len(Z), self.n_experts_))
        for k, (mean, variance) in enumerate(zip(self._means, self._covariance, strict=True)):
            squares = np.nan_to_num(np.square(Z - mean) / variance)
            log_density[:, k] = squares.sum(axis=1) + observed @ np.log(2 * np.pi * variance)
        return -0.5 * log_density

    def _tied_log_density(self, Z):
        log_density = np.zeros((len(Z), self.n_experts_))
        observed = ~np.isnan(Z)
        patterns, pattern_of_row = np.unique(observed, axis=0, return_inverse=True)
        for pattern, columns in enumerate(patterns):
            rows = np.flatnonzero(pattern_of_row.ravel() == pattern)
            if columns.any():  # nothing is known of a row without values: density 1
                part = Z[np.ix_(rows, columns)]
                covariance = self._covariance[np.ix_(columns, columns)]
                log_density[rows] = _log_normal(part, self._means[:, columns], covariance)
        return log_density

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
        X = self._validate_features(X, reset=False)
        return log_softmax(self._log_joint(X) / self.temperature, axis=1)

    def score_samples(self, X):
        """Log-density of the features of each row, whatever its expert.

        Parameters
        ----------
        X : {array-like, frame} of shape (n_samples, n_features)

        Returns
        -------
        log_density : ndarray of shape (n_samples,), float64
            ``log p(x)`` in the units of X, of the features that vary in training; of a row
            with missing values the density of the others. `temperature` has no part in it.
        """
        check_is_fitted(self)
        return logsumexp(self._log_joint(self._validate_features(X, reset=False)), axis=1)

    def novelty(self, X):
        """How much less likely each row is than the rows that the gate was trained on.

        A row that is unlike any in training is one that no expert should answer for, whatever
        probabilities the gate gives, since these always sum to 1.

        Parameters
        ----------
        X : {array-like, frame} of shape (n_samples, n_features)

        Returns
        -------
        novelty : ndarray of shape (n_samples,), float64
            ``novelty_threshold_`` minus the log-density: above 0 for a row that is to be
            flagged, larger the stranger it is. A missing value counts as an average one (one
            with the expected log-density of a normal distribution with the feature's variance),
            so that a row is not new merely because it is incomplete.
        """
        check_is_fitted(self)
        X = self._validate_features(X, reset=False)
        return self.novelty_threshold_ - self._comparable_log_density(X, self._log_joint(X))

    def _comparable_log_density(self, X, log_joint):
        """Log-density in which every row has all features, missing values counted as average."""
        inverse = self._scaling.inverse
        varies = inverse > 0
        average = np.log(inverse[varies]) - 0.5 * np.log(2 * np.pi * np.e)
        return logsumexp(log_joint, axis=1) + np.isnan(X[:, varies]) @ average

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


def _log_normal(Z, means, covariance):
    """Log-density (n, K) of rows without missing values under each mean."""
    factor = cholesky(covariance, lower=True)
    log_volume = 2 * np.log(np.diag(factor)).sum() + len(factor) * np.log(2 * np.pi)
    whitened = solve_triangular(factor, Z.T, lower=True).T
    centres = solve_triangular(factor, means.T, lower=True).T
    distance = np.column_stack([np.square(whitened - c).sum(axis=1) for c in centres])
    return -0.5 * (distance + log_volume)


def _quantile(values, weights, probability):
    """Largest value that no more than `probability` of the weight lies below."""
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weights[order]) - weights[order]
    reached = below <= probability * weights.sum() * (1 + 1e-12)
    return float(values[order][np.flatnonzero(reached)[-1]])
