"""Comparisons, choices, logic, bits and casts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from chainrule.errors import TypeMismatch
from chainrule.graph.types import DTYPES, Type, dtype_name
from chainrule.ops.record import NOT_DIFFERENTIABLE, ZERO, Op, elementwise, require_equal_shapes


def _comparison(name: str, evaluate: Any, sign: str) -> Op:
    return elementwise(
        name, "a b",
        evaluate=evaluate,
        pullback={"a": ZERO, "b": ZERO},
        lower=lambda b, x, y: getattr(b, name)(x, y),
        latex=f"{{a}} {sign} {{b}}", because="true or false: constant almost everywhere",
        kinks="a = b: the derivative is 0 by convention",
        sample=[(-2, 2), (-2, 2)], accepts="any", gives="bool",
    )  # fmt: skip


less = _comparison("less", np.less, "<")
less_equal = _comparison("less_equal", np.less_equal, r"\le")
greater = _comparison("greater", np.greater, ">")
greater_equal = _comparison("greater_equal", np.greater_equal, r"\ge")
equal = _comparison("equal", np.equal, "=")
not_equal = _comparison("not_equal", np.not_equal, r"\ne")

isfinite = elementwise(
    "isfinite", "x",
    evaluate=np.isfinite,
    pullback={"x": ZERO},
    lower=lambda b, x: b.isfinite(x),
    latex=r"\operatorname{{isfinite}}({x})", because="true or false: constant almost everywhere",
    sample=[(-2, 2)], gives="bool",
)  # fmt: skip


def _where_type(types: tuple[Type, ...], attributes: Mapping[str, Any]) -> Type:
    condition, chosen, other = types
    require_equal_shapes("where", ("condition", "chosen", "other"), types)
    if condition.dtype != "bool":
        raise TypeMismatch(f"where: condition is {condition}; it must be bool, for instance x > 0")
    if chosen.dtype != other.dtype:
        raise TypeMismatch(f"where: chosen is {chosen}, other is {other}; the dtypes must be equal")
    return chosen


where: Op = elementwise(
    "where", "condition chosen other",
    evaluate=np.where,
    pullback={
        "condition": ZERO,
        # a choice, not a product with 0 or 1: NaN and Inf of the branch not taken never enter
        "chosen": lambda g, y, condition, chosen, other: where(condition, g, 0),
        "other": lambda g, y, condition, chosen, other: where(condition, 0, g),
    },
    lower=lambda b, c, x, y: b.select(c, x, y),
    latex=r"{chosen} \text{{ if }} {condition} \text{{ else }} {other}",
    because="only the branch that was taken gets the derivative",
    kinks="where the condition changes the derivative is that of the branch taken",
    sample=[(0, 1), (-2, 2), (-2, 2)], typing=_where_type,
)  # fmt: skip


def _logical(name: str, evaluate: Any, sign: str) -> Op:
    return elementwise(
        name, "a b",
        evaluate=evaluate,
        pullback={"a": NOT_DIFFERENTIABLE, "b": NOT_DIFFERENTIABLE},
        lower=lambda b, x, y: getattr(b, name)(x, y),
        latex=f"{{a}} {sign} {{b}}", because="logic has no derivative",
        sample=[(0, 1), (0, 1)], accepts="bool",
    )  # fmt: skip


logical_and = _logical("logical_and", np.logical_and, r"\wedge")
logical_or = _logical("logical_or", np.logical_or, r"\vee")
logical_not = elementwise(
    "logical_not", "x",
    evaluate=np.logical_not,
    pullback={"x": NOT_DIFFERENTIABLE},
    lower=lambda b, x: b.logical_not(x),
    latex=r"\neg {x}", because="logic has no derivative",
    sample=[(0, 1)], accepts="bool",
)  # fmt: skip


def _bitwise(name: str, evaluate: Any, sign: str, accepts: str = "bits") -> Op:
    return elementwise(
        name, "a b",
        evaluate=evaluate,
        pullback={"a": NOT_DIFFERENTIABLE, "b": NOT_DIFFERENTIABLE},
        lower=lambda b, x, y: getattr(b, name)(x, y),
        latex=f"{{a}} {sign} {{b}}", because="integers are constants to calculus",
        sample=[(0, 31), (0, 31)], accepts=accepts,
    )  # fmt: skip


bitwise_and = _bitwise("bitwise_and", np.bitwise_and, r"\mathbin{{\&}}")
bitwise_or = _bitwise("bitwise_or", np.bitwise_or, r"\mathbin{{|}}")
bitwise_xor = _bitwise("bitwise_xor", np.bitwise_xor, r"\oplus")
left_shift = _bitwise("left_shift", np.left_shift, r"\ll", "integer")
right_shift = _bitwise("right_shift", np.right_shift, r"\gg", "integer")


def _cast_type(types: tuple[Type, ...], attributes: Mapping[str, Any]) -> Type:
    return types[0].with_dtype(dtype_name(attributes["dtype"]))


def _cast_rule(g: Any, y: Any, x: Any, dtype: str) -> Any:
    return cast(g, dtype=x.type.dtype)


cast: Op = elementwise(
    "cast", "x",
    evaluate=lambda x, dtype: np.asarray(x).astype(DTYPES[dtype]),
    pullback={"x": _cast_rule},
    lower=lambda b, x, dtype: b.cast(x, dtype),
    latex="{x}", because="the same number in another format; integers are constants to calculus",
    sample=[(-2, 2)], accepts="any", attributes=("dtype",), typing=_cast_type,
)  # fmt: skip


def _stop_type(types: tuple[Type, ...], attributes: Mapping[str, Any]) -> Type:
    return types[0]


stop_gradient = elementwise(
    "stop_gradient", "x",
    evaluate=lambda x: x,
    pullback={"x": ZERO},
    lower=lambda b, x: x,
    latex="{x}", because="held constant on purpose",
    sample=[(-2, 2)], accepts="any", typing=_stop_type,
)  # fmt: skip
named = elementwise(
    "named", "x",
    evaluate=lambda x, name: x,
    pullback={"x": lambda g, y, x, name: g},
    lower=lambda b, x, name: x,
    latex="{x}", because="a name changes nothing",
    sample=[(-2, 2)], accepts="any", attributes=("name",), typing=_stop_type,
)  # fmt: skip
