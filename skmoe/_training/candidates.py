"""What the search has to choose from."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import issparse

from .._data.weights import last_step
from .._experts.kinds import is_linear, of_different_kinds
from ..gates._softmax import SoftmaxGate
from ..gates._terms import most_terms
from .settings import TrainingSettings

OVERLAPS = (0.0, 0.1, 0.3, 1.0)
"""Candidates of ``overlap="auto"``, from the classical mixture to stacking."""

FIRST_OVERLAP = 0.1
"""The one that starts are compared with."""

MOST_TERMS = 10_000_000
"""Numbers in the columns of a gate beyond which products and splines are not tried unasked."""

TERMS = ("linear", "products", "splines")
"""Candidates of a gate's ``terms="auto"``, the simplest first."""

NUMBERS = (2, 4, 8, 16)
"""Candidates of ``n_experts="auto"``."""

FIRST_NUMBER = 4
"""The number of experts that starts and overlaps are compared with, and that of ``None``."""

FIRST_NUMBER_OF_LINEAR = 8
"""The same for linear experts, of which many are seldom too many."""

ROWS_PER_EXPERT = 25
"""Fewer rows than this for each are no ground for another number of experts."""


def terms_to_try(settings: TrainingSettings, Z: Any, linear: bool = False) -> tuple[str, ...]:
    """Terms to choose from for the gate that stands in for ``gate=None``.

    Products and splines are tried where the overlap is left to be decided, too, or experts cost
    next to nothing, and where they are no burden; in-sample likelihoods would always be for them.

    Parameters
    ----------
    settings : TrainingSettings
    Z : array, sparse matrix or frame of shape (n_samples, n_gate_features)
    linear : bool, default=False
        Whether all experts are linear.

    Returns
    -------
    terms : tuple of str
    """
    n_samples, n_features = Z.shape
    large = n_samples * most_terms(n_features) > MOST_TERMS
    undecided = (linear or settings.overlap == "auto") and settings.e_step != "insample"
    sparse = issparse(Z) or hasattr(Z, "sparse")  # which frames of sparse columns have
    return TERMS if undecided and not large and not sparse else TERMS[:1]


def most_experts(mixture: Any) -> int:
    """How many clones there may be at most, whatever the number of rows."""
    if not number_is_free(mixture):
        return FIRST_NUMBER if mixture.n_experts is None else mixture.n_experts
    return max(NUMBERS[-1], numbers_to_try(mixture.init, mixture.top_k, mixture.e_step, 0)[-1])


def number_is_free(mixture: Any) -> bool:
    """Whether the number of clones is to be chosen on held-out rows.

    It is where that is asked for. It is by default for linear experts, of which a search costs
    little, and the right number is worth much; but a start, or a gate of another kind, may be for
    so many and no others.
    """
    if mixture.n_experts is not None:
        return mixture.n_experts == "auto"
    expert = mixture._default_expert() if mixture.experts is None else mixture.experts
    softmax = mixture.gate is None or isinstance(last_step(mixture.gate), SoftmaxGate)
    return is_linear(expert) and softmax and isinstance(mixture.init, str) and mixture.overlap != 1


def numbers_to_try(init: Any, top_k: int | None, e_step: str, n_samples: int) -> tuple[int, ...]:
    """Numbers of experts to choose from for ``n_experts="auto"``.

    Parameters
    ----------
    init : str, array-like or callable
        Responsibilities that are given say for how many experts.
    top_k : int or None
        There are to be at least so many.
    e_step : str
        In-sample likelihoods would always be for more experts: they do not choose.
    n_samples : int

    Returns
    -------
    numbers : tuple of int
        Rising; never empty.
    """
    if not isinstance(init, str) and not callable(init):
        return (np.shape(init)[-1] if np.ndim(init) == 2 else FIRST_NUMBER,)
    least = 1 if top_k is None else int(top_k)
    numbers = [number for number in NUMBERS if number >= least]
    if not numbers:
        return (least,)
    if e_step == "insample":
        return (FIRST_NUMBER,) if FIRST_NUMBER in numbers else tuple(numbers[:1])
    credible = [number for number in numbers if number * ROWS_PER_EXPERT <= n_samples]
    return tuple(credible or numbers[:1])


def first_overlap(overlaps: tuple[float, ...], to_merge: bool) -> float:
    """The candidate to begin with: experts that may be merged are best left to their own rows."""
    return FIRST_OVERLAP if FIRST_OVERLAP in overlaps and not to_merge else overlaps[0]


def first_number(numbers: tuple[int, ...], linear: bool) -> int:
    """The candidate to begin with, or the nearest to it that there is."""
    first = FIRST_NUMBER_OF_LINEAR if linear else FIRST_NUMBER
    return first if first in numbers else numbers[0] if numbers[0] > first else numbers[-1]


def candidate_overlaps(overlap: float | str, templates: tuple[Any, ...]) -> tuple[float, ...]:
    """Overlaps to try; experts of different kinds need no overlap of the rows to be different."""
    if overlap != "auto":
        return (float(overlap),)
    if len(templates) == 1:  # all overlaps are the same model
        return OVERLAPS[:1]
    return OVERLAPS[-1:] if of_different_kinds(templates) else OVERLAPS
