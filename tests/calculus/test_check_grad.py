"""check_grad finds a wrong gradient: in a wrong operation, in one element, and where it is NaN."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import TraceError, TypeMismatch
from chainrule.ops import TABLE, elementwise


@pytest.fixture
def wrong_cube():
    """x³ whose rule forgets the 3."""
    yield elementwise(
        "wrong_cube", "x", evaluate=lambda x: x**3, pullback={"x": lambda g, y, x: g * x * x}, latex="{x}^3",
        because="it is wrong on purpose", sample=[(0.5, 2)],
    )  # fmt: skip
    TABLE.pop("wrong_cube")


def test_a_right_gradient_is_true():
    check = cr.check_grad(lambda x: np.sum(np.exp(x) * np.sin(x)), np.array([0.0, 1.0, -2.0]))
    assert check
    assert check.ok
    assert 0 <= check.difference < 1e-9
    assert "agrees with central differences" in str(check)


def test_a_wrong_rule_is_found_and_placed(wrong_cube):
    check = cr.check_grad(
        lambda p: np.sum(p["a"]) + np.sum(wrong_cube(p["b"])), {"a": np.ones(2), "b": np.array([0.1, 2.0])}
    )
    assert not check
    assert check.where == "argument 0.b[1]"
    assert (check.gradient, round(check.numeric, 6)) == (4.0, 12.0)
    assert check.difference == pytest.approx(8 / 12, rel=1e-6)
    assert "DIFFERS from central differences" in str(check)
    assert "argument 0.b[1]: 4 against 12" in str(check)


def test_a_small_error_is_found(wrong_cube):
    assert not cr.check_grad(lambda x: x + 1e-5 * wrong_cube(x), 1.0)
    assert cr.check_grad(lambda x: x + 1e-8 * wrong_cube(x), 1.0)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_nan_is_never_right_wherever_it_stands(place):
    x = np.ones(3)
    x[place] = -1.0
    check = cr.check_grad(lambda x: np.sum(np.where(x > 0, x, np.sqrt(x))), x)
    assert not check
    assert np.isnan(check.difference)


def test_a_nan_in_the_gradient_alone_is_found():
    rule = {"x": lambda g, y, x: cr.ops.where(x > 0, g, g * np.nan)}
    try:
        bad = elementwise("nan_below_zero", "x", evaluate=lambda x: x, pullback=rule, sample=[(1, 2)])
        for x in (np.array([-1.0, 1.0]), np.array([1.0, -1.0])):
            check = cr.check_grad(lambda x: np.sum(bad(x)), x)
            assert not check
            assert np.isnan(check.gradient)
    finally:
        TABLE.pop("nan_below_zero")


def test_an_infinite_gradient_is_not_right():
    assert not cr.check_grad(lambda x: np.sqrt(x), 0.0)


def test_all_arguments_are_checked_in_double_precision(wrong_cube):
    assert cr.check_grad(lambda x, y: x * y, np.float32(0.1), 3)
    check = cr.check_grad(lambda x, y: x * wrong_cube(y), 1.0, 2.0)
    assert check.where == "argument 1"


def test_tolerance_and_step(wrong_cube):
    assert cr.check_grad(lambda x: wrong_cube(x), 1.0, tolerance=1.0)
    check = cr.check_grad(lambda x: x**3, 1.0, step=1e-2)
    assert not check  # h²·f‴/6 = 1e-4
    assert check.difference == pytest.approx(1e-4 / 3, rel=1e-3)


def test_what_cannot_be_checked():
    with pytest.raises(TypeMismatch, match="needs at least one argument"):
        cr.check_grad(lambda: 1.0)
    with pytest.raises(TraceError, match=r"use cr\.jacobian"):
        cr.check_grad(lambda x: x, np.ones(2))
    assert cr.check_grad(lambda x: np.sum(x), np.ones(0))
