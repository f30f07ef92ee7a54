"""Functions made of operations: reductions, means, softmax. Compiled, differentiated, explained through their parts."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.graph import Node
from chainrule.graph.types import DTYPES, Shape, dtype_name, show_shape
from chainrule.ops import logic
from chainrule.ops import mathematics as ew
from chainrule.ops.build import is_traced, mismatch, new_node
from chainrule.ops.cumulative import cumulative_sum, product_before
from chainrule.ops.random import iota
from chainrule.ops.reductions import all_, count_along, kept, max_, min_, normalize_axes, reduce_with, sum_
from chainrule.ops.reductions import argmax as argmax_op
from chainrule.ops.reductions import prod as prod_op
from chainrule.ops.shapes import Axis, expand_dims, reshape, squeeze, value


def _is(x: Any, *kinds: str) -> bool:
    """Is a value, traced or not, of one of these dtypes?"""
    return (x.type.dtype if isinstance(x, Node) else dtype_name(x.dtype)) in kinds


def counted(x: Any) -> Any:
    """Return truth values as the integers 0 and 1, and any numbers as they are."""
    x = value(x)
    return logic.cast(x, dtype="i64") if _is(x, "bool") else x


def measured(x: Any) -> Any:
    """Return truth values and integers as float64, and floats as they are."""
    x = value(x)
    return x if _is(x, "f32", "f64") else logic.cast(x, dtype="f64")


def truths(x: Any) -> Any:
    """Return which elements are other than 0."""
    x = value(x)
    return x if _is(x, "bool") else logic.not_equal(x, 0)


def sum(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return the sum along axes; of truth values their number."""
    return reduce_with(sum_, counted(x), axis, keepdims)


