"""Curves: a run's history, gradients by layer, finite differences against h, the loss as one parameter varies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.errors import TrainingError
from chainrule.explanation import Derivation, diagnose
from chainrule.explanation.numbers import short
from chainrule.learn import Run
from chainrule.plot.canvas import DARK, DOWN, QUIET, UP, canvas, require


def history(run: Run) -> Any:
    """Draw the training and the validation loss by epoch; the epoch whose parameters were kept is marked."""
    require(run, Run, "history")
    if not run.history:
        raise TrainingError("the run has no epoch to draw: none was finished")
    figure, axes = canvas()
    epochs = [entry["epoch"] for entry in run.history]
    axes.plot(epochs, [entry["loss"] for entry in run.history], color=UP, label="training")
    held = [(entry["epoch"], entry["validation_loss"]) for entry in run.history if "validation_loss" in entry]
    if held:
        axes.plot(*zip(*held, strict=True), color=DOWN, label="validation")
        if run.best_epoch is not None:
            axes.axvline(run.best_epoch, color=QUIET, linewidth=1)
            axes.annotate(
                f"kept: epoch {run.best_epoch}", (run.best_epoch, 1.0), xycoords=("data", "axes fraction"), fontsize=8,
                xytext=(3, -10), textcoords="offset points",
            )  # fmt: skip
    values = [entry["loss"] for entry in run.history] + [loss for _, loss in held]
    if min(values) > 0 and max(values) > 20 * min(values):
        axes.set_yscale("log")
    axes.set_xlabel("epoch")
    axes.set_ylabel(f"mean {run.objective.loss.name.replace('_', ' ')}")
    axes.legend(frameon=False)
    return figure


def gradients(run: Run, steps: Sequence[int] | None = None) -> Any:
    """Draw how large ∂E/∂out is at each layer (root mean square), at some steps: falling to the left is vanishing."""
    looks = [look for look in diagnose(run, steps).looks if look.delta]
    if not looks:
        raise TrainingError("there is no named layer output whose gradient could be drawn")
    figure, axes = canvas()
    layers = list(looks[0].delta)
    for place, look in enumerate(looks):
        share = place / max(len(looks) - 1, 1)
        sizes = [look.delta.get(layer, np.nan) or np.nan for layer in layers]
        axes.plot(layers, sizes, "o-", color=UP, alpha=0.35 + 0.65 * share, label=f"step {look.step}")
    axes.set_yscale("log")
    axes.set_ylabel("root mean square of ∂E/∂out")
    axes.tick_params(axis="x", rotation=30 if len(layers) > 5 else 0)
    axes.legend(frameon=False)
    return figure


def check(d: Derivation) -> Any:
    """Draw the error of central differences against their step h: a large h bends, a small one rounds."""
    require(d, Derivation, "check")
    _refuse_mistakes(d)
    if d.check is None or d.asked.name not in d.scene.leaves:
        raise TrainingError(f"{d.title} is no derivative by a parameter: there is nothing to check")
    name, index = d.asked.name, d.asked.index
    at, exact = float(d.scene.leaves[name][index]), d.check.exact
    figure, axes = canvas()
    steps = np.logspace(-12, 0, 49)
    found = [(d.scene.value_at(name, index, at + h) - d.scene.value_at(name, index, at - h)) / (2 * h) for h in steps]
    errors = np.abs(np.array(found) - exact) / max(abs(exact), 1e-300)
    axes.loglog(steps, np.where(errors > 0, errors, np.nan), "o-", color=UP, markersize=3)
    axes.set_xlabel("h")
    axes.set_ylabel("relative error of the central difference")
    axes.set_title(f"{d.title} = {short(exact)}", fontsize=10)
    axes.annotate("rounding", (0.08, 0.9), xycoords="axes fraction", color=DARK, fontsize=8)
    axes.annotate("bending", (0.85, 0.9), xycoords="axes fraction", color=DARK, fontsize=8)
    return figure


def _refuse_mistakes(d: Derivation) -> None:
    if d.scene.updated is not None:
        raise TrainingError(f"{d.title} is wrong on purpose (using='updated'): draw the one that is right")


def sweep(d: Derivation, span: float | None = None, points: int = 101) -> Any:
    """Draw the loss as one parameter varies and all else stays, with the tangent at its value, and the update."""
    require(d, Derivation, "sweep")
    _refuse_mistakes(d)
    if d.asked.name not in d.scene.leaves:
        raise TrainingError(f"{d.title} is no derivative by a parameter: there is nothing to vary")
    name, index = d.asked.name, d.asked.index
    at = float(d.scene.leaves[name][index])
    width = max(1.0, 2 * abs(at)) if span is None else float(span)
    if not width > 0 or points < 3:
        raise TrainingError(f"sweep: span is {span} and points {points}; they must be greater than 0 and at least 3")
    slope = d.value - sum(amount for _, amount in d.penalties)
    figure, axes = canvas()
    places = np.linspace(at - width, at + width, points)
    here = d.scene.value_at(name, index, at)
    axes.plot(places, [d.scene.value_at(name, index, float(place)) for place in places], color=UP)
    low, high = axes.get_ylim()
    axes.plot(places, here + slope * (places - at), color=QUIET, linewidth=1)
    axes.set_ylim(low, high)
    axes.plot([at], [here], "o", color=DARK)
    axes.annotate(f"slope {short(slope, 4)}", (at, here), xytext=(6, 6), textcoords="offset points", fontsize=8)
    if d.update is not None:
        after = d.update.after
        axes.plot([after], [d.scene.value_at(name, index, after)], "o", color=DOWN)
    axes.set_xlabel(d.title.removeprefix("∂E/∂"))
    axes.set_ylabel("mean loss of the data")
    return figure
