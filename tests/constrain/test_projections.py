"""Projections: nearest, feasible in floating point, nothing changed inside, on both executors."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from benchmarks.projections import CASES, Projection, by_trying_all, compared, differs, points
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule import constrain as ct
from chainrule.errors import TrainingError
from chainrule.learn import Metric

SETS = {
    "L2Ball": lambda r: ct.L2Ball(r),
    "L2Ball per unit": lambda r: ct.MaxNorm(r),
    "L2Ball per input": lambda r: ct.L2Ball(r, per="input"),
    "L1Ball": lambda r: ct.L1Ball(r),
    "L1Ball per unit": lambda r: ct.L1Ball(r, per="unit"),
    "LInfBall": lambda r: ct.LInfBall(r),
    "GroupL2Ball": lambda r: ct.GroupL2Ball(r),
    "GroupL2Ball of units": lambda r: ct.GroupL2Ball(r, "unit"),
    "Box": lambda r: ct.Box(-0.5 * r, r),
    "NonNegative": lambda r: ct.NonNegative(),
    "Simplex": lambda r: ct.Simplex(r),
    "Cardinality": lambda r: ct.Cardinality(5),
    "SpectralBall": lambda r: ct.SpectralBall(r),
    "NuclearBall": lambda r: ct.NuclearBall(r),
    "OrthogonalColumns": lambda r: ct.OrthogonalColumns(),
    "Intersection": lambda r: ct.Intersection(ct.NonNegative(), ct.L2Ball(r)),
}
ONLY_EUCLIDEAN = ("SpectralBall", "NuclearBall", "OrthogonalColumns")
NOT_CONVEX = ("Cardinality", "OrthogonalColumns")
OF_EQUATIONS = ("Simplex", "OrthogonalColumns")
PAIRS = [(name, d) for name in SETS for d in (False, True) if not (d and name in ONLY_EUCLIDEAN)]
SHAPE = (6, 4)
GRAPHS: dict[Any, Projection] = {}


def inside(name: str, w: np.ndarray, r: float) -> bool:
    """Membership by NumPy alone, without any tolerance (but for a sum that must be met)."""
    w = w.astype(np.float64)
    values = np.linalg.svd(w, compute_uv=False)
    return bool({
        "L2Ball": np.sum(w * w) <= r * r and np.linalg.norm(w) <= r,
        "L2Ball per unit": np.all(np.linalg.norm(w, axis=0) <= r),
        "L2Ball per input": np.all(np.linalg.norm(w, axis=1) <= r),
        "L1Ball": np.sum(np.abs(w)) <= r,
        "L1Ball per unit": np.all(np.sum(np.abs(w), axis=0) <= r),
        "LInfBall": np.all(np.abs(w) <= r),
        "GroupL2Ball": np.sum(np.linalg.norm(w, axis=1)) <= r,
        "GroupL2Ball of units": np.sum(np.linalg.norm(w, axis=0)) <= r,
        "Box": np.all(w >= -0.5 * r) and np.all(w <= r),
        "NonNegative": np.all(w >= 0),
        "Simplex": np.all(w >= 0) and abs(np.sum(w) - r) <= 4e-6 * r,
        "Cardinality": np.count_nonzero(w) <= 5,
        "SpectralBall": values[0] <= r,
        "NuclearBall": np.sum(values) <= r,
        "OrthogonalColumns": np.abs(w.T @ w - np.eye(w.shape[1])).max() <= 4e-6,
        "Intersection": np.all(w >= 0) and np.linalg.norm(w) <= r,
    }[name])  # fmt: skip


def projected(
    name: str, diagonal: bool, v: np.ndarray, step: np.ndarray, r: float, executor: str, dtype: Any = np.float64
) -> np.ndarray:
    """Project by a graph whose radius is an input: one graph a set, whatever the radius."""
    key = (name, diagonal, np.dtype(dtype))
    if key not in GRAPHS:
        GRAPHS[key] = Projection(SETS[name](1.0), diagonal, SHAPE, dtype)
    found = GRAPHS[key](v, step, SETS[name](r).settings(), executor)
    assert found["converged"]
    return np.asarray(found["w"])


def draw(seed: int) -> tuple[np.ndarray, np.ndarray, float]:
    rng = np.random.default_rng(seed)
    v = rng.normal(size=SHAPE) * 10.0 ** rng.uniform(-2, 2)
    v[rng.random(SHAPE) < rng.choice([0.0, 0.3])] = 0.0
    step = np.full(SHAPE, 0.1) if rng.random() < 0.2 else 10.0 ** rng.uniform(-4, 4, SHAPE)
    return v, step, float(np.float32(10.0 ** rng.uniform(-1.5, 1.5)))


SEEDS = st.integers(0, 2**32 - 1)
FEW = settings(max_examples=15, deadline=None, derandomize=True)


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["f64", "f32"])
@pytest.mark.parametrize("executor", ["reference", "native"])
@pytest.mark.parametrize(("name", "diagonal"), PAIRS)
def test_feasible_in_floating_point_and_projecting_twice_changes_nothing(
    name: str, diagonal: bool, executor: str, dtype: Any
) -> None:
    @FEW
    @given(SEEDS)
    def check(seed: int) -> None:
        v, step, r = draw(seed)
        w = projected(name, diagonal, v, step, r, executor, dtype)
        assert w.dtype == dtype
        assert inside(name, w, r), (v, step, r, w)
        again = projected(name, diagonal, w, step, r, executor, dtype)
        assert again.tobytes() == w.tobytes(), (v, step, r)

    check()


@pytest.mark.parametrize("executor", ["reference", "native"])
@pytest.mark.parametrize(("name", "diagonal"), [p for p in PAIRS if p[0] not in OF_EQUATIONS])
def test_a_point_inside_keeps_every_bit(name: str, diagonal: bool, executor: str) -> None:
    """Minus zero, the smallest numbers, and a point very near to the boundary (trap 8: no + ε)."""

    @FEW
    @given(SEEDS)
    def check(seed: int) -> None:
        v, step, r = draw(seed)
        v = np.sign(v) * np.random.default_rng(seed).uniform(0, 0.9, SHAPE) * r / 24
        v = np.abs(v) if name in ("NonNegative", "Intersection") else v
        v.flat[0], v.flat[1], v.flat[2] = -0.0, 5e-324, 0.0
        if name == "Cardinality":
            v.flat[5:] = 0.0
        if seed % 2 and name == "L2Ball":
            v *= r / np.linalg.norm(v) * (1 - 1e-12)
        assert projected(name, diagonal, v, step, r, executor).tobytes() == v.tobytes()

    check()


SUMS = [(n, d) for n, d in PAIRS if n.startswith(("L2Ball", "L1Ball", "GroupL2Ball"))]


@pytest.mark.parametrize("executor", ["reference", "native"])
@pytest.mark.parametrize(("name", "diagonal"), SUMS)
def test_a_point_that_is_inside_by_rounding_alone_is_not(name: str, diagonal: bool, executor: str) -> None:
    """Sums in single precision found ‖w‖ = 1 + 8·10⁻¹⁰ to be at most 1, and left it: Adagrad came there."""
    rng = np.random.default_rng(0)
    outside = 0
    for _ in range(30):
        v, step = rng.normal(size=SHAPE).astype(np.float32), np.exp(rng.normal(size=SHAPE)).astype(np.float32)
        if name == "L2Ball per unit":
            v /= np.linalg.norm(v, axis=0)
        elif name == "L2Ball per input":
            v /= np.linalg.norm(v, axis=1, keepdims=True)
        elif name == "L1Ball per unit":
            v /= np.sum(np.abs(v), axis=0)
        else:
            axis = 1 if name == "GroupL2Ball" else 0
            sums = np.sum(np.linalg.norm(v, axis=axis)) if "Group" in name else np.sum(np.abs(v))
            v /= np.linalg.norm(v) if name == "L2Ball" else sums
        outside += not inside(name, v, 1.0)
        w = projected(name, diagonal, v, step, 1.0, executor, np.float32)
        assert inside(name, w, 1.0)
        np.testing.assert_allclose(w, v, rtol=2e-5, atol=2e-6)
        assert projected(name, diagonal, w, step, 1.0, executor, np.float32).tobytes() == w.tobytes()
    assert outside > 5


@pytest.mark.parametrize(("name", "diagonal"), [p for p in PAIRS if p[0] not in NOT_CONVEX])
def test_nonexpansive_in_the_metric(name: str, diagonal: bool) -> None:
    """‖Π(a) − Π(b)‖_M ≤ ‖a − b‖_M for convex sets."""

    @FEW
    @given(SEEDS)
    def check(seed: int) -> None:
        a, step, r = draw(seed)
        step = step**0.3 if diagonal else np.ones(SHAPE)
        b = a + np.random.default_rng(seed + 1).normal(size=SHAPE) * 10.0 ** np.random.default_rng(seed).uniform(-3, 1)
        ours = [projected(name, diagonal, x, step, r, "reference") for x in (a, b)]
        after, before = (float(np.sqrt(np.sum((x - y) ** 2 / step))) for x, y in (ours, (a, b)))
        assert after <= before * (1 + 1e-8) + 1e-9 * (1 + r)

    check()


@pytest.mark.parametrize(("name", "diagonal"), PAIRS)
def test_native_gives_what_the_reference_gives(name: str, diagonal: bool) -> None:
    for seed in range(20):
        v, step, r = draw(seed)
        ours, theirs = (projected(name, diagonal, v, step, r, e) for e in ("reference", "native"))
        np.testing.assert_allclose(theirs, ours, rtol=1e-9, atol=1e-9 * min(r, np.abs(v).max()))


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_nearest_by_an_independent_solver(case: Any) -> None:
    """A sample of what ``python -m benchmarks.projections`` does with a thousand points each."""
    pytest.importorskip("cvxpy", reason="CVXPY, which judges projections, is not installed")
    for diagonal in (False, True) if case.diagonal else (False,):
        with warnings.catch_warnings(action="ignore"):  # where a solver came to its reduced tolerance
            found = list(compared(case, diagonal, 6, seed=7, executor="native"))
        assert not any(differs(*pair) for pair in found), found
        assert max(distance for distance, _ in found) > 0, "a solver that agrees to the last bit is not independent"


@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("executor", ["reference", "native"])
def test_cardinality_is_the_best_of_all_choices(diagonal: bool, executor: str) -> None:
    for v, step, _ in points(60, seed=3):
        step = step if diagonal else np.ones_like(step)
        ours = Projection(ct.Cardinality(4), diagonal)(v, step, {"count": 4.0}, executor)["w"]
        np.testing.assert_array_equal(ours, by_trying_all(v, step, 4))


def frames(rows: int, columns: int, count: int) -> np.ndarray:
    """So many matrices with orthonormal columns: in the plane all angles, turned and mirrored; else at random."""
    if (rows, columns) == (2, 2):
        t = np.linspace(0.0, 2.0 * np.pi, count // 2, endpoint=False)
        turned = np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]]).transpose(2, 0, 1)
        return np.concatenate([turned, turned * np.array([1.0, -1.0])])
    rng = np.random.default_rng(0)
    signs = rng.choice([-1.0, 1.0], size=(count, 1, columns))  # LAPACK chooses them in its own way
    return np.linalg.qr(rng.normal(size=(count, rows, columns)))[0] * signs


@pytest.mark.parametrize("executor", ["reference", "native"])
@pytest.mark.parametrize("shape", [(2, 2), (3, 1), (3, 2), (3, 3)], ids=str)
def test_orthogonal_columns_are_the_nearest_of_all(shape: tuple[int, int], executor: str) -> None:
    """Brute force: of 20,000 matrices with orthonormal columns none is nearer, and the best of them is near."""
    tried = frames(*shape, 20_000)
    project = Projection(ct.OrthogonalColumns(), False, shape)
    for seed in range(40):
        v = np.random.default_rng(seed).normal(size=shape) * 10.0 ** (seed % 5 - 2)
        ours = np.asarray(project(v, np.ones(shape), {}, executor)["w"])
        np.testing.assert_allclose(ours.T @ ours, np.eye(shape[1]), atol=1e-14)
        away = np.sum(np.square(tried - v), axis=(1, 2))
        mine = np.sum(np.square(ours - v))
        assert mine <= away.min() * (1 + 1e-12)
        best = tried[np.argmin(away)]
        assert np.linalg.norm(best - ours) < (1e-3 if shape == (2, 2) else 0.5), "an independent search comes near"


def test_the_normals_of_orthogonal_columns_and_of_what_is_no_point_of_theirs() -> None:
    chosen = ct.OrthogonalColumns().covering({"w": None})
    rng = np.random.default_rng(2)
    v = rng.normal(size=(5, 3))
    w = chosen.project({"w": v})[0]
    assert chosen.normal_cone_residual(w, {"w": v - w["w"]}) <= 1e-13 * np.linalg.norm(v)
    d = rng.normal(size=(5, 3))
    tangent = d - chosen.normal_cone(w, {"w": d}).nearest["w"]
    np.testing.assert_allclose(
        w["w"].T @ tangent + tangent.T @ w["w"], 0.0, atol=1e-14
    )  # (W + tT)ᵀ(W + tT) = I + O(t²)
    assert chosen.distance({"w": v}) == pytest.approx(np.linalg.norm(v - w["w"]))
    singular = np.array([[1.0, 1.0], [1.0, 1.0], [0.0, 0.0]])  # of rank 1: several are equally near, one is given
    kept = chosen.project({"w": singular})[0]["w"]
    np.testing.assert_allclose(kept.T @ kept, np.eye(2), atol=1e-14)
    zero = chosen.project({"w": np.zeros((3, 2))})[0]["w"]
    np.testing.assert_allclose(zero.T @ zero, np.eye(2), atol=1e-14)
    with pytest.raises(TrainingError, match=r"of 3 columns in a space of 2 no more than 2 are at right angles"):
        chosen.project({"w": np.ones((2, 3))})


def test_cardinality_of_each_unit_and_across_layers() -> None:
    w = {"a": np.array([[3.0, 0.1], [2.0, 5.0], [1.0, 4.0]]), "b": np.array([[10.0], [0.5]])}
    each, _ = ct.Cardinality(1, per="unit", parameters="all").covering(dict.fromkeys(w)).project(w)
    assert each["a"].tolist() == [[3, 0], [0, 5], [0, 0]]
    assert each["b"].tolist() == [[10], [0]]
    both, _ = ct.Cardinality(2, parameters="all").covering(dict.fromkeys(w)).project(w)
    assert both["a"].tolist() == [[0, 0], [0, 5], [0, 0]]
    assert both["b"].tolist() == [[10], [0]]


def test_one_ball_over_several_parameters_and_one_for_each_layer() -> None:
    w = {"hidden1.weight": np.array([[3.0], [0.0]]), "output.weight": np.array([[4.0]])}
    one, _ = ct.L2Ball(1.0, parameters="all").covering(dict.fromkeys(w)).project(w)
    np.testing.assert_allclose(one["hidden1.weight"], [[0.6], [0.0]], rtol=1e-14)
    np.testing.assert_allclose(one["output.weight"], [[0.8]], rtol=1e-14)
    each, _ = ct.L2Ball(1.0, parameters="all", per="layer").covering(dict.fromkeys(w)).project(w)
    np.testing.assert_allclose(each["hidden1.weight"], [[1.0], [0.0]], rtol=1e-14)
    np.testing.assert_allclose(each["output.weight"], [[1.0]], rtol=1e-14)


def test_an_element_that_the_step_does_not_move_gives_way_last() -> None:
    """A factor of 0 on a learning rate: the others must keep the limit, as far as they can."""
    w = {"w": np.array([3.0, 4.0])}
    metric = Metric("diagonal", {"w": np.array([0.1, 0.0])})
    nearest, converged = ct.L2Ball(4.5).covering({"w": None}).project(w, metric)
    assert converged
    np.testing.assert_allclose(nearest["w"], [np.sqrt(4.5**2 - 16), 4.0], rtol=1e-12)


def test_matrix_sets_say_why_they_refuse_a_diagonal_metric() -> None:
    metric = Metric("diagonal", {"w": np.ones(SHAPE)})
    for chosen in (ct.SpectralBall(1.0), ct.NuclearBall(1.0), ct.OrthogonalColumns()):
        with pytest.raises(TrainingError, match=r"singular values, which belong to a step of the same size.*SGD"):
            chosen.covering({"w": None}).project({"w": np.ones(SHAPE)}, metric)


def test_trap_10_a_spectral_ball_leaves_smaller_singular_values_alone() -> None:
    w = np.diag([0.5, 0.25, 0.1])
    kept, _ = ct.SpectralBall(1.0).covering({"w": None}).project({"w": w})
    assert kept["w"].tobytes() == w.tobytes(), "σ₁ ≤ 1 is asked for, not σ₁ = 1"
    cut, _ = ct.SpectralBall(0.3).covering({"w": None}).project({"w": w})
    np.testing.assert_allclose(np.linalg.svd(cut["w"], compute_uv=False), [0.3, 0.25, 0.1], rtol=1e-13)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ct.L2Ball(0), "L2Ball: radius is 0; it must be a number greater than 0"),
        (lambda: ct.L1Ball(float("inf")), "L1Ball: radius is inf"),
        (lambda: ct.LInfBall(1.0, per="unity"), "per is 'unity'; it is one of network, layer, unit, input"),
        (lambda: ct.Box(), "give low, high or both"),
        (lambda: ct.Box(2.0, 1.0), "low is 2, more than high, 1"),
        (lambda: ct.Cardinality(2.5), "it must be a whole number"),
        (lambda: ct.GroupL2Ball(1.0, "row"), "groups is 'row'; it is 'input' or 'unit'"),
        (lambda: ct.Intersection(ct.L2Ball(1.0)), "Intersection takes two sets or more"),
        (lambda: ct.L2Ball(1.0, parameters=[]), r"parameters is \[\]"),
        (lambda: ct.L2Ball(1.0).project({"w": np.ones(2)}), "has not been told which parameters there are"),
    ],
)
def test_what_is_refused(make: Any, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        make()


@pytest.mark.parametrize(
    ("name", "diagonal"), [(n, False) for n in SETS if n not in ("NonNegative", "Cardinality", "Intersection")]
)
def test_support_is_reached_and_not_exceeded(name: str, diagonal: bool) -> None:
    """σ(g) ≥ ⟨g, w⟩ for every point of the set, and the nearest point to v + t·g comes near to it for a large t."""
    rng = np.random.default_rng(0)
    chosen = SETS[name](1.3).covering({"w": None})
    for _ in range(20):
        g = rng.normal(size=SHAPE)
        most = chosen.support({"w": g})
        for t in (0.0, 1.0, 1e6):
            w = chosen.project({"w": rng.normal(size=SHAPE) + t * g})[0]["w"]
            assert np.sum(w * g) <= most * (1 + 1e-12) + 1e-12
        assert np.sum(w * g) == pytest.approx(most, rel=1e-4)


@pytest.mark.parametrize("name", [n for n in SETS if n not in (*NOT_CONVEX, "Intersection")])
def test_what_was_cut_off_is_a_normal_of_the_set(name: str) -> None:
    """v − Π(v) ∈ N(Π(v)); of another direction, the nearest normal is found."""
    rng = np.random.default_rng(1)
    chosen = SETS[name](0.9).covering({"w": None})
    for _ in range(20):
        v = rng.normal(size=SHAPE)
        w = chosen.project({"w": v})[0]
        cut = {"w": v - w["w"]}
        cone = chosen.normal_cone(w, cut)
        assert chosen.normal_cone_residual(w, cut) <= 1e-6 * np.linalg.norm(v)
        if name != "Simplex":
            assert all(m >= 0 for m in cone.multipliers.values())
            assert sum(cone.multipliers.values()) > 0
            assert chosen.normal_cone_residual(w, {"w": -cut["w"]}) > 0.3 * np.linalg.norm(cut["w"])
        d = {"w": rng.normal(size=SHAPE)}
        n = chosen.normal_cone(w, d).nearest
        if name not in ("Box", "NonNegative"):  # whose support may be infinite by rounding
            assert chosen.support(n) <= np.sum(n["w"] * w["w"]) + 1e-6 * np.linalg.norm(n["w"])  # it is a normal,
        assert np.sum((d["w"] - n["w"]) * n["w"]) == pytest.approx(0, abs=1e-6)  # and the nearest of a cone
    assert chosen.distance(w) == 0.0
    assert chosen.distance({"w": v}) == pytest.approx(np.linalg.norm(cut["w"]), rel=1e-9)
