"""The schedule: which nodes form one loop nest, and in which order the nests run.

Elementwise nodes of one shape that need nothing in between are computed in one pass over their elements, in registers.
Everything else (products, reductions, gathers, loops) is a stage of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chainrule.graph import Graph, Node
from chainrule.graph.structural import STRUCTURAL

ALIASES = ("reshape", "broadcast", "transpose", "slice")


def is_elementwise(node: Node) -> bool:
    return node.op.kind == "elementwise" or node.op.name == "random_bits"


def joins(operand: Node, node: Node, place: int) -> bool:
    """Can a node read this operand in a register, element by element? (The key of random bits is read as a whole.)"""
    key = node.op.name == "random_bits" and place == 0
    return is_elementwise(node) and is_elementwise(operand) and operand.shape == node.shape and not key


def is_leaf(node: Node) -> bool:
    return node.op.name in ("input", "constant", "captured")


def is_alias(node: Node) -> bool:
    return node.op.name in (*ALIASES, "result")


@dataclass
class Stage:
    """One step of the schedule: a fused loop nest over elementwise nodes, or one other node."""

    nodes: list[Node]
    fused: bool
    stored: set[Node] = field(default_factory=set)


def make_schedule(graph: Graph) -> list[Stage]:
    """Return the stages of a graph in an order in which every operand is there before it is read."""
    level: dict[Node, int] = {}
    users: dict[Node, list[Node]] = {}
    outputs = set(graph.outputs)
    for node in graph.nodes:
        for operand in node.operands:
            users.setdefault(operand, []).append(node)

    absorbed = _absorbed(graph, users, outputs)
    into: dict[Node, Node] = {node: reduction for reduction, nodes in absorbed.items() for node in nodes}

    def ready(node: Node) -> int:
        """The level from which a node's elements are in memory."""
        return level[node] + 1 if is_elementwise(node) else level[node]

    stages: dict[Any, Stage] = {}
    for place, node in enumerate(graph.nodes):
        if is_leaf(node) or node in into:
            level[node] = 0
        elif is_elementwise(node):
            level[node] = max(
                (level[o] if joins(o, node, i) else ready(o) for i, o in enumerate(node.operands)), default=0
            )
            stages.setdefault((level[node], 1, str(node.shape)), Stage([], True)).nodes.append(node)
        else:
            inner = absorbed.get(node, [])
            level[node] = max((ready(o) for part in (node, *inner) for o in part.operands if o not in into), default=0)
            if not is_alias(node):
                stages[level[node], 0, place] = Stage([*inner, node], False)
    group = {node: key for key, stage in stages.items() for node in stage.nodes}
    for key, stage in stages.items():
        if stage.fused:
            stage.stored = {
                node for node in stage.nodes
                if node in outputs or any(
                    group.get(u) != key or not all(joins(o, u, i) for i, o in enumerate(u.operands) if o is node)
                    for u in users.get(node, [])
                )
            }  # fmt: skip
    order = sorted(stages, key=lambda k: (k[0], k[1], k[2] if k[1] == 0 else 0))
    return [stages[key] for key in order]


REDUCTIONS = ("sum", "max", "min", "all")


def _absorbed(graph: Graph, users: Mapping[Node, list[Node]], outputs: set[Node]) -> dict[Node, list[Node]]:
    """Return, for each reduction, the elementwise nodes that only it reads: it computes them on its way."""
    taken: set[Node] = set()
    result: dict[Node, list[Node]] = {}
    for reduction in graph.nodes:
        if reduction.op.name not in REDUCTIONS:
            continue
        mine: set[Node] = set()
        stack = [reduction.operands[0]]
        while stack:
            node = stack.pop()
            only = all(u is reduction or u in mine for u in users[node])
            if not is_elementwise(node) or node in outputs or node in taken or node in mine or not only:
                continue
            mine.add(node)
            stack.extend(o for i, o in enumerate(node.operands) if joins(o, node, i))
        if reduction.operands[0] in mine:
            result[reduction] = [node for node in graph.nodes if node in mine]
            taken |= mine
    return result


def unsupported(graph: Graph, known: Mapping[str, Any]) -> str:
    """Return the name of the first operation that cannot be compiled, or ''."""
    for node in graph.nodes:
        name = node.op.name
        if name in STRUCTURAL or is_alias(node) or name in known:
            continue
        if is_elementwise(node) and (name == "random_bits" or getattr(node.op, "lower", None) is not None):
            continue
        return name
    return ""
