"""Inverse sine, cosine and tangent on vectors: the same bits in every lane.

Bounds in ulp, which a test sweeps: arctan, arcsin and arccos 1.5, arctan2 2.5. The formulas and polynomials are
fdlibm's (Sun Microsystems, 1993), with all of their cases computed side by side; float32 is computed in double.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan

from chainrule.execute.native.coefficients import ARCSIN, ARCTAN, ARCTAN_STARTS, HALF_PI, PI
from chainrule.execute.native.mathlib import polynomial
from chainrule.execute.native.vector import Value, VectorBuilder

Elementary = Callable[..., Value]


def in_double(function: Elementary) -> Elementary:
    """Return the function for both dtypes, from that for float64: of float32 half an ulp is left in the end."""

    def either(b: VectorBuilder, *operands: Value) -> Value:
        if operands[0].dtype == "f64":
            return function(b, *operands)
        return b.cast(function(b, *(b.cast(x, "f64") for x in operands)), "f32")

    return either


def _arctan_of_size(b: VectorBuilder, size: Value) -> Value:
    """Return arctan for 0 ≤ size ≤ Inf: arctan c + arctan((x − c)/(1 + cx)), with c of 0, ½, 1, 3⁄2, Inf."""
    one = b.constant(1.0, size)
    above, below = size, one
    high, low = b.constant(0.0, size), b.constant(0.0, size)
    for start, c, (angle, rest) in ARCTAN_STARTS:
        beyond = b.greater_equal(size, b.constant(start, size))
        if c == inf:
            up, down = b.constant(-1.0, size), size
        else:
            center = b.constant(c, size)
            up, down = b.subtract(size, center), b.fma(center, size, one)
        above, below = b.select(beyond, up, above), b.select(beyond, down, below)
        high, low = b.select(beyond, b.constant(angle, size), high), b.select(beyond, b.constant(rest, size), low)
    t = b.divide(above, below)
    z = b.multiply(t, t)
    odd = b.multiply(t, b.multiply(z, polynomial(b, z, ARCTAN)))  # arctan t = t − t³(⅓ − t²/5 + …)
    return b.subtract(high, b.subtract(b.subtract(odd, low), t))


@in_double
def arctan(b: VectorBuilder, x: Value) -> Value:
    return b.copysign(_arctan_of_size(b, b.absolute(x)), x)


@in_double
def arctan2(b: VectorBuilder, y: Value, x: Value) -> Value:
    """Return the angle of the point (x, y), from −π to π: the signs of zeros and infinities count, as in C."""
    zero, one, end = b.constant(0.0, x), b.constant(1.0, x), b.constant(inf, x)
    height, width = b.absolute(y), b.absolute(x)
    ratio = b.divide(height, width)
    ratio = b.select(b.logical_and(b.equal(height, zero), b.equal(width, zero)), zero, ratio)
    ratio = b.select(b.logical_and(b.equal(height, end), b.equal(width, end)), one, ratio)
    angle = _arctan_of_size(b, ratio)
    left = b.subtract(b.constant(PI[0], x), b.subtract(angle, b.constant(PI[1], x)))
    return b.copysign(b.select(b.less(b.copysign(one, x), zero), left, angle), y)


def _arcsin_series(b: VectorBuilder, z: Value) -> Value:
    """Return (arcsin x)/x − 1 for z = x² up to ¼."""
    above, below = ARCSIN
    return b.divide(b.multiply(z, polynomial(b, z, above)), polynomial(b, z, below))


def _half_angle(b: VectorBuilder, size: Value) -> tuple[Value, Value, Value]:
    """Return s = √((1 − size)/2), what rounding lost of it, and the series at s: arccos x = 2·arcsin √((1 − x)/2)."""
    z = b.multiply(b.constant(0.5, size), b.subtract(b.constant(1.0, size), size))
    s = b.sqrt(z)
    zero = b.constant(0.0, size)
    lost = b.divide(b.fma(b.negative(s), s, z), b.add(s, s))
    return s, b.select(b.equal(s, zero), zero, lost), _arcsin_series(b, z)


@in_double
def arcsin(b: VectorBuilder, x: Value) -> Value:
    size = b.absolute(x)
    half = b.constant(0.5, x)
    inner = b.fma(size, _arcsin_series(b, b.multiply(size, size)), size)
    s, lost, series = _half_angle(b, size)
    # π/2 − 2(s + s·series + lost), the larger parts first
    quarter, low = b.constant(HALF_PI[0] / 2, x), b.constant(HALF_PI[1], x)
    small = b.subtract(b.multiply(b.add(s, s), series), b.subtract(low, b.add(lost, lost)))
    outer = b.subtract(quarter, b.subtract(small, b.subtract(quarter, b.add(s, s))))
    return b.copysign(b.select(b.less(size, half), inner, outer), x)


@in_double
def arccos(b: VectorBuilder, x: Value) -> Value:
    size, half = b.absolute(x), b.constant(0.5, x)
    right, low = b.constant(HALF_PI[0], x), b.constant(HALF_PI[1], x)
    inner = b.subtract(right, b.subtract(x, b.fma(b.negative(x), _arcsin_series(b, b.multiply(x, x)), low)))
    s, lost, series = _half_angle(b, size)
    near = b.fma(s, series, lost)
    twice = b.add(s, near)
    positive = b.add(twice, twice)
    opposite = b.add(s, b.subtract(near, low))
    negative = b.subtract(b.constant(PI[0], x), b.add(opposite, opposite))
    outer = b.select(b.less(x, b.constant(0.0, x)), negative, positive)
    result = b.select(b.less(size, half), inner, outer)
    return b.select(b.less_equal(size, b.constant(1.0, x)), result, b.constant(nan, x))
