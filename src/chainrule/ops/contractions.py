"""Contractions: products summed over shared axes, of two matrices or of two stacks of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from chainrule.errors import TypeMismatch
from chainrule.graph.types import Type
from chainrule.ops.record import Op, convert_hint, register, require_dtype
from chainrule.ops.views import transpose


def _matmul_type(types: tuple[Type, ...], attributes: Mapping[str, Any]) -> Type:
    a, b = types
    require_dtype("matmul", "a", a, "float")
    if a.dtype != b.dtype:
        raise TypeMismatch(f"matmul: a is {a}, b is {b}; {convert_hint(('a', a), ('b', b))}")
    if a.rank < 2 or b.rank < 2:
        raise TypeMismatch(f"matmul: a is {a}, b is {b}; both must have two axes or more, (…,m,k) and (…,k,n)")
    if a.shape[:-2] != b.shape[:-2]:
        raise TypeMismatch(f"matmul: a is {a}, b is {b}; the axes before the last two must be equal")
    if a.shape[-1] != b.shape[-2]:
        raise TypeMismatch(
            f"matmul: a is {a}, b is {b}; a has {a.shape[-1]} columns and b has {b.shape[-2]} rows: they must be equal"
        )
    return Type(a.dtype, (*a.shape[:-1], b.shape[-1]))


def transposed(x: Any) -> Any:
    """Return a matrix, or each of a stack of them, with rows and columns exchanged."""
    rank = x.ndim
    return transpose(x, axes=(*range(rank - 2), rank - 1, rank - 2))


matmul: Op = register(
    Op(
        name="matmul",
        kind="contraction",
        operands=("a", "b"),
        signature="(m,k),(k,n)->(m,n)",
        evaluate=np.matmul,
        typing=_matmul_type,
        pullback={"a": lambda g, y, a, b: matmul(g, transposed(b)), "b": lambda g, y, a, b: matmul(transposed(a), g)},
        latex="{a}{b}",
        because="∂y/∂a is b: the derivative flows back through the transposed other factor",
        sample=((-2, 2), (-2, 2)),
    )
)
