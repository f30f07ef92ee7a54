"""A derivation as HTML for notebooks: tables and styles of its own, no script, nothing from outside."""

from __future__ import annotations

from html import escape

from chainrule.explanation.derivation import Derivation
from chainrule.explanation.numbers import factor, percent, short, signed
from chainrule.explanation.story import FEW, factored, largest, told
from chainrule.explanation.text import agreement

STYLE = "border-collapse:collapse;font-variant-numeric:tabular-nums"
CELL = "padding:2px 10px;text-align:right;border-bottom:1px solid #8884"
MOST = 8


def derivation_html(d: Derivation) -> str:
    """Return a derivation as one piece of HTML."""
    head = f"{d.title} = {signed(d.value) if d.trail is not None else short(d.value)}"
    more = [d.about, "" if d.scene.step is None else f"step {d.scene.step}"]
    if d.scene.count > 1:
        more.append(f"mean over {d.scene.count} rows" if d.trail is not None or d.asked.kind == "loss" else "")
    elif d.scene.rows is not None:
        more.append(f"row {d.scene.rows[0]}")
    parts = [f"<p><strong>{escape(head)}</strong> {escape(' · '.join(m for m in more if m))}</p>"]
    if d.trail is None:
        parts += [f"<p>= {escape(text)}</p>" for text in (d.formula, d.substituted) if text]
        parts += [f"<pre>{escape(chr(10).join(d.lines))}</pre>"] if d.lines else []
    else:
        parts += [*_rows(d), *_uses(d), *_paths(d)]
    if d.check is not None:
        parts.append(
            f"<p>check: central difference, h = {d.check.h:g}: {escape(signed(d.check.numeric))} "
            f"({agreement(d.check)})</p>"
        )
    for name, amount in d.penalties:
        told_as = "of it" if d.trail is not None else "of which"
        parts.append(f"<p>{told_as}, by {escape(name)}: {escape(signed(amount))}</p>")
    if d.update is not None:
        parts.append(
            "<p>update: "
            + " = ".join(escape(t) for t in (d.update.rule, d.update.substituted, short(d.update.after)) if t)
            + "</p>"
        )
        parts += [f"<p>{escape(name)}: {escape(signed(amount))}</p>" for name, amount in d.update.parts]
    parts += [f"<p><em>{escape(note)}</em></p>" for note in d.notes]
    return f"<div>{''.join(parts)}</div>"


def _table(head: list[str], rows: list[list[str]], caption: str) -> str:
    titles = "".join(f'<th style="{CELL}">{escape(cell)}</th>' for cell in head)
    body = "".join(
        "<tr>" + "".join(f'<td style="{CELL}">{escape(cell)}</td>' for cell in row) + "</tr>" for row in rows
    )
    return (
        f'<table style="{STYLE}"><caption style="text-align:left">{escape(caption)}</caption>'
        f"<thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>"
    )


def _rows(d: Derivation) -> list[str]:
    if not d.by_row:
        return []
    shown, others = largest([part.part for part in d.by_row], MOST)
    rows = [
        [str(d.scene.number(r)), short(d.by_row[r].share, 6), factor(d.by_row[r].slope), signed(d.by_row[r].part)]
        for r in shown
    ]
    if others:
        rows.append([f"{len(others)} others", "", "", signed(sum(d.by_row[r].part for r in others))])
    return [_table(["row", "share", "derivative of its loss", "part"], rows, "by row")]


def _uses(d: Derivation) -> list[str]:
    if not d.by_use:
        return []
    shown, others = largest([use.part for use in d.by_use], MOST)
    rows = [[d.by_use[u].label, signed(d.by_use[u].part)] for u in sorted(shown)]
    if others:
        rows.append([f"{len(others)} others", signed(sum(d.by_use[u].part for u in others))])
    return [_table(["use", "part"], rows, "by use")]


def _paths(d: Derivation) -> list[str]:
    if d.too_large:
        return [f"<p><em>{escape(d.too_large)}</em></p>"]
    paths = d.paths
    few = paths.count <= FEW
    stories = [told(d, path) for path in (paths.top(FEW) if few else list(paths)[:MOST])]
    row = d.scene.number(d.row)
    whose = f" of row {row} (its own loss)" if d.by_row else ""
    caption = f"{paths.count:,} path{'s' if paths.count != 1 else ''}{whose}: multiply along a path, add across paths"
    if not few:
        caption += f"; the {len(paths)} largest have {percent(paths.covered)} of their mass"
    rows = []
    for story in stories:
        factors = " × ".join(f"{s.name or s.symbol} {factor(s.value)}" for s in story.steps)
        rows.append([" → ".join(story.route), factors, signed(story.product)])
    rows.append(["sum of all", "", signed(paths.total)])
    parts = [_table(["path", "factors", "product"], rows, caption)]
    for layer in [] if few else [name for name in d.layers if not name.endswith(".net")]:
        cut = d.cut(layer)
        shown, others = largest([unit.part for unit in cut.units], MOST)
        rows = [[cut.units[u].label, signed(cut.units[u].part)] for u in shown]
        if others:
            rows.append([f"{len(others)} others", signed(sum(cut.units[u].part for u in others))])
        if cut.around:
            rows.append(["around this layer", signed(cut.around)])
        parts.append(_table(["unit", "part"], [*rows, ["sum", signed(cut.total)]], f"cut at {layer}"))
    formula, numbers = factored(d)
    if formula:
        parts.append(f"<p>factored{whose}: {escape(formula)} = {escape(numbers)}</p>")
    return parts
