"""Handouts and exercises: written in three forms, marked, and the mistake behind a wrong answer named."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from chainrule.cli.app import app
from chainrule.errors import TrainingError
from chainrule.workflow import Setup, worked_example
from chainrule.workflow.handout import handout, write_handout
from chainrule.workflow.sheet import BLANK, blanks, header, mark, own_numbers, sections

EXAMPLE = worked_example(1)
VALUES = {item.key: item.value for section in sections(EXAMPLE) for item in section.items}
OTHERS = [Setup((1.0, 0.5, -0.2), (0.3,), (0.1,) * 12, (0.1, -0.2), 0.3), Setup(half=False), own_numbers(3)]


def test_the_sheet_has_the_lectures_numbers() -> None:
    assert [section.title for section in sections(EXAMPLE)] == [
        "forward", "error", "backward", "recursion", "update",
    ]  # fmt: skip
    for key, value in {"net_h1": 0.3775, "out_o1": 0.75136507, "E": 0.298371109, "dE/dw5": 0.082167041}.items():
        assert VALUES[key] == pytest.approx(value, abs=1e-9)
    assert VALUES["w8+"] == pytest.approx(0.561370121, abs=1e-9)


@pytest.mark.parametrize("setup", [Setup(), *OTHERS], ids=["lecture", "3-3-1", "no half", "own"])
def test_what_a_formula_says_is_what_the_value_is(setup: Setup) -> None:
    """Every formula on the sheet, computed as it stands there from the values before it."""
    example = worked_example(1, setup)
    known: dict[str, float] = {f"i{i}": v for i, v in enumerate(setup.inputs, 1)}
    known |= {f"target_o{i}": v for i, v in enumerate(setup.targets, 1)}
    known |= {name: example.first.weight(name) for name in setup.places}
    for section in sections(example):
        for item in section.items:
            layer = "hidden1" if re.search(r"h\d", item.key) else "output"
            text = item.formula.replace("bias", str(float(setup.start()[f"{layer}.bias"][0]))).replace("½", "0.5 *")
            text = re.sub(r"∂E/∂(w\d+)", r"slope_\1", text).replace("·", "*").replace("−", "-").replace("²", "**2")
            text = re.sub(r"(out_[ho]\d+)\(", r"\1*(", text).replace("2 (", "2*(")
            text = re.sub(r"e\^-(net_[ho]\d)", r"2.718281828459045**-\1", text)
            assert eval(text, {}, known) == pytest.approx(item.value, rel=1e-9), item
            name = item.key.replace("dE/d", "slope_") if item.key.startswith("dE/d") else item.key.rstrip("+")
            if not item.key.endswith("+"):
                known[name] = item.value
            if item.key.startswith("out_o"):
                k = int(item.key[5:])
                twice = 1 if setup.half else 2
                known[f"δ_o{k}"] = twice * (item.value - known[f"target_o{k}"]) * item.value * (1 - item.value)


def filled(answers: dict[str, str], seed: int = 7, setup: Setup | None = None) -> str:
    """An exercise with answers in the place of its blanks."""
    example = worked_example(1, setup) if setup else EXAMPLE
    text = handout(example, ".md", {*blanks(seed, sections(example)), *answers})
    for key, answer in answers.items():
        text = text.replace(f"| {key} = {BLANK} |", f"| {key} = {answer} |")
    return text


def marked(key: str, answer: str, setup: Setup | None = None) -> Any:
    return next(m for m in mark(filled({key: answer}, setup=setup)) if m.key == key)


def test_solutions_are_right_and_blanks_are_not() -> None:
    for seed in range(5):
        example = worked_example(1, own_numbers(seed))
        asked = blanks(seed, sections(example))
        assert all(m.ok for m in mark(handout(example, ".md", asked, solution=True)))
        empty = mark(handout(example, ".md", asked))
        assert {m.key for m in empty} == asked
        assert all(not m.ok and m.mistake == "no number can be read here" for m in empty)
    assert own_numbers(1) != own_numbers(2)
    assert own_numbers(1) == own_numbers(1)


MISTAKES = {
    "sign": ("dE/dw7", "0.0226025", "the sign is turned"),
    "half": ("dE/dw5", "0.164334081", "the ½ was left out"),
    "updated": ("dE/dw1", "0.000364723", "the output weights were updated before they carried δ back"),
    "one path": ("dE/dw1", "0.000668396", "a path is missing: the one through o2"),
    "other path": ("dE/dw1", "-0.000229828", "a path is missing: the one through o1"),
    "bias": ("net_h1", "0.0275", "the bias was left out"),
    "uphill": ("w5+", "0.44108352", "the step was taken up the gradient"),
    "rate": ("w5+", "0.317832959", "the learning rate was left out"),
    "slope": ("dE/dw1", "0.00181751", "the factor out_h1(1 − out_h1) is missing"),
    "mean": ("E", "0.149185555", "the mean over the 2 outputs was taken: E is their sum"),
    "mean of a gradient": ("dE/dw8", "-0.011370121", "the mean over the 2 outputs was taken"),
    "mean in an update": ("w5+", "0.37945824", "the mean over the 2 outputs was taken"),
    "one path of a δ": ("delta_h1", "0.0133679204", "a path is missing: the one through o2"),
    "slope of a δ": ("delta_h2", "0.041370323", "the factor out_h2(1 − out_h2) is missing"),
    "updated δ": ("delta_h1", "0.007294458", "the output weights were updated before"),
    "factor out": ("dE/dw6", "0.138498562", "the factor out_h2 is missing"),
    "factor in": ("dE/dw2", "0.00877135", "the factor i2 is missing"),
    "step alone": ("w5+", "0.0410835", "this is the step; the new weight is the old one minus it"),
    "gradient for weight": ("w5+", "0.0821670", "this is the gradient; the new weight is"),
    "own bias": ("net_o1", "0.505905967", "the bias was left out"),
    "own bias behind": ("out_o2", "0.651328", "the bias was left out"),
    "no step": ("w1+", "0.150", "this is the old weight: no step was taken"),
    "updated weight": ("w1+", "0.149817639", "the output weights were updated before they carried δ back"),
    "step not shown": ("w1+", "0.1498", "right as far as it goes: give 5 places after the point, so that the step"),
    "huge": ("E_o1", "1e400", "no number can be read here"),
    "nothing": ("dE/dw5", "7.00", ""),
    "too short": ("dE/dw1", "0.0004", "right as far as it goes: give at least 3 digits"),
    "zeros": ("dE/dw1", "0.000", "give at least 3 digits"),
    "too short to tell": ("dE/dw1", "0.001", "give at least 3 digits"),
    "no number": ("dE/dw5", "about 0.08", "no number can be read here"),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_a_mistake_is_named(kind: str) -> None:
    key, answer, said = MISTAKES[kind]
    found = marked(key, answer)
    assert not found.ok
    assert found.mistake.startswith(said)
    assert said or not found.mistake


@pytest.mark.parametrize("answer", [
    "0.0821670406", "0.08217", "+0.0822", "0,082167", "8.2167e-2", "`0.08217`", "8.2167×10^-2", "8.2167 * 10^-2",
    "8.2167·10⁻²", "≈0.08217", "~0.0822", "$0.08217$", "0.0821670406 (ok)",
])  # fmt: skip
def test_right_answers_in_many_spellings(answer: str) -> None:
    assert marked("dE/dw5", answer).ok


def test_answers_that_are_not_close_enough_are_wrong() -> None:
    assert not marked("dE/dw5", "0.0825").ok
    assert not marked("dE/dw5", "0.08").ok


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# a page", "this is no exercise sheet"), ("<!-- chainrule-sheet: {\"setup\": {} } -->", "is damaged"),
        (header(Setup(), {"w99+"}).replace("true", '"no"'), "is damaged"),
        (header(Setup(), {"w99+"}).replace("0.05", "1e200"), "is damaged"), (header(Setup(), set()), "is damaged"),
        (header(Setup(), {"w99+"}), "asks for 'w99\\+', which this example does not have"),
    ],
)  # fmt: skip
def test_what_is_no_sheet(text: str, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        mark(text)


def test_html_needs_nothing_from_outside() -> None:
    text = handout(EXAMPLE, ".html", {"w5+"})
    assert not re.search(r"<script|https?:|src=|url\(", text)
    HTMLParser().feed(text)
    assert text.count("<td>") == text.count("</td>") == 3 * len(VALUES)
    assert BLANK in text


@pytest.mark.parametrize(
    "setup", [Setup(), *OTHERS, Setup(bias="unit")], ids=["lecture", "3-3-1", "no half", "own", "unit"]
)
def test_latex_compiles(setup: Setup, tmp_path: Path) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("there is no TeX here: .ci/run installs Debian's texlive-latex-base where it may")
    files = write_handout(worked_example(1, setup), tmp_path / "sheet.tex", exercise=3)
    for file in [*files, *write_handout(worked_example(1, setup), tmp_path / "all.tex")]:
        done = subprocess.run(
            ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", file.name],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout[-2000:]
        assert "Overfull \\hbox" not in done.stdout
        assert (tmp_path / f"{file.stem}.pdf").exists()


def test_from_the_command_line(tmp_path: Path) -> None:
    run, sheet = CliRunner(), tmp_path / "sheet.md"
    shown = run.invoke(app, ["example", "--handout", str(sheet), "--exercise", "--seed", "7"])
    assert shown.exit_code == 0, shown.output
    assert "sheet-solution.md" in shown.output
    again = sheet.read_text(encoding="utf-8")
    run.invoke(app, ["example", "--handout", str(sheet), "--exercise", "--seed", "7"])
    assert sheet.read_text(encoding="utf-8") == again
    wrong = run.invoke(app, ["check-answers", str(sheet)])
    assert wrong.exit_code == 1
    assert re.search(r"0 of \d+ right", wrong.output)
    right = run.invoke(app, ["check-answers", str(tmp_path / "sheet-solution.md")])
    assert right.exit_code == 0
    assert "wrong" not in right.output
    other = ["example", "--handout", str(sheet), "--exercise", "--seed", "8"]
    kept = run.invoke(app, other)
    assert kept.exit_code == 1
    assert "is there already, and may hold answers" in kept.output
    assert sheet.read_text(encoding="utf-8") == again
    assert run.invoke(app, [*other, "--force"]).exit_code == 0
    assert sheet.read_text(encoding="utf-8") != again
    page = run.invoke(app, ["example", "--handout", str(tmp_path / "s.html"), "--exercise"])
    assert "a sheet must be written as .md" in page.output
    for words, code in (
        (["example", "--seed", "7"], 2), (["check-answers", str(tmp_path / "s.html")], 1),
        (["example", "--exercise"], 2), (["example", "--handout", str(tmp_path / "x.doc")], 1),
        (["example", "--handout", str(tmp_path / "no" / "x.md")], 1), (["check-answers", str(tmp_path / "none.md")], 1),
    ):  # fmt: skip
        assert run.invoke(app, words).exit_code == code
