"""chainrule train --checkpoint: killed at any moment, it goes on to the very model that it would have made."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import chainrule as cr

ROOT = Path(__file__).parents[2]
PENGUINS = ROOT / "examples" / "penguins.csv"
LONG = ["-t", "species", "--hidden", "64", "--batch-size", "16", "--epochs"]
RUNS = {
    "early stopping": ["6000", "--patience", "6000"],
    "projection": ["1500", "--patience", "1500", "--constrain", "l2<=3", "--penalty", "0.0001*l1"],
    "lagrangian": ["1500", "--constrain", "l2<=3, nonnegative", "--method", "lagrangian", "--average", "0.9"],
    "augmented": ["1500", "--constrain", "maxnorm<=0.5", "--method", "augmented", "--clip", "1"],
}
"""What a checkpoint has to hold: the best epoch; nothing more for a projection; multipliers, and their sums."""


def models(*paths: Path) -> list[Any]:
    found = [cr.load(path) for path in paths]
    return [
        ({k: v.tobytes() for k, v in m.parameters.items()}, m.history, m.about["best_epoch"], m.about.get("problem"))
        for m in found
    ]


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
@pytest.mark.parametrize("run", RUNS)
def test_killed_and_resumed_it_makes_the_same_model(run: str, tmp_path: Path) -> None:
    def command(*words: str) -> list[str]:
        given = ["train", str(PENGUINS), *LONG, *RUNS[run], "--checkpoint-every", "0.05", *words]
        return [sys.executable, "-m", "chainrule", *given]

    whole = subprocess.run(
        [sys.executable, "-m", "chainrule", "train", str(PENGUINS), *LONG, *RUNS[run], "-q", "-o", "whole"],
        cwd=tmp_path,
        check=True,
    )
    assert whole.returncode == 0
    folder = tmp_path / "run"
    process = subprocess.Popen(command("--checkpoint", "run", "-q", "-o", "parts"), cwd=tmp_path)
    deadline = time.monotonic() + 60
    while not list(folder.glob("step-*")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list(folder.glob("step-*"))
    assert not (tmp_path / "parts").exists()
    again = subprocess.run(
        command("--checkpoint", "run", "-q", "-o", "parts"), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert again.returncode == 1
    assert "has checkpoints of a training already: go on from them with --resume, or" in " ".join(again.stderr.split())
    subprocess.run(command("--checkpoint", "run", "--resume", "-q", "-o", "parts"), cwd=tmp_path, check=True)
    one, other = models(tmp_path / "whole", tmp_path / "parts")
    assert one == other
    assert (one[3] is None) == (run == "early stopping")
    if run in ("lagrangian", "augmented"):  # in the history of every epoch, and at the end
        assert one[1][-1]["set1.multiplier"] > 0.0
        assert one[3]["trained_multipliers"] == other[3]["trained_multipliers"] != {}


def test_another_problem_is_another_training(cli: Any, tmp_path: Path) -> None:
    quick = ["-t", "species", "--epochs", "3", "-q", "--checkpoint", str(tmp_path / "run"), "-o", str(tmp_path / "m")]
    limited = ["--constrain", "l2<=3", "--method", "lagrangian"]
    assert cli("train", str(PENGUINS), *quick, *limited).code == 0
    for changed, message in (
        (["--constrain", "l2<=2", "--method", "lagrangian"], "the penalties and constraints (L2Ball(3) there, L2Ball("),
        ([*limited, "--dual-learning-rate", "0.5"], "the setting 'dual.learning_rate'"),
        (["--constrain", "l2<=3"], "the setting 'dual.learning_rate'"),
    ):
        result = cli("train", str(PENGUINS), *quick, *changed, "--resume")
        assert result.code == 1
        assert message in " ".join(result.err.split())
    assert cli("train", str(PENGUINS), *quick, *limited, "--resume").code == 0


def test_what_is_wrong_is_said(cli: Any, tmp_path: Path) -> None:
    result = cli("train", str(PENGUINS), "-t", "species", "--resume")
    assert result.code == 2
    assert "give --checkpoint FOLDER too" in " ".join(result.err.split())
    result = cli("train", str(PENGUINS), "-t", "species", "--checkpoint-every", "5")
    assert result.code == 2
    assert "give --checkpoint FOLDER too" in " ".join(result.err.split())
    quick = ["-t", "species", "--epochs", "3", "-q", "--checkpoint", str(tmp_path / "run"), "-o", str(tmp_path / "m")]
    assert cli("train", str(PENGUINS), *quick).code == 0
    result = cli("train", str(PENGUINS), *quick, "--resume", "--seed", "1")
    assert result.code == 1
    assert "is of another training. Different are: the training data" in " ".join(result.err.split())
    assert "Traceback" not in result.err
    assert cli("train", str(PENGUINS), *quick, "--resume").code == 0


@pytest.mark.filterwarnings("default:the checkpoint")
def test_a_damaged_checkpoint_is_passed_over_and_said(cli: Any, tmp_path: Path) -> None:
    words = ["train", str(PENGUINS), "-t", "species", "--epochs", "20", "--patience", "20", "--checkpoint", "run"]
    words += ["--batch-size", "8", "--executor", "reference"]  # so that it takes longer than one checkpoint
    assert cli(*words, "--checkpoint-every", "0", "-q", "-o", "first").code == 0
    *_, before, newest = sorted((tmp_path / "run").iterdir())
    newest.write_bytes(newest.read_bytes()[:300])
    result = cli(*words, "--resume", "-q", "-o", "second")
    assert result.code == 0
    said = f"Warning: the checkpoint {newest.name} was damaged; the run went on from {before.name}, the one before it"
    assert " ".join(result.err.split()).startswith(said)
    assert ".py:" not in result.err  # a line of our source is for --debug
    one, other = models(tmp_path / "first", tmp_path / "second")
    assert one == other
    for path in (tmp_path / "run").iterdir():
        path.write_bytes(b"")
    result = cli(*words, "--resume", "-q", "-o", "third")
    assert result.code == 1
    assert result.err.startswith("Error: no checkpoint in run is good: ")
    assert not (tmp_path / "third").exists()
