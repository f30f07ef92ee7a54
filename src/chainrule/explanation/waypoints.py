"""Waypoints, and the local derivatives between them.

A waypoint is a value that somebody named: a layer's net input or its output, a unit, the loss. An *edge* leads from one
waypoint to the next; its factors are the entries of a Jacobian, the derivatives of every element of the one by every
element of the other while all other waypoints are held fixed. Products along a path of edges, added over all paths,
are the derivative (the chain rule), whichever waypoints were chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from chainrule.calculus import backward
from chainrule.execute import REFERENCE
from chainrule.graph import Backward, Graph, Node, Shape, depends_on, make_constant, make_input, topological

Array = np.ndarray[Any, Any]
SOURCE = -1
"""The number of the source among the waypoints: where all paths begin."""
Misread = Mapping[Node, Array]
"""Values that the backward computation reads in the place of some parameters: see mistake.py."""
SIMPLE = ("elementwise", "contraction", "reduction", "structural")
"""Where a value of one row is made by such operations alone, each of its elements depends on every element before."""
PROBES = 3


@dataclass(frozen=True, eq=False)
class Waypoint:
    """A value on the way: its name, its node in the graph, and what it is."""

    name: str
    node: Node
    value: Array

    @property
    def size(self) -> int:
        return int(self.value.size)


@dataclass(frozen=True, eq=False)
class Edge:
    """The local derivatives of one waypoint by another: ``factors`` is [elements of the end, elements of the start].

    Where each element depends on its own predecessor alone, the factors are a vector, the diagonal. ``present`` says
    where there is a way at all (None: everywhere): a factor may be 0 by chance, as behind a relu that is closed.
    ``use`` is the operand that reads the start, where that is told apart.
    """

    start: int
    end: int
    factors: Array
    present: Array | None = None
    use: str = ""

    @property
    def is_diagonal(self) -> bool:
        return self.factors.ndim == 1

    def ways(self) -> Array:
        """Return 1 wherever there is a way, else 0."""
        return np.ones(self.factors.shape, int) if self.present is None else self.present.astype(int)


@dataclass(eq=False)
class Trail:
    """All ways from one element of a value (the source) to one number (the end), by way of waypoints.

    ``graph`` has the end as its only output; ``arrays`` are its inputs; ``source`` is one of its inputs or waypoints,
    and ``index`` an element of it. ``points`` are the waypoints by name, the end not among them. With ``singly`` each
    waypoint is one operation, and what it reads twice it has two edges for.
    """

    graph: Graph
    arrays: Sequence[Array]
    points: Mapping[str, Node]
    source: Node
    index: tuple[int, ...]
    singly: bool = False
    end_name: str = "E"
    misread: Misread = field(default_factory=dict)
    _stands_for: dict[Node, Node] = field(default_factory=dict)

    @property
    def end(self) -> Node:
        return self.graph.outputs[0]

    @cached_property
    def values(self) -> dict[Node, Any]:
        """The value of every node of the graph."""
        return REFERENCE.run_all(self.graph, self.arrays)

    @cached_property
    def waypoints(self) -> list[Waypoint]:
        """The waypoints on the way from the source to the end, in order; the end is the last."""
        after = depends_on([self.end], [self.source])
        names = {node: name for name, node in reversed(list(self.points.items()))}
        found = [
            Waypoint(names[node], node, np.asarray(self.values[node], np.float64))
            for node in topological([self.end])
            if node in names and node in after and node is not self.source and node is not self.end
            and node.type.is_float
        ]  # fmt: skip
        return [*found, Waypoint(self.end_name, self.end, np.asarray(self.values[self.end], np.float64))]

    @cached_property
    def edges(self) -> list[Edge]:
        """All edges; those that end at a waypoint come after those that end at the waypoints before it."""
        place = {point.node: i for i, point in enumerate(self.waypoints)}
        stops = {node: self._stand_in(node) for node in place}
        return [edge for i, point in enumerate(self.waypoints) for edge in self._edges_to(i, point, place, stops)]

    def _stand_in(self, node: Node) -> Node:
        fresh = make_input(node.type, "waypoint")
        self._stands_for[fresh] = node
        return fresh

    def _edges_to(self, end: int, point: Waypoint, place: Mapping[Node, int], stops: Mapping[Node, Node]) -> list[Edge]:
        """Return the edges into a waypoint: it is computed again from inputs that stand for the waypoints before it."""
        wires: list[tuple[int, Node, str]] = []
        new: dict[Node, Node] = {}

        def read(node: Node, position: int, operand: Node) -> Node:
            names = node.op.operands
            use = names[position] if position < len(names) else str(position)
            if operand is self.source or (self.singly and operand in stops):  # each use has an input of its own
                fresh = self._stand_in(operand)
                wires.append((SOURCE if operand is self.source else place[operand], fresh, use))
                return fresh
            return stops[operand] if operand in stops else new.get(operand, operand)

        for node in self._behind(point.node, stops):
            operands = tuple(read(node, i, o) for i, o in enumerate(node.operands))
            same = all(a is b for a, b in zip(operands, node.operands, strict=True))
            new[node] = node if same else Node(node.op, operands, node.attributes, node.type, node.provenance)
        out = new[point.node]
        inside = set(topological([out]))
        if not self.singly:
            wires += [(place[node], fresh, "") for node, fresh in stops.items() if fresh in inside]
        return self._edges(end, out, wires)

    def _behind(self, node: Node, stops: Mapping[Node, Node]) -> list[Node]:
        """Return what a waypoint is computed by, from the waypoints before it on."""
        found: set[Node] = {node}
        stack = [node]
        while stack:
            for operand in stack.pop().operands:
                if operand not in found and operand not in stops and operand is not self.source:
                    found.add(operand)
                    stack.append(operand)
        return [n for n in self.graph.nodes if n in found]

    def _edges(self, end: int, out: Node, wires: Sequence[tuple[int, Node, str]]) -> list[Edge]:
        g = make_input(out.type, "g")
        pulled = misreading(backward([out], [g], [fresh for _, fresh, _ in wires]), self.misread)
        known = [(*wire, piece) for wire, piece in zip(wires, pulled, strict=True) if piece is not None]
        result = [self._first(end, piece, g, fresh, use) for start, fresh, use, piece in known if start == SOURCE]
        between = [wire for wire in known if wire[0] != SOURCE]
        by_one = [wire for wire in between if is_diagonal(out, wire[1])]
        if by_one:
            rows = self._computed([w[3] for w in by_one], [g])({g: np.ones(fixed(out.shape), out.dtype)})
            result += [Edge(w[0], end, row, use=w[2]) for w, row in zip(by_one, rows, strict=True)]
        by_all = []
        for wire in [wire for wire in between if not is_diagonal(out, wire[1])]:
            weight = multiplied_by(out, wire[1])
            if weight is not None and weight in self.values:  # of x W + b the Jacobian is Wᵀ
                read = self.misread.get(weight, self.values[weight])
                result.append(Edge(wire[0], end, np.asarray(read, np.float64).T, use=wire[2]))
            else:
                by_all.append(wire)
        if by_all:
            pieces = [w[3] for w in by_all]
            blocks = self._jacobians(out, g, pieces)
            ways = self._ways(out, g, pieces, blocks)
            result += [Edge(w[0], end, block, way, w[2]) for w, block, way in zip(by_all, blocks, ways, strict=True)]
        return result

    def _jacobians(
        self, out: Node, g: Node, pieces: Sequence[Node], moved: Mapping[Node, Array] | None = None
    ) -> list[Array]:
        """Pull one unit vector after another back."""
        size = prod(fixed(out.shape))
        compute = self._computed(pieces, [g])
        units = np.eye(size, dtype=out.dtype).reshape(size, *fixed(out.shape))
        rows = [compute({g: unit, **(moved or {})}) for unit in units]
        return [np.stack(block) for block in zip(*rows, strict=True)]

    def _ways(self, out: Node, g: Node, pieces: Sequence[Node], blocks: Sequence[Array]) -> list[Array | None]:
        """Return where there is a way: where a factor is not 0, here or at other values of everything."""
        inner = topological([out])
        one_row = all(node.shape[:1] in ((), (1,)) for node in inner if node in self._stands_for) and out.shape[:1] in (
            (), (1,),
        )  # fmt: skip
        if one_row and all(node.op.kind in SIMPLE or node.op.name in ("broadcast", "reshape") for node in inner):
            return [None] * len(blocks)
        found = [~(block == 0) for block in blocks]
        for moved in self._elsewhere(pieces, g):
            found = [a | ~(b == 0) for a, b in zip(found, self._jacobians(out, g, pieces, moved), strict=True)]
        return [None if np.all(way) else way for way in found]

    def _first(self, end: int, piece: Node, g: Node, fresh: Node, use: str) -> Edge:
        """Return the edge from the source's element."""
        size = prod(fixed(g.shape))
        changed = pushed(piece, g, fresh, self.index)
        if changed is None:
            return Edge(SOURCE, end, np.zeros((size, 1)), np.zeros((size, 1), bool), use)
        compute, zero = self._computed([changed], [g]), {g: np.zeros(fixed(g.shape), g.dtype)}
        (found,) = compute(zero)
        way = ~(found == 0)
        for moved in self._elsewhere([changed], g):
            way |= ~(compute({**zero, **moved})[0] == 0)
        return Edge(SOURCE, end, found[:, None], None if np.all(way) else way[:, None], use)

    def _elsewhere(self, outputs: Sequence[Node], g: Node) -> Iterator[dict[Node, Array]]:
        """Give other values of everything, to tell a factor that is 0 by chance from one that always is."""
        rng = np.random.default_rng(0)
        nodes = topological(outputs)
        # What is read as the number of a category has no other values between.
        held = {g, *topological([node for node in nodes if node.op.name == "checked_index"])}
        inputs = [i for i in nodes if i.op.name == "input" and i.type.is_float and i not in held]
        for low in (0.1, *[-1.0] * (PROBES - 1)):
            yield {i: np.asarray(rng.uniform(low, 1.0, fixed(i.shape)), i.dtype) for i in inputs}

    def _computed(self, outputs: Sequence[Node], more: Sequence[Node]) -> Callable[[Mapping[Node, Array]], list[Array]]:
        """Return a function that computes nodes as vectors, every input at its value here but for those given."""
        inputs = [node for node in topological(outputs) if node.op.name == "input"]
        graph = Graph((*inputs, *(m for m in more if m not in set(inputs))), tuple(outputs))
        given_before = dict(zip(self.graph.inputs, self.arrays, strict=True))

        def known(node: Node) -> Array:
            value = self.values[self._stands_for[node]] if node in self._stands_for else given_before[node]
            return np.asarray(value, node.dtype)

        def compute(given: Mapping[Node, Array]) -> list[Array]:
            arrays = [given[node] if node in given else known(node) for node in graph.inputs]
            return [np.asarray(v, np.float64).reshape(-1) for v in REFERENCE.run_prepared(graph, arrays)]

        return compute


