"""Regions as loops of machine code: their bodies are written into the kernel of the loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from chainrule.execute.native import nests
from chainrule.execute.native.layout import View
from chainrule.graph import Graph, Node, Type, result_types

if TYPE_CHECKING:
    from chainrule.execute.native.compile import Compiler


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
