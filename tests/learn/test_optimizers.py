"""Optimizers against the papers' formulas, schedules against theirs, and a step that reads only old values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import TraceError, TrainingError
from chainrule.graph import flatten
from chainrule.learn import SGD, Adam, AdamW, Constant, Cosine, Warmup, as_schedule, get_optimizer, get_schedule

Step = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


def bits(tree: Any) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in flatten(tree)[0]]


# --- ten steps by the papers ------------------------------------------------------------------------------------------


def gradient_descent(rate: float) -> Step:
    return lambda w, g, t: w - rate * g


def polyak(rate: float, momentum: float) -> Step:
    """Polyak (1964): the velocity gathers gradients, and decays."""
    velocity = np.zeros(())

    def step(w: np.ndarray, g: np.ndarray, t: int) -> np.ndarray:
        nonlocal velocity
        velocity = momentum * velocity + g
        return w - rate * velocity

    return step


def kingma_ba(rate: float, b1: float, b2: float, epsilon: float, decay: float = 0.0) -> Step:
    """Kingma and Ba (2015), algorithm 1; with decay, Loshchilov and Hutter (2019), algorithm 2."""
    m, v = np.zeros(()), np.zeros(())

    def step(w: np.ndarray, g: np.ndarray, t: int) -> np.ndarray:
        nonlocal m, v
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        m_hat, v_hat = m / (1 - b1**t), v / (1 - b2**t)
        return w - rate * (m_hat / (np.sqrt(v_hat) + epsilon) + decay * w)

    return step


CASES = {
    "sgd": (SGD(0.1), lambda: gradient_descent(0.1)),
    "momentum": (SGD(0.05, momentum=0.8), lambda: polyak(0.05, 0.8)),
    "adam": (Adam(0.02), lambda: kingma_ba(0.02, 0.9, 0.999, 1e-8)),
    "adam, own numbers": (Adam(0.02, 0.7, 0.95, 1e-3), lambda: kingma_ba(0.02, 0.7, 0.95, 1e-3)),
    "adamw": (AdamW(0.02, decay=0.1), lambda: kingma_ba(0.02, 0.9, 0.999, 1e-8, 0.1)),
}


def linear(parameters: Any, x: Any) -> Any:
    return x @ parameters["w"] + parameters["b"]


def problem(dtype: str = "f8") -> tuple[Any, Any, dict[str, np.ndarray]]:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(8, 3)).astype(dtype)
    y = (x @ np.array([[1.0], [-2.0], [0.5]], dtype) + 0.25).astype(dtype)
    first = {"w": rng.normal(size=(3, 1)).astype(dtype), "b": np.zeros(1, dtype)}
    return cr.Objective(linear, loss="half_squared_error"), (x, y), first


@pytest.mark.parametrize("name", CASES)
def test_ten_steps_equal_the_papers(name: str) -> None:
    optimizer, make = CASES[name]
    objective, (x, y), first = problem()
    run = cr.fit(objective, (x, y), optimizer=optimizer, epochs=10, batch_size="all", shuffle=False, parameters=first)
    w, b, step_w, step_b = first["w"], first["b"], make(), make()
    for t in range(1, 11):
        away = x @ w + b - y
        w, b = step_w(w, x.T @ away / 8, t), step_b(b, away.mean(axis=0), t)
        moment = run.at(t).parameters
        np.testing.assert_allclose(moment["w"], w, rtol=1e-12)
        np.testing.assert_allclose(moment["b"], b, rtol=1e-12)
    assert run.steps == 10


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("name", CASES)
def test_the_step_spelled_out_has_the_bits_of_fit(name: str, dtype: str) -> None:
    optimizer, _ = CASES[name]
    objective, data, parameters = problem(dtype)
    # 8 rows: dividing the sum or every row by a power of two gives the same bits, so that a mean's gradient is fit's.
    run = cr.fit(
        objective, data, optimizer=optimizer, epochs=10, batch_size="all", shuffle=False, parameters=parameters,
        executor="reference",
    )  # fmt: skip
    state = optimizer.init(parameters)
    for t in range(1, 11):
        _, gradient = cr.value_and_grad(objective)(parameters, data)
        parameters, state = optimizer.step(parameters, gradient, state)
        moment = run.at(t)
        assert bits(moment.parameters) == bits(parameters), f"step {t}"
        assert bits(moment.optimizer) == bits(state), f"step {t}"
        assert all(leaf.dtype == np.dtype(dtype) for leaf in flatten(parameters)[0])


def test_a_step_changes_nothing_in_place() -> None:
    for optimizer, _ in CASES.values():
        parameters, gradient = {"w": np.ones(3)}, {"w": np.arange(3.0)}
        state = optimizer.init(parameters)
        before = bits((parameters, gradient, state))
        optimizer.step(parameters, gradient, state)
        assert bits((parameters, gradient, state)) == before


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SGD(0.0), "the learning rate is 0.0; it must be a number greater than 0"),
        (lambda: SGD(-1), "the learning rate is -1"),
        (lambda: SGD(float("nan")), "the learning rate is nan"),
        (lambda: Adam("fast"), "the learning rate is 'fast'"),
        (lambda: Adam(True), "the learning rate is True"),
        (lambda: SGD(0.1, momentum=1.0), "SGD: momentum is 1.0; it must be a number of at least 0 and less than 1"),
        (lambda: Adam(0.1, beta1=-0.1), "Adam: beta1 is -0.1"),
        (lambda: AdamW(0.1, beta2=1.0), "AdamW: beta2 is 1.0"),
        (lambda: AdamW(0.1, decay=-1.0), "AdamW: decay is -1.0; it must be a number of at least 0"),
        (lambda: AdamW(0.1, decay=float("nan")), "AdamW: decay is nan"),
        (lambda: Cosine(0.1, steps=0), "cosine: steps is 0; it must be a whole number of at least 1"),
        (lambda: Cosine(0.0), "the learning rate is 0.0"),
        (lambda: Warmup(0.1, steps=0), "warmup: steps is 0"),
    ],
)
def test_numbers_out_of_range_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(TrainingError) as error:
        make()
    assert message in str(error.value)


def test_optimizers_by_name() -> None:
    assert get_optimizer("sgd") == SGD(0.1)
    assert get_optimizer("momentum", 0.5) == SGD(0.5, momentum=0.9)
    assert get_optimizer("adam", 0.01) == Adam(0.01)
    assert isinstance(get_optimizer("adamw"), AdamW)
    with pytest.raises(
        TraceError, match="there is no optimizer 'adm'; did you mean 'adam'\\? There are: sgd, momentum"
    ):
        get_optimizer("adm")


# --- old values -------------------------------------------------------------------------------------------------------


def deep_step(
    p: dict[str, np.ndarray], x: np.ndarray, y: np.ndarray, rate: float, *, reuse: bool
) -> dict[str, np.ndarray]:
    """One step of a tanh network of four layers in NumPy. With ``reuse`` each layer is updated before its weights carry
    the derivative back: the famous mistake."""
    p = dict(p)
    outs = [x]
    for i in range(4):
        net = outs[-1] @ p[f"w{i}"] + p[f"b{i}"]
        outs.append(np.tanh(net) if i < 3 else net)
    delta = (outs[-1] - y) / len(x)
    old = dict(p)
    for i in reversed(range(4)):
        p[f"w{i}"] = p[f"w{i}"] - rate * outs[i].T @ delta
        p[f"b{i}"] = p[f"b{i}"] - rate * delta.sum(axis=0)
        if i:
            delta = (delta @ (p if reuse else old)[f"w{i}"].T) * (1 - outs[i] ** 2)
    return p


def test_every_carried_value_is_written_after_the_last_read_of_the_old_one() -> None:
    rng = np.random.default_rng(0)
    sizes = [3, 5, 4, 6, 2]
    x, y = rng.normal(size=(7, 3)), rng.normal(size=(7, 2))
    names = ["hidden1", "hidden2", "hidden3", "output"]
    p = {f"w{i}": rng.normal(size=(sizes[i], sizes[i + 1])) for i in range(4)}
    p |= {f"b{i}": rng.normal(size=sizes[i + 1]) for i in range(4)}
    dense = [cr.nn.Dense(size, activation="tanh") for size in sizes[1:4]]
    objective = cr.Objective(cr.nn.Sequential(*dense, cr.nn.Dense(2)), loss="half_squared_error")
    first = {f"{name}.{kind}": p[f"{kind[0]}{i}"] for i, name in enumerate(names) for kind in ("weight", "bias")}
    options: dict[str, Any] = {"batch_size": "all", "shuffle": False, "parameters": first}
    run = cr.fit(objective, (x, y), optimizer=SGD(0.3), epochs=5, **options)
    right = wrong = p
    for step in range(1, 6):
        right, wrong = deep_step(right, x, y, 0.3, reuse=False), deep_step(wrong, x, y, 0.3, reuse=True)
        moment = run.at(step).parameters
        for i, name in enumerate(names):
            np.testing.assert_allclose(moment[f"{name}.weight"], right[f"w{i}"], rtol=1e-11, atol=1e-13)
            np.testing.assert_allclose(moment[f"{name}.bias"], right[f"b{i}"], rtol=1e-11, atol=1e-13)
            if name != "output":  # the output layer's own first step is right even in the mistake
                assert np.max(np.abs(moment[f"{name}.weight"] - wrong[f"w{i}"])) > 1e-4


def test_momentum_reads_the_old_velocity() -> None:
    """Both the step and the next state come from one and the same new velocity, made from the old one."""
    objective, (x, y), first = problem()
    optimizer = SGD(0.05, momentum=0.8)
    run = cr.fit(objective, (x, y), optimizer=optimizer, epochs=4, batch_size="all", parameters=first)
    for t in range(1, 5):
        before, after = run.at(t - 1), run.at(t)
        moved = before.parameters["w"] - 0.05 * after.optimizer["velocity"]["w"]
        np.testing.assert_allclose(after.parameters["w"], moved, rtol=1e-15)


# --- schedules --------------------------------------------------------------------------------------------------------


def rates(schedule: Any, steps: int) -> Iterator[float]:
    settings = schedule.settings()
    return (float(schedule.at(np.float64(t), settings)) for t in range(steps))


def test_constant() -> None:
    assert list(rates(Constant(0.3), 4)) == [0.3] * 4
    assert as_schedule(0.3) == Constant(0.3)
    assert as_schedule(np.float32(0.5)) == Constant(0.5)


def test_cosine() -> None:
    found = list(rates(Cosine(0.4, steps=8, final=0.1), 12))
    wanted = [0.1 + 0.15 * (1 + np.cos(np.pi * min(t, 8) / 8)) for t in range(12)]
    assert found == pytest.approx(wanted, rel=1e-15)
    assert found[0] == 0.4
    assert found[4] == pytest.approx(0.25, rel=1e-15)
    assert found[8:] == [pytest.approx(0.1, rel=1e-15)] * 4


def test_warmup() -> None:
    assert list(rates(Warmup(0.5, steps=4), 7)) == [0.125, 0.25, 0.375, 0.5, 0.5, 0.5, 0.5]
    both = list(rates(Warmup(Cosine(0.4, steps=8), steps=2), 9))
    cosine = list(rates(Cosine(0.4, steps=8), 9))
    assert both[0] == 0.5 * cosine[0]
    assert both[1:] == cosine[1:]


def test_schedules_by_name() -> None:
    assert get_schedule("constant", 0.1) == Constant(0.1)
    assert get_schedule("cosine", 0.1) == Cosine(0.1)
    assert get_schedule("warmup_cosine", 0.1) == Warmup(Cosine(0.1))
    with pytest.raises(TraceError, match="there is no schedule 'cosin'; did you mean 'cosine'"):
        get_schedule("cosin", 0.1)


def test_an_open_length_is_the_length_of_the_run() -> None:
    with pytest.raises(TrainingError, match="cosine: steps is not set"):
        Cosine(0.1).settings()
    objective, data, first = problem()
    run = cr.fit(objective, data, optimizer=SGD(Warmup(Cosine(0.1), steps=2)), epochs=5, batch_size=3, parameters=first)
    assert run.steps == 15
    assert run.settings["cosine_steps"] == 15
    fixed = cr.fit(objective, data, optimizer=SGD(Cosine(0.1, steps=4)), epochs=5, batch_size=3, parameters=first)
    assert fixed.settings["cosine_steps"] == 4


def test_the_rate_in_force_is_in_the_history() -> None:
    objective, data, first = problem()
    schedule = Cosine(0.1, final=0.01)
    run = cr.fit(objective, data, optimizer=SGD(schedule), epochs=5, batch_size=4, parameters=first)
    wanted = list(rates(Cosine(0.1, steps=10, final=0.01), 10))
    assert [entry["learning_rate"] for entry in run.history] == pytest.approx(wanted[1::2], rel=1e-15)
    warm = cr.fit(objective, data, optimizer=Adam(Warmup(0.1, steps=4)), epochs=3, batch_size="all", parameters=first)
    assert [entry["learning_rate"] for entry in warm.history] == [0.025, 0.05, pytest.approx(0.075, rel=1e-15)]


def test_a_schedule_moves_the_steps_that_it_says() -> None:
    objective, (x, y), first = problem()
    run = cr.fit(
        objective, (x, y), optimizer=SGD(Cosine(0.2)), epochs=6, batch_size="all", shuffle=False, parameters=first
    )
    w, b = first["w"], first["b"]
    for rate in rates(Cosine(0.2, steps=6), 6):
        away = x @ w + b - y
        w, b = w - rate * x.T @ away / 8, b - rate * away.mean(axis=0)
    np.testing.assert_allclose(run.parameters["w"], w, rtol=1e-12)
    np.testing.assert_allclose(run.parameters["b"], b, rtol=1e-12)


def test_a_rate_given_by_settings_is_the_rate() -> None:
    objective, data, first = problem()
    given = cr.fit(objective, data, optimizer=SGD(0.1), epochs=3, parameters=first, settings={"learning_rate": 0.02})
    own = cr.fit(objective, data, optimizer=SGD(0.02), epochs=3, parameters=first)
    assert bits(given.parameters) == bits(own.parameters)
    assert given.settings["learning_rate"] == 0.02


def test_step_with_its_arguments_in_another_order_says_what_it_takes() -> None:
    optimizer = cr.learn.Adam(0.1)
    parameters = {"w": np.ones(2)}
    state = optimizer.init(parameters)
    for wrong in ((parameters, parameters, cr.learn.SGD(0.1).init(parameters)), (parameters, state, parameters)):
        with pytest.raises(TrainingError, match=r"step takes \(parameters, gradient, state\), and the state of Adam"):
            optimizer.step(*wrong)
    with pytest.raises(TrainingError, match="give one such as"):
        cr.fit(cr.Objective(cr.nn.Dense(1), "squared_error"), (np.ones((2, 1)), np.ones(2)), optimizer=cr.learn.Adam)


@pytest.mark.parametrize(
    ("loss", "activation"), [("softmax_cross_entropy", "softmax"), ("binary_cross_entropy", "sigmoid")]
)
def test_softmax_or_sigmoid_twice_is_refused(loss: str, activation: str) -> None:
    network = cr.nn.Sequential(cr.nn.Dense(3, activation="relu"), cr.nn.Dense(2, activation=activation))
    with pytest.raises(TrainingError, match=rf"{loss} takes logits .*\n  wrong:  .*\n  right:  cr.nn.Dense\(2\)"):
        cr.Objective(network, loss)
    assert cr.Objective(cr.nn.Dense(2, activation="softmax"), "squared_error").loss.name == "squared_error"
