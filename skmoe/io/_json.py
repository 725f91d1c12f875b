"""JSON that people can read and that machines cannot be hurt by."""

from __future__ import annotations

import json
from typing import Any


def to_json(value: Any) -> bytes:
    """UTF-8 text with one line per entry, and lists of numbers or strings on one line."""
    return (_format(value, "") + "\n").encode("utf-8")


def _format(value: Any, indent: str) -> str:
    if not isinstance(value, list | dict) or not value:
        return _scalar(value)
    deeper = indent + " "
    if isinstance(value, dict):
        lines = [f"{_scalar(str(key))}: {_format(item, deeper)}" for key, item in value.items()]
        opening, closing = "{}"
    elif any(isinstance(item, list | dict) for item in value):
        lines = [_format(item, deeper) for item in value]
        opening, closing = "[]"
    else:
        return _scalar(value)
    return f"{opening}\n{deeper}" + f",\n{deeper}".join(lines) + f"\n{indent}{closing}"


_scalar = json.JSONEncoder(allow_nan=False).encode


def from_json(content: bytes) -> Any:
    """Value of UTF-8 JSON text in which no key of an object is repeated.

    Raises
    ------
    ValueError
    """
    try:
        return json.loads(content.decode("utf-8"), object_pairs_hook=_unique)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    items = dict(pairs)
    if len(items) < len(pairs):
        raise ValueError("a key is repeated")
    return items
