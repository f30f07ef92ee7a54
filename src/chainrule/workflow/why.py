"""Why a model predicts what it does: one row, column by column, in the table's own units; and which columns matter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.errors import TableError
from chainrule.explanation import Predicting, attribute
from chainrule.files import Model
from chainrule.table import TableEncoder
from chainrule.table.recipes import NumberColumn, read_numbers
from chainrule.workflow.layout import fitted
from chainrule.workflow.predict import encoders_of, predict_values
from chainrule.workflow.train import labeled_rows, open_table

Array = np.ndarray[Any, Any]
MOST = 25
BAR = 10
SMALLEST = 1e-12
"""A probability is taken for at least this, so that one wrong certainty does not outweigh all else."""


@dataclass(frozen=True)
class ColumnPart:
    """One column: its cell, its part of the prediction's difference from the base, and the derivative by the cell."""

    column: str
    cell: str
    part: float
    slope: float | None


@dataclass(frozen=True)
class Why:
    """Why a row's prediction is what it is: ``value`` = ``base_value`` + the parts of all columns."""

    source: str
    row: int
    target: str
    predicted: str
    value: float
    base_value: float
    parts: tuple[ColumnPart, ...]
    missed: float
    is_class: bool
    kept: float | None
    """What ``predict`` makes of a number beyond the training rows' range; None where it lies within."""

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self), "parts": [vars(part) for part in self.parts]}

    def __str__(self) -> str:
        what = f"the probability of {self.predicted}" if self.is_class else f"the prediction of {self.target}"
        sure = f", with probability {_probability(self.value)}" if self.is_class else ""
        lines = [
            f"Why this prediction: row {self.row} of {self.source}", "",
            f"  {self.target} = {self.predicted}{sure}",
            f"  base: {self.base_value:.4g}, {what} where numbers are at their median,",
            "        and no category is known", "",
            f"  {'column':<24} {'cell':<16} {'part':>10}  {'':<{BAR}} {'derivative':>12}",
        ]  # fmt: skip
        order = sorted(self.parts, key=lambda part: -abs(part.part))
        most = max((abs(part.part) for part in order), default=0.0)
        for part in order[:MOST]:
            bar = ("█" if part.part >= 0 else "░") * (round(BAR * abs(part.part) / most) if most else 0)
            slope = "" if part.slope is None else f"{part.slope:+.3g}"
            lines.append(
                f"  {fitted(part.column, 24)} {fitted(part.cell, 16)} {part.part:>+10.4f}  {bar:<{BAR}} {slope:>12}"
            )
        if len(order) > MOST:
            rest = sum(part.part for part in order[MOST:])
            lines.append(f"  {f'{len(order) - MOST} other columns':<41} {rest:>+10.4f}")
        total = sum(part.part for part in self.parts)
        lines += [
            f"  {'sum':<41} {total:>+10.4f}", "",
            f"  check: {self.value:.6g} − {self.base_value:.6g} = {self.value - self.base_value:+.6g}; "
            f"the parts miss it by {abs(self.missed):.0e}",
            f"  derivative: how {what if not self.is_class else 'the probability'} changes where the cell grows by 1",
        ]  # fmt: skip
        if self.kept is not None:
            lines += [
                f"  {self.value:.6g} lies beyond the training rows' range: chainrule predict says {self.kept:.6g};",
                "  the parts are of the number before it is kept within",
            ]
        return "\n".join(lines)


def explain_row(model: Model, table: Any, row: int) -> Why:
    """Return why a model predicts what it does for one row of a table (rows are counted from 1).

    The part of a column is what it adds to the difference between this prediction and that of a base row, whose numbers
    are at their median and whose categories are unknown: integrated gradients, which add up to it.
    """
    encoder, target = encoders_of(model)
    frame, source = open_table(table)
    if not 1 <= row <= frame.height:
        raise TableError(f"{source} has {frame.height} rows; there is no row {row} (counted from 1, the header not)")
    one = frame.slice(row - 1, 1)
    x = np.asarray(encoder.transform(one, source=source)[0], np.float64)
    predicting = Predicting(model.objective, model.parameters, model.state, len(x))
    every = predicting.all(x[None, :])[0]
    number, scale, offset = 0, 1.0, 0.0
    if target.kind == "regression":
        scale, offset = target.std, target.mean
        found = float(offset + scale * every[0])
        predicted = f"{found:.6g}"
        kept = None if target.low <= found <= target.high else float(np.clip(found, target.low, target.high))
    else:
        chosen = int(np.argmax(every)) if len(every) > 1 else int(every[0] > 0.5)
        number = chosen if len(every) > 1 else 0
        if len(every) == 1 and chosen == 0:  # the network gives the second class's probability
            scale, offset = -1.0, 1.0
        predicted, kept = str(target.labels([chosen])[0]), None
    why = attribute(predicting, x, np.zeros(len(x)), number, encoder.feature_names, "", "")
    return Why(
        source=source,
        row=row,
        target=target.column,
        predicted=predicted,
        value=offset + scale * why.value,
        base_value=offset + scale * why.base_value,
        parts=tuple(_by_column(encoder, one, source, scale, why.parts)),
        missed=scale * why.missed,
        is_class=target.kind != "regression",
        kept=kept,
    )


