"""A derivation as a file: a LaTeX document, a page of HTML with MathML, Markdown, plain text or JSON."""

from __future__ import annotations

import json
from html import escape
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chainrule.errors import TrainingError
from chainrule.explanation.latex import escaped, latex_of, number_latex
from chainrule.explanation.mathml import mathml_of
from chainrule.explanation.rows import Row, number

if TYPE_CHECKING:
    from chainrule.explanation.derivation import Check

STYLE = "body{font-family:serif;max-width:60em;margin:2em auto;padding:0 1em}math{margin:1em 0}p{margin:.4em 0}"


class Explained:
    """What can be written down: a derivation of a number or of a function, or the parts of a prediction."""

    title: str
    check: Check | None

    def equations(self) -> list[Row]:
        """Return what is explained as equations."""
        raise NotImplementedError

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        raise NotImplementedError

    def latex(self) -> str:
        """Return the equations as LaTeX, to be put into a document that loads amsmath."""
        return latex_of(self.equations())

    def mathml(self) -> str:
        """Return the equations as MathML, which browsers draw by themselves."""
        return mathml_of(self.equations())

    def save(self, path: str | PathLike[str]) -> Path:
        """Write it as a handout; the ending says how: .tex, .html, .md, .txt or .json.

        Raises TrainingError for another ending, or a place that cannot be written.
        """
        place = Path(path)
        writers = {".tex": _latex, ".html": _html, ".md": _markdown, ".txt": lambda e: f"{e}\n", ".json": _json}
        write = writers.get(place.suffix.lower())
        if write is None:
            raise TrainingError(f"{place}: a derivation is written as {', '.join(writers)}; give a name that ends so")
        text = write(self)
        try:
            place.write_text(text, encoding="utf-8")
        except OSError as error:
            raise TrainingError(f"cannot write {place}: {error.strerror or error}") from None
        return place


def _latex(explained: Explained) -> str:
    check = explained.check
    lines = [
        r"\documentclass{article}", r"\usepackage{amsmath}", r"\usepackage[margin=2.2cm]{geometry}",
        r"\setlength{\parindent}{0pt}", r"\allowdisplaybreaks", r"\begin{document}",
        *([] if check is None else [r"Multiply along a path, add across paths."]), explained.latex(),
    ]  # fmt: skip
    if check is not None:
        h, numeric = number_latex(number(check.h)), number_latex(number(check.numeric))
        lines.append(rf"Check: a central difference with $h = {h}$ gives ${numeric}$.")
    lines += [rf"\par\textit{{{escaped(note)}}}" for note in getattr(explained, "notes", ())]
    return "\n".join([*lines, r"\end{document}", ""])


def _html(explained: Explained) -> str:
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(explained.title)}</title>'
        f"<style>{STYLE}</style></head><body>{explained.mathml()}{explained._repr_html_()}</body></html>\n"
    )


def _markdown(explained: Explained) -> str:
    return f"# {explained.title}\n\n```text\n{explained}\n```\n\n```math\n{explained.latex()}\n```\n"


def _json(explained: Explained) -> str:
    return json.dumps(explained.to_json(), ensure_ascii=False, indent=2) + "\n"
