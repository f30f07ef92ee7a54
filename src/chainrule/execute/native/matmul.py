"""Matrix products: a register tile of accumulators, written for the width of this machine's vectors.

C[i, j] = Σ_k A[i, k] B[k, j]: A may have any strides (so a transposed A costs nothing); the columns of B lie next to
each other, as they are or copied into *panels*, blocks of as many columns as a tile has. Each element is one chain of
fused multiply-adds over k = 0, 1, 2, …, whatever tile it falls into: its bits do not depend on the number of rows and
columns beside it, nor on how the rows are shared out among threads.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from functools import cache

from chainrule.execute.native.emit import IR_TYPE, Function, Module
from chainrule.execute.native.frame import SIGNATURE
from chainrule.execute.native.layout import ITEM_BYTES

TILES = {16: (4, 2), 32: (6, 2), 64: (6, 4)}
"""Rows and vectors of a tile by vector width: accumulators, one row of B and one element of A fill the registers."""
PRODUCT = ("ptr %a", "i64 %as0", "i64 %as1", "ptr %b", "i64 %bs0", "i64 %bpanel", "ptr %c", "i64 %cs0", "i64 %m",
           "i64 %n", "i64 %k")  # fmt: skip
PACK = ("ptr %b", "i64 %bs0", "i64 %bs1", "ptr %to", "i64 %n", "i64 %k", "i64 %first", "i64 %last")


def panel_width(dtype: str, vector_bytes: int) -> int:
    """Return the columns of a panel."""
    return vector_bytes // ITEM_BYTES[dtype] * TILES[vector_bytes][1]


def row_blocks(vector_bytes: int, vectors: int) -> list[int]:
    """Return the heights of the tiles for so many vectors of columns: the full one, then less for the rows left over.

    The fewer the columns, the more rows at a time: enough sums are under way to hide how long each addition takes.
    """
    rows, wide = TILES[vector_bytes]
    most = min(rows * wide // vectors, 16) if vectors < wide else rows
    return [most, *[h for h in (8, 4, 2, 1) if h < most]]


def units(dtype: str) -> tuple[str, ...]:
    """Return the names of the functions for products of a dtype."""
    return tuple(f"{kind}_{dtype}" for kind in _WRITERS)


@cache
def unit_text(name: str, vector_bytes: int) -> str:
    """Return the text of one of the functions."""
    kind, dtype = name.split("_")
    return _WRITERS[kind](dtype, vector_bytes)


def reader(f: Function) -> Callable[[], str]:
    """Return a function that loads the next of a kernel's arguments each time it is called."""
    places = itertools.count()

    def number() -> str:
        at = f.put(f"getelementptr inbounds i64, ptr %args, i64 {next(places)}")
        return f.put(f"load i64, ptr {at}, align 8")

    return number


def _wrapper(name: str, callee: str, kinds: list[str], signature: str) -> tuple[Module, Function, list[str]]:
    """Begin a kernel that reads its arguments and calls a function: pointers are a slot and a number of bytes."""
    module = Module()
    if callee:
        module.declare(f"void @{callee}{signature}")
    f = Function(module, f"define void @{name}{SIGNATURE}")
    values: list[str] = []
    number = reader(f)
    for kind in kinds:
        if kind == "ptr":
            at = f.put(f"getelementptr inbounds ptr, ptr %slots, i64 {number()}")
            base = f.put(f"load ptr, ptr {at}, align 8")
            values.append(f.put(f"getelementptr inbounds i8, ptr {base}, i64 {number()}"))
        else:
            values.append(number())
    return module, f, values


def _types(arguments: tuple[str, ...]) -> str:
    return f"({', '.join(a.split()[0] for a in arguments)})"


def _call(f: Function, callee: str, arguments: tuple[str, ...], values: list[str]) -> None:
    pairs = zip((a.split()[0] for a in arguments), values, strict=True)
    f.do(f"call void @{callee}({', '.join(f'{kind} {value}' for kind, value in pairs)})")


