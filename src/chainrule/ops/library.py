"""Operations that a linear algebra library computes: the Cholesky factor, and the solution of triangular systems.

Both read the lower triangle of their matrix alone, as NumPy's and LAPACK's do, so it alone gets a derivative. They are
exempt from the promise of equal bits across machines: a LAPACK picks its kernels by the processor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from chainrule.errors import ExecutionError, TypeMismatch
from chainrule.graph.types import Rows, Type, show_shape
from chainrule.ops import logic
from chainrule.ops.build import new_node
from chainrule.ops.random import iota
from chainrule.ops.record import Op, TypeRule, convert_hint, register, require_dtype


def not_positive_definite(n: int) -> str:
    """Return the words for a matrix that has no Cholesky factor."""
    return (
        f"cholesky: the matrix a[{n},{n}] is not positive definite, so it has no Cholesky factor. Look "
        "for rows that depend on one another, or for a matrix that is not symmetric; a small positive number added to "
        "the diagonal (a + 1e-6 * np.eye(n)) makes a covariance matrix definite"
    )


def singular(n: int) -> str:
    """Return the words for a triangular system that has no single solution."""
    return (
        f"solve_triangular: the triangular matrix a[{n},{n}] has a 0 on its diagonal, so the system has no single "
        "solution. Look for a row and column of zeros in what a was made of"
    )


def require_square(name: str, shape: tuple[Any, ...], kind: object) -> None:
    """Raise TypeMismatch for what is no square matrix of a known size."""
    if len(shape) != 2 or shape[0] != shape[1] or isinstance(shape[0], Rows):
        raise TypeMismatch(
            f"{name}: a is {kind}; it must be a square matrix of a known size, (n,n): one matrix at a time"
        )


def written(x: Any) -> str:
    """Return an array's type as it is written."""
    return f"{x.dtype}[{show_shape(x.shape)}]"


def _place(x: Any, axis: int) -> Any:
    """Return, for every element of a traced matrix, its row (axis 0) or its column (axis 1)."""
    return new_node(iota, (), {"shape": x.shape, "axis": axis, "dtype": "i32"})


def _lower(x: Any) -> Any:
    """Return a traced matrix with zeros above the diagonal."""
    return logic.where(logic.greater_equal(_place(x, 0), _place(x, 1)), x, 0)


def identity_like(x: Any) -> Any:
    """Return where a traced matrix has its diagonal."""
    return logic.equal(_place(x, 0), _place(x, 1))


def _diagonal_halved(x: Any) -> Any:
    return logic.where(identity_like(x), 0.5 * x, x)


def _cholesky(a: Any) -> Any:
    require_square("cholesky", a.shape, written(a))
    try:
        return np.linalg.cholesky(a)
    except np.linalg.LinAlgError:
        if np.any(np.isnan(np.tril(a))):  # some LAPACKs call it not definite; NaN goes on as NaN with every one of them
            return np.full_like(a, np.nan)
        raise ExecutionError(not_positive_definite(len(a))) from None


def _cholesky_type(types: tuple[Type, ...], attributes: Mapping[str, Any]) -> Type:
    (a,) = types
    require_dtype("cholesky", "a", a, "float")
    require_square("cholesky", a.shape, a)
    return a


def _cholesky_rule(g: Any, y: Any, a: Any) -> Any:
    # with Φ the lower triangle, its diagonal halved: dL = L Φ(L⁻¹ dA L⁻ᵀ), so S = L⁻ᵀ Φ(Lᵀg) L⁻¹ is the derivative by
    # every element of a symmetric A; an element below the diagonal stands for two of them
    inner = solve_triangular(y, _diagonal_halved(_lower(y.T @ g)), transposed=True)
    s = solve_triangular(y, inner.T, transposed=True).T
    return _diagonal_halved(_lower(s + s.T))


cholesky: Op = register(
    Op(
        name="cholesky",
        kind="library",
        operands=("a",),
        signature="(n,n)->(n,n)",
        evaluate=_cholesky,
        typing=_cholesky_type,
        pullback={"a": _cholesky_rule},
        latex=r"\operatorname{{chol}}({a})",
        because="A = LLᵀ gives dA = dL·Lᵀ + L·dLᵀ, which is solved for dL by triangular systems",
        kinks="a is not positive definite: an error; NaN gives NaN; what stands above the diagonal is not read",
        sample=((-2, 2),),
    )
)


def _solve_triangular(a: Any, b: Any, transposed: bool) -> Any:
    require_square("solve_triangular", a.shape, written(a))
    if b.ndim != 2 or len(b) != len(a):
        raise TypeMismatch(_wrong_right_side(written(a), written(b)))
    if np.any(np.diagonal(a) == 0):
        raise ExecutionError(singular(len(a)))
    matrix = a.T if transposed else a
    x = np.zeros_like(b)
    # each row in turn, the unknowns before it being known: those of a lower triangle from the first row on
    for i in reversed(range(len(a))) if transposed else range(len(a)):
        known = slice(i + 1, None) if transposed else slice(None, i)
        x[i] = (b[i] - matrix[i, known] @ x[known]) / matrix[i, i]
    return x


def _wrong_right_side(a: object, b: object) -> str:
    return (
        f"solve_triangular: a is {a}, b is {b}; b must have two axes, (n,m), with as many rows as a\n"
        "  wrong:  cr.ops.solve_triangular(a, b)             # b is a vector\n"
        "  right:  cr.ops.solve_triangular(a, b[:, None])[:, 0]"
    )


def system_type(name: str, wrong_right_side: Callable[[object, object], str]) -> TypeRule:
    """Return how a system of equations ax = b is typed: as b, the columns of which are its right sides."""

    def typing(types: tuple[Type, ...], attributes: Mapping[str, Any]) -> Type:
        a, b = types
        require_dtype(name, "a", a, "float")
        if a.dtype != b.dtype:
            raise TypeMismatch(f"{name}: a is {a}, b is {b}; {convert_hint(('a', a), ('b', b))}")
        require_square(name, a.shape, a)
        if b.rank != 2 or b.shape[0] != a.shape[0] or isinstance(b.shape[1], Rows):
            raise TypeMismatch(wrong_right_side(a, b))
        return b

    return typing


def _solve_rule_a(g: Any, y: Any, a: Any, b: Any, transposed: bool) -> Any:
    back = solve_triangular(a, g, transposed=not transposed)
    return -_lower(y @ back.T if transposed else back @ y.T)


def _solve_rule_b(g: Any, y: Any, a: Any, b: Any, transposed: bool) -> Any:
    return solve_triangular(a, g, transposed=not transposed)


solve_triangular: Op = register(
    Op(
        name="solve_triangular",
        kind="library",
        operands=("a", "b"),
        signature="(n,n),(n,m)->(n,m)",
        evaluate=_solve_triangular,
        typing=system_type("solve_triangular", _wrong_right_side),
        pullback={"a": _solve_rule_a, "b": _solve_rule_b},
        attributes=("transposed",),
        defaults={"transposed": False},
        latex=r"{a}^{{-1}} {b}",
        because="ax = b gives a·dx = db − da·x: the derivative solves the transposed system",
        kinks="a 0 on the diagonal of a: an error; what stands above the diagonal is not read",
        sample=((-2, 2), (-2, 2)),
    )
)
