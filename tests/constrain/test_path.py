"""regularization_path: each point against independent solvers, λ(r), levels, rules, folds, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.linear_model import LogisticRegression, lasso_path
from sklearn.preprocessing import StandardScaler

import chainrule as cr
from chainrule import constrain as ct
from chainrule.constrain.folds import cut_folds
from chainrule.constrain.path_report import best_place, one_standard_error_place
from chainrule.errors import TrainingError


def diabetes(**parts: Any) -> tuple[cr.Objective, tuple[np.ndarray, np.ndarray]]:
    x, y = load_diabetes(return_X_y=True)
    network = cr.nn.Dense(1, bias=False)
    rows = StandardScaler().fit_transform(x), StandardScaler().fit_transform(y[:, None])
    return cr.Objective(network, "half_squared_error", **parts), rows


def cancer(**parts: Any) -> tuple[cr.Objective, tuple[np.ndarray, np.ndarray]]:
    x, y = load_breast_cancer(return_X_y=True)
    return cr.Objective(cr.nn.Dense(1), "binary_cross_entropy", **parts), (StandardScaler().fit_transform(x), y)


def test_every_lasso_of_a_path_is_that_of_scikit_learn() -> None:
    objective, (x, y) = diabetes(penalty=[ct.L1()])
    path = ct.regularization_path(objective, (x, y), points=8, folds=None)
    strengths = np.array(path.values)
    assert np.all(np.diff(strengths) < 0)
    assert strengths[0] == pytest.approx(np.max(np.abs(x.T @ y)) / len(x), rel=1e-5)
    assert path.points[0].nonzero == 0
    assert path.points[1].nonzero > 0
    _, weights, _ = lasso_path(x, y.ravel(), alphas=strengths, tol=1e-14, max_iter=1_000_000)
    for point, run, theirs in zip(path.points, path.runs, weights.T, strict=True):
        mine = run.parameters["weight"].ravel()
        np.testing.assert_allclose(mine, theirs, atol=2e-6)
        assert point.inputs == tuple(np.flatnonzero(theirs))
        assert point.level == "ε-optimal"
        assert point.multiplier == point.value
        value = 0.5 * np.mean((y.ravel() - x @ theirs) ** 2) + point.value * np.abs(theirs).sum()
        assert point.objective == pytest.approx(value, rel=1e-9)


def test_every_l1_logistic_regression_is_that_of_scikit_learn() -> None:
    objective, (x, y) = cancer(penalty=[ct.L1()])
    path = ct.regularization_path(objective, (x, y), strengths=[0.1, 0.03, 0.01], folds=None)
    for point, run in zip(path.points, path.runs, strict=True):
        theirs = LogisticRegression(
            l1_ratio=1.0, C=1.0 / (len(x) * point.value), solver="saga", tol=1e-9, max_iter=100_000
        ).fit(x, y)
        assert point.inputs == tuple(np.flatnonzero(theirs.coef_[0]))
        np.testing.assert_allclose(run.parameters["weight"].ravel(), theirs.coef_[0], atol=1e-4)


@pytest.mark.parametrize("ball", [ct.L2Ball(1.0), ct.L1Ball(1.0), ct.LInfBall(1.0), ct.GroupL2Ball(1.0)], ids=str)
def test_every_point_of_a_ball_is_that_of_cvxpy_and_the_multiplier_falls(ball: Any) -> None:
    cvxpy = pytest.importorskip("cvxpy")
    objective, (x, y) = diabetes(subject_to=[ball])
    path = ct.regularization_path(objective, (x, y), points=6, folds=None)
    w, radius = cvxpy.Variable(10), cvxpy.Parameter(nonneg=True)
    norm = {"L2Ball": 2, "L1Ball": 1, "LInfBall": "inf", "GroupL2Ball": 1}[type(ball).__name__]
    problem = cvxpy.Problem(
        cvxpy.Minimize(cvxpy.sum_squares(y.ravel() - x @ w) / (2 * len(x))), [cvxpy.norm(w, norm) <= radius]
    )
    for point in path.points:
        radius.value = point.value
        problem.solve(solver="CLARABEL", tol_gap_rel=1e-10, tol_gap_abs=1e-10, tol_feas=1e-10)
        assert point.loss == pytest.approx(problem.value, rel=1e-6)
        assert point.level == "ε-optimal"
        assert point.size <= point.value
    multipliers = [p.multiplier for p in path.points]
    assert multipliers == sorted(multipliers, reverse=True)
    assert multipliers[-1] == 0.0  # the last radius does not bind
    assert multipliers[-2] > 0.0
    assert path.points[-1].size < path.values[-1]


def test_the_first_radius_leaves_at_most_a_twentieth_of_the_gain() -> None:
    objective, rows = diabetes(subject_to=[ct.L2Ball(1.0)])
    path = ct.regularization_path(objective, rows, points=3, folds=None)
    zero, least = 0.5 * float(np.mean(rows[1] ** 2)), path.points[-1].loss
    assert 0.9 * 0.05 < (zero - path.points[0].loss) / (zero - least) <= 0.05


def test_separable_classes_have_a_path_that_ends() -> None:
    x, y = load_iris(return_X_y=True)
    objective = cr.Objective(cr.nn.Dense(1), "binary_cross_entropy", subject_to=[ct.L2Ball(1.0)])
    path = ct.regularization_path(objective, (x[:100], y[:100]), points=4, folds=None)
    assert "all is fitted, or no minimum found" in path.said[0]
    assert path.points[-1].loss < 0.1 * path.points[0].loss
    assert {p.level for p in path.points} == {"ε-optimal"}


def test_multipliers_of_units_add_up_to_the_slope_of_the_loss() -> None:
    """dF/dr = −Σ λ of ‖w_unit‖ − r: of ‖w_unit‖² − r² it is 2r times smaller."""
    x, y = load_iris(return_X_y=True)
    x = StandardScaler().fit_transform(x)
    objective = cr.Objective(cr.nn.Dense(3), "softmax_cross_entropy", subject_to=[ct.MaxNorm(1.0)])
    path = ct.regularization_path(objective, (x, y), radii=[0.499, 0.5, 0.501], folds=None)
    below, here, above = path.points
    assert (below.loss - above.loss) / 0.002 == pytest.approx(2 * 0.5 * here.multiplier, rel=1e-4)


def test_held_out_loss_and_rules_by_hand() -> None:
    objective, (x, y) = diabetes(penalty=[ct.SquaredL2()])
    strengths = [3.0, 0.3, 0.03, 0.003]
    path = ct.regularization_path(objective, (x, y), strengths=strengths, folds=4, seed=3, rule="one-standard-error")
    losses = np.empty((4, 4))
    for k, (training, held) in enumerate(cut_folds(len(x), 4, 3)):
        for i, strength in enumerate(strengths):
            a = x[training].T @ x[training] / len(training) + 2 * strength * np.eye(10)
            w = np.linalg.solve(a, x[training].T @ y[training] / len(training))
            losses[i, k] = 0.5 * np.mean((y[held] - x[held] @ w) ** 2)
    np.testing.assert_allclose([p.fold_losses for p in path.points], losses, rtol=1e-5)
    means, errors = losses.mean(axis=1), losses.std(axis=1, ddof=1) / 2.0
    np.testing.assert_allclose([p.held_out_error for p in path.points], errors, rtol=1e-3)
    best = int(np.argmin(means))
    within = next(i for i in range(4) if means[i] <= means[best] + errors[best])
    assert (path.best_index, path.one_standard_error_index) == (best, within)
    assert path.chosen_point is path.points[within]
    assert path.chosen is path.runs[within]
    weights = np.linalg.solve(x.T @ x / len(x) + 2 * strengths[within] * np.eye(10), x.T @ y / len(x))
    np.testing.assert_allclose(path.chosen.parameters["weight"], weights, atol=1e-6)


def test_the_rules_on_numbers() -> None:
    means, errors = np.array([0.9, 0.52, 0.50, 0.51]), np.array([0.1, 0.01, 0.03, 0.2])
    assert best_place(means) == 2
    assert one_standard_error_place(means, errors) == 1  # 0.52 ≤ 0.50 + 0.03
    assert one_standard_error_place(means, 0.1 * errors) == 2
    assert best_place(np.array([np.nan, np.inf, 1.0, 1.0])) == 2
    with pytest.raises(TrainingError, match="finite at no point"):
        best_place(np.array([np.nan, np.inf]))


def test_no_row_of_a_fold_is_both_trained_on_and_held_out() -> None:
    labels = np.repeat([0, 1, 2], [50, 31, 9])
    folds = cut_folds(90, 7, 5, labels)
    assert np.array_equal(np.sort(np.concatenate([held for _, held in folds])), np.arange(90))
    for training, held in folds:
        assert not set(training) & set(held)
        assert len(training) + len(held) == 90
        assert 12 <= len(held) <= 13
        assert np.all(np.abs(np.bincount(labels[held], minlength=3) - np.array([50, 31, 9]) / 7) < 1)
    assert not np.array_equal(folds[0][1], cut_folds(90, 7, 6, labels)[0][1])


def test_held_out_rows_change_nothing_of_what_a_fold_learns() -> None:
    """Each held-out loss is known from that fold's training rows alone: no row leaks by warm starts or by the grid."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 3)), rng.normal(size=40)
    objective = cr.Objective(cr.nn.Dense(1), "squared_error", subject_to=[ct.L2Ball(1.0)])
    radii = [0.1, 0.4]
    folds = cut_folds(40, 4, 0)
    before = ct.regularization_path(objective, (x, y), radii=radii, folds=folds)
    training, held = folds[0]
    changed = y.copy()
    changed[held] += 100.0
    after = ct.regularization_path(objective, (x, changed), radii=radii, folds=folds)
    alone = ct.regularization_path(objective, (x[training], y[training]), radii=radii, folds=None)
    for place, radius in enumerate(radii):
        run = alone.runs[place]
        for data, path in ((y, before), (changed, after)):
            expected = np.mean((data[held] - run.output(x[held]).ravel()) ** 2)
            assert path.points[place].fold_losses[0] == pytest.approx(expected, rel=1e-4), radius


