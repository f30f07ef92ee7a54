"""What a layer reads: found in the graph, not guessed from equal numbers."""

from __future__ import annotations

from chainrule.explanation.names import Names
from chainrule.explanation.scene import Traced

INPUT = "x"


def read_by(traced: Traced, weight: str) -> str | None:
    """Return the named value that a weight is multiplied by, ``x`` for the network's input, None where that is neither.

    That is told where the weight is used once, as the matrix B of a product A·B.
    """
    node = traced.parameters.get(weight)
    uses = [n for n in traced.graph.nodes if any(operand is node for operand in n.operands)]
    if node is None or len(uses) != 1 or uses[0].op.name != "matmul" or uses[0].operands[1] is not node:
        return None
    left = uses[0].operands[0]
    if left is traced.x:
        return INPUT
    return next((name for name, point in traced.points.items() if point is left), None)


def called(names: Names, before: str, column: int) -> str:
    """Return what a column of what is read is called: a column of the data, a unit, or an element of a value."""
    if before == INPUT:
        return names.input(column)
    layer, _, kind = before.rpartition(".")
    return names.unit(layer, column) if kind == "out" else f"{before}[{column}]"
