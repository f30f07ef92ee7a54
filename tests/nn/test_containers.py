"""Layers made of layers: residual blocks, shared parameters, and how parameters are trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ChainruleError, TraceError, TypeMismatch
from chainrule.nn import input_type

RNG = np.random.default_rng(4)
X = RNG.normal(size=(6, 4))


def random_like(parameters: Mapping[str, Any], seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {k: rng.normal(size=v.shape) for k, v in parameters.items()}


def test_layer_norm() -> None:
    layer = cr.nn.LayerNorm()
    p = random_like(layer.initialize(X))
    assert {k: v.shape for k, v in p.items()} == {"gain": (4,), "shift": (4,)}
    normal = (X - X.mean(axis=1, keepdims=True)) / np.sqrt(X.var(axis=1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(layer(p, X), normal * p["gain"] + p["shift"], rtol=1e-12)
    assert cr.check_grad(lambda p, x: np.sum(layer(p, x) ** 2), p, X, tolerance=1e-6)
    assert layer(p, X, training=True).tobytes() == layer(p, X).tobytes()
    constant = layer(p, np.full((2, 4), 1e4))
    np.testing.assert_array_equal(constant, np.tile(p["shift"], (2, 1)))
    with pytest.raises(TypeMismatch, match="LayerNorm: epsilon is 0"):
        cr.nn.LayerNorm(0)


def test_scale() -> None:
    layer = cr.nn.Scale()
    assert layer.initialize(X)["gain"].tolist() == [1.0] * 4
    p = random_like(layer.initialize(X))
    np.testing.assert_array_equal(layer(p, X), X * p["gain"])
    assert cr.check_grad(lambda p, x: np.sum(layer(p, x) ** 2), p, X)


# --- residual ---------------------------------------------------------------------------------------------------------


def test_residual() -> None:
    network = cr.nn.Sequential(
        cr.nn.Residual(cr.nn.Dense(5, "tanh"), cr.nn.Dense(4)), cr.nn.Residual(cr.nn.Dense(4)), cr.nn.Dense(1)
    )
    p = random_like(network.initialize(X))
    assert list(p) == [
        "residual1.hidden1.weight", "residual1.hidden1.bias", "residual1.hidden2.weight", "residual1.hidden2.bias",
        "residual2.hidden1.weight", "residual2.hidden1.bias", "output.weight", "output.bias",
    ]  # fmt: skip
    h = np.tanh(X @ p["residual1.hidden1.weight"] + p["residual1.hidden1.bias"])
    h = X + h @ p["residual1.hidden2.weight"] + p["residual1.hidden2.bias"]
    h = h + h @ p["residual2.hidden1.weight"] + p["residual2.hidden1.bias"]
    np.testing.assert_allclose(network(p, X), h @ p["output.weight"] + p["output.bias"], rtol=1e-12)
    assert cr.check_grad(lambda p, x: np.sum(network(p, x) ** 2), p, X, tolerance=1e-6)


def test_a_residual_needs_equal_widths() -> None:
    with pytest.raises(TypeMismatch) as error:
        cr.nn.Residual(cr.nn.Dense(3)).initialize(X)
    assert "x is f64[n,4], and what its layers make of it is f64[n,3]" in str(error.value)
    assert "end with cr.nn.Dense(4)" in str(error.value)


def test_state_and_dropout_within_containers() -> None:
    network = cr.nn.Sequential(
        cr.nn.Residual(cr.nn.Dense(4, "relu"), cr.nn.BatchNorm(), cr.nn.Dropout(0.3)),
        cr.nn.Concatenate(
            cr.nn.Columns([0, 1], cr.nn.Sequential(cr.nn.BatchNorm(), cr.nn.Dropout(0.3))), cr.nn.Dense(2)
        ),
        cr.nn.Dense(1),
    )
    assert network.whole_batch
    assert set(network.initial_state(X)) == {
        "residual1.norm1.mean", "residual1.norm1.variance",
        "concatenate1.block1.norm1.mean", "concatenate1.block1.norm1.variance",
    }  # fmt: skip
    declared = network.declare(input_type(X))
    assert set(declared.settings) == {
        "residual1.norm1.momentum", "residual1.dropout1.rate", "concatenate1.block1.norm1.momentum",
        "concatenate1.block1.dropout1.rate",
    }  # fmt: skip
    x, y = RNG.normal(size=(40, 4)), RNG.normal(size=40)
    runs = [
        cr.fit(cr.Objective(network, "squared_error"), (x, y), epochs=4, batch_size=8, executor=executor)
        for executor in ("reference", "native")
    ]
    assert all(np.any(run.state["concatenate1.block1.norm1.mean"] != 0) for run in runs)
    for part in ("parameters", "state"):
        found, expected = getattr(runs[1], part), getattr(runs[0], part)
        for key, value in expected.items():
            np.testing.assert_allclose(found[key], value, rtol=1e-9, atol=1e-12)


@dataclass(frozen=True)
class Own(cr.nn.Layer):
    """A layer class of one's own: x · gain, with a state that counts."""

    start: float = 1.5

    def parameters(self, x: Any) -> Mapping[str, cr.nn.Parameter]:
        return {"gain": cr.nn.Parameter((x.shape[-1],), cr.nn.Constant(self.start), role="gain", rate=2.0)}

    def initial_state_of(self, x: Any) -> Mapping[str, Any]:
        return {"seen": np.zeros(())}

    def forward(self, scope: cr.nn.Scope, x: Any) -> Any:
        if scope.training:
            scope.add_up("rows", np.sum(x[:, 0] * 0.0 + 1.0))
        return scope.name("out", x * scope["gain"])

    def update_state(self, scope: cr.nn.Scope, sums: Mapping[str, Any], count: Any) -> Mapping[str, Any]:
        return {"seen": scope.state("seen") + sums["rows"]}


