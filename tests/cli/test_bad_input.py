"""Bad input, by command line and by Python: a clear error or the documented result, never a silent model."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from chainrule.cli import main
from chainrule.errors import ChainruleError
from chainrule.files import load
from chainrule.table import read_table
from chainrule.workflow import TrainOptions, evaluate, predict, train

PENGUINS = Path(__file__).parents[2] / "examples" / "penguins.csv"
QUICK = ["--hidden", "4", "--epochs", "3"]
OPTIONS = TrainOptions(hidden=(4,), epochs=3)
Make = Callable[[Any], Any]


def raw(content: bytes | str, name: str = "t.csv") -> Make:
    def make(table: Any) -> Path:
        path = Path(name)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return make


def lines(changed: dict[int, str], **more: Any) -> Make:
    return lambda table: table(changed, **more)


GOOD = "".join(f"{i / 7:.3f},{'red' if i % 3 else 'blue'},{i % 2}\n" for i in range(60))
REGRESSION = {i: f"{i},red,{i * 1.5}" for i in range(1, 61)}

# name: (the table, the message of the error with which train ends)
REFUSED: dict[str, tuple[Make, str]] = {
    "empty file": (raw(""), r"t\.csv is empty\. Give a table with a header line and at least one row"),
    "blank file": (raw(" \n\r\n  \n"), r"t\.csv is empty"),
    "header only": (raw("x,color,y\n"), r"t\.csv has a header but no rows\. Give a table with at least one row"),
    "one row": (raw("x,color,y\n1,red,0\n"), "one class only"),
    "one row, a number": (raw("x,y\n1,0.5\n"), "is 0.5 in every row, so there is nothing to learn"),
    "two rows": (raw("x,y\n1,a\n2,b\n"), r"too few for a test share of 0\.2: no row would be in it\. .*--test 0"),
    "one class": (lines({i: f"{i},red,1" for i in range(1, 61)}), "'y' .*(one class only|is 1 in every row)"),
    "target absent": (
        lambda t: t(header="x,color,yy"),
        r"no column 'y' to be the target\. Did you mean 'yy'\? The col",
    ),
    "target only": (raw("y\n1\n0\n1\n"), "'y' is the only column. A network needs at least one other column"),
    "ragged row": (lines({5: "1,red,1,9"}), r"t\.csv, line 6 .*4 .*3"),
    "short row": (lines({5: "1,red"}), r"t\.csv, line 6 .*2 .*3"),
    "open quote": (lines({5: '1,"red,1'}), r"t\.csv, the record that begins in line 6: a quote is opened and never cl"),
    "latin-1": (
        raw("x,color,y\n1,größe,0\n".encode("latin-1")),
        r"line 2 holds the byte 0xF6, which is not UTF-8\. Save",
    ),
    "utf-16": (raw("x,y\n1,0\n".encode("utf-16")), r"t\.csv is encoded as UTF-16\. Save it as UTF-8"),
    "NUL bytes": (raw("x,color,y\n" + GOOD + "1,r\0d,1\n"), r"t\.csv, line 62 holds a NUL byte"),
    "duplicate names": (
        lambda t: t(header="x,x,y"),
        r"columns 1 and 2 are both named 'x'\. Give each column a name of",
    ),
    "empty name": (lambda t: t(header="x,,y"), r"column 2 of 3 has an empty name\. Give it a name"),
    "infinite feature": (
        lines({7: "inf,red,1"}),
        r"t\.csv: column 'x' is infinite in row 7 \(data rows, the header not",
    ),
    "minus infinity": (lines({60: "-Infinity,red,1"}), r"column 'x' is infinite in row 60"),
    "infinite target": (
        lines({**REGRESSION, 9: "1,red,inf"}),
        r"target 'y' is infinite in row 9 .*Correct these cells",
    ),
    "no target at all": (lines({i: f"{i},red," for i in range(1, 61)}), "target 'y' has no value in any row"),
    "constant target": (
        lines({i: f"{i},red,3.5" for i in range(1, 61)}),
        "'y' is 3.5 in every row, so there is nothing",
    ),
    "constant features": (
        lines({i: f"1,red,{i % 2}" for i in range(1, 61)}),
        r"no column to learn from: x is always 1 an",
    ),
    "empty features": (
        lines({i: f",,{i % 2}" for i in range(1, 61)}),
        r"no column to learn from: x is missing in every",
    ),
    "texts all different": (
        lines({i: f"{i},red,t{i}" for i in range(1, 61)}),
        "a different value in every row: it names",
    ),
    "an Excel file": (raw(b"PK\x03\x04" + bytes(99)), "an Excel workbook or a zip archive"),
    "a png": (raw(b"\x89PNG\r\n\x1a\n" + bytes(99), "t.png"), "has the ending '.png', so its format is unknown"),
    "garbage parquet": (
        raw(b"PAR1" + b"garbage" * 30, "t.parquet"),
        r"t\.parquet is a damaged Parquet file .*Copy or exp",
    ),
    "csv called parquet": (
        raw("x,y\n1,0\n", "t.parquet"),
        r"t\.parquet is not a Parquet file: .*If it is text, rename",
    ),
    "no such file": (lambda t: Path("tt.csv"), r"There is no file tt\.csv"),
    "a folder": (lambda t: Path("."), "is a folder, not a table"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_tables_that_train_refuses(kind: str, cli: Any, table: Any, tmp_path: Path) -> None:
    make, message = REFUSED[kind]
    path = make(table)
    before = {p.name for p in tmp_path.iterdir()}
    result = cli("train", path, "--target", "y", *QUICK)
    assert (result.code, result.out) == (1, "")
    assert re.search(message, result.err), result.err
    assert result.err.startswith("Error: ")
    assert result.err.count("\n") == 1, "one line"
    assert "Traceback" not in result.err
    assert "chainrule itself failed" not in result.err
    assert {p.name for p in tmp_path.iterdir()} == before, "no model, and nothing else, is written"
    with pytest.raises(ChainruleError) as caught:
        train(path, "y", OPTIONS)
    assert f"Error: {caught.value}\n" == result.err


def x_of(path: Path, column: str) -> np.ndarray[Any, Any]:
    """Return the encoded columns that a table's column became, for all rows."""
    model = load("t.chainrule")
    assert model.table is not None
    places = [i for i, name in enumerate(model.table.feature_names) if name.startswith(column)]
    return model.table.transform(read_table(path))[:, places]


