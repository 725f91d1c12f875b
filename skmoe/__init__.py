"""Mixtures of experts over arbitrary scikit-learn estimators."""

from . import datasets, gates, io
from ._classifier import MixtureOfExpertsClassifier
from ._regressor import MixtureOfExpertsRegressor
from ._version import __version__
from .gates import SoftmaxGate
from .io import dump, inspect, load

__all__ = [
    "MixtureOfExpertsClassifier",
    "MixtureOfExpertsRegressor",
    "SoftmaxGate",
    "__version__",
    "datasets",
    "dump",
    "gates",
    "inspect",
    "io",
    "load",
]
