"""A graph as text: one node a line, operands by name, types as ``f32[n,4]``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from chainrule.graph.graph import Graph
from chainrule.graph.node import Node, result_types
from chainrule.graph.structural import INPUT
from chainrule.graph.types import Rows, Type, show_shape


def show_graph(graph: Graph, indent: str = "") -> str:
    labels = graph.labels
    lines = [f"{indent}graph({', '.join(f'{labels[i]}: {i.type}' for i in graph.inputs)}):"]
    mine = set(graph.inputs)
    lines += [show_node(node, labels, indent + "  ") for node in graph.nodes if node not in mine]
    lines.append(f"{indent}  return {', '.join(labels[o] for o in graph.outputs)}")
    return "\n".join(lines)


def show_node(node: Node, labels: Mapping[Node, str], indent: str = "") -> str:
    """Return one node as a line (with its body below it, where it is a region)."""
    types = ", ".join(map(str, result_types(node)))
    words = [node.op.name]
    bodies = []
    for key, value in node.attributes.items():
        if isinstance(value, Graph):
            bodies.append(f"{indent}  {key}:\n{show_graph(value, indent + '    ')}")
        elif node.op is not INPUT and not (node.op.name == "constant" and key != "value"):
            words.append(show_attribute(key, value, bare=node.op.name == "constant"))
    words += [labels.get(operand, "?") for operand in node.operands]
    return "\n".join([f"{indent}{labels.get(node, '?')} = {' '.join(words)} : {types}", *bodies])


def show_attribute(key: str, value: Any, bare: bool = False) -> str:
    if isinstance(value, np.ndarray):
        text = np.array2string(value, threshold=6, precision=9, separator=",").replace("\n", "")
        return text if bare else f"{key}={text}"
    if isinstance(value, tuple) and any(isinstance(v, Rows) for v in value):
        return f"{key}=({show_shape(value)})"
    if isinstance(value, Type):
        return f"{key}={value}"
    return f"{key}={value!r}".replace(" ", "")
