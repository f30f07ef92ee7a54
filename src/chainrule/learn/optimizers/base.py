"""Optimizers: from a gradient to a step, written as graphs.

An optimizer gives ``(direction, metric, state′)``, and the step is θ⁽ᵗ⁺¹⁾ = Π_M(θ⁽ᵗ⁾ − M⁻¹ · direction): the metric
says in which geometry the step was taken, and so in which a constraint must be projected. The metric is held as
M⁻¹, the step sizes, so that plain gradient descent is θ − η·g to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np

from chainrule import ops
from chainrule.errors import TrainingError
from chainrule.graph import Node, flatten, leaf_names, tree_map, unflatten
from chainrule.graph.types import DTYPES
from chainrule.learn.schedules import Schedule, as_schedule
from chainrule.learn.treatment import EVEN, Treatment, own_decay
from chainrule.nn.setting import FRACTION, NOT_NEGATIVE, POSITIVE, Range

Tree = Any
Update = tuple[Any, "Metric", dict[str, Any]]


@dataclass(frozen=True)
class Metric:
    """M⁻¹ of a step: one number (scalar), one an element in the structure of the parameters (diagonal), or unknown.

    ``gain`` is what the direction makes of a gradient that stays the same: 1/(1 − μ) with momentum μ, which adds up
    gradients. A proximal step with λ M⁻¹ beside it would count a penalty for too little by that factor.
    """

    kind: Literal["scalar", "diagonal", "unknown"]
    step: Any
    gain: Any = 1.0


class Optimizer:
    """What every optimizer is: ``settings``, ``init`` and ``update``; ``step`` applies one update to arrays."""

    learning_rate: Any
    has_steps: ClassVar[bool] = True
    """False where it is a search of its own, which takes more than one gradient a step."""

    @property
    def decays(self) -> bool:
        """Does it have a weight decay, that a parameter can have a factor of?"""
        return hasattr(self, "decay")

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

    def step(
        self, parameters: Tree, gradient: Tree, state: Mapping[str, Any], treatment: Treatment = EVEN
    ) -> tuple[Tree, dict[str, Any]]:
        """Return the parameters and the state after one step: θ⁽ᵗ⁺¹⁾ = θ⁽ᵗ⁾ − η_t ∇L for SGD.

        Nothing is changed in place, and every parameter moves by the gradient at the *old* parameters. A ``treatment``
        says which parameters are frozen, and which have a learning rate or a decay of their own; with frozen ones the
        state begins with ``optimizer.init(treatment.trained(parameters))``.
        """
        everything, parameters, gradient = parameters, treatment.trained(parameters), treatment.trained(gradient)
        wanted, given = self.init(parameters), state if isinstance(state, Mapping) else {}
        if wanted.keys() != given.keys():
            raise TrainingError(
                f"step takes (parameters, gradient, state), and the state of {type(self).__name__} holds "
                f"{', '.join(wanted)}: begin with state = optimizer.init(parameters)"
            )
        dtype = float_name(first(parameters))
        numbers = {**self.settings(), **treatment.settings(self.decays)}
        settings = {k: np.asarray(v, DTYPES[dtype]) for k, v in numbers.items()}  # as in a training program
        direction, metric, after = self.update(gradient, state, parameters, settings)
        direction, metric = rated(treatment, direction, metric, settings)
        return treatment.merged(everything, move(parameters, direction, metric)), after

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


def rated(treatment: Treatment, direction: Tree, metric: Metric, settings: Mapping[str, Any]) -> tuple[Tree, Metric]:
    """Return a step in which each parameter's learning rate has its own factor, where it has one.

    The factor is part of the metric, M⁻¹ = factor · η, so that a constraint is projected in the geometry of the step
    that was taken; where the metric is unknown it is part of the direction.
    """
    factors = treatment.rate_factors(direction, settings)
    if factors is None:
        return direction, metric

    def times(value: Any, factor: Any) -> Any:
        return value if factor is None else factor * value

    leaves, structure = flatten(direction)
    if metric.kind == "unknown":
        return unflatten(structure, [times(d, f) for d, f in zip(leaves, factors, strict=True)]), metric
    steps = flatten(metric.step)[0] if metric.kind == "diagonal" else [
        ops.broadcast_to(metric.step, leaf.shape) for leaf in leaves
    ]  # fmt: skip
    scaled = [times(s, f) for s, f in zip(steps, factors, strict=True)]
    return direction, Metric("diagonal", unflatten(structure, scaled), metric.gain)


def decayed(parameters: Tree, settings: Mapping[str, Any]) -> Tree:
    """Return the weight decay of each parameter: the optimizer's, times the parameter's own factor where it has one."""
    leaves, structure = flatten(parameters)
    own = [own_decay(settings, name) for name in leaf_names(structure)]
    decay = settings["decay"]
    return unflatten(structure, [decay if f is None else decay * f for f, _ in zip(own, leaves, strict=True)])


def first(tree: Tree) -> Any:
    """Return the first leaf: an example of the dtype of all."""
    return flatten(tree)[0][0]


def require_fraction(value: float, name: str, optimizer: str) -> None:
    """Refuse a number that is not in [0, 1)."""
    _require(value, name, optimizer, FRACTION)


def require_positive(value: float, name: str, optimizer: str) -> None:
    """Refuse a number that is not greater than 0."""
    _require(value, name, optimizer, POSITIVE)


def require_not_negative(value: float, name: str, optimizer: str) -> None:
    """Refuse a number below 0."""
    _require(value, name, optimizer, NOT_NEGATIVE)


def _require(value: Any, name: str, optimizer: str, within: Range) -> None:
    if value not in within:
        raise TrainingError(f"{optimizer}: {name} is {value!r}; it must be {within}")
