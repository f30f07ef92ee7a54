"""Callbacks: functions that look at a training run on its way, and can stop it or change its settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np

from chainrule.errors import TrainingError
from chainrule.graph import tree_map
from chainrule.learn.job import Job
from chainrule.learn.preparing import require_count


class Training:
    """A training run on its way, as a callback sees it: all can be read; it can be stopped, and settings changed.

    ``step`` steps and ``epoch`` epochs are done. ``settings`` and ``learning_rate`` are those of the step to come.
    """

    def __init__(self, job: Job) -> None:
        self._job = job

    @property
    def step(self) -> int:
        """How many steps were taken."""
        return self._job.loop.step

    @property
    def epoch(self) -> int:
        """How many epochs are over."""
        return self._job.loop.epoch

    @property
    def steps(self) -> int:
        """How many steps there will be at most."""
        return self._job.total_steps

    @property
    def epochs(self) -> int:
        """How many epochs there will be at most."""
        return self._job.plan.epochs

    @property
    def loss(self) -> float | None:
        """The mean loss over this epoch's steps so far; at its end, of the epoch that has ended."""
        return self._job.loss()

    @property
    def validation_loss(self) -> float | None:
        """The validation loss at the end of the last epoch, or None where nothing is held out."""
        history = self._job.loop.history
        return history[-1].get("validation_loss") if history else None

    @property
    def history(self) -> list[dict[str, float]]:
        """One entry for each epoch that is over."""
        self._job.timeline.annotate(self._job.loop.history)
        return [dict(entry) for entry in self._job.loop.history]

    @property
    def settings(self) -> dict[str, float]:
        """Every setting in force in the step to come, schedules looked up."""
        return self._job.timeline.at(self.step)

    @property
    def learning_rate(self) -> float | None:
        """η of the step to come; None where the optimizer has none."""
        return self.settings.get("learning_rate")

    @property
    def parameters(self) -> Any:
        """The parameters as they are now, read only."""
        return tree_map(_read_only, self._job.loop.carry["parameters"])

    @property
    def average(self) -> Any:
        """The moving average of the parameters, read only; None where none is kept."""
        average = self._job.loop.carry.get("average")
        return None if average is None else tree_map(_read_only, average)

    def stop(self, reason: str = "") -> None:
        """End the run here; the reason, where one is given, is in ``run.message``."""
        if self._job.loop.status == "running":
            self._job.loop.status, self._job.loop.problem = "stopped", str(reason)

    def change(self, setting: str, value: float) -> None:
        """Put another number in the place of a setting, from the next step on.

        Of a setting with a schedule that is the schedule's height. The run remembers it: ``run.at(step)`` and
        ``run.settings_at(step)`` know what was in force when.
        """
        self._job.timeline.change(self.step, setting, value)


def _read_only(array: Any) -> Any:
    view = np.asarray(array).view()
    view.flags.writeable = False
    return view


Callback = Callable[[Training], None]


@dataclass(frozen=True)
class Every:
    """A callback that is called every so many steps, in the place of at the end of every epoch.

    >>> import numpy as np, chainrule as cr
    >>> objective = cr.Objective(cr.nn.Dense(1), "squared_error")
    >>> seen = []
    >>> watch = cr.learn.Every(4, lambda training: seen.append(training.step))
    >>> run = cr.fit(objective, (np.ones((6, 1)), np.ones(6)), epochs=10, batch_size=6, callbacks=[watch])
    >>> seen
    [4, 8]
    """

    steps: int
    function: Callback

    def __post_init__(self) -> None:
        require_count(self.steps, "Every: steps")
        _require_callback(self.function, "cr.learn.Every(100, watch): watch")


def _require_callback(function: Any, what: str) -> None:
    if not callable(function):
        raise TrainingError(f"{what} is a function of one argument, or cr.learn.Every, not {function!r:.60}")
    try:
        signature(function).bind(None)
    except TypeError:
        raise TrainingError(
            f"{what} is a function of one argument, the training on its way; {function!r:.60} does not take one.\n"
            "  wrong:  def watch(): …\n"
            "  right:  def watch(training): …"
        ) from None
    except ValueError:  # some functions written in C do not say what they take
        return


class Callbacks:
    """The callbacks of a run, and when each is due: the same steps however the run is cut into slices, or resumed."""

    def __init__(self, given: Sequence[Callback | Every], job: Job) -> None:
        if callable(given) or isinstance(given, Every):
            raise TrainingError("callbacks is a list: callbacks=[watch]")
        if isinstance(given, str) or not isinstance(given, Sequence):
            raise TrainingError(f"callbacks is {given!r:.60}; it must be a list of functions: callbacks=[watch]")
        for one in given:
            if not isinstance(one, Every):
                _require_callback(one, "a callback")
        self.given = given
        self.job = job
        self.called_at = job.loop.step

    @property
    def kinds(self) -> list[str]:
        """How often each is called, as text."""
        return [f"every {one.steps} steps" if isinstance(one, Every) else "every epoch" for one in self.given]

    def next_step(self) -> int | None:
        """Return the next step after which one is due."""
        step, size = self.job.loop.step, self.job.steps_per_epoch
        every = [one.steps if isinstance(one, Every) else size for one in self.given]
        return min(((step // count + 1) * count for count in every), default=None)

    def call(self) -> None:
        """Call those that are due, in their order."""
        loop = self.job.loop
        if not self.given or loop.step == self.called_at:
            return
        self.called_at = loop.step
        training = Training(self.job)
        for one in self.given:
            if isinstance(one, Every):
                if loop.step % one.steps == 0:
                    one.function(training)
            elif loop.step % self.job.steps_per_epoch == 0:
                one(training)


__all__ = ["Callback", "Callbacks", "Every", "Training"]
