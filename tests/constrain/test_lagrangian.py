"""Lagrangian and AugmentedLagrangian: the traps, both executors, batches, settings, history."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.preprocessing import StandardScaler

import chainrule as cr
from chainrule import constrain as ct
from chainrule.errors import TrainingError
from chainrule.learn import SGD

HALF = np.sqrt(0.5)


def nesterov(rate: float, momentum: float = 0.9) -> SGD:
    return SGD(rate, momentum=momentum, nesterov=True)


@cache
def table(name: str) -> tuple[np.ndarray, np.ndarray]:
    x, y = (load_diabetes if name == "diabetes" else load_breast_cancer)(return_X_y=True)
    if name == "diabetes":
        y = StandardScaler().fit_transform(y[:, None])
    return StandardScaler().fit_transform(x), y


def problem(name: str, **parts: Any) -> Any:
    if name == "diabetes":
        return cr.Objective(cr.nn.Dense(1, bias=False), "half_squared_error", **parts)
    return cr.Objective(cr.nn.Dense(1), "binary_cross_entropy", **parts)


def line(limits: list[Any], function: Any) -> Any:
    """A problem in one number θ: F(θ) = function(θ), by a network that gives θ for every row."""
    return cr.Objective(
        lambda p, x: p["t"] + 0.0 * x[:, :1], lambda target, output: function(output), subject_to=limits
    )


ROW = np.zeros((1, 1)), np.zeros(1)


def shifted(t: Any) -> Any:
    return 1.0 + (t - 2.0) ** 2


def test_an_inactive_limit_ends_at_0_exactly() -> None:
    """Trap 7: λ rises while the start violates the limit, and must fall to 0 again, not near it."""
    for method in (ct.Lagrangian(0.5), ct.Lagrangian(0.5, damping=1.0), ct.AugmentedLagrangian(1.0, every=5)):
        for executor in ("native", "reference"):
            run = cr.fit(
                line([ct.L2Ball(3.0, parameters="all")], shifted), ROW, parameters={"t": np.array(5.0)},
                method=method, optimizer=SGD(0.05), epochs=400, batch_size="all", executor=executor,
            )  # fmt: skip
            assert max(entry["set1.multiplier"] for entry in run.history) > 0.05, "it had to rise first"
            assert min(entry["set1.multiplier"] for entry in run.history) == 0.0
            assert run.multipliers == {str(run.objective.subject_to[0]): 0.0}
            assert run.parameters["t"] == pytest.approx(2.0)
            found = cr.optimality(run, convex=True)
            assert found.level == "ε-optimal"
            assert list(found.multipliers.values()) == [0.0]


def test_a_limit_is_no_equality() -> None:
    """Trap 7: a minimum inside the limit is not pulled to its edge, from either side."""
    for start in (0.0, 1.9):
        run = cr.fit(
            line([ct.L2Ball(2.0, parameters="all")], lambda t: (t - 1.0) ** 2), ROW, parameters={"t": np.array(start)},
            method=ct.Lagrangian(0.1), optimizer=SGD(0.1), epochs=300, batch_size="all",
        )  # fmt: skip
        assert run.parameters["t"] == pytest.approx(1.0)
        assert all(entry["set1.multiplier"] == 0.0 for entry in run.history)


def test_a_multiplier_rises_by_the_violation_and_not_by_its_sign() -> None:
    """Trap 7: an ascent by Adam's steps would go ±η_λ, whatever g is; ours goes η_λ g, to the bit of a sum by hand."""
    for rate in (0.1, 0.01):
        run = cr.fit(
            line([ct.L2Ball(1.0, parameters="all")], lambda t: 0.0 * t), ROW, parameters={"t": np.array(2.0)},
            method=ct.Lagrangian(rate), optimizer=SGD(1e-9), epochs=5, batch_size="all",
        )  # fmt: skip
        seen = np.diff([0.0] + [entry["set1.multiplier"] for entry in run.history])
        np.testing.assert_allclose(seen, rate * 3.0, rtol=1e-6)  # g = t² − 1 = 3
    small = cr.fit(
        line([ct.L2Ball(1.0, parameters="all")], lambda t: 0.0 * t), ROW, parameters={"t": np.array(1.0005)},
        method=ct.Lagrangian(0.1), optimizer=SGD(1e-9), epochs=1, batch_size="all",
    )  # fmt: skip
    assert small.history[0]["set1.multiplier"] == pytest.approx(0.1 * (1.0005**2 - 1.0), rel=1e-6)


def test_the_lecture_example_has_one_multiplier() -> None:
    """min (t − 2)², t² ≤ 1: λ = 1, though every λ ≥ 0 attains the max at t = 1."""
    run = cr.fit(
        line([ct.L2Ball(1.0, parameters="all")], lambda t: (t - 2.0) ** 2), ROW, parameters={"t": np.array(0.3)},
        method=ct.Lagrangian(0.1, damping=0.5), optimizer=SGD(0.1), epochs=600, batch_size="all",
    )  # fmt: skip
    assert run.parameters["t"] == pytest.approx(1.0, abs=1e-9)
    assert run.multipliers["L2Ball(1, parameters='all')"] == pytest.approx(1.0, rel=1e-9)


