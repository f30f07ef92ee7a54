"""Which results of a graph may be written over the inputs that they take the place of.

θ⁽ᵗ⁺¹⁾ can lie where θ⁽ᵗ⁾ lies if nothing reads θ⁽ᵗ⁾ any more: then a step of training needs half the memory, and half
of it has to be fetched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from chainrule.execute.native.schedule import is_alias, is_elementwise, make_schedule
from chainrule.graph import Graph, Node


def overwritable(graph: Graph, before: Mapping[int, Node]) -> set[int]:
    """Return which outputs, of those that are to follow an input, may be written over it.

    That is so where a nest computes the output, element by element, and every other reader of the input comes before
    that nest, or is part of it and reads the very element that it is about to write.
    """
    last: dict[Node, int] = {}
    place: dict[Node, int] = {}
    askew: dict[Node, int] = {}
    fused: set[Node] = set()
    for number, stage in enumerate(make_schedule(graph)):
        place.update(dict.fromkeys(stage.nodes, number))
        if stage.fused:
            fused.update(stage.nodes)
        for node in stage.nodes:
            for i, operand in enumerate(node.operands):
                source = _source(operand)
                last[source] = number
                alike = stage.fused and source is operand and is_elementwise(node) and operand.shape == node.shape
                if not alike or (node.op.name == "random_bits" and i == 0):
                    askew[source] = number
    ends = {_source(output) for output in graph.outputs}
    times = Counter(graph.outputs)
    return {
        number for number, old in before.items()
        if (new := graph.outputs[number]) in fused and is_elementwise(new) and times[new] == 1
        and old not in ends and last.get(old, -1) <= place[new] and askew.get(old, -1) < place[new]
    }  # fmt: skip


def _source(node: Node) -> Node:
    """Return the node whose elements these are."""
    while is_alias(node):
        node = node.operands[0]
    return node
