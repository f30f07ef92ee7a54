"""Lion: steps by the sign alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule import ops
from chainrule.graph import tree_map
from chainrule.learn.optimizers.base import (
    Metric,
    Optimizer,
    Tree,
    Update,
    decayed,
    first,
    require_fraction,
    require_not_negative,
)
from chainrule.learn.schedules import as_schedule
from chainrule.nn.setting import FRACTION, NOT_NEGATIVE, Setting


@dataclass(frozen=True)
class Lion(Optimizer):
    """Lion: c = β₁m + (1 − β₁)g, θ ← θ − η (sign(c) + decay·θ), m ← β₂m + (1 − β₂)g; sign(0) = 0.

    Chen et al. (2023), algorithm 2. A step by signs is steepest descent in the largest absolute value, which is no
    M⁻¹ · direction of a quadratic metric: the metric is unknown, so constraints are refused.
    """

    learning_rate: Any = 1e-4
    beta1: float = 0.9
    beta2: float = 0.99
    decay: float = 0.0

    def __post_init__(self) -> None:
        as_schedule(self.learning_rate)
        require_fraction(self.beta1, "beta1", "Lion")
        require_fraction(self.beta2, "beta2", "Lion")
        require_not_negative(self.decay, "decay", "Lion")

    def settings(self) -> dict[str, float]:
        betas = {"beta1": Setting(self.beta1, FRACTION), "beta2": Setting(self.beta2, FRACTION)}
        return self.schedule.settings() | betas | {"decay": Setting(self.decay, NOT_NEGATIVE)}

    def init(self, parameters: Tree) -> dict[str, Any]:
        return {"step": np.uint32(0), "mean": tree_map(np.zeros_like, parameters)}

    def update(self, gradient: Tree, state: Mapping[str, Any], parameters: Tree, settings: Mapping[str, Any]) -> Update:
        b1, b2 = settings["beta1"], settings["beta2"]
        metric = Metric("unknown", self.rate(state, first(parameters), settings))
        direction = tree_map(
            lambda m, g, p, w: ops.sign(b1 * m + (1.0 - b1) * g) + w * p,
            state["mean"], gradient, parameters, decayed(parameters, settings),
        )  # fmt: skip
        mean = tree_map(lambda m, g: b2 * m + (1.0 - b2) * g, state["mean"], gradient)
        return direction, metric, {"step": state["step"] + np.uint32(1), "mean": mean}
