"""How a gradient is made up at a point: −∇F = Σ normals of sets + subgradients of penalties + what is left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule.constrain.at_point import LimitAt
from chainrule.constrain.balls import L2Ball
from chainrule.constrain.selection import named_leaves
from chainrule.constrain.sets import NormalCone, VectorSet
from chainrule.constrain.solving import nonnegative_least_squares
from chainrule.learn.objective import Objective, part
from chainrule.learn.protocols import Proximal

Array = np.ndarray[Any, Any]
Named = dict[str, Array]
MOST_SWEEPS = 2000


@dataclass(frozen=True)
class Member:
    """A set, or a penalty that is not smooth, with its numbers in force."""

    what: Any
    title: str
    settings: Mapping[str, Any]
    is_set: bool
    active: float | None = None
    """How near a limit counts as reached, where that is not the set's own."""

    def normal(self, parameters: Any, direction: Named) -> NormalCone:
        more = {"active": self.active} if self.active is not None and isinstance(self.what, VectorSet) else {}
        found: NormalCone = self.what.normal_cone(parameters, direction, self.settings, **more)
        return found


@dataclass
class Split:
    """What each member takes of −∇F, and what is left over, by parameter."""

    members: list[Member]
    parts: list[NormalCone]
    left: Named
    rows: list[Named] = field(default_factory=list)
    """The gradients of the limits whose multipliers are over 0: J."""

    @property
    def residual(self) -> float:
        return float(np.sqrt(sum(np.sum(np.square(v)) for v in self.left.values())))


def members_of(objective: Objective, settings: Mapping[str, Any]) -> list[Member]:
    """Return the penalties that are not smooth and the sets of an objective."""
    found = [
        Member(p, f"penalty{i}", part(settings, f"penalty{i}"), False)
        for i, p in enumerate(objective.penalty, 1)
        if isinstance(p, Proximal)
    ]
    return found + [
        Member(s, f"set{i}", part(settings, f"set{i}"), True) for i, s in enumerate(objective.subject_to, 1)
    ]


def made_up(members: list[Member], parameters: Any, gradient: Any) -> Split:
    """Return the nearest sum of normals and subgradients to −∇F.

    min ‖−∇F − Σ n_k‖ over n_k in each member's cone, member by member, until nothing changes: a convex problem in
    blocks, whose minimum that reaches. L2 balls and limits on functions, which are rays, are found at once by
    nonnegative least squares where several meet.
    """
    wanted = {name: -np.asarray(g, np.float64) for name, g in named_leaves(gradient).items()}
    size = float(np.sqrt(sum(np.sum(np.square(v)) for v in wanted.values())))
    rays = [i for i, m in enumerate(members) if isinstance(m.what, L2Ball | LimitAt)]
    parts: list[NormalCone] = [NormalCone({}, {}) for _ in members]
    for _ in range(MOST_SWEEPS):
        change = 0.0
        if len(rays) > 1:
            change += _balls_at_once(members, rays, parts, parameters, wanted)
        for i, member in enumerate(members):
            if len(rays) > 1 and i in rays:
                continue
            found = member.normal(parameters, _without(wanted, parts, skipped=[i]))
            change += _distance(found.nearest, parts[i].nearest)
            parts[i] = found
        if change <= 1e-12 * size or len(members) < 2 or _apart(members):
            break
    return Split(members, parts, _without(wanted, parts), _rows(members, parts, parameters))


def _without(wanted: Named, parts: list[NormalCone], skipped: list[int] | None = None) -> Named:
    left = dict(wanted)
    for i, found in enumerate(parts):
        if i not in (skipped or []):
            for name, value in found.nearest.items():
                left[name] = left[name] - value
    return left


def _distance(a: Named, b: Named) -> float:
    return float(np.sqrt(sum(np.sum(np.square(v - b.get(n, 0.0))) for n, v in a.items())))


def _apart(members: list[Member]) -> bool:
    """Is no parameter covered twice? Then one sweep is all."""
    names = [name for m in members for name in m.what.covered]
    return len(names) == len(set(names))


