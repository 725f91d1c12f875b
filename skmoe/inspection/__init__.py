"""Pictures and reports that show what a fitted mixture does; they need nothing private of it."""

from ._density import DensityDisplay
from ._density_calibration import DensityCalibrationDisplay
from ._drift import RoutingDrift, routing_drift
from ._em_path import EMPathDisplay
from ._equations import Equation, equation
from ._explain import explain_routing, routing_sentences
from ._gate_regions import GateRegionsDisplay
from ._regime_display import RegimeDisplay
from ._regimes import Regime, RegimeTable, regime_table
from ._reliability import ReliabilityDisplay
from ._report import expert_report, segment_profile
from ._routing_heatmap import RoutingHeatmapDisplay
from ._utilization import UtilizationDisplay

__all__ = [
    "DensityCalibrationDisplay",
    "DensityDisplay",
    "EMPathDisplay",
    "Equation",
    "GateRegionsDisplay",
    "Regime",
    "RegimeDisplay",
    "RegimeTable",
    "ReliabilityDisplay",
    "RoutingDrift",
    "RoutingHeatmapDisplay",
    "UtilizationDisplay",
    "equation",
    "expert_report",
    "explain_routing",
    "regime_table",
    "routing_drift",
    "routing_sentences",
    "segment_profile",
]


# Pickles, tracebacks and documentation name these by where users import them from.
for _class in [value for value in globals().values() if isinstance(value, type)]:
    _class.__module__ = __name__
