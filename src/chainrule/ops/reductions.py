"""Reductions along axes: an identity and a combining rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from chainrule.errors import TypeMismatch
from chainrule.graph.types import Rows, Shape, Type
from chainrule.ops.build import mismatch
from chainrule.ops.record import NOT_DIFFERENTIABLE, ZERO, Op, Rule, register, require_dtype
from chainrule.ops.views import broadcast, reshape


def kept(shape: Shape, axes: tuple[int, ...]) -> Shape:
    """Return the shape with the reduced axes kept as 1."""
    return tuple(1 if axis in axes else dim for axis, dim in enumerate(shape))


def back(g: Any, x: Any, axes: tuple[int, ...]) -> Any:
    """Spread a reduced value over the axes it was reduced along."""
    return broadcast(reshape(g, shape=kept(x.shape, axes)), shape=x.shape)


def _reduction(
    name: str,
    evaluate: Callable[..., Any],
    rule: Rule,
    *,
    latex: str,
    because: str,
    kinks: str = "",
    accepts: str = "float",
    identity: str = "",
    needs_one: bool = False,
    gives: str = "same",
) -> Op:
    def typing(types: tuple[Type, ...], attributes: Mapping[str, Any]) -> Type:
        (kind,), axes = types, attributes["axes"]
        require_dtype(name, "x", kind, accepts)
        if any(not 0 <= a < kind.rank for a in axes) or len(set(axes)) != len(axes):
            raise TypeMismatch(f"{name}: x is {kind}; the axes {axes} are not distinct axes of it")
        if name == "argmax" and len(axes) != 1:
            raise TypeMismatch(f"argmax: x is {kind}; it takes one axis, not {axes}")
        if needs_one and any(kind.shape[a] == 0 for a in axes):
            raise TypeMismatch(f"{name}: x is {kind}; an empty axis has no {name}")
        shape = tuple(d for a, d in enumerate(kind.shape) if a not in axes)
        return Type(kind.dtype if gives == "same" else gives, shape)

    return register(
        Op(
            name=name,
            kind="reduction",
            operands=("x",),
            evaluate=evaluate,
            typing=typing,
            pullback={"x": rule},
            attributes=("axes",),
            signature=f"identity {identity}",
            latex=latex,
            because=because,
            kinks=kinks,
            accepts=accepts,
            sample=((-2, 2),),
        )
    )


sum_ = _reduction(
    "sum",
    lambda x, axes: np.sum(x, axis=axes, dtype=x.dtype),
    lambda g, y, x, axes: back(g, x, axes),
    latex=r"\sum {x}", because="each term of a sum gets its derivative",
    accepts="number", identity="0",
)  # fmt: skip


def _extreme_rule(g: Any, y: Any, x: Any, axes: tuple[int, ...]) -> Any:
    is_it = (x == back(y, x, axes)).astype(x.type.dtype)
    return back(g / sum_(is_it, axes=axes), x, axes) * is_it


max_ = _reduction(
    "max",
    lambda x, axes: np.max(x, axis=axes),
    _extreme_rule,
    latex=r"\max {x}", because="the largest element gets the derivative",
    kinks="tied elements share the derivative equally", accepts="number", identity="-inf", needs_one=True,
)  # fmt: skip
min_ = _reduction(
    "min",
    lambda x, axes: np.min(x, axis=axes),
    _extreme_rule,
    latex=r"\min {x}", because="the smallest element gets the derivative",
    kinks="tied elements share the derivative equally", accepts="number", identity="inf", needs_one=True,
)  # fmt: skip
all_ = _reduction(
    "all",
    lambda x, axes: np.all(x, axis=axes),
    NOT_DIFFERENTIABLE,
    latex=r"\forall {x}", because="logic has no derivative", accepts="bool", identity="true",
)  # fmt: skip


def _product_rule(g: Any, y: Any, x: Any, axes: tuple[int, ...]) -> Any:
    from chainrule.ops.cumulative import product_of_others  # it stands on reductions, and this rule on it

    return back(g, x, axes) * product_of_others(x, axes)


prod = _reduction(
    "prod",
    lambda x, axes: np.prod(x, axis=axes, dtype=x.dtype),
    _product_rule,
    latex=r"\prod {x}", because="the derivative of a product by one factor is the product of the others",
    kinks="none: the others are multiplied, never divided out, so a factor of 0 is like any other",
    accepts="number", identity="1",
)  # fmt: skip
argmax = _reduction(
    "argmax",
    lambda x, axes: np.argmax(x, axis=axes[0]),
    ZERO,
    latex=r"\operatorname{{argmax}} {x}", because="an index is constant almost everywhere",
    kinks="the first of tied elements", accepts="number", needs_one=True, gives="i64",
)  # fmt: skip


def _extent_type(types: tuple[Type, ...], attributes: Mapping[str, Any]) -> Type:
    axis = attributes["axis"]
    if not 0 <= axis < types[0].rank:
        raise TypeMismatch(f"extent: x is {types[0]}; it has no axis {axis}")
    return Type(types[0].dtype, ())


extent = register(
    Op(
        name="extent",
        kind="view",
        operands=("x",),
        evaluate=lambda x, axis: np.asarray(x.shape[axis], x.dtype),
        typing=_extent_type,
        pullback={"x": ZERO},
        attributes=("axis",),
        latex=r"\lvert {x} \rvert",
        because="a count does not depend on the values",
        accepts="any",
        sample=((-2, 2),),
    )
)


def normalize_axes(axis: int | tuple[int, ...] | None, rank: int, name: str) -> tuple[int, ...]:
    """Return axes as sorted non-negative numbers; None means all."""
    if axis is None:
        return tuple(range(rank))
    axes = tuple(axis) if isinstance(axis, tuple | list) else (axis,)
    if not all(isinstance(a, int | np.integer) for a in axes):
        raise mismatch(
            f"{name}: axis is {axis!r}; it must be a whole number, a tuple of whole numbers, or None for all"
        )
    for a in axes:
        if not -rank <= a < rank:
            raise mismatch(f"{name}: axis {a} does not exist in a value with {rank} axes")
    result = tuple(sorted(int(a) % rank for a in axes))
    if len(set(result)) != len(result):
        raise mismatch(f"{name}: the axes {axes} name one axis twice")
    return result


def reduce_with(op: Op, x: Any, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Any:
    """Reduce with NumPy's ``axis`` and ``keepdims``."""
    axes = normalize_axes(axis, x.ndim, op.name)
    result = op(x, axes=axes)
    return reshape(result, shape=kept(x.shape, axes)) if keepdims else result


def count_along(x: Any, axis: int | tuple[int, ...] | None = None) -> Any:
    """Return the number of elements along axes: a plain number, or a node where it depends on n."""
    total: Any = 1
    for a in normalize_axes(axis, x.ndim, "mean"):
        total = total * (extent(x, axis=a) if isinstance(x.shape[a], Rows) else float(x.shape[a]))
    return total
