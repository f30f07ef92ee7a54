"""y to what a loss reads, and predictions back: classes, labels, and numbers in a unit of their own."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from chainrule.errors import CellTypeError, TableError
from chainrule.table.say import a_kind, count, listing, say
from chainrule.workflow.network import as_probabilities

Array = np.ndarray[Any, Any]


def read_labels(y: Any) -> Array:
    """Return labels as one column, or as a 0/1 matrix with a column a label.

    Raises:
        TableError: missing labels, or numbers that are no classes; the message is scikit-learn's where that has one.
    """
    if issparse(y):
        y = y.toarray()
    try:
        array = np.asarray(y)
        if array.dtype.kind == "O":
            array = _of_one_kind(array)
        elif array.dtype.kind == "f":
            _require_finite(array)
        elif array.dtype.kind in "mM" and np.any(np.isnat(array)):
            raise _no_label(int(np.flatnonzero(np.isnat(array))[0]))
        check_classification_targets(array)
        if type_of_target(array, input_name="y") == "multilabel-indicator":
            return array
        if array.ndim == 2 and array.shape[1] > 1:
            raise TableError(
                f"y has {array.shape[1]} columns of classes; it takes one column of classes, or columns of 0 and 1 "
                "(several labels a row). For several classes a row, use sklearn.multioutput.MultiOutputClassifier"
            )
        column: Array = column_or_1d(array, warn=True)
    except TableError:
        raise
    except ValueError as error:
        raise TableError(str(error)) from None
    return column


def _no_label(row: int) -> TableError:
    return TableError(f"y has no label in row {row + 1} (counted from 1). Leave such rows out.")


def _require_finite(array: Array) -> None:
    """Say in scikit-learn's words that y is NaN or infinite, and in which row."""
    bad = np.argwhere(~np.isfinite(array))
    if not len(bad):
        return
    try:
        check_array(array, ensure_2d=False, allow_nd=True, input_name="y")
    except ValueError as error:
        at = f"y is {array[tuple(bad[0])]} in row {bad[0][0] + 1} (counted from 1); leave such rows out"
        raise TableError(f"{error} {at}.") from None


def _is_missing(cell: Any) -> bool:
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):  # pandas' NA has no truth value
        return True
    return isinstance(cell, (float, np.floating, Decimal)) and cell != cell


def _of_one_kind(array: Array) -> Array:
    """Python values as labels: texts, or numbers, none of them missing."""
    for place, cell in np.ndenumerate(array):
        if _is_missing(cell):
            raise _no_label(place[0])
    plain = np.array(array.tolist())
    if plain.dtype.kind == "U" and not all(isinstance(cell, str) for cell in array.flat):
        found = sorted({type(cell).__name__ for cell in array.flat})
        raise TableError(f"y mixes {' and '.join(found)} as labels. Make all labels of one kind.")
    return array if plain.dtype.kind == "U" else plain


def read_numbers(y: Any) -> Array:
    """Return numeric targets as float64, [n] or [n, outputs].

    Raises:
        TableError: a missing or an infinite one; the message is scikit-learn's where that has one.
        CellTypeError: dates, durations, truth values and complex numbers, which are no numbers to learn.
    """
    if issparse(y):
        y = y.toarray()
    plain = _plain_numbers(y)
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # the sum of the largest doubles is not looked at
            array = check_array(
                plain, dtype=np.float64, ensure_all_finite=False, ensure_2d=False, ensure_min_features=0, input_name="y"
            )
    except ValueError as error:
        raise TableError(str(error)) from None
    if array.ndim == 2 and array.shape[1] == 0:
        raise TableError(f"y has shape {array.shape}: it has no column")
    _require_finite(array)
    return np.asarray(array)


NOT_NUMBERS = {
    "b": ("truth values", "Use NetworkClassifier, or y.astype(float)"),
    "M": ("dates", "Subtract a first date and divide by a unit: (y - y.min()) / np.timedelta64(1, 'D')"),
    "m": ("durations", "Divide them by a unit: y / np.timedelta64(1, 'D')"),
    "c": ("complex numbers", "Complex data not supported: give two columns, np.column_stack([y.real, y.imag])"),
}


def _plain_numbers(y: Any) -> Any:
    """Return y, NaN in the place of missing Python values; refuse what only looks like numbers, by its row."""
    try:
        array = np.asarray(y)
    except ValueError:  # rows of different lengths: check_array says it
        return y
    if array.dtype.kind in NOT_NUMBERS:
        raise _no_numbers(array.dtype.kind, "")
    if array.dtype.kind != "O":
        return y
    numbers = np.full(array.shape, np.nan, dtype=object)
    for place, cell in np.ndenumerate(array):
        if _is_missing(cell):
            continue
        where = f" (row {place[0] + 1}, counted from 1, is {say(cell)})"
        kind = next((kind for known, kind in KINDS if isinstance(cell, known)), "")
        if kind:
            raise _no_numbers(kind, where)
        try:
            numbers[place] = float(cell)
        except OverflowError:
            raise TableError(f"y is beyond the largest float64, about 1.8e308, in row {place[0] + 1}") from None
        except TypeError:
            raise CellTypeError(
                f"y is {a_kind(cell)} in row {place[0] + 1} (counted from 1); it must be a number. A cell's argument "
                "must be a string or a real number"
            ) from None
        except ValueError as error:
            raise TableError(f"y: {error}{where}") from None
    return numbers.astype(np.float64)


