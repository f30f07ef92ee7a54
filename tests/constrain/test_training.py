"""Penalties and sets in training: what is covered, in which metric, on both executors, with all else that fits."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import constrain as ct
from chainrule.errors import TrainingError
from chainrule.graph import flatten
from chainrule.learn import Metric

RNG = np.random.default_rng(0)
X = RNG.normal(size=(48, 5))
Y = np.sin(X[:, :1]) + 0.5 * X[:, 1:2] * X[:, 2:3]


def network() -> Any:
    return cr.nn.Sequential(cr.nn.Dense(6, activation="tanh"), cr.nn.Dense(1))


def fit(subject_to: Any = (), penalty: Any = (), net: Any = None, **options: Any) -> Any:
    objective = cr.Objective(net or network(), "squared_error", penalty=penalty, subject_to=subject_to)
    chosen: dict[str, Any] = {"optimizer": cr.learn.Adam(0.05), "epochs": 15, "batch_size": 16} | options
    return cr.fit(objective, (X, Y), **chosen)


def bits(tree: Any) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in flatten(tree)[0]]


def weights(run: Any) -> list[np.ndarray]:
    return [v for k, v in run.parameters.items() if k.endswith("weight")]


SETS = [
    ct.L2Ball(1.0), ct.L2Ball(0.5, per="layer"), ct.MaxNorm(0.4), ct.L1Ball(2.0), ct.LInfBall(0.2), ct.GroupL2Ball(2.0),
    ct.Box(-0.1, 0.3), ct.NonNegative(), ct.Simplex(2.0), ct.Cardinality(7), ct.L2Ball(1.0) & ct.NonNegative(),
]  # fmt: skip
OPTIMIZERS = [cr.learn.SGD(0.05), cr.learn.SGD(0.02, momentum=0.9), cr.learn.Adam(0.05), cr.learn.RMSprop(0.01)]


@pytest.mark.parametrize("limit", SETS, ids=str)
def test_training_stays_inside_on_both_executors(limit: Any) -> None:
    for optimizer in OPTIMIZERS:
        runs = [fit([limit], optimizer=optimizer, executor=e) for e in ("native", "reference")]
        for run in runs:
            assert run.status == "done", run.message
            assert run.unconverged == 0
            trained = {k: run.parameters[k] for k in run.parameters}
            for chosen in run.objective.subject_to:
                assert chosen.distance(trained) <= 1e-12
        if not isinstance(limit, ct.Cardinality):  # whose choice between nearly equal numbers is one of rounding
            for a, b in zip(weights(runs[0]), weights(runs[1]), strict=True):
                np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "limit", [ct.SpectralBall(0.5), ct.NuclearBall(1.0), ct.OrthogonalColumns(parameters=["output.weight"])], ids=str
)
def test_matrix_sets_train_by_gradient_descent_and_refuse_adam(limit: Any) -> None:
    for executor in ("native", "reference"):
        run = fit([limit], optimizer=cr.learn.SGD(0.05), executor=executor)
        assert run.objective.subject_to[0].distance(run.parameters) <= 1e-12
    with pytest.raises(TrainingError, match=r"singular values.*metric of Adam"):
        fit([limit])


def test_orthogonal_columns_in_training_are_never_called_more_than_kkt() -> None:
    """Of a linear network too, declared convex or not: the set is not convex."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(80, 5))
    truth = np.linalg.qr(rng.normal(size=(5, 3)))[0]
    y = x @ truth + 0.3 * rng.normal(size=(80, 3))
    objective = cr.Objective(cr.nn.Dense(3, bias=False), "half_squared_error", subject_to=[ct.OrthogonalColumns()])
    assert "WᵀW = I, each weight W (not convex)" in str(objective)
    options: dict[str, Any] = {"optimizer": cr.learn.SGD(0.3), "batch_size": "all"}
    for executor in ("native", "reference"):
        run = cr.fit(objective, (x, y), epochs=400, executor=executor, **options)
        w = run.parameters["weight"]
        np.testing.assert_allclose(w.T @ w, np.eye(3), atol=1e-14)
        for declared in (False, True):
            found = cr.optimality(run, convex=declared)
            assert found.level == "ε-KKT", found
            assert "OrthogonalColumns() is not convex" in str(found)
        # the orthogonal Procrustes problem has this answer where the inputs are white; here the point is its own proof:
        # no small turn W·exp(tA), nor one into the other two dimensions, lowers F
        value = found.value
        for _ in range(20):
            nearby = np.linalg.qr(w + 1e-3 * rng.normal(size=w.shape))[0]
            nearby *= np.sign(np.sum(nearby * w, axis=0))
            assert 0.5 * np.mean(np.sum(np.square(x @ nearby - y), axis=1)) >= value
    early = cr.optimality(cr.fit(objective, (x, y), epochs=1, **options))
    assert early.level == "feasible"
    with pytest.raises(TrainingError, match=r"singular values.*metric of Adam"):
        cr.fit(objective, (x, y), optimizer=cr.learn.Adam(0.1))
    wide = cr.Objective(cr.nn.Dense(9), "squared_error", subject_to=[ct.OrthogonalColumns()])
    with pytest.raises(TrainingError, match=r"weight has the shape \[5, 9\]"):
        cr.fit(wide, (x, rng.normal(size=(80, 9))), optimizer=cr.learn.SGD(0.1))


