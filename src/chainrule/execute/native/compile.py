"""A graph becomes a sequence of stages: kernels, and what each is to be called with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any

from chainrule.errors import ExecutionError
from chainrule.execute.native import matmul, nests
from chainrule.execute.native.code import Call, Code
from chainrule.execute.native.emit import Function
from chainrule.execute.native.frame import OUT_OF_RANGE, Frame, carried_loop, columns, walk
from chainrule.execute.native.layout import (
    ITEM_BYTES,
    Extent,
    Slot,
    View,
    as_extent,
    collapse,
    contiguous,
    product,
    scaled,
    whole,
)
from chainrule.execute.native.reductions import reduction_nest
from chainrule.execute.native.schedule import REDUCTIONS, is_alias, is_elementwise, is_flag, make_schedule, unsupported
from chainrule.execute.native.threefry import encrypt
from chainrule.execute.native.vector import Value, VectorBuilder, literal
from chainrule.graph import Dim, Graph, Node, Rows, Type, result_types


class Compiler:
    """Writes the stages of a graph: hands out slots, lays views over them, and writes kernel after kernel."""

    def __init__(self, vector_bytes: int, debug: bool = False) -> None:
        self.vector_bytes = vector_bytes
        self.debug = debug
        self.slots: list[Slot] = []
        self.calls: list[Call] = []
        self.sections: dict[str, list[Call]] = {}
        self.units: dict[str, str] = {}
        self.slot("status", Type("i64"))
        self._frame: Frame | None = None
        self._flags = 0
        self._flag_slot: Slot | None = None

    @property
    def frame(self) -> Frame:
        assert self._frame is not None, "a kernel is written inside a stage"
        return self._frame

    @property
    def f(self) -> Function:
        return self.frame.f

    def slot(self, purpose: str, kind: Type, source: Any = None, size: Extent | None = None) -> Slot:
        found = Slot(len(self.slots), purpose, kind.dtype, size or product(kind.shape), source)
        self.slots.append(found)
        return found

    def temporary(self, kind: Type) -> View:
        return whole(self.slot("temporary", kind), kind)

    def cell(self, kind: str) -> str:
        """Return the address of a local variable of the kernel."""
        return self.frame.cell(kind)

    @contextmanager
    def stage(self, cost: tuple[float, Extent] = (0.0, Extent()), divisible: bool = False) -> Iterator[Frame]:
        """Open a kernel; inside another one (the body of a loop), what would be a kernel is part of that."""
        if self._frame is not None:
            yield self._frame
            return
        frame = self._frame = Frame(self.vector_bytes, self.debug)
        frame.divisible = divisible
        yield frame
        self._frame = None
        text = frame.finish("KERNEL")
        name = f"k{blake2b(text.encode(), digest_size=12).hexdigest()}"
        self.units[name] = text.replace("@KERNEL(", f"@{name}(", 1)
        for unit in [u for dtype in ("f32", "f64") for u in matmul.units(dtype) if f"@{u}(" in text]:
            self.units[unit] = matmul.unit_text(unit, self.vector_bytes)
        extent = as_extent(frame.extent)
        self.calls.append(Call(name, tuple(frame.arguments), extent, 1, divisible, cost, tuple(sorted(frame.touched))))

    def call(self, unit: str, arguments: Sequence[Extent], touched: Sequence[int], **more: Any) -> None:
        """Add a stage that calls one of the functions for products."""
        for name in matmul.units(unit.split("_")[1]):
            self.units[name] = matmul.unit_text(name, self.vector_bytes)
        self.calls.append(Call(unit, tuple(arguments), touched=tuple(sorted(touched)), **more))

    def compile(self, graph: Graph) -> Code:
        """Write all stages of a graph; inputs and outputs are slots of their own."""
        self.refuse(graph)
        inputs = {node: whole(self.slot("input", node.type), node.type) for node in graph.inputs}
        targets = [whole(self.slot("output", node.type), node.type) for node in graph.outputs]
        with self.section("run"):
            self.write(graph, inputs, targets)
        return self.code()

    @contextmanager
    def section(self, name: str) -> Iterator[None]:
        """Write a list of calls that is run as a whole; its temporaries are its own."""
        self.calls, self._flags, self._flag_slot = [], 0, None
        yield
        self._set_flags()
        self.sections[name] = self.calls

    def code(self) -> Code:
        """Return what was written."""
        return Code(self.slots, self.sections, self.units)

    def refuse(self, graph: Graph) -> None:
        """Raise ExecutionError naming the first operation that cannot be compiled."""
        name = unsupported(graph, {**HEAVY, **REGIONS})
        if name:
            raise ExecutionError(f"the native executor cannot run the operation {name!r}; use executor='reference'")

    def _set_flags(self) -> None:
        """Put the stage that sets all flags in front of the others."""
        if self._flag_slot is None:
            return
        slot = self._flag_slot
        self.slots[slot.index] = Slot(slot.index, slot.purpose, slot.dtype, Extent(self._flags))
        with self.stage():
            nests.fill_nest(self.frame, View(self.slots[slot.index], (self._flags,), (1,)), True)
        self.calls.insert(0, self.calls.pop())

    def flag(self) -> View:
        """Return a byte for an ``all`` that a nest finds on its way: it must be 1 before."""
        if self._frame is not None:
            return self.temporary(Type("bool"))
        if self._flag_slot is None:
            self._flag_slot = self.slot("temporary", Type("bool"))
        self._flags += 1
        return View(self._flag_slot, (), (), Extent(self._flags - 1))

    def write(self, graph: Graph, inputs: Mapping[Node, View], targets: Sequence[View | None]) -> list[View]:
        """Write a graph's stages; outputs go to the given targets, or stay where they are computed."""
        views: dict[Node, View] = dict(inputs)
        results: dict[Node, list[View]] = {}
        wanted: dict[Node, View] = {}
        for node, target in zip(graph.outputs, targets, strict=True):
            computed = is_elementwise(node) or (node.op.name in HEAVY and not is_flag(node))
            if target is not None and computed and node not in inputs:
                wanted.setdefault(node, target)

        def view_of(node: Node) -> View:
            if node not in views:
                views[node] = self._alias(node, view_of, results)
            return views[node]

        for stage in make_schedule(graph):
            inside = set(stage.nodes)
            for node in stage.nodes:  # a view may need a copy, which is a stage of its own: before this one begins
                for operand in node.operands:
                    if operand not in inside and nests.uniform_literal(operand) is None:
                        view_of(operand)
            if stage.fused:
                for node in stage.nodes:
                    if is_flag(node):
                        views[node] = self.flag()
                    elif node in stage.stored:
                        views[node] = wanted.get(node) or self.temporary(node.type)
                first = stage.nodes[0].operands[0] if is_flag(stage.nodes[0]) else stage.nodes[0]
                with self.stage((0.06 * (len(stage.nodes) + 2), product(first.shape)), divisible=True) as frame:
                    nests.fused_nest(frame, stage, view_of)
                continue
            *absorbed, node = stage.nodes
            if node.op.kind == "region":
                with self.stage():
                    results[node] = REGIONS[node.op.name](self, node, [view_of(o) for o in node.operands])
                continue
            views[node] = wanted.get(node) or self.temporary(node.type)
            if node.op.name in REDUCTIONS:
                cost = 0.06 * (len(absorbed) + 2), product(node.operands[0].shape)
                with self.stage(cost, divisible=True) as frame:
                    reduction_nest(frame, node, absorbed, view_of, views[node])
            else:
                HEAVY[node.op.name](self, node, [view_of(o) for o in node.operands], views[node])
        final = []
        for node, target in zip(graph.outputs, targets, strict=True):
            view = view_of(node)
            if target is not None and view is not target:
                self.copy(view, target)
            final.append(target if target is not None else view)
        return final

    def copy(self, source: View, target: View) -> None:
        """Copy a view's elements to another view of the same shape."""
        with self.stage((0.1, product(source.shape)), divisible=True) as frame:
            nests.copy_nest(frame, source, target)

    def packed(self, view: View) -> View:
        """Return a view with the same elements next to each other, copied if they are not."""
        if view.is_contiguous:
            return view
        copied = self.temporary(Type(view.dtype, view.shape))
        self.copy(view, copied)
        return copied

    def _alias(self, node: Node, view_of: Callable[[Node], View], results: Mapping[Node, list[View]]) -> View:
        """Return a view of a node that computes nothing: a literal, or other elements' shape or order."""
        name, attributes = node.op.name, node.attributes
        if name in ("constant", "captured"):
            return whole(self.slot("constant", node.type, attributes["value"]), node.type)
        if name == "result":
            index: int = attributes["index"]
            return results[node.operands[0]][index]
        if not is_alias(node):
            raise ExecutionError(f"the native executor has no place for {name}")
        source = view_of(node.operands[0])
        if name == "broadcast":
            return source.broadcast(node.shape)
        if name == "transpose":
            return source.transposed(attributes["axes"])
        if name == "slice":
            return source.sliced(node.shape, attributes["start"], attributes["step"])
        moved = source.reshaped(node.shape)
        if moved is None:
            moved = self.packed(source).reshaped(node.shape)
        assert moved is not None
        return moved

    def pointer_view(self, pointer: str, kind: Type) -> View:
        """Return a view of contiguous elements at an address that is known only as the kernel runs."""
        return View(Slot(-1, "pointer", kind.dtype, Extent(), pointer), kind.shape, contiguous(kind.shape))


