"""The layers: Dense, Dropout, BatchNorm, and Sequential, which puts layers one after another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from chainrule import ops
from chainrule.errors import TraceError, TypeMismatch
from chainrule.graph import Type
from chainrule.nn.activations import Activation, get_activation
from chainrule.nn.initializers import Initializer
from chainrule.nn.layer import Declaration, Layer, Parameter
from chainrule.nn.scope import Scope


@dataclass(frozen=True)
class Dense(Layer):
    """A fully connected layer: net = x W + b, out = activation(net); W is [in, out].

    Weights start by ``initializer`` (He for relu, else Glorot), biases at 0. Both values are named: ``hidden1.net``,
    ``hidden1.out``.
    """

    units: int
    activation: Activation = "identity"
    bias: bool = True
    initializer: str | Initializer | None = None
    name: str | None = None
    label = "hidden"

    def __post_init__(self) -> None:
        if not isinstance(self.units, int | np.integer) or isinstance(self.units, bool) or self.units < 1:
            raise TypeMismatch(f"Dense: units is {self.units!r}; it must be a whole number of at least 1")
        get_activation(self.activation)

    def parameters(self, x: Type) -> Mapping[str, Parameter]:
        if x.rank != 2 or not isinstance(x.shape[1], int):
            raise TypeMismatch(f"Dense: the input is {x}; it takes rows with a fixed number of columns")
        start = self.initializer or ("he_uniform" if self.activation == "relu" else "glorot_uniform")
        weight = {"weight": Parameter((x.shape[1], int(self.units)), start)}
        return weight | ({"bias": Parameter((int(self.units),), "zeros", role="bias")} if self.bias else {})

    def forward(self, scope: Scope, x: Any) -> Any:
        net = ops.matmul(x, scope["weight"])
        if self.bias:
            net = net + scope["bias"]
        return scope.name("out", get_activation(self.activation)(scope.name("net", net)))


@dataclass(frozen=True)
class Dropout(Layer):
    """In training, set each value to 0 with probability ``rate`` and divide the others by 1 − rate; else do nothing.

    The mask is a pure function of the key, the layer's name, the step, the row's position in the whole batch and the
    column, so that tiles, threads and resumed runs draw the same one. Srivastava et al., JMLR 15 (2014).
    """

    rate: float = 0.5
    name: str | None = None
    label = "dropout"

    def __post_init__(self) -> None:
        if not isinstance(self.rate, Real) or not 0.0 <= self.rate < 1.0:
            raise TypeMismatch(f"Dropout: rate is {self.rate!r}; it must be a number of at least 0 and less than 1")

    def settings(self) -> Mapping[str, float]:
        return {"rate": self.rate}

    def forward(self, scope: Scope, x: Any) -> Any:
        if not scope.training:
            return x
        rate = scope.setting("rate", self.rate)
        dtype = x.type.dtype if hasattr(x, "type") else ("f32" if x.dtype == np.float32 else "f64")
        keep = ops.uniform(scope.key(), x.shape, dtype, rows=scope.rows) >= rate
        return scope.name("out", ops.where(keep, x / (1.0 - rate), 0.0))


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
        if not isinstance(self.momentum, Real) or not 0.0 < self.momentum <= 1.0:
            raise TypeMismatch(f"BatchNorm: momentum is {self.momentum!r}; it must be a number over 0 and at most 1")
        if not isinstance(self.epsilon, Real) or not self.epsilon > 0.0:
            raise TypeMismatch(f"BatchNorm: epsilon is {self.epsilon!r}; it must be a number greater than 0")

    def parameters(self, x: Type) -> Mapping[str, Parameter]:
        columns = tuple(d for d in x.shape[1:] if isinstance(d, int))
        return {"gain": Parameter(columns, "ones", role="gain"), "shift": Parameter(columns, "zeros", role="shift")}

    def initial_state_of(self, x: Type) -> Mapping[str, Any]:
        columns = tuple(d for d in x.shape[1:] if isinstance(d, int))
        return {"mean": np.zeros(columns), "variance": np.ones(columns)}

    def settings(self) -> Mapping[str, float]:
        return {"momentum": self.momentum}

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


def _prefixed(name: str, part: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{name}.{k}": v for k, v in part.items()}


@dataclass(frozen=True, init=False)
class Sequential(Layer):
    """Layers one after another: a_L(…a₂(a₁(x; θ₁); θ₂)…; θ_L).

    ``Sequential(a, b, c)`` or ``Sequential([a, b, c])``. Dense layers are called ``hidden1``, ``hidden2``, …, and the
    last ``output``; others by their kind and number; a layer's own ``name`` goes before.
    """

    layers: tuple[Layer, ...]
    name: str | None = None
    label = "block"

    def __init__(self, *layers: Any, name: str | None = None) -> None:
        given = tuple(layers[0]) if len(layers) == 1 and isinstance(layers[0], list | tuple) else layers
        for layer in given:
            if not isinstance(layer, Layer):
                raise TraceError(
                    f"Sequential takes layers, not {layer!r}; for instance cr.nn.Dense(8, activation='relu')"
                )
        if not given:
            raise TraceError("Sequential needs at least one layer, for instance Sequential(cr.nn.Dense(1))")
        object.__setattr__(self, "layers", given)
        object.__setattr__(self, "name", name)
        names = [name for name, _ in self._named()]
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise TraceError(f"Sequential: two layers are called {twice[0]!r}; give one of them another name")

    @property
    def whole_batch(self) -> bool:  # type: ignore[override]  # a class constant of simple layers, worked out here
        return any(layer.whole_batch for layer in self.layers)

    def _named(self) -> Iterator[tuple[str, Layer]]:
        dense = [i for i, layer in enumerate(self.layers) if isinstance(layer, Dense)]
        is_last = bool(dense) and not any(
            layer.children() or layer.label == "layer" for layer in self.layers[dense[-1] :]
        )
        counts: Counter[str] = Counter()
        for i, layer in enumerate(self.layers):
            kind = layer.label if layer.label != "layer" else type(layer).__name__.lower()
            counts[kind] += 1
            if layer.name:
                yield layer.name, layer
            elif is_last and i == dense[-1]:
                yield "output", layer
            else:
                yield f"{kind}{counts[kind]}", layer

    def children(self) -> Mapping[str, Layer]:
        return dict(self._named())

    def declare(self, x: Type) -> Declaration:
        parameters: dict[str, Any] = {}
        state: dict[str, Any] = {}
        settings: dict[str, float] = {}
        layers: dict[str, Type] = {}
        for name, layer in self._named():
            inner = layer.declare(x)
            parameters |= _prefixed(name, inner.parameters)
            state |= _prefixed(name, inner.state)
            settings |= _prefixed(name, inner.settings)
            layers[name] = x = inner.gives
        return Declaration(parameters, state, settings, x, layers)

    def forward(self, scope: Scope, x: Any) -> Any:
        for name, layer in self._named():
            x = layer.forward(scope.child(name), x)
        return x

    def update_state(self, scope: Scope, sums: Mapping[str, Any], count: Any) -> Mapping[str, Any]:
        result: dict[str, Any] = {}
        for name, layer in self._named():
            start = f"{name}."
            inner = {k.removeprefix(start): v for k, v in sums.items() if k.startswith(start)}
            result.update({f"{name}.{k}": v for k, v in layer.update_state(scope.child(name), inner, count).items()})
        return result

    def __str__(self) -> str:
        nested = "x"
        for i in range(1, len(self.layers) + 1):
            nested = f"a{i}({nested})"
        lines = [f"network = {nested}"]
        lines += [f"  a{i}  {name}: {layer}" for i, (name, layer) in enumerate(self._named(), start=1)]
        return "\n".join(lines)
