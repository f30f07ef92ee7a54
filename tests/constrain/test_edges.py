"""What a stranger tries: numbers out of range, contradictions, groups of no row, saving and resuming, printing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import constrain as ct
from chainrule.errors import TrainingError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
Y = (X[:, 0] + 0.3 * RNG.normal(size=60) > 0).astype(int)
B = RNG.random(60) < 0.4
GROUPS = {"a": ~B, "b": B}


def objective(*limits: Any, **more: Any) -> Any:
    network = cr.nn.Sequential(cr.nn.Dense(5, activation="tanh"), cr.nn.Dense(1))
    return cr.Objective(network, "binary_cross_entropy", subject_to=limits, **more)


def fit(*limits: Any, **options: Any) -> Any:
    chosen: dict[str, Any] = {"optimizer": cr.learn.SGD(0.1), "epochs": 20, "method": ct.Lagrangian(0.05, damping=1.0)}
    groups = {"groups": GROUPS} if any(isinstance(limit, ct.Limit) for limit in limits) else {}
    return cr.fit(objective(*limits), (X, Y), **chosen | groups | options)


@pytest.mark.parametrize(("limit", "settings", "message"), [
    (ct.L2Ball(1.0), {"set1.radius": 0.0}, "must be a number greater than 0"),
    (ct.L2Ball(1.0), {"set1.radius": float("nan")}, "must be a number greater than 0"),
    (ct.L2Ball(1.0), {"set1.radius": float("inf")}, "must be a number greater than 0"),
    (ct.L2Ball(1.0), {"dual.learning_rate": -1.0}, "must be a number greater than 0"),
    (ct.L2Ball(1.0), {"dual.damping": -1.0}, "must be a number of at least 0"),
    (ct.mean_loss(group="b") <= 0.3, {"set1.limit": float("nan")}, "must be a finite number"),
    (ct.mean_loss(group="b") <= 0.3, {"set1.share1": 0.1}, r"'set1.share1' is 0.1; it must be"),
], ids=str)  # fmt: skip
def test_a_setting_is_held_to_what_the_constructor_takes(limit: Any, settings: Any, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        fit(limit, settings=settings)


def test_settings_of_methods_and_boxes_are_held_to_their_ranges() -> None:
    for name, value in (("penalty", 0.0), ("growth", 0.5), ("most", 0.0), ("every", 0.0), ("tolerance", -1.0)):
        with pytest.raises(TrainingError, match=f"the setting 'dual.{name}' is"):
            fit(ct.L2Ball(1.0), method=ct.AugmentedLagrangian(), settings={f"dual.{name}": value})
    with pytest.raises(TrainingError, match=r"the setting 'set1.low' is 2.0; it must be a number at most 1"):
        fit(ct.Box(-1.0, 1.0), method=None, settings={"set1.low": 2.0})
    few = fit(ct.Cardinality(2), method=None, settings={"set1.count": 2.5})
    kept = sum(np.count_nonzero(few.parameters[f"{n}.weight"]) for n in ("hidden1", "output"))
    assert kept <= 2, "at most 2.5 are at most 2"


def test_limits_that_contradict_each_other_are_refused_where_that_is_seen() -> None:
    loss = ct.mean_loss(group="b")
    for limits in (
        (loss <= 0.05, loss >= 0.5), (abs(loss - 1.0) <= 0.1, loss <= 0.5), (loss >= 0.5, loss + 1.0 <= 1.2),
    ):  # fmt: skip
        with pytest.raises(TrainingError, match="contradict each other: no number satisfies both"):
            fit(*limits)
    fit(loss <= 0.5, loss >= 0.5, epochs=1)  # an equation is none


def test_limits_that_cannot_be_met_are_said_to_be_violated_and_why_that_may_be() -> None:
    """The losses of two halves, of which one is all: no single contradiction between two limits is to be seen."""
    limits = ct.mean_loss(group="b") <= 0.01, ct.mean_loss() + ct.mean_loss(group="b") >= 1.5, ct.mean_loss() <= 0.1
    for method in (ct.Lagrangian(0.05, damping=1.0), ct.AugmentedLagrangian(1.0)):
        found = cr.optimality(fit(*limits, method=method, epochs=600, batch_size="all"))
        assert found.level == "infeasible"
        assert "the violation does not fall: the limits may contradict each other" in str(found)
    parts = ["hidden1.weight"]
    apart = fit(ct.Simplex(5.0, parameters=parts), ct.L2Ball(0.5, parameters=parts), method=None, epochs=2)
    found = cr.optimality(apart)
    assert found.level == "infeasible"
    assert "they may have no point in common" in str(found)


def test_a_number_is_no_limit_and_two_means_are_compared() -> None:
    with pytest.raises(TrainingError, match=r"mean_loss\(\) is a number, and no limit on one"):
        objective(ct.mean_loss())
    assert str(ct.mean_loss(group="a") <= ct.mean_loss(group="b")) == (
        "mean_loss(group='a') - mean_loss(group='b') <= 0"
    )
    assert str(ct.mean_loss(group="a") >= ct.mean_loss(group="b") + 0.1) == (
        "mean_loss(group='a') - mean_loss(group='b') >= 0.1"
    )


def test_held_out_rows_on_which_a_mean_is_not_defined() -> None:
    """No row of the group, or none of the class: the others are told, and this one is said to have no value."""
    limits = ct.false_positive_rate(group="b") <= 0.9, ct.mean_loss() <= 5.0
    rows = Y == 1
    run = fit(*limits, validation=(X[rows], Y[rows]), validation_groups={"b": B[rows]})
    found = cr.optimality(run)
    assert [str(v.limit) for v in found.held_out] == ["mean_loss() <= 5"]
    assert "held out, false_positive_rate(group='b') <= 0.9 has no value: no row there is one that" in str(found)
    without = fit(*limits, validation=(X, Y))
    assert [str(v.limit) for v in cr.optimality(without).held_out] == ["mean_loss() <= 5"]


def test_optimality_on_other_rows_knows_their_groups() -> None:
    run = fit(ct.mean_loss(group="b") <= 0.3)
    other = np.random.default_rng(5).random(60) < 0.8
    found = cr.optimality(run, (X, Y), groups={"b": other})
    z = run.output(X)[:, 0]
    truth = float(np.mean((np.logaddexp(0.0, z) - Y * z)[other]))
    assert found.limits[0].value == pytest.approx(truth)
    assert next(iter(found.primal.values())) == pytest.approx(max(truth - 0.3, 0.0))


@pytest.mark.parametrize("rates", ["smooth", "decisions"])
def test_multipliers_are_saved_replayed_and_resumed(rates: Any, tmp_path: Path) -> None:
    limits = ct.error_rate(group="b") <= 0.05, ct.L2Ball(2.0)
    method = ct.AugmentedLagrangian(1.0, rates=rates)

    interrupt = [True]

    def stop_once(training: Any) -> None:
        if training.epoch == 15 and interrupt:
            interrupt.clear()
            raise KeyboardInterrupt

    whole = fit(*limits, method=method, epochs=30)
    assert any(np.ravel(list(whole.multipliers.values()))), "a multiplier is at work"
    assert whole.at(whole.steps).parameters["hidden1.weight"].tobytes() == (
        whole.parameters["hidden1.weight"].tobytes()
    )
    options: dict[str, Any] = {"method": method, "epochs": 30, "checkpoint": tmp_path / "c"}
    assert fit(*limits, callbacks=[stop_once], **options).status == "interrupted"
    rest = fit(*limits, callbacks=[stop_once], resume=True, **options)
    assert rest.steps == whole.steps
    assert rest.multipliers == whole.multipliers
    assert rest.parameters["hidden1.weight"].tobytes() == whole.parameters["hidden1.weight"].tobytes()
    whole.save(tmp_path / "m.chainrule")
    assert np.array_equal(cr.load(tmp_path / "m.chainrule").predict(X), whole.predict(X))


def test_tied_weights_are_limited_once_by_multipliers_too() -> None:
    network = cr.nn.Sequential(
        cr.nn.Dense(4, activation="tanh"), cr.nn.Dense(4, activation="tanh"), cr.nn.Dense(1),
        tie={"hidden2.weight": "hidden1.weight.T"},
    )  # fmt: skip
    tied = cr.Objective(network, "binary_cross_entropy", subject_to=[ct.L2Ball(0.7)])
    run = cr.fit(
        tied, (X, Y), method=ct.Lagrangian(0.05, damping=0.5), optimizer=cr.learn.SGD(0.1), epochs=5000,
        batch_size="all",
    )  # fmt: skip
    size = sum(float(np.sum(v**2)) for k, v in run.parameters.items() if k.endswith("weight"))
    assert size == pytest.approx(0.49, rel=1e-6)
    assert cr.optimality(run).level == "ε-KKT"


@pytest.mark.parametrize(
    "made", [ct.L2Ball(1.0), ct.L1Ball(1.0), ct.LInfBall(0.5), ct.GroupL2Ball(1.0), ct.MaxNorm(0.5)]
)
def test_a_set_by_itself_keeps_the_dtype_of_its_point(made: Any) -> None:
    """Its radius is a number of Python's, whatever range it carries along."""
    point = {"w": np.arange(6, dtype=np.float32).reshape(3, 2)}
    for settings in (None, made.settings()):
        nearest, _ = made.covering({"w": None}).project(point, None, settings)
        assert nearest["w"].dtype == np.float32


def test_what_is_said_without_constraints_speaks_of_none() -> None:
    """With penalties alone it said that the constraints hold; and F is the loss, while the objective is what falls."""
    x = np.random.default_rng(0).normal(size=(40, 3))
    soft = cr.Objective(cr.nn.Dense(1), "squared_error", penalty=[0.1 * ct.L1()])
    begun = cr.fit(soft, (x, x[:, :1]), optimizer=cr.learn.SGD(0.01), epochs=1, batch_size="all")
    assert cr.optimality(begun).said == "The objective still falls, so the point is no minimum."
    solved = cr.fit(soft, (x, x[:, :1]), method=ct.AcceleratedProjection())
    assert cr.optimality(solved).said.startswith("Certified: no point has an objective that is lower by more than ")
    hard = cr.Objective(cr.nn.Dense(1), "squared_error", subject_to=[ct.L2Ball(0.5)])
    begun = cr.fit(hard, (x, x[:, :1]), optimizer=cr.learn.SGD(0.01), epochs=1, batch_size="all")
    assert cr.optimality(begun).said == (
        "The constraints hold; F still falls along directions that they allow, so the point is no minimum."
    )
