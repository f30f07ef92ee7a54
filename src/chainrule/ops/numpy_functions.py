"""NumPy's own functions on traced values: which part of the vocabulary each of them is.

A function that is not here, and an argument that one does not take, are refused by name (``overload``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from chainrule.errors import TraceError
from chainrule.graph import Node, Rows, make_constant
from chainrule.graph.types import DTYPES, dtype_name
from chainrule.ops import algebra, einstein, logic, selection, shapes
from chainrule.ops import functions as fn
from chainrule.ops import mathematics as ew
from chainrule.ops.build import broadcast_node
from chainrule.ops.library import cholesky
from chainrule.ops.reductions import normalize_axes

_DEGREES = 180 / np.pi


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
    np.trunc: _truncated,
    np.isnan: lambda x: logic.not_equal(x, x),
    np.isinf: lambda x: logic.equal(ew.absolute(x), float("inf")),
    np.logical_xor: lambda a, b: logic.bitwise_xor(a, b),
    np.divmod: lambda a, b: (ew.floor_divide(a, b), ew.remainder(a, b)),
    **dict.fromkeys((np.degrees, np.rad2deg), lambda x: ew.multiply(x, _DEGREES)),
    **dict.fromkeys((np.radians, np.deg2rad), lambda x: ew.multiply(x, 1 / _DEGREES)),
}
"""NumPy's ufuncs that are not one operation of the table each; an operation whose evaluate is a ufunc answers to it."""


REDUCTIONS: Mapping[Any, Callable[..., Any]] = {
    np.add: fn.sum, np.multiply: fn.prod, np.maximum: fn.max, np.minimum: fn.min, np.logical_and: fn.all,
    np.logical_or: fn.any, np.logaddexp: fn.logsumexp,
}  # fmt: skip
"""What ``np.add.reduce`` and its like are."""
RUNNING: Mapping[Any, Callable[..., Any]] = {np.add: fn.cumsum, np.multiply: fn.cumprod}
"""What ``np.add.accumulate`` and its like are."""


def _round(a: Any, decimals: int = 0) -> Any:
    if not a.type.is_float and decimals >= 0:
        return a
    if decimals == 0:
        return ew.rint(a)
    factor = 10.0 ** abs(int(decimals))
    return ew.rint(a * factor) / factor if decimals > 0 else ew.rint(a / factor) * factor


def _in_dtype(function: Callable[..., Any], neutral: int) -> Callable[..., Any]:
    """Return a sum or product that can be asked to convert its operand first, and to leave elements out."""

    def reduced(a: Any, axis: Any = None, dtype: Any = None, *, keepdims: bool = False, where: Any = True) -> Any:
        a = a if dtype is None else logic.cast(a, dtype=dtype_name(dtype))
        return function(a if where is True else logic.where(where, fn.counted(a), neutral), axis, keepdims)

    return reduced


def _mean(a: Any, axis: Any = None, dtype: Any = None, *, keepdims: bool = False, where: Any = True) -> Any:
    a = fn.measured(a if dtype is None else logic.cast(a, dtype=dtype_name(dtype)))
    if where is True:
        return fn.mean(a, axis, keepdims)
    taken = logic.where(where, broadcast_node(make_constant(np.asarray(1, a.dtype)), a.shape), 0)
    return fn.sum(logic.where(where, a, 0), axis, keepdims) / fn.sum(taken, axis, keepdims)


def _running_in_dtype(function: Callable[..., Any]) -> Callable[..., Any]:
    def running(a: Any, axis: Any = None, dtype: Any = None) -> Any:
        return function(a if dtype is None else logic.cast(a, dtype=dtype_name(dtype)), axis)

    return running


_ABSENT = object()


def _where(condition: Any, x: Any = _ABSENT, y: Any = _ABSENT) -> Any:
    if x is _ABSENT or y is _ABSENT:
        raise TypeError(
            "the number of places where a condition holds depends on the values, which a graph cannot hold.\n"
            "  wrong:  x[np.where(x > 0)].sum()\n"
            "  right:  np.where(x > 0, x, 0).sum()"
        )
    return fn.where(condition, x, y)


def _average(a: Any, axis: Any = None, weights: Any = None, *, keepdims: bool = False) -> Any:
    if weights is None:
        return fn.mean(a, axis, keepdims)
    a, weights = shapes.value(a), shapes.value(weights)
    if isinstance(axis, int | np.integer) and weights.ndim == 1:
        (at,) = normalize_axes(int(axis), a.ndim, "average")
        weights = shapes.reshape(weights, tuple(-1 if i == at else 1 for i in range(a.ndim)))
        return fn.sum(a * weights, at, keepdims) / fn.sum(weights)
    if weights.shape != a.shape:
        raise TypeError("weights must have the shape of a, or one axis, which axis=… names")
    return fn.sum(a * weights, axis, keepdims) / fn.sum(weights, axis, keepdims)


def _split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    x = shapes.value(ary)
    (at,) = normalize_axes(axis, x.ndim, "split")
    length = x.shape[at]
    if isinstance(length, Rows):
        raise TypeError("n rows cannot be divided into parts of a known size")
    if isinstance(indices_or_sections, int | np.integer):
        size, rest = divmod(length, int(indices_or_sections))
        if rest:
            raise TypeError(f"{length} elements along axis {at} are not {indices_or_sections} equal parts")
        ends = [size * i for i in range(1, int(indices_or_sections))]
    else:
        ends = list(indices_or_sections)
    before = (slice(None),) * at
    return [x[(*before, slice(a, b))] for a, b in zip([None, *ends], [*ends, None], strict=True)]


