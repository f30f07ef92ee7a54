"""How each parameter is trained: frozen, or with factors of learning rate and decay of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import TrainingError
from chainrule.graph import digest, flatten, leaf_names, unflatten
from chainrule.learn import SGD, Adagrad, Adam, AdamW, ClipNorm, Lion, RMSprop, Treatment, fit_many
from chainrule.learn.fitting import prepare
from chainrule.learn.optimizers import Metric
from chainrule.nn import Layer, Parameter

RNG = np.random.default_rng(5)
X = RNG.normal(size=(24, 3))
Y = np.sin(X).sum(axis=1, keepdims=True)
EXECUTORS = ["reference", "native"]
OPTIMIZERS = {
    "sgd": SGD(0.1),
    "momentum": SGD(0.05, momentum=0.9),
    "nesterov": SGD(0.05, momentum=0.9, nesterov=True),
    "adam": Adam(0.02),
    "adamw": AdamW(0.02, decay=0.1),
    "rmsprop": RMSprop(0.01, momentum=0.5, centered=True),
    "adagrad": Adagrad(0.05),
    "lion": Lion(0.01, decay=0.1),
    "clipped": ClipNorm(Adam(0.02), 0.3),
}


def network() -> Any:
    return cr.nn.Sequential(cr.nn.Dense(4, "tanh"), cr.nn.Dense(3, "tanh"), cr.nn.Dense(1))


def fit(**options: Any) -> Any:
    chosen: dict[str, Any] = {"epochs": 4, "batch_size": 8, "optimizer": SGD(0.1)} | options
    return cr.fit(cr.Objective(chosen.pop("network", network()), "squared_error"), (X, Y), **chosen)


def bits(tree: Any) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in flatten(tree)[0]]


# --- frozen -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_frozen_parameters_stay_to_the_bit_and_have_no_state(name: str, executor: str) -> None:
    run = fit(optimizer=OPTIMIZERS[name], frozen=["hidden1.*", "output.bias"], executor=executor)
    before, after = run.at(0).parameters, run.parameters
    moved = {key for key in after if bits(before[key]) != bits(after[key])}
    assert moved == {"hidden2.weight", "hidden2.bias", "output.weight"}
    for key, kept in run.at(run.steps).optimizer.items():
        assert key == "step" or set(kept) == moved


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_native_and_reference_train_what_is_left_alike(name: str) -> None:
    runs = [
        fit(optimizer=OPTIMIZERS[name], frozen=["hidden1.*"], rate_factors={"*.bias": 0.3}, executor=executor)
        for executor in EXECUTORS
    ]
    for key, value in runs[0].parameters.items():
        np.testing.assert_allclose(runs[1].parameters[key], value, rtol=1e-11, atol=1e-13)


def test_freezing_the_first_layer_is_training_the_rest_on_its_outputs() -> None:
    """An independent way to the same numbers: the frozen layer is applied beforehand."""
    run = fit(optimizer=Adam(0.02), frozen=["hidden1.*"], epochs=10)
    first = run.at(0).parameters
    inside = np.tanh(X @ first["hidden1.weight"] + first["hidden1.bias"])
    rest = cr.nn.Sequential(cr.nn.Dense(3, "tanh"), cr.nn.Dense(1))
    start = {key.replace("hidden2", "hidden1"): value for key, value in first.items() if not key.startswith("hidden1")}
    alone = cr.fit(
        cr.Objective(rest, "squared_error"), (inside, Y), optimizer=Adam(0.02), epochs=10, batch_size=8,
        parameters=start,
    )  # fmt: skip
    for key, value in alone.parameters.items():
        own = key.replace("hidden1", "hidden2")
        np.testing.assert_allclose(run.parameters[own], value, rtol=1e-10, atol=1e-13)


def test_the_gradient_of_what_is_frozen_is_not_computed() -> None:
    def sizes(frozen: list[str]) -> tuple[int, set[str]]:
        job = prepare(cr.Objective(network(), "squared_error"), (X, Y), frozen=frozen)
        assert job.program.measure.gives is not None
        sums = unflatten(job.program.measure.gives, list(job.program.measure.outputs))
        return sum(node.op.name == "matmul" for node in job.program.measure.nodes), set(sums["gradient"])

    whole, every = sizes([])
    part, left = sizes(["hidden1.*", "hidden2.*"])
    assert every - left == {"hidden1.weight", "hidden1.bias", "hidden2.weight", "hidden2.bias"}
    # 3 products forward; backward 3 weights and 2 times through a layer; of that only the last weight's is left
    assert (whole, part) == (8, 4)


def test_what_a_layer_says_of_its_parameter_counts() -> None:
    @dataclass(frozen=True)
    class Fixed(Layer):
        name: str | None = None

        def parameters(self, x: Any) -> Mapping[str, Parameter]:
            width = x.shape[-1]
            return {
                "gain": Parameter((width,), "ones", frozen=True),
                "shift": Parameter((width,), "zeros", rate=0.5, decay=0.0),
            }

        def forward(self, scope: Any, x: Any) -> Any:
            return x * scope["gain"] + scope["shift"]

    layers = cr.nn.Sequential(Fixed(name="scale"), cr.nn.Dense(1))
    run = fit(network=layers, optimizer=AdamW(0.01, decay=0.2))
    assert run.parameters["scale.gain"].tolist() == [1.0, 1.0, 1.0]
    assert {k: v for k, v in run.settings.items() if k.startswith("scale")} == {
        "scale.shift.rate": 0.5,
        "scale.shift.decay": 0.0,
    }
    assert "scale.shift.decay" not in fit(network=layers, optimizer=SGD(0.1)).settings, "SGD has no decay"
    other = fit(network=layers, optimizer=AdamW(0.01, decay=0.2), rate_factors={"scale.*": 2.0})
    assert other.settings["scale.shift.rate"] == 2.0


def test_a_network_that_is_a_function_has_names_too() -> None:
    def linear(parameters: Any, x: Any) -> Any:
        return x @ parameters[0]["w"] + parameters[1]

    objective = cr.Objective(linear, "squared_error")
    first = [{"w": np.ones((3, 1))}, np.zeros(1)]
    run = cr.fit(objective, (X, Y), optimizer=Adam(0.1), epochs=3, parameters=first, frozen=["0.*"])
    assert leaf_names(flatten(first)[1]) == ["0.w", "1"]
    assert run.parameters[0]["w"].tolist() == [[1.0], [1.0], [1.0]]
    assert run.parameters[1] != 0
    factor = cr.fit(objective, (X, Y), optimizer=SGD(0.1), epochs=1, parameters=first, rate_factors={"1": 0.0})
    assert factor.parameters[1] == 0
    assert factor.settings["1.rate"] == 0.0


# --- factors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "adamw", "rmsprop", "adagrad", "lion"])
def test_a_factor_multiplies_the_first_step(name: str, executor: str) -> None:
    options = {"optimizer": OPTIMIZERS[name], "epochs": 1, "batch_size": "all", "executor": executor}
    plain, own = fit(**options), fit(**options, rate_factors={"*.bias": 0.25})
    first = plain.at(0).parameters
    for key, value in first.items():
        factor = 0.25 if key.endswith("bias") else 1.0
        np.testing.assert_allclose(
            own.parameters[key] - value, factor * (plain.parameters[key] - value), rtol=1e-9, atol=1e-13
        )


def test_factors_of_weight_decay() -> None:
    """Loshchilov and Hutter by hand, with a decay of each parameter's own."""
    run = fit(
        optimizer=AdamW(0.02, decay=0.1), epochs=1, batch_size="all", decay_factors={"*": 0.0, "hidden1.weight": 3.0},
        rate_factors={"hidden1.weight": 0.5},
    )  # fmt: skip
    first = run.at(0).parameters
    _, gradient = cr.value_and_grad(cr.Objective(network(), "squared_error"))(first, (X, Y))
    for key, value in first.items():
        g = gradient[key]
        factor, decay = (0.5, 0.3) if key == "hidden1.weight" else (1.0, 0.0)
        wanted = value - 0.02 * factor * (g / (np.abs(g) + 1e-8) + decay * value)
        np.testing.assert_allclose(run.parameters[key], wanted, rtol=1e-10, atol=1e-12)


