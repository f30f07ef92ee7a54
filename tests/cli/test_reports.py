"""What the commands print: reports of 80 columns, JSON alone on stdout, silence when asked."""

from __future__ import annotations

import json
import os
import random
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from chainrule.files import load
from chainrule.table import read_table
from chainrule.workflow import ClassificationScore, evaluate
from chainrule.workflow import predict as predict_table
from chainrule.workflow.metrics import Interval
from chainrule.workflow.report import class_text

PENGUINS = Path(__file__).parents[2] / "examples" / "penguins.csv"
QUICK = ["--hidden", "4", "--epochs", "3"]


def flat(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def fits(text: str) -> None:
    for line in text.splitlines():
        assert len(line) <= 80, line
        assert line == line.rstrip()
        assert line.isprintable(), repr(line)


def test_the_report_of_a_classification(cli: Any, tmp_path: Path) -> None:
    result = cli("train", PENGUINS, "--target", "species", "--hidden", "16", "--epochs", "25", "--lr", "0.02")
    assert result.code == 0
    assert result.err == ""
    fits(result.out)
    text = flat(result.out)
    assert "table penguins.csv: 344 rows, 8 columns" in text
    assert "target species, 3 classes: species has 3 different texts" in text
    assert "rows 275 training, no validation (no early stopping), 69 test; seed 0" in text
    assert "13 inputs → 16 relu → 3 outputs; 275 parameters; softmax_cross_entropy" in text
    how = r"adam, learning rate 0\.02, cosine, weight decay 1, all rows at a step; 25 epochs, 25 steps, \d+\.\d s"
    assert re.search(how, text)
    assert "by the table's size: schedule cosine, batch size all, dropout 0, weight decay 1 " in text
    assert re.search(r"accuracy test \d+\.\d % \(95 % interval \d+\.\d to \d+\.\d %\), 69 rows", text)
    assert re.search(r"training \d+\.\d %: a gap of -?\d+\.\d points", text)
    assert "always saying Adelie: 44.9 %" in text
    assert re.search(r"log-loss \d\.\d+ AUC [01](\.\d+)?", text)
    assert re.search(r"^class +rows +precision +recall +→Adelie +→Chinstrap +→Gentoo$", result.out, re.M)
    assert re.search(r"^Chinstrap +14 ", result.out, re.M)
    assert "saved penguins.chainrule to use it: chainrule predict penguins.chainrule NEW_TABLE.csv" in text
    model = load(tmp_path / "penguins.chainrule")
    assert f"test {100 * model.about['scores']['test']['accuracy']:.1f} %" in text


def test_the_report_of_two_classes(cli: Any) -> None:
    result = cli("train", PENGUINS, "--target", "sex", *QUICK)
    fits(result.out)
    text = flat(result.out)
    assert "target sex, 2 classes: sex has 2 different texts" in text
    assert "left out 11 rows without a value in sex" in text
    assert "1 output; " in text
    assert "binary_cross_entropy" in text
    assert "→female →male" in text


def test_the_report_of_a_regression(cli: Any) -> None:
    result = cli("train", PENGUINS, "--target", "body_mass_g", *QUICK, "--validation", "0.2")
    fits(result.out)
    text = flat(result.out)
    assert "target body_mass_g, a number: body_mass_g has 94 different numbers in 342 rows" in text
    assert re.search(r"RMSE test [\d.]+ \(95 % interval [\d.]+ to [\d.]+\), 68 rows", text)
    assert re.search(r"training [\d.]+: a gap of -?[\d.]+ always saying the mean 4177: 732\.7", text)
    assert re.search(r"MAE [\d.]+ R² -?[\d.]+", text)
    assert "class" not in text


def test_the_report_without_test_and_validation(cli: Any) -> None:
    result = cli("train", PENGUINS, "-t", "species", *QUICK, "--test", "0", "--validation", "0")
    fits(result.out)
    text = flat(result.out)
    assert "rows 344 training, no validation (no early stopping), no test; seed 0" in text
    assert "test none: no rows were set aside, so nothing is known of new rows" in text
    assert "accuracy training" in text


def test_the_report_with_another_table(cli: Any) -> None:
    result = cli("train", PENGUINS, "-t", "species", *QUICK, "--test-data", PENGUINS, "--patience", "3")
    fits(result.out)
    assert "275 training, 69 validation, 344 test (from penguins.csv); seed 0" in flat(result.out)
    assert "table penguins.csv: 344 rows" in flat(result.out)


def test_left_out_columns_are_said_with_the_reason(cli: Any, table: Any) -> None:
    lines = {i: f"{i % 7},{'red' if i % 3 else 'blue'},{i % 2},5,,{i}x,z" for i in range(1, 61)}
    path = table(lines, header="x,color,y,five,nothing,id,z")
    result = cli("train", path, "-t", "y", *QUICK, "--ignore", "z")
    text = flat(result.out)
    fits(result.out)
    assert "left out five: always 5" in text
    assert "left out nothing: missing in every training row" in text
    assert re.search(r"left out id: a different text in each of \d+ training rows, like a name or an id", text)
    assert "left out z: ignored, as asked" in text


LONG = "a name of a column that is much longer than anyone would ever type"


@pytest.mark.parametrize("classes", [2, 3, 5, 8, 12, 13, 30])
@pytest.mark.parametrize("name", ["k{}", "class number {} with a very long name indeed, and longer", "x" * 70 + "{}"])
def test_any_names_fit(classes: int, name: str, cli: Any, tmp_path: Path) -> None:
    generator = random.Random(1)
    target = LONG + name.format("")
    frame = pl.DataFrame(
        {
            f"{LONG} without end": [generator.random() for _ in range(6 * classes)],
            "w" * 100: [generator.random() for _ in range(6 * classes)],
            target: [name.format(i % classes) for i in range(6 * classes)],
        }
    )
    frame.write_csv("long.csv")
    trained = cli("train", "long.csv", "-t", target, "--hidden", "2", "--epochs", "1", "--out", "m")
    assert trained.code == 0
    evaluated = cli("evaluate", "m", "long.csv")
    inspected = cli("inspect", "long.csv", "-t", target)
    for result in (trained, evaluated, inspected):
        assert result.code == 0
        fits(result.out)
    assert f"{classes} classes" in flat(trained.out)
    rows = [line for line in evaluated.out.splitlines() if re.match(r"\S.* +6 +(–|\d\.\d{3}) +\d\.\d{3}", line)]
    assert len(rows) == classes
    if classes > 12:
        assert "→" not in evaluated.out


def test_names_cannot_disturb_the_terminal(cli: Any, tmp_path: Path) -> None:
    frame = {"\x1b[31mred\x07": [0.1 * i for i in range(40)], "tar\nget\x1b[2J": ["a\x1b[0m\r", "b\tc"] * 20}
    pl.DataFrame(frame).write_parquet("t.parquet")
    trained = cli("train", "t.parquet", "-t", "tar\nget\x1b[2J", *QUICK)
    assert trained.code == 0
    fits(trained.out)
    fits(cli("inspect", "t.parquet", "-t", "tar\nget\x1b[2J").out)
    fits(cli("evaluate", "t.chainrule", "t.parquet").out)


def test_evaluate(cli: Any, models: Any) -> None:
    result = cli("evaluate", models["sex"], PENGUINS)
    fits(result.out)
    text = flat(result.out)
    assert result.code == 0
    assert "table penguins.csv target sex left out 11 rows without a value in sex" in text
    score = evaluate(load(models["sex"]), PENGUINS).score
    assert f"accuracy {100 * score.accuracy:.1f} % (95 % interval" in text  # type: ignore[union-attr]
    assert "333 rows" in text
    numbers = cli("evaluate", models["body_mass_g"], PENGUINS)
    fits(numbers.out)
    assert re.search(r"RMSE [\d.]+ \(95 % interval [\d.]+ to [\d.]+\), 342 rows", flat(numbers.out))


def test_inspect_of_a_good_table(cli: Any) -> None:
    result = cli("inspect", PENGUINS, "--target", "species")
    assert result.code == 0
    fits(result.out)
    text = flat(result.out)
    assert "table penguins.csv: 344 rows, 8 columns" in text
    assert "target species, multiclass: species has 3 different texts" in text
    assert "classes Adelie 152, Gentoo 124, Chinstrap 68" in text
    assert re.search(r"^bill_length_mm +number +2 +164 +32\.1 … 44\.45 … 59\.6$", result.out, re.M)
    assert re.search(r"^sex +text +11 +2 +male 168, female 165$", result.out, re.M)
    assert "nothing wrong was found" in text


def test_inspect_of_a_bad_table(cli: Any, table: Any) -> None:
    lines = {i: f"{i},5,,{'inf' if i == 7 else i},{i % 2}" for i in range(1, 61)}
    result = cli("inspect", table(lines, header="a,five,nothing,inf,y"), "--target", "y")
    assert result.code == 1  # inf is an error
    fits(result.out)
    assert "nothing wrong" not in result.out
    text = flat(result.out)
    for said in ("five", "nothing", "inf"):
        assert re.search(rf"(error|warning|note|problem|info)\S* .*{said}", text), said


def test_inspect_without_a_target(cli: Any) -> None:
    result = cli("inspect", PENGUINS)
    assert result.code == 0
    assert "target" not in result.out.splitlines()[1]


@pytest.mark.parametrize("target", ["species", "sex", "body_mass_g"])
def test_train_json(target: str, cli: Any, tmp_path: Path) -> None:
    result = cli("train", PENGUINS, "-t", target, *QUICK, "--json")
    assert result.code == 0
    report = result.json
    assert report["target"] == target
    assert report["model"] == "penguins.chainrule"
    assert report["scores"]["test"]["interval"]["low"] is not None
    assert report["rows"]["test"] == report["scores"]["test"]["rows"]
    assert load(tmp_path / report["model"]).about["scores"] == report["scores"]


def test_predict_json(cli: Any, models: Any) -> None:
    result = cli("predict", models["species"], PENGUINS, "--json", "--keep", "year,bill_depth_mm")
    rows = result.json
    assert len(rows) == 344
    assert list(rows[0]) == [
        "year", "bill_depth_mm", "prediction", "probability_Adelie", "probability_Chinstrap", "probability_Gentoo",
    ]  # fmt: skip
    assert rows[0]["year"] == 2007
    assert rows[3]["bill_depth_mm"] is None


def test_evaluate_inspect_and_example_json(cli: Any, models: Any) -> None:
    assert cli("evaluate", models["body_mass_g"], PENGUINS, "--json").json["rows"] == {
        "scored": 342, "without_label": 2,
    }  # fmt: skip
    inspected = cli("inspect", PENGUINS, "-t", "sex", "--json").json
    assert inspected["rows"] == 344
    assert len(inspected["columns"]) == 8
    assert cli("example", "--steps", "1", "--json").json["steps"] == 1


def test_json_of_numbers_that_are_not_finite(cli: Any, tmp_path: Path) -> None:
    """JSON has no NaN and no Infinity: a kept cell of them becomes null."""
    frame = read_table(PENGUINS).with_columns(odd=pl.Series([float("nan"), float("inf"), 1.0, *[0.0] * 341]))
    frame.write_parquet("odd.parquet")
    assert cli("train", "odd.parquet", "-t", "species", *QUICK, "--ignore", "odd", "--quiet").code == 0
    rows = cli("predict", "odd.chainrule", "odd.parquet", "--keep", "odd", "--json").json
    assert [row["odd"] for row in rows[:3]] == [None, None, 1.0]
    assert cli("inspect", "odd.parquet", "--json").json["rows"] == 344


def test_json_of_enormous_targets(cli: Any, tmp_path: Path) -> None:
    pl.DataFrame({"x": [float(i) for i in range(60)], "y": [(i - 30) * 5e306 for i in range(60)]}).write_csv("big.csv")
    report = cli("train", "big.csv", "-t", "y", *QUICK, "--json").json
    assert 0 < report["scores"]["test"]["rmse"] < 1.8e308
    fits(cli("evaluate", "big.chainrule", "big.csv").out)


def test_quiet_is_silent(cli: Any, models: Any, tmp_path: Path) -> None:
    for command in (
        ["train", PENGUINS, "-t", "species", *QUICK, "--quiet"],
        ["train", PENGUINS, "-t", "species", *QUICK, "-q"],
        ["predict", models["species"], PENGUINS, "--out", "p.csv", "--quiet"],
        ["evaluate", models["species"], PENGUINS, "--quiet"],
    ):
        result = cli(*command)
        assert (result.code, result.out, result.err) == (0, "", "")
    assert {p.name for p in tmp_path.iterdir()} == {"penguins.chainrule", "p.csv"}


def test_quiet_and_json_give_json(cli: Any) -> None:
    assert cli("train", PENGUINS, "-t", "species", *QUICK, "--quiet", "--json").json["target"] == "species"


def test_predict_to_the_screen_is_csv(cli: Any, models: Any) -> None:
    result = cli("predict", models["body_mass_g"], PENGUINS, "--keep", "species,island")
    assert result.code == 0
    assert result.err == ""
    lines = result.out.splitlines()
    assert lines[0] == "species,island,prediction"
    assert len(lines) == 345
    assert lines[1].startswith("Adelie,Torgersen,")


@pytest.mark.parametrize("name", ["p.csv", "P.CSV", "p.parquet"])
def test_predict_writes_files(name: str, cli: Any, models: Any, tmp_path: Path) -> None:
    result = cli("predict", models["species"], PENGUINS, "--out", name, "--keep", "year")
    assert (result.code, result.out) == (0, f"344 predictions written to {name}\n")
    expected = predict_table(load(models["species"]), read_table(PENGUINS), keep=["year"])
    written = pl.read_parquet(name) if name.endswith("parquet") else read_table(name)
    assert written.columns == expected.columns
    assert written["prediction"].to_list() == expected["prediction"].to_list()
    assert written["probability_Gentoo"].to_list() == pytest.approx(expected["probability_Gentoo"].to_list())
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert cli("predict", models["species"], PENGUINS, "--out", name).code == 0  # results may be written again


def test_predict_never_writes_over_its_inputs(cli: Any, models: Any, tmp_path: Path) -> None:
    copy = tmp_path / "in.csv"
    copy.write_bytes(PENGUINS.read_bytes())
    (tmp_path / "link.csv").symlink_to(copy)
    model = tmp_path / "model.csv"
    model.write_bytes(models["species"].read_bytes())
    for out in ("in.csv", "./in.csv", "link.csv", "model.csv"):
        result = cli("predict", model, copy, "--out", out)
        assert result.code == 1
        assert "is an input of this command; give another file to --out, so that nothing is lost" in result.err
    assert copy.read_bytes() == PENGUINS.read_bytes()
    assert model.read_bytes() == models["species"].read_bytes()


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("p.xlsx", "p.xlsx: predictions are written as .csv or .parquet, not as .xlsx"),
        ("p", "predictions are written as .csv or .parquet, not as a file of no ending"),
        ("nowhere/p.csv", "cannot write nowhere/p.csv: there is no folder nowhere"),
        ("folder.csv", "cannot write folder.csv: it is a folder; give a file name, such as predictions.csv"),
    ],
)
def test_places_that_predictions_cannot_go(out: str, message: str, cli: Any, models: Any, tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    result = cli("predict", models["species"], PENGUINS, "--out", out)
    assert (result.code, result.out) == (1, "")
    assert message in result.err
    assert [p.name for p in tmp_path.iterdir()] == ["folder.csv"]


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("nowhere/m", "the folder nowhere of --out does not exist"),
        (".", "it is a folder; give a file name, such as model.chainrule"),
        ("notes.txt", "notes.txt exists and is not a chainrule model; it is left as it is"),
    ],
)
def test_places_that_a_model_cannot_go(out: str, message: str, cli: Any, tmp_path: Path) -> None:
    """Said before the training, not after it."""
    (tmp_path / "notes.txt").write_text("do not lose me")
    result = cli("train", PENGUINS, "-t", "species", "--epochs", "100000", "--patience", "100000", "--out", out)
    assert (result.code, result.out) == (1, "")
    assert message in result.err
    assert (tmp_path / "notes.txt").read_text() == "do not lose me"


