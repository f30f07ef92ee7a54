"""Reading files: every delimiter, type and spelling of a missing cell, and every way in which a file can be wrong."""

from __future__ import annotations

import datetime
import gzip
import io
import os
import zipfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.errors import TableError
from chainrule.table import read_table

EXAMPLES = Path(__file__).parents[2] / "examples"


def write(folder: Path, content: str | bytes, name: str = "data.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_penguins() -> None:
    table = read_table(EXAMPLES / "penguins.csv")
    assert table.shape == (344, 8)
    assert table.columns == [
        "species",
        "island",
        "bill_length_mm",
        "bill_depth_mm",
        "flipper_length_mm",
        "body_mass_g",
        "sex",
        "year",
    ]
    assert table["species"].n_unique() == 3
    assert table.null_count().row(0) == (0, 0, 2, 2, 2, 2, 11, 0)
    assert table["body_mass_g"].dtype == pl.Int64
    assert table["bill_length_mm"].dtype == pl.Float64


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_delimiters_marks_and_line_ends(tmp_path: Path, delimiter: str, bom: bytes, ending: str) -> None:
    lines = [delimiter.join(cells) for cells in (["a", "b"], ["1", "x"], ["2", "y z"])]
    path = write(tmp_path, bom + ending.join(lines).encode())
    assert read_table(path).to_dict(as_series=False) == {"a": [1, 2], "b": ["x", "y z"]}


@pytest.mark.parametrize("name", ["data.tsv", "data.txt", "DATA.CSV"])
def test_endings(tmp_path: Path, name: str) -> None:
    assert read_table(write(tmp_path, "a\tb\n1\t2\n", name)).to_dict(as_series=False) == {"a": [1], "b": [2]}


def test_one_column(tmp_path: Path) -> None:
    assert read_table(write(tmp_path, "a\n1\n2\n")).to_dict(as_series=False) == {"a": [1, 2]}


def test_tsv_with_more_commas_than_tabs(tmp_path: Path) -> None:
    path = write(tmp_path, "a, b, c\td\n1,2,3\t4\n", "data.tsv")
    assert read_table(path).columns == ["a, b, c", "d"]


def test_semicolons_win_over_commas_in_the_names(tmp_path: Path) -> None:
    path = write(tmp_path, "price (EUR, net);size (m, squared)\n3,5;2\n4;1,25\n")
    assert read_table(path).rows() == [(3.5, 2.0), (4.0, 1.25)]


@pytest.mark.parametrize("spelling", ["", "NA", "N/A", "NaN", "nan", "null", "None", "?", "   ", " NA "])
def test_missing(tmp_path: Path, spelling: str) -> None:
    path = write(tmp_path, f"a,b,c\n1,x,{spelling}\n{spelling},{spelling},true\n")
    table = read_table(path)
    assert table.rows() == [(1, "x", None), (None, None, True)]
    assert table.dtypes == [pl.Int64, pl.String, pl.Boolean]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1", "-2", "+3"], [1, -2, 3]),
        (["1", "2.5", ".5", "5."], [1.0, 2.5, 0.5, 5.0]),
        (["1e38", "-inf", "inf", "1"], [1e38, float("-inf"), float("inf"), 1.0]),
        (["Infinity", "1"], [float("inf"), 1.0]),
        (["true", "FALSE", "True"], [True, False, True]),
        (["true", "0"], ["true", "0"]),
        (["007", "12"], ["007", "12"]),
        (["0", "0.5"], [0.0, 0.5]),
        (["99999999999999999999", "1"], [1e20, 1.0]),
        (["1_000", "2"], ["1_000", "2"]),
        (["0x10", "2"], ["0x10", "2"]),
        ([" a ", "b"], ["a", "b"]),
        (["NA", ""], [None, None]),
        (["1,769", "950", "-2,000,000"], [1769, 950, -2000000]),
        (["1,769.50", "950.00"], [1769.5, 950.0]),
        (["1,769", "0,125"], ["1,769", "0,125"]),
        (["1,769", "1.5"], ["1,769", "1.5"]),
        (["1,769", "1200"], ["1,769", "1200"]),
        (["$9,067.00", "-$950", "$-1.5", "$ 12"], [9067.0, -950.0, -1.5, 12.0]),
        (["9,067.00 €", "950€", "", "+3 €"], [9067.0, 950.0, None, 3.0]),
        (["12 %", "7.5%"], [12.0, 7.5]),
        (["$5", "€5"], ["$5", "€5"]),
        (["$5", "5"], ["$5", "5"]),
        (["$", "%"], ["$", "%"]),
        (["2024-05-31", "NA", "2024-06-01"], [datetime.date(2024, 5, 31), None, datetime.date(2024, 6, 1)]),
        (["2024-05-31", "2024-06-31"], ["2024-05-31", "2024-06-31"]),
        (["2024-05-31", "soon"], ["2024-05-31", "soon"]),
        (["2024-05-31", "2024-06-01 12:30"], [datetime.datetime(2024, 5, 31), datetime.datetime(2024, 6, 1, 12, 30)]),
        (["2024-05-31T12:30:01.5"], [datetime.datetime(2024, 5, 31, 12, 30, 1, 500000)]),
        (["2024-05-31T12:30Z", "2024-05-31T12:30+02:00"], [datetime.datetime(2024, 5, 31, h, 30) for h in (12, 10)]),
        (["2024-05-31T12:30Z", "2024-05-31T12:30"], ["2024-05-31T12:30Z", "2024-05-31T12:30"]),
        (["2024-05-31T25:30"], ["2024-05-31T25:30"]),
        (["١", "2"], ["١", "2"]),
    ],
)
def test_types(tmp_path: Path, cells: list[str], expected: list[object]) -> None:
    table = read_table(write(tmp_path, "x,k\n" + "".join(f'"{cell}",1\n' for cell in cells)))
    assert table["x"].to_list() == expected
    assert [type(cell) for cell in table["x"].to_list()] == [type(cell) for cell in expected]