@pytest.mark.parametrize("executor", ["reference", "native"])
def test_a_layer_of_ones_own_within_all_containers(executor: str) -> None:
    network = cr.nn.Sequential(
        Own(),
        cr.nn.Residual(Own(), cr.nn.Rated(Own(), rate=0.5)),
        cr.nn.Concatenate(cr.nn.Frozen(Own()), cr.nn.Columns([0], Own())),
        cr.nn.Dense(1),
    )
    declared = network.declare(input_type(X)).parameters
    assert {k: (p.shape, p.rate, p.frozen) for k, p in declared.items() if "gain" in k} == {
        "own1.gain": ((4,), 2.0, False),
        "residual1.own1.gain": ((4,), 2.0, False),
        "residual1.own2.gain": ((4,), 1.0, False),
        "concatenate1.own1.gain": ((4,), 2.0, True),
        "concatenate1.own2.gain": ((1,), 2.0, False),
    }
    run = cr.fit(cr.Objective(network, "squared_error"), (X, X[:, 0]), epochs=2, batch_size=3, executor=executor)
    assert {float(v) for v in run.state.values()} == {12.0}
    assert len(run.state) == 5
    assert cr.check_grad(lambda p: np.sum(network(p, X, state=run.state) ** 2), run.parameters, tolerance=1e-6)


# --- tied parameters --------------------------------------------------------------------------------------------------


def tied() -> Any:
    return cr.nn.Sequential(
        cr.nn.Dense(4, "tanh"), cr.nn.Dense(4, "tanh"), cr.nn.Dense(4),
        tie={"hidden2": "hidden1", "output.weight": "hidden1.weight.T"},
    )  # fmt: skip


def test_tied_parameters_are_one() -> None:
    network = tied()
    p = random_like(network.initialize(X))
    assert list(p) == ["hidden1.weight", "hidden1.bias", "output.bias"]
    w, b = p["hidden1.weight"], p["hidden1.bias"]
    np.testing.assert_allclose(network(p, X), np.tanh(np.tanh(X @ w + b) @ w + b) @ w.T + p["output.bias"], rtol=1e-12)
    assert cr.check_grad(lambda p, x: np.sum(network(p, x) ** 2), p, X, tolerance=1e-6)


