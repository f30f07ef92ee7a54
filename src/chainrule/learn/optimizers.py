"""Optimizers: from a gradient to a step, written as graphs.

An optimizer gives ``(direction, metric, state′)``, and the step is θ⁽ᵗ⁺¹⁾ = Π_M(θ⁽ᵗ⁾ − M⁻¹ · direction): the metric
says in which geometry the step was taken, and so in which a constraint must be projected. The metric is held as
M⁻¹, the step sizes, so that plain gradient descent is θ − η·g to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from chainrule import ops
from chainrule.errors import TrainingError
from chainrule.graph import Node, flatten, tree_map
from chainrule.graph.types import DTYPES
from chainrule.learn.schedules import Schedule, as_schedule
from chainrule.nn.activations import choose

Tree = Any


@dataclass(frozen=True)
class Metric:
    """M⁻¹ of a step: one number (scalar), one an element in the structure of the parameters (diagonal), or unknown."""

    kind: Literal["scalar", "diagonal", "unknown"]
    step: Any


class Optimizer:
    """What every optimizer is: ``settings``, ``init`` and ``update``; ``step`` applies one update to arrays."""

    learning_rate: Any

    @property
    def schedule(self) -> Schedule:
        return as_schedule(self.learning_rate)

    def settings(self) -> dict[str, float]:
        """Return the numbers in force by name; they are inputs of the training program."""
        return self.schedule.settings()

    def with_total(self, steps: int) -> Optimizer:
        """Return the optimizer with its schedule's length filled in."""
        schedule = self.schedule.with_total(steps)
        return replace(self, learning_rate=schedule)  # type: ignore[type-var]  # every optimizer is a dataclass

    def init(self, parameters: Tree) -> dict[str, Any]:
        """Return the state before the first step."""
        return {"step": np.uint32(0)}

    def update(
        self, gradient: Tree, state: Mapping[str, Any], parameters: Tree, settings: Mapping[str, Any]
    ) -> tuple[Tree, Metric, dict[str, Any]]:
        """Return the direction, the metric it is meant in, and the next state."""
        raise TrainingError(f"{type(self).__name__} has no update")

    def step(self, parameters: Tree, gradient: Tree, state: Mapping[str, Any]) -> tuple[Tree, dict[str, Any]]:
        """Return the parameters and the state after one step: θ⁽ᵗ⁺¹⁾ = θ⁽ᵗ⁾ − η_t ∇L for SGD.

        Nothing is changed in place, and every parameter moves by the gradient at the *old* parameters.
        """
        wanted, given = self.init(parameters), state if isinstance(state, Mapping) else {}
        if wanted.keys() != given.keys():
            raise TrainingError(
                f"step takes (parameters, gradient, state), and the state of {type(self).__name__} holds "
                f"{', '.join(wanted)}: begin with state = optimizer.init(parameters)"
            )
        dtype = float_name(_first(parameters))
        settings = {k: np.asarray(v, DTYPES[dtype]) for k, v in self.settings().items()}  # as in a training program
        direction, metric, after = self.update(gradient, state, parameters, settings)
        return move(parameters, direction, metric), after

    def rate(self, state: Mapping[str, Any], like: Any, settings: Mapping[str, Any]) -> Any:
        """Return η at the state's step."""
        return self.schedule.at(count(state["step"], like), settings)


def float_name(like: Any) -> str:
    """Return the name of the float dtype of an array or a traced value."""
    return like.type.dtype if isinstance(like, Node) else ("f32" if np.asarray(like).dtype == np.float32 else "f64")


def count(step: Any, like: Any) -> Any:
    """Return a step number as a float of the dtype of ``like``."""
    return ops.cast(step, dtype=float_name(like))


def move(parameters: Tree, direction: Tree, metric: Metric) -> Tree:
    """Return θ − M⁻¹ · direction."""
    if metric.kind == "diagonal":
        return tree_map(lambda p, d, s: p - s * d, parameters, direction, metric.step)
    return tree_map(lambda p, d: p - metric.step * d, parameters, direction)


def _first(tree: Tree) -> Any:
    return flatten(tree)[0][0]


def _fraction(value: float, name: str, optimizer: str) -> None:
    if not 0.0 <= value < 1.0:
        raise TrainingError(f"{optimizer}: {name} is {value}; it must be at least 0 and less than 1")


