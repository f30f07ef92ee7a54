"""A CSV file's bytes to columns of strings: what can be wrong with the bytes is found here, with its line number.

Two readers share one grammar. The fast one counts separators outside quotes with NumPy and lets polars split; it is
used only where every quote opens and closes a whole cell. Any other file goes to Python's `csv` reader, which is
slower, and whose line numbers are the ones that messages report.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import numpy as np

from chainrule.errors import TableError
from chainrule.table.say import count

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

DELIMITERS = ("\t", ";", "|", ",")
DELIMITER_NAMES = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar |"}

# The first bytes of files that are often given the wrong ending.
SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (
        b"PK\x03\x04",
        "an Excel workbook or a zip archive",
        "Save the sheet as CSV, or unpack the archive, and read that.",
    ),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", "Save the sheet as CSV and read that."),
    (b"\x1f\x8b", "gzip-compressed", "Unpack it (gunzip) and read the result."),
    (b"BZh", "bzip2-compressed", "Unpack it (bunzip2) and read the result."),
    (b"\xfd7zXZ\x00", "xz-compressed", "Unpack it (unxz) and read the result."),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed", "Unpack it (unzstd) and read the result."),
    (b"PAR1", "a Parquet file", "Rename it so that it ends in .parquet."),
    (b"%PDF", "a PDF document", "Export the table as CSV and read that."),
    (b"SQLite format 3\x00", "an SQLite database", "Export the table as CSV and read that."),
)
UTF16 = (b"\xff\xfe", b"\xfe\xff")
BOM = b"\xef\xbb\xbf"


def checked_text(data: bytes, source: str) -> bytes:
    """Return the bytes without byte order mark and with `\\n` ends of lines, once they are known to be text.

    Raises:
        TableError: another kind of file, UTF-16, a NUL byte, bytes that are not UTF-8; with the line and the remedy.
    """
    for signature, kind, remedy in SIGNATURES:
        if data.startswith(signature):
            raise TableError(
                f"{source} is not a text table: its first bytes are those of a file that is {kind}. {remedy}"
            )
    if data.startswith(UTF16):
        raise TableError(
            f"{source} is encoded as UTF-16. Save it as UTF-8 (in Excel: 'CSV UTF-8'), or convert it: iconv -f UTF-16 "
            "-t UTF-8 old.csv > new.csv"
        )
    nul = data.find(b"\x00")
    if nul >= 0:
        raise TableError(
            f"{source}, line {_line_of(data, nul)} holds a NUL byte: the file is damaged, is not text, or is UTF-16. "
            "Export it again as CSV in UTF-8."
        )
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise TableError(
            f"{source}, line {_line_of(data, error.start)} holds the byte 0x{data[error.start]:02X}, which is not "
            "UTF-8. Save the file as UTF-8, or convert it, for example: iconv -f WINDOWS-1252 -t UTF-8 old.csv > "
            "new.csv"
        ) from None
    data = data.removeprefix(BOM)
    if b"\n" not in data and b"\r" in data:  # the line ends of an old Macintosh
        data = data.replace(b"\r", b"\n")
    return data


def _line_of(data: bytes, offset: int) -> int:
    return data.count(b"\n", 0, offset) + 1


def sniff_delimiter(data: bytes, ending: str) -> str:
    """Return the delimiter of the header line: the one that the next lines have equally often, else the most frequent.

    Where two fit equally, the comma gives way: it also stands in texts and in decimal numbers.

    >>> sniff_delimiter(b"price (EUR, net);size\\n3,5;2\\n", ".csv")
    ';'
    """
    lines = [line for line in data[:100_000].decode("utf-8", "ignore").splitlines() if line.strip()][:10]
    counts = [[_outside_quotes(line).count(delimiter) for delimiter in DELIMITERS] for line in lines]
    header = counts[0]
    agreeing = [sum(other[i] == number for other in counts) for i, number in enumerate(header)]
    tab_file = [ending == ".tsv" and delimiter == "\t" for delimiter in DELIMITERS]
    score = [(number > 0, tab_file[i], agreeing[i], number) for i, number in enumerate(header)]
    best = max(range(len(DELIMITERS)), key=lambda i: score[i])  # the first of equals
    return DELIMITERS[best] if header[best] else ("\t" if ending == ".tsv" else ",")


def _outside_quotes(line: str) -> str:
    return "".join(line.split('"')[::2])


def read_records(data: bytes, delimiter: str, source: str) -> tuple[list[str], pl.DataFrame]:
    """Return the header's cells and a frame of string columns named `0`, `1`, …

    Raises:
        TableError: a row with more or fewer cells than the header, a quote that is never closed; with its line.
    """
    body = _even_records(data, delimiter)
    if body is None:
        return _read_slowly(data, delimiter, source)
    import polars as pl

    first, rest = body
    header = next(csv.reader(io.StringIO(first.decode("utf-8"), newline=""), delimiter=delimiter))
    schema = {str(i): pl.String for i in range(len(header))}
    if not rest:
        return header, pl.DataFrame(schema=schema)
    try:
        frame = pl.read_csv(rest, has_header=False, schema=schema, separator=delimiter)
    except pl.exceptions.PolarsError:
        return _read_slowly(data, delimiter, source)
    return header, frame


def _even_records(data: bytes, delimiter: str) -> tuple[bytes, bytes] | None:
    """Return the header record and the rest without blank lines, or None where the file is uneven or oddly quoted."""
    if data.count(b"\r") != data.count(b"\r\n"):  # some lines end in a carriage return alone
        return None
    content = np.frombuffer(data if data.endswith(b"\n") else data + b"\n", dtype=np.uint8)
    newline = content == ord("\n")
    separator = content == ord(delimiter)
    quote = content == ord('"')
    if quote.any():
        inside = np.logical_xor.accumulate(quote)  # true from an opening quote up to before the closing one
        if inside[-1] or not _quotes_whole_cells(content, quote, inside, separator | newline):
            return None
        newline &= ~inside
        separator &= ~inside
    ends = np.flatnonzero(newline)
    starts = np.concatenate([[0], ends[:-1] + 1])
    # a record is blank if only spaces and carriage returns stand in it
    solid = (content != ord(" ")) & (content != ord("\r")) & (content != ord("\n"))
    blank = ~np.logical_or.reduceat(solid, starts)
    cells = np.add.reduceat(separator, starts, dtype=np.int64)[~blank]
    if len(cells) == 0 or (cells != cells[0]).any():
        return None
    if blank.any():
        edges = np.zeros(len(content) + 1, dtype=np.int8)
        edges[starts[blank]] += 1
        edges[ends[blank] + 1] -= 1
        content = content[np.cumsum(edges[:-1]) == 0]
        kept = (ends - starts + 1)[~blank]
        cut = int(kept[0])
    else:
        cut = int(ends[0]) + 1
    return content[:cut].tobytes(), content[cut:].tobytes()


def _quotes_whole_cells(
    content: NDArray[np.uint8], quote: NDArray[np.bool_], inside: NDArray[np.bool_], boundary: NDArray[np.bool_]
) -> bool:
    """Return whether each quote opens a cell, closes one, or is one of a doubled pair inside one."""
    at = np.flatnonzero(quote)
    opening, closing = at[inside[at]], at[~inside[at]]
    before = boundary | quote
    after = before | (content == ord("\r"))
    opens = (opening == 0) | before[np.maximum(opening - 1, 0)]
    closes = after[np.minimum(closing + 1, len(content) - 1)]
    # a pair that reopens must be a doubled quote of one cell: its closing quote stands directly before
    return bool(opens.all() and closes.all())


def _read_slowly(data: bytes, delimiter: str, source: str) -> tuple[list[str], pl.DataFrame]:
    import polars as pl

    reader = csv.reader(
        io.StringIO(data.decode("utf-8"), newline=""), delimiter=delimiter, skipinitialspace=True, strict=True
    )
    header: list[str] | None = None
    header_line = 1
    rows: list[list[str]] = []
    start = 1
    try:
        for record in reader:
            line, start = start, reader.line_num + 1
            blank = len(record) == 1 and not record[0].strip()
            if not record or (blank and (header is None or len(header) > 1)):
                continue
            if header is None:
                header, header_line = record, line
            elif len(record) != len(header):
                raise TableError(_ragged(source, line, len(record), header_line, len(header), delimiter))
            else:
                rows.append(record)
    except csv.Error as error:
        open_quote = "unexpected end" in str(error) or "field larger" in str(error)
        reason = "a quote is opened and never closed" if open_quote else str(error)
        raise TableError(
            f"{source}, the record that begins in line {start}: {reason}. "
            'Write a quote inside a quoted cell twice ("") and close every cell.'
        ) from None
    if header is None:
        raise TableError(f"{source} is empty. Give a table with a header line and at least one row.")
    columns = {str(i): pl.Series([row[i] for row in rows], dtype=pl.String) for i in range(len(header))}
    return header, pl.DataFrame(columns)


def _ragged(source: str, line: int, found: int, header_line: int, expected: int, delimiter: str) -> str:
    message = (
        f"{source}, line {line} (of the file) has {count(found, 'cell')}; the header in line {header_line} has "
        f"{expected}, separated by {DELIMITER_NAMES[delimiter]}."
    )
    if found > expected:
        return f"{message} Quote a cell that contains the separator, or remove the extra ones."
    return f"{message} Add the missing cells; an empty one is a missing value."
