"""Regularization as constraints: what the weights may be (sets), what they cost (penalties), and what was reached."""

from chainrule.constrain.accelerated import AcceleratedProjection
from chainrule.constrain.balls import GroupL2Ball, L1Ball, L2Ball, LInfBall, MaxNorm
from chainrule.constrain.claims import Optimality, optimality
from chainrule.constrain.elementwise import Box, Cardinality, NonNegative, Simplex
from chainrule.constrain.intersection import Intersection
from chainrule.constrain.matrices import NuclearBall, SpectralBall
from chainrule.constrain.penalties import L1, GroupL2, Penalties, SquaredL2
from chainrule.constrain.sets import NormalCone, VectorSet

__all__ = [
    "L1",
    "AcceleratedProjection",
    "Box",
    "Cardinality",
    "GroupL2",
    "GroupL2Ball",
    "Intersection",
    "L1Ball",
    "L2Ball",
    "LInfBall",
    "MaxNorm",
    "NonNegative",
    "NormalCone",
    "NuclearBall",
    "Optimality",
    "Penalties",
    "Simplex",
    "SpectralBall",
    "SquaredL2",
    "VectorSet",
    "optimality",
]