def test_types_come_from_the_whole_column(tmp_path: Path) -> None:
    path = write(tmp_path, "x,y\n" + "1,2\n" * 5000 + "late,2.5\n")
    table = read_table(path)
    assert table.dtypes == [pl.String, pl.Float64]
    assert table["x"][-1] == "late"


def test_a_column_without_values_is_of_no_type(tmp_path: Path) -> None:
    assert read_table(write(tmp_path, "x,y\n,1\nNA,2\n")).dtypes == [pl.Null, pl.Int64]


def test_decimal_comma_only_where_every_cell_fits(tmp_path: Path) -> None:
    path = write(tmp_path, "a;b;c\n3,5;3,5;1\n-2;x;2\n;1.5;3\n")
    table = read_table(path)
    assert table["a"].to_list() == [3.5, -2.0, None]
    assert table["b"].to_list() == ["3,5", "x", "1.5"]
    assert table["c"].to_list() == [1, 2, 3]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["9.067,00 €", "950 €", "1,5 €"], [9067.0, 950.0, 1.5]),
        (["12,5 %", "7 %"], [12.5, 7.0]),
        (["12.5 %", "7 %"], [12.5, 7.0]),
        (["1.769 €", "950 €"], ["1.769 €", "950 €"]),  # 1769 or 1.769
        (["$1,769", "$950.5"], [1769.0, 950.5]),
        (["1,769,000", "5"], [1769000, 5]),
    ],
)
def test_signs_beside_decimal_commas(tmp_path: Path, cells: list[str], expected: list[object]) -> None:
    table = read_table(write(tmp_path, "x;k\n" + "".join(f"{cell};1\n" for cell in cells)))
    assert table["x"].to_list() == expected


def test_a_first_column_without_a_name(tmp_path: Path) -> None:
    assert read_table(write(tmp_path, ",a\n0,x\n1,y\n")).to_dict(as_series=False) == {
        "column 1": [0, 1],
        "a": ["x", "y"],
    }
    for header in (",column 1", ",a,", ",,a"):
        rows = ",".join("1" * (header.count(",") + 1))
        with pytest.raises(TableError, match=r"column 1 of . has an empty name"):
            read_table(write(tmp_path, f"{header}\n{rows}\n"))


def test_spaces_around_names_and_cells(tmp_path: Path) -> None:
    assert read_table(write(tmp_path, " a , b \n 1 , x \n")).to_dict(as_series=False) == {"a": [1], "b": ["x"]}


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('a,b\n"x, y",1\n', [("x, y", 1)]),
        ('a,b\n"x ""quoted"" y",1\n', [('x "quoted" y', 1)]),
        ('a,b\n"two\nlines",1\nz,2\n', [("two\nlines", 1), ("z", 2)]),
        ('a,b\n"two\n\nlines",1\n\nz,2\n', [("two\n\nlines", 1), ("z", 2)]),
        ('a,b\n5" pipe,1\nx,2\n', [('5" pipe', 1), ("x", 2)]),
        ('a,b\n1, "x, y"\n', [(1, "x, y")]),
        ('"a","b"\r\n"1","2"\r\n', [(1, 2)]),
        ('"a, the first",b\n1,2\n', [(1, 2)]),
        ('a,b\n"",""\nx,"1"\n', [(None, None), ("x", 1)]),
        ("\n\na,b\n\n1,2\n   \n3,4\n\n\n", [(1, 2), (3, 4)]),
        ("a,b\r\n\r\n1,2\r\n\r\n", [(1, 2)]),
        ("a,b\n1,\n,2", [(1, None), (None, 2)]),
    ],
)
def test_quotes_and_blank_lines(tmp_path: Path, text: str, rows: list[tuple[object, ...]]) -> None:
    assert read_table(write(tmp_path, text)).rows() == rows


