"""One table end to end: what is learned, from which rows, with which options, and the same bits every time."""

from __future__ import annotations

import os
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from rich.console import Console
from sklearn import metrics as sk

import chainrule as cr
from chainrule.errors import TableError, TraceError, TrainingError
from chainrule.files import load, save
from chainrule.learn.progress import Report, show_progress
from chainrule.table import TargetEncoder, Task, read_table
from chainrule.workflow import ClassificationScore, RegressionScore, Trained, TrainOptions, predict, train
from chainrule.workflow.score import score_classes, score_numbers
from chainrule.workflow.split import split_rows

PENGUINS = Path(__file__).parents[2] / "examples" / "penguins.csv"
SMALL = TrainOptions(hidden=(8,), epochs=8, learning_rate=0.02, validation=0.2)
BATCHED = TrainOptions(hidden=(16,), epochs=25, learning_rate=0.02, batch_size=32, validation=0.2)


@pytest.fixture(scope="module")
def penguins() -> pl.DataFrame:
    return read_table(PENGUINS)


@pytest.fixture(scope="module")
def species() -> Trained:
    return train(PENGUINS, "species", BATCHED)


@pytest.fixture(scope="module")
def sex() -> Trained:
    return train(PENGUINS, "sex", BATCHED)


@pytest.fixture(scope="module")
def mass() -> Trained:
    return train(
        PENGUINS,
        "body_mass_g",
        BATCHED,
    )


def bits(trained: Trained) -> dict[str, bytes]:
    return {k: v.tobytes() for k, v in trained.model.parameters.items()}


def parts_of(trained: Trained, frame: pl.DataFrame, target: str) -> Any:
    """Return the row numbers of the three parts, found again by the split alone."""
    labeled = np.flatnonzero(frame[target].is_not_null().to_numpy())
    values = frame[target].gather(labeled)
    labels = None
    if trained.task.is_classification:
        labels = np.unique(np.array(values.to_list()), return_inverse=True)[1]
    options = trained.model.about["options"]
    split = split_rows(len(labeled), labels, options["validation"] or 0.0, options["test"], options["seed"])
    return {name: labeled[getattr(split, name)] for name in ("training", "validation", "test")}


def test_three_classes_are_learned(species: Trained) -> None:
    score = species.scores["test"]
    assert isinstance(score, ClassificationScore)
    assert species.task.kind == "multiclass"
    assert species.rows == {"training": 220, "validation": 55, "test": 69}
    assert score.classes == ["Adelie", "Chinstrap", "Gentoo"]
    assert score.accuracy > 0.9
    assert score.guess == pytest.approx(31 / 69)
    assert score.interval.low < score.accuracy < score.interval.high or score.accuracy == 1.0
    assert species.gap == species.scores["training"].accuracy - score.accuracy  # type: ignore[union-attr]
    assert species.model.loss == "softmax_cross_entropy"
    assert species.unlabeled == 0
    assert species.columns == 8


def test_two_classes_with_missing_labels(sex: Trained) -> None:
    score = sex.scores["test"]
    assert isinstance(score, ClassificationScore)
    assert sex.task.kind == "binary"
    assert sex.unlabeled == 11
    assert sum(sex.rows.values()) == 344 - 11
    assert score.accuracy > 0.8
    assert sex.model.loss == "binary_cross_entropy"
    assert sex.model.about["layers"][-1] == 1


def test_a_regression(mass: Trained) -> None:
    score = mass.scores["test"]
    assert isinstance(score, RegressionScore)
    assert mass.task.kind == "regression"
    assert mass.unlabeled == 2
    assert score.rmse < 0.6 * score.guess
    assert score.interval is not None
    assert score.interval.low < score.rmse < score.interval.high
    assert mass.gap == score.rmse - mass.scores["training"].rmse  # type: ignore[union-attr]
    assert mass.model.loss == "squared_error"


