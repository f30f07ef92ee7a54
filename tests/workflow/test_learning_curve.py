"""Learning curves: which rows are seen by what, the numbers of train itself, double descent where it is, and errors."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.datasets import load_digits

import chainrule as cr
from chainrule.errors import TableError, TraceError, TrainingError
from chainrule.table import TableEncoder, TargetEncoder, infer_task, read_table
from chainrule.workflow import CurveOptions, LearningCurves, learning_curve
from chainrule.workflow.curve_runs import SETS, Trainer
from chainrule.workflow.curve_samples import Source, default_rows, nested
from chainrule.workflow.predict import score_model
from chainrule.workflow.split import class_numbers, split_rows

PENGUINS = Path(__file__).parents[2] / "examples" / "penguins.csv"
QUICK = CurveOptions(hidden=(8,), epochs=6, learning_rate=0.02, repeats=2)
SMALL = replace(QUICK, rows=(60, 120), sizes=(2, 8), radii=(1.0, 4.0), repeats=3)


def numbers(count: int = 120, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 2))
    return {
        "a": x[:, 0],
        "b": [None if i % 11 == 3 else v for i, v in enumerate(x[:, 1])],
        "kind": rng.choice(["red", "green", "blue"], count),
        "y": 10 * x[:, 0] + rng.normal(size=count),
    }


@pytest.fixture(scope="module")
def species() -> LearningCurves:
    return learning_curve(PENGUINS, "species", SMALL)


def source(frame: Any, target: str, options: CurveOptions) -> Source:
    table = pl.DataFrame(frame)
    values = table[target]
    return Source.of(table, values, infer_task(values, None, target), options, "the table")


def alone(table: Any, target: str, options: CurveOptions, repeat: int) -> tuple[Any, Any]:
    """Train by ``cr.fit`` on one split of a table, encoded by hand; scores on training rows and on held-out rows."""
    frame = read_table(table) if isinstance(table, Path) else pl.DataFrame(table)
    values, seed = frame[target], options.seed + repeat
    task = infer_task(values, None, target)
    labels = class_numbers(values, task)
    split = split_rows(frame.height, labels, options.validation, options.test, seed)
    encoder = TableEncoder.fit(frame, target=target, rows=split.training)
    coder = TargetEncoder.fit(values, task, split.training, column=target)
    x, y = encoder.transform(frame), coder.transform(values)
    network = cr.nn.Sequential(cr.nn.Dense(8, activation="relu"), cr.nn.Dense(len(coder.levels) or 1))
    run = cr.fit(
        cr.Objective(network, "softmax_cross_entropy" if task.is_classification else "squared_error"),
        (x[split.training], y[split.training]),
        validation=(x[split.validation], y[split.validation]),
        patience=options.patience, optimizer=cr.learn.Adam(options.learning_rate), epochs=options.epochs, seed=seed,
    )  # fmt: skip
    model = cr.files.Model.from_run(
        run, table=encoder, target=coder, about={"guess": 0 if labels is not None else coder.mean}
    )
    scores = [score_model(model, x[rows], y[rows]) for rows in (split.training, split.test)]
    return scores[0], scores[1]


def test_the_point_of_all_rows_is_what_fit_gives(species: LearningCurves) -> None:
    assert species.rows.values == (60.0, 120.0, 275.0)
    for repeat in range(3):
        scores = alone(PENGUINS, "species", SMALL, repeat)
        for score, found in zip(scores, (species.rows.training, species.rows.held_out), strict=True):
            assert found["log-loss"][-1, repeat] == score.log_loss
            assert found["error rate"][-1, repeat] == 1.0 - score.accuracy


def test_of_numbers_too_in_the_targets_unit() -> None:
    found = learning_curve(numbers(), "y", replace(SMALL, rows=(30, 60), measure="MAE"))
    guesses = []
    for repeat in range(3):
        score = alone(numbers(), "y", SMALL, repeat)[1]
        assert found.rows.held_out["RMSE"][-1, repeat] == score.rmse
        assert found.present[repeat] == score.mae
        guesses.append(score.guess)
    assert found.guess["RMSE"] == pytest.approx(np.mean(guesses), rel=1e-12)


def changed_cell(cell: Any, inside: bool) -> Any:
    """Return a cell of a training row as it is, one of another row far from where it was."""
    if inside or cell is None:
        return cell
    return "violet" if isinstance(cell, str) else 1000 * cell + 7


def test_encoders_know_the_training_rows_of_their_subset_alone() -> None:
    """Whatever stands in all other rows, a subset's encoders and encoded rows keep their bits."""
    frame = numbers(200)
    made = source(frame, "y", QUICK)
    for rows in (40, made.most):
        for repeat, sample in enumerate(made.draw(rows)):
            x, _ = sample.training
            inside = np.zeros(200, bool)
            full = TableEncoder.fit(made.frame, target="y", rows=np.arange(200))
            numbers_of = {row.tobytes(): i for i, row in enumerate(sample.encoder.transform(made.frame))}
            inside[[numbers_of[row.tobytes()] for row in x]] = True
            assert inside.sum() == len(x) < 200
            other = {name: [changed_cell(v, i) for v, i in zip(c, inside, strict=True)] for name, c in frame.items()}
            changed = replace(made, frame=pl.DataFrame(other), values=pl.Series("y", other["y"])).draw(rows)[repeat]
            assert changed.encoder.to_json() == sample.encoder.to_json() != full.to_json()
            assert changed.target.to_json() == sample.target.to_json()
            np.testing.assert_array_equal(changed.training[0], x)
            np.testing.assert_array_equal(changed.training[1], sample.training[1])


