"""Class labels, of one output or of several side by side, and their codes."""

from __future__ import annotations

import numpy as np
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from .rows import target_given


def check_class_target(estimator, y, n_outputs=None):
    """Validate class labels.

    Parameters
    ----------
    estimator : estimator
        For errors.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
    n_outputs : int, default=None
        How many outputs there have to be if they are several; None means any number.

    Returns
    -------
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        A single column has become the former.

    Raises
    ------
    ValueError
        If y is missing, does not hold class labels, or has another number of outputs.
    """
    y = target_given(estimator, y, dtype=None)
    if y.ndim == 1 or y.shape[1] == 1:
        y = column_or_1d(y, warn=True)
    check_classification_targets(y)
    if n_outputs is not None and y.shape[1:] != (n_outputs,):
        raise ValueError(
            f"y has the shape {y.shape}; {n_outputs} outputs were expected, as in fit"
        )
    return y


def output_classes(estimator, y, known=None):
    """Sorted classes of each output.

    Parameters
    ----------
    estimator : estimator
        For errors.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
    known : list of ndarray, default=None
        Classes that there are besides, of each output.

    Returns
    -------
    classes : list of ndarray
        One for each output.

    Raises
    ------
    ValueError
        If an output has fewer than two, or if there are other outputs than those known.
    """
    classes = [np.unique(labels) for labels in y.reshape(len(y), -1).T]
    if known is not None:
        if len(known) != len(classes):
            raise ValueError(
                f"y has {len(classes)} outputs, and had {len(known)} in the fit that this goes "
                "on from"
            )
        classes = [np.union1d(*pair) for pair in zip(known, classes, strict=True)]
    for output, own in enumerate(classes):
        if len(own) < 2:
            place = f" in output {output}" if len(classes) > 1 else ""
            raise ValueError(
                f"{type(estimator).__name__} needs at least 2 classes in the rows of positive "
                f"weight, got 1 class{place}: {own[0]!r}"
            )
    return classes


def class_codes(y, classes):
    """Positions of labels (n_samples,) among the sorted classes.

    Raises
    ------
    ValueError
        If there are labels of no class.
    """
    unknown = np.setdiff1d(y, classes)
    if len(unknown):
        raise ValueError(f"y holds labels that fit has not seen: {list(unknown)}")
    return np.searchsorted(classes, y)


def output_codes(y, classes):
    """The same of several outputs: labels (n_samples, n_outputs), and classes of each."""
    outputs = zip(y.T, classes, strict=True)
    return np.column_stack([class_codes(labels, own) for labels, own in outputs])
