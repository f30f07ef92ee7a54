"""Random numbers as pure functions of an explicit key and counters.

A key is two 32-bit words. ``fold(key, data)`` makes another key for a purpose (a call site, a step);
``random_bits(key, row, element)`` gives 32 bits for each pair of counters. The same key and counters give the same bits
in any tile, thread, machine and resumed run. The generator is Threefry-2×32 with 20 rounds (Salmon, Moraes, Dror, Shaw:
"Parallel random numbers: as easy as 1, 2, 3", SC 2011).
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from chainrule.errors import TypeMismatch
from chainrule.graph import Node, Shape, make_constant
from chainrule.graph.types import DTYPES, Type
from chainrule.ops.build import new_node
from chainrule.ops.logic import cast, right_shift
from chainrule.ops.mathematics import cos, log, sqrt
from chainrule.ops.record import NOT_DIFFERENTIABLE, Op, register
from chainrule.ops.views import broadcast, reshape

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = np.uint32(0x1BD11BDA)
Words = np.ndarray[Any, np.dtype[np.uint32]]


def threefry(key0: Any, key1: Any, word0: Any, word1: Any) -> tuple[Words, Words]:
    """Encrypt two counter words under two key words: Threefry-2×32, 20 rounds."""
    keys = (np.uint32(key0), np.uint32(key1), np.uint32(key0) ^ np.uint32(key1) ^ _PARITY)
    with np.errstate(over="ignore"):
        x0 = np.asarray(word0, np.uint32) + keys[0]
        x1 = np.asarray(word1, np.uint32) + keys[1]
        for block in range(5):
            for rotation in _ROTATIONS[block % 2]:
                x0 = x0 + x1
                x1 = (x1 << np.uint32(rotation)) | (x1 >> np.uint32(32 - rotation))
                x1 = x1 ^ x0
            x0 = x0 + keys[(block + 1) % 3]
            x1 = x1 + keys[(block + 2) % 3] + np.uint32(block + 1)
    return x0, x1


def _require_key(name: str, kind: Type) -> None:
    if kind != Type("u32", (2,)):
        raise TypeMismatch(f"{name}: key is {kind}; a key is u32[2], for instance cr.key(0)")


def _fold_type(types: tuple[Type, ...], attributes: Mapping[str, Any]) -> Type:
    key, data = types
    _require_key("fold", key)
    if data != Type("u32", ()):
        raise TypeMismatch(f"fold: data is {data}; it must be one number of u32[]")
    return key


fold = register(
    Op(
        name="fold",
        kind="random",
        operands=("key", "data"),
        evaluate=lambda key, data: np.stack(threefry(key[0], key[1], data, np.uint32(0xF01D))),
        typing=_fold_type,
        pullback={"key": NOT_DIFFERENTIABLE, "data": NOT_DIFFERENTIABLE},
        latex=r"\operatorname{{fold}}({key}, {data})",
        because="random bits have no derivative",
        accepts="integer",
    )
)


def _bits_type(types: tuple[Type, ...], attributes: Mapping[str, Any]) -> Type:
    key, row, element = types
    _require_key("random_bits", key)
    if row.dtype != "u32" or element.dtype != "u32" or row.shape != element.shape:
        raise TypeMismatch(f"random_bits: row is {row}, element is {element}; both must be u32 and of one shape")
    return row


random_bits = register(
    Op(
        name="random_bits",
        kind="random",
        operands=("key", "row", "element"),
        evaluate=lambda key, row, element: threefry(key[0], key[1], row, element)[0],
        typing=_bits_type,
        pullback={"key": NOT_DIFFERENTIABLE, "row": NOT_DIFFERENTIABLE, "element": NOT_DIFFERENTIABLE},
        latex=r"\operatorname{{bits}}({key}; {row}, {element})",
        because="random bits have no derivative",
        accepts="integer",
    )
)


def _iota_type(types: tuple[Type, ...], attributes: Mapping[str, Any]) -> Type:
    shape, axis = attributes["shape"], attributes["axis"]
    if not 0 <= axis < len(shape):
        raise TypeMismatch(f"iota: the shape {shape} has no axis {axis}")
    return Type(attributes["dtype"], shape)


def _iota(shape: tuple[int, ...], axis: int, dtype: str) -> Any:
    line = np.arange(shape[axis], dtype=DTYPES[dtype])
    return np.broadcast_to(line.reshape([-1 if a == axis else 1 for a in range(len(shape))]), shape)


iota = register(
    Op(
        name="iota",
        kind="source",
        operands=(),
        evaluate=_iota,
        typing=_iota_type,
        pullback={},
        attributes=("shape", "axis", "dtype"),
        latex=r"\operatorname{{iota}}",
        because="a counter does not depend on anything",
        accepts="integer",
    )
)


def key(seed: int) -> Words:
    """Return the key of a seed (any integer from 0 to 2⁶⁴ − 1).

    >>> key(7)
    array([0, 7], dtype=uint32)
    """
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or not 0 <= seed < 2**64:
        raise TypeMismatch(f"a seed is an integer from 0 to 2**64 - 1, not {seed!r}")
    return np.array([int(seed) >> 32, int(seed) & 0xFFFFFFFF], np.uint32)


def stream(name: str) -> np.uint32:
    """Return the number of a call site, from its name: two layers of different names never share random numbers."""
    return np.uint32(zlib.crc32(name.encode("utf-8")))


def counters(shape: Shape, rows: Any = None) -> tuple[Any, Any]:
    """Return ``(row, element)`` counters of a shape: the position along axis 0, and the place within the row.

    ``rows`` gives the positions in the whole batch; without it they count from 0.
    """
    inner = [d for d in shape[1:] if isinstance(d, int)]
    if len(inner) != len(shape[1:]):
        raise TypeMismatch("random numbers are drawn row by row: only the first axis can be n")
    if not shape:
        return np.uint32(0), np.uint32(0)
    line = np.arange(int(np.prod(inner, dtype=np.int64)), dtype=np.uint32).reshape((1, *inner))
    if rows is None and isinstance(shape[0], int):
        rows = np.arange(shape[0], dtype=np.uint32)
    elif rows is None:
        rows = new_node(iota, (), {"shape": (shape[0],), "axis": 0, "dtype": "u32"})
    if not isinstance(rows, Node):
        column = np.asarray(rows, np.uint32).reshape(-1, *(1,) * len(inner))
        row, element = np.broadcast_arrays(column, line)
        return row.copy(), element.copy()
    row = broadcast(reshape(rows, shape=(shape[0], *(1,) * len(inner))), shape=shape)
    return row, broadcast(make_constant(line), shape=shape)


def uniform(key: Any, shape: Shape, dtype: str = "f64", rows: Any = None) -> Any:
    """Draw numbers uniform on [0, 1): ``bits / 2²⁴`` from 24 random bits, the same numbers in f32 and f64."""
    row, element = counters(shape, rows)
    bits = right_shift(random_bits(key, row, element), np.uint32(8))
    return cast(bits, dtype=dtype) * (1.0 / 2**24)


def normal(key: Any, shape: Shape, dtype: str = "f64") -> Any:
    """Draw standard normal numbers, by the Box–Muller transform of two uniform streams of the key."""
    radius = 1.0 - uniform(fold(key, np.uint32(1)), shape, dtype)  # in (0, 1], so that the logarithm is finite
    angle = uniform(fold(key, np.uint32(2)), shape, dtype)
    return sqrt(-2.0 * log(radius)) * cos((2 * np.pi) * angle)
