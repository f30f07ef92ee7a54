"""How a graph is run. Every executor has the same face: ``run(graph, arrays)``, and training programs (program.py)."""

from chainrule.execute.reference import REFERENCE, Reference

__all__ = ["REFERENCE", "Reference"]