def _gzipped() -> bytes:
    return gzip.compress(b"a,b\n1,2\n")


def _zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("[Content_Types].xml", "x")
    return buffer.getvalue()


def _parquet() -> bytes:
    buffer = io.BytesIO()
    pl.DataFrame({"a": [1]}).write_parquet(buffer)
    return buffer.getvalue()


# content, words that the message must hold
BROKEN: dict[str, tuple[str | bytes, tuple[str, ...]]] = {
    "empty": ("", ("data.csv is empty", "a header line and at least one row")),
    "blank": ("\n  \n", ("data.csv is empty",)),
    "only a mark": (b"\xef\xbb\xbf", ("data.csv is empty",)),
    "header only": ("a,b\n", ("a header but no rows", "at least one row")),
    "header only, no end": ("a,b", ("a header but no rows",)),
    "header and blanks": ("a,b\n\n\n", ("a header but no rows",)),
    "too few cells": ("a,b,c\n1,2,3\n4,5\n", ("line 3 (of the file) has 2 cells", "line 1 has 3", "a comma", "Add")),
    "too many cells": ("a,b\n1,2\n\n3,4,5\n", ("line 4 (of the file) has 3 cells", "line 1 has 2", "Quote a cell")),
    "ragged after quotes": ('a,b\n"x\ny",1\n2\n', ("line 4 (of the file) has 1 cell;",)),
    "ragged semicolons": ("a;b\n1;2\n3\n", ("line 3", "a semicolon")),
    "open quote": ('a,b\n1,"x\n2,y\n', ("begins in line 2", "a quote is opened and never closed")),
    "text after quote": ('a,b\n1,2\n"x"y,2\n', ("begins in line 3", "Write a quote inside a quoted cell twice")),
    "latin-1": ("a,b\n1,2\n3,Zürich\n".encode("latin-1"), ("line 3", "0xFC", "not UTF-8", "iconv -f WINDOWS-1252")),
    "utf-16": ("a,b\n1,2\n".encode("utf-16"), ("UTF-16", "iconv -f UTF-16")),
    "nul": (b"a,b\n1,2\n3,\x00\n", ("line 3", "NUL byte")),
    "utf-16 without mark": ("a,b\n1,2\n".encode("utf-16-le"), ("line 1", "NUL byte", "UTF-16")),
    "equal names": ("a,b,a\n1,2,3\n", ("columns 1 and 3 are both named 'a'", "a name of its own")),
    "three equal names": ("a,a,a\n1,2,3\n", ("columns 1, 2 and 3 are all named 'a'",)),
    "equal once stripped": ("a, a\n1,2\n", ("both named 'a'",)),
    "no name": ("a,,c\n1,2,3\n", ("column 2 of 3 has an empty name",)),
    "trailing comma": ("a,b,\n1,2,\n", ("column 3 of 3 has an empty name", "or remove the column")),
    "gzip": (_gzipped(), ("gzip-compressed", "Unpack")),
    "xlsx": (_zipped(), ("Excel workbook or a zip archive", "Save the sheet as CSV")),
    "parquet": (_parquet(), ("a Parquet file", "ends in .parquet")),
    "xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", ("old Excel workbook",)),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_text(tmp_path: Path, case: str) -> None:
    content, words = BROKEN[case]
    with pytest.raises(TableError) as caught:
        read_table(write(tmp_path, content))
    message = str(caught.value)
    assert "data.csv" in message
    for word in words:
        assert word in message, message


def test_no_such_file(tmp_path: Path) -> None:
    write(tmp_path, "a\n1\n", "penguins.csv")
    with pytest.raises(TableError, match=r"no file .*pengiuns\.csv\. Did you mean 'penguins\.csv'\?"):
        read_table(tmp_path / "pengiuns.csv")
    with pytest.raises(TableError, match="Check the name and the folder"):
        read_table(tmp_path / "quite-other.csv")
    with pytest.raises(TableError, match="Check the name and the folder"):
        read_table(tmp_path / "pen.csv")
    with pytest.raises(TableError, match=r"Did you mean 'penguins\.csv'\?"):
        read_table(tmp_path / "penguins.parquet")
    with pytest.raises(TableError, match="Check the name and the folder"):
        read_table(tmp_path / "pengiuns.parquet")
    with pytest.raises(TableError, match=r"folder .*nowhere does not exist either"):
        read_table(tmp_path / "nowhere" / "penguins.csv")


def test_folder(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="is a folder, not a table"):
        read_table(tmp_path)


