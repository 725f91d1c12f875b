"""Experts that learn from one chunk of rows after the other."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing

from .._arithmetic import weighted_moments
from .._compat import Record
from .._data.weights import last_step, relative_weights, resampled_counts
from .fitting import weighty_rows
from .least_squares import allows, solve_all


def learns_by_chunks(template: Any) -> bool:
    """Whether an expert can learn from one chunk of rows after the other.

    Parameters
    ----------
    template : estimator
        Of a Pipeline it is the last step that learns; those before stay as they are fitted first.
    """
    learner = last_step(template)
    return allows(learner) or hasattr(learner, "partial_fit")


@dataclass(frozen=True, eq=False)
class LinearMemory(Record):
    """Sufficient statistics of a least-squares expert.

    Attributes
    ----------
    centre : ndarray of shape (n_features + 1,)
        What is subtracted from features and target.
    moments : ndarray of shape (n_features + 2, n_features + 2)
        Mean second moments of features, target and 1, each row weighed.
    """

    centre: np.ndarray
    moments: np.ndarray

    @classmethod
    def of(cls, X: np.ndarray, y: np.ndarray, weight: np.ndarray, total: float) -> LinearMemory:
        """Those of a first chunk, whose rows weigh `total` for all experts together."""
        centre = np.append(X.mean(axis=0), y.mean())
        return cls(centre, weighted_moments(X, y, centre, weight[:, np.newaxis])[0] / total)

    def stepped(self, X: np.ndarray, y: np.ndarray, weight: np.ndarray, total: float, step: float):
        """The statistics after one more chunk; `step` is what that counts."""
        own = weighted_moments(X, y, self.centre, weight[:, np.newaxis])[0] / total
        return LinearMemory(self.centre, (1.0 - step) * self.moments + step * own)

    def solution(self, learner: Any, total: float) -> Any:
        """A copy of an estimator with the coefficients of least squares.

        Parameters
        ----------
        learner : fitted Ridge or LinearRegression
        total : float
            Rows that the means stand for: a penalty is weighed against their sum.
        """
        coef, intercept = solve_all([learner], total * self.moments[np.newaxis], self.centre)
        if not np.isfinite(coef).all():  # ill-conditioned: as it was
            return learner
        learner = copy.copy(learner)
        learner.coef_, learner.intercept_ = coef[0], float(intercept[0])
        return learner


def first_memory(expert: Any, X: Any, y: np.ndarray, weight: np.ndarray, total: float) -> Any:
    """What is to be remembered of the first chunk; None if the expert does so itself."""
    if not allows(last_step(expert)):
        return None
    return LinearMemory.of(seen_by_last_step(expert, X), y, weight, total)


def seen_by_last_step(expert: Any, X: Any) -> Any:
    """X as the last step of a fitted Pipeline gets it; of a linear one as an array of floats."""
    while isinstance(expert, Pipeline):
        X = expert[:-1].transform(X) if len(expert.steps) > 1 else X
        expert = expert.steps[-1][1]
    return np.asarray(X, dtype=np.float64) if allows(expert) else X


def with_last_step(expert: Any, learner: Any) -> Any:
    """A fitted expert with another fitted estimator as its last step."""
    if not isinstance(expert, Pipeline):
        return learner
    changed = copy.copy(expert)
    name, last = expert.steps[-1]
    changed.steps = [*expert.steps[:-1], (name, with_last_step(last, learner))]
    return changed


def learn_from(
    learner: Any,
    X: Any,
    y: np.ndarray,
    weight: np.ndarray,
    sample_weight: np.ndarray,
    classes: np.ndarray | None,
    seed: int,
) -> None:
    """Have an estimator learn from a chunk of weighted rows with its own ``partial_fit``.

    One that takes no weights there learns from rows drawn by them.
    """
    rows = weighty_rows(weight, np.arange(len(weight)))
    own, known = weight[rows], signature(learner.partial_fit).parameters
    settings: dict[str, Any] = {} if classes is None else {"classes": classes}
    if "sample_weight" in known:
        settings["sample_weight"] = own
    else:
        relative = relative_weights(own, sample_weight[rows])
        rows = np.repeat(rows, resampled_counts(relative, np.random.RandomState(seed)))
    learner.partial_fit(_safe_indexing(X, rows), y[rows], **settings)


def ready_for_chunks(expert: Any, template: Any, classes: np.ndarray | None) -> Any:
    """An expert that can learn further: one that has not seen all classes begins anew.

    ``partial_fit`` wants to know all classes from its first call on.
    """
    if classes is None or not is_classifier(template):
        return expert
    learner = last_step(expert)
    same = hasattr(learner, "partial_fit") and np.array_equal(learner.classes_, classes)
    if same:
        return expert
    anew = clone(last_step(template))
    whole = isinstance(template, Pipeline) and isinstance(expert, Pipeline)
    return with_last_step(expert, anew) if whole else anew
