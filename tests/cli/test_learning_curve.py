"""learning-curve: its report, JSON, picture, silence, what is wrong with its arguments, and Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

PENGUINS = Path(__file__).parents[2] / "examples" / "penguins.csv"
QUICK = ["--hidden", "8", "--epochs", "5", "--repeats", "3", "--rows", "60,120", "--sizes", "4,8,16", "--radii", "1,3"]


def curve(cli: Any, target: str, *more: str) -> Any:
    return cli("learning-curve", PENGUINS, "--target", target, *QUICK, *more)


@pytest.mark.parametrize(
    ("target", "more", "measure", "limit", "rows"),
    [
        ("species", [], "log-loss", "‖w‖₂", 275),
        ("species", ["--measure", "error rate", "--constrain", "maxnorm"], "error rate", "‖w‖₂ of each unit", 275),
        ("body_mass_g", ["--validation", "0"], "RMSE", "‖w‖₂", 274),
        ("sex", ["--constrain", "linf", "--dropout", "0.1"], "log-loss", "max |w|", 266),
    ],
)
def test_the_report(target: str, more: list[str], measure: str, limit: str, rows: int, cli: Any) -> None:
    result = curve(cli, target, *more)
    assert (result.code, result.err) == (0, "")
    for line in result.out.splitlines():
        assert len(line) <= 80, line
        assert line == line.rstrip()
        assert line.isprintable()
    text = re.sub(r"\s+", " ", result.out)
    assert f"target {target}, " in text
    assert f"measure {measure}, less is better; that of guessing is " in text
    assert ("no early stopping" in text) == ("--validation" in more)
    assert ("dropout 0.1" in text) == ("--dropout" in more)
    assert "size, with " in text
    assert f"a limit {limit} ≤ r, with {rows} rows and 8 units" in text
    assert re.search(r"1 +(More rows|A (smaller|larger) network|A limit)", text)
    assert f"From 120 to {rows} rows" in text
    assert re.search(rf"the held-out {measure} (fell|rose) by \S+ ± \S+ \(95 % interval", text)
    assert "Most would help: " in text or "Nothing of this helps beyond noise with 3 repeats." in text


def test_json_is_alone_on_stdout_and_quiet_is_quiet(cli: Any, tmp_path: Path) -> None:
    data = curve(cli, "species", "--json", "--plot", "curve.png").json
    assert data["curves"]["rows"]["values"] == [60, 120, 275]
    assert data["measure"] == "log-loss"
    assert {"more rows", "smaller network", "larger network", "limit"} == {a["change"] for a in data["advice"]}
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    result = curve(cli, "species", "--quiet", "--plot", "curve.svg")
    assert (result.code, result.out, result.err) == (0, "", "")
    assert "<svg" in (tmp_path / "curve.svg").read_text(encoding="utf-8")
    assert curve(cli, "species", "--plot", "curve.pdf").out.endswith("\n\nwritten: curve.pdf\n")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["curve.pdf", "curve.png", "curve.svg"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--plot", "curve.doc"], "curve.doc: pictures are written as .png, .svg, .pdf; give a name such as curve.png"),
        (["--plot", "nowhere/curve.png"], "cannot write nowhere/curve.png: there is no folder nowhere"),
        (["--plot", "folder.png"], "cannot write folder.png: it is a folder"),
        (["--ignore", "id"], "has no column 'id'"),
        (["--measure", "RMSE"], "the measure is 'RMSE'; of multiclass there are 'log-loss' and 'error rate'"),
        (["--hidden", "none"], "without a hidden layer there is no size to vary: give hidden sizes such as 128"),
        (["--test", "0"], "the test share is 0; a learning curve needs held-out rows"),
        (["--radii", "-1"], "radii holds -1; a radius is a finite number greater than 0"),
        (["--rows", "5"], "rows holds 5; numbers of rows from 12 to 275 are possible here"),
    ],
)
def test_problems_are_one_line(more: list[str], message: str, cli: Any, tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    result = curve(cli, "species", *more)
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("Error: ")
    assert message in result.err
    assert len(result.err.splitlines()) == 1


def test_an_unknown_column(cli: Any) -> None:
    result = curve(cli, "specis")
    assert result.code == 1
    assert "There is no column 'specis' to be the target. Did you mean 'species'?" in result.err


SAY_WHEN_TRAINING = """
import sys
import chainrule.learn.many as room
from chainrule.cli import main
run = room._run
def saying(*given):
    print("training", file=sys.stderr, flush=True)
    run(*given)
room._run = saying
main()
"""


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_ctrl_c_ends_it_with_one_word() -> None:
    arguments = ["--epochs", "1000000", "--validation", "0", "--hidden", "16", "--repeats", "3", "--plot", "c.png"]
    command = [sys.executable, "-c", SAY_WHEN_TRAINING, "learning-curve", str(PENGUINS), "-t", "species", *arguments]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "encoding": "utf-8"}
    with subprocess.Popen(command, **pipes) as process:
        try:
            assert process.stderr is not None
            assert process.stderr.readline() == "training\n"
            time.sleep(0.5)
            assert process.poll() is None
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, out) == (130, "")
    assert [line for line in err.splitlines() if line != "training"] == ["interrupted"]
    assert not Path("c.png").exists()


def test_json_of_the_command_is_that_of_the_function(cli: Any) -> None:
    from chainrule.workflow import CurveOptions, learning_curve

    options = CurveOptions(hidden=(8,), epochs=5, repeats=3, rows=(60, 120), sizes=(4, 8, 16), radii=(1.0, 3.0))
    found = learning_curve(PENGUINS, "species", options)
    assert json.loads(json.dumps(found.to_dict())) == curve(cli, "species", "--json").json
