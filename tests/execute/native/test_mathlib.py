"""The native elementary functions, swept against long double, and at every special value against NumPy."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from chainrule.execute.native import engine
from chainrule.execute.native.emit import Function, Module
from chainrule.execute.native.vector import Value, VectorBuilder

pytestmark = pytest.mark.skipif(bool(engine.missing()), reason=engine.missing() or "native code runs here")

# Largest errors in ulp that are promised in mathlib.py.
BOUND = {
    "exp": 1.0, "expm1": 2.0, "log": 1.0, "log1p": 2.0, "tanh": 3.0, "sigmoid": 3.0, "softplus": 2.0, "sin": 2.0,
    "cos": 2.0, "erf": 2.0,
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
def compiled(name: str, dtype: str, lanes: int) -> tuple[Any, Callable[[Any], Any]]:
    """A loop over an array that applies one function to so many elements at a time."""
    module, element = Module(), ELEMENT[dtype]
    kind = element if lanes == 1 else f"<{lanes} x {element}>"
    f = Function(module, "define void @f(ptr %x, ptr %o, i64 %n)")
    with f.loop("0", "%n", lanes) as i:
        at = f.put(f"getelementptr {element}, ptr %x, i64 {i}")
        value = Value(f.put(f"load {kind}, ptr {at}, align 4"), dtype, lanes)
        result = getattr(VectorBuilder(f), name)(value)
        to = f.put(f"getelementptr {element}, ptr %o, i64 {i}")
        f.do(f"store {kind} {result.name}, ptr {to}, align 4")
    f.finish()
    library = engine.Library(engine.to_object(module.text()), "f")
    run = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(library.address("f"))

    def call(x: Any) -> Any:
        padded = np.concatenate([x, np.ones(-len(x) % 8, x.dtype)])
        out = np.empty_like(padded)
        run(padded.ctypes.data, out.ctypes.data, len(padded))
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
        if name == "log":
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


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("name", BOUND)
def test_vector_and_single_element_give_the_same_bits(name: str, dtype: str) -> None:
    x = sweep(name, dtype)[::7]
    with np.errstate(all="ignore"):
        x = np.concatenate([x, np.asarray(SPECIAL).astype(x.dtype)])
    wide, single = compiled(name, dtype, 8 if dtype == "f32" else 4)[1](x), compiled(name, dtype, 1)[1](x)
    same = (wide == single) & (np.signbit(wide) == np.signbit(single)) | np.isnan(wide) & np.isnan(single)
    assert np.all(same)


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
