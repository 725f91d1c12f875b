"""``partial_fit``: learning from one chunk of rows after the other."""

from __future__ import annotations

import dataclasses
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.utils import column_or_1d
from sklearn.utils.metaestimators import available_if

from ._data.rows import check_features, keep_weighted_rows
from ._data.weights import last_step
from ._experts.checks import check_experts
from ._experts.least_squares import allows
from ._experts.streaming import learns_by_chunks, linear_outputs, seen_by_each
from ._training.streaming import Chunk, Learned, advance, begin
from .gates import SoftmaxGate

if TYPE_CHECKING:
    from typing_extensions import Self


def _learns_by_chunks(mixture: Any) -> bool:
    """Whether gate and experts can; if not, the error says who cannot."""
    if not (mixture.gate is None or isinstance(mixture.gate, SoftmaxGate)):
        raise AttributeError(
            f"partial_fit is there for softmax gates only, not for gate={mixture.gate!r}"
        )
    if mixture.shared_expert not in (None, "auto"):
        raise AttributeError(
            "partial_fit trains no shared expert; it is there with shared_expert=None or 'auto', "
            f"not with {mixture.shared_expert!r}"
        )
    one = mixture._default_expert() if mixture.experts is None else mixture.experts
    members = mixture.experts if isinstance(mixture.experts, list) else [("", one)]
    unable = [
        f"{name} {expert!r}".strip()
        for name, expert in members
        if not (isinstance(expert, str) or learns_by_chunks(expert))
    ]
    if unable:
        raise AttributeError(
            "partial_fit needs experts that learn from one chunk after the other: Ridge, "
            "LinearRegression, or one that has partial_fit itself (SGDClassifier, MLPRegressor, "
            f"GaussianNB, ...), also as the last step of a Pipeline; these do not: {unable}"
        )
    return True


class ChunkLearning:
    """What both mixtures share of ``partial_fit``."""

    def _learn_chunk(self: Any, X: Any, y: Any, sample_weight: Any, classes: Any = None) -> Any:
        if not hasattr(self, "stream_"):
            if hasattr(self, "experts_"):
                warnings.warn(
                    "this mixture was fitted by fit, which keeps nothing that partial_fit could "
                    "go on from: it begins anew with this chunk. Begin with partial_fit if all "
                    "chunks are to count",
                    stacklevel=3,
                )
            return self._begin_stream(X, y, sample_weight, classes)
        chunk = self._chunk(X, y, sample_weight)
        learned = Learned(self.experts_, self.gate_, self._dispersion)
        self._set_learned(*advance(learned, self.stream_, chunk, self), chunk)
        return self

    def _begin_stream(self: Any, X, y, sample_weight, classes):
        """Fit a mixture to the first chunk, and measure what is to be remembered of that."""
        settings: dict[str, Any] = {"shared_expert": None, "warm_start": False}
        if "density" in self.get_params(deep=False):
            settings["density"] = "mixture"
        first = clone(self).set_params(**settings).fit(X, y, sample_weight)
        parameters = self.get_params(deep=False)
        fitted = {name: value for name, value in vars(first).items() if name not in parameters}
        vars(self).update(fitted)
        if classes is not None:
            self.classes_ = classes
            self._likelihood = dataclasses.replace(self._likelihood, classes=classes)
        templates = check_experts(self, self.experts, self.n_experts_, self._default_expert())[1]
        chunk = self._chunk(X, y, sample_weight)
        learned = Learned(self.experts_, self.gate_, self._dispersion)
        self._set_learned(*begin(learned, templates, chunk, self), chunk)
        return self

    def _chunk(self: Any, X, y, sample_weight):
        """The rows of positive weight, checked."""
        X = check_features(self, X, reset=False)
        data = keep_weighted_rows(X, self._check_target(y), sample_weight)
        Z = self.gate_columns_.transform(data.X)
        if issparse(Z):
            raise ValueError(
                "partial_fit wants features that are dense where the gate sees them; give "
                "gate_features, or a dense array"
            )
        if data.y.ndim > 1 and any(allows(last_step(expert)) for expert in self.experts_):
            raise ValueError(
                "partial_fit of linear experts learns one output; y has the shape "
                f"{data.y.shape}. Use a mixture for each"
            )
        seen = seen_by_each(self.named_experts_, data.X)
        outputs = linear_outputs(self.experts_, seen)
        if outputs is None:
            outputs = self._outputs(data.X)
        return Chunk(seen, outputs, Z, data.y, self._encode(data.y), data.sample_weight)

    def _set_learned(self: Any, learned, stream, chunk):
        self._set_experts(list(self.named_experts_), learned.experts)
        self.gate_ = learned.gate
        self._set_dispersion(learned.dispersion, chunk.outputs)
        self.utilization_ = self._utilization(learned.gate.predict_proba(chunk.Z))
        self.stream_ = stream


