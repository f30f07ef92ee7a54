"""Infinite scores, lengths of 0 and constant columns: the values are NumPy's, and no derivative is NaN."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from op_executors import equals_numpy, results, slopes

import chainrule as cr

INF = np.inf
BOTH = pytest.mark.parametrize("dtype", [np.float32, np.float64])
SPECIAL = [0.0, -0.0, 1.0, -1.0, 2.5, INF, -INF, np.nan, 1e-30, -1e30, 700.0]


@BOTH
def test_logaddexp_at_every_pair_of_special_numbers(dtype: Any) -> None:
    a, b = (np.array(x, dtype) for x in zip(*product(SPECIAL, SPECIAL), strict=True))
    equals_numpy(lambda a, b: np.logaddexp(a, b), a, b, ulp=4)


@BOTH
def test_the_derivative_of_logaddexp(dtype: Any) -> None:
    a = np.array([INF, -INF, 3.0, INF, -INF, -INF, 1e4, 1.0], dtype)
    b = np.array([INF, -INF, 3.0, -INF, INF, 2.0, -1e4, 0.0], dtype)
    wanted = [0.5, 0.5, 0.5, 1, 0, 0, 1, 1 / (1 + np.exp(-1.0))]
    for slope in slopes(lambda a, b: np.logaddexp(a, b), a, b):
        np.testing.assert_allclose(slope, np.array(wanted, dtype), rtol=1e-6)
    second = cr.grad(cr.grad(lambda a: np.logaddexp(a, 3.0)))
    assert second(3.0) == 0.25  # a tie is no kink: σ'(0)


@BOTH
def test_logsumexp_of_infinite_rows(dtype: Any) -> None:
    x = np.array([[-INF, -INF, -INF], [1.0, -INF, 2.0], [INF, 1.0, 2.0], [INF, INF, -INF], [1.0, 1.0, 1.0]], dtype)
    for value in results(lambda x: cr.ops.logsumexp(x, axis=1), x):
        np.testing.assert_allclose(value, [-INF, np.logaddexp(1.0, 2.0), INF, INF, 1 + np.log(3)], rtol=1e-6)
    first = 1 / (1 + np.e)
    third = 1 / 3
    wanted = [[third] * 3, [first, 0, 1 - first], [1, 0, 0], [0.5, 0.5, 0], [third] * 3]
    for slope in slopes(lambda x: cr.ops.logsumexp(x, axis=1), x):
        np.testing.assert_allclose(slope, np.array(wanted, dtype), rtol=1e-6)


@BOTH
def test_masked_scores_have_finite_derivatives(dtype: Any) -> None:
    """A class that is not possible has the score −Inf: the loss of the others is as if it were not there."""
    z, y = np.array([[1.0, -INF, 2.0], [0.0, 1.0, -INF]], dtype), np.array([0, 1])
    short = np.array([[1.0, 2.0], [0.0, 1.0]], dtype)
    losses = (
        lambda z, y: -cr.ops.log_softmax(z)[np.arange(2), y],
        lambda z, y: -np.log(cr.ops.softmax(z)[np.arange(2), y]),
        lambda z, y: cr.ops.logsumexp(z, axis=1) - z[np.arange(2), y],
    )
    for loss in losses:
        alone = slopes(loss, short, y)[0]
        wanted = np.array([[alone[0, 0], 0, alone[0, 1]], [*alone[1], 0]])
        for slope in slopes(loss, z, y):
            np.testing.assert_allclose(slope, wanted, rtol=1e-5, atol=1e-7)
        for value, other in zip(results(loss, z, y), results(loss, short, y), strict=True):
            np.testing.assert_array_equal(value, other)


@BOTH
def test_the_loss_of_masked_scores(dtype: Any) -> None:
    """−Inf: the gradient is right (the value 0·log 0 is not defined); −1e9: both are."""
    y = np.array([0, 2])
    z = np.array([[1.0, -INF, 2.0], [0.0, 1.0, 2.0]], dtype)
    large = np.where(z == -INF, dtype(-1e9), z)

    def loss(z: Any, y: Any) -> Any:
        return cr.nn.losses.softmax_cross_entropy(y, z)

    for masked, other in zip(slopes(loss, z, y), slopes(loss, large, y), strict=True):
        np.testing.assert_array_equal(masked, other)
        assert np.all(np.isfinite(masked))
    for value in results(loss, large, y):
        np.testing.assert_allclose(value.ravel()[0], np.logaddexp(0.0, 1.0), rtol=1e-6)


@BOTH
def test_hypot_at_every_pair_of_special_numbers(dtype: Any) -> None:
    numbers = [*SPECIAL, 1e300 if dtype == np.float64 else 1e38, 1e-38, 5e-324 if dtype == np.float64 else 1e-45]
    a, b = (np.array(x, dtype) for x in zip(*product(numbers, numbers), strict=True))
    equals_numpy(lambda a, b: np.hypot(a, b), a, b, ulp=1)
    equals_numpy(lambda a, b: np.arctan2(a, b), a, b, ulp=3)


@BOTH
def test_lengths_of_zero_have_the_derivative_zero(dtype: Any) -> None:
    x = np.array([0.0, 3.0, 0.0], dtype)
    for slope in slopes(lambda x: np.hypot(x, np.where(x > 1, 4.0, 0 * x)), x):
        np.testing.assert_allclose(slope, [0, 0.6, 0], rtol=1e-6)
    for slope in slopes(lambda x: np.arctan2(x, x), np.zeros(2, dtype)):
        np.testing.assert_array_equal(slope, [0, 0])
    for slope in slopes(lambda x: np.linalg.norm(x, axis=0), np.zeros((2, 2), dtype)):
        np.testing.assert_array_equal(slope, np.zeros((2, 2)))


@BOTH
def test_pythons_numbers_take_the_dtype_of_x_in_every_ufunc(dtype: Any) -> None:
    x = np.array([0.25, 1.5, 2.0], dtype)
    for function in (
        lambda x: np.hypot(x, 3.0),
        lambda x: np.hypot(3, x),
        lambda x: np.logaddexp(x, 1.0),
        lambda x: np.arctan2(x, 2),
        lambda x: np.degrees(x) + np.radians(x),
    ):
        equals_numpy(function, x, ulp=3)


@BOTH
def test_the_deviation_of_a_constant_column_has_the_derivative_zero(dtype: Any) -> None:
    x = np.array([[1.0, 2.0], [1.0, 4.0], [1.0, 0.0]], dtype)
    for function in (np.std, lambda x, axis: np.std(x, axis=axis, ddof=1), lambda x, axis: x.std(axis=axis)):
        equals_numpy(lambda x, function=function: function(x, axis=0), x, ulp=2)
        for slope in slopes(lambda x, function=function: function(x, axis=0), x):
            np.testing.assert_array_equal(slope[:, 0], np.zeros(3))
            assert np.all(np.isfinite(slope))
            assert slope[1, 1] > 0
    second = cr.hessian(np.std)(np.ones(2))
    np.testing.assert_array_equal(second, np.zeros((2, 2)))


@BOTH
def test_elementary_functions_at_special_numbers(dtype: Any) -> None:
    x = np.array([*SPECIAL, 0.5, -0.5, 1.5, 8.0, 1000.0, 1024.0, 711.0, -89.0, 0.9999999, -0.9999999], dtype)
    for name in (
        "arcsin",
        "arccos",
        "arctan",
        "sinh",
        "cosh",
        "arcsinh",
        "arccosh",
        "arctanh",
        "exp2",
        "log2",
        "log10",
    ):
        equals_numpy(getattr(np, name), x, ulp=3)
    powers = 2.0 ** np.arange(-120, 120)
    for got in results(lambda x: np.log2(x), powers.astype(dtype)):
        np.testing.assert_array_equal(got, np.arange(-120, 120))
    for got in results(lambda x: np.exp2(x), np.arange(-120, 120).astype(dtype)):
        np.testing.assert_array_equal(got, powers)


def test_derivatives_at_the_ends_of_what_is_defined() -> None:
    for function, point, slope in (
        (np.arcsin, 1.0, INF), (np.arccos, -1.0, -INF), (np.arctanh, 1.0, INF), (np.arccosh, 1.0, INF),
        (np.arctan, 1e300, 0.0), (np.arctan, INF, 0.0), (np.arcsinh, 1e300, 1e-300), (np.arcsinh, -INF, 0.0),
        (np.arccosh, 1e300, 1e-300), (np.log2, 0.0, INF), (np.log10, 0.0, INF), (np.exp2, -INF, 0.0),
        (lambda x: np.hypot(x, 1e300), 1e300, 0.5**0.5), (lambda x: np.arctan2(x, 1e300), 1e300, 0.5e-300),
    ):  # fmt: skip
        np.testing.assert_allclose(cr.grad(function)(point), slope, rtol=1e-14)
