"""Held: the multipliers of a problem's limits as training carries them along, for every method of min and max.

In each step, with ĝ the limits' values over the batch: λ̃ = max(0, λ + κĝ) weighs the limits' gradients, and the method
says what becomes of λ. λ never falls below 0, and is 0 exactly where a limit does not bind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal, Protocol

import numpy as np

from chainrule import ops
from chainrule.constrain.inequalities import Inequality, Values, as_inequality
from chainrule.constrain.limits import Limit
from chainrule.constrain.terms import Own
from chainrule.errors import TrainingError
from chainrule.graph import tree_map
from chainrule.learn import Objective
from chainrule.learn.objective import part
from chainrule.learn.program import gradient_of
from chainrule.learn.protocols import Weighed
from chainrule.ops import where

Tree = Any
WINDOW = "dual.window"
"""The steps of an epoch: over so many the values in the history are averaged."""


class Ascent(Protocol):
    """How a method's multipliers move: its numbers, what it carries for each limit, and one step."""

    rates: Literal["smooth", "decisions"]

    def settings(self) -> dict[str, float]: ...

    def first(self, zeros: Values) -> dict[str, Any]: ...

    def damping_of(self, own: Mapping[str, Any], settings: Mapping[str, Any]) -> Any:
        """Return κ."""
        ...

    def risen(self, own: Mapping[str, Any], values: Values, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is carried after a step at which the limits had these values."""
        ...


@dataclass(frozen=True)
class Held:
    """The multipliers of an objective's limits: what ``learn`` knows as ``Multipliers``."""

    ascent: Ascent
    limits: tuple[Inequality, ...]
    loss: Any
    dtype: Any
    steps_per_epoch: int
    whole: bool

    def settings(self) -> dict[str, float]:
        return {**self.ascent.settings(), WINDOW: float(self.steps_per_epoch)}

    def first(self, trained: Tree) -> Tree:
        found: dict[str, Any] = {"since": np.zeros((), self.dtype)}
        for limit in self.limits:
            zeros = [np.zeros(shape, self.dtype) for shape in self._shapes(limit, trained)]
            found[limit.title] = {"multiplier": zeros, "sum": zeros, **self.ascent.first(zeros)}
        return found

    def _shapes(self, limit: Inequality, trained: Tree) -> list[tuple[Any, ...]]:
        if limit.on_outputs:
            return [()] * len(limit.what.labels)
        numbers = {k: np.asarray(v, self.dtype) for k, v in limit.what.settings().items()}
        return [np.shape(v) for v in limit.values(trained, None, numbers)]

    def measured(self, view: Any, settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        found = {}
        for limit in self.limits:
            if limit.on_outputs:
                self._refuse_part_of_rows(limit, view)
                numbers = part(settings, limit.title)
                found[limit.title] = {"value": limit.what.total(view, self.loss, numbers)}
                if self.ascent.rates == "decisions" and limit.what.has_rates:
                    found[limit.title]["decided"] = limit.what.total(view, self.loss, numbers, decided=True)
        return found

    def _refuse_part_of_rows(self, limit: Inequality, view: Any) -> None:
        if self.whole:
            return
        for _, term in limit.what.expression.terms:
            if isinstance(term, Own) and term.looks_at_rows(view, self.loss):
                raise TrainingError(
                    f"{term} returns one number that depends on the rows: that of a batch is not that of all rows.\n"
                    "  right:  return one number a row, whose mean is taken; or batch_size='all', in one tile"
                )

    def weighed(
        self, objective: Objective, carried: Tree, trained: Tree, sums: Tree, settings: Mapping[str, Any]
    ) -> Weighed:
        gradient = tree_map(lambda p: 0.0 * p, trained)
        share = 1.0 / sums["count"]
        over = carried["since"] >= settings[WINDOW]
        after: dict[str, Any] = {"since": where(over, 1.0, carried["since"] + 1.0)}
        penalties: list[tuple[Any, Any]] = []
        for limit in self.limits:
            own, numbers = carried[limit.title], part(settings, limit.title)
            measured = sums["limits"][limit.title] if limit.on_outputs else None
            seen = None if measured is None else measured.get("decided", measured["value"]) * share
            values = limit.values(trained, seen, numbers)
            total = [where(over, g, t + g) for t, g in zip(own["sum"], values, strict=True)]
            if measured is not None and "decided" in measured:  # a count has no value between: aim inside by one row
                values = [g + numbers["jump"] for g in values]
            kappa = self.ascent.damping_of(own, settings)
            weights = [raised(m, kappa * g) for m, g in zip(own["multiplier"], values, strict=True)]
            if measured is not None:
                weight = reduce(lambda a, b: a + b, [s * w for s, w in zip(limit.what.signs, weights, strict=True)])
                gradient = tree_map(lambda g, more, w=weight: g + w * share * more, gradient, measured["gradient"])
            elif limit.penalty is not None:
                penalties.append((limit.penalty, weights[0]))
            else:
                more = gradient_of(limit.weighted(weights, trained, numbers), trained)
                gradient = tree_map(lambda g, m: g + m, gradient, more)
            after[limit.title] = {"sum": total, **self.ascent.risen(own, values, settings)}
        held, numbers = self._left(objective, penalties, settings)
        return Weighed(gradient, held, numbers, after)

    def _left(self, objective: Objective, penalties: Sequence[tuple[Any, Any]], settings: Mapping[str, Any]) -> Any:
        """Return the objective without the limits that multipliers hold, and its settings by their new numbers."""
        taken = {limit.number for limit in self.limits}
        numbers = {k: v for k, v in settings.items() if not k.startswith("set")}
        kept = []
        for i, member in enumerate(objective.subject_to, 1):
            if i not in taken:
                kept.append(member)
                numbers |= {f"set{len(kept)}.{k}": v for k, v in part(settings, f"set{i}").items()}
        more = []
        for penalty, weight in penalties:
            more.append(penalty)
            numbers[f"penalty{len(objective.penalty) + len(more)}.lambda"] = weight
        left = Objective(objective.network, objective.loss, (*objective.penalty, *more), kept)
        return left, numbers

    def noted(self, carried: Tree) -> dict[str, float]:
        found: dict[str, float] = {}
        steps = max(float(carried["since"]), 1.0)
        for limit in self.limits:
            own = carried[limit.title]
            means = limit.named([np.asarray(s, np.float64) / steps for s in own["sum"]], largest=True)
            multipliers = limit.named(own["multiplier"])
            if len(means) > 4:  # one for each unit: their sum, and the worst of them
                multipliers, means = {"": sum(multipliers.values())}, {"": max(means.values())}
            for label, multiplier in multipliers.items():
                name = f"{limit.title}.{label}." if label else f"{limit.title}."
                found |= {f"{name}multiplier": multiplier, f"{name}value": means[label]}
        return found

    def found(self, carried: Tree) -> dict[str, Any]:
        by_title = {}
        for limit in self.limits:
            numbers = limit.named(carried[limit.title]["multiplier"])
            name = str(limit.what)
            if [str(other.what) for other in self.limits].count(name) > 1:
                name = f"{name} ({limit.title})"
            by_title[name] = numbers[""] if list(numbers) == [""] else numbers
        return by_title


def raised(multiplier: Any, by: Any) -> Any:
    """Return max(0, λ + by): 0 exactly where that is not above 0."""
    return ops.maximum(multiplier + by, 0.0)


@dataclass(frozen=True)
class MinMaxMethod:
    """What the methods of min and max have in common: which limits they hold, and how they are bound to a problem."""

    def require_rates(self) -> None:
        """Raise TrainingError where what λ answers to is not one of the two."""
        rates = getattr(self, "rates", None)
        if rates not in ("smooth", "decisions"):
            raise TrainingError(f"{type(self).__name__}: rates is {rates!r:.60}; it is 'smooth' or 'decisions'")

    def bind(self, objective: Objective, rows: Mapping[str, Any], steps_per_epoch: int, whole: bool) -> Any:
        """Return the objective with its limits over these rows, its multipliers, and notes."""
        name = type(self).__name__
        members = tuple(m.on_rows(objective.loss, rows) if isinstance(m, Limit) else m for m in objective.subject_to)
        limits = [q for i, m in enumerate(members, 1) if (q := as_inequality(i, m)) is not None]
        if not limits:
            raise TrainingError(
                f"{name}: the objective has no constraint that multipliers can hold. Give it one: "
                "cr.Objective(network, loss, subject_to=[cr.constrain.L2Ball(4.0)])"
            )
        _refuse_contradictions([m for m in members if isinstance(m, Limit)])
        held = {q.number for q in limits}
        others = [str(m) for i, m in enumerate(members, 1) if i not in held]
        notes = [f"{', '.join(others)}: kept by projection, not by {name}"] if others else []
        bound = Objective(objective.network, objective.loss, objective.penalty, members)
        ascent: Any = self
        return bound, Held(ascent, tuple(limits), bound.loss, rows["x"].dtype, steps_per_epoch, whole), notes


def _refuse_contradictions(limits: Sequence[Limit]) -> None:
    for i, one in enumerate(limits):
        for other in limits[:i]:
            if one.contradicts(other):
                raise TrainingError(f"{other} and {one} contradict each other: no number satisfies both")