def nan_cells(path: Path) -> None:
    assert x_of(path, "x").shape[1] == 2
    assert x_of(path, "x")[[2, 4, 6]].tolist() == [[0.0, 1.0]] * 3


def huge_cells(path: Path) -> None:
    assert np.abs(x_of(path, "x")).max() <= 3.0
    assert x_of(path, "x")[4, 0] == pytest.approx(3.0)


def huge_target(path: Path) -> None:
    said = predict(load("t.chainrule"), read_table(path))["prediction"].to_numpy()
    assert np.isfinite(said).all()
    assert said.max() <= 1e38


def int64_max(path: Path) -> None:
    assert load("t.chainrule").target.high == pytest.approx(2.0**63, rel=1e-3)  # type: ignore[union-attr]


def dropped(**reasons: str) -> Callable[[Path], None]:
    def check(path: Path) -> None:
        table = load("t.chainrule").table
        assert table is not None
        for name, reason in reasons.items():
            assert reason in table.dropped[name]

    return check


def named(*names: str) -> Callable[[Path], None]:
    def check(path: Path) -> None:
        table = load("t.chainrule").table
        assert table is not None
        assert list(names) == table.feature_names

    return check


def unlabeled(path: Path) -> None:
    assert predict(load("t.chainrule"), read_table(path)).height == 60
    assert evaluate(load("t.chainrule"), path).unlabeled == 2


