"""How a graph is run. Every executor has the same face: ``run(graph, arrays)``, and training programs (program.py)."""

from chainrule.execute.choice import get_executor
from chainrule.execute.compiled import Compiled, compile
from chainrule.execute.order import RowOrder, row_orders
from chainrule.execute.program import Best, Executor, Loop, Machine, Plan, Program
from chainrule.execute.quasi_newton import QuasiNewton
from chainrule.execute.reference import Reference
from chainrule.execute.threads import cpu_count
from chainrule.execute.training import EXECUTOR as REFERENCE
from chainrule.execute.training import TrainingReference, gather, tiles

__all__ = [
    "REFERENCE",
    "Best",
    "Compiled",
    "Executor",
    "Loop",
    "Machine",
    "Plan",
    "Program",
    "QuasiNewton",
    "Reference",
    "RowOrder",
    "TrainingReference",
    "compile",
    "cpu_count",
    "gather",
    "get_executor",
    "row_orders",
    "tiles",
]
