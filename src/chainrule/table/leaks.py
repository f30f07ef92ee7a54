"""Whether one feature alone gives the target away."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from chainrule.table.cells import as_numbers, kind_of, missing
from chainrule.table.say import count
from chainrule.table.task import Task

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

FEWEST_ROWS = 20  # in a smaller table a perfect fit is often chance
CORRELATION = 0.999
WRONG = 0.005  # of the rows, and one twentieth of what always guessing the most common class gets wrong


def leaks(column: pl.Series, labels: pl.Series, task: Task) -> str | None:
    """Return why a feature may give the target away, or None.

    Two signs: |correlation| > 0.999 between numbers (the classes' index for two classes), and few levels each of which
    has (nearly) only one class.

    Example:
        >>> import polars as pl
        >>> labels = pl.Series("y", ["no", "yes"] * 15)
        >>> leaks(pl.Series("x", [0, 1] * 15), labels, Task("binary", ""))
        'it has the same values with other names'
    """
    known = ~missing(labels)
    kind = kind_of(column)
    if known.sum() < FEWEST_ROWS or kind not in ("number", "boolean", "text"):
        return None
    import polars as pl

    mask = pl.Series(known, dtype=pl.Boolean)
    column, labels = column.filter(mask), labels.filter(mask)
    if not task.is_classification:
        return _correlated(as_numbers(column), as_numbers(labels)) if kind in ("number", "boolean") else None
    codes = _codes(labels)
    reason = _levels_decide(column, codes)
    if reason is None and task.kind == "binary" and kind == "number":
        reason = _correlated(as_numbers(column), codes.astype(np.float64))
    return reason


def _correlated(x: NDArray[np.float64], y: NDArray[np.float64]) -> str | None:
    both = np.isfinite(x) & np.isfinite(y)
    x, y = x[both], y[both]
    if len(x) < FEWEST_ROWS or x.min() == x.max() or y.min() == y.max():
        return None
    # in units of the largest value, so that squares do not overflow
    r = float(np.corrcoef(x / np.abs(x).max(), y / np.abs(y).max())[0, 1])
    return f"their correlation is {r:.5f}" if abs(r) > CORRELATION else None


def _codes(cells: pl.Series) -> NDArray[np.int64]:
    """Return 0, 1, … for the different cells in sorted order; null is one of them."""
    return np.asarray(cells.rank("dense").fill_null(0).to_numpy(), dtype=np.int64)


def _levels_decide(column: pl.Series, codes: NDArray[np.int64]) -> str | None:
    rows = len(codes)
    classes = len(np.unique(codes))
    levels = column.n_unique()
    if not 2 <= levels <= min(max(20, 2 * classes), rows // 5):
        return None
    table = np.zeros((levels + 1, classes + 1), dtype=np.int64)
    np.add.at(table, (_codes(column), codes), 1)
    wrong = int(rows - table.max(axis=1).sum())
    guessing = int(rows - table.sum(axis=0).max())
    if wrong > WRONG * rows or 20 * wrong > guessing:
        return None
    if wrong == 0 and levels == classes:
        return "it has the same values with other names"
    return f"knowing it alone, {count(wrong, 'row')} of {rows:,} would be guessed wrong"
