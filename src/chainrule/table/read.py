"""Reading a table from a file."""

from __future__ import annotations

import difflib
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from chainrule.errors import TableError
from chainrule.table.csv_records import checked_text, read_records, sniff_delimiter
from chainrule.table.csv_types import typed
from chainrule.table.row_numbers import UNNAMED
from chainrule.table.say import listing

if TYPE_CHECKING:
    import polars as pl

TEXT_ENDINGS = (".csv", ".tsv", ".txt")
NEAR = 0.75  # the likeness, 0 to 1, of a file's name to one that is suggested in its place


def read_table(path: str | os.PathLike[str]) -> pl.DataFrame:
    """Read a table with a header from a CSV (.csv, .tsv, .txt) or a Parquet file.

    In text files the delimiter (comma, semicolon, tab or bar) is found from the header, spaces around names and cells
    are stripped, and each column is, decided from all of its cells, integer, float, boolean (true, false), date
    (2024-05-31, with or without a time) or text. Numbers may have thousands commas (1,769), or all the same currency or
    percent sign ($9,067.00; 12 %, which is 12). A first column without a name, as pandas writes its index, is named
    "column 1". Cells that are empty, NA, N/A, NaN, null, None or ? are missing. Where the delimiter is a semicolon or a
    tab, a column whose cells all fit may use the decimal comma.

    Args:
        path: the file; UTF-8, with or without byte order mark.

    Returns:
        The table, with null for missing cells.

    Raises:
        TableError: a file that is missing, empty, of another kind, not UTF-8, ragged, without rows, or that has empty
            or equal column names or nested columns; the message names the place and the remedy.

    Example:
        >>> read_table("examples/penguins.csv").shape
        (344, 8)
    """
    path = Path(path)
    data = _bytes_of(path)
    ending = path.suffix.lower()
    frame = _parse_parquet(data, path.name) if ending == ".parquet" else _parse_text(data, path.name, ending)
    if frame.height == 0:
        raise TableError(f"{path.name} has a header but no rows. Give a table with at least one row below the header.")
    return frame


def _bytes_of(path: Path) -> bytes:
    if path.is_dir():
        raise TableError(f"{path} is a folder, not a table. Name a .csv or .parquet file in it.")
    if not path.exists():
        raise TableError(f"There is no file {path}.{_files_nearby(path)}")
    if path.suffix.lower() not in (*TEXT_ENDINGS, ".parquet"):
        ending = f"the ending {path.suffix!r}" if path.suffix else "no ending"
        raise TableError(
            f"{path.name} has {ending}, so its format is unknown. chainrule reads .csv, .tsv, .txt and .parquet: save "
            "or rename it as one of these."
        )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TableError(f"{path} cannot be read: {error.strerror or error}.") from None
    if not data.strip(b"\xef\xbb\xbf \t\r\n"):
        raise TableError(f"{path.name} is empty. Give a table with a header line and at least one row.")
    return data


def _files_nearby(path: Path) -> str:
    folder = path.parent
    try:
        names = [each.name for each in folder.iterdir() if each.suffix.lower() in (*TEXT_ENDINGS, ".parquet")]
    except OSError:
        return f" The folder {folder} does not exist either." if not folder.exists() else ""
    # another ending is likely only where the rest of the name is right
    stems = {Path(name).stem: name for name in names if Path(name).stem.casefold() == path.stem.casefold()}
    stems |= {Path(name).stem: name for name in names if Path(name).suffix.lower() == path.suffix.lower()}
    near = difflib.get_close_matches(path.stem, stems, n=1, cutoff=NEAR)
    return f" Did you mean {stems[near[0]]!r}?" if near else " Check the name and the folder."


def _parse_text(data: bytes, source: str, ending: str) -> pl.DataFrame:
    import polars as pl

    data = checked_text(data, source)
    delimiter = sniff_delimiter(data, ending)
    header, frame = read_records(data, delimiter, source)
    names = checked_names(_first_named([name.strip() for name in header]), source)
    comma = delimiter in (";", "\t")
    return pl.DataFrame([typed(frame[str(i)], decimal_comma=comma).alias(name) for i, name in enumerate(names)])


def _first_named(names: list[str]) -> list[str]:
    """Name the first column if it alone has no name: pandas writes its index so."""
    alone = len(names) > 1 and not names[0] and all(names[1:]) and UNNAMED not in names
    return [UNNAMED, *names[1:]] if alone else names


def checked_names(names: list[str], source: str) -> list[str]:
    """Return the column names if none is empty and no two are equal.

    Raises:
        TableError: naming the columns by number.
    """
    for number, name in enumerate(names, start=1):
        if not name:
            raise TableError(
                f"{source}: column {number} of {len(names)} has an empty name. Give it a name in the header, or remove "
                "the column."
            )
    twice = {
        name: [i + 1 for i, each in enumerate(names) if each == name] for name, n in Counter(names).items() if n > 1
    }
    if twice:
        name, places = next(iter(twice.items()))
        raise TableError(
            f"{source}: columns {listing(places)} are all named {name!r}. Give each column a name of its own."
            if len(places) > 2
            else f"{source}: columns {listing(places)} are both named {name!r}. Give each column a name of its own."
        )
    return names


def _parse_parquet(data: bytes, source: str) -> pl.DataFrame:
    import io

    import polars as pl

    if not data.startswith(b"PAR1"):
        raise TableError(
            f"{source} is not a Parquet file: it does not begin with the bytes PAR1. If it is text, rename it to .csv."
        )
    try:
        frame = pl.read_parquet(io.BytesIO(data))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise TableError(f"{source} is a damaged Parquet file ({reason}). Copy or export it again.") from None
    for name, dtype in frame.schema.items():
        if dtype.is_nested() or dtype in (pl.Binary, pl.Object):
            raise TableError(
                f"{source}: column {name!r} holds {_plain(dtype)} in each cell, which a network cannot read. Remove "
                "it, or spread it over columns of single values."
            )
    checked_names([name.strip() for name in frame.columns], source)
    return frame.rename({name: name.strip() for name in frame.columns})


def _plain(dtype: pl.DataType) -> str:
    import polars as pl

    if dtype.is_nested():
        return "a record" if dtype == pl.Struct else "a list"
    return "raw bytes" if dtype == pl.Binary else "an object"
