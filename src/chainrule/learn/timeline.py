"""Timeline: the settings of a run over its steps. What it began with, what callbacks changed, what schedules say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule.errors import TrainingError
from chainrule.learn.optimizers import Optimizer
from chainrule.learn.schedules import Schedule
from chainrule.learn.settings import changed_settings, in_force

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Change:
    """A setting that a callback changed: in force from this step (the next one to be taken) on."""

    step: int
    name: str
    value: float


@dataclass
class Timeline:
    """The numbers that a run began with, the schedules that some follow, and every change on the way, in order."""

    numbers: dict[str, float]
    dtype: Any
    optimizer: Optimizer
    schedules: Mapping[str, Schedule] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    _last: tuple[int, dict[str, Array]] | None = field(default=None, repr=False)

    def change(self, step: int, name: str, value: Any) -> None:
        """Put another number in the place of a setting, from a step on."""
        number = changed_settings(self.numbers, {name: value})[name]
        if self.changes and step < self.changes[-1].step:
            raise TrainingError(f"step {step} is over: its settings cannot be changed any more")
        self.changes.append(Change(step, name, number))

    def numbers_at(self, step: int) -> dict[str, float]:
        """Return the numbers at a step, schedules not looked up: what the program is given."""
        return self.numbers | {c.name: c.value for c in self.changes if c.step <= step}

    def arrays_at(self, step: int) -> dict[str, Array]:
        """Return the settings as inputs of the program; the very same dict while nothing changes."""
        made = sum(c.step <= step for c in self.changes)
        if self._last is None or self._last[0] != made:
            self._last = made, {k: np.asarray(v, self.dtype) for k, v in self.numbers_at(step).items()}
        return self._last[1]

    def next_change(self, step: int) -> int | None:
        """Return the first step after this one at which a setting changes."""
        return min((c.step for c in self.changes if c.step > step), default=None)

    def scheduled_at(self, step: int) -> dict[str, Array]:
        """Return the settings at a step as the graphs see them: those with a schedule as they are then.

        The learning rate is the schedule's height: what it comes to is the optimizer's to say.
        """
        return dict(in_force(self.arrays_at(step), self.schedules, np.asarray(step, self.dtype)))

    def at(self, step: int) -> dict[str, float]:
        """Return every setting in force in a step, the learning rate as its schedule has it then."""
        arrays = self.scheduled_at(step)
        found = {name: float(value) for name, value in arrays.items()}
        if "learning_rate" in found:
            found["learning_rate"] = float(self.optimizer.schedule.at(np.asarray(step, self.dtype), arrays))
        return found

    def annotate(self, history: list[dict[str, float]]) -> None:
        """Note in each epoch's entry the settings of its last step that do not stay the same."""
        moving = dict.fromkeys([*self.schedules, *(c.name for c in self.changes if c.name != "learning_rate")])
        for entry in history if moving else ():
            if not all(name in entry for name in moving):
                now = self.at(int(entry["step"]) - 1)
                entry.update({name: now[name] for name in moving})
