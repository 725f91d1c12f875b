"""Gates: small estimators that learn which expert is responsible for a row."""

from .._compat import name_publicly
from ._base import BaseGate
from ._classifier import ClassifierGate
from ._cosine import CosineGate
from ._gaussian import GaussianGate
from ._hierarchical import HierarchicalGate
from ._softmax import SoftmaxGate

__all__ = [
    "BaseGate",
    "ClassifierGate",
    "CosineGate",
    "GaussianGate",
    "HierarchicalGate",
    "SoftmaxGate",
]

name_publicly(globals())
