"""Frame: a kernel being written. It loads, stores, steps pointers and loops over axes.

A kernel is written for a *pattern*, not for sizes: lengths, strides (but 0 and 1) and places of operands are arguments
that it loads when it is called. So two layers of different widths share their machine code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from chainrule.execute.native.emit import IR_TYPE, Function, Module
from chainrule.execute.native.layout import ITEM_BYTES, Extent, View, as_extent
from chainrule.execute.native.vector import Value
from chainrule.graph import Dim

SIGNATURE = "(ptr %slots, ptr %args, i64 %begin, i64 %end)"
KERNEL = "(ptr, ptr, i64, i64)"
"""Every kernel takes the table of buffers, its arguments, and the part of its outermost loop that it is to run."""
STATUS_SLOT = 0
"""The slot that holds the status of a call: 0, or the first thing that went wrong."""
OUT_OF_RANGE, OUT_OF_BOUNDS = 1, 9
LONG = 1000
"""A kernel of so many lines loads the arguments of its further parts where each part begins."""
HELD = "data"
"""Slots that hold more rows than a batch has: how many bytes, a debug build is told beside the status."""
STEPPED = ("order", "position")
"""Slots of which a tile of a batch reads its rows alone, from the tile's first row on."""


class Frame:
    """A kernel being written: its arguments, in the order in which it asked for them, and the slots that it touches.

    ``debug`` checks every address against its buffer; a wrong one sets the status, and the access goes nowhere.
    """

    def __init__(self, vector_bytes: int, debug: bool = False) -> None:
        self.module = Module()
        self.f = Function(self.module, "")
        self.vector_bytes = vector_bytes
        self.masked = vector_bytes == 64
        """Whether the last, partial vector of a loop is a masked one: free with AVX-512, dear elsewhere."""
        self.debug = debug
        self.arguments: list[Extent] = []
        self.routines: list[tuple[int, str, str]] = []
        self.touched: set[int] = set()
        self.extent: Dim = 1
        self.divisible = False
        self._prologue: list[str] = []
        self._cells: list[str] = []
        self._bounds: dict[str, tuple[str, str]] = {}

    # arguments ------------------------------------------------------------------------------------------------------

    def argument(self, extent: Extent) -> str:
        """Return a number that the kernel is given when it is called, as an i64."""
        place = len(self.arguments)
        self.arguments.append(extent)
        self._prologue.append(f"  %at{place} = getelementptr inbounds i64, ptr %args, i64 {place}")
        self._prologue.append(f"  %arg{place} = load i64, ptr %at{place}, align 8")
        return f"%arg{place}"

    def routine(self, op: str, dtype: str) -> str:
        """Return the address of a library's routine; it is looked up when the code is linked."""
        self.routines.append((len(self.arguments), op, dtype))
        return self.argument(Extent())

    def dim(self, dim: Dim) -> str:
        """Return a length or stride as an i64: 0 and 1 as they are, since loops are written differently for them."""
        if isinstance(dim, int) and dim in (0, 1):
            return str(dim)
        return self.argument(as_extent(dim))

    def size(self, extent: Extent) -> str:
        """Return a number of elements as an i64."""
        return self.argument(extent)

    def base(self, view: View) -> str:
        """Return the address at which a view's slot begins."""
        self.touched.add(view.slot.index)
        slot = self.argument(Extent(view.slot.index))
        place = len(self.arguments)
        self._prologue.append(f"  %in{place} = getelementptr inbounds ptr, ptr %slots, i64 {slot}")
        self._prologue.append(f"  %base{place} = load ptr, ptr %in{place}, align 8")
        return f"%base{place}"

    def pointer(self, view: View) -> str:
        """Return the address of a view's first element."""
        if view.slot.purpose == "pointer":
            if view.offset == Extent():
                return str(view.slot.source)
            return self.step(view.slot.source, view.dtype, self.size(view.offset))
        base = self.base(view)
        offset = self.argument(view.offset * ITEM_BYTES[view.dtype])
        place = len(self.arguments)
        name = f"%start{place}"
        self._prologue.append(f"  {name} = getelementptr inbounds i8, ptr {base}, i64 {offset}")
        if self.debug:
            self._bounds[name] = base, self._limit(base, view, place)
        return name

    def _limit(self, base: str, view: View, place: int) -> str:
        """Return the address behind a view's slot."""
        slot = view.slot
        if slot.purpose == HELD:
            sizes, at, length = f"%sizes{place}", f"%sizeat{place}", f"%size{place}"
            self._prologue.append(f"  {sizes} = load ptr, ptr %slots, align 8")
            self._prologue.append(f"  {at} = getelementptr inbounds i64, ptr {sizes}, i64 {1 + slot.index}")
            self._prologue.append(f"  {length} = load i64, ptr {at}, align 8")
        else:
            size = Extent(0, 1, 0, 1) if slot.purpose in STEPPED else slot.size
            length = self.argument(size * ITEM_BYTES[slot.dtype])
        self._prologue.append(f"  %limit{place} = getelementptr inbounds i8, ptr {base}, i64 {length}")
        return f"%limit{place}"

    def holds(self, pointer: str, dtype: str, elements: str) -> str:
        """In a debug build: say, as an i1, whether so many elements from an address lie in its buffer."""
        low, high = self._bounds[pointer]
        end = self.f.put(f"getelementptr {IR_TYPE[dtype]}, ptr {pointer}, i64 {elements}")
        after = self.f.put(f"icmp uge ptr {pointer}, {low}")
        within = self.f.put(f"icmp ule ptr {end}, {high}")
        return self.f.put(f"and i1 {after}, {within}")

    def cell(self, kind: str) -> str:
        """Return the address of a local variable of the kernel."""
        name = self.f.name("cell")
        self._cells.append(f"  {name} = alloca {kind}")
        return name

    def fail(self, status: int) -> None:
        """Note that something went wrong."""
        self.touched.add(STATUS_SLOT)
        slot = self.f.put("load ptr, ptr %slots, align 8")
        self.f.do(f"store i64 {status}, ptr {slot}, align 8")

    @contextmanager
    def part(self) -> Iterator[None]:
        """Write one of many parts of a kernel: in a long one, its arguments are loaded where it begins.

        Else thousands of them would be held from the kernel's entry on, and LLVM would look for a place for each.
        """
        place = len(self.f.lines)
        if place < LONG:
            yield
            return
        before, self._prologue = self._prologue, []
        yield
        self.f.lines[place:place] = self._prologue
        self._prologue = before

    def finish(self, name: str) -> str:
        """Close the kernel and return its text under a name."""
        self.f.head = f"define void @{name}{SIGNATURE}"
        self.f.lines[:0] = [*self._cells, *self._prologue]
        self.f.finish()
        return self.module.text()

    # memory ---------------------------------------------------------------------------------------------------------

    def step(self, pointer: str, dtype: str, elements: str) -> str:
        """Return the address so many elements further."""
        if elements == "0":
            return pointer
        moved = self.f.put(f"getelementptr inbounds {IR_TYPE[dtype]}, ptr {pointer}, i64 {elements}")
        if pointer in self._bounds:
            self._bounds[moved] = self._bounds[pointer]
        return moved

    def load(self, pointer: str, dtype: str, lanes: int = 1, mask: str | None = None) -> Value:
        f = self.f
        element, align = IR_TYPE[dtype], ITEM_BYTES[dtype]
        memory = element if lanes == 1 else f"<{lanes} x {element}>"
        pointer = self._checked(pointer, dtype, lanes, mask)
        if mask is None:
            raw = f.put(f"load {memory}, ptr {pointer}, align {align}")
        else:
            name = f"llvm.masked.load.v{lanes}{_suffix(element)}.p0"
            f.module.declare(f"{memory} @{name}(ptr, i32 immarg, <{lanes} x i1>, {memory})")
            raw = f.put(
                f"call {memory} @{name}(ptr {pointer}, i32 {align}, <{lanes} x i1> {mask}, {memory} zeroinitializer)"
            )
        value = Value(raw, dtype, lanes)
        if dtype == "bool":
            return Value(f.put(f"icmp ne {memory} {raw}, {'zeroinitializer' if lanes > 1 else '0'}"), dtype, lanes)
        return value

    def store(self, value: Value, pointer: str, mask: str | None = None) -> None:
        f, lanes = self.f, value.lanes
        element, align = IR_TYPE[value.dtype], ITEM_BYTES[value.dtype]
        memory = element if lanes == 1 else f"<{lanes} x {element}>"
        name = f.put(f"zext {value.type} {value.name} to {memory}") if value.dtype == "bool" else value.name
        pointer = self._checked(pointer, value.dtype, lanes, mask)
        if mask is None:
            f.do(f"store {memory} {name}, ptr {pointer}, align {align}")
            return
        intrinsic = f"llvm.masked.store.v{lanes}{_suffix(element)}.p0"
        f.module.declare(f"void @{intrinsic}({memory}, ptr, i32 immarg, <{lanes} x i1>)")
        f.do(f"call void @{intrinsic}({memory} {name}, ptr {pointer}, i32 {align}, <{lanes} x i1> {mask})")

    def _checked(self, pointer: str, dtype: str, lanes: int, mask: str | None) -> str:
        """In a debug build: return the address if what is accessed lies in its buffer, else that of a spare cell."""
        if pointer not in self._bounds:
            return pointer
        f = self.f
        low, high = self._bounds[pointer]
        if mask is None:
            count = str(lanes)
        else:
            bits = f.put(f"bitcast <{lanes} x i1> {mask} to i{lanes}")
            wide = f.put(f"zext i{lanes} {bits} to i64") if lanes < 64 else bits
            zeros = f.intrinsic("i64", "llvm.ctlz.i64", ("i64", wide), ("i1", "false"))
            count = f.put(f"sub i64 64, {zeros}")
        end = f.put(f"getelementptr {IR_TYPE[dtype]}, ptr {pointer}, i64 {count}")
        below = f.put(f"icmp ult ptr {pointer}, {low}")
        above = f.put(f"icmp ugt ptr {end}, {high}")
        wrong = f.put(f"or i1 {below}, {above}")
        with f.when(wrong):
            self.fail(OUT_OF_BOUNDS)
        return f.put(f"select i1 {wrong}, ptr {self._spare()}, ptr {pointer}")

    def _spare(self) -> str:
        if not any(c.startswith("  %spare ") for c in self._cells):
            self._cells.append("  %spare = alloca [64 x i64], align 64")
        return "%spare"

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

    def gather(self, pointer: str, dtype: str, stride: str, lanes: int, mask: str | None = None) -> Value:
        """Load elements a stride apart, lane by lane; lanes that the mask leaves out read the first element again."""
        if lanes == 1:
            return self.load(pointer, dtype)
        f = self.f
        kind = Value("", dtype, lanes).type
        result = "poison"
        for lane in range(lanes):
            offset = f.times(stride, str(lane))
            if mask is not None and lane:
                here = f.put(f"extractelement <{lanes} x i1> {mask}, i32 {lane}")
                offset = f.put(f"select i1 {here}, i64 {offset}, i64 0")
            one = self.load(self.step(pointer, dtype, offset), dtype)
            result = f.put(f"insertelement {kind} {result}, {one.type} {one.name}, i32 {lane}")
        return Value(result, dtype, lanes)

    # loops ----------------------------------------------------------------------------------------------------------

    def loop(self, end: Dim, body: Callable[[str], None]) -> None:
        """Run a body for each index below a dimension."""
        if isinstance(end, int) and end <= 1:
            for i in range(end):
                body(str(i))
            return
        with self.f.loop("0", self.dim(end)) as index:
            body(index)

    def mask(self, index: str, end: str, lanes: int) -> str:
        """Return a mask of the lanes whose index is below the end; the first always is."""
        f = self.f
        left = f.put(f"sub nsw i64 {end}, {index}")
        capped = f.intrinsic("i64", "llvm.smin.i64", ("i64", left), ("i64", str(lanes)))
        small = f.put(f"trunc i64 {capped} to i32")
        kind = f"<{lanes} x i32>"
        one = f.put(f"insertelement {kind} poison, i32 {small}, i32 0")
        every = f.put(f"shufflevector {kind} {one}, {kind} poison, <{lanes} x i32> zeroinitializer")
        return f.put(f"icmp slt {kind} <{', '.join(f'i32 {i}' for i in range(lanes))}>, {every}")


