"""Functions made of operations: reductions, means, softmax. Compiled, differentiated, explained through their parts."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.graph import Node
from chainrule.ops import logic
from chainrule.ops import mathematics as ew
from chainrule.ops.build import is_traced, new_node
from chainrule.ops.cumulative import cumulative_sum, product_before
from chainrule.ops.random import iota
from chainrule.ops.reductions import all_, count_along, max_, min_, normalize_axes, reduce_with, sum_
from chainrule.ops.reductions import argmax as argmax_op
from chainrule.ops.reductions import prod as prod_op
from chainrule.ops.shapes import Axis, expand_dims, reshape, squeeze, value


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


def any(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return whether any element along axes is true: not all of them are false."""
    return logic.logical_not(all(logic.logical_not(value(x)), axis, keepdims))


def prod(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return the product along axes."""
    return reduce_with(prod_op, value(x), axis, keepdims)


def cumsum(x: Any, axis: int | None = None, reverse: bool = False) -> Any:
    """Return the partial sums along an axis (of all elements in a row, where none is given)."""
    x = value(x)
    if axis is None:
        x, axis = reshape(x, -1), 0
    (at,) = normalize_axes(axis, x.ndim, "cumsum")
    return cumulative_sum(x, axis=at, reverse=reverse)


def cumprod(x: Any, axis: int | None = None) -> Any:
    """Return the partial products along an axis (of all elements in a row, where none is given)."""
    x = value(x)
    if axis is None:
        x, axis = reshape(x, -1), 0
    (at,) = normalize_axes(axis, x.ndim, "cumprod")
    return x * product_before(x, at) if is_traced(x) else np.cumprod(x, at, dtype=x.dtype)


def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return the mean along axes: their sum divided by their number."""
    x = value(x)
    return sum(x, axis, keepdims) / count_along(x, axis)


def var(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return the variance along axes: the mean of (x − mean)², divided by n, not n − 1."""
    x = value(x)
    return mean(ew.square(x - mean(x, axis, keepdims=True)), axis, keepdims)


def std(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return the standard deviation along axes: the square root of the variance."""
    return ew.sqrt(var(x, axis, keepdims))


def argmax(x: Any, axis: int | None = -1) -> Any:
    """Return the index of the largest element along one axis, or of all (the first, where several are equal)."""
    x = value(x)
    if axis is None:
        x, axis = reshape(x, -1), 0
    return argmax_op(x, axes=normalize_axes(axis, x.ndim, "argmax"))


def argmin(x: Any, axis: int | None = -1) -> Any:
    """Return the index of the smallest element along one axis, or of all (the first, where several are equal)."""
    return argmax(-value(x), axis)


def clip(x: Any, low: Any = None, high: Any = None) -> Any:
    """Return x held between low and high; on a bound each side gets half of the derivative."""
    result = value(x)
    if low is not None:
        result = ew.maximum(result, low)
    return result if high is None else ew.minimum(result, high)


def where(condition: Any, chosen: Any, other: Any) -> Any:
    """Choose elements: ``chosen`` where the condition holds, else ``other``."""
    return logic.where(condition, chosen, other)


def one_hot(labels: Any, classes: int, dtype: str = "f64") -> Any:
    """Return one column a class: 1 where the label is that class, else 0."""
    labels = value(labels)
    if isinstance(labels, Node):
        columns = iota_like(labels.type.dtype, classes)
        return logic.cast(logic.equal(expand_dims(labels, labels.ndim), columns), dtype=dtype)
    return (labels[..., None] == np.arange(classes)).astype("f4" if dtype == "f32" else "f8")


def iota_like(dtype: str, size: int) -> Any:
    return new_node(iota, (), {"shape": (size,), "axis": 0, "dtype": dtype})


def logsumexp(x: Any, axis: Axis = -1, keepdims: bool = False) -> Any:
    """Return log Σ eˣ along axes, computed as m + log Σ eˣ⁻ᵐ with m the largest x, so that nothing overflows."""
    x = value(x)
    # The largest element is held constant: it cancels, so it carries no derivative. Inf would leave Inf − Inf.
    largest = logic.stop_gradient(max(x, axis, keepdims=True))
    largest = logic.where(logic.isfinite(largest), largest, 0)
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