def _multiply(dtype: str, vector_bytes: int) -> str:
    """The kernel of a product: rows ``begin`` to ``end``; its arguments are those of ``product`` without m."""
    kinds = [a.split()[0] for a in PRODUCT if a != "i64 %m"]
    module, f, values = _wrapper(f"multiply_{dtype}", f"product_{dtype}", kinds, _types(PRODUCT))
    a, as0, as1, b, bs0, bpanel, c, cs0, n, k = values
    element = IR_TYPE[dtype]
    a = f.put(f"getelementptr inbounds {element}, ptr {a}, i64 {f.times('%begin', as0)}")
    c = f.put(f"getelementptr inbounds {element}, ptr {c}, i64 {f.times('%begin', cs0)}")
    m = f.put("sub nsw i64 %end, %begin")
    _call(f, f"product_{dtype}", PRODUCT, [a, as0, as1, b, bs0, bpanel, c, cs0, m, n, k])
    f.finish()
    return module.text()


def _columns(dtype: str, vector_bytes: int) -> str:
    """The kernel of a product: the columns of panels ``begin`` to ``end``; its arguments are those of ``product``."""
    module, f, values = _wrapper(
        f"columns_{dtype}", f"product_{dtype}", [a.split()[0] for a in PRODUCT], _types(PRODUCT)
    )
    a, as0, as1, b, bs0, bpanel, c, cs0, m, n, k = values
    element, width = IR_TYPE[dtype], panel_width(dtype, vector_bytes)
    first, last = f.times("%begin", str(width)), f.times("%end", str(width))
    end = f.intrinsic("i64", "llvm.smin.i64", ("i64", last), ("i64", n))
    b = f.put(f"getelementptr inbounds {element}, ptr {b}, i64 {f.times('%begin', bpanel)}")
    c = f.put(f"getelementptr inbounds {element}, ptr {c}, i64 {first}")
    count = f.put(f"sub nsw i64 {end}, {first}")
    _call(f, f"product_{dtype}", PRODUCT, [a, as0, as1, b, bs0, bpanel, c, cs0, m, count, k])
    f.finish()
    return module.text()


def _panels(dtype: str, vector_bytes: int) -> str:
    """The kernel that copies B into panels ``begin`` to ``end``."""
    kinds = [a.split()[0] for a in PACK[:6]]
    module, f, values = _wrapper(f"panels_{dtype}", f"pack_{dtype}", kinds, _types(PACK))
    _call(f, f"pack_{dtype}", PACK, [*values, "%begin", "%end"])
    f.finish()
    return module.text()


def _product(dtype: str, vector_bytes: int) -> str:
    """``product``: m rows; panel p of B begins ``p·bpanel`` elements after the first, its rows are ``bs0`` apart."""
    module = Module()
    lanes = vector_bytes // ITEM_BYTES[dtype]
    vectors = TILES[vector_bytes][1]
    f = Function(module, f"define void @product_{dtype}({', '.join(PRODUCT)})")
    width = panel_width(dtype, vector_bytes)
    element = IR_TYPE[dtype]
    blocks = f.put(f"sdiv i64 %n, {width}")
    full = f.put(f"mul nsw i64 {blocks}, {width}")
    with f.loop("0", blocks) as block:
        start = f.put(f"getelementptr inbounds {element}, ptr %b, i64 {f.times(block, '%bpanel')}")
        _column_block(
            f, dtype, lanes, vectors, row_blocks(vector_bytes, vectors), f.times(block, str(width)), start, None
        )
    rest = f.put(f"sub nsw i64 %n, {full}")
    for count in range(1, vectors + 1):
        above = f.put(f"icmp sgt i64 {rest}, {lanes * (count - 1)}")
        below = f.put(f"icmp sle i64 {rest}, {lanes * count}")
        both = f.put(f"and i1 {above}, {below}")
        with f.when(both):
            left = f.put(f"sub nsw i64 {rest}, {lanes * (count - 1)}")
            start = f.put(f"getelementptr inbounds {element}, ptr %b, i64 {f.times(blocks, '%bpanel')}")
            _column_block(
                f, dtype, lanes, count, row_blocks(vector_bytes, count), full, start, _mask(f, left, lanes, dtype)
            )
    f.finish()
    return module.text()


