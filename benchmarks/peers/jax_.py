"""JAX: one step a call, a scan or a counted loop over many steps in one call, and vmap for many networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks.peers.trainer import Array, Prediction, Steps, Trainer
from benchmarks.workloads import Workload

BETA1, BETA2, EPSILON, MOMENTUM = 0.9, 0.999, 1e-8, 0.9
TILE = 4096
Tree = Any


def version() -> str:
    return str(jax.__version__)


def forms(work: Workload, threads: int) -> dict[str, Callable[[], Trainer]]:
    if work.kind == "train":
        return {
            "jit": lambda: Jax(work, "jit"),
            "scan": lambda: Jax(work, "scan"),
            "fori_loop": lambda: Jax(work, "fori_loop"),
        }
    if work.kind == "tabular":
        from benchmarks.peers import tabular_jax

        return tabular_jax.forms(work)
    if work.kind == "many":
        return {"vmap, scan": lambda: Jax(work, "scan"), "vmap, fori_loop": lambda: Jax(work, "fori_loop")}
    forms = {"jit": False} | ({"jit, tiles": True} if work.rows > TILE else {})
    return {
        form: lambda tiled=tiled: Prediction(work, lambda: _predicting(work, tiled))  # type: ignore[misc]  # bound now
        for form, tiled in forms.items()
    }


def _forward(work: Workload, values: Tree, x: Any) -> Any:
    for number, (weight, bias) in enumerate(values, start=1):
        x = x @ weight + bias
        if work.activation == "sigmoid":
            x = jax.nn.sigmoid(x)
        elif number < len(values):
            x = jax.nn.relu(x)
    return x


def _loss(work: Workload, values: Tree, x: Any, y: Any) -> Any:
    out = _forward(work, values, x)
    if work.loss == "binary_cross_entropy":
        out = out[:, 0]
        return jnp.mean(jax.nn.softplus(out) - y * out)
    if work.loss == "softmax_cross_entropy":
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(out), y[:, None], axis=1))
    return jnp.mean(jnp.sum(0.5 * jnp.square(out - y), axis=1))


def _update(work: Workload, carry: Tree, gradient: Tree) -> Tree:
    values, state = carry
    tree = jax.tree.map
    if work.optimizer == "sgd":
        return tree(lambda p, g: p - work.rate * g, values, gradient), state
    if work.optimizer == "momentum":
        velocity = tree(lambda v, g: MOMENTUM * v + g, state, gradient)
        return tree(lambda p, v: p - work.rate * v, values, velocity), velocity
    count, mean, square = state
    count = count + 1
    mean = tree(lambda m, g: BETA1 * m + (1 - BETA1) * g, mean, gradient)
    square = tree(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, square, gradient)
    scale, root = 1 / (1 - BETA1**count), 1 / (1 - BETA2**count)
    values = tree(lambda p, m, v: p - work.rate * (m * scale) / (jnp.sqrt(v * root) + EPSILON), values, mean, square)
    return values, (count, mean, square)


def _start(work: Workload, values: Tree) -> Tree:
    zeros = jax.tree.map(jnp.zeros_like, values)
    if work.optimizer == "adam":
        return values, (jnp.zeros((), jnp.float32), zeros, jax.tree.map(jnp.zeros_like, values))
    return values, zeros if work.optimizer == "momentum" else ()


class Jax(Steps):
    """A unit is a call for each step (jit), or one call for all of them; the carry is donated."""

    def __init__(self, work: Workload, form: str) -> None:
        self.form = form
        super().__init__(work, one_by_one=form == "jit")
        x, y = work.data()
        y = y.astype(np.float32) if work.loss == "binary_cross_entropy" else y
        self.x, self.y = jnp.asarray(x), jnp.asarray(y)
        self.many = work.kind == "many"
        self.penalties = jnp.asarray(work.penalties, jnp.float32)
        self.restart()

        def objective(values: Tree, penalty: Any, x: Any, y: Any) -> Any:
            loss = _loss(work, values, x, y)
            return loss + penalty * sum(jnp.sum(w * w) for w, _ in values) if self.many else loss

        gradient = jax.grad(objective)
        if self.many:
            gradient = jax.vmap(gradient, in_axes=(0, 0, None, None))

        def step(carry: Tree, penalties: Any, x: Any, y: Any, rows: Any) -> Tree:
            batch_x, batch_y = (part.at[rows].get(mode="promise_in_bounds") for part in (x, y))
            return _update(work, carry, gradient(carry[0], penalties, batch_x, batch_y))

        def scan(carry: Tree, penalties: Any, x: Any, y: Any, orders: Any) -> Tree:
            return lax.scan(lambda c, rows: (step(c, penalties, x, y, rows), None), carry, orders)[0]

        def fori(carry: Tree, penalties: Any, x: Any, y: Any, orders: Any) -> Tree:
            def body(i: Any, c: Tree) -> Tree:
                return step(c, penalties, x, y, lax.dynamic_index_in_dim(orders, i, keepdims=False))

            return lax.fori_loop(0, len(orders), body, carry)

        function = {"jit": step, "scan": scan, "fori_loop": fori}[form]
        self.function = jax.jit(function, donate_argnums=(0,))

    def prepare(self, order: Array) -> Any:
        order = order.astype(np.int32)
        return [jnp.asarray(rows) for rows in order] if self.form == "jit" else jnp.asarray(order)

    def restart(self) -> None:
        values = [(jnp.array(w), jnp.array(b)) for w, b in self.work.parameters()]
        if self.many:
            values = jax.tree.map(lambda v: jnp.array(jnp.broadcast_to(v, (self.work.nets, *v.shape))), values)
        self.carry = _start(self.work, values)

    def train(self, order: Any) -> None:
        rest = self.penalties, self.x, self.y
        if self.form == "jit":
            for rows in order:
                self.carry = self.function(self.carry, *rest, rows)
        else:
            self.carry = self.function(self.carry, *rest, order)
        jax.block_until_ready(self.carry)

    def result(self) -> Array:
        values = self.carry[0]
        nets = [jax.tree.map(lambda v, n=n: v[n], values) for n in range(self.work.nets)] if self.many else [values]
        return np.array([float(_loss(self.work, net, self.x, self.y)) for net in nets])


def _predicting(work: Workload, tiled: bool) -> Callable[[], Any]:
    x = jnp.asarray(work.data()[0])
    values = [(jnp.asarray(w), jnp.asarray(b)) for w, b in work.parameters()]

    def predict(x: Any) -> Any:
        return jax.nn.sigmoid(_forward(work, values, x))

    def in_tiles(x: Any) -> Any:
        whole = len(x) // TILE * TILE
        tiles = lax.map(predict, x[:whole].reshape(-1, TILE, work.shape[0]))
        return jnp.concatenate([tiles.reshape(-1, work.shape[-1]), predict(x[whole:])])

    function = jax.jit(in_tiles if tiled else predict)
    return lambda: np.asarray(function(x))
