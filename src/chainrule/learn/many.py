"""fit_many: many trainings of one network, compiled once and run side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from chainrule import ops
from chainrule.errors import TrainingError, TypeMismatch
from chainrule.execute import Loop, Machine, Program, RowOrder, cpu_count
from chainrule.learn.data import make_rows, normalized
from chainrule.learn.fitting import SLICE_SECONDS, interruptible
from chainrule.learn.job import Job
from chainrule.learn.objective import Objective
from chainrule.learn.optimizers import Adam, Optimizer
from chainrule.learn.preparing import first_carry, initial, prepare, require_count, row_order
from chainrule.learn.program import build_program
from chainrule.learn.progress import show_count
from chainrule.learn.run import Run
from chainrule.learn.schedules import Schedule
from chainrule.learn.settings import changed_settings, schedules_in, with_schedules
from chainrule.learn.timeline import Timeline

OWN = ("seed", "rows", "validation_rows", "parameters")
ALONE = ("callbacks", "checkpoint", "checkpoint_every", "resume")
"""What ``cr.fit`` takes that is of no use to many runs side by side."""


def fit_many(
    objective: Objective,
    data: Any,
    settings: Sequence[Mapping[str, Any]],
    *,
    threads: int | None = None,
    progress: bool | Callable[[int, int], None] = False,
    **options: Any,
) -> list[Run]:
    """Train one network many times, θ₁, θ₂, …, each with settings of its own: one compilation, all cores busy.

    Args:
        objective: what is to be made small, as for ``cr.fit``.
        data: ``(X, y)`` or ``(X, y, sample weights)``, as for ``cr.fit``.
        settings: one mapping for each training: numbers in the place of settings (``{"learning_rate": 0.01}``,
            ``{"penalty1.lambda": 0.1}``, a radius, a rate of dropout) or schedules, and, where wanted, ``"seed"``,
            ``"rows"`` (the numbers of the rows to train on, or a mask) and ``"validation_rows"``, for folds, and
            ``"parameters"``, where that training starts.
        threads: how many run at once; by default as many as there are CPUs for this process.
        progress: True shows a live bar; a function is called with how many are done, and how many there are.
        options: everything else that ``cr.fit`` takes, the same for all. Each stops early by itself.

    Returns:
        A ``Run`` for each entry of ``settings``, in their order. It has the bits that ``cr.fit`` gives by itself.

    Raises:
        TrainingError: as ``cr.fit``; the message begins with the entry that it is about.

    >>> import numpy as np, chainrule as cr
    >>> X = np.linspace(-1, 1, 40)[:, None]; y = X[:, 0] ** 2
    >>> objective = cr.Objective(cr.nn.Sequential(cr.nn.Dense(8, "tanh"), cr.nn.Dense(1)), "squared_error")
    >>> runs = cr.learn.fit_many(objective, (X, y), [{"learning_rate": r} for r in (0.001, 0.01, 0.1)], epochs=50)
    >>> [round(run.settings["learning_rate"], 3) for run in runs]
    [0.001, 0.01, 0.1]
    """
    entries = _checked(settings)
    for name in ALONE:
        if name in options:
            raise TrainingError(f"{name} belongs to one run: fit_many has none; call cr.fit for that run")
    patience = options.pop("patience", None)  # what to watch may come with each entry
    if options.get("method") is not None or options.get("groups") is not None:
        raise TrainingError("fit_many trains with optimizers alone; a method such as Lagrangian is for cr.fit")
    base = prepare(objective, data, **options)
    if patience is not None:
        require_count(patience, "patience")
        base.plan = replace(base.plan, patience=patience)
    if not entries:
        return []
    family = _Family(base.objective, data, base, options)
    jobs = []
    for number, entry in enumerate(entries):
        try:
            jobs.append(family.job(entry))
        except (TrainingError, TypeMismatch) as error:
            raise type(error)(f"settings[{number}]: {error}") from None
    if progress is True:
        with show_count("training") as listener:
            _run(jobs, threads, listener)
    else:
        _run(jobs, threads, progress or (lambda done, total: None))
    return [job.result() for job in jobs]


def _checked(settings: Any) -> list[Mapping[str, Any]]:
    if isinstance(settings, Mapping | str) or not isinstance(settings, Sequence):
        raise TrainingError(
            "fit_many takes a list of settings, one mapping for each training: [{'learning_rate': 0.1}, …]"
        )
    for number, entry in enumerate(settings):
        if not isinstance(entry, Mapping):
            raise TrainingError(
                f"settings[{number}] is {entry!r}; it must be a mapping such as {{'learning_rate': 0.1}}"
            )
    return list(settings)


class _Family:
    """What all trainings share: the rows as given, and programs, which are traced once."""

    def __init__(self, objective: Objective, data: Any, base: Job, options: Mapping[str, Any]) -> None:
        self.objective = objective
        self.base = base
        self.options = options
        self.given = make_rows(data, "training", base.training["x"].dtype)
        self.optimizer: Optimizer = options.get("optimizer") or Adam()
        known = base.optimizer, base.timeline.schedules
        self.programs: list[tuple[tuple[Optimizer, Mapping[str, Schedule]], Program]] = [(known, base.program)]
        self.own = {k: v for k, v in base.settings.items() if k not in base.optimizer.settings()}
        self.carries: dict[int, tuple[Optimizer, dict[str, Any]]] = {}
        self.orders: dict[tuple[int, int], RowOrder] = {}
        self.started = {base.seed: (base.loop.kept["parameters"], base.loop.kept["state"])}

    def job(self, entry: Mapping[str, Any]) -> Job:
        """Return the training of one entry, ready to go."""
        base, plan = self.base, self.base.plan
        seed = entry.get("seed", base.seed)
        ops.key(seed)  # says what a seed is
        training, validation, counted = base.training, base.validation, base.counted
        if "rows" in entry:
            numbers, picked = self._picked(entry["rows"], "rows")
            training, counted = normalized(picked), numbers[picked["weight"] > 0]
        if "validation_rows" in entry:
            validation = normalized(self._picked(entry["validation_rows"], "validation_rows")[1])
        if plan.patience is not None and validation is None:
            raise TrainingError(
                "patience needs validation rows to watch: 'validation_rows' here, or validation=(Xv, yv)"
            )
        count = len(training["x"])
        whole = self.options.get("batch_size") == "all" or not self.optimizer.has_steps
        size = count if whole else min(plan.batch_size, count)
        steps = plan.epochs * -(-count // size)
        optimizer = self.optimizer.with_total(steps)
        given, schedules = schedules_in({k: v for k, v in entry.items() if k not in OWN}, steps)
        known = with_schedules(self.own | optimizer.settings(), schedules, steps)
        numbers = changed_settings(known, given)
        dtype = training["x"].dtype
        timeline = Timeline(numbers, dtype, optimizer, schedules)
        if "parameters" in entry:
            begun = initial(self.objective, base.input, entry["parameters"], seed, dtype)
            carry = first_carry(*begun, optimizer, seed, base.treatment, base.average)
        else:
            if seed not in self.started:
                self.started[seed] = initial(self.objective, base.input, self.options.get("parameters"), seed, dtype)
            carry = self._first_carry(*self.started[seed], optimizer, seed)
        loop = Loop(carry)
        return replace(
            base,
            optimizer=optimizer,
            program=self._program(timeline, carry, training),
            plan=replace(plan, batch_size=size, order=self._order(seed, count)),
            loop=loop,
            timeline=timeline,
            training=training,
            counted=counted,
            validation=validation,
            seed=seed,
            snapshots=[loop.snapshot()],
        )

    def _order(self, seed: int, count: int) -> RowOrder:
        known = self.orders.get((seed, count))
        if known is None:
            known = self.orders[seed, count] = row_order(seed, count, self.base.plan.order.key is not None)
        return known

    def _first_carry(self, parameters: Any, state: Any, optimizer: Optimizer, seed: int) -> dict[str, Any]:
        """Return what a run begins with. Arrays in a carry are never written in place, so that runs may share them."""
        known = self.carries.get(seed)
        if known is None or known[0] != optimizer:
            known = self.carries[seed] = (
                optimizer,
                first_carry(parameters, state, optimizer, seed, self.base.treatment, self.base.average),
            )
        return known[1]

    def _program(self, timeline: Timeline, carry: Any, training: Any) -> Program:
        """Return the program of an optimizer: another one only where the length of the run is part of a schedule."""
        wanted = timeline.optimizer, timeline.schedules
        for known, program in self.programs:
            if known == wanted:
                return program
        program = build_program(
            self.objective, timeline.optimizer, carry, timeline.arrays_at(0), training, self.base.treatment,
            timeline.schedules, self.base.average,
        )  # fmt: skip
        self.programs.append((wanted, program))
        return program

    def _picked(self, rows: Any, name: str) -> tuple[Any, dict[str, Any]]:
        """Return numbers of rows, and these rows."""
        chosen = np.asarray(rows)
        count = len(self.given["x"])
        if chosen.dtype == np.bool_:
            if chosen.shape != (count,):
                raise TrainingError(f"{name} is a mask of shape {chosen.shape}; there are {count} rows")
            chosen = np.flatnonzero(chosen)
        if chosen.ndim != 1 or chosen.dtype.kind not in "iu" or not len(chosen):
            raise TrainingError(f"{name} must be row numbers from 0 to {count - 1}, at least one, or a mask of {count}")
        if chosen.min() < 0 or chosen.max() >= count:
            bad = chosen[(chosen < 0) | (chosen >= count)][0]
            raise TrainingError(f"{name} has {bad}; there are {count} rows (0 to {count - 1})")
        return chosen, {k: v[chosen] for k, v in self.given.items()}


def _run(jobs: Sequence[Job], threads: int | None, listener: Callable[[int, int], None]) -> None:
    """Run jobs to their ends, so many at a time; the calling thread listens for Ctrl-C, and reports."""
    todo, lock = iter(jobs), threading.Lock()
    changed = threading.Event()
    done = 0
    problems: list[BaseException] = []
    stop = threading.Event()

    def work() -> None:
        nonlocal done
        machine = None
        while not problems:
            with lock:
                job = next(todo, None)
            if job is None:
                break
            try:
                machine = _drive(job, stop, workers == 1, machine)
            except BaseException as error:  # raised again where the caller waits
                problems.append(error)
            with lock:
                done += 1
            changed.set()

    workers = max(1, min(threads or cpu_count(), len(jobs)))
    helpers = [threading.Thread(target=work, name=f"fit_many-{i + 1}") for i in range(workers)]
    with interruptible() as interrupted:
        for helper in helpers:
            helper.start()
        while any(helper.is_alive() for helper in helpers):
            changed.wait(SLICE_SECONDS)
            changed.clear()
            listener(done, len(jobs))
            if interrupted.is_set():
                stop.set()
    for helper in helpers:
        helper.join()
    listener(done, len(jobs))
    if problems:
        raise problems[0]


def _drive(job: Job, stop: threading.Event, alone: bool, machine: Machine | None) -> Machine | None:
    """Advance one of many jobs to its end, in the memory of the job before it where that fits; returns that memory.

    It has the one snapshot from its beginning.
    """
    loop = job.loop
    if machine is not None and machine.serve(job.program, job.plan, job.arrays, job.training, job.validation):
        loop.machine = machine
    while loop.status == "running":
        if stop.is_set():
            loop.status = "interrupted"
            break
        job.advance(seconds=SLICE_SECONDS, threads=None if alone else 1)
    used = loop.machine
    loop.release()
    return used
