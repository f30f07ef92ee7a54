"""Why this prediction: how the output changes with each input, and integrated gradients with their completeness check.

Along the straight line from a base input x⁰ to x, the derivative by each input is added up:
part_j = (x_j − x⁰_j) · ∫₀¹ ∂f/∂x_j (x⁰ + α(x − x⁰)) dα, and the parts add up to f(x) − f(x⁰).

Source: Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep Networks", ICML 2017, arXiv 1703.01365.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from chainrule import nn, ops
from chainrule.calculus import backward
from chainrule.errors import TrainingError
from chainrule.execute import REFERENCE
from chainrule.explanation.handout import Explained
from chainrule.explanation.numbers import factor, short, signed
from chainrule.explanation.paths import Paths
from chainrule.explanation.rows import Row, Symbol, number
from chainrule.explanation.scene import as_double
from chainrule.explanation.waypoints import Trail, fixed
from chainrule.graph import Graph, Rows, Type, make_constant, make_graph, tree_map
from chainrule.learn import Objective

Array = np.ndarray[Any, Any]
Function = Callable[[Array], tuple[Array, Array]]
"""From rows of inputs: the output of each, and its derivative by each of the row's inputs."""
PIECES = 8
DEEPEST = 48
TOLERANCE = 1e-8


def integrated_gradients(function: Function, x: Array, base: Array) -> tuple[Array, float]:
    """Return each input's part of f(x) − f(base), and by how much the parts miss it.

    Each piece of the line is checked: the parts over it must add up to what f changes by; a piece where they do not
    (there is a kink in it) is halved.
    """
    nodes, weights = np.polynomial.legendre.leggauss(5)
    nodes, weights = (nodes + 1) / 2, weights / 2
    ends, _ = function(np.stack([base, x]))
    whole = float(ends[1] - ends[0])
    allowed = TOLERANCE * max(abs(whole), 1e-3 * float(np.max(np.abs(ends))), 1e-300) / PIECES
    edges = np.linspace(0.0, 1.0, PIECES + 1)
    begin, end = edges[:-1], edges[1:]
    parts = np.zeros(len(x))
    for depth in range(DEEPEST):
        width = end - begin
        places = np.concatenate([(begin[:, None] + width[:, None] * nodes).ravel(), begin, end])
        values, slopes = function(base + places[:, None] * (x - base))
        count = len(begin)
        inside = slopes[: 5 * count].reshape(count, 5, -1)
        found = np.einsum("k,nkd->nd", weights, inside) * width[:, None] * (x - base)
        changed = values[5 * count + count :] - values[5 * count : 5 * count + count]
        good = np.abs(found.sum(axis=1) - changed) <= allowed
        if depth == DEEPEST - 1:
            good[:] = True
        parts += found[good].sum(axis=0)
        if np.all(good):
            break
        middle = (begin + end)[~good] / 2
        begin, end = np.concatenate([begin[~good], middle]), np.concatenate([middle, end[~good]])
    return parts, float(parts.sum() - whole)


@dataclass(eq=False)
class Predicting:
    """A trained network in double precision, as a function of its inputs: its predictions, or one of them."""

    objective: Objective
    parameters: Any
    state: Any
    width: int

    def __post_init__(self) -> None:
        self.parameters, self.state = tree_map(as_double, self.parameters), tree_map(as_double, self.state)

    def _prediction(self, x: Any) -> Any:
        link = nn.get_activation(self.objective.loss.link)
        scope = nn.Scope(self.parameters, state=self.state)
        output = self.objective.network.forward(scope, x)
        return link(output if output.ndim > 1 else output[:, None])

    @cached_property
    def graph(self) -> Graph:
        """The predictions of any number of rows."""
        return make_graph(self._prediction, Type("f64", (Rows(1), self.width)))

    def all(self, x: Array) -> Array:
        """Return the predictions for rows, [n, outputs]."""
        return np.asarray(REFERENCE.run(self.graph, [np.asarray(x, np.float64)])[0])

    @cached_property
    def categories(self) -> list[int]:
        """The input columns that embeddings read: between two categories there is nothing, so no line leads there."""
        found: set[int] = set()
        for node in self.graph.nodes:
            if node.op.name == "checked_index":
                columns = node.attributes["columns"]
                if columns == ():
                    raise TrainingError(
                        f"the layer {node.attributes['layer']!r} reads categories that are computed from the inputs: "
                        "between them there is no line to add derivatives up along"
                    )
                found |= set(range(self.width) if columns is None else columns)
        return sorted(found)

    def output(self, number: int) -> Function:
        """Return one output as a function of the inputs."""

        def chosen(x: Any) -> Any:
            return self._prediction(x)[:, number]

        graph = make_graph(chosen, Type("f64", (Rows(1), self.width)))
        total = ops.sum_(graph.outputs[0])
        (slope,) = backward([total], [make_constant(1.0)], [graph.inputs[0]])
        outputs = graph.outputs if slope is None else (graph.outputs[0], slope)
        both = Graph(graph.inputs, outputs)

        def compute(x: Array) -> tuple[Array, Array]:
            found = REFERENCE.run_prepared(both, [np.asarray(x, np.float64)])
            return np.asarray(found[0]), np.zeros_like(x) if slope is None else np.asarray(found[1])

        return compute

    def paths(self, x: Array, column: int, number: int, most: int = 20) -> Paths:
        """Return the paths from one input column to one output."""
        if not 0 <= column < self.width:
            raise TrainingError(f"there is no input {column}: the network has inputs 0 to {self.width - 1}")

        def one(x: Any) -> Any:
            return ops.sum_(self._prediction(x)[:, number])

        graph = make_graph(one, x[None, :])
        trail = Trail(graph, [x[None, :]], graph.names, graph.inputs[0], (0, column), end_name="prediction")
        assert fixed(graph.inputs[0].shape) == (1, self.width)
        return Paths(trail, most)


