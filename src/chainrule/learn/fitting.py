"""fit: the lecture's loop, run for you: forward, loss, backward, update, repeat."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from numbers import Real
from time import monotonic
from typing import Any

import numpy as np

from chainrule import ops
from chainrule.errors import TraceError, TrainingError
from chainrule.execute import Executor, Loop, Plan, Program, RowOrder, get_executor
from chainrule.graph import Graph, Type, as_array, flatten, leaf_names, make_graph, tree_map
from chainrule.learn.data import check_categories, check_targets, make_rows, normalized
from chainrule.learn.objective import Objective
from chainrule.learn.optimizers import Adam, Optimizer
from chainrule.learn.program import build_program, rows_type, types_of
from chainrule.learn.progress import Progress, Report, show_progress
from chainrule.learn.run import Run
from chainrule.nn import Layer, Scope
from chainrule.nn.function import FunctionNetwork

SLICE_SECONDS = 0.05
"""Python gets control this often: for progress, Ctrl-C, and a snapshot."""
SNAPSHOT_SHARE = 0.02
"""Snapshots take about so much of the time at most: those of a large network are farther apart."""
MAX_SNAPSHOTS = 64
MAX_SNAPSHOT_BYTES = 64 * 2**20
"""All snapshots together take about so much memory at most; fewer make a replay longer, not wrong."""


def fit(
    objective: Objective,
    data: Any,
    *,
    optimizer: Optimizer | None = None,
    epochs: int = 100,
    batch_size: int | str = 32,
    validation: Any = None,
    patience: int | None = None,
    seed: int = 0,
    parameters: Any = None,
    settings: Mapping[str, float] | None = None,
    shuffle: bool = True,
    tile_rows: int | None = None,
    executor: str = "native",
    progress: bool | Callable[[Report], None] = False,
) -> Run:
    """Train a network: θ⁽ᵗ⁺¹⁾ = θ⁽ᵗ⁾ − η_t ∇L, over batches of rows, for so many epochs.

    Args:
        objective: what is to be made small (``cr.Objective(network, loss)``).
        data: ``(X, y)`` or ``(X, y, sample weights)``; X is [rows, columns]. Weights are scaled to mean 1.
        optimizer: ``cr.learn.SGD``, ``Adam`` (the default, η = 0.001), ``AdamW``.
        epochs: how often every row is used.
        batch_size: rows for each step, or ``"all"``.
        validation: rows that are only looked at, ``(Xv, yv)``; their loss is in the history, one entry an epoch.
        patience: stop when the validation loss has not fallen for so many epochs; the best parameters are restored.
        seed: of the initialization, of the row order and of dropout. Same seed, same bits.
        parameters: first values, ``{"hidden1.weight": W, …}``; those left out start at random.
        settings: numbers to use in the place of a layer's or optimizer's own, such as ``{"dropout1.rate": 0.2}``.
        shuffle: whether each epoch has a random row order.
        tile_rows: measure a batch in tiles of so many rows; less memory for large batches.
        executor: ``"native"``: machine code, compiled for this network when the run starts; or ``"reference"``: NumPy,
            slower, the judge of the other.
        progress: True shows a live bar; a function is called with a ``Report`` every few tens of milliseconds.

    Returns:
        A ``Run``. A learning rate that is too high does not raise: ``run.status`` is ``"non-finite"``, the last finite
        parameters are kept, and ``run.message`` names the operation, the layer and the step. Ctrl-C ends a run cleanly.

    Raises:
        TrainingError: for data or settings that cannot be used; the message says where.

    >>> import numpy as np, chainrule as cr
    >>> X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]); y = np.array([0, 1, 1, 0])
    >>> network = cr.nn.Sequential(cr.nn.Dense(8, activation="tanh"), cr.nn.Dense(2))
    >>> objective = cr.Objective(network, loss="softmax_cross_entropy")
    >>> run = cr.fit(objective, (X, y), optimizer=cr.learn.Adam(0.05), epochs=200, batch_size="all")
    >>> run.predict(X).argmax(axis=1).tolist()
    [0, 1, 1, 0]
    """
    if not isinstance(objective, Objective):
        raise TrainingError("fit takes an objective first: cr.fit(cr.Objective(network, loss='squared_error'), (X, y))")
    job = prepare(
        objective,
        data,
        optimizer=optimizer,
        epochs=epochs,
        batch_size=batch_size,
        validation=validation,
        patience=patience,
        seed=seed,
        parameters=parameters,
        settings=settings,
        shuffle=shuffle,
        tile_rows=tile_rows,
        executor=executor,
    )
    with _listener(progress, job) as report:
        drive(job, report)
    return job.result()


@dataclass(eq=False)
class Job:
    """A training run that is ready to go, or on its way: everything that ``drive`` needs."""

    objective: Objective
    optimizer: Optimizer
    program: Program
    plan: Plan
    loop: Loop
    executor: Executor
    settings: dict[str, float]
    arrays: dict[str, Any]
    training: dict[str, Any]
    validation: dict[str, Any] | None
    seed: int
    input: Type
    snapshots: list[Loop]

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.training["x"]) // self.plan.batch_size)

    @property
    def total_steps(self) -> int:
        return self.plan.epochs * self.steps_per_epoch

    def report(self) -> Report:
        last = self.loop.history[-1] if self.loop.history else {}
        loss = self.loop.epoch_loss / self.loop.epoch_count if self.loop.epoch_count else last.get("loss")
        return Report(
            step=self.loop.step,
            steps=self.total_steps,
            epoch=min(self.loop.epoch + 1, self.plan.epochs),
            epochs=self.plan.epochs,
            loss=loss,
            validation_loss=last.get("validation_loss"),
            status=self.loop.status,
        )

    def result(self) -> Run:
        loop = self.loop
        best = loop.best if self.plan.patience is not None else None
        return Run(
            objective=self.objective,
            optimizer=self.optimizer,
            parameters=best.parameters if best else loop.carry["parameters"],
            state=best.state if best else loop.carry["state"],
            history=loop.history,
            status=loop.status,
            steps=loop.step,
            epochs=len(loop.history),
            best_epoch=best.epoch if best else None,
            problem=self._problem(),
            unconverged=loop.unconverged,
            settings=self.settings,
            seed=self.seed,
            input=self.input,
            program=self.program,
            plan=self.plan,
            executor=self.executor,
            snapshots=self.snapshots,
            training=self.training,
            validation=self.validation,
            arrays=self.arrays,
        )

    def _problem(self) -> str:
        loop = self.loop
        if loop.status != "non-finite":
            return ""
        return (
            f"step {loop.step + 1}, epoch {loop.epoch + 1}: {loop.problem}; "
            f"try a smaller learning rate than {self.settings.get('learning_rate', 0):g}"
        )


def prepare(
    objective: Objective,
    data: Any,
    *,
    optimizer: Optimizer | None = None,
    epochs: int = 100,
    batch_size: int | str = 32,
    validation: Any = None,
    patience: int | None = None,
    seed: int = 0,
    parameters: Any = None,
    settings: Mapping[str, float] | None = None,
    shuffle: bool = True,
    tile_rows: int | None = None,
    executor: str = "native",
) -> Job:
    """Check the arguments of ``fit``, initialize, and trace the training program."""
    require_count(epochs, "epochs")
    if patience is not None:
        require_count(patience, "patience")
        if validation is None:
            raise TrainingError("patience needs validation rows to watch: pass validation=(Xv, yv)")
    if not (optimizer is None or isinstance(optimizer, Optimizer)):
        raise TrainingError(f"the optimizer is {optimizer!r}; give one such as cr.learn.Adam(0.001)")
    given_rows = [make_rows(data, "training")]
    dtype = given_rows[0]["x"].dtype
    if validation is not None:
        given_rows.append(make_rows(validation, "validation", dtype))
        _require_alike(*given_rows)
    training, held = normalized(given_rows[0]), None if validation is None else normalized(given_rows[1])
    count = len(training["x"])
    size = _batch_size(batch_size, count)
    if tile_rows is not None:
        require_count(tile_rows, "tile_rows")
        if objective.network.whole_batch and tile_rows < size:
            raise TrainingError(
                "tile_rows: batch normalization needs the statistics of the whole batch; leave tile_rows out"
            )
    chosen = (optimizer or Adam()).with_total(epochs * -(-count // size))
    kind = rows_type(training["x"])
    start, state = initial(objective, kind, parameters, seed, dtype)
    numbers = settings_of(objective, chosen, kind, settings)
    arrays = {k: np.asarray(v, dtype) for k, v in numbers.items()}
    carry = first_carry(start, state, chosen, seed)
    forward = _forward(objective, start, state, kind)
    for rows, what in zip(given_rows, ("training", "validation"), strict=False):
        check_targets(objective.loss, rows, forward.outputs[0].type)
        check_categories(forward, rows, what)
    program = build_program(objective, chosen, carry, arrays, training)

    plan = Plan(epochs, size, row_order(seed, count, shuffle), patience, tile_rows)
    loop = Loop(carry)
    return Job(
        objective=objective,
        optimizer=chosen,
        program=program,
        plan=plan,
        loop=loop,
        executor=get_executor(executor),
        settings=numbers,
        arrays=arrays,
        training=training,
        validation=held,
        seed=seed,
        input=kind,
        snapshots=[loop.snapshot()],
    )


def first_carry(parameters: Any, state: Any, optimizer: Optimizer, seed: int) -> dict[str, Any]:
    """Return what is carried into the first step."""
    return {
        "parameters": parameters,
        "state": state,
        "optimizer": tree_map(np.asarray, optimizer.init(parameters)),
        "multipliers": {},
        "clock": {"step": np.asarray(0, np.uint32), "key": ops.fold(ops.key(seed), ops.stream("training"))},
    }


def row_order(seed: int, count: int, shuffle: bool) -> RowOrder:
    """Return the order of rows that belongs to a seed."""
    return RowOrder(count, ops.fold(ops.key(seed), ops.stream("row order")) if shuffle else None)


def drive(job: Job, report: Callable[[Report], None]) -> None:
    """Advance a job in slices until it ends; between slices: a snapshot, a report, and a look at Ctrl-C."""
    spacing = 1
    since = 0
    size = sum(leaf.nbytes for leaf in flatten(job.loop.kept)[0])
    most = min(MAX_SNAPSHOTS, MAX_SNAPSHOT_BYTES // max(size, 1))
    with interruptible() as interrupted:
        while job.loop.status == "running":
            job.executor.advance(
                job.program, job.plan, job.loop, job.arrays, job.training, job.validation, seconds=SLICE_SECONDS
            )
            since += 1
            if since >= spacing and most > 1:
                since, begun = 0, monotonic()
                job.snapshots.append(job.loop.snapshot())
                if SLICE_SECONDS:
                    spacing = max(spacing, ceil((monotonic() - begun) / (SNAPSHOT_SHARE * SLICE_SECONDS)))
                if len(job.snapshots) > most:  # keep every second one from now on: memory stays bounded
                    job.snapshots[:] = job.snapshots[::2]
                    spacing *= 2
            if interrupted.is_set() and job.loop.status == "running":
                job.loop.status = "interrupted"
            report(job.report())


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Let the first Ctrl-C end the run after the current slice; a second one acts as usual."""
    pressed = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield pressed
        return
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:  # somebody else's handler (or none of Python's): theirs to act on
        yield pressed
        return

    def press(number: int, frame: Any) -> None:
        pressed.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, press)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _listener(progress: bool | Callable[[Report], None], job: Job) -> Iterator[Callable[[Report], None]]:
    if progress is True:
        with show_progress(job.total_steps, job.validation is not None) as listener:
            yield listener
    else:
        yield progress or (lambda report: None)


