"""Stages that order elements along an axis: the place of the largest, and all in order of their size."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from chainrule.execute.native.frame import Frame, carried_loop, walk
from chainrule.execute.native.layout import View, collapse
from chainrule.execute.native.vector import Value, VectorBuilder
from chainrule.graph import Dim, Node, Type

if TYPE_CHECKING:
    from chainrule.execute.native.compile import Compiler


def without_axis(view: View, axis: int) -> View:
    """Return a view of the first elements along an axis."""
    kept = [a for a in range(len(view.shape)) if a != axis]
    return View(view.slot, tuple(view.shape[a] for a in kept), tuple(view.strides[a] for a in kept), view.offset)


def _each_line(frame: Frame, source: View, target: View, body: Callable[[str, str], None]) -> None:
    """Run a body for each pair of elements of two views of one shape: it takes their addresses."""
    dims, strides = collapse(source.shape, [list(source.strides), list(target.strides)])

    def inner(begin: str, end: str, pointers: list[str], steps: list[Dim]) -> None:
        apart = [frame.dim(s) for s in steps]
        with frame.f.loop(begin, end) as number:
            at, to = (
                frame.step(p, v.dtype, frame.f.times(number, s))
                for p, v, s in zip(pointers, (source, target), apart, strict=True)
            )
            body(at, to)

    walk(frame, dims, [source, target], strides, inner)


def argmax(c: Compiler, node: Node, operands: list[View], target: View) -> None:
    """The first largest element; the first NaN, where there is one, as NumPy has it."""
    (axis,) = node.attributes["axes"]
    x = operands[0]
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

        _each_line(frame, without_axis(x, axis), target, one)


def argsort(c: Compiler, node: Node, operands: list[View], target: View) -> None:
    """Sort the places of elements by merging runs of 1, 2, 4, … of them: equal elements keep their order."""
    (x,), axis = operands, node.attributes["axis"]
    spare = c.temporary(Type("i64", (x.shape[axis],)))
    with c.stage() as frame:
        merge = _Merge(frame, x, axis, frame.dim(target.strides[axis]), frame.pointer(spare))
        _each_line(frame, without_axis(x, axis), without_axis(target, axis), merge.sort)


class _Merge:
    """A merge sort of one line being written: the places stand in the target, and are merged into spare memory."""

    def __init__(self, frame: Frame, x: View, axis: int, apart: str, spare: str) -> None:
        self.frame, self.f = frame, frame.f
        self.builder = VectorBuilder(frame.f)
        self.dtype = x.dtype
        self.along, self.apart, self.spare = frame.dim(x.strides[axis]), apart, spare
        self.length = frame.dim(x.shape[axis])
        self.left, self.right = frame.cell("i64"), frame.cell("i64")

    def sort(self, at: str, to: str) -> None:
        f, length = self.f, self.length
        with f.loop("0", length) as i:
            self.write(to, self.apart, i, i)
        last = f.put(f"sub nsw i64 {length}, 1")
        zeros = f.intrinsic("i64", "llvm.ctlz.i64", ("i64", last), ("i1", "false"))
        several = f.put(f"icmp sgt i64 {length}, 1")
        passes = f.put(f"select i1 {several}, i64 {f.put(f'sub i64 64, {zeros}')}, i64 0")
        with f.loop("0", passes) as number:  # runs of 2ᵖ places are in order before pass p
            run = f.put(f"shl i64 1, {number}")
            both = f.put(f"shl i64 {run}, 1")
            filled = f.put(f"add i64 {last}, {both}")
            pairs = f.put(f"ashr i64 {filled}, {f.put(f'add i64 {number}, 1')}")
            with f.loop("0", pairs) as pair:
                begin = f.put(f"mul i64 {pair}, {both}")
                middle = self.least(f.put(f"add i64 {begin}, {run}"))
                end = self.least(f.put(f"add i64 {begin}, {both}"))
                self.merge(at, to, begin, middle, end)
            with f.loop("0", length) as i:
                self.write(to, self.apart, i, self.read(self.spare, "1", i))

    def merge(self, at: str, to: str, begin: str, middle: str, end: str) -> None:
        """Merge two runs: of equal elements the left one goes first."""
        f = self.f
        f.do(f"store i64 {begin}, ptr {self.left}")
        f.do(f"store i64 {middle}, ptr {self.right}")
        with f.loop(begin, end) as k:
            left, right = (f.put(f"load i64, ptr {cell}") for cell in (self.left, self.right))
            has_left, has_right = f.put(f"icmp slt i64 {left}, {middle}"), f.put(f"icmp slt i64 {right}, {end}")
            last = f.put(f"sub nsw i64 {self.length}, 1")
            one = self.read(to, self.apart, left)
            other = self.read(to, self.apart, f.intrinsic("i64", "llvm.smin.i64", ("i64", right), ("i64", last)))
            smaller = self.is_less(self.element(at, other), self.element(at, one))
            first = f.put(f"or i1 {smaller}, {f.put(f'xor i1 {has_left}, true')}")
            from_right = f.put(f"and i1 {has_right}, {first}")
            self.write(self.spare, "1", k, f.put(f"select i1 {from_right}, i64 {other}, i64 {one}"))
            step = f.put(f"zext i1 {from_right} to i64")
            f.do(f"store i64 {f.put(f'add i64 {right}, {step}')}, ptr {self.right}")
            rest = f.put(f"sub i64 1, {step}")
            f.do(f"store i64 {f.put(f'add i64 {left}, {rest}')}, ptr {self.left}")

    def is_less(self, a: Value, b: Value) -> str:
        """Is a before b? NaN is after every number."""
        builder = self.builder
        less = builder.less(a, b)
        if a.dtype in ("f32", "f64"):
            last = builder.logical_and(builder.is_nan(b), builder.logical_not(builder.is_nan(a)))
            less = builder.logical_or(less, last)
        return less.name

    def element(self, at: str, place: str) -> Value:
        return self.frame.load(self.frame.step(at, self.dtype, self.f.times(place, self.along)), self.dtype)

    def read(self, base: str, apart: str, index: str) -> str:
        return self.frame.load(self.frame.step(base, "i64", self.f.times(index, apart)), "i64").name

    def write(self, base: str, apart: str, index: str, place: str) -> None:
        self.frame.store(Value(place, "i64", 1), self.frame.step(base, "i64", self.f.times(index, apart)))

    def least(self, number: str) -> str:
        return self.f.intrinsic("i64", "llvm.smin.i64", ("i64", number), ("i64", self.length))
