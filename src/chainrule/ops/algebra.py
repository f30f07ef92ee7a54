"""Linear algebra made of operations: products, einsum, norms, solutions and factors of matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.errors import TypeMismatch
from chainrule.graph import Rows, type_of
from chainrule.graph.types import size_of
from chainrule.ops import logic
from chainrule.ops import mathematics as ew
from chainrule.ops.build import as_nodes, broadcast_node, broadcast_shapes, is_traced, mismatch
from chainrule.ops.contractions import matmul as matmul_op
from chainrule.ops.factors import solve as solve_op
from chainrule.ops.factors import svd as svd_op
from chainrule.ops.functions import max, min, sum
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


def einsum(subscripts: str, *operands: Any) -> Any:
    """Return Einstein's sum: products of elements, added up over every letter that the result does not name.

    ``einsum("bij,bjk->bik", a, b)`` multiplies stacks of matrices. Without ``->`` the result has the letters that come
    once, in alphabetical order. Operands are joined from the left to the right; a letter twice in one operand is its
    diagonal. ``…`` is not available.
    """
    values = [value(x) for x in operands]
    if not is_traced(*values):
        return np.einsum(subscripts, *values)
    letters, result = _letters(subscripts, values)
    terms = [_own(x, own, _wanted(letters, result, i)) for i, (x, own) in enumerate(zip(values, letters, strict=True))]
    joined, have = terms[0]
    for place, (x, own) in enumerate(terms[1:], start=2):
        wanted = set(result).union(*(t[1] for t in terms[place:]))
        joined, have = _joined(joined, have, x, own, wanted)
    axes = tuple(have.index(letter) for letter in result)
    return joined if axes == tuple(range(len(axes))) else transpose(joined, axes)


def _letters(subscripts: str, operands: Sequence[Any]) -> tuple[list[str], str]:
    """Return the letters of every operand and of the result; raise TypeMismatch for what does not fit."""
    if not isinstance(subscripts, str):
        raise mismatch('einsum: the first argument must be a text such as "ij,jk->ik"')
    text = subscripts.replace(" ", "")
    left, arrow, result = text.partition("->")
    letters = left.split(",")
    if not all(own.isalpha() or not own for own in [*letters, result]):
        raise mismatch(
            f"einsum: {subscripts!r} holds something else than letters, commas and one '->'; '…' is not known"
        )
    if len(letters) != len(operands):
        raise mismatch(f"einsum: {subscripts!r} names {len(letters)} operands, {len(operands)} were given")
    if not arrow:
        result = "".join(sorted(c for c in set(left) - {","} if left.count(c) == 1))
    sizes: dict[str, Any] = {}
    for i, (own, x) in enumerate(zip(letters, operands, strict=True)):
        if len(own) != x.ndim:
            raise mismatch(f"einsum: operand {i} has {x.ndim} axes, {subscripts!r} gives it {len(own)} letters")
        for letter, dim in zip(own, x.shape, strict=True):
            if sizes.setdefault(letter, dim) != dim:
                raise mismatch(f"einsum: {letter!r} stands for {sizes[letter]} and, in operand {i}, for {dim}")
    if len(set(result)) != len(result) or not set(result) <= set(sizes):
        raise mismatch(f"einsum: the result {result!r} must name letters of the operands, each once")
    return letters, result


def _wanted(letters: Sequence[str], result: str, mine: int) -> set[str]:
    return set(result).union(*(own for i, own in enumerate(letters) if i != mine))


def _own(x: Any, letters: str, wanted: set[str]) -> tuple[Any, str]:
    """Take the diagonal of a letter that comes twice, and add up over those that nothing else names."""
    for letter in sorted(set(letters)):
        while letters.count(letter) > 1:
            first = letters.index(letter)
            second = letters.index(letter, first + 1)
            x = diagonal(x, first, second)
            letters = letters[:first] + letters[first + 1 : second] + letters[second + 1 :] + letter
    axes = tuple(i for i, letter in enumerate(letters) if letter not in wanted)
    return (sum(x, axes), "".join(c for c in letters if c in wanted)) if axes else (x, letters)


def _joined(a: Any, own: str, b: Any, other: str, wanted: set[str]) -> tuple[Any, str]:
    """Multiply two operands, and add up over the letters that both have and nothing else names."""
    both = [c for c in own if c in other]
    batch, along = [c for c in both if c in wanted], [c for c in both if c not in wanted]
    rows, columns = [c for c in own if c not in both], [c for c in other if c not in both]
    size = {**dict(zip(own, a.shape, strict=True)), **dict(zip(other, b.shape, strict=True))}
    if not along:  # a product of elements, without a sum
        left, right = (
            transpose(x, [letters.index(c) for c in order])
            for x, letters, order in ((a, own, [*batch, *rows]), (b, other, [*batch, *columns]))
        )
        left = reshape(left, (*left.shape, *(1,) * len(columns)))
        right = reshape(right, (*(size[c] for c in batch), *(1,) * len(rows), *(size[c] for c in columns)))
        return left * right, "".join([*batch, *rows, *columns])

    def grouped(x: Any, letters: str, *groups: list[str]) -> Any:
        moved = transpose(x, [letters.index(c) for group in (batch, *groups) for c in group])
        return reshape(
            moved, (*(size[c] for c in batch), *(size_of(tuple(size[c] for c in group)) for group in groups))
        )

    product = matmul(grouped(a, own, rows, along), grouped(b, other, along, columns))
    letters = [*batch, *rows, *columns]
    return reshape(product, tuple(size[c] for c in letters)), "".join(letters)


def outer(a: Any, b: Any) -> Any:
    """Return the product of every element of one value with every element of another."""
    return reshape(a, (-1, 1)) * reshape(b, (1, -1))


def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """Return the product of two values, added up along pairs of axes."""
    a, b = value(a), value(b)
    if isinstance(axes, int | np.integer):
        left, right = list(range(a.ndim - int(axes), a.ndim)), list(range(int(axes)))
    else:
        ours, others = ([axis] if isinstance(axis, int | np.integer) else list(axis) for axis in axes)
        left, right = [int(i) % a.ndim for i in ours], [int(i) % b.ndim for i in others]
    if len(left) != len(right):
        raise mismatch(f"tensordot: {len(left)} axes of a do not pair with {len(right)} of b")
    names = [chr(97 + i) for i in range(a.ndim)]
    further = [chr(97 + a.ndim + i) for i in range(b.ndim)]
    for i, j in zip(left, right, strict=True):
        further[j] = names[i]
    kept = [c for i, c in enumerate(names) if i not in left] + [c for i, c in enumerate(further) if i not in right]
    return einsum(f"{''.join(names)},{''.join(further)}->{''.join(kept)}", a, b)


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
        total = sum(ew.square(x), axes, keepdims)
        zero = logic.equal(total, 0)
        return logic.where(zero, 0, ew.sqrt(logic.where(zero, 1, total)))
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
