"""Inverse trigonometric, hyperbolic and inverse hyperbolic functions, angles and lengths: elementwise records."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.ops.logic import where
from chainrule.ops.mathematics import sqrt, square
from chainrule.ops.record import Op, elementwise


def _within_one(x: Any) -> Any:
    return (1 - x) * (1 + x)  # 1 − x², without the rounding of x² near ±1


arcsin = elementwise(
    "arcsin", "x",
    evaluate=np.arcsin,
    pullback={"x": lambda g, y, x: g / sqrt(_within_one(x))},
    lower=lambda b, x: b.arcsin(x),
    latex=r"\arcsin {x}", because="d(arcsin x)/dx = 1/cos y = 1/√(1 − x²)",
    kinks="x = ±1: the derivative is +Inf; beyond: NaN",
    sample=[(-0.8, 0.8)],
)  # fmt: skip
arccos = elementwise(
    "arccos", "x",
    evaluate=np.arccos,
    pullback={"x": lambda g, y, x: -(g / sqrt(_within_one(x)))},
    lower=lambda b, x: b.arccos(x),
    latex=r"\arccos {x}", because="arccos x = π/2 − arcsin x",
    kinks="x = ±1: the derivative is −Inf; beyond: NaN",
    sample=[(-0.8, 0.8)],
)  # fmt: skip
arctan = elementwise(
    "arctan", "x",
    evaluate=np.arctan,
    pullback={"x": lambda g, y, x: g / (1 + square(x))},
    lower=lambda b, x: b.arctan(x),
    latex=r"\arctan {x}", because="d(arctan x)/dx = cos²y = 1/(1 + x²)",
    sample=[(-3, 3)],
)  # fmt: skip
sinh: Op = elementwise(
    "sinh", "x",
    evaluate=np.sinh,
    pullback={"x": lambda g, y, x: g * cosh(x)},
    lower=lambda b, x: b.sinh(x),
    latex=r"\sinh {x}", because="the derivative of sinh is cosh",
    sample=[(-2, 2)],
)  # fmt: skip
cosh: Op = elementwise(
    "cosh", "x",
    evaluate=np.cosh,
    pullback={"x": lambda g, y, x: g * sinh(x)},
    lower=lambda b, x: b.cosh(x),
    latex=r"\cosh {x}", because="the derivative of cosh is sinh",
    sample=[(-2, 2)],
)  # fmt: skip
arcsinh = elementwise(
    "arcsinh", "x",
    evaluate=np.arcsinh,
    pullback={"x": lambda g, y, x: g / hypot(x, 1)},
    lower=lambda b, x: b.arcsinh(x),
    latex=r"\operatorname{{arsinh}} {x}", because="d(arsinh x)/dx = 1/cosh y = 1/√(1 + x²)",
    sample=[(-3, 3)],
)  # fmt: skip
arccosh = elementwise(
    "arccosh", "x",
    evaluate=np.arccosh,
    pullback={"x": lambda g, y, x: g / (sqrt(x - 1) * sqrt(x + 1))},
    lower=lambda b, x: b.arccosh(x),
    latex=r"\operatorname{{arcosh}} {x}", because="d(arcosh x)/dx = 1/sinh y = 1/√(x² − 1)",
    kinks="x = 1: the derivative is +Inf; x < 1: NaN",
    sample=[(1.3, 3)],
)  # fmt: skip
arctanh = elementwise(
    "arctanh", "x",
    evaluate=np.arctanh,
    pullback={"x": lambda g, y, x: g / _within_one(x)},
    lower=lambda b, x: b.arctanh(x),
    latex=r"\operatorname{{artanh}} {x}", because="d(artanh x)/dx = 1/(1 − tanh²y) = 1/(1 − x²)",
    kinks="x = ±1: ±Inf; beyond: NaN",
    sample=[(-0.8, 0.8)],
)  # fmt: skip


def _by_length(g: Any, side: Any, length: Any) -> Any:
    """Return g·side/length, and 0 where the length is 0."""
    zero = length == 0
    return where(zero, 0, g * (side / where(zero, 1, length)))


hypot: Op = elementwise(
    "hypot", "a b",
    evaluate=np.hypot,
    pullback={"a": lambda g, y, a, b: _by_length(g, a, y), "b": lambda g, y, a, b: _by_length(g, b, y)},
    lower=lambda b, x, y: b.hypot(x, y),
    latex=r"\sqrt{{{a}^2 + {b}^2}}", because="∂y/∂a = a/y: the length grows by the share of that side",
    kinks="a = b = 0: the derivatives are 0 by convention, as that of a norm",
    sample=[(-2, 2), (0.5, 2)],
)  # fmt: skip


def _turned(g: Any, side: Any, a: Any, b: Any) -> Any:
    """Return g·side/(a² + b²), and 0 where that is 0: divided twice by the length, which does not overflow."""
    length = hypot(a, b)
    return _by_length(_by_length(g, side, length), 1, length)


arctan2 = elementwise(
    "arctan2", "a b",
    evaluate=np.arctan2,
    pullback={
        "a": lambda g, y, a, b: _turned(g, b, a, b),
        "b": lambda g, y, a, b: -_turned(g, a, a, b),
    },
    lower=lambda b, x, y: b.arctan2(x, y),
    latex=r"\operatorname{{atan2}}({a}, {b})", because="the angle of the point (b, a): ∂y/∂a = b/r², ∂y/∂b = −a/r²",
    kinks="a = b = 0: the derivatives are 0 by convention; a = 0, b < 0: the value jumps from −π to π",
    sample=[(-2, 2), (0.5, 2)],
)  # fmt: skip
