"""Settings: the numbers of a training by name. Some of them follow a schedule; all can be read at any step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from chainrule.errors import TrainingError
from chainrule.graph import Type
from chainrule.learn.objective import Objective
from chainrule.learn.optimizers import Optimizer
from chainrule.learn.schedules import Constant, Schedule
from chainrule.learn.treatment import EVEN, Treatment
from chainrule.nn.function import FunctionNetwork
from chainrule.nn.setting import Range, Setting, range_of

Given = Mapping[str, Any]
LOOKED_AT = 100
"""A schedule is looked at in so many first steps, and in so many over the run, before it begins."""


def schedules_in(given: Given | None, steps: int) -> tuple[dict[str, float], dict[str, Schedule]]:
    """Tell the numbers among the given settings from the schedules, whose length is that of the run if left open."""
    numbers: dict[str, float] = {}
    schedules: dict[str, Schedule] = {}
    if not (given is None or isinstance(given, Mapping)):
        raise TrainingError(f"settings is {given!r:.60}; it must be a mapping such as {{'learning_rate': 0.01}}")
    for name, value in (given or {}).items():
        if not (hasattr(value, "at") and hasattr(value, "settings")):
            numbers[name] = value
        elif name == "learning_rate":
            raise TrainingError(
                "the learning rate's schedule is the optimizer's.\n"
                "  wrong:  cr.fit(…, settings={'learning_rate': cr.learn.Cosine(0.01)})\n"
                "  right:  cr.fit(…, optimizer=cr.learn.Adam(cr.learn.Cosine(0.01)))"
            )
        elif isinstance(value, Constant):
            numbers[name] = value.learning_rate
        else:
            schedules[name] = value.with_total(steps)
    return numbers, schedules


def _full_name(name: str, key: str) -> str:
    """Return what a number of a setting's schedule is called: the height has the setting's own name."""
    return name if key == "learning_rate" else f"{name}.{key}"


def in_force(settings: Mapping[str, Any], schedules: Mapping[str, Schedule], step: Any) -> Mapping[str, Any]:
    """Return the settings at a step (a float), those with a schedule as it has them then."""
    if not schedules:
        return settings
    now = dict(settings)
    for name, schedule in schedules.items():
        own = {key: settings[_full_name(name, key)] for key in schedule.settings()}
        now[name] = schedule.at(step, own)
    return now


def settings_of(
    objective: Objective,
    optimizer: Optimizer,
    kind: Type,
    given: Mapping[str, float] | None,
    treatment: Treatment = EVEN,
    schedules: Mapping[str, Schedule] | None = None,
    more: Mapping[str, float] | None = None,
    steps: int = 1,
) -> dict[str, float]:
    """Return all settings by name: a layer's, a penalty's, the optimizer's, a parameter's factors, a schedule's."""
    own = dict(objective.network.declare(kind).settings) if not isinstance(objective.network, FunctionNetwork) else {}
    theirs = optimizer.settings()
    numbers: dict[str, float] = {}
    for part in (own, objective.settings(), theirs, treatment.settings(optimizer.decays), more or {}):
        twice = sorted(set(numbers) & set(part))
        if twice:
            raise TrainingError(
                f"the network and the optimizer both have a setting {twice[0]!r}; put the layer into "
                "cr.nn.Sequential, which gives it a name of its own"
            )
        numbers |= part
    for name, value in numbers.items():
        _in_range(name, value, value)
    return changed_settings(with_schedules(numbers, schedules or {}, steps), given or {})


def with_schedules(numbers: dict[str, float], schedules: Mapping[str, Schedule], steps: int) -> dict[str, float]:
    """Return settings with the numbers of the schedules that some of them follow."""
    for name, schedule in schedules.items():
        _require_known(name, numbers)
        own, within = schedule.settings(), range_of(numbers[name])
        height = Setting(own.get("learning_rate", numbers[name]), within)
        _require_course(name, schedule, own, within, steps)
        numbers = numbers | {_full_name(name, key): value for key, value in own.items()} | {name: height}
    return numbers


def _require_course(name: str, schedule: Schedule, own: Mapping[str, float], within: Range, steps: int) -> None:
    """Refuse a schedule that takes a setting out of its range, at the steps at which it is looked at."""
    arrays = {key: np.asarray(value, np.float64) for key, value in own.items()}
    for step in sorted({*range(min(steps, LOOKED_AT)), *np.linspace(0, steps - 1, LOOKED_AT).astype(int).tolist()}):
        value = float(schedule.at(np.asarray(step, np.float64), arrays))
        if value not in within:
            raise TrainingError(
                f"the setting {name!r} has a schedule that makes it {value:g} in step {step}; it must be {within}"
            )


def changed_settings(numbers: Mapping[str, float], given: Mapping[str, float]) -> dict[str, float]:
    """Return settings with some of them replaced by the given numbers."""
    numbers = dict(numbers)
    for name, value in given.items():
        _require_known(name, numbers)
        numbers[name] = Setting(_in_range(name, value, numbers[name]), range_of(numbers[name]))
    return numbers


def _in_range(name: str, value: Any, place: float) -> float:
    within = range_of(place)
    if value not in within:
        raise TrainingError(f"the setting {name!r} is {value!r}; it must be {within}")
    return float(value)


def _require_known(name: str, numbers: Mapping[str, float]) -> None:
    if name not in numbers:
        raise TrainingError(f"there is no setting {name!r}; there are: {', '.join(numbers)}")
