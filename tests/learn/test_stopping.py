"""How a run ends before its time: values that are not finite, and Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.graph import flatten
from chainrule.learn import Report

RNG = np.random.default_rng(3)
X = RNG.normal(size=(16, 3))
Y = X.sum(axis=1, keepdims=True)


def bits(tree: Any) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in flatten(tree)[0]]


def is_finite(tree: Any) -> bool:
    return all(np.all(np.isfinite(leaf)) for leaf in flatten(tree)[0])


# --- not finite -------------------------------------------------------------------------------------------------------


def test_a_learning_rate_that_is_too_high() -> None:
    network = cr.nn.Sequential(cr.nn.Dense(8, "relu"), cr.nn.Dense(1))
    run = cr.fit(cr.Objective(network, "squared_error"), (X, Y), optimizer=cr.learn.SGD(1e3), epochs=50, batch_size=4)
    assert run.status == "non-finite"
    assert is_finite((run.parameters, run.at(run.steps).optimizer))
    assert bits(run.parameters) == bits(run.at(run.steps).parameters)
    step, epoch = run.steps + 1, run.steps // 4 + 1
    assert f"(step {step}, epoch {epoch}: " in run.message
    assert "try a smaller learning rate than 1000" in run.message
    assert "the last finite parameters are kept" in run.message
    assert is_finite(run.predict(X / 1e300))
    assert run.epochs == len(run.history) == run.steps // 4


def test_forward_names_the_layer_and_the_operation() -> None:
    """eˣ overflows in the second hidden layer, at the very first step."""
    network = cr.nn.Sequential(cr.nn.Dense(3), cr.nn.Dense(2, activation=np.exp), cr.nn.Dense(1))
    first = {"hidden2.bias": np.array([0.0, 800.0])}
    run = cr.fit(cr.Objective(network, "squared_error"), (X, Y), parameters=first, epochs=1)
    assert run.status == "non-finite"
    assert run.steps == 0
    assert "(step 1, epoch 1: exp in layer 'hidden2' gave infinite; try" in run.message
    assert run.parameters["hidden2.bias"].tolist() == [0.0, 800.0]


def test_forward_names_the_loss() -> None:
    objective = cr.Objective(lambda w, x: x @ w, "squared_error")
    run = cr.fit(objective, (X, Y * 1e200), parameters=np.zeros((3, 1)), epochs=1)
    assert "(step 1, epoch 1: square in the loss gave infinite; try" in run.message


def test_backward_names_the_layer_and_the_operation() -> None:
    """√0 is 0, and its derivative is infinite: forward nothing is wrong."""
    network = cr.nn.Sequential(cr.nn.Dense(3, activation=np.sqrt), cr.nn.Dense(1))
    first = {"hidden1.weight": np.zeros((3, 3))}
    run = cr.fit(cr.Objective(network, "squared_error"), (X, Y), parameters=first, epochs=1)
    assert run.status == "non-finite"
    assert "(step 1, epoch 1: the backward computation of sqrt in layer 'hidden1' gave infinite; try" in run.message


def test_an_update_names_the_parameter_and_the_operation() -> None:
    network = cr.nn.Sequential(cr.nn.Dense(2, "tanh"), cr.nn.Dense(1))
    start = network.initialize(X)
    # η·g overflows for the one weight whose gradient is not small.
    first = {
        **start,
        "output.weight": np.zeros((2, 1)),
        "hidden1.weight": np.zeros((3, 2)),
        "output.bias": np.array([1e5]),
    }
    run = cr.fit(
        cr.Objective(network, "squared_error"), (X, Y), parameters=first, epochs=1, optimizer=cr.learn.SGD(1.7e308)
    )
    assert run.status == "non-finite"
    assert run.steps == 0
    assert "(step 1, epoch 1: in the update of 'output.bias', multiply gave infinite; try" in run.message
    assert run.parameters["output.bias"].tolist() == [1e5]


def test_an_optimizer_that_overflows_stops_the_run() -> None:
    """g² of 1e170 is infinite: Adam's step would be 0 from then on, and nothing would be learned, silently."""
    objective = cr.Objective(lambda w, x: x @ w, "half_squared_error")
    run = cr.fit(objective, (X, Y), parameters=np.full((3, 1), 1e153), epochs=3, batch_size="all")
    assert run.status == "done"
    x, y = X * 1e20, Y
    run = cr.fit(objective, (x, y), parameters=np.full((3, 1), 1e130), epochs=3, batch_size="all")
    assert run.status == "non-finite"
    assert "in the update, multiply gave infinite" in run.message
    assert is_finite((run.parameters, run.at(run.steps).optimizer))


def test_a_constant_that_is_infinite_is_not_blamed() -> None:
    """A bound of Inf is as its author meant it; what overflows later is named."""
    objective = cr.Objective(lambda w, x: np.exp(np.minimum(x @ w, np.inf)), "squared_error")
    run = cr.fit(objective, (np.ones((4, 1)), np.ones((4, 1))), parameters=np.full((1, 1), 1000.0), epochs=1)
    assert "exp in the loss gave infinite" in run.message


def test_a_sum_over_tiles_that_overflows() -> None:
    objective = cr.Objective(lambda w, x: x @ w, lambda target, output: target * output)
    data = (np.full((4, 1), 1e154), np.full((4, 1), 0.5e154))
    run = cr.fit(objective, data, parameters=np.full((1, 1), 0.6), epochs=1, batch_size="all", tile_rows=2)
    assert run.status == "non-finite"
    assert "a sum over the batch overflowed" in run.message