def require_count(value: Any, name: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise TrainingError(f"{name} is {value!r}; it must be a whole number of at least 1")


def _batch_size(batch_size: int | str, rows: int) -> int:
    if batch_size == "all":
        return rows
    require_count(batch_size, "batch_size (a number, or 'all')")
    return min(int(batch_size), rows)


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


def settings_of(
    objective: Objective, optimizer: Optimizer, kind: Type, given: Mapping[str, float] | None
) -> dict[str, float]:
    own = dict(objective.network.declare(kind).settings) if not isinstance(objective.network, FunctionNetwork) else {}
    numbers = {**own, **objective.settings(), **optimizer.settings()}
    twice = sorted(set(own) & set(optimizer.settings()))
    if twice:
        raise TrainingError(
            f"the network and the optimizer both have a setting {twice[0]!r}; put the layer into cr.nn.Sequential, "
            "which gives it a name of its own"
        )
    return changed_settings(numbers, given or {})


def changed_settings(numbers: dict[str, float], given: Mapping[str, float]) -> dict[str, float]:
    """Return settings with some of them replaced by the given numbers."""
    numbers = dict(numbers)
    for name, value in given.items():
        if name not in numbers:
            raise TrainingError(f"there is no setting {name!r}; there are: {', '.join(numbers)}")
        if isinstance(value, bool) or not isinstance(value, Real) or not np.isfinite(value):
            raise TrainingError(f"the setting {name!r} is {value!r}; it must be a finite number")
        numbers[name] = float(value)
    return numbers


def _forward(objective: Objective, parameters: Any, state: Any, kind: Type) -> Graph:
    """Trace the network by itself."""

    def forward(parameters: Any, state: Any, x: Any) -> Any:
        return objective.network.forward(Scope(parameters, state=state), x)

    graph = make_graph(forward, types_of(parameters), types_of(state), kind)
    if len(graph.outputs) != 1 or graph.outputs[0].type.rank < 1:
        raise TraceError("the network must return one array with one row for each row of its input")
    return graph


__all__ = ["Job", "Progress", "drive", "fit", "prepare"]
