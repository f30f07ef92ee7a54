"""Where a training step's time goes: every kernel of a step timed by itself, over and over in one native call.

python -m benchmarks.kernels [--shape 784,512,256,10] [--batch 128] | --workload g
"""

from __future__ import annotations

import argparse
import ctypes
from time import perf_counter
from typing import Any

import numpy as np

import chainrule as cr
from benchmarks.peers import ours
from benchmarks.workloads import WORKLOADS
from chainrule.execute.native import link
from chainrule.learn.fitting import prepare


def job_of(shape: list[int], batch: int, rows: int = 0) -> Any:
    rng = np.random.default_rng(0)
    rows = rows or batch * 2
    x = rng.normal(size=(rows, shape[0])).astype(np.float32)
    dense = cr.nn.Dense
    network = cr.nn.Sequential(*(dense(w, activation="relu") for w in shape[1:-1]), dense(shape[-1]))
    if shape[-1] == 1:
        objective, y = cr.Objective(network, "binary_cross_entropy"), rng.integers(0, 2, rows)
    else:
        objective, y = cr.Objective(network, "softmax_cross_entropy"), rng.integers(0, shape[-1], rows)
    return prepare(objective, (x, y), epochs=1000, batch_size=batch, executor="native")


def job_for(key: str) -> Any:
    """Return the job of a workload that is trained."""
    trainer: Any = ours.forms(WORKLOADS[key], 1)["fit"]()
    return prepare(trainer.objective, trainer.data, epochs=1000, executor="native", **trainer.options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", default="30,64,64,1")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--workload", choices=[key for key, w in WORKLOADS.items() if w.kind in ("train", "tabular")])
    options = parser.parse_args()
    shape = [int(w) for w in options.shape.split(",")]
    job = job_for(options.workload) if options.workload else job_of(shape, options.batch)
    run = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p)(
        link.address("run")
    )
    native: Any = job.executor
    native.advance(job.program, job.plan, job.loop, job.arrays, job.training, None, until=3)
    state = job.loop.machine
    section = state.program.linked.sections["step"]
    bound = section.bind(state.size, 1)
    chosen = [
        c for c in section.calls
        if c.rows_from <= state.size and (c.rows_below == 0 or state.size < c.rows_below)
    ]  # fmt: skip
    total = 0.0
    repeats = 1
    rows = []
    for i, call in enumerate(chosen):
        record = bound.records[i : i + 1]
        while True:
            many = np.ascontiguousarray(np.repeat(record, repeats, axis=0))
            times = []
            for _ in range(25):
                begin = perf_counter()
                run(state.buffers.address, many.ctypes.data, repeats, None)
                times.append(perf_counter() - begin)
            if min(times) > 2e-4 or repeats > 1 << 16:
                break
            repeats *= 2
        each = min(times) / repeats * 1e9
        repeats = max(repeats // 16, 1)
        total += each
        rows.append((each, call, record[0, 2]))
    for each, call, extent in rows:
        estimate = call.cost[0] * call.cost[1].at(state.size)
        print(f"{each:10.0f} ns  {each / total:5.1%}  estimate {estimate:9.0f}  {call.kernel:28s} extent {extent}")
    print(f"{total:10.0f} ns for {len(chosen)} kernels")


if __name__ == "__main__":
    main()
