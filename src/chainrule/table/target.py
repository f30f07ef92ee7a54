"""The target column as what a loss reads: class indices, or standardized numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.errors import TableError
from chainrule.table.cells import KIND_NAMES, as_numbers, as_texts, as_truths, kind_of, missing
from chainrule.table.document import check_header
from chainrule.table.frame import as_column
from chainrule.table.rows import checked_rows
from chainrule.table.say import at_rows, listing
from chainrule.table.task import Task, TaskKind

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import ArrayLike, NDArray

ClassValue = str | int | float | bool
FORMAT, VERSION = "chainrule.target", 1


def missing_labels(values: object) -> NDArray[np.bool_]:
    """Return which rows have no label (null, None or NaN).

    Example:
        >>> missing_labels(["a", None, "b"])
        array([False,  True, False])
    """
    return missing(as_column(values))


@dataclass(frozen=True)
class TargetEncoder:
    """A target column's code, fitted on training rows.

    Classes become their index 0, …, K − 1 in sorted order (int64, [n]); numbers become (y − mean)/std (float32, [n,
    1]).

    Attributes:
        kind: "binary", "multiclass" or "regression".
        column: the target's name.
        levels: the classes, with the type they have in the table; empty for a regression.
        mean, std: of the training rows (std is the population's, over n); 0 and 1 for classes.
        low, high: the smallest and largest training value.
    """

    kind: TaskKind
    column: str
    levels: tuple[ClassValue, ...] = ()
    mean: float = 0.0
    std: float = 1.0
    low: float = 0.0
    high: float = 0.0

    @property
    def classes(self) -> list[ClassValue]:
        """The classes in the order of their indices."""
        return list(self.levels)

    @classmethod
    def fit(cls, values: object, task: Task, rows: ArrayLike | None = None, *, column: str = "target") -> TargetEncoder:
        """Return the code of a target column.

        Args:
            values: the whole column; rows without a label are left out.
            task: what `infer_task` said.
            rows: indices of the training rows; all rows if None.
            column: its name in messages, where `values` has none of its own.

        Raises:
            TableError: no labelled training row, one class or one number only, or an infinite number.

        Example:
            >>> encoder = TargetEncoder.fit(["b", "a", "b"], Task("binary", "two texts"))
            >>> encoder.classes, encoder.transform(["a", "b"])
            (['a', 'b'], array([0, 1]))
        """
        series = as_column(values, column)
        name = series.name or column
        chosen = checked_rows(rows, len(series))
        chosen = chosen[~missing(series)[chosen]]
        cells = series.gather(chosen)
        if len(cells) == 0:
            raise TableError(f"The target {name!r} has no value in the training rows.")
        if task.kind != "regression":
            levels = tuple(sorted(set(_class_values(cells))))
            if len(levels) < 2:
                raise TableError(f"The target {name!r} has one class only in the training rows: {levels[0]!r}.")
            if task.kind == "binary" and len(levels) != 2:
                raise TableError(f"The target {name!r} has {len(levels)} classes, and a binary task has two.")
            return cls(task.kind, name, levels)
        numbers = as_numbers(cells)
        infinite = np.isinf(numbers)
        if infinite.any():
            raise TableError(f"The target {name!r} is infinite in {at_rows(chosen[infinite])}. Correct these cells.")
        low, high = float(numbers.min()), float(numbers.max())
        if low == high:
            raise TableError(f"The target {name!r} is {low:g} in every training row, so there is nothing to learn.")
        # in units of the largest value, so that neither the sum nor the squares overflow
        unit = max(abs(low), abs(high))
        mean, std = float((numbers / unit).mean()) * unit, float((numbers / unit).std()) * unit
        return cls("regression", name, (), mean, std or 1.0, low, high)

    def transform(self, values: object, rows: ArrayLike | None = None, *, source: str = "the table") -> NDArray[Any]:
        """Return class indices (int64, [n]) or standardized numbers (float32, [n, 1]).

        Args:
            values: the whole column; messages count its rows.
            rows: indices of the rows to encode; all rows if None.
            source: the table's name in messages.

        Raises:
            TableError: a row without a label, a class that training never saw, or no finite number; with row and value.
        """
        series = as_column(values, self.column)
        chosen = checked_rows(rows, len(series))
        gone = chosen[missing(series)[chosen]]
        if len(gone):
            raise TableError(
                f"{source}: the target {self.column!r} has no value in {at_rows(gone)} (data rows, the header not "
                "counted). Leave these rows out, or fill in their labels."
            )
        if self.kind == "regression":
            numbers = as_numbers(series, source=source)[chosen]
            infinite = chosen[np.isinf(numbers)]
            if len(infinite):
                raise TableError(
                    f"{source}: the target {self.column!r} is infinite in {at_rows(infinite)} (data rows, the header "
                    "not counted). Correct these cells."
                )
            # far beyond the training range float32 ends: a finite, huge error is what the loss should see there
            with np.errstate(over="ignore"):
                z = (numbers - self.mean) / self.std
            largest = float(np.finfo(np.float32).max)
            return np.ascontiguousarray(np.clip(z, -largest, largest).astype(np.float32)[:, None])
        indices = {level: index for index, level in enumerate(self.levels)}
        cells = self._like_training(series, source)
        found = np.array([indices.get(cells[row], -1) for row in chosen], dtype=np.int64)
        unseen = chosen[found < 0]
        if len(unseen):
            row = int(unseen[0])
            raise TableError(
                f"{source}: {self.column!r} is {cells[row]!r} in {at_rows([row])} (data rows, the header not counted), "
                f"a class that training did not see. The classes are {listing(repr(level) for level in self.levels)}: "
                "correct the cell, or leave the row out."
            )
        return found

    def _like_training(self, series: pl.Series, source: str) -> list[ClassValue]:
        """Return the cells with the type that the classes have: a file may store the same labels otherwise."""
        first = self.levels[0]
        if isinstance(first, str):
            cells: list[ClassValue] = as_texts(series).to_list()
            if kind_of(series) == "boolean":
                spelling = {str(level).lower(): level for level in self.levels}
                return [spelling.get(str(cell), cell) for cell in cells]
            return cells
        if isinstance(first, bool):
            return [bool(cell) for cell in as_truths(series, source)]
        if series.dtype.is_integer():
            return list(series.to_list())
        return list(as_numbers(series, source=source).tolist())

    def labels(self, indices: ArrayLike) -> NDArray[Any]:
        """Return the classes of an array of indices, with the type they have in the table.

        Example:
            >>> TargetEncoder("binary", "y", (3, 7)).labels([1, 0, 1])
            array([7, 3, 7])
        """
        if not self.levels:
            raise TableError(f"The target {self.column!r} is a number and has no classes; use inverse_regression.")
        levels = np.array(self.levels, dtype=object if isinstance(self.levels[0], str) else None)
        return levels[np.asarray(indices, dtype=np.int64)]

    def inverse_regression(self, z: ArrayLike, *, clamp: bool = False) -> NDArray[np.float64]:
        """Return standardized predictions in the target's own units, y = mean + std z.

        `clamp` keeps them in the range of the training rows.

        Example:
            >>> encoder = TargetEncoder("regression", "y", mean=10.0, std=2.0, low=7.0, high=13.0)
            >>> encoder.inverse_regression([[0.5], [9.0]], clamp=True)
            array([[11.],
                   [13.]])
        """
        y = self.mean + self.std * np.asarray(z, dtype=np.float64)
        return np.clip(y, self.low, self.high) if clamp else y

    def to_json(self) -> dict[str, Any]:
        """Return a plain document from which `from_json` makes an equal encoder."""
        document: dict[str, Any] = {"format": FORMAT, "version": VERSION, "kind": self.kind, "column": self.column}
        if self.kind == "regression":
            return document | {"mean": self.mean, "std": self.std, "low": self.low, "high": self.high}
        return document | {"classes": list(self.levels)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> TargetEncoder:
        """Return the encoder that `to_json` wrote.

        Raises:
            TableError: a document that is foreign, newer or inconsistent.
        """
        fields = check_header(document, FORMAT, VERSION)
        kind = fields.text("kind")
        column = fields.text("column")
        if kind == "regression":
            mean, std, low, high = (fields.number(name) for name in ("mean", "std", "low", "high"))
            fields.done()
            if not (std > 0 and low < high):
                raise TableError(f"{fields.what}: the deviation must be positive and the range not empty.")
            return cls("regression", column, (), mean, std, low, high)
        if kind not in ("binary", "multiclass"):
            raise TableError(f"{fields.what}: there is no task {kind!r}.")
        levels = tuple(fields.items("classes", str, int, float, bool))
        fields.done()
        if len({type(level) for level in levels}) > 1 or sorted(set(levels)) != list(levels) or len(levels) < 2:
            raise TableError(f"{fields.what}: the classes must be at least two, of one type, different and sorted.")
        if kind == "binary" and len(levels) != 2:
            raise TableError(f"{fields.what}: a binary task has two classes, not {len(levels)}.")
        return cls("binary" if kind == "binary" else "multiclass", column, levels)


def _class_values(cells: pl.Series) -> list[ClassValue]:
    import polars as pl

    kind = kind_of(cells)
    if kind == "text":
        return cells.cast(pl.String).to_list()
    values: list[ClassValue] = (cells.cast(pl.Float64) if cells.dtype.is_decimal() else cells).to_list()
    infinite = [row for row, value in enumerate(values) if isinstance(value, float) and abs(value) == float("inf")]
    if kind not in ("number", "boolean") or infinite:
        found = "infinite numbers" if infinite else KIND_NAMES[kind]
        raise TableError(f"The target {cells.name!r} holds {found}, which cannot be classes. Correct or convert it.")
    return values
