"""Running totals along an axis: each element of the result follows from the one before it.

A linear recurrence, y_t = a_t·y_{t−1} + b_t, is closed under differentiation: its derivative is a recurrence that runs
the other way. Cumulative products are recurrences, so their derivative is right at zeros, and so are derivatives of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from chainrule.errors import TypeMismatch
from chainrule.graph.types import Rows, Type
from chainrule.ops.build import new_node
from chainrule.ops.indexing import take
from chainrule.ops.logic import equal, where
from chainrule.ops.random import iota
from chainrule.ops.record import Op, convert_hint, register, require_dtype, require_equal_shapes
from chainrule.ops.reductions import extent
from chainrule.ops.views import broadcast, pad, reshape, slice_, transpose

_DIRECTION = {"reverse": False}


def _require_axis(name: str, kind: Type, axis: int) -> None:
    if not 0 <= axis < kind.rank:
        raise TypeMismatch(f"{name}: x is {kind}; it has no axis {axis}")


def _cumulative_sum_type(types: tuple[Type, ...], attributes: Mapping[str, Any]) -> Type:
    (x,) = types
    require_dtype("cumulative_sum", "x", x, "number")
    _require_axis("cumulative_sum", x, attributes["axis"])
    return x


def _cumulative_sum(x: Any, axis: int, reverse: bool) -> Any:
    if reverse:
        return np.flip(np.cumsum(np.flip(x, axis), axis=axis, dtype=x.dtype), axis)
    return np.cumsum(x, axis=axis, dtype=x.dtype)


cumulative_sum: Op = register(
    Op(
        name="cumulative_sum",
        kind="cumulative",
        operands=("x",),
        evaluate=_cumulative_sum,
        typing=_cumulative_sum_type,
        pullback={"x": lambda g, y, x, axis, reverse: cumulative_sum(g, axis=axis, reverse=not reverse)},
        attributes=("axis", "reverse"),
        defaults=_DIRECTION,
        latex=r"\sum_{{s \le t}} {x}_s",
        because="an element is in its own partial sum and all later ones, so it gets the sum of their derivatives",
        accepts="number",
        sample=((-2, 2),),
    )
)


def _recurrence_type(types: tuple[Type, ...], attributes: Mapping[str, Any]) -> Type:
    a, b = types
    require_equal_shapes("recurrence", ("a", "b"), types)
    require_dtype("recurrence", "a", a, "float")
    if a.dtype != b.dtype:
        raise TypeMismatch(f"recurrence: a is {a}, b is {b}; {convert_hint(('a', a), ('b', b))}")
    _require_axis("recurrence", a, attributes["axis"])
    return a


def _recurrence(a: Any, b: Any, axis: int, reverse: bool) -> Any:
    y = np.array(b)
    factors, terms = np.moveaxis(a, axis, 0), np.moveaxis(y, axis, 0)  # a view: y is written to
    order = range(len(terms))[::-1] if reverse else range(len(terms))
    for before, t in pairwise(order):
        terms[t] = factors[t] * terms[before] + terms[t]
    return y


def _recurrence_rule_a(g: Any, y: Any, a: Any, b: Any, axis: int, reverse: bool) -> Any:
    return _recurrence_rule_b(g, y, a, b, axis, reverse) * shift(y, axis, reverse)


def _recurrence_rule_b(g: Any, y: Any, a: Any, b: Any, axis: int, reverse: bool) -> Any:
    # b_t is in y_t, and through a_{t+1}·y_t in all that follows: λ_t = a_{t+1}·λ_{t+1} + g_t
    return recurrence(shift(a, axis, not reverse), g, axis=axis, reverse=not reverse)


recurrence: Op = register(
    Op(
        name="recurrence",
        kind="cumulative",
        operands=("a", "b"),
        evaluate=_recurrence,
        typing=_recurrence_type,
        pullback={"a": _recurrence_rule_a, "b": _recurrence_rule_b},
        attributes=("axis", "reverse"),
        defaults=_DIRECTION,
        latex=r"\operatorname{{recurrence}}({a}, {b})",
        because="y_t = a_t·y_{t−1} + b_t: what an element does to all later ones comes back by the recurrence "
        "λ_t = a_{t+1}·λ_{t+1} + ∂L/∂y_t, from the last to the first; it is ∂L/∂b_t, and λ_t·y_{t−1} is ∂L/∂a_t",
        kinks="the first element is b alone: its factor is never read",
        sample=((-1, 1), (-2, 2)),
    )
)


def place_along(x: Any, axis: int, dtype: str = "i64") -> Any:
    """Return, for every element of a traced value, its place along an axis."""
    return new_node(iota, (), {"shape": x.shape, "axis": axis, "dtype": dtype})


def shift(x: Any, axis: int, reverse: bool = False) -> Any:
    """Move every element one place on along an axis (or back), with 0 at the place that becomes free."""
    dim = x.shape[axis]
    if isinstance(dim, Rows):
        return _shift_rows(x, axis, reverse)
    kept = dim if dim == 0 else dim - 1
    start, stop = [0] * x.ndim, list(x.shape)
    start[axis], stop[axis] = (dim - kept, dim) if reverse else (0, kept)
    free = [0] * x.ndim
    free[axis] = dim - kept
    none = (0,) * x.ndim
    moved = slice_(x, start=tuple(start), stop=tuple(stop), step=(1,) * x.ndim)
    before, after = (none, tuple(free)) if reverse else (tuple(free), none)
    return pad(moved, before=before, after=after, between=none)


def _shift_rows(x: Any, axis: int, reverse: bool) -> Any:
    """The same along n rows, which are neither sliced nor padded: taken by their numbers instead."""
    to_front = (axis, *(a for a in range(x.ndim) if a != axis))
    rows = transpose(x, axes=to_front)
    number: Any = new_node(iota, (), {"shape": (x.shape[axis],), "axis": 0, "dtype": "i64"})
    end: Any = extent(number, axis=0) - 1 if reverse else 0
    is_free = equal(number, end)
    taken = take(rows, where(is_free, end, number + 1 if reverse else number - 1))
    spread = broadcast(reshape(is_free, shape=(x.shape[axis], *(1,) * (x.ndim - 1))), shape=rows.shape)
    moved = where(spread, 0, taken)
    return transpose(moved, axes=tuple(sorted(range(x.ndim), key=to_front.__getitem__)))


def product_before(x: Any, axis: int, reverse: bool = False) -> Any:
    """Return, for every element, the product of all those before it along an axis (or after it)."""
    place = place_along(x, axis)
    end: Any = extent(place, axis=axis) - 1 if reverse else 0
    start = where(equal(place, end), np.ones((), x.dtype), np.asarray(-0.0, x.dtype))  # y + (−0) is y, to the bit
    return recurrence(shift(x, axis, reverse), start, axis=axis, reverse=reverse)


def product_of_others(x: Any, axes: tuple[int, ...]) -> Any:
    """Return, for every element, the product of all others along axes: no division, so it is right at zeros."""
    kept = tuple(a for a in range(x.ndim) if a not in axes)
    order = (*kept, *axes)
    moved = transpose(x, axes=order)
    flat = reshape(moved, shape=(*(x.shape[a] for a in kept), _count(x, axes)))
    axis = len(kept)
    others = product_before(flat, axis) * product_before(flat, axis, reverse=True)
    back = reshape(others, shape=moved.shape)
    return transpose(back, axes=tuple(sorted(range(x.ndim), key=order.__getitem__)))


def _count(x: Any, axes: tuple[int, ...]) -> Any:
    rows = [x.shape[a] for a in axes if isinstance(x.shape[a], Rows)]
    number = prod(x.shape[a] for a in axes if not isinstance(x.shape[a], Rows))
    if len(rows) > 1:
        raise TypeMismatch("prod: the derivative of a product along two axes of n rows is not available")
    return Rows(rows[0].multiple * number) if rows and number else number
