"""Activations far out, at their kinks, and those that are layers."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ChainruleError, TraceError, TypeMismatch
from chainrule.nn import ACTIVATIONS

RNG = np.random.default_rng(2)
FAR = (-1e4, -1e3, -745.0, -100.0, -40.0, -20.0, -3.0, -1e-5, 0.0, 1e-5, 3.0, 20.0, 40.0, 88.0, 100.0, 745.0, 1e4)
ZERO, ONE = Decimal(0), Decimal(1)
SELU = Decimal("1.0507009873554804934193349852946"), Decimal("1.6732632423543772848170429916717")


def sigmoid(z: Decimal) -> Decimal:
    small = (-abs(z)).exp()
    return (ONE if z >= 0 else small) / (ONE + small)


def softplus(z: Decimal) -> Decimal:
    return max(z, ZERO) + (ONE + (-abs(z)).exp()).ln()


def tanh(z: Decimal) -> Decimal:
    return 2 * sigmoid(2 * z) - 1


def silu(z: Decimal) -> tuple[Decimal, Decimal]:
    s = sigmoid(z)
    return z * s, s + z * s * sigmoid(-z)


def mish(z: Decimal) -> tuple[Decimal, Decimal]:
    t = tanh(softplus(z))
    return z * t, t + z * (1 - t * t) * sigmoid(z)


def gelu_tanh(z: Decimal) -> tuple[Decimal, Decimal]:
    root, c = (2 / Decimal("3.14159265358979323846264338327950288")).sqrt(), Decimal("0.044715")
    t = tanh(root * (z + c * z**3))
    return z * (1 + t) / 2, (1 + t) / 2 + z * (1 - t * t) * root * (1 + 3 * c * z * z) / 2


def gelu(z: Decimal) -> tuple[Decimal, Decimal]:
    """Φ by the continued fraction of its tail, or its series: 40 digits."""
    pi = Decimal("3.14159265358979323846264338327950288419716939937510")
    density = (-z * z / 2).exp() / (2 * pi).sqrt()
    x = abs(z)
    if x > 5:
        fraction = x
        for k in range(300, 0, -1):
            fraction = x + k / fraction
        tail = density / fraction
    else:
        term = total = x
        for k in range(1, 200):
            term = term * x * x / (2 * k + 1)
            total += term
        tail = Decimal("0.5") - density * total
    below = tail if z < 0 else 1 - tail
    return z * below, below + z * density


def exponential_unit(scale: Decimal, alpha: Decimal) -> Callable[[Decimal], tuple[Decimal, Decimal]]:
    return lambda z: (scale * z, scale) if z > 0 else (scale * alpha * (z.exp() - 1), scale * alpha * z.exp())


EXACT: dict[str, Callable[[Decimal], tuple[Decimal, Decimal]]] = {
    "identity": lambda z: (z, ONE),
    "sigmoid": lambda z: (sigmoid(z), sigmoid(z) * sigmoid(-z)),
    "tanh": lambda z: (tanh(z), 4 * sigmoid(2 * z) * sigmoid(-2 * z)),
    "relu": lambda z: (max(z, ZERO), ONE if z > 0 else ZERO),
    "leaky_relu": lambda z: (z, ONE) if z > 0 else (z * Decimal("0.01"), Decimal("0.01")),
    "elu": exponential_unit(ONE, ONE),
    "selu": exponential_unit(*SELU),
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "silu": silu,
    "mish": mish,
    "softplus": lambda z: (softplus(z), sigmoid(z)),
    "exponential": lambda z: (z.exp(), z.exp()),
}


def test_every_activation_is_here() -> None:
    assert set(EXACT) | {"softmax", "log_softmax"} == set(ACTIVATIONS)


@pytest.mark.parametrize("executor", ["reference", "native"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", EXACT)
def test_values_and_slopes_far_out(name: str, dtype: Any, executor: str) -> None:
    """Right within a few roundings of 1, or of the value where it is larger; and no NaN from the branch not taken."""
    z = np.array([v for v in FAR if name != "exponential" or v < 80], dtype)

    def both(z: Any) -> Any:
        return {"value": ACTIVATIONS[name](z), "slope": cr.grad(lambda z: np.sum(ACTIVATIONS[name](z)))(z)}

    found = cr.compile(both, executor=executor)(z)
    assert found["value"].dtype == found["slope"].dtype == dtype
    eps = Decimal(float(np.finfo(dtype).eps))
    for i, v in enumerate(z):
        with localcontext(prec=60):
            value, slope = EXACT[name](Decimal(float(v)))
            # 1 + erf and 1 + tanh lose what is small beside 1, and x multiplies what is left
            scale = max(abs(value), min(abs(Decimal(float(v))), Decimal(10))) if "gelu" in name else abs(value)
            near = max(abs(slope), ONE)
            assert abs(Decimal(float(found["value"][i])) - value) <= 8 * eps * max(scale, ZERO) + Decimal("1e-37")
            assert abs(Decimal(float(found["slope"][i])) - slope) <= 16 * eps * near


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_over_the_last_axis(name: str, dtype: Any) -> None:
    z = np.array([[1e4, -1e4, 0.0], [1e4, 1e4, 1e4], [-1.0, 0.0, 2.0]], dtype)
    out = ACTIVATIONS[name](z)
    p = np.exp(out) if name == "log_softmax" else out
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=8 * np.finfo(dtype).eps)
    assert np.isfinite(out).all()
    assert np.isfinite(cr.grad(lambda z: np.sum(ACTIVATIONS[name](z)[:, 0]))(z)).all()
    if name == "log_softmax":
        assert out[0].tolist() == [0.0, -2e4, -1e4]


@pytest.mark.parametrize(
    ("name", "slope"), [("relu", 0.0), ("leaky_relu", 0.01), ("elu", 1.0), ("selu", 1.7580993408473766), ("gelu", 0.5)]
)
def test_slopes_at_zero(name: str, slope: float) -> None:
    assert cr.grad(ACTIVATIONS[name])(0.0) == pytest.approx(slope, rel=1e-15)


def test_gelu_tanh_is_near_gelu() -> None:
    z = np.linspace(-8, 8, 4001)
    assert np.abs(ACTIVATIONS["gelu"](z) - ACTIVATIONS["gelu_tanh"](z)).max() < 5e-4


def test_numbers_of_ones_own() -> None:
    x = RNG.normal(size=(5, 3))
    np.testing.assert_array_equal(cr.nn.LeakyReLU(0.2)({}, x), np.where(x > 0, x, 0.2 * x))
    np.testing.assert_allclose(cr.nn.ELU(0.5)({}, x), np.where(x > 0, x, 0.5 * np.expm1(x)), rtol=1e-15)
    network = cr.nn.Dense(3, activation=cr.nn.ELU(0.5))
    p = network.initialize(x)
    net = x @ p["weight"]
    np.testing.assert_allclose(network(p, x), np.where(net > 0, net, 0.5 * np.expm1(net)), rtol=1e-12)


# --- with parameters --------------------------------------------------------------------------------------------------

LEARNED = {
    "PReLU": (cr.nn.PReLU(), "slope", lambda x, a: np.where(x > 0, x, a * x)),
    "Parametric": (cr.nn.Parametric("mish"), "strength", lambda x, a: x + a * (ACTIVATIONS["mish"](x) - x)),
}


@pytest.mark.parametrize("kind", LEARNED)
def test_learned(kind: str) -> None:
    layer, name, exact = LEARNED[kind]
    x = RNG.normal(size=(6, 4))
    alone = layer.initialize(x)
    assert {k: v.shape for k, v in alone.items()} == {name: (4,)}
    a = RNG.normal(size=4)
    np.testing.assert_allclose(layer({name: a}, x), exact(x, a), rtol=1e-14)
    within = cr.nn.Sequential(cr.nn.Dense(5, activation=layer), cr.nn.Dense(1))
    p = within.initialize(x)
    assert list(p)[:3] == ["hidden1.weight", "hidden1.bias", f"hidden1.activation.{name}"]
    p = {k: RNG.normal(size=v.shape) for k, v in p.items()}
    net = x @ p["hidden1.weight"] + p["hidden1.bias"]
    values = within.activations(p, x)
    assert list(values) == ["hidden1.net", "hidden1.out", "output.net", "output.out"]
    np.testing.assert_allclose(values["hidden1.out"], exact(net, p[f"hidden1.activation.{name}"]), rtol=1e-12)
    assert cr.check_grad(lambda p, x: np.sum(within(p, x) ** 2), p, x, tolerance=1e-6)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("kind", LEARNED)
def test_learned_far_out(kind: str, dtype: Any) -> None:
    layer, name, _ = LEARNED[kind]
    x = np.array([[-1e4, 1e4, 0.0, 100.0]], dtype)
    p = layer.initialize(x)
    value, slopes = cr.value_and_grad(lambda p, x: np.sum(layer(p, x)), argnums=(0, 1))(p, x)
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in (slopes[0][name], slopes[1]))


def test_where_they_start_and_how_they_are_trained() -> None:
    x = np.zeros((1, 3))
    assert cr.nn.PReLU().initialize(x)["slope"].tolist() == [0.25] * 3
    layer = cr.nn.Dense(2, activation=cr.nn.Parametric("selu"))
    assert layer.initialize(x)["activation.strength"].tolist() == [1.0, 1.0]
    declared = layer.declare(cr.nn.input_type(x)).parameters["activation.strength"]
    assert (declared.rate, declared.decay, declared.role) == (0.1, 1.0, "gain")
    assert cr.nn.PReLU().declare(cr.nn.input_type(x)).parameters["slope"].decay == 0.0


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: cr.nn.Parametric("selv"), TraceError, "there is no activation 'selv'; did you mean 'selu'"),
        (lambda: cr.nn.Parametric(cr.nn.PReLU()), TraceError, "Parametric takes the name of an activation"),
        (lambda: cr.nn.Parametric("selu", rate=0.0), TypeMismatch, "Parametric: rate is 0.0; it must be a number"),
        (lambda: cr.nn.PReLU(float("inf")), TypeMismatch, "PReLU: slope is inf; it must be a finite number"),
        (lambda: cr.nn.ELU(0), TypeMismatch, "ELU: alpha is 0; it must be a number greater than 0"),
        (lambda: cr.nn.Dense(2, activation=cr.nn.BatchNorm()), TraceError, "is no activation; put it after"),
        (
            lambda: cr.nn.Dense(2, activation=cr.nn.Sequential(cr.nn.Dense(2))),
            TraceError, "is no activation; put it after the dense layer",
        ),
        (
            lambda: cr.nn.Dense(2, activation=cr.nn.Dense(3)).initialize(np.ones((1, 2))),
            TraceError, "Dense(3) is no activation; put it after the dense layer",
        ),
    ],
)  # fmt: skip
def test_refusals(make: Callable[[], Any], kind: type[ChainruleError], message: str) -> None:
    with pytest.raises(kind) as error:
        make()
    assert message in str(error.value)


# --- functions as layers ----------------------------------------------------------------------------------------------


def test_lambda() -> None:
    x = RNG.normal(size=(5, 3))
    network = cr.nn.Sequential(
        cr.nn.Lambda(lambda x: np.concatenate([x, np.square(x)], axis=1)), cr.nn.Dense(4), cr.nn.Lambda("gelu"),
        cr.nn.Dense(1),
    )  # fmt: skip
    assert list(network.children()) == ["lambda1", "hidden1", "lambda2", "output"]
    p = network.initialize(x)
    assert p["hidden1.weight"].shape == (6, 4)
    np.testing.assert_allclose(
        network(p, x),
        ACTIVATIONS["gelu"](np.concatenate([x, x**2], axis=1) @ p["hidden1.weight"]) @ p["output.weight"],
        rtol=1e-12,
    )
    assert cr.check_grad(lambda p, x: np.sum(network(p, x) ** 2), p, x, tolerance=1e-6)
    assert cr.nn.to_config(network) is None
    assert cr.nn.from_config(cr.nn.to_config(cr.nn.Lambda("gelu"))) == cr.nn.Lambda("gelu")


@pytest.mark.parametrize(
    "function", [lambda x: np.mean(x), lambda x: x.T, lambda x: 3.0], ids=["number", "transposed", "constant"]
)
def test_a_function_that_loses_the_rows(function: Callable[..., Any]) -> None:
    network = cr.nn.Sequential(cr.nn.Lambda(function), cr.nn.Dense(1))
    with pytest.raises(TraceError) as error:
        network.initialize(np.ones((4, 3)))
    assert "it must return one row for each row" in str(error.value)
    assert "right:  cr.nn.Lambda(lambda x: np.mean(x, axis=1, keepdims=True))" in str(error.value)


def test_lambda_refuses_layers() -> None:
    with pytest.raises(TraceError, match="Lambda takes a function; Dense\\(2\\) is a layer, and can stand by itself"):
        cr.nn.Lambda(cr.nn.Dense(2))
