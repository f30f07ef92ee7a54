"""Tables of every kind become the same frame, and what is no table is refused in words."""

from __future__ import annotations

import datetime
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from chainrule.errors import TableError
from chainrule.table import TableEncoder, as_column, as_frame, missing_labels, select_target

DAYS = [datetime.datetime(2024, 5, 31, 12), None, datetime.datetime(1969, 12, 31), datetime.datetime(2000, 1, 1)] * 3
COLUMNS: dict[str, list[Any]] = {
    "whole": [1, None, 3, 8] * 3,
    "real": [0.5, 1.5, None, -2.0] * 3,
    "truth": [True, False, None, True] * 3,
    "level": ["a", "b", "c", None] * 3,
    "day": DAYS,
    "code": ["3", "1", "2", "1"] * 3,
}


def as_pandas() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "whole": pd.array(COLUMNS["whole"], dtype="Int64"),
            "real": np.array([np.nan if x is None else x for x in COLUMNS["real"]]),
            "truth": pd.array(COLUMNS["truth"], dtype="boolean"),
            "level": pd.Categorical(COLUMNS["level"]),
            "day": pd.to_datetime(COLUMNS["day"]),
            "code": pd.Categorical([int(x) for x in COLUMNS["code"]]),
        },
        index=list("xxxxyyyyzzzz"),
    )


def as_object_pandas() -> pd.DataFrame:
    table = pd.DataFrame({name: np.array(cells, dtype=object) for name, cells in COLUMNS.items()}, dtype=object)
    table["level"] = table["level"].astype("string")
    return table


KINDS: dict[str, Any] = {
    "dict": lambda: dict(COLUMNS),
    "polars": lambda: pl.DataFrame(COLUMNS),
    "polars categories": lambda: pl.DataFrame(COLUMNS).with_columns(pl.col("level", "code").cast(pl.Categorical)),
    "pandas": as_pandas,
    "pandas objects": as_object_pandas,
    "arrow": lambda: pa.table(COLUMNS),
    "arrow dictionaries": lambda: pa.table(COLUMNS | {"level": pa.array(COLUMNS["level"]).dictionary_encode()}),
    "series": lambda: {name: pl.Series(cells) for name, cells in COLUMNS.items()},
    "pandas on arrow": lambda: pa.table(COLUMNS).to_pandas(types_mapper=pd.ArrowDtype),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_table_gives_the_same_matrix(kind: str) -> None:
    expected = TableEncoder.fit(pl.DataFrame(COLUMNS))
    table = KINDS[kind]()
    encoder = TableEncoder.fit(table)
    assert encoder == expected
    np.testing.assert_array_equal(encoder.transform(table), expected.transform(pl.DataFrame(COLUMNS)))


def test_inputs_stay_as_they_are() -> None:
    table, copy = as_pandas(), as_pandas()
    TableEncoder.fit(table).transform(table)
    pd.testing.assert_frame_equal(table, copy)


def test_pandas_time_zones_and_units() -> None:
    moments = pd.to_datetime(["2020-01-01", None, "2021-01-01"]).tz_localize("Europe/Berlin")
    table = as_frame(pd.DataFrame({"t": moments, "s": np.array(["2020-01-01"] * 3, dtype="datetime64[s]")}))
    assert table["t"].to_list() == [datetime.datetime(2019, 12, 31, 23), None, datetime.datetime(2020, 12, 31, 23)]
    assert table["s"].to_list() == [datetime.datetime(2020, 1, 1)] * 3


def test_big_integers_with_missing_cells_stay_exact() -> None:
    table = as_frame(pd.DataFrame({"x": pd.array([2**53 + 1, None], dtype="Int64")}))
    assert table["x"].to_list() == [2**53 + 1, None]


def test_pandas_column_names_that_are_numbers() -> None:
    assert as_frame(pd.DataFrame(np.eye(2))).columns == ["0", "1"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([1, 2], "A list is not a table. Give a pandas, polars or Arrow table"),
        (3, "An int is not a table"),
        (None, "A NoneType is not a table"),
        ("data.csv", "the path of a file to read_table"),
        (np.zeros((3, 2)), r"A NumPy array of shape \(3, 2\) has no column names"),
        (pl.DataFrame({"a": [1]}).lazy(), r"Give frame\.collect\(\)"),
        ({"a": [1, 2], "b": [1]}, "different lengths: 'a' 2 rows and 'b' 1 row"),
        ({"a": 1}, "Column 'a' is an int"),
        ({"a": np.zeros((2, 3))}, r"Column 'a' is an array of shape \(2, 3\)"),
        ({"": [1]}, "Column 1 has an empty name"),
        ({"1": [1], 1: [2]}, "more than one column named '1'"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "more than one column named 'a'"),
        ({"a": [1, "x"]}, r"Column 'a' mixes integer \(row 1: 1\) and text \(row 2: 'x'\)"),
        ({"a": [1.5, None, True]}, r"mixes float \(row 1: 1.5\) and boolean \(row 3: True\)"),
        (pd.DataFrame({"a": np.array([3, "x"], dtype=object)}), "Column 'a' mixes integer"),
    ],
)
def test_what_is_no_table(data: object, words: str) -> None:
    with pytest.raises(TableError, match=words):
        as_frame(data)


