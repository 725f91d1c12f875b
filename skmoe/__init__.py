"""Mixtures of experts over arbitrary scikit-learn estimators."""

from . import exceptions, fitted
from ._classifier import MixtureOfExpertsClassifier
from ._compat import name_publicly
from ._prediction.distribution import PredictiveDistribution
from ._regressor import MixtureOfExpertsRegressor
from ._version import __version__
from .gates import ClassifierGate, CosineGate, GaussianGate, HierarchicalGate, SoftmaxGate
from .io import dump, load, read_manifest

__all__ = [
    "ClassifierGate",
    "CosineGate",
    "GaussianGate",
    "HierarchicalGate",
    "MixtureOfExpertsClassifier",
    "MixtureOfExpertsRegressor",
    "PredictiveDistribution",
    "SoftmaxGate",
    "__version__",
    "datasets",
    "dump",
    "exceptions",
    "fitted",
    "gates",
    "inspection",
    "io",
    "load",
    "onnx",
    "metrics",
    "read_manifest",
    "tables",
    "to_onnx",
]

name_publicly(globals())


def __getattr__(name):
    """Import what few need only when it is asked for."""
    if name == "to_onnx":
        from .onnx import to_onnx

        return to_onnx
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
