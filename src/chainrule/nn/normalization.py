"""Layers that normalize: by the statistics of the batch, or of each row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from chainrule import ops
from chainrule.errors import TypeMismatch
from chainrule.graph import Type, type_of_value
from chainrule.nn.layer import Layer, Parameter, columns_of
from chainrule.nn.scope import Scope
from chainrule.nn.setting import SHARE, Setting


@dataclass(frozen=True)
class BatchNorm(Layer):
    """Normalize each column: out = gain · (x − mean) / √(variance + ε) + shift.

    In training, mean and variance are those of the batch, and the running ones move towards them by ``momentum``; in
    prediction the running ones are used. Ioffe and Szegedy (2015). Departure: the running variance divides by n, not
    n − 1, so that a last batch of one row does no harm; sample weights do not enter the statistics.
    """

    momentum: float = 0.1
    epsilon: float = 1e-5
    name: str | None = None
    label = "norm"
    whole_batch = True

    def __post_init__(self) -> None:
        if self.momentum not in SHARE:
            raise TypeMismatch(f"BatchNorm: momentum is {self.momentum!r}; it must be {SHARE}")
        if not isinstance(self.epsilon, Real) or not self.epsilon > 0.0:
            raise TypeMismatch(f"BatchNorm: epsilon is {self.epsilon!r}; it must be a number greater than 0")

    def parameters(self, x: Type) -> Mapping[str, Parameter]:
        columns = tuple(d for d in x.shape[1:] if isinstance(d, int))
        return {"gain": Parameter(columns, "ones", role="gain"), "shift": Parameter(columns, "zeros", role="shift")}

    def initial_state_of(self, x: Type) -> Mapping[str, Any]:
        columns = tuple(d for d in x.shape[1:] if isinstance(d, int))
        return {"mean": np.zeros(columns), "variance": np.ones(columns)}

    def settings(self) -> Mapping[str, float]:
        return {"momentum": Setting(self.momentum, SHARE)}

    def forward(self, scope: Scope, x: Any) -> Any:
        if scope.training:
            mean, variance = ops.mean(x, axis=0), ops.var(x, axis=0)
            # Sums about the running mean, so that squares do not cancel; tiles and machines can add them.
            away = x - scope.state("mean")
            scope.add_up("away", ops.sum_(away, axis=0))
            scope.add_up("away_squared", ops.sum_(ops.square(away), axis=0))
        else:
            mean, variance = scope.state("mean"), scope.state("variance")
        normal = (x - mean) / ops.sqrt(variance + self.epsilon)
        return scope.name("out", normal * scope["gain"] + scope["shift"])

    def update_state(self, scope: Scope, sums: Mapping[str, Any], count: Any) -> Mapping[str, Any]:
        momentum = scope.setting("momentum", self.momentum)
        offset = sums["away"] / count
        variance = ops.maximum(sums["away_squared"] / count - offset * offset, 0.0)
        return {
            "mean": scope.state("mean") + momentum * offset,
            "variance": scope.state("variance") + momentum * (variance - scope.state("variance")),
        }


@dataclass(frozen=True)
class LayerNorm(Layer):
    """Normalize each row: out = gain · (x − mean) / √(variance + ε) + shift, both over the columns of the row.

    It has no running statistics, and does the same in training and in prediction; gain and shift are one a column. The
    variance divides by the number of columns, as in PyTorch. Ba, Kiros, Hinton, arXiv 1607.06450 (2016).

    >>> import numpy as np
    >>> layer = LayerNorm()
    >>> x = np.array([[1.0, 3.0], [10.0, 30.0]])
    >>> layer(layer.initialize(x), x).round(3).tolist()
    [[-1.0, 1.0], [-1.0, 1.0]]
    """

    epsilon: float = 1e-5
    name: str | None = None
    label = "norm"

    def __post_init__(self) -> None:
        if not isinstance(self.epsilon, Real) or not self.epsilon > 0.0:
            raise TypeMismatch(f"LayerNorm: epsilon is {self.epsilon!r}; it must be a number greater than 0")

    def parameters(self, x: Type) -> Mapping[str, Parameter]:
        width = columns_of(x, "LayerNorm")
        return {"gain": Parameter((width,), "ones", role="gain"), "shift": Parameter((width,), "zeros", role="shift")}

    def forward(self, scope: Scope, x: Any) -> Any:
        columns_of(type_of_value(x), "LayerNorm")
        away = x - ops.mean(x, axis=1, keepdims=True)
        normal = away / ops.sqrt(ops.mean(ops.square(away), axis=1, keepdims=True) + self.epsilon)
        return scope.name("out", normal * scope["gain"] + scope["shift"])
