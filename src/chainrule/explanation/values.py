"""Values of the forward computation, and the loss: what they are the sum of."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.errors import TrainingError
from chainrule.execute import REFERENCE
from chainrule.explanation.derivation import Derivation
from chainrule.explanation.names import Asked, Names
from chainrule.explanation.numbers import factor, percent, short, signed
from chainrule.explanation.reading import INPUT, called, read_by
from chainrule.explanation.scene import Scene, Traced
from chainrule.graph import Graph, Node, flatten, make_graph

Array = np.ndarray[Any, Any]
MOST_TERMS = 12


def explain_value(scene: Scene, what: Asked, names: Names) -> Derivation:
    """Return the derivation of a value: the operation that made it, with its operands."""
    if scene.count > 1 and not scene.whole:
        raise TrainingError(f"{what.name} has a value for each of {scene.count} rows: choose one with rows=[…]")
    traced = scene.all_rows if scene.whole else scene.traced(0)
    node = traced.points[what.name]
    values = REFERENCE.run_all(traced.graph, traced.arrays)
    value = float(np.asarray(values[node])[what.index])
    label = names.element(what.name, what.index)
    layer, _, kind = what.name.rpartition(".")
    formula, substituted = "", ""
    lines: list[str] = []
    weight = scene.leaves.get(f"{layer}.weight")
    if kind == "net" and weight is not None and weight.ndim == 2:
        formula, substituted, lines = _net(scene, layer, what, names, values, traced, value)
    elif kind == "out" and f"{layer}.net" in traced.points:
        net = float(np.asarray(values[traced.points[f"{layer}.net"]])[what.index])
        inner = names.element(f"{layer}.net", what.index)
        operation = _operation(scene, layer, node, traced.points[f"{layer}.net"])
        if operation:
            formula, substituted = f"{operation}({inner})", f"{operation}({short(net)})"
    return Derivation(
        scene, what, names, label, "", value, formula=formula, substituted=substituted, lines=tuple(lines)
    )


def _operation(scene: Scene, layer: str, out: Node, net: Node) -> str:
    """Return what is done to a net input: one operation, or the layer's activation; "" where it has no name."""
    inner = out.operands[0]
    if inner is net:
        return "identity"
    if len(inner.operands) == 1 and inner.operands[0] is net:
        return inner.op.name
    activation = getattr(scene.objective.network.children().get(layer), "activation", None)
    return activation if isinstance(activation, str) else ""


def _net(
    scene: Scene, layer: str, what: Asked, names: Names, values: Any, traced: Traced, value: float
) -> tuple[str, str, list[str]]:
    """Return net = Σ weight · input + bias, term by term; nothing where that is not how the value is made."""
    row, unit = what.index
    weight = scene.leaves[f"{layer}.weight"]
    before = read_by(traced, f"{layer}.weight")
    if before is None or unit >= weight.shape[1]:
        return "", "", []
    source = scene.x if before == INPUT else np.asarray(values[traced.points[before]])
    given = source[row].reshape(-1)
    labels = [called(names, before, i) for i in range(len(weight))]
    terms = given * weight[:, unit]
    bias = scene.leaves.get(f"{layer}.bias")
    total = float(terms.sum()) + (0.0 if bias is None else float(bias[unit]))
    if not np.isclose(total, value, rtol=1e-9, atol=1e-12 * (1 + float(np.abs(terms).sum()))):
        return "", "", []
    order = np.argsort(-np.abs(terms), kind="stable")
    shown = sorted(order[:MOST_TERMS].tolist()) if len(order) > MOST_TERMS else range(len(order))
    own = [
        names.parameter(f"{layer}.weight", (i, unit)) if names.lecture else f"w[{i},{unit}]" for i in range(len(terms))
    ]
    lines = [
        f"  {own[i]:<12} {factor(weight[i, unit]):>12} × {labels[i]:<18} {factor(given[i]):>12} = {signed(terms[i])}"
        for i in shown
    ]
    rest = [i for i in range(len(terms)) if i not in set(shown)]
    if rest:
        lines.append(f"  {f'{len(rest)} smaller terms':<59} = {signed(float(terms[rest].sum()))}")
    if bias is not None:
        lines.append(f"  {names.parameter(f'{layer}.bias', (unit,)):<59} = {signed(float(bias[unit]))}")
    return f"Σ weight · input{'' if bias is None else ' + bias'}", "", lines


@np.errstate(all="ignore")  # of a step that was not finite, neither is its loss
def explain_loss(scene: Scene, names: Names) -> Derivation:
    """Return the derivation of the loss: a part for each row, and the penalties."""
    graph = make_graph(scene.row_losses, scene.parameters, scene.x, scene.y)
    losses = np.asarray(
        REFERENCE.run(Graph(graph.inputs, graph.outputs), [*flatten(scene.parameters)[0], scene.x, scene.y])[0]
    )
    parts = losses * scene.row_shares()
    value = float(parts.sum())
    lines = []
    if scene.count > 1:
        order = np.argsort(-np.abs(parts), kind="stable")[:MOST_TERMS]
        for r in order.tolist():
            place = scene.number(r)
            lines.append(
                f"  row {place:<8} loss {factor(losses[r]):>12} × {short(float(scene.row_shares()[r]), 6)} = "
                f"{signed(float(parts[r]))}  ({percent(parts[r] / value) if np.isfinite(value) and value else '–'})"
            )
        if len(parts) > len(order):
            rest = value - float(parts[order].sum())
            lines.append(f"  {len(parts) - len(order)} other rows{'':33} = {signed(rest)}")
    penalties = []
    for number, penalty in enumerate(scene.objective.penalty, 1):
        amount = float(penalty.value(scene.parameters, scene.penalty_settings(number)))
        penalties.append((f"penalty{number}", amount))
        value += amount
    loss = scene.objective.loss
    return Derivation(
        scene, Asked("loss", "loss", ()), names, "F", f"{loss.name}: {loss.formula}", value,
        formula="(1/n) Σ weight · loss of a row" + (" + penalties" if penalties else ""), penalties=tuple(penalties),
        lines=tuple(lines),
    )  # fmt: skip