@pytest.mark.parametrize("executor", ["native", "reference"])
def test_a_network_is_trained_along_its_path(executor: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(24, 5))
    y = np.tanh(2.0 * x[:, 0])
    network = cr.nn.Sequential(cr.nn.Dense(2, "tanh"), cr.nn.Dense(1))
    ball = ct.GroupL2Ball(1.0, parameters=["hidden1.weight"])
    objective = cr.Objective(network, "squared_error", subject_to=[ball, ct.L2Ball(2.0, parameters=["output.weight"])])
    options: dict[str, Any] = {"optimizer": cr.learn.Adam(0.02), "epochs": 25 if executor == "native" else 5}
    path = ct.regularization_path(
        objective, (x, y), along="set1.radius", radii=[0.5, 1.0, 4.0], folds=2, executor=executor, **options
    )
    assert all(p.level in ("feasible", "ε-KKT") for p in path.points)
    assert all(p.size <= p.value for p in path.points)
    assert 0 in path.points[0].inputs
    assert "another order may come to other points" in str(path)
    # from large to small r: the last point that is trained is the first, and it begins where the one before ended
    np.testing.assert_array_equal(
        path.runs[0].at(0).parameters["hidden1.weight"], path.runs[1].parameters["hidden1.weight"]
    )
    cold = ct.regularization_path(
        objective,
        (x, y),
        along="set1.radius",
        radii=[0.5, 1.0],
        folds=None,
        warm_start=False,
        executor=executor,
        **options,
    )
    single = cr.fit(objective, (x, y), settings={"set1.radius": 0.5}, executor=executor, **options)
    np.testing.assert_array_equal(cold.runs[0].parameters["hidden1.weight"], single.parameters["hidden1.weight"])


