"""Three contract tests: a training step carries state, draws by keys, and projects, in any tiles and resumed runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import ops
from chainrule.errors import TrainingError
from chainrule.execute import REFERENCE, Loop, gather
from chainrule.graph import flatten, tree_map
from chainrule.learn.fitting import Job, prepare
from chainrule.learn.optimizers import Metric, Optimizer


def bits(tree: Any) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in flatten(tree)[0]]


def draw(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, columns))


def advance(job: Job, loop: Loop, until: int | None = None) -> Loop:
    job.executor.advance(job.program, job.plan, loop, job.arrays, job.training, job.validation, until=until)
    return loop


# --- state: batch normalization ---------------------------------------------------------------------------------------


def norm_objective() -> Any:
    network = cr.nn.Sequential(cr.nn.Dense(3, activation="tanh"), cr.nn.BatchNorm(momentum=0.2), cr.nn.Dense(1))
    return cr.Objective(network, loss="squared_error")


def norm_job(**options: Any) -> Job:
    x = draw(10, 4)
    data = (x, np.sin(x).sum(axis=1, keepdims=True))
    chosen = {"optimizer": cr.learn.SGD(0.05), "epochs": 4, "batch_size": 4, "seed": 3} | options
    return prepare(norm_objective(), data, **chosen)


def norm_by_hand(job: Job, steps: int, rate: float, momentum: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same steps in NumPy: forward, backward by formulas, simultaneous update, running statistics."""
    p = {k: v.copy() for k, v in job.loop.carry["parameters"].items()}
    running = {"norm1.mean": np.zeros(3), "norm1.variance": np.ones(3)}
    step = epoch = 0
    while step < steps:
        order = job.plan.order(epoch)
        epoch += 1
        for at in range(0, len(order), 4):
            if step == steps:
                break
            x, y = job.training["x"][order[at : at + 4]], job.training["y"][order[at : at + 4]]
            n = len(x)
            h = np.tanh(x @ p["hidden1.weight"] + p["hidden1.bias"])
            mean, variance = h.mean(axis=0), h.var(axis=0)
            inverse = 1 / np.sqrt(variance + 1e-5)
            z = (h - mean) * inverse
            a = z * p["norm1.gain"] + p["norm1.shift"]
            out = a @ p["output.weight"] + p["output.bias"]
            d_out = 2 * (out - y) / n
            d_a = d_out @ p["output.weight"].T
            d_z = d_a * p["norm1.gain"]
            d_h = inverse * (d_z - d_z.mean(axis=0) - z * (d_z * z).mean(axis=0))  # Ioffe and Szegedy (2015), section 3
            d_net = d_h * (1 - h * h)
            gradient = {
                "output.weight": a.T @ d_out,
                "output.bias": d_out.sum(axis=0),
                "norm1.gain": (d_a * z).sum(axis=0),
                "norm1.shift": d_a.sum(axis=0),
                "hidden1.weight": x.T @ d_net,
                "hidden1.bias": d_net.sum(axis=0),
            }
            p = {k: v - rate * gradient[k] for k, v in p.items()}
            running = {
                "norm1.mean": (1 - momentum) * running["norm1.mean"] + momentum * mean,
                "norm1.variance": (1 - momentum) * running["norm1.variance"] + momentum * variance,
            }
            step += 1
    return p, running


@pytest.mark.parametrize("steps", [1, 3, 7, 12])
def test_running_statistics_equal_an_independent_computation(steps: int) -> None:
    job = norm_job()
    parameters, running = norm_by_hand(job, steps, rate=0.05, momentum=0.2)
    carry = advance(job, job.loop, until=steps).carry
    assert set(carry["state"]) == {"norm1.mean", "norm1.variance"}
    for name, value in running.items():
        np.testing.assert_allclose(carry["state"][name], value, rtol=1e-12, atol=1e-14)
    for name, value in parameters.items():
        np.testing.assert_allclose(carry["parameters"][name], value, rtol=1e-11, atol=1e-13)


def test_momentum_of_the_running_statistics_is_a_setting() -> None:
    job = norm_job(settings={"norm1.momentum": 0.7})
    _, running = norm_by_hand(job, 5, rate=0.05, momentum=0.7)
    carry = advance(job, job.loop, until=5).carry
    np.testing.assert_allclose(carry["state"]["norm1.mean"], running["norm1.mean"], rtol=1e-12)