def test_gradients_of_all_uses_add_up() -> None:
    network = tied()
    plain = cr.nn.Sequential(*network.layers)
    p = random_like(network.initialize(X))
    w, b = p["hidden1.weight"], p["hidden1.bias"]
    spelled = {
        "hidden1.weight": w, "hidden1.bias": b, "hidden2.weight": w, "hidden2.bias": b, "output.weight": w.T,
        "output.bias": p["output.bias"],
    }  # fmt: skip

    def loss(network: Any) -> Any:
        return lambda p: np.sum(network(p, X) ** 2)

    g, each = cr.grad(loss(network))(p), cr.grad(loss(plain))(spelled)
    np.testing.assert_allclose(
        g["hidden1.weight"], each["hidden1.weight"] + each["hidden2.weight"] + each["output.weight"].T, rtol=1e-12
    )
    np.testing.assert_allclose(g["hidden1.bias"], each["hidden1.bias"] + each["hidden2.bias"], rtol=1e-12)


@pytest.mark.parametrize("executor", ["reference", "native"])
def test_tied_parameters_train_save_and_explain(executor: str, tmp_path: Any) -> None:
    network = tied()
    run = cr.fit(cr.Objective(network, "squared_error"), (X, X), epochs=3, batch_size=2, executor=executor)
    assert set(run.parameters) == {"hidden1.weight", "hidden1.bias", "output.bias"}
    run.save(tmp_path / "m")
    model = cr.load(tmp_path / "m")
    assert model.network == network
    np.testing.assert_allclose(model.predict(X), run.predict(X), rtol=1e-12)
    d = cr.explain(run, of="hidden1.weight[1, 2]")
    slope = cr.grad(run.objective)(run.parameters, (X, X))["hidden1.weight"][1, 2]
    assert d.value == pytest.approx(slope, rel=1e-10)
    assert d.cut("hidden1").total == pytest.approx(slope, rel=1e-10)


def test_tied_across_blocks() -> None:
    block = cr.nn.Sequential(cr.nn.Dense(4, "relu"), cr.nn.Dense(4), tie={"output.weight": "hidden1.weight"})
    network = cr.nn.Sequential(block, block, cr.nn.Dense(1), tie={"block2": "block1"})
    p = random_like(network.initialize(X))
    assert list(p) == [
        "block1.hidden1.weight", "block1.hidden1.bias", "block1.output.bias", "output.weight", "output.bias"
    ]  # fmt: skip
    w, b, c = (p[f"block1.{k}"] for k in ("hidden1.weight", "hidden1.bias", "output.bias"))
    h = X
    for _ in range(2):
        h = np.maximum(h @ w + b, 0) @ w + c
    np.testing.assert_allclose(network(p, X), h @ p["output.weight"] + p["output.bias"], rtol=1e-12)
    assert cr.nn.from_config(cr.nn.to_config(network)) == network
    assert hash(network) == hash(cr.nn.from_config(cr.nn.to_config(network)))


@pytest.mark.parametrize(
    ("tie", "message"),
    [
        (
            {"output.weight": "hidden9.weight"},
            "tie: there is no parameter 'hidden9.weight'; the parameters are: hidden1",
        ),
        ({"hidden9": "hidden1"}, "tie: there is no parameter or layer 'hidden9'"),
        (
            {"hidden2.weight": "hidden1.weight"},
            "'hidden2.weight' has the shape (3, 4), 'hidden1.weight' has (4, 3); they",
        ),
        ({"hidden2.weight": "hidden1.weight"}, "(its transpose: add .T)"),
        (
            {"hidden2.weight": "output.weight", "output.weight": "hidden1.weight"},
            "'output.weight', which is tied itself",
        ),
        ({"hidden2": "hidden2"}, "'hidden2', which is tied itself"),
        ({"hidden2": "hidden2.weight"}, "which is tied itself"),
        ("hidden1", "tie is 'hidden1'; it names parameters"),
        ({"a": 3}, "it names parameters: tie={'hidden2.weight': 'hidden1.weight'}"),
    ],
)
def test_ties_that_cannot_be(tie: Any, message: str) -> None:
    with pytest.raises(TraceError) as error:
        cr.nn.Sequential(cr.nn.Dense(3), cr.nn.Dense(4), cr.nn.Dense(3), tie=tie).initialize(X)
    assert message in str(error.value)


# --- how parameters are trained ---------------------------------------------------------------------------------------


