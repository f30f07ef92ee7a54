"""Remainders and whole quotients, to the bit those of NumPy: C's fmod with the sign of the divisor."""

from __future__ import annotations

from chainrule.execute.native.coefficients import MANTISSA
from chainrule.execute.native.trigonometry import library, unless_all
from chainrule.execute.native.vector import Value, VectorBuilder


def _fmod(b: VectorBuilder, x: Value, y: Value) -> Value:
    """Return x − trunc(x/y)·y, exact, with the sign of x.

    Where the quotient is less than 2⁵¹ (2²² in float32) it is rounded to a whole number that is the right one or one
    too many, and a fused multiply-add leaves the remainder without rounding. The C library does the rest.
    """
    size, divisor, zero = b.absolute(x), b.absolute(y), b.constant(0.0, x)
    quotient = b.divide(size, divisor)
    within = b.less(size, divisor)
    left = b.fma(b.negative(b.floor(quotient)), divisor, size)
    left = b.select(b.less(left, zero), b.add(left, divisor), left)
    usual = b.copysign(b.select(within, size, left), x)
    ordinary = b.logical_or(within, b.less(quotient, b.constant(2.0 ** (MANTISSA[x.dtype] - 1), x)))
    return unless_all(b, ordinary, usual, lambda: library(b, "fmod", x, y))


def _signs_differ(b: VectorBuilder, left: Value, y: Value) -> Value:
    """Is the remainder neither 0 nor of the sign of the divisor?"""
    zero = b.constant(0, y)
    return b.logical_and(b.not_equal(left, zero), b.bitwise_xor(b.less(left, zero), b.less(y, zero)))


def _whole_parts(b: VectorBuilder, x: Value, y: Value) -> tuple[Value, Value]:
    """Return quotient and remainder of integers, toward 0; by 0 both are 0, as NumPy has it (the processor traps)."""
    zero, one, unsigned = b.constant(0, y), b.constant(1, y), y.dtype in ("u32", "u64")
    none = b.equal(y, zero)
    safe = b.select(none, one, y)
    if not unsigned:  # the least integer by −1 would trap too; its quotient wraps around
        minus = b.equal(y, b.constant(-1, y))
        safe = b.select(minus, one, safe)
    letter = "u" if unsigned else "s"
    quotient = b.value(f"{letter}div {x.type} {x.name}, {safe.name}", x)
    left = b.value(f"{letter}rem {x.type} {x.name}, {safe.name}", x)
    if not unsigned:
        quotient = b.select(minus, b.subtract(zero, x), quotient)
    return b.select(none, zero, quotient), b.select(none, zero, left)


def remainder(b: VectorBuilder, x: Value, y: Value) -> Value:
    """Return x − ⌊x/y⌋·y: fmod, and y more where its sign is not that of y; a zero has the sign of y."""
    if x.dtype not in ("f32", "f64"):
        _, left = _whole_parts(b, x, y)
        return b.select(_signs_differ(b, left, y), b.add(left, y), left)
    left, zero = _fmod(b, x, y), b.constant(0.0, x)
    moved = b.select(_signs_differ(b, left, y), b.add(left, y), left)
    return b.select(b.equal(left, zero), b.copysign(zero, y), moved)


def floor_divide(b: VectorBuilder, x: Value, y: Value) -> Value:
    """Return ⌊x/y⌋ as NumPy has it: (x − fmod)/y, one less where the signs differ, rounded to a whole number."""
    if x.dtype not in ("f32", "f64"):
        quotient, left = _whole_parts(b, x, y)
        return b.select(_signs_differ(b, left, y), b.subtract(quotient, b.constant(1, x)), quotient)
    left, zero, one = _fmod(b, x, y), b.constant(0.0, x), b.constant(1.0, x)
    quotient = b.divide(b.subtract(x, left), y)
    quotient = b.select(_signs_differ(b, left, y), b.subtract(quotient, one), quotient)
    whole = b.floor(quotient)
    over = b.greater(b.subtract(quotient, whole), b.constant(0.5, x))
    whole = b.select(over, b.add(whole, one), whole)
    exact = b.divide(x, y)
    whole = b.select(b.equal(quotient, zero), b.copysign(zero, exact), whole)
    return b.select(b.equal(y, zero), exact, whole)
