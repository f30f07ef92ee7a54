"""Layers for the columns of a table: categories, periodic and piecewise linear features, and which columns go where."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ChainruleError, ExecutionError, TrainingError, TypeMismatch

RNG = np.random.default_rng(11)
EXECUTORS = ["reference", "native"]


def random_like(parameters: dict[str, Any], seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {k: rng.normal(size=v.shape) for k, v in parameters.items()}


def categories(rows: int, *counts: int) -> np.ndarray:
    return np.stack([np.random.default_rng(3).integers(0, c, rows) for c in counts], axis=1).astype(float)


# --- embedding --------------------------------------------------------------------------------------------------------


def test_one_table_for_all_columns() -> None:
    layer = cr.nn.Embedding(4, 3)
    x = categories(7, 4, 4)
    p = layer.initialize(x)
    assert {k: v.shape for k, v in p.items()} == {"weight": (4, 3)}
    out = layer(p, x)
    np.testing.assert_array_equal(out, p["weight"][x.astype(int)].reshape(7, 6))
    np.testing.assert_array_equal(layer(p, x.astype(int)), out)


def test_a_table_for_each_column() -> None:
    layer = cr.nn.Embedding([4, 2, 5], 3)
    x = categories(9, 4, 2, 5)
    p = layer.initialize(x)
    assert p["weight"].shape == (11, 3)
    first = np.array([0, 4, 6])
    np.testing.assert_array_equal(layer(p, x), p["weight"][x.astype(int) + first].reshape(9, 9))


def test_the_gradient_is_dense_and_adds_up() -> None:
    layer = cr.nn.Embedding(5, 2)
    x = np.array([[1.0], [3.0], [1.0], [0.0]])
    p, target = layer.initialize(x), RNG.normal(size=(4, 2))
    gradient = cr.grad(lambda p: np.sum((layer(p, x) - target) ** 2))(p)["weight"]
    assert gradient.shape == (5, 2)
    assert not gradient[[2, 4]].any()
    each = 2 * (p["weight"][x[:, 0].astype(int)] - target)
    np.testing.assert_allclose(gradient[1], each[0] + each[2], rtol=1e-14)
    assert cr.check_grad(lambda p: np.sum((layer(p, x) - target) ** 2), p)


def test_it_starts_as_normal_numbers() -> None:
    w = cr.nn.Embedding(3000, 8).initialize(np.zeros((1, 1)))["weight"]
    assert abs(w.mean()) < 4 / np.sqrt(w.size)
    assert abs(w.var() - 1) < 4 * np.sqrt(2 / w.size)


NETWORK = cr.nn.Sequential(
    cr.nn.Concatenate(
        cr.nn.Columns([2, 0], cr.nn.Embedding([3, 6], 2)), cr.nn.Columns(slice(1, 2), cr.nn.Dense(2)), name="front"
    ),
    cr.nn.Dense(1),
)


def mixed(rows: int = 40) -> np.ndarray:
    x = RNG.normal(size=(rows, 3))
    x[:, 0], x[:, 2] = categories(rows, 6, 3).T
    return x


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        (0, 6, "from 0 to 5: row 38, column 1 holds 6"),
        (0, -1, "from 0 to 5: row 38, column 1 holds -1"),
        (2, 3, "from 0 to 2: row 38, column 3 holds 3"),
        (2, 1.5, "from 0 to 2: row 38, column 3 holds no whole number"),
        (2, 1e30, "from 0 to 2: row 38, column 3 holds no whole number"),
        (0, 1e9, "from 0 to 5: row 38, column 1 holds 1000000000"),
        (2, -3e9, "from 0 to 2: row 38, column 3 holds -3000000000"),
    ],
)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("executor", EXECUTORS)
def test_no_category_is_an_error_everywhere(column: int, value: float, said: str, dtype: Any, executor: str) -> None:
    """It names layer, row and column (counted from 1) of the network's input, however the columns were sent."""
    good = mixed().astype(dtype)
    bad = good.copy()
    bad[37, column] = value
    said = f"the layer 'front.embedding1' takes whole numbers {said}"
    y = RNG.normal(size=40)
    objective = cr.Objective(NETWORK, "squared_error")
    run = cr.fit(objective, (good, y), epochs=1, executor=executor)
    calls: list[tuple[type[ChainruleError], Callable[[], Any]]] = [
        (ExecutionError, lambda: NETWORK(run.parameters, bad)),
        (ExecutionError, lambda: cr.compile(NETWORK, executor=executor)(run.parameters, bad)),
        (ExecutionError, lambda: cr.value_and_grad(objective)(run.parameters, (bad, y))),
        (ExecutionError, lambda: run.predict(bad)),
        (TrainingError, lambda: cr.fit(objective, (bad, y), epochs=1, executor=executor)),
        (TrainingError, lambda: cr.fit(objective, (good, y), validation=(bad, y), epochs=1, executor=executor)),
    ]
    for kind, call in calls:
        with pytest.raises(kind) as error:
            call()
        assert said in str(error.value)
    with pytest.raises(TrainingError, match=r"^the validation X: the layer"):
        cr.fit(objective, (good, y), validation=(bad, y), epochs=1, executor=executor)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_the_row_is_named_beyond_the_first_tile(executor: str) -> None:
    x = mixed(3000)
    run = cr.fit(cr.Objective(NETWORK, "squared_error"), (x, x[:, 1]), epochs=1, batch_size=500, executor=executor)
    x[2345, 0] = 9
    with pytest.raises(ExecutionError, match="row 2346, column 1 holds 9"):
        run.predict(x)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_rows_that_do_not_count_may_hold_anything(executor: str) -> None:
    x, y, weight = mixed(), RNG.normal(size=40), np.ones(40)
    x[[0, 7], 0], weight[[0, 7]] = 99, 0
    assert cr.fit(cr.Objective(NETWORK, "squared_error"), (x, y, weight), epochs=1, executor=executor).status == "done"
    x[9, 0] = 99
    with pytest.raises(TrainingError, match="row 10, column 1 holds 99"):
        cr.fit(cr.Objective(NETWORK, "squared_error"), (x, y, weight), epochs=1, executor=executor)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_categories_that_are_computed_are_checked_batch_by_batch(executor: str) -> None:
    """What depends on parameters changes from step to step: it is looked at where it is used."""
    network = cr.nn.Sequential(
        cr.nn.Scale(),
        cr.nn.Lambda(lambda x: np.floor(np.abs(x) * 10)),
        cr.nn.Embedding(5, 2, name="made"),
        cr.nn.Dense(1),
    )
    objective = cr.Objective(network, "squared_error")
    x = np.full((6, 1), 0.1)
    assert cr.fit(objective, (x, x), epochs=2, executor=executor).status == "done"
    x[4] = 0.95
    with pytest.raises(ExecutionError) as error:
        cr.fit(objective, (x, x), epochs=2, executor=executor, shuffle=False)
    assert "the layer 'made' takes whole numbers from 0 to 4: row 5, value 1 of what the layer reads, holds 9" in str(
        error.value
    )


