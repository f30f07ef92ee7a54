"""Subscripts of traced values: x[…] with numbers, slices, None, … and arrays of integers."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.errors import TraceError
from chainrule.graph import Dim, Node, Rows
from chainrule.ops.build import mismatch
from chainrule.ops.indexing import take as take_op
from chainrule.ops.shapes import value
from chainrule.ops.views import flip, slice_
from chainrule.ops.views import reshape as reshape_op


def get_item(x: Node, index: Any) -> Any:
    """Index a traced value with numbers, slices, ``None`` and ``…``, or with one array of integers along axis 0."""
    if isinstance(index, Node | np.ndarray | list):
        return _take_rows(x, index)
    parts = list(index) if isinstance(index, tuple) else [index]
    if any(isinstance(p, Node | np.ndarray | list) for p in parts):
        raise TraceError("indexing with arrays works along the first axis alone: x[rows], then slices")
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
        raise TraceError(f"x is {x.type}: it cannot be indexed with {part!r}; use numbers, slices, None and …")
    number = int(part)
    if isinstance(dim, Rows):
        raise TraceError(f"x is {x.type}: axis {axis} has n rows; a single row of them cannot be picked by number")
    if not -dim <= number < dim:
        raise IndexError(f"index {number} is out of range for axis {axis} of {x.type}")
    number %= dim
    return number, number + 1, 1, False


def _take_rows(x: Node, index: Any) -> Any:
    rows = value(index)
    kind = rows.type.dtype if isinstance(rows, Node) else rows.dtype.name
    if "bool" in kind:
        raise TraceError(
            "x[mask] has a size that depends on the values, which a graph cannot hold.\n"
            "  wrong:  x[x > 0].sum()\n"
            "  right:  np.where(x > 0, x, 0).sum()"
        )
    return take_op(x, rows)
