"""Vectors that lie in several parameters: their sums, and the equations in one unknown that projections solve.

A vector is a list of arrays; ``axes`` says along which axes of an array a vector lies (None: one vector is in all
arrays). Sums keep their axes, so that they go with the elements. All of it runs traced, and on arrays.

Each equation is solved by Newton's method from the side where it cannot overshoot: φ is decreasing and convex (or 1/φ
concave), so that each step stays on the side where it began. No bracket is needed, and a few passes suffice where the
point is near to the set, as it is after a step of training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np

from chainrule import ops
from chainrule.constrain.selection import Axes
from chainrule.learn.projection import TINY
from chainrule.ops.regions import iterate

Arrays = list[Any]
MOST = 200
"""Newton's steps at most; about 5 are usual."""


def total(values: Sequence[Any], axes: Axes) -> Any:
    """Return the sum over a vector's elements."""
    if axes is None:
        return reduce(lambda a, b: a + b, [ops.sum_(v) for v in values])
    (value,) = values
    return ops.sum_(value, axis=axes, keepdims=True)


def largest(values: Sequence[Any], axes: Axes) -> Any:
    """Return the largest element of a vector."""
    if axes is None:
        return reduce(ops.maximum, [ops.max_(v) for v in values])
    (value,) = values
    return ops.max_(value, axis=axes, keepdims=True)


def length_of(values: Sequence[Any], axes: Axes) -> int:
    """Return how many elements a vector has."""
    if axes is None:
        return sum(int(np.prod(v.shape)) for v in values)
    return int(np.prod([values[0].shape[a] for a in axes]))


def rounding(values: Sequence[Any], axes: Axes) -> float:
    """Return how far inside to aim: relative, so much that a sum in another order still finds the vector inside.

    A sum of n numbers in blocks has an error of about √n/8 units in the last place, whatever the order.
    """
    unit = float(np.finfo(np.float32 if values[0].dtype == np.float32 else np.float64).eps)
    return unit * (8.0 + 0.25 * float(np.sqrt(length_of(values, axes))))


def surely_at_most(total_: Any, limit: Any, margin: float) -> Any:
    """Is a sum at most a limit, whatever its rounding? A point on the border that it would let pass may be outside.

    Projections aim ``margin`` inside, by length: so what they land on is inside by this, too.
    """
    return total_ <= limit * (1.0 - 0.5 * margin)


def all_of(value: Any) -> Any:
    return value if value.ndim == 0 else ops.all_(value)


def l2_shrunk(v: Arrays, s: Arrays, axes: Axes, radius: Any) -> tuple[Arrays, Any]:
    """Return the nearest points of ‖w‖ ≤ r in the metric 1/s: w = v/(1 + μs), with the μ ≥ 0 that gives ‖w‖ = r.

    1/‖w(μ)‖ is concave and increasing: Newton's method on it, from μ = 0, never steps over the root (Conn, Gould and
    Toint 2000, section 7.3.3).
    """
    margin = rounding(v, axes)
    high = radius * radius * (1.0 + margin)

    def sizes(mu: Any) -> tuple[Any, Any]:
        shares = [1.0 / (1.0 + mu * b) for b in s]  # one division an element: it takes as long as ten products
        squares = [(a * q) * (a * q) for a, q in zip(v, shares, strict=True)]
        return total(squares, axes), total([x * b * q for x, b, q in zip(squares, s, shares, strict=True)], axes)

    def body(state: Any) -> Any:
        mu, square, slope = state
        size = ops.sqrt(square)
        outside = ops.logical_and(square > high, slope > 0.0)
        step = ops.where(outside, square * (size - radius) / (radius * ops.where(outside, slope, 1.0)), 0.0)
        mu = mu + step
        return (mu, *sizes(mu))

    squares = [a * a for a in v]
    first, slope = total(squares, axes), total([q * b for q, b in zip(squares, s, strict=True)], axes)

    def close(state: Any) -> Any:  # a vector none of whose elements the step moves is made shorter as a whole, below
        return all_of(ops.logical_or(state[1] <= high, state[2] <= 0.0))

    state, found = iterate((0.0 * first, first, slope), body, close, MOST)
    mu, square, _ = state
    inside = surely_at_most(first, radius * radius, margin)
    share = ops.where(inside, 1.0, ops.minimum(radius * (1.0 - margin) / ops.sqrt(ops.where(inside, 1.0, square)), 1.0))
    mu = ops.where(inside, 0.0, mu)
    return [a * (share / (1.0 + mu * b)) for a, b in zip(v, s, strict=True)], found


