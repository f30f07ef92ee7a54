"""Native against the reference executor: steps per second of whole training runs, in turn in one run.

python -m benchmarks.executors
"""

from __future__ import annotations

import statistics
from time import perf_counter
from typing import Any

import numpy as np

import chainrule as cr
from chainrule.learn.fitting import prepare

ROUNDS = 5


def workloads() -> dict[str, tuple[Any, Any, Any, Any, int]]:
    """Return network, loss, data, optimizer and batch size by name; random data, float32."""
    rng = np.random.default_rng(0)

    def rows(count: int, width: int, classes: int) -> Any:
        return rng.normal(size=(count, width)).astype(np.float32), rng.integers(0, classes, count)

    dense, stack = cr.nn.Dense, cr.nn.Sequential
    return {
        "30-64-64-1 relu, batch 32, Adam": (
            stack(dense(64, activation="relu"), dense(64, activation="relu"), dense(1)),
            "binary_cross_entropy", rows(569, 30, 2), cr.learn.Adam(1e-3), 32,
        ),
        "64-128-10 softmax, batch 64, Adam": (
            stack(dense(128, activation="relu"), dense(10)),
            "softmax_cross_entropy", rows(1797, 64, 10), cr.learn.Adam(1e-3), 64,
        ),
        "784-512-256-10, batch 128, Adam": (
            stack(dense(512, activation="relu"), dense(256, activation="relu"), dense(10)),
            "softmax_cross_entropy", rows(2560, 784, 10), cr.learn.Adam(1e-3), 128,
        ),
    }  # fmt: skip


def rate(executor: str, work: Any, seconds: float = 1.0) -> tuple[float, float, float]:
    """Train for about so many seconds; return seconds until the first step was done, steps per second, and the loss
    after one epoch."""
    network, loss, data, optimizer, batch = work
    begin = perf_counter()
    job = prepare(
        cr.Objective(network, loss), data, optimizer=optimizer, batch_size=batch, epochs=10**6, executor=executor
    )

    def advance(**limit: Any) -> None:
        job.executor.advance(job.program, job.plan, job.loop, job.arrays, job.training, None, **limit)

    advance(until=1)
    first = perf_counter() - begin
    advance(until=job.steps_per_epoch + 1)
    begin, step = perf_counter(), job.loop.step
    advance(seconds=seconds)
    return first, (job.loop.step - step) / (perf_counter() - begin), job.loop.history[0]["loss"]


def main() -> None:
    """Measure every workload with both executors in turn, round by round, and print medians."""
    for name, work in workloads().items():
        found: dict[str, list[tuple[float, float, float]]] = {"reference": [], "native": []}
        for _ in range(ROUNDS):
            for executor, rounds in found.items():
                rounds.append(rate(executor, work))
        first, speed, loss = (
            {k: statistics.median(r[place] for r in rounds) for k, rounds in found.items()} for place in range(3)
        )
        print(f"{name:36} reference {speed['reference']:8.0f} steps/s   native {speed['native']:8.0f} steps/s   "
              f"ratio {speed['native'] / speed['reference']:5.1f}")  # fmt: skip
        print(f"{'':36} first step after {first['reference']:.2f} s and {first['native']:.2f} s; loss of the first "
              f"epoch {loss['reference']:.6f} and {loss['native']:.6f}")  # fmt: skip


if __name__ == "__main__":
    main()
