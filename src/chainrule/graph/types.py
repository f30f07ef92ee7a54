"""Types of values: a dtype and a shape, printed ``f32[n,4]``.

A dimension is an int, or an int multiple of the one symbol ``n`` (the number of rows), so that one graph serves every
batch, the last partial batch, and prediction on any number of rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from chainrule.errors import TypeMismatch

DTYPES: Mapping[str, np.dtype[Any]] = {
    "f32": np.dtype(np.float32),
    "f64": np.dtype(np.float64),
    "i32": np.dtype(np.int32),
    "i64": np.dtype(np.int64),
    "u32": np.dtype(np.uint32),
    "u64": np.dtype(np.uint64),
    "bool": np.dtype(np.bool_),
}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


@dataclass(frozen=True, slots=True)
class Rows:
    """A symbolic dimension: ``multiple`` times the number of rows ``n``."""

    multiple: int = 1

    def __post_init__(self) -> None:
        if self.multiple < 1:
            raise TypeMismatch(f"a dimension must be a positive multiple of n, not {self.multiple}·n")

    def __str__(self) -> str:
        return "n" if self.multiple == 1 else f"{self.multiple}n"


Dim = int | Rows
Shape = tuple[Dim, ...]
n = Rows(1)


@dataclass(frozen=True, slots=True)
class Type:
    """What is known of a value before it is computed: its dtype name and its shape.

    >>> print(Type("f32", (n, 4)))
    f32[n,4]
    """

    dtype: str
    shape: Shape = ()

    def __str__(self) -> str:
        return f"{self.dtype}[{show_shape(self.shape)}]"

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def is_float(self) -> bool:
        return self.dtype in ("f32", "f64")

    @property
    def is_symbolic(self) -> bool:
        return any(isinstance(d, Rows) for d in self.shape)

    def with_shape(self, shape: Iterable[Dim]) -> Type:
        return Type(self.dtype, tuple(shape))

    def with_dtype(self, dtype: str) -> Type:
        return Type(dtype, self.shape)


def show_shape(shape: Iterable[Dim]) -> str:
    return ",".join(map(str, shape))


def dtype_name(dtype: Any) -> str:
    """Return chainrule's name of a NumPy dtype (``float32`` → ``f32``); raise TypeMismatch for one that graphs lack."""
    if isinstance(dtype, str) and dtype in DTYPES:
        return dtype
    try:
        return _NAMES[np.dtype(dtype)]
    except (KeyError, TypeError):
        raise TypeMismatch(
            f"values of dtype {dtype} cannot be in a graph; convert to one of "
            f"{', '.join(str(d) for d in DTYPES.values())} first, for instance x.astype(np.float64)"
        ) from None


def type_of(array: np.ndarray[Any, Any]) -> Type:
    return Type(dtype_name(array.dtype), array.shape)


def size_of(shape: Shape) -> Dim:
    """Return the number of elements: an int, or a multiple of n (n·n is not expressible and raises)."""
    symbols = [d.multiple for d in shape if isinstance(d, Rows)]
    rest = prod(d for d in shape if isinstance(d, int))
    if len(symbols) > 1:
        raise TypeMismatch(f"the size of [{show_shape(shape)}] is not a multiple of n; keep the two row axes apart")
    return Rows(symbols[0] * rest) if symbols and rest else rest if not symbols else 0


def add_dims(dims: Iterable[Dim]) -> Dim:
    """Return the sum of dimensions (of a concatenation): all ints, or all multiples of n."""
    dims = list(dims)
    if all(isinstance(d, int) for d in dims):
        return sum(d for d in dims if isinstance(d, int))
    if all(isinstance(d, Rows) for d in dims):
        return Rows(sum(d.multiple for d in dims if isinstance(d, Rows)))
    raise TypeMismatch(f"the dimensions {show_shape(dims)} cannot be added: rows (n) and a fixed number do not mix")


def resolve_dim(dim: Dim, rows: int | None) -> int:
    if isinstance(dim, int):
        return dim
    if rows is None:
        raise TypeMismatch("the number of rows n is not known here")
    return dim.multiple * rows


def resolve_shape(shape: Shape, rows: int | None) -> tuple[int, ...]:
    return tuple(resolve_dim(d, rows) for d in shape)


def dim_to_json(dim: Dim) -> int | str:
    return dim if isinstance(dim, int) else str(dim)


def dim_from_json(text: int | str) -> Dim:
    if isinstance(text, bool) or not isinstance(text, int | str):
        raise TypeMismatch(f"{text!r} is not a dimension")
    if isinstance(text, int):
        if text < 0:
            raise TypeMismatch(f"{text} is not a dimension")
        return text
    number, symbol = text[:-1], text[-1:]
    if symbol != "n" or not (number == "" or number.isdigit()):
        raise TypeMismatch(f"{text!r} is not a dimension")
    return Rows(int(number) if number else 1)
