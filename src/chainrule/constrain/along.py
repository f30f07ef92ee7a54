"""Along: the one number of an objective that a path varies, the radius of a set or the λ of a penalty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chainrule.constrain.selection import named_leaves
from chainrule.errors import TrainingError
from chainrule.graph import tree_map
from chainrule.learn import Objective

Array = np.ndarray[Any, Any]
NO_RADIUS = 1e-150
"""With so small a radius the limit g = R(θ) − r, or ‖w‖² − r², is R(θ) to the last bit."""


@dataclass(frozen=True)
class Along:
    """The number that varies: its setting, and the set or penalty that has it."""

    setting: str
    member: Any
    is_set: bool

    @property
    def symbol(self) -> str:
        return "r" if self.is_set else "λ"

    @property
    def what(self) -> str:
        return "radius" if self.is_set else "strength"

    @property
    def place(self) -> int:
        """Its place in the objective's list, from 0."""
        return int(self.setting.partition(".")[0].removeprefix("set" if self.is_set else "penalty")) - 1

    def of(self, objective: Objective) -> Any:
        """Return the set or penalty as an objective has it, which may have been told what it covers."""
        return (objective.subject_to if self.is_set else objective.penalty)[self.place]

    def at(self, value: float) -> Any:
        """Return the set or penalty with another number."""
        return replace(self.member, **{"radius" if self.is_set else "strength": value})

    def without(self, objective: Objective) -> Objective:
        """Return the objective without it."""
        penalty, sets = list(objective.penalty), list(objective.subject_to)
        del (sets if self.is_set else penalty)[self.place]
        return Objective(objective.network, objective.loss, penalty, sets)

    def size(self, parameters: Any, member: Any) -> float | None:
        """Return R(θ) in units of the radius: the least radius at which θ is inside; of a penalty R(θ) itself.

        None for a set of one's own, which does not say.
        """
        if not self.is_set:
            return float(member.size(parameters))
        if not hasattr(member, "normal_cone"):
            return None
        still = tree_map(np.zeros_like, parameters)
        values = member.normal_cone(parameters, still, {"radius": NO_RADIUS}).values.values()
        squared = "‖w‖²" in member.multiplier_of
        return max(float(np.sqrt(max(g, 0.0))) if squared else float(max(g, 0.0)) for g in values)

    def multiplier(self, multipliers: Mapping[str, float], title: str) -> float | None:
        """Return λ̂ of the set: of one limit, or the sum over those of layers or units."""
        own = [m for label, m in multipliers.items() if label.partition(" | ")[0].startswith(title)]
        return float(sum(own)) if own else None


def find_along(objective: Objective, radii: Any, strengths: Any, along: str | None) -> Along:
    """Return the number of an objective that a path varies.

    Raises:
        TrainingError: there is none, or more than one and ``along`` names none, or it is of the other kind.
    """
    choices = {
        f"set{i}.radius": Along(f"set{i}.radius", m, True)
        for i, m in enumerate(objective.subject_to, 1) if "radius" in m.settings()
    } | {
        f"penalty{i}.lambda": Along(f"penalty{i}.lambda", m, False)
        for i, m in enumerate(objective.penalty, 1) if "lambda" in m.settings()
    }  # fmt: skip
    named = ", ".join(f"{name} ({choice.member})" for name, choice in choices.items())
    if not choices:
        raise TrainingError(
            "a path varies the radius of a set or the λ of a penalty, and the objective has neither: give "
            "subject_to=[cr.constrain.L2Ball(1.0)] or penalty=[1.0 * cr.constrain.L1()]"
        )
    if along is not None:
        if along not in choices:
            raise TrainingError(f"along is {along!r:.60}; it is one of: {named}")
        found = choices[along]
    elif len(choices) > 1:
        raise TrainingError(
            f"the objective has {len(choices)} numbers that a path could vary: {named}. A path varies one: name it by "
            f"along={next(iter(choices))!r}; the others stay as they are"
        )
    else:
        (found,) = choices.values()
    other = strengths if found.is_set else radii
    if other is not None:
        right, wrong = ("radii", "strengths") if found.is_set else ("strengths", "radii")
        raise TrainingError(f"{found.member} has a {found.what} {found.symbol}: give {right}=…, not {wrong}")
    return found


def checked_values(given: Any, along: Along) -> list[float]:
    """Return the numbers of a path from the strongest limit to the weakest.

    Raises:
        TrainingError: numbers that are not greater than 0, that are not sorted, or fewer than two.
    """
    name = "radii" if along.is_set else "strengths"
    try:
        values = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        values = np.empty((0, 0))
    if values.ndim != 1 or len(values) < 2:
        raise TrainingError(f"{name} is {given!r:.60}; give at least two numbers, such as [0.1, 0.3, 1.0]")
    bad = values[~(np.isfinite(values) & (values > 0.0))]
    if len(bad):
        raise TrainingError(f"{name} has {bad[0]:g}; each must be a finite number greater than 0")
    steps = np.diff(values)
    if not (np.all(steps > 0.0) or np.all(steps < 0.0)):
        goes = np.sign(values[-1] - values[0]) or 1.0
        place = int(np.flatnonzero(np.sign(steps) != goes)[0])
        raise TrainingError(
            f"{name} is not sorted: {values[place]:g} stands before {values[place + 1]:g}. A path goes one way, since "
            f"each point starts at the solution before: give sorted({name}), each number once"
        )
    loosening = bool(steps[0] > 0.0) == along.is_set
    ordered: Sequence[float] = values.tolist() if loosening else values[::-1].tolist()
    return list(ordered)


def with_zeros(parameters: Any, names: Sequence[str]) -> dict[str, Array]:
    """Return zeros for some of the parameters, by name."""
    leaves = named_leaves(parameters)
    return {name: np.zeros_like(leaves[name]) for name in names}
