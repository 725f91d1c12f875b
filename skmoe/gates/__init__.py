"""Gates: small estimators that learn which expert is responsible for a row."""

from ._classifier import ClassifierGate
from ._softmax import SoftmaxGate

__all__ = ["ClassifierGate", "SoftmaxGate"]
