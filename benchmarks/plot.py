"""The results as a picture: how many times as fast chainrule is, on a logarithmic scale (needs matplotlib)."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

COLORS = {"torch": "#c8553d", "jax": "#5b6ee1", "sklearn": "#e0a030", "onnxruntime": "#5a9e6f", "c": "#777777"}


def plot(report: Mapping[str, Any], path: str | PathLike[str]) -> None:
    """Write a bar for each form of each peer, grouped by workload; right of 1, chainrule is faster."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    bars: list[tuple[str, float, str]] = []
    marks: list[tuple[float, str]] = []
    for key, found in report["workloads"].items():
        rows = [row for row in found["forms"] if row["peer"] != "chainrule" and row["ratio"]]
        rows.sort(key=lambda row: row["ratio"])
        bars += [(f"{row['peer']} {row['form']}", row["ratio"], COLORS.get(row["peer"], "#999999")) for row in rows]
        if rows:
            marks.append((len(bars) - 0.5, f"({key}) {found['title']}"))
    figure, axes = pyplot.subplots(figsize=(9, 1.5 + 0.24 * max(len(bars), 1)), layout="constrained")
    places = range(len(bars))
    axes.barh(places, [b[1] - 1 for b in bars], left=1, color=[b[2] for b in bars], height=0.7)
    axes.set_yticks(places, [b[0] for b in bars], fontsize=7)
    for place, (_, value, _) in enumerate(bars):
        axes.text(max(value, 1.0), place, f" {value:.3g}", va="center", fontsize=7)
    for place, text in marks:
        axes.axhline(place, color="#dddddd", linewidth=0.8)
        axes.text(
            1.0, place - 0.45, text, fontsize=7, fontweight="bold", transform=axes.get_yaxis_transform(), ha="right"
        )
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.invert_yaxis()
    axes.set_xlabel("times as fast as this, chainrule")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
