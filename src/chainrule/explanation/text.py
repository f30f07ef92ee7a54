"""A derivation as plain text, 80 columns wide."""

from __future__ import annotations

from textwrap import wrap

from chainrule.explanation.derivation import Check, Derivation
from chainrule.explanation.numbers import factor, percent, short, signed
from chainrule.explanation.story import FEW, Told, factored, largest, norms, told

WIDTH = 80
MOST_ROWS = 8
MOST_UNITS = 4
MOST_PATHS = 3


def derivation_text(d: Derivation) -> str:
    """Return everything that a derivation says."""
    lines = [_head(d)]
    if d.trail is None:
        lines += _value(d)
    else:
        lines += [*_rows(d), *_uses(d), *_paths(d), *_penalties(d), *_checks(d)]
    lines += _update(d)
    for note in d.notes:
        lines += _note(note)
    return "\n".join(lines)


def _head(d: Derivation) -> str:
    parts = [f"{d.title} = {signed(d.value) if d.trail is not None else short(d.value)}"]
    if d.about:
        parts.append(d.about)
    if d.scene.step is not None:
        parts.append(f"step {d.scene.step}")
    if d.scene.count > 1 and not (d.trail is None and d.asked.kind == "value"):
        parts.append(f"mean over {d.scene.count} rows")
    elif d.scene.rows is not None:
        parts.append(f"row {d.scene.rows[0]}")
    line = parts[0]
    for part in parts[1:]:
        last = line.rpartition("\n")[2]
        line += f"\n    {part}" if len(last) + len(part) + 8 > WIDTH else f"        {part}"
    return line


def _value(d: Derivation) -> list[str]:
    lines = [f"  = {d.formula}"] if d.formula else []
    if d.substituted:
        lines.append(f"  = {d.substituted}")
    return [*lines, *d.lines, *_penalties(d)]


def _rows(d: Derivation) -> list[str]:
    """The cut by row: each row's share of the mean times the derivative of its own loss."""
    if not d.by_row:
        return []
    shown, others = largest([part.part for part in d.by_row], MOST_ROWS)
    lines = ["", "by row: share of the mean × derivative of the row's own loss"]
    for r in shown:
        part = d.by_row[r]
        lines.append(
            f"  row {d.scene.number(r):<8} {short(part.share, 6):>12} × {factor(part.slope):>12} = {signed(part.part)}"
        )
    if others:
        rest = sum(d.by_row[r].part for r in others)
        lines.append(f"  {len(others)} other rows{'':{27 - len(str(len(others)))}} = {signed(rest)}")
    lines.append(f"{'sum':>40} = {signed(sum(part.part for part in d.by_row))}")
    return lines


def _uses(d: Derivation) -> list[str]:
    """The cut by use: in the order of the uses, and of time."""
    if not d.by_use:
        return []
    shown, others = largest([use.part for use in d.by_use], MOST_ROWS)
    lines = ["", "by use: what is read in several places, or time steps, adds up"]
    lines += [f"  {d.by_use[u].label:<54} {signed(d.by_use[u].part)}" for u in sorted(shown)]
    if others:
        lines.append(f"  {f'{len(others)} others':<54} {signed(sum(d.by_use[u].part for u in others))}")
    lines.append(f"  {'sum':<54} {signed(sum(use.part for use in d.by_use))}")
    return lines


