"""Plain C, straight-line, for the smallest network: what a careful programmer writes by hand.

Compiled by gcc -O3 -march=native, with and without -ffast-math; the faster one counts.
"""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.peers.trainer import Array, Steps, Trainer
from benchmarks.workloads import Workload

FLAGS = {"strict": [], "fast-math": ["-ffast-math"]}


def version() -> str:
    text = subprocess.run(["gcc", "-dumpfullversion"], capture_output=True, text=True, check=True).stdout
    return f"gcc {text.strip()}"


def forms(work: Workload, threads: int) -> dict[str, Callable[[], Trainer]]:
    if work.key != "a" or threads != 1:
        return {}
    return {name: lambda flags=flags: StraightLine(work, flags) for name, flags in FLAGS.items()}  # type: ignore[misc]  # bound now


class StraightLine(Steps):
    """The steps of a unit in one call."""

    def __init__(self, work: Workload, flags: list[str]) -> None:
        super().__init__(work)
        self.flags = flags
        self.x, self.y = work.data()
        self.restart()

    def first(self) -> None:
        """The compiler's time is in it."""
        self.folder = tempfile.TemporaryDirectory(prefix="chainrule-benchmark-")
        place = Path(self.folder.name) / "step.so"
        source = str(Path(__file__).with_name("sigmoid_2_2_2.c"))
        subprocess.run(
            ["gcc", "-O3", "-march=native", *self.flags, "-shared", "-fPIC", "-o", str(place), source, "-lm"],
            check=True,
        )
        self.library = ctypes.CDLL(str(place))
        super().first()

    def prepare(self, order: Array) -> Array:
        return np.ascontiguousarray(order[:, 0], np.int64)

    def restart(self) -> None:
        self.values = np.concatenate([part.ravel() for pair in self.work.parameters() for part in pair])

    def train(self, order: Array) -> None:
        pointer = ctypes.c_void_p
        self.library.train(
            pointer(self.values.ctypes.data), pointer(self.x.ctypes.data), pointer(self.y.ctypes.data),
            pointer(order.ctypes.data), ctypes.c_int64(len(order)), ctypes.c_float(self.work.rate),
        )  # fmt: skip

    def result(self) -> Array:
        w1, b1, w2, b2 = np.split(self.values.astype(np.float64), [4, 6, 10])
        hidden = 1 / (1 + np.exp(-(self.x @ w1.reshape(2, 2) + b1)))
        out = 1 / (1 + np.exp(-(hidden @ w2.reshape(2, 2) + b2)))
        return np.array([np.mean(np.sum(0.5 * (out - self.y) ** 2, axis=1))])
