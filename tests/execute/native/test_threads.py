"""Threads: the same bits for any number of them, many at once, none to be had, and ends that nothing hangs at."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.execute import cpu_count
from chainrule.execute.native import engine, pool

pytestmark = pytest.mark.skipif(bool(engine.missing()), reason=engine.missing() or "native code runs here")
posix = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
PATIENCE = 60
"""Seconds after which a process that has not ended counts as hanging."""


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    merged = {**os.environ, **environment}
    return subprocess.run([sys.executable, "-c", code], env=merged, capture_output=True, text=True, timeout=PATIENCE)


# --- bits -------------------------------------------------------------------------------------------------------------

BITS = """
import hashlib, json, numpy as np, chainrule as cr
from chainrule.execute import cpu_count
from chainrule.graph import flatten
from chainrule.learn.fitting import prepare

rng = np.random.default_rng(0)
x, y = rng.normal(size=(330, 784)).astype(np.float32), rng.integers(0, 10, 330)
dense = cr.nn.Dense
network = cr.nn.Sequential(dense(512, activation="relu"), cr.nn.Dropout(0.1), dense(256, activation="relu"), dense(10))
objective = cr.Objective(network, "softmax_cross_entropy")

def bits(*values):
    return hashlib.sha256(b"".join(np.asarray(v).tobytes() for v in flatten(values)[0])).hexdigest()

found = {"threads": []}
for name, options in {"whole": {}, "tiled": {"tile_rows": 48}}.items():
    options = {**options, "batch_size": 128, "epochs": 2}
    run = cr.fit(objective, (x, y), validation=(x[:70], y[:70]), **options)
    found[name] = bits(run.parameters, [list(h.values()) for h in run.history], run.predict(x))
    moment = run.at(5)
    found[f"{name} at 5"] = bits(moment.parameters, moment.optimizer)

    def advance(job, loop, until, threads=None):
        job.executor.advance(job.program, job.plan, loop, job.arrays, job.training, None, until=until, threads=threads)
        return loop

    job = prepare(objective, (x, y), **options)
    straight = advance(job, job.loop.snapshot(), 6)
    found["threads"].append(straight.machine.threads)
    stopped = advance(job, job.loop.snapshot(), 4).snapshot()  # after 4 steps, on to others' memory and threads
    resumed = advance(job, stopped, 6, threads=3)
    assert bits(resumed.carry) == bits(straight.carry), "stopped and resumed"
    found[f"{name} by hand"] = bits(straight.carry)
    one, other = cr.learn.fit_many(objective, (x, y), [{}, {"seed": 5}], validation=(x[:70], y[:70]), **options)
    assert bits(one.parameters, one.predict(x)) == bits(run.parameters, run.predict(x)), "one of many"
    assert bits(other.parameters) != bits(run.parameters)
