"""The task that a target asks for, and its encoder."""

from __future__ import annotations

import copy
import json
import pickle
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import datasets

from chainrule.errors import TableError
from chainrule.table import TargetEncoder, Task, infer_task


@pytest.mark.parametrize(
    ("values", "kind", "why"),
    [
        (["a", "b", "c", "a"], "multiclass", "y has 3 different texts"),
        (["a", "b", "a", None], "binary", "y has 2 different texts"),
        ([True, False, True], "binary", "y has 2 different values, true and false"),
        ([0, 1, 1, 0], "binary", "y has 2 different whole numbers"),
        ([0.0, 1.0, float("nan"), 1.0], "binary", "y has 2 different whole numbers"),
        ([3, 5] * 4, "binary", "y has 2 different whole numbers"),
        ([0, 1, 2] * 3, "multiclass", "y has 3 different whole numbers, which count from 0 to 2"),
        ([1, 2, 3, 4] * 3, "multiclass", "y has 4 different whole numbers, which count from 1 to 4"),
        ([0, 1, 2] * 2, "regression", "y has 3 different numbers in 6 rows"),
        ([5, 7, 9] * 20, "multiclass", "y has 3 different whole numbers in 60 rows"),
        ([5, 7, 9] * 19, "regression", "y has 3 different numbers in 57 rows"),
        (list(range(21)) * 100, "regression", "y has 21 different numbers in 2,100 rows"),
        ([0.5, 1.5, 0.5], "regression", "y has 2 different numbers in 3 rows"),
        ([Decimal("1.5"), Decimal("2.5"), Decimal("1.5")], "regression", "y has 2 different numbers in 3 rows"),
        (pd.Series([1, 2, 3, 1], dtype="category"), "multiclass", "y has 3 different numbers"),
        (pl.Series("y", ["a", "b", "b"], dtype=pl.Categorical), "binary", "y has 2 different texts"),
        (np.array(["a", "b", "b"]), "binary", "y has 2 different texts"),
    ],
)
def test_inferred(values: object, kind: str, why: str) -> None:
    assert infer_task(values, column="y") == Task(kind, why)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "word", "kind", "why"),
    [
        ([0, 1, 2] * 2, "classification", "multiclass", "classification was asked for, and y has 3 different numbers"),
        ([0, 1, 0], "regression", "regression", "regression was asked for, and y has numbers"),
        ([0, 1, 0], "classification", "binary", "classification was asked for, and y has 2 different numbers"),
        ([0, 1, 0], "binary", "binary", "binary was asked for, and y has 2 different numbers"),
        (["a", "b", "a"], "multiclass", "multiclass", "multiclass was asked for, and y has 2 different texts"),
    ],
)
def test_asked_for(values: object, word: str, kind: str, why: str) -> None:
    assert infer_task(values, word, column="y") == Task(kind, why)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "word", "words"),
    [
        ([None, None], None, "The target 'y' has no value in any row"),
        ([float("nan")], None, "has no value in any row"),
        ([], None, "has no value in any row"),
        (["a", "a", None], None, "has one class only, so there is nothing to learn"),
        ([True, True], None, "has one class only"),
        (["only"], None, "has one class only"),
        ([2.5, 2.5], None, "is 2.5 in every row, so there is nothing to learn"),
        ([7] * 30, "classification", "has one class only"),
        ([f"row {i}" for i in range(30)], None, "different value in every row: it names the rows"),
        ([f"row {i // 1.2}" for i in range(90)], None, r"a different value in \d\d of 90 rows"),
        ([1.5, 2.5, 3.5], "classification", "If it is a quantity, say task regression"),
        (["a", "b"], "regression", "holds texts, and a regression needs numbers"),
        ([True, False], "regression", "holds true or false, and a regression needs numbers"),
        (pd.Series([1, 2], dtype="category"), "regression", "a regression needs numbers"),
        (["a", "b", "c", "a"], "binary", "has 3 classes, and binary needs two. Say multiclass."),
        ([1.5, float("inf"), 2.5], None, r"is infinite in row 2 \(data rows"),
        ([1, 2], "ranking", "There is no task 'ranking'. Say one of classification, regression, binary, multiclass"),
        (pl.Series([1, 2, 3]).cast(pl.Date), None, "holds dates, which are neither classes nor numbers"),
        (pl.Series([[1], [2]]), None, "holds lists or records"),
    ],
)
def test_no_task(values: object, word: str | None, words: str) -> None:
    with pytest.raises(TableError, match=words):
        infer_task(values, word, column="y")


STRAY = [*(f"{i}.5" for i in range(16)), "oops", *map(str, range(16, 199))]


