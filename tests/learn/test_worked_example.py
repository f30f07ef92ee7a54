"""The lecture's network, 2-2-2 with sigmoids and η = 0.5, number by number; and the famous mistake, which we avoid."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr

X = np.array([[0.05, 0.10]])
Y = np.array([[0.01, 0.99]])
HIDDEN = np.array([[0.15, 0.25], [0.20, 0.30]])  # [in, out]: w1 and w2 lead to h1, w3 and w4 to h2
OUTPUT = np.array([[0.40, 0.50], [0.45, 0.55]])
RATE = 0.5


def network() -> Any:
    return cr.nn.Sequential(cr.nn.Dense(2, activation="sigmoid"), cr.nn.Dense(2, activation="sigmoid"))


def start() -> dict[str, np.ndarray]:
    return {
        "hidden1.weight": HIDDEN,
        "hidden1.bias": np.array([0.35, 0.35]),
        "output.weight": OUTPUT,
        "output.bias": np.array([0.60, 0.60]),
    }


def with_held_biases(parameters: Any, x: Any) -> Any:
    """The lecture's network as a function: its biases are constants, so no optimizer can reach them."""
    hidden = cr.nn.sigmoid(x @ parameters["hidden"] + 0.35)
    return cr.nn.sigmoid(hidden @ parameters["output"] + 0.60)


def with_tied_biases(parameters: Any, x: Any) -> Any:
    """One bias for a whole layer: its derivative is the sum over the units."""
    hidden = cr.nn.sigmoid(x @ parameters["hidden"] + parameters["b1"])
    return cr.nn.sigmoid(hidden @ parameters["output"] + parameters["b2"])


def printed(digits: str) -> Any:
    """A number as it is printed: within one unit of its last digit, for copied figures are cut off, not rounded.

    (After 10,000 steps out_o2 is .98406427351, printed .984064273.)
    """
    return pytest.approx(float(digits), rel=0, abs=10.0 ** -len(digits.partition(".")[2]))


def loss_of(objective: Any, parameters: Any) -> float:
    return float(objective(parameters, (X, Y)))


def test_forward() -> None:
    values = network().activations(start(), X)
    assert list(values) == ["hidden1.net", "hidden1.out", "output.net", "output.out"]
    assert values["hidden1.net"][0, 0] == printed("0.377500000")
    assert values["hidden1.out"][0].tolist() == [printed("0.593269992"), printed("0.596884378")]
    assert values["output.net"][0, 0] == printed("1.105905967")
    assert values["output.out"][0].tolist() == [printed("0.751365070"), printed("0.772928465")]
    assert network()(start(), X)[0].tolist() == [printed("0.751365070"), printed("0.772928465")]


def test_errors() -> None:
    output = network()(start(), X)
    each = [float(cr.nn.half_squared_error(Y[:, i], output[:, i])[0]) for i in range(2)]
    assert each == [printed("0.274811083"), printed("0.023560026")]
    assert float(cr.nn.half_squared_error(Y, output)[0]) == printed("0.298371109")
    assert loss_of(cr.Objective(network(), loss="half_squared_error"), start()) == printed("0.298371109")


def test_factors_of_the_derivative_by_w5() -> None:
    """∂E/∂w5 = ∂E/∂out_o1 · ∂out_o1/∂net_o1 · ∂net_o1/∂w5."""
    values = network().activations(start(), X)
    error = cr.grad(lambda out: np.sum(0.5 * (Y - out) ** 2))(values["output.out"])[0, 0]
    slope = cr.grad(lambda net: np.sum(cr.nn.sigmoid(net)))(values["output.net"])[0, 0]
    reach = cr.grad(lambda w: np.sum((values["hidden1.out"] @ w)[:, 0:1]))(OUTPUT)[0, 0]
    assert [error, slope, reach] == [printed("0.741365070"), printed("0.186815602"), printed("0.593269992")]
    assert error * slope * reach == printed("0.082167041")
    gradient = cr.grad(cr.Objective(network(), loss="half_squared_error"))(start(), (X, Y))
    assert gradient["output.weight"][0, 0] == printed("0.082167041")
    assert gradient["output.weight"][0, 0] == pytest.approx(error * slope * reach, rel=1e-14)


def test_derivative_by_w1_is_the_sum_of_two_paths() -> None:
    gradient = cr.grad(cr.Objective(network(), loss="half_squared_error"))(start(), (X, Y))
    assert gradient["hidden1.weight"][0, 0] == pytest.approx(0.000438567734, rel=0, abs=5e-13)
    assert gradient["hidden1.weight"][0, 0] == pytest.approx(0.000668396021 - 0.000229828287, rel=0, abs=1.1e-12)