def fit_norm(**options: Any) -> Any:
    x = draw(10, 4)
    data = (x, np.sin(x).sum(axis=1, keepdims=True))
    chosen = {"optimizer": cr.learn.SGD(0.05), "epochs": 4, "batch_size": 4, "seed": 3} | options
    return cr.fit(norm_objective(), data, **chosen)


def test_prediction_uses_the_running_statistics() -> None:
    run = fit_norm()
    p, state = run.parameters, run.state
    x = draw(5, 4, seed=1)
    h = np.tanh(x @ p["hidden1.weight"] + p["hidden1.bias"])
    z = (h - state["norm1.mean"]) / np.sqrt(state["norm1.variance"] + 1e-5)
    by_hand = (z * p["norm1.gain"] + p["norm1.shift"]) @ p["output.weight"] + p["output.bias"]
    np.testing.assert_allclose(run.predict(x), by_hand, rtol=1e-12)
    np.testing.assert_allclose(run.objective.network(p, x, state=state), by_hand, rtol=1e-12)
    assert np.max(np.abs(run.objective.network(p, x, state=state, training=True) - by_hand)) > 1e-3


def test_state_is_in_the_run_and_at_every_step() -> None:
    run = fit_norm()
    assert bits(run.state) == bits(run.at(run.steps).state)
    assert run.at(0).state["norm1.variance"].tolist() == [1, 1, 1]
    job = norm_job()
    for step in range(1, run.steps + 1):
        carry = advance(job, job.loop, until=step).carry
        assert bits(run.at(step).state) == bits(carry["state"])


def test_state_resumes() -> None:
    whole = norm_job()
    advance(whole, whole.loop)
    for stop in range(whole.loop.step):
        part = norm_job()
        copy = advance(part, part.loop, until=stop).snapshot()
        assert copy.step == stop
        advance(part, part.loop)  # the loop that was copied goes on; its copy must not notice
        assert bits(advance(part, copy).carry) == bits(whole.loop.carry)
        assert copy.history == whole.loop.history


def test_a_batch_with_batch_statistics_cannot_be_cut_into_tiles() -> None:
    with pytest.raises(TrainingError, match="tile_rows: batch normalization needs the statistics of the whole batch"):
        fit_norm(tile_rows=2)
    fit_norm(tile_rows=4, epochs=1)  # one tile a batch is the whole batch


# --- keys: dropout ----------------------------------------------------------------------------------------------------


def dropout_objective(rate: float = 0.5) -> Any:
    network = cr.nn.Sequential(
        cr.nn.Dense(6, activation="tanh"), cr.nn.Dropout(rate), cr.nn.Dense(5), cr.nn.Dropout(rate), cr.nn.Dense(2)
    )
    return cr.Objective(network, loss="squared_error")


def dropout_job(rows: int = 32, **options: Any) -> Job:
    x = draw(rows, 3)
    chosen = {"optimizer": cr.learn.Adam(0.01), "epochs": 3, "batch_size": 8, "seed": 11} | options
    return prepare(dropout_objective(), (x, np.cos(x[:, :2])), **chosen)


def test_two_equal_dropouts_draw_different_masks() -> None:
    network = cr.nn.Sequential(cr.nn.Dropout(0.5), cr.nn.Dropout(0.5))
    scope = cr.nn.Scope({}, training=True, key=cr.key(0))
    network.forward(scope, np.ones((200, 10)))
    first, both = scope.values["dropout1.out"], scope.values["dropout2.out"]
    alive = first > 0
    second = both[alive] > 0  # where the first let a value through, the second's mask can be seen
    assert 0.4 < second.mean() < 0.6, "an equal mask would be 1, an opposite one 0"
    assert set(np.unique(first)) == {0.0, 2.0}


def test_masks_change_from_step_to_step() -> None:
    """At a learning rate that moves nothing to the eye, the gradients of two steps differ only by their masks."""
    job = dropout_job(batch_size="all")
    sums = []
    for step in range(3):
        clock = {**job.loop.carry["clock"], "step": np.asarray(step, np.uint32)}
        carry = {**job.loop.carry, "clock": clock}
        sums.append(REFERENCE.measure(job.program, carry, job.arrays, gather(job.training, np.arange(32)), None))
    again = REFERENCE.measure(job.program, job.loop.carry, job.arrays, gather(job.training, np.arange(32)), None)
    assert bits(again) == bits(sums[0])
    assert len({float(s["loss"]) for s in sums}) == 3


