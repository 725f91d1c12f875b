"""What may be an expert."""

from __future__ import annotations

import numpy as np
from sklearn.base import is_classifier, is_regressor
from sklearn.ensemble import StackingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from .._data.rows import is_finite
from .._data.weights import last_step
from .._likelihoods import Categorical, CategoricalOutputs

ROUNDING = 1e-3
"""How far the probabilities of a row may sum from 1: experts compute in single precision."""

EXACT = 1e-9
"""Nearer to 1 than this the sum is taken to be 1."""

FEW_NUMBERS = 32
"""So many numbers Python adds up sooner than NumPy."""


def check_experts(estimator, experts, n_experts, default):
    """The names and unfitted estimators that `experts` and `n_experts` stand for.

    Parameters
    ----------
    estimator : estimator
        The mixture: a classifier takes classifiers with ``predict_proba``.
    experts : estimator, list of (str, estimator), or None
    n_experts : int
        Used unless `experts` is a list.
    default : estimator
        Stands in for None.

    Returns
    -------
    names : tuple of str
    templates : tuple of estimators
        The user's own objects: to be cloned.

    Raises
    ------
    TypeError
        If a member is no estimator.
    ValueError
        If the list is empty, malformed, or holds duplicate names or the wrong kind of estimator.
    """
    if not isinstance(experts, list):
        template = default if experts is None else experts
        members = [(name, template) for name in clone_names(n_experts)]
    else:
        members = _check_members(estimator, experts)
    for name, template in members:
        _check_expert(estimator, name, template)
    names, templates = zip(*members, strict=True)
    return names, templates


def clone_names(n_experts):
    """Names of the clones of one estimator."""
    return tuple(f"expert_{k}" for k in range(n_experts))


def _check_members(estimator, experts):
    for member in experts:
        if not (isinstance(member, tuple) and len(member) == 2 and isinstance(member[0], str)):
            raise ValueError(f"experts must be a list of (name, estimator) tuples, got {member!r}")
    estimator._validate_names([name for name, _ in experts])
    members = [(name, template) for name, template in experts if template != "drop"]
    if not members:
        raise ValueError(
            "experts is empty or all of its members are 'drop'; give at least one "
            "(name, estimator) tuple"
        )
    return members


def _check_expert(estimator, name, template):
    kind = type(estimator).__name__
    if isinstance(template, type) or not hasattr(template, "fit"):
        raise TypeError(
            f"expert {name!r} must be an estimator instance, got {template!r}"
            + (f"; did you mean {template.__name__}()?" if isinstance(template, type) else "")
        )
    title = f"expert {name!r} ({type(template).__name__})"
    if is_regressor(estimator):
        if not is_regressor(template):
            raise ValueError(f"{title} is no regressor; {kind} takes regressors")
    elif not is_classifier(template):
        raise ValueError(f"{title} is no classifier; {kind} takes classifiers")
    elif not _offers_probabilities(template):
        raise ValueError(
            f"{title} has no predict_proba; wrap it in "
            "sklearn.calibration.CalibratedClassifierCV, or choose another classifier"
        )
    frozen = last_step(template)
    if isinstance(frozen, FrozenEstimator):
        try:
            check_is_fitted(frozen)
        except NotFittedError as error:
            raise ValueError(
                f"{title} is frozen but not fitted; fit it before freezing"
            ) from error


def _offers_probabilities(template):
    """Whether a classifier that is not fitted yet will offer ``predict_proba``.

    Stacking shows it only when fitted, once it has its final estimator, and whatever is wrapped
    around one (a search, a threshold) shows what its estimator does.
    """
    if hasattr(template, "predict_proba"):
        return True
    if not hasattr(type(template), "predict_proba"):
        return False
    inner = last_step(template)
    if isinstance(inner, StackingClassifier):
        final = inner.final_estimator
        return final is None or _offers_probabilities(final)
    inner = getattr(inner, "estimator", None) if inner is template else inner
    return inner is not None and _offers_probabilities(inner)


