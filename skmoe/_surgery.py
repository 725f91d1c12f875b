"""Changing a fitted mixture expert by expert.

Each operation returns a new fitted model and leaves the old one as it was; fitted experts that
an operation does not touch are the same objects in both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Bunch, check_consistent_length
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from ._data.weights import last_step
from ._experts.labels import EncodedLabels
from ._training.continuation import Surgery, as_frozen, start_for
from ._training.old_rows import with_old_rows
from .gates._renormalised import without_expert

if TYPE_CHECKING:
    from typing_extensions import Self

FIGURES = (
    "log_likelihood_",
    "history_",
    "n_iter_",
    "converged_",
    "n_held_out_",
    "lift_",
    "utilization_",
    "surgery_",
    "stream_",
)
"""What was measured in training; no longer true of a mixture that changed without data."""


class ExpertSurgery:
    """Operations on single experts of a fitted mixture.

    Those that take data train the gate, and the expert that is new or refitted, by the same
    expectation-maximisation as ``fit``, starting from the gate as it is; all other experts are
    judged as they are, and stay to the last bit. ``scale_`` or ``floor_`` of all experts,
    ``log_likelihood_``, ``history_``, ``lift_`` and ``utilization_`` then refer to these rows. The
    shared expert, if the mixture has one, is weighed anew; a generalist stays as it is, and a
    consensus is trained on what the experts say of these rows.

    Two things are up to the caller. The rows must be like those that the mixture is to serve:
    the gate is trained on nothing else. And they should be rows that the experts have not seen:
    an expert that memorises, such as a forest, looks better on its own training rows than it
    is, and the gate would trust it too much.

    ``surgery_`` of the new mixture says what became of the rows, held out, before and after, and
    there is a warning where they got worse by more than a standard error, or those that one
    expert led before by more than two. The mixture keeps no rows: who has some of those that it
    served before gives them as `old_rows`, and the gate is trained on both.
    """

    experts_: list
    named_experts_: Bunch
    n_experts_: int
    gate_: Any
    route: Callable
    _density: Any
    _held_out_scores: Any
    _per_expert_attributes: tuple[str, ...]
    _shared: Any
    _validate_names: Callable

    def add_expert(
        self,
        name: str,
        estimator: Any,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        groups: Any = None,
        old_rows: Any = None,
    ) -> Self:
        """Train one more expert and let the gate learn where to use it.

        The new expert starts with an equal share of every row.

        Parameters
        ----------
        name : str
        estimator : estimator
            Cloned and fitted; a `FrozenEstimator` joins as it is.
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Like the rows that the mixture is to serve; better not those that the experts were
            trained on.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Classes that are new to a classifier are added to ``classes_``.
        sample_weight, groups : array-like of shape (n_samples,), default=None
            As for ``fit``.
        old_rows : pair (X_old, y_old), default=None
            Rows such as the mixture has served so far, where X are others. Training is on both,
            each old row with weight 1, and ``surgery_`` tells them apart. Not with `groups`:
            then give all rows as X and y.

        Returns
        -------
        mixture : estimator
            A new fitted one with the expert at its end; this one is left as it was.

        Raises
        ------
        ValueError
            If there is an expert of that name.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.linear_model import LinearRegression
        >>> from skmoe import MixtureOfExpertsRegressor
        >>> X = np.linspace(-1, 1, 200).reshape(-1, 1)
        >>> y = np.abs(X[:, 0])
        >>> one = MixtureOfExpertsRegressor([("a", LinearRegression())], overlap=0).fit(
        ...     X, y
        ... )
        >>> two = one.add_expert("b", LinearRegression(), X, y)
        >>> list(two.named_experts_), two.experts_[0] is one.experts_[0]
        (['a', 'b'], True)
        """
        check_is_fitted(self)
        if name in self.named_experts_:
            raise ValueError(
                f"there is an expert {name!r} already; choose another name, or use refit_expert"
            )
        mixture = _copy_with(self, [*_members(self), (name, estimator)])
        return _trained(mixture, Surgery(self), (X, y, sample_weight, groups), old_rows)

    def refit_expert(
        self,
        name: str,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        groups: Any = None,
        old_rows: Any = None,
    ) -> Self:
        """Train one expert anew, and the gate.

        Parameters
        ----------
        name : str
        X, y, sample_weight, groups, old_rows
            As for `add_expert`. The expert forgets the rows that it was trained on before.

        Returns
        -------
        mixture : estimator
            A new fitted one; this one is left as it was.

        Raises
        ------
        ValueError
            If there is no such expert, or if it is frozen.
        """
        check_is_fitted(self)
        position = _position(self, name)
        members = _members(self)
        if isinstance(last_step(members[position][1]), FrozenEstimator):
            raise ValueError(
                f"expert {name!r} is frozen; give an estimator that may be fitted with "
                f"set_params({name}=...) first, or use drop_expert and add_expert"
            )
        mixture = _copy_with(self, members)
        surgery = Surgery(self, refit=name)
        return _trained(mixture, surgery, (X, y, sample_weight, groups), old_rows)

    def drop_expert(
        self,
        name: str,
        X: Any = None,
        y: Any = None,
        sample_weight: Any = None,
        groups: Any = None,
        old_rows: Any = None,
    ) -> Self:
        """Remove an expert.

        Without data the gate's probabilities of the other experts are renormalised, which is
        exact (the gate given that it is not this expert), and the figures of training, which no
        longer hold, are removed: ``log_likelihood_``, ``history_``, ``n_iter_``, ``converged_``,
        ``n_held_out_``, ``lift_``, ``utilization_`` and ``surgery_``. A consensus, which was
        trained to hear all experts, is removed as well. With data the gate is trained.

        Parameters
        ----------
        name : str
        X, y, sample_weight, groups, old_rows
            As for `add_expert`; default None.

        Returns
        -------
        mixture : estimator
            A new fitted one; this one is left as it was.

        Raises
        ------
        ValueError
            If there is no such expert, or no other, or if only one of X and y is given, or old
            rows without them.
        """
        check_is_fitted(self)
        position = _position(self, name)
        if (X is None) != (y is None):
            raise ValueError("give both X and y to train the gate, or neither to renormalise it")
        if X is None and old_rows is not None:
            raise ValueError("old_rows are trained on beside X and y; give them as X and y")
        if self.n_experts_ == 1:
            raise ValueError(f"{name!r} is the only expert; a mixture needs at least one")
        if X is not None:
            return self._reduced({name}, (X, y, sample_weight, groups), old_rows)
        members = _members(self)
        del members[position]
        mixture = _copy_with(self, members)
        mixture._check_sizes(len(members), n_samples=len(members))
        experts = self.experts_[:position] + self.experts_[position + 1 :]
        mixture._set_experts([member for member, _ in members], experts)
        mixture.gate_ = without_expert(self.gate_, position)
        for attribute in self._per_expert_attributes:
            setattr(mixture, attribute, np.delete(getattr(self, attribute), position, axis=0))
        if self._shared is not None and self._shared.needs_all_experts:
            mixture._set_shared(None)
        mixture._density = mixture._held_out_scores = None
        for figure in FIGURES:
            if hasattr(mixture, figure):  # not so after an earlier drop
                delattr(mixture, figure)
        return mixture

    def freeze(self, names: str | list[str]) -> Self:
        """Protect experts from ever being refitted.

        They become `FrozenEstimator`, in the parameter `experts` as well, so that a later
        ``fit`` takes them as they are. Predictions and figures stay what they were.

        Parameters
        ----------
        names : str or list of str

        Returns
        -------
        mixture : estimator
            A new fitted one; this one is left as it was.

        Raises
        ------
        ValueError
            If there is no such expert.
        """
        check_is_fitted(self)
        positions = {_position(self, name) for name in _as_list(names)}
        members, experts = _members(self), list(self.experts_)
        for k in positions:
            experts[k] = as_frozen(experts[k])
            members[k] = (members[k][0], experts[k])
        mixture = _copy_with(self, members)
        mixture._set_experts([name for name, _ in members], experts)
        return mixture

    def prune(
        self,
        X: Any,
        y: Any,
        *,
        min_mass: float = 0.01,
        sample_weight: Any = None,
        groups: Any = None,
    ) -> Self:
        """Remove the experts that serve almost no row, and train the gate.

        Parameters
        ----------
        X, y, sample_weight, groups
            As for `add_expert`.
        min_mass : float, default=0.01
            Between 0 and 1. Experts whose mean weight in prediction (given `top_k`) over the
            rows of X, each as often as its `sample_weight` says, is below this are removed.

        Returns
        -------
        mixture : estimator
            A new fitted one, whose ``pruned_experts_`` is the tuple of the names removed; without
            any, a copy. This one is left as it was.

        Raises
        ------
        ValueError
            If no expert would remain, if there are no rows, or if `min_mass` is no such number.
        """
        if not isinstance(min_mass, Real) or not 0 <= float(min_mass) <= 1:
            raise ValueError(f"min_mass must be a number between 0 and 1, got {min_mass!r}")
        routed = self.route(X)
        check_consistent_length(routed.mass, y)
        weight = _check_sample_weight(sample_weight, routed.mass)[:, np.newaxis]
        if not weight.any():
            raise ValueError("prune needs rows of positive weight, like those to be served")
        weight = weight * routed.weights
        served = np.bincount(routed.indices.ravel(), weight.ravel(), minlength=self.n_experts_)
        mass = dict(zip(self.named_experts_, (served / served.sum()).tolist(), strict=True))
        idle = tuple(name for name in mass if mass[name] < min_mass)
        if len(idle) == self.n_experts_:
            raise ValueError(
                f"min_mass={min_mass} would remove all experts; their masses are "
                f"{ {name: round(own, 4) for name, own in mass.items()} }"
            )
        if idle:
            mixture = self._reduced(idle, (X, y, sample_weight, groups))
        else:
            mixture = _copy_with(self, _members(self))
        mixture.pruned_experts_ = idle
        return mixture

    def rename_experts(self, names: dict[str, str]) -> Self:
        """Call experts by other names, in the parameter `experts` and in all reports.

        Predictions and figures stay what they were.

        Parameters
        ----------
        names : dict of str to str
            New names by the names so far; experts that are not in it keep theirs.

        Returns
        -------
        mixture : estimator
            A new fitted one; this one is left as it was.

        Raises
        ------
        ValueError
            If there is no expert of a name, if two would have the same, or if one cannot be a
            name: it contains a double underscore, or is that of a parameter.
        TypeError
            If `names` is no dict.

        Examples
        --------
        >>> import numpy as np
        >>> from skmoe import MixtureOfExpertsRegressor
        >>> X = np.linspace(-1, 1, 200).reshape(-1, 1)
        >>> moe = MixtureOfExpertsRegressor(n_experts=2, random_state=0).fit(
        ...     X, np.abs(X[:, 0])
        ... )
        >>> list(moe.rename_experts({"expert_0": "night"}).named_experts_)
        ['night', 'expert_1']
        """
        check_is_fitted(self)
        if not isinstance(names, dict):
            raise TypeError(f"names must be a dict of new names by old ones, got {names!r}")
        for name in names:
            _position(self, name)
        renamed = [names.get(name, name) for name in self.named_experts_]
        if not all(isinstance(name, str) for name in renamed):
            raise ValueError(f"names of experts must be strings, got {names!r}")
        twice = sorted({name for name in renamed if renamed.count(name) > 1})
        if twice:
            raise ValueError(f"two experts would be called {twice}; each needs a name of its own")
        self._validate_names(renamed)
        members = _members(self)
        mixture = _copy_with(self, members)
        mixture.experts = [
            (name, expert) for name, (_, expert) in zip(renamed, members, strict=True)
        ]
        mixture._set_experts(renamed, list(self.experts_))
        for report in ("lift_", "utilization_", "surgery_"):
            if getattr(self, report, None) is not None:
                setattr(mixture, report, getattr(self, report).renamed(names))
        return mixture

    def _reduced(self, names, rows, old_rows=None):
        members = [member for member in _members(self) if member[0] not in names]
        return _trained(_copy_with(self, members), Surgery(self), rows, old_rows)

    def _set_experts(self, names, experts):
        self.experts_ = experts
        self.named_experts_ = Bunch(**dict(zip(names, experts, strict=True)))
        self.n_experts_ = len(experts)


def _trained(mixture, surgery, rows, old_rows):
    """The copy trained on rows (X, y, sample_weight, groups), and on old ones if there are any."""
    if old_rows is None:
        return mixture._fit(*rows, surgery)
    rows, n_old = with_old_rows(surgery.fitted, rows, old_rows)
    return mixture._fit(*rows, replace(surgery, n_old=n_old))


def _copy_with(mixture, members):
    """A fitted copy with other experts as its parameter; no fitted attribute is changed yet."""
    copied = clone(mixture)
    copied.experts = members
    copied.init = start_for(
        mixture.init, list(mixture.named_experts_), [name for name, _ in members]
    )
    parameters = mixture.get_params(deep=False)
    fitted = {name: value for name, value in vars(mixture).items() if name not in parameters}
    vars(copied).update(fitted)
    return copied


def _members(mixture):
    """The fitted experts as pairs of name and unfitted estimator.

    Clones of one estimator have become different by their random states, so these are taken
    from the fitted ones.
    """
    listed = dict(mixture.experts) if isinstance(mixture.experts, list) else {}
    members = []
    for name, expert in mixture.named_experts_.items():
        template = listed.get(name, "drop")
        if isinstance(template, str):
            template = expert.estimator if isinstance(expert, EncodedLabels) else expert
        members.append((name, clone(template)))
    return members


def _position(mixture, name):
    names = list(mixture.named_experts_)
    if name not in names:
        raise ValueError(f"there is no expert {name!r}; the experts are {names}")
    return names.index(name)


def _as_list(names):
    return [names] if isinstance(names, str) else list(names)
