"""Learning curves as text for a terminal of 80 columns: three tables, and plain sentences on what would help most."""

from __future__ import annotations

from math import floor, isfinite, log10
from re import sub
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np

from chainrule.workflow.curve_reading import Estimate, estimate
from chainrule.workflow.curve_runs import FITS
from chainrule.workflow.layout import WIDTH, columns, count, line, number

if TYPE_CHECKING:
    from chainrule.workflow.learning_curve import Advice, Curve, LearningCurves

INDENT = "   "
MOST_PLACES = 6
STANDING = ("within noise", "helps", "does not help")
"""By the sign of a gain: 0, 1 and −1."""


def with_error(value: float, error: float) -> str:
    """Return a value ± its error: two digits of the error, and the value to the same place.

    >>> with_error(0.41237, 0.00384)
    '0.4124 ± 0.0038'
    """
    if not (isfinite(error) and error > 0.0):
        return f"{number(value)} ± {number(error)}"
    places = max(0, 1 - floor(log10(error)))
    return f"{value:.1e} ± {error:.1e}" if places > MOST_PLACES else f"{value:.{places}f} ± {error:.{places}f}"


def between(e: Estimate, scale: float = 1.0) -> str:
    """Return the 95 % interval of an estimate (times a scale, of which −1 turns it around)."""
    low, high = sorted((scale * e.low, scale * e.high))
    if not (isfinite(e.error) and e.error > 0.0):
        return signed(f"{number(low)} to {number(high)}")
    places = min(max(0, 1 - floor(log10(e.error))), MOST_PLACES)
    return signed(f"{low:.{places}f} to {high:.{places}f}")


def signed(text: str) -> str:
    """Return numbers with the sign minus in the place of a hyphen, and no −0.

    >>> signed("-0.00 to -0.10")
    '0.00 to −0.10'
    """
    return sub(r"−(?=0(\.0+)?(?![\d.]))", "", text.replace("-", "−"))


def curves_text(found: LearningCurves) -> str:
    """Return the report of ``chainrule learning-curve``."""
    unit = unit_of(found.guess[found.measure])
    found = found if unit == 1.0 else found.divided(unit)
    units, held = found.units, count(found.held_out_rows, "held-out row")
    everything = f"{found.rows.values[-1]:,.0f} rows"
    name = found.limit_name
    parts = [
        *_header(found, held, unit),
        "",
        *_table(found, found.rows, "rows"),
        "",
        f"size, with {everything}; * is the network that was asked for",
        *_table(found, found.size, "units"),
        "",
        f"a limit {name} ≤ r, with {everything} and {units} units",
        *_table(found, found.limit, "r"),
        "",
        *_sentences(found),
        "",
        "What would help most",
        *(part for place, advice in enumerate(found.advice, 1) for part in _ranked(place, advice, found)),
        "",
        *_paragraph(_conclusion(found)),
    ]
    return "\n".join(parts).replace("\xa0", " ")


def unit_of(value: float) -> float:
    """Return the power of 1000 in which large and small numbers are written short: 1 from 0.01 to 100,000."""
    return 1.0 if 0.01 <= value < 1e5 or not isfinite(value) or value == 0.0 else 1000.0 ** floor(log10(value) / 3)


def _header(found: LearningCurves, held: str, unit: float) -> list[str]:
    o, task = found.options, found.task
    kind = "a number" if task.kind == "regression" else task.kind
    of = "" if found.used == found.table_rows else f"; {found.used:,} with a label are used"
    stopping = f"early stopping ({o.patience} epochs)" if o.validation else "no early stopping"
    how = [f"{','.join(map(str, o.hidden))} {o.activation}", "adam"]
    how += [f"dropout {o.dropout:g}"] if o.dropout else []
    how += [f"{o.epochs} epochs at most", stopping]
    shown = found.measure if unit == 1.0 else f"{found.measure} in units of {unit:g}"
    guess = number(found.guess[found.measure])
    return [
        line("table", f"{found.source}: {count(found.table_rows, 'row')}{of}"),
        line("target", f"{found.target}, {kind}: {task.why}"),
        line("network", ", ".join(how)),
        line(
            "measure",
            f"{shown}, less is better; that of guessing is {guess}. Mean of "
            f"{o.repeats} repeats, each with its own {held}, first weights and subsets. ± is one standard error, made "
            "larger for the rows that the repeats share; beyond noise is what has a 95 % interval without 0",
        ),
    ]  # fmt: skip


