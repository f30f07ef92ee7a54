"""Processes: forked at any moment, spawned, joblib's; each trains and predicts to the same bits, and none hangs."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from chainrule.execute.native import engine

pytestmark = pytest.mark.skipif(bool(engine.missing()), reason=engine.missing() or "native code runs here")
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
PATIENCE = 90
"""Seconds after which a process that has not ended counts as hanging."""

SETUP = '''
import hashlib, os, sys, threading, time
import numpy as np, chainrule as cr
from chainrule.execute import cpu_count
from chainrule.execute.native import pool

rng = np.random.default_rng(0)
x, y = rng.normal(size=(600, 300)).astype(np.float32), rng.integers(0, 3, 600)
many = rng.normal(size=(3000, 300)).astype(np.float32)

def objective(width=300):
    network = cr.nn.Sequential(cr.nn.Dense(width, activation="relu"), cr.nn.Dense(3))
    return cr.Objective(network, "softmax_cross_entropy")

def fit(_=0, width=300, **options):
    return cr.fit(objective(width), (x, y), **{"epochs": 2, "batch_size": 200, **options})

def bits(run):
    predicted = [run.predict(many), run.predict(many[:1])] if hasattr(run, "predict") else []
    parts = [*run.parameters.values(), *predicted]
    return hashlib.sha256(b"".join(p.tobytes() for p in parts)).hexdigest()

def train(number=0):
    return bits(fit())

def ended(child, seconds=60):
    """Wait for a forked child, and say how it ended; one that hangs is killed."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return "hung"

def in_child(work):
    """Fork, work in the child, and end it there with 0 if the work gave True."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        code = 0 if work() else 2
    finally:
        sys.stdout.flush()
        os._exit(code)
'''


def run(code: str, threads: int = 2) -> str:
    environment = {k: v for k, v in os.environ.items() if k not in ("CHAINRULE_NUM_THREADS", "OMP_NUM_THREADS")}
    if threads:
        environment["CHAINRULE_NUM_THREADS"] = str(threads)
    done = subprocess.run(
        [sys.executable, "-c", SETUP + code], env=environment, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@forks
def test_a_child_trains_and_predicts_after_its_parent_used_threads() -> None:
    run("""
expected = train()
assert pool._pools, "helpers were used"
run = fit()
def child():
    assert not pool._pools, "the parent's helpers are not here"
    grandchild = in_child(lambda: train() == expected)
    return train() == expected and bits(run) == expected and ended(grandchild) == 0 and bool(pool._pools)
children = [in_child(child) for _ in range(3)]
assert train() == expected
assert [ended(c) for c in children] == [0, 0, 0]
""")


@forks
def test_children_that_are_forked_inside_a_training_go_on_with_it() -> None:
    run("""
expected = train()
children = []
def report(_):
    if len(children) < 2:
        child = os.fork()
        children.append(child)
        if not child:
            children.extend([0] * 5)
run = fit(progress=report)
if 0 in children:
    os._exit(0 if bits(run) == expected else 2)
assert bits(run) == expected
assert children and [ended(c) for c in children] == [0] * len(children)
""")


@forks
def test_forks_while_other_threads_train_predict_and_compile() -> None:
    """Every lock that a child needs is free in it, whatever the other threads did at that moment."""
    run("""
os.environ["CHAINRULE_CACHE_DIR"] = "off"
expected = train()
run = fit()
stop = threading.Event()
def keep(do):
    def loop():
        number = 0
        while not stop.is_set():
            number += 1
            do(number)
    return threading.Thread(target=loop)
def compiled(number):  # always new code: another constant
    return float(cr.compile(lambda v: np.sum(np.exp(v) * (number + 0.5)))(np.ones(3)))
others = [keep(fit), keep(lambda _: run.predict(many)), keep(compiled)]
for other in others:
    other.start()
codes = []
for i in range(6):
    time.sleep(0.013 * (i % 4))
    child = in_child(lambda: compiled(-i) != 0.0 and bits(run) == expected and (i % 4 > 0 or train() == expected))
    codes.append(ended(child))
stop.set()
for other in others:
    other.join()
assert codes == [0] * 6, codes
""")


MULTIPROCESSING = """
import multiprocessing, numpy as np, chainrule as cr

def make():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(400, 200)).astype(np.float32), rng.integers(0, 3, 400)
    network = cr.nn.Sequential(cr.nn.Dense(300, activation="relu"), cr.nn.Dense(3))
    return cr.Objective(network, "softmax_cross_entropy"), (x, y)

def train(seed):
    objective, data = make()
    run = cr.fit(objective, data, epochs=1, batch_size=200, seed=seed)
    return b"".join(v.tobytes() for v in run.parameters.values()) + run.predict(data[0]).tobytes()

def predict(model):
    return model.predict(make()[1][0]).tobytes()

if __name__ == "__main__":
    import sys
    expected = [train(seed) for seed in range(3)]
    objective, data = make()
    model = cr.fit(objective, data, epochs=1, batch_size=200).predictor
    for method in sys.argv[1:]:
        with multiprocessing.get_context(method).Pool(2) as workers:
            assert workers.map_async(train, range(3)).get(60) == expected, method
            assert workers.map_async(predict, [model] * 3).get(60) == [predict(model)] * 3, method
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_of_multiprocessing(method: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    import multiprocessing

    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"{method} is not a way to start processes here")
    script = tmp_path_factory.mktemp("script") / "work.py"
    script.write_text(MULTIPROCESSING)
    done = subprocess.run(
        [sys.executable, str(script), method], env={**os.environ, "CHAINRULE_NUM_THREADS": "2"}, capture_output=True,
        text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_workers_of_joblib_are_right_and_take_no_more_than_their_share() -> None:
    pytest.importorskip("joblib")
    run(
        """
from joblib import Parallel, delayed
expected = train()
model = fit().predictor
for backend in ("loky", "threading", "multiprocessing"):
    runs = Parallel(n_jobs=2, backend=backend, timeout=60)(delayed(fit)(i) for i in range(4))
    assert [bits(run) for run in runs] == [expected] * 4, backend
    assert bits(runs[0].at(3)) != bits(runs[0].at(2)), 'a run from another process can be replayed'
    found = Parallel(n_jobs=2, backend=backend, timeout=60)(delayed(model.predict)(many) for i in range(4))
    assert all(f.tobytes() == model.predict(many).tobytes() for f in found), backend
cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
shares = Parallel(n_jobs=max(cpus, 2), backend="loky", timeout=60)(delayed(cpu_count)() for _ in range(8))
assert set(shares) == {1}, shares
""",
        threads=0,
    )
