"""Plain functions: the chain rule, link by link. Every operation is a waypoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from chainrule import ops
from chainrule.errors import TraceError, TrainingError
from chainrule.explanation.derivation import Check, central_check
from chainrule.explanation.numbers import factor, short, signed
from chainrule.explanation.paths import Paths
from chainrule.explanation.waypoints import SOURCE, Trail
from chainrule.graph import Graph, Node, as_array, depends_on, flatten, make_graph

Array = np.ndarray[Any, Any]
SILENT = ("named", "broadcast", "cast", "reshape", "constant", "captured", "input")
"""What gets no line of its own: it computes nothing that one could see."""


@dataclass(frozen=True)
class Line:
    """One operation: its name here, its formula, the same with numbers, and its value."""

    name: str
    formula: str
    value: float
    because: str


@dataclass(eq=False)
class FunctionDerivation:
    """The derivative of a function of one number at a point: its operations one by one, and the paths through them."""

    title: str
    value: float
    result: float
    lines: tuple[Line, ...]
    trail: Trail
    check: Check
    most: int = 20

    @cached_property
    def paths(self) -> Paths:
        return Paths(self.trail, self.most)

    @property
    def formula(self) -> str:
        return "; ".join(f"{line.name} = {line.formula}" for line in self.lines)

    def __str__(self) -> str:
        wide = max(len(line.formula) for line in self.lines)
        names = {SOURCE: self.title.rpartition("∂")[2]}
        names |= {i: point.name for i, point in enumerate(self.trail.waypoints)}
        text = [f"{self.title} = {signed(self.value, 12)}", "", "forward"]
        text += [f"  {line.name:<4} = {line.formula:<{wide}} = {short(line.value)}" for line in self.lines]
        text += ["", "backward: the derivative of each by what it reads"]
        for edge in self.trail.edges:
            made = next(line for line in self.lines if line.name == names[edge.end])
            label = f"∂{names[edge.end]}/∂{names[edge.start]}"
            text.append(f"  {label:<9} = {factor(float(edge.factors.reshape(-1)[0])):>12}   {made.because}")
        count = self.paths.count
        text += ["", f"{'one path' if count == 1 else f'{count} paths'}: multiply along a path, add across paths"]
        for path in self.paths:
            steps = "→".join([names[SOURCE], *(names[link.edge.end] for link in path.links)])
            product = " × ".join(factor(f) for f in reversed(path.factors))
            text.append(f"  {steps}")
            text.append(f"      {product} = {signed(path.product)}")
        if not self.paths.is_complete:
            text.append(f"  these {len(self.paths)} of {count} paths have {self.paths.covered:.1%} of their mass")
        text += [
            f"{'sum':>10} = {signed(self.paths.total, 12)}",
            f"check      central difference, h = {self.check.h:g}: {short(self.check.numeric, 12)}"
            f"   (relative difference {self.check.difference:.0e})",
        ]
        return "\n".join(text)

    def to_json(self) -> dict[str, Any]:
        """Return the derivation as plain data."""
        return {
            "kind": "function", "title": self.title, "value": self.value, "result": self.result,
            "lines": [vars(line) for line in self.lines],
            "paths": {"count": self.paths.count, "mass": self.paths.mass,
                      "largest": [{"factors": p.factors, "product": p.product} for p in self.paths]},
            "check": {"h": self.check.h, "numeric": self.check.numeric, "difference": self.check.difference},
        }  # fmt: skip


def explain_function(
    function: Any, arguments: Sequence[Any], of: str | None = None, most: int = 20
) -> FunctionDerivation:
    """Explain the derivative of a function of numbers (one of them, by name: ``of``) at a point."""
    if not arguments:
        raise TraceError("a function is explained at a point: cr.explain(f, 1.3)")
    values = [np.asarray(as_array(v), np.float64) for v in flatten(list(arguments))[0]]
    graph = make_graph(function, *[np.asarray(v, np.float64)[()] for v in arguments])
    if len(graph.outputs) == 1 and graph.outputs[0] in set(graph.inputs):  # the result has a node of its own
        graph = Graph(graph.inputs, (ops.named(graph.outputs[0], name="y"),), {}, graph.takes, graph.gives)
    if len(graph.outputs) != 1 or graph.outputs[0].shape != () or not graph.outputs[0].type.is_float:
        raise TraceError(f"explain takes a function with one number as its result, this one returns {graph.gives}")
    if any(v.shape != () for v in values):
        raise TraceError("explain takes functions of numbers; for arrays, explain an objective, or use cr.jacobian")
    labels = [str(node.attributes["label"]) for node in graph.inputs]
    wanted = labels[0] if of is None else of.removeprefix("∂").strip()
    if wanted not in labels:
        raise TrainingError(f"of={of!r}: the function has no argument {wanted!r}; it has {', '.join(labels)}")
    source = graph.inputs[labels.index(wanted)]
    end = graph.outputs[0]
    if source not in depends_on([end], [source]) or end not in depends_on([end], [source]):
        raise TraceError(f"the function's result does not depend on {wanted}: its derivative is 0")
    seen = [n for n in graph.nodes if n.op.name not in SILENT]
    names = {node: f"v{i}" for i, node in enumerate(seen, 1)}
    names[end] = "y"
    trail = Trail(graph, values, {n: node for node, n in names.items()}, source, (), singly=True, end_name="y")
    lines = tuple(_line(node, names, trail.values) for node in [*[n for n in seen if n is not end], end])
    paths = Paths(trail, most)

    def moved(number: float) -> float:
        at = [np.asarray(number) if node is source else v for node, v in zip(graph.inputs, values, strict=True)]
        return float(Trail(graph, at, {}, source, ()).values[end])

    check = central_check(paths.total, float(values[labels.index(wanted)]), moved)
    return FunctionDerivation(f"∂y/∂{wanted}", paths.total, float(trail.values[end]), lines, trail, check, most)


def _line(node: Node, names: dict[Node, str], values: dict[Node, Any]) -> Line:
    def shown(operand: Node) -> str:
        while operand.op.name in ("named", "broadcast", "cast", "reshape") and operand not in names:
            operand = operand.operands[0]
        if operand in names:
            return names[operand]
        if operand.op.name == "input":
            return str(operand.attributes["label"])
        value = np.asarray(values[operand])
        return short(float(value.reshape(-1)[0])) if value.size == 1 else operand.op.name

    operands = [shown(o) for o in node.operands]
    return Line(
        names[node], _plain(node, operands), float(np.asarray(values[node])), str(getattr(node.op, "because", ""))
    )


INFIX = {"add": "{} + {}", "subtract": "{} − {}", "multiply": "{}·{}", "divide": "{} / {}", "power": "{}^{}"}
PREFIX = {"negative": "−{}", "square": "{}²"}


def _plain(node: Node, operands: Sequence[str]) -> str:
    pattern = INFIX.get(node.op.name) or PREFIX.get(node.op.name) or ("{}" if node.op.name == "named" else None)
    return pattern.format(*operands) if pattern else f"{node.op.name}({', '.join(operands)})"
