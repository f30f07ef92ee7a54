"""Activations that are layers: with learned parameters, or with numbers of one's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from chainrule import ops
from chainrule.errors import TraceError
from chainrule.graph import Type
from chainrule.nn.activations import Activation, elu, get_activation, leaky_relu
from chainrule.nn.initializers import Constant
from chainrule.nn.layer import Layer, Parameter, columns_of, require_number
from chainrule.nn.scope import Scope


@dataclass(frozen=True)
class PReLU(Layer):
    """A relu with learned slopes: out = x where x > 0, else α x; one α for each unit, from ``slope``.

    α has no weight decay, which would draw it to a plain relu. He, Zhang, Ren, Sun, arXiv 1502.01852.

    >>> import numpy as np
    >>> PReLU()({"slope": np.array([0.5])}, np.array([[-2.0], [2.0]])).tolist()
    [[-1.0], [2.0]]
    """

    slope: float = 0.25
    name: str | None = None
    label = "prelu"

    def __post_init__(self) -> None:
        require_number("PReLU", "slope", self.slope, lambda v: True, "a finite number")

    def parameters(self, x: Type) -> Mapping[str, Parameter]:
        return {"slope": Parameter((columns_of(x, "PReLU"),), Constant(self.slope), role="gain", decay=0.0)}

    def forward(self, scope: Scope, x: Any) -> Any:
        return scope.name("out", ops.where(x > 0, x, scope["slope"] * x))


@dataclass(frozen=True)
class Parametric(Layer):
    """An activation as strong as is learned: out = x + α (f(x) − x); one α for each unit, from ``start``.

    With α = 1 it is f, with α = 0 the identity. ``rate`` multiplies the learning rate of α. RealMLP's default, with f =
    SELU for classes and Mish for numbers, and the rate 0.1: Holzmüller, Grinsztajn, Steinwart, arXiv 2407.04491.

    >>> import numpy as np
    >>> Parametric("relu")({"strength": np.array([0.5])}, np.array([[-2.0], [2.0]])).tolist()
    [[-1.0], [2.0]]
    """

    activation: Activation
    start: float = 1.0
    rate: float = 0.1
    name: str | None = None
    label = "parametric"

    def __post_init__(self) -> None:
        if isinstance(self.activation, Layer):
            raise TraceError(
                f"Parametric takes the name of an activation or a function, not the layer {self.activation}"
            )
        get_activation(self.activation)
        require_number("Parametric", "start", self.start, lambda v: True, "a finite number")
        require_number("Parametric", "rate", self.rate, lambda v: v > 0, "a number greater than 0")

    def parameters(self, x: Type) -> Mapping[str, Parameter]:
        width = columns_of(x, "Parametric")
        return {"strength": Parameter((width,), Constant(self.start), role="gain", rate=self.rate)}

    def forward(self, scope: Scope, x: Any) -> Any:
        return scope.name("out", x + scope["strength"] * (get_activation(self.activation)(x) - x))


@dataclass(frozen=True)
class LeakyReLU(Layer):
    """out = x where x > 0, else ``slope`` · x: ``"leaky_relu"`` with a slope of one's own.

    >>> import numpy as np
    >>> LeakyReLU(0.5)({}, np.array([[-2.0, 2.0]])).tolist()
    [[-1.0, 2.0]]
    """

    slope: float = 0.01
    name: str | None = None
    label = "activation"

    def __post_init__(self) -> None:
        require_number("LeakyReLU", "slope", self.slope, lambda v: True, "a finite number")

    def forward(self, scope: Scope, x: Any) -> Any:
        return scope.name("out", leaky_relu(x, self.slope))


@dataclass(frozen=True)
class ELU(Layer):
    """out = x where x > 0, else α (eˣ − 1): ``"elu"`` with an α of one's own.

    >>> import numpy as np
    >>> ELU(2.0)({}, np.array([[-1.0, 2.0]])).round(4).tolist()
    [[-1.2642, 2.0]]
    """

    alpha: float = 1.0
    name: str | None = None
    label = "activation"

    def __post_init__(self) -> None:
        require_number("ELU", "alpha", self.alpha, lambda v: v > 0, "a number greater than 0")

    def forward(self, scope: Scope, x: Any) -> Any:
        return scope.name("out", elu(x, self.alpha))


@dataclass(frozen=True)
class Lambda(Layer):
    """A function as a layer: out = function(x), a name of an activation or a function of one's own.

    The function takes rows and returns one row for each. A model file holds the names of activations; with a function
    of one's own it holds the graph, which predicts, but not the layer.

    >>> import numpy as np
    >>> from chainrule.nn import Dense, Sequential
    >>> network = Sequential(Lambda(lambda x: np.concatenate([x, x**2], axis=1)), Dense(1))
    >>> network.initialize(np.ones((1, 3)))["output.weight"].shape
    (6, 1)
    """

    function: str | Callable[[Any], Any]
    name: str | None = None
    label = "lambda"

    def __post_init__(self) -> None:
        if isinstance(self.function, Layer):
            raise TraceError(f"Lambda takes a function; {self.function} is a layer, and can stand by itself")
        get_activation(self.function)

    def forward(self, scope: Scope, x: Any) -> Any:
        out = get_activation(self.function)(x)
        rows = x.shape[0]
        if not hasattr(out, "shape") or len(out.shape) < 1 or out.shape[0] != rows:
            shape = getattr(out, "shape", None)
            what = f"{out!r:.40}" if shape is None else f"a value of shape ({', '.join(map(str, shape))})"
            raise TraceError(
                f"the function of {scope.path or 'Lambda'!r} made {what} of ({', '.join(map(str, x.shape))}); it must "
                "return one row for each row.\n"
                "  wrong:  cr.nn.Lambda(lambda x: np.mean(x))\n"
                "  right:  cr.nn.Lambda(lambda x: np.mean(x, axis=1, keepdims=True))"
            )
        return scope.name("out", out)
