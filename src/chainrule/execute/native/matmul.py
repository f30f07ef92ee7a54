"""Matrix products: a register tile of accumulators, written for the width of this machine's vectors.

C[i, j] = Σ_k A[i, k] B[k, j]: A may have any strides (so a transposed A costs nothing), and the rows of B and C are
contiguous. Each element is one chain of fused multiply-adds over k = 0, 1, 2, …, whatever tile it falls into: its bits
do not depend on the number of rows and columns beside it.
"""

from __future__ import annotations

from functools import cache

from chainrule.execute.native.emit import IR_TYPE, Function, Module
from chainrule.execute.native.layout import ITEM_BYTES

TILES = {16: (4, 2), 32: (6, 2), 64: (8, 3)}
"""Rows and vectors of a tile by vector width: accumulators, one row of B and one element of A fill the registers."""
HEAD = "(ptr %a, i64 %as0, i64 %as1, ptr %b, i64 %bs0, ptr %c, i64 %cs0, i64 %m, i64 %n, i64 %k, ptr %pack)"
ARGUMENTS = ("ptr", "i64", "i64", "ptr", "i64", "ptr", "i64", "i64", "i64", "i64", "ptr")
PACK_FROM = 24
"""From so many rows on, a block of columns of B is copied together first: every tile of rows reads it again."""


def block_width(dtype: str, vector_bytes: int) -> int:
    """Return the columns of a full block: what has to fit a row of the copied block."""
    return vector_bytes // ITEM_BYTES[dtype] * TILES[vector_bytes][1]


def row_blocks(most: int) -> list[int]:
    """Return the heights of the tiles: the full one, then powers of two for what is left."""
    return [most, *[h for h in (4, 2, 1) if h < most]]


@cache
def kernel_text(dtype: str, vector_bytes: int) -> str:
    """Return the module that holds the product of one dtype, ``matmul_f32`` or ``matmul_f64``."""
    module = Module()
    lanes = vector_bytes // ITEM_BYTES[dtype]
    rows, vectors = TILES[vector_bytes]
    f = Function(module, f"define void @matmul_{dtype}{HEAD}")
    width = block_width(dtype, vector_bytes)
    element = IR_TYPE[dtype]
    many = f.put(f"icmp sge i64 %m, {PACK_FROM}")
    blocks = f.put(f"sdiv i64 %n, {width}")
    full = f.put(f"mul nsw i64 {blocks}, {width}")
    with f.loop("0", full, width) as j:
        start = f.put(f"getelementptr inbounds {element}, ptr %b, i64 {j}")
        with f.when(many):
            _pack(f, dtype, lanes, vectors, start)
        base = f.put(f"select i1 {many}, ptr %pack, ptr {start}")
        stride = f.put(f"select i1 {many}, i64 {width}, i64 %bs0")
        _column_block(f, dtype, lanes, vectors, rows, j, (base, stride), None)
    rest = f.put(f"sub nsw i64 %n, {full}")
    for count in range(1, vectors + 1):
        above = f.put(f"icmp sgt i64 {rest}, {lanes * (count - 1)}")
        below = f.put(f"icmp sle i64 {rest}, {lanes * count}")
        both = f.put(f"and i1 {above}, {below}")
        with f.when(both):
            left = f.put(f"sub nsw i64 {rest}, {lanes * (count - 1)}")
            start = f.put(f"getelementptr inbounds {element}, ptr %b, i64 {full}")
            _column_block(f, dtype, lanes, count, rows, full, (start, "%bs0"), _mask(f, left, lanes))
    f.finish()
    return module.text()


def _pack(f: Function, dtype: str, lanes: int, vectors: int, start: str) -> None:
    """Copy a block of columns of B so that its rows lie next to each other."""
    element, align = IR_TYPE[dtype], ITEM_BYTES[dtype]
    kind = f"<{lanes} x {element}>"
    with f.loop("0", "%k") as row:
        source = f.put(f"getelementptr inbounds {element}, ptr {start}, i64 {f.times(row, '%bs0')}")
        target = f.put(f"getelementptr inbounds {element}, ptr %pack, i64 {f.times(row, str(lanes * vectors))}")
        for v in range(vectors):
            at = f.put(f"getelementptr inbounds {element}, ptr {source}, i64 {v * lanes}")
            to = f.put(f"getelementptr inbounds {element}, ptr {target}, i64 {v * lanes}")
            f.do(f"store {kind} {f.put(f'load {kind}, ptr {at}, align {align}')}, ptr {to}, align {align}")


def _mask(f: Function, count: str, lanes: int) -> str:
    """Return a mask of the first ``count`` lanes."""
    kind = f"<{lanes} x i64>"
    numbers = ", ".join(f"i64 {i}" for i in range(lanes))
    one = f.put(f"insertelement {kind} poison, i64 {count}, i32 0")
    every = f.put(f"shufflevector {kind} {one}, {kind} poison, <{lanes} x i32> zeroinitializer")
    return f.put(f"icmp slt {kind} <{numbers}>, {every}")