def parquet(frame: dict[str, Any]) -> Make:
    def make(table: Any) -> Path:
        pl.DataFrame(frame).write_parquet("t.parquet")
        return Path("t.parquet")

    return make


X = [((7 * i) % 60) / 10 for i in range(60)]
Y = [i % 2 for i in range(60)]

# name: (the table, what is documented to come of it)
ACCEPTED: dict[str, tuple[Make, Callable[[Path], None]]] = {
    "NaN cells": (lines({i: f"NaN,{c},{i % 2}" for i, c in ((3, "red"), (5, "red"), (7, "blue"))}), nan_cells),
    "1e38 feature": (lines({5: "1e38,red,1", 6: "-1e38,red,0"}), huge_cells),
    "1e308 feature": (lines({5: "1e308,red,1", 6: "-1e308,red,0"}), huge_cells),
    "1e38 target": (lines({**REGRESSION, 9: "1,red,1e38", 10: "1,red,-1e38"}), huge_target),
    "int64 max": (lines({i: f"{i},red,{2**63 - 1 - (i - 1) * 10**15}" for i in range(1, 61)}), int64_max),
    "missing column": (
        lines({i: f"{i},,{i % 2}" for i in range(1, 61)}),
        dropped(color="missing in every training row"),
    ),
    "constant column": (lines({i: f"{i},red,{i % 2}" for i in range(1, 61)}), dropped(color="always 'red'")),
    "missing labels": (lines({3: "1,red,", 9: "1,red,NA"}), unlabeled),
    "long cells": (
        lines({i: f"{i},{'ab'[i % 2] * 10_000},{i % 2}" for i in range(1, 61)}),
        named("x", f"color = {'b' * 10_000}"),
    ),
    "awkward names": (
        parquet({"größe 🐧": X, "a.b": X, "c=d": X, "line\nend": X, "{e}": X, "y": Y}),
        named("größe 🐧", "a.b", "c=d", "line\nend", "{e}"),
    ),
    "names like parts of a network": (
        parquet({"prediction": X, "hidden1.weight": X, "parameters": X, "n": X, "y": Y}),
        named("prediction", "hidden1.weight", "parameters", "n"),
    ),
    "byte order mark": (raw(b"\xef\xbb\xbfx,color,y\n" + GOOD.encode()), named("x", "color = red")),
    "semicolons": (raw(("x,color,y\n" + GOOD).replace(",", ";")), named("x", "color = red")),
    "carriage returns": (raw(("x,color,y\n" + GOOD).replace("\n", "\r\n")), named("x", "color = red")),
}


@pytest.mark.parametrize("kind", ACCEPTED)
def test_tables_that_train_takes(kind: str, cli: Any, table: Any) -> None:
    make, check = ACCEPTED[kind]
    path = make(table)
    result = cli("train", path, "--target", "y", *QUICK)
    assert (result.code, result.err) == (0, "")
    assert "saved          t.chainrule" in result.out
    assert max(map(len, result.out.splitlines())) <= 80
    check(path)
    assert load("t.chainrule").predict(load("t.chainrule").table.transform(read_table(path))).shape[0] == 60  # type: ignore[union-attr]
    again = train(path, "y", OPTIONS).model
    assert all(np.array_equal(again.parameters[k], v) for k, v in load("t.chainrule").parameters.items())
    assert cli("predict", "t.chainrule", path, "--out", "p.csv", "-q").code == 0
    assert cli("evaluate", "t.chainrule", path, "-q").code == 0
    assert cli("inspect", path, "-t", "y").code == 0


def changed(edit: Callable[[pl.DataFrame], pl.DataFrame]) -> Callable[[], Path]:
    def make() -> Path:
        edit(read_table(PENGUINS)).write_csv("new.csv")
        return Path("new.csv")

    return make


def written(content: bytes, name: str = "new.csv") -> Callable[[], Path]:
    def make() -> Path:
        Path(name).write_bytes(content)
        return Path(name)

    return make