def test_a_penalty_that_overflows() -> None:
    @dataclass(frozen=True)
    class Steep:
        def settings(self) -> dict[str, float]:
            return {"lambda": 1.0}

        def value(self, parameters: Any, settings: Mapping[str, Any]) -> Any:
            return settings["lambda"] * np.sum(np.exp(parameters))

    objective = cr.Objective(lambda w, x: x @ w, "squared_error", penalty=[Steep()])
    run = cr.fit(objective, (X, Y), parameters=np.full((3, 1), 800.0), epochs=1)
    assert run.status == "non-finite"
    assert "exp gave infinite" in run.message


def test_state_that_overflows_is_not_committed() -> None:
    network = cr.nn.Sequential(cr.nn.BatchNorm(), cr.nn.Dense(1))
    x = np.array([[1e200], [-1e200], [3e200], [0.0]])
    run = cr.fit(cr.Objective(network, "squared_error"), (x, np.ones((4, 1))), epochs=1)
    assert run.status == "non-finite"
    assert run.state["norm1.variance"].tolist() == [1.0]


def test_the_best_parameters_are_kept_when_a_run_breaks_down() -> None:
    objective = cr.Objective(lambda w, x: x @ w, "squared_error")
    rates = {"optimizer": cr.learn.SGD(2.0), "epochs": 2000, "batch_size": "all"}
    run = cr.fit(objective, (X, Y), parameters=np.ones((3, 1)) * 1.01, validation=(X, Y), patience=1999, **rates)
    assert run.status == "non-finite"
    losses = [entry["validation_loss"] for entry in run.history]
    assert run.best_epoch == 1 + int(np.argmin(losses))
    assert bits(run.parameters) == bits(run.at(run.best_epoch).parameters)


# --- Ctrl-C -----------------------------------------------------------------------------------------------------------

needs_default_handler = pytest.mark.skipif(
    signal.getsignal(signal.SIGINT) is not signal.default_int_handler, reason="SIGINT is not Python's own here"
)


def long_run(progress: Any, **options: Any) -> Any:
    objective = cr.Objective(lambda w, x: x @ w, "squared_error")
    chosen = {"epochs": 10**6, "optimizer": cr.learn.SGD(1e-3), "parameters": np.zeros((3, 1))} | options
    return cr.fit(objective, (X, Y), progress=progress, **chosen)


@needs_default_handler
def test_ctrl_c_ends_a_run_and_keeps_what_was_learned() -> None:
    reports: list[Report] = []

    def press_at_the_second(report: Report) -> None:
        reports.append(report)
        if len(reports) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    run = long_run(press_at_the_second)
    assert run.status == "interrupted"
    assert run.message == "interrupted: what was learned until then is kept"
    assert len(reports) == 3, "the slice that was under way is finished, and reported"
    assert [report.status for report in reports] == ["running", "running", "interrupted"]
    assert run.steps == reports[-1].step > reports[1].step
    assert np.any(run.parameters != 0)
    assert bits(run.parameters) == bits(run.at(run.steps).parameters)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert run.predict(X).shape == (16, 1)


@needs_default_handler
def test_ctrl_c_restores_the_best_where_there_is_patience() -> None:
    seen: list[Report] = []

    def press(report: Report) -> None:
        seen.append(report)
        if len(seen) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    run = long_run(press, validation=(X, -Y), patience=10**6)
    assert run.status == "interrupted"
    assert run.best_epoch == 1
    assert bits(run.parameters) == bits(run.at(1).parameters)


@needs_default_handler
def test_a_second_ctrl_c_acts_as_usual() -> None:
    def press_twice(report: Report) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        long_run(press_twice)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@needs_default_handler
def test_the_handler_is_put_back_after_every_end() -> None:
    long_run(None, epochs=1)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def fail(report: Report) -> None:
        raise RuntimeError("the listener failed")

    with pytest.raises(RuntimeError, match="the listener failed"):
        long_run(fail)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_somebody_elses_handler_is_theirs() -> None:
    pressed = threading.Event()
    before = signal.signal(signal.SIGINT, lambda number, frame: pressed.set())
    try:
        mine = signal.getsignal(signal.SIGINT)
        run = long_run(lambda report: os.kill(os.getpid(), signal.SIGINT), epochs=3)
        assert run.status == "done"
        assert pressed.is_set()
        assert signal.getsignal(signal.SIGINT) is mine
    finally:
        signal.signal(signal.SIGINT, before)


PROGRAM = """
import numpy as np, chainrule as cr
objective = cr.Objective(lambda w, x: x @ w, "squared_error")
say = lambda report: print("going", flush=True) if report.step and not said.append(1) and len(said) == 1 else None
said = []
run = cr.fit(objective, (np.ones((8, 1)), np.ones(8)), parameters=np.zeros((1, 1)), epochs=10**7, progress=say)
print(run.status, bool(np.all(np.isfinite(run.parameters))), run.steps > 0, flush=True)
"""


@needs_default_handler
def test_ctrl_c_from_outside() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "going\n"
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=30)
    assert (out, error, process.returncode) == ("interrupted True True\n", "", 0)


def test_a_keyboard_interrupt_within_a_callback_ends_the_run() -> None:
    """Such as the second Ctrl-C while a callback takes long: what was learned until then is kept."""

    def stop_at_ten(training: cr.learn.Training) -> None:
        if training.step == 10:
            raise KeyboardInterrupt

    run = long_run(None, callbacks=[stop_at_ten])
    assert (run.status, run.steps) == ("interrupted", 10)
    assert np.any(run.parameters != 0)
    assert bits(run.parameters) == bits(run.at(10).parameters)
