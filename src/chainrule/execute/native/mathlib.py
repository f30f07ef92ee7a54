"""Elementary functions on vectors, from additions, multiplications and bits alone: the same bits in every lane.

Bounds in ulp, which a test sweeps: exp 1, expm1 2, log 1, log1p 2, tanh 3, sigmoid 3, softplus 2, erf 2. Special values
follow IEEE 754 and NumPy: ±0, ±Inf, NaN and subnormals are right. Sine, cosine and tangent stand in ``trigonometry``,
their inverses in ``inverses``, powers in ``powers``, and all by their names in ``elementary``.

Argument reduction is Cody and Waite's (1980); the polynomials stand in ``coefficients``.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, nan

from chainrule.execute.native import engine
from chainrule.execute.native.coefficients import (
    BIAS,
    ERF,
    EXP,
    EXP_RANGE,
    EXPM1,
    INTEGER,
    LN2,
    LOG1P,
    LOG2E,
    LOG_COEFFICIENTS,
    LOG_LN2,
    MANTISSA,
)
from chainrule.execute.native.vector import Value, VectorBuilder


def horner(b: VectorBuilder, x: Value, coefficients: Sequence[float]) -> Value:
    """Return c₀ + x(c₁ + x(c₂ + …)) with a fused multiply-add a step."""
    total = b.constant(coefficients[-1], x)
    for c in reversed(coefficients[:-1]):
        total = b.fma(total, x, b.constant(c, x))
    return total


def polynomial(b: VectorBuilder, x: Value, coefficients: Sequence[float]) -> Value:
    """Return c₀ + c₁x + c₂x² + … as (c₀ + c₁x) + x²(c₂ + c₃x) + …, pairs in pairs: few steps wait for one another."""
    pairs = [coefficients[i : i + 2] for i in range(0, len(coefficients), 2)]
    terms = [
        b.fma(b.constant(pair[1], x), x, b.constant(pair[0], x)) if len(pair) == 2 else b.constant(pair[0], x)
        for pair in pairs
    ]
    while len(terms) > 1:
        x = b.multiply(x, x)
        terms = [b.fma(terms[i + 1], x, terms[i]) if i + 1 < len(terms) else terms[i] for i in range(0, len(terms), 2)]
    return terms[0]


def _magic(dtype: str) -> float:
    """Return 1.5·2²³ or 1.5·2⁵²: a sum with it is rounded to a whole number, which stands in its lowest bits."""
    return 1.5 * 2.0 ** MANTISSA[dtype]


def to_whole(b: VectorBuilder, x: Value, factor: float) -> tuple[Value, Value]:
    """Return x·factor rounded to a whole number, and the integer whose lowest bits are that number."""
    magic = b.constant(_magic(x.dtype), x)
    shifted = b.fma(x, b.constant(factor, x), magic)
    return b.subtract(shifted, magic), b.bitcast(shifted, INTEGER[x.dtype])


def less_rounded(b: VectorBuilder, x: Value, k: Value) -> Value:
    """Return x − k·log 2."""
    high, low = LN2[x.dtype]
    minus = b.negative(k)
    return b.fma(minus, b.constant(low, x), b.fma(minus, b.constant(high, x), x))


def _shift(b: VectorBuilder, name: str, a: Value, bits: int) -> Value:
    """Shift an integer by a known number of bits."""
    return b.value(f"{name} {a.type} {a.name}, {b.constant(bits, a).name}", a)


def clamped(b: VectorBuilder, x: Value, low: float | None, high: float | None) -> Value:
    """Hold x between two numbers; NaN stays NaN. (In this form each side is one instruction.)"""
    if low is not None:
        bound = b.constant(low, x)
        x = b.select(b.greater(bound, x), bound, x)
    if high is not None:
        bound = b.constant(high, x)
        x = b.select(b.less(bound, x), bound, x)
    return x


def power_of_two(b: VectorBuilder, bits: Value, like: Value) -> Value:
    """Return 2ᵏ for the k in the lowest bits of an integer, which must be the exponent of a normal number."""
    kind = like.dtype
    exponent = _shift(b, "shl", bits, MANTISSA[kind])
    return b.bitcast(b.add(exponent, b.constant(BIAS[kind] << MANTISSA[kind], exponent)), kind)


def scaled(b: VectorBuilder, p: Value, k: Value, bits: Value) -> Value:
    """Return p·2ᵏ, rounded once: results that are subnormal or overflow are right.

    One instruction where the processor has it, else two factors, of which the first is exact; the bits are equal.
    """
    one = _scale_instruction(p)
    if one:
        return _scale_by_instruction(b, one, p, k)
    shift = MANTISSA[p.dtype]
    whole = _shift(b, "shl", bits, shift)
    half = _shift(b, "shl", _shift(b, "lshr", bits, 1), shift)
    bias = b.constant(BIAS[p.dtype] << shift, whole)
    first = b.bitcast(b.add(half, bias), p.dtype)
    second = b.bitcast(b.add(b.subtract(whole, half), bias), p.dtype)
    return b.multiply(b.multiply(p, first), second)


def _scale_instruction(p: Value) -> str:
    """Return the name of the instruction p·2ᵏ for vectors of this width, or ''."""
    if "+avx512vl" not in engine.known_host()["features"].split(","):
        return ""
    letter = "s" if p.dtype == "f32" else "d"
    if p.lanes == 1:
        return f"llvm.x86.avx512.mask.scalef.s{letter}"
    width = p.lanes * (4 if p.dtype == "f32" else 8) * 8
    return f"llvm.x86.avx512.mask.scalef.p{letter}.{width}" if width in (128, 256, 512) else ""


def _scale_by_instruction(b: VectorBuilder, name: str, p: Value, k: Value) -> Value:
    lanes = p.lanes if p.lanes > 1 else 16 // (4 if p.dtype == "f32" else 8)
    kind = f"<{lanes} x {p.element}>"
    if p.lanes > 1:
        operands = [(kind, p.name), (kind, k.name), (kind, "zeroinitializer")]
    else:
        wide = [b.f.put(f"insertelement {kind} poison, {p.element} {v.name}, i32 0") for v in (p, k)]
        operands = [*((kind, v) for v in wide), (kind, "zeroinitializer")]
    mask = f"i{max(lanes, 8) if p.lanes > 1 else 8}"
    operands.append((mask, "-1"))
    if p.lanes == 1 or name.endswith(".512"):
        operands.append(("i32", "4"))  # the rounding in force
    signature = f"{kind} @{name}({', '.join(t + (' immarg' if t == 'i32' else '') for t, _ in operands)})"
    b.f.module.declare(signature)
    result = b.f.put(f"call {kind} @{name}({', '.join(f'{t} {v}' for t, v in operands)})")
    if p.lanes == 1:
        result = b.f.put(f"extractelement {kind} {result}, i32 0")
    return Value(result, p.dtype, p.lanes)


def exp_within(b: VectorBuilder, x: Value, tail: Value | None = None) -> Value:
    """Return eˣ, or e to the power x + tail, for x within ``EXP_RANGE``."""
    k, bits = to_whole(b, x, LOG2E)
    r = less_rounded(b, x, k)
    if tail is not None:
        r = b.add(r, tail)
    one = b.constant(1.0, x)
    p = b.fma(r, b.fma(r, polynomial(b, r, EXP[x.dtype]), one), one)  # only the last two roundings are near 1 in size
    return scaled(b, p, k, bits)


def exp(b: VectorBuilder, x: Value) -> Value:
    return exp_within(b, clamped(b, x, *EXP_RANGE[x.dtype]))


def half_expm1(b: VectorBuilder, x: Value) -> Value:
    """Return (eˣ − 1)/2 for x from −60 to the end of ``EXP_RANGE``."""
    k, bits = to_whole(b, x, LOG2E)
    r = less_rounded(b, x, k)
    p = b.fma(b.multiply(r, r), polynomial(b, r, EXPM1[x.dtype]), r)  # eʳ − 1
    s = power_of_two(b, b.subtract(bits, b.constant(1, bits)), x)  # 2ᵏ⁻¹, which is finite
    return b.fma(s, p, b.subtract(s, b.constant(0.5, x)))  # 2ᵏ⁻¹(eʳ − 1) + (2ᵏ⁻¹ − ½)


def expm1(b: VectorBuilder, x: Value) -> Value:
    half = half_expm1(b, clamped(b, x, -60.0, EXP_RANGE[x.dtype][1]))
    # doubling a subnormal half would lose its last bit, and −0 its sign
    small = b.less(b.absolute(x), b.constant(2.0 ** -(MANTISSA[x.dtype] + 2), x))
    return b.select(small, x, b.add(half, half))


def split(b: VectorBuilder, x: Value, subnormal: bool = True) -> tuple[Value, Value]:
    """Return e and m in [√½, √2) with x = m·2ᵉ, for x > 0 (of others, something); ``subnormal``: may x be that."""
    kind, shift, bias = INTEGER[x.dtype], MANTISSA[x.dtype], BIAS[x.dtype]
    scaled, magic = x, b.constant(2.0**shift + bias, x)
    if subnormal:
        tiny = b.less(x, b.constant(2.0 ** (1 - bias), x))
        scaled = b.select(tiny, b.multiply(x, b.constant(2.0 ** (shift + 2), x)), x)
        magic = b.select(tiny, b.constant(2.0**shift + bias + shift + 2.0, x), magic)
    bits = b.bitcast(scaled, kind)
    half_root = 0x3FE6A09E00000000 if x.dtype == "f64" else 0x3F3504F3  # √½
    # counted from √½ and moved by the bias, the exponent is at least 0; beside 2²³ or 2⁵² it becomes a float exactly
    moved = b.subtract(bits, b.constant(half_root - (bias << shift), bits))
    e = _shift(b, "lshr", moved, shift)
    beside = (bias + shift) << shift
    exponent = b.subtract(b.bitcast(b.bitwise_or(e, b.constant(beside, e)), x.dtype), magic)
    mantissa = b.bitwise_and(moved, b.constant((1 << shift) - 1, bits))
    return exponent, b.bitcast(b.add(mantissa, b.constant(half_root, bits)), x.dtype)


def log(b: VectorBuilder, x: Value) -> Value:
    exponent, m = split(b, x)
    f = b.subtract(m, b.constant(1.0, x))
    square = b.multiply(f, f)
    half_square = b.multiply(b.constant(0.5, x), square)
    if x.dtype == "f32":  # log(1 + f) = f − f²/2 + f³·q(f): cheaper than a division, where q is short
        rest = b.multiply(b.multiply(square, f), polynomial(b, f, LOG_COEFFICIENTS["f32"]))
    else:  # with s = f/(2 + f): log(1 + f) = f − f²/2 + s(f²/2 + s²·q(s²))
        s = b.divide(f, b.add(b.constant(2.0, x), f))
        z = b.multiply(s, s)
        rest = b.multiply(s, b.fma(z, polynomial(b, z, LOG_COEFFICIENTS["f64"]), half_square))
    high, low = LOG_LN2[x.dtype]
    inner = b.fma(exponent, b.constant(low, x), rest)
    result = b.subtract(b.multiply(exponent, b.constant(high, x)), b.subtract(b.subtract(half_square, inner), f))
    return log_at_the_ends(b, x, result)


def log_at_the_ends(b: VectorBuilder, x: Value, result: Value) -> Value:
    """Return a logarithm's result for x > 0, but −Inf of 0, NaN of less, and Inf and NaN of themselves."""
    zero = b.constant(0.0, x)
    outside = b.select(b.equal(x, zero), b.constant(-inf, x), b.constant(nan, x))
    result = b.select(b.less_equal(x, zero), outside, result)
    return b.select(b.less(x, b.constant(inf, x)), result, x)  # Inf and NaN


