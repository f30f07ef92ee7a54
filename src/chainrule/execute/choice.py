"""Which executor runs: native where this machine can; the reference where it is asked for, or nothing else is there."""

from __future__ import annotations

import warnings
from functools import cache

from chainrule.errors import TrainingError
from chainrule.execute.training import EXECUTOR as REFERENCE
from chainrule.execute.training import TrainingReference


@cache
def native_executor() -> TrainingReference:
    """Return the native executor; where it cannot be had at all, the reference, with one warning that says why."""
    from chainrule.execute.native import Native, missing

    why = missing()
    if not why:
        return Native()
    warnings.warn(f"{why}; the slower reference executor runs instead", RuntimeWarning, stacklevel=2)
    return REFERENCE


def get_executor(name: str) -> TrainingReference:
    """Return an executor by name: ``native`` or ``reference``."""
    if name == "native":
        return native_executor()
    if name != "reference":
        raise TrainingError(f"there is no executor {name!r}; there are: native, reference")
    return REFERENCE
