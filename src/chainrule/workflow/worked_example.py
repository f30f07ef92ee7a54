"""The lecture's worked example, computed: one hidden layer, sigmoid, squared errors, gradient descent.

Its numbers, or one's own. Source: X. Huang, "Learning with neural networks" (University of Liverpool); network and
numbers from M. Mazur, "A step by step backpropagation example" (2015).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import numpy as np

from chainrule import nn, ops
from chainrule.calculus import grad, value_and_grad
from chainrule.errors import TrainingError
from chainrule.execute import REFERENCE
from chainrule.graph import flatten, make_graph, unflatten
from chainrule.learn import SGD, Objective
from chainrule.ops import scan

Array = np.ndarray[Any, Any]
Numbers = tuple[float, ...]
MOST_UNITS = 9


@dataclass(frozen=True)
class Setup:
    """The numbers of an example, and how it is learned.

    ``weights`` are those into h1 (from i1, i2, …), into h2, …, then those into o1 (from h1, …), …: w1, w2, ….
    ``biases`` are two, one a layer, or one for each unit. ``bias`` says what becomes of them: they stay (``"frozen"``,
    as in the lecture), each unit's own is learned (``"unit"``), or each layer's one (``"tied"``). ``using="updated"``
    makes a famous mistake: hidden gradients with output weights that are updated already. ``half`` is the ½ in the
    error.
    """

    inputs: Numbers = (0.05, 0.10)
    targets: Numbers = (0.01, 0.99)
    weights: Numbers = (0.15, 0.20, 0.25, 0.30, 0.40, 0.45, 0.50, 0.55)
    biases: Numbers = (0.35, 0.60)
    learning_rate: float = 0.5
    bias: Literal["frozen", "unit", "tied"] = "frozen"
    using: Literal["old", "updated"] = "old"
    half: bool = True

    def __post_init__(self) -> None:
        for part in fields(self):
            value = getattr(self, part.name)
            numbers = value if isinstance(value, tuple) else (value,) if isinstance(value, float) else ()
            if not all(math.isfinite(number) for number in numbers):
                raise TrainingError(f"{part.name} has a number that is not finite: {value}")
        if not self.inputs or not self.targets:
            raise TrainingError("the example needs at least one input and one target")
        ends = len(self.inputs) + len(self.targets)
        if not self.weights or len(self.weights) % ends:
            raise TrainingError(
                f"{len(self.weights)} weights for {len(self.inputs)} inputs and {len(self.targets)} targets: a network "
                f"with h hidden units has h · ({len(self.inputs)} + {len(self.targets)}) of them; give {ends}, "
                f"{2 * ends}, {3 * ends}, …"
            )
        if len(self.biases) not in (2, self.hidden + len(self.targets)):
            raise TrainingError(
                f"{len(self.biases)} biases: give 2, one a layer, or {self.hidden + len(self.targets)}, one a unit"
            )
        if max(len(self.inputs), self.hidden, len(self.targets)) > MOST_UNITS:
            raise TrainingError(
                f"the example is for layers of at most {MOST_UNITS} units; train larger ones with cr.fit"
            )
        if self.learning_rate <= 0:
            raise TrainingError(f"the learning rate is {self.learning_rate}; it must be greater than 0")
        if self.bias == "tied" and len(self.biases) != 2:
            raise TrainingError("tied biases are one a layer: give two")
        for name, allowed in (("bias", ("frozen", "unit", "tied")), ("using", ("old", "updated"))):
            if getattr(self, name) not in allowed:
                raise TrainingError(f"{name} is {getattr(self, name)!r}; it is one of {', '.join(allowed)}")

    @property
    def hidden(self) -> int:
        return len(self.weights) // (len(self.inputs) + len(self.targets))

    @property
    def places(self) -> dict[str, tuple[str, int, int]]:
        """Where w1, w2, … stand: a weight is [in, out], so w2 leads from input 2 to hidden unit 1."""
        found = [("hidden1.weight", i, u) for u in range(self.hidden) for i in range(len(self.inputs))]
        found += [("output.weight", j, k) for k in range(len(self.targets)) for j in range(self.hidden)]
        return {f"w{number}": place for number, place in enumerate(found, 1)}

    def start(self) -> dict[str, Array]:
        """Return the parameters that the example starts from."""
        first = len(self.inputs) * self.hidden
        hidden = np.array(self.weights[:first]).reshape(self.hidden, len(self.inputs)).T
        output = np.array(self.weights[first:]).reshape(len(self.targets), self.hidden).T
        if len(self.biases) == 2:
            one, two = np.full(self.hidden, self.biases[0]), np.full(len(self.targets), self.biases[1])
        else:
            one, two = np.array(self.biases[: self.hidden]), np.array(self.biases[self.hidden :])
        return {"hidden1.weight": hidden, "hidden1.bias": one, "output.weight": output, "output.bias": two}

    @property
    def is_lecture(self) -> bool:
        """Are these the lecture's own numbers, learned as in the lecture?"""
        return self == Setup()


LECTURE = Setup()
PLACES = LECTURE.places


def start() -> dict[str, Array]:
    """Return the parameters that the lecture starts from."""
    return LECTURE.start()


