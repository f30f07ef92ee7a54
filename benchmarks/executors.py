"""Native against the reference executor: steps per second of whole training runs, in turn in one run.

python -m benchmarks.executors
"""

from __future__ import annotations

import statistics
from time import perf_counter
from typing import Any

import numpy as np

import chainrule as cr

ROUNDS = 5


def workloads() -> dict[str, tuple[Any, Any, Any, Any, int, int]]:
    """Return network, loss, data, optimizer, batch size and epochs by name; random data, float32."""
    rng = np.random.default_rng(0)

    def rows(count: int, width: int, classes: int) -> Any:
        return rng.normal(size=(count, width)).astype(np.float32), rng.integers(0, classes, count)

    dense, stack = cr.nn.Dense, cr.nn.Sequential
    return {
        "30-64-64-1 relu, batch 32, Adam": (
            stack(dense(64, activation="relu"), dense(64, activation="relu"), dense(1)),
            "binary_cross_entropy", rows(569, 30, 2), cr.learn.Adam(1e-3), 32, 20,
        ),
        "64-128-10 softmax, batch 64, Adam": (
            stack(dense(128, activation="relu"), dense(10)),
            "softmax_cross_entropy", rows(1797, 64, 10), cr.learn.Adam(1e-3), 64, 10,
        ),
        "784-512-256-10, batch 128, Adam": (
            stack(dense(512, activation="relu"), dense(256, activation="relu"), dense(10)),
            "softmax_cross_entropy", rows(2560, 784, 10), cr.learn.Adam(1e-3), 128, 2,
        ),
    }  # fmt: skip


def seconds(executor: str, epochs: int, work: Any) -> tuple[float, int, float]:
    """Train once; return the seconds, the steps, and the last loss."""
    network, loss, data, optimizer, batch, _ = work
    begin = perf_counter()
    run = cr.fit(
        cr.Objective(network, loss), data, optimizer=optimizer, batch_size=batch, epochs=epochs, executor=executor
    )
    return perf_counter() - begin, run.steps, run.history[-1]["loss"]


def main() -> None:
    """Measure every workload: the time of a run less that of a run of one epoch, so that compilation does not count."""
    for name, work in workloads().items():
        epochs = work[-1]
        rates: dict[str, list[float]] = {"reference": [], "native": []}
        first: list[float] = []
        losses = {}
        for _ in range(ROUNDS):
            for executor, found in rates.items():
                short, few, _ = seconds(executor, 1, work)
                long, many, losses[executor] = seconds(executor, 1 + epochs, work)
                found.append((many - few) / (long - short))
                if executor == "native":
                    first.append(short)
        a, b = (statistics.median(rates[k]) for k in ("reference", "native"))
        print(f"{name:36} reference {a:9.0f} steps/s   native {b:9.0f} steps/s   ratio {b / a:5.1f}")
        print(f"{'':36} native, first epoch with compilation {1000 * statistics.median(first):.0f} ms; "
              f"last losses {losses['reference']:.6f} and {losses['native']:.6f}")  # fmt: skip


if __name__ == "__main__":
    main()