def _by_column(encoder: TableEncoder, one: Any, source: str, scale: float, parts: Any) -> list[ColumnPart]:
    """Add up the matrix columns that a table's column has become."""
    found, start = [], 0
    for column in encoder.columns:
        width = len(column.feature_names)
        mine = parts[start : start + width]
        start += width
        cell = one[column.name][0]
        slope = None
        if isinstance(column, NumberColumn) and cell is not None:
            number = float(read_numbers(one[column.name], column.unit, source)[0])
            if np.isfinite(number):
                z = (number - column.center) / column.scale
                slope = scale * mine[0].slope / column.scale / float(np.hypot(1.0, z / 3.0)) ** 3
        text = "(missing)" if cell is None else f"{cell:g}" if isinstance(cell, float) else str(cell)
        found.append(ColumnPart(column.name, text, scale * sum(part.part for part in mine), slope))
    return found


def _probability(value: float) -> str:
    """Return a probability in four digits; one that is nearly 1 is told by what it lacks."""
    text = f"{value:.4g}"
    return text if text != "1" or value >= 1 else f"1 − {1 - value:.2g}"


@dataclass(frozen=True)
class ColumnImportance:
    """How much the error grows where a column's cells are shuffled, and its 95 % interval over rows."""

    column: str
    growth: float
    low: float
    high: float


@dataclass(frozen=True)
class Importance:
    """Permutation importance: how much a model relies on each column."""

    source: str
    target: str
    rows: int
    repeats: int
    error: float
    measure: str
    columns: tuple[ColumnImportance, ...]

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self), "columns": [vars(column) for column in self.columns]}

    def __str__(self) -> str:
        lines = [
            f"Which columns matter for {self.target}: {self.rows} rows of {self.source}", "",
            f"  {self.measure}: {self.error:.4g}",
            f"  growth: how much more it is where a column is shuffled (mean of {self.repeats} times,",
            "  with a 95 % interval over the rows)", "",
            f"  {'column':<32} {'growth':>10}   {'from':>10} {'to':>10}",
        ]  # fmt: skip
        for column in self.columns[:MOST]:
            mark = "" if column.low > 0 else "   may be 0"
            numbers = f"{column.growth:>+10.4g}   {column.low:>+10.4g} {column.high:>+10.4g}"
            lines.append(f"  {fitted(column.column, 32)} {numbers}{mark}")
        if len(self.columns) > MOST:
            lines.append(f"  {len(self.columns) - MOST} other columns grow it by less")
        lines += ["", "  Columns that say the same stand in for each other: both may look unimportant."]
        return "\n".join(lines)


def importance(
    model: Model, table: Any, repeats: int = 10, seed: int = 0, progress: Callable[[int, int], None] | None = None
) -> Importance:
    """Return how much a model's error on a labeled table grows where one column at a time is shuffled.

    The error is −log of the true class's probability, or the absolute error in the target's unit. Breiman (2001).
    """
    encoder, target = encoders_of(model)
    frame, source = open_table(table)
    x, truth, _ = labeled_rows(model, frame, source)
    if len(x) < 2:
        raise TableError(f"{source} has {len(x)} labeled rows; shuffling a column takes at least two")
    before = _errors(model, x, truth)
    rng = np.random.default_rng(seed)
    found, start = [], 0
    for number, column in enumerate(encoder.columns):
        width = len(column.feature_names)
        grown = np.zeros(len(x))
        for _ in range(repeats):
            mixed = x.copy()
            mixed[:, start : start + width] = x[rng.permutation(len(x)), start : start + width]
            grown += (_errors(model, mixed, truth) - before) / repeats
        start += width
        mean, spread = float(grown.mean()), 1.96 * float(grown.std(ddof=1)) / np.sqrt(len(x))
        found.append(ColumnImportance(column.name, mean, mean - spread, mean + spread))
        if progress is not None:
            progress(number + 1, len(encoder.columns))
    measure = "absolute error" if target.kind == "regression" else "−log probability of the true class"
    found.sort(key=lambda column: -column.growth)
    return Importance(source, target.column, len(x), repeats, float(before.mean()), measure, tuple(found))


def _errors(model: Model, x: Array, truth: Array) -> Array:
    """Return the error of each row."""
    _, target = encoders_of(model)
    values, probabilities = predict_values(model, x)
    if probabilities is None:
        errors: Array = np.abs(values - target.inverse_regression(truth)[:, 0])
        return errors
    chosen = probabilities[np.arange(len(x)), truth.astype(int)]
    return np.asarray(-np.log(np.maximum(chosen, SMALLEST)))
