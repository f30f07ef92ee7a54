"""Layer: what every layer and network is, and how one of one's own is written.

A layer is a frozen dataclass that says which parameters it needs and how it computes:

>>> from dataclasses import dataclass
>>> from chainrule.nn import Layer, Parameter
>>> @dataclass(frozen=True)
... class Stretch(Layer):
...     start: str = "ones"
...     def parameters(self, x):
...         return {"gain": Parameter((x.shape[-1],), self.start, role="gain")}
...     def forward(self, scope, x):
...         return x * scope["gain"]
>>> import numpy as np
>>> network = Stretch()
>>> network(network.initialize(np.ones((1, 2))), np.array([[3.0, 4.0]])).tolist()
[[3.0, 4.0]]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from numbers import Real
from typing import Any

import numpy as np

from chainrule import ops
from chainrule.errors import TraceError, TypeMismatch
from chainrule.graph import Node, Rows, Type, as_array, make_graph
from chainrule.nn.initializers import Initializer, get_initializer
from chainrule.nn.scope import Scope

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Parameter:
    """A parameter that a layer needs: its shape, how it starts, its role, and its training.

    The role is weight (of sums over inputs), bias, gain, shift, embedding or frequency: it says what a penalty, a
    constraint or ``Frozen`` is over.

    ``rate`` multiplies the learning rate and ``decay`` the weight decay of this parameter; a ``frozen`` one stays as it
    starts. ``cr.nn.Rated`` and ``cr.nn.Frozen`` set them for layers that are there already.
    """

    shape: tuple[int, ...]
    initializer: str | Initializer
    role: str = "weight"
    rate: float = 1.0
    decay: float = 1.0
    frozen: bool = False


@dataclass(frozen=True)
class Declaration:
    """All that a network of a given input type needs and gives, under full names such as ``hidden1.weight``."""

    parameters: Mapping[str, Parameter]
    state: Mapping[str, Array]
    settings: Mapping[str, float]
    gives: Type
    layers: Mapping[str, Type] = field(default_factory=dict)


class Layer:
    """A function of parameters and inputs. Subclasses give ``parameters`` and ``forward``, and more where needed."""

    name: str | None = None
    label = "layer"
    whole_batch = False
    """True where training reads statistics of the whole batch, so that a batch cannot be cut into tiles."""

    def parameters(self, x: Type) -> Mapping[str, Parameter]:
        """Return the parameters that the layer needs for an input of this type, by short name."""
        return {}

    def initial_state_of(self, x: Type) -> Mapping[str, Array]:
        """Return what is carried from step to step beside the parameters, such as running statistics."""
        return {}

    def settings(self) -> Mapping[str, float]:
        """Return the numbers that training may change without another graph, such as a dropout rate."""
        return {}

    def forward(self, scope: Scope, x: Any) -> Any:
        """Compute the layer."""
        raise TraceError(f"the layer {type(self).__name__} has no forward(self, scope, x)")

    def update_state(self, scope: Scope, sums: Mapping[str, Any], count: Any) -> Mapping[str, Any]:
        """Return the next state from the sums that ``forward`` added up over ``count`` rows."""
        return {}

    def __str__(self) -> str:
        """Return the layer as one would write it: what differs from the defaults."""
        if not is_dataclass(self):
            return type(self).__name__
        shown = []
        for f in fields(self):
            value = getattr(self, f.name)
            text = str(value) if isinstance(value, Layer) else repr(value)
            if f.default is MISSING:
                shown.append(text)
            elif value != f.default:
                shown.append(f"{f.name}={text}")
        return f"{type(self).__name__}({', '.join(shown)})"

    def children(self) -> Mapping[str, Layer]:
        """Return the layers within this one, by name."""
        return {}

    def bare(self) -> Layer:
        """Return the layer itself: without wrappers that only say which columns it reads, or how it is trained."""
        return self

    def declare(self, x: Type) -> Declaration:
        """Work out what the layer needs and gives for an input of this type."""
        parameters, state, settings = self.parameters(x), self.initial_state_of(x), self.settings()
        for name, parameter in parameters.items():
            if not isinstance(parameter, Parameter):
                raise TraceError(
                    f"the layer {type(self).__name__} gives {parameter!r:.60} as its parameter {name!r}.\n"
                    "  wrong:  {'gain': np.ones(3)}\n"
                    "  right:  {'gain': cr.nn.Parameter((3,), 'ones')}"
                )
        types = {k: Type(x.dtype, p.shape) for k, p in parameters.items()}
        states = {k: Type(x.dtype, np.shape(v)) for k, v in state.items()}
        graph = make_graph(lambda p, s, v: self.forward(Scope(p, state=s), v), types, states, x)
        if len(graph.outputs) != 1:
            raise TraceError(f"the layer {type(self).__name__} must return one value, not {graph.gives}")
        return Declaration(parameters, state, settings, graph.outputs[0].type)

    def initialize(self, x: Any, seed: int = 0) -> dict[str, Array]:
        """Return the parameters at random, for inputs like ``x`` (an array of rows, or a Type).

        The same seed gives the same numbers on every machine of one NumPy build; the dtype is that of ``x``.
        """
        declared = self.declare(input_type(x))
        dtype = input_type(x).dtype
        base = ops.fold(ops.key(seed), ops.stream("initialize"))
        return {
            name: get_initializer(p.initializer)(ops.fold(base, ops.stream(name)), p.shape, dtype)
            for name, p in declared.parameters.items()
        }

    def initial_state(self, x: Any) -> dict[str, Array]:
        """Return the state before training, for inputs like ``x``."""
        kind = input_type(x)
        return {k: np.asarray(v, "f4" if kind.dtype == "f32" else "f8") for k, v in self.declare(kind).state.items()}

    def __call__(
        self,
        parameters: Mapping[str, Any],
        x: Any,
        *,
        state: Mapping[str, Any] | None = None,
        training: bool = False,
        key: Any = None,
    ) -> Any:
        """Compute the network's output for the rows of x: the forward computation.

        ``training=True`` draws dropout masks (from ``key``) and normalizes by the batch; else the network predicts.
        """
        return self.forward(Scope(parameters, state=state, training=training, key=key), as_input(x))

    def activations(
        self, parameters: Mapping[str, Any], x: Any, *, state: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return every named value of the forward computation, layer by layer: net inputs and outputs."""
        scope = Scope(parameters, state=state)
        self.forward(scope, as_input(x))
        return scope.values