def threshold(v: Arrays, s: Arrays, axes: Axes, radius: Any, start: Any = None) -> tuple[Any, Any, Any]:
    """Return the τ with Σ max(v − τs, 0) = r, the sum that it gives, and whether it was found; v ≥ 0 or any.

    The sum is convex, decreasing and made of straight pieces: Newton's method from a τ that is too small (0, where none
    is given) ends after finitely many steps (Michelot 1986 for s = 1).
    """
    margin = rounding(v, axes)

    def sums(tau: Any) -> tuple[Any, Any]:
        left = [a - tau * b for a, b in zip(v, s, strict=True)]
        f = total([ops.maximum(x, 0.0) for x in left], axes)
        return f, total([ops.where(x > 0.0, b, 0.0 * b) for x, b in zip(left, s, strict=True)], axes)

    def body(state: Any) -> Any:
        tau, f, slope = state
        above = ops.logical_and(f > radius, slope > 0.0)
        tau = tau + ops.where(above, (f - radius) / ops.where(above, slope, 1.0), 0.0)
        return (tau, *sums(tau))

    def close(state: Any) -> Any:
        tau, f, slope = state
        return all_of(ops.logical_or(f <= radius + margin * (radius + ops.absolute(tau) * slope), slope <= 0.0))

    begin = 0.0 * total(v, axes) if start is None else start
    (tau, f, _), found = iterate((begin, *sums(begin)), body, close, MOST)
    return tau, f, found


def pulled(values: Arrays, sum_: Any, inside: Any, radius: Any, axes: Axes) -> Any:
    """Return the factor, a hair less than 1, that makes a vector of this sum feasible in floating point."""
    share = ops.minimum(radius * (1.0 - rounding(values, axes)) / ops.where(inside, 1.0, sum_), 1.0)
    return ops.where(inside, 1.0, share)


def group_shrunk(v: Any, s: Any, axes: tuple[int, ...], tau: Any) -> tuple[Any, Any]:
    """Return argmin of τ‖w‖ + ½ Σ (w − v)²/s for each group of one array, and whether it was found.

    w = v·e/(e + s), where e = ‖w‖/τ ≥ 0 solves ‖v/(e + s)‖ = τ, or is 0 where ‖v/s‖ ≤ τ. 1/‖v/(e + s)‖ is concave in
    e: Newton's method from e₀ = ‖v‖/τ − max s, which is too small, does not step over the root.
    """
    margin = rounding([v], axes)
    size = ops.sqrt(total([v * v], axes))
    some = ops.where(tau > 0.0, tau, 1.0)
    start = ops.maximum(size / some - largest([s], axes), 0.0)

    def sizes(e: Any) -> tuple[Any, Any]:
        below = 1.0 / (e + s)
        q = (v * below) * (v * below)
        return ops.sqrt(total([q], axes)), total([q * below], axes)

    def body(state: Any) -> Any:
        e, length, slope = state
        above = length > some * (1.0 + margin)
        step = length * length * (length - some) / (some * ops.where(above, slope, 1.0))
        e = e + ops.where(above, step, 0.0)
        return (e, *sizes(e))

    def close(state: Any) -> Any:
        return all_of(state[1] <= some * (1.0 + margin))

    (e, _, _), found = iterate((start, *sizes(start)), body, close, MOST)
    return ops.where(tau > 0.0, v * (e / (e + s)), v), found


def bisected(low: Any, high: Any, too_small: Callable[[Any], Any]) -> tuple[Any, Any]:
    """Return the smallest τ that is not too small, to the last bits, and whether it was found."""

    def halve(bounds: Any) -> Any:
        low, high = bounds
        middle = 0.5 * (low + high)
        small = too_small(middle)
        return ops.where(small, middle, low), ops.where(small, high, middle)

    unit = float(np.finfo(np.float32 if high.dtype == np.float32 else np.float64).eps)
    (_, high), found = iterate((low, high), halve, lambda b: b[1] - b[0] <= 4.0 * unit * b[1], MOST)
    return high, found


__all__ = [
    "TINY", "Arrays", "all_of", "bisected", "group_shrunk", "l2_shrunk", "largest", "length_of", "pulled", "rounding",
    "threshold", "total",
]  # fmt: skip
