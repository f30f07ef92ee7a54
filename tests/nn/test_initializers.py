"""Initial values: their bounds, their moments, and that a seed is all they depend on."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.nn import INITIALIZERS
from chainrule.nn.initializers import fans, get_initializer

SHAPE = (120, 80)
LIMIT = {"glorot_uniform": sqrt(6 / 200), "he_uniform": sqrt(6 / 120)}
DEVIATION = {
    "glorot_uniform": sqrt(2 / 200),
    "he_uniform": sqrt(2 / 120),
    "glorot_normal": sqrt(2 / 200),
    "he_normal": sqrt(2 / 120),
    "normal": 0.05,
}


def draw(name: str, seed: int = 0, dtype: str = "f64", shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return INITIALIZERS[name](cr.key(seed), shape, dtype)


def test_all_are_tested() -> None:
    assert set(INITIALIZERS) == set(DEVIATION) | {"zeros", "ones"}


@pytest.mark.parametrize("name", LIMIT)
def test_bounds(name: str) -> None:
    values = draw(name)
    assert np.max(np.abs(values)) <= LIMIT[name]
    assert np.max(np.abs(values)) > 0.999 * LIMIT[name], "9600 draws reach the ends"


@pytest.mark.parametrize("name", DEVIATION)
@pytest.mark.parametrize("seed", [0, 1])
def test_moments(name: str, seed: int) -> None:
    """Within four standard errors of each moment."""
    values, deviation = draw(name, seed).ravel() / DEVIATION[name], sqrt(1 / np.prod(SHAPE))
    fourth = 9 / 5 if name in LIMIT else 3.0
    assert abs(values.mean()) < 4 * deviation
    assert abs((values**2).mean() - 1) < 4 * deviation * sqrt(fourth - 1)
    assert abs((values**3).mean()) < 4 * deviation * sqrt(15)
    assert abs((values**4).mean() - fourth) < 4 * deviation * sqrt(96)
    # neighbours, along rows and along columns, have nothing to do with each other
    table = values.reshape(SHAPE)
    assert abs((table[1:] * table[:-1]).mean()) < 4 * deviation
    assert abs((table[:, 1:] * table[:, :-1]).mean()) < 4 * deviation


def test_constants() -> None:
    assert np.array_equal(draw("zeros"), np.zeros(SHAPE))
    assert np.array_equal(draw("ones"), np.ones(SHAPE))


@pytest.mark.parametrize("name", INITIALIZERS)
def test_seeds_and_dtypes(name: str) -> None:
    first = draw(name)
    assert first.dtype == np.float64
    assert draw(name).tobytes() == first.tobytes()
    small = draw(name, dtype="f32")
    assert small.dtype == np.float32
    # The same 24 random bits; what follows rounds to 24 bits at each of a few operations.
    np.testing.assert_allclose(small, first, rtol=0, atol=2e-6 * DEVIATION.get(name, 1.0) + 1e-12)
    if name in DEVIATION:
        assert draw(name, seed=1).tobytes() != first.tobytes()
        assert len(np.unique(first)) > 0.99 * first.size


@pytest.mark.parametrize("shape", [(1, 1), (7,), (3, 0), (), (2, 3, 4)])
@pytest.mark.parametrize("name", INITIALIZERS)
def test_any_shape(name: str, shape: tuple[int, ...]) -> None:
    values = draw(name, shape=shape)
    assert values.shape == shape
    assert np.all(np.isfinite(values))


def test_fans() -> None:
    assert fans((3, 5)) == (3, 5)
    assert fans((2, 3, 5)) == (6, 5)
    assert fans((7,)) == (7, 7)
    assert fans(()) == (1, 1)


def test_by_name_or_function() -> None:
    own: Any = lambda key, shape, dtype: np.full(shape, 0.5)  # noqa: E731
    assert get_initializer("zeros") is INITIALIZERS["zeros"]
    assert get_initializer(own) is own
    p = cr.nn.Dense(3, initializer=own).initialize(np.zeros((1, 2)))
    assert p["weight"].tolist() == [[0.5] * 3] * 2


# --- in a network -----------------------------------------------------------------------------------------------------

NETWORK = cr.nn.Sequential(cr.nn.Dense(4, "relu"), cr.nn.Dense(4, "relu"), cr.nn.Dense(4))
X = np.zeros((1, 4))


def test_a_network_starts_by_its_seed_alone() -> None:
    p = NETWORK.initialize(X, seed=3)
    again = NETWORK.initialize(np.ones((50, 4)), seed=3)
    assert {k: v.tobytes() for k, v in p.items()} == {k: v.tobytes() for k, v in again.items()}
    other = NETWORK.initialize(X, seed=4)
    assert not np.array_equal(p["hidden1.weight"], other["hidden1.weight"])


def test_equal_layers_start_different() -> None:
    p = NETWORK.initialize(X)
    assert not np.array_equal(p["hidden1.weight"], p["hidden2.weight"])
    wide = cr.nn.Sequential(cr.nn.Dense(90), cr.nn.Dense(90)).initialize(np.zeros((1, 90)))
    correlation = np.corrcoef(wide["hidden1.weight"].ravel(), wide["output.weight"].ravel())
    assert abs(correlation[0, 1]) < 4 / 90


def test_a_layer_keeps_its_start_when_another_is_added() -> None:
    """Names, not places, choose the numbers."""
    longer = cr.nn.Sequential(cr.nn.Dense(4, "relu"), cr.nn.Dense(9, "relu"), cr.nn.Dense(4, "relu"), cr.nn.Dense(4))
    a, b = NETWORK.initialize(X), longer.initialize(X)
    assert np.array_equal(a["hidden1.weight"], b["hidden1.weight"])


def test_what_each_activation_starts_with() -> None:
    """He for relu, else Glorot; biases at 0."""
    x = np.zeros((1, 30))
    relu, tanh = (cr.nn.Dense(500, a).initialize(x)["weight"] for a in ("relu", "tanh"))
    assert sqrt(6 / 530) < 0.99 * np.abs(relu).max() <= 0.99 * sqrt(6 / 30)
    assert 0.99 * sqrt(6 / 530) < np.abs(tanh).max() <= sqrt(6 / 530)
    assert not np.any(cr.nn.Dense(500, "relu").initialize(x)["bias"])


@pytest.mark.parametrize("seed", [0, 2**32, 2**64 - 1])
def test_seeds_of_any_size(seed: int) -> None:
    assert np.all(np.isfinite(NETWORK.initialize(X, seed)["hidden1.weight"]))


def test_seeds_use_all_their_bits() -> None:
    found = {NETWORK.initialize(X, seed)["hidden1.weight"].tobytes() for seed in (0, 1, 2**32, 2**32 + 1, 2**63)}
    assert len(found) == 5
