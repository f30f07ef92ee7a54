"""A limit on losses or rates at a point: g and ∇g over all rows, as ``cr.optimality`` asks them of a set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.constrain.limits import Limit
from chainrule.constrain.selection import named_leaves
from chainrule.constrain.sets import NormalCone
from chainrule.constrain.solving import nonnegative_least_squares
from chainrule.constrain.whole import Whole
from chainrule.graph import flatten, make_graph, unflatten
from chainrule.learn import Objective
from chainrule.learn.program import View, gradient_of, rows_type, types_of
from chainrule.nn import Scope

Array = np.ndarray[Any, Any]
Named = dict[str, Array]


@dataclass(frozen=True)
class LimitAt:
    """A limit where a point is: the values g of its inequalities and their gradients. It is no set to project on."""

    limit: Limit
    values: dict[str, float]
    slopes: dict[str, Named]
    active: float
    """An inequality is active where its g is at least minus this."""
    allowed: float
    """A violation that counts as none."""
    jump: float = 0.0
    """What two rows' decisions are of g, where g counts decisions: nearer to 0 than that it need not come."""

    @property
    def covered(self) -> tuple[str, ...]:
        return tuple(next(iter(self.slopes.values())))

    @property
    def multiplier_of(self) -> str:
        return {"<=": "its left side − its right", ">=": "its right side − its left", "abs": "its two sides"}[
            self.limit.side
        ]

    def __str__(self) -> str:
        return str(self.limit)

    def gradients(self) -> list[tuple[str, Named]]:
        """Return the gradients of the inequalities that are active."""
        return [(label, self.slopes[label]) for label, g in self.values.items() if g >= -self.active]

    def distance(self, parameters: Any, settings: Any = None) -> float:
        """Return by how much the limit is violated: [g]₊."""
        return float(np.maximum(0.0, list(self.values.values())).max())  # NaN stays NaN, which no limit allows

    def normal_cone(self, parameters: Any, direction: Any, settings: Any = None) -> NormalCone:
        """Return the nearest Σ λ∇g of active inequalities, λ ≥ 0, to a direction."""
        wanted = {n: np.asarray(v, np.float64) for n, v in named_leaves(direction).items()}
        multipliers = dict.fromkeys(self.values, 0.0)
        nearest = {n: np.zeros_like(wanted[n]) for n in self.covered}
        rows = self.gradients()
        if rows:
            matrix = np.array([_long(row, self.covered) for _, row in rows])
            found = nonnegative_least_squares(matrix, _long(wanted, self.covered))
            for (label, row), multiplier in zip(rows, found, strict=True):
                multipliers[label] = float(multiplier)
                nearest = {n: v + multiplier * row[n] for n, v in nearest.items()}
        return NormalCone(nearest, multipliers, {k: g if abs(g) > self.jump else 0.0 for k, g in self.values.items()})


def _long(named: Mapping[str, Array], names: tuple[str, ...]) -> Array:
    return np.concatenate([np.ravel(named[n]) for n in names])


def over_rows(objective: Objective, rows: Mapping[str, Array]) -> Objective:
    """Return an objective whose limits know what share of these rows each of their groups is."""
    members = [m.on_rows(objective.loss, rows) if isinstance(m, Limit) else m for m in objective.subject_to]
    return Objective(objective.network, objective.loss, objective.penalty, members)


def limit_at(
    limit: Limit, numbers: Mapping[str, Any], whole: Whole, trained: Any, tolerance: float, decided: bool = False
) -> LimitAt:
    """Return a limit at a point, over all rows at once: ∇g of its smooth form, and g by that or by decisions."""

    def sums(trained: Any, everything: Any, state: Any, settings: Any, own: Any, batch: Any) -> Any:
        parameters = whole.treatment.merged(everything, trained)
        scope = Scope(parameters, state=state, settings=settings)
        outputs = whole.objective.network.forward(scope, batch["x"])
        losses = whole.objective.loss.rows(batch["y"], outputs)
        view = View(parameters, outputs, losses, batch)
        total = limit.total(view, whole.objective.loss, own)
        return limit.total(view, whole.objective.loss, own, decided), gradient_of(total, trained)

    own = {k: np.float64(v) for k, v in numbers.items()}
    given = (trained, whole.start, whole.state, whole.settings, own)
    graph = make_graph(sums, *map(types_of, given), {k: rows_type(v) for k, v in whole.rows.items()})
    assert graph.gives is not None
    count = len(whole.rows["x"])
    total, slope = unflatten(graph.gives, whole.executor.run(graph, flatten((*given, whole.rows))[0], count))
    gradient = {n: np.asarray(v, np.float64) / count for n, v in named_leaves(slope).items()}
    values = limit.values(float(total) / count, own)
    jump = 2.0 * limit.jump if decided else 0.0  # training aims inside by one row's decision, and ends beside that
    allowed = allowed_of(limit, tolerance)
    return LimitAt(
        limit,
        {label: float(g) for label, g in zip(limit.labels, values, strict=True)},
        {label: {n: s * v for n, v in gradient.items()} for label, s in zip(limit.labels, limit.signs, strict=True)},
        allowed + jump,
        allowed,
        jump,
    )


def allowed_of(limit: Limit, tolerance: float) -> float:
    """Return the g that counts as 0: ε (1 + |r|)."""
    return tolerance * (1.0 + abs(limit.at_most))
