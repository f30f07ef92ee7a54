"""What once was told wrongly: each of these printed a wrong name, number or row, or failed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import ops
from chainrule.errors import TraceError, TrainingError, TypeMismatch
from chainrule.explanation.story import factored, told
from chainrule.graph import flatten
from chainrule.nn import BatchNorm, Dense, Layer, Parameter, Sequential
from chainrule.workflow.worked_example import start

RNG = np.random.default_rng(1)
X, Y = RNG.normal(size=(12, 3)), RNG.normal(size=(12, 2))
DATA = np.array([[0.05, 0.10]]), np.array([[0.01, 0.99]])
LECTURE = cr.Objective(Sequential(Dense(2, activation="sigmoid"), Dense(2, activation="sigmoid")), "half_squared_error")


def objective(*layers: Any, **more: Any) -> Any:
    return cr.Objective(Sequential(*layers), "half_squared_error", **more)


def explained(problem: Any, of: str, rows: Any = None, **first: Any) -> Any:
    parameters = {**problem.network.initialize(X, seed=0), **first}
    return cr.explain(problem, (X, Y), of=of, rows=rows, parameters=parameters)


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("of", ["i0->h1", "i3->h1", "h0", "h3", "net_o0", "o1->h1", "i1->o1", "h1->h2", "b_h3"])
def test_units_that_are_not_there(of: str) -> None:
    with pytest.raises(TrainingError, match="there is no"):
        cr.explain(LECTURE, DATA, of=of, parameters=start())


def test_a_unit_has_a_bias_of_its_own() -> None:
    one, two = (cr.explain(LECTURE, DATA, of=of, parameters=start()) for of in ("b1", "b_h2"))
    assert (one.title, two.title) == ("∂E/∂b_h1", "∂E/∂b_h2")
    whole = one.value + two.value
    assert f"of one bias for its whole layer the derivative is {whole:+.9g}" in " ".join(str(two).split())


def test_an_input_is_named_by_what_is_read_not_by_its_number() -> None:
    """All inputs are 0, and so are many units: equal numbers say nothing."""
    problem = objective(Dense(3, activation="relu"), Dense(3, activation="relu"), Dense(2))
    low = {f"hidden{i}.bias": np.full(3, -50.0) for i in (1, 2)}
    assert "factored   δ_output[0] · hidden2[1]" in str(explained(problem, "output.weight[1, 0]", [0], **low))
    parameters = problem.network.initialize(X, seed=0)
    d = cr.explain(problem, (np.zeros((1, 3)), Y[:1]), of="hidden1.weight[0, 1]", parameters=parameters)
    assert "· x[0]" in str(d)


@dataclass(frozen=True)
class Scaled(Layer):
    """Scales without a name for its result: what a weight reads is then no named value."""

    def parameters(self, x: Any) -> Mapping[str, Parameter]:
        return {"gain": Parameter((x.shape[-1],), "ones")}

    def forward(self, scope: Any, x: Any) -> Any:
        return x * scope["gain"] * 3.0


@dataclass(frozen=True)
class Turned(Layer):
    """x Wᵀ: named as a dense layer, and yet none."""

    name: str | None = "turned"

    def parameters(self, x: Any) -> Mapping[str, Parameter]:
        return {"weight": Parameter((x.shape[-1], x.shape[-1]), "glorot_uniform")}

    def forward(self, scope: Any, x: Any) -> Any:
        net = scope.name("net", ops.matmul(x, np.transpose(scope["weight"])))
        return scope.name("out", np.tanh(net))


ODD = {
    "softmax": (objective(Dense(2, activation="softmax"), Dense(2)), "hidden1.bias[0]"),
    "an unnamed layer": (objective(Dense(2, activation="tanh"), Scaled(), Dense(2)), "hidden1.weight[0, 1]"),
    "turned": (objective(Turned(), Dense(2)), "turned.weight[0, 2]"),
    "batch": (objective(Dense(2, activation="tanh"), Dense(2)), "hidden1.weight[2, 0]"),
}


@pytest.mark.parametrize("kind", ODD)
def test_what_is_factored_multiplies_out_to_the_derivative(kind: str) -> None:
    problem, of = ODD[kind]
    d = explained(problem, of, [4])
    formula, numbers = factored(d)
    assert formula or kind != "batch"
    if formula:
        product = eval(numbers.replace("−", "-").replace("·", "*").replace("×", "*"))
        assert product == pytest.approx(d.value, rel=1e-5)
    names = {step["name"] for path in d.to_json()["paths"]["largest"] for step in path["factors"]}
    if kind == "an unnamed layer":  # what the last weight is multiplied by has no name, and so the factor is no weight
        assert not any(name.startswith("w[") for name in names)
    assert all(len(line) <= 80 for line in str(d).splitlines())


def test_a_weight_with_an_exponent_is_printed_whole() -> None:
    problem = objective(Dense(2, activation="tanh"), Dense(2))
    weight = np.array([[2.5e-10, 1.0], [0.5, -0.25]])
    text = str(explained(problem, "hidden1.weight[0, 0]", [0], **{"output.weight": weight}))
    assert "·2.5e−10 " in text


def test_a_value_is_told_as_it_is_made() -> None:
    problem = objective(Dense(3, activation="softmax"), Dense(2))
    assert "softmax(hidden1.net[1])" in str(explained(problem, "hidden1.out[1]", [0]))
    problem = objective(Dense(3, activation=lambda v: np.tanh(v) * 2), Dense(2))
    assert "multiply" not in str(explained(problem, "hidden1.out[1]", [0]))
    assert "Σ weight" not in str(explained(objective(Turned(), Dense(2)), "turned.net[1]", [0]))


# --- rows -------------------------------------------------------------------------------------------------------------


def test_rows_keep_their_numbers_where_some_do_not_count() -> None:
    problem = objective(Dense(2, activation="tanh"), Dense(2))
    weight = np.ones(12)
    weight[3] = 0
    parameters = problem.network.initialize(X, seed=0)
    d = cr.explain(problem, (X, Y, weight), of="hidden1.weight[0, 0]", rows=[4], parameters=parameters)
    np.testing.assert_array_equal(d.scene.x, X[[4]])
    with pytest.raises(TypeMismatch, match=r"row 3 enters no loss .* weight 0, or was not given"):
        cr.explain(problem, (X, Y, weight), of="loss", rows=[3], parameters=parameters)
    d = cr.explain(problem, (X, Y, weight), of="hidden1.weight[0, 0]", parameters=parameters)
    assert d.scene.rows == [0, 1, 2, *range(4, 12)]


def test_one_row_with_a_share_says_so() -> None:
    problem = objective(Dense(2, activation="tanh"), Dense(2))
    weight = np.linspace(0.5, 2, 12)
    parameters = problem.network.initialize(X, seed=0)
    d = cr.explain(problem, (X, Y, weight), of="hidden1.weight[0, 0]", rows=[3], parameters=parameters)
    assert d.by_row[0].share * d.paths.total == pytest.approx(d.value, rel=1e-12)
    assert "by row" in str(d)


def test_rows_of_a_batch_with_statistics_have_their_own_numbers() -> None:
    problem = cr.Objective(Sequential(Dense(3, activation="tanh"), BatchNorm(), Dense(2)), "half_squared_error")
    run = cr.fit(problem, (X, Y), epochs=2, batch_size=5)
    d = cr.explain(run, of="hidden1.weight[0, 1]", step=1)
    named = {int(n) for path in d.paths for n in re.findall(r"\(row (\d+)\)", " ".join(told_route(d, path)))}
    assert named
    assert named <= set(d.scene.rows)


def told_route(d: Any, path: Any) -> tuple[str, ...]:
    return told(d, path).route


# --- runs -------------------------------------------------------------------------------------------------------------


def test_an_update_by_the_settings_of_the_run() -> None:
    problem = objective(Dense(2, activation="tanh"), Dense(2))
    for optimizer in (cr.learn.SGD(0.1), cr.learn.SGD(0.1, momentum=0.9), cr.learn.Adam(0.1)):
        run = cr.fit(problem, (X, Y), epochs=3, batch_size=7, optimizer=optimizer, settings={"learning_rate": 0.02})
        d = cr.explain(run, of="hidden1.weight[0, 0]", step=4)
        assert d.update.after == pytest.approx(float(run.at(5).parameters["hidden1.weight"][0, 0]), rel=1e-12)
        assert "0.02" in d.update.substituted


def test_rows_of_ones_own_have_no_update_unless_it_is_asked_for() -> None:
    run = cr.fit(objective(Dense(2, activation="tanh"), Dense(2)), (X, Y), epochs=3)
    assert cr.explain(run, of="output.bias[0]", step=1).update is not None
    assert cr.explain(run, of="output.bias[0]", step=1, rows=[2]).update is None
    assert cr.explain(run, of="output.bias[0]", step=1, rows=[2], optimizer=cr.learn.SGD(0.1)).update is not None


class L2:
    def settings(self) -> dict[str, float]:
        return {"lambda": 0.1}

    def value(self, parameters: Any, settings: Any) -> Any:
        return settings["lambda"] * sum(np.sum(v * v) for v in flatten(parameters)[0])


def test_the_loss_with_the_penalty_of_the_run() -> None:
    run = cr.fit(objective(Dense(2), penalty=[L2()]), (X, Y), epochs=1, settings={"penalty1.lambda": 1.0})
    d = cr.explain(run, of="loss")
    size = sum(float(np.sum(v * v)) for v in run.parameters.values())
    assert dict(d.penalties)["penalty1"] == pytest.approx(size)


def test_latex_and_html_say_whose_paths_they_are() -> None:
    problem = objective(Dense(2, activation="tanh"), Dense(2), penalty=[L2()])
    d = explained(problem, "hidden1.weight[0, 1]")
    row = d.row
    assert rf"\frac{{\partial E_{{{row}}}}}{{\partial" in d.latex()
    lines = d.latex().splitlines()
    assert f"= {d.value:.9g}" in lines[-2]
    assert f"of row {row} (its own loss)" in d._repr_html_()


# --- functions of one's own -------------------------------------------------------------------------------------------


def test_function_networks_with_nested_parameters() -> None:
    def network(p: Any, x: Any) -> Any:
        return np.tanh(x @ p["a"]["w"]) @ p["v"]

    problem = cr.Objective(network, "half_squared_error")
    parameters = {"a": {"w": RNG.normal(size=(3, 4))}, "v": RNG.normal(size=(4, 2))}
    _, gradient = cr.value_and_grad(problem)(parameters, (X, Y))
    d = cr.explain(problem, (X, Y), of="a.w[1, 2]", parameters=parameters)
    assert d.value == pytest.approx(float(gradient["a"]["w"][1, 2]), rel=1e-12)
    assert d.paths.count == 1


def test_uses_of_a_tied_weight_are_told_apart() -> None:
    problem = cr.Objective(lambda p, x: np.tanh(x @ p["w"]) @ p["w"], "squared_error")
    x, y = RNG.normal(size=(1, 3)), RNG.normal(size=(1, 3))
    d = cr.explain(problem, (x, y), of="w[0, 1]", parameters={"w": RNG.normal(size=(3, 3))})
    assert d.paths.count == 2
    assert {"use 1", "use 2"} <= {s["name"] for p in d.to_json()["paths"]["largest"] for s in p["factors"]}


FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "a vector inside": (lambda x: np.sum(np.array([1.0, 2.0, 3.0]) * x), (2.0,)),
    "a stack": (lambda x: np.sum(np.stack([x, x * x]) ** 2), (0.7,)),
    "a loop": (lambda x: cr.scan(lambda c, _: (np.sin(c), None), x, None, length=3)[0], (0.4,)),
    "its argument is y": (lambda y: y * y * 2, (3.0,)),
    "its argument is v1": (lambda v1: v1 * v1 * v1, (1.5,)),
    "an integer": (lambda x: x**3, (2,)),
    "steep": (lambda x: 1 / x, (1e-5,)),
    "a logarithm near 0": (lambda x: np.log(x), (1e-4,)),
    "minus": (lambda x: (x - 1) / 2, (0.3,)),
}


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_functions(kind: str) -> None:
    function, at = FUNCTIONS[kind]
    d = cr.explain(function, *at)
    assert d.value == pytest.approx(float(cr.grad(function)(*map(float, at))), rel=1e-12)
    assert d.check.difference < 1e-3
    text = str(d)
    assert all(len(line) <= 80 for line in text.splitlines()), text
    assert "subtracted term" not in text
    names = [line.name for line in d.lines]
    assert len(set(names)) == len(names)
    assert not {d.title.rpartition("∂")[2]} & set(names)
    json.dumps(d.to_json(), allow_nan=False)
    assert d.latex().startswith("\\begin{align*}")
    assert d._repr_html_().startswith("<pre>")


def test_a_derivative_below_rounding_is_not_called_wrong() -> None:
    """Fifty layers of tanh with small weights: the difference of two losses is rounding alone."""
    problem = objective(*(Dense(2, activation="tanh") for _ in range(30)), Dense(2))
    first = {f"hidden{i}.weight": np.eye(3 if i == 1 else 2, 2) * 0.3 for i in range(1, 31)}
    d = explained(problem, "hidden1.weight[0, 0]", [0], **first)
    assert 0 < abs(d.value) < 1e-15
    assert "no check: rounding alone" in str(d)


# --- what is wrong ----------------------------------------------------------------------------------------------------

RUN = cr.fit(objective(Dense(2, activation="tanh"), Dense(2)), (X, Y), epochs=2)
WRONG: dict[str, tuple[Any, str]] = {
    "parameters of a run": (lambda: cr.explain(RUN, of="loss", parameters={}), "a run has parameters of its own"),
    "step 1.5": (lambda: cr.explain(RUN, of="loss", step=1.5), "step is 1.5; it must be a whole number"),
    "step '1'": (lambda: cr.explain(RUN, of="loss", step="1"), "step is '1'"),
    "of=3": (lambda: cr.explain(RUN, of=3), r"of what\? A name is needed, not 3"),
    "of=''": (lambda: cr.explain(RUN, of=" "), r"of what\?"),
    "optimizer": (lambda: cr.explain(RUN, of="loss", optimizer="sgd"), "the optimizer is 'sgd'"),
    "most": (lambda: cr.explain(RUN, of="loss", most=0), "most is 0"),
    "a network": (lambda: cr.explain(RUN.objective.network, (X, Y), of="loss"), "a network alone has no loss"),
    "jacobians of a loss": (lambda: cr.explain(RUN, of="loss").jacobians, "is no derivative: it has no Jacobians"),
    "a dict": (lambda: cr.explain(lambda x: x, {"a": 1.0}), "functions of numbers, and argument 1 is"),
    "None": (lambda: cr.explain(lambda x: x, None), "argument 1 is None"),
    "too few": (lambda: cr.explain(lambda x, y: x, 1.0), "missing a required argument: 'y'"),
    "too many": (lambda: cr.explain(lambda x: x, 1.0, 2.0), "too many positional arguments"),
    "step of a function": (lambda: cr.explain(lambda x: x, 1.0, step=3), "belong to objectives and runs"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_said(kind: str) -> None:
    call, message = WRONG[kind]
    with pytest.raises((TrainingError, TraceError), match=message):
        call()


def test_json_takes_steps_of_numpy() -> None:
    d = cr.explain(RUN, of="output.bias[0]", step=np.int64(1))
    json.dumps(d.to_json(), allow_nan=False)


def test_where_a_jacobian_would_be_too_large_the_cuts_are_told() -> None:
    """Batch statistics tie the rows of a batch: 200 rows of 64 units would be 12,800 × 12,800 factors."""
    x = RNG.normal(size=(200, 5))
    y = RNG.normal(size=(200, 1))
    network = Sequential(Dense(64, activation="tanh"), BatchNorm(), Dense(1))
    run = cr.fit(cr.Objective(network, "squared_error"), (x, y), epochs=1, batch_size="all")
    d = cr.explain(run, of="hidden1.weight[0, 1]", step=0)
    assert "has 12,800 × 12,800 factors; batch statistics tie all rows together" in " ".join(str(d).split())
    for layer in d.layers:
        assert d.cut(layer).total == pytest.approx(d.value, rel=1e-9)
    with pytest.raises(TrainingError, match="no paths are listed"):
        _ = d.paths
    assert d.to_json()["cuts"]
    assert d._repr_html_()
    assert d.latex()
