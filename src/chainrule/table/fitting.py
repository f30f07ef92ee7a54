"""From a column's training rows to its recipe, or to the reason why it is left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from chainrule.errors import TableError
from chainrule.table.cells import Kind, as_numbers, kind_of
from chainrule.table.recipes import (
    Column,
    FlagColumn,
    LevelsColumn,
    MissingColumn,
    NumberColumn,
    TwoLevelColumn,
    Unit,
    read_numbers,
    refuse_infinite,
)
from chainrule.table.say import at_rows, count

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import ArrayLike, NDArray

MOST_LEVELS = 50


def fit_column(
    column: pl.Series,
    source: str,
    rows: NDArray[np.int64] | None = None,
    weight: NDArray[np.float64] | None = None,
) -> Column | str:
    """Return the recipe of a column's training cells, or why the column tells nothing.

    Args:
        column: the training cells only.
        source: the table's name in messages.
        rows: the table's row indices of these cells, for messages.
        weight: how much each cell counts, as `row_weights` gives it; all alike if None.

    Raises:
        TableError: an infinite cell, or cells that are no single values.
    """
    kind = kind_of(column)
    if kind == "other":
        raise _unreadable(column, source, rows)
    if kind == "empty":
        return "missing in every training row"
    if kind == "boolean":
        truths = as_numbers(column)
        truths = truths[~np.isnan(truths)]
        told = truths.min() < truths.max()
        return FlagColumn(column.name) if told else _only_missing(column, f"always {bool(truths[0])}".lower())
    if kind == "text":
        return _fit_levels(column, weight)
    return _fit_number(column, kind, source, rows, weight)


REMEDIES = {
    "complex": "Give its real and its imaginary parts as two columns",
    "Period": "Make dates of it (column.dt.to_timestamp())",
    "Interval": "Give the middle of each (pd.IntervalIndex(column).mid), or texts (column.astype(str))",
    "bytes": "Make texts of it (column.str.decode('utf-8'))",
}


def _unreadable(column: pl.Series, source: str, rows: NDArray[np.int64] | None) -> TableError:
    """Say what the cells are, and what to make of them."""
    import polars as pl

    if column.dtype not in (pl.Object, pl.Binary):
        return TableError(
            f"{source}: column {column.name!r} holds {column.dtype}, which a network cannot read. Ignore the column, "
            "or spread it over columns of single values."
        )
    place, cell = next((place, cell) for place, cell in enumerate(column.to_list()) if cell is not None)
    name = type(cell).__name__
    what = {"complex": "complex numbers", "bytes": "bytes"}.get(name, f"values of type {name}")
    remedy = REMEDIES.get(name, "Make numbers or texts of it (str(cell))")
    return TableError(
        f"{source}: column {column.name!r} holds {what} ({at_rows([place if rows is None else rows[place]])}, counted "
        f"from 1, is {cell!r}), which a network cannot read. {remedy}, or leave the column out."
    )


def _only_missing(column: pl.Series, reason: str) -> Column | str:
    return MissingColumn(column.name) if column.null_count() or _has_nan(column) else reason


def _has_nan(column: pl.Series) -> bool:
    return column.dtype.is_float() and bool(column.is_nan().any())


def _fit_number(
    column: pl.Series,
    kind: Kind,
    source: str,
    rows: NDArray[np.int64] | None,
    weight: NDArray[np.float64] | None,
) -> Column | str:
    unit: Unit = "date" if kind == "date" else "duration" if kind == "duration" else "number"
    x = read_numbers(column, unit, source)
    refuse_infinite(x, column.name, source, rows)
    gone = np.isnan(x)
    center, scale = center_and_scale(x[~gone], None if weight is None else weight[~gone])
    if scale == 0.0:
        return _only_missing(column, f"always {column.drop_nulls()[0] if unit != 'number' else f'{center:g}'}")
    return NumberColumn(column.name, center, scale, bool(gone.any()), unit)


def center_and_scale(x: NDArray[np.float64], weight: NDArray[np.float64] | None = None) -> tuple[float, float]:
    """Return the median and the interquartile range; half the whole range where that is 0; scale 0 for a constant.

    >>> center_and_scale(np.array([1.0, 2.0, 3.0, 4.0, 5.0])), center_and_scale(np.array([0.0, 0, 0, 0, 8]))
    ((3.0, 2.0), (0.0, 4.0))
    """
    low, high = float(x.min()), float(x.max())
    if low == high:
        return low, 0.0
    # quarters of the values, so that differences of the largest doubles do not overflow
    unit = 4.0 if max(abs(low), abs(high)) > 1e300 else 1.0
    first, middle, third = quartiles(x / unit, weight)
    scale = float(third - first) or float(high / unit - low / unit) / 2
    largest = float(np.finfo(np.float64).max)
    return float(middle) * unit, min(scale, largest / unit) * unit or float(np.finfo(np.float64).tiny)


def quartiles(x: NDArray[np.float64], weight: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """Return the quartiles; a weight that is a whole number counts as so many repetitions of its cell.

    With W the sum of the weights, the q-quantile lies at (W − 1)q in the sorted repetitions, between two of which it is
    interpolated; weights that are no whole numbers go by the same rule.

    >>> quartiles(np.array([1.0, 2.0, 4.0]), np.array([1.0, 3.0, 1.0])), quartiles(np.array([1.0, 2.0, 2.0, 2.0, 4.0]))
    (array([2., 2., 2.]), array([2., 2., 2.]))
    """
    shares = np.array([0.25, 0.5, 0.75])
    if weight is None:
        return np.asarray(np.quantile(x, shares))
    order = np.argsort(x, kind="stable")
    ends = np.cumsum(weight[order])  # the repetitions before ends[i] are those of the cells up to order[i]
    place = np.maximum(ends[-1] - 1.0, 0.0) * shares
    below = np.floor(place)
    low, high = (
        x[order[np.minimum(np.searchsorted(ends, at, side="right"), len(x) - 1)]] for at in (below, below + 1.0)
    )
    return np.asarray(low + (high - low) * (place - below))


def row_weights(weight: ArrayLike) -> NDArray[np.float64]:
    """Return row weights as the statistics of columns read them: whole numbers as they are, others to mean 1.

    Whole numbers are taken for repetitions. Of other weights only the ratios mean something.
    """
    array = np.asarray(weight, dtype=np.float64)
    whole = bool(np.all(array == np.round(array)) and array.max(initial=0.0) < 2**53)
    # divided by the largest first, so that the sum does not overflow
    return array if whole else (array / array.max()) / (array / array.max()).mean()


def _fit_levels(column: pl.Series, weight: NDArray[np.float64] | None) -> Column | str:
    import polars as pl

    texts = column.cast(pl.String)
    counted = pl.DataFrame({"level": texts, "times": np.ones(len(texts)) if weight is None else weight})
    counted = counted.filter(texts.is_not_null()).group_by("level").agg(pl.col("times").sum(), pl.len())
    ranked = sorted(
        ((str(level), float(times)) for level, times, _ in counted.rows()), key=lambda pair: (-pair[1], pair[0])
    )
    alone = len(ranked) == int(counted["len"].sum()) and (weight is None or weight.max() <= 1.0)
    missing = texts.null_count() > 0
    texts = texts.drop_nulls()
    if len(ranked) == 1:
        return _only_missing(column, f"always {ranked[0][0]!r}")
    if alone and len(ranked) > 2:
        return _only_missing(
            column, f"a different text in each of {count(len(texts), 'training row')}, like a name or an id"
        )
    if len(ranked) == 2:
        low, high = sorted(level for level, _ in ranked)
        return TwoLevelColumn(column.name, low, high)
    if len(ranked) <= MOST_LEVELS:
        return LevelsColumn(column.name, tuple(sorted(level for level, _ in ranked)), missing, other=False)
    # a level of a single row can only be learned by heart: it goes to the shared column first
    kept = sorted(level for level, number in ranked[:MOST_LEVELS] if number > 1)
    return LevelsColumn(column.name, tuple(kept), missing, other=True)
