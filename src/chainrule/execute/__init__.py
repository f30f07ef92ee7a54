"""How a graph is run. Every executor has the same face: ``run(graph, arrays)``, and training programs (program.py)."""

from chainrule.errors import TrainingError
from chainrule.execute.program import Best, Executor, Loop, Plan, Program
from chainrule.execute.reference import Reference
from chainrule.execute.training import EXECUTOR as REFERENCE
from chainrule.execute.training import TrainingReference, gather, tiles


def get_executor(name: str) -> TrainingReference:
    """Return an executor by name; today there is ``reference``."""
    if name != "reference":
        raise TrainingError(f"there is no executor {name!r}; there is: reference")
    return REFERENCE


__all__ = [
    "REFERENCE",
    "Best",
    "Executor",
    "Loop",
    "Plan",
    "Program",
    "Reference",
    "TrainingReference",
    "gather",
    "get_executor",
    "tiles",
]
