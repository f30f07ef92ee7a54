"""One library in a process of its own: it does as it is told, line by line, and is idle in between.

A process each keeps thread pools, allocators and settings apart, so that no library is measured in the shadow of
another; the parent asks them in turn.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from typing import Any

from benchmarks.peers.trainer import Clock
from benchmarks.workloads import WORKLOADS, smaller


def main() -> None:
    """Read one request a line from standard input, and answer each with one line of JSON."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not get between the answers
    start = json.loads(sys.stdin.readline())
    Clock.cpu = start["cpu"]
    work = WORKLOADS[start["workload"]]
    work = smaller(work) if start["quick"] else work
    module = import_module(f"benchmarks.peers.{start['module']}")
    forms = module.forms(work, start["threads"])
    if work.make is not None:
        work.data()  # made once, outside every time that is measured
    running: dict[str, Any] = {}

    def answer(value: Any) -> None:
        channel.write(json.dumps(value) + "\n")
        channel.flush()

    answer({"forms": list(forms), "version": module.version()})
    for line in sys.stdin:
        request = json.loads(line)
        name = request["form"]
        try:
            if request["do"] == "start":
                trainer = running[name] = forms[name]()
                begin = Clock.now()
                trainer.first()
                first = Clock.now() - begin
                answer({"first": first, "result": [float(v) for v in trainer.check()]})
            elif request["do"] == "rate":
                answer({"rate": running[name].rate(request["seconds"])})
            else:
                answer({"stopped": running.pop(name, None) is not None})
        except Exception as error:  # it is the answer: the parent shows it in the table
            answer({"error": f"{type(error).__name__}: {error}".splitlines()[0]})


if __name__ == "__main__":
    main()
