"""prepare: check what ``fit`` was given, initialize, and trace the training program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from warnings import warn

import numpy as np

from chainrule import ops
from chainrule.errors import TraceError, TrainingError
from chainrule.execute import Executor, Loop, Plan, QuasiNewton, RowOrder, get_executor
from chainrule.graph import Graph, Type, as_array, flatten, leaf_names, make_graph, tree_map
from chainrule.learn.averaging import Average, as_average
from chainrule.learn.covering import declared_parameters, warning_of, without_effect
from chainrule.learn.data import check_categories, check_targets, counted_rows, make_rows, normalized
from chainrule.learn.groups import group_columns, refuse_empty_groups
from chainrule.learn.job import Job
from chainrule.learn.objective import Objective
from chainrule.learn.optimizers import LBFGS, Adam, Optimizer
from chainrule.learn.program import build_program, rows_type, types_of
from chainrule.learn.protocols import MinMax, Multipliers
from chainrule.learn.searching import refuse_chance, refuse_what_cannot_be_searched
from chainrule.learn.settings import schedules_in, settings_of
from chainrule.learn.timeline import Timeline
from chainrule.learn.treatment import Treatment, make_treatment, names_of
from chainrule.nn import Layer, Parameter, Scope
from chainrule.nn.function import FunctionNetwork

BATCH_SIZE = 32
"""Rows of a step where nothing else is said; a search along a line looks at all."""


def prepare(
    objective: Objective,
    data: Any,
    *,
    optimizer: Optimizer | None = None,
    epochs: int = 100,
    batch_size: int | str | None = None,
    accumulate: int = 1,
    validation: Any = None,
    patience: int | None = None,
    seed: int = 0,
    parameters: Any = None,
    frozen: Sequence[str] = (),
    rate_factors: Mapping[str, float] | None = None,
    decay_factors: Mapping[str, float] | None = None,
    average: Average | float | None = None,
    settings: Mapping[str, Any] | None = None,
    shuffle: bool = True,
    tile_rows: int | None = None,
    executor: str = "native",
    method: MinMax | None = None,
    groups: Mapping[str, Any] | None = None,
    validation_groups: Mapping[str, Any] | None = None,
) -> Job:
    """Check the arguments of ``fit``, initialize, and trace the training program."""
    require_count(epochs, "epochs")
    if patience is not None:
        require_count(patience, "patience")
        if validation is None:
            raise TrainingError("patience needs validation rows to watch: pass validation=(Xv, yv)")
    if not (optimizer is None or isinstance(optimizer, Optimizer)):
        raise TrainingError(f"the optimizer is {optimizer!r}; give one such as cr.learn.Adam(0.001)")
    average = as_average(average)
    given_rows = [make_rows(data, "training")]
    dtype = given_rows[0]["x"].dtype
    if validation is not None:
        given_rows.append(make_rows(validation, "validation", dtype))
        _require_alike(*given_rows)
    _refuse_beside_min_max(method, groups, patience)
    given_rows[0] |= group_columns(groups, len(given_rows[0]["x"]), dtype)
    if validation_groups is not None:
        if validation is None:
            raise TrainingError("validation_groups are masks of validation rows: pass validation=(Xv, yv)")
        given_rows[1] |= group_columns(validation_groups, len(given_rows[1]["x"]), dtype, "validation_groups")
    training, held = normalized(given_rows[0]), None if validation is None else normalized(given_rows[1])
    count = len(training["x"])
    if batch_size is None:
        batch_size = BATCH_SIZE if optimizer is None or optimizer.has_steps else "all"
    size, tile = _sizes(batch_size, accumulate, tile_rows, count, objective.network.whole_batch)
    steps = epochs * -(-count // size)
    chosen = (optimizer or Adam()).with_total(steps)
    kind = rows_type(training["x"])
    start, state = initial(objective, kind, parameters, seed, dtype)
    treatment = make_treatment(_declared(objective, kind, start), frozen, rate_factors, decay_factors)
    if objective.penalty or objective.subject_to:
        objective = objective.covering(declared_parameters(objective.network, kind, start), treatment.frozen)
    _refuse_average_of_no_convex_set(average, objective)
    multipliers, said = None, []
    if method is not None:
        if not chosen.has_steps:
            raise TrainingError(
                f"{type(chosen).__name__} searches along a line for a lower F, and {type(method).__name__} changes "
                "what is minimized from step to step: use an optimizer with steps, such as cr.learn.Adam"
            )
        refuse_empty_groups(training)
        objective, multipliers, said = method.bind(
            objective, training, -(-count // size), size == count and tile is None
        )
    if decay_factors and not chosen.decays:
        raise TrainingError(
            f"decay_factors: {type(chosen).__name__} has no weight decay; cr.learn.AdamW and Lion have one"
        )
    given, schedules = schedules_in(settings, steps)
    more = {} if average is None else average.settings()
    more |= {} if multipliers is None else multipliers.settings()
    numbers = settings_of(objective, chosen, kind, given, treatment, schedules, more, steps)
    timeline = Timeline(numbers, dtype, chosen, schedules)
    within = get_executor(executor)
    found: Executor = within
    if isinstance(chosen, LBFGS):
        refuse_what_cannot_be_searched(chosen, objective, treatment, schedules, average, size, count)
        found = QuasiNewton(within, treatment, chosen.evaluations)
    carry = first_carry(start, state, chosen, seed, treatment, average, multipliers)
    forward = _forward(objective, start, state, kind)
    for rows, what in zip(given_rows, ("training", "validation"), strict=False):
        check_targets(objective.loss, rows, forward.outputs[0].type)
        check_categories(forward, rows, what)
    idle = without_effect(objective, start, state, training) if objective.penalty or objective.subject_to else []
    notes = [warning_of(idle)] if idle else []
    for note in notes:
        warn(note, stacklevel=3)
    notes += said
    arrays = timeline.arrays_at(0)
    program = build_program(objective, chosen, carry, arrays, training, treatment, schedules, average, multipliers)
    if not chosen.has_steps:
        refuse_chance(program)

    plan = Plan(epochs, size, row_order(seed, count, shuffle), patience, tile)
    loop = Loop(carry)
    return Job(
        objective=objective,
        optimizer=chosen,
        program=program,
        plan=plan,
        loop=loop,
        executor=found,
        timeline=timeline,
        training=training,
        counted=counted_rows(given_rows[0]),
        validation=None if held is None else {k: v for k, v in held.items() if k in ("x", "y", "weight")},
        validation_groups={k: v for k, v in (held or {}).items() if k not in ("x", "y", "weight")},
        seed=seed,
        input=kind,
        snapshots=[loop.snapshot()],
        treatment=treatment,
        average=average,
        multipliers=multipliers,
        notes=notes,
    )


def _refuse_beside_min_max(method: MinMax | None, groups: Any, patience: int | None) -> None:
    """Raise TrainingError for what is read by such a method alone, and for what leads away from its solution."""
    if groups is not None and method is None:
        raise TrainingError(
            "groups are read by the limits of a method such as cr.constrain.Lagrangian(): give method=…"
        )
    if method is not None and patience is not None:
        raise TrainingError(
            f"patience keeps the parameters of the lowest validation loss, which may violate the constraints that "
            f"{type(method).__name__} is on its way to: leave it out"
        )


def _refuse_average_of_no_convex_set(average: Average | None, objective: Objective) -> None:
    """Raise TrainingError where the average of points that are all in a set need not be in it."""
    bent = [member for member in objective.subject_to if not getattr(member, "convex", True)]
    if average is not None and average.evaluated and bent:
        raise TrainingError(
            f"{bent[0]} is not convex, so that an average of points in it need not be in it: leave average out"
        )


def _declared(objective: Objective, kind: Type, parameters: Any) -> Mapping[str, Parameter]:
    """Return what the network says of its parameters; one that is a plain function says nothing but their names."""
    if isinstance(objective.network, FunctionNetwork):
        return {name: Parameter((), "zeros") for name in names_of(parameters)}
    return objective.network.declare(kind).parameters


def first_carry(
    parameters: Any, state: Any, optimizer: Optimizer, seed: int, treatment: Treatment, average: Average | None,
    multipliers: Multipliers | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Return what is carried into the first step."""
    carry = {
        "parameters": parameters,
        "state": state,
        "optimizer": tree_map(np.asarray, optimizer.init(treatment.trained(parameters))),
        "multipliers": {} if multipliers is None else multipliers.first(treatment.trained(parameters)),
        "clock": {"step": np.asarray(0, np.uint32), "key": ops.fold(ops.key(seed), ops.stream("training"))},
    }
    return carry if average is None else {**carry, "average": parameters}


