"""Graph: inputs, outputs, names, and the nodes between them in topological order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from chainrule.errors import GraphError
from chainrule.graph.node import Node
from chainrule.graph.structural import INPUT
from chainrule.graph.tree import Structure


@dataclass(frozen=True, eq=False)
class Graph:
    """A computation: what goes in, what comes out, and what the values between are called.

    ``names`` maps a name to a node; several names may mean one node. ``takes`` and ``gives`` are the nestings of the
    function's arguments and of its result, kept so that a graph can be called like the function that it came from.
    """

    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]
    names: Mapping[str, Node] = field(default_factory=dict)
    takes: Structure | None = None
    gives: Structure | None = None

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """All nodes that the inputs and outputs need, operands before their users."""
        return tuple(topological(self.outputs, first=self.inputs))

    @cached_property
    def free(self) -> tuple[Node, ...]:
        """Inputs of an enclosing trace that this graph reads: a graph with free inputs cannot be run by itself."""
        mine = set(self.inputs)
        return tuple(node for node in self.nodes if node.op is INPUT and node not in mine)

    @cached_property
    def labels(self) -> dict[Node, str]:
        """A short text for every node: its name where it has one, else ``%0``, ``%1``, … in order."""
        found: dict[Node, str] = {}
        for name, node in self.names.items():
            found.setdefault(node, name)
        taken = set(found.values())
        count = 0
        for node in self.nodes:
            if node in found:
                continue
            if node.op is INPUT:
                label = str(node.attributes["label"])
                if label not in taken:
                    taken.add(label)
                    found[node] = label
                    continue
            found[node] = f"%{count}"
            taken.add(found[node])
            count += 1
        return found

    def __len__(self) -> int:
        return len(self.nodes)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __str__(self) -> str:
        from chainrule.graph.show import show_graph

        return show_graph(self)

    def to_json(self) -> dict[str, Any]:
        """Return the graph as plain JSON data; ``chainrule.graph_from_json`` reads it back."""
        from chainrule.graph.store import graph_to_json

        return graph_to_json(self)

    def __copy__(self) -> Graph:
        return self  # it never changes

    def __deepcopy__(self, memo: dict[int, Any]) -> Graph:
        return self


def topological(outputs: Iterable[Node], first: Iterable[Node] = ()) -> list[Node]:
    """Return all nodes that the outputs need, operands before users, without recursion (graphs may be deep)."""
    order: list[Node] = []
    done: set[Node] = set()
    for node in first:
        if node not in done:
            done.add(node)
            order.append(node)
    for output in outputs:
        if output in done:
            continue
        stack: list[tuple[Node, int]] = [(output, 0)]
        open_nodes = {output}
        while stack:
            node, position = stack.pop()
            if position < len(node.operands):
                stack.append((node, position + 1))
                operand = node.operands[position]
                if operand not in done:
                    if operand in open_nodes:
                        raise GraphError(f"the graph has a cycle through {operand.op.name}")
                    open_nodes.add(operand)
                    stack.append((operand, 0))
            elif node not in done:
                done.add(node)
                order.append(node)
                open_nodes.discard(node)
    return order


def depends_on(outputs: Iterable[Node], sources: Iterable[Node]) -> set[Node]:
    """Return the nodes, among those that the outputs need, whose value depends on one of the sources (included)."""
    reached = set(sources)
    for node in topological(outputs):
        if any(operand in reached for operand in node.operands):
            reached.add(node)
    return reached


def substitute(outputs: Sequence[Node], replacement: Mapping[Node, Node]) -> list[Node]:
    """Rebuild outputs with some nodes replaced by others of the same type; what does not depend on them is kept."""
    for old, new in replacement.items():
        if old.type != new.type:
            raise GraphError(f"cannot put {new.type} in the place of {old.type}")
    new_of: dict[Node, Node] = dict(replacement)
    for node in topological(outputs, first=replacement):
        if node in new_of:
            continue
        operands = tuple(new_of.get(o, o) for o in node.operands)
        if any(a is not b for a, b in zip(operands, node.operands, strict=True)):
            new_of[node] = Node(node.op, operands, node.attributes, node.type, node.provenance)
    return [new_of.get(o, o) for o in outputs]


def inline(graph: Graph, arguments: Sequence[Node]) -> list[Node]:
    """Return the graph's outputs with its inputs replaced by the given nodes."""
    if len(arguments) != len(graph.inputs):
        raise GraphError(f"the graph takes {len(graph.inputs)} inputs, {len(arguments)} were given")
    return substitute(graph.outputs, dict(zip(graph.inputs, arguments, strict=True)))
