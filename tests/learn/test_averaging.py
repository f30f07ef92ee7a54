"""A moving average of the parameters, and gradients accumulated over several batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import TrainingError
from chainrule.graph import flatten
from chainrule.learn import SGD, Adam, Average, FlatCosine
from chainrule.learn.fitting import prepare

RNG = np.random.default_rng(11)
X = RNG.normal(size=(50, 4))
Y = np.sin(X).sum(axis=1, keepdims=True)
HELD = RNG.normal(size=(30, 4))
HELD_Y = np.sin(HELD).sum(axis=1, keepdims=True)
EXECUTORS = ["reference", "native"]


def objective(*extra: Any) -> Any:
    return cr.Objective(cr.nn.Sequential(cr.nn.Dense(6, "tanh"), *extra, cr.nn.Dense(1)), "squared_error")


def fit(*extra: Any, **options: Any) -> Any:
    chosen: dict[str, Any] = {"epochs": 5, "batch_size": 8, "optimizer": Adam(0.02)} | options
    return cr.fit(objective(*extra), (X, Y), **chosen)


def bits(tree: Any) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in flatten(tree)[0]]


# --- average ----------------------------------------------------------------------------------------------------------


def mean_by_formula(run: Any, steps: int, decay: float) -> dict[str, np.ndarray]:
    """Σ dᵗ⁻ˢ θ⁽ˢ⁾ / Σ dᵗ⁻ˢ over the steps that were taken."""
    shares = decay ** np.arange(steps - 1, -1, -1)
    every = [run.at(s).parameters for s in range(1, steps + 1)]
    return {k: np.tensordot(shares, np.stack([p[k] for p in every]), 1) / shares.sum() for k in every[0]}


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("decay", [0.0, 0.5, 0.95])
def test_the_average_is_the_weighted_mean_of_all_steps(decay: float, executor: str) -> None:
    run = fit(average=decay, executor=executor)
    plain = fit(executor=executor)
    for steps in (1, 2, 17, run.steps):
        found = run.at(steps).average
        for key, value in mean_by_formula(run, steps, decay).items():
            np.testing.assert_allclose(found[key], value, rtol=1e-11, atol=1e-13)
    assert bits(run.at(run.steps).parameters) == bits(plain.parameters), "training itself is not changed"
    assert bits(run.parameters) == bits(run.at(run.steps).average)
    assert run.settings["average.decay"] == decay


@pytest.mark.parametrize("executor", EXECUTORS)
def test_what_is_evaluated_and_kept_is_the_average(executor: str) -> None:
    options = {"validation": (HELD, HELD_Y), "patience": 3, "epochs": 40, "optimizer": Adam(0.1), "executor": executor}
    run = fit(average=0.9, **options)
    loss = [
        float(np.mean((run.objective.network(run.at(int(e["step"])).average, HELD) - HELD_Y) ** 2)) for e in run.history
    ]
    assert [e["validation_loss"] for e in run.history] == pytest.approx(loss, rel=1e-10)
    assert run.status == "early"
    assert run.best_epoch == int(np.argmin(loss)) + 1
    assert bits(run.parameters) == bits(run.at(7 * run.best_epoch).average)
    watched = fit(average=Average(0.9, evaluated=False), **options)
    plain = fit(**options)
    assert [e["validation_loss"] for e in watched.history] == [e["validation_loss"] for e in plain.history]
    assert bits(watched.parameters) == bits(plain.parameters)
    assert bits(watched.at(9).average) == bits(run.at(9).average)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_an_average_with_frozen_parameters_and_a_schedule(executor: str) -> None:
    run = fit(average=0.8, frozen=["hidden1.*"], executor=executor, settings={"average.decay": FlatCosine(0.8)})
    first = run.at(0).parameters
    assert bits(run.at(9).average["hidden1.weight"]) == bits(first["hidden1.weight"])
    assert run.settings_at(run.steps - 1)["average.decay"] < 0.01
    np.testing.assert_allclose(
        run.parameters["output.weight"], run.at(run.steps).parameters["output.weight"], rtol=1e-2
    )


def test_native_averages_as_the_reference_does() -> None:
    one, other = (fit(cr.nn.BatchNorm(), average=0.9, executor=executor) for executor in EXECUTORS)
    for key, value in one.parameters.items():
        np.testing.assert_allclose(other.parameters[key], value, rtol=1e-10, atol=1e-12)
    x = RNG.normal(size=(5, 4))
    np.testing.assert_allclose(one.predict(x), other.predict(x), rtol=1e-9)


@pytest.mark.parametrize("decay", [1.0, -0.1, True, "much"])
def test_a_decay_out_of_range_is_refused(decay: Any) -> None:
    with pytest.raises(
        TrainingError, match=r"the average's decay is .*; it must be a number of at least 0 and less than 1"
    ):
        fit(average=decay)


# --- accumulation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize(("size", "count"), [(8, 3), (5, 2), (16, 4), (1, 7)])
def test_accumulating_is_one_larger_batch(size: int, count: int, executor: str) -> None:
    """With dropout, whose masks must be those of the rows' positions in the larger batch; and a short last batch."""
    dropout = cr.nn.Dropout(0.4)
    parts = fit(dropout, batch_size=size, accumulate=count, executor=executor, settings={"dropout1.rate": 0.3})
    whole = fit(dropout, batch_size=size * count, executor=executor, settings={"dropout1.rate": 0.3})
    assert parts.steps == whole.steps == 5 * -(-50 // min(size * count, 50))
    for key, value in whole.parameters.items():
        np.testing.assert_allclose(parts.parameters[key], value, rtol=1e-10, atol=1e-13)
    assert [e["loss"] for e in parts.history] == pytest.approx([e["loss"] for e in whole.history], rel=1e-11)


def test_accumulating_by_hand() -> None:
    """Sums of batches, added, divided by all rows: one step."""
    run = fit(batch_size=10, accumulate=2, optimizer=SGD(0.1), epochs=1, shuffle=False)
    parameters = run.at(0).parameters
    for start in (0, 20, 40):
        total: dict[str, Any] = {}
        for part in range(start, min(start + 20, 50), 10):
            _, g = cr.value_and_grad(objective())(parameters, (X[part : part + 10], Y[part : part + 10]))
            total = {k: total.get(k, 0.0) + v * 10 for k, v in g.items()}
        parameters = {k: v - 0.1 * total[k] / min(20, 50 - start) for k, v in parameters.items()}
    for key, value in parameters.items():
        np.testing.assert_allclose(run.parameters[key], value, rtol=1e-11)


def test_sums_in_parts_take_less_memory_to_the_same_bits_as_tiles() -> None:
    assert bits(fit(batch_size=6, accumulate=4).parameters) == bits(fit(batch_size=24, tile_rows=6).parameters)
    job = prepare(objective(), (X, Y), batch_size=6, accumulate=4)
    assert (job.plan.batch_size, job.plan.tile_rows) == (24, 6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"accumulate": 0}, "accumulate is 0; it must be a whole number of at least 1"),
        ({"accumulate": 2, "batch_size": "all"}, "accumulate adds up several batches, and batch_size='all' is the"),
        ({"accumulate": 2, "tile_rows": 4}, "give accumulate or tile_rows"),
    ],
)
def test_what_cannot_be_accumulated_is_said(options: Any, message: str) -> None:
    with pytest.raises(TrainingError) as error:
        fit(**options)
    assert message in str(error.value)


def test_batch_statistics_cannot_be_accumulated() -> None:
    with pytest.raises(TrainingError, match="accumulate: batch normalization needs the statistics of the whole batch"):
        fit(cr.nn.BatchNorm(), accumulate=2)