def row_order(seed: int, count: int, shuffle: bool) -> RowOrder:
    """Return the order of rows that belongs to a seed."""
    return RowOrder(count, ops.fold(ops.key(seed), ops.stream("row order")) if shuffle else None)


def require_count(value: Any, name: str, otherwise: str = "") -> None:
    """Refuse what is not a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        shown = value.item() if isinstance(value, np.generic) else value
        raise TrainingError(f"{name} is {shown!r}; it must be a whole number of at least 1{otherwise}")


def _sizes(
    batch_size: int | str, accumulate: int, tile_rows: int | None, rows: int, whole_batch: bool
) -> tuple[int, int | None]:
    """Return the rows of a step, and of the tiles that it is measured in.

    Accumulating over k batches is a step of k batches whose sums are added up tile by tile: each row keeps its
    position in the whole step, so that dropout draws what it would draw for one batch of that size.
    """
    require_count(accumulate, "accumulate")
    if batch_size != "all":
        require_count(batch_size, "batch_size", ", or 'all'")
    if accumulate > 1:
        if batch_size == "all":
            raise TrainingError("accumulate adds up several batches, and batch_size='all' is the only one")
        if tile_rows is not None:
            raise TrainingError("give accumulate or tile_rows: a step is measured batch by batch, or tile by tile")
        if whole_batch:
            raise TrainingError(
                "accumulate: batch normalization needs the statistics of the whole batch; use a larger batch_size"
            )
        tile_rows = int(batch_size)
    size = rows if batch_size == "all" else min(int(batch_size) * accumulate, rows)
    if tile_rows is not None:
        require_count(tile_rows, "tile_rows")
        if whole_batch and tile_rows < size:
            raise TrainingError(
                "tile_rows: batch normalization needs the statistics of the whole batch; leave tile_rows out"
            )
    return size, tile_rows


def _require_alike(training: Mapping[str, Any], held: Mapping[str, Any]) -> None:
    for name in ("x", "y"):
        a, b = training[name], held[name]
        if a.shape[1:] != b.shape[1:] or a.dtype != b.dtype:
            label = "X" if name == "x" else "y"
            raise TrainingError(
                f"the validation {label} has shape {b.shape} of {b.dtype}, "
                f"the training {label} {a.shape} of {a.dtype}; all but the number of rows must be equal"
            )


def initial(objective: Objective, kind: Type, given: Any, seed: int, dtype: Any) -> tuple[Any, Any]:
    """Return first parameters and state: at random, but for those that were given."""
    network: Layer = objective.network
    if isinstance(network, FunctionNetwork):
        if given is None:
            network.initialize(kind)
        return _finite(tree_map(lambda v: np.array(as_array(v, "a parameter"), dtype), given)), {}
    state = {k: v.astype(dtype) for k, v in network.initial_state(kind).items()}
    start: dict[str, Any] = network.initialize(kind, seed)
    if given is not None:
        if not isinstance(given, Mapping):
            raise TrainingError("parameters must be a dict like {'hidden1.weight': W}")
        for name, value in given.items():
            if name not in start:
                raise TrainingError(f"the network has no parameter {name!r}; it has: {', '.join(start)}")
            array = np.array(value, dtype)
            if array.shape != start[name].shape:
                raise TrainingError(
                    f"the parameter {name!r} is given with shape {array.shape}; the network needs {start[name].shape}"
                )
            start[name] = array
    return _finite(start), state


def _finite(parameters: Any) -> Any:
    leaves, structure = flatten(parameters)
    for name, leaf in zip(leaf_names(structure), leaves, strict=True):
        if not np.all(np.isfinite(leaf)):
            raise TrainingError(f"the first value of the parameter {name} is not finite")
    return parameters


def _forward(objective: Objective, parameters: Any, state: Any, kind: Type) -> Graph:
    """Trace the network by itself."""

    def forward(parameters: Any, state: Any, x: Any) -> Any:
        return objective.network.forward(Scope(parameters, state=state), x)

    graph = make_graph(forward, types_of(parameters), types_of(state), kind)
    if len(graph.outputs) != 1 or graph.outputs[0].type.rank < 1:
        raise TraceError("the network must return one array with one row for each row of its input")
    return graph
