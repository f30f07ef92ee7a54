"""What is wrong, or fine, in a training run: in words, with the numbers and the steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from textwrap import wrap
from typing import Any, Literal

import numpy as np

from chainrule.calculus import backward
from chainrule.errors import TrainingError
from chainrule.execute import REFERENCE
from chainrule.explanation.numbers import percent, short
from chainrule.explanation.scene import Scene, scene_of
from chainrule.graph import Graph, flatten, make_constant
from chainrule.learn import Run

Array = np.ndarray[Any, Any]
Grade = Literal["problem", "warning", "fine"]
WIDTH = 80
VANISHED, EXPLODED = 1e-3, 1e2
"""δ of the first layer over δ of the last: less, or more, is a problem."""
FLAT = 0.01
"""A unit is saturated where its activation's slope is less than this share of its largest."""
MOST_ROWS = 0.95
MANY = 0.25
"""Of so many units it is worth saying."""
SMALL_STEP, LARGE_STEP = 1e-5, 0.1
"""‖Δθ‖ / ‖θ‖ of one step: usual is about a thousandth."""
AGREES = 0.5
"""The loss should fall by at least this share of what the gradient predicts."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: how it stands, in words, and what helps."""

    grade: Grade
    about: str
    text: str
    helps: str = ""


@dataclass(frozen=True)
class Look:
    """What was measured at one step, on that step's own batch."""

    step: int
    loss: float
    delta: dict[str, float]
    """The root mean square of ∂E/∂out by layer, from the first to the last."""
    gradient: dict[str, float]
    no_path: tuple[str, ...]
    dead: dict[str, tuple[int, int]]
    """By layer: units that are 0 for every row, of how many."""
    saturated: dict[str, tuple[int, int]]
    ratio: dict[str, float]
    """‖Δθ‖ / ‖θ‖ by parameter."""
    predicted: float
    actual: float