@pytest.mark.parametrize("part", ["training", "validation", "test"])
def test_classification_scores_are_scikit_learns(part: str, species: Trained, penguins: pl.DataFrame) -> None:
    rows = parts_of(species, penguins, "species")[part]
    result = predict(species.model, penguins[rows.tolist()])
    truth = penguins["species"].gather(rows).to_list()
    said = result["prediction"].to_list()
    classes = ["Adelie", "Chinstrap", "Gentoo"]
    p = result.select([f"probability_{c}" for c in classes]).to_numpy()
    score = species.scores[part]
    assert isinstance(score, ClassificationScore)
    assert score.rows == len(rows)
    assert score.accuracy == pytest.approx(sk.accuracy_score(truth, said))
    p64 = p / p.sum(axis=1, keepdims=True)
    assert score.log_loss == pytest.approx(sk.log_loss(truth, p64, labels=classes), rel=1e-5)
    assert score.auc == pytest.approx(sk.roc_auc_score(truth, p64, multi_class="ovr", labels=classes), abs=1e-9)
    assert score.confusion == sk.confusion_matrix(truth, said, labels=classes).tolist()
    assert score.recall == pytest.approx(sk.recall_score(truth, said, labels=classes, average=None).tolist())
    assert score.precision == pytest.approx(sk.precision_score(truth, said, labels=classes, average=None).tolist())


def test_binary_scores_are_scikit_learns(sex: Trained, penguins: pl.DataFrame) -> None:
    rows = parts_of(sex, penguins, "sex")["test"]
    result = predict(sex.model, penguins[rows.tolist()])
    truth = np.array(penguins["sex"].gather(rows).to_list()) == "male"
    p = result["probability_male"].to_numpy()
    score = sex.scores["test"]
    assert isinstance(score, ClassificationScore)
    assert score.auc == pytest.approx(sk.roc_auc_score(truth, p))
    assert score.log_loss == pytest.approx(sk.log_loss(truth, p), rel=1e-5)
    assert np.array_equal(result["prediction"].to_numpy() == "male", p > 0.5)


def test_regression_scores_are_scikit_learns(mass: Trained, penguins: pl.DataFrame) -> None:
    rows = parts_of(mass, penguins, "body_mass_g")["test"]
    said = predict(mass.model, penguins[rows.tolist()])["prediction"].to_numpy()
    truth = penguins["body_mass_g"].gather(rows).to_numpy().astype(float)
    score = mass.scores["test"]
    assert isinstance(score, RegressionScore)
    # the truth went through float32
    assert score.rmse == pytest.approx(sk.root_mean_squared_error(truth, said), rel=1e-5)
    assert score.mae == pytest.approx(sk.mean_absolute_error(truth, said), rel=1e-5)
    assert score.r2 == pytest.approx(sk.r2_score(truth, said), rel=1e-4)
    training = parts_of(mass, penguins, "body_mass_g")["training"]
    mean = penguins["body_mass_g"].gather(training).to_numpy().mean()
    assert score.guess_value == pytest.approx(mean)
    assert score.guess == pytest.approx(sk.root_mean_squared_error(truth, np.full(len(truth), mean)), rel=1e-5)


def test_encoders_see_training_rows_only(penguins: pl.DataFrame) -> None:
    before = train(penguins, "species", SMALL)
    parts = parts_of(before, penguins, "species")
    far = penguins.with_row_index().with_columns(
        bill_length_mm=pl.when(pl.col("index").is_in(parts["test"].tolist())).then(1e6).otherwise("bill_length_mm"),
        island=pl.when(pl.col("index").is_in(parts["test"].tolist())).then(pl.lit("Atlantis")).otherwise("island"),
    )
    after = train(far.drop("index"), "species", SMALL)
    assert before.model.table == after.model.table
    assert bits(before) == bits(after)
    assert before.scores["validation"] == after.scores["validation"]
    assert before.scores["test"] != after.scores["test"]


def test_validation_rows_are_not_fitted_either(penguins: pl.DataFrame) -> None:
    before = train(penguins, "species", SMALL)
    rows = parts_of(before, penguins, "species")["validation"].tolist()
    far = penguins.with_row_index().with_columns(
        body_mass_g=pl.when(pl.col("index").is_in(rows)).then(10**9).otherwise("body_mass_g")
    )
    after = train(far.drop("index"), "species", SMALL)
    assert before.model.table == after.model.table
    assert before.run.history[0]["loss"] == after.run.history[0]["loss"]
    assert before.run.history[0]["validation_loss"] != after.run.history[0]["validation_loss"]


