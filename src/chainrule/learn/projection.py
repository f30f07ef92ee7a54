"""What follows a step: proximal steps of penalties that are not smooth, and projection, in the metric of the step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np

from chainrule import ops
from chainrule.errors import TrainingError
from chainrule.graph import flatten, make_constant, unflatten
from chainrule.learn.optimizers import Metric
from chainrule.learn.protocols import Proximal
from chainrule.ops.regions import iterate

Tree = Any
Move = Callable[[Tree], tuple[Tree, Any]]
"""From a point to the nearest point of a set, or to the proximal point of a penalty, and whether that converged."""
MOST_ROUNDS = 5000
FEW_ROUNDS = 50
TINY = 1e-30
"""Added to a step of 0: an element that the step cannot move is held so fast that others give way first."""


def part(settings: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return the settings under a prefix, by their short names."""
    start = f"{prefix}."
    return {k.removeprefix(start): v for k, v in settings.items() if k.startswith(start)}


def project(objective: Any, moved: Tree, metric: Metric, settings: Mapping[str, Any]) -> tuple[Tree, Any]:
    """Return the point that penalties and sets make of a step, in its metric, and whether that was found.

    That is argmin over w ∈ Ω of Σ λR(w) + ½‖w − θ‖²_M, over the penalties that are not smooth and all sets. Those over
    different parameters do not meet, and go one after the other; of those over the same ones Dykstra's method finds
    the point that one after the other would miss.
    """
    chosen = [
        (p, f"penalty{i}", False) for i, p in enumerate(objective.penalty, 1) if isinstance(p, Proximal)
    ] + [(s, f"set{i}", True) for i, s in enumerate(objective.subject_to, 1)]  # fmt: skip
    for member, _, is_set in chosen:
        if metric.kind == "unknown":
            what = "cannot be kept by projection" if is_set else "is not smooth and needs a proximal step"
            raise TrainingError(
                f"{member} {what}: this optimizer does not say in which metric it steps; use SGD or Adam"
            )
    converged: Any = make_constant(np.asarray(True))
    for group in _meeting([(getattr(m, "covered", None), (m, prefix, is_set)) for m, prefix, is_set in chosen]):
        moves = [_move(m, metric, part(settings, prefix), is_set) for m, prefix, is_set in group]
        sets = [move for move, (_, _, is_set) in zip(moves, group, strict=True) if is_set]
        moved, ok = moves[0](moved) if len(moves) == 1 else nearest_of_all(moves, sets, moved, metric)
        converged = ops.logical_and(converged, ok)
    return moved, converged


def _move(member: Any, metric: Metric, numbers: Mapping[str, Any], is_set: bool) -> Move:
    return lambda point: (member.project if is_set else member.shrink)(point, metric, numbers)


def _meeting(covers: Sequence[tuple[tuple[str, ...] | None, Any]]) -> list[list[Any]]:
    """Group what is over common parameters; None is over all of them."""
    groups: list[tuple[set[str] | None, list[Any]]] = []
    for cover, member in covers:
        names: set[str] | None = None if cover is None else set(cover)
        together = [member]
        apart = []
        for other, members in groups:
            if names is None or other is None or names & other:
                names = None if names is None or other is None else names | other
                together = members + together
            else:
                apart.append((other, members))
        groups = [*apart, (names, together)]
    return [members for _, members in groups]


def nearest_of_all(moves: Sequence[Move], sets: Sequence[Move], start: Tree, metric: Metric) -> tuple[Tree, Any]:
    """Return the nearest point of several sets at once, by Dykstra's method, and whether it was found.

    x ← Π_k(x + p_k), p_k ← x_before + p_k − x, for each set in turn; for a penalty Π_k is its proximal point
    (Boyle and Dykstra 1986; Bauschke and Combettes 2008 for penalties). It ends by the rule of Birgin and Raydan
    (2005), when Σ‖p_k − p_k before‖² is small. Then the sets alone are projected on in turn until nothing changes any
    more, so that the point is in all of them in floating point.
    """
    leaves, structure = flatten(start)
    dtype = leaves[0].dtype
    near = 4e-6 if dtype == np.float32 else 1e-11  # it converges by a factor a round, which may be near to 1
    steps = flatten(metric.step)[0] if metric.kind == "diagonal" else [1.0] * len(leaves)
    none = [0.0 * ops.absolute(leaf) for leaf in leaves]

    def size(values: Sequence[Any]) -> Any:
        return reduce(lambda a, b: a + b, [ops.sum_(v * v / (s + TINY)) for v, s in zip(values, steps, strict=True)])

    limit = near**2 * size(leaves)

    def body(state: Any) -> Any:
        x, kept, _, _ = state
        fine: Any = np.asarray(True)
        change: Any = 0.0
        after = []
        for move, p in zip(moves, kept, strict=True):
            y = [a + b for a, b in zip(x, p, strict=True)]
            found, ok = move(unflatten(structure, y))
            x = flatten(found)[0]
            q = [-(a - b) for a, b in zip(x, y, strict=True)]  # −0 where nothing moved: adding that keeps every bit
            change = change + size([a - b for a, b in zip(q, p, strict=True)])
            fine = ops.logical_and(fine, ok)
            after.append(q)
        return x, after, change, fine

    begin = (leaves, [[-n for n in none] for _ in moves], 0.0 * limit + np.inf, True)
    (x, _, _, fine), found = iterate(begin, body, lambda state: state[2] <= limit, MOST_ROUNDS)
    if not sets:
        return unflatten(structure, x), ops.logical_and(found, fine)

    def again(state: Any) -> Any:
        x, _ = state
        before = x
        for move in sets:
            x = flatten(move(unflatten(structure, x))[0])[0]
        return x, reduce(lambda a, b: a + b, [ops.sum_((a - b) * (a - b)) for a, b in zip(x, before, strict=True)])

    (x, _), still = iterate((x, 0.0 * limit + np.inf), again, lambda state: state[1] <= 0.0, FEW_ROUNDS)
    return unflatten(structure, x), ops.logical_and(ops.logical_and(found, fine), still)
