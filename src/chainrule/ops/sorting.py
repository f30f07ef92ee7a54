"""The order of elements by size. Sorting is taking elements in that order, so its derivative is that of a gather."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from chainrule.errors import TypeMismatch
from chainrule.graph.types import Type
from chainrule.ops.record import ZERO, Op, register, require_dtype


def _argsort_type(types: tuple[Type, ...], attributes: Mapping[str, Any]) -> Type:
    (x,), axis = types, attributes["axis"]
    require_dtype("argsort", "x", x, "number")
    if not 0 <= axis < x.rank:
        raise TypeMismatch(f"argsort: x is {x}; it has no axis {axis}")
    return x.with_dtype("i64")


argsort: Op = register(
    Op(
        name="argsort",
        kind="sort",
        operands=("x",),
        evaluate=lambda x, axis: np.argsort(x, axis=axis, kind="stable").astype(np.int64, copy=False),
        typing=_argsort_type,
        pullback={"x": ZERO},
        attributes=("axis",),
        latex=r"\operatorname{{argsort}} {x}",
        because="an order is constant almost everywhere",
        kinks="equal elements keep their order, NaN comes last, −0 is equal to +0; where two elements meet the "
        "derivative is 0 by convention",
        accepts="number",
        sample=((-2, 2),),
    )
)
