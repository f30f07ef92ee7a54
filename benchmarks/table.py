"""The results as tables that fit 80 columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.table import Table

WIDTH = 80


def legend(report: Mapping[str, Any]) -> str:
    """Return what the columns mean, and who took part."""
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    counted = f"Medians of {report['rounds']} rounds of {report['seconds']:g} s each, everyone in turn"
    clock = f"on {report['threads']} threads at most (thr: the faster number), by {report['clock']}"
    return (
        f"{counted}, {clock}. first: time until the first unit of work was done, compilation included. ratio: "
        f"chainrule's best rate over this one. apart: difference of the losses, relative. {versions}."
    )


def workload_table(key: str, found: Mapping[str, Any]) -> Table:
    """Return one workload's forms, fastest first, and those who are not there."""
    table = Table(
        title=f"({key}) {found['title']}",
        title_justify="left",
        width=WIDTH,
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("who", no_wrap=True)
    for name in ("thr", f"{found['unit']}/s", "each", "ratio", "first", "apart"):
        table.add_column(name, justify="right", no_wrap=True)
    problems: list[str] = []
    for row in sorted(found["forms"], key=lambda row: -row["rate"]):
        name = f"{row['peer']} {row['form']}"
        if row["problem"]:
            table.add_row(name, str(row["threads"]), "", "", "", seconds(row["first_seconds"]), "–")
            problems.append(f"{name}: {row['problem']}")
            continue
        apart = "" if row["difference"] is None else short(row["difference"])
        table.add_row(
            f"[bold]{name}" if row["peer"] == "chainrule" else name, str(row["threads"]), number(row["rate"]),
            seconds(1 / row["rate"]) if row["rate"] else "–", ratio(row["ratio"]), seconds(row["first_seconds"]), apart,
        )  # fmt: skip
    problems += [f"{name}: {reason}" for name, reason in found["missing"].items()]
    table.caption, table.caption_justify = "\n".join(problems) or None, "left"
    for threads, rate in found["peak"].items():
        table.add_row("[dim]peak of products", f"[dim]{threads}", f"[dim]{rate / 1e9:.1f} GF/s")
    return table


def target_table(targets: list[dict[str, Any]]) -> Table:
    """Return the targets with what was measured."""
    table = Table(
        title="Targets",
        title_justify="left",
        width=WIDTH,
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for name, side in (("", "left"), ("grade", "left"), ("what", "left"), ("target", "right"), ("measured", "right")):
        table.add_column(name, justify=side, no_wrap=True)  # type: ignore[arg-type]  # a literal
    table.add_column("")
    for target in targets:
        sign = "≤" if target["at_most"] else "≥"
        measured = "–" if target["value"] is None else f"{plain(target['value'])} {target['unit']}"
        word = {True: "[green]met", False: "[red]missed", None: "[dim]–"}[target["met"]]
        table.add_row(
            target["workload"], target["grade"], target["what"], f"{sign} {plain(target['limit'])} {target['unit']}",
            measured, word,
        )  # fmt: skip
    return table


def number(value: float) -> str:
    """Return a rate with three digits: 23.9 M, 411, 0.52."""
    for size, sign in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
        if value >= size:
            scale = 1e3 if sign == " k" else size
            return f"{value / scale:.3g}{sign}" if value / scale < 1000 else f"{value / scale:.0f}{sign}"
    return plain(value)


def plain(value: float) -> str:
    """Return a number with three digits, never as a power of ten."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def short(value: float) -> str:
    """Return a small difference in few characters: 0, 3e-7."""
    return f"{value:.0e}".replace("e-0", "e-") if value else "0"


def ratio(value: float | None) -> str:
    return "–" if value is None else plain(value)


def seconds(value: float) -> str:
    """Return a time with its unit."""
    if value <= 0:
        return "–"
    for size, sign in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if value >= size:
            return f"{plain(value / size)} {sign}"
    return f"{plain(value / 1e-9)} ns"