def pushed(pulled: Node, g: Node, source: Node, index: tuple[int, ...]) -> Node | None:
    """Return how a value changes as one element of another does: Jᵀ g is linear in g, so J v is its derivative.

    None stands for 0.
    """
    unit = np.zeros(fixed(source.shape), source.dtype)
    unit[index] = 1
    (changed,) = backward([pulled], [make_constant(unit)], [g])
    return changed


def misreading(derivatives: Sequence[Node | None], misread: Misread) -> list[Node | None]:
    """Let a backward computation read other values of some parameters; nothing else is changed."""
    if not misread:
        return list(derivatives)
    other = {node: make_constant(np.asarray(value, node.dtype)) for node, value in misread.items()}
    new: dict[Node, Node] = {}
    for node in topological([d for d in derivatives if d is not None]):
        reads = other if isinstance(node.provenance, Backward) else {}
        operands = tuple(reads.get(o, new.get(o, o)) for o in node.operands)
        if any(a is not b for a, b in zip(operands, node.operands, strict=True)):
            new[node] = Node(node.op, operands, node.attributes, node.type, node.provenance)
    return [None if d is None else new.get(d, d) for d in derivatives]


def changes_by(
    graph: Graph, arrays: Sequence[Array], values: Sequence[Node], source: Node, index: tuple[int, ...],
    misread: Misread | None = None,
) -> list[Array]:  # fmt: skip
    """Return the derivatives of every element of some values by one element of another, with all else computed on."""
    gs = [make_input(value.type, "g") for value in values]
    (pulled,) = misreading(backward(values, gs, [source]), misread or {})
    changed: Sequence[Node | None] = [None] * len(values)
    if pulled is not None:
        unit = np.zeros(fixed(source.shape), source.dtype)
        unit[index] = 1
        changed = backward([pulled], [make_constant(unit)], gs)
    zeros = [np.zeros(fixed(value.shape), value.dtype) for value in values]
    outputs = tuple(change for change in changed if change is not None)
    found = iter(REFERENCE.run(Graph((*graph.inputs, *gs), outputs), [*arrays, *zeros]))
    return [zero if change is None else np.asarray(next(found)) for zero, change in zip(zeros, changed, strict=True)]


