"""Learning-rate schedules: η_t as a function of the step t, written as a graph over settings.

A schedule's numbers are settings, inputs of the training program: changing one never makes a new graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import log
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from chainrule import ops
from chainrule.errors import TrainingError
from chainrule.nn.activations import choose
from chainrule.nn.setting import AT_LEAST_ONE, FRACTION, NOT_NEGATIVE, POSITIVE, WITHIN_ONE, Range, Setting


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
        _require_rate(self.learning_rate)

    def settings(self) -> dict[str, float]:
        return {"learning_rate": Setting(self.learning_rate, POSITIVE)}

    def at(self, step: Any, settings: Mapping[str, Any]) -> Any:
        return settings["learning_rate"]

    def with_total(self, steps: int) -> Constant:
        return self


def _bad_rate(rate: Any) -> str:
    return f"the learning rate is {rate!r}; it must be a number greater than 0, for instance 0.001"


def _require_rate(rate: Any) -> None:
    _require(rate in POSITIVE, _bad_rate(rate))


def _require_in(value: Any, within: Range, what: str) -> None:
    _require(value in within, f"{what} is {value!r}; it must be {within}")


def _require_steps(steps: Any, kind: str) -> None:
    whole = isinstance(steps, int | np.integer) and not isinstance(steps, bool) and bool(steps >= 1)
    _require(whole, f"{kind}: steps is {steps!r}; it must be a whole number of at least 1")


@dataclass(frozen=True)
class _Long:
    """What schedules of a length share: T (``steps``) may be left open, since ``fit`` knows the length of a run."""

    learning_rate: float
    steps: int | None = None
    kind: ClassVar[str] = ""

    def __post_init__(self) -> None:
        _require_rate(self.learning_rate)
        if self.steps is not None:
            _require_steps(self.steps, self.kind)

    def settings(self) -> dict[str, float]:
        _require(
            self.steps is not None,
            f"{self.kind}: steps is not set; give it, or use the schedule in cr.fit, which knows it",
        )
        length = Setting(self.steps or 0, AT_LEAST_ONE)
        return {"learning_rate": Setting(self.learning_rate, POSITIVE), f"{self.kind}_steps": length}

    def progress(self, step: Any, settings: Mapping[str, Any]) -> Any:
        """Return min(t/T, 1)."""
        return np.minimum(step / settings[f"{self.kind}_steps"], 1.0)

    def with_total(self, steps: int) -> Self:
        return self if self.steps is not None else replace(self, steps=max(steps, 1))


@dataclass(frozen=True)
class Cosine(_Long):
    """η_t = final + ½ (η − final)(1 + cos(π t/T)) for t ≤ T, then final: half a cosine down, over T steps.

    T (``steps``) may be left open; ``fit`` then takes the length of the run. Loshchilov and Hutter (2017), no restarts.
    """

    final: float = 0.0
    kind: ClassVar[str] = "cosine"

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_in(self.final, NOT_NEGATIVE, "cosine: final")

    def settings(self) -> dict[str, float]:
        return {**super().settings(), "final_rate": Setting(self.final, NOT_NEGATIVE)}

    def at(self, step: Any, settings: Mapping[str, Any]) -> Any:
        start, final = settings["learning_rate"], settings["final_rate"]
        return final + 0.5 * (start - final) * (1.0 + np.cos(np.pi * self.progress(step, settings)))


@dataclass(frozen=True)
class FlatCosine(_Long):
    """η_t = η for t ≤ flat·T, then half a cosine down: final + ½ (η − final)(1 + cos(π (t/T − flat)/(1 − flat))).

    What RealMLP does with its rates of dropout and weight decay (Holzmüller, Grinsztajn and Steinwart 2024).
    """

    flat: float = 0.5
    final: float = 0.0
    kind: ClassVar[str] = "flat_cosine"

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_in(self.flat, FRACTION, "flat_cosine: flat")
        _require_in(self.final, NOT_NEGATIVE, "flat_cosine: final")

    def settings(self) -> dict[str, float]:
        return {
            **super().settings(),
            "flat_share": Setting(self.flat, FRACTION),
            "final_rate": Setting(self.final, NOT_NEGATIVE),
        }

    def at(self, step: Any, settings: Mapping[str, Any]) -> Any:
        start, final, flat = settings["learning_rate"], settings["final_rate"], settings["flat_share"]
        falling = np.maximum(self.progress(step, settings) - flat, 0.0) / (1.0 - flat)
        return final + 0.5 * (start - final) * (1.0 + np.cos(np.pi * falling))


@dataclass(frozen=True)
class CosLog4(_Long):
    """η_t = η · ½ (1 − cos(2π log₂(1 + 15 t/T))): four cycles, each twice as long as the one before it.

    The schedule of RealMLP (Holzmüller, Grinsztajn and Steinwart 2024). It begins at 0, so the first step
    moves nothing.
    """

    kind: ClassVar[str] = "coslog4"

    def at(self, step: Any, settings: Mapping[str, Any]) -> Any:
        cycles = np.log(1.0 + 15.0 * self.progress(step, settings)) / log(2.0)
        return settings["learning_rate"] * (0.5 * (1.0 - np.cos(2.0 * np.pi * cycles)))


@dataclass(frozen=True)
class Exponential(_Long):
    """η_t = η · factor^(t/T): the factor is reached after T steps, or, with T = 1, in each step."""

    factor: float = 0.01
    kind: ClassVar[str] = "exponential"

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_in(self.factor, POSITIVE, "exponential: factor")

    def settings(self) -> dict[str, float]:
        return {**super().settings(), "exponential_factor": Setting(self.factor, POSITIVE)}

    def at(self, step: Any, settings: Mapping[str, Any]) -> Any:
        return settings["learning_rate"] * settings["exponential_factor"] ** (step / settings["exponential_steps"])


@dataclass(frozen=True)
class Polynomial(_Long):
    """η_t = final + (η − final)(1 − t/T)^power for t ≤ T, then final; power 1 is a straight line down."""

    power: float = 1.0
    final: float = 0.0
    kind: ClassVar[str] = "polynomial"

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_in(self.power, POSITIVE, "polynomial: power")
        _require_in(self.final, NOT_NEGATIVE, "polynomial: final")

    def settings(self) -> dict[str, float]:
        power = Setting(self.power, POSITIVE)
        return {**super().settings(), "polynomial_power": power, "final_rate": Setting(self.final, NOT_NEGATIVE)}

    def at(self, step: Any, settings: Mapping[str, Any]) -> Any:
        start, final = settings["learning_rate"], settings["final_rate"]
        return final + (start - final) * (1.0 - self.progress(step, settings)) ** settings["polynomial_power"]


@dataclass(frozen=True)
class OneCycle(_Long):
    """Up from η/start to η over the share ``rise`` of the run, then down to η/(start · end): half a cosine each way.

    Smith and Topin (2018), in the form of torch's ``OneCycleLR``: the peak is at step rise·T − 1, the end at T − 1.
    Departure: the momentum is left alone; a schedule of its own can move it (``settings={"momentum": …}``).
    """

    rise: float = 0.3
    start: float = 25.0
    end: float = 1e4
    kind: ClassVar[str] = "one_cycle"

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_in(self.rise, WITHIN_ONE, "one_cycle: rise")
        for name, value in (("start", self.start), ("end", self.end)):
            _require_in(value, AT_LEAST_ONE, f"one_cycle: {name}")

    def settings(self) -> dict[str, float]:
        own = {"one_cycle_start": Setting(self.start, AT_LEAST_ONE), "one_cycle_end": Setting(self.end, AT_LEAST_ONE)}
        return {**super().settings(), "one_cycle_rise": Setting(self.rise, WITHIN_ONE), **own}

    def at(self, step: Any, settings: Mapping[str, Any]) -> Any:
        total, peak = settings["one_cycle_steps"], settings["learning_rate"]
        low = peak / settings["one_cycle_start"]
        lowest = low / settings["one_cycle_end"]
        top = np.maximum(settings["one_cycle_rise"] * total - 1.0, 0.0)

        def between(a: Any, b: Any, share: Any) -> Any:
            return b + 0.5 * (a - b) * (1.0 + np.cos(np.pi * share))

        # Where a part of the way has no length its share is not used: the divisor only has to be no 0.
        up = between(low, peak, step / np.maximum(top, 0.5))
        down = between(peak, lowest, np.minimum((step - top) / np.maximum(total - 1.0 - top, 0.5), 1.0))
        return ops.where(step < top, up, down)


@dataclass(frozen=True)
class Piecewise:
    """η_t = η until the first boundary, and from each boundary on the rate that belongs to it: a stair.

    ``Piecewise(0.1, {1000: 0.01, 2000: 0.001})`` takes 0.1 for the steps 0 … 999, then 0.01, and 0.001 from 2000 on.
    """

    learning_rate: float
    boundaries: Mapping[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _require_rate(self.learning_rate)
        _require(bool(self.boundaries), "piecewise: give the steps at which the rate changes: {1000: 0.01}")
        for step, rate in self.boundaries.items():
            whole = isinstance(step, int | np.integer) and not isinstance(step, bool)
            _require(whole and step >= 1, f"piecewise: {step!r} is no step at which a rate could change")
            _require_in(rate, NOT_NEGATIVE, f"piecewise: the rate from step {step} on")

    def settings(self) -> dict[str, float]:
        found: dict[str, float] = {"learning_rate": Setting(self.learning_rate, POSITIVE)}
        for number, step in enumerate(sorted(self.boundaries), 1):
            found[f"piecewise{number}_step"] = Setting(step, AT_LEAST_ONE)
            found[f"piecewise{number}_rate"] = Setting(self.boundaries[step], NOT_NEGATIVE)
        return found

    def at(self, step: Any, settings: Mapping[str, Any]) -> Any:
        rate = settings["learning_rate"]
        for number in range(1, len(self.boundaries) + 1):
            reached = step >= settings[f"piecewise{number}_step"]
            rate = ops.where(reached, settings[f"piecewise{number}_rate"], rate)
        return rate

    def with_total(self, steps: int) -> Piecewise:
        return self


@dataclass(frozen=True)
class Warmup:
    """η_t = min(1, (t + 1)/W) · after_t: a linear rise over W steps in front of another schedule."""

    after: Any
    steps: int = 100

    def __post_init__(self) -> None:
        object.__setattr__(self, "after", as_schedule(self.after))
        _require_steps(self.steps, "warmup")

    def settings(self) -> dict[str, float]:
        return {**self.after.settings(), "warmup_steps": Setting(self.steps, AT_LEAST_ONE)}

    def at(self, step: Any, settings: Mapping[str, Any]) -> Any:
        return np.minimum((step + 1.0) / settings["warmup_steps"], 1.0) * self.after.at(step, settings)

    def with_total(self, steps: int) -> Warmup:
        return replace(self, after=self.after.with_total(steps))


SCHEDULES: Mapping[str, Any] = {
    "constant": Constant,
    "cosine": Cosine,
    "warmup": lambda rate: Warmup(Constant(rate)),
    "warmup_cosine": lambda rate: Warmup(Cosine(rate)),
    "flat_cosine": FlatCosine,
    "coslog4": CosLog4,
    "exponential": Exponential,
    "polynomial": Polynomial,
    "one_cycle": OneCycle,
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
    """Return a schedule by name, such as cosine or one_cycle; one that needs more than a rate and a length has none."""
    found: Schedule = choose(SCHEDULES, name, "schedule")(rate)
    return found
