"""Experts that learn from one chunk of rows after the other."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.pipeline import Pipeline

from .._arithmetic import weighted_moments
from .._compat import Record
from .._data.protection import protected, taken
from .._data.rows import is_finite
from .._data.weights import last_step, relative_weights, resampled_counts
from .fitting import answer, weighty_rows
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


def learn_together(
    learners: list[Any],
    memories: list[LinearMemory],
    chunk: tuple[np.ndarray, np.ndarray],
    weights: np.ndarray,
    total: float,
    step: float,
) -> tuple[list[Any], list[LinearMemory]]:
    """Estimators with the coefficients of least squares, and their memories, after a chunk.

    Parameters
    ----------
    learners : list of K fitted Ridge or LinearRegression
    memories : list of K LinearMemory
        Of a first chunk that was the same for all, so that they have the same centre.
    chunk : tuple
        X of shape (n, n_features) and y of shape (n,).
    weights : ndarray of shape (n, K)
    total : float
        What the rows weigh for all experts together.
    step : float in (0, 1]
        What this chunk counts; the rest is memory.
    """
    centre = memories[0].centre
    moments = np.stack([memory.moments for memory in memories])
    own = weighted_moments(*chunk, centre, weights) / total
    moments = (1.0 - step) * moments + step * own
    # A penalty is weighed against the sum over the rows that the means stand for.
    solutions = zip(*solve_all(learners, total / step * moments, centre), strict=True)
    solved = [
        _with_solution(learner, *solution)
        for learner, solution in zip(learners, solutions, strict=True)
    ]
    return solved, [LinearMemory(centre, each) for each in moments]


def _with_solution(learner, coef, intercept):
    """A copy with these coefficients; where equations were ill-conditioned, as it was."""
    if not np.isfinite(coef).all():
        return learner
    learner = copy.copy(learner)
    learner.coef_, learner.intercept_ = coef, float(intercept)
    return learner


def first_memory(expert: Any, X: Any, y: np.ndarray, weight: np.ndarray, total: float) -> Any:
    """What is to be remembered of the first chunk; None if the expert does so itself.

    X is what the last step of the expert gets.
    """
    return LinearMemory.of(X, y, weight, total) if allows(last_step(expert)) else None


def seen_by_last_step(expert: Any, X: Any) -> Any:
    """X as the last step of a fitted Pipeline gets it; of a linear one as an array of floats."""
    while isinstance(expert, Pipeline):
        X = expert[:-1].transform(X) if len(expert.steps) > 1 else X
        expert = expert.steps[-1][1]
    return np.asarray(X, dtype=np.float64) if allows(expert) else X


def seen_by_each(named_experts: Any, X: Any) -> list[Any]:
    """The same for all experts, by name; linear ones that get X itself share one array.

    Raises
    ------
    ValueError, TypeError, RuntimeError
        If a transformer raised; says of which expert.
    """
    seen, shared = [], None
    for name, expert in named_experts.items():
        own = shared if allows(expert) else None
        if own is None:
            # Only transformers may write here: a last step learns from rows that are its own.
            rows = protected(X) if isinstance(expert, Pipeline) else X
            own = answer(seen_by_last_step, expert, rows, repr(name))
        shared = own if allows(expert) else shared
        seen.append(own)
    return seen


def linear_outputs(experts: list[Any], seen: list[np.ndarray]) -> np.ndarray | None:
    """What linear experts say of rows that they are about to learn from, shape (n, K).

    Returns
    -------
    outputs : ndarray or None
        None if there are others, or if rows have values that a linear expert refuses: ask them
        one by one then, to know who.
    """
    learners = [last_step(expert) for expert in experts]
    if not all(map(allows, learners)):
        return None
    with np.errstate(invalid="ignore", over="ignore"):
        outputs = [X @ own.coef_ + own.intercept_ for own, X in zip(learners, seen, strict=True)]
    return np.column_stack(outputs) if all(map(is_finite, outputs)) else None


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
    learner.partial_fit(taken(X, rows), y[rows], **settings)


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
