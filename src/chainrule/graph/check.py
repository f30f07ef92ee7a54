"""Type-check a graph: every node's type is inferred anew and compared; a failure prints the lines around it."""

from __future__ import annotations

from chainrule.errors import ChainruleError, GraphError
from chainrule.graph.graph import Graph
from chainrule.graph.node import Node
from chainrule.graph.structural import INPUT


def check_graph(graph: Graph, after: str = "") -> Graph:
    """Return the graph if it is well formed; raise GraphError naming the pass and the ten lines around the fault."""
    try:
        nodes = graph.nodes
    except GraphError as error:
        raise GraphError(f"{_prefix(after)}{error}") from None
    if len(set(graph.inputs)) != len(graph.inputs):
        raise GraphError(f"{_prefix(after)}an input is listed twice")
    for node in graph.inputs:
        if node.op is not INPUT:
            raise GraphError(f"{_prefix(after)}{node!r} is listed as an input and is not one")
    known = set(nodes)
    for name, node in graph.names.items():
        if node not in known:
            raise GraphError(f"{_prefix(after)}the name {name!r} points outside the graph")
    for node in nodes:
        problem = _problem(node)
        if problem:
            raise GraphError(f"{_prefix(after)}{problem}\n{_neighbours(graph, node)}")
        for value in node.attributes.values():
            if isinstance(value, Graph):
                if value.free:
                    raise GraphError(f"{_prefix(after)}the body of {node.op.name} reads values from outside it")
                check_graph(
                    value, f"{after}, in the body of {node.op.name}" if after else f"the body of {node.op.name}"
                )
    return graph


def _prefix(after: str) -> str:
    return f"after {after}: " if after else ""


def _problem(node: Node) -> str:
    op = node.op
    if not op.variadic and len(node.operands) != len(op.operands):
        return f"{op.name} takes {len(op.operands)} operands ({', '.join(op.operands)}), it has {len(node.operands)}"
    try:
        inferred = op.infer(node.operands, node.attributes)
    except (ChainruleError, KeyError) as error:
        return f"{op.name}: {error}"
    if inferred != node.type:
        return f"{op.name} should give {inferred}, the node says {node.type}"
    return ""


def _neighbours(graph: Graph, node: Node) -> str:
    from chainrule.graph.show import show_node

    position = next(i for i, other in enumerate(graph.nodes) if other is node)  # == on nodes is an operation
    lines = []
    for i in range(max(0, position - 5), min(len(graph.nodes), position + 5)):
        mark = ">>" if i == position else "  "
        lines.append(f"{mark} {show_node(graph.nodes[i], graph.labels)}")
    return "\n".join(lines)
