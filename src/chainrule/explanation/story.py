"""What a derivation says, in parts: what text, HTML, LaTeX and JSON are all written from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chainrule.explanation.derivation import Derivation
from chainrule.explanation.numbers import factor, short, signed
from chainrule.explanation.paths import Link, Path
from chainrule.explanation.reading import called, read_by
from chainrule.explanation.waypoints import SOURCE

FEW = 16
"""So many paths are shown one by one, as all there are; of more, the largest, with the share that they have."""


@dataclass(frozen=True)
class Step:
    """One factor of a path in print: what it is a derivative of and by, what it is called, and its value."""

    symbol: str
    name: str
    value: float


@dataclass(frozen=True)
class Told:
    """A path in print: the units that it goes through, its factors from the loss backward, and its product."""

    route: tuple[str, ...]
    steps: tuple[Step, ...]
    product: float


def told(d: Derivation, path: Path) -> Told:
    """Return how a path is told."""
    route = [d.title.removeprefix("∂E/∂")]
    for link in path.links:
        unit = _unit(d, link)
        if unit != route[-1]:
            route.append(unit)
    return Told(tuple(route), tuple(_step(d, link) for link in reversed(path.links)), path.product)


def _point(d: Derivation, number: int, element: int) -> tuple[str, tuple[int, ...]]:
    """Return the name of a waypoint's value and the place of an element in it."""
    assert d.trail is not None
    if number == SOURCE:
        return d.asked.name, d.asked.index
    point = d.trail.waypoints[number]
    return point.name, tuple(int(i) for i in np.unravel_index(element, point.value.shape)) if point.value.ndim else ()


def _unit(d: Derivation, link: Link) -> str:
    name, index = _point(d, link.edge.end, link.end)
    layer, _, kind = name.rpartition(".")
    if name == "E":
        return "E"
    if kind in ("net", "out") and len(index) == 2:
        unit = d.names.unit(layer, index[1])
        return f"{unit} (row {d.scene.number(index[0])})" if d.scene.whole else unit
    return d.names.element(name, index)


def _symbol(d: Derivation, number: int, element: int, short: bool) -> str:
    """Return the symbol of a waypoint's element: E, out, net_h1, a weight."""
    name, index = _point(d, number, element)
    if number == SOURCE:
        return d.title.removeprefix("∂E/∂") if d.names.lecture else name.rpartition(".")[2]
    layer, _, kind = name.rpartition(".")
    if kind in ("net", "out") and len(index) == 2:
        return kind if short else d.names.unit(layer, index[1])
    return name.rpartition(".")[2] or name


def _step(d: Derivation, link: Link) -> Step:
    start, end = _point(d, link.edge.start, link.start)[0], _point(d, link.edge.end, link.end)[0]
    inside = start.rpartition(".")[0] == end.rpartition(".")[0]
    plain = not d.names.lecture
    above = _symbol(d, link.edge.end, link.end, plain or not end.endswith(".out") or end.startswith("output"))
    below = _symbol(d, link.edge.start, link.start, plain or inside or end == "E")
    return Step(f"∂{above}/∂{below}", _name_of_factor(d, link), link.factor)


def _name_of_factor(d: Derivation, link: Link) -> str:
    """Return what a factor is, where it is a weight or an input: ∂net/∂h is the weight between them."""
    name, index = _point(d, link.edge.end, link.end)
    layer, _, kind = name.rpartition(".")
    own = f"{layer}.weight"
    if link.edge.start == SOURCE and _uses(d) > 1:
        return f"use {_use(d, link)}"
    if kind != "net" or d.traced is None or len(index) != 2:
        return ""
    before = read_by(d.traced, own)
    if before is None:
        return ""
    if link.edge.start == SOURCE:
        return called(d.names, before, d.asked.index[0]) if d.asked.name == own and index[1] == d.asked.index[1] else ""
    start, at = _point(d, link.edge.start, link.start)
    read = (d.scene.updated or d.scene.leaves)[own]
    if start != before or len(at) != 2 or read[at[1], index[1]] != link.factor:
        return ""
    name = d.names.parameter(own, (at[1], index[1])) if d.names.lecture else f"w[{at[1]},{index[1]}]"
    return name + _plus(d)


def _plus(d: Derivation) -> str:
    """Return the mark of a weight that is updated already."""
    return "" if d.scene.updated is None else "⁺"


def _uses(d: Derivation) -> int:
    """In how many places the source is read: a tied weight has several."""
    assert d.trail is not None
    return sum(edge.start == SOURCE for edge in d.trail.edges)