def test_a_model_is_trained_over(cli: Any, tmp_path: Path) -> None:
    for seed in ("0", "1"):
        assert cli("train", PENGUINS, "-t", "species", *QUICK, "-q", "--seed", seed, "--out", "m").code == 0
    assert load(tmp_path / "m").about["seed"] == 1


def test_a_place_with_spaces_can_be_pasted(cli: Any) -> None:
    result = cli("train", PENGUINS, "-t", "species", *QUICK, "--out", "my model.chainrule")
    assert "chainrule predict 'my model.chainrule' NEW_TABLE.csv" in result.out


def test_same_command_same_bytes(cli: Any, tmp_path: Path) -> None:
    for name in ("a", "b"):
        cli("train", PENGUINS, "-t", "species", *QUICK, "-q", "--out", name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert json.loads(json.dumps(load(tmp_path / "a").about))["source"] == "penguins.csv"


def test_a_model_that_was_replaced_is_said(cli: Any, tmp_path: Path) -> None:
    command = ["train", PENGUINS, "-t", "species", *QUICK]
    assert "replaced" not in cli(*command).out
    again = cli(*command)
    fits(again.out)
    assert "saved penguins.chainrule (replaced an older model) to use it" in flat(again.out)
    assert cli(*command, "--json").json["replaced"] is True


@pytest.mark.skipif(os.name == "nt", reason="symbolic links")
def test_a_symbolic_link_is_followed(cli: Any, tmp_path: Path, models: Any) -> None:
    (tmp_path / "there").mkdir()
    for link, target in (("m", "there/real.chainrule"), ("p.csv", "there/real.csv")):
        (tmp_path / link).symlink_to(target)
    assert cli("train", PENGUINS, "-t", "species", *QUICK, "--out", "m", "-q").code == 0
    assert cli("predict", "m", PENGUINS, "--out", "p.csv", "-q").code == 0
    assert (tmp_path / "m").is_symlink()
    assert (tmp_path / "p.csv").is_symlink()
    assert load(tmp_path / "there/real.chainrule").about["source"] == "penguins.csv"
    assert (tmp_path / "there/real.csv").read_text().startswith("prediction,")


def test_keep_all_of_an_earlier_output(cli: Any, models: Any) -> None:
    command = ["predict", models["sex"]]
    assert cli(*command, PENGUINS, "--keep", "all", "--out", "first.csv", "-q").code == 0
    again = cli(*command, "first.csv", "--keep", "all")
    assert again.code == 0
    assert again.out.splitlines()[0].endswith(",year,prediction,probability_female,probability_male")
    assert flat(again.err) == (
        "Note: not kept, since the result has columns of these names: prediction, probability_female, probability_male "
    )
    assert cli(*command, "first.csv", "--keep", "all", "-q").err == ""


def test_warnings_stand_before_the_scores(cli: Any) -> None:
    generator = random.Random(3)
    rows = [(i, generator.random(), "abc"[i % 3]) for i in range(90)]
    columns = zip(*rows, strict=True)
    frame = pl.DataFrame(dict(zip(("row", "x", "y"), columns, strict=True)))
    frame = frame.with_columns(copy=pl.col("y"), copy2=pl.col("y"), copy3=pl.col("y"), empty=pl.lit(None))
    frame.write_csv("bad.csv")
    result = cli("train", "bad.csv", "-t", "y", *QUICK)
    fits(result.out)
    before, _, _ = result.out.partition("accuracy")
    text = flat(before)
    assert "warning copy may give y away: it has the same values with other names" in text
    assert re.search(r"and \d more: chainrule inspect bad\.csv --target y $", text)
    assert "empty has no value" not in text  # left out, as said above
    found = cli("train", "bad.csv", "-t", "y", *QUICK, "--json").json["findings"]
    assert {f["column"] for f in found} == {"row", "copy", "copy2", "copy3", "empty"}
    ignored = cli("train", "bad.csv", "-t", "y", *QUICK, "--ignore", "row,copy,copy2,copy3,empty", "--json").json
    assert ignored["findings"] == []


def test_no_better_than_guessing_is_said(cli: Any) -> None:
    generator = random.Random(4)
    data = {"x": [generator.random() for _ in range(200)], "y": [generator.choice("aaab") for _ in range(200)]}
    pl.DataFrame(data).write_csv("noise.csv")
    result = cli("train", "noise.csv", "-t", "y", *QUICK)
    fits(result.out)
    assert re.search(r"warning no better than guessing: [\d.]+ % of the rows are right, and alw", flat(result.out))
    assert cli("train", "noise.csv", "-t", "y", *QUICK, "--json").json["no_better_than_guessing"] is True
    assert "no better than guessing" in cli("evaluate", "noise.chainrule", "noise.csv").out


def scored(names: list[str], confusion: list[list[int]]) -> ClassificationScore:
    rows = [sum(row) for row in confusion]
    shares: list[float | None] = [0.5] * len(names)
    return ClassificationScore(
        sum(rows), 0.5, Interval(0.4, 0.6), 0.1, names[0], 1.0, 0.5, names, rows, shares, shares, confusion
    )


def test_classes_of_long_names_are_numbered() -> None:
    names = ["a very long name of a class, the first", "a very long name of a class, the second", "short"]
    lines = class_text(scored(names, [[3, 1, 0], [0, 4, 0], [2, 0, 2]]))
    fits("\n".join(lines))
    assert re.fullmatch(r"class +rows +precision +recall +→1 +→2 +→3", lines[0])
    assert re.fullmatch(r"3 short +4 +0\.500 +0\.500 +2 +0 +2", lines[-2])
    assert "1 a very long name of a class, the first" in flat(" ".join(line[:18] for line in lines[1:4]))


def test_many_classes_say_what_is_confused() -> None:
    confusion = [[9 if i == j else 0 for j in range(20)] for i in range(20)]
    confusion[3][5], confusion[4][0] = 7, 8
    text = "\n".join(class_text(scored([f"k{i}" for i in range(20)], confusion)))
    fits(text)
    assert "→" not in text
    assert "most confused k4 taken for k0: 8 rows k3 taken for k5: 7 rows" in flat(text)


def test_column_names_are_shown_in_full_by_inspect(cli: Any) -> None:
    names = [f"measurement of the outer diameter, {side}" for side in ("left", "right")]
    pl.DataFrame({name: [1.5, 2.5, 3.5] for name in names}).write_csv("long.csv")
    result = cli("inspect", "long.csv")
    fits(result.out)
    shown = flat(" ".join(line[:22] for line in result.out.splitlines()[3:]))
    for name in names:
        assert name in shown