@pytest.mark.parametrize("optimizer", OPTIMIZERS[:3], ids=str)
def test_a_limit_that_does_not_bind_changes_no_bit(optimizer: Any) -> None:
    free = fit(optimizer=optimizer)
    for limit in (ct.L2Ball(1e3), ct.L1Ball(1e3), ct.LInfBall(1e3), ct.MaxNorm(1e3), ct.GroupL2Ball(1e3)):
        assert bits(fit([limit], optimizer=optimizer).parameters) == bits(free.parameters), limit


def test_the_radius_is_a_setting_and_a_new_one_needs_no_new_program() -> None:
    run = fit([ct.L2Ball(1.0)])
    loop = run.snapshots[0].snapshot()
    numbers = {**run.arrays, "set1.radius": np.asarray(0.3)}
    run.executor.advance(run.program, run.plan, loop, numbers, run.training, None)
    own = fit([ct.L2Ball(0.3)])
    assert bits(loop.carry["parameters"]) == bits(own.parameters)
    given = fit([ct.L2Ball(1.0)], settings={"set1.radius": 0.3})
    assert bits(given.parameters) == bits(own.parameters)


def test_what_is_covered_by_default() -> None:
    """Weights of sums; not biases, gains, shifts, embeddings, frequencies; tied ones once."""
    net = cr.nn.Sequential(
        cr.nn.Concatenate(
            cr.nn.Columns([0], cr.nn.Embedding(4, 2)), cr.nn.Columns([1, 2], cr.nn.Periodic(3, 2)),
            cr.nn.Columns([3], cr.nn.Scale()),
        ),
        cr.nn.Dense(5, activation=cr.nn.PReLU()), cr.nn.LayerNorm(), cr.nn.Dense(5, name="copy"),
        cr.nn.Dense(5), cr.nn.Dense(1),
        tie={"hidden3.weight": "copy.weight.T"},
    )  # fmt: skip
    chosen = cr.Objective(net, "squared_error", subject_to=[ct.L2Ball(1.0)]).on(np.zeros((1, 4))).subject_to[0]
    assert all(name.endswith("weight") for name in chosen.covered)
    assert not [name for name in chosen.covered if "embedding" in name]
    assert {"hidden1.weight", "copy.weight", "output.weight"} <= set(chosen.covered)
    assert "hidden3.weight" not in chosen.covered


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ("weights", ["hidden1.weight", "output.weight"]),
        ("biases", ["hidden1.bias", "output.bias"]),
        ("all", ["hidden1.weight", "hidden1.bias", "output.weight", "output.bias"]),
        (["output.*"], ["output.weight", "output.bias"]),
        ("hidden1.weight", ["hidden1.weight"]),
    ],
)
def test_the_choice_of_parameters(wanted: Any, names: list[str]) -> None:
    chosen = cr.Objective(network(), "squared_error", subject_to=[ct.L2Ball(1.0, parameters=wanted)]).on(X)
    assert list(chosen.subject_to[0].covered) == names
    run = fit([ct.L2Ball(0.1, parameters=wanted)])
    assert np.sqrt(sum(np.sum(run.parameters[n] ** 2) for n in names)) <= 0.1
    others = [v for k, v in run.parameters.items() if k not in names]
    assert not others or np.sqrt(sum(np.sum(v**2) for v in others)) > 0.1


