"""Skops files without accidents: the same object gives the same bytes.

skops names members by the addresses of objects and stamps them with the time of day.
"""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

SCHEMA = "schema.json"


def canonical(content: bytes) -> bytes:
    """Number objects in the order in which they are found, and forget the time."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(members.pop(SCHEMA))
    numbers: dict[int, int] = {}
    files: dict[str, str] = {}
    renumber(schema, numbers, files)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for old, new in files.items():
            archive.writestr(zipfile.ZipInfo(new), members.pop(old))
        if members:  # a layout of skops that we do not know: better not to touch it
            return content
        archive.writestr(zipfile.ZipInfo(SCHEMA), json.dumps(schema, indent=2))
    return buffer.getvalue()


def renumber(node: Any, numbers: dict[int, int], files: dict[str, str]) -> None:
    """Replace ids and the files named after them, throughout a schema, in place."""
    if isinstance(node, list):
        for item in node:
            renumber(item, numbers, files)
    elif isinstance(node, dict):
        if isinstance(node.get("__id__"), int):
            node["__id__"] = numbers.setdefault(node["__id__"], len(numbers) + 1)
        if isinstance(node.get("file"), str) and "__loader__" in node:
            suffix = node["file"].rpartition(".")[2]
            node["file"] = files.setdefault(node["file"], f"{len(files) + 1}.{suffix}")
        for item in node.values():
            renumber(item, numbers, files)
