"""Levels and sets whose coverage held-out rows vouch for.

A score says how badly a row's target fits its prediction, in the place that it has among the
scores of held-out rows: split conformal prediction (Vovk et al., 2005) with held-out predictions
in the place of those for a calibration set.

References
----------
Vovk, V., Gammerman, A. and Shafer, G. (2005). Algorithmic Learning in a Random World. Springer.

Sadinle, M., Lei, J. and Wasserman, L. (2019). Least ambiguous set-valued classifiers with bounded
error levels. Journal of the American Statistical Association, 114(525), 223-234.
"""

from __future__ import annotations

import math

import numpy as np
from sklearn.utils.validation import check_is_fitted


def score_threshold(scores, coverage) -> float:
    """Score that as many held-out rows keep to as the coverage asks for.

    Parameters
    ----------
    scores : ndarray of shape (n,)
        Sorted; a larger one is a worse fit.
    coverage : float
        Between 0 and 1.

    Returns
    -------
    threshold : float
        The ``ceil((n + 1) coverage)``-th smallest score; infinite where there are too few rows to
        vouch for that much.
    """
    rank = math.ceil(round((len(scores) + 1) * coverage, 9))  # 0.9 * 10 is not above 9
    if rank > len(scores):
        return math.inf
    return float(scores[max(rank, 1) - 1])


def held_out_scores(mixture, what) -> np.ndarray:
    """Scores of the held-out rows of a fitted mixture.

    Raises
    ------
    NotFittedError
    ValueError
        If there are none; `what` needs them.
    """
    check_is_fitted(mixture)
    scores = getattr(mixture, "_held_out_scores", None)  # of models fitted before there were any
    if scores is None:
        raise ValueError(
            f"{what} need held-out predictions, of which this model has none: they are not made "
            "with e_step='insample', and tell nothing of experts that have been dropped since; "
            "fit with e_step='crossfit', or anew"
        )
    return scores


def central_scores(distribution, target) -> np.ndarray:
    """Level of the central interval that ends at the target, shape of the target, sorted by row.

    Twice the distance of the probability integral transform from one half.
    """
    return np.sort(np.abs(2.0 * distribution.cdf(target) - 1.0), axis=0)


def label_scores(proba, codes) -> np.ndarray:
    """One less the probability of each row's class, shape (n,), sorted."""
    return np.sort(1.0 - proba[np.arange(len(codes)), codes])


def likely_labels(proba, threshold) -> np.ndarray:
    """Boolean (n, C): classes whose score keeps to the threshold, and always the likeliest."""
    chosen = 1.0 - proba <= threshold
    if len(proba):
        chosen[np.arange(len(proba)), proba.argmax(axis=1)] = True
    return chosen


def check_coverage(coverage, several=False) -> np.ndarray:
    """Coverage as an array of no or one dimension.

    Raises
    ------
    ValueError
        If it is not strictly between 0 and 1.
    """
    levels = np.asarray(coverage)
    is_number = levels.dtype.kind in "iuf" and levels.ndim <= int(several)
    if not is_number or not np.all((levels > 0) & (levels < 1)):
        kind = "a number or a list of numbers" if several else "a number"
        raise ValueError(f"coverage must be {kind} between 0 and 1, got {coverage!r}")
    return levels.astype(np.float64)