def test_numbers_but_for_a_cell() -> None:
    with pytest.raises(TableError) as caught:
        infer_task(STRAY, column="b")
    assert str(caught.value) == (
        "The target 'b': 199 of 200 cells are numbers, but row 17 holds 'oops' (data rows, the header not counted). "
        "Correct the cell, or leave it empty if it is not known. To take the texts as classes, say task classification."
    )
    with pytest.raises(TableError, match="row 17 holds 'oops'"):
        infer_task(STRAY, "regression", column="b")
    classes = [cell if cell == "oops" else str(i % 20) for i, cell in enumerate(STRAY)]
    assert infer_task(classes, "classification", column="b").kind == "multiclass"
    with pytest.raises(TableError, match="row 17 holds 'oops'"):
        infer_task(classes, column="b")


def test_constant_regression_when_all_equal_integers() -> None:
    with pytest.raises(TableError, match="nothing to learn"):
        infer_task([5, 5, 5], column="y")


@pytest.mark.parametrize(
    ("load", "kind"),
    [("iris", "multiclass"), ("wine", "multiclass"), ("breast_cancer", "binary"), ("digits", "multiclass")],
)
def test_real_classes(load: str, kind: str) -> None:
    assert infer_task(getattr(datasets, f"load_{load}")().target).kind == kind


def test_real_regression() -> None:
    assert infer_task(datasets.load_diabetes().target).kind == "regression"


CLASSES = Task("multiclass", "")
NUMBERS = Task("regression", "")


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (["b", "a", None, "c"], ["a", "b", "c"]),
        ([10, 9, None, -1], [-1, 9, 10]),
        ([True, False, None], [False, True]),
        ([1.0, 0.0, float("nan"), 2.0], [0.0, 1.0, 2.0]),
        (pd.Series([3, 1, 2], dtype="category"), [1, 2, 3]),
        ([2**62 + 1, 2**62], [2**62, 2**62 + 1]),
    ],
)
def test_classes_keep_their_type(values: Any, classes: list[Any]) -> None:
    encoder = TargetEncoder.fit(values, CLASSES)
    assert encoder.classes == classes
    assert [type(each) for each in encoder.classes] == [type(each) for each in classes]
    indices = encoder.transform(classes)
    assert indices.dtype == np.int64
    assert indices.tolist() == list(range(len(classes)))
    assert encoder.labels(indices).tolist() == classes
    assert [type(each) for each in encoder.labels(indices).tolist()] == [type(each) for each in classes]
    again = TargetEncoder.from_json(json.loads(json.dumps(encoder.to_json())))
    assert again == encoder
    assert [type(each) for each in again.classes] == [type(each) for each in classes]


@pytest.mark.parametrize(
    ("training", "later", "indices"),
    [
        (["1", "2", "x"], [1, 2, 1], [0, 1, 0]),
        (["1", "2", "x"], [2.0, 1.0], [1, 0]),
        ([0, 1, 2], ["2", "0"], [2, 0]),
        ([0, 1, 2], [2.0, 0.0], [2, 0]),
        ([0, 1], [True, False], [1, 0]),
        ([True, False], [0, 1], [0, 1]),
        ([True, False], ["True", "false"], [1, 0]),
        (["True", "False", "x"], [True, False], [1, 0]),
        ([0.0, 1.0], [1, 0], [1, 0]),
    ],
)
def test_labels_stored_otherwise(training: list[Any], later: list[Any], indices: list[int]) -> None:
    assert TargetEncoder.fit(training, CLASSES).transform(later).tolist() == indices


def test_only_training_rows_count() -> None:
    values = ["a", "b", "c", "a"]
    encoder = TargetEncoder.fit(values, Task("binary", ""), rows=[0, 1])
    assert encoder.classes == ["a", "b"]
    with pytest.raises(
        TableError, match=r"test.csv: 'y' is 'c' in row 3 \(data rows, .*\), a class that training did not"
    ):
        TargetEncoder.fit(pl.Series("y", values), CLASSES, rows=[0, 1]).transform(values, source="test.csv")
    numbers = TargetEncoder.fit([1.0, 3.0, 1e9], NUMBERS, rows=[0, 1])
    assert (numbers.mean, numbers.std, numbers.low, numbers.high) == (2.0, 1.0, 1.0, 3.0)


def test_regression() -> None:
    encoder = TargetEncoder.fit([1.0, None, 3.0], NUMBERS, column="price")
    z = encoder.transform([1, 2, 3])
    assert z.dtype == np.float32
    assert z.shape == (3, 1)
    assert z.flags.c_contiguous
    assert z.ravel().tolist() == [-1.0, 0.0, 1.0]
    assert encoder.inverse_regression([0.5, 9.0]).tolist() == [2.5, 11.0]
    assert encoder.inverse_regression([0.5, 9.0, -9.0], clamp=True).tolist() == [2.5, 3.0, 1.0]
    assert encoder.classes == []
    with pytest.raises(TableError, match="'price' is a number and has no classes"):
        encoder.labels([0])


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=20))
def test_regression_is_finite_whatever_the_numbers(values: list[float]) -> None:
    if min(values) == max(values):
        return
    encoder = TargetEncoder.fit(values, NUMBERS)
    assert np.isfinite(encoder.transform(values)).all()
    assert TargetEncoder.from_json(json.loads(json.dumps(encoder.to_json()))) == encoder


