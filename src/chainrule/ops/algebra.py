"""Linear algebra made of operations: products, norms, solutions and factors of matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.errors import TypeMismatch
from chainrule.graph import Rows, type_of
from chainrule.graph.types import size_of
from chainrule.ops import mathematics as ew
from chainrule.ops.build import as_nodes, broadcast_node, broadcast_shapes, is_traced, mismatch
from chainrule.ops.contractions import matmul as matmul_op
from chainrule.ops.factors import solve as solve_op
from chainrule.ops.factors import svd as svd_op
from chainrule.ops.functions import max, min, root, sum
from chainrule.ops.reductions import normalize_axes
from chainrule.ops.shapes import Axis, diagonal, reshape, transpose, value
from chainrule.ops.views import reshape as reshape_op


def matmul(a: Any, b: Any) -> Any:
    """Return the matrix product, or those of two stacks of matrices, whose other axes are broadcast together.

    A vector counts as one row on the left and as one column on the right.
    """
    a, b = value(a), value(b)
    if not is_traced(a, b):
        if a.ndim and b.ndim and a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
            raise mismatch(
                f"matmul: a is {type_of(a)}, b is {type_of(b)}; a has {a.shape[-1]} columns and b has "
                f"{b.shape[-2 if b.ndim > 1 else 0]} rows: they must be equal"
            )
        return np.matmul(a, b)
    for name, operand in (("a", a), ("b", b)):
        if operand.ndim < 1:
            raise mismatch(f"matmul: {name} is a single number; at least one axis is needed")
    left = reshape_op(a, shape=(1, *a.shape)) if a.ndim == 1 else a
    right = reshape_op(b, shape=(*b.shape, 1)) if b.ndim == 1 else b
    if left.ndim > 2 and right.ndim == 2 and _count_rows(left.shape[:-1]) < 2:  # one matrix: one product of all rows
        flat = reshape_op(left, shape=(size_of(left.shape[:-1]), left.shape[-1]))
        product = matmul_op(flat, right)
    else:
        if left.ndim > 2 or right.ndim > 2:
            left, right = _stacks(left, right)
        product = matmul_op(left, right)
    shape = left.shape[:-2] + (left.shape[-2:-1] if a.ndim > 1 else ()) + (right.shape[-1:] if b.ndim > 1 else ())
    return product if product.shape == shape else reshape_op(product, shape=shape)


def _count_rows(shape: Sequence[Any]) -> int:
    """Return how many of some dimensions are n."""
    return [isinstance(d, Rows) for d in shape].count(True)


def _stacks(a: Any, b: Any) -> list[Any]:
    """Broadcast the axes before the last two together."""
    nodes = as_nodes(matmul_op, (a, b))
    types = [x.type.with_shape(x.shape[:-2]) for x in nodes]
    shape = broadcast_shapes("matmul", ("the stack a", "the stack b"), types)
    return [broadcast_node(x, (*shape, *x.shape[-2:])) for x in nodes]


def dot(a: Any, b: Any) -> Any:
    """Return NumPy's dot: a product of numbers, vectors or matrices."""
    a, b = value(a), value(b)
    return a * b if a.ndim == 0 or b.ndim == 0 else matmul(a, b)


def outer(a: Any, b: Any) -> Any:
    """Return the product of every element of one value with every element of another."""
    return reshape(a, (-1, 1)) * reshape(b, (1, -1))


def trace(x: Any) -> Any:
    """Return the sum of the diagonal of a matrix, or of each of a stack along the first two axes."""
    return sum(diagonal(x), -1)


def norm(x: Any, ord: Any = None, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return the length of vectors: √Σx² (``ord`` None or 2), Σ|x| (1), or the largest |x| (inf).

    Of a matrix (two axes) √Σx² alone (None or "fro"). At 0, where √ has no derivative, the derivative is 0 by
    convention.
    """
    x = value(x)
    axes = normalize_axes(axis, x.ndim, "norm")
    flat = ord is None or (ord == "fro" and len(axes) == 2)
    if not flat and (len(axes) != 1 or ord not in (1, 2, np.inf, -np.inf)):
        raise mismatch(
            f"norm: ord is {ord!r} for {len(axes)} axes; vectors (one axis) have None, 1, 2, inf and -inf, "
            "matrices None and 'fro'"
        )
    if flat or ord == 2:
        return root(sum(ew.square(x), axes, keepdims))
    reduce = {1: sum, np.inf: max, -np.inf: min}[ord]
    return reduce(ew.absolute(x), axes, keepdims)


def solve(a: Any, b: Any) -> Any:
    """Return the solution x of ax = b, for a vector b or for every column of a matrix."""
    a, b = value(a), value(b)
    return solve_op(a, reshape(b, (-1, 1)))[:, 0] if b.ndim == 1 else solve_op(a, b)


def inv(a: Any) -> Any:
    """Return the inverse of a matrix; to solve a system, ``solve`` is quicker and more exact."""
    a = value(a)
    if a.ndim != 2:
        raise TypeMismatch(f"inv: a has {a.ndim} axes; it must be one square matrix, (n,n)")
    return solve_op(a, np.eye(a.shape[0], dtype=a.dtype))


def svd(a: Any) -> tuple[Any, Any, Any]:
    """Return U, s and Vᵀ with a = U·diag(s)·Vᵀ, as many columns as singular values, these from the largest on."""
    a = value(a)
    triplets = svd_op(a)
    m = a.shape[0]
    return triplets[:m], triplets[m], transpose(triplets[m + 1 :])
