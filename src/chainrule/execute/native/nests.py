"""Loop nests over views with any strides: fused elementwise nodes, copies and fills."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.execute.native.frame import Frame, columns, walk
from chainrule.execute.native.layout import ITEM_BYTES, View, collapse
from chainrule.execute.native.schedule import Stage, is_flag, joins
from chainrule.execute.native.threefry import random_bits
from chainrule.execute.native.vector import Value, VectorBuilder, literal
from chainrule.graph import Dim, Node

Hoisted = dict[int, dict[int, Value]]
"""Operands that do not change along a loop, by their place, for one lane and for many."""


class Expression:
    """Elementwise nodes of one shape, to be computed in registers wherever a loop stands.

    ``views`` are the operands that are read from memory; nodes inside the expression never are.
    """

    def __init__(self, frame: Frame, nodes: Sequence[Node], view_of: Callable[[Node], View]) -> None:
        inside = set(nodes)
        self.frame = frame
        self.nodes = nodes
        self.reads: list[Node] = []
        self.literals: dict[Node, Any] = {}
        self.keys: dict[Node, list[Value]] = {}
        for node in nodes:
            for place, operand in enumerate(node.operands):
                if operand in inside and joins(operand, node, place):
                    continue
                if node.op.name == "random_bits" and place == 0:
                    key = view_of(operand)
                    at, apart = frame.pointer(key), frame.dim(key.strides[0])
                    self.keys[operand] = [frame.load(frame.step(at, "u32", word), "u32") for word in ("0", apart)]
                elif (number := uniform_literal(operand)) is not None:
                    self.literals[operand] = number
                elif not any(operand is r for r in self.reads):
                    self.reads.append(operand)
        self.views = [view_of(r) for r in self.reads]
        self.widest = max(
            [ITEM_BYTES[n.type.dtype] for n in nodes] + [ITEM_BYTES[v.dtype] for v in self.views], default=4
        )

    def lanes(self) -> int:
        """Return how many elements of the widest dtype a vector holds."""
        return max(self.frame.vector_bytes // max(self.widest, 4), 1)

    def strides(self, steps: Sequence[Dim]) -> list[str]:
        """Return the strides along the last axis; asked for before the loop begins."""
        return [self.frame.dim(s) for s in steps]

    def hoisted(self, pointers: Sequence[str], steps: Sequence[Dim]) -> Hoisted:
        """Load, before a loop, the operands that do not change along it: each as a number, and in all lanes.

        A vector that finds no register is read from memory, which is free beside the arithmetic; spreading a number
        over the lanes in every trip is not.
        """
        frame, lanes = self.frame, self.lanes()
        found: Hoisted = {}
        for i, (pointer, view, step) in enumerate(zip(pointers, self.views, steps, strict=False)):
            if step == 0:
                one = frame.load(pointer, view.dtype)
                found[i] = {1: one, lanes: frame.splat(one, lanes)}
        return found

    def at(
        self, pointers: Sequence[str], steps: Sequence[Dim], strides: Sequence[str], index: str, lanes: int,
        hoisted: Hoisted, mask: str | None = None,
    ) -> dict[Node, Value]:  # fmt: skip
        """Compute all nodes at an index along the last axis, for so many lanes from there."""
        frame = self.frame
        values: dict[Node, Value] = {}
        for i, operand in enumerate(self.reads):
            if i in hoisted:
                known = hoisted[i]
                values[operand] = known[lanes] if lanes in known else frame.splat(known[1], lanes)
                continue
            dtype = self.views[i].dtype
            place = frame.step(pointers[i], dtype, frame.f.times(index, strides[i]))
            values[operand] = (
                frame.load(place, dtype, lanes, mask)
                if steps[i] == 1
                else frame.gather(place, dtype, strides[i], lanes, mask)
            )
        for operand, number in self.literals.items():
            kind = operand.type.dtype
            text = literal(number, kind)
            element = Value("", kind, 1).element
            values[operand] = Value(text if lanes == 1 else f"splat ({element} {text})", kind, lanes)
        builder = VectorBuilder(frame.f)
        for node in self.nodes:
            random = node.op.name == "random_bits"
            operands = [self.keys[o] if random and j == 0 else values[o] for j, o in enumerate(node.operands)]
            values[node] = _lowered(builder, node, operands)
        return values


def fused_nest(frame: Frame, stage: Stage, view_of: Callable[[Node], View]) -> None:
    """Compute a group of elementwise nodes in one pass: load operands, compute in registers, store what is read.

    A flag, ``all`` over a node of the group, is a byte that is 1 before, and set to 0 where an element is false.
    """
    flags = [node for node in stage.nodes if is_flag(node)]
    nodes = [node for node in stage.nodes if not is_flag(node)]
    first_node = nodes[0] if nodes else flags[0].operands[0]
    expression = Expression(frame, nodes, view_of) if nodes else _reading(frame, flags, view_of)
    written = [node for node in nodes if node in stage.stored]
    views = [*expression.views, *(view_of(node) for node in written)]
    first = len(expression.views)
    dims, strides = collapse(first_node.shape, [list(v.strides) for v in views])
    wrong = {flag: frame.cell("i8") for flag in flags}
    targets = {flag: frame.pointer(view_of(flag)) for flag in flags}
    for flag, place in wrong.items():
        frame.f.do(f"store i8 1, ptr {place}")
        if not frame.divisible:  # a kernel that runs in parts must not: one part's 0 would be lost
            frame.f.do(f"store i8 1, ptr {targets[flag]}, align 1")

    def inner(begin: str, end: str, pointers: list[str], steps: list[Dim]) -> None:
        hoisted = expression.hoisted(pointers, steps)
        apart = expression.strides(steps)

        def at(index: str, lanes: int, mask: str | None) -> None:
            values = expression.at(pointers, steps, apart, index, lanes, hoisted, mask)
            for i, node in enumerate(written, start=first):
                place = frame.step(pointers[i], node.type.dtype, f.times(index, apart[i]))
                frame.store(values[node], place, mask)
            for flag, place in wrong.items():
                _lower_flag(frame, values[flag.operands[0]], mask, place)

        packed = all(step == 1 for step in steps[first:])
        # a bool is a byte: lanes that are not next to each other would be loaded by branches
        bytewise = any(ITEM_BYTES[node.type.dtype] == 1 for node in written)
        columns(frame, begin, end, expression.lanes() if packed else 1, at, bytewise)

    f = frame.f
    walk(frame, dims, views, strides, inner, divided=True)
    for flag, place in wrong.items():
        bad = f.put(f"icmp eq i8 {f.put(f'load i8, ptr {place}')}, 0")
        with f.when(bad):
            f.do(f"store i8 0, ptr {targets[flag]}, align 1")


def _reading(frame: Frame, flags: Sequence[Node], view_of: Callable[[Node], View]) -> Expression:
    """Return an expression that computes nothing, and reads the operands of flags."""
    expression = Expression(frame, [], view_of)
    for flag in flags:
        if not any(flag.operands[0] is r for r in expression.reads):
            expression.reads.append(flag.operands[0])
    expression.views = [view_of(r) for r in expression.reads]
    return expression


def _lower_flag(frame: Frame, value: Value, mask: str | None, place: str) -> None:
    """Set a cell to 0 where a lane that counts is false."""
    f = frame.f
    name = value.name
    if value.lanes > 1:
        if mask is not None:
            out = f.put(f"xor {value.type} {mask}, splat (i1 true)")
            name = f.put(f"or {value.type} {name}, {out}")
        name = f.intrinsic("i1", f"llvm.vector.reduce.and.v{value.lanes}i1", (value.type, name))
    before = f.put(f"load i8, ptr {place}")
    wide = f.put(f"zext i1 {name} to i8")
    f.do(f"store i8 {f.put(f'and i8 {before}, {wide}')}, ptr {place}")


def uniform_literal(node: Node) -> Any:
    """Return the one number that a literal holds in all its elements (broadcast or not), else None."""
    while node.op.name in ("broadcast", "reshape"):
        node = node.operands[0]
    if node.op.name != "constant" or node.attributes["value"].size == 0:
        return None
    value = node.attributes["value"]
    first = value.reshape(-1)[0]
    return (
        first
        if value.size == 1 or np.all(value.view(f"V{value.itemsize}") == first.view(f"V{value.itemsize}"))
        else None
    )


def _lowered(builder: VectorBuilder, node: Node, operands: list[Any]) -> Value:
    op: Any = node.op
    if op.name == "random_bits":
        return random_bits(builder, *operands)
    result: Value = op.lower(builder, *operands, **node.attributes)
    return result


def copy_nest(frame: Frame, source: View, target: View) -> None:
    """Copy a view's elements to another view of the same shape."""
    dims, (a, b) = collapse(source.shape, [list(source.strides), list(target.strides)])
    dtype = source.dtype

    def inner(begin: str, end: str, pointers: list[str], steps: list[Dim]) -> None:
        apart = [frame.dim(s) for s in steps]

        def at(index: str, lanes: int, mask: str | None) -> None:
            value = frame.load(frame.step(pointers[0], dtype, frame.f.times(index, apart[0])), dtype, lanes, mask)
            frame.store(value, frame.step(pointers[1], dtype, frame.f.times(index, apart[1])), mask)

        packed = steps == [1, 1]
        columns(frame, begin, end, max(frame.vector_bytes // ITEM_BYTES[dtype], 1) if packed else 1, at)

    walk(frame, dims, [source, target], [a, b], inner, divided=True)


def fill_nest(frame: Frame, target: View, number: Any) -> None:
    """Set every element of a view to one number."""
    dims, (steps,) = collapse(target.shape, [list(target.strides)])
    value = Value(literal(number, target.dtype), target.dtype, 1)

    def inner(begin: str, end: str, pointers: list[str], strides: list[Dim]) -> None:
        apart = frame.dim(strides[0])
        with frame.f.loop(begin, end) as index:
            frame.store(value, frame.step(pointers[0], target.dtype, frame.f.times(index, apart)))

    walk(frame, dims, [target], [steps], inner, divided=True)
