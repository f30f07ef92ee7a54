"""Truth values and integers: counted, averaged, compared and multiplied by, as NumPy does it, on both executors."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from op_executors import equals_numpy, results, slopes

import chainrule as cr
from chainrule.errors import TypeMismatch
from chainrule.graph import Type, n

X = np.array([[0.5, -1.5, 2.0, 0.0], [3.0, -0.25, -2.0, 1.0]])
MASK = np.array([[True, False, True, True], [False, False, True, True]])
LABELS = np.array([2, 0])
INTEGERS = np.array([[3, -5, 2, 3], [0, 7, -5, 1]])

MASKS: Mapping[str, Callable[[Any], Any]] = {
    "accuracy": lambda x: np.mean(np.argmax(x, axis=1) == LABELS),
    "accuracy, as a method": lambda x: (x.argmax(axis=1) == LABELS).mean(),
    "accuracy, by hand": lambda x: np.sum(np.argmax(x, axis=1) == LABELS) / len(LABELS),
    "how many": lambda x: np.sum(x > 0),
    "how many in each row": lambda x: np.sum(x > 0, axis=1, keepdims=True),
    "how many, counted": lambda x: np.count_nonzero(x > 0, axis=0),
    "share": lambda x: np.mean(x > 0, axis=0),
    "variance of a share": lambda x: np.var(x > 0),
    "running count": lambda x: np.cumsum(x > 0, axis=1),
    "product of truth values": lambda x: np.prod(x > -9, axis=1),
    "largest truth value": lambda x: np.max(x > 0, axis=1),
    "least truth value": lambda x: np.min(x > 0, axis=1),
    "first true": lambda x: np.argmax(x > 1, axis=1),
    "first false": lambda x: np.argmin(x > 0, axis=1, keepdims=True),
    "either": lambda x: (x > 0) + (x < -1),
    "both": lambda x: (x > 0) * (x < 1),
    "larger truth value": lambda x: np.maximum(x > 0, x < -1) | np.minimum(x > 0, x < 1),
    "truth value is": lambda x: (x > 0) == MASK,
    "any number": lambda x: np.any(x, axis=1) & np.all(x, axis=1),
    "masked mean": lambda x: np.mean(x, where=MASK),
    "masked mean of rows": lambda x: np.mean(x, axis=1, keepdims=True, where=x > 0),
    "masked sum": lambda x: np.sum(x, axis=0, where=MASK) + np.sum(x, where=x < 0),
    "masked count": lambda x: np.sum(x > 0, where=MASK),
    "masked product": lambda x: np.prod(x, axis=1, where=MASK),
}
FLOAT_MASKS: Mapping[str, Callable[[Any], Any]] = {
    "a mask times x": lambda x: (x > 0) * x,
    "x times a mask": lambda x: x * (x > 0),
    "x times a constant mask": lambda x: x * MASK + MASK * x,
    "x and a mask": lambda x: x + (x > 0) - (x < 1),
    "as in a label": lambda x: np.mean(((x > 0) == (x * 0 + 1)) * x, dtype=x.dtype),
    "x above a mask": lambda x: np.maximum(x, x > 0),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", [*MASKS, *FLOAT_MASKS])
def test_truth_values_are_numpys(name: str, dtype: Any) -> None:
    if "masked" in name or name in FLOAT_MASKS:
        equals_numpy({**MASKS, **FLOAT_MASKS}[name], X.astype(dtype), ulp=2)
    else:
        equals_numpy(MASKS[name], X.astype(dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_mask_is_a_constant_to_calculus(dtype: Any) -> None:
    x = X.astype(dtype)
    for slope in slopes(lambda x: (x > 0) * x * x, x):
        np.testing.assert_array_equal(slope, 2 * x * (x > 0), strict=True)
    for slope in slopes(lambda x: np.mean(x, where=MASK), x):
        np.testing.assert_allclose(slope, MASK / MASK.sum(), rtol=1e-6)
        assert slope.dtype == dtype
    for slope in slopes(lambda x: x * np.mean(x > 0, dtype=x.dtype), x):
        np.testing.assert_array_equal(slope, np.full_like(x, 0.5), strict=True)


def test_pythons_numbers_beside_truth_values_alone_are_numpys() -> None:
    for function in (
        lambda x: (x > 0) * 1.5,
        lambda x: 1 - (x > 0),
        lambda x: (x > 0) / 2,
        lambda x: (x > 0) == 1,
        lambda x: np.where(x > 0, 1.0, 0.1),
        lambda x: np.where(x > 0, 1, 0),
        lambda x: np.where(x > 0, True, False),
    ):
        for dtype in (np.float32, np.float64):
            equals_numpy(function, X.astype(dtype))


def test_a_dtype_that_is_asked_for_is_that_of_the_result() -> None:
    for function in (
        lambda x: np.sum(x, axis=0, dtype=np.float32),
        lambda x: np.mean(x, axis=1, dtype=np.float32),
        lambda x: np.std(x, axis=0, dtype=np.float32),
        lambda x: np.cumsum(x > 0, dtype=np.int32),
        lambda x: np.prod(x > 0, axis=0, dtype=np.int32),
        lambda x: np.zeros_like(x, dtype=np.float32) + np.ones_like(x, dtype=np.float32),
        lambda x: np.full_like(x, 3, dtype=np.int64),
    ):
        for dtype in (np.float32, np.float64):
            equals_numpy(function, X.astype(dtype), ulp=2)


def test_accuracy_over_n_rows() -> None:
    graph = cr.make_graph(lambda z, y: np.mean(np.argmax(z, axis=1) == y), Type("f32", (n, 4)), Type("i64", (n,)))
    for count in (1, 2):
        arrays = [X[:count].astype("f4"), LABELS[:count]]
        for executor in ("reference", "native"):
            (got,) = cr.execute.get_executor(executor).run(graph, arrays)
            assert got == np.mean(np.argmax(X[:count], axis=1) == LABELS[:count])


WHOLE: Mapping[str, Callable[[Any], Any]] = {
    "negative": lambda i: -i,
    "abs": lambda i: abs(i),
    "np.abs": lambda i: np.abs(i),
    "sign": lambda i: np.sign(i),
    "square": lambda i: i**2,
    "round": lambda i: np.round(i),
    "maximum": lambda i: np.maximum(i, i[::-1]),
    "minimum": lambda i: np.minimum(i, 2),
    "clip": lambda i: np.clip(i, 1, 3),
    "max": lambda i: np.max(i),
    "max of columns": lambda i: np.max(i, axis=0),
    "max of rows": lambda i: np.max(i, axis=1, keepdims=True),
    "min": lambda i: np.min(i),
    "min of columns": lambda i: np.min(i, axis=0),
    "min of rows": lambda i: np.min(i, axis=1),
    "argmax": lambda i: np.argmax(i),
    "argmax of columns": lambda i: np.argmax(i, axis=0),
    "argmin": lambda i: np.argmin(i),
    "argmin of rows": lambda i: np.argmin(i, axis=1),
    "ptp": lambda i: np.ptp(i, axis=0),
    "mean": lambda i: np.mean(i),
    "mean of rows": lambda i: np.mean(i, axis=1),
    "var": lambda i: np.var(i, axis=0, ddof=1),
    "std": lambda i: np.std(i),
    "any": lambda i: np.any(i, axis=1),
    "all": lambda i: np.all(i, axis=0),
    "quotient": lambda i: i / 2,
    "quotient of integers": lambda i: (i - i[::-1]) / (i + 100),
    "quotient by a float": lambda i: i / 2.5,
    "whole quotient": lambda i: i // 2 + i % 3,
}


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint32, np.uint64])
@pytest.mark.parametrize("name", WHOLE)
def test_integers_are_numpys(name: str, dtype: Any) -> None:
    rng = np.random.default_rng(3)
    for i in (INTEGERS, rng.integers(-60, 60, (37, 5)), rng.integers(-60, 60, (3, 70))):
        equals_numpy(WHOLE[name], (i - i.min() * (dtype in (np.uint32, np.uint64))).astype(dtype), ulp=4)


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint32, np.uint64])
def test_the_ends_of_a_range_of_integers(dtype: Any) -> None:
    """−x of the least integer wraps around, so the least element is not the largest of −x."""
    limits = np.iinfo(dtype)
    i = np.array([5, limits.max, limits.min, 3, limits.min, limits.max], dtype)
    for name in ("max", "min", "argmax", "argmin", "negative", "abs", "sign", "maximum"):
        equals_numpy(WHOLE[name], i)


def test_dtypes_that_do_not_mix_are_refused_by_operand() -> None:
    for refused, message in (
        (lambda x: x * np.arange(4), "multiply: b is i64[2,4], a is f64[2,4]; convert one of them, for instance b.as"),
        (lambda x: np.sum(x) / np.sum(x > 0), "divide: b is i64[], a is f64[]; convert one of them, for instance b.as"),
        (lambda x: x * np.float32(2), "multiply: b is f32[2,4], a is f64[2,4]; convert one of them"),
        (lambda x: (x > 0) - (x < 1), "subtract: a is bool[2,4]; it takes f32 or f64 or i32 or i64 or u32 or u64; con"),
        (lambda x: -(x > 0), "negative: x is bool[2,4]; it takes f32 or f64 or i32 or i64 or u32 or u64; convert it "),
        (lambda x: np.exp(x > 0), "exp: x is bool[2,4]; it takes f32 or f64; convert it first: x.astype('float64')"),
        (lambda x: np.cumprod(x > 0), "cumprod: x is i64[8]; it takes f32 or f64; convert it first: x.astype('float6"),
    ):  # fmt: skip
        with pytest.raises(TypeMismatch, match=re.escape(message)):
            cr.make_graph(refused, X)


def test_plain_arrays_are_counted_too() -> None:
    """What is applied outside a traced function gives the same."""
    assert cr.ops.sum_(MASK) == 5
    assert cr.ops.mean(MASK) == 0.625
    assert cr.ops.mean(INTEGERS) == np.mean(INTEGERS)
    assert cr.ops.argmin(np.array([2, 0, 1], np.uint32)) == 1
    assert cr.ops.max_(MASK, axis=1).tolist() == [True, True]
    assert len(results(lambda x: np.sum(x > 0), X)) >= 1
