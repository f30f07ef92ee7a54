"""Equations below each other: rows of symbols, numbers and signs, which LaTeX and MathML are written from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chainrule.explanation.numbers import signed


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


def number(value: float, digits: int = 9, signed_: bool = False, inside: bool = False) -> Number:
    """Return a number in print, with its sign where it is a further term of a sum."""
    text = signed(value, digits).replace("−", "-")
    if not signed_:
        text = text.removeprefix("+")
    text, _, power = text.partition("e")
    return Number(text, int(power) if power else None, inside and text.startswith("-"))


def multiplied(factors: Sequence[Piece]) -> tuple[Piece, ...]:
    """Put a sign between factors."""
    return tuple(piece for i, f in enumerate(factors) for piece in ((Sign("·"), f) if i else (f,)))


def added_up(left: tuple[Piece, ...], terms: Sequence[tuple[Piece, ...]]) -> list[Row]:
    """A line for each term."""
    first, *others = terms
    return [Row(left, first), *(Row((), (Sign("+"), *term), continued=True) for term in others)]
