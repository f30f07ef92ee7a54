"""Learning-rate schedules: η_t as a function of the step t, written as a graph over settings.

A schedule's numbers are settings, inputs of the training program: changing one never makes a new graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from chainrule.errors import TrainingError
from chainrule.nn.activations import choose


class Schedule(Protocol):
    """A learning rate that may change from step to step."""

    def settings(self) -> dict[str, float]:
        """Return the schedule's numbers by name."""
        ...

    def at(self, step: Any, settings: Mapping[str, Any]) -> Any:
        """Return η at a step (a float, from 0), given the settings in force."""
        ...

    def with_total(self, steps: int) -> Schedule:
        """Return the schedule with its length filled in, where it was left open."""
        ...


def _require(ok: bool, message: str) -> None:
    if not ok:
        raise TrainingError(message)


@dataclass(frozen=True)
class Constant:
    """η_t = η."""

    learning_rate: float

    def __post_init__(self) -> None:
        _require(np.isfinite(self.learning_rate) and self.learning_rate > 0, _bad_rate(self.learning_rate))

    def settings(self) -> dict[str, float]:
        return {"learning_rate": self.learning_rate}

    def at(self, step: Any, settings: Mapping[str, Any]) -> Any:
        return settings["learning_rate"]

    def with_total(self, steps: int) -> Constant:
        return self


def _bad_rate(rate: Any) -> str:
    return f"the learning rate is {rate!r}; it must be a number greater than 0, for instance 0.001"


@dataclass(frozen=True)
class Cosine:
    """η_t = final + ½ (η − final)(1 + cos(π t/T)) for t ≤ T, then final: half a cosine down, over T steps.

    T (``steps``) may be left open; ``fit`` then takes the length of the run. Loshchilov and Hutter (2017), no restarts.
    """

    learning_rate: float
    steps: int | None = None
    final: float = 0.0

    def __post_init__(self) -> None:
        _require(np.isfinite(self.learning_rate) and self.learning_rate > 0, _bad_rate(self.learning_rate))
        _require(self.steps is None or self.steps >= 1, f"cosine: steps is {self.steps}; it must be at least 1")

    def settings(self) -> dict[str, float]:
        _require(
            self.steps is not None, "cosine: steps is not set; give it, or use the schedule in cr.fit, which knows it"
        )
        return {"learning_rate": self.learning_rate, "cosine_steps": float(self.steps or 0), "final_rate": self.final}

    def at(self, step: Any, settings: Mapping[str, Any]) -> Any:
        start, final = settings["learning_rate"], settings["final_rate"]
        fraction = np.minimum(step / settings["cosine_steps"], 1.0)
        return final + 0.5 * (start - final) * (1.0 + np.cos(np.pi * fraction))

    def with_total(self, steps: int) -> Cosine:
        return self if self.steps is not None else replace(self, steps=max(steps, 1))


@dataclass(frozen=True)
class Warmup:
    """η_t = min(1, (t + 1)/W) · after_t: a linear rise over W steps in front of another schedule."""

    after: Any
    steps: int = 100

    def __post_init__(self) -> None:
        object.__setattr__(self, "after", as_schedule(self.after))
        _require(self.steps >= 1, f"warmup: steps is {self.steps}; it must be at least 1")

    def settings(self) -> dict[str, float]:
        return {**self.after.settings(), "warmup_steps": float(self.steps)}

    def at(self, step: Any, settings: Mapping[str, Any]) -> Any:
        return np.minimum((step + 1.0) / settings["warmup_steps"], 1.0) * self.after.at(step, settings)

    def with_total(self, steps: int) -> Warmup:
        return replace(self, after=self.after.with_total(steps))


SCHEDULES: Mapping[str, Any] = {
    "constant": Constant,
    "cosine": Cosine,
    "warmup": lambda rate: Warmup(Constant(rate)),
    "warmup_cosine": lambda rate: Warmup(Cosine(rate)),
}


def as_schedule(rate: Any) -> Schedule:
    """Return a schedule as it is, and a number as a constant one."""
    if hasattr(rate, "at") and hasattr(rate, "settings"):
        found: Schedule = rate
        return found
    if isinstance(rate, bool) or not isinstance(rate, int | float | np.integer | np.floating):
        raise TrainingError(_bad_rate(rate))
    return Constant(float(rate))


def get_schedule(name: str, rate: float) -> Schedule:
    """Return a schedule by name: constant, cosine, warmup, warmup_cosine."""
    found: Schedule = choose(SCHEDULES, name, "schedule")(rate)
    return found
