"""A scene: an objective at given numbers. What is explained is computed there, by the reference, as doubles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from chainrule import ops
from chainrule.errors import TrainingError, TypeMismatch
from chainrule.execute import REFERENCE
from chainrule.explanation.waypoints import Misread, changes_by, derivative_by, derivatives_by
from chainrule.graph import Graph, Node, as_array, flatten, leaf_names, make_graph, tree_map
from chainrule.learn import Objective, Run
from chainrule.learn.data import make_rows, normalized
from chainrule.learn.objective import part
from chainrule.learn.protocols import Proximal
from chainrule.nn import Scope
from chainrule.nn.function import FunctionNetwork

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Traced:
    """The loss of some rows as a graph: a node for every parameter by name, and the named values on the way."""

    graph: Graph
    arrays: tuple[Array, ...]
    parameters: Mapping[str, Node]
    x: Node
    points: Mapping[str, Node]


@dataclass(eq=False)
class Scene:
    """An objective at given parameters, and the rows that its loss is taken over.

    F = (1/n) Σ weight · loss of a row, + penalties. ``training`` has dropout masks and batch statistics as in training:
    drawn with ``key`` at the rows' positions in their batch.
    """

    objective: Objective
    parameters: Any
    x: Array
    y: Array
    weight: Array
    state: Any = None
    settings: Mapping[str, Any] | None = None
    training: bool = False
    key: Any = None
    rows: Sequence[int] | None = None
    step: int | None = None
    run: Run | None = None
    begun: bool = False
    """Are the parameters those that seed 0 begins with, since none were given?"""
    positions: Array | None = None
    """Where the rows are in their batch, which dropout masks depend on (None: the rows are the batch)."""
    tied: bool = False
    """Has each layer one bias for all its units? Its parameter is then one number."""
    carried: Any = None
    """The state of the run's optimizer before the step; None where there is no step."""
    updated: Mapping[str, Array] | None = None
    """What the backward computation reads in the place of the parameters, on purpose (mistake.py)."""

    def __post_init__(self) -> None:
        self.parameters, self.state, self.settings, self.weight = (
            tree_map(as_double, tree) for tree in (self.parameters, self.state or {}, self.settings or {}, self.weight)
        )
        self.x, self.y = as_double(self.x), as_double(self.y)
        if self.run is None:  # a run's penalties and sets know what they are over
            self.objective = self.objective.on(self.x, self.parameters)
        self.units = dict[str, int]()
        if self.tied:
            self.parameters, self.units = tied_biases(self.parameters)
        if self.positions is None:
            self.positions = np.arange(self.count)

    @property
    def count(self) -> int:
        return len(self.x)

    @property
    def whole(self) -> bool:
        """Do rows enter each other's loss, as batch statistics make them?"""
        return self.training and self.objective.network.whole_batch

    @property
    def names(self) -> list[str]:
        """The parameters' names, in the order of their leaves."""
        return leaf_names(flatten(self.parameters)[1])

    @cached_property
    def leaves(self) -> dict[str, Array]:
        return dict(zip(self.names, flatten(self.parameters)[0], strict=True))

    def row_losses(self, parameters: Any, x: Any, y: Any, places: Array | None = None) -> Any:
        """Return the loss of each row; ``places`` are those of the rows in this scene (None: all)."""
        assert self.positions is not None
        positions = self.positions if places is None else self.positions[places]
        for name, units in self.units.items():
            parameters = {**parameters, name: ops.broadcast_to(parameters[name], (units,))}
        scope = Scope(
            parameters, state=self.state, settings=self.settings, training=self.training, key=self.key,
            rows=positions.astype(np.uint32),
        )  # fmt: skip
        return self.objective.row_losses(scope, x, y)

    def traced(self, row: int | None) -> Traced:
        """Return the loss of one row, or (``row`` is None) the weighted mean over all."""
        places = np.arange(self.count) if row is None else np.array([row])
        x, y, weight = self.x[places], self.y[places], self.weight[places]

        def loss(parameters: Any, x: Any, y: Any) -> Any:
            losses = self.row_losses(parameters, x, y, places)
            return ops.sum_(losses) if row is not None else ops.sum_(losses * weight) / float(self.count)

        graph = make_graph(loss, self.parameters, x, y)
        leaves = flatten(self.parameters)[0]
        nodes = dict(zip(self.names, graph.inputs, strict=False))
        return Traced(graph, (*leaves, x, y), nodes, graph.inputs[len(leaves)], graph.names)

    @cached_property
    def all_rows(self) -> Traced:
        """The mean loss over all rows, as a graph."""
        return self.traced(None)

    def row_shares(self) -> Array:
        """Return how much the loss of each row counts: its weight over the number of rows."""
        shares: Array = self.weight / self.count
        return shares

    def gradient(self, name: str) -> Array:
        """Return ∂F/∂θ of the data's part, for one parameter."""
        return self.gradients([name])[0]

    def gradients(self, names: Sequence[str]) -> list[Array]:
        """Return ∂F/∂θ of the data's part, for several parameters: one backward computation."""
        traced = self.all_rows
        nodes = [traced.parameters[name] for name in names]
        return derivatives_by(traced.graph, traced.arrays, nodes, self.misread(traced.parameters))

    def misread(self, nodes: Mapping[str, Node]) -> Misread:
        """Return what the backward computation reads in the place of some parameters."""
        return {nodes[name]: value for name, value in (self.updated or {}).items() if name in nodes}

    def number(self, place: int) -> int:
        """Return the number of a row of this scene among all rows."""
        return int(self.rows[place]) if self.rows is not None else place

    def by_row(self, name: str, index: tuple[int, ...]) -> Array:
        """Return the derivative of each row's own loss by one element of a parameter."""
        leaves, _ = flatten(self.parameters)
        graph = make_graph(self.row_losses, self.parameters, self.x, self.y)
        nodes = dict(zip(self.names, graph.inputs, strict=False))
        arrays = [*leaves, self.x, self.y]
        return changes_by(graph, arrays, graph.outputs, nodes[name], index, self.misread(nodes))[0]

    def penalties(self, name: str, index: tuple[int, ...]) -> list[tuple[str, float]]:
        """Return what each penalty adds to the derivative by one element of a parameter."""
        return [(label, float(slope[index])) for label, slope in self.penalty_slopes(name)]

    def slopes(self, names: Sequence[str]) -> list[Array]:
        """Return ∂F/∂θ for parameters as a step is given it: with the penalties that are smooth."""
        return [slope + self.smooth_slope(name) for name, slope in zip(names, self.gradients(names), strict=True)]

    def smooth_slope(self, name: str) -> Any:
        """Return the derivative of the smooth penalties by one parameter; the others act after the step."""
        return sum(
            slope
            for penalty, (_, slope) in zip(self.objective.penalty, self.penalty_slopes(name), strict=True)
            if not isinstance(penalty, Proximal)
        )

    def penalty_slopes(self, name: str) -> list[tuple[str, Array]]:
        """Return the derivative of each penalty by a parameter."""
        found = []
        for number, penalty in enumerate(self.objective.penalty, 1):
            numbers = self.penalty_settings(number)
            graph = make_graph(lambda p, n=numbers, q=penalty: q.value(p, n), self.parameters)
            node = dict(zip(self.names, graph.inputs, strict=True))[name]
            found.append((f"penalty{number}", derivative_by(graph, flatten(self.parameters)[0], node)))
        return found

    def penalty_settings(self, number: int) -> dict[str, Any]:
        """Return the numbers in force of a penalty (counted from 1): the run's, or its own."""
        return part(self.settings or {}, f"penalty{number}") or self.objective.penalty[number - 1].settings()

    def value_at(self, name: str, index: tuple[int, ...], number: float) -> float:
        """Return F with one element of a parameter set to another number."""
        leaves = [array.copy() if key == name else array for key, array in self.leaves.items()]
        leaves[self.names.index(name)][index] = number
        traced = self.all_rows
        return float(REFERENCE.run_prepared(traced.graph, [*leaves, *traced.arrays[len(leaves) :]])[0])


