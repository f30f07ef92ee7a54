"""General systems of equations, and the singular value decomposition: operations that LAPACK computes.

As for the operations of ``library``, the last bits may differ from one LAPACK to another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from chainrule.errors import ExecutionError, TypeMismatch
from chainrule.graph.types import Type
from chainrule.ops.contractions import matmul
from chainrule.ops.contractions import transposed as turned
from chainrule.ops.library import identity_like, require_square, system_type, written
from chainrule.ops.logic import equal, where
from chainrule.ops.record import Op, register, require_dtype
from chainrule.ops.views import broadcast, slice_


def singular(n: int) -> str:
    """Return the words for a system that has no single solution."""
    return (
        f"solve: the matrix a[{n},{n}] is singular, so the system has no single solution. Look for rows that depend on "
        "one another; a small positive number added to the diagonal (a + 1e-6 * np.eye(n)) makes a covariance regular"
    )


def _wrong_right_side(a: object, b: object) -> str:
    return (
        f"solve: a is {a}, b is {b}; b must have two axes, (n,m), with as many rows as a\n"
        "  wrong:  cr.ops.TABLE['solve'](a, b)     # b is a vector\n"
        "  right:  np.linalg.solve(a, b)"
    )


def _solve(a: Any, b: Any, transposed: bool) -> Any:
    require_square("solve", a.shape, written(a))
    if b.ndim != 2 or len(b) != len(a):
        raise TypeMismatch(_wrong_right_side(written(a), written(b)))
    try:
        return np.linalg.solve(a.T if transposed else a, b)
    except np.linalg.LinAlgError:
        raise ExecutionError(singular(len(a))) from None


def _solve_rule_a(g: Any, y: Any, a: Any, b: Any, transposed: bool) -> Any:
    back = solve(a, g, transposed=not transposed)
    return -(matmul(y, turned(back)) if transposed else matmul(back, turned(y)))


solve: Op = register(
    Op(
        name="solve",
        kind="library",
        operands=("a", "b"),
        signature="(n,n),(n,m)->(n,m)",
        evaluate=_solve,
        typing=system_type("solve", _wrong_right_side),
        pullback={
            "a": _solve_rule_a,
            "b": lambda g, y, a, b, transposed: solve(a, g, transposed=not transposed),
        },
        attributes=("transposed",),
        defaults={"transposed": False},
        latex=r"{a}^{{-1}} {b}",
        because="ax = b gives a·dx = db − da·x: the derivative solves the transposed system",
        kinks="a is singular: an error",
        sample=((-2, 2), (-2, 2)),
    )
)


def triplets(shape: tuple[int, int]) -> tuple[int, int]:
    """Return the shape of a decomposition: a column (u, σ, v) for every singular value."""
    m, n = shape
    return m + 1 + n, m if m < n else n


def _svd(a: Any) -> Any:
    rows, count = triplets(a.shape)
    if not np.all(np.isfinite(a)):
        return np.full((rows, count), np.nan, a.dtype)
    if count == 0:
        return np.zeros((rows, 0), a.dtype)
    try:
        u, s, vt = np.linalg.svd(a, full_matrices=False)
    except np.linalg.LinAlgError:
        raise ExecutionError(f"svd: LAPACK found no singular values of a[{a.shape[0]},{a.shape[1]}]") from None
    large = np.abs(u) >= 0.5 * np.max(np.abs(u), axis=0)  # signs are free: the first large element of u is positive
    first = u[np.argmax(large, axis=0), np.arange(count)]
    signs = np.where(first < 0, -1, 1).astype(a.dtype)
    return np.concatenate([u * signs, s[None], vt.T * signs])


def _svd_type(types: tuple[Type, ...], attributes: Mapping[str, Any]) -> Type:
    (a,) = types
    require_dtype("svd", "a", a, "float")
    if a.rank != 2 or a.is_symbolic:
        raise TypeMismatch(f"svd: a is {a}; it must be one matrix of a known size, (m,n)")
    return a.with_shape(triplets(a.shape))  # type: ignore[arg-type]  # both are numbers, as was just asked


def _rows(x: Any, begin: int, end: int) -> Any:
    return slice_(x, start=(begin, 0), stop=(end, x.shape[1]), step=(1, 1))


def _inverse(x: Any) -> Any:
    zero = equal(x, 0)
    return where(zero, 0, 1 / where(zero, 1, x))


def _svd_rule(g: Any, y: Any, a: Any) -> Any:
    # J. Townsend, "Differentiating the singular value decomposition" (2016), with F_ij = 1/(σ_j² − σ_i²)
    m, n = a.shape
    count = y.shape[1]
    (u, s, v), (gu, gs, gv) = ((_rows(x, 0, m), _rows(x, m, m + 1), _rows(x, m + 1, m + 1 + n)) for x in (y, g))
    sizes, others = broadcast(s, shape=(count, count)), broadcast(turned(s), shape=(count, count))
    f = _inverse((sizes - others) * (sizes + others))
    diagonal = where(identity_like(f), broadcast(gs, shape=(count, count)), 0)

    def turning(x: Any, gx: Any) -> Any:
        product = matmul(turned(x), gx)
        return f * (product - turned(product))

    inner = diagonal + turning(u, gu) * sizes + others * turning(v, gv)
    result = matmul(matmul(u, inner), turned(v))
    if m > count:  # what leaves the space that u spans
        away = gu - matmul(u, matmul(turned(u), gu))
        result = result + matmul(away * broadcast(_inverse(s), shape=gu.shape), turned(v))
    if n > count:
        away = gv - matmul(v, matmul(turned(v), gv))
        result = result + matmul(u, turned(away * broadcast(_inverse(s), shape=gv.shape)))
    return result


svd: Op = register(
    Op(
        name="svd",
        kind="library",
        operands=("a",),
        signature="(m,n)->(m+1+n,k)",
        evaluate=_svd,
        typing=_svd_type,
        pullback={"a": _svd_rule},
        latex=r"\operatorname{{svd}}({a})",
        because="a = UΣVᵀ, differentiated: dΣ is the diagonal of Uᵀ·da·V, the rest turns U and V",
        kinks="the first large element of each u is positive (signs are free, and that of v is where σ = 0); equal "
        "singular values do not turn each other, and σ = 0 turns nothing, by convention; NaN or Inf anywhere gives NaN",
        sample=((-2, 2),),
    )
)