NEW_REFUSED: dict[str, tuple[Callable[[], Path], str]] = {
    "missing column": (
        changed(lambda f: f.drop("island")),
        r"new\.csv lacks 1 column that the model was trained on: 'isla",
    ),
    "renamed column": (changed(lambda f: f.rename({"island": "Islands"})), "It has 'Islands' for 'island': rename it"),
    "infinite cell": (
        changed(lambda f: f.with_columns(year=pl.when(pl.int_range(344) == 4).then(float("inf")).otherwise("year"))),
        r"new\.csv: column 'year' is infinite in row 5 ",
    ),
    "text for a number": (
        changed(lambda f: f.with_columns(year=pl.when(pl.int_range(344) == 4).then(pl.lit("?!")).otherwise("year"))),
        r"new\.csv: column 'year' was a number in training; now row 5 .* holds the text '\?!'",
    ),
    "empty": (written(b""), r"new\.csv is empty"),
    "header only": (changed(lambda f: f.clear()), r"new\.csv has a header but no rows"),
    "ragged": (written(b"a,b\n1,2,3\n"), r"new\.csv, line 2 "),
    "garbage parquet": (written(b"PAR1 nothing", "new.parquet"), r"new\.parquet is a damaged Parquet file"),
}


@pytest.mark.parametrize("command", ["predict", "evaluate"])
@pytest.mark.parametrize("kind", NEW_REFUSED)
def test_tables_that_predict_and_evaluate_refuse(kind: str, command: str, cli: Any, models: Any) -> None:
    make, message = NEW_REFUSED[kind]
    result = cli(command, models["species"], make())
    assert (result.code, result.out) == (1, "")
    assert re.search(message, result.err), result.err
    assert result.err.count("\n") == 1
    assert "Traceback" not in result.err


def test_columns_in_another_order_with_unseen_categories(cli: Any, models: Any) -> None:
    frame = read_table(PENGUINS)
    frame.select(frame.columns[::-1]).write_csv("reversed.csv")
    frame.with_columns(island=pl.lit("Atlantis")).write_csv("unseen.csv")
    expected, reversed_, unseen = (
        cli("predict", models["species"], p) for p in (PENGUINS, "reversed.csv", "unseen.csv")
    )
    assert reversed_ == expected
    assert unseen.code == 0
    assert unseen != expected
    frame.with_columns(island=pl.lit("Lemuria")).write_csv("unseen.csv")
    assert cli("predict", models["species"], "unseen.csv") == unseen


def test_evaluate_with_an_unseen_class(cli: Any, models: Any) -> None:
    frame = read_table(PENGUINS)
    species = pl.when(pl.int_range(344) == 9).then(pl.lit("Emperor")).when(pl.int_range(344) > 3).then("species")
    frame.with_columns(species=species).write_csv("new.csv")
    result = cli("evaluate", models["species"], "new.csv")
    assert (result.code, result.out) == (1, "")
    assert "new.csv: 'species' is 'Emperor' in row 10 (data rows, the header not counted), a class that" in result.err


