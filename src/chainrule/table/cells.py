"""What a column holds, and its cells read as numbers, truths or texts whatever type they were stored in.

A file read today may store a column otherwise than the training file did: 0/1 instead of true/false, a code that was
text because one row said "B12". Each reader below accepts the spellings that mean the same and names the first cell
that does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from chainrule.errors import TableError
from chainrule.table.csv_types import iso_moment, without_missing
from chainrule.table.frame import number_texts
from chainrule.table.say import at_rows
from chainrule.table.strays import strays

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

Kind = Literal["number", "boolean", "text", "date", "duration", "empty", "other"]

KIND_NAMES: dict[Kind, str] = {
    "number": "numbers",
    "boolean": "true or false",
    "text": "texts",
    "date": "dates",
    "duration": "durations",
    "empty": "no values",
    "other": "lists or records",
}

DAY = {"ms": 86_400e3, "us": 86_400e6, "ns": 86_400e9}  # ticks a day


def kind_of(column: pl.Series) -> Kind:
    """Return what a column holds; "empty" if it has no value at all, "other" for what a network cannot read.

    Example:
        >>> import polars as pl
        >>> kind_of(pl.Series([1.5])), kind_of(pl.Series(["a"])), kind_of(pl.Series([None, float("nan")]))
        ('number', 'text', 'empty')
    """
    import polars as pl

    dtype = column.dtype
    if dtype == pl.Null or column.null_count() == len(column):
        return "empty"
    if dtype.is_numeric():
        return "empty" if dtype.is_float() and bool(column.is_nan().fill_null(True).all()) else "number"
    if dtype == pl.Boolean:
        return "boolean"
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        return "text"
    if dtype in (pl.Date, pl.Datetime):
        return "date"
    if dtype in (pl.Duration, pl.Time):
        return "duration"
    return "other"


def missing(column: pl.Series) -> NDArray[np.bool_]:
    """Return which cells are missing: null or NaN."""
    gone = column.is_null()
    if column.dtype.is_float():
        gone = gone | column.is_nan().fill_null(True)
    return gone.to_numpy()


def present(column: pl.Series) -> pl.Series:
    """Return the cells that are not missing."""
    import polars as pl

    return column.filter(pl.Series(~missing(column), dtype=pl.Boolean))


def as_numbers(column: pl.Series, was: str = "a number", source: str = "the table") -> NDArray[np.float64]:
    """Return the cells as float64, NaN where missing; booleans are 0 and 1.

    Raises:
        TableError: a text that is no number, or a date; naming the first such row and its cell.
    """
    import polars as pl

    kind = kind_of(column)
    if kind == "empty":
        return np.full(len(column), np.nan)
    if kind in ("number", "boolean"):
        return _floats(column)
    if kind != "text":
        raise _changed(column, was, _held(column, kind), source, 0)
    cells = without_missing(column.cast(pl.String))
    numbers = cells.cast(pl.Float64, strict=False)
    odd = strays(column)
    if odd is not None:  # it also knows of $9.50, which should not be named in place of the one wrong cell
        raise _changed(column, was, f"the text {odd.cells[0]!r}", source, int(odd.rows[0]))
    _all_read(column, cells, numbers, was, source)
    return _floats(numbers)


def as_days(column: pl.Series, was: Literal["date", "duration"], source: str) -> NDArray[np.float64]:
    """Return dates (or texts such as 2024-05-31) as days since 1970-01-01, or durations in days; NaN where missing.

    Raises:
        TableError: a cell that is no date; naming the first such row.
    """
    import polars as pl

    kind = kind_of(column)
    if kind == "empty":
        return np.full(len(column), np.nan)
    if kind == was:
        return _days(column)
    if kind == "text" and was == "date":
        cells = without_missing(column.cast(pl.String))
        dates = pl.Series(
            column.name,
            [None if cell is None else iso_moment(cell) for cell in cells.to_list()],
            dtype=pl.Datetime("us"),
        )
        _all_read(column, cells, dates, "a date", source)
        return _days(dates)
    raise _changed(column, f"a {was}", _held(column, kind), source, 0)


def as_truths(column: pl.Series, source: str) -> NDArray[np.float64]:
    """Return the cells as 1 (true) and 0 (false), NaN where missing; 0, 1 and the words true and false are accepted.

    Raises:
        TableError: any other cell; naming the first such row.
    """
    import polars as pl

    kind = kind_of(column)
    if kind in ("boolean", "empty"):
        return as_numbers(column)
    if kind == "number":
        numbers = _floats(column)
        odd = np.flatnonzero(~np.isnan(numbers) & (numbers != 0) & (numbers != 1))
        if len(odd):
            raise _changed(column, "true or false", repr(column[int(odd[0])]), source, int(odd[0]))
        return numbers
    if kind != "text":
        raise _changed(column, "true or false", _held(column, kind), source, 0)
    cells = without_missing(column.cast(pl.String))
    words = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0}
    truths = cells.str.to_lowercase().replace_strict(words, default=None, return_dtype=pl.Float64)
    _all_read(column, cells, truths, "true or false", source)
    return _floats(truths)


def as_texts(column: pl.Series) -> pl.Series:
    """Return the cells as texts, null where missing: 1 and 1.0 are "1", booleans are "true" and "false"."""
    import polars as pl

    kind = kind_of(column)
    if kind == "empty":
        return pl.Series(column.name, [None] * len(column), dtype=pl.String)
    return number_texts(column) if kind == "number" else column.cast(pl.String)


def _held(column: pl.Series, kind: Kind) -> str:
    """Return what a column holds, in words; of Python objects and bytes the type of the first."""
    import polars as pl

    if column.dtype not in (pl.Object, pl.Binary):
        return KIND_NAMES[kind]
    first = next(cell for cell in column.to_list() if cell is not None)
    return f"values of type {type(first).__name__}"


def _floats(column: pl.Series) -> NDArray[np.float64]:
    import polars as pl

    return np.array(column.cast(pl.Float64).to_numpy(), dtype=np.float64)


def _days(column: pl.Series) -> NDArray[np.float64]:
    import polars as pl

    dtype = column.dtype
    ticks = _floats(column.to_physical())
    if isinstance(dtype, (pl.Datetime, pl.Duration)):
        return ticks / DAY[dtype.time_unit or "us"]
    return ticks / DAY["ns"] if dtype == pl.Time else ticks


def _all_read(column: pl.Series, cells: pl.Series, read: pl.Series, was: str, source: str) -> None:
    unread = (read.is_null() & cells.is_not_null()).arg_max()
    if unread is not None and cells[unread] is not None and read[unread] is None:
        raise _changed(column, was, f"the text {cells[unread]!r}", source, unread)


def _changed(column: pl.Series, was: str, now: str, source: str, row: int) -> TableError:
    return TableError(
        f"{source}: column {column.name!r} was {was} in training; now {at_rows([row])} (data rows, the header not "
        f"counted) holds {now}. Correct the cell, or leave it empty if it is not known."
    )
