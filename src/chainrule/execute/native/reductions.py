"""Reductions along any axes, in an order that depends on the shape alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from chainrule.execute.native.emit import Function
from chainrule.execute.native.frame import Frame, carried_loop, columns, walk
from chainrule.execute.native.layout import ITEM_BYTES, View, collapse
from chainrule.execute.native.nests import Expression
from chainrule.execute.native.vector import Value, VectorBuilder, literal
from chainrule.graph import Dim, Node
from chainrule.graph.types import DTYPES

ACCUMULATORS = {4: 16, 8: 8, 1: 16}
"""Logical lanes of a sum along contiguous elements, the same for every width of vectors: bits are a promise."""
START = {"sum": 0, "prod": 1, "all": 1}


def start_of(name: str, dtype: str) -> float:
    """Return what a reduction starts with: of max and min the end of the dtype's range."""
    if name in START:
        return START[name]
    if dtype in ("f32", "f64"):
        return float("-inf") if name == "max" else float("inf")
    limits = np.iinfo(DTYPES[dtype])
    return int(limits.min if name == "max" else limits.max)


def reduction_nest(
    frame: Frame, node: Node, absorbed: Sequence[Node], view_of: Callable[[Node], View], target: View
) -> None:
    """Reduce along axes into a contiguous target, in an order that depends on the shape alone.

    Elementwise nodes that nothing else reads are computed on the way, in registers (``absorbed``).
    """
    nest = _Reduction(frame, node, absorbed, view_of, target)
    kept = [a for a in range(len(nest.shape)) if a not in nest.axes]
    outer, strides = collapse(
        tuple(nest.shape[a] for a in kept), [*([v.strides[a] for a in kept] for v in nest.views), list(target.strides)]
    )
    walk(frame, outer, [*nest.views, target], strides, nest.inner, divided=True)