def _nan_to_num(x: Any, copy: bool = True, nan: float = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    if not x.type.is_float:
        return x
    largest = float(np.finfo(DTYPES[x.type.dtype]).max)
    most, least = (largest if posinf is None else posinf), (-largest if neginf is None else neginf)
    x = logic.where(logic.not_equal(x, x), nan, x)
    x = logic.where(logic.equal(x, np.inf), most, x)
    return logic.where(logic.equal(x, -np.inf), least, x)


def _at_least(rank: int) -> Callable[..., Any]:
    def at_least(*arys: Any) -> Any:
        values = [shapes.value(a) for a in arys]
        found = [shapes.reshape(v, ((1,) * (rank - v.ndim) + v.shape)) if v.ndim < rank else v for v in values]
        return found[0] if len(found) == 1 else tuple(found)

    return at_least


def _columns(tup: Any) -> Any:
    return shapes.concatenate([shapes.reshape(v, (-1, 1)) if shapes.value(v).ndim < 2 else v for v in tup], 1)


def _vdot(a: Any, b: Any) -> Any:
    return algebra.dot(shapes.reshape(a, -1), shapes.reshape(b, -1))


def _rows(parts: Any) -> list[Any]:
    return [shapes.reshape(p, (1, -1)) if shapes.value(p).ndim < 2 else p for p in parts]


def _full_like(x: Any, fill: Any, dtype: Any = None) -> Any:
    kind = x.dtype if dtype is None else DTYPES[dtype_name(dtype)]
    node = fill if isinstance(fill, Node) else make_constant(np.asarray(fill, kind))
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
    return einstein.einsum(subscripts, *operands)


def _svd(a: Any, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    a = shapes.value(a)
    if compute_uv and full_matrices and a.ndim == 2 and a.shape[0] != a.shape[1]:
        raise TypeError("of a matrix that is not square only np.linalg.svd(a, full_matrices=False) is available")
    return algebra.svd(a) if compute_uv else algebra.svd(a)[1]


def _diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    if offset != 0:
        raise TypeError("offset must be 0: the main diagonal alone is available")
    return shapes.diagonal(a, axis1, axis2)


def _diag(v: Any, k: int = 0) -> Any:
    v = shapes.value(v)
    if k != 0 or v.ndim not in (1, 2) or isinstance(v.shape[0], Rows):
        raise TypeError("k must be 0, and v a vector or a matrix of a known size")
    if v.ndim == 2:
        return shapes.diagonal(v)
    return logic.where(np.eye(v.shape[0], dtype=np.bool_), v, 0)


def _triangle(a: Any, k: int, lower: bool) -> Any:
    """Keep what is on one side of a diagonal, in each matrix of a stack."""
    a = shapes.value(a)
    if a.ndim < 2 or any(isinstance(d, Rows) for d in a.shape[-2:]):
        raise TypeError("the last two axes must be those of a matrix of a known size")
    ones = np.ones(a.shape[-2:], np.bool_)
    return logic.where(np.tril(ones, k) if lower else np.triu(ones, k), a, 0)


def _spread(function: Callable[..., Any]) -> Callable[..., Any]:
    def spread(a: Any, axis: Any = None, dtype: Any = None, *, ddof: float = 0, keepdims: bool = False) -> Any:
        return function(a if dtype is None else logic.cast(a, dtype=dtype_name(dtype)), axis, keepdims, ddof)

    return spread


FUNCTIONS: Mapping[Any, Callable[..., Any]] = {
    # reductions and running totals
    np.sum: _in_dtype(fn.sum, 0),
    np.prod: _in_dtype(fn.prod, 1),
    np.mean: _mean,
    np.average: _average,
    np.count_nonzero: lambda a, axis=None, *, keepdims=False: fn.sum(fn.truths(a), axis, keepdims),
    np.var: _spread(fn.var),
    np.std: _spread(fn.std),
    np.max: fn.max,
    np.amax: fn.max,
    np.min: fn.min,
    np.amin: fn.min,
    np.all: fn.all,
    np.any: fn.any,
    np.ptp: lambda a, axis=None, *, keepdims=False: fn.max(a, axis, keepdims) - fn.min(a, axis, keepdims),
    np.argmax: lambda a, axis=None, *, keepdims=False: fn.argmax(a, axis, keepdims),
    np.argmin: lambda a, axis=None, *, keepdims=False: fn.argmin(a, axis, keepdims),
    np.cumsum: _running_in_dtype(fn.cumsum),
    np.cumprod: _running_in_dtype(fn.cumprod),
    np.diff: _diff,
    # elements
    np.where: _where,
    np.nan_to_num: _nan_to_num,
    np.clip: lambda a, a_min=None, a_max=None, *, min=None, max=None: fn.clip(
        a, min if a_min is None else a_min, max if a_max is None else a_max
    ),
    np.round: _round,
    np.fix: lambda x: _truncated(x),
    np.zeros_like: lambda a, dtype=None: _full_like(a, 0, dtype),
    np.ones_like: lambda a, dtype=None: _full_like(a, 1, dtype),
    np.full_like: lambda a, fill_value, dtype=None: _full_like(a, fill_value, dtype),
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
    np.column_stack: _columns,
    np.split: _split,
    np.atleast_1d: _at_least(1),
    np.atleast_2d: _at_least(2),
    np.diagonal: _diagonal,
    np.diag: _diag,
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
    np.inner: einstein.inner,
    np.vdot: _vdot,
    np.outer: algebra.outer,
    np.einsum: _einsum,
    np.tensordot: einstein.tensordot,
    np.trace: lambda a: algebra.trace(a),
    np.linalg.norm: algebra.norm,
    np.linalg.cholesky: lambda a: cholesky(a),
    np.linalg.solve: lambda a, b: algebra.solve(a, b),
    np.linalg.inv: lambda a: algebra.inv(a),
    np.linalg.svd: _svd,
}
