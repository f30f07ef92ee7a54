"""Prediction: links, refusals, and that a row's bits do not depend on the rows beside it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ChainruleError
from chainrule.graph import flatten

RNG = np.random.default_rng(6)


def trained(units: int, columns: int, outputs: int, dtype: str, loss: str, activation: str = "tanh") -> Any:
    x = RNG.normal(size=(40, columns)).astype(dtype)
    y: Any = np.arange(40) % outputs if loss == "softmax_cross_entropy" else RNG.normal(size=(40, outputs))
    network = cr.nn.Sequential(
        cr.nn.Dense(units, activation),
        cr.nn.BatchNorm(),
        cr.nn.Dropout(0.2),
        cr.nn.Dense(units, "relu"),
        cr.nn.Dense(outputs),
    )
    return cr.fit(cr.Objective(network, loss), (x, y), epochs=2, optimizer=cr.learn.Adam(0.05))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(
    ("units", "columns", "outputs"), [(1, 1, 1), (10, 3, 2), (64, 17, 10), (200, 5, 1), (33, 130, 7)]
)
def test_a_row_has_the_same_bits_whatever_goes_with_it(units: int, columns: int, outputs: int, dtype: str) -> None:
    loss = "softmax_cross_entropy" if outputs > 1 else "squared_error"
    predictor = trained(units, columns, outputs, dtype, loss, "sigmoid" if units == 10 else "tanh").predictor
    rows = RNG.normal(size=(1000, columns)).astype(dtype)
    for ask in (predictor.predict, predictor.output):
        whole = ask(rows)
        assert whole.shape == (1000, outputs)
        assert whole.dtype == np.dtype(dtype)
        for i in (0, 1, 63, 64, 500, 998, 999):
            assert ask(rows[i : i + 1]).tobytes() == whole[i].tobytes(), f"row {i} alone"
        assert ask(rows[100:107]).tobytes() == whole[100:107].tobytes()
        order = RNG.permutation(1000)
        assert ask(rows[order]).tobytes() == whole[order].tobytes()
        assert ask(rows[1:]).tobytes() == whole[1:].tobytes()
        assert ask(np.asfortranarray(rows[:300])).tobytes() == whole[:300].tobytes()
        huge = rows[:20].copy()
        huge[3] *= 1e20  # a neighbour that overflows what it likes
        assert np.delete(ask(huge), 3, axis=0).tobytes() == np.delete(whole[:20], 3, axis=0).tobytes()


def test_predictions_are_the_forward_computation() -> None:
    run = trained(10, 3, 4, "f8", "softmax_cross_entropy")
    x = RNG.normal(size=(130, 3))
    logits = run.objective.network(run.parameters, x, state=run.state)
    np.testing.assert_allclose(run.output(x), logits, rtol=1e-12, atol=1e-14)
    power = np.exp(logits)
    np.testing.assert_allclose(run.predict(x), power / power.sum(axis=1, keepdims=True), rtol=1e-12)
    np.testing.assert_allclose(run.predict(x).sum(axis=1), 1, rtol=1e-15)


def test_binary_predictions_are_probabilities() -> None:
    x = RNG.normal(size=(30, 2))
    objective = cr.Objective(cr.nn.Sequential(cr.nn.Dense(1)), "binary_cross_entropy")
    run = cr.fit(objective, (x, (x[:, 0] > 0).astype(int)), epochs=60, optimizer=cr.learn.Adam(0.3))
    np.testing.assert_allclose(run.predict(x), 1 / (1 + np.exp(-run.output(x))), rtol=1e-14)
    assert np.mean((run.predict(x)[:, 0] > 0.5) == (x[:, 0] > 0)) > 0.9


def test_no_rows() -> None:
    run = trained(4, 3, 2, "f8", "squared_error")
    assert run.predict(np.zeros((0, 3))).shape == (0, 2)
    assert run.predict(np.zeros((0, 3))).dtype == np.float64


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros(3), "the network takes rows of shape (n, 3); x has shape (3,): one row is x[None, :]"),
        (np.zeros((2, 4)), "the network takes rows of shape (n, 3); x has shape (2, 4)"),
        (np.zeros((2, 3, 1)), "x has shape (2, 3, 1)"),
        ([[0, np.nan, 0]], "x has nan at row 1, column 2"),
        ([[0, 0, 0], [0, 0, np.inf]], "x has inf at row 2, column 3"),
        ([["a", "b", "c"]], "the input holds texts, not numbers"),
    ],
)
def test_rows_that_do_not_fit(x: Any, message: str) -> None:
    with pytest.raises(ChainruleError) as error:
        trained(4, 3, 2, "f8", "squared_error").predict(x)
    assert message in str(error.value)


def test_rows_too_large_for_float32() -> None:
    run = trained(4, 3, 2, "f4", "squared_error")
    with pytest.raises(ChainruleError, match="x, in float32, has inf at row 1, column 1"):
        run.predict(np.array([[1e39, 0, 0]]))


def test_threads_may_predict_at_once() -> None:
    """Different numbers of rows too, and from a predictor that has never run before."""
    predictor = trained(20, 3, 2, "f8", "squared_error").predictor
    sizes = [int(n) for n in RNG.integers(1, 300, size=60)]
    inputs = [RNG.normal(size=(n, 3)) for n in sizes]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(predictor.predict, inputs))
    for x, y in zip(inputs, found, strict=True):
        assert predictor.predict(x).tobytes() == y.tobytes()


def test_predicting_changes_nothing() -> None:
    run = trained(4, 3, 2, "f8", "squared_error")
    before = [np.asarray(v).tobytes() for v in flatten((run.parameters, run.state))[0]]
    names = set(vars(run))
    x = RNG.normal(size=(5, 3))
    x.setflags(write=False)
    run.predict(x)
    assert [np.asarray(v).tobytes() for v in flatten((run.parameters, run.state))[0]] == before
    assert set(vars(run)) == names
