"""Reductions along any axes, in an order that depends on the shape alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chainrule.execute.native.emit import Function
from chainrule.execute.native.frame import Frame, accumulate, carried_loop, columns, walk
from chainrule.execute.native.layout import ITEM_BYTES, View, collapse
from chainrule.execute.native.nests import Expression
from chainrule.execute.native.vector import Value, VectorBuilder, literal
from chainrule.graph import Dim, Node, Rows

ACCUMULATORS = {4: 16, 8: 8, 1: 16}
"""Logical lanes of a sum along contiguous elements, the same for every width of vectors: bits are a promise."""
START = {"sum": 0, "max": float("-inf"), "min": float("inf"), "all": 1}


def reduction_nest(
    frame: Frame, node: Node, absorbed: Sequence[Node], view_of: Callable[[Node], View], target: View
) -> None:
    """Reduce along axes into a contiguous target, in an order that depends on the shape alone.

    Elementwise nodes that nothing else reads are computed on the way, in registers (``absorbed``).
    """
    (operand,) = node.operands
    name, axes = node.op.name, tuple(node.attributes["axes"])
    expression = Expression(frame, absorbed, view_of)
    views = expression.views if absorbed else [view_of(operand)]
    shape, dtype = operand.shape, operand.type.dtype
    kept = [a for a in range(len(shape)) if a not in axes]
    inner_dims, inner_strides = collapse(tuple(shape[a] for a in axes), [[v.strides[a] for a in axes] for v in views])
    outer, strides = collapse(
        tuple(shape[a] for a in kept), [*([v.strides[a] for a in kept] for v in views), list(target.strides)]
    )
    builder = VectorBuilder(frame.f)
    start = Value(literal(START[name], dtype), dtype, 1)
    combine: Callable[[Value, Value], Value] = {
        "sum": builder.add,
        "max": builder.maximum,
        "min": builder.minimum,
        "all": builder.logical_and,
    }[name]
    empty = any(d == 0 for d in inner_dims)

    def read(pointers: Sequence[str], steps: Sequence[Dim], index: str, lanes: int) -> Value:
        if absorbed:
            return expression.at(pointers, steps, index, lanes, {} if lanes == 1 else hoist(pointers, steps))[operand]
        place = frame.step(pointers[0], dtype, frame.f.times(index, frame.dim(steps[0])))
        if steps[0] == 1 or lanes == 1:
            return frame.load(place, dtype, lanes)
        return (
            frame.splat(frame.load(place, dtype), lanes)
            if steps[0] == 0
            else frame.gather(place, dtype, frame.dim(steps[0]), lanes)
        )

    def hoist(pointers: Sequence[str], steps: Sequence[Dim]) -> dict[int, Value]:
        return expression.hoisted(pointers, steps)

    def moved(pointers: Sequence[str], index: str, depth: int) -> list[str]:
        return [
            frame.step(p, v.dtype, frame.f.times(index, frame.dim(s[depth])))
            for p, v, s in zip(pointers, views, inner_strides, strict=True)
        ]

    def across(
        pointers: Sequence[str], steps: Sequence[Dim], index: str, depth: int, total: Value, lanes: int
    ) -> Value:
        """Reduce all inner axes for a vector of columns."""
        if depth == len(inner_dims):
            return combine(total, read(pointers, steps, index, lanes))
        return accumulate(frame, inner_dims[depth], total, lambda i, running: across(
            moved(pointers, i, depth), steps, index, depth + 1, running, lanes
        ))  # fmt: skip

    def inner(length: Dim, pointers: list[str], steps: list[Dim]) -> None:
        sources, target_pointer = pointers[:-1], pointers[-1]

        def column(index: str, lanes: int) -> None:
            total = start if empty else across(sources, steps, index, 0, frame.splat(start, lanes), lanes)
            frame.store(frame.splat(total, lanes), frame.step(target_pointer, dtype, index))

        def one(index: str) -> None:
            at = [frame.step(p, v.dtype, frame.f.times(index, frame.dim(s)))
                  for p, v, s in zip(sources, views, steps, strict=False)]  # fmt: skip
            to = frame.step(target_pointer, dtype, frame.f.times(index, frame.dim(steps[-1])))
            total = start if empty else _along(frame, combine, start, at, inner_dims, inner_strides, moved, read)
            frame.store(total, to)

        wide = isinstance(length, Rows) or length >= 4
        if wide and steps[-1] == 1 and all(s in (0, 1) for s in steps):
            columns(frame, length, max(frame.vector_bytes // max(expression.widest, 4), 1), column)
        else:
            frame.loop(length, one)

    walk(frame, outer, [*views, target], strides, inner)


def _along(
    frame: Frame, combine: Callable[[Value, Value], Value], start: Value, pointers: Sequence[str], dims: Sequence[Dim],
    strides: Sequence[Sequence[Dim]], moved: Callable[..., list[str]], read: Callable[..., Value],
) -> Value:  # fmt: skip
    """Reduce the inner axes for one result: in fixed logical lanes, then the lanes in a fixed tree, then the rest."""
    f = frame.f
    if not dims:
        return combine(start, read(pointers, [0] * len(pointers), "0", 1))
    lanes = ACCUMULATORS[ITEM_BYTES[start.dtype]]
    length = dims[-1]
    steps = [s[-1] for s in strides]
    main = str(length // lanes * lanes) if isinstance(length, int) else f.put(f"and i64 {frame.dim(length)}, {-lanes}")

    def rows(depth: int, at: Sequence[str], total: Value, rest: bool) -> Value:
        if depth < len(dims) - 1:
            return accumulate(frame, dims[depth], total, lambda index, running: rows(
                depth + 1, moved(at, index, depth), running, rest
            ))  # fmt: skip
        begin, end, step = (main, frame.dim(length), 1) if rest else ("0", main, lanes)
        if begin == end:
            return total
        return carried_loop(
            frame, begin, end, step, total, lambda index, running: combine(running, read(at, steps, index, total.lanes))
        )

    if (isinstance(length, int) and length < lanes) or not all(s in (0, 1) for s in steps):
        main = "0"
        return rows(0, pointers, start, True)
    wide = rows(0, pointers, frame.splat(start, lanes), False)
    width = lanes
    while width > 1:  # a fixed tree: the upper half is combined with the lower, until one is left
        half = width // 2
        a, b = _half(f, wide, 0, half), _half(f, wide, half, half)
        wide = combine(a, b)
        width = half
    return rows(0, pointers, wide, True)


def _half(f: Function, wide: Value, begin: int, count: int) -> Value:
    if count == 1:
        return Value(f.put(f"extractelement {wide.type} {wide.name}, i32 {begin}"), wide.dtype, 1)
    places = ", ".join(f"i32 {i}" for i in range(begin, begin + count))
    mask = f"<{count} x i32> <{places}>"
    return Value(f.put(f"shufflevector {wide.type} {wide.name}, {wide.type} poison, {mask}"), wide.dtype, count)
