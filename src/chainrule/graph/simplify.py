"""Simplify a graph for those who run it: merge equal nodes, fold constants, drop dead nodes, apply identities.

A rewriting is admitted only if it is exact to the bit for ±0, NaN and ±Inf (so ``x·0 → 0`` and ``x + 0 → x`` are not
here: −0 + 0 is +0). Explanations read the graph as it was traced; only executors read the simplified one. The pass
returns the new graph and, for every old node, the node that now carries its value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from chainrule.graph.graph import Graph
from chainrule.graph.node import Node
from chainrule.graph.structural import CAPTURE_BYTES, CONSTANT, INPUT, make_constant
from chainrule.graph.types import Rows, Type


def simplify(graph: Graph) -> tuple[Graph, dict[Node, Node]]:
    """Return ``(simplified graph, old node → new node)``; dead nodes have no entry that the new graph reaches."""
    new_of: dict[Node, Node] = {}
    known: dict[Any, Node] = {}
    for node in graph.nodes:
        new_of[node] = _simplified(node, new_of, known)
    return (
        Graph(
            graph.inputs,
            tuple(new_of[o] for o in graph.outputs),
            _live_names(graph, new_of),
            graph.takes,
            graph.gives,
        ),
        new_of,
    )


def _live_names(graph: Graph, new_of: Mapping[Node, Node]) -> dict[str, Node]:
    live = set(Graph(graph.inputs, tuple(new_of[o] for o in graph.outputs)).nodes)
    return {name: new_of[node] for name, node in graph.names.items() if new_of[node] in live}


def _simplified(node: Node, new_of: Mapping[Node, Node], known: dict[Any, Node]) -> Node:
    if node.op is INPUT or node.op.name == "captured":
        return node
    operands = tuple(new_of[o] for o in node.operands)
    attributes = {k: simplify(v)[0] if isinstance(v, Graph) else v for k, v in node.attributes.items()}
    changed = any(a is not b for a, b in zip(operands, node.operands, strict=True)) or any(
        attributes[k] is not v for k, v in node.attributes.items()
    )
    new = Node(node.op, operands, attributes, node.type, node.provenance) if changed else node
    rule = IDENTITIES.get(node.op.name)
    replaced = rule(new) if rule is not None else None
    if replaced is not None:
        return replaced
    folded = _fold(new)
    return known.setdefault(_key(folded), folded)


def _key(node: Node) -> Any:
    """Two nodes with this same key have the same value: same operation, operands, and attributes to the byte."""
    return (
        node.op.name,
        id(node.op),
        tuple(id(o) for o in node.operands),
        tuple((k, _typed(v)) for k, v in sorted(node.attributes.items())),
    )


def _typed(value: Any) -> Any:
    """Return a hashable stand-in that tells 0.0 from −0.0, 2 from 2.0, and True from 1."""
    if isinstance(value, np.ndarray):
        return (value.dtype.str, value.shape, value.tobytes())
    if isinstance(value, float):
        return ("float", np.float64(value).tobytes())
    if isinstance(value, tuple | list):
        return tuple(_typed(v) for v in value)
    if isinstance(value, Graph):
        return id(value)
    if isinstance(value, str | int | bool | Rows | Type) or value is None:
        return (type(value).__name__, value)
    return id(value)


def _fold(node: Node) -> Node:
    """Compute a node of constants now, where the result is small; the reference would compute the same bits later."""
    if node.op is CONSTANT or node.op.kind in ("structural", "region") or not isinstance(node.type, Type):
        return node
    if node.op.kind == "view" or not all(o.op is CONSTANT for o in node.operands):
        # A view of a literal costs nothing, identities look through it, and a copy of it in another memory order would
        # make a BLAS round a product differently.
        return node
    if node.type.is_symbolic or _elements(node.type) * 8 > CAPTURE_BYTES:
        return node
    if any(isinstance(d, Rows) for v in node.attributes.values() if isinstance(v, tuple) for d in v):
        return node
    with np.errstate(all="ignore"):
        value = node.op.evaluate(*(o.attributes["value"] for o in node.operands), **node.attributes)
    return make_constant(value, node.provenance)


def _elements(kind: Type) -> int:
    return int(np.prod([d for d in kind.shape if isinstance(d, int)], dtype=np.int64))


def _is_all(node: Node, test: Callable[[Any], Any]) -> bool:
    """Is this a literal, possibly broadcast, all of whose elements pass the test?"""
    while node.op.name in ("broadcast", "reshape"):
        node = node.operands[0]
    return node.op is CONSTANT and bool(np.all(test(node.attributes["value"])))


def _is_one(node: Node) -> bool:
    return _is_all(node, lambda v: v == 1)


def _multiply(node: Node) -> Node | None:
    a, b = node.operands
    return a if _is_one(b) else b if _is_one(a) else None  # x·1 -> x


def _divide(node: Node) -> Node | None:
    return node.operands[0] if _is_one(node.operands[1]) else None  # x/1 -> x


def _add(node: Node) -> Node | None:
    def negative_zero(v: Any) -> Any:
        return (v == 0) & np.signbit(v) if v.dtype.kind == "f" else v == 0

    a, b = node.operands
    return a if _is_all(b, negative_zero) else b if _is_all(a, negative_zero) else None  # x + (−0) -> x


def _subtract(node: Node) -> Node | None:
    def positive_zero(v: Any) -> Any:
        return (v == 0) & ~np.signbit(v) if v.dtype.kind == "f" else v == 0

    return node.operands[0] if _is_all(node.operands[1], positive_zero) else None  # x − (+0) -> x


def _negative(node: Node) -> Node | None:
    inner = node.operands[0]
    return inner.operands[0] if inner.op is node.op else None  # −(−x) -> x


def _same_type(node: Node) -> Node | None:
    return node.operands[0] if node.operands[0].type == node.type else None  # a view onto the same shape -> x


def _reshape(node: Node) -> Node | None:
    if (same := _same_type(node)) is not None:
        return same
    inner = node.operands[0]
    if inner.op is node.op:  # reshape(reshape x) -> reshape x
        flat = Node(node.op, inner.operands, node.attributes, node.type, node.provenance)
        again = _reshape(flat)
        return flat if again is None else again
    return None


def _transpose(node: Node) -> Node | None:
    axes = node.attributes["axes"]
    if tuple(axes) == tuple(range(len(axes))):
        return node.operands[0]  # axes in their order -> x
    inner = node.operands[0]
    if inner.op is node.op and all(inner.attributes["axes"][a] == i for i, a in enumerate(axes)):
        return inner.operands[0]  # (xᵀ)ᵀ -> x
    return None


def _where(node: Node) -> Node | None:
    condition, chosen, other = node.operands
    if chosen is other:
        return chosen  # where(c, x, x) -> x
    return chosen if _is_all(condition, lambda v: v) else other if _is_all(condition, lambda v: ~v) else None


def _operand(node: Node) -> Node:
    return node.operands[0]  # a name changes nothing


IDENTITIES: Mapping[str, Callable[[Node], Node | None]] = {
    "multiply": _multiply,
    "divide": _divide,
    "add": _add,
    "subtract": _subtract,
    "negative": _negative,
    "broadcast": _same_type,
    "cast": _same_type,
    "reshape": _reshape,
    "transpose": _transpose,
    "where": _where,
    "named": _operand,
}