def mask_job() -> Job:
    """A network whose output is its mask: x is 1, the weight is 1, so that a row's loss is the mask's value."""

    @dataclass(frozen=True)
    class Scale(cr.nn.Layer):
        def parameters(self, x: Any) -> dict[str, Any]:
            return {"gain": cr.nn.Parameter((x.shape[1],), "ones", role="gain")}

        def forward(self, scope: Any, x: Any) -> Any:
            return x * scope["gain"]

    network = cr.nn.Sequential(Scale(), cr.nn.Dropout(0.5))
    objective = cr.Objective(network, loss=lambda target, output: target * output)
    # A value that is kept becomes 2, so row i adds 2^i where it is kept: the sum's binary digits are the mask.
    return prepare(objective, (np.ones((32, 1)), 0.5 * 2.0 ** np.arange(32)), epochs=1, batch_size="all", seed=5)


@pytest.mark.parametrize("tile", [8, 5, 1, 31])
def test_tiles_draw_the_same_masks(tile: int) -> None:
    job = mask_job()
    batch = gather(job.training, np.arange(32))
    whole = REFERENCE.measure(job.program, job.loop.carry, job.arrays, batch, None)
    tiled = REFERENCE.measure(job.program, job.loop.carry, job.arrays, batch, tile)
    assert bits(tiled) == bits(whole)  # sums of powers of two below 2^53 are exact in any order
    mask = int(whole["loss"])
    assert mask == whole["loss"]
    assert 0.2 < mask.bit_count() / 32 < 0.8
    assert whole["gradient"]["scale1.gain"].tolist() == [mask], "the backward pass has the masks of the forward pass"


@pytest.mark.parametrize("tile", [8, 5])
def test_sums_over_tiles_are_the_sums_over_the_batch(tile: int) -> None:
    job = dropout_job(batch_size="all")
    batch = gather(job.training, np.arange(32))
    whole = REFERENCE.measure(job.program, job.loop.carry, job.arrays, batch, None)
    tiled = REFERENCE.measure(job.program, job.loop.carry, job.arrays, batch, tile)
    for a, b in zip(flatten(whole)[0], flatten(tiled)[0], strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-13, atol=1e-14)  # another order of summation: to rounding


def test_a_run_in_tiles_is_the_run_without() -> None:
    runs = []
    for tile in (None, 8, 5):
        job = dropout_job(batch_size="all", epochs=6, tile_rows=tile)
        runs.append(advance(job, job.loop).carry["parameters"])
    for run in runs[1:]:
        for name, value in runs[0].items():
            np.testing.assert_allclose(run[name], value, rtol=1e-9, atol=1e-11)  # Adam divides by √v̂: rounding grows


def test_a_stopped_and_resumed_run_has_the_same_bits() -> None:
    whole = dropout_job()
    advance(whole, whole.loop)
    assert whole.loop.step == 12
    for stop in range(13):
        part = dropout_job()
        resumed = advance(part, part.loop, until=stop).snapshot()
        fresh = dropout_job()  # another program, another executor call: only the carry goes over
        assert bits(advance(fresh, resumed).carry) == bits(whole.loop.carry), f"stopped at step {stop}"


def test_at_replays_to_the_same_bits_with_dropout() -> None:
    x = draw(32, 3)
    data = (x, np.cos(x[:, :2]))
    run = cr.fit(dropout_objective(), data, optimizer=cr.learn.Adam(0.01), epochs=3, batch_size=8, seed=11)
    job = dropout_job()
    for step in range(run.steps + 1):
        carry = advance(job, job.loop, until=step).carry
        moment = run.at(step)
        assert bits((moment.parameters, moment.optimizer)) == bits((carry["parameters"], carry["optimizer"]))
    assert bits(run.parameters) == bits(run.at(12).parameters)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_share_of_kept_values(rate: float) -> None:
    network = cr.nn.Sequential(cr.nn.Dropout(rate))
    out = network({}, np.ones((400, 50)), training=True, key=cr.key(1))
    deviation = np.sqrt(rate * (1 - rate) / out.size)
    assert abs((out > 0).mean() - (1 - rate)) < 4 * deviation
    np.testing.assert_allclose(out[out > 0], 1 / (1 - rate), rtol=1e-15)
    assert abs(out.mean() - 1) < 4 * deviation / (1 - rate)
    # No row and no column shares its mask with the next one.
    kept = out > 0
    assert len({row.tobytes() for row in kept}) > 350
    assert len({column.tobytes() for column in kept.T}) == 50