def _table(found: LearningCurves, curve: Curve, title: str) -> list[str]:
    training, held = curve.training[found.measure], curve.held_out[found.measure]
    lines = [[f"{title:>10}", "training", "held out", "gap", "95 % interval"]]
    for value, a, b in zip(curve.values, training, held, strict=True):
        fitted, seen, gap = (estimate(v, found.share) for v in (a, b, b - a))
        means = with_error(fitted.mean, fitted.error), with_error(seen.mean, seen.error)
        lines.append([_value(curve, value, found), *means, _alone(gap), between(gap)])
    return columns(lines)


def _alone(e: Estimate) -> str:
    return signed(with_error(e.mean, e.error).partition(" ")[0])


def _value(curve: Curve, value: float | None, found: LearningCurves) -> str:
    here = "* " if curve.name == "size" and value == found.units else ""
    text = "no limit" if value is None else f"{value:g}" if curve.name == "limit" else f"{value:,.0f}"
    return f"{here + text:>10}"


def _sentences(found: LearningCurves) -> list[str]:
    gap, m = found.gap, found.measure
    said = {
        1: f"it fits the rows it was given better than others: the gap is beyond noise ({between(gap)})",
        0: f"the gap is within noise ({between(gap)})",
        -1: f"held-out rows come out better than training rows ({between(gap)}), as they may with dropout",
    }[gap.sign]
    train = estimate(found.rows.training[m][-1], found.share)
    held = estimate(found.present, found.share)
    text = (
        f"The network that was asked for, with all rows and no limit: training {with_error(train.mean, train.error)}, "
        f"held out {with_error(held.mean, held.error)}; {said}."
    )
    more = []
    fits = found.interpolation
    descent = found.double_descent
    if fits is not None:
        more.append(
            f"From {fits:,} units on the network fits its training rows: their {m} is under "
            f"{100 * FITS[m]:g} % of that of guessing (interpolation)."
        )
    if descent is not None:
        valley, peak, beyond = (found.size.values[p] for p in (descent.valley, descent.peak, descent.beyond))
        more.append(
            f"Double descent: with size the held-out {m} rises by {with_error(descent.rise.mean, descent.rise.error)} "
            f"from {valley:,} to {peak:,} units and falls again by {with_error(descent.fall.mean, descent.fall.error)} "
            f"at {beyond:,}, both beyond noise. Between the two a larger network is better than a somewhat smaller one."
        )
    else:
        more.append("No double descent: the held-out curve does not rise with size and fall again beyond noise.")
    return [*_paragraph(text), *_paragraph(" ".join(more)), *_paragraph(_unfinished(found))]


def _unfinished(found: LearningCurves) -> str:
    """Say which networks most epochs ended, rather than early stopping: they are judged before they have learned."""
    places = []
    for curve, named in ((found.rows, "{} rows"), (found.size, "{} units"), (found.limit, "r = {}")):
        values = [_value(curve, value, found).strip(" *") for value in curve.values]
        cut = [v for v, n in zip(values, curve.unfinished, strict=True) if 2 * n > found.options.repeats]
        if cut:
            places.append(named.format(", ".join(cut)))
    if not places:
        return ""
    return (
        f"Not learned to the end: early stopping had not ended most trainings with {'; '.join(places)} at epoch "
        f"{found.options.epochs:,}, the last. More epochs may change what is said of them."
    )


