"""Subscripts of traced values: x[…] with numbers, slices, None, …, arrays of integers and known masks."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.errors import TraceError
from chainrule.graph import Dim, Node, Rows
from chainrule.graph.types import show_shape, size_of
from chainrule.ops.build import is_traced, mismatch
from chainrule.ops.indexing import take as take_op
from chainrule.ops.logic import cast, where
from chainrule.ops.selection import length, places, require_integers, take
from chainrule.ops.shapes import moveaxis, value
from chainrule.ops.views import flip, slice_
from chainrule.ops.views import reshape as reshape_op


def get_item(x: Node, index: Any) -> Any:
    """Index a traced value with numbers, slices, ``None`` and ``…``, and with arrays of integers side by side.

    Numbers count from the end where they are negative; integers that are themselves traced count from 0 alone. A mask
    of truth values must be known, not traced: the result has as many elements as it has true ones.
    """
    parts = list(index) if isinstance(index, tuple) else [index]
    if any(isinstance(p, Node | np.ndarray | list) for p in parts):
        return _picked(x, parts)
    given = len([p for p in parts if p is not None and p is not Ellipsis])
    if parts.count(Ellipsis) > 1 or given > x.ndim:
        raise mismatch(f"x is {x.type}: it has {x.ndim} axes, the index has {given}")
    dots = parts.index(Ellipsis) if Ellipsis in parts else len(parts)
    fill = [slice(None)] * (x.ndim - given)
    parts = parts[:dots] + fill + parts[dots + 1 :]
    start: list[Any] = []
    stop: list[Any] = []
    step: list[Any] = []
    shape: list[Any] = []
    turned: list[int] = []
    axis = 0
    for part in parts:
        if part is None:
            shape.append(1)
            continue
        dim = x.shape[axis]
        begin, end, stride, keep = _range(x, part, axis, dim)
        if stride < 0:  # the same elements from the other end
            turned.append(axis)
            begin, end, stride = _from_the_start(begin, end, stride)
        start.append(begin)
        stop.append(end)
        step.append(stride)
        if keep:
            shape.append(len(range(begin, end, stride)) if isinstance(end, int) else dim)
        axis += 1
    taken = slice_(x, start=tuple(start), stop=tuple(stop), step=tuple(step))
    return reshape_op(flip(taken, axes=tuple(turned)) if turned else taken, shape=tuple(shape))


def _from_the_start(begin: int, end: Dim, stride: int) -> tuple[int, Dim, int]:
    """Return the range that has the same places as one that goes backward, in ascending order."""
    if isinstance(end, Rows):
        return 0, end, 1
    places = range(begin, end, stride)[::-1]
    return (places[0], places[-1] + 1, places.step) if places else (0, 0, 1)


def _range(x: Node, part: Any, axis: int, dim: Dim) -> tuple[int, Dim, int, bool]:
    if isinstance(part, slice):
        if isinstance(dim, Rows):
            if part == slice(None, None, -1):
                return 0, dim, -1, True
            if part != slice(None) and part != slice(0, None, None):
                raise TraceError(f"x is {x.type}: axis {axis} has n rows, of which only all can be taken (: or ::-1)")
            return 0, dim, 1, True
        begin, end, stride = part.indices(dim)
        if stride < 0:
            return begin, end, stride, True
        return begin, max(begin, end), stride, True
    if isinstance(part, bool | np.bool_) or not hasattr(part, "__index__"):
        raise _no_index(x, part)
    number = int(part)
    if isinstance(dim, Rows):
        raise TraceError(f"x is {x.type}: axis {axis} has n rows; a single row of them cannot be picked by number")
    if not -dim <= number < dim:
        raise IndexError(f"index {number} is out of range for axis {axis} of {x.type}")
    number %= dim
    return number, number + 1, 1, False


def _no_index(x: Node, part: Any) -> TraceError:
    return TraceError(f"x is {x.type}: it cannot be indexed with {part!r}; use numbers, slices, None and …")


# arrays of integers --------------------------------------------------------------------------------------------------


def _picked(x: Node, parts: list[Any]) -> Any:
    """Return elements chosen by arrays: along one axis, or along several side by side, by their places together."""
    if any(part is None for part in parts):
        raise TraceError("None beside an array of integers is not available: x[rows][:, None]")
    widths = [value(p).ndim if _is_mask(p) else 0 if p is Ellipsis else 1 for p in parts]
    given = sum(widths)
    if given > x.ndim or widths.count(0) > 1:
        raise mismatch(f"x is {x.type}: it has {x.ndim} axes, the index has {given}")
    dots = widths.index(0) if 0 in widths else len(parts)
    parts = parts[:dots] + [slice(None)] * (x.ndim - given) + parts[dots + 1 :]
    flat: list[Any] = []
    for part in parts:
        flat += _integers(x, part, len(flat))
    parts = flat
    axes = [axis for axis, part in enumerate(parts) if not isinstance(part, slice)]
    first, count = axes[0], len(axes)
    if axes != list(range(first, first + count)):
        raise TraceError(
            f"x is {x.type}: arrays and numbers in an index must stand side by side\n"
            "  wrong:  x[rows, :, columns]\n"
            "  right:  np.moveaxis(x, 2, 1)[rows, columns]"
        )
    x = get_item(x, tuple(part if isinstance(part, slice) else slice(None) for part in parts))
    indices = [parts[axis] for axis in axes]
    if count == 1:
        return take(x, indices[0], first)
    place = _place_of(x, indices, first)
    moved = moveaxis(x, axes, tuple(range(count)))
    rows = reshape_op(moved, shape=(size_of(moved.shape[:count]), *moved.shape[count:]))
    rank = place.ndim
    return moveaxis(take_op(rows, place), tuple(range(rank)), tuple(range(first, first + rank)))


def _is_mask(part: Any) -> bool:
    array = value(part) if isinstance(part, Node | np.ndarray) or (isinstance(part, list) and part) else None
    if isinstance(array, Node) and array.type.dtype == "bool":
        raise TraceError(
            "x[mask] has a size that depends on the values, which a graph cannot hold.\n"
            "  wrong:  x[x > 0].sum()\n"
            "  right:  np.where(x > 0, x, 0).sum()"
        )
    return array is not None and not isinstance(array, Node) and array.dtype == np.bool_


def _integers(x: Node, part: Any, axis: int) -> list[Any]:
    """Return a part of an index as it is, and a mask as the arrays of the places at which it is true."""
    if isinstance(part, slice | Node):
        return [part]
    if isinstance(part, bool) or not (isinstance(part, np.ndarray | list) or hasattr(part, "__index__")):
        raise _no_index(x, part)
    array = np.zeros(0, np.int64) if isinstance(part, list) and not part else np.asarray(value(part))
    if not _is_mask(array):
        return [array]
    axes = x.shape[axis : axis + array.ndim]
    if array.shape != axes:
        mine, wanted = show_shape(array.shape), show_shape(axes)
        raise mismatch(f"x is {x.type}: the mask has the shape [{mine}], the axes from axis {axis} on [{wanted}]")
    return [*np.nonzero(array)]


def _place_of(x: Node, indices: list[Any], first: int) -> Any:
    """Return the places of elements among those of several axes, counted along all of them together."""
    shapes = [value(index).shape for index in indices]
    try:
        np.broadcast_shapes(*(shape for shape in shapes if not any(isinstance(d, Rows) for d in shape)))
    except ValueError:
        raise mismatch(f"x is {x.type}: arrays of the shapes {shapes} in an index do not broadcast") from None
    flat: Any = None
    outside: Any = False
    for axis, index in enumerate(indices, start=first):
        require_integers(f"x is {x.type}: it cannot be indexed with", index)
        number: Any = cast(places(x, index, axis), dtype="i64")
        if is_traced(number):
            outside = outside | (number < 0) | (number >= length(x, axis))
        flat = number if flat is None else flat * length(x, axis) + number
    # an index beyond its own axis must not reach into the next line
    return flat if outside is False else where(outside, -1, flat)
