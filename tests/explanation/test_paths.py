"""Paths of the chain rule on random networks: sums, cuts, masses and the largest paths, against the slow way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import ops
from chainrule.explanation import explain
from chainrule.nn import Dense, Dropout, Layer, Parameter, Sequential

Array = np.ndarray[Any, Any]
ACTIVATIONS = ("sigmoid", "tanh", "relu", "identity")


@dataclass(frozen=True)
class LayerNorm(Layer):
    """Normalize each row."""

    name: str | None = None

    def parameters(self, x: Any) -> Mapping[str, Parameter]:
        return {"gain": Parameter((x.shape[-1],), "ones"), "shift": Parameter((x.shape[-1],), "zeros")}

    def forward(self, scope: Any, x: Any) -> Any:
        mean = ops.mean(x, axis=1)[:, None]
        away = x - mean
        spread = ops.sqrt(ops.mean(away * away, axis=1)[:, None] + 1e-3)
        return scope.name("out", away / spread * scope["gain"] + scope["shift"])


@dataclass(frozen=True)
class Residual(Layer):
    """x + f(x), of the same width."""

    activation: str = "tanh"
    name: str | None = None

    def parameters(self, x: Any) -> Mapping[str, Parameter]:
        return {"weight": Parameter((x.shape[-1], x.shape[-1]), "glorot_uniform")}

    def forward(self, scope: Any, x: Any) -> Any:
        net = scope.name("net", ops.matmul(x, scope["weight"]))
        return scope.name("out", x + cr.nn.get_activation(self.activation)(net))


@dataclass(frozen=True)
class Twice(Layer):
    """One weight used in two places: a tied parameter."""

    name: str | None = None

    def parameters(self, x: Any) -> Mapping[str, Parameter]:
        return {"weight": Parameter((x.shape[-1], x.shape[-1]), "glorot_uniform")}

    def forward(self, scope: Any, x: Any) -> Any:
        first = scope.name("first", np.tanh(ops.matmul(x, scope["weight"])))
        return scope.name("out", ops.matmul(first, scope["weight"]))


@dataclass(frozen=True)
class Recurrent(Layer):
    """A state that goes through the same weight again and again: a region."""

    length: int = 3
    name: str | None = None

    def parameters(self, x: Any) -> Mapping[str, Parameter]:
        return {"weight": Parameter((x.shape[-1], x.shape[-1]), "glorot_uniform")}

    def forward(self, scope: Any, x: Any) -> Any:
        weight = scope["weight"]
        last, _ = cr.scan(lambda h, _: (np.tanh(ops.matmul(h, weight) + 0.1), None), x, None, length=self.length)
        return scope.name("out", last)


@dataclass(frozen=True)
class Embedding(Layer):
    """Rows of a table, chosen by the sign of the first column."""

    width: int = 3
    name: str | None = None

    def parameters(self, x: Any) -> Mapping[str, Parameter]:
        return {"table": Parameter((2, self.width), "glorot_uniform")}

    def forward(self, scope: Any, x: Any) -> Any:
        chosen = ops.cast(x[:, 0] > 0, dtype="i64")
        return scope.name("out", ops.concatenate((ops.take(scope["table"], chosen), x), axis=1))


def dense(rng: Any, width: int) -> Layer:
    return Dense(width, activation=ACTIVATIONS[rng.integers(4)])


def random_network(seed: int) -> Sequential:
    """Return a network of a few layers, the last of them dense."""
    rng = np.random.default_rng(seed)
    layers: list[Layer] = []
    number = count(1)
    kinds: list[Callable[[], Layer]] = [
        lambda: dense(rng, int(rng.integers(2, 5))),
        lambda: dense(rng, int(rng.integers(2, 5))),
        lambda: LayerNorm(name=f"norm{next(number)}"),
        lambda: Residual(ACTIVATIONS[rng.integers(4)], name=f"residual{next(number)}"),
        lambda: Twice(name=f"twice{next(number)}"),
        lambda: Recurrent(int(rng.integers(2, 4)), name=f"recurrent{next(number)}"),
        lambda: Embedding(int(rng.integers(1, 4)), name=f"embedding{next(number)}"),
        lambda: Dropout(0.3, name=f"dropout{next(number)}"),
    ]
    layers += [kinds[rng.integers(len(kinds))]() for _ in range(int(rng.integers(1, 4)))]
    return Sequential(*layers, dense(rng, int(rng.integers(1, 4))))


def random_problem(seed: int) -> tuple[Any, tuple[Array, Array], Any]:
    """Return an objective, data of one to three rows, and parameters."""
    rng = np.random.default_rng(1000 + seed)
    network = random_network(seed)
    x = rng.normal(size=(int(rng.integers(1, 4)), int(rng.integers(2, 4))))
    parameters = {k: v + 0.1 * rng.normal(size=v.shape) for k, v in network.initialize(x, seed=seed).items()}
    y = rng.normal(size=(len(x), np.shape(network(parameters, x))[1]))
    return cr.Objective(network, "half_squared_error"), (x, y), parameters


# --- the sums, against the trainer's gradient, and against every path by itself --------------------------------------


def walk(trail: Any) -> list[float]:
    """The products of all paths with a way, one by one: the slow and obvious way."""
    from chainrule.explanation.waypoints import SOURCE

    last = len(trail.waypoints) - 1
    products: list[float] = []

    def on(point: int, element: int, product: float) -> None:
        if point == last:
            products.append(product)
            return
        for edge in trail.edges:
            if edge.start != point:
                continue
            for end in range(len(edge.factors)):
                if edge.is_diagonal and end != element:
                    continue
                place = (end,) if edge.is_diagonal else (end, element)
                if edge.ways()[place]:
                    on(edge.end, end, product * edge.factors[place])

    on(SOURCE, 0, 1.0)
    return products


def elements(rng: Any, parameters: Any) -> list[str]:
    """One element of every parameter."""
    found = []
    for name, value in parameters.items():
        index = [int(rng.integers(size)) for size in value.shape]
        found.append(f"{name}[{', '.join(map(str, index))}]")
    return found


SEEDS = range(100)


def close(got: float, wanted: float, scale: float, tolerance: float = 1e-10) -> bool:
    return abs(got - wanted) <= tolerance * max(abs(wanted), scale, 1e-300)


@pytest.mark.parametrize("seed", SEEDS)
def test_everything_adds_up_on_a_random_network(seed: int) -> None:
    objective, data, parameters = random_problem(seed)
    _, gradient = cr.value_and_grad(objective)(parameters, data)
    rng = np.random.default_rng(seed)
    for of in elements(rng, parameters):
        d = explain(objective, data, of=of, parameters=parameters)
        wanted = float(gradient[d.asked.name][d.asked.index])
        mass = d.paths.mass
        assert close(d.value, wanted, 1e-6)
        share = d.by_row[d.row] if d.by_row else None
        assert close(d.paths.total, share.slope if share else wanted, mass)
        assert share is None or close(sum(p.part for p in d.by_row), wanted, mass)
        layer = d.asked.name.partition(".")[0]
        assert bool(d.by_use) == layer.startswith(("twice", "recurrent"))
        assert not d.by_use or close(sum(use.part for use in d.by_use), wanted, sum(abs(u.part) for u in d.by_use))
        for layer in d.layers:
            assert close(d.cut(layer).total, wanted, mass), layer
            assert close(d.paths.cut(d.layers.index(layer)).total, d.paths.total, mass)
        products = walk(d.trail)
        assert d.paths.count == len(products)
        assert close(mass, float(np.sum(np.abs(products))), 0.0)
        assert close(d.paths.total, float(np.sum(products)), mass)
        largest = sorted(np.abs(products), reverse=True)[:7]
        np.testing.assert_allclose([abs(p.product) for p in d.paths.top(7)], largest, rtol=1e-10, atol=1e-300)
        for path in d.paths.top(7):
            assert close(path.product, float(np.prod(path.factors)), 0.0)
        assert d.check is not None
        assert close(d.check.numeric, wanted, 1e-3, 1e-5)
        assert str(d)
