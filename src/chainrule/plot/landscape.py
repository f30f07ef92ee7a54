"""The loss over a plane through a run's point, with the constraint set as it cuts that plane, and the trajectory."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.constrain.claims import whole_of
from chainrule.constrain.limits import Limit
from chainrule.errors import TrainingError
from chainrule.graph import tree_map
from chainrule.learn import Metric, Run
from chainrule.learn.objective import part
from chainrule.plot.canvas import DARK, DOWN, QUIET, UP, canvas, require
from chainrule.plot.slices import Slice, boundary, flat_of, looked_at, make_slice

Array = np.ndarray[Any, Any]
LEVELS = 14
IN_PLANE = 1e-9
"""A point that is this near to the plane, relative to the trajectory, lies in it."""
COLORS = (DOWN, "#3a8a4d", "#8a5aa8")


def landscape(
    run: Run,
    directions: Any = None,
    *,
    span: float | None = None,
    points: int = 41,
    steps: Any = None,
) -> Any:
    """Draw the loss over a plane through a run's point, where each set cuts the plane, and the way that training took.

    f(a, b) = F(θ̂ + a·u + b·v) + penalties, over all training rows, dropout off; the contour lines are those of f. A
    convex set is drawn as it cuts the plane: on 360 rays its boundary is found to 12 digits, by asking the set
    itself how far a point is from its limit. The trajectory's points lie in the plane where two weights alone were
    trained; else they are projected on it, and the title says so: a projected point may seem to be outside of a set
    that it is in.

    Args:
        run: any run; one by ``AcceleratedProjection`` keeps its first and last point alone.
        directions: two weights by name, ``("weight[0, 0]", "weight[1, 0]")``; two directions as nested arrays like what
            is trained; or None: the two weights of a network that has two, else the first two principal directions of
            the trajectory about its end.
        span: half the width of the picture, in units of the weights; by default what shows trajectory and sets.
        points: the loss is computed at points × points places.
        steps: the steps whose points are drawn; by default at most 60, more of them early.

    Raises:
        TrainingError: what is no run, or directions that are no plane.

    The idea of the principal directions is that of Li et al. (2018), "Visualizing the loss landscape of neural nets".
    """
    require(run, Run, "landscape")
    if not isinstance(points, int) or points < 5 or (span is not None and not span > 0):
        raise TrainingError(f"landscape: points is {points} and span {span}; they must be at least 5 and over 0")
    whole, center, _ = whole_of(run, None, None, None, None)
    trained = run.treatment.trained
    places = looked_at(run) if steps is None else list(steps)
    way = [_doubled(trained(run.at(step).parameters)) for step in places]
    plane = make_slice(run, center, directions, way)
    drawn = np.array([plane.coordinates(p) for p in way])
    figure, axes = canvas(6.4, 5.6)
    middle, half = _window(drawn[:, :2], plane, span)
    outlines = _outlines(run, whole, plane, middle, half)
    if span is None:
        middle, half = _with_sets(middle, half, [o for _, o in outlines if o is not None])
    x = np.linspace(middle[0] - half, middle[0] + half, points)
    y = np.linspace(middle[1] - half, middle[1] + half, points)
    values = np.array([[_value(whole, plane.at(a, b)) for a in x] for b in y])
    _contours(figure, axes, x, y, values)
    for (title, outline), color in zip(outlines, COLORS * len(outlines), strict=False):
        if outline is None:
            axes.plot([], [], " ", label=title)
        else:
            axes.fill(*outline.T, facecolor=color, alpha=0.10)
            axes.plot(*np.vstack([outline, outline[:1]]).T, color=color, linewidth=1.6, label=title)
    axes.plot(drawn[:, 0], drawn[:, 1], ".-", color=DARK, linewidth=1, markersize=4, label="trajectory")
    axes.plot(*drawn[0, :2], "o", color="white", markeredgecolor=DARK, markersize=6, label=f"step {places[0]}")
    end = plane.coordinates(center)
    axes.plot(*end[:2], "*", color=DARK, markersize=11, label="the run's parameters")
    axes.set_xlim(x[0], x[-1])
    axes.set_ylim(y[0], y[-1])
    axes.set_aspect("equal")
    axes.set_xlabel(plane.labels[0])
    axes.set_ylabel(plane.labels[1])
    axes.set_title(f"{plane.said}\n{_of_trajectory(drawn)}", fontsize=9)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return figure


def _of_trajectory(drawn: Array) -> str:
    extent = float(np.max(np.ptp(drawn[:, :2], axis=0))) or 1.0
    away = float(np.max(drawn[:, 2]))
    if away <= IN_PLANE * extent:
        return "the trajectory lies in it"
    return f"the trajectory is projected on it, from up to {away:.2g} away"


def _doubled(tree: Any) -> Any:
    return tree_map(lambda leaf: np.asarray(leaf, np.float64), tree)


def _value(whole: Any, trained: Any) -> float:
    value = float(whole.smooth(trained)[0] + whole.rough(trained))
    return value if np.isfinite(value) else np.nan


def _window(drawn: Array, plane: Slice, span: float | None) -> tuple[Array, float]:
    """Return the middle and half the width of the picture, from the trajectory."""
    if span is not None:
        return np.array(plane.origin), float(span)
    low, high = drawn.min(axis=0), drawn.max(axis=0)
    half = 0.65 * float(np.max(high - low))
    return 0.5 * (low + high), half if half > 0.0 else 1.0


def _with_sets(middle: Array, half: float, outlines: list[Array]) -> tuple[Array, float]:
    """Return a window that shows whole sets too, where they are not much larger than the trajectory."""
    low, high = middle - half, middle + half
    for outline in outlines:
        bottom, top = outline.min(axis=0), outline.max(axis=0)
        if np.max(top - bottom) <= 6.0 * half:
            margin = 0.08 * np.max(top - bottom)
            low, high = np.minimum(low, bottom - margin), np.maximum(high, top + margin)
    return 0.5 * (low + high), 0.5 * float(np.max(high - low))


def _outlines(run: Run, whole: Any, plane: Slice, middle: Array, half: float) -> list[tuple[str, Array | None]]:
    """Return each set's name and outline in the plane; None, and the reason in the name, where there is none."""
    found: list[tuple[str, Array | None]] = []
    for i, member in enumerate(run.objective.subject_to, 1):
        if isinstance(member, Limit):
            found.append((f"{member}: on outputs, not drawn", None))
            continue
        if not getattr(member, "convex", False):
            found.append((f"{member}: not known to be convex, not drawn", None))
            continue
        numbers = part(whole.settings, f"set{i}")

        def level(a: float, b: float, member: Any = member, numbers: Any = numbers) -> float:
            return level_of(member, numbers, plane.at(a, b))

        start = _feasible(level, plane, middle, half)
        if start is None:
            found.append((f"{member}: does not reach this window", None))
            continue
        outline = boundary(level, start, 8.0 * half)
        point = np.max(np.ptp(outline, axis=0)) <= 1e-3 * half
        found.append((f"{member}: a point of this plane" if point else str(member), None if point else outline))
    return found


