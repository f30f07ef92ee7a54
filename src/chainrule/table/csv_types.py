"""The type of a column of strings, decided from the whole column."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

# A cell that is one of these, once its spaces are stripped, is missing.
MISSING = ("", "NA", "N/A", "n/a", "<NA>", "NaN", "nan", "null", "NULL", "None", "?")

INTEGER = r"^[+-]?[0-9]+$"
FLOAT = r"^[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|(?i:inf|infinity))$"
DECIMAL_COMMA = r"^[+-]?(?:[0-9]+,?[0-9]*|,[0-9]+)(?:[eE][+-]?[0-9]+)?$"
CODE = r"^[+-]?0[0-9]+$"  # 007 and 01234 are names written with digits: as numbers they would lose their zeros


def without_missing(column: pl.Series) -> pl.Series:
    """Return a string column with its spaces stripped and every spelling of a missing cell as null."""
    import polars as pl

    stripped = column.str.strip_chars()
    return stripped.to_frame("x").select(pl.when(~pl.col("x").is_in(MISSING)).then("x"))["x"].alias(column.name)


def typed(column: pl.Series, *, decimal_comma: bool) -> pl.Series:
    """Return a string column as integers, floats, booleans (true, false) or, where not every cell fits, as it is.

    A column without any value becomes one of polars' type Null. Cells such as `007` keep their zeros: they are texts.

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
    return column
