"""Threefry-2×32 on vectors: the same bits as ``chainrule.ops.random``."""

from __future__ import annotations

from chainrule.execute.native.vector import Value, VectorBuilder

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = 0x1BD11BDA


def encrypt(b: VectorBuilder, key0: Value, key1: Value, word0: Value, word1: Value) -> tuple[Value, Value]:
    """Encrypt two counter words under two key words of the same number of lanes."""

    def number(k: int) -> Value:
        return b.constant(k, word0)

    keys = (key0, key1, b.bitwise_xor(b.bitwise_xor(key0, key1), number(PARITY)))
    x0, x1 = b.add(word0, keys[0]), b.add(word1, keys[1])
    for block in range(5):
        for rotation in ROTATIONS[block % 2]:
            x0 = b.add(x0, x1)
            x1 = b.bitwise_or(b.left_shift(x1, number(rotation)), b.right_shift(x1, number(32 - rotation)))
            x1 = b.bitwise_xor(x1, x0)
        x0 = b.add(x0, keys[(block + 1) % 3])
        x1 = b.add(b.add(x1, keys[(block + 2) % 3]), number(block + 1))
    return x0, x1


def random_bits(b: VectorBuilder, key: list[Value], row: Value, element: Value) -> Value:
    """Return the first word of the encrypted counters; the key is two scalars."""
    words = [_splat(b, word, row) for word in key]
    return encrypt(b, words[0], words[1], row, element)[0]


def _splat(b: VectorBuilder, word: Value, like: Value) -> Value:
    if like.lanes == 1:
        return word
    one = b.f.put(f"insertelement {like.type} poison, i32 {word.name}, i32 0")
    return Value(b.f.put(f"shufflevector {like.type} {one}, {like.type} poison, <{like.lanes} x i32> zeroinitializer"),
                 "u32", like.lanes)  # fmt: skip
