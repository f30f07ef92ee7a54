"""Convex problems whose solutions are known: the table of the design, and others that CVXPY solves here."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.preprocessing import StandardScaler

import chainrule as cr
from chainrule import constrain as ct

Data = tuple[np.ndarray, np.ndarray]


@cache
def table(name: str) -> Data:
    load = {"diabetes": load_diabetes, "breast cancer": load_breast_cancer, "digits": load_digits}[name]
    x, y = load(return_X_y=True)
    if name == "diabetes":
        y = StandardScaler().fit_transform(y[:, None])
    return StandardScaler().fit_transform(x), y


NETWORKS: dict[str, Any] = {
    "diabetes": (lambda: cr.nn.Dense(1, bias=False), "half_squared_error"),
    "breast cancer": (lambda: cr.nn.Dense(1), "binary_cross_entropy"),
    "digits": (lambda: cr.nn.Dense(10), "softmax_cross_entropy"),
}
# table, set, minimum, multiplier: from an independent solver (design, constraints.md)
TABLE = [
    ("diabetes", ct.L2Ball(0.2), 0.3251657652, 1.4342449),
    ("diabetes", ct.L2Ball(0.6), 0.2417505567, 0.00562942),
    ("diabetes", ct.L1Ball(0.8), 0.2584104836, 0.07440488),
    ("breast cancer", ct.L2Ball(1.0), 0.14836197, 0.06610533),
    ("breast cancer", ct.LInfBall(0.25), 0.1307557, 0.447593),
    ("digits", ct.L2Ball(1.0), 1.200633, 0.411341),
]


def problem(name: str, **parts: Any) -> Any:
    make, loss = NETWORKS[name]
    return cr.Objective(make(), loss, **parts)


@pytest.mark.parametrize("executor", ["reference", "native"])
@pytest.mark.parametrize(("name", "limit", "minimum", "multiplier"), TABLE, ids=lambda v: str(v))
def test_the_hard_form(name: str, limit: Any, minimum: float, multiplier: float, executor: str) -> None:
    objective = problem(name, subject_to=[limit])
    run = cr.fit(objective, table(name), method=ct.AcceleratedProjection(), executor=executor)
    found = cr.optimality(run)
    assert run.status == "done", run.message
    assert found.value == pytest.approx(minimum, rel=1e-6)  # the table's digits
    assert list(found.multipliers.values()) == [pytest.approx(multiplier, rel=1e-5)]
    assert found.level == "ε-optimal", found
    assert found.certified
    assert found.gap.value <= 1e-8
    assert found.primal == {str(limit): 0.0}
    if limit == ct.L1Ball(0.8):
        assert np.count_nonzero(run.parameters["weight"]) == 5


def nesterov(rate: float, momentum: float = 0.9) -> cr.learn.SGD:
    return cr.learn.SGD(rate, momentum=momentum, nesterov=True)


BY_MULTIPLIERS: list[tuple[Any, Any, cr.learn.SGD, int]] = [
    (ct.Lagrangian(0.5, damping=2.0), ct.AugmentedLagrangian(2.0), nesterov(0.05), 2500),
    (ct.Lagrangian(0.002, damping=0.02), ct.AugmentedLagrangian(0.1), nesterov(0.2, 0.97), 5000),
    (ct.Lagrangian(0.1, damping=0.2), ct.AugmentedLagrangian(0.02, growth=1.0), nesterov(0.2), 4000),
    (ct.Lagrangian(0.001, damping=0.1), ct.AugmentedLagrangian(0.1, every=100), nesterov(0.2, 0.95), 6000),
    (ct.Lagrangian(0.02, damping=1.0), ct.AugmentedLagrangian(1.0, every=100), nesterov(0.1), 6000),
    (ct.Lagrangian(0.02, damping=0.2), ct.AugmentedLagrangian(0.2, every=50), nesterov(0.1), 1500),
]


@pytest.mark.parametrize("augmented", [False, True], ids=["plain", "augmented"])
@pytest.mark.parametrize("place", range(len(TABLE)), ids=[f"{row[0]}, {row[1]}" for row in TABLE])
def test_the_lagrangian_form(place: int, augmented: bool) -> None:
    name, limit, minimum, multiplier = TABLE[place]
    plain, other, optimizer, epochs = BY_MULTIPLIERS[place]
    method = other if augmented else plain
    objective = problem(name, subject_to=[limit])
    run = cr.fit(objective, table(name), method=method, optimizer=optimizer, epochs=epochs, batch_size="all")
    found = cr.optimality(run)
    assert found.value == pytest.approx(minimum, rel=1e-5)
    assert run.multipliers == {str(limit): pytest.approx(multiplier, rel=1e-3)}
    assert list(found.multipliers.values()) == [pytest.approx(multiplier, rel=1e-3)]
    assert found.level == "ε-optimal", found
    assert found.primal[str(limit)] <= 1e-6


SOFT = {ct.L2Ball: ct.SquaredL2, ct.L1Ball: ct.L1}


@pytest.mark.parametrize(
    ("name", "limit", "minimum", "multiplier"), [row for row in TABLE if type(row[1]) in SOFT], ids=lambda v: str(v)
)
def test_the_soft_form_with_the_multiplier_has_the_same_solution(
    name: str, limit: Any, minimum: float, multiplier: float
) -> None:
    objective = problem(name, penalty=[multiplier * SOFT[type(limit)]()])
    run = cr.fit(objective, table(name), method=ct.AcceleratedProjection())
    found = cr.optimality(run)
    assert found.data_loss == pytest.approx(minimum, rel=1e-5)
    w = run.parameters["weight"]
    size = np.linalg.norm(w) if isinstance(limit, ct.L2Ball) else np.abs(w).sum()
    assert size == pytest.approx(limit.radius, rel=1e-4)
    assert found.level == "ε-optimal", found
    assert found.value == pytest.approx(
        found.data_loss + multiplier * (size**2 if limit.multiplier_of[-1] == "²" else size)
    )


def test_an_inactive_limit_has_the_multiplier_0_exactly() -> None:
    run = cr.fit(
        problem("diabetes", subject_to=[ct.L2Ball(50.0)]), table("diabetes"), method=ct.AcceleratedProjection()
    )
    found = cr.optimality(run)
    assert list(found.multipliers.values()) == [0.0]
    assert found.qualification is None
    assert found.level == "ε-optimal", found
    x, y = table("diabetes")
    free = np.linalg.lstsq(x, y, rcond=None)[0]
    assert found.value == pytest.approx(0.5 * np.mean((x @ free - y) ** 2), rel=1e-9)


def test_adam_reaches_the_hard_minimum_by_projection_in_its_own_metric() -> None:
    """Trap 1: Adam followed by a Euclidean projection stays near .16, feasible and wrong."""
    x, y = table("breast cancer")
    options: dict[str, Any] = {"epochs": 3000, "batch_size": "all"}
    adam = cr.learn.Adam(cr.learn.Cosine(0.02))
    run = cr.fit(problem("breast cancer", subject_to=[ct.L2Ball(1.0)]), (x, y), optimizer=adam, **options)
    found = cr.optimality(run)
    assert found.value == pytest.approx(0.14836197, rel=1e-5)
    assert list(found.multipliers.values()) == [pytest.approx(0.06610533, rel=1e-3)]
    assert found.level == "ε-optimal", found

    class Euclidean(ct.L2Ball):
        """The mistake: whatever the metric, the nearest point of the plain one."""

        def project(self, parameters: Any, metric: Any = None, settings: Any = None) -> Any:
            return super().project(parameters, cr.learn.Metric("scalar", 1.0), settings)

    wrong = cr.fit(problem("breast cancer", subject_to=[Euclidean(1.0)]), (x, y), optimizer=adam, **options)
    seen = cr.optimality(wrong)
    assert seen.value > 0.155
    assert seen.level == "feasible", "a point that is feasible and wrong must not pass for a minimum"


@pytest.mark.parametrize("optimizer", [
    cr.learn.SGD(0.1), cr.learn.SGD(0.02, momentum=0.9), cr.learn.SGD(0.02, momentum=0.9, nesterov=True),
    cr.learn.Adam(cr.learn.Cosine(0.01)), cr.learn.RMSprop(cr.learn.Cosine(0.002), momentum=0.8),
], ids=str)  # fmt: skip
def test_trap_2_momentum_does_not_change_what_a_proximal_step_counts_for(optimizer: Any) -> None:
    """The lasso of scikit-learn, whose alpha is λ for ½·mean: the same weights, by every optimizer."""
    from sklearn.linear_model import Lasso

    x, y = table("diabetes")
    truth = Lasso(alpha=0.1, fit_intercept=False, tol=1e-12, max_iter=100_000).fit(x, y[:, 0]).coef_
    objective = problem("diabetes", penalty=[0.1 * ct.L1()])
    run = cr.fit(objective, (x, y), optimizer=optimizer, epochs=3000, batch_size="all")
    np.testing.assert_allclose(run.parameters["weight"][:, 0], truth, rtol=0, atol=2e-4)
    assert (run.parameters["weight"][:, 0] == 0).tolist() == (truth == 0).tolist(), "zeros are exactly 0"
    assert cr.optimality(run, tolerance=1e-2).level == "ε-optimal"


def test_trap_3_decoupled_decay_is_not_the_penalty() -> None:
    """AdamW heads to a point of a ball of ‖w‖∞, not to the solution of F + λ‖w‖², however its decay is chosen."""
    x, y = table("diabetes")
    penalized = cr.fit(problem("diabetes", penalty=[0.05 * ct.SquaredL2()]), (x, y), method=ct.AcceleratedProjection())
    assert cr.optimality(penalized).level == "ε-optimal"
    decayed = cr.fit(
        problem("diabetes"), (x, y), optimizer=cr.learn.AdamW(cr.learn.Cosine(0.02), decay=0.1), epochs=2000,
        batch_size="all",
    )  # fmt: skip
    objective = problem("diabetes", penalty=[0.05 * ct.SquaredL2()])
    seen = cr.optimality(objective, (x, y), parameters=decayed.parameters)
    assert seen.level == "feasible"
    assert seen.stationarity > 0.01


@pytest.mark.parametrize("optimizer", [cr.learn.Adam(cr.learn.Cosine(0.02)), cr.learn.RMSprop(cr.learn.Cosine(0.01))])
def test_trap_3_a_penalty_passes_through_the_metric(optimizer: Any) -> None:
    """With Adam too λ‖w‖² has the solution of F + λ‖w‖²; a decay beside the metric would have another."""
    x, y = table("diabetes")
    objective = problem("diabetes", penalty=[0.05 * ct.SquaredL2()])
    exact = cr.fit(objective, (x, y), method=ct.AcceleratedProjection())
    run = cr.fit(objective, (x, y), optimizer=optimizer, epochs=2000, batch_size="all")
    np.testing.assert_allclose(run.parameters["weight"], exact.parameters["weight"], rtol=0, atol=1e-4)
    assert cr.optimality(run, tolerance=1e-3).level == "ε-optimal"


def test_conversions_to_scikit_learn() -> None:
    """Ridge(alpha) = 2nλ for ½·mean; LogisticRegression(C) = 1/(2nλ)."""
    from sklearn.linear_model import LogisticRegression, Ridge

    x, y = table("diabetes")
    strength, n = 0.03, len(x)
    run = cr.fit(problem("diabetes", penalty=[strength * ct.SquaredL2()]), (x, y), method=ct.AcceleratedProjection())
    ridge = Ridge(alpha=2 * n * strength, fit_intercept=False, tol=1e-12).fit(x, y[:, 0])
    np.testing.assert_allclose(run.parameters["weight"][:, 0], ridge.coef_, rtol=0, atol=1e-6)
    x, y = table("breast cancer")
    run = cr.fit(
        problem("breast cancer", penalty=[strength * ct.SquaredL2()]), (x, y), method=ct.AcceleratedProjection()
    )
    logistic = LogisticRegression(C=1 / (2 * len(x) * strength), tol=1e-12, max_iter=10_000).fit(x, y)
    np.testing.assert_allclose(run.parameters["weight"][:, 0], logistic.coef_[0], rtol=0, atol=1e-5)


# --- problems that are in no table: solved by CVXPY here --------------------------------------------------------------


def solved(name: str, terms: Any) -> tuple[float, np.ndarray]:
    """Return the minimum and the weights by CVXPY; ``terms`` gives what is added to F, and the limits."""
    cp = pytest.importorskip("cvxpy", reason="CVXPY, which judges minima, is not installed")
    x, y = table(name)
    w = cp.Variable((x.shape[1], 1))
    if name == "diabetes":
        loss = 0.5 * cp.sum_squares(x @ w - y) / len(x)
    else:
        b = cp.Variable()
        z = x @ w + b
        loss = cp.sum(cp.logistic(z) - cp.multiply(y[:, None], z)) / len(x)
    added, limits = terms(cp, w)
    with warnings.catch_warnings(action="ignore"):  # that it came to its reduced tolerance: it is compared to 1e-6
        cp.Problem(cp.Minimize(loss + added), limits).solve(
            solver=cp.CLARABEL, tol_gap_abs=1e-12, tol_gap_rel=1e-12, tol_feas=1e-12
        )
    return float(loss.value + (added.value if hasattr(added, "value") else added)), np.asarray(w.value)


PROBLEMS: dict[str, Any] = {
    "nonnegative": ("diabetes", {"subject_to": [ct.NonNegative()]}, lambda cp, w: (0, [w >= 0])),
    "box": ("breast cancer", {"subject_to": [ct.Box(-0.1, 0.3)]}, lambda cp, w: (0, [w >= -0.1, w <= 0.3])),
    "simplex": ("diabetes", {"subject_to": [ct.Simplex(1.0)]}, lambda cp, w: (0, [w >= 0, cp.sum(w) == 1])),
    "L1 ball": ("breast cancer", {"subject_to": [ct.L1Ball(2.0)]}, lambda cp, w: (0, [cp.norm(w, 1) <= 2])),
    "group": (
        "diabetes", {"subject_to": [ct.GroupL2Ball(0.7)]}, lambda cp, w: (0, [cp.sum(cp.abs(w)) <= 0.7])
    ),  # of one output, a row's length is |w|
    "nuclear": ("diabetes", {"subject_to": [ct.NuclearBall(0.5)]}, lambda cp, w: (0, [cp.norm(w, 2) <= 0.5])),
    "elastic net": (
        "breast cancer", {"penalty": [0.02 * ct.L1() + 0.01 * ct.SquaredL2()]},
        lambda cp, w: (0.02 * cp.norm(w, 1) + 0.01 * cp.sum_squares(w), []),
    ),
    "ball and box": (
        "breast cancer", {"subject_to": [ct.L2Ball(1.0), ct.LInfBall(0.25)]},
        lambda cp, w: (0, [cp.norm(w, 2) <= 1, cp.abs(w) <= 0.25]),
    ),
    "ball and penalty": (
        "diabetes", {"subject_to": [ct.L2Ball(0.4)], "penalty": [0.05 * ct.L1()]},
        lambda cp, w: (0.05 * cp.norm(w, 1), [cp.norm(w, 2) <= 0.4]),
    ),
    "two balls": (
        "diabetes", {"subject_to": [ct.L2Ball(0.5), ct.L1Ball(0.8)]},
        lambda cp, w: (0, [cp.norm(w, 2) <= 0.5, cp.norm(w, 1) <= 0.8]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", PROBLEMS)
def test_against_an_independent_solver(kind: str) -> None:
    name, parts, terms = PROBLEMS[kind]
    minimum, weights = solved(name, terms)
    run = cr.fit(problem(name, **parts), table(name), method=ct.AcceleratedProjection())
    found = cr.optimality(run)
    assert found.value == pytest.approx(minimum, rel=1e-6)
    np.testing.assert_allclose(run.parameters["weight"], weights, rtol=0, atol=2e-4)
    assert found.level == ("ε-KKT" if kind == "nonnegative" else "ε-optimal"), found


def test_an_unbounded_set_has_no_finite_gap_and_is_not_called_optimal() -> None:
    run = cr.fit(
        problem("diabetes", subject_to=[ct.NonNegative()]), table("diabetes"), method=ct.AcceleratedProjection()
    )
    found = cr.optimality(run)
    assert found.level == "ε-KKT"
    assert not found.certified
    assert "is unbounded" in str(found)


# --- a network: never more than ε-KKT ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network_run() -> Any:
    x, y = table("digits")
    network = cr.nn.Sequential(cr.nn.Dense(16, activation="tanh"), cr.nn.Dense(10))
    objective = cr.Objective(network, "softmax_cross_entropy", subject_to=[ct.L2Ball(np.sqrt(20.0))])
    return cr.fit(objective, (x[:600], y[:600]), method=ct.AcceleratedProjection(1e-6))


def test_a_network_never_exceeds_kkt(network_run: Any) -> None:
    found = cr.optimality(network_run)
    assert found.level == "ε-KKT", found
    assert not found.convex
    assert not found.certified
    assert "That it is a minimum was not shown: the network is not linear in its parameters" in str(found)
    w = [network_run.parameters[f"{n}.weight"] for n in ("hidden1", "output")]
    assert sum(np.sum(v * v) for v in w) == pytest.approx(20.0, rel=1e-9)


def test_the_soft_form_started_at_the_hard_solution_stays_there(network_run: Any) -> None:
    """Locally the two forms agree: the same λ, the same point."""
    (multiplier,) = cr.optimality(network_run).multipliers.values()
    x, y = table("digits")
    soft = cr.Objective(network_run.objective.network, "softmax_cross_entropy", penalty=[multiplier * ct.SquaredL2()])
    there = cr.optimality(soft, (x[:600], y[:600]), parameters=network_run.parameters)
    assert there.level == "ε-KKT", there
    run = cr.fit(soft, (x[:600], y[:600]), method=ct.AcceleratedProjection(1e-6), parameters=network_run.parameters)
    size = sum(np.sum(run.parameters[f"{n}.weight"] ** 2) for n in ("hidden1", "output"))
    assert size == pytest.approx(20.0, rel=1e-3)


def test_the_lagrangian_form_of_a_network_comes_to_a_stationary_point(network_run: Any) -> None:
    x, y = table("digits")
    method, optimizer = ct.Lagrangian(0.002, damping=0.02), nesterov(0.1)
    rows = x[:600], y[:600]
    run = cr.fit(network_run.objective, rows, method=method, optimizer=optimizer, epochs=4000, batch_size="all")
    found = cr.optimality(run)
    assert found.level == "ε-KKT", found
    assert found.value == pytest.approx(cr.optimality(network_run).value, rel=0.02)  # another minimum, about as low
    (multiplier,) = run.multipliers.values()
    assert list(found.multipliers.values()) == [pytest.approx(multiplier, rel=1e-4)]
    assert multiplier == pytest.approx(0.03, rel=0.02)


@pytest.mark.parametrize("optimizer", [nesterov(0.1), cr.learn.Adam(cr.learn.Cosine(0.01))], ids=str)
def test_the_augmented_lagrangian_of_a_network_settles_where_rho_is_in_the_units_of_g(optimizer: Any) -> None:
    """4ρ‖W‖² = 0.8 is the curvature of F there: ε-KKT, by gradient descent and by Adam."""
    x, y = table("digits")
    network = cr.nn.Sequential(cr.nn.Dense(16, activation="tanh"), cr.nn.Dense(10))
    objective = cr.Objective(network, "softmax_cross_entropy", subject_to=[ct.L2Ball(np.sqrt(20.0))])
    method = ct.AugmentedLagrangian(penalty=0.01, growth=1.0, every=50)
    run = cr.fit(objective, (x[:600], y[:600]), method=method, optimizer=optimizer, epochs=4000, batch_size="all")
    found = cr.optimality(run)
    assert found.level == "ε-KKT", found
    assert not found.certified
    (multiplier,) = run.multipliers.values()
    assert list(found.multipliers.values()) == [pytest.approx(multiplier, rel=1e-4)]
    assert sum(np.sum(run.parameters[f"{n}.weight"] ** 2) for n in ("hidden1", "output")) == pytest.approx(20, abs=1e-4)
    # the soft form with this λ, started here, stays here
    soft = cr.Objective(network, "softmax_cross_entropy", penalty=[multiplier * ct.SquaredL2()])
    stays = cr.fit(soft, (x[:600], y[:600]), method=ct.AcceleratedProjection(1e-6), parameters=run.parameters)
    assert sum(np.sum(stays.parameters[f"{n}.weight"] ** 2) for n in ("hidden1", "output")) == pytest.approx(
        20, abs=1e-2
    )


def test_a_rho_that_is_too_large_for_the_step_is_not_called_a_solution() -> None:
    """4ρ‖W‖² = 80: η = 0.1 is over 2/80, so that descent diverges; and Adam jumps across the limit."""
    x, y = table("digits")
    network = cr.nn.Sequential(cr.nn.Dense(16, activation="tanh"), cr.nn.Dense(10))
    objective = cr.Objective(network, "softmax_cross_entropy", subject_to=[ct.L2Ball(np.sqrt(20.0))])
    options: dict[str, Any] = {"method": ct.AugmentedLagrangian(1.0), "epochs": 1000, "batch_size": "all"}
    run = cr.fit(objective, (x[:600], y[:600]), optimizer=nesterov(0.1), **options)
    assert run.status == "non-finite"
    swings = cr.fit(objective, (x[:600], y[:600]), optimizer=cr.learn.Adam(0.01), **options)
    assert cr.optimality(swings).level in ("infeasible", "feasible")


def test_the_three_forms_of_a_network_agree_locally_alone(network_run: Any) -> None:
    forms = ct.compare_forms(network_run, solver=ct.AcceleratedProjection(1e-6))
    assert forms.agree_here, forms
    assert not forms.agree_everywhere, forms
    assert "The three forms agree at the solution, and locally" in str(forms)
    assert "the problem is not convex, and the forms agree locally alone" in str(forms)