def trained(network: Any) -> dict[str, tuple[float, float, bool]]:
    return {k: (p.rate, p.decay, p.frozen) for k, p in network.declare(input_type(X)).parameters.items()}


def test_factors_and_frozen_parameters_are_declared() -> None:
    block = cr.nn.Sequential(cr.nn.Dense(3), cr.nn.LayerNorm(), cr.nn.Dense(3))
    network = cr.nn.Sequential(
        cr.nn.Rated(cr.nn.Scale(), rate=6.0),
        cr.nn.Rated(cr.nn.Rated(block, rate=0.5, only="bias"), rate=0.5, decay=0.0, only=["bias", "norm1"]),
        cr.nn.Frozen(cr.nn.Dense(2), only="weight"),
        cr.nn.Frozen(cr.nn.Dense(1)),
    )
    assert trained(network) == {
        "scale1.gain": (6.0, 1.0, False),
        "block1.hidden1.weight": (1.0, 1.0, False),
        "block1.hidden1.bias": (0.25, 0.0, False),
        "block1.norm1.gain": (0.5, 0.0, False),
        "block1.norm1.shift": (0.5, 0.0, False),
        "block1.output.weight": (1.0, 1.0, False),
        "block1.output.bias": (0.25, 0.0, False),
        "hidden1.weight": (1.0, 1.0, True),
        "hidden1.bias": (1.0, 1.0, False),
        "output.weight": (1.0, 1.0, True),
        "output.bias": (1.0, 1.0, True),
    }


@pytest.mark.parametrize("executor", ["reference", "native"])
def test_they_are_trained_so(executor: str) -> None:
    """Plain gradient descent: a step is the factor times η times the gradient; what is frozen stays to the bit."""
    network = cr.nn.Sequential(
        cr.nn.Rated(cr.nn.Scale(), rate=6.0),
        cr.nn.Rated(cr.nn.Dense(3, activation=cr.nn.Parametric("mish")), rate=0.5, only="bias"),
        cr.nn.Residual(cr.nn.Frozen(cr.nn.Dense(3, "tanh"))),
        cr.nn.Dense(1),
        tie={"residual1.hidden1.bias": "hidden1.bias"},
    )
    objective = cr.Objective(network, "squared_error")
    run = cr.fit(
        objective,
        (X, X[:, 0]),
        optimizer=cr.learn.SGD(0.01),
        epochs=1,
        batch_size="all",
        executor=executor,
        shuffle=False,
    )
    start = run.at(0).parameters
    gradient = cr.grad(objective)(start, (X, X[:, 0]))
    declared = network.declare(input_type(X)).parameters
    assert declared.keys() == start.keys()
    for name, parameter in declared.items():
        step = 0.0 if parameter.frozen else parameter.rate * 0.01
        np.testing.assert_allclose(run.parameters[name], start[name] - step * gradient[name], rtol=1e-10, atol=1e-14)
    assert run.parameters["residual1.hidden1.weight"].tobytes() == start["residual1.hidden1.weight"].tobytes()


@dataclass(frozen=True)
class Scaled(cr.nn.Layer):
    """RealMLP's dense layer: x W/√k, of k inputs."""

    def parameters(self, x: Any) -> Mapping[str, cr.nn.Parameter]:
        return {"weight": cr.nn.Parameter((x.shape[-1], 1), cr.nn.Normal(1.0))}

    def forward(self, scope: cr.nn.Scope, x: Any) -> Any:
        return x @ scope["weight"] / np.sqrt(x.shape[-1])


def test_weights_scaled_by_their_inputs_are_factors_of_rate_and_decay() -> None:
    """What docs/networks.md says of RealMLP's layers: under AdamW both are trained to the same function."""
    dense = cr.nn.Rated(cr.nn.Dense(1, bias=False), rate=0.5, decay=2.0)  # 4 inputs
    w = RNG.normal(size=(4, 1))
    outputs = [
        cr.fit(
            cr.Objective(network, "squared_error"), (X, X[:, 0]), parameters={"weight": start}, epochs=20, batch_size=2,
            optimizer=cr.learn.AdamW(0.05, decay=0.1, epsilon=1e-14),
        ).output(X)
        for network, start in ((Scaled(), w), (dense, w / 2))
    ]  # fmt: skip
    np.testing.assert_allclose(outputs[1], outputs[0], rtol=1e-7, atol=1e-9)