def level_of(member: Any, numbers: Any, point: Any) -> float:
    """Return a number that is at most 0 in a set and greater outside: g where the set says its limits, else ±1."""
    if hasattr(member, "normal_cone"):
        values = member.normal_cone(point, tree_map(np.zeros_like, point), numbers).values
        if values:
            return float(max(values.values()))
    nearest, _ = member.project(point, Metric("scalar", 1.0), numbers)
    return -1.0 if np.linalg.norm(flat_of(nearest) - flat_of(point)) <= 1e-12 else 1.0


def _feasible(level: Any, plane: Slice, middle: Array, half: float) -> tuple[float, float] | None:
    """Return a point inside a convex set: the mean of those of a grid; of a thin set, the plane's origin if it is."""
    for reach in (half, 4.0 * half):
        offsets = np.linspace(-reach, reach, 15)
        points = [(middle[0] + a, middle[1] + b) for a in offsets for b in offsets]
        kept = [p for p in points if level(*p) <= 0.0]
        if kept:
            mean = np.mean(kept, axis=0)
            return float(mean[0]), float(mean[1])
    return plane.origin if level(*plane.origin) <= 0.0 else None


def _contours(figure: Any, axes: Any, x: Array, y: Array, values: Array) -> None:
    known = values[np.isfinite(values)]
    low, high = float(known.min()), float(known.max())
    if high <= low:
        return
    # equal steps of the root of what is above the lowest: denser near the minimum, as the surface is flat there
    levels = low + (high - low) * np.linspace(0.0, 1.0, LEVELS + 1)[1:] ** 2
    filled = axes.contourf(x, y, values, [low, *levels], cmap="Blues_r", alpha=0.55)
    axes.contour(x, y, values, levels, colors=UP, linewidths=0.6)
    bar = figure.colorbar(filled, ax=axes, shrink=0.8, format="%.3g")
    bar.set_label("objective")
    bar.outline.set_edgecolor(QUIET)
