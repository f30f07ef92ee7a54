"""Explanations: every number with its formula, its operands, its paths of the chain rule, a check and its update."""

from chainrule.explanation.attribution import Attribution, InputPart, Predicting, attribute
from chainrule.explanation.derivation import Check, Derivation, LayerCut, RowPart, UnitPart, Update
from chainrule.explanation.diagnosis import Diagnosis, Finding, diagnose
from chainrule.explanation.explaining import explain
from chainrule.explanation.function import FunctionDerivation
from chainrule.explanation.paths import Cut, Path, Paths
from chainrule.explanation.waypoints import Edge, Trail, Waypoint

__all__ = [
    "Attribution",
    "Check",
    "Cut",
    "Derivation",
    "Diagnosis",
    "Edge",
    "Finding",
    "FunctionDerivation",
    "InputPart",
    "LayerCut",
    "Path",
    "Paths",
    "Predicting",
    "RowPart",
    "Trail",
    "UnitPart",
    "Update",
    "Waypoint",
    "attribute",
    "diagnose",
    "explain",
]
