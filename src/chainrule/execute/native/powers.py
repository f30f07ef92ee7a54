"""Powers of vectors, within 1 ulp in float32 and 2 in float64: the same bits in every lane."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from math import inf, nan

from chainrule.execute.native.coefficients import (
    EXP_RANGE,
    LN2,
    LOG2E,
    POWER_EXP,
    POWER_LOG,
    POWER_TAIL,
    TWO_THIRDS_LOW,
)
from chainrule.execute.native.mathlib import (
    clamped,
    exp_within,
    less_rounded,
    polynomial,
    power_of_two,
    split,
    to_whole,
)
from chainrule.execute.native.vector import Value, VectorBuilder


def _known(x: Value) -> float | None:
    """Return the number that a value is, where it is a literal."""
    text = x.name.removeprefix(f"splat ({x.element} ").removesuffix(")")
    return struct.unpack(">d", bytes.fromhex(text[2:]))[0] if text.startswith("0x") else None


def power(b: VectorBuilder, x: Value, y: Value) -> Value:
    simple = _SIMPLE_POWERS.get(_known(y) or 0.0)
    if simple is not None:
        return simple(b, x)
    size = b.absolute(x)
    magnitude = (_power_in_double if x.dtype == "f32" else _power_in_two_doubles)(b, size, y)
    one, zero, half = b.constant(1.0, x), b.constant(0.0, x), b.multiply(y, b.constant(0.5, y))
    magnitude = b.select(b.logical_or(b.equal(y, zero), b.equal(size, one)), one, magnitude)  # 1 even beside NaN
    whole = b.equal(b.rint(y), y)
    odd = b.logical_and(whole, b.not_equal(b.rint(half), half))
    result = b.select(b.logical_and(odd, b.less(b.copysign(one, x), zero)), b.negative(magnitude), magnitude)
    below = b.logical_and(b.less(x, zero), b.greater(x, b.constant(-inf, x)))
    return b.select(b.logical_and(below, b.logical_not(whole)), b.constant(nan, x), result)


def _at_the_ends(b: VectorBuilder, size: Value, logarithm: Value) -> Value:
    """Return the logarithm, but −Inf of 0, Inf of Inf and NaN of NaN."""
    inside = b.select(b.less(size, b.constant(inf, size)), logarithm, size)
    return b.select(b.equal(size, b.constant(0.0, size)), b.constant(-inf, size), inside)


def _power_in_double(b: VectorBuilder, size: Value, y: Value) -> Value:
    """Return |x|ʸ of float32 by way of float64: exp(y·log|x|), whose error of 2⁻³³ is lost as it is rounded."""
    size, y = b.cast(size, "f64"), b.cast(y, "f64")
    exponent, m = split(b, size, subnormal=False)
    f = b.subtract(m, b.constant(1.0, m))
    s = b.divide(f, b.add(b.constant(2.0, f), f))
    z = b.multiply(s, s)
    log_m = b.fma(b.multiply(s, z), polynomial(b, z, POWER_LOG), b.add(s, s))
    logarithm = _at_the_ends(b, size, b.fma(exponent, b.constant(1 / LOG2E, f), log_m))
    t = clamped(b, b.multiply(y, logarithm), -110.0, 95.0)
    k, bits = to_whole(b, t, LOG2E)
    r = less_rounded(b, t, k)
    one = b.constant(1.0, r)
    p = b.fma(r, b.fma(r, polynomial(b, r, POWER_EXP), one), one)
    return b.cast(b.multiply(p, power_of_two(b, bits, p)), "f32")


def _power_in_two_doubles(b: VectorBuilder, size: Value, y: Value) -> Value:
    """Return |x|ʸ of float64: exp(y·log|x|) with the logarithm as a sum of two floats, good to about 65 bits."""
    exponent, m = split(b, size)
    one = b.constant(1.0, m)
    f = b.subtract(m, one)
    # s + s_low = f/(2 + f), from an inverse and what it leaves over
    two = b.constant(2.0, f)
    d = b.add(two, f)
    d_low = b.subtract(f, b.subtract(d, two))
    inverse = b.divide(one, d)
    s = b.multiply(f, inverse)
    minus = b.negative(s)
    s_low = b.multiply(b.fma(minus, d_low, b.fma(minus, d, f)), inverse)
    # log m = 2s + ⅔s³ + s⁵·q(s²), the first two terms in two floats
    z = b.multiply(s, s)
    z_low = b.fma(b.add(s, s), s_low, b.fma(s, s, b.negative(z)))
    cube = b.multiply(s, z)
    cube_low = b.fma(s, z_low, b.fma(s_low, z, b.fma(s, z, b.negative(cube))))
    third, third_low = b.constant(2 / 3, f), b.constant(TWO_THIRDS_LOW, f)
    term = b.multiply(third, cube)
    rest = b.multiply(b.multiply(cube, z), polynomial(b, z, POWER_TAIL))
    term_low = b.fma(third, cube_low, b.fma(third_low, cube, b.fma(third, cube, b.negative(term))))
    high, low = LN2["f64"]
    start = b.multiply(exponent, b.constant(high, f))  # exact
    double = b.add(s, s)
    first = b.add(start, double)
    first_low = b.subtract(double, b.subtract(first, start))
    second = b.add(first, term)
    second_low = b.subtract(term, b.subtract(second, first))
    small = b.fma(exponent, b.constant(low, f), b.add(b.add(s_low, s_low), b.add(term_low, rest)))
    small = b.add(small, b.add(first_low, second_low))
    logarithm = b.add(second, small)
    logarithm_low = b.subtract(small, b.subtract(logarithm, second))

    logarithm = _at_the_ends(b, size, logarithm)
    t = b.multiply(y, logarithm)
    t_low = b.fma(y, logarithm_low, b.fma(y, logarithm, b.negative(t)))
    ordinary = b.less(b.absolute(t), b.constant(1000.0, t))
    t_low = b.select(ordinary, t_low, b.constant(0.0, t))  # beyond, it may be Inf − Inf
    return exp_within(b, clamped(b, t, *EXP_RANGE["f64"]), t_low)


def _root(b: VectorBuilder, x: Value) -> Value:
    """Return x to the power ½, which is +0 of −0 and +Inf of −Inf, where the square root is not."""
    root = b.sqrt(b.add(x, b.constant(0.0, x)))
    return b.select(b.equal(x, b.constant(-inf, x)), b.constant(inf, x), root)


def _cube(b: VectorBuilder, x: Value) -> Value:
    wide = b.cast(x, "f64")  # in float32 two roundings would be 1.3 ulp
    return b.cast(b.multiply(b.multiply(wide, wide), wide), x.dtype)


# Exponents that are literals and have a form of one or two roundings.
_SIMPLE_POWERS: Mapping[float, Callable[[VectorBuilder, Value], Value]] = {
    1.0: lambda b, x: x,
    2.0: lambda b, x: b.multiply(x, x),
    3.0: _cube,
    0.5: _root,
    -1.0: lambda b, x: b.divide(b.constant(1.0, x), x),
}
