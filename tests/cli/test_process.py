"""The command as a process: exit codes, stdout and stderr apart, Ctrl-C, a closed pipe, python -m chainrule."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import chainrule as cr
from chainrule import __version__

PENGUINS = Path(__file__).parents[2] / "examples" / "penguins.csv"
COMMAND = [sys.executable, "-m", "chainrule"]
BUFFERED = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
QUICK = ["--hidden", "4", "--epochs", "2"]


def run(*arguments: object, **more: Any) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False, **more)


def test_the_installed_command_and_the_module_are_the_same() -> None:
    command = Path(sys.executable).parent / "chainrule"
    for start in ([str(command)], COMMAND):
        result = subprocess.run([*start, "--version"], capture_output=True, text=True, check=True)
        assert (result.stdout, result.stderr) == (f"chainrule {__version__}\n", "")


def test_exit_codes_and_streams(tmp_path: Path) -> None:
    done = run("train", PENGUINS, "-t", "species", *QUICK)
    assert done.returncode == 0
    assert done.stdout.startswith("table          penguins.csv: 344 rows")
    assert done.stderr == ""
    problem = run("train", PENGUINS, "-t", "specis")
    assert problem.returncode == 1
    assert problem.stdout == ""
    assert problem.stderr.startswith("Error: There is no column 'specis' to be the target. Did you mean 'species'?")
    assert len(problem.stderr.splitlines()) == 1
    usage = run("train", PENGUINS)
    assert usage.returncode == 2
    assert usage.stdout == ""
    assert "Missing option '--target'" in usage.stderr


def test_debug_shows_the_traceback() -> None:
    result = run("train", PENGUINS, "-t", "specis", "--debug")
    assert result.returncode == 1
    assert "Traceback (most recent call last)" in result.stderr
    assert "chainrule.errors.TableError: There is no column 'specis'" in result.stderr
    assert "Traceback" not in run("train", PENGUINS, "-t", "specis").stderr


def test_json_is_alone_on_stdout() -> None:
    result = run("train", PENGUINS, "-t", "species", *QUICK, "--json")
    assert json.loads(result.stdout)["target"] == "species"
    assert result.stderr == ""


SAY_WHEN_TRAINING = """
import sys
import chainrule.learn
from chainrule.cli import main
room = sys.modules["chainrule.learn.fitting"]
drive = room.drive
def saying(job, *rest):
    print("training", file=sys.stderr, flush=True)
    drive(job, *rest)
room.drive = saying
main()
"""


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_ctrl_c_keeps_what_was_learned(more: list[str], tmp_path: Path) -> None:
    arguments = ["--epochs", "1000000", "--patience", "1000000", "--hidden", "16", "--out", "m.chainrule", *more]
    process = subprocess.Popen(
        [sys.executable, "-c", SAY_WHEN_TRAINING, "train", str(PENGUINS), "-t", "species", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
    )  # fmt: skip
    try:
        assert process.stderr is not None
        assert process.stderr.readline() == "training\n"
        time.sleep(0.5)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert "Traceback" not in err
    model = cr.load(tmp_path / "m.chainrule")
    assert model.about["status"] == "interrupted"
    assert model.about["steps"] > 0
    if more:
        assert json.loads(out)["status"] == "interrupted"
    else:
        assert "interrupted: what was learned until then is kept" in " ".join(out.split())
        assert "saved          m.chainrule" in out
        assert "accuracy       test" in out


@pytest.mark.skipif(os.name == "nt", reason="POSIX pipes")
def test_a_reader_that_goes_is_no_error(tmp_path: Path) -> None:
    assert run("train", PENGUINS, "-t", "species", *QUICK, "-q", "--out", "m").returncode == 0
    # more rows than a pipe holds, and few enough that all goes out in one last flush
    lines = PENGUINS.read_text().splitlines()
    (tmp_path / "many.csv").write_text("\n".join([lines[0], *lines[1:] * 20]) + "\n")
    for table in (PENGUINS, "many.csv"):
        line = f"set -o pipefail; {' '.join(COMMAND)} predict m {table} | head -1"
        result = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False, env=BUFFERED)
        assert result.stdout == "prediction,probability_Adelie,probability_Chinstrap,probability_Gentoo\n"
        assert result.stderr == ""
        assert result.returncode == 0
    result = subprocess.run(
        ["bash", "-c", f"{' '.join(COMMAND)} example | true; echo ${{PIPESTATUS[0]}}"],
        capture_output=True, text=True, check=False, env=BUFFERED,
    )  # fmt: skip
    assert (result.stdout, result.stderr) == ("0\n", "")


@pytest.mark.skipif(os.name == "nt", reason="POSIX device")
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_behind_stdout_is_said(tmp_path: Path) -> None:
    assert run("train", PENGUINS, "-t", "species", *QUICK, "-q", "--out", "m").returncode == 0
    # so few rows that they all wait in the buffer
    (tmp_path / "few.csv").write_text("".join(PENGUINS.read_text().splitlines(keepends=True)[:5]))
    for command in ("example --steps 1", "predict m few.csv"):
        line = f"{' '.join(COMMAND)} {command} > /dev/full"
        result = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False, env=BUFFERED)
        assert result.returncode == 1
        assert result.stderr == "Error: [Errno 28] No space left on device\n"


def test_a_terminal_without_utf_8_is_no_crash() -> None:
    result = run("example", "--steps", "1", env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert "Traceback" not in result.stderr
    assert result.returncode == 0
    assert "0.29102777369" in result.stdout


def test_help_is_quick() -> None:
    """Help imports neither polars nor the networks."""
    code = (
        "import sys; sys.argv = ['chainrule', 'train', '--help']\n"
        "from chainrule.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([m for m in ('polars', 'sklearn', 'pandas', 'chainrule.workflow') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"
