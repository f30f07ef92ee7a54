"""Help: every command's text fits 80 columns, shows examples, and names every option."""

from __future__ import annotations

import re
from typing import Any

import pytest

from chainrule import __version__

OPTIONS = {
    "inspect": ["--target", "--task", "--json", "--debug"],
    "train": [
        "--target", "--out", "--task", "--ignore", "--hidden", "--activation", "--loss", "--dropout", "--optimizer",
        "--learning-rate", "--lr", "--schedule", "--weight-decay", "--clip", "--average", "--constrain", "--per",
        "--penalty", "--parameters", "--method", "--dual-learning-rate", "--epochs", "--batch-size", "--patience",
        "--validation", "--test",
        "--test-data", "--seed", "--executor", "--checkpoint", "--checkpoint-every", "--resume", "--quiet", "--json",
        "--debug",
    ],
    "learning-curve": [
        "--target", "--task", "--ignore", "--rows", "--sizes", "--constrain", "--radii", "--repeats", "--measure",
        "--hidden", "--dropout", "--learning-rate", "--lr", "--epochs", "--validation", "--test", "--seed", "--plot",
        "--quiet", "--json", "--debug",
    ],
    "regularize": [
        "--target", "--constrain", "--penalty", "--points", "--values", "--folds", "--rule", "--hidden", "--out",
        "--plot", "--task", "--ignore", "--activation", "--loss", "--learning-rate", "--lr", "--epochs", "--batch-size",
        "--test", "--seed", "--executor", "--quiet", "--json", "--debug",
    ],
    "predict": ["--out", "--keep", "--quiet", "--json", "--debug"],
    "evaluate": ["--quiet", "--json", "--debug"],
    "explain": ["--row", "--importance", "--repeats", "--seed", "--quiet", "--json", "--debug"],
    "example": [
        "--inputs", "--targets", "--weights", "--biases", "--learning-rate", "--lr", "--bias", "--using", "--no-half",
        "--steps", "--handout", "--exercise", "--seed", "--force", "--json", "--debug",
    ],
    "check-answers": ["--json", "--debug"],
    "cache": ["--clear", "--json", "--debug"],
}  # fmt: skip


@pytest.mark.parametrize("command", OPTIONS)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_of_every_command(command: str, flag: str, cli: Any) -> None:
    result = cli(command, flag)
    assert result.code == 0
    assert result.err == ""
    lines = result.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "Examples:" in result.out
    examples = [line for line in lines if line.startswith(f"    chainrule {command}")]
    assert len(examples) >= 2
    said = set(re.findall(r"--[a-z][a-z-]+", result.out.partition("Options:")[2]))
    assert said == {*OPTIONS[command], "--help"}


def test_examples_in_help_name_real_options(cli: Any) -> None:
    for command, options in OPTIONS.items():
        text = cli(command, "--help").out.partition("Options:")[0]
        assert set(re.findall(r"--[a-z][a-z-]+", text)) <= set(options)


def test_help_of_the_whole(cli: Any) -> None:
    result = cli("--help")
    assert result.code == 0
    assert max(map(len, result.out.splitlines())) <= 80
    assert "every\n  number explained" in result.out
    assert "chainrule train people.csv --target income" in result.out
    for command in OPTIONS:
        assert re.search(rf"^  {command}  +\S.*[^.]\.$", result.out, re.M), f"{command}'s line is cut"


def test_without_arguments_help_is_shown(cli: Any) -> None:
    result = cli()
    assert result.code == 2
    assert "Usage: chainrule" in result.out + result.err


def test_version(cli: Any) -> None:
    result = cli("--version")
    assert (result.code, result.out, result.err) == (0, f"chainrule {__version__}\n", "")


def test_defaults_are_said(cli: Any) -> None:
    text = re.sub(r"\s+", " ", cli("train", "--help").out)
    for said in (
        "[default: relu]", "[default: by the task]", "[default: adam]", "[default: TABLE's name.chainrule]",
        "[default: by the optimizer, of adam by the size of the table]", "[default: 0; x>=0]", "[default: 0.2]",
        "[default: 0.2 of a large table or beside --patience, else 0]", "[default: weights]", "[default: projection]",
        "[default: by the size of the limits]", "[default: network]",
    ):  # fmt: skip
        assert said in text
    assert text.count("[default: by the size of the table]") == 7
