"""What a person would ask about a column's values: is 'Yes' another answer than 'yes', and is −999 a measurement?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from chainrule.table.cells import as_numbers, kind_of, present

if TYPE_CHECKING:
    import polars as pl

NINES = (99.0, 999.0, 9999.0, 99999.0, 999999.0, 1e30)
CODES = frozenset(NINES) | frozenset(-each for each in NINES)
FAR = 10.0  # ranges of the other values, away from their nearest


def look_alikes(column: pl.Series) -> list[list[str]]:
    """Return the groups of different texts that are equal but for capitals and spaces.

    Example:
        >>> import polars as pl
        >>> look_alikes(pl.Series(["yes", "no", "Yes", "yes "]))
        [['Yes', 'yes', 'yes ']]
    """
    import polars as pl

    if kind_of(column) != "text":
        return []
    groups: dict[str, list[str]] = {}
    for text in sorted(present(column).cast(pl.String).unique().to_list()):
        groups.setdefault("".join(text.casefold().split()), []).append(text)
    return [group for group in groups.values() if len(group) > 1]


def missing_code(column: pl.Series) -> tuple[float, int, float, float] | None:
    """Return a value that may say "missing", how often it occurs, and the range of the others; None if there is none.

    It is ±99, ±999, …, or ±1e30, occurs at least twice, and lies more than ten ranges of the others away from them.

    Example:
        >>> import polars as pl
        >>> missing_code(pl.Series([1.5, 2.0, -999.0, 3.5, -999.0]))
        (-999.0, 2, 1.5, 3.5)
    """
    if kind_of(column) != "number":
        return None
    numbers = as_numbers(column)
    numbers = numbers[np.isfinite(numbers)]
    if len(numbers) == 0:
        return None
    for value in (float(numbers.min()), float(numbers.max())):
        others = numbers[numbers != value]
        times = len(numbers) - len(others)
        if value not in CODES or times < 2 or len(others) == 0:
            continue
        low, high = float(others.min()), float(others.max())
        if 0.0 < FAR * (high - low) < max(low - value, value - high):
            return value, times, low, high
    return None
