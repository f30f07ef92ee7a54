"""How many threads may compute here."""

from __future__ import annotations

import os


def cpu_count() -> int:
    """Return how many threads may compute: ``CHAINRULE_NUM_THREADS``, ``OMP_NUM_THREADS``, or else the CPUs we may use.

    In a worker process of joblib, which has a core for itself, joblib sets OMP_NUM_THREADS.
    """
    for name in ("CHAINRULE_NUM_THREADS", "OMP_NUM_THREADS"):
        text = os.environ.get(name, "").split(",")[0].strip()
        if text.isdigit() and int(text) > 0:
            return int(text)
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1
