"""The results as a picture: how many times as fast chainrule is, on a logarithmic scale (needs matplotlib)."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

from benchmarks.table import plain

COLORS = {"torch": "#c8553d", "jax": "#5b6ee1", "sklearn": "#e0a030", "onnxruntime": "#5a9e6f", "c": "#777777"}


def plot(report: Mapping[str, Any], path: str | PathLike[str]) -> None:
    """Write a bar for each form of each peer, grouped by workload; right of 1, chainrule is faster."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    lines: list[tuple[str, float, str]] = []  # a heading has the value 1: a bar of no length
    for key, found in report["workloads"].items():
        rows = [row for row in found["forms"] if row["peer"] != "chainrule" and row["ratio"]]
        rows.sort(key=lambda row: row["ratio"])
        lines += [(f"({key}) {found['title']}", 1.0, "")] if rows else []
        lines += [(f"{row['peer']} {row['form']}", row["ratio"], COLORS.get(row["peer"], "#999999")) for row in rows]
    figure, axes = pyplot.subplots(figsize=(9, 1.2 + 0.2 * max(len(lines), 1)), layout="constrained")
    axes.set_yticks(range(len(lines)), [name for name, _, _ in lines], fontsize=7)
    for place, (_, value, color) in enumerate(lines):
        if color:
            axes.barh(place, value - 1, left=1, color=color, height=0.7)
            axes.text(max(value, 1.0), place, f" {plain(value)}", va="center", fontsize=7)
        else:
            axes.get_yticklabels()[place].set_fontweight("bold")
    axes.margins(x=0.12)
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlabel("chainrule is so many times as fast")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
