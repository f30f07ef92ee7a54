"""explain: any number of a network, a loss, a training run or a plain function, with everything that makes it up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from chainrule.errors import TraceError, TrainingError
from chainrule.execute import REFERENCE
from chainrule.explanation.attribution import Attribution, explain_prediction
from chainrule.explanation.derivation import Derivation, RowPart, central_check
from chainrule.explanation.function import explain_function
from chainrule.explanation.mistake import mistake_note, updated_first
from chainrule.explanation.names import Asked, Names, asked, is_lecture, names_of
from chainrule.explanation.numbers import signed
from chainrule.explanation.reading import called, read_by
from chainrule.explanation.scene import Given, Scene, Traced, picked_rows, scene_of
from chainrule.explanation.update import explain_update, unmoved
from chainrule.explanation.values import explain_loss, explain_value
from chainrule.explanation.waypoints import Trail, derivative_by, fixed
from chainrule.graph import Graph, make_input, substitute
from chainrule.learn import Objective, Optimizer, Run
from chainrule.nn import Layer, as_input

Array = np.ndarray[Any, Any]
MANY_PRODUCTS = 1_000_000_000
"""A loss of more products than this is computed at fewer places for the check: it takes tenths of a second."""


def explain(
    subject: Any,
    *data: Any,
    of: str | None = None,
    rows: Sequence[int] | None = None,
    step: int | None = None,
    parameters: Any = None,
    optimizer: Optimizer | None = None,
    using: str = "old",
    bias: str = "unit",
    training: bool = False,
    most: int = 20,
) -> Any:
    """Explain one number: its formula, its operands, the paths of the chain rule that make it up, a check, the update.

    ∂E/∂w = Σ over paths from w to E of Π ∂(next waypoint)/∂(waypoint): multiply along a path, add across paths.

    Args:
        subject: an objective with ``data``; a training run; or a function with its arguments.
        data: ``(X, y)`` or ``(X, y, weights)`` for an objective (for a run: in the place of its training rows).
        of: what is asked for: a parameter's element, ``"hidden1.weight[3, 17]"``, for ∂E/∂ of it;
            ``"hidden1.out[2]"``, a value; ``"delta hidden1.net[2]"``, ∂E/∂ of a value; ``"loss"``;
            of a run, ``"prediction"`` of a row: the part of each input in it. Of a network with one hidden layer also
            the lecture's names: ``"w1"``, ``"i1->h1"``, ``"h1"``.
        rows: row numbers (from 0), to look at these rows by themselves; the network as it predicts.
        step: of a run: the parameters before this step; without ``rows`` the very batch of that step, its dropout masks
            and batch statistics too.
        parameters: of an objective: the parameters; left out, those that seed 0 begins with.
        optimizer: of an objective: shows the update that it makes.
        using: ``"old"``; or ``"updated"``, a famous mistake on purpose: a backward pass through weights that the
            optimizer has updated already.
        bias: of an objective: each unit's own is learned (``"unit"``), each layer's one (``"tied"``), or none
            (``"frozen"``, as in the lecture).
        training: with ``step`` and ``rows``: the rows as that step saw them, under its dropout masks.
        most: so many paths are listed, the largest first.

    Returns:
        A ``Derivation``: print it, or read ``value``, ``paths``, ``cut(layer)``, ``jacobians``, ``check``, ``update``.

    Raises:
        TrainingError: for a name or an index that is not there; the message lists what is.

    >>> import numpy as np, chainrule as cr
    >>> print(f"{cr.explain(lambda x: np.sin(0.5 * x**2), 1.3).value:.12f}")
    0.862850667233
    """
    if isinstance(subject, Objective | Run):
        if len(data) > 1:
            raise TraceError("give the data as one tuple: cr.explain(objective, (X, y), of='…')")
        if not isinstance(of, str) or not of.strip():
            raise TrainingError(
                f"of what? A name is needed, not {of!r}: cr.explain(run, of='hidden1.weight[0, 0]'), or of='loss'"
            )
        if optimizer is not None and not isinstance(optimizer, Optimizer):
            raise TrainingError(f"the optimizer is {optimizer!r}; give one such as cr.learn.SGD(0.5)")
        if isinstance(most, bool) or not isinstance(most, int) or most < 1:
            raise TrainingError(f"most is {most!r}; it must be a whole number of paths of at least 1")
        if of.strip().startswith("prediction"):
            return _prediction(subject, data[0] if data else None, of.strip(), rows)
        _one_of("using", using, ("old", "updated"))
        _one_of("bias", bias, ("unit", "tied", "frozen"))
        if isinstance(subject, Run) and bias != "unit":
            raise TrainingError(f"bias={bias!r} belongs to an objective: a run has trained a bias for each unit")
        scene = scene_of(subject, data[0] if data else None, rows, step, parameters, training, bias == "tied")
        if isinstance(subject, Run) and step is not None and rows is None and not data and subject.optimizer.has_steps:
            optimizer = optimizer or subject.optimizer  # the very step that the run took
        if using == "updated":
            if optimizer is None:
                raise TrainingError("using='updated' needs the optimizer that updates: optimizer=cr.learn.SGD(0.5)")
            scene.updated = updated_first(scene, optimizer)
        return _explained(scene, of, optimizer, most, frozen=bias == "frozen")
    if isinstance(subject, Layer):
        raise TrainingError(
            "a network alone has no loss.\n"
            "  wrong:  cr.explain(network, (X, y), of='loss')\n"
            "  right:  cr.explain(cr.Objective(network, 'squared_error'), (X, y), of='loss')"
        )
    if not callable(subject):
        raise TraceError(f"explain takes an objective, a run, or a function with its arguments, not {subject!r:.60}")
    if rows is not None or step is not None or parameters is not None or optimizer is not None or training:
        raise TraceError(
            "rows, step, parameters, optimizer and training belong to objectives and runs, not to a function"
        )
    return explain_function(subject, data, of=of, most=most)


def _one_of(name: str, value: Any, known: Sequence[str]) -> None:
    if value not in known:
        raise TrainingError(f"{name} is {value!r}; it is one of {', '.join(known)}")


def _prediction(subject: Objective | Run, data: Any, of: str, rows: Sequence[int] | None) -> Attribution:
    """Return why a run predicts what it does for a row of its training data, or of other data."""
    if not isinstance(subject, Run):
        raise TrainingError("a prediction is explained of a run: cr.explain(run, of='prediction', rows=[5])")
    if rows is None or len(rows) != 1:
        raise TrainingError("a prediction is explained for one row: rows=[5]")
    if data is None:
        given, (place,) = subject.training["x"], Given.of_run(subject).places(rows)
    else:
        given = as_input(data[0] if isinstance(data, tuple | list) else data)
        (place,) = picked_rows(rows, len(given))
    base = np.asarray(np.mean(subject.training["x"], axis=0, dtype=np.float64))
    x = np.asarray(given[place], np.float64)
    if x.shape != base.shape:
        raise TrainingError(f"the network takes rows of shape {base.shape}; this row has shape {x.shape}")
    return explain_prediction(subject, x, base, of, int(rows[0]), len(subject.training["x"]))


def _explained(scene: Scene, of: str, optimizer: Optimizer | None, most: int, frozen: bool = False) -> Derivation:
    lecture = is_lecture(of)
    names = names_of(scene.objective.network, scene.leaves, lecture)
    one = scene.all_rows if scene.whole else scene.traced(0)
    points = {name: fixed(node.shape) for name, node in one.points.items()}
    what = asked(of, scene.leaves, points, names)
    if what.kind == "loss":
        return explain_loss(scene, names)
    if what.kind == "value":
        return explain_value(scene, what, names)
    derivation = _gradient(scene, what, names, most)
    if optimizer is not None and what.name in scene.leaves:
        stays = frozen and what.name.rpartition(".")[2] == "bias"
        derivation.update = unmoved(scene, what) if stays else explain_update(scene, what, optimizer, derivation.value)
    return derivation


def _gradient(scene: Scene, what: Asked, names: Names, most: int) -> Derivation:
    """Return the derivation of ∂E/∂ of a parameter's element, or of a value's (δ)."""
    is_parameter = what.name in scene.leaves
    label = names.parameter(what.name, what.index) if is_parameter else names.element(what.name, what.index)
    notes: list[str] = []
    if scene.begun:
        notes.append("the parameters are those that seed 0 begins with: none were given")
    by_row: tuple[RowPart, ...] = ()
    penalties: tuple[tuple[str, float], ...] = ()
    row = 0
    if is_parameter:
        gradient = scene.gradient(what.name)
        data_part = float(gradient[what.index])
        if not scene.whole and (scene.count > 1 or scene.row_shares()[0] != 1.0):
            slopes, shares = scene.by_row(what.name, what.index), scene.row_shares()
            by_row = tuple(
                RowPart(scene.number(place), float(s), float(d))
                for place, (s, d) in enumerate(zip(shares, slopes, strict=True))
            )
            row = int(np.argmax([abs(part.part) for part in by_row]))
        penalties = tuple(scene.penalties(what.name, what.index))
        value = data_part + sum(amount for _, amount in penalties)
        if names.lecture and what.name.endswith(".bias") and gradient.size > 1:
            whole = signed(float(gradient.sum()))
            notes.append(f"this is one unit's own bias; of one bias for its whole layer the derivative is {whole}")
    else:
        if scene.count > 1 and not scene.whole:
            raise TrainingError(f"{what.name} has a value for each of {scene.count} rows: choose one with rows=[…]")
        value = 0.0
    trail, traced = _trail(scene, what, row)
    found = Derivation(
        scene, what, names, f"∂E/∂{label}", _about(what, names, traced), value, by_row=by_row, penalties=penalties,
        row=row, trail=trail, traced=traced, notes=tuple(notes), most=most,
    )  # fmt: skip
    if is_parameter:
        at = float(scene.leaves[what.name][what.index])
        exact = data_part
        if scene.updated is not None:
            exact = float(replace(scene, updated=None).gradient(what.name)[what.index])
        products = scene.count * sum(leaf.size for leaf in scene.leaves.values())
        found.check = central_check(
            exact, at, lambda number: scene.value_at(what.name, what.index, number), products > MANY_PRODUCTS
        )
        if scene.updated is not None:
            found.notes, found.check = (*found.notes, mistake_note(data_part, found.check)), None
    else:
        exact = float(derivative_by(trail.graph, trail.arrays, trail.source)[trail.index])
        found.value = float(derivative_by(trail.graph, trail.arrays, trail.source, trail.misread)[trail.index])
        at, moved = _held(trail)
        found.check = central_check(exact, at, moved)
        if scene.updated is not None:
            found.notes, found.check = (*found.notes, mistake_note(found.value, found.check)), None
    return found


def _held(trail: Trail) -> tuple[float, Callable[[float], float]]:
    """Return a value's element, and the loss as a function of it while all else that the loss reads stays."""
    held = make_input(trail.source.type, "held")
    graph = Graph((*trail.graph.inputs, held), tuple(substitute(trail.graph.outputs, {trail.source: held})))
    value = np.array(trail.values[trail.source])

    def moved(number: float) -> float:
        changed = value.copy()
        changed[trail.index] = number
        return float(REFERENCE.run(graph, [*trail.arrays, changed])[0])

    return float(value[trail.index]), moved


def _trail(scene: Scene, what: Asked, row: int) -> tuple[Trail, Traced]:
    traced = scene.all_rows if scene.whole else scene.traced(row)
    source = traced.parameters[what.name] if what.name in traced.parameters else traced.points[what.name]
    misread = scene.misread(traced.parameters)
    return Trail(traced.graph, traced.arrays, traced.points, source, what.index, misread=misread), traced


def _about(what: Asked, names: Names, traced: Traced) -> str:
    """Return what an element of a parameter connects, where that can be told from the graph."""
    layer, _, kind = what.name.rpartition(".")
    label = names.parameter(what.name, what.index)
    if kind == "bias" and len(what.index) == 1 and f"{layer}.net" in traced.points:
        return f"{label}: the bias of {names.unit(layer, what.index[0])}"
    before = read_by(traced, what.name)
    if before is None or len(what.index) != 2 or f"{layer}.net" not in traced.points:
        return ""
    return f"{label}: {called(names, before, what.index[0])} → {names.unit(layer, what.index[1])}"
