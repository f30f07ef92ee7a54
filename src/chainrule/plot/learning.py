"""Learning curves drawn: training and held-out measure against rows, size, and a limit on the weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.plot.canvas import DARK, DOWN, QUIET, UP, canvas, require
from chainrule.workflow import LearningCurves
from chainrule.workflow.curve_reading import estimate


def learning_curve(found: LearningCurves) -> Any:
    """Draw what ``cr.workflow.learning_curve`` found: one panel each for rows, size and a limit.

    Lines are means over repeats, the bands about them 95 % intervals; the power law through the last numbers of rows is
    dashed as far as twice the rows, and the network that was asked for is a vertical line.
    """
    require(found, LearningCurves, "learning_curve")
    figure, (by_rows, by_size, by_limit) = canvas(11.0, 3.8, panels=3)
    for axes, curve in ((by_rows, found.rows), (by_size, found.size), (by_limit, found.limit)):
        values = [float(value) for value in curve.values if value is not None]
        if curve.name == "limit":  # no limit stands at the right, a step beyond the loosest
            values.append(values[-1] * 2.0)
        axes.set_xscale("log", base=2)
        shown = _thinned(values)
        last = "none" if curve.name == "limit" else _tick(shown[-1])
        axes.set_xticks(shown, [*map(_tick, shown[:-1]), last])
        axes.minorticks_off()
        for scores, color, label in ((curve.training, UP, "training"), (curve.held_out, DOWN, "held out")):
            line_of = [estimate(line, found.share) for line in scores[found.measure]]
            low = [max(e.low, 0.0) for e in line_of]  # no measure is less than 0
            axes.fill_between(values, low, [e.high for e in line_of], color=color, alpha=0.15, linewidth=0)
            axes.plot(values, [e.mean for e in line_of], "o-", color=color, markersize=3.5, label=label)
    by_rows.set_xlabel("rows to learn from")
    by_rows.set_ylabel(f"{found.measure} (less is better)")
    by_size.set_xlabel(f"units, with {found.rows.values[-1]:,.0f} rows")
    by_limit.set_xlabel(f"r of {found.limit_name} ≤ r, {found.units} units")
    _law(by_rows, found)
    guess = found.guess[found.measure]
    top = by_rows.get_ylim()[1]
    for axes in (by_rows, by_size, by_limit):
        if guess <= top:
            axes.axhline(guess, color=QUIET, linewidth=1, linestyle=":")
    if guess <= top:
        by_size.annotate(
            "guessing", (1.0, guess), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8
        )
    by_size.axvline(found.units, color=QUIET, linewidth=1, zorder=0)
    descent = found.double_descent
    if descent is not None:
        peak = found.size.values[descent.peak]
        height = float(found.size.held_out[found.measure][descent.peak].mean())
        by_size.annotate(
            "double descent", (peak, height), xytext=(4, 8), textcoords="offset points", fontsize=8, color=DARK
        )  # fmt: skip
    by_rows.legend(frameon=False)
    return figure


def _law(axes: Any, found: LearningCurves) -> None:
    """Draw the power law through the last numbers of rows, on to twice the rows; none where the curve does not fall."""
    law = next(advice.law for advice in found.advice if advice.change == "more rows")
    if law is None or law.b == 0.0:
        return
    first = float(found.rows.values[-law.points] or 0)
    n = np.geomspace(first, law.rows, 50)
    axes.plot(n, law.a + law.b * n**-law.c, "--", color=DARK, linewidth=1, label="power law")
    ticks = [*axes.get_xticks(), law.rows]
    axes.set_xticks(ticks, [*map(_tick, ticks)])


def _thinned(values: list[float]) -> list[float]:
    """Return at most seven of some values, the last one among them, so that their names do not overlap."""
    step = -(-len(values) // 7)
    return values[::-1][::step][::-1]


def _tick(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:g}"
