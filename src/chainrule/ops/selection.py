"""Elements chosen along any axis: take, take_along_axis, sort. Made of the gather along the first axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.graph import Node, Rows, type_of
from chainrule.graph.types import size_of
from chainrule.ops import logic
from chainrule.ops.build import is_traced, mismatch, new_node
from chainrule.ops.indexing import take as take_op
from chainrule.ops.random import iota
from chainrule.ops.reductions import extent, normalize_axes
from chainrule.ops.shapes import moveaxis, reshape, value
from chainrule.ops.sorting import argsort as argsort_op
from chainrule.ops.views import reshape as reshape_op


def take(x: Any, indices: Any, axis: int | None = 0) -> Any:
    """Return elements chosen by an array of integers along an axis (of all elements in a row, where it is None).

    A negative number counts from the end. Only an index that is itself computed in the function must count from 0: one
    out of 0, …, length − 1 is an error when it is run.
    """
    x = value(x)
    if axis is None:
        x, axis = reshape(x, -1), 0
    (at,) = normalize_axes(axis, x.ndim, "take")
    indices = places(x, indices, at)
    if at == 0:
        return take_op(x, indices)
    taken = take_op(moveaxis(x, at, 0), indices)
    return moveaxis(taken, tuple(range(indices.ndim)), tuple(range(at, at + indices.ndim)))


def places(x: Any, indices: Any, axis: int) -> Any:
    """Return indices along an axis, constant ones counted from the start; raise IndexError for one out of range."""
    if isinstance(indices, list) and not indices:
        indices = np.zeros(0, np.int64)
    indices = value(indices)
    if isinstance(indices, Node) or indices.dtype.kind not in "iu":
        return indices
    count = x.shape[axis]
    if isinstance(count, Rows):
        if not np.any(indices < 0):
            return indices
        wide = indices.astype(np.int64)
        return logic.where(wide < 0, wide + length(x, axis), wide)
    bad = indices[(indices < -count) | (indices >= count)]
    if bad.size:
        raise IndexError(f"index {bad[0]} is out of range for axis {axis} of {type_of(x)}")
    return np.where(indices < 0, indices + count, indices).astype(indices.dtype)


def require_integers(said: str, indices: Any) -> None:
    """Raise TypeMismatch for indices, traced or not, that are no integers."""
    kind = type_of(value(indices))
    if kind.dtype[0] not in "iu":
        raise mismatch(f"{said} {kind}; integers can be places: convert it first, x.astype('int64')")


def take_along_axis(x: Any, indices: Any, axis: int | None = -1) -> Any:
    """Return, along an axis, the elements that an array of integers chooses for each line of its own.

    A negative index counts from the end; one that is out of range is an error when it is run.
    """
    x, indices = value(x), value(indices)
    if axis is None:
        x, indices, axis = reshape(x, -1), reshape(indices, -1), 0
    (at,) = normalize_axes(axis, x.ndim, "take_along_axis")
    others = [tuple(d for a, d in enumerate(v.shape) if a != at) for v in (x, indices)]
    if indices.ndim != x.ndim or others[0] != others[1]:
        raise mismatch(
            f"take_along_axis: x has the shape {x.shape}, indices {indices.shape}; they must agree but for axis {at}"
        )
    if not is_traced(x, indices):
        return np.take_along_axis(x, indices, at)
    require_integers("take_along_axis: the indices are", indices)
    number = logic.cast(indices, dtype="i64")
    count = length(x, at)
    number = logic.where(logic.less(number, 0), number + count, number)
    outside = logic.logical_or(logic.less(number, 0), logic.greater_equal(number, count))
    return _along(x, logic.where(outside, -1, number), at, checked=outside)


def length(x: Any, axis: int) -> Any:
    """Return the length of an axis: a number, or a node where it is n."""
    dim = x.shape[axis]
    if not isinstance(dim, Rows):
        return dim
    return extent(new_node(iota, (), {"shape": (dim,), "axis": 0, "dtype": "i64"}), axis=0)


def _along(x: Any, number: Any, axis: int, checked: Any = None) -> Any:
    """Number the elements line by line, and take them as rows of one element; ``checked`` keeps −1 as it is."""
    lines, places = moveaxis(x, axis, -1), moveaxis(number, axis, -1)
    count = size_of(lines.shape[:-1])
    line = new_node(iota, (), {"shape": (count, places.shape[-1]), "axis": 0, "dtype": "i64"})
    flat = places + reshape_op(line, shape=places.shape) * length(lines, lines.ndim - 1)
    if checked is not None:  # an index beyond its line must not reach into the next one
        flat = logic.where(moveaxis(checked, axis, -1), -1, flat)
    taken = take_op(reshape(lines, -1), flat)
    return moveaxis(taken, -1, axis)


def argsort(x: Any, axis: int | None = -1) -> Any:
    """Return the indices that would sort along an axis: equal elements keep their order, NaN comes last."""
    x = value(x)
    if axis is None:
        x, axis = reshape(x, -1), 0
    return argsort_op(x, axis=normalize_axes(axis, x.ndim, "argsort")[0])


def sort(x: Any, axis: int | None = -1) -> Any:
    """Return the elements in order along an axis, from the smallest to the largest; NaN comes last."""
    x = value(x)
    if axis is None:
        x, axis = reshape(x, -1), 0
    (at,) = normalize_axes(axis, x.ndim, "sort")
    if not isinstance(x, Node):
        return np.sort(x, at, kind="stable")
    return _along(x, argsort_op(x, axis=at), at)