def test_frozen_parameters_are_not_covered_and_stay() -> None:
    start = network().initialize(X, seed=0)
    run = fit([ct.L2Ball(0.1)], frozen=["hidden1.*"])
    assert run.objective.subject_to[0].covered == ("output.weight",)
    assert "frozen, so not covered: hidden1.weight" in str(run.objective)
    assert run.parameters["hidden1.weight"].tobytes() == start["hidden1.weight"].tobytes()
    assert np.linalg.norm(run.parameters["output.weight"]) <= 0.1
    with pytest.raises(TrainingError, match="all that it covers is frozen"):
        fit([ct.L2Ball(0.1, parameters=["hidden1.weight"])], frozen=["hidden1.*"])


def test_the_objective_of_a_run_knows_what_was_frozen() -> None:
    run = fit(penalty=[0.1 * ct.SquaredL2()], frozen=["hidden1.*"])
    plain = float(cr.Objective(network(), "squared_error")(run.parameters, (X, Y)))
    by_hand = plain + 0.1 * np.sum(run.parameters["output.weight"] ** 2)
    assert float(run.objective(run.parameters, (X, Y))) == pytest.approx(by_hand, rel=1e-12)


def test_tied_weights_are_covered_once() -> None:
    net = cr.nn.Sequential(
        cr.nn.Dense(5, activation="tanh"), cr.nn.Dense(5, activation="tanh"), cr.nn.Dense(1),
        tie={"hidden2.weight": "hidden1.weight.T"},
    )  # fmt: skip
    run = fit([ct.L2Ball(0.7)], net=net)
    assert np.sqrt(sum(np.sum(w * w) for w in weights(run))) == pytest.approx(0.7)
    assert run.objective.subject_to[0].covered == ("hidden1.weight", "output.weight")


def test_learning_rates_of_their_own_are_part_of_the_metric() -> None:
    """A factor of 3 on one parameter makes SGD's metric diagonal; the step is the projection in that."""
    factors = {"output.weight": 3.0}
    run = fit([ct.L2Ball(0.8)], optimizer=cr.learn.SGD(0.1), rate_factors=factors, batch_size="all", epochs=4)
    ball = run.objective.subject_to[0]
    objective = cr.Objective(network(), "squared_error")
    w = run.at(0).parameters
    for step in range(4):
        gradient = cr.grad(objective)(w, (X, Y))
        rates = {k: np.full_like(v, 0.1 * factors.get(k, 1.0)) for k, v in w.items()}
        moved = {k: w[k] - rates[k] * gradient[k] for k in w}
        w, _ = ball.project(moved, Metric("diagonal", rates))
        for name, value in run.at(step + 1).parameters.items():
            np.testing.assert_allclose(value, w[name], rtol=0, atol=1e-12)


@pytest.mark.parametrize("optimizer", [cr.learn.Lion(0.01), cr.learn.ClipNorm(cr.learn.Lion(0.01), 1.0)], ids=str)
def test_an_unknown_metric_is_refused(optimizer: Any) -> None:
    with pytest.raises(TrainingError, match=r"L2Ball\(1\) cannot be kept by projection: this optimizer does not say"):
        fit([ct.L2Ball(1.0)], optimizer=optimizer)
    with pytest.raises(TrainingError, match=r"0.1 \* L1\(\) is not smooth and needs a proximal step"):
        fit(penalty=[0.1 * ct.L1()], optimizer=optimizer)
    fit(penalty=[0.1 * ct.SquaredL2()], optimizer=optimizer, epochs=1)


