"""Running totals along an axis: sums and linear recurrences, one element after another, as the reference has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chainrule.execute.native.frame import carried_loop, columns, walk
from chainrule.execute.native.layout import ITEM_BYTES, View, collapse
from chainrule.execute.native.ordering import without_axis
from chainrule.execute.native.vector import Value, VectorBuilder
from chainrule.graph import Dim, Node

if TYPE_CHECKING:
    from chainrule.execute.native.compile import Compiler


def running(c: Compiler, node: Node, operands: list[View], target: View) -> None:
    """Carry a total along the axis; lines that lie side by side are carried together, a vector of them."""
    axis, reverse = node.attributes["axis"], node.attributes["reverse"]
    views = [*operands, target]
    lines = [without_axis(view, axis) for view in views]
    dims, strides = collapse(lines[0].shape, [list(line.strides) for line in lines])
    with c.stage() as frame:
        f = frame.f
        builder = VectorBuilder(f)
        dtype = target.dtype
        length = frame.dim(target.shape[axis])
        last = f.put(f"sub nsw i64 {length}, 1")
        along = [frame.dim(view.strides[axis]) for view in views]

        def inner(begin: str, end: str, pointers: list[str], steps: list[Dim]) -> None:
            apart = [frame.dim(s) for s in steps]

            def line(number: str, lanes: int, mask: str | None) -> None:
                starts = [frame.step(p, dtype, f.times(number, s)) for p, s in zip(pointers, apart, strict=True)]

                def step(trip: str, total: Value) -> Value:
                    index = f.put(f"sub nsw i64 {last}, {trip}") if reverse else trip
                    places = [frame.step(s, dtype, f.times(index, a)) for s, a in zip(starts, along, strict=True)]
                    values = [frame.load(place, dtype, lanes, mask) for place in places[:-1]]
                    if len(values) == 1:
                        total = builder.add(total, values[0])
                    else:
                        total = builder.add(builder.multiply(values[0], total), values[1])
                    first = frame.splat(Value(f.put(f"icmp eq i64 {trip}, 0"), "bool", 1), lanes)
                    total = builder.select(first, values[-1], total)  # not 0 + x, which would lose −0, nor a₀·0
                    frame.store(total, places[-1], mask)
                    return total

                carried_loop(frame, "0", length, 1, frame.splat(Value(zero(dtype), dtype, 1), lanes), step)

            packed = all(s == 1 for s in steps)
            columns(frame, begin, end, max(c.vector_bytes // ITEM_BYTES[dtype], 1) if packed else 1, line)

        walk(frame, dims, lines, strides, inner)


def zero(dtype: str) -> str:
    return "0.0" if dtype in ("f32", "f64") else "0"
