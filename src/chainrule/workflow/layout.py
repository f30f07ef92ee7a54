"""Text for a terminal of 80 columns: labeled lines, aligned columns, and numbers with their units."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import Any

from rich.cells import cell_len, set_cell_size

WIDTH = 80
LABEL = 15


def line(label: str, text: str, *, break_words: bool = True) -> str:
    """Return a labeled line, wrapped under its label; a number is not parted from its unit (joined by ``\\xa0``)."""
    parts = wrap(printable(text), WIDTH - LABEL, break_long_words=break_words, break_on_hyphens=break_words) or [""]
    return "\n".join(f"{label if i == 0 else '':<{LABEL}}{part}" for i, part in enumerate(parts)).replace("\xa0", " ")


def printable(text: str) -> str:
    """Replace line ends and control characters, so that no name in a table can disturb the terminal."""
    return "".join(c if c.isprintable() or c == "\xa0" else " " for c in text)


def columns(rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Align rows of cells: the first ``left`` columns to the left, the others to the right.

    A cell of several lines stands on as many, with the other cells of its row beside the first.
    """
    lines = [
        [cells[i] if i < len(cells) else "" for cells in parts]
        for row in rows
        for parts in [[cell.split("\n") for cell in row]]
        for i in range(max(map(len, parts)))
    ]
    widths = [max(map(cell_len, cells)) for cells in zip(*lines, strict=True)]
    return [
        "  ".join(
            padded(c, w) if i < left else padded(c, w, right=True)
            for i, (c, w) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()
        for cells in lines
    ]


def padded(text: str, width: int, right: bool = False) -> str:
    """Return a text filled up to so many columns of the terminal, of which some letters take two."""
    space = " " * max(width - cell_len(text), 0)
    return space + text if right else text + space


def fitted(text: Any, width: int) -> str:
    """Return a text in exactly so many columns of the terminal: cut, or filled up."""
    return padded(short(text, width), width)


def short(text: Any, width: int) -> str:
    """Cut a text to a width, with an ellipsis."""
    plain = printable(str(text))
    return plain if cell_len(plain) <= width else set_cell_size(plain, width - 1).rstrip() + "…"


def whole(text: Any, width: int) -> str:
    """Break a text into lines of a width: nothing is lost."""
    return "\n".join(wrap(printable(str(text)), width)) or " "


def cut(names: Sequence[str], width: int) -> list[str]:
    """Cut names to a width, all but those that would then look alike: these are broken into lines."""
    made = [short(name, width) for name in names]
    return [whole(name, width) if made.count(m) > 1 else m for name, m in zip(names, made, strict=True)]


def count(number: int, noun: str) -> str:
    return f"{number}\xa0{noun}{'' if number == 1 else 's'}"


def percent(share: float) -> str:
    return f"{100 * share:.1f}\xa0%"


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