# --- trap 4: a duality gap ------------------------------------------------------------------------------------------


def quartic(t: Any) -> Any:
    return -np.minimum(t**4, 1.0)


def gap_run(method: Any, epochs: int = 4000, executor: str = "native") -> Any:
    return cr.fit(
        line([ct.L2Ball(HALF, parameters="all")], quartic), ROW, parameters={"t": np.array(0.4)}, method=method,
        optimizer=SGD(0.02), epochs=epochs, batch_size="all", executor=executor,
    )  # fmt: skip


@pytest.mark.parametrize("executor", ["native", "reference"])
def test_the_augmented_lagrangian_reaches_a_solution_behind_a_duality_gap(executor: str) -> None:
    """−min(θ⁴, 1), θ² ≤ ½: the solution is θ² = ½ with λ = 1, at which L(·, 1) has a maximum: it needs ρ > 2."""
    run = gap_run(ct.AugmentedLagrangian(penalty=4.0, growth=1.0), executor=executor)
    assert abs(run.parameters["t"]) == pytest.approx(HALF, abs=1e-7)
    assert next(iter(run.multipliers.values())) == pytest.approx(1.0, rel=1e-6)
    found = cr.optimality(run)
    assert found.level == "ε-KKT", "a problem that is not convex never exceeds that"
    assert found.value == pytest.approx(-0.25, abs=1e-7)


def test_rho_grows_until_it_is_large_enough() -> None:
    run = gap_run(ct.AugmentedLagrangian(penalty=0.5, growth=1.5, most=20.0), epochs=12000)
    assert abs(run.parameters["t"]) == pytest.approx(HALF, abs=1e-6)
    assert cr.optimality(run).level == "ε-KKT"


def test_the_plain_lagrangian_does_not_settle_there_and_says_so() -> None:
    """No λ makes the solution a minimum of F + λ(θ² − ½): training goes elsewhere, and no more is claimed."""
    levels = set()
    for epochs in range(4000, 4400, 40):
        run = gap_run(ct.Lagrangian(0.05), epochs)
        assert abs(abs(run.parameters["t"]) - HALF) > 1e-3, "it does not come to the solution"
        found = cr.optimality(run)
        levels.add(found.level)
        multipliers = [entry["set1.multiplier"] for entry in run.history]
        assert max(multipliers) > 0.1, "λ rises past what keeps the limit"
        assert max(multipliers[-400:]) < 0.01, "and falls to 0"
        assert not found.certified
        assert any("history" in line for line in str(found).splitlines())
    assert levels <= {"infeasible", "feasible"}, levels


# --- trap 5: KKT residuals from batches ----------------------------------------------------------------------------


def test_optimality_looks_at_all_rows_so_that_no_batch_biases_the_residual() -> None:
    """The residual from batches is far above that of all rows, at the very minimum; ours is that of all rows."""
    x, y = table("breast cancer")
    run = cr.fit(problem("breast cancer", subject_to=[ct.L2Ball(1.0)]), (x, y), method=ct.AcceleratedProjection())
    found = cr.optimality(run)
    assert found.stationarity < 1e-6
    rng = np.random.default_rng(0)
    batches = [rng.choice(len(x), 32, replace=False) for _ in range(20)]
    seen = [cr.optimality(run, (x[rows], y[rows])).stationarity for rows in batches]
    assert np.median(seen) > 0.05, "what a batch says of a minimum: the trap"


# --- sets, settings, batches, both executors -----------------------------------------------------------------------


@pytest.mark.parametrize("limit", [
    ct.L2Ball(0.5), ct.MaxNorm(0.4), ct.L1Ball(0.8), ct.LInfBall(0.2), ct.GroupL2Ball(0.9), ct.L2Ball(0.5, per="layer"),
], ids=str)  # fmt: skip
@pytest.mark.parametrize(
    "method", [ct.Lagrangian(0.05, damping=0.5), ct.AugmentedLagrangian(0.5)], ids=["plain", "augmented"]
)
def test_native_is_the_reference(limit: Any, method: Any) -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(40, 3)), rng.normal(size=(40, 2))
    objective = cr.Objective(
        cr.nn.Sequential(cr.nn.Dense(4, "tanh"), cr.nn.Dense(2)), "squared_error", subject_to=[limit]
    )
    options: dict[str, Any] = {"method": method, "optimizer": cr.learn.Adam(0.01), "epochs": 12, "batch_size": 16}
    native, judge = (cr.fit(objective, (x, y), executor=e, **options) for e in ("native", "reference"))
    for name, value in judge.parameters.items():
        np.testing.assert_allclose(native.parameters[name], value, rtol=1e-9, atol=1e-11)
    for mine, theirs in zip(native.history, judge.history, strict=True):
        assert mine.keys() == theirs.keys()
        assert [mine[k] for k in mine] == pytest.approx([theirs[k] for k in mine], rel=1e-8, abs=1e-10)
    np.testing.assert_array_equal(native.at(17).parameters["output.weight"], native.at(17).parameters["output.weight"])
    assert native.at(36).parameters["output.weight"].tolist() == native.parameters["output.weight"].tolist()


