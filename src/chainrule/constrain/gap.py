"""A duality gap: how far F can still fall, for a convex problem; and which problems are seen to be convex."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.constrain.limits import Limit
from chainrule.constrain.selection import named_leaves, with_leaves
from chainrule.constrain.stationarity import Member, made_up
from chainrule.constrain.whole import Whole
from chainrule.learn.objective import Objective, part
from chainrule.learn.protocols import Proximal
from chainrule.nn import Columns, Dense, Frozen, Layer, Rated, Sequential
from chainrule.nn.losses import LOSSES
from chainrule.nn.wrappers import Wrapper

Array = np.ndarray[Any, Any]
CONVEX = tuple(LOSSES)
"""Every loss that has a name is convex in the network's output."""
NOT_NEGATIVE = tuple(name for name in LOSSES if name != "poisson")
MOST_FREE = 200
"""So many parameters outside of all sets and penalties may be there: their best values are found by Newton's method."""
AT_BEST = 1e-11
"""The length of the gradient by free parameters that counts as none."""
ROUNDING = 1e-13
"""What the sums of a gap may be off by, of F: a bound is not claimed below that."""


@dataclass(frozen=True)
class Gap:
    """An upper bound of F(θ) − min F, or why there is none."""

    value: float
    why: str


def is_linear(network: Layer) -> bool:
    """Is the output a linear function of the parameters: one dense layer without an activation?

    Around it, too, only what is known is looked through: a class of one's own may do anything with the output.
    """
    layer: Layer = network
    while type(layer) in (Sequential, Columns, Frozen, Rated):
        inner = [layer.inner] if isinstance(layer, Wrapper) else list(layer.children().values())
        if len(inner) != 1:
            return False
        layer = inner[0]
    return type(layer) is Dense and layer.activation == "identity"


def why_convex(objective: Objective, declared: bool) -> tuple[bool, str]:
    """Return whether a problem is convex, and why, or what is not."""
    for constraint in objective.subject_to:
        if not getattr(constraint, "convex", declared):
            known = "is not known to be convex" if isinstance(constraint, Limit) else "is not convex"
            return False, f"{constraint} {known}"
    if declared:
        return True, "declared by convex=True"
    for penalty in objective.penalty:
        if not hasattr(penalty, "conjugate"):
            return False, f"it is not known whether {penalty} is convex"
    if not is_linear(objective.network):
        return False, "the network is not linear in its parameters"
    if objective.loss.name not in CONVEX or type(objective.loss) is not type(LOSSES[objective.loss.name]):
        return False, f"it is not known whether the loss {objective.loss.name} is convex"
    return True, "a network that is linear in its parameters, a convex loss, convex sets and penalties"


