"""Products of matrices as stages: packed or read as they are, shared out by rows or by columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from chainrule.errors import ExecutionError
from chainrule.execute.native import debug, matmul, nests
from chainrule.execute.native.frame import Frame
from chainrule.execute.native.layout import Extent, View, as_extent, product, scaled
from chainrule.graph import Dim, Node, Rows, Type

if TYPE_CHECKING:
    from chainrule.execute.native.compile import Compiler

Steps = tuple[Extent, Extent]
PACK_FROM = 24
"""From so many rows on, B is copied into panels first: every tile of rows reads them again."""
TURN_FROM = 256
"""A transposed A of so many rows, that lie so many elements apart, is turned first: the cache holds few such rows."""
SMALL = 32 * 1024
"""A matrix B of so many bytes stays in the nearest cache anyway, and is read as it is."""


def matmul_stages(c: Compiler, node: Node, operands: list[View], target: View) -> None:
    a, b = operands
    (m, k), n = a.shape[-2:], b.shape[-1]
    if 0 in (m, n, k):
        with c.stage():
            nests.fill_nest(c.frame, target, 0)
        return
    if len(target.shape) > 2:
        _stack(c, a, b, target)
        return
    if n == 1 and m != 1 and target.strides[0] == 1 and c._frame is None:
        # A·b = (bᵀ·Aᵀ)ᵀ, where the many rows of A become columns, side by side in a vector.
        a, b, target = b.transposed((1, 0)), a.transposed((1, 0)), replace(target, shape=(1, m), strides=(1, 1))
        m, n = 1, m
    dtype, width = a.dtype, matmul.panel_width(a.dtype, c.vector_bytes)
    as_it_is = b.strides[1] == 1 or n == 1
    small = not b.is_symbolic and product(b.shape).fixed * (4 if dtype == "f32" else 8) <= SMALL
    if c._frame is not None:
        with c.stage():
            _product_inside(c, a, b, target, as_it_is)
        return
    if as_it_is and (small or (isinstance(m, int) and m < PACK_FROM)):
        _product(c, a, _steps(a), b, as_extent(b.strides[0]), Extent(width), target, {})
        return
    least = _packed_from(m, k, n, dtype) if as_it_is else 0
    size = scaled(Extent(-(-n // width) * width) if isinstance(n, int) else Extent(width, n.multiple), k)
    panels = c.slot("temporary", Type(dtype), size=size)
    c.call(
        f"panels_{dtype}",
        [*_place(b), *map(as_extent, b.strides), Extent(panels.index), Extent(), as_extent(n), as_extent(k)],
        (b.slot.index, panels.index), extent=as_extent(n), per=width, divisible=True,
        cost=(0.3, product(b.shape)), rows_from=least,
    )  # fmt: skip
    packed = View(panels, (), ())
    panel = as_extent(k) * width
    turn_from = -(-TURN_FROM // k.multiple) if isinstance(k, Rows) else 0
    if _strided(a):
        turned, steps = _turned(c, a, {"rows_from": max(turn_from, least)})
        _product(c, turned, steps, packed, Extent(width), panel, target, {"rows_from": max(turn_from, least)})
        if turn_from > least:
            as_it_lies = {"rows_from": least, "rows_below": turn_from}
            _product(c, a, _steps(a), packed, Extent(width), panel, target, as_it_lies)
    else:
        _product(c, a, _steps(a), packed, Extent(width), panel, target, {"rows_from": least})
    if least:
        _product(c, a, _steps(a), b, as_extent(b.strides[0]), Extent(width), target, {"rows_below": least})


def _stack(c: Compiler, a: View, b: View, target: View) -> None:
    """Multiply one pair of matrices of a stack after another."""
    with c.stage(
        (0.02, product(target.shape) if isinstance(a.shape[-1], Rows) else scaled(product(target.shape), a.shape[-1]))
    ) as frame:

        def part(a: View, b: View, target: View) -> None:
            if len(target.shape) == 2:
                _product_inside(c, a, b, target, b.strides[1] == 1 or b.shape[1] == 1)
                return
            frame.loop(target.shape[0], lambda index: part(*(_one_of(c, view, index) for view in (a, b, target))))

        part(a, b, target)


def _one_of(c: Compiler, stack: View, index: str) -> View:
    """Return one of the values that stand one after another along the first axis."""
    frame = c.frame
    start = frame.step(frame.pointer(stack), stack.dtype, frame.f.times(index, frame.dim(stack.strides[0])))
    return View(c.pointer_view(start, Type(stack.dtype)).slot, stack.shape[1:], stack.strides[1:])


def _packed_from(m: Dim, k: Dim, n: Dim, dtype: str) -> int:
    """Return from how many rows on it pays to copy B into panels; 0 is always."""
    if isinstance(m, Rows):
        return -(-PACK_FROM // m.multiple)
    if isinstance(k, Rows) and isinstance(n, int):
        return SMALL // 2 // (k.multiple * n * (4 if dtype == "f32" else 8)) + 1
    return 0


def _strided(a: View) -> bool:
    """Is A a transposed matrix whose neighbors along k lie so far apart that each is on a page of its own?"""
    (m, k), (across, along) = a.shape, a.strides
    deep = isinstance(k, Rows) or k >= TURN_FROM
    return across == 1 and isinstance(along, int) and along >= TURN_FROM and deep and isinstance(m, int)


def _turned(c: Compiler, a: View, rows: dict[str, int]) -> tuple[View, Steps]:
    """Copy a transposed A to where its rows are contiguous; a row's length is no power of two then."""
    (m, k), dtype = a.shape, a.dtype
    assert isinstance(m, int)
    length = as_extent(k) + Extent(16)
    slot = c.slot("temporary", Type(dtype), size=length * m)
    c.call(
        f"turn_{dtype}", [*_place(a), as_extent(a.strides[1]), Extent(slot.index), Extent(), length, as_extent(k)],
        (a.slot.index, slot.index), extent=as_extent(m), per=1, divisible=True, cost=(0.3, product(a.shape)), **rows,
    )  # fmt: skip
    return View(slot, a.shape, ()), (length, Extent(1))


def _steps(a: View) -> Steps:
    """Return how far apart the rows and the columns of A are."""
    return as_extent(a.strides[0]), as_extent(a.strides[1])


def _place(view: View) -> tuple[Extent, Extent]:
    """Return the two arguments that say where a view begins: its slot, and the bytes from there."""
    return Extent(view.slot.index), view.offset * (4 if view.dtype == "f32" else 8)


def _product(
    c: Compiler, a: View, steps: Steps, b: View, row: Extent, panel: Extent, target: View, rows: dict[str, int]
) -> None:
    """Add the stage of a product. Threads share out its rows or, where there are fewer of them, its columns."""
    (m, k), n = a.shape, target.shape[1]
    dtype, width = a.dtype, matmul.panel_width(a.dtype, c.vector_bytes)
    left = [
        *_place(a),
        *steps,
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

    if isinstance(n, Rows) and m == 1:
        by_columns(**rows)
    elif isinstance(n, Rows) or n < 4 * width or (isinstance(m, int) and m >= n):
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
    call = f"call void @{name}({', '.join(f'{kind} {value}' for kind, value in zip(kinds, values, strict=True))})"
    if frame.debug:
        debug.call_inside(frame, name, arguments, values, call)
    else:
        frame.f.do(call)
