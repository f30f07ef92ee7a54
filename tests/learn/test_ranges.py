"""Settings are held to the range that the constructors hold them to, wherever they are given."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import TrainingError
from chainrule.learn import Adam, AdamW, ClipNorm, Cosine, Exponential, FlatCosine, Piecewise, RMSprop, Warmup, fit_many
from chainrule.nn.setting import FRACTION, Range, Setting, range_of

RNG = np.random.default_rng(11)
X = RNG.normal(size=(12, 3))
Y = X.sum(axis=1)


def objective() -> cr.Objective:
    network = cr.nn.Sequential(cr.nn.Dense(4, "tanh"), cr.nn.BatchNorm(), cr.nn.Dropout(0.2), cr.nn.Dense(1))
    return cr.Objective(network, "squared_error")


def fit(**options: Any) -> Any:
    return cr.fit(objective(), (X, Y), **({"epochs": 1, "executor": "reference"} | options))


AT_LEAST = "a number of at least 0"
FRACTIONAL = "a number of at least 0 and less than 1"
BAD: list[tuple[dict[str, Any], str, float, str]] = [
    ({}, "learning_rate", -1.0, "a number greater than 0"),
    ({}, "learning_rate", 0.0, "a number greater than 0"),
    ({}, "dropout1.rate", 1.5, FRACTIONAL),
    ({}, "dropout1.rate", -0.1, FRACTIONAL),
    ({}, "norm1.momentum", 0.0, "a number greater than 0 and at most 1"),
    ({}, "beta1", 1.5, FRACTIONAL),
    ({}, "beta2", -1.0, FRACTIONAL),
    ({}, "epsilon", -1.0, AT_LEAST),
    ({"optimizer": AdamW(0.1)}, "decay", -5.0, AT_LEAST),
    ({"optimizer": cr.learn.Lion(0.1)}, "beta1", 1.0, FRACTIONAL),
    ({"optimizer": RMSprop(0.1, momentum=0.5)}, "rho", 2.0, FRACTIONAL),
    ({"optimizer": RMSprop(0.1, momentum=0.5)}, "momentum", 1.0, FRACTIONAL),
    ({"optimizer": cr.learn.Adagrad(0.1)}, "epsilon", 0.0, "a number greater than 0"),
    ({"optimizer": cr.learn.SGD(0.1, momentum=0.5)}, "momentum", -0.5, FRACTIONAL),
    ({"optimizer": ClipNorm(Adam(0.1), 1.0)}, "clip_norm", 0.0, "a number greater than 0"),
    ({"optimizer": Adam(Cosine(0.1))}, "final_rate", -1.0, AT_LEAST),
    ({"optimizer": Adam(Cosine(0.1))}, "cosine_steps", 0.0, "a number of at least 1"),
    ({"optimizer": Adam(Warmup(0.1))}, "warmup_steps", -3.0, "a number of at least 1"),
    ({"average": 0.9}, "average.decay", 1.0, FRACTIONAL),
    ({"rate_factors": {"*.bias": 0.5}}, "output.bias.rate", -1.0, AT_LEAST),
]


@pytest.mark.parametrize(("options", "name", "value", "wanted"), BAD)
def test_a_number_out_of_its_range_is_refused(options: dict[str, Any], name: str, value: float, wanted: str) -> None:
    with pytest.raises(TrainingError) as caught:
        fit(settings={name: value}, **options)
    assert str(caught.value) == f"the setting {name!r} is {value}; it must be {wanted}"


@pytest.mark.parametrize(("name", "value"), [("dropout1.rate", 2), ("learning_rate", -1.0), ("beta1", 1.0)])
def test_a_change_out_of_its_range_is_refused(name: str, value: float) -> None:
    with pytest.raises(TrainingError, match=rf"the setting '{name}' is {value}; it must be a number"):
        fit(callbacks=[lambda training: training.change(name, value)])


def test_entries_of_fit_many() -> None:
    with pytest.raises(
        TrainingError, match=r"settings\[1\]: the setting 'learning_rate' is -1\.0; it must be a number"
    ):
        fit_many(objective(), (X, Y), [{"learning_rate": 0.1}, {"learning_rate": -1.0}], epochs=1)
    with pytest.raises(
        TrainingError, match=r"settings\[0\]: the setting 'dropout1\.rate' has a schedule that makes it"
    ):
        fit_many(objective(), (X, Y), [{"dropout1.rate": FlatCosine(1.5)}], epochs=1)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (FlatCosine(2.0), "makes it 2 in step 0; it must be a number of at least 0 and less than 1"),
        (Exponential(0.5, steps=1, factor=2.0), "makes it 1 in step 1; it must be"),
        (Piecewise(0.5, {3: 1.0}), "makes it 1 in step 3; it must be"),
    ],
)
def test_a_schedule_that_leaves_the_range(schedule: Any, message: str) -> None:
    with pytest.raises(TrainingError, match=f"the setting 'dropout1.rate' has a schedule that {message}"):
        fit(settings={"dropout1.rate": schedule}, epochs=5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Cosine(0.1, 10, final=-1), "cosine: final is -1; it must be a number of at least 0"),
        (lambda: FlatCosine(0.1, final=-1), "flat_cosine: final is -1; it must be"),
        (lambda: cr.learn.Polynomial(0.1, final=-0.1), "polynomial: final is -0.1; it must be"),
        (lambda: Cosine(0.1, 2.5), "cosine: steps is 2.5; it must be a whole number of at least 1"),
        (lambda: Cosine(0.1, True), "cosine: steps is True; it must be a whole number"),
        (lambda: Warmup(0.1, 2.5), "warmup: steps is 2.5; it must be a whole number"),
        (lambda: Adam(epsilon=-1), "Adam: epsilon is -1; it must be a number of at least 0"),
        (lambda: AdamW(decay=float("inf")), "AdamW: decay is inf; it must be a number of at least 0"),
        (lambda: Cosine("a"), "the learning rate is 'a'; it must be a number greater than 0"),
    ],
)
def test_constructors(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        make()


@dataclass(frozen=True)
class Small:
    strength: float = 0.1

    def settings(self) -> dict[str, float]:
        return {"lambda": self.strength, "shift": 1.0}

    def value(self, parameters: Any, settings: Mapping[str, Any]) -> Any:
        return settings["lambda"] * np.sum(parameters**2)


def test_a_penalty_is_not_negative() -> None:
    chosen: dict[str, Any] = {"parameters": np.zeros((3, 1)), "epochs": 1, "executor": "reference"}
    own = cr.Objective(lambda w, x: x @ w, "squared_error", penalty=[Small()])
    with pytest.raises(
        TrainingError, match=r"the setting 'penalty1\.lambda' is -1\.0; it must be a number of at least"
    ):
        cr.fit(own, (X, Y), settings={"penalty1.lambda": -1.0}, **chosen)
    cr.fit(own, (X, Y), settings={"penalty1.shift": -1.0}, **chosen)
    own = cr.Objective(lambda w, x: x @ w, "squared_error", penalty=[Small(-0.5)])
    with pytest.raises(TrainingError, match=r"the setting 'penalty1\.lambda' is -0\.5; it must be"):
        cr.fit(own, (X, Y), **chosen)


def test_numbers_within_their_range_are_taken_and_read_back() -> None:
    run = fit(settings={"beta1": 0.0, "dropout1.rate": 0.0, "norm1.momentum": 1}, epochs=2)
    assert run.settings["beta1"] == 0.0
    assert run.settings["norm1.momentum"] == 1.0
    fit(optimizer=ClipNorm(Adam(0.1), 1.0), settings={"clip_norm": Cosine(0.5)})  # 0 only after the last step


def test_a_setting_is_a_number_that_can_be_copied() -> None:
    rate = Setting(0.5, FRACTION)
    for other in (copy.deepcopy(rate), pickle.loads(pickle.dumps(rate))):
        assert other == 0.5
        assert range_of(other) == FRACTION
    assert range_of(0.5) == Range()
    assert float("nan") not in Range()
    assert True not in Range()
    assert "0.5" not in FRACTION
