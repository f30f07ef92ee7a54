"""The elementary functions that a builder offers, by their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from chainrule.execute.native import hyperbolics, inverses, logarithms, mathlib, powers, remainders, trigonometry
from chainrule.execute.native.vector import Value

FUNCTIONS: Mapping[str, Callable[..., Value]] = {
    "exp": mathlib.exp,
    "expm1": mathlib.expm1,
    "log": mathlib.log,
    "log1p": mathlib.log1p,
    "tanh": mathlib.tanh,
    "sigmoid": mathlib.sigmoid,
    "erf": mathlib.erf,
    "softplus": mathlib.softplus,
    "sin": trigonometry.sin,
    "cos": trigonometry.cos,
    "tan": trigonometry.tan,
    **{name: getattr(inverses, name) for name in ("arctan", "arctan2", "arcsin", "arccos")},
    **{name: getattr(hyperbolics, name) for name in ("sinh", "cosh", "arcsinh", "arccosh", "arctanh")},
    **{name: getattr(logarithms, name) for name in ("exp2", "log2", "log10", "hypot", "logaddexp")},
    "power": powers.power,
    "remainder": remainders.remainder,
    "floor_divide": remainders.floor_divide,
}
