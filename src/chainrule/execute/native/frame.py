"""Frame: a function being written that computes on slots. It loads, stores, steps pointers and loops over axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chainrule.execute.native.emit import IR_TYPE, Function
from chainrule.execute.native.layout import ITEM_BYTES, View
from chainrule.execute.native.vector import Value
from chainrule.graph import Dim, Rows

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


def columns(frame: Frame, length: Dim, lanes: int, body: Callable[[str, int], None]) -> None:
    """Run a body over vectors of columns, then over single columns."""
    if isinstance(length, int):
        while lanes > length:
            lanes //= 2
        main = length // lanes * lanes
        counted(frame, 0, main, lanes, body)
        for place in range(main, length):
            body(str(place), 1)
        return
    end = frame.dim(length)
    whole = frame.f.put(f"and i64 {end}, {-lanes}")
    with frame.f.loop("0", whole, lanes) as index:
        body(index, lanes)
    with frame.f.loop(whole, end) as index:
        body(index, 1)


def counted(frame: Frame, begin: int, end: int, step: int, body: Callable[[str, int], None]) -> None:
    if (end - begin) // step <= 2:
        for place in range(begin, end, step):
            body(str(place), step)
        return
    with frame.f.loop(str(begin), str(end), step) as index:
        body(index, step)


def accumulate(frame: Frame, end: Dim, total: Value, body: Callable[[str, Value], Value]) -> Value:
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