def columns_of(x: Type, layer: str) -> int:
    """Return how many columns a layer's input has; raise TypeMismatch where it is not rows of numbers."""
    if x.rank != 2 or not isinstance(x.shape[1], int):
        raise TypeMismatch(f"{layer}: the input is {x}; it takes rows with a fixed number of columns")
    return x.shape[1]


def float_name(x: Any) -> str:
    """Return the dtype of a layer's input, an array or a traced value, as a graph calls it."""
    return str(x.type.dtype) if isinstance(x, Node) else ("f32" if x.dtype == np.float32 else "f64")


def require_number(layer: str, name: str, value: Any, fits: Callable[[Any], bool], wanted: str) -> None:
    """Raise TypeMismatch where a number that a layer is given is not one that it takes."""
    if isinstance(value, bool) or not isinstance(value, Real) or not np.isfinite(float(value)) or not fits(value):
        raise TypeMismatch(f"{layer}: {name} is {value!r}; it must be {wanted}")


def require_whole(layer: str, name: str, value: Any, least: int = 1) -> None:
    """Raise TypeMismatch where a count that a layer is given is not a whole number, or too small."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise TypeMismatch(f"{layer}: {name} is {value!r}; it must be a whole number of at least {least}")


def as_input(x: Any) -> Any:
    """Return rows of inputs as floats; whole numbers become doubles."""
    if isinstance(x, Node):
        return x
    array = as_array(x, "the input")
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def as_target(y: Any) -> Any:
    """Return targets as an array: whole numbers stay (they may be classes), truth values become 0 and 1."""
    if isinstance(y, Node):
        return y
    array = as_array(y, "the target")
    return array.astype(np.int64) if array.dtype == np.bool_ else array


def input_type(x: Any) -> Type:
    """Return the type of a network's input, with the number of rows left open."""
    kind = x if isinstance(x, Type) else Type("f32" if (a := as_input(x)).dtype == np.float32 else "f64", a.shape)
    if kind.rank < 1:
        raise TypeMismatch(
            f"the input is {kind}; a network takes rows: an array with at least two axes (rows, columns)"
        )
    if kind.rank < 2:
        raise TypeMismatch(
            f"the input is {kind}; a network takes rows and columns: one row is x[None, :], one column is x[:, None]"
        )
    return kind.with_shape((Rows(1), *kind.shape[1:]))
