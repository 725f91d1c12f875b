"""An estimator as the code that makes it."""

from __future__ import annotations

import inspect
import sys

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.model_selection import BaseCrossValidator
from sklearn.pipeline import Pipeline, make_pipeline

WIDTH = 99


def to_code(model):
    """The Python code that makes an unfitted copy of an estimator, imports included.

    Parameters
    ----------
    model : estimator
        Only what differs from the defaults is written. Parameters may be estimators, lists, dicts,
        functions and classes that can be imported, numbers and strings.

    Returns
    -------
    code : str
        Ends in an assignment to ``model``.

    Raises
    ------
    ValueError
        If a parameter cannot be written as code; the error names it.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.tables import to_code
    >>> print(to_code(MixtureOfExpertsRegressor(Ridge(alpha=2.0), n_experts=3)))
    from sklearn.linear_model import Ridge
    from skmoe import MixtureOfExpertsRegressor
    <BLANKLINE>
    model = MixtureOfExpertsRegressor(experts=Ridge(alpha=2.0), n_experts=3)
    """
    imports: set[tuple[str, str]] = set()
    code = "model = " + _code(model, imports, "", len("model = "))
    by_module: dict[str, list[str]] = {}
    for module, name in sorted(imports):
        by_module.setdefault(module, []).append(name)
    lines = [_import_line(module, names) for module, names in by_module.items()]
    return "\n".join([*lines, "", code])


def _import_line(module, names):
    line = f"from {module} import {', '.join(names)}"
    if len(line) <= WIDTH:
        return line
    return "\n".join([f"from {module} import (", *(f"    {name}," for name in names), ")"])


def _code(value, imports, indent, used):
    """One value as code; broken into lines if it does not fit behind `used` characters."""
    if isinstance(value, Pipeline) and _is_named_by_type(value):
        imports.add(("sklearn.pipeline", "make_pipeline"))
        steps = [("", step) for _, step in value.steps]
        return _enclosed("make_pipeline(", steps, ")", imports, indent, used)
    if isinstance(value, BaseEstimator | BaseCrossValidator):
        return _call(value, imports, indent, used)
    if isinstance(value, dict):
        parts = [(f"{key!r}: ", each) for key, each in value.items()]
        return _enclosed("{", parts, "}", imports, indent, used)
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        left, right = "[]" if isinstance(value, list) else "()"
        right = ",)" if isinstance(value, tuple) and len(value) == 1 else right
        return _enclosed(left, [("", each) for each in value], right, imports, indent, used)
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        imports.add(("numpy", "array"))
        return _enclosed("array(", [("", value.tolist())], ")", imports, indent, used)
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return f"float({str(value)!r})"
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    if inspect.isclass(value) or inspect.isroutine(value) or isinstance(value, np.ufunc):
        return _imported(value, imports)
    raise ValueError(f"{value!r} cannot be written as code")


def _is_named_by_type(pipeline):
    """Whether `make_pipeline` makes the same pipeline."""
    made = make_pipeline(*(step for _, step in pipeline.steps))
    settings = ("memory", "transform_input", "verbose")
    return [name for name, _ in made.steps] == [name for name, _ in pipeline.steps] and all(
        getattr(pipeline, name, None) == getattr(made, name, None) for name in settings
    )


def _call(thing, imports, indent, used):
    """An estimator or a splitter: attributes have the names of the parameters."""
    given = [
        (f"{name}=", getattr(thing, name))
        for name, parameter in inspect.signature(type(thing)).parameters.items()
        if not _is_same(getattr(thing, name), parameter.default)
    ]
    opening = _imported(type(thing), imports) + "("
    return _enclosed(opening, given, ")", imports, indent, used)


def _is_same(value, default):
    if value is default:
        return True
    same = type(value) is type(default) and not isinstance(value, BaseEstimator)
    return same and not isinstance(value, np.ndarray) and repr(value) == repr(default)


def _enclosed(left, parts, right, imports, indent, used):
    """What is between brackets, in one line if it fits, otherwise a line for each part."""
    flat = ", ".join(name + _code(each, imports, "", -1) for name, each in parts)
    if used < 0 or used + len(left) + len(flat) + len(right) < WIDTH:
        return left + flat + right
    if left == "(" or len(parts) == 1:  # the last part alone is broken
        *names, last = parts
        before = left + "".join(name + _code(each, imports, "", -1) + ", " for name, each in names)
        before += last[0]
        if not isinstance(last[1], str) and used + len(before) < WIDTH:
            return before + _code(last[1], imports, indent, used + len(before)) + right
    deeper = indent + "    "
    lines = [
        deeper + name + _code(each, imports, deeper, len(deeper + name)) + ","
        for name, each in parts
    ]
    return "\n".join([left, *lines, indent + right.removeprefix(",")])


def _imported(thing, imports):
    """Name of a class or function, which is added to the imports from its public module."""
    name = thing.__name__ if isinstance(thing, np.ufunc) else thing.__qualname__
    if not name.isidentifier():
        raise ValueError(f"{thing!r} cannot be imported, so it cannot be written as code")
    imports.add((_public_module(thing), name))
    return name


def _public_module(thing):
    """The shortest package that offers a class or function under its name."""
    if isinstance(thing, np.ufunc):
        return "numpy" if hasattr(np, thing.__name__) else "scipy.special"
    parts = thing.__module__.split(".")
    for length in range(1, len(parts)):
        module = sys.modules.get(".".join(parts[:length]))
        if getattr(module, thing.__name__, None) is thing:
            return ".".join(parts[:length])
    return thing.__module__
