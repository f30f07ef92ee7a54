"""The benchmarks run: every workload in the quick form, by chainrule alone. Nothing here depends on how fast it was."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
KEYS = ["a", "b", "c", "d", "e", "f", "g", "h-row", "h-million", "i-warm", "i-cold"]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Any:
    place = tmp_path_factory.mktemp("benchmarks") / "report.json"
    result = run("--quick", "--peers", "none", "--json", str(place))
    assert result.returncode == 0, result.stderr
    assert max(map(len, result.stdout.splitlines())) <= 80
    return json.loads(place.read_text(encoding="utf-8"))


def test_every_workload_is_there(report: Any) -> None:
    assert list(report["workloads"]) == KEYS
    assert report["versions"].keys() == {"chainrule"}


@pytest.mark.parametrize("key", KEYS)
def test_rates_and_ratios(report: Any, key: str) -> None:
    found = report["workloads"][key]
    assert found["forms"]
    best = max(form["rate"] for form in found["forms"])
    for form in found["forms"]:
        assert form["problem"] == ""
        assert form["peer"] == "chainrule"
        assert form["difference"] <= found["tolerance"]
        assert form["first_seconds"] > 0
        assert len(form["rates"]) == report["rounds"] == 1
        assert form["rate"] == form["rates"][0] > 0
        assert form["ratio"] == pytest.approx(best / form["rate"])
    assert (found["flops"] > 0) == bool(found["peak"]) == (key in list("abcdefg"))
    assert all(rate > 0 for rate in found["peak"].values())


def test_rows_of_the_tabular_workload(monkeypatch: pytest.MonkeyPatch) -> None:
    """Adult's or made-up ones: the codes are in their tables, and each encoded column has one level a row."""
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import tabular
    from benchmarks.workloads import WORKLOADS

    for x, y in (tabular.made_up(WORKLOADS["g"]), WORKLOADS["g"].data()):
        floats, codes = tabular.split(x)
        assert (floats.shape, codes.shape) == ((127 * 256, tabular.FLOATS), (127 * 256, 3))
        last = np.cumsum(tabular.COUNTS)
        assert np.all(codes >= last - tabular.COUNTS)
        assert np.all(codes < last)
        one_hot = floats[:, len(tabular.NUMBERS) : -1]
        assert np.array_equal(one_hot.sum(axis=1), np.full(len(x), len(tabular.ENCODED) - 1))
        assert np.abs(floats).max() <= 3
        assert 0.2 < y.mean() < 0.4


def test_targets_without_peers(report: Any) -> None:
    targets = report["targets"]
    assert {target["workload"] for target in targets} == set(KEYS)
    for target in targets:
        assert (target["value"] is None) == (target["met"] is None)
    alone = {(t["workload"], t["grade"]) for t in targets if t["value"] is not None}
    assert alone == {("b", "stretch"), ("c", "stretch"), ("h-row", "pass"), ("h-row", "stretch")}


def test_usage_errors() -> None:
    assert "there is no workload 'z'; there are: a, b, c" in run("--only", "z").stderr
    assert "there is no peer 'keras'; there are: torch, jax" in run("--peers", "keras").stderr


def test_what_constraints_cost_is_measured() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.constraints", "--quick", "--rounds", "2", "--steps", "2"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 12
    assert "L2Ball, Adam's metric" in done.stdout


def test_paths_are_compared() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.paths", "--quick", "--only", "diabetes"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    cells = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| diabetes")]
    assert len(cells) == 2
    assert cells[0][3:5] == ["3", "3"]  # the same columns, and ε-optimal, at every λ
