"""The matrix of a table: each kind of column, tables that changed since training, and documents."""

from __future__ import annotations

import copy
import datetime
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import datasets

from chainrule.errors import TableError
from chainrule.table import TableEncoder, as_frame, read_table

PENGUINS = read_table(Path(__file__).parents[2] / "examples" / "penguins.csv")


def bounded(z: Any) -> Any:
    z = np.asarray(z, dtype=np.float64)
    return z / np.sqrt(1 + (z / 3) ** 2)


def column(values: Any, new: Any = None, **options: Any) -> list[list[float]]:
    """Fit on one column (beside one that is always used) and return its part of the matrix, row by row."""
    guard = {"guard": np.arange(len(values)) % 2}
    encoder = TableEncoder.fit(guard | {"x": values}, **options)
    later = values if new is None else new
    matrix = encoder.transform({"guard": np.zeros(len(later), dtype=int), "x": later})
    assert matrix.dtype == np.float32
    assert matrix.flags.c_contiguous
    assert matrix.shape == (len(later), encoder.width)
    assert len(encoder.feature_names) == encoder.width
    return matrix[:, 1:].tolist()  # type: ignore[no-any-return]


def near(rows: Any) -> Any:
    return pytest.approx(np.asarray(rows, dtype=np.float32), rel=1e-6)


def test_numbers() -> None:
    # median 3, quartiles 2 and 4
    assert np.array(column([1.0, 2.0, 3.0, 4.0, 5.0])).ravel() == near(bounded([-1, -0.5, 0, 0.5, 1]))


def test_missing_numbers_have_an_indicator_only_if_training_had_them() -> None:
    assert np.array(column([1.0, 2.0, 3.0, 4.0, 5.0], [3.0, None, float("nan")])) == near([[0], [0], [0]])
    found = column([1.0, 2.0, 3.0, 4.0, 5.0, None], [5.0, None, float("nan")])
    assert np.array(found) == near([[bounded(1), 0], [0, 1], [0, 1]])


def test_numbers_without_spread_in_the_middle() -> None:
    # the quartiles are equal: half the range, 4
    assert np.array(column([0, 0, 0, 0, 8], [8, 0])).ravel() == near(bounded([2, 0]))


def test_numbers_far_away_are_harmless() -> None:
    found = np.array(column([1.0, 2.0, 3.0, 4.0, 5.0], [1e38, -1e308, 1.7e308])).ravel()
    assert found.tolist() == [3.0, -3.0, 3.0]


def test_numbers_at_the_ends_of_the_doubles() -> None:
    ends = [-1.7e308, 1.7e308, 0.0, 5e-324]
    assert np.isfinite(np.array(column(ends))).all()
    assert np.isfinite(np.array(column([0.0, 5e-324, 0.0]))).all()


def test_booleans() -> None:
    assert column([True, False, None, True]) == [[1], [-1], [0], [1]]
    for later in ([1, 0, None], [1.0, 0.0, None], ["True", "false", ""], [True, False, None]):
        assert column([True, False, True], later) == [[1], [-1], [0]]


def test_two_levels() -> None:
    assert column(["b", "a", "b", None], ["a", "b", "new", None]) == [[-1], [1], [0], [0]]


def test_levels() -> None:
    assert column(["b", "a", "c", "a"], ["a", "b", "c", "new", None]) == [
        [1, 0, 0],
        [0, 1, 0],
        [0, 0, 1],
        [0, 0, 0],
        [0, 0, 0],
    ]
    assert column(["b", "a", "c", "a", None], ["c", "new", None]) == [[0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1]]


def test_more_than_fifty_levels_share_one_column() -> None:
    values = [f"l{i:03}" for i in range(60) for _ in range(2 if i < 55 else 1)] + [None]
    encoder = TableEncoder.fit({"x": values})
    assert encoder.width == 52
    assert encoder.feature_names[:2] == ["x = l000", "x = l001"]
    assert encoder.feature_names[-2:] == ["x is another", "x is missing"]
    matrix = encoder.transform({"x": ["l000", "l054", "l059", "new", None]})
    assert np.argmax(matrix, axis=1).tolist() == [0, 50, 50, 50, 51]
    assert matrix.sum(axis=1).tolist() == [1, 1, 1, 1, 1]