class RegressorChunks(ChunkLearning):
    """``partial_fit`` of the regressor."""

    @available_if(_learns_by_chunks)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn from a chunk of rows, after those before; for streams, and more than fits memory.

        The first chunk is fitted as by ``fit``, but without a shared expert: it should be large
        enough for that, some thousand rows. Each further one is scored first, by a mixture that
        has not seen it (``stream_.log_likelihood``: if that falls, the data have changed), and
        then moves experts, gate and scales a step (stepwise EM). What the first chunk decides
        stays: the number of experts, their overlap, terms and knots of the gate, transformers
        before an expert in its Pipeline. ``lift_``, ``history_`` and ``log_likelihood_`` tell of
        the first chunk. After ``fit``, which keeps nothing to go on from, it begins anew, and
        warns.

        Available for a softmax gate, and for experts that are `Ridge` or `LinearRegression`, or
        have a ``partial_fit`` of their own, also at the end of a Pipeline.

        Parameters
        ----------
        X : {array-like, data frame} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        self : MixtureOfExpertsRegressor

        Examples
        --------
        >>> import numpy as np
        >>> from skmoe import MixtureOfExpertsRegressor
        >>> rng = np.random.default_rng(0)
        >>> mixture = MixtureOfExpertsRegressor(n_experts=2, random_state=0)
        >>> for _ in range(5):
        ...     X = rng.normal(size=(1000, 3))
        ...     y = np.abs(X[:, 0]) + 0.1 * rng.normal(size=1000)
        ...     mixture = mixture.partial_fit(X, y)
        >>> mixture.stream_.n_rows.sum()
        np.int64(5000)
        >>> mixture.stream_.log_likelihood.round(1)
        array([0.9, 0.8, 0.9, 0.9, 0.9])
        """
        return self._learn_chunk(X, y, sample_weight)

    def _set_dispersion(self: Any, dispersion: np.ndarray, outputs: np.ndarray) -> None:
        self.scale_ = dispersion[:, 0] if dispersion.shape[1] == 1 else dispersion
        by_row = np.ascontiguousarray(np.moveaxis(outputs, 0, -1))  # NumPy's way, ten times faster
        known = self.prediction_range_
        low = np.minimum(known[..., 0], by_row.min(axis=-1))
        high = np.maximum(known[..., 1], by_row.max(axis=-1))
        self.prediction_range_ = np.stack([low, high], axis=-1)


class ClassifierChunks(ChunkLearning):
    """``partial_fit`` of the classifier."""

    @available_if(_learns_by_chunks)
    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Learn from a chunk of rows, after those before; for streams, and more than fits memory.

        The first chunk is fitted as by ``fit``, but without a shared expert: it should be large
        enough for that, some thousand rows, and hold two classes at least. Each further one is
        scored first, by a mixture that has not seen it (``stream_.log_likelihood``: if that
        falls, the data have changed), and then moves experts, gate and floors a step (stepwise
        EM). What the first chunk decides stays: the number of experts, their overlap, terms and
        knots of the gate, transformers before an expert in its Pipeline. ``lift_``, ``history_``
        and ``log_likelihood_`` tell of the first chunk. After ``fit``, which keeps nothing to go
        on from, it begins anew and warns.

        Available for a softmax gate, and for experts that have a ``partial_fit`` of their own
        (`SGDClassifier(loss="log_loss")`, `MLPClassifier`, `GaussianNB`), also at the end of a
        Pipeline.

        Parameters
        ----------
        X : {array-like, data frame} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        classes : array-like of shape (n_classes,), default=None
            All labels that there will be. Needed in the first call.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        self : MixtureOfExpertsClassifier

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.naive_bayes import GaussianNB
        >>> from skmoe import MixtureOfExpertsClassifier
        >>> rng = np.random.default_rng(0)
        >>> mixture = MixtureOfExpertsClassifier(
        ...     GaussianNB(), n_experts=2, random_state=0
        ... )
        >>> for _ in range(3):
        ...     X = rng.normal(size=(500, 2))
        ...     y = np.where(X[:, 0] * X[:, 1] > 0, "same", "apart")
        ...     mixture = mixture.partial_fit(X, y, classes=["apart", "same"])
        >>> bool(mixture.score(X, y) > 0.9)
        True
        """
        if np.ndim(y) > 1 and np.shape(y)[1] > 1:
            raise ValueError(
                f"partial_fit of classifiers learns one output; y has the shape {np.shape(y)}. "
                "Use fit, or a mixture for each"
            )
        if not hasattr(self, "stream_"):
            if classes is None:
                raise ValueError("classes must be passed on the first call to partial_fit")
            classes = np.unique(column_or_1d(classes, dtype=None))
            unknown = np.setdiff1d(y, classes)
            if len(unknown):
                raise ValueError(f"y holds labels that are not in classes: {list(unknown)}")
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(
                f"classes={classes!r} are not those of the first call, {list(self.classes_)}"
            )
        return self._learn_chunk(X, y, sample_weight, classes)

    def _set_dispersion(self: Any, dispersion: np.ndarray, outputs: np.ndarray) -> None:
        self.floor_ = dispersion
