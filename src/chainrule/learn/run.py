"""Run: what a training run leaves behind, and what can be asked of it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import Any

import numpy as np

from chainrule.errors import TrainingError
from chainrule.execute import Executor, Loop, Plan, Program
from chainrule.graph import Type, flatten
from chainrule.learn.averaging import Average
from chainrule.learn.objective import Objective
from chainrule.learn.optimizers import Optimizer
from chainrule.learn.predictor import Predictor
from chainrule.learn.protocols import MinMax
from chainrule.learn.timeline import Timeline
from chainrule.learn.treatment import Treatment

Array = np.ndarray[Any, Any]

STATUS = {
    "done": "all epochs were run",
    "early": "stopped early: the validation loss had not fallen for {patience} epochs",
    "interrupted": "interrupted: what was learned until then is kept",
    "stopped": "stopped by a callback",
    "converged": "converged",
    "stuck": "stopped: no lower point was found along the line, as near as the precision of its numbers allows",
    "non-finite": "stopped: a value was no longer a finite number; the last finite parameters are kept",
}
BY_METHOD = {"done": "it converged", "stopped": "stopped before it converged"}
"""What a method other than an optimizer's loop says in their place."""


@dataclass(frozen=True)
class Moment:
    """A training run at one step: what was carried, before the step was taken."""

    step: int
    epoch: int
    parameters: Any
    state: Any
    optimizer: Any
    average: Any = None


@dataclass(eq=False)
class Run:
    """A finished (or stopped) training run.

    ``parameters`` and ``state`` are those of the lowest validation loss where early stopping was on, else the last;
    ``history`` has one entry an epoch: epoch, step, loss, validation_loss, learning_rate; ``status`` is done, early,
    interrupted, stopped, non-finite, converged or stuck, and ``message`` says it in words.
    """

    objective: Objective
    optimizer: Optimizer
    parameters: Any
    state: Any
    history: list[dict[str, float]]
    status: str
    steps: int
    epochs: int
    best_epoch: int | None
    problem: str
    unconverged: int
    settings: Mapping[str, float]
    seed: int
    input: Type
    program: Program = field(repr=False)
    plan: Plan = field(repr=False)
    executor: Executor = field(repr=False)
    snapshots: list[Loop] = field(repr=False)
    training: Mapping[str, Array] = field(repr=False)
    validation: Mapping[str, Array] | None = field(repr=False)
    timeline: Timeline = field(repr=False)
    treatment: Treatment = field(repr=False)
    average: Average | None = field(default=None, repr=False)
    counted: Array | None = field(default=None, repr=False)
    """The numbers of the training rows among those that were given; None where all of them count."""
    validation_groups: Mapping[str, Array] = field(default_factory=dict, repr=False)
    multipliers: Mapping[str, Any] = field(default_factory=dict)
    """λ of each limit that a method such as ``cr.constrain.Lagrangian`` held, as training left it."""
    notes: tuple[str, ...] = ()
    method: Any = None
    """What solved the problem, where that was not the loop of an optimizer."""
    _predictor: Predictor | None = field(default=None, repr=False)

    @property
    def message(self) -> str:
        named = STATUS if self.method is None or isinstance(self.method, MinMax) else STATUS | BY_METHOD
        text = named[self.status].format(patience=self.plan.patience)
        text += f" ({self.problem})" if self.problem else ""
        if self.best_epoch is not None:
            text += f"; the parameters are those of epoch {self.best_epoch}, the best of {self.epochs}"
        if self.unconverged:
            text += f"; a loop inside {self.unconverged} of {self.steps} steps did not converge"
        for note in self.notes:
            text += f"; {note}"
        return text

    def __repr__(self) -> str:
        last = self.history[-1] if self.history else {}
        losses = ", ".join(f"{k} {last[k]:.6g}" for k in ("loss", "validation_loss") if k in last)
        epochs, steps = (
            f"{n} {what}{'' if n == 1 else 's'}" for n, what in ((self.epochs, "epoch"), (self.steps, "step"))
        )
        return f"<run of {epochs}, {steps}: {losses or 'no epoch finished'}; {self.message}>"

    @property
    def predictor(self) -> Predictor:
        """The trained network by itself: a stored graph with its parameters."""
        arrays = tuple(map(np.asarray, flatten({"parameters": self.parameters, "state": self.state})[0]))
        known = self._predictor
        if known is None or [(a.shape, a.dtype) for a in known.arrays] != [(a.shape, a.dtype) for a in arrays]:
            known = self._predictor = Predictor.from_network(
                self.objective, self.parameters, self.state, self.input, self.executor.name
            )
        return replace(known, arrays=arrays)

    def predict(self, x: Any) -> Array:
        """Return predictions for rows: probabilities for a classifying loss, else the network's outputs.

        A row's prediction has the same bits whatever rows go with it.
        """
        return self.predictor.predict(x)

    def output(self, x: Any) -> Array:
        """Return the network's outputs for rows (for a classifying loss: logits)."""
        return self.predictor.output(x)

    def at(self, step: int) -> Moment:
        """Return the run as it was after so many steps, replayed to the same bits from the nearest snapshot."""
        self._require_step(step)
        place = bisect_right([loop.step for loop in self.snapshots], step) - 1
        loop = self.snapshots[place].snapshot()
        if not (self.method is None or isinstance(self.method, MinMax)) and loop.step != step:
            raise TrainingError(
                f"{type(self.method).__name__} keeps its first and its last point alone: step 0 and step {self.steps}"
            )
        loop.status = "running"
        while loop.step < step:  # from one change of the settings to the next
            until = min(step, self.timeline.next_change(loop.step) or step)
            arrays = self.timeline.arrays_at(loop.step)
            self.executor.advance(self.program, self.plan, loop, arrays, self.training, self.validation, until=until)
        carry = loop.carry
        return Moment(
            loop.step, loop.epoch, carry["parameters"], carry["state"], carry["optimizer"], carry.get("average")
        )

    def _require_step(self, step: Any) -> None:
        if isinstance(step, bool) or not isinstance(step, int | np.integer):
            raise TrainingError(f"the step is {step!r}; a step is a whole number from 0 to {self.steps}")
        if not 0 <= step <= self.steps:
            raise TrainingError(f"the run has {self.steps} steps; there is no step {step}")

    @property
    def arrays(self) -> Mapping[str, Array]:
        """The settings that the run ended with, as its graphs take them."""
        return self.timeline.arrays_at(self.steps)

    def settings_at(self, step: int) -> dict[str, float]:
        """Return every setting in force in a step (counted from 0), in the precision of the run.

        ``"learning_rate"`` is what the optimizer's schedule makes of it, a setting with a schedule what that says, and
        what a callback changed is as it was then.
        """
        self._require_step(step)
        return self.timeline.at(step)

    def save(self, path: str | PathLike[str]) -> None:
        """Save the trained network to a model file; ``cr.load`` reads it back."""
        # The one door from this floor to a higher one: a run can be asked to save itself, where files are known.
        from chainrule.files import save

        save(self, path)
