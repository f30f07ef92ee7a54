"""Initial values: their bounds, their moments, and that a seed is all they depend on."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
import pytest
import scipy.stats

import chainrule as cr
from chainrule.errors import TypeMismatch
from chainrule.nn import INITIALIZERS
from chainrule.nn.initializers import fans, get_initializer

SHAPE = (120, 80)
LIMIT = {
    "glorot_uniform": sqrt(6 / 200),
    "he_uniform": sqrt(6 / 120),
    "lecun_uniform": sqrt(3 / 120),
    "uniform": 0.05,
}
CUT = 0.773741
"""The variance of a normal number that is drawn again until it is within 2 of 0: 1 − 4φ(2)/(2Φ(2) − 1)."""
DEVIATION = {
    "glorot_uniform": sqrt(2 / 200),
    "he_uniform": sqrt(2 / 120),
    "glorot_normal": sqrt(2 / 200),
    "he_normal": sqrt(2 / 120),
    "lecun_uniform": sqrt(1 / 120),
    "lecun_normal": sqrt(1 / 120),
    "uniform": 0.05 / sqrt(3),
    "normal": 0.05,
    "truncated_normal": 0.05 * sqrt(CUT),
}


CUT_FOURTH = 2.3655
"""Of the same, E z⁴ / (E z²)²: E z⁴ = 3 E z² − 8·2φ(2)/(2Φ(2) − 1)."""


def draw(name: str, seed: int = 0, dtype: str = "f64", shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return INITIALIZERS[name](cr.key(seed), shape, dtype)


def test_all_are_tested() -> None:
    assert set(INITIALIZERS) == set(DEVIATION) | {"zeros", "ones", "orthogonal"}


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
    fourth = 9 / 5 if name in LIMIT else CUT_FOURTH if name == "truncated_normal" else 3.0
    assert abs(values.mean()) < 4 * deviation
    assert abs((values**2).mean() - 1) < 4 * deviation * sqrt(fourth - 1)
    assert abs((values**3).mean()) < 4 * deviation * sqrt(15)
    assert abs((values**4).mean() - fourth) < 4 * deviation * sqrt(96)
    # neighbours, along rows and along columns, have nothing to do with each other
    table = values.reshape(SHAPE)
    assert abs((table[1:] * table[:-1]).mean()) < 4 * deviation
    assert abs((table[:, 1:] * table[:, :-1]).mean()) < 4 * deviation


def test_moments_of_the_cut_normal_are_those_of_scipy() -> None:
    variance = float(scipy.stats.truncnorm(-2, 2).var())
    assert pytest.approx(variance, rel=1e-5) == CUT
    assert pytest.approx(float(scipy.stats.truncnorm(-2, 2).moment(4)) / variance**2, rel=1e-4) == CUT_FOURTH
    assert np.abs(draw("truncated_normal")).max() <= 0.1
    assert np.abs(draw("truncated_normal")).max() > 0.0995


@pytest.mark.parametrize("shape", [(40, 30), (30, 40), (5, 6, 7), (1, 4)])
def test_orthogonal(shape: tuple[int, ...]) -> None:
    w = draw("orthogonal", shape=shape).reshape(-1, shape[-1])
    square = w.T @ w if w.shape[0] >= w.shape[1] else w @ w.T
    np.testing.assert_allclose(square, np.eye(len(square)), atol=1e-13)
    np.testing.assert_allclose(cr.nn.Orthogonal(2.0)(cr.key(0), shape, "f64"), 2 * draw("orthogonal", shape=shape))


def test_orthogonal_is_uniform_over_all() -> None:
    """Each element of such a matrix has mean 0 and variance 1/n, and so have those on the diagonal."""
    many = np.stack([draw("orthogonal", seed, shape=(6, 6)) for seed in range(800)])
    diagonal = np.diagonal(many, axis1=1, axis2=2)
    for values in (many, diagonal):
        assert abs(values.mean()) < 4 * sqrt(1 / 6 / values.size)
        # the fourth moment of an element is 3/(n(n + 2))
        assert abs((values**2).mean() - 1 / 6) < 4 * sqrt((3 / 48 - 1 / 36) / values.size) + 1e-12


def test_numbers_of_ones_own() -> None:
    key = cr.key(0)
    values = cr.nn.Uniform(1.0, 3.0)(key, SHAPE, "f64")
    assert 1 <= values.min() < 1.001
    assert 2.999 < values.max() <= 3
    values = cr.nn.Normal(0.5, mean=2.0)(key, SHAPE, "f64")
    assert abs(values.mean() - 2) < 4 * 0.5 / sqrt(values.size)
    assert abs(values.std() / 0.5 - 1) < 4 / sqrt(2 * values.size)
    assert np.abs(cr.nn.TruncatedNormal(3.0)(key, SHAPE, "f64")).max() <= 6.0
    assert cr.nn.Constant(0.25)(key, (2,), "f32").tolist() == [0.25, 0.25]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cr.nn.Normal(0.0), "Normal: deviation is 0.0; it must be greater than 0"),
        (lambda: cr.nn.Normal("wide"), "Normal: deviation is 'wide'; it must be a finite number"),
        (lambda: cr.nn.Uniform(1.0, 1.0), "Uniform: low is 1.0 and high is 1.0; low must be less"),
        (lambda: cr.nn.Orthogonal(-1), "Orthogonal: gain is -1; it must be greater than 0"),
        (lambda: cr.nn.Constant(float("nan")), "Constant: value is nan; it must be a finite number"),
    ],
)
def test_numbers_that_are_refused(make: Any, message: str) -> None:
    with pytest.raises(TypeMismatch) as error:
        make()
    assert message in str(error.value)


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

    def own(key: Any, shape: tuple[int, ...], dtype: str) -> Any:
        return np.full(shape, 0.5)

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
