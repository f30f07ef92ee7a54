"""The lecture's worked example, computed: 2-2-2, sigmoid, half squared error, η = 0.5.

Source: X. Huang, "Learning with neural networks" (University of Liverpool); network and numbers from M. Mazur, "A step
by step backpropagation example" (2015).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule import nn
from chainrule.calculus import value_and_grad
from chainrule.execute import REFERENCE
from chainrule.graph import flatten, make_graph, unflatten
from chainrule.learn import SGD, Objective
from chainrule.ops import scan

Array = np.ndarray[Any, Any]

INPUTS = (0.05, 0.10)
TARGETS = (0.01, 0.99)
WEIGHTS = (0.15, 0.20, 0.25, 0.30, 0.40, 0.45, 0.50, 0.55)
BIASES = (0.35, 0.60)
LEARNING_RATE = 0.5
PLACES = {
    "w1": ("hidden1.weight", 0, 0), "w2": ("hidden1.weight", 1, 0),
    "w3": ("hidden1.weight", 0, 1), "w4": ("hidden1.weight", 1, 1),
    "w5": ("output.weight", 0, 0), "w6": ("output.weight", 1, 0),
    "w7": ("output.weight", 0, 1), "w8": ("output.weight", 1, 1),
}  # fmt: skip
"""Where the lecture's weights stand: a weight is [in, out], so w2 leads from input 2 to hidden unit 1."""


@dataclass(frozen=True)
class Step:
    """One step: the values of the forward computation, the gradient, and the parameters before and after."""

    values: dict[str, Array]
    errors: Array
    total: float
    gradient: dict[str, Array]
    before: dict[str, Array]
    after: dict[str, Array]

    def weight(self, name: str, when: str = "before") -> float:
        """Return one of w1 … w8: ``when`` is before, after or gradient."""
        parameter, row, column = PLACES[name]
        return float(getattr(self, when)[parameter][row, column])


@dataclass(frozen=True)
class WorkedExample:
    """The first step in full, the error after it, and where many steps lead."""

    first: Step
    total_after: float
    steps: int
    outputs: Array
    total: float
    network: nn.Layer = field(repr=False)


def start() -> dict[str, Array]:
    """Return the parameters that the lecture starts from."""
    w = WEIGHTS
    return {
        "hidden1.weight": np.array([[w[0], w[2]], [w[1], w[3]]]),
        "hidden1.bias": np.full(2, BIASES[0]),
        "output.weight": np.array([[w[4], w[6]], [w[5], w[7]]]),
        "output.bias": np.full(2, BIASES[1]),
    }


def worked_example(steps: int = 10_000) -> WorkedExample:
    """Compute the worked example: one step in full, then on to so many steps; biases stay as they are.

    >>> example = worked_example(steps=1)
    >>> f"{example.first.total:.9f}", f"{example.first.weight('w5', 'after'):.9f}", f"{example.total_after:.11f}"
    ('0.298371109', '0.358916480', '0.29102777369')
    """
    network = nn.Sequential(nn.Dense(2, activation="sigmoid"), nn.Dense(2, activation="sigmoid"))
    objective = Objective(network, loss="half_squared_error")
    data = np.array([INPUTS]), np.array([TARGETS])
    optimizer = SGD(LEARNING_RATE)
    before = start()

    def step(parameters: dict[str, Any], _: None = None) -> tuple[dict[str, Any], tuple[Any, Any]]:
        total, gradient = value_and_grad(objective)(parameters, data)
        moved, _state = optimizer.step(parameters, gradient, optimizer.init(parameters))
        # the lecture keeps its biases
        return {k: v if k.endswith("weight") else parameters[k] for k, v in moved.items()}, (total, gradient)

    after, (total, gradient) = step(before)
    values = network.activations(before, data[0])
    errors = 0.5 * (data[1][0] - values["output.out"][0]) ** 2
    first = Step(values, errors, float(total), gradient, before, after)
    parameters = _repeat(step, after, steps - 1)
    outputs = network(parameters, data[0])[0]
    total_after = float(objective(after, data))
    return WorkedExample(first, total_after, steps, outputs, float(objective(parameters, data)), network)


def _repeat(step: Any, parameters: dict[str, Array], times: int) -> dict[str, Array]:
    """Take further steps: the step is traced once, and the loop over it is a region of the graph."""
    graph = make_graph(lambda p: scan(lambda q, _: (step(q)[0], None), p, length=times)[0], parameters)
    leaves, structure = flatten(parameters)
    result: dict[str, Array] = unflatten(structure, REFERENCE.run_prepared(graph, leaves))
    return result