def _suffix(element: str) -> str:
    return {"float": "f32", "double": "f64"}.get(element, element)


Body = Callable[[str, int, str | None], None]
"""What runs for some columns: their first index, how many lanes, and the mask of those that count, or None for all."""


def columns(frame: Frame, begin: str, end: str, lanes: int, body: Body, bytewise: bool = False) -> None:
    """Run a body over vectors of columns; those that do not fill a vector by a mask, or one by one.

    ``bytewise``: the body stores bytes. Under a mask that takes some processors a hundred cycles: only the last vector
    has one then.
    """
    f = frame.f
    if lanes == 1:
        with f.loop(begin, end) as index:
            body(index, 1, None)
    elif frame.masked and bytewise:
        length = f.put(f"sub nsw i64 {end}, {begin}")
        middle = f.put(f"add nsw i64 {begin}, {f.put(f'and i64 {length}, {-lanes}')}")
        with f.loop(begin, middle, lanes) as index:
            body(index, lanes, None)
        with f.when(f.put(f"icmp slt i64 {middle}, {end}")):
            body(middle, lanes, frame.mask(middle, end, lanes))
    elif frame.masked:
        with f.loop(begin, end, lanes) as index:
            body(index, lanes, frame.mask(index, end, lanes))
    else:
        length = f.put(f"sub nsw i64 {end}, {begin}")
        whole = f.put(f"and i64 {length}, {-lanes}")
        middle = f.put(f"add nsw i64 {begin}, {whole}")
        with f.loop(begin, middle, lanes) as index:
            body(index, lanes, None)
        with f.loop(middle, end) as index:
            body(index, 1, None)


