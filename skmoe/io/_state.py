"""A mixture's attributes as a tree of plain values, with references to what is not plain.

In the tree (``state.json``) numbers, strings, booleans, None and lists stand for themselves. All
else is a JSON object with one key, its *tag*:

==================  ===========================================================================
``{"tuple": []}``   also ``"dict"`` (list of pairs), ``"bunch"`` (names to values), ``"slice"``
``{"float": ""}``   nan, inf or -inf
``{"scalar": []}``  a NumPy scalar: its type and value
``{"objects": []}``  an array of Python objects: shape and items
``{"array": ""}``   name of the member that holds the array
``{"object": ""}``  name of the member that holds the pickled (or skops) object
``{"expert": 0}``   that one of the mixture's experts
``{"instance": []}``  an object of a class of skmoe: name of the class and attributes
==================  ===========================================================================

One object that is found twice is written once and is one object again after loading, as long as
it is an array, an expert or an object with a member of its own.
"""

from __future__ import annotations

import dataclasses
import importlib
import re
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import Bunch

from ._arrays import is_plain_array

PLAIN_TYPES = (type(None), bool, int, str)

SCALAR_KINDS = "biufUS"


class Encoder:
    """Turns attributes into a tree and collects what the tree refers to.

    Parameters
    ----------
    experts : list
        They are referred to by number wherever they are found.

    Attributes
    ----------
    arrays : dict of str -> ndarray
        Arrays by the name of their member.
    objects : dict of str -> (str, object)
        Path within the model and object by the name of their member, which lacks its suffix.
    """

    def __init__(self, experts: list[Any]) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self.objects: dict[str, tuple[str, Any]] = {}
        # Also holds the objects themselves, lest an id be used again while we run.
        self._seen: dict[int, tuple[Any, dict[str, Any]]] = {}
        for number, expert in enumerate(experts):
            self._seen.setdefault(id(expert), (expert, {"expert": number}))

    def encode(self, value: Any, path: tuple[str, ...] = ()) -> Any:
        """Tree of a value that is found under `path` in the model."""
        if id(value) in self._seen:
            return self._seen[id(value)][1]
        kind = type(value)
        if kind in PLAIN_TYPES:
            return value
        if kind is float:
            return value if np.isfinite(value) else {"float": repr(value)}
        if kind is list:
            return [self.encode(item, (*path, str(i))) for i, item in enumerate(value)]
        if kind is tuple:
            return {"tuple": self.encode(list(value), path)}
        if kind is slice:
            return {"slice": self.encode([value.start, value.stop, value.step], path)}
        if kind is dict:
            return {
                "dict": [
                    [self.encode(key, path), self.encode(item, (*path, str(key)))]
                    for key, item in value.items()
                ]
            }
        if kind is Bunch and all(type(key) is str for key in value):
            return {"bunch": {key: self.encode(item, (*path, key)) for key, item in value.items()}}
        if isinstance(value, np.generic) and value.dtype.kind in SCALAR_KINDS:
            item = value.item()
            if type(item) in (*PLAIN_TYPES, float):
                return {"scalar": [value.dtype.str, self.encode(item, path)]}
        return self._encode_shared(value, path)

    def _encode_shared(self, value: Any, path: tuple[str, ...]) -> dict[str, Any]:
        if is_plain_array(value):
            name = self._array_name(path)
            self.arrays[name] = value
            tree: dict[str, Any] = {"array": name}
        elif type(value) is np.ndarray:
            items = [self.encode(item, path) for item in value.ravel().tolist()]
            tree = {"objects": [list(value.shape), items]}
        elif class_name(type(value)) is not None:
            state = attributes(value)
            tree = {
                "instance": [
                    class_name(type(value)),
                    {key: self.encode(item, (*path, key)) for key, item in state.items()},
                ]
            }
        else:
            name = f"objects/{len(self.objects)}"
            self.objects[name] = (".".join(path), value)
            tree = {"object": name}
        self._seen[id(value)] = (value, tree)
        return tree

    def _array_name(self, path: tuple[str, ...]) -> str:
        stem = "/".join(re.sub(r"\W", "_", part, flags=re.ASCII) or "_" for part in path)
        name, number = f"state/{stem}.npy", 1
        while name in self.arrays:
            number += 1
            name = f"state/{stem}-{number}.npy"
        return name


