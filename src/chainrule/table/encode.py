"""The table encoder: columns of any type to one float32 matrix, with statistics of the training rows only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.errors import TableError
from chainrule.table.document import check_header
from chainrule.table.fitting import fit_column, row_weights
from chainrule.table.frame import as_frame
from chainrule.table.recipes import Column, column_from_json
from chainrule.table.row_numbers import row_number
from chainrule.table.rows import checked_rows
from chainrule.table.say import count, did_you_mean, listing, nearest
from chainrule.table.strays import refuse_strays

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import ArrayLike, NDArray

FORMAT, VERSION = "chainrule.table", 1


@dataclass(frozen=True)
class TableEncoder:
    """What turns a table into the matrix that a network reads.

    Numbers become z = (x − median)/IQR (half the range where the IQR is 0), then z/√(1 + (z/3)²), which lies in [−3,
    3]; a missing one is 0, with a 0/1 column that says so if training rows had such cells. Booleans and categories of
    two levels are ±1, missing 0. Other categories have one 0/1 column a level (missing is a level if it occurs in
    training); of more than 50 levels the most frequent 50 have their own unless they occur once only, and the others
    share one. A level that
    training never saw is 0 in all columns, or falls to the shared one. Columns that tell nothing are left out, each
    with its reason.

    Source: RealMLP-TD, arXiv 2407.04491. Departures: indicators of missing numbers; no embedding of large categories.

    Attributes:
        columns: one recipe a column that is used.
        dropped: the columns that are left out, with the reason.
    """

    columns: tuple[Column, ...]
    dropped: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def fit(
        cls,
        frame: object,
        *,
        target: str | None = None,
        ignore: Iterable[str] = (),
        rows: ArrayLike | None = None,
        weight: ArrayLike | None = None,
        source: str = "the table",
    ) -> TableEncoder:
        """Return the encoder of a table.

        Args:
            frame: a table as `as_frame` takes it.
            target: a column that is no feature.
            ignore: further columns to leave out.
            rows: indices of the training rows; all rows if None. Of the other
                rows only the types are looked at.
            weight: how much each training row counts in medians, quartiles and the ranking of levels; whole numbers
                count as repetitions. All alike if None.
            source: the table's name in messages.

        Raises:
            TableError: unknown names, no rows, infinite cells, nested columns, a column of numbers but for a few cells,
                or no column that tells anything.

        Example:
            >>> encoder = TableEncoder.fit({"x": [1.0, 2.0, 3.0], "color": ["red", "blue", "red"]})
            >>> encoder.feature_names
            ['x', 'color = red']
        """
        table = as_frame(frame)
        ignored = [ignore] if isinstance(ignore, str) else list(ignore)
        for name in [*ignored, *([] if target is None else [target])]:
            if name not in table.columns:
                raise TableError(
                    f"{source} has no column {name!r}.{did_you_mean(name, table.columns)} The columns are "
                    f"{listing(table.columns, 20)}."
                )
        if target in ignored:
            raise TableError(
                f"{target!r} is the target and cannot be ignored too. Leave it out of the ignored columns."
            )
        training = checked_rows(rows, table.height)
        if len(training) == 0:
            raise TableError(f"{source} has no training rows. Give at least two.")
        weights = None if weight is None else row_weights(weight)
        dropped = {name: "ignored, as asked" for name in table.columns if name in ignored}
        columns: list[Column] = []
        for name in table.columns:
            if name == target or name in ignored:
                continue
            number = row_number(table[name])
            if number is not None:
                dropped[name] = number
                continue
            refuse_strays(table[name], source)
            cells = table[name] if rows is None else table[name].gather(training)
            recipe = fit_column(cells, source, training, weights)
            if isinstance(recipe, str):
                dropped[name] = recipe
            else:
                columns.append(recipe)
        if not columns:
            said = listing(f"{name} is {reason}" for name, reason in dropped.items())
            raise TableError(
                f"{source} has no column to learn from{f': {said}' if said else ''}. Add a column that differs between "
                "rows."
            )
        return cls(tuple(columns), dropped)

    @property
    def feature_names(self) -> list[str]:
        """One name a column of the matrix, all different."""
        names: dict[str, None] = {}
        for name in (name for column in self.columns for name in column.feature_names):
            unique, number = name, 2
            while unique in names:
                unique, number = f"{name} ({number})", number + 1
            names[unique] = None
        return list(names)

    @property
    def width(self) -> int:
        """The number of columns of the matrix."""
        return sum(len(column.feature_names) for column in self.columns)

    def transform(self, frame: object, *, source: str = "new.csv") -> NDArray[np.float32]:
        """Return the matrix of a table, [n, width], C-contiguous.

        Columns may stand in any order, and ones that training did not have are not looked at. A row's result does not
        depend on the other rows.

        Args:
            frame: a table as `as_frame` takes it.
            source: the table's name in messages.

        Raises:
            TableError: missing columns, an infinite cell, or a column whose cells are of another kind than in training;
                with row (data rows, counted from 1) and value.

        Example:
            >>> TableEncoder.fit({"x": [1.0, 2.0, 3.0]}).transform({"x": [2.0, 5.0]})
            array([[0.       ],
                   [2.1213202]], dtype=float32)
        """
        table = as_frame(frame)
        self._check_columns(table, source)
        matrix = np.empty((table.height, self.width), dtype=np.float32)
        start = 0
        for column in self.columns:
            encoded = column.encode(table[column.name], source)
            matrix[:, start : start + encoded.shape[1]] = encoded
            start += encoded.shape[1]
        return matrix

    def _check_columns(self, table: pl.DataFrame, source: str) -> None:
        absent = [column.name for column in self.columns if column.name not in table.columns]
        if absent:
            spare = [name for name in table.columns if name not in {column.name for column in self.columns}]
            near = {name: nearest(name, spare) for name in absent}
            hints = listing(f"{found!r} for {name!r}" for name, found in near.items() if found is not None)
            raise TableError(
                f"{source} lacks {count(len(absent), 'column')} that the model was trained on: "
                f"{listing(map(repr, absent), 20)}. "
                + (f"It has {hints}: rename it." if hints else f"It has {listing(map(repr, table.columns), 20)}.")
            )

    def to_json(self) -> dict[str, Any]:
        """Return a plain document from which `from_json` makes an equal encoder."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "columns": [column.to_json() for column in self.columns],
            "dropped": dict(self.dropped),
        }

    @classmethod
    def from_json(cls, document: object) -> TableEncoder:
        """Return the encoder that `to_json` wrote.

        Raises:
            TableError: a document that is foreign, newer or inconsistent.
        """
        fields = check_header(document, FORMAT, VERSION)
        columns = tuple(column_from_json(each) for each in fields.take("columns", list))
        dropped = fields.take("dropped", dict)
        fields.done()
        if not all(isinstance(each, str) for pair in dropped.items() for each in pair):
            raise TableError(f"{fields.what}: a dropped column must have a name and a reason in words.")
        names = [column.name for column in columns]
        if not names or len(set(names)) < len(names) or set(names) & set(dropped):
            raise TableError(f"{fields.what}: its columns must be at least one, and have different names.")
        return cls(columns, dropped)
