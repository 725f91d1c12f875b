"""What stays as it is when a fit goes on from a fitted mixture."""

from __future__ import annotations

import dataclasses

import numpy as np
from sklearn.frozen import FrozenEstimator

from .._arithmetic import log_softmax
from .._experts.out_of_bag import offers_out_of_bag


def as_frozen(expert):
    """The expert in a `FrozenEstimator`, unless it is one."""
    return expert if isinstance(expert, FrozenEstimator) else FrozenEstimator(expert)


def kept_experts(mixture, previous, names, refit):
    """Names of the experts of a fitted mixture that stay as they are in the fit that follows.

    Parameters
    ----------
    mixture : estimator
        That is being fitted.
    previous : fitted estimator
        The same if a fit goes on with `warm_start`.
    names : tuple of str
        Experts from now on.
    refit : str or None
        An expert that is to be trained anew.

    Returns
    -------
    kept : tuple of str

    Raises
    ------
    ValueError
        If `warm_start` cannot go on with other experts.
    """
    fitted = tuple(previous.named_experts_)
    if previous is not mixture:
        return tuple(name for name in names if name in fitted and name != refit)
    if len(fitted) == len(names):
        return ()  # all of them are trained on
    if isinstance(mixture.experts, list) and set(fitted) < set(names):
        return fitted
    raise ValueError(
        f"warm_start=True goes on from {len(fitted)} fitted experts, but there are "
        f"{len(names)} now; give a list that holds the fitted experts {list(fitted)} and further "
        "ones, or set warm_start=False to start anew"
    )


def starting_responsibilities_of(previous, X, names):
    """Responsibilities to start from: what the gate of a fitted mixture says of each expert.

    Experts that it does not know get an equal share of each row; those that are gone leave
    theirs to the others.

    Parameters
    ----------
    previous : fitted estimator
    X : array, sparse matrix or frame of shape (n, n_features)
    names : tuple of str, length K

    Returns
    -------
    responsibilities : ndarray of shape (n, K)
    """
    fitted = tuple(previous.named_experts_)
    known = [k for k, name in enumerate(names) if name in fitted]
    columns = [fitted.index(names[k]) for k in known]
    log_proba = np.log(np.maximum(previous.gate_proba(X), np.finfo(np.float64).tiny))
    responsibilities = np.full((len(log_proba), len(names)), 1.0 / len(names))
    responsibilities[:, known] = (
        len(known) / len(names) * np.exp(log_softmax(log_proba[:, columns]))
    )
    return responsibilities


def start_for(init, fitted, names):
    """The parameter `init` for other experts, so that a later ``fit`` can start from it.

    Responsibilities that were given have a column for each expert. Experts that are new get an
    equal share of each row; those that are gone leave theirs to the others.

    Parameters
    ----------
    init : str, callable or array-like of shape (n_given, len(fitted))
    fitted, names : list of str
        Experts that it is for, and those from now on.

    Returns
    -------
    init : str, callable or ndarray of shape (n_given, len(names))
    """
    if isinstance(init, str) or callable(init) or np.shape(init)[1:] != (len(fitted),):
        return init
    if fitted == names:
        return init
    given = np.asarray(init, dtype=np.float64)
    given = given / given.sum(axis=1, keepdims=True)
    start = np.full((len(given), len(names)), 1.0 / len(names))
    known = [k for k, name in enumerate(names) if name in fitted]
    kept = given[:, [fitted.index(names[k]) for k in known]]
    total = kept.sum(axis=1, keepdims=True)
    kept = np.divide(kept, total, out=np.full(kept.shape, 1.0 / len(known)), where=total > 0)
    start[:, known] = len(known) / len(names) * kept
    return start


def kept_shared(setting, e_step, previous):
    """What shared expert a fit has that goes on from a fitted mixture.

    Parameters
    ----------
    setting : {"auto", "generalist", "consensus"} or None
    e_step : str
    previous : fitted estimator

    Returns
    -------
    shared : "consensus", FrozenEstimator or None
        A generalist stays as it is, like the experts; there is none if there was none.
    """
    if setting is None or e_step == "insample":
        return None
    shared = previous._shared
    if setting == "consensus" or (shared is not None and shared.needs_all_experts):
        return "consensus"
    return None if shared is None else as_frozen(shared.model)


def surgical_settings(settings, templates, previous):
    """Training settings that ask nothing of the kept experts.

    Out-of-bag judgement only if an expert offers it; and if no expert is trained, all overlaps
    are the same, so the one that they were trained with stays.
    """
    changes = {}
    if settings.e_step == "oob" and not any(map(offers_out_of_bag, templates)):
        changes["e_step"] = "crossfit"
    if all(isinstance(template, FrozenEstimator) for template in templates):
        changes["overlap"] = previous.overlap_
    return dataclasses.replace(settings, **changes)


def kept_as_frozen(previous, names, templates, kept):
    """Templates in which the kept experts are the fitted ones, frozen."""
    return tuple(
        as_frozen(previous.named_experts_[name]) if name in kept else template
        for name, template in zip(names, templates, strict=True)
    )


def restored(trained, previous, names, kept):
    """Training result with the kept experts as they were, and with their ranges not narrowed."""
    experts, ranges = list(trained.experts), trained.output_range.copy()
    fitted = tuple(previous.named_experts_)
    for k, name in enumerate(names):
        if name in kept:
            experts[k] = previous.named_experts_[name]
            if hasattr(previous, "prediction_range_"):
                before = previous.prediction_range_[fitted.index(name)]
                ranges[k, ..., 0] = np.minimum(ranges[k, ..., 0], before[..., 0])
                ranges[k, ..., 1] = np.maximum(ranges[k, ..., 1], before[..., 1])
    shared = trained.shared
    if shared is not None and isinstance(shared.model, FrozenEstimator):  # see `kept_shared`
        shared = dataclasses.replace(shared, model=previous._shared.model)
    return trained._replace(experts=experts, output_range=ranges, shared=shared)
