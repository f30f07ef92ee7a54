"""The native elementary functions, swept against long double, and at every special value against NumPy."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from chainrule.execute.native import engine, mathlib
from chainrule.execute.native.emit import Function, Module
from chainrule.execute.native.vector import Value, VectorBuilder

pytestmark = pytest.mark.skipif(bool(engine.missing()), reason=engine.missing() or "native code runs here")

# Largest errors in ulp that mathlib.py, trigonometry.py and powers.py promise.
BOUND = {
    "exp": 1.0, "expm1": 2.0, "log": 1.0, "log1p": 2.0, "tanh": 3.0, "sigmoid": 3.0, "softplus": 2.0, "sin": 2.0,
    "cos": 2.0, "tan": 4.0, "erf": 2.0, "arctan": 1.5, "arcsin": 1.5, "arccos": 1.5, "sinh": 3.0, "cosh": 2.0,
    "arcsinh": 3.0, "arccosh": 3.0, "arctanh": 3.0, "exp2": 1.0, "log2": 2.0, "log10": 2.0,
}  # fmt: skip


def true_sigmoid(x: Any) -> Any:
    small = np.exp(-np.abs(x))
    return np.where(x < 0, small, 1) / (1 + small)


def true_erf(x: Any) -> Any:
    """Return erf to long double: its series Σ (−1)ᵏ x²ᵏ⁺¹/(k!(2k+1)) near 0, the continued fraction of erfc beyond."""
    size = np.minimum(np.abs(x), np.longdouble(7))
    near, far = np.minimum(size, np.longdouble(2.5)), np.maximum(size, np.longdouble(2.5))
    # with all terms positive: 2/√π·exp(−x²)·Σ 2ᵏx²ᵏ⁺¹/(1·3·…·(2k+1)), so nothing cancels
    term = total = near
    for k in range(1, 90):
        term = term * 2 * near * near / (2 * k + 1)
        total = total + term
    root_pi = np.sqrt(np.arctan(np.longdouble(1)) * 4)
    inside = 2 / root_pi * np.exp(-near * near) * total
    fraction = np.zeros_like(far)
    for k in range(120, 0, -1):
        fraction = (np.longdouble(k) / 2) / (far + fraction)
    outside = 1 - np.exp(-far * far) / (root_pi * (far + fraction))
    return np.copysign(np.where(size < 2.5, inside, outside), x).astype(x.dtype)


# What NumPy has no function for, as formulas that are accurate in the tails.
FORMULA: dict[str, Callable[[Any], Any]] = {
    "sigmoid": true_sigmoid,
    "erf": true_erf,
    "softplus": lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
}


def judge(name: str) -> Callable[[Any], Any]:
    return FORMULA.get(name) or getattr(np, name)  # type: ignore[no-any-return]


ELEMENT = {"f32": "float", "f64": "double"}
NUMPY = {"f32": np.float32, "f64": np.float64}
SPECIAL = [
    0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 0.5, -0.5, 2.0, 1e-8, -1e-8, 1e-40, -1e-40, 1e-310, 5e-324,
    1e38, -1e38, 1e300, -1e300, 88.7, 88.8, -87.4, -103.9, -104.1, 709.7, 709.9, -708.5, -745.1, -745.3, 22.0,
    -22.0, 99999.0, 1e5, 1e6, -1e22, 3.141592653589793, 1.5707963267948966, 0.1, 17.5, 40.5,
]  # fmt: skip


@cache
def compiled(name: str, dtype: str, lanes: int, operands: int = 1, exponent: float | None = None) -> Any:
    """A loop over arrays that applies one function to so many elements at a time."""
    module, element = Module(), ELEMENT[dtype]
    kind = element if lanes == 1 else f"<{lanes} x {element}>"
    f = Function(module, "define void @f(ptr %x, ptr %y, ptr %o, i64 %n)")
    with f.loop("0", "%n", lanes) as i:
        values = []
        for array in ("%x", "%y")[:operands]:
            at = f.put(f"getelementptr {element}, ptr {array}, i64 {i}")
            values.append(Value(f.put(f"load {kind}, ptr {at}, align 4"), dtype, lanes))
        b = VectorBuilder(f)
        if exponent is not None:
            values.append(b.constant(exponent, values[0]))
        result = getattr(b, name)(*values)
        to = f.put(f"getelementptr {element}, ptr %o, i64 {i}")
        f.do(f"store {kind} {result.name}, ptr {to}, align 4")
    f.finish()
    library = engine.Library(engine.to_object(module.text()), "f")
    kinds = [ctypes.c_void_p] * 3 + [ctypes.c_int64]
    run = ctypes.CFUNCTYPE(None, *kinds)(library.address("f"))

    def call(x: Any, y: Any = None) -> Any:
        padded = [np.concatenate([a, np.ones(-len(a) % 16, a.dtype)]) for a in (x, x if y is None else y)]
        out = np.empty_like(padded[0])
        run(padded[0].ctypes.data, padded[1].ctypes.data, out.ctypes.data, len(out))
        return out[: len(x)]

    return library, call


def sweep(name: str, dtype: str) -> Any:
    """Every exponent of the dtype with random mantissas, and the ranges where the function does its work."""
    rng = np.random.default_rng(0)
    low, high = (-149, 128) if dtype == "f32" else (-1074, 1024)
    exponents = np.repeat(np.arange(low, high), 60)
    wide = np.ldexp(rng.uniform(1, 2, len(exponents)), exponents) * rng.choice([-1.0, 1.0], len(exponents))
    near = [rng.uniform(-r, r, 30000) for r in (1e-3, 1.0, 3.0, 20.0, 110.0, 750.0)]
    x = np.concatenate([wide, *near])
    with np.errstate(all="ignore"):
        if name in ("log", "log2", "log10", "arccosh"):
            x = np.abs(x)
        if name == "log1p":
            x = np.where(x <= -1, -0.999 / x, x)
        return x.astype(NUMPY[dtype])


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("name", BOUND)
def test_error_over_the_whole_range(name: str, dtype: str) -> None:
    x = sweep(name, dtype)
    lanes = 8 if dtype == "f32" else 4
    got = compiled(name, dtype, lanes)[1](x)
    with np.errstate(all="ignore"):
        true = judge(name)(x.astype(np.longdouble))
        rounded = true.astype(x.dtype)
        fine = np.isfinite(rounded) & np.isfinite(true)
        error = np.abs(got[fine].astype(np.longdouble) - true[fine]) / np.spacing(np.abs(rounded[fine]))
    worst = int(np.argmax(error))
    assert error[worst] <= BOUND[name], f"{name}({x[fine][worst]!r}) is off by {float(error[worst]):.2f} ulp"
    np.testing.assert_array_equal(np.isnan(got), np.isnan(rounded))
    np.testing.assert_array_equal(np.isposinf(got), np.isposinf(rounded))
    np.testing.assert_array_equal(np.isneginf(got), np.isneginf(rounded))


def same_bits(a: Any, b: Any) -> bool:
    return bool(np.all((a == b) & (np.signbit(a) == np.signbit(b)) | np.isnan(a) & np.isnan(b)))


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("name", BOUND)
def test_every_width_gives_the_same_bits(name: str, dtype: str) -> None:
    x = sweep(name, dtype)[::7]
    with np.errstate(all="ignore"):
        x = np.concatenate([x, np.asarray(SPECIAL).astype(x.dtype)])
    single = compiled(name, dtype, 1)[1](x)
    for lanes in (2, 4, 8, 16):
        assert same_bits(compiled(name, dtype, lanes)[1](x), single), f"{lanes} lanes"


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("name", ["exp", "sigmoid"])
def test_scaling_by_two_factors_gives_the_bits_of_the_instruction(
    name: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = np.concatenate([sweep(name, dtype), np.linspace(-750, 720, 20001, dtype=NUMPY[dtype])])
    usual = compiled(name, dtype, 4)[1](x)
    monkeypatch.setattr(mathlib, "_scale_instruction", lambda p: "")
    for lanes in (1, 8):
        library, call = compiled.__wrapped__(name, dtype, lanes)
        assert same_bits(call(x), usual)
        del library  # it had to live until here


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("name", BOUND)
def test_special_values(name: str, dtype: str) -> None:
    with np.errstate(all="ignore"):
        x = np.asarray(SPECIAL).astype(NUMPY[dtype])
        expected = judge(name)(x)
        got = compiled(name, dtype, 1)[1](x)
        near = np.abs(got - expected) <= 5 * np.spacing(np.abs(expected))
    for value, a, b, close in zip(x, got, expected, near, strict=True):
        if np.isnan(b):
            assert np.isnan(a), f"{name}({value!r}) is {a!r}, not NaN"
        elif np.isinf(b) or b == 0:
            assert a == b, f"{name}({value!r}) is {a!r}, not {b!r}"
            assert np.signbit(a) == np.signbit(b), f"{name}({value!r}) has the wrong sign"
        else:
            assert close, f"{name}({value!r}) is {a!r}, not {b!r}"


POWER_BOUND = {"f32": 1.0, "f64": 2.0}


def pairs(dtype: str) -> tuple[Any, Any]:
    """Bases of every size and exponents that bring the result to every size; bases near 1 with large exponents."""
    rng = np.random.default_rng(1)
    low, high = (-149, 128) if dtype == "f32" else (-1074, 1024)
    exponents = np.repeat(np.arange(low, high), 40)
    bases = [np.ldexp(rng.uniform(1, 2, len(exponents)), exponents)]
    bases += [1 + rng.choice([-1, 1], 20000) * 2.0 ** rng.uniform(-52 if dtype == "f64" else -23, 0, 20000) * 0.999]
    base = np.concatenate(bases).astype(NUMPY[dtype])
    with np.errstate(all="ignore"):
        size = np.abs(np.log2(base.astype(np.float64)))
        power = (rng.uniform(low - 4, high + 4, len(base)) / np.where(size == 0, 1, size)).astype(NUMPY[dtype])
    whole = np.arange(len(base)) % 5 == 0
    power[whole] = rng.integers(-20, 21, np.sum(whole))
    base[whole] *= rng.choice([-1, 1], np.sum(whole))
    return base, power


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_error_of_power_over_the_whole_range(dtype: str) -> None:
    x, y = pairs(dtype)
    got = compiled("power", dtype, 8 if dtype == "f32" else 4, 2)[1](x, y)
    with np.errstate(all="ignore"):
        true = np.power(x.astype(np.longdouble), y.astype(np.longdouble))
        rounded = true.astype(x.dtype)
        fine = np.isfinite(rounded)
        error = np.abs(got[fine].astype(np.longdouble) - true[fine]) / np.spacing(np.abs(rounded[fine]))
    worst = int(np.argmax(error))
    place = f"{x[fine][worst]!r} to the power {y[fine][worst]!r}"
    assert error[worst] <= POWER_BOUND[dtype], f"{place} is off by {float(error[worst]):.2f} ulp"
    assert np.sum(fine) > len(x) // 2
    np.testing.assert_array_equal(got[~fine], rounded[~fine])
    single = compiled("power", dtype, 1, 2)[1](x[::9], y[::9])
    for lanes in (4, 8, 16):
        assert same_bits(compiled("power", dtype, lanes, 2)[1](x, y)[::9], single)


POWERS = [0.0, 1.0, 2.0, 3.0, -1.0, 0.5, -0.5, 1.5, 4.0, -2.0, -3.0, 5.0, np.inf, np.nan, 1e-40, 1e-310, 1e30, 1e300]
POWERS += [2.0**24 + 1, 2.0**53 + 2, 2.0**53 - 1, 16777215.0, 1 + 2.0**-23, 1 - 2.0**-24, 1 + 2.0**-52, 1e-5]


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_special_values_of_power(dtype: str) -> None:
    """Every pair of special numbers, of both signs, against NumPy."""
    with np.errstate(all="ignore"):
        line = np.unique([*POWERS, *(-v for v in POWERS), *SPECIAL]).astype(NUMPY[dtype])
        line = np.concatenate([line, -np.zeros(1, line.dtype)])
        x, y = (g.ravel().copy() for g in np.meshgrid(line, line))
        expected = np.power(x, y)
        got = compiled("power", dtype, 1, 2)[1](x, y)
        far = ~(np.abs(got - expected) <= 3 * np.spacing(np.abs(expected)))
    exact = ~np.isfinite(expected) | (expected == 0)
    wrong = np.where(exact, (got != expected) & ~(np.isnan(got) & np.isnan(expected)), far)
    wrong |= ~np.isnan(expected) & (np.signbit(got) != np.signbit(expected))
    assert not np.any(wrong), [(float(x[i]), float(y[i]), float(got[i])) for i in np.flatnonzero(wrong)[:5]]


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("exponent", [1.0, 2.0, 3.0, 0.5, -1.0, 0.0, 2.5])
def test_power_with_a_literal_exponent(exponent: float, dtype: str) -> None:
    with np.errstate(all="ignore"):
        x = np.concatenate([sweep("exp", dtype), np.asarray(SPECIAL).astype(NUMPY[dtype])])
        expected = np.power(x.astype(np.longdouble), np.longdouble(exponent))
        rounded = expected.astype(x.dtype)
    for lanes in (1, 4):
        got = compiled("power", dtype, lanes, 1, exponent)[1](x)
        fine = np.isfinite(rounded)
        error = np.abs(got[fine] - expected[fine]) / np.spacing(np.abs(rounded[fine]))
        assert np.max(error) <= POWER_BOUND[dtype]
        np.testing.assert_array_equal(got[~fine], rounded[~fine])
        real = ~np.isnan(rounded)
        np.testing.assert_array_equal(np.signbit(got[real]), np.signbit(rounded[real]))


PAIR_BOUND = {"arctan2": 2.5, "hypot": 1.0, "logaddexp": 2.0}


def points(dtype: str) -> tuple[Any, Any]:
    """Pairs of every size and sign, near each other and far apart."""
    rng = np.random.default_rng(2)
    low, high = (-149, 128) if dtype == "f32" else (-1074, 1024)
    exponents = np.repeat(np.arange(low, high), 40)
    x = np.ldexp(rng.uniform(1, 2, len(exponents)), exponents) * rng.choice([-1.0, 1.0], len(exponents))
    with np.errstate(all="ignore"):
        y = x * 2.0 ** rng.uniform(-60, 60, len(x)) * rng.choice([-1.0, 1.0], len(x))
    near = [rng.uniform(-r, r, (2, 20000)) for r in (1e-3, 1.0, 40.0, 800.0)]
    x, y = (np.concatenate([a, *(n[i] for n in near)]) for i, a in enumerate((x, y)))
    with np.errstate(all="ignore"):
        return x.astype(NUMPY[dtype]), y.astype(NUMPY[dtype])


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("name", PAIR_BOUND)
def test_error_of_functions_of_two_numbers(name: str, dtype: str) -> None:
    x, y = points(dtype)
    got = compiled(name, dtype, 8 if dtype == "f32" else 4, 2)[1](x, y)
    with np.errstate(all="ignore"):
        true = getattr(np, name)(x.astype(np.longdouble), y.astype(np.longdouble))
        rounded = true.astype(x.dtype)
        size = np.abs(rounded)
        if name == "logaddexp":  # a sum of the larger operand and at most log 2, which may cancel
            size = np.maximum(size, np.maximum(np.abs(np.maximum(x, y)), x.dtype.type(np.log(2))))
        fine = np.isfinite(rounded)
        error = np.abs(got[fine].astype(np.longdouble) - true[fine]) / np.spacing(size[fine])
    worst = int(np.argmax(error))
    place = f"{name}({x[fine][worst]!r}, {y[fine][worst]!r})"
    assert error[worst] <= PAIR_BOUND[name], f"{place} is off by {float(error[worst]):.2f} ulp"
    assert np.sum(fine) > len(x) * 0.9
    np.testing.assert_array_equal(got[~fine], rounded[~fine])
    single = compiled(name, dtype, 1, 2)[1](x[::9], y[::9])
    for lanes in (4, 8, 16):
        assert same_bits(compiled(name, dtype, lanes, 2)[1](x, y)[::9], single)


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("name", PAIR_BOUND)
def test_special_values_of_two_numbers(name: str, dtype: str) -> None:
    """Every pair of special numbers, of both signs, against NumPy: signs of zeros and infinities too."""
    with np.errstate(all="ignore"):
        line = np.unique([*SPECIAL, *(-v for v in SPECIAL)]).astype(NUMPY[dtype])
        line = np.concatenate([line, -np.zeros(1, line.dtype)])
        x, y = (g.ravel().copy() for g in np.meshgrid(line, line))
        expected = getattr(np, name)(x, y)
        got = compiled(name, dtype, 1, 2)[1](x, y)
        size = np.abs(expected)
        if name == "logaddexp":
            size = np.fmax(size, np.fmax(np.abs(np.maximum(x, y)), line.dtype.type(np.log(2))))
        far = ~(np.abs(got - expected) <= (PAIR_BOUND[name] + 1) * np.spacing(size))
    wrong = np.where(np.isfinite(expected), far, (got != expected) & ~(np.isnan(got) & np.isnan(expected)))
    if name == "arctan2":
        wrong |= ~np.isnan(expected) & (np.signbit(got) != np.signbit(expected))
    assert not np.any(wrong), [(float(x[i]), float(y[i]), float(got[i])) for i in np.flatnonzero(wrong)[:5]]