def test_folds_side_by_side_have_the_bits_of_folds_alone() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 3)), rng.integers(0, 2, 30)
    objective = cr.Objective(
        cr.nn.Sequential(cr.nn.Dense(3, "tanh"), cr.nn.Dense(1)), "binary_cross_entropy", subject_to=[ct.L2Ball(1.0)]
    )
    options: dict[str, Any] = {"optimizer": cr.learn.Adam(0.02), "epochs": 20}
    path = ct.regularization_path(objective, (x, y), radii=[0.5, 1.0], folds=2, seed=1, **options)
    training, held = cut_folds(30, 2, 1, y)[0]
    run = cr.fit(objective, (x[training], y[training]), settings={"set1.radius": 1.0}, seed=1, **options)
    run = cr.fit(
        objective,
        (x[training], y[training]),
        settings={"set1.radius": 0.5},
        seed=1,
        parameters=run.parameters,
        **options,
    )
    expected = cr.Objective(objective.network, objective.loss)(run.parameters, (x[held], y[held]))
    assert path.points[0].fold_losses[0] == pytest.approx(float(expected), rel=1e-12)


def test_matrices_by_their_singular_values() -> None:
    x, y = load_iris(return_X_y=True)
    objective = cr.Objective(cr.nn.Dense(3), "softmax_cross_entropy", subject_to=[ct.SpectralBall(1.0)])
    path = ct.regularization_path(objective, (StandardScaler().fit_transform(x), y), radii=[0.2, 1.0], folds=2)
    assert {p.level for p in path.points} == {"ε-optimal"}
    assert path.points[1].size == pytest.approx(1.0, abs=1e-9)
    assert path.points[1].score > path.points[0].score > 0.7


