"""A graph becomes one native function over a table of buffers and the number of rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from chainrule.errors import ExecutionError
from chainrule.execute.native import nests
from chainrule.execute.native.emit import Function, Module
from chainrule.execute.native.frame import Frame, carried_loop, walk
from chainrule.execute.native.layout import Extent, Slot, View, as_extent, collapse, contiguous, product, whole
from chainrule.execute.native.matmul import ARGUMENTS, block_width
from chainrule.execute.native.reductions import reduction_nest
from chainrule.execute.native.schedule import REDUCTIONS, is_alias, is_elementwise, make_schedule, unsupported
from chainrule.execute.native.threefry import encrypt
from chainrule.execute.native.vector import Value, VectorBuilder, literal
from chainrule.graph import Graph, Node, Rows, Type, result_types

OUT_OF_RANGE = 1
"""The status of a call in which an index was out of range; 0 is well."""


class Compiler:
    """Writes the function of a graph: hands out slots, lays views over them, and writes stage after stage."""

    def __init__(self, vector_bytes: int, head: str = "define i32 @run(ptr %slots, i64 %n)") -> None:
        self.module = Module()
        self.f = Function(self.module, head)
        self.slots: list[Slot] = []
        self.frame = Frame(self.f, "%n", vector_bytes, _Bases())
        self.products: set[str] = set()
        self.cells: list[str] = []

    def slot(self, purpose: str, kind: Type, source: Any = None) -> Slot:
        found = Slot(len(self.slots), purpose, kind.dtype, as_extent(product(kind.shape)), source)
        self.slots.append(found)
        return found

    def temporary(self, kind: Type) -> View:
        return whole(self.slot("temporary", kind), kind)

    def cell(self, kind: str) -> str:
        """Return the address of a local variable of the function."""
        name = self.f.name("cell")
        self.cells.append(f"  {name} = alloca {kind}")
        return name

    def compile(self, graph: Graph) -> None:
        """Write the whole function: inputs and outputs are slots of their own."""
        name = unsupported(graph, {**HEAVY, **REGIONS})
        if name:
            raise ExecutionError(f"the native executor cannot run the operation {name!r}; use executor='reference'")
        inputs = {node: whole(self.slot("input", node.type), node.type) for node in graph.inputs}
        targets = [whole(self.slot("output", node.type), node.type) for node in graph.outputs]
        self.write(graph, inputs, targets)
        self.finish(self.f.put("load i32, ptr %status"))

    def finish(self, status: str) -> None:
        """Close the function: its first lines fetch the address of every slot."""
        prelude = ["  %status = alloca i32", "  store i32 0, ptr %status", *self.cells]
        for slot in self.slots:
            prelude.append(f"  %at{slot.index} = getelementptr inbounds ptr, ptr %slots, i64 {slot.index}")
            prelude.append(f"  %base{slot.index} = load ptr, ptr %at{slot.index}, align 8")
        self.f.lines[:0] = prelude
        self.f.finish(f"ret i32 {status}")

    def write(self, graph: Graph, inputs: Mapping[Node, View], targets: Sequence[View | None]) -> list[View]:
        """Write a graph's stages; outputs go to the given targets, or stay where they are computed."""
        views: dict[Node, View] = dict(inputs)
        results: dict[Node, list[View]] = {}
        wanted: dict[Node, View] = {}
        for node, target in zip(graph.outputs, targets, strict=True):
            computed = is_elementwise(node) or node.op.name in HEAVY
            if target is not None and computed and node not in inputs:
                wanted.setdefault(node, target)

        def view_of(node: Node) -> View:
            if node not in views:
                views[node] = self._alias(node, view_of, results)
            return views[node]

        for stage in make_schedule(graph):
            if stage.fused:
                for node in stage.nodes:
                    if node in stage.stored:
                        views[node] = wanted.get(node) or self.temporary(node.type)
                nests.fused_nest(self.frame, stage, view_of)
                continue
            *absorbed, node = stage.nodes
            if node.op.kind == "region":
                results[node] = REGIONS[node.op.name](self, node, [view_of(o) for o in node.operands])
                continue
            views[node] = wanted.get(node) or self.temporary(node.type)
            if node.op.name in REDUCTIONS:
                reduction_nest(self.frame, node, absorbed, view_of, views[node])
            else:
                HEAVY[node.op.name](self, node, [view_of(o) for o in node.operands], views[node])
        final = []
        for node, target in zip(graph.outputs, targets, strict=True):
            view = view_of(node)
            if target is not None and view is not target:
                nests.copy_nest(self.frame, view, target)
            final.append(target if target is not None else view)
        return final

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
            moved = self.temporary(Type(node.type.dtype, source.shape))
            nests.copy_nest(self.frame, source, moved)
            moved = moved.reshaped(node.shape)
        assert moved is not None
        return moved

    def pointer_view(self, pointer: str, kind: Type) -> View:
        """Return a view of contiguous elements at an address that is known only as the function runs."""
        return View(Slot(-1, "pointer", kind.dtype, Extent(), pointer), kind.shape, contiguous(kind.shape))


