"""The softmax gate: L2-penalised softmax regression on responsibilities."""

import copy
from numbers import Integral, Real

import numpy as np
from scipy.sparse import issparse
from sklearn.base import _fit_context, clone
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from skmoe._arithmetic import linear_top_k, log_softmax, softmax, top_k
from skmoe._data.rows import is_finite, is_known_array, is_valid_array

from ._base import (
    RestrictableGate,
    SolvedGate,
    TopKGate,
    check_numeric_columns,
    check_row_weights,
    check_training_rows,
)
from ._features import complete
from ._solver.prepared import PreparedFeatures
from ._solver.problem import GateSettings, SoftmaxProblem, warn_unless_converged
from ._solver.solve import Solution

NUMBERS_OF_TERMS = 200_000
"""Of products or splines at a time: to write those of all rows to memory takes far longer."""


class SoftmaxGate(SolvedGate, TopKGate, RestrictableGate):
    """Softmax regression on soft targets, the classical gate of a mixture of experts.

    The probability of expert k is ``softmax((W z + b) / temperature)_k`` with ``z`` the
    standardised features. Training minimises

        ``sum_i w_i H(R_i, p(z_i)) / sum_i w_i + alpha / 2 * ||W||^2``

    with H the cross-entropy; the intercepts b are not penalised. The objective is convex and
    is brought to its optimum. `balance` and `z_loss` add the losses that keep the routers of
    neural networks in order.

    Parameters
    ----------
    alpha : float or "auto", default=1e-3
        Strength of the penalty. 0 is maximum likelihood. "auto" takes the one of 1, 0.1, ...,
        1e-5 with the least cross-entropy in a 5-fold cross-validation of the gate alone. Within
        a mixture it is 1e-3 until EM ends, and then the one with the largest held-out likelihood
        of the mixture; with ``e_step="insample"`` it stays at 1e-3.
    terms : {"linear", "products", "splines", "auto"}, default="linear"
        What the logits hold beside the features. "products" adds the squares and, of up to 20
        features, the products of the standardised features (within five standard deviations):
        borders between experts may be curved. "splines" adds a linear spline of each feature
        (knots at five quantiles, or at its values if these are few, or at the median if more
        than 20 features have more than two values): borders may be steps, and an expert may have
        an interval of a feature.
        Neither is for sparse X. "auto" is "linear" for the gate alone, and chosen by a mixture
        that trains clones with ``overlap="auto"``.
    temperature : float, default=1.0
        Divides the logits. Since the penalty is on W, a low temperature makes sharp gates
        cheap.
    balance : float, default=0.0
        Adds ``balance * K * sum_k P_k^2``, with P_k the mean probability of expert k, to what is
        minimised: least, and equal to `balance`, if all experts are used alike. Not convex.
    z_loss : float, default=0.0
        Adds ``z_loss * sum_i w_i L_i^2 / sum_i w_i``, with L_i the log-partition function of the
        logits of row i (the log-sum-exp, which is ``log K`` or more, since logits sum to zero).
        Convex.
    jitter : float, default=0.0
        Standard deviation of noise on the logits in the first twenty E-steps of a mixture whose
        gate this is. Neither `fit` nor any prediction knows of it.
    max_iter : int, default=1000
        Most steps. Each takes a pass over the data or two; a few suffice unless there are more
        than some 1500 coefficients and hardly any penalty.
    tol : float, default=1e-6
        Training ends when the norm of the gradient (with respect to W and b) is below `tol`
        times its norm at W = 0, b = 0.
    warm_start : bool, default=False
        Whether `fit` starts from the coefficients of the previous fit, if there are some of
        the same shape. It ends at the same optimum, sooner.

    Attributes
    ----------
    coef_ : ndarray of shape (n_experts, n_features), float64
        Coefficients of the features themselves, in the units of X (the standardisation is
        folded back). They sum to zero over the experts. With products they are not the slope of
        the logits, to which these add; with splines they are the slope beyond the outermost
        knots.
    intercept_ : ndarray of shape (n_experts,), float64
        They sum to zero over the experts.
    missing_features_ : ndarray of shape (n_missing,), intp
        Indices of the features that had a missing value in training.
    missing_coef_ : ndarray of shape (n_experts, n_missing), float64
        What is added to the logits where such a feature is missing.
    term_coef_ : ndarray of shape (n_experts, n_terms), float64
        Coefficients of the products or splines; none if `terms` is "linear".
    terms_ : Products, Splines or None
        What these terms are; ``terms_.columns(X)`` has their values. ``terms_.pairs`` has the
        indices of the two features of each product. ``terms_.features`` has the index of the
        feature of each hat of a spline, ``terms_.knots`` where it is 1: there a coefficient is
        what the spline adds to the logit.
    feature_means_ : ndarray of shape (n_features,), float64
        Weighted means, which stand in for missing values.
    alpha_ : float
        The penalty that was used.
    n_experts_ : int
    n_iter_ : int
        Steps taken; 0 if the start was optimal already.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        Only if X was a frame with string column names.

    Notes
    -----
    Features are standardised with their weighted mean and standard deviation; the coefficient
    of a constant feature is 0. A missing value (NaN) becomes 0 after standardising, and every
    feature with a missing value in training also gets an indicator column, standardised and
    penalised as if it were a feature of its own. A feature that is missing at prediction only
    is taken to be at its mean. Sparse X stays sparse. All computations are in float64.

    Without penalty and with targets that a linear rule separates, or with an expert that never
    has any responsibility, the optimum is at infinity; the coefficients are then those at
    which the gradient falls below `tol`.

    References
    ----------
    Jordan, M. I. and Jacobs, R. A. (1994). Hierarchical mixtures of experts and the EM
    algorithm. Neural Computation 6(2), 181-214.

    Shazeer, N. et al. (2017). Outrageously large neural networks: The sparsely-gated
    mixture-of-experts layer. International Conference on Learning Representations.

    Zoph, B. et al. (2022). ST-MoE: Designing stable and transferable sparse expert models.
    arXiv:2202.08906.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.gates import SoftmaxGate
    >>> X = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    >>> R = np.array([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.1, 0.9]])
    >>> gate = SoftmaxGate(alpha=0).fit(X, R)
    >>> gate.predict_proba([[0.0], [1.5]]).round(2)
    array([[0.5 , 0.5 ],
           [0.14, 0.86]])
    >>> gate.predict(X)
    array([0, 0, 1, 1])
    """

    _parameter_constraints: dict = {
        "alpha": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "terms": [StrOptions({"linear", "products", "splines", "auto"})],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "balance": [Interval(Real, 0, None, closed="left")],
        "z_loss": [Interval(Real, 0, None, closed="left")],
        "jitter": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "warm_start": ["boolean"],
    }

    def __init__(
        self,
        alpha=1e-3,
        *,
        terms="linear",
        temperature=1.0,
        balance=0.0,
        z_loss=0.0,
        jitter=0.0,
        max_iter=1000,
        tol=1e-6,
        warm_start=False,
    ):
        self.alpha = alpha
        self.terms = terms
        self.temperature = temperature
        self.balance = balance
        self.z_loss = z_loss
        self.jitter = jitter
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, R, sample_weight=None):
        """Fit the gate to responsibilities.

        Parameters
        ----------
        X : {array-like, sparse matrix, frame} of shape (n_samples, n_features)
            Numeric; NaN marks missing values.
        R : array-like of shape (n_samples, n_experts)
            Non-negative, rows sum to 1.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative. A weight of 2 is the row twice, of 0 the row absent; the scale of
            the weights does not matter.

        Returns
        -------
        self : SoftmaxGate
            The fitted gate.

        Raises
        ------
        ValueError
            If R is not 2-D, finite, non-negative with rows that sum to 1, if weights are
            negative or all zero, or if a frame has columns that are not numeric.
        """
        X = self._validate_features(X, reset=True)
        X, targets, weights = check_training_rows(X, R, sample_weight)
        settings = self.solver_settings()
        problem = SoftmaxProblem.of(PreparedFeatures(X, weights), settings, targets.shape[1])
        problem = problem.with_chosen_alpha(targets, weights)
        solution = problem.solve(targets, weights, self._previous(problem, targets.shape[1]))
        warn_unless_converged(solution, settings, stacklevel=3)
        self._set_fitted(problem.fitted_attributes(solution))
        return self

    def prepare(self, X, sample_weight):
        """Check features, for many fits with them.

        Parameters
        ----------
        X : {array-like, sparse matrix, frame} of shape (n_samples, n_features)
        sample_weight : ndarray of shape (n_samples,)
            For the standardisation; each fit has weights of its own.

        Returns
        -------
        features : PreparedFeatures

        Raises
        ------
        ValueError
            If a parameter, the features or the weights are not valid.
        """
        gate = clone(self)
        gate._validate_params()
        X = gate._validate_features(X, reset=True)
        names = {name: value for name, value in vars(gate).items() if name.endswith("_")}
        return PreparedFeatures(X, check_row_weights(sample_weight, X), names)

    def solver_settings(self):
        """The parameters that the solver heeds.

        Returns
        -------
        settings : GateSettings
        """
        return GateSettings(
            self.alpha,
            self.terms,
            self.temperature,
            self.balance,
            self.z_loss,
            self.max_iter,
            self.tol,
        )

    def fitted_from(self, features, problem, solution):
        """A fitted gate with these parameters, from what the solver found.

        Parameters
        ----------
        features : PreparedFeatures
        problem : SoftmaxProblem
            Of these features.
        solution : Solution

        Returns
        -------
        gate : SoftmaxGate
            A new one.
        """
        gate = clone(self)
        gate._set_fitted(features.names | problem.fitted_attributes(solution))
        return gate

    def _set_fitted(self, attributes):
        for name, value in attributes.items():
            setattr(self, name, value)

    def _previous(self, problem, n_experts):
        """The last fit as a start, if this fit is to start from it."""
        if not self.warm_start or not hasattr(self, "coef_"):
            return None
        coef = np.hstack([self.coef_, self.missing_coef_, self.term_coef_])
        shape = n_experts, problem.design.n_columns - 1
        same_columns = np.array_equal(self.missing_features_, problem.columns.indicated)
        if coef.shape != shape or not same_columns:
            return None
        coef = problem.columns.scaling.standardised(coef, self.intercept_)
        return Solution(coef / self.temperature)

    def predict_log_proba(self, X):
        """Logarithm of the probability of each expert.

        Parameters
        ----------
        X : {array-like, sparse matrix, frame} of shape (n_samples, n_features)

        Returns
        -------
        log_proba : ndarray of shape (n_samples, n_experts), float64
        """
        return log_softmax(self._logits(X))

    def predict_proba(self, X):
        """Probability of each expert.

        Parameters
        ----------
        X : {array-like, sparse matrix, frame} of shape (n_samples, n_features)

        Returns
        -------
        proba : ndarray of shape (n_samples, n_experts), float64
            Rows sum to 1.
        """
        return softmax(self._logits(X))

    def predict(self, X):
        """Index of the most probable expert; the lower index where several are.

        Parameters
        ----------
        X : {array-like, sparse matrix, frame} of shape (n_samples, n_features)

        Returns
        -------
        expert : ndarray of shape (n_samples,), intp
        """
        return self._logits(X).argmax(axis=1)

    def _most_probable(self, X):
        """Index of the most probable expert of one row that has been checked.

        Parameters
        ----------
        X : ndarray of shape (1, n_features), float64
            Finite; nothing is checked, since a single row feels it.

        Returns
        -------
        expert : int
            As `predict` says.
        """
        if len(self.missing_features_):
            X = self._completed(X)
        coef, intercept = self._coefficients()
        logits = self._with_terms(X) @ coef.T
        return int((logits[0] + intercept).argmax())  # of one axis, to spare it broadcasting

    def top_k(self, X, k):
        """Most probable experts of each row and their probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix, frame} of shape (n_samples, n_features)
        k : int
            Between 1 and n_experts.

        Returns
        -------
        indices : ndarray of shape (n_samples, k), intp
            By decreasing probability; of equal ones the lower index comes first.
        proba : ndarray of shape (n_samples, k), float64
        """
        if getattr(self, "terms_", None) is not None:
            return top_k(softmax(self._logits(X)), k)
        X, coef, intercept = self._linear(X)
        if issparse(X):
            return top_k(softmax(X @ coef.T + intercept), k)
        return linear_top_k(X, coef, intercept, k)

    def without(self, expert):
        """The fitted gate, given that it is not one of the experts.

        ``p(k | x, not expert) = p(k | x) / (1 - p(expert | x))``: no data are needed, since the
        softmax is closed under conditioning. The expert's row of the coefficients goes.

        Parameters
        ----------
        expert : int

        Returns
        -------
        gate : SoftmaxGate
            A new fitted one; this one is left as it was.
        """
        reduced = copy.copy(self)
        for name in ("coef_", "missing_coef_", "term_coef_", "intercept_"):
            rows = np.delete(getattr(self, name), expert, axis=0)
            setattr(reduced, name, rows - rows.mean(axis=0))  # which changes no probability
        reduced.n_experts_ = self.n_experts_ - 1
        return reduced

    def _logits(self, X):
        if getattr(self, "terms_", None) is None:
            X, coef, intercept = self._linear(X)
            return X @ coef.T + intercept
        X = self._checked(X)  # once, not in each part
        at_a_time = max(NUMBERS_OF_TERMS // max(self.term_coef_.shape[1], 1), 1)
        coef, intercept = self._coefficients()
        if X.shape[0] <= at_a_time:
            return self._with_terms(X) @ coef.T + intercept
        parts = (X[i : i + at_a_time] for i in range(0, len(X), at_a_time))
        return np.concatenate([self._with_terms(part) @ coef.T + intercept for part in parts])

    def _linear(self, X):
        """Completed columns with their terms, coefficients and intercepts of the logits."""
        return self._with_terms(self._checked(X)), *self._coefficients()

    def _checked(self, X):
        """Completed columns; of an array that needs neither, nothing more is asked."""
        if not hasattr(self, "coef_"):  # to ask that is ten times quicker
            check_is_fitted(self)
        known = is_known_array(self, X, "d") and is_finite(X)
        if len(self.missing_features_) or not known:
            X = self._completed(self._validate_features(X, reset=False))
        return X

    def _completed(self, X):
        return complete(X, self.feature_means_, self.missing_features_)

    def _with_terms(self, X):
        """Completed columns, and those of the terms behind them."""
        if self.terms_ is None:
            return X
        terms = self.terms_.columns(X[:, : self.coef_.shape[1]])
        return np.concatenate((X, terms), axis=1)  # a single row feels what hstack asks besides

    def _coefficients(self):
        """Of all columns, and the intercepts, at the temperature."""
        parts = [self.coef_]
        if len(self.missing_features_):
            parts.append(self.missing_coef_)
        if self.terms_ is not None:
            parts.append(self.term_coef_)
        coef = np.concatenate(parts, axis=1) if len(parts) > 1 else self.coef_
        if self.temperature == 1:
            return coef, self.intercept_
        return coef / self.temperature, self.intercept_ / self.temperature

    def _validate_features(self, X, reset):
        if not reset and is_valid_array(self, X, "d"):
            return X
        check_numeric_columns(X)
        X = validate_data(
            self,
            X,
            reset=reset,
            accept_sparse="csr",
            dtype=np.float64,
            ensure_all_finite="allow-nan",
            ensure_min_samples=1 if reset else 0,
        )
        further = self._has_further_terms() if reset else self.terms_ is not None
        if further and issparse(X):
            raise ValueError(
                f"terms={self.terms!r} adds columns without zeros, which sparse X would not "
                "survive; use terms='linear', or give a dense array"
            )
        return X

    def _has_further_terms(self):
        return self.terms in ("products", "splines")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = not self._has_further_terms()
        return tags
