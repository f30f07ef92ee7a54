"""What decides the order of a sum besides its shape: how the operands that it reads lie in memory.

An operand that lies as its shape says is stepped through as one run over all axes; one that is broadcast, transposed or
cut out is not, and then the logical lanes of a sum begin anew with each line. Reductions become one pass only where
each reads by itself what lies as what they read together: so each has the bits that it has alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from chainrule.graph import Graph, Node

PLAIN = "as its shape says"
REPEATED = "repeated: "
"""What begins the layout of something plain that is broadcast, and no more."""
Layouts = Mapping[Node, frozenset[str]]


def layouts_read(graph: Graph, joins: Callable[[Node, Node, int], bool]) -> Layouts:
    """Return, for each node, how that lies in memory which its elements are computed from in registers."""
    found: dict[Node, frozenset[str]] = {}
    for node in graph.nodes:
        if node.op.kind == "elementwise":
            found[node] = frozenset[str]().union(*(
                found[o] if o in found and joins(o, node, i) else {_layout(o)} for i, o in enumerate(node.operands)
            )) - {""}  # fmt: skip
    return found


def order_of(reduction: Node, layouts: Layouts) -> frozenset[str]:
    """Return what a reduction's order depends on: equal for those that can be one pass."""
    (operand,) = reduction.operands
    read = layouts.get(operand, frozenset({PLAIN}))
    long = [a for a, d in enumerate(operand.shape) if d != 1]
    reduced = [a for a in long if a in reduction.attributes["axes"]]
    columns = bool(long) and long[-1] not in reduced  # side by side, each one after another: so are broadcast ones
    lines = len(reduced) == 1 and PLAIN in read
    if all(layout == PLAIN or layout.startswith(REPEATED) for layout in read) and (columns or lines):
        return frozenset({PLAIN})
    return read


def _layout(node: Node) -> str:
    """Return how a node lies in memory: '' for a number that is the same everywhere, which changes no order."""
    steps: list[str] = []
    while node.op.name in ("reshape", "broadcast", "transpose", "slice"):
        steps.append(f"{node.op.name} {node.operands[0].shape} {sorted(node.attributes.items(), key=str)}")
        node = node.operands[0]
    if all(d == 1 for d in node.shape):
        return ""
    kinds = [step.partition(" ")[0] for step in steps]
    if set(kinds) <= {"reshape"}:
        return PLAIN
    return REPEATED * (kinds[0] == "broadcast" and set(kinds[1:]) <= {"reshape"}) + ", ".join(steps)