def log1p(b: VectorBuilder, x: Value) -> Value:
    one = b.constant(1.0, x)
    u = b.add(one, x)
    lost = b.subtract(x, b.subtract(u, one))  # what rounding 1 + x lost
    result = b.add(log(b, u), b.divide(lost, u))
    result = b.select(b.equal(u, b.constant(0.0, x)), b.constant(-inf, x), result)
    result = b.select(b.equal(x, b.constant(inf, x)), x, result)
    return b.select(b.equal(u, one), x, result)


def tanh(b: VectorBuilder, x: Value) -> Value:
    size = clamped(b, b.absolute(x), None, 22.0 if x.dtype == "f64" else 10.0)
    half = half_expm1(b, b.add(size, size))  # tanh x = t/(t + 2) with t = e²ˣ − 1 = 2·half
    value = b.divide(half, b.add(half, b.constant(1.0, x)))
    small = b.less(size, b.constant(2.0 ** -(MANTISSA[x.dtype] // 2 + 2), x))
    return b.copysign(b.select(small, size, value), x)  # x³/3 is less than half an ulp; half may be subnormal


def _exp_of_minus_size(b: VectorBuilder, x: Value) -> Value:
    """Return e to the power −|x|, which never overflows."""
    minus = b.negative(b.absolute(x))
    return exp_within(b, clamped(b, minus, EXP_RANGE[x.dtype][0], None))


def sigmoid(b: VectorBuilder, x: Value) -> Value:
    small = _exp_of_minus_size(b, x)
    one = b.constant(1.0, x)
    # 1/(1 + e⁻ˣ) for x ≥ 0, and eˣ/(1 + eˣ) for x < 0: accurate in both tails
    return b.divide(b.select(b.less(x, b.constant(0.0, x)), small, one), b.add(one, small))


def softplus(b: VectorBuilder, x: Value) -> Value:
    t = _exp_of_minus_size(b, x)
    s = b.divide(t, b.add(b.constant(2.0, x), t))  # log(1 + t) = 2·artanh(t/(2 + t)), for t from 0 to 1
    z = b.multiply(s, s)
    r = b.multiply(z, polynomial(b, z, LOG1P[x.dtype]))
    half_square = b.multiply(b.constant(0.5, x), b.multiply(t, t))
    # log(1 + t) = t − (t²/2 − s(t²/2 + z·q)): the part that is rounded is the smaller one
    small = b.subtract(t, b.subtract(half_square, b.multiply(s, b.add(half_square, r))))
    return b.add(b.select(b.less(x, b.constant(0.0, x)), b.constant(0.0, x), x), small)


def erf(b: VectorBuilder, x: Value) -> Value:
    near, far, end = ERF[x.dtype]
    one = b.constant(1.0, x)
    size = clamped(b, b.absolute(x), None, end)
    within = clamped(b, size, None, 1.0)
    inside = b.fma(x, polynomial(b, b.multiply(within, within), near), x)
    p = polynomial(b, b.subtract(clamped(b, size, 1.0, None), one), far)
    outside = b.copysign(b.subtract(one, exp_within(b, b.negative(p))), x)  # erf x = 1 − exp(−p(|x|)) for x > 0
    return b.select(b.less(size, one), inside, outside)
