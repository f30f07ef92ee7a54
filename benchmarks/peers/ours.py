"""chainrule, through its public faces: ``cr.fit``, ``cr.learn.fit_many``, ``cr.compile``, ``run.predict``, the command.

``fit`` makes the row order of every epoch itself, inside the time that is measured; the others are given theirs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np

import chainrule as cr
from benchmarks.peers.process import Process
from benchmarks.peers.trainer import Array, Clock, Prediction, Trainer
from benchmarks.workloads import Workload

MANY = 10**6
"""Epochs of a run that is ended by its listener."""


def version() -> str:
    return cr.__version__


def forms(work: Workload, threads: int) -> dict[str, Callable[[], Trainer]]:
    if work.kind == "train":
        return {"fit": lambda: Fit(work)}
    if work.kind == "tabular":
        from benchmarks.peers.tabular_ours import Tabular

        return {"fit": lambda: Tabular(work)}
    if work.kind == "many":
        return {"fit_many": lambda: FitMany(work, threads)}
    if work.kind == "predict":
        return {
            "compile": lambda: Prediction(work, lambda: _compiled(work)),
            "run.predict": lambda: Prediction(work, lambda: _predicting(work)),
        }
    return {"train": lambda: Process(work, command, _accuracy)}


def network_of(work: Workload) -> tuple[Any, dict[str, Array]]:
    """Return the network and the first parameters by name."""
    last = "sigmoid" if work.activation == "sigmoid" else "identity"
    kinds = [work.activation] * (len(work.shape) - 2) + [last]
    network = cr.nn.Sequential(*(cr.nn.Dense(n, activation=k) for n, k in zip(work.shape[1:], kinds, strict=True)))
    names = list(network.initialize(np.zeros((1, work.shape[0]), np.float32), seed=0))
    values = [array for pair in work.parameters() for array in pair]
    return network, dict(zip(names, values, strict=True))


def _optimizer(work: Workload) -> Any:
    if work.optimizer == "adam":
        return cr.learn.Adam(work.rate)
    return cr.learn.SGD(work.rate, momentum=0.9 if work.optimizer == "momentum" else 0.0)


@dataclass(frozen=True)
class L2:
    """+ λ Σ W² over the weights (not the biases)."""

    strength: float = 1e-3

    def settings(self) -> dict[str, float]:
        return {"lambda": self.strength}

    def value(self, parameters: Any, settings: Mapping[str, Any]) -> Any:
        weights = [value for name, value in parameters.items() if name.endswith("weight")]
        return settings["lambda"] * sum(np.sum(w * w) for w in weights)


class Enough(Exception):
    """Raised by a listener: the run has gone on for as long as it is needed."""


class Fit(Trainer):
    """Training runs by ``cr.fit``; in its reports to the listener, time and steps are read."""

    def __init__(self, work: Workload) -> None:
        super().__init__(work)
        network, parameters = network_of(work)
        self.objective = cr.Objective(network, work.loss)
        self.data = work.data()
        self.options: dict[str, Any] = {
            "optimizer": _optimizer(work),
            "batch_size": work.batch,
            "parameters": parameters,
            "shuffle": work.shuffle,
        }

    def first(self) -> None:
        """Go on until the first report that has the steps of a unit behind it."""

        def listen(report: Any) -> None:
            if report.step >= self.work.steps:
                raise Enough

        self._fit(listen)

    def check(self) -> Array:
        epochs = ceil(self.work.check * self.work.batch / self.work.rows)
        run = cr.fit(self.objective, self.data, epochs=epochs, **self.options)
        return np.array([loss_of(self.objective, run.at(self.work.check).parameters, self.data)])

    def rate(self, seconds: float) -> float:
        """Count from the first report on: then tracing and loading are over."""
        marks: list[tuple[float, int]] = []

        def listen(report: Any) -> None:
            marks.append((Clock.now(), report.step))
            if len(marks) > 1 and marks[-1][0] - marks[0][0] >= seconds:
                raise Enough

        self._fit(listen)
        (start, before), (end, after) = marks[0], marks[-1]
        return (after - before) / (end - start)

    def _fit(self, listen: Callable[[Any], None]) -> None:
        with suppress(Enough):
            cr.fit(self.objective, self.data, epochs=MANY, progress=listen, **self.options)


class FitMany(Trainer):
    """Many runs by ``cr.learn.fit_many``, timed as a whole: what it sets up for each run is in the time."""

    def __init__(self, work: Workload, threads: int) -> None:
        super().__init__(work)
        network, parameters = network_of(work)
        self.objective = cr.Objective(network, work.loss, penalty=[L2()])
        self.data = work.data()
        self.options: dict[str, Any] = {
            "optimizer": _optimizer(work),
            "batch_size": work.batch,
            "parameters": parameters,
            "threads": threads,
        }
        self.settings = [{"penalty1.lambda": value} for value in work.penalties]
        self.epoch_steps = work.rows // work.batch
        self.amount = float(work.nets * work.epochs * self.epoch_steps)

    def train(self, epochs: int) -> Any:
        return cr.learn.fit_many(self.objective, self.data, self.settings, epochs=epochs, **self.options)

    def first(self) -> None:
        self.train(self.work.steps // self.epoch_steps)

    def check(self) -> Array:
        runs = self.train(self.work.check // self.epoch_steps)
        plain = cr.Objective(self.objective.network, self.objective.loss)
        return np.array([loss_of(plain, run.parameters, self.data) for run in runs])

    def unit(self, number: int) -> None:
        self.train(self.work.epochs)


def loss_of(objective: Any, parameters: Any, data: tuple[Array, Array]) -> float:
    """The loss over all rows, in float64, so that summing it rounds nothing away."""
    values = {name: value.astype(np.float64) for name, value in parameters.items()}
    return float(objective(values, (data[0].astype(np.float64), data[1])))


def _compiled(work: Workload) -> Callable[[], Any]:
    network, parameters = network_of(work)
    x, _ = work.data()
    function = cr.compile(lambda x: cr.ops.sigmoid(network(parameters, x)))
    return lambda: function(x)


def _predicting(work: Workload) -> Callable[[], Any]:
    network, parameters = network_of(work)
    x, y = work.data()
    run = cr.fit(
        cr.Objective(network, work.loss), (x[:32], y[:32]), optimizer=_optimizer(work), epochs=1, parameters=parameters
    )
    run.parameters = parameters
    return lambda: run.predict(x)


def command(work: Workload, table: str, folder: str) -> list[str]:
    """The command line of a training run with as many epochs as were asked for, no fewer."""
    hidden = ",".join(map(str, work.shape[1:-1]))
    options = {
        "--target": "species", "--out": f"{folder}/iris.chainrule", "--hidden": hidden, "--epochs": work.epochs,
        "--patience": work.epochs, "--batch-size": work.batch, "--learning-rate": work.rate, "--dropout": 0.0,
        "--schedule": "constant", "--weight-decay": 0.0,
    }  # fmt: skip
    words = [str(word) for pair in options.items() for word in pair]
    return [sys.executable, "-m", "chainrule", "train", table, *words, "--json"]


def _accuracy(output: str) -> float:
    return float(json.loads(output)["scores"]["test"]["accuracy"])
