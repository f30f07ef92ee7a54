"""Loop nests over views with any strides: fused elementwise nodes, copies and fills."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.execute.native.frame import Frame, columns, walk
from chainrule.execute.native.layout import ITEM_BYTES, View, collapse
from chainrule.execute.native.schedule import Stage, joins
from chainrule.execute.native.threefry import random_bits
from chainrule.execute.native.vector import Value, VectorBuilder, literal
from chainrule.graph import Dim, Node


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
                    at = frame.pointer(view_of(operand))
                    self.keys[operand] = [frame.load(frame.step(at, "u32", str(i)), "u32") for i in (0, 1)]
                elif (number := uniform_literal(operand)) is not None:
                    self.literals[operand] = number
                elif not any(operand is r for r in self.reads):
                    self.reads.append(operand)
        self.views = [view_of(r) for r in self.reads]
        self.widest = max(
            [ITEM_BYTES[n.type.dtype] for n in nodes] + [ITEM_BYTES[v.dtype] for v in self.views], default=4
        )

    def hoisted(self, pointers: Sequence[str], steps: Sequence[Dim]) -> dict[int, Value]:
        """Load, before a loop, the operands that do not change along it."""
        return {
            i: self.frame.load(p, v.dtype)
            for i, (p, v, s) in enumerate(zip(pointers, self.views, steps, strict=False))
            if s == 0
        }

    def at(
        self, pointers: Sequence[str], steps: Sequence[Dim], index: str, lanes: int, hoisted: Mapping[int, Value]
    ) -> dict[Node, Value]:
        """Compute all nodes at an index along the last axis, for so many lanes from there."""
        frame = self.frame
        values: dict[Node, Value] = {}
        for i, operand in enumerate(self.reads):
            if i in hoisted:
                values[operand] = frame.splat(hoisted[i], lanes)
                continue
            dtype, step = self.views[i].dtype, steps[i]
            place = frame.step(pointers[i], dtype, frame.f.times(index, frame.dim(step)))
            values[operand] = (
                frame.load(place, dtype, lanes) if step == 1 else frame.gather(place, dtype, frame.dim(step), lanes)
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
    """Compute a group of elementwise nodes in one pass: load operands, compute in registers, store what is read."""
    expression = Expression(frame, stage.nodes, view_of)
    written = [node for node in stage.nodes if node in stage.stored]
    views = [*expression.views, *(view_of(node) for node in written)]
    first = len(expression.views)
    dims, strides = collapse(stage.nodes[0].shape, [list(v.strides) for v in views])
    lanes_full = max(frame.vector_bytes // max(expression.widest, 4), 1)

    def inner(length: Dim, pointers: list[str], steps: list[Dim]) -> None:
        hoisted = expression.hoisted(pointers, steps)

        def at(index: str, lanes: int) -> None:
            values = expression.at(pointers, steps, index, lanes, hoisted)
            for i, node in enumerate(written, start=first):
                place = frame.step(pointers[i], node.type.dtype, frame.f.times(index, frame.dim(steps[i])))
                frame.store(values[node], place)

        if all(step == 1 for step in steps[first:]):
            columns(frame, length, lanes_full, at)
        else:
            frame.loop(length, lambda index: at(index, 1))

    walk(frame, dims, views, strides, inner)


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
    lanes = max(frame.vector_bytes // ITEM_BYTES[source.dtype], 1)

    def inner(length: Dim, pointers: list[str], steps: list[Dim]) -> None:
        if steps == [1, 1]:
            columns(frame, length, lanes, lambda index, width: frame.store(
                frame.load(frame.step(pointers[0], source.dtype, index), source.dtype, width),
                frame.step(pointers[1], source.dtype, index),
            ))  # fmt: skip
            return
        frame.loop(length, lambda index: frame.store(
            frame.load(frame.step(pointers[0], source.dtype, frame.f.times(index, frame.dim(steps[0]))), source.dtype),
            frame.step(pointers[1], source.dtype, frame.f.times(index, frame.dim(steps[1]))),
        ))  # fmt: skip

    walk(frame, dims, [source, target], [a, b], inner)


def fill_nest(frame: Frame, target: View, number: Any) -> None:
    """Set every element of a contiguous view to one number."""
    dims, (steps,) = collapse(target.shape, [list(target.strides)])
    value = Value(literal(number, target.dtype), target.dtype, 1)

    def inner(length: Dim, pointers: list[str], strides: list[Dim]) -> None:
        frame.loop(length, lambda index: frame.store(
            value, frame.step(pointers[0], target.dtype, frame.f.times(index, frame.dim(strides[0])))
        ))  # fmt: skip

    walk(frame, dims, [target], [steps], inner)
