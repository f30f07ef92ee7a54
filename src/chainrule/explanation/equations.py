"""A derivation as equations: rows of symbols, numbers and signs, which LaTeX and MathML are written from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chainrule.explanation.derivation import Derivation
from chainrule.explanation.numbers import signed
from chainrule.explanation.story import FEW, Told, told


@dataclass(frozen=True)
class Symbol:
    """A name, or a derivative such as ∂E/∂w1."""

    text: str


@dataclass(frozen=True)
class Number:
    """A number in print; ``power`` is that of ten that it is multiplied by."""

    text: str
    power: int | None = None
    inside: bool = False
    """Does it stand in a product, where one below 0 needs brackets?"""


@dataclass(frozen=True)
class Sign:
    """An operator: · + = Σ."""

    text: str


Piece = Symbol | Number | Sign


@dataclass(frozen=True)
class Row:
    """One line: ``left = right``, or, with nothing on the left, ``= right``; a continued one begins with its sign."""

    left: tuple[Piece, ...]
    right: tuple[Piece, ...]
    continued: bool = False


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


def multiplied(factors: Sequence[Piece]) -> tuple[Piece, ...]:
    """Put a sign between factors."""
    return tuple(piece for i, f in enumerate(factors) for piece in ((Sign("·"), f) if i else (f,)))


def added_up(left: tuple[Piece, ...], terms: Sequence[tuple[Piece, ...]]) -> list[Row]:
    """A line for each term."""
    first, *others = terms
    return [Row(left, first), *(Row((), (Sign("+"), *term), continued=True) for term in others)]


def _added(stories: Sequence[Told]) -> tuple[Piece, ...]:
    return tuple(number(story.product, signed_=place > 0) for place, story in enumerate(stories))


def number(value: float, digits: int = 9, signed_: bool = False, inside: bool = False) -> Number:
    """Return a number in print, with its sign where it is a further term of a sum."""
    text = signed(value, digits).replace("−", "-")
    if not signed_:
        text = text.removeprefix("+")
    text, _, power = text.partition("e")
    return Number(text, int(power) if power else None, inside and text.startswith("-"))
