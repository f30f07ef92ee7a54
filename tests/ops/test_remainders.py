"""Remainders and whole quotients: NumPy's bits, on both executors, over every exponent and at every special value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr

FUNCTIONS = {"remainder": np.remainder, "floor_divide": np.floor_divide}
EXECUTORS = ("reference", "native")
SPECIAL = np.array([
    0.0, -0.0, 1.0, -1.0, 0.5, -3.5, 2.0, 0.1, 7.0, 1e22, 3.0, np.inf, -np.inf, np.nan, 5e-324, -5e-324, 1e-310, 1e-40,
    1e308, -1e308, 2.0**53, 1 - 2.0**53, 1e300,
])  # fmt: skip


def pairs(dtype: str) -> list[tuple[Any, Any]]:
    """Operands: all pairs of specials, every exponent, small quotients, and what is near a multiple."""
    rng = np.random.default_rng(0)
    least, most = (-149, 127) if dtype == "f4" else (-1074, 1023)
    signs = rng.choice([-1.0, 1.0], (2, 4000))
    wide = np.ldexp(rng.uniform(1, 2, (2, 4000)) * signs, rng.integers(least, most, (2, 4000)))
    small = rng.uniform(-100, 100, 4000), rng.choice([0.1, 0.3, 0.7, 3.0, -0.1, -2.5], 4000)
    multiples = rng.integers(-(10**6), 10**6, 4000) * 0.1, np.full(4000, 0.1)
    specials = [m.ravel() for m in np.meshgrid(SPECIAL, SPECIAL)]
    with np.errstate(all="ignore"):
        return [(a.astype(dtype), b.astype(dtype)) for a, b in (specials, wide, small, multiples)]


def assert_equal_bits(found: Any, expected: Any) -> None:
    """Equal, and of equal sign where the result is 0; NaN where NumPy has NaN, whatever its bits."""
    np.testing.assert_array_equal(found, expected, strict=True)
    zero = expected == 0
    np.testing.assert_array_equal(np.signbit(found[zero]), np.signbit(expected[zero]))


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_bits_are_numpys(name, dtype, executor):
    function = FUNCTIONS[name]
    compiled = cr.compile(lambda a, b: function(a, b), executor=executor)
    for a, b in pairs(dtype):
        with np.errstate(all="ignore"):
            expected = function(a, b)
        assert_equal_bits(compiled(a, b), expected)
        for start in range(0, len(a) - 3, len(a) // 5):  # a few elements are straight-line code
            part = slice(start, start + 3)
            assert_equal_bits(compiled(a[part], b[part]), expected[part])


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("dtype", ["i4", "i8", "u4", "u8"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_integers_by_zero_and_at_the_ends_of_their_range(name, dtype, executor):
    function, ends = FUNCTIONS[name], np.iinfo(dtype)
    numbers = (0, 1, 2, 3, 7, -1, -2, -7, ends.min, ends.min + 1, ends.max)
    row = np.array([v for v in numbers if ends.min <= v <= ends.max], dtype)
    a, b = (m.ravel() for m in np.meshgrid(row, row))
    with np.errstate(all="ignore"):
        expected = function(a, b)
    found = cr.compile(lambda a, b: function(a, b), executor=executor)(a, b)
    np.testing.assert_array_equal(found, expected, strict=True)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_operators_give_numpys_numbers(executor):
    for function, x in [
        (lambda x: x % 0.1, 7.0),
        (lambda x: x // 0.1, 7.0),
        (lambda x: x % 3, 1e22),
        (lambda x: x // 2.0, np.inf),
        (lambda x: 7.5 % x, -2.0),
        (lambda x: 7.5 // x, -2.0),
    ]:
        with np.errstate(all="ignore"):
            expected = function(np.float64(x))
        np.testing.assert_array_equal(cr.compile(function, executor=executor)(x), expected)
    assert cr.compile(lambda x: divmod(x, 2.0), executor=executor)(7.5) == (3.0, 1.5)
    assert cr.compile(lambda x: divmod(7.5, x), executor=executor)(2.0) == (3.0, 1.5)


def test_derivatives_between_the_jumps():
    a, b = np.array([7.1, -7.1, 0.4]), np.array([2.0, 0.3, -1.5])
    assert cr.check_grad(lambda a: np.sum(a % b), a)
    assert cr.check_grad(lambda b: np.sum(a % b), b)
    np.testing.assert_array_equal(cr.grad(lambda b: np.sum(a % b))(b), -(a // b))
    np.testing.assert_array_equal(cr.grad(lambda a: np.sum(a // b))(a), np.zeros(3))
