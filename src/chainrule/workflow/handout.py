"""The worked example as a handout in Markdown, HTML or LaTeX: with all its values, or with blanks and solutions."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path

from chainrule.errors import TrainingError
from chainrule.workflow.sheet import BLANK, Item, Section, blanks, header, sections
from chainrule.workflow.worked_example import Setup, WorkedExample

KINDS = (".md", ".html", ".tex")
TITLE = "Learning with a neural network: one step by hand"


def handout(example: WorkedExample, kind: str, blank: set[str] | None = None, solution: bool = False) -> str:
    """Return the sheet as text of a kind (``.md``, ``.html``, ``.tex``); values in ``blank`` are left out.

    A sheet of solutions has them all, those that were asked for in bold.
    """
    if kind not in KINDS:
        raise TrainingError(f"a handout is written as {', '.join(KINDS)}, not as {kind or 'a file of no ending'}")
    asked = blank or set()
    title = TITLE + (" (solutions)" if solution else " (exercise)" if asked else "")
    write = {".md": _markdown, ".html": _html, ".tex": _latex}[kind]
    return write(title, example.setup, sections(example), asked, solution)


def write_handout(example: WorkedExample, path: Path, exercise: int | None = None, replace: bool = False) -> list[Path]:
    """Write a handout, or (``exercise`` is a seed) a sheet with blanks and one of solutions; returns the files."""
    if path.suffix.lower() not in KINDS:
        raise TrainingError(f"{path}: a handout is written as {', '.join(KINDS)}")
    kind = path.suffix.lower()
    if exercise is None:
        texts = {path: handout(example, kind)}
    else:
        asked = blanks(exercise, sections(example))
        texts = {
            path: handout(example, kind, asked),
            path.with_name(f"{path.stem}-solution{path.suffix}"): handout(example, kind, asked, solution=True),
        }
    for place, text in texts.items():
        if place.exists() and not replace and _differs(place, text):
            raise TrainingError(f"{place} is there already, and may hold answers; give another name, or --force")
    for place, text in texts.items():
        try:
            place.write_text(text, encoding="utf-8")
        except OSError as error:
            raise TrainingError(f"cannot write {place}: {error.strerror or error}") from None
    return list(texts)


def _differs(place: Path, text: str) -> bool:
    try:
        return place.read_text(encoding="utf-8") != text
    except (OSError, UnicodeDecodeError):
        return True


def _value(item: Item, asked: set[str], solution: bool) -> str:
    return BLANK if item.key in asked and not solution else f"{item.value:.9f}".replace("-", "−")


def _given(setup: Setup) -> list[tuple[str, str]]:
    def listed(letter: str, numbers: tuple[float, ...]) -> str:
        return ", ".join(f"{letter}{i} = {v:g}" for i, v in enumerate(numbers, 1)).replace("-", "−")

    biases = (
        f"b1 = {setup.biases[0]:g} (hidden), b2 = {setup.biases[1]:g} (outputs)" if len(setup.biases) == 2
        else ", ".join(f"{b:g}" for b in setup.biases)
    )  # fmt: skip
    return [
        ("inputs", listed("i", setup.inputs)), ("targets", listed("target_o", setup.targets)),
        ("weights", listed("w", setup.weights)), ("biases", biases.replace("-", "−")),
        ("learning rate", f"{setup.learning_rate:g}; biases stay as they are" if setup.bias == "frozen"
         else f"{setup.learning_rate:g}"),
    ]  # fmt: skip


def _markdown(title: str, setup: Setup, parts: list[Section], asked: set[str], solution: bool) -> str:
    lines = [f"# {title}", "", *(f"- {name}: {text}" for name, text in _given(setup)), ""]
    for section in parts:
        lines += [f"## {section.title}", "", "| value | formula |", "|---|---|"]
        for item in section.items:
            value = _value(item, asked, solution)
            lines.append(
                f"| {item.key} = {f'**{value}**' if solution and item.key in asked else value} | {item.formula} |"
            )
        lines.append("")
    if asked and not solution:
        lines += ["Write a number in the place of each blank, and mark the sheet: `chainrule check-answers SHEET`.", ""]
    return "\n".join([*lines, f"<!-- {header(setup, asked)} -->", ""])


def _html(title: str, setup: Setup, parts: list[Section], asked: set[str], solution: bool) -> str:
    style = (
        "body{font-family:serif;max-width:46em;margin:2em auto}table{border-collapse:collapse}"
        "td{padding:.2em .8em;border-bottom:1px solid #ccc}"
    )
    body = [f"<h1>{escape(title)}</h1><ul>"]
    body += [f"<li>{escape(name)}: {_marked_up(text)}</li>" for name, text in _given(setup)]
    body.append("</ul>")
    for section in parts:
        body.append(f"<h2>{escape(section.title)}</h2><table>")
        for item in section.items:
            value = escape(_value(item, asked, solution))
            value = f"<strong>{value}</strong>" if solution and item.key in asked else value
            body.append(
                f"<tr><td>{_marked_up(item.label)}</td><td>{_marked_up(item.formula)}</td><td>{value}</td></tr>"
            )
        body.append("</table>")
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{style}</style></head><body>{''.join(body)}</body></html>\n"
    )


def _marked_up(text: str) -> str:
    """Return a formula in print as HTML: net_h1 with an index, e to the power that it has."""
    text = re.sub(r"e\^(−(?:net|out)_[iho]\d+)", r"e<sup>\1</sup>", escape(text))
    text = re.sub(r"(net|out|target|E|δ)_(total|[iho]\d+)", r"\1<sub>\2</sub>", text)
    return re.sub(r"\b([wib])(\d+)\b", r"\1<sub>\2</sub>", text)


def _latex(title: str, setup: Setup, parts: list[Section], asked: set[str], solution: bool) -> str:
    lines = [
        r"\documentclass{article}", r"\usepackage{amsmath}", r"\usepackage[margin=2.2cm]{geometry}",
        r"\setlength{\parindent}{0pt}", r"\begin{document}", rf"\section*{{{title}}}", r"\begin{itemize}",
    ]  # fmt: skip
    lines += [rf"\item {name}: ${_formula(text)}$" if name not in ("biases", "learning rate") else
              rf"\item {name}: {_words(text)}" for name, text in _given(setup)]  # fmt: skip
    lines.append(r"\end{itemize}")
    for section in parts:
        lines += [rf"\subsection*{{{section.title}}}", r"\begin{align*}"]
        rows = []
        for item in section.items:
            value = r"\underline{\hspace{3cm}}" if item.key in asked and not solution else f"{item.value:.9f}"
            value = rf"\mathbf{{{value}}}" if solution and item.key in asked else value
            rows.append(rf"{_formula(item.label)} &= {_formula(item.formula)} = {value}")
        lines += [" \\\\\n".join(rows), r"\end{align*}"]
    return "\n".join([*lines, r"\end{document}", ""])


def _words(text: str) -> str:
    return text.replace("−", "$-$").replace("_", r"\_")


def _formula(text: str) -> str:
    """Return a formula in print as LaTeX."""
    text = re.sub(r"∂E/∂(w)(\d+)", r"\\frac{\\partial E}{\\partial \1_{\2}}", text)
    text = re.sub(r"e\^−(net|out)_([iho])(\d+)", r"e^{-\\mathit{\1}_{\2\3}}", text)
    text = re.sub(r"(?<![\\{])\b(net|out|target)_([iho])(\d+)", r"\\mathit{\1}_{\2\3}", text)
    text = re.sub(r"δ_([iho])(\d+)", r"\\delta_{\1\2}", text)
    text = re.sub(r"\bE_(o)(\d+)", r"E_{\1\2}", text).replace("E_total", r"E_{\mathit{total}}")
    text = re.sub(r"\b([wi])(\d+)\b(⁺?)", lambda m: f"{m[1]}_{{{m[2]}}}{'^{+}' if m[3] else ''}", text)
    text = re.sub(r"\bbias\b", r"\\mathit{bias}", text)
    for mark, written in (("½", r"\tfrac{1}{2}"), ("·", r"\cdot"), ("−", "-"), ("²", "^2"), ("η", r"\eta")):
        text = text.replace(mark, written)
    return text
