"""Mixtures as ONNX graphs, which are evaluated without Python; extra ``onnx``."""

from ._convert import to_onnx
from ._errors import ConversionError, ReplayError
from ._register import register_converters
from ._replay import verify

__all__ = ["ConversionError", "ReplayError", "register_converters", "to_onnx", "verify"]

# Tracebacks and documentation name these by where users import them from.
for _class in (ConversionError, ReplayError):
    _class.__module__ = __name__
