"""Building a training program: an objective and an optimizer become three graphs over a carry and settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from chainrule import ops
from chainrule.calculus import backward
from chainrule.errors import TraceError, TrainingError
from chainrule.execute import Program
from chainrule.graph import (
    Graph,
    Rows,
    Type,
    check_graph,
    depends_on,
    flatten,
    make_constant,
    make_graph,
    tree_map,
    type_of,
    unflatten,
)
from chainrule.learn.averaging import Average
from chainrule.learn.objective import Objective, part
from chainrule.learn.optimizers import Optimizer, count, first, move, rated
from chainrule.learn.projection import project
from chainrule.learn.protocols import Multipliers, Proximal
from chainrule.learn.schedules import Schedule
from chainrule.learn.settings import in_force
from chainrule.learn.treatment import EVEN, Treatment
from chainrule.nn import Scope

Tree = Any


@dataclass(frozen=True)
class View:
    """What a limit may look at in a batch: parameters, the network's outputs, the loss of each row, and the rows."""

    parameters: Tree
    outputs: Any
    losses: Any
    batch: Mapping[str, Any]


def types_of(tree: Tree) -> Tree:
    """Return the type of every array in a nested value."""
    return tree_map(lambda leaf: type_of(np.asarray(leaf)), tree)


def rows_type(array: Any) -> Type:
    """Return the type of an array of rows, with their number left open."""
    kind = type_of(array)
    return kind.with_shape((Rows(1), *kind.shape[1:]))


def build_program(
    objective: Objective,
    optimizer: Optimizer,
    carry: Mapping[str, Any],
    settings: Mapping[str, Any],
    batch: Mapping[str, Any],
    treatment: Treatment = EVEN,
    schedules: Mapping[str, Schedule] | None = None,
    average: Average | None = None,
    multipliers: Multipliers | None = None,
) -> Program:
    """Trace the three graphs for the types of a carry, settings and a batch (arrays with x, y and weight).

    ``treatment`` says how each parameter is trained, ``schedules`` which settings change from step to step, and
    ``average`` that the carry has a moving average of the parameters. ``multipliers`` of constraints add sums of their
    own to those of a batch: the value of each limit and its gradient.
    """
    schedules = schedules or {}
    carry_types, setting_types = types_of(carry), types_of(settings)
    batch_types = {k: rows_type(v) for k, v in batch.items()} | {"position": Type("u32", (Rows(1),))}

    looked_at_only = {k: v for k, v in batch_types.items() if k in ("x", "y", "weight", "position")}

    def losses(parameters: Tree, state: Tree, settings: Tree, batch: Tree, **more: Any) -> tuple[Any, View, Scope]:
        scope = Scope(parameters, state=state, settings=settings, rows=batch["position"], **more)
        outputs = objective.network.forward(scope, batch["x"])
        rows = objective.loss.rows(batch["y"], outputs)
        return ops.sum_(rows * batch["weight"]), View(parameters, outputs, rows, batch), scope

    def measure(parameters: Tree, state: Tree, clock: Tree, settings: Tree, batch: Tree) -> Tree:
        key = ops.fold(clock["key"], clock["step"])
        settings = in_force(settings, schedules, count(clock["step"], first(parameters)) if schedules else None)
        loss, view, scope = losses(parameters, state, settings, batch, training=True, key=key)
        trained = treatment.trained(parameters)
        learned_otherwise = multipliers is not None or objective.penalty
        sums = {
            "loss": loss,
            "count": ops.extent(batch["weight"], axis=0),
            "gradient": gradient_of(loss, trained, None if learned_otherwise else _no_slope(objective)),
            "statistics": scope.sums,
        }
        if multipliers is None:
            return sums
        limits = multipliers.measured(view, settings)
        return {**sums, "limits": {k: {**v, "gradient": gradient_of(v["value"], trained)} for k, v in limits.items()}}

    def apply(carry: Tree, settings: Tree, sums: Tree) -> Tree:
        if not optimizer.has_steps:
            return _look(objective, treatment, carry, settings, sums)
        time = count(carry["clock"]["step"], first(carry["parameters"])) if schedules else None
        now = in_force(settings, schedules, time)
        after, report = _apply(objective, optimizer, treatment, carry, now, sums, multipliers)
        return (after if average is None else average.advance(carry, after, now, treatment)), report

    def evaluate(parameters: Tree, state: Tree, settings: Tree, batch: Tree) -> Tree:
        loss, _, _ = losses(parameters, state, settings, batch)
        return {"loss": loss, "count": ops.sum_(batch["weight"])}

    c = carry_types
    measured = make_graph(measure, c["parameters"], c["state"], c["clock"], setting_types, batch_types)
    assert measured.gives is not None
    sums_types = unflatten(measured.gives, [o.type for o in measured.outputs])
    applied = make_graph(apply, carry_types, setting_types, sums_types)
    evaluated = make_graph(evaluate, c["parameters"], c["state"], setting_types, looked_at_only)
    for graph, name in ((measured, "measure"), (applied, "apply"), (evaluated, "evaluate")):
        check_graph(graph, f"tracing {name}")
    if optimizer.has_steps:
        _check_carry(applied, carry_types)
    _refuse_schedules_of_prediction(evaluated, schedules)
    looked_at = "average" if average is not None and average.evaluated else "parameters"
    return Program(measured, applied, evaluated, objective.network.whole_batch, looked_at)


