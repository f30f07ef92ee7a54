"""Plain functions: the chain rule, link by link. Every operation is a waypoint."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count, pairwise
from textwrap import wrap
from typing import Any

import numpy as np

from chainrule import ops
from chainrule.errors import TraceError, TrainingError
from chainrule.execute import REFERENCE
from chainrule.explanation.derivation import Check, central_check
from chainrule.explanation.handout import Explained
from chainrule.explanation.numbers import factor, percent, short, signed
from chainrule.explanation.paths import Path, Paths
from chainrule.explanation.rows import Row, Symbol, added_up, multiplied, number
from chainrule.explanation.text import WIDTH, agreement
from chainrule.explanation.waypoints import SOURCE, Trail
from chainrule.graph import Graph, Node, Type, depends_on, make_graph

Array = np.ndarray[Any, Any]
SILENT = ("named", "broadcast", "cast", "reshape", "constant", "captured", "input")
"""What gets no line of its own: it computes nothing that one could see."""


@dataclass(frozen=True)
class Line:
    """One operation: its name here, its formula, and its value."""

    name: str
    formula: str
    value: str
    because: str


@dataclass(eq=False)
class FunctionDerivation(Explained):
    """The derivative of a function of numbers at a point: its operations one by one, and the paths through them."""

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

    @cached_property
    def names(self) -> dict[int, str]:
        """What the source and the waypoints are called."""
        return {SOURCE: self.title.rpartition("∂")[2], **{i: p.name for i, p in enumerate(self.trail.waypoints)}}

    def route(self, path: Path) -> list[str]:
        """Return the names that a path goes through."""
        return [self.names[SOURCE], *(self.names[link.edge.end] for link in path.links)]

    def __str__(self) -> str:
        wide = min(max(len(line.formula) for line in self.lines), 44)
        text = [f"{self.title} = {signed(self.value, 12)}", "", "forward"]
        text += [f"  {line.name:<4} = {line.formula:<{wide}} = {line.value}" for line in self.lines]
        text += ["", "backward: the derivative of each by what it reads"]
        reasons = {line.name: line.because for line in self.lines}
        for edge in self.trail.edges:
            label = f"∂{self.names[edge.end]}/∂{self.names[edge.start]}"
            head = f"  {label:<9} = {factor(float(edge.factors.reshape(-1)[0])):>12}   "
            text += wrap(f"{head}{reasons[self.names[edge.end]]}", WIDTH, subsequent_indent=" " * len(head)) or [head]
        count = self.paths.count
        if not count:
            return "\n".join([*text, "", f"there is no path to {self.names[SOURCE]}: the derivative is 0, not unknown"])
        text += ["", f"{'one path' if count == 1 else f'{count:,} paths'}: multiply along a path, add across paths"]
        for path in self.paths:
            product = " × ".join(factor(f) for f in reversed(path.factors))
            text += wrap("→".join(self.route(path)), WIDTH, initial_indent="  ", subsequent_indent="    ")
            text += wrap(
                f"{product} = {signed(path.product)}", WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 8
            )
        if not self.paths.is_complete:
            text.append(
                f"  these {len(self.paths)} of {count:,} paths have {percent(self.paths.covered)} of their mass"
            )
        return "\n".join([
            *text, f"{'sum':>10} = {signed(self.paths.total, 12)}",
            f"check      central difference, h = {self.check.h:g}: {short(self.check.numeric, 12)}",
            f"           ({agreement(self.check)})",
        ])  # fmt: skip

    def equations(self) -> list[Row]:
        """Return the sum over paths, and its value."""
        terms = []
        for path in self.paths:
            steps = list(pairwise(self.route(path)))[::-1]
            terms.append(multiplied([Symbol(f"∂{after}/∂{before}") for before, after in steps]))
        left = Symbol(f"∂{self.paths.trail.end_name}/∂{self.names[SOURCE]}")
        return [*added_up((left,), terms or [(number(0.0),)]), Row((), (number(self.value),))]

    def to_json(self) -> dict[str, Any]:
        """Return the derivation as plain data."""
        return {
            "kind": "function", "title": self.title, "value": self.value, "result": self.result,
            "lines": [vars(line) for line in self.lines],
            "paths": {"count": self.paths.count, "mass": self.paths.mass, "largest": [
                {"route": self.route(p), "factors": p.factors, "product": p.product} for p in self.paths
            ]},
            "check": {"h": self.check.h, "numeric": self.check.numeric, "difference": self.check.difference},
        }  # fmt: skip


def explain_function(
    function: Any, arguments: Sequence[Any], of: str | None = None, most: int = 20
) -> FunctionDerivation:
    """Explain the derivative of a function of numbers (one of them, by name: ``of``) at a point."""
    if not arguments:
        raise TraceError("a function is explained at a point: cr.explain(f, 1.3)")
    values = []
    for place, argument in enumerate(arguments, 1):
        value = np.asarray(argument) if isinstance(argument, int | float | np.generic | np.ndarray) else None
        if value is None or value.shape != () or value.dtype.kind not in "iuf":
            raise TraceError(
                f"explain takes functions of numbers, and argument {place} is {argument!r:.60}; for arrays, explain "
                "an objective, or use cr.jacobian"
            )
        values.append(value.astype(np.float64))
    graph = _traced(function, values)
    labels = [str(node.attributes["label"]) for node in graph.inputs]
    wanted = labels[0] if of is None else str(of).strip().rpartition("∂")[2]
    if wanted not in labels:
        raise TrainingError(f"of={of!r}: the function has no argument {wanted!r}; it has {', '.join(labels)}")
    source, end = graph.inputs[labels.index(wanted)], graph.outputs[0]
    if end not in depends_on([end], [source]):
        raise TraceError(f"the function's result does not depend on {wanted}: its derivative is 0")
    found = REFERENCE.run_all(graph, values)
    seen = [n for n in graph.nodes if (n.op.name not in SILENT and n.op.name != "result") or n is end]
    numbers = all(isinstance(n.type, Type) and n.shape == () for n in seen)
    names = _names([n for n in seen if n is not end], end, set(labels))
    points = {name: node for node, name in names.items() if isinstance(node.type, Type) and node.shape == ()}
    # Where everything is a number each operand has an edge of its own; arrays on the way are passed in one.
    trail = Trail(graph, values, points, source, (), singly=numbers, end_name=names[end])
    lines = tuple(_line(node, names, found) for node in [*[n for n in seen if n is not end], end])
    total = Paths(trail, most).total

    def moved(number: float) -> float:
        at = [np.asarray(number) if node is source else v for node, v in zip(graph.inputs, values, strict=True)]
        return float(REFERENCE.run(graph, at)[0])

    check = central_check(total, float(values[labels.index(wanted)]), moved)
    return FunctionDerivation(f"∂{names[end]}/∂{wanted}", total, float(found[end]), lines, trail, check, most)


def _traced(function: Any, values: Sequence[Array]) -> Graph:
    try:
        inspect.signature(function).bind(*values)
    except TypeError as error:
        raise TraceError(f"{getattr(function, '__name__', 'the function')}: {error}") from None
    except ValueError:  # a function of C, that does not say what it takes
        pass
    graph = make_graph(function, *[v[()] for v in values])
    if len(graph.outputs) != 1 or graph.outputs[0].shape != () or not graph.outputs[0].type.is_float:
        raise TraceError(f"explain takes a function with one number as its result, this one returns {graph.gives}")
    if graph.outputs[0] in set(graph.inputs):  # the result has a node of its own
        return Graph(graph.inputs, (ops.named(graph.outputs[0], name="y"),), {}, graph.takes, graph.gives)
    return graph


def _names(inner: Sequence[Node], end: Node, taken: set[str]) -> dict[Node, str]:
    """Call operations v1, v2, … and the result y, but for names that arguments have."""
    free = (name for number in count(1) if (name := f"v{number}") not in taken)
    names = {node: next(free) for node in inner}
    names[end] = next(name for name in ("y", "z", "result", "the_result") if name not in taken)
    return names


def _line(node: Node, names: dict[Node, str], values: dict[Node, Any]) -> Line:
    def shown(operand: Node) -> str:
        while operand.op.name in ("named", "broadcast", "cast", "reshape", "result") and operand not in names:
            operand = operand.operands[0]
        if operand in names:
            return names[operand]
        if operand.op.name == "input":
            return str(operand.attributes["label"])
        return _short(values[operand])

    operands = [shown(o) for o in node.operands]
    # a reason belongs to an operand: it can stand beside a line where there is one, or where it is the same for all
    because = str(getattr(node.op, "because", "")) if len(operands) == 1 or node.op.name in ("add", "multiply") else ""
    return Line(names[node], _plain(node, operands), _short(values[node]), because)


def _short(value: Any) -> str:
    if isinstance(value, tuple):
        return f"{len(value)} results"
    array = np.asarray(value)
    if array.size == 1:
        number = array.reshape(-1)[0]
        return short(float(number)) if array.dtype.kind in "iuf" else str(number)
    if array.ndim == 1 and array.size <= 3 and array.dtype.kind in "iuf":
        return f"[{', '.join(short(float(v), 4) for v in array)}]"
    return f"an array of {' × '.join(map(str, array.shape))}"


INFIX = {"add": "{} + {}", "subtract": "{} − {}", "multiply": "{}·{}", "divide": "{} / {}", "power": "{}^{}"}
PREFIX = {"negative": "−{}", "square": "{}²", "named": "{}"}


def _plain(node: Node, operands: Sequence[str]) -> str:
    pattern = INFIX.get(node.op.name) or PREFIX.get(node.op.name)
    return pattern.format(*operands) if pattern else f"{node.op.name}({', '.join(operands)})"
