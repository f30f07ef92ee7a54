"""How many threads may compute here."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any


def cpu_count() -> int:
    """Return how many threads may compute: ``CHAINRULE_NUM_THREADS``, ``OMP_NUM_THREADS``, or else the CPUs we may use.

    In a worker process of joblib, which has a core for itself, joblib sets OMP_NUM_THREADS. Where threadpoolctl is
    loaded, what it limits BLAS to (``with threadpool_limits(1): …``) holds for us too, unless the first of the two
    variables says otherwise.
    """
    own = _number("CHAINRULE_NUM_THREADS")
    if own:
        return own
    try:
        cpus = len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        cpus = os.cpu_count() or 1
    return min(_number("OMP_NUM_THREADS") or cpus, _limit_of_blas() or sys.maxsize)


def _number(name: str) -> int:
    """Return the number in a variable of the environment, or 0."""
    text = os.environ.get(name, "").split(",")[0].strip()
    return int(text) if text.isdigit() and text.isascii() else 0


_controllers: list[Any] | None = None


def _limit_of_blas() -> int:
    """Return the fewest threads that a BLAS is limited to, or 0: there is none, or nobody has loaded threadpoolctl.

    NumPy's BLAS is loaded before us, so the libraries need to be looked for but once (some milliseconds).
    """
    global _controllers
    module = sys.modules.get("threadpoolctl")
    if module is None:
        return 0
    with suppress(Exception):  # its versions differ, and no training should fail for it
        if _controllers is None:
            _controllers = [c for c in module.ThreadpoolController().lib_controllers if c.user_api == "blas"]
        return min((int(c.num_threads) for c in _controllers), default=0)
    return 0
