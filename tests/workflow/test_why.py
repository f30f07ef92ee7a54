"""Why a prediction is what it is, column by column; and which columns matter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

import chainrule as cr
from chainrule.cli.app import app
from chainrule.errors import TableError, TrainingError
from chainrule.explanation.attribution import integrated_gradients
from chainrule.workflow import TrainOptions, explain_row, importance, predict, train
from chainrule.workflow.predict import result_names

RNG = np.random.default_rng(0)
ROWS = 240


def table() -> pl.DataFrame:
    age, noise = RNG.uniform(18, 80, ROWS), RNG.normal(size=ROWS)
    city, member = RNG.choice(["Leeds", "Liverpool", "York"], ROWS), RNG.random(ROWS) < 0.5
    income = 300 * age + 9000 * (city == "York") - 4000 * member
    age = np.where(RNG.random(ROWS) < 0.05, np.nan, age)
    return pl.DataFrame({
        "age": age, "city": city, "member": member, "noise": noise, "income": income,
        "rich": np.where(income > np.median(income), "yes", "no"),
        "class": np.array(["low", "middle", "top"])[np.digitize(income, np.quantile(income, [0.3, 0.7]))],
    }).with_columns(pl.col("age").fill_nan(None))  # fmt: skip


TABLE = table()
TARGETS = {"income": ("rich", "class"), "rich": ("income", "class"), "class": ("income", "rich")}


@pytest.fixture(scope="module", params=TARGETS)
def model(request: pytest.FixtureRequest) -> Any:
    options = TrainOptions(ignore=TARGETS[request.param], hidden=(16,), epochs=60, dropout=0.0)
    return train(TABLE, request.param, options).model


def test_the_parts_add_up_to_the_prediction_that_predict_makes(model: Any) -> None:
    assert model.target is not None
    predicted = predict(model, TABLE)
    for row in (1, 7, ROWS):
        why = explain_row(model, TABLE, row)
        assert sum(part.part for part in why.parts) == pytest.approx(why.value - why.base_value, rel=1e-6, abs=1e-9)
        assert abs(why.missed) < 1e-6 * max(1.0, abs(why.value))
        made = predicted.row(row - 1, named=True)
        if model.target.kind == "regression":
            assert why.kept is not None or float(made[result_names(model)[0]]) == pytest.approx(why.value, rel=1e-4)
        else:
            assert str(made[result_names(model)[0]]) == why.predicted
            chances = [v for k, v in made.items() if isinstance(v, float) and why.predicted in k]
            assert why.value == pytest.approx(chances[0], abs=1e-5)
        assert {part.column for part in why.parts} <= {"age", "city", "member", "noise"}
        assert all(len(line) <= 80 for line in str(why).splitlines())


def test_a_derivative_is_in_the_columns_own_unit(model: Any) -> None:
    row = next(i for i, age in enumerate(TABLE["age"]) if age is not None and 30 < age < 60)
    why = explain_row(model, TABLE, row + 1)
    slope = next(part.slope for part in why.parts if part.column == "age")
    assert slope is not None
    moved = [
        explain_row(model, TABLE.slice(row, 1).with_columns(pl.col("age") + step), 1).value for step in (0.01, -0.01)
    ]
    assert slope == pytest.approx((moved[0] - moved[1]) / 0.02, rel=0.05, abs=1e-5)


def test_a_missing_cell_has_no_derivative(model: Any) -> None:
    row = TABLE["age"].is_null().arg_max()
    assert row is not None
    why = explain_row(model, TABLE, row + 1)
    part = next(part for part in why.parts if part.column == "age")
    assert part.slope is None
    assert part.cell == "(missing)"


def test_noise_matters_least(model: Any) -> None:
    found = importance(model, TABLE, repeats=4)
    assert found.columns[-1].column == "noise"
    assert found.columns[0].low > 0
    assert all(c.low <= c.growth <= c.high for c in found.columns)
    assert all(len(line) <= 80 for line in str(found).splitlines())
    again = importance(model, TABLE, repeats=4)
    assert [c.growth for c in again.columns] == [c.growth for c in found.columns]


def test_from_the_command_line(model: Any, tmp_path: Path) -> None:
    file, rows = tmp_path / "m.chainrule", tmp_path / "t.csv"
    model.save(file)
    TABLE.write_csv(rows)
    run = CliRunner()
    shown = run.invoke(app, ["explain", str(file), str(rows), "--row", "5"])
    assert shown.exit_code == 0, shown.output
    assert "Why this prediction: row 5 of t.csv" in shown.output
    data = json.loads(run.invoke(app, ["explain", str(file), str(rows), "--row", "5", "--json"]).output)
    assert data["row"] == 5
    shown = run.invoke(app, ["explain", str(file), str(rows), "--importance", "--repeats", "2", "--quiet"])
    assert "Which columns matter" in shown.output
    wrong = run.invoke(app, ["explain", str(file), str(rows), "--row", str(ROWS + 1)])
    assert wrong.exit_code == 1
    assert f"t.csv has {ROWS} rows; there is no row {ROWS + 1}" in wrong.output
    for both in ([], ["--row", "1", "--importance"]):
        assert run.invoke(app, ["explain", str(file), str(rows), *both]).exit_code == 2


def test_a_model_of_arrays_has_no_columns() -> None:
    run = cr.fit(cr.Objective(cr.nn.Dense(1), "squared_error"), (np.ones((4, 2)), np.ones(4)), epochs=1)
    with pytest.raises(cr.errors.ModelFileError, match="trained on arrays"):
        explain_row(cr.Model.from_run(run), TABLE, 1)
    with pytest.raises(TableError, match="there is no row 0"):
        explain_row(train(TABLE, "rich", TrainOptions(epochs=1, hidden=(2,))).model, TABLE, 0)


# --- arrays -----------------------------------------------------------------------------------------------------------


def test_parts_are_complete_across_kinks() -> None:
    """relu, |x| and max have kinks on the way; a product shares its part out."""

    def function(x: Any) -> tuple[Any, Any]:
        a, b, c = x.T
        value = np.abs(a) + np.maximum(b, 0.3) + a * c
        return value, np.stack([np.sign(a) + c, (b > 0.3).astype(float), a], axis=1)

    for _ in range(20):
        x, base = RNG.normal(size=3), RNG.normal(size=3)
        parts, missed = integrated_gradients(function, x, base)
        ends, _ = function(np.stack([base, x]))
        assert abs(missed) < 1e-6
        assert parts.sum() == pytest.approx(ends[1] - ends[0], abs=1e-6)
        assert parts[1] == pytest.approx(max(x[1], 0.3) - max(base[1], 0.3), abs=1e-6)


def test_a_prediction_of_a_run() -> None:
    x = RNG.normal(size=(60, 4)).astype(np.float32)
    y = (x[:, 0] > 0).astype(int)
    network = cr.nn.Sequential(cr.nn.Dense(20, activation="relu"), cr.nn.Dense(2))
    run = cr.fit(cr.Objective(network, "softmax_cross_entropy"), (x, y), epochs=20)
    d = cr.explain(run, of="prediction", rows=[5])
    assert d.value == pytest.approx(float(run.predict(x[[5]]).max()), abs=1e-5)
    assert sum(part.part for part in d.parts) == pytest.approx(d.value - d.base_value, rel=1e-6)
    for column, part in enumerate(d.parts):
        assert d.paths(column).total == pytest.approx(part.slope, rel=1e-9, abs=1e-12)
    other = cr.explain(run, x[:3], of="prediction[0]", rows=[1])
    assert other.value == pytest.approx(float(run.predict(x[[1]])[0, 0]), abs=1e-5)
    assert "the parts miss it by" in str(d)
    json.dumps(d.to_json())
    for call, message in (
        (lambda: cr.explain(run, of="prediction"), r"for one row: rows=\[5\]"),
        (lambda: cr.explain(run, of="prediction[2]", rows=[0]), "the network has outputs 0 to 1"),
        (lambda: cr.explain(run.objective, (x, y), of="prediction", rows=[0]), "a prediction is explained of a run"),
        (lambda: cr.explain(run, x[:, :2], of="prediction", rows=[0]), "the network takes rows of shape"),
    ):
        with pytest.raises(TrainingError, match=message):
            call()


def test_wide_letters_keep_the_columns_in_line(tmp_path: Path) -> None:
    """A Chinese letter takes two columns of a terminal."""
    from rich.cells import cell_len

    rng = np.random.default_rng(0)
    frame = pl.DataFrame({
        "长度是一个很长的名字用来测试": rng.normal(size=120), "色": rng.choice(["红", "绿色的"], 120),
        "size": rng.normal(size=120),
    }).with_columns((pl.col("size") > 0).cast(pl.String).alias("y"))  # fmt: skip
    model = cr.workflow.train(frame, "y", options=cr.workflow.TrainOptions(epochs=3)).model
    told = str(cr.workflow.explain_row(model, frame, 1)).splitlines()
    head = next(line for line in told if "column" in line and "cell" in line)
    end = cell_len(head[: head.index("part") + 4])
    rows = [line for line in told if line.strip().startswith(("长", "色", "size", "sum"))]
    assert len(rows) == 4
    for line in rows:
        place = [i for i in range(len(line) + 1) if cell_len(line[:i]) == end]
        assert place, line
        assert line[place[0] - 1].isdigit(), line


def test_a_probability_near_1_is_told_by_what_it_lacks() -> None:
    from chainrule.workflow.why import _probability

    assert [_probability(p) for p in (0.5, 0.98765, 0.99999, 1.0)] == ["0.5", "0.9877", "1 − 1e-05", "1"]
