"""Straight-line code: tiny graphs and tiny training programs, whose values never leave the registers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import ops
from chainrule.execute import get_executor
from chainrule.execute.native import engine, straight, tiny
from chainrule.execute.native.settings import debugging
from chainrule.graph import flatten
from chainrule.learn.fitting import prepare

pytestmark = pytest.mark.skipif(bool(engine.missing()), reason=engine.missing() or "native code runs here")
Dense, Sequential = cr.nn.Dense, cr.nn.Sequential


def functions() -> dict[str, Any]:
    return {
        "views": lambda x: np.transpose(np.reshape(x, (4, 3)))[::2, 1:] * 2.0,
        "sums": lambda x: np.stack([np.sum(x, axis=0)[0], np.sum(x), np.max(x), np.min(np.sum(x, axis=1))]),
        "products": lambda x: (x @ x.T) @ x,
        "padding": lambda x: cr.grad(lambda v: np.sum(v[1:, ::2] ** 3))(x),
        "joined": lambda x: np.concatenate([x, np.tanh(x), x[:1]], axis=0),
        "logic": lambda x: np.where((x > 0) & np.isfinite(x), x, -1.0) + np.where(np.all(x > -5), x, 1.0),
        "functions": lambda x: (np.exp(x) + np.log1p(x * x) + ops.sigmoid(x) + np.sin(x) + ops.erf(x)) ** 3,
        "gradient": cr.grad(lambda x: np.sum(np.exp(-0.5 * np.sum(x**2, axis=1)))),
        "random": lambda x: x * ops.uniform(ops.fold(ops.key(3), np.uint32(5)), x.shape, x.type.dtype),
    }  # fmt: skip


@pytest.mark.parametrize("name", list(functions()))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_tiny_graph_is_one_kernel_with_the_reference_values(name: str, dtype: Any) -> None:
    x = np.random.default_rng(1).normal(size=(3, 4)).astype(dtype)
    graph = cr.make_graph(functions()[name], x)
    assert straight.fits(graph, None)
    native, reference = get_executor("native"), get_executor("reference")
    (got,), (expected,) = native.run(graph, [x]), reference.run(graph, [x])
    assert got.dtype == expected.dtype
    np.testing.assert_allclose(got, expected, rtol=60 * np.finfo(dtype).eps, atol=20 * np.finfo(dtype).eps)
    if not debugging():
        assert len(native.compile(graph).section.calls) == 1  # type: ignore[attr-defined]  # native's


def test_what_is_not_tiny_has_loops() -> None:
    wide, long = np.ones((8, 9)), np.ones((4, 4))

    def many(x: Any) -> Any:
        for _ in range(60):
            x = np.exp(-x) ** 1.5
        return x

    assert not straight.fits(cr.make_graph(lambda x: x + 1, wide), None)
    assert not straight.fits(cr.make_graph(many, long), None)
    assert not straight.fits(cr.make_graph(lambda x: ops.scan(lambda c, v: (c + v, c), x[0], x)[0], long), None)


def trainings() -> list[Any]:
    two = Sequential(Dense(2, activation="sigmoid"), Dense(2, activation="sigmoid"))
    three = Sequential(Dense(3, activation="relu"), cr.nn.Dropout(0.3), Dense(3))
    normed = Sequential(Dense(3, activation="tanh"), cr.nn.BatchNorm(), Dense(3))
    return [
        pytest.param(two, "half_squared_error", cr.learn.SGD(0.5), 1, id="the lecture's network"),
        pytest.param(two, "squared_error", cr.learn.Adam(cr.learn.Cosine(0.05)), 4, id="adam, a schedule"),
        pytest.param(three, "softmax_cross_entropy", cr.learn.SGD(0.1, momentum=0.9), 2, id="dropout, momentum"),
        pytest.param(normed, "softmax_cross_entropy", cr.learn.AdamW(0.01), 4, id="batch norm"),
    ]


def made(network: Any, loss: str, optimizer: Any, batch: int, dtype: Any, **more: Any) -> Any:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(103, 2)).astype(dtype)
    y = rng.integers(0, 3, 103) if loss == "softmax_cross_entropy" else rng.uniform(size=(103, 2)).astype(dtype)
    return prepare(
        cr.Objective(network, loss), (x, y, rng.uniform(0, 2, 103)), optimizer=optimizer, batch_size=batch, epochs=4,
        validation=(x[:20], y[:20]), **more,
    )  # fmt: skip


def advanced(job: Any, **limit: Any) -> Any:
    job.executor.advance(job.program, job.plan, job.loop, job.arrays, job.training, job.validation, **limit)
    return job.loop


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("network", "loss", "optimizer", "batch"), trainings())
def test_a_tiny_training_is_the_reference_training(
    network: Any, loss: str, optimizer: Any, batch: int, dtype: Any
) -> None:
    jobs = [made(network, loss, optimizer, batch, dtype, executor=e) for e in ("native", "reference")]
    assert tiny.is_tiny(jobs[0].program, batch)
    ours, theirs = (advanced(job) for job in jobs)
    if not debugging():
        assert ours.machine._get("tiny"), "straight-line code ran"
    assert (ours.step, ours.epoch, ours.status) == (theirs.step, theirs.epoch, theirs.status)
    bound = 2e-3 if dtype == np.float32 else 1e-11
    for a, b in zip(flatten(ours.carry)[0], flatten(theirs.carry)[0], strict=True):
        np.testing.assert_allclose(a, b, rtol=bound, atol=bound / 100)
    for ours_, theirs_ in zip(ours.history, theirs.history, strict=True):
        assert ours_.keys() == theirs_.keys()
        assert all(ours_[k] == pytest.approx(theirs_[k], rel=bound) for k in ours_)


@pytest.mark.parametrize("batch", [1, 4])
def test_a_tiny_training_stopped_anywhere_goes_on_to_the_same_bits(batch: int) -> None:
    network = Sequential(Dense(3, activation="tanh"), cr.nn.Dropout(0.2), Dense(2))
    whole, parts = (made(network, "squared_error", cr.learn.Adam(0.01), batch, np.float32) for _ in range(2))
    advanced(whole)
    for step in (1, 2, 7, 27, 60, 10**6):
        advanced(parts, until=step)
        parts.loop = parts.loop.snapshot()
    for a, b in zip(flatten(whole.loop.carry)[0], flatten(parts.loop.carry)[0], strict=True):
        assert a.tobytes() == b.tobytes()
    assert whole.loop.history == parts.loop.history


def test_a_tiny_step_that_is_not_finite_is_not_taken() -> None:
    x = np.ones((40, 2))
    x[17] = 1e200
    network = Sequential(Dense(2), Dense(2))
    runs = [
        cr.fit(cr.Objective(network, "squared_error"), (x, np.ones((40, 2))), optimizer=cr.learn.SGD(0.1), batch_size=1,
               epochs=3, shuffle=False, executor=executor)
        for executor in ("native", "reference")
    ]  # fmt: skip
    assert [run.status for run in runs] == ["non-finite"] * 2
    assert [run.steps for run in runs] == [17, 17]
    assert runs[0].message == runs[1].message
    for a, b in zip(*(flatten(run.parameters)[0] for run in runs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
