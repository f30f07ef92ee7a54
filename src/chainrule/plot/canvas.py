"""What all pictures share: a figure without global state, and colors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainrule.errors import TrainingError

UP, DOWN, QUIET, DARK = "#2a6fb0", "#c8553d", "#b8b8b8", "#333333"
"""Positive, negative, not lit, and lines of text."""


def canvas(width: float = 6.4, height: float = 4.0, layout: Any = "constrained", panels: int = 1) -> tuple[Any, Any]:
    """Return a figure and its axes (of several panels in a row an array); raise where matplotlib is missing."""
    figure = _figure(width, height, layout)
    axes = figure.subplots(1, panels, sharey=panels > 1)
    for each in figure.axes:
        each.spines[["top", "right"]].set_visible(False)
    return figure, axes


def canvases(heights: Sequence[float], width: float = 6.4, unit: float = 2.2) -> tuple[Any, list[Any]]:
    """Return a figure of panels below each other, which have their x in common, with heights in units of inches."""
    figure = _figure(width, unit * sum(heights) + 0.6, "constrained")
    panels = figure.subplots(len(heights), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": list(heights)})
    for axes in panels[:, 0]:
        axes.spines[["top", "right"]].set_visible(False)
    return figure, list(panels[:, 0])


def _figure(width: float, height: float, layout: Any) -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise TrainingError("pictures need matplotlib: pip install 'chainrule[plot]'") from None
    return Figure(figsize=(width, height), layout=layout)


def require(subject: Any, kind: type, picture: str) -> None:
    """Raise TrainingError where something else is given than what a picture is drawn of."""
    if not isinstance(subject, kind):
        what = {
            "Run": "a training run",
            "Derivation": "what cr.explain(objective or run, of=…) returns",
            "LearningCurves": "what cr.workflow.learning_curve(…) returns",
        }[kind.__name__]
        raise TrainingError(f"cr.plot.{picture} draws {what}, not a {type(subject).__name__}")
