"""Whether sets are kept, bit for bit; the multipliers of runs in single precision; a start inside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import constrain as ct
from chainrule.constrain.keeping import inside
from chainrule.errors import TrainingError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 6))
Y = np.tanh(X[:, :1]) - X[:, 1:2] * X[:, 2:3]
PARAMETERS = {
    "hidden1.weight": np.array([[3.0, -1.0], [4.0, 0.0]]),
    "hidden1.bias": np.zeros(2),
    "output.weight": np.array([[0.5], [-0.25]]),
    "output.bias": np.zeros(1),
}


def fit(sets: Any, dtype: Any = np.float64, **options: Any) -> Any:
    network = cr.nn.Sequential(cr.nn.Dense(8, activation="tanh"), cr.nn.Dense(1))
    objective = cr.Objective(network, "squared_error", subject_to=sets)
    chosen: dict[str, Any] = {"optimizer": cr.learn.Adam(0.02), "epochs": 60, "batch_size": "all"} | options
    return cr.fit(objective, (X.astype(dtype), Y.astype(dtype)), **chosen)


@pytest.mark.parametrize(
    ("text", "value", "limits", "violated"),
    [
        ("l2<=5", np.sqrt(26.3125), 1, 1),
        ("l2<=5 per layer", np.sqrt(26.0), 2, 1),
        ("maxnorm<=2", 5.0, 3, 1),
        ("l1<=8.75", 8.75, 1, 0),
        ("linf<=4", 4.0, 1, 0),
        ("group<=7.5", np.sqrt(10.0) + 4.0 + 0.75, 1, 1),
        ("group<=7 per unit", 5.0 + 1.0 + np.sqrt(0.3125), 1, 0),
        ("cardinality<=5", 5.0, 1, 0),
        ("cardinality<=4", 5.0, 1, 1),
        ("spectral<=1", np.linalg.norm(PARAMETERS["hidden1.weight"], 2), 2, 1),
        ("nuclear<=10", np.sum(np.linalg.svd(PARAMETERS["hidden1.weight"])[1]), 2, 0),
        ("simplex=2", None, 1, 1),
    ],
)
def test_values_are_those_of_the_parameters(text: str, value: float | None, limits: int, violated: int) -> None:
    network = cr.nn.Sequential(cr.nn.Dense(2, activation="tanh"), cr.nn.Dense(1))
    objective = cr.Objective(network, "squared_error", subject_to=ct.sets_of(text))
    like = cr.fit(objective, (X[:, :2], Y), optimizer=cr.learn.SGD(0.01), epochs=1, batch_size="all")
    (found,) = ct.set_values(like, PARAMETERS)
    assert (found.limits, found.violated, found.holds) == (limits, violated, violated == 0)
    if value is not None:
        assert found.value == pytest.approx(value, rel=1e-14)
    assert ("over by" in str(found) or "violated" in str(found)) == (violated > 0)


def test_of_a_box_the_ends_are_told() -> None:
    run = fit(ct.sets_of("-0.1<=w<=0.2"))
    (found,) = ct.set_values(run)
    w = np.concatenate([run.parameters[k].ravel() for k in ("hidden1.weight", "output.weight")])
    assert found.value == (w.min(), w.max())
    assert found.limit == (-0.1, 0.2)
    assert str(found).startswith("-0.1 ≤ w ≤ 0.2: w from -0.1 to ")
    assert not ct.set_values(run, {k: v + 1.0 for k, v in run.parameters.items()})[0].holds
    assert str(ct.set_values(fit(ct.sets_of("w<=0.2")))[0]).startswith("w ≤ 0.2: w from ")
    assert str(ct.set_values(fit(ct.sets_of("nonnegative")))[0]).startswith("0 ≤ w: w from 0 to ")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("text", ["l2<=0.7", "l1<=1.3", "linf<=0.1", "group<=0.9", "maxnorm<=0.3", "-0.1<=w<=0.1"])
def test_a_projected_run_holds_bit_for_bit(text: str, dtype: Any) -> None:
    """Also where the limit itself is rounded: 0.1 in single precision is more than 0.1."""
    (found,) = ct.set_values(fit(ct.sets_of(text), dtype))
    assert found.holds, str(found)


@dataclass(frozen=True)
class Odd:
    """A set of one's own: the output's weights add up to 1."""

    def settings(self) -> dict[str, float]:
        return {}

    def project(self, parameters: Any, metric: Any, settings: Any) -> Any:
        w = parameters["output.weight"]
        return {**parameters, "output.weight": w + (1.0 - np.sum(w)) / 8.0}, True


def test_of_a_set_of_ones_own_the_distance_is_told() -> None:
    run = fit([Odd()], optimizer=cr.learn.SGD(0.05))
    (found,) = ct.set_values(run)
    assert (found.symbol, found.limit, found.holds) == ("distance", 0.0, True)
    moved = {**run.parameters, "output.weight": run.parameters["output.weight"] + 1.0}
    (away,) = ct.set_values(run, moved)
    assert away.value == pytest.approx(np.sqrt(8.0))
    assert not away.holds


@pytest.mark.parametrize("rows", [48, 9000])
def test_a_run_in_single_precision_has_the_multipliers_of_one_in_double(rows: int) -> None:
    """Projection lands inside by some units of 10⁻⁷, more than double precision calls active: λ̂ was 0 there.

    So many rows are measured by the native executor, few by the reference.
    """
    x = np.random.default_rng(1).normal(size=(rows, 40))
    y = x @ np.random.default_rng(2).normal(size=(40, 1))
    found = {}
    for dtype in (np.float32, np.float64):
        objective = cr.Objective(cr.nn.Dense(1), "squared_error", subject_to=[ct.L2Ball(3.0)])
        data = (x.astype(dtype), y.astype(dtype))
        run = cr.fit(objective, data, optimizer=cr.learn.SGD(0.1), epochs=150, batch_size="all")
        assert ct.set_values(run)[0].holds
        found[dtype] = cr.optimality(run)
    one, other = found[np.float32], found[np.float64]
    assert one.multipliers["L2Ball(3) | "] == pytest.approx(other.multipliers["L2Ball(3) | "], rel=1e-4)
    assert other.multipliers["L2Ball(3) | "] > 0.1
    assert one.level == other.level == "ε-optimal"


def test_inside_keeps_the_precision_and_what_is_inside() -> None:
    objective = cr.Objective(
        cr.nn.Sequential(cr.nn.Dense(2), cr.nn.Dense(1)), "squared_error", subject_to=ct.sets_of("linf<=1, nonnegative")
    ).on(X[:, :2])
    narrow = {k: v.astype(np.float32) for k, v in PARAMETERS.items()}
    found = inside(objective, narrow)
    assert all(v.dtype == np.float32 for v in found.values())
    assert found["hidden1.weight"].tolist() == [[1.0, 0.0], [1.0, 0.0]]
    assert found["output.weight"].tolist() == [[0.5], [0.0]]
    again = inside(objective, found)
    assert all(again[k].tobytes() == found[k].tobytes() for k in found)


@pytest.mark.parametrize("text", ["l1<=1", "l1<=0.5 per unit", "group<=1", "l1<=1, nonnegative", "box<=0.3"])
def test_inside_of_parameters_in_single_precision(text: str) -> None:
    """A set's own radius is float64 to NumPy: loops refused it beside float32, and limits widened the result."""
    objective = cr.Objective(
        cr.nn.Sequential(cr.nn.Dense(2), cr.nn.Dense(1)), "squared_error", subject_to=ct.sets_of(text)
    ).on(X[:, :2])
    found = inside(objective, {k: v.astype(np.float32) for k, v in PARAMETERS.items()})
    wide = inside(objective, PARAMETERS)
    for name, value in found.items():
        assert value.dtype == np.float32
        np.testing.assert_allclose(value, wide[name], atol=1e-6)
    nearest, _ = ct.Box(-0.3, 0.3).covering({"w": None}).project({"w": np.float32([1.0, -0.1])})
    assert np.asarray(nearest["w"]).dtype == np.float32


