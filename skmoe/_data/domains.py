"""Rows of known origin (hospitals, seasons, products): what each expert is to start from."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import column_or_1d
from sklearn.utils.validation import _check_sample_weight

from .encoding import is_missing

FEWEST_ROWS = 10
"""Rows of a domain below which no expert can start from it, and be judged on rows held out."""


class Domains(NamedTuple):
    """Which domain each row comes from.

    Attributes
    ----------
    names : tuple of str, length K
        In the order of their labels.
    codes : ndarray of shape (n_given,), dtype intp
        Position of each row's domain; -1 for a row of weight 0 of a domain that has no others.
    """

    names: tuple[str, ...]
    codes: np.ndarray

    @classmethod
    def of(cls, domains: Any, sample_weight: Any = None) -> Domains:
        """Domains of labels (n_given,); rows of weight 0 are absent.

        Raises
        ------
        ValueError
            If labels are missing, or if a domain has too few rows.
        """
        labels = column_or_1d(domains, dtype=None)
        _check_there(labels)
        if labels.dtype.kind not in "biufSUM":
            labels = labels.astype(str)  # others need not have an order
        present = labels
        if sample_weight is not None:
            weight = _check_sample_weight(sample_weight, labels, dtype=np.float64)
            present = labels[weight > 0] if (weight > 0).any() else labels
        known, counts = np.unique(present, return_counts=True)
        if (counts < FEWEST_ROWS).any():
            few = {str(label): int(n) for label, n in zip(known, counts, strict=True)}
            few = dict(sorted(few.items(), key=lambda item: item[1])[:5])
            raise ValueError(
                f"domains: an expert needs at least {FEWEST_ROWS} rows of positive weight to "
                f"start from, and the smallest of {len(known)} domains have {few}; join domains, "
                "or leave out their rows"
            )
        codes = np.searchsorted(known, labels)
        codes[~np.isin(labels, known)] = -1
        return cls(tuple(str(label) for label in known), codes)

    def start(self, names: tuple[str, ...]) -> np.ndarray:
        """Responsibilities (n_given, K): each row is that of the expert named like its domain."""
        columns = np.array([names.index(name) for name in self.names])
        start = np.full((len(self.codes), len(names)), 1.0 / len(names))
        known = self.codes >= 0
        start[known] = np.eye(len(names))[columns[self.codes[known]]]
        return start


def _check_there(labels):
    absent = [is_missing(label) for label in labels.tolist()]
    if any(absent):
        raise ValueError(
            f"domains: {sum(absent)} labels are missing, the first in row {absent.index(True)}; "
            "give those rows a domain of their own, or leave them out"
        )
