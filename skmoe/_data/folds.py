"""Folds: which rows a model is fitted on, and which it is judged by."""

from __future__ import annotations

import numbers
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import KFold, StratifiedKFold, check_cv


@dataclass(frozen=True, eq=False)
class Folds:
    """Splits of the rows, and for each row the fold that judges it: the one that leaves it out.

    A model of fold f is fitted on ``train(f)``. Whatever it says of all rows, only what it says of
    the rows that it did not see is honest: `held_out` picks that. With one fold that trains on all
    rows the judgement is an in-sample one.

    Attributes
    ----------
    splits : tuple of (train, test) arrays of row indices
        The test parts are a partition of the rows.
    judge : ndarray of shape (n_samples,), dtype intp
        The fold that judges each row.
    """

    splits: tuple[tuple[np.ndarray, np.ndarray], ...]
    judge: np.ndarray

    @classmethod
    def of(cls, splits, n_samples: int) -> Folds:
        """Folds from pairs (train, test) whose test parts are a partition."""
        judge = np.empty(n_samples, dtype=np.intp)
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

    def train(self, fold: int) -> np.ndarray:
        """Rows that the models of a fold are fitted on."""
        return self.splits[fold][0]

    def weights(self, fold: int, weight: np.ndarray) -> np.ndarray:
        """Row weights (n_samples,) in a fold: 0 for the rows that it does not train on."""
        rows, own = self.train(fold), np.zeros_like(weight)
        own[rows] = weight[rows]
        return own

    def each_weights(self, weight: np.ndarray) -> Iterator[np.ndarray]:
        """Row weights in each fold in turn."""
        return (self.weights(fold, weight) for fold in range(len(self)))

    def held_out(self, values: np.ndarray) -> np.ndarray:
        """Of values (n_folds, n_samples, ...), each row's in the fold that judges it.

        A view of them where there is but one fold.
        """
        if len(values) == 1:
            return values[0]
        return values[self.judge, np.arange(len(self.judge))]


def check_splits(cv, data, classifier, random_state):
    """Splits of the kept rows into (train, test) parts, the test parts a partition.

    Parameters
    ----------
    cv : int, splitter, iterable of (train, test) row indices, or None
        An int means shuffled folds (stratified for classes), since data are often sorted
        by just what a gate should find. The indices of an iterable refer to the rows given.
        None means 5, as everywhere in scikit-learn.
    data : TrainingData
    classifier : bool
    random_state : int

    Returns
    -------
    splits : tuple of (train, test) index arrays

    Raises
    ------
    ValueError
        If a row is tested never or more than once, if it is tested by a model that was fitted
        with it, or if `cv` cannot split these rows.
    """
    try:
        splits = tuple(_split(5 if cv is None else cv, data, classifier, random_state))
    except (ValueError, IndexError) as error:
        raise ValueError(
            f"cv={_in_brief(cv)} cannot split the {len(data.kept)} rows: {error}"
        ) from error
    splits = tuple((train, test) for train, test in splits if len(test))  # others judge nobody
    if any(len(np.intersect1d(train, test)) for train, test in splits):
        raise ValueError(
            f"cv={_in_brief(cv)} tests rows that it trains on; each row must be judged by experts "
            "that did not see it (for the classical algorithm set e_step='insample')"
        )
    if any(len(train) == 0 for train, _ in splits):
        raise ValueError(
            f"cv={_in_brief(cv)} leaves no row of positive weight to train on in a split"
        )
    tested = np.sort(np.concatenate([test for _, test in splits]))
    if not np.array_equal(tested, np.arange(len(data.kept))):
        raise ValueError(
            f"cv={_in_brief(cv)} must test each row exactly once (a partition, such as KFold), "
            "since each row is judged by the experts that did not see it"
            + (
                "; a splitter sees only the rows of positive weight, so give list(cv.split(X, y)) "
                "if it counts on all of them"
                if hasattr(cv, "split") and len(data.kept) < data.n_given
                else ""
            )
        )
    return splits


def _in_brief(cv):
    """A splitter in full, but not all the row indices of a list."""
    if isinstance(cv, list | tuple):
        return f"{type(cv).__name__} of {len(cv)} splits"
    return f"{type(cv).__name__} of splits" if hasattr(cv, "__next__") else repr(cv)


def _split(cv, data, classifier, random_state):
    if isinstance(cv, numbers.Integral):
        folds = StratifiedKFold if classifier else KFold
        return folds(cv, shuffle=True, random_state=random_state).split(data.X, data.y)
    if hasattr(cv, "split"):
        return check_cv(cv, data.y, classifier=classifier).split(data.X, data.y)
    position = np.full(data.n_given, -1)
    position[data.kept] = np.arange(len(data.kept))
    return (
        tuple(position[part][position[part] >= 0] for part in split)
        for split in check_cv(cv).split()
    )
