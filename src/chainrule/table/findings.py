"""The checks of `inspect_table`: each looks for one thing that spoils learning, and says what and where."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from chainrule.table.cells import kind_of, missing, present
from chainrule.table.fitting import MOST_LEVELS
from chainrule.table.leaks import leaks
from chainrule.table.row_numbers import UNNAMED, counts_rows, row_number
from chainrule.table.say import at_rows, count, listing
from chainrule.table.strays import strays
from chainrule.table.suspicions import look_alikes, missing_code
from chainrule.table.task import Task

if TYPE_CHECKING:
    import polars as pl

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """One thing that should be known.

    Attributes:
        severity: "error" keeps a network from learning, "warning" may make its score untrue, "note" is for information.
        column: the column it is about; None for the whole table.
        message: what, where and what to do, in one or two sentences. Rows are data rows, counted from 1.
    """

    severity: Severity
    column: str | None
    message: str


@dataclass(frozen=True)
class Survey:
    """What the checks look at: the features and the target of one table."""

    features: pl.DataFrame
    labels: pl.Series | None
    task: Task | None
    classes: tuple[tuple[str, int], ...]


def find_all(survey: Survey) -> list[Finding]:
    """Return the findings of all checks, errors first."""
    found = [finding for check in CHECKS for finding in check(survey)]
    return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))


def missing_labels_found(survey: Survey) -> Iterator[Finding]:
    """Rows without a label."""
    if survey.labels is None or survey.task is None:
        return
    gone = np.flatnonzero(missing(survey.labels))
    if len(gone):
        name = survey.labels.name
        yield Finding("warning", name, f"{name} is missing in {at_rows(gone)}: {_these(gone)} left out of training.")


def _these(rows: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> str:
    return "this row is" if len(rows) == 1 else f"these {len(rows):,} rows are"


def class_sizes(survey: Survey) -> Iterator[Finding]:
    """Classes of very few rows, and one class that outweighs the others."""
    if not survey.classes or survey.labels is None:
        return
    name = survey.labels.name
    for size, severity in ((1, "error"), (4, "warning")):
        rare = [each for each, number in survey.classes if number <= size and (size == 1 or number > 1)]
        if not rare:
            continue
        has = f"the {'class' if len(rare) == 1 else 'classes'} {listing(map(repr, rare))}"
        rows = "one row only" if size == 1 else "fewer than 5 rows"
        each = "" if len(rare) == 1 else " each"
        result = "it cannot be both learned and tested" if size == 1 else "its scores will be very uncertain"
        yield Finding(
            "error" if severity == "error" else "warning",
            name,
            f"{has[0].upper()}{has[1:]} of {name} {'has' if len(rare) == 1 else 'have'} {rows}{each}: {result}. Add "
            "rows, join classes, or leave it out.",
        )
    total = sum(number for _, number in survey.classes)
    largest, number = survey.classes[0]
    if number >= 0.9 * total:
        yield Finding(
            "warning",
            name,
            f"{number / total:.1%} of the rows have {name} = {largest}: always guessing it scores as much accuracy. "
            "Look at recall and AUC.",
        )


def infinite_cells(survey: Survey) -> Iterator[Finding]:
    """Infinite numbers."""
    for column in survey.features:
        if column.dtype.is_float():
            infinite = np.flatnonzero(column.is_infinite().fill_null(False).to_numpy())
            if len(infinite):
                yield Finding(
                    "error",
                    column.name,
                    f"{column.name} is infinite in {at_rows(infinite)}. Correct these cells, leave them empty if they "
                    "are not known, or ignore the column.",
                )


def stray_cells(survey: Survey) -> Iterator[Finding]:
    """Columns that are numbers but for a few cells."""
    for column in survey.features:
        found = strays(column)
        if found is not None:
            yield Finding("error", column.name, f"{column.name}: {found}. {found.remedy}, or ignore the column.")


def spellings(survey: Survey) -> Iterator[Finding]:
    """Classes and levels that differ only in capitals or spaces."""
    for column in _all_columns(survey):
        alike = [] if _names_rows(column) else look_alikes(column)
        if alike:
            groups = listing((" = ".join(map(repr, group)) for group in alike), 3)
            yield Finding(
                "warning",
                column.name,
                f"{column.name} has texts that differ only in capitals or spaces ({groups}), and each counts as one "
                "of its own. Write them alike if they mean the same.",
            )


def missing_codes(survey: Survey) -> Iterator[Finding]:
    """Numbers such as −999 that may stand for a missing value."""
    for column in _all_columns(survey):
        code = missing_code(column)
        if code is not None:
            value, times, low, high = code
            yield Finding(
                "note",
                column.name,
                f"{column.name} is {value:g} in {count(times, 'row')}, and from {low:g} to {high:g} in all others: if "
                f"{value:g} says that the value is missing, leave these cells empty.",
            )


def _all_columns(survey: Survey) -> list[pl.Series]:
    return [*survey.features, *([] if survey.labels is None else [survey.labels])]


def useless_columns(survey: Survey) -> Iterator[Finding]:
    """Columns without a value, with one value, with a name a row, or with numbers that count the rows."""
    for column in survey.features:
        name, kind, cells = column.name, kind_of(column), present(column)
        if kind == "other":
            yield Finding("error", name, f"{name} holds {column.dtype}, which a network cannot read. Ignore it.")
        elif kind == "empty":
            yield Finding("warning", name, f"{name} has no value in any row and is left out.")
        elif cells.n_unique() == 1:
            value = f"always {cells[0]}" if len(cells) == len(column) else f"always {cells[0]} or missing"
            rest = (
                "it tells nothing and is left out."
                if len(cells) == len(column)
                else "only whether it is missing is used."
            )
            yield Finding("note", name, f"{name} is {value}: {rest}")
        elif row_number(column) is not None:
            yield Finding(
                "note", name, f"{name}, a name that stands for none in the file, {row_number(column)} and is left out."
            )
        elif kind == "text" and strays(column) is None and cells.n_unique() == len(cells) > 2:
            yield Finding(
                "note", name, f"{name} has a different text in every row, like a name or an id, and is not used."
            )
        elif counts_rows(column):
            yield Finding(
                "warning",
                name,
                f"{name} numbers the rows ({cells.min()!r} to {cells.max()!r}): a network can learn the rows by heart "
                "from it. Ignore it unless their order means something.",
            )
        elif name == UNNAMED and column.dtype.is_integer() and cells.n_unique() == len(column) > 2:
            yield Finding(
                "warning",
                name,
                f"{name}, a name that stands for none in the file, has a different whole number in every row, like an "
                "index. Ignore it if it is one.",
            )
        elif kind == "text" and strays(column) is None and cells.n_unique() > MOST_LEVELS:
            yield Finding(
                "note",
                name,
                f"{name} has {cells.n_unique():,} different texts: at most {MOST_LEVELS} get a column of their own, "
                "the others, and those of one row only, share one.",
            )


def equal_rows(survey: Survey) -> Iterator[Finding]:
    """Rows that are equal, and rows equal in all but the label."""
    import polars as pl

    names = [
        column.name
        for column in survey.features
        if kind_of(column) not in ("other", "empty") and not _names_rows(column)
    ]
    if not names or survey.features.height < 2:
        return
    table = survey.features.select(names)
    group = _group_numbers(table)
    labels = survey.labels
    if labels is not None:
        both = pl.DataFrame({"group": group, "label": labels, "row": np.arange(len(labels))})
        both = both.filter(pl.Series(~missing(labels), dtype=pl.Boolean))
        mixed = both.filter(pl.col("label").n_unique().over("group") > 1).sort("group", "row")
        if mixed.height and survey.task is not None:
            severity: Severity = "warning" if survey.task.is_classification else "note"
            first = mixed.filter(pl.col("group") == mixed["group"][0])["row"].to_list()
            yield Finding(
                severity,
                labels.name,
                f"{count(mixed.height, 'row')} have features equal to another row's but a different {labels.name} "
                f"(for example {at_rows(first)}): no network can get them all right.",
            )
        group = _group_numbers(pl.DataFrame({"group": group, "label": labels}))
    numbers = np.asarray(group.to_numpy())
    _, first_rows, sizes = np.unique(numbers, return_index=True, return_counts=True)
    extra = int((sizes - 1).sum())
    if extra:
        one = int(numbers[first_rows[sizes > 1].min()])
        yield Finding(
            "warning" if extra >= 0.01 * len(numbers) else "note",
            None,
            f"{count(extra, 'row repeats', 'rows repeat')} an earlier row (for example "
            f"{at_rows(np.flatnonzero(numbers == one))}): copies that fall among the test rows make the score too "
            "good.",
        )


def _group_numbers(table: pl.DataFrame) -> pl.Series:
    """Return one number a row, the same for equal rows, in order of first occurrence."""
    import polars as pl

    rows = table.with_row_index("row #")
    groups = rows.group_by(table.columns, maintain_order=True).agg("row #").with_row_index("group #")
    return groups.explode("row #").sort("row #")["group #"].cast(pl.Int64)


def _names_rows(column: pl.Series) -> bool:
    cells = present(column)
    return (
        counts_rows(column)
        or row_number(column) is not None
        or (kind_of(column) == "text" and cells.n_unique() == len(cells) > 2)
    )


def leaking_columns(survey: Survey) -> Iterator[Finding]:
    """Features that are the target in other words."""
    if survey.labels is None or survey.task is None:
        return
    for column in survey.features:
        why = leaks(column, survey.labels, survey.task)
        if why is not None:
            yield Finding(
                "warning",
                column.name,
                f"{column.name} may give {survey.labels.name} away: {why}. Ignore it if it is not known before "
                f"{survey.labels.name} is.",
            )


CHECKS: tuple[Callable[[Survey], Iterator[Finding]], ...] = (
    missing_labels_found,
    class_sizes,
    infinite_cells,
    stray_cells,
    spellings,
    missing_codes,
    leaking_columns,
    useless_columns,
    equal_rows,
)
