"""Random numbers for row orders, made by the same generator as in NumPy, at the speed of machine code."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from chainrule.execute.native import link
from chainrule.execute.native.emit import Function, Module
from chainrule.execute.native.threefry import random_bits
from chainrule.execute.native.vector import Value, VectorBuilder

Array = np.ndarray[Any, Any]
LANES = 8
_WORDS = ctypes.CFUNCTYPE(None, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_int64, ctypes.c_void_p)


def text() -> str:
    """Return ``words(key0, key1, count, to)``: for each row, 32 random bits above the row's number, as u64."""
    module = Module()
    f = Function(module, "define void @words(i32 %key0, i32 %key1, i64 %count, ptr %to)")
    builder = VectorBuilder(f)
    numbers = ", ".join(f"i32 {i}" for i in range(LANES))
    with f.loop("0", "%count", LANES) as index:
        small = f.put(f"trunc i64 {index} to i32")
        one = f.put(f"insertelement <{LANES} x i32> poison, i32 {small}, i32 0")
        every = f.put(f"shufflevector <{LANES} x i32> {one}, <{LANES} x i32> poison, <{LANES} x i32> zeroinitializer")
        rows = Value(f.put(f"add <{LANES} x i32> {every}, <{numbers}>"), "u32", LANES)
        key = [Value("%key0", "u32", 1), Value("%key1", "u32", 1)]
        bits = random_bits(builder, key, rows, builder.constant(0, rows))
        high = f.put(f"zext {bits.type} {bits.name} to <{LANES} x i64>")
        shifted = f.put(f"shl <{LANES} x i64> {high}, splat (i64 32)")
        low = f.put(f"zext {rows.type} {rows.name} to <{LANES} x i64>")
        word = f.put(f"or <{LANES} x i64> {shifted}, {low}")
        at = f.put(f"getelementptr inbounds i64, ptr %to, i64 {index}")
        f.do(f"store <{LANES} x i64> {word}, ptr {at}, align 8")
    f.finish()
    return module.text()


def random_words(key0: Array, key1: Array, count: int) -> Array:
    """Return one random number for each row under each key, above the row's number: [keys, rows]."""
    call = _WORDS(link.address("words"))
    padded = -(-count // LANES) * LANES
    to = np.empty((len(key0), padded), np.uint64)
    place = to.ctypes.data
    for first, second in zip(key0.tolist(), key1.tolist(), strict=True):
        call(first, second, count, place)
        place += 8 * padded
    return to[:, :count]
