"""How far a native value may be from the reference on the same operands: what each operation's record or docs promise.

Most operations are exact: the same bits, the sign of a zero included. Elementary functions are within the bounds that
``mathlib`` states, of the function's value computed in the next wider format (in float64: of NumPy's value, which is
itself off by up to one ulp). Sums and products are within the rounding that any order of additions has.

NaN and Inf must be in the same places, but for two cases in which the order of the additions (or the library) decides:

- a sum or product whose terms' sizes add up to more than the largest number: a partial sum may overflow, or not;
- a Cholesky factor or triangular solution that any NaN, Inf or overflow enters: LAPACKs skip zeros or not.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.graph import Node

Array = np.ndarray[Any, Any]
ULPS = {
    "exp": 1, "expm1": 2, "log": 1, "log1p": 2, "tanh": 3, "sigmoid": 3, "softplus": 2, "erf": 2, "sin": 2, "cos": 2,
    "tan": 4, "power": 2, "arcsin": 1.5, "arccos": 1.5, "arctan": 1.5, "arctan2": 2.5, "sinh": 3, "cosh": 2,
    "arcsinh": 3, "arccosh": 3, "arctanh": 3, "exp2": 1, "log2": 2, "log10": 2, "hypot": 1, "logaddexp": 2,
}  # fmt: skip
"""As ``mathlib`` has them; power is within 1 in float32."""
SLACK = {4: 0.51, 8: 1.01}
"""Half an ulp to round to float32, or one that NumPy's own float64 functions are off."""
ZERO_OF_EITHER_SIGN = (
    "sum",
    "max",
    "min",
    "maximum",
    "minimum",
    "matmul",
    "cholesky",
    "solve_triangular",
    "solve",
    "svd",
)
"""Operations of which a zero's sign is not promised: the order of operands, or of additions, decides."""


def expected(node: Node, operands: list[Array], attributes: dict[str, Any]) -> tuple[Array, Any, Any]:
    """Return the reference value, the largest distance allowed, and where nothing is promised (both may be scalars)."""
    op = node.op
    value = np.asarray(op.evaluate(*operands, **attributes))
    if value.dtype.kind != "f":
        return value, 0, False
    if op.name in ULPS:
        ulps = 1 if op.name == "power" and value.dtype.itemsize == 4 else ULPS[op.name]
        if value.dtype.itemsize == 4:
            wide = np.asarray(op.evaluate(*(o.astype(np.float64) for o in operands), **attributes))
            value = wide.astype(np.float32)
        size = np.abs(value)
        if op.name == "logaddexp":  # a sum of the larger operand and at most log 2, which may cancel
            size = np.fmax(size, np.fmax(np.abs(np.maximum(*operands)), value.dtype.type(np.log(2))))
        return value, (ulps + SLACK[value.dtype.itemsize]) * np.spacing(size), False
    if op.name in ("sum", "matmul"):
        return _of_a_sum(op.name, operands, attributes, value)
    if op.name == "prod":
        return _of_a_product(operands[0], attributes["axes"], value)
    if op.name == "solve":
        return _of_a_system(operands, attributes["transposed"], value)
    if op.name == "svd":
        return _of_singular_values(operands[0], value)
    if op.name in ("cholesky", "solve_triangular"):
        return _of_a_library(op.name, operands, attributes, value)
    return value, 0, False


def _of_a_sum(name: str, operands: list[Array], attributes: dict[str, Any], value: Array) -> tuple[Array, Any, Any]:
    """Sums are compared with one in a wider format, where there is one; products in float64 with the reference's."""
    limits = np.finfo(value.dtype)
    wide = np.float64 if value.dtype.itemsize == 4 else np.longdouble
    if name == "sum":
        size = np.sum(_finite_size(operands[0], wide), axis=attributes["axes"])
        count = operands[0].size // max(value.size, 1)
        exact = np.sum(operands[0].astype(wide), axis=attributes["axes"])
    else:
        size = _finite_size(operands[0], np.float64) @ _finite_size(operands[1], np.float64)
        count = operands[0].shape[-1]
        exact = operands[0].astype(np.float64) @ operands[1].astype(np.float64)
        if value.dtype.itemsize == 8:
            count *= 2  # the reference rounds as well
    open_ = ~(size < float(limits.max) * (1 - 1e-6))
    bound = (count + 2) * limits.eps * size + 4 * limits.smallest_subnormal
    return exact.astype(value.dtype), bound, open_


