"""Predicting and scoring with a model that was trained from a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.errors import ModelFileError, TableError
from chainrule.files import Model
from chainrule.table import TableEncoder, TargetEncoder, as_frame
from chainrule.workflow.network import as_probabilities
from chainrule.workflow.score import Score, score_classes, score_numbers

Array = np.ndarray[Any, Any]


def encoders_of(model: Model) -> tuple[TableEncoder, TargetEncoder]:
    """Return the table and target encoders of a model; raise ModelFileError for one that has none."""
    if model.table is None or model.target is None:
        raise ModelFileError(
            "this model was trained on arrays, not on a table: it has no columns. Use model.predict(X) in Python, or "
            "train with: chainrule train TABLE --target COLUMN"
        )
    return model.table, model.target


def predict_values(model: Model, x: Array) -> tuple[Array, Array | None]:
    """Return predictions for encoded rows: class indices with their probabilities, or numbers in the target's unit.

    Numbers are kept within the range of the training rows: a network says nothing of what lies beyond.
    """
    _, target = encoders_of(model)
    raw = model.predict(x)
    if target.kind == "regression":
        return target.inverse_regression(raw, clamp=True)[:, 0], None
    probabilities = as_probabilities(raw)
    return np.argmax(probabilities, axis=1), probabilities


def score_model(model: Model, x: Array, truth: Array) -> Score:
    """Score a model on encoded rows and encoded targets."""
    _, target = encoders_of(model)
    values, probabilities = predict_values(model, x)
    if probabilities is not None:
        return score_classes(target, truth, probabilities, int(model.about["guess"]))
    return score_numbers(target.inverse_regression(truth)[:, 0], values, float(model.about["guess"]))


def predict(model: Model, table: Any, *, keep: Sequence[str] = (), source: str = "the table") -> Any:
    """Return a polars frame with a row for each row of the table: kept columns, the prediction, and probabilities.

    Columns may stand in any order; further ones are not looked at. ``keep=["all"]`` keeps every column but those named
    like a column of the result (an earlier prediction). Raises TableError for missing columns, columns of another kind
    than in training, and infinite cells.
    """
    import polars as pl

    encoder, target = encoders_of(model)
    frame = as_frame(table)
    columns: dict[str, Any] = {}
    made_names = result_names(model)
    every = keeps_all(frame, keep)
    names = [name for name in frame.columns if name not in made_names] if every else list(dict.fromkeys(keep))
    for name in names:
        if name not in frame.columns:
            raise TableError(f"{source} has no column {name!r} to keep; it has: {', '.join(frame.columns)}")
        columns[name] = frame[name]
    values, probabilities = predict_values(model, encoder.transform(frame, source=source))
    made = [values] if probabilities is None else [target.labels(values), *probabilities.T]
    clash = [name for name in made_names if name in columns]
    if clash:
        raise TableError(f"the kept column {clash[0]!r} has the name of a column of the result; rename it in {source}")
    made = [v.tolist() if v.dtype == object else np.ascontiguousarray(v) for v in made]
    return pl.DataFrame({**columns, **dict(zip(made_names, made, strict=True))})


def result_names(model: Model) -> list[str]:
    """Return the names of the columns that predictions of a model are made of."""
    _, target = encoders_of(model)
    classes = () if target.kind == "regression" else target.classes
    return ["prediction", *(f"probability_{c}" for c in classes)]


def keeps_all(frame: Any, keep: Sequence[str]) -> bool:
    """Return whether all columns are asked for: by the word all, unless a column is called so."""
    return list(keep) == ["all"] and "all" not in frame.columns


def left_out(model: Model, table: Any, keep: Sequence[str]) -> list[str]:
    """Return the columns that ``keep=["all"]`` leaves out: those named like a column of the result."""
    frame = as_frame(table)
    return [name for name in result_names(model) if name in frame.columns] if keeps_all(frame, keep) else []
