"""Numbers below the smallest normal one: 0 while a run trains in native code, themselves everywhere else."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.execute.native import engine, flush

pytestmark = pytest.mark.skipif(bool(engine.missing()), reason=engine.missing() or "native code runs here")

SMALL = np.float32(1e-40)
"""A subnormal number of float32."""
RNG = np.random.default_rng(0)


def kept() -> bool:
    """Does this thread compute with subnormal numbers?"""
    one = np.full(64, SMALL, np.float32)
    return bool(np.all(one * np.float32(0.5) > 0)) and bool(np.all(one + one > one))


def train(widths: tuple[int, ...], rows: int, activation: str = "tanh", **options: Any) -> Any:
    x = RNG.normal(size=(rows, widths[0])).astype(np.float32)
    network = cr.nn.Sequential(*(cr.nn.Dense(w, activation=activation) for w in widths[1:]))
    y = np.zeros((rows, widths[-1]), np.float32)
    return cr.fit(cr.Objective(network, "half_squared_error"), (x, y), **options)


RUNS = {
    "straight-line": ((2, 2, 2), 8, 1),
    "straight-line and kernels": ((2, 2, 2), 9, 2),
    "kernels": ((3, 40, 2), 50, 16),
    "two threads": ((300, 500, 200), 600, 200),
}


@pytest.mark.parametrize(("widths", "rows", "batch"), RUNS.values(), ids=RUNS)
def test_a_thread_that_has_trained_keeps_subnormal_numbers(widths: tuple[int, ...], rows: int, batch: int) -> None:
    assert kept()
    run = train(widths, rows, batch_size=batch, epochs=3)
    assert run.status == "done"
    assert kept()


def test_so_does_one_whose_training_ended_in_a_failure() -> None:
    run = train((3, 40, 2), 50, "identity", batch_size=16, epochs=3, optimizer=cr.learn.SGD(1e30))
    assert run.status == "non-finite"
    assert kept()


def test_so_does_another_thread() -> None:
    found: list[bool] = []

    def work() -> None:
        train((3, 40, 2), 50, batch_size=16, epochs=3)
        found.append(kept())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [True]


@pytest.mark.parametrize("width", [2, 40], ids=["straight-line", "kernels"])
def test_in_training_they_are_zero(width: int) -> None:
    """A parameter without a gradient stays what it is, but for numbers that a processor is slow with."""
    network = cr.nn.Sequential(cr.nn.Dense(width, activation="relu"), cr.nn.Dense(1))
    x = RNG.normal(size=(8, 2)).astype(np.float32)
    bias = np.full(width, -100, np.float32)  # every unit is dead
    first = {"hidden1.bias": bias, "output.weight": np.full((width, 1), SMALL, np.float32)}
    run = cr.fit(
        cr.Objective(network, "squared_error"), (x, x[:, :1]), parameters=first, epochs=2, batch_size=4,
        optimizer=cr.learn.SGD(0.1),
    )  # fmt: skip
    assert run.parameters["hidden1.bias"].tobytes() == bias.tobytes()
    if flush.text() == flush.text("unknown"):
        pytest.skip("this processor's flags are not known: subnormal numbers stay")
    assert not np.any(run.parameters["output.weight"])


def test_compiled_functions_and_predictions_keep_them() -> None:
    half = cr.compile(lambda x: 0.5 * x)
    x = np.full((5, 3), SMALL, np.float32)
    assert half(x).tobytes() == (np.float32(0.5) * x).tobytes()
    network = cr.nn.Sequential(cr.nn.Dense(1, activation="identity"))
    one = {"output.weight": np.full((3, 1), 0.25, np.float32), "output.bias": np.zeros(1, np.float32)}
    data = np.ones((4, 3), np.float32), np.full((4, 1), 0.75, np.float32)
    run = cr.fit(cr.Objective(network, "squared_error"), data, parameters=one, epochs=1)
    assert np.all(run.predict(x) > 0)


def test_a_step_that_fails_in_native_code_alone_says_why() -> None:
    """log of a subnormal number is finite, and so is its derivative if the number is not too small; of 0 neither is."""
    network = cr.nn.Sequential(cr.nn.Dense(1, activation="identity"))
    first = {"output.weight": np.full((1, 1), 8e-39, np.float32), "output.bias": np.zeros(1, np.float32)}
    objective = cr.Objective(network, lambda target, output: -np.log(output))
    data = np.ones((1, 1), np.float32), np.ones((1, 1), np.float32)
    options: dict[str, Any] = {"parameters": first, "epochs": 1, "optimizer": cr.learn.SGD(1e-30)}
    assert cr.fit(objective, data, executor="reference", **options).status == "done"
    run = cr.fit(objective, data, **options)
    if flush.text() != flush.text("unknown"):
        assert run.status == "non-finite"
        assert "takes numbers below the smallest normal one for 0" in run.message


@pytest.mark.parametrize(
    "triple", ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "riscv64-unknown-linux-gnu"]
)
def test_its_code_is_right_for_every_processor(triple: str) -> None:
    import llvmlite.binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    inner = "define internal i64 @inner(ptr %p) noinline { ret i64 3 }\n"
    module = llvm.parse_assembly(
        flush.text(triple.split("-")[0])
        + inner
        + flush.keeping("i64", "f", "inner", ["ptr"], flush.flags(triple.split("-")[0]))
    )
    module.verify()
    code = llvm.Target.from_triple(triple).create_target_machine(opt=1).emit_assembly(module)
    wanted = {"x86_64": "ldmxcsr", "aarch64": "FPCR"}.get(triple.split("-")[0])
    assert wanted is None or wanted in code