PACK_FROM = 24
"""From so many rows on, B is copied into panels first: every tile of rows reads them again."""
SMALL = 32 * 1024
"""A matrix B of so many bytes stays in the nearest cache anyway, and is read as it is."""


def _matmul(c: Compiler, node: Node, operands: list[View], target: View) -> None:
    a, b = operands
    (m, k), n = a.shape, b.shape[1]
    if 0 in (m, n, k):
        with c.stage():
            nests.fill_nest(c.frame, target, 0)
        return
    dtype, width = a.dtype, matmul.panel_width(a.dtype, c.vector_bytes)
    as_it_is = b.strides[1] == 1 or n == 1
    small = not b.is_symbolic and product(b.shape).fixed * (4 if dtype == "f32" else 8) <= SMALL
    if c._frame is not None:
        _product_inside(c, a, b, target, as_it_is)
        return
    if as_it_is and (small or (isinstance(m, int) and m < PACK_FROM)):
        _product(c, a, b, as_extent(b.strides[0]), Extent(width), target)
        return
    bounded = as_it_is and isinstance(m, Rows)
    rows = {"rows_from": -(-PACK_FROM // m.multiple)} if bounded and isinstance(m, Rows) else {}
    size = scaled(Extent(-(-n // width) * width) if isinstance(n, int) else Extent(width, n.multiple), k)
    panels = c.slot("temporary", Type(dtype), size=size)
    c.call(
        f"panels_{dtype}",
        [*_place(b), *map(as_extent, b.strides), Extent(panels.index), Extent(), as_extent(n), as_extent(k)],
        (b.slot.index, panels.index), extent=as_extent(n), per=width, divisible=True,
        cost=(0.3, product(b.shape)), **rows,
    )  # fmt: skip
    whole_panels = View(panels, (), ())
    _product(c, a, whole_panels, Extent(width), as_extent(k) * width, target, **rows)
    if bounded:
        _product(c, a, b, as_extent(b.strides[0]), Extent(width), target, rows_below=rows["rows_from"])


def _place(view: View) -> tuple[Extent, Extent]:
    """Return the two arguments that say where a view begins: its slot, and the bytes from there."""
    return Extent(view.slot.index), view.offset * (4 if view.dtype == "f32" else 8)


def _product(c: Compiler, a: View, b: View, row: Extent, panel: Extent, target: View, **rows: int) -> None:
    """Add the stage of a product. Threads share out its rows or, where there are fewer of them, its columns."""
    (m, k), n = a.shape, target.shape[1]
    dtype, width = a.dtype, matmul.panel_width(a.dtype, c.vector_bytes)
    left = [
        *_place(a),
        *map(as_extent, a.strides),
        *_place(b),
        row,
        panel,
        *_place(target),
        as_extent(target.strides[0]),
    ]
    touched = a.slot.index, b.slot.index, target.slot.index
    more: Any = {"divisible": True, "cost": _product_cost(m, n, k)}

    def by_rows(**rows: int) -> None:
        arguments = [*left, as_extent(n), as_extent(k)]
        c.call(f"multiply_{dtype}", arguments, touched, extent=as_extent(m), per=1, **more, **rows)

    def by_columns(**rows: int) -> None:
        arguments = [*left, as_extent(m), as_extent(n), as_extent(k)]
        c.call(f"columns_{dtype}", arguments, touched, extent=as_extent(n), per=width, **more, **rows)

    if isinstance(n, Rows) or n < 4 * width or (isinstance(m, int) and m >= n):
        by_rows(**rows)
    elif isinstance(m, int):
        by_columns(**rows)
    else:
        fewer = -(-n // m.multiple)
        low, high = rows.get("rows_from", 0), rows.get("rows_below", 0)
        if not high or fewer < high:
            by_rows(rows_from=max(fewer, low), rows_below=high)
        if fewer > low:
            by_columns(rows_from=low, rows_below=min(fewer, high) if high else fewer)


def _product_cost(m: Dim, n: Dim, k: Dim) -> tuple[float, Extent]:
    """Estimate a product; one that is n·n·n is long enough to be called n·n."""
    try:
        return 0.02, product((m, n, k))
    except ExecutionError:
        return 1.0, product((m, n))


def _product_inside(c: Compiler, a: View, b: View, target: View, as_it_is: bool) -> None:
    """Write a product inside another kernel: views may begin at addresses that only the kernel knows."""
    f, frame, dtype = c.f, c.frame, a.dtype
    width = matmul.panel_width(dtype, c.vector_bytes)
    n, k = frame.dim(target.shape[1]), frame.dim(a.shape[1])
    at, row, panel = frame.pointer(b), frame.dim(b.strides[0]), str(width)
    if not as_it_is:
        dim = target.shape[1]
        size = scaled(
            Extent(-(-dim // width) * width) if isinstance(dim, int) else Extent(width, dim.multiple), a.shape[1]
        )
        to = frame.pointer(View(c.slot("temporary", Type(dtype), size=size), (), ()))
        count = f.put(f"sdiv i64 {f.put(f'add nsw i64 {n}, {width - 1}')}, {width}")
        _call(frame, f"pack_{dtype}", matmul.PACK, [at, row, frame.dim(b.strides[1]), to, n, k, "0", count])
        at, row, panel = to, str(width), f.times(k, str(width))
    values = [
        frame.pointer(a), frame.dim(a.strides[0]), frame.dim(a.strides[1]), at, row, panel, frame.pointer(target),
        frame.dim(target.strides[0]), frame.dim(a.shape[0]), n, k,
    ]  # fmt: skip
    _call(frame, f"product_{dtype}", matmul.PRODUCT, values)


def _call(frame: Frame, name: str, arguments: Sequence[str], values: Sequence[str]) -> None:
    kinds = [a.split()[0] for a in arguments]
    frame.f.module.declare(f"void @{name}({', '.join(kinds)})")
    frame.f.do(f"call void @{name}({', '.join(f'{kind} {value}' for kind, value in zip(kinds, values, strict=True))})")


def _extent(c: Compiler, node: Node, operands: list[View], target: View) -> None:
    dim = operands[0].shape[node.attributes["axis"]]
    with c.stage() as frame:
        count = VectorBuilder(c.f).cast(Value(frame.dim(dim), "i64", 1), node.type.dtype)
        frame.store(count, frame.pointer(target))


def _fold(c: Compiler, node: Node, operands: list[View], target: View) -> None:
    key, data = operands
    with c.stage() as frame:
        at = frame.pointer(key)
        words = [frame.load(frame.step(at, "u32", str(i)), "u32") for i in (0, 1)]
        number = frame.load(frame.pointer(data), "u32")
        purpose = Value(literal(0xF01D, "u32"), "u32", 1)
        to = frame.pointer(target)
        for i, word in enumerate(encrypt(VectorBuilder(c.f), words[0], words[1], number, purpose)):
            frame.store(word, frame.step(to, "u32", str(i)))


def _iota(c: Compiler, node: Node, operands: list[View], target: View) -> None:
    axis = node.attributes["axis"]

    def fill(frame: Frame, depth: int, pointer: str, number: str) -> None:
        if depth == len(target.shape):
            count = VectorBuilder(frame.f).cast(Value(number, "i64", 1), node.type.dtype)
            frame.store(count, pointer)
            return
        frame.loop(target.shape[depth], lambda index: fill(
            frame,
            depth + 1,
            frame.step(pointer, target.dtype, frame.f.times(index, frame.dim(target.strides[depth]))),
            index if depth == axis else number,
        ))  # fmt: skip

    with c.stage() as frame:
        fill(frame, 0, frame.pointer(target), "0")


def _pad(c: Compiler, node: Node, operands: list[View], target: View) -> None:
    before, between = node.attributes["before"], node.attributes["between"]
    with c.stage() as frame:
        nests.fill_nest(frame, target, 0)
        if any(d == 0 for d in operands[0].shape):
            return
        inside = target.sliced(operands[0].shape, before, tuple(w + 1 for w in between))
        nests.copy_nest(frame, operands[0], inside)


def _concatenate(c: Compiler, node: Node, operands: list[View], target: View) -> None:
    axis = node.attributes["axis"]
    begin = target.offset
    with c.stage() as frame:
        for part in operands:
            nests.copy_nest(frame, part, View(target.slot, part.shape, target.strides, begin))
            begin = begin + scaled(as_extent(part.shape[axis]), target.strides[axis])


def _each_index(c: Compiler, indices: View, body: Callable[[str, str], None], size: str) -> None:
    """Run a body for every index of a contiguous view, in order: it takes the index's number, and the index itself.

    One that is out of range is noted, and taken as 0.
    """
    frame, f = c.frame, c.f
    start, count = frame.pointer(indices), frame.size(product(indices.shape))
    with f.loop("0", count) as number:
        value = frame.load(frame.step(start, indices.dtype, number), indices.dtype)
        wide = VectorBuilder(f).cast(value, "i64").name
        inside = f.put(f"icmp ult i64 {wide}, {size}")
        with f.when(f.put(f"xor i1 {inside}, true")):
            frame.fail(OUT_OF_RANGE)
        body(number, f.put(f"select i1 {inside}, i64 {wide}, i64 0"))


def _take(c: Compiler, node: Node, operands: list[View], target: View) -> None:
    x, indices = operands
    row = Type(x.dtype, x.shape[1:])
    flat = c.packed(indices)
    with c.stage() as frame:
        source, to = frame.pointer(x), frame.pointer(target)
        width, apart = frame.size(product(row.shape)), frame.dim(x.strides[0])

        def one(number: str, index: str) -> None:
            at = frame.step(source, x.dtype, c.f.times(index, apart))
            picked = View(c.pointer_view(at, row).slot, row.shape, x.strides[1:])
            place = c.pointer_view(frame.step(to, x.dtype, c.f.times(number, width)), row)
            nests.copy_nest(frame, picked, place)

        _each_index(c, flat, one, frame.dim(x.shape[0]))


def _scatter_add(c: Compiler, node: Node, operands: list[View], target: View) -> None:
    """Add rows to rows, one after another: an index may come twice, and the order of a sum is a promise."""
    indices, updates = operands
    row = Type(updates.dtype, updates.shape[len(indices.shape) :])
    updates, flat = c.packed(updates), c.packed(indices)
    with c.stage() as frame:
        nests.fill_nest(frame, target, 0)
        source, to = frame.pointer(updates), frame.pointer(target)
        width = frame.size(product(row.shape))
        builder = VectorBuilder(c.f)

        def one(number: str, index: str) -> None:
            at = frame.step(source, updates.dtype, c.f.times(number, width))
            place = frame.step(to, updates.dtype, c.f.times(index, width))

            def element(i: str, lanes: int, mask: str | None) -> None:
                there, more = frame.step(place, updates.dtype, i), frame.step(at, updates.dtype, i)
                total = frame.load(there, updates.dtype, lanes, mask)
                frame.store(builder.add(total, frame.load(more, updates.dtype, lanes, mask)), there, mask)

            lanes = c.vector_bytes // ITEM_BYTES[updates.dtype]
            columns(frame, "0", width, 1 if updates.dtype == "bool" else lanes, element)

        _each_index(c, flat, one, frame.dim(target.shape[0]))


def _argmax(c: Compiler, node: Node, operands: list[View], target: View) -> None:
    """The first largest element; the first NaN, where there is one, as NumPy has it."""
    (axis,) = node.attributes["axes"]
    x = operands[0]
    kept = [a for a in range(len(x.shape)) if a != axis]
    source = View(x.slot, tuple(x.shape[a] for a in kept), tuple(x.strides[a] for a in kept), x.offset)
    dims, strides = collapse(source.shape, [list(source.strides), list(target.strides)])
    with c.stage() as frame:
        f = frame.f
        builder = VectorBuilder(f)
        along, length, place = frame.dim(x.strides[axis]), frame.dim(x.shape[axis]), frame.cell("i64")

        def one(at: str, to: str) -> None:
            f.do(f"store i64 0, ptr {place}")

            def better(index: str, best: Value) -> Value:
                value = frame.load(frame.step(at, x.dtype, f.times(index, along)), x.dtype)
                more = builder.greater(value, best)
                first_nan = builder.logical_and(builder.is_nan(value), builder.logical_not(builder.is_nan(best)))
                taken = builder.logical_or(more, first_nan)
                before = f.put(f"load i64, ptr {place}")
                f.do(f"store i64 {f.put(f'select i1 {taken.name}, i64 {index}, i64 {before}')}, ptr {place}")
                return builder.select(taken, value, best)

            carried_loop(frame, "0", length, 1, frame.load(at, x.dtype), better)
            frame.store(Value(f.put(f"load i64, ptr {place}"), "i64", 1), to)

        def inner(begin: str, end: str, pointers: list[str], steps: list[Dim]) -> None:
            apart = [frame.dim(s) for s in steps]
            with f.loop(begin, end) as number:
                one(*(
                    frame.step(p, d, f.times(number, s))
                    for p, d, s in zip(pointers, (x.dtype, "i64"), apart, strict=True)
                ))  # fmt: skip

        walk(frame, dims, [source, target], strides, inner)


HEAVY: Mapping[str, Any] = {
    "matmul": _matmul,
    **dict.fromkeys(REDUCTIONS),
    "argmax": _argmax,
    "extent": _extent,
    "fold": _fold,
    "iota": _iota,
    "pad": _pad,
    "concatenate": _concatenate,
    "take": _take,
    "scatter_add": _scatter_add,
}


def _scan(c: Compiler, node: Node, operands: list[View]) -> list[View]:
    body: Graph = node.attributes["body"]
    length, carries, sequences = (node.attributes[k] for k in ("length", "carries", "sequences"))
    frame, f = c.frame, c.f
    carry = [c.temporary(i.type) for i in body.inputs[:carries]]
    for start, place in zip(operands[:carries], carry, strict=True):
        nests.copy_nest(frame, start, place)
    stacked = [c.temporary(kind) for kind in result_types(node)[carries:]]
    fresh = [c.temporary(i.type) for i in body.inputs[:carries]]

    def at(view: View, trip: str, kind: Type) -> View:
        start = frame.step(frame.pointer(view), view.dtype, f.times(trip, frame.dim(view.strides[0])))
        return View(c.pointer_view(start, kind).slot, kind.shape, view.strides[1:])

    with f.loop("0", str(length)) as count:
        trip = f.put(f"sub nsw i64 {length - 1}, {count}") if node.attributes["reverse"] else count
        slices = [
            at(x, trip, i.type)
            for x, i in zip(operands[carries : carries + sequences], body.inputs[carries:], strict=False)
        ]
        given = [*carry, *slices, *operands[carries + sequences :]]
        rows = [at(y, trip, o.type) for y, o in zip(stacked, body.outputs[carries:], strict=True)]
        c.write(body, dict(zip(body.inputs, given, strict=True)), [*fresh, *rows])
        for new, place in zip(fresh, carry, strict=True):
            nests.copy_nest(frame, new, place)
    return [*carry, *stacked]


def _iterate(c: Compiler, node: Node, operands: list[View]) -> list[View]:
    body, until = node.attributes["body"], node.attributes["until"]
    states = node.attributes["states"]
    frame, f = c.frame, c.f
    state = [c.temporary(i.type) for i in body.inputs[:states]]
    fresh = [c.temporary(i.type) for i in body.inputs[:states]]
    for start, place in zip(operands[:states], state, strict=True):
        nests.copy_nest(frame, start, place)
    given = [*state, *operands[states:]]
    converged = c.temporary(Type("bool"))
    trips = c.cell("i64")
    f.do(f"store i64 0, ptr {trips}")
    head, inside, done = f.label("head"), f.label("body"), f.label("done")
    f.do(f"br label %{head}")
    f.start(head)
    c.write(until, dict(zip(until.inputs, given, strict=True)), [converged])
    ended = frame.load(frame.pointer(converged), "bool").name
    count = f.put(f"load i64, ptr {trips}")
    over = f.put(f"icmp sge i64 {count}, {node.attributes['at_most']}")
    stop = f.put(f"or i1 {ended}, {over}")
    f.do(f"br i1 {stop}, label %{done}, label %{inside}")
    f.start(inside)
    c.write(body, dict(zip(body.inputs, given, strict=True)), list(fresh))
    for new, place in zip(fresh, state, strict=True):
        nests.copy_nest(frame, new, place)
    more = f.put(f"add nsw i64 {count}, 1")
    f.do(f"store i64 {more}, ptr {trips}")
    f.do(f"br label %{head}")
    f.start(done)
    return [*state, converged]


REGIONS: Mapping[str, Any] = {"scan": _scan, "iterate": _iterate}