Inner = Callable[[str, str, list[str], list[Dim]], None]
"""What runs along the last axis: from where, to where, with which pointers, and each view's stride."""


def walk(
    frame: Frame, shape: Sequence[Dim], views: Sequence[View], strides: Sequence[Sequence[Dim]], inner: Inner,
    *, divided: bool = False,
) -> None:  # fmt: skip
    """Loop over all axes but the last, stepping a pointer for every view; ``inner`` writes the last axis.

    ``divided`` runs only the part of the first axis that the kernel is called for.
    """
    pointers = [frame.pointer(v) for v in views]
    steps = [[frame.dim(s) for s in own[:-1]] for own in strides]  # asked for before any loop begins
    divided = divided and frame.divisible
    if divided and shape:
        frame.extent = shape[0]

    def bounds(depth: int) -> tuple[str, str]:
        return ("%begin", "%end") if divided and depth == 0 else ("0", frame.dim(shape[depth]))

    if not shape:
        inner("0", "1", pointers, [0] * len(views))
        return

    def axis(depth: int, pointers: list[str]) -> None:
        begin, end = bounds(depth)
        if depth == len(shape) - 1:
            inner(begin, end, pointers, [s[depth] for s in strides])
            return
        with frame.f.loop(begin, end) as index:
            moved = [
                frame.step(p, v.dtype, frame.f.times(index, s[depth]))
                for p, v, s in zip(pointers, views, steps, strict=True)
            ]
            axis(depth + 1, moved)

    axis(0, pointers)


