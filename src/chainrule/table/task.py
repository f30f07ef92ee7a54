"""Which task a target column asks for, and the sentence that says why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from chainrule.errors import TableError
from chainrule.table.cells import KIND_NAMES, kind_of, present
from chainrule.table.frame import as_column
from chainrule.table.say import at_rows, count
from chainrule.table.strays import strays

if TYPE_CHECKING:
    import polars as pl

TaskKind = Literal["binary", "multiclass", "regression"]
SWITCHES = ("classification", "regression", "binary", "multiclass")

# Whole numbers are taken for classes where there are few of them: at most MANY, and ROWS_EACH rows for each. In a small
# table labels that count 0, 1, 2, … or 1, 2, 3, … are classes too if there are at most FEW and each occurs three times.
MANY, ROWS_EACH, FEW = 20, 20, 10


@dataclass(frozen=True)
class Task:
    """What the network is asked to predict.

    Attributes:
        kind: "binary" (two classes), "multiclass" or "regression" (a number).
        why: the reason in words, to be said to the user.
    """

    kind: TaskKind
    why: str

    @property
    def is_classification(self) -> bool:
        """Whether the target is one of several classes."""
        return self.kind != "regression"


def infer_task(values: object, task: str | None = None, column: str = "target") -> Task:
    """Return the task that a target column asks for, unless `task` says it.

    Texts, booleans and pandas categories are classes. So are two different whole numbers, and whole numbers of which
    there are few (at most 20 different ones with 20 rows for each; or 0, 1, 2, … up to ten, each at least three times).
    Other numbers are a regression. Missing cells are left out.

    Args:
        values: the target column: a series, array or list.
        task: the user's word: "classification", "binary", "multiclass" or "regression".
        column: what messages call the column.

    Raises:
        TableError: no value at all, one class only, a constant number, a class for each row, infinite values, numbers
            but for a few cells, or a `task` that the values cannot be.

    Example:
        >>> infer_task(["a", "b", "c", "a"], column="species")
        Task(kind='multiclass', why='species has 3 different texts')
    """
    check_switch(task)
    categorical = _is_categorical(values)
    series = as_column(values, column)
    cells = present(series)
    kind = kind_of(cells)
    if len(series) == 0 or kind == "empty":
        raise TableError(f"The target {column!r} has no value in any row. Name another target, or fill in its labels.")
    if kind not in ("text", "boolean", "number"):
        raise TableError(
            f"The target {column!r} holds {KIND_NAMES[kind]}, which are neither classes nor numbers. Convert it, or "
            "name another."
        )
    odd = strays(series) if task in (None, "regression") and not categorical else None
    if odd is not None:
        classes = "" if task else " To take the texts as classes, say task classification."
        raise TableError(f"The target {column!r}: {odd}. {odd.remedy}.{classes}")
    different = cells.n_unique()
    if task == "regression":
        if kind != "number" or categorical:
            raise TableError(
                f"The target {column!r} holds {KIND_NAMES['text' if categorical else kind]}, and a regression needs "
                "numbers. Leave the task out or say classification."
            )
        return _regression(series, different, column, f"regression was asked for, and {column} has numbers")
    if kind == "number" and task is None and not categorical:
        reason = _class_like(cells, different, column)
        if reason is None:
            few = f"{count(different, 'different number')} in {count(len(cells), 'row')}"
            return _regression(series, different, column, f"{column} has {few}")
    else:
        reason = {"text": "texts", "boolean": "values, true and false", "number": "numbers"}[kind]
        reason = f"{column} has {different} different {reason}"
    return _classification(len(cells), different, column, task, reason)


def check_switch(task: str | None) -> None:
    """Raise unless `task` is None or a word that `infer_task` knows."""
    if task is not None and task not in SWITCHES:
        raise TableError(f"There is no task {task!r}. Say one of {', '.join(SWITCHES)}, or leave it out.")


def _is_categorical(values: object) -> bool:
    dtype = getattr(values, "dtype", None)
    return type(dtype).__name__ in ("CategoricalDtype", "Categorical", "Enum")


def _class_like(cells: pl.Series, different: int, column: str) -> str | None:
    """Return why these numbers are classes, or None."""
    if different > MANY:
        return None
    values, times = np.unique(cells.cast(_float64()).to_numpy(), return_counts=True)
    if not (np.isfinite(values).all() and (values == np.round(values)).all()):
        return None
    said = f"{column} has {different} different whole numbers"
    counting = values[0] in (0, 1) and bool((np.diff(values) == 1).all())
    if different <= 2:
        return said
    if len(cells) >= ROWS_EACH * different:
        return f"{said} in {count(len(cells), 'row')}"
    if counting and different <= FEW and times.min() >= 3:
        return f"{said}, which count from {int(values[0])} to {int(values[-1])}"
    return None


def _float64() -> type[pl.Float64]:
    import polars as pl

    return pl.Float64


def _regression(series: pl.Series, different: int, column: str, why: str) -> Task:
    numbers = series.cast(_float64()).to_numpy()
    infinite = np.flatnonzero(np.isinf(numbers))
    if len(infinite):
        raise TableError(
            f"The target {column!r} is infinite in {at_rows(infinite)} (data rows, the header not counted). Correct "
            "these cells, or leave them empty."
        )
    if different == 1:
        raise TableError(
            f"The target {column!r} is {numbers[~np.isnan(numbers)][0]:g} in every row, so there is nothing to learn. "
            "Name another target."
        )
    return Task("regression", why)


def _classification(rows: int, different: int, column: str, task: str | None, why: str) -> Task:
    if different == 1:
        raise TableError(
            f"The target {column!r} has one class only, so there is nothing to learn. Give rows of at least two "
            "classes, or name another target."
        )
    if (different == rows and rows > 2) or (different > MANY and 2 * different > rows):
        alike = "in every row" if different == rows else f"in {different:,} of {rows:,} rows"
        numbers = " If it is a quantity, say task regression." if task is not None else ""
        raise TableError(
            f"The target {column!r} has a different value {alike}: it names the rows and cannot be learned as classes. "
            f"Name another target.{numbers}"
        )
    if task == "binary" and different != 2:
        raise TableError(f"The target {column!r} has {different} classes, and binary needs two. Say multiclass.")
    kind = "multiclass" if task == "multiclass" or different > 2 else "binary"
    said = f"{task} was asked for, and {why}" if task else why
    return Task(cast(TaskKind, kind), said)