def as_double(value: Any) -> Any:
    """Return floats in double precision; whole numbers (classes) as they are."""
    array = np.asarray(value)
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def tied_biases(parameters: Any) -> tuple[dict[str, Array], dict[str, int]]:
    """Return parameters with one bias a layer, and how many units each of these biases has."""
    if not isinstance(parameters, Mapping) or not any(str(name).endswith("bias") for name in parameters):
        raise TrainingError("bias='tied' is for a network of layers with biases, such as cr.nn.Dense")
    found, units = dict(parameters), {}
    for name, value in parameters.items():
        if name.rpartition(".")[2] == "bias" and value.ndim == 1:
            if np.any(value != value[0]):
                raise TrainingError(
                    f"bias='tied': the units of a layer share one bias, and those of {name} differ: {value[0]:g} "
                    f"and {value[value != value[0]][0]:g}"
                )
            found[name], units[name] = np.asarray(value[0]), len(value)
    return found, units


def scene_of(
    subject: Any,
    data: Any = None,
    rows: Sequence[int] | None = None,
    step: int | None = None,
    parameters: Any = None,
    training: bool = False,
    tied: bool = False,
) -> Scene:
    """Return the scene of an objective with data, or of a run at one of its steps."""
    if isinstance(subject, Run):
        if parameters is not None:
            raise TrainingError(
                "a run has parameters of its own; to use others: cr.explain(run.objective, data, of=…, parameters=…)"
            )
        return _scene_of_run(subject, data, rows, step, training)
    assert isinstance(subject, Objective)
    if step is not None:
        raise TrainingError("step= belongs to a run: cr.explain(run, of=…, step=40)")
    if training:
        raise TrainingError(
            "training=True belongs to a step of a run: cr.explain(run, of=…, step=40, rows=[5], training=True)"
        )
    if data is None:
        raise TrainingError("an objective is explained on data: cr.explain(objective, (X, y), of='…', parameters=…)")
    given = Given.of(data)
    network = subject.network
    state = {} if isinstance(network, FunctionNetwork) else network.initial_state(given.x)
    return Scene(
        subject, network.initialize(given.x, seed=0) if parameters is None else parameters, *given.picked(rows),
        state=state, rows=given.numbers(rows), begun=parameters is None, tied=tied,
    )  # fmt: skip