def _column_block(
    f: Function, dtype: str, lanes: int, vectors: int, most: int, j: str, columns: tuple[str, str], mask: str | None
) -> None:
    """Compute all rows of a block of columns: tiles of full height, then what is left."""
    begin = "0"
    for height in row_blocks(most):
        left = f.put(f"sub nsw i64 %m, {begin}")
        tiles = f.put(f"sdiv i64 {left}, {height}")
        size = f.put(f"mul nsw i64 {tiles}, {height}")
        end = f.put(f"add nsw i64 {begin}, {size}")
        with f.loop(begin, end, height) as i:
            _tile(f, dtype, lanes, vectors, height, i, j, columns, mask)
        begin = end


def _tile(
    f: Function, dtype: str, lanes: int, vectors: int, height: int, i: str, j: str, columns: tuple[str, str],
    mask: str | None,
) -> None:  # fmt: skip
    """Compute a tile of C; ``columns`` is where its columns of B begin, and how far apart its rows are."""
    element, align = IR_TYPE[dtype], ITEM_BYTES[dtype]
    kind = f"<{lanes} x {element}>"
    suffix = f"v{lanes}{dtype}"
    starts = []
    for r in range(height):
        row = f.put(f"add nsw i64 {i}, {r}")
        offset = f.put(f"mul nsw i64 {row}, %as0")
        starts.append(f.put(f"getelementptr inbounds {element}, ptr %a, i64 {offset}"))
    column, stride = columns
    head, body, done = f.label("head"), f.label("body"), f.label("done")
    before = f.block
    step, after = f.name("k"), f.name("next")
    sums = [[f.name("acc") for _ in range(vectors)] for _ in range(height)]
    f.do(f"br label %{head}")
    f.start(head)
    place = len(f.lines)
    f.lines += [""] * (1 + height * vectors)
    more = f.put(f"icmp slt i64 {step}, %k")
    f.do(f"br i1 {more}, label %{body}, label %{done}")
    f.start(body)
    b_offset = f.put(f"mul nsw i64 {step}, {stride}")
    b_row = f.put(f"getelementptr inbounds {element}, ptr {column}, i64 {b_offset}")
    wide = []
    for v in range(vectors):
        at = f.put(f"getelementptr inbounds {element}, ptr {b_row}, i64 {v * lanes}") if v else b_row
        wide.append(_load(f, kind, suffix, at, align, mask if v == vectors - 1 else None, lanes))
    a_offset = f.put(f"mul nsw i64 {step}, %as1")
    results = []
    for r in range(height):
        at = f.put(f"getelementptr inbounds {element}, ptr {starts[r]}, i64 {a_offset}")
        one = f.put(f"load {element}, ptr {at}, align {align}")
        first = f.put(f"insertelement {kind} poison, {element} {one}, i32 0")
        every = f.put(f"shufflevector {kind} {first}, {kind} poison, <{lanes} x i32> zeroinitializer")
        results.append([
            f.intrinsic(kind, f"llvm.fma.{suffix}", (kind, every), (kind, wide[v]), (kind, sums[r][v]))
            for v in range(vectors)
        ])  # fmt: skip
    f.do(f"{after} = add nsw i64 {step}, 1")
    f.do(f"br label %{head}")
    f.lines[place] = f"  {step} = phi i64 [ 0, %{before} ], [ {after}, %{body} ]"
    flat = [(sums[r][v], results[r][v]) for r in range(height) for v in range(vectors)]
    for line, (name, result) in enumerate(flat, start=place + 1):
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


def _load(f: Function, kind: str, suffix: str, at: str, align: int, mask: str | None, lanes: int) -> str:
    if mask is None:
        return f.put(f"load {kind}, ptr {at}, align {align}")
    name = f"llvm.masked.load.{suffix}.p0"
    f.module.declare(f"{kind} @{name}(ptr, i32 immarg, <{lanes} x i1>, {kind})")
    return f.put(f"call {kind} @{name}(ptr {at}, i32 {align}, <{lanes} x i1> {mask}, {kind} zeroinitializer)")


def _store(f: Function, kind: str, suffix: str, value: str, at: str, align: int, mask: str | None, lanes: int) -> None:
    if mask is None:
        f.do(f"store {kind} {value}, ptr {at}, align {align}")
        return
    name = f"llvm.masked.store.{suffix}.p0"
    f.module.declare(f"void @{name}({kind}, ptr, i32 immarg, <{lanes} x i1>)")
    f.do(f"call void @{name}({kind} {value}, ptr {at}, i32 {align}, <{lanes} x i1> {mask})")