def test_of_many_levels_single_rows_get_no_column() -> None:
    encoder = TableEncoder.fit({"x": ["often"] * 5 + [f"once {i}" for i in range(60)]})
    assert encoder.feature_names == ["x = often", "x is another"]


def test_dates_are_days() -> None:
    days = [datetime.date(1970, 1, 1) + datetime.timedelta(days=d) for d in (1, 2, 3, 4, 5)]
    expected = near(bounded([-1, -0.5, 0, 0.5, 1]))
    assert np.array(column(days)).ravel() == expected
    for unit in ("ms", "us", "ns"):
        moments = pl.Series(days).cast(pl.Datetime(unit))
        assert np.array(column(days, moments)).ravel() == expected
        assert np.array(column(moments, days)).ravel() == expected
        assert np.array(column(moments, moments.dt.replace_time_zone("UTC"))).ravel() == expected
    texts = ["1970-01-02", "1970-01-04T00:00:00", "1970-01-04T01:00:00+01:00", "", None]
    assert np.array(column(days, texts)).ravel() == near(bounded([-1, 0, 0, 0, 0]))


def test_durations_are_days() -> None:
    spans = [datetime.timedelta(days=d) for d in (1, 2, 3, 4, 5)]
    assert np.array(column(spans)).ravel() == near(bounded([-1, -0.5, 0, 0.5, 1]))
    times = pl.Series([datetime.time(h) for h in (0, 6, 12, 18)])
    assert np.isfinite(np.array(column(times))).all()


@pytest.mark.parametrize(
    ("training", "later", "expected"),
    [
        ([1, 2, 3, 4, 5], [3.0, 5.0], [0, 1]),
        ([1, 2, 3, 4, 5], ["3", " 5 "], [0, 1]),
        ([1, 2, 3, 4, 5], ["NA", ""], [0, 0]),
        ([1, 2, 3, 4, 5], [None, None], [0, 0]),
        ([1, 2, 3, 4, 5], pl.Series([None, None], dtype=pl.String), [0, 0]),
        ([0, 1, 0.5, 0.25, 0.75], [True, False], [1, -1]),
    ],
)
def test_numbers_stored_otherwise(training: Any, later: Any, expected: list[float]) -> None:
    assert np.array(column(training, later)).ravel() == near(bounded(expected))


@pytest.mark.parametrize(
    ("training", "later", "expected"),
    [
        (["1", "2", "x", "x"], [1, 2, 3], [[1, 0, 0], [0, 1, 0], [0, 0, 0]]),
        (["1", "2", "x", "x"], [1.0, 2.5, None], [[1, 0, 0], [0, 0, 0], [0, 0, 0]]),
        (["1", "2", "x", "x"], [7], [[0, 0, 0]]),
        (["True", "False", "?", "?"], [True, False], [[0, 0, 1], [0, 1, 0]]),
        (["a", "b", "c", "c"], [None, None], [[0, 0, 0], [0, 0, 0]]),
        (pl.Series(["a", "b", "c", "c"], dtype=pl.Categorical), ["b"], [[0, 1, 0]]),
    ],
)
def test_texts_stored_otherwise(training: Any, later: Any, expected: list[list[float]]) -> None:
    assert column(training, later) == expected


CHANGED: list[tuple[Any, Any, str]] = [
    ([1, 2, 3], ["1", "", "tall", "x"], r"new.csv: column 'x' was a number in training; now row 3 .* the text 'tall'"),
    ([1, 2, 3], [datetime.date(2024, 1, 1)], "'x' was a number in training; now row 1 .* holds dates"),
    ([True, False], [0, 2], "'x' was true or false in training; now row 2 .* holds 2"),
    ([True, False], ["true", "yes"], "'x' was true or false in training; now row 2 .* the text 'yes'"),
    ([datetime.date(2024, 1, d) for d in (1, 2, 3)], ["2024-01-01", "31.5.2024"], "was a date .* row 2 .* '31.5.2024'"),
    ([datetime.date(2024, 1, d) for d in (1, 2, 3)], [1, 2], "was a date in training; now row 1 .* holds numbers"),
    (
        ["a", "b", "c", "c"],
        [None, 3, 4],
        r"held texts in training \('a', 'b' and 'c'\), and now holds numbers \(row 2: 3",
    ),
    (
        [1.0, 2.0, 3.0],
        [1.0, float("inf"), float("-inf")],
        r"'x' is infinite in rows 2 and 3 \(data rows, the header not",
    ),
    ([1.0, 2.0, 3.0], ["1", "inf"], "'x' is infinite in row 2"),
]