def test_other_limits_and_rates_are_settings() -> None:
    """The same program: only numbers that it is given differ."""
    x, y = table("diabetes")
    objective = problem("diabetes", subject_to=[ct.L2Ball(0.2)])
    options: dict[str, Any] = {"optimizer": nesterov(0.05), "epochs": 2500, "batch_size": "all"}
    method = ct.Lagrangian(0.5, damping=2.0)
    one = cr.fit(objective, (x, y), method=method, **options)
    numbers = {"set1.radius": 0.3, "dual.learning_rate": 0.3, "dual.damping": 1.0}
    other = cr.fit(objective, (x, y), method=method, settings=numbers, **options)
    assert np.linalg.norm(other.parameters["weight"]) == pytest.approx(0.3, rel=1e-6)
    for a, b in ((one.program.apply, other.program.apply), (one.program.measure, other.program.measure)):
        assert a.to_json() == b.to_json()


def test_sets_without_an_inequality_stay_projected() -> None:
    x, y = table("diabetes")
    objective = problem("diabetes", subject_to=[ct.NonNegative(), ct.L2Ball(0.3)])
    run = cr.fit(
        objective, (x, y), method=ct.Lagrangian(0.5, damping=2.0), optimizer=SGD(0.05), epochs=4000, batch_size="all"
    )
    assert "NonNegative(): kept by projection, not by Lagrangian" in run.message
    assert np.all(run.parameters["weight"] >= 0.0)
    exact = cr.fit(objective, (x, y), method=ct.AcceleratedProjection())
    np.testing.assert_allclose(run.parameters["weight"], exact.parameters["weight"], atol=1e-6)
    assert list(run.multipliers) == ["L2Ball(0.3)"]


def test_frozen_parameters_and_float32() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(60, 3)).astype(np.float32), rng.normal(size=(60, 1)).astype(np.float32)
    network = cr.nn.Sequential(cr.nn.Dense(4, "tanh"), cr.nn.Dense(1))
    objective = cr.Objective(network, "squared_error", subject_to=[ct.L2Ball(0.3)])
    run = cr.fit(
        objective, (x, y), method=ct.Lagrangian(0.1, damping=1.0), optimizer=SGD(0.1), epochs=1500, batch_size="all",
        frozen=["hidden1.*"],
    )  # fmt: skip
    assert run.parameters["output.weight"].dtype == np.float32
    assert np.linalg.norm(run.parameters["output.weight"]) == pytest.approx(0.3, rel=1e-5)
    start = run.at(0).parameters["hidden1.weight"]
    assert np.array_equal(run.parameters["hidden1.weight"], start)


def test_errors() -> None:
    x, y = table("diabetes")
    with pytest.raises(TrainingError, match="no constraint that multipliers can hold"):
        cr.fit(problem("diabetes", subject_to=[ct.NonNegative()]), (x, y), method=ct.Lagrangian())
    objective = problem("diabetes", subject_to=[ct.L2Ball(0.2)])
    with pytest.raises(TrainingError, match="the lowest validation loss, which may violate the constraints"):
        cr.fit(objective, (x, y), method=ct.Lagrangian(), validation=(x, y), patience=3)
    with pytest.raises(TrainingError, match="dual_learning_rate is 0"):
        ct.Lagrangian(0.0)
    with pytest.raises(TrainingError, match="damping is -1"):
        ct.Lagrangian(damping=-1)
    with pytest.raises(TrainingError, match="growth is 0"):
        ct.AugmentedLagrangian(growth=0.5)
    with pytest.raises(TrainingError, match="every is 0"):
        ct.AugmentedLagrangian(every=0)
    with pytest.raises(TrainingError, match="a method such as Lagrangian is for"):
        cr.learn.fit_many(objective, (x, y), [{}], method=ct.Lagrangian())
    with pytest.raises(TrainingError, match="LBFGS searches along a line"):
        cr.fit(objective, (x, y), method=ct.Lagrangian(), optimizer=cr.learn.LBFGS())
    run = cr.fit(objective, (x, y), method=ct.Lagrangian(), optimizer=SGD(0.01), epochs=2)
    with pytest.raises(TrainingError, match="follows Σ λ∇g of its limits too"):
        cr.explain(run, of="weight[0, 0]", step=1)
