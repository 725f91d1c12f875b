"""Arrays as NumPy's own files, without pickled objects in either direction."""

from __future__ import annotations

import io
from typing import Any

import numpy as np


def is_plain_array(value: Any) -> bool:
    """Whether an array can be written without pickling."""
    return type(value) in (np.ndarray, np.memmap) and not value.dtype.hasobject


def array_to_bytes(array: np.ndarray) -> bytes:
    """Content of a .npy file."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array), allow_pickle=False)
    return buffer.getvalue()


def array_from_bytes(content: bytes) -> np.ndarray:
    """Array in the content of a .npy file.

    Raises
    ------
    ValueError
        If it is not the content of such a file, if it needs pickling, or if its header promises
        another number of bytes than follow: no memory is reserved on the word of a header.
    """
    buffer = io.BytesIO(content)
    version = np.lib.format.read_magic(buffer)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ValueError(f"version {version} of the .npy format")
    shape, fortran_order, dtype = readers[version](buffer)
    if dtype.hasobject:
        raise ValueError("an array of objects")
    data = content[buffer.tell() :]
    size = dtype.itemsize
    for length in shape:
        size *= length
    if size != len(data) or min(shape, default=0) < 0:
        raise ValueError(f"{len(data)} bytes for an array of shape {shape} and type {dtype}")
    array = np.ndarray(shape, dtype, data, order="F" if fortran_order else "C")
    return array.copy(order="K")