@pytest.mark.parametrize(("training", "later", "words"), CHANGED)
def test_columns_that_changed(training: Any, later: Any, words: str) -> None:
    with pytest.raises(TableError, match=words):
        column(training, later)


DROPPED: list[tuple[Any, str]] = [
    ([5, 5, 5, 5], "always 5"),
    (["a"] * 4, "always 'a'"),
    ([True] * 4, "always true"),
    ([None] * 4, "missing in every training row"),
    ([float("nan")] * 4, "missing in every training row"),
    (["p", "q", "r", "s"], "a different text in each of 4 training rows, like a name or an id"),
    ([datetime.date(2024, 5, 31)] * 4, "always 2024-05-31"),
]


@pytest.mark.parametrize(("values", "reason"), DROPPED)
def test_columns_that_tell_nothing_are_dropped_with_the_reason(values: Any, reason: str) -> None:
    encoder = TableEncoder.fit({"x": values, "guard": [1, 2, 1, 2]})
    assert encoder.dropped == {"x": reason}
    assert encoder.feature_names == ["guard"]
    with pytest.raises(TableError, match=f"no column to learn from: x is {reason}"):
        TableEncoder.fit({"x": values})


@pytest.mark.parametrize("value", [5, "a", True, 2.5])
def test_a_constant_with_missing_cells_tells_which_are_missing(value: Any) -> None:
    encoder = TableEncoder.fit({"x": [value, None, value, value]})
    assert encoder.feature_names == ["x is missing"]
    assert encoder.transform({"x": [None, value]}).tolist() == [[1], [0]]


def test_target_and_ignored_columns() -> None:
    encoder = TableEncoder.fit(PENGUINS, target="species", ignore=["year", "island"])
    assert encoder.dropped == {"year": "ignored, as asked", "island": "ignored, as asked"}
    assert encoder.transform(PENGUINS.drop("species", "year", "island")).shape == (344, encoder.width)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"target": "speces"}, "has no column 'speces'. Did you mean 'species'"),
        ({"ignore": ["yaer"]}, "the table has no column 'yaer'. Did you mean 'year'"),
        ({"target": "species", "ignore": ["species"]}, "'species' is the target and cannot be ignored too"),
        ({"rows": []}, "has no training rows"),
        ({"rows": [400]}, "outside 0, …, 343"),
        ({"rows": [-1]}, "outside 0, …, 343"),
        ({"rows": [0.5]}, "rows must be an array of row indices or a mask"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], words: str) -> None:
    with pytest.raises(TableError, match=words):
        TableEncoder.fit(PENGUINS, **options)


def test_infinite_and_nested_training_cells() -> None:
    with pytest.raises(TableError, match=r"train.csv: column 'x' is infinite in row 3 .* or ignore the column"):
        TableEncoder.fit({"x": [1.0, 2.0, float("inf")]}, rows=[0, 2], source="train.csv")
    TableEncoder.fit({"x": [1.0, 2.0, float("inf")]}, rows=[0, 1])
    with pytest.raises(TableError, match=r"column 'x' holds List.*Ignore the column"):
        TableEncoder.fit(pl.DataFrame({"x": [[1], [2]]}))


def test_only_training_rows_are_looked_at() -> None:
    rows = np.arange(0, 344, 2)
    changed = PENGUINS.with_row_index("i").with_columns(
        body_mass_g=pl.when(pl.col("i") % 2 == 1).then(10**9).otherwise("body_mass_g"),
        island=pl.when(pl.col("i") % 2 == 1).then(pl.lit("elsewhere")).otherwise("island"),
    )
    encoder = TableEncoder.fit(PENGUINS, target="species", rows=rows)
    assert encoder == TableEncoder.fit(changed.drop("i"), target="species", rows=rows)
    assert encoder == TableEncoder.fit(PENGUINS[rows.tolist()], target="species")
    mask = np.arange(344) % 2 == 0
    assert encoder == TableEncoder.fit(PENGUINS, target="species", rows=mask)


