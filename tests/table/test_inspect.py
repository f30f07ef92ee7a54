"""What `inspect_table` says about a table: each finding, and silence where there is nothing to say."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn import datasets

from chainrule.errors import TableError
from chainrule.table import Finding, Inspection, infer_task, inspect_table, read_table

PENGUINS = read_table(Path(__file__).parents[2] / "examples" / "penguins.csv")
RANDOM = np.random.default_rng(7)
N = 200
NOISE = RANDOM.normal(size=N)
SIDE = np.where(RANDOM.random(N) < 0.5, "left", "right")


def table(**columns: Any) -> dict[str, Any]:
    return {"noise": NOISE, "y": SIDE} | columns


def said(inspection: Inspection, column: str | None, severity: str | None = None) -> str:
    found = [each for each in inspection.findings if each.column == column]
    assert len(found) == 1, inspection.findings
    assert severity is None or found[0].severity == severity
    return found[0].message


def test_penguins() -> None:
    inspection = inspect_table(PENGUINS, "species", source="penguins.csv")
    assert inspection.rows == 344
    assert inspection.task == infer_task(PENGUINS["species"], column="species")
    assert inspection.classes == (("Adelie", 152), ("Gentoo", 124), ("Chinstrap", 68))
    assert inspection.findings == ()
    assert inspection.errors == []
    by_name = {column.name: column for column in inspection.columns}
    assert list(by_name) == PENGUINS.columns
    assert by_name["species"].encoding == "the target"
    bill = by_name["bill_length_mm"]
    assert (bill.kind, bill.missing, bill.distinct, bill.low, bill.median, bill.high) == (
        *("number", 2, 164),
        *(32.1, 44.45, 59.6),
    )
    assert bill.encoding.startswith("z = (bill_length_mm − 44.45)/9.275")
    sex = by_name["sex"]
    assert (sex.kind, sex.missing, sex.common) == ("text", 11, (("male", 168), ("female", 165)))
    assert sex.encoding == "'male' is +1, 'female' is −1, missing or another level 0"


def test_it_is_plain_data() -> None:
    day = pl.date_range(datetime.date(2020, 1, 1), datetime.date(2020, 12, 9), eager=True)
    inspection = inspect_table(PENGUINS.with_columns(day=day, truth=pl.lit(True)), "species")
    document = inspection.to_dict()
    assert json.loads(json.dumps(document, allow_nan=False)) == document | {
        "columns": json.loads(json.dumps(document["columns"]))
    }
    assert document["task"] == {"kind": "multiclass", "why": "species has 3 different texts"}
    assert document["classes"][0] == {"class": "Adelie", "rows": 152}
    assert document["columns"][1]["common"][0] == {"value": "Biscoe", "rows": 168}
    assert {
        "severity": "note",
        "column": "truth",
        "message": "truth is always True: it tells nothing and is left out.",
    } in (document["findings"])


def test_without_a_target() -> None:
    inspection = inspect_table(PENGUINS)
    assert (inspection.target, inspection.task, inspection.classes) == (None, None, ())
    assert len(inspection.columns) == 8
    assert "0/1 column for each of 3 levels" in inspection.columns[0].encoding


def test_other_frames() -> None:
    assert inspect_table(PENGUINS.to_dict(as_series=False), "species").classes[0] == ("Adelie", 152)
    frame = pd.DataFrame({"x": [0.5, 1.5, 2.5] * 4, "y": pd.Categorical([1, 2, 3] * 4)})
    task = inspect_table(frame, "y").task
    assert task is not None
    assert task.kind == infer_task(frame["y"], column="y").kind == "multiclass"


def test_no_such_target_and_no_such_task() -> None:
    with pytest.raises(TableError, match="Did you mean 'species'"):
        inspect_table(PENGUINS, "Species")
    with pytest.raises(TableError, match="There is no task 'ranking'"):
        inspect_table(PENGUINS, "species", task="ranking")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (["a"] * N, "has one class only"),
        ([2.5] * N, "in every row"),
        ([None] * N, "has no value in any row"),
        ([f"row {i}" for i in range(N)], "names the rows"),
    ],
)
def test_a_target_that_cannot_be_learned(values: list[Any], words: str) -> None:
    inspection = inspect_table(table(y=values), "y")
    assert inspection.task is None
    first = inspection.findings[0]
    assert (first.severity, first.column) == ("error", "y")
    assert words in first.message
    assert inspection.errors == [first]


def test_missing_labels() -> None:
    labels: list[Any] = SIDE.tolist()
    labels[2] = labels[9] = None
    message = said(inspect_table(table(y=labels), "y"), "y", "warning")
    assert message == "y is missing in rows 3 and 10: these 2 rows are left out of training."


def test_rare_classes() -> None:
    labels = ["a"] * 100 + ["b"] * 95 + ["c"] * 4 + ["d"]
    found = inspect_table(table(y=labels), "y").findings
    assert [each.severity for each in found] == ["error", "warning"]
    assert "The class 'd' of y has one row only: it cannot be both learned and tested." in found[0].message
    assert "The class 'c' of y has fewer than 5 rows: its scores will be very uncertain." in found[1].message
    both = inspect_table(table(y=["a"] * 98 + ["b"] * 100 + ["c", "d"]), "y").findings
    assert "The classes 'c' and 'd' of y have one row only each" in both[0].message


def test_imbalance() -> None:
    message = said(inspect_table(table(y=["no"] * 190 + ["yes"] * 10), "y"), "y", "warning")
    assert message.startswith("95.0% of the rows have y = no: always guessing it scores as much accuracy.")


def test_infinite_cells() -> None:
    x = NOISE.copy()
    x[[4, 7]] = np.inf, -np.inf
    inspection = inspect_table(table(x=x), "y")
    assert "x is infinite in rows 5 and 8. Correct these cells" in said(inspection, "x", "error")
    summary = next(column for column in inspection.columns if column.name == "x")
    assert summary.high is not None
    assert np.isfinite(float(summary.high))
    assert summary.encoding.startswith("none: ")


@pytest.mark.parametrize(
    ("values", "severity", "words"),
    [
        ([5] * N, "note", "x is always 5: it tells nothing and is left out."),
        ([5, None] * (N // 2), "note", "x is always 5 or missing: only whether it is missing is used."),
        ([None] * N, "warning", "x has no value in any row and is left out."),
        (
            [f"id {i}" for i in range(N)],
            "note",
            "x has a different text in every row, like a name or an id, and is not",
        ),
        (list(range(1, N + 1)), "warning", "x numbers the rows (1 to 200)"),
        (list(range(N))[::-1], "warning", "x numbers the rows (0 to 199)"),
        ([f"l{i // 3}" for i in range(N)], "note", "x has 67 different texts: at most 50 get a column of their own"),
        (pl.Series([[1]] * N), "error", "x holds List(Int64), which a network cannot read"),
    ],
)
def test_columns_of_little_use(values: Any, severity: str, words: str) -> None:
    assert words in said(inspect_table(table(x=values), "y"), "x", severity)


def test_unnamed_first_column() -> None:
    counting = {"column 1": list(range(N)), **table()}
    assert said(inspect_table(counting, "y"), "column 1", "note") == (
        "column 1, a name that stands for none in the file, counts the rows and is left out."
    )
    assert inspect_table(counting, "y").columns[0].encoding == "left out: counts the rows"
    part = counting | {"column 1": list(range(0, 2 * N, 2))}
    assert "a different whole number in every row, like an index" in said(
        inspect_table(part, "y"), "column 1", "warning"
    )


def test_spellings() -> None:
    labels = ["yes", "no", "Yes", "no"] * (N // 4)
    message = said(inspect_table(table(y=labels), "y"), "y", "warning")
    assert message == (
        "y has texts that differ only in capitals or spaces ('Yes' = 'yes'), and each counts as one of its own. Write "
        "them alike if they mean the same."
    )
    feature = said(inspect_table(table(x=["a b", "ab", "c", "C"] * (N // 4)), "y"), "x", "warning")
    assert "('C' = 'c' and 'a b' = 'ab')" in feature
    assert not inspect_table(table(x=["straße", "other"] * (N // 2)), "y").findings


@pytest.mark.parametrize("code", [-999, 9999, -1e30, 99])
def test_missing_codes(code: float) -> None:
    x = NOISE.round(3)
    x[[3, 5]] = code
    message = said(inspect_table(table(x=x), "y"), "x", "note")
    assert message.startswith(f"x is {code:g} in 2 rows, and from -")
    assert message.endswith(f"if {code:g} says that the value is missing, leave these cells empty.")
    x[5] = 0.5
    assert not inspect_table(table(x=x), "y").findings


def test_no_missing_codes() -> None:
    for values in (
        [0, 999] * (N // 2),
        [1000 + 10 * i for i in range(N - 2)] + [9999] * 2,
        [0.5, 1.5, 1998, 1998] * 50,
    ):
        assert not any("missing" in each.message for each in inspect_table(table(x=values), "y").findings)


def test_equal_rows_with_different_labels() -> None:
    x = np.arange(N) + 0.5
    x[[10, 20, 30]] = x[0]
    labels = np.where(np.arange(N) % 2 == 0, "a", "b")
    labels[10] = "b"
    inspection = inspect_table({"x": x, "id": np.arange(N), "y": labels}, "y")
    mixed = said(inspection, "y", "warning")
    assert mixed == (
        "4 rows have features equal to another row's but a different y (for example rows 1, 11, 21 and 31): "
        "no network can get them all right."
    )
    repeats = said(inspection, None, "warning")
    assert repeats.startswith("2 rows repeat an earlier row (for example rows 1, 21 and 31): copies that fall among")


def test_equal_numbers_with_different_targets_are_only_a_note() -> None:
    inspection = inspect_table({"x": [1, 2, 3, 4] * 30, "y": RANDOM.normal(size=120)}, "y")
    assert "no network can get them all right" in said(inspection, "y", "note")


def test_missing_cells_count_as_equal() -> None:
    inspection = inspect_table({"x": [1.0, float("nan"), float("nan"), None], "y": ["a", "b", "a", "b"]}, "y")
    assert any("features equal to another row's" in each.message for each in inspection.findings)


LEFT = SIDE == "left"


@pytest.mark.parametrize(
    ("feature", "words"),
    [
        (np.where(LEFT, "L", "R"), "it has the same values with other names"),
        (LEFT, "it has the same values with other names"),
        (LEFT.astype(int), "it has the same values with other names"),
        (np.array([None if left else "given" for left in LEFT]), "it has the same values with other names"),
        (
            np.where(LEFT, np.where(NOISE > 0, "L1", "L2"), "R"),
            "knowing it alone, 0 rows of 200 would be guessed wrong",
        ),
        (LEFT + 1e-6 * NOISE, "their correlation is "),
    ],
)
def test_leaks(feature: Any, words: str) -> None:
    found = [each for each in inspect_table(table(x=feature), "y").findings if each.severity == "warning"]
    assert [each.column for each in found] == ["x"]
    assert found[0].message.startswith("x may give y away: ")
    assert words in found[0].message


def test_leaks_of_a_regression() -> None:
    inspection = inspect_table({"noise": NOISE, "x": 9 - 3 * NOISE + 1e-3 * RANDOM.normal(size=N), "y": NOISE}, "y")
    messages = [each.message for each in inspection.findings]
    assert any("x may give y away: their correlation is -1.00000" in each for each in messages)


@pytest.mark.parametrize("load", ["iris", "wine", "breast_cancer", "diabetes"])
def test_real_tables_do_not_cry_wolf(load: str) -> None:
    frame = getattr(datasets, f"load_{load}")(as_frame=True).frame
    findings = inspect_table(frame, "target").findings
    assert all(each.severity != "error" for each in findings), findings
    assert not any("give target away" in each.message for each in findings)


def test_one_row() -> None:
    inspection = inspect_table({"x": [1], "y": ["a"]}, "y")
    assert "has one class only" in inspection.errors[0].message


def test_errors_come_first() -> None:
    inspection = inspect_table(table(x=[np.inf] + [1.5] * (N - 1), z=[5] * N, w=list(range(N))), "y")
    assert [each.severity for each in inspection.findings] == ["error", "warning", "note"]
    assert all(isinstance(each, Finding) for each in inspection.findings)
