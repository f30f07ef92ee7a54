"""Reductions along any axes, in an order that depends on the shape, and on how operands lie, but on no machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from chainrule.execute.native.emit import Function
from chainrule.execute.native.frame import Frame, carried_loops, columns, walk
from chainrule.execute.native.layout import ITEM_BYTES, View, collapse
from chainrule.execute.native.nests import Expression
from chainrule.execute.native.vector import Value, VectorBuilder, literal
from chainrule.graph import Dim, Node
from chainrule.graph.types import DTYPES

ACCUMULATORS = {4: 16, 8: 8, 1: 16}
"""Logical lanes of a sum along contiguous elements, the same for every width of vectors: bits are a promise."""
BLOCK = 4
"""So many vectors of columns are reduced together."""
LONG = 16
"""From so many vectors on, a loop runs without a mask, and a masked trip follows it."""
LIGHT = ("add", "subtract", "multiply", "negative", "square", "absolute", "where")
"""Operations that need no register but their result's."""
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
    frame: Frame, nodes: Sequence[Node], absorbed: Sequence[Node], view_of: Callable[[Node], View],
    targets: Sequence[View],
) -> None:  # fmt: skip
    """Reduce along axes into contiguous targets, in an order that no width of vectors and no thread changes.

    It depends on the shape, and on how operands lie in memory: neighboring axes are one run where all step through them
    as one, and lanes lie side by side where all steps are 0 or 1. Whether a node is computed on the way, from what is
    broadcast or transposed, or was stored before, may therefore change the last bits.

    Elementwise nodes that nothing else reads are computed on the way, in registers (``absorbed``); several reductions
    along the same axes that share such nodes are one pass.
    """
    nest = _Reduction(frame, nodes, absorbed, view_of)
    kept = [a for a in range(len(nest.shape)) if a not in nest.axes]
    outer, strides = collapse(
        tuple(nest.shape[a] for a in kept),
        [*([v.strides[a] for a in kept] for v in nest.views), *(list(t.strides) for t in targets)],
    )
    walk(frame, outer, [*nest.views, *targets], strides, nest.inner, divided=True)