BAD_MODELS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "changed": (
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        "bad.chainrule was changed or damaged after it was saved",
    ),
    "truncated": (lambda data: data[: len(data) // 2], "bad.chainrule is truncated or damaged"),
    "empty": (lambda data: b"", "bad.chainrule is empty; the model has to be saved again"),
    "csv": (lambda data: b"a,b\n1,2\n", "bad.chainrule is not a chainrule model file"),
    "pickle": (lambda data: b"\x80\x04\x95" + bytes(40), "bad.chainrule is not a chainrule model file"),
    "newer": (
        lambda data: data.replace(b'"chainrule.version":"1"', b'"chainrule.version":"9"'),
        "bad.chainrule was saved by a newer chainrule (format 9, this one reads up to 1); upgrade: pip",
    ),
}


@pytest.mark.parametrize("command", ["predict", "evaluate"])
@pytest.mark.parametrize("kind", BAD_MODELS)
def test_bad_model_files(kind: str, command: str, cli: Any, models: Any) -> None:
    edit, message = BAD_MODELS[kind]
    good = models["species"].read_bytes()
    bad = edit(good)
    assert bad != good
    Path("bad.chainrule").write_bytes(bad)
    result = cli(command, "bad.chainrule", PENGUINS)
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith(f"Error: {message}")
    assert result.err.count("\n") == 1
    with pytest.raises(ChainruleError) as caught:
        load("bad.chainrule")
    assert result.err == f"Error: {caught.value}\n"


def test_no_model_file(cli: Any) -> None:
    result = cli("predict", "nothing.chainrule", PENGUINS)
    assert (result.code, result.err) == (1, "Error: there is no file nothing.chainrule\n")


def test_model_and_table_swapped(cli: Any, models: Any) -> None:
    result = cli("predict", PENGUINS, models["species"])
    assert result.code == 1
    assert "is not a chainrule model file" in result.err


def test_a_learning_rate_that_diverges(cli: Any, tmp_path: Path) -> None:
    result = cli("train", PENGUINS, "-t", "species", "--optimizer", "sgd", "--lr", "1e30", "--epochs", "3")
    assert (result.code, result.out) == (1, "")
    message = (
        r"Error: the training diverged at step \d+, epoch \d: \w+ in layer '\w+' gave .*; try a smaller learning rate"
    )
    assert re.match(message, result.err), result.err
    assert "No model was saved" in result.err
    assert list(tmp_path.iterdir()) == []


def test_a_prediction_column_among_the_inputs(cli: Any) -> None:
    frame = pl.DataFrame({"prediction": X, "y": Y})
    frame.write_csv("t.csv")
    assert cli("train", "t.csv", "-t", "y", *QUICK, "-q").code == 0
    assert cli("predict", "t.chainrule", "t.csv").out.startswith("prediction,probability_0,probability_1\n")
    result = cli("predict", "t.chainrule", "t.csv", "--keep", "prediction")
    assert result.code == 1
    assert "the kept column 'prediction' has the name of a column of the result; rename it in t.csv" in result.err
    assert cli("train", "t.csv", "-t", "prediction", *QUICK, "-q").code == 0


def test_inspect_reports_what_train_refuses(cli: Any, table: Any) -> None:
    """A table that can be read is shown with its findings; one that cannot be read ends with the reader's error."""
    found = cli("inspect", table({7: "inf,red,1"}), "-t", "y")
    assert (found.code, found.err) == (1, "")
    assert "infinite in row 7" in found.out
    result = cli("inspect", table(header="x,x,y"), "-t", "y")
    assert (result.code, result.out) == (1, "")
    assert "are both named 'x'" in result.err
    assert "Did you mean 'y'" in cli("inspect", table(), "-t", "Y").err


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("surprise"), OSError(5, "Input/output error")])
def test_whatever_happens_there_is_one_line(error: Exception, cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **more: Any) -> Any:
        raise error

    monkeypatch.setattr("chainrule.table.read_table", fail)
    result = cli("inspect", PENGUINS)
    assert (result.code, result.out) == (1, "")
    assert result.err.count("\n") == 1
    said = {
        MemoryError: "Error: the memory of this machine is not enough for this table or network",
        RuntimeError: "Error: chainrule itself failed (RuntimeError: surprise). Please report it, with what --debug",
        OSError: "Error: [Errno 5] Input/output error",
    }
    assert result.err.startswith(said[type(error)])
    with pytest.raises(type(error)):
        cli("inspect", PENGUINS, "--debug")


@pytest.mark.parametrize(
    "place", ["chainrule.table.read_table", "typer.core.TyperGroup.make_context", "chainrule.cli.app.app"]
)
def test_ctrl_c_outside_the_training(
    place: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """While a table is read, while arguments are read, and before."""

    def stop(*arguments: Any, **more: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(place, stop)
    monkeypatch.setattr("sys.argv", ["chainrule", "inspect", str(PENGUINS)])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 130
    assert capsys.readouterr() == ("", "interrupted\n")
