"""What a table holds, column by column, and what should be known about it before a network learns from it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.errors import TableError
from chainrule.table.cells import Kind, as_texts, kind_of, missing, present
from chainrule.table.findings import Finding, Survey, find_all
from chainrule.table.fitting import fit_column
from chainrule.table.frame import as_frame, select_target
from chainrule.table.recipes import read_numbers
from chainrule.table.row_numbers import row_number
from chainrule.table.strays import refuse_strays
from chainrule.table.task import Task, check_switch, infer_task

if TYPE_CHECKING:
    import polars as pl

MOST_COMMON = 5


@dataclass(frozen=True)
class ColumnSummary:
    """One column in short.

    Attributes:
        name: the column's name.
        kind: "number", "boolean", "text", "date", "duration", "empty" or "other".
        missing: how many cells are missing.
        distinct: how many different values the others have.
        low, median, high: of a number's finite cells (of a date as text), else None.
        common: the most common values of a text or boolean with their counts.
        encoding: how the column reaches the network, or why it does not.
    """

    name: str
    kind: Kind
    missing: int
    distinct: int
    low: float | str | None
    median: float | str | None
    high: float | str | None
    common: tuple[tuple[str, int], ...]
    encoding: str


@dataclass(frozen=True)
class Inspection:
    """What `inspect_table` found.

    Attributes:
        source: the table's name.
        rows: how many data rows it has.
        columns: one summary a column.
        target: the target's name, if one was given.
        task: what the target asks for; None without a target, or where a finding says why it asks for nothing.
        classes: each class with its number of rows, the largest first; empty for a regression.
        findings: errors first, then warnings, then notes.
    """

    source: str
    rows: int
    columns: tuple[ColumnSummary, ...]
    target: str | None
    task: Task | None
    classes: tuple[tuple[str, int], ...]
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> list[Finding]:
        """The findings that keep a network from learning."""
        return [finding for finding in self.findings if finding.severity == "error"]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data that JSON can hold."""
        document = asdict(self)
        document["columns"] = [_plain_column(column) for column in self.columns]
        document["classes"] = [{"class": name, "rows": number} for name, number in self.classes]
        document["findings"] = [asdict(finding) for finding in self.findings]
        return document


def _plain_column(column: ColumnSummary) -> dict[str, Any]:
    document = asdict(column)
    document["common"] = [{"value": value, "rows": number} for value, number in column.common]
    return document


def inspect_table(
    frame: object, target: str | None = None, task: str | None = None, source: str = "the table"
) -> Inspection:
    """Return what a table holds and what should be known about it.

    Args:
        frame: a table as `as_frame` takes it.
        target: the column to be predicted, if any.
        task: the user's word on the task, as for `infer_task`.
        source: the table's name in messages.

    Raises:
        TableError: no such target, an unknown task word, or no table; what is wrong with the *data* is a finding, not
            an error.

    Example:
        >>> inspection = inspect_table({"x": [1, 2, 3, 4], "y": ["a", "a", "b", "b"], "z": [7, 7, 7, 7]}, target="y")
        >>> [(finding.severity, finding.message) for finding in inspection.findings if finding.column == "z"]
        [('note', 'z is always 7: it tells nothing and is left out.')]
    """
    check_switch(task)
    if target is None:
        table, values = as_frame(frame), None
    else:
        table, values = select_target(frame, target)
    found_task, problem = None, None
    if values is not None:
        try:
            found_task = infer_task(values, task, column=str(target))
        except TableError as error:
            problem = str(error)
    order = list(table.columns) if target is None else list(as_frame(frame).columns)
    summaries = tuple(
        _summary(values if name == target and values is not None else table[name], source, name == target)
        for name in order
    )
    classes: tuple[tuple[str, int], ...] = ()
    if values is not None and found_task is not None and found_task.is_classification:
        classes = tuple(_most_common(present(values)))
    survey = Survey(table, values, found_task, classes)
    findings = find_all(survey)
    if problem is not None:
        findings = [Finding("error", target, problem), *findings]
    return Inspection(source, table.height, summaries, target, found_task, classes, tuple(findings))


def _most_common(cells: pl.Series) -> list[tuple[str, int]]:
    counted = ((str(text), int(times)) for text, times in as_texts(cells).value_counts().rows())
    return sorted(counted, key=lambda pair: (-pair[1], pair[0]))


def _summary(column: pl.Series, source: str, is_target: bool) -> ColumnSummary:
    kind = kind_of(column)
    cells = present(column)
    low: float | str | None = None
    median: float | str | None = None
    high: float | str | None = None
    common: tuple[tuple[str, int], ...] = ()
    if kind == "number":
        numbers = read_numbers(cells, "number", source)
        numbers = numbers[np.isfinite(numbers)]
        if len(numbers):
            low, median, high = float(numbers.min()), float(np.quantile(numbers / 2, 0.5) * 2), float(numbers.max())
    elif kind in ("date", "duration"):
        ordered = cells.sort()
        low, median, high = str(ordered[0]), str(ordered[len(ordered) // 2]), str(ordered[-1])
    elif kind in ("text", "boolean"):
        common = tuple(_most_common(cells)[:MOST_COMMON])
    distinct = cells.n_unique() if kind != "other" else 0
    return ColumnSummary(
        column.name,
        kind,
        int(missing(column).sum()),
        distinct,
        low,
        median,
        high,
        common,
        "the target" if is_target else _encoding(column, source),
    )


def _encoding(column: pl.Series, source: str) -> str:
    number = row_number(column)
    if number is not None:
        return f"left out: {number}"
    try:
        refuse_strays(column, source)
        recipe = fit_column(column, source)
    except TableError as error:
        return f"none: {error}"
    return f"left out: {recipe}" if isinstance(recipe, str) else recipe.describe()
