"""The network as a picture: units with their values and gradients, paths by their share; and Jacobians as matrices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.errors import TrainingError
from chainrule.explanation import Attribution, Derivation, Paths
from chainrule.explanation.numbers import short
from chainrule.explanation.waypoints import SOURCE
from chainrule.plot.canvas import DARK, DOWN, QUIET, UP, canvas, require

Array = np.ndarray[Any, Any]
MOST = 10
"""Of a layer with more units, those that carry most are drawn."""


@dataclass(frozen=True)
class Column:
    """A layer in the picture: its waypoint, the units that are drawn, and how many there are."""

    number: int
    name: str
    units: tuple[int, ...]
    size: int


def graph(subject: Derivation | Paths) -> Any:
    """Draw all ways from the source to the end, each as thick as what it carries: blue up, red down, grey nothing.

    Takes a derivation, or the paths of one input (``cr.explain(run, of="prediction", rows=[0]).paths(2)``): drawn for
    each input in turn, these are the pictures of the chain rule with one input lit at a time. Beside a unit stand its
    value and δ. Of layers with more than ten units those that carry most are drawn, at most ten, and others counted.
    """
    if isinstance(subject, Attribution):
        raise TrainingError("an attribution has paths for each input: cr.plot.graph(why.paths(0))")
    if not isinstance(subject, Derivation | Paths):
        raise TrainingError(f"graph draws a derivation or its paths, not a {type(subject).__name__}")
    paths = subject.paths if isinstance(subject, Derivation) else subject
    columns = _columns(paths)
    rows = max(1, *(len(column.units) + (column.size > len(column.units)) for column in columns))
    figure, axes = canvas(1.4 + 1.9 * (len(columns) + 1), 1.0 + 0.75 * max(rows, 3), "none")
    axes.set_axis_off()
    at = {(SOURCE, 0): (0.0, 0.0)}
    for x, column in enumerate(columns, start=1):
        for place, unit in enumerate(column.units):
            at[column.number, unit] = (float(x), (len(column.units) - 1) / 2 - place)
    carried = _carried(paths, {c.number for c in columns})
    most = max((abs(value) for value in carried.values()), default=0.0) or 1.0
    for (start, a, end, b), value in carried.items():
        if (start, a) in at and (end, b) in at:
            xs, ys = zip(at[start, a], at[end, b], strict=True)
            color = QUIET if value == 0 else UP if value > 0 else DOWN
            axes.plot(xs, ys, color=color, linewidth=0.4 + 5 * abs(value) / most, alpha=0.75, zorder=1)
    title = subject.title if isinstance(subject, Derivation) else ""
    _unit(axes, at[SOURCE, 0], title.removeprefix("∂E/∂") or "input", "")
    last = len(paths.trail.waypoints) - 1
    for column in columns:
        point, weights = paths.trail.waypoints[column.number], paths.weights[column.number]
        for unit in column.units:
            text = short(float(point.value.reshape(-1)[unit]), 4)
            below = "" if column.number == last else f"\nδ {short(float(weights[unit]), 3)}"
            _unit(axes, at[column.number, unit], _name(subject, column, unit), f"{text}{below}")
        if column.size > len(column.units):
            left, low = at[column.number, column.units[-1]]
            axes.text(left, low - 0.8, f"… {column.size - len(column.units)} more", ha="center", fontsize=7, color=DARK)
    axes.set_xlim(-0.6, len(columns) + 0.6)
    axes.set_ylim(-rows / 2 - 0.4, rows / 2 + 0.3)
    count = f"{paths.count:,} path{'s' if paths.count != 1 else ''}"
    axes.set_title(
        f"{title} = {short(paths.total)}: {count}" if title else f"{short(paths.total)}: {count}", fontsize=10
    )
    return figure


def _name(subject: Derivation | Paths, column: Column, unit: int) -> str:
    if column.size == 1:
        return column.name
    return subject.names.unit(column.name, unit) if isinstance(subject, Derivation) else f"{column.name}[{unit}]"


def _unit(axes: Any, place: tuple[float, float], name: str, text: str) -> None:
    x, y = place
    axes.plot(x, y, "o", markersize=11, color="white", markeredgecolor=DARK, zorder=2)
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.5}
    axes.text(x, y + 0.16, name, ha="center", va="bottom", fontsize=7, color=DARK, zorder=3, bbox=box)
    if text:
        axes.text(x, y - 0.16, text, ha="center", va="top", fontsize=6.5, color=DARK, zorder=3, bbox=box)


def _columns(paths: Paths) -> list[Column]:
    """Return the layers to be drawn: a net input that only its own output reads is drawn as one with it."""
    points = paths.trail.waypoints
    merged = {
        edge.start for edge in paths.edges
        if edge.start != SOURCE and edge.is_diagonal and sum(e.start == edge.start for e in paths.edges) == 1
    }  # fmt: skip
    columns = []
    for number, point in enumerate(points):
        if number in merged:
            continue
        weight = np.abs(paths.reached[number] * paths.weights[number])
        order = np.argsort(-weight, kind="stable")[:MOST]
        if point.size > MOST:
            order = order[weight[order] > 0] if np.any(weight > 0) else order[:1]
        name = point.name.removesuffix(".out").removesuffix(".net")
        columns.append(Column(number, name, tuple(sorted(order.tolist())), point.size))
    return columns


def _carried(paths: Paths, drawn: set[int]) -> dict[tuple[int, int, int, int], float]:
    """Return what each edge between drawn units carries: all paths through it, added up."""
    found: dict[tuple[int, int, int, int], float] = {}
    onward = {edge.start: edge for edge in paths.edges if edge.is_diagonal and edge.start not in drawn}

    def add(start: int, a: int, end: int, b: int, value: float) -> None:
        found[start, a, end, b] = found.get((start, a, end, b), 0.0) + value

    for edge in paths.edges:
        if edge.start not in drawn and edge.start != SOURCE:
            continue
        reached = np.ones(1) if edge.start == SOURCE else paths.reached[edge.start]
        weight = paths.weights[edge.end]
        end = onward[edge.end].end if edge.end not in drawn and edge.end in onward else edge.end
        ways = edge.ways()
        if edge.is_diagonal:
            for unit in range(len(edge.factors)):
                add(edge.start, unit, end, unit, float(reached[unit] * edge.factors[unit] * weight[unit]))
        else:
            for b, a in zip(*np.nonzero(ways), strict=True):
                add(edge.start, int(a), end, int(b), float(reached[a] * edge.factors[b, a] * weight[b]))
    return found


def jacobian(d: Derivation, start: str, end: str) -> Any:
    """Draw the local derivatives of one waypoint by another as a matrix: rows are elements of the later one."""
    require(d, Derivation, "jacobian")
    blocks = d.jacobians
    if (start, end) not in blocks:
        known = ", ".join(f"{a} → {b}" for a, b in blocks)
        raise TrainingError(f"there is no step from {start!r} to {end!r}; there are: {known}")
    block = blocks[start, end]
    figure, axes = canvas(5.4, 4.4)
    largest = float(np.max(np.abs(block), initial=0.0)) or 1.0
    image = axes.imshow(block, cmap="RdBu", vmin=-largest, vmax=largest, aspect="auto", interpolation="nearest")
    figure.colorbar(image, ax=axes, shrink=0.8)
    axes.set_xlabel(start)
    axes.set_ylabel(end)
    axes.set_title(f"∂{end} / ∂{start}: {block.shape[0]} × {block.shape[1]}", fontsize=10)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.yaxis.get_major_locator().set_params(integer=True)
    if max(block.shape) <= 8:
        for (row, column), value in np.ndenumerate(block):
            color = "white" if abs(value) > 0.6 * largest else DARK
            axes.text(column, row, short(float(value), 3), ha="center", va="center", fontsize=7, color=color)
    return figure