@dataclass(frozen=True)
class Step:
    """One step: the values of the forward computation, the gradient, and the parameters before and after.

    ``deltas`` are ∂E/∂ of each value, from the outputs back.
    """

    values: dict[str, Array]
    errors: Array
    total: float
    gradient: dict[str, Array]
    before: dict[str, Array]
    after: dict[str, Array]
    places: dict[str, tuple[str, int, int]]
    deltas: dict[str, Array]

    def weight(self, name: str, when: str = "before") -> float:
        """Return one of w1, w2, …: ``when`` is before, after or gradient."""
        parameter, row, column = self.places[name]
        return float(getattr(self, when)[parameter][row, column])


@dataclass(frozen=True)
class WorkedExample:
    """The first step in full, the error after it, and where many steps lead."""

    setup: Setup
    first: Step
    total_after: float
    steps: int
    outputs: Array
    total: float
    network: nn.Layer = field(repr=False)


def worked_example(steps: int = 10_000, setup: Setup = LECTURE) -> WorkedExample:
    """Compute the worked example: one step in full, then on to so many steps.

    >>> example = worked_example(steps=1)
    >>> f"{example.first.total:.9f}", f"{example.first.weight('w5', 'after'):.9f}", f"{example.total_after:.11f}"
    ('0.298371109', '0.358916480', '0.29102777369')
    >>> f"{worked_example(1, Setup(using='updated')).total_after:.9f}"  # the famous mistake
    '0.291027924'
    """
    network = nn.Sequential(
        nn.Dense(setup.hidden, activation="sigmoid"), nn.Dense(len(setup.targets), activation="sigmoid")
    )
    objective = Objective(network, loss="half_squared_error" if setup.half else "squared_error")
    data = np.array([setup.inputs]), np.array([setup.targets])
    optimizer = SGD(setup.learning_rate)
    before = setup.start()

    def step(parameters: dict[str, Any], _: None = None) -> tuple[dict[str, Any], tuple[Any, Any]]:
        total, gradient = value_and_grad(objective)(parameters, data)
        if setup.using == "updated":
            gradient = gradient | _mistaken(parameters, gradient, data[0], setup.learning_rate)
        moves = {name: _of_bias(setup, g) if name.endswith("bias") else g for name, g in gradient.items()}
        moved, _state = optimizer.step(parameters, moves, optimizer.init(parameters))
        if setup.bias == "frozen":
            moved = {k: v if k.endswith("weight") else parameters[k] for k, v in moved.items()}
        return moved, (total, gradient)

    after, (total, gradient) = step(before)
    values = network.activations(before, data[0])
    errors = (0.5 if setup.half else 1.0) * (data[1][0] - values["output.out"][0]) ** 2
    deltas = _deltas(setup, values, gradient, before, after)
    first = Step(values, errors, float(total), gradient, before, after, setup.places, deltas)
    parameters = _repeat(step, after, steps - 1)
    outputs = network(parameters, data[0])[0]
    total_after = float(objective(after, data))
    return WorkedExample(setup, first, total_after, steps, outputs, float(objective(parameters, data)), network)


def _mistaken(parameters: dict[str, Any], gradient: dict[str, Any], x: Array, rate: float) -> dict[str, Any]:
    """Return the hidden layer's gradient as the mistake has it: δ of the outputs sent back by updated weights."""
    updated = parameters["output.weight"] - rate * gradient["output.weight"]
    back = ops.matmul(updated, ops.reshape(gradient["output.bias"], (-1, 1)))[:, 0]  # of one row, ∂E/∂bias is δ

    def reached(weight: Any, bias: Any) -> Any:
        return np.sum(ops.sigmoid(ops.matmul(x, weight) + bias)[0] * back)

    weight, bias = grad(reached, (0, 1))(parameters["hidden1.weight"], parameters["hidden1.bias"])
    return {"hidden1.weight": weight, "hidden1.bias": bias}


def _deltas(
    setup: Setup, values: dict[str, Array], gradient: dict[str, Array], before: dict[str, Array],
    after: dict[str, Array],
) -> dict[str, Array]:  # fmt: skip
    """Return δ of each value. Of one row, the derivative by a bias is the δ of its unit's net input."""
    weight = (after if setup.using == "updated" else before)["output.weight"]
    error = values["output.out"][0] - np.array(setup.targets)
    return {
        "output.out": error if setup.half else 2.0 * error,
        "output.net": np.asarray(gradient["output.bias"]),
        "hidden1.out": weight @ gradient["output.bias"],
        "hidden1.net": np.asarray(gradient["hidden1.bias"]),
    }


def _of_bias(setup: Setup, gradient: Any) -> Any:
    """Return what biases move by: each unit's own derivative, or the sum of a layer's for the one that they share."""
    return gradient * 0.0 + np.sum(gradient) if setup.bias == "tied" else gradient


def _repeat(step: Any, parameters: dict[str, Array], times: int) -> dict[str, Array]:
    """Take further steps: the step is traced once, and the loop over it is a region of the graph."""
    graph = make_graph(lambda p: scan(lambda q, _: (step(q)[0], None), p, length=times)[0], parameters)
    leaves, structure = flatten(parameters)
    result: dict[str, Array] = unflatten(structure, REFERENCE.run_prepared(graph, leaves))
    return result
