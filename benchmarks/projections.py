"""Projections against an independent solver: each convex set, in the Euclidean and in a diagonal metric, by CVXPY.

python -m benchmarks.projections [--points 1000] [--set L2Ball]

Every point is projected by both; the largest distance between the two, relative to the point, is printed. An
interior point method knows a point of a curved set no better than to the root of its tolerance: where the two differ
by more than 10⁻⁶, ours is proved to be as near as that to the exact one, by the gap
σ(D(v − p)) − ⟨D(v − p), p⟩ ≥ ½‖p − p*‖²_D. Nonconvex sets are compared with all their possibilities, tried one by one.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from chainrule import constrain as ct
from chainrule.execute import get_executor
from chainrule.graph import flatten, make_graph, type_of, unflatten
from chainrule.learn import Metric

Array = np.ndarray[Any, Any]
TOLERANCE = 1e-6
ROUGH = 1e-4
"""No two answers may differ by more."""
SHAPE = (4, 3)
TOLERANCES = ("tol_gap_abs", "tol_gap_rel", "tol_feas")


@dataclass(frozen=True)
class Case:
    """A set, and what CVXPY is told of it."""

    name: str
    make: Callable[[float], Any]
    limits: Callable[[Any, Any, float], list[Any]]
    diagonal: bool = True
    support: Callable[[Array, float], float] | None = None
    """max ⟨g, w⟩ over the set, by the dual norm, where the set is curved."""


def _rows(cp: Any, w: Any) -> Any:
    return sum(cp.norm(w[i, :], 2) for i in range(SHAPE[0]))


CASES = (
    Case(
        "L2Ball",
        lambda r: ct.L2Ball(r),
        lambda cp, w, r: [cp.norm(cp.vec(w, order="C"), 2) <= r],
        support=lambda g, r: r * float(np.linalg.norm(g)),
    ),
    Case("L1Ball", lambda r: ct.L1Ball(r), lambda cp, w, r: [cp.sum(cp.abs(w)) <= r]),
    Case("LInfBall", lambda r: ct.LInfBall(r), lambda cp, w, r: [cp.abs(w) <= r]),
    Case(
        "MaxNorm",
        lambda r: ct.MaxNorm(r),
        lambda cp, w, r: [cp.norm(w[:, j], 2) <= r for j in range(SHAPE[1])],
        support=lambda g, r: r * float(np.sum(np.linalg.norm(g, axis=0))),
    ),
    Case(
        "L1Ball, per input",
        lambda r: ct.L1Ball(r, per="input"),
        lambda cp, w, r: [cp.norm(w[i, :], 1) <= r for i in range(SHAPE[0])],
    ),
    Case(
        "GroupL2Ball",
        lambda r: ct.GroupL2Ball(r),
        lambda cp, w, r: [_rows(cp, w) <= r],
        support=lambda g, r: r * float(np.max(np.linalg.norm(g, axis=1))),
    ),
    Case("Box", lambda r: ct.Box(-0.5 * r, r), lambda cp, w, r: [w >= -0.5 * r, w <= r]),
    Case(
        "NonNegative",
        lambda r: ct.NonNegative(),
        lambda cp, w, r: [w >= 0],
        support=lambda g, r: 0.0 if np.max(g) <= 0.0 else float("inf"),
    ),
    Case("Simplex", lambda r: ct.Simplex(r), lambda cp, w, r: [w >= 0, cp.sum(w) == r]),
    Case(
        "Intersection",
        lambda r: ct.Intersection(ct.L1Ball(r), ct.LInfBall(0.25 * r)),
        lambda cp, w, r: [cp.sum(cp.abs(w)) <= r, cp.abs(w) <= 0.25 * r],
    ),
    Case(
        "SpectralBall",
        lambda r: ct.SpectralBall(r),
        lambda cp, w, r: [cp.sigma_max(w) <= r],
        False,
        support=lambda g, r: r * float(np.linalg.norm(g, "nuc")),
    ),
    Case("NuclearBall", lambda r: ct.NuclearBall(r), lambda cp, w, r: [cp.normNuc(w) <= r], diagonal=False),
)


def points(count: int, seed: int = 0) -> Iterator[tuple[Array, Array, float]]:
    """Give points of every size, steps that differ by up to ten times, and radii; some points lie inside."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        v = rng.normal(size=SHAPE) * 10.0 ** rng.uniform(-0.5, 0.5)
        if rng.random() < 0.2:
            v[rng.random(SHAPE) < 0.3] = 0.0
        yield v, 10.0 ** rng.uniform(-0.5, 0.5, SHAPE), float(10.0 ** rng.uniform(-0.7, 0.6))


class Projection:
    """A set's projection as a graph, run by an executor: the radius is an input."""

    def __init__(self, chosen: Any, diagonal: bool, shape: tuple[int, ...] = SHAPE, dtype: Any = np.float64) -> None:
        self.set = chosen.covering({"w": None})
        like = np.zeros(shape, dtype)

        def call(w: Any, step: Any, numbers: Any) -> Any:
            metric = Metric("diagonal", {"w": step}) if diagonal else Metric("scalar", 1.0)
            nearest, converged = self.set.project({"w": w}, metric, numbers)
            return {"w": nearest["w"], "converged": converged}

        self.dtype = dtype
        types = {k: type_of(np.asarray(0.0, dtype)) for k in self.set.settings()}
        self.graph = make_graph(call, type_of(like), type_of(like), types)

    def __call__(self, w: Array, step: Array, numbers: dict[str, float], executor: str = "reference") -> Any:
        given = flatten((w, step, {k: np.asarray(v, self.dtype) for k, v in numbers.items()}))[0]
        results = get_executor(executor).run(self.graph, [np.asarray(a, self.dtype) for a in given])
        return unflatten(self.graph.gives, results)


