"""Results as text for a terminal of 80 columns, readable without color."""

from __future__ import annotations

from chainrule.cli.example import example_json, example_text
from chainrule.table import Inspection
from chainrule.workflow.layout import WIDTH, columns, count, line, number, short, whole
from chainrule.workflow.report import MOST_CLASSES, evaluation_text, training_text


def inspection_text(found: Inspection) -> str:
    """Return the report of ``chainrule inspect``."""
    lines = [line("table", f"{found.source}: {count(found.rows, 'row')}, {count(len(found.columns), 'column')}")]
    if found.target is not None:
        kind = f", {found.task.kind}: {found.task.why}" if found.task is not None else ""
        lines.append(line("target", f"{found.target}{kind}"))
    if found.classes:
        shown = [f"{short(name, 40)} {rows}" for name, rows in found.classes[:MOST_CLASSES]]
        more = len(found.classes) - MOST_CLASSES
        lines.append(line("classes", ", ".join(shown) + (f" and {more} more" if more > 0 else "")))
    rows = [["column", "kind", "missing", "distinct", "values"]]
    for c in found.columns:
        values = (
            " … ".join(short(number(v) if isinstance(v, int | float) else v, 16) for v in (c.low, c.median, c.high))
            if c.median is not None
            else ", ".join(f"{short(v, 14)} {n}" for v, n in c.common[:3])
        )
        rows.append([whole(c.name, 22), c.kind, str(c.missing), str(c.distinct), values])
    start = columns([row[:4] for row in rows], left=2)
    width = max(map(len, start))
    lines.append("")
    beside = [text for row in rows for text in (row[4], *[""] * row[0].count("\n"))]
    lines += [
        f"{first.ljust(width)}  {short(values, WIDTH - width - 2)}".rstrip()
        for first, values in zip(start, beside, strict=True)
    ]
    lines.append("")
    if not found.findings:
        lines.append("nothing wrong was found")
    for finding in found.findings:
        lines.append(line(finding.severity, finding.message))
    return "\n".join(lines)


__all__ = ["evaluation_text", "example_json", "example_text", "inspection_text", "training_text"]
