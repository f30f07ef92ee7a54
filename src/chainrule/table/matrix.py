"""The encoder of a matrix of numbers: what the table encoder makes of number columns, for all columns at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.errors import TableError
from chainrule.table.fitting import center_and_scale, row_weights
from chainrule.table.recipes import bounded
from chainrule.table.say import count

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, eq=False)
class MatrixEncoder:
    """What turns a matrix of numbers into the one that a network reads: z = (x − median)/IQR, made bounded.

    A column with missing cells (NaN) has 0 there, and a further column that is 1 there and else 0. A column that never
    differs is left out; only its missing cells are told, if it has some. The numbers and their order are those of
    ``TableEncoder`` for a table of number columns, in double precision.

    Attributes:
        width: the number of columns of X.
        used: which columns give values.
        center: the median of each of these.
        scale: the interquartile range of each of these (half the range where that is 0).
        marked: which columns' missing cells are told.
    """

    width: int
    used: NDArray[np.int64]
    center: NDArray[np.float64]
    scale: NDArray[np.float64]
    marked: NDArray[np.int64]

    @classmethod
    def fit(cls, x: NDArray[Any], weight: ArrayLike | None = None) -> MatrixEncoder:
        """Return the encoder of a matrix, [n, width]; ``weight`` says how much each row counts.

        Raises:
            TableError: an infinite cell, or no column that tells anything.

        Example:
            >>> MatrixEncoder.fit(np.array([[1.0, 7.0], [2.0, 7.0], [3.0, 7.0]])).transform(np.array([[2.0, 0.0]]))
            array([[0.]])
        """
        matrix = _finite_or_missing(x)
        weights = None if weight is None else row_weights(weight)
        gone = np.isnan(matrix)
        any_gone: NDArray[np.bool_] = np.asarray(gone.any(axis=0))
        used: list[tuple[int, float, float]] = []
        for j in range(matrix.shape[1]):
            there = np.flatnonzero(~gone[:, j]) if any_gone[j] else slice(None)
            cells = matrix[there, j]
            if len(cells):
                center, scale = center_and_scale(cells, None if weights is None else weights[there])
                used += [(j, center, scale)] if scale else []
        marked = np.flatnonzero(any_gone & ~gone.all(axis=0))
        if not used and not len(marked):
            raise TableError(
                f"X has no column to learn from: each of its {count(matrix.shape[1], 'column')} holds the same value "
                f"in all {count(len(matrix), 'row')}, or none. Add a column that differs between rows."
            )
        columns, centers, scales = zip(*used, strict=True) if used else ((), (), ())
        return cls(
            matrix.shape[1], np.array(columns, np.int64), np.array(centers, float), np.array(scales, float), marked
        )

    def transform(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """Return the encoded matrix, [n, columns that are told]; a row's result does not depend on the other rows.

        Raises:
            TableError: an infinite cell.
        """
        matrix = _finite_or_missing(x)
        gone = np.isnan(matrix)
        with np.errstate(over="ignore"):  # a far difference is ±Inf, and bounded makes it ±3
            z = bounded((matrix[:, self.used] - self.center) / self.scale)
        z[gone[:, self.used]] = 0.0
        if not len(self.marked):
            return z
        order = np.argsort(np.concatenate([self.used, self.marked]), kind="stable")  # a mark right after its value
        return np.concatenate([z, gone[:, self.marked]], axis=1)[:, order]


def _finite_or_missing(x: NDArray[Any]) -> NDArray[np.float64]:
    matrix = np.asarray(x, dtype=np.float64)
    infinite = np.argwhere(np.isinf(matrix))
    if len(infinite):
        row, column = infinite[0]
        raise TableError(
            f"X is infinite in row {row + 1}, column {column + 1} (counted from 1). Correct this cell, or set it to "
            "NaN if it is not known."
        )
    return matrix
