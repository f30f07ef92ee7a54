"""Equations as LaTeX, for a document that loads amsmath."""

from __future__ import annotations

import re
from collections.abc import Sequence

from chainrule.explanation.rows import Number, Piece, Row, Sign, Symbol

SPECIAL = {
    "_": r"\_",
    "%": r"\%",
    "&": r"\&",
    "#": r"\#",
    "$": r"\$",
    "{": r"\{",
    "}": r"\}",
    "−": "$-$",
    "θ": r"$\theta$",
    "λ": r"$\lambda$",
    "→": r"$\to$",
    "×": r"$\times$",
    "⁺": "$^+$",
}
SIGNS = {"·": r"\cdot", "Σ": r"\sum_r", "+": "+", "=": "="}


def latex_of(rows: Sequence[Row]) -> str:
    """Return equations below each other, aligned at their =."""
    lines = []
    for row in rows:
        left = _written(row.left)
        if row.continued:
            lines.append(rf"&\quad {_written(row.right)}")
        else:
            lines.append(f"{left} &= {_written(row.right)}".lstrip())
    body = " \\\\\n".join(lines)
    return f"\\begin{{align*}}\n{body}\n\\end{{align*}}"


def _written(pieces: Sequence[Piece]) -> str:
    return " ".join(_piece(piece) for piece in pieces)


def _piece(piece: Piece) -> str:
    if isinstance(piece, Symbol):
        return symbol(piece.text)
    if isinstance(piece, Sign):
        return SIGNS[piece.text]
    return number_latex(piece)


def symbol(text: str) -> str:
    """Return a name in print as LaTeX: ∂E/∂w1 becomes a fraction, net_h1 an index."""
    if found := re.fullmatch(r"∂(.+)/∂(.+)", text):
        return rf"\frac{{\partial {_name(found[1])}}}{{\partial {_name(found[2])}}}"
    return _name(text)


def _name(text: str) -> str:
    if text == "θ⁺":
        return r"\theta^{+}"
    if text == "share_r":
        return r"\mathit{share}_r"
    if found := re.fullmatch(r"(net|out)_([iho])(\d+)", text):
        return rf"\mathit{{{found[1]}}}_{{{found[2]}_{{{found[3]}}}}}"
    if found := re.fullmatch(r"([a-zA-Z])_(\d+|r)", text):
        return f"{found[1]}_{{{found[2]}}}"
    if text.endswith("⁺"):
        return rf"{_name(text.removesuffix('⁺'))}^{{+}}"
    if found := re.fullmatch(r"([a-zA-Z])(\d+)", text):
        return f"{found[1]}_{{{found[2]}}}"
    if re.fullmatch(r"[A-Za-z]", text):
        return text
    return rf"\mathit{{{escaped(text)}}}"


def escaped(text: str) -> str:
    """Return a text as it stands in LaTeX; signs that TeX's own fonts lack are written as formulas."""
    return "".join(SPECIAL.get(c, c) for c in text)


def number_latex(number: Number) -> str:
    """Return a number, as it stands in a formula."""
    text = number.text if number.power is None else rf"{number.text} \cdot 10^{{{number.power}}}"
    return f"({text})" if number.inside else text
