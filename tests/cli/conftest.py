"""The command line, called in this process; tables and models that its tests read."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from chainrule.cli.app import app

PENGUINS = Path(__file__).parents[2] / "examples" / "penguins.csv"


@dataclass(frozen=True)
class Result:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """All of stdout as JSON: nothing else may stand there."""

        def refuse(word: str) -> Any:
            raise AssertionError(f"{word} is no JSON")

        return json.loads(self.out, parse_constant=refuse)


Run = Callable[..., Result]


@pytest.fixture(scope="session")
def cli() -> Run:
    def call(*arguments: object) -> Result:
        result = CliRunner(env={"COLUMNS": "80", "TERM": "dumb"}).invoke(app, [str(a) for a in arguments])
        error = result.exception
        if error is not None and not isinstance(error, SystemExit):
            raise error
        return Result(result.exit_code, result.stdout, result.stderr)

    return call


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test in its own folder: train saves beside where it is called."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory, cli: Run) -> dict[str, Path]:
    """A trained model for each task."""
    folder = tmp_path_factory.mktemp("models")
    found = {}
    for target in ("species", "sex", "body_mass_g"):
        found[target] = folder / f"{target}.chainrule"
        result = cli("train", PENGUINS, "--target", target, "--hidden", "8", "--epochs", "6", "-o", found[target], "-q")
        assert (result.code, result.out, result.err) == (0, "", "")
    return found


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a table of 60 good rows, with lines of one's own in the place of some."""

    def write(
        lines: dict[int, str] | None = None, header: str = "x,color,y", rows: int = 60, name: str = "t.csv"
    ) -> Path:
        generator = random.Random(0)
        good = [f"{generator.gauss(0, 1):.4f},{'red' if i % 3 else 'blue'},{i % 2}" for i in range(rows)]
        for row, text in (lines or {}).items():
            good[row - 1] = text
        path = tmp_path / name
        path.write_text("\n".join([header, *good]) + "\n", encoding="utf-8")
        return path

    return write
