"""What a compiler leaves behind: slots, and lists of calls to kernels. Data only, so that it can be stored."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.execute.native.layout import Extent, Slot
from chainrule.graph.types import DTYPES


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


@dataclass(frozen=True, eq=False)
class Code:
    """Slots, calls by section, and the text of every kernel that they call (none, where the code was stored)."""

    slots: Sequence[Slot]
    sections: Mapping[str, Sequence[Call]]
    units: Mapping[str, str]

    @property
    def kernels(self) -> list[str]:
        """Return the names of all kernels that are called."""
        return sorted({call.kernel for calls in self.sections.values() for call in calls})

    def constant_bytes(self) -> int:
        """Return the size of all constants together."""
        return sum(s.source.nbytes for s in self.slots if s.purpose == "constant")

    def to_bytes(self, more: Any = None) -> bytes:
        """Return slots, calls and anything else that JSON can write, as bytes."""
        constants = [np.ascontiguousarray(s.source).tobytes() if s.purpose == "constant" else b"" for s in self.slots]
        slots = [(s.purpose, s.dtype, _flat(s.size), len(c)) for s, c in zip(self.slots, constants, strict=True)]
        sections = {
            name: [
                (
                    c.kernel, [_flat(a) for a in c.arguments], _flat(c.extent), c.per, c.divisible, c.cost[0],
                    _flat(c.cost[1]), c.touched, c.rows_from, c.rows_below, c.routines,
                )
                for c in calls
            ]
            for name, calls in self.sections.items()
        }  # fmt: skip
        head = json.dumps([slots, sections, more], separators=(",", ":")).encode()
        return b"".join([len(head).to_bytes(8, "little"), head, *constants])


def code_of_bytes(data: bytes) -> tuple[Code, Any]:
    """Return code and what was stored with it."""
    start = 8 + int.from_bytes(data[:8], "little")
    listed, sections, more = json.loads(data[8:start])
    slots = []
    for i, (purpose, dtype, size, length) in enumerate(listed):
        source = None
        if purpose == "constant":
            source = np.frombuffer(data[start : start + length], DTYPES[dtype])
            start += length
        slots.append(Slot(i, purpose, dtype, Extent(*size), source))
    calls = {
        name: [
            Call(
                kernel, tuple(Extent(*a) for a in arguments), Extent(*extent), per, divisible, (cost, Extent(*of)),
                tuple(touched), rows_from, rows_below, tuple((place, op, dtype) for place, op, dtype in routines),
            )
            for kernel, arguments, extent, per, divisible, cost, of, touched, rows_from, rows_below, routines in stored
        ]
        for name, stored in sections.items()
    }  # fmt: skip
    return Code(slots, calls, {}), more


def _flat(extent: Extent) -> tuple[int, int, int, int]:
    return extent.fixed, extent.rows, extent.square, extent.start
