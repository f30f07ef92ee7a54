"""L-BFGS: its direction against a dense inverse Hessian, its steps against torch's, its end against SciPy's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import TrainingError
from chainrule.execute.quasi_newton import _direction
from chainrule.execute.search import CURVATURE, DECREASE, Point, strong_wolfe
from chainrule.graph import flatten
from chainrule.learn import LBFGS, Every, fit_many

RNG = np.random.default_rng(31)
X = RNG.normal(size=(60, 4))
Y = np.sin(X).sum(axis=1, keepdims=True) + 0.1 * RNG.normal(size=(60, 1))
EXECUTORS = ["reference", "native"]


def network(*more: Any) -> Any:
    return cr.nn.Sequential(cr.nn.Dense(5, "tanh"), *more, cr.nn.Dense(1))


OBJECTIVE = cr.Objective(network(), "squared_error")
FIRST = network().initialize(X)


def fit(optimizer: Any = None, **options: Any) -> Any:
    objective = options.pop("objective", OBJECTIVE)
    return cr.fit(objective, options.pop("data", (X, Y)), optimizer=optimizer or LBFGS(), **{"epochs": 300, **options})


def bits(tree: Any) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in flatten(tree)[0]]


# --- the parts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 5, 12])
def test_the_direction_is_that_of_the_dense_inverse_hessian(count: int) -> None:
    """H ← VᵀHV + ρssᵀ with V = 1 − ρysᵀ, pair after pair, from γ times the identity (Nocedal and Wright, 7.16)."""
    size = 8
    spread = np.diag(RNG.uniform(0.5, 5, size))
    moves = RNG.normal(size=(count, size))
    pairs = [(s, spread @ s) for s in moves]
    s, y = pairs[-1]
    inverse = np.eye(size) * (s @ y) / (y @ y)
    for s, y in pairs:
        rho = 1 / (y @ s)
        v = np.eye(size) - rho * np.outer(y, s)
        inverse = v.T @ inverse @ v + rho * np.outer(s, s)
    gradient = RNG.normal(size=size)
    np.testing.assert_allclose(_direction(gradient, pairs), -inverse @ gradient, rtol=1e-9)
    assert _direction(gradient, []).tolist() == (-gradient).tolist()


LINES: dict[str, Any] = {
    "quadratic": (lambda t: (t - 3.0) ** 2, lambda t: 2 * (t - 3.0)),
    "far": (lambda t: (t / 1000 - 3.0) ** 2, lambda t: 2 * (t / 1000 - 3.0) / 1000),
    "near": (lambda t: (1000 * t - 3.0) ** 2, lambda t: 2000 * (1000 * t - 3.0)),
    "flat at the end": (lambda t: -t / (t * t + 2), lambda t: (t * t - 2) / (t * t + 2) ** 2),
    "quartic": (lambda t: (t - 1.3) ** 4 - t, lambda t: 4 * (t - 1.3) ** 3 - 1),
    "waves": (lambda t: 0.1 * t * t - np.sin(5 * t), lambda t: 0.2 * t - 5 * np.cos(5 * t)),
    "a wall": (
        lambda t: t - 2 * np.sqrt(t + 0.01) if t < 4 else float("inf"),
        lambda t: 1 - 1 / np.sqrt(t + 0.01) if t < 4 else float("nan"),
    ),
    "a wall of NaN": (lambda t: (t - 0.5) ** 2 if t < 0.6 else float("nan"), lambda t: 2 * (t - 0.5)),
}


@pytest.mark.parametrize("first", [1e-3, 0.1, 1.0, 10.0, 100.0])
@pytest.mark.parametrize("name", LINES)
def test_a_point_of_a_line_satisfies_the_strong_wolfe_conditions(name: str, first: float) -> None:
    value, slope = LINES[name]
    looks = 0

    def at(t: float) -> Point:
        nonlocal looks
        looks += 1
        return Point(t, float(value(t)), float(slope(t)))

    start = at(0.0)
    found = strong_wolfe(at, start, first, 40)
    assert looks <= 41
    assert found.value <= start.value + DECREASE * found.t * start.slope
    assert abs(found.slope) <= CURVATURE * abs(start.slope)


def test_where_there_is_no_lower_point_the_beginning_is_returned() -> None:
    start = Point(0.0, 1.0, -1.0)  # a slope that the values do not have, as rounding makes it
    assert strong_wolfe(lambda t: Point(t, 1.0 + t, 1.0), start, 1.0, 25) is start
    assert strong_wolfe(lambda t: Point(t, float("nan"), 1.0), start, 1.0, 25) is start


# --- whole runs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("executor", EXECUTORS)
def test_torch_takes_the_same_steps(executor: str) -> None:
    torch = pytest.importorskip("torch")
    p = {k: torch.tensor(v, requires_grad=True) for k, v in FIRST.items()}
    # in the order of chainrule's vector, so that sums over it are taken alike
    inner = torch.optim.LBFGS(
        [p[k] for k in sorted(p)], max_iter=1, history_size=6, line_search_fn="strong_wolfe", max_eval=25,
        tolerance_grad=0, tolerance_change=0,
    )  # fmt: skip
    x, y = torch.tensor(X), torch.tensor(Y)

    def closure() -> Any:
        inner.zero_grad()
        h = torch.tanh(x @ p["hidden1.weight"] + p["hidden1.bias"])
        loss = ((h @ p["output.weight"] + p["output.bias"] - y) ** 2).sum(dim=1).mean()
        loss.backward()
        return loss

    run = fit(LBFGS(memory=6), epochs=20, executor=executor)
    for step in range(1, 21):
        inner.step(closure)
        for key, value in run.at(step).parameters.items():
            np.testing.assert_allclose(value, p[key].detach().numpy(), rtol=1e-10, atol=1e-10, err_msg=f"step {step}")


@pytest.mark.parametrize("executor", EXECUTORS)
def test_the_minimum_of_a_linear_model_is_the_solution_of_its_equations(executor: str) -> None:
    objective = cr.Objective(cr.nn.Dense(1), "squared_error")
    run = fit(LBFGS(tolerance=1e-11), objective=objective, executor=executor)
    exact, *_ = np.linalg.lstsq(np.c_[X, np.ones(len(X))], Y, rcond=None)
    assert run.status == "converged"
    np.testing.assert_allclose(run.parameters["weight"], exact[:4], rtol=1e-9)
    np.testing.assert_allclose(run.parameters["bias"], exact[4], rtol=1e-9)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_network_comes_to_a_point_without_a_gradient(executor: str) -> None:
    from scipy.optimize import minimize

    run = fit(LBFGS(tolerance=1e-5), epochs=2000, executor=executor)
    assert run.status == "converged"
    assert "no element of the gradient is over" in run.message
    loss, gradient = cr.value_and_grad(OBJECTIVE)(run.parameters, (X, Y))
    assert max(np.max(np.abs(g)) for g in gradient.values()) <= 1.01e-5
    assert loss < 0.5 * run.history[0]["loss"]

    leaves, structure = flatten(run.at(0).parameters)

    def f(flat: np.ndarray) -> Any:
        parts = np.split(flat, np.cumsum([leaf.size for leaf in leaves])[:-1])
        from chainrule.graph import unflatten

        p = unflatten(structure, [v.reshape(leaf.shape) for v, leaf in zip(parts, leaves, strict=True)])
        value, g = cr.value_and_grad(OBJECTIVE)(p, (X, Y))
        return float(value), np.concatenate([np.ravel(v) for v in flatten(g)[0]])

    peer = minimize(f, np.concatenate([np.ravel(leaf) for leaf in leaves]), jac=True, method="L-BFGS-B",
                    options={"maxiter": 5000, "maxfun": 10000, "ftol": 0, "gtol": 1e-5})  # fmt: skip
    assert loss <= peer.fun * 1.2 + 1e-3, "another valley may be a little deeper, no more"


def test_history_replay_callbacks_and_validation() -> None:
    seen: list[Any] = []
    run = fit(
        epochs=30, validation=(X[:20], Y[:20]), callbacks=[lambda t: seen.append((t.step, t.epoch, t.learning_rate)),
        Every(7, lambda t: None)], settings={"tolerance": 1e-9},
    )  # fmt: skip
    assert seen == [(k, k, None) for k in range(1, 31)]
    assert len(run.history) == run.steps == 30
    losses = [entry["loss"] for entry in run.history]
    assert losses == sorted(losses, reverse=True), "every step goes down"
    for step in (0, 1, 12, 29):
        value = OBJECTIVE(run.at(step).parameters, (X, Y))
        assert losses[step] == pytest.approx(float(value), rel=1e-12)
    assert all(entry["learning_rate"] > 0 and entry["validation_loss"] > 0 for entry in run.history)
    run.snapshots[1:] = []
    assert bits(run.at(30).parameters) == bits(run.parameters)
    assert bits(fit(epochs=30, settings={"tolerance": 1e-9}).parameters) == bits(run.parameters), (
        "slices change nothing"
    )
    assert run.settings_at(3) == {"tolerance": 1e-9}


@pytest.mark.parametrize("executor", EXECUTORS)
def test_frozen_parameters_tiles_and_single_precision(executor: str) -> None:
    run = fit(frozen=["hidden1.*"], executor=executor)
    assert run.status == "converged"
    assert bits(run.parameters["hidden1.weight"]) == bits(run.at(0).parameters["hidden1.weight"])
    h = np.tanh(X @ run.parameters["hidden1.weight"] + run.parameters["hidden1.bias"])
    exact, *_ = np.linalg.lstsq(np.c_[h, np.ones(len(h))], Y, rcond=None)
    np.testing.assert_allclose(run.parameters["output.weight"], exact[:5], rtol=1e-3)
    tiled = fit(epochs=10, tile_rows=7, executor=executor)
    for key, value in fit(epochs=10, executor=executor).parameters.items():
        np.testing.assert_allclose(tiled.parameters[key], value, rtol=1e-6)
    single = fit(LBFGS(tolerance=0.0), data=(X.astype("f4"), Y.astype("f4")), epochs=3000, executor=executor)
    assert single.status == "stuck"
    assert "as near as the precision of its numbers allows" in single.message
    assert single.parameters["output.weight"].dtype == np.float32
    assert single.history[-1]["loss"] < single.history[0]["loss"]


@pytest.mark.parametrize("executor", EXECUTORS)
def test_running_statistics_go_along(executor: str) -> None:
    run = fit(objective=cr.Objective(network(cr.nn.BatchNorm()), "squared_error"), epochs=80, executor=executor)
    p = run.parameters
    h = np.tanh(X @ p["hidden1.weight"] + p["hidden1.bias"])
    np.testing.assert_allclose(run.state["norm1.mean"], h.mean(axis=0), atol=0.05)
    assert run.history[-1]["loss"] < run.history[0]["loss"]


def test_penalties_are_part_of_what_is_made_small() -> None:
    class Ridge:
        def settings(self) -> dict[str, float]:
            return {"lambda": 0.5}

        def value(self, parameters: Any, settings: Mapping[str, Any]) -> Any:
            return settings["lambda"] * np.sum(parameters["weight"] * parameters["weight"])

    objective = cr.Objective(cr.nn.Dense(1, bias=False), "squared_error", penalty=[Ridge()])
    run = fit(LBFGS(tolerance=1e-11), objective=objective)
    exact = np.linalg.solve(X.T @ X / 60 + 0.5 * np.eye(4), X.T @ Y / 60)
    np.testing.assert_allclose(run.parameters["weight"], exact, rtol=1e-9)

    def heavier(t: Any) -> None:
        if t.step == 3:
            t.change("penalty1.lambda", 2.0)

    run = fit(LBFGS(tolerance=1e-11), objective=objective, callbacks=[heavier])
    exact = np.linalg.solve(X.T @ X / 60 + 2.0 * np.eye(4), X.T @ Y / 60)
    np.testing.assert_allclose(run.parameters["weight"], exact, rtol=1e-9)
    assert run.status == "converged"


def test_fit_many_and_checkpoints(tmp_path: Any) -> None:
    runs = fit_many(OBJECTIVE, (X, Y), [{"seed": 0}, {"seed": 1, "tolerance": 1e-2}], optimizer=LBFGS(), epochs=40)
    assert bits(runs[0].parameters) == bits(fit(epochs=40).parameters)
    assert runs[1].status == "converged"
    whole = fit(epochs=40)

    class Killed(BaseException):
        pass

    def kill(t: Any) -> None:
        if t.step == 17:
            raise Killed

    for callback in (kill, lambda t: None):
        try:
            run = fit(epochs=40, callbacks=[callback], checkpoint=tmp_path, checkpoint_every=0.0, resume=True)
        except Killed:
            continue
    assert bits(run.parameters) == bits(whole.parameters)
    assert run.history == whole.history


def test_a_loss_that_is_not_finite_at_the_beginning() -> None:
    objective = cr.Objective(lambda p, x: np.log(x @ p["w"]), "squared_error")
    run = cr.fit(objective, (np.ones((4, 2)), np.ones((4, 1))), optimizer=LBFGS(), parameters={"w": -np.ones((2, 1))})
    assert run.status == "non-finite"
    assert run.steps == 0
    assert run.message.endswith("log in the loss gave NaN)")


class Box:
    def settings(self) -> dict[str, float]:
        return {}

    def project(self, parameters: Any, metric: Any, settings: Any) -> Any:
        return parameters, True

    def __str__(self) -> str:
        return "a box"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 16}, "it looks at all rows: batch_size='all'"),
        ({"objective": cr.Objective(network(), "squared_error", subject_to=[Box()])}, "a box cannot be kept by LBFGS"),
        ({"objective": cr.Objective(network(cr.nn.Dropout(0.1)), "squared_error")}, "the network draws random numbers"),
        ({"settings": {"tolerance": cr.learn.Cosine(0.1)}}, "'tolerance' has a schedule"),
        ({"average": 0.9}, "LBFGS comes to a point"),
        (
            {"rate_factors": {"*.bias": 0.1}},
            "LBFGS has no learning rate, so that of hidden1.bias, output.bias can have",
        ),
        ({"optimizer": LBFGS(memory=3), "decay_factors": {"*": 0.1}}, "decay_factors: LBFGS has no weight decay"),
    ],
)
def test_what_cannot_be_is_said(options: Any, message: str) -> None:
    with pytest.raises(TrainingError) as error:
        fit(**options)
    assert message in str(error.value)


def test_numbers_out_of_range_and_a_step_of_its_own_are_refused() -> None:
    for make, message in (
        (lambda: LBFGS(memory=0), "LBFGS: memory is 0; it must be a whole number of at least 1"),
        (lambda: LBFGS(tolerance=-1.0), "LBFGS: tolerance is -1.0"),
    ):
        with pytest.raises(TrainingError, match=message):
            make()
    state = LBFGS().init(FIRST)
    with pytest.raises(TrainingError, match=r"right:  cr.fit\(objective, data, optimizer=cr.learn.LBFGS\(\)\)"):
        LBFGS().step(FIRST, FIRST, state)
    with pytest.raises(TrainingError, match="LBFGS searches along a line: its step is no update of one gradient"):
        cr.explain(OBJECTIVE, (X, Y), of="output.bias[0]", parameters=FIRST, optimizer=LBFGS())
    run = fit(epochs=5)
    d = cr.explain(run, of="output.bias[0]", step=2)
    _, gradient = cr.value_and_grad(OBJECTIVE)(run.at(2).parameters, (X, Y))
    assert d.value == pytest.approx(float(gradient["output.bias"][0]), rel=1e-10)
    assert d.update is None


@pytest.mark.parametrize("executor", ["reference", "native"])
def test_columns_of_very_different_sizes(executor: str) -> None:
    """The search ends where it is stuck, says that the columns should be scaled, and NumPy says nothing (an error)."""
    x = np.random.default_rng(0).normal(size=(40, 3)) * [1e-6, 1.0, 1e9]
    y = x @ [1e6, 1.0, 1e-9]
    for scale, advice in ((1.0, True), (np.array([1e6, 1.0, 1e-9]), False)):
        run = cr.fit(
            cr.Objective(cr.nn.Dense(1), "squared_error"), ((x * scale).astype("f4"), y.astype("f4")),
            optimizer=cr.learn.LBFGS(tolerance=0.0), executor=executor,
        )  # fmt: skip
        assert run.status == "stuck"
        assert ("the columns of X are of very different sizes" in run.message) == advice


@pytest.mark.parametrize("executor", ["reference", "native"])
def test_numbers_that_overflow_along_the_line_raise_no_warning(executor: str) -> None:
    x = np.random.default_rng(0).normal(size=(20, 2)) * [1.0, 1e80]
    run = cr.fit(
        cr.Objective(lambda w, x: x @ w, "squared_error"), (x, np.full((20, 1), 1e70)), parameters=np.ones((2, 1)),
        optimizer=cr.learn.LBFGS(), executor=executor,
    )  # fmt: skip
    assert run.status == "stuck"
    assert "the columns of X are of very different sizes" in run.message