print(json.dumps(found))
"""


def test_the_same_bits_on_1_2_and_4_threads_stopped_and_resumed_alone_and_among_many() -> None:
    found = {}
    for threads in (1, 2, 4):
        done = run(BITS, CHAINRULE_NUM_THREADS=str(threads))
        assert done.returncode == 0, done.stderr
        found[threads] = json.loads(done.stdout)
        assert found[threads].pop("threads") == [threads, threads], "kernels of this network are shared out"
    assert found[1] == found[2] == found[4]


@pytest.fixture(scope="module")
def trained() -> Any:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(256, 20)).astype(np.float32), rng.integers(0, 3, 256)
    network = cr.nn.Sequential(cr.nn.Dense(16, activation="tanh"), cr.nn.Dense(3))
    return cr.fit(cr.Objective(network, "softmax_cross_entropy"), (x, y), epochs=1)


def test_a_million_rows_have_the_bits_of_seven_and_of_one(trained: Any) -> None:
    x = np.random.default_rng(1).normal(size=(1_000_000, 20)).astype(np.float32)
    whole = trained.predict(x)
    assert whole.shape == (1_000_000, 3)
    for start in (0, 1020, 524_285, 999_993):
        assert trained.predict(x[start : start + 7]).tobytes() == whole[start : start + 7].tobytes()
        assert trained.predict(x[start : start + 1]).tobytes() == whole[start : start + 1].tobytes()


# --- many at once -----------------------------------------------------------------------------------------------------


def test_threads_predict_with_one_model_while_others_train(trained: Any) -> None:
    rng = np.random.default_rng(2)
    inputs = [rng.normal(size=(rows, 20)).astype(np.float32) for rows in (1, 7, 1024, 5000)]
    expected = [trained.predict(x).tobytes() for x in inputs]
    x, y = rng.normal(size=(300, 20)).astype(np.float32), rng.integers(0, 3, 300)
    wide = cr.nn.Sequential(cr.nn.Dense(400, activation="relu"), cr.nn.Dense(3))
    objective = cr.Objective(wide, "softmax_cross_entropy")

    def fit() -> bytes:
        return b"".join(v.tobytes() for v in cr.fit(objective, (x, y), epochs=3, batch_size=150).parameters.values())

    fitted = fit()
    wrong: list[str] = []

    def predict(i: int) -> None:
        wrong.extend(f"rows of input {i}" for _ in range(30) if trained.predict(inputs[i]).tobytes() != expected[i])

    def train(_: int) -> None:
        wrong.extend("a training" for _ in range(3) if fit() != fitted)

    work: list[tuple[Callable[[int], None], int]] = [(predict, i) for i in range(len(inputs))] * 2 + [(train, 0)] * 2
    threads = [threading.Thread(target=do, args=(i,)) for do, i in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads)
    assert not wrong


def test_threads_that_ask_for_the_same_code_at_once_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINRULE_CACHE_DIR", "off")
    x = np.linspace(0, 1, 12).reshape(3, 4)
    function = cr.compile(lambda x: np.sum(np.exp(-x) * 1.2345, axis=1))
    expected = np.sum(np.exp(-x) * 1.2345, axis=1)
    gate, results = threading.Barrier(6), []

    def work() -> None:
        gate.wait()
        results.append(function(x))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(results) == 6
    for result in results:
        np.testing.assert_allclose(result, expected, rtol=1e-13)


def test_threads_that_change_places_at_every_moment(trained: Any) -> None:
    """What a Python without a global lock does by itself: one function, many numbers of rows, new code in between."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(90, 20)).astype(np.float32)
    whole = trained.predict(x)
    double = cr.compile(lambda v: v * 2.0 + 1.0)
    wrong: list[Any] = []

    def work(i: int) -> None:
        try:
            for rows in range(1, 81):  # more than are kept bound at a time
                start = (7 * rows + i) % (90 - rows)
                if trained.predict(x[start : start + rows]).tobytes() != whole[start : start + rows].tobytes():
                    wrong.append((start, rows))
                size = (rows + i) % 9 + 1  # traced and compiled by whoever comes first
                if double(np.ones(size)).tolist() != [3.0] * size:
                    wrong.append(size)
        except Exception as error:
            wrong.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
    finally:
        sys.setswitchinterval(before)
    assert not any(thread.is_alive() for thread in threads)
    assert not wrong


# --- none to be had ---------------------------------------------------------------------------------------------------


def test_where_no_thread_can_be_started_one_does_all_the_work(trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINRULE_NUM_THREADS", "4")
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(300, 200)).astype(np.float32), rng.integers(0, 3, 300)
    many = rng.normal(size=(5000, 20)).astype(np.float32)
    network = cr.nn.Sequential(cr.nn.Dense(300, activation="relu"), cr.nn.Dense(3))

    def results() -> list[bytes]:
        run = cr.fit(cr.Objective(network, "softmax_cross_entropy"), (x, y), epochs=2, batch_size=150)
        return [*(v.tobytes() for v in run.parameters.values()), trained.predict(many).tobytes()]

    expected = results()
    refused = []

    def start(thread: threading.Thread) -> None:
        refused.append(thread.name)
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(pool, "_pools", {})
    monkeypatch.setattr(threading.Thread, "start", start)
    assert results() == expected
    assert "chainrule-1" in refused
    assert "chainrule-rows-1" in refused


