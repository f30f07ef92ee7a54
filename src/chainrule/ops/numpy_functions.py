"""NumPy's own functions on traced values: which part of the vocabulary each of them is.

A function that is not here, and an argument that one does not take, are refused by name (``overload``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from chainrule.errors import TraceError
from chainrule.graph import Node, Rows, make_constant
from chainrule.ops import algebra, logic, selection, shapes
from chainrule.ops import functions as fn
from chainrule.ops import mathematics as ew
from chainrule.ops.build import broadcast_node
from chainrule.ops.library import cholesky

_LOG2, _LOG10 = float(np.log(2.0)), float(np.log(10.0))


def power(x: Any, exponent: Any) -> Any:
    """Return x to a power; x² as the square that it is."""
    return ew.square(x) if type(exponent) is int and exponent == 2 else ew.power(x, exponent)


def _truncated(x: Any) -> Any:
    return logic.where(logic.less(x, 0), ew.ceil(x), ew.floor(x))


UFUNCS: Mapping[Any, Callable[..., Any]] = {
    np.matmul: algebra.matmul,
    np.power: power,
    np.float_power: ew.power,
    np.fabs: ew.absolute,
    np.positive: lambda x: x,
    np.sinh: lambda x: 0.5 * (ew.expm1(x) - ew.expm1(-x)),
    np.cosh: lambda x: 0.5 * (ew.exp(x) + ew.exp(-x)),
    np.exp2: lambda x: ew.exp(_LOG2 * x),
    np.log2: lambda x: ew.log(x) / _LOG2,
    np.log10: lambda x: ew.log(x) / _LOG10,
    np.trunc: _truncated,
    np.isnan: lambda x: logic.not_equal(x, x),
    np.isinf: lambda x: logic.equal(ew.absolute(x), float("inf")),
    np.logical_xor: lambda a, b: logic.bitwise_xor(a, b),
    np.divmod: lambda a, b: (ew.floor_divide(a, b), ew.remainder(a, b)),
    np.hypot: lambda a, b: ew.sqrt(ew.square(a) + ew.square(b)),
    np.logaddexp: lambda a, b: ew.maximum(a, b) + ew.softplus(-ew.absolute(a - b)),
}
"""NumPy's ufuncs that are not one operation of the table each; an operation whose evaluate is a ufunc answers to it."""


def _round(a: Any, decimals: int = 0) -> Any:
    if decimals != 0:
        raise TypeError("decimals must be 0; for two digits write np.round(100 * x) / 100")
    return ew.rint(a)


def _rows(parts: Any) -> list[Any]:
    return [shapes.reshape(p, (1, -1)) if shapes.value(p).ndim < 2 else p for p in parts]


def _full_like(x: Any, fill: Any) -> Any:
    node = fill if isinstance(fill, Node) else make_constant(np.asarray(fill, x.dtype))
    return broadcast_node(node, x.shape)


def _diff(a: Any, n: int = 1, axis: int = -1) -> Any:
    for _ in range(n):
        length = a.shape[axis]
        if isinstance(length, Rows):
            raise TraceError(f"np.diff: x is {a.type}; n rows have no differences of a known number")
        last = shapes.moveaxis(a, axis, -1)
        a = shapes.moveaxis(last[..., 1:] - last[..., :-1], -1, axis)
    return a


def _pad(array: Any, pad_width: Any, mode: str = "constant", *, constant_values: Any = 0) -> Any:
    if mode != "constant" or np.ndim(constant_values) != 0:
        raise TypeError(f"mode {mode!r} is not available; mode='constant' is, with one number as constant_values")
    return shapes.pad(array, pad_width, constant_values)


def _sort(a: Any, axis: int | None = -1, kind: Any = None, *, stable: Any = None) -> Any:
    return selection.sort(a, axis)


def _argsort(a: Any, axis: int | None = -1, kind: Any = None, *, stable: Any = None) -> Any:
    return selection.argsort(a, axis)


def _einsum(subscripts: Any, *operands: Any, optimize: Any = False) -> Any:
    return algebra.einsum(subscripts, *operands)


def _svd(a: Any, full_matrices: bool = True) -> Any:
    a = shapes.value(a)
    if full_matrices and a.ndim == 2 and a.shape[0] != a.shape[1]:
        raise TypeError("of a matrix that is not square only np.linalg.svd(a, full_matrices=False) is available")
    return algebra.svd(a)


def _diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    if offset != 0:
        raise TypeError("offset must be 0: the main diagonal alone is available")
    return shapes.diagonal(a, axis1, axis2)