@pytest.mark.parametrize("target", ["body_mass_g", "species"])
def test_test_labels_are_used_for_neither_training_nor_stopping(target: str, penguins: pl.DataFrame) -> None:
    options = TrainOptions(hidden=(8,), epochs=40, patience=2, learning_rate=0.05, batch_size=32, validation=0.2)
    before = train(penguins, target, options)
    parts = parts_of(before, penguins, target)
    values = penguins[target].to_list()
    if target == "body_mass_g":
        for row in parts["test"]:
            values[row] = 3000 + 17 * int(row)
    else:  # two rows trade their labels, so that the split, which goes class by class, stays the same
        for a in parts["test"]:
            for b in parts["test"]:
                if values[a] == values[b]:
                    continue
                traded = list(values)
                traded[a], traded[b] = values[b], values[a]
                again = parts_of(before, penguins.with_columns(pl.Series(target, traded)), target)
                if all(np.array_equal(again[k], parts[k]) for k in parts):
                    values = traded
    changed = penguins.with_columns(pl.Series(target, values))
    assert not changed[target].equals(penguins[target])
    after = train(changed, target, options)
    assert before.run.status == "early"
    assert bits(before) == bits(after)
    assert before.run.history == after.run.history
    assert before.scores["test"] != after.scores["test"]


def test_changed_training_labels_do_change_the_model(penguins: pl.DataFrame) -> None:
    before = train(penguins, "body_mass_g", SMALL)
    row = int(parts_of(before, penguins, "body_mass_g")["training"][0])
    values = penguins["body_mass_g"].to_list()
    values[row] += 1000
    assert bits(before) != bits(train(penguins.with_columns(body_mass_g=pl.Series(values)), "body_mass_g", SMALL))


def test_same_seed_same_file_another_seed_another(tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        trained = train(PENGUINS, "species", TrainOptions(hidden=(4,), epochs=2, dropout=0.2, seed=seed))
        save(trained.model, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()


def test_two_processes_learn_the_same_bits(tmp_path: Path) -> None:
    options = "TrainOptions(hidden=(4,), epochs=2, dropout=0.2, seed=3)"
    code = (
        "import sys; from chainrule.workflow import train, TrainOptions;"
        f"train(sys.argv[1], 'species', {options}).model.save(sys.argv[2])"
    )
    for name in ("1", "2"):
        command = [sys.executable, "-c", code, str(PENGUINS), str(tmp_path / name)]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": name})
    here = train(PENGUINS, "species", TrainOptions(hidden=(4,), epochs=2, dropout=0.2, seed=3))
    here.model.save(tmp_path / "3")
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes() == (tmp_path / "3").read_bytes()


def test_saved_and_loaded_it_predicts_the_same(species: Trained, tmp_path: Path) -> None:
    species.model.save(tmp_path / "m")
    assert predict(load(tmp_path / "m"), PENGUINS_FRAME()).equals(predict(species.model, PENGUINS_FRAME()))


def PENGUINS_FRAME() -> pl.DataFrame:
    return read_table(PENGUINS)


@pytest.mark.parametrize(
    ("target", "loss", "layers"),
    [
        ("species", None, 3),
        ("species", "softmax_cross_entropy", 3),
        ("species", "squared_error", 3),
        ("species", "half_squared_error", 3),
        ("sex", None, 1),
        ("sex", "binary_cross_entropy", 1),
        ("sex", "softmax_cross_entropy", 2),
        ("sex", "squared_error", 1),
        ("sex", "half_squared_error", 1),
        ("body_mass_g", "squared_error", 1),
        ("body_mass_g", "half_squared_error", 1),
    ],
)
def test_every_loss_of_every_task_learns(target: str, loss: str | None, layers: int, tmp_path: Path) -> None:
    trained = train(PENGUINS, target, TrainOptions(hidden=(8,), epochs=12, learning_rate=0.03, loss=loss))
    assert trained.model.about["layers"][-1] == layers
    if loss is not None:
        assert trained.model.loss == loss
    test = trained.scores["test"]
    assert test.accuracy > 1.2 * test.guess if hasattr(test, "accuracy") else test.rmse < 0.8 * test.guess
    trained.model.save(tmp_path / "m")
    result = predict(load(tmp_path / "m"), PENGUINS_FRAME())
    assert result.height == 344
    if target != "body_mass_g":
        p = result.select(pl.selectors.starts_with("probability_")).to_numpy()
        np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
        assert (p >= 0).all()


@pytest.mark.parametrize(
    ("target", "loss", "message"),
    [
        (
            "species",
            "binary_cross_entropy",
            "binary_cross_entropy is for two classes, and 'species' has 3; use softmax_c",
        ),
        (
            "body_mass_g",
            "binary_cross_entropy",
            "is for classes, and 'body_mass_g' is a number; use squared_error or hal",
        ),
        ("body_mass_g", "softmax_cross_entropy", "softmax_cross_entropy is for classes, and 'body_mass_g' is a number"),
        ("body_mass_g", "hinge", "hinge is for classes, and 'body_mass_g' is a number"),
        ("body_mass_g", "poisson", "poisson needs counts, and a table's target is scaled"),
        ("species", "hinge", "hinge gives no probabilities, which the classes of 'species' need; use binary_cross"),
        ("sex", "quantile", "quantile gives no probabilities"),
    ],
)
def test_losses_that_do_not_fit(target: str, loss: str, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        train(PENGUINS, target, TrainOptions(loss=loss))


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"loss": "mse"}, TraceError, "there is no loss 'mse'.*squared_error"),
        ({"optimizer": "adamm"}, (TraceError, TrainingError), "'adamm'.*adam"),
        ({"schedule": "cosin"}, (TraceError, TrainingError), "'cosin'.*cosine"),
        ({"activation": "rulu"}, TraceError, "'rulu'.*relu"),
        ({"hidden": (8, 0)}, TrainingError, "a hidden layer of 0 units is not possible; give sizes such as 64,32"),
        ({"epochs": 0}, TrainingError, "epochs is 0; it must be a whole number of at least 1"),
        ({"patience": 0}, TrainingError, "patience is 0; it must be at least 1"),
        ({"batch_size": -3}, TrainingError, "batch_size is -3; it must be a whole number"),
        ({"test": 1.5}, TrainingError, "the test share is 1.5; it must be at least 0 and less than 1"),
        ({"validation": -1}, TrainingError, "the validation share is -1"),
        ({"dropout": 1.0}, (TraceError, TrainingError), "rate is 1.0; it must be .*at least 0 and less than 1"),
        ({"task": "clustering"}, TableError, "There is no task 'clustering'"),
        ({"task": "regression"}, TableError, "holds texts, and a regression needs numbers"),
        ({"ignore": ("islnd",)}, TableError, "no column 'islnd'. Did you mean 'island'"),
        ({"ignore": ("species",)}, TableError, "'species' is the target and cannot be ignored too"),
        ({"seed": -1}, (TraceError, TrainingError), "seed"),
        ({"learning_rate": float("nan")}, (TraceError, TrainingError), "learning rate"),
        ({"learning_rate": -1.0}, (TraceError, TrainingError), "learning rate"),
    ],
)
def test_options_that_are_wrong(options: dict[str, Any], kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message):
        train(PENGUINS, "species", TrainOptions(**{"epochs": 1, **options}))


