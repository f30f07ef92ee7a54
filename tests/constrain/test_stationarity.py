"""How a gradient is made up of normals: nonnegative least squares, sets that meet, and what is near to degenerate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from benchmarks.projections import Projection
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

import chainrule as cr
from chainrule import constrain as ct
from chainrule.constrain.solving import nonnegative_least_squares, root_of
from chainrule.constrain.stationarity import Member, made_up, smallest_singular_value


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1))
def test_nonnegative_least_squares_is_scipy_s(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(rng.integers(1, 9), rng.integers(1, 12)))
    if rng.random() < 0.3 and len(rows) > 1:
        rows[-1] = rows[0] * rng.uniform(0.5, 2)  # two limits with the same gradient
    target = rng.normal(size=rows.shape[1])
    ours = nonnegative_least_squares(rows, target)
    _, residual = nnls(rows.T, target)
    assert np.all(ours >= 0)
    assert np.linalg.norm(rows.T @ ours - target) <= residual + 1e-9


def test_root_of() -> None:
    assert root_of(lambda t: -1.0 - t, 5.0) == 0.0
    assert root_of(lambda t: 2.0 - t, 5.0) == pytest.approx(2.0, rel=1e-15)


def balls(**radii: float) -> list[Member]:
    names = {"both": ["a", "b"], "a": ["a"], "b": ["b"]}
    return [
        Member(ct.L2Ball(r, parameters=names[n]).covering({"a": None, "b": None}), n, {"radius": r}, True)
        for n, r in radii.items()
    ]


def test_balls_that_meet_share_a_gradient_as_it_was_made() -> None:
    """−∇F = 2·0.7·(a, b) + 2·0.2·(a, 0): the multipliers are found again, both active."""
    w = {"a": np.array([0.6, 0.0]), "b": np.array([0.0, 0.8])}
    gradient = {"a": -2 * (0.7 + 0.2) * w["a"], "b": -2 * 0.7 * w["b"]}
    split = made_up(balls(both=1.0, a=0.6), w, gradient)
    assert split.residual < 1e-14
    assert [next(iter(c.multipliers.values())) for c in split.parts] == pytest.approx([0.7, 0.2])
    assert smallest_singular_value(split.rows) > 0.1


def test_limits_that_say_the_same_have_no_single_multiplier() -> None:
    """Two balls of the same vector: the qualification is 0, and multipliers mean nothing."""
    w = {"a": np.array([0.6, 0.8]), "b": np.zeros(1)}
    gradient = {"a": -w["a"], "b": np.zeros(1)}
    rows = [{"a": 2 * w["a"]}, {"a": 2 * w["a"]}]
    assert made_up(balls(a=1.0), w, gradient).residual < 1e-14
    assert smallest_singular_value(rows) == pytest.approx(0.0, abs=1e-12)
    assert smallest_singular_value([]) is None


def test_a_ball_and_a_box_share_a_gradient() -> None:
    """Normals of sets of two kinds over the same numbers, found block by block."""
    w = {"a": np.array([0.5, 0.5, np.sqrt(0.5)])}
    box = ct.LInfBall(np.sqrt(0.5), parameters="all").covering({"a": None})
    ball = ct.L2Ball(1.0, parameters="all").covering({"a": None})
    members = [Member(m, n, m.settings(), True) for n, m in (("ball", ball), ("box", box))]
    direction = 2 * 0.3 * w["a"] + np.array([0.0, 0.0, 0.4])
    split = made_up(members, w, {"a": -direction})
    assert split.residual < 1e-9
    assert sum(split.parts[0].multipliers.values()) == pytest.approx(0.3, rel=1e-6)
    assert sum(split.parts[1].multipliers.values()) == pytest.approx(0.4, rel=1e-6)


@pytest.mark.parametrize("executor", ["reference", "native"])
@pytest.mark.parametrize("chosen", [ct.L2Ball(3.0), ct.L1Ball(300.0), ct.MaxNorm(0.3)], ids=str)
@pytest.mark.parametrize("diagonal", [False, True])
def test_large_weights_in_float32_are_feasible_by_sums_in_any_order(chosen: Any, diagonal: bool, executor: str) -> None:
    rng = np.random.default_rng(0)
    shape = (800, 600)
    v = rng.normal(size=shape).astype(np.float32)
    step = (10.0 ** rng.uniform(-2, 2, shape)).astype(np.float32)
    project = Projection(chosen, diagonal, shape, np.float32)
    found = project(v, step, chosen.settings(), executor)
    assert found["converged"]
    w = found["w"].astype(np.float64)
    size = {
        "L2Ball": np.linalg.norm(w), "L1Ball": np.abs(w).sum(), "MaxNorm": np.linalg.norm(w, axis=0).max()
    }[type(chosen).__name__]  # fmt: skip
    assert size <= chosen.radius
    assert size >= chosen.radius * (1 - 1e-4)
    other = "native" if executor == "reference" else "reference"
    assert project(found["w"], step, chosen.settings(), other)["w"].tobytes() == found["w"].tobytes()


def test_the_multiplier_of_one_unit_is_found_by_its_label() -> None:
    x = np.random.default_rng(0).normal(size=(60, 4))
    y = x @ np.random.default_rng(1).normal(size=(4, 3)) * np.array([3.0, 0.01, 3.0])
    objective = cr.Objective(cr.nn.Dense(3, bias=False), "squared_error", subject_to=[ct.MaxNorm(0.5)])
    run = cr.fit(objective, (x, y), method=ct.AcceleratedProjection())
    found = cr.optimality(run)
    assert found.level == "ε-optimal"
    assert len(found.multipliers) == 3
    one, two, three = found.multipliers.values()
    assert min(one, three) > 0
    assert two == 0.0, "this unit's limit does not bind"
    assert "unit of weight, 0" in next(iter(found.multipliers))
    assert found.qualification == pytest.approx(1.0, rel=1e-6)  # ‖2w‖ of a unit at ‖w‖ = ½
