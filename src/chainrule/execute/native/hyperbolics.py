"""Hyperbolic sine and cosine and the inverse functions on vectors: the same bits in every lane.

Bounds in ulp, which a test sweeps: cosh 2, sinh, arcsinh, arccosh and arctanh 3. float32 is computed in double. (The
hyperbolic tangent, an activation, stands in ``mathlib``.)
"""

from __future__ import annotations

from math import nan

from chainrule.execute.native.coefficients import EXP_RANGE
from chainrule.execute.native.inverses import in_double
from chainrule.execute.native.mathlib import clamped, exp_within, half_expm1, log, log1p
from chainrule.execute.native.vector import Value, VectorBuilder

_LOG2 = (0.6931471805599453, 2.3190468138462996e-17)
_FAR = 22.0
"""From here on e⁻ˣ is less than half an ulp of eˣ."""
_LARGE = 2.0**28
"""From here on 1 is less than half an ulp of x²."""


def _half_exp(b: VectorBuilder, size: Value) -> Value:
    """Return e to the power size, divided by 2, which is finite a little longer than e to the power is."""
    high = b.subtract(size, b.constant(_LOG2[0], size))
    tail = b.subtract(b.subtract(b.subtract(size, high), b.constant(_LOG2[0], size)), b.constant(_LOG2[1], size))
    within = b.less(high, b.constant(EXP_RANGE["f64"][1], high))
    return exp_within(b, clamped(b, high, None, EXP_RANGE["f64"][1]), b.select(within, tail, b.constant(0.0, high)))


@in_double
def sinh(b: VectorBuilder, x: Value) -> Value:
    size = b.absolute(x)
    half = half_expm1(b, clamped(b, size, None, _FAR))
    near = b.add(half, b.divide(half, b.fma(b.constant(2.0, x), half, b.constant(1.0, x))))  # t/2 + t/2/(t + 1)
    near = b.select(b.less(size, b.constant(2.0**-28, x)), size, near)  # half may be subnormal
    return b.copysign(b.select(b.less(size, b.constant(_FAR, x)), near, _half_exp(b, size)), x)


@in_double
def cosh(b: VectorBuilder, x: Value) -> Value:
    size = b.absolute(x)
    risen = exp_within(b, clamped(b, size, None, _FAR))
    half = b.constant(0.5, x)
    near = b.fma(half, risen, b.divide(half, risen))
    return b.select(b.less(size, b.constant(_FAR, x)), near, _half_exp(b, size))


def _log_of_twice(b: VectorBuilder, size: Value) -> Value:
    return b.add(log(b, size), b.constant(_LOG2[0], size))


@in_double
def arcsinh(b: VectorBuilder, x: Value) -> Value:
    size, one = b.absolute(x), b.constant(1.0, x)
    inner = clamped(b, size, None, _LARGE)
    square = b.multiply(inner, inner)
    root = b.sqrt(b.add(one, square))
    near = log1p(b, b.add(inner, b.divide(square, b.add(one, root))))  # √(1 + x²) − 1 = x²/(1 + √(1 + x²))
    return b.copysign(b.select(b.less(size, b.constant(_LARGE, x)), near, _log_of_twice(b, size)), x)


@in_double
def arccosh(b: VectorBuilder, x: Value) -> Value:
    one, large = b.constant(1.0, x), b.constant(_LARGE, x)
    t = b.subtract(clamped(b, x, None, _LARGE), one)
    near = log1p(b, b.add(t, b.sqrt(b.multiply(t, b.add(t, b.constant(2.0, x))))))
    result = b.select(b.less(x, large), near, _log_of_twice(b, x))
    return b.select(b.less(x, one), b.constant(nan, x), result)


@in_double
def arctanh(b: VectorBuilder, x: Value) -> Value:
    size, one, half = b.absolute(x), b.constant(1.0, x), b.constant(0.5, x)
    twice, rest = b.add(size, size), b.subtract(one, size)
    # 2x/(1 − x) = 2x + 2x²/(1 − x), of which the first part is exact
    inner = b.select(b.less(size, half), b.add(twice, b.divide(b.multiply(twice, size), rest)), b.divide(twice, rest))
    return b.copysign(b.multiply(half, log1p(b, inner)), x)
