"""The grid of a path that nobody gave: from where the limit leaves next to nothing to where it limits nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chainrule.constrain.accelerated import AcceleratedProjection
from chainrule.constrain.along import Along, with_zeros
from chainrule.constrain.claims import optimality
from chainrule.constrain.penalties import SquaredL2
from chainrule.constrain.selection import named_leaves, with_leaves
from chainrule.constrain.whole import Whole, length
from chainrule.errors import TrainingError
from chainrule.graph import tree_map
from chainrule.learn import Objective, Run, fit
from chainrule.learn.covering import declared_parameters

ALMOST_NOTHING = 0.05
"""At the strongest limit the objective falls by at most this share of what it could fall by (convex problems)."""
ALMOST_ALL = 0.01
"""At the weakest penalty F is above the least by at most this share of what it could fall by (convex problems)."""
LOOSE = 1.05
"""The largest radius of a convex problem, in units of the R(θ) that it would have without the limit."""
DECADES = {True: 2.0, False: 3.0}
"""How far the grid of a network goes, for sets and for penalties: there no bound is known."""
FREE_STEPS = 2_048
"""Steps at most for the problem without the limit: where its minimum lies at infinity, it would take as many as any."""
FIRST_STEPS = 16
ALL_FITTED = 1e-3
"""An objective that falls to this share of its beginning has no end that means anything: all rows are fitted."""


@dataclass(frozen=True)
class Grid:
    """Numbers from the strongest limit to the weakest, and how their ends were found."""

    values: list[float]
    said: str


def automatic_grid(
    along: Along, objective: Objective, data: Any, points: int, cold: Any, options: Mapping[str, Any], convex: bool
) -> Grid:
    """Return ``points`` numbers in equal ratios.

    With w the weights that are covered, F₀ the least of the objective at w = 0, F_free its least without the limit,
    and g = ∇F at the former:

    - a radius begins at r = 0.05 (F₀ − F_free) / σ(−g), with σ the support of the set of radius 1: since F is convex,
      no point of the set is lower than F₀ − r σ(−g). It ends at 1.05 R(θ_free), where the limit does not bind any more;
      where no minimum is found (of separable classes it lies at infinity), or it fits all rows, at a point with 95 %
      of the gain;
    - λ begins at the dual norm of g, from where on w = 0 is the solution (of ``SquaredL2``, which never makes weights
      0, at ‖g‖² / (2 · 0.05 (F₀ − F_free))); and ends at 0.01 (F₀ − F_free) / R(θ_free), where F is at most 1 % of what
      it could fall by above F_free.

    For a network no such bound is known. There a radius ends at R(θ_free) as the given optimizer finds it, two decades
    above its beginning; λ begins at (F(θ₀) − F_free) / R(θ_free), where the free network's penalty would cost as much
    as its training gains, and ends three decades below.

    Raises:
        TrainingError: there is nothing to be gained, or a penalty of one's own, whose ends are not known.
    """
    free_objective = along.without(objective)
    chosen = dict(options)
    ended = ""
    if convex:
        chosen["method"] = AcceleratedProjection(_tolerance(data))
        free, ended = _without_limit(free_objective, data, cold, chosen)
    else:
        free = fit(free_objective, data, parameters=cold, **chosen)
    size = along.size(free.parameters, _told(along, objective, free))
    if size is None:
        raise TrainingError(f"{along.member} does not say how large a point is, so its radii must be given: radii=[…]")
    if not np.isfinite(size) or size <= 0.0:
        raise TrainingError(f"without {along.member} all that it covers is 0 already: there is nothing to limit")
    if convex:
        low, high, said = _ends(along, objective, data, free, size, chosen, ended)
    else:
        low, high, said = _ends_of_network(along, data, free, size)
    values = np.geomspace(low, high, points)
    return Grid((values if along.is_set else values[::-1]).tolist(), said)


def _ends(
    along: Along, objective: Objective, data: Any, free: Run, size: float, options: Mapping[str, Any],
    ended: str,
) -> tuple[float, float, str]:  # fmt: skip
    member = _told(along, objective, free)
    zero, gradient = _at_zero(along, objective, data, free, member.covered, options)
    gain = zero - optimality(free).value
    if not gain > 1e-12 * abs(zero):
        raise TrainingError(
            f"without {along.member} the objective is no lower than with all of w at 0: nothing to limit"
        )
    if along.is_set:
        opposite = tree_map(np.negative, gradient)
        low = ALMOST_NOTHING * gain / member.support(opposite, {"radius": 1.0})
        high = size if ended else LOOSE * size
        end = ended or "where the limit is loose"
        said = f"radii from where at most {ALMOST_NOTHING:.0%} of the gain is left to {end}"
        return min(low, 0.5 * high), high, said
    if isinstance(member, SquaredL2):
        square = sum(float(np.sum(np.square(named_leaves(gradient)[n]))) for n in member.covered)
        high = square / (2.0 * ALMOST_NOTHING * gain)
        begin = f"where at most {ALMOST_NOTHING:.0%} of the gain is left"
    elif hasattr(member, "dual_norm"):
        high = member.dual_norm(gradient) * (1.0 + 1e-6)  # w = 0 in spite of rounding
        begin = "λ_max, the dual norm of the gradient at w = 0,"
    else:
        raise TrainingError(f"{member} does not say where its path begins: give strengths=[…]")
    share = ALMOST_NOTHING if ended else ALMOST_ALL
    low = share * gain / size
    there = f"{share:.0%} of the gain of {'F ' + ended if ended else 'its least'}"
    return min(low, 0.5 * high), high, f"λ from {begin} to where F is within {there}"


def _without_limit(objective: Objective, data: Any, cold: Any, options: Mapping[str, Any]) -> tuple[Run, str]:
    """Return the minimum without the limit, or, where that is not found in ``FREE_STEPS``, a point on the way to it.

    Of separable classes the minimum lies at infinity; with more columns than rows all rows may be fitted, F = 0. Then
    it is the first point looked at with all but 5 % of the gain
    of the last, and words that say so.
    """
    looked: list[tuple[float, Run]] = []
    parameters, steps, first = cold, FIRST_STEPS, None
    while sum(run.steps for _, run in looked) < FREE_STEPS:
        method = replace(options["method"], at_most=steps, first_slope=first)
        run = fit(objective, data, parameters=parameters, **{**options, "method": method})
        if first is None:
            looked.append((_value(run, run.at(0).parameters), run))
            first = slope_at_first(run)
        looked.append((_value(run, run.parameters), run))
        if run.status == "done" and looked[-1][0] > ALL_FITTED * looked[0][0]:
            return run, ""
        if run.status == "done":
            break
        parameters, steps = run.parameters, 2 * steps
    worst, least = looked[0][0], looked[-1][0]
    near = least + ALMOST_NOTHING * (worst - least)
    found = next(run for value, run in looked[1:] if value <= near)
    return (
        found,
        f"where {1.0 - ALMOST_NOTHING:.0%} of it is had (without the limit all is fitted, or no minimum found)",
    )


def _value(run: Run, parameters: Any) -> float:
    whole = _whole(run)
    return whole.smooth(run.treatment.trained(parameters))[0] + whole.rough(run.treatment.trained(parameters))


def slope_at_first(run: Run) -> float | None:
    """Return ‖∇F‖ where a run began; None where it is 0."""
    return length(_whole(run).data_loss(run.treatment.trained(run.at(0).parameters))[1]) or None


def _whole(run: Run) -> Whole:
    settings = {k: np.asarray(v) for k, v in run.timeline.at(0).items()}
    return Whole(run.objective, run.parameters, run.state, settings, run.training, run.treatment)


def _ends_of_network(along: Along, data: Any, free: Run, size: float) -> tuple[float, float, str]:
    ratio = 10.0 ** DECADES[along.is_set]
    if along.is_set:
        return size / ratio, size, f"radii from 1/{ratio:g} of what the network has without the limit to that"
    begin = optimality(Objective(free.objective.network, free.objective.loss), data, parameters=free.at(0).parameters)
    gain = begin.value - optimality(free).data_loss
    if not gain > 0.0:
        raise TrainingError("training without the penalty does not lower F: give strengths=[…], or more epochs")
    return gain / size / ratio, gain / size, f"λ down to 1/{ratio:g} of where the free network would cost its gain"


def _at_zero(
    along: Along, objective: Objective, data: Any, free: Run, covered: Any, options: Mapping[str, Any]
) -> tuple[float, Any]:
    """Return the objective at w = 0 with all else at its best, and ∇F there."""
    zeros = with_zeros(free.parameters, covered)
    start = with_leaves(free.parameters, zeros)
    others = [n for n in named_leaves(start) if n not in zeros and n not in free.treatment.frozen]
    bare = Objective(
        objective.network, objective.loss,
        [p for p in free.objective.penalty if not _within(p, covered)],
        [s for s in free.objective.subject_to if not _within(s, covered)],
    )  # fmt: skip
    if others:
        frozen = [*options.get("frozen", ()), *covered]
        solved = fit(bare, data, **{**options, "parameters": start, "frozen": frozen})
        start = solved.parameters
    whole = Whole(bare, start, free.state, {k: np.asarray(v) for k, v in bare.settings().items()}, free.training)
    value, gradient = whole.data_loss(start)
    return value + sum(float(p.value(start, p.settings())) for p in bare.penalty), gradient


def _within(member: Any, covered: Any) -> bool:
    return set(getattr(member, "covered", ())) <= set(covered)


def _told(along: Along, objective: Objective, run: Run) -> Any:
    """Return the set or penalty over the parameters that it covers in a run."""
    declared = declared_parameters(objective.network, run.input, run.parameters)
    told = objective.covering(declared, run.treatment.frozen)
    return along.of(told)


def _tolerance(data: Any) -> float:
    return 1e-4 if np.asarray(data[0]).dtype == np.float32 else 1e-8