def test_subsets_are_nested_and_the_held_out_rows_stay() -> None:
    frame = {"i": np.arange(300.0), "y": np.repeat(["a", "b", "c"], [200, 90, 10])}
    made = source(frame, "y", QUICK)

    def rows(sample: Any, part: str) -> set[float]:
        scaled = (np.arange(300.0) - sample.encoder.columns[0].center) / sample.encoder.columns[0].scale
        code = (scaled / np.sqrt(1 + (scaled / 3) ** 2)).astype(np.float32)
        return set(np.abs(code[None] - getattr(sample, part)[0]).argmin(axis=1))

    line = [made.draw(n) for n in (24, 60, 120, 240)]
    for repeat in range(2):
        samples = [samples[repeat] for samples in line]
        assert len({tuple(sorted(rows(s, "test"))) for s in samples}) == 1
        for smaller, larger in pairwise(samples):
            assert rows(smaller, "training") < rows(larger, "training")
            assert rows(smaller, "validation") < rows(larger, "validation")
        for sample, wanted in zip(samples, (24, 60, 120, 240), strict=True):
            parts = [rows(sample, part) for part in ("training", "validation", "test")]
            assert len(parts[0]) + len(parts[1]) == wanted
            assert len(set.union(*parts)) == sum(map(len, parts))
            assert set(sample.training[1]) == {0, 1, 2}
    assert rows(line[-1][0], "test") != rows(line[-1][1], "test")


def test_every_front_part_has_the_classes_in_their_shares() -> None:
    classes = np.repeat([0, 1, 2], [60, 30, 10])
    order = nested(np.arange(100), classes, 4)
    assert sorted(order) == list(range(100))
    for front in range(3, 101):
        counts = np.bincount(classes[order[:front]], minlength=3)
        assert counts.min() >= 1
        assert np.all(np.abs(counts - front * np.array([0.6, 0.3, 0.1])) <= 2)
    assert list(order) == list(nested(np.arange(100), classes, 4)) != list(nested(np.arange(100), classes, 5))


@pytest.mark.parametrize("name", SETS)
def test_limits_are_kept(name: str) -> None:
    made = source(numbers(), "y", QUICK)
    trainer = Trainer(made.task, replace(QUICK, constrain=name), 6, lambda done, total: None)
    samples = made.draw(made.most)
    free = trainer.run(samples, (8,), [None])[0]
    needed = float(np.median([outcome.size for outcome in free]))
    lines = trainer.run(samples, (8,), [0.5 * needed, 0.25 * needed])
    for radius, line in zip((0.5 * needed, 0.25 * needed), lines, strict=True):
        for outcome in line:
            assert 0.9 * radius < outcome.size <= radius * (1 + 1e-6)
    assert trainer.done == 6


