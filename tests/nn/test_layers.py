"""Layers and networks: what they compute, how they are named, how one of one's own is written, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import scipy.special

import chainrule as cr
from chainrule.errors import ChainruleError, ModelFileError, TraceError, TypeMismatch
from chainrule.graph import Rows, Type

RNG = np.random.default_rng(7)
X = RNG.normal(size=(6, 4))

ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "identity": lambda z: z,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "tanh": np.tanh,
    "relu": lambda z: np.where(z > 0, z, 0),
    "leaky_relu": lambda z: np.where(z > 0, z, 0.01 * z),
    "elu": lambda z: np.where(z > 0, z, np.exp(z) - 1),
    "selu": lambda z: 1.0507009873554805 * np.where(z > 0, z, 1.6732632423543772 * (np.exp(z) - 1)),
    "gelu": lambda z: z * scipy.special.ndtr(z),
    "gelu_tanh": lambda z: 0.5 * z * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3))),
    "silu": lambda z: z / (1 + np.exp(-z)),
    "mish": lambda z: z * np.tanh(np.log(1 + np.exp(z))),
    "softplus": lambda z: np.log(1 + np.exp(z)),
    "exponential": np.exp,
    "softmax": lambda z: np.exp(z) / np.exp(z).sum(axis=1, keepdims=True),
    "log_softmax": lambda z: z - np.log(np.exp(z).sum(axis=1, keepdims=True)),
}


def random_like(parameters: Mapping[str, np.ndarray], seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {k: rng.normal(size=v.shape) for k, v in parameters.items()}


# --- forward and gradient ---------------------------------------------------------------------------------------------


def test_every_activation_is_tested() -> None:
    assert set(ACTIVATIONS) == set(cr.nn.ACTIVATIONS)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("bias", [True, False])
def test_dense(activation: str, bias: bool) -> None:
    layer = cr.nn.Dense(3, activation=activation, bias=bias)
    p = random_like(layer.initialize(X))
    assert {k: v.shape for k, v in p.items()} == {"weight": (4, 3)} | ({"bias": (3,)} if bias else {})
    net = X @ p["weight"] + (p["bias"] if bias else 0)
    np.testing.assert_allclose(layer(p, X), ACTIVATIONS[activation](net), rtol=1e-12, atol=1e-15)
    target = RNG.normal(size=(6, 3))
    assert cr.check_grad(lambda p, x: np.sum((layer(p, x) - target) ** 2), p, X, tolerance=1e-7)


def test_dense_with_a_function_of_ones_own() -> None:
    layer = cr.nn.Dense(3, activation=lambda z: z * cr.nn.sigmoid(1.5 * z))
    p = random_like(layer.initialize(X))
    net = X @ p["weight"] + p["bias"]
    np.testing.assert_allclose(layer(p, X), net / (1 + np.exp(-1.5 * net)), rtol=1e-13)
    assert cr.check_grad(lambda p: np.sum(layer(p, X) ** 2), p)


def test_dropout_does_nothing_in_prediction() -> None:
    layer = cr.nn.Dropout(0.9)
    assert layer({}, X) is X or np.array_equal(layer({}, X), X)


def test_dropout_in_training_keeps_or_drops_and_its_gradient_is_its_mask() -> None:
    layer = cr.nn.Dropout(0.25)
    out = layer({}, X, training=True, key=cr.key(3))
    kept = out != 0
    assert 0 < kept.sum() < kept.size
    np.testing.assert_array_equal(out[kept], (X * (1 / 0.75))[kept])
    gradient = cr.grad(lambda x: np.sum(layer({}, x, training=True, key=cr.key(3))))(X)
    np.testing.assert_array_equal(gradient, np.where(kept, 1 / 0.75, 0))
    assert cr.check_grad(lambda x: np.sum(layer({}, x, training=True, key=cr.key(3)) ** 2), X)


def test_dropout_of_rate_zero_is_exact() -> None:
    np.testing.assert_array_equal(cr.nn.Dropout(0.0)({}, X, training=True, key=cr.key(3)), X)


def test_batch_norm() -> None:
    layer = cr.nn.BatchNorm()
    p = random_like(layer.initialize(X))
    state = {"mean": RNG.normal(size=4), "variance": RNG.uniform(0.5, 2, size=4)}
    by_state = (X - state["mean"]) / np.sqrt(state["variance"] + 1e-5) * p["gain"] + p["shift"]
    by_batch = (X - X.mean(axis=0)) / np.sqrt(X.var(axis=0) + 1e-5) * p["gain"] + p["shift"]
    np.testing.assert_allclose(layer(p, X, state=state), by_state, rtol=1e-13)
    np.testing.assert_allclose(layer(p, X, state=state, training=True), by_batch, rtol=1e-12)
    target = RNG.normal(size=(6, 4))
    for training in (False, True):
        assert cr.check_grad(
            lambda p, x, t=training: np.sum((layer(p, x, state=state, training=t) - target) ** 2), p, X, tolerance=1e-7
        )
    first = layer.initial_state(X)
    assert {k: v.tolist() for k, v in first.items()} == {"mean": [0] * 4, "variance": [1] * 4}
    assert {k: v.tolist() for k, v in layer.initialize(X).items()} == {"gain": [1] * 4, "shift": [0] * 4}


def test_sequential() -> None:
    network = cr.nn.Sequential(cr.nn.Dense(5, "tanh"), cr.nn.Dense(3, "relu"), cr.nn.Dense(2))
    p = random_like(network.initialize(X))
    h1 = np.tanh(X @ p["hidden1.weight"] + p["hidden1.bias"])
    h2 = np.maximum(h1 @ p["hidden2.weight"] + p["hidden2.bias"], 0)
    out = h2 @ p["output.weight"] + p["output.bias"]
    np.testing.assert_allclose(network(p, X), out, rtol=1e-13)
    assert cr.check_grad(lambda p, x: np.sum(network(p, x) ** 2), p, X, tolerance=1e-7)
    values = network.activations(p, X)
    assert list(values) == [
        f"{layer}.{value}" for layer in ("hidden1", "hidden2", "output") for value in ("net", "out")
    ]
    np.testing.assert_allclose(values["hidden1.out"], h1, rtol=1e-13)
    np.testing.assert_allclose(values["output.net"], out, rtol=1e-13)


def test_activations_of_a_network_with_state() -> None:
    network = cr.nn.Sequential(cr.nn.Dense(3), cr.nn.BatchNorm(), cr.nn.Dropout(0.5), cr.nn.Dense(1))
    p, state = network.initialize(X), network.initial_state(X)
    assert list(network.activations(p, X, state=state)) == [
        "hidden1.net", "hidden1.out", "norm1.out", "output.net", "output.out"
    ]  # fmt: skip
    assert set(state) == {"norm1.mean", "norm1.variance"}


def test_values_are_named_in_a_graph() -> None:
    network = cr.nn.Sequential(cr.nn.Dense(3, "tanh"), cr.nn.Dense(1))
    graph = cr.make_graph(network, network.initialize(X), X)
    assert list(graph.names) == ["hidden1.net", "hidden1.out", "output.net", "output.out"]


def test_the_input_may_be_whole_numbers_and_keeps_float32() -> None:
    network = cr.nn.Sequential(cr.nn.Dense(2))
    p = network.initialize(np.zeros((1, 3)))
    np.testing.assert_array_equal(network(p, [[1, 2, 3]]), network(p, np.array([[1.0, 2.0, 3.0]])))
    small = network.initialize(np.zeros((1, 3), np.float32))
    assert small["output.weight"].dtype == np.float32
    assert network(small, np.ones((2, 3), np.float32)).dtype == np.float32


# --- names ------------------------------------------------------------------------------------------------------------


def names(*layers: Any) -> list[str]:
    return list(cr.nn.Sequential(*layers).children())


def test_names() -> None:
    dense, dropout, norm = cr.nn.Dense(2), cr.nn.Dropout(), cr.nn.BatchNorm()
    assert names(dense) == ["output"]
    assert names(dense, dense, dense) == ["hidden1", "hidden2", "output"]
    assert names(dense, dropout, dense, dropout, dense) == ["hidden1", "dropout1", "hidden2", "dropout2", "output"]
    assert names(norm, dense, norm, dense) == ["norm1", "hidden1", "norm2", "output"]
    assert names(dense, dense, dropout) == ["hidden1", "output", "dropout1"]
    assert names([dense, dense]) == names(dense, dense)


def test_own_names_go_before() -> None:
    assert names(cr.nn.Dense(2, name="in"), cr.nn.Dense(2), cr.nn.Dense(2)) == ["in", "hidden2", "output"]
    assert names(cr.nn.Dense(2), cr.nn.Dropout(name="noise"), cr.nn.Dense(2)) == ["hidden1", "noise", "output"]
    # Only the last dense layer is the output; where it has a name of its own, no other one takes its place.
    assert names(cr.nn.Dense(2), cr.nn.Dense(2, name="logits")) == ["hidden1", "logits"]


def test_blocks_within_blocks() -> None:
    block = cr.nn.Sequential(cr.nn.Dense(3, "relu"), cr.nn.Dense(3))
    network = cr.nn.Sequential(block, block, cr.nn.Dense(1))
    assert list(network.children()) == ["block1", "block2", "output"]
    p = network.initialize(X)
    assert list(p)[:2] == ["block1.hidden1.weight", "block1.hidden1.bias"]
    assert not np.array_equal(p["block2.output.weight"], p["block1.output.weight"])
    assert network(p, X).shape == (6, 1)
    assert cr.check_grad(lambda p: np.sum(network(p, X) ** 2), random_like(p), tolerance=1e-6)


def test_equal_names_are_refused() -> None:
    with pytest.raises(TraceError, match="Sequential: two layers are called 'a'; give one of them another name"):
        cr.nn.Sequential(cr.nn.Dense(2, name="a"), cr.nn.Dense(2, name="a"))
    with pytest.raises(TraceError, match="two layers are called 'output'"):
        cr.nn.Sequential(cr.nn.Dense(2, name="output"), cr.nn.Dense(2))


def test_a_network_prints_as_nested_functions() -> None:
    text = str(cr.nn.Sequential(cr.nn.Dense(5, "tanh"), cr.nn.Dense(2)))
    assert text.startswith("network = a2(a1(x))\n  a1  hidden1: Dense(5, activation='tanh')\n  a2  output: Dense(2)")


# --- one's own --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scale(cr.nn.Layer):
    """x · gain + slope(setting), counting the batches that it saw."""

    start: str = "ones"
    push: float = 0.25

    def parameters(self, x: Type) -> Mapping[str, cr.nn.Parameter]:
        return {"gain": cr.nn.Parameter((x.shape[-1],), self.start, role="gain")}

    def initial_state_of(self, x: Type) -> Mapping[str, Any]:
        return {"seen": np.zeros(())}

    def settings(self) -> Mapping[str, float]:
        return {"push": self.push}

    def forward(self, scope: cr.nn.Scope, x: Any) -> Any:
        if scope.training:
            scope.add_up("rows", np.sum(x[:, 0] * 0.0 + 1.0))
        return scope.name("out", x * scope["gain"] + scope.setting("push", self.push))

    def update_state(self, scope: cr.nn.Scope, sums: Mapping[str, Any], count: Any) -> Mapping[str, Any]:
        return {"seen": scope.state("seen") + sums["rows"]}


def test_a_layer_class_of_ones_own() -> None:
    layer = Scale()
    p = {"gain": RNG.normal(size=4)}
    np.testing.assert_allclose(layer(p, X), X * p["gain"] + 0.25, rtol=1e-15)
    assert cr.check_grad(lambda p, x: np.sum(layer(p, x) ** 2), p, X)
    network = cr.nn.Sequential(Scale(), cr.nn.Dense(2), Scale(push=0.5))
    assert list(network.initialize(X)) == ["scale1.gain", "hidden1.weight", "hidden1.bias", "scale2.gain"]
    declared = network.declare(Type("f64", (Rows(1), 4)))
    assert dict(declared.settings) == {"scale1.push": 0.25, "scale2.push": 0.5}
    assert declared.gives == Type("f64", (Rows(1), 2))


def test_a_layer_of_ones_own_trains_with_its_state_and_setting() -> None:
    network = cr.nn.Sequential(Scale(), cr.nn.Dense(1))
    objective = cr.Objective(network, loss="squared_error")
    run = cr.fit(objective, (X, X[:, 0]), epochs=3, batch_size=4, optimizer=cr.learn.SGD(0.01), tile_rows=3)
    assert float(run.state["scale1.seen"]) == 18
    other = cr.fit(objective, (X, X[:, 0]), epochs=3, optimizer=cr.learn.SGD(0.01), settings={"scale1.push": 0.0})
    assert not np.array_equal(run.parameters["scale1.gain"], other.parameters["scale1.gain"])


def test_a_network_that_is_a_function() -> None:
    def network(parameters: Any, x: Any) -> Any:
        hidden = np.tanh(x @ parameters["layers"][0])
        return hidden @ parameters["layers"][1] + parameters["b"]

    p = {"layers": [RNG.normal(size=(4, 3)), RNG.normal(size=(3, 2))], "b": np.zeros(2)}
    layer = cr.nn.as_network(network)
    np.testing.assert_allclose(layer(p, X), np.tanh(X @ p["layers"][0]) @ p["layers"][1], rtol=1e-14)
    with pytest.raises(TraceError, match=r"a plain function has no initialize; .*parameters=\{'w': …\}"):
        layer.initialize(X)
    run = cr.fit(cr.Objective(network, "squared_error"), (X, X[:, :2]), parameters=p, epochs=2)
    assert [w.shape for w in run.parameters["layers"]] == [(4, 3), (3, 2)]
    np.testing.assert_allclose(run.predict(X), network(run.parameters, X), rtol=1e-13)


def test_a_function_network_may_hold_layers() -> None:
    inner = cr.nn.Sequential(cr.nn.Dense(3, "tanh"), cr.nn.Dense(1))
    p = inner.initialize(X)
    run = cr.fit(
        cr.Objective(lambda p, x: inner(p["inner"], x) * p["scale"], "squared_error"),
        (X, X[:, 0]),
        parameters={"inner": p, "scale": 2.0},
        epochs=2,
    )
    assert run.status == "done"
    assert run.parameters["scale"] != 2.0


def test_first_parameters_of_a_function_are_copied() -> None:
    w = np.zeros((4, 1))
    run = cr.fit(cr.Objective(lambda p, x: x @ p["w"], "squared_error"), (X, X[:, 0]), parameters={"w": w}, epochs=2)
    w += 100.0
    assert run.at(0).parameters["w"].tolist() == [[0.0]] * 4


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (
            lambda: cr.nn.Dense(2, "sigmod"),
            TraceError,
            "there is no activation 'sigmod'; did you mean 'sigmoid'? There are: ",
        ),
        (lambda: cr.nn.Dense(2, 3), TraceError, "there is no activation 3; there are: identity, sigmoid"),
        (lambda: cr.nn.Dense(0), TypeMismatch, "Dense: units is 0; it must be a whole number of at least 1"),
        (lambda: cr.nn.Dense(2.5), TypeMismatch, "Dense: units is 2.5"),
        (lambda: cr.nn.Dense(True), TypeMismatch, "Dense: units is True"),
        (lambda: cr.nn.Dense(2, initializer="he").initialize(X), TraceError, "there is no initializer 'he'"),
        (
            lambda: cr.nn.Dropout(1.0),
            TypeMismatch,
            "Dropout: rate is 1.0; it must be a number of at least 0 and less than 1",
        ),
        (lambda: cr.nn.Dropout(float("nan")), TypeMismatch, "Dropout: rate is nan"),
        (lambda: cr.nn.Dropout("half"), TypeMismatch, "Dropout: rate is 'half'"),
        (lambda: cr.nn.BatchNorm(momentum=0.0), TypeMismatch, "BatchNorm: momentum is 0.0"),
        (lambda: cr.nn.BatchNorm(epsilon=0.0), TypeMismatch, "BatchNorm: epsilon is 0.0"),
        (lambda: cr.nn.Sequential(), TraceError, "Sequential needs at least one layer"),
        (lambda: cr.nn.Sequential("tanh"), TraceError, "Sequential takes layers, not 'tanh'; for instance"),
        (lambda: cr.nn.Dense(2).initialize(X[0]), TypeMismatch, "one row is x[None, :], one column is x[:, None]"),
        (lambda: cr.nn.Dense(2).initialize(1.0), TypeMismatch, "takes rows: an array with at least two axes"),
        (lambda: cr.nn.Dense(2).initialize(np.zeros((2, 3, 4))), TypeMismatch, "Dense: the input is f64[n,3,4]"),
        (lambda: cr.nn.Dense(2).initialize([["a"]]), TypeMismatch, "the input holds texts, not numbers"),
        (lambda: cr.nn.as_network(3), TraceError, "3 is not a network; give layers (cr.nn.Sequential) or a function"),
        (lambda: cr.nn.Layer()({}, X), TraceError, "the layer Layer has no forward(self, scope, x)"),
    ],
)
def test_refusals(make: Callable[[], Any], kind: type[ChainruleError], message: str) -> None:
    with pytest.raises(kind) as error:
        make()
    assert message in str(error.value)


def test_a_missing_parameter_is_named() -> None:
    network = cr.nn.Sequential(cr.nn.Dense(3), cr.nn.Dense(1))
    p = network.initialize(X)
    del p["output.bias"]
    with pytest.raises(TraceError) as error:
        network(p, X)
    assert "the parameter 'output.bias' is missing; the parameters given are: hidden1.weight, hidden1.bias" in str(
        error.value
    )


def test_missing_state_shows_the_right_spelling() -> None:
    network = cr.nn.Sequential(cr.nn.Dense(3), cr.nn.BatchNorm())
    p = network.initialize(X)
    with pytest.raises(TraceError) as error:
        network(p, X)
    assert "this network carries state ('norm1.mean')" in str(error.value)
    assert "right:  network(parameters, X, state=state), objective(parameters, (X, y), state=state)" in str(error.value)
    objective = cr.Objective(network, "squared_error")
    state = network.initial_state(X)
    loss, gradient = cr.value_and_grad(objective)(p, (X, np.ones((6, 3))), state=state)
    assert loss == objective(p, (X, np.ones((6, 3))), state=state)
    assert gradient.keys() == p.keys()
    assert network(p, X, state=network.initial_state(X)).shape == (6, 3)


def test_a_missing_key_shows_the_right_spelling() -> None:
    network = cr.nn.Sequential(cr.nn.Dense(3), cr.nn.Dropout())
    with pytest.raises(TraceError) as error:
        network(network.initialize(X), X, training=True)
    assert "the layer 'dropout1' draws random numbers in training and was given no key" in str(error.value)
    assert "right:  network(parameters, X, training=True, key=cr.key(0))" in str(error.value)


# --- as data ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "network",
    [
        cr.nn.Dense(3, "relu", bias=False, initializer="he_normal", name="a"),
        cr.nn.Dense(np.int64(3)),
        cr.nn.Sequential(cr.nn.Dense(5, "tanh"), cr.nn.Dropout(0.2), cr.nn.BatchNorm(0.3, 1e-3), cr.nn.Dense(2)),
        cr.nn.Sequential(cr.nn.Sequential(cr.nn.Dense(4), name="inner"), cr.nn.Dense(1, "sigmoid")),
    ],
    ids=["dense", "numpy units", "all kinds", "nested"],
)
def test_config_there_and_back(network: Any) -> None:
    import json

    config = cr.nn.to_config(network)
    again = cr.nn.from_config(json.loads(json.dumps(config)))
    assert again == network
    assert cr.nn.to_config(again) == config
    p, q = network.initialize(X), again.initialize(X)
    assert {k: v.tobytes() for k, v in p.items()} == {k: v.tobytes() for k, v in q.items()}


@pytest.mark.parametrize(
    "network",
    [
        Scale(),
        cr.nn.as_network(lambda p, x: x),
        cr.nn.Dense(2, np.tanh),
        cr.nn.Sequential(cr.nn.Dense(2), Scale()),
        cr.nn.Dense(2, initializer=lambda key, shape, dtype: np.zeros(shape)),
    ],
    ids=["own layer", "function", "own activation", "own layer within", "own initializer"],
)
def test_what_holds_functions_has_no_config(network: Any) -> None:
    assert cr.nn.to_config(network) is None


DENSE = cr.nn.to_config(cr.nn.Dense(1))


def nested(depth: int) -> Any:
    config: Any = DENSE
    for _ in range(depth):
        config = {"layer": "Frozen", "inner": config, "only": None}
    return config


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, "a layer that this chainrule does not have: None"),
        ({}, "a layer that this chainrule does not have"),
        ({"layer": "os.system"}, "a layer that this chainrule does not have"),
        ({"layer": ["Dense"]}, "a layer that this chainrule does not have"),
        ({"layer": "Dense", "units": 3}, "the model's layer Dense has other fields than this chainrule's"),
        ({"layer": "Dropout", "rate": 0.5, "name": None, "more": 1}, "the model's layer Dropout has other fields"),
        (
            {"layer": "Dropout", "rate": 7, "name": None},
            "the model's layer Dropout cannot be built: Dropout: rate is 7",
        ),
        ({"layer": "Dropout", "rate": "x", "name": None}, "the model's layer Dropout cannot be built"),
        ({"layer": "Sequential", "layers": 3, "name": None}, "the model's layer Sequential cannot be built"),
        ({"layer": "Sequential", "layers": [], "name": None}, "the model's layer Sequential cannot be built"),
        (
            {"layer": "Sequential", "layers": [{"layer": "Layer"}], "name": None},
            "a layer that this chainrule does not have",
        ),
        ({"layer": "Frozen", "inner": {"layer": "Dense"}, "only": None}, "the model's layer Dense has other fields"),
        (
            {"layer": "Frozen", "inner": 3, "only": None},
            "the model's layer Frozen cannot be built: Frozen takes a layer",
        ),
        (
            {"layer": "Scale", "initializer": {"part": "system"}, "name": None},
            "a part that this chainrule does not have",
        ),
        ({"layer": "Scale", "initializer": {"part": ["Normal"]}, "name": None}, "a part that this chainrule does not"),
        (
            {"layer": "Scale", "initializer": {"part": "Normal", "deviation": -1.0, "mean": 0.0}, "name": None},
            "the model's part Normal cannot be built: Normal: deviation is -1.0",
        ),
        ({"layer": "Scale", "initializer": {"slice": [0, "x", 1]}, "name": None}, "holds what is no part of one"),
        ({"layer": "Lambda", "function": "os.system", "name": None}, "the model's layer Lambda cannot be built"),
        (
            {"layer": "Embedding", "categories": [3, "x"], "units": 2, "initializer": None, "name": None},
            "cannot be built",
        ),
        ({"layer": "PiecewiseLinear", "bins": [[1, 0]], "units": None, "activation": "relu", "name": None}, "be built"),
        ({"layer": "PiecewiseLinear", "bins": 3, "units": None, "activation": "relu", "name": None}, "cannot be built"),
        ({"layer": "Columns", "columns": {"names": {}}, "inner": {"layer": "Lambda"}}, "other fields"),
        ({"layer": "Sequential", "layers": [DENSE], "name": None, "tie": [1]}, "the model's layer Sequential cannot"),
        (nested(2000), "the model holds layers within layers, more than 100 deep"),
    ],
)
def test_foreign_configs_are_refused(config: Any, message: str) -> None:
    with pytest.raises(ModelFileError) as error:
        cr.nn.from_config(config)
    assert message in str(error.value)


def test_a_layer_that_gives_arrays_for_parameters_is_told_the_right_spelling() -> None:
    class Wrong(cr.nn.Layer):
        def parameters(self, x: Any) -> Any:
            return {"gain": np.ones(3)}

    with pytest.raises(TraceError, match=r"the layer Wrong gives array.* 'gain'.\n  wrong: .*\n  right: .*Parameter\("):
        Wrong().initialize(X)


def test_inputs_of_the_wrong_width_are_named() -> None:
    network = cr.nn.Dense(3)
    p = network.initialize(X)
    with pytest.raises(
        TraceError, match=r"matmul: a is f64\[6,1\], b is f64\[\d,3\]; a has 1 columns and b has \d rows"
    ):
        network(p, X[:, :1])


def test_layer_norm_names_itself() -> None:
    layer = cr.nn.LayerNorm()
    with pytest.raises(TypeMismatch, match=r"LayerNorm: the input is .*; it takes rows with a fixed number of columns"):
        layer(layer.initialize(np.ones((1, 3))), np.ones(3))