class _Reduction:
    """A reduction being written: how one of its operand's elements is read, and how two are combined."""

    def __init__(
        self, frame: Frame, node: Node, absorbed: Sequence[Node], view_of: Callable[[Node], View], target: View
    ) -> None:
        (self.operand,) = node.operands
        self.frame = frame
        self.absorbed = bool(absorbed)
        self.axes = tuple(node.attributes["axes"])
        self.shape, self.dtype = self.operand.shape, self.operand.type.dtype
        self.expression = Expression(frame, absorbed, view_of)
        self.views = self.expression.views if absorbed else [view_of(self.operand)]
        self.dims, self.strides = collapse(
            tuple(self.shape[a] for a in self.axes), [[v.strides[a] for a in self.axes] for v in self.views]
        )
        builder = VectorBuilder(frame.f)
        self.start = Value(literal(start_of(node.op.name, self.dtype), self.dtype), self.dtype, 1)
        self.combine: Callable[[Value, Value], Value] = {
            "sum": builder.add,
            "prod": builder.multiply,
            "max": builder.maximum,
            "min": builder.minimum,
            "all": builder.logical_and,
        }[node.op.name]
        # asked for before any loop begins: lengths and strides of the inner axes
        self.lengths = [frame.dim(d) for d in self.dims]
        self.apart = [[frame.dim(s) for s in own] for own in self.strides]

    def read(
        self, pointers: Sequence[str], steps: Sequence[Dim], apart: Sequence[str], index: str, lanes: int,
        mask: str | None,
    ) -> Value:  # fmt: skip
        """Return the operand's elements at an index along an axis with these strides."""
        frame = self.frame
        if self.absorbed:
            hoisted = {} if lanes == 1 else self.expression.hoisted(pointers, steps)
            return self.expression.at(pointers, steps, apart, index, lanes, hoisted, mask)[self.operand]
        place = frame.step(pointers[0], self.dtype, frame.f.times(index, apart[0]))
        if steps[0] == 1 or lanes == 1:
            return frame.load(place, self.dtype, lanes, mask)
        if steps[0] == 0:
            return frame.splat(frame.load(place, self.dtype), lanes)
        return frame.gather(place, self.dtype, apart[0], lanes, mask)

    def moved(self, pointers: Sequence[str], index: str, depth: int) -> list[str]:
        frame = self.frame
        return [
            frame.step(p, v.dtype, frame.f.times(index, s[depth]))
            for p, v, s in zip(pointers, self.views, self.apart, strict=True)
        ]

    def inner(self, begin: str, end: str, pointers: list[str], steps: list[Dim]) -> None:
        """Write the last of the axes that are kept: columns side by side, or one result after another."""
        frame, f = self.frame, self.frame.f
        sources, target = pointers[:-1], pointers[-1]
        apart = [frame.dim(s) for s in steps]

        def column(index: str, lanes: int, mask: str | None) -> None:
            total = self.across(sources, steps, apart, index, 0, frame.splat(self.start, lanes), mask)
            frame.store(frame.splat(total, lanes), frame.step(target, self.dtype, index), mask)

        def one(index: str) -> None:
            at = [
                frame.step(p, v.dtype, f.times(index, s)) for p, v, s in zip(sources, self.views, apart, strict=False)
            ]
            total = self.along(at)
            frame.store(total, frame.step(target, self.dtype, f.times(index, apart[-1])))

        if self.is_wide(steps):
            columns(frame, begin, end, self.expression.lanes(), column)
        else:
            with f.loop(begin, end) as index:
                one(index)

    def is_wide(self, steps: Sequence[Dim]) -> bool:
        """Are the results next to each other, and their operands too? A vector of them is computed then."""
        return steps[-1] == 1 and all(s in (0, 1) for s in steps)

    def across(
        self, pointers: Sequence[str], steps: Sequence[Dim], apart: Sequence[str], index: str, depth: int,
        total: Value, mask: str | None,
    ) -> Value:  # fmt: skip
        """Reduce all inner axes for a vector of columns."""
        if depth == len(self.dims):
            return self.combine(total, self.read(pointers, steps, apart, index, total.lanes, mask))
        return carried_loop(self.frame, "0", self.lengths[depth], 1, total, lambda i, running: self.across(
            self.moved(pointers, i, depth), steps, apart, index, depth + 1, running, mask
        ))  # fmt: skip

    def along(self, pointers: Sequence[str]) -> Value:
        """Reduce the inner axes for one result: in fixed logical lanes, the last ones by a mask; then in a tree."""
        if not self.dims:
            return self.combine(
                self.start, self.read(pointers, [0] * len(pointers), ["0"] * len(pointers), "0", 1, None)
            )
        frame, f = self.frame, self.frame.f
        steps = [s[-1] for s in self.strides]
        apart = [s[-1] for s in self.apart]
        lanes = ACCUMULATORS[ITEM_BYTES[self.dtype]]
        if not all(s in (0, 1) for s in steps):
            return self.rows(0, pointers, self.start, lambda at, total: carried_loop(
                frame, "0", self.lengths[-1], 1, total,
                lambda i, running: self.combine(running, self.read(at, steps, apart, i, 1, None)),
            ))  # fmt: skip

        def masked(at: Sequence[str], index: str, total: Value) -> Value:
            mask = frame.mask(index, self.lengths[-1], lanes)
            new = self.combine(total, self.read(at, steps, apart, index, lanes, mask))
            name = f.put(f"select <{lanes} x i1> {mask}, {new.type} {new.name}, {total.type} {total.name}")
            return Value(name, total.dtype, lanes)

        def vectors(at: Sequence[str], total: Value) -> Value:
            if frame.masked:
                return carried_loop(frame, "0", self.lengths[-1], lanes, total, lambda i, t: masked(at, i, t))
            whole = f.put(f"and i64 {self.lengths[-1]}, {-lanes}")
            total = carried_loop(
                frame, "0", whole, lanes, total,
                lambda i, t: self.combine(t, self.read(at, steps, apart, i, lanes, None)),
            )  # fmt: skip
            return carried_loop(frame, whole, self.lengths[-1], lanes, total, lambda i, t: masked(at, i, t))

        wide = self.rows(0, pointers, frame.splat(self.start, lanes), vectors)
        width = lanes
        while width > 1:  # a fixed tree: the upper half is combined with the lower, until one is left
            width //= 2
            wide = self.combine(_half(f, wide, 0, width), _half(f, wide, width, width))
        return wide

    def rows(self, depth: int, at: Sequence[str], total: Value, last: Callable[[Sequence[str], Value], Value]) -> Value:
        """Loop over the inner axes but the last."""
        if depth == len(self.dims) - 1:
            return last(at, total)
        return carried_loop(self.frame, "0", self.lengths[depth], 1, total, lambda index, running: self.rows(
            depth + 1, self.moved(at, index, depth), running, last
        ))  # fmt: skip


def _half(f: Function, wide: Value, begin: int, count: int) -> Value:
    if count == 1:
        return Value(f.put(f"extractelement {wide.type} {wide.name}, i32 {begin}"), wide.dtype, 1)
    places = ", ".join(f"i32 {i}" for i in range(begin, begin + count))
    mask = f"<{count} x i32> <{places}>"
    return Value(f.put(f"shufflevector {wide.type} {wide.name}, {wide.type} poison, {mask}"), wide.dtype, count)
