"""Functions made of operations: means, softmax, indexing. Compiled, differentiated, explained through their parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.errors import TraceError
from chainrule.graph import Dim, Node, Rows, Type, as_array, make_constant, type_of
from chainrule.graph.types import DTYPES, show_shape, size_of
from chainrule.ops import logic
from chainrule.ops import mathematics as ew
from chainrule.ops.build import is_traced, mismatch
from chainrule.ops.contractions import matmul as matmul_op
from chainrule.ops.indexing import take as take_op
from chainrule.ops.random import iota
from chainrule.ops.reductions import (
    all_,
    count_along,
    max_,
    min_,
    normalize_axes,
    reduce_with,
    sum_,
)
from chainrule.ops.reductions import (
    argmax as argmax_op,
)
from chainrule.ops.views import (
    broadcast,
    slice_,
)
from chainrule.ops.views import (
    concatenate as concatenate_op,
)
from chainrule.ops.views import (
    reshape as reshape_op,
)
from chainrule.ops.views import (
    transpose as transpose_op,
)

Axis = int | tuple[int, ...] | None


def value(x: Any) -> Any:
    """Return a traced value as it is and anything else as an array."""
    return x if isinstance(x, Node) else as_array(x)


def sum(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return the sum along axes."""
    return reduce_with(sum_, value(x), axis, keepdims)


