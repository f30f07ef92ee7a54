"""Layers of weights: Dense, where every input reaches every unit, and Scale, where each reaches one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chainrule import ops
from chainrule.errors import TraceError
from chainrule.graph import Type
from chainrule.nn.activations import Activation, get_activation
from chainrule.nn.initializers import Initializer
from chainrule.nn.layer import Layer, Parameter, columns_of, require_whole
from chainrule.nn.scope import Scope

HE = ("relu", "leaky_relu")
"""Activations that halve the signal: their weights start by He, those of the others by Glorot."""


@dataclass(frozen=True)
class Dense(Layer):
    """A fully connected layer: net = x W + b, out = activation(net); W is [in, out].

    Args:
        units: how many outputs.
        activation: a name (``"relu"``), a function, or a layer such as ``cr.nn.PReLU()``, whose parameters are then
            called ``activation.…``.
        bias: whether there is a b.
        initializer: of the weights, a name or a function ``(key, shape, dtype) -> array``; He for relu and leaky_relu,
            else Glorot. Biases start at 0.
        name: what the layer is called in place of ``hidden1`` or ``output``.

    Both values are named: ``hidden1.net``, ``hidden1.out``.

    >>> import numpy as np
    >>> layer = Dense(2, activation="relu")
    >>> layer({"weight": np.array([[1.0, -1.0]]), "bias": np.zeros(2)}, np.array([[3.0]])).tolist()
    [[3.0, 0.0]]
    """

    units: int
    activation: Activation | Layer = "identity"
    bias: bool = True
    initializer: str | Initializer | None = None
    name: str | None = None
    label = "hidden"

    def __post_init__(self) -> None:
        require_whole("Dense", "units", self.units)
        if not isinstance(self.activation, Layer):
            get_activation(self.activation)
        elif self.activation.whole_batch or self.activation.children():
            raise TraceError(f"Dense: {self.activation} is no activation; put it after the dense layer")

    def parameters(self, x: Type) -> Mapping[str, Parameter]:
        width, units = columns_of(x, "Dense"), int(self.units)
        start = self.initializer or ("he_uniform" if self.activation in HE else "glorot_uniform")
        found = {"weight": Parameter((width, units), start)}
        if self.bias:
            found["bias"] = Parameter((units,), "zeros", role="bias")
        if isinstance(self.activation, Layer):
            own = self.activation.declare(x.with_shape((x.shape[0], units)))
            if own.state or own.gives.shape != (x.shape[0], units):
                raise TraceError(f"Dense: {self.activation} is no activation; put it after the dense layer")
            found |= {f"activation.{k}": p for k, p in own.parameters.items()}
        return found

    def settings(self) -> Mapping[str, float]:
        own = self.activation.settings() if isinstance(self.activation, Layer) else {}
        return {f"activation.{k}": v for k, v in own.items()}

    def forward(self, scope: Scope, x: Any) -> Any:
        net = ops.matmul(x, scope["weight"])
        if self.bias:
            net = net + scope["bias"]
        net = scope.name("net", net)
        if isinstance(self.activation, Layer):
            inner = scope.child("activation", computed=True, unnamed=True)
            return scope.name("out", self.activation.forward(inner, net))
        return scope.name("out", get_activation(self.activation)(net))


@dataclass(frozen=True)
class Scale(Layer):
    """A diagonal layer: out = gain · x, one gain for each column, from 1.

    In front of a network it learns which columns matter: RealMLP has one, whose learning rate is 6 times the others'
    (``cr.nn.Rated(cr.nn.Scale(), rate=6.0)``; Holzmüller, Grinsztajn, Steinwart, arXiv 2407.04491).

    >>> import numpy as np
    >>> Scale()({"gain": np.array([1.0, 0.5])}, np.array([[3.0, 4.0]])).tolist()
    [[3.0, 2.0]]
    """

    initializer: str | Initializer = "ones"
    name: str | None = None
    label = "scale"

    def parameters(self, x: Type) -> Mapping[str, Parameter]:
        return {"gain": Parameter((columns_of(x, "Scale"),), self.initializer, role="gain")}

    def forward(self, scope: Scope, x: Any) -> Any:
        return scope.name("out", x * scope["gain"])
