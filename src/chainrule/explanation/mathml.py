"""Equations as MathML, which browsers draw by themselves."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from chainrule.explanation.rows import Number, Piece, Row, Sign, Symbol


def mathml_of(rows: Sequence[Row]) -> str:
    """Return equations as one ``<math>`` element, aligned at their =."""
    lines = []
    for row in rows:
        equal = "" if row.continued else _sign("=")
        cells = (_written(row.left), equal, _written(row.right))
        aligned = zip(("right", "center", "left"), cells, strict=True)
        lines.append(
            "<mtr>" + "".join(f'<mtd style="text-align:{side}">{cell}</mtd>' for side, cell in aligned) + "</mtr>"
        )
    return (
        '<math xmlns="http://www.w3.org/1998/Math/MathML" display="block">'
        f'<mtable displaystyle="true">{"".join(lines)}</mtable></math>'
    )


def _written(pieces: Sequence[Piece]) -> str:
    further = [i > 0 and isinstance(pieces[i - 1], Number) for i in range(len(pieces))]
    return "<mrow>" + "".join(_piece(piece, more) for piece, more in zip(pieces, further, strict=True)) + "</mrow>"


def _piece(piece: Piece, further: bool) -> str:
    if isinstance(piece, Symbol):
        return _symbol(piece.text)
    if isinstance(piece, Sign):
        return f"<msub>{_sign('∑')}<mi>r</mi></msub>" if piece.text == "Σ" else _sign(piece.text)
    return _number(piece, "infix" if further else "prefix")


def _sign(text: str) -> str:
    return f"<mo>{text}</mo>"


def _symbol(text: str) -> str:
    if found := re.fullmatch(r"∂(.+)/∂(.+)", text):
        above, below = (f"<mrow><mo>∂</mo>{_name(part)}</mrow>" for part in found.groups())
        return f"<mfrac>{above}{below}</mfrac>"
    return _name(text)


def _name(text: str) -> str:
    if text.endswith("⁺"):
        return f"<msup>{_name(text.removesuffix('⁺'))}<mo>+</mo></msup>"
    if found := re.fullmatch(r"([a-zA-Z]+)_([a-zA-Z]?)(\d*)", text):
        index = f"<mi>{found[2]}</mi>" if found[2] else ""
        index += f"<mn>{found[3]}</mn>" if found[3] else ""
        return f"<msub><mi>{found[1]}</mi><mrow>{index}</mrow></msub>"
    if found := re.fullmatch(r"([a-zA-Z])(\d+)", text):
        return f"<msub><mi>{found[1]}</mi><mn>{found[2]}</mn></msub>"
    return f"<mi>{escape(text)}</mi>"


def _number(number: Number, form: str) -> str:
    sign, digits = (number.text[0], number.text[1:]) if number.text[0] in "+-" else ("", number.text)
    text = (f'<mo form="{form}">{sign.replace("-", "−")}</mo>' if sign else "") + f"<mn>{digits}</mn>"
    if number.power is not None:
        power = f"<mn>{abs(number.power)}</mn>"
        power = f"<mrow>{_sign('−')}{power}</mrow>" if number.power < 0 else power
        text += f"{_sign('·')}<msup><mn>10</mn>{power}</msup>"
    return f"<mrow>{_sign('(')}{text}{_sign(')')}</mrow>" if number.inside else f"<mrow>{text}</mrow>"