def test_a_saved_model_checks_too(tmp_path: Any) -> None:
    x = mixed()
    run = cr.fit(cr.Objective(NETWORK, "squared_error"), (x, x[:, 1]), epochs=1)
    run.save(tmp_path / "m")
    model = cr.load(tmp_path / "m")
    assert model.predict(x).tobytes() == run.predict(x).tobytes()
    x[3, 2] = 7
    with pytest.raises(
        ExecutionError, match=r"'front.embedding1' takes whole numbers from 0 to 2: row 4, column 3 holds 7"
    ):
        model.predict(x)


# --- periodic features ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_input", [True, False])
@pytest.mark.parametrize("with_sine", [True, False])
def test_periodic(with_input: bool, with_sine: bool) -> None:
    layer = cr.nn.Periodic(5, 3, with_input=with_input, with_sine=with_sine, activation="relu")
    x = RNG.normal(size=(6, 2))
    p = random_like(layer.initialize(x))
    angle = 2 * np.pi * x[:, :, None] * p["frequency"]
    waves = np.concatenate([np.cos(angle), np.sin(angle)], axis=2) if with_sine else np.cos(angle + p["phase"])
    out = np.maximum(np.einsum("nci,cio->nco", waves, p["weight"]) + p["bias"], 0)
    if with_input:
        out = np.concatenate([x[:, :, None], out], axis=2)
    np.testing.assert_allclose(layer(p, x), out.reshape(6, -1), rtol=1e-11, atol=1e-13)
    assert cr.check_grad(lambda p, x: np.sum(layer(p, x) ** 2), p, x, tolerance=1e-6)