def test_a_box_says_no_minus_zero() -> None:
    assert str(ct.SetValue("NonNegative()", "w", (-0.0, 0.5), (0.0, None), True)) == "0 ≤ w: w from 0 to 0.5"


def test_an_average_of_points_of_a_set_that_is_not_convex_is_refused() -> None:
    with pytest.raises(TrainingError, match=r"Cardinality\(5\) is not convex, so that an average of points in it"):
        fit([ct.Cardinality(5)], average=0.9)
    (found,) = ct.set_values(fit([ct.L2Ball(0.5)], average=0.9))
    assert found.holds
    assert found.value == pytest.approx(0.5, rel=0.01)
    fit([ct.Cardinality(5)], average=cr.learn.Average(0.9, evaluated=False))  # carried along, and not used


@pytest.mark.parametrize(
    ("given", "sets", "meant"),
    [
        ("lagrangian", "l2<=2", ct.Lagrangian(0.03 / 16.0, 1.0 / 16.0)),
        ("lagrangian", "linf<=0.1", ct.Lagrangian(0.03 / 0.1**2, 1.0 / 0.1**2)),
        ("lagrangian", "l1<=2, l2<=2, nonnegative", ct.Lagrangian(0.03 / 16.0, 1.0 / 16.0)),
        ("augmented", "l2<=2", ct.AugmentedLagrangian(penalty=1.0 / 16.0)),
        ("projection", "l2<=2", None),
        (None, "l2<=2", None),
        (ct.Lagrangian(0.5), "l2<=2", ct.Lagrangian(0.5)),
    ],
    ids=str,
)
def test_methods_by_name_go_by_the_size_of_the_limits(given: Any, sets: str, meant: Any) -> None:
    assert ct.method_of(given, ct.sets_of(sets)) == meant


def test_methods_that_are_none() -> None:
    assert ct.method_of("lagrangian", ct.sets_of("l2<=2"), 0.5) == ct.Lagrangian(0.5, 1.0 / 16.0)
    for given, rate, message in (
        ("lagrange", None, "did you mean 'lagrangian'?"),
        (ct.Lagrangian, None, "method is <class"),
        (ct.AcceleratedProjection(), None, "method is AcceleratedProjection"),
        ("augmented", 0.5, "belongs to the method 'lagrangian', not to augmented"),
        (None, 0.5, "belongs to the method 'lagrangian', not to projection"),
    ):
        with pytest.raises(TrainingError) as error:
            ct.method_of(given, ct.sets_of("l2<=2"), rate)
        assert message in str(error.value)