def test_rate_is_a_setting_and_needs_no_new_graph() -> None:
    job = dropout_job(batch_size="all")
    batch = gather(job.training, np.arange(32))
    losses = {}
    for rate in (0.0, 0.2, 0.8):
        numbers = {**job.arrays, "dropout1.rate": np.asarray(rate), "dropout2.rate": np.asarray(rate)}
        losses[rate] = float(REFERENCE.measure(job.program, job.loop.carry, numbers, batch, None)["loss"])
    assert len(set(losses.values())) == 3
    plain = REFERENCE.evaluate(job.program, job.loop.carry["parameters"], {}, job.arrays, job.training)
    assert losses[0.0] / 32 == pytest.approx(plain, rel=1e-14), "at rate 0 nothing is dropped"


def test_rate_given_by_settings_is_the_rate_of_the_layer() -> None:
    x = draw(32, 3)
    data = (x, np.cos(x[:, :2]))
    options: dict[str, Any] = {"optimizer": cr.learn.SGD(0.05), "epochs": 2}
    given = cr.fit(dropout_objective(0.5), data, settings={"dropout1.rate": 0.2, "dropout2.rate": 0.2}, **options)
    own = cr.fit(dropout_objective(0.2), data, **options)
    other = cr.fit(dropout_objective(0.5), data, **options)
    assert bits(given.parameters) == bits(own.parameters)
    assert bits(given.parameters) != bits(other.parameters)


# --- regions: a projection by bisection inside the step ---------------------------------------------------------------


@dataclass(frozen=True)
class L1Ball:
    """{w: ‖w‖₁ ≤ r} for one parameter. The nearest point in the metric M is sign(w)·max(|w| − τ·M⁻¹, 0), with the
    smallest τ ≥ 0 that is feasible, found by bisection."""

    radius: float
    name: str = "w"
    at_most: int = 200

    def settings(self) -> dict[str, float]:
        return {"radius": self.radius}

    def project(self, parameters: Any, metric: Metric, settings: Mapping[str, Any]) -> tuple[Any, Any]:
        w, radius = parameters[self.name], settings["radius"]
        size = np.abs(w)
        step = metric.step[self.name] if metric.kind == "diagonal" else metric.step * np.ones_like(w)

        def length(tau: Any) -> Any:
            return np.sum(np.maximum(size - tau * step, 0.0))

        def halve(bounds: Any) -> Any:
            low, high = bounds
            middle = 0.5 * (low + high)
            inside = length(middle) <= radius
            return np.where(inside, low, middle), np.where(inside, middle, high)

        def close(bounds: Any) -> Any:
            low, high = bounds
            return high - low <= 1e-15 * high

        top = np.max(size / step)
        (_, tau), converged = cr.iterate((0.0 * top, top), halve, close, self.at_most)
        inside = np.sum(size) <= radius
        shrunk = np.sign(w) * np.maximum(size - tau * step, 0.0)
        return {**parameters, self.name: np.where(inside, w, shrunk)}, ops.logical_or(inside, converged)


def sorted_projection(w: np.ndarray, step: np.ndarray, radius: float) -> np.ndarray:
    """The exact projection onto the L1 ball in the metric M = 1/step, by sorting the breakpoints |w|/step."""
    size = np.abs(w).ravel()
    if size.sum() <= radius:
        return w
    steps = np.broadcast_to(step, w.shape).ravel()
    order = np.argsort(-size / steps)
    for count in range(len(size), 0, -1):
        chosen = order[:count]
        tau = (size[chosen].sum() - radius) / steps[chosen].sum()
        if tau < (size / steps)[order[count - 1]]:
            break
    return np.sign(w) * np.maximum(size - tau * steps, 0.0).reshape(w.shape)


def linear(parameters: Any, x: Any) -> Any:
    return x @ parameters["w"]


def ball_run(optimizer: Any, radius: float, at_most: int = 200, **options: Any) -> Any:
    x = draw(24, 6)
    y = x @ np.array([[2.0], [-1.5], [0.0], [0.7], [0.0], [-0.1]])
    ball = L1Ball(radius, at_most=at_most)
    objective = cr.Objective(linear, loss="squared_error", subject_to=[ball])
    first = {"w": np.full((6, 1), 0.1)}
    chosen = {"epochs": 10, "batch_size": 8, "parameters": first} | options
    return cr.fit(objective, (x, y), optimizer=optimizer, **chosen)


