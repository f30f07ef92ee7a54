"""Elementary functions on vectors, from additions, multiplications and bits alone: the same bits in every lane.

Bounds in ulp, which a test sweeps: exp 1, expm1 2, log 1, log1p 2, tanh 3, sin and cos 2. ``power``, and sin and cos
of very large arguments, go to the C library, lane by lane. Special values follow IEEE 754 and NumPy: ±0, ±Inf, NaN and
subnormals are right.

Sources: argument reduction by Cody and Waite (1980); the logarithm's and sine's coefficients are fdlibm's (Sun
Microsystems, 1993), the exponential's are Taylor's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import factorial, inf, nan

from chainrule.execute.native.vector import Value, VectorBuilder

LOG2E = 1.4426950408889634
LN2 = {"f64": (6.93147180369123816490e-01, 1.90821492927058770002e-10), "f32": (0.693359375, -2.12194440e-4)}
LOG_LN2 = {"f64": LN2["f64"], "f32": (6.9313812256e-01, 9.0580006145e-06)}
LOG_COEFFICIENTS = {
    "f64": (
        6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01, 2.222219843214978396e-01,
        1.818357216161805012e-01, 1.531383769920937332e-01, 1.479819860511658591e-01,
    ),
    "f32": (0.66666662693, 0.40000972152, 0.28498786688, 0.24279078841),
}  # fmt: skip
EXP_DEGREE = {"f64": 13, "f32": 7}
MANTISSA = {"f64": 52, "f32": 23}
BIAS = {"f64": 1023, "f32": 127}
INTEGER = {"f64": "i64", "f32": "i32"}
EXP_RANGE = {"f64": (-746.0, 710.0), "f32": (-104.0, 89.0)}


def horner(b: VectorBuilder, x: Value, coefficients: Sequence[float]) -> Value:
    """Return c₀ + x(c₁ + x(c₂ + …)) with a fused multiply-add a step."""
    total = b.constant(coefficients[-1], x)
    for c in reversed(coefficients[:-1]):
        total = b.fma(total, x, b.constant(c, x))
    return total


def _reduced(b: VectorBuilder, x: Value) -> tuple[Value, Value]:
    """Return k and r with x = k·log 2 + r and |r| ≤ ½ log 2; x must be in a range where k is an exponent."""
    k = b.rint(b.multiply(x, b.constant(LOG2E, x)))
    high, low = LN2[x.dtype]
    minus = b.negative(k)
    return k, b.fma(minus, b.constant(low, x), b.fma(minus, b.constant(high, x), x))


def _power_of_two(b: VectorBuilder, k: Value, like: Value) -> Value:
    """Return 2ᵏ for whole numbers k within the exponents of normal numbers, by setting the exponent's bits."""
    bits = b.add(k, b.constant(BIAS[like.dtype], k))
    return b.bitcast(b.left_shift(bits, b.constant(MANTISSA[like.dtype], k)), like.dtype)


def _whole(b: VectorBuilder, k: Value) -> Value:
    """Convert a float that holds a whole number to an integer; NaN (whose conversion is undefined) to 0."""
    safe = b.select(b.is_nan(k), b.constant(0.0, k), k)
    return b.cast(safe, INTEGER[k.dtype])


def _clamped(b: VectorBuilder, x: Value, low: float, high: float) -> Value:
    """Hold x between two numbers; NaN stays NaN."""
    x = b.select(b.less(x, b.constant(low, x)), b.constant(low, x), x)
    return b.select(b.greater(x, b.constant(high, x)), b.constant(high, x), x)


def _scaled(b: VectorBuilder, p: Value, k: Value) -> Value:
    """Return p·2ᵏ in two factors, so that results that are subnormal or overflow are right."""
    whole = _whole(b, k)
    half = b.right_shift(whole, b.constant(1, whole))
    return b.multiply(b.multiply(p, _power_of_two(b, half, p)), _power_of_two(b, b.subtract(whole, half), p))


def exp(b: VectorBuilder, x: Value) -> Value:
    x = _clamped(b, x, *EXP_RANGE[x.dtype])
    k, r = _reduced(b, x)
    p = horner(b, r, [1.0 / factorial(i) for i in range(EXP_DEGREE[x.dtype] + 1)])
    return _scaled(b, p, k)


def expm1(b: VectorBuilder, x: Value) -> Value:
    degree = EXP_DEGREE[x.dtype] + 1
    large = b.constant(40.0 if x.dtype == "f64" else 17.0, x)
    small = _clamped(b, x, -60.0, 41.0 if x.dtype == "f64" else 18.0)
    k, r = _reduced(b, small)
    tail = horner(b, r, [1.0 / factorial(i) for i in range(2, degree + 1)])
    p = b.fma(b.multiply(r, r), tail, r)  # eʳ − 1
    s = _power_of_two(b, _whole(b, k), x)
    middle = b.fma(s, p, b.subtract(s, b.constant(1.0, x)))  # 2ᵏ(eʳ − 1) + (2ᵏ − 1)
    result = b.select(b.greater(x, large), exp(b, x), middle)
    return b.select(b.equal(x, b.constant(0.0, x)), x, result)