def test_how_periodic_features_start() -> None:
    """RealMLP's: w from N(0, 0.1²), b from U(−π, π), 3 numbers and x itself for each column."""
    p = cr.nn.Periodic().initialize(np.zeros((1, 400)))
    assert {k: v.shape for k, v in p.items()} == {
        "frequency": (400, 16), "phase": (400, 16), "weight": (400, 16, 3), "bias": (400, 3)
    }  # fmt: skip
    w, b = p["frequency"], p["phase"]
    assert abs(w.std() / 0.1 - 1) < 4 / np.sqrt(2 * w.size)
    assert np.abs(b).max() <= np.pi
    assert abs(b.var() / (np.pi**2 / 3) - 1) < 4 * np.sqrt(0.8 / b.size)
    assert 0.249 < np.abs(p["weight"]).max() <= 0.25


# --- piecewise linear features ----------------------------------------------------------------------------------------

BINS = [[-1.0, 0.0, 0.5, 2.0], [0.0, 1.0]]


def by_hand(x: np.ndarray, edges: list[float]) -> np.ndarray:
    parts = []
    last = len(edges) - 2
    for t, (a, b) in enumerate(pairwise(edges)):
        part = (x - a) / (b - a)
        part = part if t == 0 else np.maximum(part, 0)
        parts.append(part if t == last else np.minimum(part, 1))
    return np.stack(parts, axis=1)


def test_piecewise_linear() -> None:
    layer = cr.nn.PiecewiseLinear(BINS)
    x = np.concatenate([RNG.normal(size=(20, 2)) * 2, [[-5.0, 7.0], [5.0, -7.0]]])
    wide = np.concatenate([by_hand(x[:, i], edges) for i, edges in enumerate(BINS)], axis=1)
    np.testing.assert_allclose(layer({}, x), wide, rtol=1e-14)
    assert layer.initialize(x) == {}
    assert cr.check_grad(lambda x: np.sum(layer({}, x) ** 2), x, tolerance=1e-7)
    small = layer({}, x.astype(np.float32))
    assert small.dtype == np.float32
    np.testing.assert_allclose(small, wide, rtol=1e-5, atol=1e-6)


def test_piecewise_linear_with_units() -> None:
    layer = cr.nn.PiecewiseLinear(BINS, units=4, activation="relu")
    x = RNG.normal(size=(6, 2)) * 2
    p = random_like(layer.initialize(x))
    assert {k: v.shape for k, v in p.items()} == {"weight": (2, 3, 4), "bias": (2, 4)}
    parts = [by_hand(x[:, i], edges) @ p["weight"][i, : len(edges) - 1] + p["bias"][i] for i, edges in enumerate(BINS)]
    np.testing.assert_allclose(layer(p, x), np.maximum(np.concatenate(parts, axis=1), 0), rtol=1e-12, atol=1e-14)
    assert cr.check_grad(lambda p, x: np.sum(layer(p, x) ** 2), p, x, tolerance=1e-6)


def test_bins_from_quantiles() -> None:
    x = np.stack([np.arange(101.0), np.repeat([0.0, 1.0], [90, 11]), np.full(101, 3.0)], axis=1)
    layer = cr.nn.PiecewiseLinear.from_quantiles(x, bins=4, units=2)
    assert layer.bins == ((0.0, 25.0, 50.0, 75.0, 100.0), (0.0, 1.0), (3.0, 4.0))
    assert layer.units == 2
    alone = cr.nn.PiecewiseLinear.from_quantiles(x, bins=4)
    assert not alone({}, x)[:, -1].any()


# --- which columns go where -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "taken"),
    [
        ([0], [0]), ([3, 1], [3, 1]), ((1, 2, 0), [1, 2, 0]), (range(1, 4), [1, 2, 3]), ([-1, 0], [3, 0]),
        (slice(1, None), [1, 2, 3]), (slice(None, None, 2), [0, 2]), (slice(None, None, -1), [3, 2, 1, 0]),
        (np.array([2, 2]), [2, 2]),
    ],
)  # fmt: skip
def test_columns(columns: Any, taken: list[int]) -> None:
    x = RNG.normal(size=(5, 4))
    layer = cr.nn.Columns(columns)
    np.testing.assert_array_equal(layer({}, x), x[:, taken])
    np.testing.assert_array_equal(cr.compile(lambda x: layer({}, x))(x), x[:, taken])
    assert layer.declare(cr.nn.input_type(x)).gives.shape[1] == len(taken)
    dense = cr.nn.Columns(columns, cr.nn.Dense(2))
    assert dense.initialize(x)["weight"].shape == (len(taken), 2)
    assert cr.nn.from_config(cr.nn.to_config(dense)) == dense