def duality_gap(whole: Whole, members: list[Member], trained: Any, value: float) -> Gap:
    """Return an upper bound of how far a convex objective can fall from θ.

    With d = −∇f split into d_k, one for each set and penalty h_k: for every point, f + Σ h_k is at least
    f(θ) + ⟨d, θ⟩ − Σ h_k*(d_k), so that the gap is Σ_k [h_k(θ) + h_k*(d_k) − ⟨d_k, θ⟩] (Frank and Wolfe 1956 for one
    set). h* of a set is its support. Parameters that nothing covers would make it infinite; they are taken to their
    best values first, by Newton's method, since min over them of a convex function is convex.
    """
    smooth: list[tuple[Any, dict[str, Any]]] = [
        (p, part(whole.settings, f"penalty{i}"))
        for i, p in enumerate(whole.objective.penalty, 1)
        if not isinstance(p, Proximal)
    ]
    covered = {n for m in members for n in m.what.covered} | {n for p, _ in smooth for n in p.covered}
    free = [name for name in named_leaves(trained) if name not in covered]
    if free:
        there = _free_at_best(whole, trained, free)
        if there is None:
            return Gap(float("inf"), f"nothing limits {', '.join(free)}, and their best values were not found")
        trained = there
    # the smooth penalties are among the h_k here, so f is F alone
    f, gradient = whole.data_loss(trained)
    points = {n: np.asarray(v, np.float64) for n, v in named_leaves(trained).items()}
    here = f + sum(float(p.value(trained, s)) for p, s in smooth) + whole.rough(trained)
    total = max(value - here, 0.0)
    split = made_up(members, trained, whole.smooth(trained)[1])
    d = {n: -np.asarray(g, np.float64) for n, g in named_leaves(gradient).items()}
    shares: list[dict[str, Array]] = [dict(cone.nearest) for cone in split.parts]
    for penalty, numbers in smooth:  # a smooth penalty takes its own gradient
        shares.append({n: 2.0 * numbers["lambda"] * points[n] for n in penalty.covered})
    left = {n: v - sum(s[n] for s in shares if n in s) for n, v in d.items()}
    takers = _takers(members, smooth, free)
    if isinstance(takers, str):
        return Gap(float("inf"), takers)
    for name, taker in takers.items():
        shares[taker][name] = shares[taker][name] + left[name]
    level = here if whole.objective.loss.name in NOT_NEGATIVE else float("inf")
    zero = {n: np.zeros_like(v) for n, v in points.items()}
    for i, share in enumerate(shares):
        direction = with_leaves(trained, zero | share)
        along = sum(float(np.sum(v * points[n])) for n, v in share.items())
        if i < len(members) and members[i].is_set:
            total += members[i].what.support(direction, members[i].settings) - along
            continue
        what: Any = members[i].what if i < len(members) else smooth[i - len(members)][0]
        own = members[i].settings if i < len(members) else smooth[i - len(members)][1]
        opposite = with_leaves(trained, {n: -v for n, v in (zero | share).items()})
        total += float(what.value(trained, own)) + what.conjugate(opposite, own, level) - along
    total = max(total, 0.0) + ROUNDING * abs(value)
    return Gap(total, "") if np.isfinite(total) else Gap(float("inf"), _unbounded(members))


def _unbounded(members: list[Member]) -> str:
    names = ", ".join(str(m.what) for m in members if m.is_set and not getattr(m.what, "bounded", False))
    return f"{names or 'the objective'} is unbounded, so that no finite lower bound follows"


def _takers(members: list[Member], smooth: list[Any], free: list[str]) -> dict[str, int] | str:
    """Return which member takes what is left of each parameter's gradient: one whose conjugate is finite there."""
    found: dict[str, int] = {}
    names = {n for m in members for n in m.what.covered} | {n for p, _ in smooth for n in p.covered}
    for name in names:
        able = [i for i, m in enumerate(members) if m.is_set and name in m.what.covered and m.what.bounded]
        able += [len(members) + i for i, (p, s) in enumerate(smooth) if name in p.covered and s["lambda"] > 0]
        able += [
            i for i, m in enumerate(members) if not m.is_set and name in m.what.covered and m.settings["lambda"] > 0
        ]
        if not able:
            return _unbounded(members)
        found[name] = able[0]
    return found


def _free_at_best(whole: Whole, trained: Any, free: list[str]) -> Any:
    """Return θ with the parameters that nothing covers at their best: Newton's method, with differences of ∇F."""
    points = named_leaves(trained)
    count = sum(points[n].size for n in free)
    if count > MOST_FREE:
        return None
    cuts = np.cumsum([points[n].size for n in free])[:-1]

    def at(u: Array) -> Any:
        parts = np.split(u, cuts)
        return with_leaves(trained, {n: v.reshape(points[n].shape) for n, v in zip(free, parts, strict=True)})

    def slope(u: Array) -> Array:
        gradient = named_leaves(whole.smooth(at(u))[1])
        return np.concatenate([gradient[n].ravel() for n in free])

    u = np.concatenate([points[n].ravel() for n in free])
    g = slope(u)
    for _ in range(30):
        if np.linalg.norm(g) <= AT_BEST:
            return at(u)
        h = 1e-5 * (1.0 + np.abs(u))
        hessian = np.array([(slope(u + e) - slope(u - e)) / (2.0 * e.sum()) for e in np.diag(h)])
        step = np.linalg.lstsq(0.5 * (hessian + hessian.T), -g, rcond=1e-10)[0]
        while True:
            trial = slope(u + step)
            if np.linalg.norm(trial) < np.linalg.norm(g):
                break
            step = 0.5 * step
            if np.linalg.norm(step) <= 1e-14 * (1.0 + np.linalg.norm(u)):
                return None
        u, g = u + step, trial
    return None