def test_another_factor_needs_no_other_graph() -> None:
    def digests(factor: float) -> list[bytes]:
        job = prepare(cr.Objective(network(), "squared_error"), (X, Y), rate_factors={"*.bias": factor})
        return [digest(graph) for graph in (job.program.measure, job.program.apply, job.program.evaluate)]

    assert digests(0.1) == digests(0.7) == digests(1.0)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_fit_many_knows_factors_and_what_is_frozen(executor: str) -> None:
    options: dict[str, Any] = {
        "optimizer": AdamW(0.02), "epochs": 3, "batch_size": 8, "executor": executor, "frozen": ["hidden2.*"],
        "rate_factors": {"*.bias": 1.0}, "average": 0.9,
    }  # fmt: skip
    entries = [{"output.bias.rate": r, "seed": s} for r, s in ((0.0, 0), (0.5, 1), (1.0, 2))]
    runs = fit_many(cr.Objective(network(), "squared_error"), (X, Y), entries, **options)
    for run, entry in zip(runs, entries, strict=True):
        seed, numbers = int(entry["seed"]), {"output.bias.rate": entry["output.bias.rate"]}
        alone = fit(**options, seed=seed, settings=numbers)
        assert bits(run.parameters) == bits(alone.parameters)
        assert bits(run.at(5).optimizer) == bits(alone.at(5).optimizer)
    assert runs[0].parameters["output.bias"] == 0


