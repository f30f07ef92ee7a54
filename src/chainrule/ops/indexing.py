"""Gather and scatter: elements chosen by an index, and its transpose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from chainrule.errors import ExecutionError, TypeMismatch
from chainrule.graph.types import Dim, Type
from chainrule.ops.record import ZERO, Op, elementwise, register, require_dtype


def _take_type(types: tuple[Type, ...], attributes: Mapping[str, Any]) -> Type:
    x, indices = types
    require_dtype("take", "indices", indices, "integer")
    if x.rank < 1:
        raise TypeMismatch(f"take: x is {x}; a single number has no rows to take")
    return x.with_shape(indices.shape + x.shape[1:])


def _take(x: Any, indices: Any) -> Any:
    _check_range("take", indices, x.shape[0])
    return np.take(x, indices, axis=0)


def _check_range(name: str, indices: Any, size: int) -> None:
    bad = (indices < 0) | (indices >= size)
    if np.any(bad):
        value = np.asarray(indices)[bad].ravel()[0]
        message = f"{name}: the index {value} is out of range; the axis has {size} rows (0 to {size - 1})"
        if -size <= value < 0:
            message += "; an index that is computed counts from 0, not from the end"
        raise ExecutionError(message)


take: Op = register(
    Op(
        name="take",
        kind="gather",
        operands=("x", "indices"),
        evaluate=_take,
        typing=_take_type,
        pullback={
            "x": lambda g, y, x, indices: scatter_add(indices, g, size=x.shape[0]),
            "indices": ZERO,
        },
        latex="{x}[{indices}]",
        because="a row taken several times gets the sum of the derivatives",
        accepts="any",
        sample=((-2, 2), (0, 2)),
    )
)


def _scatter_type(types: tuple[Type, ...], attributes: Mapping[str, Any]) -> Type:
    indices, updates = types
    size: Dim = attributes["size"]
    require_dtype("scatter_add", "indices", indices, "integer")
    require_dtype("scatter_add", "updates", updates, "number")
    if updates.shape[: indices.rank] != indices.shape:
        raise TypeMismatch(
            f"scatter_add: indices is {indices}, updates is {updates}; there must be one update an index"
        )
    return updates.with_shape((size, *updates.shape[indices.rank :]))


def _scatter_add(indices: Any, updates: Any, size: int) -> Any:
    _check_range("scatter_add", indices, size)
    result = np.zeros((size, *updates.shape[indices.ndim :]), updates.dtype)
    np.add.at(result, indices, updates)  # in row order, so that the sum has one defined order
    return result


scatter_add: Op = register(
    Op(
        name="scatter_add",
        kind="scatter",
        operands=("indices", "updates"),
        evaluate=_scatter_add,
        typing=_scatter_type,
        pullback={"indices": ZERO, "updates": lambda g, y, indices, updates, size: take(g, indices)},
        attributes=("size",),
        latex=r"\sum_{{{indices}}} {updates}",
        because="each update gets the derivative of the row that it was added to",
        accepts="any",
        sample=((0, 2), (-2, 2)),
    )
)


NO_NUMBER = -(2**39)
"""Below it, what was to be an index was no whole number."""


def _checked_index(x: Any, low: Any, high: Any, layer: str, columns: tuple[int, ...] | None) -> Any:
    bad = (x < low) | (x >= high)
    if np.any(bad):
        place = tuple(np.argwhere(bad)[0])
        value, first, last = (int(np.broadcast_to(a, bad.shape)[place]) for a in (x, low, high))
        where = f"row {place[0] + 1}" if place else "it"
        if len(place) > 1:
            at = place[1]
            where += (
                f", column {at + 1}"
                if columns is None
                else f", column {columns[at] + 1}"
                if columns
                else (f", value {at + 1} of what the layer reads,")
            )
        who = layer if layer.startswith("the loss ") else f"the layer {layer!r}"
        raise ExecutionError(
            f"{who} takes whole numbers from 0 to {last - first - 1}: {where} holds "
            + ("no whole number" if value - first < NO_NUMBER else str(value - first))
        )
    return np.array(np.broadcast_to(x, np.shape(bad)))


checked_index: Op = elementwise(
    "checked_index", "x low high",
    evaluate=_checked_index,
    pullback={"x": ZERO, "low": ZERO, "high": ZERO},
    # −1 (of unsigned numbers: the largest) stops the gather that follows; the reference is then asked what was wrong
    lower=lambda b, x, low, high, layer, columns: b.select(
        b.logical_and(b.greater_equal(x, low), b.less(x, high)), x, b.subtract(b.constant(0, x), b.constant(1, x))
    ),
    latex="{x}", because="an index that is in its range is what it was",
    sample=[(1, 6), (0, 0.9), (6, 9)], accepts="integer", attributes=("layer", "columns"),
)  # fmt: skip
