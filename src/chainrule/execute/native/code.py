"""What a compiler leaves behind: slots, and lists of calls to kernels. Data only, so that it can be stored."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from chainrule.execute.native.layout import Extent, Slot
from chainrule.graph.types import DTYPES

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Call:
    """One stage: a kernel, its arguments, and the length of its outermost loop; ``cost`` estimates it in nanoseconds.

    It is run only where the number of rows is at least ``rows_from`` and, if ``rows_below`` is not 0, less than that.
    The loop's length is ``extent`` divided by ``per``, rounded up; where ``divisible``, threads may share it out.
    ``touched`` are the slots that it reads or writes.
    """

    kernel: str
    arguments: tuple[Extent, ...]
    extent: Extent
    per: int
    divisible: bool
    cost: tuple[float, Extent]
    touched: tuple[int, ...]
    rows_from: int = 0
    rows_below: int = 0
    routines: tuple[tuple[int, str, str], ...] = ()
    """Which arguments are addresses of a library's routines, known only at run time: (place, operation, dtype)."""


_ALIGN = 8
"""Stored numbers begin at multiples of so many bytes: constants are read where they lie."""
_EXTENT = 4  # numbers
_COLUMNS = {
    "arguments": 1, "touched": 1, "extent": _EXTENT, "per": 1, "divisible": 1, "cost_of": _EXTENT, "rows_from": 1,
    "rows_below": 1,
}  # fmt: skip
_ENDS = dict(zip(_COLUMNS, np.cumsum(list(_COLUMNS.values())).tolist(), strict=True))
_WIDTH = sum(_COLUMNS.values())


@dataclass(frozen=True, eq=False)
class Calls:
    """A section's calls as tables of numbers: what is read back without making an object for every number.

    A row of ``rows`` is a call: how many arguments and touched slots it has, and its other numbers. ``arguments`` and
    ``touched`` are those of all calls, one after another. ``routines`` counts its places from the first call's first.
    """

    kernels: Sequence[str]
    rows: Array
    costs: Array
    arguments: Array
    touched: Array
    routines: Sequence[tuple[int, str, str]]

    @classmethod
    def of(cls, calls: Sequence[Call]) -> Calls:
        """Return calls as tables."""
        routines, begin = [], 0
        for call in calls:
            routines += [(begin + place, op, dtype) for place, op, dtype in call.routines]
            begin += len(call.arguments)
        rows = [
            (len(c.arguments), len(c.touched), *_flat(c.extent), c.per, c.divisible, *_flat(c.cost[1]), c.rows_from,
             c.rows_below)
            for c in calls
        ]  # fmt: skip
        return cls(
            [c.kernel for c in calls],
            np.array(rows, np.int64).reshape(-1, _WIDTH),
            np.array([c.cost[0] for c in calls], np.float64),
            np.array([_flat(a) for c in calls for a in c.arguments], np.int64).reshape(-1, _EXTENT),
            np.array([slot for c in calls for slot in c.touched], np.int64),
            routines,
        )

    def __len__(self) -> int:
        return len(self.kernels)

    def column(self, name: str) -> Array:
        """Return one number of every call, or the four of an extent."""
        end, width = _ENDS[name], _COLUMNS[name]
        column: Array = self.rows[:, end - 1] if width == 1 else self.rows[:, end - width : end]
        return column

    @cached_property
    def starts(self) -> Array:
        """Where the arguments of each call begin, and where the last ones end."""
        return np.concatenate([[0], np.cumsum(self.column("arguments"))])

    def touching(self) -> Iterator[tuple[int, int]]:
        """Yield each call's number with each slot that it touches."""
        numbers = np.repeat(np.arange(len(self)), self.column("touched"))
        return zip(numbers.tolist(), self.touched.tolist(), strict=True)

    def each(self) -> list[Call]:
        """Return the calls as they were written."""
        starts = self.starts.tolist()
        touched: list[list[int]] = [[] for _ in self.kernels]
        for call, slot in self.touching():
            touched[call].append(slot)
        found = []
        for i, kernel in enumerate(self.kernels):
            first, last = starts[i], starts[i + 1]
            row = {name: self.column(name)[i].tolist() for name in _COLUMNS}
            found.append(Call(
                kernel, tuple(Extent(*a) for a in self.arguments[first:last].tolist()), Extent(*row["extent"]),
                row["per"], bool(row["divisible"]), (float(self.costs[i]), Extent(*row["cost_of"])),
                tuple(touched[i]), row["rows_from"], row["rows_below"],
                tuple((place - first, op, dtype) for place, op, dtype in self.routines if first <= place < last),
            ))  # fmt: skip
        return found

    def parts(self) -> list[Array]:
        """Return all numbers, in the order in which ``of_parts`` takes them."""
        return [self.rows, self.costs.view(np.int64), self.arguments, self.touched]

    @classmethod
    def of_parts(cls, kernels: Sequence[str], routines: Sequence[Any], lengths: Sequence[int], numbers: Array) -> Calls:
        """Return calls from their numbers, one after another; raise ValueError where they do not fit together."""
        rows, costs, arguments, touched = np.split(numbers, np.cumsum(lengths)[:-1])
        result = cls(
            kernels, rows.reshape(-1, _WIDTH), costs.view(np.float64), arguments.reshape(-1, _EXTENT), touched,
            [(place, op, dtype) for place, op, dtype in routines],
        )  # fmt: skip
        sums = int(result.column("arguments").sum()), int(result.column("touched").sum())
        if not len(result.rows) == len(costs) == len(kernels) or sums != (len(result.arguments), len(touched)):
            raise ValueError("tables of calls that do not fit together")
        return result