def test_clipping_keeps_the_metric_of_the_optimizer_within() -> None:
    run = fit([ct.L2Ball(0.5)], optimizer=cr.learn.ClipNorm(cr.learn.Adam(0.05), 0.1))
    assert run.objective.subject_to[0].distance(run.parameters) == 0


def test_sets_over_the_same_parameters_are_met_at_once() -> None:
    """One after the other is not the nearest point of both: Dykstra's is."""
    w = {"w": np.array([2.0, 1.0, -1.0])}
    ball, simplex = (s.covering({"w": None}) for s in (ct.L2Ball(0.8), ct.Simplex(1.0)))
    both = ct.Intersection(ball, simplex)
    nearest, converged = both.project(w)
    assert converged
    turned = simplex.project(ball.project(w)[0])[0]["w"]
    assert np.linalg.norm(nearest["w"] - w["w"]) < np.linalg.norm(turned - w["w"]) + 1e-9
    assert np.sum(nearest["w"]) == pytest.approx(1)
    run = fit([ct.L2Ball(0.8), ct.NonNegative()])
    together = fit([ct.L2Ball(0.8) & ct.NonNegative()])
    assert bits(run.parameters) == bits(together.parameters)


def test_a_penalty_s_value_gradient_and_proximal_point() -> None:
    w = {"w": RNG.normal(size=(4, 3))}
    step = np.abs(RNG.normal(size=(4, 3)))
    cp = pytest.importorskip("cvxpy", reason="CVXPY, which judges proximal points, is not installed")
    for penalty, size in (
        (0.3 * ct.L1(), lambda v: cp.sum(cp.abs(v))),
        (0.8 * ct.GroupL2(), lambda v: sum(cp.norm(v[i, :], 2) for i in range(4))),
        (0.8 * ct.GroupL2(groups="unit"), lambda v: sum(cp.norm(v[:, j], 2) for j in range(3))),
    ):
        chosen = penalty.covering({"w": None})
        for metric, s in ((Metric("diagonal", {"w": step}), step), (Metric("scalar", 0.7), np.full((4, 3), 0.7))):
            ours, converged = chosen.shrink(w, metric, penalty.settings())
            assert converged
            v = cp.Variable((4, 3))
            away = cp.sum_squares(cp.multiply(1 / np.sqrt(2 * s), v - w["w"]))
            with warnings.catch_warnings(action="ignore"):  # where it came to its reduced tolerance
                cp.Problem(cp.Minimize(penalty.strength * size(v) + away)).solve(
                    solver=cp.CLARABEL, tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10
                )
            np.testing.assert_allclose(ours["w"], v.value, rtol=0, atol=1e-5)
        value = float(chosen.value(w))
        assert value == pytest.approx(penalty.strength * float(size(cp.Constant(w["w"])).value), rel=1e-12)


def test_penalties_and_their_numbers() -> None:
    total = 0.01 * (ct.L1() + 2 * ct.SquaredL2(parameters="all"))
    objective = cr.Objective(network(), "squared_error", penalty=[total])
    assert objective.settings() == {"penalty1.lambda": 0.01, "penalty2.lambda": 0.02}
    p = network().initialize(X, seed=1)
    by_hand = 0.01 * sum(np.abs(p[n]).sum() for n in ("hidden1.weight", "output.weight")) + 0.02 * sum(
        np.sum(v * v) for v in p.values()
    )
    plain = cr.Objective(network(), "squared_error")
    assert float(objective(p, (X, Y))) == pytest.approx(float(plain(p, (X, Y))) + by_hand, rel=1e-12)
    assert str(ct.SquaredL2() <= 4.0) == "L2Ball(2)"
    assert str(2 * ct.L1() <= 4.0) == "L1Ball(2)"
    assert str(ct.GroupL2(groups="unit") <= 4.0).startswith("GroupL2Ball(4")
    run = fit(penalty=[total])
    given = fit(
        penalty=[5 * ct.L1() + 3 * ct.SquaredL2(parameters="all")],
        settings={"penalty1.lambda": 0.01, "penalty2.lambda": 0.02},
    )
    assert bits(run.parameters) == bits(given.parameters)


