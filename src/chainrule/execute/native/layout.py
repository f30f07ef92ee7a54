"""Where values live: slots (buffers) and views of them; sizes and strides may be multiples of the row count n."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from chainrule.errors import ExecutionError
from chainrule.graph import Dim, Rows, Shape, Type

ITEM_BYTES = {"f32": 4, "f64": 8, "i32": 4, "i64": 8, "u32": 4, "u64": 8, "bool": 1}


@dataclass(frozen=True)
class Extent:
    """A whole number that is known when n is: ``fixed + rows·n + square·n²``.

    In a batch that is measured in tiles, ``start`` times the first row of the tile is added.
    """

    fixed: int = 0
    rows: int = 0
    square: int = 0
    start: int = 0

    def __add__(self, other: Extent) -> Extent:
        return Extent(
            self.fixed + other.fixed, self.rows + other.rows, self.square + other.square, self.start + other.start
        )

    def __mul__(self, other: int) -> Extent:
        return Extent(self.fixed * other, self.rows * other, self.square * other, self.start * other)

    def at(self, n: int) -> int:
        return self.fixed + self.rows * n + self.square * n * n


def times(a: Dim, b: Dim) -> Dim | None:
    """Return a·b, or None where it would be n·n."""
    if isinstance(a, Rows) and isinstance(b, Rows):
        return None
    if isinstance(a, Rows) or isinstance(b, Rows):
        rows, number = (a, b) if isinstance(a, Rows) else (b, a)
        assert isinstance(rows, Rows)
        assert isinstance(number, int)
        return Rows(rows.multiple * number) if number else 0
    return a * b


def as_extent(dim: Dim) -> Extent:
    return Extent(0, dim.multiple) if isinstance(dim, Rows) else Extent(dim, 0)


def product(shape: Shape) -> Extent:
    """Return the number of elements of a shape."""
    number, powers = 1, 0
    for dim in shape:
        number *= dim.multiple if isinstance(dim, Rows) else dim
        powers += isinstance(dim, Rows)
    if powers > 2:
        raise ExecutionError("a value of n·n·n elements cannot be compiled; use executor='reference'")
    return Extent(*[number if power == powers else 0 for power in range(3)])


def contiguous(shape: Shape) -> tuple[Dim, ...]:
    """Return the strides of a C-ordered array."""
    strides: list[Dim] = []
    step: Dim = 1
    for place, dim in enumerate(reversed(shape), 1):
        strides.append(step)
        more = times(step, dim)
        if more is None and place < len(shape):
            raise ExecutionError("a value with a stride of n·n elements cannot be compiled; use executor='reference'")
        step = 0 if more is None else more
    return tuple(reversed(strides))


def scaled(extent: Extent, dim: Dim) -> Extent:
    """Return a number of elements times a dimension."""
    if isinstance(dim, int):
        return extent * dim
    if extent.square:
        raise ExecutionError("a value of n·n·n elements cannot be compiled; use executor='reference'")
    return Extent(0, extent.fixed, extent.rows) * dim.multiple


@dataclass(frozen=True)
class Slot:
    """A buffer: what it is for, its dtype and its size in elements; ``index`` is its place in the table of pointers."""

    index: int
    purpose: str
    dtype: str
    size: Extent
    source: Any = None


@dataclass(frozen=True)
class View:
    """Elements of a slot: where they start, and how far apart they are along each axis."""

    slot: Slot
    shape: Shape
    strides: tuple[Dim, ...]
    offset: Extent = Extent()

    @property
    def dtype(self) -> str:
        return self.slot.dtype

    @property
    def is_symbolic(self) -> bool:
        return any(isinstance(d, Rows) for d in self.shape)

    @property
    def is_contiguous(self) -> bool:
        return all(d == 1 or s == c for d, s, c in zip(self.shape, self.strides, contiguous(self.shape), strict=True))

    def broadcast(self, shape: Shape) -> View:
        added = len(shape) - len(self.shape)
        strides: list[Dim] = [0] * added
        for own, dim, stride in zip(self.shape, shape[added:], self.strides, strict=True):
            strides.append(stride if own == dim else 0)
        return replace(self, shape=shape, strides=tuple(strides))

    def transposed(self, axes: Sequence[int]) -> View:
        return replace(self, shape=tuple(self.shape[a] for a in axes), strides=tuple(self.strides[a] for a in axes))

    def sliced(self, shape: Shape, start: Sequence[int], step: Sequence[int]) -> View:
        offset = self.offset
        strides: list[Dim] = []
        for stride, begin, stride_step in zip(self.strides, start, step, strict=True):
            move, wide = times(stride, begin), times(stride, stride_step)
            assert move is not None
            assert wide is not None
            offset = offset + as_extent(move)
            strides.append(wide)
        return replace(self, shape=shape, strides=tuple(strides), offset=offset)

    def reshaped(self, shape: Shape) -> View | None:
        """Return the view in another shape, or None where the elements would have to be copied."""
        if self.is_contiguous:
            return replace(self, shape=shape, strides=contiguous(shape))
        own = [(d, s) for d, s in zip(self.shape, self.strides, strict=True) if d != 1]
        if [d for d, _ in own] != [d for d in shape if d != 1]:
            return None
        rest = iter(own)
        return replace(self, shape=shape, strides=tuple(0 if d == 1 else next(rest)[1] for d in shape))


def whole(slot: Slot, kind: Type) -> View:
    return View(slot, kind.shape, contiguous(kind.shape))


def collapse(shape: Shape, strides: Sequence[Sequence[Dim]]) -> tuple[Shape, list[list[Dim]]]:
    """Merge neighboring axes that every operand steps through as if they were one; drop axes of length 1."""
    axes = [a for a, d in enumerate(shape) if d != 1]
    dims: list[Dim] = [shape[a] for a in axes]
    steps = [[s[a] for a in axes] for s in strides]
    i = len(dims) - 2
    while i >= 0:
        merged = times(dims[i], dims[i + 1])
        if merged is not None and all(s[i] == times(s[i + 1], dims[i + 1]) for s in steps):
            dims[i : i + 2] = [merged]
            for s in steps:
                s[i : i + 2] = [s[i + 1]]
        i -= 1
    return tuple(dims), steps
