"""Arrays in subscripts: along any axis, side by side, masks that are known; out of range and what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from op_executors import EXECUTORS, equals_numpy, slopes

import chainrule as cr
from chainrule.errors import ExecutionError, TraceError, TypeMismatch
from chainrule.execute import get_executor
from chainrule.graph import Type, n

CUBE = np.random.default_rng(0).normal(size=(4, 5, 6))
I, J = np.array([0, -1, 3]), np.array([2, 2, -5])
MASK = CUBE > 0.3

CHOSEN: Mapping[str, Callable[[Any], Any]] = {
    "the last": lambda x: x[[-1]],
    "from both ends": lambda x: x[[0, -1, -4]],
    "nothing": lambda x: x[[]],
    "nothing of an axis": lambda x: x[:, []],
    "take from the end": lambda x: np.take(x, [-1, 0], axis=1),
    "take from the end of all": lambda x: np.take(x, [-1, 3]),
    "take nothing": lambda x: np.take(x, np.zeros(0, int), axis=2),
    "take one": lambda x: np.take(x, -1, axis=0),
    "small integers": lambda x: x[I.astype(np.int32)],
    "columns": lambda x: x[:, I],
    "the last axis": lambda x: x[..., I],
    "pairs": lambda x: x[I, J],
    "pairs after a slice": lambda x: x[1:, I, J],
    "pairs and a slice": lambda x: x[I, J, ::2],
    "triples": lambda x: x[I, J, I],
    "an array and a number": lambda x: x[I, 0],
    "a number and an array": lambda x: x[-1, I],
    "a table of pairs": lambda x: x[I[:, None], J],
    "a table of places": lambda x: x[:, np.array([[0, 1], [-1, 2]])],
    "beside slices": lambda x: x[::2, I[:2], 1:3],
    "beside a turned slice": lambda x: x[::-1, [0, -1]],
    "known mask": lambda x: x[MASK],
    "known mask of rows": lambda x: x[np.array([True, False, True, True])],
    "known mask of columns": lambda x: x[:, [True, False, True, True, False]],
    "known mask of two axes": lambda x: x[MASK[:, :, 0]],
    "known mask at the end": lambda x: x[..., MASK[0, 0]],
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CHOSEN)
def test_what_is_chosen_is_numpys(name: str, dtype: Any) -> None:
    x = CUBE.astype(dtype)
    equals_numpy(CHOSEN[name], x)
    counts = np.zeros(x.size)
    np.add.at(counts, CHOSEN[name](np.arange(x.size).reshape(x.shape)).ravel(), 1.0)  # how often each one was chosen
    for slope in slopes(CHOSEN[name], x):
        np.testing.assert_array_equal(slope, counts.reshape(x.shape).astype(dtype), strict=True)


def test_traced_places_side_by_side() -> None:
    i, j = np.array([0, 1, 3]), np.array([2, 2, 4])
    for function in (
        lambda x, i, j: x[i, j],
        lambda x, i, j: x[i, j, 1],
        lambda x, i, j: x[:, i, j],
        lambda x, i, j: x[i[:, None], j],
        lambda x, i, j: x[np.arange(3), j],
        lambda x, i, j: x[i, -1],
    ):
        equals_numpy(function, CUBE, i, j)


def test_a_traced_place_out_of_its_axis_is_an_error_and_not_the_next_line() -> None:
    graph = cr.make_graph(lambda x, i, j: x[i, j], CUBE, np.zeros(2, int), np.zeros(2, int))
    for bad in (5, -1):
        for executor in EXECUTORS:
            with pytest.raises(ExecutionError, match=r"take: the index -1 is out of range; .* counts from 0, not from"):
                get_executor(executor).run(graph, [CUBE, np.zeros(2, int), np.array([0, bad])])


def test_the_entries_of_the_right_classes_over_n_rows() -> None:
    """What a loss by hand writes: the scores of the right classes, for any number of rows."""
    graph = cr.make_graph(lambda x: x[[-1, 0]], Type("f64", (n, 4)))
    for rows in (1, 3):
        x = np.random.default_rng(rows).normal(size=(rows, 4))
        for executor in EXECUTORS:
            np.testing.assert_array_equal(get_executor(executor).run(graph, [x])[0], x[[-1, 0]])


@pytest.mark.parametrize(
    ("refused", "error", "message"),
    [
        (lambda x: x[[4]], IndexError, "index 4 is out of range for axis 0 of f64[4,5,6]"),
        (lambda x: x[[0, -5]], IndexError, "index -5 is out of range for axis 0 of f64[4,5,6]"),
        (lambda x: x[I, [7]], IndexError, "index 7 is out of range for axis 1 of f64[4,5,6]"),
        (lambda x: np.take(x, [9], axis=1), IndexError, "index 9 is out of range for axis 1 of f64[4,5,6]"),
        (lambda x: np.take(x, [120]), IndexError, "index 120 is out of range for axis 0 of f64[120]"),
        (lambda x: x[I, :, J], TraceError, "must stand side by side\n  wrong:  x[rows, :, columns]"),
        (lambda x: x[I, None], TraceError, "None beside an array of integers is not available: x[rows][:, None]"),
        (lambda x: x[I, [0.5]], TypeMismatch, "it cannot be indexed with f64[1]; integers can be places"),
        (lambda x: x[I, x[:3, 0, 0]], TypeMismatch, "it cannot be indexed with f64[3]; integers can be places: conve"),
        (lambda x: np.take_along_axis(x, x[:, :1], axis=1), TypeMismatch, "take_along_axis: the indices are f64[4,1,"),
        (lambda x: x[[True]], TypeMismatch, "the mask has the shape [1], the axes from axis 0 on [4]"),
        (lambda x: x[x > 0, 0], TraceError, "right:  np.where(x > 0, x, 0).sum()"),
        (lambda x: x[I, J, I, J], TypeMismatch, "it has 3 axes, the index has 4"),
        (lambda x: x[[0, 1], [0, 1, 2]], TypeMismatch, "arrays of the shapes [(2,), (3,)] in an index do not broadca"),
        (lambda x: x[I, 1.5], TraceError, "it cannot be indexed with 1.5; use numbers, slices, None and …"),
    ],
)  # fmt: skip
def test_what_cannot_be_chosen(refused: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        cr.make_graph(refused, CUBE)
