"""Random loops: their bodies are grown by a maker of their own, which may read values from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule import ops
from chainrule.graph import Node, Rows, Type

if TYPE_CHECKING:
    from .make import Maker

MOST_TRIPS = 4


def _grown(m: Maker, pool: list[Node], steps: int) -> Maker:
    """Return a maker with some nodes grown from a loop's own values, and a few from outside it."""
    outside = [n for n in m.pool[-6:] if m.chance(0.4)]
    inner = type(m)(m.rng, m, [*outside, *pool])
    for _ in range(3 * steps):
        if len(inner.made) >= steps:
            break
        inner.grow()
    return inner


def _next(inner: Maker, carry: Node) -> Node:
    """Return what a carry becomes: its own shape and dtype, at most 1 in size, so that it does not run away."""
    if not carry.type.is_float:
        return inner.new("add", (carry, inner.to_shape(inner.literal(1, carry.type.dtype), carry.shape)))
    return inner.new("tanh", (inner.new(inner.one_of(("add", "multiply")), (carry, inner.like(carry))),))


def _start(m: Maker, shape: tuple[Any, ...]) -> Node:
    """Return a carry's start: a value of the pool, or zeros."""
    if m.chance(0.15):
        return m.to_shape(m.literal(0, "i32"), shape)
    fits = [n for n in m.pool if n.type.dtype == m.dtype and n.shape == shape]
    return m.one_of(fits) if fits and m.chance(0.7) else m.to_shape(m.literal(0, m.dtype), shape)


def scan(m: Maker) -> Any:
    x = m.floating(lambda n: n.ndim > 0 and isinstance(n.shape[0], int)) if m.chance(0.8) else m.anything("i32", "bool")
    if not x.ndim or not isinstance(x.shape[0], int):
        return None
    if x.shape[0] > MOST_TRIPS:
        whole = tuple(d for d in x.shape)
        x = m.new(
            "slice", (x,), start=(0,) * x.ndim, stop=(MOST_TRIPS, *whole[1:]), step=(1,) * x.ndim
        )  # fmt: skip
    if x.shape[0] == 0 and any(isinstance(d, Rows) for d in x.shape):
        return None
    starts = [_start(m, x.shape[1:] if m.chance(0.7) else m.shape(1)) for _ in range(1 + m.below(2))]
    collected = m.below(3)
    steps = 1 + m.below(3)

    def body(carry: list[Node], piece: Node) -> Any:
        inner = _grown(m, [*carry, piece], steps)
        after = [_next(inner, c) for c in carry]
        given = [*inner.made, *after, *carry, piece]
        return after, tuple(inner.one_of(given) for _ in range(collected))

    last, stacked = ops.scan(body, starts, x, reverse=m.chance(0.5))
    return tuple(n for n in (*last, *stacked) if isinstance(n, Node))


def iterate(m: Maker) -> Any:
    shape = m.shape() if m.chance(0.5) else m.floating().shape
    start = [_start(m, shape)]
    if m.chance(0.3):
        start.append(m.to_shape(m.literal(0, "i64"), ()))
    given = m.floating(lambda n: n.ndim <= 2)
    steps = 1 + m.below(2)
    threshold = float(m.one_of((-1.0, 0.3, 0.7, 2.0)))

    def body(state: list[Node], outer: Node) -> list[Node]:
        inner = _grown(m, [*state, outer], steps)
        return [_next(inner, s) for s in state]

    def until(state: list[Node], outer: Node) -> Any:
        if not state[0].type.is_float:
            return np.all(state[0] > 1)
        return np.all(np.abs(state[0]) < threshold)

    def implicit(g: list[Node], state: list[Node], outer: Node) -> Any:
        return (outer * 2.0,)

    state, converged = ops.iterate(
        start, body, until, int(m.one_of((1, 2, 3))), given=(given,), implicit=implicit if m.chance(0.5) else None
    )
    return tuple(n for n in (*state, converged) if isinstance(n, Node) and isinstance(n.type, Type))
