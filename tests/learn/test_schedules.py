"""Schedules against their formulas and against torch's; settings that follow a schedule; settings at any step."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import TrainingError
from chainrule.graph import digest, flatten
from chainrule.learn import (
    SCHEDULES,
    SGD,
    Adam,
    Cosine,
    CosLog4,
    Exponential,
    FlatCosine,
    OneCycle,
    Piecewise,
    Polynomial,
    Warmup,
    fit_many,
    get_schedule,
)
from chainrule.learn.fitting import prepare

T = 40
RNG = np.random.default_rng(2)
X = RNG.normal(size=(40, 4))
Y = np.cos(X).sum(axis=1, keepdims=True)
EXECUTORS = ["reference", "native"]


def rates(schedule: Any, steps: int = T + 5) -> np.ndarray:
    settings = schedule.settings()
    return np.array([float(schedule.at(np.float64(t), settings)) for t in range(steps)])


def bits(tree: Any) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in flatten(tree)[0]]


FORMULAS: dict[str, tuple[Any, Callable[[int], float]]] = {
    "piecewise": (Piecewise(0.4, {20: 0.02, 5: 0.1}), lambda t: 0.4 if t < 5 else 0.1 if t < 20 else 0.02),
    "exponential": (Exponential(0.4, T, factor=0.05), lambda t: 0.4 * 0.05 ** (t / T)),
    "exponential a step": (Exponential(0.4, 1, factor=0.9), lambda t: 0.4 * 0.9**t),
    "polynomial": (Polynomial(0.4, T, power=2.5, final=0.01), lambda t: 0.01 + 0.39 * (1 - min(t / T, 1)) ** 2.5),
    "coslog4": (CosLog4(0.4, T), lambda t: 0.4 * 0.5 * (1 - np.cos(2 * np.pi * np.log2(1 + 15 * min(t / T, 1))))),
    "flat_cosine": (
        FlatCosine(0.4, T, final=0.1),
        lambda t: 0.4 if t <= T / 2 else 0.1 + 0.15 * (1 + np.cos(np.pi * (2 * min(t, T) / T - 1))),
    ),
    "flat_cosine, another share": (
        FlatCosine(0.4, T, flat=0.25),
        lambda t: 0.4 if t <= T / 4 else 0.2 * (1 + np.cos(np.pi * (min(t, T) / T - 0.25) / 0.75)),
    ),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_formulas(name: str) -> None:
    schedule, formula = FORMULAS[name]
    np.testing.assert_allclose(rates(schedule), [formula(t) for t in range(T + 5)], rtol=1e-13, atol=1e-16)


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_trains_in_float32(name: str) -> None:
    run = cr.fit(
        cr.Objective(cr.nn.Sequential(cr.nn.Dense(1)), "squared_error"),
        (X.astype(np.float32), Y.astype(np.float32)),
        optimizer=SGD(get_schedule(name, 0.1)),
        epochs=2,
        executor="reference",
    )
    assert run.status == "done"
    assert {value.dtype for value in run.parameters.values()} == {np.dtype(np.float32)}


def test_coslog4_has_four_cycles_that_double() -> None:
    fine = rates(CosLog4(1.0, 15000), 15001)
    tops = [i for i in range(1, 15000) if fine[i - 1] < fine[i] >= fine[i + 1]]
    lows = [i for i in range(1, 15000) if fine[i - 1] > fine[i] <= fine[i + 1]]
    assert fine[0] == 0
    assert len(tops) == 4
    assert lows == [1000, 3000, 7000], "1, 2, 4 and 8 fifteenths of the run"


def torch_rates(make: Callable[[Any, Any], Any], rate: float, steps: int) -> np.ndarray:
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=rate)
        schedule = make(torch.optim.lr_scheduler, optimizer)
        found = []
        for _ in range(steps):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
    return np.array(found)


TORCH: dict[str, tuple[Any, Callable[[Any, Any], Any]]] = {
    "piecewise": (Piecewise(0.4, {5: 0.04, 20: 0.004}), lambda m, o: m.MultiStepLR(o, [5, 20], 0.1)),
    "exponential": (Exponential(0.4, 1, factor=0.9), lambda m, o: m.ExponentialLR(o, 0.9)),
    "polynomial": (Polynomial(0.4, T, power=1.5), lambda m, o: m.PolynomialLR(o, T, 1.5)),
    "cosine": (Cosine(0.4, T, final=0.01), lambda m, o: m.CosineAnnealingLR(o, T, 0.01)),
    "one_cycle": (OneCycle(0.4, T), lambda m, o: m.OneCycleLR(o, 0.4, T, cycle_momentum=False)),
    "one_cycle, other numbers": (
        OneCycle(0.4, T, rise=0.45, start=10.0, end=100.0),
        lambda m, o: m.OneCycleLR(o, 0.4, T, pct_start=0.45, div_factor=10, final_div_factor=100, cycle_momentum=False),
    ),
}


@pytest.mark.parametrize("name", TORCH)
def test_torch_has_the_same_rates(name: str) -> None:
    schedule, make = TORCH[name]
    np.testing.assert_allclose(rates(schedule, T), torch_rates(make, 0.4, T), rtol=1e-12)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 7])
def test_one_cycle_of_a_few_steps_is_finite_and_never_over_its_peak(steps: int) -> None:
    found = rates(OneCycle(0.4, steps), steps + 2)
    assert np.all(np.isfinite(found))
    assert found.max() <= 0.4 * (1 + 1e-15)
    assert np.all(found > 0)


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", [*SCHEDULES, "piecewise"])
def test_a_run_takes_the_rates_of_its_schedule(name: str, executor: str) -> None:
    schedule = Piecewise(0.1, {7: 0.03}) if name == "piecewise" else get_schedule(name, 0.1)
    run = cr.fit(
        cr.Objective(cr.nn.Dense(1), "half_squared_error"), (X, Y), optimizer=SGD(schedule), epochs=4, batch_size=10,
        shuffle=False, executor=executor,
    )  # fmt: skip
    expected = rates(schedule.with_total(16), 16)
    assert [run.settings_at(t)["learning_rate"] for t in range(16)] == pytest.approx(expected, rel=1e-13, abs=1e-16)
    assert [e["learning_rate"] for e in run.history] == pytest.approx(expected[3::4], rel=1e-12, abs=1e-16)
    w, b = run.at(0).parameters["weight"], run.at(0).parameters["bias"]
    for t in range(16):
        x, y = X[t % 4 * 10 :][:10], Y[t % 4 * 10 :][:10]
        away = x @ w + b - y
        w, b = w - expected[t] * x.T @ away / 10, b - expected[t] * away.mean(axis=0)
    np.testing.assert_allclose(run.parameters["weight"], w, rtol=1e-11)
    np.testing.assert_allclose(run.parameters["bias"], b, rtol=1e-11)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Piecewise(0.1, {}), "piecewise: give the steps at which the rate changes"),
        (lambda: Piecewise(0.1, {0: 0.1}), "piecewise: 0 is no step at which a rate could change"),
        (lambda: Piecewise(0.1, {0.5: 0.1}), "piecewise: 0.5 is no step"),
        (lambda: Piecewise(0.1, {5: -0.1}), "piecewise: the rate from step 5 on is -0.1"),
        (lambda: Exponential(0.1, factor=0.0), "exponential: factor is 0.0"),
        (lambda: Exponential(0.1, 0), "exponential: steps is 0"),
        (lambda: Polynomial(0.1, power=0.0), "polynomial: power is 0.0"),
        (lambda: OneCycle(0.1, rise=1.0), "one_cycle: rise is 1.0"),
        (lambda: OneCycle(0.1, start=0.5), "one_cycle: start is 0.5"),
        (lambda: FlatCosine(0.1, flat=1.0), "flat_cosine: flat is 1.0"),
        (lambda: CosLog4(-0.1), "the learning rate is -0.1"),
        (lambda: OneCycle(0.1).settings(), "one_cycle: steps is not set"),
    ],
)
def test_numbers_out_of_range_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(TrainingError) as error:
        make()
    assert message in str(error.value)


# --- other settings ---------------------------------------------------------------------------------------------------


def dropout_objective() -> Any:
    layers = cr.nn.Dense(6, "tanh"), cr.nn.Dropout(0.5), cr.nn.Dense(1)
    return cr.Objective(cr.nn.Sequential(*layers), "squared_error")


@pytest.mark.parametrize("executor", EXECUTORS)
def test_dropout_follows_a_schedule(executor: str) -> None:
    """Each step has the bits of a run whose rate is a plain number, the schedule's at that step."""
    options: dict[str, Any] = {"optimizer": SGD(0.05), "epochs": 6, "batch_size": 10, "executor": executor}
    schedule = FlatCosine(0.4)
    run = cr.fit(dropout_objective(), (X, Y), settings={"dropout1.rate": schedule}, **options)
    expected = rates(schedule.with_total(24), 24)
    assert expected[0] == expected[12] == 0.4
    assert expected[23] < 0.01
    for t in (0, 5, 13, 18, 23):
        assert run.settings_at(t)["dropout1.rate"] == pytest.approx(expected[t], rel=1e-13)
        here = run.at(t)
        job = prepare(dropout_objective(), (X, Y), settings={"dropout1.rate": expected[t]}, **options)
        loop = job.loop
        loop.kept = {
            **loop.kept, "parameters": here.parameters, "optimizer": here.optimizer,
            "clock": {**loop.kept["clock"], "step": np.asarray(t, np.uint32)},
        }  # fmt: skip
        loop.step, loop.epoch, loop.batch = t, t // 4, t % 4
        job.advance(until=t + 1)
        for key, value in loop.carry["parameters"].items():
            np.testing.assert_allclose(run.at(t + 1).parameters[key], value, rtol=1e-12, atol=1e-14)
    assert [e["dropout1.rate"] for e in run.history] == pytest.approx(expected[3::4], rel=1e-13)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_weight_decay_follows_a_schedule(executor: str) -> None:
    run = cr.fit(
        cr.Objective(cr.nn.Dense(1), "half_squared_error"), (X, Y), batch_size="all", shuffle=False, epochs=10,
        optimizer=cr.learn.AdamW(0.01), settings={"decay": FlatCosine(0.2)}, executor=executor,
    )  # fmt: skip
    decays = rates(FlatCosine(0.2, 10), 10)
    w, m, v = run.at(0).parameters["weight"], np.zeros((4, 1)), np.zeros((4, 1))
    for t in range(10):
        g = X.T @ (X @ w + run.at(t).parameters["bias"] - Y) / len(X)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        size = np.sqrt(v / (1 - 0.999 ** (t + 1))) + 1e-8
        w = w - 0.01 * (m / (1 - 0.9 ** (t + 1)) / size + decays[t] * w)
        np.testing.assert_allclose(run.at(t + 1).parameters["weight"], w, rtol=1e-11)


