"""The optional libraries, imported when they are needed."""

from __future__ import annotations

import importlib
from typing import Any


def import_library(name: str) -> Any:
    """A library of the extra ``onnx``, or an error that says how to get it.

    Parameters
    ----------
    name : {"onnx", "skl2onnx", "onnxruntime"}

    Returns
    -------
    library : module

    Raises
    ------
    ImportError
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"skmoe.to_onnx needs {name}: pip install 'skmoe[onnx]'") from error


def import_onnx() -> Any:
    """The library that writes graphs."""
    return import_library("onnx")