@pytest.mark.parametrize("name", ["data.xlsx", "data.json", "data", "data.csv.gz"])
def test_unknown_ending(tmp_path: Path, name: str) -> None:
    with pytest.raises(TableError, match=r"its format is unknown\. chainrule reads \.csv, \.tsv, \.txt and \.parquet"):
        read_table(write(tmp_path, "a\n1\n", name))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_unreadable(tmp_path: Path) -> None:
    path = write(tmp_path, "a\n1\n")
    path.chmod(0)
    with pytest.raises(TableError, match="cannot be read: Permission denied"):
        read_table(path)


def test_parquet_types(tmp_path: Path) -> None:
    day = datetime.date(2024, 5, 31)
    table = pl.DataFrame(
        {
            "u": pl.Series([1, None], dtype=pl.UInt64),
            "c": pl.Series(["a", "b"], dtype=pl.Categorical),
            "e": pl.Series(["a", "b"], dtype=pl.Enum(["b", "a"])),
            "d": [day, None],
            "m": pl.Series(["1.50", "2.25"]).cast(pl.Decimal(10, 2)),
            " t ": [datetime.datetime(2024, 5, 31, 12), None],
        }
    )
    path = tmp_path / "data.parquet"
    table.write_parquet(path)
    found = read_table(path)
    assert found.columns == ["u", "c", "e", "d", "m", "t"]
    assert found.rows() == table.rows()


def test_broken_parquet(tmp_path: Path) -> None:
    whole = _parquet()
    for content, words in [
        (whole[: len(whole) // 2], "is a damaged Parquet file"),
        (b"PAR1" + b"junk" * 30 + b"PAR1", "is a damaged Parquet file"),
        (b"a,b\n1,2\n", r"does not begin with the bytes PAR1\. If it is text, rename it to \.csv"),
        (b"", "is empty"),
    ]:
        with pytest.raises(TableError, match=words):
            read_table(write(tmp_path, content, "data.parquet"))


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (pl.Series([[1, 2], [3]]), "a list"),
        (pl.Series([{"x": 1}, {"x": 2}]), "a record"),
        (pl.Series([b"\x00", b"\x01"]), "raw bytes"),
        (pl.Series([[1, 2], [3, 4]], dtype=pl.Array(pl.Int64, 2)), "a list"),
    ],
)
def test_nested_parquet(tmp_path: Path, column: pl.Series, words: str) -> None:
    path = tmp_path / "data.parquet"
    pl.DataFrame({"a": [1, 2], "odd": column}).write_parquet(path)
    with pytest.raises(TableError, match=f"data.parquet: column 'odd' holds {words} in each cell"):
        read_table(path)


def test_parquet_without_rows(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    pl.DataFrame({"a": pl.Series([], dtype=pl.Int64)}).write_parquet(path)
    with pytest.raises(TableError, match="a header but no rows"):
        read_table(path)


cell_texts = st.text(st.sampled_from(list('ab1 ,;"\n\té|')), max_size=6)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(cell_texts, cell_texts), min_size=1, max_size=6), st.sampled_from([",", ";", "\t", "|"]))
def test_whatever_csv_writes_is_read_back(rows: list[tuple[str, str]], delimiter: str) -> None:
    import csv
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter=delimiter)
            writer.writerow(["first", "second", "mark"])
            writer.writerows([*row, "end"] for row in rows)
        found = read_table(path)
    assert found.height == len(rows)
    for i, name in enumerate(["first", "second"]):
        if found[name].dtype in (pl.String, pl.Null):
            expected = [row[i].strip() or None for row in rows]
            assert found[name].to_list() == expected


@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from(list('ab1,"\n\r ;')), max_size=30))
def test_the_fast_reader_agrees_with_the_slow_one(text: str) -> None:
    from chainrule.table.csv_records import _even_records, _read_slowly, checked_text, read_records

    data = checked_text(("h,k\n" + text).encode(), "x.csv")
    if _even_records(data, ",") is None:
        return
    header, frame = read_records(data, ",", "x.csv")
    slow_header, slow = _read_slowly(data, ",", "x.csv")
    strip = str.strip
    assert header == slow_header == ["h", "k"]
    clean = [[strip(cell or "").replace("\r", "") for cell in row] for row in frame.rows()]
    assert clean == [[strip(cell or "").replace("\r", "") for cell in row] for row in slow.rows()]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from([b"a", b"1", b",", b"\n", b'"', b"\r", b" ", b";", b"\xff", b"\x00", b"NA", b"inf"]),
        max_size=30,
    )
)
def test_any_bytes_are_a_table_or_a_clear_error(parts: list[bytes]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), b"".join(parts))
        try:
            table = read_table(path)
        except TableError:
            return
    assert table.height > 0
    assert all(name == name.strip() != "" for name in table.columns)