@pytest.mark.parametrize(
    "optimizer", [cr.learn.SGD(0.05), cr.learn.SGD(0.02, momentum=0.9), cr.learn.Adam(0.1)], ids=str
)
def test_after_every_step_the_weights_are_in_the_ball(optimizer: Any) -> None:
    run = ball_run(optimizer, radius=1.0)
    lengths = [np.abs(run.at(step).parameters["w"]).sum() for step in range(run.steps + 1)]
    assert max(lengths) <= 1.0 * (1 + 1e-9)
    assert lengths[-1] > 1 - 1e-9, "the constraint must bind, else nothing was tested"
    free = ball_run(optimizer, radius=100.0)
    assert np.abs(free.parameters["w"]).sum() > 2
    assert run.unconverged == 0


@pytest.mark.parametrize("optimizer", [cr.learn.SGD(0.05), cr.learn.Adam(0.1)], ids=str)
def test_every_step_is_the_exact_projection_in_the_metric_of_the_step(optimizer: Any) -> None:
    x = draw(24, 6)
    run = ball_run(optimizer, radius=1.0, batch_size="all")
    w = {"w": np.full((6, 1), 0.1)}
    state = optimizer.init(w)
    y = x @ np.array([[2.0], [-1.5], [0.0], [0.7], [0.0], [-0.1]])
    objective = cr.Objective(linear, loss="squared_error")
    shortened = 0
    for step in range(1, run.steps + 1):
        gradient = cr.grad(objective)(w, (x, y))
        direction, metric, state = optimizer.update(gradient, state, w, optimizer.settings())
        sizes = np.asarray(metric.step["w"] if metric.kind == "diagonal" else metric.step)
        moved = w["w"] - sizes * direction["w"]
        w = {"w": sorted_projection(moved, sizes, 1.0)}
        shortened += np.abs(moved).sum() > 1
        np.testing.assert_allclose(run.at(step).parameters["w"], w["w"], rtol=0, atol=1e-11)
    assert shortened >= 5


def test_the_metric_matters() -> None:
    """In Adam's metric the nearest point is another one than in the plain metric."""
    w = np.array([[1.0], [-0.8], [0.3]])
    sizes = np.array([[0.5], [0.1], [0.2]])
    metric = Metric("diagonal", {"w": sizes})
    (projected, converged) = L1Ball(1.0).project({"w": w}, metric, {"radius": 1.0})
    assert converged
    np.testing.assert_allclose(projected["w"], sorted_projection(w, sizes, 1.0), rtol=0, atol=1e-14)
    plain, _ = L1Ball(1.0).project({"w": w}, Metric("scalar", 0.5), {"radius": 1.0})
    np.testing.assert_allclose(plain["w"], sorted_projection(w, np.float64(0.5), 1.0), rtol=0, atol=1e-14)
    assert np.max(np.abs(plain["w"] - projected["w"])) > 0.1


@pytest.mark.parametrize("optimizer", [cr.learn.SGD(0.01), cr.learn.Adam(0.01)], ids=str)
def test_a_point_inside_is_left_alone(optimizer: Any) -> None:
    inside = ball_run(optimizer, radius=50.0)
    x = draw(24, 6)
    y = x @ np.array([[2.0], [-1.5], [0.0], [0.7], [0.0], [-0.1]])
    free = cr.fit(
        cr.Objective(linear, loss="squared_error"),
        (x, y),
        optimizer=optimizer,
        epochs=10,
        batch_size=8,
        parameters={"w": np.full((6, 1), 0.1)},
    )
    assert bits(inside.parameters) == bits(free.parameters)


def test_radius_is_a_setting() -> None:
    given = ball_run(cr.learn.SGD(0.05), radius=1.0, settings={"set1.radius": 0.4})
    own = ball_run(cr.learn.SGD(0.05), radius=0.4)
    assert bits(given.parameters) == bits(own.parameters)
    assert np.abs(given.parameters["w"]).sum() == pytest.approx(0.4, rel=1e-9)
    run = ball_run(cr.learn.SGD(0.05), radius=1.0)
    loop = run.snapshots[0].snapshot()  # the very program of a radius of 1, with another number
    numbers = {**run.arrays, "set1.radius": np.asarray(0.4)}
    run.executor.advance(run.program, run.plan, loop, numbers, run.training, None)
    assert bits(loop.carry["parameters"]) == bits(own.parameters)


def test_the_projection_is_inside_the_graph_of_the_step() -> None:
    run = ball_run(cr.learn.SGD(0.05), radius=1.0, epochs=1)
    assert "iterate" in {node.op.name for node in run.program.apply.nodes}


