"""Sine, cosine and tangent on vectors: the same bits in every lane.

Bounds in ulp, which a test sweeps: sin and cos 2, tan 4. Those of very large arguments go to the C library, lane by
lane. The angle is reduced by multiples of π/2 held in three parts (Cody and Waite, 1980).
"""

from __future__ import annotations

from collections.abc import Callable

from chainrule.execute.native.coefficients import COS, PIO2, SIN
from chainrule.execute.native.mathlib import horner, to_whole
from chainrule.execute.native.vector import Value, VectorBuilder

LARGE_ANGLE = 1e5


def _sin_cos(b: VectorBuilder, x: Value, turn: int, name: str) -> Value:
    if x.dtype == "f32":  # computed in double: exact reduction, and half an ulp in the end
        return b.cast(_sin_cos(b, b.cast(x, "f64"), turn, name), "f32")
    safe = b.select(b.less(b.absolute(x), b.constant(LARGE_ANGLE, x)), x, b.constant(0.0, x))
    k, whole = to_whole(b, safe, 2 / 3.141592653589793)
    minus = b.negative(k)
    r = safe
    for part in PIO2:
        r = b.fma(minus, b.constant(part, x), r)
    z = b.multiply(r, r)
    sine = b.fma(b.multiply(r, z), horner(b, z, SIN), r)
    half = b.multiply(b.constant(0.5, x), z)
    cosine = b.add(b.subtract(b.constant(1.0, x), half), b.multiply(b.multiply(z, z), horner(b, z, COS)))
    quarter = b.add(whole, b.constant(turn, x, "i64"))
    one, two = b.constant(1, quarter), b.constant(2, quarter)
    zero = b.constant(0, quarter)
    odd = b.not_equal(b.bitwise_and(quarter, one), zero)
    value = b.select(odd, cosine, sine)
    value = b.select(b.not_equal(b.bitwise_and(quarter, two), zero), b.negative(value), value)
    if turn == 0:
        value = b.select(b.equal(x, b.constant(0.0, x)), x, value)
    inside = b.less(b.absolute(x), b.constant(LARGE_ANGLE, x))
    return unless_all(b, inside, value, lambda: library(b, name, x))


def _tan_in_double(b: VectorBuilder, x: Value) -> Value:
    return b.divide(_sin_cos(b, x, 0, "sin"), _sin_cos(b, x, 1, "cos"))


def tan(b: VectorBuilder, x: Value) -> Value:
    """Return sin x / cos x; in float32 both are computed in double, so half an ulp is left."""
    return b.cast(_tan_in_double(b, b.cast(x, "f64")), "f32") if x.dtype == "f32" else _tan_in_double(b, x)


def sin(b: VectorBuilder, x: Value) -> Value:
    return _sin_cos(b, x, 0, "sin")


def cos(b: VectorBuilder, x: Value) -> Value:
    return _sin_cos(b, x, 1, "cos")


def unless_all(b: VectorBuilder, condition: Value, usual: Value, rare: Callable[[], Value]) -> Value:
    """Return the usual value where the condition holds, else the rare one, computed only if some lane needs it."""
    f = b.f
    if condition.lanes == 1:
        every = condition.name
    else:
        every = f.intrinsic("i1", f"llvm.vector.reduce.and.v{condition.lanes}i1", (condition.type, condition.name))
    slow, done = f.label("rare"), f.label("joined")
    before = f.block
    f.do(f"br i1 {every}, label %{done}, label %{slow}")
    f.start(slow)
    mixed = b.select(condition, usual, rare())
    after = f.block
    f.do(f"br label %{done}")
    f.start(done)
    return b.value(f"phi {usual.type} [ {usual.name}, %{before} ], [ {mixed.name}, %{after} ]", usual)


def library(b: VectorBuilder, name: str, *operands: Value) -> Value:
    """Call a function of the C library for each lane."""
    first = operands[0]
    element = first.element
    symbol = name + ("f" if first.dtype == "f32" else "")
    if first.lanes == 1:
        return Value(b.f.intrinsic(element, symbol, *((element, o.name) for o in operands)), first.dtype, 1)
    result = "poison"
    for lane in range(first.lanes):
        scalars = [b.f.put(f"extractelement {o.type} {o.name}, i32 {lane}") for o in operands]
        one = b.f.intrinsic(element, symbol, *((element, s) for s in scalars))
        result = b.f.put(f"insertelement {first.type} {result}, {element} {one}, i32 {lane}")
    return Value(result, first.dtype, first.lanes)
