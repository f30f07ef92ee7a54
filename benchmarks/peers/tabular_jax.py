"""Workload (g) by JAX: one step a call, or a scan over many; random numbers by Threefry, or by the faster generator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks import tabular
from benchmarks.peers.trainer import Array, Steps, Trainer
from benchmarks.workloads import Workload

GENERATORS = {"": "threefry2x32", ", rbg": "unsafe_rbg"}
Tree = Any


def forms(work: Workload) -> dict[str, Callable[[], Trainer]]:
    return {
        f"{form}{more}": lambda form=form, kind=kind: TabularJax(work, form, kind)  # type: ignore[misc]  # bound now
        for form in ("jit", "scan")
        for more, kind in GENERATORS.items()
    }


def forward(values: Tree, depth: int, floats: Any, codes: Any, drop: Callable[[int, Any], Any]) -> Any:
    """The network as a function of its parameters; ``drop`` is the dropout of a layer."""
    numbers = floats[:, : len(tabular.NUMBERS), None]
    waves = jnp.cos(numbers * (2 * np.pi * values["frequency"]) + values["phase"])
    mixed = jnp.einsum("nfw,fwu->nfu", waves, values["mixing"]) + values["offset"]
    rows = len(floats)
    periodic = jnp.concatenate([numbers, mixed], 2).reshape(rows, -1)
    known = values["table"].at[codes].get(mode="promise_in_bounds").reshape(rows, -1)
    x = jnp.concatenate([periodic, floats[:, len(tabular.NUMBERS) :], known], 1) * values["gain"]
    for number in range(1, depth):
        x = x @ values[f"weight{number}"] + values[f"bias{number}"]
        x = drop(number, x + values[f"strength{number}"] * (jax.nn.selu(x) - x))
    return x @ values[f"weight{depth}"] + values[f"bias{depth}"]


def loss_of(out: Any, y: Any) -> Any:
    scores = jax.nn.log_softmax(out)
    named = jnp.take_along_axis(scores, y[:, None], axis=1)[:, 0]
    return -jnp.mean((1 - tabular.SMOOTHING) * named + tabular.SMOOTHING * jnp.mean(scores, axis=1))


class TabularJax(Steps):
    """A unit is a call for each step (jit), or one call for all of them; the carry is donated."""

    def __init__(self, work: Workload, form: str, generator: str) -> None:
        self.form, self.generator = form, generator
        super().__init__(work, one_by_one=form == "jit")
        x, y = work.data()
        floats, codes = tabular.split(x)
        data = jnp.asarray(floats), jnp.asarray(codes.astype(np.int32)), jnp.asarray(y.astype(np.int32))
        self.data, self.dropout = data, tabular.DROPOUT
        self.parts = tabular.parts(work)
        self.restart()
        depth, total = len(work.shape) - 1, tabular.total_steps(work)
        b1, b2 = tabular.BETA1, tabular.BETA2

        def loss(values: Tree, batch: Any, key: Any, dropout: Any) -> Any:
            def drop(layer: int, x: Any) -> Any:
                keep = jax.random.bernoulli(jax.random.fold_in(key, layer), 1 - dropout, x.shape)
                return jnp.where(keep, x * (1 / (1 - dropout)), 0)

            floats, codes, y = batch
            return loss_of(forward(values, depth, floats, codes, drop), y)

        def step(carry: Tree, data: Any, highest: Any, rows: Any) -> Tree:
            values, means, squares, count, key = carry
            share = jnp.minimum(count / total, 1.0)
            rate = work.rate * 0.5 * (1 - jnp.cos(2 * np.pi * jnp.log2(1 + 15 * share)))
            falling = 0.5 * (1 + jnp.cos(np.pi * jnp.maximum(2 * share - 1, 0)))
            batch = [part.at[rows].get(mode="promise_in_bounds") for part in data]
            found = jax.grad(loss)(values, batch, jax.random.fold_in(key, count), falling * highest)
            count = count + 1
            scale, root = 1 / (1 - b1 ** count.astype(jnp.float32)), 1 / (1 - b2 ** count.astype(jnp.float32))
            after: tuple[Tree, Tree, Tree] = {}, {}, {}
            for name, part in self.parts.items():
                g = found[name]
                m, v = b1 * means[name] + (1 - b1) * g, b2 * squares[name] + (1 - b2) * g * g
                moved = m * scale / (jnp.sqrt(v * root) + tabular.EPSILON)
                moved = moved + falling * tabular.DECAY * part.decay * values[name]
                after[0][name] = values[name] - rate * part.rate * moved
                after[1][name], after[2][name] = m, v
            return (*after, count, key)

        def scan(carry: Tree, data: Any, highest: Any, orders: Any) -> Tree:
            return lax.scan(lambda c, rows: (step(c, data, highest, rows), None), carry, orders)[0]

        self.function = jax.jit({"jit": step, "scan": scan}[form], donate_argnums=(0,))

    def prepare(self, order: Array) -> Any:
        order = order.astype(np.int32)
        return [jnp.asarray(rows) for rows in order] if self.form == "jit" else jnp.asarray(order)

    def restart(self) -> None:
        values = {name: jnp.array(part.value) for name, part in self.parts.items()}
        zeros = [jax.tree.map(jnp.zeros_like, values) for _ in range(2)]
        self.carry = (values, *zeros, jnp.zeros((), jnp.int32), jax.random.key(0, impl=self.generator))

    def train(self, order: Any) -> None:
        rest = self.data, jnp.float32(self.dropout)
        for rows in order if self.form == "jit" else [order]:
            self.carry = self.function(self.carry, *rest, rows)
        jax.block_until_ready(self.carry)

    def check(self) -> Array:
        """Dropout is there, with a rate of 0."""
        self.dropout = 0.0
        found = super().check()
        self.dropout = tabular.DROPOUT
        return found

    def result(self) -> Array:
        floats, codes, y = self.data
        depth = len(self.work.shape) - 1
        return np.array([float(loss_of(forward(self.carry[0], depth, floats, codes, lambda _, x: x), y))])