def test_ignored_columns_are_not_looked_at(penguins: pl.DataFrame) -> None:
    options = TrainOptions(hidden=(4,), epochs=2, ignore=("island", "year"))
    trained = train(penguins, "species", options)
    assert trained.model.table is not None
    assert not [n for n in trained.model.table.feature_names if n.startswith(("island", "year"))]
    assert trained.model.table.dropped == {"island": "ignored, as asked", "year": "ignored, as asked"}
    changed = penguins.with_columns(island=pl.lit("x"), year=pl.lit(float("inf")))
    assert bits(train(changed, "species", options)) == bits(trained)
    assert predict(trained.model, penguins.drop("island", "year")).height == 344


def test_without_validation_there_is_no_early_stopping() -> None:
    trained = train(PENGUINS, "species", TrainOptions(hidden=(4,), epochs=5, patience=1, validation=0))
    assert trained.rows == {"training": 275, "test": 69}
    assert trained.run.status == "done"
    assert trained.run.epochs == 5
    assert trained.run.best_epoch is None
    assert set(trained.scores) == {"training", "test"}


def test_without_test_rows_there_is_no_test_score() -> None:
    trained = train(PENGUINS, "species", TrainOptions(hidden=(4,), epochs=2, test=0, validation=0.2))
    assert trained.rows == {"training": 275, "validation": 69}
    assert set(trained.scores) == {"training", "validation"}
    assert trained.gap is None
    assert trained.to_dict()["gap"] is None


def test_patience_stops_and_keeps_the_best() -> None:
    trained = train(PENGUINS, "species", TrainOptions(hidden=(8,), epochs=60, patience=1, learning_rate=0.05))
    losses = [entry["validation_loss"] for entry in trained.run.history]
    assert trained.run.status == "early"
    assert trained.run.best_epoch == int(np.argmin(losses)) + 1
    assert trained.run.epochs == trained.run.best_epoch + 1
    assert trained.scores["validation"].log_loss == pytest.approx(min(losses), rel=1e-4)  # type: ignore[union-attr]