class _Bases(Sequence[str]):
    """The base pointer of every slot: loaded from the table in the function's first lines."""

    def __getitem__(self, index: Any) -> Any:
        return f"%base{index}"

    def __len__(self) -> int:
        raise TypeError("the number of slots is not known while they are handed out")


def _matmul(c: Compiler, node: Node, operands: list[View], target: View) -> None:
    a, b = operands
    if a.shape[1] == 0:
        nests.fill_nest(c.frame, target, 0)
        return
    if b.strides[1] != 1:
        packed = c.temporary(Type(b.dtype, b.shape))
        nests.copy_nest(c.frame, b, packed)
        b = packed
    f, frame = c.f, c.frame
    packed_block = c.temporary(Type(b.dtype, (b.shape[0], block_width(b.dtype, frame.vector_bytes))))
    name = f"matmul_{a.dtype}"
    c.products.add(name)
    f.module.declare(f"void @{name}({', '.join(ARGUMENTS)})")
    values = [
        frame.pointer(a), frame.dim(a.strides[0]), frame.dim(a.strides[1]), frame.pointer(b), frame.dim(b.strides[0]),
        frame.pointer(target), frame.dim(target.strides[0]), frame.dim(target.shape[0]), frame.dim(target.shape[1]),
        frame.dim(a.shape[1]), frame.pointer(packed_block),
    ]  # fmt: skip
    f.do(f"call void @{name}({', '.join(f'{k} {v}' for k, v in zip(ARGUMENTS, values, strict=True))})")


def _extent(c: Compiler, node: Node, operands: list[View], target: View) -> None:
    dim = operands[0].shape[node.attributes["axis"]]
    builder = VectorBuilder(c.f)
    count = builder.cast(Value(c.frame.dim(dim), "i64", 1), node.type.dtype)
    c.frame.store(count, c.frame.pointer(target))


def _fold(c: Compiler, node: Node, operands: list[View], target: View) -> None:
    key, data = operands
    frame = c.frame
    at = frame.pointer(key)
    words = [frame.load(frame.step(at, "u32", str(i)), "u32") for i in (0, 1)]
    number = frame.load(frame.pointer(data), "u32")
    builder = VectorBuilder(c.f)
    purpose = Value(literal(0xF01D, "u32"), "u32", 1)
    to = frame.pointer(target)
    for i, word in enumerate(encrypt(builder, words[0], words[1], number, purpose)):
        frame.store(word, frame.step(to, "u32", str(i)))


def _iota(c: Compiler, node: Node, operands: list[View], target: View) -> None:
    axis, frame = node.attributes["axis"], c.frame
    builder = VectorBuilder(c.f)

    def fill(depth: int, pointer: str, number: str) -> None:
        if depth == len(target.shape):
            frame.store(builder.cast(Value(number, "i64", 1), node.type.dtype), pointer)
            return
        frame.loop(target.shape[depth], lambda index: fill(
            depth + 1,
            frame.step(pointer, target.dtype, c.f.times(index, frame.dim(target.strides[depth]))),
            index if depth == axis else number,
        ))  # fmt: skip

    fill(0, frame.pointer(target), "0")


def _pad(c: Compiler, node: Node, operands: list[View], target: View) -> None:
    before, between = node.attributes["before"], node.attributes["between"]
    nests.fill_nest(c.frame, target, 0)
    if any(d == 0 for d in operands[0].shape):
        return
    inside = target.sliced(operands[0].shape, before, tuple(w + 1 for w in between))
    nests.copy_nest(c.frame, operands[0], inside)


def _concatenate(c: Compiler, node: Node, operands: list[View], target: View) -> None:
    axis = node.attributes["axis"]
    begin = Extent()
    for part in operands:
        stride = target.strides[axis]
        if isinstance(stride, Rows):
            offset = Extent(target.offset.fixed, target.offset.rows + begin.fixed * stride.multiple)
        else:
            offset = Extent(target.offset.fixed + begin.fixed * stride, target.offset.rows + begin.rows * stride)
        nests.copy_nest(c.frame, part, View(target.slot, part.shape, target.strides, offset))
        begin = begin + as_extent(part.shape[axis])


