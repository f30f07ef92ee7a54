"""Setting: a number that training may change, and the range that it has to stay in.

A layer, a schedule, an optimizer or a penalty gives its ``settings()`` as such numbers. What is put in their place
later (``settings=`` of ``fit``, ``training.change``) is then held to what the constructor would have taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite
from numbers import Real
from typing import Any


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``; either end may be left out."""

    low: float = -inf
    high: float = inf
    without_low: bool = False
    without_high: bool = False

    def __contains__(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, Real) or not isfinite(value):
            return False
        value = float(value)
        above = value > self.low if self.without_low else value >= self.low
        return above and (value < self.high if self.without_high else value <= self.high)

    def __str__(self) -> str:
        ends = []
        if isfinite(self.low):
            ends.append(f"{'greater than' if self.without_low else 'of at least'} {self.low:g}")
        if isfinite(self.high):
            ends.append(f"{'less than' if self.without_high else 'at most'} {self.high:g}")
        return " ".join(["a finite number" if not ends else "a number", " and ".join(ends)]).strip()


ANY = Range()
POSITIVE = Range(0.0, without_low=True)
NOT_NEGATIVE = Range(0.0)
AT_LEAST_ONE = Range(1.0)
FRACTION = Range(0.0, 1.0, without_high=True)
WITHIN_ONE = Range(0.0, 1.0, without_low=True, without_high=True)
SHARE = Range(0.0, 1.0, without_low=True)


class Setting(float):
    """A number with the range that every other number in its place has to be in.

    >>> Setting(0.5, FRACTION), 1.5 in Setting(0.5, FRACTION).within, str(FRACTION)
    (0.5, False, 'a number of at least 0 and less than 1')
    """

    within: Range

    def __new__(cls, value: Any, within: Range) -> Setting:
        made = super().__new__(cls, value)
        made.within = within
        return made

    def __getnewargs__(self) -> tuple[float, Range]:  # type: ignore[override]  # what __new__ takes, for a copy
        return float(self), self.within


def range_of(value: float) -> Range:
    """Return the range that a number's place has; any finite number where it says nothing."""
    return value.within if isinstance(value, Setting) else ANY