def test_what_goes_wrong_on_another_thread_is_raised_where_the_caller_is(
    trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chainrule.execute.native import function

    monkeypatch.setenv("CHAINRULE_NUM_THREADS", "4")
    trained.predict(np.zeros((1, 20), np.float32))
    main = threading.current_thread()

    class Buffers(function.Buffers):
        def __init__(self, *arguments: Any) -> None:
            if threading.current_thread() is not main:
                raise MemoryError("no room for another arena")
            super().__init__(*arguments)

    monkeypatch.setattr(function, "Buffers", Buffers)
    with pytest.raises(MemoryError, match="no room for another arena"):
        trained.predict(np.zeros((500_000, 20), np.float32))


def test_how_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    threadpoolctl = pytest.importorskip("threadpoolctl")
    monkeypatch.delenv("CHAINRULE_NUM_THREADS", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert 1 <= cpu_count() <= (cpus or 1)
    if any(lib["user_api"] == "blas" for lib in threadpoolctl.threadpool_info()):
        with threadpoolctl.threadpool_limits(1):
            assert cpu_count() == 1
    for text, expected in (("1", 1), ("1,2", 1), ("0", None), ("many", None), ("²", None)):
        monkeypatch.setenv("OMP_NUM_THREADS", text)
        assert expected in (None, cpu_count())
    monkeypatch.setenv("CHAINRULE_NUM_THREADS", "7")
    with threadpoolctl.threadpool_limits(1):
        assert cpu_count() == 7, "who says it to us by name is not contradicted"


# --- ends -------------------------------------------------------------------------------------------------------------

SETUP = """
import os, sys, threading, time
import numpy as np, chainrule as cr
rng = np.random.default_rng(0)
x, y = rng.normal(size=(600, 300)).astype(np.float32), rng.integers(0, 3, 600)
network = cr.nn.Sequential(cr.nn.Dense(300, activation="relu"), cr.nn.Dense(300, activation="relu"), cr.nn.Dense(3))
objective = cr.Objective(network, "softmax_cross_entropy")
def fit(epochs=2, **options):
    return cr.fit(objective, (x, y), epochs=epochs, batch_size=200, **options)
"""
ENDS = {
    "a pool waits": "run = fit(); assert run.status == 'done'",
    "a daemon thread is training": """
begun = threading.Event()
threading.Thread(target=fit, args=(10**6,), kwargs={"progress": lambda report: begun.set()}, daemon=True).start()
begun.wait()
""",
    "daemon threads are training and predicting": """
run = fit()
rows = np.zeros((10**5, 300), np.float32)
def forever(do):
    while True:
        do()
for _ in range(2):
    threading.Thread(target=forever, args=(fit,), daemon=True).start()
    threading.Thread(target=forever, args=(lambda: run.predict(rows),), daemon=True).start()
time.sleep(0.2)
""",
    "another thread goes on to its end": """
def later():
    threading.main_thread().join()  # the interpreter is being taken down: no thread can be started any more
    assert np.all(np.isfinite(fit().predict(np.zeros((10**4, 300), np.float32))))
    print("trained", flush=True)
threading.Thread(target=later).start()
""",
    "sys.exit inside a listener": "fit(10**6, progress=lambda report: sys.exit(0))",
}


@pytest.mark.parametrize("end", ENDS)
def test_the_interpreter_ends_while(end: str) -> None:
    done = run(SETUP + ENDS[end], CHAINRULE_NUM_THREADS="4")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert ("trained" in done.stdout) == ("goes on" in end)


INTERRUPTED = {
    "a training": (
        "run = fit(10**6, progress=lambda report: print('go', flush=True)); print(run.status, run.steps > 0)",
        "interrupted True",
    ),
    "many trainings": (
        "runs = cr.learn.fit_many(objective, (x, y), [{}] * 3, epochs=10**6, batch_size=200, "
        "progress=lambda *_: print('go', flush=True)); print({run.status for run in runs})",
        "{'interrupted'}",
    ),
    "a prediction": (
        """
run = fit()
rows = np.zeros((10**5, 300), np.float32)
try:
    print('go', flush=True)
    while True:
        run.predict(rows)
except KeyboardInterrupt:
    print([t.name for t in threading.enumerate() if t.name.startswith('chainrule-rows')], fit().status)
""",
        "[] done",
    ),
}


@posix
@pytest.mark.parametrize("what", INTERRUPTED)
def test_ctrl_c_ends(what: str) -> None:
    code, said = INTERRUPTED[what]
    process = subprocess.Popen(
        [sys.executable, "-c", SETUP + code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "CHAINRULE_NUM_THREADS": "2"},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "go\n"
    process.send_signal(signal.SIGINT)
    try:
        out, errors = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert out.splitlines()[-1] == said
