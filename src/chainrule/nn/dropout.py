"""Dropout: noise in training that keeps units from leaning on each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chainrule import ops
from chainrule.errors import TypeMismatch
from chainrule.nn.layer import Layer, float_name
from chainrule.nn.scope import Scope
from chainrule.nn.setting import FRACTION, Setting


@dataclass(frozen=True)
class Dropout(Layer):
    """In training, set each value to 0 with probability ``rate`` and multiply the others by 1/(1 − rate).

    In prediction it does nothing. The mask is a pure function of the key, the layer's name, the step, the row's
    position in the whole batch and the column, so that tiles, threads and resumed runs draw the same one. Srivastava et
    al., JMLR 15 (2014).
    """

    rate: float = 0.5
    name: str | None = None
    label = "dropout"

    def __post_init__(self) -> None:
        if self.rate not in FRACTION:
            raise TypeMismatch(f"Dropout: rate is {self.rate!r}; it must be {FRACTION}")

    def settings(self) -> Mapping[str, float]:
        return {"rate": Setting(self.rate, FRACTION)}

    def forward(self, scope: Scope, x: Any) -> Any:
        if not scope.training:
            return x
        rate = scope.setting("rate", self.rate)
        keep = ops.uniform(scope.key(), x.shape, float_name(x), rows=scope.rows) >= rate
        # One division for all values, and a product for each: dividing takes a processor ten times as long.
        return scope.name("out", ops.where(keep, x * (1.0 / (1.0 - rate)), 0.0))
