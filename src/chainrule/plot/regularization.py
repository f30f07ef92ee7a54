"""A regularization path as a picture: held-out loss, multiplier and weights against the radius or λ."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.constrain import RegularizationPath
from chainrule.errors import TrainingError
from chainrule.plot.canvas import DARK, DOWN, QUIET, UP, canvases

NAMED = 8
"""So many inputs at most are named beside their lines: those that weigh most at the chosen point."""


def path(found: RegularizationPath) -> Any:
    """Draw a path against r or λ: the held-out loss with its standard errors, λ̂(r) below, and the inputs' weights.

    The points that the rules choose are marked: the lowest held-out loss, and the strongest limit within one standard
    error of it. An input's weight is drawn as it is where it has one, and as the length ‖w_g‖ where it has several.
    """
    if not isinstance(found, RegularizationPath):
        raise TrainingError(f"cr.plot.path draws what regularization_path returns, not a {type(found).__name__}")
    multipliers = found.symbol == "r" and any(p.multiplier is not None for p in found.points)
    panels = [
        "loss",
        *(["multiplier"] if multipliers else []),
        *(["weights"] if found.coefficients is not None else []),
    ]
    heights = {"loss": 1.25, "multiplier": 0.8, "weights": 1.25}
    figure, axes = canvases([heights[p] for p in panels], 6.8)
    for panel, place in zip(panels, axes, strict=True):
        {"loss": _loss, "multiplier": _multiplier, "weights": _weights}[panel](place, found)
        place.set_xscale("log")
        if found.folds:
            _mark(place, found)
    if found.symbol == "λ":
        axes[-1].invert_xaxis()  # the strongest limit is on the left, as for radii; the axes are one
    axes[-1].set_xlabel(
        "radius r, from the strongest limit" if found.symbol == "r" else "λ, from the strongest penalty"
    )
    figure.suptitle(found.problem, fontsize=10)
    return figure


def _mark(axes: Any, found: RegularizationPath) -> None:
    axes.axvline(found.best.value, color=DARK, linewidth=1)
    axes.axvline(found.one_standard_error.value, color=DARK, linewidth=1, linestyle="--")


def _loss(axes: Any, found: RegularizationPath) -> None:
    values = found.values
    if found.folds:
        axes.errorbar(
            values, [p.held_out for p in found.points], [p.held_out_error for p in found.points], color=DOWN,
            marker="o", markersize=3, linewidth=1.2, elinewidth=0.8, capsize=2,
            label=f"held out, {found.folds} folds ± standard error",
        )  # fmt: skip
        axes.plot([], [], color=DARK, linewidth=1, label="lowest")
        axes.plot([], [], color=DARK, linewidth=1, linestyle="--", label="within one standard error")
    axes.plot(values, [p.loss for p in found.points], color=UP, linewidth=1.2, label="training")
    axes.set_ylabel("mean loss")
    axes.legend(frameon=False, fontsize=8)


def _multiplier(axes: Any, found: RegularizationPath) -> None:
    known = [(p.value, p.multiplier) for p in found.points if p.multiplier]
    binding = [v for v, _ in known]
    axes.plot(binding, [m for _, m in known], "o-", color=UP, markersize=3, linewidth=1.2)
    if known:
        axes.set_yscale("log")
    idle = [p.value for p in found.points if p.multiplier == 0.0]
    if idle:
        low = axes.get_ylim()[0]
        axes.plot(idle, [low] * len(idle), "o", color=QUIET, markersize=5, clip_on=False, linestyle="none",
                  label="λ̂ = 0: the limit does not bind")  # fmt: skip
        axes.legend(frameon=False, fontsize=8, loc="lower left")
    axes.set_ylabel("multiplier λ̂(r)")


def _weights(axes: Any, found: RegularizationPath) -> None:
    weights = found.coefficients
    assert weights is not None
    place = found.chosen_index if found.folds else len(found.points) - 1
    order = np.argsort(-np.abs(weights[place]), kind="stable")
    named = [int(i) for i in order[:NAMED] if weights[place, i] != 0]
    for i in range(weights.shape[1]):
        if i not in named:
            axes.plot(found.values, weights[:, i], color=QUIET, linewidth=0.7)
    from matplotlib import colormaps

    colors = colormaps["tab10"]
    names = found.names or tuple(f"x{i}" for i in range(weights.shape[1]))
    for k, i in enumerate(named):
        axes.plot(found.values, weights[:, i], color=colors(k % 10), linewidth=1.3, label=names[i])
    if not found.grouped:
        axes.axhline(0.0, color=DARK, linewidth=0.6)
    axes.set_ylabel("length of an input's weights" if found.grouped else "weight of an input")
    if named:
        axes.legend(frameon=False, fontsize=7, ncol=2, title="largest at the chosen point" if found.folds else None,
                    title_fontsize=7, loc="best")  # fmt: skip