def test_seeds_and_executors() -> None:
    first, again = (learning_curve(numbers(), "y", replace(SMALL, rows=(30, 60))) for _ in range(2))
    np.testing.assert_array_equal(first.limit.held_out["RMSE"], again.limit.held_out["RMSE"])
    other = learning_curve(numbers(), "y", replace(SMALL, rows=(30, 60), seed=1))
    np.testing.assert_array_equal(other.present[:2], first.present[1:])  # its repeats are those of seeds 1, 2, 3
    judge = learning_curve(numbers(), "y", replace(SMALL, rows=(30, 60), executor="reference"))
    for curve in ("rows", "size", "limit"):
        a, b = (getattr(found, curve).held_out["RMSE"] for found in (first, judge))
        np.testing.assert_allclose(a, b, rtol=1e-4)


def test_double_descent_is_found_where_it_is_and_not_elsewhere() -> None:
    """Digits with a fifth of the labels at random: without early stopping the loss has a peak where training is fitted.

    Nakkiran et al. 2020, "Deep double descent", show the same of larger networks.
    """
    X, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    noisy = np.where(rng.random(len(y)) < 0.2, rng.integers(0, 10, len(y)), y)
    o = CurveOptions(
        task="classification", epochs=400, validation=0.0, test=0.5,
        rows=(75, 150), sizes=(1, 2, 4, 8, 16, 32, 128), radii=(4.0,), repeats=5,
    )  # fmt: skip
    found = learning_curve((X[:600], noisy[:600]), options=o)
    descent = found.double_descent
    assert descent is not None
    sizes = found.size.values
    assert sizes[descent.valley] in (1, 2)
    assert sizes[descent.peak] in (8, 16)
    assert sizes[descent.beyond] == 128
    assert descent.rise.low > 0.0
    assert descent.fall.low > 0.0
    assert found.interpolation in (8, 16)
    text = " ".join(str(found).split())
    assert "Double descent: with size the held-out log-loss rises by" in text
    assert "fits its training rows: their log-loss is under 5 % of that of guessing (interpolation)" in text
    advice = {a.change: a for a in found.advice}
    assert advice["limit"].standing == "helps"
    assert advice["more rows"].standing == "does not help"
    assert found.to_dict()["double_descent"]["peak"] == sizes[descent.peak]

    stopped = learning_curve((X[:600], noisy[:600]), options=replace(o, validation=0.2))
    assert stopped.double_descent is None
    assert stopped.interpolation is None
    assert "No double descent" in str(stopped)
    assert {a.change: a for a in stopped.advice}["more rows"].standing == "helps"


def test_arrays_are_a_table_of_numbers() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 2))
    y = 3 * X[:, 0] + rng.normal(size=100)
    o = replace(SMALL, rows=(40, 80))
    found = learning_curve((X, y), options=o)
    table = learning_curve({"x1": X[:, 0], "x2": X[:, 1], "y": y}, "y", o)
    np.testing.assert_array_equal(found.present, table.present)
    assert (found.source, found.target) == ("the arrays", "y")


def test_the_report_and_its_data_say_the_same(species: LearningCurves) -> None:
    data = json.loads(json.dumps(species.to_dict()))
    assert data["rows"] == {"table": 344, "used": 344, "held_out": 69}
    assert data["curves"]["limit"]["values"] == [1.0, 4.0, None]
    assert np.shape(data["curves"]["size"]["measures"]["error rate"]["held_out"]) == (2, 3)
    changes = [advice["change"] for advice in data["advice"]]
    assert sorted(changes) == ["limit", "more rows", "smaller network"]
    text = str(species)
    assert max(map(len, text.splitlines())) <= 80
    places = [text.index(f"\n{i}  {start}") for i, start in enumerate(
        ({"limit": "A limit", "more rows": "More rows", "smaller network": "A smaller"}[c] for c in changes), 1
    )]  # fmt: skip
    assert places == sorted(places)
    assert "       * 8  " in text
    assert repr(species).startswith("<learning curves of species from penguins.csv: ")


