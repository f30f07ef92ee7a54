"""Callbacks: when they are called, what they see, and what they change, replayed to the same bits."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import TrainingError
from chainrule.graph import flatten
from chainrule.learn import SGD, Adam, Cosine, Every, Training, fit_many

RNG = np.random.default_rng(12)
X = RNG.normal(size=(50, 4))
Y = np.sin(X).sum(axis=1, keepdims=True)
HELD = X[:20] + 0.1, Y[:20]
EXECUTORS = ["reference", "native"]


def fit(*callbacks: Any, **options: Any) -> Any:
    network = cr.nn.Sequential(cr.nn.Dense(6, "tanh"), cr.nn.Dropout(0.2), cr.nn.Dense(1))
    chosen: dict[str, Any] = {"epochs": 6, "batch_size": 8, "optimizer": Adam(0.02)} | options
    return cr.fit(cr.Objective(network, "squared_error"), (X, Y), callbacks=callbacks, **chosen)


def bits(tree: Any) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in flatten(tree)[0]]


@pytest.mark.parametrize("seconds", [0.0, 0.05])
@pytest.mark.parametrize("executor", EXECUTORS)
def test_when_they_are_called_and_what_they_see(executor: str, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["chainrule.learn.fitting"], "SLICE_SECONDS", seconds)
    epochs: list[Any] = []
    steps: list[Any] = []

    def at_epoch(t: Training) -> None:
        epochs.append((t.step, t.epoch, t.loss, t.validation_loss, t.history[-1], t.parameters, t.settings))

    def at_step(t: Training) -> None:
        steps.append((t.step, t.epoch, t.loss, t.learning_rate, t.parameters))

    optimizer = Adam(Cosine(0.02))
    run = fit(at_epoch, Every(5, at_step), executor=executor, validation=HELD, optimizer=optimizer)
    assert [(step, epoch) for step, epoch, *_ in epochs] == [(7 * e, e) for e in range(1, 7)]
    for (step, _, loss, held, entry, parameters, settings), wanted in zip(epochs, run.history, strict=True):
        assert (loss, held) == (wanted["loss"], wanted["validation_loss"])
        assert entry == wanted
        assert bits(parameters) == bits(run.at(step).parameters)
        assert settings == run.settings_at(step)
    assert [step for step, *_ in steps] == list(range(5, 43, 5))
    for step, epoch, loss, rate, parameters in steps:
        assert epoch == step // 7
        assert rate == run.settings_at(step)["learning_rate"]
        assert np.isfinite(loss)
        assert bits(parameters) == bits(run.at(step).parameters)
    assert bits(run.parameters) == bits(fit(executor=executor, optimizer=optimizer).parameters), "watching is free"


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_setting_that_is_changed_is_in_force_from_there_on(executor: str) -> None:
    def change(t: Training) -> None:
        if t.step == 10:
            t.change("learning_rate", 0.005)
            t.change("dropout1.rate", 0.0)
        if t.step == 20:
            t.change("dropout1.rate", 0.5)

    run = fit(Every(5, change), executor=executor)
    assert [run.settings_at(s)["learning_rate"] for s in (9, 10, 42)] == [0.02, 0.005, 0.005]
    assert [run.settings_at(s)["dropout1.rate"] for s in (0, 9, 10, 19, 20, 42)] == [0.2, 0.2, 0, 0, 0.5, 0.5]
    assert [e["learning_rate"] for e in run.history] == [0.02, *[0.005] * 5]
    assert [e["dropout1.rate"] for e in run.history] == [0.2, 0.0, 0.5, 0.5, 0.5, 0.5]
    assert run.settings["learning_rate"] == 0.02, "what the run began with"
    # piece by piece, with the numbers given
    first = fit(executor=executor)
    assert bits(run.at(10).parameters) == bits(first.at(10).parameters)
    assert bits(run.at(11).parameters) != bits(first.at(11).parameters)
    for step in (12, 21, 30, 42):  # replayed from the beginning, and from any other snapshot
        run.snapshots[1:] = []
        assert bits(run.at(step).parameters) == bits(fit(Every(5, change), executor=executor).at(step).parameters)
    assert bits(run.at(42).parameters) == bits(run.parameters)


def test_native_changes_settings_as_the_reference_does() -> None:
    def fall(t: Training) -> None:
        t.change("learning_rate", 0.02 / (1 + t.epoch))

    one, other = (fit(fall, executor=executor) for executor in EXECUTORS)
    for key, value in one.parameters.items():
        np.testing.assert_allclose(other.parameters[key], value, rtol=1e-10, atol=1e-12)


def test_a_step_that_goes_wrong_after_a_change_is_replayed_under_the_settings_that_it_had() -> None:
    """Native code writes over the carry; after a bad step it is brought back from where it was last seen."""

    def burst(t: Training) -> None:
        if t.step == 9:
            t.change("learning_rate", 0.05)
        if t.step == 12:
            t.change("learning_rate", 1e200)

    for optimizer in (SGD(0.01), SGD(0.01, momentum=0.5)):
        runs = [fit(Every(3, burst), executor=executor, optimizer=optimizer) for executor in EXECUTORS]
        assert [run.status for run in runs] == ["non-finite"] * 2
        assert runs[0].steps == runs[1].steps <= 15
        for key, value in runs[0].at(12).parameters.items():
            np.testing.assert_allclose(runs[1].at(12).parameters[key], value, rtol=1e-10)
        for run in runs:
            assert bits(run.parameters) == bits(run.at(run.steps).parameters)
            assert "try a smaller learning rate than 1e+200" in run.message


@pytest.mark.parametrize("executor", EXECUTORS)
def test_stopping_with_a_reason(executor: str) -> None:
    run = fit(lambda t: t.stop("good enough") if t.epoch == 3 else None, executor=executor)
    assert (run.status, run.epochs, run.steps) == ("stopped", 3, 21)
    assert run.message == "stopped by a callback (good enough)"
    assert bits(run.parameters) == bits(fit(executor=executor, epochs=3).parameters)
    middle = fit(Every(10, lambda t: t.stop("here")), executor=executor, validation=HELD, patience=2)
    assert (middle.steps, middle.epochs) == (10, 1)
    assert middle.best_epoch == 1
    last = fit(lambda t: t.stop("too late") if t.epoch == 6 else None, executor=executor)
    assert last.status == "done"


def test_what_is_seen_cannot_be_written_to() -> None:
    def write(t: Training) -> None:
        t.parameters["output.bias"][0] = 1.0

    with pytest.raises(ValueError, match="read-only"):
        fit(write)
    seen: list[Any] = []
    fit(lambda t: seen.append(t.average), average=0.5)
    assert not seen[0]["output.bias"].flags.writeable


def test_an_error_in_a_callback_is_the_callers() -> None:
    def fail(t: Training) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fit(fail)


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        (print, "callbacks is a list: callbacks=[watch]"),
        ([3], "a callback is a function of one argument, or cr.learn.Every, not 3"),
        ([lambda t: t.change("learning_rat", 0.1)], "there is no setting 'learning_rat'; there are:"),
        ([lambda t: t.change("learning_rate", float("nan"))], "the setting 'learning_rate' is nan"),
    ],
)
def test_what_cannot_be_is_said(callbacks: Any, message: str) -> None:
    objective = cr.Objective(cr.nn.Dense(1), "squared_error")
    with pytest.raises(TrainingError) as error:
        cr.fit(objective, (X, Y), callbacks=callbacks)
    assert message in str(error.value)


def test_every_needs_a_number_of_steps_and_fit_many_has_no_callbacks() -> None:
    with pytest.raises(TrainingError, match="Every: steps is 0"):
        Every(0, print)
    with pytest.raises(TrainingError, match="callbacks belongs to one run: fit_many has none"):
        fit_many(cr.Objective(cr.nn.Dense(1), "squared_error"), (X, Y), [{}], callbacks=[print])


def no_argument() -> None:
    pass


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"callbacks": 3}, "callbacks is 3; it must be a list of functions: callbacks=[watch]"),
        ({"callbacks": "watch"}, "callbacks is 'watch'; it must be a list of functions"),
        ({"callbacks": [3]}, "a callback is a function of one argument, or cr.learn.Every, not 3"),
        ({"callbacks": [no_argument]}, "does not take one.\n  wrong:  def watch(): …"),
        ({"settings": 3}, "settings is 3; it must be a mapping such as {'learning_rate': 0.01}"),
        ({"checkpoint": 3}, "checkpoint is 3; it must be a folder, such as 'run1'"),
        ({"checkpoint": ""}, "checkpoint is ''; it must be a folder"),
        ({"checkpoint_every": -1}, "checkpoint_every is -1; it must be a number of seconds"),
        ({"checkpoint_every": 5}, "give the folder too, checkpoint='run1'"),
    ],
)
def test_arguments_of_the_wrong_kind(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainingError) as caught:
        cr.fit(cr.Objective(cr.nn.Dense(1), "squared_error"), (np.ones((4, 2)), np.ones(4)), epochs=1, **options)
    assert message in str(caught.value)


@pytest.mark.parametrize("function", [3, no_argument])
def test_every_takes_a_function_of_one_argument(function: Any) -> None:
    with pytest.raises(TrainingError, match=r"cr\.learn\.Every\(100, watch\): watch is a function of one argument"):
        cr.learn.Every(1, function)


def test_stop_needs_no_reason() -> None:
    data = (np.ones((4, 2)), np.ones(4))
    stop = [lambda training: training.stop()]
    run = cr.fit(cr.Objective(cr.nn.Dense(1), "squared_error"), data, epochs=5, callbacks=stop)
    assert (run.status, run.message, run.epochs) == ("stopped", "stopped by a callback", 1)


@pytest.mark.parametrize("step", [1.5, "a", True, None])
def test_a_step_is_a_whole_number(step: Any) -> None:
    run = cr.fit(cr.Objective(cr.nn.Dense(1), "squared_error"), (np.ones((4, 2)), np.ones(4)), epochs=5)
    for ask in (run.at, run.settings_at):
        with pytest.raises(TrainingError, match=rf"the step is {step!r}; a step is a whole number from 0 to 5"):
            ask(step)
    assert run.at(np.int64(3)).step == 3
