"""Results written over what they follow: where that is allowed, and what a step that failed leaves behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.execute.native import engine, room
from chainrule.execute.native.overwrite import overwritable
from chainrule.graph import flatten
from chainrule.learn.fitting import prepare
from chainrule.learn.optimizers import Metric

A = np.ones((3, 3), np.float32)

native = pytest.mark.skipif(bool(engine.missing()), reason=engine.missing() or "native code runs here")

CASES: dict[str, tuple[Any, set[int]]] = {
    "an update of each": (lambda p, g: (p - 0.1 * g, 0.9 * g + p), {0, 1}),
    "read by a later product": (lambda p, g: (p - 0.1 * g, (p - g) @ (p * np.sum(g - p))), {0}),
    "read transposed in the same nest": (lambda p, g: (p + p.T, g * 2), {1}),
    "its first row is added to all": (lambda p, g: (p + p[0], g * 2), {1}),
    "its sum is read before": (lambda p, g: (p / np.sum(p * p), g * 2), {0, 1}),
    "kept as the other's next value": (lambda p, g: (p - g, p), set()),
    "kept under another shape": (lambda p, g: (p - g, np.reshape(np.reshape(p, (9,)), (3, 3))), set()),
    "one result for both": (lambda p, g: (p - g,) * 2, set()),
    "not computed by a nest": (lambda p, g: (p @ g, g * 2), {1}),
    "unchanged": (lambda p, g: (p, g * 2), {1}),
}


@pytest.mark.parametrize("name", CASES)
def test_what_may_be_written_over(name: str) -> None:
    function, expected = CASES[name]
    graph = cr.make_graph(function, A, A)
    assert overwritable(graph, dict(enumerate(graph.inputs))) == expected


@dataclass(frozen=True)
class Crossed(cr.learn.SGD):
    """Gradient descent whose state is full of old parameters and gradients, turned and swapped every step."""

    def init(self, parameters: Any) -> dict[str, Any]:
        copies = {name: {k: v + 0 for k, v in parameters.items()} for name in ("before", "earlier", "turned")}
        return {"step": np.uint32(0), **copies}

    def update(self, gradient: Any, state: Mapping[str, Any], parameters: Any, settings: Mapping[str, Any]) -> Any:
        direction = {k: g + 0.1 * (state["earlier"][k] - state["turned"][k]) for k, g in gradient.items()}
        after = {
            "step": state["step"] + np.uint32(1),
            "before": parameters,
            "earlier": state["before"],
            "turned": {k: np.transpose(np.transpose(v) - 0.5 * np.sum(v)) for k, v in parameters.items()},
        }
        return direction, Metric("scalar", self.rate(state, direction["output.bias"], settings)), after


RNG = np.random.default_rng(5)
X = RNG.normal(size=(40, 4))
Y = X.sum(axis=1, keepdims=True)


def bits(tree: Any) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in flatten(tree)[0]]


@native
@pytest.mark.parametrize("width", [3, 40], ids=["straight-line", "kernels"])
def test_an_optimizer_that_keeps_old_values(width: int) -> None:
    network = cr.nn.Sequential(cr.nn.Dense(width, "tanh"), cr.nn.Dense(1))
    runs = [
        cr.fit(cr.Objective(network, "squared_error"), (X, Y), optimizer=Crossed(0.01), epochs=3, batch_size=8,
               executor=executor)
        for executor in ("native", "reference")
    ]  # fmt: skip
    for name, value in runs[1].parameters.items():
        np.testing.assert_allclose(runs[0].parameters[name], value, rtol=1e-9, atol=1e-12)


def late() -> Any:
    """A run that grows by a factor each step, and overflows after some hundred of them."""
    network = cr.nn.Sequential(cr.nn.Dense(40, "identity"), cr.nn.Dense(1, "identity"))
    return prepare(
        cr.Objective(network, "squared_error"), (X, Y), optimizer=cr.learn.SGD(1e-3, momentum=0.999), batch_size=12,
        epochs=4000, parameters={"output.weight": np.full((40, 1), 0.5)}, validation=(X[:7], Y[:7]),
    )  # fmt: skip


def advance(job: Any, **limit: Any) -> None:
    job.executor.advance(job.program, job.plan, job.loop, job.arrays, job.training, job.validation, **limit)


@native
@pytest.mark.parametrize("begun", [0, 1, 13], ids=lambda n: f"seen at {n}")
def test_after_a_step_that_failed_the_carry_before_it_is_back(begun: int) -> None:
    """It is made again from where it was last seen, and neither history nor the best of the run know of it."""
    job, other = late(), late()
    advance(job, until=begun)
    _ = job.loop.carry
    advance(job)
    assert job.loop.status == "non-finite"
    assert job.loop.step > 50
    advance(other, until=job.loop.step)
    assert other.loop.status == "running"
    assert other.loop.step == job.loop.step
    assert bits(job.loop.carry) == bits(other.loop.carry)
    assert job.loop.history == other.loop.history
    assert job.loop.best is not None
    assert other.loop.best is not None
    assert bits(job.loop.best.parameters) == bits(other.loop.best.parameters)
    assert (job.loop.epoch, job.loop.batch, job.loop.waited) == (other.loop.epoch, other.loop.batch, other.loop.waited)
    advance(other)
    assert other.loop.status == "non-finite"
    assert bits(job.loop.carry) == bits(other.loop.carry)


def test_large_memory_is_zero_aligned_and_not_shared() -> None:
    place = room.Room()
    taken = [place.take(size) for size in (100, room.LARGE, room.LARGE + 1, room.BLOCK + 5, room.LARGE, 8)]
    for number, array in enumerate(taken):
        assert array.ctypes.data % room.ALIGN == 0
        assert not array.any()
        array[:] = number + 1
    assert [(int(a.min()), int(a.max())) for a in taken] == [(i, i) for i in range(1, 7)]


def test_without_large_pages_there_is_memory_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError("no address space left")

    monkeypatch.setattr(room.mmap, "mmap", refuse)
    array = room.Room().take(room.LARGE)
    assert len(array) == room.LARGE
    assert not array.any()
