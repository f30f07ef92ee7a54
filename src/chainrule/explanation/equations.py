"""A derivation as equations: the sum over paths with symbols, with numbers, and what it comes to."""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.explanation.derivation import Derivation
from chainrule.explanation.rows import Piece, Row, Sign, Symbol, added_up, multiplied, number
from chainrule.explanation.story import FEW, Told, told


def equations(d: Derivation) -> list[Row]:
    """Return the derivation: the sum over paths with symbols, with numbers, and its value."""
    rows = [Row((Symbol(d.title),), (number(d.value),))]
    if d.trail is not None and not d.too_large and 0 < d.paths.count <= FEW:
        stories = [told(d, path) for path in d.paths.top(FEW)]
        own = d.title.replace("∂E/", f"∂E_{d.scene.number(d.row)}/") if d.by_row else d.title  # of one row's own loss
        rows = [
            *added_up((Symbol(own),), [multiplied([Symbol(s.name or s.symbol) for s in t.steps]) for t in stories]),
            *added_up((), [multiplied([number(s.value, 6, inside=True) for s in t.steps]) for t in stories]),
            Row((), _added(stories)),
            Row((), (number(d.paths.total),)),
            *_whole(d),
        ]
    if d.update is not None:
        rows.append(Row((Symbol("θ⁺"),), (number(d.update.after),)))
    return rows


def _whole(d: Derivation) -> list[Row]:
    """From one row's loss to the mean over all rows, and the penalties."""
    rows = []
    if d.by_row:
        left = (Sign("Σ"), Symbol("share_r"), Sign("·"), Symbol(d.title.replace("∂E/", "∂E_r/")))
        rows.append(Row(left, (number(sum(part.part for part in d.by_row)),)))
    if d.penalties:
        data = d.value - sum(amount for _, amount in d.penalties)
        terms = [number(data), *(number(amount, signed_=True) for _, amount in d.penalties)]
        rows.append(Row((Symbol(d.title),), (*terms, Sign("="), number(d.value))))
    elif d.by_row:
        rows.append(Row((Symbol(d.title),), (number(d.value),)))
    return rows


def _added(stories: Sequence[Told]) -> tuple[Piece, ...]:
    return tuple(number(story.product, signed_=place > 0) for place, story in enumerate(stories))
