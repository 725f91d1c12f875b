"""What is learned from: rows, target, folds and likelihood."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._likelihoods import Likelihood
from .folds import Folds
from .rows import TrainingData


class Problem(NamedTuple):
    """The rows of a training, and how what is said of them is judged.

    Attributes
    ----------
    data : TrainingData
    target : ndarray
        ``y`` as the likelihood takes it: class codes, or real numbers.
    folds : Folds
    likelihood : Likelihood
    n_jobs : int or None
        Models that are fitted at a time.
    """

    data: TrainingData
    target: np.ndarray
    folds: Folds
    likelihood: Likelihood
    n_jobs: int | None = None

    @property
    def X(self) -> Any:
        """Features, as the experts take them."""
        return self.data.X

    @property
    def y(self) -> np.ndarray:
        """Target, as the experts take it (labels, not codes)."""
        return self.data.y

    @property
    def sample_weight(self) -> np.ndarray:
        """Weights (n,) that models are fitted with; positive."""
        return self.data.sample_weight

    @property
    def judged_weight(self) -> np.ndarray:
        """Weights (n,) in all that is learned from held-out predictions; see `Folds`."""
        return self.folds.judged_weights(self.sample_weight)