@dataclass(frozen=True)
class Given:
    """Rows that count, with the numbers that they have among all rows that were given: in any order."""

    x: Array
    y: Array
    weight: Array
    number: Array | None = None
    """None where every row counts."""

    @classmethod
    def of(cls, data: Any) -> Given:
        rows = make_rows(data, "given")
        counted = rows["weight"] > 0
        return cls(**normalized(rows), number=None if np.all(counted) else np.flatnonzero(counted))

    @classmethod
    def of_run(cls, run: Run) -> Given:
        """The rows that a run was trained on."""
        return cls(run.training["x"], run.training["y"], run.training["weight"], run.counted)

    def places(self, rows: Any) -> Array:
        """Return where rows of these numbers are; raise TypeMismatch for those that are not there, or do not count."""
        if self.number is None:
            return picked_rows(rows, len(self.x))
        chosen = picked_rows(rows, None)
        order = np.argsort(self.number, kind="stable")
        places = order[np.minimum(np.searchsorted(self.number, chosen, sorter=order), len(order) - 1)]
        absent = chosen[self.number[places] != chosen]
        if len(absent):
            raise TypeMismatch(
                f"row {absent[0]} enters no loss and no gradient here: it has the sample weight 0, or was not given"
            )
        return np.asarray(places)

    def picked(self, rows: Any) -> tuple[Array, Array, Array]:
        if rows is None:
            return self.x, self.y, self.weight
        places = self.places(rows)
        return self.x[places], self.y[places], self.weight[places]

    def named(self, places: Array) -> Array:
        """Return the numbers of rows by their places."""
        return places if self.number is None else np.asarray(self.number[places])

    def numbers(self, rows: Any) -> list[int] | None:
        if rows is None:
            return None if self.number is None else self.number.tolist()
        return [int(row) for row in rows]


