"""compare_forms: where the hard, the soft and the Lagrangian form agree, and what is said where they do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import StandardScaler

import chainrule as cr
from chainrule import constrain as ct
from chainrule.errors import TrainingError


def diabetes(**parts: Any) -> Any:
    return cr.Objective(cr.nn.Dense(1, bias=False), "half_squared_error", **parts)


def rows() -> tuple[np.ndarray, np.ndarray]:
    x, y = load_diabetes(return_X_y=True)
    return StandardScaler().fit_transform(x), StandardScaler().fit_transform(y[:, None])


@pytest.mark.parametrize("parts", [
    {"subject_to": [ct.L2Ball(0.2)]}, {"subject_to": [ct.L1Ball(0.8)]}, {"subject_to": [ct.GroupL2Ball(0.8)]},
    {"penalty": [0.05 * ct.SquaredL2()]}, {"penalty": [0.05 * ct.L1()]}, {"subject_to": [ct.L2Ball(50.0)]},
], ids=str)  # fmt: skip
def test_all_forms_of_a_convex_problem_agree(parts: Any) -> None:
    run = cr.fit(diabetes(**parts), rows(), method=ct.AcceleratedProjection())
    forms = ct.compare_forms(run)
    assert forms.agree_everywhere, forms
    assert forms.said == "The three forms agree, as they must, since the problem is convex."
    assert {(f.name, f.start) for f in forms.forms} == {
        (name, start) for name in ("hard", "soft", "Lagrangian") for start in ("the solution", "cold")
    }
    inactive = parts == {"subject_to": [ct.L2Ball(50.0)]}
    for form in forms.forms:
        assert form.multiplier == (0.0 if inactive else pytest.approx(forms.multiplier, rel=1e-3)), forms
        assert form.distance < (0.02 if inactive else 1e-4)


def test_a_run_that_is_no_solution_is_said_to_be_none() -> None:
    run = cr.fit(diabetes(subject_to=[ct.L2Ball(0.2)]), rows(), optimizer=cr.learn.SGD(1e-4), epochs=3)
    forms = ct.compare_forms(run, cold=False)
    assert not forms.agree_here
    assert "do not all agree at this point, whose level is feasible" in str(forms)
    assert "the run's point is not stationary" in str(forms)


def network_of_one(p: Any, x: Any) -> Any:
    return p["t"] + 0.0 * x[:, :1]


def quartic(target: Any, output: Any) -> Any:
    return -np.minimum(output**4, 1.0)


def test_a_duality_gap_is_found() -> None:
    """−min(θ⁴, 1), θ² ≤ ½: no λ gives the solution, since θ(λ) jumps across it."""
    objective = cr.Objective(network_of_one, quartic, subject_to=[ct.L2Ball(np.sqrt(0.5), parameters="all")])
    data = np.zeros((1, 1)), np.zeros(1)
    run = cr.fit(objective, data, parameters={"t": np.array(0.6)}, optimizer=cr.learn.SGD(0.05), epochs=500)
    assert abs(run.parameters["t"]) == pytest.approx(np.sqrt(0.5))
    moved = {"t": run.parameters["t"] * (1.0 - 1e-4)}  # beside the saddle, where no form but the hard one stays
    near = cr.fit(objective, data, parameters=moved, optimizer=cr.learn.SGD(1e-9), epochs=1)
    forms = ct.compare_forms(near, solver=ct.AcceleratedProjection(1e-7, at_most=200))
    by_name = {(f.name, f.start): f for f in forms.forms}
    assert by_name["hard", "the solution"].loss == pytest.approx(-0.25)
    assert by_name["hard", "cold"].loss == pytest.approx(-0.25)
    for start in ("the solution", "cold"):
        assert not by_name["soft", start].agrees, forms
        assert not by_name["Lagrangian", start].agrees, forms


def test_another_multiplier_or_radius_compiles_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """λ and r are settings: what compare_forms solves many times, and a second fit, is compiled once."""
    from chainrule.execute.native import executor

    made: list[str] = []
    for name in ("write_function", "write_program"):
        write = getattr(executor, name)

        def counted(*arguments: Any, name: str = name, write: Any = write) -> Any:
            made.append(name)
            return write(*arguments)

        monkeypatch.setattr(executor, name, counted)
    rng = np.random.default_rng(8)
    x, y = rng.normal(size=(37, 11)), rng.normal(size=(37, 3))
    monkeypatch.setenv("CHAINRULE_CACHE_DIR", str(tmp_path))
    network = cr.nn.Sequential(cr.nn.Dense(5, "tanh"), cr.nn.Dense(3))
    counts = []
    for radius in (1.5, 2.0):
        objective = cr.Objective(network, "squared_error", subject_to=[ct.L2Ball(radius)])
        run = cr.fit(objective, (x, y), method=ct.AcceleratedProjection(1e-5))
        counts.append(len(made))
        forms = ct.compare_forms(run, solver=ct.AcceleratedProjection(1e-5))
        assert forms.multiplier > 0.0
        counts.append(len(made))
    assert 0 < counts[0] < counts[1] <= counts[0] + 6, "a graph is compiled once, not for each λ that is tried"
    assert counts[1:] == [counts[1]] * 3, "and not again for another radius"
    for strength in (0.01, 0.02):
        cr.fit(cr.Objective(network, "squared_error", penalty=[strength * ct.SquaredL2()]), (x, y), epochs=1)
        counts.append(len(made))
    assert counts[-1] == counts[-2] > counts[-3]


def test_a_run_in_float32_is_compared_in_float64() -> None:
    x, y = rows()
    run = cr.fit(
        diabetes(subject_to=[ct.L2Ball(0.2)]), (x.astype(np.float32), y.astype(np.float32)),
        optimizer=cr.learn.SGD(cr.learn.Cosine(0.1)), epochs=2000, batch_size="all",
    )  # fmt: skip
    assert ct.compare_forms(run).agree_everywhere


def test_errors() -> None:
    for parts in (
        {"subject_to": [ct.LInfBall(0.2)]}, {"subject_to": [ct.L2Ball(0.2), ct.L1Ball(0.1)]},
        {"subject_to": [ct.L2Ball(0.2)], "penalty": [0.1 * ct.L1()]}, {"subject_to": [ct.L2Ball(0.2, per="unit")]},
    ):  # fmt: skip
        run = cr.fit(diabetes(**parts), rows(), epochs=1)
        with pytest.raises(TrainingError, match="only of these is each form known"):
            ct.compare_forms(run)
