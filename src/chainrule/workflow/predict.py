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

    Columns may stand in any order; further ones are not looked at. Raises TableError for missing columns, columns of
    another kind than in training, and infinite cells.
    """
    import polars as pl

    encoder, target = encoders_of(model)
    frame = as_frame(table)
    columns: dict[str, Any] = {}
    names = list(frame.columns) if list(keep) == ["all"] and "all" not in frame.columns else list(dict.fromkeys(keep))
    for name in names:
        if name not in frame.columns:
            raise TableError(f"{source} has no column {name!r} to keep; it has: {', '.join(frame.columns)}")
        columns[name] = frame[name]
    values, probabilities = predict_values(model, encoder.transform(frame, source=source))
    made: dict[str, Any] = {"prediction": values if probabilities is None else target.labels(values)}
    if probabilities is not None:
        made |= {f"probability_{c}": probabilities[:, i] for i, c in enumerate(target.classes)}
    clash = [name for name in made if name in columns]
    if clash:
        raise TableError(f"the kept column {clash[0]!r} has the name of a column of the result; rename it in {source}")
    return pl.DataFrame({**columns, **{k: v.tolist() if v.dtype == object else v for k, v in made.items()}})
