"""Mixture of experts for regression."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metadata_routing import UNUSED

from ._base import BaseMixtureOfExperts
from ._data.rows import check_magnitude, check_real_target, check_spread
from ._density.methods import DensityPrediction
from ._likelihoods import REGRESSION_LIKELIHOODS, regression_likelihood
from ._prediction.max_error import range_bound
from ._streaming import RegressorChunks


class MixtureOfExpertsRegressor(
    RegressorChunks, DensityPrediction, RegressorMixin, BaseMixtureOfExperts
):
    """Mixture of experts for regression.

    ``p(y | x) = sum_k g_k(x) p(y | f_k(x), s_k)``: a gate ``g`` decides from the features how
    much each expert's prediction ``f_k`` counts for a row; ``s_k`` is the scale of its noise.
    Gate, experts and scales are learned by expectation-maximisation. Experts are judged on rows
    that they did not see, so that those which memorise, such as random forests, can take part.

    Parameters
    ----------
    experts : estimator, list of (str, estimator), or None, default=None
        Regressors: one, of which `n_experts` clones are made, or a list of different ones
        with names. ``"drop"`` in place of an estimator leaves it out. A
        `FrozenEstimator` is never refitted and judged as it is: the rows given to `fit` must be
        rows that it has not seen, on which alone it shows what it knows. None means
        ``Ridge()``.
    n_experts : int, "auto" or None, default=None
        Number of clones if `experts` is one estimator and ``fit`` is given no domains, which are
        as many as there are. "auto" compares 2, 4, 8 and 16 by the held-out likelihood after five
        iterations, with at least 25 rows for each: more have to be better by three standard
        errors. Of linear experts (`LinearRegression`, `Ridge`, `LogisticRegression`, also at the
        end of a Pipeline), those that others can stand in for are merged then, as long as neither
        likelihood nor loss of held-out rows is worse by more than a standard error (or, if that is
        more, 0.01 nats and 3% of the loss): there may be any number of them. With
        ``e_step="insample"`` it is 4. None means "auto" for linear experts, unless `init` or a
        gate other than `SoftmaxGate` is given or `overlap` is 1, and 4 otherwise.
    gate : gate, classifier with ``predict_proba``, or None, default=None
        Learns from the features which expert is responsible. None means `SoftmaxGate` with
        ``alpha="auto"``, which is chosen by the held-out likelihood of the mixture. So are its
        `terms` for linear experts, and for other clones if `overlap` is "auto", unless `e_step` is
        "insample" or further columns would be a burden (sparse features, more than 10 million
        numbers). A
        Pipeline that ends in either may prepare the features.
    gate_features : None, str, int, list, slice, boolean mask or callable, default=None
        Columns that the gate sees, chosen as in `ColumnTransformer`; None means all that it can
        take. A gate of this package sees numbers and booleans as they are, categories of up to 40
        levels as one column per level, and dates as time and season; text, and categories of more
        levels, are left to the experts. A Pipeline or a classifier gets columns as they are.
    likelihood : {"gaussian", "laplace"}, default="gaussian"
        Noise around an expert's prediction; "laplace" forgives outliers.
    overlap : float in [0, 1] or "auto", default="auto"
        How much of every row each expert sees whoever is responsible: 0 is the classical
        mixture, 1 is input-dependent stacking (experts see all rows, only the gate is
        learned). "auto" takes 1 for experts of different kinds, that is, a list
        of which no two are alike but for random states; otherwise it goes from 0.1 to 0.3
        and 1, or to 0, as long as the held-out likelihood after five iterations rises.
    shared_expert : {"auto", "generalist", "consensus"} or None, default="auto"
        An expert that answers for every row beside those that the gate chooses between, with a
        constant weight, so that a mixture that does not earn its keep does no harm. "generalist":
        a clone of `experts` that is fitted to all rows. "consensus": a blend of the predictions of
        all experts, as in stacking, which a forest of extremely randomised trees corrects where
        all of them err to the same side. The weight is the largest one whose held-out loss is
        within a standard error of the smallest; 1 leaves nothing to the mixture, and 0 leaves
        the shared expert out. "auto" takes the generalist for clones and the consensus for
        experts of different kinds; but None for frozen experts, for
        ``e_step="insample"``, for fewer than 50 rows, and if `top_k` is given. A consensus has
        to ask all experts: predictions with fewer go without it.
    e_step : {"auto", "crossfit", "oob", "insample"}, default="auto"
        Which predictions the experts are judged by. "crossfit": those of models fitted on the
        other folds. "oob": out-of-bag predictions where an expert offers them, cross-fitted
        ones for the others. "auto": "oob" if all experts are forests, or baggings, of at least 30
        estimators with ``bootstrap=True``, `cv` is a number and no consensus is trained (for
        clones that was as accurate in a fifth of the time); otherwise "crossfit". "insample":
        those of the fitted experts themselves, the classical algorithm, which suits only experts
        that cannot memorise, such as linear models.
    cv : int, splitter or iterable, default=5
        Folds for "crossfit" and for judging the gate; None means 5. An int means shuffled folds.
        If ``fit`` is given groups, an int means folds of whole groups, and a splitter is given
        them. No row may be in two test parts; of rows in none, experts learn, and nothing else.
    init : {"auto", "leaves", "model_leaves", "kmeans", "linear", "random"}, array of shape \
            (n_samples, n_experts) or callable, default="auto"
        Starting responsibilities. "leaves": the leaves of a small decision tree, where the target
        differs most; "model_leaves": those of a tree with a linear model in each leaf, where
        equations differ most; "kmeans": clusters of the gate's features; "linear": those of
        scouts, a mixture of linear experts (of the features that are numbers) that is trained
        first and decides on the number of experts and the terms of the gate, too. "auto": "linear"
        for clones of trees, forests and boosted models of scikit-learn, for linear experts in a
        Pipeline, and for `LogisticRegression` if the number is to be chosen, too; "model_leaves"
        for other linear experts if it is. Otherwise whichever of "leaves", "kmeans" and, for
        linear experts, "model_leaves" has the larger held-out likelihood after five iterations
        ("kmeans" if `overlap` is 1); "random"; given; or ``init(X, y, n_experts, random_state)``.
        Different experts that all see all rows (`overlap` 1) are told apart without: what is
        named has no effect on them, unless something else asks for EM (a capacity, exploration,
        or an in-sample E-step).
    n_init : int, default=1
        Number of starts by k-means, at random, or by a callable. Each gets five iterations; that
        with the largest held-out likelihood goes on.
    max_iter : int, default=100
        Most EM iterations of a start.
    tol : float, default=1e-4
        EM stops after three iterations in a row that improve the mean log-likelihood per row
        by no more than this.
    capacity_factor : float or None, default=None
        In training, no expert is responsible for more than ``capacity_factor / n_experts`` of the
        weight of the rows. None means no limit. Prediction knows no capacity. Evens the load; as
        measured, that costs a little accuracy more often than it gains.
    expert_dropout : float in [0, 1), default=0.0
        Probability that an expert is masked for a row in one of the first twenty E-steps; one
        expert of a row is always left. As measured, 0.1 was worth it on one data set of four
        and of no effect on the others.
    annealing : float in (0, 1], default=1.0
        Power to which the first posteriors are raised before anything is learned from them; it
        rises to 1 over twenty iterations (deterministic annealing EM). Below 1, the start matters
        less. No part of it if `fit` goes on from a fitted model. 0.5 is a fair trial, as measured
        worth it for two data sets of four; lower values melt all experts into one.
    density : {"auto", "mixture"}, default="auto"
        What `predict_distribution` and the methods beside it return. "auto": a density around the
        prediction, learned from the errors of held-out rows; its scale and its shape depend on
        the row, and its mean is the prediction. "mixture": the density that EM has learned, with
        a constant scale for each expert. "auto" is that, too, if `e_step` is "insample", for
        fewer than 50 held-out rows or several outputs, and after an operation on the experts.
        As measured, "auto" gains 0.2 nats a row.
    top_k : int or None, default=None
        Experts evaluated for each row in prediction, the most probable ones; None means all.
        See `max_error` of the prediction methods for as many as a given error needs.
    n_jobs : int or None, default=None
        Experts and folds fitted at a time, through joblib, and experts that predict at a time
        (threads) where that pays; the results do not depend on it.
    random_state : int, RandomState instance or None, default=None
        Seeds folds, starts and experts. Random states that experts
        leave at None are filled from it; clones of one estimator always get their own
        (also where the parameter is called ``random_seed`` or ``seed``).
    verbose : int, default=0
        1 prints what the search tries, what it brings and a summary, with seconds; 2 a line per
        iteration of EM, too.
    warm_start : bool, default=False
        Whether ``fit`` goes on from the fitted model: from its responsibilities if `e_step` is
        "insample", otherwise from what its gate says of the rows.

    Attributes
    ----------
    experts_ : list of fitted estimators
        Fitted on all rows with the final weights.
    named_experts_ : Bunch
        The same by name; clones are called ``expert_0``, ``expert_1``, ...
    gate_ : fitted gate
    gate_columns_ : GateColumns
        What the gate sees: prints as a list of the columns. ``transform(X)`` makes the gate's
        features, and ``get_feature_names_out()`` says what they are called.
    n_experts_ : int
    scale_ : ndarray of shape (n_experts,) or (n_experts, n_outputs)
        Scale of each expert's noise in units of y: standard deviation, or mean absolute
        deviation for "laplace". At least 0.001 standard deviations of y.
    prediction_range_ : ndarray of shape (n_experts, 2) or (n_experts, n_outputs, 2)
        Smallest and largest prediction of each expert for rows that it did not see (of its
        training rows if `e_step` is "insample").
    overlap_ : float
        The overlap that was used.
    shared_expert_ : estimator, Consensus or None
        The shared expert; None if there is none or if held-out rows give it no weight.
    shared_weight_ : float
        Its weight in the prediction; that in the density of EM is chosen apart.
    log_likelihood_ : float
        Mean log-likelihood per row of the density that `log_density` computes: held out, unless
        `e_step` is "insample". (`history_` and `lift_` are about the density of EM.)
    history_ : dict of ndarray
        Of the run kept, first axis the iterations: ``log_likelihood``; ``expert_mass``, the
        mean responsibility of each expert; ``seconds``; ``starved``, experts that were left
        as they were because too few rows remained for them; ``reseeded``, experts without rows
        that were given those which the mixture explained worst (each once, unless ``overlap_``
        is 1).
    n_iter_ : int
        Iterations of the run kept; 1 where nothing but the gate is left to learn once different
        experts have been fitted on all rows (`overlap_` 1).
    converged_ : bool
        Whether that run stopped before `max_iter`.
    n_held_out_ : int
        Rows with held-out predictions, from which gate, dispersions and all figures are learned:
        all rows of positive weight, unless `cv` leaves some untested; 0 if `e_step` is
        "insample".
    lift_ : Lift
        Held-out gain in log-likelihood over the best single expert and over constant weights,
        with standard errors; `lift_.losses` says it in RMSE, and who says how much of the
        prediction. Prints as a table.
    utilization_ : Utilization
        How the training rows are spread over the experts, beside the part of the shared expert.
        Prints as a table.
    surgery_ : SurgeryReport or None
        After an operation on single experts (`add_expert` and its like) with data, what it did to
        these rows: their loss held out, before and after. Prints as a table. None after ``fit``.
    stream_ : Stream
        Only after `partial_fit`: ``n_rows`` of each chunk, and its mean ``log_likelihood`` before
        it was learned from.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only if X was a frame with string column names.

    See Also
    --------
    MixtureOfExpertsClassifier : The same for classification.
    sklearn.ensemble.StackingRegressor : Weights that do not depend on the row's region.

    References
    ----------
    Jacobs, R. A., Jordan, M. I., Nowlan, S. J. and Hinton, G. E. (1991). Adaptive mixtures of
    local experts. Neural Computation, 3(1), 79-87.

    Jordan, M. I. and Jacobs, R. A. (1994). Hierarchical mixtures of experts and the EM
    algorithm. Neural Computation, 6(2), 181-214.

    Ueda, N. and Nakano, R. (1998). Deterministic annealing EM algorithm. Neural Networks, 11(2),
    271-282.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> X = np.linspace(-1, 1, 200).reshape(-1, 1)
    >>> y = np.abs(X[:, 0])
    >>> mixture = MixtureOfExpertsRegressor(LinearRegression(), n_experts=2, random_state=0)
    >>> mixture.fit(X, y).predict([[-0.5], [0.5]]).round(2)
    array([0.5, 0.5])
    """

    _parameter_constraints: dict = {
        **BaseMixtureOfExperts._parameter_constraints,
        "likelihood": [StrOptions(set(REGRESSION_LIKELIHOODS))],
        "density": [StrOptions({"auto", "mixture"})],
    }

    def __init__(
        self,
        experts=None,
        *,
        n_experts=None,
        gate=None,
        gate_features=None,
        likelihood="gaussian",
        overlap="auto",
        shared_expert="auto",
        e_step="auto",
        cv=5,
        init="auto",
        n_init=1,
        max_iter=100,
        tol=1e-4,
        capacity_factor=None,
        expert_dropout=0.0,
        annealing=1.0,
        density="auto",
        top_k=None,
        n_jobs=None,
        random_state=None,
        verbose=0,
        warm_start=False,
    ):
        self.experts = experts
        self.n_experts = n_experts
        self.gate = gate
        self.gate_features = gate_features
        self.likelihood = likelihood
        self.overlap = overlap
        self.shared_expert = shared_expert
        self.e_step = e_step
        self.cv = cv
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.capacity_factor = capacity_factor
        self.expert_dropout = expert_dropout
        self.annealing = annealing
        self.density = density
        self.top_k = top_k
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose
        self.warm_start = warm_start

    _per_expert_attributes = ("scale_", "prediction_range_")

    # Not metadata that a meta-estimator would hand on, but an argument of the caller's.
    __metadata_request__predict = {"max_error": UNUSED, "return_std": UNUSED}
    __metadata_request__score = {"max_error": UNUSED}

    def predict(self, X: Any, return_std: bool = False, max_error: float | None = None) -> Any:
        """Mean of the mixture: the experts' predictions, weighted by the gate.

        With a shared expert, ``(1 - shared_weight_)`` times that, and its own for the rest.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
        return_std : bool, default=False
            Whether to return the standard deviation of `predict_distribution`, too: that of
            all experts, whatever `top_k` and `max_error` are.
        max_error : float, default=None
            If given, in units of y: each row is evaluated by the fewest experts for which the
            result is within this distance of that of all experts, whatever `top_k` is, as
            long as the experts keep to ``prediction_range_``. 0 evaluates every expert whose
            weight or range makes any difference.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        std : ndarray of the same shape
            Only if asked for.

        Notes
        -----
        What `max_error` guarantees: in every row in which the prediction of each expert lies in
        its ``prediction_range_``, each output is within `max_error` of the mean P of all experts
        (up to rounding). Let d be the gate probability of the experts that are not evaluated, R
        their mean and Q the result. Since the weights of the others are renormalised,
        ``P = (1 - d) Q + d R``, and therefore ``P - Q = d (R - Q)``; the ranges bound R and Q from
        below and above, before any expert is evaluated. Experts are added, most probable first,
        until the bound is at most `max_error`.

        What it does not guarantee: anything about a row in which an expert leaves its range.
        The range is that of the predictions for rows that were held out in ``fit``. Means of
        training targets, such as the predictions of trees and of nearest neighbours, can leave
        it only by little; a linear model leaves it wherever it extrapolates, and an expert that
        is not evaluated cannot be seen to do so.

        ``route(X, max_error=...).experts_per_row`` tells how many experts that takes. A
        generalist answers for all rows besides, and lessens the error by the factor
        ``1 - shared_weight_``, which the choice of experts does not count on.
        """
        mean = self._mixed(X, max_error)
        return (mean, self.predict_distribution(X).std()) if return_std else mean

    def score(self, X, y, sample_weight=None, max_error=None):
        """Coefficient of determination R2 of `predict`; of several outputs their mean.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None
        max_error : float, default=None
            As in `predict`: what few experts are worth.

        Returns
        -------
        score : float
        """
        return r2_score(y, self.predict(X, max_error=max_error), sample_weight=sample_weight)

    def _default_expert(self):
        return Ridge()

    def _check_target(self, y):
        return check_real_target(self, y)

    def _prepare(self, data, names, templates, previous):
        check_magnitude(data.y, "y")
        check_spread(data.y)
        if previous is not None:
            likelihood: Any = REGRESSION_LIKELIHOODS[self.likelihood]
            return previous._encode(data.y), likelihood(previous._likelihood.min_scale)
        target = data.y.astype(np.float64, copy=False)
        return target, regression_likelihood(self.likelihood, target, data.sample_weight)

    def _encode(self, y):
        y = check_real_target(self, y)
        fitted = self._likelihood.output_shape
        if y.shape[1:] != fitted:
            raise ValueError(
                f"y has the shape {y.shape}; the shape of one row must be {fitted}, as in fit"
            )
        return y.astype(np.float64, copy=False)

    def _truncation_bound(self):
        return range_bound(self.prediction_range_.reshape(self.n_experts_, -1, 2))

    @property
    def _dispersion(self):
        return self.scale_.reshape(self.n_experts_, -1)

    def _set_fitted(self, checked, trained, names, columns, likelihood, Z):
        super()._set_fitted(checked, trained, names, columns, likelihood, Z)
        scale = trained.dispersion
        self.scale_ = scale[:, 0] if scale.shape[1] == 1 else scale
        self.prediction_range_ = trained.output_range

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        experts = self._expert_tags()
        tags.target_tags.multi_output = bool(experts) and all(
            expert.target_tags.multi_output for expert in experts
        )
        return tags
