"""Columns that are numbers but for a few cells, and columns of texts that are not."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from chainrule.errors import TableError
from chainrule.table import TableEncoder, inspect_table
from chainrule.table.strays import strays

NUMBERS = [f"{i / 4}" for i in range(40)]
GUARD = {"guard": [0.5, 1.5] * 21}


@pytest.mark.parametrize(
    ("cells", "rows", "odd"),
    [
        ([*NUMBERS, "oops"], [40], ("oops",)),
        (["oops", None, "NA", *NUMBERS, "oops", "-"], [0, 43, 44], ("oops", "oops", "-")),
        ([*NUMBERS, "1,769"], [40], ("1,769",)),
        ([*NUMBERS, "$9,067.00"], [40], ("$9,067.00",)),
        ([*(f"${x}" for x in NUMBERS), "oops"], [40], ("oops",)),
        ([*(f"{x} %" for x in NUMBERS), "7"], [40], ("7",)),
        ([*(x.replace(".", ",") for x in NUMBERS), "oops"], [40], ("oops",)),
        ([*(f"{i},000" for i in range(1, 30)), "a", "b"], [29, 30], ("a", "b")),
        ([*NUMBERS, "12x"], [40], ("12x",)),
    ],
)
def test_found(cells: list[str | None], rows: list[int], odd: tuple[str, ...]) -> None:
    found = strays(pl.Series("x", cells))
    assert found is not None
    assert (found.rows.tolist(), found.cells) == (rows, odd)


@pytest.mark.parametrize(
    "cells",
    [
        NUMBERS,
        [*NUMBERS, *"abcde"],  # fewer than 90 %
        [*NUMBERS[:9], "oops"],  # too few to say
        [*map(str, range(9)), *"1234567890", "oops"],  # few codes
        [*NUMBERS, "007", "oops"],
        [*map(str, range(240, 280)), "V57", "E909"],  # codes, as of a diagnosis
        ["red", "green", "blue"] * 20,
        [None, None],
        [],
    ],
)
def test_texts(cells: list[str | None]) -> None:
    assert strays(pl.Series("x", cells, dtype=pl.String)) is None


def test_declared_categories_are_texts() -> None:
    assert strays(pl.Series("x", [*NUMBERS, "oops"], dtype=pl.Categorical)) is None


def test_the_encoder_refuses_them() -> None:
    table: dict[str, Any] = GUARD | {"x": [*NUMBERS, "oops", "unknown"]}
    message = (
        "the table: column 'x': 40 of 42 cells are numbers, but row 41 holds 'oops' and row 42 holds 'unknown' (data "
        "rows, the header not counted). Correct these cells, or leave them empty if they are not known, or ignore the "
        "column."
    )
    for rows in (None, range(30)):  # a stray outside the training rows would be in the way later
        with pytest.raises(TableError) as caught:
            TableEncoder.fit(table, rows=None if rows is None else list(rows))
        assert str(caught.value) == message
    assert TableEncoder.fit(table, ignore=["x"]).feature_names == ["guard"]


def test_inspect_reports_them() -> None:
    inspection = inspect_table(GUARD | {"x": [*NUMBERS, "oops", "unknown"], "y": ["a", "b"] * 21}, "y")
    found = [each for each in inspection.findings if each.column == "x"]
    assert [each.severity for each in found] == ["error"]
    assert found[0].message.startswith("x: 40 of 42 cells are numbers, but row 41 holds 'oops' and row 42 holds")
    assert next(each for each in inspection.columns if each.name == "x").encoding.startswith("none: ")
    target = inspect_table(GUARD | {"x": [*NUMBERS, "oops", "unknown"]}, "x")
    assert "The target 'x': 40 of 42 cells are numbers" in target.errors[0].message


def test_a_new_table_names_the_wrong_cell() -> None:
    encoder = TableEncoder.fit({"x": [1.0, 2.0, 3.5]})
    with pytest.raises(TableError, match=r"row 41 .* holds the text 'oops'"):
        encoder.transform({"x": [*(f"${x}" for x in NUMBERS), "oops"]})