def log(b: VectorBuilder, x: Value) -> Value:
    kind, shift = INTEGER[x.dtype], MANTISSA[x.dtype]
    tiny = b.less(x, b.constant(2.0 ** (1 - BIAS[x.dtype]), x))
    scaled = b.select(tiny, b.multiply(x, b.constant(2.0 ** (shift + 2), x)), x)
    bits = b.bitcast(scaled, kind)
    half_root = b.constant(0x3FE6A09E00000000 if x.dtype == "f64" else 0x3F3504F3, bits)  # √½
    e = b.right_shift(b.subtract(bits, half_root), b.constant(shift, bits))
    m = b.bitcast(b.subtract(bits, b.left_shift(e, b.constant(shift, bits))), x.dtype)  # in [√½, √2)
    exponent = b.subtract(b.cast(e, x.dtype), b.select(tiny, b.constant(shift + 2.0, x), b.constant(0.0, x)))
    f = b.subtract(m, b.constant(1.0, x))
    s = b.divide(f, b.add(b.constant(2.0, x), f))
    z = b.multiply(s, s)
    r = b.multiply(z, horner(b, z, LOG_COEFFICIENTS[x.dtype]))
    half_square = b.multiply(b.constant(0.5, x), b.multiply(f, f))
    high, low = LOG_LN2[x.dtype]
    inner = b.fma(exponent, b.constant(low, x), b.multiply(s, b.add(half_square, r)))
    result = b.subtract(b.multiply(exponent, b.constant(high, x)), b.subtract(b.subtract(half_square, inner), f))
    zero = b.constant(0.0, x)
    result = b.select(b.equal(x, zero), b.constant(-inf, x), result)
    result = b.select(b.less(x, zero), b.constant(nan, x), result)
    keep = b.logical_or(b.is_nan(x), b.equal(x, b.constant(inf, x)))
    return b.select(keep, x, result)


def log1p(b: VectorBuilder, x: Value) -> Value:
    one = b.constant(1.0, x)
    u = b.add(one, x)
    lost = b.subtract(x, b.subtract(u, one))  # what rounding 1 + x lost
    result = b.add(log(b, u), b.divide(lost, u))
    result = b.select(b.equal(u, b.constant(0.0, x)), b.constant(-inf, x), result)
    result = b.select(b.equal(x, b.constant(inf, x)), x, result)
    return b.select(b.equal(u, one), x, result)


def tanh(b: VectorBuilder, x: Value) -> Value:
    size = _clamped(b, b.absolute(x), 0.0, 22.0 if x.dtype == "f64" else 10.0)
    t = expm1(b, b.add(size, size))
    return b.copysign(b.divide(t, b.add(t, b.constant(2.0, x))), x)


PIO2 = (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591833e-33)
SIN = (-1.66666666666666324348e-01, 8.33333333332248946124e-03, -1.98412698298579493134e-04, 2.75573137070700676789e-06,
       -2.50507602534068634195e-08, 1.58969099521155010221e-10)  # fmt: skip
COS = (4.16666666666666019037e-02, -1.38888888888741095749e-03, 2.48015872894767294178e-05, -2.75573143513906633035e-07,
       2.08757232129817482790e-09, -1.13596475577881948265e-11)  # fmt: skip
LARGE_ANGLE = 1e5


def _sin_cos(b: VectorBuilder, x: Value, turn: int, name: str) -> Value:
    if x.dtype == "f32":  # computed in double: exact reduction, and half an ulp in the end
        return b.cast(_sin_cos(b, b.cast(x, "f64"), turn, name), "f32")
    safe = b.select(b.less(b.absolute(x), b.constant(LARGE_ANGLE, x)), x, b.constant(0.0, x))
    k = b.rint(b.multiply(safe, b.constant(2 / 3.141592653589793, x)))
    minus = b.negative(k)
    r = safe
    for part in PIO2:
        r = b.fma(minus, b.constant(part, x), r)
    z = b.multiply(r, r)
    sine = b.fma(b.multiply(r, z), horner(b, z, SIN), r)
    half = b.multiply(b.constant(0.5, x), z)
    cosine = b.add(b.subtract(b.constant(1.0, x), half), b.multiply(b.multiply(z, z), horner(b, z, COS)))
    quarter = b.add(_whole(b, k), b.constant(turn, x, "i64"))
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


def power(b: VectorBuilder, x: Value, y: Value) -> Value:
    return library(b, "pow", x, y)


FUNCTIONS: Mapping[str, Callable[..., Value]] = {
    "exp": exp,
    "expm1": expm1,
    "log": log,
    "log1p": log1p,
    "tanh": tanh,
    "sin": sin,
    "cos": cos,
    "power": power,
}