@dataclass(frozen=True)
class Seen:
    """A set that projects nowhere, and keeps what it was asked."""

    asked: list[tuple[Any, Metric]]

    def settings(self) -> dict[str, float]:
        return {}

    def project(self, parameters: Any, metric: Metric, settings: Mapping[str, Any]) -> tuple[Any, Any]:
        self.asked.append((parameters, metric))
        return parameters, np.asarray(True)


def test_the_metric_has_the_factors_and_the_shapes_of_what_is_trained() -> None:
    for optimizer in (SGD(0.1), Adam(0.1)):
        seen = Seen([])
        objective = cr.Objective(network(), "squared_error", subject_to=[seen])
        prepare(objective, (X, Y), optimizer=optimizer, rate_factors={"*.bias": 0.1}, frozen=["hidden1.*"])
        (moved, metric), *_ = seen.asked
        assert metric.kind == "diagonal"
        assert set(moved) == set(metric.step) == {"hidden2.weight", "hidden2.bias", "output.weight", "output.bias"}
        assert all(metric.step[key].shape == moved[key].shape for key in moved)
    plain = Seen([])
    prepare(cr.Objective(network(), "squared_error", subject_to=[plain]), (X, Y), optimizer=SGD(0.1))
    assert plain.asked[0][1].kind == "scalar"


def test_lion_refuses_constraints() -> None:
    objective = cr.Objective(network(), "squared_error", subject_to=[Seen([])])
    with pytest.raises(TrainingError, match="does not say in which metric it steps"):
        prepare(objective, (X, Y), optimizer=Lion(0.01))


# --- spelled out ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_step_spelled_out_has_the_bits_of_fit(name: str) -> None:
    x, y = X[:16], Y[:16]
    net, optimizer = network(), OPTIMIZERS[name]
    objective = cr.Objective(net, "squared_error")
    own = {"frozen": ["hidden1.weight"], "rate_factors": {"*.bias": 0.5}}
    own |= {"decay_factors": {"*.bias": 0.0}} if optimizer.decays else {}
    run = cr.fit(
        objective, (x, y), optimizer=optimizer, epochs=5, batch_size="all", shuffle=False, executor="reference", **own
    )
    treatment = Treatment.of(net, x, **own)
    parameters = net.initialize(x)
    state = optimizer.init(treatment.trained(parameters))
    for step in range(1, 6):
        _, gradient = cr.value_and_grad(objective)(parameters, (x, y))
        parameters, state = optimizer.step(parameters, gradient, state, treatment)
        assert bits(parameters) == bits(run.at(step).parameters)
        assert bits(state) == bits(run.at(step).optimizer)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frozen": ["hiden1.*"]}, "frozen: no parameter is called 'hiden1.*'; there are: hidden1.weight"),
        ({"frozen": ["*"]}, "every parameter is frozen: there is nothing to train"),
        ({"rate_factors": {"*.biass": 1.0}}, "rate_factors: no parameter is called '*.biass'"),
        ({"rate_factors": {"*.bias": -1.0}}, "the factor of '*.bias' is -1.0; it must be a finite number of at least"),
        ({"rate_factors": {"*.bias": True}}, "the factor of '*.bias' is True"),
        (
            {"decay_factors": {"*.bias": 0.0}},
            "decay_factors: SGD has no weight decay; cr.learn.AdamW and Lion have one",
        ),
    ],
)
def test_what_cannot_be_is_said(options: Any, message: str) -> None:
    with pytest.raises(TrainingError) as error:
        fit(**options)
    assert message in str(error.value)