def carried_loop(
    frame: Frame, begin: str, end: str, step: int, total: Value, body: Callable[[str, Value], Value]
) -> Value:
    """Count from begin to end with a value carried from trip to trip."""
    (result,) = carried_loops(frame, begin, end, step, [total], lambda index, running: [body(index, *running)])
    return result


def carried_loops(
    frame: Frame, begin: str, end: str, step: int, totals: Sequence[Value],
    body: Callable[[str, list[Value]], list[Value]],
) -> list[Value]:  # fmt: skip
    """Count from begin to end with some values carried from trip to trip."""
    f = frame.f
    head, inside, done = f.label("head"), f.label("body"), f.label("done")
    before = f.block
    index, after = f.name("i"), f.name("next")
    running = [Value(f.name("acc"), t.dtype, t.lanes) for t in totals]
    f.do(f"br label %{head}")
    f.start(head)
    place = len(f.lines)
    f.lines += [""] * (1 + len(running))
    more = f.put(f"icmp slt i64 {index}, {end}")
    f.do(f"br i1 {more}, label %{inside}, label %{done}")
    f.start(inside)
    results = body(index, running)
    f.do(f"{after} = add nsw i64 {index}, {step}")
    f.do(f"br label %{head}")
    f.lines[place] = f"  {index} = phi i64 [ {begin}, %{before} ], [ {after}, %{f.block} ]"
    for i, (now, start, result) in enumerate(zip(running, totals, results, strict=True), start=place + 1):
        f.lines[i] = f"  {now.name} = phi {now.type} [ {start.name}, %{before} ], [ {result.name}, %{f.block} ]"
    f.start(done)
    return running
