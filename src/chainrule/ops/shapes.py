"""Shapes: functions that give the same elements in another shape or order, and joins of several values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.errors import TraceError
from chainrule.graph import Dim, Node, Rows, Type, as_array, make_constant
from chainrule.graph.types import DTYPES, show_shape, size_of
from chainrule.ops import logic
from chainrule.ops.build import mismatch
from chainrule.ops.reductions import normalize_axes
from chainrule.ops.views import broadcast, slice_
from chainrule.ops.views import concatenate as concatenate_op
from chainrule.ops.views import flip as flip_op
from chainrule.ops.views import pad as pad_op
from chainrule.ops.views import reshape as reshape_op
from chainrule.ops.views import transpose as transpose_op

Axis = int | tuple[int, ...] | None


def value(x: Any) -> Any:
    """Return a traced value as it is and anything else as an array."""
    return x if isinstance(x, Node) else as_array(x)


def size(x: Any) -> Any:
    """Return the number of elements; TraceError where it is not known while tracing."""
    total = size_of(x.shape)
    if isinstance(total, Rows):
        raise TraceError(
            f"x is {x.type}: its size is not known while tracing; use np.mean, or cr.ops.extent(x, axis=0)"
        )
    return total


def reshape(x: Any, shape: int | Sequence[Dim]) -> Any:
    """Return the same elements in another shape; one −1 is worked out."""
    x = value(x)
    wanted: list[Any] = [shape] if isinstance(shape, int | np.integer | Rows) else list(shape)
    wanted = [d if isinstance(d, Rows) else int(d) for d in wanted]
    if wanted.count(-1) > 1:
        raise mismatch("reshape: only one dimension can be -1")
    if -1 in wanted:
        wanted[wanted.index(-1)] = _missing_dim(size_of(x.shape), size_of(tuple(d for d in wanted if d != -1)), wanted)
    return reshape_op(x, shape=tuple(wanted))


def _missing_dim(total: Dim, rest: Dim, wanted: Sequence[Any]) -> Dim:
    number, symbol = (total.multiple, True) if isinstance(total, Rows) else (total, False)
    divisor, rest_symbol = (rest.multiple, True) if isinstance(rest, Rows) else (rest, False)
    if divisor == 0 or number % divisor or (rest_symbol and not symbol):
        raise mismatch(f"reshape: {total} elements cannot be arranged as {tuple(wanted)}")
    return Rows(number // divisor) if symbol and not rest_symbol else number // divisor


def transpose(x: Any, axes: Sequence[int] | None = None) -> Any:
    """Return the axes in another order; reversed where none is given."""
    x = value(x)
    order = range(x.ndim)[::-1] if axes is None else [a % x.ndim if -x.ndim <= a < x.ndim else a for a in axes]
    return transpose_op(x, axes=tuple(int(a) for a in order))


def concatenate(parts: Sequence[Any], axis: int | None = 0) -> Any:
    """Join values along an existing axis; with axis None, as one flat row of elements."""
    values = [value(p) for p in parts]
    if not values:
        raise mismatch("concatenate: there is nothing to join")
    if axis is None:
        values, axis = [reshape(v, -1) for v in values], 0
    (at,) = normalize_axes(axis, values[0].ndim, "concatenate")
    return concatenate_op(*values, axis=at)


def stack(parts: Sequence[Any], axis: int = 0) -> Any:
    """Join values along a new axis."""
    values = [value(p) for p in parts]
    if any(v.shape != values[0].shape for v in values):
        shapes = ", ".join(f"[{show_shape(v.shape)}]" for v in values)
        raise mismatch(f"stack: the parts have the shapes {shapes}; they must be equal")
    return concatenate([expand_dims(v, axis) for v in values], axis)


def expand_dims(x: Any, axis: int | tuple[int, ...]) -> Any:
    """Insert axes of length 1: ``axis`` says where they stand in the result."""
    x = value(x)
    rank = x.ndim + (1 if isinstance(axis, int | np.integer) else len(axis))
    new = normalize_axes(axis, rank, "expand_dims")
    dims = iter(x.shape)
    return reshape_op(x, shape=tuple(1 if a in new else next(dims) for a in range(rank)))


def squeeze(x: Any, axis: Axis = None) -> Any:
    """Take out axes of length 1."""
    x = value(x)
    axes = (
        tuple(a for a, d in enumerate(x.shape) if d == 1) if axis is None else normalize_axes(axis, x.ndim, "squeeze")
    )
    if any(x.shape[a] != 1 for a in axes):
        raise mismatch(f"squeeze: an axis of {axes} is not of length 1 in shape {x.shape}")
    return reshape_op(x, shape=tuple(d for a, d in enumerate(x.shape) if a not in axes))


def broadcast_to(x: Any, shape: Sequence[Dim]) -> Any:
    """Stretch a value to a shape."""
    dims = [shape] if isinstance(shape, int | np.integer | Rows) else shape
    return broadcast(value(x), shape=tuple(d if isinstance(d, Rows) else int(d) for d in dims))


def flip(x: Any, axis: Axis = None) -> Any:
    """Turn the order of elements around along axes (along all, where none is given)."""
    x = value(x)
    return flip_op(x, axes=normalize_axes(axis, x.ndim, "flip"))


def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    """Exchange two axes."""
    x = value(x)
    (a,), (b,) = (normalize_axes(axis, x.ndim, "swapaxes") for axis in (axis1, axis2))
    order = list(range(x.ndim))
    order[a], order[b] = b, a
    return transpose_op(x, axes=tuple(order))


def moveaxis(x: Any, source: int | Sequence[int], destination: int | Sequence[int]) -> Any:
    """Move axes to other places; the others keep their order."""
    x = value(x)
    sources, places = (_in_order(axes, x.ndim, "moveaxis") for axes in (source, destination))
    if len(sources) != len(places):
        raise mismatch(f"moveaxis: {len(sources)} axes cannot be moved to {len(places)} places")
    order = [a for a in range(x.ndim) if a not in sources]
    for place, axis in sorted(zip(places, sources, strict=True)):
        order.insert(place, axis)
    return transpose_op(x, axes=tuple(order))


def _in_order(axes: int | Sequence[int], rank: int, name: str) -> list[int]:
    listed = [axes] if isinstance(axes, int | np.integer) else list(axes)
    normalize_axes(tuple(listed), rank, name)
    return [int(a) % rank for a in listed]


def pad(x: Any, widths: Any, number: Any = 0) -> Any:
    """Put a number around the elements: ``widths`` is one width, ``(before, after)``, or such a pair for each axis."""
    x = value(x)
    try:
        pairs = np.broadcast_to(np.asarray(widths), (x.ndim, 2))
    except ValueError:
        raise mismatch(f"pad: the widths {widths!r} do not fit a value with {x.ndim} axes") from None
    if pairs.dtype.kind not in "iu" or np.any(pairs < 0):
        raise mismatch(f"pad: the widths {widths!r} must be whole numbers from 0 on")
    before, after = (tuple(int(v) for v in column) for column in pairs.T)

    def padded(inner: Any) -> Any:
        return pad_op(inner, before=before, after=after, between=(0,) * x.ndim)

    if not isinstance(number, Node) and np.ndim(number) == 0 and number == 0:
        return padded(x)
    inside = padded(broadcast(np.True_, shape=x.shape) if not isinstance(x, Node) else _true_like(x))
    return logic.where(inside, padded(x), number)


def _true_like(x: Node) -> Any:
    return broadcast(make_constant(np.asarray(True)), shape=x.shape)


def roll(x: Any, by: int, axis: int | None = None) -> Any:
    """Move elements along an axis; those that leave at its end come back at its beginning."""
    x = value(x)
    if axis is None:
        return reshape_op(roll(reshape(x, -1), by, 0), shape=x.shape)
    (at,) = normalize_axes(axis, x.ndim, "roll")
    length = x.shape[at]
    if isinstance(length, Rows):
        raise TraceError(f"roll: x is {x.type}; n rows cannot be rolled")
    if length == 0 or by % length == 0:
        return x
    split = length - by % length
    return concatenate([_part(x, at, split, length), _part(x, at, 0, split)], at)


def _part(x: Any, axis: int, begin: int, end: int) -> Any:
    start, stop = [0] * x.ndim, list(x.shape)
    start[axis], stop[axis] = begin, end
    return slice_(x, start=tuple(start), stop=tuple(stop), step=(1,) * x.ndim)


def tile(x: Any, times: int | Sequence[int]) -> Any:
    """Repeat a value as a whole along each axis."""
    x = value(x)
    counts = [times] if isinstance(times, int | np.integer) else list(times)
    rank = x.ndim if x.ndim > len(counts) else len(counts)
    shape = (*(1,) * (rank - x.ndim), *x.shape)
    counts = [1] * (rank - len(counts)) + [int(c) for c in counts]
    inner = [d for pair in zip((1,) * rank, shape, strict=True) for d in pair]
    wide = [d for pair in zip(counts, shape, strict=True) for d in pair]
    spread = broadcast(reshape_op(x, shape=tuple(inner)), shape=tuple(wide))
    return reshape_op(spread, shape=tuple(size_of(pair) for pair in zip(counts, shape, strict=True)))


def repeat(x: Any, times: int, axis: int | None = None) -> Any:
    """Repeat every element so many times, beside itself."""
    x = value(x)
    if not isinstance(times, int | np.integer):
        raise mismatch("repeat: the number of times must be one whole number")
    if axis is None:
        x, axis = reshape(x, -1), 0
    (at,) = normalize_axes(axis, x.ndim, "repeat")
    beside = expand_dims(x, at + 1)
    wide = broadcast(beside, shape=(*x.shape[: at + 1], int(times), *x.shape[at + 1 :]))
    return reshape_op(wide, shape=(*x.shape[:at], size_of((x.shape[at], int(times))), *x.shape[at + 1 :]))


def diagonal(x: Any, axis1: int = 0, axis2: int = 1) -> Any:
    """Return the elements whose places along two axes are equal, along a new last axis."""
    x = value(x)
    (a,), (b,) = (normalize_axes(axis, x.ndim, "diagonal") for axis in (axis1, axis2))
    if a == b:
        raise mismatch("diagonal: the two axes are the same")
    m, n = x.shape[a], x.shape[b]
    if isinstance(m, Rows) or isinstance(n, Rows):
        raise TraceError(f"diagonal: x is {x.type}; n rows have no diagonal of a known length")
    moved = moveaxis(x, (a, b), (-2, -1))
    count = m if m < n else n
    rest = moved.shape[:-2]
    if count == 0:
        return reshape_op(_part(moved, moved.ndim - 1, 0, 0), shape=(*rest, 0))
    flat = reshape_op(moved, shape=(*rest, m * n))
    rank = flat.ndim
    stop = (*rest, (count - 1) * (n + 1) + 1)
    picked: Any = slice_(flat, start=(0,) * rank, stop=stop, step=(*(1,) * (rank - 1), n + 1))
    return picked


def zeros_of(x: Node | Type) -> Node:
    """Return zeros of a traced value's type, for any number of rows, as a node."""
    kind = x if isinstance(x, Type) else x.type
    zero = make_constant(DTYPES[kind.dtype].type(0))
    result: Node = broadcast(zero, shape=kind.shape) if kind.shape else zero
    return result