def _triangle(a: Any, k: int, lower: bool) -> Any:
    """Keep what is on one side of a diagonal, in each matrix of a stack."""
    a = shapes.value(a)
    if a.ndim < 2 or any(isinstance(d, Rows) for d in a.shape[-2:]):
        raise TypeError("the last two axes must be those of a matrix of a known size")
    ones = np.ones(a.shape[-2:], np.bool_)
    return logic.where(np.tril(ones, k) if lower else np.triu(ones, k), a, 0)


def _std(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return fn.std(a, axis, keepdims)


FUNCTIONS: Mapping[Any, Callable[..., Any]] = {
    # reductions and running totals
    np.sum: fn.sum,
    np.prod: fn.prod,
    np.mean: fn.mean,
    np.var: fn.var,
    np.std: _std,
    np.max: fn.max,
    np.amax: fn.max,
    np.min: fn.min,
    np.amin: fn.min,
    np.all: fn.all,
    np.any: fn.any,
    np.argmax: lambda a, axis=None: fn.argmax(a, axis),
    np.argmin: lambda a, axis=None: fn.argmin(a, axis),
    np.cumsum: lambda a, axis=None: fn.cumsum(a, axis),
    np.cumprod: lambda a, axis=None: fn.cumprod(a, axis),
    np.diff: _diff,
    # elements
    np.where: fn.where,
    np.clip: lambda a, a_min=None, a_max=None, *, min=None, max=None: fn.clip(
        a, min if a_min is None else a_min, max if a_max is None else a_max
    ),
    np.round: _round,
    np.fix: lambda x: _truncated(x),
    np.zeros_like: lambda a: _full_like(a, 0),
    np.ones_like: lambda a: _full_like(a, 1),
    np.full_like: lambda a, fill_value: _full_like(a, fill_value),
    np.tril: lambda m, k=0: _triangle(m, k, True),
    np.triu: lambda m, k=0: _triangle(m, k, False),
    np.copy: lambda a: a,
    # shapes
    np.reshape: lambda a, shape: shapes.reshape(a, shape),
    np.ravel: lambda a: shapes.reshape(a, -1),
    np.transpose: lambda a, axes=None: shapes.transpose(a, axes),
    np.swapaxes: shapes.swapaxes,
    np.moveaxis: lambda a, source, destination: shapes.moveaxis(a, source, destination),
    np.expand_dims: lambda a, axis: shapes.expand_dims(a, axis),
    np.squeeze: lambda a, axis=None: shapes.squeeze(a, axis),
    np.broadcast_to: lambda array, shape: shapes.broadcast_to(array, shape),
    np.flip: lambda m, axis=None: shapes.flip(m, axis),
    np.flipud: lambda m: shapes.flip(m, 0),
    np.fliplr: lambda m: shapes.flip(m, 1),
    np.roll: lambda a, shift, axis=None: shapes.roll(a, shift, axis),
    np.tile: lambda A, reps: shapes.tile(A, reps),
    np.repeat: lambda a, repeats, axis=None: shapes.repeat(a, repeats, axis),
    np.pad: _pad,
    np.concatenate: lambda arrays, axis=0: shapes.concatenate(arrays, axis),
    np.stack: lambda arrays, axis=0: shapes.stack(arrays, axis),
    np.vstack: lambda tup: shapes.concatenate(_rows(tup), 0),
    np.hstack: lambda tup: shapes.concatenate(tup, 0 if shapes.value(tup[0]).ndim == 1 else 1),
    np.diagonal: _diagonal,
    np.size: lambda a: shapes.size(a),
    np.shape: lambda a: a.shape,
    np.ndim: lambda a: a.ndim,
    # elements by their place, and in order
    np.take: lambda a, indices, axis=None: selection.take(a, indices, axis),
    np.take_along_axis: lambda arr, indices, axis=-1: selection.take_along_axis(arr, indices, axis),
    np.sort: _sort,
    np.argsort: _argsort,
    # linear algebra
    np.dot: algebra.dot,
    np.outer: algebra.outer,
    np.einsum: _einsum,
    np.tensordot: algebra.tensordot,
    np.trace: lambda a: algebra.trace(a),
    np.linalg.norm: algebra.norm,
    np.linalg.cholesky: lambda a: cholesky(a),
    np.linalg.solve: lambda a, b: algebra.solve(a, b),
    np.linalg.inv: lambda a: algebra.inv(a),
    np.linalg.svd: _svd,
}
