"""Operations that are a stage of their own: counters, gathers, scatters, joins, library calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from chainrule.execute.native import debug, lapack, library, nests, ordering, running
from chainrule.execute.native.frame import KERNEL, OUT_OF_RANGE, STATUS_SLOT, Frame, columns
from chainrule.execute.native.layout import ITEM_BYTES, Extent, View, as_extent, product, scaled
from chainrule.execute.native.products import matmul_stages
from chainrule.execute.native.schedule import REDUCTIONS
from chainrule.execute.native.threefry import encrypt
from chainrule.execute.native.vector import Value, VectorBuilder, literal
from chainrule.graph import Node, Type

if TYPE_CHECKING:
    from chainrule.execute.native.compile import Compiler


MOST_PARTS = 64
"""A kernel joins so many arrays at most: LLVM's time grows faster than a function's length."""


def _extent(c: Compiler, node: Node, operands: list[View], target: View) -> None:
    dim = operands[0].shape[node.attributes["axis"]]
    with c.stage() as frame:
        count = VectorBuilder(c.f).cast(Value(frame.dim(dim), "i64", 1), node.type.dtype)
        frame.store(count, frame.pointer(target))


def _fold(c: Compiler, node: Node, operands: list[View], target: View) -> None:
    key, data = operands
    with c.stage() as frame:
        at, apart = frame.pointer(key), frame.dim(key.strides[0])
        words = [frame.load(frame.step(at, "u32", word), "u32") for word in ("0", apart)]
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
    for first in range(0, len(operands), MOST_PARTS):
        with c.stage() as frame:
            for part in operands[first : first + MOST_PARTS]:
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


def _flip(c: Compiler, node: Node, operands: list[View], target: View) -> None:
    """Copy from the other end: a view cannot step backward along n rows."""
    (x,), axes = operands, node.attributes["axes"]
    with c.stage() as frame:
        f = frame.f

        def part(source: View, to: View, left: tuple[int, ...]) -> None:
            if not left:
                nests.copy_nest(frame, source, to)
                return
            last = f.put(f"sub nsw i64 {frame.dim(source.shape[0])}, 1")
            begins = frame.pointer(source), frame.pointer(to)
            strides = frame.dim(source.strides[0]), frame.dim(to.strides[0])

            def one(index: str) -> None:
                places = (f.put(f"sub nsw i64 {last}, {index}") if 0 in left else index), index
                inner = [
                    View(
                        c.pointer_view(frame.step(at, x.dtype, f.times(i, s)), x_type).slot, v.shape[1:], v.strides[1:]
                    )
                    for at, i, s, v in zip(begins, places, strides, (source, to), strict=True)
                ]
                part(inner[0], inner[1], tuple(a - 1 for a in left if a))

            frame.loop(source.shape[0], one)

        x_type = Type(x.dtype)
        part(x, target, tuple(axes))


def _library(c: Compiler, node: Node, operands: list[View], target: View) -> None:
    """Call a library's routine. Its kernel reads its arguments from a table, which is made here."""
    name, transposed = node.op.name, bool(node.attributes.get("transposed"))
    dtype = target.dtype
    unit = f"{name}_{dtype}{'_transposed' if transposed else ''}"
    views = []
    for view in operands:
        if view.slot.purpose == "pointer" or not view.is_contiguous:
            copied = c.temporary(Type(view.dtype, view.shape))
            c.copy(view, copied)
            view = copied
        views.append(view)
    result = target
    if target.slot.purpose == "pointer" or not target.is_contiguous:
        result = c.temporary(Type(target.dtype, target.shape))
    buffers = [*views, result]
    size = lapack.work_size(name, _numbers(operands))
    if size:
        buffers.append(c.temporary(Type(dtype, (size,))))
    c.units[unit] = library.kernel_text(name, dtype, unit, transposed)[0]
    with c.stage((1.0, product(target.shape))) as frame:
        f = frame.f
        numbers = []
        for view in buffers:
            frame.touched.add(view.slot.index)
            numbers += [frame.argument(Extent(view.slot.index)), frame.argument(_bytes(view))]
        sizes = _numbers(operands)[: 1 if name == "cholesky" else 2]
        numbers += [frame.argument(Extent(number)) for number in sizes]
        numbers.append(frame.routine(name, dtype))
        frame.touched.add(STATUS_SLOT)
        table = frame.cell(f"[{len(numbers)} x i64]")
        for place, number in enumerate(numbers):
            at = f.put(f"getelementptr inbounds i64, ptr {table}, i64 {place}")
            f.do(f"store i64 {number}, ptr {at}, align 8")
        f.module.declare(f"void @{unit}{KERNEL}")
        call = f"call void @{unit}(ptr %slots, ptr {table}, i64 0, i64 1)"
        if frame.debug:
            counts = {frame.pointer(v): frame.size(product(v.shape)) for v in buffers}
            debug.if_inside(frame, dtype, counts, call)
        else:
            f.do(call)
    if result is not target:
        c.copy(result, target)


def _numbers(operands: list[View]) -> tuple[int, int]:
    """Return the two numbers of a size: of a right side where there is one, else of the matrix."""
    rows, columns = operands[-1].shape
    assert isinstance(rows, int)
    assert isinstance(columns, int)  # the records refuse n rows
    return rows, columns


def _bytes(view: View) -> Extent:
    return view.offset * ITEM_BYTES[view.dtype]


HEAVY: Mapping[str, Any] = {
    "matmul": matmul_stages,
    **dict.fromkeys(REDUCTIONS),
    "argmax": ordering.argmax,
    "argsort": ordering.argsort,
    "cumulative_sum": running.running,
    "recurrence": running.running,
    "flip": _flip,
    "extent": _extent,
    "fold": _fold,
    "iota": _iota,
    "pad": _pad,
    "concatenate": _concatenate,
    "take": _take,
    "scatter_add": _scatter_add,
    **dict.fromkeys(library.ROUTINES, _library),
}