def _index(c: Compiler, value: Value, size: str) -> str:
    """Return an index as i64; one that is out of range sets the status and is taken as 0."""
    f = c.f
    builder = VectorBuilder(f)
    wide = builder.cast(value, "i64").name
    inside = f.put(f"icmp ult i64 {wide}, {size}")
    bad = f.put(f"xor i1 {inside}, true")
    with f.when(bad):
        f.do(f"store i32 {OUT_OF_RANGE}, ptr %status")
    return f.put(f"select i1 {inside}, i64 {wide}, i64 0")


def _each_index(c: Compiler, indices: View, body: Callable[[str, str], None], size: str) -> None:
    """Run a body for every index, in order: it takes the index's number and its checked value."""
    frame, f = c.frame, c.f
    flat = indices.reshaped((product(indices.shape),))
    if flat is None:
        packed = c.temporary(Type(indices.dtype, indices.shape))
        nests.copy_nest(frame, indices, packed)
        flat = packed.reshaped((product(indices.shape),))
    assert flat is not None
    start = frame.pointer(flat)

    def one(number: str) -> None:
        at = frame.step(start, flat.dtype, f.times(number, frame.dim(flat.strides[0])))
        body(number, _index(c, frame.load(at, flat.dtype), size))

    frame.loop(flat.shape[0], one)


def _take(c: Compiler, node: Node, operands: list[View], target: View) -> None:
    x, indices = operands
    frame, f = c.frame, c.f
    row = Type(x.dtype, x.shape[1:])
    source, to = frame.pointer(x), frame.pointer(target)
    width = frame.dim(product(row.shape))

    def one(number: str, index: str) -> None:
        at = frame.step(source, x.dtype, f.times(index, frame.dim(x.strides[0])))
        picked = View(c.pointer_view(at, row).slot, row.shape, x.strides[1:])
        nests.copy_nest(frame, picked, c.pointer_view(frame.step(to, x.dtype, f.times(number, width)), row))

    _each_index(c, indices, one, frame.dim(x.shape[0]))


def _scatter_add(c: Compiler, node: Node, operands: list[View], target: View) -> None:
    indices, updates = operands
    frame, f = c.frame, c.f
    rank = len(indices.shape)
    row = Type(updates.dtype, updates.shape[rank:])
    nests.fill_nest(frame, target, 0)
    if not updates.is_contiguous:
        packed = c.temporary(Type(updates.dtype, updates.shape))
        nests.copy_nest(frame, updates, packed)
        updates = packed
    source, to = frame.pointer(updates), frame.pointer(target)
    width = frame.dim(product(row.shape))
    builder = VectorBuilder(f)

    def one(number: str, index: str) -> None:
        at = frame.step(source, updates.dtype, f.times(number, width))
        place = frame.step(to, updates.dtype, f.times(index, width))

        def element(i: str) -> None:
            total = frame.step(place, updates.dtype, i)
            frame.store(
                builder.add(
                    frame.load(total, updates.dtype), frame.load(frame.step(at, updates.dtype, i), updates.dtype)
                ),
                total,
            )

        frame.loop(product(row.shape), element)

    _each_index(c, indices, one, frame.dim(target.shape[0]))


def _argmax(c: Compiler, node: Node, operands: list[View], target: View) -> None:
    """The first largest element; the first NaN, where there is one, as NumPy has it."""
    (axis,) = node.attributes["axes"]
    x, f, frame = operands[0], c.f, c.frame
    builder = VectorBuilder(f)
    kept = [a for a in range(len(x.shape)) if a != axis]
    source = View(x.slot, tuple(x.shape[a] for a in kept), tuple(x.strides[a] for a in kept), x.offset)

    def inner(length: Any, pointers: list[str], steps: list[Any]) -> None:
        def one(number: str) -> None:
            at = frame.step(pointers[0], x.dtype, f.times(number, frame.dim(steps[0])))
            place = c.cell("i64")
            f.do(f"store i64 0, ptr {place}")

            def better(index: str, best: Value) -> Value:
                value = frame.load(frame.step(at, x.dtype, f.times(index, frame.dim(x.strides[axis]))), x.dtype)
                more = builder.greater(value, best)
                first_nan = builder.logical_and(builder.is_nan(value), builder.logical_not(builder.is_nan(best)))
                taken = builder.logical_or(more, first_nan)
                before = f.put(f"load i64, ptr {place}")
                chosen = f.put(f"select i1 {taken.name}, i64 {index}, i64 {before}")
                f.do(f"store i64 {chosen}, ptr {place}")
                return builder.select(taken, value, best)

            first = frame.load(at, x.dtype)
            carried_loop(frame, "0", frame.dim(x.shape[axis]), 1, first, better)
            result = f.put(f"load i64, ptr {place}")
            to = frame.step(pointers[1], "i64", f.times(number, frame.dim(steps[1])))
            frame.store(Value(result, "i64", 1), to)

        frame.loop(length, one)

    dims, strides = collapse(source.shape, [list(source.strides), list(target.strides)])
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
