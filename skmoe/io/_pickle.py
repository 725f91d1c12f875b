"""joblib's pickles: canonical bytes when writing, arrays mapped from any place when reading.

`joblib.load` reads what is written here. Its functions do not offer what these classes add.
"""

from __future__ import annotations

import functools
import inspect
import io
from typing import Any

import numpy as np
from joblib.numpy_pickle import NumpyPickler, NumpyUnpickler


class CanonicalPickler(NumpyPickler):
    """Writes zeros between the fields of structured arrays, where memory holds anything.

    The nodes of scikit-learn's trees have such gaps, whose content differs from process to
    process.
    """

    def save(self, obj: Any) -> Any:
        """Pickle an object; pickle calls this for each part of the object."""
        if not isinstance(obj, np.ndarray):  # joblib has nothing to add, and this is quicker
            return super(NumpyPickler, self).save(obj)
        if type(obj) is np.ndarray and obj.dtype.names and gaps(obj.dtype):
            obj = without_garbage(obj)
        return super().save(obj)


class Pieces:
    """A file that keeps what is written as it comes: nothing is copied to where there is room."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.size = 0

    def write(self, data: Any) -> int:
        """Keep some bytes."""
        piece = bytes(data)  # of bytes this is no copy
        self.pieces.append(piece)
        self.size += len(piece)
        return len(piece)

    def tell(self) -> int:
        """Bytes so far."""
        return self.size


def to_pickle(value: Any) -> list[bytes]:
    """Bytes of a pickle as `joblib.dump` would write it, in pieces."""
    file = Pieces()
    CanonicalPickler(file).dump(value)
    return file.pieces


@functools.lru_cache
def gaps(dtype: np.dtype) -> tuple[slice, ...]:
    """Bytes of an item of a structured type that belong to no field."""
    if dtype.hasobject or not dtype.fields:
        return ()
    taken = sorted((field[1], field[1] + field[0].itemsize) for field in dtype.fields.values())
    ends = [0, *(end for _, end in taken)]
    starts = [*(start for start, _ in taken), dtype.itemsize]
    return tuple(slice(end, start) for end, start in zip(ends, starts, strict=True) if end < start)


def without_garbage(array: np.ndarray) -> np.ndarray:
    """Copy of a structured array with zeros in its gaps."""
    if not array.flags.c_contiguous:
        array = array.copy()
    raw = array.reshape(-1).view(np.uint8).reshape(-1, array.dtype.itemsize).copy()
    for gap in gaps(array.dtype):
        raw[:, gap] = 0
    return raw.reshape(-1).view(array.dtype).reshape(array.shape)


class ShiftedBytes(io.BytesIO):
    """Bytes of a member that tell positions within the whole file, as joblib maps it."""

    def __init__(self, content: bytes, offset: int) -> None:
        super().__init__(content)
        self.offset = offset

    def tell(self) -> int:
        """Position in the file."""
        return super().tell() + self.offset

    def seek(self, position: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position in the file."""
        start = self.offset if whence == io.SEEK_SET else 0
        return super().seek(position - start, whence) + self.offset


def from_pickle_mapped(content: bytes, path: str, offset: int, mmap_mode: str) -> Any:
    """Unpickle verified bytes, with arrays memory-mapped from where they are in a file.

    `joblib.load` maps only files that hold nothing but one pickle; the class behind it takes any
    position in a file.
    """
    arguments: dict[str, Any] = {"mmap_mode": mmap_mode}
    if "ensure_native_byte_order" in inspect.signature(NumpyUnpickler).parameters:
        arguments["ensure_native_byte_order"] = False
    return NumpyUnpickler(path, ShiftedBytes(content, offset), **arguments).load()