def test_feature_selection_by_groups() -> None:
    """Input columns that say nothing get weights of exactly 0: the others are what is selected."""
    x = np.random.default_rng(5).normal(size=(500, 5))
    objective = cr.Objective(network(), "squared_error", penalty=[0.05 * ct.GroupL2(parameters=["hidden1.weight"])])
    optimizer = cr.learn.Adam(cr.learn.Cosine(0.02))
    y = np.sin(x[:, :1]) + np.tanh(x[:, 1:2] - x[:, 2:3])
    run = cr.fit(objective, (x, y), optimizer=optimizer, epochs=600, batch_size="all")
    used = np.linalg.norm(run.parameters["hidden1.weight"], axis=1) > 0
    assert used.tolist() == [True, True, True, False, False]


@pytest.mark.parametrize("norm", [cr.nn.BatchNorm(), cr.nn.LayerNorm()], ids=str)
def test_trap_6_a_limit_before_a_normalization_is_warned_of(norm: Any) -> None:
    net = cr.nn.Sequential(cr.nn.Dense(6), norm, cr.nn.Lambda("tanh"), cr.nn.Dense(1))
    with pytest.warns(UserWarning, match=r"does not depend on the size of hidden1.weight: a normalization"):
        run = fit([ct.L2Ball(1.0)], net=net)
    assert "a limit or a penalty on it regularizes nothing" in run.message
    with pytest.warns(UserWarning, match="hidden1.weight"):
        fit(penalty=[0.1 * ct.SquaredL2()], net=net, epochs=1)
    fit([ct.L2Ball(1.0, parameters=["output.weight"])], net=net, epochs=1)  # no warning: it limits something


def test_no_warning_without_a_normalization() -> None:
    fit([ct.L2Ball(1.0)], net=cr.nn.Sequential(cr.nn.Dense(6, activation="relu"), cr.nn.Dense(1)), epochs=1)


def plain(parameters: Any, x: Any) -> Any:
    return np.tanh(x @ parameters["first"]["w"] + parameters["first"]["b"]) @ parameters["second"]


def test_a_network_that_is_a_function() -> None:
    start = {"first": {"w": RNG.normal(size=(5, 4)), "b": np.zeros(4)}, "second": RNG.normal(size=(4, 1))}
    limit = ct.L2Ball(0.5, parameters=["first.w", "second"])
    run = fit([limit], net=plain, parameters=start)
    assert np.sqrt(np.sum(run.parameters["first"]["w"] ** 2) + np.sum(run.parameters["second"] ** 2)) <= 0.5
    assert "w: first.w, second" in str(run.objective)
    with pytest.raises(TrainingError, match=r"plain function does not say which of its parameters are weights"):
        fit([ct.L2Ball(0.5)], net=plain, parameters=start)
    single = cr.fit(
        cr.Objective(lambda p, x: x @ p, "squared_error", subject_to=[ct.L2Ball(0.5)]), (X, Y), epochs=3,
        parameters=np.ones((5, 1)),
    )  # fmt: skip
    assert np.linalg.norm(single.parameters) <= 0.5


