"""Gradient descent: plain, with momentum, and with Nesterov's look ahead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.errors import TrainingError
from chainrule.graph import tree_map
from chainrule.learn.optimizers.base import Metric, Optimizer, Tree, Update, first, require_fraction
from chainrule.learn.schedules import as_schedule
from chainrule.nn.setting import FRACTION, Setting


@dataclass(frozen=True)
class SGD(Optimizer):
    """Gradient descent: θ⁽ᵗ⁺¹⁾ = θ⁽ᵗ⁾ − η_t ∇L; with momentum μ, v ← μ v + ∇L and θ ← θ − η_t v (Polyak 1964).

    With ``nesterov`` the step is θ ← θ − η_t (∇L + μ v): the velocity is taken one step ahead (Nesterov 1983, in the
    form of Sutskever et al. 2013, section 2, with the gradient at the parameters that are kept). The metric is scalar:
    1/η.
    """

    learning_rate: Any = 0.01
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        as_schedule(self.learning_rate)
        require_fraction(self.momentum, "momentum", "SGD")
        if self.nesterov and not self.momentum:
            raise TrainingError("SGD: nesterov looks ahead along the velocity, so it needs momentum, such as 0.9")

    def settings(self) -> dict[str, float]:
        momentum = {"momentum": Setting(self.momentum, FRACTION)} if self.momentum else {}
        return self.schedule.settings() | momentum

    def init(self, parameters: Tree) -> dict[str, Any]:
        state: dict[str, Any] = {"step": np.uint32(0)}
        return state | ({"velocity": tree_map(np.zeros_like, parameters)} if self.momentum else {})

    def update(self, gradient: Tree, state: Mapping[str, Any], parameters: Tree, settings: Mapping[str, Any]) -> Update:
        rate = self.rate(state, first(parameters), settings)
        after: dict[str, Any] = {"step": state["step"] + np.uint32(1)}
        if not self.momentum:
            return gradient, Metric("scalar", rate), after
        momentum = settings["momentum"]
        metric = Metric("scalar", rate, gain=1.0 / (1.0 - momentum))
        velocity = tree_map(lambda v, g: momentum * v + g, state["velocity"], gradient)
        after["velocity"] = velocity
        if self.nesterov:
            return tree_map(lambda g, v: g + momentum * v, gradient, velocity), metric, after
        return velocity, metric, after
