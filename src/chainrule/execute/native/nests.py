"""Loop nests: fused elementwise nodes, reductions, and copies, over views with any strides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.execute.native.emit import IR_TYPE, Function
from chainrule.execute.native.layout import ITEM_BYTES, View, collapse
from chainrule.execute.native.schedule import Stage, joins
from chainrule.execute.native.threefry import random_bits
from chainrule.execute.native.vector import Value, VectorBuilder, literal
from chainrule.graph import Dim, Node, Rows

UNROLL = 8
"""A loop of so few trips, known in advance, is written out."""


class Frame:
    """A function that computes on slots: it knows n, the base pointer of every slot, and the width of vectors."""

    def __init__(self, function: Function, n: str, vector_bytes: int, bases: Sequence[str]) -> None:
        self.f = function
        self.n = n
        self.vector_bytes = vector_bytes
        self.bases = bases
        self._rows: dict[int, str] = {1: n}

    def dim(self, dim: Dim) -> str:
        """Return a dimension as an i64; multiples of n are computed where the function begins to need them."""
        if isinstance(dim, Rows):
            return self.n if dim.multiple == 1 else self.f.times(self.n, str(dim.multiple))
        return str(dim)

    def pointer(self, view: View) -> str:
        """Return the address of a view's first element."""
        base = view.slot.source if view.slot.purpose == "pointer" else self.bases[view.slot.index]
        offset = self.f.add(str(view.offset.fixed), self.f.times(self.n, str(view.offset.rows)))
        return self.step(base, view.dtype, offset)

    def step(self, pointer: str, dtype: str, elements: str) -> str:
        """Return the address so many elements further."""
        if elements == "0":
            return pointer
        return self.f.put(f"getelementptr inbounds {IR_TYPE[dtype]}, ptr {pointer}, i64 {elements}")

    def load(self, pointer: str, dtype: str, lanes: int = 1) -> Value:
        f = self.f
        memory = IR_TYPE[dtype] if lanes == 1 else f"<{lanes} x {IR_TYPE[dtype]}>"
        raw = f.put(f"load {memory}, ptr {pointer}, align {ITEM_BYTES[dtype]}")
        value = Value(raw, dtype, lanes)
        if dtype == "bool":
            return Value(f.put(f"icmp ne {memory} {raw}, {'zeroinitializer' if lanes > 1 else '0'}"), dtype, lanes)
        return value

    def store(self, value: Value, pointer: str) -> None:
        f = self.f
        memory = IR_TYPE[value.dtype] if value.lanes == 1 else f"<{value.lanes} x {IR_TYPE[value.dtype]}>"
        name = f.put(f"zext {value.type} {value.name} to {memory}") if value.dtype == "bool" else value.name
        f.do(f"store {memory} {name}, ptr {pointer}, align {ITEM_BYTES[value.dtype]}")

    def splat(self, value: Value, lanes: int) -> Value:
        """Return a scalar in every lane."""
        if lanes == 1 or value.lanes == lanes:
            return value
        kind = Value("", value.dtype, lanes).type
        one = self.f.put(f"insertelement {kind} poison, {value.type} {value.name}, i32 0")
        return Value(
            self.f.put(f"shufflevector {kind} {one}, {kind} poison, <{lanes} x i32> zeroinitializer"),
            value.dtype,
            lanes,
        )

    def gather(self, pointer: str, dtype: str, stride: str, lanes: int) -> Value:
        """Load elements a stride apart, lane by lane."""
        if lanes == 1:
            return self.load(pointer, dtype)
        kind = Value("", dtype, lanes).type
        result = "poison"
        for lane in range(lanes):
            place = self.step(pointer, dtype, self.f.times(stride, str(lane)))
            one = self.load(place, dtype)
            result = self.f.put(f"insertelement {kind} {result}, {one.type} {one.name}, i32 {lane}")
        return Value(result, dtype, lanes)

    def loop(self, end: Dim, body: Callable[[str], None]) -> None:
        """Run a body for each index below a dimension, written out where it is small and known."""
        if isinstance(end, int) and end <= 1:
            for i in range(end):
                body(str(i))
            return
        with self.f.loop("0", self.dim(end)) as index:
            body(index)


def walk(
    frame: Frame, shape: Sequence[Dim], views: Sequence[View], strides: Sequence[Sequence[Dim]],
    inner: Callable[[Dim, list[str], list[Dim]], None],
) -> None:  # fmt: skip
    """Loop over all axes but the last, stepping a pointer for every view; ``inner`` writes the last axis.

    ``inner`` takes the length of the last axis, the pointers, and each view's stride along it.
    """
    pointers = [frame.pointer(v) for v in views]
    if any(d == 0 for d in shape):
        return
    if not shape:
        inner(1, pointers, [0] * len(views))
        return

    def axis(depth: int, pointers: list[str]) -> None:
        if depth == len(shape) - 1:
            inner(shape[depth], pointers, [s[depth] for s in strides])
            return

        def body(index: str) -> None:
            moved = [
                frame.step(p, v.dtype, frame.f.times(index, frame.dim(s[depth])))
                for p, v, s in zip(pointers, views, strides, strict=True)
            ]
            axis(depth + 1, moved)

        frame.loop(shape[depth], body)

    axis(0, pointers)


