"""The type of a column of strings, decided from the whole column."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

# A cell that is one of these, once its spaces are stripped, is missing.
MISSING = ("", "NA", "N/A", "n/a", "<NA>", "NaN", "nan", "null", "NULL", "None", "?")

INTEGER = r"^[+-]?[0-9]+$"
FLOAT = r"^[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|(?i:inf|infinity))$"
DECIMAL_COMMA = r"^[+-]?(?:[0-9]+,?[0-9]*|,[0-9]+)(?:[eE][+-]?[0-9]+)?$"
# Thousands commas: in whole numbers, or in numbers that all have a point. A column that mixes these is left alone:
# among 1.5 and 2.25 a cell 1,769 may be the 1.769 of another country.
GROUPED = r"^[+-]?(?:0|[1-9][0-9]{0,2}(?:,[0-9]{3})*)$"
GROUPED_POINT = r"^[+-]?(?:0|[1-9][0-9]{0,2}(?:,[0-9]{3})*)\.[0-9]+$"
# Beside a currency or percent sign, commas may stand in some cells only.
SIGNED_NUMBER = r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?"
SIGNED_DECIMAL_COMMA = r"(?:[0-9]{1,3}(?:\.[0-9]{3})+|[0-9]+)(?:,[0-9]+)?"
BEFORE = r"^(?:[+-]?[$€£¥₹] ?|[$€£¥₹] ?[+-])"
AFTER = r"[ \u00a0]?[€$£¥₹%]$"
# Every way to write a column of numbers, the plain one first.
NUMBER_PATTERNS = (
    FLOAT,
    GROUPED,
    GROUPED_POINT,
    DECIMAL_COMMA,
    BEFORE + SIGNED_NUMBER + "$",
    "^[+-]?" + SIGNED_NUMBER + AFTER,
    "^[+-]?" + SIGNED_DECIMAL_COMMA + AFTER,
)
DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"
TIME = r"[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?"
ZONE = r"(?:Z|[+-][0-9]{2}:?[0-9]{2})"
CODE = r"^[+-]?0[0-9]+$"  # 007 and 01234 are names written with digits: as numbers they would lose their zeros


def without_missing(column: pl.Series) -> pl.Series:
    """Return a string column with its spaces stripped and every spelling of a missing cell as null."""
    import polars as pl

    stripped = column.str.strip_chars()
    return stripped.to_frame("x").select(pl.when(~pl.col("x").is_in(MISSING)).then("x"))["x"].alias(column.name)


def typed(column: pl.Series, *, decimal_comma: bool) -> pl.Series:
    """Return a string column as integers, floats, booleans, dates or, where not every cell fits, as it is.

    Numbers may have thousands commas (1,769), or all the same currency or percent sign ($9,067.00; 12 %, which is 12).
    Dates are 2024-05-31 or 2024-05-31T12:30; those with a time zone become UTC. A column without any value becomes one
    of polars' type Null. Cells such as `007` keep their zeros: they are texts.

    Example:
        >>> import polars as pl
        >>> typed(pl.Series("x", ["1", "NA", " 2.5"]), decimal_comma=False).to_list()
        [1.0, None, 2.5]
    """
    import polars as pl

    column = without_missing(column)
    values = column.drop_nulls()
    if len(values) == 0:
        return column.cast(pl.Null)

    def every(pattern: str, cells: pl.Series = values) -> bool:
        # the first cell usually decides; a mostly textual column is not scanned by every pattern
        return bool(cells.head(1).str.contains(pattern).all()) and bool(cells.str.contains(pattern).all())

    if every(r"^(?i:true|false)$"):
        return (column.str.to_lowercase() == "true").alias(column.name)
    if every(FLOAT):
        if values.str.contains(CODE).any():
            return column
        if every(INTEGER):
            integers = column.cast(pl.Int64, strict=False)
            if integers.null_count() == column.null_count():
                return integers
        return column.cast(pl.Float64)
    if decimal_comma and every(DECIMAL_COMMA) and not values.str.contains(CODE).any():
        return column.str.replace(",", ".", literal=True).cast(pl.Float64)
    if every(GROUPED) or every(GROUPED_POINT):
        return typed(column.str.replace_all(",", "", literal=True), decimal_comma=False)
    numbers = _without_sign(column, values, decimal_comma=decimal_comma)
    if numbers is not None:
        return numbers
    if every(DATE):
        return _dates(column, values)
    return column


def _without_sign(column: pl.Series, values: pl.Series, *, decimal_comma: bool) -> pl.Series | None:
    """Return numbers that all have one currency or percent sign; None if they have not, or can be read in two ways.

    With the sign before it a number is written as in English; with the sign after it, as in the rest of the file.
    """
    import polars as pl

    first = values.head(1)  # it decides for most columns of texts
    if not first.str.contains(r"[$€£¥₹%]").all() or values.str.extract(r"([$€£¥₹%])").n_unique() > 1:
        return None
    if values.str.contains(BEFORE + SIGNED_NUMBER + "$").all():
        bare = column.str.replace(r"[$€£¥₹] ?", "")
    elif values.str.contains(AFTER).all():
        bare = column.str.replace(AFTER, "")
        if decimal_comma and bare.drop_nulls().str.contains("^[+-]?" + SIGNED_DECIMAL_COMMA + "$").all():
            if bare.str.contains(r"\.").any() and not bare.str.contains(",").any():  # 1.769 €
                return None
            bare = bare.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
    else:
        return None
    if not bare.drop_nulls().str.contains("^[+-]?" + SIGNED_NUMBER + "$").all():
        return None
    return bare.str.replace_all(",", "", literal=True).cast(pl.Float64)


def _dates(column: pl.Series, values: pl.Series) -> pl.Series:
    """Return ISO dates or datetimes, or the texts if one cell is neither; times with and without zone are not mixed."""
    import polars as pl

    if values.str.contains(DATE + "$").all():
        days = column.str.to_date("%Y-%m-%d", strict=False)
        return days if days.null_count() == column.null_count() else column
    if not any(values.str.contains(DATE + tail + "$").all() for tail in (f"(?:{TIME})?", TIME + ZONE)):
        return column
    moments = [None if cell is None else iso_moment(cell) for cell in column.to_list()]
    read = pl.Series(column.name, moments, dtype=pl.Datetime("us"))
    return read if read.null_count() == column.null_count() else column


def iso_moment(cell: str) -> datetime.datetime | None:
    """Return a date and time such as 2024-05-31T12:30, in UTC if it has a zone; None if it is none.

    >>> iso_moment("2024-05-31T12:30+02:00"), iso_moment("yesterday")
    (datetime.datetime(2024, 5, 31, 10, 30), None)
    """
    try:
        moment = datetime.datetime.fromisoformat(cell)
        return moment.astimezone(datetime.UTC).replace(tzinfo=None) if moment.tzinfo else moment
    except (ValueError, OverflowError):
        return None