def test_the_printed_problem() -> None:
    objective = cr.Objective(network(), "squared_error", penalty=[0.01 * ct.SquaredL2()], subject_to=[ct.L2Ball(4.0)])
    text = str(objective)
    assert "minimize over θ:  F(θ) + λ Σ w²" in text
    assert "subject to  ‖w‖² ≤ r², r = 4" in text
    for words in ("ground truth", "prediction", "accumulated loss", "not biases, gains"):
        assert words in text
    exact = str(objective.on(X))
    assert "w: hidden1.weight [5, 6], output.weight [6, 1]; 36 numbers" in exact
    assert "not covered: hidden1.bias, output.bias" in exact


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"subject_to": [ct.L2Ball(1.0, parameters=["hiden1.weight"])]},
            r"covers none of hidden1.weight, hidden1.bias",
        ),
        ({"subject_to": [ct.MaxNorm(1.0, parameters="all")]}, r"needs weights \[in, out\]; hidden1.bias has the shape"),
        ({"penalty": [ct.L2Ball(1.0)]}, r"penalty holds L2Ball.*which has no value"),
        ({"subject_to": [0.1 * ct.L1()]}, r"subject_to holds .*which has no project"),
        ({"subject_to": ct.L2Ball(1.0)}, r"it is a list: subject_to=\[cr.constrain.L2Ball"),
    ],
)
def test_what_is_refused(options: Any, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        fit(**options)


# --- a set of one's own, as the documentation shows it ----------------------------------------------------------------


@dataclass(frozen=True)
class Symmetric:
    """Weights whose columns are pairs of opposite numbers: {w: w[:, 0] = −w[:, 1]}."""

    name: str = "w"

    def settings(self) -> dict[str, float]:
        return {}

    def project(self, parameters: Any, metric: Metric, settings: Mapping[str, Any]) -> tuple[Any, Any]:
        w = parameters[self.name]
        half = 0.5 * (w[:, :1] - w[:, 1:])
        return {**parameters, self.name: np.concatenate([half, -half], axis=1)}, np.asarray(True)


def test_a_set_of_ones_own_is_trained_with_and_its_optimality_is_by_projection() -> None:
    y = np.concatenate([Y, -Y + 0.1], axis=1)
    objective = cr.Objective(lambda p, x: x @ p["w"], "squared_error", subject_to=[Symmetric()])
    run = cr.fit(
        objective, (X, y), optimizer=cr.learn.SGD(0.1), epochs=400, batch_size="all", parameters={"w": np.ones((5, 2))}
    )
    w = run.parameters["w"]
    np.testing.assert_array_equal(w[:, 0], -w[:, 1])
    found = cr.optimality(run)
    assert found.level == "ε-KKT"
    assert found.approximate is not None
    assert "η = " in str(found)
    assert "not known" in str(found)
    early = cr.optimality(cr.fit(objective, (X, y), epochs=1, parameters={"w": np.ones((5, 2))}))
    assert early.level == "feasible"


# --- with the rest of the house ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parts",
    [
        {"subject_to": [ct.L2Ball(0.8)]},
        {"penalty": [0.05 * ct.L1()]},
        {"penalty": [0.05 * ct.L1() + 0.1 * ct.SquaredL2()], "subject_to": [ct.LInfBall(0.3)]},
    ],
    ids=str,
)
@pytest.mark.parametrize("optimizer", [cr.learn.SGD(0.05, momentum=0.9), cr.learn.Adam(0.05)], ids=str)
def test_an_explained_update_is_the_one_that_was_made(parts: Any, optimizer: Any) -> None:
    run = fit(**parts, optimizer=optimizer, executor="reference")
    for step in (0, 5):
        told = cr.explain(run, of="hidden1.weight[1, 2]", step=step)
        after = float(run.at(step + 1).parameters["hidden1.weight"][1, 2])
        assert told.update.after == pytest.approx(after, rel=1e-9, abs=1e-12)
        assert told.update.after - told.update.before == pytest.approx(sum(a for _, a in told.update.parts), abs=1e-12)


def test_an_objective_with_a_penalty_is_explained() -> None:
    objective = cr.Objective(network(), "squared_error", penalty=[0.1 * ct.SquaredL2()])
    start = network().initialize(X, seed=0)
    told = cr.explain(objective, (X, Y), of="hidden1.weight[0, 0]", parameters=start)
    assert dict(told.penalties)["penalty1"] == pytest.approx(0.2 * start["hidden1.weight"][0, 0])


