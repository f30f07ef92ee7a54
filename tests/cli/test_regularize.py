"""chainrule regularize: the table, the picture, the model, JSON, and what is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.constrain.folds import cut_folds
from chainrule.errors import TableError, TrainingError
from chainrule.workflow import RegularizeOptions, regularize

PENGUINS = Path(__file__).parents[2] / "examples" / "penguins.csv"
FAST = ["--points", "3", "--folds", "2"]


def test_a_path_of_a_table(cli: Any, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    place, picture = tmp_path / "model.chainrule", tmp_path / "path.png"
    result = cli(
        "regularize", str(PENGUINS), "--target", "species", "--penalty", "l1", "--rule", "one-standard-error", *FAST,
        "--out", str(place), "--plot", str(picture),
    )  # fmt: skip
    assert result.code == 0, result.err
    assert max(map(len, result.out.partition("saved")[0].splitlines())) <= 80
    assert "levels: ε-optimal at 3 of 3" in result.out
    assert "95 % interval" in result.out
    assert picture.read_bytes().startswith(b"\x89PNG")
    model = cr.load(place)
    assert model.about["regularization"]["rule"] == "one-standard-error"
    assert cli("evaluate", str(place), str(PENGUINS)).code == 0
    assert cli("predict", str(place), str(PENGUINS), "--quiet").code == 0


def test_json_and_a_network(cli: Any) -> None:
    result = cli(
        "regularize", str(PENGUINS), "--target", "body_mass_g", "--constrain", "group", "--hidden", "4", "--values",
        "0.5,2", "--epochs", "20", "--folds", "2", "--json",
    )  # fmt: skip
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert [p["value"] for p in found["path"]["points"]] == [0.5, 2.0]
    assert found["path"]["score"] == "R²"
    assert found["scores"]["test"]["rows"] == found["rows"]["test"]
    assert found["model"] is None


@pytest.mark.parametrize(("words", "code", "said"), [
    (["--constrain", "l2", "--penalty", "l1"], 2, "give --constrain or --penalty"),
    (["--constrain", "l2<=4"], 1, "the path finds its number"),
    (["--penalty", "linf"], 1, "linf is a set and no penalty"),
    (["--constrain", "nonnegative"], 1, "has no radius"),
    (["--values", "1,3,2"], 1, "not sorted"),
    (["--values", "a"], 2, "give numbers"),
    (["--folds", "1"], 2, "Invalid value for '--folds'"),
    (["--folds", "999"], 1, "folds is 999"),
    (["--rule", "worst"], 2, "is not one of best, one-standard-error"),
    (["--plot", "path.doc"], 1, "pictures are written as .png, .svg, .pdf"),
    (["--plot", "nowhere/path.png"], 1, "there is no folder nowhere"),
    (["--out", "nowhere/a.chainrule"], 1, "the folder nowhere of --out does not exist"),
])  # fmt: skip
def test_what_is_refused(words: list[str], code: int, said: str, cli: Any) -> None:
    result = cli("regularize", str(PENGUINS), "--target", "species", *words)
    assert result.code == code
    assert said in " ".join(result.err.replace("│", " ").split())


def test_rows_that_are_set_aside() -> None:
    """The path is solved on the training rows; those set aside test it, where there are any."""
    frame = {"x": [float(i % 7) for i in range(60)], "y": [0.5 * (i % 7) + 0.01 * i for i in range(60)]}
    found = regularize(frame, "y", RegularizeOptions(constraint="l2", values=(0.3, 0.9), folds=3, test=0.25))
    assert found.rows == {"training": 45, "test": 15}
    assert found.score is not None
    assert found.path.chosen_point.level == "ε-optimal"
    assert "60 rows" in str(found).replace("\xa0", " ")
    untested = regularize(frame, "y", RegularizeOptions(constraint="l2", values=(0.3, 0.9), folds=3, test=0.0))
    assert untested.score is None
    assert "nothing is known of new rows" in str(untested)


def test_each_fold_has_encoders_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a fold learns from does not change with its held-out rows, neither columns nor target."""
    from chainrule.workflow.regularize import follow

    seen: list[Any] = []

    def watched(plan: Any, whole: Any, folds: Any, progress: Any) -> Any:
        seen.append(folds)
        return follow(plan, whole, folds, progress)

    monkeypatch.setattr(sys.modules["chainrule.workflow.regularize"], "follow", watched)
    rng = np.random.default_rng(0)
    frame = {"x": rng.normal(size=40), "z": rng.normal(size=40), "y": rng.normal(size=40)}
    options = RegularizeOptions(constraint="l2", values=(0.3, 0.9), folds=4, test=0.0)
    regularize(frame, "y", options)
    held = cut_folds(40, 4, 0)[0][1]
    other = {name: values.copy() for name, values in frame.items()}
    for name in other:
        other[name][held] = 100.0 * other[name][held] + 7.0
    regularize(other, "y", options)
    for before, after in zip(seen[0][0].training, seen[1][0].training, strict=True):
        np.testing.assert_array_equal(before, after)
    assert not np.array_equal(seen[0][0].held_out[1], seen[1][0].held_out[1])
    assert not np.array_equal(seen[0][1].training[1], seen[1][1].training[1])  # there these rows do train


def test_in_python() -> None:
    with pytest.raises(TableError, match="no column"):
        regularize(PENGUINS, "weight")
    with pytest.raises(TrainingError, match="a path varies one number"):
        regularize(PENGUINS, "species", RegularizeOptions(constraint="l2", penalty="l1"))
