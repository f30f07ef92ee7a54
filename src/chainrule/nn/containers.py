"""Layers made of layers: one after another, around a shortcut, side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from chainrule import ops
from chainrule.errors import TraceError, TypeMismatch
from chainrule.graph import Type
from chainrule.nn.dense import Dense
from chainrule.nn.layer import Declaration, Layer, columns_of
from chainrule.nn.scope import Scope
from chainrule.nn.tying import Tie, check_tie, without_copies


def _prefixed(name: str, part: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{name}.{k}": v for k, v in part.items()}


def _within(name: str, sums: Mapping[str, Any]) -> dict[str, Any]:
    start = f"{name}."
    return {k.removeprefix(start): v for k, v in sums.items() if k.startswith(start)}


class Container(Layer):
    """What layers made of layers have in common: names, and the parts of all that they hold."""

    layers: tuple[Layer, ...]
    names_output = False
    """Is the last dense layer called ``output``?"""

    def _take(self, layers: tuple[Any, ...], example: str) -> None:
        """Check the layers, and keep them."""
        kind = type(self).__name__
        given = tuple(layers[0]) if len(layers) == 1 and isinstance(layers[0], list | tuple) else layers
        for layer in given:
            if not isinstance(layer, Layer):
                raise TraceError(f"{kind} takes layers, not {layer!r}; for instance cr.nn.Dense(8, activation='relu')")
        if not given:
            raise TraceError(f"{kind} needs at least one layer, for instance {example}")
        object.__setattr__(self, "layers", given)
        twice = [name for name, count in Counter(name for name, _ in self._named()).items() if count > 1]
        if twice:
            raise TraceError(f"{kind}: two layers are called {twice[0]!r}; give one of them another name")

    @property
    def whole_batch(self) -> bool:  # type: ignore[override]  # a class constant of simple layers, worked out here
        return any(layer.whole_batch for layer in self.layers)

    def _named(self) -> Iterator[tuple[str, Layer]]:
        bare = [layer.bare() for layer in self.layers]
        dense = [i for i, layer in enumerate(bare) if isinstance(layer, Dense)] if self.names_output else []
        is_last = bool(dense) and not any(layer.children() or layer.label == "layer" for layer in bare[dense[-1] :])
        counts: Counter[str] = Counter()
        for i, (layer, inner) in enumerate(zip(self.layers, bare, strict=True)):
            kind = inner.label if inner.label != "layer" else type(inner).__name__.lower()
            counts[kind] += 1
            if layer.name:
                yield layer.name, layer
            elif is_last and i == dense[-1]:
                yield "output", layer
            else:
                yield f"{kind}{counts[kind]}", layer

    def children(self) -> Mapping[str, Layer]:
        return {name: layer.bare() for name, layer in self._named()}

    def update_state(self, scope: Scope, sums: Mapping[str, Any], count: Any) -> Mapping[str, Any]:
        result: dict[str, Any] = {}
        for name, layer in self._named():
            result |= _prefixed(name, layer.update_state(scope.child(name), _within(name, sums), count))
        return result

    def _declare(self, x: Type, chained: bool) -> tuple[Declaration, list[Type]]:
        """Gather what the layers need; each takes what the one before gives, or all of them take x."""
        parameters: dict[str, Any] = {}
        state: dict[str, Any] = {}
        settings: dict[str, float] = {}
        layers: dict[str, Type] = {}
        given = x
        for name, layer in self._named():
            inner = layer.declare(given)
            parameters |= _prefixed(name, inner.parameters)
            state |= _prefixed(name, inner.state)
            settings |= _prefixed(name, inner.settings)
            layers[name] = inner.gives
            given = inner.gives if chained else x
        return Declaration(parameters, state, settings, given, layers), list(layers.values())

    def __str__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(str, self.layers))})"

    def _chain(self, scope: Scope, x: Any) -> Any:
        for i, (name, layer) in enumerate(self._named()):
            x = layer.forward(scope.child(name, computed=i > 0), x)
        return x


@dataclass(frozen=True, init=False)
class Sequential(Container):
    """Layers one after another: a_L(…a₂(a₁(x; θ₁); θ₂)…; θ_L).

    ``Sequential(a, b, c)`` or ``Sequential([a, b, c])``. Dense layers are called ``hidden1``, ``hidden2``, …, and the
    last ``output``; others by their kind and number; a layer's own ``name`` goes before.

    ``tie`` says which parameters are one and the same: ``tie={"hidden3.weight": "hidden2.weight"}`` leaves out the
    first, and uses the second in its place; ``"hidden1.weight.T"`` is its transpose, and the name of a layer stands for
    all of its parameters. The gradients of all uses add up.

    >>> import numpy as np
    >>> coder = Sequential(Dense(2, activation="tanh"), Dense(5), tie={"output.weight": "hidden1.weight.T"})
    >>> {name: value.shape for name, value in coder.initialize(np.ones((1, 5))).items()}
    {'hidden1.weight': (5, 2), 'hidden1.bias': (2,), 'output.bias': (5,)}
    """

    layers: tuple[Layer, ...]
    name: str | None = None
    tie: Tie = field(default_factory=dict, hash=False)
    label = "block"
    names_output = True

    def __init__(self, *layers: Any, name: str | None = None, tie: Tie | None = None) -> None:
        object.__setattr__(self, "name", name)
        self._take(layers, "Sequential(cr.nn.Dense(1))")
        object.__setattr__(self, "tie", check_tie(tie or {}))

    def declare(self, x: Type) -> Declaration:
        declared, given = self._declare(x, chained=True)
        kept = without_copies(self.tie, declared.parameters)
        return Declaration(kept, declared.state, declared.settings, given[-1], declared.layers)

    def forward(self, scope: Scope, x: Any) -> Any:
        return self._chain(scope.tied(self.tie), x)

    def update_state(self, scope: Scope, sums: Mapping[str, Any], count: Any) -> Mapping[str, Any]:
        return super().update_state(scope.tied(self.tie), sums, count)

    def __str__(self) -> str:
        nested = "x"
        for i in range(1, len(self.layers) + 1):
            nested = f"a{i}({nested})"
        lines = [f"network = {nested}"]
        lines += [f"  a{i}  {name}: {layer}" for i, (name, layer) in enumerate(self._named(), start=1)]
        lines += [f"  {copy} is {source}" for copy, source in self.tie.items()]
        return "\n".join(lines)


@dataclass(frozen=True, init=False)
class Residual(Container):
    """A block with a way around it: out = x + f(x), where f is the layers one after another (He et al. 2015).

    ``Residual(a, b)``: the last layer must have as many units as x has columns. The derivative reaches x undiminished.
    Names are ``residual1.hidden1.weight``.

    >>> import numpy as np
    >>> block = Residual(Dense(8, activation="relu"), Dense(2, initializer="zeros"))
    >>> x = np.array([[1.0, 2.0]])
    >>> block(block.initialize(x), x).tolist()
    [[1.0, 2.0]]
    """

    layers: tuple[Layer, ...]
    name: str | None = None
    label = "residual"

    def __init__(self, *layers: Any, name: str | None = None) -> None:
        object.__setattr__(self, "name", name)
        self._take(layers, "Residual(cr.nn.Dense(8))")

    def declare(self, x: Type) -> Declaration:
        declared, given = self._declare(x, chained=True)
        if given[-1] != x:
            raise TypeMismatch(
                f"Residual: x is {x}, and what its layers make of it is {given[-1]}; the two are added, so their "
                f"shapes must be equal: end with cr.nn.Dense({x.shape[-1]})"
            )
        return declared

    def forward(self, scope: Scope, x: Any) -> Any:
        return scope.name("out", x + self._chain(scope, x))


@dataclass(frozen=True, init=False)
class Concatenate(Container):
    """Branches side by side: out = [a(x), b(x), …], joined column by column.

    Every branch reads the whole input; ``cr.nn.Columns`` makes it read some of it. So categories go to an embedding and
    numbers to periodic features:

    >>> import numpy as np
    >>> from chainrule.nn import Columns, Embedding, Periodic
    >>> front = Concatenate(Columns([0], Embedding(5, 3)), Columns(slice(1, None), Periodic()))
    >>> x = np.array([[4.0, 0.5, -1.0]])
    >>> front(front.initialize(x), x).shape  # 3, and 4 for each of two numbers
    (1, 11)
    """

    layers: tuple[Layer, ...]
    name: str | None = None
    label = "concatenate"

    def __init__(self, *layers: Any, name: str | None = None) -> None:
        object.__setattr__(self, "name", name)
        self._take(layers, "Concatenate(cr.nn.Dense(8), cr.nn.Lambda('identity'))")

    def declare(self, x: Type) -> Declaration:
        declared, given = self._declare(x, chained=False)
        width = sum(columns_of(kind, f"Concatenate, after {name!r}") for name, kind in declared.layers.items())
        gives = given[0].with_shape((x.shape[0], width))
        return Declaration(declared.parameters, declared.state, declared.settings, gives, declared.layers)

    def forward(self, scope: Scope, x: Any) -> Any:
        parts = [layer.forward(scope.child(name), x) for name, layer in self._named()]
        return scope.name("out", ops.concatenate(parts, axis=1))
