"""A whole process as the unit of work: a table is read, a network trained and scored, from start to exit."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.peers.trainer import Array, Trainer
from benchmarks.workloads import Workload, sklearn_table

Command = Callable[[Workload, str, str], Sequence[str]]


class Process(Trainer):
    """A command that trains on the table of irises; with cold caches, each run has a new, empty folder for them."""

    def __init__(self, work: Workload, command: Command, score: Callable[[str], float]) -> None:
        super().__init__(work)
        self.score = score
        self.folder = tempfile.TemporaryDirectory(prefix="chainrule-benchmark-", ignore_cleanup_errors=True)
        self.table = Path(self.folder.name) / "iris.csv"
        write_irises(self.table)
        self.command = command(work, str(self.table), self.folder.name)
        self.cold = work.key.endswith("cold")
        self.output = ""

    def unit(self, number: int) -> None:
        environment = dict(os.environ)
        with tempfile.TemporaryDirectory(dir=self.folder.name) as cache:
            if self.cold:
                environment["CHAINRULE_CACHE_DIR"] = cache
            result = subprocess.run(self.command, capture_output=True, text=True, check=False, env=environment)
        if result.returncode:
            raise RuntimeError(f"exit code {result.returncode}: {result.stderr.strip()[-200:]}")
        self.output = result.stdout

    def check(self) -> Array:
        """The first run has been: its score is what is compared."""
        return self.result()

    def result(self) -> Array:
        return np.array([self.score(self.output)])


def write_irises(path: Path) -> None:
    """Write the table of irises; where scikit-learn is not installed, made-up rows like it."""
    names = ("setosa", "versicolor", "virginica")
    place = sklearn_table("iris.csv")
    if place is not None:
        table = np.loadtxt(place, delimiter=",", skiprows=1)
        x, y = table[:, :-1], table[:, -1].astype(int)
    else:
        rng = np.random.default_rng(4)
        y = np.repeat(np.arange(3), 50)
        x = np.round(rng.normal(0, 0.4, (150, 4)) + np.array([5.0, 3.2, 2.5, 1.0]) + y[:, None], 1)
    lines = ["sepal_length,sepal_width,petal_length,petal_width,species"]
    lines += [",".join([*(f"{v:.1f}" for v in row), names[kind]]) for row, kind in zip(x, y, strict=True)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
