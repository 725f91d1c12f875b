"""Three ways to fit: anew, on from the fitted model, or with single experts changed.

Each is a value that says what is kept, where training starts, and which settings follow.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.frozen import FrozenEstimator

from .._arithmetic import log_softmax
from .._data.domains import Domains
from .._data.rows import TrainingData
from .._experts.checks import clone_names
from .._experts.kinds import is_linear, of_different_kinds
from .._experts.out_of_bag import offers_out_of_bag
from .._shared_expert.training import shared_kind
from ..gates._softmax import SoftmaxGate
from .candidates import (
    FIRST_OVERLAP,
    most_experts,
    number_is_free,
    numbers_to_try,
    terms_to_try,
)
from .consequences import SurgeryReport, measure_surgery, warn_of_harm
from .settings import TrainingSettings
from .train import Plan, TrainedMixture


class Continuation(ABC):
    """What a fit goes on from. `mixture` is always the estimator that is being fitted."""

    fitted: Any = None
    """Mixture whose features, classes and scales have to stay, since its experts do."""

    def with_experts(self, mixture: Any, names: tuple[str, ...]) -> Continuation:
        """The same, knowing the names of the experts from now on."""
        return self

    def from_domains(self, mixture: Any, domains: Domains) -> Continuation:
        """The same, starting from domains."""
        raise ValueError(
            "domains are where a fit starts, and this one goes on from a fitted mixture; leave "
            "them out, or set warm_start=False to start anew"
        )

    @abstractmethod
    def most_experts(self, mixture: Any) -> int:
        """How many clones there may be."""

    def names(self, mixture: Any, names: tuple[str, ...]) -> tuple[str, ...]:
        """What the experts are called."""
        return names

    def numbers(self, mixture: Any, n_experts: int, n_samples: int) -> tuple[int, ...]:
        """Numbers of experts to choose from, in rising order."""
        return (n_experts,)

    def templates(self, names: tuple[str, ...], templates: tuple[Any, ...]) -> tuple[Any, ...]:
        """The estimators to train."""
        return templates[: len(names)]

    def plan(
        self,
        mixture: Any,
        data: TrainingData,
        names: tuple[str, ...],
        templates: tuple[Any, ...],
        numbers: tuple[int, ...],
        gate: Any,
        Z: Any,
    ) -> Plan:
        """What training has to do."""
        settings = self._settings(TrainingSettings.of(mixture), names, templates)
        terms: tuple[str | None, ...] = (None,)
        if isinstance(gate, SoftmaxGate) and gate.terms == "auto":
            terms = self._terms(settings, Z, templates)
            gate = clone(gate).set_params(terms=terms[0])
        return Plan(
            names,
            templates,
            not isinstance(mixture.experts, list),
            gate,
            Z,
            terms,
            numbers,
            self._shared(mixture, templates, data),
            self._density(mixture),
            self._start(data, names),
            settings,
            mixture.random_state,
        )

    def restored(self, trained: TrainedMixture, names: tuple[str, ...]) -> TrainedMixture:
        """The result of training with what was kept as it was."""
        return trained

    def report(self, data: TrainingData, trained: TrainedMixture) -> SurgeryReport | None:
        """What the fit did to the rows at hand, if there was a mixture to compare with."""
        return None

    def _settings(self, settings, names, templates):
        return settings

    @abstractmethod
    def _terms(self, settings, Z, templates):
        """Terms to choose from for a gate that leaves them open."""

    def _shared(self, mixture, templates, data):
        """What shared expert to train."""
        return shared_kind(
            mixture.shared_expert,
            templates=templates,
            same_template=not isinstance(mixture.experts, list),
            e_step=mixture.e_step,
            top_k=mixture.top_k,
            n_samples=len(data.sample_weight),
            several_classes=is_classifier(mixture) and data.y.ndim > 1,
        )

    def _density(self, mixture):
        """What density to learn; classes have no choice."""
        return getattr(mixture, "density", "mixture")

    @abstractmethod
    def _start(self, data, names):
        """Responsibilities to start from, or None for those that ``init`` asks for."""


@dataclass(frozen=True)
class NewFit(Continuation):
    """Nothing is known but the parameters."""

    def from_domains(self, mixture: Any, domains: Domains) -> Continuation:
        """A fit in which each expert starts from a domain.

        Raises
        ------
        ValueError
            If the mixture is told to start otherwise.
        """
        if not (isinstance(mixture.init, str) and mixture.init == "auto"):
            raise ValueError(
                "domains and init are both starts; give one of them, and leave the other as it is "
                "(domains=None, init='auto')"
            )
        return DomainFit(domains)

    def most_experts(self, mixture: Any) -> int:
        """As many as the search may choose."""
        return most_experts(mixture)

    def numbers(self, mixture: Any, n_experts: int, n_samples: int) -> tuple[int, ...]:
        """Those of the search where it is left to decide."""
        if not number_is_free(mixture) or isinstance(mixture.experts, list):
            return (n_experts,)
        return numbers_to_try(mixture.init, mixture.top_k, mixture.e_step, n_samples)

    def _terms(self, settings, Z, templates):
        return terms_to_try(settings, Z, all(map(is_linear, templates)))

    def _start(self, data, names):
        return None


@dataclass(frozen=True)
class DomainFit(NewFit):
    """One expert for each domain, which is fitted on the rows of that domain first."""

    domains: Domains

    def most_experts(self, mixture: Any) -> int:
        """One for each domain."""
        return len(self.domains.names)

    def numbers(self, mixture: Any, n_experts: int, n_samples: int) -> tuple[int, ...]:
        """Nothing to choose."""
        return (n_experts,)

    def names(self, mixture: Any, names: tuple[str, ...]) -> tuple[str, ...]:
        """Those of the domains, which a list of experts must have.

        Raises
        ------
        ValueError
            If they are others, or no names of experts.
        """
        if not isinstance(mixture.experts, list):
            try:
                mixture._validate_names(self.domains.names)
            except ValueError as error:
                raise ValueError(
                    f"domains become names of experts, which they cannot: {error}; rename them"
                ) from error
            return self.domains.names
        if set(names) != set(self.domains.names):
            raise ValueError(
                f"there are {len(self.domains.names)} domains, {_few(self.domains.names)}, and "
                f"{len(names)} experts, {_few(names)}; a list of experts must have one for each "
                "domain, named like it (or give one estimator, to be cloned for each)"
            )
        return names

    def _settings(self, settings, names, templates):
        """Settings in which the rows of each domain start with its expert."""
        changes: dict[str, Any] = {"init": self.domains.start(names)}
        if settings.overlap == "auto" and of_different_kinds(templates):
            changes["overlap"] = FIRST_OVERLAP  # with 1, which "auto" takes, a start is nothing
        return dataclasses.replace(settings, **changes)


@dataclass(frozen=True)
class WarmStart(Continuation):
    """All experts of a fitted mixture are trained on, from its responsibilities."""

    previous: Any

    def names(self, mixture: Any, names: tuple[str, ...]) -> tuple[str, ...]:
        """Clones keep theirs: those of domains, say."""
        fitted = tuple(self.previous.named_experts_)
        clones = not isinstance(mixture.experts, list)
        return fitted if clones and len(fitted) == len(names) else names

    def with_experts(self, mixture: Any, names: tuple[str, ...]) -> Continuation:
        """A warm start, or surgery if there are further experts.

        Raises
        ------
        ValueError
            If it is not possible to go on with these experts.
        """
        fitted = tuple(self.previous.named_experts_)
        if len(fitted) == len(names):
            return self
        if isinstance(mixture.experts, list) and set(fitted) < set(names):
            return Surgery(self.previous).with_experts(mixture, names)
        raise ValueError(
            f"warm_start=True goes on from {len(fitted)} fitted experts, but there are "
            f"{len(names)} now; give a list that holds the fitted experts {list(fitted)} and "
            "further ones, or set warm_start=False to start anew"
        )

    def most_experts(self, mixture: Any) -> int:
        """As many as before, where that was left to decide."""
        from_domains = tuple(self.previous.named_experts_) != clone_names(self.previous.n_experts_)
        fitted = mixture.n_experts in ("auto", None) or from_domains
        return len(self.previous.experts_) if fitted else mixture.n_experts

    def _terms(self, settings, Z, templates):
        return _terms_of(self.previous)

    def _start(self, data, names):
        return self.previous.responsibilities(data.X, data.y)


@dataclass(frozen=True)
class Surgery(Continuation):
    """Experts of a fitted mixture are kept as they are, and the others trained beside them.

    Attributes
    ----------
    fitted : fitted mixture
    refit : str or None
        Expert of it that is to be trained anew.
    n_old : int
        So many of the rows, the first ones, are old.
    kept : tuple of str
        Experts that stay, once those that are wanted are known.
    """

    fitted: Any
    refit: str | None = None
    n_old: int = 0
    kept: tuple[str, ...] = ()

    def with_experts(self, mixture: Any, names: tuple[str, ...]) -> Surgery:
        """What is kept of these experts."""
        known = set(self.fitted.named_experts_) - {self.refit}
        return dataclasses.replace(self, kept=tuple(name for name in names if name in known))

    def most_experts(self, mixture: Any) -> int:
        """As many as there were: the experts are a list, whose length decides."""
        return len(self.fitted.experts_)

    def templates(self, names: tuple[str, ...], templates: tuple[Any, ...]) -> tuple[Any, ...]:
        """Those in which the kept experts are the fitted ones, frozen."""
        return tuple(
            as_frozen(self.fitted.named_experts_[name]) if name in self.kept else template
            for name, template in zip(names, templates, strict=True)
        )

    def restored(self, trained: TrainedMixture, names: tuple[str, ...]) -> TrainedMixture:
        """With the kept experts as they were, and with their ranges not narrowed."""
        experts, ranges = list(trained.experts), trained.output_range.copy()
        before = tuple(self.fitted.named_experts_)
        for k, name in enumerate(names):
            if name in self.kept:
                experts[k] = self.fitted.named_experts_[name]
                if hasattr(self.fitted, "prediction_range_"):
                    own = self.fitted.prediction_range_[before.index(name)]
                    ranges[k, ..., 0] = np.minimum(ranges[k, ..., 0], own[..., 0])
                    ranges[k, ..., 1] = np.maximum(ranges[k, ..., 1], own[..., 1])
        shared = trained.shared
        if shared is not None and isinstance(shared.model, FrozenEstimator):  # see `_shared`
            shared = dataclasses.replace(shared, model=self.fitted._shared.model)
        return trained._replace(experts=experts, output_range=ranges, shared=shared)

    def report(self, data: TrainingData, trained: TrainedMixture) -> SurgeryReport | None:
        """Losses before and after; warns where old rows got worse."""
        held_out = trained.n_held_out > 0
        report = measure_surgery(self.fitted, data, trained.row_loss, held_out, self.n_old)
        warn_of_harm(report, self.kept)
        return report

    def _settings(self, settings, names, templates):
        """Settings that ask nothing of the kept experts.

        Out-of-bag predictions only if an expert offers them; and if no expert is trained, all
        overlaps are the same, so the one that they were trained with stays.
        """
        changes = {}
        if settings.e_step == "oob" and not any(map(offers_out_of_bag, templates)):
            changes["e_step"] = "crossfit"
        if all(isinstance(template, FrozenEstimator) for template in templates):
            changes["overlap"] = self.fitted.overlap_
        return dataclasses.replace(settings, **changes)

    def _terms(self, settings, Z, templates):
        return _terms_of(self.fitted)

    def _shared(self, mixture, templates, data):
        """A generalist stays as it is, like the experts; there is none if there was none."""
        if mixture.shared_expert is None or mixture.e_step == "insample":
            return None
        shared = self.fitted._shared
        if mixture.shared_expert == "consensus" or (shared and shared.needs_all_experts):
            return "consensus"
        return None if shared is None else as_frozen(shared.model)

    def _density(self, mixture):
        """That of EM: the errors of experts that are kept may be those of rows they know."""
        return "mixture"

    def _start(self, data, names):
        return starting_responsibilities_of(self.fitted, data.X, names)


def as_frozen(expert: Any) -> FrozenEstimator:
    """The expert in a `FrozenEstimator`, unless it is one."""
    return expert if isinstance(expert, FrozenEstimator) else FrozenEstimator(expert)


def _terms_of(previous):
    """The terms of a fitted mixture's gate are those of the gate to come, if it has some."""
    return (previous.gate_.terms if isinstance(previous.gate_, SoftmaxGate) else "linear",)


