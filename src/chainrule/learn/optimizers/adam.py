"""Adam and its kin: each element has its own step, from running means of its gradients and of their squares."""

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
    count,
    decayed,
    first,
    require_fraction,
    require_not_negative,
)
from chainrule.learn.schedules import as_schedule
from chainrule.nn.setting import FRACTION, NOT_NEGATIVE, Setting


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
        require_fraction(self.beta1, "beta1", type(self).__name__)
        require_fraction(self.beta2, "beta2", type(self).__name__)
        require_not_negative(self.epsilon, "epsilon", type(self).__name__)

    def settings(self) -> dict[str, float]:
        betas = {"beta1": Setting(self.beta1, FRACTION), "beta2": Setting(self.beta2, FRACTION)}
        return self.schedule.settings() | betas | {"epsilon": Setting(self.epsilon, NOT_NEGATIVE)}

    def init(self, parameters: Tree) -> dict[str, Any]:
        zeros = tree_map(np.zeros_like, parameters)
        return {"step": np.uint32(0), "mean": zeros, "square": tree_map(np.zeros_like, parameters)}

    def update(self, gradient: Tree, state: Mapping[str, Any], parameters: Tree, settings: Mapping[str, Any]) -> Update:
        direction, spread, rate, after = self._moments(gradient, state, parameters, settings)
        return direction, Metric("diagonal", tree_map(lambda s: rate / s, spread)), after

    def _moments(
        self, gradient: Tree, state: Mapping[str, Any], parameters: Tree, settings: Mapping[str, Any]
    ) -> tuple[Tree, Tree, Any, dict[str, Any]]:
        """Return m̂, √v̂ + ε, η and the next state."""
        like = first(parameters)
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

    All parameters decay, biases too, unless one has a factor of its own (``decay_factors`` of ``fit``). This is not L2
    regularization: the decay does not pass through the metric.
    """

    decay: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        require_not_negative(self.decay, "decay", "AdamW")

    def settings(self) -> dict[str, float]:
        return super().settings() | {"decay": Setting(self.decay, NOT_NEGATIVE)}

    def update(self, gradient: Tree, state: Mapping[str, Any], parameters: Tree, settings: Mapping[str, Any]) -> Update:
        direction, spread, rate, after = self._moments(gradient, state, parameters, settings)
        # (rate/spread) · (m̂ + decay·θ·spread) = rate·m̂/spread + rate·decay·θ
        decay = decayed(parameters, settings)
        direction = tree_map(lambda d, p, s, w: d + w * p * s, direction, parameters, spread, decay)
        return direction, Metric("diagonal", tree_map(lambda s: rate / s, spread)), after