@dataclass(frozen=True)
class InputPart:
    """One input: its value and its base, the output's derivative by it, and its part of the output's difference."""

    name: str
    value: float
    base: float
    slope: float
    part: float


@dataclass(eq=False)
class Attribution(Explained):
    """Why a prediction is what it is: ``value`` = ``base_value`` + the parts of all inputs, to within ``missed``."""

    title: str
    value: float
    base_value: float
    parts: tuple[InputPart, ...]
    missed: float
    output: int
    about_base: str
    predicting: Predicting
    x: Array

    def paths(self, column: int, most: int = 20) -> Paths:
        """Return the paths from an input column to this output."""
        return self.predicting.paths(self.x, column, self.output, most)

    def __str__(self) -> str:
        order = sorted(range(len(self.parts)), key=lambda j: -abs(self.parts[j].part))
        lines = [
            f"{self.title} = {short(self.value)}", f"  base       {short(self.base_value)}   ({self.about_base})", "",
            f"  {'input':<24} {'value':>12} {'base':>12} {'derivative':>13} {'part':>13}",
        ]  # fmt: skip
        for j in order[:20]:
            p = self.parts[j]
            lines.append(
                f"  {p.name:<24.24} {short(p.value, 6):>12} {short(p.base, 6):>12} {factor(p.slope):>13} "
                f"{signed(p.part, 6):>13}"
            )
        if len(order) > 20:
            rest = sum(self.parts[j].part for j in order[20:])
            lines.append(f"  {f'{len(order) - 20} others':<64} {signed(rest, 6):>13}")
        total = sum(p.part for p in self.parts)
        lines.append(f"  {'sum of the parts':<64} {signed(total, 6):>13}")
        lines.append(
            f"check: prediction − base is {signed(self.value - self.base_value, 9)}; "
            f"the parts miss it by {abs(self.missed):.0e}"
        )
        return "\n".join(lines)

    check = None
    """The parts check themselves: they add up to the difference, to within ``missed``."""

    def equations(self) -> list[Row]:
        """Return the prediction as its base and its parts, the largest first."""
        order = sorted(range(len(self.parts)), key=lambda j: -abs(self.parts[j].part))
        named = [(f"{self.parts[j].name} = {short(self.parts[j].value, 6)}", self.parts[j].part) for j in order[:20]]
        if len(order) > 20:
            named.append((f"{len(order) - 20} others", sum(self.parts[j].part for j in order[20:])))
        base = Row((Symbol(self.title),), (number(self.base_value), Symbol("base")))
        rows = [Row((), (number(part, signed_=True), Symbol(name)), continued=True) for name, part in named]
        return [base, *rows, Row((), (number(self.value),))]

    def to_json(self) -> dict[str, Any]:
        """Return the attribution as plain data."""
        return {
            "kind": "prediction", "title": self.title, "value": self.value, "base_value": self.base_value,
            "output": self.output, "base": self.about_base, "missed": self.missed,
            "parts": [vars(p) for p in self.parts],
        }  # fmt: skip


def attribute(
    predicting: Predicting, x: Array, base: Array, number: int, names: Sequence[str], title: str, about_base: str
) -> Attribution:
    """Return why one output of a network is what it is for one row; categories of embeddings are held at the row's."""
    function = predicting.output(number)
    if held := predicting.categories:
        base = base.copy()
        base[held] = x[held]
        listed = ", ".join(names[j] for j in held[:6]) + (", …" if len(held) > 6 else "")
        about_base += f"; categories ({listed}) are the row's own"
    parts, missed = integrated_gradients(function, x, base)
    values, slopes = function(np.stack([base, x]))
    found = tuple(
        InputPart(name, float(a), float(b), float(s), float(p))
        for name, a, b, s, p in zip(names, x, base, slopes[1], parts, strict=True)
    )
    return Attribution(title, float(values[1]), float(values[0]), found, missed, number, about_base, predicting, x)


def explain_prediction(run: Any, x: Array, base: Array, of: str, row: int, count: int) -> Attribution:
    """Return why a run predicts what it does for one row; ``of`` is "prediction", or "prediction[k]" for an output."""
    if x.ndim != 1:
        raise TrainingError("predictions are explained for rows of numbers, not for rows of more axes")
    predicting = Predicting(run.objective, run.parameters, run.state, len(x))
    every = predicting.all(x[None, :])[0]
    inner = of.removeprefix("prediction").strip()
    if inner:
        text = inner.removeprefix("[").removesuffix("]").strip()
        if not text.isdigit() or int(text) >= len(every):
            raise TrainingError(f"of={of!r}: the network has outputs 0 to {len(every) - 1}, such as prediction[0]")
        number = int(text)
    else:
        number = int(np.argmax(every)) if len(every) > 1 and run.objective.loss.classes else 0
        if len(every) > 1 and not run.objective.loss.classes:
            raise TrainingError(f"the network has {len(every)} outputs: ask for one, of='prediction[0]'")
    name = f"prediction[{number}]" if len(every) > 1 else "prediction"
    names = [f"x[{j}]" for j in range(len(x))]
    about = f"at the mean of {count} training rows"
    return attribute(predicting, x, base, number, names, f"{name} of row {row}", about)
