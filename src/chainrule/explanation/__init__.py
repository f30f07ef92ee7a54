"""Explanations: every number with its formula, its operands, its paths of the chain rule, a check and its update."""

from chainrule.explanation.derivation import Check, Derivation, LayerCut, RowPart, UnitPart, Update
from chainrule.explanation.explaining import explain
from chainrule.explanation.function import FunctionDerivation
from chainrule.explanation.paths import Cut, Path, Paths
from chainrule.explanation.waypoints import Edge, Trail, Waypoint

__all__ = [
    "Check",
    "Cut",
    "Derivation",
    "Edge",
    "FunctionDerivation",
    "LayerCut",
    "Path",
    "Paths",
    "RowPart",
    "Trail",
    "UnitPart",
    "Update",
    "Waypoint",
    "explain",
]
