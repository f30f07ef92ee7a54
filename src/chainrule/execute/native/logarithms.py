"""Powers of two and logarithms of other bases, and lengths, on vectors: the same bits in every lane.

Bounds in ulp, which a test sweeps: exp2 1, log2 2, log10 2, hypot 1; logaddexp 2 ulp of the larger operand or of log 2.
float32 is computed in double.
"""

from __future__ import annotations

from math import inf

from chainrule.execute.native.coefficients import EXP, LOG2E
from chainrule.execute.native.inverses import in_double
from chainrule.execute.native.mathlib import (
    clamped,
    log,
    log_at_the_ends,
    polynomial,
    scaled,
    softplus,
    split,
    to_whole,
)
from chainrule.execute.native.vector import Value, VectorBuilder

_LOG2 = 0.6931471805599453
_LOG2E_LOW = 2.0355273740931033e-17
_LOG10_2 = (3.01029995663611771306e-01, 3.69423907715893078616e-13)
_LOG10E = 4.34294481903251816668e-01


@in_double
def exp2(b: VectorBuilder, x: Value) -> Value:
    x = clamped(b, x, -1080.0, 1026.0)
    k, bits = to_whole(b, x, 1.0)
    r = b.multiply(b.subtract(x, k), b.constant(_LOG2, x))
    one = b.constant(1.0, x)
    return scaled(b, b.fma(r, b.fma(r, polynomial(b, r, EXP["f64"]), one), one), k, bits)


@in_double
def log2(b: VectorBuilder, x: Value) -> Value:
    exponent, m = split(b, x)
    natural = log(b, m)
    result = b.fma(natural, b.constant(LOG2E, x), b.fma(natural, b.constant(_LOG2E_LOW, x), exponent))
    return log_at_the_ends(b, x, result)


@in_double
def log10(b: VectorBuilder, x: Value) -> Value:
    exponent, m = split(b, x)
    high, low = _LOG10_2
    rest = b.fma(exponent, b.constant(low, x), b.multiply(log(b, m), b.constant(_LOG10E, x)))
    return log_at_the_ends(b, x, b.fma(exponent, b.constant(high, x), rest))


@in_double
def hypot(b: VectorBuilder, x: Value, y: Value) -> Value:
    """Return √(x² + y²): both are scaled by a power of two where squares would overflow or lose bits."""
    x, y = b.absolute(x), b.absolute(y)
    end, one = b.constant(inf, x), b.constant(1.0, x)
    infinite = b.logical_or(b.equal(x, end), b.equal(y, end))
    longer, shorter = b.maximum(x, y), b.minimum(x, y)
    large, small = b.greater(longer, b.constant(2.0**500, x)), b.less(longer, b.constant(2.0**-400, x))
    factor = b.select(large, b.constant(2.0**-600, x), b.select(small, b.constant(2.0**600, x), one))
    back = b.select(large, b.constant(2.0**600, x), b.select(small, b.constant(2.0**-600, x), one))
    longer, shorter = b.multiply(longer, factor), b.multiply(shorter, factor)
    root = b.sqrt(b.fma(longer, longer, b.multiply(shorter, shorter)))  # of the squares only the smaller is rounded
    return b.select(infinite, end, b.multiply(root, back))  # even beside NaN


@in_double
def logaddexp(b: VectorBuilder, x: Value, y: Value) -> Value:
    """Return max(x, y) + log(1 + e to the power −|x − y|); of two equal infinities that infinity."""
    apart = b.select(b.equal(x, y), b.constant(0.0, x), b.subtract(x, y))
    return b.add(b.maximum(x, y), softplus(b, b.negative(b.absolute(apart))))
