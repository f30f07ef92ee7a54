"""What a derivation says, in parts: what text, HTML, LaTeX and JSON are all written from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chainrule.explanation.derivation import Derivation
from chainrule.explanation.paths import Link, Path
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
        return unit if index[0] == 0 else f"{unit} (row {index[0]})"
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
    weight = d.scene.leaves.get(f"{layer}.weight")
    if kind != "net" or weight is None or weight.ndim != 2 or len(index) != 2:
        return ""
    if link.edge.start == SOURCE:
        if d.asked.name == f"{layer}.weight":
            return _input_name(d, layer, d.asked.index[0], link.factor)
        return ""
    _, before = _point(d, link.edge.start, link.start)
    if len(before) == 2 and before[1] < len(weight) and weight[before[1], index[1]] == link.factor:
        at = before[1], index[1]
        return d.names.parameter(f"{layer}.weight", at) if d.names.lecture else f"w[{at[0]},{at[1]}]"
    return ""


def _input_name(d: Derivation, layer: str, column: int, value: float) -> str:
    """Return what a layer's input is: a unit of the layer before, or a column of the data."""
    assert d.trail is not None
    for name, node in d.trail.points.items():
        array = np.asarray(d.trail.values[node])
        before, _, kind = name.rpartition(".")
        fits = kind == "out" and before != layer and array.ndim == 2 and column < array.shape[1]
        if fits and array[0, column] == value:
            return d.names.unit(before, column)
    x = d.scene.x[d.row]
    return d.names.input(column) if x.ndim == 1 and column < len(x) and x[column] == value else ""


def factored(d: Derivation) -> tuple[str, str]:
    """Return the derivative in two factors, δ · input, with δ as the sum that it is; and the same with numbers."""
    assert d.trail is not None
    from chainrule.explanation.numbers import factor, signed

    first = [edge for edge in d.trail.edges if edge.start == SOURCE]
    layer, _, kind = d.asked.name.rpartition(".")
    if len(first) != 1 or kind not in ("weight", "bias") or not first[0].end < len(d.trail.waypoints) - 1:
        return "", ""
    point = d.trail.waypoints[first[0].end]
    if point.name != f"{layer}.net" or point.value.ndim != 2 or point.value.shape[0] != 1:
        return "", ""
    unit = d.asked.index[-1]
    moved = float(first[0].factors[unit, 0])
    weight = d.paths.weights
    called = _input_name(d, layer, d.asked.index[0], moved) if kind == "weight" else "1"
    formula = f"δ_{d.names.unit(layer, unit)} · {called or 'input'}"
    numbers = f"{signed(float(weight[first[0].end][unit]))} × {factor(moved)}"
    slope = _behind_activation(d, layer)
    nexts = [edge for edge in d.trail.edges if edge.start == slope] if slope is not None else []
    if slope is None or len(nexts) != 1 or nexts[0].is_diagonal:
        return formula, numbers
    after = d.trail.waypoints[nexts[0].end]
    name, _, what = after.name.rpartition(".")
    if what != "net" or f"{name}.weight" not in d.scene.leaves or len(nexts[0].factors) > 3:
        return formula, numbers
    own = next(edge for edge in d.trail.edges if edge.end == slope and edge.start == first[0].end)
    terms = [
        (d.names.unit(name, k), d.names.parameter(f"{name}.weight", (unit, k)), weight[nexts[0].end][k], row[unit])
        for k, row in enumerate(nexts[0].factors)
    ]
    total = " + ".join(f"δ_{u}·{w}" for u, w, _, _ in terms)
    mine = d.names.unit(layer, unit)
    inner = " ".join(f"{signed(float(delta))}·{factor(float(w)).rstrip('0')}" for _, _, delta, w in terms)
    own_slope = float(own.factors[unit] if own.is_diagonal else own.factors[unit, unit])
    return (
        f"({total}) · ∂{mine}/∂net · {called or 'input'}",
        f"({inner}) × {factor(own_slope)} × {factor(moved)}",
    )


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