def max(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return the largest element along axes; tied elements share the derivative equally."""
    x = value(x)
    return any(x, axis, keepdims) if _is(x, "bool") else reduce_with(max_, x, axis, keepdims)


def min(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return the smallest element along axes; tied elements share the derivative equally."""
    x = value(x)
    return all(x, axis, keepdims) if _is(x, "bool") else reduce_with(min_, x, axis, keepdims)


def all(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return whether all elements along axes are true."""
    return reduce_with(all_, truths(x), axis, keepdims)


def any(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return whether any element along axes is true: not all of them are false."""
    return logic.logical_not(all(logic.logical_not(truths(x)), axis, keepdims))


def prod(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return the product along axes."""
    return reduce_with(prod_op, counted(x), axis, keepdims)


def cumsum(x: Any, axis: int | None = None, reverse: bool = False) -> Any:
    """Return the partial sums along an axis (of all elements in a row, where none is given)."""
    x = counted(x)
    if axis is None:
        x, axis = reshape(x, -1), 0
    (at,) = normalize_axes(axis, x.ndim, "cumsum")
    return cumulative_sum(x, axis=at, reverse=reverse)


def cumprod(x: Any, axis: int | None = None) -> Any:
    """Return the partial products along an axis (of all elements in a row, where none is given)."""
    x = counted(x)
    if axis is None:
        x, axis = reshape(x, -1), 0
    (at,) = normalize_axes(axis, x.ndim, "cumprod")
    if not is_traced(x):
        return np.cumprod(x, at, dtype=x.dtype)
    if not x.type.is_float:
        raise mismatch(f"cumprod: x is {x.type}; it takes f32 or f64; convert it first: x.astype('float64')")
    return x * product_before(x, at)


def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return the mean along axes: their sum divided by their number. Of integers and truth values it is float64."""
    x = measured(x)
    return sum(x, axis, keepdims) / count_along(x, axis)


def var(x: Any, axis: Axis = None, keepdims: bool = False, ddof: float = 0) -> Any:
    """Return the variance along axes: Σ(x − mean)²/(n − ``ddof``), so by default the mean of the squares."""
    x = measured(x)
    squares = ew.square(x - mean(x, axis, keepdims=True))
    return sum(squares, axis, keepdims) / (count_along(x, axis) - ddof) if ddof else mean(squares, axis, keepdims)


def std(x: Any, axis: Axis = None, keepdims: bool = False, ddof: float = 0) -> Any:
    """Return the standard deviation along axes: the square root of the variance.

    Where the variance is 0 (a constant column) the derivative is 0 by convention.
    """
    return root(var(x, axis, keepdims, ddof))


def root(x: Any) -> Any:
    """Return √x, with the derivative 0 at 0, by convention: of lengths and deviations, which end there."""
    zero = logic.equal(x, 0)
    return logic.where(zero, 0, ew.sqrt(logic.where(zero, 1, x)))


def argmax(x: Any, axis: int | None = -1, keepdims: bool = False) -> Any:
    """Return the index of the largest element along one axis, or of all (the first, where several are equal)."""
    return _place(value(x), axis, keepdims, "argmax")


def argmin(x: Any, axis: int | None = -1, keepdims: bool = False) -> Any:
    """Return the index of the smallest element along one axis, or of all (the first, where several are equal)."""
    x = counted(x)
    if _is(x, "f32", "f64"):
        return _place(-x, axis, keepdims, "argmin")
    # with all bits turned the order of integers is turned, at both ends of the range too, where −x wraps around
    return _place(logic.bitwise_xor(x, _all_bits(x)), axis, keepdims, "argmin")


def _all_bits(x: Any) -> Any:
    kind = x.type.dtype if isinstance(x, Node) else dtype_name(x.dtype)
    return np.asarray(-1 if kind[0] == "i" else np.iinfo(DTYPES[kind]).max, DTYPES[kind])


def _place(x: Any, axis: int | None, keepdims: bool, name: str) -> Any:
    shape = x.shape
    x = counted(x)
    if axis is None:
        x, at = reshape(x, -1), 0
        kept_shape: Shape = (1,) * len(shape)
    else:
        axes = normalize_axes(axis, x.ndim, name)
        if len(axes) != 1:
            raise mismatch(f"{name}: axis is {axis!r}; it takes one axis, or None for all elements")
        (at,), kept_shape = axes, kept(shape, axes)
    if x.shape[at] == 0:
        raise mismatch(f"{name}: axis {at} of x[{show_shape(x.shape)}] is empty, it has no {name}")
    found = argmax_op(x, axes=(at,))
    return reshape(found, kept_shape) if keepdims else found


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
    """Return log Σ eˣ along axes, computed as m + log Σ eˣ⁻ᵐ with m the largest x, so that nothing overflows.

    Where m is ±Inf that is the value, and the elements that are m share the derivative equally, as those of ``max`` do:
    a line of −Inf alone has −Inf, and the derivative 1/n for each of its n elements.
    """
    x = value(x)
    top = max(x, axis, keepdims=True)
    # The largest element is held constant: it cancels, so it carries no derivative. Inf would leave Inf − Inf.
    finite = logic.isfinite(top)
    largest = logic.where(finite, logic.stop_gradient(top), 0)
    total = logic.where(finite, ew.log(sum(ew.exp(x - largest), axis, keepdims=True)) + largest, top)
    return total if keepdims else squeeze(total, axis if axis is not None else tuple(range(x.ndim)))


def log_softmax(x: Any, axis: int = -1) -> Any:
    """Return x − log Σ eˣ along an axis: the logarithm of softmax, exact for large scores.

    A score of −Inf (one that is masked) has the value −Inf and finite derivatives; a line of −Inf alone has NaN.
    """
    x = value(x)
    shifted = x - logic.stop_gradient(max(x, axis, keepdims=True))
    return shifted - ew.log(sum(ew.exp(shifted), axis, keepdims=True))


def softmax(x: Any, axis: int = -1) -> Any:
    """Return eˣ / Σ eˣ along an axis: positive numbers that sum to 1.

    A score of −Inf (one that is masked) has the value and the derivative 0; a line of −Inf alone has NaN.
    """
    x = value(x)
    risen = ew.exp(x - logic.stop_gradient(max(x, axis, keepdims=True)))
    return risen / sum(risen, axis, keepdims=True)
