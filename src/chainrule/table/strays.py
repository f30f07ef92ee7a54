"""Columns that are numbers but for a few cells: one `oops` must not turn a quantity into hundreds of categories."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from chainrule.errors import TableError
from chainrule.table.csv_types import CODE, NUMBER_PATTERNS, without_missing
from chainrule.table.say import count, listing

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

SHARE = 0.9  # of the present cells that must be numbers
MOST_CODES = 10  # different numbers that may still be the codes of a category
LETTERED = r"^[A-Za-z]{1,3}[-. ]?[0-9]"  # V57 or B12: codes, some of which are written with digits alone


@dataclass(frozen=True)
class Strays:
    """The cells of a column of numbers that are none.

    Attributes:
        numbers: how many cells are numbers.
        present: how many cells are not missing.
        rows: the table's 0-based rows of the others.
        cells: the texts in these rows.
    """

    numbers: int
    present: int
    rows: NDArray[np.int64]
    cells: tuple[str, ...]

    def __str__(self) -> str:
        """Return what was found and where."""
        shown = [f"row {row + 1} holds {cell!r}" for row, cell in zip(self.rows, self.cells, strict=True)]
        are = f"{self.numbers:,} of {count(self.present, 'cell')} are numbers"
        return f"{are}, but {listing(shown, 5)} (data rows, the header not counted)"

    @property
    def remedy(self) -> str:
        """What to do about these cells."""
        return (
            "Correct the cell, or leave it empty if it is not known"
            if len(self.rows) == 1
            else "Correct these cells, or leave them empty if they are not known"
        )


def strays(column: pl.Series) -> Strays | None:
    """Return the cells that keep a column of texts from being numbers, or None if it has none or is really text.

    At least 90 % of the present cells must be numbers written in one way, more than ten of them different. Declared
    categories, numbers with leading zeros, and codes such as V57 are texts.

    Example:
        >>> import polars as pl
        >>> print(strays(pl.Series("x", [*map(str, range(11)), "oops"])))
        11 of 12 cells are numbers, but row 12 holds 'oops' (data rows, the header not counted)
    """
    import polars as pl

    if column.dtype != pl.String:
        return None
    cells = without_missing(column).alias("cell")
    texts, times = cells.drop_nulls().value_counts(sort=True)
    if len(texts) <= MOST_CODES:
        return None
    masks = (texts.str.contains(pattern) for pattern in NUMBER_PATTERNS)
    reads = max(masks, key=lambda mask: int((times * mask).sum()))  # the first of equals
    numbers, present = int((times * reads).sum()), int(times.sum())
    if (
        not SHARE * present <= numbers < present
        or reads.sum() <= MOST_CODES
        or texts.filter(reads).str.contains(CODE).any()
    ):
        return None
    odd = texts.filter(~reads)
    if odd.str.contains(LETTERED).all():
        return None
    rows = np.flatnonzero(cells.is_in(odd.implode()).fill_null(False).to_numpy())
    return Strays(numbers, present, rows, tuple(cells.gather(rows).to_list()))


def refuse_strays(column: pl.Series, source: str) -> None:
    """Raise if a column is numbers but for a few cells."""
    found = strays(column)
    if found is not None:
        raise TableError(f"{source}: column {column.name!r}: {found}. {found.remedy}, or ignore the column.")
