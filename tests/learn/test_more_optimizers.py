"""Nesterov, RMSprop, Adagrad, Lion and clipping: against NumPy by the papers, against torch, and native = reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import TrainingError
from chainrule.graph import flatten
from chainrule.learn import SGD, Adagrad, Adam, AdamW, ClipNorm, ClipValue, Cosine, Lion, RMSprop, get_optimizer

STEPS = 25
RNG = np.random.default_rng(8)
X, Y = RNG.normal(size=(30, 4)), RNG.normal(size=(30, 2))
EXECUTORS = ["reference", "native"]


def network() -> Any:
    return cr.nn.Sequential(cr.nn.Dense(5, "tanh"), cr.nn.Dense(2))


OBJECTIVE = cr.Objective(network(), "squared_error")
FIRST = network().initialize(X)


def fit(optimizer: Any, **options: Any) -> Any:
    return cr.fit(
        OBJECTIVE, (X, Y), optimizer=optimizer, parameters=FIRST,
        **{"epochs": STEPS, "batch_size": "all", "shuffle": False, **options},
    )  # fmt: skip


def bits(tree: Any) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in flatten(tree)[0]]


# --- by the papers ----------------------------------------------------------------------------------------------------

Step = Callable[[np.ndarray, np.ndarray], np.ndarray]


def nesterov(rate: float, momentum: float) -> Step:
    v: Any = 0.0

    def step(w: np.ndarray, g: np.ndarray) -> np.ndarray:
        nonlocal v
        v = momentum * v + g
        return w - rate * (g + momentum * v)

    return step


def rmsprop(rate: float, rho: float, epsilon: float, momentum: float = 0.0, centered: bool = False) -> Step:
    v: Any = 0.0
    m: Any = 0.0
    b: Any = 0.0

    def step(w: np.ndarray, g: np.ndarray) -> np.ndarray:
        nonlocal v, m, b
        v, m = rho * v + (1 - rho) * g**2, rho * m + (1 - rho) * g
        b = momentum * b + g / (np.sqrt(v - m**2 if centered else v) + epsilon)
        return w - rate * b

    return step


def adagrad(rate: float, epsilon: float, initial: float = 0.0) -> Step:
    v: Any = initial

    def step(w: np.ndarray, g: np.ndarray) -> np.ndarray:
        nonlocal v
        v = v + g**2
        return w - rate * g / (np.sqrt(v) + epsilon)

    return step


def lion(rate: float, b1: float, b2: float, decay: float) -> Step:
    m: Any = 0.0

    def step(w: np.ndarray, g: np.ndarray) -> np.ndarray:
        nonlocal m
        c = b1 * m + (1 - b1) * g
        m = b2 * m + (1 - b2) * g
        return w - rate * (np.sign(c) + decay * w)

    return step


PAPERS: dict[str, tuple[Any, Callable[[], Step]]] = {
    "nesterov": (SGD(0.05, 0.8, nesterov=True), lambda: nesterov(0.05, 0.8)),
    "rmsprop": (RMSprop(0.01), lambda: rmsprop(0.01, 0.99, 1e-8)),
    "rmsprop, centered": (RMSprop(0.01, 0.9, 1e-4, centered=True), lambda: rmsprop(0.01, 0.9, 1e-4, 0.0, True)),
    "rmsprop, momentum": (RMSprop(0.01, 0.9, 1e-6, 0.7), lambda: rmsprop(0.01, 0.9, 1e-6, 0.7)),
    "rmsprop, both": (RMSprop(0.01, 0.9, 1e-3, 0.7, True), lambda: rmsprop(0.01, 0.9, 1e-3, 0.7, True)),
    "adagrad": (Adagrad(0.1), lambda: adagrad(0.1, 1e-10)),
    "adagrad, begun": (Adagrad(0.1, 1e-3, 0.5), lambda: adagrad(0.1, 1e-3, 0.5)),
    "lion": (Lion(0.01, decay=0.1), lambda: lion(0.01, 0.9, 0.99, 0.1)),
    "lion, other numbers": (Lion(0.01, 0.8, 0.95), lambda: lion(0.01, 0.8, 0.95, 0.0)),
}


def by_hand(make: Callable[[], Step]) -> dict[str, np.ndarray]:
    p = {k: v.copy() for k, v in FIRST.items()}
    steps = {k: make() for k in p}
    for _ in range(STEPS):
        h = np.tanh(X @ p["hidden1.weight"] + p["hidden1.bias"])
        away = 2 * (h @ p["output.weight"] + p["output.bias"] - Y) / len(X)
        back = away @ p["output.weight"].T * (1 - h * h)
        gradient = {
            "output.weight": h.T @ away, "output.bias": away.sum(axis=0),
            "hidden1.weight": X.T @ back, "hidden1.bias": back.sum(axis=0),
        }  # fmt: skip
        p = {k: steps[k](v, gradient[k]) for k, v in p.items()}
    return p


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", PAPERS)
def test_steps_equal_the_papers(name: str, executor: str) -> None:
    optimizer, make = PAPERS[name]
    run, wanted = fit(optimizer, executor=executor), by_hand(make)
    for key, value in wanted.items():
        np.testing.assert_allclose(run.parameters[key], value, rtol=1e-10, atol=1e-13)


# --- torch ------------------------------------------------------------------------------------------------------------

TORCH: dict[str, tuple[Any, Callable[[Any, Any], Any]]] = {
    "sgd": (SGD(0.1), lambda o, p: o.SGD(p, 0.1)),
    "momentum": (SGD(0.05, 0.8), lambda o, p: o.SGD(p, 0.05, 0.8)),
    "nesterov": (SGD(0.05, 0.8, nesterov=True), lambda o, p: o.SGD(p, 0.05, 0.8, nesterov=True)),
    "adam": (Adam(0.02), lambda o, p: o.Adam(p, 0.02)),
    "adamw": (AdamW(0.02, decay=0.1), lambda o, p: o.AdamW(p, 0.02, weight_decay=0.1)),
    "rmsprop": (RMSprop(0.01), lambda o, p: o.RMSprop(p, 0.01)),
    "rmsprop, centered": (
        RMSprop(0.01, 0.9, 1e-4, centered=True), lambda o, p: o.RMSprop(p, 0.01, 0.9, 1e-4, 0, 0, True)
    ),
    "rmsprop, both": (RMSprop(0.01, 0.9, 1e-3, 0.7, True), lambda o, p: o.RMSprop(p, 0.01, 0.9, 1e-3, 0, 0.7, True)),
    "adagrad": (Adagrad(0.1), lambda o, p: o.Adagrad(p, 0.1)),
    "adagrad, begun": (
        Adagrad(0.1, 1e-3, 0.5),
        lambda o, p: o.Adagrad(p, 0.1, initial_accumulator_value=0.5, eps=1e-3),
    ),
    "clipped to a length": (ClipNorm(SGD(0.3), 0.05), lambda o, p: o.SGD(p, 0.3)),
    "clipped to a length, adam": (ClipNorm(Adam(0.02), 0.5), lambda o, p: o.Adam(p, 0.02)),
    "clipped by value": (ClipValue(SGD(0.3, 0.9), 0.01), lambda o, p: o.SGD(p, 0.3, 0.9)),
}  # fmt: skip


def by_torch(optimizer: Any, make: Callable[[Any, Any], Any]) -> tuple[dict[str, np.ndarray], int]:
    """Return what torch comes to, and in how many steps its own functions clipped the gradient."""
    torch = pytest.importorskip("torch")
    p = {k: torch.tensor(v, requires_grad=True) for k, v in FIRST.items()}
    inner, clipped = make(torch.optim, list(p.values())), 0
    x, y = torch.tensor(X), torch.tensor(Y)
    for _ in range(STEPS):
        inner.zero_grad()
        h = torch.tanh(x @ p["hidden1.weight"] + p["hidden1.bias"])
        out = h @ p["output.weight"] + p["output.bias"]
        ((out - y) ** 2).sum(dim=1).mean().backward()
        before = [v.grad.clone() for v in p.values()]
        if isinstance(optimizer, ClipNorm):
            torch.nn.utils.clip_grad_norm_(p.values(), optimizer.limit)
        if isinstance(optimizer, ClipValue):
            torch.nn.utils.clip_grad_value_(p.values(), optimizer.limit)
        clipped += any(bool((a != v.grad).any()) for a, v in zip(before, p.values(), strict=True))
        inner.step()
    return {k: v.detach().numpy() for k, v in p.items()}, clipped


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", TORCH)
def test_torch_comes_to_the_same(name: str, executor: str) -> None:
    optimizer, make = TORCH[name]
    wanted, clipped = by_torch(optimizer, make)
    assert (clipped > 0) == isinstance(optimizer, ClipNorm | ClipValue)
    run = fit(optimizer, executor=executor)
    for key, value in wanted.items():
        np.testing.assert_allclose(run.parameters[key], value, rtol=1e-10, atol=1e-12)


# --- clipping ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_gradient_within_its_limits_is_left_alone(executor: str) -> None:
    plain = fit(Adam(0.02), executor=executor)
    for clip in (ClipNorm, ClipValue):
        assert bits(fit(clip(Adam(0.02), 1e6), executor=executor).parameters) == bits(plain.parameters)


def test_two_clippings_one_within_the_other() -> None:
    both = ClipNorm(ClipValue(SGD(Cosine(0.1)), 0.02), 0.1)
    run = fit(both)
    assert {k: v for k, v in run.settings.items() if k.startswith("clip")} == {"clip_value": 0.02, "clip_norm": 0.1}
    assert run.settings["cosine_steps"] == STEPS
    changed = fit(both, settings={"clip_norm": 0.03})
    assert bits(changed.parameters) == bits(fit(ClipNorm(ClipValue(SGD(Cosine(0.1)), 0.02), 0.03)).parameters)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_gradient_of_infinite_length_is_not_clipped_to_nothing(executor: str) -> None:
    objective = cr.Objective(cr.nn.Dense(1), "squared_error")
    data = np.full((4, 2), 1e90), np.zeros((4, 1))
    run = cr.fit(objective, data, optimizer=ClipNorm(SGD(0.1), 1.0), epochs=3, batch_size="all", executor=executor,
                 parameters={"weight": np.ones((2, 1))})  # fmt: skip
    assert run.status == "non-finite"
    assert run.steps == 0
    assert bits(run.parameters) == bits(run.at(0).parameters)


def test_the_length_is_that_of_what_is_trained() -> None:
    run = fit(ClipNorm(SGD(1.0), 0.1), frozen=["hidden1.*"], epochs=1)
    moved = {k: run.parameters[k] - v for k, v in FIRST.items()}
    assert np.sqrt(sum(np.sum(v * v) for v in moved.values())) == pytest.approx(0.1, rel=1e-5)
    assert not moved["hidden1.weight"].any()


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_by_name(dtype: str) -> None:
    for name in cr.learn.OPTIMIZERS:
        run = cr.fit(OBJECTIVE, (X.astype(dtype), Y.astype(dtype)), optimizer=get_optimizer(name), epochs=20)
        assert run.history[-1]["loss"] < run.history[0]["loss"], name
        assert all(leaf.dtype == dtype for leaf in flatten(run.parameters)[0])
    assert get_optimizer("nesterov", 0.1) == SGD(0.1, momentum=0.9, nesterov=True)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SGD(0.1, nesterov=True), "SGD: nesterov looks ahead along the velocity, so it needs momentum"),
        (lambda: RMSprop(0.1, rho=1.0), "RMSprop: rho is 1.0; it must be a number of at least 0 and less than 1"),
        (lambda: RMSprop(0.1, epsilon=0.0), "RMSprop: epsilon is 0.0; it must be a number greater than 0"),
        (lambda: RMSprop(0.1, momentum=-0.1), "RMSprop: momentum is -0.1"),
        (lambda: Adagrad(0.1, epsilon=0.0), "Adagrad: epsilon is 0.0"),
        (lambda: Adagrad(0.1, initial=-1.0), "Adagrad: initial is -1.0; it must be a number of at least 0"),
        (lambda: Lion(0.1, beta1=1.0), "Lion: beta1 is 1.0"),
        (lambda: Lion(0.1, decay=-1.0), "Lion: decay is -1.0"),
        (lambda: ClipNorm(SGD(0.1), 0.0), "ClipNorm: limit is 0.0; it must be a number greater than 0"),
        (lambda: ClipNorm(0.1, 0.1), "ClipNorm takes an optimizer first, not 0.1: ClipNorm(Adam(0.001), 1.0)"),
        (lambda: ClipNorm(cr.learn.LBFGS(), 1.0), "ClipNorm clips the gradient of a step, and LBFGS takes none"),
        (lambda: ClipValue(cr.learn.LBFGS(), 1.0), "ClipValue clips the gradient of a step"),
        (lambda: ClipNorm(ClipValue(ClipNorm(SGD(0.1), 1.0), 2.0), 1.0), "ClipNorm within ClipNorm: clip once"),
    ],
)
def test_numbers_out_of_range_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(TrainingError) as error:
        make()
    assert message in str(error.value)