def _mask(f: Function, count: str, lanes: int, dtype: str) -> str:
    """Return a mask of the first ``count`` lanes: whole numbers as wide as an element, −1 in the lanes that count.

    A vector of single bits is not held from block to block by every processor: it would be made anew in each trip.
    """
    integer = "i32" if dtype == "f32" else "i64"
    kind = f"<{lanes} x {integer}>"
    numbers = ", ".join(f"{integer} {i}" for i in range(lanes))
    number = f.put(f"trunc i64 {count} to i32") if dtype == "f32" else count
    one = f.put(f"insertelement {kind} poison, {integer} {number}, i32 0")
    every = f.put(f"shufflevector {kind} {one}, {kind} poison, <{lanes} x i32> zeroinitializer")
    return f.put(f"sext <{lanes} x i1> {f.put(f'icmp slt {kind} <{numbers}>, {every}')} to {kind}")


def _bits(f: Function, mask: str, lanes: int, suffix: str) -> str:
    """Return a mask as a vector of single bits."""
    kind = f"<{lanes} x {'i32' if suffix.endswith('f32') else 'i64'}>"
    return f.put(f"icmp slt {kind} {mask}, zeroinitializer")


def _column_block(
    f: Function, dtype: str, lanes: int, vectors: int, heights: list[int], j: str, start: str, mask: str | None
) -> None:
    """Compute all rows of a block of columns: tiles of full height, then what is left."""
    begin = "0"
    for height, lower in zip(heights, [*heights[1:], 0], strict=True):
        left = f.put(f"sub nsw i64 %m, {begin}")
        tiles = f.put(f"sdiv i64 {left}, {height}")
        if 2 * lower > height:  # 6 + 2 rows as 4 + 4: in two rows alone, each addition would wait for the one before
            rest = f.put(f"srem i64 {left}, {height}")
            enough = f.put(f"icmp sge i64 {rest}, {2 * lower - height}")
            few = f.put(f"icmp slt i64 {rest}, {lower}")
            some = f.put(f"icmp sgt i64 {tiles}, 0")
            split = f.put(f"and i1 {f.put(f'and i1 {enough}, {few}')}, {some}")
            tiles = f.put(f"sub nsw i64 {tiles}, {f.put(f'zext i1 {split} to i64')}")
        size = f.put(f"mul nsw i64 {tiles}, {height}")
        end = f.put(f"add nsw i64 {begin}, {size}")
        with f.loop(begin, end, height) as i:
            _tile(f, dtype, lanes, vectors, height, i, j, start, mask)
        begin = end


def _tile(
    f: Function, dtype: str, lanes: int, vectors: int, height: int, i: str, j: str, column: str, mask: str | None
) -> None:
    """Compute a tile of C; ``column`` is where its columns of B begin."""
    element, align = IR_TYPE[dtype], ITEM_BYTES[dtype]
    kind = f"<{lanes} x {element}>"
    suffix = f"v{lanes}{dtype}"
    starts = []
    for r in range(height):
        row = f.put(f"add nsw i64 {i}, {r}")
        offset = f.put(f"mul nsw i64 {row}, %as0")
        starts.append(f.put(f"getelementptr inbounds {element}, ptr %a, i64 {offset}"))
    head, body, done = f.label("head"), f.label("body"), f.label("done")
    before = f.block
    step, after = f.name("k"), f.name("next")
    at_a, next_a, at_b, next_b = f.name("ka"), f.name("ka"), f.name("kb"), f.name("kb")
    sums = [[f.name("acc") for _ in range(vectors)] for _ in range(height)]
    f.do(f"br label %{head}")
    f.start(head)
    place = len(f.lines)
    f.lines += [""] * (3 + height * vectors)
    more = f.put(f"icmp slt i64 {step}, %k")
    f.do(f"br i1 {more}, label %{body}, label %{done}")
    f.start(body)
    wide = []
    for v in range(vectors):
        at = f.put(f"getelementptr inbounds {element}, ptr {at_b}, i64 {v * lanes}") if v else at_b
        wide.append(_load(f, kind, suffix, at, align, mask if v == vectors - 1 else None, lanes))
    results = []
    for r in range(height):
        at = f.put(f"getelementptr inbounds {element}, ptr {starts[r]}, i64 {at_a}")
        one = f.put(f"load {element}, ptr {at}, align {align}")
        first = f.put(f"insertelement {kind} poison, {element} {one}, i32 0")
        every = f.put(f"shufflevector {kind} {first}, {kind} poison, <{lanes} x i32> zeroinitializer")
        results.append([
            f.intrinsic(kind, f"llvm.fma.{suffix}", (kind, every), (kind, wide[v]), (kind, sums[r][v]))
            for v in range(vectors)
        ])  # fmt: skip
    f.do(f"{after} = add nsw i64 {step}, 1")
    f.do(f"{next_a} = add nsw i64 {at_a}, %as1")
    f.do(f"{next_b} = getelementptr inbounds {element}, ptr {at_b}, i64 %bs0")
    f.do(f"br label %{head}")
    f.lines[place] = f"  {step} = phi i64 [ 0, %{before} ], [ {after}, %{body} ]"
    f.lines[place + 1] = f"  {at_a} = phi i64 [ 0, %{before} ], [ {next_a}, %{body} ]"
    f.lines[place + 2] = f"  {at_b} = phi ptr [ {column}, %{before} ], [ {next_b}, %{body} ]"
    flat = [(sums[r][v], results[r][v]) for r in range(height) for v in range(vectors)]
    for line, (name, result) in enumerate(flat, start=place + 3):
        f.lines[line] = f"  {name} = phi {kind} [ zeroinitializer, %{before} ], [ {result}, %{body} ]"
    f.start(done)
    for r in range(height):
        row = f.put(f"add nsw i64 {i}, {r}")
        offset = f.put(f"mul nsw i64 {row}, %cs0")
        offset = f.put(f"add nsw i64 {offset}, {j}")
        start = f.put(f"getelementptr inbounds {element}, ptr %c, i64 {offset}")
        for v in range(vectors):
            at = f.put(f"getelementptr inbounds {element}, ptr {start}, i64 {v * lanes}") if v else start
            _store(f, kind, suffix, sums[r][v], at, align, mask if v == vectors - 1 else None, lanes)


