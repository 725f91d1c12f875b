"""Mixtures of experts over arbitrary scikit-learn estimators."""

from ._classifier import MixtureOfExpertsClassifier
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
    "gates",
    "inspection",
    "io",
    "load",
    "metrics",
    "read_manifest",
]
