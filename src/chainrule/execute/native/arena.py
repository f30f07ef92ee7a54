"""Buffers for a call: temporaries laid out in one arena, aligned, and the table of every slot's address."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.execute.native.layout import ITEM_BYTES, Slot
from chainrule.graph.types import DTYPES

Array = np.ndarray[Any, Any]
ALIGN = 64


class Buffers:
    """The memory of one call at a time: an arena for up to so many rows, and a table of addresses."""

    def __init__(self, slots: Sequence[Slot], rows: int) -> None:
        self.slots = slots
        self.rows = rows
        self.table = np.zeros(len(slots), np.uint64)
        self.address = int(self.table.ctypes.data)
        self._held: dict[int, Array] = {}
        own = [s for s in slots if s.purpose == "temporary"]
        sizes = {s.index: -(-s.size.at(rows) * ITEM_BYTES[s.dtype] // ALIGN) * ALIGN + ALIGN for s in own}
        self._arena = np.empty(sum(sizes.values()) + ALIGN, np.uint8)
        place = -(-self._arena.ctypes.data // ALIGN) * ALIGN
        for slot in own:
            self.table[slot.index] = place
            place += sizes[slot.index]
        for slot in slots:
            if slot.purpose == "constant":
                self.hold(slot, np.asarray(slot.source, order="C"))

    def hold(self, slot: Slot, array: Array) -> None:
        """Let a slot be an array, which is kept alive."""
        self._held[slot.index] = array
        self.table[slot.index] = array.ctypes.data

    def allocate(self, slot: Slot) -> Array:
        """Give a slot an array of its own, and return it."""
        array = np.zeros(slot.size.at(self.rows), DTYPES[slot.dtype])
        self.hold(slot, array)
        return array