def gradient_of(loss: Any, parameters: Tree, without: Exception | None = None) -> Tree:
    """Return the derivative of a traced loss by each parameter, zeros where the loss does not depend on one.

    ``without`` is raised where it depends on none.
    """
    leaves, structure = flatten(parameters)
    one = make_constant(np.ones((), loss.dtype))
    pieces = backward([loss], [one], leaves)
    if without is not None and leaves and all(piece is None for piece in pieces):
        raise without
    return unflatten(structure, [ops.zeros_of(w) if p is None else p for p, w in zip(pieces, leaves, strict=True)])


def _no_slope(objective: Objective) -> TraceError:
    """Return the error for a loss that no step can lower: training would go on, and never learn anything."""
    name = getattr(objective.loss, "called", objective.loss.name)
    return TraceError(
        f"the loss {name} has the derivative 0 by every parameter that is trained: it does not use the output, or it "
        "counts, compares, rounds or takes signs.\n"
        "  wrong:  lambda target, output: np.mean(((output > 0) != (target > 0)).astype(float), axis=1)\n"
        '  right:  a loss that moves with the output, such as "binary_cross_entropy"; errors are counted afterwards'
    )


def _apply(
    objective: Objective, optimizer: Optimizer, treatment: Treatment, carry: Tree, settings: Tree, sums: Tree,
    multipliers: Multipliers | None = None,
) -> Tree:  # fmt: skip
    """One update from the sums over the batch; nothing of the old carry is lost before it was read.

    What is frozen is no part of it: no optimizer, penalty's gradient or projection sees it.
    """
    parameters = carry["parameters"]
    trained = treatment.trained(parameters)
    loss, gradient = _with_penalties(objective, parameters, trained, settings, sums)
    held, numbers, carried = objective, settings, carry["multipliers"]
    if multipliers is not None:
        found = multipliers.weighed(objective, carried, trained, sums, settings)
        gradient = tree_map(lambda g, more: g + more, gradient, found.gradient)
        held, numbers, carried = found.objective, found.settings, found.carried
    direction, metric, optimizer_state = optimizer.update(gradient, carry["optimizer"], trained, settings)
    direction, metric = rated(treatment, direction, metric, settings)
    moved, converged = project(held, move(trained, direction, metric), metric, numbers)
    state = _next_state(objective, carry, settings, sums)
    finite = ops.isfinite(loss)
    for leaves in _side_by_side(gradient, moved, state, carried, *optimizer_state.values()):
        one = reduce(ops.logical_and, [ops.isfinite(leaf) for leaf in leaves])
        finite = ops.logical_and(finite, ops.all_(one))
    clock = {"key": carry["clock"]["key"], "step": carry["clock"]["step"] + np.uint32(1)}
    after = {
        **carry,
        "parameters": treatment.merged(parameters, moved),
        "state": state,
        "optimizer": optimizer_state,
        "multipliers": carried,
        "clock": clock,
    }
    rate = optimizer.rate(carry["optimizer"], first(trained), settings)
    report = {"loss": loss, "finite": finite, "converged": converged, "learning_rate": rate}
    return after, report