class Judge:
    """CVXPY's answer: min Σ (w − v)²/s subject to the limits, compiled once for all points."""

    def __init__(self, case: Case) -> None:
        import cvxpy as cp

        self.cp, self.case = cp, case

    def __call__(self, v: Array, step: Array, radius: float) -> Array:
        cp = self.cp
        weight = 1.0 / np.sqrt(step)
        weight /= np.sqrt(np.max(weight) * np.min(weight))
        scale = float(np.max(np.abs(v)))  # solvers are at their best with numbers of about 1
        w = cp.Variable(SHAPE)
        away = cp.multiply(weight, w - v / scale)
        limits = self.case.limits(cp, w, radius / scale)
        # The length has twice the digits of its square, but no derivative at 0, where a point inside is its own.
        length = cp.Problem(cp.Minimize(cp.norm(cp.vec(away, order="C"), 2)), limits)
        square = cp.Problem(cp.Minimize(cp.sum_squares(away)), limits)
        for tolerance in (1e-13, 1e-12, 1e-11, 1e-10, 1e-9):  # the tightest that the solver reaches
            names = {f"{kind}{name}": tolerance for kind in ("", "reduced_") for name in TOLERANCES}
            for problem in (length, square):
                with suppress(cp.error.SolverError):
                    problem.solve(solver=cp.CLARABEL, max_iter=400, **names)
                    if problem.status in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE):
                        return np.asarray(w.value) * scale
        raise RuntimeError(f"CVXPY found no projection on {self.case.name}")


def compared(
    case: Case, diagonal: bool, count: int, seed: int = 0, executor: str = "reference"
) -> Iterator[tuple[float, float]]:
    """Give the distance of the two answers, and the proved one of ours to the exact one, relative to the point."""
    judge, project = Judge(case), Projection(case.make(1.0), diagonal)
    for v, step, radius in points(count, seed):
        numbers = case.make(radius).settings()
        ours = project(v, step, numbers, executor)
        if not ours["converged"]:
            raise RuntimeError(f"the projection on {case.name} did not converge for r = {radius}, v = {v}, s = {step}")
        weight = 1.0 / step if diagonal else np.ones(SHAPE)
        theirs = judge(v, 1.0 / weight, radius)
        scale = 1.0 + np.max(np.abs(v))
        bound = np.inf
        if case.support is not None:
            pull = weight * (v - ours["w"])
            gap = max(case.support(pull, radius) - float(np.sum(pull * ours["w"])), 0.0)
            bound = float(np.sqrt(2.0 * gap / np.min(weight)))
        yield float(np.max(np.abs(ours["w"] - theirs)) / scale), bound / scale


def differs(distance: float, bound: float) -> bool:
    """Is an answer wrong: far from CVXPY's, and not proved to be nearer to the exact one?"""
    return distance > ROUGH or (distance > TOLERANCE and bound > TOLERANCE)


def by_trying_all(v: Array, step: Array, count: int) -> Array:
    """Return the nearest point with so many numbers that are not 0: the best of all choices."""
    flat, weight = v.ravel(), 1.0 / step.ravel()
    best = min(
        (np.isin(np.arange(flat.size), chosen) for chosen in combinations(range(flat.size), min(count, flat.size))),
        key=lambda kept: float(np.sum(weight[~kept] * flat[~kept] ** 2)),
    )
    return np.where(best, flat, 0.0).reshape(v.shape)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--set", default=None)
    parser.add_argument("--executor", default="reference", choices=["reference", "native"])
    options = parser.parse_args()
    failed = 0
    for case in CASES:
        if options.set not in (None, case.name):
            continue
        for diagonal in (False, True) if case.diagonal else (False,):
            both = np.array(list(compared(case, diagonal, options.points, executor=options.executor)))
            found, over = both[:, 0], both[:, 0] > TOLERANCE
            failed += sum(map(differs, *both.T))
            print(
                f"{case.name:18} {'diagonal' if diagonal else 'Euclidean':10} {len(found)} points, largest distance "
                f"{found.max():.1e}, median {np.median(found):.1e}"
                + (f"; {over.sum()} over {TOLERANCE:g}, proved within {both[over, 1].max():.1e}" if over.any() else ""),
                flush=True,
            )
    worst = 0.0
    for v, step, _ in points(options.points):
        for diagonal in (False, True):
            step = step if diagonal else np.ones(SHAPE)
            ours = Projection(ct.Cardinality(4), diagonal)(v, step, {"count": 4.0}, options.executor)["w"]
            worst = max(worst, float(np.max(np.abs(ours - by_trying_all(v, step, 4)))))
    print(
        f"{'Cardinality(4)':18} both       {options.points} points, largest distance from the best of all {worst:.1e}"
    )
    if failed or worst:
        raise SystemExit(f"{failed} points differ")


if __name__ == "__main__":
    main()
