"""Job: a training run that is ready to go, or on its way, with everything that driving it needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from chainrule.execute import Executor, Loop, Plan, Program
from chainrule.graph import Type
from chainrule.learn.averaging import Average
from chainrule.learn.objective import Objective
from chainrule.learn.optimizers import Optimizer
from chainrule.learn.progress import Report
from chainrule.learn.protocols import Multipliers
from chainrule.learn.run import Run
from chainrule.learn.timeline import Timeline
from chainrule.learn.treatment import Treatment


@dataclass(eq=False)
class Job:
    """A training run that is ready to go, or on its way: everything that ``drive`` needs."""

    objective: Objective
    optimizer: Optimizer
    program: Program
    plan: Plan
    loop: Loop
    executor: Executor
    timeline: Timeline
    training: dict[str, Any]
    validation: dict[str, Any] | None
    seed: int
    input: Type
    snapshots: list[Loop]
    treatment: Treatment
    average: Average | None = None
    counted: Any = None
    """The numbers of the training rows among those that were given; None where all of them count."""
    notes: list[str] = field(default_factory=list)
    """What else there is to say of the run, such as why it was stopped."""
    validation_groups: dict[str, Any] = field(default_factory=dict)
    multipliers: Multipliers | None = None
    """What the carry's multipliers mean; None where the problem is not solved by min and max."""

    @property
    def settings(self) -> dict[str, float]:
        """The numbers that the run began with."""
        return self.timeline.numbers

    @property
    def arrays(self) -> dict[str, Any]:
        """The settings in force at the loop's step, as inputs of the program."""
        return self.timeline.arrays_at(self.loop.step)

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.training["x"]) // self.plan.batch_size)

    @property
    def total_steps(self) -> int:
        return self.plan.epochs * self.steps_per_epoch

    def advance(self, **limits: Any) -> None:
        """Go on with the loop, under the settings in force."""
        if self.multipliers is None:
            self._advance(**limits)
        else:
            self._advance_by_epoch(**limits)

    def _advance(self, **limits: Any) -> None:
        self.executor.advance(self.program, self.plan, self.loop, self.arrays, self.training, self.validation, **limits)

    def _advance_by_epoch(self, seconds: float | None = None, until: int | None = None, **limits: Any) -> None:
        """Go on from epoch to epoch, so that each one's entry says what its multipliers were at its end."""
        assert self.multipliers is not None
        loop = self.loop
        end = None if seconds is None else monotonic() + seconds
        while loop.status == "running":
            left = None if end is None else end - monotonic()
            if (left is not None and left <= 0.0) or (until is not None and loop.step >= until):
                return
            done = len(loop.history)
            ends = (loop.epoch + 1) * self.steps_per_epoch
            self._advance(until=ends if until is None else min(ends, until), seconds=left, **limits)
            if len(loop.history) > done:
                loop.history[-1] |= self.multipliers.noted(loop.carry["multipliers"])

    def loss(self) -> float | None:
        """Return the mean loss over the epoch's steps so far, or over the last epoch where none was taken yet."""
        if self.loop.epoch_count:
            return self.loop.epoch_loss / self.loop.epoch_count
        return self.loop.history[-1]["loss"] if self.loop.history else None

    def report(self) -> Report:
        last = self.loop.history[-1] if self.loop.history else {}
        return Report(
            step=self.loop.step,
            steps=self.total_steps,
            epoch=min(self.loop.epoch + 1, self.plan.epochs),
            epochs=self.plan.epochs,
            loss=self.loss(),
            validation_loss=last.get("validation_loss"),
            status=self.loop.status,
        )

    def result(self) -> Run:
        loop = self.loop
        best = loop.best if self.plan.patience is not None else None
        self.timeline.annotate(loop.history)
        return Run(
            objective=self.objective,
            optimizer=self.optimizer,
            parameters=best.parameters if best else loop.carry[self.program.evaluated],
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
            counted=self.counted,
            validation=self.validation,
            validation_groups=self.validation_groups,
            timeline=self.timeline,
            treatment=self.treatment,
            average=self.average,
            multipliers={} if self.multipliers is None else self.multipliers.found(loop.carry["multipliers"]),
            notes=tuple(self.notes),
        )

    def _problem(self) -> str:
        loop = self.loop
        if loop.status != "non-finite":
            return loop.problem
        rate = self.arrays.get("learning_rate")
        advice = "" if rate is None else f"; try a smaller learning rate than {float(rate):g}"
        return f"step {loop.step + 1}, epoch {loop.epoch + 1}: {loop.problem}{advice}"
