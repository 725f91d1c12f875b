"""What a fitted mixture is made of beside experts and gate: the records in its attributes.

Files of models name these classes by this module, wherever they are defined. They are made by
`fit` and not by users.
"""

from ._compat import name_publicly
from ._data.columns import GateColumns, NumericView
from ._data.encoding import Levels, Moments, Numbers
from ._density.errors import ErrorBins, ErrorScale, ErrorShape
from ._density.neighbours import LeafTable, Neighbours
from ._density.residual import ResidualDensity
from ._experts.labels import EncodedLabels
from ._experts.streaming import LinearMemory
from ._likelihoods import Categorical, CategoricalOutputs, Gaussian, Laplace
from ._prediction.routing import Route
from ._prediction.utilization import Utilization
from ._shared_expert.blends import ClassBlend, LinearBlend, LinearClassBlend, MeanBlend
from ._shared_expert.consensus import Consensus
from ._shared_expert.expert import SharedExpert
from ._shared_expert.opinion_gate import OpinionGate
from ._training.consequences import SurgeryReport
from ._training.lift import Lift
from ._training.losses import HeldOutLosses
from ._training.streaming import Stream
from .gates._features import Scaling
from .gates._online import GateMemory
from .gates._renormalised import RenormalisedGate
from .gates._terms import Products, Splines

__all__ = [
    "Categorical",
    "CategoricalOutputs",
    "ClassBlend",
    "Consensus",
    "EncodedLabels",
    "ErrorBins",
    "ErrorScale",
    "ErrorShape",
    "GateColumns",
    "GateMemory",
    "Gaussian",
    "HeldOutLosses",
    "Laplace",
    "LeafTable",
    "Levels",
    "Lift",
    "LinearBlend",
    "LinearClassBlend",
    "LinearMemory",
    "MeanBlend",
    "Moments",
    "Numbers",
    "Neighbours",
    "NumericView",
    "OpinionGate",
    "Products",
    "RenormalisedGate",
    "Route",
    "ResidualDensity",
    "Scaling",
    "SharedExpert",
    "Splines",
    "Stream",
    "SurgeryReport",
    "Utilization",
]

name_publicly(globals())
