"""The cut by use: a parameter that is read in several places, or in every trip of a loop, has a part for each.

∂E/∂w = Σ over the uses of ∂E/∂(what this use reads): as if each use had a copy of its own. Tied weights, and those of
recurrent networks, which are read once a time step, are told apart by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.calculus import backward
from chainrule.execute import REFERENCE
from chainrule.explanation.scene import Scene, Traced
from chainrule.explanation.waypoints import fixed
from chainrule.graph import Graph, Node, depends_on, make_constant, make_input, topological

Array = np.ndarray[Any, Any]
SAME = ("broadcast", "reshape", "transpose", "cast", "named")
"""Operations that hand the same numbers on: a parameter's only reader of this kind is not yet a use of it."""


@dataclass(frozen=True)
class UsePart:
    """What one use of a parameter adds to a derivative; ``trip`` is the time step, where that is in a loop."""

    label: str
    part: float
    trip: int | None = None


def parts_by_use(scene: Scene, name: str, index: tuple[int, ...]) -> tuple[UsePart, ...]:
    """Return a part for each use of a parameter, over all rows; none where it is read in one place, once."""
    traced = scene.all_rows
    if name not in traced.parameters:
        return ()
    source = traced.parameters[name]
    read = _handed_on(source, traced.graph.nodes)
    places = [(n, i) for n in traced.graph.nodes for i, o in enumerate(n.operands) if o is read]
    if len(places) < 2 and not any(_in_loop(*place) for place in places):
        return ()
    (value,) = REFERENCE.run(Graph(traced.graph.inputs, (read,)), traced.arrays)
    fresh, end, end_names = _apart(traced, places, read)
    slopes = backward([end], [make_constant(1.0)], fresh)
    wanted = [slope for slope in slopes if slope is not None]
    given = [np.broadcast_to(value, fixed(node.shape)) for node in fresh]
    inputs = (*traced.graph.inputs, *fresh)
    found = iter(REFERENCE.run(Graph(inputs, tuple(wanted)), [*traced.arrays, *given]))
    pull = _pulled(traced, source, read, index)
    parts = []
    for number, ((reader, position), node, slope) in enumerate(zip(places, fresh, slopes, strict=True), 1):
        array = np.zeros(fixed(node.shape)) if slope is None else np.asarray(next(found))
        behind = next((n for n, point in end_names.items() if point in depends_on([point], [node])), "")
        label = f"use {number}" + (f", on the way to {behind}" if behind else "")
        if _in_loop(reader, position):
            ahead = f"{label}: " if len(places) > 1 else ""
            parts += [UsePart(f"{ahead}time step {t}", pull(array[t]), t) for t in range(len(array))]
        else:
            parts.append(UsePart(label, pull(array)))
    return tuple(parts)


def _handed_on(source: Node, nodes: Sequence[Node]) -> Node:
    """Return the last of the values that hand the source's numbers on, one to one reader."""
    read = source
    while True:
        readers = [n for n in nodes if any(o is read for o in n.operands)]
        if len(readers) != 1 or readers[0].op.name not in SAME:
            return read
        (read,) = readers


def _in_loop(reader: Node, position: int) -> bool:
    """Is the operand read by the body of a scan from outside, and so in each of its trips?"""
    return (
        reader.op.name == "scan" and position >= reader.attributes["carries"] + reader.attributes["sequences"]
    )  # fmt: skip


def _apart(
    traced: Traced, places: Sequence[tuple[Node, int]], read: Node
) -> tuple[list[Node], Node, Mapping[str, Node]]:
    """Rebuild the loss with a fresh input for each use; in a loop it is a sequence with a copy for each trip.

    Returned are these inputs, the loss, and the named values by name.
    """
    fresh: list[Node] = []
    own: dict[tuple[int, int], Node] = {}
    for reader, position in places:
        trips = (reader.attributes["length"],) if _in_loop(reader, position) else ()
        copy = make_input(read.type.with_shape((*trips, *read.shape)), "use")
        fresh.append(copy)
        own[id(reader), position] = copy
    ends = [*traced.graph.outputs, *traced.points.values()]
    new: dict[Node, Node] = {}
    for node in topological(ends):
        operands = [own.get((id(node), i), new.get(o, o)) for i, o in enumerate(node.operands)]
        if all(a is b for a, b in zip(operands, node.operands, strict=True)):
            continue
        attributes = node.attributes
        if looped := [i for i in range(len(operands)) if (id(node), i) in own and _in_loop(node, i)]:
            operands, attributes = _as_sequences(node, operands, looped)
        new[node] = Node(node.op, tuple(operands), attributes, node.type, node.provenance)
    end = traced.graph.outputs[0]
    return fresh, new.get(end, end), {name: new.get(point, point) for name, point in traced.points.items()}


def _as_sequences(node: Node, operands: list[Node], looped: list[int]) -> tuple[list[Node], dict[str, Any]]:
    """Let a scan read some of what it reads from outside as sequences, an element in each trip."""
    begin = node.attributes["carries"] + node.attributes["sequences"]
    order = [*range(begin), *looped, *(i for i in range(begin, len(operands)) if i not in looped)]
    body: Graph = node.attributes["body"]
    inner = Graph(tuple(body.inputs[i] for i in order), body.outputs)
    attributes = {**node.attributes, "body": inner, "sequences": node.attributes["sequences"] + len(looped)}
    return [operands[i] for i in order], attributes


def _pulled(traced: Traced, source: Node, read: Node, index: tuple[int, ...]) -> Any:
    """Return how a derivative by what is read becomes one by the source's element."""
    if read is source:
        return lambda slope: float(slope[index])
    g = make_input(read.type, "g")
    (pulled,) = backward([read], [g], [source])
    assert pulled is not None
    graph = Graph((*traced.graph.inputs, g), (pulled,))

    def pull(slope: Array) -> float:
        return float(np.asarray(REFERENCE.run(graph, [*traced.arrays, slope])[0])[index])

    return pull