def _with_penalties(
    objective: Objective, parameters: Tree, trained: Tree, settings: Tree, sums: Tree
) -> tuple[Any, Tree]:
    """Return F and ∂F/∂θ of what is trained: the means over the rows, and the penalties' parts."""
    loss = sums["loss"] / sums["count"]
    share = 1.0 / sums["count"]
    gradient = tree_map(lambda g: g * share, sums["gradient"])
    for i, penalty in enumerate(objective.penalty, 1):
        value = penalty.value(parameters, part(settings, f"penalty{i}"))
        loss = loss + value
        if not isinstance(penalty, Proximal):  # what is not smooth enters by its proximal step, after the step
            gradient = tree_map(lambda g, more: g + more, gradient, gradient_of(value, trained))
    return loss, gradient


def _look(objective: Objective, treatment: Treatment, carry: Tree, settings: Tree, sums: Tree) -> Tree:
    """What a search along a line sees at a point: F, its gradient, and the state that goes with it."""
    parameters = carry["parameters"]
    loss, gradient = _with_penalties(objective, parameters, treatment.trained(parameters), settings, sums)
    return {
        "loss": loss, "gradient": gradient, "state": _next_state(objective, carry, settings, sums)
    }  # fmt: skip


def _next_state(objective: Objective, carry: Tree, settings: Tree, sums: Tree) -> Tree:
    scope = Scope(carry["parameters"], state=carry["state"], settings=settings, training=True)
    return {**carry["state"], **objective.network.update_state(scope, sums["statistics"], sums["count"])}


def _side_by_side(like: Tree, *trees: Tree) -> Iterator[list[Any]]:
    """Give the floats of all trees; those that belong to one parameter together, since one pass checks them all."""
    leaves, structure = flatten(like)
    parallel, others = [leaves], []
    for tree in trees:
        found, own = flatten(tree)
        if own == structure and [leaf.type for leaf in found] == [leaf.type for leaf in leaves]:
            parallel.append(found)
        else:
            others += found
    yield from (list(group) for group in zip(*parallel, strict=True))
    yield from ([leaf] for leaf in others if leaf.type.is_float)


def _check_carry(applied: Any, carry_types: Tree) -> None:
    """A step must give back a carry of the very types that it took."""
    after, _ = unflatten(applied.gives, [o.type for o in applied.outputs])
    before_leaves, before = flatten(carry_types)
    after_leaves, structure = flatten(after)
    if structure != before or before_leaves != after_leaves:
        raise TrainingError(
            "the update changes the type of what is carried from step to step: "
            + next(
                (f"{a} became {b}" for a, b in zip(before_leaves, after_leaves, strict=False) if a != b),
                f"{before} became {structure}",
            )
        )


def _refuse_schedules_of_prediction(evaluated: Graph, schedules: Mapping[str, Schedule]) -> None:
    """A setting that is read when the network predicts cannot change from step to step: predicting has no step."""
    assert evaluated.takes is not None
    settings = unflatten(evaluated.takes, list(evaluated.inputs))[2]
    for name in schedules:
        reached = depends_on(evaluated.outputs, [settings[name]])
        if any(output in reached for output in evaluated.outputs):
            raise TrainingError(
                f"the setting {name!r} is read when the network predicts, which has no step: it cannot have a schedule"
            )