class Decoder:
    """Turns a tree back into attributes.

    Parameters
    ----------
    experts : list
    get_array, get_object : callable
        Called with the name of a member; called once for each.
    """

    def __init__(
        self,
        experts: list[Any],
        get_array: Callable[[str], np.ndarray],
        get_object: Callable[[str], Any],
    ) -> None:
        self.experts = experts
        self.get = {"array": get_array, "object": get_object}
        self.found: dict[tuple[str, str], Any] = {}
        self.read = {
            "tuple": lambda items: tuple(self.decode(items)),
            "slice": lambda ends: slice(*self.decode(ends)),
            "dict": lambda pairs: {self.decode(key): self.decode(item) for key, item in pairs},
            "bunch": lambda items: Bunch(**{k: self.decode(item) for k, item in items.items()}),
            "float": float,
            "scalar": lambda pair: self._scalar(*pair),
            "objects": self._object_array,
            "array": lambda name: self._member("array", name),
            "object": lambda name: self._member("object", name),
            "expert": lambda number: self.experts[number],
            "instance": lambda pair: self._instance(*pair),
        }

    def decode(self, tree: Any) -> Any:
        """Value of a tree.

        Raises
        ------
        Exception
            Of any kind if the tree is not one that `Encoder` makes; no code of the file is run.
        """
        if isinstance(tree, list):
            return [self.decode(item) for item in tree]
        if isinstance(tree, dict):
            ((tag, content),) = tree.items()
            return self.read[tag](content)
        return tree

    def _scalar(self, name: str, item: Any) -> Any:
        dtype = np.dtype(name)
        if dtype.kind not in SCALAR_KINDS:  # np.void(10**9) would take so many bytes
            raise ValueError(f"a scalar of type {dtype}")
        return dtype.type(self.decode(item))

    def _object_array(self, content: Any) -> np.ndarray:
        shape, items = content
        array = np.empty(len(items), dtype=object)
        for position, item in enumerate(items):
            array[position] = self.decode(item)
        return array.reshape(shape)

    def _member(self, tag: str, name: str) -> Any:
        if (tag, name) not in self.found:
            self.found[tag, name] = self.get[tag](name)
        return self.found[tag, name]

    def _instance(self, name: str, state: dict[str, Any]) -> Any:
        return build(find_class(name), {key: self.decode(item) for key, item in state.items()})


def is_own(kind: Any) -> bool:
    """Whether something is a class of skmoe that is written attribute by attribute."""
    return (
        isinstance(kind, type)
        and kind.__module__.split(".")[0] == "skmoe"
        and (issubclass(kind, BaseEstimator) or dataclasses.is_dataclass(kind))
    )


def is_mixture(kind: Any) -> bool:
    """Whether something is one of skmoe's own mixtures."""
    return is_own(kind) and hasattr(kind, "predict_experts")


def fitted_mixtures(model: Any) -> dict[str, Any]:
    """Fitted mixtures that an estimator contains, by the path of attributes that leads there."""
    found: dict[str, Any] = {}
    pending, seen = [("", model)], {id(model): model}
    while pending:
        path, value = pending.pop()
        if is_mixture(type(value)):
            if hasattr(value, "experts_"):
                found[path] = value
            continue
        for name, part in parts(value):
            if id(part) not in seen:
                seen[id(part)] = part
                pending.append((f"{path}.{name}".removeprefix("."), part))
    return dict(sorted(found.items()))


def parts(value: Any) -> list[tuple[str, Any]]:
    """Name and value of all that a container, or an object of a class in Python, holds."""
    if isinstance(value, dict):
        return [(str(name), part) for name, part in value.items()]
    if isinstance(value, np.ndarray):
        value = value.tolist() if value.dtype.hasobject else ()
    if isinstance(value, list | tuple):
        return [(str(number), part) for number, part in enumerate(value)]
    if isinstance(value, type | FunctionType | ModuleType):
        return []
    return list(getattr(value, "__dict__", {}).items())


def class_name(kind: type) -> str | None:
    """Name of a class of skmoe; None for other classes."""
    return f"{kind.__module__}.{kind.__qualname__}" if is_own(kind) else None


def find_class(name: str) -> type:
    """Class of skmoe with this name, or which had it; nothing outside of skmoe is ever imported.

    Raises
    ------
    ValueError, ImportError, AttributeError
    """
    module, _, attribute = name.rpartition(".")
    if module.split(".")[0] != "skmoe":
        raise ValueError(f"{name!r} is no class of skmoe")
    kind = getattr(importlib.import_module(module), attribute)
    if not is_own(kind):
        raise ValueError(f"{name!r} is no class of skmoe")
    return kind


def attributes(value: Any) -> dict[str, Any]:
    """What to write of an object of a class of skmoe: what pickle would write, but callbacks.

    Those are there for the process that fits, and may hold its connections.
    """
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return {key: part for key, part in value.__getstate__().items() if key != "_skl_callbacks"}


def build(kind: type, state: dict[str, Any]) -> Any:
    """Build an object of a class of skmoe from its attributes, as pickle would."""
    value: Any = object.__new__(kind)
    value.__setstate__(state)
    return value