def max(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return the largest element along axes; tied elements share the derivative equally."""
    return reduce_with(max_, value(x), axis, keepdims)


def min(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return the smallest element along axes; tied elements share the derivative equally."""
    return reduce_with(min_, value(x), axis, keepdims)


def all(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return whether all elements along axes are true."""
    return reduce_with(all_, value(x), axis, keepdims)


def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return the mean along axes: their sum divided by their number."""
    x = value(x)
    return sum(x, axis, keepdims) / count_along(x, axis)


def var(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return the variance along axes: the mean of (x − mean)², divided by n, not n − 1."""
    x = value(x)
    return mean(ew.square(x - mean(x, axis, keepdims=True)), axis, keepdims)


def argmax(x: Any, axis: int | None = -1) -> Any:
    """Return the index of the largest element along one axis, or of all (the first, where several are equal)."""
    x = value(x)
    if axis is None:
        x, axis = reshape(x, -1), 0
    return argmax_op(x, axes=normalize_axes(axis, x.ndim, "argmax"))


def matmul(a: Any, b: Any) -> Any:
    """Return the matrix product; a vector counts as one row on the left and as one column on the right."""
    a, b = value(a), value(b)
    if not is_traced(a, b):
        if a.ndim and b.ndim and a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
            raise mismatch(
                f"matmul: a is {type_of(a)}, b is {type_of(b)}; a has {a.shape[-1]} columns and b has "
                f"{b.shape[-2 if b.ndim > 1 else 0]} rows: they must be equal"
            )
        return np.matmul(a, b)
    for name, operand in (("a", a), ("b", b)):
        if not 1 <= operand.ndim <= 2:
            raise mismatch(f"matmul: {name} has {operand.ndim} axes; one or two are needed")
    left = reshape_op(a, shape=(1, *a.shape)) if a.ndim == 1 else a
    right = reshape_op(b, shape=(*b.shape, 1)) if b.ndim == 1 else b
    product = matmul_op(left, right)
    shape = (left.shape[:1] if a.ndim == 2 else ()) + (right.shape[1:] if b.ndim == 2 else ())
    return reshape_op(product, shape=shape) if len(shape) < 2 else product


def size(x: Any) -> Any:
    """Return the number of elements; TraceError where it is not known while tracing."""
    total = size_of(x.shape)
    if isinstance(total, Rows):
        raise TraceError(
            f"x is {x.type}: its size is not known while tracing; use np.mean, or cr.ops.extent(x, axis=0)"
        )
    return total


def reshape(x: Any, shape: int | Sequence[Dim]) -> Any:
    """Return the same elements in another shape; one −1 is worked out."""
    x = value(x)
    wanted: list[Any] = [shape] if isinstance(shape, int | np.integer | Rows) else list(shape)
    wanted = [d if isinstance(d, Rows) else int(d) for d in wanted]
    if wanted.count(-1) > 1:
        raise mismatch("reshape: only one dimension can be -1")
    if -1 in wanted:
        wanted[wanted.index(-1)] = _missing_dim(size_of(x.shape), size_of(tuple(d for d in wanted if d != -1)), wanted)
    return reshape_op(x, shape=tuple(wanted))


def _missing_dim(total: Dim, rest: Dim, wanted: Sequence[Any]) -> Dim:
    number, symbol = (total.multiple, True) if isinstance(total, Rows) else (total, False)
    divisor, rest_symbol = (rest.multiple, True) if isinstance(rest, Rows) else (rest, False)
    if divisor == 0 or number % divisor or (rest_symbol and not symbol):
        raise mismatch(f"reshape: {total} elements cannot be arranged as {tuple(wanted)}")
    return Rows(number // divisor) if symbol and not rest_symbol else number // divisor


def transpose(x: Any, axes: Sequence[int] | None = None) -> Any:
    """Return the axes in another order; reversed where none is given."""
    x = value(x)
    order = range(x.ndim)[::-1] if axes is None else [a % x.ndim if -x.ndim <= a < x.ndim else a for a in axes]
    return transpose_op(x, axes=tuple(int(a) for a in order))


def concatenate(parts: Sequence[Any], axis: int | None = 0) -> Any:
    """Join values along an existing axis; with axis None, as one flat row of elements."""
    values = [value(p) for p in parts]
    if not values:
        raise mismatch("concatenate: there is nothing to join")
    if axis is None:
        values, axis = [reshape(v, -1) for v in values], 0
    (at,) = normalize_axes(axis, values[0].ndim, "concatenate")
    return concatenate_op(*values, axis=at)


def stack(parts: Sequence[Any], axis: int = 0) -> Any:
    """Join values along a new axis."""
    values = [value(p) for p in parts]
    if any(v.shape != values[0].shape for v in values):
        shapes = ", ".join(f"[{show_shape(v.shape)}]" for v in values)
        raise mismatch(f"stack: the parts have the shapes {shapes}; they must be equal")
    return concatenate([expand_dims(v, axis) for v in values], axis)


def expand_dims(x: Any, axis: int | tuple[int, ...]) -> Any:
    """Insert axes of length 1: ``axis`` says where they stand in the result."""
    x = value(x)
    rank = x.ndim + (1 if isinstance(axis, int | np.integer) else len(axis))
    new = normalize_axes(axis, rank, "expand_dims")
    dims = iter(x.shape)
    return reshape_op(x, shape=tuple(1 if a in new else next(dims) for a in range(rank)))


def squeeze(x: Any, axis: Axis = None) -> Any:
    """Take out axes of length 1."""
    x = value(x)
    axes = (
        tuple(a for a, d in enumerate(x.shape) if d == 1) if axis is None else normalize_axes(axis, x.ndim, "squeeze")
    )
    if any(x.shape[a] != 1 for a in axes):
        raise mismatch(f"squeeze: an axis of {axes} is not of length 1 in shape {x.shape}")
    return reshape_op(x, shape=tuple(d for a, d in enumerate(x.shape) if a not in axes))


def broadcast_to(x: Any, shape: Sequence[Dim]) -> Any:
    """Stretch a value to a shape."""
    dims = [shape] if isinstance(shape, int | np.integer | Rows) else shape
    return broadcast(value(x), shape=tuple(d if isinstance(d, Rows) else int(d) for d in dims))


def clip(x: Any, low: Any = None, high: Any = None) -> Any:
    """Return x held between low and high; on a bound each side gets half of the derivative."""
    result = value(x)
    if low is not None:
        result = ew.maximum(result, low)
    return result if high is None else ew.minimum(result, high)


def where(condition: Any, chosen: Any, other: Any) -> Any:
    """Choose elements: ``chosen`` where the condition holds, else ``other``."""
    return logic.where(condition, chosen, other)


def take(x: Any, indices: Any, axis: int = 0) -> Any:
    """Return rows chosen by an array of integers, along the first axis."""
    if axis != 0:
        raise TraceError("take: only rows (axis 0) can be taken; transpose first")
    return take_op(value(x), value(indices))


def one_hot(labels: Any, classes: int, dtype: str = "f64") -> Any:
    """Return one column a class: 1 where the label is that class, else 0."""
    labels = value(labels)
    if isinstance(labels, Node):
        columns = iota_like(labels.type.dtype, classes)
        return logic.cast(logic.equal(expand_dims(labels, labels.ndim), columns), dtype=dtype)
    return (labels[..., None] == np.arange(classes)).astype("f4" if dtype == "f32" else "f8")


def iota_like(dtype: str, size: int) -> Any:
    from chainrule.ops.build import new_node

    return new_node(iota, (), {"shape": (size,), "axis": 0, "dtype": dtype})


def logsumexp(x: Any, axis: Axis = -1, keepdims: bool = False) -> Any:
    """Return log Σ eˣ along axes, computed as m + log Σ eˣ⁻ᵐ with m the largest x, so that nothing overflows."""
    x = value(x)
    # The largest element is held constant: it cancels, so it carries no derivative.
    largest = logic.stop_gradient(max(x, axis, keepdims=True))
    total = ew.log(sum(ew.exp(x - largest), axis, keepdims=True)) + largest
    return total if keepdims else squeeze(total, axis if axis is not None else tuple(range(x.ndim)))


def log_softmax(x: Any, axis: int = -1) -> Any:
    """Return x − log Σ eˣ along an axis: the logarithm of softmax, exact for large scores."""
    x = value(x)
    shifted = x - logic.stop_gradient(max(x, axis, keepdims=True))
    return shifted - ew.log(sum(ew.exp(shifted), axis, keepdims=True))


def softmax(x: Any, axis: int = -1) -> Any:
    """Return eˣ / Σ eˣ along an axis: positive numbers that sum to 1."""
    x = value(x)
    risen = ew.exp(x - logic.stop_gradient(max(x, axis, keepdims=True)))
    return risen / sum(risen, axis, keepdims=True)


def get_item(x: Node, index: Any) -> Any:
    """Index a traced value with numbers, slices, ``None`` and ``…``, or with one array of integers along axis 0."""
    if isinstance(index, Node | np.ndarray | list):
        return _take_rows(x, index)
    parts = list(index) if isinstance(index, tuple) else [index]
    if any(isinstance(p, Node | np.ndarray | list) for p in parts):
        raise TraceError("indexing with arrays works along the first axis alone: x[rows], then slices")
    given = len([p for p in parts if p is not None and p is not Ellipsis])
    if parts.count(Ellipsis) > 1 or given > x.ndim:
        raise mismatch(f"x is {x.type}: it has {x.ndim} axes, the index has {given}")
    dots = parts.index(Ellipsis) if Ellipsis in parts else len(parts)
    fill = [slice(None)] * (x.ndim - given)
    parts = parts[:dots] + fill + parts[dots + 1 :]
    start: list[Any] = []
    stop: list[Any] = []
    step: list[Any] = []
    shape: list[Any] = []
    axis = 0
    for part in parts:
        if part is None:
            shape.append(1)
            continue
        dim = x.shape[axis]
        begin, end, stride, keep = _range(x, part, axis, dim)
        start.append(begin)
        stop.append(end)
        step.append(stride)
        if keep:
            shape.append(len(range(begin, end, stride)) if isinstance(end, int) else dim)
        axis += 1
    return reshape_op(slice_(x, start=tuple(start), stop=tuple(stop), step=tuple(step)), shape=tuple(shape))


def _range(x: Node, part: Any, axis: int, dim: Dim) -> tuple[int, Dim, int, bool]:
    if isinstance(part, slice):
        if isinstance(dim, Rows):
            if part != slice(None) and part != slice(0, None, None):
                raise TraceError(f"x is {x.type}: axis {axis} has n rows, of which only all can be taken (:)")
            return 0, dim, 1, True
        begin, end, stride = part.indices(dim)
        if stride < 1:
            raise TraceError(
                "a slice with a negative step is not available in a traced function\n"
                "  wrong:  x[::-1]\n"
                "  right:  np.stack([x[i] for i in range(len(x) - 1, -1, -1)])"
            )
        return begin, builtin_max(begin, end), stride, True
    if isinstance(part, bool | np.bool_) or not hasattr(part, "__index__"):
        raise TraceError(f"x is {x.type}: it cannot be indexed with {part!r}; use numbers, slices, None and …")
    number = int(part)
    if isinstance(dim, Rows):
        raise TraceError(f"x is {x.type}: axis {axis} has n rows; a single row of them cannot be picked by number")
    if not -dim <= number < dim:
        raise IndexError(f"index {number} is out of range for axis {axis} of {x.type}")
    number %= dim
    return number, number + 1, 1, False


def builtin_max(a: int, b: int) -> int:
    return a if a > b else b


def _take_rows(x: Node, index: Any) -> Any:
    rows = value(index)
    kind = rows.type.dtype if isinstance(rows, Node) else rows.dtype.name
    if "bool" in kind:
        raise TraceError(
            "x[mask] has a size that depends on the values, which a graph cannot hold.\n"
            "  wrong:  x[x > 0].sum()\n"
            "  right:  np.where(x > 0, x, 0).sum()"
        )
    return take_op(x, rows)


def zeros_of(x: Node | Type) -> Node:
    """Return zeros of a traced value's type, for any number of rows, as a node."""
    kind = x if isinstance(x, Type) else x.type
    zero = make_constant(DTYPES[kind.dtype].type(0))
    result: Node = broadcast(zero, shape=kind.shape) if kind.shape else zero
    return result