def multiplied_by(out: Node, start: Node) -> Node | None:
    """Return W where a value is x W plus what does not depend on x, and x is one row; else None."""
    after = depends_on([out], [start])
    node = out
    while node.op.name in ("named", "add"):
        inner = [operand for operand in node.operands if operand in after]
        if len(inner) != 1:
            return None
        (node,) = inner
    whole = node.op.name == "matmul" and node.operands[0] is start and node.operands[1] not in after
    return node.operands[1] if whole and start.shape[:1] == (1,) and node.shape == out.shape else None


def derivative_by(graph: Graph, arrays: Sequence[Array], node: Node, misread: Misread | None = None) -> Array:
    """Return the derivative of a graph's one output by a node; zeros where it does not depend on it."""
    return derivatives_by(graph, arrays, [node], misread)[0]


def derivatives_by(
    graph: Graph, arrays: Sequence[Array], nodes: Sequence[Node], misread: Misread | None = None
) -> list[Array]:
    """Return the derivatives of a graph's one output by several nodes, by one backward computation."""
    slopes = misreading(backward(graph.outputs, [make_constant(1.0)], nodes), misread or {})
    found = iter(REFERENCE.run(Graph(graph.inputs, tuple(s for s in slopes if s is not None)), arrays))
    return [
        np.zeros(fixed(node.shape)) if slope is None else np.asarray(next(found))
        for node, slope in zip(nodes, slopes, strict=True)
    ]


def fixed(shape: Shape) -> tuple[int, ...]:
    """Return a shape whose lengths are all known: explanations trace the rows that they are about."""
    assert all(isinstance(d, int) for d in shape), shape
    return tuple(d for d in shape if isinstance(d, int))


def is_diagonal(out: Node, start: Node) -> bool:
    """Does every element of a value depend on its own element of another alone?"""
    if out.shape != start.shape or out.shape == ():
        return False
    after = depends_on([out], [start])
    return all(
        node is start or (node.op.kind == "elementwise" and node.shape == out.shape)
        for node in topological([out]) if node in after
    )  # fmt: skip