@dataclass(frozen=True)
class Diagnosis:
    """The findings of a run, the worst first, and what they rest on."""

    title: str
    findings: tuple[Finding, ...]
    looks: tuple[Look, ...] = field(default=())

    @property
    def problems(self) -> list[Finding]:
        return [f for f in self.findings if f.grade == "problem"]

    def __str__(self) -> str:
        lines = [self.title, ""]
        for finding in self.findings:
            lines += wrap(
                f"{finding.about}: {finding.text}",
                WIDTH,
                initial_indent=f"{finding.grade:<9}",
                subsequent_indent=" " * 9,
            )
            if finding.helps:
                lines += wrap(f"what helps: {finding.helps}", WIDTH, initial_indent=" " * 9, subsequent_indent=" " * 9)
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Return the diagnosis as plain data."""
        return {
            "title": self.title,
            "findings": [vars(finding) for finding in self.findings],
            "looks": [vars(look) for look in self.looks],
        }


def diagnose(run: Run, steps: Sequence[int] | None = None) -> Diagnosis:
    """Say what is wrong or fine in a training run, in words with the numbers and the steps.

    Looked at: gradients by layer (vanishing, exploding), dead and saturated units, the learning rate (how large steps
    are beside the weights, and whether the loss falls as the gradient predicts), overfitting, parameters without a path
    to the loss. Everything is measured on the batches of some steps as the trainer saw them.

    Args:
        run: what ``cr.fit`` returns.
        steps: which steps to look at; the first, the middle and the last where left out.

    >>> import numpy as np, chainrule as cr
    >>> network = cr.nn.Sequential(cr.nn.Dense(4, "tanh"), cr.nn.Dense(1))
    >>> X = np.linspace(-1, 1, 20)[:, None]
    >>> run = cr.fit(cr.Objective(network, "squared_error"), (X, X**2), epochs=3, batch_size=5)
    >>> [finding.grade for finding in cr.diagnose(run).problems]
    []
    """
    if not isinstance(run, Run):
        raise TrainingError(f"diagnose takes a training run, what cr.fit returns, not a {type(run).__name__}")
    if run.steps == 0:
        return Diagnosis("Diagnosis of a run that took no step", (_ended(run),))
    chosen = sorted({0, run.steps // 2, run.steps - 1} if steps is None else set(steps))
    if not chosen:
        raise TrainingError("steps is empty; give some, such as steps=[0, 40], or leave it out")
    looks = tuple(_look(run, step) for step in chosen)
    found = [
        _ended(run), *_no_path(looks), *_gradients(looks), *_dead(looks), *_saturated(looks), *_rate(looks),
        *_overfitting(run),
    ]  # fmt: skip
    order = {"problem": 0, "warning": 1, "fine": 2}
    found.sort(key=lambda finding: order[finding.grade])
    epochs, many = (f"{n} {what}{'' if n == 1 else 's'}" for n, what in ((run.epochs, "epoch"), (run.steps, "step")))
    title = f"Diagnosis of a run of {epochs}, {many}; looked at {_steps(chosen)}"
    return Diagnosis(title, tuple(found), looks)


def _steps(steps: Sequence[int]) -> str:
    return ("step " if len(steps) == 1 else "steps ") + ", ".join(map(str, steps))


def _look(run: Run, step: int) -> Look:
    scene = scene_of(run, step=step)
    traced = scene.all_rows
    names = list(traced.parameters)
    points = [name for name in traced.points if name.rpartition(".")[2] == "out"]
    nodes = [*traced.parameters.values(), *(traced.points[name] for name in points)]
    pieces = backward(traced.graph.outputs, [make_constant(1.0)], nodes)
    known = [piece for piece in pieces if piece is not None]
    outputs = (*traced.graph.outputs, *known, *(traced.points[name] for name in traced.points))
    values = REFERENCE.run(Graph(traced.graph.inputs, outputs), traced.arrays)
    loss, slopes = float(values[0]), iter(values[1:])
    found = [None if piece is None else np.asarray(next(slopes)) for piece in pieces]
    forward = dict(zip(traced.points, map(np.asarray, slopes), strict=True))
    gradient = dict(zip(names, found, strict=False))
    after = run.at(step + 1).parameters
    moved = [
        np.asarray(b, np.float64) - a for a, b in zip(flatten(scene.parameters)[0], flatten(after)[0], strict=True)
    ]
    predicted = sum(
        float(np.sum(g * d)) for g, d in zip((gradient[name] for name in names), moved, strict=True) if g is not None
    )
    leaves = [np.asarray(b, np.float64) for b in flatten(after)[0]]
    reached = float(REFERENCE.run(traced.graph, [*leaves, *traced.arrays[len(leaves) :]])[0])
    return Look(
        step=step,
        loss=loss,
        delta={
            name.removesuffix(".out"): _rms(g)
            for name, g in zip(points, found[len(names) :], strict=True)
            if g is not None
        },
        gradient={name: _rms(g) for name, g in gradient.items() if g is not None},
        no_path=tuple(name for name, g in gradient.items() if g is None),
        dead=_units(scene, forward, _is_dead),
        saturated=_units(scene, forward, _is_saturated),
        ratio={
            name: float(np.linalg.norm(d) / np.linalg.norm(before))
            for name, d, before in zip(names, moved, scene.leaves.values(), strict=True)
            if np.ndim(before) > 1 and np.linalg.norm(before) > 0
        },
        predicted=predicted,
        actual=reached - loss,
    )


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values)))) if values.size else 0.0


def _units(
    scene: Scene, forward: dict[str, Array], test: Callable[[str, Array, Array], Array | None]
) -> dict[str, tuple[int, int]]:
    """Count the units of each layer that a test finds, among layers that it is meant for."""
    layers = scene.objective.network.children()
    found = {}
    for name, layer in layers.items():
        net, out = forward.get(f"{name}.net"), forward.get(f"{name}.out")
        activation = getattr(layer, "activation", None)
        if net is None or out is None or out.ndim != 2 or not isinstance(activation, str):
            continue
        hit = test(activation, net, out)
        if hit is not None:
            found[name] = int(hit.sum()), int(out.shape[1])
    return found


def _is_dead(activation: str, net: Array, out: Array) -> Array | None:
    """A relu unit is dead where its net input is not positive for any row: its gradient is 0 for all of them."""
    return np.all(net <= 0, axis=0) if activation == "relu" else None


def _is_saturated(activation: str, net: Array, out: Array) -> Array | None:
    slope = {"sigmoid": lambda y: 4 * y * (1 - y), "tanh": lambda y: 1 - y * y}.get(activation)
    return None if slope is None else np.mean(slope(out) < FLAT, axis=0) > MOST_ROWS


def _ended(run: Run) -> Finding:
    if run.status == "non-finite":
        return Finding(
            "problem",
            "not finite",
            run.message,
            "a smaller learning rate; scaled inputs; a stable loss on logits; "
            f"to look at it: cr.explain(run, of='loss', step={run.steps}), where steps count from 0",
        )
    return Finding("fine", "end", run.message)


def _no_path(looks: Sequence[Look]) -> list[Finding]:
    names = looks[0].no_path
    if not names:
        return []
    have = "has" if len(names) == 1 else "have"
    text = f"{', '.join(names)} {have} no path to the loss: the derivative is 0 for any data"
    return [Finding("problem", "no path", text, "use the parameter in the forward computation, or leave it out")]


def _gradients(looks: Sequence[Look]) -> list[Finding]:
    """Compare δ of the first layer with that of the last."""
    worst: tuple[float, Look] | None = None
    for look in looks:
        layers = list(look.delta)
        if len(layers) > 2 and look.delta[layers[-2]] > 0:
            ratio = look.delta[layers[0]] / look.delta[layers[-2]]
            if worst is None or abs(np.log10(max(ratio, 1e-300))) > abs(np.log10(max(worst[0], 1e-300))):
                worst = ratio, look
    if worst is None:
        return []
    ratio, look = worst
    layers = list(look.delta)
    told = ", ".join(f"{name} {short(look.delta[name], 3)}" for name in layers[:-1][:6])
    per = ratio ** (1 / max(len(layers) - 2, 1))
    text = (
        f"∂E/∂out is {short(ratio, 3)} × as large at {layers[0]} as at {layers[-2]} ({short(per, 2)} × a layer; root "
        f"mean squares at step {look.step}: {told}{', …' if len(layers) > 7 else ''})"
    )
    if ratio < VANISHED:
        return [Finding(
            "problem", "vanishing gradient", text,
            "relu or tanh in the place of sigmoid, an initialization for the activation (he_uniform for relu, "
            "glorot_uniform for tanh), fewer layers, x + f(x), batch normalization",
        )]  # fmt: skip
    if ratio > EXPLODED:
        return [
            Finding(
                "problem", "exploding gradient", text, "smaller first weights, a smaller learning rate, normalization"
            )
        ]
    return [Finding("fine", "gradients by layer", text)]


def _dead(looks: Sequence[Look]) -> list[Finding]:
    found = []
    for layer, (count, units) in looks[-1].dead.items():
        when = _steps([look.step for look in looks if look.dead.get(layer, (0, 0))[0]])
        if count == units:
            text = f"all {units} units of {layer} are 0 for every row at {when}: nothing before it is learned"
            begun = looks[0].dead.get(layer) == (count, units) and looks[0].step == 0
            helps = (
                "scaled inputs, other first weights, tanh" if begun else "a smaller learning rate; another seed; tanh"
            )
            found.append(Finding("problem", "dead layer", text, helps))
        elif count:
            share = f"{count} of {units} units of {layer} ({percent(count / units)})"
            text = f"{share} are 0 for every row of the batch at {when}"
            many = count / units > MANY
            helps = "a smaller learning rate" if many else ""
            found.append(Finding("warning" if many else "fine", "dead units", text, helps))
    if not found and looks[-1].dead:
        found.append(
            Finding("fine", "dead units", f"none of the relu units is 0 for every row at step {looks[-1].step}")
        )
    return found


def _saturated(looks: Sequence[Look]) -> list[Finding]:
    found = []
    for layer, (count, units) in looks[-1].saturated.items():
        if count:
            grade: Grade = "problem" if count == units else "warning" if count / units > MANY else "fine"
            text = (
                f"{count} of {units} units of {layer} ({percent(count / units)}) are flat (less than {percent(FLAT)} "
                f"of their largest slope) for nearly every row at step {looks[-1].step}"
            )
            helps = "scaled inputs, smaller first weights, a smaller learning rate" if grade != "fine" else ""
            found.append(Finding(grade, "saturated units", text, helps))
    if not found and looks[-1].saturated:
        found.append(Finding("fine", "saturated units", f"none is flat for nearly every row at step {looks[-1].step}"))
    return found


def _rate(looks: Sequence[Look]) -> list[Finding]:
    """Is the loss of a batch lower after its own step, and by as much as the gradient says?"""
    found = []
    told = "; ".join(
        f"step {look.step}: predicted {short(look.predicted, 3)}, was {short(look.actual, 3)}" for look in looks
    )
    bad = [look for look in looks if look.predicted < 0 and look.actual > AGREES * look.predicted]
    worse = [look for look in bad if look.actual > 0]
    helps = "a third of the learning rate"
    if worse:
        says = f"{len(worse)} of {len(looks)} steps made the loss of their own batch larger"
        found.append(Finding("problem", "learning rate too high", f"{says} ({told})", helps))
    elif 2 * len(bad) >= len(looks):
        says = f"the loss falls by less than {percent(AGREES)} of what the gradient predicts"
        found.append(Finding("warning", "learning rate too high", f"{says} ({told})", helps))
    bad = bad if found else []
    largest, smallest = (
        pick(((ratio, name, look.step) for look in looks for name, ratio in look.ratio.items()), default=None)
        for pick in (max, min)
    )
    if largest is None or smallest is None:
        return found
    size = (
        f"a step moves the weights by {short(smallest[0], 2)} to {short(largest[0], 2)} of their size "
        f"({smallest[1]} at step {smallest[2]}, {largest[1]} at step {largest[2]}; about 0.001 is usual)"
    )
    if largest[0] == 0:
        text = f"no weight moves at {_steps([look.step for look in looks])}: every gradient is 0"
        found.append(Finding("problem", "nothing is learned", text, "see what is dead or saturated, and the data"))
    elif largest[0] < SMALL_STEP:
        found.append(Finding("warning", "learning rate too low", size, "ten times the learning rate"))
    elif largest[0] > LARGE_STEP and not bad:
        found.append(Finding("warning", "large steps", size, "a smaller learning rate, or a warmup schedule"))
    elif not bad:
        found.append(Finding("fine", "learning rate", f"{size}; the change of the loss is as predicted ({told})"))
    return found


def _overfitting(run: Run) -> list[Finding]:
    if run.status == "non-finite":
        return []
    entries = [e for e in run.history if "validation_loss" in e]
    if len(entries) < 2:
        return [] if entries or not run.history else [Finding(
            "fine", "overfitting", "not looked at: no rows were held out (validation=(Xv, yv))",
        )]  # fmt: skip
    best = min(entries, key=lambda e: e["validation_loss"])
    last = entries[-1]
    gap = last["validation_loss"] - last["loss"]
    text = (
        f"validation loss {short(best['validation_loss'], 4)} at its lowest (epoch {best['epoch']}, step "
        f"{best['step']}), {short(last['validation_loss'], 4)} at the end, where the training loss is "
        f"{short(last['loss'], 4)} "
        f"(a gap of {short(gap, 3)})"
    )
    rising = last["validation_loss"] > 1.1 * best["validation_loss"] and last["loss"] < best["loss"]
    if rising:
        helps = "patience (stop early), more rows, dropout, a smaller network, a penalty or a constraint on the weights"
        return [Finding("warning", "overfitting", text, helps)]
    return [Finding("fine", "overfitting", text)]