def test_reordered_and_further_columns() -> None:
    encoder = TableEncoder.fit(PENGUINS, target="species")
    expected = encoder.transform(PENGUINS)
    shuffled = PENGUINS.select(reversed(PENGUINS.columns)).with_columns(more=pl.lit([1]))
    np.testing.assert_array_equal(encoder.transform(shuffled), expected)


def test_missing_columns() -> None:
    encoder = TableEncoder.fit(PENGUINS, target="species")
    with pytest.raises(TableError) as caught:
        encoder.transform(PENGUINS.drop("island").rename({"year": "Year "}), source="later.csv")
    message = str(caught.value)
    assert "later.csv lacks 2 columns that the model was trained on: 'island' and 'year'" in message
    assert "It has 'Year ' for 'year': rename it." in message


def test_rows_do_not_depend_on_each_other() -> None:
    encoder = TableEncoder.fit(PENGUINS, target="species")
    whole = encoder.transform(PENGUINS)
    for row in (0, 3, 100, 343):
        np.testing.assert_array_equal(encoder.transform(PENGUINS[row : row + 1]), whole[row : row + 1])
    assert encoder.transform(PENGUINS[:0]).shape == (0, encoder.width)


def test_names_of_the_matrix_are_different() -> None:
    encoder = TableEncoder.fit({"x": [1, 2, None], "x is missing": [1, 2, 4]})
    assert encoder.feature_names == ["x", "x is missing", "x is missing (2)"]


@pytest.mark.parametrize("load", ["iris", "breast_cancer", "wine", "diabetes"])
def test_real_tables(load: str) -> None:
    table = getattr(datasets, f"load_{load}")(as_frame=True).frame
    encoder = TableEncoder.fit(table, target="target")
    matrix = encoder.transform(table)
    assert matrix.shape == (len(table), encoder.width)
    assert np.isfinite(matrix).all()
    assert np.abs(matrix).max() <= 3
    assert np.abs(np.median(matrix, axis=0)).max() <= 1


def test_penguins() -> None:
    encoder = TableEncoder.fit(PENGUINS, target="species")
    assert encoder.dropped == {}
    assert encoder.feature_names == [
        *("island = Biscoe", "island = Dream", "island = Torgersen"),
        *("bill_length_mm", "bill_length_mm is missing", "bill_depth_mm", "bill_depth_mm is missing"),
        *("flipper_length_mm", "flipper_length_mm is missing", "body_mass_g", "body_mass_g is missing"),
        *("sex = male", "year"),
    ]
    assert np.isfinite(encoder.transform(PENGUINS)).all()


def test_documents() -> None:
    table = PENGUINS.with_columns(
        day=pl.date_range(datetime.date(2020, 1, 1), datetime.date(2020, 12, 9), eager=True),
        heavy=pl.col("body_mass_g") > 4000,
        same=pl.lit(1),
        part=pl.when(pl.col("year") == 2007).then(pl.lit("x")),
        many=pl.Series([f"m{i // 2}" for i in range(344)]),
    )
    encoder = TableEncoder.fit(table, target="species")
    document = json.loads(json.dumps(encoder.to_json()))
    again = TableEncoder.from_json(document)
    assert again == encoder
    assert again.to_json() == encoder.to_json()
    np.testing.assert_array_equal(again.transform(table), encoder.transform(table))
    assert copy.deepcopy(encoder) == pickle.loads(pickle.dumps(encoder)) == encoder


