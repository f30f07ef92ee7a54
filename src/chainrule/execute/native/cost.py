"""About how many instructions a node is, for those who must keep code short."""

from __future__ import annotations

from chainrule.execute.native import elementary
from chainrule.graph import Node

_DEAR = {
    **dict.fromkeys(elementary.FUNCTIONS, 24), "power": 90, "tan": 60, "random_bits": 110, "erf": 60,
    **dict.fromkeys(("arcsin", "arccos", "arctan", "arctan2", "sinh", "arcsinh", "arccosh", "arctanh"), 70),
}  # fmt: skip


def instructions(node: Node) -> int:
    """Estimate the instructions that compute one vector of an elementwise node."""
    return _DEAR.get(node.op.name, 2)
