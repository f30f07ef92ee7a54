"""How one column of a table becomes columns of a matrix: recipes, fitted on training rows and stored as data."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from chainrule.errors import TableError
from chainrule.table.cells import KIND_NAMES, as_days, as_numbers, as_texts, as_truths, kind_of
from chainrule.table.cells import missing as missing_cells
from chainrule.table.csv_types import FLOAT
from chainrule.table.document import Fields
from chainrule.table.say import at_rows, listing

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

Unit = Literal["number", "date", "duration"]
FAR = 1e150  # beyond it z/√(1 + (z/3)²) is ±3 to the last bit, and z² would not overflow below it


def bounded(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return z/√(1 + (z/3)²): nearly z near 0, and never beyond ±3.

    Source: the smooth clipping of RealMLP, Holzmüller et al. 2024, arXiv 2407.04491, section 3.

    >>> bounded(np.array([0.0, 3.0, -1e300])).round(6)
    array([ 0.     ,  2.12132, -3.     ])
    """
    z = np.clip(z, -FAR, FAR)
    return z / np.hypot(1.0, z / 3.0)


@dataclass(frozen=True)
class NumberColumn:
    """A number: z = (x − center)/scale, made bounded; missing is 0, with a 0/1 column that says so if training had any.

    Dates are days since 1970-01-01, durations are days.
    """

    name: str
    center: float
    scale: float
    indicator: bool
    unit: Unit = "number"

    @property
    def feature_names(self) -> list[str]:
        """The matrix columns' names."""
        return [self.name, f"{self.name} is missing"] if self.indicator else [self.name]

    def encode(self, column: pl.Series, source: str) -> NDArray[np.float64]:
        """Return the matrix columns, [n, 1 or 2]."""
        x = read_numbers(column, self.unit, source)
        refuse_infinite(x, self.name, source)
        with np.errstate(over="ignore"):  # a far difference is ±Inf, and bounded makes it ±3
            z = bounded((x - self.center) / self.scale)
        gone = np.isnan(x)
        z[gone] = 0.0
        return np.column_stack([z, gone]) if self.indicator else z[:, None]

    def describe(self) -> str:
        """Return the recipe in words."""
        noun = {"number": self.name, "date": f"days of {self.name}", "duration": f"days of {self.name}"}[self.unit]
        tail = ", and a 0/1 column that says where it is missing" if self.indicator else ""
        return f"z = ({noun} − {self.center:g})/{self.scale:g}, bounded as z/√(1 + (z/3)²){tail}"

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as plain data."""
        return {
            "kind": self.unit,
            "name": self.name,
            "center": self.center,
            "scale": self.scale,
            "indicator": self.indicator,
        }


@dataclass(frozen=True)
class FlagColumn:
    """True or false as +1 and −1; missing is 0."""

    name: str

    @property
    def feature_names(self) -> list[str]:
        """The matrix column's name."""
        return [self.name]

    def encode(self, column: pl.Series, source: str) -> NDArray[np.float64]:
        """Return the matrix column, [n, 1]."""
        truths = as_truths(column, source)
        return np.where(np.isnan(truths), 0.0, 2.0 * truths - 1.0)[:, None]

    def describe(self) -> str:
        """Return the recipe in words."""
        return "true is +1, false −1, missing 0"

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as plain data."""
        return {"kind": "flag", "name": self.name}


@dataclass(frozen=True)
class TwoLevelColumn:
    """A category of two levels as −1 and +1; missing or another level is 0."""

    name: str
    low: str
    high: str

    @property
    def feature_names(self) -> list[str]:
        """The matrix column's name, with the level that is +1."""
        return [f"{self.name} = {self.high}"]

    def encode(self, column: pl.Series, source: str) -> NDArray[np.float64]:
        """Return the matrix column, [n, 1]."""
        codes = level_codes(column, (self.low, self.high), source)
        return np.array([-1.0, 1.0, 0.0])[codes][:, None]

    def describe(self) -> str:
        """Return the recipe in words."""
        return f"{self.high!r} is +1, {self.low!r} is −1, missing or another level 0"

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as plain data."""
        return {"kind": "two levels", "name": self.name, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class LevelsColumn:
    """A category as one 0/1 column a level; missing is one if training had such rows, and rare levels may share one.

    A level that training never saw is 0 in every column, or the shared one where there is one.
    """

    name: str
    levels: tuple[str, ...]
    missing: bool
    other: bool

    @property
    def feature_names(self) -> list[str]:
        """The matrix columns' names."""
        names = [f"{self.name} = {level}" for level in self.levels]
        names += [f"{self.name} is another"] * self.other
        return names + [f"{self.name} is missing"] * self.missing

    def encode(self, column: pl.Series, source: str) -> NDArray[np.float64]:
        """Return the matrix columns, [n, levels (+ 1) (+ 1)]."""
        codes = level_codes(column, self.levels, source, any_text=self.other)
        gone = missing_cells(column)
        width = len(self.levels)
        matrix = np.zeros((len(codes), width + self.other + self.missing))
        known = np.flatnonzero(codes < width)
        matrix[known, codes[known]] = 1.0
        if self.other:
            matrix[:, width] = (codes == width) & ~gone
        if self.missing:
            matrix[:, -1] = gone
        return matrix

    def describe(self) -> str:
        """Return the recipe in words."""
        tail = ", one that the other levels share" * self.other + ", one for missing" * self.missing
        return f"one 0/1 column for each of {len(self.levels)} levels{tail}"

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as plain data."""
        return {
            "kind": "levels",
            "name": self.name,
            "levels": list(self.levels),
            "missing": self.missing,
            "other": self.other,
        }


@dataclass(frozen=True)
class MissingColumn:
    """Only whether a cell is missing, 1 or 0: all that a column tells whose values are all equal or all different "
    "texts."""

    name: str

    @property
    def feature_names(self) -> list[str]:
        """The matrix column's name."""
        return [f"{self.name} is missing"]

    def encode(self, column: pl.Series, source: str) -> NDArray[np.float64]:
        """Return the matrix column, [n, 1]."""
        return missing_cells(column).astype(np.float64)[:, None]

    def describe(self) -> str:
        """Return the recipe in words."""
        return "only whether it is missing, 1 or 0"

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as plain data."""
        return {"kind": "missing", "name": self.name}


Column = NumberColumn | FlagColumn | TwoLevelColumn | LevelsColumn | MissingColumn


def read_numbers(column: pl.Series, unit: Unit, source: str) -> NDArray[np.float64]:
    """Return the cells of a number, date or duration column as float64, NaN where missing."""
    return as_numbers(column, source=source) if unit == "number" else as_days(column, unit, source)


def refuse_infinite(x: NDArray[np.float64], name: str, source: str, rows: NDArray[np.int64] | None = None) -> None:
    """Raise if a cell is infinite; `rows` are the table's indices of the cells."""
    infinite = np.flatnonzero(np.isinf(x))
    if len(infinite):
        where = infinite if rows is None else rows[infinite]
        raise TableError(
            f"{source}: column {name!r} is infinite in {at_rows(where)} (data rows, the header not counted). Correct "
            "these cells, leave them empty if they are not known, or ignore the column."
        )


