"""Memory for large buffers, in large pages where the system has them.

A product steps through rows that are some kilobytes apart. In pages of 4 kB each of them is on a page of its own, and
the processor looks up more places of pages than it can keep in mind; in pages of 2 MB it keeps them all.
"""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
ALIGN = 64
LARGE = 256 * 1024
"""What is smaller is left to NumPy."""
PAGE = 2 << 20
BLOCK = 32 << 20
"""Address space that is asked for at once; memory is only what is written to."""
APART = 17 * ALIGN
"""Arrays that are read side by side should not begin at the same place of a page."""


class Room:
    """Hands out zeros that begin on a cache line; the arrays keep their memory alive."""

    def __init__(self) -> None:
        self._block = np.zeros(0, np.uint8)
        self._used = 0

    def take(self, size: int) -> Array:
        """Return so many bytes of zeros."""
        if size >= LARGE:
            if self._used + size > len(self._block):
                self._block, self._used = _pages(size), 0
            if len(self._block):
                found: Array = self._block[self._used : self._used + size]
                self._used += -(-size // ALIGN) * ALIGN + APART
                return found
        return zeros(size)


def zeros(size: int) -> Array:
    """Return so many bytes of zeros that begin on a cache line."""
    raw = np.zeros(size + ALIGN, np.uint8)
    begin = -raw.ctypes.data % ALIGN
    return raw[begin : begin + size]


def _pages(size: int) -> Array:
    """Return a block of large pages, or nothing where there are none to be had."""
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        return np.zeros(0, np.uint8)
    try:
        # private: a forked child must not write into its parent's memory
        block = mmap.mmap(-1, max(size, BLOCK) + PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        block.madvise(mmap.MADV_HUGEPAGE)
    except (OSError, ValueError):
        return np.zeros(0, np.uint8)
    whole = np.frombuffer(block, np.uint8)
    begin = -whole.ctypes.data % PAGE
    return whole[begin : begin + max(size, BLOCK)]
