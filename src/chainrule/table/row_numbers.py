"""Columns that only number the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

UNNAMED = "column 1"  # what `read_table` calls a first column without a name, which pandas writes for the index


def counts_rows(column: pl.Series, fewest: int = 10) -> bool:
    """Return whether a column holds 0, …, n − 1 or 1, …, n in any order.

    Args:
        column: the column.
        fewest: rows that it must have; in a short table such numbers are often chance.
    """
    n = len(column)
    if not column.dtype.is_integer() or column.null_count() or n < fewest:
        return False
    first = column.min()
    return first in (0, 1) and column.n_unique() == n and column.max() == n - 1 + int(str(first))


def row_number(column: pl.Series) -> str | None:
    """Return why the unnamed first column of a file is left out, or None; a column with a name of its own stays.

    Example:
        >>> import polars as pl
        >>> row_number(pl.Series("column 1", [0, 1, 2])), row_number(pl.Series("day", [0, 1, 2]))
        ('counts the rows', None)
    """
    return "counts the rows" if column.name == UNNAMED and counts_rows(column, fewest=2) else None
