"""What the search has to choose from."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import issparse

from .._experts.kinds import of_different_kinds
from ..gates._terms import n_terms
from .settings import TrainingSettings

OVERLAPS = (0.0, 0.1, 0.3, 1.0)
"""Candidates of ``overlap="auto"``, from the classical mixture to stacking."""

FIRST_OVERLAP = 0.1
"""The one that starts are compared with."""

MOST_TERMS = 10_000_000
"""Numbers in the features of a gate of degree 2 beyond which it is not tried unasked."""

NUMBERS = (2, 4, 8, 16)
"""Candidates of ``n_experts="auto"``."""

FIRST_NUMBER = 4
"""The number of experts that starts and overlaps are compared with."""

ROWS_PER_EXPERT = 25
"""Fewer rows than this for each are no ground for another number of experts."""


def degrees_to_try(settings: TrainingSettings, Z: Any) -> tuple[int, ...]:
    """Degrees to choose from for the gate that stands in for ``gate=None``.

    Squares and products are tried where all of training is left to be decided and where they are
    no burden; in-sample likelihoods would always be for them.

    Parameters
    ----------
    settings : TrainingSettings
    Z : array, sparse matrix or frame of shape (n_samples, n_gate_features)

    Returns
    -------
    degrees : tuple of int
    """
    n_samples, n_features = Z.shape
    large = n_samples * n_terms(n_features) > MOST_TERMS
    undecided = settings.overlap == "auto" and settings.e_step != "insample"
    sparse = issparse(Z) or hasattr(Z, "sparse")  # which frames of sparse columns have
    return (1, 2) if undecided and not large and not sparse else (1,)


def most_experts(mixture: Any) -> int:
    """How many clones there may be at most, whatever the number of rows."""
    if mixture.n_experts != "auto":
        return mixture.n_experts
    return max(NUMBERS[-1], numbers_to_try(mixture.init, mixture.top_k, mixture.e_step, 0)[-1])


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


def candidate_overlaps(overlap: float | str, templates: tuple[Any, ...]) -> tuple[float, ...]:
    """Overlaps to try; experts of different kinds need no overlap of the rows to be different."""
    if overlap != "auto":
        return (float(overlap),)
    if len(templates) == 1:  # all overlaps are the same model
        return OVERLAPS[:1]
    return OVERLAPS[-1:] if of_different_kinds(templates) else OVERLAPS