def _pack(dtype: str, vector_bytes: int) -> str:
    """``pack``: copy columns of B into panels first … last−1, each [k, width]; B may be transposed."""
    module = Module()
    f = Function(module, f"define void @pack_{dtype}({', '.join(PACK)})")
    width, element = panel_width(dtype, vector_bytes), IR_TYPE[dtype]
    size = f.times("%k", str(width))
    straight = f.put("icmp eq i64 %bs1, 1")
    full = f.intrinsic("i64", "llvm.smin.i64", ("i64", "%last"), ("i64", f.put(f"sdiv i64 %n, {width}")))
    middle = f.put(f"select i1 {straight}, i64 {full}, i64 %first")
    _copy_side_by_side(f, dtype, vector_bytes // ITEM_BYTES[dtype], width, middle)
    with f.loop(middle, "%last") as panel:
        begin = f.times(panel, str(width))
        left = f.put(f"sub nsw i64 %n, {begin}")
        count = f.intrinsic("i64", "llvm.smin.i64", ("i64", left), ("i64", str(width)))
        to = f.put(f"getelementptr inbounds {element}, ptr %to, i64 {f.times(panel, size)}")
        source = f.put(f"getelementptr inbounds {element}, ptr %b, i64 {f.times(begin, '%bs1')}")
        rows, columns, done = f.label("rows"), f.label("columns"), f.label("packed")
        f.do(f"br i1 {straight}, label %{rows}, label %{columns}")
        f.start(rows)
        _copy_rows(f, dtype, vector_bytes // ITEM_BYTES[dtype], width, source, to, count)
        f.do(f"br label %{done}")
        f.start(columns)
        _copy_columns(f, dtype, width, source, to, count)
        f.do(f"br label %{done}")
        f.start(done)
    f.finish()
    return module.text()


def _copy_side_by_side(f: Function, dtype: str, lanes: int, width: int, middle: str) -> None:
    """Copy panels first … middle−1 of a B whose rows are contiguous, some rows at a time through all of them.

    One panel after another would read a few numbers of every row: each from a page of its own, if rows are long.
    """
    element, align = IR_TYPE[dtype], ITEM_BYTES[dtype]
    kind = f"<{lanes} x {element}>"
    size, some = f.times("%k", str(width)), 8

    def at(pointer: str, *offsets: str) -> str:
        for offset in offsets:
            pointer = f.put(f"getelementptr inbounds {element}, ptr {pointer}, i64 {offset}")
        return pointer

    with f.loop("0", "%k", some) as row:
        far = f.put(f"add nsw i64 {row}, {some}")
        last = f.intrinsic("i64", "llvm.smin.i64", ("i64", far), ("i64", "%k"))
        with f.loop("%first", middle) as panel:
            source, target = at("%b", f.times(panel, str(width))), at("%to", f.times(panel, size))
            with f.loop(row, last) as r:
                begin, place = at(source, f.times(r, "%bs0")), at(target, f.times(r, str(width)))
                vectors = [
                    f.put(f"load {kind}, ptr {at(begin, str(i))}, align {align}") for i in range(0, width, lanes)
                ]
                for i, vector in zip(range(0, width, lanes), vectors, strict=True):
                    f.do(f"store {kind} {vector}, ptr {at(place, str(i))}, align {align}")


def _copy_rows(f: Function, dtype: str, lanes: int, width: int, source: str, to: str, count: str) -> None:
    """Copy rows of B that are contiguous, vector by vector, and element by element at the end."""
    element, align = IR_TYPE[dtype], ITEM_BYTES[dtype]
    kind = f"<{lanes} x {element}>"
    whole = f.put(f"and i64 {count}, {-lanes}")
    with f.loop("0", "%k") as row:
        begin = f.put(f"getelementptr inbounds {element}, ptr {source}, i64 {f.times(row, '%bs0')}")
        target = f.put(f"getelementptr inbounds {element}, ptr {to}, i64 {f.times(row, str(width))}")
        for first, last, step, held in (("0", whole, lanes, kind), (whole, count, 1, element)):
            with f.loop(first, last, step) as i:
                at = f.put(f"getelementptr inbounds {element}, ptr {begin}, i64 {i}")
                place = f.put(f"getelementptr inbounds {element}, ptr {target}, i64 {i}")
                f.do(f"store {held} {f.put(f'load {held}, ptr {at}, align {align}')}, ptr {place}, align {align}")


def _copy_columns(f: Function, dtype: str, width: int, source: str, to: str, count: str) -> None:
    """Copy columns of B that are contiguous (``bs0`` is 1) or strided: 4 by 4 turned in registers where they are."""
    element, align = IR_TYPE[dtype], ITEM_BYTES[dtype]
    kind = f"<4 x {element}>"
    down = f.put("icmp eq i64 %bs0, 1")
    four = f.put("and i64 %k, -4")
    by_four = f.put(f"select i1 {down}, i64 {four}, i64 0")
    columns_four = f.put(f"and i64 {count}, -4")

    def place_of(pointer: str, *offsets: tuple[str, str]) -> str:
        for index, stride in offsets:
            pointer = f.put(f"getelementptr inbounds {element}, ptr {pointer}, i64 {f.times(index, stride)}")
        return pointer

    with f.loop("0", by_four, 4) as row:
        begin = place_of(source, (row, "1"))
        target = place_of(to, (row, str(width)))
        with f.loop("0", columns_four, 4) as column:
            at = place_of(begin, (column, "%bs1"))
            turned = []
            for _ in range(4):
                turned.append(f.put(f"load {kind}, ptr {at}, align {align}"))
                at = place_of(at, ("%bs1", "1"))
            for r, vector in enumerate(_turned(f, kind, turned)):
                place = place_of(target, (column, "1"), (str(r * width), "1"))
                f.do(f"store {kind} {vector}, ptr {place}, align {align}")
    for first, last, column_first in (("0", by_four, columns_four), (by_four, "%k", "0")):
        with f.loop(first, last) as row:
            begin = place_of(source, (row, "%bs0"))
            target = place_of(to, (row, str(width)))
            with f.loop(column_first, count) as column:
                at = place_of(begin, (column, "%bs1"))
                one = f.put(f"load {element}, ptr {at}, align {align}")
                f.do(f"store {element} {one}, ptr {place_of(target, (column, '1'))}, align {align}")


def _turn(dtype: str, vector_bytes: int) -> str:
    """The kernel that copies rows ``begin`` to ``end`` of a transposed A next to each other.

    Element (i, k) lies at ``i + k·step`` and goes to ``i·length + k``: four by four, turned in registers.
    """
    module, f, values = _wrapper(f"turn_{dtype}", "", ["ptr", "i64", "ptr", "i64", "i64"], "")
    a, step, to, length, k = values
    element, align = IR_TYPE[dtype], ITEM_BYTES[dtype]
    kind = f"<4 x {element}>"
    four = f.put(f"and i64 {k}, -4")
    count = f.put("sub nsw i64 %end, %begin")
    whole = f.put(f"and i64 {count}, -4")
    middle = f.put(f"add nsw i64 %begin, {whole}")

    def at(pointer: str, *offsets: str) -> str:
        for offset in offsets:
            pointer = f.put(f"getelementptr inbounds {element}, ptr {pointer}, i64 {offset}")
        return pointer

    block = 16  # as many rows as a cache line of A has elements
    with f.loop("%begin", middle, block) as first:
        far = f.put(f"add nsw i64 {first}, {block}")
        last = f.intrinsic("i64", "llvm.smin.i64", ("i64", far), ("i64", middle))
        with f.loop("0", four, 4) as column, f.loop(first, last, 4) as row:
            source = at(a, f.times(column, step), row)
            turned = []
            for _ in range(4):
                turned.append(f.put(f"load {kind}, ptr {source}, align {align}"))
                source = at(source, step)
            target = at(to, f.times(row, length), column)
            for vector in _turned(f, kind, turned):
                f.do(f"store {kind} {vector}, ptr {target}, align {align}")
                target = at(target, length)
    for begin, end, from_column in (("%begin", middle, four), (middle, "%end", "0")):
        with f.loop(begin, end) as row, f.loop(from_column, k) as column:
            one = f.put(f"load {element}, ptr {at(a, f.times(column, step), row)}, align {align}")
            f.do(f"store {element} {one}, ptr {at(to, f.times(row, length), column)}, align {align}")
    f.finish()
    return module.text()


def _turned(f: Function, kind: str, rows: list[str]) -> list[str]:
    """Return the columns of four vectors of four."""

    def shuffle(a: str, b: str, places: tuple[int, ...]) -> str:
        mask = ", ".join(f"i32 {p}" for p in places)
        return f.put(f"shufflevector {kind} {a}, {kind} {b}, <4 x i32> <{mask}>")

    low01, high01 = shuffle(rows[0], rows[1], (0, 4, 1, 5)), shuffle(rows[0], rows[1], (2, 6, 3, 7))
    low23, high23 = shuffle(rows[2], rows[3], (0, 4, 1, 5)), shuffle(rows[2], rows[3], (2, 6, 3, 7))
    return [
        shuffle(low01, low23, (0, 1, 4, 5)), shuffle(low01, low23, (2, 3, 6, 7)),
        shuffle(high01, high23, (0, 1, 4, 5)), shuffle(high01, high23, (2, 3, 6, 7)),
    ]  # fmt: skip


def _load(f: Function, kind: str, suffix: str, at: str, align: int, mask: str | None, lanes: int) -> str:
    if mask is None:
        return f.put(f"load {kind}, ptr {at}, align {align}")
    mask = _bits(f, mask, lanes, suffix)
    name = f"llvm.masked.load.{suffix}.p0"
    f.module.declare(f"{kind} @{name}(ptr, i32 immarg, <{lanes} x i1>, {kind})")
    return f.put(f"call {kind} @{name}(ptr {at}, i32 {align}, <{lanes} x i1> {mask}, {kind} zeroinitializer)")


def _store(f: Function, kind: str, suffix: str, value: str, at: str, align: int, mask: str | None, lanes: int) -> None:
    if mask is None:
        f.do(f"store {kind} {value}, ptr {at}, align {align}")
        return
    mask = _bits(f, mask, lanes, suffix)
    name = f"llvm.masked.store.{suffix}.p0"
    f.module.declare(f"void @{name}({kind}, ptr, i32 immarg, <{lanes} x i1>)")
    f.do(f"call void @{name}({kind} {value}, ptr {at}, i32 {align}, <{lanes} x i1> {mask})")


_WRITERS: Mapping[str, Callable[[str, int], str]] = {
    "product": _product, "pack": _pack, "multiply": _multiply, "columns": _columns, "panels": _panels,
    "turn": _turn,
}  # fmt: skip