def _paragraph(text: str, indent: str = "") -> list[str]:
    """Return lines of the terminal; a number stays with its error."""
    joined = text.replace(" ± ", "\xa0±\xa0").replace("r = ", "r\xa0=\xa0")
    return wrap(joined, WIDTH, subsequent_indent=indent, break_on_hyphens=False)


def _ranked(place: int, advice: Advice, found: LearningCurves) -> list[str]:
    said = _rows(advice, found) if advice.change == "more rows" else _choice(advice, found)
    return _paragraph(f"{place}  {said}", INDENT)


def _moved(e: Estimate, of: str) -> str:
    """Say how a measure moved: an estimate is positive where it fell."""
    word = {1: "fell", -1: "rose", 0: "fell" if e.mean >= 0 else "rose"}[e.sign]
    noise = ", which is within noise" if e.sign == 0 else ""
    scale = 1.0 if word == "fell" else -1.0
    return f"{of} {word} by {with_error(abs(e.mean), e.error)} (95 % interval {between(e, scale)}){noise}"


def _rows(advice: Advice, found: LearningCurves) -> str:
    before, last = found.rows.values[-2:]
    step = _moved(found.last_step, f"From {before:,.0f} to {last:,.0f} rows the held-out {found.measure}")
    law = advice.law
    head = f"More rows: {advice.standing}. {step}."
    if law is None:
        return f"{head} Through two points no power law is drawn, so nothing is said of more rows than these."
    if law.b == 0.0:
        return f"{head} The last {law.points} points do not fall, so a power law through them promises nothing."
    constant = f"{number(law.a)} + " if law.a else ""
    return (
        f"{head} A power law through the last {law.points} points, {constant}{number(law.b)}·n^−{law.c:.2f}, "
        f"extrapolates to {number(law.value)} at {law.rows:,} rows: {with_error(advice.gain.mean, advice.gain.error)} "
        f"less than at {last:,.0f} (an extrapolation; 95 % interval {between(advice.gain)})."
    )


def _choice(advice: Advice, found: LearningCurves) -> str:
    g, repeats = advice.gain, found.options.repeats
    if advice.change == "limit":
        name, what = f"A limit {found.limit_name} ≤ r", f"r = {advice.value:g}"
    else:
        name, what = f"A {advice.change}", count(int(advice.value), "unit")
    votes = f"{advice.votes} of {repeats} repeats choose {what}"
    lowers = "lowers" if g.mean >= 0 else "raises"
    scale = 1.0 if g.mean >= 0 else -1.0
    return (
        f"{name}: {advice.standing}. The best one {lowers} the held-out {found.measure} by "
        f"{with_error(abs(g.mean), g.error)} (95 % interval {between(g, scale)}); {votes}."
    )


def _conclusion(found: LearningCurves) -> str:
    helping = [a for a in found.advice if a.sign > 0]
    if not helping:
        return (
            f"Nothing of this helps beyond noise with {found.options.repeats} repeats. More repeats would show smaller "
            "differences; other columns, cleaner labels or another network are not looked at here."
        )
    best = helping[0]
    rivals = [a for a in helping[1:] if a.gain.high > best.gain.low]
    order = " Its interval and that of the next overlap, so that their order is not certain." if rivals else ""
    if best.change == "more rows" and best.law is None:
        last = _moved(best.gain, f"From {found.rows.values[-2]:,.0f} to {best.value:,.0f} the held-out {found.measure}")
        return f"Most helped: more rows. {last}. What still more would bring, two points do not say.{order}"
    name = {"more rows": "twice the rows", "limit": f"a limit {found.limit_name} ≤ {best.value:g}"}.get(
        best.change, f"a {best.change} of {best.value:,.0f} units"
    )
    unsure = " (an extrapolation)" if best.change == "more rows" else ""
    return (
        f"Most would help: {name}. The held-out {found.measure} of {number(float(np.mean(found.present)))} falls by "
        f"{with_error(best.gain.mean, best.gain.error)}{unsure}.{order}"
    )


__all__ = ["curves_text", "with_error"]