def starting_responsibilities_of(previous: Any, X: Any, names: tuple[str, ...]) -> np.ndarray:
    """Responsibilities to start from: what the gate of a fitted mixture says of each expert.

    Experts that it does not know get an equal share of each row; those that are gone leave
    theirs to the others.

    Parameters
    ----------
    previous : fitted estimator
    X : array, sparse matrix or frame of shape (n, n_features)
    names : tuple of str, length K

    Returns
    -------
    responsibilities : ndarray of shape (n, K)
    """
    fitted = tuple(previous.named_experts_)
    known = [k for k, name in enumerate(names) if name in fitted]
    columns = [fitted.index(names[k]) for k in known]
    log_proba = np.log(np.maximum(previous.gate_proba(X), np.finfo(np.float64).tiny))
    responsibilities = np.full((len(log_proba), len(names)), 1.0 / len(names))
    responsibilities[:, known] = (
        len(known) / len(names) * np.exp(log_softmax(log_proba[:, columns]))
    )
    return responsibilities


def start_for(init, fitted, names):
    """The parameter `init` for other experts, so that a later ``fit`` can start from it.

    Responsibilities that were given have a column for each expert. Experts that are new get an
    equal share of each row; those that are gone leave theirs to the others.

    Parameters
    ----------
    init : str, callable or array-like of shape (n_given, len(fitted))
    fitted, names : list of str
        Experts that it is for, and those from now on.

    Returns
    -------
    init : str, callable or ndarray of shape (n_given, len(names))
    """
    if isinstance(init, str) or callable(init) or np.shape(init)[1:] != (len(fitted),):
        return init
    if fitted == names:
        return init
    given = np.asarray(init, dtype=np.float64)
    given = given / given.sum(axis=1, keepdims=True)
    start = np.full((len(given), len(names)), 1.0 / len(names))
    known = [k for k, name in enumerate(names) if name in fitted]
    kept = given[:, [fitted.index(names[k]) for k in known]]
    total = kept.sum(axis=1, keepdims=True)
    kept = np.divide(kept, total, out=np.full(kept.shape, 1.0 / len(known)), where=total > 0)
    start[:, known] = len(known) / len(names) * kept
    return start


def _few(names):
    """Names for an error, not too many."""
    return f"{list(names[:10])}" + (" and so on" if len(names) > 10 else "")
