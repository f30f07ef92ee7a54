"""Traced values behave like arrays: indexing, NumPy's functions, operators; what they refuse, with the right code."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ExecutionError, TraceError, TypeMismatch
from chainrule.execute import REFERENCE
from chainrule.graph import Node, Type, n
from chainrule.ops.overload import FUNCTIONS

X = np.array([[0.3, -1.2, 2.5], [1.7, 0.4, -0.6]])
CUBE = np.random.default_rng(3).uniform(-2, 2, (4, 5, 6))
LINE = np.array([0.5, -1.5, 2.0, 0.25, -0.75, 3.0, 1.0])


def traced(function: Any, *arrays: Any) -> Any:
    return REFERENCE.run(cr.make_graph(function, *arrays), arrays)[0]


def agrees_with_numpy(function: Any, *arrays: Any, ulp: int = 0) -> None:
    """The traced value is NumPy's own, to the bit; the gradient is that of central differences of NumPy's own."""
    expected = function(*arrays)
    result = traced(function, *arrays)
    assert np.shape(result) == np.shape(expected)
    assert np.asarray(result).dtype == np.asarray(expected).dtype
    np.testing.assert_array_max_ulp(result, expected, ulp) if ulp else np.testing.assert_array_equal(result, expected)
    if np.asarray(expected).dtype.kind != "f":
        return
    weights = np.random.default_rng(5).uniform(0.5, 1.5, np.shape(expected))
    floats = tuple(i for i, a in enumerate(arrays) if a.dtype == np.float64)
    gradients = cr.grad(lambda *xs: np.sum(weights * function(*xs)), floats)(*arrays)
    for number, gradient in zip(floats, gradients, strict=True):
        numeric = np.zeros(arrays[number].shape)
        for index in np.ndindex(numeric.shape):
            ends = []
            for step in (1e-5, -1e-5):
                moved = arrays[number].copy()
                moved[index] += step
                changed = [moved if i == number else a for i, a in enumerate(arrays)]
                ends.append(np.sum(weights * function(*changed)))
            numeric[index] = (ends[0] - ends[1]) / 2e-5
        # differences of sums of up to 120 terms: rounding ε·Σ/h = 2e-16·100/1e-5 = 2e-9
        np.testing.assert_allclose(gradient, numeric, rtol=1e-8, atol=1e-8)


INDICES = {
    "number": 1,
    "negative number": -1,
    "numpy number": np.int64(2),
    "two numbers": (1, -2),
    "three numbers": (0, 4, -6),
    "slice": slice(1, 3),
    "slice with a step": slice(0, None, 2),
    "slice from the end": slice(-3, -1),
    "slices": (slice(1, 4), slice(None, None, 3), slice(2, 3)),
    "slice beyond the end": slice(1, 100),
    "empty slice": slice(3, 1),
    "slice and number": (slice(None), 2),
    "None": None,
    "None inside": (slice(None), None, 1),
    "None at the end": (0, 0, slice(None), None),
    "Ellipsis": Ellipsis,
    "Ellipsis and number": (Ellipsis, 0),
    "Ellipsis in the middle": (1, Ellipsis, slice(1, 5, 2)),
    "Ellipsis and None": (None, Ellipsis, None),
    "Ellipsis that stands for nothing": (0, 1, 2, Ellipsis),
    "empty tuple": (),
    "array of integers": np.array([3, 0, 0, 2]),
    "array of 32-bit integers": np.array([3, 1], np.int32),
    "array of two axes": np.array([[0, 1], [3, 3]]),
    "list": [2, 0],
}


@pytest.mark.parametrize("name", sorted(INDICES))
def test_indexing_is_numpys(name):
    index = INDICES[name]
    agrees_with_numpy(lambda x: x[index], CUBE)


def test_indexing_by_traced_integers():
    agrees_with_numpy(lambda x, i: x[i], CUBE, np.array([1, 1, 3]))
    agrees_with_numpy(lambda x, i: x[i], LINE, np.array(2))
    agrees_with_numpy(lambda x, i: x[i[0]], LINE, np.array([4, 0]))


def test_iteration_and_unpacking():
    agrees_with_numpy(lambda x: sum(row * i for i, row in enumerate(x)), X)

    def unpacked(x):
        a, b = x
        return a * b

    agrees_with_numpy(unpacked, X)
    assert traced(lambda x: np.asarray(len(x)), X) == 2


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        (2, IndexError, "index 2 is out of range for axis 0 of f64[2,3]"),
        ((0, -4), IndexError, "index -4 is out of range for axis 1"),
        ((0, 0, 0), TypeMismatch, "it has 2 axes, the index has 3"),
        (1.0, TraceError, "it cannot be indexed with 1.0; use numbers, slices, None and …"),
        (True, TraceError, "it cannot be indexed with True"),
        ("a", TraceError, "it cannot be indexed with 'a'"),
        (np.array([0.5]), TypeMismatch, "take: indices is f64[1]; it takes i32 or i64"),
    ],
)
def test_indexing_that_is_not_available(index, error, message):
    with pytest.raises(error, match=re.escape(message)):
        cr.make_graph(lambda x: x[index], X)


def test_rows_of_unknown_number_are_taken_whole():
    kind = Type("f64", (n, 3))
    graph = cr.make_graph(lambda x: x[:, 1:], kind)
    assert graph.outputs[0].type == Type("f64", (n, 2))
    np.testing.assert_array_equal(REFERENCE.run(graph, [X])[0], X[:, 1:])
    for index, message in [
        (0, "a single row of them cannot be picked by number"),
        (slice(1, None), "only all can be taken"),
    ]:
        with pytest.raises(TraceError, match=message):
            cr.make_graph(lambda x, index=index: x[index], kind)


def test_rows_of_unknown_number_can_be_taken_by_index():
    """The derivative of a gather scatters into as many rows as there were."""
    kind = Type("f64", (n, 3))
    graph = cr.make_graph(cr.grad(lambda x: np.sum(x[np.array([1, 1])] ** 2)), kind)
    np.testing.assert_array_equal(REFERENCE.run(graph, [X])[0], [[0, 0, 0], 4 * X[1]])
    tall = np.concatenate([X, X])
    np.testing.assert_array_equal(REFERENCE.run_prepared(graph, [tall])[0][2:], np.zeros((2, 3)))


@pytest.mark.parametrize("bad", [3, -1])
def test_an_index_out_of_range_is_found_when_it_is_run(bad):
    graph = cr.make_graph(lambda x, i: x[i], np.zeros(3), np.array([0]))
    with pytest.raises(
        ExecutionError, match=rf"take: the index {bad} is out of range; .* \(made at .*test_numpy.py:\d+"
    ):
        REFERENCE.run(graph, [np.zeros(3), np.array([bad])])


FUNCTION_CASES = {
    "sum": lambda x: np.sum(x),
    "sum axis": lambda x: np.sum(x, axis=1),
    "sum keepdims": lambda x: np.sum(x, axis=0, keepdims=True),
    "sum negative axis": lambda x: np.sum(x, -1),
    "sum axes": lambda x: np.sum(x, axis=(0, 1)),
    "x.sum": lambda x: x.sum(axis=0),
    "mean": lambda x: np.mean(x),
    "mean axis": lambda x: np.mean(x, axis=1, keepdims=True),
    "x.mean": lambda x: x.mean(0),
    "var": lambda x: np.var(x, axis=0),
    "x.var": lambda x: x.var(),
    "max": lambda x: np.max(x, axis=1),
    "amax": lambda x: np.amax(x),
    "x.max": lambda x: x.max(axis=0, keepdims=True),
    "min": lambda x: np.min(x, axis=0),
    "amin": lambda x: np.amin(x),
    "x.min": lambda x: x.min(),
    "all": lambda x: np.all(x > -1, axis=1),
    "argmax": lambda x: np.argmax(x),
    "argmax axis": lambda x: np.argmax(x, axis=0),
    "x.argmax": lambda x: x.argmax(),
    "x.argmax axis": lambda x: x.argmax(axis=1),
    "argmax keepdims": lambda x: np.argmax(x, axis=1, keepdims=True),
    "argmax of all, keepdims": lambda x: np.argmax(x, keepdims=True),
    "argmin keepdims": lambda x: x.argmin(axis=0, keepdims=True),
    "add.reduce": lambda x: np.add.reduce(x) + np.add.reduce(x, axis=1, keepdims=True),
    "multiply.reduce": lambda x: np.multiply.reduce(x, axis=1),
    "maximum.reduce": lambda x: np.maximum.reduce(x, axis=None) - np.minimum.reduce(x),
    "logical_or.reduce": lambda x: np.logical_or.reduce(x > 2) | np.logical_and.reduce(x > 0, axis=0),
    "add.accumulate": lambda x: np.add.accumulate(x) + np.multiply.accumulate(x, axis=1),
    "multiply.outer": lambda x: np.multiply.outer(x, x[0]) + np.subtract.outer(x, np.ones(3)),
    "ptp": lambda x: np.ptp(x) + np.ptp(x, axis=0, keepdims=True),
    "count_nonzero": lambda x: np.count_nonzero(x > 0),
    "average": lambda x: np.average(x, axis=1),
    "vdot": lambda x: np.vdot(x[:, 0], x[:, 1]),
    "diag": lambda x: np.diag(x[0]) + np.diag(x[:, 1:])[0],
    "nan_to_num": lambda x: np.nan_to_num(np.where(x > 2, np.inf, np.where(x < -1, np.nan, x)), posinf=9.0),
    "column_stack": lambda x: np.column_stack([x, x[:, 0], np.ones(2)]),
    "split": lambda x: np.concatenate(np.split(x, 3, axis=1)[::-1], axis=0),
    "split at": lambda x: np.split(x[0], [1, 2])[1] * np.split(x, [1])[0],
    "atleast_1d": lambda x: np.atleast_1d(x[0, 0]) + np.atleast_1d(x[0]),
    "atleast_2d": lambda x: np.concatenate(np.atleast_2d(x, x[0], x[0, 0] * np.ones(3))),
    "x.mT": lambda x: (x * np.ones((2, 1, 1))).mT,
    "where with numbers alone": lambda x: np.where(x > 0, 1.0, 0.1) * x,
    "round to digits": lambda x: np.round(x, 1) + np.round(100 * x, -1) + x.round(2),
    "x.clip, one side": lambda x: x.clip(min=0.0) + x.clip(max=1.0),
    **{
        name: lambda x, name=name: getattr(np, name)(0.3 * x)
        for name in ("arctan", "arcsin", "arccos", "arctanh", "arcsinh", "sinh", "cosh", "exp2")
    },
    "arccosh": lambda x: np.arccosh(2.0 + x * x),
    "arctan2": lambda x: np.arctan2(x, x[::-1]),
    "hypot": lambda x: np.hypot(x, 2.0),
    "log2": lambda x: np.log2(abs(x) + 0.1),
    "log10": lambda x: np.log10(abs(x) + 0.1),
    "logaddexp": lambda x: np.logaddexp(x, 1.0) + np.logaddexp(x, x * x),
    "degrees": lambda x: np.degrees(x) + np.rad2deg(x),
    "where": lambda x: np.where(x > 0, x * x, -x),
    "where with numbers": lambda x: np.where(x > 0, 1.0, x),
    "clip": lambda x: np.clip(x, -0.5, 1.0),
    "clip by keyword": lambda x: np.clip(x, min=-0.5, max=1.0),
    "clip one side": lambda x: np.clip(x, None, 1.0),
    "clip by arrays": lambda x: np.clip(x, np.array([0.0, -1.0, -9.0]), 1.0),
    "x.clip": lambda x: x.clip(-0.5, 1.0),
    "reshape": lambda x: np.reshape(x, (3, 2)),
    "reshape −1": lambda x: x.reshape(-1, 2),
    "x.reshape": lambda x: x.reshape(3, 2),
    "x.reshape tuple": lambda x: x.reshape((6,)),
    "ravel": lambda x: np.ravel(x),
    "x.ravel": lambda x: x.ravel(),
    "transpose": lambda x: np.transpose(x),
    "transpose axes": lambda x: np.transpose(x, (1, 0)),
    "transpose by an array": lambda x: np.transpose(x, np.array([1, 0])),
    "x.T": lambda x: x.T,
    "x.transpose": lambda x: x.transpose(-1, 0),
    "x.transpose by a tuple": lambda x: x.transpose((1, 0)),
    "x.transpose of all": lambda x: x.transpose(),
    "concatenate": lambda x: np.concatenate([x, 2 * x, np.ones((1, 3))]),
    "concatenate axis": lambda x: np.concatenate((x, x[:, :1]), axis=-1),
    "concatenate flat": lambda x: np.concatenate([x, x[0]], axis=None),
    "stack": lambda x: np.stack([x[0] * x[1], x[1]]),
    "stack numbers": lambda x: np.stack([x[0, 0] * x[1, 1], x[0, 2]]),
    "stack axis": lambda x: np.stack([x, 3 * x], axis=-1),
    "expand_dims": lambda x: np.expand_dims(x, 1),
    "expand_dims at the end": lambda x: np.expand_dims(x, -1),
    "expand_dims axes": lambda x: np.expand_dims(x, (0, 2, -1)),
    "squeeze": lambda x: np.squeeze(x[:, :1]),
    "squeeze axis": lambda x: np.squeeze(x[:1], axis=0),
    "broadcast_to": lambda x: np.broadcast_to(x, (2, 2, 3)),
    "broadcast_to numpy numbers": lambda x: np.broadcast_to(x[0], (np.int64(2), 3)),
    "broadcast_to a number": lambda x: np.broadcast_to(x[0, 0], 4),
    "dot": lambda x: np.dot(x, x.T),
    "dot vectors": lambda x: np.dot(x[0], x[1]),
    "dot a number": lambda x: np.dot(x, 3.0),
    "x.dot": lambda x: x.dot(x[0]),
    "matmul": lambda x: np.matmul(x, x.T),
    "matmul vector": lambda x: x @ x[0],
    "vector matmul": lambda x: x[:, 0] @ x,
    "array @ traced": lambda x: np.array([[1.0, 2.0]]) @ x,
    "take": lambda x: np.take(x, np.array([1, 1, 0]), axis=0),
    "take of a vector": lambda x: np.take(x[0], [2, 0]),
    "zeros_like": lambda x: np.zeros_like(x) + x,
    "ones_like": lambda x: np.ones_like(x) * x,
    "full_like": lambda x: np.full_like(x, 2) - x,
    "shape": lambda x: x * np.shape(x)[1],
    "ndim": lambda x: x * np.ndim(x),
    "astype": lambda x: x.astype(np.float32).astype(np.float64) * 0 + x,
    "exp": lambda x: np.exp(x),
    "reciprocal": lambda x: np.reciprocal(x),
    "positive": lambda x: np.positive(+x),
    "fabs": lambda x: np.fabs(x),
    "abs": lambda x: abs(x) + np.abs(x),
    "power": lambda x: np.power(abs(x), 1.5),
    "square by power": lambda x: x**2,
    "reflected power": lambda x: 2.0**x,
    "float_power": lambda x: np.float_power(abs(x), 2.5),
    "reflected": lambda x: (1 - x) / (2.0 + 3 * x * x),
    "numpy number on the left": lambda x: np.float64(2.0) * x - np.float64(1.0),
    "array on the left": lambda x: np.array([1.0, 2.0, 3.0]) * x,
    "negative": lambda x: -x,
    "comparisons": lambda x: (x < 1) & (x >= -1) | (x == 2.5),
    "exclusive or": lambda x: (x < 1) ^ (x > 0),
    "not": lambda x: ~(x != 0.4),
    "array & traced": lambda x: np.array([True, False, True]) & (x > 0),
    "truth value & traced": lambda x: True & (x > 0),
    "builtin sum": lambda x: sum(x),
    "copy": lambda x: np.copy(x) + x.copy(),
    "diff": lambda x: np.diff(x),
    "hstack": lambda x: np.hstack([x, 2 * x]),
    "hstack vectors": lambda x: np.hstack((x[0], x[1, :1])),
    "vstack": lambda x: np.vstack([x, x[0]]),
    "outer": lambda x: np.outer(x[0], x),
    "norm": lambda x: np.linalg.norm(x),
    "cholesky": lambda x: np.linalg.cholesky(x @ x.T + np.array([[1.0, 0.5], [0.5, 2.0]])),
    "norm axis": lambda x: np.linalg.norm(x, axis=1),
    "size": lambda x: x * np.size(x) + x.size,
    "x.flatten": lambda x: x.flatten(),
    "isnan": lambda x: np.isnan(np.where(x > 1, np.nan, x)),
    "isinf": lambda x: np.isinf(np.where(x > 1, -np.inf, x)),
    "floor_divide": lambda x: np.floor_divide(x, 0.37) + x // 0.71,
    "any": lambda x: np.any(x > 2, axis=0),
    "x.any": lambda x: (x > 2).any(),
    "x.all": lambda x: (x > -3).all(axis=1, keepdims=True),
    "argmin": lambda x: np.argmin(x),
    "argmin axis": lambda x: np.argmin(x, axis=-1),
    "x.argmin": lambda x: x.argmin(axis=0),
    "prod": lambda x: np.prod(x, axis=1),
    "prod keepdims": lambda x: np.prod(x, axis=-2, keepdims=True),
    "prod with a zero": lambda x: np.prod(x * np.array([1.0, 0.0, 1.0]), axis=1),
    "x.prod": lambda x: x.prod(axis=0),
    "cumsum": lambda x: np.cumsum(x),
    "cumsum axis": lambda x: np.cumsum(x, axis=-1),
    "x.cumsum": lambda x: x.cumsum(axis=0),
    "cumprod": lambda x: np.cumprod(x),
    "cumprod axis": lambda x: np.cumprod(x, axis=-1),
    "cumprod with a zero": lambda x: np.cumprod(x * np.array([1.0, 0.0, 1.0]), axis=1),
    "x.cumprod": lambda x: x.cumprod(axis=0),
    "diff axis": lambda x: np.diff(x, axis=0),
    "diff twice": lambda x: np.diff(x, 2),
    "round": lambda x: np.round(0.9 * x) + (1.1 * x).round(),
    "rint": lambda x: np.rint(0.9 * x),
    "ceil": lambda x: np.ceil(x),
    "trunc": lambda x: np.trunc(x),
    "fix": lambda x: np.fix(x),
    "logical_xor": lambda x: np.logical_xor(x > 0, x < 1),
    "tril": lambda x: np.tril(x),
    "triu": lambda x: np.triu(x, 1),
    "flip": lambda x: np.flip(x),
    "flip axis": lambda x: np.flip(x, -1),
    "flipud": lambda x: np.flipud(x),
    "fliplr": lambda x: np.fliplr(x),
    "from the other end": lambda x: x[::-1, ::-2] + x[1:0:-1, -1:-4:-2],
    "roll": lambda x: np.roll(x, 2),
    "roll axis": lambda x: np.roll(x, -1, axis=1),
    "roll by nothing": lambda x: np.roll(x, 3, axis=1),
    "tile": lambda x: np.tile(x, 2),
    "tile axes": lambda x: np.tile(x, (2, 1, 3)),
    "repeat": lambda x: np.repeat(x, 2),
    "repeat axis": lambda x: np.repeat(x, 3, axis=1) + x.repeat(3, -1),
    "pad": lambda x: np.pad(x, 1),
    "pad widths": lambda x: np.pad(x, ((1, 0), (0, 2))),
    "pad by a number": lambda x: np.pad(x, (1, 2), constant_values=7.0),
    "swapaxes": lambda x: np.swapaxes(x, 0, -1) + x.swapaxes(0, 1),
    "moveaxis": lambda x: np.moveaxis(x[None], 0, -1),
    "moveaxis of several": lambda x: np.moveaxis(x[None], (0, 1), (-1, 0)),
    "x.squeeze": lambda x: x[:1].squeeze(),
    "diagonal": lambda x: np.diagonal(x) + x.diagonal(),
    "diagonal of stacks": lambda x: np.diagonal(np.stack([x, 2 * x]), axis1=1, axis2=2),
    "trace": lambda x: np.trace(x) + x.trace(),
    "x.take": lambda x: x.take([2, 0, 2], axis=1),
    "take flat": lambda x: np.take(x, [5, 0]),
    "take along a later axis": lambda x: np.take(x, np.array([[0, 2], [1, 1]]), axis=-1),
    "take_along_axis": lambda x: np.take_along_axis(x, np.array([[0, 2], [-1, 1]]), axis=1),
    "take_along_axis 0": lambda x: np.take_along_axis(x, np.array([[0, 1, -1]]), axis=0),
    "take_along_axis flat": lambda x: np.take_along_axis(x, np.array([5, 0]), axis=None),
    "sort": lambda x: np.sort(x),
    "sort axis": lambda x: np.sort(x, axis=0),
    "sort flat": lambda x: np.sort(x, axis=None),
    "argsort": lambda x: np.argsort(x, kind="stable"),
    "argsort axis": lambda x: np.argsort(x, axis=0) + x.argsort(0),
    "norm 1": lambda x: np.linalg.norm(x, 1, axis=0),
    "norm inf": lambda x: np.linalg.norm(x, np.inf, axis=1, keepdims=True),
    "norm fro": lambda x: np.linalg.norm(x, "fro"),
    "tan": lambda x: np.tan(x),
    "remainder": lambda x: np.remainder(x, 0.37) + x % 0.71,
    "divmod": lambda x: np.stack([*divmod(x, 0.37), *divmod(0.37, x), *np.divmod(x, 0.71)]),
}

# Made of other operations, so equal to NumPy's to rounding and not to the bit.
NEARLY = {
    "std": lambda x: np.std(x, axis=0),
    "x.std": lambda x: x.std(),
    "einsum": lambda x: np.einsum("ij,kj->ik", x, x),
    "einsum of three": lambda x: np.einsum("ij,kj,kl->il", x, x, x, optimize=True),
    "einsum without an arrow": lambda x: np.einsum("ij,jk", x, x.T),
    "einsum to a number": lambda x: np.einsum("ij,ij->", x, x),
    "einsum, one operand": lambda x: np.einsum("ij->j", x),
    "einsum, transposed": lambda x: np.einsum("ij->ji", x),
    "einsum, outer": lambda x: np.einsum("ij,k->kji", x, x[0]),
    "einsum, elements": lambda x: np.einsum("ij,j->ij", x, x[0]),
    "einsum, trace": lambda x: np.einsum("ii->", x[:, :2]),
    "einsum, diagonal": lambda x: np.einsum("ii->i", x[:, 1:]),
    "einsum, stacks": lambda x: np.einsum("bij,bkj->bik", np.stack([x, 2 * x]), np.stack([x, 3 * x])),
    "einsum, a sum of one operand": lambda x: np.einsum("ij,kl->k", x, x),
    "einsum, numbers": lambda x: np.einsum("ij,->ij", x, x[0, 0]),
    "tensordot": lambda x: np.tensordot(x, x),
    "tensordot axes": lambda x: np.tensordot(x, x.T, axes=1) + np.tensordot(x, x, axes=(1, -1)),
    "matmul of stacks": lambda x: np.stack([x, 2 * x]) @ np.stack([x.T, x.T - 1.0]),
    "matmul, broadcast": lambda x: np.stack([x, 2 * x]) @ x.T + x @ np.stack([x.T, 2 * x.T]),
    "matmul of a stack and a vector": lambda x: np.stack([x, 2 * x]) @ x[0] + x[:, 0] @ np.stack([x, -x])[:, :, :2],
    "solve": lambda x: np.linalg.solve(x @ x.T, x),
    "solve for a vector": lambda x: np.linalg.solve(x @ x.T, x[:, 0]),
    "inv": lambda x: np.linalg.inv(x @ x.T),
    "svd": lambda x: np.linalg.svd(x, full_matrices=False)[1],
    "svd, multiplied": lambda x: _composed(*np.linalg.svd(x, full_matrices=False)),
    "svd of a square": lambda x: np.abs(np.linalg.svd(x @ x.T)[0]),
    "radians": lambda x: np.radians(x) + np.deg2rad(x),
    "inner": lambda x: np.inner(x, x) + np.inner(x, 2.0)[:, :2] + np.inner(x[0], x[1]),
    "average with weights": lambda x: np.average(x, axis=1, weights=np.array([1.0, 2.0, 0.5])),
    "average with weights of all": lambda x: np.average(x, weights=np.abs(X)) + np.average(x, axis=0, weights=X * X),
    "var, one degree of freedom less": lambda x: np.var(x, axis=0, ddof=1) + x.std(ddof=1, axis=1, keepdims=True),
    "logaddexp.reduce": lambda x: np.logaddexp.reduce(x, axis=1),
    "svd, values alone": lambda x: np.linalg.svd(x, compute_uv=False),
    "einsum, numbers for letters": lambda x: np.einsum(x, [0, 1], X, [2, 1], [0, 2]),
    "einsum, numbers, array first": lambda x: np.einsum(X, [0, 1], x, [2, 1], [0, 2]),
    "einsum, numbers, no result": lambda x: np.einsum(x, [1, 0], x, [1, 2]),
    "einsum, numbers and dots": lambda x: np.einsum(x, [..., 0], x, [..., 0], [...]),
    "einsum, dots": lambda x: np.einsum("...j,kj->...k", np.stack([x, 2 * x]), x),
    "einsum, dots of two": lambda x: np.einsum("...ij,...kj->...ik", np.stack([x, 2 * x]), x),
    "einsum, dots, stretched": lambda x: np.einsum("...i,...i->...", np.stack([x, 2 * x]), x[None, :1]),
    "einsum, dots without an arrow": lambda x: np.einsum("...ij,jk", np.stack([x, 2 * x]), x.T),
    "einsum, dots in front and behind": lambda x: np.einsum("i...->...i", x) @ np.einsum("...i->i...", x.T),
    "einsum, dots that stand for nothing": lambda x: np.einsum("...ij->...ji", x),
}


def _composed(u: Any, s: Any, vt: Any) -> Any:
    return (u * np.exp(-s)) @ vt


@pytest.mark.parametrize("name", sorted(NEARLY))
def test_functions_made_of_others_give_numpys_results_to_rounding(name):
    function = NEARLY[name]
    np.testing.assert_allclose(traced(function, X), function(X), rtol=4e-14, atol=4e-15)
    assert cr.check_grad(lambda x: np.sum(function(x)), X)


# On machines with AVX-512, np.power runs a vector kernel that np.float_power does not: for the same operands they
# differ by 1 ulp (2.5 to the power 2.5 is such a case). A graph has one power, evaluated by np.power.
OTHER_KERNEL = {"float_power": 1}


@pytest.mark.parametrize("name", sorted(FUNCTION_CASES))
def test_numpys_functions_give_numpys_results(name):
    agrees_with_numpy(FUNCTION_CASES[name], X, ulp=OTHER_KERNEL.get(name, 0))


@pytest.mark.parametrize("function", sorted(FUNCTIONS, key=lambda f: f.__name__), ids=lambda f: f.__name__)
def test_every_function_of_the_dispatch_is_tested(function):
    names = " ".join([*FUNCTION_CASES, *NEARLY])
    assert re.search(rf"\b{function.__name__}\b", names), f"add a case for np.{function.__name__}"


BITS = {
    "and": lambda i: i & 6,
    "or": lambda i: 8 | i,
    "xor": lambda i: i ^ 5,
    "left": lambda i: i << 2,
    "right": lambda i: i >> 1,
    "ufunc": lambda i: np.bitwise_and(i, i + 1),
    "sum": lambda i: i.sum(),
    "arithmetic": lambda i: 3 * i - 1,
    "max": lambda i: np.where(i > 3, i, 3),
    "running": lambda i: np.cumsum(i),
    "order": lambda i: np.sort(i[::-1]),
    "padded": lambda i: np.pad(np.flip(i), 1, constant_values=9),
}


@pytest.mark.parametrize("name", sorted(BITS))
@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint32, np.uint64])
def test_integers_stay_integers(name, dtype):
    i = np.array([0, 1, 5, 12], dtype)
    result, expected = traced(BITS[name], i), BITS[name](i)
    if name not in ("sum", "running"):  # NumPy widens the sum of 32-bit integers; a graph keeps the type
        assert result.dtype == expected.dtype
    np.testing.assert_array_equal(result, expected)


def _set(x: Any) -> None:
    x[0] = 1.0


def _fill(x: Any) -> Any:
    y = np.zeros(2)
    y[0] = x[0]
    return y


REFUSED = {
    "np.array": (
        lambda x: np.array([x[0] * x[1], x[2]]),
        "np.array([x[0] * x[1], x[2]])",
        "np.stack([x[0] * x[1], x[2]])",
    ),
    "np.asarray": (lambda x: np.asarray(x), "np.array([x[0] * x[1], x[2]])", "np.stack([x[0] * x[1], x[2]])"),
    "np.array of mixed": (lambda x: np.array([x[0], 1.0]), "np.array(", "np.stack("),
    "np.array of vectors": (lambda x: np.array([x, x]), "np.array(", "np.stack("),
    "np.sum of a list": (lambda x: np.sum([x[0], x[1]]), "np.array(", "np.stack("),
    "math.exp": (lambda x: math.exp(x[0]), "math.exp(x), float(x)", "np.exp(x), x"),
    "float": (lambda x: float(x[0]), "math.exp(x), float(x)", "np.exp(x), x"),
    "int": (lambda x: int(x[0]), "int(x)", "np.floor(x)"),
    "complex": (lambda x: complex(x[0]), "complex(x)", "x"),
    "if": (lambda x: 1.0 if x[0] > 0 else x, "y = a if x > 0 else b", "y = np.where(x > 0, a, b)"),
    "and": (lambda x: x[0] and x[1], "y = a if x > 0 else b", "y = np.where(x > 0, a, b)"),
    "not": (lambda x: not x[0], "y = a if x > 0 else b", "y = np.where(x > 0, a, b)"),
    "chained comparison": (lambda x: 0 < x[0] < 1, "y = a if x > 0 else b", "y = np.where(x > 0, a, b)"),
    "max of two": (lambda x: max(x[0], x[1]), "y = a if x > 0 else b", "y = np.where(x > 0, a, b)"),
    "range": (lambda x: list(range(x[0])), "rows[i]", "cr.ops.take(np.asarray(rows), i)"),
    "list index": (lambda x: [1.0, 2.0][x[0]], "rows[i]", "cr.ops.take(np.asarray(rows), i)"),
    "assignment": (_set, "x[0] = 1.0", "x = np.where(np.arange(3) == 0, 1.0, x)"),
    "in": (lambda x: 1.0 in x, "1.0 in x", "~np.all(x != 1.0)"),
    "format": (lambda x: f"{x[0]:.2f}", "f'{x:.2f}' inside the function", "return it, and look at the result"),
    "round": (lambda x: round(x[0]), "round(x)", "np.round(x)"),
    "sort in place": (lambda x: x.sort(), "x.sort()", "x = np.sort(x)"),
    "item": (lambda x: x[0].item(), "x.item() inside the function", "x; return it, and look at the result"),
    "place in a table": (
        lambda x: np.eye(3)[x.astype("i8")],
        "table[i], np.take(table, i), np.eye(k)[i]",
        "cr.ops.take(table, i), cr.ops.one_hot(i, k)",
    ),
    "element of an array": (_fill, "y = np.zeros(2); y[0] = x[0]; y[1] = 1.0", "y = np.stack([x[0], 1.0])"),
    "chained, as logic": (
        lambda x: 0 < x[0] < 1,
        "a and b, a or b, not a, 0 < x < 1",
        "a & b, a | b, ~a, (0 < x) & (x < 1)",
    ),
    "mask": (lambda x: x[x > 0].sum(), "x[x > 0].sum()", "np.where(x > 0, x, 0).sum()"),
    "mask beside a number": (lambda x: np.stack([x, x])[0, x > 0], "x[x > 0].sum()", "np.where(x > 0, x, 0).sum()"),
}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_traced_values_refuse_with_wrong_and_right_code(name):
    function, wrong, right = REFUSED[name]
    with pytest.raises(TraceError) as caught:
        cr.make_graph(function, np.array([1.0, 2.0, 3.0]))
    text = str(caught.value)
    assert f"\n  wrong:  {wrong}" in text
    assert f"\n  right:  {right}" in text


def test_len_of_n_rows_is_refused():
    with pytest.raises(TraceError, match=r"x is f64\[n,2\].*\n  wrong:  x\.sum\(\) / len\(x\)\n  right:  x\.mean\(\)"):
        cr.make_graph(lambda x: x / len(x), Type("f64", (n, 2)))
    with pytest.raises(TraceError, match="has no length"):
        cr.make_graph(lambda x: len(x), Type("f64"))
    graph = cr.make_graph(lambda x: x.sum() / cr.ops.extent(x, axis=0), Type("f64", (n,)))
    assert REFERENCE.run(graph, [LINE])[0] == LINE.sum() / 7


ROWS_ALONE = {
    "ones": lambda x: np.ones((x.shape[0], 1)),
    "zeros": lambda x: np.zeros(x.shape),
    "range": lambda x: list(range(x.shape[0])),
    "one less": lambda x: x.sum() / (x.shape[0] - 1),
    "tile": lambda x: np.tile(np.ones(2), (x.shape[0], 1)),
    "comparison": lambda x: x if x.shape[0] > 3 else -x,
    "float": lambda x: float(x.shape[0]),
    "reciprocal": lambda x: 1 / x.shape[0],
}


@pytest.mark.parametrize("name", ROWS_ALONE)
def test_a_number_of_rows_by_itself_is_refused_with_the_right_code(name):
    with pytest.raises(TraceError) as caught:
        cr.make_graph(ROWS_ALONE[name], Type("f64", (n, 2)))
    assert "the number of rows n is not known while tracing" in str(caught.value)
    assert "\n  right:  np.ones_like(x[:, :1]), np.zeros_like(x)\n" in str(caught.value)


def test_the_right_code_for_n_rows_is_right():
    scores, places = np.array([[1.0, 2.0], [3.0, 4.0], [6.0, 5.0]]), np.array([1, 0, 1])
    for function, wanted in (
        (lambda x, y: np.take_along_axis(x, y[:, None], axis=1)[:, 0], [2, 3, 5]),
        (lambda x, y: x.sum() / x.shape[0], 7),
        (lambda x, y: x.sum() / (cr.ops.extent(x, axis=0) - 1), 10.5),
        (lambda x, y: np.cumsum(np.ones_like(x[:, 0])) - 1, [0, 1, 2]),
        (lambda x, y: np.ones_like(x[:, :1]) + np.zeros_like(x), np.ones((3, 2))),
        (lambda x, y: cr.ops.take(np.array([5.0, 7.0]), y) + cr.ops.one_hot(y, 2)[:, 0], [7, 6, 7]),
        (lambda x, y: np.sum(x > 2) / x.shape[0], 4 / 3),
        (lambda x, y: np.sum(y) / y.shape[0], 2 / 3),
    ):
        graph = cr.make_graph(function, Type("f64", (n, 2)), Type("i64", (n,)))
        np.testing.assert_array_equal(REFERENCE.run(graph, [scores, places])[0], wanted)


def test_the_right_code_of_the_messages_is_right():
    x = np.array([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(traced(lambda x: np.stack([x[0] * x[1], x[2]]), x), [2, 3])
    np.testing.assert_array_equal(traced(lambda x: np.where(np.arange(3) == 0, 9.0, x), x), [9, 2, 3])
    assert traced(lambda x: np.where(x > 1, x, 0).sum(), x) == 5
    assert traced(lambda i: cr.ops.take(np.asarray([5.0, 6.0]), i), np.array(1)) == 6
    assert traced(lambda x: ~np.all(x != 2.0), x)
    np.testing.assert_array_equal(traced(lambda x: np.stack([x[0], 1.0]), x), [1, 1])
    np.testing.assert_array_equal(traced(lambda x: np.sort(x[::-1]), x), x)
    assert traced(lambda x: np.round(x), np.array(2.5)) == 2
    halved = traced(lambda x: cr.iterate(x, lambda x: x / 2, lambda x: x <= 1, at_most=100)[0], np.array(5.0))
    assert halved == 0.625


def test_an_unknown_attribute_says_so():
    with pytest.raises(AttributeError, match=r"a traced value has no 'ptp'; write np\.ptp\(x\)"):
        cr.make_graph(lambda x: x.ptp(), np.ones(3))


def test_comparison_with_anything_else_is_identity():
    graph = cr.make_graph(lambda x: x * (1.0 if x != None else 0.0) * (0.0 if x == "a" else 1.0), 2.0)  # noqa: E711
    assert REFERENCE.run(graph, [2.0]) == [2.0]


def test_traced_values_can_be_keys_and_copies_are_themselves():
    import copy

    seen: dict[Node, str] = {}

    def function(x):
        seen[x] = "x"
        assert seen[copy.copy(x)] == seen[copy.deepcopy(x)] == "x"
        return x

    cr.make_graph(function, 1.0)


def test_values_like_a_value_of_unknown_rows():
    graph = cr.make_graph(lambda x: (np.zeros_like(x), np.ones_like(x), np.full_like(x, 3)), Type("f32", (n, 3)))
    for value, filled in zip((0, 1, 3), REFERENCE.run(graph, [X.astype("f4")]), strict=True):
        np.testing.assert_array_equal(filled, np.full((2, 3), value, np.float32), strict=True)


def test_means_over_unknown_rows():
    graph = cr.make_graph(lambda x: (np.mean(x, axis=0), np.var(x), np.mean(x)), Type("f64", (n, 3)))
    for rows in (1, 2, 5):
        x = np.random.default_rng(rows).normal(size=(rows, 3))
        mean, var, whole = REFERENCE.run(graph, [x])
        np.testing.assert_allclose(mean, x.mean(axis=0), rtol=1e-14)
        np.testing.assert_allclose([var, whole], [x.var(), x.mean()], rtol=1e-13)


def test_softmax_family_against_scipy():
    special = pytest.importorskip("scipy.special")
    x = np.array([[1.0, -2.0, 700.0], [0.0, 0.0, 1e-3], [-1e4, 3.0, 1e4]])
    for mine, judge in [
        (cr.ops.softmax, special.softmax),
        (cr.ops.log_softmax, special.log_softmax),
        (cr.ops.logsumexp, special.logsumexp),
    ]:
        for axis in (0, 1):
            np.testing.assert_allclose(mine(x, axis=axis), judge(x, axis=axis), rtol=2e-15, atol=1e-300)
            np.testing.assert_array_equal(traced(lambda x, f=mine, a=axis: f(x, axis=a), x), mine(x, axis=axis))
    np.testing.assert_allclose(cr.ops.logsumexp(x, axis=None), special.logsumexp(x))
    assert cr.check_grad(lambda x: np.sum(cr.ops.softmax(x) ** 2), X)
    assert cr.check_grad(lambda x: np.sum(cr.ops.log_softmax(x) * X), X)
    assert cr.check_grad(lambda x: np.sum(cr.ops.logsumexp(x, axis=0) ** 2), X)


def test_one_hot():
    labels = np.array([2, 0, 1])
    expected = np.eye(3)[labels]
    np.testing.assert_array_equal(cr.ops.one_hot(labels, 3), expected)
    np.testing.assert_array_equal(traced(lambda i: cr.ops.one_hot(i, 3), labels), expected)
    assert traced(lambda i: cr.ops.one_hot(i, 3, "f32"), labels).dtype == np.float32
    assert cr.ops.one_hot(labels, 3, "f32").dtype == np.float32


@pytest.mark.parametrize("bad", ["text", [object()], np.array(["a"]), 1j, [[1.0], [1.0, 2.0]]])
def test_what_is_no_array_of_numbers_is_refused(bad):
    with pytest.raises(TypeMismatch, match="the operand b of add"):
        cr.make_graph(lambda x: cr.ops.add(x, bad), 1.0)


def test_operators_leave_other_objects_to_themselves():
    with pytest.raises(TypeError, match="unsupported operand"):
        cr.make_graph(lambda x: x + "a", 1.0)
    with pytest.raises(TypeError, match="unsupported operand"):
        cr.make_graph(lambda x: x << {}, 1.0)