class Expression:
    """Elementwise nodes of one shape, to be computed in registers wherever a loop stands.

    ``views`` are the operands that are read from memory; nodes inside the expression never are.
    """

    def __init__(self, frame: Frame, nodes: Sequence[Node], view_of: Callable[[Node], View]) -> None:
        inside = set(nodes)
        self.frame = frame
        self.nodes = nodes
        self.reads: list[Node] = []
        self.literals: dict[Node, Any] = {}
        self.keys: dict[Node, list[Value]] = {}
        for node in nodes:
            for place, operand in enumerate(node.operands):
                if operand in inside and joins(operand, node, place):
                    continue
                if node.op.name == "random_bits" and place == 0:
                    at = frame.pointer(view_of(operand))
                    self.keys[operand] = [frame.load(frame.step(at, "u32", str(i)), "u32") for i in (0, 1)]
                elif (number := uniform_literal(operand)) is not None:
                    self.literals[operand] = number
                elif not any(operand is r for r in self.reads):
                    self.reads.append(operand)
        self.views = [view_of(r) for r in self.reads]
        self.widest = max(
            [ITEM_BYTES[n.type.dtype] for n in nodes] + [ITEM_BYTES[v.dtype] for v in self.views], default=4
        )

    def hoisted(self, pointers: Sequence[str], steps: Sequence[Dim]) -> dict[int, Value]:
        """Load, before a loop, the operands that do not change along it."""
        return {
            i: self.frame.load(p, v.dtype)
            for i, (p, v, s) in enumerate(zip(pointers, self.views, steps, strict=False))
            if s == 0
        }

    def at(
        self, pointers: Sequence[str], steps: Sequence[Dim], index: str, lanes: int, hoisted: Mapping[int, Value]
    ) -> dict[Node, Value]:
        """Compute all nodes at an index along the last axis, for so many lanes from there."""
        frame = self.frame
        values: dict[Node, Value] = {}
        for i, operand in enumerate(self.reads):
            if i in hoisted:
                values[operand] = frame.splat(hoisted[i], lanes)
                continue
            dtype, step = self.views[i].dtype, steps[i]
            place = frame.step(pointers[i], dtype, frame.f.times(index, frame.dim(step)))
            values[operand] = (
                frame.load(place, dtype, lanes) if step == 1 else frame.gather(place, dtype, frame.dim(step), lanes)
            )
        for operand, number in self.literals.items():
            kind = operand.type.dtype
            text = literal(number, kind)
            element = Value("", kind, 1).element
            values[operand] = Value(text if lanes == 1 else f"splat ({element} {text})", kind, lanes)
        builder = VectorBuilder(frame.f)
        for node in self.nodes:
            random = node.op.name == "random_bits"
            operands = [self.keys[o] if random and j == 0 else values[o] for j, o in enumerate(node.operands)]
            values[node] = _lowered(builder, node, operands)
        return values