def test_columns_within_columns_count_in_the_input() -> None:
    inner = cr.nn.Columns([1], cr.nn.Embedding(2, 1))
    network = cr.nn.Sequential(cr.nn.Columns([3, 2, 0], cr.nn.Sequential(inner, cr.nn.Dense(1))))
    x = np.zeros((3, 4))
    p = network.initialize(x)
    x[1, 2] = 5
    with pytest.raises(ExecutionError, match="row 2, column 3 holds 5"):
        network(p, x)


def test_concatenate() -> None:
    network = cr.nn.Concatenate(cr.nn.Dense(2, "tanh"), cr.nn.Lambda("identity"), cr.nn.Dense(3))
    x = RNG.normal(size=(4, 2))
    p = network.initialize(x)
    assert list(p) == ["hidden1.weight", "hidden1.bias", "hidden2.weight", "hidden2.bias"]
    parts = [np.tanh(x @ p["hidden1.weight"]), x, x @ p["hidden2.weight"]]
    np.testing.assert_allclose(network(p, x), np.concatenate(parts, axis=1), rtol=1e-13)
    assert cr.check_grad(lambda p, x: np.sum(network(p, x) ** 2), p, x, tolerance=1e-7)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cr.nn.Embedding(0, 2), "Embedding: categories is 0; it must be a whole number of at least 1"),
        (lambda: cr.nn.Embedding([], 2), "Embedding: categories is empty"),
        (lambda: cr.nn.Embedding([3, 2.5], 2), "Embedding: categories is 2.5"),
        (lambda: cr.nn.Embedding(3, 0), "Embedding: units is 0"),
        (lambda: cr.nn.Embedding(2**24 + 1, 1), "16777217 categories are more than float32 can tell apart"),
        (
            lambda: cr.nn.Embedding([3, 2], 2).initialize(np.ones((1, 3))),
            "Embedding: there are categories for 2 columns, the input has 3",
        ),
        (lambda: cr.nn.Periodic(0), "Periodic: frequencies is 0"),
        (lambda: cr.nn.Periodic(sigma=0.0), "Periodic: sigma is 0.0; it must be a number greater than 0"),
        (lambda: cr.nn.Periodic(activation=cr.nn.PReLU()), "Periodic: activation must be a name or a function"),
        (lambda: cr.nn.PiecewiseLinear([]), "PiecewiseLinear: bins holds the edges of each column"),
        (lambda: cr.nn.PiecewiseLinear([[0.0]]), "the bins of column 0 are [0.0]; they must be at least two finite"),
        (lambda: cr.nn.PiecewiseLinear([[0.0, 1.0], [1.0, 1.0]]), "the bins of column 1 are [1.0, 1.0]"),
        (
            lambda: cr.nn.PiecewiseLinear([[0.0, 1.0]]).initialize(np.ones((1, 2))),
            "PiecewiseLinear: there are bins for 1 columns, the input has 2",
        ),
        (
            lambda: cr.nn.PiecewiseLinear.from_quantiles(np.array([[np.nan]])),
            "bins are taken from rows of finite numbers; x has shape (1, 1)",
        ),
        (lambda: cr.nn.Columns([0.5]), "Columns: columns is [0.5]; give whole numbers or a slice"),
        (lambda: cr.nn.Columns([]), "Columns: columns is []"),
        (lambda: cr.nn.Columns([True]), "Columns: columns is [True]"),
        (lambda: cr.nn.Columns([4])({}, np.ones((1, 4))), "there is no column 4: the input has 4, 0 to 3"),
        (lambda: cr.nn.Columns(slice(7, None))({}, np.ones((1, 4))), "takes none of 4 columns"),
    ],
)
def test_refusals(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(TypeMismatch) as error:
        make()
    assert message in str(error.value)
