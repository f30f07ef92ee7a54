"""How long a network takes from its traced graphs to machine code: new, seen before, and in an empty cache.

python -m benchmarks.compile_time [--rounds 9] [--cpu]

Every measurement is a fresh process with a cache folder of its own, in one of these states:

empty     nothing stored at all: the code that all programs share is compiled too
shared    what all programs share is stored (the conductor, products of matrices), no kernel of any network
family    another network with the same activation, loss and optimizer was trained before
seen      this very network was trained before

Milliseconds, medians of the rounds. ``code`` is from traced graphs to code that is ready; the columns after it are
parts of it. ``trace`` comes before, ``step`` is the memory of the run and its first step, ``fit`` all three, and
``process`` everything from the interpreter's start, imports of NumPy and chainrule included.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time, time
from typing import Any

SHAPES: dict[str, tuple[list[int], int, str, str]] = {
    "2-2-2 sigmoid, SGD": ([2, 2, 2], 1, "sigmoid", "sgd"),
    "30-64-64-2 relu, Adam": ([30, 64, 64, 2], 32, "relu", "adam"),
    "784-512-256-10 relu, Adam": ([784, 512, 256, 10], 128, "relu", "adam"),
    "20 layers of 40 tanh, AdamW": ([25, *[40] * 20, 5], 64, "tanh", "adamw"),
}
seconds: Callable[[], float] = perf_counter
STATES = ("empty", "shared", "family", "seen")
PARTS = ("digest", "read", "write", "LLVM", "link", "store")


def job_of(shape: list[int], batch: int, activation: str, optimizer: str) -> Any:
    """Trace the training program of a network of dense layers."""
    import numpy as np

    import chainrule as cr
    from chainrule.learn.fitting import prepare

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(256, shape[0])).astype(np.float32), rng.integers(0, shape[-1], 256)
    hidden = [cr.nn.Dense(w, activation=activation) for w in shape[1:-1]]
    network = cr.nn.Sequential(*hidden, cr.nn.Dense(shape[-1]))
    chosen = {"sgd": cr.learn.SGD(0.1), "adam": cr.learn.Adam(), "adamw": cr.learn.AdamW()}[optimizer]
    return prepare(cr.Objective(network, "softmax_cross_entropy"), (x, y), batch_size=batch, optimizer=chosen)


def clock(found: dict[str, float], name: str, home: Any, attribute: str) -> None:
    """Add up the time that a function takes, under a name."""
    function: Callable[..., Any] = getattr(home, attribute)

    def timed(*arguments: Any, **options: Any) -> Any:
        begin = seconds()
        try:
            return function(*arguments, **options)
        finally:
            found[name] = found.get(name, 0.0) + seconds() - begin

    setattr(home, attribute, timed)


def measure(name: str) -> dict[str, float]:
    """Train one step in this process, and say how long its parts took."""
    from chainrule.execute.native import cache, engine, executor, link, store

    found = dict.fromkeys(PARTS, 0.0)
    for part, home, attribute in (
        ("digest", store, "digest"), ("read", cache, "load"), ("read", store, "code_of_bytes"),
        ("write", executor, "write_program"), ("LLVM", engine, "to_object"), ("link", link, "place"),
        ("link", engine, "Library"), ("store", cache, "store"),
    ):  # fmt: skip
        clock(found, part, home, attribute)
    begin = seconds()
    job = job_of(*SHAPES[name])
    found["trace"] = seconds() - begin
    for part in PARTS:
        found[part] = 0.0
    begin = seconds()
    native: Any = job.executor
    compiled = native.compile_program(job.program, False, False)
    if hasattr(compiled, "tiny"):
        compiled.tiny(job.program, job.plan.batch_size)
    found["code"] = seconds() - begin
    begin = seconds()
    native.advance(job.program, job.plan, job.loop, job.arrays, job.training, None, until=1)
    found["step"] = seconds() - begin
    found["fit"] = found["trace"] + found["code"] + found["step"]
    return found


def fill(state: str, name: str) -> None:
    """Bring the cache into a state, in this process."""
    from chainrule.execute.native import link

    if state == "shared":
        for functions in link.GROUPS.values():
            link.address(functions[0])
    elif state == "family":
        shape, batch, activation, optimizer = SHAPES[name]
        other = [shape[0] + 3, *(w + 5 for w in shape[1:-1]), shape[-1] + 1]
        job = job_of(other, batch, activation, optimizer)
        job.executor.advance(job.program, job.plan, job.loop, job.arrays, job.training, None, until=1)
    elif state == "seen":
        measure(name)


def fresh(folder: Path, *arguments: str, cpu: bool = False) -> dict[str, float]:
    """Run this module in a fresh process, with a cache in a folder; return what it measured."""
    command = [sys.executable, "-m", "benchmarks.compile_time", *arguments, *(["--cpu"] if cpu else [])]
    environment = {**os.environ, "CHAINRULE_CACHE_DIR": str(folder)}
    begin = time()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    found["process"] = found.pop("now", begin) - begin
    return found


def table(rounds: int, cpu: bool) -> None:
    columns = ("trace", "code", *PARTS, "step", "fit", "process")
    with tempfile.TemporaryDirectory() as temporary:
        for name in SHAPES:
            print(f"\n{name}")
            print(f"{'cache':8}" + "".join(f"{c:>9}" for c in columns))
            for state in STATES:
                first = Path(temporary, f"{state} {name}")
                if state != "empty":
                    fresh(first, "--fill", state, name)
                results = []
                for number in range(rounds):
                    folder = Path(temporary, f"{state} {name} {number}")
                    if first.exists():
                        shutil.copytree(first, folder)
                    results.append(fresh(folder, "--measure", name, cpu=cpu))
                    shutil.rmtree(folder)
                middle = {c: 1000 * statistics.median(r[c] for r in results) for c in columns}
                print(f"{state:8}" + "".join(f"{middle[c]:9.1f}" for c in columns), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--measure", choices=SHAPES, help="measure in this process, and print it as JSON")
    parser.add_argument("--fill", nargs=2, metavar=("STATE", "SHAPE"), help="fill the cache from this process")
    parser.add_argument("--cpu", action="store_true", help="seconds of the CPU, where the machine is busy with others")
    options = parser.parse_args()
    global seconds
    seconds = process_time if options.cpu else perf_counter
    if options.measure:
        found = measure(options.measure)
        print(json.dumps({**found, "now": time()}))
    elif options.fill:
        fill(*options.fill)
        print("{}")
    else:
        table(options.rounds, options.cpu)


if __name__ == "__main__":
    main()