NUMBER = {"kind": "number", "name": "x", "center": 0.0, "scale": 1.0, "indicator": False}
LEVELS = {"kind": "levels", "name": "x", "levels": ["a", "b", "c"], "missing": False, "other": False}
WHOLE: dict[str, Any] = {"format": "chainrule.table", "version": 1, "columns": [NUMBER], "dropped": {}}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (None, "expected an object with named fields, found NoneType"),
        (WHOLE | {"format": "chainrule.target"}, "its format is 'chainrule.target', not 'chainrule.table'"),
        (WHOLE | {"version": 9}, "has version 9, and this chainrule reads version 1. Update chainrule"),
        (WHOLE | {"version": 0}, "No such version was ever written"),
        (WHOLE | {"columns": []}, "its columns must be at least one"),
        (WHOLE | {"columns": [NUMBER, NUMBER]}, "have different names"),
        (WHOLE | {"dropped": {"x": "why"}}, "have different names"),
        (WHOLE | {"dropped": {"y": 3}}, "a reason in words"),
        (WHOLE | {"columns": {}}, "the field 'columns' is {}; expected list"),
        (WHOLE | {"further": 1}, "unknown field 'further'"),
        (WHOLE | {"columns": [NUMBER | {"kind": "spline"}]}, "stored column 'x': there is no kind of column 'spline'"),
        (WHOLE | {"columns": [NUMBER | {"scale": 0.0}]}, "the scale is 0.0; it must be positive"),
        (WHOLE | {"columns": [NUMBER | {"scale": float("inf")}]}, "'scale' is inf; expected a finite number"),
        (WHOLE | {"columns": [NUMBER | {"center": "0"}]}, "'center' is '0'; expected int or float"),
        (WHOLE | {"columns": [NUMBER | {"center": 10**400}]}, "expected a finite number"),
        (WHOLE | {"columns": [NUMBER | {"indicator": 1}]}, "'indicator' is 1; expected bool"),
        (WHOLE | {"columns": [NUMBER | {"more": 1}]}, "stored column 'x': unknown field 'more'"),
        (WHOLE | {"columns": [{"kind": "number", "name": "x"}]}, "the field 'center' is missing"),
        (WHOLE | {"columns": [LEVELS | {"levels": []}]}, "its levels must be at least one, and different"),
        (WHOLE | {"columns": [LEVELS | {"levels": ["a", "a"]}]}, "its levels must be at least one, and different"),
        (WHOLE | {"columns": [LEVELS | {"levels": ["a", 1]}]}, "'levels' has the item 1"),
        (WHOLE | {"columns": [{"kind": "two levels", "name": "x", "low": "a", "high": "a"}]}, "two levels are equal"),
    ],
)
def test_documents_that_are_nonsense(document: Any, words: str) -> None:
    with pytest.raises(TableError, match=words):
        TableEncoder.from_json(document)


numbers = st.none() | st.floats(allow_infinity=False) | st.integers(-(2**60), 2**60).map(float)
texts = st.none() | st.sampled_from(["a", "b", "c", "d", ""]) | st.text(max_size=3)
tables = st.integers(2, 12).flatmap(
    lambda n: st.fixed_dictionaries(
        {
            "number": st.lists(numbers, min_size=n, max_size=n),
            "text": st.lists(texts, min_size=n, max_size=n),
            "guard": st.just([0, 1] * (n // 2) + [0] * (n % 2)),  # always of use
            "truth": st.lists(st.none() | st.booleans(), min_size=n, max_size=n),
        }
    )
)


@settings(max_examples=200, deadline=None)
@given(tables, tables)
def test_the_matrix_is_finite_and_the_document_exact(training: dict[str, Any], later: dict[str, Any]) -> None:
    encoder = TableEncoder.fit(training)
    again = TableEncoder.from_json(json.loads(json.dumps(encoder.to_json())))
    assert again == encoder
    for table in (training, later):
        matrix = encoder.transform(table)
        assert matrix.shape == (len(table["number"]), encoder.width)
        assert np.isfinite(matrix).all()
        assert np.abs(matrix).max(initial=0) <= 3
        np.testing.assert_array_equal(again.transform(as_frame(table)), matrix)


def test_an_unnamed_index_is_left_out() -> None:
    table = {"column 1": [2, 1, 3], "day": [1, 2, 3]}
    encoder = TableEncoder.fit(table, rows=[0, 2])
    assert (encoder.feature_names, dict(encoder.dropped)) == (["day"], {"column 1": "counts the rows"})
    assert encoder.transform({"day": [2]}).shape == (1, 1)
    assert TableEncoder.fit({"column 1": [2, 1, 5], "day": [1, 2, 3]}).width == 2
