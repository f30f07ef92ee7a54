"""The memory of a call: where temporaries lie, the table of every slot's address, and each kernel's arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heappop, heappush
from typing import Any

import numpy as np

from chainrule.execute.native import library, link
from chainrule.execute.native.code import Call, Calls, Code
from chainrule.execute.native.layout import ITEM_BYTES, Slot
from chainrule.execute.native.places import Places
from chainrule.execute.native.room import ALIGN, Room, zeros
from chainrule.graph.types import DTYPES

Array = np.ndarray[Any, Any]
SHARE_FROM = 2_000.0
"""A kernel that is estimated to take so many nanoseconds is shared out among threads."""
PIECE = 100_000.0
"""Each thread gets one piece, or several of about so many nanoseconds: one that was held up then gets fewer."""
MAX_PIECES_PER_THREAD = 8
"""The more pieces, the more often the operands that all pieces need are read."""
TILE_ROWS, LINE = 6, 16
"""Pieces of a product are whole tiles; those of other loops whole cache lines."""


def at(table: Array, n: int, start: int = 0) -> Array:
    """Return the numbers that a table of extents stands for."""
    result: Array = table @ np.array([1, n, n * n, start], np.int64)
    return result


class Section:
    """A list of calls, made ready to be bound to a number of rows."""

    def __init__(self, calls: Calls, slots: Sequence[Slot], addresses: Mapping[str, int]) -> None:
        self._calls = calls
        self.kernels = np.array([addresses[kernel] for kernel in calls.kernels], np.int64)
        self.arguments = calls.arguments
        if calls.routines:
            self.arguments = self.arguments.copy()
            for place, op, dtype in calls.routines:
                self.arguments[place, 0] = library.address(op, dtype)
        self.starts = calls.starts[:-1]
        self.extents = calls.column("extent")
        self.per = calls.column("per")
        self.divisible = calls.column("divisible") != 0
        self.cost_each = calls.costs
        self.cost_of = calls.column("cost_of")
        self.grain = np.array([TILE_ROWS if k.startswith("multiply") else LINE for k in calls.kernels], np.int64)
        self.rows_from = calls.column("rows_from")
        below = calls.column("rows_below")
        self.rows_below = np.where(below == 0, np.iinfo(np.int64).max, below)
        self._bounds: dict[tuple[int, int, int], Bound] = {}
        lives: dict[int, list[int]] = {}
        for i, slot in calls.touching():
            if slots[slot].purpose == "temporary":
                lives.setdefault(slot, []).append(i)
        self.temporaries = sorted(((uses[0], uses[-1], slot) for slot, uses in lives.items()))

    @property
    def calls(self) -> list[Call]:
        """The calls one by one, for those who look at them."""
        return self._calls.each()

    def bind(self, n: int, threads: int = 1, start: int = 0) -> Bound:
        """Return records and arguments for n rows, from row ``start`` of a batch that is measured in tiles."""
        found = self._bounds.get((n, threads, start))
        if found is None:
            if len(self._bounds) >= 32:
                self._bounds.clear()
            found = self._bounds[n, threads, start] = Bound(self, n, threads, start)
        return found

    def place(self, slots: Sequence[Slot], n: int, apart: bool = False) -> tuple[dict[int, int], int]:
        """Return where each temporary begins in an arena for n rows, and the arena's size in bytes.

        A place is used again once its last reader has run; lowest places first, so that the arena stays in the cache.
        With ``apart`` nothing is used twice.
        """
        offsets: dict[int, int] = {}
        places = Places()
        taken: list[tuple[int, int, int]] = []  # a heap: last call that needs it, begin, end
        top = 0
        for first, last, slot in self.temporaries:
            size = (
                max(-(-slots[slot].size.at(n) * ITEM_BYTES[slots[slot].dtype] // ALIGN) * ALIGN, ALIGN) + ALIGN * apart
            )
            while taken and taken[0][0] < first and not apart:
                places.release(*heappop(taken)[1:])
            begin = offsets[slot] = places.take(size)
            heappush(taken, (last, begin, begin + size))
            top = max(top, begin + size)
        return offsets, top


class Bound:
    """A section's records for a number of rows; nothing in it belongs to one caller."""

    def __init__(self, section: Section, n: int, threads: int, start: int) -> None:
        self.arguments = at(section.arguments, n, start)
        extents = at(section.extents, n)
        extents = -(-extents // section.per)
        chosen = (section.rows_from <= n) & (n < section.rows_below)
        chosen &= (extents > 0) | ~section.divisible
        pieces = extents.copy()
        if threads > 1:
            cost = section.cost_each * at(section.cost_of, n)
            shared = section.divisible & (cost >= SHARE_FROM) & (extents > 1)
            count = threads * np.clip(cost / (threads * PIECE), 1, MAX_PIECES_PER_THREAD).astype(np.int64)
            size = -(-extents // count)
            size = np.where(size >= 2 * section.grain, -(-size // section.grain) * section.grain, size)
            pieces = np.where(shared, np.minimum(size, extents), extents)
        self.threads = threads if np.any(pieces < extents) else 1
        address = self.arguments.ctypes.data
        table = np.stack([section.kernels, address + 8 * section.starts, extents, pieces], axis=1)
        self.records = np.ascontiguousarray(table[chosen], np.int64)
        self.count = len(self.records)
        self.address = int(self.records.ctypes.data)


class Linked:
    """Code whose kernels are in memory: sections ready to be bound."""

    def __init__(self, code: Code) -> None:
        self.slots = code.slots
        addresses = link.require(code.kernels, code.units)
        self.sections = {name: Section(calls, code.slots, addresses) for name, calls in code.tables.items()}

    def of(self, purpose: str) -> list[Slot]:
        """Return the slots of a purpose, in order."""
        return [s for s in self.slots if s.purpose == purpose]


class Buffers:
    """The memory of one caller: an arena for up to so many rows a section, and a table of addresses."""

    def __init__(self, linked: Linked, rows: Mapping[str, int], debug: bool = False) -> None:
        self.rows = dict(rows)
        self.table = np.zeros(len(linked.slots), np.int64)
        self.address = int(self.table.ctypes.data)
        self._held: dict[int, Array] = {}
        self.debug = debug
        self.status = np.zeros(1 + len(linked.slots) * debug, np.int64)
        """The status of a call; in a debug build after it the bytes of every slot that was given an array."""
        self.hold(linked.slots[0], self.status)
        places = [linked.sections[name].place(linked.slots, n, debug) for name, n in self.rows.items()]
        self._room = Room()
        self._arena = self._room.take(max((top for _, top in places), default=0) + ALIGN)
        start = self._arena.ctypes.data
        for offsets, _ in places:
            for index, offset in offsets.items():
                self.table[index] = start + offset
        for slot in linked.slots:
            if slot.purpose == "constant":
                self.hold(slot, np.ascontiguousarray(slot.source).reshape(-1))
        if debug:
            self.poison()

    def poison(self) -> None:
        """Fill the arena with NaN: what is read before it was written shows."""
        self._arena[:] = 0xFF

    def hold(self, slot: Slot, array: Array) -> None:
        """Let a slot be an array, which is kept alive."""
        self._held[slot.index] = array
        self.table[slot.index] = array.ctypes.data
        if self.debug:
            self.status[1 + slot.index] = array.nbytes

    def held(self, index: int) -> Array:
        """Return the array that a slot was given."""
        return self._held[index]

    def allocate(self, slot: Slot, n: int) -> Array:
        """Give a slot an array of its own, aligned, and return it."""
        array = self._room.take(slot.size.at(n) * ITEM_BYTES[slot.dtype]).view(DTYPES[slot.dtype])
        self.hold(slot, array)
        return array


def aligned(count: int, dtype: str) -> Array:
    """Return zeros that begin on a cache line."""
    return zeros(count * ITEM_BYTES[dtype]).view(DTYPES[dtype])
