"""A start that is fitted to data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.errors import TraceError

RNG = np.random.default_rng(6)
X = RNG.normal(size=(300, 4)) * [1.0, 10.0, 0.1, 1.0] + [0.0, 5.0, 0.0, -3.0]
X[:, 3] = RNG.integers(0, 3, 300)

NETWORK = nn.Sequential(
    nn.Concatenate(nn.Columns([3], nn.Embedding(3, 4)), nn.Columns([0, 1, 2], nn.Rated(nn.Periodic(), rate=0.1))),
    nn.Scale(),
    nn.Residual(nn.Dense(9, activation=nn.Parametric("mish")), nn.Dense(16)),
    nn.Dropout(),
    nn.BatchNorm(),
    nn.Frozen(nn.Dense(7, "relu", bias=False)),
    nn.Dense(2),
)
DENSE = ["residual1.hidden1", "residual1.hidden2", "hidden1", "output"]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_every_net_input_has_deviation_1(dtype: Any) -> None:
    x = X.astype(dtype)
    p = nn.initialize_from_data(NETWORK, x)
    plain = NETWORK.initialize(x)
    assert {k: (v.shape, v.dtype) for k, v in p.items()} == {k: (v.shape, v.dtype) for k, v in plain.items()}
    values = NETWORK.activations(p, x, state=NETWORK.initial_state(x))
    for layer in DENSE:
        deviation = values[f"{layer}.net"].std(axis=0)
        np.testing.assert_allclose(deviation, 1, rtol=1e-4 if dtype == np.float32 else 1e-12)
    changed = {k for k in p if not np.array_equal(p[k], plain[k])}
    assert changed == {f"{d}.weight" for d in DENSE} | {f"{d}.bias" for d in DENSE if d != "hidden1"}


def test_biases_are_where_the_rows_are() -> None:
    """Minus a convex mixture of net inputs: within their range, around minus their mean, a fifth to a third as wide."""
    network = nn.Dense(4000)
    p = nn.initialize_from_data(network, X)
    net = X @ p["weight"]
    assert np.all((-p["bias"] <= net.max(axis=0)) & (-p["bias"] >= net.min(axis=0)))
    away = -p["bias"] - net.mean(axis=0)
    # of shares that are exponential numbers over their sum, E Σ share² = 2/(5 + 1)
    assert abs(away.var() - 2 / 6) < 0.05
    assert abs(away.mean()) < 0.05
    assert not nn.initialize_from_data(network, X, biases=False)["bias"].any()


def test_it_depends_on_the_seed_alone() -> None:
    one, again, other = (nn.initialize_from_data(NETWORK, X, seed) for seed in (3, 3, 4))
    assert {k: v.tobytes() for k, v in one.items()} == {k: v.tobytes() for k, v in again.items()}
    assert not np.array_equal(one["output.bias"], other["output.bias"])


def test_a_constant_net_input_is_left_alone() -> None:
    network = nn.Sequential(nn.Dense(3, initializer="zeros"), nn.Dense(2))
    p = nn.initialize_from_data(network, X)
    assert all(np.isfinite(v).all() for v in p.values())
    assert not p["hidden1.weight"].any()


def test_tied_weights_and_training() -> None:
    network = nn.Sequential(
        nn.Columns([0, 1, 2], nn.Dense(3, "tanh")), nn.Dense(3, "tanh"), nn.Dense(1), tie={"hidden2": "hidden1"}
    )
    p = nn.initialize_from_data(network, X)
    values = network.activations(p, X)
    np.testing.assert_allclose(values["hidden1.net"].std(axis=0), 1, rtol=1e-12)
    run = cr.fit(cr.Objective(network, "squared_error"), (X, X[:, 0]), parameters=p, epochs=1)
    assert run.at(0).parameters["hidden1.weight"].tobytes() == p["hidden1.weight"].tobytes()


@pytest.mark.parametrize("x", [X[:1], X[0], np.full((3, 4), np.nan)], ids=["one row", "no rows", "not finite"])
def test_refusals(x: Any) -> None:
    with pytest.raises(TraceError, match="initialize_from_data takes at least two rows of finite numbers; x has shape"):
        nn.initialize_from_data(NETWORK, x)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("value", [0.1, 1e6, -3.7])
def test_a_net_input_that_is_constant_but_for_rounding_is_left_as_it_is(value: float, dtype: str) -> None:
    x = np.full((50, 7), value, dtype)
    x[::2] *= 1 + np.finfo(dtype).eps  # what rounding leaves of a column that is constant
    network = cr.nn.Sequential(cr.nn.Dense(4, "tanh"), cr.nn.Dense(1))
    found, start = cr.nn.initialize_from_data(network, x), network.initialize(x)
    np.testing.assert_array_equal(found["hidden1.weight"], start["hidden1.weight"])
    assert all(np.max(np.abs(v)) < 100 * max(1, abs(value)) for v in found.values())