class _Reduction:
    """Reductions being written: how one of their operands' elements is read, and how two are combined."""

    def __init__(
        self, frame: Frame, nodes: Sequence[Node], absorbed: Sequence[Node], view_of: Callable[[Node], View]
    ) -> None:
        self.operands = [node.operands[0] for node in nodes]
        first = nodes[0]
        self.frame = frame
        self.absorbed = absorbed
        self.axes = tuple(first.attributes["axes"])
        self.shape, self.dtype = self.operands[0].shape, self.operands[0].type.dtype
        self.expression = Expression(frame, absorbed, view_of)
        self.views = self.expression.views if absorbed else [view_of(self.operands[0])]
        self.dims, self.strides = collapse(
            tuple(self.shape[a] for a in self.axes), [[v.strides[a] for a in self.axes] for v in self.views]
        )
        builder = VectorBuilder(frame.f)
        self.starts = [Value(literal(start_of(node.op.name, self.dtype), self.dtype), self.dtype, 1) for node in nodes]
        combine: Mapping[str, Callable[[Value, Value], Value]] = {
            "sum": builder.add,
            "prod": builder.multiply,
            "max": builder.maximum,
            "min": builder.minimum,
            "all": builder.logical_and,
        }
        self.combines = [combine[node.op.name] for node in nodes]
        # asked for before any loop begins: lengths and strides of the inner axes
        self.lengths = [frame.dim(d) for d in self.dims]
        self.apart = [[frame.dim(s) for s in own] for own in self.strides]

    def combine(self, totals: Sequence[Value], more: Sequence[Value]) -> list[Value]:
        return [c(total, new) for c, total, new in zip(self.combines, totals, more, strict=True)]

    def splat(self, values: Sequence[Value], lanes: int) -> list[Value]:
        return [self.frame.splat(v, lanes) for v in values]

    def read(
        self, pointers: Sequence[str], steps: Sequence[Dim], apart: Sequence[str], index: str, lanes: int,
        mask: str | None,
    ) -> list[Value]:  # fmt: skip
        """Return each operand's elements at an index along an axis with these strides."""
        frame = self.frame
        if self.absorbed:
            hoisted = {} if lanes == 1 else self.expression.hoisted(pointers, steps)
            found = self.expression.at(pointers, steps, apart, index, lanes, hoisted, mask)
            return [found[operand] for operand in self.operands]
        place = frame.step(pointers[0], self.dtype, frame.f.times(index, apart[0]))
        if steps[0] == 1 or lanes == 1:
            return [frame.load(place, self.dtype, lanes, mask)]
        if steps[0] == 0:
            return [frame.splat(frame.load(place, self.dtype), lanes)]
        return [frame.gather(place, self.dtype, apart[0], lanes, mask)]

    def moved(self, pointers: Sequence[str], index: str, depth: int) -> list[str]:
        frame = self.frame
        return [
            frame.step(p, v.dtype, frame.f.times(index, s[depth]))
            for p, v, s in zip(pointers, self.views, self.apart, strict=True)
        ]

    def inner(self, begin: str, end: str, pointers: list[str], steps: list[Dim]) -> None:
        """Write the last of the axes that are kept: columns side by side, or one result after another."""
        frame, f = self.frame, self.frame.f
        sources, targets = pointers[: len(self.views)], pointers[len(self.views) :]
        apart = [frame.dim(s) for s in steps]
        to = apart[len(self.views) :]

        def column(index: str, lanes: int, mask: str | None) -> None:
            totals = self.across(sources, steps, apart, index, 0, self.splat(self.starts, lanes), mask)
            for total, target in zip(totals, targets, strict=True):
                frame.store(frame.splat(total, lanes), frame.step(target, self.dtype, index), mask)

        def one(index: str) -> None:
            at = [
                frame.step(p, v.dtype, f.times(index, s)) for p, v, s in zip(sources, self.views, apart, strict=False)
            ]
            for total, target, s in zip(self.along(at), targets, to, strict=True):
                frame.store(total, frame.step(target, self.dtype, f.times(index, s)))

        if not self.is_wide(steps):
            with f.loop(begin, end) as index:
                one(index)
            return
        lanes = self.expression.lanes()
        if lanes > 1 and self.blocks():
            # whole cache lines of several vectors, and as many sums that do not wait for one another
            wide = BLOCK * lanes
            whole = f.put(f"and i64 {f.put(f'sub nsw i64 {end}, {begin}')}, {-wide}")
            middle = f.put(f"add nsw i64 {begin}, {whole}")
            with f.loop(begin, middle, wide) as index:
                column(index, wide, None)
            begin = middle
        columns(frame, begin, end, lanes, column)

    def is_wide(self, steps: Sequence[Dim]) -> bool:
        """Are the results next to each other, and their operands too? A vector of them is computed then."""
        count = len(self.views)
        return all(s == 1 for s in steps[count:]) and all(s in (0, 1) for s in steps[:count])

    def blocks(self) -> bool:
        """Are there several vectors of columns, and few enough values for each that all stay in registers?"""
        kept = [d for a, d in enumerate(self.shape) if a not in self.axes]
        return (
            bool(kept) and isinstance(kept[-1], int) and kept[-1] >= BLOCK * self.expression.lanes()
            and len(self.views) + len(self.operands) <= 4
            and all(node.op.name in LIGHT for node in self.absorbed)
        )  # fmt: skip

    def across(
        self, pointers: Sequence[str], steps: Sequence[Dim], apart: Sequence[str], index: str, depth: int,
        totals: list[Value], mask: str | None,
    ) -> list[Value]:  # fmt: skip
        """Reduce all inner axes for a vector of columns."""
        if depth == len(self.dims):
            return self.combine(totals, self.read(pointers, steps, apart, index, totals[0].lanes, mask))
        return carried_loops(self.frame, "0", self.lengths[depth], 1, totals, lambda i, running: self.across(
            self.moved(pointers, i, depth), steps, apart, index, depth + 1, running, mask
        ))  # fmt: skip

    def along(self, pointers: Sequence[str]) -> list[Value]:
        """Reduce the inner axes for one result: in fixed logical lanes, the last ones by a mask; then in a tree."""
        if not self.dims:
            return self.combine(
                self.starts, self.read(pointers, [0] * len(pointers), ["0"] * len(pointers), "0", 1, None)
            )
        frame, f = self.frame, self.frame.f
        steps = [s[-1] for s in self.strides]
        apart = [s[-1] for s in self.apart]
        lanes = ACCUMULATORS[ITEM_BYTES[self.dtype]]
        if not all(s in (0, 1) for s in steps):
            return self.rows(0, pointers, self.starts, lambda at, totals: carried_loops(
                frame, "0", self.lengths[-1], 1, totals,
                lambda i, running: self.combine(running, self.read(at, steps, apart, i, 1, None)),
            ))  # fmt: skip

        def masked(at: Sequence[str], index: str, totals: list[Value]) -> list[Value]:
            mask = frame.mask(index, self.lengths[-1], lanes)
            more = self.combine(totals, self.read(at, steps, apart, index, lanes, mask))
            return [
                Value(
                    f.put(f"select <{lanes} x i1> {mask}, {new.type} {new.name}, {total.type} {total.name}"),
                    total.dtype, lanes,
                )
                for total, new in zip(totals, more, strict=True)
            ]  # fmt: skip

        def vectors(at: Sequence[str], totals: list[Value]) -> list[Value]:
            long = isinstance(self.dims[-1], int) and self.dims[-1] >= LONG * lanes
            if frame.masked and not long:  # in a long loop a sum should not wait for its mask
                return carried_loops(frame, "0", self.lengths[-1], lanes, totals, lambda i, t: masked(at, i, t))
            whole = f.put(f"and i64 {self.lengths[-1]}, {-lanes}")
            totals = carried_loops(
                frame, "0", whole, lanes, totals,
                lambda i, t: self.combine(t, self.read(at, steps, apart, i, lanes, None)),
            )  # fmt: skip
            return carried_loops(frame, whole, self.lengths[-1], lanes, totals, lambda i, t: masked(at, i, t))

        wide = self.rows(0, pointers, self.splat(self.starts, lanes), vectors)
        width = lanes
        while width > 1:  # a fixed tree: the upper half is combined with the lower, until one is left
            width //= 2
            wide = self.combine([_half(f, v, 0, width) for v in wide], [_half(f, v, width, width) for v in wide])
        return wide

    def rows(
        self, depth: int, at: Sequence[str], totals: list[Value],
        last: Callable[[Sequence[str], list[Value]], list[Value]],
    ) -> list[Value]:  # fmt: skip
        """Loop over the inner axes but the last."""
        if depth == len(self.dims) - 1:
            return last(at, totals)
        return carried_loops(self.frame, "0", self.lengths[depth], 1, totals, lambda index, running: self.rows(
            depth + 1, self.moved(at, index, depth), running, last
        ))  # fmt: skip


def _half(f: Function, wide: Value, begin: int, count: int) -> Value:
    if count == 1:
        return Value(f.put(f"extractelement {wide.type} {wide.name}, i32 {begin}"), wide.dtype, 1)
    places = ", ".join(f"i32 {i}" for i in range(begin, begin + count))
    mask = f"<{count} x i32> <{places}>"
    return Value(f.put(f"shufflevector {wide.type} {wide.name}, {wide.type} poison, {mask}"), wide.dtype, count)
