"""Derivations written down: MathML that is well formed, pages and documents of every kind, and where they cannot go."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import chainrule as cr
from chainrule.workflow.worked_example import start

NETWORK = cr.nn.Sequential(cr.nn.Dense(2, activation="sigmoid"), cr.nn.Dense(2, activation="sigmoid"))
OBJECTIVE = cr.Objective(NETWORK, loss="half_squared_error")
DATA = np.array([[0.05, 0.10], [0.5, -0.2]]), np.array([[0.01, 0.99], [0.3, 0.1]])


class Ridge:
    def settings(self) -> dict[str, float]:
        return {"weight": 0.1}

    def value(self, parameters: Any, settings: Any) -> Any:
        return settings["weight"] * np.sum(parameters["hidden1.weight"] ** 2)


def all_kinds() -> list[Any]:
    one = (DATA[0][:1], DATA[1][:1])
    ridge = cr.Objective(NETWORK, loss="half_squared_error", penalty=[Ridge()])
    tiny = {k: v * 1e-4 for k, v in start().items()}
    sgd = cr.learn.SGD(0.5)
    return [
        cr.explain(OBJECTIVE, one, of="w1", parameters=start(), optimizer=sgd),
        cr.explain(OBJECTIVE, one, of="w1", parameters=start(), optimizer=sgd, using="updated"),
        cr.explain(OBJECTIVE, DATA, of="hidden1.weight[1, 0]", parameters=start()),
        cr.explain(ridge, DATA, of="i1->h2", parameters=tiny, optimizer=cr.learn.Adam(0.1)),
        cr.explain(OBJECTIVE, one, of="net_h1", parameters=start()),
        cr.explain(OBJECTIVE, DATA, of="loss", parameters=start()),
        cr.explain(lambda x: np.sin(0.5 * x**2), 1.3),
        cr.explain(lambda x: np.sin(x) * np.sin(x), 0.4),
    ]


def read(element: ElementTree.Element) -> str:
    return "".join(element.itertext())


@pytest.mark.parametrize("number", range(8))
def test_mathml_is_well_formed_and_says_what_latex_says(number: int) -> None:
    d = all_kinds()[number]
    math = ElementTree.fromstring(d.mathml())
    assert math.tag == "{http://www.w3.org/1998/Math/MathML}math"
    (table,) = math
    assert len(table) == d.latex().count("\\\\\n") + 1
    assert all(len(row) == 3 for row in table)
    assert d.latex().count(r"\frac") == d.mathml().count("<mfrac>")
    last = f"{d.update.after if getattr(d, 'update', None) else d.value:.9g}".replace("-", "−")
    shown = read(table[-1]).replace("·10", "e")
    assert last.replace("e−0", "e−") in shown


def test_every_kind_of_file(tmp_path: Path) -> None:
    for number, d in enumerate(all_kinds()):
        for ending in (".tex", ".html", ".md", ".txt", ".json"):
            place = d.save(tmp_path / f"d{number}{ending}")
            text = place.read_text(encoding="utf-8")
            if ending == ".json":
                assert json.loads(text)["value"] == d.value
            elif ending == ".html":
                assert "<math" in text
                assert "<script" not in text
                assert "src=" not in text
                assert text.count("http") == text.count("http://www.w3.org/1998/Math/MathML")
            elif ending != ".tex":
                assert str(d) in text


def test_handouts_compile(tmp_path: Path) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("there is no TeX here: .ci/run installs Debian's texlive-latex-base where it may")
    for number, d in enumerate(all_kinds()):
        d.save(tmp_path / f"d{number}.tex")
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", f"d{number}.tex"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-1500:]
        assert "Overfull" not in done.stdout


def test_what_cannot_be_written_says_so(tmp_path: Path) -> None:
    d = all_kinds()[0]
    with pytest.raises(cr.ChainruleError, match=r"is written as \.tex, \.html, \.md, \.txt, \.json"):
        d.save(tmp_path / "d.docx")
    with pytest.raises(cr.ChainruleError, match="cannot write"):
        d.save(tmp_path / "nowhere" / "d.tex")
