"""How much memory training takes: beyond the data while it runs, and over many repeated fits.

python -m benchmarks.memory [--fits 1000]

Resident memory and its peak, as Linux counts them; each measurement is a fresh process.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

import chainrule as cr

ROWS, COLUMNS = 60_000, 784
MARKS = (100, 500, 1000)


def resident() -> int:
    """Return the bytes of this process that are in memory now."""
    return _status("VmRSS")


def peak() -> int:
    """Return the most bytes of this process that were in memory at once, since ``forget_peak``."""
    return _status("VmHWM")


def forget_peak() -> None:
    """Let the peak begin anew from what is resident now."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def _status(field: str) -> int:
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024


def network(*widths: int) -> Any:
    """Return a network of dense layers, newly built."""
    hidden = [cr.nn.Dense(w, activation="relu") for w in widths[:-1]]
    return cr.nn.Sequential(*hidden, cr.nn.Dense(widths[-1]))


def growth_while_training() -> dict[str, float]:
    """Train one epoch on data that is loaded already; return bytes of the data, and by how much the peak rose."""
    rng = np.random.default_rng(0)
    x = np.empty((ROWS, COLUMNS), np.float32)
    for start in range(0, ROWS, 1000):
        x[start : start + 1000] = rng.normal(size=(1000, COLUMNS))
    y = rng.integers(0, 10, ROWS)
    objective = cr.Objective(network(512, 256, 10), "softmax_cross_entropy")
    small = x[:256], y[:256]
    cr.fit(objective, small, batch_size=128, epochs=1)  # what is loaded once a process is not counted
    gc.collect()
    forget_peak()
    before = resident()
    run = cr.fit(objective, (x, y), batch_size=128, epochs=1)
    return {"data": x.nbytes + y.nbytes, "peak": peak() - before, "after": resident() - before, "steps": run.steps}


def repeated(fits: int, rebuilt: bool) -> dict[str, int]:
    """Fit a small network again and again; return what was resident at some of the fits."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200, 10)).astype(np.float32), rng.integers(0, 3, 200)
    objective = cr.Objective(network(16, 3), "softmax_cross_entropy")
    found = {}
    for number in range(1, fits + 1):
        if rebuilt:
            objective = cr.Objective(network(16, 3), "softmax_cross_entropy")
        run = cr.fit(objective, (x, y), batch_size=32, epochs=2, seed=number, validation=(x[:50], y[:50]))
        run.predict(x)
        if number in (*MARKS, fits):
            gc.collect()
            found[str(number)] = resident()
    return found


MEASUREMENTS: dict[str, Callable[[int], Any]] = {
    "training": lambda fits: growth_while_training(),
    "same objective": lambda fits: repeated(fits, rebuilt=False),
    "new networks": lambda fits: repeated(fits, rebuilt=True),
}


def in_process(name: str, fits: int) -> Any:
    """Return what a fresh process measures."""
    command = [sys.executable, "-m", "benchmarks.memory", "--fits", str(fits), "--only", name]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fits", type=int, default=1000)
    parser.add_argument("--only", choices=MEASUREMENTS, help="measure one thing in this process, and print it as JSON")
    options = parser.parse_args()
    if options.only:
        print(json.dumps(MEASUREMENTS[options.only](options.fits)))
        return
    found = in_process("training", 0)
    print(f"784-512-256-10, batch 128, {found['steps']} steps: data {found['data'] / 1e6:.1f} MB, peak "
          f"+{found['peak'] / 1e6:.1f} MB ({found['peak'] / found['data']:.2f} of the data), afterwards "
          f"+{found['after'] / 1e6:.1f} MB")  # fmt: skip
    for name in ("same objective", "new networks"):
        marks = in_process(name, options.fits)
        first = next(iter(marks.values()))
        growth = ", ".join(f"{n} fits +{(v - first) / 1e3:.0f} kB" for n, v in list(marks.items())[1:])
        print(f"{options.fits} fits, {name}: {first / 1e6:.1f} MB after {next(iter(marks))}; {growth}")


if __name__ == "__main__":
    main()