def test_a_loop_that_does_not_converge_is_reported() -> None:
    run = ball_run(cr.learn.SGD(0.05), radius=1.0, at_most=2)
    assert run.status == "done"
    assert run.unconverged > 0
    assert f"a loop inside {run.unconverged} of {run.steps} steps did not converge" in run.message
    fine = ball_run(cr.learn.SGD(0.05), radius=1.0)
    assert "converge" not in fine.message


@dataclass(frozen=True)
class Unknown(Optimizer):
    """An optimizer that does not say in which metric it steps."""

    learning_rate: Any = field(default=0.1)

    def update(
        self, gradient: Any, state: Mapping[str, Any], parameters: Any, settings: Mapping[str, Any]
    ) -> tuple[Any, Metric, dict[str, Any]]:
        step = settings["learning_rate"]
        return gradient, Metric("unknown", step), {"step": state["step"] + np.uint32(1)}


def test_an_unknown_metric_refuses_constraints() -> None:
    with pytest.raises(TrainingError, match=r"L1Ball.* cannot be kept by projection: .*metric.*use SGD or Adam"):
        ball_run(Unknown(), radius=1.0)


def test_an_unknown_metric_without_constraints_steps() -> None:
    x = draw(8, 2)
    first = {"w": np.zeros((2, 1))}
    objective = cr.Objective(linear, loss="squared_error")
    runs = [
        cr.fit(objective, (x, x[:, :1]), optimizer=o, epochs=3, parameters=first)
        for o in (Unknown(), cr.learn.SGD(0.1))
    ]
    assert bits(runs[0].parameters) == bits(runs[1].parameters)


# --- penalties --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SquaredL2:
    """λ/2 ‖θ‖²."""

    strength: float

    def settings(self) -> dict[str, float]:
        return {"lambda": self.strength}

    def value(self, parameters: Any, settings: Mapping[str, Any]) -> Any:
        total: Any = 0.0
        for leaf in flatten(parameters)[0]:
            total = total + np.sum(leaf * leaf)
        return 0.5 * settings["lambda"] * total


def test_the_gradient_of_a_penalty_enters_the_step() -> None:
    x, w = draw(12, 3), draw(3, 1, seed=2)
    y = x.sum(axis=1, keepdims=True)
    objective = cr.Objective(linear, loss="half_squared_error", penalty=[SquaredL2(0.3)])
    run = cr.fit(objective, (x, y), optimizer=cr.learn.SGD(0.1), epochs=3, batch_size="all", parameters={"w": w})
    for _ in range(3):
        w = w - 0.1 * (x.T @ (x @ w - y) / 12 + 0.3 * w)
    np.testing.assert_allclose(run.parameters["w"], w, rtol=1e-13)


def test_the_value_of_a_penalty_is_in_the_objective() -> None:
    x, w = draw(12, 3), draw(3, 1, seed=2)
    y = x.sum(axis=1, keepdims=True)
    objective = cr.Objective(linear, loss="half_squared_error", penalty=[SquaredL2(0.3), SquaredL2(0.1)])
    by_hand = 0.5 * np.mean((x @ w - y) ** 2) + 0.5 * 0.4 * np.sum(w * w)
    assert float(objective({"w": w}, (x, y))) == pytest.approx(by_hand, rel=1e-14)
    assert objective.settings() == {"penalty1.lambda": 0.3, "penalty2.lambda": 0.1}
    gradient = cr.grad(objective)({"w": w}, (x, y))
    np.testing.assert_allclose(gradient["w"], x.T @ (x @ w - y) / 12 + 0.4 * w, rtol=1e-13)


def test_the_strength_of_a_penalty_is_a_setting() -> None:
    x = draw(12, 3)
    y = x.sum(axis=1, keepdims=True)
    options: dict[str, Any] = {"optimizer": cr.learn.SGD(0.1), "epochs": 3, "parameters": {"w": np.ones((3, 1))}}
    given = cr.fit(
        cr.Objective(linear, "squared_error", penalty=[SquaredL2(5.0)]),
        (x, y),
        settings={"penalty1.lambda": 0.5},
        **options,
    )
    own = cr.fit(cr.Objective(linear, "squared_error", penalty=[SquaredL2(0.5)]), (x, y), **options)
    assert bits(given.parameters) == bits(own.parameters)
    assert tree_map(np.shape, given.parameters) == {"w": (3, 1)}
