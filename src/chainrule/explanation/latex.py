"""A derivation as LaTeX, for a document that loads amsmath."""

from __future__ import annotations

import re

from chainrule.explanation.derivation import Derivation
from chainrule.explanation.numbers import signed
from chainrule.explanation.story import FEW, Told, told

SPECIAL = {"_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}"}


def derivation_latex(d: Derivation) -> str:
    """Return the derivation: the sum over paths with symbols, with numbers, and its value."""
    lines = [rf"{symbol(d.title)} &= {latex_number(d.value)}"]
    if d.trail is not None and not d.too_large and 0 < d.paths.count <= FEW:
        stories = [told(d, path) for path in d.paths.top(FEW)]
        row = d.scene.number(d.row)
        whole = symbol(d.title)
        own = symbol(d.title.replace("∂E/", f"∂E_{row}/")) if d.by_row else whole  # of one row's own loss
        lines = [
            rf"{own} &= " + _sum([r" \cdot ".join(_factor(s) for s in t.steps) for t in stories]),
            "&= " + _sum([r" \cdot ".join(latex_number(s.value, 6, inside=True) for s in t.steps) for t in stories]),
            rf"&= {' '.join(_product(t, i) for i, t in enumerate(stories))}",
            rf"&= {latex_number(d.paths.total)}",
        ]
        if d.by_row:
            share = sum(part.part for part in d.by_row)
            lines.append(
                rf"\sum_r \mathit{{share}}_r \, {symbol(d.title.replace('∂E/', '∂E_r/'))} &= {latex_number(share)}"
            )
        if d.penalties:
            terms = " ".join(latex_number(amount, signed_=True) for _, amount in d.penalties)
            data = d.value - sum(amount for _, amount in d.penalties)
            lines.append(rf"{whole} &= {latex_number(data)} {terms} = {latex_number(d.value)}")
        elif d.by_row:
            lines.append(rf"{whole} &= {latex_number(d.value)}")
    if d.update is not None:
        lines.append(rf"\theta^{{+}} &= {latex_number(d.update.after)}")
    body = " \\\\\n".join(lines)
    return f"\\begin{{align*}}\n{body}\n\\end{{align*}}"


def symbol(text: str) -> str:
    """Return a name in print as LaTeX: ∂E/∂w1 becomes a fraction, net_h1 an index."""
    if found := re.fullmatch(r"∂(.+)/∂(.+)", text):
        return rf"\frac{{\partial {_name(found[1])}}}{{\partial {_name(found[2])}}}"
    return _name(text)


def _name(text: str) -> str:
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
    escaped = "".join(SPECIAL.get(c, c) for c in text)
    return rf"\mathit{{{escaped}}}"


def _factor(step: object) -> str:
    name, full = getattr(step, "name", ""), getattr(step, "symbol", "")
    return symbol(name or full)


def _sum(terms: list[str]) -> str:
    return " \\\\\n&\\quad + ".join(terms)


def _product(story: Told, place: int) -> str:
    return latex_number(story.product, signed_=place > 0)


def latex_number(value: float, digits: int = 9, signed_: bool = False, inside: bool = False) -> str:
    text = signed(value, digits).replace("−", "-")
    if not signed_:
        text = text.removeprefix("+")
    if found := re.fullmatch(r"(.+)e([+-]?\d+)", text):
        text = rf"{found[1]} \cdot 10^{{{int(found[2])}}}"
    return f"({text})" if inside and text.startswith("-") else text