@dataclass(frozen=True)
class SGD(Optimizer):
    """Gradient descent: θ⁽ᵗ⁺¹⁾ = θ⁽ᵗ⁾ − η_t ∇L; with momentum μ, v ← μ v + ∇L and θ ← θ − η_t v (Polyak 1964)."""

    learning_rate: Any = 0.01
    momentum: float = 0.0

    def __post_init__(self) -> None:
        as_schedule(self.learning_rate)
        _fraction(self.momentum, "momentum", "SGD")

    def settings(self) -> dict[str, float]:
        return self.schedule.settings() | ({"momentum": self.momentum} if self.momentum else {})

    def init(self, parameters: Tree) -> dict[str, Any]:
        state: dict[str, Any] = {"step": np.uint32(0)}
        return state | ({"velocity": tree_map(np.zeros_like, parameters)} if self.momentum else {})

    def update(
        self, gradient: Tree, state: Mapping[str, Any], parameters: Tree, settings: Mapping[str, Any]
    ) -> tuple[Tree, Metric, dict[str, Any]]:
        metric = Metric("scalar", self.rate(state, _first(parameters), settings))
        after: dict[str, Any] = {"step": state["step"] + np.uint32(1)}
        if not self.momentum:
            return gradient, metric, after
        velocity = tree_map(lambda v, g: settings["momentum"] * v + g, state["velocity"], gradient)
        return velocity, metric, after | {"velocity": velocity}


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam: m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g², θ ← θ − η m̂ / (√v̂ + ε), with m̂ = m/(1 − β₁ᵗ), v̂ = v/(1 − β₂ᵗ).

    Kingma and Ba (2015). The metric is diagonal: (√v̂ + ε)/η.
    """

    learning_rate: Any = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        as_schedule(self.learning_rate)
        _fraction(self.beta1, "beta1", type(self).__name__)
        _fraction(self.beta2, "beta2", type(self).__name__)

    def settings(self) -> dict[str, float]:
        own = {"beta1": self.beta1, "beta2": self.beta2, "epsilon": self.epsilon}
        return self.schedule.settings() | own

    def init(self, parameters: Tree) -> dict[str, Any]:
        zeros = tree_map(np.zeros_like, parameters)
        return {"step": np.uint32(0), "mean": zeros, "square": tree_map(np.zeros_like, parameters)}

    def update(
        self, gradient: Tree, state: Mapping[str, Any], parameters: Tree, settings: Mapping[str, Any]
    ) -> tuple[Tree, Metric, dict[str, Any]]:
        direction, spread, rate, after = self._moments(gradient, state, parameters, settings)
        return direction, Metric("diagonal", tree_map(lambda s: rate / s, spread)), after

    def _moments(
        self, gradient: Tree, state: Mapping[str, Any], parameters: Tree, settings: Mapping[str, Any]
    ) -> tuple[Tree, Tree, Any, dict[str, Any]]:
        """Return m̂, √v̂ + ε, η and the next state."""
        like = _first(parameters)
        b1, b2, epsilon = settings["beta1"], settings["beta2"], settings["epsilon"]
        step = state["step"] + np.uint32(1)
        t = count(step, like)
        mean = tree_map(lambda m, g: b1 * m + (1.0 - b1) * g, state["mean"], gradient)
        square = tree_map(lambda v, g: b2 * v + (1.0 - b2) * (g * g), state["square"], gradient)
        # One division for all elements, and a product for each: dividing takes a processor ten times as long.
        correction1, correction2 = 1.0 / (1.0 - b1**t), 1.0 / (1.0 - b2**t)
        direction = tree_map(lambda m: m * correction1, mean)
        spread = tree_map(lambda v: np.sqrt(v * correction2) + epsilon, square)
        return direction, spread, self.rate(state, like, settings), {"step": step, "mean": mean, "square": square}


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay: θ ← θ − η m̂ / (√v̂ + ε) − η·decay·θ (Loshchilov and Hutter 2019).

    All parameters decay, biases too. This is not L2 regularization: the decay does not pass through the metric.
    """

    decay: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.decay >= 0.0:
            raise TrainingError(f"AdamW: decay is {self.decay}; it must be at least 0")

    def settings(self) -> dict[str, float]:
        return super().settings() | {"decay": self.decay}

    def update(
        self, gradient: Tree, state: Mapping[str, Any], parameters: Tree, settings: Mapping[str, Any]
    ) -> tuple[Tree, Metric, dict[str, Any]]:
        direction, spread, rate, after = self._moments(gradient, state, parameters, settings)
        # (rate/spread) · (m̂ + decay·θ·spread) = rate·m̂/spread + rate·decay·θ
        direction = tree_map(lambda d, p, s: d + settings["decay"] * p * s, direction, parameters, spread)
        return direction, Metric("diagonal", tree_map(lambda s: rate / s, spread)), after


OPTIMIZERS: Mapping[str, Any] = {
    "sgd": lambda rate: SGD(rate),
    "momentum": lambda rate: SGD(rate, momentum=0.9),
    "adam": lambda rate: Adam(rate),
    "adamw": lambda rate: AdamW(rate),
}
DEFAULT_RATES: Mapping[str, float] = {"sgd": 0.1, "momentum": 0.02, "adam": 0.003, "adamw": 0.003}


def get_optimizer(name: str, rate: Any = None) -> Optimizer:
    """Return an optimizer by name: sgd, momentum, adam, adamw, with its usual learning rate where none is given."""
    make = choose(OPTIMIZERS, name, "optimizer")
    found: Optimizer = make(DEFAULT_RATES[name] if rate is None else rate)
    return found