def test_a_large_table_is_drawn_from(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setattr(sys.modules["chainrule.workflow.learning_curve"], "MOST_ROWS", 90)
    o = replace(SMALL, rows=(), repeats=3)
    found = learning_curve(numbers(200), "y", o)
    assert (found.table_rows, found.used, found.held_out_rows) == (200, 90, 18)
    assert found.rows.values == (9, 18, 36, 72)
    assert "200 rows; 90 with a label are used" in str(found)
    asked = learning_curve(numbers(200), "y", replace(o, rows=(60, 120)))
    assert asked.used == 150
    assert asked.rows.values == (60, 120)


def test_rows_without_a_label_are_left_out() -> None:
    frame = numbers(120)
    frame["y"] = [None if i % 3 == 0 else v for i, v in enumerate(frame["y"])]
    found = learning_curve(frame, "y", replace(SMALL, rows=(30, 60)))
    assert (found.table_rows, found.used) == (120, 80)


def test_numbers_of_rows() -> None:
    assert default_rows(4000, 2) == (250, 500, 1000, 2000, 4000)
    assert default_rows(100, 10) == (50, 100)
    assert default_rows(33, 0) == (8, 16, 33)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": (4, 60)}, "rows holds 4; numbers of rows from 12 to 275 are possible here"),
        ({"rows": (60, 5000)}, "rows holds 5000; numbers of rows from 12 to 275 are possible here"),
        ({"repeats": 2}, "repeats is 2; at least 3 are needed to tell a difference from noise"),
        ({"measure": "RMSE"}, "the measure is 'RMSE'; of multiclass there are 'log-loss' and 'error rate'"),
        ({"constrain": "l3"}, "there is no limit 'l3'; there are: l2, maxnorm, l1, linf"),
        ({"radii": (0.0,)}, "radii holds 0; a radius is a finite number greater than 0"),
        ({"sizes": (4, 0)}, "a size is 0; it must be a whole number of at least 1"),
        ({"hidden": ()}, "without a hidden layer there is no size to vary"),
        ({"loss": "poisson"}, "there is no loss for the target of a table 'poisson'"),
        ({"test": 0.0}, "the test share is 0; a learning curve needs held-out rows"),
        ({"learning_rate": 1e30}, "a training with .* rows diverged at step"),
    ],
)
def test_what_is_wrong_is_said(options: dict[str, Any], message: str) -> None:
    with pytest.raises((TrainingError, TraceError), match=message):
        learning_curve(PENGUINS, "species", replace(SMALL, **options))


def test_two_points_promise_nothing_of_twice_the_rows() -> None:
    """The fall from few rows to all was told as what twice as many would bring."""
    found = learning_curve(numbers(400), "y", replace(SMALL, rows=(16,), epochs=60, repeats=5))
    assert found.rows.values == (16, 320)
    (more,) = (a for a in found.advice if a.change == "more rows")
    assert (more.law, more.value, more.sign) == (None, 320.0, 1)
    assert more.gain.mean == pytest.approx(np.mean(found.rows.held_out["RMSE"][0] - found.rows.held_out["RMSE"][1]))
    text = " ".join(str(found).split())
    assert "twice the rows" not in text
    assert found.advice[0] is more
    assert "Most helped: more rows. From 16 to 320 the held-out RMSE fell by" in text


def test_the_report_says_what_was_not_learned_to_the_end(species: LearningCurves) -> None:
    """Differences in size are those in speed, where the most epochs end all trainings."""
    text = " ".join(str(species).split())
    assert "Not learned to the end: early stopping had not ended most trainings with 60, 120, 275 rows; 2, 8" in text
    assert species.to_dict()["curves"]["size"]["unfinished"] == [3, 3]
    assert species.divided(1000.0).size.unfinished == (3, 3)
    enough = learning_curve(numbers(), "y", replace(SMALL, rows=(48,), epochs=400, patience=5, learning_rate=0.1))
    assert "Not learned" not in str(enough)
    assert enough.limit.unfinished == (0, 0, 0)
    without = learning_curve(numbers(), "y", replace(SMALL, rows=(48,), validation=0.0))
    assert without.rows.unfinished == (0, 0)