def test_many_radii_at_once_are_those_of_single_runs() -> None:
    objective = cr.Objective(network(), "squared_error", subject_to=[ct.L2Ball(1.0)])
    options: dict[str, Any] = {"optimizer": cr.learn.Adam(0.05), "epochs": 5, "batch_size": 16}
    radii = (0.3, 1.0, 3.0)
    many = cr.learn.fit_many(objective, (X, Y), [{"set1.radius": r} for r in radii], **options)
    for r, run in zip(radii, many, strict=True):
        assert bits(run.parameters) == bits(fit([ct.L2Ball(r)], epochs=5).parameters)
        assert run.settings["set1.radius"] == r


def test_optimality_knows_the_radius_that_was_given_to_the_run() -> None:
    run = fit([ct.L2Ball(1.0)], settings={"set1.radius": 0.3})
    found = cr.optimality(run)
    assert found.primal == {"L2Ball(0.3)": 0.0}, "the number in force"
    assert min(found.multipliers.values()) > 0
    outside = cr.optimality(run.objective, (X, Y), parameters={k: 9 * v for k, v in run.parameters.items()})
    assert outside.level == "infeasible"
    assert "violates" in str(outside)


def test_float32_is_feasible_in_its_own_precision() -> None:
    objective = cr.Objective(network(), "squared_error", subject_to=[ct.L2Ball(0.7), ct.LInfBall(0.3)])
    run = cr.fit(objective, (X.astype(np.float32), Y.astype(np.float32)), epochs=10, optimizer=cr.learn.Adam(0.05))
    assert run.parameters["hidden1.weight"].dtype == np.float32
    w = np.concatenate([v.ravel().astype(np.float64) for v in weights(run)])
    assert np.linalg.norm(w) <= 0.7
    assert np.abs(w).max() <= np.float32(0.3)
    assert cr.optimality(run).level in ("feasible", "ε-KKT")


def test_what_a_method_does_not_read_is_refused() -> None:
    objective = cr.Objective(network(), "squared_error", subject_to=[ct.L2Ball(1.0)])
    method = ct.AcceleratedProjection()
    for option in ({"optimizer": cr.learn.SGD(0.1)}, {"epochs": 3}, {"validation": (X, Y)}, {"batch_size": 8}):
        with pytest.raises(TrainingError, match=f"reads no {next(iter(option))}"):
            cr.fit(objective, (X, Y), method=method, **option)
    dense, one = cr.nn.Dense(3), cr.nn.Dense(1)
    for between, message in ((cr.nn.Dropout(0.5), "draws random numbers"), (cr.nn.BatchNorm(), "batch normalization")):
        other = cr.Objective(cr.nn.Sequential(dense, between, one), "squared_error")
        with pytest.raises(TrainingError, match=message):
            cr.fit(other, (X, Y), method=method)
    with pytest.raises(TrainingError, match="cannot be reached in float32"):
        cr.fit(objective, (X.astype("f4"), Y.astype("f4")), method=method)


def test_a_method_that_did_not_converge_says_so_and_keeps_its_ends() -> None:
    objective = cr.Objective(network(), "squared_error", subject_to=[ct.L2Ball(1.0)])
    run = cr.fit(objective, (X, Y), method=ct.AcceleratedProjection(at_most=7), frozen=["output.bias"])
    assert run.status == "stopped"
    assert "stopped before it converged" in run.message
    assert run.steps == 7
    assert bits(run.at(7).parameters) == bits(run.parameters)
    with pytest.raises(TrainingError, match="step 0 and step 7"):
        run.at(3)
    losses = [entry["loss"] for entry in run.history]
    assert losses == sorted(losses, reverse=True), "the objective falls from step to step"
    assert run.parameters["output.bias"].tolist() == [0.0]