def _balls_at_once(
    members: list[Member], rays: list[int], parts: list[NormalCone], parameters: Any, wanted: Named
) -> float:
    """Find the multipliers of all L2 balls together: argmin over λ ≥ 0 of ‖d − Jᵀλ‖."""
    points = named_leaves(parameters)
    target = _without(wanted, parts, skipped=rays)
    owners: list[tuple[int, str]] = []
    rows: list[Named] = []
    cones = [members[i].normal(parameters, {n: np.asarray(p, np.float64) for n, p in points.items()}) for i in rays]
    for i, cone in zip(rays, cones, strict=True):  # along w itself every active ball has a multiplier over 0: ½
        for label, row in limit_gradients(members[i], cone):
            owners.append((i, label))
            rows.append(row)
    names = list(dict.fromkeys(name for row in rows for name in row))
    if not rows:
        for i, cone in zip(rays, cones, strict=True):
            parts[i] = NormalCone({}, dict.fromkeys(cone.multipliers, 0.0), cone.values)
        return 0.0
    matrix = np.array([np.concatenate([row.get(n, np.zeros_like(target[n])).ravel() for n in names]) for row in rows])
    multipliers = nonnegative_least_squares(matrix, np.concatenate([target[n].ravel() for n in names]))
    change = 0.0
    for i, cone in zip(rays, cones, strict=True):
        nearest: Named = {}
        found = dict.fromkeys(cone.multipliers, 0.0)
        for (owner, label), row, multiplier in zip(owners, rows, multipliers, strict=True):
            if owner == i:
                found[label] = float(multiplier)
                for n, value in row.items():
                    nearest[n] = nearest.get(n, 0.0) + multiplier * value
        change += _distance(nearest, parts[i].nearest)
        parts[i] = NormalCone(nearest, found, cone.values)
    return change


def limit_gradients(member: Member, cone: NormalCone) -> list[tuple[str, Named]]:
    """Return the gradient of each limit that has a multiplier over 0: its normal, divided by the multiplier.

    Of a limit on a function, those of all its inequalities that are active.
    """
    if isinstance(member.what, LimitAt):
        return member.what.gradients()
    active = [label for label, m in cone.multipliers.items() if m > 0.0]
    if not active:
        return []
    if len(cone.multipliers) == 1:
        (label,) = active
        return [(label, {n: v / cone.multipliers[label] for n, v in cone.nearest.items()})]
    found = []
    for label in active:  # each limit of a set is over numbers of its own
        mask = member.what.elements_of(label, cone.nearest)
        found.append((label, {n: v * mask[n] / cone.multipliers[label] for n, v in cone.nearest.items() if n in mask}))
    return found


def _rows(members: list[Member], parts: list[NormalCone], parameters: Any) -> list[Named]:
    """Return the gradients of active limits: by their own normals, and, where λ is 0, by those along w itself.

    A limit that is active with a multiplier of 0 counts: another one that says the same may have taken its part.
    """
    points = {n: np.asarray(v, np.float64) for n, v in named_leaves(parameters).items()}
    rows: list[Named] = []
    for member, cone in zip(members, parts, strict=True):
        if member.is_set:
            found = dict(limit_gradients(member, cone))
            if any(label not in found for label in cone.multipliers) and not isinstance(member.what, LimitAt):
                found = dict(limit_gradients(member, member.normal(parameters, points))) | found
            rows += found.values()
    return rows


def smallest_singular_value(rows: list[Named]) -> float | None:
    """Return σ_min of J: None where no limit is active, or where J is too large to ask."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    like = {n: row[n] for row in rows for n in row}
    if not rows or len(rows) * sum(v.size for v in like.values()) > 5e7:
        return None
    matrix = np.array([np.concatenate([row.get(n, np.zeros_like(like[n])).ravel() for n in names]) for row in rows])
    return float(np.linalg.svd(matrix, compute_uv=False)[-1]) if len(rows) <= matrix.shape[1] else 0.0