def test_all_eight_updates_with_frozen_biases() -> None:
    objective = cr.Objective(with_held_biases, loss="half_squared_error")
    first = {"hidden": HIDDEN, "output": OUTPUT}
    run = cr.fit(objective, (X, Y), optimizer=cr.learn.SGD(RATE), epochs=1, parameters=first)
    w1, w3, w2, w4 = run.parameters["hidden"].ravel()
    w5, w7, w6, w8 = run.parameters["output"].ravel()
    assert [w1, w2, w3, w4] == [
        printed("0.149780716"),
        printed("0.199561432"),
        printed("0.249751144"),
        printed("0.299502287"),
    ]
    assert [w5, w6, w7, w8] == [
        printed("0.358916480"),
        printed("0.408666186"),
        printed("0.511301270"),
        printed("0.561370121"),
    ]
    assert np.array_equal(first["hidden"], [[0.15, 0.25], [0.20, 0.30]])  # nothing is changed in place


def test_one_step_with_frozen_biases() -> None:
    objective = cr.Objective(with_held_biases, loss="half_squared_error")
    first = {"hidden": HIDDEN, "output": OUTPUT}
    run = cr.fit(objective, (X, Y), optimizer=cr.learn.SGD(RATE), epochs=1, parameters=first)
    assert loss_of(objective, run.parameters) == pytest.approx(0.29102777369, rel=0, abs=5e-12)


def test_one_step_with_a_bias_for_each_unit() -> None:
    objective = cr.Objective(network(), loss="half_squared_error")
    run = cr.fit(objective, (X, Y), optimizer=cr.learn.SGD(RATE), epochs=1, parameters=start())
    assert loss_of(objective, run.parameters) == printed("0.280471447")
    assert run.parameters["hidden1.bias"][0] != run.parameters["hidden1.bias"][1]


def test_one_step_with_one_bias_for_each_layer() -> None:
    objective = cr.Objective(with_tied_biases, loss="half_squared_error")
    first = {"hidden": HIDDEN, "output": OUTPUT, "b1": np.array(0.35), "b2": np.array(0.60)}
    run = cr.fit(objective, (X, Y), optimizer=cr.learn.SGD(RATE), epochs=1, parameters=first)
    assert loss_of(objective, run.parameters) == printed("0.285750887")


def test_the_loop_spelled_out_is_the_loop_run_for_you() -> None:
    objective = cr.Objective(network(), loss="half_squared_error")
    optimizer = cr.learn.SGD(RATE)
    parameters, state = start(), optimizer.init(start())
    for _ in range(5):
        _, gradient = cr.value_and_grad(objective)(parameters, (X, Y))
        parameters, state = optimizer.step(parameters, gradient, state)
    run = cr.fit(objective, (X, Y), optimizer=optimizer, epochs=5, parameters=start())
    assert {k: v.tobytes() for k, v in run.parameters.items()} == {k: v.tobytes() for k, v in parameters.items()}


def test_ten_thousand_steps() -> None:
    """Correct figures; the widely copied .015912196 / .984065734 come from the mistake below."""
    objective = cr.Objective(with_held_biases, loss="half_squared_error")
    run = cr.fit(
        objective,
        (X, Y),
        optimizer=cr.learn.SGD(RATE),
        epochs=10_000,
        shuffle=False,
        parameters={"hidden": HIDDEN, "output": OUTPUT},
    )
    assert run.steps == 10_000
    assert run.predict(X)[0].tolist() == [printed("0.015913620"), printed("0.984064273")]


def test_the_famous_mistake_is_another_number() -> None:
    """Hidden gradients computed with output weights that were already updated: not what the trainer does."""
    objective = cr.Objective(with_held_biases, loss="half_squared_error")
    old = {"hidden": HIDDEN, "output": OUTPUT}
    gradient = cr.grad(objective)(old, (X, Y))
    # The errors of the forward pass stand; only the weights that carry them back to the hidden layer are new.
    hidden = 1 / (1 + np.exp(-(X @ HIDDEN + 0.35)))
    output = 1 / (1 + np.exp(-(hidden @ OUTPUT + 0.60)))
    delta = (output - Y) * output * (1 - output)
    updated = OUTPUT - RATE * gradient["output"]

    def step(carried_back_by: np.ndarray) -> dict[str, np.ndarray]:
        back = (delta @ carried_back_by.T) * hidden * (1 - hidden)
        return {"hidden": HIDDEN - RATE * X.T @ back, "output": updated}

    mistaken, right = step(updated), step(OUTPUT)
    assert loss_of(objective, mistaken) == printed("0.291027924")
    run = cr.fit(objective, (X, Y), optimizer=cr.learn.SGD(RATE), epochs=1, parameters=old)
    np.testing.assert_allclose(run.parameters["hidden"], right["hidden"], rtol=1e-15)
    assert np.max(np.abs(run.parameters["hidden"] - mistaken["hidden"])) > 1e-6
    assert loss_of(objective, run.parameters) != printed("0.291027924")


def test_the_gradient_agrees_with_central_differences() -> None:
    objective = cr.Objective(network(), loss="half_squared_error")
    assert cr.check_grad(lambda parameters: objective(parameters, (X, Y)), start(), tolerance=1e-9)
