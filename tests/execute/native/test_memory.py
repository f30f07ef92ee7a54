"""Memory: what training takes beyond its data, and that nothing is left behind by what is over."""

from __future__ import annotations

import gc
import subprocess
import sys
import tracemalloc
import weakref
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.execute import get_executor
from chainrule.execute.native import engine, link
from chainrule.graph import flatten
from chainrule.learn.fitting import prepare

pytestmark = pytest.mark.skipif(bool(engine.missing()), reason=engine.missing() or "native code runs here")


def objective(*widths: int) -> Any:
    hidden = [cr.nn.Dense(w, activation="relu") for w in widths[:-1]]
    return cr.Objective(cr.nn.Sequential(*hidden, cr.nn.Dense(widths[-1])), "softmax_cross_entropy")


def data(rows: int, columns: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(rows, columns)).astype(np.float32), rng.integers(0, 3, rows)


def fit(problem: Any, x: Any, y: Any, **options: Any) -> Any:
    return cr.fit(problem, (x, y), **{"batch_size": 32, "epochs": 1, "validation": (x[:50], y[:50]), **options})


RESIDENT = """
import gc, numpy as np, chainrule as cr

def resident():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmRSS:"))

rng = np.random.default_rng(0)
x, y = rng.normal(size=(200, 10)).astype(np.float32), rng.integers(0, 3, 200)
def once(seed):
    network = cr.nn.Sequential(cr.nn.Dense(16, activation="relu"), cr.nn.Dense(3))
    run = cr.fit(cr.Objective(network, "softmax_cross_entropy"), (x, y), epochs=1, seed=seed, validation=(x, y))
    run.predict(x)
marks = []
for seed in range(71):
    once(seed)
    if seed in (30, 50, 70):
        gc.collect()
        marks.append(resident())
print(min(b - a for a, b in zip(marks, marks[1:])))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory as Linux says it")
def test_repeated_fits_of_new_networks_leave_nothing_resident() -> None:
    """`python -m benchmarks.memory` is the long form. A leak shows in every block of 20 fits; noise does not."""
    done = subprocess.run([sys.executable, "-c", RESIDENT], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 20 * 4096, "each fit left more than 4 kB behind"


def test_repeated_fits_allocate_nothing_that_stays() -> None:
    """What Python and NumPy hold, counted exactly; NumPy keeps some small blocks for later, so it is not quite 0."""
    x, y = data(200, 10)

    def once(seed: int) -> None:
        fit(objective(16, 3), x, y, seed=seed).predict(x)

    for seed in range(3):
        once(seed)
    tracemalloc.start()
    try:
        held = []
        for block in range(3):
            for seed in range(6):
                once(6 * block + seed)
            gc.collect()
            held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert held[2] - held[1] < 6 * 2000, "each fit left more than 2 kB behind; a graph has a hundred"


def test_networks_of_other_sizes_share_their_kernels() -> None:
    x, y = data(200, 12)
    fit(objective(24, 16, 3), x, y)
    kernels, modules = len(link._addresses), len(link._libraries)
    for width in (17, 40, 65):
        fit(objective(width, width + 3, 3), x[:, : width % 11 + 1], y, epochs=1)
    assert len(link._addresses) - kernels <= 3, "almost all of them were known"
    assert len(link._libraries) == modules or sys.platform != "linux"


def test_what_was_compiled_goes_with_its_graph_and_its_run() -> None:
    x, y = data(200, 10)
    native: Any = get_executor("native")

    def use() -> list[Any]:
        run = fit(objective(16, 3), x, y)
        run.predict(x)
        predictor = run.predictor
        return [weakref.ref(v) for v in (run, run.program, predictor.graph, native.compile(predictor.graph),
                                         native.compile_program(run.program))]  # fmt: skip

    gone = use()
    gc.collect()
    assert [ref() for ref in gone] == [None] * 5


def test_the_data_are_not_copied() -> None:
    x, y = data(500, 10)
    job = prepare(objective(16, 3), (x, y), validation=(x, y))
    assert job.training["x"] is x
    assert job.validation is not None
    assert job.validation["x"] is x
    job.executor.advance(job.program, job.plan, job.loop, job.arrays, job.training, job.validation, until=3)
    state: Any = job.loop.machine
    held = [a for a in state.buffers._held.values() if a.nbytes >= x.nbytes]
    assert all(np.shares_memory(a, x) for a in held)
    assert any(np.shares_memory(a, x) for a in held)


def test_training_grows_by_its_carry_and_the_snapshots_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the number of steps: snapshots have a limit for all together."""
    from chainrule.learn import fitting

    monkeypatch.setattr(fitting, "SLICE_SECONDS", 1e-4)
    monkeypatch.setattr(fitting, "MAX_SNAPSHOT_BYTES", 400_000)
    x, y = data(4000, 50)
    problem = objective(64, 3)
    carry = sum(leaf.nbytes for leaf in flatten(prepare(problem, (x, y)).loop.kept)[0])
    fit(problem, x, y, epochs=1)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        run = fit(problem, x, y, epochs=8)
        grown = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert len(run.snapshots) > 3
    assert len(run.snapshots) * carry < 400_000 + carry
    assert grown < 400_000 + 12 * carry + 600_000, "arenas, orders of rows and graphs take less than 600 kB here"
    assert grown < x.nbytes * 2