@pytest.mark.parametrize(
    ("values", "cells"),
    [
        ([1, 2.5, None], [1.0, 2.5, None]),
        ((True, None), [True, None]),
        (np.array([[1], [2]]), [1, 2]),
        (np.array(["a", None], dtype=object), ["a", None]),
        (np.array(["a", "b"]), ["a", "b"]),
        (np.array([1, 2], dtype=">i4"), [1, 2]),
        (np.array([1.5], dtype=np.float16), [1.5]),
        (np.ma.masked_array([1, 2], [False, True]), [1, None]),
        (pd.Series([1, 2], dtype="category"), [1, 2]),
        (pd.Series(["a", None]), ["a", None]),
        (pa.chunked_array([[1, None]]), [1, None]),
        (pl.Series(["a"]), ["a"]),
        (range(2), [0, 1]),
    ],
)
def test_columns_of_every_kind(values: object, cells: list[object]) -> None:
    assert as_column(values).to_list() == cells


@pytest.mark.parametrize("values", [3, "abc", {"a": 1}, object()])
def test_what_is_no_column(values: object) -> None:
    with pytest.raises(TableError, match="Give a list, a one-dimensional array, or a column of a table"):
        as_column(values)


@pytest.mark.parametrize("make", [lambda c: c, pl.DataFrame, pd.DataFrame, pa.table])
def test_select_target(make: Any) -> None:
    features, target = select_target(make({"x": [1, 2], "y": ["a", None]}), "y")
    assert features.columns == ["x"]
    assert target.name == "y"
    assert target.to_list() == ["a", None]
    assert missing_labels(target).tolist() == [False, True]


def test_select_target_keeps_categories_that_are_numbers() -> None:
    features, target = select_target(pd.DataFrame({"x": pd.Categorical([1, 2]), "y": pd.Categorical([1, 2])}), "y")
    assert features["x"].to_list() == ["1", "2"]
    assert target.to_list() == [1, 2]


def test_no_such_target() -> None:
    with pytest.raises(TableError) as caught:
        select_target({"species": ["a"], "island": ["b"]}, "Specis")
    assert str(caught.value) == (
        "There is no column 'Specis' to be the target. Did you mean 'species'? The columns are species and island."
    )
    with pytest.raises(TableError, match="'y' is the only column"):
        select_target({"y": [1, 2]}, "y")


def test_importing_reads_no_frame_library() -> None:
    code = (
        "import sys, chainrule.table; "
        "print([m for m in ('polars', 'pandas', 'pyarrow', 'narwhals', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
