"""What both mixtures share: parameters, the skeleton of fit, and routing."""

from __future__ import annotations

import copy
from abc import ABCMeta, abstractmethod
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from sklearn.base import MetaEstimatorMixin, _fit_context, clone
from sklearn.utils import get_tags
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.metaestimators import _BaseComposition
from sklearn.utils.validation import _num_samples

from ._arithmetic import check_top_k
from ._compat import RevivedWithDefaults
from ._data.columns import GateColumns, names_of_array
from ._data.domains import Domains
from ._data.rows import check_features, check_magnitude, keep_weighted_rows
from ._diagram import diagram
from ._experts.checks import check_experts
from ._prediction.methods import MixturePrediction
from ._surgery import ExpertSurgery
from ._training.callbacks import CallbackSupportMixin, Tasks, fitted_attributes
from ._training.continuation import Continuation, NewFit, WarmStart
from ._training.gate import as_gate
from ._training.progress import Progress
from ._training.train import train
from ._version import CLASS_PAGE
from .exceptions import FitInterruptedError, WorkersLostError
from .gates._base import takes_numbers_only

if TYPE_CHECKING:
    from typing_extensions import Self


class BaseMixtureOfExperts(
    MixturePrediction,
    ExpertSurgery,
    RevivedWithDefaults,
    CallbackSupportMixin,
    MetaEstimatorMixin,
    _BaseComposition,
    metaclass=ABCMeta,
):
    """Base of the mixtures; use `MixtureOfExpertsClassifier` or `MixtureOfExpertsRegressor`.

    A subclass says how a target is validated and encoded, which likelihood turns experts'
    outputs into its density, and what its fitted attributes are called.
    """

    _parameter_constraints: dict = {
        "experts": [None, HasMethods(["fit"]), list],  # a stacking has predict when fitted only
        "n_experts": [None, Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "gate": [None, HasMethods(["fit", "predict_proba"])],
        "gate_features": "no_validation",
        "overlap": [Interval(Real, 0, 1, closed="both"), StrOptions({"auto"})],
        "e_step": [StrOptions({"auto", "crossfit", "oob", "insample"})],
        "cv": ["cv_object"],
        "init": [
            StrOptions({"auto", "leaves", "model_leaves", "kmeans", "linear", "random"}),
            "array-like",
            callable,
        ],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "shared_expert": [None, StrOptions({"auto", "generalist", "consensus"})],
        "capacity_factor": [None, Interval(Real, 1, None, closed="left")],
        "expert_dropout": [Interval(Real, 0, 1, closed="left")],
        "annealing": [Interval(Real, 0, 1, closed="right")],
        "top_k": [None, Interval(Integral, 1, None, closed="left")],
        "n_jobs": [None, Integral],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
    }

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters of the mixture, of its experts by name, and of its gate.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include the parameters of experts and gate.

        Returns
        -------
        params : dict
        """
        if isinstance(self.experts, list):
            return self._get_params("experts", deep=deep)
        return super().get_params(deep=deep)

    def set_params(self, **params: Any) -> Self:
        """Set parameters; an expert's name replaces that expert, ``"drop"`` removes it.

        Parameters
        ----------
        **params : dict
            For example ``overlap=0.1``, ``forest__max_depth=3``, ``forest=ExtraTreesRegressor()``.
            The default gate and the default expert have parameters, too: ``gate__alpha=0.1``
            where `gate` is None, puts ``SoftmaxGate(alpha="auto", terms="auto")``, which None
            means, in its place first.

        Returns
        -------
        self : estimator
        """
        defaults = {"gate": as_gate(None), "experts": self._default_expert()}
        for name, default in defaults.items():
            nested = any(key.startswith(f"{name}__") for key in params)
            if nested and params.get(name, getattr(self, name)) is None:
                params = params | {name: default}
        self._set_params("experts", **params)
        return self

    # Rows of one group are to be kept together whoever splits them, and a domain is one whoever
    # calls fit.
    __metadata_request__fit = {"groups": True, "domains": True}

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None, domains: Any = None
    ) -> Self:
        """Train experts and gate.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Frames reach the experts as they are. Missing values, strings and sparse matrices
            are welcome where the experts, and the gate for its columns, take them.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Class labels, or real numbers; several outputs for experts that take them.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight 2 means that the row counts twice, weight 0 that it is absent. Experts that
            take no weights are fitted on rows drawn by them, for which only their proportions
            count.
        groups : array-like of shape (n_samples,), default=None
            Labels of rows that belong together (several of one patient, say), for `cv`: a number
            of folds keeps groups together, a splitter is given them. Requested by default where
            metadata are routed.
        domains : array-like of shape (n_samples,), default=None
            Labels of where rows come from (a hospital, a season), as a start: there is an expert
            for each, `n_experts` or not, named like its domain, and fitted on the rows of that
            domain first, with `overlap`. The gate learns to route rows whose domain is not
            given: ``predict`` is not told. A list of experts must hold these names; of
            different kinds, they start with an overlap of 0.1 if it is "auto". Requested by
            default where metadata are routed.

        Returns
        -------
        self : estimator

        Raises
        ------
        ValueError, TypeError
            If data or parameters are not usable; before any expert is fitted where that can be
            known before. If an expert raises, the error names it and chains the cause.
        """
        goes_on = self.warm_start and hasattr(self, "experts_")
        continuation: Continuation = WarmStart(self) if goes_on else NewFit()
        if domains is not None:
            if _num_samples(domains) != _num_samples(y):
                raise ValueError(
                    f"domains has {_num_samples(domains)} labels for {_num_samples(y)} rows; give "
                    "each row the label of where it comes from"
                )
            continuation = continuation.from_domains(self, Domains.of(domains, sample_weight))
        return self._fit(X, y, sample_weight, groups, continuation)

    @_fit_context(prefer_skip_nested_validation=False)
    def _fit(self, X, y, sample_weight, groups, continuation):
        """Train, as a continuation says."""
        # The checks set attributes; a failed fit must leave an earlier one as it was.
        checked = copy.copy(self)
        gate = as_gate(self.gate)
        names, templates = check_experts(
            self, self.experts, continuation.most_experts(self), self._default_expert()
        )
        names = continuation.names(self, names)
        continuation = continuation.with_experts(self, names)
        X = check_features(checked, X, reset=continuation.fitted is None)
        data = keep_weighted_rows(X, self._check_target(y), sample_weight, groups)
        numbers = continuation.numbers(self, len(names), len(data.sample_weight))
        self._check_sizes(numbers[0], len(data.sample_weight))
        names = names[: numbers[-1]]
        templates = continuation.templates(names, templates)
        target, likelihood = self._prepare(data, names, templates, continuation.fitted)
        columns = GateColumns.of(data.X, self.gate_features, encode=takes_numbers_only(gate))
        Z = columns.transform(data.X)
        check_magnitude(Z, "X")
        plan = continuation.plan(self, data, names, templates, numbers, gate, Z)

        def set_fitted(mixture, trained, report=None):
            mixture.surgery_ = report
            few = names[: len(trained.experts)]
            mixture._set_fitted(checked, trained, few, columns, likelihood, Z)
            return mixture

        # What callbacks are given is an estimator in the midst of its fit.
        tasks = Tasks.of(
            self, data, lambda part: fitted_attributes(set_fitted(copy.copy(self), part))
        )
        progress = Progress(int(self.verbose), tasks)
        try:
            trained = continuation.restored(train(data, target, likelihood, plan, progress), names)
        except (FitInterruptedError, WorkersLostError) as error:
            error._then(lambda part: set_fitted(clone(self), continuation.restored(part, names)))
            raise
        report = continuation.report(data, trained)  # now: a warm start compares with itself
        set_fitted(self, trained, report)
        if tasks is not None:
            tasks.end()
        return self

    @abstractmethod
    def _default_expert(self):
        """Expert that stands in for ``experts=None``."""

    @abstractmethod
    def _check_target(self, y):
        """Validate the target as given."""

    @abstractmethod
    def _prepare(self, data, names, templates, previous):
        """The target as the likelihood takes it, and the likelihood.

        Both have to suit the experts that are kept of a `previous` mixture, if there is one.
        """

    @abstractmethod
    def _encode(self, y):
        """A new target as the fitted likelihood takes it."""

    @abstractmethod
    def _truncation_bound(self):
        """Bound on the error of asking few experts, as `bounded_route` takes it."""

    @property
    @abstractmethod
    def _dispersion(self):
        """The fitted dispersions, shape (n_experts, ...), as the likelihood takes them."""

    def _check_sizes(self, n_experts, n_samples):
        if n_experts > n_samples:
            raise ValueError(
                f"n_experts={n_experts} is more than the number of rows with positive weight, "
                f"n_samples={n_samples}; give more rows or fewer experts"
            )
        if self.top_k is not None:
            check_top_k(self.top_k, n_experts)

    def _set_fitted(self, checked, trained, names, columns, likelihood, Z):
        self.n_features_in_ = checked.n_features_in_
        if hasattr(checked, "feature_names_in_"):
            self.feature_names_in_ = checked.feature_names_in_
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_  # of an earlier fit
        self._set_experts(names, trained.experts)
        if hasattr(self, "pruned_experts_"):
            del self.pruned_experts_  # of an earlier operation
        if hasattr(self, "stream_"):
            del self.stream_  # of chunks that are forgotten now
        self.gate_ = trained.gate
        self.overlap_ = trained.overlap
        self._set_shared(trained.shared)
        self._density = trained.density
        self._held_out_scores = trained.held_out_scores
        self.log_likelihood_ = trained.log_likelihood
        self.history_ = trained.history
        self.n_iter_ = len(trained.history["log_likelihood"])
        self.converged_ = trained.converged
        self.n_held_out_ = trained.n_held_out
        self.lift_ = trained.lift
        self.utilization_ = self._utilization(trained.gate.predict_proba(Z))
        self.gate_columns_ = columns
        self._likelihood = likelihood

    def _set_shared(self, shared):
        self._shared = shared
        self.shared_expert_ = None if shared is None else shared.model
        self.shared_weight_ = 0.0 if shared is None else shared.weight

    @property
    def shared_dispersion_(self):
        """Floor or scale of the shared expert, (1, ...); None if there is none."""
        return None if self._shared is None else self._shared.dispersion

    @property
    def shared_density_weight_(self):
        """How much of the density is that of the shared expert; 0.0 if there is none."""
        return 0.0 if self._shared is None else self._shared.density_weight

    _doc_link_module = "skmoe"
    _doc_link_template = CLASS_PAGE

    def _sk_visual_block_(self):
        return diagram(self, self._default_expert())

    def __setstate__(self, state):
        if "_gate_columns" in state:  # from when the gate saw columns as they are
            names = state.get("feature_names_in_", names_of_array(state["n_features_in_"]))
            columns = GateColumns.as_they_are(names, state["_gate_columns"])
            state = {"gate_columns_": columns} | state
            del state["_gate_columns"]
        super().__setstate__(state)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        parts = self._expert_tags()
        if self.gate is not None:  # the default gate takes everything
            parts += _tags_of([self.gate])
        tags.input_tags.allow_nan = bool(parts) and all(p.input_tags.allow_nan for p in parts)
        tags.input_tags.sparse = bool(parts) and all(p.input_tags.sparse for p in parts)
        return tags

    def _expert_tags(self):
        if isinstance(self.experts, list):
            return _tags_of(expert for _, expert in self.experts if expert != "drop")
        return _tags_of([self._default_expert() if self.experts is None else self.experts])


def _tags_of(estimators):
    """Tags of estimators; none if some are not what they should be: `fit` will complain."""
    try:
        return [get_tags(estimator) for estimator in estimators]
    except (TypeError, ValueError, AttributeError):
        return []
