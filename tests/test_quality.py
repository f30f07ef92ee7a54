"""The quality benchmark runs: its short form, its table, and the numbers in it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from benchmarks.quality import MODELS, PEER, Scores, difference, fewer, measure, split, table_text, verdict
from benchmarks.tables import TABLES, TUNING, load

ROOT = Path(__file__).parents[1]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.quality", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_one_table_and_one_seed(tmp_path: Path) -> None:
    place = tmp_path / "scores.json"
    made = run("--datasets", "iris", "--seeds", "1", "--json", str(place))
    assert made.returncode == 0, made.stderr
    assert len(made.stderr.splitlines()) == len(MODELS)  # a line of progress each
    found = {each["model"]: each for each in json.loads(place.read_text(encoding="utf-8"))}
    assert set(found) == set(MODELS)
    assert found["chainrule"]["scores"][0] > 0.9
    for model, each in found.items():
        assert re.search(rf"{model}\W+ {each['scores'][0]:.4f} ", made.stdout.replace("|", " ")), made.stdout
    again = run("--datasets", "iris", "--seeds", "1", "--json", str(place))
    assert again.stdout == made.stdout
    assert again.stderr == ""  # nothing was measured again


def test_usage() -> None:
    assert "there is no table 'titanic'; there are: penguins, iris" in run("--datasets", "titanic").stderr
    assert "there is no model 'forest'" in run("--models", "forest").stderr
    assert "--seeds is at least 1" in run("--seeds", "0").stderr


def test_the_score_is_that_of_the_model_on_the_test_rows() -> None:
    (found,) = measure(["wine"], {"chainrule": MODELS["chainrule"]}, seeds=1)
    x, xt, y, yt = split(load("wine"), 0)
    assert len(yt) == 45
    assert not set(x.index) & set(xt.index)
    model = MODELS["chainrule"](load("wine"), 0).fit(x, y)
    assert found.scores == [np.mean(model.predict(xt) == yt)]


def test_difference_and_its_interval() -> None:
    own = Scores("t", "chainrule", None, [0.9, 0.8, 0.7], [1.0] * 3)
    peer = Scores("t", PEER, None, [0.8, 0.8, 0.8], [1.0] * 3)
    mean, half = difference(own, peer)
    assert mean == pytest.approx(0)
    assert half == pytest.approx(4.302652729911275 * np.sqrt(0.01 * (1 / 3 + 1 / 3)))  # t, 2 degrees of freedom
    behind = Scores("t", "chainrule", None, [0.5, 0.5, 0.51], [1.0] * 3)
    assert "behind on t;" in verdict([behind, peer])
    assert "behind on none; ahead on none" in verdict([own, peer])
    lines = table_text([behind, peer]).splitlines()
    assert [line.split(" | ")[1] for line in lines[2:]] == [PEER, "**chainrule**"]  # ranked by score


def test_no_table_is_both_tuned_on_and_reported() -> None:
    assert not set(TABLES) & set(TUNING)
    assert len(fewer(load("wine"), 60).y) == 60


def test_the_page_is_what_the_command_prints() -> None:
    """Of each table and model, docs/quality.md has a line; its numbers are those of a run, not checked here."""
    text = (ROOT / "docs" / "quality.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if re.match(r"\| .* \| .* \| -?\d\.\d{4} \|", line)]
    assert len(lines) == len(TABLES) * len(MODELS)
    for name in TABLES:
        assert f"| {name} |" in text