def fused_nest(frame: Frame, stage: Stage, view_of: Callable[[Node], View]) -> None:
    """Compute a group of elementwise nodes in one pass: load operands, compute in registers, store what is read."""
    expression = Expression(frame, stage.nodes, view_of)
    written = [node for node in stage.nodes if node in stage.stored]
    views = [*expression.views, *(view_of(node) for node in written)]
    first = len(expression.views)
    dims, strides = collapse(stage.nodes[0].shape, [list(v.strides) for v in views])
    lanes_full = max(frame.vector_bytes // max(expression.widest, 4), 1)

    def inner(length: Dim, pointers: list[str], steps: list[Dim]) -> None:
        hoisted = expression.hoisted(pointers, steps)

        def at(index: str, lanes: int) -> None:
            values = expression.at(pointers, steps, index, lanes, hoisted)
            for i, node in enumerate(written, start=first):
                place = frame.step(pointers[i], node.type.dtype, frame.f.times(index, frame.dim(steps[i])))
                frame.store(values[node], place)

        if all(step == 1 for step in steps[first:]):
            _columns(frame, length, lanes_full, at)
        else:
            frame.loop(length, lambda index: at(index, 1))

    walk(frame, dims, views, strides, inner)


def _counted(frame: Frame, begin: int, end: int, step: int, body: Callable[[str, int], None]) -> None:
    if (end - begin) // step <= 2:
        for place in range(begin, end, step):
            body(str(place), step)
        return
    with frame.f.loop(str(begin), str(end), step) as index:
        body(index, step)


def uniform_literal(node: Node) -> Any:
    """Return the one number that a literal holds in all its elements (broadcast or not), else None."""
    while node.op.name in ("broadcast", "reshape"):
        node = node.operands[0]
    if node.op.name != "constant" or node.attributes["value"].size == 0:
        return None
    value = node.attributes["value"]
    first = value.reshape(-1)[0]
    return (
        first
        if value.size == 1 or np.all(value.view(f"V{value.itemsize}") == first.view(f"V{value.itemsize}"))
        else None
    )


def _lowered(builder: VectorBuilder, node: Node, operands: list[Any]) -> Value:
    op: Any = node.op
    if op.name == "random_bits":
        return random_bits(builder, *operands)
    result: Value = op.lower(builder, *operands, **node.attributes)
    return result


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
        return _accumulate(frame, inner_dims[depth], total, lambda i, running: across(
            moved(pointers, i, depth), steps, index, depth + 1, running, lanes
        ))  # fmt: skip

    def inner(length: Dim, pointers: list[str], steps: list[Dim]) -> None:
        sources, target_pointer = pointers[:-1], pointers[-1]

        def columns(index: str, lanes: int) -> None:
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
            _columns(frame, length, max(frame.vector_bytes // max(expression.widest, 4), 1), columns)
        else:
            frame.loop(length, one)

    walk(frame, outer, [*views, target], strides, inner)


def _columns(frame: Frame, length: Dim, lanes: int, body: Callable[[str, int], None]) -> None:
    """Run a body over vectors of columns, then over single columns."""
    if isinstance(length, int):
        while lanes > length:
            lanes //= 2
        main = length // lanes * lanes
        _counted(frame, 0, main, lanes, body)
        for place in range(main, length):
            body(str(place), 1)
        return
    end = frame.dim(length)
    whole = frame.f.put(f"and i64 {end}, {-lanes}")
    with frame.f.loop("0", whole, lanes) as index:
        body(index, lanes)
    with frame.f.loop(whole, end) as index:
        body(index, 1)


def _accumulate(frame: Frame, end: Dim, total: Value, body: Callable[[str, Value], Value]) -> Value:
    """Loop with one value carried in a register."""
    if isinstance(end, int) and end <= UNROLL:
        for i in range(end):
            total = body(str(i), total)
        return total
    return carried_loop(frame, "0", frame.dim(end), 1, total, body)


def carried_loop(
    frame: Frame, begin: str, end: str, step: int, total: Value, body: Callable[[str, Value], Value]
) -> Value:
    """Count from begin to end with a value carried from trip to trip."""
    f = frame.f
    head, inside, done = f.label("head"), f.label("body"), f.label("done")
    before = f.block
    index, after, running = f.name("i"), f.name("next"), f.name("acc")
    f.do(f"br label %{head}")
    f.start(head)
    place = len(f.lines)
    f.lines += ["", ""]
    more = f.put(f"icmp slt i64 {index}, {end}")
    f.do(f"br i1 {more}, label %{inside}, label %{done}")
    f.start(inside)
    result = body(index, Value(running, total.dtype, total.lanes))
    f.do(f"{after} = add nsw i64 {index}, {step}")
    f.do(f"br label %{head}")
    f.lines[place] = f"  {index} = phi i64 [ {begin}, %{before} ], [ {after}, %{f.block} ]"
    start = total.name
    f.lines[place + 1] = f"  {running} = phi {total.type} [ {start}, %{before} ], [ {result.name}, %{f.block} ]"
    f.start(done)
    return Value(running, total.dtype, total.lanes)


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
            return _accumulate(frame, dims[depth], total, lambda index, running: rows(
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


def copy_nest(frame: Frame, source: View, target: View) -> None:
    """Copy a view's elements to another view of the same shape."""
    dims, (a, b) = collapse(source.shape, [list(source.strides), list(target.strides)])
    lanes = max(frame.vector_bytes // ITEM_BYTES[source.dtype], 1)

    def inner(length: Dim, pointers: list[str], steps: list[Dim]) -> None:
        if steps == [1, 1]:
            _columns(frame, length, lanes, lambda index, width: frame.store(
                frame.load(frame.step(pointers[0], source.dtype, index), source.dtype, width),
                frame.step(pointers[1], source.dtype, index),
            ))  # fmt: skip
            return
        frame.loop(length, lambda index: frame.store(
            frame.load(frame.step(pointers[0], source.dtype, frame.f.times(index, frame.dim(steps[0]))), source.dtype),
            frame.step(pointers[1], source.dtype, frame.f.times(index, frame.dim(steps[1]))),
        ))  # fmt: skip

    walk(frame, dims, [source, target], [a, b], inner)


def fill_nest(frame: Frame, target: View, number: Any) -> None:
    """Set every element of a contiguous view to one number."""
    dims, (steps,) = collapse(target.shape, [list(target.strides)])
    value = Value(literal(number, target.dtype), target.dtype, 1)

    def inner(length: Dim, pointers: list[str], strides: list[Dim]) -> None:
        frame.loop(length, lambda index: frame.store(
            value, frame.step(pointers[0], target.dtype, frame.f.times(index, frame.dim(strides[0])))
        ))  # fmt: skip

    walk(frame, dims, [target], [steps], inner)
