"""Predicting and scoring with a saved model: columns in any order, unseen categories, no labels, any frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import chainrule as cr
from chainrule.errors import ModelFileError, TableError, TrainingError
from chainrule.files import Model
from chainrule.table import read_table
from chainrule.workflow import ClassificationScore, RegressionScore, TrainOptions, evaluate, predict, train

PENGUINS = Path(__file__).parents[2] / "examples" / "penguins.csv"


@pytest.fixture(scope="module")
def penguins() -> pl.DataFrame:
    return read_table(PENGUINS)


@pytest.fixture(scope="module")
def model() -> Model:
    return train(PENGUINS, "species", TrainOptions(hidden=(8,), epochs=15, learning_rate=0.02)).model


@pytest.fixture(scope="module")
def mass() -> Model:
    return train(PENGUINS, "body_mass_g", TrainOptions(hidden=(8,), epochs=10, learning_rate=0.02)).model


def test_a_row_for_each_row(model: Model, penguins: pl.DataFrame) -> None:
    result = predict(model, penguins)
    assert result.columns == ["prediction", "probability_Adelie", "probability_Chinstrap", "probability_Gentoo"]
    assert result.height == 344
    p = result.drop("prediction").to_numpy()
    classes = np.array(["Adelie", "Chinstrap", "Gentoo"])
    assert result["prediction"].to_list() == classes[p.argmax(axis=1)].tolist()


def test_columns_in_any_order_and_further_ones(model: Model, penguins: pl.DataFrame) -> None:
    expected = predict(model, penguins)
    assert predict(model, penguins.select(penguins.columns[::-1])).equals(expected)
    assert predict(model, penguins.drop("species")).equals(expected)
    more = penguins.with_columns(inf=pl.lit(float("inf")), nested=pl.lit([1, 2]), text=pl.lit("x"))
    assert predict(model, more).equals(expected)


def test_missing_columns(model: Model, penguins: pl.DataFrame) -> None:
    with pytest.raises(TableError, match=r"new\.csv lacks 2 columns that the model was trained on: 'island' and 'sex'"):
        predict(model, penguins.drop("island", "sex"), source="new.csv")
    renamed = penguins.rename({"bill_length_mm": "bill_len_mm"})
    with pytest.raises(TableError, match=r"lacks 1 column .*It has 'bill_len_mm' for 'bill_length_mm': rename it"):
        predict(model, renamed)


def test_a_row_does_not_depend_on_the_others(model: Model, penguins: pl.DataFrame) -> None:
    whole = predict(model, penguins)
    for row in (0, 3, 343):
        assert predict(model, penguins[row : row + 1]).equals(whole[row : row + 1])
    assert predict(model, penguins[::-1]).equals(whole[::-1])


def test_an_unseen_category_is_like_none_of_the_known(model: Model, penguins: pl.DataFrame) -> None:
    """Documented: a level that training never saw is 0 in all columns."""
    one = penguins[:1]
    unseen = predict(model, one.with_columns(island=pl.lit("Atlantis")))
    other = predict(model, one.with_columns(island=pl.lit("Lemuria")))
    assert unseen.equals(other)
    assert not unseen.equals(predict(model, one))
    assert model.table is not None
    x = model.table.transform(one.with_columns(island=pl.lit("Atlantis")))
    places = [i for i, name in enumerate(model.table.feature_names) if name.startswith("island")]
    assert len(places) == 3
    assert np.all(x[0, places] == 0)


def test_missing_cells_are_predicted_too(model: Model, penguins: pl.DataFrame) -> None:
    empty = penguins.clear(5)
    assert predict(model, empty).height == 5
    assert predict(model, empty).drop("prediction").to_numpy().min() >= 0


def test_no_rows_give_no_rows(model: Model, mass: Model, penguins: pl.DataFrame) -> None:
    assert predict(model, penguins.clear()).shape == (0, 4)
    assert predict(mass, penguins.clear()).shape == (0, 1)


def test_infinite_cells_are_refused_by_row(model: Model, penguins: pl.DataFrame) -> None:
    cells = penguins["bill_depth_mm"].to_list()
    cells[7] = float("-inf")
    with pytest.raises(TableError, match=r"new\.csv: column 'bill_depth_mm' is infinite in row 8 \(data rows"):
        predict(model, penguins.with_columns(bill_depth_mm=pl.Series(cells)), source="new.csv")


def test_a_number_column_that_became_text(model: Model, penguins: pl.DataFrame) -> None:
    cells = [str(v) for v in penguins["year"].to_list()]
    expected = predict(model, penguins)
    assert predict(model, penguins.with_columns(year=pl.Series(cells))).equals(expected)
    cells[2] = "last year"
    with pytest.raises(
        TableError, match=r"column 'year' was a number in training; now row 3 .* holds the text 'last y"
    ):
        predict(model, penguins.with_columns(year=pl.Series(cells)), source="new.csv")


def test_kept_columns(model: Model, penguins: pl.DataFrame) -> None:
    frame = penguins.with_columns(id=pl.int_range(344), day=pl.lit("2024-05-31").str.to_date())
    result = predict(model, frame, keep=["id", "day", "species", "id"])
    assert result.columns[:4] == ["id", "day", "species", "prediction"]
    assert result["id"].to_list() == list(range(344))
    assert result["day"].dtype == pl.Date
    every = predict(model, penguins, keep=["all"])
    assert every.columns[:8] == penguins.columns
    with pytest.raises(TableError, match=r"new\.csv has no column 'idd' to keep; it has: species, .*id"):
        predict(model, frame, keep=["idd"], source="new.csv")


def test_a_column_called_all(model: Model, penguins: pl.DataFrame) -> None:
    result = predict(model, penguins.with_columns(all=pl.lit(1)), keep=["all"])
    assert result.columns == ["all", *predict(model, penguins).columns]


@pytest.mark.parametrize("name", ["prediction", "probability_Gentoo"])
def test_a_kept_column_of_the_results_name(name: str, model: Model, penguins: pl.DataFrame) -> None:
    frame = penguins.with_columns(pl.lit(1).alias(name))
    with pytest.raises(
        TableError, match=rf"kept column '{name}' has the name of a column of the result; rename it in n"
    ):
        predict(model, frame, keep=[name], source="new.csv")
    assert predict(model, frame).equals(predict(model, penguins))


def test_frames_of_every_kind(model: Model, penguins: pl.DataFrame) -> None:
    expected = predict(model, penguins)
    assert predict(model, penguins.to_pandas()).equals(expected)
    assert predict(model, penguins.to_arrow()).equals(expected)
    assert predict(model, penguins.to_dict(as_series=False)).equals(expected)
    with pytest.raises(TableError, match=r"A NumPy array of shape .* has no column names"):
        predict(model, np.ones((3, 7)))
    with pytest.raises(TableError, match="lazy polars frame, which holds no rows"):
        predict(model, penguins.lazy())


def test_numbers_stay_in_the_training_range(mass: Model, penguins: pl.DataFrame) -> None:
    assert mass.target is not None
    far = penguins.with_columns(flipper_length_mm=pl.lit(10**9), bill_length_mm=pl.lit(-1e30))
    said = predict(mass, far)["prediction"].to_numpy()
    assert said.min() >= mass.target.low
    assert said.max() <= mass.target.high


@pytest.mark.parametrize(("values", "kind"), [([True, False] * 20, bool), ([3, 7] * 20, int), ([0.5, 1.5] * 20, float)])
def test_predictions_have_the_type_of_the_labels(values: list[Any], kind: type) -> None:
    frame = {"x": [0.0, 1.0] * 20, "y": values}
    model = train(frame, "y", TrainOptions(task="classification", hidden=(4,), epochs=30, learning_rate=0.05)).model
    said = predict(model, frame)["prediction"].to_list()
    assert said == values
    assert {type(v) for v in said} == {kind}
    assert predict(model, frame).columns[1:] == [f"probability_{c}" for c in sorted(set(values))]


def test_a_model_of_arrays_has_no_columns() -> None:
    run = cr.fit(cr.Objective(cr.nn.Dense(1), loss="squared_error"), (np.ones((4, 2)), np.ones(4)), epochs=1)
    arrays = Model.from_run(run)
    with pytest.raises(ModelFileError, match=r"trained on arrays, not on a table: .*chainrule train TABLE --target"):
        predict(arrays, {"x": [1.0]})
    with pytest.raises(ModelFileError, match="trained on arrays, not on a table"):
        evaluate(arrays, {"x": [1.0]})


def test_evaluate_is_what_train_said(model: Model, mass: Model, penguins: pl.DataFrame) -> None:
    whole = evaluate(model, PENGUINS)
    assert whole.source == "penguins.csv"
    assert whole.target == "species"
    assert whole.unlabeled == 0
    assert isinstance(whole.score, ClassificationScore)
    said = predict(model, penguins)["prediction"]
    assert whole.score.accuracy == (said == penguins["species"]).mean()
    assert whole.score.guess_class == "Adelie"
    numbers = evaluate(mass, penguins)
    assert isinstance(numbers.score, RegressionScore)
    assert numbers.unlabeled == 2
    assert numbers.score.rows == 342
    assert numbers.to_dict()["rows"] == {"scored": 342, "without_label": 2}


def test_evaluate_on_some_classes_only(model: Model, penguins: pl.DataFrame) -> None:
    score = evaluate(model, penguins.filter(pl.col("species") == "Gentoo")).score
    assert isinstance(score, ClassificationScore)
    assert score.support == [0, 0, 124]
    assert score.auc is None
    assert score.recall[0] is None


def test_evaluate_with_an_unseen_class_names_its_own_row(model: Model, penguins: pl.DataFrame) -> None:
    labels: list[str | None] = penguins["species"].to_list()
    labels[0] = labels[5] = None
    labels[9] = "Emperor"
    with pytest.raises(
        TableError, match=r"'species' is 'Emperor' in row 10 .*a class that training did not see"
    ) as caught:
        evaluate(model, penguins.with_columns(species=pl.Series(labels)))
    assert "The classes are 'Adelie', 'Chinstrap' and 'Gentoo'" in str(caught.value)


def test_evaluate_an_infinite_number_names_its_own_row(mass: Model, penguins: pl.DataFrame) -> None:
    values = [None if v is None else float(v) for v in penguins["body_mass_g"].to_list()]
    values[0], values[20] = None, float("inf")
    with pytest.raises(TableError, match=r"the target 'body_mass_g' is infinite in row 21 \(data rows"):
        evaluate(mass, penguins.with_columns(body_mass_g=pl.Series(values)))


def test_evaluate_needs_labels(model: Model, penguins: pl.DataFrame) -> None:
    with pytest.raises(TableError, match="There is no column 'species' to be the target"):
        evaluate(model, penguins.drop("species"))
    with pytest.raises(TrainingError, match="no row has a value in 'species', so nothing can be compared"):
        evaluate(model, penguins.with_columns(species=pl.lit(None, pl.String)))
    some = penguins.with_columns(species=pl.when(pl.col("year") > 2007).then("species"))
    assert evaluate(model, some).unlabeled == 110


def test_unlabeled_rows_are_predicted(model: Model, penguins: pl.DataFrame) -> None:
    unlabeled = penguins.with_columns(species=pl.lit(None, pl.String))
    assert predict(model, unlabeled).equals(predict(model, penguins))