def level_codes(
    column: pl.Series, levels: tuple[str, ...], source: str, *, any_text: bool = False
) -> NDArray[np.int64]:
    """Return the index of each cell's level, len(levels) where it is missing or none of them.

    Raises:
        TableError: numbers, none of which is a level, where training had texts.
    """
    import polars as pl

    kind = kind_of(column)
    texts = as_texts(column)
    if kind == "boolean":  # true may have been spelled True or TRUE
        spelling = {level.lower(): level for level in levels}
        texts = texts.replace(spelling)
    codes = texts.cast(pl.Enum(levels), strict=False).to_physical().cast(pl.Int64).fill_null(len(levels)).to_numpy()
    foreign = kind not in ("text", "empty") and bool((codes == len(levels)).all())
    if foreign and not any_text and not any(re.match(FLOAT, level) for level in levels):
        row = int(np.argmin(missing_cells(column)))
        raise TableError(
            f"{source}: column {column.name!r} held texts in training ({listing(map(repr, levels), 4)}), and now holds "
            f"{KIND_NAMES[kind]} ({at_rows([row])}: {column[row]}), none of which training saw. Correct the column."
        )
    return np.asarray(codes, dtype=np.int64)


def column_from_json(document: object) -> Column:
    """Return the recipe that `to_json` wrote.

    Raises:
        TableError: a document that is none.
    """
    fields = Fields(document, "A stored column")
    kind, name = fields.text("kind"), fields.text("name")
    fields.what = f"The stored column {name!r}"
    column: Column
    if kind in ("number", "date", "duration"):
        unit: Unit = "number" if kind == "number" else "date" if kind == "date" else "duration"
        column = NumberColumn(name, fields.number("center"), fields.number("scale"), fields.flag("indicator"), unit)
        if column.scale <= 0:
            raise TableError(f"{fields.what}: the scale is {column.scale!r}; it must be positive.")
    elif kind == "flag":
        column = FlagColumn(name)
    elif kind == "two levels":
        column = TwoLevelColumn(name, fields.text("low"), fields.text("high"))
        if column.low == column.high:
            raise TableError(f"{fields.what}: its two levels are equal.")
    elif kind == "levels":
        column = LevelsColumn(name, tuple(fields.items("levels", str)), fields.flag("missing"), fields.flag("other"))
        if not column.levels or len(set(column.levels)) < len(column.levels):
            raise TableError(f"{fields.what}: its levels must be at least one, and different.")
    elif kind == "missing":
        column = MissingColumn(name)
    else:
        raise TableError(f"{fields.what}: there is no kind of column {kind!r}.")
    fields.done()
    return column
