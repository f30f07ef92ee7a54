"""The order of rows: a function of a key and an epoch, so that any epoch of any run can be made again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from chainrule.ops.random import threefry

Array = np.ndarray[Any, Any]
Words = Callable[[Array, Array, int], Array]
"""From the keys of some epochs (two columns of u32) and a number of rows: random bits · 2³² + row, as u64."""


@dataclass(frozen=True, eq=False)
class RowOrder:
    """The rows of each epoch in their order: at random by a key, or, without one, as they are."""

    count: int
    key: Array | None = None

    def __call__(self, epoch: int) -> Array:
        """Return the rows of an epoch in their order."""
        if self.key is None:
            return np.arange(self.count)
        return _order(self.key.tobytes(), epoch, self.count)

    def several(self, first: int, epochs: int, words: Words | None = None) -> Array:
        """Return the orders of some epochs, one after another: [epochs, rows]."""
        if self.key is None:
            return np.broadcast_to(np.arange(self.count), (epochs, self.count))
        return row_orders(self.key, first, epochs, self.count, words)


@lru_cache(maxsize=2)  # an epoch is gone through in many slices
def _order(key: bytes, epoch: int, count: int) -> Array:
    order: Array = row_orders(np.frombuffer(key, np.uint32), epoch, 1, count)[0]
    order.flags.writeable = False
    return order


def row_orders(key: Array, first: int, epochs: int, count: int, words: Words | None = None) -> Array:
    """Return the rows of epochs ``first``, … in random order: the sorting order of one random number a row.

    The key of an epoch is ``fold(key, epoch)``. Equal numbers (rare) stay in the order of their rows.

    >>> from chainrule import ops
    >>> row_orders(ops.key(0), 3, 2, 5).shape
    (2, 5)
    """
    number = np.arange(first, first + epochs, dtype=np.uint32)
    keys = threefry(key[0], key[1], number, np.uint32(0xF01D))
    drawn: Array = (words or random_words)(keys[0], keys[1], count)
    drawn.sort(axis=1)
    drawn &= np.uint64(0xFFFFFFFF)
    return drawn.view(np.int64)


def random_words(key0: Array, key1: Array, count: int) -> Array:
    """Return one random number for each row under each key, above the row's number."""
    rows = np.arange(count, dtype=np.uint32)
    bits = threefry(key0[:, None], key1[:, None], rows, np.uint32(0))[0]
    words: Array = (bits.astype(np.uint64) << np.uint64(32)) | rows
    return words