def test_momentum_may_follow_a_schedule() -> None:
    run = cr.fit(
        cr.Objective(cr.nn.Dense(1), "half_squared_error"), (X, Y), batch_size="all", epochs=6,
        optimizer=SGD(0.05, momentum=0.5), settings={"momentum": Piecewise(0.5, {3: 0.9})},
    )  # fmt: skip
    assert [run.settings_at(t)["momentum"] for t in range(6)] == [0.5] * 3 + [0.9] * 3
    assert run.history[4]["momentum"] == 0.9
    before, after = run.at(4), run.at(5)
    moved = before.parameters["weight"] - 0.05 * after.optimizer["velocity"]["weight"]
    np.testing.assert_allclose(after.parameters["weight"], moved, rtol=1e-14)


def test_other_numbers_of_a_schedule_need_no_other_graph() -> None:
    def digests(schedule: Any) -> list[bytes]:
        job = prepare(dropout_objective(), (X, Y), settings={"dropout1.rate": schedule})
        return [digest(graph) for graph in (job.program.measure, job.program.apply, job.program.evaluate)]

    assert digests(FlatCosine(0.1)) == digests(FlatCosine(0.3, 77, 0.2, 0.1))
    assert digests(FlatCosine(0.1)) != digests(Cosine(0.1))


