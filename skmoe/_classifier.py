"""Mixture of experts for classification."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils.metadata_routing import UNUSED

from ._base import BaseMixtureOfExperts
from ._data.labels import check_class_target, class_codes, output_classes, output_codes
from ._density.conformal import (
    check_coverage,
    held_out_scores,
    likely_labels,
    score_threshold,
)
from ._experts.checks import (
    check_frozen_classes,
    check_several_outputs,
    takes_several_outputs,
)
from ._likelihoods import Categorical, CategoricalOutputs
from ._prediction.max_error import probability_bound
from ._streaming import ClassifierChunks


class MixtureOfExpertsClassifier(ClassifierChunks, ClassifierMixin, BaseMixtureOfExperts):
    """Mixture of experts for classification.

    ``p(y | x) = sum_k g_k(x) [(1 - e_k) q_k(y | x) + e_k / C]``: a gate ``g`` decides from the
    features how much each expert's class probabilities ``q_k`` count for a row; the floors
    ``e_k`` keep an overconfident expert from ever saying "impossible". Gate, experts and floors
    are learned by expectation-maximisation. Experts are judged on rows that they did not see,
    so that those which memorise, such as random forests, can take part.

    Of several outputs (y of shape (n_samples, n_outputs)), ``q_k`` is a product of one such
    density per output: one gate for all, experts that take several outputs, and no consensus.

    Parameters
    ----------
    experts : estimator, list of (str, estimator), or None, default=None
        Classifiers with ``predict_proba``: one, of which `n_experts` clones are made, or a list
        of different ones with names. ``"drop"`` in place of an estimator leaves it out. A
        `FrozenEstimator` is never refitted and judged as it is: the rows given to `fit` must be
        rows that it has not seen, on which alone it shows what it knows. None means
        ``LogisticRegression()``.
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
        Folds for "crossfit" and for judging the gate; None means 5. An int means shuffled folds,
        stratified by class.
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
    classes_ : ndarray of shape (n_classes,), or a list of one for each output
    n_outputs_ : int
    floor_ : ndarray of shape (n_experts,) or (n_experts, n_outputs)
        Learned from held-out predictions; 1e-6 throughout if `e_step` is "insample".
    overlap_ : float
        The overlap that was used.
    shared_expert_ : estimator, Consensus or None
        The shared expert; None if there is none or if held-out rows give it no weight.
    shared_weight_ : float
        Its weight in the prediction.
    log_likelihood_ : float
        Mean log-likelihood per row of the model kept: held out, unless `e_step` is "insample".
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
        with standard errors; `lift_.losses` says it in log-loss (the mean over the outputs), and
        who says how much of the prediction. Prints as a table.
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
    MixtureOfExpertsRegressor : The same for regression.
    sklearn.ensemble.StackingClassifier : Weights that do not depend on the row's region.

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
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from skmoe import MixtureOfExpertsClassifier
    >>> X, y = load_wine(return_X_y=True)
    >>> tree = DecisionTreeClassifier(min_samples_leaf=5)
    >>> mixture = MixtureOfExpertsClassifier(tree, n_experts=2, random_state=0).fit(X, y)
    >>> mixture.predict(X[:3])
    array([0, 0, 0])
    >>> mixture.gate_proba(X).shape
    (178, 2)
    """

    def __init__(
        self,
        experts=None,
        *,
        n_experts=None,
        gate=None,
        gate_features=None,
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
        self.top_k = top_k
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose
        self.warm_start = warm_start

    _per_expert_attributes = ("floor_",)

    # Not metadata that a meta-estimator would hand on, but an argument of the caller's.
    __metadata_request__predict = {"max_error": UNUSED}
    __metadata_request__predict_proba = {"max_error": UNUSED}
    __metadata_request__predict_log_proba = {"max_error": UNUSED}
    __metadata_request__score = {"max_error": UNUSED}

    def predict_proba(self, X: Any, max_error: float | None = None) -> Any:
        """Class probabilities of the mixture.

        With a shared expert, ``(1 - shared_weight_)`` times those, and its own for the rest.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
        max_error : float, default=None
            If given, each row is evaluated by the fewest experts for which the result is
            provably this near to that of all experts, whatever `top_k` is. 0 evaluates every
            expert to which the gate gives any probability.

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes), or a list of one for each output
            Columns in the order of ``classes_``. Never 0, since each expert has a floor.

        Notes
        -----
        What `max_error` guarantees: the total variation ``1/2 sum_c |P_c - Q_c|`` between the
        probabilities P of all experts and the result Q is at most `max_error` in every row, and
        so is the error of the probability of each class and of any set of classes. Let d be the
        gate probability of the experts that are not evaluated and R what they would have said
        together. Since the weights of the others are renormalised, ``P = (1 - d) Q + d R``;
        therefore ``P - Q = d (R - Q)``, and no two distributions are farther apart than 1: the
        total variation is at most d. Experts are added, most probable first, until d is at
        most `max_error`. The guarantee is unconditional, up to rounding (about 1e-15). It is one
        for each output if there are several.

        ``route(X, max_error=...).experts_per_row`` tells how many experts that takes. A
        generalist answers for all rows besides, and lessens the error by the factor
        ``1 - shared_weight_``, which the choice of experts does not count on.
        """
        proba = self._mixed(X, max_error)
        return self._likelihood.split(proba) if isinstance(self.classes_, list) else proba

    def predict_log_proba(self, X: Any, max_error: float | None = None) -> Any:
        """Logarithm of `predict_proba`.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
        max_error : float, default=None
            Of the probabilities, not of their logarithms; see `predict_proba`.

        Returns
        -------
        log_proba : ndarray of shape (n_samples, n_classes), or a list of one for each output
        """
        proba = self.predict_proba(X, max_error)
        return [np.log(own) for own in proba] if isinstance(proba, list) else np.log(proba)

    def predict(self, X: Any, max_error: float | None = None) -> np.ndarray:
        """Most probable class, of each output if there are several.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
        max_error : float, default=None
            Of the probabilities that the class is chosen by; see `predict_proba`.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Labels as they were in ``fit``.
        """
        proba = self.predict_proba(X, max_error)
        if isinstance(proba, list):
            outputs = zip(self.classes_, proba, strict=True)
            return np.column_stack([classes[own.argmax(axis=1)] for classes, own in outputs])
        return self.classes_[np.argmax(proba, axis=1)]

    def score(self, X, y, sample_weight=None, max_error=None):
        """Fraction of rows that `predict` gets right, in all outputs if there are several.

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
        predicted = self.predict(X, max_error)
        if predicted.ndim == 1:
            return accuracy_score(y, predicted, sample_weight=sample_weight)
        y = check_class_target(self, y, self.n_outputs_)
        check_consistent_length(y, predicted, sample_weight)
        return float(np.average(np.all(y == predicted, axis=1), weights=sample_weight))

    def predict_set(self, X: Any, coverage: float = 0.9) -> np.ndarray:
        """Classes that hold the right one with a given probability, as few as that takes.

        Split conformal prediction with the least ambiguous sets (Sadinle et al., 2019): those
        classes whose probability is at least as large as that of the right class was in a
        fraction `coverage` of the held-out rows of training. The most probable class is always
        one of them.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
        coverage : float, default=0.9
            Between 0 and 1. For rows like those of training the right class is in the set about
            as often, over all rows and not in each region or class; that is not guaranteed,
            since the models of all folds differ from the final one.

        Returns
        -------
        chosen : ndarray of shape (n_samples, n_classes), dtype bool
            Columns in the order of ``classes_``. All classes where there are too few held-out
            rows to vouch for `coverage`.

        Raises
        ------
        ValueError
            If `coverage` is not between 0 and 1, for several outputs, or if there are no held-out
            rows to learn from: with ``e_step="insample"``, and after an operation on the experts
            without data.

        References
        ----------
        Sadinle, M., Lei, J. and Wasserman, L. (2019). Least ambiguous set-valued classifiers with
        bounded error levels. Journal of the American Statistical Association, 114(525), 223-234.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skmoe import MixtureOfExpertsClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> mixture = MixtureOfExpertsClassifier(n_experts=2, random_state=0).fit(X, y)
        >>> mixture.predict_set(X[:1], coverage=0.95)
        array([[ True, False, False]])
        """
        if isinstance(getattr(self, "classes_", None), list):
            raise ValueError(f"prediction sets are of one output; y had {self.n_outputs_} in fit")
        threshold = score_threshold(
            held_out_scores(self, "prediction sets"), float(check_coverage(coverage))
        )
        return likely_labels(self.predict_proba(X), threshold)

    def _default_expert(self):
        return LogisticRegression()

    def _check_target(self, y):
        return check_class_target(self, y)

    def _prepare(self, data, names, templates, previous):
        known = None if previous is None else previous._class_lists
        classes = output_classes(self, data.y, known)
        likelihoods = tuple(Categorical(own, self.e_step != "insample") for own in classes)
        if data.y.ndim > 1:
            self._check_several(names, templates, len(classes))
            return output_codes(data.y, classes), CategoricalOutputs(likelihoods)
        check_frozen_classes(names, templates, classes[0])
        return class_codes(data.y, classes[0]), likelihoods[0]

    def _check_several(self, names, templates, n_outputs):
        """Refuse what is there for one output only."""
        check_several_outputs(names, templates, n_outputs)
        if self.shared_expert == "consensus" or self.e_step == "oob":
            setting = "e_step='oob'" if self.e_step == "oob" else "shared_expert='consensus'"
            raise ValueError(
                f"{setting} is there for one output of classes, and y has {n_outputs}; leave it "
                "at 'auto', or fit a mixture for each output"
            )

    @property
    def _class_lists(self):
        """Classes of each output, whether there are several or not."""
        return self.classes_ if isinstance(self.classes_, list) else [self.classes_]

    @property
    def n_outputs_(self):
        """Number of outputs."""
        return len(self._class_lists)

    def _encode(self, y):
        if isinstance(self.classes_, list):
            return output_codes(check_class_target(self, y, self.n_outputs_), self.classes_)
        return class_codes(column_or_1d(y, warn=True), self.classes_)

    def _truncation_bound(self):
        return probability_bound

    @property
    def _dispersion(self):
        return self.floor_

    def _set_fitted(self, checked, trained, names, columns, likelihood, Z):
        super()._set_fitted(checked, trained, names, columns, likelihood, Z)
        self.classes_ = likelihood.classes
        self.floor_ = trained.dispersion

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        experts = self._expert_tags()
        refused = self.shared_expert == "consensus" or self.e_step == "oob"
        several = bool(experts) and all(map(takes_several_outputs, experts)) and not refused
        tags.target_tags.multi_output = tags.classifier_tags.multi_label = several
        return tags