def _use(d: Derivation, link: Link) -> int:
    assert d.trail is not None
    first = [edge for edge in d.trail.edges if edge.start == SOURCE]
    return next(number for number, edge in enumerate(first, 1) if edge is link.edge)


def factored(d: Derivation) -> tuple[str, str]:
    """Return the derivative in two factors, δ · input, with δ as the sum that it is; and the same with numbers.

    Nothing is returned where the network is not of that form: what is told, multiplied out, must be the derivative.
    """
    if d.trail is None or d.traced is None:
        return "", ""
    first = [edge for edge in d.trail.edges if edge.start == SOURCE]
    layer, _, kind = d.asked.name.rpartition(".")
    if (
        len(first) != 1
        or kind not in ("weight", "bias")
        or not d.asked.index
        or not first[0].end < len(d.trail.waypoints) - 1
    ):
        return "", ""
    point = d.trail.waypoints[first[0].end]
    unit = d.asked.index[-1]
    if point.name != f"{layer}.net" or point.value.ndim != 2 or len(point.value) != 1 or unit >= point.size:
        return "", ""
    moved = float(first[0].factors[unit, 0])
    delta = float(d.paths.weights[first[0].end][unit])
    before = read_by(d.traced, d.asked.name) if kind == "weight" else None
    input_ = "1" if kind == "bias" else "input" if before is None else called(d.names, before, d.asked.index[0])
    inner = _delta(d, layer, unit, first[0].end)
    if inner is not None and _equal(inner[2] * moved, d.paths.total):
        return f"{inner[0]} · {input_}", f"{inner[1]} × {factor(moved)}"
    if not _equal(delta * moved, d.paths.total):
        return "", ""
    return f"δ_{d.names.unit(layer, unit)} · {input_}", f"{signed(delta)} × {factor(moved)}"


def _equal(told: float, value: float) -> bool:
    return bool(np.isclose(told, value, rtol=1e-9, atol=0.0))


def _delta(d: Derivation, layer: str, unit: int, net: int) -> tuple[str, str, float] | None:
    """Return δ of a unit as (Σ δ · weight) · slope, where a dense layer of at most three units reads its output."""
    assert d.trail is not None
    assert d.traced is not None
    out = _behind_activation(d, layer)
    nexts = [edge for edge in d.trail.edges if edge.start == out] if out is not None else []
    own = [edge for edge in d.trail.edges if edge.end == out and edge.start == net]
    if len(nexts) != 1 or len(own) != 1 or nexts[0].is_diagonal or len(nexts[0].factors) > 3:
        return None
    name, _, what = d.trail.waypoints[nexts[0].end].name.rpartition(".")
    if what != "net" or read_by(d.traced, f"{name}.weight") != f"{layer}.out":
        return None
    deltas = [float(v) for v in d.paths.weights[nexts[0].end]]
    weights = [float(row[unit]) for row in nexts[0].factors]
    weight_names = [d.names.parameter(f"{name}.weight", (unit, k)) + _plus(d) for k in range(len(weights))]
    slope = float(own[0].factors[unit] if own[0].is_diagonal else own[0].factors[unit, unit])
    formula = " + ".join(f"δ_{d.names.unit(name, k)}·{weight_names[k]}" for k in range(len(weights)))
    numbers = " ".join(f"{signed(delta)}·{short(w)}" for delta, w in zip(deltas, weights, strict=True))
    total = sum(delta * w for delta, w in zip(deltas, weights, strict=True)) * slope
    return f"({formula}) · ∂{d.names.unit(layer, unit)}/∂net", f"({numbers}) × {factor(slope)}", total


def _behind_activation(d: Derivation, layer: str) -> int | None:
    assert d.trail is not None
    for number, point in enumerate(d.trail.waypoints):
        if point.name == f"{layer}.out":
            return number
    return None


def norms(d: Derivation) -> list[tuple[str, str, tuple[int, ...], float, float]]:
    """Return the local Jacobians: from, to, shape, Frobenius norm, and the largest entry."""
    found = []
    for (start, end), block in d.jacobians.items():
        found.append((start, end, block.shape, float(np.linalg.norm(block)), float(np.max(np.abs(block), initial=0.0))))
    return found


def largest(parts: Sequence[float], most: int) -> tuple[list[int], list[int]]:
    """Return the places of the largest parts, and those of the others."""
    order = np.argsort(-np.abs(np.asarray(parts)), kind="stable").tolist()
    return order[:most], order[most:]