def test_errors_of_the_table() -> None:
    with pytest.raises(TableError, match=r"There is no column 'specis' to be the target. Did you mean 'species'\?"):
        learning_curve(PENGUINS, "specis", SMALL)
    with pytest.raises(TrainingError, match="needs the column to predict"):
        learning_curve(PENGUINS)
    with pytest.raises(TrainingError, match=r"arrays are given as \(X, y\)"):
        learning_curve((np.ones((4, 2)), np.ones(3)))
    few = r"12 rows with a label are left to learn from, too few for a learning curve: at least 16 are needed"
    with pytest.raises(TrainingError, match=few):
        learning_curve(numbers(15), "y", replace(SMALL, rows=()))
    frame = read_table(PENGUINS).head(20).with_columns(species=pl.Series(["a", "b"] * 10))
    with pytest.raises(TrainingError, match="at least 16 are needed, twice the 8 for a smallest subset, four for each"):
        learning_curve(frame[:19], "species", replace(SMALL, rows=()))
    infinite = numbers(120)
    infinite["a"] = np.where(np.arange(120) == 77, np.inf, infinite["a"])
    with pytest.raises(TableError, match="row 78"):  # the table's own row, whichever subset it is in
        learning_curve(infinite, "y", replace(SMALL, rows=(30, 60)))
    constant = {"a": [0.0] * 199 + [1.0], "y": np.arange(200.0)}
    with pytest.raises(TableError, match=r"of 20 rows, 16 are to train on: .* no column to learn from"):
        learning_curve(constant, "y", replace(SMALL, rows=(20, 40)))


def test_the_report_on_its_page_is_that_of_a_run() -> None:
    """Word for word; numbers to what may differ between machines."""
    page = (Path(__file__).parents[2] / "docs" / "learning-curves.md").read_text(encoding="utf-8")
    shown = page.partition("```text\n")[2].partition("\n\nwritten: curve.png\n```")[0]
    number = r"\d[\d,]*\.?\d*"
    printed = str(learning_curve(PENGUINS, "sex"))
    assert re.sub(number, "#", printed).split() == re.sub(number, "#", shown).split()
    pairs = zip(re.findall(number, printed), re.findall(number, shown), strict=True)
    for here, there in pairs:
        assert float(here.replace(",", "")) == pytest.approx(float(there.replace(",", "")), rel=0.1, abs=0.02)


@pytest.mark.parametrize("scale", [1e12, 1e-12, 1.0, 3e5])
def test_whatever_the_targets_unit_the_report_fits_and_says_the_same(scale: float) -> None:
    frame = numbers()
    plain = learning_curve(frame, "y", replace(SMALL, rows=(30, 60)))
    frame["y"] = [scale * v for v in frame["y"]]
    found = learning_curve(frame, "y", replace(SMALL, rows=(30, 60)))
    assert [(a.change, a.standing) for a in found.advice] == [(a.change, a.standing) for a in plain.advice]
    np.testing.assert_allclose(found.present, scale * plain.present, rtol=1e-4)
    text = str(found)
    assert max(map(len, text.splitlines())) <= 80
    assert ("in units of" in text) == (scale != 1.0)


def test_classes_that_are_rare_and_categories_that_some_subsets_lack() -> None:
    rng = np.random.default_rng(0)
    frame = {
        "x": rng.normal(size=300),
        "place": [f"town {i}" for i in rng.integers(0, 40, 300)],
        "y": ["a"] * 180 + ["b"] * 115 + ["c"] * 5,
    }
    done: list[tuple[int, int]] = []
    found = learning_curve(
        frame, "y", replace(SMALL, rows=(30, 120)), progress=lambda i, total: done.append((i, total))
    )
    assert np.isfinite(found.rows.held_out["log-loss"]).all()
    assert done[-1] == (3 * (3 + 1 + 2), 3 * (3 + 1 + 2))
    assert [i for i, _ in done] == sorted(i for i, _ in done)
    widths = {sample.encoder.width for sample in source(frame, "y", QUICK).draw(30)}
    assert len(widths) == 2  # a family of trainings for each