def _of_a_product(x: Array, axes: Any, value: Array) -> tuple[Array, Any, Any]:
    """Each of its roundings is relative. Where a partial product may overflow or vanish, the order decides."""
    limits = np.finfo(value.dtype)
    size = np.abs(x.astype(np.float64))
    logarithms = np.abs(np.log2(np.where(np.isfinite(size) & (size > 0), size, 1.0)))
    open_ = ~(np.sum(logarithms, axis=axes) < -limits.minexp - 1)
    exact = np.prod(x.astype(np.longdouble), axis=axes).astype(value.dtype)
    count = x.size // max(value.size, 1)
    return exact, (count + 1) * limits.eps * np.abs(exact.astype(np.float64)), open_


def _of_a_system(operands: list[Array], transposed: bool, value: Array) -> tuple[Array, Any, Any]:
    """‖x − x̂‖ ≤ c n ε κ(A) ‖x‖ for every column, with the growth of Gaussian elimination in c."""
    limits = np.finfo(value.dtype)
    a = operands[0].astype(np.float64)
    if not all(np.all(np.abs(o) < float(limits.max) ** 0.5) for o in operands):
        return value, np.inf, True
    condition = np.linalg.cond(a) if len(a) else 1.0
    if not condition < 1e-2 / limits.eps:  # singular but for rounding: either may find it so
        return value, np.inf, True
    size = np.max(np.abs(value.astype(np.float64)), axis=0, initial=0.0)
    return value, 16 * (len(a) + 1) * limits.eps * condition * size + 8 * limits.smallest_subnormal, False


def _of_singular_values(a: Array, value: Array) -> tuple[Array, Any, Any]:
    """Weyl: |σ − σ̂| ≤ c ε σ₁. A vector turns by c ε σ₁ divided by the distance to the next singular value."""
    limits = np.finfo(value.dtype)
    m, n = a.shape
    bound, open_ = np.full(value.shape, np.inf), np.zeros(value.shape, np.bool_)
    if value.size == 0 or not np.all(np.abs(a) < float(limits.max) ** 0.5):
        return value, np.inf, not np.any(np.isnan(value)) if value.size else False
    s = np.linalg.svd(a.astype(np.float64), compute_uv=False)
    error = 16 * (m + n) * limits.eps * s[0] + 64 * limits.smallest_subnormal
    others = np.concatenate([s, [0.0]]) if m != n else s
    for j, sigma in enumerate(s):
        gap = np.min(np.abs(np.delete(others, j) - sigma), initial=np.inf)
        bound[:, j] = np.minimum(error / gap, 2.0) if gap else 2.0
        u = np.sort(np.abs(value[:m, j]))
        near = np.abs(u - 0.5 * u[-1]) < 2 * bound[0, j]  # which element is the first large one is open, so the sign is
        open_[:, j] = bound[0, j] > 0.1 or bool(np.any(near)) or sigma <= 2 * error  # of σ = 0 v has a sign of its own
    bound[m], open_[m] = error, False
    return value, bound, open_


def _finite_size(x: Array, dtype: Any) -> Array:
    size = np.abs(x).astype(dtype)
    return np.where(np.isfinite(size), size, 0)


def _of_a_library(name: str, operands: list[Array], attributes: dict[str, Any], value: Array) -> tuple[Array, Any, Any]:
    """The bounds of Higham, "Accuracy and Stability of Numerical Algorithms" (2002), doubled: both sides round."""
    limits = np.finfo(value.dtype)
    n = len(operands[0])
    lower = np.tril(operands[0]).astype(np.float64)
    largest = float(limits.max) ** 0.5
    if not all(np.all(np.abs(o) < largest) for o in (lower, *operands[1:])):
        return value, np.inf, True
    if name == "cholesky":  # ‖ΔL‖ ≤ c n ε κ(A) ‖L‖
        condition = np.linalg.cond(lower + np.tril(lower, -1).T) if n else 1.0
        return value, 8 * (n + 1) * limits.eps * condition * (np.max(np.abs(value)) if n else 0.0), False
    if attributes["transposed"]:
        lower = lower.T
    inverse = np.abs(np.linalg.inv(lower)) if n else lower  # |x − x̂| ≤ γₙ |T⁻¹| |T| |x̂| (section 8.2)
    reach = inverse @ np.abs(lower) @ np.abs(value.astype(np.float64))
    return value, 4 * (n + 1) * limits.eps * reach + 8 * n * limits.smallest_subnormal * (1 + inverse.sum()), False