def test_another_table_to_test_on(penguins: pl.DataFrame, tmp_path: Path) -> None:
    first, second = penguins[::2], penguins[1::2]
    second.write_csv(tmp_path / "sold.csv")
    trained = train(first, "species", SMALL, test_data=tmp_path / "sold.csv")
    assert trained.rows == {"training": 138, "validation": 34, "test": 172}
    assert trained.test_source == "sold.csv"
    again = train(first, "species", SMALL, test_data=second.drop("year").with_columns(year=pl.lit(2007)))
    assert bits(again) == bits(trained)
    assert again.test_source == "the table"
    score = trained.scores["test"]
    assert isinstance(score, ClassificationScore)
    said = predict(trained.model, second)["prediction"].to_list()
    assert score.accuracy == pytest.approx(sk.accuracy_score(second["species"].to_list(), said))
    shuffled = second.with_columns(pl.col("species").reverse())
    assert bits(train(first, "species", SMALL, test_data=shuffled)) == bits(trained)


def test_another_table_that_does_not_fit(penguins: pl.DataFrame) -> None:
    with pytest.raises(TableError, match="lacks 1 column that the model was trained on: 'island'"):
        train(penguins, "species", SMALL, test_data=penguins.drop("island"))
    with pytest.raises(TableError, match="There is no column 'species' to be the target"):
        train(penguins, "species", SMALL, test_data=penguins.drop("species"))
    with pytest.raises(TrainingError, match="no row has a value in 'species', so nothing can be compared"):
        train(penguins, "species", SMALL, test_data=penguins.with_columns(species=pl.lit(None)))


def test_divergence_names_step_operation_and_layer() -> None:
    # Layers of one unit: every sum of the product that overflows has one term, which is infinite on every machine.
    # Among huge terms of both signs it depends on the BLAS kernel whether Inf or the NaN of Inf − Inf is found.
    # (With seed 2 both units are alive.)
    options = TrainOptions(optimizer="sgd", learning_rate=1e30, hidden=(1, 1), epochs=3, seed=2, batch_size=32)
    message = r"diverged at step 2, epoch 1: matmul in layer 'hidden2' gave infinite; try a smaller learning rate "
    with pytest.raises(TrainingError, match=message) as caught:
        train(PENGUINS, "species", options)
    assert "than 1e+30. No model was saved" in str(caught.value)


def test_a_class_with_one_row_is_trained_on(penguins: pl.DataFrame) -> None:
    rare = penguins.with_columns(species=pl.Series([*["Emperor"], *penguins["species"].to_list()[1:]]))
    trained = train(rare, "species", SMALL)
    assert trained.model.target is not None
    assert "Emperor" in trained.model.target.classes
    test = trained.scores["test"]
    assert isinstance(test, ClassificationScore)
    place = test.classes.index("Emperor")
    assert test.support[place] == 0
    assert test.recall[place] is None


def test_an_infinite_cell_is_named_by_its_own_row(penguins: pl.DataFrame) -> None:
    """Whatever part the row falls into, and though rows without a label come before it."""
    trained = train(penguins, "sex", TrainOptions(hidden=(2,), epochs=1, validation=0.2))
    for part, rows in parts_of(trained, penguins, "sex").items():
        row = int(rows[-1])
        bad = penguins["bill_depth_mm"].to_list()
        bad[row] = float("inf")
        with pytest.raises(TableError, match=rf"column 'bill_depth_mm' is infinite in row {row + 1} \(data rows"):
            train(penguins.with_columns(bill_depth_mm=pl.Series(bad)), "sex", TrainOptions(hidden=(2,), epochs=1))
        assert part


def test_the_report_as_data(species: Trained, mass: Trained) -> None:
    for trained in (species, mass):
        report = trained.to_dict()
        assert report["source"] == "penguins.csv"
        assert report["target"] == trained.model.target.column  # type: ignore[union-attr]
        assert report["rows"]["training"] == trained.rows["training"]
        assert report["scores"]["test"]["rows"] == trained.rows["test"]
        assert report["gap"] == trained.gap
        assert report["settings"]["learning_rate"] == 0.02


def test_progress_is_reported() -> None:
    seen: list[Any] = []
    train(PENGUINS, "species", TrainOptions(hidden=(4,), epochs=3), progress=seen.append)
    assert seen
    assert seen[-1].status in ("done", "early")
    assert seen[-1].epochs == 3


