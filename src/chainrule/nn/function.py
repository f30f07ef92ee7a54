"""A plain function ``(parameters, x) -> output`` as a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from chainrule.errors import TraceError
from chainrule.nn.layer import Layer
from chainrule.nn.scope import Scope


@dataclass(frozen=True)
class FunctionNetwork(Layer):
    """A network written as a function of its parameters (nested as one likes) and the rows of inputs."""

    function: Callable[[Any, Any], Any]
    name: str | None = None

    def forward(self, scope: Scope, x: Any) -> Any:
        return self.function(scope.parameters, x)

    def initialize(self, x: Any, seed: int = 0) -> NoReturn:
        raise TraceError(
            "a network that is a plain function has no initialize; give its first parameters yourself: "
            "cr.fit(objective, data, parameters={'w': …})"
        )


def as_network(network: Any) -> Layer:
    """Return a layer as it is, and a function as a network."""
    if isinstance(network, Layer):
        return network
    if callable(network):
        return FunctionNetwork(network)
    raise TraceError(
        f"{network!r} is not a network; give layers (cr.nn.Sequential) or a function (parameters, x) -> output"
    )
