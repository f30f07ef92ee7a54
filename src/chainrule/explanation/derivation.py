"""A derivation: one number, and everything that makes it up. What is printed, drawn or stored is read off it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from chainrule.calculus import backward
from chainrule.errors import TrainingError
from chainrule.execute import REFERENCE
from chainrule.explanation.handout import Explained
from chainrule.explanation.names import Asked, Names
from chainrule.explanation.paths import Paths
from chainrule.explanation.rows import Row
from chainrule.explanation.scene import Scene, Traced
from chainrule.explanation.uses import UsePart, parts_by_use
from chainrule.explanation.waypoints import Trail, changes_by, derivative_by, fixed, misreading
from chainrule.graph import Graph, Node, make_constant, make_input, substitute

Array = np.ndarray[Any, Any]
MOST_FACTORS = 40_000_000
"""A Jacobian of more numbers is not made."""
STEPS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
FEW_STEPS = (1e-3, 1e-4, 1e-5)
"""Where the loss takes long to compute."""


@dataclass(frozen=True)
class Check:
    """A central difference, (F(θ + h) − F(θ − h)) / 2h, beside the derivative; it is only known up to ``rounding``."""

    h: float
    numeric: float
    exact: float
    rounding: float = 0.0

    @property
    def difference(self) -> float:
        """The relative difference."""
        size = max(abs(self.exact), abs(self.numeric))
        return abs(self.exact - self.numeric) / size if size else 0.0


@dataclass(frozen=True)
class RowPart:
    """What one row adds to a derivative: its number, its share of the loss, and the derivative of its own loss."""

    row: int
    share: float
    slope: float

    @property
    def part(self) -> float:
        return self.share * self.slope


@dataclass(frozen=True)
class UnitPart:
    """What passes one unit of a layer: the sum over the rows of how the source moves it times how it moves the loss."""

    unit: int
    label: str
    part: float
    reached: float | None
    weight: float | None


@dataclass(frozen=True)
class LayerCut:
    """A derivative cut at a layer: a part for each unit, and what goes around the layer. They add up to it, exactly."""

    layer: str
    units: tuple[UnitPart, ...]
    around: float

    @property
    def total(self) -> float:
        return float(sum(unit.part for unit in self.units) + self.around)


@dataclass(frozen=True)
class Update:
    """What an optimizer makes of a gradient: the parameter before and after, and the rule with its numbers."""

    before: float
    after: float
    rule: str
    substituted: str
    parts: tuple[tuple[str, float], ...] = ()


@dataclass(eq=False)
class Derivation(Explained):
    """One number explained.

    ``value`` is the number, ``formula`` how it is made and ``substituted`` the same with numbers; ``paths`` the ways of
    the chain rule from the parameter to the loss (of the row at place ``row`` of ``by_row``; ``by_use`` all places
    and time steps that read it); ``cut(layer)`` a part for each unit of a layer; ``jacobians`` the local derivatives
    between waypoints; ``check`` a finite difference; ``update`` what the optimizer makes of it. ``str()`` prints it;
    ``latex()``, ``mathml()`` and ``to_json()`` are for documents and programs, ``save()`` writes a handout.
    """

    scene: Scene
    asked: Asked
    names: Names
    title: str
    about: str
    value: float
    formula: str = ""
    substituted: str = ""
    by_row: tuple[RowPart, ...] = ()
    penalties: tuple[tuple[str, float], ...] = ()
    row: int = 0
    trail: Trail | None = None
    traced: Traced | None = None
    check: Check | None = None
    update: Update | None = None
    notes: tuple[str, ...] = ()
    most: int = 20
    lines: tuple[str, ...] = field(default=())

    @cached_property
    def too_large(self) -> str:
        """Why there are no paths, where a Jacobian between waypoints would be too large; else ""."""
        if self.trail is None:
            return ""
        points = self.trail.waypoints
        for before, after in pairwise(points):
            if before.size * after.size > MOST_FACTORS:
                tied = "; batch statistics tie all rows together" if self.scene.whole else ""
                size = f"{after.size:,} × {before.size:,}"
                where = f"∂{after.name}/∂{before.name}"
                told = f"{where} has {size} factors{tied}"
                return f"no paths are listed: {told}. The value and the cuts are exact all the same"
        return ""

    @cached_property
    def paths(self) -> Paths:
        """The paths through one row (``row``): as a sequence, the largest first."""
        if self.trail is None:
            raise TrainingError(f"{self.title} is no derivative: it has no paths")
        if self.too_large:
            raise TrainingError(self.too_large)
        return Paths(self.trail, self.most)

    @cached_property
    def by_use(self) -> tuple[UsePart, ...]:
        """A part for each use of the parameter, over all rows; empty where it is read in one place, once."""
        if self.trail is None or self.asked.kind == "value":
            return ()
        return parts_by_use(self.scene, self.asked.name, self.asked.index)

    @property
    def layers(self) -> list[str]:
        """The waypoints at which the derivative can be cut."""
        return [] if self.trail is None else [point.name for point in self.trail.waypoints[:-1]]

    @property
    def jacobians(self) -> dict[tuple[str, str], Array]:
        """The local derivatives between consecutive waypoints, for one row: rows are elements of the later one."""
        if self.trail is None:
            raise TrainingError(f"{self.title} is no derivative: it has no Jacobians")
        if self.too_large:
            raise TrainingError(self.too_large)
        points = [*(p.name for p in self.trail.waypoints), self.title.removeprefix("∂E/∂")]
        found: dict[tuple[str, str], Array] = {}
        for edge in self.trail.edges:
            block = np.diag(edge.factors) if edge.is_diagonal else edge.factors
            key = points[edge.start], points[edge.end]
            found[key] = found[key] + block if key in found else block
        return found

    @np.errstate(all="ignore")
    def cut(self, layer: str) -> LayerCut:
        """Return the derivative cut at a layer or another named value, over all rows.

        ``layer`` is the name of a value (``hidden1.out``), or of a layer, whose output is meant.
        """
        traced = self.scene.all_rows
        name = layer if layer in traced.points else f"{layer}.out"
        if name not in self.layers:
            raise TrainingError(f"there is no {layer!r} on the way to be cut at; there are: {', '.join(self.layers)}")
        point = traced.points[name]
        source = self._source(traced.parameters, traced.points)
        reached, weight = self._through[name]
        parts = reached * weight
        alone = self.scene.count == 1
        wide = parts.reshape(len(parts), -1) if parts.ndim > 1 else parts.reshape(1, -1)
        units = tuple(
            UnitPart(
                u, self._unit_label(name, u), float(part),
                float(reached.reshape(-1)[u]) if alone else None, float(weight.reshape(-1)[u]) if alone else None,
            ) for u, part in enumerate(wide.sum(axis=0))
        )  # fmt: skip
        return LayerCut(name, units, self._around(traced, point, source))

    @cached_property
    def _through(self) -> dict[str, tuple[Array, Array]]:
        """How the source moves every element of every waypoint, and how that moves the loss: all rows, all at once."""
        traced = self.scene.all_rows
        points = [traced.points[name] for name in self.layers]
        source = self._source(traced.parameters, traced.points)
        misread = self.scene.misread(traced.parameters)
        slopes = misreading(backward(traced.graph.outputs, [make_constant(1.0)], points), misread)
        known = [slope for slope in slopes if slope is not None]
        found = iter(REFERENCE.run(Graph(traced.graph.inputs, tuple(known)), traced.arrays))
        weights = [
            np.zeros(fixed(p.shape)) if s is None else np.asarray(next(found))
            for p, s in zip(points, slopes, strict=True)
        ]
        reached = changes_by(traced.graph, traced.arrays, points, source, self.asked.index, misread)
        return dict(zip(self.layers, zip(reached, weights, strict=True), strict=True))

    def _unit_label(self, name: str, unit: int) -> str:
        layer, _, kind = name.rpartition(".")
        return self.names.unit(layer, unit) if kind in ("net", "out") else f"{name}[{unit}]"

    def _source(self, parameters: Any, points: Any) -> Node:
        node: Node = parameters[self.asked.name] if self.asked.name in parameters else points[self.asked.name]
        return node

    def _around(self, traced: Any, point: Node, source: Node) -> float:
        """Return the derivative with a value held fixed."""
        if not _leads_around(traced.graph.outputs[0], point, source):
            return 0.0
        held = make_input(point.type, "held")
        ends = tuple(substitute(traced.graph.outputs, {point: held}))
        value = REFERENCE.run(Graph(traced.graph.inputs, (point,)), traced.arrays)[0]
        graph = Graph((*traced.graph.inputs, held), ends)
        return float(
            derivative_by(graph, [*traced.arrays, value], source, self.scene.misread(traced.parameters))[
                self.asked.index
            ]
        )

    def __str__(self) -> str:
        from chainrule.explanation.text import derivation_text

        return derivation_text(self)

    def _repr_html_(self) -> str:
        from chainrule.explanation.html import derivation_html

        return derivation_html(self)

    def equations(self) -> list[Row]:
        """Return the sum over paths with symbols, with numbers, and its value."""
        from chainrule.explanation.equations import equations

        return equations(self)

    def to_json(self) -> dict[str, Any]:
        """Return the derivation as plain data."""
        from chainrule.explanation.document import derivation_json

        return derivation_json(self)


def _leads_around(end: Node, point: Node, source: Node) -> bool:
    """Is there a way from the source to the end that does not pass a value?"""
    seen, stack = {end}, [end]
    while stack:
        node = stack.pop()
        if node is source:
            return True
        for operand in node.operands:
            if operand is not point and operand not in seen:
                seen.add(operand)
                stack.append(operand)
    return False


def central_check(exact: float, at: float, function: Any, costly: bool = False) -> Check:
    """Compare a derivative with central differences, at the step whose neighbors agree with it best.

    A ``costly`` function is looked at in fewer places.
    """
    found = []
    sizes = sorted({max(1.0, abs(at)), abs(at) or 1.0}, reverse=True)
    sizes, steps = (sizes[-1:], FEW_STEPS) if costly else (sizes, STEPS)
    with np.errstate(all="ignore"):
        here = abs(float(function(at)))
        for size in sizes:
            for h in steps:
                step = h * size
                slope = float(function(at + step) - function(at - step)) / (2 * step)
                found.append((step, slope, float(np.spacing(here)) / step))
    apart = [
        abs(a[1] - b[1]) / max(abs(a[1]), abs(b[1]), 1e-300) if np.isfinite(a[1]) and np.isfinite(b[1]) else np.inf
        for a, b in pairwise(found)
    ]
    apart = [
        np.inf if b[0] > a[0] or max(abs(a[1]), abs(b[1])) <= 4 * b[2] else gap
        for gap, (a, b) in zip(apart, pairwise(found), strict=True)
    ]
    best = int(np.argmin(apart)) + 1 if np.isfinite(min(apart)) else 1
    h, numeric, rounding = found[best]
    return Check(h, numeric, exact, rounding)
