"""The cut by use: against a network in which each use has a weight of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr

RNG = np.random.default_rng(5)
X, Y = RNG.normal(size=(4, 3)), RNG.normal(size=(4, 3))
W, B = RNG.normal(size=(3, 3)) * 0.7, RNG.normal(size=3)
STEPS = 5


def recurrent(parameters: Any, x: Any) -> Any:
    def trip(h: Any, drive: Any) -> tuple[Any, None]:
        return np.tanh(h @ parameters["w"] + parameters["b"] + drive), None

    return cr.scan(trip, x, np.linspace(-1, 1, STEPS))[0]


def backwards(parameters: Any, x: Any) -> Any:
    def trip(h: Any, drive: Any) -> tuple[Any, None]:
        return np.tanh(h @ parameters["w"].T + drive), None

    return cr.scan(trip, x, np.linspace(-1, 1, STEPS), reverse=True)[0] + parameters["b"]


def test_a_recurrent_weight_has_a_part_for_each_time_step() -> None:
    objective = cr.Objective(recurrent, "half_squared_error")
    d = cr.explain(objective, (X, Y), of="w[1, 2]", parameters={"w": W, "b": B})

    def loss(weights: list[Any]) -> Any:
        h: Any = X
        for t in range(STEPS):
            h = np.tanh(h @ weights[t] + B + np.linspace(-1, 1, STEPS)[t])
        return 0.5 * np.sum((h - Y) ** 2) / len(X)

    apart = cr.grad(loss)([W] * STEPS)
    assert [use.trip for use in d.by_use] == list(range(STEPS))
    np.testing.assert_allclose([use.part for use in d.by_use], [g[1, 2] for g in apart], rtol=1e-10)
    assert sum(use.part for use in d.by_use) == pytest.approx(d.value, rel=1e-10)
    assert "time step 3" in str(d)
    assert "time step 3" in d._repr_html_()
    assert len(d.to_json()["by_use"]) == STEPS


def test_a_transposed_weight_in_a_loop_from_the_end() -> None:
    objective = cr.Objective(backwards, "half_squared_error")
    d = cr.explain(objective, (X, Y - 0.3), of="w[1, 2]", parameters={"w": W, "b": np.full(3, -0.3)})

    def loss(weights: list[Any]) -> Any:
        h: Any = X
        for t in reversed(range(STEPS)):
            h = np.tanh(h @ weights[t].T + np.linspace(-1, 1, STEPS)[t])
        return 0.5 * np.sum((h - Y) ** 2) / len(X)

    apart = cr.grad(loss)([W] * STEPS)
    np.testing.assert_allclose([use.part for use in d.by_use], [g[1, 2] for g in apart], rtol=1e-10)
    assert cr.explain(objective, (X, Y), of="b[0]", parameters={"w": W, "b": B}).by_use == ()


def test_uses_at_and_outside_a_loop_are_told_apart() -> None:
    def network(p: Any, x: Any) -> Any:
        return recurrent(p, x) @ p["w"].T

    objective = cr.Objective(network, "half_squared_error")
    d = cr.explain(objective, (X, Y), of="w[0, 1]", parameters={"w": W, "b": B})
    assert len(d.by_use) == STEPS + 1
    assert sum(use.trip is None for use in d.by_use) == 1
    assert sum(use.part for use in d.by_use) == pytest.approx(d.value, rel=1e-10)