@dataclass(frozen=True, eq=False)
class Code:
    """Slots, calls by section, and the text of every kernel that they call (none, where the code was stored)."""

    slots: Sequence[Slot]
    sections: Mapping[str, Sequence[Call] | Calls]
    units: Mapping[str, str]

    @cached_property
    def tables(self) -> dict[str, Calls]:
        """The sections as tables."""
        return {name: c if isinstance(c, Calls) else Calls.of(c) for name, c in self.sections.items()}

    @property
    def kernels(self) -> list[str]:
        """Return the names of all kernels that are called."""
        return sorted({kernel for calls in self.tables.values() for kernel in calls.kernels})

    def constant_bytes(self) -> int:
        """Return the size of all constants together."""
        return sum(s.source.nbytes for s in self.slots if s.purpose == "constant")

    def to_bytes(self, more: Any = None) -> bytes:
        """Return slots, calls and anything else that JSON can write, as bytes."""
        constants = [np.ascontiguousarray(s.source).tobytes() if s.purpose == "constant" else b"" for s in self.slots]
        slots = [(s.purpose, s.dtype, _flat(s.size), len(c)) for s, c in zip(self.slots, constants, strict=True)]
        sections = [
            (name, calls.kernels, calls.routines, [part.size for part in calls.parts()])
            for name, calls in self.tables.items()
        ]
        numbers = [np.ascontiguousarray(part).tobytes() for calls in self.tables.values() for part in calls.parts()]
        head = _padded(json.dumps([slots, sections, more], separators=(",", ":")).encode(), b" ")
        return b"".join([len(head).to_bytes(8, "little"), head, *numbers, *(_padded(c, b"\0") for c in constants)])


def code_of_bytes(data: bytes) -> tuple[Code, Any]:
    """Return code and what was stored with it; raise ValueError, TypeError or KeyError for what is no code."""
    start = 8 + int.from_bytes(data[:8], "little")
    listed, sections, more = json.loads(data[8:start])
    calls = {}
    for name, kernels, routines, lengths in sections:
        numbers = np.frombuffer(data, np.int64, sum(lengths), start)
        calls[name] = Calls.of_parts(kernels, routines, lengths, numbers)
        start += numbers.nbytes
    slots = []
    for i, (purpose, dtype, size, length) in enumerate(listed):
        source = None
        if purpose == "constant":
            source = np.frombuffer(data, np.uint8, length, start).view(DTYPES[dtype])
            start += length + -length % _ALIGN
        slots.append(Slot(i, purpose, dtype, Extent(*size), source))
    return Code(slots, calls, {}), more


def _padded(data: bytes, fill: bytes) -> bytes:
    return data + fill * (-len(data) % _ALIGN)


def _flat(extent: Extent) -> tuple[int, int, int, int]:
    return extent.fixed, extent.rows, extent.square, extent.start