@pytest.mark.parametrize("executor", EXECUTORS)
def test_fit_many_knows_schedules(executor: str) -> None:
    """The length of each run is its own; the height of the schedule is a setting like any other."""
    options: dict[str, Any] = {"epochs": 3, "batch_size": 8, "executor": executor}
    options |= {"optimizer": Adam(Warmup(Cosine(0.02), 3))}
    falling = {"dropout1.rate": FlatCosine(0.3)}
    entries = [{"rows": np.arange(20), **falling}, {"dropout1.rate": 0.1}, falling]
    runs = fit_many(dropout_objective(), (X, Y), entries, **options)
    assert [run.settings.get("dropout1.rate.flat_cosine_steps") for run in runs] == [9, None, 15]
    for run, rows, settings in ((runs[0], 20, falling), (runs[1], 40, {"dropout1.rate": 0.1}), (runs[2], 40, falling)):
        alone = cr.fit(dropout_objective(), (X[:rows], Y[:rows]), settings=settings, **options)
        assert bits(run.parameters) == bits(alone.parameters)
        assert run.settings_at(4) == alone.settings_at(4)


def test_what_cannot_have_a_schedule_is_refused() -> None:
    class Tempered(cr.nn.Layer):
        def settings(self) -> dict[str, float]:
            return {"temperature": 2.0}

        def forward(self, scope: Any, x: Any) -> Any:
            return x / scope.setting("temperature", 2.0)

    objective = cr.Objective(cr.nn.Sequential(cr.nn.Dense(1), Tempered()), "squared_error")
    with pytest.raises(TrainingError, match=r"'tempered1.temperature' is read when the network predicts"):
        cr.fit(objective, (X, Y), settings={"tempered1.temperature": Cosine(2.0)})
    with pytest.raises(TrainingError, match=r"right:  cr.fit\(…, optimizer=cr.learn.Adam\(cr.learn.Cosine\(0.01\)\)\)"):
        cr.fit(dropout_objective(), (X, Y), settings={"learning_rate": Cosine(0.1)})
    with pytest.raises(TrainingError, match=r"there is no setting 'dropout2.rate'; there are: dropout1.rate"):
        cr.fit(dropout_objective(), (X, Y), settings={"dropout2.rate": Cosine(0.1)})
    run = cr.fit(dropout_objective(), (X, Y), epochs=2)
    with pytest.raises(TrainingError, match="the run has 4 steps; there is no step 5"):
        run.settings_at(5)
