"""Elementary functions on vectors, from additions, multiplications and bits alone: the same bits in every lane.

Bounds in ulp, which a test sweeps: exp 1, expm1 2, log 1, log1p 2, tanh 3, sigmoid 3, softplus 2, erf 2, sin and cos 2,
power 1 in float32 and 2 in float64. Sine and cosine of very large arguments go to the C library, lane by lane. Special
values follow IEEE 754 and NumPy: ±0, ±Inf, NaN and subnormals are right.

Argument reduction is Cody and Waite's (1980); the polynomials stand in ``coefficients``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from math import inf, nan

from chainrule.execute.native import engine
from chainrule.execute.native.coefficients import (
    BIAS,
    COS,
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
    PIO2,
    POWER_EXP,
    POWER_LOG,
    POWER_TAIL,
    SIN,
    TWO_THIRDS_LOW,
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


def _to_whole(b: VectorBuilder, x: Value, factor: float) -> tuple[Value, Value]:
    """Return x·factor rounded to a whole number, and the integer whose lowest bits are that number."""
    magic = b.constant(_magic(x.dtype), x)
    shifted = b.fma(x, b.constant(factor, x), magic)
    return b.subtract(shifted, magic), b.bitcast(shifted, INTEGER[x.dtype])


def _less_rounded(b: VectorBuilder, x: Value, k: Value) -> Value:
    """Return x − k·log 2."""
    high, low = LN2[x.dtype]
    minus = b.negative(k)
    return b.fma(minus, b.constant(low, x), b.fma(minus, b.constant(high, x), x))


def _shift(b: VectorBuilder, name: str, a: Value, bits: int) -> Value:
    """Shift an integer by a known number of bits."""
    return b.value(f"{name} {a.type} {a.name}, {b.constant(bits, a).name}", a)


def _clamped(b: VectorBuilder, x: Value, low: float | None, high: float | None) -> Value:
    """Hold x between two numbers; NaN stays NaN. (In this form each side is one instruction.)"""
    if low is not None:
        bound = b.constant(low, x)
        x = b.select(b.greater(bound, x), bound, x)
    if high is not None:
        bound = b.constant(high, x)
        x = b.select(b.less(bound, x), bound, x)
    return x


def _power_of_two(b: VectorBuilder, bits: Value, like: Value) -> Value:
    """Return 2ᵏ for the k in the lowest bits of an integer, which must be the exponent of a normal number."""
    kind = like.dtype
    exponent = _shift(b, "shl", bits, MANTISSA[kind])
    return b.bitcast(b.add(exponent, b.constant(BIAS[kind] << MANTISSA[kind], exponent)), kind)


def _scaled(b: VectorBuilder, p: Value, k: Value, bits: Value) -> Value:
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


def _exp_within(b: VectorBuilder, x: Value, tail: Value | None = None) -> Value:
    """Return eˣ, or e to the power x + tail, for x within ``EXP_RANGE``."""
    k, bits = _to_whole(b, x, LOG2E)
    r = _less_rounded(b, x, k)
    if tail is not None:
        r = b.add(r, tail)
    one = b.constant(1.0, x)
    p = b.fma(r, b.fma(r, polynomial(b, r, EXP[x.dtype]), one), one)  # only the last two roundings are near 1 in size
    return _scaled(b, p, k, bits)


def exp(b: VectorBuilder, x: Value) -> Value:
    return _exp_within(b, _clamped(b, x, *EXP_RANGE[x.dtype]))


def _expm1_within(b: VectorBuilder, x: Value) -> Value:
    """Return (eˣ − 1)/2 for x from −60 to the end of ``EXP_RANGE``."""
    k, bits = _to_whole(b, x, LOG2E)
    r = _less_rounded(b, x, k)
    p = b.fma(b.multiply(r, r), polynomial(b, r, EXPM1[x.dtype]), r)  # eʳ − 1
    s = _power_of_two(b, b.subtract(bits, b.constant(1, bits)), x)  # 2ᵏ⁻¹, which is finite
    return b.fma(s, p, b.subtract(s, b.constant(0.5, x)))  # 2ᵏ⁻¹(eʳ − 1) + (2ᵏ⁻¹ − ½)


def expm1(b: VectorBuilder, x: Value) -> Value:
    half = _expm1_within(b, _clamped(b, x, -60.0, EXP_RANGE[x.dtype][1]))
    # doubling a subnormal half would lose its last bit, and −0 its sign
    small = b.less(b.absolute(x), b.constant(2.0 ** -(MANTISSA[x.dtype] + 2), x))
    return b.select(small, x, b.add(half, half))


def _split(b: VectorBuilder, x: Value, subnormal: bool = True) -> tuple[Value, Value]:
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
    exponent, m = _split(b, x)
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
    size = _clamped(b, b.absolute(x), None, 22.0 if x.dtype == "f64" else 10.0)
    half = _expm1_within(b, b.add(size, size))  # tanh x = t/(t + 2) with t = e²ˣ − 1 = 2·half
    value = b.divide(half, b.add(half, b.constant(1.0, x)))
    small = b.less(size, b.constant(2.0 ** -(MANTISSA[x.dtype] // 2 + 2), x))
    return b.copysign(b.select(small, size, value), x)  # x³/3 is less than half an ulp; half may be subnormal


def _exp_of_minus_size(b: VectorBuilder, x: Value) -> Value:
    """Return e to the power −|x|, which never overflows."""
    minus = b.negative(b.absolute(x))
    return _exp_within(b, _clamped(b, minus, EXP_RANGE[x.dtype][0], None))


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
    size = _clamped(b, b.absolute(x), None, end)
    within = _clamped(b, size, None, 1.0)
    inside = b.fma(x, polynomial(b, b.multiply(within, within), near), x)
    p = polynomial(b, b.subtract(_clamped(b, size, 1.0, None), one), far)
    outside = b.copysign(b.subtract(one, _exp_within(b, b.negative(p))), x)  # erf x = 1 − exp(−p(|x|)) for x > 0
    return b.select(b.less(size, one), inside, outside)


LARGE_ANGLE = 1e5


def _sin_cos(b: VectorBuilder, x: Value, turn: int, name: str) -> Value:
    if x.dtype == "f32":  # computed in double: exact reduction, and half an ulp in the end
        return b.cast(_sin_cos(b, b.cast(x, "f64"), turn, name), "f32")
    safe = b.select(b.less(b.absolute(x), b.constant(LARGE_ANGLE, x)), x, b.constant(0.0, x))
    k, whole = _to_whole(b, safe, 2 / 3.141592653589793)
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
    return _unless_all(b, inside, value, lambda: library(b, name, x))


def sin(b: VectorBuilder, x: Value) -> Value:
    return _sin_cos(b, x, 0, "sin")


def cos(b: VectorBuilder, x: Value) -> Value:
    return _sin_cos(b, x, 1, "cos")


def _unless_all(b: VectorBuilder, condition: Value, usual: Value, rare: Callable[[], Value]) -> Value:
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
    exponent, m = _split(b, size, subnormal=False)
    f = b.subtract(m, b.constant(1.0, m))
    s = b.divide(f, b.add(b.constant(2.0, f), f))
    z = b.multiply(s, s)
    log_m = b.fma(b.multiply(s, z), polynomial(b, z, POWER_LOG), b.add(s, s))
    logarithm = _at_the_ends(b, size, b.fma(exponent, b.constant(1 / LOG2E, f), log_m))
    t = _clamped(b, b.multiply(y, logarithm), -110.0, 95.0)
    k, bits = _to_whole(b, t, LOG2E)
    r = _less_rounded(b, t, k)
    one = b.constant(1.0, r)
    p = b.fma(r, b.fma(r, polynomial(b, r, POWER_EXP), one), one)
    return b.cast(b.multiply(p, _power_of_two(b, bits, p)), "f32")


def _power_in_two_doubles(b: VectorBuilder, size: Value, y: Value) -> Value:
    """Return |x|ʸ of float64: exp(y·log|x|) with the logarithm as a sum of two floats, good to about 65 bits."""
    exponent, m = _split(b, size)
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
    return _exp_within(b, _clamped(b, t, *EXP_RANGE["f64"]), t_low)


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


FUNCTIONS: Mapping[str, Callable[..., Value]] = {
    "exp": exp,
    "expm1": expm1,
    "log": log,
    "log1p": log1p,
    "tanh": tanh,
    "sigmoid": sigmoid,
    "erf": erf,
    "softplus": softplus,
    "sin": sin,
    "cos": cos,
    "power": power,
}
