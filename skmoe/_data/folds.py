"""Folds: which rows a model is fitted on, and which it predicts held out."""

from __future__ import annotations

import numbers
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    StratifiedGroupKFold,
    StratifiedKFold,
    check_cv,
)

from .rows import TrainingData

NOBODY = -1
"""In place of a fold: no fold leaves the row out to test it."""


@dataclass(frozen=True, eq=False)
class Folds:
    """Splits of the rows, and for each row the fold that judges it: the one that tests it.

    A model of fold f is fitted on ``train(f)``. Whatever it says of all rows, only what it says of
    the rows that it did not see is honest: `held_out` picks that. With one fold that trains on all
    rows the judgement is an in-sample one.

    A splitter need not test every row: the first rows of a time series have nothing before them.
    Models are fitted on these rows like on others, but nothing can be learned from what is said
    of them: they have no held-out predictions.

    Attributes
    ----------
    splits : tuple of (train, test) arrays of row indices
        No row is in two test parts.
    judge : ndarray of shape (n_samples,), dtype intp
        The fold that judges each row; -1 for a row that none tests.
    """

    splits: tuple[tuple[np.ndarray, np.ndarray], ...]
    judge: np.ndarray

    @classmethod
    def of(cls, splits: Any, n_samples: int) -> Folds:
        """Folds from pairs (train, test) whose test parts have no row in common."""
        judge = np.full(n_samples, NOBODY, dtype=np.intp)
        for fold, (_, test) in enumerate(splits):
            judge[test] = fold
        return cls(tuple(splits), judge)

    @classmethod
    def in_sample(cls, n_samples: int) -> Folds:
        """One fold that trains on all rows and judges them, too."""
        everything = np.arange(n_samples)
        return cls.of(((everything, everything),), n_samples)

    def __len__(self) -> int:
        return len(self.splits)

    @property
    def is_in_sample(self) -> bool:
        """Whether the one model is judged by the rows that it was fitted on."""
        return len(self.splits) == 1 and len(self.train(0)) == len(self.judge)

    @property
    def judged(self) -> np.ndarray:
        """Whether there is a fold that judges a row, shape (n_samples,)."""
        return self.judge != NOBODY

    def train(self, fold: int) -> np.ndarray:
        """Rows that the models of a fold are fitted on."""
        return self.splits[fold][0]

    def weights(self, fold: int, weight: np.ndarray) -> np.ndarray:
        """Row weights (n_samples,) in a fold: 0 for the rows that it does not train on.

        Where none of those that it trains on has any weight, they count alike: whoever learns
        from them has to say something about the others.
        """
        rows, own = self.train(fold), np.zeros_like(weight)
        own[rows] = weight[rows]
        if not own.any():
            own[rows] = 1.0
        return own

    def each_weights(self, weight: np.ndarray) -> Iterator[np.ndarray]:
        """Row weights in each fold in turn."""
        return (self.weights(fold, weight) for fold in range(len(self)))

    def judged_weights(self, weight: np.ndarray) -> np.ndarray:
        """Row weights for what is learned from held-out predictions: 0 where there are none."""
        judged = self.judged
        return weight if judged.all() else np.where(judged, weight, 0.0)

    def held_out(self, values: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """Of values (n_folds, n_samples, ...), each row's in the fold that judges it.

        A view of them where there is but one fold. What stands for a row that nobody judges means
        nothing.
        """
        if len(values) == 1:
            return values[0]
        if isinstance(values, np.ndarray):
            return values[self.judge, np.arange(len(self.judge))]
        held_out = np.empty(0)
        for fold, own in enumerate(values):
            held_out = held_out if fold else np.zeros_like(own)
            rows = np.flatnonzero(self.judge == fold)
            held_out[rows] = own[rows]
        return held_out

    def merged(self, n_folds: int) -> tuple[Folds, np.ndarray]:
        """Fewer folds, each of which is several of these in one.

        What they train on is what all of these train on.

        Returns
        -------
        folds : Folds
        of : ndarray of shape (len(self),)
            Which of them each of these folds has become part of.
        """
        of = np.arange(len(self)) * n_folds // len(self)
        trained = np.zeros((n_folds, len(self.judge)), dtype=np.intp)
        for fold, coarse in enumerate(of):
            trained[coarse, self.train(fold)] += 1
        splits = tuple(
            (
                np.flatnonzero(trained[coarse] == np.sum(of == coarse)),
                np.flatnonzero(np.isin(self.judge, np.flatnonzero(of == coarse))),
            )
            for coarse in range(n_folds)
        )
        return Folds.of(splits, len(self.judge)), of

    def judged_only(self) -> tuple[np.ndarray, Folds]:
        """Positions of the rows that are judged, and the folds of these rows alone.

        A fold may have nothing left to train on.
        """
        rows = np.flatnonzero(self.judged)
        if len(rows) == len(self.judge):
            return rows, self
        position = np.full(len(self.judge), NOBODY)
        position[rows] = np.arange(len(rows))
        splits = [
            (position[train][position[train] >= 0], position[test]) for train, test in self.splits
        ]
        return rows, Folds(tuple(splits), self.judge[rows])


def check_splits(cv: Any, data: TrainingData, classifier: bool, random_state: int) -> Folds:
    """Folds of the kept rows.

    Parameters
    ----------
    cv : int, splitter, iterable of (train, test) row indices, or None
        An int means shuffled folds (stratified for classes), since data are often sorted
        by just what a gate should find, and folds of whole groups if the data have groups. The
        indices of an iterable refer to the rows given. None means 5, as everywhere in
        scikit-learn.
    data : TrainingData
    classifier : bool
    random_state : int

    Returns
    -------
    folds : Folds

    Raises
    ------
    ValueError
        If no row is tested, or one more than once, if a row is tested by a model that was fitted
        with it, or if `cv` cannot split these rows.
    """
    try:
        splits = tuple(_split(5 if cv is None else cv, data, classifier, random_state))
    except (ValueError, IndexError) as error:
        raise ValueError(
            f"cv={_in_brief(cv)} cannot split the {len(data.kept)} rows: {error}"
        ) from error
    if not splits:
        raise ValueError(
            f"cv={_in_brief(cv)} yields no split: a generator can be used only once; "
            "give list(...) of it"
        )
    splits = tuple((train, test) for train, test in splits if len(test))  # others judge nobody
    if any(part.max(initial=-1) >= len(data.kept) for split in splits for part in split):
        raise ValueError(
            f"cv={_in_brief(cv)} has positions beyond the {len(data.kept)} rows of positive "
            "weight, which are all that a splitter sees; give list(cv.split(X, y)) if it counts "
            "on all of them"
        )
    if any(len(np.intersect1d(train, test)) for train, test in splits):
        raise ValueError(
            f"cv={_in_brief(cv)} tests rows that it trains on; each row must be judged by experts "
            "that did not see it (for the classical algorithm set e_step='insample')"
        )
    if any(len(train) == 0 for train, _ in splits):
        raise ValueError(
            f"cv={_in_brief(cv)} leaves no row of positive weight to train on in a split"
        )
    tested = np.concatenate([test for _, test in splits]) if splits else np.empty(0)
    if not len(tested):
        raise ValueError(
            f"cv={_in_brief(cv)} tests no row of positive weight, so nothing can be judged"
        )
    if len(np.unique(tested)) < len(tested):
        raise ValueError(
            f"cv={_in_brief(cv)} tests some rows more than once; give folds of which no two have "
            "a row in common (such as KFold), since each row is judged by the experts that did "
            "not see it"
        )
    return Folds.of(splits, len(data.kept))


def _in_brief(cv):
    """A splitter in full, but not all the row indices of a list."""
    if isinstance(cv, list | tuple):
        return f"{type(cv).__name__} of {len(cv)} splits"
    return f"{type(cv).__name__} of splits" if hasattr(cv, "__next__") else repr(cv)


def _split(cv, data, classifier, random_state):
    if isinstance(cv, numbers.Integral):
        kinds: Any = (StratifiedKFold, StratifiedGroupKFold) if classifier else (KFold, GroupKFold)
        folds = kinds[data.groups is not None](cv, shuffle=True, random_state=random_state)
        return folds.split(data.X, data.y, data.groups)
    if hasattr(cv, "split"):
        splitter = check_cv(cv, data.y, classifier=classifier)
        return splitter.split(data.X, data.y, data.groups)
    position = np.full(data.n_given, -1)
    position[data.kept] = np.arange(len(data.kept))
    return (
        tuple(position[part][position[part] >= 0] for part in split)
        for split in check_cv(cv).split()
    )