def picked_rows(rows: Any, count: int | None) -> Array:
    """Return row numbers, checked against how many there are (None: they may be any from 0)."""
    if isinstance(rows, str):
        raise TypeMismatch(f"rows is {rows!r}; it must be a list of row numbers, such as [5]")
    chosen = as_array(rows, "rows")
    if chosen.ndim != 1 or chosen.dtype.kind not in "iu" or not len(chosen):
        raise TypeMismatch(f"rows is {rows!r}; it must be a list of row numbers, such as [5]")
    outside = chosen[(chosen < 0) | (chosen >= (np.inf if count is None else count))]
    if len(outside):
        there = "row numbers begin at 0" if count is None else f"there are {count} rows (from 0)"
        raise TypeMismatch(f"rows has {outside[0]}; {there}")
    return chosen


def _scene_of_run(run: Run, data: Any, rows: Sequence[int] | None, step: int | None, training: bool) -> Scene:
    given = Given.of_run(run) if data is None else Given.of(data)
    if step is not None and (isinstance(step, bool) or not isinstance(step, int | np.integer)):
        raise TrainingError(f"step is {step!r}; it must be a whole number, such as step=40")
    step = None if step is None else int(step)
    if training and (step is None or data is not None):
        raise TrainingError("training=True looks at rows as a step saw them: give step=…, and no data of your own")
    if step is None:
        return Scene(
            run.objective, run.parameters, *given.picked(rows), state=run.state,
            settings=run.timeline.scheduled_at(max(run.steps - 1, 0)), rows=given.numbers(rows),
            run=run,
        )  # fmt: skip
    by_themselves = (rows is not None or data is not None) and not training
    # After the last step there is no batch more, but for a step that was measured and, not being finite, not taken.
    last = run.steps - (not by_themselves and run.status != "non-finite")
    if step > last:
        raise TrainingError(
            f"the run took {run.steps} steps: the last that can be explained is step={last}; "
            "leave step out to explain the trained network, or give rows=[…]"
        )
    moment, settings = run.at(step), run.timeline.scheduled_at(step)
    if by_themselves:  # the network as it predicts
        return Scene(
            run.objective, moment.parameters, *given.picked(rows), state=moment.state, settings=settings,
            rows=given.numbers(rows), step=step, run=run, carried=moment.optimizer,
        )  # fmt: skip
    size = run.plan.batch_size
    epoch, number = divmod(step, -(-len(given.x) // size))
    batch = given.named(run.plan.order(epoch)[number * size : (number + 1) * size])
    chosen, positions = (batch, None) if rows is None else _within(batch, given.named(given.places(rows)), step, run)
    key = ops.fold(ops.fold(ops.key(run.seed), ops.stream("training")), np.uint32(step))
    return Scene(
        run.objective, moment.parameters, *given.picked(chosen), state=moment.state, settings=settings, training=True,
        key=key, rows=chosen.tolist(), step=step, run=run, positions=positions, carried=moment.optimizer,
    )  # fmt: skip


def _within(batch: Array, rows: Array, step: int, run: Run) -> tuple[Array, Array]:
    """Return rows of a batch with their positions in it."""
    if run.objective.network.whole_batch:
        raise TrainingError(
            "batch normalization makes the rows of a batch enter each other's loss: leave rows out, and ask for a "
            "value with its position in the batch, such as of='hidden1.out[0, 3]'"
        )
    absent = [row for row in rows.tolist() if row not in set(batch.tolist())]
    if absent:
        listed = ", ".join(map(str, sorted(batch.tolist())[:40])) + (", …" if len(batch) > 40 else "")
        raise TrainingError(f"row {absent[0]} is not in the batch of step {step}, which has the rows {listed}")
    return rows, np.array([int(np.flatnonzero(batch == row)[0]) for row in rows])