KINDS: tuple[tuple[Any, str], ...] = (
    ((bool, np.bool_), "b"),
    ((datetime.date, np.datetime64), "M"),
    ((datetime.timedelta, np.timedelta64), "m"),
    ((complex, np.complexfloating), "c"),
)


def _no_numbers(kind: str, where: str) -> CellTypeError:
    what, remedy = NOT_NUMBERS[kind]
    return CellTypeError(f"y holds {what}{where}, and NetworkRegressor learns numbers. {remedy}.")


@dataclass(frozen=True, eq=False)
class ClassTarget:
    """One of several classes, or (``kind`` is multilabel) several answers of yes or no."""

    kind: str
    classes: Array

    @classmethod
    def fit(cls, y: Array, classes: Any = None) -> ClassTarget:
        """Return what tells the classes of ``read_labels``'s result; further ``classes`` may be named."""
        if y.ndim == 2:
            return cls("multilabel", np.arange(y.shape[1]))
        found = np.unique(y)
        if classes is not None:
            named = np.unique(np.asarray(classes))
            unknown = np.setdiff1d(found, named)
            if len(unknown):
                raise TableError(
                    f"y has the class {say(unknown[0])}, which is not among the given classes {listing(named, 20)}"
                )
            found = named
        if len(found) < 2:
            raise TableError(
                f"y has one class only, {say(found[0])}: there is nothing to learn. Give rows of at least two classes."
            )
        return cls("binary" if len(found) == 2 else "multiclass", found)

    @property
    def outputs(self) -> int:
        return len(self.classes)

    def encode(self, y: Array) -> Array:
        """Return class numbers, int64 [n], or a float matrix of 0 and 1."""
        if self.kind == "multilabel":
            if y.ndim != 2 or y.shape[1] != self.outputs:
                raise TableError(
                    f"y has shape {y.shape}; the estimator was fitted on {count(self.outputs, 'label')} a row"
                )
            return y.astype(np.float64)
        if y.ndim != 1:
            raise TableError(f"y has shape {y.shape}; the estimator was fitted on one class a row")
        place = np.minimum(np.searchsorted(self.classes, y), self.outputs - 1)
        strange = np.flatnonzero(self.classes[place] != y)
        if len(strange):
            row = int(strange[0])
            raise TableError(
                f"y is {say(y[row])} in row {row + 1} (counted from 1), a class that the estimator was not fitted on; "
                f"its classes are {self.classes.tolist()}"
            )
        return place.astype(np.int64)

    def probabilities(self, prediction: Array) -> Array:
        """Return one column a class (or a label) from a network's predictions."""
        return np.asarray(prediction, np.float64) if self.kind == "multilabel" else as_probabilities(prediction)

    def decode(self, prediction: Array) -> Array:
        """Return the most probable class of each row, or the labels that are more probable than not."""
        p = self.probabilities(prediction)
        if self.kind == "multilabel":
            return (p > 0.5).astype(np.int64)
        chosen: Array = self.classes[np.argmax(p, axis=1)]
        return chosen


@dataclass(frozen=True, eq=False)
class NumberTarget:
    """Numbers, each output in units of its standard deviation: z = (y − mean)/std.

    ``low`` and ``high`` are the range of the training rows, beyond which nothing is predicted. ``flat`` says that y had
    no second axis.
    """

    mean: Array
    std: Array
    low: Array
    high: Array
    flat: bool
    kind: str = "regression"

    @classmethod
    def fit(cls, y: Array, weight: Array, standardize: bool) -> NumberTarget:
        """Return the mean and the deviation of each output, weighted; an output that is constant has deviation 1."""
        columns = y.reshape(len(y), -1)
        low, high = columns.min(axis=0), columns.max(axis=0)
        mean, std = np.zeros(len(low)), np.ones(len(low))
        if standardize:
            # in units of the largest value, so that neither the sum nor the squares overflow
            unit = np.maximum(np.maximum(np.abs(low), np.abs(high)), np.finfo(np.float64).tiny)
            share = (weight / weight.sum())[:, None]
            parts = columns / unit
            middle = (share * parts).sum(axis=0)
            spread = np.sqrt((share * (parts - middle) ** 2).sum(axis=0))
            mean = np.clip(middle * unit, low, high)
            std = np.where(low == high, 1.0, spread * unit)
            std = np.where(std > 0, std, 1.0)
        return cls(mean, std, low, high, y.ndim == 1)

    @property
    def outputs(self) -> int:
        return len(self.mean)

    def encode(self, y: Array) -> Array:
        """Return standardized numbers, [n, outputs]."""
        columns = y.reshape(len(y), -1)
        if columns.shape[1] != self.outputs:
            raise TableError(
                f"y has shape {y.shape}; the estimator was fitted on {count(self.outputs, 'number')} a row"
            )
        with np.errstate(over="ignore"):
            z = (columns - self.mean) / self.std
        largest = float(np.finfo(np.float32).max) / 4  # far beyond the training range: finite, and a huge error
        return np.asarray(np.clip(z, -largest, largest))

    def widened(self, y: Array) -> NumberTarget:
        """Return the target with a range that holds further rows too."""
        columns = y.reshape(len(y), -1)
        low, high = np.minimum(self.low, columns.min(axis=0)), np.maximum(self.high, columns.max(axis=0))
        return replace(self, low=low, high=high)

    def decode(self, prediction: Array) -> Array:
        """Return predictions in y's own unit, kept within the range of the training rows, in the shape that y had."""
        with np.errstate(over="ignore"):
            y: Array = np.clip(self.mean + self.std * np.asarray(prediction, np.float64), self.low, self.high)
        return y[:, 0] if self.flat else y
