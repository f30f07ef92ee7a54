"""Where buffers lie beside each other: the lowest place that is free and large enough."""

from __future__ import annotations

from bisect import bisect_left


class Places:
    """Hands out parts of a line of bytes, the lowest that fits, and takes them back.

    It keeps the gaps between what is taken, not what is taken: of those there are few, however much is held.
    """

    def __init__(self) -> None:
        self._begins: list[int] = []
        self._ends: list[int] = []
        self._top = 0
        """Nothing is taken from here on."""

    def take(self, size: int) -> int:
        """Return where so many bytes begin that are free, and take them."""
        for i, begin in enumerate(self._begins):
            if begin + size <= self._ends[i]:
                self._begins[i] += size
                if self._begins[i] == self._ends[i]:
                    del self._begins[i], self._ends[i]
                return begin
        begin = self._top
        self._top += size
        return begin

    def release(self, begin: int, end: int) -> None:
        """Give back what was taken; gaps that meet become one."""
        i = bisect_left(self._begins, begin)
        if i < len(self._begins) and self._begins[i] == end:
            end = self._ends[i]
            del self._begins[i], self._ends[i]
        if i > 0 and self._ends[i - 1] == begin:
            begin, i = self._begins[i - 1], i - 1
            del self._begins[i], self._ends[i]
        if end == self._top:
            self._top = begin
        else:
            self._begins.insert(i, begin)
            self._ends.insert(i, end)
