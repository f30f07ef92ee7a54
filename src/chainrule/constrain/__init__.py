"""Regularization as constraints: what the weights may be (sets), what they cost (penalties), and what was reached."""

from chainrule.constrain.accelerated import AcceleratedProjection
from chainrule.constrain.balls import GroupL2Ball, L1Ball, L2Ball, LInfBall, MaxNorm
from chainrule.constrain.claims import Optimality, optimality
from chainrule.constrain.elementwise import Box, Cardinality, NonNegative, Simplex
from chainrule.constrain.forms import Form, Forms, compare_forms
from chainrule.constrain.intersection import Intersection
from chainrule.constrain.keeping import SetValue, set_values
from chainrule.constrain.lagrangian import AugmentedLagrangian, Lagrangian
from chainrule.constrain.limits import (
    Expression,
    Limit,
    constraint,
    error_rate,
    false_positive_rate,
    mean_loss,
    selection_rate,
    true_positive_rate,
)
from chainrule.constrain.matrices import NuclearBall, OrthogonalColumns, SpectralBall
from chainrule.constrain.path import regularization_path
from chainrule.constrain.path_report import PathPoint, RegularizationPath
from chainrule.constrain.penalties import L1, GroupL2, Penalties, SquaredL2
from chainrule.constrain.reports import LimitValue, limit_values
from chainrule.constrain.sets import NormalCone, VectorSet
from chainrule.constrain.spelling import KINDS, METHODS, Kind, method_of, penalties_of, sets_of

__all__ = [
    "KINDS",
    "L1",
    "METHODS",
    "AcceleratedProjection",
    "AugmentedLagrangian",
    "Box",
    "Cardinality",
    "Expression",
    "Form",
    "Forms",
    "GroupL2",
    "GroupL2Ball",
    "Intersection",
    "Kind",
    "L1Ball",
    "L2Ball",
    "LInfBall",
    "Lagrangian",
    "Limit",
    "LimitValue",
    "MaxNorm",
    "NonNegative",
    "NormalCone",
    "NuclearBall",
    "Optimality",
    "OrthogonalColumns",
    "PathPoint",
    "Penalties",
    "RegularizationPath",
    "SetValue",
    "Simplex",
    "SpectralBall",
    "SquaredL2",
    "VectorSet",
    "compare_forms",
    "constraint",
    "error_rate",
    "false_positive_rate",
    "limit_values",
    "mean_loss",
    "method_of",
    "optimality",
    "penalties_of",
    "regularization_path",
    "selection_rate",
    "set_values",
    "sets_of",
    "true_positive_rate",
]
