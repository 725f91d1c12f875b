"""Pictures and reports that show what a fitted mixture does; they need nothing private of it."""

from ._drift import RoutingDrift, routing_drift
from ._em_path import EMPathDisplay
from ._explain import explain_routing
from ._gate_regions import GateRegionsDisplay
from ._reliability import ReliabilityDisplay
from ._report import expert_report, segment_profile
from ._routing_heatmap import RoutingHeatmapDisplay
from ._utilization import UtilizationDisplay

__all__ = [
    "EMPathDisplay",
    "GateRegionsDisplay",
    "ReliabilityDisplay",
    "RoutingDrift",
    "RoutingHeatmapDisplay",
    "UtilizationDisplay",
    "expert_report",
    "explain_routing",
    "routing_drift",
    "segment_profile",
]


# Pickles, tracebacks and documentation name these by where users import them from.
for _class in [value for value in globals().values() if isinstance(value, type)]:
    _class.__module__ = __name__
