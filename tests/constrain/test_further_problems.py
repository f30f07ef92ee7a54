"""Problems that are in no table, each by the hard, the soft and the Lagrangian form, against CVXPY's minimum and dual.

CVXPY's multiplier of the limit is the λ of the soft form; both are compared, and every form's level must be the
highest, since all of these problems are convex.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.preprocessing import StandardScaler

import chainrule as cr
from chainrule import constrain as ct

cp = pytest.importorskip("cvxpy", reason="CVXPY, which judges minima, is not installed")
Array = np.ndarray[Any, Any]
CLASSES = 3
"""The digits 0, 1 and 2: a softmax of ten classes takes CVXPY half a minute."""


@dataclass(frozen=True)
class Problem:
    """Rows, a loss of one dense layer, a ball R(w) ≤ r, its penalty, and how multipliers are trained."""

    x: Array
    y: Array
    loss: str
    ball: Any
    penalty: Any
    method: Any
    optimizer: Any
    epochs: int

    def objective(self, **parts: Any) -> Any:
        width = {"half_squared_error": self.y.shape[-1], "binary_cross_entropy": 1, "softmax_cross_entropy": CLASSES}
        return cr.Objective(cr.nn.Dense(width[self.loss], bias=self.loss != "half_squared_error"), self.loss, **parts)

    @property
    def data(self) -> tuple[Array, Array]:
        return self.x, self.y


def by_cvxpy(problem: Problem) -> tuple[float, float, Array]:
    """Return the minimum of F, the multiplier of R(w) ≤ r, and the weights."""
    x, y, n = problem.x, problem.y, len(problem.x)
    if problem.loss == "half_squared_error":
        w = cp.Variable((x.shape[1], y.shape[1]))
        loss = 0.5 * cp.sum_squares(x @ w - y) / n
    elif problem.loss == "binary_cross_entropy":
        w, b = cp.Variable((x.shape[1], 1)), cp.Variable()
        z = x @ w + b
        loss = cp.sum(cp.logistic(z) - cp.multiply(y[:, None], z)) / n
    else:
        w, bias = cp.Variable((x.shape[1], CLASSES)), cp.Variable((1, CLASSES))
        z = x @ w + np.ones((n, 1)) @ bias
        loss = cp.sum(cp.log_sum_exp(z, axis=1) - cp.sum(cp.multiply(np.eye(CLASSES)[y], z), axis=1)) / n
    r = problem.ball.radius
    limit = {
        ct.L1Ball: lambda: cp.sum(cp.abs(w)) <= r,
        ct.L2Ball: lambda: cp.sum_squares(w) <= r * r,
        ct.GroupL2Ball: lambda: cp.sum(cp.norm(w, 2, axis=1)) <= r,
    }[type(problem.ball)]()
    with warnings.catch_warnings(action="ignore"):  # that it came to its reduced tolerance: it is compared to 1e-5
        cp.Problem(cp.Minimize(loss), [limit]).solve(
            solver=cp.CLARABEL, tol_gap_abs=1e-11, tol_gap_rel=1e-11, tol_feas=1e-11
        )
    return float(loss.value), float(np.squeeze(limit.dual_value)), np.asarray(w.value)


def nesterov(rate: float, momentum: float = 0.9) -> Any:
    return cr.learn.SGD(rate, momentum=momentum, nesterov=True)


@cache
def problem(name: str) -> Problem:
    load = {"diabetes": load_diabetes, "cancer": load_breast_cancer, "digits": load_digits}[name.split(",")[0]]
    x, y = load(return_X_y=True)
    x = StandardScaler().fit_transform(x)
    if name == "diabetes, group lasso of two targets":
        y = StandardScaler().fit_transform(np.column_stack([y, np.log(y)]))
        method = ct.Lagrangian(0.1, damping=0.2)
        return Problem(x, y, "half_squared_error", ct.GroupL2Ball(0.9), ct.GroupL2(), method, nesterov(0.2), 4000)
    if name == "cancer, lasso":
        method = ct.AugmentedLagrangian(0.05, every=50)
        return Problem(x, y, "binary_cross_entropy", ct.L1Ball(2.5), ct.L1(), method, nesterov(0.1), 6000)
    x, y = x[y < CLASSES][:150], y[y < CLASSES][:150]
    method = ct.AugmentedLagrangian(0.2, every=50)
    return Problem(x, y, "softmax_cross_entropy", ct.L2Ball(0.8), ct.SquaredL2(), method, nesterov(0.2), 4000)


NAMES = ("diabetes, group lasso of two targets", "cancer, lasso", "digits, three classes")


@cache
def truth(name: str) -> tuple[float, float, Array]:
    return by_cvxpy(problem(name))


@pytest.mark.parametrize("form", ["hard", "soft", "Lagrangian"])
@pytest.mark.parametrize("name", NAMES)
def test_every_form_comes_to_the_minimum_of_an_independent_solver(name: str, form: str) -> None:
    given, (minimum, multiplier, weights) = problem(name), truth(name)
    assert multiplier > 1e-3, "the limit binds"
    exact = ct.AcceleratedProjection(1e-8)
    if form == "hard":
        run = cr.fit(given.objective(subject_to=[given.ball]), given.data, method=exact)
    elif form == "soft":
        run = cr.fit(given.objective(penalty=[multiplier * given.penalty]), given.data, method=exact)
    else:
        run = cr.fit(
            given.objective(subject_to=[given.ball]), given.data, method=given.method, optimizer=given.optimizer,
            epochs=given.epochs, batch_size="all",
        )  # fmt: skip
        assert list(run.multipliers.values()) == [pytest.approx(multiplier, rel=1e-3)]
    found = cr.optimality(run)
    assert found.data_loss == pytest.approx(minimum, rel=1e-5)
    assert found.level == "ε-optimal", found
    if form != "soft":
        assert list(found.multipliers.values()) == [pytest.approx(multiplier, rel=1e-3)]
    np.testing.assert_allclose(run.parameters["weight"], weights, rtol=0, atol=2e-3)


@pytest.mark.parametrize("name", NAMES[:2])
def test_the_forms_are_compared(name: str) -> None:
    given, (minimum, multiplier, _) = problem(name), truth(name)
    run = cr.fit(given.objective(subject_to=[given.ball]), given.data, method=ct.AcceleratedProjection(1e-8))
    forms = ct.compare_forms(run)
    assert forms.agree_everywhere, forms
    for form in forms.forms:
        assert form.loss == pytest.approx(minimum, rel=1e-5)
        assert form.multiplier == pytest.approx(multiplier, rel=1e-3)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["L2", "L1", "group"]), st.booleans())
def test_small_problems_at_random(seed: int, kind: str, logistic: bool) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(30, 4)) * 10.0 ** rng.uniform(-0.3, 0.3, 4)
    ball, penalty = {
        "L2": (ct.L2Ball, ct.SquaredL2()), "L1": (ct.L1Ball, ct.L1()), "group": (ct.GroupL2Ball, ct.GroupL2()),
    }[kind]  # fmt: skip
    y = (x[:, 0] - x[:, 1] + rng.normal(size=30) > 0).astype(int) if logistic else rng.normal(size=(30, 2)) + x[:, :2]
    loss = "binary_cross_entropy" if logistic else "half_squared_error"
    radius = float(rng.uniform(0.1, 0.6))
    given = Problem(x, y, loss, ball(radius), penalty, None, None, 0)
    minimum, multiplier, _ = by_cvxpy(given)
    run = cr.fit(given.objective(subject_to=[given.ball]), given.data, method=ct.AcceleratedProjection(1e-9))
    forms = ct.compare_forms(run, solver=ct.AcceleratedProjection(1e-9))
    assert forms.agree_everywhere, forms
    for form in forms.forms:
        assert form.loss == pytest.approx(minimum, rel=1e-5, abs=1e-7)
        assert form.multiplier == pytest.approx(multiplier, rel=1e-3, abs=1e-6), forms