def check_output(output, n_samples, likelihood, description, model):
    """Check what an expert has predicted.

    Parameters
    ----------
    output : ndarray of shape (n_samples, ...)
    n_samples : int
        Rows that it was asked about.
    likelihood : Likelihood
    description : str
        Of the expert, for errors.
    model : fitted estimator
        The expert itself.

    Returns
    -------
    output : ndarray
        Probabilities whose rows sum to 1 but for rounding are divided by their sums.

    Raises
    ------
    ValueError
        If the number of rows differs, if a value is not finite, or if a row is no distribution.
    """
    if len(output) != n_samples:
        raise ValueError(
            f"{_expert(description, model)} predicted {len(output)} rows where it was asked about "
            f"{n_samples}; an expert has to predict one value, or one row of probabilities, "
            "for each"
        )
    classes = isinstance(likelihood, Categorical)
    if classes and _are_distributions(output):
        return output
    if isinstance(likelihood, CategoricalOutputs):
        parts = zip(likelihood.outputs, likelihood.split(output), strict=True)
        return np.hstack([check_output(p, n_samples, o, description, model) for o, p in parts])
    if not is_finite(output):
        raise ValueError(
            f"{_expert(description, model)} predicted values that are not finite "
            "(NaN or infinity); scale its features, or regularise it more strongly"
        )
    return _distributions(output, _expert(description, model)) if classes else output


def _expert(description, model):
    return f"expert {description} ({type(model).__name__})"


def _are_distributions(proba):
    """Whether nothing is to be done; one look, as each costs a single row a microsecond."""
    if len(proba) == 1 and proba.size <= FEW_NUMBERS:
        row = proba[0].tolist()
        return abs(sum(row) - 1.0) <= EXACT and min(row) >= 0
    apart = np.abs(np.einsum("ij->i", proba) - 1.0)  # NaN or infinite if a probability is
    return apart.max(initial=0.0) <= EXACT and proba.min(initial=0.0) >= 0


def _distributions(proba, expert):
    sums = np.einsum("ij->i", proba)
    distance = np.abs(sums - 1.0)
    if (distance > ROUNDING).any():
        row = int(np.argmax(distance))
        raise ValueError(
            f"{expert} predicted probabilities that sum to {sums[row]:.4g} in row {row}; those of "
            "each row have to sum to 1: let its predict_proba divide them by their sum, or wrap "
            "it in sklearn.calibration.CalibratedClassifierCV"
        )
    if (proba < 0).any():
        if proba.min() < -ROUNDING:
            raise ValueError(
                f"{expert} predicted a probability of {proba.min():.4g}; none may be negative"
            )
        proba = np.maximum(proba, 0.0)
        sums = np.einsum("ij->i", proba)
        distance = np.abs(sums - 1.0)
    rounded = distance > EXACT
    if rounded.any():
        proba[rounded] /= sums[rounded, np.newaxis]
    return proba


def takes_several_outputs(tags):
    """Whether an estimator with these tags says that it takes several outputs of classes."""
    own = tags.classifier_tags  # a regressor has none
    return tags.target_tags.multi_output or (own is not None and own.multi_label)


def check_several_outputs(names, templates, n_outputs):
    """Refuse classifiers that say of themselves that they take one output, or were fitted to one.

    What is wrapped around another estimator (a search, say) need not know what that takes.

    Raises
    ------
    ValueError
    """
    for name, template in zip(names, templates, strict=True):
        last = last_step(template)
        if isinstance(last, FrozenEstimator):
            known = _fitted_outputs(last_step(last.estimator))
            if known != n_outputs:
                raise ValueError(
                    f"y has {n_outputs} outputs, and the frozen expert {name!r} was fitted with "
                    f"{known}"
                )
        if not takes_several_outputs(get_tags(template)) and not hasattr(last, "estimator"):
            raise ValueError(
                f"y has {n_outputs} outputs, and expert {name!r} ({type(template).__name__}) "
                "takes one; wrap it in sklearn.multioutput.MultiOutputClassifier, or choose "
                "trees, forests, neighbours"
            )


def _fitted_outputs(model):
    """Number of outputs of a fitted classifier, as far as it tells."""
    if isinstance(model.classes_, list) or getattr(model, "multilabel_", False):
        return len(model.classes_)
    return getattr(model, "n_outputs_", 1)


def check_frozen_classes(names, templates, classes):
    """Refuse frozen classifiers that know classes which the target lacks.

    Raises
    ------
    ValueError
    """
    for name, template in zip(names, templates, strict=True):
        if isinstance(last_step(template), FrozenEstimator):
            unknown = np.setdiff1d(template.classes_, classes)
            if len(unknown):
                raise ValueError(
                    f"frozen expert {name!r} was fitted with classes that y lacks: "
                    f"{list(unknown)}; add rows of those classes or drop the expert"
                )