def test_frames_of_every_kind_give_the_same_model(penguins: pl.DataFrame) -> None:
    expected = bits(train(penguins, "species", SMALL))
    assert bits(train(penguins.to_pandas(), "species", SMALL)) == expected
    assert bits(train(penguins.to_arrow(), "species", SMALL)) == expected
    assert bits(train(penguins.to_dict(as_series=False), "species", SMALL)) == expected
    assert bits(train(str(PENGUINS), "species", SMALL)) == expected


def test_the_given_frame_is_not_changed(penguins: pl.DataFrame) -> None:
    before = penguins.to_pandas()
    given = before.copy()
    train(given, "species", SMALL)
    assert given.equals(before)


def test_ties_the_whole_package_together(tmp_path: Path) -> None:
    trained = cr.workflow.train(PENGUINS, "species", cr.workflow.TrainOptions(hidden=(4,), epochs=1))
    trained.model.save(tmp_path / "m.chainrule")
    x = trained.model.table.transform(PENGUINS_FRAME())  # type: ignore[union-attr]
    assert cr.load(tmp_path / "m.chainrule").predict(x).shape == (344, 3)


# --- what is wrong with a table, and with a model ---------------------------------------------------------------------


def test_an_extreme_target_is_named() -> None:
    target = [1.5 * i for i in range(60)]
    frame = {"x": [float(i % 7) for i in range(60)], "y": [*target[:-1], 1e38]}
    trained = train(frame, "y", SMALL)
    assert trained.findings[0].message.startswith(
        "y is 1e+38 in row 60, farther from the median 44.25 than 1,000 times"
    )
    assert trained.to_dict()["findings"][0]["severity"] == "warning"
    assert train({**frame, "y": target}, "y", SMALL).findings == ()


def test_notes_are_no_findings_of_training(species: Trained, sex: Trained) -> None:
    assert species.findings == ()
    assert [finding.column for finding in sex.findings] == ["sex"]
    assert "these 11 rows are left out" not in str(sex)  # it has a line of its own


def test_a_class_of_one_row_is_an_error_that_training_says() -> None:
    frame = {"x": [0.1 * i * (-1) ** i for i in range(60)], "y": ["once", *["a", "b", "b"] * 19, "a", "b"]}
    trained = train(frame, "y", SMALL)
    assert trained.findings[0].severity == "error"
    assert "warning        The class 'once' of y has one row only" in str(trained)


def test_print_shows_the_report_and_repr_one_line(species: Trained, mass: Trained) -> None:
    assert str(species).startswith("table          penguins.csv: 344 rows")
    assert "saved" not in str(species)
    for trained in (species, mass):
        assert "\n" not in repr(trained)
        assert len(repr(trained)) < 120
        assert max(map(len, map(repr, trained.scores.values()))) < 300
    assert repr(mass).startswith("<Trained body_mass_g from penguins.csv: test RMSE ")


def test_no_better_than_guessing() -> None:
    target = TargetEncoder.fit(pl.Series(["a", "b"] * 4), Task("binary", ""), np.arange(8), column="y")
    sure, truth = np.array([[0.9, 0.1]] * 4), np.array([0, 0, 1, 0])
    said = score_classes(target, truth, sure, 0).no_better
    assert said is not None
    assert said.replace("\xa0", " ") == (
        "no better than guessing: 75.0 % of the rows are right, and always saying a would be right in 75.0 %"
    )
    assert score_classes(target, truth, np.eye(2)[truth], 0).no_better is None
    alone = score_classes(target, truth[:1], np.array([[1.0, 0.0]]), 0)
    assert alone.no_better is None
    assert str(alone.log_loss) == "0.0"
    numbers = np.array([1.0, 2.0, 3.0])
    assert score_numbers(numbers, numbers + 0.1, 2.0).no_better is None
    assert score_numbers(numbers, numbers, 2.0).no_better is None
    assert "the RMSE is 2, that of the mean 0.8165" in str(score_numbers(numbers, numbers + 2, 2.0).no_better)
    assert "R² is -0.5" in str(score_numbers(numbers, numbers + 1, 9.0).no_better)


@pytest.mark.parametrize(("step", "shown"), [(0, "1/20"), (1, "1/20"), (7, "1/20"), (8, "2/20"), (77, "11/20")])
def test_the_bar_shows_the_epoch_of_the_last_step(step: int, shown: str) -> None:
    screen = Console(file=StringIO(), force_terminal=True, width=80)
    with show_progress(20 * 7, True, screen) as listen:
        listen(Report(step, 20 * 7, min(step // 7 + 1, 20), 20, 0.5, 0.6, "early"))
    assert f"epoch {shown}" in screen.file.getvalue()  # type: ignore[attr-defined]