def test_the_table_and_the_data() -> None:
    objective, rows = cancer(subject_to=[ct.GroupL2Ball(1.0)])
    names = load_breast_cancer().feature_names.tolist()
    counted: list[tuple[int, int]] = []
    path = ct.regularization_path(
        objective, rows, radii=[0.5, 2.0, 8.0], folds=3, names=names, progress=lambda *a: counted.append(a)
    )
    text = str(path)
    assert max(map(len, text.splitlines())) <= 80
    assert "levels: ε-optimal at 3 of 3" in text
    assert "worst concave points" in text
    assert counted == [(0, 12), (4, 12), (8, 12), (12, 12)]
    found = json.loads(json.dumps(path.to_dict()))
    assert [p["value"] for p in found["points"]] == [0.5, 2.0, 8.0]
    assert found["chosen_value"] == path.chosen_point.value
    assert found["score"] == "accuracy"
    alone = ct.regularization_path(objective, rows, radii=[0.5, 2.0], folds=None, score=None)
    assert "held out" not in str(alone)
    with pytest.raises(TrainingError, match="not cross-validated"):
        alone.chosen  # noqa: B018


def test_weights_of_rows_and_rows_of_weight_zero() -> None:
    objective, (x, y) = diabetes(subject_to=[ct.L2Ball(1.0)])
    weight = np.ones(len(x))
    weight[::3] = 0.0
    wild = y.copy()
    wild[::3] = np.nan
    kept = weight > 0
    one = ct.regularization_path(objective, (x, wild, weight), radii=[0.2, 0.6], folds=3)
    other = ct.regularization_path(objective, (x[kept], y[kept]), radii=[0.2, 0.6], folds=3)
    assert [p.fold_losses for p in one.points] == [p.fold_losses for p in other.points]


def test_an_elastic_net_varies_one_number() -> None:
    objective, rows = diabetes(penalty=[ct.L1(), 0.05 * ct.SquaredL2()])
    with pytest.raises(TrainingError, match=r"2 numbers that a path could vary.*along='penalty1.lambda'"):
        ct.regularization_path(objective, rows)
    path = ct.regularization_path(objective, rows, along="penalty1.lambda", points=4, folds=None)
    assert {p.level for p in path.points} == {"ε-optimal"}
    assert path.points[0].nonzero == 0


@pytest.mark.parametrize(("options", "message"), [
    ({"radii": [1.0, 0.5, 2.0]}, r"not sorted: 0\.5 stands before 2|not sorted: 1 stands before 0\.5"),
    ({"radii": [0.5, -1.0]}, "greater than 0"),
    ({"radii": [0.5, np.nan]}, "greater than 0"),
    ({"radii": [0.5, 0.5]}, "not sorted"),
    ({"radii": [0.5]}, "at least two"),
    ({"radii": "many"}, "at least two"),
    ({"strengths": [0.5, 1.0]}, "give radii"),
    ({"folds": 500}, "500 and there are 442 rows"),
    ({"folds": 1}, "at least 2"),
    ({"folds": [(np.arange(5), np.arange(4, 9)), (np.arange(5), np.arange(5, 9))]}, "row 4 is trained on and held out"),
    ({"folds": [(np.arange(5), np.arange(900, 902)), (np.arange(5), np.arange(5, 9))]}, "go beyond"),
    ({"rule": "two"}, "rule is 'two'"),
    ({"order": "up"}, "order is 'up'"),
    ({"score": "f1"}, "score is 'f1'"),
    ({"stratify": True}, "not one class a row"),
    ({"patience": 3}, "has no patience: the folds hold out rows"),
    ({"settings": {"set1.radius": 2.0}}, "in the objective itself"),
    ({"along": "set2.radius"}, "it is one of: set1.radius"),
    ({"names": ["a"], "radii": [0.1, 0.2], "folds": None}, "names has 1 names; there are 10"),
], ids=lambda v: str(v)[:40])  # fmt: skip
def test_what_is_refused(options: dict[str, Any], message: str) -> None:
    objective, rows = diabetes(subject_to=[ct.L2Ball(1.0)])
    with pytest.raises(TrainingError, match=message):
        ct.regularization_path(objective, rows, **options)


def test_what_is_no_path() -> None:
    for parts, message in (
        ({}, "the objective has neither"),
        ({"subject_to": [ct.L2Ball(1.0), ct.L1Ball(2.0)]}, "2 numbers that a path could vary"),
        ({"subject_to": [ct.NonNegative()]}, "the objective has neither"),
    ):
        objective, rows = diabetes(**parts)
        with pytest.raises(TrainingError, match=message):
            ct.regularization_path(objective, rows)
    with pytest.raises(TrainingError, match="takes an objective first"):
        ct.regularization_path(rows, rows)
    objective, (x, y) = cancer(subject_to=[ct.L2Ball(1.0)])
    order = np.argsort(y, kind="stable")
    halves = [(order[:200], order[200:]), (order[300:], order[:300])]
    with pytest.raises(TrainingError, match="fold 1: the class 1 is in no training row"):
        ct.regularization_path(objective, (x, y), folds=halves)