def _paths(d: Derivation) -> list[str]:
    """All paths, where there are few; else a cut for each layer, the Jacobians, and the largest paths."""
    if d.too_large:
        return [*_cuts(d), "", *_note(d.too_large)]
    paths = d.paths
    where = f", of row {d.scene.number(d.row)} (its own loss)" if d.by_row else ""
    lines: list[str] = []
    if paths.count == 0:
        source = d.title.removeprefix("∂E/∂")
        return ["", *wrap(f"there is no path from {source} to the loss: the derivative is 0, not unknown", WIDTH)]
    if paths.count <= FEW:
        many = "one path" if paths.count == 1 else f"{paths.count} paths"
        lines += ["", f"{many}{where}; multiply along a path, add across paths"]
        for path in paths.top(FEW):
            lines += _path(told(d, path))
    else:
        lines += _cuts(d)
        lines += ["", f"Jacobians between waypoints{where}"]
        lines += [
            f"  ∂{end} / ∂{start}: {' × '.join(map(str, shape))}, norm {short(norm, 5)}, largest {short(top, 5)}"
            for start, end, shape, norm, top in norms(d)
        ]
        lines += [
            "",
            f"{paths.count:,} paths{where}; the {len(paths)} largest have {percent(paths.covered)} of their mass",
        ]
        for path in list(paths)[:MOST_PATHS]:
            lines += _path(told(d, path))
        if len(paths) > MOST_PATHS:
            rest = sum(path.product for path in list(paths)[MOST_PATHS:])
            lines.append(f"  the next {len(paths) - MOST_PATHS} add up to {signed(rest)}")
        other = paths.total - sum(path.product for path in paths)
        lines.append(f"  all others add up to {signed(other)}")
    lines.append(f"{'sum':>60} = {signed(paths.total)}")
    formula, numbers = factored(d)
    if formula:
        lines += ["", *_wrapped("factored   ", formula), *_wrapped("           ", numbers)]
    return lines


def _note(note: str) -> list[str]:
    return wrap(note, WIDTH, initial_indent="note       ", subsequent_indent=" " * 11)


def _wrapped(label: str, text: str) -> list[str]:
    return wrap(text, WIDTH, initial_indent=label, subsequent_indent=" " * len(label), break_long_words=False)


def _path(path: Told) -> list[str]:
    route = " → ".join(path.route)
    if len(route) <= 58:
        lines = [f"  {route:<58} = {signed(path.product)}"]
    else:
        lines = [*_wrapped("  ", route), f"{'':60} = {signed(path.product)}"]
    wide = max([11, *(len(step.name or step.symbol) for step in path.steps)])
    many = max((WIDTH - 3) // (wide + 3), 1)  # so many factors fit on a line
    for begin in range(0, len(path.steps), many):
        part = path.steps[begin : begin + many]
        lines.append("      " + "   ".join(f"{step.name or step.symbol:>{wide}}" for step in part))
        lines.append(("    × " if begin else "      ") + " × ".join(f"{factor(step.value):>{wide}}" for step in part))
    return lines


def _cuts(d: Derivation) -> list[str]:
    lines: list[str] = []
    for layer in d.layers:
        if layer.endswith(".net"):
            continue
        cut = d.cut(layer)
        shown, others = largest([unit.part for unit in cut.units], MOST_UNITS)
        shown = [u for u in shown if cut.units[u].part] or shown[:1]
        others = [u for u in range(len(cut.units)) if u not in set(shown)]
        lines += ["", f"cut at {layer}: a part for each of {len(cut.units)} units, exact"]
        lines += [f"  {cut.units[u].label:<36} {signed(cut.units[u].part)}" for u in shown]
        if others:
            rest = sum(cut.units[u].part for u in others)
            lines.append(f"  {f'{len(others)} others':<36} {signed(rest)}")
        if cut.around:
            lines.append(f"  {'around this layer':<36} {signed(cut.around)}")
        lines.append(f"  {'sum':<36} {signed(cut.total)}")
    return lines


def _penalties(d: Derivation) -> list[str]:
    kind = "adds" if d.trail is not None else "is"
    return [f"penalty    {name} {kind} {signed(amount)}" for name, amount in d.penalties]


def _checks(d: Derivation) -> list[str]:
    if d.check is None:
        return []
    return [
        f"check      central difference, h = {d.check.h:g}: {signed(d.check.numeric)}",
        f"           ({agreement(d.check)})",
    ]


def agreement(check: Check) -> str:
    """Return how well a check agrees; a derivative may be so small that rounding hides it."""
    if check.rounding > 1e-2 * abs(check.exact):
        return f"no check: rounding alone is {check.rounding:.0e} of this difference"
    return f"relative difference {check.difference:.0e}"


def _update(d: Derivation) -> list[str]:
    if d.update is None:
        return []
    lines = _wrapped("update     ", d.update.rule)
    lines += _wrapped(" " * 11, " = ".join(part for part in (d.update.substituted, short(d.update.after)) if part))
    lines += [f"           {name}: {signed(amount)}" for name, amount in d.update.parts]
    return lines
