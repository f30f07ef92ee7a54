"""RMSprop and Adagrad: each element's step is divided by the size that its gradients have had."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.graph import tree_map
from chainrule.learn.optimizers.base import (
    Metric,
    Optimizer,
    Tree,
    Update,
    first,
    require_fraction,
    require_not_negative,
    require_positive,
)
from chainrule.learn.schedules import as_schedule
from chainrule.nn.setting import FRACTION, POSITIVE, Setting


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """RMSprop: v ← ρv + (1 − ρ)g², θ ← θ − η g / (√v + ε).

    ``centered`` takes the variance in the place of v: m ← ρm + (1 − ρ)g, and √(v − m²) for √v. With momentum μ,
    b ← μb + g/(√v + ε) and θ ← θ − η b. The metric is diagonal: (√v + ε)/η. Tieleman and Hinton (2012), lecture 6.5;
    centered: Graves (2013), section 2.3. Departure: ε is added to the root, not under it; v − m² is never less than 0,
    which rounding alone could make it.
    """

    learning_rate: Any = 0.01
    rho: float = 0.99
    epsilon: float = 1e-8
    momentum: float = 0.0
    centered: bool = False

    def __post_init__(self) -> None:
        as_schedule(self.learning_rate)
        require_fraction(self.rho, "rho", "RMSprop")
        require_positive(self.epsilon, "epsilon", "RMSprop")
        require_fraction(self.momentum, "momentum", "RMSprop")

    def settings(self) -> dict[str, float]:
        own = {"rho": Setting(self.rho, FRACTION), "epsilon": Setting(self.epsilon, POSITIVE)}
        momentum = {"momentum": Setting(self.momentum, FRACTION)} if self.momentum else {}
        return self.schedule.settings() | own | momentum

    def init(self, parameters: Tree) -> dict[str, Any]:
        kept = ("square", *(["mean"] if self.centered else []), *(["velocity"] if self.momentum else []))
        return {"step": np.uint32(0), **{key: tree_map(np.zeros_like, parameters) for key in kept}}

    def update(self, gradient: Tree, state: Mapping[str, Any], parameters: Tree, settings: Mapping[str, Any]) -> Update:
        rho, epsilon = settings["rho"], settings["epsilon"]
        rate = self.rate(state, first(parameters), settings)
        after: dict[str, Any] = {"step": state["step"] + np.uint32(1)}
        after["square"] = inner = tree_map(lambda v, g: rho * v + (1.0 - rho) * (g * g), state["square"], gradient)
        if self.centered:
            after["mean"] = mean = tree_map(lambda m, g: rho * m + (1.0 - rho) * g, state["mean"], gradient)
            inner = tree_map(lambda v, m: np.maximum(v - m * m, 0.0), inner, mean)
        spread = tree_map(lambda v: np.sqrt(v) + epsilon, inner)
        metric = Metric("diagonal", tree_map(lambda s: rate / s, spread))
        if not self.momentum:
            return gradient, metric, after
        momentum = settings["momentum"]
        velocity = tree_map(lambda b, g, s: momentum * b + g / s, state["velocity"], gradient, spread)
        after["velocity"] = velocity
        metric = Metric("diagonal", metric.step, gain=1.0 / (1.0 - momentum))
        # (η/spread) · (b · spread) = η b: the step is the paper's, and the metric that of the step.
        return tree_map(lambda b, s: b * s, velocity, spread), metric, after


@dataclass(frozen=True)
class Adagrad(Optimizer):
    """Adagrad: v ← v + g², θ ← θ − η g / (√v + ε). The metric is diagonal: (√v + ε)/η.

    ``initial`` is what v begins with. Duchi, Hazan and Singer (2011), figure 1, with the diagonal of their matrix.
    Departure: ε keeps the first step of an element without a gradient from 0/0. A rate that falls is a schedule's.
    """

    learning_rate: Any = 0.01
    epsilon: float = 1e-10
    initial: float = 0.0

    def __post_init__(self) -> None:
        as_schedule(self.learning_rate)
        require_positive(self.epsilon, "epsilon", "Adagrad")
        require_not_negative(self.initial, "initial", "Adagrad")

    def settings(self) -> dict[str, float]:
        return self.schedule.settings() | {"epsilon": Setting(self.epsilon, POSITIVE)}

    def init(self, parameters: Tree) -> dict[str, Any]:
        return {"step": np.uint32(0), "square": tree_map(lambda p: np.full_like(p, self.initial), parameters)}

    def update(self, gradient: Tree, state: Mapping[str, Any], parameters: Tree, settings: Mapping[str, Any]) -> Update:
        rate = self.rate(state, first(parameters), settings)
        square = tree_map(lambda v, g: v + g * g, state["square"], gradient)
        step = tree_map(lambda v: rate / (np.sqrt(v) + settings["epsilon"]), square)
        return gradient, Metric("diagonal", step), {"step": state["step"] + np.uint32(1), "square": square}