@pytest.mark.parametrize(
    ("values", "task", "words"),
    [
        ([None, None], CLASSES, "'target' has no value in the training rows"),
        (["a", "a"], CLASSES, "has one class only in the training rows: 'a'"),
        (["a", "b", "c"], Task("binary", ""), "has 3 classes, and a binary task has two"),
        ([2.0, 2.0], NUMBERS, "is 2 in every training row"),
        ([1.0, float("inf")], NUMBERS, "is infinite in row 2"),
        ([1.0, float("inf")], CLASSES, "holds infinite numbers, which cannot be classes"),
    ],
)
def test_unfit(values: object, task: Task, words: str) -> None:
    with pytest.raises(TableError, match=words):
        TargetEncoder.fit(values, task)


@pytest.mark.parametrize(
    ("training", "task", "later", "words"),
    [
        (["a", "b"], CLASSES, ["a", None, None], "new.csv: the target 'y' has no value in rows 2 and 3"),
        (["a", "b"], CLASSES, ["a", "z"], "new.csv: 'y' is 'z' in row 2 .* The classes are 'a' and 'b'"),
        ([0, 1], CLASSES, [0, 3], "'y' is 3 in row 2"),
        ([0, 1], CLASSES, [0, 0.5], "'y' is 0.5 in row 2"),
        ([0, 1], CLASSES, ["0", "one"], "'y' was a number in training; now row 2 .* the text 'one'"),
        ([1.0, 2.0], NUMBERS, ["1", "two"], "'y' was a number in training; now row 2 .* the text 'two'"),
        ([1.0, 2.0], NUMBERS, [1.0, float("inf")], "infinite in row 2"),
    ],
)
def test_later_labels_that_do_not_fit(training: list[Any], task: Task, later: list[Any], words: str) -> None:
    encoder = TargetEncoder.fit(training, task, column="y")
    with pytest.raises(TableError, match=words):
        encoder.transform(later, source="new.csv")


def test_copies() -> None:
    encoder = TargetEncoder.fit(["a", "b"], CLASSES)
    assert copy.deepcopy(encoder) == pickle.loads(pickle.dumps(encoder)) == encoder


CODE = TargetEncoder("binary", "y", ("a", "b")).to_json()
SCALE = TargetEncoder("regression", "y", (), 1.0, 2.0, 0.0, 3.0).to_json()


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "expected an object with named fields, found list"),
        ({}, "the field 'format' is missing"),
        (CODE | {"format": "other"}, "its format is 'other', not 'chainrule.target'"),
        (CODE | {"version": 2}, "has version 2, and this chainrule reads version 1. Update chainrule"),
        (CODE | {"kind": "ranking"}, "there is no task 'ranking'"),
        (CODE | {"classes": ["a"]}, "at least two"),
        (CODE | {"classes": ["b", "a"]}, "different and sorted"),
        (CODE | {"classes": ["a", 1]}, "of one type"),
        (CODE | {"classes": ["a", "b", "c"]}, "a binary task has two classes, not 3"),
        (CODE | {"classes": ["a", None]}, "the field 'classes' has the item None"),
        (CODE | {"more": 1}, "unknown field 'more'"),
        (SCALE | {"std": 0.0}, "the deviation must be positive"),
        (SCALE | {"mean": float("nan")}, "the field 'mean' is nan; expected a finite number"),
        (SCALE | {"mean": "1"}, "the field 'mean' is '1'; expected int or float"),
        (SCALE | {"mean": True}, "the field 'mean' is True"),
        (SCALE | {"low": 5.0}, "the range not empty"),
    ],
)
def test_documents_that_are_nonsense(document: Any, words: str) -> None:
    with pytest.raises(TableError, match=words):
        TargetEncoder.from_json(document)


def test_chosen_rows_are_encoded_and_messages_count_the_whole_column() -> None:
    labels = ["a", None, "b", "z", "a"]
    encoder = TargetEncoder.fit(labels, Task("binary", "said"), [0, 2], column="y")
    assert encoder.transform(labels, [4, 2]).tolist() == [0, 1]
    with pytest.raises(TableError, match="'y' is 'z' in row 4 "):
        encoder.transform(labels, [2, 3])
    with pytest.raises(TableError, match="'y' has no value in row 2 "):
        encoder.transform(labels, [0, 1, 2])
    numbers = [1.0, None, 3.0, float("inf")]
    regression = TargetEncoder.fit(numbers, Task("regression", "said"), [0, 2], column="y")
    assert regression.transform(numbers, [2]).tolist() == [[1.0]]
    with pytest.raises(TableError, match="'y' is infinite in row 4 "):
        regression.transform(numbers, [0, 3])
    flags = TargetEncoder.fit([True, False, None], Task("binary", "said"), [0, 1], column="y")
    assert flags.transform([False, None, True], [0, 2]).tolist() == [0, 1]
