"""diagnose: training runs that are known to go wrong, each in its own way, and one that does not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import TrainingError
from chainrule.nn import Dense, Layer, Parameter, Sequential

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 6)).astype(np.float32)
Y = (X[:, 0] * 2 + X[:, 1] ** 2 - X[:, 2] > 0.5).astype(int)
HELD = X[200:], Y[200:]


def run(*layers: Any, **options: Any) -> Any:
    objective = cr.Objective(Sequential(*layers, Dense(2)), "softmax_cross_entropy")
    return cr.fit(objective, (X[:200], Y[:200]), **{"epochs": 20, "validation": HELD, **options})


def grades(diagnosis: Any) -> dict[str, str]:
    return {finding.about: finding.grade for finding in diagnosis.findings}


def test_a_run_that_is_fine() -> None:
    found = cr.diagnose(run(Dense(32, "relu")))
    assert set(grades(found).values()) == {"fine"}
    assert {"end", "dead units", "learning rate", "overfitting"} <= set(grades(found))
    assert "looked at steps 0, 70, 139" in found.title


def biased(activation: str, *biases: float) -> Any:
    """A run of 16 units whose biases begin far from 0."""
    first = {"hidden1.bias": np.repeat(np.array(biases, np.float32), 16 // len(biases))}
    return run(Dense(16, activation), parameters=first)


def exploding() -> Any:
    first = {f"hidden{i}.weight": np.full((6 if i == 1 else 16, 16), 3, np.float32) for i in (1, 2, 3)}
    return run(*(Dense(16, "identity") for _ in range(3)), parameters=first, optimizer=cr.learn.SGD(1e-12))


def sgd(rate: float, activation: str = "relu") -> Any:
    return run(Dense(32, activation), optimizer=cr.learn.SGD(rate))


def too_long() -> Any:
    return run(Dense(128, "relu"), Dense(128, "relu"), epochs=150, optimizer=cr.learn.Adam(0.003))


BAD: dict[str, tuple[Any, str, str]] = {
    "vanishing": (
        lambda: run(*(Dense(16, "sigmoid") for _ in range(8)), optimizer=cr.learn.SGD(0.1)),
        "vanishing gradient", "problem",
    ),
    "exploding": (exploding, "exploding gradient", "problem"),
    "too high": (lambda: sgd(20.0, "tanh"), "learning rate too high", "problem"),
    "too low": (lambda: sgd(1e-7), "learning rate too low", "warning"),
    "not finite": (lambda: sgd(1e30), "not finite", "problem"),
    "dead": (lambda: biased("relu", -50), "dead layer", "problem"),
    "some dead": (lambda: biased("relu", -50, 0), "dead units", "warning"),
    "saturated": (lambda: biased("tanh", 50), "saturated units", "problem"),
    "overfitting": (too_long, "overfitting", "warning"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_what_is_wrong_is_found(kind: str) -> None:
    make, about, grade = BAD[kind]
    found = cr.diagnose(make())
    assert grades(found).get(about) == grade, str(found)
    finding = next(f for f in found.findings if f.about == about)
    assert finding.helps
    assert about in str(found)
    assert all(len(line) <= 80 for line in str(found).splitlines())
    order = [("problem", "warning", "fine").index(f.grade) for f in found.findings]
    assert order == sorted(order)
    json.dumps(found.to_json(), default=str)


def test_numbers_are_those_of_the_steps_batch() -> None:
    """δ, the gradients and the change of the loss, against the calculus on the same rows."""
    trained = run(Dense(8, "tanh"))
    (look,) = cr.diagnose(trained, steps=[5]).looks
    rows = trained.plan.order(0)[5 * 32 : 6 * 32]
    batch = X[:200][rows].astype(float), Y[:200][rows]
    parameters, after = ({k: v.astype(float) for k, v in trained.at(step).parameters.items()} for step in (5, 6))
    loss, gradient = cr.value_and_grad(trained.objective)(parameters, batch)
    assert look.loss == pytest.approx(float(loss), rel=1e-12)
    for name, value in gradient.items():
        assert look.gradient[name] == pytest.approx(float(np.sqrt(np.mean(value**2))), rel=1e-10)
    assert look.actual == pytest.approx(float(trained.objective(after, batch)) - float(loss), rel=1e-9)
    assert look.predicted == pytest.approx(
        sum(float(np.sum(gradient[k] * (after[k] - parameters[k]))) for k in gradient), rel=1e-9
    )


@dataclass(frozen=True)
class Idle(Layer):
    """Has a parameter that it does not use."""

    def parameters(self, x: Any) -> Mapping[str, Parameter]:
        return {"spare": Parameter((3,), "ones")}

    def forward(self, scope: Any, x: Any) -> Any:
        return x


def test_a_parameter_without_a_path() -> None:
    found = cr.diagnose(run(Idle(), Dense(4, "tanh")))
    finding = next(f for f in found.findings if f.about == "no path")
    assert finding.grade == "problem"
    assert "spare has no path to the loss" in finding.text


def test_only_runs_are_diagnosed() -> None:
    with pytest.raises(TrainingError, match="diagnose takes a training run"):
        cr.diagnose(3)


def test_where_every_gradient_is_zero_no_learning_rate_helps() -> None:
    x = np.zeros((60, 4))
    network = Sequential(Dense(4, "relu"), Dense(1))
    found = cr.diagnose(cr.fit(cr.Objective(network, "squared_error"), (x, np.zeros((60, 1))), epochs=3))
    assert grades(found)["nothing is learned"] == "problem"
    assert "learning rate too low" not in grades(found)
    dead = next(f for f in found.findings if f.about == "dead layer")
    assert "learning rate" not in dead.helps  # it was dead before the first step


def test_a_saturated_output_is_found() -> None:
    network = Sequential(Dense(4, "tanh"), Dense(1, "sigmoid"))
    first = {"output.weight": np.full((4, 1), 5.0), "output.bias": np.full(1, 300.0)}
    data = X.astype(float), (X[:, :1] <= 0).astype(float)
    found = cr.diagnose(cr.fit(cr.Objective(network, "squared_error"), data, epochs=3, parameters={
        **network.initialize(data[0]), **first
    }))  # fmt: skip
    saturated = next(f for f in found.findings if f.about == "saturated units")
    assert saturated.grade == "problem"
    assert "output" in saturated.text
