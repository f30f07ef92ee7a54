"""What ``cr.optimality`` says where numbers are not finite, or far smaller than 1: nothing above what was shown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import constrain as ct
from chainrule.errors import TrainingError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
Y = X @ np.array([[1.0], [2.0], [0.0], [-1.0]]) + 0.1 * RNG.normal(size=(60, 1))
W = np.array([[0.5], [0.5], [0.5], [0.4]])


def at(w: Any, *limits: Any, bias: Any = None) -> Any:
    objective = cr.Objective(cr.nn.Dense(1, bias=bias is not None), "squared_error", subject_to=limits)
    return cr.optimality(objective, (X, Y), parameters={"weight": w} | ({} if bias is None else {"bias": bias}))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("limits", [(), (ct.Box(-1e200, 1e200),), (ct.L2Ball(1e201),)], ids=str)
def test_nothing_is_certified_where_the_objective_overflows(limits: Any) -> None:
    """A gap of ∞ is no more than ε ∞."""
    found = at(W * 1e200, *limits)
    assert found.value == np.inf
    assert found.level == "feasible"
    assert found.said == "F is inf here, or its slope is not finite: nothing is claimed of the point."


@pytest.mark.parametrize("limits", [
    (), (ct.L2Ball(1.0),), (ct.Box(-1.0, 1.0),), (ct.mean_loss() <= 0.5,), (abs(ct.mean_loss() - 1.0) <= 0.5,),
], ids=str)  # fmt: skip
def test_a_point_that_is_no_number_is_not_feasible(limits: Any) -> None:
    found = at(W * np.nan, *limits)
    assert found.level == "infeasible"
    assert "nothing is claimed of the point" in found.said


@pytest.mark.parametrize("small", [ct.L2Ball(1e-12), ct.LInfBall(1e-12), ct.L1Ball(1e-12), ct.Box(-1e-12, 1e-12)])
def test_a_point_far_outside_of_a_small_set_violates_it(small: Any) -> None:
    """A hundred radii away, 10⁻¹⁰, is not the rounding of anything."""
    assert at(W * 1e-10, small).level == "infeasible"
    assert at(W * 0.0, small).level != "infeasible"


def test_what_a_set_does_not_cover_excuses_no_violation() -> None:

    outside = W * (1.0 + 1e-6) / np.linalg.norm(W)
    assert at(outside, ct.L2Ball(1.0), bias=np.array([1e6])).level == "infeasible"


@pytest.mark.parametrize("box", [ct.Box(-3e-9, 3e-9), ct.NonNegative(), ct.Box(0.0, 1e-8), ct.Box(None, 3e-9)], ids=str)
def test_small_weights_are_not_all_at_their_limits(box: Any) -> None:
    """Inside, no normal takes anything of a direction, however small the weights are."""
    placed = box.covering({"w": None})
    inside = {"w": np.array([0.3, 1.0, 2.0, 2.5]) * 1e-9}
    for direction in (np.ones(4), -np.ones(4)):
        cone = placed.normal_cone(inside, {"w": direction})
        np.testing.assert_array_equal(cone.nearest["w"], np.zeros(4))
        assert placed.normal_cone_residual(inside, {"w": direction}) == 2.0


def test_a_ball_whose_square_is_zero_in_floating_point_is_asked_without_a_failure() -> None:
    assert at(W * 0.0, ct.L2Ball(1e-200)).multipliers == {"L2Ball(1e-200) | ": 0.0}


@pytest.mark.parametrize("chosen", [
    ct.L2Ball(1.1), ct.L1Ball(1.1), ct.LInfBall(0.1), ct.MaxNorm(1.1), ct.GroupL2Ball(1.1), ct.Box(-0.1, 0.1),
    ct.Simplex(1.1), ct.Cardinality(2), ct.SpectralBall(1.1), ct.NuclearBall(1.1), ct.OrthogonalColumns(),
    ct.L1Ball(1.1) & ct.NonNegative(),
], ids=str)  # fmt: skip
def test_single_precision_is_projected_in_single_precision(chosen: Any) -> None:
    """By itself too, where no run has made the set's numbers float32."""
    placed = chosen.covering({"w": None})
    w = RNG.normal(size=(5, 3)).astype(np.float32)
    steps = [None] if getattr(chosen, "needs_scalar", False) else [None, RNG.uniform(0.1, 1.0, w.shape)]
    for step in steps:
        narrow, wide = (
            None if step is None else cr.learn.Metric("diagonal", {"w": step.astype(d)})
            for d in (np.float32, np.float64)
        )
        nearest, converged = placed.project({"w": w}, narrow)
        assert nearest["w"].dtype == np.float32
        assert converged
        judge, _ = placed.project({"w": w.astype(np.float64)}, wide)
        np.testing.assert_allclose(nearest["w"], judge["w"], atol=2e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("step", [None, 0.125])
def test_a_simplex_takes_the_largest_of_elements_whose_rounding_is_more_than_its_total(dtype: Any, step: Any) -> None:
    large = dtype(1e9) / np.finfo(dtype).eps
    w = np.array([3.0, large, -large, 0.5 * large], dtype)
    metric = None if step is None else cr.learn.Metric("diagonal", {"w": np.full(4, step, dtype)})
    nearest, converged = ct.Simplex(1.0).covering({"w": None}).project({"w": w}, metric)
    assert converged
    np.testing.assert_array_equal(nearest["w"], [0.0, 1.0, 0.0, 0.0])


class Squared(cr.nn.Sequential):
    """A chain whose output is squared: not linear, whatever is in it."""

    def forward(self, scope: Any, x: Any) -> Any:
        return super().forward(scope, x) ** 2


class SquaredRated(cr.nn.Rated):
    def forward(self, scope: Any, x: Any) -> Any:
        return super().forward(scope, x) ** 2


@pytest.mark.parametrize(
    "network",
    [Squared(cr.nn.Dense(1, bias=False)), SquaredRated(cr.nn.Dense(1, bias=False), 0.5)],
    ids=["chain", "rated"],
)
def test_a_class_of_ones_own_around_a_dense_layer_is_not_taken_for_linear(network: Any) -> None:
    objective = cr.Objective(network, "squared_error", subject_to=[ct.L2Ball(1.0)])
    found = cr.optimality(objective, (X, Y), parameters=dict.fromkeys(network.initialize(X, seed=0), W))
    assert not found.convex
    assert found.because == "the network is not linear in its parameters"


def test_what_only_chooses_columns_or_rates_is_still_seen_to_be_linear() -> None:
    network = cr.nn.Sequential(cr.nn.Rated(cr.nn.Sequential(cr.nn.Dense(1, bias=False)), 0.5))
    objective = cr.Objective(network, "squared_error", subject_to=[ct.L2Ball(1.0)])
    run = cr.fit(objective, (X, Y), method=ct.AcceleratedProjection())
    assert cr.optimality(run).level == "ε-optimal"


@pytest.mark.parametrize("other", [ct.L2Ball(1.0), ct.SpectralBall(1.0), ct.MaxNorm(1.0)], ids=str)
def test_limits_that_say_the_same_have_the_qualification_0(other: Any) -> None:
    """One takes all of the gradient, and the other's multiplier is 0: it is active nonetheless."""
    objective = cr.Objective(cr.nn.Dense(1, bias=False), "squared_error", subject_to=[ct.L2Ball(1.0), other])
    run = cr.fit(objective, (X, Y), optimizer=cr.learn.SGD(0.05), epochs=300, batch_size="all")
    assert cr.optimality(run).qualification == pytest.approx(0.0, abs=1e-6)


def test_forms_that_all_fit_without_an_error_agree() -> None:
    """F is 0 but for rounding, 10⁻²², of which nothing relative can be asked; so is R(θ) where the weights are 0."""
    for target in (np.ones((60, 1)), X[:, :1]):
        objective = cr.Objective(cr.nn.Dense(1), "squared_error", subject_to=[ct.L2Ball(3.0)])
        forms = ct.compare_forms(cr.fit(objective, (X, target), method=ct.AcceleratedProjection()))
        hard = [form for form in forms.forms if form.name != "Lagrangian"]
        assert all(form.agrees for form in hard), str(forms)
        assert "the run's point is not its minimum" not in str(forms)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_run_whose_loss_is_not_finite_is_not_compared() -> None:
    objective = cr.Objective(cr.nn.Dense(1), "squared_error", subject_to=[ct.L2Ball(1.0)])
    run = cr.fit(objective, (X, Y), optimizer=cr.learn.SGD(1e200), epochs=4, batch_size="all")
    with pytest.raises(TrainingError, match=r"compare_forms: F is (inf|nan) at the run's point"):
        ct.compare_forms(run)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("ball", [ct.L2Ball(1.0), ct.L2Ball(1.0, per="unit"), ct.L1Ball(1.0)], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_projection_that_overflows_does_not_say_that_it_converged(ball: Any, dtype: Any) -> None:
    """Of weights whose squares are infinite, or whose rounding is more than r, it may give 0, not nearest."""
    large = np.finfo(dtype).max / dtype(8.0)
    placed = ball.covering({"w": None})
    nearest, converged = placed.project({"w": np.array([[large, 1.0], [0.0, 0.5]], dtype)})
    right = nearest["w"][0, 0] == pytest.approx(1.0, rel=1e-5)
    assert right == bool(converged)
    for within in (np.zeros((2, 2), dtype), np.full((2, 2), 0.1, dtype), np.full((2, 2), 3.0, dtype)):
        assert placed.project({"w": within})[1]


@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")
def test_a_group_ball_says_where_steps_of_all_sizes_overflowed() -> None:
    """It gave NaN, and said that it had converged."""
    ball = ct.GroupL2Ball(1.0).covering({"w": None})
    for spread, fine in ((2.0, True), (30.0, False)):
        rng = np.random.default_rng(0)
        w = rng.normal(size=(4, 3)).astype(np.float32) * 3
        step = (10.0 ** rng.uniform(-spread / 2, spread / 2, size=(4, 3))).astype(np.float32)
        nearest, converged = ball.project({"w": w}, cr.learn.Metric("diagonal", {"w": step}))
        assert (bool(np.all(np.isfinite(nearest["w"]))), bool(converged)) == (fine, fine)