def test_a_whole_network_may_be_wrapped() -> None:
    inner = cr.nn.Sequential(cr.nn.Dense(3, "relu"), cr.nn.Dense(2))
    network = cr.nn.Rated(inner, rate=0.1, only="bias")
    assert list(network.initialize(X)) == list(inner.initialize(X))
    assert list(network.children()) == ["hidden1", "output"]
    assert trained(network)["output.bias"] == (0.1, 1.0, False)
    run = cr.fit(cr.Objective(network, "softmax_cross_entropy"), (X, np.array([0, 1, 0, 1, 0, 1])), epochs=1)
    assert run.status == "done"
    with pytest.raises(ChainruleError, match="the last layer applies softmax too"):
        cr.Objective(cr.nn.Frozen(cr.nn.Sequential(cr.nn.Dense(2, "softmax"))), "softmax_cross_entropy")


def test_a_wrapped_layer_keeps_its_name_and_place() -> None:
    dense = cr.nn.Dense(2)

    def names(*layers: Any) -> list[str]:
        return list(cr.nn.Sequential(*layers).children())

    assert names(cr.nn.Frozen(dense), cr.nn.Rated(cr.nn.Dense(2, name="mine")), cr.nn.Frozen(dense)) == [
        "hidden1", "mine", "output"
    ]  # fmt: skip
    assert names(cr.nn.Columns([0], dense), cr.nn.Dropout()) == ["output", "dropout1"]
    network = cr.nn.Sequential(cr.nn.Frozen(dense), cr.nn.Dense(1))
    assert list(network.activations(network.initialize(X), X)) == [
        "hidden1.net",
        "hidden1.out",
        "output.net",
        "output.out",
    ]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cr.nn.Frozen("hidden1"), "Frozen takes a layer, not 'hidden1'"),
        (lambda: cr.nn.Rated(cr.nn.Dense(1), rate=0.0), "Rated: rate is 0.0; it must be a number greater than 0; a"),
        (lambda: cr.nn.Rated(cr.nn.Dense(1), decay=-1.0), "Rated: decay is -1.0; it must be a number of at least 0"),
        (lambda: cr.nn.Rated(cr.nn.Dense(1), only=3), "Rated: only is 3; give a role or names of parameters"),
        (
            lambda: cr.nn.Frozen(cr.nn.Dense(1), only="wieght").initialize(X),
            "Frozen: only names 'wieght', and there is no such parameter: there are weight, bias; roles are weight, b",
        ),
        (lambda: cr.nn.Residual(), "Residual needs at least one layer, for instance Residual(cr.nn.Dense(8))"),
        (lambda: cr.nn.Concatenate("a"), "Concatenate takes layers, not 'a'"),
        (lambda: cr.nn.Concatenate(cr.nn.Dense(1, name="a"), cr.nn.Dense(1, name="a")), "two layers are called 'a'"),
    ],
)  # fmt: skip
def test_refusals(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(TraceError) as error:
        make()
    assert message in str(error.value)


def test_networks_print_what_they_hold() -> None:
    network = cr.nn.Sequential(
        cr.nn.Concatenate(cr.nn.Columns([0], cr.nn.Embedding(5, 2)), cr.nn.Columns(slice(1, None))),
        cr.nn.Rated(cr.nn.Scale(), rate=6.0),
        cr.nn.Residual(cr.nn.Dense(5, activation=cr.nn.Parametric("selu"))),
        cr.nn.Dense(1),
        tie={"output.bias": "residual1.hidden1.bias"},
    )
    assert str(network).splitlines() == [
        "network = a4(a3(a2(a1(x))))",
        "  a1  concatenate1: Concatenate(Columns([0], Embedding(5, 2)), Columns(slice(1, None)))",
        "  a2  scale1: Rated(Scale(), rate=6.0)",
        "  a3  residual1: Residual(Dense(5, activation=Parametric('selu')))",
        "  a4  output: Dense(1)",
        "  output.bias is residual1.hidden1.bias",
    ]
