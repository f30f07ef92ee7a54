"""Elementwise mathematics. Each record holds all there is to know of its operation."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.ops.logic import where
from chainrule.ops.record import ZERO, Op, elementwise
from chainrule.ops.special import erf as _erf

_TWO_BY_ROOT_PI = 1.1283791670955126

# mypy cannot know that rules meet traced values and arrays alike, so operands are Any throughout this file.


add = elementwise(
    "add", "a b",
    evaluate=np.add,
    pullback={"a": lambda g, y, a, b: g, "b": lambda g, y, a, b: g},
    lower=lambda b, x, y: b.add(x, y),
    latex="{a} + {b}", because="a sum passes the derivative on to each term unchanged",
    sample=[(-2, 2), (-2, 2)], accepts="number",
)  # fmt: skip
subtract = elementwise(
    "subtract", "a b",
    evaluate=np.subtract,
    pullback={"a": lambda g, y, a, b: g, "b": lambda g, y, a, b: -g},
    lower=lambda b, x, y: b.subtract(x, y),
    latex="{a} - {b}", because="the subtracted term gets the derivative with its sign turned",
    sample=[(-2, 2), (-2, 2)], accepts="number",
)  # fmt: skip
multiply = elementwise(
    "multiply", "a b",
    evaluate=np.multiply,
    pullback={"a": lambda g, y, a, b: g * b, "b": lambda g, y, a, b: g * a},
    lower=lambda b, x, y: b.multiply(x, y),
    latex=r"{a} \cdot {b}", because="the derivative of a product by one factor is the other factor",
    sample=[(-2, 2), (-2, 2)], accepts="number",
)  # fmt: skip
divide = elementwise(
    "divide", "a b",
    evaluate=np.divide,
    pullback={"a": lambda g, y, a, b: g / b, "b": lambda g, y, a, b: -(g * y / b)},
    lower=lambda b, x, y: b.divide(x, y),
    latex=r"\frac{{{a}}}{{{b}}}", because="∂(a/b)/∂b = −a/b² = −y/b",
    kinks="b = 0: the result is ±Inf or NaN, as IEEE 754 has it",
    sample=[(-2, 2), (0.5, 2)],
)  # fmt: skip
reciprocal = elementwise(
    "reciprocal", "x",
    evaluate=np.reciprocal,
    pullback={"x": lambda g, y, x: -(g * (y * y))},
    lower=lambda b, x: b.reciprocal(x),
    latex=r"\frac{{1}}{{{x}}}", because="d(1/x)/dx = −1/x² = −y²",
    kinks="x = ±0: the result is ±Inf, and the derivative −Inf",
    sample=[(0.3, 3)],
)  # fmt: skip
negative = elementwise(
    "negative", "x",
    evaluate=np.negative,
    pullback={"x": lambda g, y, x: -g},
    lower=lambda b, x: b.negative(x),
    latex="-{x}", because="turning the sign turns the derivative's sign",
    sample=[(-2, 2)], accepts="number",
)  # fmt: skip
square = elementwise(
    "square", "x",
    evaluate=np.square,
    pullback={"x": lambda g, y, x: g * (2 * x)},
    lower=lambda b, x: b.multiply(x, x),
    latex="{x}^2", because="d(x²)/dx = 2x",
    sample=[(-2, 2)], accepts="number",
)  # fmt: skip
exp = elementwise(
    "exp", "x",
    evaluate=np.exp,
    pullback={"x": lambda g, y, x: g * y},
    lower=lambda b, x: b.exp(x),
    latex="e^{{{x}}}", because="exp is its own derivative",
    sample=[(-2, 2)],
)  # fmt: skip
expm1 = elementwise(
    "expm1", "x",
    evaluate=np.expm1,
    pullback={"x": lambda g, y, x: g * (y + 1)},
    lower=lambda b, x: b.expm1(x),
    latex="e^{{{x}}} - 1", because="d(eˣ − 1)/dx = eˣ = y + 1",
    sample=[(-2, 2)],
)  # fmt: skip
log: Op = elementwise(
    "log", "x",
    evaluate=np.log,
    pullback={"x": lambda g, y, x: g / x},
    lower=lambda b, x: b.log(x),
    latex=r"\log {x}", because="d(log x)/dx = 1/x",
    kinks="x = 0: −Inf; x < 0: NaN",
    sample=[(0.2, 3)],
)  # fmt: skip
log1p = elementwise(
    "log1p", "x",
    evaluate=np.log1p,
    pullback={"x": lambda g, y, x: g / (1 + x)},
    lower=lambda b, x: b.log1p(x),
    latex=r"\log(1 + {x})", because="d(log(1 + x))/dx = 1/(1 + x)",
    kinks="x = −1: −Inf; x < −1: NaN",
    sample=[(-0.5, 3)],
)  # fmt: skip
sqrt = elementwise(
    "sqrt", "x",
    evaluate=np.sqrt,
    pullback={"x": lambda g, y, x: g * 0.5 / y},
    lower=lambda b, x: b.sqrt(x),
    latex=r"\sqrt{{{x}}}", because="d(√x)/dx = 1/(2√x)",
    kinks="x = 0: the derivative is +Inf; x < 0: NaN",
    sample=[(0.2, 3)],
)  # fmt: skip
sin: Op = elementwise(
    "sin", "x",
    evaluate=np.sin,
    pullback={"x": lambda g, y, x: g * cos(x)},
    lower=lambda b, x: b.sin(x),
    latex=r"\sin {x}", because="the derivative of sin is cos",
    sample=[(-3, 3)],
)  # fmt: skip
cos: Op = elementwise(
    "cos", "x",
    evaluate=np.cos,
    pullback={"x": lambda g, y, x: -(g * sin(x))},
    lower=lambda b, x: b.cos(x),
    latex=r"\cos {x}", because="the derivative of cos is −sin",
    sample=[(-3, 3)],
)  # fmt: skip
tan = elementwise(
    "tan", "x",
    evaluate=np.tan,
    pullback={"x": lambda g, y, x: g * (1 + y * y)},
    lower=lambda b, x: b.tan(x),
    latex=r"\tan {x}", because="d(tan x)/dx = 1 + tan²x = 1 + y²",
    kinks="x = π/2 + kπ: no float is that number; beside it value and derivative are very large",
    sample=[(-1.2, 1.2)],
)  # fmt: skip
tanh = elementwise(
    "tanh", "x",
    evaluate=np.tanh,
    pullback={"x": lambda g, y, x: g * (1 - y * y)},
    lower=lambda b, x: b.tanh(x),
    latex=r"\tanh {x}", because="d(tanh x)/dx = 1 − tanh²x = 1 − y²",
    sample=[(-2, 2)],
)  # fmt: skip
erf = elementwise(
    "erf", "x",
    evaluate=_erf,
    pullback={"x": lambda g, y, x: g * (_TWO_BY_ROOT_PI * exp(-square(x)))},
    lower=lambda b, x: b.erf(x),
    latex=r"\operatorname{{erf}}({x})", because="erf is the integral of 2/√π·exp(−t²) from 0 to x",
    sample=[(-3, 3)],
)  # fmt: skip


def _sigmoid(x: Any) -> Any:
    small = np.exp(-np.abs(x))  # never overflows: σ(x) = 1/(1 + e⁻ˣ) for x ≥ 0, and eˣ/(1 + eˣ) for x < 0
    return np.where(x < 0, small, 1.0).astype(small.dtype) / (1 + small)


sigmoid: Op = elementwise(
    "sigmoid", "x",
    evaluate=_sigmoid,
    pullback={"x": lambda g, y, x: g * (y * (1 - y))},
    lower=lambda b, x: b.sigmoid(x),
    latex=r"\sigma({x})", because="dσ/dx = σ(1 − σ) = y(1 − y)",
    sample=[(-3, 3)],
)  # fmt: skip


def _softplus(x: Any) -> Any:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


softplus = elementwise(
    "softplus", "x",
    evaluate=_softplus,
    pullback={"x": lambda g, y, x: g * sigmoid(x)},
    lower=lambda b, x: b.softplus(x),
    latex=r"\log(1 + e^{{{x}}})", because="d(log(1 + eˣ))/dx = eˣ/(1 + eˣ) = σ(x)",
    sample=[(-3, 3)],
)  # fmt: skip
relu = elementwise(
    "relu", "x",
    evaluate=lambda x: np.where(x < 0, np.zeros_like(x), x),  # NaN stays NaN; max(x, 0) by comparison would lose it
    pullback={"x": lambda g, y, x: where(x > 0, g, 0)},
    lower=lambda b, x: b.select(b.less(x, b.constant(0.0, x)), b.constant(0.0, x), x),
    latex=r"\max(0, {x})", because="1 where x > 0, else 0",
    kinks="x = 0: the derivative is 0 by convention",
    sample=[(-2, 2)],
)  # fmt: skip
absolute = elementwise(
    "absolute", "x",
    evaluate=np.absolute,
    pullback={"x": lambda g, y, x: g * sign(x)},
    lower=lambda b, x: b.absolute(x),
    latex=r"\lvert {x} \rvert", because="the sign of x",
    kinks="x = 0: the derivative is 0 by convention",
    sample=[(-2, 2)], accepts="number",
)  # fmt: skip

sign: Op = elementwise(
    "sign", "x",
    evaluate=np.sign,
    pullback={"x": ZERO},
    lower=lambda b, x: b.sign(x),
    latex=r"\operatorname{{sign}}({x})", because="constant on each side of 0",
    kinks="x = 0: the value is 0; the derivative is 0 everywhere by convention",
    sample=[(-2, 2)], accepts="number",
)  # fmt: skip
floor = elementwise(
    "floor", "x",
    evaluate=np.floor,
    pullback={"x": ZERO},
    lower=lambda b, x: b.floor(x),
    latex=r"\lfloor {x} \rfloor", because="constant between the integers",
    kinks="at integers the derivative is 0 by convention",
    sample=[(-2, 2)],
)  # fmt: skip
ceil = elementwise(
    "ceil", "x",
    evaluate=np.ceil,
    pullback={"x": ZERO},
    lower=lambda b, x: b.ceil(x),
    latex=r"\lceil {x} \rceil", because="constant between the integers",
    kinks="at integers the derivative is 0 by convention",
    sample=[(-2, 2)],
)  # fmt: skip
rint = elementwise(
    "rint", "x",
    evaluate=np.rint,
    pullback={"x": ZERO},
    lower=lambda b, x: b.rint(x),
    latex=r"\operatorname{{round}}({x})", because="constant between the halves",
    kinks="half-way between integers the even one is taken; the derivative is 0 there by convention",
    sample=[(-2, 2)],
)  # fmt: skip
floor_divide: Op = elementwise(
    "floor_divide", "a b",
    evaluate=np.floor_divide,
    pullback={"a": ZERO, "b": ZERO},
    lower=lambda b, x, y: b.floor_divide(x, y),
    latex=r"\left\lfloor \frac{{{a}}}{{{b}}} \right\rfloor", because="constant between the integers",
    kinks="where a/b is an integer the derivative is 0 by convention; b = 0: ±Inf or NaN, of integers 0",
    sample=[(-2, 2), (1, 1.5)], accepts="number",
)  # fmt: skip
remainder = elementwise(
    "remainder", "a b",
    evaluate=np.remainder,
    pullback={"a": lambda g, y, a, b: g, "b": lambda g, y, a, b: -(g * floor_divide(a, b))},
    lower=lambda b, x, y: b.remainder(x, y),
    latex=r"{a} \bmod {b}", because="a mod b = a − ⌊a/b⌋·b, and ⌊a/b⌋ is constant between the integers",
    kinks="where a/b is an integer the derivative is that of the side above; b = 0: NaN, of integers 0",
    sample=[(-2, 2), (1, 1.5)], accepts="number",
)  # fmt: skip
power: Op = elementwise(
    "power", "a b",
    evaluate=np.power,
    pullback={
        # b·a^(b−1), and 0 where b = 0, so that 0·0⁻¹ is not NaN
        "a": lambda g, y, a, b: g * where(b == 0, 0, b * power(a, where(b == 0, 1, b - 1))),
        # y·log a, and 0 where a = 0, so that 0·log 0 is not NaN
        "b": lambda g, y, a, b: g * where(a == 0, 0, y * log(where(a == 0, 1, a))),
    },
    lower=lambda b, x, y: b.power(x, y),
    latex="{a}^{{{b}}}", because="∂aᵇ/∂a = b·aᵇ⁻¹ and ∂aᵇ/∂b = aᵇ·log a",
    kinks="a = 0: the derivative by b is 0; b = 0: the derivative by a is 0; a < 0 and b no integer: NaN",
    sample=[(0.3, 2), (-2, 2)],
)  # fmt: skip


def _share(g: Any, mine: Any, other: Any, chosen: Any) -> Any:
    """The whole derivative to the operand that was chosen; half to each in a tie."""
    return where(mine == other, 0.5 * g, where(chosen, g, 0))


maximum = elementwise(
    "maximum", "a b",
    evaluate=np.maximum,
    pullback={"a": lambda g, y, a, b: _share(g, a, b, a > b), "b": lambda g, y, a, b: _share(g, b, a, b > a)},
    lower=lambda b, x, y: b.maximum(x, y),
    latex=r"\max({a}, {b})", because="the larger operand gets the derivative",
    kinks="a = b: each operand gets half",
    sample=[(-2, 2), (-2, 2)], accepts="number",
)  # fmt: skip
minimum = elementwise(
    "minimum", "a b",
    evaluate=np.minimum,
    pullback={"a": lambda g, y, a, b: _share(g, a, b, a < b), "b": lambda g, y, a, b: _share(g, b, a, b < a)},
    lower=lambda b, x, y: b.minimum(x, y),
    latex=r"\min({a}, {b})", because="the smaller operand gets the derivative",
    kinks="a = b: each operand gets half",
    sample=[(-2, 2), (-2, 2)], accepts="number",
)  # fmt: skip
