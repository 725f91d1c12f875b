"""Gates behind transformers: a Pipeline taken apart, so that these are fitted but once."""

from __future__ import annotations

from typing import Any

from sklearn import config_context
from sklearn.base import clone
from sklearn.feature_selection import SelectorMixin
from sklearn.pipeline import Pipeline

from .._data.protection import protected
from .._data.weights import last_step


def transformers_of(gate: Any) -> tuple[Pipeline, ...]:
    """The steps before the last of a gate Pipeline, and of a Pipeline that is its last step.

    Parameters
    ----------
    gate : unfitted gate

    Returns
    -------
    transformers : tuple of unfitted Pipeline
        In the order in which rows pass through them. Empty if there are none, or if one of them
        learns from targets: then it has to learn anew whenever these change.
    """
    found = []
    while isinstance(gate, Pipeline):
        if len(gate.steps) > 1:
            found.append(gate[:-1])
        gate = gate.steps[-1][1]
    return () if any(map(learns_from_targets, found)) else tuple(found)


def learns_from_targets(transformers: Pipeline) -> bool:
    """Whether one of the steps, or an estimator within one, learns from targets.

    It says so by its tags; selectors of features, which may do without, count as such.
    """
    return any(
        isinstance(part, SelectorMixin) or part.__sklearn_tags__().target_tags.required
        for part in transformers.get_params().values()
        if hasattr(part, "__sklearn_tags__") and not isinstance(part, type)
    )


def fit_transformers(transformers: tuple[Pipeline, ...], Z: Any) -> tuple[Pipeline, ...]:
    """Fitted clones of transformers, each fitted on what the one before makes of the rows."""
    fitted = []
    with config_context(enable_metadata_routing=False):  # as everywhere in a gate
        for transformer in transformers:
            fitted.append(clone(transformer))
            Z = fitted[-1].fit_transform(protected(Z))
    return tuple(fitted)


def transformed(transformers: tuple[Pipeline, ...], Z: Any) -> Any:
    """Rows as fitted transformers, one after the other, make them."""
    for transformer in transformers:
        Z = transformer.transform(protected(Z))
    return Z


def assembled(template: Any, transformers: tuple[Pipeline, ...], gate: Any) -> Any:
    """A fitted gate like the template, of fitted transformers and a fitted last step."""
    if not isinstance(template, Pipeline):
        return gate
    own = len(template.steps) > 1
    steps = list(transformers[0].steps) if own else []
    name, last = template.steps[-1]
    whole = clone(template)
    whole.steps = [*steps, (name, assembled(last, transformers[own:], gate))]
    return whole


def with_last_step(template: Any, **parameters: Any) -> Any:
    """A clone of a gate with other parameters of its last step."""
    changed = clone(template)
    last_step(changed).set_params(**parameters)
    return changed
